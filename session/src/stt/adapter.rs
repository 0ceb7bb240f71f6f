//! A recogniser that takes whole utterances, made to stream by the core's detector.
//!
//! The detector is never kept waiting: starts and ends come out when they happen, recognition runs beside it, and only transcripts wait for each
//! other. The input's rate stays as it is, so no resampler delays or groups what the recogniser gets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use listenkit::error::ConfigError;
use listenkit::{
    Audio, Detector, DetectorConfig, Endpointing, Event, Frame, Input, Output, Outputs, SampleRate,
    Segment, SileroVad,
};
use tokio::sync::mpsc;

use super::guess::Guess;
use super::segments::lock;
use super::{
    ClipTimes, FailedSegment, RecognizeOptions, RecognizerOptions, SegmentRecognizer, SharedStt,
    Stt, SttCapabilities, SttCommand, SttEvent, SttInput, SttStream, Transcript,
};
use crate::{AudioFrame, ErrorKind, ProviderError};

/// Commands that may wait: 0.64 s of frames of 10 ms.
const INPUT_CAPACITY: usize = 64;

/// Events that may wait. An utterance has three or four.
const EVENT_CAPACITY: usize = 256;

/// Longest audio that is heard at once, so that a whole file in one frame does not keep the thread from other work: 1 s takes the detector about 0.3 ms.
const SLICE: Duration = Duration::from_secs(1);

/// How a [`StreamAdapter`] finds utterances and asks for them. The durations are those of [`DetectorConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct StreamAdapterOptions {
    /// Requests, retries, language.
    pub recognizer: RecognizerOptions,
    /// Probability at which a window of 32 ms counts as speech, 0.0..=1.0. Default 0.5.
    pub activation_threshold: f32,
    /// While the user speaks, windows above this still count as speech. Default 0.35.
    pub deactivation_threshold: f32,
    /// Speech that is needed before an utterance starts. Default 50 ms.
    pub min_speech: Duration,
    /// Silence that ends an utterance. Default 250 ms.
    pub min_silence: Duration,
    /// Audio in front of the speech that the recogniser gets. Default 500 ms.
    pub prefix_padding: Duration,
    /// Silence behind the speech that the recogniser gets. Default `None`: all that was waited for. More never comes, for nothing waits for it.
    pub tail_padding: Option<Duration>,
    /// Longest audio of one request, 2 s to 10 min. Longer speech is cut at its best pause and recognised in parts, each with its own transcript: to
    /// join them, the first would have to wait for the last. Default 30 s, what Whisper-like recognisers take.
    pub max_segment: Duration,
    /// Ask already when the user has paused this long, shorter than `min_silence`. If speech goes on, the request was for nothing; if not, the transcript
    /// comes earlier by up to the rest of `min_silence`. Default `None`: no request is wasted.
    pub speculate_after: Option<Duration>,
}

impl Default for StreamAdapterOptions {
    fn default() -> Self {
        Self {
            recognizer: RecognizerOptions::default(),
            activation_threshold: 0.5,
            deactivation_threshold: 0.35,
            min_speech: Duration::from_millis(50),
            min_silence: Duration::from_millis(250),
            prefix_padding: Duration::from_millis(500),
            tail_padding: None,
            max_segment: Duration::from_secs(30),
            speculate_after: None,
        }
    }
}

crate::setters::setters!(StreamAdapterOptions {
    recognizer: RecognizerOptions,
    activation_threshold: f32,
    deactivation_threshold: f32,
    min_speech: Duration,
    min_silence: Duration,
    prefix_padding: Duration,
    [some] tail_padding: Duration,
    max_segment: Duration,
    [some] speculate_after: Duration
});

impl StreamAdapterOptions {
    fn detector(&self, rate: SampleRate) -> DetectorConfig {
        let config = match self.tail_padding {
            Some(tail) => DetectorConfig::new(rate).tail_padding_duration(tail),
            None => DetectorConfig::new(rate),
        };
        config
            .activation_threshold(self.activation_threshold)
            .deactivation_threshold(self.deactivation_threshold)
            .min_speech_duration(self.min_speech)
            .min_silence_duration(self.min_silence)
            .prefix_padding_duration(self.prefix_padding)
            .max_segment_duration(self.max_segment)
            .segment_audio(true)
            .report_windows(self.speculate_after.is_some())
            // Turns are not looked at here. They must not end before speech does, that is all.
            .endpointing(Endpointing::fixed(
                Duration::ZERO,
                self.min_silence.saturating_add(Duration::from_secs(1)),
            ))
    }
}

