//! Several recognisers, of which the next takes over when one fails.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use listenkit::SileroVad;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::relay::{self, Failure, RelayOptions, Source};
use super::segments::lock;
use super::{
    RecognizeOptions, SharedStt, StreamAdapter, StreamAdapterOptions, Stt, SttCapabilities,
    SttCommand, SttEvent, SttStream, Transcript,
};
use crate::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};

const LABEL: &str = "fallback";

/// Changes of availability that a slow reader can be behind.
const CHANGES: usize = 64;

/// Least time between two attempts to find out whether a recogniser works again: each is a request, which may cost money.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// How a [`FallbackAdapter`] falls back.
#[derive(Clone, Debug)]
pub struct FallbackOptions {
    /// Finds the utterances for recognisers that do not stream. Needed if there is one.
    pub vad: Option<SileroVad>,
    /// How it finds them. Retries are those below.
    pub adapter: StreamAdapterOptions,
    /// For each recogniser, one retry and 10 s for an attempt, as LiveKit Agents 1.8.9. A request, and the opening of a stream, is retried before the next is asked. A stream that breaks goes
    /// to the next at once; when all have failed since the last transcript, they are opened again, each as often as this says. Its time is also what a stream gets to take its input, and for
    /// each of its events behind the end of the input.
    pub retry: RetryPolicy,
    /// Time between two attempts to find out whether a recogniser that failed works again. Default 5 s; at least 0.1 s. One that asks for more time
    /// ([`ProviderError::retry_after`]) gets it.
    pub recovery_interval: Duration,
    /// Most audio without a transcript that is kept for the next recogniser. Default 60 s; only a stream that gives no transcript for so long loses any. Audio that no recogniser has got yet
    /// is not dropped: while there is so much of it, the input waits. The next hears all of it first, silence too, for a stream that says nothing may be deaf.
    pub max_replay: Duration,
}

impl Default for FallbackOptions {
    fn default() -> Self {
        Self {
            vad: None,
            adapter: StreamAdapterOptions::default(),
            retry: RetryPolicy {
                max_retries: 1,
                ..RetryPolicy::default()
            },
            recovery_interval: Duration::from_secs(5),
            max_replay: Duration::from_secs(60),
        }
    }
}

crate::setters::setters!(FallbackOptions {
    [some] vad: SileroVad,
    adapter: StreamAdapterOptions,
    retry: RetryPolicy,
    recovery_interval: Duration,
    max_replay: Duration
});

/// A recogniser has failed, or works again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvailabilityChanged {
    /// Its place in the list.
    pub index: usize,
    /// Its name.
    pub label: String,
    /// Whether it will be asked.
    pub available: bool,
}

/// Asks the first recogniser of a list that works.
///
/// One that fails is left out until it works again, which is tried in the background with the audio it failed on. If none is available, all are asked in turn. One that refuses a request
/// ([`ProviderError::is_retryable`] is false) is not left out: the next gets that request.
///
/// Utterances go to the next one by one; of a stream, everything that no transcript has answered is replayed, so a failure costs time but no words. What a transcript answers is said by its
/// span; without, it is the oldest speech whose start and end were told; of a recogniser that tells none of these, all that it was given before. A start or end of speech that
/// was told is not told again. If all fail, what was not answered comes out as [`SegmentFailed`](SttEvent::SegmentFailed), then the error.
pub struct FallbackAdapter {
    inner: Arc<Inner>,
}

struct Inner {
    stts: Vec<Candidate>,
    options: FallbackOptions,
    changes: broadcast::Sender<AvailabilityChanged>,
    recoveries: Mutex<JoinSet<()>>,
}

struct Candidate {
    stt: SharedStt,
    /// The same, or an adapter around it.
    streaming: SharedStt,
    available: AtomicBool,
}

