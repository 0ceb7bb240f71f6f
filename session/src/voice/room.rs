//! A session in a room: hears one participant, is heard by all, writes transcripts, reads the chat.
//!
//! One task follows what happens in the room, another tells the room what happens in the session. Audio takes neither way: the session reads
//! the track itself. The task that follows holds the session: it lives as long as the room.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::age;
use super::agent::{Agent, ChatInput};
use super::event::{CloseReason, ErrorSource, EventStream, SessionEvent};
use super::hooks::hook_failed;
use super::message::Command;
use super::options::SessionError;
use super::session::{AgentSession, SessionIo, Shared};
use crate::transport::{
    Connection, DisconnectReason, Participant, ParticipantKind, PublishOptions, Room, RoomEvent,
    TextMessage, TextOptions, TextWriter, Track, TrackKind, TrackSource, TransportError,
};
use crate::tts::{AudioSink, TrackSink};
use crate::{AudioFrame, ErrorKind, ProviderError};

/// Topic of chat messages.
const CHAT: &str = "lk.chat";
/// Topic of transcripts.
const TRANSCRIPTION: &str = "lk.transcription";
/// Attribute of the agent.
const AGENT_STATE: &str = "lk.agent.state";
/// Attributes of transcripts.
const SEGMENT_ID: &str = "lk.segment_id";
const TRACK_ID: &str = "lk.transcribed_track_id";
const FINAL: &str = "lk.transcription_final";
/// Attribute of another agent's voice that stands for an agent.
const ON_BEHALF: &str = "lk.publish_on_behalf";

/// Time for one call to the room. A room that is slower loses a transcript, not the conversation.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the room is told what happened last, once the session is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Events that wait for [`Agent::on_room_event`]. More are lost, and that is an error event.
const ROOM_EVENTS: usize = 1024;

/// What a session takes from a room.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomInputOptions {
    /// Whether anybody is heard. Default true.
    pub audio: bool,
    /// Rate at which the room gives audio, in Hz. Default 16,000: what the models and most recognisers take. (LiveKit Agents: 24,000.)
    pub sample_rate: u32,
    /// How old audio is when the room gives it, until the room has measured it: half a packet, the coder's look-ahead, the jitter buffer. Turns end that much earlier, so that the
    /// user waits as long as was asked for. Default 50 ms.
    pub audio_age: Duration,
    /// Whether noise is taken out of it first, by RNNoise. Default false: recognisers are trained with noise, and lose more by what is taken out of the voice.
    pub noise_cancellation: bool,
    /// Who is heard. Default: the first who is there, of the kinds below; when they leave, the next.
    pub participant_identity: Option<String>,
    /// Kinds of participants that are heard. Default: standard, telephone, connector.
    pub participant_kinds: Vec<ParticipantKind>,
    /// Whether delays count from when the user fell silent: the age of the audio, as far as the room knows it and up to 100 ms, is taken off the wait that ends a
    /// turn. Without, delays count from when the audio came, and `audio_age` has no effect. Default true. (LiveKit Agents: from when the agent heard it.)
    pub compensate_age: bool,
    /// Whether the session ends when the participant it hears leaves of their own will, refuses a call, or their room is deleted. Default true. One whose
    /// connection is lost may come back, and is waited for.
    pub close_on_disconnect: bool,
    /// Whether text on the topic `lk.chat` reaches [`Agent::on_chat_message`]. Default true.
    pub text_input: bool,
    /// Whether the room is left when the session is over. Default true: an agent that neither hears nor speaks keeps a room open for nobody.
    pub leave_on_close: bool,
}

impl Default for RoomInputOptions {
    fn default() -> Self {
        Self {
            audio: true,
            sample_rate: 16_000,
            audio_age: Duration::from_millis(50),
            noise_cancellation: false,
            participant_identity: None,
            participant_kinds: vec![
                ParticipantKind::Standard,
                ParticipantKind::Sip,
                ParticipantKind::Connector,
            ],
            compensate_age: true,
            close_on_disconnect: true,
            text_input: true,
            leave_on_close: true,
        }
    }
}

