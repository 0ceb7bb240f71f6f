//! FLAC, MP3, OGG, M4A and the codecs that WAV may hold, through `symphonia`.

use std::fs::File;
use std::path::Path;

use listenkit::{Format, SampleFormat};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::{Block, Buffer, Decode, Source, checked_format, seconds};
use crate::failure::Failure;

/// Errors of one packet in a row before the rest of the file is given up: a damaged stretch is skipped, but
/// a file that is not audio is not searched to its end.
const MAX_BAD_PACKETS: u32 = 1000;

const KNOWN: &str = "use WAV, FLAC, MP3, OGG Vorbis or M4A (AAC), or convert it with ffmpeg";

pub(super) fn open(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::opening(path, &error))?;
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    let container = symphonia::default::get_probe()
        .probe(
            &hint,
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(|error| match error {
            Error::Unsupported(_) | Error::IoError(_) => Failure::input(format!(
                "{name}: not audio in a known format, or cut off before the audio; {KNOWN}"
            )),
            other => Failure::input(format!(
                "{name}: damaged, cannot be opened ({other}); {KNOWN}"
            )),
        })?;
    let mut decoder = PacketDecoder::new(&name, container)?;
    // The true format is known only once something was decoded.
    if !decoder.advance()? {
        return Err(Failure::input(format!(
            "{name}: holds no audio that can be decoded; {KNOWN}"
        )));
    }
    decoder.pending = true;
    Ok(Source {
        name,
        format: decoder.format,
        encoding: decoder.encoding.clone(),
        declared_len: decoder.promised,
        decoder: Box::new(decoder),
        not_finite: 0,
    })
}

struct PacketDecoder {
    name: String,
    container: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    encoding: String,
    /// 16-bit integers come out of it as they went in.
    exact_i16: bool,
    format: Format,
    block: Buffer,
    /// `block` was decoded but not handed out yet.
    pending: bool,
    /// Samples the file says it has.
    promised: Option<u64>,
    read: u64,
    bad_packets: u32,
    warnings: Vec<String>,
    ended: bool,
}

impl PacketDecoder {
    fn new(name: &str, container: Box<dyn FormatReader>) -> Result<Self, Failure> {
        let track = container
            .default_track(TrackType::Audio)
            .ok_or_else(|| Failure::input(format!("{name}: holds no audio track; {KNOWN}")))?;
        let (decoder, exact_i16, encoding) = make_decoder(name, track)?;
        let (track_id, promised) = (track.id, track.num_frames);
        Ok(Self {
            name: name.into(),
            decoder,
            track_id,
            encoding,
            exact_i16,
            // Replaced by the first block.
            format: checked_format(name, 16_000, 1, SampleFormat::F32)?,
            block: Buffer::new(SampleFormat::F32),
            pending: false,
            promised,
            read: 0,
            bad_packets: 0,
            warnings: Vec::new(),
            ended: false,
            container,
        })
    }

    /// Decodes until there is a block; false at the end.
    fn advance(&mut self) -> Result<bool, Failure> {
        let mut bad_in_a_row = 0;
        while !self.ended && bad_in_a_row < MAX_BAD_PACKETS {
            let packet = match self.container.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(Error::ResetRequired) => {
                    // Another stream follows in the same file: chained OGG.
                    let track =
                        self.container
                            .default_track(TrackType::Audio)
                            .ok_or_else(|| {
                                Failure::input(format!(
                                    "{}: the audio track ends midway",
                                    self.name
                                ))
                            })?;
                    self.track_id = track.id;
                    (self.decoder, self.exact_i16, _) = make_decoder(&self.name, track)?;
                    self.promised = None;
                    continue;
                }
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.warn_cut("ends in the middle of a packet");
                    break;
                }
                Err(error) => {
                    self.warn_cut(&format!("cannot be read on ({error})"));
                    break;
                }
            };
            if packet.track_id != self.track_id {
                continue;
            }
            match self.decoder.decode(&packet) {
                Ok(decoded) if decoded.frames() == 0 => {}
                Ok(decoded) => {
                    let as_i16 = self.exact_i16 || matches!(decoded, GenericAudioBufferRef::S16(_));
                    let kind = if as_i16 {
                        SampleFormat::I16
                    } else {
                        SampleFormat::F32
                    };
                    let (hz, width) = (decoded.spec().rate(), decoded.spec().channels().count());
                    if self.block.samples().format() != kind {
                        self.block = Buffer::new(kind);
                    }
                    match &mut self.block {
                        Buffer::I16(values) => decoded.copy_to_vec_interleaved(values),
                        Buffer::F32(values) => decoded.copy_to_vec_interleaved(values),
                    }
                    self.read += decoded.frames() as u64;
                    self.format = checked_format(&self.name, hz, width, kind)?;
                    return Ok(true);
                }
                Err(Error::DecodeError(_) | Error::IoError(_)) => {
                    self.bad_packets += 1;
                    bad_in_a_row += 1;
                }
                Err(error) => {
                    self.warn_cut(&format!("cannot be decoded on ({error})"));
                    break;
                }
            }
        }
        self.finish();
        Ok(false)
    }

    fn warn_cut(&mut self, what: &str) {
        let read = seconds(self.read, self.format.rate.hz());
        self.warnings
            .push(format!("the file {what}; read the {read} before that"));
        // One warning about the end is enough.
        self.promised = None;
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let hz = self.format.rate.hz();
        if self.bad_packets > 0 {
            self.warnings.push(format!(
                "{} damaged packets were left out; times after them may be early",
                self.bad_packets
            ));
        }
        // Lossy formats may be a few packets off by design; a tenth of a second is beyond that.
        let slack = u64::from(hz) / 10;
        if let Some(promised) = self.promised
            && self.read + slack < promised
        {
            self.warnings.push(format!(
                "the header promises {}, but the file ends after {}; read what is there",
                seconds(promised, hz),
                seconds(self.read, hz)
            ));
        }
    }
}

impl Decode for PacketDecoder {
    fn next_block(&mut self) -> Result<Option<Block<'_>>, Failure> {
        if !std::mem::take(&mut self.pending) && !self.advance()? {
            return Ok(None);
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

fn make_decoder(
    name: &str,
    track: &Track,
) -> Result<(Box<dyn AudioDecoder>, bool, String), Failure> {
    let params = track
        .codec_params
        .as_ref()
        .and_then(|params| params.audio())
        .ok_or_else(|| Failure::input(format!("{name}: its codec is not known; {KNOWN}")))?;
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|_| Failure::input(format!("{name}: its codec is not supported; {KNOWN}")))?;
    let exact_i16 = params.codec == CODEC_ID_FLAC && params.bits_per_sample == Some(16);
    let encoding = decoder.codec_info().short_name.to_uppercase();
    Ok((decoder, exact_i16, encoding))
}
