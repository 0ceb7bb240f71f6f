//! When the connection breaks: first the server is asked for our place in the room, then we join anew, then it is over.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::leave_request::Action;
use proto::signal_request::Message as Request;

use super::super::peer::Peer;
use super::super::signal::{Signal, SignalError};
use super::super::{after, convert};
use super::{Entered, Greeting, Step, Task, enter};
use crate::transport::{DisconnectReason, RoomEvent};

/// How long our place in the room is asked for. LiveKit's server keeps it for about 20 s.
const RESUMING: Duration = Duration::from_secs(20);

/// How long media may take after the signalling is back.
const MEDIA: Duration = Duration::from_secs(10);

/// A connection that breaks again so soon was none: its tries are counted on.
const STEADY: Duration = Duration::from_secs(10);

/// A server that sends us away closes the connections for media, too, and that may be here before its word about it: so long the word is waited
/// for before anything is asked. Who came back at once would take the place of the one for whose sake we were sent away. Long enough for a
/// word whose packet was lost: TCP sends it again after 0.2 to 1 s, and after twice that.
const FAREWELL: Duration = Duration::from_secs(3);

/// Between tries: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Attempt = Pin<Box<dyn Future<Output = Entered> + Send>>;

/// What is being done about a broken connection.
pub(super) struct Recovery {
    since: Instant,
    /// When it is given up.
    end: Instant,
    tries: u32,
    /// Our place is lost: join anew.
    is_full: bool,
    /// The application knows.
    is_told: bool,
    attempt: Option<Attempt>,
    /// When to try next.
    next: Option<Instant>,
    /// The signalling is back, and media is waited for until then.
    media: Option<Instant>,
}

impl Recovery {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Entered> {
        let Some(attempt) = &mut self.attempt else {
            return Poll::Pending;
        };
        let entered = attempt.as_mut().poll(cx);
        if entered.is_ready() {
            self.attempt = None;
        }
        entered
    }

    pub(super) fn deadline(&self) -> Instant {
        let due = [self.next, self.media].into_iter().flatten();
        due.fold(self.end, Instant::min)
    }

    fn try_again(&mut self, now: Instant) {
        let pause = FIRST_PAUSE * 2u32.saturating_pow(self.tries.min(10));
        // So that the participants of a room do not all come at once.
        let jitter = 0.75 + fastrand::f64() / 2.0;
        self.next = Some(now + pause.min(LONGEST_PAUSE).mul_f64(jitter));
        self.tries += 1;
        self.media = None;
    }

    /// There will be no word of farewell: what remains is the pause between tries.
    fn without_farewell(&mut self, now: Instant) {
        let pause_ends = |next: Instant| next.checked_sub(FAREWELL).map_or(now, |at| at.max(now));
        self.next = self.next.map(pause_ends);
    }
}

impl Task {
    /// The connection is being made anew, not only resumed.
    pub(super) fn is_rejoining(&self) -> bool {
        self.recovery.as_ref().is_some_and(|r| r.is_full)
    }

    /// The signalling broke.
    pub(super) fn lost(&mut self, why: &str, now: Instant) {
        self.signal = None;
        if let Some(recovery) = &mut self.recovery
            && !recovery.is_told
        {
            recovery.without_farewell(now);
        }
        self.broken(why, now, now);
    }

    /// Something broke, and `at` is early enough to do something about it.
    fn broken(&mut self, why: &str, now: Instant, at: Instant) {
        if self.joined.is_some() {
            // Not joined yet: the deadline of joining ends it, or another try.
            tracing::debug!(why, "the connection broke while joining");
        }
        match &mut self.recovery {
            Some(recovery) => {
                if recovery.attempt.is_none() && recovery.next.is_none() {
                    tracing::debug!(why, "the connection broke again");
                    recovery.try_again(now);
                }
            }
            None => {
                tracing::warn!(why, "the connection broke");
                // Joining has a deadline of its own.
                let patience = match self.joined {
                    None => self.reconnect_timeout,
                    Some(_) => Duration::MAX,
                };
                let mut recovery = Recovery {
                    since: now,
                    end: after(at, patience),
                    tries: 0,
                    is_full: false,
                    is_told: false,
                    attempt: None,
                    next: Some(at),
                    media: None,
                };
                if let Some((since, tries, ended)) = self.recovered
                    && now < ended + STEADY
                {
                    recovery.since = since;
                    recovery.end = after(since, patience);
                    recovery.tries = tries;
                    recovery.try_again(at);
                }
                self.recovery = Some(recovery);
            }
        }
        if self.signal.is_none() {
            self.tell_broken();
        }
        // A place in the room without a connection for media is none.
        if (self.publisher.is_over() || self.subscriber.is_over())
            && let Some(recovery) = &mut self.recovery
        {
            recovery.is_full = true;
        }
    }

