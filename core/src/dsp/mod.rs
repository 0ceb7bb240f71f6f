//! Signal maths that models share.

mod log_mel;

pub use log_mel::{
    LogMel, MEL_BANDS, MEL_FRAMES, MEL_SAMPLES, MelFeatures, MelScratch, boxed_features,
};
