//! The worker's connection to the server: it registers, carries messages, notices a dead peer, and comes back after a break.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::options::{WorkerOptions, WorkerTiming};
use crate::api::{Credentials, VideoGrants, with_sources};
use crate::redact::without_tokens;

/// For the last messages and the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What the connection tells the worker.
#[derive(Debug)]
pub(crate) enum ConnectionEvent {
    /// The server knows us, and takes messages.
    Registered(Box<proto::RegisterWorkerResponse>),
    /// The server says something.
    Message(Box<FromServer>),
    /// The connection broke, or could not be made; it is tried again.
    Lost(String),
    /// It is not tried again.
    Fatal(String),
}

pub(crate) struct Connection {
    pub(crate) credentials: Credentials,
    pub(crate) register: proto::RegisterWorkerRequest,
    pub(crate) timing: WorkerTiming,
    pub(crate) max_retry: u32,
    pub(crate) worker_token: String,
    pub(crate) events: mpsc::Sender<ConnectionEvent>,
}

enum Failure {
    /// Worth another try.
    Broken(String),
    /// The server refuses our key or secret.
    Refused(String),
    /// The worker has nothing more to say.
    Done,
}

impl Connection {
    pub(crate) fn new(
        options: &WorkerOptions,
        credentials: Credentials,
        events: mpsc::Sender<ConnectionEvent>,
    ) -> Self {
        let permissions = &options.permissions;
        // Deprecated in the schema, and still what the peer says.
        #[allow(deprecated)]
        let permissions = proto::ParticipantPermission {
            can_publish: permissions.can_publish,
            can_subscribe: permissions.can_subscribe,
            can_publish_data: permissions.can_publish_data,
            can_update_metadata: permissions.can_update_metadata,
            hidden: permissions.hidden,
            agent: true,
            ..Default::default()
        };
        Self {
            credentials,
            register: proto::RegisterWorkerRequest {
                r#type: options.worker_type.job_type().into(),
                agent_name: options.agent_name.clone(),
                deployment: options.deployment.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                allowed_permissions: Some(permissions),
                ..Default::default()
            },
            timing: options.timing,
            max_retry: options.max_retry,
            worker_token: options.worker_token.clone(),
            events,
        }
    }

