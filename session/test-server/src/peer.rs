//! One peer connection of a client, as the room drives it: no socket, no clock, no task of its own.
//!
//! A client has two. It offers the publisher, which brings its audio and data; the server offers the subscriber, which
//! brings it everybody else's. Everything in here happens when the room feeds a datagram, a description or the time,
//! and what comes out waits in `poll`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{DatagramSend, Protocol, Receive};
use str0m::rtp::{Extension, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcError};

/// Most bytes of data that wait for a client that does not read. What comes after is dropped, as a test's client that
/// stopped reading is beyond help.
const MAX_QUEUED_DATA: usize = 8 << 20;

/// Most candidates that wait for their description.
const MAX_EARLY: usize = 64;

/// Which data channel a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Reliable,
    Lossy,
}

impl Lane {
    fn from_label(label: &str) -> Option<Self> {
        match label {
            "_reliable" => Some(Self::Reliable),
            "_lossy" => Some(Self::Lossy),
            _ => None,
        }
    }
}

/// What a peer tells the room.
pub(crate) enum PeerEvent {
    Transmit { to: SocketAddr, bytes: DatagramSend },
    Connected,
    Disconnected,
    Data { lane: Lane, bytes: Vec<u8> },
    Rtp(Box<RtpPacket>),
}

/// A line of the publisher's offer on which the client sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SentMedia {
    pub(crate) mid: String,
    /// The client's name of the track, which its AddTrack request has too.
    pub(crate) cid: String,
}

pub(crate) struct Peer {
    rtc: Rtc,
    local: SocketAddr,
    /// When the connection wants to be told the time.
    pub(crate) wake: Instant,
    /// Candidates that came before the description they belong to.
    early: Vec<String>,
    /// User name (ufrag) of the client's newest description; none before the first.
    remote_user: Option<String>,
    /// Name of the first line of the description, to which candidates belong.
    first_mid: String,
    pending: Option<SdpPendingOffer>,
    offers: u32,
    channels: Vec<(Lane, ChannelId)>,
    queued: VecDeque<(Lane, Vec<u8>)>,
    queued_bytes: usize,
    opus: Option<Pt>,
}

impl Peer {
    /// The connection that the client offers.
    pub(crate) fn publisher(local: SocketAddr, now: Instant) -> Self {
        // Lines of video are answered though nothing is done with them: a client's library aborts on an answer without codecs.
        let config = Rtc::builder().clear_codecs().enable_opus(true, false);
        Self::new(
            config
                .enable_vp8(true)
                .enable_vp9(true)
                .enable_h264(true)
                .enable_av1(true),
            local,
            now,
        )
    }

    /// The connection that the server offers.
    pub(crate) fn subscriber(local: SocketAddr, now: Instant) -> Self {
        Self::new(
            Rtc::builder().clear_codecs().enable_opus(true, false),
            local,
            now,
        )
    }

