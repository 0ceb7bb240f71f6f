//! How a session ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use listenkit_session::voice::{
    CloseReason, Dialogue, SessionError, SessionEvent, SessionIo, TurnDetection,
};
use listenkit_session::{Agent, AgentSession, ErrorKind, RetryPolicy, Role};

use crate::stage::{
    Line, Reply, ScriptedLlm, ScriptedStt, Speaker, Stage, StreamingStt, ms, parts,
};

#[derive(Clone, Default)]
struct Polite(Arc<AtomicUsize>);

#[async_trait::async_trait]
impl Agent for Polite {
    async fn on_exit(&self, session: &AgentSession) {
        assert!(matches!(session.say("More."), Err(SessionError::Draining)));
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_was_asked_for_and_takes_nothing_new() {
    let llm = ScriptedLlm::says(["Never."]);
    let stt = ScriptedStt::new(["Too late."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    let first = stage
        .session
        .say("A first speech, which is long.")
        .expect("a voice");
    let second = stage.session.say("A second one.").expect("a voice");
    stage.until_agent_speaks().await;
    let session = stage.session.clone();
    let drained = tokio::spawn(async move { session.drain().await });
    stage.passes(ms(10)).await;
    assert!(matches!(
        stage.session.say("More."),
        Err(SessionError::Draining)
    ));
    drained.await.expect("whole");
    assert!(first.is_done() && second.is_done() && !second.interrupted());
    // Still there, and hearing; but it answers nobody.
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::User).await;
    stage.passes(ms(2000)).await;
    assert_eq!(
        stage.history(),
        [
            "assistant: A first speech, which is long.",
            "assistant: A second one.",
            "user: Too late."
        ]
    );
    stage.session.aclose().await;
}

#[tokio::test(start_paused = true)]
async fn closing_with_everything_open_loses_no_word_and_hangs_nowhere() {
    let agent = Polite::default();
    let llm = ScriptedLlm::new([Reply::Slowly(ms(60_000), "Never.")]);
    let stt = ScriptedStt::timed([(ms(1000), Ok("One last thing."))]);
    let mut stage = Stage::open_with(parts().stt(stt).llm(llm), agent.clone()).await;
    let speaking = stage
        .session
        .say("A long speech that nobody will hear to its end.")
        .expect("a voice");
    let waiting = stage.session.say("Another.").expect("a voice");
    stage.until_agent_speaks().await;
    stage.human.begins(Line::Thanks);
    stage.passes(ms(1000)).await; // in mid-word
    let began = tokio::time::Instant::now();
    stage.session.aclose().await;
    let took = began.elapsed();
    assert!(took < ms(2100), "{took:?}");
    assert!(speaking.is_done() && waiting.is_done() && waiting.interrupted());
    stage
        .until("close", |event| {
            matches!(
                event,
                SessionEvent::Close {
                    reason: CloseReason::UserInitiated,
                    ..
                }
            )
        })
        .await;
    let history = stage.history();
    assert_eq!(
        history.last().expect("a word"),
        "user: One last thing.",
        "{}",
        stage.story()
    );
    assert_eq!(agent.0.load(Ordering::SeqCst), 1);
    assert!(matches!(
        stage.session.say("More."),
        Err(SessionError::NotRunning)
    ));
    // Once more does no harm, and events are over.
    stage.session.aclose().await;
    assert!(stage.session.events().recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_never_answers_does_not_hold_the_end_up() {
    let stt = ScriptedStt::timed([(ms(3_600_000), Ok("Never."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(ScriptedLlm::says([]))).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(400)).await;
    let began = tokio::time::Instant::now();
    stage.session.aclose().await;
    assert!(began.elapsed() <= ms(2100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_holds_ends() {
    let stage = Stage::open(parts()).await;
    let mut events = stage.session.events();
    let Stage { session, human, .. } = stage;
    drop(session);
    loop {
        match events.recv().await {
            Some(SessionEvent::Close { reason, .. }) => {
                assert_eq!(reason, CloseReason::Dropped);
                break;
            }
            Some(_) => {}
            None => panic!("no close event"),
        }
    }
    drop(human);
}

#[tokio::test(start_paused = true)]
async fn an_utterance_that_is_given_up_at_the_end_comes_back_with_its_audio() {
    let stt = ScriptedStt::timed([(ms(3_600_000), Ok("Never."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(ScriptedLlm::says([]))).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(400)).await;
    stage.session.aclose().await;
    stage
        .until("failed segment", |event| {
            matches!(event, SessionEvent::SegmentFailed(failed)
                if failed.error.kind == ErrorKind::Closed && failed.audio.duration() > ms(1400))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn words_that_nobody_has_committed_are_stored_at_the_end() {
    let stt = ScriptedStt::timed([(ms(0), Ok("One.")), (ms(500), Ok("Two."))]);
    let llm = ScriptedLlm::says([]);
    let builder = parts().turn_detection(TurnDetection::Manual);
    let mut stage = Stage::open(builder.stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Sorry).await;
    stage.passes(ms(1000)).await;
    // The second is still in the making.
    stage.human.says(Line::Thanks).await;
    stage.session.aclose().await;
    assert_eq!(stage.history(), ["user: One. Two."], "{}", stage.story());
    assert!(llm.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_waits_for_final_words_gets_what_there_is_at_the_end() {
    let stt = StreamingStt::new();
    let builder = parts()
        .turn_detection(TurnDetection::Manual)
        .close_timeout(ms(300));
    let mut stage = Stage::open(builder.stt(stt.clone())).await;
    stage.human.says(Line::Thanks).await;
    stt.interim_words("thank you").await;
    stage.passes(ms(10)).await;
    let session = stage.session.clone();
    let committed = tokio::spawn(async move { session.commit_user_turn().await });
    stage.passes(ms(10)).await;
    stage.session.aclose().await;
    let text = committed.await.expect("whole").expect("it ran");
    assert_eq!(text, "thank you");
    assert_eq!(stage.history(), ["user: thank you"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_ever_works_like_any_other() {
    let builder = parts()
        .close_timeout(Duration::MAX)
        .user_away_timeout(Some(Duration::MAX))
        .retry(RetryPolicy {
            timeout: Duration::MAX,
            max_delay: Duration::MAX,
            ..RetryPolicy::default()
        });
    let stt = StreamingStt::new();
    let session = builder.stt(stt.clone()).build().expect("a session");
    let (mut dialogue, agent) = Dialogue::new(&session);
    let (_audio, receiver) = tokio::sync::mpsc::channel(1);
    session
        .start(
            agent,
            SessionIo::new(receiver, Arc::new(Speaker::default())),
        )
        .await
        .expect("it starts");
    dialogue.speak("Hello.").await.expect("a voice");
    let heard = tokio::time::timeout(ms(1000), dialogue.listen(Duration::MAX)).await;
    assert!(heard.is_err(), "nobody speaks");
    let closed = tokio::spawn(async move { session.aclose().await });
    tokio::time::sleep(ms(100)).await;
    stt.breaks(); // it has said all
    closed.await.expect("whole");
}
