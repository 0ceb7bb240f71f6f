//! The text of a speech while it is made: from the language model or the program, on its way to the voice.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::message::Message;
use crate::llm::{ChatChunk, ChatStream, Llm, Usage};
use crate::tts::{TtsEvent, TtsInput};
use crate::{ChatContext, ErrorKind, ProviderError, RetryPolicy};

/// A generation that runs or has run. Dropping it ends it.
pub(super) struct Generation {
    pub(super) number: u64,
    task: JoinHandle<()>,
    voice: Option<oneshot::Sender<TtsInput>>,
    /// Audio of a voice that was opened already.
    pub(super) audio: Option<mpsc::Receiver<Result<TtsEvent, ProviderError>>>,
    pub(super) first_text: Arc<OnceLock<Instant>>,
    /// What came of it, once it is over.
    pub(super) done: Option<Box<Generated>>,
}

/// What came of a generation.
pub(super) struct Generated {
    pub(super) number: u64,
    /// All of its text.
    pub(super) text: String,
    /// Of the language model; `None` if the text was the program's.
    pub(super) label: Option<String>,
    pub(super) ttft: Option<Duration>,
    pub(super) duration: Duration,
    pub(super) usage: Option<Usage>,
    pub(super) attempts: u32,
    pub(super) cancelled: bool,
    pub(super) error: Option<ProviderError>,
}

/// What the text is made of.
pub(super) enum Source {
    Text(BoxStream<'static, String>),
    Llm {
        llm: Arc<dyn Llm>,
        context: ChatContext,
        retry: RetryPolicy,
    },
}

impl Generation {
    pub(super) fn start(
        number: u64,
        source: Source,
        messages: mpsc::WeakUnboundedSender<Message>,
    ) -> Self {
        let (voice, opened) = oneshot::channel();
        let first_text = Arc::new(OnceLock::new());
        let report = Report::new(number, &source, first_text.clone(), messages);
        Self {
            number,
            task: tokio::spawn(run(source, opened, report)),
            voice: Some(voice),
            audio: None,
            first_text,
            done: None,
        }
    }

    /// Gives it the voice: what is there is spoken, and what follows.
    pub(super) fn speak(&mut self, input: TtsInput) {
        if let Some(voice) = self.voice.take() {
            // Fails only if the task is gone; then the input is dropped, which ends the voice's stream.
            let _ = voice.send(input);
        }
    }

    pub(super) const fn has_voice(&self) -> bool {
        self.voice.is_none()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reports when it is dropped, so that what is cancelled is reported too.
struct Report {
    began: Instant,
    first_text: Arc<OnceLock<Instant>>,
    generated: Option<Box<Generated>>,
    messages: mpsc::WeakUnboundedSender<Message>,
}

impl Report {
    fn new(
        number: u64,
        source: &Source,
        first_text: Arc<OnceLock<Instant>>,
        messages: mpsc::WeakUnboundedSender<Message>,
    ) -> Self {
        Self {
            began: Instant::now(),
            first_text,
            generated: Some(Box::new(Generated {
                number,
                text: String::new(),
                label: match source {
                    Source::Text(_) => None,
                    Source::Llm { llm, .. } => Some(llm.label().to_owned()),
                },
                ttft: None,
                duration: Duration::ZERO,
                usage: None,
                attempts: 0,
                cancelled: true,
                error: None,
            })),
            messages,
        }
    }

    fn generated(&mut self) -> &mut Generated {
        self.generated
            .as_mut()
            .expect("it is taken when this is dropped")
    }

    fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let since = self.began.elapsed();
        let _ = self.first_text.set(Instant::now());
        let generated = self.generated();
        generated.ttft.get_or_insert(since);
        generated.text.push_str(text);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let (Some(mut generated), Some(messages)) =
            (self.generated.take(), self.messages.upgrade())
        {
            generated.duration = self.began.elapsed();
            let _ = messages.send(Message::Generated(generated));
        }
    }
}

async fn run(source: Source, opened: oneshot::Receiver<TtsInput>, mut report: Report) {
    let (mut chunks, deadline) = match source {
        Source::Text(text) => {
            let chunks: ChatStream = text.map(|text| Ok(ChatChunk { text, usage: None })).boxed();
            (chunks, None)
        }
        Source::Llm {
            llm,
            context,
            retry,
        } => {
            let (asked, attempts) = retry
                .run_for(llm.label(), |_| first_chunk(llm.as_ref(), &context))
                .await;
            report.generated().attempts = attempts;
            match asked {
                Ok(chunks) => (chunks, Some((retry.timeout, llm.label().to_owned()))),
                Err(error) => {
                    let generated = report.generated();
                    generated.error = Some(error);
                    generated.cancelled = false;
                    return;
                }
            }
        }
    };
    let mut opened = Some(opened);
    let mut voice: Option<TtsInput> = None;
    // Text that no voice has been given.
    let mut held = String::new();
    loop {
        let chunk = tokio::select! {
            biased;
            input = wait_for(&mut opened) => {
                let Some(input) = input else { return }; // nobody will ever speak it
                if !held.is_empty() && !input.push_text(std::mem::take(&mut held)).await {
                    return;
                }
                voice = Some(input);
                continue;
            }
            chunk = next(&mut chunks, deadline.as_ref()) => chunk,
        };
        match chunk {
            Some(Ok(chunk)) => {
                report.add(&chunk.text);
                if chunk.usage.is_some() {
                    report.generated().usage = chunk.usage;
                }
                match &voice {
                    Some(input) if !chunk.text.is_empty() => {
                        if !input.push_text(chunk.text).await {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => held.push_str(&chunk.text),
                }
            }
            Some(Err(error)) => {
                report.generated().error = Some(error);
                break;
            }
            None => break,
        }
    }
    report.generated().cancelled = false;
    drop(report);
    if voice.is_none()
        && !held.is_empty()
        && let Some(input) = wait_for(&mut opened).await
    {
        input.push_text(held).await;
    }
}

/// The voice, when it is given; `None` if it never will be. Waits for ever if it has been given.
async fn wait_for(opened: &mut Option<oneshot::Receiver<TtsInput>>) -> Option<TtsInput> {
    match opened {
        Some(receiver) => {
            let input = receiver.await.ok();
            *opened = None;
            input
        }
        None => std::future::pending().await,
    }
}

async fn next(
    chunks: &mut ChatStream,
    deadline: Option<&(Duration, String)>,
) -> Option<Result<ChatChunk, ProviderError>> {
    let Some((timeout, label)) = deadline else {
        return chunks.next().await;
    };
    tokio::time::timeout(*timeout, chunks.next())
        .await
        .unwrap_or_else(|_| {
            Some(Err(ProviderError::new(
                label,
                ErrorKind::Timeout,
                format!("no more text within {timeout:?}"),
            )))
        })
}

/// One request, up to its first text: until then it can be made again.
async fn first_chunk(llm: &dyn Llm, context: &ChatContext) -> Result<ChatStream, ProviderError> {
    let mut chunks = llm.chat(context).await?;
    loop {
        match chunks.next().await {
            Some(Ok(chunk)) if chunk.text.is_empty() && chunk.usage.is_none() => {}
            Some(Ok(chunk)) => {
                return Ok(futures_util::stream::once(async { Ok(chunk) })
                    .chain(chunks)
                    .boxed());
            }
            Some(Err(error)) => return Err(error),
            None => return Ok(futures_util::stream::empty().boxed()),
        }
    }
}
