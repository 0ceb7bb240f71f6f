//! Sends a message into a room, as a data packet with the topic `mcp_message`.
//!
//! ```text
//! cargo run -p listenkit-session --example send_message -- "Hello" --room kitchen
//! ```
//!
//! The server is that of `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`. Without `--room`, it is the first room with someone in it.

mod shared;

use std::process::ExitCode;

use clap::Parser;
use listenkit_session::api::{ApiError, ServerApi};

/// What listeners for messages from tools expect.
const TOPIC: &str = "mcp_message";

#[derive(Parser)]
#[command(about = "Sends a message into a LiveKit room", after_help = shared::API)]
struct Arguments {
    /// What to say.
    message: String,
    /// In which room; by default the first one with someone in it.
    #[arg(long)]
    room: Option<String>,
    /// To whom (an identity; may be given several times); by default to all.
    #[arg(long)]
    to: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match send(Arguments::parse()).await {
        Ok(room) => {
            println!("sent to {room}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn send(arguments: Arguments) -> Result<String, ApiError> {
    let api = ServerApi::from_env()?;
    let room = match arguments.room {
        Some(room) => room,
        None => api.discover_active_room().await?.name,
    };
    let to: Vec<_> = arguments.to.iter().map(String::as_str).collect();
    api.send_data(&room, arguments.message.as_bytes(), Some(TOPIC), &to)
        .await?;
    Ok(room)
}
