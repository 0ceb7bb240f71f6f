//! The best pause to split long speech in.

use crate::units::{SampleCount, SamplePos};

/// A pause is scored by the mean probability over this many windows (224 ms at 32 ms a window); the
/// lowest mean is the best pause, and of equal ones the latest.
///
/// Measured with `benches/split_score.py` on the labelled clips of the evaluation corpus, 712 stretches of
/// 2 s with speech and a pause but no silence of 0.55 s: the cut lies inside speech in 5.3 % for the
/// lowest single window (a plosive's closure is as deep as a pause), 3.8 % for 3 windows, 2.8 % for 5,
/// 2.1 % for 7, 2.0 % for 9 and 2.5 % for 11. Without silences of 0.25 s: 6.3, 4.7, 3.1, 2.8, 2.8, 3.8 %.
pub(super) const PAUSE_WINDOWS: usize = 7;

/// The cut is the start of this window of the box, one before its middle: the probability falls late
/// after a word. By the same measure 1, 2, 3 and 4 give 3.9, 2.1, 2.1 and 3.2 % inside speech, and else a
/// median of 168, 145, 116 and 86 ms from it.
const CUT_WINDOW: usize = 2;

/// A place to split, with what must be known about both sides of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) at: SamplePos,
    /// Voiced samples of the segment before the cut.
    pub(super) speech: SampleCount,
    /// End of the last voiced window before the cut.
    pub(super) speech_end: SamplePos,
    /// Start of the first voiced window behind the cut, once there is one.
    pub(super) speech_start: Option<SamplePos>,
    /// Sum of the probabilities of its box.
    score: u64,
}

/// A window of an open segment, and what came before it in the segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) start: SamplePos,
    pub(super) probability: f32,
    pub(super) voiced: bool,
    /// Voiced samples before it.
    pub(super) speech: SampleCount,
    /// End of the last voiced window before it.
    pub(super) last_voiced: SamplePos,
}

/// Where the part at hand may be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// Start of the part: the cut comes behind it.
    pub(super) part: SamplePos,
    /// Start of the region in which the best pause is looked for.
    pub(super) earliest: SamplePos,
    /// The part ends here at the latest.
    pub(super) latest: SamplePos,
}

/// Keeps the best cut of the open part. Sees every window once; its memory is one box.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PauseSearch {
    /// The last windows, oldest first.
    recent: [Seen; PAUSE_WINDOWS],
    len: usize,
    best: Option<Cut>,
    /// Where to cut when there is no pause to choose: the last window border that fits.
    border: Option<Cut>,
}

impl PauseSearch {
    /// Takes the next window of the segment.
    pub(super) fn window(&mut self, seen: Seen, region: Region) {
        if self.len == PAUSE_WINDOWS {
            self.recent.rotate_left(1);
        } else {
            self.len += 1;
        }
        self.recent[self.len - 1] = seen;

        if seen.voiced {
            for cut in [&mut self.best, &mut self.border].into_iter().flatten() {
                cut.speech_start.get_or_insert(seen.start);
            }
        }
        if let Some(pause) = self.pause() {
            let inside = (region.earliest..=region.latest).contains(&pause.at);
            let better = self.best.is_none_or(|best| pause.score <= best.score);
            if inside && pause.at > region.part && better {
                self.best = Some(pause);
            }
        }
        // Should not even the first border fit, it is taken all the same: a part always ends.
        if seen.start > region.part && (seen.start <= region.latest || self.border.is_none()) {
            self.border = Some(cut_before(&[seen], u64::MAX));
        }
    }

    /// The best place to cut, if there is any.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.best.or(self.border)
    }

    /// The part was cut; looks for the end of the next in what is heard from here on.
    pub(super) fn next_part(&mut self) {
        self.best = None;
        self.border = None;
    }

    /// The cut inside the box, once it is full.
    fn pause(&self) -> Option<Cut> {
        let score = self.recent.iter().map(|w| fixed_point(w.probability)).sum();
        (self.len == PAUSE_WINDOWS).then(|| cut_before(&self.recent[CUT_WINDOW..], score))
    }
}

/// The cut before the first of `windows`.
fn cut_before(windows: &[Seen], score: u64) -> Cut {
    let first = windows[0];
    Cut {
        at: first.start,
        speech: first.speech,
        speech_end: first.last_voiced,
        speech_start: windows.iter().find(|w| w.voiced).map(|w| w.start),
        score,
    }
}

/// A probability in units of 2^-24, the resolution of an `f32` just below 1. Sums of these are exact,
/// so equal pauses score equal.
fn fixed_point(probability: f32) -> u64 {
    (f64::from(probability) * f64::from(1 << 24)) as u64
}
