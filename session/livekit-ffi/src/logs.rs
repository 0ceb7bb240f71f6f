//! The library's logs, written by a thread of our own so that a slow terminal never holds the library up.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use crate::messages::{LogBatch, LogLevel};
use crate::redact::without_tokens;

/// Batches that may wait. When more come, they are dropped and counted.
const WAITING: usize = 64;

pub(crate) struct Logs(SyncSender<LogBatch>);

impl Logs {
    /// Starts the thread. It ends with the process, as the library does.
    pub(crate) fn start() -> Option<Self> {
        let (sender, receiver) = sync_channel::<LogBatch>(WAITING);
        thread::Builder::new()
            .name("livekit-logs".to_owned())
            .spawn(move || {
                for batch in receiver {
                    batch.records.iter().for_each(write);
                }
            })
            .ok()
            .map(|_| Self(sender))
    }

    pub(crate) fn put(&self, batch: LogBatch) {
        match self.0.try_send(batch) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write(record: &crate::messages::LogRecord) {
    // The library warns of a failed join in the server's words, and those have the token in them.
    let (from, message) = (record.target.as_str(), without_tokens(&record.message));
    match LogLevel::try_from(record.level) {
        Ok(LogLevel::LogError) => tracing::error!(target: "livekit", from, "{message}"),
        Ok(LogLevel::LogWarn) => tracing::warn!(target: "livekit", from, "{message}"),
        // What the library calls information is of interest to its developers: each ICE candidate, each SDP.
        Ok(LogLevel::LogInfo) => tracing::debug!(target: "livekit", from, "{message}"),
        _ => tracing::trace!(target: "livekit", from, "{message}"),
    }
}