/// Makes any recogniser of utterances a streaming one.
///
/// Per utterance come a start, an end, and later the [`Final`](SttEvent::Final) or [`SegmentFailed`](SttEvent::SegmentFailed); see [`SegmentRecognizer`] for their
/// order and for retries. A gap of the input longer than `min_silence` ends an utterance. A flush and the end of the input end it too; then all
/// that is open is recognised before the stream is over. Dropping the events cancels: what was not answered is in [`failed`](Self::failed).
///
/// Several channels are mixed to one for the recogniser. Input waits while nobody takes the events (256 of them are kept).
#[derive(Clone)]
pub struct StreamAdapter {
    stt: SharedStt,
    vad: SileroVad,
    options: StreamAdapterOptions,
    failed: Arc<Mutex<VecDeque<FailedSegment>>>,
}

impl StreamAdapter {
    /// An adapter around `stt`. The weights of `vad` are shared by all streams; its rate should be
    /// [`VadRate::for_input`](listenkit::VadRate::for_input) of the audio.
    ///
    /// # Errors
    /// [`ConfigError`] if an option is out of range; it names it.
    pub fn new(
        stt: SharedStt,
        vad: SileroVad,
        options: StreamAdapterOptions,
    ) -> Result<Self, ConfigError> {
        Detector::new(options.detector(SampleRate::HZ_16000), &vad)?;
        if let Some(after) = options
            .speculate_after
            .filter(|&d| d >= options.min_silence)
        {
            return Err(ConfigError::Order {
                smaller: "speculate_after",
                smaller_is: after,
                larger: "min_silence",
                larger_is: options.min_silence,
            });
        }
        Ok(Self {
            stt,
            vad,
            options,
            failed: Arc::default(),
        })
    }

    /// The newest utterances of all streams that were given up, oldest first; as many as
    /// [`keep_failed`](RecognizerOptions::keep_failed).
    pub fn failed(&self) -> Vec<FailedSegment> {
        lock(&self.failed).iter().cloned().collect()
    }
}

impl std::fmt::Debug for StreamAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamAdapter")
            .field("stt", &self.stt.label())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Stt for StreamAdapter {
    fn label(&self) -> &str {
        self.stt.label()
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::STREAMING
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        self.stt.recognize(audio, options).await
    }

    async fn stream(&self, options: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let mut recognizer = self.options.recognizer.clone();
        recognizer.language = options.language.clone().or(recognizer.language);
        let keep_failed = recognizer.keep_failed;
        let (recognizer, answers) = SegmentRecognizer::new(Arc::clone(&self.stt), recognizer);
        let (input, commands) = SttInput::channel(INPUT_CAPACITY);
        let (out, events) = mpsc::channel(EVENT_CAPACITY);
        let ears = Ears {
            rate: SampleRate::HZ_16000,
            detector: None,
            vad: self.vad.clone(),
            options: self.options.clone(),
            guess: self
                .options
                .speculate_after
                .map(|after| Guess::new(after, &self.options)),
            recognizer,
            said: Vec::new(),
        };
        let task = AdapterTask {
            ears,
            out,
            failed: Arc::clone(&self.failed),
            keep_failed,
        };
        tokio::spawn(task.run(commands, answers));
        Ok(SttStream { input, events })
    }
}

/// One stream; owned by one task.
struct AdapterTask {
    ears: Ears,
    out: mpsc::Sender<SttEvent>,
    failed: Arc<Mutex<VecDeque<FailedSegment>>>,
    keep_failed: usize,
}

/// Nobody takes the events any more.
struct Closed;

