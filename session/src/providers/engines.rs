//! The best providers that are at hand, for examples and first tries.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::espeak::{EspeakNg, EspeakOptions};
use super::instant::{EchoLlm, InstantStt, ToneTts};
use super::openai::{OpenAi, OpenAiLlmOptions, OpenAiSttOptions, OpenAiTtsOptions};
use super::pocketsphinx::{PocketSphinx, PocketSphinxOptions};
use crate::llm::Llm;
use crate::stt::SharedStt;
use crate::tts::SharedTts;
use crate::{ErrorKind, ProviderError};

/// A recogniser, a language model and a voice, and a line on each.
///
/// `OPENAI_BASE_URL` or `OPENAI_API_KEY` in the environment: that server for all three. Otherwise the programs of this machine, pocketsphinx and
/// espeak-ng; there is no language model among them. `LISTENKIT_STT`, `LISTENKIT_LLM` and `LISTENKIT_TTS` choose for one of them: `openai`, `pocketsphinx`,
/// `espeak`, [`instant`](super::instant). A variable that is empty is not set.
pub struct Engines {
    /// Recognises.
    pub stt: SharedStt,
    /// What it is.
    pub stt_note: String,
    /// Answers.
    pub llm: Arc<dyn Llm>,
    /// What it is.
    pub llm_note: String,
    /// Speaks.
    pub tts: SharedTts,
    /// What it is.
    pub tts_note: String,
}

type Found<T> = Result<(T, String), ProviderError>;

impl Engines {
    /// Looks for them, and starts pocketsphinx if it is to be used and this is a tokio runtime, so that its model is loaded when it
    /// is needed.
    ///
    /// # Errors
    /// [`ProviderError`] if one is missing; it says what to install or which variable to set, for all that are.
    pub fn find() -> Result<Self, ProviderError> {
        Self::of(stt(), llm(), tts())
    }

    /// [`find`](Self::find), with [`instant`](super::instant) in the place of what is missing: every turn is then the same words, the answer an echo, the
    /// voice a hum. The notes say so; show them.
    ///
    /// # Errors
    /// [`ProviderError`] if one that a variable asks for cannot be had.
    pub fn find_or_instant() -> Result<Self, ProviderError> {
        let stt = stt().or_else(|error| unless_asked_for("LISTENKIT_STT", error, instant_stt()));
        let llm = llm().or_else(|error| unless_asked_for("LISTENKIT_LLM", error, instant_llm()));
        let tts = tts().or_else(|error| unless_asked_for("LISTENKIT_TTS", error, instant_tts()));
        Self::of(stt, llm, tts)
    }

    /// The recogniser alone, for programs without a language model.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_stt() -> Result<SharedStt, ProviderError> {
        Ok(stt()?.0)
    }

    /// The voice alone.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_tts() -> Result<SharedTts, ProviderError> {
        Ok(tts()?.0)
    }

    fn of(
        stt: Found<SharedStt>,
        llm: Found<Arc<dyn Llm>>,
        tts: Found<SharedTts>,
    ) -> Result<Self, ProviderError> {
        let errors = [stt.as_ref().err(), llm.as_ref().err(), tts.as_ref().err()];
        let errors: Vec<_> = errors.into_iter().flatten().collect();
        if errors.len() > 1 {
            // One at a time would send the user three times to look for something.
            let mut all: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
            all.dedup();
            return Err(failed(all.join("; ")));
        }
        let ((stt, stt_note), (llm, llm_note), (tts, tts_note)) = (stt?, llm?, tts?);
        Ok(Self {
            stt,
            stt_note,
            llm,
            llm_note,
            tts,
            tts_note,
        })
    }
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a variable asks for, or `openai` if a server is named.
fn choice(name: &str) -> Option<String> {
    let server = || {
        set("OPENAI_BASE_URL")
            .or_else(|| set("OPENAI_API_KEY"))
            .map(|_| "openai".to_owned())
    };
    set(name).or_else(server)
}

fn unless_asked_for<T>(name: &str, error: ProviderError, found: (T, String)) -> Found<T> {
    match choice(name) {
        Some(_) => Err(error),
        None => Ok(found),
    }
}

