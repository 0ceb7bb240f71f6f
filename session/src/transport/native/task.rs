//! The task of a room: everything that happens to it happens here, one thing after the other.

mod recovery;
mod requests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use str0m::media::Mid;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use super::data::{Data, Lane};
use super::hear::Readers;
use super::model::{Change, Shared};
use super::peer::{Peer, PeerEvent};
use super::publish::{Closed, Published};
use super::room::{Command, NativeRoom, Reply};
use super::sdp::sent_tracks;
use super::signal::{Entry, Signal, SignalError};
use super::{convert, data};
use crate::transport::{
    AutoSubscribe, ConnectOptions, DisconnectReason, RoomEvent, TrackKind, TransportError,
};
use recovery::Recovery;

/// How long the server may take for its first message.
const GREETING: Duration = Duration::from_secs(10);

/// What took too long if the server has let us in.
const NO_MEDIA: &str = "the media connection (the server has let us in; are its UDP ports and its TCP port for media open for this machine? LiveKit's own library \
    can go through a TURN server, too: LISTENKIT_TRANSPORT=ffi)";

/// Pauses between the tries of the first join. LiveKit's library tries as often.
const JOIN_PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1_000)];

/// A failure that took longer is not tried again: the application has waited long enough.
const QUICK: Duration = Duration::from_secs(2);

/// How long a room is left in the background after nobody waits for it.
const LEAVING: Duration = Duration::from_secs(3);

/// How long data that is on its way may hold up leaving.
const LAST_DATA: Duration = Duration::from_millis(500);

/// Reliable bytes that may wait before senders are made to.
const DATA_WAITING: usize = 256 << 10;

/// The end of the room, or not yet.
type Step = ControlFlow<DisconnectReason>;

/// What joining needs.
pub(super) struct Joining {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) options: ConnectOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::UnboundedSender<RoomEvent>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) joined: Reply<NativeRoom>,
}

/// What the server says first.
enum Greeting {
    Joined(Box<proto::JoinResponse>),
    Resumed(proto::ReconnectResponse),
    /// It does not let us in.
    Left(proto::LeaveRequest),
}

type Entered = Result<(Signal, Greeting), SignalError>;

/// Opens the signalling and takes the server's first message.
async fn enter(url: String, token: String, resume: Option<String>) -> Entered {
    let entry = resume.as_deref().map_or(Entry::Join, Entry::Resume);
    let mut signal = Signal::open(&url, &token, entry).await?;
    let first = std::future::poll_fn(|cx| signal.poll(cx));
    let first = tokio::time::timeout(GREETING, first)
        .await
        .map_err(|_| SignalError::Broken(format!("the server said nothing within {GREETING:?}")))?
        .map_err(SignalError::Broken)?;
    let greeting = match (first, entry) {
        (Response::Join(join), _) => Greeting::Joined(Box::new(join)),
        (Response::Reconnect(reconnect), _) => Greeting::Resumed(reconnect),
        (Response::Leave(leave), _) => Greeting::Left(leave),
        (other, _) => {
            return Err(SignalError::Broken(format!(
                "the server began with {other:?}"
            )));
        }
    };
    Ok((signal, greeting))
}

/// The first time: a server that is being replaced, or a proxy before it, may refuse once and not again.
async fn enter_first(url: String, token: String) -> Entered {
    for pause in JOIN_PAUSES {
        let begun = Instant::now();
        match enter(url.clone(), token.clone(), None).await {
            Err(SignalError::Broken(why)) if begun.elapsed() < QUICK => {
                tracing::debug!(why, "not joined; trying again");
                tokio::time::sleep(pause).await;
            }
            entered => return entered,
        }
    }
    enter(url, token, None).await
}

