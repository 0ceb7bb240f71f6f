//! A text model, and what one conversation remembers of it.

use super::TextModelError;
use super::languages::LanguageThresholds;
use super::prompt::{ChatTemplate, pieces, turns};
use super::runtime::OnnxRuntime;
use super::tokens::{Encoder, History};
use crate::error::ModelError;
use crate::turn::{ChatMessage, Language, TurnContext, TurnModel};
use crate::units::Probability;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{Tensor, TensorElementType, ValueType};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a model's output means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Its last element is the probability.
    LastElement,
    /// It gives logits [1, T, V]: the probability is that of this token as the next one.
    NextToken(String),
}

/// How to talk to a model: the prompt it was trained on, what its output means, and from where a turn counts as finished.
#[derive(Clone, Debug)]
pub struct TextFormat {
    template: ChatTemplate,
    normalised: bool,
    max_messages: usize,
    max_tokens: usize,
    answer: Answer,
    thresholds: LanguageThresholds,
    threads: usize,
}

impl TextFormat {
    /// LiveKit's multilingual model (`livekit/turn-detector` v0.4.1-intl): 6 messages, 128 tokens, ChatML, normalised text, the last
    /// element of the output is the probability.
    pub const fn livekit_multilingual(thresholds: LanguageThresholds) -> Self {
        Self {
            template: ChatTemplate::CHATML,
            normalised: true,
            max_messages: 6,
            max_tokens: 128,
            answer: Answer::LastElement,
            thresholds,
            threads: 1,
        }
    }

    /// LiveKit's English model (v1.2.2-en): as the multilingual one, but text as it was transcribed and a template of its own.
    pub fn livekit_english(thresholds: LanguageThresholds) -> Self {
        Self {
            template: ChatTemplate::LIVEKIT_ENGLISH,
            normalised: false,
            ..Self::livekit_multilingual(thresholds)
        }
    }

    /// A causal chat model with an output `logits` [1, T, V]: the probability is that of `<|im_end|>` as the next token. ChatML,
    /// text as it was transcribed, 6 messages and 128 tokens.
    ///
    /// Such a model has no table of thresholds. Measure one on your own recordings.
    pub fn causal(thresholds: LanguageThresholds) -> Self {
        Self {
            normalised: false,
            answer: Answer::NextToken(ChatTemplate::CHATML.end.into_owned()),
            ..Self::livekit_multilingual(thresholds)
        }
    }

    /// Another template; for a causal model, its `end` becomes the token whose probability is asked for.
    pub fn template(mut self, template: ChatTemplate) -> Self {
        if let Answer::NextToken(token) = &mut self.answer {
            *token = template.end.clone().into_owned();
        }
        self.template = template;
        self
    }

    /// The token whose probability is asked for, if it is another than the template's `end`. Without effect but on a causal model.
    pub fn end_token(mut self, end: &str) -> Self {
        if let Answer::NextToken(token) = &mut self.answer {
            *token = end.to_owned();
        }
        self
    }

    /// Whether text is put in lower case and loses its punctuation (all but `'` and `-`) before the model sees it.
    pub const fn normalised(mut self, normalised: bool) -> Self {
        self.normalised = normalised;
        self
    }

    /// How many messages the model is shown, counted from the last.
    pub const fn max_messages(mut self, messages: NonZeroUsize) -> Self {
        self.max_messages = messages.get();
        self
    }

    /// How many tokens the model is shown, counted from the last.
    pub const fn max_tokens(mut self, tokens: NonZeroUsize) -> Self {
        self.max_tokens = tokens.get();
        self
    }

    /// Threads that ONNX Runtime may use for one call; 1 unless said otherwise. They never spin.
    pub const fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads.get();
        self
    }
}

/// What an input of the graph is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Tokens,
    /// Ones: every token counts.
    Mask,
    /// 0, 1, 2 ...
    Positions,
}

struct Shared {
    session: Mutex<Session>,
    feeds: Vec<(String, Feed)>,
    output: String,
    encoder: Encoder,
    /// The token that [`Answer::NextToken`] names.
    end: Option<usize>,
    format: TextFormat,
}

/// A loaded model. Cloning it, and asking it for conversations, shares the weights; calls of all of them take turns.
#[derive(Clone)]
pub struct TextModel {
    shared: Arc<Shared>,
}

impl fmt::Debug for TextModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextModel")
            .field("format", &self.shared.format)
            .finish_non_exhaustive()
    }
}

