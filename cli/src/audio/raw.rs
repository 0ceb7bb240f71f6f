//! Raw little-endian PCM from standard input.

use std::io::{self, Chain, Cursor, Read};

use listenkit::{Format, SampleFormat};

use super::pcm::Coding;
use super::{BLOCK, Block, Buffer, Decode, RawLayout, Source};
use crate::failure::Failure;

/// Opens standard input, once its first bytes have arrived.
pub(super) fn open_stdin(layout: RawLayout) -> Result<Source, Failure> {
    let format = layout.format;
    let encoding = match format.samples {
        SampleFormat::I16 => "raw 16-bit",
        SampleFormat::F32 => "raw 32-bit float",
    };
    Ok(Source {
        name: "standard input".into(),
        format,
        encoding: encoding.into(),
        declared_len: None,
        decoder: Box::new(RawDecoder::new(io::stdin().lock(), format)?),
        not_finite: 0,
    })
}

/// The kind of file that begins with `head`, if it is one that people pipe by mistake.
fn container(head: &[u8]) -> Option<&'static str> {
    let kind = |at: usize, name: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(name));
    let form = |outer: &[u8], inner: &[u8]| kind(0, outer) && kind(8, inner);
    // Four letters or more: three would be met by chance in quiet PCM sooner or later.
    [
        (form(b"RIFF", b"WAVE") || form(b"RF64", b"WAVE"), "a WAV"),
        (form(b"FORM", b"AIF"), "an AIFF"),
        (kind(0, b"fLaC"), "a FLAC"),
        (kind(0, b"OggS"), "an OGG"),
        (kind(4, b"ftyp"), "an M4A"),
        // The tag's major version follows: 2, 3 or 4.
        (
            kind(0, b"ID3") && matches!(head.get(3), Some(2..=4)),
            "an MP3",
        ),
    ]
    .into_iter()
    .find_map(|(is, name)| is.then_some(name))
}

/// Enough to recognise every container of [`container`].
const HEAD: usize = 12;

struct RawDecoder<R> {
    /// The bytes that were looked at, then the rest.
    input: Chain<Cursor<Vec<u8>>, R>,
    format: Format,
    bytes: Vec<u8>,
    block: Buffer,
    warnings: Vec<String>,
}

impl<R: Read> RawDecoder<R> {
    fn new(mut input: R, format: Format) -> Result<Self, Failure> {
        let sample = sample_bytes(format);
        let mut head = Vec::new();
        (&mut input)
            .take(HEAD.max(sample) as u64)
            .read_to_end(&mut head)
            .map_err(|error| unreadable(&error))?;
        if let Some(kind) = container(&head) {
            let raw = match format.samples {
                SampleFormat::I16 => "s16le",
                SampleFormat::F32 => "f32le",
            };
            return Err(Failure::input(format!(
                "standard input is {kind} file, not raw PCM; give the file's name, or pipe it through `ffmpeg -i - -f {raw} -`"
            )));
        }
        if head.len() < sample {
            return Err(Failure::input(
                "standard input holds no audio; pipe raw little-endian PCM into this command",
            ));
        }
        Ok(Self {
            input: Cursor::new(head).chain(input),
            format,
            bytes: Vec::new(),
            block: Buffer::new(format.samples),
            warnings: Vec::new(),
        })
    }
}

fn coding(format: Format) -> Coding {
    match format.samples {
        SampleFormat::I16 => Coding::I16,
        SampleFormat::F32 => Coding::F32,
    }
}

/// Bytes of one sample of all channels.
fn sample_bytes(format: Format) -> usize {
    coding(format).bytes() * usize::from(format.channels)
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::input(format!("standard input cannot be read: {error}"))
}

impl<R: Read> Decode for RawDecoder<R> {
    fn next_block(&mut self) -> Result<Option<Block<'_>>, Failure> {
        let sample = sample_bytes(self.format);
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
                Err(error) => return Err(unreadable(&error)),
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
            return Ok(None);
        }
        coding(self.format).decode(&self.bytes[..whole], &mut self.block);
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
            )
            .expect("audio");
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
        )
        .expect("audio");
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
        for bytes in [&[][..], &[7]] {
            assert!(RawDecoder::new(Dribble { bytes, step: 1 }, format).is_err());
        }
    }

    #[test]
    fn files_are_not_mistaken_for_pcm_nor_pcm_for_files() {
        let format = Format::new(16_000, 1, SampleFormat::I16).expect("valid");
        let open = |bytes: &[u8], step| RawDecoder::new(Dribble { bytes, step }, format).err();
        let files: [(&[u8], &str); 6] = [
            (b"RIFF\x24\0\0\0WAVEfmt ", "WAV"),
            (b"fLaC\0\0\0\x22\x10\0", "FLAC"),
            (b"OggS\0\x02", "OGG"),
            (b"ID3\x04\0\0\0\0\0\x23TSSE", "MP3"),
            (b"\0\0\0\x1cftypM4A \0\0", "M4A"),
            (b"FORM\0\0\x10\0AIFCFVER", "AIFF"),
        ];
        for (bytes, name) in files {
            for step in [1, 64] {
                let message = open(bytes, step).expect(name).to_string();
                assert!(
                    message.contains(name) && message.contains("s16le"),
                    "{message}"
                );
            }
        }
        // Letters that a file has elsewhere are sound here.
        for bytes in [
            &b"RIFF\0\0\0\0AVI LIST"[..],
            b"WAVERIFF\0\0\0\0",
            b"ID3\xff\0\0",
        ] {
            assert!(open(bytes, 64).is_none());
        }
    }
}
