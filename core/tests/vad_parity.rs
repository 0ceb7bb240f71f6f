//! The model against onnxruntime's probabilities for the official file, and against itself.
#![cfg(feature = "embedded-models")]

use listenkit::vad::{KernelLevel, SileroVad, VadBatch, VadRate, VadState, test_signal};

const RATES: [VadRate; 2] = [VadRate::Hz8000, VadRate::Hz16000];

/// By `models/silero_vad/golden.py` with onnxruntime, one line per window.
fn golden(rate: VadRate) -> Vec<f32> {
    let text = match rate {
        VadRate::Hz8000 => include_str!("data/silero_vad_8k.txt"),
        VadRate::Hz16000 => include_str!("data/silero_vad_16k.txt"),
    };
    text.lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

fn levels(rate: VadRate) -> impl Iterator<Item = SileroVad> {
    KernelLevel::ALL
        .into_iter()
        .filter_map(move |level| SileroVad::embedded_at(rate, level).ok())
}

fn run(vad: &SileroVad, samples: &[f32]) -> Vec<f32> {
    let mut state = VadState::new();
    samples
        .chunks(vad.rate().window_len())
        .map(|window| vad.probability(&mut state, window))
        .collect()
}

/// 3e-5 is the bar for real clips; the reference itself is only good to some 1e-6, which the LSTM's memory can amplify.
#[test]
fn probabilities_equal_onnxruntime_at_every_level() {
    for rate in RATES {
        let expected = golden(rate);
        assert_eq!(expected.len(), 256);
        assert!(
            expected.iter().any(|p| *p > 0.9) && expected.iter().any(|p| *p < 0.1),
            "the signal tells little"
        );
        let signal = test_signal(rate, expected.len());
        for vad in levels(rate) {
            let found = run(&vad, &signal);
            assert_eq!(found.len(), expected.len());
            for (window, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let error = (found - expected).abs();
                assert!(
                    error <= 3e-5,
                    "{rate:?} {} window {window}: {found} for {expected}",
                    vad.kernel_level()
                );
                for threshold in [0.35, 0.5] {
                    assert_eq!(
                        *found >= threshold,
                        *expected >= threshold,
                        "{rate:?} window {window} crosses"
                    );
                }
            }
        }
    }
}

#[test]
fn levels_that_fuse_return_the_same_bits() {
    for rate in RATES {
        let signal = test_signal(rate, 64);
        let fused = levels(rate).filter(|vad| vad.kernel_level() != KernelLevel::Portable);
        let results: Vec<Vec<f32>> = fused.map(|vad| run(&vad, &signal)).collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn a_batch_of_any_size_returns_the_bits_of_single_streams() {
    for rate in RATES {
        let len = rate.window_len();
        let signal = test_signal(rate, 64);
        for vad in levels(rate) {
            // Stream i listens from window i on; a block of 8 cuts the larger calls.
            let mut batch = VadBatch::new(vad.clone(), 8);
            for streams in [1, 2, 3, 5, 6, 7, 8, 11, 32] {
                let (mut states, mut out) =
                    (vec![VadState::new(); streams], vec![f32::NAN; streams]);
                let mut alone = states.clone();
                for step in 0..3 {
                    let windows: Vec<&[f32]> = (0..streams)
                        .map(|i| &signal[(i + step) * len..(i + step + 1) * len])
                        .collect();
                    assert_eq!(
                        batch.probabilities(&mut states, &windows, &mut out),
                        streams
                    );
                    for i in 0..streams {
                        let expected = vad.probability(&mut alone[i], windows[i]);
                        assert_eq!(
                            out[i],
                            expected,
                            "{rate:?} {} stream {i} of {streams}",
                            vad.kernel_level()
                        );
                    }
                }
                assert_eq!(states, alone);
            }
        }
    }
}

#[test]
fn a_batch_runs_as_many_streams_as_all_three_slices_have() {
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("embedded");
    let mut batch = VadBatch::new(vad, 0);
    let window = vec![0.1f32; 512];
    let (mut states, mut out) = (vec![VadState::new(); 3], [7.0; 2]);
    assert_eq!(batch.probabilities(&mut states, &[&window; 4], &mut out), 2);
    assert!(out.iter().all(|p| *p <= 1.0));
    assert_eq!(states[2], VadState::new());
    // States that live elsewhere can be lent.
    let mut lent: Vec<&mut VadState> = states.iter_mut().collect();
    assert_eq!(batch.probabilities(&mut lent, &[&window], &mut out), 1);
}

#[test]
fn reset_equals_new_and_streams_do_not_touch_each_other() {
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("embedded");
    let signal = test_signal(VadRate::Hz16000, 20);
    let alone = run(&vad, &signal);
    let (mut a, mut b) = (VadState::new(), VadState::new());
    let mut interleaved = Vec::new();
    for window in signal.chunks(512) {
        interleaved.push(vad.probability(&mut a, window));
        vad.probability(&mut b, &[0.3; 512]);
    }
    assert_eq!(interleaved, alone);
    a.reset();
    assert_eq!(a, VadState::new());
    assert!(std::mem::size_of::<VadState>() <= 1280);
}

#[test]
fn a_short_window_is_one_with_zeros_after_it_and_a_long_one_is_cut() {
    for rate in RATES {
        let vad = SileroVad::embedded(rate).expect("embedded");
        let signal = test_signal(rate, 3);
        let len = rate.window_len();
        for short in [0, 1, 100, len - 1] {
            let mut padded = signal[..short].to_vec();
            padded.resize(len, 0.0);
            let (mut a, mut b, mut c) = (VadState::new(), VadState::new(), VadState::new());
            let expected = vad.probability(&mut a, &padded);
            assert_eq!(vad.probability(&mut b, &signal[..short]), expected);
            padded.extend(&signal);
            assert_eq!(vad.probability(&mut c, &padded), expected);
            assert!(a == b && a == c);
        }
    }
}

#[test]
fn no_sample_can_leave_nan_behind() {
    for rate in RATES {
        for vad in levels(rate) {
            for bad in [
                f32::NAN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::MAX,
                -1e30,
                65_536.0,
                1e-40,
                f32::MIN_POSITIVE,
            ] {
                let mut state = VadState::new();
                let mut window = test_signal(rate, 2)[..rate.window_len()].to_vec();
                for at in (0..window.len()).step_by(7) {
                    window[at] = bad;
                }
                for samples in [&window[..], &vec![bad; window.len()]] {
                    let p = vad.probability(&mut state, samples);
                    assert!((0.0..=1.0).contains(&p), "{bad} gives {p}");
                }
                // And the stream hears again.
                state.reset();
                let p = run(&vad, &test_signal(rate, 8));
                assert!(p.iter().all(|p| p.is_finite()));
            }
        }
    }
}

#[test]
fn self_test_passes_at_every_level() {
    for rate in RATES {
        for vad in levels(rate) {
            assert_eq!(vad.self_test(), Ok(()), "{rate:?} {}", vad.kernel_level());
        }
    }
}

/// docs/decisions/0005-telephone-audio.md
#[test]
fn telephone_rates_get_the_branch_that_needs_no_upsampling() {
    let of = |hz| VadRate::for_input(listenkit::SampleRate::new(hz).expect("in range"));
    assert_eq!([of(4_000), of(8_000)], [VadRate::Hz8000; 2]);
    assert_eq!([of(8_001), of(16_000), of(48_000)], [VadRate::Hz16000; 3]);
}
