//! Log-mel features of the last 8 s, as Smart Turn and Whisper take them.
//!
//! The recipe, at 16 kHz: the window is filled up with zeros at its start, brought to mean 0 and variance 1, cut into
//! frames of 25 ms every 10 ms (mirrored at both ends), and each frame's power spectrum is summed by 80 mel filters
//! (Slaney, 0 to 8 kHz). Then `log10`, at most 8 below the largest, shifted and scaled: `(x + 4) / 4`.
//!
//! The idea: the normalisation can wait. The spectrum of `(x - mean) / deviation` is `(X - mean W) / deviation`, and `W`, the
//! spectrum of the periodic Hann window, is 0 beyond bins 0 and 1. Bin 0 has no weight in any filter. So a frame of
//! the raw samples is kept as the mel powers of all bins but 1, and bin 1 as a complex number ([`MelFrame`]): that is everything
//! that the window's mean and variance act on, and it can be computed long before they are known.
//!
//! Spectra are `f64`. Features reach 80 dB below the loudest band of the window, and rounding inside an `f32` transform shows
//! there: scipy's in `f32` is 2.2e-5 from the reference and beyond 1e-5 in 12 of its 22 clips, `f64` is 8.9e-6 from it, which is the
//! reference's own rounding. A frame takes about 1 us, so a turn costs 0.1 ms per second of audio (`cargo bench --bench detector`).

use std::fmt;
use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::mel_frames::MelFrames;

/// Mel bands of a frame.
pub const MEL_BANDS: usize = 80;

/// Frames of a window.
pub const MEL_FRAMES: usize = 800;

/// Samples of a window: 8 s at 16 kHz.
pub const MEL_SAMPLES: usize = MEL_FRAMES * HOP;

/// The features of a window, `[band][frame]`.
pub type MelFeatures = [f32; MEL_BANDS * MEL_FRAMES];

/// Samples from one frame to the next: 10 ms.
pub(crate) const HOP: usize = 160;
/// Samples of a frame: 25 ms.
pub(crate) const FRAME: usize = 400;
/// A frame reaches this far to both sides of its position.
pub(crate) const REACH: usize = FRAME / 2;
const BINS: usize = FRAME / 2 + 1;

/// The Hann window's spectrum at bin 1, a sum of 400 values of `hann(n) cos(2 pi n / 400)`.
const HANN_BIN_1: f64 = -(FRAME as f64) / 4.0;
/// Added to the variance by Whisper's feature extraction.
const VARIANCE_FLOOR: f64 = 1e-7;
/// Least mel power, as in Whisper's feature extraction.
const POWER_FLOOR: f32 = 1e-10;
/// How far below the largest value features reach, in powers of ten.
const RANGE: f32 = 8.0;

/// Sums and maxima are kept for so many values side by side, so that they do not wait for each other. The
/// registers of any machine hold two such sums in `f64`.
const LANES: usize = 8;

/// Bands that bin 1 has weight in.
const LOW_BANDS: usize = 2;

/// The tables of the recipe: immutable, made once, shared by all streams and threads. A clone is a reference.
///
/// ```
/// use listenkit::dsp::{LogMel, MEL_FRAMES};
///
/// let log_mel = LogMel::new();
/// let mut scratch = log_mel.scratch();
/// let mut features = listenkit::dsp::boxed_features();
/// let turn = vec![0.1_f32; 16_000]; // 1 s; the 7 s before are taken for silence
/// log_mel.features(&turn, &[], &mut scratch, &mut features);
/// let newest_of_lowest_band = features[MEL_FRAMES - 1];
/// assert!(newest_of_lowest_band.is_finite());
/// ```
#[derive(Clone)]
pub struct LogMel {
    tables: Arc<Tables>,
}

struct Tables {
    /// Periodic Hann window.
    hann: [f64; FRAME],
    filters: Filters,
    fft: Arc<dyn RealToComplex<f64>>,
}

/// The mel filters, without what bin 1 adds to the lowest bands.
struct Filters {
    /// First bin and number of bins of each band.
    spans: [(usize, usize); MEL_BANDS],
    /// Band by band.
    weights: Vec<f64>,
    /// Weight of bin 1 in the lowest bands.
    low: [f64; LOW_BANDS],
}

