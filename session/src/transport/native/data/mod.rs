//! What travels on a room's data channels: user packets, text streams and procedure calls.
//!
//! A state machine without sockets, clocks or tasks. The room's task feeds it what arrived and what the application asks for; out come events,
//! and packets in two queues that the task empties into the data channels. Whoever waits for something is told by [`Data::handle_time`] at the
//! latest, so nothing waits for ever.
//!
//! Reliable packets are numbered. The newest are kept, so that after a resumed connection those that the server has not seen are sent once more; it
//! and we know repeated ones by their numbers.

mod rpc;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::{Kind, Value};
use tokio::sync::oneshot;

use crate::transport::{
    DataOptions, DataPacket, RoomEvent, RpcError, TextMessage, TextOptions, TransportError,
};
pub(crate) use rpc::Answered;
pub(crate) use text::TextOut;

/// What we tell others that we understand: text streams in one packet, and procedure calls in text streams. For the signal client's options.
pub(crate) const CLIENT_PROTOCOL: i32 = 2;

/// From this protocol on a client takes procedure calls as text streams, which have no limit of 15 kB.
const PROTOCOL_CALLS_AS_TEXT: i32 = 1;
/// From this protocol on a client takes a short text in the header of its stream.
const PROTOCOL_INLINE_TEXT: i32 = 2;

/// Largest packet. What LiveKit's library agrees upon with its servers and refuses to exceed (0.13.2, measured); WebRTC's default is 65 536 (RFC 8841).
const LARGEST_PACKET: usize = 64_000;
/// Reliable bytes that may wait for a data channel. Beyond it the application is refused: the other side has read nothing for long.
const LONGEST_QUEUE: usize = 8 << 20;
/// Lossy packets that may wait. They are about the present, so the oldest are dropped.
const LOSSY_QUEUE: usize = 64;
/// Reliable bytes kept for a resumed connection: more than a data channel has in flight (its send buffer is smaller), so what was not
/// acknowledged is among them.
const HISTORY: usize = 1 << 20;

/// Which data channel a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// `_reliable`: in order and complete.
    Reliable,
    /// `_lossy`: as fast as possible.
    Lossy,
}

/// The data of one room.
pub(crate) struct Data {
    /// A moment on both clocks: streams carry the time of day.
    epoch: (Instant, SystemTime),
    /// What each of the others understands.
    protocols: HashMap<String, i32>,
    /// Number of the newest reliable packet by sender.
    heard: HashMap<String, u32>,
    next: u32,
    reliable: VecDeque<(u32, Vec<u8>)>,
    reliable_bytes: usize,
    history: VecDeque<(u32, Vec<u8>)>,
    history_bytes: usize,
    lossy: VecDeque<Vec<u8>>,
    texts: text::Incoming,
    calls: rpc::Calls,
    asked: rpc::Asked,
    events: VecDeque<RoomEvent>,
    /// Of data that we cannot read.
    has_warned: bool,
}

impl Data {
    /// An empty one; the time of day is counted from here.
    pub(crate) fn new(now: Instant, time_of_day: SystemTime) -> Self {
        Self {
            epoch: (now, time_of_day),
            protocols: HashMap::new(),
            heard: HashMap::new(),
            next: 1,
            reliable: VecDeque::new(),
            reliable_bytes: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            lossy: VecDeque::new(),
            texts: text::Incoming::default(),
            calls: rpc::Calls::default(),
            asked: rpc::Asked::default(),
            events: VecDeque::new(),
            has_warned: false,
        }
    }

    /// The time of day at `now`, for [`TextOut::open`].
    pub(crate) fn time_of_day(&self, now: Instant) -> SystemTime {
        self.epoch.1 + now.saturating_duration_since(self.epoch.0)
    }

    /// Someone is here who understands this protocol (`ParticipantInfo.client_protocol`). May be said again.
    pub(crate) fn joined(&mut self, identity: &str, client_protocol: i32) {
        self.protocols.insert(identity.to_owned(), client_protocol);
    }

    /// Someone left: its streams break off, and calls to it fail.
    pub(crate) fn left(&mut self, identity: &str, sid: &str) {
        self.protocols.remove(identity);
        self.heard.remove(sid);
        self.texts.abort(sid);
        self.calls.abort(identity);
        self.asked.abort(identity);
    }

    /// Takes calls to `method` from here on.
    pub(crate) fn register(&mut self, method: &str) {
        self.asked.register(method);
    }

