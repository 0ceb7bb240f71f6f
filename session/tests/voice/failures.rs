//! Providers that fail.

use std::sync::{Arc, Mutex};

use listenkit_session::llm::{ChatStream, Llm};
use listenkit_session::tts::{Tts, TtsCapabilities, TtsEvent, TtsInput, TtsStream};
use listenkit_session::voice::{
    CloseReason, Dialogue, ErrorSource, PreemptiveOptions, ReplyOptions, SessionError, SessionEvent,
};
use listenkit_session::{AgentSession, AudioFrame, ChatContext, ErrorKind, ProviderError, Role};
use tokio::sync::mpsc;

use crate::stage::{Line, Reply, ScriptedLlm, ScriptedStt, Stage, ms, parts};

fn errors(stage: &Stage, wanted: ErrorSource) -> usize {
    stage.count(|event| matches!(event, SessionEvent::Error { source, .. } if *source == wanted))
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_breaks_off_is_stored_as_far_as_it_was_heard() {
    let llm = ScriptedLlm::new([Reply::Breaks("I think that. "), Reply::Says("Again.")]);
    let stt = ScriptedStt::new(["Hello.", "Hello?"]);
    // Begun early, it would be asked for again.
    let builder = parts().preemptive_generation(PreemptiveOptions {
        enabled: false,
        ..PreemptiveOptions::default()
    });
    let mut stage = Stage::open(builder.stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_message(Role::Assistant).await;
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        [
            "user: Hello.",
            "assistant: I think that.",
            "user: Hello?",
            "assistant: Again."
        ],
        "{}",
        stage.story()
    );
    assert_eq!(errors(&stage, ErrorSource::Llm), 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_once_is_asked_again() {
    let llm = ScriptedLlm::new([Reply::Fails(ErrorKind::Server), Reply::Says("Here.")]);
    let stt = ScriptedStt::new(["Hello."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Hello.", "assistant: Here."]);
    assert_eq!(errors(&stage, ErrorSource::Llm), 0, "a retry is no error");
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_close_the_session() {
    let llm = ScriptedLlm::new(vec![Reply::Fails(ErrorKind::Rejected); 9]);
    let stt = ScriptedStt::new(["One.", "Two.", "Three."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    for _ in 0..2 {
        stage.human.says(Line::Bye).await;
        stage.passes(ms(1500)).await;
    }
    assert!(!stage.history().is_empty());
    stage.human.says(Line::Bye).await;
    stage
        .until("close", |event| {
            matches!(
                event,
                SessionEvent::Close {
                    reason: CloseReason::Error,
                    error: Some(_)
                }
            )
        })
        .await;
    // What the user said is in the history all the same.
    assert_eq!(
        stage.history(),
        ["user: One.", "user: Two.", "user: Three."]
    );
}

#[tokio::test(start_paused = true)]
async fn an_utterance_that_cannot_be_recognised_comes_back_and_can_be_tried_again() {
    let llm = ScriptedLlm::says(["Understood."]);
    let stt = ScriptedStt::timed([
        (ms(0), Err(ErrorKind::Rejected)),
        (ms(0), Ok("Second attempt.")),
    ]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage
        .until("failed segment", |event| {
            matches!(event, SessionEvent::SegmentFailed(_))
        })
        .await;
    let failed = stage.log.iter().find_map(|(_, event)| match event {
        SessionEvent::SegmentFailed(failed) => Some(failed.clone()),
        _ => None,
    });
    let failed = failed.expect("it is there");
    assert!(failed.audio.duration() > ms(1400), "all of the sentence");
    stage.passes(ms(4000)).await;
    assert_eq!(stage.history(), [""; 0]);
    stage.session.resubmit(failed);
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: Second attempt.", "assistant: Understood."]
    );
}

/// A voice that has lost its voice.
struct Hoarse;

#[async_trait::async_trait]
impl Tts for Hoarse {
    fn label(&self) -> &str {
        "hoarse"
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: false,
            sample_rate: 24_000,
            channels: 1,
        }
    }

    async fn synthesize(
        &self,
        _: &str,
    ) -> Result<mpsc::Receiver<Result<AudioFrame, ProviderError>>, ProviderError> {
        Err(ProviderError::new(
            "hoarse",
            ErrorKind::Rejected,
            "no voice",
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_fails_is_an_error_and_the_session_goes_on() {
    let llm = ScriptedLlm::says(["Unheard.", "Unheard too."]);
    let stt = ScriptedStt::new(["One.", "Two."]);
    let mut stage = Stage::open(parts().tts(Arc::new(Hoarse)).stt(stt).llm(llm)).await;
    for _ in 0..2 {
        stage.human.says(Line::Bye).await;
        stage.passes(ms(1500)).await;
    }
    assert_eq!(errors(&stage, ErrorSource::Tts), 2, "{}", stage.story());
    assert_eq!(stage.history(), ["user: One.", "user: Two."]);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_could_not_be_spoken_is_not_taken_for_one_without_an_answer() {
    let stage = Stage::open(parts().tts(Arc::new(Hoarse))).await;
    let (mut dialogue, _agent) = Dialogue::new(&stage.session);
    let asked = dialogue.ask("Shall we begin?", ms(1000)).await;
    let Err(SessionError::Provider(error)) = asked else {
        panic!("{asked:?}");
    };
    assert!(error.to_string().contains("no voice"), "{error}");
    let speech = stage.session.say("Hello?").expect("it takes it");
    speech.wait().await;
    assert!(speech.error().is_some() && !speech.interrupted());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_events_stalls_nobody_and_is_told() {
    let mut stage = Stage::open(parts()).await;
    let mut slow = stage.session.events();
    for _ in 0..300 {
        let speech = stage.session.say("Hm.").expect("a voice");
        speech.wait().await;
        stage.passes(ms(1)).await;
    }
    let first = slow.recv().await;
    assert!(
        matches!(first, Some(SessionEvent::Missed { count }) if count > 0),
        "{first:?}"
    );
    assert!(slow.recv().await.is_some());
}

/// A voice that takes text as it comes, says a tenth of a second, and then neither says more nor ends.
#[derive(Default)]
struct Stuck(Mutex<Vec<mpsc::Sender<Result<TtsEvent, ProviderError>>>>);

#[async_trait::async_trait]
impl Tts for Stuck {
    fn label(&self) -> &str {
        "stuck"
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: true,
            sample_rate: 24_000,
            channels: 1,
        }
    }

    async fn stream(&self) -> Result<TtsStream, ProviderError> {
        let (input, mut commands) = TtsInput::channel(8);
        let (sender, events) = mpsc::channel(8);
        let audio = AudioFrame::new(vec![1_000; 2_400], 24_000, 1).expect("a format");
        for event in [TtsEvent::Text("Well, ".into()), TtsEvent::Audio(audio)] {
            sender.try_send(Ok(event)).expect("room");
        }
        self.0.lock().expect("whole").push(sender);
        tokio::spawn(async move { while commands.recv().await.is_some() {} });
        Ok(TtsStream { input, events })
    }
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_stops_in_mid_speech_is_given_up() {
    let mut stage = Stage::open(parts().tts(Arc::new(Stuck::default()))).await;
    let speech = stage.session.say("Well, then.").expect("a voice");
    // 10 s for an attempt.
    tokio::time::timeout(ms(11_000), speech.wait())
        .await
        .expect("it ends");
    stage.passes(ms(10)).await;
    assert_eq!(errors(&stage, ErrorSource::Tts), 1, "{}", stage.story());
}

#[tokio::test(start_paused = true)]
async fn failures_with_replies_between_are_not_in_a_row_without_a_voice_either() {
    let fails = Reply::Fails(ErrorKind::Rejected);
    let replies = (0..4).flat_map(|_| [fails.clone(), Reply::Says("Yes.")]);
    let builder = AgentSession::builder().llm(ScriptedLlm::new(replies));
    let stage = Stage::open(builder).await;
    for _ in 0..8 {
        let reply = stage.session.generate_reply(ReplyOptions::default());
        reply.expect("it still runs").wait().await;
    }
    assert_eq!(stage.history(), ["assistant: Yes."; 4]);
}

/// A model that takes the session's own task with it.
struct Crashing;

#[async_trait::async_trait]
impl Llm for Crashing {
    fn label(&self) -> &str {
        panic!("a name that panics")
    }

    async fn chat(&self, _: &ChatContext) -> Result<ChatStream, ProviderError> {
        unreachable!("nobody asks it")
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_is_over_for_all_who_wait() {
    let mut stage = Stage::open(parts().llm(Arc::new(Crashing))).await;
    let session = stage.session.clone();
    let reply = session.generate_reply(ReplyOptions::default());
    let reply = reply.expect("a model");
    let late = session.say("Never heard.").expect("a voice");
    let all = async {
        reply.wait().await;
        late.wait().await;
        let error = session.closed().await.expect_err("it failed");
        assert!(error.to_string().contains("panicked"), "{error}");
        session.aclose().await;
    };
    tokio::time::timeout(ms(1000), all).await.expect("told");
    stage
        .until("close", |event| matches!(event, SessionEvent::Close { .. }))
        .await;
}
