//! A dialogue in a room, for several examples.

use std::error::Error;

use listenkit_session::AgentSession;
use listenkit_session::api::Credentials;
use listenkit_session::providers::Engines;
use listenkit_session::transport::{self, AutoSubscribe, ConnectOptions};
use listenkit_session::voice::{Dialogue, RoomInputOptions, RoomOutputOptions, Vad};

/// Joins `room` as `identity` on the server that the environment names.
pub(crate) async fn join(
    room: &str,
    identity: &str,
) -> Result<(AgentSession, Dialogue), Box<dyn Error>> {
    let server = Credentials::from_env()?;
    let token = server.join_token(identity, room)?;
    let mut options = ConnectOptions::default();
    options.auto_subscribe = AutoSubscribe::AudioOnly;
    let connection = transport::open()?
        .connect(&server.ws_url(), &token, &options)
        .await?;
    let engines = Engines::find()?;
    let session = AgentSession::builder()
        .vad(Vad::silero())
        .stt(engines.stt)
        .tts(engines.tts)
        .build()?;
    let (dialogue, agent) = Dialogue::new(&session);
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    session
        .start_in_room(agent, connection, input, output)
        .await?;
    Ok((session, dialogue))
}