crate::setters::setters!(RoomInputOptions {
    audio: bool,
    sample_rate: u32,
    audio_age: Duration,
    noise_cancellation: bool,
    [some into] participant_identity: String,
    [list] participant_kinds: ParticipantKind,
    compensate_age: bool,
    close_on_disconnect: bool,
    text_input: bool,
    leave_on_close: bool
});

/// What a session gives to a room.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomOutputOptions {
    /// Whether the agent has a track. Default true.
    pub audio: bool,
    /// Of the track, in Hz. Default 48,000: what Opus carries.
    pub sample_rate: u32,
    /// Name of the track. Default `roomio_audio`, as LiveKit Agents.
    pub track_name: String,
    /// Whether transcripts of both sides are written on the topic `lk.transcription`. Default true.
    pub transcription: bool,
    /// Whether the agent's voice waits until somebody has subscribed to its track, so that a greeting is heard by who comes. Speeches wait so long, and
    /// [`drain`](AgentSession::drain) waits for them. Default true, as LiveKit Agents.
    pub wait_for_subscriber: bool,
}

impl Default for RoomOutputOptions {
    fn default() -> Self {
        Self {
            audio: true,
            sample_rate: 48_000,
            track_name: "roomio_audio".to_owned(),
            transcription: true,
            wait_for_subscriber: true,
        }
    }
}

crate::setters::setters!(RoomOutputOptions {
    audio: bool,
    sample_rate: u32,
    [into] track_name: String,
    transcription: bool,
    wait_for_subscriber: bool
});

impl AgentSession {
    /// Begins the conversation in a room: hears the first acceptable participant's microphone, publishes the agent's voice, keeps
    /// the attribute `lk.agent.state`, writes transcripts and reads the chat. Ends when the room does, or the user leaves, and leaves the room when it ends
    /// ([`leave_on_close`](RoomInputOptions::leave_on_close)). It lives until then, whether or not a handle is kept. [`closed`](Self::closed) waits for the end.
    ///
    /// ```no_run
    /// # use listenkit_session::{Agent, AgentSession};
    /// # use listenkit_session::api::Credentials;
    /// # use listenkit_session::transport::{self, ConnectOptions};
    /// # use listenkit_session::voice::{BoxError, RoomInputOptions, RoomOutputOptions};
    /// # async fn call(session: AgentSession, agent: impl Agent + 'static) -> Result<(), BoxError> {
    /// let server = Credentials::from_env()?;
    /// let token = server.agent_token("ada", "lobby")?;
    /// let connection = transport::open()?.connect(&server.ws_url(), &token, &ConnectOptions::default()).await?;
    /// session.start_in_room(agent, connection, RoomInputOptions::default(), RoomOutputOptions::default()).await?;
    /// session.closed().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SessionError::Transport`] if the voice cannot be published; [`SessionError::AlreadyStarted`]; [`SessionError::Config`] if
    /// [`sample_rate`](RoomInputOptions::sample_rate) is none the core takes; [`SessionError::Model`] if a model cannot be set up.
    pub async fn start_in_room(
        &self,
        agent: impl Agent + 'static,
        connection: Connection,
        input: RoomInputOptions,
        output: RoomOutputOptions,
    ) -> Result<(), SessionError> {
        self.start_in_room_shared(Arc::new(agent), connection, input, output)
            .await
    }

