//! The VAD of many streams in one call.

use std::ffi::c_char;

use engine::{StateGuard, VadBatch, VadState};

use crate::handle::{self, Opaque};
use crate::models::listenkit_models;
use crate::options::flag;
use crate::pointer::{self, Out};
use crate::status::{
    Failure, LISTENKIT_CONFIG, LISTENKIT_INPUT, LISTENKIT_TOO_LONG, listenkit_detail,
    listenkit_status,
};
use crate::vad::{model, widen};

/// `listenkit_vad_batch_reset`: every stream.
pub const LISTENKIT_ALL_STREAMS: u32 = u32::MAX;

/// Streams that are computed side by side: enough to keep the arithmetic units busy, by the documentation of `VadBatch`.
const BLOCK: usize = 32;

/// Most streams of one batch, 90 MB of state. A larger number is a mistake of the caller, not a plan.
const MAX_STREAMS: usize = 65_536;

/// Silero VAD for many streams of one thread. Each load of the weights serves many of them, which takes less time than one stream
/// after the other; the probabilities are the same to the last bit.
#[allow(non_camel_case_types)]
pub struct listenkit_vad_batch {
    _opaque: [u8; 0],
}

pub(crate) struct Batch {
    engine: VadBatch,
    states: Vec<VadState>,
    /// One for each stream, or none at all.
    guards: Vec<StateGuard>,
    /// States of the streams that are computed together, taken out of `states` for that long.
    together: Vec<VadState>,
    /// Windows that came as 16-bit values.
    floats: Vec<f32>,
    probabilities: Vec<f32>,
    /// The call that last named a stream.
    named: Vec<u64>,
    calls: u64,
}

impl Opaque for listenkit_vad_batch {
    type Value = Batch;
    const TAG: u32 = u32::from_le_bytes(*b"LKvb");
}

