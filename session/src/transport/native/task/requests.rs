//! What the application asks of the room, and what the server says to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;

use super::super::data::{self, TextOut};
use super::super::hear::{HEARING, Reader};
use super::super::peer::Changes;
use super::super::publish::{Closed, PUBLISHING, Published};
use super::super::room::{Command, Reply};
use super::super::{convert, publish};
use super::{DATA_WAITING, Step, Task, reply, subscription};
use crate::transport::{DisconnectReason, RoomEvent, Track, TrackKind, TransportError};

impl Task {
    pub(super) fn command(&mut self, command: Command, now: Instant) -> Step {
        match command {
            Command::Leave => return Step::Break(DisconnectReason::ClientInitiated),
            Command::Wake { cid } => {
                if let Some(published) = self.published.iter_mut().find(|p| p.queue.cid == cid) {
                    published.woken(now);
                }
            }
            Command::Subscribe { sid, subscribed } => self.subscribe(sid, subscribed),
            Command::Open {
                sid,
                sample_rate,
                channels,
                reply: to,
            } => {
                let opened = self.heard_track(&sid).and_then(|()| {
                    let (reader, frames) = Reader::open(sid, sample_rate, channels)?;
                    self.readers.add(reader);
                    Ok(frames)
                });
                reply(to, opened);
            }
            Command::Age { sid, reply: to } => {
                let age = self.heard_track(&sid).map(|()| {
                    let way = self.subscriber.round_trip.unwrap_or_default() / 2;
                    self.readers.take_age(&sid).map(|age| age + way)
                });
                reply(to, age);
            }
            Command::Publish {
                published,
                reply: to,
            } => self.publish(*published, to),
            Command::Mute { cid, muted } => self.mute(&cid, muted),
            Command::Unpublish { cid } => self.unpublish(&cid),
            Command::Data {
                payload,
                options,
                reply: to,
            } => {
                let sent = self.data.publish(&payload, &options);
                self.reply_to_sender(to, sent);
            }
            Command::Text {
                text,
                options,
                reply: to,
            } => reply(to, self.data.send_text(&text, &options, now)),
            Command::OpenText { options, reply: to } => {
                let opened = TextOut::open(&options, None, self.data.time_of_day(now));
                let opened = opened.and_then(|(out, header)| {
                    self.data.send(header)?;
                    Ok(out)
                });
                // Who gave up while it was opened has nothing to close it with.
                if let Err(Ok(out)) = to.send(opened) {
                    let _ = self.data.send(out.close(HashMap::new()));
                }
            }
            Command::Packets { packets, reply: to } => {
                let sent = packets.into_iter().try_for_each(|p| self.data.send(p));
                if let Some(to) = to {
                    self.reply_to_sender(to, sent);
                }
            }
            Command::Attributes {
                attributes,
                reply: to,
            } => {
                self.request_id += 1;
                let (name, metadata) = {
                    let state = self.shared.state();
                    (state.local.name.clone(), state.local.metadata.clone())
                };
                self.attributes
                    .insert(self.request_id, (to, attributes.clone()));
                self.attributes.retain(|_, (to, _)| !to.is_closed());
                self.request(Request::UpdateMetadata(proto::UpdateParticipantMetadata {
                    metadata,
                    name,
                    attributes,
                    request_id: self.request_id,
                }));
            }
            Command::Call {
                identity,
                method,
                payload,
                timeout,
                reply: to,
            } => {
                let call = data::Call {
                    identity: &identity,
                    method: &method,
                    payload: &payload,
                    timeout,
                };
                self.data.call(call, to, now);
            }
            Command::Register(method) => self.data.register(&method),
        }
        Step::Continue(())
    }

    /// Says that it is sent; later, while much waits already.
    fn reply_to_sender(&mut self, to: Reply<()>, sent: Result<(), TransportError>) {
        if sent.is_ok() && self.data.waiting() > DATA_WAITING {
            self.blocked.retain(|to| !to.is_closed());
            self.blocked.push(to);
        } else {
            reply(to, sent);
        }
    }

