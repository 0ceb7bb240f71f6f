//! Falling back from one recogniser to the next, and opening streams again: no word is lost, and none is told twice.

#[path = "common/faulty_stream.rs"]
mod faulty_stream;
#[path = "common/recording.rs"]
mod recording;
#[path = "common/scripted_stt.rs"]
mod scripted_stt;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faulty_stream::{Fault, FaultyStream};
use listenkit::{SileroVad, VadRate};
use listenkit_session::stt::{
    FallbackAdapter, FallbackOptions, RecognizeOptions, Reconnecting, SharedStt, StreamAdapter,
    StreamAdapterOptions, Stt, SttCommand, SttEvent, SttStream,
};
use listenkit_session::{AudioFrame, ErrorKind, RetryPolicy};
use recording::{expected, recording};
use scripted_stt::ScriptedStt;
use tokio::sync::broadcast;

const CONVERSATION: &str = "conversation-en";
const BROKEN: Fault = Fault::Error(ErrorKind::Connection);

fn vad() -> SileroVad {
    SileroVad::embedded(VadRate::Hz16000).expect("embedded weights are sound")
}

fn options() -> FallbackOptions {
    FallbackOptions {
        vad: Some(vad()),
        ..FallbackOptions::default()
    }
}

/// A recogniser of utterances that says `text`, or fails while `works` is false.
fn batch(text: &'static str, works: &Arc<AtomicBool>) -> Arc<ScriptedStt> {
    let works = works.clone();
    Arc::new(ScriptedStt::new(move |_, _| {
        let outcome = match works.load(Ordering::SeqCst) {
            true => Ok(text.to_owned()),
            false => Err(ErrorKind::Server),
        };
        (Duration::from_millis(100), outcome)
    }))
}

fn flag(on: bool) -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(on))
}

/// A recogniser that streams and, if it does not break, hears what the detector hears.
fn streaming(label: &'static str, plan: Vec<Option<(Duration, Fault)>>) -> FaultyStream {
    let adapter = StreamAdapter::new(
        batch("", &flag(true)),
        vad(),
        StreamAdapterOptions::default(),
    );
    FaultyStream::new(
        label,
        Arc::new(adapter.expect("defaults are in range")),
        plan,
    )
}

fn after(ms: u64, fault: Fault) -> Option<(Duration, Fault)> {
    Some((Duration::from_millis(ms), fault))
}

/// The conversation in real time (of the test's clock); all events.
async fn converse(stt: &dyn Stt) -> Vec<SttEvent> {
    let stream = stt.stream(&RecognizeOptions::default()).await;
    let SttStream { input, mut events } = stream.expect("it streams");
    let push = async move {
        for frame in recording(CONVERSATION).frames() {
            tokio::time::sleep(frame.duration()).await;
            if !input.send(SttCommand::Frame(frame)).await {
                break;
            }
        }
    };
    let take = async {
        let mut all = Vec::new();
        while let Some(event) = events.recv().await {
            all.push(event);
        }
        all
    };
    tokio::join!(push, take).1
}

fn known(event: &str, name: &str) -> Vec<f64> {
    let all = expected(CONVERSATION, event);
    let all = all.iter().map(|e| e[name].as_f64().expect("seconds"));
    all.collect()
}

/// Every utterance has one start, one end and one transcript, in order and where they belong.
#[track_caller]
fn assert_complete(events: &[SttEvent], tolerance: f64, what: &str) {
    let near = |ours: Vec<f64>, theirs: Vec<f64>, kind: &str| {
        let same = ours.len() == theirs.len()
            && ours
                .iter()
                .zip(&theirs)
                .all(|(a, b)| (a - b).abs() <= tolerance);
        assert!(same, "{what}: {kind}: {ours:?}, expected {theirs:?}");
    };
    let times = |pick: fn(&SttEvent) -> Option<Duration>| {
        let all = events.iter().filter_map(pick);
        all.map(|time| time.as_secs_f64()).collect::<Vec<_>>()
    };
    let starts = times(|event| match event {
        SttEvent::StartOfSpeech { at } => Some(*at),
        _ => None,
    });
    let ends = times(|event| match event {
        SttEvent::EndOfSpeech { at } => Some(*at),
        _ => None,
    });
    near(starts, known("start_of_speech", "at_s"), "starts");
    near(ends, known("end_of_speech", "at_s"), "ends");
    assert_transcripts(events, tolerance, what);
}

