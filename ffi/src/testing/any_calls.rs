//! Calls in any order with any numbers: none hits a bug of the library.

use std::ptr::null_mut;

use proptest::prelude::*;

use super::{clip, floats, models, options};
use crate::detector::{audio::*, inputs::*, queries::*, *};
use crate::event::*;
use crate::options::*;
use crate::pointer::Versioned;
use crate::resampler::*;
use crate::segmenter::*;
use crate::status::*;
use crate::text_cues::listenkit_text_cues_judge;
use crate::turn::*;
use crate::vad::*;
use crate::vad_batch::*;

/// A call: which one, and numbers for its arguments.
type Call = (u8, u64, f32, u16);

/// One handle of each type, with memory for what they read and write.
struct Bench {
    detector: *mut listenkit_detector,
    audio: *mut listenkit_turn_audio,
    vad: *mut listenkit_vad,
    batch: *mut listenkit_vad_batch,
    resampler: *mut listenkit_resampler,
    segmenter: *mut listenkit_segmenter,
    /// The newest event of each kind.
    events: Vec<listenkit_event>,
    pcm: Vec<i16>,
    values: Vec<f32>,
    at: usize,
    shorts: Vec<i16>,
    reals: Vec<f32>,
}

/// Values of the buffers: more than any call here can want.
const ROOM: usize = 100_000;

impl Bench {
    fn new(pcm: &[i16], seed: u64) -> Self {
        let mut options = options([8_000, 16_000, 44_100, 48_000][seed as usize % 4]);
        options.report_windows = (seed >> 2 & 1) as u32;
        options.segment_audio = (seed >> 3 & 1) as u32;
        options.overlap = (seed >> 4 & 1) as u32;
        options.reference_rate = [0, 16_000, 24_000, 48_000][(seed >> 5 & 3) as usize];
        options.max_segment_ms = 2_000;
        options.start_at = [0, 1 << 53, u64::MAX - 100_000][(seed >> 7) as usize % 3];
        let mut bench = Self {
            detector: null_mut(),
            audio: null_mut(),
            vad: null_mut(),
            batch: null_mut(),
            resampler: null_mut(),
            segmenter: null_mut(),
            events: vec![listenkit_event::defaults(); 16],
            pcm: pcm.to_vec(),
            values: floats(pcm),
            at: 0,
            shorts: vec![0; ROOM],
            reals: vec![0.0; ROOM],
        };
        let b = &mut bench;
        let (models, no) = (models(), null_mut());
        let hz = [8_000, 16_000][(seed >> 9 & 1) as usize];
        let guard = (seed >> 10 & 1) as u32;
        // SAFETY: live models, options filled by `init`, room for handles.
        unsafe {
            if seed >> 11 & 1 == 1 {
                listenkit_detector_options_policy(&raw mut options, 1 + (seed >> 12) as u32 % 3);
            }
            for made in [
                listenkit_detector_new(models, &options, &raw mut b.detector, no),
                listenkit_turn_audio_new(&raw mut b.audio),
                listenkit_vad_new(models, hz, guard, &raw mut b.vad, no),
                listenkit_vad_batch_new(models, hz, guard, 3, &raw mut b.batch, no),
                listenkit_resampler_new(hz, 44_100, guard, &raw mut b.resampler, no),
                listenkit_segmenter_new(&options, &raw mut b.segmenter, no),
            ] {
                assert_eq!(made, LISTENKIT_OK);
            }
        }
        bench
    }

