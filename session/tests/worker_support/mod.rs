//! The server's side of the agent protocol, and a room that is not there.

// Each test program uses a part.
#![allow(dead_code)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use listenkit_session::AudioFrame;
use listenkit_session::transport::{
    AudioTrack, ConnectOptions, Connection, DataOptions, DisconnectReason, Participant,
    PublishOptions, Room, RoomEvent, RoomTransport, RpcError, TextOptions, TextWriter,
    TransportError,
};
use listenkit_session::worker::WorkerOptions;
use livekit_protocol as proto;
use prost::Message as _;
pub(crate) use proto::server_message::Message as ToWorker;
pub(crate) use proto::worker_message::Message as FromWorker;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Longest wait for anything: a multiple of what a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const KEY: &str = "devkey";
pub(crate) const SECRET: &str = "at-least-32-characters-long-secret-00";

/// Listens for workers, one after the other.
pub(crate) struct FakeServer {
    listener: TcpListener,
    registered: usize,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            registered: 0,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// Takes a connection, without registering its worker.
    pub(crate) async fn accept(&mut self) -> FakeWorkerConnection {
        tokio::time::timeout(PATIENCE, async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut seen = None;
            // The signature is tungstenite's.
            #[allow(clippy::result_large_err)]
            let check = |request: &Request, response: Response| {
                let header = request.headers().get("authorization").unwrap();
                seen = Some((request.uri().clone(), header.to_str().unwrap().to_owned()));
                Ok(response)
            };
            let socket = tokio_tungstenite::accept_hdr_async(stream, check)
                .await
                .unwrap();
            let (uri, authorization) = seen.unwrap();
            let mut worker =
                FakeWorkerConnection::new(socket, uri.path().to_owned(), authorization);
            worker.query = uri.query().map(str::to_owned);
            worker
        })
        .await
        .expect("a worker connects")
    }

    /// Takes a connection and registers its worker, as `AW_1` and on.
    pub(crate) async fn register(&mut self) -> FakeWorkerConnection {
        let mut worker = self.accept().await;
        match worker.next().await {
            FromWorker::Register(request) => worker.registration = Some(request),
            other => panic!("the first message is no registration: {other:?}"),
        }
        self.registered += 1;
        worker.send(ToWorker::Register(proto::RegisterWorkerResponse {
            worker_id: format!("AW_{}", self.registered),
            ..Default::default()
        }));
        worker
    }
}

/// One connection of a worker.
pub(crate) struct FakeWorkerConnection {
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) authorization: String,
    pub(crate) registration: Option<proto::RegisterWorkerRequest>,
    incoming: mpsc::UnboundedReceiver<FromWorker>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    put_back: VecDeque<FromWorker>,
}

enum Outgoing {
    Message(Box<ToWorker>),
    Mute,
    Break,
}

