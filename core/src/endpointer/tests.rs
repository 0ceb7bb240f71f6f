//! The rules of [`Endpointer`], by name, and what holds for any sequence of inputs.

use super::*;
use crate::event::CueSet;
use crate::turn::{Fusion, WaitRule};
use crate::units::{SampleCount, SampleRate};

mod drive;
mod exhaustive;
mod livekit;
mod oracle;
mod random;
mod rules;
mod timelines;
mod transcript;
mod votes;

const RATE: SampleRate = SampleRate::HZ_16000;
/// One model window at 16 kHz.
const WINDOW: u64 = 512;
/// Windows of silence after which the toy segmenter closes speech: 256 ms.
const MIN_SILENCE: u32 = 8;
/// Windows of speech after which it opens.
const MIN_SPEECH: u64 = 2;

const fn ms(ms: u64) -> SampleCount {
    SampleCount(ms * 16)
}

const fn windows(n: u64) -> SamplePos {
    SamplePos(n * WINDOW)
}

fn p(value: f32) -> Probability {
    Probability::new(value).expect("a probability")
}

const BASE: EndpointerConfig = EndpointerConfig {
    rate: RATE,
    window: SampleCount(WINDOW),
    delays: Delays::Fixed {
        min: ms(300),
        max: ms(2500),
    },
    model: None,
    text_timeout: None,
    wait_rule: WaitRule::Threshold,
    fusion: Fusion::DEFAULT,
    expectations: EXPECTATIONS,
    transcript_wait: None,
    max_turn: None,
    agent_speech_grace: ms(250),
    amend_window: ms(2000),
};

const EXPECTATIONS: ExpectationRules = ExpectationRules {
    short_answer: ms(1000),
    short_min: ms(200),
    dictation: (ms(1000), ms(4000)),
    floor: (ms(2000), ms(8000)),
    satisfied_lean: 0.5,
};

/// A model with threshold 0.5, asked after two windows of silence.
fn with_model(timeout: SampleCount) -> EndpointerConfig {
    EndpointerConfig {
        model: Some(AudioModel {
            threshold: p(0.5),
            timeout,
            query_after_windows: 2,
            query_again: [None; MAX_REPEATS],
            answers: AnswerRule::Latest,
        }),
        ..BASE
    }
}

/// A source of text, awaited for `wait`.
fn with_text(wait: SampleCount) -> EndpointerConfig {
    EndpointerConfig {
        transcript_wait: Some(wait),
        ..BASE
    }
}

/// A detector in small: a segmenter over given windows, and the protocol of [`Endpointer`].
#[derive(Clone)]
struct Rig {
    endpointer: Endpointer,
    origin: u64,
    window: u64,
    onset: u64,
    voiced_until: Option<SamplePos>,
    silent: u32,
    min_silence: u32,
    ends: Vec<EndOfTurn>,
    queries: Vec<TurnQuery>,
    amended: Vec<TurnAmended>,
    predictions: Vec<TurnPrediction>,
    cancelled: Vec<TurnQueryCancelled>,
    starts: Vec<u64>,
}

impl Rig {
    fn new(config: EndpointerConfig) -> Self {
        Self::at(config, 0)
    }