    fn new(config: str0m::RtcConfig, local: SocketAddr, now: Instant) -> Self {
        // As a real server has them for audio. Feedback for every packet would tell clients about a loopback's bandwidth.
        let config = config
            .clear_extension_map()
            .set_extension(1, Extension::AudioLevel)
            .set_extension(4, Extension::RtpMid);
        let mut rtc = config.set_rtp_mode(true).build(now);
        let candidate = Candidate::host(local, "udp")
            .expect("a bound loopback address is a valid host candidate");
        rtc.add_local_candidate(candidate);
        let opus = rtc
            .codec_config()
            .params()
            .iter()
            .find(|p| p.spec().codec == Codec::Opus)
            .map(|p| p.pt());
        Self {
            rtc,
            local,
            wake: now,
            early: Vec::new(),
            remote_user: None,
            first_mid: String::new(),
            pending: None,
            offers: 0,
            channels: Vec::new(),
            queued: VecDeque::new(),
            queued_bytes: 0,
            opus,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// Ends the connection; what tells the client so comes from `poll`.
    pub(crate) fn close(&mut self) {
        _ = self.rtc.close();
    }

    /// The server's own address as a trickled candidate. Clients refuse one that is not for a line of theirs.
    pub(crate) fn local_candidate(&self) -> String {
        let candidate =
            Candidate::host(self.local, "udp").expect("was accepted by the constructor");
        let line = candidate.to_sdp_string();
        let line = line.trim().trim_start_matches("a=");
        serde_json::json!({ "candidate": line, "sdpMid": self.first_mid, "sdpMLineIndex": 0, "usernameFragment": null }).to_string()
    }

    /// Takes the client's offer, gives the answer and whether a candidate must follow: the transport is new.
    pub(crate) fn accept_offer(&mut self, sdp: &str) -> Result<(String, bool), String> {
        let offer = SdpOffer::from_sdp_string(sdp).map_err(|e| e.to_string())?;
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|e| e.to_string())?;
        let is_new = self.described(sdp);
        Ok((self.local_description(&answer.to_sdp_string()), is_new))
    }

    /// Adds the two data channels, and gives the first offer.
    pub(crate) fn first_offer(&mut self) -> Option<(u32, String)> {
        let mut api = self.rtc.sdp_api();
        let reliable = api.add_channel_with_config(ChannelConfig {
            label: "_reliable".into(),
            ..Default::default()
        });
        let lossy = api.add_channel_with_config(ChannelConfig {
            label: "_lossy".into(),
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            ..Default::default()
        });
        _ = (reliable, lossy); // Known by their labels once they open.
        let (offer, pending) = api.apply()?;
        Some(self.offered(&offer, pending))
    }

    /// Whether the client knows of this connection.
    pub(crate) fn was_offered(&self) -> bool {
        self.offers > 0
    }

    /// Whether an offer waits for its answer: there can be one at a time.
    pub(crate) fn is_negotiating(&self) -> bool {
        self.pending.is_some()
    }

    /// Offers to start sending `add` (stream, track) and to stop sending `stop`. Nothing to change, or an offer still
    /// out: `None`. Gives the offer's number, its text and the new lines in the order of `add`.
    pub(crate) fn offer_changes(
        &mut self,
        add: &[(String, String)],
        stop: &[Mid],
    ) -> Option<(u32, String, Vec<Mid>)> {
        if self.is_negotiating() {
            return None;
        }
        let mut api = self.rtc.sdp_api();
        for &mid in stop {
            api.stop_media(mid);
        }
        let line = |(stream, track): &(String, String)| {
            api.add_media(
                MediaKind::Audio,
                Direction::SendOnly,
                Some(stream.clone()),
                Some(track.clone()),
                None,
            )
        };
        let mids = add.iter().map(line).collect();
        let (offer, pending) = api.apply()?;
        let (id, sdp) = self.offered(&offer, pending);
        Some((id, sdp, mids))
    }

    /// Offers new transport addresses for everything, after the client's signalling came back.
    pub(crate) fn offer_restart(&mut self) -> Option<(u32, String)> {
        let pending = self.pending.take();
        let mut api = self.rtc.sdp_api();
        if let Some(pending) = pending {
            api.merge(pending);
        }
        api.ice_restart(true);
        let (offer, pending) = api.apply()?;
        Some(self.offered(&offer, pending))
    }

    fn offered(&mut self, offer: &SdpOffer, pending: SdpPendingOffer) -> (u32, String) {
        self.pending = Some(pending);
        self.offers += 1;
        (self.offers, self.local_description(&offer.to_sdp_string()))
    }

    /// What the client is sent. Candidates go in messages of their own, as a real server's do: clients must cope with that.
    fn local_description(&mut self, sdp: &str) -> String {
        self.first_mid = sdp
            .lines()
            .find_map(|line| line.strip_prefix("a=mid:"))
            .unwrap_or_default()
            .to_owned();
        let is_kept = |line: &&str| {
            !line.starts_with("a=candidate") && !line.starts_with("a=end-of-candidates")
        };
        sdp.split_inclusive('\n').filter(is_kept).collect()
    }

    /// Takes the client's answer. An answer to an offer that was replaced since is ignored.
    pub(crate) fn accept_answer(&mut self, sdp: &str, id: u32) -> Result<bool, String> {
        if id != 0 && id != self.offers {
            return Ok(false);
        }
        let Some(pending) = self.pending.take() else {
            return Ok(false);
        };
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(|e| e.to_string())?;
        self.rtc
            .sdp_api()
            .accept_answer(pending, answer)
            .map_err(|e| e.to_string())?;
        self.described(sdp);
        Ok(true)
    }

    /// Whether the description is of a new transport.
    fn described(&mut self, sdp: &str) -> bool {
        let user = sdp
            .lines()
            .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
            .map(|user| user.trim_end().to_owned());
        let is_new = user.is_some() && user != self.remote_user;
        self.remote_user = user.or_else(|| Some(String::new()));
        for candidate in std::mem::take(&mut self.early) {
            self.add_candidate(&candidate);
        }
        is_new
    }

    /// Takes a candidate of the client, as the JSON text of the trickle message. Only UDP over IPv4 can reach a loopback socket.
    pub(crate) fn add_candidate(&mut self, init: &str) {
        let Ok(parsed) = serde_json::from_str::<serde_json::Value>(init) else {
            return;
        };
        let line = parsed
            .get("candidate")
            .and_then(|c| c.as_str())
            .unwrap_or_default();
        let Ok(candidate) = Candidate::from_sdp_string(line) else {
            return;
        };
        if candidate.proto() != Protocol::Udp || !candidate.addr().is_ipv4() {
            return;
        }
        let mut fields = line.split(' ').skip_while(|field| *field != "ufrag");
        let user = fields.nth(1);
        match &self.remote_user {
            Some(remote) if user.is_none_or(|user| user == remote) => {
                self.rtc.add_remote_candidate(candidate);
            }
            // Of a description that is still under way: the first, or that of a restart.
            _ if self.early.len() < MAX_EARLY => self.early.push(init.to_owned()),
            _ => {}
        }
    }

    /// Whether this datagram is for this connection.
    pub(crate) fn accepts(&self, from: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        self.receive(from, bytes, now)
            .is_some_and(|input| self.rtc.accepts(&input))
    }

    pub(crate) fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if let Some(input) = self.receive(from, bytes, now) {
            self.settle(|rtc| rtc.handle_input(input));
        }
    }

    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.settle(|rtc| rtc.handle_input(Input::Timeout(now)));
    }

    fn receive<'a>(&self, from: SocketAddr, bytes: &'a [u8], now: Instant) -> Option<Input<'a>> {
        let contents = bytes.try_into().ok()?;
        Some(Input::Receive(
            now,
            Receive {
                proto: Protocol::Udp,
                source: from,
                destination: self.local,
                contents,
            },
        ))
    }

    fn settle(&mut self, act: impl FnOnce(&mut Rtc) -> Result<(), RtcError>) {
        if !self.rtc.is_alive() {
            return;
        }
        if let Err(error) = act(&mut self.rtc) {
            tracing::warn!(%error, "a peer connection failed");
            self.rtc.disconnect();
        }
    }

    /// The line that a stream of packets came on.
    pub(crate) fn mid_of(&mut self, packet: &RtpPacket) -> Option<Mid> {
        self.rtc
            .direct_api()
            .stream_rx(&packet.header.ssrc)
            .map(|stream| stream.mid())
    }

    /// Sends an Opus packet on `mid`. `poll` brings the datagram at once.
    pub(crate) fn send_rtp(&mut self, mid: Mid, sequence: u64, packet: &RtpPacket, now: Instant) {
        let Some(opus) = self.opus else { return };
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, None) {
            let time = packet.header.timestamp;
            let write = RtpWrite::new(opus, sequence.into(), time, now, packet.payload.clone());
            let extensions = ExtensionValues {
                audio_level: packet.header.ext_vals.audio_level,
                voice_activity: packet.header.ext_vals.voice_activity,
                ..Default::default()
            };
            stream.write_rtp(write.marker(packet.header.marker).ext_vals(extensions));
            self.handle_time(now);
        }
    }

    /// Sends on a data channel. Reliable data waits for the channel to open and for room in its buffer; lossy data does not.
    pub(crate) fn send_data(&mut self, lane: Lane, bytes: &[u8]) {
        if self.queued.is_empty() && self.write(lane, bytes) {
            return;
        }
        let is_kept = lane == Lane::Reliable && self.queued_bytes + bytes.len() <= MAX_QUEUED_DATA;
        if is_kept {
            self.queued_bytes += bytes.len();
            self.queued.push_back((lane, bytes.to_vec()));
        } else if lane == Lane::Lossy {
            self.write(lane, bytes);
        } else {
            tracing::warn!("data dropped: the client does not read");
        }
    }

    fn write(&mut self, lane: Lane, bytes: &[u8]) -> bool {
        let channel = self
            .channels
            .iter()
            .find(|(l, _)| *l == lane)
            .and_then(|(_, id)| self.rtc.channel(*id));
        channel.is_some_and(|mut channel| matches!(channel.write(true, bytes), Ok(true)))
    }

    fn write_queued(&mut self) {
        while let Some((lane, bytes)) = self.queued.pop_front() {
            if !self.write(lane, &bytes) {
                self.queued.push_front((lane, bytes));
                return;
            }
            self.queued_bytes -= bytes.len();
        }
    }

    /// What came of the last input, until there is nothing left to do but wait.
    pub(crate) fn poll(&mut self) -> Option<PeerEvent> {
        loop {
            if !self.rtc.is_alive() {
                return None;
            }
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.wake = at;
                    return None;
                }
                Ok(Output::Transmit(send)) => {
                    return Some(PeerEvent::Transmit {
                        to: send.destination,
                        bytes: send.contents,
                    });
                }
                Ok(Output::Event(event)) => {
                    if let Some(event) = self.translate(event) {
                        return Some(event);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a peer connection failed");
                    self.rtc.disconnect();
                    return Some(PeerEvent::Disconnected);
                }
            }
        }
    }

    fn translate(&mut self, event: Event) -> Option<PeerEvent> {
        match event {
            Event::Connected => Some(PeerEvent::Connected),
            Event::IceConnectionStateChange(state) if state.is_disconnected() => {
                Some(PeerEvent::Disconnected)
            }
            Event::Closed => Some(PeerEvent::Disconnected),
            Event::RtpPacket(packet) => Some(PeerEvent::Rtp(Box::new(packet))),
            Event::ChannelOpen(id, label) => {
                self.channels
                    .extend(Lane::from_label(&label).map(|lane| (lane, id)));
                self.write_queued();
                None
            }
            Event::ChannelBufferedAmountLow(_) => {
                self.write_queued();
                None
            }
            Event::ChannelData(data) => {
                let lane = self
                    .channels
                    .iter()
                    .find(|(_, id)| *id == data.id)
                    .map(|(lane, _)| *lane)?;
                Some(PeerEvent::Data {
                    lane,
                    bytes: data.data,
                })
            }
            _ => None,
        }
    }
}