    /// Stays connected until `outgoing` closes, or until too many tries have failed. What is in `outgoing` while there is no connection waits, but
    /// for reports of the load and pings, which would be old.
    pub(crate) async fn run(self, mut outgoing: mpsc::UnboundedReceiver<ToServer>) {
        let mut failed = 0;
        let mut was_registered = false;
        let mut backlog = VecDeque::new();
        loop {
            let mut registered = None;
            let session = self.session(&mut outgoing, &mut backlog, &mut registered);
            let failure = match session.await {
                Failure::Done => return,
                Failure::Refused(why) if !was_registered && registered.is_none() => {
                    self.tell(ConnectionEvent::Fatal(why)).await;
                    return;
                }
                Failure::Broken(why) | Failure::Refused(why) => why,
            };
            if let Some(at) = registered {
                was_registered = true;
                // A server that registers us and hangs up, time and again, is not asked without a pause.
                if Instant::now() - at >= self.timing.status_interval || failed == 0 {
                    failed = 0;
                }
            }
            if failed >= self.max_retry {
                let why = format!(
                    "no connection to {} after {failed} tries: {failure}",
                    self.credentials.url
                );
                self.tell(ConnectionEvent::Fatal(why)).await;
                return;
            }
            let delay = (self.timing.retry_step * failed).min(self.timing.retry_max);
            failed += 1;
            tracing::warn!(retry_in = ?delay, tries = failed, of = self.max_retry, error = failure, "no connection to LiveKit");
            self.tell(ConnectionEvent::Lost(failure)).await;
            let wait = tokio::time::sleep(delay);
            tokio::pin!(wait);
            // The worker may end meanwhile.
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    message = outgoing.recv() => match message {
                        Some(message) => keep(message, &mut backlog),
                        None => return,
                    }
                }
            }
        }
    }

    async fn tell(&self, event: ConnectionEvent) {
        // Without a worker there is no one to tell.
        let _ = self.events.send(event).await;
    }

    async fn session(
        &self,
        outgoing: &mut mpsc::UnboundedReceiver<ToServer>,
        backlog: &mut VecDeque<ToServer>,
        registered: &mut Option<Instant>,
    ) -> Failure {
        let limit = self.timing.connect_timeout;
        let opened = tokio::time::timeout(limit, self.open()).await;
        let (mut socket, response) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::Broken(format!("no registration within {limit:?}")),
        };
        *registered = Some(Instant::now());
        drain(outgoing, backlog);
        while let Some(message) = backlog.front() {
            if let Err(failure) = self.send(&mut socket, message.clone()).await {
                return failure;
            }
            backlog.pop_front();
        }
        self.tell(ConnectionEvent::Registered(Box::new(response)))
            .await;
        self.carry(&mut socket, outgoing, backlog).await
    }

    async fn open(&self) -> Result<(Socket, proto::RegisterWorkerResponse), Failure> {
        let broken = |error: WsError| match &error {
            WsError::Http(response) if response.status() == StatusCode::UNAUTHORIZED => {
                let body = response.body().as_deref().map(String::from_utf8_lossy);
                Failure::Refused(format!(
                    "{} refuses the key or the secret: {}",
                    self.credentials.url,
                    without_tokens(body.unwrap_or_default().trim())
                ))
            }
            error => Failure::Broken(with_sources(error)),
        };
        let token = self
            .credentials
            .token()
            .with_grants(VideoGrants {
                agent: true,
                ..Default::default()
            })
            .to_jwt()
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let url = format!("{}/agent", self.credentials.ws_url().trim_end_matches('/'));
        let mut url = url::Url::parse(&url).map_err(|error| Failure::Refused(error.to_string()))?;
        if !self.worker_token.is_empty() {
            url.query_pairs_mut()
                .append_pair("worker_token", &self.worker_token);
        }
        let mut request = url.as_str().into_client_request().map_err(broken)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .expect("a token is made of letters, digits, dots and dashes");
        request.headers_mut().insert("Authorization", bearer);
        crate::tls::install_crypto_provider();
        let (mut socket, _) = tokio_tungstenite::connect_async_with_config(request, None, true)
            .await
            .map_err(broken)?;
        self.send(&mut socket, ToServer::Register(self.register.clone()))
            .await?;
        loop {
            match socket.next().await {
                Some(Ok(WsMessage::Binary(bytes))) => match decode(&bytes) {
                    Some(FromServer::Register(response)) => return Ok((socket, response)),
                    _ => {
                        return Err(Failure::Broken(
                            "the server's first message is no registration".to_owned(),
                        ));
                    }
                },
                Some(Ok(WsMessage::Close(frame))) => {
                    return Err(Failure::Broken(format!(
                        "closed before the registration: {frame:?}"
                    )));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(Failure::Broken("closed before the registration".to_owned())),
            }
        }
    }

    async fn send(&self, socket: &mut Socket, message: ToServer) -> Result<(), Failure> {
        let message = proto::WorkerMessage {
            message: Some(message),
        };
        self.write(socket, WsMessage::Binary(message.encode_to_vec().into()))
            .await
    }

    async fn write(&self, socket: &mut Socket, message: WsMessage) -> Result<(), Failure> {
        // A peer that reads nothing fills the buffers.
        match tokio::time::timeout(self.timing.heartbeat, socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| Failure::Broken(with_sources(&error))),
            Err(_) => Err(Failure::Broken("the server reads nothing".to_owned())),
        }
    }

    /// Carries messages both ways until the connection ends. A message that it did not take goes to the backlog, for the next one.
    async fn carry(
        &self,
        socket: &mut Socket,
        outgoing: &mut mpsc::UnboundedReceiver<ToServer>,
        backlog: &mut VecDeque<ToServer>,
    ) -> Failure {
        let mut heard = Instant::now();
        let mut pinged = false;
        loop {
            let patience = match pinged {
                false => self.timing.heartbeat,
                true => self.timing.heartbeat_timeout,
            };
            tokio::select! {
                message = socket.next() => {
                    heard = Instant::now();
                    pinged = false;
                    match message {
                        Some(Ok(WsMessage::Binary(bytes))) => {
                            if let Some(message) = decode(&bytes) {
                                if let FromServer::GoAway(_) = message {
                                    return Failure::Broken(
                                        "the server asks to register elsewhere".to_owned(),
                                    );
                                }
                                self.tell(ConnectionEvent::Message(Box::new(message))).await;
                            }
                        }
                        Some(Ok(WsMessage::Close(frame))) => {
                            let why = frame.map_or_else(String::new, |frame| format!(" ({frame})"));
                            return Failure::Broken(format!("the server closed the connection{why}"));
                        }
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Failure::Broken(with_sources(&error)),
                        None => return Failure::Broken("the connection broke".to_owned()),
                    }
                }
                message = outgoing.recv() => match message {
                    Some(message) => {
                        if let Err(failure) = self.send(socket, message.clone()).await {
                            keep(message, backlog);
                            return failure;
                        }
                    }
                    None => {
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, close(socket)).await;
                        return Failure::Done;
                    }
                },
                () = tokio::time::sleep(patience.saturating_sub(heard.elapsed())), if !pinged => {
                    pinged = true;
                    heard = Instant::now();
                    let ping = proto::WorkerPing { timestamp: unix_millis() };
                    if let Err(failure) = self.send(socket, ToServer::Ping(ping)).await {
                        return failure;
                    }
                    if let Err(failure) = self.write(socket, WsMessage::Ping(Vec::new().into())).await {
                        return failure;
                    }
                }
                () = tokio::time::sleep(patience.saturating_sub(heard.elapsed())), if pinged => {
                    return Failure::Broken(format!(
                        "the server has not answered a ping within {patience:?}"
                    ));
                }
            }
        }
    }
}

/// What waits in the channel, without what is old by now.
fn drain(outgoing: &mut mpsc::UnboundedReceiver<ToServer>, backlog: &mut VecDeque<ToServer>) {
    while let Ok(message) = outgoing.try_recv() {
        keep(message, backlog);
    }
}

fn keep(message: ToServer, backlog: &mut VecDeque<ToServer>) {
    if !matches!(message, ToServer::UpdateWorker(_) | ToServer::Ping(_)) {
        backlog.push_back(message);
    }
}

async fn close(socket: &mut Socket) {
    if socket.close(None).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

fn decode(bytes: &[u8]) -> Option<FromServer> {
    match proto::ServerMessage::decode(bytes) {
        // Without a body that we know, it is something new.
        Ok(message) => message.message,
        Err(error) => {
            tracing::warn!(%error, "a message of the server cannot be read");
            None
        }
    }
}

fn unix_millis() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}
