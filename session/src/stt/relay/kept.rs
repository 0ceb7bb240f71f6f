//! What was pushed and is not settled.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::SampleRate;

use super::super::SttCommand;
use super::super::adapter::mono;
use crate::AudioFrame;

/// What a command without audio counts for: it takes room too.
const LEAST: Duration = Duration::from_millis(1);

/// What was pushed, oldest first, each with the position behind it.
#[derive(Default)]
pub(super) struct Kept {
    commands: VecDeque<(Duration, SttCommand)>,
    /// Positions before the first and behind the last of them.
    start: Duration,
    end: Duration,
    /// No successor needs what is before this.
    settled: Duration,
    /// How many of them some stream has got. The others are never dropped.
    given: usize,
    /// Audio in all of them, and in those that no stream has got.
    held: Duration,
    fresh: Duration,
}

impl Kept {
    pub(super) const fn start(&self) -> Duration {
        self.start
    }

    pub(super) const fn end(&self) -> Duration {
        self.end
    }

    pub(super) const fn settled(&self) -> Duration {
        self.settled
    }

    pub(super) fn get(&self, index: usize) -> Option<&SttCommand> {
        self.commands.get(index).map(|(_, command)| command)
    }

    /// Whether more may wait for a stream.
    pub(super) fn has_room(&self, longest: Duration) -> bool {
        self.fresh < longest
    }

    pub(super) fn push(&mut self, command: SttCommand) {
        self.end = self.end.saturating_add(length(&command));
        self.held = self.held.saturating_add(room(&command));
        self.fresh = self.fresh.saturating_add(room(&command));
        self.commands.push_back((self.end, command));
    }

    /// A stream has got the first `count` commands.
    pub(super) fn give(&mut self, count: usize) {
        while self.given < count
            && let Some((_, command)) = self.commands.get(self.given)
        {
            self.fresh = self.fresh.saturating_sub(room(command));
            self.given += 1;
        }
    }

    /// The position behind the first `count` commands.
    pub(super) fn position_of(&self, count: usize) -> Duration {
        match count
            .checked_sub(1)
            .and_then(|last| self.commands.get(last))
        {
            Some((end, _)) => *end,
            None => self.start,
        }
    }

    /// Nothing before this is needed any more.
    pub(super) fn settle(&mut self, until: Duration) {
        self.settled = self.settled.max(until);
    }

    /// Drops what is settled, and of what some stream has got what is too much, of the first `most` commands; gives how many it dropped.
    pub(super) fn trim(&mut self, longest: Duration, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most
            && self.given > 0
            && let Some((end, command)) = self.commands.front()
            && (*end <= self.settled || self.held > longest)
        {
            self.held = self.held.saturating_sub(room(command));
            self.start = *end;
            self.given -= 1;
            dropped += 1;
            self.commands.pop_front();
        }
        dropped
    }

    /// Cuts off what of the first frame is settled. Only before the frame is needed again: a long one is copied.
    pub(super) fn cut(&mut self) {
        let Some((end, SttCommand::Frame(frame))) = self.commands.front_mut() else {
            return;
        };
        if *end <= self.settled || self.start >= self.settled {
            return;
        }
        let rate = u64::from(frame.sample_rate());
        let before = (self.settled - self.start).as_nanos() * u128::from(rate) / 1_000_000_000;
        // Less than the frame has.
        let count = before as u64;
        let from = count as usize * frame.channels() as usize;
        let Some(rest) = frame.samples().get(from..).filter(|rest| !rest.is_empty()) else {
            return;
        };
        let rest = AudioFrame::new(rest, frame.sample_rate(), frame.channels())
            .expect("whole samples of a frame");
        let less = frame.duration().saturating_sub(rest.duration());
        *frame = rest;
        self.start = self.start.saturating_add(less);
        self.held = self.held.saturating_sub(less);
        if self.given == 0 {
            self.fresh = self.fresh.saturating_sub(less);
        }
    }

    /// The audio in mono, each piece of one format and without gaps, with its position.
    pub(super) fn pieces(&self) -> Vec<(Duration, AudioFrame)> {
        let mut pieces = Vec::new();
        let mut open: Option<(Duration, SampleRate, Vec<i16>)> = None;
        for (end, command) in &self.commands {
            let frame = match command {
                SttCommand::Frame(frame) => frame,
                SttCommand::Gap(_) => {
                    pieces.extend(open.take());
                    continue;
                }
                SttCommand::Flush => continue,
            };
            let Ok(rate) = SampleRate::new(frame.sample_rate()) else {
                continue;
            };
            pieces.extend(open.take_if(|(_, before, _)| *before != rate));
            let at = end.saturating_sub(frame.duration());
            let (_, _, samples) = open.get_or_insert((at, rate, Vec::new()));
            let mixed = mono(frame.samples().to_vec(), frame.channels() as usize, rate);
            samples.extend_from_slice(mixed.samples());
        }
        pieces.extend(open);
        pieces
            .into_iter()
            .map(|(at, rate, samples)| (at, mono(samples, 1, rate)))
            .collect()
    }

    /// The newest audio.
    pub(super) fn newest(&self, longest: Duration) -> Option<AudioFrame> {
        let (_, audio) = self.pieces().pop()?;
        let rate = SampleRate::new(audio.sample_rate()).ok()?;
        let count = usize::try_from(rate.samples(longest).0).unwrap_or(usize::MAX);
        let from = audio.samples().len().saturating_sub(count);
        Some(mono(audio.samples()[from..].to_vec(), 1, rate))
    }
}

/// Time that passes in the stream.
fn length(command: &SttCommand) -> Duration {
    match command {
        SttCommand::Frame(frame) => frame.duration(),
        SttCommand::Gap(duration) => *duration,
        SttCommand::Flush => Duration::ZERO,
    }
}

/// What it takes of `max_replay`: a gap has no audio.
fn room(command: &SttCommand) -> Duration {
    match command {
        SttCommand::Frame(frame) => frame.duration().max(LEAST),
        SttCommand::Gap(_) | SttCommand::Flush => LEAST,
    }
}
