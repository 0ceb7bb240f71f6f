//! WAV files, also those whose header is wrong.
//!
//! `hound` judges the header. It takes it at its word, though, and real files lie: recorders that were killed leave
//! a length of 0, pipes write 0xFFFFFFFF, copies stop half way. So the header is walked here first and handed to
//! `hound` with the lengths that are true. The samples are read in blocks here: `hound` reads them one by one, which
//! took as long as listening to them.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Take};
use std::path::Path;

use hound::{SampleFormat as WavFormat, WavReader};
use listenkit::{Format, SampleFormat};

use super::pcm::Coding;
use super::{BLOCK, Block, Buffer, Decode, Source, checked_format, seconds};
use crate::failure::Failure;

/// Most bytes that are searched for the `data` chunk: metadata (cover art, cue lists) may lie before it.
const MAX_HEADER: u64 = 64 << 20;
/// `WAVE_FORMAT_PCM`, `WAVE_FORMAT_IEEE_FLOAT`, `WAVE_FORMAT_EXTENSIBLE` of mmreg.h.
const TAG_PCM: u16 = 1;
const TAG_FLOAT: u16 = 3;
const TAG_EXTENSIBLE: u16 = 0xFFFE;

/// Whether a file that begins with `magic` is WAV.
pub fn is_wav(magic: &[u8]) -> bool {
    magic.len() >= 12 && &magic[..4] == b"RIFF" && &magic[8..12] == b"WAVE"
}

pub(super) enum Opened {
    /// PCM, ready to be read.
    Plain(Source),
    /// WAV with another codec inside.
    Other,
}

pub(super) fn open(path: &Path) -> Result<Opened, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::opening(path, &error))?;
    match WavFile::new(BufReader::new(file)) {
        Ok(wav) => {
            let format = checked_format(&name, wav.hz, wav.channels, wav.sample_format())?;
            let declared_len = Some(wav.available);
            let encoding = wav.encoding();
            let decoder = Box::new(WavDecoder { wav, format });
            Ok(Opened::Plain(Source {
                name,
                format,
                encoding: encoding.into(),
                declared_len,
                decoder,
                not_finite: 0,
            }))
        }
        Err(WavError::OtherCodec(_)) => Ok(Opened::Other),
        Err(error) => Err(Failure::input(format!("{name}: {error}"))),
    }
}

