//! Where the library's events go: to the call that waits, the room, or the reader of an audio stream.
//!
//! All of this runs inside the library's callback. Each event is decoded and copied there, its buffers given back, and put into a channel; the locks
//! are held for a look into a map.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use prost::Message;
use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::handle::{Handle, Incoming, owned_by_event};
use crate::library::copy_out;
use crate::logs::Logs;
use crate::messages::{
    DisconnectRequest, Event, FfiEvent, Request, RoomMessage, RpcMethodInvocationEvent,
    TextStreamReaderEvent,
};

/// A block of received audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcm {
    /// The values, interleaved.
    pub samples: Vec<i16>,
    /// In Hz.
    pub sample_rate: u32,
    /// How many are interleaved.
    pub channels: u32,
}

/// What comes for a room, in the library's order.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoomInput {
    /// Something happened.
    Event(Incoming<RoomMessage>),
    /// A data packet; the bytes are a copy.
    Data {
        /// Who sent it; empty if the server did.
        identity: String,
        /// What it is about.
        topic: Option<String>,
        /// The bytes.
        payload: Vec<u8>,
    },
    /// Another part of a text stream that is being read.
    Text(TextStreamReaderEvent),
    /// Someone calls a procedure.
    Rpc(RpcMethodInvocationEvent),
}

/// Who waits for the callback of a request.
struct Waiter {
    reply: oneshot::Sender<Incoming<Event>>,
    /// Memory that the library reads until then. It lives here, not with the caller, who may give up waiting.
    _keep: Option<Arc<dyn Keep>>,
}

/// Memory that is kept alive.
pub(crate) trait Keep: Send + Sync {}
impl<T: Send + Sync + ?Sized> Keep for Arc<T> {}

struct Room {
    events: mpsc::UnboundedSender<RoomInput>,
    local_participant: u64,
}

/// A stream of the library, and who puts its audio where a reader takes it; `false` when there is no reader any more.
struct Listener {
    _stream: Handle,
    put: Mutex<Box<dyn FnMut(Pcm) -> bool + Send>>,
}

#[derive(Default)]
pub(crate) struct Router {
    waiters: Mutex<HashMap<u64, Waiter>>,
    rooms: Mutex<HashMap<u64, Room>>,
    /// Rooms that have just been joined and not been claimed: the first events may come before the caller has seen the answer.
    unclaimed: Mutex<HashMap<u64, mpsc::UnboundedReceiver<RoomInput>>>,
    /// Text streams being read, and the rooms they are in.
    readers: Mutex<HashMap<u64, u64>>,
    audio: Mutex<HashMap<u64, Arc<Listener>>>,
}

static ROUTER: LazyLock<Router> = LazyLock::new(Router::default);
static LOGS: LazyLock<Option<Logs>> = LazyLock::new(Logs::start);