    /// The application is told once that the connection is being restored.
    fn tell_broken(&mut self) {
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        if !std::mem::replace(&mut recovery.is_told, true) && self.joined.is_none() {
            self.shared.state().connected = false;
            self.emit(RoomEvent::Reconnecting);
        }
    }

    /// Nothing comes through one of the connections.
    pub(super) fn media_lost(&mut self, which: &str, now: Instant) {
        let is_over = self.publisher.is_over() || self.subscriber.is_over();
        match &mut self.recovery {
            None if is_over => self.broken(&format!("{which} was closed"), now, now + FAREWELL),
            None => self.lost(&format!("{which} has stopped"), now),
            // It is waited for in vain.
            Some(recovery) if is_over => {
                recovery.media = recovery.media.map(|at| at.min(now + FAREWELL));
            }
            Some(_) => {}
        }
    }

    pub(super) fn told_to_leave(&mut self, leave: &proto::LeaveRequest, now: Instant) -> Step {
        let reason = convert::reason(leave.reason);
        tracing::debug!(?reason, action = ?leave.action(), "the server ends the connection");
        match leave.action() {
            Action::Resume => self.lost("the server wants it resumed", now),
            Action::Reconnect => {
                self.lost("the server wants it made anew", now);
                if let Some(recovery) = &mut self.recovery {
                    recovery.is_full = true;
                }
            }
            Action::Disconnect if leave.can_reconnect => {
                self.lost("the server wants it made anew", now);
                if let Some(recovery) = &mut self.recovery {
                    recovery.is_full = true;
                }
            }
            Action::Disconnect => {
                self.signal = None;
                return Step::Break(reason);
            }
        }
        Step::Continue(())
    }

    /// Does what is due about a broken connection.
    pub(super) fn recover(&mut self, now: Instant) -> Step {
        let Some(recovery) = &mut self.recovery else {
            return Step::Continue(());
        };
        if now >= recovery.end {
            return ControlFlow::Break(DisconnectReason::ConnectionLost);
        }
        if recovery.media.is_some_and(|at| at <= now) {
            tracing::debug!("the signalling is back, but no media");
            recovery.is_full = true;
            recovery.try_again(now);
            self.signal = None;
        }
        if recovery.next.is_some_and(|at| at <= now) {
            recovery.next = None;
            self.signal = None;
            if now >= recovery.since + RESUMING {
                recovery.is_full = true;
            }
            let sid = self.shared.state().local.sid.clone();
            let resume = (!recovery.is_full).then_some(sid);
            tracing::debug!(tries = recovery.tries, resume, "coming back");
            recovery.attempt = Some(Box::pin(enter(
                self.url.clone(),
                self.token.clone(),
                resume,
            )));
            self.tell_broken();
        }
        Step::Continue(())
    }

    /// A try has come to something.
    pub(super) fn entered(&mut self, entered: Entered, now: Instant) -> Step {
        let Some(recovery) = &mut self.recovery else {
            return Step::Continue(());
        };
        match entered {
            Ok((signal, Greeting::Resumed(response))) => {
                recovery.media = Some(now + MEDIA);
                self.resumed(signal, &response, now);
            }
            Ok((signal, Greeting::Joined(join))) => {
                recovery.media = Some(now + MEDIA);
                recovery.is_full = true;
                self.rejoined(signal, &join, now);
            }
            Ok((_, Greeting::Left(leave))) => {
                tracing::debug!(reason = ?leave.reason(), action = ?leave.action(), "not let in");
                match leave.action() {
                    Action::Disconnect if !leave.can_reconnect => {
                        return Step::Break(convert::reason(leave.reason));
                    }
                    Action::Resume => recovery.try_again(now),
                    Action::Disconnect | Action::Reconnect => {
                        // Our place is gone; that is known at once, so there is no reason to wait.
                        let was_full = std::mem::replace(&mut recovery.is_full, true);
                        if was_full {
                            recovery.try_again(now);
                        } else {
                            recovery.next = Some(now);
                        }
                    }
                }
            }
            Err(SignalError::Refused(why)) => {
                tracing::warn!(why, "not let in");
                if std::mem::replace(&mut recovery.is_full, true) {
                    return Step::Break(DisconnectReason::ConnectionLost);
                }
                recovery.next = Some(now);
            }
            Err(SignalError::Broken(why)) => {
                tracing::debug!(why, "no connection");
                recovery.try_again(now);
            }
        }
        Step::Continue(())
    }

