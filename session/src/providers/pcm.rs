//! Bytes of a stream to frames: raw 16-bit PCM, or a WAV file whose length nobody knows yet.

use crate::AudioFrame;

/// Longest header that is read before the samples: some writers put a comment first.
const HEADER_LIMIT: usize = 64 * 1024;

/// Takes bytes in any split and gives frames.
#[derive(Debug)]
pub(crate) struct PcmReader {
    bytes: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Of the rate if it is no WAV, `None` if it must be one.
    Start(Option<u32>),
    Samples {
        rate: u32,
        channels: u32,
        /// Bytes to come; a stream says too many.
        left: u64,
    },
}

impl PcmReader {
    /// Raw mono PCM at this rate, or a WAV if it begins like one.
    pub(crate) const fn raw(rate: u32) -> Self {
        Self {
            bytes: Vec::new(),
            state: State::Start(Some(rate)),
        }
    }

    /// A WAV.
    pub(crate) const fn wav() -> Self {
        Self {
            bytes: Vec::new(),
            state: State::Start(None),
        }
    }

    /// Adds bytes; gives what whole samples there are.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<AudioFrame>, String> {
        self.bytes.extend_from_slice(bytes);
        if let State::Start(rate) = self.state
            && !self.start(rate)?
        {
            return Ok(None);
        }
        let State::Samples {
            rate,
            channels,
            left,
        } = &mut self.state
        else {
            return Ok(None);
        };
        let (rate, channels) = (*rate, *channels);
        let block = 2 * channels as usize;
        let usable = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let len = usable / block * block;
        *left -= len as u64;
        let (pairs, _) = self.bytes[..len].as_chunks::<2>();
        let samples: Vec<i16> = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        self.bytes.drain(..len);
        if samples.is_empty() {
            return Ok(None);
        }
        AudioFrame::new(samples, rate, channels)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    /// Reads the header. `false`: it is not complete.
    fn start(&mut self, raw: Option<u32>) -> Result<bool, String> {
        let magic = &self.bytes[..self.bytes.len().min(4)];
        if !b"RIFF".starts_with(magic) {
            let Some(rate) = raw else {
                return Err("it is no WAV: it does not begin with RIFF".into());
            };
            self.state = State::Samples {
                rate,
                channels: 1,
                left: u64::MAX,
            };
            return Ok(true);
        }
        if self.bytes.len() < 12 {
            return Ok(false);
        }
        if &self.bytes[8..12] != b"WAVE" {
            return Err("it is no WAV: RIFF of another kind".into());
        }
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| self.bytes[at + n]));
        let half = |at: usize| u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
        let mut at = 12;
        let mut format = None;
        while self.bytes.len() >= at + 8 {
            let len = word(at + 4) as usize;
            let body = at + 8;
            if &self.bytes[at..at + 4] == b"data" {
                let Some((rate, channels)) = format else {
                    return Err("the WAV has no format before its samples".into());
                };
                // 0 and the largest values stand for "until the end".
                let left = match len {
                    0 => u64::MAX,
                    len if len >= 0x7fff_f000 => u64::MAX,
                    len => len as u64,
                };
                self.bytes.drain(..body);
                self.state = State::Samples {
                    rate,
                    channels,
                    left,
                };
                return Ok(true);
            }
            if &self.bytes[at..at + 4] == b"fmt " && len >= 16 {
                if self.bytes.len() < body + 16 {
                    return Ok(false);
                }
                let (tag, bits) = (half(body), half(body + 14));
                if !matches!(tag, 1 | 0xfffe) || bits != 16 {
                    return Err(format!(
                        "the WAV has format {tag} with {bits} bits: ask for 16-bit PCM"
                    ));
                }
                let channels = u32::from(half(body + 2));
                if channels == 0 {
                    return Err("the WAV has no channels".into());
                }
                format = Some((word(body + 4), channels));
            }
            at = body + len + len % 2;
            if at > HEADER_LIMIT {
                return Err("the WAV has no samples in its first 64 KiB".into());
            }
        }
        Ok(false)
    }
}

/// A mono or interleaved clip as a WAV file of 16-bit PCM.
pub(crate) fn wav(samples: &[i16], rate: u32, channels: u32) -> Vec<u8> {
    let len = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - 36);
    let mut out = Vec::with_capacity(44 + samples.len() * 2);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(len + 36).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&(channels as u16).to_le_bytes());
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&(rate * channels * 2).to_le_bytes());
    out.extend_from_slice(&((channels * 2) as u16).to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut reader: PcmReader, bytes: &[u8], split: usize) -> Result<Vec<i16>, String> {
        let mut samples = Vec::new();
        for part in bytes.chunks(split) {
            if let Some(frame) = reader.push(part)? {
                samples.extend_from_slice(frame.samples());
            }
        }
        Ok(samples)
    }

    #[test]
    fn any_split_gives_the_same_samples() {
        let samples: Vec<i16> = (-500..500).map(|n| n * 31).collect();
        let file = wav(&samples, 22_050, 1);
        let raw: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        for split in [1, 2, 3, 7, 44, 45, 4_096] {
            assert_eq!(read(PcmReader::wav(), &file, split).unwrap(), samples);
            assert_eq!(read(PcmReader::raw(24_000), &file, split).unwrap(), samples);
            assert_eq!(read(PcmReader::raw(24_000), &raw, split).unwrap(), samples);
        }
    }

    #[test]
    fn a_wav_is_what_another_reader_reads() {
        let file = wav(&[1, -2, 3, -4], 16_000, 2);
        let mut reader = hound::WavReader::new(file.as_slice()).unwrap();
        let spec = reader.spec();
        assert_eq!(
            (spec.sample_rate, spec.channels, spec.bits_per_sample),
            (16_000, 2, 16)
        );
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, -2, 3, -4]);
    }

    #[test]
    fn lengths_of_streams_and_chunks_behind_the_samples_are_understood() {
        let mut file = wav(&[1, 2, 3], 16_000, 1);
        file.extend_from_slice(b"LIST\x02\0\0\0ab");
        assert_eq!(read(PcmReader::wav(), &file, 5).unwrap(), [1, 2, 3]);
        for len in [0, 0x7fff_f000, u32::MAX] {
            let mut file = wav(&[1, 2, 3], 16_000, 1);
            file[40..44].copy_from_slice(&u32::to_le_bytes(len));
            assert_eq!(read(PcmReader::wav(), &file, 64).unwrap(), [1, 2, 3]);
        }
    }

    #[test]
    fn what_is_no_wav_of_16_bit_is_refused() {
        assert!(read(PcmReader::wav(), b"{\"error\": 1}", 3).is_err());
        assert!(read(PcmReader::wav(), b"RIFFxxxxAVI LIST", 3).is_err());
        let mut float = wav(&[1, 2], 16_000, 1);
        float[20] = 3;
        assert!(
            read(PcmReader::wav(), &float, 64)
                .unwrap_err()
                .contains("format 3")
        );
        assert!(PcmReader::wav().push(&[b'R'; 0]).unwrap().is_none());
        let mut silent = wav(&[1, 2], 16_000, 1);
        silent[22] = 0;
        assert!(read(PcmReader::wav(), &silent, 64).is_err());
    }
}
