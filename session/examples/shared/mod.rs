//! What every example tells its user.
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    reason = "each example uses a part of it"
)]

use std::error::Error;
use std::fmt;

use tracing_subscriber::EnvFilter;

macro_rules! livekit {
    () => {
        "\
Environment:
  LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET
      The server: ws://127.0.0.1:7880, wss://...
"
    };
}

macro_rules! transport {
    () => {
        "  LISTENKIT_TRANSPORT
      native, the default (if built with that feature), or ffi, LiveKit's media library.
  LIVEKIT_LIB_PATH
      That library, if `pip install livekit` is not in the Python on PATH.
"
    };
}

macro_rules! openai {
    () => {
        "  OPENAI_BASE_URL, OPENAI_API_KEY
      The server of recognition, language model and voice: OpenAI's, or any with its interface (http://127.0.0.1:8000/v1).
  OPENAI_MODEL, OPENAI_STT_MODEL, OPENAI_TTS_MODEL, OPENAI_TTS_VOICE
      What is asked of it. Default: gpt-4o-mini, gpt-4o-mini-transcribe, gpt-4o-mini-tts, ash.
  LISTENKIT_STT, LISTENKIT_LLM, LISTENKIT_TTS
      Takes one of them from elsewhere: openai, pocketsphinx (STT), espeak (TTS),
      instant (always the same words, an echo, a hum).
"
    };
}

/// At the end of `--help`: an agent in a room.
pub(crate) const AGENT: &str = concat!(
    livekit!(),
    transport!(),
    openai!(),
    "Without OPENAI_BASE_URL and OPENAI_API_KEY, recognition is PocketSphinx and the voice eSpeak NG, offline, if they are installed. A language
model must be named: one of the two, or LISTENKIT_LLM=instant. A variable that is empty is not set."
);

/// The same without a language model.
pub(crate) const DIALOGUE: &str = concat!(
    livekit!(),
    transport!(),
    openai!(),
    "Without OPENAI_BASE_URL and OPENAI_API_KEY, recognition is PocketSphinx and the voice eSpeak NG, offline, if they are installed. No language
model is asked. A variable that is empty is not set."
);

/// The same where only the server's API is called.
pub(crate) const API: &str = livekit!();

/// The same where there is no server.
pub(crate) const ENGINES: &str = concat!(
    "Environment:\n",
    openai!(),
    "Without OPENAI_BASE_URL and OPENAI_API_KEY, recognition is PocketSphinx and the voice eSpeak NG, offline, if they are installed; what is
missing is made up, and the heading says so. A variable that is empty is not set."
);

/// Prints warnings and errors of the session on the standard error; `RUST_LOG` asks for more.
pub(crate) fn print_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// Ends `main` with the error's own words, not with its fields.
pub(crate) struct Failure(Box<dyn Error>);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}
