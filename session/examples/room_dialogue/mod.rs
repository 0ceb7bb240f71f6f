//! A dialogue in a room, for several examples.

use std::time::Duration;

use listenkit_session::AgentSession;
use listenkit_session::api::Credentials;
use listenkit_session::providers::Engines;
use listenkit_session::transport::{self, AutoSubscribe, ConnectOptions, Participant};
use listenkit_session::voice::{
    CloseReason, Dialogue, RoomInputOptions, RoomOutputOptions, SessionError, Vad,
};

use crate::shared::Failure;

/// Longer than a text takes to be heard.
pub(crate) const HEARD: Duration = Duration::from_secs(60);

/// Joins `room` as `identity` on the server that the environment names, waits for somebody, lets `talk` lead the conversation with them, and leaves, however
/// that ends. Gives why the conversation is over: [`CloseReason::UserInitiated`] if `talk` came to its end.
pub(crate) async fn lead(
    room: &str,
    identity: &str,
    wait: Duration,
    talk: impl AsyncFnOnce(&mut Dialogue, Participant) -> Result<(), Failure>,
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
    let conversation = async {
        match dialogue.wait_for_participant(wait).await? {
            Some(person) => talk(&mut dialogue, person).await,
            None => Err(format!("nobody came into room {room} within {} s", wait.as_secs()).into()),
        }
    };
    let outcome = tokio::select! {
        outcome = conversation => outcome,
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

/// What comes of something that is said. Speech waits for somebody who hears the agent's track, and a client may never subscribe to it.
pub(crate) async fn heard<T>(
    limit: Duration,
    speech: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, speech).await {
        Ok(heard) => Ok(heard?),
        Err(_) => Err(
            "nobody in the room hears this agent: their clients have not subscribed to its track"
                .into(),
        ),
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
