//! One number that two runs, machines or languages can compare.

use crate::event::{Event, TurnQuery};
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
            add(&[
                optional(e.probability),
                optional(e.threshold),
                e.min_delay.0,
                e.max_delay.0,
            ]);
            add(&[e.wait as u64, e.reason as u64]);
        }
        Event::TurnAmended(e) => add(&[5, e.turn, e.at.0, e.decided_at.0]),
        Event::FormatChanged(e) => {
            add(&[6, e.at.0, e.resumes_at.0]);
            for format in [e.from, e.to] {
                let rate = u64::from(format.rate.hz());
                add(&[rate, u64::from(format.channels), format.samples as u64]);
            }
        }
        Event::Gap(e) => add(&[7, e.at.0, e.duration.0, u64::from(e.concealed)]),
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

fn bits(probability: Probability) -> u64 {
    u64::from(probability.value().to_bits())
}

/// No probability has these bits: they are a NaN.
fn optional(probability: Option<Probability>) -> u64 {
    probability.map_or(u64::MAX, bits)
}
