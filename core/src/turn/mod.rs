//! What a turn model is: the host's answer to a [`TurnQuery`].
//!
//! A model that hears whether a sentence is complete takes tens of milliseconds, too long for the path of audio. So
//! the detector only asks: the query goes out early in a pause, the host runs the model wherever it likes, and the
//! answer returns as [`Input::TurnAnswer`](crate::Input::TurnAnswer). This trait is the shape models have in common, so that a host can
//! be written once for all of them.

mod audio;
mod chat;
mod cues;
mod fusion;
mod language;
mod smart_turn;
#[cfg(feature = "text-turn")]
pub mod text;
mod thresholds;

pub use audio::{TurnAudio, TurnSnapshot};
pub use chat::{ChatMessage, ChatRole};
pub use cues::TextCues;
pub use fusion::{AnswerRule, Fusion, WaitRule};
pub use language::Language;
pub use smart_turn::{Precision, SmartTurn, SmartTurnSession};
pub use thresholds::{ModelHash, ThresholdTable};

use crate::error::ModelError;
use crate::event::TurnQuery;
use crate::units::Probability;

/// What there is to judge a turn by. Audio, text and timing are each enough for some model.
#[derive(Clone, Copy, Debug)]
pub struct TurnContext<'a> {
    /// The question, with the turn's start and its last voiced sample.
    pub query: TurnQuery,
    /// The turn so far, from [`Outputs::turn_audio`](crate::Outputs::turn_audio).
    pub audio: TurnAudio<'a>,
    /// The final transcript of the turn so far, if a recogniser runs beside the detector.
    pub transcript: Option<&'a str>,
    /// What was said before this turn, oldest first; empty if nobody keeps it.
    pub history: &'a [ChatMessage<'a>],
    /// The language spoken, as a BCP 47 tag, if it is known.
    pub language: Option<&'a str>,
}

/// A model that says how likely it is that the user is finished.
///
/// ```
/// use listenkit::{ModelError, Probability, TurnContext, TurnModel};
///
/// /// Finished when the transcript ends like a sentence.
/// struct Punctuation;
///
/// impl TurnModel for Punctuation {
///     fn unlikely_threshold(&self, _language: Option<&str>) -> Probability {
///         Probability::clamped(0.5)
///     }
///     fn end_of_turn(&mut self, context: &TurnContext<'_>) -> Result<Option<Probability>, ModelError> {
///         let Some(text) = context.transcript else { return Ok(None) }; // nothing to judge by
///         let finished = text.trim_end().ends_with(['.', '!', '?']);
///         Ok(Some(Probability::clamped(if finished { 0.9 } else { 0.1 })))
///     }
/// }
/// ```
pub trait TurnModel {
    /// Below this probability the turn counts as unfinished; for
    /// [`TurnModelOptions::unlikely_threshold`](crate::TurnModelOptions) and
    /// [`Input::TurnThreshold`](crate::Input::TurnThreshold). A language the model does not know gets its most cautious value.
    fn unlikely_threshold(&self, language: Option<&str>) -> Probability;

    /// The probability that the turn is complete; `None` if there is nothing to judge by, in which case no answer is sent and
    /// silence decides.
    ///
    /// # Errors
    /// [`ModelError`] if the model cannot run. The host sends no answer then; the turn ends all the same.
    fn end_of_turn(&mut self, context: &TurnContext<'_>)
    -> Result<Option<Probability>, ModelError>;
}
