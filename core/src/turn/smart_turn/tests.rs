use super::attention::Attention;
use super::linear::{Linear, Rows, Scratch};
use super::weights::{HEAD, HEADS, Part, TOKENS, WIDTH};
use super::*;
use crate::event::TurnQuery;
use crate::turn::TurnAudio;
use crate::units::SamplePos;

/// Made-up features as `golden.py` makes them.
fn features(seed: usize, quiet: usize) -> Box<MelFeatures> {
    let mut features = boxed_features();
    for (i, feature) in features.iter_mut().enumerate() {
        let (band, frame) = (i / 800, i % 800);
        let noise =
            (band * 7919 + frame * 104_729 + band * frame % (97 + seed) * 31 + seed * 1009) % 1013;
        let hill = ((frame * (3 + seed) + band * 11) % 400).abs_diff(200);
        let value = if frame >= quiet {
            noise / 8 + hill * 2
        } else {
            0
        };
        *feature = value as f32 / 256.0 - 0.5;
    }
    features
}

/// Seed, quiet frames, and onnxruntime's probability: what `golden.py` prints.
const GOLDEN: [(usize, usize, f32); 6] = [
    (0, 300, 0.665_177),
    (9, 600, 0.383_442_55),
    (10, 300, 0.603_405_8),
    (11, 600, 0.744_571_6),
    (3, 0, 0.933_029_6),
    (0, 600, 0.025_250_077),
];

fn number(i: usize) -> f32 {
    ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0
}

fn sessions(precision: Precision) -> Vec<SmartTurnSession> {
    Level::available()
        .map(|level| {
            let smart_turn = SmartTurn::embedded_at(precision, level.kind());
            smart_turn.expect("embedded").session()
        })
        .collect()
}

#[test]
fn exact_probabilities_are_onnxruntimes() {
    let mut session = SmartTurn::embedded(Precision::Exact)
        .expect("embedded")
        .session();
    for (seed, quiet, expected) in GOLDEN {
        let p = session.probability(&features(seed, quiet)).value();
        // Sums in another order differ by some 1e-6; a wrong layer by 1e-2 and more.
        assert!((p - expected).abs() <= 2e-5, "{seed} {quiet}: {p}");
    }
}

#[test]
fn fast_probabilities_are_near_exact_ones() {
    let mut session = SmartTurn::embedded(Precision::Fast)
        .expect("embedded")
        .session();
    let mut total = 0.0;
    for (seed, quiet, expected) in GOLDEN {
        total += (session.probability(&features(seed, quiet)).value() - expected).abs();
    }
    // Real speech differs by 0.011 on average (docs/decisions/0006); noise is no easier.
    let mean = total / GOLDEN.len() as f32;
    assert!(mean > 1e-5 && mean < 0.04, "mean difference {mean}");
}

#[test]
fn levels_agree_and_sessions_remember_nothing() {
    let (seed, quiet, _) = GOLDEN[0];
    let (first, other) = (features(seed, quiet), features(5, 100));
    // Sums with one rounding fewer differ by some 1e-6; where bytes are rounded such a difference can move one, and that
    // moves the probability like any other rounding.
    for (precision, tolerance) in [(Precision::Exact, 2e-5), (Precision::Fast, 0.02)] {
        let mut fused = Vec::new();
        for mut session in sessions(precision) {
            let p = session.probability(&first);
            if session.model().kernel_level() == KernelLevel::Portable {
                fused.push((KernelLevel::Portable, p));
                continue;
            }
            session.probability(&other);
            assert_eq!(session.probability(&first), p, "the second answer differs");
            fused.push((session.model().kernel_level(), p));
        }
        let (_, last) = *fused.last().expect("a level");
        for (level, p) in fused {
            if level == KernelLevel::Portable {
                assert!(
                    (p.value() - last.value()).abs() <= tolerance,
                    "{precision:?}"
                );
            } else {
                assert_eq!(p, last, "{precision:?} {level}");
            }
        }
    }
}

