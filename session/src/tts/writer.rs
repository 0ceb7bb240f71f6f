//! What is read from who writes the text of a voice.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::TtsCommand;

/// A writer from whom nothing comes for so long has paused: what is whole is spoken without waiting for what follows. Longer than a language model takes for
/// a piece, shorter than a pause in speech that would be noticed.
const PAUSE: Duration = Duration::from_millis(400);

/// What a writer does.
pub(crate) enum Written {
    Text(String),
    /// Nothing, behind a text. Told once.
    Pause,
    Flush,
    End,
}

pub(crate) struct Writer {
    commands: mpsc::Receiver<TtsCommand>,
    is_writing: bool,
}

impl Writer {
    pub(crate) const fn new(commands: mpsc::Receiver<TtsCommand>) -> Self {
        Self {
            commands,
            is_writing: false,
        }
    }

    pub(crate) async fn next(&mut self) -> Written {
        let command = match self.is_writing {
            true => timeout(PAUSE, self.commands.recv()).await,
            false => Ok(self.commands.recv().await),
        };
        let written = match command {
            Ok(Some(TtsCommand::Text(text))) => Written::Text(text),
            Ok(Some(TtsCommand::Flush)) => Written::Flush,
            Ok(None) => Written::End,
            Err(_) => Written::Pause,
        };
        self.is_writing = matches!(written, Written::Text(_));
        written
    }
}
