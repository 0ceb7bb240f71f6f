//! The program beside the detector: runs a turn model on its questions and hands the answers back.
//!
//! A live host does this on another thread, and the answer comes when the model is done. Here the answer comes a fixed
//! time of audio after the question, so that equal input gives equal output on every machine.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use listenkit::{
    Detector, Event, Format, Frame, Input, Language, Output, Probability, SamplePos, Samples,
    TurnAudio, TurnContext, TurnModel, TurnQuery,
};

use crate::failure::Failure;

/// Answers a detector's questions.
pub(crate) struct TurnHost<'m> {
    model: &'m mut dyn TurnModel,
    language: Option<Language>,
    /// How much audio goes by until the answer is there.
    answers_after: Duration,
    waiting: VecDeque<Answer>,
    /// Answers by what was asked: (end of the audio, its length). A sweep asks the same again and again.
    known: HashMap<(SamplePos, usize), Option<Probability>>,
    /// Questions that the model was run for, and the time it took.
    pub(crate) runs: u32,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    id: u64,
    probability: Probability,
    due: SamplePos,
}

impl<'m> TurnHost<'m> {
    pub(crate) fn new(
        model: &'m mut dyn TurnModel,
        language: Option<Language>,
        answers_after: Duration,
    ) -> Self {
        Self {
            model,
            language,
            answers_after,
            waiting: VecDeque::new(),
            known: HashMap::new(),
            runs: 0,
            took: Duration::ZERO,
        }
    }

    /// The same recording from its start again, with what the model said about it.
    pub(crate) fn again(&mut self) {
        self.waiting.clear();
    }

    fn ask(
        &mut self,
        query: TurnQuery,
        audio: TurnAudio<'_>,
        due: SamplePos,
    ) -> Result<(), Failure> {
        let key = (query.decided_at, audio.len());
        let probability = match self.known.get(&key) {
            Some(known) => *known,
            None => {
                let begun = Instant::now();
                let language = self.language.map(|language| language.to_string());
                let context = TurnContext {
                    query,
                    audio,
                    transcript: None,
                    history: &[],
                    language: language.as_deref(),
                };
                let answer = self.model.end_of_turn(&context).map_err(|error| {
                    Failure::input(format!(
                        "the turn model cannot judge this recording: {error}"
                    ))
                })?;
                self.took += begun.elapsed();
                self.runs += 1;
                self.known.insert(key, answer);
                answer
            }
        };
        self.waiting.extend(probability.map(|probability| Answer {
            id: query.id,
            probability,
            due,
        }));
        Ok(())
    }

    fn next_due(&self) -> Option<SamplePos> {
        self.waiting.front().map(|answer| answer.due)
    }
}

/// Hears samples, and gives every answer at its due position; `hearer` gets the events.
///
/// # Errors
/// If the samples are not whole or of a format that is not supported, or `hearer` fails.
pub(crate) fn hear(
    detector: &mut Detector,
    samples: Samples<'_>,
    format: Format,
    mut host: Option<&mut TurnHost<'_>>,
    hearer: &mut dyn Hearer,
) -> Result<(), Failure> {
    let width = usize::from(format.channels);
    let mut done = 0;
    loop {
        take(detector, host.as_deref_mut(), hearer)?;
        if done == samples.len() {
            return Ok(());
        }
        let due = host.as_deref().and_then(TurnHost::next_due);
        let room = due.map_or(usize::MAX, |due| {
            usize::try_from(due.since(detector.position()).0).unwrap_or(usize::MAX)
        });
        let end = samples
            .len()
            .min(done.saturating_add(room.saturating_mul(width)));
        let frame = match slice(samples, done, end) {
            Samples::I16(values) => Frame::i16(values),
            Samples::F32(values) => Frame::f32(values),
        };
        let frame = frame.at_rate(format.rate.hz()).with_channels(width);
        let taken = detector
            .push(frame)
            .map_err(|error| Failure::input(error.to_string()))?;
        done += taken * width;
    }
}

/// End of input: takes what is left to say.
///
/// # Errors
/// If `hearer` fails.
pub(crate) fn finish(
    detector: &mut Detector,
    host: Option<&mut TurnHost<'_>>,
    hearer: &mut dyn Hearer,
) -> Result<(), Failure> {
    // Dropped without being taken: what it has to say stays to be polled.
    drop(detector.flush());
    take(detector, host, hearer)
}

/// Takes all that the detector has to say, and gives it the answers that are due.
fn take(
    detector: &mut Detector,
    mut host: Option<&mut TurnHost<'_>>,
    hearer: &mut dyn Hearer,
) -> Result<(), Failure> {
    loop {
        while let Some(output) = detector.poll() {
            match (output, host.as_deref_mut()) {
                (Output::Event(event), _) => hearer.event(&event, detector)?,
                (Output::TurnQuery(query), Some(host)) => {
                    let rate = detector.format().rate;
                    let due = query.decided_at + rate.samples(host.answers_after);
                    host.ask(query, detector.turn_audio(&query), due)?;
                }
                _ => {}
            }
        }
        let Some(host) = host.as_deref_mut() else {
            return Ok(());
        };
        match host.waiting.front().copied() {
            Some(Answer {
                id,
                probability,
                due,
            }) if due <= detector.position() => {
                host.waiting.pop_front();
                let answer = Input::TurnAnswer { id, probability };
                drop(
                    detector
                        .handle(answer)
                        .map_err(|error| Failure::input(error.to_string()))?,
                );
            }
            _ => return Ok(()),
        }
    }
}

/// The values from `start` to `end`.
pub(crate) fn slice(samples: Samples<'_>, start: usize, end: usize) -> Samples<'_> {
    match samples {
        Samples::I16(values) => Samples::I16(&values[start..end]),
        Samples::F32(values) => Samples::F32(&values[start..end]),
    }
}

/// Wants to know what the detector says.
pub(crate) trait Hearer {
    /// An event; `detector` still holds the audio of a segment.
    ///
    /// # Errors
    /// Any failure ends the run.
    fn event(&mut self, event: &Event, detector: &Detector) -> Result<(), Failure>;
}
