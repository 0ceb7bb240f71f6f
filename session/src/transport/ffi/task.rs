//! The task of a room: brings the snapshot up to date, then says what happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use listenkit_livekit_ffi::messages::{
    Request, RoomMessage, RpcError as FfiRpcError, RpcMethodInvocationEvent,
    RpcMethodInvocationResponseRequest, TextStreamOpened, TextStreamReaderEvent,
};
use listenkit_livekit_ffi::{Incoming, RoomInput};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::convert;
use super::room::{LEAVING, Remote, Shared, State, add_publication};
use crate::transport::{
    DataPacket, DisconnectReason, RoomEvent, RpcError, RpcInvocation, TextMessage,
};

/// How long the connection may be broken at most. The library gives up by itself within this time; it is here so that a room always ends.
const LONGEST_BREAK: Duration = Duration::from_secs(90);

/// Longest text that is read, in bytes. A sender that goes on is not heard, so that nobody can fill our memory.
const LONGEST_TEXT: usize = 4 << 20;
/// What the texts of one sender may have together before their end, in bytes and in number: many short ones fill it as well. The library ends those of a
/// sender that leaves.
const TEXTS_OF_ONE: (usize, usize) = (16 << 20, 256);

struct Task {
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<RoomEvent>,
    /// Text streams of which the end has not come, by their readers' handles.
    reading: Texts,
    reconnect_timeout: Duration,
    /// When the library is not waited for any longer.
    give_up: Option<Instant>,
    /// Whether we leave.
    leaving: bool,
}

/// Texts of which the end has not come, by their readers' handles.
#[derive(Default)]
struct Texts(HashMap<u64, TextMessage>);

impl Texts {
    fn of<'a>(&'a self, sender: &'a str) -> impl Iterator<Item = &'a TextMessage> {
        self.0.values().filter(move |text| text.identity == sender)
    }

    /// Takes a text that begins; `false` if its sender has too many.
    fn begin(&mut self, id: u64, text: TextMessage) -> bool {
        let room = self.of(&text.identity).count() < TEXTS_OF_ONE.1;
        if room {
            self.0.insert(id, text);
        }
        room
    }

    /// Adds to a text. One that has become too long is given back, and not heard any more.
    fn add(&mut self, id: u64, more: &str) -> Option<TextMessage> {
        let text = self.0.get(&id)?;
        let all: usize = self.of(&text.identity).map(|text| text.text.len()).sum();
        if text.text.len() + more.len() > LONGEST_TEXT || all + more.len() > TEXTS_OF_ONE.0 {
            return self.0.remove(&id);
        }
        self.0.get_mut(&id)?.text.push_str(more);
        None
    }

    fn end(&mut self, id: u64) -> Option<TextMessage> {
        self.0.remove(&id)
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Starts the task. The receiver says when it has ended.
pub(super) fn start(
    shared: Arc<Shared>,
    mut inputs: mpsc::UnboundedReceiver<RoomInput>,
    events: mpsc::UnboundedSender<RoomEvent>,
    reconnect_timeout: Duration,
) -> watch::Receiver<bool> {
    let (ended, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let mut task = Task {
            shared,
            events,
            reading: Texts::default(),
            reconnect_timeout,
            give_up: None,
            leaving: false,
        };
        let mut leaving = task.shared.leaving.subscribe();
        let reason = loop {
            let input = tokio::select! {
                biased;
                input = inputs.recv() => input,
                () = until(task.give_up) => break task.given_up(),
                Ok(_) = leaving.wait_for(|leaving| *leaving), if !task.leaving => {
                    task.leaving = true;
                    task.give_up = Some(Instant::now() + LEAVING);
                    continue;
                }
            };
            let Some(input) = input else {
                break DisconnectReason::Unknown;
            };
            if let Some(reason) = task.take(input) {
                break reason;
            }
        };
        task.leaving |= *leaving.borrow();
        drop(leaving);
        // The library gives no reason for an end that it did not hear from the server.
        let reason = match reason {
            DisconnectReason::Unknown if task.leaving || task.give_up.is_some() => task.given_up(),
            reason => reason,
        };
        task.end(reason);
        let _ = ended.send(true);
    });
    receiver
}

impl Task {
    fn given_up(&self) -> DisconnectReason {
        if self.leaving {
            DisconnectReason::ClientInitiated
        } else {
            DisconnectReason::ConnectionLost
        }
    }

    /// One thing that happened; the reason, when it was the last.
    fn take(&mut self, input: RoomInput) -> Option<DisconnectReason> {
        match input {
            RoomInput::Event(event) => return self.event(event),
            RoomInput::Data {
                identity,
                topic,
                payload,
            } => self.emit(RoomEvent::Data(DataPacket {
                identity: Some(identity).filter(|i| !i.is_empty()),
                topic,
                payload,
            })),
            RoomInput::Text(event) => self.text(event),
            RoomInput::Rpc(event) => self.rpc(event),
            _ => {}
        }
        None
    }

