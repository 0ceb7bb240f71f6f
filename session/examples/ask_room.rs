//! Asks whoever is in a room one question, and prints the answer.
//!
//! ```text
//! cargo run --release -p listenkit-session --example ask_room -- "Shall we begin?" --within 30
//! ```
//!
//! Without `--room` it takes the first room that has somebody in it. Ends with status 1 if nobody is anywhere, or no answer comes in time. The answer comes
//! through a channel of this dialogue's own: two questions of one process never mix. The server is read from `LIVEKIT_URL`, `LIVEKIT_API_KEY`
//! and `LIVEKIT_API_SECRET`.

mod room_dialogue;
mod shared;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use listenkit_session::api::discover_active_room;

/// Asks whoever is in a room one question, and prints the answer.
#[derive(Parser)]
#[command(after_help = shared::SERVER)]
struct Arguments {
    /// What is asked.
    question: String,
    /// Where. Default: the first room that has somebody in it.
    #[arg(long)]
    room: Option<String>,
    /// Seconds for the answer, from the end of the question.
    #[arg(long, default_value_t = 30)]
    within: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match ask(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let room = match arguments.room {
        Some(room) => room,
        None => discover_active_room().await?.name,
    };
    let (session, mut dialogue) = room_dialogue::join(&room, "ask-room").await?;
    let person = dialogue
        .wait_for_participant(Duration::from_secs(10))
        .await?;
    if person.is_none() {
        return Err(format!("nobody is in room {room}").into());
    }
    let within = Duration::from_secs(arguments.within);
    let answer = dialogue.ask(arguments.question, within).await?;
    session.aclose().await;
    match answer {
        Some(text) => println!("{text}"),
        None => return Err(format!("no answer within {} s", within.as_secs()).into()),
    }
    Ok(())
}
