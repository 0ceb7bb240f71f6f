//! Signal maths that models share.

mod echo;
mod log_mel;
mod mel_frames;

pub(crate) use echo::EchoCheck;
pub(crate) use log_mel::{HOP, MelFrame};
pub use log_mel::{
    LogMel, MEL_BANDS, MEL_FRAMES, MEL_SAMPLES, MelFeatures, MelScratch, boxed_features,
};
pub use mel_frames::MelFrames;
pub(crate) use mel_frames::MelRing;
