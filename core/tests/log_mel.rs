//! Log-mel features: the same numbers as numpy and as the feature extraction that Smart Turn was made with.
#![cfg(feature = "embedded-models")]

mod common;

use common::{clip, corpus};
use listenkit::dsp::{LogMel, MEL_BANDS, MEL_FRAMES, boxed_features};

fn features(samples: &[f32]) -> Vec<f32> {
    let log_mel = LogMel::new();
    let mut out = boxed_features();
    log_mel.features(samples, &[], &mut log_mel.scratch(), &mut out);
    out.to_vec()
}

fn samples(pcm: &[i16]) -> Vec<f32> {
    pcm.iter().map(|v| f32::from(*v) / 32768.0).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Recomputed in float64 by `data/make_mel_golden.py`. What is left is the rounding of `f32` results up to 2, of stored
/// powers and of the logarithm: each at most 1.5e-7.
#[test]
fn features_are_those_that_numpy_computes() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("data/mel_golden.json")).expect("valid JSON");
    let cases = golden.as_object().expect("an object");
    assert_eq!(cases.len(), 4);
    for (case, golden) in cases {
        let got = features(&samples(&clip(case).pcm));
        let number = |value: &serde_json::Value| value.as_f64().expect("a number");
        let near = |a: f32, b: f64| (f64::from(a) - b).abs() <= 4e-7;
        let largest = got.iter().fold(f32::MIN, |a, b| a.max(*b));
        assert!(near(largest, number(&golden["max"])), "{case}: {largest}");
        let mean = got.iter().map(|v| f64::from(*v)).sum::<f64>() / got.len() as f64;
        assert!(near(mean as f32, number(&golden["mean"])), "{case}: {mean}");
        let places = golden["at"].as_array().expect("an array");
        assert!(places.len() > 200);
        for place in places {
            let index = |k: usize| place[k].as_u64().expect("an index") as usize;
            let value = got[index(0) * MEL_FRAMES + index(1)];
            assert!(near(value, number(&place[2])), "{case}: {place} {value}");
        }
    }
}

/// The bar is 1e-5. The reference normalises in float32, and its rounding shows where the window is quiet: numpy in
/// float64 is 8.9e-6 from it on the same clips.
#[test]
fn features_are_those_of_the_reference_clips() {
    let Some(corpus) = corpus::find("parity of features with the reference") else {
        return;
    };
    let mut worst_of_all: f32 = 0.0;
    for k in 0..22 {
        let path = corpus.join(format!("smart_turn_ref/clips/{k:02}.npz"));
        let got = features(&samples(&corpus::npz_i16(&path, "pcm")));
        let error = worst(&got, &corpus::npz_f32(&path, "mel"));
        assert!(error <= 1e-5, "clip {k}: {error}");
        worst_of_all = worst_of_all.max(error);
    }
    println!("22 clips, largest difference {worst_of_all:e}");
}

#[test]
fn the_last_samples_count_and_where_they_are_cut_does_not() {
    let all = samples(&clip("conversation-en").pcm[..300_000]);
    let log_mel = LogMel::new();
    let mut scratch = log_mel.scratch();
    let (mut a, mut b) = (boxed_features(), boxed_features());
    for len in [0, 1, 100, 399, 50_000, 127_999, 128_000, 300_000] {
        let expected = &all[all.len() - len.min(128_000)..];
        log_mel.features(&[], expected, &mut scratch, &mut a);
        let given = &all[all.len() - len..];
        for cut in [0, 1, 170, 333, len / 2, len.saturating_sub(1), len] {
            let (head, tail) = given.split_at(cut.min(len));
            log_mel.features(head, tail, &mut scratch, &mut b);
            assert!(a == b, "{len} samples cut at {cut}");
        }
    }
}

#[test]
fn features_are_finite_whatever_the_samples_are() {
    let odd = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN_POSITIVE,
        1e-45,
        0.0,
    ];
    for value in odd {
        let mut noisy = samples(&clip("speech-quiet").pcm);
        noisy[20_000] = value;
        for samples in [vec![value; 130_000], vec![value; 1_000], noisy] {
            let got = features(&samples);
            assert!(got.iter().all(|v| v.is_finite()), "{value}");
            let (low, high) = got
                .iter()
                .fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
            assert!(high - low <= 2.000_001, "8 powers of ten: {low} {high}");
        }
    }
    // Nothing but silence: the least power there is, everywhere.
    let silent = features(&[]);
    assert_eq!(silent.len(), MEL_BANDS * MEL_FRAMES);
    assert!(silent.iter().all(|v| (v + 1.5).abs() <= 4e-7));
}
