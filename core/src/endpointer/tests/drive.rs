//! Drives an endpointer, or its oracle, through a script: a segmenter in small, with gaps and a host.

use super::oracle::TICK;
use super::*;
use crate::event::TurnVotes;

/// Something the host does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Answer(u64, Probability),
    /// A text model's vote, with its threshold, on a turn counted back from the newest one, put to it so many samples ago.
    Text(u64, (Probability, Probability), Option<u64>),
    /// What the wording of a turn says, counted back likewise.
    Cues(u64, f32),
    Expect(Expectation),
    /// Of speech that ended so many samples ago.
    Transcript(Option<u64>),
    AgentStart,
    AgentStop,
    Verdict(bool),
    Commit,
    Clear,
    Finish,
    Threshold(Probability),
    /// Audio is this old from now on.
    Age(u64),
}

/// What is driven: the endpointer, or its oracle.
pub(super) trait Machine {
    /// Time has come close to `position`.
    fn before(&mut self, position: u64);
    /// Time has come to `position`.
    fn at(&mut self, position: u64);
    fn started(&mut self, at: u64, decided_at: u64) -> u64;
    fn window(&mut self, voiced: Option<u64>, silent: u32, pending: bool, decided_at: u64);
    fn ended(&mut self, last_voiced: u64, decided_at: u64);
    fn host(&mut self, op: Op, position: u64);
    fn poll(&mut self) -> Option<TurnOutput>;
    fn stats(&self) -> TurnStats;
}

/// The endpointer, told the time in steps of its own: `stride` 0 tells it only what it must be told.
pub(super) struct Stepped {
    pub(super) endpointer: Endpointer,
    stride: u64,
    told: u64,
}

impl Stepped {
    pub(super) fn new(config: EndpointerConfig, origin: u64, stride: u64) -> Self {
        Self {
            endpointer: Endpointer::new(config, SamplePos(origin)),
            stride,
            told: origin,
        }
    }
}

impl Machine for Stepped {
    fn before(&mut self, position: u64) {
        while self.stride > 0 && self.told + self.stride < position {
            self.told += self.stride;
            self.endpointer.advance(SamplePos(self.told));
        }
    }

    fn at(&mut self, position: u64) {
        self.before(position);
        self.told = position;
        self.endpointer.advance(SamplePos(position));
        let due = self.endpointer.deadline();
        assert!(due.is_none_or(|due| due.0 > position), "{due:?} was missed");
    }

    fn started(&mut self, at: u64, decided_at: u64) -> u64 {
        self.endpointer
            .speech_started(SamplePos(at), SamplePos(decided_at))
    }

    fn window(&mut self, voiced: Option<u64>, silent: u32, pending: bool, decided_at: u64) {
        let decided_at = SamplePos(decided_at);
        self.endpointer
            .window(voiced.map(SamplePos), silent, pending, decided_at);
    }

    fn ended(&mut self, last_voiced: u64, decided_at: u64) {
        self.endpointer
            .speech_ended(SamplePos(last_voiced), SamplePos(decided_at));
    }

    fn host(&mut self, op: Op, position: u64) {
        let (endpointer, now) = (&mut self.endpointer, SamplePos(position));
        match op {
            Op::Answer(id, p) => endpointer.answer(id, p, now),
            Op::Text(turn, vote, back) => {
                let asked_at = back.map(|back| now - SampleCount(back));
                endpointer.text_answer(turn, vote, asked_at, now);
            }
            Op::Cues(turn, lean) => {
                let vote = CueVote {
                    lean,
                    ..CueVote::default()
                };
                endpointer.text_cues(turn, vote, now);
            }
            Op::Expect(expectation) => endpointer.expect(expectation, now),
            Op::Transcript(back) => {
                endpointer.transcript(back.map(|back| now - SampleCount(back)), now);
            }
            Op::AgentStart => endpointer.agent_started(now),
            Op::AgentStop => endpointer.agent_stopped(now),
            Op::Verdict(verdict) => endpointer.interruption_verdict(verdict),
            Op::Commit => endpointer.commit(now),
            Op::Clear => endpointer.clear(now),
            Op::Finish => endpointer.finish(now, TurnEndReason::EndOfInput),
            Op::Threshold(p) => endpointer.set_model_threshold(p),
            Op::Age(age) => endpointer.audio_age(SampleCount(age), now),
        }
    }

    fn poll(&mut self) -> Option<TurnOutput> {
        self.endpointer.poll()
    }

    fn stats(&self) -> TurnStats {
        self.endpointer.stats()
    }
}

/// The endpointer, whose stream changes to twice the rate after some windows. It is told everything in samples of
/// the new rate from there on, and what it says is halved.
pub(super) struct Doubling {
    inner: Stepped,
    config: EndpointerConfig,
    windows_left: u32,
    factor: u64,
}

