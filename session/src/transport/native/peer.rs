//! One peer connection: its sockets, and the state machine that has none.
//!
//! There are two in a room. We offer the publisher, which brings our audio and data to the server; the server offers the subscriber, which brings us
//! the others'. Everything happens when the room's task feeds a datagram, a description or the time, and what comes of it waits in [`Peer::poll_event`].
//!
//! Sockets are bound to the addresses that lead to the server's: the one that the signalling uses, and others as the server's candidates need
//! them. Addresses of other networks are never told to anybody. Where no UDP comes through, the server's TCP port is tried.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::error::{ProtoError, SctpError};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{Extension, ExtensionValues, RtpWrite, Ssrc};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcError};
use tokio::net::UdpSocket;

use super::data::Lane;
use super::red::{Heard, Unwrap};
use super::sdp::{
    candidates_in, description, is_another, is_tcp_port, parse_candidate, streams_in, ufrag,
};
use super::tcp::Framed;

/// Larger than what a peer sends, which keeps to an MTU of 1,500.
const DATAGRAM: usize = 2048;

/// Datagrams that are taken before the task looks at anything else.
const BURST: usize = 64;

/// Addresses of ours that are used at most: a server with candidates in many networks does not make us open a socket for each.
const SOCKETS: usize = 8;

/// How long UDP is waited for before TCP is tried. A connection stands 0.1 s after the description on a good network, and after its first lost check
/// has been repeated in 1 s on a bad one.
const TCP_AFTER: Duration = Duration::from_secs(2);

/// TCP ports of the server that are tried at most.
const TCP_PORTS: usize = 4;

/// Checks without an answer after which a connection is lost. They come every 3 s, so a dead network is noticed in 15.5 s (measured; 21.5 s with
/// str0m's 9), as LiveKit's library does it in 15.3 s. At 20 % of loss on the way there and back one in 3,000 rows of checks would fail, and a
/// connection that is restored loses nothing.
const STUN_RETRANSMITS: usize = 5;

const REPLACED: &str = "the server has another certificate than before";

/// What a peer tells the room.
#[derive(Debug)]
pub(super) enum PeerEvent {
    /// Media and data can flow.
    Connected,
    /// Nothing has come for long. It may come back.
    Disconnected,
    /// A packet of the remote track on this line.
    Rtp(Mid, Heard),
    Data(Lane, Vec<u8>),
    /// A data channel opened, or has room again.
    Writable,
}

struct Socket {
    address: SocketAddr,
    udp: UdpSocket,
}

type Dialling = Pin<Box<dyn Future<Output = io::Result<Framed>> + Send>>;

/// The way where no UDP comes through.
#[derive(Default)]
struct Tcp {
    /// The server's.
    ports: Vec<Candidate>,
    /// When they are tried, unless there is a connection by then.
    at: Option<Instant>,
    dialling: Vec<Dialling>,
    open: Vec<Framed>,
    /// Whether media took it when last looked at.
    is_used: bool,
}

/// What an offer is to change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Client's ids of tracks to send.
    pub(super) add: Vec<String>,
    /// Lines that end.
    pub(super) stop: Vec<Mid>,
    /// New addresses for everything.
    pub(super) restart: bool,
}

/// A packet to send.
pub(super) struct Outgoing<'a> {
    pub(super) mid: Mid,
    pub(super) sequence: u64,
    pub(super) time: u32,
    pub(super) marker: bool,
    /// RFC 6464: 0 is loudest, 127 silence.
    pub(super) level: u8,
    pub(super) payload: &'a [u8],
}

pub(super) struct Peer {
    rtc: Rtc,
    target: proto::SignalTarget,
    sockets: Vec<Socket>,
    tcp: Tcp,
    /// When the connection wants to be told the time.
    pub(super) wake: Instant,
    /// Candidates that came before the description they belong to.
    early: Vec<Candidate>,
    described: bool,
    pending: Option<SdpPendingOffer>,
    offers: u32,
    channels: Vec<(Lane, ChannelId)>,
    events: VecDeque<PeerEvent>,
    opus: Option<Pt>,
    heard: Unwrap,
    /// Streams of the server by the line that brings them.
    streams: HashMap<Mid, Vec<Ssrc>>,
    connected: bool,
    /// New addresses were offered, and are not in use yet.
    to_check: bool,
    checking: bool,
    /// The server's side became another one.
    replaced: bool,
    /// Descriptions as they were last exchanged, for a resumed connection.
    pub(super) last_offer: Option<proto::SessionDescription>,
    pub(super) last_answer: Option<proto::SessionDescription>,
    /// Time to the server and back.
    pub(super) round_trip: Option<Duration>,
}

