//! Who may cut off whom.

use std::sync::Arc;

use listenkit_session::providers::instant::ToneTts;
use listenkit_session::voice::{
    AgentState, AudioInput, InterruptionOptions, Overlap, SayOptions, SessionError, SessionEvent,
    SessionIo, TurnOutcome, UserTurnEnded,
};
use listenkit_session::{AudioFrame, Role};

use crate::stage::{Line, Plain, RATE, Reply, ScriptedLlm, ScriptedStt, Speaker, Stage, ms, parts};

/// 4 s of humming.
const LONG: &str = "One two three four five six seven eight nine ten eleven twelve.";

fn protected() -> SayOptions {
    SayOptions {
        allow_interruptions: Some(false),
        ..SayOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_reply_is_cut_where_it_was_heard() {
    let llm = ScriptedLlm::new([Reply::Says(LONG), Reply::Says("Fine.")]);
    let stt = ScriptedStt::new(["Count.", "Stop counting."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says(Line::Sorry).await;
    stage.until_message(Role::User).await;
    stage.until_message(Role::Assistant).await;
    let history = stage.history();
    assert_eq!(history.len(), 4, "{}", stage.story());
    // A second of humming and half a second of the user's speech: 1.5 s to 1.8 s of 3.8 s.
    assert!(
        history[1].starts_with("assistant: One two three") && history[1].ends_with(" (cut)"),
        "{history:?}"
    );
    assert!(!history[1].contains("eight"), "{history:?}");
    assert_eq!(&history[2..], ["user: Stop counting.", "assistant: Fine."]);
    // Begun early, it already saw how far the agent had come.
    assert_eq!(llm.asked().last().expect("asked"), &history[..3]);
    let (_, silent) = stage.speaker.sounds()[0];
    let claims = stage.log.iter().find(|(_, event)| {
        matches!(
            event,
            SessionEvent::Overlap {
                overlap: Overlap::Claim(_),
                ..
            }
        )
    });
    let claim = claims.expect("a claim").0;
    assert!(
        silent <= claim + ms(5),
        "it fell silent at once; {}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_false_interruption_resumes_where_it_stopped() {
    let llm = ScriptedLlm::new([Reply::Says(LONG)]);
    let stt = ScriptedStt::new(["Count.", ""]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    // A noise like speech, in which nobody finds words.
    let coughed = stage.human.says(Line::Thanks).await;
    let resumed = stage
        .until("false interruption", |event| {
            matches!(
                event,
                SessionEvent::AgentFalseInterruption { resumed: true, .. }
            )
        })
        .await;
    let after = resumed - coughed;
    assert!(after >= ms(1900) && after <= ms(2100), "{after:?}");
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: Count.", &format!("assistant: {LONG}")]
    );
    assert_eq!(
        stage.speaker.sounds().len(),
        2,
        "{:?}",
        stage.speaker.sounds()
    );
    // Not a sample was lost or said twice.
    assert_eq!(stage.speaker.length(), ToneTts::new().duration(LONG));
}

#[tokio::test(start_paused = true)]
async fn words_that_come_late_stop_a_speech_that_waited_for_them() {
    let llm = ScriptedLlm::new([Reply::Says(LONG), Reply::Says("Fine.")]);
    let stt = ScriptedStt::timed([(ms(0), Ok("Count.")), (ms(3000), Ok("Stop."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says(Line::Thanks).await;
    stage
        .until(
            "the second reply",
            |event| matches!(event, SessionEvent::ConversationItemAdded(m) if m.text == "Fine."),
        )
        .await;
    // The core's 2 s are over before the words come; but they are on their way, so the agent does not go on.
    assert_eq!(stage.speaker.sounds().len(), 2, "{}", stage.story());
    let history = stage.history();
    assert!(history[1].ends_with("(cut)"), "{history:?}");
    assert_eq!(&history[2..], ["user: Stop.", "assistant: Fine."]);
}

#[tokio::test(start_paused = true)]
async fn a_backchannel_stops_nothing() {
    let llm = ScriptedLlm::new([Reply::Says(LONG)]);
    let stt = ScriptedStt::new(["Count.", "Mhm."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says_part(Line::Bye, ms(300)).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: Count.", &format!("assistant: {LONG}")]
    );
    assert_eq!(stage.speaker.sounds().len(), 1, "it went on without a gap");
    stage.passes(ms(4000)).await;
    let briefs = stage.count(|event| {
        matches!(
            event,
            SessionEvent::UserTurnEnded(UserTurnEnded {
                outcome: TurnOutcome::Brief,
                ..
            })
        )
    });
    assert_eq!(briefs, 1, "{}", stage.story());
    assert_eq!(llm.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_over_protected_speech_is_stored_and_answered_afterwards() {
    let llm = ScriptedLlm::says(["Now you."]);
    let stt = ScriptedStt::new(["But I have a question."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    let speech = stage.session.say_with(LONG, protected()).expect("a voice");
    stage.until_agent_speaks().await;
    stage.passes(ms(500)).await;
    stage.human.says(Line::Thanks).await;
    let error = stage.session.interrupt().done().await;
    assert!(matches!(error, Err(SessionError::Protected)), "{error:?}");
    speech.wait().await;
    assert!(!speech.interrupted());
    stage.until_message(Role::Assistant).await; // what was protected
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        [
            &format!("assistant: {LONG}"),
            "user: But I have a question.",
            "assistant: Now you."
        ],
        "{}",
        stage.story()
    );
    let tone = ToneTts::new();
    let all = tone.duration(LONG) + tone.duration("Now you.");
    assert_eq!(stage.speaker.length(), all);
}

#[tokio::test(start_paused = true)]
async fn a_speech_that_becomes_protected_goes_on() {
    let stt = ScriptedStt::timed([(ms(2000), Ok("Stop."))]);
    let llm = ScriptedLlm::says(["Fine."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    let speech = stage.session.say(LONG).expect("a voice");
    stage.until_agent_speaks().await;
    stage.passes(ms(500)).await;
    stage.human.begins(Line::Thanks);
    stage.until_agent_listens().await;
    speech.set_allow_interruptions(false);
    stage.until_agent_speaks().await;
    speech.wait().await;
    assert!(!speech.interrupted(), "{}", stage.story());
    assert!(stage.speaker.length() >= ToneTts::new().duration(LONG));
}

#[tokio::test(start_paused = true)]
async fn a_user_who_goes_on_before_the_reply_is_heard_is_not_talked_over() {
    let llm = ScriptedLlm::new([
        Reply::Slowly(ms(1500), "Too early."),
        Reply::Slowly(ms(100), "Both answered."),
        Reply::Says("Both answered."),
    ]);
    let stt = ScriptedStt::new(["One thing.", "Another thing."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(900)).await; // the turn is over, the reply is being made
    let said = stage.human.says(Line::Sorry).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        [
            "user: One thing.",
            "user: Another thing.",
            "assistant: Both answered."
        ],
        "{}",
        stage.story()
    );
    let sounds = stage.speaker.sounds();
    assert_eq!(sounds.len(), 1);
    assert!(sounds[0].0 > said, "the user was not talked over");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_was_held_for_nothing_is_heard() {
    let llm = ScriptedLlm::new([Reply::Slowly(ms(1500), "Here it is.")]);
    let stt = ScriptedStt::new(["One thing.", ""]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(900)).await;
    let coughed = stage.human.says(Line::Sorry).await;
    let heard = stage.until_agent_speaks().await;
    assert!(heard > coughed, "{}", stage.story());
    // As soon as the recogniser has said that it was nothing: behind min_silence_duration.
    assert!(heard - coughed < ms(450), "{:?}", heard - coughed);
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: One thing.", "assistant: Here it is."]
    );
}

#[tokio::test(start_paused = true)]
async fn without_resuming_an_interruption_is_final() {
    let llm = ScriptedLlm::new([Reply::Says(LONG)]);
    let stt = ScriptedStt::new(["Count.", ""]);
    let builder = parts().interruption(InterruptionOptions {
        resume_false_interruption: false,
        ..InterruptionOptions::default()
    });
    let mut stage = Stage::open(builder.stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(6000)).await;
    assert_eq!(stage.speaker.sounds().len(), 1);
    assert!(stage.history()[1].ends_with("(cut)"));
    assert_eq!(stage.session.agent_state(), AgentState::Listening);
}

#[tokio::test(start_paused = true)]
async fn the_program_interrupts_what_is_heard_and_what_waits() {
    let mut stage = Stage::open(parts()).await;
    let first = stage.session.say(LONG).expect("a voice");
    let second = stage.session.say("Never heard.").expect("a voice");
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.session.interrupt().done().await.expect("it may be");
    first.wait().await;
    second.wait().await;
    assert!(first.interrupted() && second.interrupted());
    stage.passes(ms(3000)).await;
    assert_eq!(stage.history().len(), 1, "{}", stage.story());
    assert!(stage.speaker.length() < ms(1100));
}

#[tokio::test(start_paused = true)]
async fn speeches_are_heard_one_after_the_other() {
    let mut stage = Stage::open(parts()).await;
    let first = stage.session.say("First speech.").expect("a voice");
    let second = stage.session.say("Second speech.").expect("a voice");
    second.wait().await;
    assert!(first.is_done());
    stage.passes(ms(100)).await;
    assert_eq!(
        stage.history(),
        ["assistant: First speech.", "assistant: Second speech."]
    );
    let tone = ToneTts::new();
    let both = tone.duration("First speech.") + tone.duration("Second speech.");
    assert_eq!(stage.speaker.length(), both);
}

#[tokio::test(start_paused = true)]
async fn a_paused_speech_goes_on_when_nobody_can_be_heard_any_more() {
    let llm = ScriptedLlm::new([Reply::Says(LONG)]);
    let stt = ScriptedStt::new(["Count.", ""]);
    // The turn without words is over after 1 s, the interruption is called false after 2 s.
    let builder = parts().transcript_wait(ms(1000));
    let mut stage = Stage::open(builder.stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(1500)).await;
    stage.human.leaves();
    stage
        .until("close", |event| matches!(event, SessionEvent::Close { .. }))
        .await;
    assert_eq!(
        stage.history(),
        ["user: Count.", &format!("assistant: {LONG}")],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_word_that_is_committed_is_answered() {
    let llm = ScriptedLlm::new([Reply::Says(LONG), Reply::Says("It stopped.")]);
    let stt = ScriptedStt::new(["Count.", "Stop."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_agent_speaks().await;
    stage.passes(ms(1000)).await;
    stage.human.says_part(Line::Bye, ms(300)).await;
    // Its end has been heard, and it is too short for an interruption; the turn is still open.
    stage.passes(ms(400)).await;
    let text = stage.session.commit_user_turn().await.expect("it runs");
    assert_eq!(text, "Stop.");
    stage
        .until(
            "the second reply",
            |event| matches!(event, SessionEvent::ConversationItemAdded(m) if m.text == "It stopped."),
        )
        .await;
    let history = stage.history();
    assert!(history[1].ends_with("(cut)"), "{}", stage.story());
    assert_eq!(&history[2..], ["user: Stop.", "assistant: It stopped."]);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_may_be_interrupted_whatever_the_rate_of_the_first_frame() {
    let llm = ScriptedLlm::says(["Fine."]);
    let builder = parts().stt(ScriptedStt::new(["Stop."])).llm(llm);
    let session = builder.build().expect("a session");
    let (audio, receiver) = tokio::sync::mpsc::channel(100);
    let io = SessionIo::new(receiver, Arc::new(Speaker::default())).sample_rate(48_000);
    session.start(Plain, io).await.expect("it starts");
    let speech = session.say(LONG).expect("a voice");
    // The agent is heard before anybody else is.
    tokio::time::sleep(ms(300)).await;
    let mut samples = vec![0; 8_000];
    samples.extend(Line::Sorry.audio());
    samples.resize(samples.len() + 16_000, 0);
    for block in samples.chunks_exact(160) {
        let frame = AudioFrame::new(block, RATE, 1).expect("a format");
        audio
            .send(AudioInput::Frame(frame))
            .await
            .expect("it hears");
        tokio::time::sleep(ms(10)).await;
    }
    speech.wait().await;
    assert!(speech.interrupted());
}
