//! Where the speech is: window probabilities in, starts, ends and segment ranges out.
//!
//! The segmenter sees no audio. It is told the range and the probability of each model window, in
//! order, and answers with positions; the detector cuts the audio. It allocates nothing, reads no
//! clock and does the same small work for every window.
//!
//! **Hysteresis.** Outside a segment a window is *voiced* when `p >= activation_threshold`; inside
//! one also when `p > deactivation_threshold`. All other windows are *silent*. (LiveKit's two VADs
//! test the same, down to the `>=` and the `>`.)
//!
//! **Onset.** A segment opens at the `min_speech_windows`-th voiced window; its start is the first of
//! them. A run of up to `onset_dip_windows` silent windows holds the count, a longer one clears it.
//! LiveKit clears it at every silent window, so a voice that flickers around the threshold can stay
//! unheard for as long as it flickers. With N and D for the two numbers: any stretch that holds N
//! voiced windows, never more than D silent ones in a row between them, opens a segment at its N-th
//! voiced window, at most `N + (N - 1) * D` windows after its first. The count cannot be carried
//! further: D + 1 silent windows in a row always clear it. On the 148 clips of the evaluation corpus
//! at 16 kHz, N = 2, D = 1 opens no segment more than D = 0 does, with either of the peer's
//! smoothings (401 starts); four starts lie two windows earlier.
//!
//! **End.** `min_silence_windows` silent windows in a row close the segment; it ended with its last
//! voiced window, so the decision is always exactly that many windows behind.
//!
//! **Audio.** A segment delivers its speech with the `prefix_padding` before it and up to
//! `tail_padding` after it. It never waits for padding and never repeats audio of the segment
//! before it (unless [`prefix_may_overlap`](SegmenterConfig::prefix_may_overlap)). Segments and what
//! lies between them give the stream back, sample for sample.
//!
//! **Splitting.** Speech that does not fit `max_segment` is delivered in parts that tile it. The cut
//! falls into the best pause of the last `split_search`: see [`pause::PAUSE_WINDOWS`].

use crate::event::EndReason;
use crate::units::{Probability, SampleCount, SamplePos};

mod change;
#[cfg(test)]
mod livekit_parity;
mod pause;
#[cfg(test)]
mod tests;

pub(crate) use change::{Change, Changes, Window};
use pause::{Cut, PauseSearch, Region, Seen};

/// What the segmenter decides by. Windows are counted, audio is measured in input samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmenterConfig {
    /// `p >=` this is speech, inside a segment and outside.
    pub(crate) activation_threshold: f32,
    /// Inside a segment, `p >` this still is speech.
    pub(crate) deactivation_threshold: f32,
    /// Voiced windows that open a segment; 0 works as 1.
    pub(crate) min_speech_windows: u32,
    /// Silent windows in a row that close it; 0 works as 1.
    pub(crate) min_silence_windows: u32,
    /// Longest run of silent windows that does not clear the onset count. 0 is LiveKit's rule.
    pub(crate) onset_dip_windows: u32,
    /// Audio before the start of speech that belongs to the segment, as far as there is any.
    pub(crate) prefix_padding: SampleCount,
    /// Audio after the end of speech that belongs to the segment: of what was heard when the end was
    /// decided, so more than `min_silence_windows` never comes.
    pub(crate) tail_padding: SampleCount,
    /// Longest piece of audio delivered at once, padding included; `u64::MAX` never splits. Holds
    /// when it is at least [`smallest_max_segment`](Self::smallest_max_segment).
    pub(crate) max_segment: SampleCount,
    /// The last part of `max_segment`, in which the best pause is looked for; at most half of it.
    pub(crate) split_search: SampleCount,
    /// The prefix may reach back into the segment before (LiveKit's does).
    pub(crate) prefix_may_overlap: bool,
}

