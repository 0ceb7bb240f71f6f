//! When the user's turn is over: a state machine over positions, without audio, allocation or clock.

mod config;
mod decision;
mod delay;
mod expect;
mod outbox;
mod pause;
#[cfg(test)]
mod tests;
mod timers;

use crate::event::{
    CueVote, EndOfTurn, Expectation, ModelVote, TurnAmended, TurnEndReason, TurnPrediction,
    TurnQuery, TurnQueryCancelled, Wait,
};
use crate::turn::AnswerRule;
use crate::units::{Probability, SampleCount, SamplePos};
pub(crate) use config::{AudioModel, EndpointerConfig};
use decision::{Rules, Turn};
use delay::DelayPolicy;
pub(crate) use delay::Delays;
pub(crate) use expect::ExpectationRules;
use outbox::Outbox;
use pause::Pause;
use timers::{Timer, Timers};

/// How often the audio model may be asked about a pause again, at most. Bounds what one pause can put into the queues.
pub(crate) const MAX_REPEATS: usize = 3;

/// What an [`Endpointer`] says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TurnOutput {
    /// The turn is over.
    EndOfTurn(EndOfTurn),
    /// A vote on the current pause has come.
    Prediction(TurnPrediction),
    /// The audio model is asked about the current pause.
    Query(TurnQuery),
    /// Questions that need no answer any more.
    Cancelled(TurnQueryCancelled),
    /// A transcript belongs to a turn that is over.
    Amended(TurnAmended),
}

/// What an [`Endpointer`] counted, over its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnStats {
    /// Answers to no open question: late, repeated, or about a pause the user has ended.
    pub(crate) stale_answers: u64,
    /// Votes of text models and wordings that were ignored: about another turn or an older pause, or not a number.
    pub(crate) stale_votes: u64,
    /// Turns forgotten by [`Endpointer::clear`].
    pub(crate) cleared_turns: u64,
    /// Transcripts that came late for such a turn.
    pub(crate) dropped_transcripts: u64,
}

/// Decides when the user's turn is over.
///
/// # Protocol
/// Three kinds of input. The *segmenter's*, for every window in this order: `speech_started` (if the window
/// confirmed it), `window`, `speech_ended` (if the window decided it). *Time*: [`advance`](Self::advance) to
/// every position given by [`deadline`](Self::deadline), and to the end of what was pushed; at one position
/// the segmenter goes first, so that speech wins over a timer. The *host's*, at the current position.
/// [`poll`](Self::poll) until `None` after every position at which something was put in. Positions that run
/// backwards are taken as the latest one seen.
///
/// # Rules
/// * **Turn.** It opens with the first confirmed speech after the turn before it, and ends once. Numbers
///   count up by one.
/// * **Anchor.** Delays run from the end of the last voiced window of confirmed speech, and side by side:
///   the largest decides. See [`Turn::decide`] for all the arithmetic.
/// * **Bound.** A turn ends at most `max_delay` plus one window after the anchor, or with the end of its
///   speech if the segmenter took longer than that to see it. The ceiling and the host may end it earlier.
/// * **Age.** Audio that is old when it comes makes the chosen wait that much shorter, so that it counts from when the
///   user fell silent. It never ends a turn in speech, and gives no model less time.
/// * **Going on.** Speech before the deadline cancels it. A decision that falls while speech seems to begin
///   waits for the next window to tell, once, and at most one window long.
/// * **Model.** The audio model is asked as early as `query_after_windows` into a pause, and again at the fixed
///   times of `query_again`. A voiced window makes a new pause; answers and votes about older ones are counted and
///   ignored, questions that are still open are cancelled. A late vote counts as long as the turn is open, and may
///   make the wait longer or shorter.
/// * **Votes.** Audio, text and wording are each optional. A configured model is awaited until its timeout. Which votes
///   are there decides, not the order in which they came.
/// * **Expectation.** It holds for the open or the next turn, changes its delays, and ends with it.
/// * **Transcript.** Only a turn that never had one waits for it. One that arrives for a closed turn
///   amends it: its speech ended before that turn was decided (plus one window, because recognisers round)
///   and before the open turn began; or its position is not known, no turn is open, and the last one was
///   decided within `amend_window`. Otherwise it belongs to the open turn, or opens one whose anchor is its
///   arrival: the recogniser heard what the detector missed. Only the last closed turn is remembered.
/// * **Ceiling.** `max_turn` after its start a turn ends, speech or not.
/// * **Cut.** Where a turn ends in mid-speech (ceiling, commit, clear) the same speech may go on: the
///   first voiced window that began at or after the cut opens the next turn, whose start is the cut. A
///   window across the cut belongs to the turn before. There is no new start of speech.
/// * **Clear.** A cleared turn has no end event: nobody shall answer it. Its number is used up, and
///   transcripts that come for it are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Endpointer {
    config: EndpointerConfig,
    delay: DelayPolicy,
    timers: Timers,
    now: SamplePos,
    turn: Option<Turn>,
    closed: Option<Closed>,
    next_turn: u64,
    next_query: u64,
    speech_open: bool,
    onset_pending: bool,
    /// Where a turn ended in speech that is still open.
    cut: Option<SamplePos>,
    verdict: Option<bool>,
    expectation: Expectation,
    /// How old audio is when it comes.
    age: SampleCount,
    outbox: Outbox,
    stats: TurnStats,
}

