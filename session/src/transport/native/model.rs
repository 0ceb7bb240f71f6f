//! The snapshot of a room, and how what the server says changes it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use livekit_protocol as proto;
use tokio::sync::{mpsc, watch};

use super::convert;
use super::room::Command;
use crate::transport::{DisconnectReason, Participant, RoomEvent, Track};

/// A remote participant.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) participant: Participant,
    /// Tracks of it that are encrypted between the participants, so that we would hear noise.
    pub(super) encrypted: HashSet<String>,
    /// Counts the server's changes to it; older ones may come late.
    version: u32,
}

/// What the room's task makes of a change.
#[derive(Debug)]
pub(super) enum Change {
    /// To be told.
    Event(RoomEvent),
    /// Someone is here who understands this protocol.
    Joined { identity: String, protocol: i32 },
    /// Someone is gone.
    Left { identity: String, sid: String },
    /// A track can be heard no longer.
    Deaf { sid: String },
}

/// The snapshot. Only the room's task writes to it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) sid: String,
    pub(super) connected: bool,
    pub(super) over: bool,
    pub(super) local: Participant,
    pub(super) others: Vec<Remote>,
}

impl State {
    pub(super) fn other(&mut self, identity: &str) -> Option<&mut Participant> {
        let remote = self
            .others
            .iter_mut()
            .find(|r| r.participant.identity == identity);
        remote.map(|r| &mut r.participant)
    }

    /// A remote track and whose it is.
    pub(super) fn track_mut(&mut self, sid: &str) -> Option<(&str, &mut Track)> {
        self.others.iter_mut().find_map(|r| {
            let track = r.participant.tracks.iter_mut().find(|t| t.sid == sid)?;
            Some((r.participant.identity.as_str(), track))
        })
    }

    /// The server's word on the room.
    pub(super) fn set_room(&mut self, room: &proto::Room) {
        self.name.clone_from(&room.name);
        if !room.sid.is_empty() {
            self.sid.clone_from(&room.sid);
        }
    }

    /// We have joined anew: who is not in the list has left.
    pub(super) fn rejoined(
        &mut self,
        others: &[proto::ParticipantInfo],
        changes: &mut Vec<Change>,
    ) {
        for remote in &mut self.others {
            // Counted anew.
            remote.version = 0;
        }
        let is_here = |r: &Remote| others.iter().any(|o| o.identity == r.participant.identity);
        let gone: Vec<String> = self
            .others
            .iter()
            .filter(|r| !is_here(r))
            .map(|r| r.participant.identity.clone())
            .collect();
        for identity in gone {
            self.remove(&identity, DisconnectReason::Unknown, changes);
        }
        for info in others {
            self.update(info, changes);
        }
    }

    /// The server's word on a participant, ours included.
    pub(super) fn update(&mut self, info: &proto::ParticipantInfo, changes: &mut Vec<Change>) {
        if info.identity == self.local.identity {
            if info.state() != proto::participant_info::State::Disconnected {
                let is_same = self.local.sid == info.sid || self.local.sid.is_empty();
                if is_same {
                    update_own(&mut self.local, info, changes);
                }
            }
            return;
        }
        if info.state() == proto::participant_info::State::Disconnected {
            let known = self.other(&info.identity);
            // The end of an earlier life is no news.
            if known.is_some_and(|p| p.sid == info.sid) {
                let reason = convert::reason(info.disconnect_reason);
                self.remove(&info.identity, reason, changes);
            }
            return;
        }
        if self
            .other(&info.identity)
            .is_some_and(|p| p.sid != info.sid)
        {
            self.remove(&info.identity, DisconnectReason::DuplicateIdentity, changes);
        }
        let at = self
            .others
            .iter()
            .position(|r| r.participant.identity == info.identity);
        let remote = match at.and_then(|at| self.others.get_mut(at)) {
            Some(remote) => remote,
            None => {
                let participant = convert::participant(info);
                changes.push(Change::Joined {
                    identity: info.identity.clone(),
                    protocol: info.client_protocol,
                });
                changes.push(Change::Event(RoomEvent::ParticipantConnected(
                    participant.clone(),
                )));
                self.others.push(Remote {
                    participant,
                    encrypted: HashSet::new(),
                    version: 0,
                });
                let at = self.others.len() - 1;
                &mut self.others[at]
            }
        };
        if info.version < remote.version {
            return;
        }
        remote.version = info.version;
        let known = &mut remote.participant;
        update_attributes(known, &info.attributes, changes);
        known.name.clone_from(&info.name);
        known.metadata.clone_from(&info.metadata);
        update_tracks(known, &mut remote.encrypted, info, changes);
    }