    /// [`start_in_room`](Self::start_in_room) with an agent that others hold, too.
    ///
    /// # Errors
    /// As [`start_in_room`](Self::start_in_room).
    pub async fn start_in_room_shared(
        &self,
        agent: Arc<dyn Agent>,
        connection: Connection,
        input: RoomInputOptions,
        output: RoomOutputOptions,
    ) -> Result<(), SessionError> {
        let Connection { room, events } = connection;
        let heard = watch::Sender::new(!output.wait_for_subscriber);
        let (mut sink, mut own_track) = (None, String::new());
        if output.audio && self.inner.options.tts.is_some() {
            let publish = PublishOptions {
                name: output.track_name.clone(),
                sample_rate: output.sample_rate,
                channels: 1,
                source: TrackSource::Microphone,
                // More than the playout's lead, so that it never waits inside the transport.
                queue: Duration::from_millis(400),
            };
            let track =
                in_time("publishing the agent's voice", room.publish_audio(&publish)).await?;
            own_track = track.sid();
            sink = Some(Arc::new(Voice {
                track: TrackSink::new(track, output.sample_rate, 1),
                heard: heard.subscribe(),
            }) as _);
        }
        let audio_age = match input.compensate_age {
            true => input.audio_age,
            false => Duration::ZERO,
        };
        let io = SessionIo::in_room(sink, input.sample_rate, input.noise_cancellation, audio_age);
        let (linked, user) = watch::channel(Linked::default());
        let writer = Writer {
            room: room.clone(),
            transcription: output.transcription,
            own_track,
            user,
            segment: crate::chat::id("SG_"),
            speech: None,
        };
        let session_events = self.events();
        let stay = Stay::new(&self.inner.shared, &room);
        self.start_shared(agent.clone(), io)?;
        // The writer ends with the session's events, the follower with the session or the room.
        let writing = tokio::spawn(writer.run(session_events));
        if input.audio && input.compensate_age {
            let user = linked.subscribe();
            tokio::spawn(age::follow(
                room.clone(),
                user,
                self.downgrade(),
                self.over(),
            ));
        }
        let follower = Follower {
            session: self.clone(),
            agent,
            room,
            input,
            linked,
            heard,
            met: HashSet::new(),
            hooks: JoinSet::new(),
        };
        tokio::spawn(follower.run(events, self.over(), writing, stay));
        Ok(())
    }
}

/// A session in a room: until this is dropped, [`AgentSession::closed`] waits.
struct Stay(Arc<Shared>);

impl Stay {
    fn new(shared: &Arc<Shared>, room: &Arc<dyn Room>) -> Self {
        shared.enter_room(room.clone());
        Self(shared.clone())
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.leave_room();
    }
}

/// The agent's track, which waits for somebody who hears it.
struct Voice {
    track: TrackSink,
    heard: watch::Receiver<bool>,
}

#[async_trait::async_trait]
impl AudioSink for Voice {
    fn sample_rate(&self) -> u32 {
        self.track.sample_rate()
    }

    fn channels(&self) -> u32 {
        self.track.channels()
    }

    async fn ready(&self) {
        // Without a sender the session is over, and the speech with it.
        let _ = self.heard.clone().wait_for(|&heard| heard).await;
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        self.track.capture(frame).await
    }

    fn queued(&self) -> Duration {
        self.track.queued()
    }

    fn clear(&self) {
        self.track.clear();
    }
}

/// Who is heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Linked {
    identity: Option<String>,
    /// Of the microphone.
    pub(super) track: Option<String>,
}

/// Follows the room.
struct Follower {
    session: AgentSession,
    agent: Arc<dyn Agent>,
    room: Arc<dyn Room>,
    input: RoomInputOptions,
    linked: watch::Sender<Linked>,
    /// Whether somebody hears the agent.
    heard: watch::Sender<bool>,
    /// Who is there, by sid and identity. Somebody who joined between the connection and the start is in the list and in the events.
    met: HashSet<(String, String)>,
    hooks: JoinSet<()>,
}

