//! Opens a voice as a stream of text, whichever kind it is.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::tts::{
    FilterStream, SentenceOptions, SentenceStream, SharedTts, TtsCommand, TtsEvent, TtsInput,
    TtsStream, Writer, Written,
};
use crate::{ErrorKind, ProviderError};

/// A stream into `tts`: its own, or sentence after sentence.
pub(super) fn open(tts: SharedTts, options: SentenceOptions) -> TtsStream {
    if !tts.capabilities().streaming {
        return SentenceStream::open(tts, options);
    }
    let (input, commands) = TtsInput::channel(64);
    let (out, events) = mpsc::channel(64);
    // Ends with its input and the voice's last audio, or when nobody reads.
    tokio::spawn(async move {
        tokio::select! {
            () = pass(tts, options, commands, &out) => {}
            () = out.closed() => {}
        }
    });
    TtsStream { input, events }
}

/// Opens the voice's own stream and passes on what comes, each way.
async fn pass(
    tts: SharedTts,
    options: SentenceOptions,
    commands: mpsc::Receiver<TtsCommand>,
    out: &mpsc::Sender<Result<TtsEvent, ProviderError>>,
) {
    let retry = options.retry;
    let TtsStream { input, mut events } = match retry.run_for(tts.label(), |_| tts.stream()).await {
        (Ok(stream), _) => stream,
        (Err(error), _) => {
            let _ = out.send(Err(error)).await;
            return;
        }
    };
    let label = tts.label().to_owned();
    let mut names = Names::default();
    let (said, mut pushed) = mpsc::unbounded_channel();
    let speak = async move {
        let mut filter = FilterStream::new(options.filter);
        let mut writer = Writer::new(commands);
        loop {
            let written = writer.next().await;
            let spoken = match &written {
                Written::Text(text) => filter.push(text),
                Written::Pause => filter.pause(),
                Written::Flush | Written::End => filter.finish(),
            };
            if !spoken.is_empty() {
                let _ = said.send(spoken.clone());
                if !input.push_text(spoken).await {
                    return;
                }
            }
            match written {
                Written::Text(_) | Written::Pause => {}
                Written::Flush => {
                    if !input.flush().await {
                        return;
                    }
                }
                Written::End => break,
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
        while let Ok(text) = pushed.try_recv() {
            names.pushed.push_str(&text);
        }
        if let Ok(event) = &event {
            match names.of(event) {
                Name::Own => {}
                Name::Left => continue,
                Name::Add(text) => {
                    if out.send(Ok(text)).await.is_err() {
                        return;
                    }
                }
            }
        }
        let failed = event.is_err();
        if out.send(event).await.is_err() || failed {
            return;
        }
    }
}

/// Which text the audio speaks, for a voice that does not say so: all that it was given.
#[derive(Default)]
struct Names {
    /// What the voice was given and nobody was told of.
    pushed: String,
    /// Whether the voice says so itself. Its first audio decides.
    own: Option<bool>,
    told: bool,
}

enum Name {
    /// The event stands for itself.
    Own,
    /// The event comes too late to be told.
    Left,
    /// This goes before it.
    Add(TtsEvent),
}

impl Names {
    fn of(&mut self, event: &TtsEvent) -> Name {
        match event {
            TtsEvent::Text(_) | TtsEvent::More(_) | TtsEvent::Spoken(_) => {
                match *self.own.get_or_insert(true) {
                    true => Name::Own,
                    false => Name::Left,
                }
            }
            TtsEvent::Audio(_) if !*self.own.get_or_insert(false) => {
                let text = std::mem::take(&mut self.pushed);
                match std::mem::replace(&mut self.told, true) {
                    _ if text.is_empty() => Name::Own,
                    false => Name::Add(TtsEvent::Text(text)),
                    true => Name::Add(TtsEvent::More(text)),
                }
            }
            _ => Name::Own,
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
