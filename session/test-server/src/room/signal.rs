//! What clients ask for in their signalling, and joining itself.

use std::time::Instant;

use livekit_protocol as proto;
use proto::participant_info::State;
use proto::request_response::{Reason as Refusal, Request as About};
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use str0m::media::Mid;
use tokio::sync::mpsc;

use super::participant::{
    Admission, Outgoing, Participant, PublishedTrack, Side, Subscription, SubscriptionState,
    kind_of,
};
use super::{Reason, Room, permission};
use crate::agents::Notice;
use crate::peer::{Peer, sent_media};
use crate::{ids, tokens};

/// The version of LiveKit's server whose behaviour this one follows.
const SERVER_VERSION: &str = "1.13.5";
/// The newest signalling protocol of that server.
const SERVER_PROTOCOL: i32 = 17;
/// How often clients ping, and when they give up, in seconds: as that server tells them.
const PING_INTERVAL: i32 = 5;
const PING_TIMEOUT: i32 = 15;

/// What a server tells of itself.
pub(crate) fn server_info(node: &str) -> proto::ServerInfo {
    proto::ServerInfo {
        version: SERVER_VERSION.into(),
        protocol: SERVER_PROTOCOL,
        node_id: node.to_owned(),
        agent_protocol: 1,
        ..Default::default()
    }
}

impl Room {
    /// Lets somebody in; gives the identifier of the participant.
    pub(super) fn join(&mut self, admission: Admission) -> String {
        let Admission {
            claims,
            client,
            auto_subscribe,
            signal,
            generation,
        } = admission;
        if let Some(older) = self.by_identity(&claims.sub).map(|p| p.info.sid.clone()) {
            self.remove(&older, Reason::DuplicateIdentity, true);
        }
        let now = Instant::now();
        let joined = ids::now_ms();
        let sid = ids::new("PA_");
        let info = proto::ParticipantInfo {
            sid: sid.clone(),
            identity: claims.sub.clone(),
            state: State::Joining.into(),
            name: claims.name.clone(),
            metadata: claims.metadata.clone(),
            attributes: claims.attributes.clone(),
            kind: kind_of(&claims.kind).into(),
            joined_at: joined / 1000,
            joined_at_ms: joined,
            permission: Some(permission(&claims.video)),
            client_protocol: client.client_protocol,
            capabilities: client.capabilities.clone(),
            ..Default::default()
        };
        tracing::info!(
            room = self.info.name,
            identity = info.identity,
            sid,
            "joined"
        );
        let mut participant = Participant {
            info,
            grants: claims.video.clone(),
            primary: match claims.video.can_subscribe() {
                true => Side::Subscriber,
                false => Side::Publisher,
            },
            claims,
            auto_subscribe,
            was_active: false,
            signal: Some(signal),
            generation,
            give_up_at: None,
            publisher: None,
            subscriber: Peer::subscriber(self.local, now),
            early_candidates: Vec::new(),
            announced: Vec::new(),
            tracks: Vec::new(),
            subscriptions: Vec::new(),
            declined: Default::default(),
            withheld: Vec::new(),
            last_sequence: 0,
        };
        participant.tell(Response::Join(self.join_response(&participant)));
        participant.tell(Response::RefreshToken(self.refreshed_token(&participant)));
        if participant.primary == Side::Subscriber
            && let Some((id, sdp)) = participant.subscriber.first_offer()
        {
            participant.tell(offer(id, sdp, &[]));
            participant.tell(candidate(
                &participant.subscriber,
                proto::SignalTarget::Subscriber,
            ));
        }
        self.participants.push(participant);
        self.note_emptiness();
        self.publish_view();
        self.drive(&sid, Side::Subscriber);
        sid
    }

    fn join_response(&self, participant: &Participant) -> proto::JoinResponse {
        let others = self
            .participants
            .iter()
            .filter(|p| p.info.state() == State::Active && !p.grants.hidden);
        proto::JoinResponse {
            room: Some(self.info.clone()),
            participant: Some(participant.info.clone()),
            other_participants: others.map(|p| p.info.clone()).collect(),
            server_version: SERVER_VERSION.into(),
            subscriber_primary: participant.primary == Side::Subscriber,
            ping_timeout: PING_TIMEOUT,
            ping_interval: PING_INTERVAL,
            server_info: Some(server_info(&self.shared.node)),
            enabled_publish_codecs: self.info.enabled_codecs.clone(),
            fast_publish: true,
            ..Default::default()
        }
    }

