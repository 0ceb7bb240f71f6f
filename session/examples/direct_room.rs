//! A voice agent in one room, without a worker.
//!
//! ```text
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... \
//!     cargo run --release -p listenkit-session --example direct_room -- --room lobby
//! ```
//!
//! Joins, talks to the first person who is there, and ends when they leave. LiveKit's media library ends the whole process on what it does not
//! expect: a program that must go on uses a worker, whose jobs have processes of their own, or the transport `native`.

mod shared;

use clap::Parser;
use listenkit::{Precision, SmartTurn};
use listenkit_session::api::Credentials;
use listenkit_session::providers::Engines;
use listenkit_session::transport::{self, AutoSubscribe, ConnectOptions};
use listenkit_session::voice::{
    RoomInputOptions, RoomOutputOptions, SessionEvent, TurnDetection, Vad,
};
use listenkit_session::{Agent, AgentSession};

/// A voice agent in one room, without a worker.
#[derive(Parser)]
#[command(after_help = shared::SERVER)]
struct Arguments {
    /// Room to join; it is made if there is none.
    #[arg(long)]
    room: String,
    /// Who the agent is in the room.
    #[arg(long, default_value = "listenkit")]
    identity: String,
}

struct Host;

#[async_trait::async_trait]
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
    let arguments = Arguments::parse();
    let server = Credentials::from_env()?;
    let token = server.join_token(&arguments.identity, &arguments.room)?;
    let mut options = ConnectOptions::default();
    options.auto_subscribe = AutoSubscribe::AudioOnly;
    let connection = transport::open()?
        .connect(&server.ws_url(), &token, &options)
        .await?;
    println!("in room {}", connection.room.name());

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
    let mut events = session.events();
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    session
        .start_in_room(Host, connection, input, output)
        .await?;
    while let Some(event) = events.recv().await {
        match event {
            SessionEvent::ConversationItemAdded(message) => {
                println!("{}: {}", message.role.as_str(), message.text);
            }
            SessionEvent::Error { source, error, .. } => eprintln!("{source:?}: {error}"),
            SessionEvent::Close { reason, .. } => println!("over: {reason:?}"),
            _ => {}
        }
    }
    Ok(())
}
