//! Speech recognition without a network: CMU PocketSphinx, as the program of its Debian package.
//!
//! One process runs as long as the provider. It loads its model once, reads the names of clips from a pipe, and says what it heard in its log, which it does not
//! buffer. A clip that is given up ends the process; the next is started at once, so that it has its model when it is needed.
//!
//! Dictation understands clear, close speech and not much more. A grammar or a keyphrase is many times faster and makes few mistakes where the words are known.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use listenkit::SampleRate;
use listenkit::resample::Resampler;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use super::is_on_path;
use crate::stt::{RecognizeOptions, Stt, SttCapabilities, Transcript, Word};
use crate::{AudioFrame, ErrorKind, ProviderError, chat};

const LABEL: &str = "pocketsphinx";

/// What the acoustic models are for, in Hz.
const RATE: SampleRate = SampleRate::HZ_16000;

/// One step of the word times: the program's `-frate` is 100.
const FRAME: Duration = Duration::from_millis(10);

/// Clips that may wait for the process; more wait with whoever asks.
const WAITING: usize = 8;

/// Where Debian's package `pocketsphinx-en-us` puts its files.
const DEBIAN_MODEL: &str = "/usr/share/pocketsphinx/model/en-us";

/// What [`PocketSphinx`] listens for, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct PocketSphinxOptions {
    /// Name or path of `pocketsphinx_batch`, version 0.8 or 5prealpha.
    pub program: PathBuf,
    /// Folder of the acoustic model, for 16 kHz.
    pub acoustic_model: PathBuf,
    /// Pronunciations.
    pub dictionary: PathBuf,
    /// What may be said.
    pub search: PocketSphinxSearch,
    /// BCP-47 of the model. A request for another language is refused.
    pub language: String,
    /// For one clip, with the loading of the model if that is not done yet. Default 30 s.
    pub deadline: Duration,
}

/// What may be said.
#[derive(Clone, Debug, PartialEq)]
pub enum PocketSphinxSearch {
    /// Anything, by this language model.
    Dictation(PathBuf),
    /// What this grammar allows, and always something of it. The text of a grammar in JSGF.
    Grammar(String),
    /// This phrase; the transcript is empty where it does not occur.
    Keyphrase {
        /// Words of the dictionary.
        phrase: String,
        /// 1e-50 for long phrases to 1.0 for one short word: the larger, the fewer false alarms.
        threshold: f64,
    },
}

impl Default for PocketSphinxOptions {
    fn default() -> Self {
        let model = Path::new(DEBIAN_MODEL);
        Self {
            program: "pocketsphinx_batch".into(),
            acoustic_model: model.join("en-us"),
            dictionary: model.join("cmudict-en-us.dict"),
            search: PocketSphinxSearch::Dictation(model.join("en-us.lm.bin")),
            language: "en-US".into(),
            deadline: Duration::from_secs(30),
        }
    }
}

crate::setters::setters!(PocketSphinxOptions {
    [into] program: PathBuf,
    [into] acoustic_model: PathBuf,
    [into] dictionary: PathBuf,
    search: PocketSphinxSearch,
    [into] language: String,
    deadline: Duration
});

/// A recogniser of utterances on this machine. It has one process: clips are recognised one after the other. So
/// [`max_parallel`](crate::stt::RecognizerOptions::max_parallel) should be 1 (the default is 2): of two requests one waits here, and the time of its attempt
/// ([`retry`](crate::stt::RecognizerOptions::retry)) runs meanwhile. The [`deadline`](PocketSphinxOptions::deadline) counts from when it is its turn.
///
/// The process is started by [`prewarm`](Self::prewarm) or the first clip, and ends with the provider. A clip waits in a folder that only this user can read, until it is answered.
#[derive(Debug)]
pub struct PocketSphinx {
    options: PocketSphinxOptions,
    requests: OnceLock<mpsc::Sender<Request>>,
}

#[derive(Debug)]
struct Request {
    /// 16-bit little endian at [`RATE`].
    audio: Vec<u8>,
    reply: oneshot::Sender<Result<Transcript, ProviderError>>,
}

