//! From PCM to the payloads of RTP packets.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use listenkit::resample::Resampler;
use opus_rs::{Application, OpusEncoder};

use crate::rates::{ENCODED, codec_rate, converters};
use crate::{CLOCK_RATE, Error};

/// Longest packet, in bytes (RFC 6716, section 3.4: a frame has 1275 at most).
const LONGEST: usize = 1_276;

/// Packets of digital silence that are still encoded: what the encoder holds back (6.5 ms) comes out in the first, and the listener's decoder ends in silence.
const TAIL: u32 = 2;

/// A pause is told again after so long, as encoders with discontinuous transmission do, so that a listener who missed it knows.
const REMINDER: Duration = Duration::from_millis(400);

/// How to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderOptions {
    /// Of the PCM, in Hz: 4,000 to 192,000, with whole samples in a packet. 8, 16, 24 and 48 kHz go straight to the encoder; others are converted. Default 24,000.
    pub sample_rate: u32,
    /// Of the PCM: 1 or 2. Default 1.
    pub channels: u32,
    /// Bits per second while there is sound, 6,000 to 510,000. Default 48,000.
    pub bitrate: u32,
    /// How much a packet carries: 10 or 20 ms. Default 20 ms.
    pub packet: Duration,
    /// How hard the encoder tries, 0 to 10. Default 2.
    pub complexity: u32,
    /// Codes the wave itself (CELT) and not a model of a voice (SILK). Default `true`: 4 ms less delay and a third of the CPU, and from 32 kbit/s on
    /// the spectrum is as near to the original's. `false` is for lines that cannot carry that much.
    pub low_delay: bool,
}

/// By `reference/libopus.py figures` and `quality`: speech at 24 kHz costs 0.09 s of CPU a minute and keeps within 0.6 dB of the original's spectrum; the voice mode
/// at 32 kbit/s and complexity 9, which LiveKit's libraries use, costs 0.8 s for 0.8 dB. From complexity 5 on the cost doubles for less than 0.1 dB.
impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            sample_rate: 24_000,
            channels: 1,
            bitrate: 48_000,
            packet: Duration::from_millis(20),
            complexity: 2,
            low_delay: true,
        }
    }
}

impl SenderOptions {
    /// PCM in this format.
    #[must_use]
    pub fn new(sample_rate: u32, channels: u32) -> Self {
        Self {
            sample_rate,
            channels,
            ..Self::default()
        }
    }
}

/// PCM in, payloads out, one for each [`packet_samples`](Self::packet_samples).
///
/// RTP time goes on by [`packet_ticks`](Self::packet_ticks) for each packet, sent or not, and by real time while nothing is encoded. Sequence numbers count what is sent.
pub struct Sender {
    options: SenderOptions,
    encoder: OpusEncoder,
    rate: u32,
    converters: Vec<Resampler>,
    /// Interleaved, at the codec's rate, full scale 1.
    input: Vec<f32>,
    plane: Vec<f32>,
    converted: Vec<f32>,
    payload: Vec<u8>,
    /// Packets of digital silence in a row.
    silent: u32,
    /// Nothing was encoded yet.
    fresh: bool,
    begins: bool,
    level: u8,
}

impl Sender {
    /// An encoder.
    ///
    /// # Errors
    /// [`Error::Format`] and [`Error::Packet`].
    pub fn new(options: &SenderOptions) -> Result<Self, Error> {
        let (sample_rate, channels) = (options.sample_rate, options.channels as usize);
        let rate = codec_rate(&ENCODED, sample_rate);
        let converters = converters(sample_rate, rate, channels)?;
        let micros = options.packet.as_micros() as u64;
        let samples = u64::from(sample_rate) * micros;
        if ![10_000, 20_000].contains(&micros) || !samples.is_multiple_of(1_000_000) {
            return Err(Error::Packet {
                micros,
                sample_rate,
            });
        }
        let samples = (samples / 1_000_000) as usize;
        let room = (u64::from(rate) * micros / 1_000_000) as usize;
        Ok(Self {
            encoder: encoder(rate, options)?,
            options: options.clone(),
            rate,
            plane: vec![0.0; if converters.is_empty() { 0 } else { samples }],
            converted: vec![0.0; if converters.is_empty() { 0 } else { room }],
            converters,
            input: vec![0.0; room * channels],
            payload: vec![0; LONGEST],
            silent: 0,
            fresh: true,
            begins: false,
            level: 127,
        })
    }

    /// Samples of one channel in a packet.
    pub fn packet_samples(&self) -> usize {
        (u64::from(self.options.sample_rate) * self.options.packet.as_micros() as u64 / 1_000_000)
            as usize
    }

    /// RTP time of a packet.
    pub fn packet_ticks(&self) -> u32 {
        (u64::from(CLOCK_RATE) * self.options.packet.as_micros() as u64 / 1_000_000) as u32
    }

