//! Access tokens: made for tests, and checked as a LiveKit server checks them.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use livekit_token::{AccessToken, Claims, TokenVerifier, VideoGrants};

use crate::Shared;

/// How long a refreshed token is good for; as LiveKit's server has it.
const REFRESHED_TTL: Duration = Duration::from_secs(600);
/// How long an agent's token is good for; as LiveKit's server has it.
const AGENT_TTL: Duration = Duration::from_secs(3600);

/// A token in the making, for tests that need another than [`TestServer::token`](crate::TestServer::token).
#[derive(Clone, Debug)]
pub struct TokenBuilder {
    key: String,
    secret: String,
    token: AccessToken,
    grants: VideoGrants,
    age: Option<Duration>,
}

impl TokenBuilder {
    /// A token without any grant.
    pub fn new(key: &str, secret: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            token: AccessToken::with_api_key(key, secret),
            grants: VideoGrants::default(),
            age: None,
        }
    }

    /// Lets `identity` join `room`, and change its own name, metadata and attributes.
    pub fn join(mut self, identity: &str, room: &str) -> Self {
        self.token = self.token.with_identity(identity);
        self.grants.room_join = true;
        self.grants.room = room.to_owned();
        self.grants.can_update_own_metadata = Some(true);
        self
    }

    /// Changes the grants.
    pub fn grants(mut self, change: impl FnOnce(&mut VideoGrants)) -> Self {
        change(&mut self.grants);
        self
    }

    /// The name that others see.
    pub fn name(mut self, name: &str) -> Self {
        self.token = self.token.with_name(name);
        self
    }

    /// The participant's metadata.
    pub fn metadata(mut self, metadata: &str) -> Self {
        self.token = self.token.with_metadata(metadata);
        self
    }

    /// The participant's attributes.
    pub fn attributes<'a>(
        mut self,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        self.token = self.token.with_attributes(attributes);
        self
    }

    /// The kind of participant: `standard`, `agent`, `sip`...
    pub fn kind(mut self, kind: &str) -> Self {
        self.token = self.token.with_kind(kind);
        self
    }

    /// What the room is made with if this token's join makes it: its agents for instance.
    pub fn room_config(mut self, config: livekit_protocol::RoomConfiguration) -> Self {
        self.token = self.token.with_room_config(config);
        self
    }

    /// How long the token is good for. Six hours if not said.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.token = self.token.with_ttl(ttl);
        self
    }

    /// A token that expired `age` ago. Servers allow for a minute of difference between clocks.
    pub fn expired(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Signs with another secret than the server's.
    pub fn signed_with(mut self, secret: &str) -> Self {
        self.secret = secret.to_owned();
        self
    }

    /// The token's text.
    ///
    /// # Panics
    /// A token with the grant to join needs an identity and a room.
    pub fn build(self) -> String {
        let token = self.token.with_grants(self.grants);
        // The claims are read back, as the library has no way to change a token's times or its secret afterwards.
        let text = token
            .to_jwt()
            .expect("a test's token has an identity and a room");
        let mut claims = Claims::from_unverified(&text).expect("this token was just made");
        if let Some(age) = self.age {
            let now = usize::try_from(crate::ids::now_ms() / 1000).unwrap_or_default();
            claims.exp = now.saturating_sub(usize::try_from(age.as_secs()).unwrap_or_default());
            claims.nbf = claims.exp.saturating_sub(3600);
        }
        sign(&self.key, &self.secret, &claims)
    }
}

fn sign(key: &str, secret: &str, claims: &Claims) -> String {
    let mut claims = claims.clone();
    claims.iss = key.to_owned();
    // The signing library takes its HMAC from livekit-token, which installs it when first called.
    _ = Claims::from_unverified("");
    let encoding = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &encoding)
        .expect("claims are plain JSON")
}

/// The claims once more, good from now on.
pub(crate) fn refreshed(key: &str, secret: &str, claims: &Claims) -> String {
    good_for(REFRESHED_TTL, key, secret, claims.clone())
}

/// The token with which a worker's job joins its room.
pub(crate) fn for_agent(key: &str, secret: &str, claims: Claims) -> String {
    good_for(AGENT_TTL, key, secret, claims)
}

fn good_for(ttl: Duration, key: &str, secret: &str, mut claims: Claims) -> String {
    claims.nbf = usize::try_from(crate::ids::now_ms() / 1000).unwrap_or_default();
    claims.exp = claims.nbf + usize::try_from(ttl.as_secs()).unwrap_or_default();
    sign(key, secret, &claims)
}

/// Checks who calls. The token is a header's or, as browsers cannot set one on a WebSocket, the query's. A call without
/// one has no grants.
pub(crate) fn verify(
    shared: &Shared,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Claims, Refused> {
    let token = match headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default())
    {
        Some(text) => text
            .strip_prefix("Bearer ")
            .ok_or(Refused::token("invalid authorization header"))?,
        None => query.unwrap_or_default(),
    };
    if token.is_empty() {
        return Ok(Claims::default());
    }
    if shared.faults.refuses_tokens() {
        return Err(Refused::token("invalid token: token is expired"));
    }
    TokenVerifier::with_api_key(&shared.options.api_key, &shared.options.api_secret)
        .verify(token)
        .map_err(|error| {
            tracing::info!(%error, "token refused");
            Refused::token("invalid authorization token")
        })
}

/// Why a caller was sent away, with the status and the words of LiveKit's server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(StatusCode, &'static str);

impl Refused {
    fn token(why: &'static str) -> Self {
        Self(StatusCode::UNAUTHORIZED, why)
    }

    pub(crate) fn no_permission() -> Self {
        Self(StatusCode::UNAUTHORIZED, "permissions denied")
    }

    pub(crate) fn bad_request(why: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, why)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        (self.0, self.1).into_response()
    }
}
