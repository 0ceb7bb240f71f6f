//! `/agent`: one worker's connection.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::worker_message::Message as FromWorker;
use tokio::sync::mpsc;

use super::{AgentTraffic, Event, Registration};
use crate::tokens::{self, Refused};
use crate::{Shared, ids, wait_while_silent};

/// How long a worker may take to register.
const REGISTER_DEADLINE: Duration = Duration::from_secs(10);
/// How long a worker may take to read a message.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Messages that wait for a worker. One that lets more pile up misses some.
const OUTBOX: usize = 256;

pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match tokens::verify(&shared, &headers, None) {
        Ok(claims) if claims.video.agent => upgrade.on_upgrade(move |socket| run(shared, socket)),
        Ok(_) => Refused::no_permission().into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn run(shared: Arc<Shared>, mut socket: WebSocket) {
    let id = ids::new("AW_");
    shared.agent_log.push(&id, AgentTraffic::Opened);
    match tokio::time::timeout(REGISTER_DEADLINE, first_message(&mut socket)).await {
        Ok(Some(FromWorker::Register(request))) => {
            shared.agent_log.push(
                &id,
                AgentTraffic::FromWorker(Box::new(FromWorker::Register(request.clone()))),
            );
            serve(&shared, socket, &id, request).await;
        }
        _ => tracing::warn!("a worker did not register"),
    }
    shared.agent_log.push(&id, AgentTraffic::Closed);
    shared.changed();
}

async fn first_message(socket: &mut WebSocket) -> Option<FromWorker> {
    loop {
        if let Message::Binary(bytes) = socket.recv().await?.ok()? {
            return proto::WorkerMessage::decode(bytes).ok()?.message;
        }
    }
}

async fn serve(
    shared: &Arc<Shared>,
    socket: WebSocket,
    id: &str,
    request: proto::RegisterWorkerRequest,
) {
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let worker = Box::new(Registration {
        id: id.to_owned(),
        request,
        outbox,
    });
    shared.tell_dispatcher(Event::Registered { worker });
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            outgoing = messages.recv() => {
                wait_while_silent(shared).await;
                let Some(message) = outgoing else { break };
                let bytes = Message::Binary(message.encode_to_vec().into());
                if let Some(message) = message.message {
                    shared.agent_log.push(id, AgentTraffic::ToWorker(Box::new(message)));
                    shared.changed();
                }
                if !matches!(tokio::time::timeout(WRITE_DEADLINE, sink.send(bytes)).await, Ok(Ok(()))) {
                    break;
                }
            }
            incoming = stream.next() => match incoming {
                Some(Ok(Message::Binary(bytes))) => {
                    let Ok(proto::WorkerMessage { message: Some(message) }) = proto::WorkerMessage::decode(bytes) else {
                        continue;
                    };
                    shared.agent_log.push(id, AgentTraffic::FromWorker(Box::new(message.clone())));
                    shared.tell_dispatcher(Event::Message { worker: id.to_owned(), message: Box::new(message) });
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    shared.tell_dispatcher(Event::Closed {
        worker: id.to_owned(),
    });
}
