//! The adapter on a recorded conversation. What the detector hears in it is known from `fixtures/conversation-en/expected.jsonl`, which the
//! command line tool wrote.

#[path = "common/recording.rs"]
mod recording;
#[path = "common/scripted_stt.rs"]
mod scripted_stt;

use std::sync::Arc;
use std::time::Duration;

use listenkit::{SileroVad, VadRate};
use listenkit_session::stt::{
    RecognizeOptions, RecognizerOptions, StreamAdapter, StreamAdapterOptions, Stt, SttCommand,
    SttEvent, SttStream,
};
use listenkit_session::{AudioFrame, ErrorKind, RetryPolicy};
use recording::{Recording, expected, recording};
use scripted_stt::{ScriptedStt, Step};
use tokio::time::Instant;

const CONVERSATION: &str = "conversation-en";
const MS: Duration = Duration::from_millis(1);

fn adapter(stt: &Arc<ScriptedStt>, options: StreamAdapterOptions) -> StreamAdapter {
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("embedded weights are sound");
    StreamAdapter::new(stt.clone(), vad, options).expect("the options are in range")
}

async fn open(adapter: &StreamAdapter) -> SttStream {
    let stream = adapter.stream(&RecognizeOptions::default()).await;
    stream.expect("an adapter streams")
}

fn says(after: Duration, text: impl Into<String>) -> Step {
    (after, Ok(text.into()))
}

/// A recogniser that counts its requests.
fn counting(after: Duration) -> Arc<ScriptedStt> {
    Arc::new(ScriptedStt::new(move |n, _| says(after, n.to_string())))
}

