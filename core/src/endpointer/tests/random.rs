//! What holds for any sequence of inputs.

use proptest::prelude::*;

use super::oracle::{Oracle, TICK};
use super::*;

/// Something the host does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Answer(u64, Probability),
    /// Of speech that ended so many samples ago.
    Transcript(Option<u64>),
    AgentStart,
    AgentStop,
    Verdict(bool),
    Commit,
    Clear,
    Finish,
    Threshold(Probability),
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
struct Stepped {
    endpointer: Endpointer,
    stride: u64,
    told: u64,
}

impl Stepped {
    fn new(config: EndpointerConfig, origin: u64, stride: u64) -> Self {
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
        }
    }

    fn poll(&mut self) -> Option<TurnOutput> {
        self.endpointer.poll()
    }

    fn stats(&self) -> TurnStats {
        self.endpointer.stats()
    }
}

/// Some windows alike, and what happens among them.
#[derive(Clone, Debug)]
struct Run {
    voiced: bool,
    windows: u64,
    /// Missing ticks before the run.
    gap: u64,
    /// In which window, at which tick, what.
    host: Vec<(u64, u64, Op)>,
}

/// Everything that came out, and the turns that were named by a start of speech.
#[derive(Debug, PartialEq)]
struct Heard {
    outputs: Vec<TurnOutput>,
    starts: Vec<u64>,
    stats: TurnStats,
}

