//! What the arithmetic promises, over all of its range.

use super::*;

fn p(value: f32) -> Probability {
    Probability::new(value).expect("a probability")
}

/// Values where floating point is at its worst, and some in between.
fn probabilities() -> Vec<Probability> {
    let mut values = vec![0.0, f32::from_bits(1), f32::MIN_POSITIVE, 1e-30, 1e-6, 1.0];
    for centre in [0.01, 0.0289, 0.25, 0.3, 0.5, 0.75, 0.9, 0.999] {
        values.extend([f32::next_down(centre), centre, f32::next_up(centre)]);
    }
    values.extend([1.0 - f32::EPSILON, 1.0_f32.next_down()]);
    values.extend((1..64).map(|k| k as f32 / 64.0));
    values.into_iter().map(p).collect()
}

fn model(probability: Probability, threshold: Probability) -> Option<(Probability, Probability)> {
    Some((probability, threshold))
}

fn lean(lean: f32) -> Option<CueVote> {
    Some(CueVote {
        lean,
        ..CueVote::default()
    })
}

#[test]
fn one_model_alone_decides_as_its_threshold_does_to_the_last_bit() {
    let all = probabilities();
    let mut seen = [0, 0];
    for limit in [0.1, 6.0, 100.0] {
        for weight in [1e-3, 1.0, 10.0] {
            let fusion = Fusion {
                audio: weight,
                text: weight,
                limit,
                ..Fusion::DEFAULT
            };
            for &probability in &all {
                for &threshold in &all {
                    let unfinished = probability < threshold;
                    for fused in [
                        fusion.fuse(model(probability, threshold), None, None),
                        fusion.fuse(None, model(probability, threshold), None),
                    ] {
                        let fused = fused.expect("a vote");
                        assert_eq!(
                            fused.value() < 0.5,
                            unfinished,
                            "{probability} against {threshold}: {fused}"
                        );
                        if probability == threshold {
                            assert_eq!(fused.value(), 0.5);
                        }
                    }
                    seen[usize::from(unfinished)] += 1;
                }
            }
        }
    }
    assert!(seen[0] > 1000 && seen[1] > 1000, "{seen:?}");
}

#[test]
fn neighbouring_probabilities_are_told_apart_all_over_the_range() {
    // Every 9973rd bit pattern of all f32 from 0 to 1.
    let top = 1.0_f32.to_bits();
    let mut bits = 0;
    while bits < top {
        let (low, high) = (p(f32::from_bits(bits)), p(f32::from_bits(bits + 1)));
        assert!(logit(low) < logit(high), "{low} {high}");
        bits += 9973;
    }
    assert!(logit(p(1.0_f32.next_down())) < logit(p(1.0)));
}

#[test]
fn without_votes_there_is_nothing_to_fuse() {
    let fusion = Fusion::DEFAULT;
    assert_eq!(fusion.fuse(None, None, None), None);
    assert_eq!(fusion.fuse(None, None, lean(f32::NAN)), None);
    let mute = Fusion {
        audio: 0.0,
        text: 0.0,
        cues: 0.0,
        ..fusion
    };
    assert_eq!(
        mute.fuse(model(p(0.9), p(0.5)), model(p(0.9), p(0.5)), lean(1.0)),
        None
    );
}

#[test]
fn votes_add_up_in_log_odds() {
    let fusion = Fusion {
        audio: 1.0,
        text: 0.5,
        cues: 2.0,
        limit: 6.0,
    };
    let fused =
        |audio, text, cues| f64::from(fusion.fuse(audio, text, cues).expect("a vote").value());
    // By hand: 0.8 against 0.5 is ln 4; 0.1 against 0.5 is -ln 9; half of it -ln 3.
    let got = fused(model(p(0.8), p(0.5)), model(p(0.1), p(0.5)), None);
    assert!((got - 4.0 / 7.0).abs() < 1e-6, "{got}");
    let got = fused(model(p(0.8), p(0.5)), None, lean(-0.5));
    let odds = 4.0 / std::f64::consts::E;
    assert!((got - odds / (1.0 + odds)).abs() < 1e-6, "{got}");
    // Against a tiny threshold the same distance: 0.2 / 0.8 over 0.01 / 0.99 is 24.75.
    let got = fused(model(p(0.2), p(0.01)), None, None);
    assert!((got - 24.75 / 25.75).abs() < 1e-6, "{got}");
    // Leans beyond the range count as its ends, and infinity is no exception.
    assert_eq!(fused(None, None, lean(7.0)), fused(None, None, lean(1.0)));
    assert_eq!(
        fused(None, None, lean(f32::NEG_INFINITY)),
        fused(None, None, lean(-1.0))
    );
}