    /// Whether this track can be heard.
    fn heard_track(&self, sid: &str) -> Result<(), TransportError> {
        let mut state = self.shared.state();
        match state.track_mut(sid) {
            Some((_, track)) if track.subscribed => Ok(()),
            _ => Err(TransportError::Refused {
                what: HEARING,
                message: format!("there is no subscribed track {sid}"),
            }),
        }
    }

    fn subscribe(&mut self, sid: String, subscribed: bool) {
        let participant = {
            let state = self.shared.state();
            let owner = state
                .others
                .iter()
                .find(|r| r.participant.tracks.iter().any(|t| t.sid == sid));
            owner.map(|r| r.participant.sid.clone())
        };
        let Some(participant) = participant else {
            return;
        };
        self.wishes.insert(sid.clone(), subscribed);
        self.expected.remove(&sid);
        if subscribed {
            self.asked.insert(sid.clone());
        } else {
            self.asked.remove(&sid);
        }
        self.request(subscription(participant, vec![sid], subscribed));
    }

    fn publish(&mut self, published: Published, to: Reply<()>) {
        self.publishing.insert(published.queue.cid.clone(), to);
        let announcement = announcement(&published);
        self.published.push(published);
        // While the connection is being made anew, all tracks are announced at its end.
        if !self.is_rejoining() {
            self.request(announcement);
        }
    }

    /// Announces all tracks of ours to a server that does not know them.
    pub(super) fn announce_all(&mut self) {
        self.to_add.clear();
        self.to_stop.clear();
        self.offered.clear();
        self.answered.clear();
        let announcements: Vec<Request> = self
            .published
            .iter_mut()
            .map(|published| {
                published.restart();
                announcement(published)
            })
            .collect();
        for request in announcements {
            self.send(request);
        }
    }

    /// The server knows the track: it may be offered.
    pub(super) fn track_published(&mut self, response: proto::TrackPublishedResponse) {
        let cid = response.cid;
        let Some(published) = self.published.iter().find(|p| p.queue.cid == cid) else {
            // Taken back meanwhile.
            return;
        };
        let Some(info) = response.track else { return };
        let old = published.queue.sid();
        published.queue.set_sid(&info.sid);
        let track = Track {
            source: published.options.source,
            muted: published.muted,
            ..convert::track(&info)
        };
        {
            let mut state = self.shared.state();
            state
                .local
                .tracks
                .retain(|t| t.sid != old && t.sid != track.sid);
            state.local.tracks.push(track);
        }
        if published.mid.is_none() && !self.to_add.contains(&cid) {
            self.to_add.push(cid);
        }
        self.negotiate();
    }

    /// The server lets nobody hear a track of ours any more: we lost the permission. Its sender hears of it.
    pub(super) fn taken_back(&mut self, sid: &str) {
        tracing::warn!(sid, "the server took a track back");
        let Some(published) = self.published.iter().find(|p| p.queue.sid() == sid) else {
            return;
        };
        published.queue.close(Closed::Track);
        let cid = published.queue.cid.clone();
        self.unpublish(&cid);
    }

    fn unpublish(&mut self, cid: &str) {
        self.publishing.remove(cid);
        self.to_add.retain(|c| c != cid);
        self.offered.retain(|c| c != cid);
        self.answered.retain(|c| c != cid);
        let Some(at) = self.published.iter().position(|p| p.queue.cid == cid) else {
            return;
        };
        let published = self.published.remove(at);
        let sid = published.queue.sid();
        self.shared.state().local.tracks.retain(|t| t.sid != sid);
        if let Some(mid) = published.mid {
            self.to_stop.push(mid);
            self.negotiate();
        }
    }

    /// Offers what has changed in what we send, unless an offer is still out: then its answer calls again.
    pub(super) fn negotiate(&mut self) {
        if self.signal.is_none() || (self.publisher.is_negotiating() && !self.to_restart) {
            return;
        }
        if self.to_add.is_empty() && self.to_stop.is_empty() && !self.to_restart {
            return;
        }
        let changes = Changes {
            add: std::mem::take(&mut self.to_add),
            stop: std::mem::take(&mut self.to_stop),
            restart: std::mem::take(&mut self.to_restart),
        };
        let Some((offer, mids)) = self.publisher.offer(&changes) else {
            return;
        };
        for (cid, mid) in changes.add.iter().zip(mids) {
            if let Some(published) = self.published.iter_mut().find(|p| p.queue.cid == *cid) {
                published.mid = Some(mid);
            }
        }
        self.offered.extend(changes.add);
        self.send(Request::Offer(offer));
    }