    /// A token with which the participant can come back, with what it is called now.
    fn refreshed_token(&self, participant: &Participant) -> String {
        let mut claims = participant.claims.clone();
        claims.name.clone_from(&participant.info.name);
        claims.metadata.clone_from(&participant.info.metadata);
        claims.attributes.clone_from(&participant.info.attributes);
        tokens::refreshed(
            &self.shared.options.api_key,
            &self.shared.options.api_secret,
            &claims,
        )
    }

    /// Everybody gets a token that is good for longer.
    pub(super) fn refresh_tokens(&self) {
        for participant in &self.participants {
            participant.tell(Response::RefreshToken(self.refreshed_token(participant)));
        }
    }

    /// Takes a client back whose signalling was interrupted.
    pub(super) fn resume(
        &mut self,
        identity: &str,
        sid: &str,
        signal: mpsc::Sender<Outgoing>,
        generation: u64,
    ) -> bool {
        let node = self.shared.node.clone();
        let Some(participant) = self
            .participant_mut(sid)
            .filter(|p| p.info.identity == identity)
        else {
            return false;
        };
        if let Some(older) = participant.signal.replace(signal) {
            _ = older.try_send(Outgoing::Close);
        }
        participant.generation = generation;
        participant.give_up_at = None;
        tracing::info!(identity, sid, "signalling resumed");
        participant.tell(Response::Reconnect(proto::ReconnectResponse {
            server_info: Some(server_info(&node)),
            last_message_seq: participant.last_sequence,
            ..Default::default()
        }));
        if participant.subscriber.was_offered()
            && let Some((id, sdp)) = participant.subscriber.offer_restart()
        {
            let lines = participant.lines();
            participant.tell(offer(id, sdp, &lines));
            participant.tell(candidate(
                &participant.subscriber,
                proto::SignalTarget::Subscriber,
            ));
        }
        let others = self
            .participants
            .iter()
            .filter(|p| p.info.state() == State::Active);
        let update = proto::ParticipantUpdate {
            participants: others.map(|p| p.info.clone()).collect(),
        };
        self.tell(sid, Response::Update(update));
        self.drive(sid, Side::Subscriber);
        true
    }

    pub(super) fn handle_request(&mut self, sid: &str, request: Request) {
        match request {
            Request::Offer(description) => self.handle_offer(sid, &description),
            Request::Answer(description) => self.handle_answer(sid, &description),
            Request::Trickle(trickle) => self.handle_trickle(sid, &trickle),
            Request::AddTrack(track) => self.announce_track(sid, &track),
            Request::Mute(mute) => {
                self.set_muted(sid, &mute.sid, mute.muted);
            }
            Request::Subscription(update) => {
                let nested = update.participant_tracks.iter().flat_map(|p| &p.track_sids);
                let tracks: Vec<_> = update.track_sids.iter().chain(nested).cloned().collect();
                self.set_subscribed(sid, &tracks, update.subscribe);
            }
            Request::SyncState(sync) => {
                if let Some(subscription) = sync.subscription {
                    self.set_subscribed(sid, &subscription.track_sids, subscription.subscribe);
                }
            }
            Request::UpdateMetadata(update) => self.update_own(sid, update),
            Request::Leave(_) => self.remove(sid, Reason::ClientInitiated, false),
            Request::Ping(timestamp) => self.tell(sid, Response::Pong(timestamp)),
            Request::PingReq(ping) => self.tell(
                sid,
                Response::PongResp(proto::Pong {
                    last_ping_timestamp: ping.timestamp,
                    timestamp: ids::now_ms(),
                }),
            ),
            // Video layers, track permissions, data tracks and blobs: no test needs them.
            other => tracing::debug!(?other, "request ignored"),
        }
    }

    fn handle_offer(&mut self, sid: &str, description: &proto::SessionDescription) {
        let local = self.local;
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        let early = std::mem::take(&mut participant.early_candidates);
        let publisher = participant
            .publisher
            .get_or_insert_with(|| Peer::publisher(local, Instant::now()));
        for candidate in early {
            publisher.add_candidate(&candidate);
        }
        match publisher.accept_offer(&description.sdp) {
            Ok((sdp, is_new)) => {
                let target = proto::SignalTarget::Publisher;
                let trickle = is_new.then(|| candidate(publisher, target));
                participant.tell(Response::Answer(description_of(
                    "answer",
                    sdp,
                    description.id,
                )));
                if let Some(trickle) = trickle {
                    participant.tell(trickle);
                }
            }
            Err(error) => {
                tracing::warn!(
                    identity = participant.info.identity,
                    error,
                    "an offer was refused"
                );
                return;
            }
        }
        self.drive(sid, Side::Publisher);
        self.reconcile_tracks(sid, &description.sdp);
    }