impl Doubling {
    pub(super) const fn new(inner: Stepped, config: EndpointerConfig, windows_left: u32) -> Self {
        Self {
            inner,
            config,
            windows_left,
            factor: 1,
        }
    }

    fn double(config: EndpointerConfig) -> EndpointerConfig {
        let twice = |count: SampleCount| SampleCount(count.0 * 2);
        let both = |(min, max)| (twice(min), twice(max));
        EndpointerConfig {
            rate: SampleRate::new(RATE.hz() * 2).expect("a rate"),
            window: twice(config.window),
            delays: match config.delays {
                Delays::Fixed { min, max } => Delays::Fixed {
                    min: twice(min),
                    max: twice(max),
                },
                Delays::Dynamic { .. } => panic!("learned delays are rounded to samples"),
            },
            model: config.model.map(|model| AudioModel {
                timeout: twice(model.timeout),
                query_again: model.query_again.map(|after| after.map(twice)),
                ..model
            }),
            text_timeout: config.text_timeout.map(twice),
            wait_rule: config.wait_rule,
            fusion: config.fusion,
            expectations: ExpectationRules {
                short_answer: twice(config.expectations.short_answer),
                short_min: twice(config.expectations.short_min),
                dictation: both(config.expectations.dictation),
                floor: both(config.expectations.floor),
                ..config.expectations
            },
            transcript_wait: config.transcript_wait.map(twice),
            max_turn: config.max_turn.map(twice),
            agent_speech_grace: twice(config.agent_speech_grace),
            amend_window: twice(config.amend_window),
        }
    }
}

impl Machine for Doubling {
    fn before(&mut self, position: u64) {
        if self.windows_left == 0 && self.factor == 1 {
            self.factor = 2;
            let config = EndpointerConfig {
                model: self.inner.endpointer.config.model,
                ..self.config
            };
            self.inner
                .endpointer
                .rebase(Self::double(config), |at| SamplePos(at.0 * 2));
        }
        self.inner.before(position * self.factor);
    }

    fn at(&mut self, position: u64) {
        self.inner.at(position * self.factor);
    }

    fn started(&mut self, at: u64, decided_at: u64) -> u64 {
        self.inner
            .started(at * self.factor, decided_at * self.factor)
    }

    fn window(&mut self, voiced: Option<u64>, silent: u32, pending: bool, decided_at: u64) {
        self.windows_left = self.windows_left.saturating_sub(1);
        let voiced = voiced.map(|at| at * self.factor);
        self.inner
            .window(voiced, silent, pending, decided_at * self.factor);
    }

    fn ended(&mut self, last_voiced: u64, decided_at: u64) {
        self.inner
            .ended(last_voiced * self.factor, decided_at * self.factor);
    }

    fn host(&mut self, op: Op, position: u64) {
        let op = match op {
            Op::Transcript(back) => Op::Transcript(back.map(|back| back * self.factor)),
            Op::Text(turn, vote, back) => Op::Text(turn, vote, back.map(|back| back * self.factor)),
            Op::Age(age) => Op::Age(age * self.factor),
            op => op,
        };
        self.inner.host(op, position * self.factor);
    }

    fn poll(&mut self) -> Option<TurnOutput> {
        let halve = |at: SamplePos| SamplePos(at.0 / self.factor);
        let less = |count: SampleCount| SampleCount(count.0 / self.factor);
        Some(match moved(self.inner.poll()?, halve) {
            TurnOutput::EndOfTurn(end) => TurnOutput::EndOfTurn(EndOfTurn {
                min_delay: less(end.min_delay),
                max_delay: less(end.max_delay),
                chosen_delay: less(end.chosen_delay),
                silence_delay: less(end.silence_delay),
                ..end
            }),
            TurnOutput::Prediction(told) => TurnOutput::Prediction(TurnPrediction {
                min_delay: less(told.min_delay),
                max_delay: less(told.max_delay),
                chosen_delay: less(told.chosen_delay),
                silence_delay: less(told.silence_delay),
                ..told
            }),
            output => output,
        })
    }

    fn stats(&self) -> TurnStats {
        self.inner.stats()
    }
}

/// Some windows alike, and what happens among them.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) voiced: bool,
    pub(super) windows: u64,
    /// Missing ticks before the run.
    pub(super) gap: u64,
    /// In which window, at which tick, what.
    pub(super) host: Vec<(u64, u64, Op)>,
}

/// Everything that came out, and the turns that were named by a start of speech.
#[derive(Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) outputs: Vec<TurnOutput>,
    pub(super) starts: Vec<u64>,
    pub(super) stats: TurnStats,
}

