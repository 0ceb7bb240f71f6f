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

/// Speaks and listens in a room, without a language model.
#[derive(Parser)]
#[command(after_help = shared::SERVER)]
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
    /// Seconds it listens.
    #[arg(long, default_value_t = 60)]
    listen: u64,
}

#[tokio::main]
async fn main() -> Result<(), shared::Failure> {
    let arguments = Arguments::parse();
    let (session, mut dialogue) = room_dialogue::join(&arguments.room, "speaker-bot").await?;
    println!("in room {}, waiting for somebody", arguments.room);
    let hour = Duration::from_secs(3600);
    let Some(person) = dialogue.wait_for_participant(hour).await? else {
        return Err("nobody came within an hour".into());
    };
    println!("{} is here", person.identity);
    dialogue.speak(&arguments.say).await?;
    let end = Instant::now() + Duration::from_secs(arguments.listen);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match dialogue.listen(left).await {
            Ok(Some(text)) => println!("heard: {text}"),
            Ok(None) => break,
            // They have left.
            Err(_) => return Ok(()),
        }
    }
    dialogue.speak("Goodbye.").await?;
    session.aclose().await;
    Ok(())
}
