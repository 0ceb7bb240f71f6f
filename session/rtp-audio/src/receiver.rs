//! From packets as they come to blocks as a reader wants them.
//!
//! Two clocks are kept apart. RTP time says where audio lies in the sender's stream; `Instant`s say when it came. What was given is counted in
//! RTP time, and silence that was given while nothing came is set against the next packet's time. So the reader's time follows the sender's clock.

use std::fmt;
use std::time::{Duration, Instant};

use crate::decoder::Decoder;
use crate::packet::{LONGEST_TICKS, Shape, shape};
use crate::queue::{CAPACITY, Queue, Waiting};
use crate::{CLOCK_RATE, Error};

/// What Opus itself delays: the look-ahead of encoder and decoder together (RFC 6716, section 2: 26.5 ms with a frame of 20 ms).
const CODEC: Duration = Duration::from_micros(6_500);

/// Silence is given in steps of 20 ms, as packets would come; after [`LONG`] in steps of 100 ms, because nobody waits for it and each one wakes the caller.
const STEP: u32 = 960;
const LONG_STEP: u32 = 4_800;
const LONG: u32 = 5 * CLOCK_RATE;

/// After so much silence the silence that was too much before is taken back: turns have ended by then, so nobody waits for the next 10 ms.
const TAKE_BACK: u32 = 2 * CLOCK_RATE;

/// A pause sounds like the background before it (the decoder's comfort noise) for so long after its last packet. Encoders send a new one every 400 ms.
const COMFORT: u32 = CLOCK_RATE;

/// Where packets stop without a pause being told, the sound dies away over so much.
const DYING: u32 = 2_880;

/// Most that one loss is concealed for; more of it is silence. Concealment is no speech after about 100 ms.
const CONCEALED: u32 = LONGEST_TICKS;

/// Silence between packets is believed as long as what was given is not so far ahead of real time; then RTP time has jumped.
const SILENCE_AHEAD: u32 = CLOCK_RATE;

/// Audio is decoded as long as what was given is not so far ahead of real time: a network may hold back and then deliver seconds at once, but a
/// sender that goes on like that only burns our time.
const AUDIO_AHEAD: u32 = 5 * CLOCK_RATE;

/// How much faster than ours a sender's clock may be, in parts of real time: 1/64. Real ones differ by less than 1/1000.
const FASTER: u32 = 64;

/// Packets in a row that are older than what was given, before they are taken for a sender that began anew.
const OLD: u32 = 50;

/// How to read a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverOptions {
    /// Of the blocks, in Hz: 4,000 to 192,000. 16, 24 and 48 kHz come straight from the decoder; others are converted. Default 16,000.
    pub sample_rate: u32,
    /// Of the blocks: 1 or 2. Default 1.
    pub channels: u32,
    /// How long packets wait for one before them that is missing. Default 60 ms: enough for reordering, and for one retransmission over 40 ms of round trip. A single packet
    /// that is lost and has a copy in the next one is not waited for.
    pub wait: Duration,
    /// How long nothing may come, without a pause being told, before silence is given for it; then all of it at once. Default 200 ms: less would put
    /// holes into speech that is only late; a turn ends later than that, so the delay costs nothing.
    pub stall: Duration,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            channels: 1,
            wait: Duration::from_millis(60),
            stall: Duration::from_millis(200),
        }
    }
}

impl ReceiverOptions {
    /// Blocks in this format.
    #[must_use]
    pub fn new(sample_rate: u32, channels: u32) -> Self {
        Self {
            sample_rate,
            channels,
            ..Self::default()
        }
    }
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What the sender sent.
    Heard,
    /// In place of what was lost.
    Concealed,
    /// In place of what was never sent.
    Silence,
}

/// 10 ms of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Interleaved.
    pub samples: &'a [i16],
    /// What most of it is.
    pub kind: Kind,
    /// How old it is, on average: of what was heard, since it reached the speaker's microphone, but for the way of the packet; of the rest, since it was due.
    pub age: Duration,
}

/// What has happened since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Packets that were decoded.
    pub decoded: u64,
    /// Packets that never came in time.
    pub lost: u64,
    /// Packets that came too late or twice.
    pub late: u64,
    /// Packets that are no Opus, or that the decoder refused.
    pub broken: u64,
    /// Packets that were dropped because the reader did not read, or because they came faster than time.
    pub dropped: u64,
}

