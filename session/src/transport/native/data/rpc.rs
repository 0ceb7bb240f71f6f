//! Procedure calls: a request, its acknowledgement at once, and a response in time.
//!
//! Version 1 has a packet for each, with at most 15 kB of payload. Version 2 has a text stream for the request and for a good response; what it
//! acknowledges or refuses are packets of version 1. Who answers does so in the way of the request.

use std::collections::{HashMap, HashSet};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::data_packet::Value;
use proto::rpc_response;
use tokio::sync::oneshot;

use super::{Call, attributes};
use crate::transport::{RpcError, RpcInvocation, TextMessage, TextOptions};

/// Topics and attributes of calls that travel as text streams.
pub(super) const REQUEST_TOPIC: &str = "lk.rpc_request";
pub(super) const RESPONSE_TOPIC: &str = "lk.rpc_response";
pub(super) const ATTRIBUTE_ID: &str = "lk.rpc_request_id";
const ATTRIBUTE_METHOD: &str = "lk.rpc_request_method";
const ATTRIBUTE_TIMEOUT: &str = "lk.rpc_request_response_timeout_ms";
const ATTRIBUTE_VERSION: &str = "lk.rpc_request_version";

/// LiveKit's codes, with LiveKit's words in [`built_in`].
const UNSUPPORTED_METHOD: u32 = 1400;
const REQUEST_TOO_LARGE: u32 = 1402;
const UNSUPPORTED_VERSION: u32 = 1404;
pub(super) const APPLICATION: u32 = 1500;
const CONNECTION_TIMEOUT: u32 = 1501;
const RESPONSE_TIMEOUT: u32 = 1502;
const RECIPIENT_DISCONNECTED: u32 = 1503;
const RESPONSE_TOO_LARGE: u32 = 1504;
const SEND_FAILED: u32 = 1505;

/// Bytes of a payload in a packet, as LiveKit's clients limit it.
const LARGEST_PAYLOAD: usize = 15 * 1024;
/// Bytes of an error's message, as LiveKit's clients limit it.
const LONGEST_MESSAGE: usize = 256;
/// For the way there and back, as LiveKit's clients have it: no acknowledgement for this long means that nobody is there. It is taken off the
/// time that the other side is given.
const ROUND_TRIP: Duration = Duration::from_secs(7);
/// The other side is given this much at least.
const SHORTEST: Duration = Duration::from_secs(1);
/// What a request has that does not say how long its caller waits: the default of LiveKit's clients.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Calls that may wait for the application. One that does not answer must not fill our memory.
const MOST_ASKED: usize = 1024;

fn built_in(code: u32) -> RpcError {
    let message = match code {
        UNSUPPORTED_METHOD => "Method not supported at destination",
        REQUEST_TOO_LARGE => "Request payload too large",
        UNSUPPORTED_VERSION => "Unsupported RPC version",
        APPLICATION => "Application error in method handler",
        CONNECTION_TIMEOUT => "Connection timeout",
        RESPONSE_TIMEOUT => "Response timeout",
        RECIPIENT_DISCONNECTED => "Recipient disconnected",
        RESPONSE_TOO_LARGE => "Response payload too large",
        _ => "Failed to send",
    };
    RpcError {
        code,
        message: message.to_owned(),
        data: String::new(),
    }
}

pub(super) fn send_failed(why: String) -> RpcError {
    RpcError {
        data: why,
        ..built_in(SEND_FAILED)
    }
}

fn packet(identity: &str, value: Value) -> proto::DataPacket {
    proto::DataPacket {
        destination_identities: vec![identity.to_owned()],
        value: Some(value),
        ..Default::default()
    }
}

pub(super) fn ack(identity: &str, id: &str) -> proto::DataPacket {
    let request_id = id.to_owned();
    packet(identity, Value::RpcAck(proto::RpcAck { request_id }))
}

/// `text`, at most `limit` bytes of it.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub(super) fn response(
    identity: &str,
    id: &str,
    result: Result<&str, &RpcError>,
) -> proto::DataPacket {
    let value = match result {
        Ok(payload) => rpc_response::Value::Payload(payload.to_owned()),
        Err(error) => rpc_response::Value::Error(proto::RpcError {
            code: error.code,
            message: cut(&error.message, LONGEST_MESSAGE).to_owned(),
            data: cut(&error.data, LARGEST_PAYLOAD).to_owned(),
        }),
    };
    packet(
        identity,
        Value::RpcResponse(proto::RpcResponse {
            request_id: id.to_owned(),
            value: Some(value),
        }),
    )
}

/// How a request or a response travels.
pub(super) enum Way {
    Packet(proto::DataPacket),
    Text(TextOptions),
}

