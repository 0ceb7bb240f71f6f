//! What is refused before anybody speaks.

use std::sync::Arc;

use listenkit::{Precision, SmartTurn};
use listenkit_session::AgentSession;
use listenkit_session::providers::instant::{EchoLlm, InstantStt, ToneTts};
use listenkit_session::voice::{AgentSessionBuilder, SessionError, TurnDetection, Vad};

use crate::stage::{StreamingStt, ms};

fn error(builder: AgentSessionBuilder) -> String {
    builder.build().expect_err("refused").to_string()
}

#[test]
fn a_recogniser_of_utterances_needs_a_vad() {
    let builder = AgentSession::builder().stt(Arc::new(InstantStt::new("hello")));
    assert_eq!(
        error(builder.clone()),
        "STT does not support streaming, add VAD to enable streaming"
    );
    assert!(builder.vad(Vad::silero()).build().is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let smart = SmartTurn::embedded(Precision::Fast).expect("weights");
    let detection = TurnDetection::SmartTurn(smart);
    let builder = AgentSession::builder()
        .stt(StreamingStt::new())
        .turn_detection(detection);
    assert!(error(builder).contains("add VAD"));
    let builder = AgentSession::builder()
        .vad(Vad::silero())
        .stt(Arc::new(InstantStt::new("hello")))
        .turn_detection(TurnDetection::Stt);
    assert!(error(builder).contains("needs a streaming STT"));
}

#[test]
fn delays_that_contradict_each_other_are_refused_with_both() {
    let builder = AgentSession::builder()
        .vad(Vad::silero())
        .min_endpointing_delay(ms(900))
        .max_endpointing_delay(ms(800));
    let message = error(builder);
    assert!(
        message.contains("900") && message.contains("800"),
        "{message}"
    );
    // One that is set alone moves the other.
    let builder = AgentSession::builder().vad(Vad::silero());
    assert!(builder.min_endpointing_delay(ms(4000)).build().is_ok());
}

#[tokio::test]
async fn a_session_that_does_not_run_says_so() {
    let session = AgentSession::builder()
        .llm(Arc::new(EchoLlm::new()))
        .tts(Arc::new(ToneTts::new()))
        .build()
        .expect("parts");
    assert!(matches!(
        session.say("Hello"),
        Err(SessionError::NotRunning)
    ));
    let silent = AgentSession::builder().build().expect("no parts");
    assert!(matches!(silent.say("Hello"), Err(SessionError::NoTts)));
    let reply = silent.generate_reply(Default::default());
    assert!(matches!(reply, Err(SessionError::NoLlm)));
}
