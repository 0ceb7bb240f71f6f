//! How the session asks a recogniser that takes whole utterances: when, how often, how many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use listenkit_session::stt::{
    RecognizeOptions, RecognizerOptions, Stt, SttCapabilities, Transcript,
};
use listenkit_session::voice::{AgentSessionBuilder, Metrics, SessionEvent, Vad};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError, RetryPolicy, Role};

use crate::stage::{Line, ScriptedLlm, ScriptedStt, Stage, ms, parts};

type Answer = (Duration, Result<&'static str, ErrorKind>);

/// What came of one turn.
struct Told {
    /// How long after the last sample the transcript came.
    transcript_after: Duration,
    /// Length of what was asked about.
    asked: Vec<Duration>,
    history: Vec<String>,
    /// Final transcripts, answered requests, errors and lost utterances.
    counts: [usize; 4],
    story: String,
}

async fn one_turn(
    change: impl Fn(AgentSessionBuilder) -> AgentSessionBuilder,
    answers: &[Answer],
    said: Vec<i16>,
) -> Told {
    let stt = ScriptedStt::timed(answers.iter().copied());
    let llm = ScriptedLlm::says(["Yes."]);
    let builder = change(parts().stt(stt.clone()).llm(llm));
    let mut stage = Stage::open(builder).await;
    let over = stage.human.says_samples(said).await;
    let is_final = |event: &SessionEvent| matches!(event, SessionEvent::UserInputTranscribed { is_final, .. } if *is_final);
    let transcribed = stage.until("transcript", is_final).await;
    stage.until_message(Role::Assistant).await;
    stage.passes(ms(3000)).await;
    let counts = [
        stage.count(is_final),
        stage.count(|event| matches!(event, SessionEvent::Metrics(Metrics::Stt(_)))),
        stage.count(|event| matches!(event, SessionEvent::Error { .. })),
        stage.count(|event| matches!(event, SessionEvent::SegmentFailed(_))),
    ];
    let asked = stt.heard.lock().expect("whole").clone();
    Told {
        transcript_after: transcribed - over,
        asked,
        history: stage.history(),
        counts,
        story: stage.story(),
    }
}

fn early(builder: AgentSessionBuilder) -> AgentSessionBuilder {
    builder.speculate_after(ms(100))
}

/// Two sentences with a pause between them that ends no utterance: longer than the four windows of 32 ms behind which a guess is made, shorter
/// than the eight that end it.
fn with_a_pause() -> Vec<i16> {
    let mut said = Line::Bye.audio();
    said.resize(said.len() + 16 * 180, 0);
    said.extend(Line::Thanks.audio());
    said
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_is_asked_before_the_end_of_the_utterance_is_certain() {
    let answers = [(ms(400), Ok("Thank you."))];
    let sure = one_turn(|builder| builder, &answers, Line::Thanks.audio()).await;
    let soon = one_turn(early, &answers, Line::Thanks.audio()).await;
    // Asked after four silent windows (128 ms) and not after eight (256 ms), each to a frame of 10 ms.
    let saved = sure.transcript_after - soon.transcript_after;
    assert!(
        saved >= ms(110) && saved <= ms(150),
        "{saved:?}; {}",
        soon.story
    );
    // The one request that was made early is the one that counts.
    assert_eq!(soon.asked.len(), 1, "{}", soon.story);
    assert!(soon.asked[0] < sure.asked[0]);
    assert_eq!(soon.history, sure.history);
    assert_eq!(soon.history, ["user: Thank you.", "assistant: Yes."]);
    assert_eq!(soon.counts, sure.counts);
}

#[tokio::test(start_paused = true)]
async fn a_guess_that_was_wrong_costs_a_request_and_nothing_else() {
    let right = (ms(400), Ok("Goodbye, thank you."));
    let sure = one_turn(|builder| builder, &[right], with_a_pause()).await;
    assert_eq!(sure.asked.len(), 1, "one utterance; {}", sure.story);
    let wrong: [Answer; 3] = [
        // Still running when the user goes on.
        (ms(400), Ok("Goodbye.")),
        // There already.
        (ms(0), Ok("Goodbye.")),
        // Nothing to be told: nobody has asked yet.
        (ms(0), Err(ErrorKind::Rejected)),
    ];
    for (n, wrong) in wrong.into_iter().enumerate() {
        let told = one_turn(early, &[wrong, right], with_a_pause()).await;
        assert_eq!(told.asked.len(), 2, "{n}: {}", told.story);
        assert_eq!(told.history, sure.history, "{n}: {}", told.story);
        // A request that was answered is accounted for, though its answer is not used.
        let answered = 1 + usize::from(n == 1);
        assert_eq!(told.counts, [1, answered, 0, 0], "{n}: {}", told.story);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guess_waits_for_less_than_the_end() {
    let parts = || parts().stt(ScriptedStt::new([]));
    let message = parts()
        .speculate_after(ms(250))
        .build()
        .expect_err("refused")
        .to_string();
    assert!(
        message.contains("speculate_after") && message.contains("min_silence_duration"),
        "{message}"
    );
    let patient = Vad::silero().min_silence_duration(ms(500));
    assert!(
        parts()
            .speculate_after(ms(250))
            .vad(patient)
            .build()
            .is_ok()
    );
}

/// Takes its time, and counts how many ask at once.
#[derive(Default)]
struct Slow {
    running: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait::async_trait]
impl Stt for Slow {
    fn label(&self) -> &str {
        "slow.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        _: &AudioFrame,
        _: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(ms(3000)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(Transcript {
            text: "Yes.".into(),
            ..Transcript::default()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn one_device_is_asked_one_thing_at_a_time() {
    for (options, most) in [
        (RecognizerOptions::default(), 2),
        (RecognizerOptions::default().max_parallel(1), 1),
    ] {
        let stt = Arc::new(Slow::default());
        let llm = ScriptedLlm::says(["Fine."]);
        let builder = parts().stt(stt.clone()).llm(llm).recognizer(options);
        let mut stage = Stage::open(builder).await;
        stage.human.says(Line::Bye).await;
        stage.passes(ms(1000)).await;
        stage.human.says(Line::Bye).await;
        stage.passes(ms(10_000)).await;
        assert_eq!(stt.most.load(Ordering::SeqCst), most, "{}", stage.story());
    }
}

#[tokio::test(start_paused = true)]
async fn recognition_is_tried_again_as_its_own_policy_says_or_the_sessions() {
    let policy = RetryPolicy::default().max_retries(2);
    let own = RecognizerOptions::default();
    for (options, requests) in [
        (own.clone().max_parallel(1), 3),
        (own.retry(RetryPolicy::once()), 1),
    ] {
        let failing = [(ms(0), Err(ErrorKind::Server)); 5];
        let stt = ScriptedStt::timed(failing);
        let builder = parts().stt(stt.clone()).recognizer(options).retry(policy);
        let mut stage = Stage::open(builder).await;
        stage.human.says(Line::Bye).await;
        stage
            .until("lost utterance", |event| {
                matches!(event, SessionEvent::SegmentFailed(_))
            })
            .await;
        let asked = stt.heard.lock().expect("whole").len();
        assert_eq!(asked, requests, "{}", stage.story());
    }
}