impl SegmenterConfig {
    /// The smallest `max_segment` that can be kept with these settings when no window is longer than
    /// `window`. With less nothing breaks but the promise: some parts come out longer.
    pub(crate) fn smallest_max_segment(&self, window: SampleCount) -> SampleCount {
        let windows = |n: u64| SampleCount(window.0.saturating_mul(n));
        // A first part holds its prefix and the onset before it can be cut, and a cut leaves behind
        // at most the search region and the silence that the segment was waiting in.
        let first = self.prefix_padding + windows(self.longest_onset().saturating_add(1));
        let rest = self.split_search + windows(u64::from(self.min_silence_windows.max(1)) + 1);
        let twice = SampleCount(self.split_search.0.saturating_mul(2));
        first.max(rest).max(twice)
    }

    /// The oldest audio that can be needed, counted back from the end of the newest window, when no
    /// window is longer than `window`: what a history ring must hold, beside audio not yet in a window.
    pub(crate) fn longest_reach(&self, window: SampleCount) -> SampleCount {
        let windows = |n: u64| SampleCount(window.0.saturating_mul(n));
        // A full part waits in silence for its end, and for the window that decides.
        let full = self.max_segment + windows(u64::from(self.min_silence_windows.max(1)) + 1);
        full.max(self.prefix_padding + windows(self.longest_onset().saturating_add(1)))
    }

    /// Most windows from the first voiced one to the one that opens the segment.
    fn longest_onset(&self) -> u64 {
        let voiced = u64::from(self.min_speech_windows.max(1));
        voiced.saturating_add((voiced - 1).saturating_mul(u64::from(self.onset_dip_windows)))
    }
}

/// Finds segments in a stream of window probabilities. See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Segmenter {
    config: SegmenterConfig,
    /// No prefix reaches before this: the origin, the last cut, or the end of the last segment.
    floor: SamplePos,
    /// End of the newest window.
    heard: SamplePos,
    next_segment: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per stream, and the hot path must not allocate"
)]
enum State {
    Closed { onset: Option<Onset> },
    Open(Open),
}

/// Speech that has not lasted long enough to be believed.
#[derive(Clone, Copy, Debug)]
struct Onset {
    start: SamplePos,
    voiced_windows: u32,
    silent_windows: u32,
    speech: SampleCount,
    last_voiced: SamplePos,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    segment: u64,
    /// First sample of speech.
    start: SamplePos,
    /// End of the last voiced window.
    last_voiced: SamplePos,
    /// Voiced samples since `start`.
    speech: SampleCount,
    /// Silent windows since the last voiced one.
    silent_windows: u32,
    part: Part,
    search: PauseSearch,
}

/// The part of a segment that is delivered next.
#[derive(Clone, Copy, Debug)]
struct Part {
    number: u32,
    /// First sample, prefix included.
    start: SamplePos,
    speech_start: SamplePos,
    /// Voiced samples of the segment before this part.
    speech_before: SampleCount,
}

impl Segmenter {
    /// A segmenter for audio that begins at `origin`.
    pub(crate) fn new(config: SegmenterConfig, origin: SamplePos) -> Self {
        Self {
            config,
            floor: origin,
            heard: origin,
            next_segment: 0,
            state: State::Closed { onset: None },
        }
    }

    /// Takes the next window. One without samples says nothing.
    pub(crate) fn window(&mut self, window: Window) -> Changes {
        // Whatever comes, positions here only move forward.
        let start = window.start.max(self.heard);
        let end = window.end.max(start);
        if start == end {
            return Changes::default();
        }
        let window = Window {
            start,
            end,
            decided_at: window.decided_at.max(end),
            probability: Probability::clamped(window.probability).value(),
        };
        self.heard = end;
        match self.state {
            State::Closed { onset } => self.closed_window(onset, window),
            State::Open(open) => self.open_window(open, window),
        }
    }

    /// The stream breaks off at `at`: an open segment ends and is delivered with what was heard, an
    /// unconfirmed onset is forgotten. Nothing happens if there is neither.
    pub(crate) fn close(&mut self, at: SamplePos, reason: EndReason) -> Changes {
        let state = std::mem::replace(&mut self.state, State::Closed { onset: None });
        self.heard = self.heard.max(at);
        match state {
            State::Closed { .. } => Changes::default(),
            State::Open(open) => self.finish(open, at, at, reason),
        }
    }

