//! The listening half of a voice agent: PCM frames in, "the user started, stopped, finished their turn" out.

mod buf;
mod config;
mod detector;
mod endpointer;
pub mod error;
pub mod event;
pub mod nn;
pub mod pcm;
pub mod resample;
mod segmenter;
mod stats;
mod timeline;
pub mod units;
pub mod vad;

pub use config::{DetectorConfig, Endpointing, TurnModelOptions};
pub use detector::{Audio, Detector, Input, Outputs};
pub use error::{ConfigError, InputError, ModelError};
pub use event::{
    EndOfSpeech, EndOfTurn, EndReason, Event, FormatChanged, Gap, Output, Segment, StartOfSpeech,
    TurnAmended, TurnEndReason, TurnQuery, Wait, WindowScore,
};
pub use pcm::{Downmix, Format, Frame, SampleFormat, Samples};
pub use stats::Stats;
pub use units::{Probability, SampleCount, SamplePos, SampleRate};
pub use vad::{KernelLevel, SileroVad, VadBatch, VadRate, VadState};