#[track_caller]
fn assert_transcripts(events: &[SttEvent], tolerance: f64, what: &str) {
    let spans: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SttEvent::Final(transcript) => transcript.span,
            _ => None,
        })
        .map(|(start, end)| (start.as_secs_f64(), end.as_secs_f64()))
        .collect();
    let wanted: Vec<_> = known("segment_ready", "speech_start_s")
        .into_iter()
        .zip(known("segment_ready", "speech_end_s"))
        .collect();
    assert_eq!(
        spans.len(),
        wanted.len(),
        "{what}: {spans:?}, expected {wanted:?}"
    );
    for (ours, theirs) in spans.iter().zip(&wanted) {
        let near = (ours.0 - theirs.0).abs() <= tolerance && (ours.1 - theirs.1).abs() <= tolerance;
        assert!(near, "{what}: {spans:?}, expected {wanted:?}");
    }
}

fn texts(events: &[SttEvent]) -> Vec<String> {
    let finals = events.iter().filter_map(|event| match event {
        SttEvent::Final(transcript) => Some(transcript.text.clone()),
        _ => None,
    });
    finals.collect()
}

fn clip() -> AudioFrame {
    AudioFrame::new(vec![7; 16_000], 16_000, 1).expect("mono")
}

async fn ask(stt: &FallbackAdapter) -> Result<String, ErrorKind> {
    let answer = stt.recognize(&clip(), &RecognizeOptions::default()).await;
    answer.map(|t| t.text).map_err(|error| error.kind)
}

fn drain(
    changes: &mut broadcast::Receiver<listenkit_session::stt::AvailabilityChanged>,
) -> Vec<(usize, bool)> {
    std::iter::from_fn(|| changes.try_recv().ok())
        .map(|change| (change.index, change.available))
        .collect()
}

#[tokio::test]
async fn a_recogniser_of_streams_takes_no_utterance() {
    let stt = streaming("a", vec![]);
    let answer = stt.recognize(&clip(), &RecognizeOptions::default()).await;
    let error = answer.expect_err("a stream only");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (
            ErrorKind::Rejected,
            "STT takes a stream only: open one with stream()"
        )
    );
}

