//! Recognisers that stream.

use std::sync::atomic::Ordering;

use listenkit_session::stt::SttEvent;
use listenkit_session::voice::{ErrorSource, SessionEvent, TurnDetection};
use listenkit_session::{AgentSession, Role};
use std::sync::Arc;

use listenkit_session::providers::instant::ToneTts;

use crate::stage::{Line, Reply, ScriptedLlm, Stage, StreamingStt, ms, parts, transcript};

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