#[test]
fn a_saturated_model_does_not_silence_the_others() {
    let fusion = Fusion::DEFAULT;
    let sure = model(p(1.0), p(0.5));
    let against = model(p(0.0), p(0.5));
    assert_eq!(
        fusion.fuse(sure, against, None),
        Some(p(0.5)),
        "equal and opposite"
    );
    let doubted = fusion.fuse(sure, against, lean(-0.1)).expect("votes");
    assert!(doubted.value() < 0.5);
}

#[test]
fn the_fused_probability_rises_with_every_vote() {
    let fusion = Fusion::DEFAULT;
    let mut all = probabilities();
    all.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    for &threshold in &[p(0.01), p(0.5), p(0.99)] {
        for pair in all.windows(2) {
            let [low, high] = [pair[0], pair[1]];
            for text in [None, model(p(0.3), p(0.5))] {
                let fused = |audio| fusion.fuse(model(audio, threshold), text, lean(0.3));
                assert!(fused(low) <= fused(high), "{low} {high}");
                let fused = |vote| fusion.fuse(text, model(vote, threshold), None);
                assert!(fused(low) <= fused(high), "{low} {high}");
            }
        }
    }
    for k in -100..100 {
        let fused = |k: i32| fusion.fuse(model(p(0.4), p(0.5)), None, lean(k as f32 / 100.0));
        assert!(fused(k) < fused(k + 1));
    }
}

#[test]
fn wait_rules_fall_from_max_to_min() {
    let (min, max) = (SampleCount(4_800), SampleCount(40_000));
    let graded = |unfinished_at, finished_at| WaitRule::Graded {
        unfinished_at: p(unfinished_at),
        finished_at: p(finished_at),
    };
    let mut all = probabilities();
    all.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    let rules = [
        WaitRule::Threshold,
        graded(0.2, 0.8),
        graded(0.0, 1.0),
        graded(0.5, 0.5),
        graded(0.0, 0.0),
        graded(1.0, 1.0),
        graded(0.3, 0.3_f32.next_up()),
    ];
    for rule in rules {
        for pair in all.windows(2) {
            let (before, after) = (rule.wait(pair[0], min, max), rule.wait(pair[1], min, max));
            assert!(min <= after && after <= before && before <= max, "{rule:?}");
        }
        // Nothing to choose from.
        assert_eq!(rule.wait(p(0.4), max, max), max);
        assert_eq!(rule.wait(p(0.4), max, min), min, "max wins");
        assert_eq!(
            rule.wait(p(0.7), SampleCount::ZERO, SampleCount::ZERO),
            SampleCount::ZERO
        );
    }
    let binary = WaitRule::Threshold;
    assert_eq!(binary.wait(p(0.5), min, max), min);
    assert_eq!(binary.wait(p(0.5_f32.next_down()), min, max), max);
    let graded = graded(0.2, 0.8);
    assert_eq!(graded.wait(p(0.2), min, max), max);
    assert_eq!(graded.wait(p(0.8), min, max), min);
    // Undecided: half of the way, because 0.2 and 0.8 are equally far from 0.5 in log-odds.
    assert_eq!(graded.wait(p(0.5), min, max), SampleCount(22_400));
    // 0.6 is ln 1.5 of 2 ln 4 above the middle: 0.6462 of the way from max.
    let way = 0.5 + 1.5_f64.ln() / (2.0 * 4.0_f64.ln());
    let expected = 40_000.0 - way * 35_200.0;
    let got = graded.wait(p(0.6), min, max).0 as f64;
    assert!((got - expected).abs() <= 1.0, "{got} {expected}");
}

