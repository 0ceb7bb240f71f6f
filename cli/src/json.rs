//! Events as JSON, one object per line. The names are a contract: tools and golden files read them.

use listenkit::{
    Cue, Event, Expectation, Format, ModelVote, OverlapFacts, OverlapVerdict, SampleCount,
    SampleFormat, SamplePos, SampleRate, TurnVotes,
};
use serde_json::{Map, Value, json};

/// A JSON object whose keys stay in the order they were put in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Map<String, Value>);

impl Line {
    /// An object that begins with the event's name.
    pub(crate) fn event(name: &str) -> Self {
        Self::default().with("event", name)
    }

    /// Appends any value.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Appends a position: `key` in samples, `key_s` in seconds.
    #[must_use]
    pub(crate) fn at(self, key: &str, at: SamplePos, rate: SampleRate) -> Self {
        self.with(key, at.0)
            .with(&format!("{key}_s"), seconds(at.seconds(rate)))
    }

    /// Appends an amount: `key` in samples, `key_s` in seconds.
    #[must_use]
    pub(crate) fn amount(self, key: &str, count: SampleCount, rate: SampleRate) -> Self {
        self.with(key, count.0)
            .with(&format!("{key}_s"), seconds(rate.seconds(count)))
    }

    /// Appends a probability, or null.
    #[must_use]
    pub(crate) fn probability(self, key: &str, value: Option<f32>) -> Self {
        match value {
            // Six decimals: finer than the model's own error against its reference.
            Some(value) => self.with(key, six_decimals(f64::from(value))),
            None => self.with(key, Value::Null),
        }
    }

    /// Appends the votes that there are, each under its own key; nothing without any.
    #[must_use]
    fn votes(self, votes: &TurnVotes, rate: SampleRate) -> Self {
        let mut line = self;
        for (key, vote) in [("audio", votes.audio), ("text", votes.text)] {
            if let Some(vote) = vote {
                line = line.with(key, model_vote(&vote, rate).0);
            }
        }
        if let Some(cues) = votes.cues {
            let reasons: Vec<&str> = cues.reasons.iter().map(Cue::as_str).collect();
            let cues = Self::default()
                .with("lean", six_decimals(f64::from(cues.lean)))
                .with("reasons", reasons);
            line = line.with("cues", cues.0);
        }
        match votes.fused {
            Some(fused) => line.probability("fused", Some(fused.value())),
            None => line,
        }
    }

    /// Appends what is known about an overlap.
    #[must_use]
    fn overlap(self, facts: &OverlapFacts, rate: SampleRate) -> Self {
        self.at("agent_start", facts.agent_start, rate)
            .amount("speech_duration", facts.speech_duration, rate)
            .with("words", facts.words)
            .probability("probability", facts.probability.map(|p| p.value()))
            .probability("coherence", facts.coherence)
    }

    /// Appends the verdict on a turn that overlapped the agent's speech; nothing without one.
    #[must_use]
    fn overlap_verdict(self, verdict: Option<OverlapVerdict>) -> Self {
        match verdict {
            None => self,
            Some(OverlapVerdict::Claim) => self.with("overlap", "claim"),
            Some(OverlapVerdict::Brief(reason)) => self
                .with("overlap", "brief")
                .with("overlap_reason", reason.as_str()),
        }
    }

    /// Appends what the dialogue expected, unless that was anything.
    #[must_use]
    fn expectation(self, expectation: Expectation) -> Self {
        match expectation {
            Expectation::Free => self,
            Expectation::Digits { count } => {
                self.with("expectation", "digits").with("digits", count)
            }
            other => self.with("expectation", expectation_name(other)),
        }
    }