/// Our address on the way to `remote`, as the system's routes have it. Nothing is sent.
fn route_to(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdUdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

impl Peer {
    /// The connection that we offer.
    pub(super) fn publisher(local: Option<IpAddr>, now: Instant) -> Self {
        let config = Rtc::builder().clear_codecs().enable_opus(true, false);
        Self::new(config, proto::SignalTarget::Publisher, local, now)
    }

    /// The connection that the server offers.
    pub(super) fn subscriber(local: Option<IpAddr>, now: Instant) -> Self {
        // A line of video can be answered, though it is not asked for.
        let config = Rtc::builder()
            .clear_codecs()
            // With what makes up for lost packets.
            .enable_opus(true, true)
            .enable_vp8(true)
            .enable_h264(true)
            .enable_vp9(true)
            .enable_av1(true);
        Self::new(config, proto::SignalTarget::Subscriber, local, now)
    }

    fn new(
        config: str0m::RtcConfig,
        target: proto::SignalTarget,
        local: Option<IpAddr>,
        now: Instant,
    ) -> Self {
        let config = config
            // Without the numbers of transport-wide congestion control, whose feedback would wake us 20 times a second for one voice.
            .clear_extension_map()
            .set_extension(1, Extension::AudioLevel)
            .set_extension(4, Extension::RtpMid)
            // For the round trip.
            .set_stats_interval(Some(Duration::from_secs(2)))
            .set_rtp_mode(true);
        let mut config = config;
        config.set_max_stun_retransmits(STUN_RETRANSMITS);
        let rtc = config.build(now);
        let opus = rtc
            .codec_config()
            .params()
            .iter()
            .find(|p| p.spec().codec == Codec::Opus)
            .map(|p| p.pt());
        let mut peer = Self {
            rtc,
            target,
            sockets: Vec::new(),
            tcp: Tcp::default(),
            wake: now,
            early: Vec::new(),
            described: false,
            pending: None,
            offers: 0,
            channels: Vec::new(),
            events: VecDeque::new(),
            opus,
            heard: Unwrap::default(),
            streams: HashMap::new(),
            connected: false,
            to_check: false,
            checking: false,
            replaced: false,
            last_offer: None,
            last_answer: None,
            round_trip: None,
        };
        if let Some(ip) = local {
            peer.add_socket(ip);
        }
        peer
    }

    /// Binds a socket to an address of ours that has none yet; gives its candidate.
    fn add_socket(&mut self, ip: IpAddr) -> Option<String> {
        if self.sockets.len() >= SOCKETS || self.sockets.iter().any(|s| s.address.ip() == ip) {
            return None;
        }
        let bound = StdUdpSocket::bind((ip, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        });
        let udp = match bound {
            Ok(udp) => udp,
            Err(error) => {
                tracing::debug!(%ip, %error, "no socket");
                return None;
            }
        };
        let address = udp.local_addr().ok()?;
        let candidate = Candidate::host(address, "udp").ok()?;
        let line = candidate.to_sdp_string();
        self.rtc.add_local_candidate(candidate)?;
        self.sockets.push(Socket { address, udp });
        Some(line)
    }

    /// Uses this address of ours, too; gives its candidate if it is new.
    pub(super) fn use_address(&mut self, ip: IpAddr) -> Option<proto::TrickleRequest> {
        let line = self.add_socket(ip)?;
        Some(self.trickle(&line))
    }

    fn trickle(&self, line: &str) -> proto::TrickleRequest {
        let line = line.trim().trim_start_matches("a=");
        let init = serde_json::json!({ "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0 });
        proto::TrickleRequest {
            candidate_init: init.to_string(),
            target: self.target.into(),
            ..Default::default()
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected && self.rtc.is_alive()
    }

    /// Whether it is connected by what it knows now: after a new beginning of the addresses, by a check that was answered since.
    pub(super) fn is_settled(&self) -> bool {
        self.is_connected() && !self.to_check && !self.checking
    }

    /// Whether nothing can bring this connection back: it failed, the server closed it, or put another one in its place.
    pub(super) fn is_over(&self) -> bool {
        self.replaced || !self.rtc.is_alive()
    }

    /// Whether the server has described its side.
    pub(super) fn is_described(&self) -> bool {
        self.described
    }

    /// Whether an offer waits for its answer: there can be one at a time.
    pub(super) fn is_negotiating(&self) -> bool {
        self.pending.is_some()
    }

    /// Adds the two data channels, and gives the first offer. The server calls a publisher connected only when both exist.
    pub(super) fn first_offer(&mut self) -> Option<proto::SessionDescription> {
        let mut api = self.rtc.sdp_api();
        // Known by their labels once they open.
        let _ = api.add_channel_with_config(ChannelConfig {
            label: "_reliable".into(),
            ..Default::default()
        });
        let _ = api.add_channel_with_config(ChannelConfig {
            label: "_lossy".into(),
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            ..Default::default()
        });
        let (offer, pending) = api.apply()?;
        Some(self.offered(&offer, pending))
    }

    /// Offers changes, and gives the new lines in the order of `add`. Nothing to change, or an offer still out: `None`.
    pub(super) fn offer(
        &mut self,
        changes: &Changes,
    ) -> Option<(proto::SessionDescription, Vec<Mid>)> {
        let old = if changes.restart {
            self.pending.take()
        } else if self.is_negotiating() {
            return None;
        } else {
            None
        };
        for &mid in &changes.stop {
            // Nothing is said about it any more.
            let mut direct = self.rtc.direct_api();
            if let Some(ssrc) = direct.stream_tx_by_mid(mid, None).map(|s| s.ssrc()) {
                direct.remove_stream_tx(ssrc);
            }
        }
        let mut api = self.rtc.sdp_api();
        if let Some(old) = old {
            api.merge(old);
        }
        for &mid in &changes.stop {
            api.set_direction(mid, Direction::Inactive);
        }
        let line = |cid: &String| {
            let (stream, track) = (Some("listenkit".to_owned()), Some(cid.clone()));
            api.add_media(MediaKind::Audio, Direction::SendOnly, stream, track, None)
        };
        let mids = changes.add.iter().map(line).collect();
        if changes.restart {
            api.ice_restart(true);
            self.to_check = true;
        }
        let (offer, pending) = api.apply()?;
        if changes.restart {
            self.tcp = Tcp::default();
        }
        Some((self.offered(&offer, pending), mids))
    }

    fn offered(&mut self, offer: &SdpOffer, pending: SdpPendingOffer) -> proto::SessionDescription {
        self.pending = Some(pending);
        self.offers += 1;
        let offer = description("offer", offer.to_sdp_string(), self.offers);
        self.last_offer = Some(offer.clone());
        self.drain();
        offer
    }

    /// Takes the server's answer, and gives candidates of ours that it made necessary; `None` if it is to an offer that was replaced since.
    pub(super) fn accept_answer(
        &mut self,
        answer: proto::SessionDescription,
        now: Instant,
    ) -> Result<Option<Vec<proto::TrickleRequest>>, String> {
        if answer.id != 0 && answer.id != self.offers {
            return Ok(None);
        }
        let Some(pending) = self.pending.take() else {
            return Ok(None);
        };
        self.replaced |= is_another(self.last_answer.as_ref(), &answer);
        if self.replaced {
            return Err(REPLACED.to_owned());
        }
        let ours = self.reach_all(&answer.sdp);
        let sdp = SdpAnswer::from_sdp_string(&answer.sdp).map_err(|e| e.to_string())?;
        self.rtc
            .sdp_api()
            .accept_answer(pending, sdp)
            .map_err(|e| e.to_string())?;
        self.described(&answer.sdp, now);
        self.last_answer = Some(answer);
        Ok(Some(ours))
    }

    /// Takes the server's offer, gives our answer.
    pub(super) fn accept_offer(
        &mut self,
        offer: proto::SessionDescription,
        now: Instant,
    ) -> Result<proto::SessionDescription, String> {
        let sdp = SdpOffer::from_sdp_string(&offer.sdp).map_err(|e| e.to_string())?;
        self.replaced |= is_another(self.last_offer.as_ref(), &offer);
        if self.replaced {
            return Err(REPLACED.to_owned());
        }
        // What is new of ours is in the answer.
        self.reach_all(&offer.sdp);
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(sdp)
            .map_err(|e| e.to_string())?;
        let answer = description("answer", answer.to_sdp_string(), offer.id);
        let old = self.last_offer.as_ref().and_then(|old| ufrag(&old.sdp));
        if old.is_some_and(|old| Some(old) != ufrag(&offer.sdp)) {
            // The server's ports take a connection for the one that began it.
            self.tcp = Tcp::default();
        }
        self.described(&offer.sdp, now);
        self.forget_streams(&offer.sdp);
        self.last_offer = Some(offer);
        self.last_answer = Some(answer.clone());
        Ok(answer)
    }

    /// A line that is used for another track has another stream. The one before would be kept, reported on and looked at for ever.
    fn forget_streams(&mut self, offer: &str) {
        for (mid, now) in streams_in(offer) {
            let before = self.streams.insert(mid, now.clone()).unwrap_or_default();
            for gone in before.into_iter().filter(|ssrc| !now.contains(ssrc)) {
                self.rtc.direct_api().remove_stream_rx(gone);
            }
        }
    }

    fn described(&mut self, sdp: &str, now: Instant) {
        self.described = true;
        for port in candidates_in(sdp).into_iter().filter(is_tcp_port) {
            self.add_tcp_port(port, now);
        }
        for candidate in std::mem::take(&mut self.early) {
            self.rtc.add_remote_candidate(candidate);
        }
        self.drain();
    }

    /// Takes a candidate of the server; gives one of ours, if there had to be a new one to reach it.
    pub(super) fn add_candidate(
        &mut self,
        init: &str,
        now: Instant,
    ) -> Option<proto::TrickleRequest> {
        let candidate = parse_candidate(init)?;
        if is_tcp_port(&candidate) {
            self.add_tcp_port(candidate, now);
            self.drain();
            return None;
        }
        if candidate.proto() != Protocol::Udp {
            return None;
        }
        let ours = self.reach(&candidate);
        if self.described {
            self.rtc.add_remote_candidate(candidate);
        } else {
            self.early.push(candidate);
        }
        self.drain();
        ours
    }

    /// Makes sure that there is a socket that leads to this candidate; gives the candidate of ours that is new.
    fn reach(&mut self, candidate: &Candidate) -> Option<proto::TrickleRequest> {
        if candidate.proto() != Protocol::Udp {
            return None;
        }
        route_to(candidate.addr()).and_then(|ip| self.use_address(ip))
    }

    fn reach_all(&mut self, sdp: &str) -> Vec<proto::TrickleRequest> {
        let candidates = candidates_in(sdp);
        candidates.iter().filter_map(|c| self.reach(c)).collect()
    }

    fn add_tcp_port(&mut self, candidate: Candidate, now: Instant) {
        let is_known = |port: &Candidate| port.addr() == candidate.addr();
        if self.tcp.ports.len() < TCP_PORTS && !self.tcp.ports.iter().any(is_known) {
            self.tcp.ports.push(candidate);
            self.tcp.at.get_or_insert(now + TCP_AFTER);
        }
    }

    /// Tries the server's TCP ports if UDP has led to nothing.
    fn dial(&mut self, now: Instant) {
        if self.tcp.at.is_none_or(|at| now < at) {
            return;
        }
        self.tcp.at = (!self.described).then(|| now + TCP_AFTER);
        if !self.described || self.is_settled() || !self.rtc.is_alive() {
            return;
        }
        for port in &self.tcp.ports {
            let address = port.addr();
            tracing::debug!(%address, target = ?self.target, "no way over UDP yet: trying TCP");
            self.tcp.dialling.push(Box::pin(Framed::connect(address)));
        }
    }

    /// A TCP port has answered: a way like any other.
    fn add_tcp(&mut self, framed: Framed) {
        let candidate = Candidate::builder()
            .tcp()
            .host(framed.local)
            .tcptype(TcpType::Active)
            .build();
        let port = self.tcp.ports.iter().find(|p| p.addr() == framed.remote);
        let (Ok(candidate), Some(port)) = (candidate, port) else {
            return;
        };
        let port = port.clone();
        self.tcp.open.push(framed);
        self.rtc.add_local_candidate(candidate);
        self.rtc.add_remote_candidate(port);
        self.drain();
    }

    /// Ready when a datagram may have come.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        let mut dialled = Vec::new();
        self.tcp
            .dialling
            .retain_mut(|dialling| match dialling.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    dialled.push(result);
                    false
                }
            });
        for result in dialled {
            match result {
                Ok(framed) => {
                    self.add_tcp(framed);
                    ready = Poll::Ready(());
                }
                Err(error) => tracing::debug!(%error, "no way over TCP"),
            }
        }
        for framed in &self.tcp.open {
            if framed.poll_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        for socket in &self.sockets {
            if socket.udp.poll_recv_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Takes what has come.
    pub(super) fn receive(&mut self, now: Instant) {
        self.receive_tcp(now);
        let mut buffer = [0; DATAGRAM];
        for at in 0..self.sockets.len() {
            for _ in 0..BURST {
                let Some(socket) = self.sockets.get(at) else {
                    return;
                };
                let (len, from) = match socket.udp.try_recv_from(&mut buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // An ICMP answer to something that was sent; the next datagram may be good.
                    Err(_) => continue,
                };
                let destination = socket.address;
                let Some(bytes) = buffer.get(..len) else {
                    continue;
                };
                let Ok(contents) = bytes.try_into() else {
                    continue;
                };
                let input = Input::Receive(
                    now,
                    Receive {
                        proto: Protocol::Udp,
                        source: from,
                        destination,
                        contents,
                    },
                );
                if self.rtc.accepts(&input) {
                    self.settle(|rtc| rtc.handle_input(input));
                }
            }
        }
    }

    fn receive_tcp(&mut self, now: Instant) {
        for at in (0..self.tcp.open.len()).rev() {
            for _ in 0..BURST {
                let Some(framed) = self.tcp.open.get_mut(at) else {
                    break;
                };
                framed.flush();
                let (source, destination) = (framed.remote, framed.local);
                let datagram = match framed.receive() {
                    Ok(Some(datagram)) => datagram,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "the way over TCP has ended");
                        self.tcp.open.remove(at);
                        if self.tcp.is_used && std::mem::take(&mut self.connected) {
                            self.events.push_back(PeerEvent::Disconnected);
                        }
                        break;
                    }
                };
                let Ok(contents) = datagram.as_slice().try_into() else {
                    continue;
                };
                let input = Input::Receive(
                    now,
                    Receive {
                        proto: Protocol::Tcp,
                        source,
                        destination,
                        contents,
                    },
                );
                if self.rtc.accepts(&input) {
                    self.settle(|rtc| rtc.handle_input(input));
                }
            }
        }
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        self.dial(now);
        self.settle(|rtc| rtc.handle_input(Input::Timeout(now)));
    }

    fn settle(&mut self, act: impl FnOnce(&mut Rtc) -> Result<(), RtcError>) {
        if !self.rtc.is_alive() {
            return;
        }
        if let Err(error) = act(&mut self.rtc) {
            self.fail(&error);
        }
        self.drain();
    }

    fn fail(&mut self, error: &RtcError) {
        tracing::warn!(target = ?self.target, %error, "a peer connection failed");
        self.rtc.disconnect();
        self.connected = false;
        self.events.push_back(PeerEvent::Disconnected);
    }

    /// Sends a packet now.
    pub(super) fn send_rtp(&mut self, packet: &Outgoing<'_>, now: Instant) {
        let Some(opus) = self.opus else { return };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(packet.mid, None) else {
            return;
        };
        let payload: Arc<[u8]> = packet.payload.into();
        let write = RtpWrite::new(opus, packet.sequence.into(), packet.time, now, payload);
        let extensions = ExtensionValues {
            audio_level: Some(-i8::try_from(packet.level).unwrap_or(127)),
            voice_activity: Some(packet.level < 127),
            ..Default::default()
        };
        stream.write_rtp(write.marker(packet.marker).ext_vals(extensions));
        self.drain();
        self.handle_time(now);
    }

    /// Gives a message to a data channel; false if it is not open or has no room. One that the channel will never take is dropped.
    pub(super) fn write(&mut self, lane: Lane, bytes: &[u8]) -> bool {
        let Some(&(_, id)) = self.channels.iter().find(|(l, _)| *l == lane) else {
            return false;
        };
        let Some(mut channel) = self.rtc.channel(id) else {
            return false;
        };
        let is_done = match channel.write(true, bytes) {
            Ok(is_written) => is_written,
            Err(RtcError::Sctp(SctpError::Proto(ProtoError::ErrOutboundPacketTooLarge))) => {
                // It would be refused for ever, and what waits behind it with it.
                tracing::warn!(len = bytes.len(), "data is too long for the server");
                true
            }
            Err(_) => false,
        };
        self.drain();
        is_done
    }

    /// Bytes of data that the other side has not confirmed.
    pub(super) fn unconfirmed(&mut self) -> usize {
        let mut bytes = 0;
        for (_, id) in &self.channels {
            if let Some(mut channel) = self.rtc.channel(*id) {
                bytes += channel.buffered_amount();
            }
        }
        bytes
    }

    /// Tells the other side that this is the end.
    pub(super) fn close(&mut self) {
        if self.rtc.is_alive() {
            let _ = self.rtc.close();
            self.drain();
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Sends what the connection has to send and keeps what it has to say, until there is nothing left to do but wait.
    fn drain(&mut self) {
        while self.rtc.is_alive() {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.wake = self.tcp.at.map_or(at, |tcp| tcp.min(at));
                    return;
                }
                Ok(Output::Transmit(send)) if send.proto == Protocol::Tcp => {
                    let mut open = self.tcp.open.iter_mut();
                    let is_it =
                        |t: &&mut Framed| (t.local, t.remote) == (send.source, send.destination);
                    if let Some(framed) = open.find(is_it) {
                        framed.send(&send.contents);
                    }
                }
                Ok(Output::Transmit(send)) => {
                    let socket = self.sockets.iter().find(|s| s.address == send.source);
                    if let Some(socket) = socket {
                        // A full buffer is a lost packet, as on a network; an address that cannot be reached is another network of the server's.
                        let _ = socket.udp.try_send_to(&send.contents, send.destination);
                    }
                }
                Ok(Output::Event(event)) => self.translate(event),
                Err(error) => self.fail(&error),
            }
        }
        // Over: it has no more wishes.
        self.wake = Instant::now() + Duration::from_secs(3600);
    }

    fn translate(&mut self, event: Event) {
        let event = match event {
            Event::Connected => {
                self.connected = true;
                PeerEvent::Connected
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.connected = false;
                PeerEvent::Disconnected
            }
            Event::IceConnectionStateChange(IceConnectionState::Checking) => {
                (self.to_check, self.checking) = (false, true);
                return;
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) => {
                self.checking = false;
                if !self.rtc.is_connected() || std::mem::replace(&mut self.connected, true) {
                    return;
                }
                PeerEvent::Connected
            }
            Event::Closed => {
                self.connected = false;
                PeerEvent::Disconnected
            }
            Event::RtpPacket(packet) => {
                let mut api = self.rtc.direct_api();
                let Some(stream) = api.stream_rx(&packet.header.ssrc) else {
                    return;
                };
                let mid = stream.mid();
                let kind = packet.header.payload_type;
                let mut params = self.rtc.codec_config().params().iter();
                if params.any(|p| p.red() == Some(kind)) {
                    let heard = self.heard.wrapped(mid, &packet);
                    let events = heard.into_iter().map(|h| PeerEvent::Rtp(mid, h));
                    self.events.extend(events);
                    return;
                }
                PeerEvent::Rtp(mid, self.heard.plain(mid, &packet))
            }
            Event::ChannelOpen(id, label) => {
                let lane = match label.as_str() {
                    "_reliable" => Lane::Reliable,
                    "_lossy" => Lane::Lossy,
                    _ => return,
                };
                self.channels.retain(|(l, _)| *l != lane);
                self.channels.push((lane, id));
                PeerEvent::Writable
            }
            Event::ChannelClose(id) => {
                self.channels.retain(|(_, i)| *i != id);
                return;
            }
            Event::ChannelBufferedAmountLow(_) => PeerEvent::Writable,
            Event::ChannelData(data) => {
                let lane = self.channels.iter().find(|(_, id)| *id == data.id);
                let Some(&(lane, _)) = lane else { return };
                PeerEvent::Data(lane, data.data)
            }
            Event::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair;
                if let Some(pair) = &pair {
                    self.tcp.is_used = pair.protocol == Protocol::Tcp;
                }
                let measured = pair.and_then(|p| p.current_round_trip_time).or(stats.rtt);
                self.round_trip = measured.or(self.round_trip);
                return;
            }
            _ => return,
        };
        self.events.push_back(event);
    }

    /// The data channels, for a resumed connection.
    pub(super) fn channel_infos(&mut self) -> Vec<proto::DataChannelInfo> {
        let mut infos = Vec::new();
        for (lane, id) in &self.channels {
            let label = match lane {
                Lane::Reliable => "_reliable",
                Lane::Lossy => "_lossy",
            };
            let stream = self.rtc.direct_api().sctp_stream_id_by_channel_id(*id);
            infos.push(proto::DataChannelInfo {
                label: label.to_owned(),
                id: stream.unwrap_or_default().into(),
                target: self.target.into(),
            });
        }
        infos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_loopback_address_is_loopback() {
        let ip = route_to(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
        assert_eq!(ip, Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[tokio::test]
    async fn addresses_in_an_offer_are_reached_like_those_that_follow_it() {
        let mut server = Rtc::new(Instant::now());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7882));
        server.add_local_candidate(Candidate::host(address, "udp").expect("a good address"));
        let mut api = server.sdp_api();
        api.add_channel("_reliable".to_owned());
        let (offer, _) = api.apply().expect("a change");
        let offer = description("offer", offer.to_sdp_string(), 1);
        // As if the signalling came by another way.
        let now = Instant::now();
        let mut peer = Peer::subscriber(None, now);
        let answer = peer.accept_offer(offer, now).expect("a good offer");
        assert_eq!(peer.sockets.len(), 1);
        let own = peer.sockets[0].address.to_string().replace(':', " ");
        assert!(answer.sdp.contains(&own), "{own} is not in {}", answer.sdp);
    }

    #[tokio::test]
    async fn a_line_that_is_used_again_leaves_no_stream_behind() {
        let now = Instant::now();
        let mut server = Rtc::new(now);
        let mut api = server.sdp_api();
        api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let (offer, _) = api.apply().expect("a change");
        let sdp = offer.to_sdp_string();
        let first = streams_in(&sdp)[0].1[0];
        let second = Ssrc::from(4_000_000_000);
        let mut peer = Peer::subscriber(None, now);
        let mut is_kept = |sdp: String| {
            let offer = description("offer", sdp, 1);
            peer.accept_offer(offer, now).expect("a good offer");
            let mut api = peer.rtc.direct_api();
            [first, second].map(|ssrc| api.stream_rx(&ssrc).is_some())
        };
        assert_eq!(is_kept(sdp.clone()), [true, false]);
        let reused = sdp.replace(&first.to_string(), &second.to_string());
        assert_eq!(is_kept(reused), [false, true]);
    }

    #[tokio::test]
    async fn a_track_that_is_taken_back_leaves_no_stream_behind() {
        let (mut ours, mut theirs) = ends().await;
        let mut change = |changes: Changes, mid: Option<Mid>| {
            let (offer, mids) = ours.offer(&changes).expect("a change");
            let answer = theirs
                .accept_offer(offer, Instant::now())
                .expect("a good offer");
            ours.accept_answer(answer, Instant::now())
                .expect("a good answer");
            let mid = mid.unwrap_or_else(|| mids[0]);
            let mut api = ours.rtc.direct_api();
            (mid, api.stream_tx_by_mid(mid, None).is_some())
        };
        let add = Changes {
            add: vec!["TR_1".to_owned()],
            ..Changes::default()
        };
        let (mid, is_there) = change(add, None);
        assert!(is_there);
        let stop = Changes {
            stop: vec![mid],
            ..Changes::default()
        };
        assert!(!change(stop, Some(mid)).1);
    }

    #[tokio::test]
    async fn a_server_in_place_of_another_is_noticed() {
        let now = Instant::now();
        let offer_of = |server: &mut Rtc| {
            let mut api = server.sdp_api();
            api.add_channel("_reliable".to_owned());
            let (offer, _) = api.apply().expect("a change");
            description("offer", offer.to_sdp_string(), 1)
        };
        let (mut server, mut other) = (Rtc::new(now), Rtc::new(now));
        let mut peer = Peer::subscriber(None, now);
        for _ in 0..2 {
            assert!(peer.accept_offer(offer_of(&mut server), now).is_ok());
            assert!(!peer.is_over());
        }
        assert!(peer.accept_offer(offer_of(&mut other), now).is_err());
        assert!(peer.is_over());
    }

    /// Two ends that are connected; the server's takes messages of 1,000 bytes at most.
    async fn ends() -> (Peer, Peer) {
        let (here, now) = (Some(Ipv4Addr::LOCALHOST.into()), Instant::now());
        let (mut ours, mut theirs) = (Peer::publisher(here, now), Peer::subscriber(here, now));
        let offer = ours.first_offer().expect("two channels");
        let mut answer = theirs
            .accept_offer(offer, Instant::now())
            .expect("a good offer");
        assert!(answer.sdp.contains("a=max-message-size:262144"));
        answer.sdp = answer.sdp.replace("size:262144", "size:1000");
        ours.accept_answer(answer, Instant::now())
            .expect("a good answer");
        run(&mut ours, &mut theirs, |ours, _| ours.channels.len() == 2).await;
        (ours, theirs)
    }

    async fn run(ours: &mut Peer, theirs: &mut Peer, until: impl Fn(&Peer, &Peer) -> bool) {
        let begun = Instant::now();
        while !until(ours, theirs) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it takes too long"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
            for peer in [&mut *ours, &mut *theirs] {
                peer.receive(Instant::now());
                peer.handle_time(Instant::now());
            }
        }
    }

    #[tokio::test]
    async fn a_message_that_the_server_will_never_take_holds_up_no_other() {
        let (mut ours, mut theirs) = ends().await;
        assert!(ours.write(Lane::Reliable, &[1; 2_000]), "it is dropped");
        assert!(ours.write(Lane::Reliable, &[2; 1_000]));
        let is_data = |e: &PeerEvent| matches!(e, PeerEvent::Data(Lane::Reliable, _));
        run(&mut ours, &mut theirs, |_, theirs| {
            theirs.events.iter().any(is_data)
        })
        .await;
        let data = theirs.events.into_iter().find(is_data);
        assert!(matches!(data, Some(PeerEvent::Data(_, bytes)) if bytes == [2; 1_000]));
    }

    #[tokio::test]
    async fn another_address_of_ours_is_used_and_told_once() {
        let (mut ours, _) = ends().await;
        let other = IpAddr::from([127, 0, 0, 2]);
        let told = ours.use_address(other).expect("it is new");
        assert!(told.candidate_init.contains("127.0.0.2"), "{told:?}");
        assert_eq!(told.target(), proto::SignalTarget::Publisher);
        assert!(ours.use_address(other).is_none());
        assert_eq!(ours.sockets.len(), 2);
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_over() {
        let (mut ours, mut theirs) = ends().await;
        assert!(ours.is_connected() && !ours.is_over());
        theirs.close();
        run(&mut ours, &mut theirs, |ours, _| ours.is_over()).await;
        assert!(!ours.is_connected());
    }
}