#[test]
fn answers_of_one_pause_become_one() {
    let answers = || [0.9, 0.2, 0.6].map(p);
    assert_eq!(AnswerRule::Latest.combine(answers()), Some(p(0.6)));
    assert_eq!(AnswerRule::Min.combine(answers()), Some(p(0.2)));
    // Odds 9, 1/4, 3/2: their geometric mean is 1.5.
    let mean = AnswerRule::Mean
        .combine(answers())
        .expect("answers")
        .value();
    assert!((mean - 0.6).abs() < 1e-6, "{mean}");
    for rule in [AnswerRule::Latest, AnswerRule::Min, AnswerRule::Mean] {
        assert_eq!(rule.combine([]), None);
        for one in probabilities() {
            assert_eq!(rule.combine([one]), Some(one), "{rule:?}");
        }
    }
    // A certain answer is one voice of two.
    let mean = AnswerRule::Mean
        .combine([p(0.0), p(0.9999)])
        .expect("answers");
    assert!(mean.value() > 0.05, "{mean}");
}

#[test]
fn our_logarithm_and_exponential_are_those_of_the_platform() {
    let mut x = 1e-45_f64;
    while x < 2.0 {
        let (got, expected) = (ln(x), x.ln());
        assert!(
            (got - expected).abs() <= 2e-15 * expected.abs().max(1.0),
            "ln {x}: {got} {expected}"
        );
        x *= 1.037;
    }
    for k in -7000..=7000 {
        let x = f64::from(k) / 10.0;
        let (got, expected) = (exp(x), x.exp());
        // The argument's own rounding is worth |x| * 1.1e-16.
        let tolerance = 4e-15 + x.abs() * 3e-16;
        assert!(
            (got / expected - 1.0).abs() <= tolerance,
            "exp {x}: {got} {expected}"
        );
    }
    assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
}

#[test]
fn weights_out_of_range_are_found() {
    assert_eq!(Fusion::DEFAULT.wrong(), None);
    for wrong in [-0.1, 10.1, f32::NAN, f32::INFINITY] {
        for k in 0..3 {
            let mut weights = [1.0; 3];
            weights[k] = wrong;
            let [audio, text, cues] = weights;
            let fusion = Fusion {
                audio,
                text,
                cues,
                limit: 6.0,
            };
            assert!(fusion.wrong().is_some(), "{fusion:?}");
        }
    }
    for limit in [0.0, -1.0, f32::NAN, 101.0] {
        let fusion = Fusion {
            limit,
            ..Fusion::DEFAULT
        };
        assert_eq!(fusion.wrong().map(|wrong| wrong.0), Some("fusion limit"));
    }
}

/// The fields are public and `DetectorConfig` is not the only way in.
#[test]
fn weights_and_limits_out_of_range_have_an_answer() {
    let votes = (model(p(0.9), p(0.2)), lean(-1.0));
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, f32::MAX] {
        for fusion in [
            Fusion {
                limit: odd,
                ..Fusion::DEFAULT
            },
            Fusion {
                audio: odd,
                ..Fusion::DEFAULT
            },
            Fusion {
                cues: odd,
                ..Fusion::DEFAULT
            },
            Fusion {
                audio: odd,
                text: odd,
                cues: odd,
                limit: odd,
            },
        ] {
            let fused = fusion.fuse(votes.0, None, votes.1);
            let within = |p: Probability| (0.0..=1.0).contains(&p.value());
            assert!(fused.is_none_or(within), "{fusion:?}: {fused:?}");
        }
        let limit = Fusion {
            limit: odd,
            ..Fusion::DEFAULT
        };
        let fused = limit.fuse(votes.0, None, None).expect("a vote");
        assert_eq!(
            fused.value() > 0.5,
            odd > 0.0,
            "a limit that is none: undecided"
        );
    }
}