/// What is wrong with a WAV file.
#[derive(Debug)]
pub enum WavError {
    /// The bytes are not WAV at all.
    NotWav,
    /// The header stops before the samples begin.
    NoData,
    /// The `fmt` chunk is missing, cut off, or makes no sense.
    BadFormat(&'static str),
    /// Not PCM: the format tag.
    OtherCodec(u16),
    /// The file could not be read.
    Io(io::Error),
}

impl std::fmt::Display for WavError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotWav => f.write_str("not a WAV file"),
            Self::NoData => f.write_str(
                "the WAV header ends before any audio; the file was cut off, copy or record it again",
            ),
            Self::BadFormat(what) => write!(
                f,
                "the WAV header is damaged ({what}); convert or record the file again"
            ),
            Self::OtherCodec(tag) => write!(f, "WAV with codec {tag:#06x} inside"),
            Self::Io(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

/// A WAV stream with a mended header.
pub struct WavFile<R: Read> {
    /// The whole samples that should follow.
    input: Take<R>,
    bytes: Vec<u8>,
    coding: Coding,
    hz: u32,
    channels: usize,
    /// Samples that should follow, after mending.
    available: u64,
    read: u64,
    block: Buffer,
    ended: bool,
    warnings: Vec<String>,
}

impl<R: Read + Seek> WavFile<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`WavError`] if there is nothing to read.
    pub fn new(mut input: R) -> Result<Self, WavError> {
        let end = input.seek(SeekFrom::End(0)).map_err(WavError::Io)?;
        input.rewind().map_err(WavError::Io)?;
        let mut magic = [0; 12];
        input.read_exact(&mut magic).map_err(|_| WavError::NotWav)?;
        if !is_wav(&magic) {
            return Err(WavError::NotWav);
        }

        let mut fmt = None;
        let (data_at, declared) = loop {
            let mut head = [0; 8];
            if input.read_exact(&mut head).is_err() {
                return Err(WavError::NoData);
            }
            let at = input.stream_position().map_err(WavError::Io)?;
            let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            match &head[..4] {
                b"data" => break (at, len),
                b"fmt " => fmt = Some(FmtChunk::read(&mut input, len)?),
                _ => {}
            }
            // Chunks are padded to an even length.
            let next = at + u64::from(len) + u64::from(len & 1);
            if next >= end.min(MAX_HEADER) {
                return Err(WavError::NoData);
            }
            input.seek(SeekFrom::Start(next)).map_err(WavError::Io)?;
        };
        let fmt = fmt.ok_or(WavError::BadFormat("no fmt chunk before the audio"))?;
        let present = end.saturating_sub(data_at);
        let mut warnings = Vec::new();
        let behind = present.saturating_sub(u64::from(declared) + u64::from(declared & 1));
        if declared > 0 && behind > 0 {
            input
                .seek(SeekFrom::Start(end - behind))
                .map_err(WavError::Io)?;
            if !starts_chunk(&mut input, behind) {
                warnings.push(format!(
                    "{behind} bytes follow the audio that the WAV header names; they were left out"
                ));
            }
            input.seek(SeekFrom::Start(data_at)).map_err(WavError::Io)?;
        }
        Self::with_data(input, &fmt, present, declared, warnings)
    }

    fn with_data(
        input: R,
        fmt: &FmtChunk,
        present: u64,
        declared: u32,
        mut warnings: Vec<String>,
    ) -> Result<Self, WavError> {
        let align = u64::from(fmt.block_align);
        let promised = u64::from(declared);
        // A length of 0 or of all ones was never filled in: the writer was a pipe, or was killed.
        let unfinished = declared == 0 || declared == u32::MAX;
        let bytes = if unfinished {
            present
        } else {
            promised.min(present)
        };
        // `hound` counts in 32 bits.
        let bytes = bytes.min(u64::from(u32::MAX));
        let whole = bytes / align * align;
        let available = whole / align;
        let hz = fmt.hz.max(1);
        if whole == 0 {
            warnings.push("the WAV file holds no audio, only a header; record it again".into());
        } else if unfinished {
            warnings.push(format!(
                "the WAV header gives no length (it was never finished); read the {} that follow it",
                seconds(available, hz)
            ));
        } else if promised > present {
            warnings.push(format!(
                "the WAV header promises {}, but the file ends after {}; read what is there",
                seconds(promised / align, hz),
                seconds(available, hz)
            ));
        } else if whole != bytes {
            warnings.push(format!(
                "the audio ends inside a sample; the last {} byte(s) were left out",
                bytes - whole
            ));
        }
        if fmt.repaired {
            warnings.push("the WAV header contradicts itself (bytes per second); read by its rate, channels and bits".into());
        }
        let whole32 = u32::try_from(whole).unwrap_or(u32::MAX);
        let header = fmt.header(whole32);
        let mended = Cursor::new(header).chain(input.take(whole));
        let reader = WavReader::new(mended).map_err(|error| match error {
            hound::Error::Unsupported => WavError::OtherCodec(fmt.tag),
            hound::Error::FormatError(what) => WavError::BadFormat(what),
            hound::Error::IoError(error) => WavError::Io(error),
            _ => WavError::BadFormat("this kind of sample is not known"),
        })?;
        let spec = reader.spec();
        let value_bytes = fmt.block_align / fmt.channels;
        let coding = match (spec.sample_format, value_bytes, spec.bits_per_sample) {
            (WavFormat::Int, 1, 8) => Coding::U8,
            (WavFormat::Int, 2, 16) => Coding::I16,
            (WavFormat::Int, 3, 24) => Coding::I24,
            (WavFormat::Int, 4, 24) => Coding::I24In32,
            (WavFormat::Int, 4, 32) => Coding::I32,
            (WavFormat::Float, 4, 32) => Coding::F32,
            _ => {
                return Err(WavError::BadFormat(
                    "samples are neither 8, 16, 24 or 32-bit integers nor 32-bit floats",
                ));
            }
        };
        // `hound` has read the header and nothing more.
        let (_, input) = reader.into_inner().into_inner();
        Ok(Self {
            hz: spec.sample_rate,
            channels: usize::from(spec.channels),
            available,
            read: 0,
            block: Buffer::new(coding.sample_format()),
            ended: false,
            warnings,
            input,
            bytes: Vec::new(),
            coding,
        })
    }