impl AdapterTask {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<SttCommand>,
        mut answers: mpsc::UnboundedReceiver<SttEvent>,
    ) {
        let ended = self.listen(&mut commands, &mut answers).await;
        if ended.is_ok() {
            return;
        }
        // What was pushed and not heard yet is part of what was said.
        commands.close();
        while let Ok(command) = commands.try_recv() {
            self.ears.take(command);
        }
        self.ears.flush();
        self.ears.recognizer.cancel();
        self.ears.recognizer.finish().await;
        while let Ok(answer) = answers.try_recv() {
            self.remember(&answer);
        }
    }

    async fn listen(
        &mut self,
        commands: &mut mpsc::Receiver<SttCommand>,
        answers: &mut mpsc::UnboundedReceiver<SttEvent>,
    ) -> Result<(), Closed> {
        loop {
            let out = self.out.clone();
            tokio::select! {
                () = out.closed() => return Err(Closed),
                Some(answer) = answers.recv() => self.pass_on(answer).await?,
                command = commands.recv() => match command {
                    Some(SttCommand::Frame(frame)) => self.hear(&frame).await?,
                    Some(command) => {
                        self.ears.take(command);
                        self.say().await?;
                    }
                    None => break,
                },
            }
        }
        self.ears.flush();
        self.say().await?;
        let out = self.out.clone();
        let finished = self.ears.recognizer.finish();
        tokio::pin!(finished);
        loop {
            tokio::select! {
                () = out.closed() => return Err(Closed),
                Some(answer) = answers.recv() => self.pass_on(answer).await?,
                () = &mut finished => break,
            }
        }
        while let Ok(answer) = answers.try_recv() {
            self.pass_on(answer).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, frame: &AudioFrame) -> Result<(), Closed> {
        let rate = u64::from(frame.sample_rate());
        let slice = usize::try_from(rate * SLICE.as_secs()).unwrap_or(usize::MAX);
        let slice = slice.saturating_mul(frame.channels() as usize);
        if frame.samples().len() <= slice {
            self.ears.hear(frame);
            return self.say().await;
        }
        for part in frame.samples().chunks(slice) {
            let part = AudioFrame::new(part, frame.sample_rate(), frame.channels())
                .expect("whole seconds of a frame are whole samples");
            self.ears.hear(&part);
            self.say().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn say(&mut self) -> Result<(), Closed> {
        for event in std::mem::take(&mut self.ears.said) {
            self.out.send(event).await.map_err(|_| Closed)?;
        }
        Ok(())
    }

    async fn pass_on(&mut self, answer: SttEvent) -> Result<(), Closed> {
        self.remember(&answer);
        self.out.send(answer).await.map_err(|_| Closed)
    }

    fn remember(&self, answer: &SttEvent) {
        if let SttEvent::SegmentFailed(failed) = answer {
            let mut kept = lock(&self.failed);
            kept.push_back(failed.clone());
            let over = kept.len().saturating_sub(self.keep_failed);
            kept.drain(..over);
        }
    }
}

/// The detector and what follows from its events. Nothing here waits.
struct Ears {
    /// Of the positions in events.
    rate: SampleRate,
    /// Made when the format of the first frame is known.
    detector: Option<Detector>,
    vad: SileroVad,
    options: StreamAdapterOptions,
    guess: Option<Guess>,
    recognizer: SegmentRecognizer,
    said: Vec<SttEvent>,
}

impl Ears {
    fn take(&mut self, command: SttCommand) {
        match command {
            SttCommand::Frame(frame) => self.hear(&frame),
            SttCommand::Gap(duration) => self.gap(duration),
            SttCommand::Flush => self.flush(),
        }
    }

    fn hear(&mut self, frame: &AudioFrame) {
        let samples = Frame::i16(frame.samples())
            .at_rate(frame.sample_rate())
            .with_channels(frame.channels() as usize);
        self.with_detector(frame.sample_rate(), frame.channels(), |detector, heard| {
            match detector.process(samples) {
                Ok(mut outputs) => heard.take(&mut outputs),
                // The format of a frame is checked when it is made, and the core takes all of these.
                Err(error) => heard.said.push(SttEvent::Error {
                    error: ProviderError::new("listenkit", ErrorKind::Rejected, error.to_string()),
                    recoverable: true,
                }),
            }
        });
        let end = self.detector.as_ref().map(Detector::position);
        if let (Some(guess), Some(end)) = (&mut self.guess, end) {
            guess.keep(frame, end.0);
            if let Some((audio, times)) = guess.due() {
                self.recognizer.speculate(audio, times);
            }
        }
    }

    fn gap(&mut self, duration: Duration) {
        self.with_detector(self.rate.hz(), 1, |detector, heard| {
            let missing = detector.format().rate.samples(duration);
            let outputs = detector.handle(Input::Gap(missing));
            heard.take(&mut outputs.expect("all outputs of earlier calls were taken"));
        });
    }

    fn flush(&mut self) {
        if self.detector.is_some() {
            self.with_detector(self.rate.hz(), 1, |detector, heard| {
                heard.take(&mut detector.flush());
            });
        }
    }

    fn with_detector(
        &mut self,
        rate: u32,
        channels: u32,
        call: impl FnOnce(&mut Detector, &mut Heard<'_>),
    ) {
        let detector = self.detector.get_or_insert_with(|| {
            self.rate =
                SampleRate::new(rate).expect("the rate of a frame is checked when it is made");
            if let Some(guess) = &mut self.guess {
                guess.starts_at(self.rate);
            }
            let config = self.options.detector(self.rate).channels(channels as usize);
            Detector::new(config, &self.vad).expect("the options were checked by the adapter")
        });
        let mut heard = Heard {
            rate: &mut self.rate,
            guess: &mut self.guess,
            recognizer: &self.recognizer,
            said: &mut self.said,
        };
        call(detector, &mut heard);
    }
}

/// What a call of the detector leads to.
struct Heard<'a> {
    rate: &'a mut SampleRate,
    guess: &'a mut Option<Guess>,
    recognizer: &'a SegmentRecognizer,
    said: &'a mut Vec<SttEvent>,
}

impl Heard<'_> {
    fn take(&mut self, outputs: &mut Outputs<'_, '_>) {
        while let Some(output) = outputs.next() {
            let Output::Event(event) = output else {
                continue;
            };
            if let Some(guess) = self.guess
                && guess.event(&event)
            {
                self.recognizer.retract();
            }
            match event {
                Event::StartOfSpeech(start) => self.said.push(SttEvent::StartOfSpeech {
                    at: time(start.at.0, *self.rate),
                }),
                Event::EndOfSpeech(end) => self.said.push(SttEvent::EndOfSpeech {
                    at: time(end.at.0, *self.rate),
                }),
                Event::SegmentReady(segment) => {
                    let audio = outputs.audio(&segment);
                    self.submit(&segment, audio.expect("read at the moment it comes out"));
                }
                Event::FormatChanged(change) => *self.rate = change.to.rate,
                _ => {}
            }
        }
    }

    fn submit(&self, segment: &Segment, audio: Audio<'_>) {
        let rate = *self.rate;
        let times = ClipTimes {
            audio_at: time(segment.start.0, rate),
            speech: (
                time(segment.speech_start.0, rate),
                time(segment.speech_end.0, rate),
            ),
        };
        let channels = usize::from(audio.format.channels);
        self.recognizer
            .submit(mono(audio.to_i16(), channels, rate), times);
    }
}

/// A position in stream time.
pub(super) fn time(position: u64, rate: SampleRate) -> Duration {
    let hz = u64::from(rate.hz());
    let nanos = position % hz * 1_000_000_000 / hz;
    Duration::from_secs(position / hz) + Duration::from_nanos(nanos)
}

/// One channel: the mean of all.
pub(super) fn mono(samples: Vec<i16>, channels: usize, rate: SampleRate) -> AudioFrame {
    let mixed = match i32::try_from(channels) {
        Ok(count @ 2..) => samples
            .chunks_exact(channels)
            // The mean of values of 16 bits has 16 bits.
            .map(|all| (all.iter().map(|&v| i32::from(v)).sum::<i32>() / count) as i16)
            .collect(),
        _ => samples,
    };
    AudioFrame::new(mixed, rate.hz(), 1).expect("mono, at a rate the core hears")
}
