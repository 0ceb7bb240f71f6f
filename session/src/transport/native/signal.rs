//! The signalling: a WebSocket to the server, polled by the room's task.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::data;
use crate::api::with_sources;

/// What we understand of the server's protocol: the newest with two peer connections whose data channels are announced in-band (those of
/// 18 are not).
const PROTOCOL: u32 = 16;

/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an address of the server's has for itself before the next is tried beside it (RFC 8305, "Happy Eyeballs").
const HEAD_START: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignalError {
    /// The server said no; it would say so again.
    Refused(String),
    /// Worth another try.
    Broken(String),
}

impl SignalError {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Refused(message) | Self::Broken(message) => message,
        }
    }
}

/// An open WebSocket.
pub(super) struct Signal {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    outbox: VecDeque<WsMessage>,
    unflushed: bool,
    /// Why nothing can be written any more.
    broken: Option<String>,
    /// Our address on the way to the server.
    pub(super) local: Option<IpAddr>,
}

/// How to come in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    Join,
    /// To the place of the participant with this sid.
    Resume(&'a str),
}

fn address(url: &str, entry: Entry<'_>) -> Result<url::Url, String> {
    let mut url = url::Url::parse(url).map_err(|e| format!("{url:?} is no address: {e}"))?;
    let scheme = match url.scheme() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        other => {
            return Err(format!(
                "{other}: is no scheme of a LiveKit server: give ws: or wss:"
            ));
        }
    };
    url.set_scheme(scheme)
        .map_err(|()| format!("{url} cannot be a WebSocket"))?;
    url.path_segments_mut()
        .map_err(|()| "the address has no path".to_owned())?
        .pop_if_empty()
        .push("rtc");
    let mut query = url.query_pairs_mut();
    query
        .append_pair("sdk", "rust")
        .append_pair("version", env!("CARGO_PKG_VERSION"))
        .append_pair("os", std::env::consts::OS)
        .append_pair("protocol", &PROTOCOL.to_string())
        .append_pair("client_protocol", &data::CLIENT_PROTOCOL.to_string())
        // Asked for track by track: the server's own way would send video, too.
        .append_pair("auto_subscribe", "0")
        .append_pair("adaptive_stream", "0");
    if let Entry::Resume(sid) = entry {
        query.append_pair("reconnect", "1").append_pair("sid", sid);
    }
    drop(query);
    Ok(url)
}

/// Connects to the server of this address.
async fn dial(url: &url::Url) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses = match url.host() {
        Some(url::Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
        Some(url::Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
        Some(url::Host::Domain(name)) => tokio::net::lookup_host((name, port)).await?.collect(),
        None => Vec::new(),
    };
    first(alternating(addresses)).await
}

/// The addresses with those of either family in turn, beginning with the system's choice.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (ours, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.is_ipv6() == is_six);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    std::iter::from_fn(|| {
        let pair = [ours.next(), others.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    })
    .flatten()
    .flatten()
    .collect()
}