    /// Goes on after [`close`](Self::close), with audio that begins at `origin`: behind a gap, or at
    /// another rate. Segment numbers go on.
    pub(crate) fn resume(&mut self, config: SegmenterConfig, origin: SamplePos) {
        debug_assert!(!self.is_open(), "resume() follows close()");
        *self = Self {
            next_segment: self.next_segment,
            ..Self::new(config, origin)
        };
    }

    /// End of the newest window.
    pub(crate) const fn heard(&self) -> SamplePos {
        self.heard
    }

    /// Other settings from the next window on. What has been counted goes on counting.
    pub(crate) fn tune(&mut self, config: SegmenterConfig) {
        self.config = config;
    }

    /// Whether the user is speaking.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether there is speech that has not lasted long enough to open a segment.
    pub(crate) fn onset_pending(&self) -> bool {
        matches!(self.state, State::Closed { onset: Some(_) })
    }

    /// The speech that is open or seems to begin: its start, its voiced samples, and its number if it is open.
    pub(crate) fn speech(&self) -> Option<(SamplePos, SampleCount, Option<u64>)> {
        match self.state {
            State::Open(open) => Some((open.start, open.speech, Some(open.segment))),
            State::Closed { onset } => onset.map(|onset| (onset.start, onset.speech, None)),
        }
    }

    /// Silent windows since the last voiced one of the open segment; 0 when closed.
    pub(crate) fn silent_windows(&self) -> u32 {
        match self.state {
            State::Open(open) => open.silent_windows,
            State::Closed { .. } => 0,
        }
    }

    /// End of the last voiced window of the open segment.
    pub(crate) fn last_voiced(&self) -> Option<SamplePos> {
        match self.state {
            State::Open(open) => Some(open.last_voiced),
            State::Closed { .. } => None,
        }
    }

    /// Audio before this position will not be part of any segment reported from now on. While open it
    /// is the start of the part to come. Never moves back.
    #[cfg(test)]
    pub(crate) fn earliest_needed(&self) -> SamplePos {
        match self.state {
            State::Open(open) => open.part.start,
            State::Closed { onset: Some(onset) } => self.with_prefix(onset.start),
            State::Closed { onset: None } => self.with_prefix(self.heard),
        }
    }

    fn with_prefix(&self, start: SamplePos) -> SamplePos {
        (start - self.config.prefix_padding).max(self.floor)
    }

    fn closed_window(&mut self, onset: Option<Onset>, window: Window) -> Changes {
        if window.probability < self.config.activation_threshold {
            let onset = onset.and_then(|onset| {
                let silent_windows = onset.silent_windows.saturating_add(1);
                (silent_windows <= self.config.onset_dip_windows).then_some(Onset {
                    silent_windows,
                    ..onset
                })
            });
            self.state = State::Closed { onset };
            return Changes::default();
        }
        let before = onset.unwrap_or(Onset {
            start: window.start,
            voiced_windows: 0,
            silent_windows: 0,
            speech: SampleCount::ZERO,
            last_voiced: window.start,
        });
        let voiced_windows = before.voiced_windows.saturating_add(1);
        if voiced_windows < self.config.min_speech_windows {
            let onset = Onset {
                voiced_windows,
                silent_windows: 0,
                speech: before.speech + window.end.since(window.start),
                last_voiced: window.end,
                ..before
            };
            self.state = State::Closed { onset: Some(onset) };
            return Changes::default();
        }
        let segment = self.next_segment;
        self.next_segment = segment.saturating_add(1);
        let mut open = Open {
            segment,
            start: before.start,
            last_voiced: before.last_voiced,
            speech: before.speech,
            silent_windows: 0,
            part: Part {
                number: 0,
                start: self.with_prefix(before.start),
                speech_start: before.start,
                speech_before: SampleCount::ZERO,
            },
            search: PauseSearch::default(),
        };
        open.hear(window, true, &self.config);
        self.state = State::Open(open);
        let start = Change::Start {
            segment,
            at: before.start,
            decided_at: window.decided_at,
            probability: Probability::clamped(window.probability),
        };
        Changes([Some(start), None])
    }

