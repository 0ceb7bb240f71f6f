//! The resampler: one mono stream from one rate to another.

use std::ffi::c_char;

use engine::resample::{Progress, Resampler};

use crate::handle::{self, Opaque};
use crate::options::{flag, rate};
use crate::pointer::{self, Out};
use crate::status::{Failure, listenkit_detail, listenkit_status};

/// Values of 16-bit audio that are converted at once: 10 ms at 48 kHz and a little.
const BLOCK: usize = 512;

/// Converts a mono stream from one rate to another, with a stated delay and without aliasing.
#[allow(non_camel_case_types)]
pub struct listenkit_resampler {
    _opaque: [u8; 0],
}

impl Opaque for listenkit_resampler {
    type Value = Resampler;
    const TAG: u32 = u32::from_le_bytes(*b"LKrs");
}

/// 16-bit values through the filter, in blocks of fixed memory.
fn process_i16(resampler: &mut Resampler, input: &[i16], output: &mut [i16]) -> Progress {
    let (mut from, mut to) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut done = Progress::default();
    loop {
        let (rest, room) = (&input[done.consumed..], &mut output[done.written..]);
        let (take, give) = (rest.len().min(BLOCK), room.len().min(BLOCK));
        crate::vad::widen(&rest[..take], &mut from);
        let block = resampler.process(&from[..take], &mut to[..give]);
        narrow(&to[..block.written], room);
        done.consumed += block.consumed;
        done.written += block.written;
        if block == Progress::default() {
            return done;
        }
    }
}

fn flush_i16(resampler: &mut Resampler, output: &mut [i16]) -> usize {
    let mut to = [0.0; BLOCK];
    let mut written = 0;
    loop {
        let room = &mut output[written..];
        let give = room.len().min(BLOCK);
        let block = resampler.flush(&mut to[..give]);
        narrow(&to[..block], room);
        written += block;
        if block < BLOCK {
            return written;
        }
    }
}

/// Floats of full scale 1.0 as 16-bit values, rounded and limited.
fn narrow(from: &[f32], to: &mut [i16]) {
    for (to, &from) in to.iter_mut().zip(from) {
        // `as` limits to the range of i16 and turns NaN into 0.
        *to = (from * 32_768.0).round() as i16;
    }
}

/// A stream from `from` to `to` Hz, both 4000 to 192000 or `LISTENKIT_CONFIG`.
///
/// With `aligned` 0 the output lags behind the input by `listenkit_resampler_delay` outputs and every 10 ms in give 10 ms out, within one
/// sample. With 1 those first outputs are left out: output m lies at input time m / to, n inputs give n * to / from outputs in all,
/// rounded up, the last of them by flush. Streams of the same rates share their filter, which takes up to 20 ms to make.
///
/// # Safety
/// `resampler` has room for a pointer; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_new(
    from: u32,
    to: u32,
    aligned: u32,
    resampler: *mut *mut listenkit_resampler,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        let aligned = flag("aligned", aligned)?;
        let resampler = Resampler::shared(rate(from)?, rate(to)?);
        Ok(if aligned {
            resampler.aligned()
        } else {
            resampler
        })
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(resampler, detail, build) }
}

/// Ends it. NULL is fine.
///
/// # Safety
/// `resampler` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_free(resampler: *mut listenkit_resampler) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(resampler) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `resampler` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_detail(
    resampler: *const listenkit_resampler,
) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(resampler) }
}

/// Outputs that `input_len` inputs give at most, wherever the stream stands: the room that lets a call take them all.
///
/// # Safety
/// `resampler` is a live handle; `len` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_output_len_max(
    resampler: *const listenkit_resampler,
    input_len: usize,
    len: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { number(resampler, "len", len, |r| r.output_len_max(input_len)) }
}

/// Outputs that a flush has to write now.
///
/// # Safety
/// `resampler` is a live handle; `len` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_tail_len(
    resampler: *const listenkit_resampler,
    len: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { number(resampler, "len", len, Resampler::tail_len) }
}

/// Outputs by which the stream lags behind its input if it is not aligned: 24 from any rate above 16 kHz to 16 kHz (1.5 ms), 0 for equal
/// rates.
///
/// # Safety
/// `resampler` is a live handle; `outputs` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_delay(
    resampler: *const listenkit_resampler,
    outputs: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { number(resampler, "outputs", outputs, Resampler::delay) }
}