    /// Makes the published tracks those of the client's offer.
    fn reconcile_tracks(&mut self, sid: &str, sdp: &str) {
        let sent = sent_media(sdp);
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        let is_sent =
            |t: &PublishedTrack| sent.iter().any(|s| s.cid == t.cid && s.mid == t.info.mid);
        let gone: Vec<_> = participant
            .tracks
            .extract_if(.., |t| !is_sent(t))
            .map(|t| t.info.sid)
            .collect();
        let mut is_new = false;
        for line in &sent {
            if let Some(index) = participant
                .announced
                .iter()
                .position(|(cid, _)| *cid == line.cid)
            {
                let (cid, mut info) = participant.announced.remove(index);
                info.mid.clone_from(&line.mid);
                participant.tracks.push(PublishedTrack {
                    info,
                    cid,
                    is_subscribed_told: false,
                    ssrc: None,
                    left_out: 0,
                    loudness: (0.0, 0),
                });
                is_new = true;
            }
        }
        if gone.is_empty() && !is_new {
            return;
        }
        participant.info.tracks = participant.tracks.iter().map(|t| t.info.clone()).collect();
        participant.info.is_publisher = !participant.tracks.is_empty();
        let info = participant.info.clone();
        self.end_subscriptions(&gone);
        self.tell_update(sid);
        if is_new {
            self.shared.notify_agents(Notice::Published {
                room: self.info.clone(),
                participant: info,
            });
            self.subscribe_all_to(sid);
        }
    }

