//! `speak(text)` and `listen() -> text`: the program leads, line by line.
//!
//! ```text
//! cargo run --release -p listenkit-session --example manual_speak_listen -- --room lobby
//! ```
//!
//! Each line of the standard input is said in the room; after each, what is said there within ten seconds is printed. Ends
//! with the input, or when who is there leaves. The server is read from
//! `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`.

mod room_dialogue;
mod shared;

use std::time::Duration;

use clap::Parser;
use listenkit_session::voice::CloseReason;
use room_dialogue::{HEARD, heard};
use tokio::io::{AsyncBufReadExt, BufReader};

/// `speak(text)` and `listen() -> text`: each line of the standard input is said, then the answer is printed.
#[derive(Parser)]
#[command(after_help = shared::DIALOGUE)]
struct Arguments {
    /// Room to join; it is made if there is none.
    #[arg(long)]
    room: String,
    /// Seconds that it waits for somebody.
    #[arg(long, default_value_t = 3600)]
    wait: u64,
    /// Seconds for each answer.
    #[arg(long, default_value_t = 10)]
    within: u64,
}

#[tokio::main]
async fn main() -> Result<(), shared::Failure> {
    shared::print_logs();
    let arguments = Arguments::parse();
    let within = Duration::from_secs(arguments.within);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let wait = Duration::from_secs(arguments.wait);
    eprintln!("waiting for somebody in room {}", arguments.room);
    let reason = room_dialogue::lead(
        &arguments.room,
        "speak-listen",
        wait,
        async |dialogue, person| {
            eprintln!("{} is here; write what is to be said", person.identity);
            while let Some(line) = lines.next_line().await? {
                heard(HEARD, dialogue.speak(line)).await?;
                match dialogue.listen(within).await? {
                    Some(text) => println!("{text}"),
                    None => eprintln!("(nothing within {} s)", within.as_secs()),
                }
            }
            Ok(())
        },
    )
    .await?;
    if reason != CloseReason::UserInitiated {
        eprintln!("{}", room_dialogue::why(reason));
    }
    Ok(())
}
