//! The rules once more, by polling: at every tick it looks at what is true, and knows no deadline.
//!
//! Slow and simple on purpose. Only fixed delays; all positions and delays are multiples of the tick, but for graded waits.

use super::drive::{Machine, Op};
use super::*;
use crate::event::TurnVotes;

pub(super) const TICK: u64 = 64;

#[derive(Clone)]
struct OpenTurn {
    number: u64,
    start: u64,
    anchor: u64,
    ceiling: u64,
    /// In a pause: when the speech was over.
    ended: Option<u64>,
    /// When the first transcript came.
    text_at: Option<u64>,
    /// Questions about this pause: number, when, and what was said.
    asked: Vec<(u64, u64, Option<Probability>)>,
    /// When the last answer came, and the threshold then.
    answered: Option<(u64, Probability)>,
    /// The text model's vote.
    said: Option<ModelVote>,
    /// What the wording says, and since when.
    wording: Option<(CueVote, u64)>,
    /// Since when the end is held back, and whether a window has been judged since.
    held: Option<u64>,
    released: bool,
}

impl OpenTurn {
    fn new_pause(&mut self) {
        self.asked.clear();
        self.answered = None;
        self.said = None;
        self.wording = None;
    }

    /// The newest question without an answer.
    fn open_question(&self) -> Option<u64> {
        let open = self.asked.iter().filter(|asked| asked.2.is_none());
        open.map(|asked| asked.0).max()
    }
}

