//! A stream of windows with a plain segmenter, and what the tracker says about it.

use super::*;

/// What the host does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Agent(bool),
    Interruptible(bool),
    Words(u32),
    /// The end of the speech it covers, so many samples ago.
    Transcript(Option<u64>),
    Answer(f32),
    Commit,
    /// The stream breaks off, and goes on so many samples later.
    Gap(u64),
}

/// A voiced window of confirmed or unconfirmed speech, and the speech it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voiced {
    pub(super) speech_start: u64,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What happened, as an onlooker would write it down.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) voiced: Vec<Voiced>,
    /// Start, confirmation and end of every confirmed speech; its number is its place.
    pub(super) segments: Vec<(u64, u64, Option<u64>)>,
    /// Start and end of every agent speech.
    pub(super) agent: Vec<(u64, Option<u64>)>,
    /// From where on the agent's speech could (not) be interrupted, agent stops included.
    pub(super) interruptible: Vec<(u64, bool)>,
    pub(super) words: Vec<(u64, u32)>,
}

pub(super) struct Stream {
    pub(super) tracker: OverlapTracker,
    pub(super) now: u64,
    pub(super) log: Log,
    pub(super) events: Vec<Event>,
    /// Silent windows that end speech.
    pub(super) min_silence: u64,
    /// Time is also told at every multiple of this.
    pub(super) stride: Option<u64>,
    /// Samples of the stream per sample of the script.
    pub(super) factor: u64,
    pub(super) coherence: Option<f32>,
    speech: Option<Speech>,
    last_voiced: u64,
    silent: u64,
}

impl Stream {
    pub(super) fn new(config: OverlapConfig) -> Self {
        Self::starting_at(config, 0)
    }

    pub(super) fn starting_at(config: OverlapConfig, origin: u64) -> Self {
        Self {
            tracker: OverlapTracker::new(config, SamplePos(origin)),
            now: origin,
            log: Log::default(),
            events: Vec::new(),
            min_silence: MIN_SILENCE,
            stride: None,
            factor: 1,
            coherence: None,
            speech: None,
            last_voiced: origin,
            silent: 0,
        }
    }

    pub(super) fn voiced(&mut self, windows: u64) -> &mut Self {
        (0..windows).for_each(|_| self.window(true));
        self
    }

    pub(super) fn silent(&mut self, windows: u64) -> &mut Self {
        (0..windows).for_each(|_| self.window(false));
        self
    }

    pub(super) fn wait(&mut self, samples: u64) -> &mut Self {
        self.now += samples;
        self
    }

    /// The input, at the current position.
    pub(super) fn host(&mut self, op: Op) -> &mut Self {
        self.host_at(self.now, op);
        self
    }

    pub(super) fn host_at(&mut self, at: u64, op: Op) {
        self.time(at);
        self.tracker.advance(self.pos(at));
        self.poll();
        let now = self.pos(at);
        match op {
            Op::Agent(true) => {
                if self.log.agent.last().is_none_or(|(_, end)| end.is_some()) {
                    self.log.agent.push((at, None));
                }
                self.tracker.agent_started(now);
            }
            Op::Agent(false) => {
                if let Some((_, end @ None)) = self.log.agent.last_mut() {
                    *end = Some(at);
                }
                self.log.interruptible.push((at, true));
                self.tracker.agent_stopped(now);
            }
            Op::Interruptible(on) => {
                self.log.interruptible.push((at, on));
                self.tracker.agent_interruptible(on);
            }
            Op::Words(words) => {
                self.log.words.push((at, words));
                self.tracker.words(words, now);
            }
            Op::Transcript(back) => {
                let end = back.map(|back| self.pos(at.saturating_sub(back)));
                if end.is_none() {
                    self.log.words.push((at, 1));
                }
                self.tracker.transcript(end, now);
            }
            Op::Answer(p) => self.tracker.answered(Probability::clamped(p)),
            Op::Commit => self.tracker.committed(now),
            Op::Gap(samples) => {
                self.end_speech(at);
                self.tracker.forget_onset();
                self.poll();
                self.speech = None;
                self.now = at + samples;
                self.time(self.now);
                self.tracker.advance(self.pos(self.now));
            }
        }
        self.poll();
    }

