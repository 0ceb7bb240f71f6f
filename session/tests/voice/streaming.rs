//! Recognisers that stream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use listenkit_session::stt::{
    FailedSegment, RecognizeOptions, Stt, SttCapabilities, SttCommand, SttEvent, SttInput,
    SttStream,
};
use listenkit_session::voice::{
    AudioInput, CloseReason, ErrorSource, EventStream, SessionEvent, SessionIo, TurnDetection,
};
use listenkit_session::{AgentSession, AudioFrame, ErrorKind, ProviderError, RetryPolicy, Role};
use std::sync::Arc;

use listenkit_session::providers::instant::ToneTts;

use tokio::sync::mpsc;

use crate::stage::{
    Line, Plain, RATE, Reply, ScriptedLlm, Speaker, Stage, StreamingStt, lines, ms, parts,
    transcript,
};

#[tokio::test(start_paused = true)]
async fn finals_and_interims_reach_the_turn() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    stage.human.begins(Line::Sorry);
    stage.passes(ms(1000)).await;
    stt.interim_words("I am").await;
    stage.passes(ms(2000)).await;
    stt.final_words("I am sorry.").await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: I am sorry.", "assistant: Yes."],
        "{}",
        stage.story()
    );
    let interims = stage.count(|event| {
        matches!(
            event,
            SessionEvent::UserInputTranscribed {
                is_final: false,
                ..
            }
        )
    });
    assert_eq!(interims, 1);
}