/// Pushes everything at once, ends the input, and gives all events.
async fn run(adapter: &StreamAdapter, commands: Vec<SttCommand>) -> Vec<SttEvent> {
    let SttStream { input, mut events } = open(adapter).await;
    let push = async move {
        for command in commands {
            assert!(input.send(command).await, "the stream ended early");
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

fn frames(recording: &Recording) -> Vec<SttCommand> {
    let frames = recording.frames().into_iter();
    frames.map(SttCommand::Frame).collect()
}

fn part(recording: &Recording, from_ms: usize, to_ms: usize) -> Recording {
    let at = |ms: usize| ms * recording.rate as usize / 1000 * recording.channels as usize;
    Recording {
        samples: recording.samples[at(from_ms)..at(to_ms).min(recording.samples.len())].to_vec(),
        ..*recording
    }
}

fn short(events: &[SttEvent]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            SttEvent::StartOfSpeech { .. } => Some("start".to_owned()),
            SttEvent::EndOfSpeech { .. } => Some("end".to_owned()),
            SttEvent::Final(transcript) => Some(transcript.text.clone()),
            SttEvent::SegmentFailed(failed) => Some(format!("{:?}", failed.error.kind)),
            SttEvent::Error { error, .. } => Some(format!("error {error}")),
            _ => None,
        })
        .collect()
}

fn spans(events: &[SttEvent]) -> Vec<(f64, f64)> {
    let finals = events.iter().filter_map(|event| match event {
        SttEvent::Final(transcript) => transcript.span,
        _ => None,
    });
    finals
        .map(|(start, end)| (start.as_secs_f64(), end.as_secs_f64()))
        .collect()
}

fn seconds(value: &serde_json::Value, name: &str) -> f64 {
    value[name].as_f64().expect("a number of seconds")
}

/// Within a nanosecond's rounding.
fn assert_times(ours: &[(f64, f64)], theirs: &[(f64, f64)], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
    for (a, b) in ours.iter().zip(theirs) {
        let near = (a.0 - b.0).abs() <= tolerance && (a.1 - b.1).abs() <= tolerance;
        assert!(near, "{ours:?} {theirs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn starts_and_ends_are_not_late_however_slow_the_recogniser_is() {
    let stt = counting(Duration::from_secs(60));
    let adapter = adapter(&stt, StreamAdapterOptions::default());
    let SttStream { input, mut events } = open(&adapter).await;
    let began = Instant::now();
    tokio::spawn(async move {
        for (n, frame) in recording(CONVERSATION).frames().into_iter().enumerate() {
            tokio::time::sleep_until(began + 10 * MS * (n as u32 + 1)).await;
            input.send(SttCommand::Frame(frame)).await;
        }
    });
    let mut heard = Vec::new();
    while let Some(event) = events.recv().await {
        let at = match event {
            SttEvent::StartOfSpeech { at } | SttEvent::EndOfSpeech { at } => at,
            _ => continue,
        };
        heard.push((at.as_secs_f64(), began.elapsed().as_secs_f64()));
    }
    let mut known: Vec<_> = expected(CONVERSATION, "start_of_speech");
    known.extend(expected(CONVERSATION, "end_of_speech"));
    let mut known: Vec<_> = known
        .iter()
        .map(|e| (seconds(e, "at_s"), seconds(e, "decided_at_s")))
        .collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    assert_eq!(heard.len(), known.len());
    for ((at, came), (true_at, decided_at)) in heard.into_iter().zip(known) {
        assert!((at - true_at).abs() < 1e-6, "{at} {true_at}");
        // The rest of a frame of 10 ms, and a timer of 1 ms.
        assert!(
            (0.0..0.0115).contains(&(came - decided_at)),
            "{came} {decided_at}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_recogniser_gets_exactly_what_was_said_at_the_rate_it_was_said() {
    let stt = counting(Duration::ZERO);
    let said = recording(CONVERSATION);
    let events = run(
        &adapter(&stt, StreamAdapterOptions::default()),
        frames(&said),
    )
    .await;
    let known = expected(CONVERSATION, "segment_ready");
    let clips = stt.clips();
    assert_eq!(clips.len(), known.len());
    for (clip, segment) in clips.iter().zip(&known) {
        let at = |name: &str| segment[name].as_u64().expect("a position") as usize;
        assert_eq!((clip.sample_rate(), clip.channels()), (48_000, 1));
        assert!(clip.samples() == &said.samples[at("start")..at("end")]);
    }
    let known: Vec<_> = known
        .iter()
        .map(|e| (seconds(e, "speech_start_s"), seconds(e, "speech_end_s")))
        .collect();
    assert_times(&spans(&events), &known, 1e-6);
}

#[tokio::test(start_paused = true)]
async fn how_the_audio_is_cut_into_frames_changes_nothing() {
    let said = recording(CONVERSATION);
    let mut outcomes = Vec::new();
    for len in [480, 441, 7_919, said.samples.len()] {
        let stt = counting(Duration::ZERO);
        let commands = said.frames_of(len).into_iter().map(SttCommand::Frame);
        let events = run(
            &adapter(&stt, StreamAdapterOptions::default()),
            commands.collect(),
        )
        .await;
        outcomes.push((spans(&events), stt.clips()));
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(start_paused = true)]
async fn a_flush_recognises_what_was_said_before_it_and_loses_no_sample() {
    let stt = counting(Duration::ZERO);
    let said = recording(CONVERSATION);
    // In the middle of the first sentence, 0.5 s to 3.2 s.
    let mut commands = frames(&part(&said, 0, 2_000));
    commands.push(SttCommand::Flush);
    commands.extend(frames(&part(&said, 2_000, 4_500)));
    let events = run(&adapter(&stt, StreamAdapterOptions::default()), commands).await;
    let kinds = short(&events);
    assert_eq!(
        kinds.iter().filter(|k| *k == "start").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(kinds.iter().filter(|k| *k == "end").count(), 2);
    let clips = stt.clips();
    assert_eq!(clips.len(), 2);
    let joined: Vec<i16> = clips.iter().flat_map(|c| c.samples().to_vec()).collect();
    let start = expected(CONVERSATION, "segment_ready")[0]["start"]
        .as_u64()
        .expect("a position") as usize;
    assert_eq!(start + clips[0].samples().len(), 96_000, "up to the flush");
    assert!(joined == said.samples[start..start + joined.len()]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_recognises_what_was_being_said() {
    let stt = counting(300 * MS);
    let said = part(&recording(CONVERSATION), 0, 2_000);
    let events = run(
        &adapter(&stt, StreamAdapterOptions::default()),
        frames(&said),
    )
    .await;
    assert_eq!(short(&events), ["start", "end", "0"]);
    let clip = &stt.clips()[0];
    let tail = &said.samples[said.samples.len() - clip.samples().len()..];
    assert!(clip.samples() == tail, "up to the last sample");
}

#[tokio::test(start_paused = true)]
async fn missing_audio_ends_an_utterance_and_counts_in_all_times_behind_it() {
    let stt = counting(Duration::ZERO);
    let said = recording(CONVERSATION);
    let mut commands = vec![SttCommand::Gap(Duration::from_secs(7))];
    commands.extend(frames(&part(&said, 0, 2_000)));
    commands.push(SttCommand::Gap(Duration::from_secs(100)));
    commands.extend(frames(&part(&said, 4_500, 6_900)));
    let events = run(&adapter(&stt, StreamAdapterOptions::default()), commands).await;
    assert_eq!(short(&events).len(), 6);
    let known = expected(CONVERSATION, "segment_ready");
    let (first, second) = (&known[0], &known[1]);
    let times = [
        (7.0 + seconds(first, "speech_start_s"), 9.0),
        (
            104.5 + seconds(second, "speech_start_s"),
            104.5 + seconds(second, "speech_end_s"),
        ),
    ];
    // The grid of windows begins anew behind a gap: up to 32 ms, and one window more or less of speech.
    assert_times(&spans(&events), &times, 0.065);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_rate_and_channels_loses_nothing_and_the_clock_goes_on() {
    let stt = counting(Duration::ZERO);
    let first = recording("speech-ru-16k-stereo");
    let second = recording("speech-es-44k1");
    let mut commands = frames(&first);
    commands.extend(frames(&second));
    let events = run(&adapter(&stt, StreamAdapterOptions::default()), commands).await;
    let offset = first.samples.len() as f64 / 2.0 / 16_000.0;
    let mut known: Vec<_> = expected("speech-ru-16k-stereo", "segment_ready")
        .iter()
        .map(|e| (seconds(e, "speech_start_s"), seconds(e, "speech_end_s")))
        .collect();
    known.extend(expected("speech-es-44k1", "segment_ready").iter().map(|e| {
        (
            offset + seconds(e, "speech_start_s"),
            offset + seconds(e, "speech_end_s"),
        )
    }));
    // Each change adds less than one sample to the clock.
    assert_times(&spans(&events), &known, 1e-4);
    let clips = stt.clips();
    let formats: Vec<_> = clips
        .iter()
        .map(|c| (c.sample_rate(), c.channels()))
        .collect();
    assert_eq!(formats.first(), Some(&(16_000, 1)));
    assert_eq!(formats.last(), Some(&(44_100, 1)));

    let at = |name: &str| {
        let segment = &expected("speech-ru-16k-stereo", "segment_ready")[0];
        segment[name].as_u64().expect("a position") as usize * 2
    };
    let mixed: Vec<i16> = first.samples[at("start")..at("end")]
        .chunks(2)
        .map(|pair| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16)
        .collect();
    assert!(clips[0].samples() == mixed, "the mean of both channels");
}

#[tokio::test(start_paused = true)]
async fn long_speech_is_recognised_in_parts_without_a_sample_between_them() {
    let stt = counting(Duration::ZERO);
    let said = part(&recording(CONVERSATION), 0, 4_500);
    let options = StreamAdapterOptions {
        max_segment: Duration::from_secs(2),
        prefix_padding: 100 * MS,
        ..StreamAdapterOptions::default()
    };
    let events = run(&adapter(&stt, options), frames(&said)).await;
    let kinds = short(&events);
    assert_eq!(
        kinds.iter().filter(|k| *k == "start").count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(kinds.iter().filter(|k| *k == "end").count(), 1, "{kinds:?}");
    let clips = stt.clips();
    assert!(clips.len() >= 2, "{kinds:?}");
    assert!(
        clips
            .iter()
            .all(|clip| clip.duration() <= Duration::from_secs(2))
    );
    let joined: Vec<i16> = clips.iter().flat_map(|c| c.samples().to_vec()).collect();
    let speech_start = expected(CONVERSATION, "segment_ready")[0]["speech_start"]
        .as_u64()
        .expect("a position") as usize;
    let start = speech_start - 4_800;
    assert!(joined == said.samples[start..start + joined.len()]);
    assert!(spans(&events).windows(2).all(|pair| pair[0].1 <= pair[1].0));
    let numbers: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SttEvent::Final(transcript) => transcript.segment,
            _ => None,
        })
        .collect();
    assert_eq!(numbers, (0..clips.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn less_silence_is_sent_if_so_wished() {
    let lengths =
        |clips: Vec<AudioFrame>| clips.iter().map(AudioFrame::duration).collect::<Vec<_>>();
    let said = part(&recording(CONVERSATION), 0, 4_500);
    let whole = counting(Duration::ZERO);
    run(
        &adapter(&whole, StreamAdapterOptions::default()),
        frames(&said),
    )
    .await;
    let less = counting(Duration::ZERO);
    let options = StreamAdapterOptions {
        prefix_padding: 200 * MS,
        tail_padding: Some(50 * MS),
        ..StreamAdapterOptions::default()
    };
    run(&adapter(&less, options), frames(&said)).await;
    // 300 ms in front; behind, the eight windows of 32 ms become 50 ms.
    let saved = lengths(whole.clips())[0] - lengths(less.clips())[0];
    assert_eq!(saved, 300 * MS + 8 * 32 * MS - 50 * MS);
}

#[tokio::test(start_paused = true)]
async fn one_failed_request_costs_one_utterance_and_the_stream_goes_on() {
    let stt = Arc::new(ScriptedStt::new(|n, _| match n {
        1 => (Duration::ZERO, Err(ErrorKind::Rejected)),
        _ => says(Duration::ZERO, n.to_string()),
    }));
    let adapter = adapter(&stt, StreamAdapterOptions::default());
    let said = recording(CONVERSATION);
    let events = run(&adapter, frames(&said)).await;
    let known = expected(CONVERSATION, "segment_ready");
    let answers: Vec<_> = short(&events)
        .into_iter()
        .filter(|kind| kind != "start" && kind != "end")
        .collect();
    let wanted: Vec<_> = (0..known.len())
        .map(|n| match n {
            1 => "Rejected".to_owned(),
            n => n.to_string(),
        })
        .collect();
    assert_eq!(answers, wanted);
    let [failed] = adapter.failed().try_into().expect("one");
    let at = |name: &str| known[1][name].as_u64().expect("a position") as usize;
    assert!(failed.audio.samples() == &said.samples[at("start")..at("end")]);
    let audio_at = failed.audio_at.as_secs_f64();
    assert!((audio_at - seconds(&known[1], "start_s")).abs() < 1e-6);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_events_gives_back_everything_that_was_not_answered() {
    let stt = Arc::new(ScriptedStt::new(|n, _| match n {
        0 => says(Duration::ZERO, "0"),
        _ => says(Duration::from_secs(3_600), "late"),
    }));
    let options = StreamAdapterOptions {
        recognizer: RecognizerOptions {
            retry: RetryPolicy {
                timeout: Duration::from_secs(7_200),
                ..RetryPolicy::default()
            },
            ..RecognizerOptions::default()
        },
        ..StreamAdapterOptions::default()
    };
    let adapter = adapter(&stt, options);
    let SttStream { input, mut events } = open(&adapter).await;
    let said = recording(CONVERSATION);
    // Two utterances, and the beginning of the third.
    for command in frames(&part(&said, 0, 8_000)) {
        assert!(input.send(command).await);
    }
    let mut seen = Vec::new();
    while seen.iter().filter(|kind| *kind == "start").count() < 3 {
        seen.extend(short(&[events.recv().await.expect("it goes on")]));
    }
    assert!(seen.contains(&"0".to_owned()), "{seen:?}");
    drop(events);
    tokio::time::sleep(100 * MS).await;
    let failed = adapter.failed();
    let kinds: Vec<_> = failed.iter().map(|f| f.error.kind).collect();
    assert_eq!(kinds, [ErrorKind::Closed; 2]);
    let known = expected(CONVERSATION, "segment_ready");
    let at = |n: usize, name: &str| known[n][name].as_u64().expect("a position") as usize;
    assert!(failed[0].audio.samples() == &said.samples[at(1, "start")..at(1, "end")]);
    assert!(
        failed[1].audio.samples() == &said.samples[at(2, "start")..8 * 48_000],
        "what was still being said, to the last sample"
    );
    assert_eq!(stt.running(), 0);
    assert!(!input.send(SttCommand::Flush).await, "the stream is over");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_input_down_and_misses_nothing() {
    let stt = counting(Duration::ZERO);
    let adapter = adapter(&stt, StreamAdapterOptions::default());
    let SttStream { input, mut events } = open(&adapter).await;
    let talk = part(&recording(CONVERSATION), 9_500, 11_500);
    // "No." again and again: four events each.
    let rounds = 100;
    let pushed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = pushed.clone();
    let push = tokio::spawn(async move {
        for _ in 0..rounds {
            for command in frames(&talk) {
                assert!(input.send(command).await);
            }
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let waiting = pushed.load(std::sync::atomic::Ordering::SeqCst);
    assert!(waiting < rounds, "what is pushed does not pile up");
    let mut finals = 0;
    while let Some(event) = events.recv().await {
        finals += usize::from(matches!(event, SttEvent::Final(_)));
    }
    push.await.expect("no panic");
    assert_eq!(finals, rounds);
}

/// Pushes in real time (of the test's clock) and gives when the transcripts came.
async fn timed(adapter: &StreamAdapter, said: &Recording) -> (Vec<f64>, Vec<SttEvent>) {
    let SttStream { input, mut events } = open(adapter).await;
    let began = Instant::now();
    let frames = said.frames();
    tokio::spawn(async move {
        for (n, frame) in frames.into_iter().enumerate() {
            tokio::time::sleep_until(began + 10 * MS * (n as u32 + 1)).await;
            input.send(SttCommand::Frame(frame)).await;
        }
    });
    let (mut times, mut all) = (Vec::new(), Vec::new());
    while let Some(event) = events.recv().await {
        if matches!(event, SttEvent::Final(_)) {
            times.push(began.elapsed().as_secs_f64());
        }
        all.push(event);
    }
    (times, all)
}

#[tokio::test(start_paused = true)]
async fn asking_before_the_end_is_certain_brings_the_transcript_earlier() {
    let said = recording(CONVERSATION);
    let (patient, eager) = (counting(200 * MS), counting(200 * MS));
    let options = StreamAdapterOptions {
        speculate_after: Some(100 * MS),
        ..StreamAdapterOptions::default()
    };
    let (late, events) = timed(&adapter(&patient, StreamAdapterOptions::default()), &said).await;
    let (early, guessed) = timed(&adapter(&eager, options), &said).await;
    assert_eq!(spans(&events), spans(&guessed), "the same utterances");
    for (late, early) in late.iter().zip(&early) {
        // Asked after four silent windows (128 ms) and not after eight (256 ms); the end of the input hides it for the last.
        let saved = late - early;
        assert!((0.12..=0.14).contains(&saved), "{late} {early}");
    }
    let known = expected(CONVERSATION, "segment_ready");
    let at = |n: usize, name: &str| known[n][name].as_u64().expect("a position") as usize;
    let clips = eager.clips();
    assert!(clips.len() >= known.len());
    // The guess that was taken begins where the utterance begins and holds all its speech.
    for n in 0..known.len() {
        let whole = &said.samples[at(n, "start")..at(n, "end")];
        let speech = at(n, "speech_end") - at(n, "start");
        let found = clips.iter().any(|clip| {
            clip.samples().len() >= speech
                && clip.samples().len() < whole.len()
                && clip.samples() == &whole[..clip.samples().len()]
        });
        assert!(found, "utterance {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guess_is_withdrawn_when_the_user_goes_on() {
    let said = recording(CONVERSATION);
    let stt = counting(10 * MS);
    // The pauses of 0.7 s between the parts of the number are longer than the guess waits, and shorter than the end.
    let options = StreamAdapterOptions {
        min_silence: Duration::from_secs(2),
        speculate_after: Some(100 * MS),
        ..StreamAdapterOptions::default()
    };
    let patient = StreamAdapterOptions {
        speculate_after: None,
        ..options.clone()
    };
    let without = counting(10 * MS);
    let (_, wanted) = timed(&adapter(&without, patient), &said).await;
    let (_, events) = timed(&adapter(&stt, options), &said).await;
    assert_eq!(spans(&events), spans(&wanted));
    assert!(
        stt.clips().len() > without.clips().len(),
        "some were for nothing"
    );
    assert_eq!(stt.most_running(), 1);
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("embedded weights are sound");
    let stt = counting(Duration::ZERO);
    let refused = |options| {
        StreamAdapter::new(stt.clone(), vad.clone(), options)
            .expect_err("out of range")
            .to_string()
    };
    let none = StreamAdapterOptions::default;
    assert!(
        refused(StreamAdapterOptions {
            max_segment: Duration::from_secs(1),
            ..none()
        })
        .contains("max_segment")
    );
    assert!(
        refused(StreamAdapterOptions {
            activation_threshold: 1.5,
            ..none()
        })
        .contains("activation_threshold")
    );
    assert!(
        refused(StreamAdapterOptions {
            min_silence: Duration::MAX,
            ..none()
        })
        .contains("min_silence")
    );
    assert!(
        refused(StreamAdapterOptions {
            speculate_after: Some(250 * MS),
            ..none()
        })
        .contains("speculate_after")
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_is_pushed_every_start_has_an_end_and_every_utterance_an_answer() {
    let said = recording(CONVERSATION);
    for seed in 0..60 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut commands = Vec::new();
        let mut at = 0;
        while at < said.samples.len() {
            let len = dice.usize(0..40_000).min(said.samples.len() - at);
            // The rate may lie: then it is slower or faster speech.
            let (rate, channels) = match dice.u32(0..10) {
                0 => (dice.u32(4_000..=192_000), 1),
                1 => (96_000, 2),
                _ => (48_000, 1),
            };
            let len = len - len % channels as usize;
            let part = &said.samples[at..at + len];
            at += len.max(1);
            let frame = AudioFrame::new(part, rate, channels).expect("whole samples");
            commands.push(SttCommand::Frame(frame));
            match dice.u32(0..20) {
                0 => commands.push(SttCommand::Flush),
                1 => commands.push(SttCommand::Gap(Duration::from_millis(dice.u64(0..1_000)))),
                2 if dice.u32(0..10) == 0 => commands.push(SttCommand::Gap(Duration::MAX)),
                _ => {}
            }
        }
        let stt = counting(Duration::from_millis(dice.u64(0..1_000)));
        let options = StreamAdapterOptions {
            speculate_after: dice.bool().then_some(100 * MS),
            ..StreamAdapterOptions::default()
        };
        let kinds = short(&run(&adapter(&stt, options), commands).await);
        let mut open = false;
        let (mut ends, mut answers) = (0, 0);
        for kind in &kinds {
            match kind.as_str() {
                "start" => assert!(
                    !std::mem::replace(&mut open, true),
                    "seed {seed}: {kinds:?}"
                ),
                "end" => {
                    assert!(std::mem::take(&mut open), "seed {seed}: {kinds:?}");
                    ends += 1;
                }
                text => {
                    assert!(text.parse::<u32>().is_ok(), "seed {seed}: {kinds:?}");
                    answers += 1;
                }
            }
        }
        assert!(!open && answers >= ends, "seed {seed}: {kinds:?}");
    }
}
