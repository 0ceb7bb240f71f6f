//! A bad network between clients and any server: datagrams go through a relay that loses, doubles and holds some back. So that they do, the server's candidates
//! are rewritten on their way through a relay of the signalling, and the client's own are kept from it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt, StreamExt};
use listenkit_session::transport::{ConnectOptions, Connection, RoomTransport, TransportError};
use listenkit_test_server::{Network, proto};
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server;

use crate::rooms::Server;

/// The relay. It ends when it is dropped.
pub(crate) struct Lossy {
    url: String,
    air: Arc<Air>,
    _tasks: JoinSet<()>,
}

struct Air {
    /// Where clients send.
    front: UdpSocket,
    /// Where the server takes datagrams.
    server: Mutex<Option<SocketAddr>>,
    network: Mutex<(Option<Network>, fastrand::Rng)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("whole")
}

impl Lossy {
    pub(crate) async fn to(server: &Server) -> Self {
        let address = server.url.trim_start_matches("ws://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let air = Arc::new(Air {
            front: UdpSocket::bind("127.0.0.1:0").await.expect("a free port"),
            server: Mutex::new(None),
            network: Mutex::new((None, fastrand::Rng::with_seed(0))),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(relay(Arc::clone(&air)));
        let signalling = Arc::clone(&air);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(signal(client, address.clone(), Arc::clone(&signalling)));
            }
        });
        Self {
            url,
            air,
            _tasks: tasks,
        }
    }

    /// Makes the network bad, or good again.
    pub(crate) fn set(&self, network: Option<Network>) {
        let seed = network.as_ref().map_or(0, |n| n.seed);
        *lock(&self.air.network) = (network, fastrand::Rng::with_seed(seed));
    }

    pub(crate) async fn join(
        &self,
        server: &Server,
        transport: &dyn RoomTransport,
        identity: &str,
        room: &str,
    ) -> Connection {
        self.try_join(
            server,
            transport,
            identity,
            room,
            &ConnectOptions::default(),
        )
        .await
        .expect("the room is joined")
    }

    pub(crate) async fn try_join(
        &self,
        server: &Server,
        transport: &dyn RoomTransport,
        identity: &str,
        room: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        let token = server.token(identity, room);
        transport.connect(&self.url, &token, options).await
    }
}

impl Air {
    /// When copies of the next datagram arrive.
    fn fate(&self) -> Vec<std::time::Duration> {
        let (network, random) = &mut *lock(&self.network);
        let Some(network) = network else {
            return vec![std::time::Duration::ZERO];
        };
        let [lost, doubled, late] = std::array::from_fn(|_| random.f64());
        if lost < network.loss {
            return Vec::new();
        }
        let mut after = network.delay;
        if late < network.late {
            after += network.late_by;
        }
        vec![after; 1 + usize::from(doubled < network.doubled)]
    }

    /// The candidate with the relay's address instead of the server's. One for TCP, which only a server has that is asked for it, stays.
    fn candidate(&self, line: &str) -> Option<String> {
        let mut fields: Vec<_> = line.split(' ').map(str::to_owned).collect();
        if fields.len() < 6 || !fields[2].eq_ignore_ascii_case("udp") {
            return Some(line.to_owned());
        }
        let address = format!("{}:{}", fields[4], fields[5]).parse().ok()?;
        *lock(&self.server) = Some(address);
        let front = self.front.local_addr().expect("bound");
        (fields[4], fields[5]) = (front.ip().to_string(), front.port().to_string());
        Some(fields.join(" "))
    }
}

/// Datagrams of each client, to the server and back.
async fn relay(air: Arc<Air>) {
    let mut sockets: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut flying = JoinSet::new();
    let mut buffer = vec![0; 2048];
    while let Ok((len, client)) = air.front.recv_from(&mut buffer).await {
        while flying.try_join_next().is_some() {}
        let Some(server) = *lock(&air.server) else {
            continue;
        };
        let socket = match sockets.get(&client) {
            Some(socket) => Arc::clone(socket),
            None => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
                let socket = Arc::new(socket);
                sockets.insert(client, Arc::clone(&socket));
                flying.spawn(back(Arc::clone(&air), Arc::clone(&socket), client));
                socket
            }
        };
        for after in air.fate() {
            let (socket, bytes) = (Arc::clone(&socket), buffer[..len].to_vec());
            flying.spawn(async move {
                tokio::time::sleep(after).await;
                let _ = socket.send_to(&bytes, server).await;
            });
        }
    }
}