    /// Makes one call. The pointers are good, the numbers are whatever they are.
    fn call(&mut self, (which, a, x, b): Call) -> listenkit_status {
        let (d, small, tiny) = (self.detector, a as u32 % 8, u32::from(b) % 3);
        let len = usize::from(b).min(self.pcm.len() - self.at);
        let (pcm, values) = (
            self.pcm[self.at..].as_ptr(),
            self.values[self.at..].as_ptr(),
        );
        let (shorts, reals) = (self.shorts.as_mut_ptr(), self.reals.as_mut_ptr());
        let (mut taken, mut written, mut long, mut word) = (0, 0, 0_u64, 0_u32);
        let (t, w) = (&raw mut taken, &raw mut written);
        let p = &raw mut self.reals[0];
        // Now and then one of another kind.
        let kind = match which {
            48..=50 if b % 8 != 0 => LISTENKIT_EVENT_SEGMENT_READY as usize,
            51..=52 if b % 8 != 0 => LISTENKIT_EVENT_TURN_QUERY as usize,
            _ => usize::from(b) % 16,
        };
        let event = &raw mut self.events[kind];
        let capacity = a as usize % (ROOM + 1);
        // SAFETY: live handles; every length is at most that of what lies behind its pointer; room for numbers.
        let status = unsafe {
            match which {
                0..=19 => listenkit_detector_push_i16(d, pcm, len, t),
                20..=24 => listenkit_detector_push_f32(d, values, len, t),
                25..=44 => {
                    let mut said = listenkit_event::defaults();
                    let status = listenkit_detector_poll(d, &raw mut said);
                    if status == LISTENKIT_OK {
                        self.events[said.kind as usize % 16] = said;
                    }
                    status
                }
                45 => listenkit_detector_set_format(
                    d,
                    [8_000, 16_000, 48_000, a as u32][tiny as usize],
                    small,
                ),
                46 => listenkit_detector_flush(d),
                47 => listenkit_detector_reset(d),
                48 => listenkit_detector_audio_i16(d, event, shorts, capacity, w),
                49 => listenkit_detector_audio_f32(d, event, reals, capacity, w),
                50 => {
                    // A forged event.
                    (*event).kind = LISTENKIT_EVENT_SEGMENT_READY;
                    ((*event).audio_at, (*event).audio_len) = (a, u64::from(b));
                    listenkit_detector_audio_i16(d, event, shorts, ROOM, w)
                }
                51 => listenkit_detector_turn_audio(d, event, self.audio),
                52 => {
                    (*event).kind = LISTENKIT_EVENT_TURN_QUERY;
                    ((*event).start, (*event).decided_at) = (a, u64::from(b));
                    listenkit_detector_turn_audio(d, event, self.audio)
                }
                53 => listenkit_turn_audio_samples(self.audio, reals, capacity, w),
                54 => listenkit_detector_answer_turn(d, (*event).query, x),
                55 => listenkit_detector_answer_turn(d, a, x),
                56 => listenkit_detector_turn_threshold(d, x),
                57 => {
                    listenkit_detector_answer_text(d, (*event).turn, x, x / 2.0, LISTENKIT_UNKNOWN)
                }
                58 => listenkit_detector_answer_text(d, a, x, 0.5, a),
                59 => listenkit_detector_text_cues(d, (*event).turn, x, a as u32),
                60 => listenkit_detector_expect(d, small, u32::from(b)),
                61 => listenkit_detector_transcript(d, a),
                62 => listenkit_detector_agent_started(d),
                63 => listenkit_detector_agent_stopped(d),
                64 => listenkit_detector_agent_interruptible(d, tiny),
                65 => listenkit_detector_words(d, a as u32),
                66 => listenkit_detector_interruption(d, tiny),
                67 => listenkit_detector_commit_turn(d),
                68 => listenkit_detector_clear_turn(d),
                69 => listenkit_detector_gap(d, u64::from(b)),
                70 => listenkit_detector_gap(d, a),
                71 => listenkit_detector_clock(d, a),
                72..=74 => listenkit_detector_reference_i16(
                    d,
                    pcm,
                    len,
                    [16_000, 24_000, 48_000][tiny as usize],
                    1,
                ),
                75 => listenkit_detector_reference_f32(d, values, len, a as u32, small),
                76 => listenkit_detector_position(d, &raw mut long),
                77 => listenkit_detector_open_turn(d, &raw mut long),
                78 => listenkit_detector_fingerprint(d, &raw mut long),
                79 => listenkit_detector_delay(d, &raw mut long),
                80 => listenkit_detector_state_bytes(d, w),
                81 => listenkit_detector_retained_bytes(d, w),
                82 => {
                    let mut stats = listenkit_stats::defaults();
                    listenkit_detector_stats(d, &raw mut stats)
                }
                83..=85 => {
                    listenkit_vad_probability_i16(self.vad, pcm, [256, 512, len][tiny as usize], p)
                }
                86 => listenkit_vad_probability_f32(
                    self.vad,
                    values,
                    [256, 512, len][tiny as usize],
                    p,
                ),
                87 => listenkit_vad_reset(self.vad),
                88..=90 => {
                    let streams = [a as u32 % 4, tiny, b as u32 % 4];
                    let count = capacity % 4;
                    let len = [count * 256, count * 512, len][tiny as usize];
                    let named = streams.as_ptr();
                    listenkit_vad_batch_probabilities_i16(self.batch, named, count, pcm, len, reals)
                }
                91 if b % 2 == 0 => listenkit_detector_audio_age(d, a),
                91 => listenkit_vad_batch_reset(self.batch, small),
                92..=94 => listenkit_resampler_process_i16(
                    self.resampler,
                    pcm,
                    len,
                    shorts,
                    capacity,
                    t,
                    w,
                ),
                95 => listenkit_resampler_process_f32(
                    self.resampler,
                    values,
                    len,
                    reals,
                    capacity,
                    t,
                    w,
                ),
                96 => listenkit_resampler_flush_i16(self.resampler, shorts, capacity, w),
                97 => listenkit_resampler_output_len_max(self.resampler, a as usize, w),
                98..=106 => listenkit_segmenter_push(self.segmenter, u64::from(b) * 512, x),
                107 => listenkit_segmenter_push(self.segmenter, a, x),
                108..=112 => {
                    let mut said = listenkit_event::defaults();
                    listenkit_segmenter_poll(self.segmenter, &raw mut said)
                }
                113 => listenkit_segmenter_flush(self.segmenter),
                114 => listenkit_segmenter_reset(self.segmenter),
                115 => {
                    let said = "my number is five five, äh … 好的。".as_bytes();
                    let text = match tiny {
                        0 => (pcm.cast(), len),
                        _ => (said.as_ptr().cast(), small as usize * 8 % said.len()),
                    };
                    let language = [c"en", c"", c"zz-ZZZZ-x"][tiny as usize].as_ptr();
                    let (digits, word) = (u32::from(b) % 300, &raw mut word);
                    listenkit_text_cues_judge(text.0, text.1, language, small, digits, p, word)
                }
                116..=118 => {
                    let mut options = options(16_000);
                    options.activation_threshold = x;
                    options.min_silence_ms = u32::from(b) % 400;
                    options.prefix_padding_ms = (a % 11_000) as u32;
                    listenkit_detector_tune(d, &options)
                }
                _ => {
                    let mut options = options([16_000, 44_100, a as u32][tiny as usize]);
                    listenkit_detector_options_preset(&raw mut options, small);
                    listenkit_detector_options_policy(&raw mut options, tiny);
                    options.min_silence_ms = u32::from(b) % 20_000;
                    options.activation_threshold = x;
                    let mut made = null_mut();
                    let status = listenkit_segmenter_new(&options, &raw mut made, null_mut());
                    listenkit_segmenter_free(made);
                    status
                }
            }
        };
        if which < 25 && status == LISTENKIT_OK {
            assert!(taken <= len, "{taken} of {len}");
            self.at += taken;
        }
        if self.pcm.len() - self.at < 1_536 {
            self.at = 0;
        }
        status
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // SAFETY: live handles that nothing uses any more.
        unsafe {
            listenkit_detector_free(self.detector);
            listenkit_turn_audio_free(self.audio);
            listenkit_vad_free(self.vad);
            listenkit_vad_batch_free(self.batch);
            listenkit_resampler_free(self.resampler);
            listenkit_segmenter_free(self.segmenter);
        }
    }
}