impl Follower {
    async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<RoomEvent>,
        mut over: watch::Receiver<bool>,
        writing: JoinHandle<()>,
        _stay: Stay,
    ) {
        let (hook, mut told) = mpsc::channel(ROOM_EVENTS);
        let (agent, session) = (self.agent.clone(), self.session.clone());
        self.hooks.spawn(async move {
            while let Some(event) = told.recv().await {
                let hook = AssertUnwindSafe(agent.on_room_event(&session, event));
                if hook.catch_unwind().await.is_err() {
                    let error = hook_failed("on_room_event panicked");
                    session.report(ErrorSource::Agent, error);
                }
            }
        });
        for participant in self.room.participants() {
            self.joined(&participant).await;
        }
        loop {
            let event = tokio::select! {
                biased;
                _ = over.wait_for(|&over| over) => break,
                Some(_) = self.hooks.join_next() => continue,
                event = events.recv() => event,
            };
            let reason = match event {
                Some(RoomEvent::Disconnected(_)) | None => Some(CloseReason::RoomDisconnected),
                Some(RoomEvent::Text(message))
                    if message.topic == CHAT && self.input.text_input =>
                {
                    self.chat(message);
                    None
                }
                Some(event) => {
                    let reason = self.on_event(&event).await;
                    if let Err(TrySendError::Full(event)) = hook.try_send(event) {
                        tracing::warn!(?event, "on_room_event is too slow: an event is lost");
                        let message = format!("on_room_event is {ROOM_EVENTS} events behind");
                        self.session
                            .report(ErrorSource::Agent, hook_failed(message));
                    }
                    reason
                }
            };
            if let Some(reason) = reason {
                self.session.close(reason).await;
                break;
            }
        }
        // Whoever asked for the events must not find a sender without a reader.
        drop(hook);
        let done = async { while self.hooks.join_next().await.is_some() {} };
        let limit = self.session.close_timeout();
        if tokio::time::timeout(limit, done).await.is_err() {
            tracing::warn!("a hook of the agent is given up after {limit:?}: the session is over");
            self.hooks.shutdown().await;
        }
        // The last words and the last state are on their way.
        let abort = writing.abort_handle();
        if tokio::time::timeout(LAST_WORDS, writing).await.is_err() {
            abort.abort();
        }
        if self.input.leave_on_close {
            self.room.close().await;
        }
    }

    /// What follows from an event; gives why the session has to end, if it has.
    async fn on_event(&mut self, event: &RoomEvent) -> Option<CloseReason> {
        match event {
            RoomEvent::ParticipantConnected(participant) => self.joined(participant).await,
            RoomEvent::ParticipantDisconnected {
                participant,
                reason,
            } => {
                self.met.remove(&key(participant));
                if !self.is_linked(&participant.identity) {
                    return None;
                }
                self.unlink();
                let wanted = matches!(
                    reason,
                    DisconnectReason::ClientInitiated
                        | DisconnectReason::RoomDeleted
                        | DisconnectReason::UserRejected
                );
                if self.input.close_on_disconnect && wanted {
                    return Some(CloseReason::ParticipantDisconnected);
                }
                self.find().await;
            }
            RoomEvent::TrackPublished { identity, track }
                if self.is_linked(identity) && is_microphone(track) && !track.subscribed =>
            {
                self.subscribe(identity, track).await;
            }
            RoomEvent::TrackSubscribed { identity, track }
                if self.is_linked(identity) && is_microphone(track) =>
            {
                self.listen(track).await;
            }
            RoomEvent::LocalTrackSubscribed { .. } => {
                self.heard.send_replace(true);
            }
            RoomEvent::TrackUnsubscribed { sid, .. } | RoomEvent::TrackUnpublished { sid, .. }
                if self.linked.borrow().track.as_ref() == Some(sid) =>
            {
                self.deafen();
            }
            RoomEvent::TrackMuted { sid, .. } => self.mute(sid, true),
            RoomEvent::TrackUnmuted { sid, .. } => self.mute(sid, false),
            _ => {}
        }
        None
    }

    async fn joined(&mut self, participant: &Participant) {
        if self.linked.borrow().identity.is_none() && self.is_acceptable(participant) {
            self.link(participant).await;
        }
        if !self.met.insert(key(participant)) {
            return;
        }
        let (agent, session) = (self.agent.clone(), self.session.clone());
        let participant = participant.clone();
        self.hooks.spawn(async move {
            let hook = agent.on_participant_connected(&session, &participant);
            if AssertUnwindSafe(hook).catch_unwind().await.is_err() {
                let error = hook_failed("on_participant_connected panicked");
                session.report(ErrorSource::Agent, error);
            }
        });
    }

    fn is_acceptable(&self, participant: &Participant) -> bool {
        let local = self.room.local_participant().identity;
        let wanted = self.input.participant_identity.as_ref();
        wanted.is_none_or(|wanted| *wanted == participant.identity)
            && self.input.participant_kinds.contains(&participant.kind)
            && participant.identity != local
            // It speaks with the agent's own voice.
            && participant.attributes.get(ON_BEHALF) != Some(&local)
    }

    fn is_linked(&self, identity: &str) -> bool {
        self.linked.borrow().identity.as_deref() == Some(identity)
    }

    async fn find(&mut self) {
        let next = self
            .room
            .participants()
            .into_iter()
            .find(|participant| self.is_acceptable(participant));
        if let Some(participant) = next {
            self.link(&participant).await;
        }
    }

    async fn link(&mut self, participant: &Participant) {
        self.linked.send_modify(|linked| {
            linked.identity = Some(participant.identity.clone());
        });
        if let Some(track) = participant.tracks.iter().find(|track| is_microphone(track)) {
            if track.subscribed {
                self.listen(track).await;
            } else {
                self.subscribe(&participant.identity, track).await;
            }
        }
    }

    fn unlink(&mut self) {
        self.deafen();
        self.linked.send_modify(|linked| linked.identity = None);
    }

    async fn subscribe(&self, identity: &str, track: &Track) {
        if !self.input.audio {
            return;
        }
        let asked = self.room.set_subscribed(identity, &track.sid, true);
        if let Err(error) = in_time("subscribing", asked).await {
            self.failed(&error);
        }
    }

    async fn listen(&mut self, track: &Track) {
        if !self.input.audio || self.linked.borrow().track.as_ref() == Some(&track.sid) {
            return;
        }
        let rate = self.input.sample_rate;
        match in_time("opening audio", self.room.open_audio(&track.sid, rate, 1)).await {
            Ok(frames) => {
                self.linked
                    .send_modify(|linked| linked.track = Some(track.sid.clone()));
                self.send(Command::Hear(Some(frames)));
                self.send(Command::Mute(track.muted));
            }
            Err(error) => self.failed(&error),
        }
    }

    /// The user cannot be heard any more: what was said is taken as it is.
    fn deafen(&mut self) {
        self.linked.send_modify(|linked| linked.track = None);
        self.send(Command::Hear(None));
    }

    fn mute(&self, sid: &str, muted: bool) {
        if self.linked.borrow().track.as_deref() == Some(sid) {
            self.send(Command::Mute(muted));
        }
    }

    fn chat(&mut self, message: TextMessage) {
        let heard = self.input.participant_identity.as_ref();
        if heard.is_some_and(|identity| *identity != message.identity) {
            return;
        }
        let (agent, session) = (self.agent.clone(), self.session.clone());
        self.hooks.spawn(async move {
            let message = ChatInput::new(message.text, message.identity);
            let hook = AssertUnwindSafe(agent.on_chat_message(&session, message)).catch_unwind();
            let message = match hook.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "on_chat_message panicked".to_owned(),
            };
            session.report(ErrorSource::Agent, hook_failed(message));
        });
    }

    fn failed(&self, error: &TransportError) {
        tracing::warn!(%error, "the room failed");
        let error = ProviderError::new("room", ErrorKind::Connection, error.to_string());
        self.session.report(ErrorSource::Room, error);
    }

    fn send(&self, command: Command) {
        // A session that is over hears nobody.
        let _ = self.session.send(command);
    }
}