impl FallbackAdapter {
    /// An adapter around these recognisers, the best first.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] if there is none, one does not stream and there is no VAD, or an option is out of range.
    pub fn new(stts: Vec<SharedStt>, options: FallbackOptions) -> Result<Self, ProviderError> {
        if stts.is_empty() {
            return Err(rejected("give at least one STT"));
        }
        let mut candidates = Vec::new();
        for stt in stts {
            let streaming = match (stt.capabilities().streaming, &options.vad) {
                (true, _) => Arc::clone(&stt),
                (false, Some(vad)) => {
                    let mut adapter = options.adapter.clone();
                    adapter.recognizer.retry = options.retry;
                    let adapter = StreamAdapter::new(Arc::clone(&stt), vad.clone(), adapter);
                    Arc::new(adapter.map_err(|error| rejected(error.to_string()))?)
                }
                (false, None) => {
                    return Err(ProviderError::new(
                        stt.label(),
                        ErrorKind::Rejected,
                        "STT does not support streaming, add VAD to enable streaming",
                    ));
                }
            };
            candidates.push(Candidate {
                stt,
                streaming,
                available: AtomicBool::new(true),
            });
        }
        let inner = Arc::new(Inner {
            stts: candidates,
            options,
            changes: broadcast::Sender::new(CHANGES),
            recoveries: Mutex::default(),
        });
        Ok(Self { inner })
    }

    /// Hears of every change of availability from here on. A reader that is more than 64 behind misses the oldest.
    pub fn availability_changes(&self) -> broadcast::Receiver<AvailabilityChanged> {
        self.inner.changes.subscribe()
    }

    /// Whether the recognisers work, as far as is known, in the order of the list.
    pub fn available(&self) -> Vec<bool> {
        let all = self.inner.stts.iter();
        all.map(|stt| stt.available.load(Ordering::Relaxed))
            .collect()
    }
}

impl fmt::Debug for FallbackAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.inner.stts.iter().map(|c| c.stt.label()).collect();
        f.debug_struct("FallbackAdapter")
            .field("stts", &labels)
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Stt for FallbackAdapter {
    /// The name of the one that is asked next.
    fn label(&self) -> &str {
        self.inner.label()
    }

    fn capabilities(&self) -> SttCapabilities {
        let all = &self.inner.stts;
        SttCapabilities {
            streaming: true,
            interim_results: all.iter().all(|c| c.stt.capabilities().interim_results),
        }
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        self.inner.recognize(audio, options).await
    }

    async fn stream(&self, options: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let inner = &self.inner;
        let own = &inner.options;
        let none_streams = inner.stts.iter().all(|c| !c.stt.capabilities().streaming);
        if let (true, Some(vad)) = (none_streams, &own.vad) {
            // One VAD for all: each utterance falls back by itself, and nothing is heard twice.
            let mut adapter = own.adapter.clone();
            adapter.recognizer.retry = own.retry_of_all(inner.stts.len());
            let batch = Arc::new(Batch(Arc::clone(inner)));
            let adapter = StreamAdapter::new(batch, vad.clone(), adapter)
                .map_err(|error| rejected(error.to_string()))?;
            return adapter.stream(options).await;
        }
        let source = Box::new(Next {
            inner: Arc::clone(inner),
            options: options.clone(),
            present: None,
            records: vec![Record::default(); inner.stts.len()],
        });
        let relay = RelayOptions {
            max_replay: own.max_replay,
            timeout: own.retry.timeout,
        };
        Ok(relay::open(source, relay))
    }
}

impl FallbackOptions {
    /// A single attempt, long enough for all recognisers to fail one after the other.
    fn retry_of_all(&self, count: usize) -> RetryPolicy {
        let attempts = self.retry.max_retries.saturating_add(1);
        let all = attempts.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        // A `Retry-After` may make a wait longer than `max_delay`; what then takes too long is given back with its audio.
        let longest = self.retry.timeout.saturating_add(self.retry.max_delay);
        RetryPolicy {
            max_retries: 0,
            timeout: longest
                .saturating_add(self.adapter.max_segment)
                .saturating_mul(all),
            ..self.retry
        }
    }
}

/// The list as a recogniser of utterances.
struct Batch(Arc<Inner>);

#[async_trait::async_trait]
impl Stt for Batch {
    fn label(&self) -> &str {
        self.0.label()
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        self.0.recognize(audio, options).await
    }
}

impl Inner {
    fn label(&self) -> &str {
        self.stts[self.order()[0]].stt.label()
    }

