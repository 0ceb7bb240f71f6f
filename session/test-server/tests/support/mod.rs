//! Clients of the tests: they speak the wire protocol by hand, so that the server is not checked by its own code.

#![allow(dead_code, reason = "each test file uses a part")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use listenkit_test_server::TestServer;
use listenkit_test_server::proto;
use prost::Message as _;
use proto::server_message::Message as ToWorker;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use proto::worker_message::Message as FromWorker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Generous: everything here takes milliseconds, on a machine that may be busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A WebSocket with messages of protocol buffers.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

/// Opens a WebSocket; a refusal gives the HTTP status.
pub(crate) async fn open(server: &TestServer, path: &str, token: &str) -> Result<Socket, u16> {
    let stream = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("the server listens");
    let mut request = format!("{}{path}", server.url())
        .into_client_request()
        .expect("a URL");
    request.headers_mut().insert(
        AUTHORIZATION,
        format!("Bearer {token}").parse().expect("a header"),
    );
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Socket {
    pub(crate) async fn join(server: &TestServer, identity: &str, room: &str) -> Self {
        open(
            server,
            "/rtc?protocol=15&sdk=rust",
            &server.token(identity, room),
        )
        .await
        .expect("joins")
    }

    pub(crate) async fn worker(server: &TestServer) -> Self {
        let token = server
            .new_token()
            .grants(|grants| grants.agent = true)
            .build();
        open(server, "/agent", &token)
            .await
            .expect("a worker may connect")
    }

    /// The next message's bytes, or `None` once the connection has ended.
    pub(crate) async fn bytes(&mut self) -> Option<Vec<u8>> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, next)
            .await
            .expect("a message or the end")
    }

    /// The first message of signalling that `pick` takes; those before it are passed over.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(Response) -> Option<T>) -> T {
        loop {
            let bytes = self
                .bytes()
                .await
                .expect("the connection ended before the message came");
            let message = proto::SignalResponse::decode(&*bytes)
                .expect("a SignalResponse")
                .message;
            if let Some(found) = message.and_then(&pick) {
                return found;
            }
        }
    }

    pub(crate) async fn ask(&mut self, request: Request) {
        self.send(
            proto::SignalRequest {
                message: Some(request),
            }
            .encode_to_vec(),
        )
        .await;
    }

    /// The next message to a worker.
    pub(crate) async fn order(&mut self) -> ToWorker {
        let bytes = self
            .bytes()
            .await
            .expect("the connection ended before the message came");
        proto::ServerMessage::decode(&*bytes)
            .expect("a ServerMessage")
            .message
            .expect("with something in it")
    }

    pub(crate) async fn tell(&mut self, message: FromWorker) {
        self.send(
            proto::WorkerMessage {
                message: Some(message),
            }
            .encode_to_vec(),
        )
        .await;
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        self.0
            .send(Message::Binary(bytes.into()))
            .await
            .expect("the connection stands");
    }
}

/// Calls a Twirp method with JSON; gives the status and the answer.
pub(crate) async fn twirp(
    server: &TestServer,
    token: &str,
    method: &str,
    body: &str,
) -> (u16, serde_json::Value) {
    let (status, body) = post(server, token, method, "application/json", body.as_bytes()).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Calls a Twirp method.
pub(crate) async fn post(
    server: &TestServer,
    token: &str,
    method: &str,
    kind: &str,
    body: &[u8],
) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("the server listens");
    let head = format!(
        "POST /twirp/livekit.{method} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(body).await.expect("written");
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("an answer")
        .expect("read");
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("an HTTP answer");
    let status = std::str::from_utf8(&answer[9..12])
        .expect("a status")
        .parse()
        .expect("a number");
    (status, answer[end + 4..].to_vec())
}