/// The last turn that ended.
#[derive(Clone, Copy, Debug)]
struct Closed {
    number: u64,
    last_voiced: SamplePos,
    decided_at: SamplePos,
    cleared: bool,
}

impl Endpointer {
    /// An endpointer for a stream that starts at `origin`.
    pub(crate) fn new(config: EndpointerConfig, origin: SamplePos) -> Self {
        Self {
            config,
            delay: DelayPolicy::new(config.delays, config.rate, config.agent_speech_grace),
            timers: Timers::default(),
            now: origin,
            turn: None,
            closed: None,
            next_turn: 0,
            next_query: 0,
            speech_open: false,
            onset_pending: false,
            cut: None,
            verdict: None,
            expectation: Expectation::Free,
            age: SampleCount::ZERO,
            outbox: Outbox::default(),
            stats: TurnStats::default(),
        }
    }

    // From the segmenter, in order of `decided_at`.

    /// Speech that began at `at` was confirmed. Returns the number of the turn it belongs to.
    pub(crate) fn speech_started(&mut self, at: SamplePos, decided_at: SamplePos) -> u64 {
        let now = self.enter_segmenter(decided_at);
        let at = at.min(now);
        self.speech_open = true;
        self.onset_pending = false;
        let agent_speaking = self.delay.is_agent_speaking();
        self.delay.user_started(at, agent_speaking);
        let number = if let Some(turn) = &mut self.turn {
            turn.voiced(at);
            turn.ended = None;
            let number = turn.number;
            self.new_pause();
            number
        } else {
            self.open(at, at)
        };
        self.rearm();
        number
    }

    /// A window was judged. `voiced_until`: end of the last voiced window of the open speech;
    /// `silent_windows`: windows since then; `onset_pending`: no speech is open, but it may be beginning.
    pub(crate) fn window(
        &mut self,
        voiced_until: Option<SamplePos>,
        silent_windows: u32,
        onset_pending: bool,
        decided_at: SamplePos,
    ) {
        let now = self.enter_segmenter(decided_at);
        self.onset_pending = onset_pending && !self.speech_open;
        if self.timers.is_armed(Timer::Hold) {
            self.timers.arm(Timer::Hold, now);
        }
        if let Some(until) = voiced_until
            && self.speech_open
        {
            self.voiced(until.min(now));
            let asks_after = self.config.model.map(|m| m.query_after_windows.max(1));
            if asks_after.is_some_and(|windows| silent_windows >= windows) {
                self.ask_first();
            }
        }
    }

    /// The open speech is over since `last_voiced`.
    pub(crate) fn speech_ended(&mut self, last_voiced: SamplePos, decided_at: SamplePos) {
        let now = self.enter_segmenter(decided_at);
        if !self.speech_open {
            return;
        }
        let last_voiced = last_voiced.min(now);
        self.voiced(last_voiced);
        self.end_speech(last_voiced);
        if let Some(turn) = &mut self.turn {
            turn.ended = Some(now);
        }
        self.ask_first();
        self.rearm();
    }

    // From the host, at the current position.

    /// The audio model answered question `id`.
    pub(crate) fn answer(&mut self, id: u64, probability: Probability, now: SamplePos) {
        self.advance(now);
        let now = self.now;
        let taken = match (&mut self.turn, self.config.model) {
            (Some(turn), Some(model)) => turn.pause.answer(id, probability, model.threshold, now),
            _ => false,
        };
        if taken {
            self.voted();
        } else {
            self.stats.stale_answers += 1;
        }
    }

