//! The listening side of a session: the core, the recogniser and the turn model, and what the user has said in which turn.
//!
//! Everything that decides is the core's. What is here is who tells it what, and the text of turns: a turn is complete when the core has
//! ended it *and* everything recognised of it has come. Neither can be taken back by later speech.

mod turn;
mod wishes;
mod words;

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::{
    Detector, EndOfTurn, Event, Expectation, Frame, Input, Output, Outputs, SampleCount, SamplePos,
    SampleRate,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::message::Message;
use super::options::{Options, SessionError, TurnDetection, silero};
use super::recogniser::Recogniser;
use super::smart_turn::Judge;
use crate::AudioFrame;
use crate::noise::NoiseSuppressor;
use crate::stt::{ClipTimes, FailedSegment, Guess, SttCommand, SttEvent, SttMetrics, Transcript};
pub(super) use turn::{CompleteTurn, same_words};
use turn::{Ended, Turn, turn_of};

/// How long a committed turn waits for its transcript: LiveKit Agents 1.8.9's `transcript_timeout`.
const COMMIT_WAIT: Duration = Duration::from_secs(2);

/// Something for the conversation, in the order in which it happened.
pub(super) enum Heard {
    /// From the core.
    Core(Event),
    /// Words of the user.
    Transcribed {
        turn: Option<u64>,
        transcript: Transcript,
        is_final: bool,
    },
    /// Words are there or are surely not: what is in doubt about the turn may be settled.
    Answered { turn: u64 },
    /// The words so far are good enough to begin a reply.
    Preflight { turn: u64 },
    /// An utterance was given up.
    Failed(FailedSegment),
    /// Cost of a recognition.
    Metrics(SttMetrics),
    /// The recogniser failed.
    Error(crate::ProviderError, bool),
}

/// An utterance that is being recognised.
struct Submitted {
    owner: Owner,
    speech_end: SamplePos,
}

/// Whose words an utterance has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Turn(u64),
    /// Nobody's: the turn was cleared.
    Cleared,
    /// It is recognised once more, after its turn.
    Late,
}

pub(super) struct Ear {
    options: std::sync::Arc<Options>,
    detector: Detector,
    has_vad: bool,
    stt: Recogniser,
    /// Finds pauses in which the recogniser is asked before the utterance is over.
    guess: Option<Guess>,
    judge: Option<Judge>,
    heard: VecDeque<Heard>,
    turns: VecDeque<Turn>,
    submitted: VecDeque<Submitted>,
    /// Utterances that are recognised once more, after their turn.
    late: u32,
    /// The recogniser has ended this turn; its final transcript is on its way.
    stt_ended: Option<u64>,
    /// Turns up to this one have been taken.
    taken: Option<u64>,
    /// Interim words that were taken for final, and the turn.
    promoted: Option<(u64, String)>,
    language: Option<String>,
    expectation: Expectation,
    /// Missing audio that the core has not been told of yet.
    missing: Duration,
    /// The user's audio is over, or its track is gone: nothing takes the stream further.
    deaf: bool,
    /// When the last audio came, real or missing, and where the stream was then.
    anchor: (Instant, SamplePos),
    started: Instant,
    pub(super) user_speaks: bool,
    /// Audio since the last turn, and time in the core.
    pub(super) busy: Duration,
    windows_before: u64,
    position_before: SamplePos,
    refused: bool,
    /// The core knows something that a new one would not.
    told: bool,
    /// How old audio is when it comes.
    age: Duration,
    noise: Option<NoiseSuppressor>,
}

