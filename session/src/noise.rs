//! Takes steady noise out of speech: RNNoise, an open model, by the crate `nnnoiseless`.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::SampleRate;
use listenkit::resample::Resampler;
use nnnoiseless::DenoiseState;

use crate::AudioFrame;

/// What the model hears, in Hz.
const RATE: SampleRate = SampleRate::HZ_48000;

/// The model works in blocks of 10 ms.
const BLOCK: usize = DenoiseState::FRAME_SIZE;

/// A model's output is the block before: its windows overlap by half.
const OVERLAP: usize = BLOCK;

/// A filter for one stream. Every frame in gives a frame of the same format and length, which is [`delay`](Self::delay) late.
///
/// The model hears 48 kHz mono: other rates are converted both ways, channels are mixed. A change of format begins anew.
pub struct NoiseSuppressor {
    format: (u32, u32),
    chain: Option<Chain>,
}

struct Chain {
    model: Box<DenoiseState<'static>>,
    up: Resampler,
    down: Resampler,
    /// At 48 kHz, for the next block.
    block: Vec<f32>,
    /// At the stream's rate, in [-1, 1).
    done: VecDeque<f32>,
    input: Vec<f32>,
    scratch: Vec<f32>,
    delay: Duration,
}

impl Default for NoiseSuppressor {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseSuppressor {
    /// A filter that takes its format from the first frame.
    pub const fn new() -> Self {
        Self {
            format: (0, 0),
            chain: None,
        }
    }

    /// How much later the speech comes out than it went in; zero before the first frame. 20 ms at 48 kHz, 21 to 27 ms at lower rates, for their filters.
    pub fn delay(&self) -> Duration {
        self.chain
            .as_ref()
            .map_or(Duration::ZERO, |chain| chain.delay)
    }

    /// Forgets what it heard.
    pub fn reset(&mut self) {
        self.chain = None;
    }

    /// Takes the noise out of a frame.
    pub fn process(&mut self, frame: &AudioFrame) -> AudioFrame {
        let format = (frame.sample_rate(), frame.channels());
        if self.format != format {
            self.chain = None;
            self.format = format;
        }
        let chain = self.chain.get_or_insert_with(|| Chain::new(format.0));
        let samples = chain.process(frame);
        AudioFrame::new(samples, format.0, format.1).expect("it has the length of a frame")
    }
}

impl Chain {
    fn new(rate: u32) -> Self {
        let rate = SampleRate::new(rate).unwrap_or(RATE);
        let up = Resampler::shared(rate, RATE);
        let down = Resampler::shared(RATE, rate);
        // A block is heard when it is complete. One sample more for the rounding of either way.
        let rounding = if rate == RATE { 0 } else { 2 };
        let ahead = (BLOCK * rate.hz() as usize).div_ceil(RATE.hz() as usize) + rounding;
        let inner = (OVERLAP + up.delay()) as f64 / f64::from(RATE.hz());
        let outer = (ahead + down.delay()) as f64 / f64::from(rate.hz());
        Self {
            model: DenoiseState::new(),
            up,
            down,
            block: Vec::with_capacity(2 * BLOCK),
            done: std::iter::repeat_n(0.0, ahead).collect(),
            input: Vec::new(),
            scratch: Vec::new(),
            delay: Duration::from_secs_f64(inner + outer),
        }
    }