impl PocketSphinx {
    /// A recogniser with these options. Looks for the program and the model, and starts nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] if one of them is missing; it says which package to install.
    pub fn new(options: PocketSphinxOptions) -> Result<Self, ProviderError> {
        let mut model = vec![&options.acoustic_model, &options.dictionary];
        if let PocketSphinxSearch::Dictation(path) = &options.search {
            model.push(path);
        }
        for path in model {
            if !path.exists() {
                let path = path.display();
                return Err(rejected(format!(
                    "{path} is missing: install the Debian package pocketsphinx-en-us, or set the paths of another model"
                )));
            }
        }
        if !is_on_path(&options.program) {
            return Err(missing_program(&options.program));
        }
        Ok(Self {
            options,
            requests: OnceLock::new(),
        })
    }

    /// Starts the process, so that its model is loaded when the first clip comes: a third of a second of work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn prewarm(&self) {
        self.requests();
    }

    fn requests(&self) -> &mpsc::Sender<Request> {
        self.requests.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(WAITING);
            tokio::spawn(work(self.options.clone(), receiver));
            sender
        })
    }
}

#[async_trait::async_trait]
impl Stt for PocketSphinx {
    fn label(&self) -> &str {
        LABEL
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        if let Some(wanted) = &options.language {
            let base = |tag: &str| tag.split(['-', '_']).next().map(str::to_ascii_lowercase);
            if base(wanted) != base(&self.options.language) {
                return Err(rejected(format!(
                    "its model hears {}, not {wanted}: set another model and its language",
                    self.options.language
                )));
            }
        }
        if audio.samples().iter().all(|&sample| sample == 0) {
            // The program hears words in digital silence.
            return Ok(Transcript::default());
        }
        let (reply, answer) = oneshot::channel();
        let audio = little_endian(audio);
        let gone = || ProviderError::new(LABEL, ErrorKind::Closed, "its task has ended");
        self.requests()
            .send(Request { audio, reply })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Owns the process and answers requests until there is nobody left to ask.
async fn work(options: PocketSphinxOptions, mut requests: mpsc::Receiver<Request>) {
    let mut desk = Desk::new(options);
    desk.warm_up();
    while let Some(mut request) = requests.recv().await {
        if request.reply.is_closed() {
            continue;
        }
        let deadline = desk.options.deadline;
        let result = tokio::select! {
            result = tokio::time::timeout(deadline, desk.ask(&request.audio)) => Some(result.unwrap_or_else(|_| {
                let message = format!("no answer within {deadline:?}");
                Err(ProviderError::new(LABEL, ErrorKind::Timeout, message))
            })),
            // Nobody wants the answer, and the process would go on with it.
            () = request.reply.closed() => None,
        };
        if !matches!(result, Some(Ok(_))) {
            desk.process = None;
            desk.warm_up();
        }
        if let Some(result) = result {
            let _ = request.reply.send(result);
        }
    }
}

/// The process, and the folder through which it gets its clips.
struct Desk {
    options: PocketSphinxOptions,
    folder: io::Result<Folder>,
    process: Option<Process>,
    clips: u64,
}

impl Desk {
    fn new(options: PocketSphinxOptions) -> Self {
        let folder = Folder::new();
        Self {
            options,
            folder,
            process: None,
            clips: 0,
        }
    }

    /// What fails here is told by the request that needs it.
    fn warm_up(&mut self) {
        if let Err(error) = self.start() {
            tracing::debug!(%error, "not started ahead of time");
        }
    }

    fn start(&mut self) -> Result<(), ProviderError> {
        if self.process.is_none() {
            self.process = Some(Process::start(&self.options, folder(&self.folder)?)?);
        }
        Ok(())
    }

    async fn ask(&mut self, audio: &[u8]) -> Result<Transcript, ProviderError> {
        self.start()?;
        self.clips += 1;
        let clip = format!("clip{}", self.clips);
        let path = folder(&self.folder)?.join(&clip);
        let _removed = Removed(&path);
        let unwritten = |error: io::Error| {
            let message = format!("{}: {error}", path.display());
            ProviderError::new(LABEL, ErrorKind::Server, message)
        };
        tokio::fs::write(&path, audio).await.map_err(unwritten)?;
        let Some(process) = &mut self.process else {
            unreachable!("it was started above");
        };
        let mut transcript = process.recognize(&clip).await?;
        transcript.language = Some(self.options.language.clone());
        Ok(transcript)
    }
}

fn folder(folder: &io::Result<Folder>) -> Result<&Path, ProviderError> {
    folder
        .as_ref()
        .map(|folder| folder.0.as_path())
        .map_err(|error| {
            let place = std::env::temp_dir();
            let message = format!("no folder for clips in {}: {error}", place.display());
            ProviderError::new(LABEL, ErrorKind::Server, message)
        })
}

/// A folder of this process's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(chat::id("listenkit-pocketsphinx-"));
        let mut folder = std::fs::DirBuilder::new();
        // What people say is nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file that is removed at the end of its use.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// A running program. Dropping it ends it.
struct Process {
    child: Child,
    names: ChildStdin,
    log: BufReader<ChildStderr>,
    /// The line that is being read.
    line: Vec<u8>,
    /// The newest errors of the log: what to say if it ends.
    errors: VecDeque<String>,
}

impl Process {
    fn start(options: &PocketSphinxOptions, folder: &Path) -> Result<Self, ProviderError> {
        let mut command = Command::new(&options.program);
        command
            .args(["-ctl", "/dev/stdin", "-adcin", "yes", "-adchdr", "0"])
            .args(["-cepext", "", "-cepdir"])
            .arg(folder)
            // Words with times and confidence, in the log.
            .args(["-backtrace", "yes"])
            // The VAD has cut the clip, and times count from its start.
            .args(["-remove_silence", "no"])
            // On the English fixtures: the same words with 20 % less work (5.8 s of CPU for 22 s of speech, 7.3 s without).
            .args(["-maxhmmpf", "3000", "-maxwpf", "10"])
            .arg("-hmm")
            .arg(&options.acoustic_model)
            .arg("-dict")
            .arg(&options.dictionary);
        match &options.search {
            PocketSphinxSearch::Dictation(model) => {
                command.arg("-lm").arg(model);
            }
            PocketSphinxSearch::Grammar(text) => {
                let path = folder.join("grammar.jsgf");
                std::fs::write(&path, text).map_err(|error| {
                    let message = format!("{}: {error}", path.display());
                    ProviderError::new(LABEL, ErrorKind::Server, message)
                })?;
                command.arg("-jsgf").arg(path);
            }
            PocketSphinxSearch::Keyphrase { phrase, threshold } => {
                command.args(["-keyphrase", phrase, "-kws_threshold"]);
                command.arg(format!("{threshold:e}"));
            }
        }
        let started = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing_program(&options.program),
            _ => rejected(format!("{}: {error}", options.program.display())),
        })?;
        let (names, log) = child
            .stdin
            .take()
            .zip(child.stderr.take())
            .expect("both are piped");
        Ok(Self {
            child,
            names,
            log: BufReader::new(log),
            line: Vec::new(),
            errors: VecDeque::new(),
        })
    }

