//! A server for tests of rooms: the double of this workspace, or a real one when the environment names it.
#![allow(
    dead_code,
    unused_macros,
    reason = "each test program uses a part of it"
)]

use std::f64::consts::TAU;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use listenkit_session::AudioFrame;
use listenkit_session::api::{AccessToken, Credentials, ServerApi, VideoGrants};
use listenkit_session::transport::ffi::LivekitTransport;
#[cfg(feature = "native")]
use listenkit_session::transport::native::NativeTransport;
use listenkit_session::transport::{
    AudioTrack, ConnectOptions, Connection, PublishOptions, RoomEvent, RoomTransport, TrackSource,
    TransportError,
};
use listenkit_test_server::{Options, TestServer, proto};
use livekit_api::services::room::{RoomClient, UpdateParticipantOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes on a machine that is loaded, or stands still for a while, and short enough to see what hangs.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// LiveKit's media library as the transport; `None`, said aloud, without it.
pub(crate) fn ffi(test: &str) -> Option<LivekitTransport> {
    match LivekitTransport::open(None) {
        Ok(transport) => Some(transport),
        Err(error) => {
            println!("skipped: {test} needs LiveKit's media library: {error}");
            None
        }
    }
}

/// The transport in pure Rust, which is there when it is compiled in.
#[cfg(feature = "native")]
pub(crate) fn native(_test: &str) -> Option<NativeTransport> {
    Some(NativeTransport::new())
}

/// Joins by two transports in turn, so that they meet in a room.
#[cfg(feature = "native")]
pub(crate) struct Mixed {
    ffi: LivekitTransport,
    native: NativeTransport,
    is_natives_turn: AtomicBool,
}

/// The first to join is on the native transport, the second on the other, and so on; `None`, said aloud, without LiveKit's library.
#[cfg(feature = "native")]
pub(crate) fn native_first(test: &str) -> Option<Mixed> {
    Some(Mixed {
        ffi: ffi(test)?,
        native: native(test)?,
        is_natives_turn: AtomicBool::new(true),
    })
}

/// The other way round.
#[cfg(feature = "native")]
pub(crate) fn ffi_first(test: &str) -> Option<Mixed> {
    let mixed = native_first(test)?;
    mixed.is_natives_turn.store(false, Ordering::Relaxed);
    Some(mixed)
}

#[cfg(feature = "native")]
#[async_trait::async_trait]
impl RoomTransport for Mixed {
    async fn connect(
        &self,
        url: &str,
        token: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        if self.is_natives_turn.fetch_not(Ordering::Relaxed) {
            self.native.connect(url, token, options).await
        } else {
            self.ffi.connect(url, token, options).await
        }
    }
}

macro_rules! tests_on {
    ($transport:expr, $($name:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(transport) = $transport(stringify!($name)) {
                    super::$name(&transport).await;
                }
            }
        )+
    };
}

/// Makes a test of each function for each transport, and for two that meet: `ffi::name`, `native::name`, `native_first::name`, `ffi_first::name`. A
/// function that is left out is said to be unused.
macro_rules! on_each_transport {
    ($($name:ident),+ $(,)?) => {
        mod ffi {
            tests_on!(crate::rooms::ffi, $($name),+);
        }
        #[cfg(feature = "native")]
        mod native {
            tests_on!(crate::rooms::native, $($name),+);
        }
        #[cfg(feature = "native")]
        mod native_first {
            tests_on!(crate::rooms::native_first, $($name),+);
        }
        #[cfg(feature = "native")]
        mod ffi_first {
            tests_on!(crate::rooms::ffi_first, $($name),+);
        }
    };
}

enum Kind {
    Double(Box<TestServer>),
    Started(Real),
    Named,
}

/// A livekit-server of ours.
struct Real {
    program: String,
    config: String,
    port: u16,
    child: Child,
}

pub(crate) struct Server {
    kind: Kind,
    pub(crate) url: String,
    key: String,
    secret: String,
}

