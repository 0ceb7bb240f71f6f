//! A voice without a network: eSpeak NG, as the program of its Debian package.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::pcm::PcmReader;
use crate::tts::{Tts, TtsCapabilities};
use crate::{AudioFrame, ErrorKind, ProviderError};

const LABEL: &str = "espeak-ng";

/// How [`EspeakNg`] speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspeakOptions {
    /// Name or path of `espeak-ng`, 1.49 or newer.
    pub program: PathBuf,
    /// Name of a voice (`espeak-ng --voices`), with a variant behind `+`: `en-us`, `de`, `en+f3`. Default `en`.
    pub voice: String,
    /// Words a minute, 80 to 450. Default 175.
    pub words_per_minute: u16,
    /// 0 to 99. Default 50.
    pub pitch: u8,
    /// For the first audio, and again between two pieces of it. Default 10 s; it takes some 20 ms.
    pub deadline: Duration,
}

impl Default for EspeakOptions {
    fn default() -> Self {
        Self {
            program: LABEL.into(),
            voice: "en".into(),
            words_per_minute: 175,
            pitch: 50,
            deadline: Duration::from_secs(10),
        }
    }
}

crate::setters::setters!(EspeakOptions {
    [into] program: PathBuf,
    [into] voice: String,
    words_per_minute: u16,
    pitch: u8,
    deadline: Duration
});

/// A voice on this machine: one process for each text, whose audio comes while it works. A process ends with its reader.
#[derive(Clone, Debug, Default)]
pub struct EspeakNg {
    options: EspeakOptions,
}

impl EspeakNg {
    /// A voice with these options.
    pub const fn new(options: EspeakOptions) -> Self {
        Self { options }
    }

    fn start(&self) -> Result<Child, ProviderError> {
        let options = &self.options;
        Command::new(&options.program)
            .args(["--stdin", "--stdout", "-b", "1"])
            .args(["-v", &options.voice])
            .args(["-s", &options.words_per_minute.to_string()])
            .args(["-p", &options.pitch.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let program = options.program.display();
                let (kind, hint) = match error.kind() {
                    io::ErrorKind::NotFound => (
                        ErrorKind::Rejected,
                        ": install the Debian package espeak-ng, or set the path of the program",
                    ),
                    _ => (ErrorKind::Server, ""),
                };
                failure(kind, format!("cannot start {program}: {error}{hint}"))
            })
    }
}

fn failure(kind: ErrorKind, message: impl Into<String>) -> ProviderError {
    ProviderError::new(LABEL, kind, message)
}

#[async_trait::async_trait]
impl Tts for EspeakNg {
    fn label(&self) -> &str {
        LABEL
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: false,
            sample_rate: 22_050,
            channels: 1,
        }
    }

    async fn synthesize(
        &self,
        text: &str,
    ) -> Result<mpsc::Receiver<Result<AudioFrame, ProviderError>>, ProviderError> {
        let child = self.start()?;
        let (sender, receiver) = mpsc::channel(16);
        let deadline = self.options.deadline;
        // A zero byte would end the text.
        let text = text.replace('\0', " ");
        tokio::spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                // Drops the child, which kills it.
                () = closed.closed() => {}
                result = speak(child, text, deadline, &sender) => if let Err(error) = result {
                    let _ = sender.send(Err(error)).await;
                }
            }
        });
        Ok(receiver)
    }
}

async fn speak(
    mut child: Child,
    text: String,
    deadline: Duration,
    frames: &mpsc::Sender<Result<AudioFrame, ProviderError>>,
) -> Result<(), ProviderError> {
    let broken = |error: io::Error| failure(ErrorKind::Server, error.to_string());
    let late = |_| {
        let seconds = deadline.as_secs_f32();
        failure(ErrorKind::Timeout, format!("no audio for {seconds} s"))
    };
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failure(ErrorKind::Server, "the process has no pipes"));
    };
    // Its end tells the reason, so a pipe that broke is not yet an error.
    let write = async move {
        let _ = stdin.write_all(text.as_bytes()).await;
        Ok(())
    };
    let read = async {
        let mut reader = PcmReader::wav();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let len = timeout(deadline, stdout.read(&mut buffer))
                .await
                .map_err(late)?
                .map_err(broken)?;
            if len == 0 {
                return Ok(());
            }
            let frame = reader
                .push(&buffer[..len])
                .map_err(|message| failure(ErrorKind::Malformed, message))?;
            if let Some(frame) = frame
                && frames.send(Ok(frame)).await.is_err()
            {
                return Ok(());
            }
        }
    };
    let complaint = async {
        let mut text = Vec::new();
        let mut limited = (&mut stderr).take(4_096);
        let _ = limited.read_to_end(&mut text).await;
        // What is not read would block the process.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        text
    };
    // A reader that gives up does not wait for the rest: the process may stand still.
    let ((), (), complaint) = tokio::try_join!(read, write, async {
        let limit = deadline.saturating_mul(60);
        Ok(timeout(limit, complaint).await.unwrap_or_default())
    })?;
    let status = timeout(deadline, child.wait()).await.map_err(late)?;
    let status = status.map_err(broken)?;
    if status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.trim();
    // Its only complaint about what it was asked for.
    let kind = match complaint.contains("voice") {
        true => ErrorKind::Rejected,
        false => ErrorKind::Server,
    };
    Err(failure(kind, format!("{status}: {complaint}")))
}