/// A lock whose holder cannot have left anything half done: every critical section is one operation on a map.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Router {
    pub(crate) fn the() -> &'static Self {
        &ROUTER
    }

    /// Registers a call before its request is sent, because the callback can come before the answer.
    pub(crate) fn expect(
        &self,
        id: u64,
        keep: Option<Arc<dyn Keep>>,
    ) -> oneshot::Receiver<Incoming<Event>> {
        let (reply, receiver) = oneshot::channel();
        lock(&self.waiters).insert(id, Waiter { reply, _keep: keep });
        receiver
    }

    /// The request was refused: nothing will come.
    pub(crate) fn forget(&self, id: u64) {
        lock(&self.waiters).remove(&id);
    }

    /// What comes for a room that was joined, from its first event on. Once.
    pub(crate) fn claim_room(&self, room: u64) -> Option<mpsc::UnboundedReceiver<RoomInput>> {
        lock(&self.unclaimed).remove(&room)
    }

    pub(crate) fn forget_room(&self, room: u64) {
        lock(&self.rooms).remove(&room);
        // Events that nobody took have handles; dropping one calls the library, so not under the lock.
        let unclaimed = lock(&self.unclaimed).remove(&room);
        drop(unclaimed);
        lock(&self.readers).retain(|_, of| *of != room);
    }

    pub(crate) fn read_text(&self, reader: u64, room: u64) {
        lock(&self.readers).insert(reader, room);
    }

    pub(crate) fn listen(&self, stream: Handle, put: Box<dyn FnMut(Pcm) -> bool + Send>) {
        let id = stream.id();
        let listener = Listener {
            _stream: stream,
            put: Mutex::new(put),
        };
        lock(&self.audio).insert(id, Arc::new(listener));
    }

    pub(crate) fn forget_audio(&self, stream: u64) {
        let listener = lock(&self.audio).remove(&stream);
        drop(listener);
    }

    fn to_room(&self, room: u64, input: RoomInput) {
        // What cannot be delivered is dropped outside of the lock, because dropping a handle calls the library.
        let refused = match lock(&self.rooms).get(&room) {
            Some(room) => room.events.send(input).err().map(|e| e.0),
            None => Some(input),
        };
        drop(refused);
    }

    fn room_of_participant(&self, handle: u64) -> Option<u64> {
        lock(&self.rooms)
            .iter()
            .find(|(_, room)| room.local_participant == handle)
            .map(|(id, _)| *id)
    }

    fn dispatch(&self, event: Event) {
        let incoming = Incoming::new(event, owned_by_event);
        if let Some(id) = call_of(&incoming.message) {
            self.answer(id, incoming);
            return;
        }
        match incoming.message {
            Event::AudioStreamEvent(_) => self.audio(incoming),
            Event::RoomEvent(_) => self.room(incoming),
            Event::TextStreamReaderEvent(event) => {
                let room = if event.eos.is_some() {
                    lock(&self.readers).remove(&event.reader_handle)
                } else {
                    lock(&self.readers).get(&event.reader_handle).copied()
                };
                if let Some(room) = room {
                    self.to_room(room, RoomInput::Text(event));
                }
            }
            Event::RpcMethodInvocation(event) => {
                if let Some(room) = self.room_of_participant(event.local_participant_handle) {
                    self.to_room(room, RoomInput::Rpc(event));
                }
            }
            Event::Logs(batch) => {
                if let Some(logs) = LOGS.as_ref() {
                    logs.put(batch);
                }
            }
            Event::Panic(panic) => {
                tracing::error!(target: "livekit", "the library has failed and will not recover: {}", panic.message);
            }
            _ => {}
        }
    }

    fn answer(&self, id: u64, incoming: Incoming<Event>) {
        if let Event::Connect(callback) = &incoming.message
            && let Some(result) = &callback.result
        {
            let (events, receiver) = mpsc::unbounded_channel();
            let (room, local_participant) =
                (result.room.handle.id, result.local_participant.handle.id);
            lock(&self.unclaimed).insert(room, receiver);
            lock(&self.rooms).insert(
                room,
                Room {
                    events,
                    local_participant,
                },
            );
        }
        let waiter = lock(&self.waiters).remove(&id);
        let unwanted = match waiter {
            Some(waiter) => waiter.reply.send(incoming).err(),
            None => Some(incoming),
        };
        // Nobody waits any more: what came is given back, and a room is left again.
        if let Some(incoming) = unwanted {
            if let Event::Connect(callback) = &incoming.message
                && let Some(result) = &callback.result
            {
                self.leave(result.room.handle.id);
            }
            drop(incoming);
        }
    }

    /// Leaves a room that nobody has.
    fn leave(&self, room: u64) {
        self.forget_room(room);
        if let Some(client) = Client::opened() {
            let _ = client.send(Request::Disconnect(DisconnectRequest {
                room_handle: room,
                request_async_id: None,
                reason: None,
            }));
        }
    }

    fn audio(&self, incoming: Incoming<Event>) {
        let Event::AudioStreamEvent(event) = &incoming.message else {
            return;
        };
        let stream = event.stream_handle;
        if event.eos.is_some() {
            self.forget_audio(stream);
            return;
        }
        let Some(received) = &event.frame_received else {
            return;
        };
        let Some(listener) = lock(&self.audio).get(&stream).cloned() else {
            return;
        };
        let info = &received.frame.info;
        let len = info.samples_per_channel as usize * info.num_channels as usize;
        // SAFETY: the library's frame, described by the event it came with; its handle is in `incoming`, which lives to the end of this function.
        let samples = unsafe { copy_out::<i16>(info.data_ptr, len) };
        let (sample_rate, channels) = (info.sample_rate, info.num_channels);
        drop(incoming);
        let wanted = lock(&listener.put)(Pcm {
            samples,
            sample_rate,
            channels,
        });
        if !wanted {
            self.forget_audio(stream);
        }
    }

    fn room(&self, incoming: Incoming<Event>) {
        let Event::RoomEvent(event) = &incoming.message else {
            return;
        };
        let room = event.room_handle;
        if let Some(RoomMessage::DataPacketReceived(packet)) = &event.message {
            let Some(user) = &packet.user else {
                return;
            };
            let len = usize::try_from(user.data.data.data_len).unwrap_or(0);
            // SAFETY: the library's buffer, described by the event it came with; its handle is in `incoming`, which lives to the end of this function.
            let payload = unsafe { copy_out::<u8>(user.data.data.data_ptr, len) };
            let input = RoomInput::Data {
                identity: packet.participant_identity.clone(),
                topic: user.topic.clone(),
                payload,
            };
            self.to_room(room, input);
            return;
        }
        if event.message.is_none() {
            return;
        }
        let input = incoming.map(|event| match event {
            Event::RoomEvent(event) => event.message,
            _ => None,
        });
        if let Some(input) = transpose(input) {
            self.to_room(room, RoomInput::Event(input));
        }
    }
}