impl Real {
    async fn start(program: String, config: String, port: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let file = std::env::temp_dir().join(format!("listenkit-livekit-{id}-{nth}.yaml"));
        fs::write(&file, &config).expect("the temporary directory is writable");
        let child = Command::new(&program)
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("LIVEKIT_SERVER_BIN starts");
        let listening = async {
            let address = ("127.0.0.1", port);
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(SOON, listening)
            .await
            .expect("the server of LIVEKIT_SERVER_BIN listens");
        let _ = fs::remove_file(&file);
        Self {
            program,
            config,
            port,
            child,
        }
    }
}

impl Server {
    /// `LIVEKIT_URL` with key and secret names a server that runs; `LIVEKIT_SERVER_BIN` one that is started here; else it is the double.
    pub(crate) async fn start() -> Self {
        if let Ok(url) = std::env::var("LIVEKIT_URL") {
            let of =
                |name| std::env::var(name).unwrap_or_else(|_| panic!("LIVEKIT_URL needs {name}"));
            return Self {
                kind: Kind::Named,
                url,
                key: of("LIVEKIT_API_KEY"),
                secret: of("LIVEKIT_API_SECRET"),
            };
        }
        Self::start_own().await
    }

    /// The double, and the real one that the environment names: said aloud, if it names none.
    pub(crate) async fn all() -> Vec<Self> {
        let mut servers = vec![Self::start_double(Options::default()).await];
        if ["LIVEKIT_URL", "LIVEKIT_SERVER_BIN"]
            .iter()
            .any(|name| std::env::var_os(name).is_some())
        {
            servers.push(Self::start().await);
        } else {
            println!(
                "skipped: a real LiveKit server (set LIVEKIT_SERVER_BIN, or LIVEKIT_URL with its key and secret)"
            );
        }
        servers
    }

    pub(crate) const fn is_double(&self) -> bool {
        matches!(self.kind, Kind::Double(_))
    }

    pub(crate) fn api(&self) -> ServerApi {
        ServerApi::new(Credentials {
            url: self.url.clone(),
            api_key: self.key.clone(),
            api_secret: self.secret.clone(),
        })
    }

    /// A server that can be killed.
    pub(crate) async fn start_own() -> Self {
        if let Ok(program) = std::env::var("LIVEKIT_SERVER_BIN") {
            return Self::start_real(&program, false).await;
        }
        Self::start_double(Options::default()).await
    }

    /// A real server that takes media over TCP, too; `None`, said aloud, without one.
    pub(crate) async fn start_with_tcp() -> Option<Self> {
        let Ok(program) = std::env::var("LIVEKIT_SERVER_BIN") else {
            println!("skipped: media over TCP needs a livekit-server (set LIVEKIT_SERVER_BIN)");
            return None;
        };
        Some(Self::start_real(&program, true).await)
    }

    /// The double, for faults that no real server can be told to have.
    pub(crate) async fn start_double(options: Options) -> Self {
        let server = TestServer::start(options).await.expect("the double starts");
        Self {
            url: server.url(),
            key: server.api_key().to_owned(),
            secret: server.api_secret().to_owned(),
            kind: Kind::Double(Box::new(server)),
        }
    }

    async fn start_real(program: &str, media_over_tcp: bool) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let media = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let ports = (
            tcp.local_addr().expect("bound").port(),
            udp.local_addr().expect("bound").port(),
            match media_over_tcp {
                true => media.local_addr().expect("bound").port(),
                false => 0,
            },
        );
        drop((tcp, udp, media));
        let secret = "at-least-32-characters-long-secret-00";
        let config = format!(
            "port: {}\nbind_addresses: [\"127.0.0.1\"]\nkeys: {{ devkey: \"{secret}\" }}\nrtc:\n  use_external_ip: false\n  node_ip: 127.0.0.1\n  enable_loopback_candidate: true\n  interfaces: {{ includes: [\"lo\"] }}\n  udp_port: {}\n  tcp_port: {}\n  stun_servers: [\"127.0.0.1:3478\"]\nlogging: {{ level: warn }}\n",
            ports.0, ports.1, ports.2
        );
        Self {
            url: format!("ws://127.0.0.1:{}", ports.0),
            key: "devkey".to_owned(),
            secret: secret.to_owned(),
            kind: Kind::Started(Real::start(program.to_owned(), config, ports.0).await),
        }
    }

