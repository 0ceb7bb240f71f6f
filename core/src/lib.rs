//! The listening half of a voice agent: PCM frames in, "the user started, stopped, finished their turn" out.

#[allow(dead_code, reason = "wired by the detector")]
mod endpointer;
pub mod error;
pub mod event;
pub mod nn;
pub mod pcm;
pub mod resample;
mod segmenter;
mod timeline;
pub mod units;
pub mod vad;

pub use error::{ConfigError, InputError, ModelError};
pub use event::{
    EndOfSpeech, EndOfTurn, EndReason, Event, FormatChanged, Gap, Output, Segment, StartOfSpeech,
    TurnAmended, TurnEndReason, TurnQuery, Wait, WindowScore,
};
pub use pcm::{Downmix, Format, Frame, SampleFormat, Samples};
pub use units::{Probability, SampleCount, SamplePos, SampleRate};
