//! Recognition beside the VAD: order, parallelism, failures, guesses, and that nothing is lost.

#[path = "common/scripted_stt.rs"]
mod scripted_stt;

use std::sync::Arc;
use std::time::Duration;

use listenkit_session::stt::{
    ClipTimes, RecognizeOptions, RecognizerOptions, SegmentRecognizer, Stt, SttCapabilities,
    SttEvent, Transcript, Word,
};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};
use scripted_stt::{ScriptedStt, Step};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// A clip of 100 ms whose first sample is its name.
fn clip(name: i16) -> AudioFrame {
    let mut samples = vec![0; 1600];
    samples[0] = name;
    AudioFrame::new(samples, 16_000, 1).expect("mono at 16 kHz")
}

fn name(audio: &AudioFrame) -> i16 {
    audio.samples()[0]
}

fn seconds(from: u64, to: u64) -> (Duration, Duration) {
    (Duration::from_secs(from), Duration::from_secs(to))
}

fn says(after_ms: u64, text: impl Into<String>) -> Step {
    (Duration::from_millis(after_ms), Ok(text.into()))
}

fn fails(after_ms: u64, kind: ErrorKind) -> Step {
    (Duration::from_millis(after_ms), Err(kind))
}

fn recognizer(
    stt: &Arc<ScriptedStt>,
    max_parallel: usize,
) -> (SegmentRecognizer, UnboundedReceiver<SttEvent>) {
    let options = RecognizerOptions {
        max_parallel,
        ..RecognizerOptions::default()
    };
    SegmentRecognizer::new(stt.clone(), options)
}

/// The answers so far: the text, or the name of the clip that failed and why.
fn answers(events: &mut UnboundedReceiver<SttEvent>) -> Vec<Result<String, (i16, ErrorKind)>> {
    std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| match event {
            SttEvent::Final(transcript) => Some(Ok(transcript.text)),
            SttEvent::SegmentFailed(failed) => Some(Err((name(&failed.audio), failed.error.kind))),
            _ => None,
        })
        .collect()
}