    /// The double.
    pub(crate) fn double(&self) -> &TestServer {
        match &self.kind {
            Kind::Double(server) => server,
            _ => panic!("this test starts the double"),
        }
    }

    /// Ends it as a signal does; false if it is not ours to end.
    pub(crate) async fn kill(&mut self) -> bool {
        match &mut self.kind {
            Kind::Double(server) => server.kill().await,
            Kind::Started(real) => {
                real.child.kill().expect("it runs");
                let _ = real.child.wait();
            }
            Kind::Named => return false,
        }
        true
    }

    /// One that was killed, again at its address, and without a memory.
    pub(crate) async fn restart(&mut self) {
        match &mut self.kind {
            Kind::Double(server) => server.restart().await.expect("the double starts again"),
            Kind::Started(real) => {
                let again = Real::start(real.program.clone(), real.config.clone(), real.port);
                *real = again.await;
            }
            Kind::Named => panic!("it is not ours"),
        }
    }

    pub(crate) fn token(&self, identity: &str, room: &str) -> String {
        self.token_signed_with(identity, room, &self.secret)
    }

    pub(crate) fn token_signed_with(&self, identity: &str, room: &str, secret: &str) -> String {
        self.token_with(identity, room, secret, |_| {})
    }

    /// A token with other rights than all that participants have.
    pub(crate) fn token_granting(
        &self,
        identity: &str,
        room: &str,
        change: impl FnOnce(&mut VideoGrants),
    ) -> String {
        self.token_with(identity, room, &self.secret, change)
    }

    fn token_with(
        &self,
        identity: &str,
        room: &str,
        secret: &str,
        change: impl FnOnce(&mut VideoGrants),
    ) -> String {
        let mut grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            can_update_own_metadata: Some(true),
            ..VideoGrants::default()
        };
        change(&mut grants);
        AccessToken::with_api_key(&self.key, secret)
            .with_identity(identity)
            .with_name(&format!("name of {identity}"))
            .with_grants(grants)
            .to_jwt()
            .expect("a token")
    }

    fn rooms(&self) -> RoomClient {
        let url = self.url.replacen("ws", "http", 1);
        RoomClient::with_api_key(&url, &self.key, &self.secret)
    }

    /// Sends a participant away, as the room service does.
    pub(crate) async fn remove(&self, room: &str, identity: &str) {
        let removed = self.rooms().remove_participant(room, identity).await;
        removed.expect("the room service is there");
    }

    /// Until the server lists a track of this participant, which may be later than the participant knows it: LiveKit's library calls a track published before it
    /// has offered it.
    pub(crate) async fn lists_track(&self, room: &str, identity: &str) {
        let rooms = self.rooms();
        let listed = async {
            loop {
                let participant = rooms.get_participant(room, identity).await;
                if !participant.expect("they are there").tracks.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, listed)
            .await
            .expect("the server lists the track");
    }

    /// Changes what a participant may do, as the room service does.
    pub(crate) async fn permit(
        &self,
        room: &str,
        identity: &str,
        permission: proto::ParticipantPermission,
    ) {
        let options = UpdateParticipantOptions {
            permission: Some(permission),
            ..UpdateParticipantOptions::default()
        };
        self.rooms()
            .update_participant(room, identity, options)
            .await
            .expect("the room service is there");
    }

    pub(crate) async fn join(
        &self,
        transport: &dyn RoomTransport,
        identity: &str,
        room: &str,
    ) -> Connection {
        let options = ConnectOptions::default().timeout(SOON);
        self.join_with(transport, identity, room, &options)
            .await
            .expect("the room is joined")
    }

    pub(crate) async fn join_with(
        &self,
        transport: &dyn RoomTransport,
        identity: &str,
        room: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        transport
            .connect(&self.url, &self.token(identity, room), options)
            .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Kind::Started(real) = &mut self.kind {
            let _ = real.child.kill();
            let _ = real.child.wait();
        }
    }
}