#[tokio::test]
async fn a_recogniser_of_utterances_needs_a_vad() {
    let stts: Vec<SharedStt> = vec![Arc::new(streaming("a", vec![])), batch("b", &flag(true))];
    let error = FallbackAdapter::new(stts.clone(), FallbackOptions::default()).expect_err("no VAD");
    assert_eq!(
        error.message,
        "STT does not support streaming, add VAD to enable streaming"
    );
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(FallbackAdapter::new(stts[..1].to_vec(), FallbackOptions::default()).is_ok());
    assert!(FallbackAdapter::new(stts, options()).is_ok());
    assert!(FallbackAdapter::new(vec![], options()).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_next_answers_and_the_first_comes_back_when_it_works() {
    let works = flag(false);
    let (first, second) = (batch("first", &works), batch("second", &flag(true)));
    let stt = FallbackAdapter::new(vec![first.clone(), second.clone()], options()).expect("sound");
    let mut changes = stt.availability_changes();
    assert_eq!(stt.label(), "scripted");

    assert_eq!(ask(&stt).await, Ok("second".into()));
    assert_eq!(first.clips().len(), 2, "one retry");
    assert_eq!(drain(&mut changes), [(0, false)]);
    assert_eq!(stt.available(), [false, true]);
    assert_eq!(ask(&stt).await, Ok("second".into()));
    assert_eq!(first.clips().len(), 2, "not asked again");

    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(first.clips().len(), 4, "but looked after, every 5 s");
    assert_eq!(first.clips()[3], clip(), "with the audio it failed on");
    assert_eq!(drain(&mut changes), []);
    works.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(drain(&mut changes), [(0, true)]);
    assert_eq!(ask(&stt).await, Ok("first".into()));
    let asked = first.clips().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(first.clips().len(), asked, "and not looked after any more");
}

#[tokio::test(start_paused = true)]
async fn when_none_works_all_are_asked_and_the_errors_are_told() {
    let works = flag(false);
    let (first, second) = (batch("first", &flag(false)), batch("second", &works));
    let stt = FallbackAdapter::new(vec![first, second], options()).expect("sound");
    assert_eq!(ask(&stt).await, Err(ErrorKind::Connection));
    let error = stt
        .recognize(&clip(), &RecognizeOptions::default())
        .await
        .expect_err("none works");
    assert_eq!(
        error.message.matches("as the script says").count(),
        2,
        "{error}"
    );
    assert_eq!(stt.available(), [false, false]);
    works.store(true, Ordering::SeqCst);
    let mut changes = stt.availability_changes();
    assert_eq!(
        ask(&stt).await,
        Ok("second".into()),
        "without waiting for the recovery"
    );
    assert_eq!(drain(&mut changes), [(1, true)]);
}

#[tokio::test(start_paused = true)]
async fn the_recovery_ends_with_the_adapter() {
    let first = batch("first", &flag(false));
    let stt = FallbackAdapter::new(vec![first.clone(), batch("b", &flag(true))], options());
    let stt = stt.expect("sound");
    ask(&stt).await.expect("the second works");
    drop(stt);
    let asked = first.clips().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(first.clips().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_a_clip_is_asked_about_the_next() {
    let picky = Arc::new(ScriptedStt::new(|number, _| {
        let outcome = match number {
            0 => Err(ErrorKind::Rejected),
            _ => Ok("first".to_owned()),
        };
        (Duration::from_millis(100), outcome)
    }));
    let stts: Vec<SharedStt> = vec![picky.clone(), batch("second", &flag(true))];
    let stt = FallbackAdapter::new(stts, options()).expect("sound");
    let mut changes = stt.availability_changes();
    assert_eq!(ask(&stt).await, Ok("second".into()));
    assert_eq!(stt.available(), [true, true]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(picky.clips().len(), 1, "and not with the same clip again");
    assert_eq!(ask(&stt).await, Ok("first".into()));
    assert_eq!(drain(&mut changes), []);
}

#[tokio::test(start_paused = true)]
async fn an_utterance_that_one_refuses_goes_to_a_stream_and_the_others_come_back() {
    // Of a list that has to be relayed: the second utterance is refused by the first and by the third.
    let refuses = |number| {
        Arc::new(ScriptedStt::new(move |at, _| {
            let outcome = match at == number {
                true => Err(ErrorKind::Rejected),
                false => Ok(format!("batch {number}")),
            };
            (Duration::from_millis(100), outcome)
        }))
    };
    let stts: Vec<SharedStt> = vec![refuses(1), Arc::new(streaming("stream", vec![]))];
    let stt = FallbackAdapter::new(stts, options()).expect("sound");
    let events = converse(&stt).await;
    assert_complete(&events, 0.065, "refused once");
    let said = texts(&events);
    assert_eq!(said[0], "batch 1");
    assert!(said[1..].iter().all(|text| text == "stream "), "{said:?}");
    assert_eq!(stt.available(), [true, true]);

    // Where all refuse it, it is given back, and the stream goes on.
    let adapter = StreamAdapter::new(refuses(0), vad(), StreamAdapterOptions::default());
    let adapter = Arc::new(adapter.expect("defaults are in range"));
    let last = Arc::new(FaultyStream::new("stream", adapter, vec![]));
    let stts: Vec<SharedStt> = vec![refuses(1), last];
    let stt = FallbackAdapter::new(stts, options()).expect("sound");
    let events = converse(&stt).await;
    let failed = events.iter().filter_map(|event| match event {
        SttEvent::SegmentFailed(failed) => Some((failed.number, failed.stream_ended)),
        _ => None,
    });
    assert_eq!(failed.collect::<Vec<_>>(), [(1, false)]);
    let all = expected(CONVERSATION, "segment_ready").len();
    assert_eq!(texts(&events).len(), all - 1);
    assert!(matches!(events.last(), Some(SttEvent::Final(_))));
}

#[tokio::test(start_paused = true)]
async fn looking_after_a_recogniser_obeys_it_and_never_spins() {
    let first = batch("first", &flag(false));
    let stts: Vec<SharedStt> = vec![first.clone(), batch("second", &flag(true))];
    let options = FallbackOptions {
        recovery_interval: Duration::ZERO,
        ..options()
    };
    let stt = FallbackAdapter::new(stts, options).expect("sound");
    ask(&stt).await.expect("the second works");
    let asked = first.clips().len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Every 0.1 s, and each takes another 0.1 s.
    let probes = first.clips().len() - asked;
    assert!((40..=55).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_with_a_refusal_works_again() {
    let first = Arc::new(ScriptedStt::new(|number, _| {
        // The request and its retry, then a probe.
        let kind = if number < 2 {
            ErrorKind::Server
        } else {
            ErrorKind::Rejected
        };
        (Duration::ZERO, Err(kind))
    }));
    let stts: Vec<SharedStt> = vec![first.clone(), batch("second", &flag(true))];
    let stt = FallbackAdapter::new(stts, options()).expect("sound");
    let mut changes = stt.availability_changes();
    ask(&stt).await.expect("the second works");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(drain(&mut changes), [(0, false), (0, true)]);
    assert_eq!(first.clips().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn utterances_fall_back_one_by_one_with_exactly_their_audio() {
    let works = flag(true);
    let (first, second) = (batch("first", &works), batch("second", &flag(true)));
    let mut stts: Vec<SharedStt> = vec![first.clone()];
    stts.push(second.clone());
    let stt = FallbackAdapter::new(stts, options()).expect("sound");
    let off = works.clone();
    tokio::spawn(async move {
        // Between the second utterance and the third.
        tokio::time::sleep(Duration::from_secs(8)).await;
        off.store(false, Ordering::SeqCst);
    });
    let events = converse(&stt).await;
    assert_complete(&events, 1e-6, "all of utterances");
    assert_eq!(texts(&events)[..3], ["first", "first", "second"]);
    let segment = &expected(CONVERSATION, "segment_ready")[2];
    let at = |name: &str| segment[name].as_u64().expect("a position") as usize;
    let said = recording(CONVERSATION);
    assert!(second.clips()[0].samples() == &said.samples[at("start")..at("end")]);
}

#[tokio::test(start_paused = true)]
async fn what_no_transcript_has_answered_is_replayed_wherever_the_stream_breaks() {
    for (fault, step) in [(BROKEN, 770), (Fault::Ends, 2_310), (Fault::Hangs, 2_310)] {
        // From the middle of silence, of the first sentence, between its end and its transcript, and so on.
        for at in (100..17_200).step_by(step) {
            let first = streaming("a", vec![after(at, fault)]);
            let stts: Vec<SharedStt> = vec![Arc::new(first), Arc::new(streaming("b", vec![]))];
            let stt = FallbackAdapter::new(stts, options()).expect("sound");
            let events = converse(&stt).await;
            // Windows lie on a new grid behind the break: up to 32 ms, and one window more or less of speech.
            assert_complete(&events, 0.065, &format!("{fault:?} after {at} ms"));
            // The last utterance is answered after 16.5 s.
            let taken_over = texts(&events)
                .last()
                .is_some_and(|text| text.starts_with('b'));
            assert_eq!(taken_over, at < 16_400, "{fault:?} after {at} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_tells_no_times_is_replayed_too() {
    // Breaks in the middle of the second utterance, after the transcript of the first.
    let first = streaming("a", vec![after(5_500, BROKEN)]).bare();
    let second = streaming("b", vec![]);
    let stt =
        FallbackAdapter::new(vec![Arc::new(first), Arc::new(second)], options()).expect("sound");
    let texts = texts(&converse(&stt).await);
    let wanted = expected(CONVERSATION, "segment_ready").len();
    assert_eq!(texts.iter().filter(|text| text.starts_with('a')).count(), 1);
    assert_eq!(
        texts.iter().filter(|text| text.starts_with('b')).count(),
        wanted - 1
    );
}

#[tokio::test(start_paused = true)]
async fn from_a_stream_to_a_recogniser_of_utterances_and_back() {
    let first = Arc::new(streaming("a", vec![after(5_500, BROKEN)]));
    let works = flag(true);
    let second = batch("second", &works);
    let off = works.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(12_500)).await;
        off.store(false, Ordering::SeqCst);
    });
    let stt = FallbackAdapter::new(vec![first.clone(), second], options()).expect("sound");
    let mut changes = stt.availability_changes();
    let events = converse(&stt).await;
    assert_complete(&events, 0.065, "there and back");
    let texts = texts(&events);
    assert_eq!(texts[..2], ["a ", "second"], "{texts:?}");
    assert_eq!(texts.last().map(String::as_str), Some("a "), "{texts:?}");
    let changes = drain(&mut changes);
    assert_eq!(
        changes[..3],
        [(0, false), (0, true), (1, false)],
        "{changes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_streams_fail_the_audio_is_given_back() {
    let faults = || vec![after(2_000, BROKEN); 9];
    let stts: Vec<SharedStt> = vec![
        Arc::new(streaming("a", faults())),
        Arc::new(streaming("b", faults())),
    ];
    let stt = FallbackAdapter::new(stts, options()).expect("sound");
    let mut events = converse(&stt).await;
    let Some(SttEvent::Error {
        error,
        recoverable: false,
    }) = events.pop()
    else {
        panic!("no error: {events:?}");
    };
    assert!(
        error.message.contains("all recognisers have failed"),
        "{error}"
    );
    let Some(SttEvent::SegmentFailed(failed)) = events.pop() else {
        panic!("no audio: {events:?}");
    };
    let said = recording(CONVERSATION);
    let from = (failed.audio_at.as_secs_f64() * 48_000.0).round() as usize;
    // Spoken since 0.5 s, broken off at 2 s.
    assert!(from <= 24_576 && failed.audio.samples().len() + from >= 96_000);
    assert!(failed.audio.samples() == &said.samples[from..from + failed.audio.samples().len()]);
    assert!(
        matches!(events.pop(), Some(SttEvent::EndOfSpeech { .. })),
        "every start has its end"
    );
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        max_retries: 2,
        ..RetryPolicy::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_opened_again_and_loses_nothing() {
    let plan = [3_000, 4_000, 2_000, 5_000]
        .map(|ms| after(ms, BROKEN))
        .to_vec();
    let behind = Arc::new(streaming("a", plan));
    let events = converse(&Reconnecting::new(behind.clone(), quick())).await;
    assert_complete(&events, 0.065, "opened again");
    assert!(behind.opened() >= 5, "{}", behind.opened());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_open_is_tried_as_often_as_the_policy_says() {
    let closed = |count| vec![after(0, BROKEN); count];
    let behind = Arc::new(streaming("a", closed(2)));
    let events = converse(&Reconnecting::new(behind.clone(), quick())).await;
    assert_complete(&events, 0.065, "opened at the third attempt");

    let behind = Arc::new(streaming("a", closed(99)));
    let events = converse(&Reconnecting::new(behind.clone(), quick())).await;
    assert_eq!(behind.opened(), 3);
    assert!(matches!(
        events.last(),
        Some(SttEvent::Error {
            recoverable: false,
            ..
        })
    ));

    let rejected = vec![after(0, Fault::Error(ErrorKind::Rejected)); 99];
    let behind = Arc::new(streaming("a", rejected));
    converse(&Reconnecting::new(behind.clone(), quick())).await;
    assert_eq!(behind.opened(), 1, "what stays wrong is not tried again");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_events_ends_it() {
    let behind = Arc::new(streaming("a", vec![]));
    let stt = Reconnecting::new(behind, quick());
    let stream = stt
        .stream(&RecognizeOptions::default())
        .await
        .expect("it streams");
    drop(stream.events);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!stream.input.send(SttCommand::Flush).await);
}
