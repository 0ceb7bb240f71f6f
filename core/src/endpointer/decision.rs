//! The open turn, and the arithmetic that says when it is over.

use super::pause::Pause;
use crate::event::{
    EndOfTurn, Expectation, TurnEndReason, TurnPrediction, TurnQuery, TurnVotes, Wait,
};
use crate::turn::{AnswerRule, Fusion, WaitRule};
use crate::units::{SampleCount, SamplePos};

/// A turn that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) number: u64,
    /// Start of its first speech.
    pub(super) start: SamplePos,
    /// The one anchor of every delay: end of the last window of speech.
    pub(super) last_voiced: SamplePos,
    /// When its last speech was found to be over; `None` while the user is speaking.
    pub(super) ended: Option<SamplePos>,
    /// When its first transcript arrived.
    pub(super) transcript: Option<SamplePos>,
    /// What was asked and said about the current pause.
    pub(super) pause: Pause,
}

/// The numbers a decision is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) expectation: Expectation,
    pub(super) min: SampleCount,
    pub(super) max: SampleCount,
    pub(super) wait_rule: WaitRule,
    pub(super) fusion: Fusion,
    pub(super) answers: AnswerRule,
    /// How long after the last voiced sample the audio model may answer; `None` if none is in use, or it has no weight.
    pub(super) audio_timeout: Option<SampleCount>,
    /// The same for the text model.
    pub(super) text_timeout: Option<SampleCount>,
    /// The same for the transcript; `None` if there is no source of text.
    pub(super) transcript_wait: Option<SampleCount>,
    /// How old audio is when it comes.
    pub(super) age: SampleCount,
}

/// Where the turn ends if nothing more happens, and the record of why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) at: SamplePos,
    pub(super) wait: Wait,
    pub(super) reason: TurnEndReason,
    pub(super) votes: TurnVotes,
    /// The wait the votes chose.
    pub(super) chosen: SampleCount,
    /// The wait without any vote.
    pub(super) silence: SampleCount,
}

impl Turn {
    pub(super) fn new(number: u64, start: SamplePos, last_voiced: SamplePos) -> Self {
        Self {
            number,
            start,
            last_voiced,
            ended: None,
            transcript: None,
            pause: Pause::default(),
        }
    }

    /// The user was heard until `until`. Says whether that made a new pause; all that was asked and said before is about an
    /// older one then.
    pub(super) fn voiced(&mut self, until: SamplePos) -> bool {
        let is_new = until > self.last_voiced;
        if is_new {
            self.last_voiced = until;
        }
        is_new
    }

    /// Where the turn ends, from what is known now. `None` while the user is speaking.
    pub(super) fn decide(&self, rules: &Rules) -> Option<Decision> {
        self.ended.map(|ended| self.decide_from(ended, rules))
    }

