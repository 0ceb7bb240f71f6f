//! `/rtc`: a client's signalling, from the request to the end of its WebSocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_token::Claims;
use prost::Message as _;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::room::{Admission, Command, JoinError, Outgoing, RoomConfig, RoomHandle};
use crate::tokens::{self, Refused};
use crate::{Shared, wait_while_silent};

/// Messages that wait for a client. One that lets more pile up misses some.
const OUTBOX: usize = 1024;

/// What a client says of itself in the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConnectQuery {
    access_token: Option<String>,
    auto_subscribe: Option<String>,
    reconnect: Option<String>,
    sid: String,
    sdk: String,
    version: String,
    protocol: i32,
    client_protocol: i32,
    capabilities: String,
}

impl ConnectQuery {
    fn client(&self) -> proto::ClientInfo {
        let capability =
            |name: &str| proto::client_info::Capability::from_str_name(name).map(i32::from);
        let sdk = proto::client_info::Sdk::from_str_name(&self.sdk.to_ascii_uppercase())
            .unwrap_or_default();
        proto::ClientInfo {
            sdk: sdk.into(),
            version: self.version.clone(),
            protocol: self.protocol,
            client_protocol: self.client_protocol,
            capabilities: self
                .capabilities
                .split(',')
                .filter_map(capability)
                .collect(),
            ..Default::default()
        }
    }
}

/// Truth as clients write it.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "true")
}

/// Checks who may join which room.
fn admit(shared: &Shared, query: &ConnectQuery, headers: &HeaderMap) -> Result<Claims, Refused> {
    let claims = tokens::verify(shared, headers, query.access_token.as_deref())?;
    let grants = &claims.video;
    match (
        grants.room_join,
        grants.room.is_empty(),
        claims.sub.is_empty(),
    ) {
        (false, ..) => Err(Refused::no_permission()),
        (_, _, true) => Err(Refused::bad_request("identity cannot be empty")),
        (_, true, _) => Err(Refused::bad_request("no room name")),
        _ => Ok(claims),
    }
}

/// `/rtc/validate`: clients ask it why a connection was refused.
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ConnectQuery>,
    headers: HeaderMap,
) -> Result<&'static str, Refused> {
    admit(&shared, &query, &headers).map(|_| "success")
}

/// `/rtc`.
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ConnectQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if shared.faults.refuses_signal() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let claims = match admit(&shared, &query, &headers) {
        Ok(claims) => claims,
        Err(refused) => return refused.into_response(),
    };
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let entered = if query.reconnect.as_deref().is_some_and(is_true) {
        resume(&shared, &claims, &query.sid, outbox).await
    } else {
        join(&shared, claims, &query, outbox).await
    };
    match entered {
        Ok(session) => upgrade.on_upgrade(move |socket| run(shared, socket, session, messages)),
        Err(status) => status.into_response(),
    }
}

/// A WebSocket's place in a room. `None` for one that has just been told to go away.
struct Session {
    room: Option<RoomHandle>,
    sid: String,
    generation: u64,
}

/// Also of a client that goes away between its admission and the WebSocket.
impl Drop for Session {
    fn drop(&mut self) {
        let (Some(room), Ok(runtime)) = (self.room.take(), Handle::try_current()) else {
            return;
        };
        let command = Command::SignalLost {
            sid: std::mem::take(&mut self.sid),
            generation: self.generation,
        };
        runtime.spawn(async move { room.commands.send(command).await });
    }
}

fn next_generation() -> u64 {
    static GENERATION: AtomicU64 = AtomicU64::new(1);
    GENERATION.fetch_add(1, Ordering::Relaxed)
}

async fn join(
    shared: &Arc<Shared>,
    claims: Claims,
    query: &ConnectQuery,
    signal: mpsc::Sender<Outgoing>,
) -> Result<Session, StatusCode> {
    let generation = next_generation();
    // A room may close between being found and being entered; then there is a new one.
    for _ in 0..8 {
        let config = claims
            .room_config
            .clone()
            .map(RoomConfig::from)
            .unwrap_or_default();
        let room = shared
            .room_or_new(&claims.video.room, config)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let (reply, answer) = oneshot::channel();
        let admission = Box::new(Admission {
            claims: claims.clone(),
            client: query.client(),
            auto_subscribe: query.auto_subscribe.as_deref().is_none_or(is_true),
            signal: signal.clone(),
            generation,
        });
        if room
            .commands
            .send(Command::Join { admission, reply })
            .await
            .is_err()
        {
            continue;
        }
        match answer.await {
            Ok(Ok(sid)) => {
                return Ok(Session {
                    room: Some(room),
                    sid,
                    generation,
                });
            }
            Ok(Err(JoinError::Full)) => return Err(StatusCode::FORBIDDEN),
            Err(_) => {}
        }
    }
    Err(StatusCode::SERVICE_UNAVAILABLE)
}

/// A client that nobody knows is told to join anew.
async fn resume(
    shared: &Arc<Shared>,
    claims: &Claims,
    sid: &str,
    signal: mpsc::Sender<Outgoing>,
) -> Result<Session, StatusCode> {
    let generation = next_generation();
    if let Some(room) = shared.find_room(&claims.video.room) {
        let (reply, answer) = oneshot::channel();
        let identity = claims.sub.clone();
        let command = Command::Resume {
            identity,
            sid: sid.to_owned(),
            signal: signal.clone(),
            generation,
            reply,
        };
        if room.commands.send(command).await.is_ok() && answer.await.unwrap_or(false) {
            return Ok(Session {
                room: Some(room),
                sid: sid.to_owned(),
                generation,
            });
        }
    }
    let leave = proto::LeaveRequest {
        reason: proto::DisconnectReason::StateMismatch.into(),
        action: proto::leave_request::Action::Reconnect.into(),
        ..Default::default()
    };
    let message = proto::SignalResponse {
        message: Some(proto::signal_response::Message::Leave(leave)),
    };
    _ = signal.send(Outgoing::Message(Box::new(message))).await;
    _ = signal.send(Outgoing::Close).await;
    Ok(Session {
        room: None,
        sid: String::new(),
        generation,
    })
}

/// How long a client has to take a message: one that reads nothing is cut off.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

async fn run(
    shared: Arc<Shared>,
    socket: WebSocket,
    session: Session,
    mut messages: mpsc::Receiver<Outgoing>,
) {
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            outgoing = messages.recv() => {
                wait_while_silent(&shared).await;
                match outgoing {
                    Some(Outgoing::Message(message)) => {
                        tracing::debug!(sid = session.sid, ?message, "to client");
                        let bytes = Message::Binary(message.encode_to_vec().into());
                        if !matches!(tokio::time::timeout(WRITE_DEADLINE, sink.send(bytes)).await, Ok(Ok(()))) {
                            break;
                        }
                    }
                    Some(Outgoing::Close) => {
                        _ = tokio::time::timeout(WRITE_DEADLINE, sink.close()).await;
                        break;
                    }
                    Some(Outgoing::Cut) | None => break,
                }
            }
            incoming = stream.next() => match incoming {
                Some(Ok(Message::Binary(bytes))) => {
                    let Ok(request) = proto::SignalRequest::decode(bytes) else { continue };
                    tracing::debug!(sid = session.sid, ?request, "from client");
                    let (Some(room), Some(request)) = (&session.room, request.message) else { continue };
                    let (sid, generation) = (session.sid.clone(), session.generation);
                    let command = Command::Signal { sid, generation, request: Box::new(request) };
                    if room.commands.send(command).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
}
