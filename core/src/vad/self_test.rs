//! A short signal and what the reference makes of it, to prove a load on the machine it runs on.

use super::{SileroVad, VadRate, VadState};
use crate::error::ModelError;

/// Different rounding moves these probabilities by some 1e-6; a wrong kernel or weight moves them by far more.
const TOLERANCE: f32 = 1e-4;
const WINDOWS: usize = 16;

/// onnxruntime's probabilities for the first windows of [`test_signal`], by `models/silero_vad/golden.py`.
const EXPECTED_16K: [f32; WINDOWS] = [
    0.27156, 0.73983, 0.61572, 0.27421, 0.15502, 0.14936, 0.24252, 0.37227, 0.71527, 0.72666,
    0.75593, 0.69099, 0.69922, 0.60818, 0.93179, 0.88172,
];
const EXPECTED_8K: [f32; WINDOWS] = [
    0.05984, 0.0469, 0.15863, 0.08758, 0.05961, 0.02877, 0.18245, 0.00781, 0.53768, 0.67869,
    0.69233, 0.60647, 0.5377, 0.49635, 0.60101, 0.27588,
];

impl SileroVad {
    /// Runs half a second of an embedded signal and compares with onnxruntime's probabilities for it.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] at the first window that differs by more than 1e-4.
    pub fn self_test(&self) -> Result<(), ModelError> {
        let expected = match self.rate() {
            VadRate::Hz8000 => EXPECTED_8K,
            VadRate::Hz16000 => EXPECTED_16K,
        };
        let mut state = VadState::new();
        let signal = test_signal(self.rate(), WINDOWS);
        for (window, (samples, expected)) in signal
            .chunks(self.rate().window_len())
            .zip(expected)
            .enumerate()
        {
            let found = self.probability(&mut state, samples);
            // NaN must fail.
            let equal = (found - expected).abs() <= TOLERANCE;
            if !equal {
                return Err(ModelError::SelfTest {
                    window,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

/// A voice made of whole numbers, so that any language makes the same samples (`models/silero_vad/golden.py` does): a buzz of
/// falling pitch through the resonances of four vowels, syllables and pauses, over faint noise. Peaks clip.
#[doc(hidden)]
pub fn test_signal(rate: VadRate, windows: usize) -> Vec<f32> {
    // Resonances by Peterson and Barney (1952), men, as Q14 coefficients of a two-pole filter at 16 kHz.
    const VOWELS: [[(i64, i64); 3]; 4] = [
        [(31_063, 16_002), (29_289, 15_815), (18_295, 15_447)],
        [(32_202, 16_002), (20_030, 15_815), (12_060, 15_447)],
        [(31_685, 16_002), (24_149, 15_815), (17_884, 15_447)],
        [(32_160, 16_002), (30_333, 15_815), (20_281, 15_447)],
    ];
    let (mut seed, mut phase) = (1u32, 0u64);
    let mut filters = [[0i64; 2]; 3];
    let mut samples = Vec::with_capacity(windows * 512);
    for n in 0..windows * 512 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = i64::from(seed >> 16) - 32_768;
        let (syllable, at) = (n / 4096, n % 4096);
        phase += 34_000_000 - 3_000_000 * (syllable as u64 % 6);
        let pulse = (phase >> 32) as i64;
        phase &= 0xffff_ffff;
        let voiced = syllable % 6 < 4 && at < 3400;
        let mut x = if voiced {
            16_000 * pulse + (noise >> 8)
        } else {
            0
        };
        for ((a1, a2), y) in VOWELS[syllable % 4].iter().zip(&mut filters) {
            x = ((16_384 - a1 + a2) * x + a1 * y[0] - a2 * y[1]) >> 14;
            *y = [x, y[0]];
        }
        samples.push((4 * x + (noise >> 10)).clamp(-32_768, 32_767));
    }
    if rate == VadRate::Hz8000 {
        samples = samples
            .chunks_exact(2)
            .map(|pair| (pair[0] + pair[1]) >> 1)
            .collect();
    }
    samples
        .into_iter()
        .map(|sample| sample as f32 / 32_768.0)
        .collect()
}
