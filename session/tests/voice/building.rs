//! What is refused before anybody speaks.

use std::sync::Arc;
use std::time::Duration;

use listenkit::{Endpointing, Precision, SmartTurn, TurnPolicy};
use listenkit_session::AgentSession;
use listenkit_session::providers::instant::{EchoLlm, InstantStt, ToneTts};
use listenkit_session::transport::{AutoSubscribe, ConnectOptions, DataOptions, ParticipantKind};
use listenkit_session::voice::{
    AgentSessionBuilder, InterruptionOptions, Overlap, RoomInputOptions, SessionError,
    SessionEvent, TurnDetection, UserTurnEnded, Vad,
};
use listenkit_session::worker::{JobContext, WorkerOptions};

use crate::stage::{Line, ScriptedLlm, ScriptedStt, Stage, StreamingStt, ms, parts};

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

/// The delays by which a turn was decided whose user paused for a second in mid-sentence.
async fn delays(change: impl Fn(AgentSessionBuilder) -> AgentSessionBuilder) -> (u128, u128) {
    let stt = ScriptedStt::new(["I would like to book a table for", "two people."]);
    let llm = ScriptedLlm::says(["Noted."]);
    let builder = parts().stt(stt).llm(llm).language("en");
    let mut stage = Stage::open(change(builder)).await;
    stage.human.says(Line::Number).await;
    stage.passes(ms(1000)).await;
    stage.human.says(Line::Bye).await;
    stage
        .until("end of turn", |event| {
            matches!(event, SessionEvent::UserTurnEnded(_))
        })
        .await;
    let end = stage.log.iter().find_map(|(_, event)| match event {
        SessionEvent::UserTurnEnded(UserTurnEnded { decision, .. }) => *decision,
        _ => None,
    });
    let end = end.expect("the core has decided");
    let ms = |samples: listenkit::SampleCount| u128::from(samples.0) / 16;
    (ms(end.min_delay), ms(end.max_delay))
}

#[tokio::test(start_paused = true)]
async fn delays_that_are_learned_are_learned_whatever_is_set_beside_them() {
    // Without history the delay that was learned is the last pause.
    let learned = Endpointing::dynamic(ms(400), ms(3000)).with_alpha(0.0);
    let policy = TurnPolicy {
        endpointing: learned,
        ..TurnPolicy::BALANCED
    };
    let plain = delays(|builder| builder.endpointing(learned)).await;
    assert!(plain.0 > 900 && plain.0 < 1400, "{plain:?}");
    assert_eq!(plain.1, 3000);
    let beside = [
        delays(|b| b.turn_policy(policy).max_endpointing_delay(ms(2500))).await,
        delays(|b| b.endpointing(learned).max_endpointing_delay(ms(2500))).await,
        delays(|b| b.max_endpointing_delay(ms(2500)).endpointing(learned)).await,
    ];
    for (min, max) in beside {
        assert_eq!(max, 2500);
        // Nothing but what the recorded noise of the room does to the pause.
        assert!(min.abs_diff(plain.0) <= 40, "{min} and {plain:?}");
    }
    let (min, _) = delays(|b| b.endpointing(learned).min_endpointing_delay(ms(1800))).await;
    assert_eq!(min, 1800, "no delay is learned below the shortest");
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_is_set_alone_changes_that_delay_alone() {
    let fixed = Endpointing::fixed(ms(300), ms(2000));
    for (found, wanted) in [
        (
            delays(|b| b.endpointing(fixed).max_endpointing_delay(ms(1500))).await,
            (300, 1500),
        ),
        (
            delays(|b| b.min_endpointing_delay(ms(350)).endpointing(fixed)).await,
            (350, 2000),
        ),
        (
            delays(|b| {
                b.turn_policy(TurnPolicy::PATIENT)
                    .endpointing(fixed)
                    .max_endpointing_delay(ms(1500))
            })
            .await,
            (300, 1500),
        ),
    ] {
        assert_eq!(found, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn words_are_waited_for_as_long_where_the_recogniser_ends_turns() {
    for (set, wait) in [(None, 3000), (Some(ms(1500)), 1500)] {
        let two_words = InterruptionOptions::default().min_words(2);
        let mut builder = parts()
            .stt(StreamingStt::new())
            .turn_detection(TurnDetection::Stt)
            .interruption(two_words);
        if let Some(max) = set {
            builder = builder.max_endpointing_delay(max);
        }
        let mut stage = Stage::open(builder).await;
        let long = "A very long speech that goes on and on. ".repeat(20);
        stage.session.say(long).expect("a voice");
        stage.until_agent_speaks().await;
        stage.passes(ms(1000)).await;
        let said = stage.human.says(Line::Thanks).await;
        let verdict = stage
            .until("verdict", |event| {
                matches!(
                    event,
                    SessionEvent::Overlap {
                        overlap: Overlap::Brief(_),
                        ..
                    }
                )
            })
            .await;
        // From the last voiced window, up to 96 ms (three windows) behind the last sample above -45 dB; in windows of 32 ms.
        let waited = (verdict - said).as_millis();
        assert!(
            waited + 64 >= wait && waited <= wait + 160,
            "{waited} ms; {}",
            stage.story()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn interruptions_that_are_not_allowed_stay_so_whatever_else_is_said_of_them() {
    let options = InterruptionOptions::default().min_duration(ms(200));
    let builders = [
        parts().allow_interruptions(false).interruption(options),
        parts().interruption(options).allow_interruptions(false),
        parts().interruption(options.enabled(false)),
    ];
    for builder in builders {
        let stage = Stage::open(builder).await;
        let speech = stage.session.say("Hear me out.").expect("a voice");
        assert!(matches!(speech.interrupt(), Err(SessionError::Protected)));
    }
    let allowed = parts()
        .allow_interruptions(true)
        .interruption(options.enabled(false));
    let stage = Stage::open(allowed).await;
    let speech = stage.session.say("Hear me out.").expect("a voice");
    assert!(speech.interrupt().is_ok());
}

#[test]
fn options_are_written_as_setters_behind_the_defaults() {
    let connect = ConnectOptions::default().auto_subscribe(AutoSubscribe::AudioOnly);
    assert_eq!(connect.auto_subscribe, AutoSubscribe::AudioOnly);
    assert_eq!(connect.timeout, ConnectOptions::default().timeout);
    let input = RoomInputOptions::default()
        .noise_cancellation(true)
        .participant_identity("ada")
        .participant_kinds([ParticipantKind::Sip]);
    assert!(input.noise_cancellation && input.audio);
    assert_eq!(input.participant_identity.as_deref(), Some("ada"));
    assert_eq!(input.participant_kinds, [ParticipantKind::Sip]);
    let worker = WorkerOptions::new(|_: JobContext| async { Ok(()) })
        .agent_name("ada")
        .load_threshold(0.5)
        .num_idle_processes(2)
        .drain_timeout(Duration::from_secs(60));
    assert_eq!(worker.agent_name, "ada");
    assert_eq!(worker.load_threshold, Some(0.5));
    assert_eq!(worker.num_idle_processes, Some(2));
    assert_eq!(worker.drain_timeout, Duration::from_secs(60));
    let data = DataOptions::default().topic("mcp").to(["anna", "carl"]);
    assert_eq!(data.topic.as_deref(), Some("mcp"));
    assert_eq!(data.to, ["anna", "carl"]);
    assert!(data.reliable);
}
