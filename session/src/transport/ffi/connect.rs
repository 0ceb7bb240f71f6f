//! Joining a room.

use std::sync::Arc;
use std::time::Duration;

use listenkit_livekit_ffi::messages::{
    ConnectRequest, Event, ReadyForRoomEventRequest, Request, RoomOptions,
};
use listenkit_livekit_ffi::{CallError, Client};
use tokio::sync::mpsc;

use super::room::{LivekitRoom, Shared};
use super::task;
use crate::redact::without_tokens;
use crate::transport::{AutoSubscribe, ConnectOptions, Connection, TransportError};

/// What the library is given on top of its own time limit, to report that it has passed.
const SLACK: Duration = Duration::from_secs(2);

pub(super) async fn connect(
    client: &'static Client,
    url: &str,
    token: &str,
    options: &ConnectOptions,
) -> Result<Connection, TransportError> {
    let (url, token, options) = (url.to_owned(), token.to_owned(), options.clone());
    // In a task of its own, so that a caller who gives up leaves no room behind: what the task makes is dropped then, which leaves the room.
    let joining = tokio::spawn(async move { join(client, url, token, options).await });
    joining.await.unwrap_or(Err(TransportError::Closed))
}

async fn join(
    client: &'static Client,
    url: String,
    token: String,
    options: ConnectOptions,
) -> Result<Connection, TransportError> {
    let failed = |message: String| TransportError::Connect {
        url: url.clone(),
        message: without_tokens(&message),
    };
    let limit = options.timeout;
    let call = client
        .call(|id| {
            Request::Connect(ConnectRequest {
                url: url.clone(),
                token,
                options: RoomOptions {
                    // The library knows all or nothing; the rest is asked for, track by track.
                    auto_subscribe: Some(options.auto_subscribe == AutoSubscribe::All),
                    adaptive_stream: Some(false),
                    dynacast: Some(false),
                    join_retries: None,
                    connect_timeout_ms: Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
                },
                request_async_id: Some(id),
            })
        })
        .map_err(|e| failed(e.to_string()))?;
    let mut incoming = call
        .within(limit.saturating_add(SLACK))
        .await
        .map_err(|e| match e {
            CallError::Timeout(_) => TransportError::Timeout {
                what: "joining the room",
                after: limit,
            },
            other => failed(other.to_string()),
        })?;
    let Event::Connect(callback) = incoming.message.clone() else {
        return Err(failed(
            "the media library answered something else".to_owned(),
        ));
    };
    let Some(result) = callback.result else {
        return Err(failed(callback.error.unwrap_or_default()));
    };
    let taken = (
        incoming.take(&result.room.handle),
        incoming.take(&result.local_participant.handle),
    );
    let (Some(room), Some(local)) = taken else {
        return Err(failed("the media library gave no room".to_owned()));
    };
    let Some(inputs) = client.room_inputs(&room) else {
        return Err(failed("the media library gave no events".to_owned()));
    };
    let (events, receiver) = mpsc::unbounded_channel();
    let ready = Request::ReadyForRoomEvent(ReadyForRoomEventRequest {
        room_handle: room.id(),
    });
    let shared = Arc::new(Shared::new(
        client,
        room,
        local,
        options.auto_subscribe,
        &result,
        &mut incoming,
    ));
    let ended = task::start(
        Arc::clone(&shared),
        inputs,
        events,
        options.reconnect_timeout,
    );
    let room = LivekitRoom::new(shared, ended);
    // The library holds the room's events back until now.
    client.send(ready).map_err(|e| failed(e.to_string()))?;
    room.subscribe_to_present();
    Ok(Connection {
        room: Arc::new(room),
        events: receiver,
    })
}
