//! A room that was joined: its snapshot, and what can be asked of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use listenkit_livekit_ffi::messages::{
    AttributesEntry, AudioStreamType, ConnectCallbackResult, DisconnectReason as Reason,
    DisconnectRequest, Event, NewAudioStreamRequest, OwnedTrackPublication, PerformRpcRequest,
    RegisterRpcMethodRequest, Request, Response, SetLocalAttributesRequest, SetSubscribedRequest,
};
use listenkit_livekit_ffi::{Client, Handle, Incoming, Pcm};
use tokio::sync::{mpsc, watch};

use super::age::{self, JitterBuffer};
use super::track::Published;
use super::{ANSWER, answer, convert, objection, refused, text, track};
use crate::AudioFrame;
use crate::transport::{
    AudioTrack, AutoSubscribe, DataOptions, Participant, PublishOptions, Room, RpcError,
    TextOptions, TextWriter, Track, TrackKind, TransportError,
};

/// How long the server is given to hear that we leave.
pub(super) const LEAVING: Duration = Duration::from_secs(5);

const HEARING: &str = "cannot hear the track";

/// Received frames of 10 ms that may wait for a reader: two seconds.
const FRAMES_WAITING: usize = 200;

/// What a call from one participant to another may take on top of the answer's own time: the library allows 7 s for the way there.
const RPC_WAY: Duration = Duration::from_secs(8);

/// A remote participant and what the library gave for it.
pub(super) struct Remote {
    pub(super) participant: Participant,
    /// Handles of what it has published, by sid.
    pub(super) publications: HashMap<String, Handle>,
    /// Handles of the tracks we receive, by sid.
    pub(super) tracks: HashMap<String, Handle>,
}

impl Remote {
    pub(super) fn track_mut(&mut self, sid: &str) -> Option<&mut Track> {
        self.participant.tracks.iter_mut().find(|t| t.sid == sid)
    }
}

/// The snapshot. Only the room's task writes to it, but for what we publish ourselves.
pub(super) struct State {
    pub(super) name: String,
    pub(super) sid: String,
    pub(super) connected: bool,
    pub(super) over: bool,
    pub(super) local: Participant,
    pub(super) others: Vec<Remote>,
    /// Audio streams that are open, by the sid of their track.
    pub(super) streams: Vec<(String, u64)>,
    /// Tracks of ours, which get new sids when the connection is made anew.
    pub(super) published: Vec<Arc<Published>>,
    /// What the jitter buffers had counted when they were last asked, by the sid of their track.
    pub(super) ages: HashMap<String, JitterBuffer>,
}

impl State {
    pub(super) fn other(&mut self, identity: &str) -> Option<&mut Remote> {
        self.others
            .iter_mut()
            .find(|r| r.participant.identity == identity)
    }
}

/// What the room, its task and its tracks share.
pub(super) struct Shared {
    pub(super) client: &'static Client,
    pub(super) room: Handle,
    pub(super) local: Handle,
    pub(super) auto_subscribe: AutoSubscribe,
    /// True once we leave: the room's task then ends, whether or not the library says so.
    pub(super) leaving: watch::Sender<bool>,
    state: Mutex<State>,
}

impl Shared {
    /// The handle of a track that is subscribed.
    fn remote_track(&self, sid: &str) -> Result<u64, TransportError> {
        let state = self.state();
        let track = state.others.iter().find_map(|r| r.tracks.get(sid));
        track
            .map(Handle::id)
            .ok_or_else(|| TransportError::Refused {
                what: HEARING,
                message: format!("there is no subscribed track {sid}"),
            })
    }

