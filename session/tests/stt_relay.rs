//! What is pushed into a relayed stream is answered by one of the streams behind it or given back, whenever these break, hang or say little.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use listenkit_session::stt::{
    FailedSegment, FallbackAdapter, FallbackOptions, RecognizeOptions, Reconnecting, SharedStt,
    Stt, SttCapabilities, SttCommand, SttEvent, SttInput, SttStream, Transcript,
};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};
use tokio::sync::mpsc;
use tokio::time::sleep;

const RATE: u32 = 16_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Audio whose samples say where they lie: each is the number of its 10 ms.
fn audio(from_ms: u64, len_ms: u64) -> AudioFrame {
    let samples: Vec<i16> = (from_ms * 16..(from_ms + len_ms) * 16)
        .map(|sample| i16::try_from(sample / 160).expect("5 minutes at most"))
        .collect();
    AudioFrame::new(samples, RATE, 1).expect("mono")
}

/// Where audio begins and ends, in ms; its samples must follow each other.
#[track_caller]
fn extent(frames: &[AudioFrame]) -> (u64, u64) {
    let all: Vec<i16> = frames.iter().flat_map(|f| f.samples().to_vec()).collect();
    let steps = all.windows(2).all(|w| w[1] == w[0] || w[1] == w[0] + 1);
    assert!(steps && !all.is_empty(), "audio with holes");
    let end = u64::try_from(*all.last().expect("not empty")).expect("positive") * 10 + 10;
    (end - all.len() as u64 / 16, end)
}

/// What opening a stream does.
#[derive(Clone, Copy)]
enum Opening {
    Opens,
    Hangs,
    Fails(ErrorKind),
}

/// A recogniser whose streams do what the test says.
struct Puppet {
    openings: Mutex<VecDeque<Opening>>,
    opened: mpsc::UnboundedSender<Behind>,
}

/// One of its streams.
struct Behind {
    taken: Arc<Mutex<Vec<SttCommand>>>,
    stuck: Arc<AtomicBool>,
    say: mpsc::Sender<SttEvent>,
}

impl Puppet {
    /// Its first streams open like this, the others at once.
    fn new(openings: &[Opening]) -> (Arc<Self>, mpsc::UnboundedReceiver<Behind>) {
        let (opened, streams) = mpsc::unbounded_channel();
        let openings = Mutex::new(openings.iter().copied().collect());
        (Arc::new(Self { openings, opened }), streams)
    }
}

#[async_trait::async_trait]
impl Stt for Puppet {
    fn label(&self) -> &str {
        "puppet"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::STREAMING
    }

    async fn stream(&self, _: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let opening = self.openings.lock().expect("sound").pop_front();
        match opening.unwrap_or(Opening::Opens) {
            Opening::Opens => {}
            Opening::Hangs => std::future::pending().await,
            Opening::Fails(kind) => return Err(error(kind)),
        }
        let (input, mut commands) = SttInput::channel(16);
        let (say, events) = mpsc::channel(16);
        let behind = Behind {
            taken: Arc::default(),
            stuck: Arc::default(),
            say,
        };
        let (taken, stuck) = (behind.taken.clone(), behind.stuck.clone());
        // Its sender of events is with the test alone.
        tokio::spawn(async move {
            loop {
                while stuck.load(Ordering::SeqCst) {
                    sleep(ms(5)).await;
                }
                let Some(command) = commands.recv().await else {
                    return;
                };
                taken.lock().expect("sound").push(command);
            }
        });
        let _ = self.opened.send(behind);
        Ok(SttStream { input, events })
    }
}

impl Behind {
    /// Audio that it got so far.
    fn frames(&self) -> Vec<AudioFrame> {
        let taken = self.taken.lock().expect("sound");
        let frames = taken.iter().filter_map(|command| match command {
            SttCommand::Frame(frame) => Some(frame.clone()),
            _ => None,
        });
        frames.collect()
    }

    async fn say(&self, event: SttEvent) {
        self.say.send(event).await.expect("the relay listens");
        // Until it has been heard.
        sleep(ms(1)).await;
    }

    async fn start(&self, at: f64) {
        self.say(SttEvent::StartOfSpeech { at: seconds(at) }).await;
    }

