//! A room: one task that owns its participants, their peer connections and one UDP socket.
//!
//! Everything about a room happens in this task, one thing after the other. So nothing is locked, a packet that comes
//! in goes out to its subscribers in the same turn, and what happens in one room cannot delay another.

mod data;
mod media;
mod network;
mod participant;
mod signal;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_token::VideoGrants;
use proto::participant_info::State;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::agents::Notice;
use crate::peer::PeerEvent;
use crate::{Shared, ids};
pub(crate) use participant::{Admission, Outgoing};
use participant::{Participant, Side};
pub(crate) use signal::server_info;

/// Commands that wait for a busy room. A sender waits for a place.
const COMMANDS: usize = 1024;
/// Datagrams taken from the socket before anything else is looked at again.
const DATAGRAMS_AT_ONCE: usize = 64;
/// How often participants get a new token, as LiveKit's server does.
const TOKEN_INTERVAL: Duration = Duration::from_secs(300);
/// How often the active speakers are told, as LiveKit's server does.
const SPEAKER_INTERVAL: Duration = Duration::from_millis(400);

/// A room as it is now, for tests and for the room service.
#[derive(Clone, Debug, Default)]
pub struct RoomView {
    /// Name, identifier, timeouts, counts.
    pub room: proto::Room,
    /// Who is in the room, in the order of joining; those that are still connecting too.
    pub participants: Vec<proto::ParticipantInfo>,
    /// Who hears what: identity of the subscriber and identifier of the track, once the client has accepted it.
    pub subscriptions: Vec<(String, String)>,
    /// The room is gone.
    pub is_closed: bool,
}

impl RoomView {
    /// The participant with this identity.
    pub fn participant(&self, identity: &str) -> Option<&proto::ParticipantInfo> {
        self.participants.iter().find(|p| p.identity == identity)
    }

    /// Whether `subscriber` hears every audio track of `publisher`, of which there is at least one.
    pub fn hears(&self, subscriber: &str, publisher: &str) -> bool {
        let Some(publisher) = self.participant(publisher) else {
            return false;
        };
        let mut audio = publisher
            .tracks
            .iter()
            .filter(|t| t.r#type() == proto::TrackType::Audio)
            .peekable();
        audio.peek().is_some()
            && audio.all(|t| {
                self.subscriptions
                    .iter()
                    .any(|(who, sid)| who == subscriber && *sid == t.sid)
            })
    }
}

/// What a room is made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomConfig {
    pub(crate) metadata: String,
    pub(crate) empty_timeout: Option<Duration>,
    pub(crate) departure_timeout: Option<Duration>,
    pub(crate) max_participants: u32,
    pub(crate) agents: Vec<proto::RoomAgentDispatch>,
}

impl From<proto::RoomConfiguration> for RoomConfig {
    fn from(config: proto::RoomConfiguration) -> Self {
        Self {
            metadata: config.metadata,
            empty_timeout: timeout(config.empty_timeout),
            departure_timeout: timeout(config.departure_timeout),
            max_participants: config.max_participants,
            agents: config.agents,
        }
    }
}

/// Seconds as messages have them, where 0 is "not said".
fn timeout(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// The way to a room's task.
#[derive(Clone)]
pub(crate) struct RoomHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) view: watch::Receiver<RoomView>,
}

/// Why a participant has to go, and what it is told.
pub(crate) type Reason = proto::DisconnectReason;

pub(crate) enum Command {
    Join {
        admission: Box<Admission>,
        reply: oneshot::Sender<Result<String, JoinError>>,
    },
    /// A client's signalling came back. The reply is false where there is nobody to come back to.
    Resume {
        identity: String,
        sid: String,
        signal: mpsc::Sender<Outgoing>,
        generation: u64,
        reply: oneshot::Sender<bool>,
    },
    Signal {
        sid: String,
        generation: u64,
        request: Box<Request>,
    },
    SignalLost {
        sid: String,
        generation: u64,
    },
    Remove {
        identity: String,
        reason: Reason,
        reply: oneshot::Sender<bool>,
    },
    Update {
        request: Box<proto::UpdateParticipantRequest>,
        reply: oneshot::Sender<Option<proto::ParticipantInfo>>,
    },
    Mute {
        identity: String,
        track: String,
        muted: bool,
        reply: oneshot::Sender<Option<proto::TrackInfo>>,
    },
    SendData {
        request: Box<proto::SendDataRequest>,
    },
    SetMetadata {
        metadata: String,
        reply: oneshot::Sender<proto::Room>,
    },
    /// A fault: the client's signalling connection is closed without a word.
    CutSignal {
        identity: String,
    },
    Close {
        reason: Reason,
        reply: oneshot::Sender<()>,
    },
}

/// Why a join was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// As many participants as the room may have.
    Full,
}

