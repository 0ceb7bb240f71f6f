//! What a conversation costs, in time and tokens.

use std::time::Duration;

use listenkit::{EndOfTurn, SampleRate};

use crate::llm::Usage;
use crate::stt::SttMetrics;

/// What something cost.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metrics {
    /// Finding speech; one for every turn of the user's.
    Vad(VadMetrics),
    /// A recognition.
    Stt(SttMetrics),
    /// The end of a turn of the user's.
    Eou(EouMetrics),
    /// A reply of the language model.
    Llm(LlmMetrics),
    /// A speech of the voice.
    Tts(TtsMetrics),
    /// From the user's last sound to the agent's first. Only for replies by voice, to turns with a
    /// [`decision`](EouMetrics::decision).
    EndToEnd(EndToEndMetrics),
}

/// Finding speech, since the turn before.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct VadMetrics {
    /// Windows that were judged.
    pub windows: u64,
    /// Time in the core, with everything it does.
    pub busy: Duration,
    /// Audio that was heard.
    pub audio: Duration,
}

/// The end of a turn of the user's.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EouMetrics {
    /// The turn.
    pub turn: u64,
    /// From the user's last voiced sample to the decision, with the age of the audio when it was heard; zero without a decision.
    pub end_of_utterance_delay: Duration,
    /// From the user's last voiced sample to the last transcript; zero if that came before, and without a decision.
    pub transcription_delay: Duration,
    /// What the agent's hook took.
    pub on_user_turn_completed_delay: Duration,
    /// The core's record; positions are samples at `sample_rate`. `None` if the turn was committed when the core saw none, or its words came after
    /// their turn.
    pub decision: Option<EndOfTurn>,
    /// Of the audio that was heard.
    pub sample_rate: SampleRate,
    /// The reply, if there is one.
    pub speech_id: Option<String>,
}

/// A reply of the language model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LlmMetrics {
    /// The model.
    pub label: String,
    /// The speech it is for; `None` if it was begun early and thrown away.
    pub speech_id: Option<String>,
    /// From the request to the first text; `None` if there was none.
    pub ttft: Option<Duration>,
    /// From the request to the end.
    pub duration: Duration,
    /// Tokens, if the model counts them.
    pub usage: Option<Usage>,
    /// It was given up: the user interrupted, or the reply was begun early and did not fit.
    pub cancelled: bool,
    /// Requests that were made.
    pub attempts: u32,
}

/// A speech of the voice.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TtsMetrics {
    /// The voice.
    pub label: String,
    /// The speech.
    pub speech_id: String,
    /// From the first text to the first audio at the listener's side of the session; `None` if there was none.
    pub ttfb: Option<Duration>,
    /// From the first text to the end of playout.
    pub duration: Duration,
    /// Audio that was played.
    pub audio_duration: Duration,
    /// Characters that were given to it.
    pub characters: usize,
    /// It was interrupted.
    pub cancelled: bool,
}

/// From the user's last sound to the agent's first.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndToEndMetrics {
    /// The turn of the user's.
    pub turn: u64,
    /// The reply.
    pub speech_id: String,
    /// From the user's last voiced sample to the first frame of the reply that left the session, with the age of the audio when it was heard.
    pub latency: Duration,
    /// Whether the reply had been begun before the turn was over.
    pub preemptive: bool,
}