/// The wire of one client's signalling, which can be cut: with any server. Media goes its own way.
pub(crate) struct Wire {
    url: String,
    refuses: Arc<AtomicBool>,
    /// How long the server's words take, in ms.
    delay: Arc<AtomicU64>,
    /// Connections over which the client said more than that it wants one.
    used: watch::Sender<u64>,
    cut: watch::Sender<()>,
    listening: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn to(server: &Server) -> Self {
        let address = server.url.trim_start_matches("ws://").to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let refuses = Arc::new(AtomicBool::new(false));
        let (cut, is_cut) = watch::channel(());
        let is_refused = Arc::clone(&refuses);
        let delay = Arc::new(AtomicU64::new(0));
        let delayed = Arc::clone(&delay);
        let used = watch::Sender::new(0);
        let in_use = used.clone();
        let listening = tokio::spawn(async move {
            // They end with the listener.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                if is_refused.load(Ordering::Relaxed) {
                    continue;
                }
                let (address, mut is_cut) = (address.clone(), is_cut.clone());
                let (delayed, in_use) = (Arc::clone(&delayed), in_use.clone());
                is_cut.mark_unchanged();
                connections.spawn(async move {
                    let Ok(mut server) = tokio::net::TcpStream::connect(address).await else {
                        return;
                    };
                    let (mut from_server, mut to_server) = server.split();
                    let (mut from_client, mut to_client) = client.split();
                    let asking = async {
                        let (mut bytes, mut said) = ([0; 4096], 0_u64);
                        while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
                            said += 1;
                            if said == 2 {
                                in_use.send_modify(|count| *count += 1);
                            }
                            if to_server.write_all(&bytes[..n]).await.is_err() {
                                return;
                            }
                        }
                        let _ = to_server.shutdown().await;
                    };
                    let answering = async {
                        let mut bytes = [0; 4096];
                        while let Ok(n @ 1..) = from_server.read(&mut bytes).await {
                            let delay = delayed.load(Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(delay)).await;
                            if to_client.write_all(&bytes[..n]).await.is_err() {
                                return;
                            }
                        }
                        let _ = to_client.shutdown().await;
                    };
                    tokio::select! {
                        _ = futures_util::future::join(asking, answering) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self {
            url,
            refuses,
            delay,
            used,
            cut,
            listening,
        }
    }

    /// Waits until the client has been heard on so many connections.
    pub(crate) async fn used(&self, times: u64) {
        let mut used = self.used.subscribe();
        let enough = used.wait_for(|&count| count >= times);
        timeout(SOON, enough)
            .await
            .expect("used in time")
            .expect("we hold the sender");
    }

    /// Closes what stands, without a word.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }

    /// What the server says takes this long from now on, besides its way.
    pub(crate) fn delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).expect("a delay for tests");
        self.delay.store(ms, Ordering::Relaxed);
    }

    /// Lets nothing new through.
    pub(crate) fn refuse(&self, on: bool) {
        self.refuses.store(on, Ordering::Relaxed);
    }

    pub(crate) async fn join(
        &self,
        server: &Server,
        transport: &dyn RoomTransport,
        identity: &str,
        room: &str,
    ) -> Connection {
        let options = ConnectOptions::default().timeout(SOON);
        self.connect(transport, &server.token(identity, room), &options)
            .await
            .expect("the room is joined")
    }

    pub(crate) async fn connect(
        &self,
        transport: &dyn RoomTransport,
        token: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        transport.connect(&self.url, token, options).await
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A room's name that no other test and no other run has.
pub(crate) fn fresh(test: &str) -> String {
    format!("lkffi-{test}-{:08x}", fastrand::u32(..))
}

/// The first event that `pick` takes; others are passed over.
pub(crate) async fn event<T>(
    events: &mut UnboundedReceiver<RoomEvent>,
    what: &str,
    mut pick: impl FnMut(RoomEvent) -> Option<T>,
) -> T {
    let search = async {
        let mut seen = Vec::new();
        loop {
            match events.recv().await {
                Some(event) => {
                    seen.push(format!("{event:?}"));
                    if let Some(found) = pick(event) {
                        return found;
                    }
                }
                None => panic!("no {what}, and the events ended: {seen:#?}"),
            }
        }
    };
    timeout(SOON, search)
        .await
        .unwrap_or_else(|_| panic!("no {what} within {SOON:?}"))
}

pub(crate) const RATE: u32 = 48_000;

pub(crate) fn voice(queue_ms: u64) -> PublishOptions {
    PublishOptions {
        name: "voice".to_owned(),
        sample_rate: RATE,
        channels: 1,
        source: TrackSource::Microphone,
        queue: Duration::from_millis(queue_ms),
    }
}

/// 10 ms of a sine, the `nth` of a row.
pub(crate) fn tone(nth: u64, frequency: f64, amplitude: f64) -> AudioFrame {
    let len = u64::from(RATE / 100);
    let samples: Vec<i16> = (nth * len..(nth + 1) * len)
        .map(|at| (amplitude * (TAU * frequency * at as f64 / f64::from(RATE)).sin()) as i16)
        .collect();
    AudioFrame::new(samples, RATE, 1).expect("a good format")
}

/// Amplitude of one frequency in a signal.
pub(crate) fn amplitude_at(samples: &[i16], rate: u32, frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let phase = TAU * frequency * at as f64 / f64::from(rate);
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// Sends a tone until it is dropped.
pub(crate) struct Speaker(JoinHandle<()>);

impl Speaker {
    /// Publishes a tone of 440 Hz.
    pub(crate) async fn voice_of(who: &Connection) -> Self {
        let track = who.room.publish_audio(&voice(50)).await;
        Self::start(track.expect("published"), 440.0)
    }

    pub(crate) fn start(track: Box<dyn AudioTrack>, frequency: f64) -> Self {
        Self(tokio::spawn(async move {
            for nth in 0.. {
                if track.capture(&tone(nth, frequency, 8_000.0)).await.is_err() {
                    return;
                }
            }
        }))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn subscribed(connection: &mut Connection, from: &str) -> String {
    event(&mut connection.events, "subscription", |e| match e {
        RoomEvent::TrackSubscribed { identity, track } if identity == from => Some(track.sid),
        _ => None,
    })
    .await
}

pub(crate) async fn arrived(connection: &mut Connection, who: &str) {
    if connection.room.participant(who).is_some() {
        return;
    }
    event(&mut connection.events, "participant", |e| match e {
        RoomEvent::ParticipantConnected(p) if p.identity == who => Some(()),
        _ => None,
    })
    .await;
}

/// Two participants that see each other.
pub(crate) async fn pair(
    server: &Server,
    transport: &dyn RoomTransport,
    room: &str,
) -> (Connection, Connection) {
    pair_with(server, transport, room, &ConnectOptions::default()).await
}

pub(crate) async fn pair_with(
    server: &Server,
    transport: &dyn RoomTransport,
    room: &str,
    options: &ConnectOptions,
) -> (Connection, Connection) {
    let join = |identity| server.join_with(transport, identity, room, options);
    let mut alice = join("alice").await.expect("the room is joined");
    let mut bob = join("bob").await.expect("the room is joined");
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    (alice, bob)
}