/// The first connection that stands. The next address is tried when one has failed or taken too long.
async fn first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut trying = JoinSet::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            trying.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            tried = trying.join_next() => match tried {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failed = error,
                Some(Err(_)) => {}
                None => return Err(failed),
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

impl Signal {
    pub(super) async fn open(
        url: &str,
        token: &str,
        entry: Entry<'_>,
    ) -> Result<Self, SignalError> {
        let url = address(url, entry).map_err(SignalError::Refused)?;
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|e| SignalError::Refused(with_sources(&e)))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            SignalError::Refused("the token has characters that cannot be sent".to_owned())
        })?;
        request.headers_mut().insert("Authorization", bearer);
        crate::install_crypto_provider();
        let connecting = async {
            let stream = dial(&url).await?;
            // Small messages that wait for nobody.
            stream.set_nodelay(true)?;
            tokio_tungstenite::client_async_tls_with_config(request, stream, None, None).await
        };
        let (socket, _) = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| SignalError::Broken(format!("no answer within {CONNECT:?}")))?
            .map_err(|error| failure(error, url.scheme() == "wss"))?;
        let tcp = match socket.get_ref() {
            MaybeTlsStream::Plain(tcp) => Some(tcp),
            MaybeTlsStream::Rustls(tls) => Some(tls.get_ref().0),
            _ => None,
        };
        let local = tcp.and_then(|tcp| tcp.local_addr().ok()).map(|a| a.ip());
        Ok(Self {
            socket,
            outbox: VecDeque::new(),
            unflushed: false,
            broken: None,
            local,
        })
    }

    /// Puts a message on its way; [`poll`](Self::poll) carries it out.
    pub(super) fn send(&mut self, request: Request) {
        tracing::trace!(?request, "to server");
        let message = proto::SignalRequest {
            message: Some(request),
        };
        self.outbox
            .push_back(WsMessage::Binary(message.encode_to_vec().into()));
    }

    /// Writes what waits, then gives the next message. An error is the end of it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response, String>> {
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            // A server that closes may have said why just before: that is still to be read, and the end of it says that the connection broke.
            self.broken = Some(with_sources(&error));
        }
        loop {
            let message = match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    let broken = self.broken.take();
                    return Poll::Ready(Err(broken.unwrap_or_else(|| with_sources(&error))));
                }
                None => return Poll::Ready(Err("the server closed the connection".to_owned())),
            };
            let WsMessage::Binary(bytes) = message else {
                continue;
            };
            match proto::SignalResponse::decode(bytes) {
                Ok(proto::SignalResponse {
                    message: Some(response),
                }) => {
                    match &response {
                        // Whoever reads it in a log could join.
                        Response::RefreshToken(_) | Response::RoomMoved(_) => {
                            tracing::trace!("a token from server");
                        }
                        response => tracing::trace!(?response, "from server"),
                    }
                    return Poll::Ready(Ok(response));
                }
                // Newer than this program.
                Ok(_) => {}
                Err(error) => tracing::warn!("a message of the server cannot be read: {error}"),
            }
        }
    }

    /// Writes what waits; ready when all of it is on its way.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        let mut socket = std::pin::Pin::new(&mut self.socket);
        while let Some(message) = self.outbox.pop_front() {
            match socket.as_mut().poll_ready(cx)? {
                Poll::Ready(()) => {
                    socket.as_mut().start_send(message)?;
                    self.unflushed = true;
                }
                Poll::Pending => {
                    self.outbox.push_front(message);
                    return Poll::Pending;
                }
            }
        }
        if self.unflushed {
            ready!(socket.as_mut().poll_flush(cx)?);
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits and closes, within `limit`.
    pub(super) async fn close(mut self, limit: Duration) {
        let closing = async {
            std::future::poll_fn(|cx| self.poll_write(cx)).await?;
            self.socket.close(None).await?;
            // The server's own farewell: it has read ours.
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<_, WsError>(())
        };
        let _ = tokio::time::timeout(limit, closing).await;
    }
}

fn failure(error: WsError, is_tls: bool) -> SignalError {
    match &error {
        WsError::Http(response) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy);
            let status = response.status();
            let mut message = format!("the server answers {status}");
            if let Some(place) = response.headers().get("location") {
                message += &format!(", go to {}", String::from_utf8_lossy(place.as_bytes()));
            }
            let body: String = body.unwrap_or_default().trim().chars().take(200).collect();
            if !body.is_empty() {
                message += &format!(": {body}");
            }
            // It may say otherwise when it has less to do.
            let is_busy = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
            if status.is_client_error() && !is_busy {
                SignalError::Refused(message)
            } else {
                SignalError::Broken(message)
            }
        }
        WsError::Url(_) => SignalError::Refused(with_sources(&error)),
        WsError::Io(io) if is_tls && is_no_tls(io) => SignalError::Broken(
            "the server does not speak TLS there: give ws: or another port".to_owned(),
        ),
        WsError::HttpFormat(_) | WsError::Protocol(_) if !is_tls => SignalError::Broken(format!(
            "{}: if the server speaks TLS there, give wss:",
            with_sources(&error)
        )),
        _ => SignalError::Broken(with_sources(&error)),
    }
}

