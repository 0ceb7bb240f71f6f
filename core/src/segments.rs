//! The segmenter of use alone: probabilities of any model in, starts, ends and ranges of speech out.
//!
//! It is the one inside a [`Detector`](crate::Detector), with the rules of a [`DetectorConfig`] and the detector's events.

use crate::config::DetectorConfig;
use crate::error::ConfigError;
use crate::event::{EndReason, Event};
use crate::segmenter::{self, Changes, Window};
use crate::units::SamplePos;

/// No turn is known here.
const TURN: u64 = 0;

/// Finds speech in the probabilities of a voice activity model of your own.
///
/// Of the settings it uses the rate, [`start_at`](DetectorConfig::start_at), the two thresholds, the durations of speech, silence and
/// padding, and [`max_segment_duration`](DetectorConfig::max_segment_duration), with the rules of the presets
/// [`livekit_core`](DetectorConfig::livekit_core) and [`livekit_plugin`](DetectorConfig::livekit_plugin). Probabilities are taken
/// as they come: smoothing is the caller's.
///
/// Durations of speech and silence are counted in windows of 32 ms, as the detector's model has them. Windows of another
/// length work, but count as 32 ms there.
///
/// ```
/// use listenkit::{DetectorConfig, Event, SamplePos, SampleRate, Segmenter};
///
/// let mut segmenter = Segmenter::new(DetectorConfig::new(SampleRate::HZ_16000))?;
/// # let my_model = |window: usize| if (20..60).contains(&window) { 0.9 } else { 0.1 };
/// # let mut said = 0;
/// for window in 0..100 {
///     let end = SamplePos(512 * (window as u64 + 1));
///     for event in segmenter.window(end, my_model(window)) {
///         # said += 1;
///         match event {
///             Event::StartOfSpeech(start) => println!("speech since {}", start.at),
///             Event::SegmentReady(segment) => println!("recognise {}..{}", segment.start, segment.end),
///             _ => {}
///         }
///     }
/// }
/// for event in segmenter.flush() { /* what was still open ends here */ let _ = event; }
/// # assert_eq!(said, 3);
/// # Ok::<(), listenkit::ConfigError>(())
/// ```
///
/// # Events
/// [`StartOfSpeech`](Event::StartOfSpeech), [`EndOfSpeech`](Event::EndOfSpeech) (exactly one for every start) and
/// [`SegmentReady`](Event::SegmentReady), always, whatever [`segment_audio`](DetectorConfig::segment_audio) says. The audio
/// is yours: a segment is a range here, which may begin up to `prefix_padding_duration` before the start of speech. All belong to turn 0,
/// for a segmenter knows no turns. `decided_at` is the end of the window that decided; what your model looks ahead comes on top.
///
/// Nothing is allocated, and no input can panic.
#[derive(Clone, Debug)]
pub struct Segmenter {
    config: DetectorConfig,
    inner: segmenter::Segmenter,
}

impl Segmenter {
    /// A segmenter for windows that begin at [`start_at`](DetectorConfig::start_at).
    ///
    /// # Errors
    /// [`ConfigError`] if one of the settings it uses is out of range or two contradict each other; it names them.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        config.check_segmenter()?;
        let inner = segmenter::Segmenter::new(config.segmenter(config.rate), config.start_at);
        Ok(Self { config, inner })
    }

    /// Takes the next window, from the end of the one before it to `end`, with the probability that it holds speech.
    ///
    /// NaN counts as 0, other values as the nearest in 0.0..=1.0. A window that ends where the one before it ended, or before that,
    /// is no window and says nothing.
    pub fn window(&mut self, end: SamplePos, probability: f32) -> SegmenterEvents {
        SegmenterEvents::of(self.inner.window(Window {
            start: self.inner.heard(),
            end,
            decided_at: end,
            probability,
        }))
    }

    /// End of input: open speech ends at its last voiced window, with what was heard as its tail. More windows may follow, as a new
    /// beginning at the same position; segment numbers go on.
    pub fn flush(&mut self) -> SegmenterEvents {
        let at = self.inner.heard();
        let ended = self.inner.close(at, EndReason::Flush);
        self.inner
            .resume(self.config.segmenter(self.config.rate), at);
        SegmenterEvents::of(ended)
    }

    /// Ends what is open, as [`flush`](Self::flush) does but with reason [`Reset`](EndReason::Reset), then is as new, at its first position.
    pub fn reset(&mut self) -> SegmenterEvents {
        let ended = self.inner.close(self.inner.heard(), EndReason::Reset);
        let config = self.config.segmenter(self.config.rate);
        self.inner = segmenter::Segmenter::new(config, self.config.start_at);
        SegmenterEvents::of(ended)
    }

    /// End of the newest window: where the next one begins.
    pub const fn position(&self) -> SamplePos {
        self.inner.heard()
    }

    /// Whether a segment is open: a start has come out, and its end has not.
    pub fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}

/// What one call of a [`Segmenter`] has to say, in order: at most two events.
#[derive(Clone, Debug)]
#[must_use = "the events are what the segmenter has to say; take them all"]
pub struct SegmenterEvents(<Changes as IntoIterator>::IntoIter);

impl SegmenterEvents {
    fn of(changes: Changes) -> Self {
        Self(changes.into_iter())
    }
}

impl Iterator for SegmenterEvents {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.0.next().map(|change| change.event(TURN))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(2))
    }
}