    async fn recognize(&mut self, clip: &str) -> Result<Transcript, ProviderError> {
        if self
            .names
            .write_all(format!("{clip}\n").as_bytes())
            .await
            .is_err()
        {
            return Err(self.ended().await);
        }
        let mut words = Vec::new();
        let mut in_table = false;
        loop {
            let Some(line) = self.next_line().await else {
                return Err(self.ended().await);
            };
            match LogLine::read(&line, clip) {
                LogLine::TableHead => {
                    words.clear();
                    in_table = true;
                }
                LogLine::Word(word) if in_table => words.extend(word),
                LogLine::Done => return Ok(transcript(words)),
                LogLine::Error => {
                    if line.contains("Failed to open") && line.contains(clip) {
                        return Err(ProviderError::new(LABEL, ErrorKind::Server, line));
                    }
                    self.errors.push_back(line);
                    if self.errors.len() > 3 {
                        self.errors.pop_front();
                    }
                }
                LogLine::Word(_) | LogLine::Other => {}
            }
        }
    }

    /// The next line of the log; words are as the dictionary spells them, which need not be UTF-8.
    async fn next_line(&mut self) -> Option<String> {
        self.line.clear();
        let read = self.log.read_until(b'\n', &mut self.line).await;
        if !read.is_ok_and(|count| count > 0) {
            return None;
        }
        let line = String::from_utf8_lossy(&self.line);
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Why the program has ended.
    async fn ended(&mut self) -> ProviderError {
        let mut errors: Vec<_> = self.errors.drain(..).collect();
        while let Some(line) = self.next_line().await {
            if matches!(LogLine::read(&line, ""), LogLine::Error) {
                errors.push(line);
            }
        }
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // It does not begin with what it was given: nor will it the next time.
        let init = |line: &String| line.contains("init failed") || line.contains("arguments");
        let kind = match errors.iter().any(init) {
            true => ErrorKind::Rejected,
            false => ErrorKind::Server,
        };
        let message = format!("the program has ended ({status}): {}", errors.join("; "));
        ProviderError::new(LABEL, kind, message)
    }
}

/// A line of the program's log, as far as it matters.
#[derive(Debug, PartialEq)]
enum LogLine {
    TableHead,
    /// A line of the table; `None` for silence, noise and the marks of a sentence.
    Word(Option<Word>),
    /// This clip is done.
    Done,
    Error,
    Other,
}

impl LogLine {
    fn read(line: &str, clip: &str) -> Self {
        if line.starts_with("ERROR") || line.starts_with("FATAL") {
            return Self::Error;
        }
        if let Some(rest) = line.strip_prefix("INFO: batch.c(") {
            let done = rest
                .split_once("): ")
                .and_then(|(_, rest)| rest.split_once(": "))
                .is_some_and(|(name, rest)| name == clip && rest.contains(" seconds speech"));
            return if done { Self::Done } else { Self::Other };
        }
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[word, start, end, probability, _, _, _] = fields.as_slice() else {
            return Self::Other;
        };
        if (word, start, end) == ("word", "start", "end") {
            return Self::TableHead;
        }
        let (Ok(start), Ok(end), Ok(probability)) = (
            start.parse::<u32>(),
            end.parse::<u32>(),
            probability.parse::<f32>(),
        ) else {
            return Self::Other;
        };
        if word.starts_with(['<', '[', '(']) || word.starts_with("++") {
            return Self::Word(None);
        }
        // Other pronunciations of a word have a number: `one(2)`.
        let text = word.split('(').next().unwrap_or(word);
        Self::Word(Some(Word {
            text: text.to_owned(),
            span: (FRAME * start, FRAME * end.saturating_add(1)),
            confidence: Some(probability.clamp(0.0, 1.0)),
        }))
    }
}

fn transcript(words: Vec<Word>) -> Transcript {
    let text: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    let confidence = words.iter().filter_map(|word| word.confidence).sum::<f32>();
    Transcript {
        text: text.join(" "),
        confidence: (!words.is_empty()).then_some(confidence / words.len() as f32),
        words,
        ..Transcript::default()
    }
}

/// The mean of all channels at 16 kHz.
fn little_endian(audio: &AudioFrame) -> Vec<u8> {
    let channels = audio.channels() as usize;
    let scale = 1.0 / (channels as f32 * 32768.0);
    let mono: Vec<f32> = audio
        .samples()
        .chunks_exact(channels)
        .map(|all| all.iter().map(|&v| f32::from(v)).sum::<f32>() * scale)
        .collect();
    let from = SampleRate::new(audio.sample_rate())
        .expect("the rate of a frame is checked when it is made");
    let mut resampler = Resampler::shared(from, RATE).aligned();
    let mut samples = vec![0.0; resampler.output_len(mono.len())];
    resampler.process(&mono, &mut samples);
    let mut tail = vec![0.0; resampler.tail_len()];
    resampler.flush(&mut tail);
    samples.extend(tail);
    samples
        .iter()
        // `as` limits to the range of i16.
        .flat_map(|v| ((v * 32768.0).round() as i16).to_le_bytes())
        .collect()
}

fn missing_program(program: &Path) -> ProviderError {
    let program = program.display();
    rejected(format!(
        "{program} is missing: install the Debian package pocketsphinx, or set the path of the program"
    ))
}

fn rejected(message: String) -> ProviderError {
    ProviderError::new(LABEL, ErrorKind::Rejected, message)
}