    fn emit(&self, event: RoomEvent) {
        // Nobody listens any more: the room may still be in use.
        let _ = self.events.send(event);
    }

    fn event(&mut self, mut incoming: Incoming<RoomMessage>) -> Option<DisconnectReason> {
        let message = incoming.message.clone();
        let shared = Arc::clone(&self.shared);
        match message {
            RoomMessage::ParticipantConnected(m) => {
                let participant = convert::participant(&m.info.info);
                {
                    let mut state = shared.state();
                    state
                        .others
                        .retain(|r| r.participant.identity != participant.identity);
                    state.others.push(Remote {
                        participant: participant.clone(),
                        publications: HashMap::new(),
                        tracks: HashMap::new(),
                    });
                }
                self.emit(RoomEvent::ParticipantConnected(participant));
            }
            RoomMessage::ParticipantDisconnected(m) => {
                let gone = {
                    let mut state = shared.state();
                    let at = state
                        .others
                        .iter()
                        .position(|r| r.participant.identity == m.participant_identity);
                    at.map(|at| state.others.remove(at))
                };
                if let Some(gone) = gone {
                    for sid in gone.tracks.keys() {
                        self.stop_audio(sid);
                    }
                    self.emit(RoomEvent::ParticipantDisconnected {
                        participant: gone.participant.clone(),
                        reason: convert::reason(m.disconnect_reason),
                    });
                }
            }
            RoomMessage::TrackPublished(m) => {
                let handle = incoming.take(&m.publication.handle);
                let track = convert::track(&m.publication.info);
                let publication = handle.as_ref().map(listenkit_livekit_ffi::Handle::id);
                {
                    let mut state = shared.state();
                    if let Some(remote) = state.other(&m.participant_identity) {
                        add_publication(remote, &m.publication, handle);
                    }
                }
                if let Some(publication) = publication.filter(|_| shared.wants(track.kind)) {
                    let _ = shared.subscribe(publication, true);
                }
                self.emit(RoomEvent::TrackPublished {
                    identity: m.participant_identity,
                    track,
                });
            }
            RoomMessage::TrackUnpublished(m) => {
                {
                    let mut state = shared.state();
                    if let Some(remote) = state.other(&m.participant_identity) {
                        remote.publications.remove(&m.publication_sid);
                        remote
                            .participant
                            .tracks
                            .retain(|t| t.sid != m.publication_sid);
                    }
                }
                self.emit(RoomEvent::TrackUnpublished {
                    identity: m.participant_identity,
                    sid: m.publication_sid,
                });
            }
            RoomMessage::TrackSubscribed(m) => {
                let handle = incoming.take(&m.track.handle);
                let info = m.track.info;
                let track = {
                    let mut state = shared.state();
                    state.other(&m.participant_identity).and_then(|remote| {
                        if let Some(handle) = handle {
                            remote.tracks.insert(info.sid.clone(), handle);
                        }
                        let track = remote.track_mut(&info.sid)?;
                        track.subscribed = true;
                        Some(track.clone())
                    })
                };
                if let Some(track) = track {
                    self.emit(RoomEvent::TrackSubscribed {
                        identity: m.participant_identity,
                        track,
                    });
                }
            }
            RoomMessage::TrackUnsubscribed(m) => {
                let handle = {
                    let mut state = shared.state();
                    state.other(&m.participant_identity).and_then(|remote| {
                        if let Some(track) = remote.track_mut(&m.track_sid) {
                            track.subscribed = false;
                        }
                        remote.tracks.remove(&m.track_sid)
                    })
                };
                self.stop_audio(&m.track_sid);
                drop(handle);
                self.emit(RoomEvent::TrackUnsubscribed {
                    identity: m.participant_identity,
                    sid: m.track_sid,
                });
            }
            RoomMessage::TrackSubscriptionFailed(m) => {
                tracing::warn!(
                    identity = m.participant_identity,
                    track = m.track_sid,
                    "a track cannot be subscribed to: {}",
                    m.error
                );
            }
            RoomMessage::LocalTrackSubscribed(m) => {
                self.emit(RoomEvent::LocalTrackSubscribed { sid: m.track_sid });
            }
            RoomMessage::LocalTrackRepublished(m) => {
                let mut state = shared.state();
                for published in &state.published {
                    if published.sid() == m.previous_sid {
                        published.set_sid(&m.info.sid);
                    }
                }
                for track in &mut state.local.tracks {
                    if track.sid == m.previous_sid {
                        track.sid.clone_from(&m.info.sid);
                    }
                }
            }
            RoomMessage::TrackMuted(m) => {
                self.muted(&m.participant_identity, &m.track_sid, true);
                self.emit(RoomEvent::TrackMuted {
                    identity: m.participant_identity,
                    sid: m.track_sid,
                });
            }
            RoomMessage::TrackUnmuted(m) => {
                self.muted(&m.participant_identity, &m.track_sid, false);
                self.emit(RoomEvent::TrackUnmuted {
                    identity: m.participant_identity,
                    sid: m.track_sid,
                });
            }
            RoomMessage::RoomSidChanged(m) => shared.state().sid = m.sid,
            RoomMessage::RoomUpdated(info) | RoomMessage::Moved(info) => {
                let mut state = shared.state();
                state.name = info.name;
                if let Some(sid) = info.sid {
                    state.sid = sid;
                }
            }
            RoomMessage::ParticipantMetadataChanged(m) => {
                self.change(&m.participant_identity, |p| p.metadata = m.metadata.clone());
            }
            RoomMessage::ParticipantNameChanged(m) => {
                self.change(&m.participant_identity, |p| p.name = m.name.clone());
            }
            RoomMessage::ParticipantAttributesChanged(m) => {
                let now = convert::entries(m.attributes);
                self.change(&m.participant_identity, |p| p.attributes = now.clone());
                self.emit(RoomEvent::AttributesChanged {
                    identity: m.participant_identity,
                    changed: convert::entries(m.changed_attributes),
                });
            }
            RoomMessage::ParticipantsUpdated(m) => {
                for info in &m.participants {
                    // Attributes have an event of their own, after which they must be seen, not before.
                    self.change(&info.identity, |p| {
                        p.sid.clone_from(&info.sid);
                        p.name.clone_from(&info.name);
                        p.metadata.clone_from(&info.metadata);
                    });
                }
            }
            RoomMessage::TextStreamOpened(m) => self.text_opened(m, &mut incoming),
            RoomMessage::TokenRefreshed(m) => self.emit(RoomEvent::TokenRefreshed(m.token.into())),
            RoomMessage::Reconnecting(_) => {
                shared.state().connected = false;
                let patience = self.reconnect_timeout.min(LONGEST_BREAK);
                self.give_up.get_or_insert(Instant::now() + patience);
                self.emit(RoomEvent::Reconnecting);
            }
            RoomMessage::Reconnected(_) => {
                shared.state().connected = true;
                if !self.leaving {
                    self.give_up = None;
                }
                self.emit(RoomEvent::Reconnected);
            }
            RoomMessage::Disconnected(m) => return Some(convert::reason(m.reason)),
            RoomMessage::Eos(_) => return Some(DisconnectReason::Unknown),
            // Not offered. Their handles go back with `incoming`.
            RoomMessage::ByteStreamOpened(_)
            | RoomMessage::DataTrackPublished(_)
            | RoomMessage::DataPacketReceived(_) => {}
        }
        None
    }

