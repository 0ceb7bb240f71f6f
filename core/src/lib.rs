//! The listening half of a voice agent: PCM in, "the user started, stopped, finished their turn" out.
//!
//! A [`Detector`] hears one stream. Push it blocks of any length, rate and format, and take what it has to say: each
//! [`Event`] names the sample it happened at and how much audio it took to know.
//!
//! ```
//! use listenkit::{Detector, DetectorConfig, Event, Frame, Output, SampleRate, SileroVad, VadRate};
//!
//! let vad = SileroVad::embedded(VadRate::Hz16000)?; // once: all streams share the weights
//! let mut detector = Detector::new(DetectorConfig::new(SampleRate::HZ_48000).segment_audio(true), &vad)?;
//!
//! # let microphone = vec![vec![0_i16; 480]; 100];
//! for block in &microphone {
//!     let mut outputs = detector.process(Frame::i16(block))?;
//!     while let Some(output) = outputs.next() {
//!         match output {
//!             Output::Event(Event::StartOfSpeech(start)) => println!("speech since {}", start.at),
//!             Output::Event(Event::SegmentReady(segment)) => {
//!                 let audio = outputs.audio(&segment).expect("not overwritten yet");
//!                 println!("{} samples for the recogniser", audio.len());
//!             }
//!             Output::Event(Event::EndOfTurn(turn)) => println!("your turn: {:?}", turn.reason),
//!             _ => {}
//!         }
//!     }
//! }
//! for output in detector.flush() { /* what was still open ends here */ let _ = output; }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds for ever
//! - Time is a count of samples at the input's rate. No clock is read, no thread started, no file or socket opened.
//! - How the audio is cut into blocks changes nothing: not the outputs, not their positions.
//! - Every start of speech gets exactly one end, whatever happens to the stream; nothing buffered is lost.
//! - After construction nothing is allocated or locked, but for a change of format.
//! - A turn ends at most `max_delay` and one window after the last voiced sample.
//! - No input can panic. Errors say what was expected and what came, and nothing is lost by them.
//!
//! # The parts, each of use alone
//! [`vad`] gives the probability of speech, for one stream or many at once; [`resample`] converts rates without aliasing and
//! with a stated delay; [`Segmenter`] finds speech in the probabilities of any model; [`nn`] reads weight files. The detector wires them to decisions.

mod buf;
mod config;
mod detector;
pub mod dsp;
mod endpointer;
pub mod error;
pub mod event;
pub mod nn;
mod overlap;
pub mod pcm;
pub mod resample;
mod segmenter;
mod segments;
mod stats;
mod timeline;
mod turn;
pub mod units;
pub mod vad;

pub use config::{
    DetectorConfig, Endpointing, ExpectationDelays, OverlapOptions, TextVoteOptions,
    TurnModelOptions, TurnPolicy,
};
pub use detector::{Audio, Detector, Input, Outputs};
pub use error::{ConfigError, InputError, ModelError};
pub use event::{
    BriefReason, Cue, CueSet, CueVote, EndOfSpeech, EndOfTurn, EndReason, Event, Expectation,
    FalseInterruption, FormatChanged, Gap, ModelVote, Output, OverlapBrief, OverlapClaim,
    OverlapFacts, OverlapVerdict, Segment, StartOfSpeech, TurnAmended, TurnEndReason,
    TurnPrediction, TurnQuery, TurnQueryCancelled, TurnVotes, Wait, WindowScore,
};
pub use pcm::{Downmix, Format, Frame, SampleFormat, Samples};
pub use segments::{Segmenter, SegmenterEvents};
pub use stats::Stats;
#[cfg(feature = "text-turn")]
pub use turn::text;
pub use turn::{
    AnswerRule, ChatMessage, ChatRole, Fusion, Language, ModelHash, Precision, SmartTurn,
    SmartTurnSession, TextCues, ThresholdTable, TurnAudio, TurnContext, TurnModel, TurnSnapshot,
    WaitRule,
};
pub use units::{Probability, SampleCount, SamplePos, SampleRate};
pub use vad::{KernelLevel, SileroVad, StateGuard, VadBatch, VadRate, VadState};
