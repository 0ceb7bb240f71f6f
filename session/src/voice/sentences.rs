//! Opens a voice as a stream of text, whichever kind it is.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::tts::{
    SentenceOptions, SentenceStream, SharedTts, TtsCommand, TtsEvent, TtsInput, TtsStream,
};
use crate::{ErrorKind, ProviderError, RetryPolicy};

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
    let label = tts.label().to_owned();
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
    tokio::pin!(speak);
    let mut is_said = false;
    loop {
        let event = tokio::select! {
            () = &mut speak, if !is_said => {
                is_said = true;
                continue;
            }
            event = next(&mut events, is_said.then_some(retry.timeout)) => event,
        };
        let event = match event {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(late) => {
                let message = format!("no audio for {late:?} behind the end of the text");
                Err(ProviderError::new(&label, ErrorKind::Timeout, message))
            }
        };
        let failed = event.is_err();
        if out.send(event).await.is_err() || failed {
            return;
        }
    }
}

/// What the voice gives next; the limit, if it gives nothing within it. While text may still come, silence is no failure.
async fn next(
    events: &mut mpsc::Receiver<Result<TtsEvent, ProviderError>>,
    limit: Option<Duration>,
) -> Result<Option<Result<TtsEvent, ProviderError>>, Duration> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, events.recv())
            .await
            .map_err(|_| limit),
        None => Ok(events.recv().await),
    }
}