    fn change(&self, identity: &str, change: impl Fn(&mut crate::transport::Participant)) {
        let mut state = self.shared.state();
        let State { local, others, .. } = &mut *state;
        if local.identity == identity {
            change(local);
        } else if let Some(remote) = others
            .iter_mut()
            .find(|r| r.participant.identity == identity)
        {
            change(&mut remote.participant);
        }
    }

    fn muted(&self, identity: &str, sid: &str, muted: bool) {
        self.change(identity, |p| {
            if let Some(track) = p.tracks.iter_mut().find(|t| t.sid == sid) {
                track.muted = muted;
            }
        });
    }

    /// Ends the streams of a track, and with them their readers' channels.
    fn stop_audio(&self, sid: &str) {
        let streams = {
            let mut state = self.shared.state();
            let (stop, keep) = std::mem::take(&mut state.streams)
                .into_iter()
                .partition::<Vec<_>, _>(|(of, _)| of == sid);
            state.streams = keep;
            stop
        };
        for (_, stream) in streams {
            self.shared.client.forget_audio(stream);
        }
    }

    fn text_opened(&mut self, opened: TextStreamOpened, incoming: &mut Incoming<RoomMessage>) {
        let Some(handle) = incoming.take(&opened.reader.handle) else {
            return;
        };
        let info = opened.reader.info;
        let id = handle.id();
        let identity = opened.participant_identity;
        let text = TextMessage {
            id: info.stream_id,
            identity: identity.clone(),
            topic: info.topic,
            text: String::new(),
            attributes: info.attributes,
        };
        if !self.reading.begin(id, text) {
            tracing::warn!(
                identity,
                "a text is not read: {} others of its sender have not ended",
                TEXTS_OF_ONE.1
            );
            return;
        }
        if let Err(error) = self.shared.client.read_text(handle, &self.shared.room) {
            tracing::warn!("a text stream cannot be read: {error}");
            self.reading.end(id);
        }
    }