    async fn end(&self, at: f64) {
        self.say(SttEvent::EndOfSpeech { at: seconds(at) }).await;
    }

    async fn transcript(&self, text: &str, span: Option<(f64, f64)>) {
        let transcript = Transcript {
            text: text.into(),
            span: span.map(|(start, end)| (seconds(start), seconds(end))),
            ..Transcript::default()
        };
        self.say(SttEvent::Final(transcript)).await;
    }

    /// A whole utterance.
    async fn utterance(&self, start: f64, end: f64) {
        self.start(start).await;
        self.end(end).await;
        self.transcript("said", Some((start, end))).await;
    }

    async fn breaks(self, kind: ErrorKind) {
        let error = error(kind);
        let recoverable = false;
        self.say(SttEvent::Error { error, recoverable }).await;
    }
}

fn error(kind: ErrorKind) -> ProviderError {
    ProviderError::new("puppet", kind, "as the test says")
}

/// Who speaks.
struct User {
    input: SttInput,
    /// How much was pushed, in ms.
    at: u64,
    refused: u64,
}

impl User {
    /// In real time, without waiting for the stream.
    async fn speaks_until(&mut self, end_ms: u64) {
        while self.at < end_ms {
            sleep(ms(10)).await;
            let frame = SttCommand::Frame(audio(self.at, 10));
            self.refused += u64::from(self.input.try_send(frame).is_err());
            self.at += 10;
        }
    }

    /// As fast as it is taken.
    async fn pushes(&mut self, len_ms: u64) {
        let frame = audio(self.at, len_ms);
        assert!(self.input.send(SttCommand::Frame(frame)).await);
        self.at += len_ms;
    }
}

async fn open(stt: &dyn Stt) -> (User, mpsc::Receiver<SttEvent>) {
    let stream = stt.stream(&RecognizeOptions::default()).await;
    let SttStream { input, events } = stream.expect("it streams");
    let user = User {
        input,
        at: 0,
        refused: 0,
    };
    (user, events)
}

/// Three recognisers, with the streams of each.
fn three() -> (FallbackAdapter, [mpsc::UnboundedReceiver<Behind>; 3]) {
    let (a, first) = Puppet::new(&[]);
    let (b, second) = Puppet::new(&[]);
    let (c, third) = Puppet::new(&[]);
    let stts: Vec<SharedStt> = vec![a, b, c];
    let stt = FallbackAdapter::new(stts, FallbackOptions::default()).expect("sound");
    (stt, [first, second, third])
}

async fn next(streams: &mut mpsc::UnboundedReceiver<Behind>) -> Behind {
    let behind = streams.recv().await.expect("the recogniser lives");
    // Until it has taken what is there for it.
    sleep(ms(20)).await;
    behind
}

fn given_back(events: &mut mpsc::Receiver<SttEvent>) -> Vec<FailedSegment> {
    let all = std::iter::from_fn(|| events.try_recv().ok());
    let failed = all.filter_map(|event| match event {
        SttEvent::SegmentFailed(failed) => Some(failed),
        _ => None,
    });
    failed.collect()
}