    /// A text model judged the transcript of turn `turn`, as it was when the stream was at `asked_at`; `None`: just now.
    pub(crate) fn text_answer(
        &mut self,
        turn: u64,
        (probability, threshold): (Probability, Probability),
        asked_at: Option<SamplePos>,
        now: SamplePos,
    ) {
        self.advance(now);
        let now = self.now;
        let asked_at = asked_at.map_or(now, |at| at.min(now));
        let vote = ModelVote {
            probability,
            threshold,
            asked_at,
            answered_at: now,
            answers: 1,
        };
        let taken = match &mut self.turn {
            Some(open) if open.number == turn && asked_at >= open.last_voiced => {
                open.pause.text(vote)
            }
            _ => false,
        };
        if taken {
            self.voted();
        } else {
            self.stats.stale_votes += 1;
        }
    }

    /// The wording of turn `turn` was looked at.
    pub(crate) fn text_cues(&mut self, turn: u64, vote: CueVote, now: SamplePos) {
        self.advance(now);
        let now = self.now;
        match &mut self.turn {
            Some(open) if open.number == turn && !vote.lean.is_nan() => {
                let lean = vote.lean.clamp(-1.0, 1.0);
                open.pause.cues(CueVote { lean, ..vote }, now);
                self.voted();
            }
            _ => self.stats.stale_votes += 1,
        }
    }

    /// What the dialogue expects of the open turn, or of the next one.
    pub(crate) fn expect(&mut self, expectation: Expectation, now: SamplePos) {
        self.advance(now);
        self.expectation = expectation;
        self.settle();
    }

    /// A final transcript arrived, of speech that ended at `speech_end` if the recogniser knows.
    pub(crate) fn transcript(&mut self, speech_end: Option<SamplePos>, now: SamplePos) {
        self.advance(now);
        let now = self.now;
        if let Some(closed) = self.closed_turn_of(speech_end) {
            if closed.cleared {
                self.stats.dropped_transcripts += 1;
            } else {
                self.outbox.push(TurnOutput::Amended(TurnAmended {
                    turn: closed.number,
                    at: closed.last_voiced,
                    decided_at: now,
                }));
            }
            return;
        }
        if self.turn.is_none() {
            self.open(now, now);
            if !self.speech_open {
                if let Some(turn) = &mut self.turn {
                    turn.ended = Some(now);
                }
                self.ask_first();
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.transcript.get_or_insert(now);
        }
        self.settle();
    }

    /// The agent became audible.
    pub(crate) fn agent_started(&mut self, now: SamplePos) {
        self.advance(now);
        self.delay.agent_started(self.now);
    }

    /// The agent fell silent.
    pub(crate) fn agent_stopped(&mut self, now: SamplePos) {
        self.advance(now);
        self.delay.agent_stopped(self.now);
    }

    /// Whether the user means to interrupt the agent with the speech that is open. Without open speech it
    /// is about nothing and ignored.
    pub(crate) const fn interruption_verdict(&mut self, is_interruption: bool) {
        if self.speech_open {
            self.verdict = Some(is_interruption);
        }
    }

    /// The same from whoever judges overlaps; what the host says counts more.
    pub(crate) fn suggest_verdict(&mut self, is_interruption: Option<bool>) {
        self.verdict = self.verdict.or(is_interruption);
    }

    /// Ends the open turn at once. Without one, nothing happens.
    pub(crate) fn commit(&mut self, now: SamplePos) {
        self.advance(now);
        self.close(self.now, Wait::Flush, TurnEndReason::Committed);
    }

    /// Forgets the open turn, without an event.
    pub(crate) fn clear(&mut self, now: SamplePos) {
        self.advance(now);
        if let Some(turn) = self.turn {
            self.stats.cleared_turns += 1;
            self.forget(&turn, self.now, true);
        } else if self.cut.is_some() {
            self.cut = Some(self.now);
        }
    }

    /// The stream is over, or starts afresh: speech and turn end here. No `speech_ended` is needed before,
    /// it would only ask a question that nobody waits for.
    pub(crate) fn finish(&mut self, now: SamplePos, reason: TurnEndReason) {
        self.advance(now);
        self.close(self.now, Wait::Flush, reason);
        if self.speech_open {
            let last_voiced = self.closed.map_or(self.now, |closed| closed.last_voiced);
            self.end_speech(last_voiced);
        }
        self.onset_pending = false;
    }

    /// Another threshold for answers from now on, for example after a change of language.
    pub(crate) const fn set_model_threshold(&mut self, threshold: Probability) {
        if let Some(model) = &mut self.config.model {
            model.threshold = threshold;
        }
    }

    /// Audio is this old when it comes, from now on; a decision that waits is made anew.
    pub(crate) fn audio_age(&mut self, age: SampleCount, now: SamplePos) {
        self.advance(now);
        self.age = age;
        self.settle();
    }

    // Time.

    /// The position [`advance`](Self::advance) has to be called with next, at the latest.
    pub(crate) fn deadline(&self) -> Option<SamplePos> {
        self.timers.next().map(|(_, at)| at)
    }

    /// Time has come to `now`: fires all timers up to there, each at its own position.
    pub(crate) fn advance(&mut self, now: SamplePos) {
        while let Some((timer, at)) = self.timers.next()
            && at <= now
        {
            self.fire(timer, at);
        }
        self.now = self.now.max(now);
    }

    /// The next thing it has to say.
    pub(crate) const fn poll(&mut self) -> Option<TurnOutput> {
        self.outbox.pop()
    }

    /// The stream goes on at another rate: `map` moves a position, `config` says the same in new samples.
    /// What was learned is kept. Poll first: what waits there is in old samples.
    pub(crate) fn rebase(
        &mut self,
        config: EndpointerConfig,
        map: impl Fn(SamplePos) -> SamplePos,
    ) {
        let threshold = self.config.model.map(|model| model.threshold);
        let (from, to) = (self.config.rate.hz(), config.rate.hz());
        self.age.0 = (self.age.0.saturating_mul(u64::from(to))).div_ceil(u64::from(from));
        self.config = config;
        // The host's, if it has set one: a change of rate is no reason to forget it.
        if let (Some(model), Some(threshold)) = (&mut self.config.model, threshold) {
            model.threshold = threshold;
        }
        self.delay
            .rebase(config.delays, config.rate, config.agent_speech_grace, &map);
        self.timers.map(&map);
        self.now = map(self.now);
        self.cut = self.cut.map(&map);
        if let Some(turn) = &mut self.turn {
            turn.map(&map);
        }
        if let Some(closed) = &mut self.closed {
            closed.last_voiced = map(closed.last_voiced);
            closed.decided_at = map(closed.decided_at);
        }
        self.rearm();
    }

    /// The open turn.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.turn.map(|turn| turn.number)
    }

