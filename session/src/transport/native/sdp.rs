//! What descriptions and candidates say, as far as we have to read them ourselves.

use livekit_protocol as proto;
use str0m::Candidate;
use str0m::media::Mid;
use str0m::net::{Protocol, TcpType};
use str0m::rtp::Ssrc;

/// Whether the server's side is another one than before, as when we were moved to another machine. Keys are agreed upon only once.
pub(super) fn is_another(
    before: Option<&proto::SessionDescription>,
    now: &proto::SessionDescription,
) -> bool {
    let certificate = |d: &proto::SessionDescription| {
        let mut lines = d.sdp.lines();
        lines.find_map(|line| line.strip_prefix("a=fingerprint:").map(str::to_owned))
    };
    let (before, now) = (before.and_then(certificate), certificate(now));
    before.is_some() && now.is_some() && before != now
}

/// The candidates in a description.
pub(super) fn candidates_in(sdp: &str) -> Vec<Candidate> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
    lines
        .filter(|line| line.starts_with("candidate:"))
        .filter_map(|line| Candidate::from_sdp_string(line.trim_end()).ok())
        .collect()
}

/// The candidate in the JSON text of a trickle message.
pub(super) fn parse_candidate(init: &str) -> Option<Candidate> {
    let init: serde_json::Value = serde_json::from_str(init).ok()?;
    let line = init.get("candidate")?.as_str()?;
    Candidate::from_sdp_string(line).ok()
}

/// Whether a server waits for connections there.
pub(super) fn is_tcp_port(candidate: &Candidate) -> bool {
    candidate.proto() == Protocol::Tcp && candidate.tcptype() != Some(TcpType::Active)
}

/// By which the checks of a way are known, until a restart.
pub(super) fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines()
        .find_map(|line| line.trim().strip_prefix("a=ice-ufrag:"))
}

pub(super) fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp,
        id,
        ..Default::default()
    }
}

/// The streams that an offer names for each line; none of a line that names none.
pub(super) fn streams_in(sdp: &str) -> Vec<(Mid, Vec<Ssrc>)> {
    let mut named = Vec::new();
    for section in sdp.split("\nm=").skip(1) {
        let attributes = || section.lines().filter_map(|l| l.trim().strip_prefix("a="));
        let mid = attributes().find_map(|a| a.strip_prefix("mid:"));
        let number = |a: &str| {
            a.strip_prefix("ssrc:")?
                .split(' ')
                .next()?
                .parse::<u32>()
                .ok()
        };
        let mut streams: Vec<Ssrc> = attributes().filter_map(number).map(Ssrc::from).collect();
        streams.dedup();
        if let Some(mid) = mid.filter(|_| !streams.is_empty()) {
            named.push((Mid::from(mid), streams));
        }
    }
    named
}

/// The lines of an offer on which the server sends a track: line and sid of the track. Newer servers say it beside the offer, older ones
/// only in it.
pub(super) fn sent_tracks(offer: &proto::SessionDescription) -> Vec<(Mid, String)> {
    let mut sent = Vec::new();
    for section in offer.sdp.split("\nm=").skip(1) {
        let attribute = |name: &str| {
            section
                .lines()
                .find_map(|line| line.trim().strip_prefix("a=")?.strip_prefix(name))
        };
        let is_refused = section
            .lines()
            .next()
            .and_then(|line| line.split(' ').nth(1))
            == Some("0");
        let sends = section
            .lines()
            .any(|line| matches!(line.trim(), "a=sendonly" | "a=sendrecv"));
        let Some(mid) = attribute("mid:").filter(|_| sends && !is_refused) else {
            continue;
        };
        let sid = offer.mid_to_track_id.get(mid).cloned().or_else(|| {
            let msid = attribute("msid:")?;
            // The stream may name the track, too, and is then the one to trust: `PA_x|TR_y`.
            let mut words = msid.split([' ', '|']);
            words
                .find(|word| word.starts_with("TR_"))
                .map(str::to_owned)
        });
        if let Some(sid) = sid {
            sent.push((Mid::from(mid), sid));
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[test]
    fn tracks_are_found_beside_the_offer_and_in_it() {
        let sdp = "v=0\r\nm=audio 9 UDP 111\r\na=mid:0\r\na=sendonly\r\na=msid:PA_1|TR_a TR_a\r\n\
                   m=audio 9 UDP 111\r\na=mid:1\r\na=inactive\r\na=msid:PA_1|TR_b TR_b\r\n\
                   m=audio 9 UDP 111\r\na=mid:2\r\na=sendrecv\r\na=msid:PA_2 x\r\n\
                   m=audio 0 UDP 111\r\na=mid:3\r\na=sendonly\r\na=msid:PA_2|TR_d y\r\n\
                   m=application 9 UDP\r\na=mid:4\r\n";
        let mut offer = description("offer", sdp.to_owned(), 1);
        offer
            .mid_to_track_id
            .insert("2".to_owned(), "TR_c".to_owned());
        let expected = [("0", "TR_a"), ("2", "TR_c")].map(|(m, t)| (Mid::from(m), t.to_owned()));
        assert_eq!(sent_tracks(&offer), expected);
    }

    #[test]
    fn candidates_are_read_from_json() {
        let text =
            r#"{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host","sdpMid":"0"}"#;
        let candidate = parse_candidate(text).expect("a candidate");
        assert_eq!(
            candidate.addr(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 7882))
        );
        assert!(parse_candidate("{}").is_none() && parse_candidate("").is_none());
    }
}