/// Memory for one computation at a time.
pub struct MelScratch {
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    power: Vec<f64>,
    fft: Vec<Complex<f64>>,
}

/// What the features of one frame of raw samples depend on, whatever the window it will be part of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MelFrame {
    /// Power in each band, bin 1 left out.
    power: [f32; MEL_BANDS],
    /// Bin 1 of the spectrum. It holds the window's mean, which may be much larger than what is left
    /// without it: `f32` is not enough.
    low: Complex<f64>,
}

impl MelFrame {
    const SILENT: Self = Self {
        power: [0.0; MEL_BANDS],
        low: Complex::new(0.0, 0.0),
    };
}

impl Default for MelFrame {
    fn default() -> Self {
        Self::SILENT
    }
}

/// Room for the features of a window, 256 KB.
pub fn boxed_features() -> Box<MelFeatures> {
    let zeros = vec![0.0; MEL_BANDS * MEL_FRAMES].into_boxed_slice();
    zeros.try_into().expect("the length is that of the array")
}

impl LogMel {
    /// Computes the tables: about 0.1 ms.
    pub fn new() -> Self {
        let hann = std::array::from_fn(|n| {
            0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / FRAME as f64).cos()
        });
        let tables = Tables {
            hann,
            filters: Filters::new(),
            fft: RealFftPlanner::new().plan_fft_forward(FRAME),
        };
        Self {
            tables: Arc::new(tables),
        }
    }

    /// The tables that all of the process share.
    pub fn shared() -> Self {
        static SHARED: OnceLock<LogMel> = OnceLock::new();
        SHARED.get_or_init(Self::new).clone()
    }

    /// Memory for [`features`](Self::features), to be used again and again: 12 KB.
    pub fn scratch(&self) -> MelScratch {
        let fft = &self.tables.fft;
        MelScratch {
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            power: vec![0.0; BINS],
            fft: fft.make_scratch_vec(),
        }
    }

    /// The features of the last 8 s of `head` and `tail`, which are 16 kHz mono, full scale 1.0; shorter audio is
    /// filled up with zeros at the start.
    ///
    /// The result is finite whatever the samples are. Nothing is allocated.
    pub fn features(
        &self,
        head: &[f32],
        tail: &[f32],
        scratch: &mut MelScratch,
        out: &mut MelFeatures,
    ) {
        self.features_with(head, tail, None, scratch, out);
    }

    /// The same, bit for bit, with the frames that a detector has ready for these samples. Those that are missing or reach over an edge of
    /// the audio are computed.
    pub fn features_with(
        &self,
        head: &[f32],
        tail: &[f32],
        ready: Option<MelFrames<'_>>,
        scratch: &mut MelScratch,
        out: &mut MelFeatures,
    ) {
        let window = Window::new(head, tail);
        let level = window.level();
        let finish = Finish::new(&self.tables.filters, level);
        /// Frames that are written out together, so that the strided stores of the transposition share cache lines.
        const BLOCK: usize = 16;
        let mut rows = [[0.0_f32; MEL_BANDS]; BLOCK];
        let mut largest = [POWER_FLOOR.log10(); LANES];
        for first in (0..MEL_FRAMES).step_by(BLOCK) {
            for (k, row) in rows.iter_mut().enumerate() {
                let index = first + k;
                let ready = ready.and_then(|frames| frames.get(index));
                match ready.filter(|_| window.holds(index)) {
                    Some(frame) => finish.log(frame, row),
                    None => finish.log(&self.frame(&window, index, scratch), row),
                }
                for values in row.as_chunks::<LANES>().0 {
                    for (largest, value) in largest.iter_mut().zip(values) {
                        *largest = if *value > *largest { *value } else { *largest };
                    }
                }
            }
            for (band, out) in out.as_chunks_mut::<MEL_FRAMES>().0.iter_mut().enumerate() {
                for (out, row) in out[first..first + BLOCK].iter_mut().zip(&rows) {
                    *out = row[band];
                }
            }
        }
        let floor = largest.iter().fold(f32::MIN, |a, b| a.max(*b)) - RANGE;
        for value in out.iter_mut() {
            let value_or_floor = if *value > floor { *value } else { floor };
            *value = (value_or_floor + 4.0) / 4.0;
        }
    }

    /// The frame of 25 ms in `head` and `tail`.
    pub(super) fn frame_of(
        &self,
        head: &[f32],
        tail: &[f32],
        scratch: &mut MelScratch,
    ) -> MelFrame {
        debug_assert_eq!(head.len() + tail.len(), FRAME, "one frame");
        for (out, sample) in scratch.frame.iter_mut().zip(head.iter().chain(tail)) {
            *out = f64::from(*sample);
        }
        self.tables.analyse(scratch)
    }

    /// Frame `index` of the window.
    fn frame(&self, window: &Window<'_>, index: usize, scratch: &mut MelScratch) -> MelFrame {
        let position = (index * HOP) as isize;
        let (start, end) = (position - REACH as isize, position + REACH as isize);
        if end <= window.padding as isize {
            return MelFrame::SILENT;
        }
        window.gather(start, end, &mut scratch.frame);
        self.tables.analyse(scratch)
    }
}