/// Takes samples and writes the outputs that they complete; how the stream is cut into calls changes nothing. `*taken` says how
/// many of `in_len` inputs were taken: all, if `capacity` is `listenkit_resampler_output_len_max` of them, otherwise as
/// many as there was room for. Call again with the rest. An input is taken with all its outputs or not at all, so with less room than
/// `listenkit_resampler_output_len_max` of 1 nothing may move. Allocates nothing. After part of a tail was flushed, begins a new stream.
///
/// `input` and `out` must not overlap. Full scale is 1.0. A value that is not finite spoils the outputs next to it, 3 ms, and no others.
///
/// # Safety
/// `resampler` is a live handle; `input` holds `in_len` floats; `out` has room for `capacity`, apart from `input`; `taken` and
/// `written` have room for a number each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_process_f32(
    resampler: *mut listenkit_resampler,
    input: *const f32,
    in_len: usize,
    out: *mut f32,
    capacity: usize,
    taken: *mut usize,
    written: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(resampler, |resampler| {
            let places = (Out::new("taken", taken)?, Out::new("written", written)?);
            let input = pointer::slice("input", input, in_len)?;
            pointer::apart(input, (out, capacity))?;
            let out = pointer::slice_mut("out", out, capacity)?;
            report(places, resampler.process(input, out));
            Ok(())
        })
    }
}

/// The same for 16-bit values: they go through the filter as floats in blocks of 512, and come out rounded and limited to
/// the range. Which blocks these are changes nothing either.
///
/// # Safety
/// As for `listenkit_resampler_process_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_process_i16(
    resampler: *mut listenkit_resampler,
    input: *const i16,
    in_len: usize,
    out: *mut i16,
    capacity: usize,
    taken: *mut usize,
    written: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(resampler, |resampler| {
            let places = (Out::new("taken", taken)?, Out::new("written", written)?);
            let input = pointer::slice("input", input, in_len)?;
            pointer::apart(input, (out, capacity))?;
            let out = pointer::slice_mut("out", out, capacity)?;
            report(places, process_i16(resampler, input, out));
            Ok(())
        })
    }
}

fn report((taken, written): (Out<usize>, Out<usize>), done: Progress) {
    taken.write(done.consumed);
    written.write(done.written);
}

/// End of the stream: writes its tail, the outputs that still wait for inputs, which count as zeros. With room for
/// `listenkit_resampler_tail_len` one call does; otherwise call again while `*written` equals `capacity`. Then the resampler is as new.
///
/// # Safety
/// `resampler` is a live handle; `out` has room for `capacity` floats; `written` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_flush_f32(
    resampler: *mut listenkit_resampler,
    out: *mut f32,
    capacity: usize,
    written: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(resampler, |resampler| {
            let written = Out::new("written", written)?;
            let out = pointer::slice_mut("out", out, capacity)?;
            written.write(resampler.flush(out));
            Ok(())
        })
    }
}

/// The same for 16-bit values.
///
/// # Safety
/// `resampler` is a live handle; `out` has room for `capacity` values; `written` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_flush_i16(
    resampler: *mut listenkit_resampler,
    out: *mut i16,
    capacity: usize,
    written: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(resampler, |resampler| {
            let written = Out::new("written", written)?;
            let out = pointer::slice_mut("out", out, capacity)?;
            written.write(flush_i16(resampler, out));
            Ok(())
        })
    }
}

/// Forgets everything: the start of a new stream.
///
/// # Safety
/// `resampler` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_reset(
    resampler: *mut listenkit_resampler,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(resampler, |resampler| {
            resampler.reset();
            Ok(())
        })
    }
}

/// Bytes of this stream's own state. The filter is shared and not counted.
///
/// # Safety
/// `resampler` is a live handle; `bytes` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_resampler_state_bytes(
    resampler: *const listenkit_resampler,
    bytes: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { number(resampler, "bytes", bytes, Resampler::state_bytes) }
}

