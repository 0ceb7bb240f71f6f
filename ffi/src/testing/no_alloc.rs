//! What is called for every block, window or event of a running stream allocates nothing.

use std::ptr::{null, null_mut};

use super::{clip, floats, models, options, speech};
use crate::detector::{audio::*, inputs::*, *};
use crate::event::*;
use crate::options::{LISTENKIT_POLICY_BALANCED, listenkit_detector_options_policy};
use crate::pointer::Versioned;
use crate::resampler::*;
use crate::segmenter::*;
use crate::status::{LISTENKIT_EMPTY, LISTENKIT_OK, listenkit_status};
use crate::text_cues::listenkit_text_cues_judge;
use crate::turn::*;
use crate::vad::*;
use crate::vad_batch::*;

fn ok(status: listenkit_status) {
    assert_eq!(status, LISTENKIT_OK);
}

/// Polls until there is nothing; reads the audio of segments and queries, as a program would. Gives the newest query and counts events,
/// segments and queries.
///
/// # Safety
/// Live handles.
unsafe fn poll_all(
    detector: *mut listenkit_detector,
    audio: *mut listenkit_turn_audio,
    room: &mut [i16],
    counts: &mut [usize; 3],
) -> Option<u64> {
    let mut query = None;
    loop {
        let mut event = listenkit_event::defaults();
        // SAFETY: a live handle, and an event that knows its size.
        let status = unsafe { listenkit_detector_poll(detector, &raw mut event) };
        if status == LISTENKIT_EMPTY {
            return query;
        }
        ok(status);
        counts[0] += 1;
        match event.kind {
            LISTENKIT_EVENT_SEGMENT_READY => {
                counts[1] += 1;
                let mut len = 0;
                let (out, capacity) = (room.as_mut_ptr(), room.len());
                // SAFETY: a live handle, a slice, room for the number.
                ok(unsafe {
                    listenkit_detector_audio_i16(detector, &event, out, capacity, &raw mut len)
                });
                assert_eq!(len as u64, event.audio_len);
            }
            LISTENKIT_EVENT_TURN_QUERY => {
                counts[2] += 1;
                query = Some(event.query);
                // SAFETY: live handles.
                ok(unsafe { listenkit_detector_turn_audio(detector, &event, audio) });
            }
            _ => {}
        }
    }
}

#[test]
fn a_running_detector_allocates_nothing() {
    for (name, float) in [
        ("conversation-en", false),
        ("speech-es-44k1", true),
        ("speech-ru-16k-stereo", false),
    ] {
        let (rate, channels, pcm) = clip(name);
        let values = floats(&pcm);
        let mut options = options(rate);
        options.channels = channels as u32;
        options.sample_format = u32::from(float);
        options.report_windows = 1;
        options.segment_audio = 1;
        options.overlap = 1;
        // SAFETY: filled by `init`.
        ok(unsafe {
            listenkit_detector_options_policy(&raw mut options, LISTENKIT_POLICY_BALANCED)
        });
        let (mut d, mut audio) = (null_mut(), null_mut());
        // SAFETY: live models, whole options, room for handles.
        unsafe {
            ok(listenkit_detector_new(
                models(),
                &options,
                &raw mut d,
                null_mut(),
            ));
            ok(listenkit_turn_audio_new(&raw mut audio));
        }
        let mut room = vec![0; pcm.len()];
        let mut counts = [0; 3];
        let allocations = allocation_counter::measure(|| {
            let block = rate as usize / 100 * channels;
            // SAFETY: live handles, slices, room for numbers.
            unsafe {
                ok(listenkit_detector_agent_started(d));
                for (pcm, values) in pcm.chunks(block).zip(values.chunks(block)) {
                    let mut done = 0;
                    while done < pcm.len() {
                        let mut taken = 0;
                        let (short, real) = (&pcm[done..], &values[done..]);
                        let t = &raw mut taken;
                        ok(match float {
                            true => listenkit_detector_push_f32(d, real.as_ptr(), real.len(), t),
                            false => listenkit_detector_push_i16(d, short.as_ptr(), short.len(), t),
                        });
                        done += taken;
                        if let Some(query) = poll_all(d, audio, &mut room, &mut counts) {
                            ok(listenkit_detector_answer_turn(d, query, 0.4));
                            poll_all(d, audio, &mut room, &mut counts);
                        }
                    }
                }
                ok(listenkit_detector_agent_stopped(d));
                options.min_silence_ms = 200;
                ok(listenkit_detector_tune(d, &options));
                ok(listenkit_detector_expect(d, LISTENKIT_EXPECT_DIGITS, 4));
                ok(listenkit_detector_text_cues(d, 0, 0.5, 1));
                ok(listenkit_detector_answer_text(
                    d,
                    0,
                    0.5,
                    0.1,
                    LISTENKIT_UNKNOWN,
                ));
                ok(listenkit_detector_transcript(d, LISTENKIT_UNKNOWN));
                for gap in [1_000, 1_000_000] {
                    ok(listenkit_detector_gap(d, gap));
                    poll_all(d, audio, &mut room, &mut counts);
                }
                // An error allocates nothing either, nor does its text.
                let mut taken = 0;
                let refused = listenkit_detector_push_i16(d, null(), 480, &raw mut taken);
                assert_ne!(refused, LISTENKIT_OK);
                assert_ne!(*listenkit_detector_detail(d), 0);
                ok(listenkit_detector_flush(d));
                poll_all(d, audio, &mut room, &mut counts);
                ok(listenkit_detector_reset(d));
                poll_all(d, audio, &mut room, &mut counts);
            }
        });
        assert!(
            counts[0] > 100 && counts[1] > 0 && counts[2] > 0,
            "{name}: {counts:?}"
        );
        assert_eq!(allocations.count_total, 0, "{name}: {allocations:?}");
        // SAFETY: live handles that nothing uses any more.
        unsafe {
            listenkit_detector_free(d);
            listenkit_turn_audio_free(audio);
        }
    }
}