    /// A stream whose clock starts at `origin`.
    fn at(config: EndpointerConfig, origin: u64) -> Self {
        Self {
            endpointer: Endpointer::new(config, SamplePos(origin)),
            origin,
            window: 0,
            onset: 0,
            voiced_until: None,
            silent: 0,
            min_silence: MIN_SILENCE,
            ends: Vec::new(),
            queries: Vec::new(),
            amended: Vec::new(),
            predictions: Vec::new(),
            cancelled: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// The current position.
    fn now(&self) -> SamplePos {
        SamplePos(self.origin + self.window * WINDOW)
    }

    /// `n` windows of speech.
    fn speech(&mut self, n: u64) -> &mut Self {
        for _ in 0..n {
            self.step(true);
        }
        self
    }

    /// `n` windows of silence.
    fn silence(&mut self, n: u64) -> &mut Self {
        for _ in 0..n {
            self.step(false);
        }
        self
    }

    /// A window is judged: deadlines before its end fire first, then it is heard, then those at its end.
    fn step(&mut self, voiced: bool) {
        self.window += 1;
        let end = self.now();
        self.deadlines_before(end);

        self.onset = if voiced { self.onset + 1 } else { 0 };
        self.silent = if voiced { 0 } else { self.silent + 1 };
        if self.voiced_until.is_none() && self.onset >= MIN_SPEECH {
            let at = SamplePos(end.0 - MIN_SPEECH * WINDOW);
            self.starts.push(self.endpointer.speech_started(at, end));
            self.voiced_until = Some(end);
        }
        if voiced && self.voiced_until.is_some() {
            self.voiced_until = Some(end);
        }
        let pending = self.voiced_until.is_none() && self.onset > 0;
        self.endpointer
            .window(self.voiced_until, self.silent, pending, end);
        if let Some(last_voiced) = self.voiced_until
            && self.silent >= self.min_silence
        {
            self.endpointer.speech_ended(last_voiced, end);
            self.voiced_until = None;
        }
        self.endpointer.advance(end);
        self.drain();
    }

    fn deadlines_before(&mut self, end: SamplePos) {
        while let Some(due) = self.endpointer.deadline()
            && due < end
        {
            self.endpointer.advance(due);
            self.drain();
        }
    }

    /// An input of the host at the current position.
    fn host(&mut self, input: impl FnOnce(&mut Endpointer, SamplePos)) -> &mut Self {
        let now = self.now();
        input(&mut self.endpointer, now);
        self.drain();
        self
    }

    /// An input of the host inside the window that comes next.
    fn host_at(&mut self, at: SamplePos, input: impl FnOnce(&mut Endpointer)) -> &mut Self {
        assert!(self.now() <= at && at.since(self.now()).0 < WINDOW);
        self.deadlines_before(at);
        self.endpointer.advance(at);
        input(&mut self.endpointer);
        self.drain();
        self
    }

    fn answer(&mut self, id: u64, probability: f32) -> &mut Self {
        self.host(|e, now| e.answer(id, p(probability), now))
    }

    /// The text model's vote on the open turn, at threshold 0.1.
    fn text(&mut self, probability: f32) -> &mut Self {
        self.host(|e, now| {
            let turn = e.turn().expect("an open turn");
            e.text_answer(turn, (p(probability), p(0.1)), None, now);
        })
    }

    /// The wording's vote on the open turn.
    fn cues(&mut self, lean: f32) -> &mut Self {
        self.host(|e, now| {
            let turn = e.turn().expect("an open turn");
            let reasons = CueSet::EMPTY;
            e.text_cues(turn, CueVote { lean, reasons }, now);
        })
    }

    fn expect(&mut self, expectation: Expectation) -> &mut Self {
        self.host(|e, now| e.expect(expectation, now))
    }

    fn transcript(&mut self, speech_end: Option<SamplePos>) -> &mut Self {
        self.host(|e, now| e.transcript(speech_end, now))
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpointer.poll() {
            match output {
                TurnOutput::EndOfTurn(end) => self.ends.push(end),
                TurnOutput::Query(query) => self.queries.push(query),
                TurnOutput::Amended(amended) => self.amended.push(amended),
                TurnOutput::Prediction(prediction) => self.predictions.push(prediction),
                TurnOutput::Cancelled(cancelled) => self.cancelled.push(cancelled),
            }
        }
    }

    /// The only end so far.
    fn end(&self) -> EndOfTurn {
        assert_eq!(self.ends.len(), 1, "{:?}", self.ends);
        self.ends[0]
    }
}

/// Wait, reason and delay in milliseconds.
fn verdict(end: &EndOfTurn) -> (Wait, TurnEndReason, u64) {
    assert_eq!(end.delay().0 % 16, 0);
    (end.wait, end.reason, end.delay().0 / 16)
}