    /// What it counted.
    pub(crate) const fn stats(&self) -> TurnStats {
        self.stats
    }

    // Inside.

    /// Fires the timers before `at`; those at `at` wait, because speech wins over a timer.
    fn enter_segmenter(&mut self, at: SamplePos) -> SamplePos {
        while let Some((timer, due)) = self.timers.next()
            && due < at
        {
            self.fire(timer, due);
        }
        self.now = self.now.max(at);
        self.now
    }

    fn fire(&mut self, timer: Timer, at: SamplePos) {
        match timer {
            Timer::Decision if self.onset_pending => {
                self.timers.disarm(Timer::Decision);
                self.timers.arm(Timer::Hold, at + self.config.window);
            }
            Timer::Decision | Timer::Hold => {
                self.timers.disarm(timer);
                let rules = self.rules();
                if let Some(decision) = self.turn.and_then(|turn| turn.decide(&rules)) {
                    self.close(at, decision.wait, decision.reason);
                }
            }
            Timer::Ceiling => {
                self.timers.disarm(timer);
                self.close(at, Wait::Ceiling, TurnEndReason::TooLong);
            }
            Timer::Question => {
                self.timers.disarm(timer);
                self.now = self.now.max(at);
                self.ask();
            }
        }
    }

    /// Arms the timer of the decision as it stands now.
    fn rearm(&mut self) {
        let rules = self.rules();
        match self.turn.and_then(|turn| turn.decide(&rules)) {
            None => {
                self.timers.disarm(Timer::Decision);
                self.timers.disarm(Timer::Hold);
            }
            // It is held back already.
            Some(decision) if decision.at <= self.now && self.timers.is_armed(Timer::Hold) => {}
            Some(decision) => {
                self.timers.disarm(Timer::Hold);
                self.timers.arm(Timer::Decision, decision.at.max(self.now));
            }
        }
    }

    /// After an input of the host: what it decided happens here, not at the next sample.
    fn settle(&mut self) {
        self.rearm();
        self.advance(self.now);
    }

    /// After a vote: it is told, and what it decided happens.
    fn voted(&mut self) {
        let rules = self.rules();
        if let Some(turn) = &self.turn {
            let prediction = turn.prediction(self.now, &rules);
            self.outbox.push(TurnOutput::Prediction(prediction));
        }
        self.settle();
    }