/// Windows of either kind, back to back.
#[derive(Clone, Copy)]
enum Windows<'a> {
    I16(&'a [i16]),
    F32(&'a [f32]),
}

impl Batch {
    fn new(engine: VadBatch, guarded: bool, streams: usize) -> Self {
        let window = engine.vad().rate().window_len();
        Self {
            engine,
            states: vec![VadState::new(); streams],
            guards: vec![StateGuard::new(); if guarded { streams } else { 0 }],
            together: vec![VadState::new(); BLOCK],
            floats: vec![0.0; BLOCK * window],
            probabilities: vec![0.0; streams],
            named: vec![0; streams],
            calls: 0,
        }
    }

    fn window_len(&self) -> usize {
        self.engine.vad().rate().window_len()
    }

    /// Whether these streams can be moved on by these windows; nothing has changed if not.
    fn check(&mut self, named: Option<&[u32]>, count: usize, values: usize) -> Result<(), Failure> {
        let (streams, window) = (self.states.len(), self.window_len());
        if count > streams {
            let text = format_args!("count is {count}: the batch has {streams} streams");
            return Err(Failure::new(LISTENKIT_INPUT, text));
        }
        if values != count * window {
            let text = format_args!(
                "windows_len is {values}: {count} windows of {window} samples are {}",
                count * window
            );
            return Err(Failure::new(LISTENKIT_INPUT, text));
        }
        self.calls += 1;
        for (i, &stream) in named.unwrap_or_default().iter().enumerate() {
            let Some(seen) = self.named.get_mut(stream as usize) else {
                let text = format_args!(
                    "streams[{i}] is {stream}: the batch has streams 0 to {}",
                    streams - 1
                );
                return Err(Failure::new(LISTENKIT_INPUT, text));
            };
            if std::mem::replace(seen, self.calls) == self.calls {
                let text = format_args!("streams[{i}] is {stream}, which was named before");
                return Err(Failure::new(LISTENKIT_INPUT, text));
            }
        }
        Ok(())
    }

    /// Moves streams on; they have been checked. The probabilities are in `self.probabilities`.
    fn run(&mut self, named: Option<&[u32]>, count: usize, windows: Windows<'_>) {
        let mut first = 0;
        while first < count {
            let n = BLOCK.min(count - first);
            self.block(named, first, n, windows);
            first += n;
        }
    }

    fn block(&mut self, named: Option<&[u32]>, first: usize, n: usize, windows: Windows<'_>) {
        let window = self.window_len();
        let range = first * window..(first + n) * window;
        let floats = match windows {
            Windows::F32(values) => &values[range],
            Windows::I16(values) => {
                let floats = &mut self.floats[..n * window];
                widen(&values[range], floats);
                floats
            }
        };
        let mut windows: [&[f32]; BLOCK] = [&[]; BLOCK];
        for (slot, window) in windows.iter_mut().zip(floats.chunks_exact(window)) {
            *slot = window;
        }
        let stream = |i: usize| named.map_or(i, |named| named[i] as usize);
        let probabilities = &mut self.probabilities[first..first + n];
        if named.is_none() {
            let states = &mut self.states[first..first + n];
            self.engine.probabilities(states, &windows, probabilities);
        } else {
            // The model wants its states side by side.
            for (i, slot) in self.together[..n].iter_mut().enumerate() {
                std::mem::swap(slot, &mut self.states[stream(first + i)]);
            }
            let states = &mut self.together[..n];
            self.engine.probabilities(states, &windows, probabilities);
            for (i, slot) in self.together[..n].iter_mut().enumerate() {
                std::mem::swap(slot, &mut self.states[stream(first + i)]);
            }
        }
        if !self.guards.is_empty() {
            for (i, &probability) in probabilities.iter().enumerate() {
                let stream = stream(first + i);
                self.guards[stream].observe(probability, &mut self.states[stream]);
            }
        }
    }

    fn reset(&mut self, stream: u32) -> Result<(), Failure> {
        if stream == LISTENKIT_ALL_STREAMS {
            self.states.iter_mut().for_each(VadState::reset);
            self.guards.iter_mut().for_each(StateGuard::reset);
            return Ok(());
        }
        let index = stream as usize;
        let Some(state) = self.states.get_mut(index) else {
            let text = format_args!(
                "stream is {stream}: the batch has streams 0 to {}",
                self.states.len() - 1
            );
            return Err(Failure::new(LISTENKIT_INPUT, text));
        };
        state.reset();
        self.guards.get_mut(index).map(StateGuard::reset);
        Ok(())
    }

    /// What one more stream costs.
    fn bytes_per_stream(&self) -> usize {
        let guard = if self.guards.is_empty() {
            0
        } else {
            size_of::<StateGuard>()
        };
        size_of::<VadState>() + guard + size_of::<f32>() + size_of::<u64>()
    }
}

/// Streams that have heard nothing, numbered from 0.
///
/// `sample_rate` is 8000 or 16000 Hz, `state_guard` as for `listenkit_vad_new`, `streams` 1 to 65536. Anything else fails with
/// `LISTENKIT_CONFIG`, or `LISTENKIT_VALUE` for `state_guard`. Takes 0.4 MB and `listenkit_vad_batch_state_bytes` for each stream.
///
/// # Safety
/// `models` is a live handle; `batch` has room for a pointer; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_new(
    models: *const listenkit_models,
    sample_rate: u32,
    state_guard: u32,
    streams: usize,
    batch: *mut *mut listenkit_vad_batch,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        // SAFETY: the caller's promise.
        let model = unsafe { model(models, sample_rate)? };
        let guarded = flag("state_guard", state_guard)?;
        if !(1..=MAX_STREAMS).contains(&streams) {
            let text = format_args!("streams is {streams}: use 1 to {MAX_STREAMS}");
            return Err(Failure::new(LISTENKIT_CONFIG, text));
        }
        Ok(Batch::new(VadBatch::new(model, BLOCK), guarded, streams))
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(batch, detail, build) }
}

/// Ends it. NULL is fine.
///
/// # Safety
/// `batch` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_free(batch: *mut listenkit_vad_batch) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(batch) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `batch` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_detail(
    batch: *const listenkit_vad_batch,
) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(batch) }
}

/// Samples in a window: 512 at 16 kHz, 256 at 8 kHz, both 32 ms.
///
/// # Safety
/// `batch` is a live handle; `samples` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_window_len(
    batch: *const listenkit_vad_batch,
    samples: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(batch, |batch| {
            Out::new("samples", samples)?.write(batch.window_len());
            Ok(())
        })
    }
}

