//! Data packets: passed on as they are, with the sender filled in as LiveKit's server does it.

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::{Kind as DataKind, Value};
use proto::data_stream::header::ContentHeader;
use proto::participant_info::Kind;

use super::Room;
use crate::peer::Lane;

impl Room {
    pub(super) fn handle_data(&mut self, sid: &str, lane: Lane, bytes: &[u8]) {
        let Some(sender) = self
            .participant_mut(sid)
            .filter(|p| p.grants.can_publish_data())
        else {
            return;
        };
        let Ok(mut packet) = proto::DataPacket::decode(bytes) else {
            tracing::warn!(identity = sender.info.identity, "not a data packet");
            return;
        };
        if lane == Lane::Reliable && packet.sequence > 0 {
            // Packets that a client sends once more after it resumed.
            if packet.sequence <= sender.last_sequence {
                return;
            }
            sender.last_sequence = packet.sequence;
        }
        let identity = if sender.grants.hidden {
            String::new()
        } else {
            sender.info.identity.clone()
        };
        let is_agent = sender.info.kind() == Kind::Agent;
        // Agents alone may speak for somebody else: transcripts are those of the participant who said it.
        let is_for_other = is_agent
            && !packet.participant_identity.is_empty()
            && packet.participant_identity != identity;
        let mut keeps_identity = false;
        match &mut packet.value {
            #[expect(
                deprecated,
                reason = "clients of some versions still read and write them"
            )]
            Some(Value::User(user)) => {
                user.participant_sid.clone_from(&sender.info.sid);
                user.participant_identity.clone_from(&identity);
                if packet.destination_identities.is_empty() {
                    packet
                        .destination_identities
                        .clone_from(&user.destination_identities);
                } else {
                    user.destination_identities
                        .clone_from(&packet.destination_identities);
                }
            }
            Some(Value::ChatMessage(chat)) if is_for_other => {
                chat.generated = true;
                keeps_identity = true;
            }
            Some(Value::StreamHeader(header)) if is_for_other => {
                if let Some(ContentHeader::TextHeader(text)) = &mut header.content_header {
                    text.generated = true;
                    keeps_identity = true;
                }
            }
            Some(Value::Transcription(_)) if !is_agent => return,
            Some(Value::Metrics(_)) | None => return,
            _ => {}
        }
        packet.participant_sid.clone_from(&sender.info.sid);
        if !keeps_identity {
            packet.participant_identity = identity;
        }
        self.send_packet(lane, &packet, Some(sid));
    }

    /// Data that the room service sends: from nobody.
    pub(super) fn send_service_data(&mut self, request: proto::SendDataRequest) {
        #[expect(deprecated, reason = "the field is the only way to say it")]
        let user = proto::UserPacket {
            payload: request.data,
            topic: request.topic,
            destination_sids: request.destination_sids,
            destination_identities: request.destination_identities.clone(),
            ..Default::default()
        };
        let lane = if request.kind == i32::from(DataKind::Lossy) {
            Lane::Lossy
        } else {
            Lane::Reliable
        };
        #[expect(deprecated, reason = "clients of some versions still read it")]
        let packet = proto::DataPacket {
            kind: request.kind,
            destination_identities: request.destination_identities,
            value: Some(Value::User(user)),
            ..Default::default()
        };
        self.send_packet(lane, &packet, None);
    }

    fn send_packet(&mut self, lane: Lane, packet: &proto::DataPacket, sender: Option<&str>) {
        #[expect(deprecated, reason = "the room service's clients still write them")]
        let sids = match &packet.value {
            Some(Value::User(user)) => user.destination_sids.as_slice(),
            _ => Default::default(),
        };
        let to_all = packet.destination_identities.is_empty() && sids.is_empty();
        let bytes = packet.encode_to_vec();
        let mut reached = Vec::new();
        for other in &mut self.participants {
            let info = &other.info;
            let is_meant = to_all
                || packet.destination_identities.contains(&info.identity)
                || sids.contains(&info.sid);
            if is_meant && sender != Some(info.sid.as_str()) && other.was_active {
                let (sid, primary) = (info.sid.clone(), other.primary);
                if let Some(peer) = other.peer_mut(primary) {
                    peer.send_data(lane, &bytes);
                }
                reached.push((sid, primary));
            }
        }
        for (sid, primary) in reached {
            self.drive(&sid, primary);
        }
    }
}