/// Whether the other side answered the first message of TLS with something else.
fn is_no_tls(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|e| e.downcast_ref());
    matches!(tls, Some(rustls::Error::InvalidMessage(_)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What comes of an answer that is no WebSocket.
    async fn answered(head: &str) -> SignalError {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: 3\r\n\r\nwhy");
        let answering = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            socket.write_all(head.as_bytes()).await.unwrap();
        });
        let error = Signal::open(&url, "token", Entry::Join).await.err();
        answering.await.unwrap();
        error.expect("it is no WebSocket")
    }

    #[tokio::test]
    async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
        for head in ["429 Too Many Requests", "408 Request Timeout", "502 Bad"] {
            assert!(
                matches!(answered(head).await, SignalError::Broken(_)),
                "{head}"
            );
        }
        for head in ["401 Unauthorized", "404 Not Found"] {
            let error = answered(head).await;
            assert!(
                matches!(&error, SignalError::Refused(why) if why.ends_with(": why")),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_is_elsewhere_is_named() {
        let moved = "301 Moved Permanently\r\nlocation: https://a.example/";
        let error = answered(moved).await.into_message();
        assert!(error.contains("https://a.example/"), "{error}");
    }

    #[test]
    fn addresses_lead_to_the_signalling() {
        let of = |url| address(url, Entry::Join).map(|u| u.to_string());
        assert!(of("ws://a:1").unwrap().starts_with("ws://a:1/rtc?"));
        assert!(
            of("https://a/base/")
                .unwrap()
                .starts_with("wss://a/base/rtc?")
        );
        assert!(of("no address").is_err());
        assert!(of("ftp://a").is_err());
        let resumed = address("ws://a", Entry::Resume("PA_1")).unwrap();
        assert!(resumed.query().unwrap().contains("reconnect=1&sid=PA_1"));
    }

    /// A server that sends the participant away, and takes nothing more. What we say then is answered by the system with a reset.
    #[tokio::test]
    async fn the_last_word_of_a_server_that_closed_is_heard() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            let last = Response::Leave(proto::LeaveRequest {
                reason: proto::DisconnectReason::DuplicateIdentity.into(),
                ..Default::default()
            });
            let last = proto::SignalResponse {
                message: Some(last),
            };
            let last = WsMessage::Binary(last.encode_to_vec().into());
            futures_util::SinkExt::send(&mut socket, last)
                .await
                .unwrap();
            socket.get_ref().set_zero_linger().unwrap();
        });
        let mut signal = Signal::open(&url, "token", Entry::Join).await.unwrap();
        serving.await.unwrap();
        // The reset is here before we write.
        let reset = signal.socket.get_ref();
        let MaybeTlsStream::Plain(reset) = reset else {
            panic!("no TLS was asked for")
        };
        while reset.take_error().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        signal.send(Request::PingReq(proto::Ping::default()));
        let mut next = async || {
            let next = std::future::poll_fn(|cx| signal.poll(cx));
            tokio::time::timeout(Duration::from_secs(20), next)
                .await
                .expect("in time")
        };
        let word = next().await;
        assert!(
            matches!(&word, Ok(Response::Leave(leave)) if leave.reason() == proto::DisconnectReason::DuplicateIdentity),
            "{word:?}"
        );
        let end = next().await;
        assert!(end.is_err(), "{end:?}");
    }

    /// An address where nobody answers: its queue of connections is full.
    async fn silent() -> (SocketAddr, Vec<TcpStream>, tokio::net::TcpListener) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            filling.push(stream);
        }
        (address, filling, listener)
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_costs_a_head_start_and_one_that_refuses_nothing() {
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = good.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refuses = closed.local_addr().unwrap();
        drop(closed);
        let (silent, _filling, _listener) = silent().await;
        for (before, least, most) in [
            // Eight head starts would be 2 s; who waits for the system's own deadline waits for minutes.
            (vec![refuses; 8], 0, 2_000),
            (vec![silent], 250, 10_000),
            (vec![silent, refuses, silent], 500, 10_000),
        ] {
            let begun = std::time::Instant::now();
            let addresses = [before.clone(), vec![address]].concat();
            let stream = first(addresses).await.unwrap();
            let took = begun.elapsed().as_millis();
            assert_eq!(stream.peer_addr().unwrap(), address);
            assert!((least..most).contains(&took), "{took} ms behind {before:?}");
        }
        let none = first(vec![refuses]).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first(Vec::new()).await.is_err());
    }

    #[test]
    fn families_of_addresses_take_turns() {
        let read = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let given = read(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let taken = read(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(alternating(given), taken);
        assert!(alternating(Vec::new()).is_empty());
    }
}