/// Moves `count` streams on by one window each and writes the probability of each, 0 to 1, in the same order.
///
/// `windows` holds the windows back to back: `windows_len` must be `count` times the length of a window. `streams[i]` is the stream
/// that window i belongs to, each at most once, in any order; NULL: window i is that of stream i. Streams that are not named stay as
/// they are. Allocates nothing. `probabilities` has room for `count` floats, and overlaps with none of the inputs.
///
/// Fails with `LISTENKIT_INPUT` if a length is wrong, or a stream is unknown or named twice; then no stream has moved.
///
/// # Safety
/// `batch` is a live handle; `streams` is NULL or holds `count` numbers; `windows` holds `windows_len` values; `probabilities`
/// has room for `count` floats, apart from the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_probabilities_i16(
    batch: *mut listenkit_vad_batch,
    streams: *const u32,
    count: usize,
    windows: *const i16,
    windows_len: usize,
    probabilities: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(batch, |batch| {
            let windows = Windows::I16(pointer::slice("windows", windows, windows_len)?);
            batch_probabilities(batch, (streams, count), windows, windows_len, probabilities)
        })
    }
}

/// The same from floats, full scale 1.0. NaN counts as 0; what is far outside is limited.
///
/// # Safety
/// As for `listenkit_vad_batch_probabilities_i16`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_probabilities_f32(
    batch: *mut listenkit_vad_batch,
    streams: *const u32,
    count: usize,
    windows: *const f32,
    windows_len: usize,
    probabilities: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(batch, |batch| {
            let windows = Windows::F32(pointer::slice("windows", windows, windows_len)?);
            batch_probabilities(batch, (streams, count), windows, windows_len, probabilities)
        })
    }
}

/// # Safety
/// `streams` is NULL or holds as many numbers as it says, `probabilities` has room for as many floats, apart from the rest.
unsafe fn batch_probabilities(
    batch: &mut Batch,
    (streams, count): (*const u32, usize),
    windows: Windows<'_>,
    windows_len: usize,
    probabilities: *mut f32,
) -> Result<(), Failure> {
    if count > MAX_STREAMS {
        let text = format_args!("count is {count}: no batch has that many streams");
        return Err(Failure::new(LISTENKIT_TOO_LONG, text));
    }
    match windows {
        Windows::I16(values) => pointer::apart(values, (probabilities, count))?,
        Windows::F32(values) => pointer::apart(values, (probabilities, count))?,
    }
    let named = if streams.is_null() {
        None
    } else {
        // SAFETY: the caller's promise.
        Some(unsafe { pointer::slice("streams", streams, count)? })
    };
    pointer::apart(named.unwrap_or_default(), (probabilities, count))?;
    // SAFETY: the caller's promise, and apart from what is read.
    let out = unsafe { pointer::slice_mut("probabilities", probabilities, count)? };
    batch.check(named, count, windows_len)?;
    batch.run(named, count, windows);
    out.copy_from_slice(&batch.probabilities[..count]);
    Ok(())
}

/// Makes a stream forget everything that it heard, or all with `LISTENKIT_ALL_STREAMS`: how a number is given to the next caller.
///
/// # Safety
/// `batch` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_reset(
    batch: *mut listenkit_vad_batch,
    stream: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(batch, |batch| batch.reset(stream)) }
}