    /// A message of a data channel.
    pub(crate) fn handle(&mut self, lane: Lane, bytes: &[u8], now: Instant) {
        let Ok(packet) = proto::DataPacket::decode(bytes) else {
            tracing::warn!("{} bytes that are no data packet", bytes.len());
            return;
        };
        if lane == Lane::Reliable && packet.sequence > 0 && !packet.participant_sid.is_empty() {
            let newest = self
                .heard
                .entry(packet.participant_sid.clone())
                .or_default();
            if packet.sequence <= *newest {
                return;
            }
            *newest = packet.sequence;
        }
        let (identity, sid) = (packet.participant_identity, packet.participant_sid);
        match packet.value {
            Some(Value::User(user)) => self
                .events
                .push_back(RoomEvent::Data(user_packet(identity, user))),
            Some(Value::StreamHeader(header)) => {
                if header.topic == rpc::REQUEST_TOPIC
                    && let Some(id) = header.attributes.get(rpc::ATTRIBUTE_ID)
                {
                    self.send_own(rpc::ack(&identity, id));
                }
                let heard = self.texts.header(&sid, identity, header, now);
                self.heard_text(heard, now);
            }
            Some(Value::StreamChunk(chunk)) => {
                let heard = self.texts.chunk(&sid, chunk, now);
                self.heard_text(heard, now);
            }
            Some(Value::StreamTrailer(trailer)) => {
                let heard = self.texts.trailer(&sid, trailer);
                self.heard_text(heard, now);
            }
            Some(Value::RpcRequest(request)) => {
                self.send_own(rpc::ack(&identity, &request.id));
                self.asked_for(rpc::Request::of_packet(identity, request), now);
            }
            Some(Value::RpcAck(ack)) => self.calls.ack(&identity, &ack.request_id, now),
            Some(Value::RpcResponse(response)) => self.calls.response(&identity, response),
            Some(Value::EncryptedPacket(_)) if !std::mem::replace(&mut self.has_warned, true) => {
                tracing::warn!(
                    identity,
                    "data is encrypted end to end: this transport cannot read it"
                );
            }
            // Telephone keys, transcripts and chat of old clients, metrics: nobody here asks for them.
            _ => {}
        }
    }

    fn heard_text(&mut self, heard: text::Heard, now: Instant) {
        let (message, is_whole) = match heard {
            text::Heard::Nothing => return,
            text::Heard::Whole(message) => (message, true),
            text::Heard::Broken(message) => (message, false),
        };
        match message.topic.as_str() {
            rpc::REQUEST_TOPIC => {
                let request = rpc::Request::of_text(message);
                if is_whole {
                    self.asked_for(request, now);
                } else {
                    self.answer(&request.refused(rpc::APPLICATION), now);
                }
            }
            rpc::RESPONSE_TOPIC => self.calls.response_text(message, is_whole),
            _ if is_whole => self.events.push_back(RoomEvent::Text(message)),
            _ => {}
        }
    }

    fn asked_for(&mut self, request: rpc::Request, now: Instant) {
        match self.asked.request(request, now) {
            Ok(Some(invocation)) => self.events.push_back(RoomEvent::Rpc(invocation)),
            Ok(None) => {}
            Err(refusal) => self.answer(&refusal, now),
        }
    }

