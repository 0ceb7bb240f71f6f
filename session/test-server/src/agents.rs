//! Workers and their jobs.

use livekit_protocol as proto;

/// What rooms tell the dispatcher.
pub(crate) enum Notice {
    RoomStarted {
        room: proto::Room,
        agents: Vec<proto::RoomAgentDispatch>,
    },
    ParticipantActive {
        room: proto::Room,
        participant: proto::ParticipantInfo,
    },
    Published {
        room: proto::Room,
        participant: proto::ParticipantInfo,
    },
    ParticipantLeft {
        room: String,
        participant: proto::ParticipantInfo,
    },
    RoomClosed {
        room: String,
    },
}