#[derive(Clone)]
pub(super) struct Oracle {
    config: EndpointerConfig,
    min: u64,
    max: u64,
    now: u64,
    turn: Option<OpenTurn>,
    closed: Option<(u64, u64, u64, bool)>,
    turns: u64,
    queries: u64,
    expectation: Expectation,
    speech_open: bool,
    pending: bool,
    cut: Option<u64>,
    /// How old audio is when it comes.
    age: u64,
    stats: TurnStats,
    /// A copy that only looks where its turn would end.
    imagined: bool,
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
            expectation: Expectation::Free,
            speech_open: false,
            pending: false,
            cut: None,
            age: 0,
            stats: TurnStats::default(),
            imagined: false,
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
            text_at: None,
            asked: Vec::new(),
            answered: None,
            said: None,
            wording: None,
            held: None,
            released: false,
        });
        self.turns += 1;
        self.cut = None;
    }

    fn ask(&mut self) {
        if let (Some(turn), Some(_)) = (&mut self.turn, self.config.model) {
            turn.asked.push((self.queries, self.now, None));
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

    fn ask_first(&mut self) {
        if self.turn.as_ref().is_some_and(|turn| turn.asked.is_empty()) {
            self.ask();
        }
    }

    fn cancel(&mut self, turn: &OpenTurn) {
        if let Some(id) = turn.open_question() {
            self.out
                .push_back(TurnOutput::Cancelled(TurnQueryCancelled {
                    id,
                    turn: turn.number,
                    decided_at: SamplePos(self.now),
                }));
        }
    }

    fn new_pause(&mut self) {
        if let Some(mut turn) = self.turn.take() {
            self.cancel(&turn);
            turn.new_pause();
            self.turn = Some(turn);
        }
    }

    fn forget(&mut self, turn: &OpenTurn, cleared: bool) {
        self.closed = Some((turn.number, turn.anchor, self.now, cleared));
        self.cut = self.speech_open.then_some(self.now);
        self.expectation = Expectation::Free;
        self.cancel(turn);
    }

    /// The delays in force.
    fn delays(&self, turn: &OpenTurn) -> (u64, u64) {
        let table = &self.config.expectations;
        let complete = turn
            .wording
            .is_some_and(|(vote, _)| vote.lean >= table.satisfied_lean);
        let (mut min, mut max) = (self.min, self.max);
        match self.expectation {
            Expectation::Free => {}
            Expectation::YesNo => {
                if turn.anchor - turn.start <= table.short_answer.0 && table.short_min.0 < min {
                    min = table.short_min.0;
                }
            }
            Expectation::FloorGranted => {
                min = min.max(table.floor.0.0);
                max = max.max(table.floor.1.0);
            }
            Expectation::Digits { .. } | Expectation::Spelling | Expectation::Email => {
                if !complete {
                    min = min.max(table.dictation.0.0);
                }
                max = max.max(table.dictation.1.0);
            }
        }
        (min, max)
    }

    fn votes(&self, turn: &OpenTurn) -> TurnVotes {
        let answers: Vec<_> = turn
            .asked
            .iter()
            .filter(|asked| asked.2.is_some())
            .collect();
        let rule = self.config.model.map_or(AnswerRule::Latest, |m| m.answers);
        let audio = turn.answered.map(|(at, threshold)| ModelVote {
            probability: rule
                .combine(answers.iter().filter_map(|asked| asked.2))
                .expect("an answer"),
            threshold,
            asked_at: SamplePos(answers[answers.len() - 1].1),
            answered_at: SamplePos(at),
            answers: answers.len() as u32,
        });
        let cues = turn.wording.map(|(vote, _)| vote);
        let pair = |vote: ModelVote| (vote.probability, vote.threshold);
        let fusion = self.config.fusion;
        TurnVotes {
            audio,
            text: turn.said,
            cues,
            fused: fusion.fuse(audio.map(pair), turn.said.map(pair), cues),
        }
    }

    fn chosen(&self, turn: &OpenTurn) -> u64 {
        let (min, max) = self.delays(turn);
        self.votes(turn).fused.map_or(min, |fused| {
            let rule = self.config.wait_rule;
            rule.wait(fused, SampleCount(min), SampleCount(max)).0
        })
    }

    /// The times that the two models are given.
    fn timeouts(&self) -> [Option<u64>; 2] {
        let weighs = self.config.fusion;
        let (audio, text) = (self.config.model, self.config.text_timeout);
        [
            audio.map(|m| m.timeout.0).filter(|_| weighs.audio > 0.0),
            text.map(|t| t.0).filter(|_| weighs.text > 0.0),
        ]
    }

    /// May the open turn end now?
    fn is_over(&self, turn: &OpenTurn) -> bool {
        let silent = self.now - turn.anchor;
        let (_, max) = self.delays(turn);
        let [audio, text] = self.timeouts();
        let patient = |wait: Option<u64>, has_come: bool| {
            wait.is_some_and(|wait| !has_come && silent < wait.min(max))
        };
        turn.ended.is_some()
            && silent + self.age >= self.chosen(turn)
            && !patient(audio, turn.answered.is_some())
            && !patient(text, turn.said.is_some())
            && !patient(
                self.config.transcript_wait.map(|w| w.0),
                turn.text_at.is_some(),
            )
    }

    /// What came last of all that had to come.
    fn why(&self, turn: &OpenTurn, ended: u64) -> (Wait, TurnEndReason) {
        let (min, max) = self.delays(turn);
        let [audio, text] = self.timeouts();
        let fused = self.votes(turn).fused;
        let chosen = self.chosen(turn);
        let unfinished = fused.is_some_and(|fused| fused.value() < 0.5);
        let mut reason = match fused {
            None if audio.is_none() && text.is_none() => TurnEndReason::Silence,
            None => TurnEndReason::NoAnswer,
            Some(_) if unfinished => TurnEndReason::Unfinished,
            Some(_) => TurnEndReason::Complete,
        };
        let rule = if min < chosen && chosen < max {
            Wait::Graded
        } else if fused.is_some() && chosen == max && (unfinished || min < max) {
            Wait::Max
        } else {
            Wait::Min
        };
        // In the order of who is named when two come together. Time that is up is up at the end of speech, at the earliest.
        let up = |delay: u64| ended.max(turn.anchor + delay.min(max));
        let come = |wait: Option<u64>, at: Option<u64>| match (wait, at) {
            (Some(wait), Some(at)) => up(wait).min(at),
            (Some(wait), None) => up(wait),
            (None, Some(at)) => up(max).min(at),
            (None, None) => 0,
        };
        let said = turn.said.map(|vote| vote.answered_at.0);
        let steps = [
            // The only wait that is the user's.
            (up(chosen.saturating_sub(self.age)), rule),
            (
                come(audio, turn.answered.map(|answered| answered.0)),
                Wait::Model,
            ),
            (come(text, said), Wait::Text),
            (
                come(None, turn.wording.map(|wording| wording.1)),
                Wait::Text,
            ),
        ];
        let mut last = steps[0];
        for step in steps {
            if step.0 > last.0 {
                last = step;
            }
        }
        if let Some(wait) = self.config.transcript_wait {
            let at = come(Some(wait.0), turn.text_at);
            if at > last.0 {
                last = (at, Wait::Transcript);
                if turn.text_at.is_none() {
                    reason = TurnEndReason::NoTranscript;
                }
            }
        }
        (last.1, reason)
    }

    /// Where the turn would end if it had gone another way, nothing else happened and the user were silent.
    fn imagine(&self, change: impl FnOnce(&mut Self, &mut OpenTurn)) -> u64 {
        let mut other = self.clone();
        other.imagined = true;
        other.pending = false;
        other.config.query_never();
        let mut turn = other.turn.take().expect("an open turn");
        turn.ceiling = u64::MAX;
        turn.held = None;
        turn.ended = Some(turn.ended.unwrap_or(turn.anchor));
        change(&mut other, &mut turn);
        other.turn = Some(turn);
        other.look();
        while other.turn.is_some() {
            other.now = other.next_stop();
            other.look();
        }
        other.now
    }

    /// The wait without any vote.
    fn silence(&self) -> SampleCount {
        let mut anchor = 0;
        let end = self.imagine(|other, turn| {
            anchor = turn.anchor;
            other.now = anchor;
            // What the dialogue expects is in force as it is now, with the votes that there are.
            (other.min, other.max) = other.delays(turn);
            other.expectation = Expectation::Free;
            other.config.transcript_wait = None;
            other.age = 0;
            turn.ended = Some(anchor);
            turn.new_pause();
        });
        SampleCount(end - anchor)
    }

    fn chosen_delay(&self, turn: &OpenTurn) -> SampleCount {
        match self.votes(turn).fused {
            Some(_) => SampleCount(self.chosen(turn)),
            None => self.silence(),
        }
    }

    fn end(&mut self, wait: Wait, reason: TurnEndReason) {
        let Some(turn) = self.turn.clone() else {
            return;
        };
        if self.imagined {
            self.turn = None;
            return;
        }
        let (min, max) = self.delays(&turn);
        let end = EndOfTurn {
            overlap: None,
            turn: turn.number,
            start: SamplePos(turn.start),
            last_voiced: SamplePos(turn.anchor),
            decided_at: SamplePos(self.now),
            wait,
            votes: self.votes(&turn),
            expectation: self.expectation,
            min_delay: SampleCount(min),
            max_delay: SampleCount(max),
            chosen_delay: self.chosen_delay(&turn),
            silence_delay: self.silence(),
            reason,
        };
        self.out.push_back(TurnOutput::EndOfTurn(end));
        self.turn = None;
        self.forget(&turn, false);
    }

    fn voted(&mut self) {
        let Some(turn) = self.turn.clone() else {
            return;
        };
        let (min, max) = self.delays(&turn);
        let prediction = TurnPrediction {
            turn: turn.number,
            at: SamplePos(turn.anchor),
            decided_at: SamplePos(self.now),
            votes: self.votes(&turn),
            expectation: self.expectation,
            min_delay: SampleCount(min),
            max_delay: SampleCount(max),
            chosen_delay: self.chosen_delay(&turn),
            silence_delay: self.silence(),
            ends_at: SamplePos(self.imagine(|_, _| {})),
        };
        self.out.push_back(TurnOutput::Prediction(prediction));
    }

    /// What is true now?
    fn look(&mut self) {
        let t = self.now;
        let window = self.config.window.0;
        if let Some(mut turn) = self.turn.take() {
            let over = self.is_over(&turn);
            if over && turn.held.is_none() && self.pending {
                turn.held = Some(t);
                turn.released = false;
            }
            if !over {
                turn.held = None;
            }
            let holds = turn
                .held
                .is_some_and(|since| !turn.released && t < since + window);
            let why = turn.ended.map(|ended| self.why(&turn, ended));
            self.turn = Some(turn);
            if let Some((wait, reason)) = why.filter(|_| over && !holds) {
                self.end(wait, reason);
            }
        }
        if self.turn.as_ref().is_some_and(|turn| t >= turn.ceiling) {
            self.end(Wait::Ceiling, TurnEndReason::TooLong);
        }
        if let (Some(turn), Some(model)) = (&self.turn, self.config.model)
            && let Some(&(_, newest, _)) = turn.asked.last()
            && t > newest
            && model
                .query_again
                .iter()
                .flatten()
                .any(|after| turn.anchor + after.0 == t)
        {
            self.ask();
        }
    }

    /// The next tick, or what lies before it because a graded wait is no multiple of ticks.
    fn next_stop(&self) -> u64 {
        let tick = (self.now / TICK + 1) * TICK;
        let odd = self.turn.iter().flat_map(|turn| {
            let graded = turn.anchor + self.chosen(turn).saturating_sub(self.age);
            let released = turn.held.map(|since| since + self.config.window.0);
            [Some(graded), released].into_iter().flatten()
        });
        odd.filter(|&at| at > self.now).fold(tick, u64::min)
    }

    fn transcript(&mut self, speech_end: Option<u64>) {
        if let Some((number, anchor, decided, cleared)) = self.closed {
            let late = match speech_end {
                Some(end) => {
                    end <= decided + self.config.window.0
                        && self.turn.as_ref().is_none_or(|turn| end <= turn.start)
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
                self.ask_first();
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.text_at.get_or_insert(self.now);
        }
    }

    /// Says whether the answer was to a question that is open.
    fn answer(&mut self, id: u64, p: Probability) -> bool {
        let (Some(turn), Some(model)) = (&mut self.turn, self.config.model) else {
            return false;
        };
        for asked in &mut turn.asked {
            if asked.0 == id && asked.2.is_none() {
                asked.2 = Some(p);
                turn.answered = Some((self.now, model.threshold));
                return true;
            }
        }
        false
    }

    fn text(
        &mut self,
        number: u64,
        (probability, threshold): (Probability, Probability),
        asked_at: u64,
    ) -> bool {
        let Some(turn) = &mut self.turn else {
            return false;
        };
        let newest = turn.said.map_or(0, |said| said.asked_at.0);
        if turn.number != number || asked_at < turn.anchor || asked_at < newest {
            return false;
        }
        turn.said = Some(ModelVote {
            probability,
            threshold,
            asked_at: SamplePos(asked_at),
            answered_at: SamplePos(self.now),
            answers: turn.said.map_or(0, |said| said.answers) + 1,
        });
        true
    }

    fn cues(&mut self, number: u64, lean: f32) -> bool {
        match &mut self.turn {
            Some(turn) if turn.number == number && !lean.is_nan() => {
                let vote = CueVote {
                    lean: lean.clamp(-1.0, 1.0),
                    ..CueVote::default()
                };
                turn.wording = Some((vote, self.now));
                true
            }
            _ => false,
        }
    }
}

impl EndpointerConfig {
    /// For what is only imagined: nobody is asked.
    fn query_never(&mut self) {
        if let Some(model) = &mut self.model {
            model.query_again = [None; MAX_REPEATS];
        }
    }
}

impl Machine for Oracle {
    fn before(&mut self, position: u64) {
        while self.next_stop() < position {
            self.now = self.next_stop();
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
                turn.held = None;
                self.new_pause();
            }
        }
        self.turn.as_ref().map_or(0, |turn| turn.number)
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
                self.new_pause();
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
            self.ask_first();
        }
    }

    fn ended(&mut self, _: u64, decided_at: u64) {
        self.now = decided_at;
        self.speech_open = false;
        self.cut = None;
        if let Some(turn) = &mut self.turn {
            turn.ended = Some(decided_at);
        }
        self.ask_first();
    }

    fn host(&mut self, op: Op, position: u64) {
        self.now = position;
        match op {
            Op::Answer(id, p) => {
                if self.answer(id, p) {
                    self.voted();
                } else {
                    self.stats.stale_answers += 1;
                }
            }
            Op::Text(turn, vote, back) => {
                let asked_at = position.saturating_sub(back.unwrap_or(0));
                if self.text(turn, vote, asked_at) {
                    self.voted();
                } else {
                    self.stats.stale_votes += 1;
                }
            }
            Op::Cues(turn, lean) => {
                if self.cues(turn, lean) {
                    self.voted();
                } else {
                    self.stats.stale_votes += 1;
                }
            }
            Op::Expect(expectation) => self.expectation = expectation,
            Op::Transcript(back) => {
                self.transcript(back.map(|back| position.saturating_sub(back)));
            }
            Op::Commit => self.end(Wait::Flush, TurnEndReason::Committed),
            Op::Clear => {
                if let Some(turn) = self.turn.take() {
                    self.forget(&turn, true);
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
            Op::Age(age) => self.age = age,
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