#[test]
fn wild_features_have_an_answer() {
    for precision in [Precision::Fast, Precision::Exact] {
        let mut session = SmartTurn::embedded(precision).expect("embedded").session();
        let mut usual = features(0, 300);
        for wild in [f32::NAN, f32::INFINITY, -1e38, f32::MAX, -0.0, 1e-40] {
            let mut features = boxed_features();
            features.fill(wild);
            let all = session.probability(&features).value();
            usual[4321] = wild;
            let one = session.probability(&usual).value();
            // Probability is within 0 and 1 by its type, and 0 is what NaN would have become.
            assert!(all > 0.0 && one > 0.0, "{precision:?} {wild}: {all} {one}");
        }
    }
}

#[test]
fn a_context_is_judged_by_its_audio() {
    let mut session = SmartTurn::embedded(Precision::Fast)
        .expect("embedded")
        .session();
    let audio: Vec<f32> = (0..40_000).map(|i| number(i) * 0.1).collect();
    let query = TurnQuery {
        id: 1,
        turn: 0,
        start: SamplePos(0),
        last_voiced: SamplePos(30_000),
        decided_at: SamplePos(40_000),
    };
    let mut context = TurnContext {
        query,
        audio: TurnAudio::new(SampleRate::HZ_16000, &audio[..1234], &audio[1234..]),
        transcript: None,
        history: &[],
        language: None,
    };
    let expected = session.probability_of_audio(&audio, &[]);
    assert_eq!(session.end_of_turn(&context), Ok(Some(expected)));
    context.audio.rate = SampleRate::HZ_8000;
    assert_eq!(
        session.end_of_turn(&context),
        Err(ModelError::SampleRate {
            expected: 16_000,
            found: 8_000
        })
    );
    context.audio.rate = SampleRate::HZ_16000;
    (context.audio.head, context.audio.tail) = (&[], &[]);
    assert_eq!(session.end_of_turn(&context), Ok(None));
}

#[test]
fn damaged_and_foreign_weights_are_refused() {
    let good = listenkit_models::SMART_TURN;
    let load =
        |bytes: &[u8]| SmartTurn::from_bytes_at(bytes, Precision::Fast, KernelLevel::Portable);
    assert!(matches!(load(&[]), Err(ModelError::Magic { .. })));
    for len in [8, 23, 24, 1000, good.len() / 2, good.len() - 1] {
        assert!(load(&good[..len]).is_err(), "cut at {len}");
    }
    let mut damaged = good.to_vec();
    for at in [12, 40, 5000, good.len() / 2, good.len() - 1] {
        damaged[at] ^= 0x10;
        assert!(load(&damaged).is_err(), "flipped at {at}");
        damaged[at] ^= 0x10;
    }
    assert!(load(&damaged).is_ok());
    assert!(matches!(
        load(listenkit_models::SILERO_VAD),
        Err(ModelError::MissingTensor { .. })
    ));
}

/// The checksum of a container, by its definition.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A file may be sound and its numbers absurd: largest scales, weights of -128, scales of 0. What comes out is a probability
/// all the same, because `Probability` takes NaN for 0, and nothing overflows on the way.
#[test]
fn absurd_weights_have_an_answer() {
    let good = listenkit_models::SMART_TURN;
    let number = |at: usize| u32::from_le_bytes(good[at..at + 4].try_into().expect("four"));
    // The table of `models/container.py`, for where the values begin.
    let (mut at, mut first) = (24, good.len());
    for _ in 0..number(20) {
        at += 2 + usize::from(u16::from_le_bytes([good[at], good[at + 1]]));
        at += 2 + 4 * usize::from(good[at + 1]);
        first = first.min(number(at) as usize);
        at += 4;
    }
    for pattern in [f32::MAX.to_bits(), 0, 0x8080_8080, 0xff7f_ff80] {
        let mut file = good.to_vec();
        for four in file[first..].as_chunks_mut::<4>().0 {
            *four = pattern.to_le_bytes();
        }
        let crc = crc32(&file[16..]);
        file[12..16].copy_from_slice(&crc.to_le_bytes());
        for precision in [Precision::Fast, Precision::Exact] {
            for level in [KernelLevel::Portable, Level::detect().kind()] {
                let model = SmartTurn::from_bytes_at(&file, precision, level).expect("well formed");
                let p = model.session().probability(&features(0, 300)).value();
                assert!(
                    (0.0..=1.0).contains(&p),
                    "{pattern:x} {precision:?} {level}"
                );
            }
        }
    }
}

