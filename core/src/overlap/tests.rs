//! The rules of overlaps, one by one and in random order.

mod drive;
mod random;
mod rules;

use super::*;

const WINDOW: u64 = 512;
/// Voiced windows that confirm speech, silent ones that end it: 50 and 250 ms.
const MIN_SPEECH: u64 = 2;
const MIN_SILENCE: u64 = 8;

/// At 16 kHz: 16 windows are 512 ms.
const BASE: OverlapConfig = OverlapConfig {
    min_duration: SampleCount(8_000),
    min_words: 0,
    playback_guard: SampleCount::ZERO,
    false_interruption_timeout: Some(SampleCount(32_000)),
    words_wait: SampleCount::ZERO,
    own_voice_threshold: 0.8,
};