fn finals(events: &mut mpsc::Receiver<SttEvent>) -> Vec<Transcript> {
    let all = std::iter::from_fn(|| events.try_recv().ok());
    let finals = all.filter_map(|event| match event {
        SttEvent::Final(transcript) => Some(transcript),
        _ => None,
    });
    finals.collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_while_no_stream_opens_is_given_back() {
    // Broken while nobody spoke; then a sentence, while the attempt to open it again hangs for 10 s.
    let (stt, mut streams) = Puppet::new(&[Opening::Opens, Opening::Hangs]);
    let retry = RetryPolicy {
        max_retries: 1,
        ..RetryPolicy::default()
    };
    let (mut user, mut events) = open(&Reconnecting::new(stt, retry)).await;
    let behind = next(&mut streams).await;
    user.speaks_until(2_000).await;
    behind.utterance(0.5, 1.5).await;
    user.speaks_until(10_000).await;
    behind.breaks(ErrorKind::Connection).await;
    user.speaks_until(19_000).await;
    sleep(Duration::from_secs(5)).await;
    let failed = given_back(&mut events);
    assert_eq!(failed.len(), 1, "{failed:?}");
    let (from, to) = extent(&[failed[0].audio.clone()]);
    assert!(
        (1_500..=10_000).contains(&from) && to == 19_000,
        "{from} {to}"
    );
    assert_eq!(failed[0].audio_at, ms(from));
}

#[tokio::test(start_paused = true)]
async fn a_break_that_nobody_noticed_loses_no_words() {
    let (stt, [mut first, mut second, mut third]) = three();
    let (mut user, _events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(2_000).await;
    a.utterance(0.5, 1.5).await;
    // From here it is deaf. The user begins at 3 s and speaks on; 12 s later the provider notices.
    user.speaks_until(15_000).await;
    a.breaks(ErrorKind::Timeout).await;
    let b = next(&mut second).await;
    let (from, to) = extent(&b.frames());
    assert!(
        (1_500..=3_000).contains(&from) && to == 15_000,
        "{from} {to}"
    );
    // The next is deaf from the beginning.
    b.breaks(ErrorKind::Connection).await;
    let c = next(&mut third).await;
    assert_eq!(extent(&c.frames()), (from, to));
    c.start(3.0 - from as f64 / 1_000.0).await;
}

#[tokio::test(start_paused = true)]
async fn silence_before_speech_that_was_told_is_not_replayed() {
    let (stt, [mut first, mut second, _]) = three();
    let (mut user, _events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(30_500).await;
    a.start(30.0).await;
    user.speaks_until(31_000).await;
    a.breaks(ErrorKind::Connection).await;
    let b = next(&mut second).await;
    let (from, to) = extent(&b.frames());
    // What a VAD wants before a start, and how late it may be told.
    assert!(
        (25_000..=29_000).contains(&from) && to == 31_000,
        "{from} {to}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_does_not_keep_the_relay_from_taking() {
    let (stt, [mut first, mut second, _]) = three();
    let (mut user, _events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(1_000).await;
    a.stuck.store(true, Ordering::SeqCst);
    // It is given up after 10 s.
    user.speaks_until(13_000).await;
    assert_eq!(user.refused, 0);
    let b = next(&mut second).await;
    assert_eq!(extent(&b.frames()), (0, 13_000));
}

#[tokio::test(start_paused = true)]
async fn a_closed_input_does_not_keep_the_relay_from_taking() {
    // The provider takes no more, and says why only 5 s later.
    struct Deaf(Mutex<Option<mpsc::Sender<SttEvent>>>);
    #[async_trait::async_trait]
    impl Stt for Deaf {
        fn label(&self) -> &str {
            "deaf"
        }
        fn capabilities(&self) -> SttCapabilities {
            SttCapabilities::STREAMING
        }
        async fn stream(&self, _: &RecognizeOptions) -> Result<SttStream, ProviderError> {
            let (input, _) = SttInput::channel(1);
            let (say, events) = mpsc::channel(1);
            *self.0.lock().expect("sound") = Some(say);
            Ok(SttStream { input, events })
        }
    }
    let deaf = Arc::new(Deaf(Mutex::default()));
    let (b, mut second) = Puppet::new(&[]);
    let stts: Vec<SharedStt> = vec![deaf.clone(), b];
    let stt = FallbackAdapter::new(stts, FallbackOptions::default()).expect("sound");
    let (mut user, _events) = open(&stt).await;
    user.speaks_until(5_000).await;
    deaf.0.lock().expect("sound").take();
    user.speaks_until(6_000).await;
    assert_eq!(user.refused, 0);
    let b = next(&mut second).await;
    assert_eq!(extent(&b.frames()), (0, 6_000));
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_pushed_no_faster_than_it_can_be_kept() {
    let (stt, mut streams) = Puppet::new(&[Opening::Hangs]);
    let (mut user, _events) = open(&Reconnecting::new(stt, RetryPolicy::default())).await;
    // 5 minutes within the moment in which the stream opens.
    let push = async {
        for _ in 0..300 {
            user.pushes(1_000).await;
        }
    };
    let take = async {
        let behind = streams.recv().await.expect("the second opens");
        sleep(Duration::from_secs(1)).await;
        extent(&behind.frames())
    };
    let ((), heard) = tokio::join!(push, take);
    assert_eq!(heard, (0, 300_000));
}

#[tokio::test(start_paused = true)]
async fn no_more_is_kept_than_asked_for_and_the_newest_counts() {
    let (stt, mut streams) = Puppet::new(&[]);
    let stt = Reconnecting::new(stt, RetryPolicy::default()).max_replay(Duration::from_secs(10));
    let (mut user, _events) = open(&stt).await;
    let a = next(&mut streams).await;
    a.start(0.0).await;
    user.speaks_until(30_000).await;
    // A pause without audio costs nothing.
    user.input
        .send(SttCommand::Gap(Duration::from_secs(3_600)))
        .await;
    user.speaks_until(31_000).await;
    a.breaks(ErrorKind::Connection).await;
    user.speaks_until(32_000).await;
    let b = next(&mut streams).await;
    let (from, to) = extent(&b.frames());
    assert!(to == 32_000 && (21_000..=22_100).contains(&from), "{from}");
}

#[tokio::test(start_paused = true)]
async fn a_transcript_without_times_answers_the_oldest_speech() {
    let (stt, [mut first, mut second, mut third]) = three();
    let (mut user, _events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(5_400).await;
    a.start(0.5).await;
    a.end(5.0).await;
    user.speaks_until(6_000).await;
    a.start(5.5).await;
    // Of the first utterance, while the second goes on.
    a.transcript("one", None).await;
    user.speaks_until(7_000).await;
    a.breaks(ErrorKind::Connection).await;
    let b = next(&mut second).await;
    let (from, to) = extent(&b.frames());
    assert!((5_000..=5_400).contains(&from) && to == 7_000, "{from}");

    let at = |seconds: f64| seconds - from as f64 / 1_000.0;
    b.start(at(5.5)).await;
    user.speaks_until(9_000).await;
    b.end(at(7.5)).await;
    b.start(at(8.0)).await;
    user.speaks_until(10_000).await;
    b.end(at(9.5)).await;
    // Of the second, when the third has ended too.
    b.transcript("two", None).await;
    b.breaks(ErrorKind::Connection).await;
    let c = next(&mut third).await;
    let (from, to) = extent(&c.frames());
    assert!((7_500..=8_000).contains(&from) && to == 10_000, "{from}");
}

#[tokio::test(start_paused = true)]
async fn a_transcript_that_comes_before_its_end_of_speech_answers_it() {
    let (stt, [mut first, mut second, _]) = three();
    let (mut user, _events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(3_000).await;
    a.start(0.5).await;
    // Half of a sentence, and later the rest.
    a.transcript("one", None).await;
    user.speaks_until(6_000).await;
    a.transcript("two", None).await;
    a.end(5.5).await;
    a.breaks(ErrorKind::Connection).await;
    let b = next(&mut second).await;
    assert_eq!(extent(&b.frames()), (5_500, 6_000));
}

#[tokio::test(start_paused = true)]
async fn speech_that_was_answered_ends_with_its_stream() {
    // The transcript came, the end of speech did not; no successor hears that speech.
    let (stt, [mut first, mut second, _]) = three();
    let (mut user, mut events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(3_000).await;
    a.start(0.5).await;
    a.transcript("one", Some((0.5, 2.9))).await;
    a.breaks(ErrorKind::Connection).await;
    let b = next(&mut second).await;
    user.speaks_until(5_000).await;
    b.start(4.0 - 2.9).await;
    let all = std::iter::from_fn(|| events.try_recv().ok());
    let bounds: Vec<_> = all
        .filter_map(|event| match event {
            SttEvent::StartOfSpeech { at } => Some(("start", at)),
            SttEvent::EndOfSpeech { at } => Some(("end", at)),
            _ => None,
        })
        .collect();
    let wanted = [("start", 500), ("end", 2_900), ("start", 4_000)];
    assert_eq!(bounds, wanted.map(|(what, at)| (what, ms(at))));
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_not_replayed_however_long_the_frames_are() {
    for frame in [1_000, 20_000] {
        let (stt, [mut first, mut second, _]) = three();
        let (mut user, mut events) = open(&stt).await;
        let a = next(&mut first).await;
        while user.at < 20_000 {
            user.pushes(frame).await;
        }
        sleep(ms(20)).await;
        a.utterance(0.5, 3.41).await;
        a.breaks(ErrorKind::Connection).await;
        let b = next(&mut second).await;
        assert_eq!(extent(&b.frames()), (3_410, 20_000), "frames of {frame} ms");
        b.utterance(1.0, 2.0).await;
        let spans: Vec<_> = finals(&mut events).iter().map(|t| t.span).collect();
        let second = (ms(4_410), ms(5_410));
        assert_eq!(spans, [Some((ms(500), ms(3_410))), Some(second)]);
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_of_segments_go_on_behind_a_break() {
    let (stt, [mut first, mut second, _]) = three();
    let (mut user, mut events) = open(&stt).await;
    let number = |segment| {
        SttEvent::Final(Transcript {
            segment: Some(segment),
            ..Transcript::default()
        })
    };
    let a = next(&mut first).await;
    user.speaks_until(1_000).await;
    a.say(number(0)).await;
    a.say(number(1)).await;
    a.breaks(ErrorKind::Connection).await;
    let b = next(&mut second).await;
    b.say(number(0)).await;
    let numbers: Vec<_> = finals(&mut events).iter().map(|t| t.segment).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_no_failure_of_the_recogniser() {
    let (stt, [mut first, ..]) = three();
    let mut changes = stt.availability_changes();
    let (mut user, mut events) = open(&stt).await;
    let a = next(&mut first).await;
    user.speaks_until(1_000).await;
    drop(user);
    // More than wait for a reader; then it reads on after a minute.
    let say = async {
        for _ in 0..300 {
            a.transcript("said", Some((0.1, 0.2))).await;
        }
        // The recogniser is at work on the last.
        sleep(Duration::from_secs(5)).await;
        drop(a);
    };
    let read = async {
        sleep(Duration::from_secs(60)).await;
        let mut count = 0;
        while let Some(event) = events.recv().await {
            count += u32::from(matches!(event, SttEvent::Final(_)));
        }
        count
    };
    assert_eq!(tokio::join!(say, read).1, 300);
    assert!(changes.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn streams_that_open_and_hang_are_given_up_in_the_end() {
    let (stt, mut streams) = Puppet::new(&[]);
    let (mut user, mut events) = open(&Reconnecting::new(stt, RetryPolicy::default())).await;
    let stuck = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(behind) = streams.recv().await {
            behind.stuck.store(true, Ordering::SeqCst);
            all.push(behind);
        }
    });
    user.speaks_until(100_000).await;
    let failed = given_back(&mut events);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].audio_at, Duration::ZERO);
    stuck.abort();
}

#[tokio::test(start_paused = true)]
async fn one_recogniser_alone_is_opened_again_as_often_as_the_policy_says() {
    let (stt, mut streams) = Puppet::new(&[]);
    let stt = FallbackAdapter::new(vec![stt], FallbackOptions::default()).expect("sound");
    let (mut user, mut events) = open(&stt).await;
    let a = next(&mut streams).await;
    user.speaks_until(2_000).await;
    a.breaks(ErrorKind::Connection).await;
    let b = next(&mut streams).await;
    assert_eq!(extent(&b.frames()), (0, 2_000));
    b.breaks(ErrorKind::Connection).await;
    sleep(Duration::from_secs(1)).await;
    let failed = given_back(&mut events);
    assert_eq!(failed.len(), 1, "one retry");
    assert_eq!(failed[0].error.kind, ErrorKind::Connection);
}

#[tokio::test(start_paused = true)]
async fn what_all_refuse_is_said_to_be_refused() {
    let (a, _first) = Puppet::new(&[Opening::Fails(ErrorKind::Rejected)]);
    let (b, _second) = Puppet::new(&[Opening::Fails(ErrorKind::Rejected)]);
    let stt = FallbackAdapter::new(vec![a, b], FallbackOptions::default()).expect("sound");
    let (user, mut events) = open(&stt).await;
    drop(user);
    let Some(SttEvent::Error { error, recoverable }) = events.recv().await else {
        panic!("no error");
    };
    assert_eq!((error.kind, recoverable), (ErrorKind::Rejected, false));
    assert_eq!(stt.available(), [true, true]);
}