/// One reader's view of an Opus RTP stream.
///
/// [`push`](Self::push) every packet, then [`poll`](Self::poll) until there is no block; call `poll` again at [`deadline`](Self::deadline) though nothing came.
/// Instants must not go backwards; if they do, nothing worse happens than silence at another time.
///
/// Memory and work are bounded whatever comes: 200 packets wait at most, and blocks cannot run further than five seconds ahead of real time.
pub struct Receiver {
    wait: Duration,
    stall: Duration,
    decoder: Decoder,
    queue: Queue,
    stream: Option<Stream>,
    pending: Pending,
    ahead: Ahead,
    /// Packets in a row that were older than what was given.
    old: u32,
    age: (Duration, u32),
    counts: Counts,
}

/// Where we stand in the sender's stream.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// The next packet.
    next: u64,
    /// RTP time at the end of the last packet.
    end: u32,
    /// When that came.
    arrived: Instant,
    /// Ticks given since.
    filled: u32,
    /// How long that packet was.
    ticks: u32,
    /// Whether it told a pause.
    pause: bool,
    /// Silence that was given and turned out to be too much.
    debt: u32,
    /// Ticks since the last two packets with audio in a row. A single one is only the background that encoders send now and then in a pause.
    quiet: u32,
}

impl Stream {
    /// Ticks that are missing before a packet of `time`; negative if too many were given.
    fn missing(&self, time: u32) -> i64 {
        i64::from(time.wrapping_sub(self.end).cast_signed()) - i64::from(self.filled)
    }

    /// When the next silence is due if nothing comes, and how much.
    fn due(&self, stall: Duration) -> (Instant, u32) {
        let step = if self.filled < LONG { STEP } else { LONG_STEP };
        let due = self.arrived + span(self.filled + step);
        if self.filled == 0 && !self.pause {
            return (due.max(self.arrived + stall), step);
        }
        (due, step)
    }
}

/// Samples that were decoded and not given.
#[derive(Debug)]
struct Pending {
    samples: Vec<i16>,
    given: usize,
    /// Values in a block.
    block: usize,
    kind: Kind,
    /// Of what was heard: when it came, and what it was old by then. Of the rest: when it was due.
    since: Option<Instant>,
    older: Duration,
}

impl Pending {
    fn is_ready(&self) -> bool {
        self.samples.len() - self.given >= self.block
    }

    /// To append to. What was given goes first.
    fn room(&mut self, kind: Kind, since: Instant, older: Duration) -> &mut Vec<i16> {
        self.samples.drain(..self.given);
        self.given = 0;
        (self.kind, self.since, self.older) = (kind, Some(since), older);
        &mut self.samples
    }
}

/// By how much what was given is ahead of real time.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    ticks: u64,
    at: Option<Instant>,
}

impl Ahead {
    fn advance(&mut self, now: Instant) {
        let Some(before) = self.at.replace(now) else {
            return;
        };
        if now < before {
            self.at = Some(before);
            return;
        }
        let passed = ticks(now - before);
        self.ticks = self
            .ticks
            .saturating_sub(passed + passed / u64::from(FASTER));
        if passed == 0 {
            // So that many calls do not lose the time between them.
            self.at = Some(before);
        }
    }
}

fn span(ticks: u32) -> Duration {
    Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(CLOCK_RATE))
}

fn ticks(duration: Duration) -> u64 {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    (micros / 1_000).saturating_mul(48) + micros % 1_000 * 48 / 1_000
}

