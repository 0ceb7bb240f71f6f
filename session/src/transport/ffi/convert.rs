//! The library's words in ours.

use std::collections::HashMap;

use listenkit_livekit_ffi::messages as m;

use crate::transport::{
    DisconnectReason, Participant, ParticipantKind, Track, TrackKind, TrackSource,
};

pub(super) fn participant(info: &m::ParticipantInfo) -> Participant {
    Participant {
        sid: info.sid.clone(),
        identity: info.identity.clone(),
        name: info.name.clone(),
        metadata: info.metadata.clone(),
        attributes: info.attributes.clone(),
        kind: kind(info.kind),
        tracks: Vec::new(),
    }
}

fn kind(kind: i32) -> ParticipantKind {
    match m::ParticipantKind::try_from(kind) {
        Ok(m::ParticipantKind::Standard) => ParticipantKind::Standard,
        Ok(m::ParticipantKind::Ingress) => ParticipantKind::Ingress,
        Ok(m::ParticipantKind::Egress) => ParticipantKind::Egress,
        Ok(m::ParticipantKind::Sip) => ParticipantKind::Sip,
        Ok(m::ParticipantKind::Agent) => ParticipantKind::Agent,
        Ok(m::ParticipantKind::Connector | m::ParticipantKind::Bridge) => {
            ParticipantKind::Connector
        }
        Err(_) => ParticipantKind::Other,
    }
}

pub(super) fn track(info: &m::TrackPublicationInfo) -> Track {
    Track {
        sid: info.sid.clone(),
        name: info.name.clone(),
        kind: track_kind(info.kind),
        source: match m::TrackSource::try_from(info.source) {
            Ok(m::TrackSource::SourceCamera) => TrackSource::Camera,
            Ok(m::TrackSource::SourceMicrophone) => TrackSource::Microphone,
            Ok(m::TrackSource::SourceScreenshare) => TrackSource::Screenshare,
            Ok(m::TrackSource::SourceScreenshareAudio) => TrackSource::ScreenshareAudio,
            Ok(m::TrackSource::SourceUnknown) | Err(_) => TrackSource::Unknown,
        },
        muted: info.muted,
        subscribed: false,
    }
}

pub(super) fn track_kind(kind: i32) -> TrackKind {
    match m::TrackKind::try_from(kind) {
        Ok(m::TrackKind::KindVideo) => TrackKind::Video,
        _ => TrackKind::Audio,
    }
}

pub(super) const fn source(source: TrackSource) -> m::TrackSource {
    match source {
        TrackSource::Unknown => m::TrackSource::SourceUnknown,
        TrackSource::Camera => m::TrackSource::SourceCamera,
        TrackSource::Microphone => m::TrackSource::SourceMicrophone,
        TrackSource::Screenshare => m::TrackSource::SourceScreenshare,
        TrackSource::ScreenshareAudio => m::TrackSource::SourceScreenshareAudio,
    }
}

pub(super) fn reason(reason: i32) -> DisconnectReason {
    use m::DisconnectReason as R;
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
        Ok(R::Migration | R::SipTrunkFailure | R::AgentError) | Err(_) => DisconnectReason::Other,
    }
}

pub(super) fn entries(entries: Vec<m::AttributesEntry>) -> HashMap<String, String> {
    entries.into_iter().map(|e| (e.key, e.value)).collect()
}