    /// The rules in force for the open turn.
    fn rules(&self) -> Rules {
        let base = (self.delay.min(), self.delay.max());
        let (min, max) = self.turn.map_or(base, |turn| {
            let spoken = turn.last_voiced.since(turn.start);
            let lean = turn.pause.lean();
            let table = &self.config.expectations;
            table.delays(self.expectation, base, spoken, lean)
        });
        let model = self.config.model;
        let fusion = self.config.fusion;
        // What has no weight changes nothing: nobody waits for it.
        let audio_timeout = model.filter(|_| fusion.audio > 0.0).map(|m| m.timeout);
        let text_timeout = self.config.text_timeout.filter(|_| fusion.text > 0.0);
        Rules {
            expectation: self.expectation,
            min,
            max,
            wait_rule: self.config.wait_rule,
            fusion,
            answers: model.map_or(AnswerRule::default(), |model| model.answers),
            audio_timeout,
            text_timeout,
            transcript_wait: self.config.transcript_wait,
            age: self.age,
        }
    }

    fn open(&mut self, start: SamplePos, last_voiced: SamplePos) -> u64 {
        let number = self.next_turn;
        self.next_turn += 1;
        self.turn = Some(Turn::new(number, start, last_voiced));
        self.cut = None;
        if let Some(max_turn) = self.config.max_turn {
            let ceiling = (start + max_turn).max(self.now);
            self.timers.arm(Timer::Ceiling, ceiling);
        }
        number
    }

    fn voiced(&mut self, until: SamplePos) {
        if let Some(turn) = &mut self.turn {
            if turn.voiced(until) {
                self.new_pause();
            }
        } else if let Some(cut) = self.cut
            && until >= cut + self.config.window
        {
            self.open(cut, until);
        }
    }

    /// What was asked and said is about an older pause.
    fn new_pause(&mut self) {
        if let Some(turn) = &mut self.turn {
            let old = std::mem::take(&mut turn.pause);
            let number = turn.number;
            self.timers.disarm(Timer::Question);
            self.cancel(&old, number);
        }
    }

    fn cancel(&mut self, pause: &Pause, turn: u64) {
        if let Some(id) = pause.open_question() {
            self.outbox.push(TurnOutput::Cancelled(TurnQueryCancelled {
                id,
                turn,
                decided_at: self.now,
            }));
        }
    }

    /// Asks about the pause, if nobody has yet.
    fn ask_first(&mut self) {
        if self.turn.is_some_and(|turn| !turn.pause.was_asked()) {
            self.ask();
        }
    }

    /// Asks about the pause, and makes a note of when to ask again.
    fn ask(&mut self) {
        let (now, id) = (self.now, self.next_query);
        if let (Some(turn), Some(model)) = (&mut self.turn, &self.config.model)
            && turn.pause.ask(id, now)
        {
            self.next_query += 1;
            self.outbox.push(TurnOutput::Query(turn.query(id, now)));
            if let Some(at) = turn.pause.next_question(model, turn.last_voiced, now) {
                self.timers.arm(Timer::Question, at);
            }
        }
    }

    fn end_speech(&mut self, last_voiced: SamplePos) {
        self.speech_open = false;
        self.cut = None;
        let verdict = self.verdict.take();
        self.delay.user_ended(last_voiced, verdict);
    }

    fn close(&mut self, at: SamplePos, wait: Wait, reason: TurnEndReason) {
        if let Some(turn) = self.turn {
            let record = turn.record(at, wait, reason, &self.rules());
            self.outbox.push(TurnOutput::EndOfTurn(record));
            self.forget(&turn, at, false);
        }
    }

    fn forget(&mut self, turn: &Turn, at: SamplePos, cleared: bool) {
        self.closed = Some(Closed {
            number: turn.number,
            last_voiced: turn.last_voiced,
            decided_at: at,
            cleared,
        });
        self.turn = None;
        self.expectation = Expectation::Free;
        self.timers = Timers::default();
        self.now = self.now.max(at);
        self.cancel(&turn.pause, turn.number);
        if self.speech_open {
            self.cut = Some(at);
        }
    }

    /// The closed turn that a transcript belongs to, if it is not of the open turn or of a new one.
    fn closed_turn_of(&self, speech_end: Option<SamplePos>) -> Option<Closed> {
        self.closed.filter(|closed| match (speech_end, &self.turn) {
            (Some(end), Some(open)) => {
                end <= open.start && end <= closed.decided_at + self.config.window
            }
            (Some(end), None) => end <= closed.decided_at + self.config.window,
            (None, Some(_)) => false,
            (None, None) => self.now.since(closed.decided_at) <= self.config.amend_window,
        })
    }
}
