//! Mel frames that are computed while the user speaks, so that the question at the end finds them ready.
//!
//! Frames lie on a grid of 10 ms from the stream's first sample, whatever is asked later. A window that ends on the grid
//! has its frames at the same places; only those that reach over its edges differ, and whoever reads the window
//! computes these few again. What is kept does not depend on the window ([`MelFrame`]), so the result has the same bits either way.

use super::log_mel::{HOP, LogMel, MEL_FRAMES, MelFrame, MelScratch, REACH};
use crate::buf::History;

/// Frames of a turn, ready for [`LogMel::features_with`]: a view into the detector, or of a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MelFrames<'a> {
    head: &'a [MelFrame],
    tail: &'a [MelFrame],
    /// Hops from the place after the last frame to the end of the audio.
    missing: usize,
}

impl<'a> MelFrames<'a> {
    pub(crate) const fn from_parts(frames: &'a [MelFrame], missing: usize) -> Self {
        Self {
            head: frames,
            tail: &[],
            missing,
        }
    }

    /// How many frames there are.
    pub const fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) const fn parts(&self) -> (&'a [MelFrame], &'a [MelFrame], usize) {
        (self.head, self.tail, self.missing)
    }

    /// The frame with this index in a window that ends where the audio does.
    pub(super) fn get(&self, index: usize) -> Option<&'a MelFrame> {
        let from_end = MEL_FRAMES - index;
        let at = (self.len() + self.missing).checked_sub(from_end)?;
        match at.checked_sub(self.head.len()) {
            None => Some(&self.head[at]),
            Some(at) => self.tail.get(at),
        }
    }
}

/// The frames of the last 8 s: fixed memory, 263 KB.
#[derive(Debug)]
pub(crate) struct MelRing {
    log_mel: LogMel,
    scratch: MelScratch,
    /// By grid position: frame `f` reaches from sample `HOP f - REACH` to `HOP f + REACH`.
    frames: History<MelFrame>,
}

impl MelRing {
    pub(crate) fn new(log_mel: LogMel) -> Self {
        Self {
            scratch: log_mel.scratch(),
            log_mel,
            frames: History::new(MEL_FRAMES, 1),
        }
    }

    /// Computes at most `most` frames that lie in `samples` at or after position `from`, the oldest first, from where the last call
    /// left off. What is older than `from` and not computed yet is left out.
    pub(crate) fn follow(&mut self, samples: &History<f32>, from: u64, most: usize) {
        let from = from.max(samples.start());
        let first = (from + REACH as u64).div_ceil(HOP as u64);
        if first > self.frames.end() {
            self.frames.restart(first);
        }
        for _ in 0..most {
            let position = self.frames.end() * HOP as u64;
            let reach = REACH as u64;
            let (Some(start), Some(end)) =
                (position.checked_sub(reach), position.checked_add(reach))
            else {
                return;
            };
            let Some((head, tail)) = samples.range(start, end) else {
                return;
            };
            let frame = self.log_mel.frame_of(head, tail, &mut self.scratch);
            self.frames.push(&[frame]);
        }
    }