#[tokio::test(start_paused = true)]
async fn interim_words_count_when_no_final_ones_come_and_are_not_answered_twice() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes.", "Again?"]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stt.interim_words("thank you").await;
    stage.until_message(Role::Assistant).await;
    stt.final_words("Thank you.").await;
    stage.passes(ms(3000)).await;
    assert_eq!(
        stage.history(),
        ["user: thank you", "assistant: Yes."],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_final_that_amends_a_turn_is_answered_anew() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::new([
        Reply::Slowly(ms(3000), "Too early."),
        Reply::Says("To all of it."),
        Reply::Says("To all of it."),
    ]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stt.final_words("Book a table.").await;
    stage.passes(ms(1200)).await; // the turn is over, the reply is on its way
    stt.final_words("For two.").await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        [
            "user: Book a table.",
            "user: For two.",
            "assistant: To all of it."
        ],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_opened_again() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    stt.breaks();
    stage
        .until("error", |event| {
            matches!(
                event,
                SessionEvent::Error {
                    source: ErrorSource::Stt,
                    ..
                }
            )
        })
        .await;
    stage.passes(ms(600)).await;
    assert_eq!(stt.opened.load(Ordering::SeqCst), 2);
    stage.human.says(Line::Thanks).await;
    stt.final_words("Thanks.").await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Thanks.", "assistant: Yes."]);
}

#[tokio::test(start_paused = true)]
async fn clearing_a_turn_keeps_the_connection() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Begun early.", "Yes."]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stt.final_words("Forget this.").await;
    stage.passes(ms(20)).await;
    stage.session.clear_user_turn();
    stage.passes(ms(4000)).await;
    assert_eq!(stage.history(), [""; 0], "{}", stage.story());
    stage.human.says(Line::Bye).await;
    stt.final_words("Keep this.").await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Keep this.", "assistant: Yes."]);
    assert_eq!(stt.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_for_the_final_words() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    let builder = parts().turn_detection(TurnDetection::Manual);
    let mut stage = Stage::open(builder.stt(stt.clone()).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stt.interim_words("thank").await;
    stage.passes(ms(10)).await;
    let session = stage.session.clone();
    let committed = tokio::spawn(async move { session.commit_user_turn().await });
    stage.passes(ms(300)).await;
    stt.final_words("Thank you.").await;
    assert_eq!(
        committed.await.expect("whole").expect("it runs"),
        "Thank you."
    );
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Thank you.", "assistant: Yes."]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_two_seconds_and_takes_what_there_is() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    let builder = parts().turn_detection(TurnDetection::Manual);
    let mut stage = Stage::open(builder.stt(stt.clone()).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stt.interim_words("thank you").await;
    stage.passes(ms(10)).await;
    let began = tokio::time::Instant::now();
    let text = stage.session.commit_user_turn().await.expect("it runs");
    assert_eq!(text, "thank you");
    let took = began.elapsed();
    assert!(took >= ms(1990) && took < ms(2050), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_recogniser_may_end_turns() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    let builder = parts().turn_detection(TurnDetection::Stt);
    let mut stage = Stage::open(builder.stt(stt.clone()).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stt.final_words("Thank you.").await;
    stage.passes(ms(5000)).await;
    assert_eq!(stage.history(), [""; 0], "silence ends nothing");
    stt.says(SttEvent::EndOfSpeech { at: ms(3000) }).await;
    stage.until_message(Role::Assistant).await;
    // And in the other order.
    stage.human.says(Line::Bye).await;
    stt.says(SttEvent::EndOfSpeech { at: ms(9000) }).await;
    stage.passes(ms(300)).await;
    stt.says(SttEvent::Final(transcript("Bye."))).await;
    stage.until_message(Role::Assistant).await;
    let history = stage.history();
    assert_eq!(history[0], "user: Thank you.");
    assert_eq!(history[2], "user: Bye.");
}

#[tokio::test(start_paused = true)]
async fn without_a_vad_words_open_and_interrupt() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says([
        "One two three four five six seven eight nine ten eleven twelve.",
        "Fine.",
    ]);
    let builder = AgentSession::builder()
        .stt(stt.clone())
        .llm(llm)
        .tts(Arc::new(ToneTts::new()));
    let mut stage = Stage::open(builder).await;
    stt.final_words("Count.").await;
    let said = tokio::time::Instant::now();
    let answered = stage.until_agent_speaks().await;
    let delay = answered - said;
    assert!(
        delay >= ms(490) && delay <= ms(520),
        "{delay:?} after the words"
    );
    stage.passes(ms(1000)).await;
    stt.interim_words("stop").await;
    stage.until_agent_listens().await;
    stt.final_words("Stop.").await;
    stage.until_message(Role::User).await;
    stage.until_message(Role::Assistant).await;
    let history = stage.history();
    assert!(
        history[1].ends_with("(cut)"),
        "{history:?}; {}",
        stage.story()
    );
    assert_eq!(&history[2..], ["user: Stop.", "assistant: Fine."]);
}

#[tokio::test(start_paused = true)]
async fn words_that_come_behind_the_end_of_the_audio_are_answered() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    // Without a VAD only words make turns.
    let builder = AgentSession::builder()
        .stt(stt.clone())
        .llm(llm)
        .tts(Arc::new(ToneTts::new()));
    let mut stage = Stage::open(builder).await;
    stage.human.leaves();
    stage.passes(ms(500)).await;
    stt.final_words("One last thing.").await;
    stt.breaks(); // it has said all
    stage
        .until("close", |event| matches!(event, SessionEvent::Close { .. }))
        .await;
    assert_eq!(
        stage.history(),
        ["user: One last thing.", "assistant: Yes."],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn streams_that_end_after_a_while_do_not_end_the_session() {
    let stt = StreamingStt::new();
    let llm = ScriptedLlm::says(["Yes."]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    for _ in 0..4 {
        // Longer than the 10 s of an attempt. Nobody says anything.
        stage.passes(ms(15_000)).await;
        stt.breaks();
    }
    stage.passes(ms(1000)).await;
    assert_eq!(stt.opened.load(Ordering::SeqCst), 5, "{}", stage.story());
    stage.human.says(Line::Thanks).await;
    stt.final_words("Thanks.").await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Thanks.", "assistant: Yes."]);
}

#[tokio::test(start_paused = true)]
async fn streams_that_never_last_end_the_session() {
    let stt = StreamingStt::new();
    let mut stage = Stage::open(parts().stt(stt.clone())).await;
    for _ in 0..3 {
        stt.breaks();
        stage.passes(ms(2500)).await;
    }
    let closes = stage.count(|event| matches!(event, SessionEvent::Close { .. }));
    assert_eq!(closes, 1, "{}", stage.story());
}

/// A stream that ends gives back what it has not recognised, piece by piece.
#[tokio::test(start_paused = true)]
async fn one_outage_is_one_failure_however_many_pieces_it_leaves() {
    let stt = StreamingStt::new();
    let mut stage = Stage::open(parts().stt(stt.clone())).await;
    let audio = AudioFrame::new(vec![0; 1_600], RATE, 1).expect("a format");
    for number in 0..5 {
        stt.says(SttEvent::SegmentFailed(FailedSegment {
            number,
            audio: audio.clone(),
            audio_at: ms(100 * number),
            error: ProviderError::new("stt", ErrorKind::Server, "a bad day"),
            attempts: 1,
            span: (ms(100 * number), ms(100 * number + 100)),
            stream_ended: true,
        }))
        .await;
    }
    stt.says(SttEvent::Error {
        error: ProviderError::new("stt", ErrorKind::Server, "a bad day"),
        recoverable: false,
    })
    .await;
    stage.passes(ms(3000)).await;
    let failed = stage.count(|event| matches!(event, SessionEvent::SegmentFailed(_)));
    assert_eq!(failed, 5, "{}", stage.story());
    let closed = stage.count(|event| matches!(event, SessionEvent::Close { .. }));
    assert_eq!(closed, 0, "{}", stage.story());
    stage.human.says(Line::Thanks).await;
    stt.final_words("Thanks.").await;
    stage.until_message(Role::User).await;
}

#[tokio::test(start_paused = true)]
async fn an_utterance_that_cannot_be_tried_again_is_an_error() {
    let mut stage = Stage::open(parts().stt(StreamingStt::new())).await;
    let audio = AudioFrame::new(vec![0; 1_600], RATE, 1).expect("a format");
    stage.session.resubmit(FailedSegment {
        number: 0,
        audio,
        audio_at: ms(0),
        error: ProviderError::new("stt", ErrorKind::Server, "a bad day"),
        attempts: 1,
        span: (ms(0), ms(100)),
        stream_ended: false,
    });
    stage
        .until("error", |event| {
            matches!(
                event,
                SessionEvent::Error {
                    source: ErrorSource::Stt,
                    recoverable: true,
                    ..
                }
            )
        })
        .await;
}

/// A recogniser that takes a second to connect, takes audio slowly, and says how much it was given.
struct Late;

#[async_trait::async_trait]
impl Stt for Late {
    fn label(&self) -> &str {
        "late.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::STREAMING
    }

    async fn stream(&self, _: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        tokio::time::sleep(ms(1000)).await;
        let (input, mut commands) = SttInput::channel(4);
        let (sender, events) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut heard = ms(0);
            while let Some(command) = commands.recv().await {
                if let SttCommand::Frame(frame) = command {
                    heard += frame.duration();
                }
                tokio::time::sleep(ms(5)).await;
            }
            let text = format!("{} ms", heard.as_millis());
            let _ = sender.send(SttEvent::Final(transcript(&text))).await;
        });
        Ok(SttStream { input, events })
    }
}

#[tokio::test(start_paused = true)]
async fn audio_that_waits_for_a_connection_at_its_end_is_recognised() {
    let session = parts().stt(Arc::new(Late)).build().expect("a session");
    let (audio, receiver) = mpsc::channel(100);
    session
        .start(
            Plain,
            SessionIo::new(receiver, Arc::new(Speaker::default())),
        )
        .await
        .expect("it starts");
    for _ in 0..50 {
        let frame = AudioFrame::new(vec![0; 160], RATE, 1).expect("a format");
        audio.send(AudioInput::Frame(frame)).await.expect("room");
    }
    drop(audio);
    let end = tokio::time::timeout(ms(10_000), session.closed()).await;
    assert_eq!(
        end.expect("it ends").expect("no error"),
        CloseReason::EndOfInput
    );
    assert_eq!(lines(&session.history()), ["user: 500 ms"]);
}

/// A recogniser whose stream takes some time to open, after some tries that fail; says how much audio it got, and how much it knows that it did not get.
struct Opening {
    refuses: AtomicUsize,
    takes: Duration,
    /// Takes no audio and says nothing.
    is_deaf: bool,
}

#[async_trait::async_trait]
impl Stt for Opening {
    fn label(&self) -> &str {
        "opening.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::STREAMING
    }

    async fn stream(&self, _: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let left = |left: usize| left.checked_sub(1);
        if self
            .refuses
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok()
        {
            return Err(ProviderError::new(
                "opening.stt",
                ErrorKind::Connection,
                "not now",
            ));
        }
        tokio::time::sleep(self.takes).await;
        let (input, mut commands) = SttInput::channel(4);
        let (sender, events) = mpsc::channel(4);
        let is_deaf = self.is_deaf;
        tokio::spawn(async move {
            if is_deaf {
                // Holds both ends open.
                std::future::pending::<()>().await;
            }
            let (mut heard, mut missed) = (ms(0), ms(0));
            while let Some(command) = commands.recv().await {
                match command {
                    SttCommand::Frame(frame) => heard += frame.duration(),
                    SttCommand::Gap(gap) => missed += gap,
                    _ => {}
                }
            }
            let text = format!("{} s heard, {} s missed", heard.as_secs(), missed.as_secs());
            let _ = sender.send(SttEvent::Final(transcript(&text))).await;
        });
        Ok(SttStream { input, events })
    }
}

/// Gives the errors and the history of a session that gets 70 s of silence.
async fn hears_70_s(stt: Opening) -> (Vec<String>, Vec<String>) {
    let retry = RetryPolicy::default().timeout(ms(100_000));
    let session = parts()
        .stt(Arc::new(stt))
        .retry(retry)
        .build()
        .expect("a session");
    let mut events = session.events();
    let (audio, receiver) = mpsc::channel(100);
    let io = SessionIo::new(receiver, Arc::new(Speaker::default()));
    session.start(Plain, io).await.expect("it starts");
    for _ in 0..700 {
        let frame = AudioFrame::new(vec![0; RATE as usize / 10], RATE, 1).expect("a format");
        audio.send(AudioInput::Frame(frame)).await.expect("room");
        tokio::time::sleep(ms(100)).await;
    }
    drop(audio);
    session.closed().await.expect("no error");
    (errors(&mut events).await, lines(&session.history()))
}

async fn errors(events: &mut EventStream) -> Vec<String> {
    let mut errors = Vec::new();
    while let Some(event) = events.recv().await {
        if let SessionEvent::Error { error, .. } = event {
            errors.push(error.to_string());
        }
    }
    errors
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_open_at_once_is_tried_as_often_as_the_policy_says() {
    let stt = Opening {
        refuses: AtomicUsize::new(3),
        takes: ms(0),
        is_deaf: false,
    };
    let (errors, history) = hears_70_s(stt).await;
    assert_eq!(errors, [""; 0]);
    assert_eq!(history, ["user: 70 s heard, 0 s missed"]);
}

#[tokio::test(start_paused = true)]
async fn audio_that_no_stream_takes_within_a_minute_is_lost_aloud() {
    let stt = Opening {
        refuses: AtomicUsize::new(0),
        takes: ms(64_950),
        is_deaf: false,
    };
    let (errors, history) = hears_70_s(stt).await;
    assert_eq!(history, ["user: 65 s heard, 5 s missed"]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("5.0 s of audio are lost"), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_opens_is_not_waited_for_beyond_the_end_of_the_audio() {
    for audio in [0, 5, 15] {
        let stt = Opening {
            refuses: AtomicUsize::new(0),
            takes: Duration::MAX,
            is_deaf: false,
        };
        let session = parts().stt(Arc::new(stt)).build().expect("a session");
        let mut events = session.events();
        let (sender, receiver) = mpsc::channel(100);
        let io = SessionIo::new(receiver, Arc::new(Speaker::default()));
        session.start(Plain, io).await.expect("it starts");
        for _ in 0..audio * 10 {
            let frame = AudioFrame::new(vec![0; RATE as usize / 10], RATE, 1).expect("a format");
            sender.send(AudioInput::Frame(frame)).await.expect("room");
            tokio::time::sleep(ms(100)).await;
        }
        drop(sender);
        let began = tokio::time::Instant::now();
        session.closed().await.expect("no error");
        let took = began.elapsed();
        // An attempt takes 10 s, and there are four of them.
        assert!(took <= ms(10_100), "{audio}: {took:?}");
        if audio > 0 {
            let errors = errors(&mut events).await;
            let lost = format!("{audio}.0 s of audio are lost");
            let last = errors.last().expect("what is lost is told");
            assert!(last.contains(&lost), "{errors:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_is_not_an_error_for_each_frame() {
    let stt = Opening {
        refuses: AtomicUsize::new(0),
        takes: ms(0),
        is_deaf: true,
    };
    let (errors, _) = hears_70_s(stt).await;
    let lost = |error: &String| {
        let (_, told) = error.split_once("opening.stt: ").expect("its name");
        let (seconds, _) = told.split_once(" s of audio are lost").expect("a loss");
        seconds.to_owned()
    };
    let losses: Vec<_> = errors.iter().map(lost).collect();
    // At 1, 2, 4 and 8 s of what a minute does not hold, and what is left at the end, but for four frames that are in the stream.
    assert_eq!(losses, ["1.0", "1.0", "2.0", "4.0", "61.6"]);
}
