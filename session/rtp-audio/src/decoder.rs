//! Opus to 16-bit samples at the reader's rate, whatever the bytes are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use listenkit::resample::Resampler;
use opus_rs::OpusDecoder;

use crate::packet::LONGEST_TICKS;
use crate::rates::{DECODED, codec_rate, converters};
use crate::{CLOCK_RATE, Error};

/// Over how many ticks the last sample fades into digital silence: 2.5 ms, so that it does not click.
const FADE_TICKS: u32 = 120;

/// Appends what it decodes to a vector of interleaved samples. All lengths are in ticks of 1/48000 s.
pub(crate) struct Decoder {
    opus: OpusDecoder,
    channels: usize,
    /// Ticks in one sample of the codec's output.
    step: u32,
    rate: u32,
    converters: Vec<Resampler>,
    /// What the codec wrote, interleaved.
    decoded: Vec<f32>,
    /// One channel on its way through a converter, and behind it.
    plane: Vec<f32>,
    converted: Vec<f32>,
    /// The newest sample of each channel.
    last: [f32; 2],
}

impl Decoder {
    pub(crate) fn new(sample_rate: u32, channels: u32) -> Result<Self, Error> {
        let refused = |_| Error::Format {
            sample_rate,
            channels,
        };
        let rate = codec_rate(&DECODED, sample_rate);
        let converters = converters(rate, sample_rate, channels as usize)?;
        let opus = OpusDecoder::new(rate as i32, channels as usize).map_err(refused)?;
        let step = CLOCK_RATE / rate;
        let longest = (LONGEST_TICKS / step) as usize;
        let room = converters
            .first()
            .map_or(0, |converter| converter.output_len_max(longest));
        Ok(Self {
            opus,
            channels: channels as usize,
            step,
            rate,
            plane: vec![0.0; if converters.is_empty() { 0 } else { longest }],
            converted: vec![0.0; room * channels as usize],
            converters,
            decoded: vec![0.0; longest * channels as usize],
            last: [0.0; 2],
        })
    }

    /// Ticks in one sample of the codec's output: what lengths are multiples of.
    pub(crate) fn step(&self) -> u32 {
        self.step
    }

    /// By how much a converter behind the codec delays, in seconds.
    pub(crate) fn converter_delay(&self) -> f64 {
        self.converters.first().map_or(0.0, |converter| {
            converter.delay() as f64 / f64::from(converter.design().to().hz())
        })
    }

    /// Decodes a packet that lasts `ticks`; what the codec refuses is concealed. `false` if so.
    pub(crate) fn packet(&mut self, payload: &[u8], ticks: u32, out: &mut Vec<i16>) -> bool {
        let done = self.run(ticks, |opus, frames, decoded| {
            opus.decode(payload, frames, decoded)
        });
        if done {
            self.give(ticks, out);
        } else {
            self.conceal(ticks, out);
        }
        done
    }

    /// Rebuilds the `ticks` before the packet `payload`, the last frame of them from the copy that it carries.
    pub(crate) fn rebuild(&mut self, payload: &[u8], ticks: u32, out: &mut Vec<i16>) {
        if self.run(ticks, |opus, frames, decoded| {
            opus.decode_fec(payload, frames, decoded)
        }) {
            self.give(ticks, out);
        } else {
            self.conceal(ticks, out);
        }
    }

    /// Goes on for `ticks` (a multiple of 2.5 ms, at most 120 ms) as what came before: lost speech, or the background while the sender pauses.
    pub(crate) fn conceal(&mut self, ticks: u32, out: &mut Vec<i16>) {
        if self.run(ticks, |opus, frames, decoded| {
            opus.decode(&[], frames, decoded)
        }) {
            self.give(ticks, out);
        } else {
            self.silence(ticks, out);
        }
    }

    /// Digital silence, at most 120 ms of it; the first 2.5 ms fade.
    pub(crate) fn silence(&mut self, ticks: u32, out: &mut Vec<i16>) {
        let fade = (FADE_TICKS / self.step) as usize;
        let frames = (ticks / self.step) as usize;
        let decoded = &mut self.decoded[..frames * self.channels];
        decoded.fill(0.0);
        if self.last != [0.0; 2] {
            for (at, frame) in decoded
                .chunks_exact_mut(self.channels)
                .take(fade)
                .enumerate()
            {
                let weight = 1.0 - (at + 1) as f32 / fade as f32;
                for (sample, last) in frame.iter_mut().zip(self.last) {
                    *sample = last * weight;
                }
            }
        }
        self.give(ticks, out);
    }

    /// As new, but for the converters, which go on.
    pub(crate) fn reset(&mut self) {
        self.opus = OpusDecoder::new(self.rate as i32, self.channels)
            .expect("it was made with this format before");
    }

    /// Runs the codec. What it refuses, panics on or makes no numbers of is `false`; a codec that did such a thing is replaced.
    fn run(
        &mut self,
        ticks: u32,
        call: impl FnOnce(&mut OpusDecoder, usize, &mut [f32]) -> Result<usize, &'static str>,
    ) -> bool {
        let frames = (ticks / self.step) as usize;
        let (opus, decoded) = (&mut self.opus, &mut self.decoded[..frames * self.channels]);
        // The codec is thrown away if it panics, so nobody sees what it left behind.
        match catch_unwind(AssertUnwindSafe(|| call(opus, frames, decoded))) {
            Ok(Ok(written)) if written == frames && decoded.iter().all(|s| s.is_finite()) => true,
            Ok(Err(_)) => false,
            _ => {
                self.reset();
                false
            }
        }
    }

    /// Converts what was decoded and appends it.
    fn give(&mut self, ticks: u32, out: &mut Vec<i16>) {
        let channels = self.channels;
        let frames = (ticks / self.step) as usize;
        let decoded = &self.decoded[..frames * channels];
        if let Some(frame) = decoded.last_chunk::<1>().filter(|_| channels == 1) {
            self.last[0] = frame[0];
        } else if let Some(frame) = decoded.last_chunk::<2>() {
            self.last = *frame;
        }
        if self.converters.is_empty() {
            out.extend(decoded.iter().map(|&sample| to_i16(sample)));
            return;
        }
        let mut written = 0;
        for (channel, converter) in self.converters.iter_mut().enumerate() {
            let plane = &mut self.plane[..frames];
            for (slot, frame) in plane.iter_mut().zip(decoded.chunks_exact(channels)) {
                *slot = frame[channel];
            }
            let room = self.converted.len() / channels;
            let lane = &mut self.converted[channel * room..][..room];
            written = converter.process(plane, lane).written;
        }
        let room = self.converted.len() / channels;
        out.reserve(written * channels);
        for at in 0..written {
            out.extend((0..channels).map(|channel| to_i16(self.converted[channel * room + at])));
        }
    }
}

/// Full scale is 32768; what is beyond it is cut.
fn to_i16(sample: f32) -> i16 {
    // The cast cuts and takes NaN for 0. No call of a rounding function, which is one sample at a time before SSE 4.1.
    (sample * 32_768.0 + 0.5_f32.copysign(sample)) as i16
}