fn stt() -> Found<SharedStt> {
    let sphinx = || -> Found<SharedStt> {
        let stt = PocketSphinx::new(PocketSphinxOptions::default())?;
        if Handle::try_current().is_ok() {
            stt.prewarm();
        }
        let note = "pocketsphinx, offline (it guesses; Whisper hears better)";
        Ok((Arc::new(stt), note.into()))
    };
    match choice("LISTENKIT_STT").as_deref() {
        Some("openai") => {
            let options = OpenAiSttOptions::default();
            let note = format!("{} by OpenAI's interface", options.model);
            Ok((Arc::new(OpenAi::from_env()?.stt(options)), note))
        }
        Some("pocketsphinx") => sphinx(),
        Some("instant") => Ok(instant_stt()),
        None => sphinx().map_err(|error| {
            let install = "apt-get install pocketsphinx pocketsphinx-en-us";
            missing(
                "recogniser",
                &format!("{install} ({error})"),
                "LISTENKIT_STT=instant, which hears the same words in every turn",
            )
        }),
        Some(other) => Err(unknown(
            "LISTENKIT_STT",
            other,
            "openai, pocketsphinx, instant",
        )),
    }
}

fn instant_stt() -> (SharedStt, String) {
    let note = "none: every turn is taken for the same words (apt-get install pocketsphinx pocketsphinx-en-us)";
    (Arc::new(InstantStt::new("something.")), note.into())
}

fn llm() -> Found<Arc<dyn Llm>> {
    match choice("LISTENKIT_LLM").as_deref() {
        Some("openai") => {
            let options = OpenAiLlmOptions::default();
            let note = format!("{} by OpenAI's interface", options.model);
            Ok((Arc::new(OpenAi::from_env()?.llm(options)), note))
        }
        Some("instant") => Ok(instant_llm()),
        None => Err(missing(
            "language model",
            "",
            "LISTENKIT_LLM=instant, an echo of what was said",
        )),
        Some(other) => Err(unknown("LISTENKIT_LLM", other, "openai, instant")),
    }
}

fn instant_llm() -> (Arc<dyn Llm>, String) {
    let note = "an echo: it says what it understood (OPENAI_BASE_URL names a language model)";
    (Arc::new(EchoLlm::new()), note.into())
}

fn tts() -> Found<SharedTts> {
    let is_there = super::is_on_path(Path::new("espeak-ng"));
    match choice("LISTENKIT_TTS").as_deref() {
        Some("openai") => {
            let options = OpenAiTtsOptions::default();
            let note = format!("{} by OpenAI's interface", options.model);
            Ok((Arc::new(OpenAi::from_env()?.tts(options)), note))
        }
        Some("espeak") | None if is_there => {
            let voice = EspeakNg::new(EspeakOptions::default());
            Ok((Arc::new(voice), "espeak-ng, offline".into()))
        }
        Some("instant") => Ok(instant_tts()),
        Some("espeak") | None => Err(missing(
            "voice",
            "apt-get install espeak-ng",
            "LISTENKIT_TTS=instant, which hums",
        )),
        Some(other) => Err(unknown("LISTENKIT_TTS", other, "openai, espeak, instant")),
    }
}

fn instant_tts() -> (SharedTts, String) {
    let note = "none: it hums as long as it would speak (apt-get install espeak-ng)";
    (Arc::new(ToneTts::new()), note.into())
}

fn missing(what: &str, install: &str, instead: &str) -> ProviderError {
    let install = match install {
        "" => String::new(),
        install => format!(", or {install}"),
    };
    failed(format!(
        "no {what}: set OPENAI_BASE_URL (any server with OpenAI's interface) or OPENAI_API_KEY{install}, or, to try without, {instead}"
    ))
}

fn unknown(variable: &str, value: &str, known: &str) -> ProviderError {
    failed(format!(
        "{variable} is {value:?}: give one of {known}, or leave it unset"
    ))
}

fn failed(message: String) -> ProviderError {
    ProviderError::new("engines", ErrorKind::Rejected, message)
}