/// The lines of an offer on which the client sends something with a name.
pub(crate) fn sent_media(sdp: &str) -> Vec<SentMedia> {
    let mut sent = Vec::new();
    for section in sdp.split("\nm=").skip(1) {
        let attribute = |name: &str| {
            section
                .lines()
                .find_map(|line| line.trim().strip_prefix("a=")?.strip_prefix(name))
                .unwrap_or_default()
        };
        let sends = section
            .lines()
            .any(|line| matches!(line.trim(), "a=sendonly" | "a=sendrecv"));
        let cid = attribute("msid:").split(' ').nth(1).unwrap_or_default();
        if sends && !cid.is_empty() {
            sent.push(SentMedia {
                mid: attribute("mid:").to_owned(),
                cid: cid.to_owned(),
            });
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_send_are_published() {
        let sdp = "v=0\r\nm=audio 9 UDP 111\r\na=mid:7\r\na=sendonly\r\na=msid:stream one\r\n\
                   m=audio 9 UDP 111\r\na=mid:8\r\na=recvonly\r\na=msid:stream two\r\n\
                   m=application 9 UDP\r\na=mid:9\r\n";
        assert_eq!(
            sent_media(sdp),
            [SentMedia {
                mid: "7".into(),
                cid: "one".into()
            }]
        );
    }
}