    fn process(&mut self, frame: &AudioFrame) -> Vec<i16> {
        let channels = frame.channels() as usize;
        let scale = 32_768.0 * channels as f32;
        let mix = |all: &[i16]| all.iter().map(|&sample| f32::from(sample)).sum::<f32>() / scale;
        self.input.clear();
        self.input
            .extend(frame.samples().chunks_exact(channels).map(mix));
        let start = self.block.len();
        self.block
            .resize(start + self.up.output_len(self.input.len()), 0.0);
        self.up.process(&self.input, &mut self.block[start..]);
        let blocks = self.block.len() / BLOCK;
        for block in self.block[..blocks * BLOCK].chunks_exact_mut(BLOCK) {
            // The model takes the range of 16-bit integers.
            block.iter_mut().for_each(|sample| *sample *= 32_768.0);
            let mut clean = [0.0; BLOCK];
            self.model.process_frame(&mut clean, block);
            clean.iter_mut().for_each(|sample| *sample /= 32_768.0);
            self.scratch.resize(self.down.output_len(BLOCK), 0.0);
            self.down.process(&clean, &mut self.scratch);
            self.done.extend(&self.scratch);
        }
        self.block.drain(..blocks * BLOCK);
        let len = frame.samples_per_channel();
        debug_assert!(self.done.len() >= len, "the start was filled up for this");
        let missing = len.saturating_sub(self.done.len());
        let ready = self.done.drain(..len - missing);
        let samples = ready.chain(std::iter::repeat_n(0.0, missing));
        samples
            .flat_map(|sample| {
                let sample = (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
                std::iter::repeat_n(sample, channels)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fixture(name: &str) -> (Vec<f64>, u32) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fixtures")
            .join(name)
            .join("audio.wav");
        let mut reader = hound::WavReader::open(path).unwrap();
        let rate = reader.spec().sample_rate;
        (
            reader
                .samples::<i16>()
                .map(|s| f64::from(s.unwrap()))
                .collect(),
            rate,
        )
    }

    fn convert(samples: &[f64], from: u32, to: u32) -> Vec<f64> {
        let rate = |hz| SampleRate::new(hz).unwrap();
        let input: Vec<f32> = samples.iter().map(|&s| (s / 32_768.0) as f32).collect();
        let mut resampler = Resampler::new(rate(from), rate(to)).aligned();
        let mut out = vec![0.0; resampler.output_len(input.len())];
        resampler.process(&input, &mut out);
        out.iter().map(|&s| f64::from(s) * 32_768.0).collect()
    }

    fn run(samples: &[f64], rate: u32, len: usize) -> (Vec<f64>, Duration) {
        let mut filter = NoiseSuppressor::new();
        let mut out = Vec::new();
        for part in samples.chunks(len) {
            let part: Vec<i16> = part.iter().map(|&s| s as i16).collect();
            let frame = filter.process(&AudioFrame::new(part, rate, 1).unwrap());
            out.extend(frame.samples().iter().map(|&s| f64::from(s)));
        }
        (out, filter.delay())
    }

    fn power(samples: &[f64]) -> f64 {
        samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64
    }

    /// Scale-invariant signal-to-distortion ratio, in dB: what of `heard` is `clean`, against the rest.
    fn quality(heard: &[f64], clean: &[f64]) -> f64 {
        let dot: f64 = heard.iter().zip(clean).map(|(a, b)| a * b).sum();
        let scale = dot / clean.iter().map(|b| b * b).sum::<f64>();
        let rest: f64 = heard
            .iter()
            .zip(clean)
            .map(|(a, b)| (a - scale * b).powi(2))
            .sum();
        let signal: f64 = clean.iter().map(|b| (scale * b).powi(2)).sum();
        10.0 * (signal / rest).log10()
    }

    fn delay_in_samples(delay: Duration, rate: u32) -> usize {
        (delay.as_secs_f64() * f64::from(rate)).round() as usize
    }

    #[test]
    fn speech_comes_out_as_late_as_it_says() {
        let (speech, own) = fixture("conversation-en");
        for rate in [8_000, 16_000, 22_050, 24_000, 44_100, 48_000] {
            let clean = convert(&speech[..own as usize * 3], own, rate);
            let (out, delay) = run(&clean, rate, 333);
            assert_eq!(out.len(), clean.len());
            let expected = delay_in_samples(delay, rate);
            // The second of speech behind the first one.
            let part = rate as usize..2 * rate as usize;
            let score =
                |lag: usize| quality(&out[part.start + lag..part.end + lag], &clean[part.clone()]);
            let best = (expected.saturating_sub(100)..expected + 100)
                .max_by(|&a, &b| score(a).total_cmp(&score(b)))
                .unwrap();
            // The delay between two samples is rounded.
            assert!(
                best.abs_diff(expected) <= 1,
                "{rate}: {best} for {expected}"
            );
            assert!(delay <= Duration::from_millis(27), "{rate}: {delay:?}");
        }
    }

    #[test]
    fn noise_falls_and_speech_stays() {
        let (speech, rate) = fixture("conversation-en");
        let (noise, noise_rate) = fixture("noise-pink");
        let noise = convert(&noise, noise_rate, 16_000);
        let clean = convert(&speech, rate, 16_000);
        for (snr, least) in [(0.0, 4.0), (5.0, 3.0), (10.0, 2.0)] {
            let gain = (power(&clean) / power(&noise) / 10_f64.powf(snr / 10.0)).sqrt();
            let noisy: Vec<f64> = clean
                .iter()
                .zip(noise.iter().cycle())
                .map(|(s, n)| s + gain * n)
                .collect();
            let (out, delay) = run(&noisy, 16_000, 160);
            let lag = delay_in_samples(delay, 16_000);
            let before = quality(&noisy, &clean);
            let after = quality(&out[lag..], &clean[..clean.len() - lag]);
            println!("SI-SDR {before:.1} -> {after:.1} dB");
            assert!(after > before + least, "{before} -> {after}");
        }
        // Noise alone, once it is known for what it is.
        let (out, _) = run(&noise, 16_000, 160);
        let fall = 10.0 * (power(&noise[8_000..]) / power(&out[8_000..])).log10();
        println!("noise alone falls by {fall:.1} dB");
        assert!(fall > 15.0, "{fall}");
    }

    #[test]
    fn any_split_gives_the_same_samples() {
        let (speech, rate) = fixture("conversation-en");
        let speech = &speech[..rate as usize];
        let (whole, _) = run(speech, 16_000, speech.len());
        for len in [1, 160, 441] {
            assert_eq!(run(speech, 16_000, len).0, whole);
        }
    }

    #[test]
    fn every_format_comes_out_as_it_went_in() {
        let mut filter = NoiseSuppressor::new();
        for (rate, channels) in [(4_000, 1), (11_025, 2), (192_000, 8), (48_000, 1)] {
            for len in [0, 1, 7, 4_000] {
                let frame =
                    AudioFrame::new(vec![i16::MIN; len * channels as usize], rate, channels)
                        .unwrap();
                let out = filter.process(&frame);
                assert_eq!((out.sample_rate(), out.channels()), (rate, channels));
                assert_eq!(out.samples().len(), frame.samples().len());
            }
        }
    }

    /// Prints what a second costs: `cargo test --release -p listenkit-session --lib noise -- --ignored --nocapture`.
    #[test]
    #[ignore = "a figure, to be read from a release build"]
    fn cost_of_a_second() {
        let (speech, rate) = fixture("conversation-en");
        for to in [16_000, 24_000, 48_000] {
            let speech = convert(&speech, rate, to);
            let best = (0..5)
                .map(|_| {
                    let start = std::time::Instant::now();
                    run(&speech, to, to as usize / 100);
                    start.elapsed()
                })
                .min()
                .unwrap();
            let seconds = speech.len() as f64 / f64::from(to);
            println!(
                "{to} Hz: {:.2} ms per second of audio",
                best.as_secs_f64() * 1_000.0 / seconds
            );
        }
    }
}
