//! PocketSphinx as a process. Needs the Debian packages pocketsphinx and pocketsphinx-en-us, but for the tests of what is missing.

#[path = "common/recording.rs"]
mod recording;
#[path = "common/script.rs"]
mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use listenkit::{SileroVad, VadRate};
use listenkit_session::providers::pocketsphinx::{
    PocketSphinx, PocketSphinxOptions, PocketSphinxSearch,
};
use listenkit_session::stt::{
    RecognizeOptions, RecognizerOptions, SegmentRecognizer, StreamAdapter, StreamAdapterOptions,
    Stt, SttCommand, SttEvent, SttStream,
};
use listenkit_session::{AudioFrame, ErrorKind};
use recording::{expected, recording};

/// `None`, and a line that says so, without the packages.
fn sphinx(options: PocketSphinxOptions) -> Option<PocketSphinx> {
    PocketSphinx::new(options)
        .inspect_err(|error| {
            println!(
                "skipped: needs the Debian packages pocketsphinx and pocketsphinx-en-us ({error})"
            )
        })
        .ok()
}

/// The utterances of a recording, as the detector cuts them.
fn utterances(case: &str) -> Vec<AudioFrame> {
    let all = recording(case);
    let at = |segment: &serde_json::Value, name: &str| {
        segment[name].as_u64().expect("a position") as usize * all.channels as usize
    };
    expected(case, "segment_ready")
        .iter()
        .map(|s| &all.samples[at(s, "start")..at(s, "end")])
        .map(|part| AudioFrame::new(part, all.rate, all.channels).expect("whole samples"))
        .collect()
}

async fn ask(sphinx: &PocketSphinx, audio: &AudioFrame) -> String {
    let answer = sphinx.recognize(audio, &RecognizeOptions::default()).await;
    answer.expect("it works").text
}

fn digits() -> PocketSphinxOptions {
    let grammar = "#JSGF V1.0;\ngrammar digits;\npublic <digits> = ( one | two | three | four | five | six | seven | eight | nine | zero )+;\n";
    PocketSphinxOptions {
        search: PocketSphinxSearch::Grammar(grammar.into()),
        ..PocketSphinxOptions::default()
    }
}

#[tokio::test]
async fn it_hears_what_was_said() {
    let Some(sphinx) = sphinx(PocketSphinxOptions::default()) else {
        return;
    };
    let clips = utterances("conversation-en");
    let first = sphinx
        .recognize(&clips[0], &RecognizeOptions::default())
        .await
        .expect("it works");
    assert_eq!(first.text, "i'm sorry i did not understand your response");
    assert_eq!(first.language.as_deref(), Some("en-US"));
    assert!(first.confidence.is_some_and(|c| (0.1..=1.0).contains(&c)));
    assert_eq!(first.words.len(), 8);
    assert!(
        first
            .words
            .windows(2)
            .all(|pair| pair[0].span.1 <= pair[1].span.0)
    );
    // Spoken from 0.5 s to 3.2 s of a clip that begins at 0.012 s.
    let (start, end) = (first.words[0].span.0, first.words[7].span.1);
    assert!(
        start.abs_diff(Duration::from_millis(490)) < Duration::from_millis(150),
        "{start:?}"
    );
    assert!(
        end.abs_diff(Duration::from_millis(3_190)) < Duration::from_millis(150),
        "{end:?}"
    );
    assert_eq!(
        ask(&sphinx, &clips[3]).await,
        "no",
        "the same process again"
    );
}

/// The conversation in real time; the texts, and for each how long after the end of its speech it came.
async fn converse(
    sphinx: PocketSphinx,
    speculate_after: Option<Duration>,
) -> Vec<(String, Duration)> {
    let options = StreamAdapterOptions {
        recognizer: RecognizerOptions {
            max_parallel: 1,
            ..RecognizerOptions::default()
        },
        speculate_after,
        ..StreamAdapterOptions::default()
    };
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("embedded weights are sound");
    sphinx.prewarm();
    let adapter = StreamAdapter::new(Arc::new(sphinx), vad, options).expect("in range");
    let stream = adapter.stream(&RecognizeOptions::default()).await;
    let SttStream { input, mut events } = stream.expect("an adapter streams");
    let began = tokio::time::Instant::now() + Duration::from_secs(1);
    tokio::spawn(async move {
        for (n, frame) in (1..).zip(recording("conversation-en").frames()) {
            tokio::time::sleep_until(began + Duration::from_millis(10) * n).await;
            input.send(SttCommand::Frame(frame)).await;
        }
    });
    let mut all = Vec::new();
    while let Some(event) = events.recv().await {
        if let SttEvent::Final(transcript) = event {
            let (_, end) = transcript.span.expect("the VAD's");
            all.push((transcript.text, began.elapsed().saturating_sub(end)));
        }
    }
    all
}