    /// The frames up to `end`, a sample position on the grid.
    pub(crate) fn until(&self, end: u64) -> MelFrames<'_> {
        let here = end / HOP as u64;
        let (start, last) = (self.frames.start(), self.frames.end().min(here));
        let (head, tail) = self.frames.range(start, last).unwrap_or((&[], &[]));
        MelFrames {
            head,
            tail,
            missing: usize::try_from(here - last).unwrap_or(usize::MAX / 2),
        }
    }

    pub(crate) fn restart(&mut self) {
        self.frames.restart(0);
    }

    /// Bytes of the frames.
    pub(crate) const fn bytes(&self) -> usize {
        self.frames.bytes()
    }

    /// Bytes of all else.
    pub(crate) const fn state_bytes(&self) -> usize {
        size_of::<Self>() + self.scratch.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MEL_SAMPLES, MelFeatures, boxed_features};
    use super::*;

    fn random(seed: u32, scale: f32) -> impl FnMut(usize) -> f32 {
        let mut state = seed;
        move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32 * scale
        }
    }

    /// 12 s of each kind of signal that could go wrong.
    fn signals() -> Vec<(&'static str, Vec<f32>)> {
        let len = 12 * 16_000;
        let tone = |k: usize| (k as f32 * 0.31).sin() * 0.1;
        vec![
            ("silence", vec![0.0; len]),
            ("constant", vec![0.7; len]),
            ("tone", (0..len).map(tone).collect()),
            (
                "tone on a constant",
                (0..len).map(|k| tone(k) * 1e-3 - 0.5).collect(),
            ),
            ("full-scale noise", (0..len).map(random(1, 1.0)).collect()),
            ("faint noise", (0..len).map(random(2, 1e-5)).collect()),
            (
                "bursts",
                (0..len)
                    .map(|k| if k % 30_000 < 9_000 { tone(k) } else { 0.0 })
                    .collect(),
            ),
        ]
    }

    fn worst(a: &MelFeatures, b: &MelFeatures) -> f32 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    /// Whatever was computed before the question, and in whatever portions: the same bits as all at once.
    #[test]
    fn ready_frames_give_the_same_features_as_none() {
        let log_mel = LogMel::new();
        let mut scratch = log_mel.scratch();
        let (mut with, mut without) = (boxed_features(), boxed_features());
        for (name, signal) in signals() {
            for (turn_start, asked, portion, most) in [
                (3_333, 20_000, 512, 6),      // a short turn
                (16_001, 90_000, 160, 2),     // frames fall due as fast as they are computed
                (10_000, 138_003, 7_777, 50), // 8 s, but for what is beyond the grid
                (1_000, 190_000, 512, 6),     // longer than the window
                (0, 400, 512, 6),             // one frame
                (40_000, 60_000, 512, 1),     // computed too late
            ] {
                let mut samples = History::new(MEL_SAMPLES, 1);
                let mut ring = MelRing::new(log_mel.clone());
                for block in signal[..asked].chunks(portion) {
                    samples.push(block);
                    if samples.end() > turn_start {
                        ring.follow(&samples, turn_start, most);
                    }
                }
                let end = samples.end() - samples.end() % HOP as u64;
                let start = turn_start.max(samples.start());
                let (head, tail) = samples.range(start, end).expect("held");
                let ready = ring.until(end);
                log_mel.features_with(head, tail, Some(ready), &mut scratch, &mut with);
                log_mel.features(head, tail, &mut scratch, &mut without);
                assert!(
                    with == without,
                    "{name} {asked}: {}",
                    worst(&with, &without)
                );
                assert!(with.iter().all(|value| value.is_finite()));
            }
        }
    }

    /// The ready frames are what is used: other samples with the frames of the first give the features of the first, but
    /// for the edges.
    #[test]
    fn ready_frames_are_not_computed_again() {
        let log_mel = LogMel::new();
        let mut scratch = log_mel.scratch();
        let (mut real, mut mixed) = (boxed_features(), boxed_features());
        let signal: Vec<f32> = (0..MEL_SAMPLES).map(random(3, 0.5)).collect();
        let mut samples = History::new(MEL_SAMPLES, 1);
        samples.push(&signal);
        let mut ring = MelRing::new(log_mel.clone());
        ring.follow(&samples, 0, MEL_FRAMES);
        let ready = ring.until(MEL_SAMPLES as u64);
        assert_eq!(
            ready.len(),
            797,
            "all but two at the start and one at the end"
        );
        // The same mean and variance.
        let negative: Vec<f32> = signal.iter().rev().copied().collect();
        log_mel.features(&signal, &[], &mut scratch, &mut real);
        log_mel.features_with(&negative, &[], Some(ready), &mut scratch, &mut mixed);
        for (real, mixed) in real.chunks(MEL_FRAMES).zip(mixed.chunks(MEL_FRAMES)) {
            let (real, mixed) = (&real[2..799], &mixed[2..799]);
            assert!(real.iter().zip(mixed).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        assert!(
            worst(&real, &mixed) > 0.1,
            "the edges are from the given samples"
        );
    }

    #[test]
    fn frames_of_long_ago_are_not_taken_for_new_ones() {
        let log_mel = LogMel::new();
        let mut samples = History::new(MEL_SAMPLES, 1);
        let mut ring = MelRing::new(log_mel);
        samples.push(&[0.5; 16_000]);
        ring.follow(&samples, 0, 50);
        assert_eq!(ring.until(16_000).len(), 50);
        for silence in [100_000_u64, 1 << 40] {
            samples.push_default(silence);
            let end = samples.end() - samples.end() % HOP as u64;
            let ready = ring.until(end);
            let found = (0..MEL_FRAMES).filter(|k| ready.get(*k).is_some()).count();
            assert_eq!(found, if silence == 100_000 { 50 } else { 0 });
        }
        // A new turn: what lies between is left out, not computed.
        let start = samples.end() - 8_000;
        ring.follow(&samples, start, 10);
        let end = samples.end() - samples.end() % HOP as u64;
        assert_eq!(ring.until(end).len(), 10);
    }
}