impl FakeWorkerConnection {
    fn new(
        socket: tokio_tungstenite::WebSocketStream<TcpStream>,
        path: String,
        authorization: String,
    ) -> Self {
        let (told, incoming) = mpsc::unbounded_channel();
        let (outgoing, mut to_send) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut socket = socket;
            loop {
                tokio::select! {
                    message = socket.next() => match message {
                        Some(Ok(WsMessage::Binary(bytes))) => {
                            let message = proto::WorkerMessage::decode(bytes.as_ref()).unwrap();
                            if told.send(message.message.unwrap()).is_err() {
                                return;
                            }
                        }
                        Some(Ok(_)) => {}
                        _ => return,
                    },
                    command = to_send.recv() => match command {
                        Some(Outgoing::Message(message)) => {
                            let message = proto::ServerMessage { message: Some(*message) };
                            if socket.send(WsMessage::Binary(message.encode_to_vec().into())).await.is_err() {
                                return;
                            }
                        }
                        // The connection stays open, and no one reads.
                        Some(Outgoing::Mute) => std::future::pending().await,
                        Some(Outgoing::Break) | None => return,
                    },
                }
            }
        });
        Self {
            path,
            query: None,
            authorization,
            registration: None,
            incoming,
            outgoing,
            put_back: VecDeque::new(),
        }
    }

    pub(crate) fn send(&self, message: ToWorker) {
        let _ = self.outgoing.send(Outgoing::Message(Box::new(message)));
    }

    /// Breaks the connection, without a word.
    pub(crate) fn break_off(self) {
        let _ = self.outgoing.send(Outgoing::Break);
    }

    /// Reads nothing any more, and says nothing.
    pub(crate) fn fall_silent(&self) {
        let _ = self.outgoing.send(Outgoing::Mute);
    }

    pub(crate) async fn try_next(&mut self) -> Option<FromWorker> {
        if let Some(message) = self.put_back.pop_front() {
            return Some(message);
        }
        tokio::time::timeout(PATIENCE, self.incoming.recv())
            .await
            .expect("the worker says something, or closes")
    }

    pub(crate) async fn next(&mut self) -> FromWorker {
        self.try_next().await.expect("the worker is connected")
    }

    /// The next message that is no report of the load and no ping.
    pub(crate) async fn next_deed(&mut self) -> FromWorker {
        loop {
            match self.next().await {
                FromWorker::UpdateWorker(_) | FromWorker::Ping(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn next_status(&mut self) -> proto::UpdateWorkerStatus {
        loop {
            if let FromWorker::UpdateWorker(status) = self.next().await {
                return status;
            }
        }
    }

    pub(crate) async fn availability(&mut self) -> proto::AvailabilityResponse {
        match self.next_deed().await {
            FromWorker::Availability(answer) => answer,
            other => panic!("no answer to an offer: {other:?}"),
        }
    }

    pub(crate) async fn job_status(&mut self) -> (String, proto::JobStatus, String) {
        match self.next_deed().await {
            FromWorker::UpdateJob(update) => {
                let status = update.status();
                (update.job_id, status, update.error)
            }
            other => panic!("no status of a job: {other:?}"),
        }
    }

    pub(crate) fn offer(&self, id: &str, metadata: &str) {
        self.send(ToWorker::Availability(proto::AvailabilityRequest {
            job: Some(job(id, metadata)),
            resuming: false,
        }));
    }

    pub(crate) fn assign(&self, id: &str, metadata: &str) {
        self.send(ToWorker::Assignment(proto::JobAssignment {
            job: Some(job(id, metadata)),
            url: None,
            token: format!("token-{id}"),
        }));
    }

    pub(crate) fn terminate(&self, id: &str) {
        self.send(ToWorker::Termination(proto::JobTermination {
            job_id: id.to_owned(),
        }));
    }

    /// Offers and assigns a job, and waits until it runs.
    pub(crate) async fn run_job(&mut self, id: &str, metadata: &str) {
        self.offer(id, metadata);
        let answer = self.availability().await;
        assert!(answer.available, "{answer:?}");
        self.assign(id, metadata);
        let (job_id, status, error) = self.job_status().await;
        assert_eq!(
            (job_id.as_str(), status),
            (id, proto::JobStatus::JsRunning),
            "{error}"
        );
    }
}

/// Sends a signal to a process.
#[cfg(unix)]
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The processes that `which` means, of their parent and their command line. None where there is no `/proc`.
pub(crate) fn processes(which: impl Fn(u32, &str) -> bool) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // After the name, which may have any characters: state, parent.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace();
        let alive = fields.next().is_some_and(|state| state != "Z");
        let parent = fields.next().and_then(|parent| parent.parse().ok());
        alive && parent.is_some_and(|parent| which(parent, &command.replace('\0', " ")))
    })
    .collect()
}