/// Runs a segmenter over `script`; the input ends behind it.
pub(super) fn drive(machine: &mut impl Machine, script: &[Run], origin: u64) -> Heard {
    let (mut now, mut onset, mut silent) = (origin, 0, 0);
    let mut voiced_until: Option<u64> = None;
    let (mut last_query, mut last_turn) = (0, 0);
    let mut starts = Vec::new();
    let mut outputs = Vec::new();
    let mut drain = |machine: &mut dyn Machine, last_query: &mut u64, last_turn: &mut u64| {
        while let Some(output) = machine.poll() {
            if let TurnOutput::Query(query) = output {
                *last_query = query.id;
                *last_turn = query.turn;
            }
            outputs.push(output);
        }
    };
    for run in script {
        if run.gap > 0 {
            if let Some(last_voiced) = voiced_until.take() {
                machine.ended(last_voiced, now);
                machine.at(now);
            }
            now += run.gap * TICK;
            machine.at(now);
            drain(machine, &mut last_query, &mut last_turn);
            onset = 0;
        }
        for window in 0..run.windows {
            let end = now + WINDOW;
            for &(_, tick, op) in run.host.iter().filter(|host| host.0 == window) {
                let position = now + tick * TICK;
                machine.at(position);
                // There is nothing before the first sample to speak of.
                let heard = |back: Option<u64>| back.map(|back| back.min(position - origin));
                let op = match op {
                    // Counted back from the newest question.
                    Op::Answer(back, p) => Op::Answer(last_query.wrapping_sub(back), p),
                    Op::Text(back, vote, at) => {
                        Op::Text(last_turn.wrapping_sub(back), vote, heard(at))
                    }
                    Op::Transcript(back) => Op::Transcript(heard(back)),
                    Op::Cues(back, lean) => Op::Cues(last_turn.wrapping_sub(back), lean),
                    op => op,
                };
                machine.host(op, position);
                if matches!(op, Op::Finish) {
                    voiced_until = None;
                    onset = 0;
                }
                drain(machine, &mut last_query, &mut last_turn);
            }

            machine.before(end);
            onset = if run.voiced { onset + 1 } else { 0 };
            silent = if run.voiced { 0 } else { silent + 1 };
            if voiced_until.is_none() && onset >= MIN_SPEECH {
                last_turn = machine.started(end - MIN_SPEECH * WINDOW, end);
                starts.push(last_turn);
                voiced_until = Some(end);
            }
            if run.voiced && voiced_until.is_some() {
                voiced_until = Some(end);
            }
            machine.window(
                voiced_until,
                silent,
                voiced_until.is_none() && onset > 0,
                end,
            );
            if let Some(last_voiced) = voiced_until
                && silent >= MIN_SILENCE
            {
                machine.ended(last_voiced, end);
                voiced_until = None;
            }
            machine.at(end);
            drain(machine, &mut last_query, &mut last_turn);
            now = end;
        }
    }
    machine.host(Op::Finish, now);
    drain(machine, &mut last_query, &mut last_turn);
    let stats = machine.stats();
    Heard {
        outputs,
        starts,
        stats,
    }
}

/// `output` with its positions moved.
pub(super) fn moved(output: TurnOutput, to: impl Fn(SamplePos) -> SamplePos) -> TurnOutput {
    let vote = |vote: ModelVote| ModelVote {
        asked_at: to(vote.asked_at),
        answered_at: to(vote.answered_at),
        ..vote
    };
    let votes = |votes: TurnVotes| TurnVotes {
        audio: votes.audio.map(vote),
        text: votes.text.map(vote),
        ..votes
    };
    match output {
        TurnOutput::EndOfTurn(end) => TurnOutput::EndOfTurn(EndOfTurn {
            start: to(end.start),
            last_voiced: to(end.last_voiced),
            decided_at: to(end.decided_at),
            votes: votes(end.votes),
            ..end
        }),
        TurnOutput::Query(query) => TurnOutput::Query(TurnQuery {
            start: to(query.start),
            last_voiced: to(query.last_voiced),
            decided_at: to(query.decided_at),
            ..query
        }),
        TurnOutput::Prediction(told) => TurnOutput::Prediction(TurnPrediction {
            at: to(told.at),
            decided_at: to(told.decided_at),
            ends_at: to(told.ends_at),
            votes: votes(told.votes),
            ..told
        }),
        TurnOutput::Cancelled(cancelled) => TurnOutput::Cancelled(TurnQueryCancelled {
            decided_at: to(cancelled.decided_at),
            ..cancelled
        }),
        TurnOutput::Amended(amended) => TurnOutput::Amended(TurnAmended {
            at: to(amended.at),
            decided_at: to(amended.decided_at),
            ..amended
        }),
    }
}