    /// What happened.
    pub(crate) fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.pop_front()
    }

    /// When [`handle_time`](Self::handle_time) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [
            self.texts.deadline(),
            self.calls.deadline(),
            self.asked.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Gives up what was waited for too long.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.texts.handle_time(now);
        self.calls.handle_time(now);
        for late in self.asked.handle_time(now) {
            self.answer(&late, now);
        }
    }

    /// The oldest packet that waits for a data channel.
    pub(crate) fn front(&self, lane: Lane) -> Option<&[u8]> {
        match lane {
            Lane::Reliable => self.reliable.front().map(|(_, bytes)| bytes.as_slice()),
            Lane::Lossy => self.lossy.front().map(Vec::as_slice),
        }
    }

    /// The data channel took what [`front`](Self::front) showed.
    pub(crate) fn sent(&mut self, lane: Lane) {
        match lane {
            Lane::Lossy => _ = self.lossy.pop_front(),
            Lane::Reliable => {
                let Some((sequence, bytes)) = self.reliable.pop_front() else {
                    return;
                };
                self.reliable_bytes -= bytes.len();
                self.history_bytes += bytes.len();
                self.history.push_back((sequence, bytes));
                while self.history_bytes > HISTORY {
                    let Some((_, bytes)) = self.history.pop_front() else {
                        break;
                    };
                    self.history_bytes -= bytes.len();
                }
            }
        }
    }

    /// Reliable bytes that wait for a data channel.
    pub(crate) fn waiting(&self) -> usize {
        self.reliable_bytes
    }

    /// Queues a packet of a text stream.
    pub(crate) fn send(&mut self, packet: proto::DataPacket) -> Result<(), TransportError> {
        let refused = |message: String| TransportError::Refused {
            what: "cannot send data",
            message,
        };
        self.queue(packet).map_err(refused)
    }

    fn queue(&mut self, mut packet: proto::DataPacket) -> Result<(), String> {
        #[expect(deprecated, reason = "the server reads it")]
        let lane = if packet.kind == i32::from(Kind::Lossy) {
            Lane::Lossy
        } else {
            Lane::Reliable
        };
        if lane == Lane::Reliable {
            packet.sequence = self.next;
        }
        let bytes = packet.encode_to_vec();
        if bytes.len() > LARGEST_PACKET {
            return Err(format!(
                "a packet of {} bytes, where {LARGEST_PACKET} may travel",
                bytes.len()
            ));
        }
        match lane {
            Lane::Lossy => {
                if self.lossy.len() >= LOSSY_QUEUE {
                    self.lossy.pop_front();
                }
                self.lossy.push_back(bytes);
            }
            Lane::Reliable => {
                if self.reliable_bytes + bytes.len() > LONGEST_QUEUE {
                    return Err(format!("{} bytes wait already", self.reliable_bytes));
                }
                self.reliable_bytes += bytes.len();
                self.reliable.push_back((self.next, bytes));
                self.next += 1;
            }
        }
        Ok(())
    }

    /// Queues an answer of ours, which nobody waits for here.
    fn send_own(&mut self, packet: proto::DataPacket) {
        if let Err(error) = self.queue(packet) {
            tracing::warn!("an answer is not sent: {error}");
        }
    }

    /// Queues a user packet.
    pub(crate) fn publish(
        &mut self,
        payload: &[u8],
        options: &DataOptions,
    ) -> Result<(), TransportError> {
        let user = proto::UserPacket {
            payload: payload.to_vec(),
            topic: options.topic.clone(),
            ..Default::default()
        };
        let kind = if options.reliable {
            Kind::Reliable
        } else {
            Kind::Lossy
        };
        #[expect(deprecated, reason = "the server reads it")]
        let packet = proto::DataPacket {
            kind: kind.into(),
            destination_identities: options.to.clone(),
            value: Some(Value::User(user)),
            ..Default::default()
        };
        self.send(packet)
    }

    /// Queues a whole text; gives the id of its stream. Everybody understands three packets or more; one is enough where all who are meant do.
    pub(crate) fn send_text(
        &mut self,
        text: &str,
        options: &TextOptions,
        now: Instant,
    ) -> Result<String, TransportError> {
        let understands = |identity: &String| {
            self.protocols
                .get(identity)
                .is_some_and(|p| *p >= PROTOCOL_INLINE_TEXT)
        };
        let is_inline = if options.to.is_empty() {
            self.protocols.keys().all(understands)
        } else {
            options.to.iter().all(understands)
        };
        let at = self.time_of_day(now);
        if is_inline && let Some((id, packet)) = text::inline(text, options, at) {
            self.send(packet)?;
            return Ok(id);
        }
        // All of it or nothing: a stream without an end is of no use.
        if self.reliable_bytes + text.len() > LONGEST_QUEUE {
            return Err(TransportError::Refused {
                what: "cannot send text",
                message: format!("{} bytes wait already", self.reliable_bytes),
            });
        }
        let (mut out, header) = TextOut::open(options, Some(text.len()), at)?;
        let id = out.id().to_owned();
        self.send(header)?;
        for chunk in out.write(text) {
            self.send(chunk)?;
        }
        self.send(out.close(HashMap::new()))?;
        Ok(id)
    }

    /// Calls a method of another participant. `reply` hears the answer or why there is none.
    pub(crate) fn call(
        &mut self,
        call: Call<'_>,
        reply: oneshot::Sender<Result<String, RpcError>>,
        now: Instant,
    ) {
        let protocol = self.protocols.get(call.identity).copied().unwrap_or(0);
        let is_text = protocol >= PROTOCOL_CALLS_AS_TEXT;
        let id = text::fresh_id();
        let sent = match call.packet_or_text(&id, is_text) {
            Ok(rpc::Way::Packet(packet)) => self.queue(packet).map_err(rpc::send_failed),
            Ok(rpc::Way::Text(options)) => self
                .send_text(call.payload, &options, now)
                .map(drop)
                .map_err(|e| rpc::send_failed(e.to_string())),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => self.calls.begin(id, &call, reply, now),
            Err(error) => _ = reply.send(Err(error)),
        }
    }

    /// The next answer of the application to a call that it was asked. Never ends where none is awaited. May be dropped at any time.
    pub(crate) async fn answered(&mut self) -> Answered {
        std::future::poll_fn(|cx| self.asked.poll_answered(cx)).await
    }

    /// Sends an answer of the application.
    pub(crate) fn answer(&mut self, answered: &Answered, now: Instant) {
        match answered.packet_or_text() {
            rpc::Way::Packet(packet) => self.send_own(packet),
            rpc::Way::Text(options) => {
                let payload = answered.result.as_deref().unwrap_or_default();
                if let Err(error) = self.send_text(payload, &options, now) {
                    let error = rpc::send_failed(error.to_string());
                    self.send_own(rpc::response(&answered.identity, &answered.id, Err(&error)));
                }
            }
        }
    }

    /// What we have heard, for the SyncState of a resumed connection: sender's id and number of its newest packet.
    pub(crate) fn receive_states(&self) -> Vec<proto::DataChannelReceiveState> {
        let state = |(sid, sequence): (&String, &u32)| proto::DataChannelReceiveState {
            publisher_sid: sid.clone(),
            last_seq: *sequence,
        };
        self.heard.iter().map(state).collect()
    }

    /// The connection was resumed, and the server has seen our reliable packets up to this number (`ReconnectResponse.last_message_seq`): the others are
    /// sent once more.
    pub(crate) fn resumed(&mut self, last_seen: u32) {
        // A server that does not count passes on what it gets twice; and what was on its way comes on its own, because the connection is the same.
        if last_seen == 0 {
            return;
        }
        while let Some((sequence, bytes)) = self.history.pop_back() {
            if sequence <= last_seen {
                break;
            }
            self.reliable_bytes += bytes.len();
            self.reliable.push_front((sequence, bytes));
        }
        self.history.clear();
        self.history_bytes = 0;
    }

    /// The connection is a new one: numbers begin anew, and streams of others that were open are lost.
    pub(crate) fn restarted(&mut self) {
        self.history.clear();
        self.history_bytes = 0;
        self.heard.clear();
        self.texts.clear();
        self.next = 1;
        for (sequence, bytes) in &mut self.reliable {
            // What waits was never sent: it goes out under new numbers.
            if let Ok(mut packet) = proto::DataPacket::decode(bytes.as_slice()) {
                packet.sequence = self.next;
                *sequence = self.next;
                self.reliable_bytes -= bytes.len();
                *bytes = packet.encode_to_vec();
                self.reliable_bytes += bytes.len();
                self.next += 1;
            }
        }
    }
}

/// A procedure call to make.
pub(crate) struct Call<'a> {
    pub(crate) identity: &'a str,
    pub(crate) method: &'a str,
    pub(crate) payload: &'a str,
    /// For the answer, from when the other side has the call.
    pub(crate) timeout: Duration,
}

/// A user packet as the application gets it.
fn user_packet(identity: String, user: proto::UserPacket) -> DataPacket {
    #[expect(deprecated, reason = "servers of some versions say it only there")]
    let identity = if identity.is_empty() {
        user.participant_identity
    } else {
        identity
    };
    DataPacket {
        identity: Some(identity).filter(|i| !i.is_empty()),
        topic: user.topic,
        payload: user.payload,
    }
}

/// Attributes from pairs.
fn attributes(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// A text message without text.
fn message(id: String, identity: String, header: &mut proto::data_stream::Header) -> TextMessage {
    TextMessage {
        id,
        identity,
        topic: std::mem::take(&mut header.topic),
        text: String::new(),
        attributes: std::mem::take(&mut header.attributes),
    }
}