#[test]
fn thresholds_can_be_replaced_by_those_of_this_model_only() {
    let mut session = SmartTurn::embedded(Precision::Fast)
        .expect("embedded")
        .session();
    assert_eq!(
        session.unlikely_threshold(Some("de")).value(),
        MAKERS_THRESHOLD
    );
    let ours = ThresholdTable::new(ModelHash::SMART_TURN_V3_2, Probability::clamped(0.2));
    let other = ThresholdTable::new(ModelHash::new([7; 32]), Probability::clamped(0.9));
    assert_eq!(session.set_thresholds(ours), Ok(()));
    assert!(session.set_thresholds(other).is_err());
    assert_eq!(session.unlikely_threshold(None).value(), 0.2);
}

#[test]
fn attention_is_the_naive_one() {
    let x: Vec<f32> = (0..TOKENS * 3 * WIDTH).map(|i| number(i * 3)).collect();
    let at = |token: usize, part: usize, channel: usize| {
        f64::from(x[token * 3 * WIDTH + part * WIDTH + channel])
    };
    for level in Level::available() {
        let mut y = vec![f32::NAN; TOKENS * WIDTH];
        Attention::new(Precision::Exact).heads(level, &x, &mut y);
        assert!(y.iter().all(|y| y.is_finite()), "all tokens are filled");
        for (token, head) in [(0, 0), (49, 1), (50, 5), (399, HEADS - 1)] {
            let score = |key: usize| -> f64 {
                (head * HEAD..(head + 1) * HEAD)
                    .map(|c| at(token, 0, c) * at(key, 1, c))
                    .sum()
            };
            let scores: Vec<f64> = (0..TOKENS).map(score).collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for channel in head * HEAD..(head + 1) * HEAD {
                let truth: f64 = (0..TOKENS)
                    .map(|key| weights[key] / total * at(key, 2, channel))
                    .sum();
                let found = f64::from(y[token * WIDTH + channel]);
                // Scores up to 20 with 64 roundings each.
                assert!((found - truth).abs() < 1e-4, "{level:?} {token} {channel}");
            }
        }
    }
}

#[test]
fn a_convolution_is_a_product_over_overlapping_rows() {
    let (inputs, outputs, frames, stride) = (16, 64, 9, 2);
    let weight: Vec<i8> = (0..outputs * inputs * 3)
        .map(|i| (i * 37 % 255) as u8 as i8)
        .collect();
    let part = || Part {
        weight: &weight,
        scale: (0..outputs).map(|o| 0.01 + 0.001 * o as f32).collect(),
        bias: (0..outputs).map(number).collect(),
    };
    // Zero frames at both ends.
    let mut x: Vec<f32> = (0..(frames + 2) * inputs).map(number).collect();
    x[..inputs].fill(0.0);
    x[(frames + 1) * inputs..].fill(0.0);
    let count = frames.div_ceil(stride);
    let level = Level::detect();
    // The largest sum is 48 * 127 * 0.073: a byte's rounding of the inputs moves it by far less than 0.5.
    for (precision, tolerance) in [(Precision::Exact, 1e-3), (Precision::Fast, 0.5)] {
        let conv = Linear::convolution(precision, part());
        let rows = Rows {
            x: &x,
            stride: stride * inputs,
            count,
        };
        let mut y = vec![0.0; count * outputs];
        conv.apply(level, rows, &mut Scratch::new(precision), &mut y, outputs);
        for (t, y) in y.chunks(outputs).enumerate() {
            for (o, y) in y.iter().enumerate() {
                let mut sum = part().bias[o];
                for i in 0..inputs {
                    for tap in 0..3 {
                        let w = f32::from(weight[(o * inputs + i) * 3 + tap]) * part().scale[o];
                        sum += x[(t * stride + tap) * inputs + i] * w;
                    }
                }
                assert!(
                    (sum - y).abs() < tolerance,
                    "{precision:?} {t} {o}: {y} {sum}"
                );
            }
        }
    }
}
