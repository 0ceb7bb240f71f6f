//! A conversation without a server: one side of it from a WAV file, the other side into another one, in real time.
//!
//! ```text
//! cargo run --release -p listenkit-session --example console -- fixtures/conversation-en/audio.wav -o conversation.wav
//! ```
//!
//! Needs nothing. With the Debian packages `pocketsphinx-en-us` and `espeak-ng` the words are recognised and spoken, without a network; with
//! `OPENAI_BASE_URL` or `OPENAI_API_KEY` set, by whatever that names. The file that comes out has the user on the left and the agent on the right.

mod shared;

use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use listenkit::{EndOfTurn, Precision, SampleRate, SmartTurn, TurnEndReason};
use listenkit_session::providers::Engines;
use listenkit_session::transport::TransportError;
use listenkit_session::tts::AudioSink;
use listenkit_session::voice::{
    AudioInput, Metrics, Overlap, SessionEvent, SessionIo, TurnDetection, TurnOutcome, UserState,
    UserTurnEnded, Vad,
};
use listenkit_session::{Agent, AgentSession, AudioFrame, Role};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Holds a conversation with a WAV file.
#[derive(Parser)]
#[command(after_help = shared::ENGINES)]
struct Arguments {
    /// What the user says: a WAV file of any rate and any number of channels, or a folder with an audio.wav in it.
    input: PathBuf,
    /// Where the conversation goes: user left, agent right.
    #[arg(short, long, default_value = "conversation.wav")]
    output: PathBuf,
    /// Who says that a turn is over.
    #[arg(long, value_enum, default_value_t = Turns::SmartTurn)]
    turns: Turns,
}

#[derive(Clone, Copy, ValueEnum)]
enum Turns {
    /// Smart Turn listens to every pause.
    SmartTurn,
    /// Half a second of silence.
    Silence,
}

struct Console;
impl Agent for Console {
    fn instructions(&self) -> String {
        "You are on the telephone. Answer in one short sentence.".into()
    }
}

#[tokio::main]
async fn main() -> Result<(), shared::Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    // A folder of fixtures/ holds its recording under this name.
    let input = if arguments.input.is_dir() {
        arguments.input.join("audio.wav")
    } else {
        arguments.input
    };
    let user = Wav::read(&input)?;
    let show = Show::new();
    show.heading(&input, &user);

    let engines = Engines::find_or_instant()?;
    show.part("ears", "Silero VAD, in this process");
    let detection = match arguments.turns {
        Turns::SmartTurn => {
            show.part("turns", "Smart Turn v3.2, in this process");
            TurnDetection::SmartTurn(SmartTurn::embedded(Precision::Fast)?)
        }
        Turns::Silence => {
            show.part("turns", "half a second of silence");
            TurnDetection::Silence
        }
    };
    show.part("words", &engines.stt_note);
    show.part("mind", &engines.llm_note);
    show.part("voice", &engines.tts_note);
    println!();

    let session = AgentSession::builder()
        .vad(Vad::silero())
        .turn_detection(detection)
        .stt(engines.stt)
        .llm(engines.llm)
        .tts(engines.tts)
        .build()?;
    let mut events = session.events();
    let (audio, hears) = mpsc::channel(100);
    let recorder = Arc::new(Recorder::new(user.rate));
    let began = Instant::now();
    let io = SessionIo::new(hears, recorder.clone()).sample_rate(user.rate);
    session.start(Console, io).await?;
    let microphone = tokio::spawn(user.clone().play(audio));

    let mut story = Story::new(show, began);
    while let Some(event) = events.recv().await {
        story.tell(event);
    }
    microphone.await?;
    write(&arguments.output, &user, &recorder.take())?;
    story.end(&arguments.output);
    Ok(())
}

/// What the user says.
#[derive(Clone)]
struct Wav {
    samples: Arc<[i16]>,
    rate: u32,
    channels: u16,
}