    /// Whom to ask, in order: those that are available, or all if none is.
    fn order(&self) -> Vec<usize> {
        let all = 0..self.stts.len();
        let available: Vec<_> = all
            .clone()
            .filter(|&n| self.stts[n].available.load(Ordering::Relaxed))
            .collect();
        match available.is_empty() {
            true => all.collect(),
            false => available,
        }
    }

    async fn recognize(
        self: &Arc<Self>,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        let mut policy = self.options.retry;
        policy.timeout = policy.timeout.saturating_add(audio.duration());
        let mut errors = Vec::new();
        for index in self.order() {
            let stt = &self.stts[index].stt;
            let asked = policy.run_for(stt.label(), |_| stt.recognize(audio, options));
            match asked.await.0 {
                Ok(transcript) => {
                    self.works(index);
                    return Ok(transcript);
                }
                Err(error) => {
                    self.failed(index, &error, Some(audio.clone()), options);
                    errors.push(error);
                }
            }
        }
        Err(all_failed(&errors))
    }

    fn works(&self, index: usize) {
        let candidate = &self.stts[index];
        if !candidate.available.swap(true, Ordering::Relaxed) {
            self.tell(index, true);
        }
    }

    /// Leaves a recogniser out, and looks after it; unless it has refused this request only.
    fn failed(
        self: &Arc<Self>,
        index: usize,
        error: &ProviderError,
        audio: Option<AudioFrame>,
        options: &RecognizeOptions,
    ) {
        if !error.is_retryable() {
            let label = self.stts[index].stt.label();
            tracing::warn!(label, %error, "a recogniser has refused a request");
            return;
        }
        if !self.stts[index].available.swap(false, Ordering::Relaxed) {
            return;
        }
        self.tell(index, false);
        let recovery = recover(Arc::downgrade(self), index, audio, options.clone());
        let mut recoveries = lock(&self.recoveries);
        while recoveries.try_join_next().is_some() {}
        recoveries.spawn(recovery);
    }

    fn tell(&self, index: usize, available: bool) {
        let label = self.stts[index].stt.label().to_owned();
        tracing::warn!(
            label,
            available,
            "the availability of a recogniser has changed"
        );
        // Nobody has to listen.
        let _ = self.changes.send(AvailabilityChanged {
            index,
            label,
            available,
        });
    }
}

/// Tries a recogniser now and then until it works, or the adapter is gone.
async fn recover(
    inner: Weak<Inner>,
    index: usize,
    audio: Option<AudioFrame>,
    options: RecognizeOptions,
) {
    let Some(first) = inner.upgrade() else { return };
    let interval = first.options.recovery_interval.max(LEAST_INTERVAL);
    let length = audio.as_ref().map(AudioFrame::duration);
    let limit = first.options.retry.timeout;
    let limit = limit.saturating_add(length.unwrap_or_default());
    let stt = Arc::clone(&first.stts[index].stt);
    drop(first);
    let mut wait = interval;
    loop {
        tokio::time::sleep(wait).await;
        let probe = probe(&stt, audio.as_ref(), &options);
        let answer = tokio::time::timeout(limit, probe).await;
        let works = match &answer {
            Ok(Ok(())) => true,
            // It is there, and refuses this audio.
            Ok(Err(error)) => !error.is_retryable(),
            Err(_) => false,
        };
        let asked = answer.ok().and_then(Result::err);
        let asked = asked.and_then(|error| error.retry_after);
        wait = asked.unwrap_or_default().max(interval);
        let Some(inner) = inner.upgrade() else { return };
        let available = inner.stts[index].available.load(Ordering::Relaxed);
        if works {
            inner.works(index);
        }
        if works || available {
            return;
        }
    }
}