/// Starts a room's task.
pub(crate) fn start(
    shared: Arc<Shared>,
    name: &str,
    config: RoomConfig,
) -> std::io::Result<RoomHandle> {
    let socket = bind()?;
    let local = socket.local_addr()?;
    let created = ids::now_ms();
    let empty_timeout = config.empty_timeout.unwrap_or(shared.options.empty_timeout);
    let departure_timeout = config
        .departure_timeout
        .unwrap_or(shared.options.departure_timeout);
    let info = proto::Room {
        sid: ids::new("RM_"),
        name: name.to_owned(),
        empty_timeout: seconds(empty_timeout),
        departure_timeout: seconds(departure_timeout),
        max_participants: config.max_participants,
        creation_time: created / 1000,
        creation_time_ms: created,
        enabled_codecs: vec![proto::Codec {
            mime: "audio/opus".into(),
            ..Default::default()
        }],
        metadata: config.metadata,
        ..Default::default()
    };
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (view_sender, view) = watch::channel(RoomView {
        room: info.clone(),
        ..Default::default()
    });
    shared.notify_agents(Notice::RoomStarted {
        room: info.clone(),
        agents: config.agents,
    });
    let now = Instant::now();
    let room = Room {
        shared,
        info,
        socket,
        local,
        view: view_sender,
        participants: Vec::new(),
        addresses: HashMap::new(),
        delayed: Default::default(),
        air: Default::default(),
        speakers: Vec::new(),
        speakers_at: now + SPEAKER_INTERVAL,
        tokens_at: now + TOKEN_INTERVAL,
        empty_since: Some((now, empty_timeout)),
        departure_timeout,
        is_closed: false,
    };
    tokio::spawn(room.run(inbox));
    Ok(RoomHandle { commands, view })
}

fn bind() -> std::io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

pub(crate) struct Room {
    shared: Arc<Shared>,
    info: proto::Room,
    socket: UdpSocket,
    local: SocketAddr,
    view: watch::Sender<RoomView>,
    participants: Vec<Participant>,
    /// Which connection last took a datagram from an address.
    addresses: HashMap<SocketAddr, (String, Side)>,
    delayed: media::Delayed,
    air: network::Air,
    /// Who was told to be speaking: participant and level.
    speakers: Vec<(String, f32)>,
    speakers_at: Instant,
    tokens_at: Instant,
    /// Since when nobody but agents is here, and how long that may last.
    empty_since: Option<(Instant, Duration)>,
    departure_timeout: Duration,
    is_closed: bool,
}

