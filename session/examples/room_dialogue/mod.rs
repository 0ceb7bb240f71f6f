//! A dialogue in a room, for several examples.

use listenkit_session::AgentSession;
use listenkit_session::api::Credentials;
use listenkit_session::providers::Engines;
use listenkit_session::transport::{self, AutoSubscribe, ConnectOptions};
use listenkit_session::voice::{CloseReason, Dialogue, RoomInputOptions, RoomOutputOptions, Vad};

use crate::shared::Failure;

/// Joins `room` as `identity` on the server that the environment names, lets `talk` lead the conversation, and leaves, however that ends. Gives why the
/// conversation is over: [`CloseReason::UserInitiated`] if `talk` came to its end.
pub(crate) async fn lead(
    room: &str,
    identity: &str,
    talk: impl AsyncFnOnce(&mut Dialogue) -> Result<(), Failure>,
) -> Result<CloseReason, Failure> {
    // Before the room is joined: nobody is to meet an agent that cannot hear.
    let session = AgentSession::builder()
        .vad(Vad::silero())
        .stt(Engines::find_stt()?)
        .tts(Engines::find_tts()?)
        .build()?;
    let server = Credentials::from_env()?;
    let token = server.agent_token(identity, room)?;
    let options = ConnectOptions::default().auto_subscribe(AutoSubscribe::AudioOnly);
    let connection = transport::open()?
        .connect(&server.ws_url(), &token, &options)
        .await?;

    let (mut dialogue, agent) = Dialogue::new(&session);
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    session
        .start_in_room(agent, connection, input, output)
        .await?;
    let outcome = tokio::select! {
        outcome = talk(&mut dialogue) => outcome,
        _ = tokio::signal::ctrl_c() => Err("stopped".into()),
    };
    // Leaves the room, too.
    session.aclose().await;
    match session.closed().await? {
        CloseReason::UserInitiated => outcome.map(|()| CloseReason::UserInitiated),
        // What `talk` says then is that the session is over, and this is why.
        reason => Ok(reason),
    }
}

/// Why a conversation is over that did not come to its end.
pub(crate) fn why(reason: CloseReason) -> String {
    match reason {
        CloseReason::ParticipantDisconnected => "they have left".to_owned(),
        CloseReason::RoomDisconnected => "the room is over".to_owned(),
        reason => format!("it is over: {reason:?}"),
    }
}