    fn handle_answer(&mut self, sid: &str, description: &proto::SessionDescription) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        match participant
            .subscriber
            .accept_answer(&description.sdp, description.id)
        {
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(
                    identity = participant.info.identity,
                    error,
                    "an answer was refused"
                );
                return;
            }
            Ok(true) => {}
        }
        let mut live = Vec::new();
        for subscription in &mut participant.subscriptions {
            if let SubscriptionState::Offered(mid) = subscription.state {
                subscription.state = SubscriptionState::Live(mid);
                live.push((subscription.publisher.clone(), subscription.track.clone()));
            }
        }
        self.drive(sid, Side::Subscriber);
        for (publisher, track) in live {
            let Some(participant) = self.participant_mut(&publisher) else {
                continue;
            };
            let Some(published) = participant.tracks.iter_mut().find(|t| t.info.sid == track)
            else {
                continue;
            };
            if !std::mem::replace(&mut published.is_subscribed_told, true) {
                participant.tell(Response::TrackSubscribed(proto::TrackSubscribed {
                    track_sid: track,
                }));
            }
        }
        self.negotiate(sid);
        self.publish_view();
    }

    fn handle_trickle(&mut self, sid: &str, trickle: &proto::TrickleRequest) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        let side = match trickle.target() {
            proto::SignalTarget::Publisher => Side::Publisher,
            proto::SignalTarget::Subscriber => Side::Subscriber,
        };
        match participant.peer_mut(side) {
            Some(peer) => peer.add_candidate(&trickle.candidate_init),
            None => participant
                .early_candidates
                .push(trickle.candidate_init.clone()),
        }
        self.drive(sid, side);
    }

    fn announce_track(&mut self, sid: &str, request: &proto::AddTrackRequest) {
        let is_encrypted = self.shared.faults.is_encrypted();
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        let refuse = |reason: Refusal, message: &str| {
            Response::RequestResponse(proto::RequestResponse {
                reason: reason.into(),
                message: message.into(),
                request: Some(About::AddTrack(request.clone())),
                ..Default::default()
            })
        };
        if !participant.grants.can_publish() {
            participant.tell(refuse(
                Refusal::NotAllowed,
                "does not have permission to publish",
            ));
            return;
        }
        let (prefix, mime) = match request.r#type() {
            proto::TrackType::Audio => ("TR_AM", "audio/opus"),
            proto::TrackType::Video => ("TR_VC", "video/vp8"),
            proto::TrackType::Data => {
                participant.tell(refuse(Refusal::UnsupportedType, "no data tracks here"));
                return;
            }
        };
        let info = proto::TrackInfo {
            sid: ids::new(prefix),
            r#type: request.r#type,
            name: request.name.clone(),
            muted: request.muted,
            width: request.width,
            height: request.height,
            source: request.source,
            mime_type: mime.into(),
            disable_red: true,
            encryption: match is_encrypted {
                true => proto::encryption::Type::Gcm.into(),
                false => request.encryption,
            },
            stream: if request.stream.is_empty() {
                "camera".into()
            } else {
                request.stream.clone()
            },
            audio_features: request.audio_features.clone(),
            ..Default::default()
        };
        participant.tell(Response::TrackPublished(proto::TrackPublishedResponse {
            cid: request.cid.clone(),
            track: Some(info.clone()),
        }));
        participant.announced.push((request.cid.clone(), info));
    }

    fn set_muted(&mut self, sid: &str, track: &str, muted: bool) -> Option<proto::TrackInfo> {
        let participant = self.participant_mut(sid)?;
        if let Some((_, info)) = participant
            .announced
            .iter_mut()
            .find(|(_, info)| info.sid == track)
        {
            info.muted = muted;
            return Some(info.clone());
        }
        let published = participant
            .tracks
            .iter_mut()
            .find(|t| t.info.sid == track)?;
        published.info.muted = muted;
        let info = published.info.clone();
        participant.info.tracks = participant.tracks.iter().map(|t| t.info.clone()).collect();
        self.tell_update(sid);
        Some(info)
    }

    /// The room service mutes a track: its publisher is told to.
    pub(super) fn mute_published(
        &mut self,
        identity: &str,
        track: &str,
        muted: bool,
    ) -> Option<proto::TrackInfo> {
        let sid = self.by_identity(identity)?.info.sid.clone();
        let info = self.set_muted(&sid, track, muted)?;
        self.tell(
            &sid,
            Response::Mute(proto::MuteTrackRequest {
                sid: track.to_owned(),
                muted,
            }),
        );
        Some(info)
    }

    fn update_own(&mut self, sid: &str, update: proto::UpdateParticipantMetadata) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        let answer = |reason: Refusal, message: &str| {
            Response::RequestResponse(proto::RequestResponse {
                request_id: update.request_id,
                reason: reason.into(),
                message: message.into(),
                request: Some(About::UpdateMetadata(update.clone())),
            })
        };
        if !participant.grants.can_update_own_metadata() {
            participant.tell(answer(
                Refusal::NotAllowed,
                "does not have permission to update own metadata",
            ));
            return;
        }
        participant.apply_update(&update.name, &update.metadata, &update.attributes);
        let answer = answer(Refusal::Ok, "");
        self.tell_update(sid);
        let token = self
            .participant(sid)
            .map(|p| self.refreshed_token(p))
            .unwrap_or_default();
        self.tell(sid, Response::RefreshToken(token));
        self.tell(sid, answer);
    }

    /// The room service changes a participant.
    pub(super) fn update_participant(
        &mut self,
        request: proto::UpdateParticipantRequest,
    ) -> Option<proto::ParticipantInfo> {
        let sid = self.by_identity(&request.identity)?.info.sid.clone();
        let participant = self.participant_mut(&sid)?;
        participant.apply_update(&request.name, &request.metadata, &request.attributes);
        if let Some(permission) = request.permission {
            participant.grants.can_publish = Some(permission.can_publish);
            participant.grants.can_subscribe = Some(permission.can_subscribe);
            participant.grants.can_publish_data = Some(permission.can_publish_data);
            participant.grants.can_update_own_metadata = Some(permission.can_update_metadata);
            participant.grants.hidden = permission.hidden;
            participant.claims.video = participant.grants.clone();
            participant.info.permission = Some(permission);
            self.apply_permission(&sid);
        }
        self.tell_update(&sid);
        let token = self
            .participant(&sid)
            .map(|p| self.refreshed_token(p))
            .unwrap_or_default();
        self.tell(&sid, Response::RefreshToken(token));
        self.participant(&sid).map(|p| p.info.clone())
    }

    /// Ends what a participant may do no longer.
    fn apply_permission(&mut self, sid: &str) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        if !participant.grants.can_subscribe() {
            let heard = participant.subscriptions.iter();
            let heard: Vec<_> = heard
                .map(|s| (s.publisher.clone(), s.track.clone()))
                .collect();
            heard
                .iter()
                .for_each(|(_, track)| participant.unsubscribe(track));
            participant.withheld.extend(heard);
        }
        if !participant.grants.can_publish() {
            let gone: Vec<_> = participant.tracks.drain(..).map(|t| t.info.sid).collect();
            participant.info.tracks.clear();
            participant.info.is_publisher = false;
            for track_sid in &gone {
                participant.tell(Response::TrackUnpublished(
                    proto::TrackUnpublishedResponse {
                        track_sid: track_sid.clone(),
                    },
                ));
            }
            self.end_subscriptions(&gone);
        }
        self.give_back(sid);
        self.negotiate(sid);
    }

    /// Who may hear again hears again what it heard.
    fn give_back(&mut self, sid: &str) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        if !participant.grants.can_subscribe() {
            return;
        }
        for (publisher, track) in std::mem::take(&mut participant.withheld) {
            let is_there = |p: &Participant| p.tracks.iter().any(|t| t.info.sid == track);
            if self.participant(&publisher).is_some_and(is_there) {
                self.subscribe(sid, &publisher, &track);
            }
        }
    }

    fn set_subscribed(&mut self, sid: &str, tracks: &[String], is_wanted: bool) {
        for track in tracks {
            let publisher = self
                .participants
                .iter()
                .find(|p| p.tracks.iter().any(|t| t.info.sid == *track));
            let publisher = publisher.map(|p| p.info.sid.clone());
            let Some(participant) = self.participant_mut(sid) else {
                return;
            };
            if is_wanted {
                participant.declined.remove(track);
                if let Some(publisher) = publisher {
                    self.subscribe(sid, &publisher, track);
                }
            } else {
                participant.declined.insert(track.clone());
                participant.unsubscribe(track);
            }
        }
        self.negotiate(sid);
        self.publish_view();
    }

    /// Everybody who is ready hears what this participant publishes.
    fn subscribe_all_to(&mut self, publisher: &str) {
        let ready = |p: &&Participant| p.info.sid != publisher && p.was_active && p.auto_subscribe;
        let listeners: Vec<_> = self
            .participants
            .iter()
            .filter(ready)
            .map(|p| p.info.sid.clone())
            .collect();
        for listener in listeners {
            self.subscribe_to(&listener, publisher);
            self.negotiate(&listener);
        }
    }

    /// A client's first connection stands: others see it, and it hears what there is.
    pub(super) fn activate(&mut self, sid: &str) {
        let Some(participant) = self.participant_mut(sid).filter(|p| !p.was_active) else {
            return;
        };
        participant.was_active = true;
        participant.info.set_state(State::Active);
        let info = participant.info.clone();
        let auto_subscribe = participant.auto_subscribe;
        self.tell_update(sid);
        self.shared.notify_agents(Notice::ParticipantActive {
            room: self.info.clone(),
            participant: info,
        });
        if auto_subscribe {
            let others: Vec<_> = self
                .participants
                .iter()
                .map(|p| p.info.sid.clone())
                .filter(|other| other != sid)
                .collect();
            for publisher in others {
                self.subscribe_to(sid, &publisher);
            }
        }
        // What was asked for before now, too.
        self.negotiate(sid);
    }

    fn subscribe_to(&mut self, listener: &str, publisher: &str) {
        let Some(tracks) = self.participant(publisher).map(|p| {
            let audio = p
                .tracks
                .iter()
                .filter(|t| t.info.r#type() == proto::TrackType::Audio);
            audio.map(|t| t.info.sid.clone()).collect::<Vec<_>>()
        }) else {
            return;
        };
        for track in tracks {
            self.subscribe(listener, publisher, &track);
        }
    }

    fn subscribe(&mut self, listener: &str, publisher: &str, track: &str) {
        let Some(participant) = self.participant_mut(listener) else {
            return;
        };
        if !participant.grants.can_subscribe() || participant.declined.contains(track) {
            return;
        }
        let same = participant
            .subscriptions
            .iter()
            .any(|s| s.track == track && !matches!(s.state, SubscriptionState::Unwanted(_)));
        if same {
            return;
        }
        participant.subscriptions.push(Subscription {
            track: track.to_owned(),
            publisher: publisher.to_owned(),
            state: SubscriptionState::Wanted,
            turns: None,
        });
        participant.tell(Response::SubscriptionPermissionUpdate(
            proto::SubscriptionPermissionUpdate {
                participant_sid: publisher.to_owned(),
                track_sid: track.to_owned(),
                allowed: true,
            },
        ));
    }

    /// Nobody hears these tracks any more.
    pub(super) fn end_subscriptions(&mut self, tracks: &[String]) {
        if tracks.is_empty() {
            return;
        }
        let mut changed = Vec::new();
        for participant in &mut self.participants {
            if participant
                .subscriptions
                .iter()
                .any(|s| tracks.contains(&s.track))
            {
                tracks
                    .iter()
                    .for_each(|track| participant.unsubscribe(track));
                changed.push(participant.info.sid.clone());
            }
        }
        for sid in changed {
            self.negotiate(&sid);
        }
    }

    /// Offers what changed in what a client hears, unless an offer is still out: then its answer calls again.
    pub(super) fn negotiate(&mut self, sid: &str) {
        let Some(participant) = self.participant_mut(sid) else {
            return;
        };
        if participant.subscriber.is_negotiating() || !participant.was_active {
            return;
        }
        let stop: Vec<Mid> = participant
            .subscriptions
            .iter()
            .filter_map(Subscription::unwanted)
            .collect();
        let wanted = |s: &&mut Subscription| s.state == SubscriptionState::Wanted;
        let lines =
            |s: &mut Subscription| (format!("{}|{}", s.publisher, s.track), s.track.clone());
        let add: Vec<_> = participant
            .subscriptions
            .iter_mut()
            .filter(wanted)
            .map(lines)
            .collect();
        let Some((id, sdp, mids)) = participant.subscriber.offer_changes(&add, &stop) else {
            return;
        };
        participant.subscriptions.retain(|s| s.unwanted().is_none());
        for (subscription, mid) in participant
            .subscriptions
            .iter_mut()
            .filter(|s| s.state == SubscriptionState::Wanted)
            .zip(mids)
        {
            subscription.state = SubscriptionState::Offered(mid);
        }
        let lines = participant.lines();
        participant.tell(offer(id, sdp, &lines));
        self.drive(sid, Side::Subscriber);
    }
}

