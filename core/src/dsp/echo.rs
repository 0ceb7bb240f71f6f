//! Whether what the microphone hears is the agent's own playback.
//!
//! Loudspeaker and room delay the playback, colour it and add reverberation, but its loudness still rises and falls in the same
//! places. So the log energies of a few bands of both streams are correlated over the last half second, at every lag that
//! playback and room can make. Their gains do not matter. This is no echo canceller: the playback stays in the audio, and a user who
//! speaks over a louder echo is not told from it.

use crate::units::{SampleCount, SampleRate};

/// Bands of both envelopes, by their centre in Hz; below 4 kHz, so that telephones have them.
const CENTRES: [f64; BANDS] = [300.0, 600.0, 1200.0, 2200.0];
const BANDS: usize = 4;
/// Quality of the band filters: an octave wide.
const QUALITY: f64 = 1.2;
/// Hops per second.
const HOPS: u32 = 100;
/// Hops that are compared: half a second, what it takes to make a claim. With 0.8 s more users pass for echo, see the test
/// `own_voice`.
const COMPARED: usize = 50;
/// Largest lag of the microphone behind the playback: device buffers and network of 300 ms and some slack.
const LAGS: usize = 50;
/// Playback may run late by this much against the microphone without being a new beginning: blocks come at their own times.
const SLACK: u64 = 20;
/// Hops of playback kept, and so how far it may be ahead: 10 s, less what is compared.
const KEPT: usize = 1024;
/// Mean square that counts as silence: -80 dB of full scale, below any microphone's noise.
const SILENCE: f32 = 1e-8;

type Bands = [f32; BANDS];

/// The envelopes of the microphone and of the playback.
#[derive(Clone, Debug)]
pub(crate) struct EchoCheck {
    near: Envelope,
    far: Envelope,
    /// The last hops of the microphone; hop k lies at k modulo the length. So does the playback's.
    heard: Vec<Bands>,
    played: Vec<Bands>,
    /// Hops that are complete, counted on one clock.
    heard_end: u64,
    played_end: u64,
}

impl EchoCheck {
    /// Allocates here and only here.
    pub(crate) fn new(near: SampleRate, far: SampleRate) -> Self {
        let silence = [SILENCE.ln(); BANDS];
        Self {
            near: Envelope::new(near),
            far: Envelope::new(far),
            heard: vec![silence; COMPARED],
            played: vec![silence; KEPT],
            heard_end: 0,
            played_end: 0,
        }
    }

    /// The microphone's next samples.
    pub(crate) fn hear(&mut self, mono: &[f32]) {
        for &sample in mono {
            if let Some(hop) = self.near.push(sample) {
                self.heard[(self.heard_end % COMPARED as u64) as usize] = hop;
                self.heard_end += 1;
            }
        }
    }

    /// Time passes without audio.
    pub(crate) fn skip(&mut self, samples: SampleCount) {
        let hops = self.near.skip(samples.0);
        for k in 0..hops.min(COMPARED as u64) {
            let at = (self.heard_end.saturating_add(k)) % COMPARED as u64;
            self.heard[at as usize] = [SILENCE.ln(); BANDS];
        }
        self.heard_end = self.heard_end.saturating_add(hops);
    }

    /// The next samples of the playback; says how many there was no room for.
    pub(crate) fn play(&mut self, mono: &[f32]) -> usize {
        if self.played_end.saturating_add(SLACK) < self.heard_end {
            self.silence_until(self.heard_end);
            self.far.forget();
        }
        let newest = self
            .heard_end
            .saturating_add((KEPT - COMPARED - LAGS) as u64);
        for (k, &sample) in mono.iter().enumerate() {
            if self.played_end >= newest {
                return mono.len() - k;
            }
            if let Some(hop) = self.far.push(sample) {
                self.played[(self.played_end % KEPT as u64) as usize] = hop;
                self.played_end += 1;
            }
        }
        0
    }

    /// What was to be played from here on is not.
    pub(crate) fn stop(&mut self) {
        self.played_end = self.played_end.min(self.heard_end);
        self.far.forget();
    }

    /// As new, with playback at rate `far` and the microphone at the rate it has.
    pub(crate) fn reset(&mut self, far: SampleRate) {
        self.near = Envelope::new(self.near.rate);
        self.far = Envelope::new(far);
        for hop in self.heard.iter_mut().chain(&mut self.played) {
            *hop = [SILENCE.ln(); BANDS];
        }
        self.heard_end = 0;
        self.played_end = 0;
    }

    /// The microphone goes on at another rate.
    pub(crate) fn set_near(&mut self, rate: SampleRate) {
        self.near = Envelope::new(rate);
    }

    /// The playback goes on at another rate.
    pub(crate) fn set_far(&mut self, rate: SampleRate) {
        if rate != self.far.rate {
            self.far = Envelope::new(rate);
        }
    }

