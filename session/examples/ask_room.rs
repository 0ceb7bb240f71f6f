//! Asks whoever is in a room one question, and prints the answer.
//!
//! ```text
//! cargo run --release -p listenkit-session --example ask_room -- "Shall we begin?" --within 30
//! ```
//!
//! Without `--room` it takes the first room that has somebody in it. Ends with status 1 and the reason if nobody is anywhere, or no answer comes in time. The answer comes
//! through a channel of this dialogue's own: two questions of one process never mix. The server is read from `LIVEKIT_URL`, `LIVEKIT_API_KEY`
//! and `LIVEKIT_API_SECRET`.

mod room_dialogue;
mod shared;

use std::time::Duration;

use clap::Parser;
use listenkit_session::api::discover_active_room;
use listenkit_session::voice::CloseReason;
use room_dialogue::HEARD;

/// Asks whoever is in a room one question, and prints the answer.
#[derive(Parser)]
#[command(after_help = shared::DIALOGUE)]
struct Arguments {
    /// What is asked.
    question: String,
    /// Where. Default: the first room that has somebody in it.
    #[arg(long)]
    room: Option<String>,
    /// Seconds that are waited for somebody, and then for the answer, from the end of the question.
    #[arg(long, default_value_t = 30)]
    within: u64,
}

#[tokio::main]
async fn main() -> Result<(), shared::Failure> {
    shared::print_logs();
    let arguments = Arguments::parse();
    let room = match arguments.room {
        Some(room) => room,
        None => discover_active_room().await?.name,
    };
    let within = Duration::from_secs(arguments.within);
    let reason = room_dialogue::lead(&room, "ask-room", within, async |dialogue, _| {
        let answer = dialogue.ask(arguments.question, within);
        match room_dialogue::heard(HEARD + within, answer).await? {
            Some(text) => println!("{text}"),
            None => return Err(format!("no answer within {} s", within.as_secs()).into()),
        }
        Ok(())
    })
    .await?;
    match reason {
        CloseReason::UserInitiated => Ok(()),
        reason => Err(format!("no answer: {}", room_dialogue::why(reason)).into()),
    }
}