impl Receiver {
    /// A reader that has heard nothing yet. It gives nothing, not even silence, before the first packet.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn new(options: &ReceiverOptions) -> Result<Self, Error> {
        let decoder = Decoder::new(options.sample_rate, options.channels)?;
        let block = (options.sample_rate / 100 * options.channels) as usize;
        Ok(Self {
            wait: options.wait,
            stall: options.stall,
            decoder,
            queue: Queue::default(),
            stream: None,
            pending: Pending {
                samples: Vec::with_capacity(block * 16),
                given: 0,
                block,
                kind: Kind::Silence,
                since: None,
                older: Duration::ZERO,
            },
            ahead: Ahead::default(),
            old: 0,
            age: (Duration::ZERO, 0),
            counts: Counts::default(),
        })
    }

    /// Takes a packet: its extended sequence number, its RTP time at 48 kHz (it may wrap), and when its datagram came. Padding (an empty payload) is to be given too,
    /// because it has its place in the row. Nothing is decoded here.
    pub fn push(&mut self, sequence: u64, time: u32, arrived: Instant, payload: &[u8]) {
        let shape = shape(payload);
        if shape.is_none() && !payload.is_empty() {
            self.counts.broken += 1;
        }
        if self.stream.is_some_and(|stream| sequence < stream.next) {
            self.counts.late += 1;
            self.old += 1;
            if self.old < OLD || shape.is_none() {
                return;
            }
            self.restart();
        }
        if self.stream.is_none() && self.queue.len() == 0 {
            if shape.is_none() {
                return;
            }
            self.old = 0;
        }
        let payload = if shape.is_some() { payload } else { &[] };
        if !self.queue.insert(sequence, time, arrived, shape, payload) {
            self.counts.late += 1;
            return;
        }
        self.old = 0;
        if self.queue.len() > CAPACITY {
            // The oldest goes, and with it the wait for what was before it.
            if let Some(oldest) = self.queue.pop() {
                self.skip(&oldest);
                self.counts.dropped += 1;
                self.queue.recycle(oldest);
            }
        }
    }

    /// The next 10 ms, if they are due at `now`. Decodes one packet at most.
    pub fn poll(&mut self, now: Instant) -> Option<Block<'_>> {
        self.ahead.advance(now);
        while !self.pending.is_ready() {
            if !self.advance(now) {
                return None;
            }
        }
        let pending = &mut self.pending;
        let waited = pending
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let age = waited + pending.older;
        if pending.kind == Kind::Heard {
            self.age.0 += age;
            self.age.1 += 1;
        }
        let samples = &pending.samples[pending.given..][..pending.block];
        pending.given += pending.block;
        Some(Block {
            samples,
            kind: pending.kind,
            age,
        })
    }

    /// When to poll though nothing comes: a missing packet is given up then, or silence is due. `None` before the first packet.
    pub fn deadline(&self) -> Option<Instant> {
        let stream = self.stream.as_ref();
        match (self.queue.front(), stream) {
            (Some(front), Some(stream)) if front.sequence > stream.next => {
                Some(front.arrived + self.wait)
            }
            (Some(front), _) => Some(front.arrived),
            (None, Some(stream)) => Some(stream.due(self.stall).0),
            (None, None) => None,
        }
    }

    /// Mean age of what was heard since the call before this one, see [`Block::age`]; `None` if nothing was.
    pub fn take_age(&mut self) -> Option<Duration> {
        let (sum, count) = std::mem::take(&mut self.age);
        (count > 0).then(|| sum / count)
    }

    /// What has happened since the beginning.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The stream begins anew, with other sequence numbers and times: another SSRC, say. What was not decoded yet is lost; the reader's time goes on with
    /// the first packet.
    pub fn restart(&mut self) {
        self.queue.clear();
        self.stream = None;
        self.decoder.reset();
        self.old = 0;
    }

    /// Makes more samples pending, or says that nothing is due.
    fn advance(&mut self, now: Instant) -> bool {
        let Some(front) = self.queue.front() else {
            return self.fill_if_due(now);
        };
        let (sequence, time, arrived, shape) =
            (front.sequence, front.time, front.arrived, front.shape);
        let stream = self.stream.get_or_insert(Stream {
            next: sequence,
            end: time,
            arrived,
            filled: 0,
            ticks: shape.map_or(STEP, |shape| shape.ticks),
            pause: false,
            debt: 0,
            quiet: 0,
        });
        let lost = sequence.saturating_sub(stream.next);
        let Some(shape) = shape else {
            // Padding fills its place; there may still be a hole before it, which the next packet with audio closes.
            if lost > 0 && now < arrived + self.wait {
                return false;
            }
            self.drop_front();
            return true;
        };
        let rebuilt = lost == 1 && shape.spare;
        if lost > 0 && !rebuilt && now < arrived + self.wait && self.queue.len() < CAPACITY {
            return false;
        }
        let missing = stream.missing(time);
        if missing < 0 {
            // So much silence was too much, if it was not RTP time that went backwards.
            let excess = u32::try_from(-missing).map_or(stream.filled, |m| m.min(stream.filled));
            stream.debt = stream.debt.saturating_add(excess).min(LONG);
        }
        let mut missing = u32::try_from(missing).unwrap_or(0);
        missing -= missing % self.decoder.step();
        let each = u64::from(stream.ticks.max(480));
        let concealed =
            u32::try_from(lost.saturating_mul(each)).map_or(CONCEALED, |t| t.min(CONCEALED));
        let is_lost = missing <= concealed;
        let most = if is_lost { AUDIO_AHEAD } else { SILENCE_AHEAD };
        if missing > 0 && self.ahead.ticks + u64::from(missing) <= u64::from(most) {
            if is_lost {
                self.conceal(missing, now, rebuilt);
            } else {
                let pause = stream.pause;
                self.silence((missing - concealed).min(STEP), pause, now);
            }
            return true;
        }
        let Some(packet) = self.queue.pop() else {
            return false;
        };
        self.counts.lost = self.counts.lost.saturating_add(lost);
        self.hear(&packet, shape, now);
        self.queue.recycle(packet);
        true
    }

    /// Gives a packet that is next.
    fn hear(&mut self, packet: &Waiting, shape: Shape, now: Instant) {
        self.skip(packet);
        if self.ahead.ticks > u64::from(AUDIO_AHEAD) {
            self.counts.dropped += 1;
            return;
        }
        self.ahead.ticks += u64::from(shape.ticks);
        if shape.pause {
            let out = self.pending.room(Kind::Silence, now, Duration::ZERO);
            self.decoder.conceal(shape.ticks, out);
            return;
        }
        let delay = Duration::from_secs_f64(self.decoder.converter_delay());
        let older = span(shape.ticks) / 2 + CODEC + delay;
        let out = self.pending.room(Kind::Heard, packet.arrived, older);
        if self.decoder.packet(&packet.payload, shape.ticks, out) {
            self.counts.decoded += 1;
        } else {
            self.counts.broken += 1;
            self.pending.kind = Kind::Concealed;
        }
    }

    /// The packet is over, whether it was given or not.
    fn skip(&mut self, packet: &Waiting) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        stream.next = packet.sequence.saturating_add(1);
        if let Some(shape) = packet.shape {
            stream.quiet = match shape.pause || stream.pause {
                true => stream.quiet.saturating_add(shape.ticks),
                false => 0,
            };
            stream.end = packet.time.wrapping_add(shape.ticks);
            stream.arrived = packet.arrived;
            stream.filled = 0;
            stream.ticks = shape.ticks;
            stream.pause = shape.pause;
        }
    }

    /// Takes padding out of the queue.
    fn drop_front(&mut self) {
        if let Some(packet) = self.queue.pop() {
            self.skip(&packet);
            self.queue.recycle(packet);
        }
    }

    /// Silence, if nothing came for too long.
    fn fill_if_due(&mut self, now: Instant) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let (due, step) = stream.due(self.stall);
        if now < due {
            return false;
        }
        if stream.quiet >= TAKE_BACK && stream.debt > 0 {
            // What was too much before takes the place of this, which comes later by as much.
            let taken = stream.debt.min(step);
            stream.end = stream.end.wrapping_add(taken);
            stream.arrived += span(taken);
            stream.debt -= taken;
            return true;
        }
        if stream.filled > u32::MAX / 2 {
            // Half a day: the next packet's time says nothing about it any more.
            stream.end = stream.end.wrapping_add(stream.filled);
            stream.arrived += span(stream.filled);
            stream.filled = 0;
            stream.pause = true;
            return true;
        }
        let (pause, filled) = (stream.pause, stream.filled);
        if !pause && filled < DYING {
            self.conceal(step, due, false);
        } else {
            self.silence(step, pause, due);
        }
        true
    }

    /// Gives `ticks` in place of what was lost; the last of it from the copy in the packet at the front, if it has one.
    fn conceal(&mut self, ticks: u32, due: Instant, rebuilt: bool) {
        let ticks = ticks.min(LONGEST_TICKS);
        // The codec conceals in steps of 2.5 ms.
        let whole = ticks - ticks % 120;
        let out = self.pending.room(Kind::Concealed, due, Duration::ZERO);
        match self.queue.front() {
            Some(front) if rebuilt && whole > 0 => self.decoder.rebuild(&front.payload, whole, out),
            _ if whole > 0 => self.decoder.conceal(whole, out),
            _ => {}
        }
        if whole < ticks {
            self.decoder.silence(ticks - whole, out);
        }
        self.filled(ticks);
    }

    /// Gives `ticks` in place of what was never sent.
    fn silence(&mut self, ticks: u32, pause: bool, due: Instant) {
        let comfort =
            pause && ticks.is_multiple_of(120) && self.stream.is_some_and(|s| s.filled < COMFORT);
        let out = self.pending.room(Kind::Silence, due, Duration::ZERO);
        if comfort {
            self.decoder.conceal(ticks, out);
        } else {
            self.decoder.silence(ticks, out);
        }
        self.filled(ticks);
    }

    fn filled(&mut self, ticks: u32) {
        self.ahead.ticks += u64::from(ticks);
        if let Some(stream) = &mut self.stream {
            stream.filled += ticks;
            stream.quiet = stream.quiet.saturating_add(ticks);
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("stream", &self.stream)
            .field("waiting", &self.queue.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
