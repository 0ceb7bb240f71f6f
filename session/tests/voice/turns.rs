//! Who speaks when.

use listenkit_session::Role;
use listenkit_session::voice::SessionEvent;

use crate::stage::{Line, Reply, ScriptedLlm, ScriptedStt, Stage, ms, parts};

#[tokio::test(start_paused = true)]
async fn three_turns_get_three_replies() {
    let llm = ScriptedLlm::says(["What is it?", "Which one?", "Good bye."]);
    let stt = ScriptedStt::new(["Hello there.", "A question.", "Thanks."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    for line in [Line::Sorry, Line::Thanks, Line::Bye] {
        let said = stage.human.says(line).await;
        let answered = stage.until_agent_speaks().await;
        let delay = answered - said;
        // 0.5 s after the last voiced window, which ends up to 96 ms (three windows) after the last sample above -45 dB.
        assert!(
            delay >= ms(440) && delay <= ms(600),
            "{delay:?} after the last word; {}",
            stage.story()
        );
        stage.until_message(Role::Assistant).await;
    }
    assert_eq!(
        stage.history(),
        [
            "user: Hello there.",
            "assistant: What is it?",
            "user: A question.",
            "assistant: Which one?",
            "user: Thanks.",
            "assistant: Good bye."
        ]
    );
    assert_eq!(stage.speaker.sounds().len(), 3, "{}", stage.story());
    // Each was asked once, with all that was said before.
    let asked = llm.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[2].len(), 5, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_reply_is_cut_where_it_was_heard() {
    let llm = ScriptedLlm::new([
        Reply::Says("One two three four five six seven eight nine ten eleven twelve."),
        Reply::Says("Fine."),
    ]);
    let stt = ScriptedStt::new(["Count.", "Stop counting."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says(Line::Sorry).await;
    stage.until_message(Role::User).await;
    stage.until_message(Role::Assistant).await;
    let history = stage.history();
    assert_eq!(history.len(), 4, "{}", stage.story());
    // A second of humming and half a second of the user's speech: a quarter of the reply, at 60 ms for a letter.
    assert!(
        history[1].starts_with("assistant: One two three") && history[1].ends_with(" (cut)"),
        "{history:?}"
    );
    assert!(!history[1].contains("eight"), "{history:?}");
    assert_eq!(&history[2..], ["user: Stop counting.", "assistant: Fine."]);
    assert_eq!(
        stage.count(|event| matches!(event, SessionEvent::Overlap { .. })),
        1,
        "{}",
        stage.story()
    );
}