    fn open_window(&mut self, mut open: Open, window: Window) -> Changes {
        let voiced = window.probability >= self.config.activation_threshold
            || window.probability > self.config.deactivation_threshold;
        open.hear(window, voiced, &self.config);
        if open.silent_windows >= self.config.min_silence_windows.max(1) {
            return self.finish(open, window.end, window.decided_at, EndReason::Silence);
        }
        // Only speech splits: a part that is full but silent may be about to end, and its end would
        // otherwise leave a last part without any speech.
        let full = voiced && window.end > open.part.limit(&self.config);
        let split = if full { open.search.cut() } else { None };
        let ready = split.map(|cut| {
            // What was delivered may be forgotten, so no later prefix reaches behind the cut.
            self.floor = cut.at;
            open.split(cut, window)
        });
        self.state = State::Open(open);
        Changes([ready, None])
    }

    /// Ends `open`, of which audio up to `heard` exists.
    fn finish(
        &mut self,
        open: Open,
        heard: SamplePos,
        decided_at: SamplePos,
        reason: EndReason,
    ) -> Changes {
        // The last window may reach over the end of the stream, where the model heard padding.
        let at = open.last_voiced.min(heard).max(open.part.speech_start);
        let decided_at = decided_at.max(at);
        let speech = SampleCount(open.speech.0.saturating_sub(open.last_voiced.since(at).0));
        let latest = heard.min(open.part.limit(&self.config));
        let end = (at + self.config.tail_padding).min(latest).max(at);

        self.state = State::Closed { onset: None };
        if !self.config.prefix_may_overlap {
            self.floor = end;
        }
        let segment = open.segment;
        Changes([
            Some(Change::End {
                segment,
                at,
                decided_at,
                speech_duration: speech,
                segment_duration: at.since(open.start),
                reason,
            }),
            Some(Change::Ready {
                segment,
                part: open.part.number,
                start: open.part.start,
                end,
                speech_start: open.part.speech_start,
                speech_end: at,
                decided_at,
                speech_duration: SampleCount(speech.0.saturating_sub(open.part.speech_before.0)),
                continues: false,
                reason,
            }),
        ])
    }
}

impl Part {
    /// Where it has to end at the latest.
    fn limit(&self, config: &SegmenterConfig) -> SamplePos {
        self.start + config.max_segment
    }
}

impl Open {
    /// Takes `window` into the segment.
    fn hear(&mut self, window: Window, voiced: bool, config: &SegmenterConfig) {
        let latest = self.part.limit(config);
        self.search.window(
            Seen {
                start: window.start,
                probability: window.probability,
                voiced,
                speech: self.speech,
                last_voiced: self.last_voiced,
            },
            Region {
                part: self.part.start,
                earliest: latest - config.split_search,
                latest,
            },
        );
        if voiced {
            self.silent_windows = 0;
            self.speech = self.speech + window.end.since(window.start);
            self.last_voiced = window.end;
        } else {
            self.silent_windows = self.silent_windows.saturating_add(1);
        }
    }

    /// Delivers the part up to `cut` and goes on with the next.
    fn split(&mut self, cut: Cut, window: Window) -> Change {
        let part = self.part;
        self.part = Part {
            number: part.number.saturating_add(1),
            start: cut.at,
            speech_start: cut.speech_start.unwrap_or(window.start),
            speech_before: cut.speech,
        };
        self.search.next_part();
        Change::Ready {
            segment: self.segment,
            part: part.number,
            start: part.start,
            end: cut.at,
            speech_start: part.speech_start,
            speech_end: cut.speech_end,
            decided_at: window.decided_at,
            speech_duration: SampleCount(cut.speech.0.saturating_sub(part.speech_before.0)),
            continues: true,
            reason: EndReason::Split,
        }
    }
}
