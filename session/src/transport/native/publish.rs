//! Audio of ours: the queue that the application fills, and the clock that empties it.
//!
//! A packet of 20 ms leaves as soon as it is whole; from then on one leaves every 20 ms. When the queue runs dry the listeners are told that
//! there is a pause, and then there is no clock until there is audio again. RTP time goes on with real time, so that listeners know how long the pause was.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use listenkit_rtp_audio::{CLOCK_RATE, Sender, SenderOptions};
use str0m::media::Mid;
use tokio::sync::Notify;

use super::ANSWER;
use super::model::Shared;
use super::peer::{Outgoing, Peer};
use super::room::Command;
use crate::AudioFrame;
use crate::transport::{AudioTrack, PublishOptions, TransportError};

pub(super) const PUBLISHING: &str = "cannot publish the track";
const CAPTURING: &str = "cannot send audio";

/// How long a packet or its second half is waited for before silence takes its place: a sender's own steps are 10 to 20 ms.
const HALF: Duration = Duration::from_millis(20);

/// A sender that has so many packets waiting keeps ahead of the clock. When nothing waits any more, it has come to an end, and is not late.
const AHEAD: usize = 3;

/// A clock that is this late does not try to make up for it.
const LATE: Duration = Duration::from_millis(200);

/// When the task is to be woken for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asleep {
    /// It looks by itself.
    No,
    /// By anything.
    UntilAny,
    /// By a whole packet.
    UntilPacket,
}

/// What is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Room,
    /// The server took the track back.
    Track,
}

impl Closed {
    fn error(self) -> TransportError {
        match self {
            Self::Room => TransportError::Closed,
            Self::Track => TransportError::Refused {
                what: CAPTURING,
                message: "the server took the track back, because we may not publish it any more"
                    .to_owned(),
            },
        }
    }
}

#[derive(Debug)]
struct Inner {
    samples: VecDeque<i16>,
    asleep: Asleep,
    closed: Option<Closed>,
    sid: String,
}

/// What the application's end of a track and the room's task share.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    space: Notify,
    sample_rate: u32,
    channels: u32,
    /// Most values that may wait.
    limit: usize,
    /// Values of a packet.
    packet: usize,
    /// Published without a queue: the sender keeps the time.
    direct: bool,
    /// Client's id of the track.
    pub(super) cid: String,
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the task for an empty queue.
    fn idle(&self) -> Asleep {
        if self.direct {
            Asleep::UntilPacket
        } else {
            Asleep::UntilAny
        }
    }

    pub(super) fn sid(&self) -> String {
        self.inner().sid.clone()
    }

    pub(super) fn set_sid(&self, sid: &str) {
        sid.clone_into(&mut self.inner().sid);
    }

    /// Nothing is taken any more.
    pub(super) fn close(&self, why: Closed) {
        self.inner().closed.get_or_insert(why);
        self.space.notify_one();
    }
}

/// A track of ours, as the room's task has it.
pub(super) struct Published {
    pub(super) queue: Arc<Queue>,
    pub(super) options: PublishOptions,
    pub(super) mid: Option<Mid>,
    pub(super) muted: bool,
    sender: Sender,
    sequence: u64,
    /// A moment in real and in RTP time.
    origin: Option<(Instant, u32)>,
    /// RTP time of the next packet, if it follows the last one without a pause.
    time: u32,
    /// When the next packet is due.
    pub(super) due: Option<Instant>,
    /// Since when a packet is waited for.
    half: Option<Instant>,
    /// The sender keeps ahead of the clock.
    ahead: bool,
    /// The queue ran dry, and the listeners are being told.
    pausing: bool,
    /// The next packet follows a pause.
    paused: bool,
    block: Vec<i16>,
}

/// In the lower half: a receiver that misses the first turn of the 16-bit counter could not decrypt (RFC 3711, section 3.3.1).
fn first_sequence() -> u64 {
    fastrand::u64(..0x8000)
}

impl Published {
    pub(super) fn new(queue: Arc<Queue>, options: PublishOptions, sender: Sender) -> Self {
        Self {
            block: vec![0; queue.packet],
            queue,
            options,
            mid: None,
            muted: false,
            sender,
            sequence: first_sequence(),
            origin: None,
            time: fastrand::u32(..),
            due: None,
            half: None,
            ahead: false,
            pausing: false,
            paused: false,
        }
    }