async fn back(air: Arc<Air>, socket: Arc<UdpSocket>, client: SocketAddr) {
    let mut flying = JoinSet::new();
    let mut buffer = vec![0; 2048];
    loop {
        let Ok(len) = socket.recv(&mut buffer).await else {
            continue;
        };
        while flying.try_join_next().is_some() {}
        for after in air.fate() {
            let (air, bytes) = (Arc::clone(&air), buffer[..len].to_vec());
            flying.spawn(async move {
                tokio::time::sleep(after).await;
                let _ = air.front.send_to(&bytes, client).await;
            });
        }
    }
}

/// A client's signalling.
async fn signal(client: TcpStream, address: String, air: Arc<Air>) {
    let mut asked = None;
    #[expect(clippy::result_large_err, reason = "the handshake asks for it")]
    let callback = |request: &server::Request, response: server::Response| {
        // The newer way in has one connection with everything in its first message; clients fall back to this one.
        if request.uri().path().starts_with("/rtc/v1") {
            let mut refused = server::ErrorResponse::new(None);
            *refused.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::NOT_FOUND;
            return Err(refused);
        }
        asked = Some((
            request.uri().to_string(),
            request.headers().get("authorization").cloned(),
        ));
        Ok(response)
    };
    let Ok(mut client) = tokio_tungstenite::accept_hdr_async(client, callback).await else {
        return;
    };
    let Some((path, authorization)) = asked else {
        return;
    };
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .expect("an address");
    if let Some(authorization) = authorization {
        request.headers_mut().insert("authorization", authorization);
    }
    let Ok((mut server, _)) = tokio_tungstenite::connect_async(request).await else {
        return;
    };
    loop {
        tokio::select! {
            said = client.next() => match said {
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some(bytes) = to_server(&bytes)
                        && server.send(Message::Binary(bytes.into())).await.is_err()
                    {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            said = server.next() => match said {
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some(bytes) = to_client(&bytes, &air)
                        && client.send(Message::Binary(bytes.into())).await.is_err()
                    {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

fn to_server(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut request = proto::SignalRequest::decode(bytes).ok()?;
    match &mut request.message {
        Some(Request::Trickle(_)) => return None,
        Some(Request::Offer(description) | Request::Answer(description)) => {
            let is_kept = |line: &&str| !line.starts_with("a=candidate");
            let sdp = description.sdp.split_inclusive('\n').filter(is_kept);
            description.sdp = sdp.collect();
        }
        _ => {}
    }
    Some(request.encode_to_vec())
}

fn to_client(bytes: &[u8], air: &Air) -> Option<Vec<u8>> {
    let mut response = proto::SignalResponse::decode(bytes).ok()?;
    match &mut response.message {
        Some(Response::Trickle(trickle)) => {
            let mut init: serde_json::Value = serde_json::from_str(&trickle.candidate_init).ok()?;
            let line = init.get("candidate")?.as_str()?;
            // An empty one says that there are no more.
            if !line.is_empty() {
                init["candidate"] = air.candidate(line)?.into();
            }
            trickle.candidate_init = init.to_string();
        }
        Some(Response::Offer(description) | Response::Answer(description)) => {
            let line = |line: &str| match line.strip_prefix("a=") {
                Some(candidate) if candidate.starts_with("candidate:") => {
                    let candidate = air.candidate(candidate.trim_end())?;
                    Some(format!("a={candidate}\r\n"))
                }
                _ => Some(line.to_owned()),
            };
            let sdp = description.sdp.split_inclusive('\n').filter_map(line);
            description.sdp = sdp.collect();
        }
        _ => {}
    }
    Some(response.encode_to_vec())
}
