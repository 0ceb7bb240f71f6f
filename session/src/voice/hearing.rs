//! The listening side of a session: the core, the recogniser and the turn model, and what the user has said in which turn.
//!
//! Everything that decides is the core's. What is here is who tells it what, and the text of turns: a turn is complete when the core has
//! ended it *and* everything recognised of it has come. Neither can be taken back by later speech.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::{
    Detector, EndOfTurn, Event, Expectation, Frame, Input, Output, Outputs, SampleCount, SamplePos,
    SampleRate, TextCues,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use unicode_segmentation::UnicodeSegmentation;

use super::message::Message;
use super::options::{Options, SessionError, TurnDetection, silero};
use super::recogniser::Recogniser;
use super::smart_turn::Judge;
use crate::AudioFrame;
use crate::stt::{ClipTimes, FailedSegment, SttCommand, SttEvent, SttMetrics, Transcript};

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

/// What the user has said in one turn.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) number: u64,
    /// Final transcripts.
    finals: String,
    /// The newest transcript that may still change.
    interim: String,
    /// Utterances that are being recognised.
    pending: u32,
    ended: Option<Ended>,
    /// Where the stream was when the last final transcript came.
    transcribed_at: Option<SamplePos>,
    /// Start of its first speech.
    pub(super) start: Option<SamplePos>,
    /// Replies that have been begun before its end.
    pub(super) tries: u32,
    /// Words that came when the turn had been taken already.
    pub(super) is_amendment: bool,
    pub(super) skip_reply: bool,
    /// Where the text goes, too.
    pub(super) replies: Vec<oneshot::Sender<String>>,
}

struct Ended {
    decision: Option<EndOfTurn>,
    /// Of a committed turn: until when a final transcript is waited for.
    waits_until: Option<Instant>,
    /// A final transcript has come since.
    has_final: bool,
}

impl Turn {
    /// All that is known of its words.
    pub(super) fn text(&self) -> String {
        let mut text = self.finals.clone();
        append(&mut text, &self.interim);
        text
    }

    pub(super) fn is_silent(&self) -> bool {
        self.finals.is_empty() && self.interim.is_empty()
    }

    /// Whether all of its words so far are final.
    pub(super) fn is_final(&self) -> bool {
        self.pending == 0 && self.interim.is_empty() && !self.finals.is_empty()
    }

    pub(super) const fn is_pending(&self) -> bool {
        self.pending > 0
    }

    pub(super) const fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    fn is_complete(&self, now: Instant) -> bool {
        self.ended.as_ref().is_some_and(|ended| {
            let waits = ended
                .waits_until
                .is_some_and(|until| !ended.has_final && now < until);
            self.pending == 0 && !waits
        })
    }
}

/// A turn that is over, with all of its words.
pub(super) struct CompleteTurn {
    pub(super) turn: Turn,
    pub(super) text: String,
    pub(super) decision: Option<EndOfTurn>,
    /// From the last voiced sample to the last transcript.
    pub(super) transcription_delay: Duration,
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
    /// When the last audio came, real or missing, and where the stream was then.
    anchor: (Instant, SamplePos),
    started: Instant,
    pub(super) user_speaks: bool,
    /// Audio since the last turn, and time in the core.
    pub(super) busy: Duration,
    windows_before: u64,
    position_before: SamplePos,
    refused: bool,
    /// How old audio is when it comes.
    age: Duration,
}

