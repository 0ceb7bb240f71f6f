//! End-of-turn models that read the transcript, from ONNX files that the user brings.
//!
//! Whether a sentence is complete can be read off its words: "my number is" goes on. Two kinds of model are understood
//! ([`TextFormat`]): LiveKit's, whose output is the probability itself, and any causal chat model, of which the probability is that the
//! next token ends the message. Both run on the ONNX Runtime library that the host names ([`OnnxRuntime::load`]); nothing is linked,
//! bundled or fetched. `docs/text-turn.md` says where to get the library and what the licence of LiveKit's weights allows.
//!
//! ```no_run
//! use listenkit::ChatMessage;
//! use listenkit::text::{LanguageThresholds, OnnxRuntime, TextFormat, TextModel};
//! # use std::path::Path;
//!
//! let runtime = OnnxRuntime::load(Path::new("/opt/onnxruntime/libonnxruntime.so"))?;
//! let thresholds = LanguageThresholds::parse(&std::fs::read("turn-detector/languages.json")?)?;
//! let model = TextModel::load(
//!     &runtime,
//!     Path::new("turn-detector/onnx/model_q8.onnx"),
//!     &std::fs::read("turn-detector/tokenizer.json")?,
//!     TextFormat::livekit_multilingual(thresholds),
//! )?;
//! let mut turn = model.conversation(); // one for each conversation; all share the weights
//! let said = [ChatMessage::assistant("What is your number?"), ChatMessage::user("It is five five")];
//! let verdict = turn.end_of_turn(&said, Some("en-US"))?;
//! println!("{:?}, unfinished below {:?}", verdict.probability, verdict.threshold);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Beside an audio model, probability and threshold go to the detector as [`Input::TextAnswer`](crate::Input::TextAnswer); alone, a [`TextTurn`]
//! is a [`TurnModel`](crate::TurnModel) like any other. A call takes as long as the model needs, tens of milliseconds: make it on a thread of the host, as for any
//! [`TurnQuery`](crate::TurnQuery), never on the one that feeds audio.

mod languages;
mod model;
mod prompt;
mod runtime;
#[cfg(test)]
mod tests;
mod tokens;

pub use languages::LanguageThresholds;
pub use model::{LanguageNotice, Prompt, TextFormat, TextModel, TextTurn, TextVerdict};
pub use prompt::ChatTemplate;
pub use runtime::OnnxRuntime;

use std::path::PathBuf;

/// A text model that cannot be used, or could not answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TextModelError {
    /// The ONNX Runtime library cannot be used. The message says which file, why, and what to do.
    #[error("ONNX Runtime: {what}")]
    Library {
        /// What is wrong.
        what: String,
    },
    /// The library took too long to load.
    #[error("ONNX Runtime: {what}")]
    LibraryHangs {
        /// Which one, and how long it was given.
        what: String,
    },
    /// This process uses another ONNX Runtime library already; there can be one only.
    #[error(
        "ONNX Runtime is loaded from {}, and a process can have only one: use that one for all models, not {}",
        loaded.display(), asked.display()
    )]
    OtherLibrary {
        /// The library in use.
        loaded: PathBuf,
        /// The one that was asked for.
        asked: PathBuf,
    },
    /// The ONNX file cannot be loaded.
    #[error("{} cannot be loaded: {what}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime says.
        what: String,
    },
    /// The model has an input that nothing is known to feed it with.
    #[error(
        "the model needs the input `{input}` ({kind}): only input_ids, attention_mask and position_ids of int64 can be given; \
         export it without past keys and values"
    )]
    Input {
        /// The input's name.
        input: String,
        /// Its type.
        kind: String,
    },
    /// The model's output is not what its format says.
    #[error("the model's output `{output}` {what}")]
    Output {
        /// The output's name.
        output: String,
        /// What is wrong with it.
        what: String,
    },
    /// ONNX Runtime failed while it ran the model.
    #[error("the model could not run: {what}")]
    Run {
        /// What ONNX Runtime says.
        what: String,
    },
    /// `tokenizer.json` cannot be read, or cannot tokenise a text.
    #[error("tokenizer: {what}")]
    Tokenizer {
        /// What is wrong.
        what: String,
    },
    /// The tokenizer does not know a token that the format needs.
    #[error(
        "the tokenizer has no token `{token}`: it belongs to another model, or the format does"
    )]
    NoToken {
        /// The token.
        token: String,
    },
    /// The table of thresholds cannot be used.
    #[error("thresholds by language: {what}")]
    Languages {
        /// What is wrong.
        what: String,
    },
}