impl TextModel {
    /// Loads the ONNX file at `onnx`, which ONNX Runtime reads by itself, with the contents of its `tokenizer.json`.
    ///
    /// # Errors
    /// [`TextModelError::Onnx`] if ONNX Runtime cannot load the file, [`TextModelError::Input`] if it has an input other than
    /// `input_ids`, `attention_mask` and `position_ids`, [`TextModelError::Output`] if it has no output of floats,
    /// [`TextModelError::Tokenizer`] and [`TextModelError::NoToken`] if the tokenizer cannot be read or is another model's.
    pub fn load(
        runtime: &OnnxRuntime,
        onnx: &Path,
        tokenizer: &[u8],
        format: TextFormat,
    ) -> Result<Self, TextModelError> {
        // `ort` finds the library by itself if nobody has loaded one, and panics if it cannot; this value says that it was.
        let OnnxRuntime { .. } = runtime;
        let encoder = Encoder::new(tokenizer, &format.template)?;
        let end = match &format.answer {
            Answer::LastElement => None,
            Answer::NextToken(token) => {
                let id = encoder
                    .token(token)
                    .ok_or_else(|| TextModelError::NoToken {
                        token: token.clone(),
                    })?;
                Some(id as usize)
            }
        };
        let unusable = |what: String| TextModelError::Onnx {
            path: onnx.to_owned(),
            what,
        };
        let mut builder = builder(format.threads).map_err(unusable)?;
        let session = builder
            .commit_from_file(onnx)
            .map_err(|error| unusable(error.to_string()))?;
        let feeds = feeds(&session)?;
        let output = output(&session, end.is_some())?;
        Ok(Self {
            shared: Arc::new(Shared {
                session: Mutex::new(session),
                feeds,
                output,
                encoder,
                end,
                format,
            }),
        })
    }

    /// A conversation that has just begun.
    pub fn conversation(&self) -> TextTurn {
        TextTurn {
            shared: Arc::clone(&self.shared),
            history: History::default(),
            language: None,
            noticed: Vec::new(),
            notice: None,
        }
    }
}

/// The session's settings: no thread that spins, none that nobody asked for.
fn builder(threads: usize) -> Result<SessionBuilder, String> {
    let text = |error: ort::Error<SessionBuilder>| error.to_string();
    SessionBuilder::new()
        .map_err(|error| error.to_string())?
        .with_intra_threads(threads)
        .map_err(text)?
        .with_inter_threads(1)
        .map_err(text)?
        .with_intra_op_spinning(false)
        .map_err(text)?
        .with_inter_op_spinning(false)
        .map_err(text)
}

/// What each input of the graph is given.
fn feeds(session: &Session) -> Result<Vec<(String, Feed)>, TextModelError> {
    let feeds: Vec<_> = session
        .inputs()
        .iter()
        .map(|input| {
            let integers = matches!(
                input.dtype(),
                ValueType::Tensor {
                    ty: TensorElementType::Int64,
                    ..
                }
            );
            let feed = match input.name() {
                "input_ids" if integers => Feed::Tokens,
                "attention_mask" if integers => Feed::Mask,
                "position_ids" if integers => Feed::Positions,
                name => {
                    return Err(TextModelError::Input {
                        input: name.to_owned(),
                        kind: input.dtype().to_string(),
                    });
                }
            };
            Ok((input.name().to_owned(), feed))
        })
        .collect::<Result<_, _>>()?;
    if feeds.iter().any(|(_, feed)| *feed == Feed::Tokens) {
        Ok(feeds)
    } else {
        Err(TextModelError::Output {
            output: session
                .outputs()
                .first()
                .map_or_else(String::new, |output| output.name().to_owned()),
            what: "depends on no `input_ids`: this is no model of text".to_owned(),
        })
    }
}

/// The output to read: the first one, as LiveKit does; of a causal model the one called `logits`, if there is one.
fn output(session: &Session, causal: bool) -> Result<String, TextModelError> {
    let outputs = session.outputs();
    let logits = outputs
        .iter()
        .find(|output| causal && output.name() == "logits");
    let Some(output) = logits.or(outputs.first()) else {
        return Err(TextModelError::Output {
            output: String::new(),
            what: "does not exist: the model has none".to_owned(),
        });
    };
    match output.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            ..
        } => Ok(output.name().to_owned()),
        kind => Err(TextModelError::Output {
            output: output.name().to_owned(),
            what: format!("is {kind}, expected a tensor of 32-bit floats"),
        }),
    }
}

