//! A voice agent in one room, without a worker.
//!
//! ```text
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... \
//!     cargo run --release -p listenkit-session --example direct_room -- --room lobby
//! ```
//!
//! Joins, talks to the first person who is there, and ends when they hang up, nobody has been there for five minutes, or Ctrl-C. LiveKit's media library ends the whole process on what it does not
//! expect: a program that must go on uses a worker, whose jobs have processes of their own, or the transport `native`.

mod shared;

use std::time::{Duration, Instant};

use clap::Parser;
use listenkit_session::api::Credentials;
use listenkit_session::listenkit::{Precision, SmartTurn};
use listenkit_session::providers::Engines;
use listenkit_session::transport::{self, AutoSubscribe, ConnectOptions, Room};
use listenkit_session::voice::{
    EventStream, RoomInputOptions, RoomOutputOptions, SessionEvent, TurnDetection, Vad,
};
use listenkit_session::worker::ParticipantFilter;
use listenkit_session::{Agent, AgentSession, async_trait};

/// A voice agent in one room, without a worker.
#[derive(Parser)]
#[command(after_help = shared::AGENT)]
struct Arguments {
    /// Room to join; it is made if there is none.
    #[arg(long)]
    room: String,
    /// Who the agent is in the room.
    #[arg(long, default_value = "listenkit")]
    identity: String,
    /// Seconds after which it ends if nobody is there.
    #[arg(long, default_value_t = 300)]
    alone: u64,
}

struct Host;

#[async_trait]
impl Agent for Host {
    fn instructions(&self) -> String {
        "You are on the telephone. Answer in one short sentence.".to_owned()
    }

    async fn on_enter(&self, session: &AgentSession) {
        let _ = session.say("Hello! Say something.");
    }
}

#[tokio::main]
async fn main() -> Result<(), shared::Failure> {
    shared::print_logs();
    let arguments = Arguments::parse();
    // Before the room is joined: nobody is to meet an agent that cannot answer.
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
    let printing = tokio::spawn(print(session.events()));

    let server = Credentials::from_env()?;
    let token = server.agent_token(&arguments.identity, &arguments.room)?;
    let options = ConnectOptions::default().auto_subscribe(AutoSubscribe::AudioOnly);
    let connection = transport::open()?
        .connect(&server.ws_url(), &token, &options)
        .await?;
    let room = connection.room.clone();
    println!("in room {}", room.name());
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    session
        .start_in_room(Host, connection, input, output)
        .await?;

    let alone = Duration::from_secs(arguments.alone);
    tokio::select! {
        // Also when they hang up.
        _ = session.closed() => {}
        () = is_deserted(&*room, alone) => println!("nobody has been here for {} s", alone.as_secs()),
        _ = tokio::signal::ctrl_c() => {}
    }
    // Leaves the room, too.
    session.aclose().await;
    printing.await?;
    session.closed().await?;
    Ok(())
}

/// Returns when nobody whom the agent could hear has been in the room for so long. Whose connection is lost may come back, so the session waits for them.
async fn is_deserted(room: &dyn Room, limit: Duration) {
    let people = ParticipantFilter::default();
    let mut last_seen = Instant::now();
    while last_seen.elapsed() < limit {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if room.participants().iter().any(|p| people.matches(p)) {
            last_seen = Instant::now();
        }
    }
}

async fn print(mut events: EventStream) {
    while let Some(event) = events.recv().await {
        match event {
            SessionEvent::ConversationItemAdded(message) => {
                println!("{}: {}", message.role.as_str(), message.text);
            }
            SessionEvent::Close { reason, .. } => println!("over: {reason:?}"),
            _ => {}
        }
    }
}
