//! The server's API: tokens, rooms, participants, data, dispatch of agents.
//!
//! Everything goes through [`ServerApi`], which adds to LiveKit's own client what a program in production needs: credentials from the environment,
//! a deadline on every call, and errors that say which call failed and what to do.

use std::collections::HashMap;
use std::time::Duration;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::{
    CreateRoomOptions, RoomClient, SendDataOptions, UpdateParticipantOptions,
};
use livekit_api::services::{ServerError, ServiceError, ServiceResult};
use livekit_protocol as proto;

pub use livekit_api::access_token::{AccessToken, AccessTokenError, TokenVerifier, VideoGrants};
pub use livekit_protocol::{
    AgentDispatch, CreateAgentDispatchRequest, Job, JobState, JobType, ParticipantInfo, Room,
};

/// Time for one call: LiveKit's own clients wait 10 s for an answer.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// Where the server is, and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ws:`, `wss:`, `http:` or `https:`.
    pub url: String,
    /// Names the secret.
    pub api_key: String,
    /// Signs tokens. Never printed.
    pub api_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("url", &self.url)
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// From `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`.
    ///
    /// # Errors
    /// [`ApiError::Config`] names what is missing.
    pub fn from_env() -> Result<Self, ApiError> {
        Self::resolve(None, None, None)
    }

    /// What is given, and the rest from `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`.
    ///
    /// # Errors
    /// [`ApiError::Config`] names what is missing, or the address that is none.
    pub fn resolve(
        url: Option<&str>,
        api_key: Option<&str>,
        api_secret: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut missing = Vec::new();
        let mut value = |given: Option<&str>, name: &'static str| {
            let value = given
                .map(str::to_owned)
                .or_else(|| std::env::var(name).ok())
                .unwrap_or_default();
            if value.is_empty() {
                missing.push(name);
            }
            value
        };
        let credentials = Self {
            url: value(url, "LIVEKIT_URL"),
            api_key: value(api_key, "LIVEKIT_API_KEY"),
            api_secret: value(api_secret, "LIVEKIT_API_SECRET"),
        };
        if !missing.is_empty() {
            return Err(ApiError::Config(format!(
                "not set: {}; set the variables, or give the values in the options",
                missing.join(", ")
            )));
        }
        let scheme = url::Url::parse(&credentials.url)
            .ok()
            .filter(|url| url.has_host())
            .map(|url| url.scheme().to_owned());
        match scheme.as_deref() {
            Some("ws" | "wss" | "http" | "https") => Ok(credentials),
            _ => Err(ApiError::Config(format!(
                "{:?} is no address of a LiveKit server; it looks like wss://host or ws://host:7880",
                credentials.url
            ))),
        }
    }

    /// A token without grants, signed with the secret; it holds for six hours.
    pub fn token(&self) -> AccessToken {
        AccessToken::with_api_key(&self.api_key, &self.api_secret)
    }

    /// A token with which `identity` joins `room`, publishes and subscribes.
    ///
    /// # Errors
    /// [`ApiError::Config`] if the identity or the room is empty.
    pub fn join_token(&self, identity: &str, room: &str) -> Result<String, ApiError> {
        self.joining(identity, room)
            .to_jwt()
            .map_err(ApiError::from)
    }

    /// [`join_token`](Self::join_token) for an agent that no worker sends: it joins as what it is, so that users' clients find it, and other agents do not talk
    /// to it.
    ///
    /// # Errors
    /// As [`join_token`](Self::join_token).
    pub fn agent_token(&self, identity: &str, room: &str) -> Result<String, ApiError> {
        let token = self.joining(identity, room).with_kind("agent");
        token.to_jwt().map_err(ApiError::from)
    }

    fn joining(&self, identity: &str, room: &str) -> AccessToken {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            can_update_own_metadata: Some(true),
            ..Default::default()
        };
        self.token().with_identity(identity).with_grants(grants)
    }

    /// The address for joining rooms: `ws:` or `wss:`.
    pub fn ws_url(&self) -> String {
        match self.url.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => self.url.clone(),
        }
    }
}

/// A call of the server's API that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// An address, a key or a secret is missing or wrong.
    #[error("LiveKit credentials: {0}")]
    Config(String),
    /// No answer in time.
    #[error("{call} had no answer within {} ms from {url}", .after.as_millis())]
    Timeout {
        /// Which call.
        call: &'static str,
        /// Of the server.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The server was not reached, or what answered is no LiveKit server.
    #[error("{call} did not reach a LiveKit server at {url}: {message}")]
    Unreachable {
        /// Which call.
        call: &'static str,
        /// Of the server.
        url: String,
        /// Why.
        message: String,
    },
    /// The server refused.
    #[error("{call} was refused: {message} ({code})")]
    Refused {
        /// Which call.
        call: &'static str,
        /// `not_found`, `unauthenticated`, `permission_denied`, ..., or `unreadable`.
        code: String,
        /// The server's words.
        message: String,
    },
    /// No room has a participant.
    #[error("no room with participants at {url}: {found}. {advice}")]
    NoActiveRoom {
        /// Of the server.
        url: String,
        /// What there is.
        found: String,
        /// What to do.
        advice: &'static str,
    },
}