impl Call<'_> {
    pub(super) fn packet_or_text(&self, id: &str, is_text: bool) -> Result<Way, RpcError> {
        let given = self.timeout.saturating_sub(ROUND_TRIP).max(SHORTEST);
        let given_ms = u32::try_from(given.as_millis()).unwrap_or(u32::MAX);
        if is_text {
            return Ok(Way::Text(TextOptions {
                topic: REQUEST_TOPIC.to_owned(),
                attributes: attributes(&[
                    (ATTRIBUTE_ID, id),
                    (ATTRIBUTE_METHOD, self.method),
                    (ATTRIBUTE_TIMEOUT, &given_ms.to_string()),
                    (ATTRIBUTE_VERSION, "2"),
                ]),
                to: vec![self.identity.to_owned()],
                ..TextOptions::default()
            }));
        }
        if self.payload.len() > LARGEST_PAYLOAD {
            return Err(built_in(REQUEST_TOO_LARGE));
        }
        let request = proto::RpcRequest {
            id: id.to_owned(),
            method: self.method.to_owned(),
            payload: self.payload.to_owned(),
            response_timeout_ms: given_ms,
            version: 1,
            ..Default::default()
        };
        Ok(Way::Packet(packet(
            self.identity,
            Value::RpcRequest(request),
        )))
    }
}

struct Pending {
    identity: String,
    timeout: Duration,
    acknowledged: bool,
    expires: Instant,
    reply: oneshot::Sender<Result<String, RpcError>>,
}

/// Calls of ours that are not answered yet.
#[derive(Default)]
pub(super) struct Calls(HashMap<String, Pending>);

impl Calls {
    pub(super) fn begin(
        &mut self,
        id: String,
        call: &Call<'_>,
        reply: oneshot::Sender<Result<String, RpcError>>,
        now: Instant,
    ) {
        let pending = Pending {
            identity: call.identity.to_owned(),
            timeout: call.timeout,
            acknowledged: false,
            expires: now + ROUND_TRIP,
            reply,
        };
        self.0.insert(id, pending);
    }

    /// The call, if this participant was asked. One that nobody may see has no identity.
    fn of(&mut self, identity: &str, id: &str) -> Option<&mut Pending> {
        let pending = self.0.get_mut(id);
        pending.filter(|p| identity.is_empty() || p.identity == identity)
    }

    pub(super) fn ack(&mut self, identity: &str, id: &str, now: Instant) {
        if let Some(pending) = self.of(identity, id).filter(|p| !p.acknowledged) {
            pending.acknowledged = true;
            pending.expires = super::super::after(now, pending.timeout);
        }
    }

    fn resolve(&mut self, identity: &str, id: &str, result: Result<String, RpcError>) {
        if self.of(identity, id).is_some()
            && let Some(pending) = self.0.remove(id)
        {
            _ = pending.reply.send(result);
        }
    }

    pub(super) fn response(&mut self, identity: &str, response: proto::RpcResponse) {
        let result = match response.value {
            Some(rpc_response::Value::Payload(payload)) => Ok(payload),
            Some(rpc_response::Value::Error(error)) => Err(RpcError {
                code: error.code,
                message: error.message,
                data: error.data,
            }),
            None => Ok(String::new()),
            // We never said that we understand it.
            Some(rpc_response::Value::CompressedPayload(_)) => Err(built_in(APPLICATION)),
        };
        self.resolve(identity, &response.request_id, result);
    }

    pub(super) fn response_text(&mut self, message: TextMessage, is_whole: bool) {
        let Some(id) = message.attributes.get(ATTRIBUTE_ID) else {
            return;
        };
        let result = if is_whole {
            Ok(message.text)
        } else {
            Err(built_in(APPLICATION))
        };
        self.resolve(&message.identity, id, result);
    }

    /// A participant left.
    pub(super) fn abort(&mut self, identity: &str) {
        for (_, pending) in self.0.extract_if(|_, p| p.identity == identity) {
            _ = pending.reply.send(Err(built_in(RECIPIENT_DISCONNECTED)));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|p| p.expires).min()
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        for (_, pending) in self.0.extract_if(|_, p| p.expires <= now) {
            let code = if pending.acknowledged {
                RESPONSE_TIMEOUT
            } else {
                CONNECTION_TIMEOUT
            };
            _ = pending.reply.send(Err(built_in(code)));
        }
    }
}

/// A call from another participant.
pub(super) struct Request {
    identity: String,
    id: String,
    method: String,
    payload: String,
    timeout: Duration,
    is_version_known: bool,
    /// Whether it came as text, so that a good answer goes as text.
    is_text: bool,
}

impl Request {
    pub(super) fn of_packet(identity: String, request: proto::RpcRequest) -> Self {
        Self {
            identity,
            id: request.id,
            method: request.method,
            payload: request.payload,
            timeout: Duration::from_millis(request.response_timeout_ms.into()),
            is_version_known: request.version == 1 && request.compressed_payload.is_empty(),
            is_text: false,
        }
    }