    /// The server has made a new line of it.
    pub(super) fn restart(&mut self) {
        self.mid = None;
        self.sequence = first_sequence();
        self.sender.reset();
    }

    /// There is audio.
    pub(super) fn woken(&mut self, now: Instant) {
        if self.half.take().is_some() || self.due.is_none() || self.pausing {
            self.due = Some(now);
        }
    }

    /// Sends what is due.
    pub(super) fn pump(&mut self, peer: &mut Peer, now: Instant) {
        while let Some(due) = self.due.filter(|due| *due <= now) {
            let taken = self.take(now);
            self.pausing = matches!(taken, Taken::Nothing { .. });
            match taken {
                Taken::Whole | Taken::Padded => self.send(peer, now),
                Taken::Wait(until) => {
                    self.due = Some(until);
                    return;
                }
                Taken::Nothing { waited } => {
                    self.block.fill(0);
                    // Silence that is late by its RTP time is jitter for the listeners: their buffers would grow by it at the end of each utterance.
                    self.time = self.time.wrapping_add(ticks(waited));
                    let is_told = !self.send_silence(peer, now);
                    self.paused = true;
                    if is_told {
                        self.due = None;
                        return;
                    }
                }
            }
            let packet = self.packet_duration();
            let next = if self.queue.direct {
                // Whatever is whole goes at once; a pause is told when nothing has come for a while.
                if matches!(taken, Taken::Whole) {
                    now
                } else {
                    now + packet
                }
            } else {
                due + packet
            };
            self.due = Some(if now > next + LATE { now } else { next });
        }
    }

    fn packet_duration(&self) -> Duration {
        let ticks = u64::from(self.sender.packet_ticks());
        Duration::from_micros(ticks * 1_000_000 / u64::from(CLOCK_RATE))
    }

    /// One packet out of the queue into `block`.
    fn take(&mut self, now: Instant) -> Taken {
        let queue = Arc::clone(&self.queue);
        let mut inner = queue.inner();
        let len = inner.samples.len();
        inner.asleep = Asleep::No;
        if len >= queue.packet {
            self.ahead |= len >= AHEAD * queue.packet;
            for (to, from) in self
                .block
                .iter_mut()
                .zip(inner.samples.drain(..queue.packet))
            {
                *to = from;
            }
            drop(inner);
            queue.space.notify_one();
            self.half = None;
            return Taken::Whole;
        }
        if len == 0 && self.pausing {
            inner.asleep = queue.idle();
            return Taken::Nothing {
                waited: Duration::ZERO,
            };
        }
        // A sender that keeps the time itself is a little late now and then. Without a queue it is given longer: two packets more.
        let patience = match (queue.direct, std::mem::take(&mut self.ahead)) {
            (true, _) => 3 * HALF,
            (false, true) => Duration::ZERO,
            (false, false) => HALF,
        };
        let since = *self.half.get_or_insert(now);
        if now < since + patience {
            inner.asleep = Asleep::UntilPacket;
            return Taken::Wait(since + patience);
        }
        self.half = None;
        if len == 0 {
            inner.asleep = queue.idle();
            // Without a queue the wait begins with the last packet, and not behind it.
            let packet = if queue.direct { HALF } else { Duration::ZERO };
            return Taken::Nothing {
                waited: patience.saturating_sub(packet),
            };
        }
        self.block.fill(0);
        for (to, from) in self.block.iter_mut().zip(inner.samples.drain(..)) {
            *to = from;
        }
        drop(inner);
        queue.space.notify_one();
        Taken::Padded
    }

    fn send(&mut self, peer: &mut Peer, now: Instant) {
        if self.muted || self.mid.is_none() || !peer.is_connected() {
            self.paused = true;
            return;
        }
        self.encode_and_send(peer, now);
    }

    /// False when there is nothing more to tell.
    fn send_silence(&mut self, peer: &mut Peer, now: Instant) -> bool {
        if self.muted || self.mid.is_none() || !peer.is_connected() {
            return false;
        }
        self.encode_and_send(peer, now)
    }

