//! Sentence streams over voices that take whole texts.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use listenkit_session::providers::instant::ToneTts;
use listenkit_session::tts::{
    SentenceOptions, SentenceStream, Tts, TtsCapabilities, TtsEvent, TtsMetrics,
};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a voice does with a sentence.
#[derive(Clone, Default)]
struct Behaviour {
    /// Requests that fail before.
    failures: u32,
    kind: Option<ErrorKind>,
    /// Never answers.
    hangs: bool,
    /// Stops answering after so many frames.
    hangs_after: Option<usize>,
    /// Fails after so many frames.
    breaks_after: Option<usize>,
    /// Says nothing.
    silent: bool,
}

/// A voice that takes 100 ms to answer and speaks in real time: 10 frames of 20 ms for every text.
#[derive(Default)]
struct SlowVoice {
    behaviours: Mutex<HashMap<String, Behaviour>>,
    /// What was asked, when.
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
    open: Arc<()>,
}

impl SlowVoice {
    fn with(text: &str, behaviour: Behaviour) -> Arc<Self> {
        let voice = Self::default();
        voice
            .behaviours
            .lock()
            .unwrap()
            .insert(text.into(), behaviour);
        Arc::new(voice)
    }

    fn texts(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(text, _)| text.clone()).collect()
    }
}

#[async_trait::async_trait]
impl Tts for SlowVoice {
    fn label(&self) -> &str {
        "slow"
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: false,
            sample_rate: 16_000,
            channels: 1,
        }
    }

    async fn synthesize(
        &self,
        text: &str,
    ) -> Result<mpsc::Receiver<Result<AudioFrame, ProviderError>>, ProviderError> {
        self.asked
            .lock()
            .unwrap()
            .push((text.into(), Instant::now()));
        let behaviour = {
            let mut behaviours = self.behaviours.lock().unwrap();
            let behaviour = behaviours.entry(text.into()).or_default();
            let now = behaviour.clone();
            behaviour.failures = behaviour.failures.saturating_sub(1);
            now
        };
        sleep(ms(100)).await;
        if behaviour.hangs {
            std::future::pending::<()>().await;
        }
        let error = |message| {
            let kind = behaviour.kind.unwrap_or(ErrorKind::Server);
            ProviderError::new("slow", kind, message)
        };
        if behaviour.failures > 0 {
            return Err(error("not now"));
        }
        let (sender, receiver) = mpsc::channel(1);
        let broken = error("broken");
        let open = self.open.clone();
        tokio::spawn(async move {
            let _open = open;
            let frames = if behaviour.silent { 0 } else { 10 };
            for number in 0..frames {
                if behaviour.breaks_after == Some(number) {
                    let _ = sender.send(Err(broken)).await;
                    return;
                }
                if behaviour.hangs_after == Some(number) {
                    sender.closed().await;
                    return;
                }
                let frame = AudioFrame::new(vec![1_000; 320], 16_000, 1).unwrap();
                if sender.send(Ok(frame)).await.is_err() {
                    return;
                }
                sleep(ms(20)).await;
            }
        });
        Ok(receiver)
    }
}

/// What came out of a stream, its audio as milliseconds.
#[derive(Debug, Default)]
struct Said {
    texts: Vec<String>,
    ms: Vec<u64>,
    flushed: Vec<u64>,
    metrics: Vec<TtsMetrics>,
    error: Option<ProviderError>,
}

async fn listen(mut events: mpsc::Receiver<Result<TtsEvent, ProviderError>>) -> Said {
    let mut said = Said::default();
    while let Some(event) = events.recv().await {
        assert!(said.error.is_none(), "an error is the last event");
        match event {
            Ok(TtsEvent::Text(text)) => {
                said.texts.push(text);
                said.ms.push(0);
            }
            Ok(TtsEvent::Audio(frame)) => {
                *said.ms.last_mut().expect("text comes first") +=
                    frame.duration().as_millis() as u64;
            }
            Ok(TtsEvent::Flushed(number)) => said.flushed.push(number),
            Ok(TtsEvent::Metrics(metrics)) => said.metrics.push(metrics),
            Ok(_) => {}
            Err(error) => said.error = Some(error),
        }
    }
    said
}