/// Joins the room and stays in it until it is over.
pub(super) async fn run(joining: Joining) {
    let Joining {
        url,
        token,
        options,
        shared,
        events,
        commands,
        mut joined,
    } = joining;
    let deadline = super::after(Instant::now(), options.timeout);
    let entering = enter_first(url.clone(), token.clone());
    tokio::pin!(entering);
    let entered = tokio::select! {
        entered = tokio::time::timeout_at(deadline.into(), &mut entering) => entered,
        () = joined.closed() => {
            // The server may have let us in already.
            if let Ok(Ok((signal, _))) = tokio::time::timeout(LEAVING, entering).await {
                leave(signal).await;
            }
            return;
        }
    };
    let late = TransportError::Timeout {
        what: "joining the room",
        after: options.timeout,
    };
    let failed = |message: String| TransportError::Connect {
        url: url.clone(),
        message,
    };
    let (signal, join) = match entered {
        Err(_) => {
            let _ = joined.send(Err(late));
            return;
        }
        Ok(Err(error)) => {
            let _ = joined.send(Err(failed(error.into_message())));
            return;
        }
        Ok(Ok((signal, Greeting::Joined(join)))) => (signal, join),
        Ok(Ok((_, greeting))) => {
            let why = match greeting {
                Greeting::Left(leave) => format!("the server refuses: {:?}", leave.reason()),
                _ => "the server answered something else".to_owned(),
            };
            let _ = joined.send(Err(failed(why)));
            return;
        }
    };
    let mut task = Task::new(url, token, &options, shared, events, commands, signal);
    let late = TransportError::Timeout {
        what: NO_MEDIA,
        after: options.timeout,
    };
    task.joined = Some((joined, deadline, late));
    task.begin(&join, true);
    let reason = loop {
        if let ControlFlow::Break(reason) = task.step().await {
            break reason;
        }
    };
    task.end(reason).await;
}

/// Tells the server that we go.
async fn leave(mut signal: Signal) {
    signal.send(Request::Leave(proto::LeaveRequest {
        reason: proto::DisconnectReason::ClientInitiated.into(),
        action: proto::leave_request::Action::Disconnect.into(),
        ..Default::default()
    }));
    signal.close(LEAVING).await;
}

/// What woke the task.
enum Woken {
    Command(Box<Command>),
    Signal(Box<Result<Response, String>>),
    Peers,
    Entered(Box<Entered>),
    Answered(data::Answered),
    GivenUp,
    Time,
}

pub(super) struct Task {
    url: String,
    token: String,
    auto_subscribe: AutoSubscribe,
    reconnect_timeout: Duration,
    shared: Arc<Shared>,
    /// Until the last one.
    events: Option<mpsc::UnboundedSender<RoomEvent>>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Who waits for joining, until when, and what they hear then.
    joined: Option<(Reply<NativeRoom>, Instant, TransportError)>,
    signal: Option<Signal>,
    /// When the server is asked next whether it is there.
    ping: Instant,
    /// When it was asked first without saying anything since. Its silence counts from there: a process that was suspended has asked nobody.
    unanswered: Option<Instant>,
    ping_interval: Duration,
    ping_timeout: Duration,
    publisher: Peer,
    subscriber: Peer,
    /// Whether the server opens the subscriber by itself. Where we may hear nothing it does not: then it is there when there is something to hear.
    hears: bool,
    data: Data,
    /// Senders of data that wait until there is less of it.
    blocked: Vec<Reply<()>>,
    readers: Readers,
    /// Which line brings which track.
    lines: HashMap<Mid, String>,
    /// What the application said about tracks.
    wishes: HashMap<String, bool>,
    /// Tracks that the server was asked for.
    asked: HashSet<String>,
    /// Tracks that were heard before a new connection, and will be again.
    expected: HashSet<String>,
    published: Vec<Published>,
    /// Who waits for a track to be published, by its cid.
    publishing: HashMap<String, Reply<()>>,
    to_add: Vec<String>,
    to_stop: Vec<Mid>,
    to_restart: bool,
    /// Tracks of the offer that is out, then of the answer while there is no connection yet.
    offered: Vec<String>,
    answered: Vec<String>,
    request_id: u32,
    /// Requests that the server answers, by their number.
    attributes: HashMap<u32, (Reply<()>, HashMap<String, String>)>,
    /// Requests that wait for the signalling to come back.
    held: VecDeque<Request>,
    recovery: Option<Recovery>,
    /// The last recovery's beginning, tries and end.
    recovered: Option<(Instant, u32, Instant)>,
    sleep: Pin<Box<Sleep>>,
}