impl Wav {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut wav =
            hound::WavReader::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let spec = wav.spec();
        let samples: Vec<i16> = match spec.sample_format {
            hound::SampleFormat::Float => wav
                .samples::<f32>()
                .map(|sample| sample.map(|s| (s * 32768.0) as i16))
                .collect::<Result<_, _>>()?,
            hound::SampleFormat::Int => {
                let shift = i32::from(spec.bits_per_sample) - 16;
                let scaled = |s: i32| if shift >= 0 { s >> shift } else { s << -shift };
                wav.samples::<i32>()
                    .map(|sample| sample.map(|s| scaled(s) as i16))
                    .collect::<Result<_, _>>()?
            }
        };
        SampleRate::new(spec.sample_rate)?;
        Ok(Self {
            samples: samples.into(),
            rate: spec.sample_rate,
            channels: spec.channels,
        })
    }

    fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.channels) / f64::from(self.rate)
    }

    /// Speaks into the session, 10 ms after 10 ms.
    async fn play(self, session: mpsc::Sender<AudioInput>) {
        let block = self.rate as usize / 100 * usize::from(self.channels);
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for samples in self.samples.chunks(block) {
            ticks.tick().await;
            let frame = AudioFrame::new(samples, self.rate, u32::from(self.channels));
            let Ok(frame) = frame else {
                break;
            };
            if session.send(AudioInput::Frame(frame)).await.is_err() {
                return;
            }
        }
        let _ = session.send(AudioInput::End).await;
    }
}

/// A loudspeaker that remembers what it played when.
struct Recorder {
    rate: u32,
    began: Instant,
    played: Mutex<Vec<i16>>,
}

impl Recorder {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            began: Instant::now(),
            played: Mutex::default(),
        }
    }

    fn now(&self) -> usize {
        (self.began.elapsed().as_secs_f64() * f64::from(self.rate)) as usize
    }

    fn take(&self) -> Vec<i16> {
        std::mem::take(&mut *self.played.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl AudioSink for Recorder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn channels(&self) -> u32 {
        1
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        let now = self.now();
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        if played.len() < now {
            played.resize(now, 0);
        }
        played.extend_from_slice(frame.samples());
        Ok(())
    }

    fn queued(&self) -> Duration {
        let played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = played.len().saturating_sub(self.now());
        Duration::from_secs_f64(waiting as f64 / f64::from(self.rate))
    }

    fn clear(&self) {
        let now = self.now();
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        played.truncate(now);
    }
}

/// User left, agent right.
fn write(path: &Path, user: &Wav, agent: &[i16]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: user.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec)?;
    let channels = usize::from(user.channels);
    let frames = user.samples.len() / channels;
    for at in 0..frames.max(agent.len()) {
        let said = user.samples.get(at * channels..(at + 1) * channels);
        let sum: i32 = said.unwrap_or_default().iter().map(|&s| i32::from(s)).sum();
        wav.write_sample((sum / i32::from(user.channels)) as i16)?;
        wav.write_sample(agent.get(at).copied().unwrap_or(0))?;
    }
    wav.finalize()
}

/// How things are printed.
#[derive(Clone, Copy)]
struct Show {
    coloured: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Dim,
    Bold,
    Green,
    Blue,
    Yellow,
    Red,
}

impl Show {
    fn new() -> Self {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { coloured }
    }

    fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Dim => "2",
            Colour::Bold => "1",
            Colour::Green => "32",
            Colour::Blue => "34",
            Colour::Yellow => "33",
            Colour::Red => "31",
        };
        match self.coloured {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn heading(self, path: &Path, user: &Wav) {
        let title = format!("A conversation with {}", path.display());
        println!("{}", self.paint(Colour::Bold, &title));
        self.part(
            "audio",
            &format!("{:.1} s at {} Hz, in real time", user.seconds(), user.rate),
        );
    }

    fn part(self, name: &str, what: &str) {
        println!(
            "  {} {what}",
            self.paint(Colour::Dim, &format!("{name:<6}"))
        );
    }
}

/// Tells what happens.
struct Story {
    show: Show,
    began: Instant,
    turns: u32,
    latencies: Vec<Duration>,
    answered_by: Option<Duration>,
}

impl Story {
    const fn new(show: Show, began: Instant) -> Self {
        Self {
            show,
            began,
            turns: 0,
            latencies: Vec::new(),
            answered_by: None,
        }
    }

    fn line(&self, who: &str, colour: Colour, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        let at = self.show.paint(Colour::Dim, &format!("{at:7.2} s"));
        println!(
            "{at}  {}  {what}",
            self.show.paint(colour, &format!("{who:<5}"))
        );
    }