    /// Appends the wait that the votes chose, and that without them; nothing without votes.
    #[must_use]
    fn delays_of_votes(
        self,
        votes: &TurnVotes,
        chosen: SampleCount,
        silence: SampleCount,
        rate: SampleRate,
    ) -> Self {
        match votes.fused {
            Some(_) => {
                self.amount("chosen_delay", chosen, rate)
                    .amount("silence_delay", silence, rate)
            }
            None => self,
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = serde_json::to_string(&self.0).map_err(|_| std::fmt::Error)?;
        f.write_str(&text)
    }
}

/// Seconds to the microsecond; a sample at 192 kHz lasts five.
pub(crate) fn seconds(value: f64) -> f64 {
    six_decimals(value)
}

fn six_decimals(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// The last line of a recording: its length, and the digest of all that was heard and said.
pub(crate) fn end_of_input(at: SamplePos, rate: SampleRate, fingerprint: u64) -> Line {
    Line::event("end_of_input")
        .at("at", at, rate)
        .at("decided_at", at, rate)
        .with("fingerprint", format!("{fingerprint:016x}"))
}

/// One event of a stream that is at `rate`; `None` for events that are not part of the output.
pub(crate) fn event(event: &Event, rate: SampleRate) -> Option<Line> {
    let line = match event {
        Event::StartOfSpeech(e) => Line::event("start_of_speech")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("segment", e.segment)
            .with("turn", e.turn)
            .probability("probability", Some(e.probability.value())),
        Event::EndOfSpeech(e) => Line::event("end_of_speech")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("segment", e.segment)
            .with("turn", e.turn)
            .amount("speech_duration", e.speech_duration, rate)
            .amount("segment_duration", e.segment_duration, rate)
            .with("reason", e.reason.as_str()),
        Event::SegmentReady(e) => segment(
            Line::event("segment_ready").at("at", e.start, rate),
            e,
            rate,
        ),
        Event::EndOfTurn(e) => Line::event("end_of_turn")
            .at("at", e.last_voiced, rate)
            .at("decided_at", e.decided_at, rate)
            .with("turn", e.turn)
            .at("start", e.start, rate)
            .at("last_voiced", e.last_voiced, rate)
            .with("wait", e.wait.as_str())
            .with("reason", e.reason.as_str())
            .probability("probability", e.probability().map(|p| p.value()))
            .probability("threshold", e.threshold().map(|p| p.value()))
            .amount("min_delay", e.min_delay, rate)
            .amount("max_delay", e.max_delay, rate)
            .amount("delay", e.delay(), rate)
            .votes(&e.votes, rate)
            .expectation(e.expectation)
            .delays_of_votes(&e.votes, e.chosen_delay, e.silence_delay, rate)
            .overlap_verdict(e.overlap),
        Event::TurnPrediction(e) => Line::event("turn_prediction")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("turn", e.turn)
            .probability("probability", e.votes.probability().map(|p| p.value()))
            .probability("threshold", e.votes.threshold().map(|p| p.value()))
            .amount("min_delay", e.min_delay, rate)
            .amount("max_delay", e.max_delay, rate)
            .at("ends_at", e.ends_at, rate)
            .votes(&e.votes, rate)
            .expectation(e.expectation)
            .delays_of_votes(&e.votes, e.chosen_delay, e.silence_delay, rate),
        Event::TurnAmended(e) => Line::event("turn_amended")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("turn", e.turn),
        Event::FormatChanged(e) => Line::event("format_changed")
            .at("at", e.at, e.from.rate)
            .at("decided_at", e.resumes_at, e.to.rate)
            .at("resumes_at", e.resumes_at, e.to.rate)
            .with("from", format(e.from))
            .with("to", format(e.to)),
        Event::Gap(e) => Line::event("gap")
            .at("at", e.at, rate)
            .at("decided_at", event.decided_at(), rate)
            .amount("duration", e.duration, rate)
            .with("concealed", e.concealed),
        Event::OverlapClaim(e) => Line::event("overlap_claim")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("segment", e.segment)
            .with("turn", e.turn)
            .overlap(&e.facts, rate),
        Event::OverlapBrief(e) => Line::event("overlap_brief")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("segment", e.segment)
            .with("turn", e.turn)
            .at("until", e.until, rate)
            .overlap(&e.facts, rate)
            .with("reason", e.reason.as_str()),
        Event::FalseInterruption(e) => Line::event("false_interruption")
            .at("at", e.at, rate)
            .at("decided_at", e.decided_at, rate)
            .with("segment", e.segment)
            .with("turn", e.turn)
            .at("claim_at", e.claim_at, rate),
        _ => return None,
    };
    Some(line)
}

fn model_vote(vote: &ModelVote, rate: SampleRate) -> Line {
    Line::default()
        .probability("probability", Some(vote.probability.value()))
        .probability("threshold", Some(vote.threshold.value()))
        .at("asked_at", vote.asked_at, rate)
        .at("answered_at", vote.answered_at, rate)
        .with("answers", vote.answers)
}

const fn expectation_name(expectation: Expectation) -> &'static str {
    match expectation {
        Expectation::YesNo => "yes_no",
        Expectation::Digits { .. } => "digits",
        Expectation::Spelling => "spelling",
        Expectation::Email => "email",
        Expectation::FloorGranted => "floor_granted",
        _ => "free",
    }
}

/// Appends what there is to know about a segment.
pub(crate) fn segment(line: Line, segment: &listenkit::Segment, rate: SampleRate) -> Line {
    line.at("decided_at", segment.decided_at, rate)
        .with("segment", segment.segment)
        .with("part", segment.part)
        .with("continues", segment.continues)
        .with("turn", segment.turn)
        .at("start", segment.start, rate)
        .at("end", segment.end, rate)
        .amount("duration", segment.len(), rate)
        .at("speech_start", segment.speech_start, rate)
        .at("speech_end", segment.speech_end, rate)
        .amount("speech_duration", segment.speech_duration, rate)
        .with("reason", segment.reason.as_str())
}

fn format(format: Format) -> Value {
    json!({
        "rate": format.rate.hz(),
        "channels": format.channels,
        "format": match format.samples {
            SampleFormat::I16 => "i16",
            SampleFormat::F32 => "f32",
        },
    })
}
