//! `listenkit segment`: one WAV per speech segment.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use listenkit::KernelLevel;
use listenkit::{Audio, Detector, Event, SampleRate, Segment};

use super::timeline::counted;
use super::{RawArgs, load_vad, warn};
use crate::audio::Source;
use crate::audio::write::WavOut;
use crate::config::ConfigArgs;
use crate::failure::Failure;
use crate::json::{self, Line};
use crate::listen::{Listener, Pace, listen};

/// The list of segments in the output folder.
const LIST: &str = "segments.jsonl";

/// Cut the speech out: one WAV per segment
///
/// Each speech segment, with the padding around it, becomes a WAV file at the recording's own rate and channels;
/// segments.jsonl says where each one lies. Speech longer than max_segment_duration is split at a pause: `continues`
/// is then true for all parts but the last.
///
/// Example: listenkit segment call.wav --out segments --set tail_padding_duration=100ms
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Recording, or `-` for raw PCM on standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder for the segments; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write into a folder that already holds segments
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    raw: RawArgs,
}

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    let config = args.config.read()?;
    let mut source = Source::open(&args.file, args.raw.layout())?;
    warn(&mut source);
    let format = source.format();
    let vad = load_vad(config.model_rate(format), kernel)?;
    let settings = config.detector(format, false).segment_audio(true);
    let mut detector = Detector::new(settings, &vad).map_err(|error| config.failure(&error))?;

    fs::create_dir_all(&args.out).map_err(|error| Failure::writing(&args.out, &error))?;
    let list_path = args.out.join(LIST);
    if list_path.exists() && !args.overwrite {
        return Err(Failure::usage(format!(
            "{}: already holds segments; choose another folder or pass --overwrite",
            args.out.display()
        )));
    }
    let list = File::create(&list_path).map_err(|error| Failure::writing(&list_path, &error))?;
    let mut writer = SegmentWriter {
        folder: &args.out,
        list: io::BufWriter::new(list),
        list_path: &list_path,
        rate: format.rate,
        count: 0,
        seconds: 0.0,
    };
    let pace = Pace {
        push: None,
        live: false,
    };
    listen(&mut source, &mut detector, pace, None, &mut writer)?;
    writer
        .list
        .flush()
        .map_err(|error| Failure::writing(&list_path, &error))?;
    let (count, seconds) = (writer.count, writer.seconds);
    warn(&mut source);
    super::print(&format!(
        "{}, {seconds:.3} s, in {}\n",
        counted(count, "segment"),
        args.out.display()
    ))
}

struct SegmentWriter<'a> {
    folder: &'a Path,
    list: io::BufWriter<File>,
    list_path: &'a Path,
    rate: SampleRate,
    count: u64,
    seconds: f64,
}

impl SegmentWriter<'_> {
    fn write(&mut self, segment: &Segment, audio: Audio<'_>) -> Result<(), Failure> {
        let part = if segment.part > 0 || segment.continues {
            format!("-part{}", segment.part)
        } else {
            String::new()
        };
        let name = format!("segment-{:04}{part}.wav", segment.segment);
        let mut wav = WavOut::create(&self.folder.join(&name), audio.format)?;
        wav.write(audio.head)?;
        wav.write(audio.tail)?;
        wav.finish()?;
        self.count += 1;
        self.seconds += self.rate.seconds(segment.len());
        let line = json::segment(Line::default().with("file", name), segment, self.rate);
        writeln!(self.list, "{line}").map_err(|error| Failure::writing(self.list_path, &error))
    }
}

impl Listener for SegmentWriter<'_> {
    fn event(&mut self, event: &Event, audio: Option<Audio<'_>>) -> Result<(), Failure> {
        match (event, audio) {
            (Event::SegmentReady(segment), Some(audio)) => self.write(segment, audio),
            (Event::SegmentReady(segment), None) => Err(Failure::input(format!(
                "segment {} was overwritten before it could be written; please report this recording",
                segment.segment
            ))),
            (Event::FormatChanged(change), _) => {
                self.rate = change.to.rate;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