impl From<AccessTokenError> for ApiError {
    fn from(error: AccessTokenError) -> Self {
        Self::Config(error.to_string())
    }
}

impl ApiError {
    /// Whether the server says that the room, participant or dispatch does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "not_found")
    }
}

/// How a new room behaves; zero is the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomOptions {
    /// How long it lives while no one has joined, in seconds.
    pub empty_timeout: u32,
    /// How long it lives after the last one has left, in seconds.
    pub departure_timeout: u32,
    /// Most participants.
    pub max_participants: u32,
    /// Of the application.
    pub metadata: String,
}

crate::setters::setters!(RoomOptions {
    empty_timeout: u32,
    departure_timeout: u32,
    max_participants: u32,
    [into] metadata: String
});

/// The server's API. Every call ends by its deadline.
#[derive(Debug)]
pub struct ServerApi {
    credentials: Credentials,
    rooms: RoomClient,
    dispatch: AgentDispatchClient,
    deadline: Duration,
}

impl ServerApi {
    /// The API of a server. Nothing is sent yet.
    pub fn new(credentials: Credentials) -> Self {
        crate::tls::install_crypto_provider();
        let Credentials {
            url,
            api_key,
            api_secret,
        } = &credentials;
        Self {
            rooms: RoomClient::with_api_key(url, api_key, api_secret),
            dispatch: AgentDispatchClient::with_api_key(url, api_key, api_secret),
            credentials,
            deadline: DEFAULT_DEADLINE,
        }
    }

    /// The API of the server that the environment names: [`Credentials::from_env`].
    ///
    /// # Errors
    /// [`ApiError::Config`].
    pub fn from_env() -> Result<Self, ApiError> {
        Ok(Self::new(Credentials::from_env()?))
    }

