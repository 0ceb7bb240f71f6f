//! Frames of any format to samples of one.

use listenkit::SampleRate;
use listenkit::resample::Resampler;

use crate::AudioFrame;

/// Turns frames of any format into interleaved samples of one. Sample m of the output lies at time m / rate of the input: nothing is
/// delayed, up to the filter's tail that [`finish`](Self::finish) gives.
pub(crate) struct Converter {
    to: (u32, u32),
    from: (u32, u32),
    /// One for each channel that is converted; none while the rates are equal.
    lanes: Vec<Resampler>,
    planar: Vec<f32>,
    converted: Vec<Vec<f32>>,
}

impl Converter {
    /// To this rate and this number of channels, both checked by [`AudioFrame`].
    pub(crate) fn new(sample_rate: u32, channels: u32) -> Self {
        Self {
            to: (sample_rate, channels),
            from: (sample_rate, channels),
            lanes: Vec::new(),
            planar: Vec::new(),
            converted: Vec::new(),
        }
    }

    /// Appends what the frame gives. A change of format is a border: the tail of what came before comes first.
    pub(crate) fn push(&mut self, frame: &AudioFrame, out: &mut impl Extend<i16>) {
        let from = (frame.sample_rate(), frame.channels());
        if from != self.from {
            self.finish(out);
            self.from = from;
        }
        if from == self.to {
            out.extend(frame.samples().iter().copied());
            return;
        }
        if from.0 != self.to.0 && self.lanes.is_empty() {
            let rate = |hz| SampleRate::new(hz).unwrap_or(SampleRate::HZ_48000);
            let lane = Resampler::shared(rate(from.0), rate(self.to.0)).aligned();
            self.lanes = vec![lane; self.width()];
        }
        let (channels, width) = (from.1 as usize, self.width());
        self.converted.resize(width, Vec::new());
        for lane in 0..width {
            self.planar.clear();
            let samples = frame.samples().chunks_exact(channels);
            match width == channels {
                true => self
                    .planar
                    .extend(samples.map(|all| f32::from(all[lane]) / 32_768.0)),
                // As many channels in as out, or else one: the mean.
                false => self.planar.extend(samples.map(|all| {
                    let sum: f32 = all.iter().map(|&sample| f32::from(sample)).sum();
                    sum / (32_768.0 * channels as f32)
                })),
            }
            let converted = &mut self.converted[lane];
            converted.clear();
            match self.lanes.get_mut(lane) {
                Some(resampler) => {
                    converted.resize(resampler.output_len(self.planar.len()), 0.0);
                    resampler.process(&self.planar, converted);
                }
                None => converted.extend_from_slice(&self.planar),
            }
        }
        self.emit(out);
    }

    /// Appends the tail of the filter; the next frame begins anew.
    pub(crate) fn finish(&mut self, out: &mut impl Extend<i16>) {
        if self.lanes.is_empty() {
            return;
        }
        for (resampler, converted) in self.lanes.iter_mut().zip(&mut self.converted) {
            converted.clear();
            converted.resize(resampler.tail_len(), 0.0);
            resampler.flush(converted);
        }
        self.emit(out);
        self.lanes.clear();
    }

    /// Channels that are converted: all, or their mean.
    fn width(&self) -> usize {
        match self.from.1 == self.to.1 {
            true => self.to.1 as usize,
            false => 1,
        }
    }

    /// Interleaves what was converted; one lane goes to all channels.
    fn emit(&self, out: &mut impl Extend<i16>) {
        let len = self.converted.first().map_or(0, Vec::len);
        let copies = self.to.1 as usize / self.converted.len().max(1);
        out.extend((0..len).flat_map(|at| {
            self.converted.iter().flat_map(move |lane| {
                let sample = (lane[at] * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
                std::iter::repeat_n(sample, copies)
            })
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(samples: Vec<i16>, rate: u32, channels: u32) -> AudioFrame {
        AudioFrame::new(samples, rate, channels).unwrap()
    }

    #[test]
    fn same_format_passes_bit_for_bit() {
        let mut converter = Converter::new(24_000, 2);
        let mut out: Vec<i16> = Vec::new();
        converter.push(&frame(vec![1, -1, i16::MAX, i16::MIN], 24_000, 2), &mut out);
        converter.finish(&mut out);
        assert_eq!(out, [1, -1, i16::MAX, i16::MIN]);
    }

    #[test]
    fn length_follows_the_rates_whatever_the_split() {
        for (from, to) in [(22_050, 48_000), (24_000, 48_000), (48_000, 16_000)] {
            let tone: Vec<i16> = (0..from)
                .map(|n| {
                    (10_000.0 * (n as f32 * 440.0 * std::f32::consts::TAU / from as f32).sin())
                        as i16
                })
                .collect();
            let mut whole: Vec<i16> = Vec::new();
            let mut converter = Converter::new(to, 1);
            converter.push(&frame(tone.clone(), from, 1), &mut whole);
            converter.finish(&mut whole);
            assert_eq!(whole.len() as u32, to);
            let mut parts: Vec<i16> = Vec::new();
            for part in tone.chunks(333) {
                converter.push(&frame(part.to_vec(), from, 1), &mut parts);
            }
            converter.finish(&mut parts);
            assert_eq!(parts, whole);
            // The same tone at the other rate: aligned, so within the filter's ripple away from the ends.
            for (m, &sample) in whole.iter().enumerate().skip(2_000).take(2_000) {
                let expected =
                    10_000.0 * (m as f32 * 440.0 * std::f32::consts::TAU / to as f32).sin();
                assert!((f32::from(sample) - expected).abs() < 30.0);
            }
        }
    }

    #[test]
    fn channels_are_copied_or_averaged_and_a_new_format_loses_nothing() {
        let mut converter = Converter::new(16_000, 2);
        let mut out: Vec<i16> = Vec::new();
        converter.push(&frame(vec![100, 200], 16_000, 1), &mut out);
        assert_eq!(out, [100, 100, 200, 200]);
        out.clear();
        converter.push(&frame(vec![0; 4_800], 48_000, 1), &mut out);
        converter.push(&frame(vec![0; 3 * 800], 8_000, 3), &mut out);
        converter.finish(&mut out);
        assert_eq!(out.len(), 2 * (1_600 + 1_600));

        let mut mono = Converter::new(16_000, 1);
        out.clear();
        mono.push(&frame(vec![100, 300, -50, 50], 16_000, 2), &mut out);
        assert_eq!(out, [200, 0]);
    }
}