impl Participant {
    /// Empty texts leave what was; an attribute without a value is taken away.
    fn apply_update(
        &mut self,
        name: &str,
        metadata: &str,
        attributes: &std::collections::HashMap<String, String>,
    ) {
        if !name.is_empty() {
            self.info.name = name.to_owned();
        }
        if !metadata.is_empty() {
            self.info.metadata = metadata.to_owned();
        }
        for (key, value) in attributes {
            if value.is_empty() {
                self.info.attributes.remove(key);
            } else {
                self.info.attributes.insert(key.clone(), value.clone());
            }
        }
    }

    fn unsubscribe(&mut self, track: &str) {
        self.subscriptions
            .retain(|s| s.track != track || s.state != SubscriptionState::Wanted);
        for subscription in self.subscriptions.iter_mut().filter(|s| s.track == track) {
            if let SubscriptionState::Offered(mid) | SubscriptionState::Live(mid) =
                subscription.state
            {
                subscription.state = SubscriptionState::Unwanted(mid);
            }
        }
    }

    /// Which line carries which track.
    fn lines(&self) -> Vec<(Mid, String)> {
        let line = |s: &Subscription| match s.state {
            SubscriptionState::Offered(mid) | SubscriptionState::Live(mid) => {
                Some((mid, s.track.clone()))
            }
            _ => None,
        };
        self.subscriptions.iter().filter_map(line).collect()
    }
}

impl Subscription {
    fn unwanted(&self) -> Option<Mid> {
        match self.state {
            SubscriptionState::Unwanted(mid) => Some(mid),
            _ => None,
        }
    }
}

fn offer(id: u32, sdp: String, lines: &[(Mid, String)]) -> Response {
    let mut description = description_of("offer", sdp, id);
    description.mid_to_track_id = lines
        .iter()
        .map(|(mid, track)| (mid.to_string(), track.clone()))
        .collect();
    Response::Offer(description)
}

fn description_of(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.into(),
        sdp,
        id,
        ..Default::default()
    }
}

fn candidate(peer: &Peer, target: proto::SignalTarget) -> Response {
    Response::Trickle(proto::TrickleRequest {
        candidate_init: peer.local_candidate(),
        target: target.into(),
        r#final: true,
    })
}
