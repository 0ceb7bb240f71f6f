//! Audio from publishers to subscribers, and who speaks.

use std::collections::VecDeque;
use std::time::Instant;

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use str0m::rtp::RtpPacket;

use super::Room;
use super::participant::{Side, SubscriptionState};
use crate::peer::PeerEvent;

/// Louder than this, in dB below full scale, is speech: the threshold of LiveKit's server (`active_level`).
const SPEECH_LEVEL: f32 = 35.0;

/// Packets held back by a fault, in the order of their times.
#[derive(Default)]
pub(super) struct Delayed(VecDeque<(Instant, String, Box<RtpPacket>)>);

impl Delayed {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.front().map(|(due, ..)| *due)
    }
}

impl Room {
    /// Carries out what came of the last input to a connection.
    pub(super) fn drive(&mut self, sid: &str, side: Side) {
        loop {
            let peer = self
                .participants
                .iter_mut()
                .find(|p| p.info.sid == sid)
                .and_then(|p| p.peer_mut(side));
            let Some(event) = peer.and_then(crate::peer::Peer::poll) else {
                return;
            };
            match event {
                PeerEvent::Transmit { to, bytes } => self.transmit(to, &bytes),
                PeerEvent::Rtp(packet) => self.handle_rtp(sid, packet),
                PeerEvent::Data { lane, bytes } => self.handle_data(sid, lane, &bytes),
                PeerEvent::Connected => {
                    if self.participant(sid).is_some_and(|p| p.primary == side) {
                        self.activate(sid);
                    }
                }
                PeerEvent::Disconnected => self.note_media_lost(sid, side),
            }
        }
    }

    /// Media that ends before the signalling comes back: the client is gone for good.
    fn note_media_lost(&mut self, sid: &str, side: Side) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        tracing::debug!(identity = participant.info.identity, ?side, "media lost");
        if side == participant.primary && participant.signal.is_none() {
            participant.give_up_at = Some(Instant::now());
        }
    }

    fn handle_rtp(&mut self, sid: &str, packet: Box<RtpPacket>) {
        if self.shared.faults.loses_packet() {
            return;
        }
        match self.shared.faults.media_delay() {
            None => self.forward(sid, &packet),
            Some(delay) => {
                self.delayed
                    .0
                    .push_back((Instant::now() + delay, sid.to_owned(), packet))
            }
        }
    }

    pub(super) fn send_delayed(&mut self, now: Instant) {
        while self.delayed.next_due().is_some_and(|due| due <= now) {
            if let Some((_, sid, packet)) = self.delayed.0.pop_front() {
                self.forward(&sid, &packet);
            }
        }
    }

    fn forward(&mut self, sid: &str, packet: &RtpPacket) {
        let Some(publisher) = self.participants.iter_mut().find(|p| p.info.sid == sid) else {
            return;
        };
        let ssrc = *packet.header.ssrc;
        let known = publisher.tracks.iter().position(|t| t.ssrc == Some(ssrc));
        let index = known.or_else(|| {
            let mid = publisher.publisher.as_mut()?.mid_of(packet)?.to_string();
            publisher.tracks.iter().position(|t| t.info.mid == mid)
        });
        let Some(track) = index.and_then(|index| publisher.tracks.get_mut(index)) else {
            return;
        };
        track.ssrc = Some(ssrc);
        // Padding without audio: to pass it on would make decoders conceal a loss that is none.
        if packet.payload.is_empty() {
            track.left_out += 1;
            return;
        }
        if let Some(level) = packet.header.ext_vals.audio_level {
            track.loudness.0 += f32::from(level).abs();
            track.loudness.1 += 1;
        }
        let sequence = packet.seq_no.wrapping_sub(track.left_out);
        let track = track.info.sid.clone();
        let now = Instant::now();
        let mut listeners = Vec::new();
        for listener in &mut self.participants {
            for subscription in &mut listener.subscriptions {
                if let SubscriptionState::Live(mid) = subscription.state
                    && subscription.track == track
                {
                    // A receiver has not seen the turns of the 16-bit counter before it joined.
                    let turns = *subscription.turns.get_or_insert(sequence & !0xffff);
                    listener
                        .subscriber
                        .send_rtp(mid, sequence.wrapping_sub(turns), packet, now);
                    listeners.push(listener.info.sid.clone());
                }
            }
        }
        for listener in listeners {
            self.drive(&listener, Side::Subscriber);
        }
    }

    /// Tells who speaks, if that changed.
    pub(super) fn tell_speakers(&mut self) {
        let mut now: Vec<(String, f32)> = Vec::new();
        for participant in &mut self.participants {
            let mut loudest: Option<f32> = None;
            for track in &mut participant.tracks {
                let (sum, count) = std::mem::take(&mut track.loudness);
                if count > 0 && !track.info.muted {
                    let mean = sum / count as f32;
                    loudest = Some(loudest.map_or(mean, |l| l.min(mean)));
                }
            }
            if let Some(level) = loudest.filter(|level| *level <= SPEECH_LEVEL) {
                now.push((participant.info.sid.clone(), 10f32.powf(-level / 20.0)));
            }
        }
        let before = std::mem::replace(&mut self.speakers, now);
        let speaker = |(sid, level): &(String, f32), active| proto::SpeakerInfo {
            sid: sid.clone(),
            level: *level,
            active,
        };
        let is_in = |list: &[(String, f32)], sid: &str| list.iter().any(|(other, _)| other == sid);
        let started = self
            .speakers
            .iter()
            .filter(|s| !is_in(&before, &s.0))
            .map(|s| speaker(s, true));
        let stopped = before
            .iter()
            .filter(|s| !is_in(&self.speakers, &s.0))
            .map(|s| speaker(&(s.0.clone(), 0.0), false));
        let speakers: Vec<_> = started.chain(stopped).collect();
        if !speakers.is_empty() {
            let changed = Response::SpeakersChanged(proto::SpeakersChanged { speakers });
            self.participants
                .iter()
                .for_each(|p| p.tell(changed.clone()));
        }
    }
}
