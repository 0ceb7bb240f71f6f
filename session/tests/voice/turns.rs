//! Who speaks when.

use std::sync::Arc;

use futures_util::StreamExt;
use listenkit::{Precision, SmartTurn, TurnEndReason};
use listenkit_session::llm::{ChatChunk, ChatStream, Llm};
use listenkit_session::voice::{
    Metrics, ReplyOptions, SessionEvent, SessionIo, TurnDetection, TurnOutcome, UserState,
    UserTurnEnded,
};
use listenkit_session::{AgentSession, ChatContext, ProviderError, Role};

use crate::stage::{Line, Plain, Reply, ScriptedLlm, ScriptedStt, Stage, lines, ms, parts};

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
async fn the_reply_leaves_with_the_frame_that_ends_the_turn() {
    let llm = ScriptedLlm::says(["At once."]);
    let stt = ScriptedStt::new(["Hello there."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Sorry).await;
    stage.until_agent_speaks().await;
    let latency = stage.log.iter().find_map(|(_, event)| match event {
        SessionEvent::Metrics(Metrics::EndToEnd(metrics)) => Some(metrics.latency),
        _ => None,
    });
    // The frame of 10 ms in which 0.5 s are over.
    let latency = latency.expect("the reply was measured");
    assert!(latency >= ms(500) && latency <= ms(510), "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn speech_without_words_is_not_answered() {
    let llm = ScriptedLlm::says([]);
    let stt = ScriptedStt::new([""]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(5000)).await;
    assert_eq!(stage.history(), [""; 0]);
    assert!(llm.asked().is_empty());
    let outcomes: Vec<_> = outcomes(&stage);
    assert_eq!(outcomes, [("".to_owned(), TurnOutcome::Empty)]);
}

fn outcomes(stage: &Stage) -> Vec<(String, TurnOutcome)> {
    let ended = stage.log.iter().filter_map(|(_, event)| match event {
        SessionEvent::UserTurnEnded(ended) => Some((ended.transcript.clone(), ended.outcome)),
        _ => None,
    });
    ended.collect()
}

#[tokio::test(start_paused = true)]
async fn a_slow_recogniser_delays_replies_and_keeps_their_order() {
    let llm = ScriptedLlm::says(["Superseded.", "Both."]);
    let stt = ScriptedStt::timed([(ms(7000), Ok("First.")), (ms(0), Ok("Second."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm.clone())).await;
    stage.human.says(Line::Bye).await;
    // Longer than the core waits for words.
    stage.passes(ms(3500)).await;
    stage.human.says(Line::Thanks).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: First.", "user: Second.", "assistant: Both."],
        "{}",
        stage.story()
    );
    assert_eq!(stage.speaker.sounds().len(), 1);
    let asked = llm.asked();
    assert_eq!(
        asked.last().expect("it was asked"),
        &["user: First.", "user: Second."]
    );
}

#[tokio::test(start_paused = true)]
async fn a_word_that_comes_after_the_longest_wait_is_answered() {
    let llm = ScriptedLlm::says(["There you are."]);
    let stt = ScriptedStt::timed([(ms(6000), Ok("Late."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(
        stage.history(),
        ["user: Late.", "assistant: There you are."],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_sentence_is_waited_for() {
    let llm = ScriptedLlm::says(["Noted."]);
    let stt = ScriptedStt::new(["I would like to book a table for"]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm).language("en")).await;
    let said = stage.human.says(Line::Number).await;
    let answered = stage.until_agent_speaks().await;
    assert!(answered - said > ms(2900), "{}", stage.story());
}

#[tokio::test(start_paused = true)]
async fn smart_turn_has_its_vote() {
    let model = SmartTurn::embedded(Precision::Fast).expect("its weights");
    let llm = ScriptedLlm::says(["Yes?", "I see."]);
    // No marks, so that only the sound tells a finished sentence from one that is not.
    let stt = ScriptedStt::new(["I am sorry", "the number I have"]);
    let builder = parts()
        .turn_detection(TurnDetection::SmartTurn(model))
        .text_cues(false);
    let mut stage = Stage::open(builder.stt(stt).llm(llm)).await;
    let mut delays = Vec::new();
    for line in [Line::Sorry, Line::Number] {
        let said = stage.human.says(line).await;
        delays.push(stage.until_agent_speaks().await - said);
        stage.until_message(Role::Assistant).await;
    }
    let votes = stage.count(|event| {
        matches!(event, SessionEvent::UserTurnEnded(UserTurnEnded { decision: Some(end), .. })
            if end.votes.audio.is_some())
    });
    assert_eq!(votes, 2, "{}", stage.story());
    // 0.3 s and 1.5 s are the bounds of the policy; the fixture's turns are judged 0.99 and 0.01.
    assert!(delays[0] < ms(500), "{delays:?}");
    assert!(delays[1] > ms(1300), "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn by_hand_nothing_ends_a_turn_but_the_hand() {
    let llm = ScriptedLlm::says(["Done."]);
    let stt = ScriptedStt::new(["One.", "Two."]);
    let builder = parts().turn_detection(TurnDetection::Manual);
    let mut stage = Stage::open(builder.stt(stt).llm(llm)).await;
    stage.human.says(Line::Sorry).await;
    stage.passes(ms(5000)).await;
    stage.human.says(Line::Thanks).await;
    assert_eq!(stage.history(), [""; 0]);
    // The second sentence is still open: it is cut here, and recognised.
    let transcript = stage.session.commit_user_turn().await.expect("it runs");
    assert_eq!(transcript, "One. Two.");
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: One. Two.", "assistant: Done."]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_nothing_gives_nothing() {
    let llm = ScriptedLlm::says([]);
    let builder = parts().turn_detection(TurnDetection::Manual);
    let mut stage = Stage::open(builder.stt(ScriptedStt::new([])).llm(llm)).await;
    assert_eq!(stage.session.commit_user_turn().await.expect("it runs"), "");
    stage.passes(ms(1000)).await;
    assert_eq!(stage.history(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_stands_whatever_is_said_afterwards() {
    let llm = ScriptedLlm::new([
        Reply::Slowly(ms(800), "First answer."),
        Reply::Says("Second."),
    ]);
    let stt = ScriptedStt::timed([(ms(300), Ok("First.")), (ms(0), Ok("Second."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    let session = stage.session.clone();
    let committed = tokio::spawn(async move { session.commit_user_turn().await });
    stage.passes(ms(50)).await;
    stage.human.says(Line::Sorry).await;
    assert_eq!(committed.await.expect("whole").expect("it runs"), "First.");
    stage.until_message(Role::Assistant).await;
    let history = stage.history();
    assert_eq!(
        history[..2],
        ["user: First.", "user: Second."],
        "{}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_commit_is_stored_and_not_answered() {
    let llm = ScriptedLlm::says([]);
    let builder = parts().turn_detection(TurnDetection::Manual);
    let mut stage = Stage::open(builder.stt(ScriptedStt::new(["Note."])).llm(llm.clone())).await;
    stage.human.says(Line::Thanks).await;
    stage.passes(ms(500)).await;
    let text = stage.session.commit_user_turn_silently().await;
    assert_eq!(text.expect("it runs"), "Note.");
    stage.passes(ms(2000)).await;
    assert_eq!(stage.history(), ["user: Note."]);
    assert!(stage.speaker.sounds().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_cleared_is_never_answered() {
    let llm = ScriptedLlm::says(["Yes."]);
    let stt = ScriptedStt::timed([(ms(1000), Ok("Forget this.")), (ms(0), Ok("Keep this."))]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    // The words are on their way.
    stage.passes(ms(350)).await;
    stage.session.clear_user_turn();
    stage.passes(ms(4000)).await;
    assert_eq!(stage.history(), [""; 0], "{}", stage.story());
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Keep this.", "assistant: Yes."]);
}

#[tokio::test(start_paused = true)]
async fn a_muted_user_has_finished() {
    let llm = ScriptedLlm::says(["Yes."]);
    let stt = ScriptedStt::new(["Half a sentence."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.begins(Line::Sorry);
    stage.passes(ms(1500)).await;
    stage.human.mute(true);
    let muted = tokio::time::Instant::now();
    let answered = stage.until_agent_speaks().await;
    let delay = answered - muted;
    assert!(
        delay >= ms(300) && delay <= ms(600),
        "{delay:?}; {}",
        stage.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_frames_stop_coming_has_finished() {
    let llm = ScriptedLlm::says(["Are you there?"]);
    let stt = ScriptedStt::new(["Half a sentence."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.begins(Line::Sorry);
    stage.passes(ms(1500)).await;
    stage.human.freezes();
    let gone = tokio::time::Instant::now();
    let answered = stage.until_agent_speaks().await;
    // The core's patience of 1 s, and at most 0.2 s until it is asked for the time.
    let delay = answered - gone;
    assert!(
        delay >= ms(1000) && delay <= ms(1300),
        "{delay:?}; {}",
        stage.story()
    );
    assert_eq!(stage.session.user_state(), UserState::Listening);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_says_nothing_for_long_is_away() {
    let llm = ScriptedLlm::says(["Back again."]);
    let mut stage = Stage::open(parts().stt(ScriptedStt::new(["Hello."])).llm(llm)).await;
    let away = stage
        .until("away", |event| {
            matches!(
                event,
                SessionEvent::UserStateChanged {
                    new: UserState::Away,
                    ..
                }
            )
        })
        .await;
    let silent = away - stage.began;
    assert!(silent >= ms(15_000) && silent < ms(15_300), "{silent:?}");
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.session.user_state(), UserState::Listening);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_audio_ends_the_turn_and_then_the_session() {
    let llm = ScriptedLlm::says(["Good bye."]);
    let mut stage = Stage::open(parts().stt(ScriptedStt::new(["Bye."])).llm(llm)).await;
    stage.human.says(Line::Bye).await;
    stage.human.leaves();
    stage
        .until("close", |event| matches!(event, SessionEvent::Close { .. }))
        .await;
    assert_eq!(stage.history(), ["user: Bye.", "assistant: Good bye."]);
    let reasons = stage.count(|event| {
        matches!(event, SessionEvent::UserTurnEnded(UserTurnEnded { decision: Some(end), .. })
            if end.reason == TurnEndReason::EndOfInput)
    });
    assert_eq!(reasons, 1, "{}", stage.story());
    // The word was heard to its end before the session closed.
    let tone = listenkit_session::providers::instant::ToneTts::new();
    assert_eq!(stage.speaker.length(), tone.duration("Good bye."));
}

#[tokio::test(start_paused = true)]
async fn without_a_voice_replies_are_written() {
    let llm = ScriptedLlm::says(["In writing."]);
    let builder = listenkit_session::AgentSession::builder()
        .vad(listenkit_session::voice::Vad::silero())
        .stt(ScriptedStt::new(["Hello."]))
        .llm(llm);
    let mut stage = Stage::open(builder).await;
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Hello.", "assistant: In writing."]);
    assert!(stage.speaker.sounds().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_cleared_before_its_end_is_heard_holds_nothing_up() {
    let llm = ScriptedLlm::says(["Yes."]);
    let stt = ScriptedStt::new(["Forget this.", "Keep this."]);
    let mut stage = Stage::open(parts().stt(stt).llm(llm)).await;
    stage.human.says(Line::Thanks).await;
    // Nothing voiced follows, but the VAD still waits for the end of the speech.
    stage.passes(ms(100)).await;
    assert_eq!(stage.session.user_state(), UserState::Speaking);
    stage.session.clear_user_turn();
    stage.passes(ms(4000)).await;
    assert_eq!(stage.history(), [""; 0], "{}", stage.story());
    stage.human.says(Line::Bye).await;
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Keep this.", "assistant: Yes."]);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_behind_a_clear_has_no_words_from_before() {
    let llm = ScriptedLlm::says(["Yes."]);
    let stt = ScriptedStt::new(["Forget this.", "Keep this."]);
    let mut stage = Stage::open(parts().stt(stt.clone()).llm(llm)).await;
    stage.human.begins(Line::Sorry);
    stage.passes(ms(1200)).await;
    stage.session.clear_user_turn();
    stage.until_message(Role::Assistant).await;
    assert_eq!(stage.history(), ["user: Keep this.", "assistant: Yes."]);
    let heard = stt.heard.lock().expect("whole").clone();
    assert_eq!(heard.len(), 2, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_nobody_hears_takes_nothing_from_what_is_written() {
    let llm = ScriptedLlm::new([Reply::Slowly(ms(500), "All of these words are written.")]);
    let session = parts().llm(llm).build().expect("a session");
    let (_audio, receiver) = tokio::sync::mpsc::channel(1);
    session
        .start(Plain, SessionIo::text_only(receiver))
        .await
        .expect("it starts");
    let speech = session
        .generate_reply(ReplyOptions::default())
        .expect("a model");
    speech.wait().await;
    assert_eq!(
        lines(&session.history()),
        ["assistant: All of these words are written."]
    );
}

/// A model that takes its time over each word.
struct Dribble;

#[async_trait::async_trait]
impl Llm for Dribble {
    fn label(&self) -> &str {
        "dribble.llm"
    }

    async fn chat(&self, _: &ChatContext) -> Result<ChatStream, ProviderError> {
        let words = futures_util::stream::iter(["One", " two", " three", " four."]);
        let chunks = words.then(|word| async move {
            tokio::time::sleep(ms(200)).await;
            Ok(ChatChunk {
                text: word.to_owned(),
                usage: None,
            })
        });
        Ok(chunks.boxed())
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_voice_a_reply_is_written_as_it_is_made() {
    let builder = AgentSession::builder().llm(Arc::new(Dribble));
    let mut stage = Stage::open(builder).await;
    let session = stage.session.clone();
    let ask = || session.generate_reply(ReplyOptions::default());
    let reply = ask().expect("a model");
    reply.wait().await;
    let cut = ask().expect("a model");
    // Between its second word and the third.
    stage.passes(ms(500)).await;
    cut.interrupt().expect("it may be");
    cut.wait().await;
    stage.passes(ms(1000)).await;
    let pieces: Vec<(&str, bool)> = stage
        .log
        .iter()
        .filter_map(|(_, event)| match event {
            SessionEvent::AgentTranscript { text, is_final, .. } => {
                Some((text.as_str(), *is_final))
            }
            _ => None,
        })
        .collect();
    // The last word may be in the final text only.
    let pieces: Vec<_> = pieces
        .into_iter()
        .filter(|p| *p != (" four.", false))
        .collect();
    assert_eq!(
        pieces,
        [
            ("One", false),
            (" two", false),
            (" three", false),
            ("One two three four.", true),
            ("One", false),
            (" two", false),
            ("One two", true),
        ]
    );
    assert_eq!(
        stage.history(),
        ["assistant: One two three four.", "assistant: One two (cut)"]
    );
}
