//! One number that two runs, machines or languages can compare.

use crate::event::Event;

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

/// Adds what identifies an event: its kind, its positions, and why it happened.
pub(super) fn add_event(fingerprint: &mut Fingerprint, event: &Event) {
    let mut add = |values: &[u64]| values.iter().for_each(|&value| fingerprint.add(value));
    match event {
        // The model's own output is added for every window, reported or not.
        Event::Window(_) => {}
        Event::StartOfSpeech(e) => add(&[1, e.segment, e.turn, e.at.0, e.decided_at.0]),
        Event::EndOfSpeech(e) => {
            add(&[
                2,
                e.segment,
                e.turn,
                e.at.0,
                e.decided_at.0,
                e.speech_duration.0,
            ]);
            add(&[e.reason as u64]);
        }
        Event::SegmentReady(e) => {
            add(&[
                3,
                e.segment,
                u64::from(e.part),
                e.start.0,
                e.end.0,
                e.decided_at.0,
            ]);
        }
        Event::EndOfTurn(e) => {
            add(&[4, e.turn, e.start.0, e.last_voiced.0, e.decided_at.0]);
            add(&[e.wait as u64, e.reason as u64]);
        }
        Event::TurnAmended(e) => add(&[5, e.turn, e.at.0, e.decided_at.0]),
        Event::FormatChanged(e) => {
            add(&[6, e.at.0, e.resumes_at.0, u64::from(e.to.rate.hz())]);
            add(&[u64::from(e.to.channels), e.to.samples as u64]);
        }
        Event::Gap(e) => add(&[7, e.at.0, e.duration.0, u64::from(e.concealed)]),
    }
}