async fn probe(
    stt: &SharedStt,
    audio: Option<&AudioFrame>,
    options: &RecognizeOptions,
) -> Result<(), ProviderError> {
    if !stt.capabilities().streaming {
        let second = || AudioFrame::new(vec![0; 16_000], 16_000, 1).expect("mono at 16 kHz");
        let audio = audio.cloned().unwrap_or_else(second);
        return stt.recognize(&audio, options).await.map(drop);
    }
    let SttStream { input, mut events } = stt.stream(options).await?;
    if let Some(audio) = audio {
        input.send(SttCommand::Frame(audio.clone())).await;
    }
    drop(input);
    while let Some(event) = events.recv().await {
        if let SttEvent::Error {
            error,
            recoverable: false,
        } = event
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Gives a relay the streams of the list.
struct Next {
    inner: Arc<Inner>,
    options: RecognizeOptions,
    present: Option<usize>,
    /// One for each of the list.
    records: Vec<Record>,
}

/// How a recogniser failed since the last transcript, or since a stream that lasted longer than an attempt may take.
#[derive(Clone, Default)]
struct Record {
    failures: u32,
    newest: Option<ProviderError>,
}

impl Next {
    fn failed(&mut self, index: usize, error: ProviderError, audio: Option<AudioFrame>) {
        self.inner.failed(index, &error, audio, &self.options);
        let record = &mut self.records[index];
        record.failures = record.failures.saturating_add(1);
        record.newest = Some(error);
    }

    /// How long to wait before this one is opened; `None` if it has failed too often, or for good.
    fn wait_for(&self, index: usize) -> Option<Duration> {
        let Record { failures, newest } = &self.records[index];
        match newest {
            Some(error) => self.inner.options.retry.wait_after(*failures, error),
            None => Some(Duration::ZERO),
        }
    }

    /// Whom to open next, and after what wait. One that has just failed is not asked again at once, unless there is no other.
    fn candidate(&self) -> Option<(usize, Duration)> {
        let all = 0..self.records.len();
        let open = all.filter_map(|index| Some((index, self.wait_for(index)?)));
        open.min_by_key(|&(index, _)| {
            let left_out = !self.inner.stts[index].available.load(Ordering::Relaxed);
            let failures = self.records[index].failures;
            (left_out, failures, Some(index) == self.present, index)
        })
    }

    fn all_failed(&self) -> ProviderError {
        let errors = self.records.iter().filter_map(|r| r.newest.clone());
        all_failed(&errors.collect::<Vec<_>>())
    }
}

#[async_trait::async_trait]
impl Source for Next {
    async fn next(&mut self, failed: Option<Failure>) -> Result<SttStream, ProviderError> {
        let policy = self.inner.options.retry;
        let mut newest = None;
        if let (Some(failure), Some(present)) = (failed, self.present) {
            if failure.lasted > policy.timeout {
                self.records.fill(Record::default());
            }
            newest = failure.audio;
            self.failed(present, failure.error, newest.clone());
        }
        while let Some((index, wait)) = self.candidate() {
            tokio::time::sleep(wait).await;
            let stt = Arc::clone(&self.inner.stts[index].streaming);
            let opened = policy.run_for(stt.label(), |_| stt.stream(&self.options));
            match opened.await.0 {
                Ok(stream) => {
                    self.present = Some(index);
                    return Ok(stream);
                }
                Err(error) => {
                    self.failed(index, error, newest.clone());
                    // It has had its retries.
                    self.records[index].failures = u32::MAX;
                }
            }
        }
        Err(self.all_failed())
    }

    fn has_successor(&self) -> bool {
        (0..self.records.len()).any(|index| {
            let available = self.inner.stts[index].available.load(Ordering::Relaxed);
            available && Some(index) != self.present && self.wait_for(index).is_some()
        })
    }

    fn answered(&mut self, recognised: bool) {
        self.records.fill(Record::default());
        if let (true, Some(present)) = (recognised, self.present) {
            self.inner.works(present);
        }
    }
}

/// It is worth a later attempt if that is so of any.
fn all_failed(errors: &[ProviderError]) -> ProviderError {
    let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let message = format!("all recognisers have failed: {}", all.join("; "));
    let kind = match errors.iter().any(ProviderError::is_retryable) {
        true => ErrorKind::Connection,
        false => ErrorKind::Rejected,
    };
    ProviderError::new(LABEL, kind, message)
}

fn rejected(message: impl Into<String>) -> ProviderError {
    ProviderError::new(LABEL, ErrorKind::Rejected, message)
}
