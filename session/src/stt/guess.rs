//! Finds pauses that may turn out to be the end of an utterance, and keeps the audio to ask about them.
//!
//! It follows the detector's windows with the detector's own rule, so its guess of the last voiced sample is the one that the detector will name. Should
//! they ever differ, the request was for nothing and no harm is done.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::{Event, SampleRate, WindowScore};

use super::adapter::{mono, time};
use super::{ClipTimes, StreamAdapterOptions};
use crate::AudioFrame;

/// Audio kept beyond prefix and onset, in windows: the onset may have dips, and the filter looks ahead.
const SPARE: Duration = Duration::from_millis(160);

pub(crate) struct Guess {
    after: Duration,
    activation_threshold: f32,
    deactivation_threshold: f32,
    prefix: Duration,
    onset: Duration,
    rate: SampleRate,
    /// The newest frames, each with the position behind it. Their samples are shared with whoever pushed them.
    frames: VecDeque<(u64, AudioFrame)>,
    /// End of the newest window.
    heard: u64,
    /// End of the newest window of speech.
    voiced: u64,
    open: Option<Open>,
    /// No audio reaches back before this: it has been submitted, or is missing.
    floor: u64,
}

/// Speech that has not ended.
#[derive(Clone, Copy)]
struct Open {
    speech: u64,
    audio: u64,
    /// It has been asked whether it ended with [`Guess::voiced`].
    asked: bool,
}

impl Guess {
    pub(crate) fn new(after: Duration, options: &StreamAdapterOptions) -> Self {
        Self {
            after,
            activation_threshold: options.activation_threshold,
            deactivation_threshold: options.deactivation_threshold,
            prefix: options.prefix_padding,
            onset: options.min_speech * 2 + SPARE,
            rate: SampleRate::HZ_16000,
            frames: VecDeque::new(),
            heard: 0,
            voiced: 0,
            open: None,
            floor: 0,
        }
    }

    /// The rate of the stream, before its first frame. Later changes are heard of.
    pub(crate) const fn starts_at(&mut self, rate: SampleRate) {
        self.rate = rate;
    }

    /// Hears what the detector says; says whether a guess that was made has turned out to be wrong.
    pub(crate) fn event(&mut self, event: &Event) -> bool {
        let rate = self.rate;
        match event {
            Event::Window(window) => return self.window(window),
            Event::StartOfSpeech(start) => {
                let prefix = rate.samples(self.prefix).0;
                self.open = Some(Open {
                    speech: start.at.0,
                    audio: start.at.0.saturating_sub(prefix).max(self.floor),
                    asked: false,
                });
            }
            Event::EndOfSpeech(_) => self.open = None,
            Event::SegmentReady(segment) => {
                self.floor = segment.end.0;
                self.open = segment.continues.then_some(Open {
                    speech: segment.end.0,
                    audio: segment.end.0,
                    asked: false,
                });
            }
            Event::Gap(gap) if !gap.concealed => self.floor = (gap.at + gap.duration).0,
            Event::FormatChanged(change) => {
                let at = change.resumes_at.0;
                (self.floor, self.heard, self.voiced) = (at, at, at);
                self.rate = change.to.rate;
                self.frames.clear();
            }
            _ => {}
        }
        false
    }

    fn window(&mut self, window: &WindowScore) -> bool {
        self.heard = window.end.0;
        let p = window.probability.value();
        let voiced = p >= self.activation_threshold
            || self.open.is_some() && p > self.deactivation_threshold;
        if !voiced {
            return false;
        }
        self.voiced = window.end.0;
        let asked = self.open.as_mut().map(|open| &mut open.asked);
        asked.is_some_and(std::mem::take)
    }

    /// Keeps a frame that was heard and ends at position `end`.
    pub(crate) fn keep(&mut self, frame: &AudioFrame, end: u64) {
        self.frames.push_back((end, frame.clone()));
        let reach = self.rate.samples(self.prefix + self.onset).0;
        let needed = match self.open {
            Some(open) => open.audio,
            None => self.heard.saturating_sub(reach),
        };
        while self.frames.front().is_some_and(|(end, _)| *end <= needed) {
            self.frames.pop_front();
        }
    }

    /// The utterance as it would be if its end has been heard; once for each pause that is long enough.
    pub(crate) fn due(&mut self) -> Option<(AudioFrame, ClipTimes)> {
        let (voiced, paused) = (self.voiced, self.heard.saturating_sub(self.voiced));
        let open = self.open.as_mut()?;
        if open.asked || paused < self.rate.samples(self.after).0 {
            return None;
        }
        open.asked = true;
        let open = *open;
        let times = ClipTimes {
            audio_at: time(open.audio, self.rate),
            speech: (time(open.speech, self.rate), time(voiced, self.rate)),
        };
        Some((self.audio_since(open.audio), times))
    }

    /// All audio from a position on; what is missing is silence.
    fn audio_since(&self, start: u64) -> AudioFrame {
        let mut samples = Vec::new();
        for (end, frame) in &self.frames {
            let channels = frame.channels() as usize;
            let mixed = mono(frame.samples().to_vec(), channels, self.rate);
            let first = end - mixed.samples().len() as u64;
            let have = start + samples.len() as u64;
            let skip = usize::try_from(have.saturating_sub(first)).unwrap_or(usize::MAX);
            let missing = usize::try_from(first.saturating_sub(have)).unwrap_or(0);
            samples.resize(samples.len() + missing, 0);
            samples.extend(mixed.samples().iter().skip(skip));
        }
        mono(samples, 1, self.rate)
    }
}