    fn encode_and_send(&mut self, peer: &mut Peer, now: Instant) -> bool {
        let Some(mid) = self.mid else { return false };
        let ticks = self.sender.packet_ticks();
        let (origin, zero) = *self.origin.get_or_insert((now, self.time));
        let elapsed = now.saturating_duration_since(origin).as_micros();
        let real = zero.wrapping_add((elapsed * u128::from(CLOCK_RATE) / 1_000_000) as u32);
        // Packets that follow each other have no gap, however late they leave; after a pause real time says how long it was.
        let behind = real.wrapping_sub(self.time) as i32;
        if std::mem::take(&mut self.paused) && behind > ticks as i32 {
            self.time = real;
        }
        let time = self.time;
        self.time = self.time.wrapping_add(ticks);
        let payload = match self.sender.encode(&self.block) {
            Ok(payload) => payload.to_vec(),
            Err(error) => {
                tracing::warn!("a packet cannot be encoded: {error}");
                return true;
            }
        };
        if payload.is_empty() {
            return false;
        }
        let packet = Outgoing {
            mid,
            sequence: self.sequence,
            time,
            marker: self.sender.begins(),
            level: self.sender.level(),
            payload: &payload,
        };
        peer.send_rtp(&packet, now);
        self.sequence += 1;
        true
    }
}

#[derive(Clone, Copy, Debug)]
enum Taken {
    /// A packet.
    Whole,
    /// The last of it, and silence.
    Padded,
    /// There is none yet.
    Wait(Instant),
    /// There is none, and silence has been due for so long.
    Nothing { waited: Duration },
}

fn ticks(duration: Duration) -> u32 {
    (duration.as_micros() * u128::from(CLOCK_RATE) / 1_000_000) as u32
}

/// Publishes a track, and waits until it can be heard.
pub(super) async fn publish(
    shared: &Arc<Shared>,
    options: &PublishOptions,
) -> Result<LocalTrack, TransportError> {
    let refused = |message: String| TransportError::Refused {
        what: PUBLISHING,
        message,
    };
    let known = (1..=2).contains(&options.channels)
        && (8_000..=48_000).contains(&options.sample_rate)
        && options.sample_rate.is_multiple_of(100);
    if !known {
        return Err(refused(format!(
            "{} Hz with {} channels cannot be sent: 8000 to 48000 Hz in steps of 100, 1 or 2 channels",
            options.sample_rate, options.channels
        )));
    }
    let sender = Sender::new(&SenderOptions::new(options.sample_rate, options.channels))
        .map_err(|e| refused(e.to_string()))?;
    let packet = sender.packet_samples() * options.channels as usize;
    let values =
        options.queue.as_micros() * u128::from(options.sample_rate * options.channels) / 1_000_000;
    let queue = Arc::new(Queue {
        inner: Mutex::new(Inner {
            samples: VecDeque::new(),
            asleep: Asleep::UntilAny,
            closed: None,
            sid: String::new(),
        }),
        space: Notify::new(),
        sample_rate: options.sample_rate,
        channels: options.channels,
        limit: usize::try_from(values).unwrap_or(usize::MAX).max(packet),
        packet,
        direct: options.queue.is_zero(),
        cid: format!("TR_{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
    });
    let (reply, answer) = tokio::sync::oneshot::channel();
    // Takes the track back if the caller or the server gives up.
    let track = LocalTrack {
        shared: Arc::clone(shared),
        queue: Arc::clone(&queue),
        sending: tokio::sync::Mutex::new(()),
    };
    shared.tell(Command::Publish {
        published: Box::new(Published::new(queue, options.clone(), sender)),
        reply,
    });
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(result)) => result.map(|()| track),
        Ok(Err(_)) => Err(TransportError::Closed),
        Err(_) => Err(TransportError::Timeout {
            what: "publishing the track",
            after: ANSWER,
        }),
    }
}

/// The application's end of a track of ours.
pub(super) struct LocalTrack {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    /// One frame at a time, so that two senders do not mix theirs.
    sending: tokio::sync::Mutex<()>,
}

