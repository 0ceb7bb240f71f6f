//! The server's words in ours.

use livekit_protocol as proto;

use crate::transport::{
    DisconnectReason, Participant, ParticipantKind, Track, TrackKind, TrackSource,
};

/// A participant without its tracks.
pub(super) fn participant(info: &proto::ParticipantInfo) -> Participant {
    use proto::participant_info::Kind;
    Participant {
        sid: info.sid.clone(),
        identity: info.identity.clone(),
        name: info.name.clone(),
        metadata: info.metadata.clone(),
        attributes: info.attributes.clone(),
        kind: match Kind::try_from(info.kind) {
            Ok(Kind::Standard) => ParticipantKind::Standard,
            Ok(Kind::Ingress) => ParticipantKind::Ingress,
            Ok(Kind::Egress) => ParticipantKind::Egress,
            Ok(Kind::Sip) => ParticipantKind::Sip,
            Ok(Kind::Agent) => ParticipantKind::Agent,
            Ok(Kind::Connector | Kind::Bridge) => ParticipantKind::Connector,
            Err(_) => ParticipantKind::Other,
        },
        tracks: Vec::new(),
    }
}

pub(super) fn track(info: &proto::TrackInfo) -> Track {
    use proto::TrackSource as S;
    Track {
        sid: info.sid.clone(),
        name: info.name.clone(),
        kind: match info.r#type() {
            proto::TrackType::Video => TrackKind::Video,
            _ => TrackKind::Audio,
        },
        source: match info.source() {
            S::Camera => TrackSource::Camera,
            S::Microphone => TrackSource::Microphone,
            S::ScreenShare => TrackSource::Screenshare,
            S::ScreenShareAudio => TrackSource::ScreenshareAudio,
            S::Unknown => TrackSource::Unknown,
        },
        muted: info.muted,
        subscribed: false,
    }
}

/// Whether this is a track of the kinds that the trait has.
pub(super) fn is_media(info: &proto::TrackInfo) -> bool {
    matches!(
        proto::TrackType::try_from(info.r#type),
        Ok(proto::TrackType::Audio | proto::TrackType::Video)
    )
}

pub(super) fn source(source: TrackSource) -> proto::TrackSource {
    use proto::TrackSource as S;
    match source {
        TrackSource::Unknown => S::Unknown,
        TrackSource::Camera => S::Camera,
        TrackSource::Microphone => S::Microphone,
        TrackSource::Screenshare => S::ScreenShare,
        TrackSource::ScreenshareAudio => S::ScreenShareAudio,
    }
}

pub(super) fn reason(reason: i32) -> DisconnectReason {
    use proto::DisconnectReason as R;
    match R::try_from(reason) {
        Ok(R::UnknownReason) => DisconnectReason::Unknown,
        Ok(R::ClientInitiated) => DisconnectReason::ClientInitiated,
        Ok(R::DuplicateIdentity) => DisconnectReason::DuplicateIdentity,
        Ok(R::ServerShutdown) => DisconnectReason::ServerShutdown,
        Ok(R::ParticipantRemoved) => DisconnectReason::ParticipantRemoved,
        Ok(R::RoomDeleted) => DisconnectReason::RoomDeleted,
        Ok(R::StateMismatch) => DisconnectReason::StateMismatch,
        Ok(R::JoinFailure) => DisconnectReason::JoinFailure,
        Ok(R::RoomClosed) => DisconnectReason::RoomClosed,
        Ok(R::UserUnavailable) => DisconnectReason::UserUnavailable,
        Ok(R::UserRejected) => DisconnectReason::UserRejected,
        Ok(R::SignalClose | R::ConnectionTimeout | R::MediaFailure) => {
            DisconnectReason::ConnectionLost
        }
        _ => DisconnectReason::Other,
    }
}