    fn text(&mut self, event: TextStreamReaderEvent) {
        let id = event.reader_handle;
        if let Some(chunk) = event.chunk_received
            && let Some(too_long) = self.reading.add(id, &chunk.content)
        {
            tracing::warn!(
                identity = too_long.identity,
                topic = too_long.topic,
                "a text is not read: it has more than {LONGEST_TEXT} bytes, or with the sender's others more than {}",
                TEXTS_OF_ONE.0
            );
            return;
        }
        let Some(end) = event.eos else {
            return;
        };
        let Some(mut message) = self.reading.end(id) else {
            return;
        };
        if let Some(error) = end.error {
            tracing::warn!(
                identity = message.identity,
                topic = message.topic,
                "a text stream broke off: {}",
                error.description
            );
            return;
        }
        message.attributes.extend(end.attributes);
        self.emit(RoomEvent::Text(message));
    }

    fn rpc(&self, event: RpcMethodInvocationEvent) {
        let (reply, answer) = oneshot::channel::<Result<String, RpcError>>();
        let timeout = Duration::from_millis(event.response_timeout_ms.into());
        let shared = Arc::clone(&self.shared);
        // Ends with the caller's patience.
        tokio::spawn(async move {
            let error = |code: u32, message: &str| FfiRpcError {
                code,
                message: message.to_owned(),
                data: None,
            };
            let (payload, error) = match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(Ok(payload))) => (Some(payload), None),
                Ok(Ok(Err(e))) => {
                    let data = Some(e.data).filter(|d| !d.is_empty());
                    let mut answer = error(e.code, &e.message);
                    answer.data = data;
                    (None, Some(answer))
                }
                // 1500: application error. 1502: response timeout.
                Ok(Err(_)) => (
                    None,
                    Some(error(1500, "Application error in method handler")),
                ),
                Err(_) => (None, Some(error(1502, "Response timeout"))),
            };
            let _ = shared.client.send(Request::RpcMethodInvocationResponse(
                RpcMethodInvocationResponseRequest {
                    local_participant_handle: shared.local.id(),
                    invocation_id: event.invocation_id,
                    payload,
                    error,
                },
            ));
        });
        self.emit(RoomEvent::Rpc(RpcInvocation {
            identity: event.caller_identity,
            method: event.method,
            payload: event.payload,
            timeout,
            reply,
        }));
    }

    /// The room is over: everything that waits for it ends.
    fn end(&mut self, reason: DisconnectReason) {
        let client = self.shared.client;
        let (streams, others) = {
            let mut state = self.shared.state();
            state.connected = false;
            state.over = true;
            let mut others = Vec::new();
            for remote in &mut state.others {
                others.push((
                    std::mem::take(&mut remote.publications),
                    std::mem::take(&mut remote.tracks),
                ));
            }
            (std::mem::take(&mut state.streams), others)
        };
        for (_, stream) in streams {
            client.forget_audio(stream);
        }
        drop(others);
        client.forget_room(&self.shared.room);
        // A server that ends a room leaves the library's part of it standing.
        self.shared.leave();
        self.emit(RoomEvent::Disconnected(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(identity: &str) -> TextMessage {
        TextMessage {
            id: String::new(),
            identity: identity.to_owned(),
            topic: "lk.chat".to_owned(),
            text: String::new(),
            attributes: HashMap::new(),
        }
    }

    #[test]
    fn nobody_can_fill_the_memory_with_texts_that_do_not_end() {
        let mut texts = Texts::default();
        let quarter = "x".repeat(LONGEST_TEXT / 4);
        let mut heard = 0;
        for id in 0..1000 {
            if !texts.begin(id, from("mallory")) {
                continue;
            }
            for _ in 0..4 {
                if texts.add(id, &quarter).is_some() {
                    break;
                }
                heard += 1;
            }
        }
        assert_eq!(heard, 16, "quarters of 4 MiB, 16 MiB in all");
        let kept: usize = texts.of("mallory").map(|text| text.text.len()).sum();
        assert_eq!(kept, TEXTS_OF_ONE.0);

        // Others are heard as before, and so is she when her texts have ended.
        assert!(texts.begin(1000, from("alice")));
        assert!(texts.add(1000, "hello").is_none());
        assert_eq!(texts.end(1000).map(|text| text.text), Some("hello".into()));
        for id in 0..1000 {
            texts.end(id);
        }
        assert!(texts.begin(1001, from("mallory")));
        assert!(texts.add(1001, &quarter).is_none());
        assert!((0..4).any(|_| texts.add(1001, &quarter).is_some()));
        assert!(texts.end(1001).is_none(), "too long, and gone");
    }

    #[test]
    fn a_sender_opens_only_so_many_texts_at_once() {
        let mut texts = Texts::default();
        let opened = (0..1000).filter(|id| texts.begin(*id, from("mallory")));
        assert_eq!(opened.count(), TEXTS_OF_ONE.1);
    }
}