impl Shared {
    /// Runs the model on `tokens`, which are not empty.
    fn run(&self, tokens: &[i64]) -> Result<f64, TextModelError> {
        let failed = |error: ort::Error| TextModelError::Run {
            what: error.to_string(),
        };
        let shape = [1, tokens.len()];
        let mut inputs = Vec::with_capacity(self.feeds.len());
        for (name, feed) in &self.feeds {
            let values: Vec<i64> = match feed {
                Feed::Tokens => tokens.to_vec(),
                Feed::Mask => vec![1; tokens.len()],
                Feed::Positions => (0..).take(tokens.len()).collect(),
            };
            inputs.push((
                name.as_str(),
                Tensor::from_array((shape, values)).map_err(failed)?,
            ));
        }
        // A panic of another conversation cannot have hurt it: calls leave no state in a session.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(inputs).map_err(failed)?;
        let wrong = |what: String| TextModelError::Output {
            output: self.output.clone(),
            what,
        };
        let output = outputs
            .get(&self.output)
            .ok_or_else(|| wrong("was not computed".to_owned()))?;
        let output = output
            .try_extract_array::<f32>()
            .map_err(|error| wrong(error.to_string()))?;
        match self.end {
            None => {
                let last = output.iter().last().copied();
                let last = last.ok_or_else(|| wrong("is empty".to_owned()))?;
                // A sigmoid may leave the range by a rounding error, logits leave it by far.
                if (-1e-3..=1.001).contains(&last) {
                    Ok(f64::from(last))
                } else {
                    Err(wrong(format!(
                        "ends with {last}, which is no probability; a model that gives logits needs `TextFormat::causal`"
                    )))
                }
            }
            Some(end) => {
                let expected = [1, tokens.len()];
                if output.ndim() != 3 || output.shape()[..2] != expected || output.shape()[2] <= end
                {
                    return Err(wrong(format!(
                        "has shape {:?}, expected [1, {}, more than {end}]",
                        output.shape(),
                        tokens.len()
                    )));
                }
                let logits = output.index_axis(ndarray::Axis(0), 0);
                let logits = logits.index_axis(ndarray::Axis(0), tokens.len() - 1);
                let logits = logits.iter().map(|logit| f64::from(*logit));
                // Shifted by the largest, so that nothing overflows.
                let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logits.clone().map(|logit| (logit - largest).exp()).sum();
                let chosen = logits
                    .clone()
                    .nth(end)
                    .map_or(f64::NAN, |logit| (logit - largest).exp());
                let probability = chosen / sum;
                if probability.is_nan() {
                    return Err(wrong("has values that are not numbers".to_owned()));
                }
                Ok(probability)
            }
        }
    }
}

/// What a model was shown: for logs, and to compare with another implementation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The conversation in the model's words and marks, before tokens beyond the limit are cut off on the left.
    pub text: String,
    /// The tokens, `input_ids` of shape [1, tokens].
    pub tokens: Vec<i64>,
}

/// The language was not known. Said once for each thing a recogniser calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LanguageNotice {
    /// What the language was said to be, if anything.
    pub given: Option<String>,
    /// The language whose threshold is used instead: the last one of this conversation that was known. Without one there is no
    /// threshold, the model is not asked, and silence decides.
    pub used: Option<Language>,
}

impl fmt::Display for LanguageNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Some(given) => write!(
                f,
                "the text model has no threshold for the language {given:?}: "
            )?,
            None => write!(f, "the text model was told no language: ")?,
        }
        match self.used {
            Some(language) => write!(f, "that of {language} is used"),
            None => write!(
                f,
                "silence decides; name a language or set a threshold for it"
            ),
        }
    }
}

/// What the model says of a conversation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TextVerdict {
    /// That the last message is complete. `None` if nothing was said or there is no threshold to hold it against; silence decides then.
    pub probability: Option<Probability>,
    /// Below it the turn counts as unfinished. `None` if the language is not known and none was known before.
    pub threshold: Option<Probability>,
    /// What the host should log, once.
    pub notice: Option<LanguageNotice>,
    /// Tokens that the model was shown; 0 if it was not asked.
    pub tokens: usize,
}

/// One conversation with a [`TextModel`]: remembers the language last known and the tokens of what was said.
#[derive(Clone)]
pub struct TextTurn {
    shared: Arc<Shared>,
    history: History,
    /// The last language that had a threshold.
    language: Option<Language>,
    /// Languages without one that were told of.
    noticed: Vec<String>,
    /// One that a call through [`TurnModel`] could not return.
    notice: Option<LanguageNotice>,
}

impl fmt::Debug for TextTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTurn")
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

/// Names of languages that a conversation is told of before it is left alone.
const MAX_NOTICES: usize = 8;