    pub(super) fn of_text(mut message: TextMessage) -> Self {
        let mut take = |name| message.attributes.remove(name).unwrap_or_default();
        let timeout: Option<u32> = take(ATTRIBUTE_TIMEOUT).parse().ok();
        Self {
            id: take(ATTRIBUTE_ID),
            method: take(ATTRIBUTE_METHOD),
            timeout: timeout.map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms.into())),
            is_version_known: take(ATTRIBUTE_VERSION) == "2",
            identity: message.identity,
            payload: message.text,
            is_text: true,
        }
    }

    pub(super) fn refused(self, code: u32) -> Answered {
        Answered {
            identity: self.identity,
            id: self.id,
            is_text: self.is_text,
            result: Err(built_in(code)),
        }
    }
}

/// An answer to a call from another participant.
pub(crate) struct Answered {
    pub(super) identity: String,
    pub(super) id: String,
    is_text: bool,
    pub(super) result: Result<String, RpcError>,
}

impl Answered {
    pub(super) fn packet_or_text(&self) -> Way {
        let (identity, id) = (&self.identity, &self.id);
        match &self.result {
            Ok(_) if self.is_text => Way::Text(TextOptions {
                topic: RESPONSE_TOPIC.to_owned(),
                attributes: attributes(&[(ATTRIBUTE_ID, id)]),
                to: vec![identity.clone()],
                ..TextOptions::default()
            }),
            Ok(payload) if payload.len() > LARGEST_PAYLOAD => {
                Way::Packet(response(identity, id, Err(&built_in(RESPONSE_TOO_LARGE))))
            }
            Ok(payload) => Way::Packet(response(identity, id, Ok(payload))),
            Err(error) => Way::Packet(response(identity, id, Err(error))),
        }
    }
}

struct Question {
    identity: String,
    id: String,
    is_text: bool,
    expires: Instant,
    answer: oneshot::Receiver<Result<String, RpcError>>,
}

impl Question {
    fn answered(self, result: Result<String, RpcError>) -> Answered {
        Answered {
            identity: self.identity,
            id: self.id,
            is_text: self.is_text,
            result,
        }
    }
}

/// Calls that the application has not answered yet.
#[derive(Default)]
pub(super) struct Asked {
    methods: HashSet<String>,
    open: Vec<Question>,
}

impl Asked {
    pub(super) fn register(&mut self, method: &str) {
        self.methods.insert(method.to_owned());
    }

    /// What the application is asked, or what is answered without it. Nothing for a request that is said twice.
    pub(super) fn request(
        &mut self,
        request: Request,
        now: Instant,
    ) -> Result<Option<RpcInvocation>, Answered> {
        let is_known = |q: &Question| q.id == request.id && q.identity == request.identity;
        if self.open.iter().any(is_known) {
            return Ok(None);
        }
        if !request.is_version_known {
            return Err(request.refused(UNSUPPORTED_VERSION));
        }
        if !self.methods.contains(&request.method) {
            return Err(request.refused(UNSUPPORTED_METHOD));
        }
        if self.open.len() >= MOST_ASKED {
            tracing::warn!("{MOST_ASKED} procedure calls wait for an answer; another is refused");
            return Err(request.refused(APPLICATION));
        }
        let (reply, answer) = oneshot::channel();
        self.open.push(Question {
            identity: request.identity.clone(),
            id: request.id,
            is_text: request.is_text,
            expires: now + request.timeout,
            answer,
        });
        Ok(Some(RpcInvocation {
            identity: request.identity,
            method: request.method,
            payload: request.payload,
            timeout: request.timeout,
            reply,
        }))
    }

    pub(super) fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Answered> {
        for at in 0..self.open.len() {
            let answer = std::pin::Pin::new(&mut self.open[at].answer);
            if let Poll::Ready(result) = std::future::Future::poll(answer, cx) {
                let question = self.open.swap_remove(at);
                // Dropped without an answer.
                let result = result.unwrap_or_else(|_| Err(built_in(APPLICATION)));
                return Poll::Ready(question.answered(result));
            }
        }
        Poll::Pending
    }

    /// A caller left: nobody waits for the answer.
    pub(super) fn abort(&mut self, identity: &str) {
        self.open.retain(|q| q.identity != identity);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|q| q.expires).min()
    }

    /// Those that the application did not answer in time.
    pub(super) fn handle_time(&mut self, now: Instant) -> Vec<Answered> {
        let late = self.open.extract_if(.., |q| q.expires <= now);
        late.map(|q| q.answered(Err(built_in(RESPONSE_TIMEOUT))))
            .collect()
    }
}
