//! Speaks and listens in a room, without a language model.
//!
//! ```text
//! cargo run --release -p listenkit-session --example speaker_bot -- --room lobby --say "Dinner is ready."
//! ```
//!
//! Waits for somebody, says its text, prints what is said for a while, and leaves. The server is read from `LIVEKIT_URL`, `LIVEKIT_API_KEY`
//! and `LIVEKIT_API_SECRET`.

mod room_dialogue;
mod shared;

use std::time::{Duration, Instant};

use clap::Parser;
use listenkit_session::voice::CloseReason;

/// Speaks and listens in a room, without a language model.
#[derive(Parser)]
#[command(after_help = shared::DIALOGUE)]
struct Arguments {
    /// Room to join; it is made if there is none.
    #[arg(long)]
    room: String,
    /// What is said to whoever comes.
    #[arg(
        long,
        default_value = "Hello. I repeat nothing and judge nobody. Say what you like."
    )]
    say: String,
    /// Seconds that it waits for somebody.
    #[arg(long, default_value_t = 3600)]
    wait: u64,
    /// Seconds that it listens.
    #[arg(long, default_value_t = 60)]
    listen: u64,
}

#[tokio::main]
async fn main() -> Result<(), shared::Failure> {
    shared::print_logs();
    let arguments = Arguments::parse();
    let reason = room_dialogue::lead(&arguments.room, "speaker-bot", async |dialogue| {
        println!("in room {}, waiting for somebody", arguments.room);
        let wait = Duration::from_secs(arguments.wait);
        let Some(person) = dialogue.wait_for_participant(wait).await? else {
            return Err(format!("nobody came within {} s", arguments.wait).into());
        };
        println!("{} is here", person.identity);
        dialogue.speak(&arguments.say).await?;
        let end = Instant::now() + Duration::from_secs(arguments.listen);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Some(text) = dialogue.listen(left).await? {
                println!("heard: {text}");
            }
        }
        dialogue.speak("Goodbye.").await?;
        Ok(())
    })
    .await?;
    if reason != CloseReason::UserInitiated {
        eprintln!("{}", room_dialogue::why(reason));
    }
    Ok(())
}
