//! Data packets: passed on as they are, with the sender filled in.

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::{Kind, Value};

use super::Room;
use super::participant::Side;
use crate::peer::Lane;

impl Room {
    pub(super) fn handle_data(&mut self, sid: &str, lane: Lane, bytes: &[u8]) {
        let Some(sender) = self.participant(sid) else {
            return;
        };
        if !sender.grants.can_publish_data() {
            return;
        }
        let Ok(mut packet) = proto::DataPacket::decode(bytes) else {
            tracing::warn!(identity = sender.info.identity, "not a data packet");
            return;
        };
        packet.participant_sid.clone_from(&sender.info.sid);
        packet
            .participant_identity
            .clone_from(&sender.info.identity);
        #[expect(deprecated, reason = "clients of some versions still read them")]
        if let Some(Value::User(user)) = &mut packet.value {
            user.participant_sid.clone_from(&sender.info.sid);
            user.participant_identity.clone_from(&sender.info.identity);
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
        let lane = if request.kind == i32::from(Kind::Lossy) {
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
        #[expect(deprecated, reason = "clients of some versions still write them")]
        let (sids, old) = match &packet.value {
            Some(Value::User(user)) => (
                user.destination_sids.as_slice(),
                user.destination_identities.as_slice(),
            ),
            _ => Default::default(),
        };
        let to_all = packet.destination_identities.is_empty() && sids.is_empty() && old.is_empty();
        let bytes = packet.encode_to_vec();
        let mut reached = Vec::new();
        for other in &mut self.participants {
            let info = &other.info;
            let is_meant = to_all
                || packet.destination_identities.contains(&info.identity)
                || old.contains(&info.identity)
                || sids.contains(&info.sid);
            if is_meant && sender != Some(info.sid.as_str()) && other.was_active {
                other.subscriber.send_data(lane, &bytes);
                reached.push(info.sid.clone());
            }
        }
        for sid in reached {
            self.drive(&sid, Side::Subscriber);
        }
    }
}