/// Runs a segmenter over `script`; the input ends behind it.
fn drive(machine: &mut impl Machine, script: &[Run], origin: u64) -> Heard {
    let (mut now, mut onset, mut silent) = (origin, 0, 0);
    let mut voiced_until: Option<u64> = None;
    let mut last_query = 0;
    let mut starts = Vec::new();
    let mut outputs = Vec::new();
    let mut drain = |machine: &mut dyn Machine, last_query: &mut u64| {
        while let Some(output) = machine.poll() {
            if let TurnOutput::Query(query) = output {
                *last_query = query.id;
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
            drain(machine, &mut last_query);
            onset = 0;
        }
        for window in 0..run.windows {
            let end = now + WINDOW;
            for &(_, tick, op) in run.host.iter().filter(|host| host.0 == window) {
                let position = now + tick * TICK;
                machine.at(position);
                let op = match op {
                    // Counted back from the newest question.
                    Op::Answer(back, p) => Op::Answer(last_query.wrapping_sub(back), p),
                    op => op,
                };
                machine.host(op, position);
                if matches!(op, Op::Finish) {
                    voiced_until = None;
                    onset = 0;
                }
                drain(machine, &mut last_query);
            }

            machine.before(end);
            onset = if run.voiced { onset + 1 } else { 0 };
            silent = if run.voiced { 0 } else { silent + 1 };
            if voiced_until.is_none() && onset >= MIN_SPEECH {
                starts.push(machine.started(end - MIN_SPEECH * WINDOW, end));
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
            drain(machine, &mut last_query);
            now = end;
        }
    }
    machine.host(Op::Finish, now);
    drain(machine, &mut last_query);
    let stats = machine.stats();
    Heard {
        outputs,
        starts,
        stats,
    }
}

fn ticks(range: std::ops::Range<u64>) -> impl Strategy<Value = SampleCount> {
    range.prop_map(|n| SampleCount(n * TICK))
}

fn probability() -> impl Strategy<Value = Probability> {
    (0..=4u8).prop_map(|n| p(f32::from(n) / 4.0))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (prop_oneof![4 => Just(0u64), 1 => 1..3u64], probability()).prop_map(|(b, p)| Op::Answer(b, p)),
        4 => prop::option::of(0..300u64).prop_map(|back| Op::Transcript(back.map(|n| n * TICK))),
        2 => Just(Op::AgentStart),
        2 => Just(Op::AgentStop),
        1 => any::<bool>().prop_map(Op::Verdict),
        1 => Just(Op::Commit),
        1 => Just(Op::Clear),
        1 => Just(Op::Finish),
        1 => probability().prop_map(Op::Threshold),
    ]
}

fn script() -> impl Strategy<Value = Vec<Run>> {
    let run = (
        any::<bool>(),
        prop_oneof![1..4u64, 1..12u64, 8..60u64],
        prop_oneof![9 => Just(0), 1 => 1..400u64],
        prop::collection::vec((0..20u64, 0..8u64, op()), 0..3),
    );
    prop::collection::vec(
        run.prop_map(|(voiced, windows, gap, mut host)| {
            // Several in one window happen in order of time.
            host.sort_by_key(|&(window, tick, _)| (window, tick));
            Run {
                voiced,
                windows,
                gap,
                host,
            }
        }),
        1..24,
    )
}

fn config(delays: impl Strategy<Value = Delays>) -> impl Strategy<Value = EndpointerConfig> {
    let model =
        (probability(), ticks(0..300), 0..12u32).prop_map(|(threshold, timeout, n)| ModelVote {
            threshold,
            timeout,
            query_after_windows: n,
        });
    (
        delays,
        prop::option::of(model),
        prop::option::of(ticks(0..300)),
        prop::option::of(ticks(1..1500)),
        ticks(0..500),
    )
        .prop_map(|(delays, model, transcript_wait, max_turn, amend_window)| {
            EndpointerConfig {
                delays,
                model,
                transcript_wait,
                max_turn,
                amend_window,
                ..BASE
            }
        })
}

fn fixed() -> impl Strategy<Value = Delays> {
    (ticks(0..160), ticks(0..300)).prop_map(|(min, more)| Delays::Fixed {
        min,
        max: min + more,
    })
}

fn any_delays() -> impl Strategy<Value = Delays> {
    let dynamic = (ticks(0..160), ticks(0..300), 0.1..1.0f64).prop_map(|(min, more, alpha)| {
        Delays::Dynamic {
            min,
            max: min + more,
            alpha,
        }
    });
    prop_oneof![fixed(), dynamic]
}

fn ends(heard: &Heard) -> impl Iterator<Item = &EndOfTurn> {
    heard.outputs.iter().filter_map(|output| match output {
        TurnOutput::EndOfTurn(end) => Some(end),
        _ => None,
    })
}

fn shifted(outputs: &[TurnOutput], by: u64) -> Vec<TurnOutput> {
    let shift = |at: SamplePos| SamplePos(at.0 - by);
    outputs
        .iter()
        .map(|output| match *output {
            TurnOutput::EndOfTurn(end) => TurnOutput::EndOfTurn(EndOfTurn {
                start: shift(end.start),
                last_voiced: shift(end.last_voiced),
                decided_at: shift(end.decided_at),
                ..end
            }),
            TurnOutput::Query(query) => TurnOutput::Query(TurnQuery {
                start: shift(query.start),
                last_voiced: shift(query.last_voiced),
                decided_at: shift(query.decided_at),
                ..query
            }),
            TurnOutput::Amended(amended) => TurnOutput::Amended(TurnAmended {
                at: shift(amended.at),
                decided_at: shift(amended.decided_at),
                ..amended
            }),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_says_what_the_polling_oracle_says(config in config(fixed()), script in script()) {
        let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let expected = drive(&mut Oracle::new(config, 0), &script, 0);
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn a_decision_falls_within_max_delay_and_one_window(config in config(any_delays()), script in script()) {
        let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        for end in ends(&heard) {
            prop_assert!(end.start <= end.last_voiced && end.last_voiced <= end.decided_at, "{:?}", end);
            // The segmenter below needs MIN_SILENCE windows to see the end of speech.
            let slowest = end.max_delay.0.max(u64::from(MIN_SILENCE) * WINDOW);
            prop_assert!(end.delay().0 <= slowest + WINDOW, "{:?}", end);
            prop_assert!(end.min_delay <= end.max_delay, "{:?}", end);
            if !matches!(end.wait, Wait::Ceiling | Wait::Flush) {
                prop_assert!(end.delay() >= end.min_delay, "{:?}", end);
            }
            if let Some(max_turn) = config.max_turn {
                // A turn shorter than the dip after a cut, or than an onset, ends when it is known to exist.
                let longest = max_turn.0.max(u64::from(MIN_SILENCE + 1) * WINDOW);
                prop_assert!(end.decided_at.since(end.start).0 <= longest, "{:?}", end);
            }
        }
    }

    #[test]
    fn every_turn_ends_exactly_once(config in config(any_delays()), script in script()) {
        let mut machine = Stepped::new(config, 0, 0);
        let heard = drive(&mut machine, &script, 0);
        let numbers: Vec<u64> = ends(&heard).map(|end| end.turn).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{:?}", numbers);
        prop_assert_eq!(numbers.len() as u64 + heard.stats.cleared_turns, machine.endpointer.next_turn);
        prop_assert!(heard.starts.is_sorted());
        prop_assert!(heard.starts.iter().all(|&turn| turn < machine.endpointer.next_turn));
        prop_assert_eq!(machine.endpointer.turn(), None);
        prop_assert_eq!(machine.endpointer.deadline(), None);

        let decided: Vec<SamplePos> = heard.outputs.iter().map(|output| match output {
            TurnOutput::EndOfTurn(end) => end.decided_at,
            TurnOutput::Query(query) => query.decided_at,
            TurnOutput::Amended(amended) => amended.decided_at,
        }).collect();
        prop_assert!(decided.is_sorted(), "{:?}", heard.outputs);
        let queries = heard.outputs.iter().filter_map(|output| match output {
            TurnOutput::Query(query) => Some(query.id),
            _ => None,
        });
        prop_assert!(queries.eq(0..machine.endpointer.next_query));
    }

    #[test]
    fn telling_the_time_more_often_changes_nothing(
        config in config(any_delays()),
        script in script(),
        stride in 1..2000u64,
    ) {
        let once = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let often = drive(&mut Stepped::new(config, 0, stride), &script, 0);
        prop_assert_eq!(once, often);
    }

    #[test]
    fn a_late_clock_decides_like_an_early_one(config in config(any_delays()), script in script()) {
        let early = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        for origin in [(1 << 31) * 48_000 - 1, (1 << 32) - 1, (1 << 53) + 1] {
            let mut late = drive(&mut Stepped::new(config, origin, 0), &script, origin);
            late.outputs = shifted(&late.outputs, origin);
            prop_assert_eq!(&early, &late);
        }
    }

    #[test]
    fn answers_to_no_open_question_change_nothing(config in config(any_delays()), script in script()) {
        let without: Vec<Run> = script.iter().cloned().map(|mut run| {
            run.host.retain(|(_, _, op)| !matches!(op, Op::Answer(..)));
            run
        }).collect();
        let with: Vec<Run> = without.iter().cloned().map(|mut run| {
            run.host.push((0, 1, Op::Answer(1, p(0.0))));
            run.host.push((0, 2, Op::Answer(u64::MAX, p(1.0))));
            run.host.sort_by_key(|&(window, tick, _)| (window, tick));
            run
        }).collect();
        let quiet = drive(&mut Stepped::new(config, 0, 0), &without, 0);
        let noisy = drive(&mut Stepped::new(config, 0, 0), &with, 0);
        prop_assert_eq!(quiet.outputs, noisy.outputs);
        prop_assert_eq!(noisy.stats.stale_answers, 2 * script.len() as u64);
    }
}