impl Ear {
    pub(super) fn new(
        options: std::sync::Arc<Options>,
        rate: SampleRate,
        age: Duration,
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
            stt: Recogniser::new(options.stt.clone(), options.language.clone(), options.retry),
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
            started: now,
            user_speaks: false,
            busy: Duration::ZERO,
            windows_before: 0,
            refused: false,
            age,
        };
        ear.tell_age();
        Ok(ear)
    }

    fn tell_age(&mut self) {
        if self.age > Duration::ZERO {
            self.tell(Input::AudioAge(self.samples(self.age)));
        }
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
        self.settle_missing();
        if self.stt.is_stream() {
            self.stt.send(SttCommand::Frame(frame.clone()));
        }
        let now = Instant::now();
        if self.has_vad {
            if self.detector.position() == SamplePos(0)
                && self.detector.format().rate.hz() != frame.sample_rate()
            {
                self.start_at_rate(frame.sample_rate());
            }
            self.process(&frame);
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
                &self.stt,
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

    /// Before the first sample the core can still be made for another rate; later it changes over by itself.
    fn start_at_rate(&mut self, hz: u32) {
        let made = SampleRate::new(hz)
            .map_err(SessionError::from)
            .and_then(|rate| Ok(Detector::new(self.options.detector(rate), silero(rate)?)?));
        match made {
            Ok(detector) => {
                self.detector = detector;
                self.tell_age();
            }
            Err(error) => tracing::debug!(%error, "the first rate is kept"),
        }
    }

    /// Audio of the user's is missing.
    pub(super) fn gap(&mut self, duration: Duration) {
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
        self.tell(Input::AudioAge(self.samples(age)));
    }

    /// Something the conversation knows.
    pub(super) fn tell(&mut self, input: Input) {
        if let Input::Expect(expectation) = input {
            self.expectation = expectation;
        }
        match self.detector.handle(input) {
            Ok(outputs) => Self::take(
                outputs,
                &mut self.heard,
                &mut self.judge,
                &self.stt,
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
        stt: &Recogniser,
        submitted: &mut VecDeque<Submitted>,
        turns: &mut VecDeque<Turn>,
    ) {
        while let Some(output) = outputs.next() {
            match output {
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

    /// Something from the recogniser.
    pub(super) fn on_stt(&mut self, event: SttEvent) {
        match event {
            SttEvent::Final(transcript) if self.stt.is_stream() => self.streamed(transcript),
            SttEvent::Final(transcript) => self.answered(Some(transcript)),
            SttEvent::Interim(transcript) => self.interim(transcript, false),
            SttEvent::Preflight(transcript) => self.interim(transcript, true),
            SttEvent::SegmentFailed(failed) => {
                if !self.stt.is_stream() {
                    self.answered(None);
                }
                self.heard.push_back(Heard::Failed(failed));
            }
            SttEvent::EndOfSpeech { .. } => {
                if matches!(self.options.turn_detection, TurnDetection::Stt) {
                    self.recogniser_ended();
                }
            }
            SttEvent::Metrics(metrics) => self.heard.push_back(Heard::Metrics(metrics)),
            SttEvent::Error { error, recoverable } => {
                self.heard.push_back(Heard::Error(error, recoverable));
            }
            SttEvent::StartOfSpeech { .. } => {}
        }
    }

    /// The answer to the oldest utterance; `None` if there is none.
    fn answered(&mut self, transcript: Option<Transcript>) {
        let Some(submitted) = self.submitted.pop_front() else {
            return;
        };
        let number = match submitted.owner {
            Owner::Cleared => return,
            Owner::Turn(number) => {
                turn_of(&mut self.turns, number).pending -= 1;
                if let Some(transcript) = transcript {
                    self.add(number, transcript, Some(submitted.speech_end));
                }
                number
            }
            Owner::Late => {
                self.late -= 1;
                let transcript = transcript.filter(|t| !t.text.trim().is_empty());
                let Some(transcript) = transcript else {
                    return;
                };
                let known = self.tell_transcript(Some(submitted.speech_end));
                let Some(number) = known.or(self.taken) else {
                    return;
                };
                self.add_text(number, transcript);
                number
            }
        };
        self.heard.push_back(Heard::Answered { turn: number });
    }

    /// Tells the core of a final transcript; gives the turn that it belongs to, if that was not cleared.
    fn tell_transcript(&mut self, speech_end: Option<SamplePos>) -> Option<u64> {
        let before = self.heard.len();
        self.tell(Input::Transcript { speech_end });
        let amended = self
            .heard
            .iter()
            .skip(before)
            .find_map(|heard| match heard {
                Heard::Core(Event::TurnAmended(amended)) => Some(amended.turn),
                _ => None,
            });
        amended.or_else(|| self.detector.open_turn())
    }

    /// A transcript that may still change.
    fn interim(&mut self, transcript: Transcript, is_preflight: bool) {
        let turn = self.detector.open_turn();
        if let Some(number) = turn {
            self.set_language(&transcript);
            turn_of(&mut self.turns, number)
                .interim
                .clone_from(&transcript.text);
            self.weigh(number);
        }
        self.heard.push_back(Heard::Transcribed {
            turn,
            transcript,
            is_final: false,
        });
        if is_preflight && let Some(turn) = turn {
            self.heard.push_back(Heard::Preflight { turn });
        }
    }

    /// A final transcript from a stream: the core knows which turn it belongs to.
    fn streamed(&mut self, transcript: Transcript) {
        let rate = self.detector.format().rate;
        let speech_end = transcript
            .span
            .map(|(_, end)| SamplePos(rate.samples(end).0));
        if transcript.text.trim().is_empty() {
            if let Some(number) = self.detector.open_turn() {
                turn_of(&mut self.turns, number).interim.clear();
            }
            return;
        }
        // What was said in a turn that waits for its words belongs there, whatever the core makes of a transcript without a time.
        let waiting = self
            .turns
            .iter()
            .find(|turn| {
                turn.ended
                    .as_ref()
                    .is_some_and(|e| e.waits_until.is_some() && !e.has_final)
            })
            .map(|turn| turn.number);
        let known = self.tell_transcript(speech_end);
        let Some(number) = waiting.or(known) else {
            return; // of a turn that was cleared
        };
        self.add_text(number, transcript);
        self.heard.push_back(Heard::Answered { turn: number });
        if matches!(self.options.turn_detection, TurnDetection::Stt)
            && self.recogniser_is_done(number)
        {
            self.tell(Input::CommitTurn);
        }
    }

    fn add(&mut self, number: u64, transcript: Transcript, speech_end: Option<SamplePos>) {
        if transcript.text.trim().is_empty() {
            return;
        }
        self.tell(Input::Transcript { speech_end });
        self.add_text(number, transcript);
    }

    fn add_text(&mut self, number: u64, transcript: Transcript) {
        self.set_language(&transcript);
        let now = self.detector.position();
        if self.taken.is_some_and(|taken| number <= taken) {
            // Words that were taken for final before they were, or words that come late.
            let known = self.promoted.take_if(|(turn, _)| *turn == number);
            if known.is_none_or(|(_, text)| !same_words(&text, &transcript.text)) {
                let turn = turn_of(&mut self.turns, number);
                turn.is_amendment = true;
                turn.ended.get_or_insert(Ended {
                    decision: None,
                    waits_until: None,
                    has_final: true,
                });
                append(&mut turn.finals, &transcript.text);
            }
            self.heard.push_back(Heard::Transcribed {
                turn: Some(number),
                transcript,
                is_final: true,
            });
            return;
        }
        let turn = turn_of(&mut self.turns, number);
        turn.interim.clear();
        append(&mut turn.finals, transcript.text.trim());
        turn.transcribed_at = Some(now);
        if let Some(ended) = &mut turn.ended {
            ended.has_final = true;
        }
        self.weigh(number);
        self.heard.push_back(Heard::Transcribed {
            turn: Some(number),
            transcript,
            is_final: true,
        });
    }

    fn set_language(&mut self, transcript: &Transcript) {
        if self.options.language.is_none() && transcript.language.is_some() {
            self.language.clone_from(&transcript.language);
        }
        if let Some(judge) = &mut self.judge {
            judge.set_language(self.language.as_deref());
        }
    }

    /// Tells the core what the words of the turn so far are worth.
    fn weigh(&mut self, number: u64) {
        if self.detector.open_turn() != Some(number) {
            return;
        }
        let text = turn_of(&mut self.turns, number).text();
        let words = text.unicode_words().count();
        self.tell(Input::Words(u32::try_from(words).unwrap_or(u32::MAX)));
        if self.options.text_cues && !self.user_speaks {
            let vote = TextCues::judge(&text, self.language.as_deref(), self.expectation);
            if !vote.reasons.is_empty() {
                self.tell(Input::TextCues { turn: number, vote });
            }
        }
    }

    /// The recogniser says that the user is finished.
    fn recogniser_ended(&mut self) {
        let Some(number) = self.detector.open_turn() else {
            return;
        };
        let turn = turn_of(&mut self.turns, number);
        if turn.is_final() {
            self.tell(Input::CommitTurn);
        } else {
            self.stt_ended = Some(number);
        }
    }

    fn recogniser_is_done(&mut self, number: u64) -> bool {
        if self.stt_ended == Some(number) {
            self.stt_ended = None;
            return true;
        }
        false
    }

    // What the program asks for.

    /// Ends the turn now.
    pub(super) fn commit(&mut self, skip_reply: bool, transcript: oneshot::Sender<String>) {
        self.settle_missing();
        let now = Instant::now();
        let before = self.heard.len();
        self.tell(Input::CommitTurn);
        let decision = self
            .heard
            .iter()
            .skip(before)
            .find_map(|heard| match heard {
                Heard::Core(Event::EndOfTurn(end)) => Some(*end),
                _ => None,
            });
        if self.stt.is_stream() {
            self.stt.send(SttCommand::Flush);
        } else if self.user_speaks {
            // The utterance that is open ends here, so that it can be recognised.
            self.flush();
        }
        // By hand, all that has been said since the last commit is one turn.
        let number = decision.map(|end| end.turn).or_else(|| {
            self.turns
                .iter()
                .rev()
                .find(|t| t.ended.is_none())
                .map(|t| t.number)
        });
        let Some(number) = number else {
            let _ = transcript.send(String::new());
            return;
        };
        turn_of(&mut self.turns, number);
        self.merge_into(number);
        let waits = self.stt.is_stream();
        let turn = turn_of(&mut self.turns, number);
        turn.skip_reply = skip_reply;
        turn.replies.push(transcript);
        let is_final = turn.is_final();
        turn.ended = Some(Ended {
            decision,
            waits_until: (waits && !is_final).then(|| now + COMMIT_WAIT),
            has_final: false,
        });
    }

    /// Puts everything that was said before `number` and has not been ended into it.
    fn merge_into(&mut self, number: u64) {
        let mut merged = String::new();
        let mut pending = 0;
        let mut open = Vec::new();
        self.turns.retain(|turn| {
            let goes = turn.number < number && turn.ended.is_none();
            if goes {
                append(&mut merged, &turn.text());
                pending += turn.pending;
                open.push(turn.number);
            }
            !goes
        });
        for submitted in &mut self.submitted {
            if matches!(submitted.owner, Owner::Turn(turn) if open.contains(&turn)) {
                submitted.owner = Owner::Turn(number);
            }
        }
        let turn = turn_of(&mut self.turns, number);
        append(&mut merged, &turn.finals);
        turn.finals = merged;
        turn.pending += pending;
    }

    /// Forgets what the user has said in the turn that is open. The recogniser's connection stays.
    pub(super) fn clear(&mut self) {
        self.settle_missing();
        self.tell(Input::ClearTurn);
        let mut gone = Vec::new();
        self.turns.retain_mut(|turn| {
            if turn.ended.is_none() {
                gone.push(turn.number);
            }
            turn.ended.is_some()
        });
        for submitted in &mut self.submitted {
            if matches!(submitted.owner, Owner::Turn(turn) if gone.contains(&turn)) {
                submitted.owner = Owner::Cleared;
            }
        }
    }

    /// Ends all that is open: the user's audio is over for now.
    pub(super) fn flush(&mut self) {
        self.settle_missing();
        let outputs = self.detector.flush();
        Self::take(
            outputs,
            &mut self.heard,
            &mut self.judge,
            &self.stt,
            &mut self.submitted,
            &mut self.turns,
        );
    }

    /// The user's audio is over for good; everything that was said is still recognised.
    pub(super) fn end_input(&mut self) {
        self.flush();
        self.stt.end_input();
    }

    /// What is being recognised is given up.
    pub(super) fn cancel(&mut self) {
        self.stt.cancel();
        for turn in &mut self.turns {
            turn.pending = 0;
        }
        self.submitted.clear();
        self.late = 0;
    }

    /// An utterance that failed is recognised once more; its words are a turn of their own if its turn is over.
    pub(super) fn resubmit(&mut self, failed: FailedSegment) {
        let speech_end = SamplePos(self.samples(failed.span.1).0);
        if self.stt.resubmit(failed) {
            self.late += 1;
            self.submitted.push_back(Submitted {
                owner: Owner::Late,
                speech_end,
            });
        }
    }

    // What comes out.

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

    /// How long ago the sample at `at` was heard.
    pub(super) fn ago(&self, at: SamplePos, now: Instant) -> Duration {
        let (then, position) = self.anchor;
        duration(SamplePos(position.since(at).0), self.rate()) + now.saturating_duration_since(then)
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

fn turn_of(turns: &mut VecDeque<Turn>, number: u64) -> &mut Turn {
    let at = turns.partition_point(|turn| turn.number < number);
    if turns.get(at).is_none_or(|turn| turn.number != number) {
        turns.insert(
            at,
            Turn {
                number,
                ..Turn::default()
            },
        );
    }
    &mut turns[at]
}

/// Whether two texts have the same words, whatever their case and punctuation.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        text.unicode_words()
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
    };
    words(a) == words(b)
}

/// Words behind words.
fn append(text: &mut String, more: &str) {
    let more = more.trim();
    if !text.is_empty() && !more.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
    text.push_str(more);
}
