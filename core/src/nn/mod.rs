//! Weight containers and the layers built from them.

mod container;
mod layers;

pub use container::Container;
pub(crate) use layers::{Conv, Dense};

/// Bodies of the fuzz targets, compiled and run by the normal tests.
#[doc(hidden)]
pub mod fuzzing {
    /// Any bytes are a container or an error, and a container's tensors can be asked for.
    pub fn container(data: &[u8]) {
        if let Ok(container) = super::Container::parse(data) {
            for name in ["16k/encoder.0.weight", "8k/output.bias", "x"] {
                for shape in [&[128, 129, 3][..], &[1], &[]] {
                    if let Ok(values) = container.tensor(name, shape) {
                        assert_eq!(values.len(), shape.iter().product::<usize>());
                        assert!(values.iter().all(|value| value.is_finite()));
                    }
                    if let Ok(values) = container.tensor_i8(name, shape) {
                        assert_eq!(values.len(), shape.iter().product::<usize>());
                    }
                }
            }
        }
    }
}