async fn say(voice: Arc<dyn Tts>, text: &str) -> Said {
    let stream = SentenceStream::open(voice, SentenceOptions::default());
    assert!(stream.input.push_text(text).await);
    stream.input.end_input();
    listen(stream.events).await
}

#[tokio::test(start_paused = true)]
async fn texts_together_are_what_was_pushed_and_each_has_its_audio() {
    let tone = ToneTts::new();
    let stream = SentenceStream::open(Arc::new(tone.clone()), SentenceOptions::default());
    let text = "Sure! This is the second sentence.  And **this** is the third, with 👋 in it. ... ";
    let listening = tokio::spawn(listen(stream.events));
    for token in text.split_inclusive(' ') {
        assert!(stream.input.push_text(token).await);
        sleep(ms(5)).await;
    }
    stream.input.flush().await;
    stream.input.push_text("After the flush").await;
    stream.input.end_input();
    let said = listening.await.unwrap();
    assert_eq!(said.texts.concat(), text.to_owned() + "After the flush");
    assert_eq!(said.texts[0], "Sure! ");
    assert_eq!(said.flushed, [0]);
    assert!(said.error.is_none());
    let expected = |text: &str| tone.duration(text).as_millis() as u64;
    assert_eq!(said.ms[0], expected("Sure!"));
    assert_eq!(said.ms[1], expected("This is the second sentence."));
    // The tone is as long as what is spoken, so the marks were left out.
    assert_eq!(
        said.ms[2],
        expected("And this is the third, with  in it. ...")
    );
    let characters: Vec<usize> = said.metrics.iter().map(|m| m.characters).collect();
    assert_eq!(characters, [5, 28, 39, 15]);
    assert!(said.metrics.iter().all(|metrics| metrics.attempts == 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_sentence_is_asked_for_before_the_text_is_complete() {
    let voice = Arc::new(SlowVoice::default());
    let mut stream = SentenceStream::open(voice.clone(), SentenceOptions::default());
    stream.input.push_text("Hello you. ").await;
    sleep(ms(10)).await;
    assert!(voice.texts().is_empty());
    stream.input.push_text("H").await;
    let began = Instant::now();
    assert!(matches!(
        stream.events.recv().await,
        Some(Ok(TtsEvent::Text(_)))
    ));
    assert!(matches!(
        stream.events.recv().await,
        Some(Ok(TtsEvent::Audio(_)))
    ));
    assert_eq!(began.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_pauses_behind_a_sentence_is_heard_before_it_goes_on() {
    let voice = Arc::new(SlowVoice::default());
    let stream = SentenceStream::open(voice.clone(), SentenceOptions::default());
    for (text, asked) in [
        ("One", 0),
        (" moment.", 1),
        (" It is", 1),
        (" **here", 1),
        (".", 1),
        ("** And", 1),
        (" there.", 2),
    ] {
        stream.input.push_text(text).await;
        sleep(ms(5_000)).await;
        assert_eq!(voice.texts().len(), asked, "{text}");
    }
    assert_eq!(voice.texts(), ["One moment.", "It is here. And there."]);
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_open_at_a_flush_does_not_hold_up_what_follows() {
    let voice = Arc::new(SlowVoice::default());
    let stream = SentenceStream::open(voice.clone(), SentenceOptions::default());
    stream.input.push_text("This is **so").await;
    stream.input.flush().await;
    stream.input.push_text("One moment.").await;
    sleep(ms(5_000)).await;
    assert_eq!(voice.texts(), ["This is so", "One moment."]);
}

#[tokio::test(start_paused = true)]
async fn the_next_sentence_is_made_while_one_comes_in_and_not_more() {
    let voice = Arc::new(SlowVoice::default());
    let began = Instant::now();
    let text = "This is sentence number one. This is sentence number two. This is sentence number three. This is sentence number four.";
    let said = say(voice.clone(), text).await;
    assert_eq!(said.ms, [200; 4]);
    let at: Vec<u64> = voice
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(_, at)| (*at - began).as_millis() as u64)
        .collect();
    assert_eq!(at[..2], [0, 0]);
    // The third when the second is read, and so on.
    assert!(at[2] >= 300 && at[2] <= 310 && at[3] >= 300, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sentence_is_tried_again_until_something_of_it_was_heard() {
    let failing = |kind| Behaviour {
        failures: 2,
        kind: Some(kind),
        ..Behaviour::default()
    };
    let text = "First sentence, which is fine. Second sentence, which fails. Third one, fine too.";
    let second = "Second sentence, which fails.";
    let voice = SlowVoice::with(second, failing(ErrorKind::RateLimited));
    let said = say(voice.clone(), text).await;
    assert_eq!(said.texts.concat(), text);
    assert_eq!(said.ms, [200; 3]);
    assert_eq!(said.metrics[1].attempts, 3);
    assert!(said.metrics[1].ttfb >= ms(100) && said.metrics[1].ttfb < ms(110));

    // What stays wrong is asked once, and nothing behind it is spoken.
    let voice = SlowVoice::with(second, failing(ErrorKind::Rejected));
    let said = say(voice.clone(), text).await;
    assert_eq!(said.texts, ["First sentence, which is fine. "]);
    assert_eq!(said.error.unwrap().kind, ErrorKind::Rejected);
    let count = voice.texts().iter().filter(|text| *text == second).count();
    assert_eq!(count, 1);

    let behaviour = Behaviour {
        breaks_after: Some(3),
        ..Behaviour::default()
    };
    let said = say(SlowVoice::with(second, behaviour), text).await;
    assert_eq!(said.ms, [200, 60]);
    assert_eq!(said.error.unwrap().kind, ErrorKind::Server);
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_hangs_or_says_nothing_is_an_error_in_time() {
    let text = "This one is answered never.";
    for (behaviour, kind, within) in [
        (
            Behaviour {
                hangs: true,
                ..Behaviour::default()
            },
            ErrorKind::Timeout,
            45,
        ),
        (
            Behaviour {
                hangs_after: Some(2),
                ..Behaviour::default()
            },
            ErrorKind::Timeout,
            11,
        ),
        (
            Behaviour {
                silent: true,
                ..Behaviour::default()
            },
            ErrorKind::Server,
            5,
        ),
    ] {
        let began = Instant::now();
        let said = say(SlowVoice::with(text, behaviour), text).await;
        assert_eq!(said.error.unwrap().kind, kind);
        assert!(
            began.elapsed() < Duration::from_secs(within),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_events_ends_the_requests() {
    let voice = Arc::new(SlowVoice::default());
    let mut stream = SentenceStream::open(voice.clone(), SentenceOptions::default());
    stream
        .input
        .push_text("This is sentence number one. This is sentence number two. And")
        .await;
    for _ in 0..3 {
        stream.events.recv().await.unwrap().unwrap();
    }
    assert!(Arc::strong_count(&voice.open) > 1);
    drop(stream.events);
    sleep(ms(50)).await;
    assert_eq!(Arc::strong_count(&voice.open), 1);
    assert!(!stream.input.push_text("more").await);
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_the_stream_though_its_input_is_open() {
    let text = "This is broken.";
    let broken = Behaviour {
        kind: Some(ErrorKind::Rejected),
        failures: 1,
        ..Behaviour::default()
    };
    let stream = SentenceStream::open(SlowVoice::with(text, broken), SentenceOptions::default());
    assert!(stream.input.push_text(text).await);
    assert!(stream.input.flush().await);
    let said = tokio::time::timeout(ms(5_000), listen(stream.events)).await;
    assert!(said.expect("it is over").error.is_some());
    assert!(!stream.input.push_text("More.").await);
}

#[tokio::test(start_paused = true)]
async fn what_is_spoken_of_a_text_is_told() {
    let voice = Arc::new(SlowVoice::default());
    let mut stream = SentenceStream::open(voice.clone(), SentenceOptions::default());
    let text = "Read [this](https://example.com), please. And nothing is left out here.";
    assert!(stream.input.push_text(text).await);
    stream.input.end_input();
    let mut named = Vec::new();
    while let Some(event) = stream.events.recv().await {
        match event.unwrap() {
            TtsEvent::Text(text) => named.push((text, None)),
            TtsEvent::Spoken(spoken) => named.last_mut().unwrap().1 = Some(spoken),
            _ => {}
        }
    }
    let spoken: Vec<_> = named.iter().map(|(_, spoken)| spoken.as_deref()).collect();
    assert_eq!(spoken, [Some("Read this, please."), None], "{named:?}");
    let asked = ["Read this, please.", "And nothing is left out here."];
    assert_eq!(voice.texts(), asked);
}
