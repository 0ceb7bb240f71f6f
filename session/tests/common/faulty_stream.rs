//! A recogniser that streams, and breaks when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use listenkit_session::stt::{
    RecognizeOptions, Stt, SttCapabilities, SttCommand, SttEvent, SttInput, SttStream,
};
use listenkit_session::{ErrorKind, ProviderError};
use tokio::sync::mpsc;

/// How a stream breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// With an error.
    Error(ErrorKind),
    /// Without a word.
    Ends,
    /// It takes no more input, and says nothing.
    Hangs,
}

/// Passes everything to `inner`, whose streams break by the plan: stream number n after this much audio.
pub(crate) struct FaultyStream {
    label: &'static str,
    inner: Arc<dyn Stt>,
    plan: Vec<Option<(Duration, Fault)>>,
    /// Without times in its transcripts, starts and ends.
    bare: bool,
    opened: Arc<AtomicUsize>,
}

impl FaultyStream {
    /// `plan` is for the first streams; those behind do not break.
    pub(crate) fn new(
        label: &'static str,
        inner: Arc<dyn Stt>,
        plan: Vec<Option<(Duration, Fault)>>,
    ) -> Self {
        Self {
            label,
            inner,
            plan,
            bare: false,
            opened: Arc::default(),
        }
    }

    /// Like a recogniser that gives transcripts and nothing else.
    pub(crate) fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Streams that were opened.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Stt for FaultyStream {
    fn label(&self) -> &str {
        self.label
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::STREAMING
    }

    async fn stream(&self, options: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let fault = self.plan.get(number).copied().flatten();
        if let Some((Duration::ZERO, Fault::Error(kind))) = fault {
            return Err(ProviderError::new(self.label, kind, "does not open"));
        }
        let behind = self.inner.stream(options).await?;
        let (input, commands) = SttInput::channel(16);
        let (out, events) = mpsc::channel(16);
        tokio::spawn(proxy(behind, commands, out, fault, (self.label, self.bare)));
        Ok(SttStream { input, events })
    }
}

async fn proxy(
    behind: SttStream,
    mut commands: mpsc::Receiver<SttCommand>,
    out: mpsc::Sender<SttEvent>,
    fault: Option<(Duration, Fault)>,
    (label, bare): (&'static str, bool),
) {
    let SttStream { input, mut events } = behind;
    let mut input = Some(input);
    let mut heard = Duration::ZERO;
    loop {
        if let Some((at, fault)) = fault.filter(|(at, _)| heard >= *at) {
            let _ = at;
            match fault {
                Fault::Error(kind) => {
                    let error = ProviderError::new(label, kind, "broken");
                    let recoverable = false;
                    let _ = out.send(SttEvent::Error { error, recoverable }).await;
                }
                Fault::Ends => {}
                Fault::Hangs => out.closed().await,
            }
            return;
        }
        tokio::select! {
            command = commands.recv(), if input.is_some() => match command {
                Some(command) => {
                    if let SttCommand::Frame(frame) = &command {
                        heard += frame.duration();
                    }
                    if let Some(input) = &input {
                        input.send(command).await;
                    }
                }
                None => input = None,
            },
            event = events.recv() => {
                let event = match event {
                    Some(SttEvent::Final(mut transcript)) => {
                        if bare {
                            transcript.span = None;
                        }
                        transcript.text = format!("{label} {}", transcript.text);
                        SttEvent::Final(transcript)
                    }
                    Some(SttEvent::StartOfSpeech { .. } | SttEvent::EndOfSpeech { .. }) if bare => continue,
                    Some(event) => event,
                    None => return,
                };
                if out.send(event).await.is_err() {
                    return;
                }
            }
        }
    }
}
