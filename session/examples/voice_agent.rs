//! A voice agent that a LiveKit server sends into rooms.
//!
//! ```text
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... \
//!     cargo run --release -p listenkit-session --example voice_agent -- --agent-name ada
//! ```
//!
//! With a name, the agent goes where it is dispatched; without, into every room. SIGTERM drains.

mod shared;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use listenkit_session::providers::instant::{EchoLlm, InstantStt, ToneTts};
use listenkit_session::transport::AutoSubscribe;
use listenkit_session::voice::{
    Agent, AgentSession, RoomInputOptions, RoomOutputOptions, SessionEvent, Vad,
};
use listenkit_session::worker::{self, BoxError, JobContext, Mode, WorkerOptions};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(about = "A voice agent that a LiveKit server sends into rooms", after_help = shared::SERVER)]
struct Arguments {
    /// Name by which the agent is dispatched; by default LIVEKIT_AGENT_NAME. Without one it goes into every room.
    #[arg(long)]
    agent_name: Option<String>,
    /// Processes that wait for a job.
    #[arg(long)]
    idle_processes: Option<usize>,
    /// Defaults for a desk: never full, no health endpoint at a fixed port, and a signal ends the jobs at once.
    #[arg(long)]
    dev: bool,
    /// Port of the health endpoint; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    health_port: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .init();

    // A demonstration is not refused because the machine is busy.
    let mut options = WorkerOptions::new(talk).load_fn(|| 0.0);
    if let Some(name) = arguments.agent_name {
        options.agent_name = name;
    }
    options.num_idle_processes = arguments.idle_processes;
    options.port = Some(arguments.health_port);
    options.host = "127.0.0.1".to_owned();
    if arguments.dev {
        options.mode = Mode::Development;
    }
    match worker::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Talker;

impl Agent for Talker {
    fn instructions(&self) -> String {
        "You are a friendly voice. Be brief.".to_owned()
    }
}

/// One job: a conversation. The providers answer at once and know no language, so that the example runs anywhere: put your own in their place.
async fn talk(job: JobContext) -> Result<(), BoxError> {
    let connection = job.connect(AutoSubscribe::AudioOnly).await?;
    let turns = (1..=1000).map(|n| format!("turn {n}"));
    let session = AgentSession::builder()
        .vad(Vad::silero())
        .stt(Arc::new(InstantStt::scripted(turns)))
        .llm(Arc::new(EchoLlm::new()))
        .tts(Arc::new(ToneTts::new()))
        .min_endpointing_delay(Duration::from_millis(500))
        .build()?;
    let mut events = session.events();
    session
        .start_in_room(
            Talker,
            connection,
            RoomInputOptions::default(),
            RoomOutputOptions::default(),
        )
        .await?;
    let closing = session.clone();
    job.add_session_close(async move |_| closing.aclose().await);
    let ended = job.ended();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event @ SessionEvent::Error { .. }) => tracing::warn!(?event),
                Some(event) => tracing::debug!(?event),
                None => break,
            },
            _ = &mut ended => break,
        }
    }
    // The user has left, or the job ends anyway.
    job.shutdown("the conversation is over");
    Ok(())
}
