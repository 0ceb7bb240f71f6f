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
use room_dialogue::{HEARD, heard};

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
    let wait = Duration::from_secs(arguments.wait);
    println!("waiting for somebody in room {}", arguments.room);
    let reason = room_dialogue::lead(
        &arguments.room,
        "speaker-bot",
        wait,
        async |dialogue, person| {
            println!("{} is here", person.identity);
            heard(HEARD, dialogue.speak(arguments.say)).await?;
            let end = Instant::now() + Duration::from_secs(arguments.listen);
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                if let Some(text) = dialogue.listen(left).await? {
                    println!("heard: {text}");
                }
            }
            heard(HEARD, dialogue.speak("Goodbye.")).await
        },
    )
    .await?;
    if reason != CloseReason::UserInitiated {
        eprintln!("{}", room_dialogue::why(reason));
    }
    Ok(())
}