    /// The server has kept our place.
    fn resumed(&mut self, signal: Signal, response: &proto::ReconnectResponse, now: Instant) {
        let local = signal.local;
        self.signal = Some(signal);
        self.ping = now + self.ping_interval;
        self.unanswered = None;
        let subscription = proto::UpdateSubscription {
            track_sids: Vec::new(),
            subscribe: true,
            participant_tracks: self.heard_tracks(),
        };
        let tracks = subscription.participant_tracks.iter();
        let track_sids = tracks.flat_map(|t| t.track_sids.iter().cloned()).collect();
        let mut data_channels = self.publisher.channel_infos();
        data_channels.extend(self.subscriber.channel_infos());
        let publish_tracks = {
            let state = self.shared.state();
            let of = |sid: &str| state.local.tracks.iter().find(|t| t.sid == sid).cloned();
            let info = |p: &super::Published| {
                let track = of(&p.queue.sid())?;
                Some(proto::TrackPublishedResponse {
                    cid: p.queue.cid.clone(),
                    track: Some(proto::TrackInfo {
                        sid: track.sid,
                        name: track.name,
                        r#type: proto::TrackType::Audio.into(),
                        source: convert::source(track.source).into(),
                        muted: track.muted,
                        mid: p.mid.map(|m| m.to_string()).unwrap_or_default(),
                        disable_red: true,
                        ..Default::default()
                    }),
                })
            };
            self.published.iter().filter_map(info).collect()
        };
        self.send(Request::SyncState(proto::SyncState {
            answer: self.subscriber.last_answer.clone(),
            offer: self.subscriber.last_offer.clone(),
            subscription: Some(proto::UpdateSubscription {
                track_sids,
                ..subscription
            }),
            publish_tracks,
            data_channels,
            datachannel_receive_states: self.data.receive_states(),
            ..Default::default()
        }));
        // Our address may be another one than when it broke.
        if let Some(ip) = local {
            for peer in [&mut self.publisher, &mut self.subscriber] {
                if let (Some(ours), Some(signal)) = (peer.use_address(ip), &mut self.signal) {
                    signal.send(Request::Trickle(ours));
                }
            }
        }
        self.data.resumed(response.last_message_seq);
        self.to_restart = true;
        self.negotiate();
    }

    /// We have joined anew.
    fn rejoined(&mut self, signal: Signal, join: &proto::JoinResponse, now: Instant) {
        self.publisher = Peer::publisher(signal.local, now);
        self.subscriber = Peer::subscriber(signal.local, now);
        self.signal = Some(signal);
        self.lines.clear();
        self.asked.clear();
        self.to_restart = false;
        self.data.restarted();
        {
            let state = self.shared.state();
            let tracks = state.others.iter().flat_map(|r| &r.participant.tracks);
            self.expected = tracks
                .filter(|t| t.subscribed)
                .map(|t| t.sid.clone())
                .collect();
        }
        // What was asked of the old connection; what still holds is asked of the new one.
        let held = std::mem::take(&mut self.held);
        let kept = |r: &Request| matches!(r, Request::UpdateMetadata(_));
        self.held = held.into_iter().filter(kept).collect();
        self.begin(join, false);
        self.announce_all();
    }

    /// Says so when everything is back.
    pub(super) fn is_recovered(&mut self, now: Instant) -> Step {
        let is_back = self.recovery.as_ref().is_some_and(|r| r.media.is_some())
            && self.signal.is_some()
            && (self.subscriber.is_settled() || !(self.hears || self.subscriber.is_described()))
            && self.publisher.is_settled();
        if !is_back {
            return Step::Continue(());
        }
        if let Some(recovery) = self.recovery.take() {
            self.recovered = Some((recovery.since, recovery.tries, now));
        }
        for request in std::mem::take(&mut self.held) {
            self.send(request);
        }
        self.negotiate();
        if self.joined.is_none() {
            self.shared.state().connected = true;
            self.emit(RoomEvent::Reconnected);
        }
        Step::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_that_does_not_come_leaves_the_pause_between_tries() {
        let now = Instant::now();
        let mut recovery = Recovery {
            since: now,
            end: now + Duration::from_secs(60),
            tries: 0,
            is_full: false,
            is_told: false,
            attempt: None,
            next: Some(now + FAREWELL),
            media: None,
        };
        recovery.without_farewell(now + Duration::from_millis(10));
        assert_eq!(recovery.next, Some(now + Duration::from_millis(10)));
        recovery.tries = 5;
        recovery.try_again(now + FAREWELL);
        recovery.without_farewell(now);
        let pause = recovery.next.expect("there is a next try") - now;
        assert!((3.75..=6.25).contains(&pause.as_secs_f64()), "{pause:?}");
    }
}