#[tokio::test]
async fn a_conversation_becomes_text() {
    let Some(sphinx) = sphinx(PocketSphinxOptions::default()) else {
        return;
    };
    let heard = converse(sphinx, None).await;
    let texts: Vec<_> = heard.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts.len(), 5);
    assert_eq!(texts[0], "i'm sorry i did not understand your response");
    assert!(texts[1].starts_with("the number i have"), "{texts:?}");
    assert!(texts[2].ends_with("seven one"), "{texts:?}");
    assert_eq!(texts[3], "no");
    assert!(texts[4].starts_with("thank you for your"), "{texts:?}");
}

/// `cargo test --release --test stt_pocketsphinx -- --ignored --nocapture figures`
#[tokio::test]
#[ignore = "prints figures, asserts nothing"]
async fn figures() {
    for speculate_after in [None, Some(Duration::from_millis(90))] {
        let Some(sphinx) = sphinx(PocketSphinxOptions::default()) else {
            return;
        };
        println!("asked for after {speculate_after:?} of silence (None: at the end, 250 ms)");
        for (text, late) in converse(sphinx, speculate_after).await {
            println!(
                "  {:5} ms after the end of speech: {text}",
                late.as_millis()
            );
        }
    }
}

#[tokio::test]
async fn a_grammar_knows_what_may_be_said() {
    let Some(sphinx) = sphinx(digits()) else {
        return;
    };
    // "four seven one", of which dictation makes something else.
    let clips = utterances("conversation-en");
    assert_eq!(ask(&sphinx, &clips[2]).await, "four seven one");
}

#[tokio::test]
async fn a_keyphrase_is_found_or_not() {
    let options = PocketSphinxOptions {
        search: PocketSphinxSearch::Keyphrase {
            phrase: "understand".into(),
            threshold: 1e-20,
        },
        ..PocketSphinxOptions::default()
    };
    let Some(sphinx) = sphinx(options) else {
        return;
    };
    let clips = utterances("conversation-en");
    assert_eq!(ask(&sphinx, &clips[0]).await, "understand");
    assert_eq!(ask(&sphinx, &clips[4]).await, "");
}