impl MelScratch {
    /// Bytes of it.
    pub(super) const fn bytes(&self) -> usize {
        size_of::<f64>() * (self.frame.len() + self.power.len())
            + size_of::<Complex<f64>>() * (self.spectrum.len() + self.fft.len())
    }
}

impl Default for LogMel {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogMel").finish_non_exhaustive()
    }
}

impl fmt::Debug for MelScratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MelScratch").finish_non_exhaustive()
    }
}

impl Tables {
    /// The frame whose raw samples lie in `scratch.frame`.
    fn analyse(&self, scratch: &mut MelScratch) -> MelFrame {
        for (sample, weight) in scratch.frame.iter_mut().zip(&self.hann) {
            *sample *= weight;
        }
        self.fft
            .process_with_scratch(&mut scratch.frame, &mut scratch.spectrum, &mut scratch.fft)
            .expect("the plan itself gave the lengths");
        for (power, value) in scratch.power.iter_mut().zip(&scratch.spectrum) {
            *power = value.norm_sqr();
        }
        let mut power = [0.0; MEL_BANDS];
        self.filters.apply(&scratch.power, &mut power);
        MelFrame {
            power,
            low: scratch.spectrum[1],
        }
    }
}

impl Filters {
    fn new() -> Self {
        let mut spans = [(0, 0); MEL_BANDS];
        let mut weights = Vec::new();
        let mut low = [0.0; LOW_BANDS];
        for (band, span) in spans.iter_mut().enumerate() {
            if let Some(low) = low.get_mut(band) {
                *low = mel_weight(band, 1);
            }
            // Bin 0 has no weight: the lowest filter begins at 0 Hz.
            let inside = |bin: &usize| mel_weight(band, *bin) > 0.0;
            let start = (2..BINS).find(inside).unwrap_or(2);
            let count = (start..BINS).take_while(inside).count();
            *span = (start, count);
            weights.extend((start..start + count).map(|bin| mel_weight(band, bin)));
        }
        Self {
            spans,
            weights,
            low,
        }
    }

    fn apply(&self, power: &[f64], bands: &mut [f32; MEL_BANDS]) {
        let mut weights = self.weights.as_slice();
        for (band, (start, count)) in bands.iter_mut().zip(self.spans) {
            let (these, rest) = weights.split_at(count);
            let power = &power[start..start + count];
            *band = these.iter().zip(power).map(|(w, p)| w * p).sum::<f64>() as f32;
            weights = rest;
        }
    }
}

/// Weight of a bin in a band: a triangle over the neighbouring bands' middles, of area 1 in Hz (Slaney's Auditory
/// Toolbox, as librosa's and Whisper's filters).
fn mel_weight(band: usize, bin: usize) -> f64 {
    let edge = |k: usize| hz_of_mel(mel_of_hz(8000.0) * k as f64 / (MEL_BANDS + 1) as f64);
    let (low, middle, high) = (edge(band), edge(band + 1), edge(band + 2));
    let hz = 8000.0 * bin as f64 / (BINS - 1) as f64;
    let height = ((hz - low) / (middle - low)).min((high - hz) / (high - middle));
    height.max(0.0) * 2.0 / (high - low)
}

/// Slaney's mel scale: linear up to 1000 Hz = 15 mel, then 27 mel for every factor of 6.4.
fn mel_of_hz(hz: f64) -> f64 {
    match hz < 1000.0 {
        true => hz * 3.0 / 200.0,
        false => 15.0 + (hz / 1000.0).ln() * 27.0 / 6.4_f64.ln(),
    }
}

