//! Things inside the library that are ours to give back.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::Client;
use crate::messages::{
    Event, FfiOwnedHandle, OwnedParticipant, OwnedTrackPublication, Response, RoomMessage,
};

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// A room, participant, track, stream or buffer inside the library. Dropping it gives it back.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Handle(u64);

impl Handle {
    /// Takes over a handle that the library has just given to us.
    pub(crate) fn new(id: u64) -> Self {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Self(id)
    }

    /// The number that messages know it by.
    pub const fn id(&self) -> u64 {
        self.0
    }

    /// Its number, for a request that takes it over. It is not given back then.
    pub fn consumed(self) -> u64 {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        let id = self.0;
        std::mem::forget(self);
        id
    }

    /// Handles that this process holds now, audio frames and buffers included. For tests of leaks.
    pub fn live() -> usize {
        LIVE.load(Ordering::Relaxed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = Client::opened() {
            client.drop_handle(self.0);
        }
    }
}

/// A message of the library, with the handles that came in it. What is not taken is given back with it.
#[derive(Debug)]
pub struct Incoming<M> {
    /// The message.
    pub message: M,
    handles: Vec<Handle>,
}

impl<M> Incoming<M> {
    pub(crate) fn new(message: M, owned: impl FnOnce(&M, &mut Vec<u64>)) -> Self {
        let mut ids = Vec::new();
        owned(&message, &mut ids);
        Self {
            message,
            handles: ids
                .into_iter()
                .filter(|id| *id != 0)
                .map(Handle::new)
                .collect(),
        }
    }

    /// Takes the handle that `owned` names; `None` if it did not come with this message, or was taken before.
    pub fn take(&mut self, owned: &FfiOwnedHandle) -> Option<Handle> {
        let at = self.handles.iter().position(|h| h.0 == owned.id)?;
        Some(self.handles.swap_remove(at))
    }

    /// Another message with the same handles: a part of this one.
    pub fn map<N>(self, part: impl FnOnce(M) -> N) -> Incoming<N> {
        Incoming {
            message: part(self.message),
            handles: self.handles,
        }
    }
}

/// The handles that an answer gives to us.
pub(crate) fn owned_by_response(response: &Response, ids: &mut Vec<u64>) {
    match response {
        Response::CreateAudioTrack(r) => ids.push(r.track.handle.id),
        Response::NewAudioStream(r) => ids.push(r.stream.handle.id),
        Response::NewAudioSource(r) => ids.push(r.source.handle.id),
        Response::LocalTrackMute(_) | Response::RpcMethodInvocationResponse(_) => {}
    }
}

/// The handles that an event gives to us.
pub(crate) fn owned_by_event(event: &Event, ids: &mut Vec<u64>) {
    let participant = |p: &OwnedParticipant| p.handle.id;
    let publication = |p: &OwnedTrackPublication| p.handle.id;
    match event {
        Event::Connect(callback) => {
            if let Some(result) = &callback.result {
                ids.push(result.room.handle.id);
                ids.push(participant(&result.local_participant));
                for other in &result.participants {
                    ids.push(participant(&other.participant));
                    ids.extend(other.publications.iter().map(publication));
                }
            }
        }
        Event::PublishTrack(callback) => ids.extend(callback.publication.iter().map(publication)),
        Event::TextStreamOpen(callback) => ids.extend(callback.writer.iter().map(|w| w.handle.id)),
        Event::AudioStreamEvent(event) => {
            ids.extend(event.frame_received.iter().map(|r| r.frame.handle.id));
        }
        Event::RoomEvent(event) => match &event.message {
            Some(RoomMessage::ParticipantConnected(m)) => ids.push(participant(&m.info)),
            Some(RoomMessage::TrackPublished(m)) => ids.push(publication(&m.publication)),
            Some(RoomMessage::TrackSubscribed(m)) => ids.push(m.track.handle.id),
            Some(RoomMessage::DataPacketReceived(m)) => {
                ids.extend(m.user.iter().map(|u| u.data.handle.id));
            }
            Some(RoomMessage::TextStreamOpened(m)) => ids.push(m.reader.handle.id),
            Some(RoomMessage::ByteStreamOpened(m)) => ids.push(m.reader.handle.id),
            Some(RoomMessage::DataTrackPublished(m)) => ids.push(m.track.handle.id),
            _ => {}
        },
        _ => {}
    }
}
