//! Any bytes as a weight file: an error or a model, never a panic.

use listenkit::{KernelLevel, SileroVad, VadRate};

pub(crate) fn run(data: &[u8]) {
    for rate in [VadRate::Hz8000, VadRate::Hz16000] {
        if let Err(error) = SileroVad::from_bytes(data, rate, KernelLevel::Portable) {
            assert!(!error.to_string().is_empty());
        }
    }
}
