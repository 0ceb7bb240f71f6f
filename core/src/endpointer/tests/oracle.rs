//! The rules once more, by polling: at every tick it looks at what is true, and knows no deadline.
//!
//! Slow and simple on purpose. Only fixed delays; all positions and delays are multiples of the tick.

use super::drive::{Machine, Op};
use super::*;

pub(super) const TICK: u64 = 64;

#[derive(Clone, Copy)]
struct OpenTurn {
    number: u64,
    start: u64,
    anchor: u64,
    ceiling: u64,
    /// In a pause: when the speech was over.
    ended: Option<u64>,
    has_text: bool,
    asked: Option<u64>,
    said: Option<(Probability, Probability)>,
    /// Since when the model (or its absence) allows the end, and since when the transcript does.
    vote_ready: Option<u64>,
    text_ready: Option<u64>,
    /// Since when the end is held back, and whether a window has been judged since.
    held: Option<u64>,
    released: bool,
}

pub(super) struct Oracle {
    config: EndpointerConfig,
    min: u64,
    max: u64,
    now: u64,
    turn: Option<OpenTurn>,
    closed: Option<(u64, u64, u64, bool)>,
    turns: u64,
    queries: u64,
    speech_open: bool,
    pending: bool,
    cut: Option<u64>,
    stats: TurnStats,
    out: std::collections::VecDeque<TurnOutput>,
}

impl Oracle {
    pub(super) fn new(config: EndpointerConfig, origin: u64) -> Self {
        let Delays::Fixed { min, max } = config.delays else {
            panic!("the oracle knows fixed delays only");
        };
        Self {
            config,
            min: min.0,
            max: max.0,
            now: origin,
            turn: None,
            closed: None,
            turns: 0,
            queries: 0,
            speech_open: false,
            pending: false,
            cut: None,
            stats: TurnStats::default(),
            out: Default::default(),
        }
    }

    fn open(&mut self, start: u64, anchor: u64, ended: Option<u64>) {
        self.turn = Some(OpenTurn {
            number: self.turns,
            start,
            anchor,
            ceiling: self.config.max_turn.map_or(u64::MAX, |max| start + max.0),
            ended,
            has_text: false,
            asked: None,
            said: None,
            vote_ready: None,
            text_ready: None,
            held: None,
            released: false,
        });
        self.turns += 1;
        self.cut = None;
    }

    fn ask(&mut self) {
        if let (Some(turn), Some(_)) = (&mut self.turn, self.config.model)
            && turn.asked.is_none()
        {
            turn.asked = Some(self.queries);
            self.out.push_back(TurnOutput::Query(TurnQuery {
                id: self.queries,
                turn: turn.number,
                start: SamplePos(turn.start),
                last_voiced: SamplePos(turn.anchor),
                decided_at: SamplePos(self.now),
            }));
            self.queries += 1;
        }
    }

    fn end(&mut self, wait: Wait, reason: TurnEndReason) {
        if let Some(turn) = self.turn.take() {
            self.out.push_back(TurnOutput::EndOfTurn(EndOfTurn {
                turn: turn.number,
                start: SamplePos(turn.start),
                last_voiced: SamplePos(turn.anchor),
                decided_at: SamplePos(self.now),
                wait,
                votes: Default::default(),
                expectation: Expectation::Free,
                chosen_delay: SampleCount::ZERO,
                silence_delay: SampleCount::ZERO,
                min_delay: SampleCount(self.min),
                max_delay: SampleCount(self.max),
                reason,
            }));
            self.closed = Some((turn.number, turn.anchor, self.now, false));
            self.cut = self.speech_open.then_some(self.now);
        }
    }

    /// What is true now?
    fn look(&mut self) {
        let t = self.now;
        let window = self.config.window.0;
        if let Some(turn) = &mut self.turn
            && let Some(ended) = turn.ended
        {
            let silent = t - turn.anchor;
            let unfinished = turn.said.is_some_and(|(p, threshold)| p < threshold);
            let vote = match (self.config.model, turn.said) {
                (Some(_), Some(_)) if unfinished => silent >= self.max,
                (Some(model), None) => silent >= self.min.max(model.timeout.0.min(self.max)),
                _ => silent >= self.min,
            };
            let text = self
                .config
                .transcript_wait
                .is_none_or(|wait| turn.has_text || silent >= wait.0.min(self.max));
            turn.vote_ready = vote.then(|| turn.vote_ready.unwrap_or(t));
            turn.text_ready = text.then(|| turn.text_ready.unwrap_or(t));

            if let (Some(vote), Some(text)) = (turn.vote_ready, turn.text_ready) {
                let holds = match turn.held {
                    None => self.pending,
                    Some(since) => !turn.released && t < since + window,
                };
                if holds && turn.held.is_none() {
                    turn.held = Some(t);
                    turn.released = false;
                }
                if !holds {
                    let by_vote = match (self.config.model, turn.said) {
                        (None, _) => TurnEndReason::Silence,
                        (Some(_), None) => TurnEndReason::NoAnswer,
                        (Some(_), Some(_)) if unfinished => TurnEndReason::Unfinished,
                        (Some(_), Some(_)) => TurnEndReason::Complete,
                    };
                    let (wait, reason) = if text > vote && turn.has_text {
                        (Wait::Transcript, by_vote)
                    } else if text > vote {
                        (Wait::Transcript, TurnEndReason::NoTranscript)
                    } else if unfinished {
                        (Wait::Max, by_vote)
                    } else if vote > ended.max(turn.anchor + self.min) {
                        (Wait::Model, by_vote)
                    } else {
                        (Wait::Min, by_vote)
                    };
                    self.end(wait, reason);
                }
            } else {
                turn.held = None;
            }
        }
        if self.turn.is_some_and(|turn| t >= turn.ceiling) {
            self.end(Wait::Ceiling, TurnEndReason::TooLong);
        }
    }