impl Ear {
    pub(super) fn new(
        options: std::sync::Arc<Options>,
        rate: SampleRate,
        (age, noise_cancellation): (Duration, bool),
        messages: &mpsc::UnboundedSender<Message>,
    ) -> Result<Self, SessionError> {
        let detector = Detector::new(options.detector(rate), silero(rate)?)?;
        let judge = match (&options.turn_detection, options.policy) {
            (TurnDetection::SmartTurn(model), Some(policy)) => {
                Some(Judge::new(model.clone(), policy.timeout, messages))
            }
            _ => None,
        };
        let now = Instant::now();
        let mut ear = Self {
            stt: Recogniser::new(
                options.stt.clone(),
                options.language.clone(),
                options.retry,
                &options.recognizer,
            ),
            guess: options.guess(rate),
            has_vad: options.vad.is_some(),
            language: options.language.clone(),
            options,
            anchor: (now, detector.position()),
            position_before: detector.position(),
            detector,
            judge,
            heard: VecDeque::with_capacity(32),
            turns: VecDeque::new(),
            submitted: VecDeque::new(),
            late: 0,
            stt_ended: None,
            taken: None,
            promoted: None,
            expectation: Expectation::Free,
            missing: Duration::ZERO,
            deaf: false,
            started: now,
            user_speaks: false,
            busy: Duration::ZERO,
            windows_before: 0,
            refused: false,
            told: false,
            age,
            noise: noise_cancellation.then(NoiseSuppressor::new),
        };
        ear.tell_age();
        Ok(ear)
    }

    /// How old audio is when the core hears it.
    pub(super) fn age(&self) -> Duration {
        let filter = self.noise.as_ref().map(NoiseSuppressor::delay);
        self.age + filter.unwrap_or_default()
    }

    fn tell_age(&mut self) {
        self.tell(Input::AudioAge(self.samples(self.age())));
    }

    // What comes in.

    /// The recogniser's next word. Losing the call's future loses nothing.
    pub(super) async fn recognised(&mut self) -> SttEvent {
        self.stt.next().await
    }

    pub(super) fn try_recognised(&mut self) -> Option<SttEvent> {
        self.stt.try_next()
    }

    /// Audio of the user's.
    pub(super) fn frame(&mut self, frame: AudioFrame) {
        if frame.samples().is_empty() {
            return;
        }
        self.deaf = false;
        self.settle_missing();
        let frame = match &mut self.noise {
            Some(noise) => {
                let delay = noise.delay();
                let clean = noise.process(&frame);
                if noise.delay() != delay {
                    self.tell_age();
                }
                clean
            }
            None => frame,
        };
        if self.stt.is_stream() {
            self.stt.send(SttCommand::Frame(frame.clone()));
        }
        let now = Instant::now();
        if self.has_vad {
            if self.detector.position() == SamplePos(0)
                && !self.told
                && self.detector.format().rate.hz() != frame.sample_rate()
            {
                self.start_at_rate(frame.sample_rate());
            }
            self.process(&frame);
            self.ask_early(&frame);
            // Real time, not the runtime's: it is a cost.
            self.busy += std::time::Instant::now().duration_since(now.into_std());
        } else {
            self.tell(Input::Gap(self.samples(frame.duration())));
        }
        self.anchor = (now, self.detector.position());
    }

