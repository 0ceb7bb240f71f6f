//! What an agent's hooks may do.

use std::sync::Mutex;

use listenkit_session::voice::{
    BoxError, ErrorSource, ReplyOptions, SessionEvent, TurnReply, UserTurn,
};
use listenkit_session::{Agent, AgentSession, ChatMessage, Role};

use crate::stage::{Line, Reply, ScriptedLlm, ScriptedStt, Stage, ms, parts};

type Hook = fn(&mut UserTurn) -> Result<TurnReply, BoxError>;

/// An agent that greets, and does something to each turn.
struct Clerk(Mutex<Vec<Hook>>);

impl Clerk {
    fn new(hooks: impl Into<Vec<Hook>>) -> Self {
        Self(Mutex::new(hooks.into()))
    }
}

#[async_trait::async_trait]
impl Agent for Clerk {
    fn instructions(&self) -> String {
        "Be brief.".into()
    }

    async fn on_user_turn_completed(&self, turn: &mut UserTurn) -> Result<TurnReply, BoxError> {
        let hook = {
            let mut hooks = self.0.lock().expect("whole");
            (!hooks.is_empty()).then(|| hooks.remove(0))
        };
        hook.map_or(Ok(TurnReply::Reply), |hook| hook(turn))
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_or_failed_hook_keeps_the_message() {
    let llm = ScriptedLlm::says(["early 1", "early 2", "early 3", "Finally."]);
    let stt = ScriptedStt::new(["Stop here.", "Fail here.", "Panic here.", "Answer here."]);
    let agent = Clerk::new([
        (|_| Ok(TurnReply::Stop)) as Hook,
        |_| Err("no".into()),
        |_| panic!("a hook that panics"),
    ]);
    let mut stage = Stage::open_with(parts().stt(stt).llm(llm), agent).await;
    for _ in 0..4 {
        stage.human.says(Line::Bye).await;
        stage.passes(ms(1500)).await;
    }
    assert_eq!(
        stage.history(),
        [
            "system: Be brief.",
            "user: Stop here.",
            "user: Fail here.",
            "user: Panic here.",
            "user: Answer here.",
            "assistant: Finally."
        ],
        "{}",
        stage.story()
    );
    let errors = stage.count(|event| {
        matches!(
            event,
            SessionEvent::Error {
                source: ErrorSource::Agent,
                ..
            }
        )
    });
    assert_eq!(errors, 2);
}

#[tokio::test(start_paused = true)]
async fn a_hook_changes_the_context_of_one_reply_and_the_message_for_good() {
    let llm = ScriptedLlm::says(["begun early", "With knowledge.", "begun early", "Without."]);
    let stt = ScriptedStt::new(["My name is bob.", "Who am I?"]);
    let agent = Clerk::new([(|turn: &mut UserTurn| {
        turn.message.text = "My name is Bob.".into();
        turn.context
            .push(ChatMessage::new(Role::System, "Bob likes tea."));
        Ok(TurnReply::Reply)
    }) as Hook]);
    let mut stage = Stage::open_with(parts().stt(stt).llm(llm.clone()), agent).await;
    for _ in 0..2 {
        stage.human.says(Line::Bye).await;
        stage.until_message(Role::Assistant).await;
    }
    let asked = llm.asked();
    assert_eq!(
        asked[1],
        [
            "system: Be brief.",
            "system: Bob likes tea.",
            "user: My name is Bob."
        ]
    );
    let last = asked.last().expect("asked");
    assert_eq!(
        last[..3],
        [
            "system: Be brief.",
            "user: My name is Bob.",
            "assistant: With knowledge."
        ]
    );
}

/// An agent that takes its time for every turn.
struct Slow;

#[async_trait::async_trait]
impl Agent for Slow {
    async fn on_enter(&self, session: &AgentSession) {
        let speech = session.say("Welcome.").expect("a voice");
        speech.wait().await;
    }

    async fn on_user_turn_completed(&self, _: &mut UserTurn) -> Result<TurnReply, BoxError> {
        tokio::time::sleep(ms(3000)).await;
        Ok(TurnReply::Reply)
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_delays_its_reply_and_nothing_else() {
    let llm = ScriptedLlm::says(["One.", "Two.", "Three.", "Four."]);
    let stt = ScriptedStt::new(["First.", "Second."]);
    let mut stage = Stage::open_with(parts().stt(stt).llm(llm), Slow).await;
    stage.human.says(Line::Bye).await;
    stage.passes(ms(1000)).await;
    let second = stage.human.says(Line::Bye).await;
    let ended = stage
        .until("the second turn", |event| {
            matches!(event, SessionEvent::UserTurnEnded(ended) if ended.transcript == "Second.")
        })
        .await;
    assert!(ended - second < ms(700), "turns end while a hook runs");
    stage.until_message(Role::Assistant).await;
    let history = stage.history();
    assert_eq!(
        history[..3],
        ["assistant: Welcome.", "user: First.", "user: Second."]
    );
    assert_eq!(history.len(), 4, "one answer to both: {history:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reply_can_be_asked_for() {
    let llm = ScriptedLlm::new([Reply::Says("It is noon.")]);
    let mut stage = Stage::open(parts().llm(llm.clone())).await;
    let speech = stage
        .session
        .generate_reply(ReplyOptions {
            user_input: Some("What time is it?".into()),
            instructions: Some("Round to hours.".into()),
            ..ReplyOptions::default()
        })
        .expect("a model");
    speech.wait().await;
    stage.passes(ms(10)).await;
    assert_eq!(
        stage.history(),
        ["user: What time is it?", "assistant: It is noon."]
    );
    assert_eq!(
        llm.asked()[0],
        ["user: What time is it?", "system: Round to hours."]
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_hook_runs_to_the_end_of_the_session_is_kept() {
    let llm = ScriptedLlm::says(["One."]);
    let stt = ScriptedStt::new(["First."]);
    let mut stage = Stage::open_with(parts().stt(stt).llm(llm), Slow).await;
    stage.human.says(Line::Bye).await;
    // The hook takes 3 s, the session waits for it for 2 s.
    stage.passes(ms(1000)).await;
    stage.session.aclose().await;
    assert_eq!(
        stage.history(),
        ["assistant: Welcome.", "user: First."],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_only_stored_keeps_its_place_behind_one_whose_hook_runs() {
    let llm = ScriptedLlm::says(["One."]);
    let stt = ScriptedStt::new(["First.", "Second."]);
    let mut stage = Stage::open_with(parts().stt(stt).llm(llm), Slow).await;
    stage.human.says(Line::Bye).await;
    stage.passes(ms(1000)).await;
    // The hook of the first turn takes 3 s.
    stage.human.says(Line::Bye).await;
    let text = stage.session.commit_user_turn_silently().await;
    assert_eq!(text.expect("it runs"), "Second.");
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history()[..3],
        ["assistant: Welcome.", "user: First.", "user: Second."],
        "{}",
        stage.story()
    );
}

/// An agent that does nothing well.
struct Clumsy;

#[async_trait::async_trait]
impl Agent for Clumsy {
    async fn on_enter(&self, _: &AgentSession) {
        panic!("at the door");
    }

    async fn on_exit(&self, _: &AgentSession) {
        panic!("on the way out");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_is_an_error_event() {
    let mut stage = Stage::open_with(parts(), Clumsy).await;
    stage.session.aclose().await;
    stage
        .until("close", |event| matches!(event, SessionEvent::Close { .. }))
        .await;
    let errors: Vec<String> = stage
        .log
        .iter()
        .filter_map(|(_, event)| match event {
            SessionEvent::Error {
                source: ErrorSource::Agent,
                error,
                recoverable: true,
            } => Some(error.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(errors.len(), 2, "{}", stage.story());
    assert!(errors[0].contains("on_enter panicked"), "{errors:?}");
    assert!(errors[1].contains("on_exit panicked"), "{errors:?}");
}
