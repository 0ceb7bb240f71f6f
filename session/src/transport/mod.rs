//! Rooms: what the session needs of a connection to a LiveKit room, whatever carries it.

pub mod ffi;
#[cfg(feature = "native")]
pub mod native;
mod open;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::AudioFrame;
pub use open::open;

/// Which remote tracks are subscribed to without being asked. The native transport subscribes to no video: [`All`](Self::All) is there what
/// [`AudioOnly`](Self::AudioOnly) is, and [`VideoOnly`](Self::VideoOnly) what [`None`](Self::None) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoSubscribe {
    /// All tracks.
    #[default]
    All,
    /// None: [`Room::set_subscribed`] asks for each.
    None,
    /// Audio tracks.
    AudioOnly,
    /// Video tracks.
    VideoOnly,
}

/// How to join.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Which remote tracks are subscribed to without being asked.
    pub auto_subscribe: AutoSubscribe,
    /// Time for joining, until media can flow. 15 s.
    pub timeout: Duration,
    /// How long a connection that broke is tried again before the room is over with [`DisconnectReason::ConnectionLost`]. 60 s; zero: the first
    /// break is the end. LiveKit's library gives up after about 20 s by itself, however long this is.
    pub reconnect_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            auto_subscribe: AutoSubscribe::default(),
            timeout: Duration::from_secs(15),
            reconnect_timeout: Duration::from_secs(60),
        }
    }
}

crate::setters::setters!(ConnectOptions {
    auto_subscribe: AutoSubscribe,
    timeout: Duration,
    reconnect_timeout: Duration
});

/// A failure of a room.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The media library is missing or of another version.
    #[error("{0}")]
    Library(String),
    /// The room could not be joined.
    #[error("cannot join the room at {url}: {message}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        message: String,
    },
    /// It took too long.
    #[error("{what} took longer than {} ms", .after.as_millis())]
    Timeout {
        /// What.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection is over.
    #[error("the room is closed")]
    Closed,
    /// The server or the library refused.
    #[error("{what}: {message}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Why not.
        message: String,
    },
}

/// Something that joins rooms.
#[async_trait::async_trait]
pub trait RoomTransport: Send + Sync {
    /// Joins the room that `token` grants, at `url` (`ws:` or `wss:`; `http:` and `https:` mean the same).
    ///
    /// Certificates are those that the system trusts, or `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn connect(
        &self,
        url: &str,
        token: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError>;
}

/// A room that was joined, and what happens in it. The events end after [`RoomEvent::Disconnected`].
pub struct Connection {
    /// The room.
    pub room: Arc<dyn Room>,
    /// What happens in it. Never dropped, so to be read.
    pub events: mpsc::UnboundedReceiver<RoomEvent>,
}

/// What a participant is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParticipantKind {
    /// A user.
    #[default]
    Standard,
    /// Media put in from outside.
    Ingress,
    /// A recorder.
    Egress,
    /// A telephone.
    Sip,
    /// An agent.
    Agent,
    /// A bridge to another network.
    Connector,
    /// Something newer than this program.
    Other,
}

/// A participant, as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Participant {
    /// Given by the server: `PA_...`.
    pub sid: String,
    /// Given by the token.
    pub identity: String,
    /// For display.
    pub name: String,
    /// Of the application.
    pub metadata: String,
    /// Of the application.
    pub attributes: HashMap<String, String>,
    /// What it is.
    pub kind: ParticipantKind,
    /// What it has published.
    pub tracks: Vec<Track>,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

/// Where a track comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrackSource {
    /// Not said.
    #[default]
    Unknown,
    /// A camera.
    Camera,
    /// A microphone, or an agent's voice.
    Microphone,
    /// A screen.
    Screenshare,
    /// The sound of a screen.
    ScreenshareAudio,
}

/// A published track, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Given by the server: `TR_...`.
    pub sid: String,
    /// For display.
    pub name: String,
    /// Audio or video.
    pub kind: TrackKind,
    /// Where it comes from.
    pub source: TrackSource,
    /// Whether its owner has muted it.
    pub muted: bool,
    /// Whether we receive it.
    pub subscribed: bool,
}

/// Why a connection or a participant is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Not said.
    #[default]
    Unknown,
    /// It left.
    ClientInitiated,
    /// Another one joined with its identity.
    DuplicateIdentity,
    /// The server stops.
    ServerShutdown,
    /// The server removed it.
    ParticipantRemoved,
    /// The room was deleted.
    RoomDeleted,
    /// It could not return to its session.
    StateMismatch,
    /// It never finished joining.
    JoinFailure,
    /// The room is empty and was closed.
    RoomClosed,
    /// A called person did not answer.
    UserUnavailable,
    /// A called person refused.
    UserRejected,
    /// The connection broke.
    ConnectionLost,
    /// Something newer than this program.
    Other,
}

