//! The best providers that are at hand, for examples and first tries.

use std::path::Path;
use std::sync::Arc;

use super::espeak::{EspeakNg, EspeakOptions};
use super::instant::{EchoLlm, InstantStt, ToneTts};
use super::openai::{OpenAi, OpenAiLlmOptions, OpenAiSttOptions, OpenAiTtsOptions};
use super::pocketsphinx::{PocketSphinx, PocketSphinxOptions};
use crate::ProviderError;
use crate::llm::Llm;
use crate::stt::SharedStt;
use crate::tts::SharedTts;

/// A recogniser, a language model and a voice, and a line on each.
///
/// `OPENAI_BASE_URL` or `OPENAI_API_KEY` in the environment: that server for all three. Otherwise the programs of this machine, pocketsphinx and
/// espeak-ng; otherwise [`instant`](super::instant). `LISTENKIT_STT`, `LISTENKIT_LLM` and `LISTENKIT_TTS` choose for one of them: `openai`, `pocketsphinx`,
/// `espeak`, `instant`.
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

impl Engines {
    /// Looks for them, and starts pocketsphinx if it is to be used, so that its model is loaded when it is needed.
    ///
    /// # Errors
    /// [`ProviderError`] if one that was asked for cannot be had; it says what to do.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn find() -> Result<Self, ProviderError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let has_server = set("OPENAI_BASE_URL").is_some() || set("OPENAI_API_KEY").is_some();
        let choice = |name: &str| match set(name) {
            Some(choice) => choice,
            None if has_server => "openai".to_owned(),
            None => "best".to_owned(),
        };
        let (stt, stt_note) = stt(&choice("LISTENKIT_STT"))?;
        let (llm, llm_note) = llm(&choice("LISTENKIT_LLM"))?;
        let (tts, tts_note) = tts(&choice("LISTENKIT_TTS"))?;
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

fn stt(choice: &str) -> Result<(SharedStt, String), ProviderError> {
    let sphinx = || -> Result<(SharedStt, String), ProviderError> {
        let stt = PocketSphinx::new(PocketSphinxOptions::default())?;
        stt.prewarm();
        let note = "pocketsphinx, offline (it guesses; Whisper hears better)";
        Ok((Arc::new(stt), note.into()))
    };
    match choice {
        "openai" => {
            let options = OpenAiSttOptions::default();
            let note = format!("{} by OpenAI's interface", options.model);
            Ok((Arc::new(OpenAi::from_env()?.stt(options)), note))
        }
        "pocketsphinx" => sphinx(),
        "instant" => Ok(no_words()),
        "best" => Ok(sphinx().unwrap_or_else(|_| no_words())),
        other => Err(unknown(
            "LISTENKIT_STT",
            other,
            "openai, pocketsphinx, instant",
        )),
    }
}

fn no_words() -> (SharedStt, String) {
    let note = "none: every turn is taken for the same words (apt-get install pocketsphinx pocketsphinx-en-us)";
    (Arc::new(InstantStt::new("something.")), note.into())
}

fn llm(choice: &str) -> Result<(Arc<dyn Llm>, String), ProviderError> {
    match choice {
        "openai" => {
            let options = OpenAiLlmOptions::default();
            let note = format!("{} by OpenAI's interface", options.model);
            Ok((Arc::new(OpenAi::from_env()?.llm(options)), note))
        }
        "instant" | "best" => {
            let note =
                "an echo: it says what it understood (OPENAI_BASE_URL names a language model)";
            Ok((Arc::new(EchoLlm::new()), note.into()))
        }
        other => Err(unknown("LISTENKIT_LLM", other, "openai, instant")),
    }
}

fn tts(choice: &str) -> Result<(SharedTts, String), ProviderError> {
    let espeak = || -> (SharedTts, String) {
        let voice = EspeakNg::new(EspeakOptions::default());
        (Arc::new(voice), "espeak-ng, offline".into())
    };
    match choice {
        "openai" => {
            let options = OpenAiTtsOptions::default();
            let note = format!("{} by OpenAI's interface", options.model);
            Ok((Arc::new(OpenAi::from_env()?.tts(options)), note))
        }
        "espeak" => Ok(espeak()),
        "instant" => Ok(no_voice()),
        "best" if super::is_on_path(Path::new("espeak-ng")) => Ok(espeak()),
        "best" => Ok(no_voice()),
        other => Err(unknown("LISTENKIT_TTS", other, "openai, espeak, instant")),
    }
}

fn no_voice() -> (SharedTts, String) {
    let note = "none: it hums as long as it would speak (apt-get install espeak-ng)";
    (Arc::new(ToneTts::new()), note.into())
}

fn unknown(variable: &str, value: &str, known: &str) -> ProviderError {
    let message = format!("{variable} is {value:?}: give one of {known}, or leave it unset");
    ProviderError::new("engines", crate::ErrorKind::Rejected, message)
}
