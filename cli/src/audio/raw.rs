//! Raw little-endian PCM from standard input.

use std::io::{self, Read};

use listenkit::{Format, SampleFormat};

use super::{BLOCK, Block, Buffer, Decode, RawLayout, Source};
use crate::failure::Failure;

pub(super) fn open_stdin(layout: RawLayout) -> Source {
    let format = layout.format;
    let encoding = match format.samples {
        SampleFormat::I16 => "raw 16-bit",
        SampleFormat::F32 => "raw 32-bit float",
    };
    Source {
        name: "standard input".into(),
        format,
        encoding: encoding.into(),
        declared_len: None,
        decoder: Box::new(RawDecoder::new(io::stdin().lock(), format)),
        not_finite: 0,
    }
}

struct RawDecoder<R> {
    input: R,
    format: Format,
    bytes: Vec<u8>,
    block: Buffer,
    any: bool,
    warnings: Vec<String>,
}

impl<R: Read> RawDecoder<R> {
    fn new(input: R, format: Format) -> Self {
        Self {
            input,
            format,
            bytes: Vec::new(),
            block: Buffer::new(format.samples),
            any: false,
            warnings: Vec::new(),
        }
    }
}

impl<R: Read> Decode for RawDecoder<R> {
    fn next_block(&mut self) -> Result<Option<Block<'_>>, Failure> {
        let value = match self.format.samples {
            SampleFormat::I16 => 2,
            SampleFormat::F32 => 4,
        };
        let sample = value * usize::from(self.format.channels);
        // What arrives is passed on at once, so that a live pipe is answered live: one read, then just enough to
        // complete a sample.
        self.bytes.resize(BLOCK * sample, 0);
        let mut len = 0;
        while len == 0 || len % sample != 0 {
            let until = if len == 0 {
                self.bytes.len()
            } else {
                len.next_multiple_of(sample)
            };
            match self.input.read(&mut self.bytes[len..until]) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure::input(format!(
                        "standard input cannot be read: {error}"
                    )));
                }
            }
        }
        let whole = len / sample * sample;
        if whole != len {
            self.warnings.push(format!(
                "the input ends inside a sample; the last {} byte(s) were left out (are --format and --channels right?)",
                len - whole
            ));
        }
        if whole == 0 {
            if !self.any {
                return Err(Failure::input(
                    "standard input holds no audio; pipe raw little-endian PCM into this command",
                ));
            }
            return Ok(None);
        }
        self.any = true;
        let bytes = &self.bytes[..whole];
        match &mut self.block {
            Buffer::I16(values) => {
                values.clear();
                values.extend(
                    bytes
                        .as_chunks::<2>()
                        .0
                        .iter()
                        .map(|&b| i16::from_le_bytes(b)),
                );
            }
            Buffer::F32(values) => {
                values.clear();
                values.extend(
                    bytes
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .map(|&b| f32::from_le_bytes(b)),
                );
            }
        }
        Ok(Some(Block {
            format: self.format,
            samples: self.block.samples(),
        }))
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of `step`, as a pipe may.
    struct Dribble<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Dribble<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(to.len()).min(self.bytes.len());
            to[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes = &self.bytes[count..];
            Ok(count)
        }
    }

    #[test]
    fn samples_split_by_the_pipe_are_put_together() {
        let bytes: Vec<u8> = (0..6_i16)
            .flat_map(|v| (v * 1000 - 3000).to_le_bytes())
            .collect();
        let format = Format::new(16_000, 2, SampleFormat::I16).expect("valid");
        for step in 1..=bytes.len() {
            let mut decoder = RawDecoder::new(
                Dribble {
                    bytes: &bytes,
                    step,
                },
                format,
            );
            let mut all = Buffer::new(SampleFormat::I16);
            while let Some(block) = decoder.next_block().expect("readable") {
                all.extend(block.samples);
            }
            assert_eq!(all, Buffer::I16(vec![-3000, -2000, -1000, 0, 1000, 2000]));
            assert!(decoder.take_warnings().is_empty());
        }
    }

    #[test]
    fn a_cut_last_sample_is_left_out_with_a_warning() {
        let format = Format::new(16_000, 1, SampleFormat::F32).expect("valid");
        let mut bytes = 0.5_f32.to_le_bytes().to_vec();
        bytes.extend([1, 2, 3]);
        let mut decoder = RawDecoder::new(
            Dribble {
                bytes: &bytes,
                step: 64,
            },
            format,
        );
        let mut all = Buffer::new(SampleFormat::F32);
        while let Some(block) = decoder.next_block().expect("readable") {
            all.extend(block.samples);
        }
        assert_eq!(all, Buffer::F32(vec![0.5]));
        assert_eq!(decoder.take_warnings().len(), 1);
    }

    #[test]
    fn empty_input_is_an_error() {
        let format = Format::new(16_000, 1, SampleFormat::I16).expect("valid");
        let mut decoder = RawDecoder::new(
            Dribble {
                bytes: &[],
                step: 1,
            },
            format,
        );
        assert!(decoder.next_block().is_err());
    }
}