fn call() -> impl Strategy<Value = Call> {
    let number = prop_oneof![
        3 => 0_u64..200_000,
        1 => any::<u64>(),
        1 => prop::sample::select(vec![0, 1, 1 << 32, 1 << 53, u64::MAX - 1, u64::MAX]),
    ];
    let float = prop_oneof![3 => 0.0_f32..=1.0, 1 => any::<f32>()];
    let short = prop_oneof![1 => 0_u16..600, 2 => 0_u16..20_000, 1 => any::<u16>()];
    (0_u8..121, number, float, short)
}

proptest! {
    #![proptest_config(ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(64) })]

    /// Whatever is called, the answer is an honest one: no panic, no handle that is lost, busy, or unknown.
    #[test]
    fn no_order_of_calls_finds_a_bug(
        seed in any::<u64>(),
        calls in prop::collection::vec(call(), 1..400),
    ) {
        let (_, _, pcm) = clip("conversation-en");
        let mut bench = Bench::new(&pcm, seed);
        for call in calls {
            let status = bench.call(call);
            let bad = [
                LISTENKIT_PANICKED,
                LISTENKIT_POISONED,
                LISTENKIT_BUSY,
                LISTENKIT_WRONG_HANDLE,
                LISTENKIT_NULL_POINTER,
                LISTENKIT_MISALIGNED,
                LISTENKIT_TOO_LONG,
                LISTENKIT_MODEL,
            ];
            prop_assert!(!bad.contains(&status), "{call:?} gave {status}");
            prop_assert!((LISTENKIT_UTF8..=LISTENKIT_EMPTY).contains(&status), "{call:?}: {status}");
        }
    }
}