    /// The same with another time for one call; the default is [`DEFAULT_DEADLINE`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        // The clients have a limit of their own, 10 s for an attempt.
        self.rooms = self.rooms.with_request_timeout(deadline);
        self.dispatch = self.dispatch.with_request_timeout(deadline);
        self
    }

    /// Where the server is, and who we are to it.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Opens a room; one that is open is given back as it is.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create_room(&self, name: &str, options: RoomOptions) -> Result<Room, ApiError> {
        let options = CreateRoomOptions {
            empty_timeout: options.empty_timeout,
            departure_timeout: options.departure_timeout,
            max_participants: options.max_participants,
            metadata: options.metadata,
            ..Default::default()
        };
        self.call("CreateRoom", self.rooms.create_room(name, options))
            .await
    }

    /// The open rooms; of these names, or all if there are none.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list_rooms(&self, names: &[&str]) -> Result<Vec<Room>, ApiError> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.call("ListRooms", self.rooms.list_rooms(names)).await
    }

    /// Closes a room; who is in it is sent away.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_room(&self, name: &str) -> Result<(), ApiError> {
        self.call("DeleteRoom", self.rooms.delete_room(name)).await
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list_participants(&self, room: &str) -> Result<Vec<ParticipantInfo>, ApiError> {
        self.call("ListParticipants", self.rooms.list_participants(room))
            .await
    }

    /// One participant of a room.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::is_not_found`] if it is not there.
    pub async fn participant(
        &self,
        room: &str,
        identity: &str,
    ) -> Result<ParticipantInfo, ApiError> {
        self.call("GetParticipant", self.rooms.get_participant(room, identity))
            .await
    }

    /// Sends a participant away.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn remove_participant(&self, room: &str, identity: &str) -> Result<(), ApiError> {
        self.call(
            "RemoveParticipant",
            self.rooms.remove_participant(room, identity),
        )
        .await
    }

    /// Sets attributes of a participant; an empty value removes one.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn set_participant_attributes(
        &self,
        room: &str,
        identity: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ParticipantInfo, ApiError> {
        let options = UpdateParticipantOptions {
            attributes,
            ..Default::default()
        };
        self.call(
            "UpdateParticipant",
            self.rooms.update_participant(room, identity, options),
        )
        .await
    }

    /// Sends a reliable data packet into a room: to these identities, or to all if there are none.
    ///
    /// # Errors
    /// [`ApiError`]; [`is_not_found`](ApiError::is_not_found) if there is no such room.
    pub async fn send_data(
        &self,
        room: &str,
        payload: &[u8],
        topic: Option<&str>,
        to: &[&str],
    ) -> Result<(), ApiError> {
        let options = SendDataOptions {
            kind: proto::data_packet::Kind::Reliable,
            destination_identities: to.iter().map(|identity| (*identity).to_owned()).collect(),
            topic: topic.map(str::to_owned),
            ..Default::default()
        };
        let request = self.rooms.send_data(room, payload.to_vec(), options);
        let refused = match self.call("SendData", request).await {
            Err(ApiError::Refused { call, code, .. }) if code == "unavailable" => call,
            other => return other,
        };
        // A livekit-server 1.13.5 says so of a room that it does not have: "no response from servers".
        let is_there = !self.list_rooms(&[room]).await?.is_empty();
        let (code, message) = match is_there {
            true => ("unavailable", "the server did not answer for it".to_owned()),
            false => ("not_found", format!("there is no room \"{room}\"")),
        };
        Err(ApiError::Refused {
            call: refused,
            code: code.to_owned(),
            message,
        })
    }

    /// Sends the agent of this name into a room. The room need not be open yet.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create_dispatch(
        &self,
        room: &str,
        agent_name: &str,
        metadata: &str,
    ) -> Result<AgentDispatch, ApiError> {
        self.create_dispatch_with(CreateAgentDispatchRequest {
            agent_name: agent_name.to_owned(),
            room: room.to_owned(),
            metadata: metadata.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Sends an agent into a room, with all that the server lets one say about it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create_dispatch_with(
        &self,
        request: CreateAgentDispatchRequest,
    ) -> Result<AgentDispatch, ApiError> {
        self.call("CreateDispatch", self.dispatch.create_dispatch(request))
            .await
    }

    /// The agents that were sent into a room.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list_dispatches(&self, room: &str) -> Result<Vec<AgentDispatch>, ApiError> {
        self.call("ListDispatch", self.dispatch.list_dispatch(room))
            .await
    }

    /// Takes a dispatch back: its jobs are terminated.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_dispatch(&self, room: &str, id: &str) -> Result<AgentDispatch, ApiError> {
        self.call("DeleteDispatch", self.dispatch.delete_dispatch(id, room))
            .await
    }

    /// The first room, in the order of creation, with a participant in it that is no agent; if there is none, the first with any participant.
    ///
    /// # Errors
    /// [`ApiError::NoActiveRoom`] says what there is and what to do.
    pub async fn discover_active_room(&self) -> Result<Room, ApiError> {
        let mut rooms = self.list_rooms(&[]).await?;
        rooms.sort_by_key(|room| {
            (
                room.creation_time_ms
                    .max(room.creation_time.saturating_mul(1000)),
                room.name.clone(),
            )
        });
        let mut with_agents_only = None;
        for room in &rooms {
            // The count in the list is refreshed by the server only now and then, so it cannot rule a room out.
            let participants = match self.list_participants(&room.name).await {
                Ok(participants) => participants,
                // It was closed since the list was made.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            if participants.iter().any(|p| !is_machine(p.kind())) {
                return Ok(room.clone());
            }
            if !participants.is_empty() && with_agents_only.is_none() {
                with_agents_only = Some(room.clone());
            }
        }
        with_agents_only.ok_or_else(|| {
            let names: Vec<_> = rooms.iter().map(|room| room.name.as_str()).collect();
            ApiError::NoActiveRoom {
                url: self.credentials.url.clone(),
                found: match names.as_slice() {
                    [] => "no room is open".to_owned(),
                    names if names.len() <= 5 => format!("all are empty: {}", names.join(", ")),
                    names => format!(
                        "all {} are empty: {}, ...",
                        names.len(),
                        names[..5].join(", ")
                    ),
                },
                advice: "Join a room with a client first, or name the room",
            }
        })
    }

    async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = ServiceResult<T>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.explain(call, error)),
            Err(_) => Err(self.timed_out(call)),
        }
    }

    fn timed_out(&self, call: &'static str) -> ApiError {
        ApiError::Timeout {
            call,
            url: self.credentials.url.clone(),
            after: self.deadline,
        }
    }

    fn explain(&self, call: &'static str, error: ServiceError) -> ApiError {
        match error {
            ServiceError::Twirp(ServerError::Twirp(refusal)) => ApiError::Refused {
                call,
                code: refusal.code,
                message: refusal.msg,
            },
            ServiceError::Twirp(ServerError::Request(error)) if error.is_timeout() => {
                self.timed_out(call)
            }
            // The server refuses a bad token in plain text, which the client cannot read; the status is lost with it.
            ServiceError::Twirp(ServerError::Request(error)) if error.is_decode() => {
                ApiError::Refused {
                    call,
                    code: "unreadable".to_owned(),
                    message: format!(
                        "{} answered, but not with a LiveKit answer; the key or the secret is wrong, or it is another server",
                        self.credentials.url
                    ),
                }
            }
            ServiceError::Twirp(error) => ApiError::Unreachable {
                call,
                url: self.credentials.url.clone(),
                message: with_sources(&error),
            },
            error => ApiError::Config(with_sources(&error)),
        }
    }
}

/// The first active room of the server that the environment names: [`ServerApi::discover_active_room`].
///
/// # Errors
/// [`ApiError`].
pub async fn discover_active_room() -> Result<Room, ApiError> {
    ServerApi::from_env()?.discover_active_room().await
}

/// Whether a participant is a part of the system, and no one to talk to.
fn is_machine(kind: proto::participant_info::Kind) -> bool {
    use proto::participant_info::Kind;
    matches!(kind, Kind::Agent | Kind::Egress | Kind::Ingress)
}

/// The error with its causes: an HTTP client says only in the last one that the port is closed.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