    pub(super) fn new(
        client: &'static Client,
        room: Handle,
        local: Handle,
        auto_subscribe: AutoSubscribe,
        result: &ConnectCallbackResult,
        incoming: &mut Incoming<Event>,
    ) -> Self {
        let mut others = Vec::new();
        for other in &result.participants {
            let mut remote = Remote {
                participant: convert::participant(&other.participant.info),
                publications: HashMap::new(),
                tracks: HashMap::new(),
            };
            for publication in &other.publications {
                add_publication(&mut remote, publication, incoming.take(&publication.handle));
            }
            others.push(remote);
        }
        Self {
            client,
            room,
            local,
            auto_subscribe,
            leaving: watch::Sender::new(false),
            state: Mutex::new(State {
                name: result.room.info.name.clone(),
                sid: result.room.info.sid.clone().unwrap_or_default(),
                connected: true,
                over: false,
                local: convert::participant(&result.local_participant.info),
                others,
                streams: Vec::new(),
                published: Vec::new(),
                ages: HashMap::new(),
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can fail half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error that says `Closed` when that is why.
    pub(super) fn explain(&self, error: TransportError) -> TransportError {
        if self.state().over {
            TransportError::Closed
        } else {
            error
        }
    }

    pub(super) fn wants(&self, kind: TrackKind) -> bool {
        match self.auto_subscribe {
            // The library subscribes by itself.
            AutoSubscribe::All | AutoSubscribe::None => false,
            AutoSubscribe::AudioOnly => kind == TrackKind::Audio,
            AutoSubscribe::VideoOnly => kind == TrackKind::Video,
        }
    }

    /// Asks for a publication, or that it stop.
    pub(super) fn subscribe(
        &self,
        publication: u64,
        subscribe: bool,
    ) -> Result<(), TransportError> {
        self.client
            .send(Request::SetSubscribed(SetSubscribedRequest {
                subscribe,
                publication_handle: publication,
            }))
            .map_err(refused("cannot change a subscription"))
    }

    /// Tells the library to leave, without waiting. It may be told again.
    pub(super) fn leave(&self) {
        let _ = self.client.send(Request::Disconnect(DisconnectRequest {
            room_handle: self.room.id(),
            request_async_id: None,
            reason: Some(Reason::ClientInitiated as i32),
        }));
    }
}

pub(super) fn add_publication(
    remote: &mut Remote,
    publication: &OwnedTrackPublication,
    handle: Option<Handle>,
) {
    let track = convert::track(&publication.info);
    if let Some(handle) = handle {
        remote.publications.insert(track.sid.clone(), handle);
    }
    match remote.track_mut(&track.sid) {
        Some(known) => *known = track,
        None => remote.participant.tracks.push(track),
    }
}

/// A room through LiveKit's media library.
pub(super) struct LivekitRoom {
    shared: Arc<Shared>,
    /// True when the room's task has ended.
    ended: watch::Receiver<bool>,
}

impl LivekitRoom {
    pub(super) const fn new(shared: Arc<Shared>, ended: watch::Receiver<bool>) -> Self {
        Self { shared, ended }
    }

    /// Asks for the tracks that are there already, if they are wanted and the library does not do so by itself.
    pub(super) fn subscribe_to_present(&self) {
        let wanted: Vec<u64> = {
            let state = self.shared.state();
            state
                .others
                .iter()
                .flat_map(|r| r.participant.tracks.iter().map(move |t| (r, t)))
                .filter(|(_, t)| self.shared.wants(t.kind) && !t.subscribed)
                .filter_map(|(r, t)| r.publications.get(&t.sid).map(Handle::id))
                .collect()
        };
        for publication in wanted {
            let _ = self.shared.subscribe(publication, true);
        }
    }

    fn open(&self) -> Result<(), TransportError> {
        if self.shared.state().over {
            Err(TransportError::Closed)
        } else {
            Ok(())
        }
    }
}

impl Drop for LivekitRoom {
    fn drop(&mut self) {
        if !self.shared.state().over {
            self.shared.leave();
        }
        self.shared.leaving.send_replace(true);
    }
}

#[async_trait::async_trait]
impl Room for LivekitRoom {
    fn name(&self) -> String {
        self.shared.state().name.clone()
    }

    fn sid(&self) -> String {
        self.shared.state().sid.clone()
    }

    fn local_participant(&self) -> Participant {
        self.shared.state().local.clone()
    }

    fn participants(&self) -> Vec<Participant> {
        let state = self.shared.state();
        state.others.iter().map(|r| r.participant.clone()).collect()
    }

    fn participant(&self, identity: &str) -> Option<Participant> {
        let mut state = self.shared.state();
        state.other(identity).map(|r| r.participant.clone())
    }

    fn is_connected(&self) -> bool {
        self.shared.state().connected
    }

    async fn set_subscribed(
        &self,
        identity: &str,
        sid: &str,
        subscribed: bool,
    ) -> Result<(), TransportError> {
        self.open()?;
        let publication = {
            let mut state = self.shared.state();
            state
                .other(identity)
                .and_then(|r| r.publications.get(sid).map(Handle::id))
        };
        let publication = publication.ok_or_else(|| TransportError::Refused {
            what: "cannot change a subscription",
            message: format!("{identity} has no track {sid}"),
        })?;
        self.shared.subscribe(publication, subscribed)
    }

    async fn open_audio(
        &self,
        sid: &str,
        sample_rate: u32,
        channels: u32,
    ) -> Result<mpsc::Receiver<AudioFrame>, TransportError> {
        self.open()?;
        let client = self.shared.client;
        let track = self.shared.remote_track(sid)?;
        let mut state = self.shared.state();
        let mut incoming = client
            .ask(Request::NewAudioStream(NewAudioStreamRequest {
                track_handle: track,
                r#type: AudioStreamType::AudioStreamNative as i32,
                sample_rate: Some(sample_rate),
                num_channels: Some(channels),
                frame_size_ms: Some(10),
                // No queue of the library's own: its frames are taken at once.
                queue_size_frames: Some(0),
            }))
            .map_err(refused(HEARING))?;
        let owned = match &incoming.message {
            Response::NewAudioStream(answer) => answer.stream.handle.clone(),
            _ => return Err(TransportError::Closed),
        };
        let Some(stream) = incoming.take(&owned) else {
            return Err(TransportError::Closed);
        };
        let (frames, receiver) = mpsc::channel(FRAMES_WAITING);
        state.streams.push((sid.to_owned(), stream.id()));
        client.listen(stream, move |pcm: Pcm| {
            match AudioFrame::new(pcm.samples, pcm.sample_rate, pcm.channels) {
                Ok(frame) => !matches!(
                    frames.try_send(frame),
                    Err(mpsc::error::TrySendError::Closed(_))
                ),
                Err(_) => !frames.is_closed(),
            }
        });
        Ok(receiver)
    }

    async fn audio_age(&self, sid: &str) -> Result<Option<Duration>, TransportError> {
        self.open()?;
        let track = self.shared.remote_track(sid)?;
        age::of(&self.shared, sid, track).await
    }

    async fn publish_audio(
        &self,
        options: &PublishOptions,
    ) -> Result<Box<dyn AudioTrack>, TransportError> {
        self.open()?;
        let track = track::publish(&self.shared, options)
            .await
            .map_err(|e| self.shared.explain(e))?;
        Ok(Box::new(track))
    }

    async fn publish_data(
        &self,
        payload: &[u8],
        options: &DataOptions,
    ) -> Result<(), TransportError> {
        const WHAT: &str = "cannot send data";
        self.open()?;
        let call = self
            .shared
            .client
            .publish_data(
                &self.shared.local,
                payload,
                options.topic.as_deref(),
                options.reliable,
                &options.to,
            )
            .map_err(refused(WHAT))?;
        let event = answer(WHAT, call, ANSWER).await?.message;
        match event {
            Event::PublishData(callback) => objection(WHAT, callback.error),
            _ => Err(TransportError::Closed),
        }
        .map_err(|e| self.shared.explain(e))
    }

    async fn send_text(&self, text: &str, options: &TextOptions) -> Result<String, TransportError> {
        self.open()?;
        text::send(&self.shared, text, options)
            .await
            .map_err(|e| self.shared.explain(e))
    }

    async fn stream_text(
        &self,
        options: &TextOptions,
    ) -> Result<Box<dyn TextWriter>, TransportError> {
        self.open()?;
        let writer = text::open(&self.shared, options)
            .await
            .map_err(|e| self.shared.explain(e))?;
        Ok(Box::new(writer))
    }

    async fn set_attributes(
        &self,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError> {
        const WHAT: &str = "cannot set attributes";
        self.open()?;
        let entries = attributes
            .iter()
            .map(|(key, value)| AttributesEntry {
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let call = self
            .shared
            .client
            .call(|id| {
                Request::SetLocalAttributes(SetLocalAttributesRequest {
                    local_participant_handle: self.shared.local.id(),
                    attributes: entries,
                    request_async_id: Some(id),
                })
            })
            .map_err(refused(WHAT))?;
        match answer(WHAT, call, ANSWER).await?.message {
            Event::SetLocalAttributes(callback) => objection(WHAT, callback.error),
            _ => Err(TransportError::Closed),
        }
        .map_err(|e| self.shared.explain(e))?;
        // The library tells it only when the server has told everybody.
        let own = &mut self.shared.state().local.attributes;
        for (key, value) in attributes {
            match value.is_empty() {
                true => drop(own.remove(&key)),
                false => drop(own.insert(key, value)),
            }
        }
        Ok(())
    }

    async fn perform_rpc(
        &self,
        identity: &str,
        method: &str,
        payload: &str,
        timeout: Duration,
    ) -> Result<String, RpcError> {
        let failed = |code: u32, message: String| RpcError {
            code,
            message,
            data: String::new(),
        };
        // 1505: sending failed. 1501: connection timeout.
        self.open().map_err(|e| failed(1505, e.to_string()))?;
        let call = self
            .shared
            .client
            .call(|id| {
                Request::PerformRpc(PerformRpcRequest {
                    local_participant_handle: self.shared.local.id(),
                    destination_identity: identity.to_owned(),
                    method: method.to_owned(),
                    payload: payload.to_owned(),
                    response_timeout_ms: Some(
                        u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
                    ),
                    request_async_id: Some(id),
                })
            })
            .map_err(|e| failed(1505, e.to_string()))?;
        let event = call
            .within(timeout.saturating_add(RPC_WAY))
            .await
            .map_err(|e| failed(1501, e.to_string()))?;
        match event.message {
            Event::PerformRpc(callback) => match callback.error {
                None => Ok(callback.payload.unwrap_or_default()),
                Some(error) => Err(RpcError {
                    code: error.code,
                    message: error.message,
                    data: error.data.unwrap_or_default(),
                }),
            },
            _ => Err(failed(1505, "the room is closed".to_owned())),
        }
    }

    fn register_rpc(&self, method: &str) -> Result<(), TransportError> {
        self.open()?;
        self.shared
            .client
            .send(Request::RegisterRpcMethod(RegisterRpcMethodRequest {
                local_participant_handle: self.shared.local.id(),
                method: method.to_owned(),
            }))
            .map_err(refused("cannot take procedure calls"))
    }

    async fn close(&self) {
        let mut ended = self.ended.clone();
        if !self.shared.state().over {
            // Before the library hears of it: the end may come sooner than its answer.
            self.shared.leaving.send_replace(true);
            let call = self.shared.client.call(|id| {
                Request::Disconnect(DisconnectRequest {
                    room_handle: self.shared.room.id(),
                    request_async_id: Some(id),
                    reason: Some(Reason::ClientInitiated as i32),
                })
            });
            if let Ok(call) = call {
                let _ = call.within(LEAVING).await;
            }
        }
        let _ = tokio::time::timeout(LEAVING + LEAVING, ended.wait_for(|ended| *ended)).await;
    }
}