/// Writes a number that the resampler knows.
///
/// # Safety
/// `resampler` is NULL or a live handle; `out` is NULL or has room for a number.
unsafe fn number(
    resampler: *const listenkit_resampler,
    name: &str,
    out: *mut usize,
    ask: impl FnOnce(&Resampler) -> usize,
) -> listenkit_status {
    let body = |resampler: &mut Resampler| -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(name, out)? };
        out.write(ask(resampler));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { handle::enter(resampler, body) }
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use engine::SampleRate;

    use super::*;
    use crate::status::{
        LISTENKIT_CONFIG, LISTENKIT_MISALIGNED, LISTENKIT_NULL_POINTER, LISTENKIT_OK,
        LISTENKIT_TOO_LONG, LISTENKIT_VALUE,
    };
    use crate::testing::{NO_DETAIL, clip, floats, skewed, text};

    /// A stream that is freed at the end of a test.
    struct Stream(*mut listenkit_resampler);

    impl Stream {
        fn new(from: u32, to: u32, aligned: u32) -> Self {
            let mut resampler = null_mut();
            // SAFETY: room for the handle.
            let status = unsafe {
                listenkit_resampler_new(from, to, aligned, &raw mut resampler, null_mut())
            };
            assert_eq!(status, LISTENKIT_OK);
            Self(resampler)
        }

        /// Everything that comes of `input`, in calls of `block` inputs with room for `room` outputs each, and the tail.
        fn convert<T: Kind>(&self, input: &[T], block: usize, room: usize) -> Vec<T> {
            let mut all = Vec::new();
            let mut out = vec![T::default(); room];
            for block in input.chunks(block) {
                let mut rest = block;
                while !rest.is_empty() {
                    let (taken, written) = T::process(self.0, rest, &mut out);
                    assert!(taken + written > 0, "no progress");
                    all.extend_from_slice(&out[..written]);
                    rest = &rest[taken..];
                }
            }
            loop {
                let written = T::flush(self.0, &mut out);
                all.extend_from_slice(&out[..written]);
                if written < room {
                    return all;
                }
            }
        }

        fn ask(
            &self,
            ask: unsafe extern "C" fn(*const listenkit_resampler, *mut usize) -> listenkit_status,
        ) -> usize {
            let mut number = usize::MAX;
            // SAFETY: a live handle and room for the number.
            assert_eq!(unsafe { ask(self.0, &raw mut number) }, LISTENKIT_OK);
            number
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            // SAFETY: a live handle that nothing uses any more.
            unsafe { listenkit_resampler_free(self.0) };
        }
    }

    /// The functions for one kind of value.
    trait Kind: Copy + Default {
        fn process(r: *mut listenkit_resampler, from: &[Self], to: &mut [Self]) -> (usize, usize);
        fn flush(r: *mut listenkit_resampler, to: &mut [Self]) -> usize;
    }

    macro_rules! kind {
        ($kind:ty, $process:ident, $flush:ident) => {
            impl Kind for $kind {
                fn process(
                    r: *mut listenkit_resampler,
                    from: &[Self],
                    to: &mut [Self],
                ) -> (usize, usize) {
                    let (mut taken, mut written) = (usize::MAX, usize::MAX);
                    let (input, in_len) = (from.as_ptr(), from.len());
                    let (out, capacity) = (to.as_mut_ptr(), to.len());
                    let (t, w) = (&raw mut taken, &raw mut written);
                    // SAFETY: a live handle, slices, room for the numbers.
                    let status = unsafe { $process(r, input, in_len, out, capacity, t, w) };
                    assert_eq!(status, LISTENKIT_OK);
                    (taken, written)
                }

                fn flush(r: *mut listenkit_resampler, to: &mut [Self]) -> usize {
                    let mut written = usize::MAX;
                    // SAFETY: a live handle, a slice, room for the number.
                    let status = unsafe { $flush(r, to.as_mut_ptr(), to.len(), &raw mut written) };
                    assert_eq!(status, LISTENKIT_OK);
                    written
                }
            }
        };
    }
    kind!(
        f32,
        listenkit_resampler_process_f32,
        listenkit_resampler_flush_f32
    );
    kind!(
        i16,
        listenkit_resampler_process_i16,
        listenkit_resampler_flush_i16
    );

    /// The core's resampler in one go.
    fn reference(from: u32, to: u32, aligned: bool, input: &[f32]) -> Vec<f32> {
        let rate = |hz| SampleRate::new(hz).expect("valid");
        let mut resampler = Resampler::new(rate(from), rate(to));
        if aligned {
            resampler = resampler.aligned();
        }
        let mut out = vec![0.0; resampler.output_len_max(input.len()) + resampler.delay()];
        let done = resampler.process(input, &mut out);
        assert_eq!(done.consumed, input.len());
        let tail = resampler.flush(&mut out[done.written..]);
        out.truncate(done.written + tail);
        out
    }

    #[test]
    fn samples_are_those_of_the_core_however_they_are_cut() {
        let (rate, _, pcm) = clip("conversation-en");
        let pcm = &pcm[2 * rate as usize..3 * rate as usize];
        let values = floats(pcm);
        for (from, to) in [
            (48_000, 16_000),
            (44_100, 16_000),
            (16_000, 48_000),
            (8_000, 16_000),
            (4_000, 192_000),
            (16_000, 16_000),
            (22_051, 16_000),
        ] {
            for aligned in [0, 1] {
                let expected = reference(from, to, aligned == 1, &values);
                let rounded: Vec<i16> = expected
                    .iter()
                    .map(|&v| (f64::from(v) * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16)
                    .collect();
                assert!(rounded.iter().any(|&v| v > 3_000), "it is heard");
                let stream = Stream::new(from, to, aligned);
                // A stream that was flushed is new.
                for (block, room) in [(usize::MAX, 9_600_000), (480, 700), (1_111, 100), (7, 1)] {
                    let name = format!("{from} to {to}, aligned {aligned}, {block} and {room}");
                    // An input is taken with all its outputs.
                    let room = room.max(to.div_ceil(from) as usize);
                    let block = block.min(pcm.len());
                    assert_eq!(stream.convert(&values, block, room), expected, "{name}");
                    assert_eq!(stream.convert(pcm, block, room), rounded, "{name}");
                }
            }
        }
    }

    #[test]
    fn full_scale_is_limited_and_not_wrapped() {
        // A square wave of full scale: the filter overshoots.
        let square: Vec<i16> = (0..4_800)
            .map(|n| if n / 100 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let out = Stream::new(48_000, 16_000, 1).convert(&square, 480, 480);
        let overshoot = reference(48_000, 16_000, true, &floats(&square));
        assert!(overshoot.iter().any(|&v| v > 1.01) && overshoot.iter().any(|&v| v < -1.01));
        for (&out, &exact) in out.iter().zip(&overshoot) {
            let error = f32::from(out) / 32_768.0 - exact.clamp(-1.0, 1.0);
            assert!(error.abs() <= 1.01 / 32_768.0, "{out} for {exact}");
        }
    }

    /// The documentation says 3 ms.
    #[test]
    fn a_value_that_is_no_number_passes() {
        let mut input = vec![0.25; 48_000];
        let clean = reference(48_000, 16_000, true, &input);
        input[24_000] = f32::NAN;
        input[24_001] = f32::INFINITY;
        let out = Stream::new(48_000, 16_000, 1).convert(&input, 480, 480);
        let spoilt = |n: &usize| out[*n].to_bits() != clean[*n].to_bits();
        let spoilt: Vec<usize> = (0..clean.len()).filter(spoilt).collect();
        let (first, last) = (spoilt[0], spoilt[spoilt.len() - 1]);
        assert!((first..=last).contains(&8_000), "{first}..={last}");
        assert!(last - first <= 3 * 16, "{first}..={last}");
    }

    #[test]
    fn lengths_and_the_delay_are_the_cores() {
        let rate = |hz| SampleRate::new(hz).expect("valid");
        for (from, to) in [(48_000, 16_000), (44_100, 8_000), (8_000, 48_000)] {
            let stream = Stream::new(from, to, 0);
            let mut core = Resampler::new(rate(from), rate(to));
            assert!(core.delay() > 0);
            let check = |core: &Resampler| {
                assert_eq!(stream.ask(listenkit_resampler_delay), core.delay());
                assert_eq!(stream.ask(listenkit_resampler_tail_len), core.tail_len());
                assert_eq!(
                    stream.ask(listenkit_resampler_state_bytes),
                    core.state_bytes()
                );
                for len in [0, 1, 480, usize::MAX] {
                    let mut max = 7;
                    // SAFETY: a live handle and room for the number.
                    let status =
                        unsafe { listenkit_resampler_output_len_max(stream.0, len, &raw mut max) };
                    assert_eq!((status, max), (LISTENKIT_OK, core.output_len_max(len)));
                }
            };
            check(&core);
            let (mut out, mut core_out) = (vec![0.0; 4_000], vec![0.0; 4_000]);
            f32::process(stream.0, &[0.5; 480], &mut out);
            core.process(&[0.5; 480], &mut core_out);
            assert!(core.tail_len() > 0);
            check(&core);
            // SAFETY: a live handle.
            assert_eq!(unsafe { listenkit_resampler_reset(stream.0) }, LISTENKIT_OK);
            core.reset();
            check(&core);
            assert_eq!(core.tail_len(), 0);
        }
    }

    #[test]
    fn a_stream_is_not_resampled_in_place() {
        let stream = Stream::new(16_000, 16_000, 0);
        let mut memory = [1_000_i16; 480];
        let (mut taken, mut written) = (77, 77);
        let at = (&raw mut memory).cast::<i16>();
        // SAFETY: all places are within `memory`.
        let statuses = unsafe {
            [(0, 0), (0, 239), (239, 0), (0, 240), (240, 0)].map(|(from, to)| {
                let (input, out) = (at.add(from), at.add(to));
                let (t, w) = (&raw mut taken, &raw mut written);
                listenkit_resampler_process_i16(stream.0, input, 240, out, 240, t, w)
            })
        };
        let (no, yes) = (crate::status::LISTENKIT_INPUT, LISTENKIT_OK);
        assert_eq!(statuses, [no, no, no, yes, yes]);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let (stream, calm) = (
            Stream::new(48_000, 16_000, 0),
            Stream::new(48_000, 16_000, 0),
        );
        let (input, values) = ([1_000_i16; 480], [0.5_f32; 480]);
        let (mut out_i16, mut out_f32) = ([7_i16; 480], [7.0_f32; 480]);
        let mut numbers = [77_usize; 2];
        let (short, float) = (input.as_ptr(), values.as_ptr());
        let (to_i16, to_f32) = (
            (&raw mut out_i16).cast::<i16>(),
            (&raw mut out_f32).cast::<f32>(),
        );
        let taken = (&raw mut numbers).cast::<usize>();
        let written = taken.wrapping_add(1);
        let r = stream.0;
        for _ in 0..5 {
            // SAFETY: what is wrong here is refused before it is followed.
            let (refused, expected): (Vec<listenkit_status>, Vec<listenkit_status>) = unsafe {
                use super::{
                    listenkit_resampler_flush_f32 as flush_f32,
                    listenkit_resampler_flush_i16 as flush_i16,
                    listenkit_resampler_process_f32 as f32s,
                    listenkit_resampler_process_i16 as i16s,
                };
                let (null_pointer, misaligned) = (LISTENKIT_NULL_POINTER, LISTENKIT_MISALIGNED);
                let skew = |pointer: *mut usize| skewed(pointer).cast_mut();
                [
                    (
                        i16s(null_mut(), short, 480, to_i16, 480, taken, written),
                        null_pointer,
                    ),
                    (
                        i16s(r, null(), 480, to_i16, 480, taken, written),
                        null_pointer,
                    ),
                    (
                        i16s(r, short, 480, null_mut(), 480, taken, written),
                        null_pointer,
                    ),
                    (
                        i16s(r, short, 480, to_i16, 480, null_mut(), written),
                        null_pointer,
                    ),
                    (
                        i16s(r, short, 480, to_i16, 480, taken, null_mut()),
                        null_pointer,
                    ),
                    (
                        f32s(null_mut(), float, 480, to_f32, 480, taken, written),
                        null_pointer,
                    ),
                    (
                        f32s(r, null(), 480, to_f32, 480, taken, written),
                        null_pointer,
                    ),
                    (
                        f32s(r, float, 480, null_mut(), 480, taken, written),
                        null_pointer,
                    ),
                    (
                        f32s(r, float, 480, to_f32, 480, null_mut(), written),
                        null_pointer,
                    ),
                    (
                        f32s(r, float, 480, to_f32, 480, taken, null_mut()),
                        null_pointer,
                    ),
                    (
                        i16s(r, short, usize::MAX, to_i16, 480, taken, written),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        i16s(r, short, 480, to_i16, usize::MAX, taken, written),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        f32s(r, float, usize::MAX / 4, to_f32, 480, taken, written),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        f32s(r, float, 480, to_f32, usize::MAX / 4, taken, written),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        i16s(r, skewed(short), 479, to_i16, 480, taken, written),
                        misaligned,
                    ),
                    (
                        f32s(r, skewed(float), 479, to_f32, 480, taken, written),
                        misaligned,
                    ),
                    (
                        f32s(
                            r,
                            float,
                            480,
                            skewed(to_f32).cast_mut(),
                            479,
                            taken,
                            written,
                        ),
                        misaligned,
                    ),
                    (
                        f32s(r, float, 480, to_f32, 480, skew(taken), written),
                        misaligned,
                    ),
                    (flush_f32(null_mut(), to_f32, 480, written), null_pointer),
                    (flush_f32(r, null_mut(), 480, written), null_pointer),
                    (flush_f32(r, to_f32, 480, null_mut()), null_pointer),
                    (flush_i16(null_mut(), to_i16, 480, written), null_pointer),
                    (flush_i16(r, null_mut(), 480, written), null_pointer),
                    (flush_i16(r, to_i16, 480, null_mut()), null_pointer),
                    (
                        flush_i16(r, to_i16, usize::MAX, written),
                        LISTENKIT_TOO_LONG,
                    ),
                    (listenkit_resampler_reset(null_mut()), null_pointer),
                    (listenkit_resampler_delay(r, null_mut()), null_pointer),
                    (listenkit_resampler_delay(null(), taken), null_pointer),
                    (listenkit_resampler_tail_len(r, null_mut()), null_pointer),
                    (listenkit_resampler_tail_len(null(), taken), null_pointer),
                    (listenkit_resampler_state_bytes(r, null_mut()), null_pointer),
                    (listenkit_resampler_state_bytes(null(), taken), null_pointer),
                    (
                        listenkit_resampler_output_len_max(r, 1, null_mut()),
                        null_pointer,
                    ),
                    (
                        listenkit_resampler_output_len_max(null(), 1, taken),
                        null_pointer,
                    ),
                ]
                .into_iter()
                .unzip()
            };
            assert_eq!(refused, expected);
            // SAFETY: places of this function.
            unsafe {
                assert_eq!((*to_i16, *to_f32, *taken, *written), (7, 7.0, 77, 77));
            }
            let next: Vec<i16> = (0..480).collect();
            let (mut a, mut b) = ([0; 480], [0; 480]);
            let done = i16::process(r, &next, &mut a);
            assert_eq!(done, i16::process(calm.0, &next, &mut b));
            assert_eq!(a, b);
        }
    }

    #[test]
    fn a_stream_is_made_from_sensible_settings_only() {
        let mut resampler = null_mut();
        let mut detail = NO_DETAIL;
        let (out, why) = (&raw mut resampler, &raw mut detail);
        // SAFETY: what is wrong here is refused before it is followed.
        let refused = unsafe {
            [
                listenkit_resampler_new(48_000, 1_000, 0, out, null_mut()),
                listenkit_resampler_new(0, 16_000, 0, out, null_mut()),
                listenkit_resampler_new(u32::MAX, 16_000, 0, out, why),
                listenkit_resampler_new(48_000, 16_000, 2, out, null_mut()),
                listenkit_resampler_new(48_000, 16_000, 0, null_mut(), null_mut()),
            ]
        };
        let config = LISTENKIT_CONFIG;
        let expected = [
            config,
            config,
            config,
            LISTENKIT_VALUE,
            LISTENKIT_NULL_POINTER,
        ];
        assert_eq!(refused, expected);
        assert!(resampler.is_null());
        assert!(text(detail.text.as_ptr()).contains("4294967295"));
        // SAFETY: NULL is fine.
        unsafe { listenkit_resampler_free(null_mut()) };
    }
}