    fn process(&mut self, frame: &AudioFrame) {
        let block = Frame::i16(frame.samples())
            .at_rate(frame.sample_rate())
            .with_channels(frame.channels() as usize);
        match self.detector.process(block) {
            Ok(outputs) => Self::take(
                outputs,
                &mut self.heard,
                &mut self.judge,
                (&self.stt, &mut self.guess),
                &mut self.submitted,
                &mut self.turns,
            ),
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    tracing::warn!(%error, "audio is refused");
                }
            }
        }
    }

    /// Asks about the utterance that may have ended in this frame.
    fn ask_early(&mut self, frame: &AudioFrame) {
        if let Some(guess) = &mut self.guess {
            guess.keep(frame, self.detector.position().0);
            if let Some((audio, times)) = guess.due() {
                self.stt.speculate(audio, times);
            }
        }
    }

    /// Before the first sample the core can still be made for another rate; later it changes over by itself.
    fn start_at_rate(&mut self, hz: u32) {
        let made = SampleRate::new(hz)
            .map_err(SessionError::from)
            .and_then(|rate| Ok(Detector::new(self.options.detector(rate), silero(rate)?)?));
        match made {
            Ok(detector) => {
                self.guess = self.options.guess(detector.format().rate);
                self.detector = detector;
                self.tell_age();
            }
            Err(error) => tracing::debug!(%error, "the first rate is kept"),
        }
    }

    /// Audio of the user's is missing.
    pub(super) fn gap(&mut self, duration: Duration) {
        self.deaf = false;
        self.missing += duration;
        if self.stt.is_stream() {
            self.stt.send(SttCommand::Gap(duration));
        }
        // While nothing is open the core need not hear of every frame that is missing.
        let idle = self.turns.is_empty() && !self.user_speaks;
        if !idle || self.missing >= Duration::from_millis(500) {
            self.settle_missing();
        }
        self.anchor = (
            Instant::now(),
            self.detector.position() + self.samples(self.missing),
        );
    }

    fn settle_missing(&mut self) {
        let missing = std::mem::take(&mut self.missing);
        if missing > Duration::ZERO {
            self.tell(Input::Gap(self.samples(missing)));
        }
    }

    /// Time goes on, with or without audio.
    pub(super) fn clock(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        self.tell(Input::Clock(SamplePos(self.samples(since).0)));
    }

    /// When audio came last.
    pub(super) const fn last_audio(&self) -> Instant {
        self.anchor.0
    }

    /// The user's audio is this old when it comes.
    pub(super) fn audio_age(&mut self, age: Duration) {
        self.age = age;
        self.tell_age();
    }

    /// Something the conversation knows.
    pub(super) fn tell(&mut self, input: Input) {
        if let Input::Expect(expectation) = input {
            self.expectation = expectation;
        }
        self.told |= !matches!(input, Input::AudioAge(_));
        match self.detector.handle(input) {
            Ok(outputs) => Self::take(
                outputs,
                &mut self.heard,
                &mut self.judge,
                (&self.stt, &mut self.guess),
                &mut self.submitted,
                &mut self.turns,
            ),
            Err(error) => tracing::error!(%error, "the core refuses an input"),
        }
    }

    /// Takes all outputs of a call. Audio is read here, where it is still in the core's memory.
    fn take(
        mut outputs: Outputs<'_, '_>,
        heard: &mut VecDeque<Heard>,
        judge: &mut Option<Judge>,
        (stt, guess): (&Recogniser, &mut Option<Guess>),
        submitted: &mut VecDeque<Submitted>,
        turns: &mut VecDeque<Turn>,
    ) {
        while let Some(output) = outputs.next() {
            if let (Some(guess), Output::Event(event)) = (guess.as_mut(), &output)
                && guess.event(event)
            {
                stt.retract();
            }
            match output {
                Output::Event(Event::Window(_)) => {}
                Output::Event(Event::SegmentReady(segment)) => {
                    let Some(audio) = outputs.audio(&segment) else {
                        tracing::error!(segment = segment.segment, "audio is gone");
                        continue;
                    };
                    let rate = audio.format.rate;
                    let frame = AudioFrame::new(
                        audio.to_i16(),
                        rate.hz(),
                        u32::from(audio.format.channels),
                    );
                    let Ok(frame) = frame else {
                        continue;
                    };
                    let times = ClipTimes {
                        audio_at: duration(segment.start, rate),
                        speech: (
                            duration(segment.speech_start, rate),
                            duration(segment.speech_end, rate),
                        ),
                    };
                    turn_of(turns, segment.turn).pending += 1;
                    submitted.push_back(Submitted {
                        owner: Owner::Turn(segment.turn),
                        speech_end: segment.speech_end,
                    });
                    stt.submit(frame, times);
                }
                Output::Event(event) => heard.push_back(Heard::Core(event)),
                Output::TurnQuery(query) => {
                    if let Some(judge) = judge {
                        judge.ask(query, &outputs);
                    }
                }
                Output::TurnQueryCancelled(cancelled) => {
                    if let Some(judge) = judge {
                        judge.cancel(cancelled.id);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn turn_answer(
        &mut self,
        id: u64,
        probability: Option<listenkit::Probability>,
        job: Box<super::smart_turn::Job>,
    ) {
        if let Some(judge) = &mut self.judge {
            judge.done(job);
        }
        if let Some(probability) = probability {
            self.tell(Input::TurnAnswer { id, probability });
        }
    }

    /// The next thing that was heard.
    pub(super) fn poll(&mut self) -> Option<Heard> {
        let heard = self.heard.pop_front()?;
        match &heard {
            Heard::Core(Event::StartOfSpeech(start)) => {
                self.user_speaks = true;
                let at = start.at;
                turn_of(&mut self.turns, start.turn).start.get_or_insert(at);
            }
            Heard::Core(Event::EndOfSpeech(_)) => self.user_speaks = false,
            Heard::Core(Event::EndOfTurn(end)) => self.turn_ended(*end),
            _ => {}
        }
        Some(heard)
    }

    fn turn_ended(&mut self, end: EndOfTurn) {
        self.expectation = Expectation::Free;
        let by_hand = self.options.is_manual();
        let turn = turn_of(&mut self.turns, end.turn);
        if turn.ended.is_some() || by_hand {
            return;
        }
        turn.ended = Some(Ended {
            decision: Some(end),
            waits_until: None,
            has_final: false,
        });
    }

    /// The oldest turn that is over and has all of its words.
    pub(super) fn complete_turn(&mut self, now: Instant) -> Option<CompleteTurn> {
        if !self.turns.front()?.is_complete(now) {
            return None;
        }
        let mut turn = self.turns.pop_front()?;
        let decision = turn.ended.take().and_then(|ended| ended.decision);
        let rate = self.detector.format().rate;
        let text = turn.text();
        self.taken = self.taken.max(Some(turn.number));
        if !turn.interim.is_empty() {
            // Nobody waits for the final version of words that are there.
            self.promoted = Some((turn.number, std::mem::take(&mut turn.interim)));
        }
        let transcription_delay = match (decision, turn.transcribed_at) {
            (Some(end), Some(at)) => duration(SamplePos(at.since(end.last_voiced).0), rate),
            _ => Duration::ZERO,
        };
        Some(CompleteTurn {
            turn,
            text,
            decision,
            transcription_delay,
        })
    }

    /// When a turn has to be looked at again, whatever happens.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.turns
            .iter()
            .filter_map(|turn| turn.ended.as_ref()?.waits_until)
            .filter(|&until| until > now)
            .min()
    }

    /// The turn with this number, if it is not complete.
    pub(super) fn turn(&self, number: u64) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.number == number)
    }

    pub(super) fn turn_mut(&mut self, number: u64) -> Option<&mut Turn> {
        self.turns.iter_mut().find(|turn| turn.number == number)
    }

    /// Whether the user has begun something that is not complete.
    pub(super) fn has_turn(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether something the user says may still turn out to be a turn: speech, or words that nobody has taken.
    pub(super) fn has_floor(&self) -> bool {
        self.user_speaks
            || self
                .turns
                .iter()
                .any(|turn| turn.pending > 0 || !turn.is_silent() && !self.options.is_manual())
    }

    /// Whether words of the user's are still to come, of turns that are over.
    pub(super) fn awaits_words(&self) -> bool {
        self.late > 0
            || self.stt.is_ending()
            || self
                .turns
                .iter()
                .any(|turn| turn.ended.is_some() || turn.pending > 0)
    }

    pub(super) fn rate(&self) -> SampleRate {
        self.detector.format().rate
    }

    pub(super) fn position(&self) -> SamplePos {
        self.detector.position()
    }

    /// How long ago the sample at `at` was spoken, as far as is known.
    pub(super) fn ago(&self, at: SamplePos, now: Instant) -> Duration {
        let (then, position) = self.anchor;
        duration(SamplePos(position.since(at).0), self.rate())
            + now.saturating_duration_since(then)
            + self.age()
    }

    /// Windows, time in the core and audio since this was asked last.
    pub(super) fn cost(&mut self) -> (u64, Duration, Duration) {
        let windows = self.detector.stats().windows;
        let position = self.detector.position();
        let audio = duration(
            SamplePos(position.since(self.position_before).0),
            self.rate(),
        );
        let before = std::mem::replace(&mut self.windows_before, windows);
        self.position_before = position;
        (
            windows.saturating_sub(before),
            std::mem::take(&mut self.busy),
            audio,
        )
    }

    fn samples(&self, duration: Duration) -> SampleCount {
        self.detector.format().rate.samples(duration)
    }
}

fn duration(at: SamplePos, rate: SampleRate) -> Duration {
    Duration::from_nanos(
        u64::try_from(u128::from(at.0) * 1_000_000_000 / u128::from(rate.hz())).unwrap_or(u64::MAX),
    )
}
