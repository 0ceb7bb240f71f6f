//! One number that two runs, machines or languages can compare.

use crate::event::{
    CueVote, EndOfTurn, Event, Expectation, ModelVote, OverlapFacts, OverlapVerdict,
    TurnPrediction, TurnQuery, TurnQueryCancelled, TurnVotes,
};
use crate::units::Probability;

/// 64-bit FNV-1a over everything a stream decided.
///
/// FNV-1a: <http://www.isthe.com/chongo/tech/comp/fnv/>, offset basis and prime for 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, value: u64) {
        for byte in value.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

/// Adds all that an event says.
pub(super) fn add_event(fingerprint: &mut Fingerprint, event: &Event) {
    let mut add = |values: &[u64]| values.iter().for_each(|&value| fingerprint.add(value));
    match event {
        // The model's own output is added for every window, reported or not.
        Event::Window(_) => {}
        Event::StartOfSpeech(e) => {
            add(&[
                1,
                e.segment,
                e.turn,
                e.at.0,
                e.decided_at.0,
                bits(e.probability),
            ]);
        }
        Event::EndOfSpeech(e) => {
            add(&[2, e.segment, e.turn, e.at.0, e.decided_at.0]);
            add(&[e.speech_duration.0, e.segment_duration.0, e.reason as u64]);
        }
        Event::SegmentReady(e) => {
            add(&[3, e.segment, u64::from(e.part), e.turn, e.start.0, e.end.0]);
            add(&[
                e.speech_start.0,
                e.speech_end.0,
                e.decided_at.0,
                e.speech_duration.0,
            ]);
            add(&[u64::from(e.continues), e.reason as u64]);
        }
        Event::EndOfTurn(e) => {
            add(&[4, e.turn, e.start.0, e.last_voiced.0, e.decided_at.0]);
            let audio = e.votes.audio;
            add(&[
                optional(audio.map(|vote| vote.probability)),
                optional(audio.map(|vote| vote.threshold)),
                e.min_delay.0,
                e.max_delay.0,
            ]);
            add(&[e.wait as u64, e.reason as u64]);
            // Nothing is added without a verdict, so that digests do not depend on whether overlaps are judged.
            match e.overlap {
                None => {}
                Some(OverlapVerdict::Claim) => add(&[0]),
                Some(OverlapVerdict::Brief(reason)) => add(&[1, reason as u64]),
            }
            add_turn_rules(fingerprint, e);
        }
        Event::TurnPrediction(e) => add_prediction(fingerprint, e),
        Event::TurnAmended(e) => add(&[5, e.turn, e.at.0, e.decided_at.0]),
        Event::FormatChanged(e) => {
            add(&[6, e.at.0, e.resumes_at.0]);
            for format in [e.from, e.to] {
                let rate = u64::from(format.rate.hz());
                add(&[rate, u64::from(format.channels), format.samples as u64]);
            }
        }
        Event::Gap(e) => add(&[7, e.at.0, e.duration.0, u64::from(e.concealed)]),
        Event::OverlapClaim(e) => {
            add(&[9, e.segment, e.turn, e.at.0, e.decided_at.0]);
            add(&facts(&e.facts));
        }
        Event::OverlapBrief(e) => {
            add(&[10, e.segment, e.turn, e.at.0, e.until.0, e.decided_at.0]);
            add(&facts(&e.facts));
            add(&[e.reason as u64]);
        }
        Event::FalseInterruption(e) => {
            add(&[11, e.segment, e.turn, e.claim_at.0, e.at.0, e.decided_at.0]);
        }
    }
}

/// Adds what a turn without votes and expectations does not have.
fn add_turn_rules(fingerprint: &mut Fingerprint, e: &EndOfTurn) {
    if e.votes != TurnVotes::default() || e.expectation != Expectation::Free {
        for value in [9, e.chosen_delay.0, e.silence_delay.0] {
            fingerprint.add(value);
        }
        add_votes(fingerprint, &e.votes);
        add_expectation(fingerprint, e.expectation);
    }
}

fn add_prediction(fingerprint: &mut Fingerprint, e: &TurnPrediction) {
    for value in [10, e.turn, e.at.0, e.decided_at.0, e.ends_at.0] {
        fingerprint.add(value);
    }
    for delay in [e.min_delay, e.max_delay, e.chosen_delay, e.silence_delay] {
        fingerprint.add(delay.0);
    }
    add_votes(fingerprint, &e.votes);
    add_expectation(fingerprint, e.expectation);
}

fn add_votes(fingerprint: &mut Fingerprint, votes: &TurnVotes) {
    let TurnVotes {
        audio,
        text,
        cues,
        fused,
    } = *votes;
    for model in [audio, text] {
        match model {
            None => fingerprint.add(0),
            Some(ModelVote {
                probability,
                threshold,
                asked_at,
                answered_at,
                answers,
            }) => {
                fingerprint.add(1 + u64::from(answers));
                for value in [
                    bits(probability),
                    bits(threshold),
                    asked_at.0,
                    answered_at.0,
                ] {
                    fingerprint.add(value);
                }
            }
        }
    }
    match cues {
        None => fingerprint.add(0),
        Some(CueVote { lean, reasons }) => {
            fingerprint.add(1 + u64::from(lean.to_bits()));
            fingerprint.add(u64::from(reasons.0));
        }
    }
    fingerprint.add(optional(fused));
}

/// The numbers never change.
fn add_expectation(fingerprint: &mut Fingerprint, expectation: Expectation) {
    fingerprint.add(match expectation {
        Expectation::Free => 0,
        Expectation::YesNo => 1,
        Expectation::Digits { count } => 0x100 + u64::from(count),
        Expectation::Spelling => 2,
        Expectation::Email => 3,
        Expectation::FloorGranted => 4,
    });
}

/// Adds all that a cancellation says.
pub(super) fn add_cancelled(fingerprint: &mut Fingerprint, cancelled: &TurnQueryCancelled) {
    let TurnQueryCancelled {
        id,
        turn,
        decided_at,
    } = *cancelled;
    for value in [11, id, turn, decided_at.0] {
        fingerprint.add(value);
    }
}

/// Adds all that a query says.
pub(super) fn add_query(fingerprint: &mut Fingerprint, query: &TurnQuery) {
    let TurnQuery {
        id,
        turn,
        start,
        last_voiced,
        decided_at,
    } = *query;
    for value in [8, id, turn, start.0, last_voiced.0, decided_at.0] {
        fingerprint.add(value);
    }
}

fn facts(facts: &OverlapFacts) -> [u64; 5] {
    [
        facts.agent_start.0,
        facts.speech_duration.0,
        facts.words.map_or(u64::MAX, u64::from),
        optional(facts.probability),
        facts
            .coherence
            .map_or(u64::MAX, |value| u64::from(value.to_bits())),
    ]
}

fn bits(probability: Probability) -> u64 {
    u64::from(probability.value().to_bits())
}

/// No probability has these bits: they are a NaN.
fn optional(probability: Option<Probability>) -> u64 {
    probability.map_or(u64::MAX, bits)
}