    fn remove(&mut self, identity: &str, reason: DisconnectReason, changes: &mut Vec<Change>) {
        let at = self
            .others
            .iter()
            .position(|r| r.participant.identity == identity);
        let Some(at) = at else { return };
        let gone = self.others.remove(at).participant;
        for track in &gone.tracks {
            take_back(identity, track, changes);
        }
        changes.push(Change::Left {
            identity: gone.identity.clone(),
            sid: gone.sid.clone(),
        });
        changes.push(Change::Event(RoomEvent::ParticipantDisconnected {
            participant: gone,
            reason,
        }));
    }

    /// Attributes of ours that the server has taken.
    pub(super) fn set_own_attributes(
        &mut self,
        set: HashMap<String, String>,
        changes: &mut Vec<Change>,
    ) {
        let mut now = self.local.attributes.clone();
        for (key, value) in set {
            if value.is_empty() {
                now.remove(&key);
            } else {
                now.insert(key, value);
            }
        }
        update_attributes(&mut self.local, &now, changes);
    }
}

fn update_own(local: &mut Participant, info: &proto::ParticipantInfo, changes: &mut Vec<Change>) {
    update_attributes(local, &info.attributes, changes);
    local.name.clone_from(&info.name);
    local.metadata.clone_from(&info.metadata);
}

fn update_attributes(
    known: &mut Participant,
    now: &HashMap<String, String>,
    changes: &mut Vec<Change>,
) {
    let mut changed: HashMap<String, String> = now
        .iter()
        .filter(|(key, value)| known.attributes.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let removed = known
        .attributes
        .keys()
        .filter(|key| !now.contains_key(*key));
    changed.extend(removed.map(|key| (key.clone(), String::new())));
    if changed.is_empty() {
        return;
    }
    known.attributes.clone_from(now);
    changes.push(Change::Event(RoomEvent::AttributesChanged {
        identity: known.identity.clone(),
        changed,
    }));
}

fn take_back(identity: &str, track: &Track, changes: &mut Vec<Change>) {
    if track.subscribed {
        changes.push(Change::Deaf {
            sid: track.sid.clone(),
        });
        changes.push(Change::Event(RoomEvent::TrackUnsubscribed {
            identity: identity.to_owned(),
            sid: track.sid.clone(),
        }));
    }
    changes.push(Change::Event(RoomEvent::TrackUnpublished {
        identity: identity.to_owned(),
        sid: track.sid.clone(),
    }));
}

fn update_tracks(
    known: &mut Participant,
    encrypted: &mut HashSet<String>,
    info: &proto::ParticipantInfo,
    changes: &mut Vec<Change>,
) {
    let identity = known.identity.clone();
    let is_gone = |t: &mut Track| !info.tracks.iter().any(|i| i.sid == t.sid);
    for gone in known.tracks.extract_if(.., is_gone) {
        take_back(&identity, &gone, changes);
        encrypted.remove(&gone.sid);
    }
    for info in info.tracks.iter().filter(|i| convert::is_media(i)) {
        let now = convert::track(info);
        let is_encrypted = info.encryption() != proto::encryption::Type::None;
        if is_encrypted && encrypted.insert(now.sid.clone()) {
            tracing::warn!(
                identity,
                sid = now.sid,
                "a track is encrypted end to end: this transport cannot hear it"
            );
        }
        let Some(track) = known.tracks.iter_mut().find(|t| t.sid == now.sid) else {
            known.tracks.push(now.clone());
            changes.push(Change::Event(RoomEvent::TrackPublished {
                identity: identity.clone(),
                track: now,
            }));
            continue;
        };
        track.name = now.name;
        track.source = now.source;
        if std::mem::replace(&mut track.muted, now.muted) != now.muted {
            let (identity, sid) = (identity.clone(), now.sid);
            changes.push(Change::Event(if now.muted {
                RoomEvent::TrackMuted { identity, sid }
            } else {
                RoomEvent::TrackUnmuted { identity, sid }
            }));
        }
    }
}

/// What the room, its task and its tracks share.
pub(super) struct Shared {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// True when the room's task has ended.
    pub(super) ended: watch::Receiver<bool>,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(
        commands: mpsc::UnboundedSender<Command>,
        ended: watch::Receiver<bool>,
    ) -> Self {
        Self {
            commands,
            ended,
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can fail half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the room's task; without one there is nothing to tell.
    pub(super) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}