    fn tell(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::UserStateChanged { new, .. } => match new {
                UserState::Speaking => self.line("user", Colour::Green, "begins to speak"),
                UserState::Away => self.line("user", Colour::Green, "seems to be away"),
                _ => {}
            },
            SessionEvent::UserInputTranscribed {
                transcript,
                is_final: true,
                ..
            } => {
                let text = match transcript.trim() {
                    "" => "(no words)".to_owned(),
                    text => format!("\u{201c}{text}\u{201d}"),
                };
                self.line("user", Colour::Green, &text);
            }
            SessionEvent::UserTurnEnded(ended) => self.turn(&ended),
            SessionEvent::Overlap {
                overlap,
                sample_rate,
            } => match overlap {
                Overlap::Claim(claim) => {
                    let spoke = sample_rate.seconds(claim.facts.speech_duration);
                    let what = format!(
                        "interrupts: {spoke:.2} s of speech over the agent, who falls silent"
                    );
                    self.line("user", Colour::Yellow, &what);
                }
                Overlap::Brief(brief) => {
                    let spoke = sample_rate.seconds(brief.facts.speech_duration);
                    let what = format!(
                        "a short sound over the agent, {spoke:.2} s ({}): it goes on",
                        brief.reason.as_str()
                    );
                    self.line("user", Colour::Yellow, &what);
                }
                _ => {}
            },
            SessionEvent::AgentFalseInterruption { resumed: true, .. } => {
                self.line("agent", Colour::Blue, "goes on: no words followed");
            }
            SessionEvent::Metrics(Metrics::EndToEnd(metrics)) => {
                self.latencies.push(metrics.latency);
                let early = match metrics.preemptive {
                    true => ", begun before the turn was over",
                    false => "",
                };
                let what = format!(
                    "answers {:.2} s after the user's last sound{early}",
                    metrics.latency.as_secs_f64()
                );
                self.line("agent", Colour::Blue, &what);
                self.answered_by = Some(metrics.latency);
            }
            SessionEvent::ConversationItemAdded(message) if message.role == Role::Assistant => {
                let cut = if message.interrupted {
                    " \u{2014} cut off here"
                } else {
                    ""
                };
                let what = format!("\u{201c}{}\u{201d}{cut}", message.text);
                self.line("agent", Colour::Blue, &what);
            }
            SessionEvent::Error { error, .. } => {
                self.line("error", Colour::Red, &error.to_string());
            }
            SessionEvent::SegmentFailed(failed) => {
                let what = format!("not recognised: {}", failed.error);
                self.line("error", Colour::Red, &what);
            }
            _ => {}
        }
    }

    fn turn(&mut self, ended: &UserTurnEnded) {
        let Some(end) = &ended.decision else {
            return;
        };
        let outcome = match ended.outcome {
            TurnOutcome::Empty => "; nobody said a word, so nothing is answered",
            TurnOutcome::Brief => "; it was beside the agent's speech, so nothing is answered",
            _ => {
                self.turns += 1;
                ""
            }
        };
        let after = ended.sample_rate.seconds(end.delay());
        let what = format!(
            "over after {after:.2} s of silence: {}{outcome}",
            reason(end)
        );
        self.line("turn", Colour::Bold, &what);
    }

    fn end(&self, output: &Path) {
        let count = self.latencies.len().max(1) as f64;
        let mean = self.latencies.iter().sum::<Duration>().as_secs_f64() / count;
        println!(
            "\n{} turns, {} answers, on average {mean:.2} s after the user's last sound.\n{} has the user on the left, the agent on the right.",
            self.turns,
            self.latencies.len(),
            output.display()
        );
    }
}

/// Why a turn was over, in words.
fn reason(end: &EndOfTurn) -> String {
    let vote = end.votes.audio.map(|vote| vote.probability.value());
    let wording = end
        .votes
        .cues
        .and_then(|vote| vote.reasons.iter().next())
        .map(|cue| format!(", wording: {}", cue.as_str().replace('_', " ")))
        .unwrap_or_default();
    match (end.reason, vote) {
        (TurnEndReason::Complete, Some(p)) => {
            format!("Smart Turn hears a finished sentence ({p:.2}){wording}")
        }
        (TurnEndReason::Unfinished, Some(p)) => {
            format!("Smart Turn waits for more ({p:.2}), and none came{wording}")
        }
        (TurnEndReason::Unfinished, None) => {
            format!("it sounds unfinished, and nothing came{wording}")
        }
        (TurnEndReason::EndOfInput, _) => "the recording ends".into(),
        (TurnEndReason::NoTranscript, _) => "no words came".into(),
        (TurnEndReason::Committed, _) => "by hand".into(),
        _ => format!("silence{wording}"),
    }
}