fn transpose<M>(incoming: Incoming<Option<M>>) -> Option<Incoming<M>> {
    incoming
        .message
        .is_some()
        .then(|| incoming.map(|m| m.expect("it is there, as was just seen")))
}

/// The number of the call that an event answers.
const fn call_of(event: &Event) -> Option<u64> {
    Some(match event {
        Event::Connect(m) => m.async_id,
        Event::Disconnect(m) => m.async_id,
        Event::PublishTrack(m) => m.async_id,
        Event::UnpublishTrack(m) => m.async_id,
        Event::PublishData(m) => m.async_id,
        Event::CaptureAudioFrame(m) => m.async_id,
        Event::SetLocalAttributes(m) => m.async_id,
        Event::GetStats(m) => m.async_id,
        Event::PerformRpc(m) => m.async_id,
        Event::TextStreamOpen(m) => m.async_id,
        Event::TextStreamWriterWrite(m) => m.async_id,
        Event::TextStreamWriterClose(m) => m.async_id,
        Event::SendText(m) => m.async_id,
        Event::SimulateScenario(m) => m.async_id,
        Event::RoomEvent(_)
        | Event::AudioStreamEvent(_)
        | Event::Logs(_)
        | Event::Panic(_)
        | Event::RpcMethodInvocation(_)
        | Event::TextStreamReaderEvent(_) => return None,
    })
}

/// What the library calls, on its own threads. Nothing passes the border: neither a panic, nor the buffer.
pub(crate) unsafe extern "C" fn callback(data: *const u8, len: usize) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if data.is_null() {
            return;
        }
        // SAFETY: the library lends `len` bytes for this call; everything is decoded out of them before it ends.
        let bytes = unsafe { std::slice::from_raw_parts(data, len) };
        if let Ok(FfiEvent {
            message: Some(event),
        }) = FfiEvent::decode(bytes)
        {
            Router::the().dispatch(event);
        }
    }));
}
