//! Opens a voice as a stream of text, whichever kind it is.

use tokio::sync::mpsc;

use crate::tts::{
    SentenceOptions, SentenceStream, SharedTts, TtsCommand, TtsEvent, TtsInput, TtsStream,
};
use crate::{ProviderError, RetryPolicy};

/// A stream into `tts`: its own, or sentence after sentence.
pub(super) fn open(tts: SharedTts, retry: RetryPolicy) -> TtsStream {
    if !tts.capabilities().streaming {
        let options = SentenceOptions {
            retry,
            ..SentenceOptions::default()
        };
        return SentenceStream::open(tts, options);
    }
    let (input, commands) = TtsInput::channel(64);
    let (out, events) = mpsc::channel(64);
    // Ends with its input and the voice's last audio, or when nobody reads.
    tokio::spawn(async move {
        tokio::select! {
            () = pass(tts, retry, commands, &out) => {}
            () = out.closed() => {}
        }
    });
    TtsStream { input, events }
}

/// Opens the voice's own stream and passes on what comes, each way.
async fn pass(
    tts: SharedTts,
    retry: RetryPolicy,
    mut commands: mpsc::Receiver<TtsCommand>,
    out: &mpsc::Sender<Result<TtsEvent, ProviderError>>,
) {
    let TtsStream { input, mut events } = match retry.run_for(tts.label(), |_| tts.stream()).await {
        (Ok(stream), _) => stream,
        (Err(error), _) => {
            let _ = out.send(Err(error)).await;
            return;
        }
    };
    let speak = async move {
        while let Some(command) = commands.recv().await {
            let taken = match command {
                TtsCommand::Text(text) => input.push_text(text).await,
                TtsCommand::Flush => input.flush().await,
            };
            if !taken {
                return;
            }
        }
        input.end_input();
    };
    let hear = async move {
        while let Some(event) = events.recv().await {
            if out.send(event).await.is_err() {
                return;
            }
        }
    };
    futures_util::future::join(speak, hear).await;
}