/// Bytes for each stream. What all of them share is 0.4 MB for the batch, and the weights.
///
/// # Safety
/// `batch` is a live handle; `bytes_per_stream` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_batch_state_bytes(
    batch: *const listenkit_vad_batch,
    bytes_per_stream: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(batch, |batch| {
            Out::new("bytes_per_stream", bytes_per_stream)?.write(batch.bytes_per_stream());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;
    use crate::status::{
        LISTENKIT_MISALIGNED, LISTENKIT_NULL_POINTER, LISTENKIT_OK, LISTENKIT_VALUE,
    };
    use crate::testing::{floats, models, skewed, speech, text};
    use crate::vad::tests::reference;

    /// A batch that is freed at the end of a test.
    struct Streams(*mut listenkit_vad_batch, usize);

    impl Streams {
        fn new(sample_rate: u32, state_guard: u32, streams: usize) -> Self {
            let mut batch = null_mut();
            // SAFETY: live models, room for the handle.
            let status = unsafe {
                listenkit_vad_batch_new(
                    models(),
                    sample_rate,
                    state_guard,
                    streams,
                    &raw mut batch,
                    null_mut(),
                )
            };
            assert_eq!(status, LISTENKIT_OK);
            let mut samples = 0;
            // SAFETY: a live handle and room for the number.
            let status = unsafe { listenkit_vad_batch_window_len(batch, &raw mut samples) };
            assert_eq!(
                (status, samples),
                (LISTENKIT_OK, sample_rate as usize * 4 / 125)
            );
            Self(batch, samples)
        }

        /// The status and the probabilities, which are 7 where none was written.
        fn try_i16(&self, named: Option<&[u32]>, windows: &[i16]) -> (listenkit_status, Vec<f32>) {
            let count = windows.len() / self.1;
            let mut p = vec![7.0; count];
            let named = named.map_or(null(), <[u32]>::as_ptr);
            let (windows, len) = (windows.as_ptr(), windows.len());
            // SAFETY: a live handle, `count` of everything.
            let status = unsafe {
                let p = p.as_mut_ptr();
                listenkit_vad_batch_probabilities_i16(self.0, named, count, windows, len, p)
            };
            (status, p)
        }

        fn hear(&self, named: Option<&[u32]>, windows: &[i16], as_floats: bool) -> Vec<f32> {
            if !as_floats {
                let (status, p) = self.try_i16(named, windows);
                assert_eq!(status, LISTENKIT_OK);
                return p;
            }
            let windows = floats(windows);
            let count = windows.len() / self.1;
            let mut p = vec![7.0; count];
            let named = named.map_or(null(), <[u32]>::as_ptr);
            let (windows, len) = (windows.as_ptr(), windows.len());
            // SAFETY: a live handle, `count` of everything.
            let status = unsafe {
                let p = p.as_mut_ptr();
                listenkit_vad_batch_probabilities_f32(self.0, named, count, windows, len, p)
            };
            assert_eq!(status, LISTENKIT_OK);
            p
        }

        fn reset(&self, stream: u32) -> listenkit_status {
            // SAFETY: a live handle.
            unsafe { listenkit_vad_batch_reset(self.0, stream) }
        }
    }

    impl Drop for Streams {
        fn drop(&mut self) {
            // SAFETY: a live handle that nothing uses any more.
            unsafe { listenkit_vad_batch_free(self.0) };
        }
    }

    /// Stream k hears the clip from its window 5 k on; which streams a call moves on, and in which order, differs from call to
    /// call. Every probability has the bits that the stream alone would have got.
    #[test]
    fn each_stream_gets_what_it_would_get_alone() {
        const STREAMS: usize = 71; // two blocks and a bit
        for (sample_rate, state_guard, as_floats) in [
            (16_000, 0, false),
            (16_000, 1, true),
            (8_000, 1, false),
            (8_000, 0, true),
        ] {
            let batch = Streams::new(sample_rate, state_guard, STREAMS);
            let len = batch.1;
            let mut pcm = speech(sample_rate);
            pcm.truncate(pcm.len() / len * len);
            let windows = pcm.len() / len;
            let window = |stream: usize, at: usize| {
                let n = (5 * stream + at) % windows;
                &pcm[n * len..][..len]
            };
            let calls = 130;
            let (mut at, mut heard) = (vec![0; STREAMS], vec![Vec::new(); STREAMS]);
            for call in 0..calls {
                // 37 and 71 have no divisor in common, so this names each stream once, in another order each time.
                let count = [STREAMS, 1, 40, 32, 33][call % 5];
                let streams: Vec<u32> = (0..count)
                    .map(|i| ((37 * i + 3 * call) % STREAMS) as u32)
                    .collect();
                let in_order: Vec<u32> = (0..count as u32).collect();
                let (named, streams) = match call % 3 {
                    0 => (None, in_order),
                    _ => (Some(&streams[..]), streams.clone()),
                };
                let values: Vec<i16> = streams
                    .iter()
                    .flat_map(|&k| window(k as usize, at[k as usize]))
                    .copied()
                    .collect();
                for (&k, p) in streams.iter().zip(batch.hear(named, &values, as_floats)) {
                    at[k as usize] += 1;
                    heard[k as usize].push(p);
                }
            }
            for (k, heard) in heard.iter().enumerate().step_by(7) {
                let alone: Vec<i16> = (0..at[k]).flat_map(|n| window(k, n)).copied().collect();
                let expected = reference(sample_rate, state_guard == 1, &alone);
                assert_eq!(heard, &expected, "stream {k} at {sample_rate} Hz");
            }
        }
    }

    #[test]
    fn resetting_one_stream_leaves_the_others() {
        let batch = Streams::new(16_000, 1, 3);
        let pcm = speech(16_000);
        let pcm = &pcm[3 * 16_000..][..60 * 512];
        let expected = reference(16_000, true, pcm);
        let all = |n: usize| pcm[n * 512..][..512].repeat(3);
        let hear = |n: usize| batch.hear(None, &all(n), false);
        for (n, &p) in expected[..30].iter().enumerate() {
            assert_eq!(hear(n), [p; 3]);
        }
        assert_eq!(batch.reset(1), LISTENKIT_OK);
        let mixed = [all(30), all(0), all(30)]
            .map(|w| w[..512].to_vec())
            .concat();
        let heard = batch.hear(None, &mixed, false);
        assert_eq!(heard, [expected[30], expected[0], expected[30]]);
        assert_ne!(expected[30], expected[0]);
        assert_eq!(batch.reset(LISTENKIT_ALL_STREAMS), LISTENKIT_OK);
        assert_eq!(hear(0), [expected[0]; 3]);
        assert_eq!(batch.reset(3), LISTENKIT_INPUT);
        assert_eq!(hear(1), [expected[1]; 3]);
    }

    #[test]
    fn what_is_refused_moves_no_stream() {
        let (batch, calm) = (Streams::new(16_000, 1, 4), Streams::new(16_000, 1, 4));
        let pcm = speech(16_000);
        let pcm = &pcm[pcm.len() - 20 * 512..];
        let refused = |named: Option<&[u32]>, windows: usize, why: &str| {
            let (status, p) = batch.try_i16(named, &pcm[..windows * 512]);
            assert_eq!(status, LISTENKIT_INPUT, "{why}");
            assert!(p.iter().all(|&p| p == 7.0));
            // SAFETY: a live handle; the text is read before the next call.
            let detail = text(unsafe { listenkit_vad_batch_detail(batch.0) });
            assert!(detail.contains(why), "{detail}");
        };
        let as_floats = floats(pcm);
        let (values, floats) = (pcm.as_ptr(), as_floats.as_ptr());
        let (named, mut p) = ([0_u32, 1, 2, 3], [7.0_f32; 8]);
        let (named, out, b) = (named.as_ptr(), (&raw mut p).cast::<f32>(), batch.0);
        for n in 0..4 {
            refused(
                Some(&[1, 2, 1]),
                3,
                "streams[2] is 1, which was named before",
            );
            refused(
                Some(&[0, 4]),
                2,
                "streams[1] is 4: the batch has streams 0 to 3",
            );
            refused(Some(&[u32::MAX]), 1, "streams[0] is 4294967295");
            refused(None, 5, "the batch has 4 streams");
            // SAFETY: what is wrong here is refused before it is followed.
            let (refused, expected): (Vec<listenkit_status>, Vec<listenkit_status>) = unsafe {
                use super::{
                    listenkit_vad_batch_probabilities_f32 as f32s,
                    listenkit_vad_batch_probabilities_i16 as i16s,
                };
                let null_pointer = LISTENKIT_NULL_POINTER;
                let values_misaligned = skewed(values);
                [
                    (i16s(null_mut(), named, 4, values, 2_048, out), null_pointer),
                    (i16s(b, named, 4, null(), 2_048, out), null_pointer),
                    (i16s(b, named, 4, values, 2_048, null_mut()), null_pointer),
                    (f32s(null_mut(), named, 4, floats, 2_048, out), null_pointer),
                    (f32s(b, named, 4, null(), 2_048, out), null_pointer),
                    (f32s(b, named, 4, floats, 2_048, null_mut()), null_pointer),
                    (i16s(b, named, 4, values, 2_047, out), LISTENKIT_INPUT),
                    (f32s(b, named, 4, floats, 2_049, out), LISTENKIT_INPUT),
                    (f32s(b, named, 4, null(), 0, out), LISTENKIT_INPUT),
                    (
                        i16s(b, named, 4, values, usize::MAX, out),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        i16s(b, named, usize::MAX, values, 2_048, out),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        i16s(b, null(), usize::MAX / 512, values, 2_048, out),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        i16s(b, named, 4, values_misaligned, 2_048, out),
                        LISTENKIT_MISALIGNED,
                    ),
                    (
                        f32s(b, named, 4, skewed(floats), 2_048, out),
                        LISTENKIT_MISALIGNED,
                    ),
                    (
                        f32s(b, skewed(named), 4, floats, 2_048, out),
                        LISTENKIT_MISALIGNED,
                    ),
                    (
                        f32s(b, named, 4, floats, 2_048, skewed(out).cast_mut()),
                        LISTENKIT_MISALIGNED,
                    ),
                    (listenkit_vad_batch_reset(null_mut(), 0), null_pointer),
                    (listenkit_vad_batch_window_len(b, null_mut()), null_pointer),
                    (
                        listenkit_vad_batch_window_len(null(), null_mut()),
                        null_pointer,
                    ),
                    (listenkit_vad_batch_state_bytes(b, null_mut()), null_pointer),
                    (
                        listenkit_vad_batch_state_bytes(null(), null_mut()),
                        null_pointer,
                    ),
                    // No window is no mistake.
                    (i16s(b, null(), 0, null(), 0, null_mut()), LISTENKIT_OK),
                ]
                .into_iter()
                .unzip()
            };
            assert_eq!(refused, expected);
            // SAFETY: a place of this function.
            assert_eq!(unsafe { *out }, 7.0);
            let windows = &pcm[n * 2_048..][..2_048];
            assert_eq!(
                batch.hear(None, windows, false),
                calm.hear(None, windows, false)
            );
        }
    }

    #[test]
    fn a_batch_is_made_from_sensible_settings_only() {
        let models = models();
        let mut batch = null_mut();
        let out = &raw mut batch;
        // SAFETY: what is wrong here is refused before it is followed.
        let refused = unsafe {
            let make = |models, rate, guard, streams, out| {
                listenkit_vad_batch_new(models, rate, guard, streams, out, null_mut())
            };
            [
                make(models, 48_000, 1, 4, out),
                make(models, 16_000, 1, 0, out),
                make(models, 16_000, 1, MAX_STREAMS + 1, out),
                make(models, 16_000, 1, usize::MAX, out),
                make(models, 16_000, 2, 4, out),
                make(null(), 16_000, 1, 4, out),
                make(models, 16_000, 1, 4, null_mut()),
            ]
        };
        let (config, null) = (LISTENKIT_CONFIG, LISTENKIT_NULL_POINTER);
        assert_eq!(
            refused,
            [config, config, config, config, LISTENKIT_VALUE, null, null]
        );
        assert!(batch.is_null());
        // SAFETY: NULL is fine.
        unsafe { listenkit_vad_batch_free(null_mut()) };
    }

    /// The documentation gives what a batch takes for itself and for each stream.
    #[test]
    fn a_batch_takes_what_it_says() {
        let bytes = |streams| {
            let mut batch = null_mut();
            let models = models();
            let allocated = allocation_counter::measure(|| {
                // SAFETY: live models, room for the handle.
                let status = unsafe {
                    listenkit_vad_batch_new(models, 16_000, 1, streams, &raw mut batch, null_mut())
                };
                assert_eq!(status, LISTENKIT_OK);
            });
            let mut per_stream = 0;
            // SAFETY: a live handle and room for the number.
            unsafe {
                listenkit_vad_batch_state_bytes(batch, &raw mut per_stream);
                listenkit_vad_batch_free(batch);
            }
            (allocated.bytes_current as usize, per_stream)
        };
        let (small, large) = (bytes(1), bytes(1_001));
        assert_eq!(large.0 - small.0, 1_000 * large.1);
        assert_eq!(small.1, large.1);
        assert!((250_000..450_000).contains(&small.0), "{}", small.0);
        assert!(small.1 < 2_048, "{}", small.1);
    }
}