/// Tells the room what happens.
struct Writer {
    room: Arc<dyn Room>,
    transcription: bool,
    own_track: String,
    user: watch::Receiver<Linked>,
    /// Of the user's transcript that is open.
    segment: String,
    /// The agent's transcript that is open: its speech, its stream, what is written of it.
    speech: Option<(String, Box<dyn TextWriter>, String)>,
}

impl Writer {
    async fn run(mut self, mut events: EventStream) {
        while let Some(event) = events.recv().await {
            let written = match event {
                SessionEvent::AgentStateChanged { new, .. } => {
                    let state = HashMap::from([(AGENT_STATE.to_owned(), new.as_str().to_owned())]);
                    in_time("setting attributes", self.room.set_attributes(state)).await
                }
                SessionEvent::UserInputTranscribed {
                    transcript,
                    is_final,
                    ..
                } if self.transcription => self.user_said(&transcript, is_final).await,
                SessionEvent::AgentTranscript {
                    speech,
                    text,
                    is_final,
                } if self.transcription => self.agent_says(speech, text, is_final).await,
                _ => Ok(()),
            };
            if let Err(error) = written {
                tracing::debug!(%error, "the room was not told");
            }
        }
    }

    async fn user_said(&mut self, text: &str, is_final: bool) -> Result<(), TransportError> {
        let Linked { identity, track } = self.user.borrow().clone();
        let options = TextOptions {
            topic: TRANSCRIPTION.to_owned(),
            attributes: attributes(&self.segment, track.as_deref(), is_final),
            sender: identity,
            ..TextOptions::default()
        };
        if is_final {
            self.segment = crate::chat::id("SG_");
        }
        in_time("writing a transcript", self.room.send_text(text, &options)).await?;
        Ok(())
    }