/// Something that happened in a room.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoomEvent {
    /// Someone joined. Those who were there before are in [`Room::participants`].
    ParticipantConnected(Participant),
    /// Someone left.
    ParticipantDisconnected {
        /// Who.
        participant: Participant,
        /// Why.
        reason: DisconnectReason,
    },
    /// Attributes changed; the participant has the new ones.
    AttributesChanged {
        /// Whose.
        identity: String,
        /// Those that changed; an empty value is one that was removed.
        changed: HashMap<String, String>,
    },
    /// Someone published a track.
    TrackPublished {
        /// Who.
        identity: String,
        /// What.
        track: Track,
    },
    /// Someone took a track back.
    TrackUnpublished {
        /// Who.
        identity: String,
        /// Of the track.
        sid: String,
    },
    /// A track can be heard from here on: [`Room::open_audio`].
    TrackSubscribed {
        /// Whose.
        identity: String,
        /// What.
        track: Track,
    },
    /// A track cannot be heard any more.
    TrackUnsubscribed {
        /// Whose.
        identity: String,
        /// Of the track.
        sid: String,
    },
    /// Someone subscribed to a track of ours.
    LocalTrackSubscribed {
        /// Of the track.
        sid: String,
    },
    /// A track was muted.
    TrackMuted {
        /// Whose.
        identity: String,
        /// Of the track.
        sid: String,
    },
    /// A track was unmuted.
    TrackUnmuted {
        /// Whose.
        identity: String,
        /// Of the track.
        sid: String,
    },
    /// A data packet.
    Data(DataPacket),
    /// A whole text stream, when it was closed by its sender.
    Text(TextMessage),
    /// A procedure call to a method that was registered; answer through `reply`. Dropping it answers with an application error.
    Rpc(RpcInvocation),
    /// The token was renewed; for joining again.
    TokenRefreshed(Token),
    /// The connection broke and is being restored.
    Reconnecting,
    /// The connection is back.
    Reconnected,
    /// The connection is over. The last event.
    Disconnected(DisconnectReason),
}

/// A token. What prints it does not say it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A data packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPacket {
    /// Who sent it; `None` if the server did.
    pub identity: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// A text message: a text stream that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMessage {
    /// Of the stream.
    pub id: String,
    /// Who sent it.
    pub identity: String,
    /// What it is about: `lk.chat`, `lk.transcription`.
    pub topic: String,
    /// The text.
    pub text: String,
    /// Of the stream.
    pub attributes: HashMap<String, String>,
}

/// A procedure call from another participant.
#[derive(Debug)]
pub struct RpcInvocation {
    /// Who calls.
    pub identity: String,
    /// What.
    pub method: String,
    /// With what.
    pub payload: String,
    /// How long the caller waits.
    pub timeout: Duration,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<String, RpcError>>,
}

/// An error of a procedure call, as it travels. Codes from 1400 on are LiveKit's, others the application's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("procedure call failed ({code}): {message}")]
pub struct RpcError {
    /// What kind.
    pub code: u32,
    /// In words.
    pub message: String,
    /// Of the application.
    pub data: String,
}

/// How a data packet travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOptions {
    /// What it is about.
    pub topic: Option<String>,
    /// In order and complete, or as fast as possible.
    pub reliable: bool,
    /// To whom (identities); empty: all.
    pub to: Vec<String>,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            topic: None,
            reliable: true,
            to: Vec::new(),
        }
    }
}

crate::setters::setters!(DataOptions { [some into] topic: String, reliable: bool, [list] to: String });

/// How a text stream travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// What it is about.
    pub topic: String,
    /// Of the stream.
    pub attributes: HashMap<String, String>,
    /// To whom (identities); empty: all.
    pub to: Vec<String>,
    /// Id of the stream; `None` makes one.
    pub id: Option<String>,
    /// Whom the text stands for: the identity of the speaker of a transcript.
    pub sender: Option<String>,
}

crate::setters::setters!(TextOptions {
    [into] topic: String,
    attributes: HashMap<String, String>,
    [list] to: String,
    [some into] id: String,
    [some into] sender: String
});

/// How a track is published. By default one channel at 48 kHz from a microphone, of which 0.4 s may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOptions {
    /// For display.
    pub name: String,
    /// Of the audio to come, in Hz.
    pub sample_rate: u32,
    /// Of the audio to come.
    pub channels: u32,
    /// Where it comes from.
    pub source: TrackSource,
    /// Audio that may wait inside the transport: more survives a slow moment, less follows an interruption sooner. Zero: none waits, and the
    /// sender keeps the time.
    pub queue: Duration,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            sample_rate: 48_000,
            channels: 1,
            source: TrackSource::Microphone,
            // More than the lead of a playout, so that it never waits inside the transport.
            queue: Duration::from_millis(400),
        }
    }
}