    fn transcript(&mut self, speech_end: Option<u64>) {
        if let Some((number, anchor, decided, cleared)) = self.closed {
            let late = match speech_end {
                Some(end) => {
                    end <= decided + self.config.window.0
                        && self.turn.is_none_or(|turn| end <= turn.start)
                }
                None => self.turn.is_none() && self.now - decided <= self.config.amend_window.0,
            };
            if late && cleared {
                self.stats.dropped_transcripts += 1;
                return;
            }
            if late {
                self.out.push_back(TurnOutput::Amended(TurnAmended {
                    turn: number,
                    at: SamplePos(anchor),
                    decided_at: SamplePos(self.now),
                }));
                return;
            }
        }
        if self.turn.is_none() {
            let ended = (!self.speech_open).then_some(self.now);
            self.open(self.now, self.now, ended);
            if ended.is_some() {
                self.ask();
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.has_text = true;
        }
    }
}

impl Machine for Oracle {
    fn before(&mut self, position: u64) {
        while self.now + TICK < position {
            self.now += TICK;
            self.look();
        }
    }

    fn at(&mut self, position: u64) {
        self.before(position);
        self.now = position;
        self.look();
    }

    fn started(&mut self, at: u64, decided_at: u64) -> u64 {
        self.now = decided_at;
        self.speech_open = true;
        self.pending = false;
        match &mut self.turn {
            None => self.open(at, at, None),
            Some(turn) => {
                turn.anchor = turn.anchor.max(at);
                turn.ended = None;
                turn.asked = None;
                turn.said = None;
                turn.vote_ready = None;
                turn.text_ready = None;
                turn.held = None;
            }
        }
        self.turn.map_or(0, |turn| turn.number)
    }

    fn window(&mut self, voiced: Option<u64>, silent: u32, pending: bool, decided_at: u64) {
        self.now = decided_at;
        self.pending = pending;
        if let Some(turn) = &mut self.turn {
            turn.released = true;
        }
        let Some(until) = voiced else { return };
        match &mut self.turn {
            Some(turn) if until > turn.anchor => {
                turn.anchor = until;
                turn.asked = None;
                turn.said = None;
            }
            Some(_) => {}
            None => {
                if let Some(cut) = self.cut
                    && until - self.config.window.0 >= cut
                {
                    self.open(cut, until, None);
                }
            }
        }
        if self
            .config
            .model
            .is_some_and(|model| silent >= model.query_after_windows.max(1))
        {
            self.ask();
        }
    }

    fn ended(&mut self, _: u64, decided_at: u64) {
        self.now = decided_at;
        self.speech_open = false;
        self.cut = None;
        if let Some(turn) = &mut self.turn {
            turn.ended = Some(decided_at);
        }
        self.ask();
    }

    fn host(&mut self, op: Op, position: u64) {
        self.now = position;
        match op {
            Op::Answer(id, p) => match &mut self.turn {
                Some(turn) if turn.asked == Some(id) && turn.said.is_none() => {
                    turn.said = self.config.model.map(|model| (p, model.threshold));
                }
                _ => self.stats.stale_answers += 1,
            },
            Op::Transcript(back) => {
                self.transcript(back.map(|back| position.saturating_sub(back)));
            }
            Op::Commit => self.end(Wait::Flush, TurnEndReason::Committed),
            Op::Clear => {
                if let Some(turn) = self.turn.take() {
                    self.closed = Some((turn.number, turn.anchor, position, true));
                    self.cut = self.speech_open.then_some(position);
                    self.stats.cleared_turns += 1;
                } else if self.cut.is_some() {
                    self.cut = Some(position);
                }
            }
            Op::Finish => {
                self.end(Wait::Flush, TurnEndReason::EndOfInput);
                self.speech_open = false;
                self.pending = false;
                self.cut = None;
            }
            Op::Threshold(p) => {
                if let Some(model) = &mut self.config.model {
                    model.threshold = p;
                }
            }
            Op::AgentStart | Op::AgentStop | Op::Verdict(_) => {}
        }
        self.look();
    }

    fn poll(&mut self) -> Option<TurnOutput> {
        self.out.pop_front()
    }

    fn stats(&self) -> TurnStats {
        self.stats
    }
}