    /// How well the playback explains the last half second of the microphone, 0.0..=1.0: the largest correlation over all lags.
    /// The work is the same every time.
    pub(crate) fn coherence(&self) -> f32 {
        let end = self.heard_end;
        let mut near = [[0.0; BANDS]; COMPARED];
        for (k, hop) in (0..).zip(&mut near) {
            *hop = self.heard[((end + k) % COMPARED as u64) as usize];
        }
        let near_energy = centre(&mut near);
        let mut best = 0.0_f32;
        for lag in 0..=LAGS as u64 {
            let mut far = [[0.0; BANDS]; COMPARED];
            for (k, hop) in (0..).zip(&mut far) {
                *hop = self.played_at((end + k).checked_sub(COMPARED as u64 + lag));
            }
            let far_energy = centre(&mut far);
            let product: f32 = near
                .iter()
                .zip(&far)
                .flat_map(|(near, far)| near.iter().zip(far))
                .map(|(near, far)| near * far)
                .sum();
            best = best.max(product / (near_energy * far_energy).sqrt());
        }
        best.clamp(0.0, 1.0)
    }

    pub(crate) fn state_bytes(&self) -> usize {
        (self.heard.len() + self.played.len()) * size_of::<Bands>()
    }

    fn played_at(&self, hop: Option<u64>) -> Bands {
        match hop {
            Some(hop) if hop < self.played_end && self.played_end - hop <= KEPT as u64 => {
                self.played[(hop % KEPT as u64) as usize]
            }
            _ => [SILENCE.ln(); BANDS],
        }
    }

    fn silence_until(&mut self, end: u64) {
        let first = self.played_end.max(end.saturating_sub(KEPT as u64));
        for hop in first..end {
            self.played[(hop % KEPT as u64) as usize] = [SILENCE.ln(); BANDS];
        }
        self.played_end = end;
    }
}

/// Takes the mean out of each band; gives the energy that is left, over all bands, and 1: a level that hardly moves (by 0.3 dB, in
/// 200 values) matches nothing.
fn centre(hops: &mut [Bands; COMPARED]) -> f32 {
    let mut energy = 1.0;
    for band in 0..BANDS {
        let sum: f32 = hops.iter().map(|hop| hop[band]).sum();
        let mean = sum / COMPARED as f32;
        for hop in hops.iter_mut() {
            hop[band] -= mean;
            energy += hop[band] * hop[band];
        }
    }
    energy
}

/// Log energies of bands, hop by hop.
#[derive(Clone, Debug)]
struct Envelope {
    rate: SampleRate,
    bands: [BandPass; BANDS],
    energy: [f32; BANDS],
    samples: u32,
    /// Hundredths of a hop since it began, in units of 1 / rate.
    phase: u64,
}

impl Envelope {
    fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            bands: CENTRES.map(|centre| BandPass::new(centre, rate)),
            energy: [0.0; BANDS],
            samples: 0,
            phase: 0,
        }
    }

    /// The hop that this sample completes.
    fn push(&mut self, sample: f32) -> Option<Bands> {
        for (band, energy) in self.bands.iter_mut().zip(&mut self.energy) {
            let value = band.filter(sample);
            *energy += value * value;
        }
        self.samples += 1;
        self.phase += u64::from(HOPS);
        if self.phase < u64::from(self.rate.hz()) {
            return None;
        }
        self.phase -= u64::from(self.rate.hz());
        let samples = self.samples as f32;
        let hop = self.energy.map(|energy| (energy / samples + SILENCE).ln());
        self.energy = [0.0; BANDS];
        self.samples = 0;
        Some(hop)
    }

    /// Lets `samples` pass unheard; says how many hops they complete.
    fn skip(&mut self, samples: u64) -> u64 {
        self.forget();
        let total = u128::from(self.phase) + u128::from(samples) * u128::from(HOPS);
        let rate = u128::from(self.rate.hz());
        self.phase = (total % rate) as u64;
        u64::try_from(total / rate).unwrap_or(u64::MAX)
    }

    fn forget(&mut self) {
        self.energy = [0.0; BANDS];
        self.samples = 0;
        self.bands.iter_mut().for_each(|band| band.state = [0.0; 2]);
    }
}

/// A second-order band-pass of gain 1 at its centre: the bilinear transform of `s / (s^2 + s / q + 1)`.
#[derive(Clone, Debug)]
struct BandPass {
    gain: f32,
    feedback: [f32; 2],
    state: [f32; 2],
}

impl BandPass {
    fn new(centre: f64, rate: SampleRate) -> Self {
        let rate = f64::from(rate.hz());
        // At 4 kHz the highest band would lie above what there is.
        let angle = std::f64::consts::TAU * centre.min(0.45 * rate) / rate;
        let alpha = angle.sin() / (2.0 * QUALITY);
        let scale = 1.0 / (1.0 + alpha);
        Self {
            gain: (alpha * scale) as f32,
            feedback: [
                (-2.0 * angle.cos() * scale) as f32,
                ((1.0 - alpha) * scale) as f32,
            ],
            state: [0.0; 2],
        }
    }

