//! What every example tells its user.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::error::Error;
use std::fmt;

/// At the end of `--help`.
pub(crate) const SERVER: &str = "\
Environment:
  LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET  The server: ws://127.0.0.1:7880, wss://...
  LISTENKIT_TRANSPORT                               native (if built with that feature) or ffi, LiveKit's media library
  LIVEKIT_LIB_PATH                                  That library, if `pip install livekit` is not in the Python on PATH
  OPENAI_BASE_URL, OPENAI_API_KEY                   Recognition, model and voice. Without: PocketSphinx and eSpeak NG, offline";

/// The same where only the server's API is called.
pub(crate) const API: &str = "\
Environment:
  LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET  The server: ws://127.0.0.1:7880, wss://...";

/// The same where there is no server.
pub(crate) const ENGINES: &str = "\
Environment:
  OPENAI_BASE_URL, OPENAI_API_KEY  Recognition, model and voice. Without: PocketSphinx and eSpeak NG, offline";

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
