//! Voice activity: Silero VAD v6, from samples to the probability of speech.
//!
//! [`SileroVad`] holds the weights, shared by all streams. [`VadState`] is what a stream remembers. One window of samples at a
//! time gives one probability:
//!
//! ```
//! # #[cfg(feature = "embedded-models")] {
//! use listenkit::vad::{SileroVad, VadRate, VadState};
//!
//! let vad = SileroVad::embedded(VadRate::Hz16000)?;
//! let mut state = VadState::new();
//! for window in vec![0.0; 16_000].chunks(vad.rate().window_len()) {
//!     let probability = vad.probability(&mut state, window);
//!     assert!(probability < 0.5);
//! }
//! # }
//! # Ok::<(), listenkit::ModelError>(())
//! ```

mod batch;
mod guard;
mod model;
mod self_test;

pub use batch::VadBatch;
pub use guard::StateGuard;
pub use listenkit_kernels::KernelLevel;
pub use model::{SileroVad, VadRate, VadState};
#[doc(hidden)]
pub use self_test::test_signal;