#[test]
fn the_parts_alone_allocate_nothing() {
    let pcm = speech(16_000);
    let values = floats(&pcm);
    let options = options(16_000);
    let (mut vad, mut batch, mut resampler, mut segmenter) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: live models, whole options, room for handles.
    unsafe {
        ok(listenkit_vad_new(
            models(),
            16_000,
            1,
            &raw mut vad,
            null_mut(),
        ));
        ok(listenkit_vad_batch_new(
            models(),
            16_000,
            1,
            40,
            &raw mut batch,
            null_mut(),
        ));
        ok(listenkit_resampler_new(
            16_000,
            44_100,
            1,
            &raw mut resampler,
            null_mut(),
        ));
        ok(listenkit_segmenter_new(
            &options,
            &raw mut segmenter,
            null_mut(),
        ));
    }
    let streams: Vec<u32> = (0..40).rev().collect();
    let (mut all_i16, mut all_f32) = (vec![0; 40 * 512], vec![0.0; 40 * 512]);
    let mut probabilities = [0.0_f32; 40];
    let (mut shorts, mut reals) = (vec![0_i16; 2_000], vec![0.0_f32; 2_000]);
    let mut events = 0;
    let allocations = allocation_counter::measure(|| {
        let windows = pcm.chunks_exact(512).zip(values.chunks_exact(512));
        for (n, (window, real)) in windows.enumerate() {
            let (mut p, mut taken, mut written, mut lean, mut cues) = (0.0, 0, 0, 0.0, 0);
            let (p, t, w) = (&raw mut p, &raw mut taken, &raw mut written);
            // SAFETY: live handles, slices of the lengths given, room for numbers.
            unsafe {
                ok(match n % 2 {
                    0 => listenkit_vad_probability_i16(vad, window.as_ptr(), 512, p),
                    _ => listenkit_vad_probability_f32(vad, real.as_ptr(), 512, p),
                });
                ok(listenkit_segmenter_push(
                    segmenter,
                    512 * (n as u64 + 1),
                    *p,
                ));
                let mut event = listenkit_event::defaults();
                while listenkit_segmenter_poll(segmenter, &raw mut event) == LISTENKIT_OK {
                    events += 1;
                }
                let out = probabilities.as_mut_ptr();
                let named = match n % 3 {
                    0 => null(),
                    _ => streams.as_ptr(),
                };
                if n % 8 == 0 {
                    all_i16[..512].copy_from_slice(window);
                    all_f32[..512].copy_from_slice(real);
                    let (short, real) = (all_i16.as_ptr(), all_f32.as_ptr());
                    let len = 40 * 512;
                    ok(listenkit_vad_batch_probabilities_i16(
                        batch, named, 40, short, len, out,
                    ));
                    ok(listenkit_vad_batch_probabilities_f32(
                        batch, named, 40, real, len, out,
                    ));
                }
                let short = (window.as_ptr(), shorts.as_mut_ptr(), shorts.len());
                let (from, to, room) = short;
                ok(listenkit_resampler_process_i16(
                    resampler, from, 512, to, room, t, w,
                ));
                assert_eq!(*t, 512);
                let (from, to, room) = (real.as_ptr(), reals.as_mut_ptr(), reals.len());
                ok(listenkit_resampler_process_f32(
                    resampler, from, 512, to, room, t, w,
                ));
                let (text, en) = (c"my number is five five".as_ptr(), c"en".as_ptr());
                let (lean, cues) = (&raw mut lean, &raw mut cues);
                ok(listenkit_text_cues_judge(text, 22, en, 0, 0, lean, cues));
            }
        }
        let mut written = 0;
        // SAFETY: live handles, slices of the lengths given, room for numbers.
        unsafe {
            let (to, room) = (shorts.as_mut_ptr(), shorts.len());
            ok(listenkit_resampler_flush_i16(
                resampler,
                to,
                room,
                &raw mut written,
            ));
            ok(listenkit_resampler_reset(resampler));
            ok(listenkit_vad_reset(vad));
            ok(listenkit_vad_batch_reset(batch, LISTENKIT_ALL_STREAMS));
            ok(listenkit_segmenter_flush(segmenter));
        }
        assert!(written > 0);
    });
    assert!(events >= 3, "{events}");
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
    // SAFETY: live handles that nothing uses any more.
    unsafe {
        listenkit_vad_free(vad);
        listenkit_vad_batch_free(batch);
        listenkit_resampler_free(resampler);
        listenkit_segmenter_free(segmenter);
    }
}

/// The counter counts: without this a broken counter would pass the tests above.
#[test]
fn the_counter_sees_an_allocation() {
    let allocations = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(allocations.count_total, 1);
}
