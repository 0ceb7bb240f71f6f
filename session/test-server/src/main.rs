//! The server double as a program.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use listenkit_test_server::{Options, TestServer};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A LiveKit server for tests, on 127.0.0.1: rooms with audio and data, agents, the room service.
///
/// No video, no TURN, no TLS, and nothing is kept: what you would not miss in a test.
#[derive(Parser)]
#[command(name = "listenkit-test-server", version, after_help = EXAMPLES)]
struct Arguments {
    /// TCP port for clients, workers and server libraries; 0 picks a free one. Media takes UDP ports that the system picks.
    #[arg(long, default_value_t = 7880, value_name = "PORT")]
    port: u16,
    /// Key that access tokens name as their issuer.
    #[arg(
        long,
        default_value = "devkey",
        env = "LIVEKIT_API_KEY",
        value_name = "KEY"
    )]
    api_key: String,
    /// Secret that access tokens are signed with.
    #[arg(
        long,
        default_value = "a-secret-of-at-least-32-characters",
        env = "LIVEKIT_API_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    api_secret: String,
    /// Seconds that a room stays after its last participant left. Agents do not count as participants.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    departure_timeout: u64,
    /// File for what workers and the server say to each other: one line of JSON for each message.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print a token with which IDENTITY joins ROOM, then go on.
    #[arg(long, num_args = 2, value_names = ["IDENTITY", "ROOM"])]
    token: Option<Vec<String>>,
}

const EXAMPLES: &str = "\
The URL to connect to is the first line of the output. Ctrl-C or SIGTERM ends the server; RUST_LOG=debug shows every message.

Examples:
  listenkit-test-server
  listenkit-test-server --port 0 --log agents.jsonl
  listenkit-test-server --token alice kitchen";

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    // The peer connections talk a lot; what they say is of no use to those who test clients.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,str0m=error,is=error,dimpl=error".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let options = Options {
        port: arguments.port,
        api_key: arguments.api_key,
        api_secret: arguments.api_secret,
        departure_timeout: Duration::from_secs(arguments.departure_timeout),
        agent_log_file: arguments.log,
        ..Default::default()
    };
    let server = TestServer::start(options).await?;
    println!("{}", server.url());
    if let Some([identity, room]) = arguments.token.as_deref() {
        println!("{}", server.token(identity, room));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