fn texts(expected: &[&str]) -> Vec<Result<String, (i16, ErrorKind)>> {
    expected.iter().map(|&text| Ok(text.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn transcripts_keep_the_order_of_the_utterances_whatever_the_requests_do() {
    let delays = [300, 10, 200, 10, 50];
    let stt = Arc::new(ScriptedStt::new(move |n, clip| {
        says(delays[n], name(clip).to_string())
    }));
    let (recognizer, mut events) = recognizer(&stt, 3);
    for n in 0..5 {
        assert_eq!(
            recognizer.submit(clip(n), seconds(n as u64, n as u64 + 1)),
            n as u64
        );
    }
    assert_eq!(recognizer.pending(), 5);
    recognizer.finish().await;
    assert_eq!(answers(&mut events), texts(&["0", "1", "2", "3", "4"]));
    assert_eq!(
        stt.most_running(),
        3,
        "as many at once as allowed, not more"
    );
    assert_eq!(recognizer.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_failed_request_costs_one_utterance_and_gives_its_audio_back() {
    let stt = Arc::new(ScriptedStt::new(|_, clip| match name(clip) {
        1 => fails(0, ErrorKind::Rejected),
        n => says(0, n.to_string()),
    }));
    let (recognizer, mut events) = recognizer(&stt, 2);
    for n in 0..3 {
        let times = ClipTimes {
            audio_at: Duration::from_secs(10 * n),
            speech: seconds(10 * n + 1, 10 * n + 2),
        };
        recognizer.submit(clip(n as i16), times);
    }
    recognizer.finish().await;
    let mut failures = Vec::new();
    let mut finals = Vec::new();
    let mut errors = 0;
    while let Ok(event) = events.try_recv() {
        match event {
            SttEvent::SegmentFailed(failed) => failures.push(failed),
            SttEvent::Final(transcript) => finals.push(transcript.text),
            SttEvent::Error { .. } => errors += 1,
            _ => {}
        }
    }
    assert_eq!(finals, ["0", "2"]);
    assert_eq!(errors, 0, "reported once, not twice");
    assert_eq!(failures.len(), 1);
    let failed = failures.remove(0);
    assert_eq!(failed.audio, clip(1), "every sample of it");
    assert_eq!(
        (failed.number, failed.attempts, failed.error.kind),
        (1, 1, ErrorKind::Rejected)
    );
    assert_eq!(failed.span, seconds(11, 12));
    assert_eq!(failed.audio_at, Duration::from_secs(10));
    assert_eq!(recognizer.failed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_utterance_can_be_submitted_again() {
    let stt = Arc::new(ScriptedStt::new(|n, clip| match n {
        0 => fails(0, ErrorKind::Rejected),
        _ => says(0, name(clip).to_string()),
    }));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.submit(clip(7), seconds(1, 2));
    recognizer.submit(clip(8), seconds(3, 4));
    recognizer.finish().await;
    let failed = recognizer.failed().remove(0);
    assert_eq!(recognizer.resubmit(failed), 2);
    recognizer.finish().await;
    assert_eq!(
        answers(&mut events),
        [
            Err((7, ErrorKind::Rejected)),
            Ok("8".into()),
            Ok("7".into())
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_failures_are_remembered() {
    let stt = Arc::new(ScriptedStt::new(|_, _| fails(0, ErrorKind::Rejected)));
    let options = RecognizerOptions {
        keep_failed: 3,
        ..RecognizerOptions::default()
    };
    let (recognizer, _events) = SegmentRecognizer::new(stt, options);
    for n in 0..10 {
        recognizer.submit(clip(n), seconds(0, 1));
    }
    recognizer.finish().await;
    let kept: Vec<_> = recognizer.failed().iter().map(|f| name(&f.audio)).collect();
    assert_eq!(kept, [7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_hangs_holds_the_rest_back_for_its_time_only() {
    let stt = Arc::new(ScriptedStt::new(|_, clip| match name(clip) {
        0 => says(3_600_000, "never"),
        n => says(0, n.to_string()),
    }));
    let options = RecognizerOptions {
        retry: RetryPolicy {
            max_retries: 0,
            timeout: Duration::from_secs(1),
            ..RetryPolicy::default()
        },
        ..RecognizerOptions::default()
    };
    let (recognizer, mut events) = SegmentRecognizer::new(stt.clone(), options);
    let began = Instant::now();
    recognizer.submit(clip(0), seconds(0, 1));
    recognizer.submit(clip(1), seconds(2, 3));
    recognizer.finish().await;
    // The time of an attempt, and the 100 ms of the clip.
    assert!(began.elapsed() < Duration::from_millis(1_110));
    assert_eq!(
        answers(&mut events),
        [Err((0, ErrorKind::Timeout)), Ok("1".into())]
    );
    assert_eq!(
        stt.running(),
        0,
        "what took too long is cancelled, not left to itself"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_to_be_tried_again_keeps_nobody_waiting() {
    let stt = Arc::new(ScriptedStt::new(|n, clip| match n {
        0 => fails(0, ErrorKind::Server),
        _ => says(10, name(clip).to_string()),
    }));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.submit(clip(0), seconds(0, 1));
    recognizer.submit(clip(1), seconds(2, 3));
    recognizer.finish().await;
    let asked: Vec<_> = stt.clips().iter().map(name).collect();
    assert_eq!(
        asked,
        [0, 1, 0],
        "the second was asked about before the first was again"
    );
    assert_eq!(answers(&mut events), texts(&["0", "1"]));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_will_be_made_again_are_told_as_recoverable() {
    let stt = Arc::new(ScriptedStt::new(|_, _| fails(0, ErrorKind::Connection)));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.submit(clip(0), seconds(0, 1));
    recognizer.finish().await;
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(match event {
            SttEvent::Error { recoverable, .. } => format!("error {recoverable}"),
            SttEvent::SegmentFailed(failed) => format!("failed after {}", failed.attempts),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        told,
        ["error true", "error true", "error true", "failed after 4"]
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_gives_back_what_is_open_and_delivers_what_is_known() {
    let stt = Arc::new(ScriptedStt::new(|_, clip| match name(clip) {
        0 | 2 => says(60_000, "late"),
        n => says(0, n.to_string()),
    }));
    let (recognizer, mut events) = recognizer(&stt, 2);
    for n in 0..3 {
        recognizer.submit(clip(n), seconds(n as u64, n as u64 + 1));
    }
    tokio::time::sleep(100 * MS).await;
    assert_eq!(answers(&mut events), [], "the first holds the second back");
    recognizer.cancel();
    recognizer.finish().await;
    assert_eq!(
        answers(&mut events),
        [
            Err((0, ErrorKind::Closed)),
            Ok("1".into()),
            Err((2, ErrorKind::Closed))
        ]
    );
    tokio::time::sleep(MS).await;
    assert_eq!(stt.running(), 0);

    recognizer.submit(clip(3), seconds(9, 10));
    recognizer.finish().await;
    assert_eq!(answers(&mut events), texts(&["3"]), "it goes on");
}

#[tokio::test(start_paused = true)]
async fn dropping_it_gives_back_what_is_open_and_ends_the_events() {
    let stt = Arc::new(ScriptedStt::new(|_, _| says(60_000, "late")));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.submit(clip(0), seconds(0, 1));
    recognizer.submit(clip(1), seconds(2, 3));
    tokio::time::sleep(MS).await;
    drop(recognizer);
    let mut given_back = Vec::new();
    while let Some(event) = events.recv().await {
        if let SttEvent::SegmentFailed(failed) = event {
            given_back.push((name(&failed.audio), failed.error.kind));
        }
    }
    assert_eq!(given_back, [(0, ErrorKind::Closed), (1, ErrorKind::Closed)]);
    tokio::time::sleep(MS).await;
    assert_eq!(stt.running(), 0, "nothing goes on after the end");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_when_nobody_listens() {
    let stt = Arc::new(ScriptedStt::new(|_, _| says(60_000, "late")));
    let (recognizer, events) = recognizer(&stt, 1);
    recognizer.submit(clip(0), seconds(0, 1));
    tokio::time::sleep(MS).await;
    assert_eq!(stt.running(), 1);
    drop(events);
    tokio::time::sleep(MS).await;
    assert_eq!(stt.running(), 0);
    recognizer.submit(clip(1), seconds(2, 3));
    recognizer.finish().await; // must not hang
}

#[tokio::test(start_paused = true)]
async fn a_guess_of_the_same_speech_is_the_answer() {
    let stt = Arc::new(ScriptedStt::new(|n, _| says(200, format!("request {n}"))));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.speculate(clip(0), seconds(1, 2));
    tokio::time::sleep(150 * MS).await;
    assert_eq!(answers(&mut events), [], "a guess says nothing");
    assert_eq!(recognizer.pending(), 0);
    let submitted = Instant::now();
    recognizer.submit(clip(1), seconds(1, 2));
    recognizer.finish().await;
    assert_eq!(answers(&mut events), texts(&["request 0"]));
    assert!(
        submitted.elapsed() <= 51 * MS,
        "only the rest of the request was waited for"
    );
    assert_eq!(stt.clips().len(), 1, "asked once");
}

#[tokio::test(start_paused = true)]
async fn a_guess_that_is_answered_already_comes_at_once() {
    let stt = Arc::new(ScriptedStt::new(|_, _| says(10, "early")));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.speculate(clip(0), seconds(1, 2));
    tokio::time::sleep(500 * MS).await;
    let submitted = Instant::now();
    recognizer.submit(clip(1), seconds(1, 2));
    recognizer.finish().await;
    assert_eq!(submitted.elapsed(), Duration::ZERO);
    assert_eq!(answers(&mut events), texts(&["early"]));
}

#[tokio::test(start_paused = true)]
async fn a_guess_of_other_speech_is_dropped() {
    for other in [seconds(1, 3), seconds(3, 4)] {
        let stt = Arc::new(ScriptedStt::new(|_, clip| {
            says(200, name(clip).to_string())
        }));
        let (recognizer, mut events) = recognizer(&stt, 1);
        recognizer.speculate(clip(0), seconds(1, 2));
        tokio::time::sleep(50 * MS).await;
        assert_eq!(stt.running(), 1);
        recognizer.submit(clip(1), other);
        recognizer.finish().await;
        assert_eq!(answers(&mut events), texts(&["1"]), "{other:?}");
        assert_eq!(
            stt.most_running(),
            1,
            "the first was cancelled to make room"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_retracted_guess_frees_its_request() {
    let stt = Arc::new(ScriptedStt::new(|_, clip| {
        says(200, name(clip).to_string())
    }));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.speculate(clip(0), seconds(1, 2));
    tokio::time::sleep(50 * MS).await;
    recognizer.retract();
    tokio::time::sleep(MS).await;
    assert_eq!(stt.running(), 0);
    recognizer.submit(clip(1), seconds(1, 2));
    recognizer.finish().await;
    assert_eq!(answers(&mut events), texts(&["1"]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_guess_is_asked_again_with_the_whole_utterance() {
    let stt = Arc::new(ScriptedStt::new(|n, clip| match n {
        0 => fails(0, ErrorKind::Rejected), // too short, say
        _ => says(0, name(clip).to_string()),
    }));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.speculate(clip(0), seconds(1, 2));
    tokio::time::sleep(50 * MS).await;
    recognizer.submit(clip(1), seconds(1, 2));
    recognizer.finish().await;
    assert_eq!(answers(&mut events), texts(&["1"]));
}

#[tokio::test(start_paused = true)]
async fn a_guess_waits_for_those_who_are_certain() {
    let stt = Arc::new(ScriptedStt::new(|_, clip| {
        says(100, name(clip).to_string())
    }));
    let (recognizer, mut events) = recognizer(&stt, 1);
    recognizer.submit(clip(0), seconds(0, 1));
    recognizer.submit(clip(1), seconds(2, 3));
    recognizer.speculate(clip(2), seconds(4, 5));
    recognizer.submit(clip(3), seconds(4, 5));
    recognizer.finish().await;
    let asked: Vec<_> = stt.clips().iter().map(name).collect();
    assert_eq!(asked, [0, 1, 3], "not begun, it gets the whole utterance");
    assert_eq!(answers(&mut events), texts(&["0", "1", "3"]));
}

#[tokio::test(start_paused = true)]
async fn finishing_waits_for_what_was_submitted_before_and_not_for_more() {
    let stt = Arc::new(ScriptedStt::new(|_, clip| match name(clip) {
        0 => says(100, "0"),
        _ => says(9_000, "1"),
    }));
    let (recognizer, mut events) = recognizer(&stt, 2);
    recognizer.finish().await; // nothing yet: at once
    recognizer.submit(clip(0), seconds(0, 1));
    let began = Instant::now();
    let finish = recognizer.finish();
    tokio::pin!(finish);
    assert!(futures_util::poll!(&mut finish).is_pending());
    recognizer.submit(clip(1), seconds(2, 3));
    finish.await;
    assert!(began.elapsed() <= 101 * MS);
    assert_eq!(answers(&mut events), texts(&["0"]));
    recognizer.finish().await;
    assert_eq!(answers(&mut events), texts(&["1"]));
}

/// Fills in everything a recogniser can know; panics or ends its request on demand.
struct Full;

#[async_trait::async_trait]
impl Stt for Full {
    fn label(&self) -> &str {
        "full"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        assert!(name(audio) != 9, "a bug in the recogniser");
        Ok(Transcript {
            text: " two words\n".into(),
            language: options.language.clone(),
            confidence: Some(0.5),
            span: Some((Duration::ZERO, 100 * MS)),
            words: vec![Word {
                text: "two".into(),
                span: (20 * MS, 50 * MS),
                confidence: Some(0.25),
            }],
            alternatives: vec!["too words".into()],
            request_id: Some("abc".into()),
            segment: None,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_the_recogniser_says_is_dropped_and_times_are_those_of_the_stream() {
    let options = RecognizerOptions {
        language: Some("de".into()),
        ..RecognizerOptions::default()
    };
    let (recognizer, mut events) = SegmentRecognizer::new(Arc::new(Full), options);
    let times = ClipTimes {
        audio_at: Duration::from_secs(5),
        speech: (5_500 * MS, 5_600 * MS),
    };
    recognizer.submit(clip(0), times);
    recognizer.finish().await;
    let transcript = loop {
        match events.try_recv().expect("a transcript comes") {
            SttEvent::Final(transcript) => break transcript,
            SttEvent::Metrics(metrics) => {
                assert_eq!(metrics.label, "full");
                assert_eq!(metrics.audio_duration, 100 * MS);
                assert!(!metrics.streamed);
            }
            other => panic!("{other:?}"),
        }
    };
    let expected = Transcript {
        text: "two words".into(),
        language: Some("de".into()),
        confidence: Some(0.5),
        span: Some((5_500 * MS, 5_600 * MS)),
        words: vec![Word {
            text: "two".into(),
            span: (5_020 * MS, 5_050 * MS),
            confidence: Some(0.25),
        }],
        alternatives: vec!["too words".into()],
        request_id: Some("abc".into()),
        segment: Some(0),
    };
    assert_eq!(transcript, expected);
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_panics_costs_its_utterance() {
    let (recognizer, mut events) =
        SegmentRecognizer::new(Arc::new(Full), RecognizerOptions::default());
    recognizer.submit(clip(9), seconds(0, 1));
    recognizer.submit(clip(1), seconds(2, 3));
    recognizer.finish().await;
    assert_eq!(
        answers(&mut events),
        [Err((9, ErrorKind::Server)), Ok("two words".into())]
    );
}

/// What a random run did, to be compared with what came out.
struct Run {
    seed: u64,
    submitted: Vec<i16>,
    cancelled: bool,
}

/// Submits, guesses, retractions, resubmits, waits and sometimes a cancel, all at random, against a recogniser that answers at random.
async fn random_run(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let odds = (dice.f64() * 0.6, dice.f64() * 0.2, dice.f64() * 0.05);
    let stt = Arc::new(ScriptedStt::new(move |n, clip| {
        // Its own dice, for requests come in an order that is not ours.
        let mut dice = fastrand::Rng::with_seed(seed ^ (n as u64) << 20);
        let delay = Duration::from_millis(dice.u64(0..400));
        match dice.f64() {
            p if p < odds.0 => (delay, Err(ErrorKind::Server)),
            p if p < odds.0 + odds.1 => (delay, Err(ErrorKind::Rejected)),
            p if p < odds.0 + odds.1 + odds.2 => says(3_600_000, "hangs"),
            _ => (delay, Ok(name(clip).to_string())),
        }
    }));
    let max_parallel = dice.usize(1..5);
    let options = RecognizerOptions {
        max_parallel,
        retry: RetryPolicy {
            max_retries: dice.u32(0..4),
            timeout: Duration::from_secs(1),
            ..RetryPolicy::default()
        },
        ..RecognizerOptions::default()
    };
    let (recognizer, mut events) = SegmentRecognizer::new(stt.clone(), options);
    let mut run = Run {
        seed,
        submitted: Vec::new(),
        cancelled: false,
    };
    let mut given_back = Vec::new();
    for end in 1..dice.u64(2..60) {
        let (speech, this) = (seconds(end - 1, end), run.submitted.len() as i16);
        match dice.u32(0..12) {
            0..3 => recognizer.speculate(clip(this), speech),
            3 => recognizer.speculate(clip(-1), seconds(end, end + 1_000)),
            4 => recognizer.retract(),
            5 => {
                if let Some(failed) = recognizer.failed().pop() {
                    run.submitted.push(name(&failed.audio));
                    recognizer.resubmit(failed);
                }
            }
            6 if dice.u32(0..20) == 0 => {
                recognizer.cancel();
                run.cancelled = true;
            }
            _ => {}
        }
        if dice.bool() {
            tokio::time::sleep(Duration::from_millis(dice.u64(0..500))).await;
        }
        if dice.u32(0..3) > 0 {
            run.submitted.push(this);
            recognizer.submit(clip(this), speech);
        }
        given_back.extend(std::iter::from_fn(|| events.try_recv().ok()));
    }
    recognizer.finish().await;
    assert_eq!(recognizer.pending(), 0, "seed {seed}");
    assert!(stt.most_running() <= max_parallel, "seed {seed}");
    drop(recognizer);
    while let Some(event) = events.recv().await {
        given_back.push(event);
    }
    check(&run, &given_back);
    tokio::time::sleep(MS).await;
    assert_eq!(stt.running(), 0, "seed {seed}: nothing goes on");
}

fn check(run: &Run, events: &[SttEvent]) {
    let seed = run.seed;
    let mut next = 0;
    for event in events {
        let (number, clip) = match event {
            SttEvent::Final(transcript) => {
                let named = transcript.text.parse::<i16>().expect("the script's texts");
                (transcript.segment.expect("it has a number"), named)
            }
            SttEvent::SegmentFailed(failed) => {
                let closed = failed.error.kind == ErrorKind::Closed;
                assert!(run.cancelled || !closed, "seed {seed}");
                (failed.number, name(&failed.audio))
            }
            _ => continue,
        };
        assert_eq!(number, next, "seed {seed}: in order, each once");
        assert_eq!(
            clip, run.submitted[next as usize],
            "seed {seed}: its own answer"
        );
        next += 1;
    }
    assert_eq!(
        next as usize,
        run.submitted.len(),
        "seed {seed}: all of them"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_each_utterance_is_answered_once_and_in_order() {
    for seed in 0..400 {
        random_run(seed).await;
    }
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_told_and_not_dropped() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stt = Arc::new(ScriptedStt::new(|_, _| says(1_000, "slow")));
    let (recognizer, mut events) = recognizer(&stt, 1);
    let warnings = || {
        let bytes = log.0.lock().expect("no panic").clone();
        String::from_utf8_lossy(&bytes)
            .matches("slower than the user speaks")
            .count()
    };
    for n in 0..8 {
        recognizer.submit(clip(n), seconds(0, 1));
    }
    assert_eq!(warnings(), 0);
    for n in 8..25 {
        recognizer.submit(clip(n), seconds(0, 1));
    }
    assert_eq!(warnings(), 3, "at 9, 17 and 25");
    recognizer.finish().await;
    assert_eq!(answers(&mut events).len(), 25);
}