impl Room {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut buffer = vec![0; 2048];
        self.publish_view();
        while !self.is_closed {
            let wake = tokio::time::Instant::from_std(self.next_wake());
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    if let Ok((len, from)) = received {
                        self.handle_datagrams(&mut buffer, len, from);
                    }
                }
                command = inbox.recv() => match command {
                    Some(command) => self.handle(command),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => {}
            }
            self.handle_time(Instant::now());
        }
        self.publish_view();
        self.shared.notify_agents(Notice::RoomClosed {
            room: self.info.name.clone(),
        });
        // Commands that are still in the way are dropped with the inbox; their senders see that the room is gone.
    }

    fn next_wake(&self) -> Instant {
        let mut wake = Instant::now() + Duration::from_secs(60);
        for participant in &self.participants {
            wake = wake.min(participant.wake());
        }
        if let Some((since, limit)) = self.empty_since {
            wake = wake.min(since + limit);
        }
        for due in [self.delayed.next_due(), self.air.next_due()]
            .into_iter()
            .flatten()
        {
            wake = wake.min(due);
        }
        if self.participants.iter().any(|p| !p.tracks.is_empty()) {
            wake = wake.min(self.speakers_at);
        }
        wake
    }

    fn handle_datagrams(&mut self, buffer: &mut [u8], len: usize, from: SocketAddr) {
        let (mut len, mut from) = (len, from);
        for _ in 0..DATAGRAMS_AT_ONCE {
            self.handle_datagram(from, &buffer[..len]);
            match self.socket.try_recv_from(buffer) {
                Ok((next_len, next_from)) => (len, from) = (next_len, next_from),
                Err(_) => return,
            }
        }
    }

    fn take_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = Instant::now();
        let is_known = |(sid, side): &&(String, Side)| {
            self.participant(sid)
                .and_then(|p| p.peer(*side))
                .is_some_and(|peer| peer.accepts(from, bytes, now))
        };
        let known = self.addresses.get(&from).filter(is_known).cloned();
        let Some((sid, side)) = known.or_else(|| self.owner_of(from, bytes, now)) else {
            return;
        };
        if let Some(peer) = self.participant_mut(&sid).and_then(|p| p.peer_mut(side)) {
            peer.handle_datagram(from, bytes, now);
        }
        self.drive(&sid, side);
    }

    /// The connection that a datagram of a new address is for.
    fn owner_of(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<(String, Side)> {
        let sides = [Side::Publisher, Side::Subscriber];
        let mut peers = self
            .participants
            .iter()
            .flat_map(|p| sides.map(|side| (p, side)));
        let accepts = |(p, side): &(&Participant, Side)| {
            p.peer(*side).is_some_and(|x| x.accepts(from, bytes, now))
        };
        let owner = peers
            .find(accepts)
            .map(|(p, side)| (p.info.sid.clone(), side))?;
        self.addresses.insert(from, owner.clone());
        Some(owner)
    }

    /// Everything that is due.
    fn handle_time(&mut self, now: Instant) {
        self.land(now);
        let mut due = Vec::new();
        for participant in &self.participants {
            for side in [Side::Publisher, Side::Subscriber] {
                if participant
                    .peer(side)
                    .is_some_and(|peer| peer.is_alive() && peer.wake <= now)
                {
                    due.push((participant.info.sid.clone(), side));
                }
            }
        }
        for (sid, side) in due {
            if let Some(peer) = self.participant_mut(&sid).and_then(|p| p.peer_mut(side)) {
                peer.handle_time(now);
            }
            self.drive(&sid, side);
        }
        self.send_delayed(now);
        if now >= self.speakers_at {
            self.speakers_at = now + SPEAKER_INTERVAL;
            self.tell_speakers();
        }
        if now >= self.tokens_at {
            self.tokens_at = now + TOKEN_INTERVAL;
            self.refresh_tokens();
        }
        let gone: Vec<_> = self
            .participants
            .iter()
            .filter(|p| p.is_given_up(now))
            .map(|p| p.info.sid.clone())
            .collect();
        for sid in gone {
            self.remove(&sid, Reason::ConnectionTimeout, false);
        }
        if self
            .empty_since
            .is_some_and(|(since, limit)| now >= since + limit)
        {
            self.close(Reason::RoomClosed);
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Join { admission, reply } => {
                let is_full = self.info.max_participants > 0
                    && self
                        .participants
                        .iter()
                        .filter(|p| !p.is_dependent())
                        .count()
                        >= self.info.max_participants as usize;
                let result = if is_full {
                    Err(JoinError::Full)
                } else {
                    Ok(self.join(*admission))
                };
                _ = reply.send(result);
            }
            Command::Resume {
                identity,
                sid,
                signal,
                generation,
                reply,
            } => {
                _ = reply.send(self.resume(&identity, &sid, signal, generation));
            }
            Command::Signal {
                sid,
                generation,
                request,
            } => {
                if self
                    .participant(&sid)
                    .is_some_and(|p| p.generation == generation)
                {
                    self.handle_request(&sid, *request);
                }
            }
            Command::SignalLost { sid, generation } => {
                let window = self.shared.options.resume_window;
                if let Some(participant) = self
                    .participant_mut(&sid)
                    .filter(|p| p.generation == generation)
                {
                    participant.signal = None;
                    participant.give_up_at = Some(Instant::now() + window);
                }
            }
            Command::Remove {
                identity,
                reason,
                reply,
            } => {
                let sid = self.by_identity(&identity).map(|p| p.info.sid.clone());
                if let Some(sid) = &sid {
                    self.remove(sid, reason, true);
                }
                _ = reply.send(sid.is_some());
            }
            Command::Update { request, reply } => {
                let _ = reply.send(self.update_participant(*request));
            }
            Command::Mute {
                identity,
                track,
                muted,
                reply,
            } => {
                _ = reply.send(self.mute_published(&identity, &track, muted));
            }
            Command::SendData { request } => self.send_service_data(*request),
            Command::SetMetadata { metadata, reply } => {
                self.info.metadata = metadata;
                self.publish_view();
                self.tell_room();
                _ = reply.send(self.info.clone());
            }
            Command::CutSignal { identity } => {
                if let Some(signal) = self.by_identity(&identity).and_then(|p| p.signal.clone()) {
                    _ = signal.try_send(Outgoing::Cut);
                }
            }
            Command::Close { reason, reply } => {
                self.close(reason);
                _ = reply.send(());
            }
        }
    }

    fn participant(&self, sid: &str) -> Option<&Participant> {
        self.participants.iter().find(|p| p.info.sid == sid)
    }

    fn participant_mut(&mut self, sid: &str) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.info.sid == sid)
    }

    fn by_identity(&self, identity: &str) -> Option<&Participant> {
        self.participants
            .iter()
            .find(|p| p.info.identity == identity)
    }

    /// Sends to one client.
    fn tell(&self, sid: &str, message: Response) {
        if let Some(participant) = self.participant(sid) {
            participant.tell(message);
        }
    }

    /// Tells everybody of a participant's state as it is now; the participant too, as a real server does.
    fn tell_update(&mut self, sid: &str) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        participant.info.version += 1;
        let info = participant.info.clone();
        let is_visible = info.state() == State::Active && !participant.grants.hidden;
        let update = Response::Update(proto::ParticipantUpdate {
            participants: vec![info],
        });
        for other in &self.participants {
            if other.info.sid == sid || is_visible {
                other.tell(update.clone());
            }
        }
        self.publish_view();
    }

    fn tell_room(&self) {
        let update = Response::RoomUpdate(proto::RoomUpdate {
            room: Some(self.info.clone()),
        });
        for participant in &self.participants {
            participant.tell(update.clone());
        }
    }

    fn publish_view(&mut self) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.info.num_participants = count(
            self.participants
                .iter()
                .filter(|p| !p.is_dependent())
                .count(),
        );
        self.info.num_publishers = count(
            self.participants
                .iter()
                .filter(|p| p.info.is_publisher)
                .count(),
        );
        let live = |p: &Participant| {
            let identity = p.info.identity.clone();
            p.subscriptions
                .iter()
                .filter(|s| s.is_live())
                .map(move |s| (identity.clone(), s.track.clone()))
                .collect::<Vec<_>>()
        };
        self.view.send_replace(RoomView {
            room: self.info.clone(),
            participants: self.participants.iter().map(|p| p.info.clone()).collect(),
            subscriptions: self.participants.iter().flat_map(live).collect(),
            is_closed: self.is_closed,
        });
        self.shared.changed();
    }

    /// Takes a participant out of the room. With `is_told` it gets a word of it first.
    fn remove(&mut self, sid: &str, reason: Reason, is_told: bool) {
        let Some(index) = self.participants.iter().position(|p| p.info.sid == sid) else {
            return;
        };
        let mut gone = self.participants.remove(index);
        if is_told {
            gone.tell(Response::Leave(proto::LeaveRequest {
                reason: reason.into(),
                action: proto::leave_request::Action::Disconnect.into(),
                ..Default::default()
            }));
        }
        if let Some(signal) = &gone.signal {
            _ = signal.try_send(Outgoing::Close);
        }
        // As a real server does, which is why media may end before the word about it comes.
        for side in [Side::Publisher, Side::Subscriber] {
            let Some(peer) = gone.peer_mut(side) else {
                continue;
            };
            peer.close();
            while let Some(event) = peer.poll() {
                if let PeerEvent::Transmit { to, bytes } = event {
                    self.transmit(to, &bytes);
                }
            }
        }
        self.addresses.retain(|_, (owner, _)| owner != sid);
        gone.info.set_state(State::Disconnected);
        gone.info.set_disconnect_reason(reason);
        gone.info.version += 1;
        gone.info.tracks.clear();
        tracing::info!(
            room = self.info.name,
            identity = gone.info.identity,
            ?reason,
            "left"
        );
        if gone.was_active && !gone.grants.hidden {
            let update = proto::ParticipantUpdate {
                participants: vec![gone.info.clone()],
            };
            for other in &self.participants {
                other.tell(Response::Update(update.clone()));
            }
        }
        let tracks: Vec<_> = gone.tracks.iter().map(|t| t.info.sid.clone()).collect();
        self.end_subscriptions(&tracks);
        self.shared.notify_agents(Notice::ParticipantLeft {
            room: self.info.name.clone(),
            participant: gone.info,
        });
        self.note_emptiness();
        self.publish_view();
    }

    fn note_emptiness(&mut self) {
        let is_empty = self.participants.iter().all(Participant::is_dependent);
        self.empty_since = match self.empty_since {
            _ if !is_empty => None,
            Some(since) => Some(since),
            None => Some((Instant::now(), self.departure_timeout)),
        };
    }

    fn close(&mut self, reason: Reason) {
        let sids: Vec<_> = self
            .participants
            .iter()
            .map(|p| p.info.sid.clone())
            .collect();
        for sid in sids {
            self.remove(&sid, reason, true);
        }
        self.is_closed = true;
        tracing::info!(room = self.info.name, ?reason, "closed");
    }
}

/// The permissions that a token's grants amount to, as clients are told them.
fn permission(grants: &VideoGrants) -> proto::ParticipantPermission {
    let source = |name: &String| {
        proto::TrackSource::from_str_name(&name.to_ascii_uppercase()).map(i32::from)
    };
    #[expect(deprecated, reason = "clients of some versions still read them")]
    proto::ParticipantPermission {
        can_subscribe: grants.can_subscribe(),
        can_publish: grants.can_publish(),
        can_publish_data: grants.can_publish_data(),
        can_publish_sources: grants
            .can_publish_sources
            .iter()
            .filter_map(source)
            .collect(),
        hidden: grants.hidden,
        recorder: grants.recorder,
        can_update_metadata: grants.can_update_own_metadata(),
        agent: grants.agent,
        ..Default::default()
    }
}