fn hz_of_mel(mel: f64) -> f64 {
    match mel < 15.0 {
        true => mel * 200.0 / 3.0,
        false => 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp(),
    }
}

/// The window: zeros, then two slices.
struct Window<'a> {
    padding: usize,
    head: &'a [f32],
    tail: &'a [f32],
}

/// Mean and variance of a window.
#[derive(Clone, Copy, Debug)]
struct WindowLevel {
    mean: f64,
    variance: f64,
}

impl<'a> Window<'a> {
    /// The last samples of `head` and `tail`, as many as a window holds.
    fn new(head: &'a [f32], tail: &'a [f32]) -> Self {
        let tail = &tail[tail.len().saturating_sub(MEL_SAMPLES)..];
        let head = &head[head.len().saturating_sub(MEL_SAMPLES - tail.len())..];
        Self {
            padding: MEL_SAMPLES - tail.len() - head.len(),
            head,
            tail,
        }
    }

    /// Whether all that frame `index` reaches over are samples.
    const fn holds(&self, index: usize) -> bool {
        let position = index * HOP;
        position >= self.padding + REACH && position + REACH <= MEL_SAMPLES
    }

    fn level(&self) -> WindowLevel {
        let (head, tail) = (sums(self.head), sums(self.tail));
        let mean = (head.0 + tail.0) / MEL_SAMPLES as f64;
        let square = (head.1 + tail.1) / MEL_SAMPLES as f64;
        WindowLevel {
            mean,
            variance: (square - mean * mean).max(0.0),
        }
    }

    /// Samples `start..end`, mirrored at both ends of the window.
    fn gather(&self, start: isize, end: isize, out: &mut [f64]) {
        let boundary = self.padding + self.head.len();
        let inside = start >= 0 && end <= MEL_SAMPLES as isize;
        let (first, last) = (start.unsigned_abs(), end.unsigned_abs());
        let slice = match inside {
            true if first >= boundary => Some(&self.tail[first - boundary..last - boundary]),
            true if first >= self.padding && last <= boundary => {
                Some(&self.head[first - self.padding..last - self.padding])
            }
            _ => None,
        };
        match slice {
            Some(slice) => {
                for (out, sample) in out.iter_mut().zip(slice) {
                    *out = f64::from(*sample);
                }
            }
            None => {
                for (out, at) in out.iter_mut().zip(start..end) {
                    *out = f64::from(self.sample(at));
                }
            }
        }
    }

    /// The sample at a position that may lie up to a frame outside.
    fn sample(&self, at: isize) -> f32 {
        let last = MEL_SAMPLES - 1;
        let at = at.unsigned_abs();
        let at = if at > last { 2 * last - at } else { at };
        let boundary = self.padding + self.head.len();
        match at {
            _ if at < self.padding => 0.0,
            _ if at < boundary => self.head[at - self.padding],
            _ => self.tail[at - boundary],
        }
    }
}

/// The sum of all values and of their squares.
fn sums(values: &[f32]) -> (f64, f64) {
    let (mut sum, mut square) = ([0.0_f64; LANES], [0.0_f64; LANES]);
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            let value = f64::from(block[lane]);
            sum[lane] += value;
            square[lane] += value * value;
        }
    }
    for value in rest {
        let value = f64::from(*value);
        sum[0] += value;
        square[0] += value * value;
    }
    (sum.iter().sum(), square.iter().sum())
}

/// From frames of raw samples to logarithms: what depends on the window's mean and variance.
struct Finish {
    /// What the mean adds to bin 1 of each frame.
    offset: f64,
    scale: f64,
    low: [f64; LOW_BANDS],
}

impl Finish {
    fn new(filters: &Filters, level: WindowLevel) -> Self {
        Self {
            offset: level.mean * HANN_BIN_1,
            scale: 1.0 / (level.variance + VARIANCE_FLOOR),
            low: filters.low,
        }
    }