impl LocalTrack {
    /// Takes as much as there is room for.
    fn push(&self, rest: &mut &[i16]) -> Result<(), TransportError> {
        let queue = &self.queue;
        let mut inner = queue.inner();
        if let Some(closed) = inner.closed {
            return Err(closed.error());
        }
        let room = if queue.direct {
            // It leaves at once; a task that does not come to it loses the oldest.
            let excess = (inner.samples.len() + rest.len()).saturating_sub(50 * queue.packet);
            let len = inner.samples.len();
            inner.samples.drain(..excess.min(len));
            rest.len()
        } else {
            queue.limit.saturating_sub(inner.samples.len())
        };
        let (now, later) = rest.split_at(room.min(rest.len()));
        inner.samples.extend(now);
        *rest = later;
        let len = inner.samples.len();
        let is_wanted = match inner.asleep {
            Asleep::No => false,
            Asleep::UntilAny => len > 0,
            Asleep::UntilPacket => len >= queue.packet,
        };
        if is_wanted {
            inner.asleep = Asleep::No;
            drop(inner);
            self.shared.tell(Command::Wake {
                cid: queue.cid.clone(),
            });
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl AudioTrack for LocalTrack {
    fn sid(&self) -> String {
        self.queue.sid()
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        let queue = &self.queue;
        if frame.sample_rate() != queue.sample_rate || frame.channels() != queue.channels {
            return Err(TransportError::Refused {
                what: CAPTURING,
                message: format!(
                    "the track was published with {} Hz and {} channels, and the frame has {} Hz and {}",
                    queue.sample_rate,
                    queue.channels,
                    frame.sample_rate(),
                    frame.channels()
                ),
            });
        }
        let _one = self.sending.lock().await;
        let mut rest = frame.samples();
        loop {
            self.push(&mut rest)?;
            if rest.is_empty() {
                return Ok(());
            }
            queue.space.notified().await;
        }
    }

    fn queued(&self) -> Duration {
        if self.queue.direct {
            return Duration::ZERO;
        }
        let waiting = self.queue.inner().samples.len() as u64;
        let values = u64::from(self.queue.sample_rate * self.queue.channels);
        Duration::from_nanos(waiting * 1_000_000_000 / values)
    }

    fn clear(&self) {
        self.queue.inner().samples.clear();
        self.queue.space.notify_one();
    }

    async fn set_muted(&self, muted: bool) -> Result<(), TransportError> {
        if let Some(closed) = self.queue.inner().closed {
            return Err(closed.error());
        }
        self.shared.tell(Command::Mute {
            cid: self.queue.cid.clone(),
            muted,
        });
        Ok(())
    }
}

impl Drop for LocalTrack {
    fn drop(&mut self) {
        self.queue.close(Closed::Room);
        let sid = self.queue.sid();
        self.shared.state().local.tracks.retain(|t| t.sid != sid);
        self.shared.tell(Command::Unpublish {
            cid: self.queue.cid.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn track(queue: Duration) -> Published {
        let options = PublishOptions::default().queue(queue);
        let sender = Sender::new(&SenderOptions::new(48_000, 1)).expect("a format");
        let packet = sender.packet_samples();
        let queue = Arc::new(Queue {
            inner: Mutex::new(Inner {
                samples: VecDeque::new(),
                asleep: Asleep::UntilAny,
                closed: None,
                sid: String::new(),
            }),
            space: Notify::new(),
            sample_rate: 48_000,
            channels: 1,
            limit: 100 * packet,
            packet,
            direct: queue.is_zero(),
            cid: String::new(),
        });
        Published::new(queue, options, sender)
    }

    fn push(track: &Published, packets: usize) {
        let values = packets * track.queue.packet;
        let mut inner = track.queue.inner();
        inner.samples.extend(std::iter::repeat_n(100, values));
    }

    #[test]
    fn the_end_of_one_who_keeps_ahead_is_told_at_once() {
        let mut track = track(400 * MS);
        let now = Instant::now();
        push(&track, 4);
        for _ in 0..4 {
            assert!(matches!(track.take(now), Taken::Whole));
        }
        let told = track.take(now);
        assert!(matches!(told, Taken::Nothing { waited } if waited.is_zero()));
    }

    #[test]
    fn one_who_keeps_the_time_is_waited_for_and_what_was_waited_is_no_jitter() {
        // With a queue silence is due a packet behind the last one, without at once.
        let queued = (400 * MS, 20 * MS, 20 * MS);
        let direct = (Duration::ZERO, 60 * MS, 40 * MS);
        for (queue, patience, late) in [queued, direct] {
            let mut track = track(queue);
            let mut now = Instant::now();
            for _ in 0..3 {
                push(&track, 1);
                assert!(matches!(track.take(now), Taken::Whole));
                now += 21 * MS;
                let until = now + patience;
                assert!(matches!(track.take(now), Taken::Wait(at) if at == until));
                now += MS;
            }
            push(&track, 1);
            assert!(matches!(track.take(now), Taken::Whole));
            assert!(matches!(track.take(now), Taken::Wait(_)));
            let told = track.take(now + patience);
            assert!(matches!(told, Taken::Nothing { waited } if waited == late));
        }
    }
}
