//! What a detector can be asked.

use super::listenkit_detector;
use crate::handle;
use crate::pointer::{Out, SizedOut, Versioned};
use crate::status::{LISTENKIT_EMPTY, listenkit_status};

/// Where the stream is: samples so far, gaps included.
///
/// # Safety
/// `detector` is a live handle; `position` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_position(
    detector: *const listenkit_detector,
    position: *mut u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("position", position)?.write(stream.detector.position().0);
            Ok(())
        })
    }
}

/// A 64-bit digest of every probability and every event so far. Equal inputs give equal digests on the same kernel level, in
/// C, Rust and Python alike.
///
/// # Safety
/// `detector` is a live handle; `fingerprint` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_fingerprint(
    detector: *const listenkit_detector,
    fingerprint: *mut u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("fingerprint", fingerprint)?.write(stream.detector.fingerprint());
            Ok(())
        })
    }
}

/// Bytes of this stream's state, without the weights, which are shared, and retained audio.
///
/// # Safety
/// `detector` is a live handle; `state_bytes` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_state_bytes(
    detector: *const listenkit_detector,
    state_bytes: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("state_bytes", state_bytes)?.write(stream.detector.state_bytes());
            Ok(())
        })
    }
}

/// Bytes of audio this stream may keep, for segments and turn models.
///
/// # Safety
/// `detector` is a live handle; `retained_bytes` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_retained_bytes(
    detector: *const listenkit_detector,
    retained_bytes: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("retained_bytes", retained_bytes)?.write(stream.detector.retained_bytes());
            Ok(())
        })
    }
}

/// Samples of input beyond the end of a window that are needed to score it, at most: the delay of the resampler. 0 where the stream has
/// the VAD's rate.
///
/// # Safety
/// `detector` is a live handle; `delay` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_delay(
    detector: *const listenkit_detector,
    delay: *mut u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("delay", delay)?.write(stream.detector.delay().0);
            Ok(())
        })
    }
}

/// The turn that is open: `LISTENKIT_OK` and its number is written, or `LISTENKIT_EMPTY`.
///
/// # Safety
/// `detector` is a live handle; `turn` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_open_turn(
    detector: *const listenkit_detector,
    turn: *mut u64,
) -> listenkit_status {
    let mut none = false;
    // SAFETY: the caller's promise.
    let status = unsafe {
        handle::enter(detector, |stream| {
            let out = Out::new("turn", turn)?;
            match stream.detector.open_turn() {
                Some(turn) => out.write(turn),
                None => none = true,
            }
            Ok(())
        })
    };
    if none { LISTENKIT_EMPTY } else { status }
}

/// Counters since the detector was made or reset.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_stats {
    /// `sizeof` this struct, set before the call.
    pub struct_size: u32,
    /// Probability of the last window.
    pub last_probability: f32,
    /// Position that the last event needed.
    pub last_event_at: u64,
    /// Samples pushed, per channel, gaps not included.
    pub samples_in: u64,
    /// Model windows run.
    pub windows: u64,
    /// Speech segments started.
    pub segments: u64,
    /// Turns ended.
    pub turns: u64,
    /// Gaps, concealed or not.
    pub gaps: u64,
    /// Changes of format.
    pub format_changes: u64,
    /// Values that were NaN or infinite and were heard as 0.
    pub non_finite_values: u64,
    /// Values far beyond full scale that were limited.
    pub limited_values: u64,
    /// Answers to turn queries that came too late or were never asked for.
    pub stale_answers: u64,
    /// Votes on the text that were ignored.
    pub stale_votes: u64,
    /// Turns forgotten by `listenkit_detector_clear_turn`.
    pub cleared_turns: u64,
    /// Transcripts that came late for such a turn.
    pub dropped_transcripts: u64,
    /// Speech over the agent's that was an interruption.
    pub overlap_claims: u64,
    /// Speech over the agent's that was not.
    pub overlap_briefs: u64,
    /// Interruptions without words.
    pub false_interruptions: u64,
    /// Samples of the agent's playback that were too far ahead to be kept.
    pub reference_dropped: u64,
    /// Events that were lost because nobody polled them.
    pub outputs_dropped: u64,
}

const _: () = assert!(
    size_of::<listenkit_stats>() == 8 + 8 * 18,
    "listenkit_stats has padding, which would be written uninitialised"
);

// SAFETY: `repr(C)`, `struct_size` first, numbers only, and no padding: checked above.
unsafe impl Versioned for listenkit_stats {
    const FIRST: usize = 152;

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            last_probability: 0.0,
            last_event_at: 0,
            samples_in: 0,
            windows: 0,
            segments: 0,
            turns: 0,
            gaps: 0,
            format_changes: 0,
            non_finite_values: 0,
            limited_values: 0,
            stale_answers: 0,
            stale_votes: 0,
            cleared_turns: 0,
            dropped_transcripts: 0,
            overlap_claims: 0,
            overlap_briefs: 0,
            false_interruptions: 0,
            reference_dropped: 0,
            outputs_dropped: 0,
        }
    }
}

/// Counters since the detector was made or reset. `stats->struct_size` must be set.
///
/// # Safety
/// `detector` is a live handle; `stats` has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_stats(
    detector: *const listenkit_detector,
    stats: *mut listenkit_stats,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let out = SizedOut::new("stats", stats)?;
            let stats = stream.detector.stats();
            out.write(&listenkit_stats {
                struct_size: 0,
                last_probability: stats.last_probability.value(),
                last_event_at: stats.last_event_at.0,
                samples_in: stats.samples_in,
                windows: stats.windows,
                segments: stats.segments,
                turns: stats.turns,
                gaps: stats.gaps,
                format_changes: stats.format_changes,
                non_finite_values: stats.non_finite_values,
                limited_values: stats.limited_values,
                stale_answers: stats.stale_answers,
                stale_votes: stats.stale_votes,
                cleared_turns: stats.cleared_turns,
                dropped_transcripts: stats.dropped_transcripts,
                overlap_claims: stats.overlap_claims,
                overlap_briefs: stats.overlap_briefs,
                false_interruptions: stats.false_interruptions,
                reference_dropped: stats.reference_dropped,
                outputs_dropped: stats.outputs_dropped,
            });
            Ok(())
        })
    }
}