    /// Where the turn ends if its speech is known to be over at `ended`.
    ///
    /// All delays run from `last_voiced`, so waiting for the segmenter, the models and the transcript goes
    /// on at the same time; the largest wins, they never add up. `ended` bounds the result from below: no
    /// turn ends in speech. Every other term is at most `last_voiced + max`.
    ///
    /// The wait that is chosen is the user's, who fell silent `age` before it was heard here: it is that much
    /// shorter. The times of the models and of the transcript are for work that begins when it is heard, and are not.
    fn decide_from(&self, ended: SamplePos, rules: &Rules) -> Decision {
        use TurnEndReason::{Complete, NoAnswer, NoTranscript, Silence, Unfinished};

        let after = |delay: SampleCount| (self.last_voiced + delay.min(rules.max)).max(ended);
        // A source that has its say was waited for until then, or until its time was up.
        let awaited = |timeout: SampleCount, said: Option<SamplePos>| {
            said.map_or(after(timeout), |at| after(timeout).min(at))
        };
        let votes = self.pause.votes(rules.answers, &rules.fusion);
        let timeouts = [rules.audio_timeout, rules.text_timeout];
        let silence = timeouts
            .into_iter()
            .flatten()
            .fold(rules.min, SampleCount::max)
            .min(rules.max);

        let (chosen, reason) = match votes.fused {
            Some(fused) => {
                let reason = if fused.value() < 0.5 {
                    Unfinished
                } else {
                    Complete
                };
                (rules.wait_rule.wait(fused, rules.min, rules.max), reason)
            }
            None if timeouts == [None, None] => (rules.min, Silence),
            None => (rules.min, NoAnswer),
        };
        let wait = match votes.fused {
            Some(_) if chosen > rules.min && chosen < rules.max => Wait::Graded,
            Some(fused) if chosen > rules.min || fused.value() < 0.5 && chosen == rules.max => {
                Wait::Max
            }
            _ => Wait::Min,
        };
        let mut decision = Decision {
            at: after(SampleCount(chosen.0.saturating_sub(rules.age.0))),
            wait,
            reason,
            votes,
            chosen: if votes.fused.is_some() {
                chosen
            } else {
                silence
            },
            silence,
        };
        let mut wait_for = |at: SamplePos, wait: Wait| {
            let decides = at > decision.at;
            if decides {
                (decision.at, decision.wait) = (at, wait);
            }
            decides
        };
        // Cues are waited for by nobody, but where they change the decision it falls when they come.
        let now_or_never = |said: Option<SamplePos>| said.map(|at| after(rules.max).min(at));
        let of_model = |timeout: Option<SampleCount>, said: Option<SamplePos>| {
            timeout.map_or_else(
                || now_or_never(said),
                |timeout| Some(awaited(timeout, said)),
            )
        };
        let audio = of_model(rules.audio_timeout, self.pause.audio_at());
        let text = of_model(rules.text_timeout, self.pause.text_at());
        for (at, wait) in [
            (audio, Wait::Model),
            (text, Wait::Text),
            (now_or_never(self.pause.cues_at()), Wait::Text),
        ] {
            if let Some(at) = at {
                wait_for(at, wait);
            }
        }
        if let Some(patience) = rules.transcript_wait
            && wait_for(awaited(patience, self.transcript), Wait::Transcript)
            && self.transcript.is_none()
        {
            decision.reason = NoTranscript;
        }
        decision
    }

    /// The record of this turn, ended at `at`.
    pub(super) fn record(
        &self,
        at: SamplePos,
        wait: Wait,
        reason: TurnEndReason,
        rules: &Rules,
    ) -> EndOfTurn {
        let decision = self.decide_from(at, rules);
        EndOfTurn {
            turn: self.number,
            start: self.start,
            last_voiced: self.last_voiced,
            decided_at: at,
            wait,
            votes: decision.votes,
            expectation: rules.expectation,
            min_delay: rules.min,
            max_delay: rules.max,
            chosen_delay: decision.chosen,
            silence_delay: decision.silence,
            reason,
            overlap: None,
        }
    }

    /// What is known of the current pause at `now`.
    pub(super) fn prediction(&self, now: SamplePos, rules: &Rules) -> TurnPrediction {
        let decision = self.decide_from(self.ended.unwrap_or(self.last_voiced), rules);
        TurnPrediction {
            turn: self.number,
            at: self.last_voiced,
            decided_at: now,
            votes: decision.votes,
            expectation: rules.expectation,
            min_delay: rules.min,
            max_delay: rules.max,
            chosen_delay: decision.chosen,
            silence_delay: decision.silence,
            ends_at: decision.at.max(now),
        }
    }

    /// The question whether the user is finished, asked at `at`.
    pub(super) const fn query(&self, id: u64, at: SamplePos) -> TurnQuery {
        TurnQuery {
            id,
            turn: self.number,
            start: self.start,
            last_voiced: self.last_voiced,
            decided_at: at,
        }
    }

    /// Moves every position to another time base.
    pub(super) fn map(&mut self, map: impl Fn(SamplePos) -> SamplePos) {
        self.start = map(self.start);
        self.last_voiced = map(self.last_voiced);
        self.ended = self.ended.map(&map);
        self.transcript = self.transcript.map(&map);
        self.pause.map(map);
    }
}