    fn mute(&mut self, cid: &str, muted: bool) {
        let Some(published) = self.published.iter_mut().find(|p| p.queue.cid == cid) else {
            return;
        };
        published.muted = muted;
        let sid = published.queue.sid();
        self.set_own_muted(&sid, muted);
        if !sid.is_empty() {
            self.request(Request::Mute(proto::MuteTrackRequest { sid, muted }));
        }
    }

    fn set_own_muted(&self, sid: &str, muted: bool) {
        let mut state = self.shared.state();
        if let Some(track) = state.local.tracks.iter_mut().find(|t| t.sid == sid) {
            track.muted = muted;
        }
    }

    /// The room service muted a track of ours.
    pub(super) fn muted_by_server(&mut self, mute: &proto::MuteTrackRequest) {
        let (sid, muted) = (mute.sid.clone(), mute.muted);
        let Some(published) = self.published.iter_mut().find(|p| p.queue.sid() == sid) else {
            return;
        };
        published.muted = muted;
        self.set_own_muted(&sid, muted);
        let identity = self.shared.state().local.identity.clone();
        self.emit(if muted {
            RoomEvent::TrackMuted { identity, sid }
        } else {
            RoomEvent::TrackUnmuted { identity, sid }
        });
    }

    pub(super) fn request_response(&mut self, response: proto::RequestResponse) {
        use proto::request_response::{Reason, Request as About};
        let reason = response.reason();
        let message = if response.message.is_empty() {
            format!("{reason:?}")
        } else {
            format!("{reason:?}: {}", response.message)
        };
        if let Some((to, attributes)) = self.attributes.remove(&response.request_id) {
            if reason == Reason::Ok {
                let mut changes = Vec::new();
                self.shared
                    .state()
                    .set_own_attributes(attributes, &mut changes);
                self.apply(changes);
                reply(to, Ok(()));
            } else {
                let what = "cannot set attributes";
                reply(to, Err(TransportError::Refused { what, message }));
            }
            return;
        }
        if !matches!(reason, Reason::Ok | Reason::Queued) {
            if let Some(About::AddTrack(add)) = &response.request
                && let Some(to) = self.publishing.remove(&add.cid)
            {
                let what = PUBLISHING;
                reply(to, Err(TransportError::Refused { what, message }));
                self.unpublish(&add.cid.clone());
                return;
            }
            tracing::warn!("the server refuses a request: {message}");
        }
    }

    /// Tracks that can be heard, for a resumed connection.
    pub(super) fn heard_tracks(&self) -> Vec<proto::ParticipantTracks> {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let tracks = state.others.iter().map(|remote| {
            let wanted = remote.participant.tracks.iter();
            let wanted =
                wanted.filter(|t| t.kind == TrackKind::Audio && self.asked.contains(&t.sid));
            proto::ParticipantTracks {
                participant_sid: remote.participant.sid.clone(),
                track_sids: wanted.map(|t| t.sid.clone()).collect(),
            }
        });
        tracks.filter(|t| !t.track_sids.is_empty()).collect()
    }
}

fn announcement(published: &Published) -> Request {
    announce(&published.queue.cid, published)
}

fn announce(cid: &str, published: &publish::Published) -> Request {
    Request::AddTrack(proto::AddTrackRequest {
        cid: cid.to_owned(),
        name: published.options.name.clone(),
        r#type: proto::TrackType::Audio.into(),
        source: convert::source(published.options.source).into(),
        muted: published.muted,
        // The audio is sent once: what is lost is concealed.
        disable_red: true,
        // Without it listeners are told that there is one channel.
        audio_features: match published.options.channels {
            2 => vec![proto::AudioTrackFeature::TfStereo.into()],
            _ => Vec::new(),
        },
        ..Default::default()
    })
}