impl TextTurn {
    /// How likely it is that the person has finished, after `messages`, the last of which is what was just said, oldest first.
    /// `language` is what the recogniser calls it, in any spelling.
    ///
    /// # Errors
    /// [`TextModelError::Run`] and [`TextModelError::Output`] if the model cannot run or does not give a probability. The
    /// conversation goes on unharmed.
    pub fn end_of_turn(
        &mut self,
        messages: &[ChatMessage<'_>],
        language: Option<&str>,
    ) -> Result<TextVerdict, TextModelError> {
        let (threshold, notice) = self.threshold(language);
        let mut verdict = TextVerdict {
            probability: None,
            threshold,
            notice,
            tokens: 0,
        };
        if threshold.is_none() {
            return Ok(verdict);
        }
        let tokens = self.encode(messages)?.1;
        if !tokens.is_empty() {
            let probability = self.shared.run(&tokens)?;
            verdict.probability = Some(Probability::clamped(probability as f32));
            verdict.tokens = tokens.len();
        }
        Ok(verdict)
    }

    /// What the model would be shown.
    ///
    /// # Errors
    /// [`TextModelError::Tokenizer`] if the tokenizer fails.
    pub fn prompt(&mut self, messages: &[ChatMessage<'_>]) -> Result<Prompt, TextModelError> {
        let (text, tokens) = self.encode(messages)?;
        Ok(Prompt { text, tokens })
    }

    /// What a call through [`TurnModel`] had to say of the language, once.
    pub fn take_notice(&mut self) -> Option<LanguageNotice> {
        self.notice.take()
    }

    /// Bytes of text that were tokenised for the last prompt; the rest was remembered.
    pub fn tokenised(&self) -> usize {
        self.history.tokenised
    }

    fn encode(
        &mut self,
        messages: &[ChatMessage<'_>],
    ) -> Result<(String, Vec<i64>), TextModelError> {
        let format = &self.shared.format;
        let turns = turns(messages, format.max_messages, format.normalised);
        if turns.is_empty() {
            return Ok((String::new(), Vec::new()));
        }
        let pieces = pieces(&turns, &format.template);
        let text = pieces.concat();
        let tokens = self
            .history
            .encode(&self.shared.encoder, pieces, format.max_tokens)?;
        Ok((text, tokens))
    }

    /// The threshold of `language`, or of the last language known, and what to say of it.
    fn threshold(
        &mut self,
        language: Option<&str>,
    ) -> (Option<Probability>, Option<LanguageNotice>) {
        let thresholds = &self.shared.format.thresholds;
        let known = language.and_then(Language::parse);
        if let Some(language) = known
            && let Some(threshold) = thresholds.get(language)
        {
            self.language = Some(language);
            return (Some(threshold), None);
        }
        if let Some(threshold) = thresholds.of_any() {
            return (Some(threshold), None);
        }
        let threshold = self.language.and_then(|language| thresholds.get(language));
        // What names no language is one notice, whatever it says.
        let name = known
            .map(|language| language.to_string())
            .unwrap_or_default();
        let notice =
            (!self.noticed.contains(&name) && self.noticed.len() < MAX_NOTICES).then(|| {
                self.noticed.push(name);
                LanguageNotice {
                    given: language.map(str::to_owned),
                    used: self.language,
                }
            });
        (threshold, notice)
    }
}

impl TurnModel for TextTurn {
    fn unlikely_threshold(&self, language: Option<&str>) -> Probability {
        let thresholds = &self.shared.format.thresholds;
        let known = language
            .and_then(Language::parse)
            .and_then(|language| thresholds.get(language));
        let last = || self.language.and_then(|language| thresholds.get(language));
        known
            .or(thresholds.of_any())
            .or_else(last)
            .unwrap_or_else(|| thresholds.most_cautious())
    }

    /// Judges [`TurnContext::history`] and, after it, the transcript of this turn; without a transcript, or without any
    /// language that the model knows, `None`.
    fn end_of_turn(
        &mut self,
        context: &TurnContext<'_>,
    ) -> Result<Option<Probability>, ModelError> {
        let Some(transcript) = context
            .transcript
            .filter(|transcript| !transcript.is_empty())
        else {
            return Ok(None);
        };
        let mut messages = context.history.to_vec();
        messages.push(ChatMessage::user(transcript));
        let verdict = TextTurn::end_of_turn(self, &messages, context.language);
        let verdict = verdict.map_err(|error| ModelError::Run {
            what: error.to_string(),
        })?;
        if verdict.notice.is_some() {
            self.notice = verdict.notice;
        }
        Ok(verdict.probability)
    }
}
