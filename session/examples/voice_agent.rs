//! A voice agent that a LiveKit server sends into rooms.
//!
//! ```text
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... \
//!     cargo run --release -p listenkit-session --example voice_agent -- --agent-name ada --dev
//! ```
//!
//! With a name, the agent goes where it is dispatched; without, into every room. SIGTERM drains; with `--dev`,
//! for a desk, it ends all at once, and a busy machine refuses nobody. Recognition, language model and voice are those
//! that the environment names: `--help`.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use listenkit_session::listenkit::{Precision, SmartTurn};
use listenkit_session::providers::Engines;
use listenkit_session::providers::instant::{EchoLlm, InstantStt, ToneTts};
use listenkit_session::voice::{RoomInputOptions, RoomOutputOptions, TurnDetection, Vad};
use listenkit_session::worker::{self, BoxError, JobContext, Mode, WorkerOptions};
use listenkit_session::{Agent, AgentSession, async_trait};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(about = "A voice agent that a LiveKit server sends into rooms", after_help = shared::AGENT)]
struct Arguments {
    /// Name by which the agent is dispatched; by default LIVEKIT_AGENT_NAME. Without one it goes into every room.
    #[arg(long)]
    agent_name: Option<String>,
    /// Processes that wait for a job.
    #[arg(long)]
    idle_processes: Option<usize>,
    /// Defaults for a desk: never full, no health endpoint at a fixed port, and a signal asks the jobs to end at once.
    #[arg(long)]
    dev: bool,
    /// Port of the health endpoint; 0 takes a free one. By default 8081, at a desk a free one.
    #[arg(long)]
    health_port: Option<u16>,
    /// Providers that know no language and answer at once, for tests and figures; never full.
    #[arg(long)]
    instant: bool,
}

fn main() -> Result<(), shared::Failure> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .init();

    let mut options = if arguments.instant {
        // Figures are not to depend on how busy the machine is.
        WorkerOptions::new(talk_instantly).load_threshold(f64::INFINITY)
    } else {
        // What is missing is said now, and not to the first caller.
        Engines::find()?;
        WorkerOptions::new(talk)
    };
    if let Some(name) = arguments.agent_name {
        options = options.agent_name(name);
    }
    options.num_idle_processes = arguments.idle_processes;
    options.port = arguments.health_port;
    if arguments.dev {
        options = options.mode(Mode::Development);
    }
    Ok(worker::run(options)?)
}

struct Talker;

#[async_trait]
impl Agent for Talker {
    fn instructions(&self) -> String {
        "You are a friendly voice on the telephone. Answer in one short sentence.".to_owned()
    }

    async fn on_enter(&self, session: &AgentSession) {
        let _ = session.say("Hello! What can I do for you?");
    }
}

/// One job: a conversation, until the user or the worker ends it.
async fn talk(job: JobContext) -> Result<(), BoxError> {
    let engines = Engines::find()?;
    let session = AgentSession::builder()
        .vad(Vad::silero())
        .turn_detection(TurnDetection::SmartTurn(SmartTurn::embedded(
            Precision::Fast,
        )?))
        .stt(engines.stt)
        .llm(engines.llm)
        .tts(engines.tts)
        .build()?;
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    job.run_session(&session, Talker, input, output).await
}

/// Says nothing by itself.
struct Echo;
impl Agent for Echo {}

/// The same for tests and figures: what is measured is everything around the providers.
async fn talk_instantly(job: JobContext) -> Result<(), BoxError> {
    let turns = (1..=1000).map(|n| format!("turn {n}"));
    let session = AgentSession::builder()
        .vad(Vad::silero())
        .stt(Arc::new(InstantStt::scripted(turns)))
        .llm(Arc::new(EchoLlm::new()))
        .tts(Arc::new(ToneTts::new()))
        .min_endpointing_delay(Duration::from_millis(500))
        .build()?;
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    job.run_session(&session, Echo, input, output).await
}