pub(crate) fn job(id: &str, metadata: &str) -> proto::Job {
    proto::Job {
        id: id.to_owned(),
        metadata: metadata.to_owned(),
        room: Some(proto::Room {
            name: format!("room-{id}"),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Options for a worker of this server, without a health endpoint.
pub(crate) fn reach(mut options: WorkerOptions, url: &str) -> WorkerOptions {
    options.ws_url = Some(url.to_owned());
    options.api_key = Some(KEY.to_owned());
    options.api_secret = Some(SECRET.to_owned());
    options.health_endpoint = false;
    options
}

/// Rooms that exist in memory alone.
#[derive(Clone, Default)]
pub(crate) struct FakeTransport(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    joined: Vec<(String, String)>,
    participants: Vec<Participant>,
    events: Option<mpsc::UnboundedSender<RoomEvent>>,
    closed: bool,
    fail: u32,
    hang: u32,
}

impl FakeTransport {
    /// The next joins fail.
    pub(crate) fn fail(&self, times: u32) {
        self.0.lock().unwrap().fail = times;
    }

    /// The next joins never end.
    pub(crate) fn hang(&self, times: u32) {
        self.0.lock().unwrap().hang = times;
    }

    /// Where it joined, with which token.
    pub(crate) fn joined(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().joined.clone()
    }

    fn hangs(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let hangs = state.hang > 0;
        state.hang = state.hang.saturating_sub(1);
        hangs
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().unwrap().closed
    }

    pub(crate) fn come(&self, participant: Participant) {
        let mut state = self.0.lock().unwrap();
        state.participants.push(participant.clone());
        if let Some(events) = &state.events {
            let _ = events.send(RoomEvent::ParticipantConnected(participant));
        }
    }

    pub(crate) fn go(&self, identity: &str) {
        let mut state = self.0.lock().unwrap();
        let at = state
            .participants
            .iter()
            .position(|p| p.identity == identity)
            .unwrap();
        let participant = state.participants.remove(at);
        if let Some(events) = &state.events {
            let _ = events.send(RoomEvent::ParticipantDisconnected {
                participant,
                reason: DisconnectReason::ClientInitiated,
            });
        }
    }

    pub(crate) fn disconnect(&self, reason: DisconnectReason) {
        let mut state = self.0.lock().unwrap();
        if let Some(events) = state.events.take() {
            let _ = events.send(RoomEvent::Disconnected(reason));
        }
    }
}

#[async_trait::async_trait]
impl RoomTransport for FakeTransport {
    async fn connect(
        &self,
        url: &str,
        token: &str,
        _: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        if self.hangs() {
            std::future::pending::<()>().await;
        }
        let mut state = self.0.lock().unwrap();
        if state.fail > 0 {
            state.fail -= 1;
            return Err(TransportError::Closed);
        }
        state.joined.push((url.to_owned(), token.to_owned()));
        let (events, received) = mpsc::unbounded_channel();
        state.events = Some(events);
        Ok(Connection {
            room: Arc::new(FakeRoom(self.clone())),
            events: received,
        })
    }
}

struct FakeRoom(FakeTransport);

#[async_trait::async_trait]
impl Room for FakeRoom {
    fn name(&self) -> String {
        "fake".to_owned()
    }

    fn sid(&self) -> String {
        "RM_fake".to_owned()
    }

    fn local_participant(&self) -> Participant {
        Participant::default()
    }

    fn participants(&self) -> Vec<Participant> {
        self.0.0.lock().unwrap().participants.clone()
    }

    fn is_connected(&self) -> bool {
        self.0.0.lock().unwrap().events.is_some()
    }

    async fn set_subscribed(&self, _: &str, _: &str, _: bool) -> Result<(), TransportError> {
        Ok(())
    }

    async fn open_audio(
        &self,
        _: &str,
        _: u32,
        _: u32,
    ) -> Result<mpsc::Receiver<AudioFrame>, TransportError> {
        Err(TransportError::Closed)
    }

    async fn publish_audio(
        &self,
        _: &PublishOptions,
    ) -> Result<Box<dyn AudioTrack>, TransportError> {
        Err(TransportError::Closed)
    }

    async fn publish_data(&self, _: &[u8], _: &DataOptions) -> Result<(), TransportError> {
        Ok(())
    }

    async fn send_text(&self, _: &str, _: &TextOptions) -> Result<String, TransportError> {
        Err(TransportError::Closed)
    }

    async fn stream_text(&self, _: &TextOptions) -> Result<Box<dyn TextWriter>, TransportError> {
        Err(TransportError::Closed)
    }

    async fn set_attributes(&self, _: HashMap<String, String>) -> Result<(), TransportError> {
        Ok(())
    }

    async fn perform_rpc(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: Duration,
    ) -> Result<String, RpcError> {
        Ok(String::new())
    }

    fn register_rpc(&self, _: &str) -> Result<(), TransportError> {
        Ok(())
    }

    async fn close(&self) {
        self.0.0.lock().unwrap().closed = true;
        self.0.disconnect(DisconnectReason::ClientInitiated);
    }
}