    fn log(&self, frame: &MelFrame, row: &mut [f32; MEL_BANDS]) {
        let scale = self.scale as f32;
        for (out, power) in row.iter_mut().zip(&frame.power) {
            *out = *power * scale;
        }
        let low = (frame.low - self.offset).norm_sqr() * self.scale;
        for (out, weight) in row.iter_mut().zip(self.low) {
            *out += (weight * low) as f32;
        }
        for value in row {
            // The floor for NaN too.
            *value = log10(if *value > POWER_FLOOR {
                *value
            } else {
                POWER_FLOOR
            });
        }
    }
}

/// `log10` of a positive normal number: absolute error at most 1e-6 between 1e-10 and 1e10. Free of branches, so that a
/// loop over it becomes vector code.
///
/// With `x = 2^e m` and `m` within a factor of the root of 2 from 1, `ln m` is the polynomial of Cephes' `logf`.
#[inline(always)]
fn log10(x: f32) -> f32 {
    /// log10(2) = 77 / 256 + LOW: the product of an exponent with the first part is exact.
    const HIGH: f32 = 77.0 / 256.0;
    const LOW: f32 = 2.487_456_6e-4;
    /// Bits of sqrt(1/2).
    const ROOT_HALF: u32 = 0x3f35_04f3;
    const LN: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let above = x.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (above as i32) >> 23;
    let m = f32::from_bits((above & 0x007f_ffff).wrapping_add(ROOT_HALF)) - 1.0;
    let mut p = LN[0];
    for c in &LN[1..] {
        p = p * m + c;
    }
    let square = m * m;
    let ln_m = m + (m * square * p - 0.5 * square);
    let exponent = exponent as f32;
    exponent * HIGH + (ln_m * std::f32::consts::LOG10_E + exponent * LOW)
}

#[cfg(test)]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests"
)]
#[path = "../../tests/common/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_stays_within_its_bound() {
        let mut worst: f64 = 0.0;
        for k in 0..2_000_000 {
            let x = 10_f64.powf(-10.0 + 20.0 * f64::from(k) / 2e6) as f32;
            worst = worst.max((f64::from(log10(x)) - f64::from(x).log10()).abs());
        }
        assert!(worst <= 1e-6, "{worst:e}");
        // Beyond, it stays finite: infinity counts as 2^128.
        assert!((log10(f32::INFINITY) - 38.53).abs() < 0.01);
    }

    /// What the split into bin 1 and the rest rests on.
    #[test]
    fn the_mean_of_a_frame_shows_in_no_bin_that_counts_but_the_first() {
        let weights = |bin| (0..MEL_BANDS).filter(move |band| mel_weight(*band, bin) > 0.0);
        assert_eq!(weights(0).count(), 0);
        assert!(weights(1).eq(0..LOW_BANDS));
        let log_mel = LogMel::new();
        let mut scratch = log_mel.scratch();
        scratch.frame.fill(1.0);
        let frame = log_mel.tables.analyse(&mut scratch);
        assert!((frame.low - HANN_BIN_1).norm_sqr() < 1e-20, "{frame:?}");
        assert!(frame.power.iter().all(|power| *power < 1e-20), "{frame:?}");
    }

    #[test]
    fn the_tables_are_those_of_the_reference() {
        let Some(corpus) = corpus::find("parity of mel filters with the reference") else {
            return;
        };
        let path = corpus.join("smart_turn_ref/tables.npz");
        let hann = corpus::npz_f64(&path, "hann");
        let log_mel = LogMel::new();
        for (n, expected) in hann.iter().enumerate() {
            let ours = log_mel.tables.hann[n];
            assert!((ours - expected).abs() <= 1e-15, "{n}: {ours} {expected}");
        }
        // `[bin][band]`. What is used is compared, not only the formula.
        let filters = corpus::npz_f64(&path, "mel_filters");
        assert_eq!((hann.len(), filters.len()), (FRAME, BINS * MEL_BANDS));
        let mut used = vec![0.0; filters.len()];
        let tables = &log_mel.tables.filters;
        let mut weights = tables.weights.iter();
        for (band, (start, count)) in tables.spans.iter().enumerate() {
            for (bin, weight) in (*start..start + count).zip(&mut weights) {
                used[bin * MEL_BANDS + band] = *weight;
            }
        }
        used[MEL_BANDS..][..LOW_BANDS].copy_from_slice(&tables.low);
        for (ours, expected) in used.iter().zip(&filters) {
            assert!((ours - expected).abs() <= 1e-15, "{ours} {expected}");
        }
    }
}