    pub(super) fn finish(&mut self) -> Vec<Event> {
        self.end_speech(self.now);
        self.tracker.finish(self.pos(self.now));
        self.poll();
        self.events.clone()
    }

    fn window(&mut self, voiced: bool) {
        let (start, end) = (self.now, self.now + WINDOW);
        self.time(end);
        self.now = end;
        let before = self.speech;
        let was_open = before.is_some_and(|speech| speech.segment.is_some());
        if voiced {
            let speech = before.unwrap_or(Speech {
                start: SamplePos(start),
                voiced: SampleCount::ZERO,
                segment: None,
            });
            let sum = speech.voiced + SampleCount(WINDOW);
            let confirmed = sum.0 >= MIN_SPEECH * WINDOW;
            if confirmed && !was_open {
                self.log.segments.push((speech.start.0, end, None));
            }
            self.speech = Some(Speech {
                voiced: sum,
                segment: confirmed.then(|| self.log.segments.len() as u64 - 1),
                ..speech
            });
            self.log.voiced.push(Voiced {
                speech_start: speech.start.0,
                start,
                end,
            });
            self.last_voiced = end;
            self.silent = 0;
        } else {
            self.silent += 1;
            if !was_open {
                self.speech = None;
            }
        }
        let over = was_open && self.silent >= self.min_silence;
        let segment = self.speech.and_then(|speech| speech.segment);
        let pos = |at: u64| SamplePos(at * self.factor);
        self.tracker.window(Heard {
            start: pos(start),
            end: pos(end),
            decided_at: pos(end),
            speech: self.speech.filter(|_| !over).map(|speech| Speech {
                start: pos(speech.start.0),
                voiced: SampleCount(speech.voiced.0 * self.factor),
                ..speech
            }),
            turn: segment.map(turn_of),
            coherence: self.coherence,
        });
        self.poll();
        if over {
            self.end_speech(end);
        }
        self.tracker.advance(self.pos(end));
        self.poll();
    }

    fn end_speech(&mut self, at: u64) {
        if self.speech.take().is_some_and(|s| s.segment.is_some()) {
            self.log.segments.last_mut().expect("confirmed").2 = Some(self.last_voiced);
            let (last_voiced, at) = (self.pos(self.last_voiced), self.pos(at));
            self.tracker.speech_ended(last_voiced, at);
            self.poll();
        }
    }

    /// Time comes up to `end`, exclusive.
    fn time(&mut self, end: u64) {
        let mut at = self.now;
        loop {
            let due = self.tracker.deadline().map(|due| due.0 / self.factor);
            let told = self.stride.map(|stride| (at / stride + 1) * stride);
            let Some(next) = due.into_iter().chain(told).min().filter(|&at| at < end) else {
                break;
            };
            at = next;
            self.tracker.advance(self.pos(at));
            self.poll();
        }
    }

    fn poll(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.tracker.poll()));
    }

    const fn pos(&self, at: u64) -> SamplePos {
        SamplePos(at * self.factor)
    }
}

/// Two segments make a turn.
pub(super) const fn turn_of(segment: u64) -> u64 {
    segment / 2
}

/// The event with its positions moved and its amounts divided.
pub(super) fn moved(event: Event, by: u64, factor: u64) -> Event {
    let to = |at: SamplePos| SamplePos(at.0 / factor - by);
    let facts = |facts: OverlapFacts| OverlapFacts {
        agent_start: to(facts.agent_start),
        speech_duration: SampleCount(facts.speech_duration.0 / factor),
        ..facts
    };
    match event {
        Event::OverlapClaim(e) => Event::OverlapClaim(OverlapClaim {
            at: to(e.at),
            decided_at: to(e.decided_at),
            facts: facts(e.facts),
            ..e
        }),
        Event::OverlapBrief(e) => Event::OverlapBrief(OverlapBrief {
            at: to(e.at),
            until: to(e.until),
            decided_at: to(e.decided_at),
            facts: facts(e.facts),
            ..e
        }),
        Event::FalseInterruption(e) => Event::FalseInterruption(FalseInterruption {
            claim_at: to(e.claim_at),
            at: to(e.at),
            decided_at: to(e.decided_at),
            ..e
        }),
        other => panic!("not about overlaps: {other:?}"),
    }
}
