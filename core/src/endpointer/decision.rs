//! The open turn, and the arithmetic that says when it is over.

use crate::event::{EndOfTurn, TurnEndReason, TurnQuery, Wait};
use crate::units::{Probability, SampleCount, SamplePos};

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
    /// The question asked about the current pause, and the answer to it.
    pub(super) query: Option<u64>,
    pub(super) answer: Option<Answer>,
}

/// What a turn model said about the current pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) probability: Probability,
    /// The threshold at the time of the answer.
    pub(super) threshold: Probability,
    /// When it arrived.
    pub(super) at: SamplePos,
}

/// The numbers a decision is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) min: SampleCount,
    pub(super) max: SampleCount,
    /// How long after the last voiced sample the model may answer; `None` if no model is in use.
    pub(super) model_timeout: Option<SampleCount>,
    /// The same for the transcript; `None` if there is no source of text.
    pub(super) transcript_wait: Option<SampleCount>,
}

/// Where the turn ends if nothing more happens, and the record of why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) at: SamplePos,
    pub(super) wait: Wait,
    pub(super) reason: TurnEndReason,
}

impl Turn {
    pub(super) const fn new(number: u64, start: SamplePos, last_voiced: SamplePos) -> Self {
        Self {
            number,
            start,
            last_voiced,
            ended: None,
            transcript: None,
            query: None,
            answer: None,
        }
    }

    /// The user was heard until `until`. Whatever was asked or answered before is about an older pause.
    pub(super) fn voiced(&mut self, until: SamplePos) {
        if until > self.last_voiced {
            self.last_voiced = until;
            self.query = None;
            self.answer = None;
        }
    }

    /// Where the turn ends, from what is known now. `None` while the user is speaking.
    ///
    /// All delays run from `last_voiced`, so waiting for the segmenter, the model and the transcript goes
    /// on at the same time; the largest wins, they never add up. `ended` bounds the result from below: no
    /// turn ends in speech. Every other term is at most `last_voiced + max`.
    pub(super) fn decide(&self, rules: &Rules) -> Option<Decision> {
        use TurnEndReason::{Complete, NoAnswer, NoTranscript, Silence, Unfinished};

        let ended = self.ended?;
        let after = |delay: SampleCount| (self.last_voiced + delay.min(rules.max)).max(ended);
        let decision = |at, wait, reason| Decision { at, wait, reason };

        let earliest = decision(after(rules.min), Wait::Min, Silence);
        let vote = match (rules.model_timeout, self.answer) {
            (None, _) => earliest,
            (Some(_), Some(answer)) if answer.probability < answer.threshold => {
                decision(after(rules.max), Wait::Max, Unfinished)
            }
            (Some(timeout), answer) => {
                let reason = answer.map_or(NoAnswer, |_| Complete);
                let waited = answer.map_or(after(timeout), |answer| after(timeout).min(answer.at));
                if waited > earliest.at {
                    decision(waited, Wait::Model, reason)
                } else {
                    Decision { reason, ..earliest }
                }
            }
        };

        let Some(patience) = rules.transcript_wait else {
            return Some(vote);
        };
        let reason = self.transcript.map_or(NoTranscript, |_| vote.reason);
        let waited = self
            .transcript
            .map_or(after(patience), |arrived| after(patience).min(arrived));
        Some(if waited > vote.at {
            decision(waited, Wait::Transcript, reason)
        } else {
            vote
        })
    }

    /// The record of this turn, ended at `at`.
    pub(super) fn record(
        &self,
        at: SamplePos,
        wait: Wait,
        reason: TurnEndReason,
        rules: &Rules,
    ) -> EndOfTurn {
        EndOfTurn {
            turn: self.number,
            start: self.start,
            last_voiced: self.last_voiced,
            decided_at: at,
            wait,
            probability: self.answer.map(|answer| answer.probability),
            threshold: self.answer.map(|answer| answer.threshold),
            min_delay: rules.min,
            max_delay: rules.max,
            reason,
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
        if let Some(answer) = &mut self.answer {
            answer.at = map(answer.at);
        }
    }
}