impl Task {
    fn new(
        url: String,
        token: String,
        options: &ConnectOptions,
        shared: Arc<Shared>,
        events: mpsc::UnboundedSender<RoomEvent>,
        commands: mpsc::UnboundedReceiver<Command>,
        signal: Signal,
    ) -> Self {
        let now = Instant::now();
        Self {
            url,
            token,
            auto_subscribe: options.auto_subscribe,
            reconnect_timeout: options.reconnect_timeout,
            shared,
            events: Some(events),
            commands,
            joined: None,
            ping: now,
            unanswered: None,
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(15),
            publisher: Peer::publisher(signal.local, now),
            subscriber: Peer::subscriber(signal.local, now),
            hears: true,
            signal: Some(signal),
            data: Data::new(now, SystemTime::now()),
            blocked: Vec::new(),
            readers: Readers::default(),
            lines: HashMap::new(),
            wishes: HashMap::new(),
            asked: HashSet::new(),
            expected: HashSet::new(),
            published: Vec::new(),
            publishing: HashMap::new(),
            to_add: Vec::new(),
            to_stop: Vec::new(),
            to_restart: false,
            offered: Vec::new(),
            answered: Vec::new(),
            request_id: 0,
            attributes: HashMap::new(),
            held: VecDeque::new(),
            recovery: None,
            recovered: None,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Takes the server's account of the room, and offers our side of the connection.
    fn begin(&mut self, join: &proto::JoinResponse, is_first: bool) {
        let seconds = |s: i32, or: Duration| {
            u64::try_from(s)
                .ok()
                .filter(|s| *s > 0)
                .map_or(or, Duration::from_secs)
        };
        self.ping_interval = seconds(join.ping_interval, self.ping_interval);
        self.ping_timeout = seconds(join.ping_timeout, self.ping_timeout);
        self.hears = join.subscriber_primary;
        self.ping = Instant::now() + self.ping_interval;
        self.unanswered = None;
        let mut changes = Vec::new();
        {
            let mut state = self.shared.state();
            if let Some(room) = &join.room {
                state.set_room(room);
            }
            if let Some(info) = &join.participant {
                let tracks = std::mem::take(&mut state.local.tracks);
                state.local = convert::participant(info);
                state.local.tracks = tracks;
            }
            state.rejoined(&join.other_participants, &mut changes);
        }
        if is_first {
            // They are in the snapshot from the beginning.
            changes.retain(|change| !matches!(change, Change::Event(_)));
        }
        self.apply(changes);
        if let Some(offer) = self.publisher.first_offer() {
            self.send(Request::Offer(offer));
        }
        self.subscribe_to_wanted();
    }

    /// Waits for one thing and does what follows from it.
    async fn step(&mut self) -> Step {
        let now = Instant::now();
        let deadline = self.deadline(now).max(now);
        self.sleep.as_mut().reset(deadline.into());
        let woken = std::future::poll_fn(|cx| self.poll_woken(cx)).await;
        let now = Instant::now();
        match woken {
            Woken::Command(command) => self.command(*command, now)?,
            Woken::Signal(message) => match *message {
                Ok(response) => {
                    self.unanswered = None;
                    self.response(response, now)?;
                }
                Err(why) => self.lost(&why, now),
            },
            Woken::Peers => {
                self.subscriber.receive(now);
                self.publisher.receive(now);
            }
            Woken::Entered(entered) => self.entered(*entered, now)?,
            Woken::Answered(answered) => self.data.answer(&answered, now),
            Woken::GivenUp => return Step::Break(DisconnectReason::ClientInitiated),
            Woken::Time => {}
        }
        self.handle_time(now)?;
        self.drive(now);
        self.is_recovered(now)
    }

    fn poll_woken(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        if let Some(signal) = &mut self.signal
            && let Poll::Ready(result) = signal.poll(cx)
        {
            return Poll::Ready(Woken::Signal(Box::new(result)));
        }
        if let Some(recovery) = &mut self.recovery
            && let Poll::Ready(entered) = recovery.poll(cx)
        {
            return Poll::Ready(Woken::Entered(Box::new(entered)));
        }
        if let Poll::Ready(answered) = std::pin::pin!(self.data.answered()).poll(cx) {
            return Poll::Ready(Woken::Answered(answered));
        }
        if let Some((joined, ..)) = &mut self.joined
            && joined.poll_closed(cx).is_ready()
        {
            return Poll::Ready(Woken::GivenUp);
        }
        if let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            return Poll::Ready(Woken::Command(Box::new(command)));
        }
        // Last: anybody can send datagrams, as many as they like.
        if self.subscriber.poll_ready(cx).is_ready() | self.publisher.poll_ready(cx).is_ready() {
            return Poll::Ready(Woken::Peers);
        }
        self.sleep.as_mut().poll(cx).map(|()| Woken::Time)
    }

    fn deadline(&self, now: Instant) -> Instant {
        let due = self.published.iter().filter_map(|p| p.due).min();
        let silent = self.signal.as_ref().map(|_| {
            let given_up = self.given_up_at();
            given_up.map_or(self.ping, |at| at.min(self.ping))
        });
        [
            Some(self.publisher.wake),
            Some(self.subscriber.wake),
            self.readers.deadline(),
            due,
            self.data.deadline(),
            silent,
            self.recovery.as_ref().map(Recovery::deadline),
            self.joined.as_ref().map(|(_, at, _)| *at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + Duration::from_secs(3600))
    }

    /// Until when the server may leave a ping unanswered: it counts its timeout from the last word, which came up to an interval before.
    fn given_up_at(&self) -> Option<Instant> {
        let patience = self.ping_timeout.saturating_sub(self.ping_interval);
        let patience = patience.max(self.ping_interval);
        self.unanswered.map(|since| since + patience)
    }

    fn handle_time(&mut self, now: Instant) -> Step {
        if self.publisher.wake <= now {
            self.publisher.handle_time(now);
        }
        if self.subscriber.wake <= now {
            self.subscriber.handle_time(now);
        }
        self.readers.handle_time(now);
        for published in &mut self.published {
            published.pump(&mut self.publisher, now);
        }
        if self.data.deadline().is_some_and(|at| at <= now) {
            self.data.handle_time(now);
        }
        if self.signal.is_some() {
            if self.given_up_at().is_some_and(|at| at <= now) {
                self.lost("the server does not answer", now);
            } else if now >= self.ping {
                self.ping = now + self.ping_interval;
                self.unanswered.get_or_insert(now);
                let timestamp = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
                self.send(Request::PingReq(proto::Ping {
                    timestamp,
                    ..Default::default()
                }));
            }
        }
        if self.joined.as_ref().is_some_and(|(_, at, _)| *at <= now)
            && let Some((joined, _, late)) = self.joined.take()
        {
            let _ = joined.send(Err(late));
            return Step::Break(DisconnectReason::JoinFailure);
        }
        self.recover(now)
    }

    /// Does what follows from what the peers and the data have to say.
    fn drive(&mut self, now: Instant) {
        while let Some(event) = self.subscriber.poll_event() {
            match event {
                PeerEvent::Rtp(mid, packet) => {
                    if let Some(sid) = self.lines.get(&mid) {
                        self.readers.take(sid, &packet, now);
                    }
                }
                PeerEvent::Data(lane, bytes) => self.data.handle(lane, &bytes, now),
                PeerEvent::Connected => self.media_connected(now),
                PeerEvent::Disconnected => self.media_lost("what we hear", now),
                PeerEvent::Writable => {}
            }
        }
        while let Some(event) = self.publisher.poll_event() {
            match event {
                PeerEvent::Data(lane, bytes) => self.data.handle(lane, &bytes, now),
                PeerEvent::Connected => self.media_connected(now),
                PeerEvent::Disconnected => self.media_lost("what we send", now),
                PeerEvent::Rtp(..) | PeerEvent::Writable => {}
            }
        }
        while let Some(event) = self.data.poll_event() {
            self.emit(event);
        }
        self.write_data();
    }

    fn write_data(&mut self) {
        for lane in [Lane::Reliable, Lane::Lossy] {
            while let Some(bytes) = self.data.front(lane) {
                if !self.publisher.write(lane, bytes) {
                    break;
                }
                self.data.sent(lane);
            }
        }
        if !self.blocked.is_empty() && self.data.waiting() <= DATA_WAITING {
            for reply in self.blocked.drain(..) {
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// A connection stands.
    fn media_connected(&mut self, now: Instant) {
        tracing::debug!(
            publisher = self.publisher.is_connected(),
            subscriber = self.subscriber.is_connected(),
            "media"
        );
        if self.publisher.is_connected() {
            self.tell_published();
        }
        let is_in = match self.hears {
            true => self.subscriber.is_connected(),
            false => self.publisher.is_connected(),
        };
        if is_in && let Some((joined, ..)) = self.joined.take() {
            self.shared.state().connected = true;
            let room = NativeRoom::new(Arc::clone(&self.shared));
            // Nobody there: the room is dropped, which leaves it.
            let _ = joined.send(Ok(room));
        }
        let _ = now;
    }

    fn tell_published(&mut self) {
        for cid in self.answered.drain(..) {
            if let Some(reply) = self.publishing.remove(&cid) {
                let _ = reply.send(Ok(()));
            }
        }
    }

    fn emit(&self, event: RoomEvent) {
        if let Some(events) = &self.events {
            // Nobody listens any more: the room may still be in use.
            let _ = events.send(event);
        }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Event(event) => self.emit(event),
                Change::Joined { identity, protocol } => self.data.joined(&identity, protocol),
                Change::Left { identity, sid } => self.data.left(&identity, &sid),
                Change::Deaf { sid } => {
                    self.readers.end(&sid);
                    self.expected.remove(&sid);
                }
            }
        }
    }

    /// Sends a request now, or when the signalling is back.
    fn request(&mut self, request: Request) {
        if self.recovery.is_some() {
            self.held.push_back(request);
        } else {
            self.send(request);
        }
    }

    /// Sends what belongs to this connection, now or never.
    fn send(&mut self, request: Request) {
        if let Some(signal) = &mut self.signal {
            signal.send(request);
        }
    }

    fn is_wanted(&self, sid: &str, kind: TrackKind) -> bool {
        self.wishes.get(sid).copied().unwrap_or_else(|| {
            let is_auto = matches!(
                self.auto_subscribe,
                AutoSubscribe::All | AutoSubscribe::AudioOnly
            );
            is_auto && kind == TrackKind::Audio
        })
    }

    /// Asks for tracks that are wanted and were not asked for.
    fn subscribe_to_wanted(&mut self) {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        for remote in &state.others {
            let participant = &remote.participant;
            let tracks = participant.tracks.iter();
            let new: Vec<String> = tracks
                .filter(|t| self.is_wanted(&t.sid, t.kind) && !self.asked.contains(&t.sid))
                .filter(|t| !remote.encrypted.contains(&t.sid))
                .map(|t| t.sid.clone())
                .collect();
            if new.is_empty() {
                continue;
            }
            self.asked.extend(new.iter().cloned());
            let participant = participant.sid.clone();
            self.request(subscription(participant, new, true));
        }
    }

    /// Makes the tracks that can be heard those of the server's last offer.
    fn reconcile_lines(&mut self) {
        let mut changes = Vec::new();
        {
            let mut state = self.shared.state();
            for sid in self.lines.values() {
                self.expected.remove(sid);
                if let Some((identity, track)) = state.track_mut(sid)
                    && !track.subscribed
                    && track.kind == TrackKind::Audio
                {
                    track.subscribed = true;
                    changes.push(Change::Event(RoomEvent::TrackSubscribed {
                        identity: identity.to_owned(),
                        track: track.clone(),
                    }));
                }
            }
            for remote in &mut state.others {
                let identity = &remote.participant.identity;
                for track in remote
                    .participant
                    .tracks
                    .iter_mut()
                    .filter(|t| t.subscribed)
                {
                    let is_heard = self.lines.values().any(|sid| *sid == track.sid)
                        || self.expected.contains(&track.sid);
                    if !is_heard {
                        track.subscribed = false;
                        let sid = track.sid.clone();
                        changes.push(Change::Deaf { sid: sid.clone() });
                        changes.push(Change::Event(RoomEvent::TrackUnsubscribed {
                            identity: identity.clone(),
                            sid,
                        }));
                    }
                }
            }
        }
        self.apply(changes);
    }

    /// Takes a message of the server.
    fn response(&mut self, response: Response, now: Instant) -> Step {
        match response {
            Response::Offer(offer) => {
                let lines = sent_tracks(&offer);
                match self.subscriber.accept_offer(offer, now) {
                    Ok(answer) => {
                        self.send(Request::Answer(answer));
                        self.lines = lines.into_iter().collect();
                        self.reconcile_lines();
                    }
                    Err(error) => {
                        tracing::warn!("an offer of the server cannot be taken: {error}");
                        self.lost("an offer of the server cannot be taken", now);
                    }
                }
            }
            Response::Answer(answer) => match self.publisher.accept_answer(answer, now) {
                Ok(None) => {}
                Ok(Some(ours)) => {
                    for candidate in ours {
                        self.send(Request::Trickle(candidate));
                    }
                    self.answered.append(&mut self.offered);
                    if self.publisher.is_connected() {
                        self.tell_published();
                    }
                    self.negotiate();
                }
                Err(error) => {
                    tracing::warn!("an answer of the server cannot be taken: {error}");
                    self.lost("an answer of the server cannot be taken", now);
                }
            },
            Response::Trickle(trickle) => {
                let peer = match trickle.target() {
                    proto::SignalTarget::Publisher => &mut self.publisher,
                    proto::SignalTarget::Subscriber => &mut self.subscriber,
                };
                if let Some(ours) = peer.add_candidate(&trickle.candidate_init, now) {
                    self.send(Request::Trickle(ours));
                }
            }
            Response::Update(update) => {
                let mut changes = Vec::new();
                {
                    let mut state = self.shared.state();
                    for info in &update.participants {
                        state.update(info, &mut changes);
                    }
                }
                self.apply(changes);
                self.forget_tracks();
                self.reconcile_lines();
                self.subscribe_to_wanted();
            }
            Response::TrackPublished(published) => self.track_published(published),
            Response::TrackUnpublished(gone) => self.taken_back(&gone.track_sid),
            Response::TrackSubscribed(subscribed) => {
                let sid = subscribed.track_sid;
                self.emit(RoomEvent::LocalTrackSubscribed { sid });
            }
            Response::Mute(mute) => self.muted_by_server(&mute),
            Response::RoomUpdate(update) => {
                if let Some(room) = &update.room {
                    self.shared.state().set_room(room);
                }
            }
            Response::RoomMoved(moved) => {
                if !moved.token.is_empty() {
                    self.token.clone_from(&moved.token);
                    self.emit(RoomEvent::TokenRefreshed(moved.token.into()));
                }
                let mut changes = Vec::new();
                {
                    let mut state = self.shared.state();
                    if let Some(room) = &moved.room {
                        state.set_room(room);
                    }
                    if let Some(info) = &moved.participant {
                        state.local.sid.clone_from(&info.sid);
                    }
                    state.rejoined(&moved.other_participants, &mut changes);
                }
                self.apply(changes);
                self.forget_tracks();
                self.subscribe_to_wanted();
            }
            Response::RefreshToken(token) => {
                self.token.clone_from(&token);
                self.emit(RoomEvent::TokenRefreshed(token.into()));
            }
            Response::RequestResponse(response) => self.request_response(response),
            Response::SubscriptionResponse(response) => {
                tracing::warn!(
                    track = response.track_sid,
                    "a track cannot be subscribed to: {:?}",
                    response.err()
                );
            }
            Response::SubscriptionPermissionUpdate(update) if !update.allowed => {
                let track = update.track_sid;
                tracing::warn!(track, "its publisher does not let us hear a track");
            }
            Response::Leave(leave) => return self.told_to_leave(&leave, now),
            // Speakers, quality, video layers, pongs, data tracks: nobody here asks for them.
            _ => {}
        }
        Step::Continue(())
    }

    /// What was said about tracks that are gone is forgotten.
    fn forget_tracks(&mut self) {
        let state = self.shared.state();
        let is_here = |sid: &String| {
            let tracks = state.others.iter().flat_map(|r| &r.participant.tracks);
            tracks.into_iter().any(|t| t.sid == *sid)
        };
        self.asked.retain(is_here);
        self.wishes.retain(|sid, _| is_here(sid));
    }

    /// The room is over: everything that waits for it ends, and the server is told if it does not know.
    async fn end(mut self, reason: DisconnectReason) {
        if reason == DisconnectReason::ClientInitiated {
            self.last_data().await;
        }
        if let Some((joined, ..)) = self.joined.take() {
            let url = self.url.clone();
            let message = format!("the server ended it: {reason:?}");
            let _ = joined.send(Err(TransportError::Connect { url, message }));
        }
        self.over(reason);
        let signal = self.signal.take();
        if let Some(signal) = signal {
            leave(signal).await;
        }
        self.publisher.close();
        self.subscriber.close();
    }

    /// Ends what the application has of the room. The event is the last one.
    fn over(&mut self, reason: DisconnectReason) {
        for published in &self.published {
            published.queue.close(Closed::Room);
        }
        {
            let mut state = self.shared.state();
            state.connected = false;
            state.over = true;
        }
        self.readers = Readers::default();
        if let Some(events) = self.events.take() {
            let _ = events.send(RoomEvent::Disconnected(reason));
        }
    }

    /// Gives what the application has just sent a moment to go out.
    async fn last_data(&mut self) {
        let until = Instant::now() + LAST_DATA;
        while self.publisher.is_connected() && Instant::now() < until {
            if self.data.waiting() == 0 && self.publisher.unconfirmed() == 0 {
                return;
            }
            let (publisher, sleep) = (&mut self.publisher, &mut self.sleep);
            sleep.as_mut().reset(publisher.wake.min(until).into());
            std::future::poll_fn(|cx| {
                let is_time = sleep.as_mut().poll(cx).is_ready();
                if is_time || publisher.poll_ready(cx).is_ready() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            let now = Instant::now();
            publisher.receive(now);
            publisher.handle_time(now);
            self.drive(now);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // Does nothing after `end`. A task that panics, or whose runtime stops, leaves nobody waiting either.
        self.over(DisconnectReason::Unknown);
    }
}

fn subscription(participant: String, sids: Vec<String>, subscribe: bool) -> Request {
    Request::Subscription(proto::UpdateSubscription {
        track_sids: sids.clone(),
        subscribe,
        participant_tracks: vec![proto::ParticipantTracks {
            participant_sid: participant,
            track_sids: sids,
        }],
    })
}

/// Somebody who waits for a reply, or does not any more.
fn reply<T>(to: oneshot::Sender<T>, value: T) {
    let _ = to.send(value);
}