    /// 16-bit integers stay; all else is read as floats.
    pub fn sample_format(&self) -> SampleFormat {
        self.coding.sample_format()
    }

    fn encoding(&self) -> &'static str {
        match self.coding {
            Coding::U8 => "8-bit",
            Coding::I16 => "16-bit",
            Coding::I24 | Coding::I24In32 => "24-bit",
            Coding::I32 => "32-bit",
            Coding::F32 => "32-bit float",
        }
    }

    /// Reads the next block of whole samples; an empty one at the end.
    pub fn next_values(&mut self) -> &Buffer {
        let sample = self.channels * self.coding.bytes();
        let left = usize::try_from(self.available - self.read).unwrap_or(usize::MAX);
        let wanted = if self.ended {
            0
        } else {
            left.min(BLOCK) * sample
        };
        self.bytes.clear();
        // What was read before an error is kept.
        let result = (&mut self.input)
            .take(wanted as u64)
            .read_to_end(&mut self.bytes)
            .and_then(|len| {
                if len < wanted {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the file became shorter while it was read",
                    ));
                }
                Ok(())
            });
        let whole = self.bytes.len() / sample;
        self.coding
            .decode(&self.bytes[..whole * sample], &mut self.block);
        self.read += whole as u64;
        if let Err(error) = result {
            self.ended = true;
            self.warnings.push(format!(
                "reading stopped after {} of {} ({error}); went on with what was read",
                seconds(self.read, self.hz.max(1)),
                seconds(self.available, self.hz.max(1)),
            ));
        }
        &self.block
    }
}

/// Whether a chunk begins here: a name in printable ASCII, and a length that fits into the `left` bytes.
fn starts_chunk(input: &mut impl Read, left: u64) -> bool {
    let mut head = [0; 8];
    // A few bytes of padding are nobody's audio.
    if left < 8 || input.read_exact(&mut head).is_err() {
        return left < 8;
    }
    let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    head[..4].iter().all(|b| (b' '..=b'~').contains(b)) && u64::from(len) + 8 <= left
}

struct WavDecoder {
    wav: WavFile<BufReader<File>>,
    format: Format,
}

impl Decode for WavDecoder {
    fn next_block(&mut self) -> Result<Option<Block<'_>>, Failure> {
        let format = self.format;
        let samples = self.wav.next_values().samples();
        Ok((!samples.is_empty()).then_some(Block { format, samples }))
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wav.warnings)
    }
}

/// The `fmt` chunk: `WAVEFORMATEX` of mmreg.h.
struct FmtChunk {
    tag: u16,
    channels: u16,
    hz: u32,
    block_align: u16,
    bits: u16,
    /// `WAVEFORMATEXTENSIBLE` behind it: valid bits, channel mask, sub-format.
    extension: Option<[u8; 22]>,
    repaired: bool,
}