    fn filter(&mut self, sample: f32) -> f32 {
        // Transposed form II; the numerator is gain * (1 - z^-2).
        let value = self.gain * sample + self.state[0];
        self.state[0] = self.state[1] - self.feedback[0] * value;
        self.state[1] = -self.gain * sample - self.feedback[1] * value;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_16000;

    /// Noise whose loudness wanders, differently for every seed; like syllables.
    fn babble(seed: u32, seconds: usize, rate: SampleRate) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32
        };
        let rate = rate.hz() as usize;
        let mut signal = Vec::new();
        while signal.len() < seconds * rate {
            // 50 to 200 ms each.
            let (loud, len) = (random().powi(3), (0.05 + 0.15 * random()) * rate as f32);
            signal.extend((0..len as usize).map(|_| loud * (random() - 0.5)));
        }
        signal.truncate(seconds * rate);
        signal
    }

    /// Plays `far` and hears `near` in blocks of 10 ms; the coherence at the end.
    fn coherence(far: &[f32], far_rate: SampleRate, near: &[f32]) -> f32 {
        let mut check = EchoCheck::new(RATE, far_rate);
        let far_block = far_rate.hz() as usize / 100;
        for (far, near) in far.chunks(far_block).zip(near.chunks(160)) {
            assert_eq!(check.play(far), 0);
            check.hear(near);
        }
        check.coherence()
    }

    fn delayed(signal: &[f32], samples: usize, gain: f32) -> Vec<f32> {
        let silence = std::iter::repeat_n(0.0, samples);
        silence
            .chain(signal.iter().map(|value| value * gain))
            .take(signal.len())
            .collect()
    }

    #[test]
    fn a_delayed_and_softer_copy_is_recognised_and_another_voice_is_not() {
        let far = babble(1, 3, RATE);
        for delay in [0, 480, 1600, 4800, 7200] {
            let echo = delayed(&far, delay, 0.05);
            let found = coherence(&far, RATE, &echo);
            assert!(found > 0.95, "{delay}: {found}");
        }
        // Half a second holds four syllables or so, and with 51 lags to choose from some voices match by chance.
        let others = (2..42).map(|seed| coherence(&far, RATE, &babble(seed, 3, RATE)));
        let alike = others.filter(|&found| found >= 0.8).count();
        assert!(alike <= 8, "{alike} of 40");
    }

    #[test]
    fn playback_may_have_another_rate() {
        let far = babble(1, 3, SampleRate::HZ_48000);
        let near: Vec<f32> = far.iter().step_by(3).copied().collect();
        let found = coherence(&far, SampleRate::HZ_48000, &delayed(&near, 1600, 0.1));
        assert!(found > 0.9, "{found}");
    }

    #[test]
    fn silence_matches_nothing() {
        let (voice, silence) = (babble(1, 2, RATE), vec![0.0; 32_000]);
        assert!(coherence(&silence, RATE, &silence) < 0.01);
        assert!(coherence(&silence, RATE, &voice) < 0.01);
        assert!(coherence(&voice, RATE, &silence) < 0.01);
        assert!(EchoCheck::new(RATE, RATE).coherence() < 0.01);
    }

    #[test]
    fn playback_handed_over_early_is_kept_until_it_is_heard() {
        let far = babble(3, 8, RATE);
        let mut check = EchoCheck::new(RATE, RATE);
        assert_eq!(check.play(&far), 0, "8 s ahead");
        assert!(
            check.play(&vec![0.0; 160_000]) > 0,
            "no more than that is kept"
        );
        check.hear(&delayed(&far, 1600, 0.1)[..100_000]);
        assert!(check.coherence() > 0.95);
        check.stop();
        check.hear(&delayed(&far, 1600, 0.1)[100_000..]);
        assert!(check.coherence() < 0.8, "it was not played");
    }

    #[test]
    fn playback_that_begins_later_begins_at_that_time() {
        let far = babble(4, 2, RATE);
        let mut check = EchoCheck::new(RATE, RATE);
        check.hear(&vec![0.0; 80_000]);
        check.skip(SampleCount(u64::MAX / 4));
        check.play(&far);
        check.hear(&delayed(&far, 4800, 0.1));
        assert!(check.coherence() > 0.95);
    }

    #[test]
    fn hops_do_not_depend_on_how_samples_come() {
        for rate in [4_001, 8_000, 44_100, 192_000] {
            let rate = SampleRate::new(rate).expect("valid");
            let far = babble(5, 1, rate);
            let heard = |block: usize| {
                let mut check = EchoCheck::new(rate, rate);
                for (far, near) in far.chunks(block).zip(far.chunks(block)) {
                    check.hear(near);
                    check.play(far);
                }
                (check.heard_end, check.heard.clone())
            };
            assert_eq!(heard(1), heard(977));
            assert_eq!(heard(1).0, 100, "a second has 100 hops");
        }
    }
}