crate::setters::setters!(PublishOptions {
    [into] name: String,
    sample_rate: u32,
    channels: u32,
    source: TrackSource,
    queue: Duration
});

/// A room that was joined. Dropping it leaves the room.
#[async_trait::async_trait]
pub trait Room: Send + Sync {
    /// Its name.
    fn name(&self) -> String;

    /// Given by the server: `RM_...`. Empty if not known yet.
    fn sid(&self) -> String;

    /// We.
    fn local_participant(&self) -> Participant;

    /// The others.
    fn participants(&self) -> Vec<Participant>;

    /// The one with this identity.
    fn participant(&self, identity: &str) -> Option<Participant> {
        self.participants()
            .into_iter()
            .find(|p| p.identity == identity)
    }

    /// Whether the connection stands.
    fn is_connected(&self) -> bool;

    /// Asks for a track, or that it stop.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn set_subscribed(
        &self,
        identity: &str,
        sid: &str,
        subscribed: bool,
    ) -> Result<(), TransportError>;

    /// The audio of a subscribed track, converted to this format. The frames (10 to 20 ms) end with the track. A reader that is two seconds late
    /// loses what comes meanwhile.
    ///
    /// # Errors
    /// [`TransportError`] if the track is not subscribed.
    async fn open_audio(
        &self,
        sid: &str,
        sample_rate: u32,
        channels: u32,
    ) -> Result<mpsc::Receiver<AudioFrame>, TransportError>;

    /// How old the audio of a subscribed track is when it comes, since the call before this one: packet, coder, jitter buffer and the way from the server. The way
    /// from the speaker to the server is not known here. `None` if the transport cannot say, or nothing came. For [`Input::AudioAge`](listenkit::Input::AudioAge).
    ///
    /// # Errors
    /// [`TransportError`] if the track is not subscribed.
    async fn audio_age(&self, sid: &str) -> Result<Option<Duration>, TransportError> {
        let _ = sid;
        Ok(None)
    }

    /// Publishes an audio track.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn publish_audio(
        &self,
        options: &PublishOptions,
    ) -> Result<Box<dyn AudioTrack>, TransportError>;

    /// Sends a data packet.
    ///
    /// # Errors
    /// [`TransportError`]. After a [`Timeout`](TransportError::Timeout) it waits in the queue, and may still arrive.
    async fn publish_data(
        &self,
        payload: &[u8],
        options: &DataOptions,
    ) -> Result<(), TransportError>;

    /// Sends a whole text; gives the id of its stream.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn send_text(&self, text: &str, options: &TextOptions) -> Result<String, TransportError>;

    /// Opens a text stream, for text that comes in pieces.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn stream_text(
        &self,
        options: &TextOptions,
    ) -> Result<Box<dyn TextWriter>, TransportError>;

    /// Sets attributes of ours; an empty value removes one.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn set_attributes(
        &self,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError>;

    /// Calls a method of another participant.
    ///
    /// # Errors
    /// [`RpcError`], from there or from the way there.
    async fn perform_rpc(
        &self,
        identity: &str,
        method: &str,
        payload: &str,
        timeout: Duration,
    ) -> Result<String, RpcError>;

    /// Takes calls to `method` from here on, as [`RoomEvent::Rpc`].
    ///
    /// # Errors
    /// [`TransportError`].
    fn register_rpc(&self, method: &str) -> Result<(), TransportError>;

    /// Leaves the room; returns when the server knows.
    async fn close(&self);
}

/// A published audio track. Dropping it takes it back.
#[async_trait::async_trait]
pub trait AudioTrack: Send + Sync {
    /// Given by the server.
    fn sid(&self) -> String;

    /// Queues a frame in the format it was published with; waits while the queue is full.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError>;

    /// Audio that waits in the queue.
    fn queued(&self) -> Duration;

    /// Drops what waits in the queue.
    fn clear(&self);

    /// Tells the others that the track is silent, or no longer.
    ///
    /// # Errors
    /// [`TransportError`], always so where it is not offered.
    async fn set_muted(&self, _muted: bool) -> Result<(), TransportError> {
        Err(TransportError::Refused {
            what: "cannot mute the track",
            message: "this transport does not offer it".to_owned(),
        })
    }
}

/// The sending end of a text stream. Dropping it closes the stream.
#[async_trait::async_trait]
pub trait TextWriter: Send {
    /// Of the stream.
    fn id(&self) -> &str;

    /// Adds text.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn write(&mut self, text: &str) -> Result<(), TransportError>;

    /// The text is complete; these attributes are added to those it was opened with.
    ///
    /// # Errors
    /// [`TransportError`].
    async fn close(
        self: Box<Self>,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError>;
}