    async fn agent_says(
        &mut self,
        speech: String,
        text: String,
        is_final: bool,
    ) -> Result<(), TransportError> {
        if self
            .speech
            .as_ref()
            .is_none_or(|(open, ..)| *open != speech)
        {
            if text.is_empty() {
                return Ok(());
            }
            let options = TextOptions {
                topic: TRANSCRIPTION.to_owned(),
                attributes: attributes(&crate::chat::id("SG_"), self.track(), false),
                ..TextOptions::default()
            };
            let opened = in_time("opening a transcript", self.room.stream_text(&options)).await?;
            self.speech = Some((speech, opened, String::new()));
        }
        let Some((_, writer, written)) = &mut self.speech else {
            return Ok(());
        };
        // The last event has the whole text; what is new of it is its end.
        let new = match is_final {
            true => text.strip_prefix(written.as_str()).unwrap_or_default(),
            false => text.as_str(),
        };
        if !new.is_empty() {
            in_time("writing a transcript", writer.write(new)).await?;
            written.push_str(new);
        }
        if is_final && let Some((_, writer, _)) = self.speech.take() {
            let end = HashMap::from([(FINAL.to_owned(), "true".to_owned())]);
            in_time("closing a transcript", writer.close(end)).await?;
        }
        Ok(())
    }

    fn track(&self) -> Option<&str> {
        Some(self.own_track.as_str()).filter(|sid| !sid.is_empty())
    }
}

fn attributes(segment: &str, track: Option<&str>, is_final: bool) -> HashMap<String, String> {
    let track = track.map(|sid| (TRACK_ID.to_owned(), sid.to_owned()));
    [
        (SEGMENT_ID.to_owned(), segment.to_owned()),
        (FINAL.to_owned(), is_final.to_string()),
    ]
    .into_iter()
    .chain(track)
    .collect()
}

fn key(participant: &Participant) -> (String, String) {
    (participant.sid.clone(), participant.identity.clone())
}

fn is_microphone(track: &Track) -> bool {
    // Telephone bridges do not say what their audio is.
    track.kind == TrackKind::Audio
        && matches!(track.source, TrackSource::Microphone | TrackSource::Unknown)
}

async fn in_time<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    tokio::time::timeout(ROOM_TIMEOUT, call)
        .await
        .unwrap_or(Err(TransportError::Timeout {
            what,
            after: ROOM_TIMEOUT,
        }))
}
