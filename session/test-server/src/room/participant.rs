//! One participant: what others see of it, its two connections, what it publishes and what it hears.

use std::collections::HashSet;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_token::{Claims, VideoGrants};
use proto::participant_info::Kind;
use proto::signal_response::Message as Response;
use str0m::media::Mid;
use tokio::sync::mpsc;

use crate::peer::Peer;

/// What a client's WebSocket is told to do.
pub(crate) enum Outgoing {
    Message(Box<proto::SignalResponse>),
    /// Close it as protocol has it.
    Close,
    /// Drop the connection without a word.
    Cut,
}

/// Somebody whose token was found good.
pub(crate) struct Admission {
    pub(crate) claims: Claims,
    pub(crate) client: proto::ClientInfo,
    pub(crate) auto_subscribe: bool,
    pub(crate) signal: mpsc::Sender<Outgoing>,
    /// Tells this WebSocket from an earlier one of the same participant.
    pub(crate) generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Publisher,
    Subscriber,
}

pub(crate) struct Participant {
    pub(crate) info: proto::ParticipantInfo,
    pub(crate) grants: VideoGrants,
    pub(crate) claims: Claims,
    pub(crate) auto_subscribe: bool,
    /// The connection that makes it active when it stands: the one that it hears with, if it may hear anything.
    pub(crate) primary: Side,
    pub(crate) was_active: bool,
    /// `None` while the signalling is lost.
    pub(crate) signal: Option<mpsc::Sender<Outgoing>>,
    pub(crate) generation: u64,
    pub(crate) give_up_at: Option<Instant>,
    /// Made at the client's first offer.
    pub(crate) publisher: Option<Peer>,
    pub(crate) subscriber: Peer,
    /// Candidates for a publisher that is not there yet.
    pub(crate) early_candidates: Vec<String>,
    /// Announced, but not in an offer yet.
    pub(crate) announced: Vec<(String, proto::TrackInfo)>,
    pub(crate) tracks: Vec<PublishedTrack>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Tracks that the client said it does not want.
    pub(crate) declined: HashSet<String>,
    /// Tracks (publisher, track) that it heard until it lost the right to.
    pub(crate) withheld: Vec<(String, String)>,
    /// Number of the newest reliable data packet.
    pub(crate) last_sequence: u32,
}

/// A track in the publisher's offer.
pub(crate) struct PublishedTrack {
    pub(crate) info: proto::TrackInfo,
    pub(crate) cid: String,
    pub(crate) is_subscribed_told: bool,
    /// The stream it comes on now; a new one after the client swapped its sender.
    pub(crate) ssrc: Option<u32>,
    /// Packets without audio that were left out so far: those after them move up, lest receivers see a loss.
    pub(crate) left_out: u64,
    /// Loudness of the packets since the speakers were told last: sum and count.
    pub(crate) loudness: (f32, u32),
}

/// A track that this participant is to hear.
pub(crate) struct Subscription {
    pub(crate) track: String,
    pub(crate) publisher: String,
    pub(crate) state: SubscriptionState,
    /// What the counter of packets had turned over when the first was passed on.
    pub(crate) turns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionState {
    /// To be in the next offer.
    Wanted,
    /// In the offer that is out.
    Offered(Mid),
    Live(Mid),
    /// To be taken out by the next offer.
    Unwanted(Mid),
}

impl Subscription {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, SubscriptionState::Live(_))
    }
}

impl Participant {
    pub(crate) fn peer(&self, side: Side) -> Option<&Peer> {
        match side {
            Side::Publisher => self.publisher.as_ref(),
            Side::Subscriber => Some(&self.subscriber),
        }
    }

    pub(crate) fn peer_mut(&mut self, side: Side) -> Option<&mut Peer> {
        match side {
            Side::Publisher => self.publisher.as_mut(),
            Side::Subscriber => Some(&mut self.subscriber),
        }
    }

    /// When there is something to do for this participant.
    pub(crate) fn wake(&self) -> Instant {
        let peers = [self.publisher.as_ref(), Some(&self.subscriber)];
        let wakes = peers
            .into_iter()
            .flatten()
            .filter(|peer| peer.is_alive())
            .map(|peer| peer.wake);
        let far = Instant::now() + std::time::Duration::from_secs(60);
        wakes.chain(self.give_up_at).min().unwrap_or(far)
    }

    /// Whether its signalling has been lost for too long.
    pub(crate) fn is_given_up(&self, now: Instant) -> bool {
        self.give_up_at.is_some_and(|at| now >= at)
    }

    /// Agents and recorders keep no room open.
    pub(crate) fn is_dependent(&self) -> bool {
        matches!(self.info.kind(), Kind::Agent | Kind::Egress) || self.grants.recorder
    }

    pub(crate) fn tell(&self, message: Response) {
        let Some(signal) = &self.signal else { return };
        let message = Box::new(proto::SignalResponse {
            message: Some(message),
        });
        if signal.try_send(Outgoing::Message(message)).is_err() {
            tracing::warn!(
                identity = self.info.identity,
                "a message was dropped: the client does not read its signalling"
            );
        }
    }
}

/// Kind of participant by the name that tokens have for it.
pub(crate) fn kind_of(name: &str) -> Kind {
    Kind::from_str_name(&name.to_ascii_uppercase()).unwrap_or(Kind::Standard)
}