impl FmtChunk {
    fn read(input: &mut impl Read, len: u32) -> Result<Self, WavError> {
        if len < 16 {
            return Err(WavError::BadFormat("the fmt chunk is too short"));
        }
        let mut bytes = [0; 40];
        let wanted = usize::try_from(len).unwrap_or(40).min(40);
        input
            .read_exact(&mut bytes[..wanted])
            .map_err(|_| WavError::NoData)?;
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (tag, channels, hz) = (u16_at(0), u16_at(2), u32_at(4));
        let (byte_rate, mut block_align, bits) = (u32_at(8), u16_at(12), u16_at(14));
        if !matches!(tag, TAG_PCM | TAG_FLOAT | TAG_EXTENSIBLE) {
            return Err(WavError::OtherCodec(tag));
        }
        if tag == TAG_EXTENSIBLE && wanted < 40 {
            return Err(WavError::BadFormat("the fmt chunk is too short"));
        }
        // `hound` has no 64-bit floats; the other reader has.
        if bits == 64 {
            return Err(WavError::OtherCodec(tag));
        }
        if channels == 0 {
            return Err(WavError::BadFormat("0 channels"));
        }
        if hz == 0 {
            return Err(WavError::BadFormat("a rate of 0 Hz"));
        }
        if bits == 0 || bits > 32 || bits % 8 != 0 {
            return Err(WavError::BadFormat(
                "samples are neither 8, 16, 24 or 32-bit integers nor 32-bit floats",
            ));
        }
        let natural = u32::from(channels) * u32::from(bits / 8);
        // 24 bits may lie in 4 bytes; any other disagreement is a mistake of the writer.
        let padded = bits == 24 && u32::from(block_align) == u32::from(channels) * 4;
        let mut repaired = false;
        if u32::from(block_align) != natural && !padded {
            block_align =
                u16::try_from(natural).map_err(|_| WavError::BadFormat("too many channels"))?;
            repaired = true;
        }
        repaired |= hz.checked_mul(u32::from(block_align)) != Some(byte_rate);
        let extension = (tag == TAG_EXTENSIBLE).then(|| {
            let mut rest = [0; 22];
            rest.copy_from_slice(&bytes[18..40]);
            rest
        });
        Ok(Self {
            tag,
            channels,
            hz,
            block_align,
            bits,
            extension,
            repaired,
        })
    }

    /// A whole WAV header that says the truth, for `data_len` bytes of audio.
    fn header(&self, data_len: u32) -> Vec<u8> {
        let fmt_len: u32 = if self.extension.is_some() { 40 } else { 16 };
        let mut out = Vec::with_capacity(68);
        out.extend_from_slice(b"RIFF");
        out.extend_from_slice(&data_len.saturating_add(20 + fmt_len).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt ");
        out.extend_from_slice(&fmt_len.to_le_bytes());
        out.extend_from_slice(&self.tag.to_le_bytes());
        out.extend_from_slice(&self.channels.to_le_bytes());
        out.extend_from_slice(&self.hz.to_le_bytes());
        let byte_rate = self.hz.wrapping_mul(u32::from(self.block_align));
        out.extend_from_slice(&byte_rate.to_le_bytes());
        out.extend_from_slice(&self.block_align.to_le_bytes());
        out.extend_from_slice(&self.bits.to_le_bytes());
        if let Some(rest) = &self.extension {
            out.extend_from_slice(&22_u16.to_le_bytes());
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(b"data");
        out.extend_from_slice(&data_len.to_le_bytes());
        out
    }
}

/// Reads any bytes as WAV to the end, as a fuzz target does; returns the whole samples that were read.
///
/// Whatever the bytes, it neither panics nor reads more than they hold.
pub fn read_any(bytes: &[u8]) -> u64 {
    let Ok(mut wav) = WavFile::new(Cursor::new(bytes)) else {
        return 0;
    };
    let width = wav.channels.max(1);
    let mut total = 0;
    loop {
        let len = wav.next_values().len();
        if len == 0 {
            break;
        }
        assert_eq!(len % width, 0, "blocks hold whole samples");
        total += (len / width) as u64;
    }
    assert!(
        total * width as u64 <= bytes.len() as u64,
        "a value takes at least one byte"
    );
    total
}
