//! Replies that are begun before the turn is over.

use listenkit_session::Role;
use listenkit_session::voice::{Metrics, PreemptiveOptions, SessionEvent};

use crate::stage::{Line, Reply, ScriptedLlm, ScriptedStt, Stage, ms, parts};

fn end_to_end(stage: &Stage) -> (std::time::Duration, bool) {
    let found = stage.log.iter().find_map(|(_, event)| match event {
        SessionEvent::Metrics(Metrics::EndToEnd(m)) => Some((m.latency, m.preemptive)),
        _ => None,
    });
    found.expect("the reply was measured")
}

#[tokio::test(start_paused = true)]
async fn a_reply_begun_early_hides_the_models_time() {
    // The transcript comes 256 ms after the last window, so 200 ms of thinking are over before the turn is.
    let llm = ScriptedLlm::new([Reply::Slowly(ms(200), "Thought about it.")]);
    let mut stage = Stage::open(parts().stt(ScriptedStt::new(["Hello."])).llm(llm.clone())).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    let (latency, preemptive) = end_to_end(&stage);
    assert!(preemptive && latency <= ms(510), "{latency:?} {preemptive}");
    assert_eq!(llm.asked().len(), 1, "it was asked once");
}

#[tokio::test(start_paused = true)]
async fn without_it_the_models_time_is_waited_for() {
    let llm = ScriptedLlm::new([Reply::Slowly(ms(200), "Thought about it.")]);
    let builder = parts().preemptive_generation(PreemptiveOptions {
        enabled: false,
        ..PreemptiveOptions::default()
    });
    let mut stage = Stage::open(builder.stt(ScriptedStt::new(["Hello."])).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    let (latency, preemptive) = end_to_end(&stage);
    assert!(
        !preemptive && latency >= ms(700),
        "{latency:?} {preemptive}"
    );
}

#[tokio::test(start_paused = true)]
async fn more_words_replace_a_reply_that_was_begun() {
    let llm = ScriptedLlm::says(["To the half.", "To the whole."]);
    let stt = ScriptedStt::new(["The number I have", "is four."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Number).await;
    // Long enough for the VAD, too short for the end of the turn.
    stage.passes(ms(400)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        [
            "user: The number I have is four.",
            "assistant: To the whole."
        ],
        "{}",
        stage.story()
    );
    assert_eq!(llm.asked().len(), 2);
    assert_eq!(stage.speaker.sounds().len(), 1);
    let cancelled = stage.count(
        |event| matches!(event, SessionEvent::Metrics(Metrics::Llm(m)) if m.speech_id.is_none()),
    );
    assert!(cancelled >= 1, "{}", stage.story());
}

#[tokio::test(start_paused = true)]
async fn a_changed_history_makes_it_void() {
    let llm = ScriptedLlm::says(["From the old history.", "From the new history."]);
    let stt = ScriptedStt::new(["Hello."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(350)).await;
    assert_eq!(llm.asked().len(), 1, "it was begun");
    let mut history = listenkit_session::ChatContext::new();
    history.set_instructions("Answer in rhyme.");
    stage.session.set_history(history);
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        [
            "system: Answer in rhyme.",
            "user: Hello.",
            "assistant: From the new history."
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn its_failure_is_tried_again_when_the_turn_is_over() {
    let fails = Reply::Fails(listenkit_session::ErrorKind::Rejected);
    let llm = ScriptedLlm::new([fails, Reply::Says("At last.")]);
    let stt = ScriptedStt::new(["Hello."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Hello.", "assistant: At last."]);
}

#[tokio::test(start_paused = true)]
async fn it_is_begun_three_times_in_a_turn_at_most() {
    let llm = ScriptedLlm::says(["1", "2", "3", "4", "5", "6"]);
    let stt = ScriptedStt::new(["one", "two", "three", "four", "five"]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    for _ in 0..5 {
        stage.human.says(Line::Bye).await;
        stage.passes(ms(400)).await;
    }
    stage.until_message(Role::Assistant).await;
    // Three early, and the one that is heard.
    assert_eq!(llm.asked().len(), 4, "{:?}", llm.asked());
    assert_eq!(stage.history()[0], "user: one two three four five");
}