#[tokio::test]
async fn silence_and_nothing_are_no_words() {
    let Some(sphinx) = sphinx(PocketSphinxOptions::default()) else {
        return;
    };
    for samples in [vec![], vec![0; 1], vec![0; 32_000]] {
        let audio = AudioFrame::new(samples, 16_000, 1).expect("mono");
        assert_eq!(ask(&sphinx, &audio).await, "");
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_makes_room_for_the_next() {
    let Some(sphinx) = sphinx(PocketSphinxOptions::default()) else {
        return;
    };
    let clips = utterances("conversation-en");
    // Far longer than the next: half a minute of speech.
    let long: Vec<i16> = clips[0].samples().repeat(10);
    let long = AudioFrame::new(long, clips[0].sample_rate(), 1).expect("mono");
    sphinx.prewarm();
    let options = RecognizeOptions::default();
    let given_up = tokio::time::timeout(
        Duration::from_millis(800),
        sphinx.recognize(&long, &options),
    )
    .await;
    assert!(given_up.is_err(), "not done so soon");
    assert_eq!(ask(&sphinx, &clips[3]).await, "no");
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_clip_that_takes_too_long_is_an_error_and_the_next_one_works() {
    // A program that hangs the first time, and is the real one from then on.
    let folder = std::env::temp_dir().join(format!("listenkit-hangs-once-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    let program = folder.join("program");
    let script = "#!/bin/sh\nmkdir \"$0.ran\" 2>/dev/null && exec sleep 600\nexec pocketsphinx_batch \"$@\"\n";
    script::write(&program, script);
    let options = PocketSphinxOptions {
        program,
        ..digits()
    };
    if sphinx(PocketSphinxOptions::default()).is_none() {
        return;
    }
    let sphinx = PocketSphinx::new(options).expect("the script is there");
    let clips = utterances("conversation-en");
    sphinx.prewarm();
    while !folder.join("program.ran").exists() {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(1));
    }
    // Nothing else happens, so the test's clock is at the deadline at once.
    let error = sphinx
        .recognize(&clips[2], &RecognizeOptions::default())
        .await
        .expect_err("it hangs");
    assert_eq!(error.kind, ErrorKind::Timeout);
    tokio::time::resume();
    assert_eq!(ask(&sphinx, &clips[2]).await, "four seven one");
    std::fs::remove_dir_all(&folder).expect("our folder");
}

/// Processes whose command line has this in it.
fn processes(marker: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").expect("Linux");
    all.filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_and_its_folder_go_with_the_provider() {
    let phrase = "thank you for your patience";
    let options = PocketSphinxOptions {
        search: PocketSphinxSearch::Keyphrase {
            phrase: phrase.into(),
            threshold: 1e-30,
        },
        ..PocketSphinxOptions::default()
    };
    let Some(sphinx) = sphinx(options) else {
        return;
    };
    ask(&sphinx, &utterances("conversation-en")[3]).await;
    let running = processes(phrase);
    assert_eq!(running.len(), 1);
    let line = std::fs::read(running[0].join("cmdline")).expect("it runs");
    let folder = String::from_utf8_lossy(&line)
        .split('\0')
        .find(|argument| argument.contains("listenkit-pocketsphinx-"))
        .map(PathBuf::from)
        .expect("the folder of clips");
    assert!(folder.is_dir());
    let left = std::fs::read_dir(&folder).expect("it is ours").count();
    assert_eq!(left, 0, "no clip stays");
    drop(sphinx);
    let began = Instant::now();
    while !processes(phrase).is_empty() || folder.exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_process_that_dies_is_replaced() {
    let options = PocketSphinxOptions {
        search: PocketSphinxSearch::Keyphrase {
            phrase: "number".into(),
            threshold: 1e-25,
        },
        ..PocketSphinxOptions::default()
    };
    let Some(sphinx) = sphinx(options) else {
        return;
    };
    let clips = utterances("conversation-en");
    assert_eq!(ask(&sphinx, &clips[1]).await, "number");
    for process in processes("-keyphrase\0number\0") {
        let pid = process.file_name().expect("a number").to_owned();
        let killed = std::process::Command::new("kill")
            .arg("-9")
            .arg(pid)
            .status();
        assert!(killed.expect("kill runs").success());
    }
    let (recognizer, mut events) =
        SegmentRecognizer::new(Arc::new(sphinx), RecognizerOptions::default());
    recognizer.submit(clips[1].clone(), (Duration::ZERO, Duration::from_secs(1)));
    recognizer.finish().await;
    let mut text = None;
    while let Ok(event) = events.try_recv() {
        if let SttEvent::Final(transcript) = event {
            text = Some(transcript.text);
        }
    }
    assert_eq!(text.as_deref(), Some("number"));
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_with_the_reason() {
    let Some(english) = sphinx(digits()) else {
        return;
    };
    let clip = AudioFrame::new(vec![1; 16_000], 16_000, 1).expect("mono");
    let german = RecognizeOptions {
        language: Some("de-DE".into()),
    };
    let error = english
        .recognize(&clip, &german)
        .await
        .expect_err("another language");
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(error.message.contains("en-US"), "{error}");
    let british = RecognizeOptions {
        language: Some("en_GB".into()),
    };
    assert!(english.recognize(&clip, &british).await.is_ok());

    let unknown = PocketSphinxOptions {
        search: PocketSphinxSearch::Grammar(
            "#JSGF V1.0;\ngrammar g;\npublic <g> = hello qwertzu;\n".into(),
        ),
        ..PocketSphinxOptions::default()
    };
    let sphinx = PocketSphinx::new(unknown).expect("the packages are there");
    let error = sphinx
        .recognize(&clip, &RecognizeOptions::default())
        .await
        .expect_err("no such word");
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(error.message.contains("qwertzu"), "{error}");
}

#[tokio::test]
async fn words_of_a_dictionary_that_is_not_utf_8_come_out_without_their_accents() {
    let folder = std::env::temp_dir().join(format!("listenkit-latin-1-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    let program = folder.join("program");
    // As the program logs, with a word in Latin-1.
    let script = r#"#!/bin/sh
while read -r clip; do
  printf 'word start end pprob ascr lscr lback\n' >&2
  printf 'caf\351 10 29 1.000 -100 0 1\n' >&2
  printf 'INFO: batch.c(778): %s: 1.00 seconds speech, 0.1 seconds CPU, 0.1 seconds wall\n' "$clip" >&2
done
"#;
    script::write(&program, script);
    let options = PocketSphinxOptions {
        program,
        acoustic_model: "/".into(),
        dictionary: "/".into(),
        search: PocketSphinxSearch::Dictation("/".into()),
        ..PocketSphinxOptions::default()
    };
    let sphinx = PocketSphinx::new(options).expect("all is there");
    let clip = AudioFrame::new(vec![1; 16_000], 16_000, 1).expect("mono");
    assert_eq!(ask(&sphinx, &clip).await, "caf\u{fffd}");
    assert_eq!(ask(&sphinx, &clip).await, "caf\u{fffd}");
    std::fs::remove_dir_all(&folder).expect("our folder");
}

#[test]
fn what_is_missing_names_its_package() {
    let nowhere = Path::new("/nowhere");
    let options = PocketSphinxOptions {
        dictionary: nowhere.join("words.dict"),
        ..PocketSphinxOptions::default()
    };
    let message = PocketSphinx::new(options).expect_err("missing").to_string();
    assert!(message.contains("pocketsphinx-en-us"), "{message}");
    let options = PocketSphinxOptions {
        program: "no-such-program-anywhere".into(),
        acoustic_model: "/".into(),
        dictionary: "/".into(),
        search: PocketSphinxSearch::Dictation("/".into()),
        ..PocketSphinxOptions::default()
    };
    let error = PocketSphinx::new(options).expect_err("missing");
    assert_eq!(error.kind, ErrorKind::Rejected);
    let message = error.to_string();
    assert!(
        message.contains("no-such-program-anywhere is missing"),
        "{message}"
    );
    assert!(
        message.contains("Debian package pocketsphinx,"),
        "{message}"
    );
}