    /// Encodes one packet of interleaved PCM. Empty if there is nothing to send: digital silence goes on, and the other side was told.
    ///
    /// To stop for a while, give digital silence until nothing is to be sent; then nothing is lost by not calling at all, and nothing is spent. At the beginning silence is sent
    /// too: servers announce a track when its first packet comes.
    ///
    /// # Errors
    /// [`Error::Length`] if it is not one packet; [`Error::Codec`].
    pub fn encode(&mut self, pcm: &[i16]) -> Result<&[u8], Error> {
        let channels = self.options.channels as usize;
        let expected = self.packet_samples() * channels;
        if pcm.len() != expected {
            return Err(Error::Length {
                given: pcm.len(),
                expected,
            });
        }
        self.level = level(pcm);
        let sounds = pcm.iter().any(|&sample| sample != 0);
        self.begins = std::mem::take(&mut self.fresh) || (sounds && self.silent > TAIL);
        self.silent = if sounds {
            0
        } else {
            self.silent.saturating_add(1)
        };
        if self.silent > TAIL {
            let every = (REMINDER.as_micros() / self.options.packet.as_micros()) as u32;
            return match (self.silent - TAIL - 1).is_multiple_of(every) {
                true => Ok(self.reminder()),
                false => Ok(&[]),
            };
        }
        self.convert(pcm);
        let frames = self.input.len() / channels;
        let (encoder, input, payload) = (&mut self.encoder, &self.input, &mut self.payload);
        // An encoder that panics is thrown away, so nobody sees what it left behind.
        let done = catch_unwind(AssertUnwindSafe(|| encoder.encode(input, frames, payload)));
        match done {
            Ok(Ok(len)) => Ok(self.payload.get(..len).unwrap_or_default()),
            Ok(Err(message)) => Err(Error::Codec(message)),
            Err(_) => {
                self.encoder = encoder_again(self.rate, &self.options);
                Err(Error::Codec("it panicked"))
            }
        }
    }

    /// Whether the last packet is the first after a pause: the marker of its RTP header (RFC 7587, section 4.1).
    pub fn begins(&self) -> bool {
        self.begins
    }

    /// Loudness of the last packet as the RTP header tells it (RFC 6464): 0 is full scale, 127 silence, in dB.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// A packet that says that there is a pause, for a transport that wants to be heard of now and then while nothing is encoded. One byte: how long it is, and no frames. Costs
    /// nothing and changes nothing.
    pub fn reminder(&self) -> &[u8] {
        // The encoder puts one frame into a packet, so the byte stands alone (RFC 6716, section 3.2.2).
        &self.payload[..1]
    }

    /// As new: the next packet is the first.
    pub fn reset(&mut self) {
        self.encoder = encoder_again(self.rate, &self.options);
        for converter in &mut self.converters {
            converter.reset();
        }
        self.silent = 0;
        self.fresh = true;
        self.begins = false;
    }

    /// To the codec's rate and scale.
    fn convert(&mut self, pcm: &[i16]) {
        let channels = self.options.channels as usize;
        if self.converters.is_empty() {
            for (slot, &sample) in self.input.iter_mut().zip(pcm) {
                *slot = to_f32(sample);
            }
            return;
        }
        for (channel, converter) in self.converters.iter_mut().enumerate() {
            for (slot, frame) in self.plane.iter_mut().zip(pcm.chunks_exact(channels)) {
                *slot = to_f32(frame[channel]);
            }
            converter.process(&self.plane, &mut self.converted);
            for (frame, &sample) in self.input.chunks_exact_mut(channels).zip(&self.converted) {
                frame[channel] = sample;
            }
        }
    }
}

fn encoder(rate: u32, options: &SenderOptions) -> Result<OpusEncoder, Error> {
    let application = match options.low_delay {
        true => Application::RestrictedLowDelay,
        false => Application::Voip,
    };
    let mut encoder = OpusEncoder::new(rate as i32, options.channels as usize, application)
        .map_err(|_| Error::Format {
            sample_rate: options.sample_rate,
            channels: options.channels,
        })?;
    encoder.bitrate_bps = options.bitrate.clamp(6_000, 510_000) as i32;
    encoder.complexity = options.complexity.min(10) as i32;
    Ok(encoder)
}

fn encoder_again(rate: u32, options: &SenderOptions) -> OpusEncoder {
    encoder(rate, options).expect("it was made with this format before")
}

fn to_f32(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Root mean square in dB below full scale, 127 for silence.
fn level(pcm: &[i16]) -> u8 {
    let sum: f32 = pcm.iter().map(|&sample| to_f32(sample).powi(2)).sum();
    let db = -10.0 * (sum / pcm.len().max(1) as f32).max(1e-13).log10();
    db.round().clamp(0.0, 127.0) as u8
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("options", &self.options)
            .field("silent", &self.silent)
            .finish_non_exhaustive()
    }
}
