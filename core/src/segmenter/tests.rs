//! Patterns are strings, one character a window: `#` is certain speech, `+` lies between the two
//! thresholds, `.` is silence.

use proptest::prelude::*;

use super::*;

const W: u64 = 512;

fn windows(n: u64) -> SampleCount {
    SampleCount(n * W)
}

fn pos(n: u64) -> SamplePos {
    SamplePos(n * W)
}

/// 2 windows of speech open, 3 of silence close, one silent window is forgiven in an onset; no padding.
fn config() -> SegmenterConfig {
    SegmenterConfig {
        activation_threshold: 0.5,
        deactivation_threshold: 0.35,
        min_speech_windows: 2,
        min_silence_windows: 3,
        onset_dip_windows: 1,
        prefix_padding: SampleCount::ZERO,
        tail_padding: SampleCount::ZERO,
        max_segment: SampleCount(u64::MAX),
        split_search: SampleCount::ZERO,
        prefix_may_overlap: false,
    }
}

fn probabilities(pattern: &str) -> Vec<f32> {
    let p = |c| match c {
        '#' => 0.9,
        '+' => 0.4,
        '.' => 0.1,
        _ => panic!("no such window: {c}"),
    };
    pattern.chars().map(p).collect()
}

/// Window number `n` after `origin`.
fn window_at(origin: SamplePos, n: u64, probability: f32) -> Window {
    Window {
        start: origin + windows(n),
        end: origin + windows(n + 1),
        decided_at: origin + windows(n + 1) + SampleCount(DELAY),
        probability,
    }
}

/// Input samples that a resampler holds back.
const DELAY: u64 = 20;

fn run_at(origin: SamplePos, config: SegmenterConfig, probabilities: &[f32]) -> Vec<Change> {
    let mut segmenter = Segmenter::new(config, origin);
    let mut changes = Vec::new();
    for (n, &p) in probabilities.iter().enumerate() {
        changes.extend(segmenter.window(window_at(origin, n as u64, p)));
    }
    let end = origin + windows(probabilities.len() as u64);
    changes.extend(segmenter.close(end, EndReason::Flush));
    changes
}

fn run(config: SegmenterConfig, pattern: &str) -> Vec<Change> {
    run_at(SamplePos(0), config, &probabilities(pattern))
}

/// (first window, window that decided) of each start, (end window, deciding window) of each end.
fn edges(changes: &[Change]) -> Vec<(char, u64, u64)> {
    let decided = |p: SamplePos| (p.0 - DELAY) / W;
    changes
        .iter()
        .filter_map(|change| match *change {
            Change::Start { at, decided_at, .. } => Some(('S', at.0 / W, decided(decided_at))),
            Change::End {
                at,
                decided_at,
                reason: EndReason::Silence,
                ..
            } => Some(('E', at.0 / W, decided(decided_at))),
            Change::End { at, decided_at, .. } => Some(('C', at.0 / W, decided_at.0 / W)),
            Change::Ready { .. } => None,
        })
        .collect()
}

/// (start, end) of each piece of audio, in samples.
fn ranges(changes: &[Change]) -> Vec<(u64, u64)> {
    changes
        .iter()
        .filter_map(|change| match *change {
            Change::Ready { start, end, .. } => Some((start.0, end.0)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_activation_threshold_itself_is_speech_and_the_deactivation_threshold_itself_is_not() {
    let just_below = |x: f32| f32::from_bits(x.to_bits() - 1);
    let just_above = |x: f32| f32::from_bits(x.to_bits() + 1);
    let opens = |p: f32| !run_at(SamplePos(0), config(), &[p, p]).is_empty();
    assert!(opens(0.5));
    assert!(!opens(just_below(0.5)));

    let stays_open =
        |p: f32| edges(&run_at(SamplePos(0), config(), &[0.9, 0.9, p, p, p]))[1].0 == 'C';
    assert!(stays_open(just_above(0.35)));
    assert!(!stays_open(0.35));
}

#[test]
fn activation_also_holds_a_segment_open_when_it_is_the_lower_threshold() {
    let config = SegmenterConfig {
        deactivation_threshold: 0.8,
        ..config()
    };
    // 0.5 is below "deactivation", but a window that would open a segment does not close one.
    assert_eq!(
        edges(&run_at(SamplePos(0), config, &[0.5; 6])),
        [('S', 0, 2), ('C', 6, 6)]
    );
}

#[test]
fn between_the_thresholds_speech_goes_on_but_does_not_begin() {
    assert_eq!(edges(&run(config(), "++++++")), []);
    assert_eq!(
        edges(&run(config(), ".##+++++...")),
        [('S', 1, 3), ('E', 8, 11)]
    );
}

#[test]
fn a_segment_starts_with_its_first_voiced_window_and_is_known_at_the_last_needed() {
    let three = SegmenterConfig {
        min_speech_windows: 3,
        ..config()
    };
    assert_eq!(edges(&run(three, "..###....")), [('S', 2, 5), ('E', 5, 8)]);
    let one = SegmenterConfig {
        min_speech_windows: 1,
        ..config()
    };
    assert_eq!(edges(&run(one, "..#...")), [('S', 2, 3), ('E', 3, 6)]);
    let zero_works_as_one = SegmenterConfig {
        min_speech_windows: 0,
        min_silence_windows: 0,
        ..config()
    };
    assert_eq!(
        edges(&run(zero_works_as_one, "..#.")),
        [('S', 2, 3), ('E', 3, 4)]
    );
}

#[test]
fn a_dip_holds_the_onset_count_and_a_longer_one_clears_it() {
    assert_eq!(edges(&run(config(), ".#.#...")), [('S', 1, 4), ('E', 4, 7)]);
    assert_eq!(edges(&run(config(), ".#..#...")), []);
    // Cleared means from zero: two more are needed, and the start is the first of those.
    assert_eq!(
        edges(&run(config(), ".#..#.#...")),
        [('S', 4, 7), ('E', 7, 10)]
    );
    let two = SegmenterConfig {
        onset_dip_windows: 2,
        ..config()
    };
    assert_eq!(edges(&run(two, ".#..#...")), [('S', 1, 5), ('E', 5, 8)]);
    assert_eq!(edges(&run(two, ".#...#...")), []);
}

#[test]
fn a_silent_window_in_an_onset_adds_nothing_to_the_count() {
    let three = SegmenterConfig {
        min_speech_windows: 3,
        ..config()
    };
    assert_eq!(edges(&run(three, "#.#...")), []);
    assert_eq!(edges(&run(three, "#.#.#...")), [('S', 0, 5), ('E', 5, 8)]);
}

#[test]
fn without_forgiven_dips_a_flickering_voice_is_never_heard() {
    // LiveKit's rule, and the reason for ours.
    let peer = SegmenterConfig {
        onset_dip_windows: 0,
        ..config()
    };
    let flicker = "#.".repeat(1000);
    assert_eq!(edges(&run(peer, &flicker)), []);
    assert_eq!(edges(&run(config(), &flicker))[0], ('S', 0, 3));
}

#[test]
fn a_voiced_window_restarts_the_count_of_silence() {
    assert_eq!(
        edges(&run(config(), "##..#..+...")),
        [('S', 0, 2), ('E', 8, 11)]
    );
}

#[test]
fn durations_count_speech_apart_from_the_pauses_in_it() {
    let changes = run(config(), ".#.#..##....");
    let Change::End {
        speech_duration,
        segment_duration,
        ..
    } = changes[1]
    else {
        panic!("{changes:?}")
    };
    assert_eq!(speech_duration, windows(4));
    assert_eq!(segment_duration, windows(7));
}

#[test]
fn the_audio_of_a_segment_comes_right_after_its_end() {
    let changes = run(config(), "##...##...");
    let kinds: String = changes
        .iter()
        .map(|change| match change {
            Change::Start { .. } => 'S',
            Change::End { .. } => 'E',
            Change::Ready { .. } => 'R',
        })
        .collect();
    assert_eq!(kinds, "SERSER");
    let numbers: Vec<u64> = changes
        .iter()
        .map(|change| match *change {
            Change::Start { segment, .. }
            | Change::End { segment, .. }
            | Change::Ready { segment, .. } => segment,
        })
        .collect();
    assert_eq!(numbers, [0, 0, 0, 1, 1, 1]);
}

#[test]
fn the_prefix_is_the_most_recent_audio_and_stops_at_the_origin() {
    let config = SegmenterConfig {
        prefix_padding: SampleCount(1000),
        ..config()
    };
    assert_eq!(ranges(&run(config, "....##...")), [(4 * W - 1000, 6 * W)]);
    assert_eq!(ranges(&run(config, ".##...")), [(0, 3 * W)]);
    let origin = SamplePos(7_000_000);
    assert_eq!(
        ranges(&run_at(origin, config, &probabilities(".##..."))),
        [(7_000_000, 7_000_000 + 3 * W)]
    );
}

#[test]
fn the_prefix_stops_at_the_segment_before_unless_it_may_overlap() {
    let apart = SegmenterConfig {
        prefix_padding: windows(100),
        tail_padding: windows(1),
        ..config()
    };
    let pattern = "##....##...";
    assert_eq!(ranges(&run(apart, pattern)), [(0, 3 * W), (3 * W, 9 * W)]);
    let overlap = SegmenterConfig {
        prefix_may_overlap: true,
        prefix_padding: windows(5),
        ..apart
    };
    assert_eq!(ranges(&run(overlap, pattern)), [(0, 3 * W), (W, 9 * W)]);
}

#[test]
fn the_tail_is_taken_from_the_silence_already_heard() {
    let tail = |n: u64| SegmenterConfig {
        tail_padding: SampleCount(n),
        ..config()
    };
    assert_eq!(ranges(&run(tail(0), "##......")), [(0, 2 * W)]);
    assert_eq!(ranges(&run(tail(700), "##......")), [(0, 2 * W + 700)]);
    assert_eq!(ranges(&run(tail(u64::MAX), "##......")), [(0, 5 * W)]);
}

#[test]
fn breaking_off_ends_and_delivers_open_speech_with_the_reason() {
    for reason in [
        EndReason::Flush,
        EndReason::Gap,
        EndReason::FormatChange,
        EndReason::Reset,
    ] {
        let config = SegmenterConfig {
            tail_padding: windows(9),
            ..config()
        };
        let mut segmenter = Segmenter::new(config, SamplePos(0));
        for (n, p) in (0..).zip(probabilities("..###.")) {
            let _ = segmenter.window(window_at(SamplePos(0), n, p));
        }
        // 100 samples more were heard, too few for a window: they are tail.
        let at = pos(6) + SampleCount(100);
        let changes: Vec<Change> = segmenter.close(at, reason).into_iter().collect();
        assert_eq!(
            changes,
            [
                Change::End {
                    segment: 0,
                    at: pos(5),
                    decided_at: at,
                    speech_duration: windows(3),
                    segment_duration: windows(3),
                    reason,
                },
                Change::Ready {
                    segment: 0,
                    part: 0,
                    start: pos(2),
                    end: at,
                    speech_start: pos(2),
                    speech_end: pos(5),
                    decided_at: at,
                    speech_duration: windows(3),
                    continues: false,
                    reason,
                }
            ]
        );
        assert_eq!(segmenter.close(at, reason), Changes::default());
        assert!(!segmenter.is_open());
    }
}

#[test]
fn breaking_off_forgets_an_unconfirmed_onset() {
    let mut segmenter = Segmenter::new(config(), SamplePos(0));
    let _ = segmenter.window(window_at(SamplePos(0), 0, 0.9));
    assert!(segmenter.onset_pending());
    assert_eq!(segmenter.close(pos(2), EndReason::Gap), Changes::default());
    assert!(!segmenter.onset_pending());
    assert_eq!(segmenter.earliest_needed(), pos(2));
    segmenter.resume(config(), pos(2));
    let after = segmenter.window(window_at(SamplePos(0), 2, 0.9));
    assert_eq!(after, Changes::default(), "one window is not two");
}

#[test]
fn speech_that_reaches_into_the_padding_of_the_last_window_ends_with_the_stream() {
    let mut segmenter = Segmenter::new(config(), SamplePos(0));
    for n in 0..3 {
        let _ = segmenter.window(window_at(SamplePos(0), n, 0.9));
    }
    let stream_end = SamplePos(2 * W + 5);
    let changes: Vec<Change> = segmenter
        .close(stream_end, EndReason::Flush)
        .into_iter()
        .collect();
    let Change::End {
        at,
        speech_duration,
        segment_duration,
        ..
    } = changes[0]
    else {
        panic!("{changes:?}")
    };
    assert_eq!(at, stream_end);
    assert_eq!(speech_duration.0, 2 * W + 5);
    assert_eq!(segment_duration.0, 2 * W + 5);
    assert_eq!(ranges(&changes), [(0, 2 * W + 5)]);
}

#[test]
fn behind_a_gap_numbers_go_on_and_no_prefix_reaches_into_it() {
    let config = SegmenterConfig {
        prefix_padding: windows(10),
        ..config()
    };
    let mut segmenter = Segmenter::new(config, SamplePos(0));
    let mut changes = Vec::new();
    for n in 0..3 {
        changes.extend(segmenter.window(window_at(SamplePos(0), n, 0.9)));
    }
    changes.extend(segmenter.close(pos(3), EndReason::Gap));
    let origin = SamplePos(1_000_000);
    segmenter.resume(config, origin);
    assert_eq!(segmenter.earliest_needed(), origin);
    for n in 0..3 {
        changes.extend(segmenter.window(window_at(origin, n, 0.9)));
    }
    changes.extend(segmenter.close(origin + windows(3), EndReason::Flush));
    assert_eq!(
        ranges(&changes),
        [(0, 3 * W), (1_000_000, 1_000_000 + 3 * W)]
    );
    assert!(matches!(changes[3], Change::Start { segment: 1, .. }));
}

#[test]
fn what_is_asked_while_it_runs_is_answered_for_the_open_segment_only() {
    let mut segmenter = Segmenter::new(config(), SamplePos(0));
    let mut seen = Vec::new();
    for (n, p) in (0..).zip(probabilities(".##..+...")) {
        let _ = segmenter.window(window_at(SamplePos(0), n, p));
        seen.push((
            segmenter.is_open(),
            segmenter.onset_pending(),
            segmenter.silent_windows(),
            segmenter.last_voiced().map(|p| p.0 / W),
        ));
    }
    let expected = [
        (false, false, 0, None),
        (false, true, 0, None),
        (true, false, 0, Some(3)),
        (true, false, 1, Some(3)),
        (true, false, 2, Some(3)),
        (true, false, 0, Some(6)),
        (true, false, 1, Some(6)),
        (true, false, 2, Some(6)),
        (false, false, 0, None),
    ];
    assert_eq!(seen, expected);
}

/// At most 20 windows at once, the last 10 of them searched.
fn splitting() -> SegmenterConfig {
    SegmenterConfig {
        min_silence_windows: 8,
        max_segment: windows(20),
        split_search: windows(10),
        ..config()
    }
}

#[test]
fn long_speech_is_split_in_its_longest_pause_and_the_parts_tile() {
    //             0         10        20        30
    let changes = run(splitting(), "###...#####.....########........");
    // Boxes 9..16, 10..17 and 11..18 hold the whole pause; the latest wins, cut before its third window.
    assert_eq!(ranges(&changes), [(0, 13 * W), (13 * W, 24 * W)]);
    assert_eq!(
        edges(&changes),
        [('S', 0, 2), ('E', 24, 32)],
        "a split is neither start nor end"
    );
    let Change::End {
        speech_duration, ..
    } = changes[2]
    else {
        panic!("{changes:?}")
    };
    assert_eq!(speech_duration, windows(16));
    let ready = |change| match change {
        Change::Ready {
            part,
            continues,
            reason,
            speech_start,
            speech_end,
            speech_duration,
            decided_at,
            ..
        } => (
            (part, continues, reason),
            (speech_start.0 / W, speech_end.0 / W, speech_duration.0 / W),
            (decided_at.0 - DELAY) / W,
        ),
        other => panic!("{other:?}"),
    };
    // Decided by the first window that does not fit.
    assert_eq!(
        ready(changes[1]),
        ((0, true, EndReason::Split), (0, 11, 8), 21)
    );
    assert_eq!(
        ready(changes[3]),
        ((1, false, EndReason::Silence), (16, 24, 8), 32)
    );
}

#[test]
fn a_split_may_use_the_whole_length() {
    let changes = run(splitting(), "##################.......####");
    assert_eq!(ranges(&changes), [(0, 20 * W), (20 * W, 29 * W)]);
}

#[test]
fn behind_a_split_no_prefix_reaches_what_was_delivered_before_it() {
    let config = SegmenterConfig {
        prefix_padding: windows(30),
        prefix_may_overlap: true,
        max_segment: windows(60),
        ..splitting()
    };
    let pattern = format!("{}{}##", "#".repeat(65), ".".repeat(8));
    let ranges = ranges(&run(config, &pattern));
    assert_eq!(ranges.len(), 3);
    assert_eq!(
        ranges[2].0, ranges[1].0,
        "it may overlap the last part, not the one before"
    );
    assert_eq!(ranges[0].1, ranges[1].0);
}

#[test]
fn a_limit_too_short_to_keep_still_ends_every_part() {
    let config = SegmenterConfig {
        max_segment: SampleCount(100),
        split_search: SampleCount(u64::MAX),
        ..config()
    };
    let ranges = ranges(&run(config, &"#".repeat(20)));
    assert!(ranges.len() >= 9);
    for (start, end) in ranges {
        assert!((W..=2 * W).contains(&(end - start)), "{start}..{end}");
    }
}

#[test]
fn a_full_part_that_is_silent_waits_for_its_end_instead_of_leaving_an_empty_part() {
    let config = SegmenterConfig {
        tail_padding: windows(8),
        ..splitting()
    };
    let changes = run(config, "##################........");
    // The tail gives way to the limit: 20 windows, not 26.
    assert_eq!(ranges(&changes), [(0, 20 * W)]);
    assert_eq!(edges(&changes), [('S', 0, 2), ('E', 18, 26)]);
}

#[test]
fn speech_without_any_pause_is_cut_at_the_last_border_that_fits() {
    let mut config = splitting();
    assert_eq!(
        ranges(&run(config, &"#".repeat(45))),
        // Every box scores the same, so the latest wins: it ends with the deciding window.
        [(0, 16 * W), (16 * W, 32 * W), (32 * W, 45 * W)]
    );
    config.split_search = SampleCount::ZERO;
    config.max_segment = SampleCount(20 * W + 300);
    assert_eq!(
        ranges(&run(config, &"#".repeat(45))),
        [(0, 20 * W), (20 * W, 40 * W), (40 * W, 45 * W)]
    );
}

#[test]
fn the_prefix_counts_towards_the_longest_segment() {
    let config = SegmenterConfig {
        prefix_padding: windows(6),
        ..splitting()
    };
    let pattern = format!("{}{}", ".".repeat(10), "#".repeat(30));
    for (start, end) in ranges(&run(config, &pattern)) {
        assert!(end - start <= 20 * W, "{start}..{end}");
    }
}

#[test]
fn the_smallest_limit_is_kept_when_speech_goes_on_just_before_its_end_would_be_decided() {
    let mut config = SegmenterConfig {
        min_silence_windows: 20,
        split_search: windows(4),
        ..config()
    };
    config.max_segment = config.smallest_max_segment(windows(1));
    assert_eq!(config.max_segment, windows(25));
    // The best pause lies at the start of the region, speech fills the part to the last sample, and 19
    // silent windows pass before it goes on: nothing longer can be left behind a cut.
    let p = [
        vec![0.9; 19],
        vec![0.0; 5],
        vec![0.5],
        vec![0.34; 19],
        vec![0.9],
    ]
    .concat();
    let ranges = ranges(&run_at(SamplePos(0), config, &p));
    assert_eq!(ranges, [(0, 21 * W), (21 * W, 45 * W)]);
}

#[test]
fn a_window_without_samples_says_nothing() {
    let config = SegmenterConfig {
        min_speech_windows: 1,
        ..config()
    };
    let mut segmenter = Segmenter::new(config, SamplePos(0));
    let empty = Window {
        end: SamplePos(0),
        ..window_at(SamplePos(0), 0, 0.9)
    };
    assert_eq!(segmenter.window(empty), Changes::default());
    assert!(!segmenter.is_open());
}

#[test]
fn a_split_prefers_a_breath_between_words_to_a_closure_inside_one() {
    // Windows of 32 ms. A plosive's closure: one window of near certainty that nobody speaks. A breath:
    // 160 ms in which the model is less sure, because breath is noise. The words around both are alike.
    let word = [0.95; 4];
    let closure = [0.7, 0.02, 0.8];
    let breath = [0.5, 0.2, 0.15, 0.2, 0.15, 0.3];
    for closure_first in [true, false] {
        let mut p = vec![0.95; 9];
        let (breath_at, parts): (usize, [&[f32]; 2]) = if closure_first {
            (p.len() + closure.len() + word.len(), [&closure, &breath])
        } else {
            (p.len(), [&breath, &closure])
        };
        p.extend(parts[0]);
        p.extend(word);
        p.extend(parts[1]);
        p.extend([0.95; 20]);
        let config = SegmenterConfig {
            max_segment: windows(26),
            split_search: windows(13),
            ..splitting()
        };
        let changes = run_at(SamplePos(0), config, &p);
        let cut = ranges(&changes)[0].1 / W;
        assert!(
            (breath_at + 1..breath_at + breath.len()).contains(&(cut as usize)),
            "cut before window {cut}, the breath begins at {breath_at}"
        );
        // The rule not taken: the lowest single window is the closure.
        let lowest = p[9..26].iter().copied().fold(1.0, f32::min);
        assert_eq!(lowest, 0.02);
    }
}

#[test]
fn a_late_clock_changes_nothing_but_the_positions() {
    let config = SegmenterConfig {
        prefix_padding: SampleCount(1500),
        tail_padding: SampleCount(700),
        prefix_may_overlap: false,
        ..splitting()
    };
    let pattern = "..###.#..##.######....########........####";
    let shifted = |changes: Vec<Change>, by: u64| -> Vec<(u64, u64)> {
        ranges(&changes)
            .into_iter()
            .map(|(start, end)| (start - by, end - by))
            .collect()
    };
    let early = shifted(run(config, pattern), 0);
    assert_eq!(early.len(), 3);
    for origin in [
        (1 << 31) - 1,
        (1 << 32) - 1,
        (1 << 53) - 1,
        ((1 << 31) - 1) * 48_000,
        u64::MAX - 60 * W,
    ] {
        let changes = run_at(SamplePos(origin), config, &probabilities(pattern));
        // Where there is audio before the origin, the prefix still does not reach it.
        assert_eq!(shifted(changes, origin), early, "origin {origin}");
    }
}

#[test]
fn at_the_very_end_of_the_clock_nothing_breaks() {
    let config = SegmenterConfig {
        prefix_padding: SampleCount(u64::MAX),
        tail_padding: SampleCount(u64::MAX),
        ..splitting()
    };
    let origin = SamplePos(u64::MAX - 10 * W);
    let changes = run_at(origin, config, &[0.9; 40]);
    assert_eq!(ranges(&changes), [(origin.0, u64::MAX)]);
}

/// Window probabilities as speech gives them: runs of voice and silence, with doubtful windows.
fn any_probabilities() -> impl Strategy<Value = Vec<f32>> {
    let run = prop_oneof![
        (0.5f32..=1.0, 1usize..40),
        (0.3f32..=0.6, 1usize..6),
        (0.0f32..0.35, 1usize..6),
        (0.0f32..0.35, 1usize..40),
        (Just(f32::NAN), 1usize..3),
    ];
    proptest::collection::vec(run, 0..25)
        .prop_map(|runs| runs.iter().flat_map(|&(p, n)| vec![p; n]).collect())
}

prop_compose! {
    fn any_config()(
        min_speech_windows in 0u32..5,
        min_silence_windows in 0u32..20,
        onset_dip_windows in 0u32..4,
        prefix_padding in 0u64..20 * W,
        tail_padding in prop_oneof![0u64..30 * W, Just(u64::MAX)],
        room in prop_oneof![Just(0), 0u64..60 * W, Just(u64::MAX)],
        split_search in 0u64..30 * W,
        prefix_may_overlap in prop::bool::weighted(0.2),
    ) -> SegmenterConfig {
        let mut config = SegmenterConfig {
            min_speech_windows,
            min_silence_windows,
            onset_dip_windows,
            prefix_padding: SampleCount(prefix_padding),
            tail_padding: SampleCount(tail_padding),
            split_search: SampleCount(split_search),
            prefix_may_overlap,
            ..config()
        };
        config.max_segment = config.smallest_max_segment(windows(1)) + SampleCount(room);
        config
    }
}

/// Starts and ends by looking at the whole recording, each by its definition: (start window, opening
/// window, end window, closing window); the last two are those of the break-off if speech was open.
fn segments_by_definition(config: &SegmenterConfig, p: &[f32]) -> Vec<[usize; 4]> {
    let needed = config.min_speech_windows.max(1);
    let silence = config.min_silence_windows.max(1) as usize;
    let loud = |n: usize| p[n] >= config.activation_threshold;
    let mut found = Vec::new();
    let mut free_from = 0;
    while let Some((opened, start)) = (free_from..p.len()).find_map(|opened| {
        // Walk back from a loud window to the first of its onset.
        let mut first = opened;
        let (mut count, mut dip) = (0, 0);
        for n in (free_from..=opened).rev() {
            if loud(n) {
                first = n;
                count += 1;
                dip = 0;
            } else {
                dip += 1;
                if dip > config.onset_dip_windows {
                    break;
                }
            }
        }
        (loud(opened) && count >= needed).then_some((opened, first))
    }) {
        let voiced = |n: usize| n <= opened || loud(n) || p[n] > config.deactivation_threshold;
        let closed = (opened + silence..p.len())
            .find(|&closed| (closed + 1 - silence..=closed).all(|n| !voiced(n)));
        let last_known = closed.unwrap_or(p.len() - 1);
        let end = (opened..=last_known)
            .rev()
            .find(|&n| voiced(n))
            .expect("the opening window is voiced");
        found.push([start, opened, end, closed.unwrap_or(usize::MAX)]);
        match closed {
            Some(closed) => free_from = closed + 1,
            None => break,
        }
    }
    found
}

proptest! {
    #[test]
    fn starts_and_ends_are_where_their_definition_puts_them(
        config in any_config(), p in any_probabilities(),
    ) {
        let changes = run_at(SamplePos(0), config, &p);
        let mut expected = Vec::new();
        for [start, opened, end, closed] in segments_by_definition(&config, &p) {
            expected.push(('S', start as u64, opened as u64 + 1));
            expected.push(if closed == usize::MAX {
                ('C', end as u64 + 1, p.len() as u64)
            } else {
                ('E', end as u64 + 1, closed as u64 + 1)
            });
        }
        prop_assert_eq!(edges(&changes), expected);
    }

    #[test]
    fn every_start_gets_exactly_one_end_within_the_decision_bound(
        config in any_config(), p in any_probabilities(),
    ) {
        let mut open = None;
        let mut number = 0;
        for change in run_at(SamplePos(0), config, &p) {
            match change {
                Change::Start { segment, at, decided_at, probability } => {
                    prop_assert_eq!(open, None);
                    prop_assert_eq!(segment, number);
                    prop_assert!(decided_at.since(at).0 <= config.longest_onset() * W + DELAY);
                    prop_assert!(probability.value() >= config.activation_threshold);
                    open = Some(at);
                    number += 1;
                }
                Change::End { segment, at, decided_at, speech_duration, segment_duration, .. } => {
                    let start = open.take().expect("an end without a start");
                    prop_assert_eq!(segment + 1, number);
                    prop_assert!(at > start);
                    let bound = (u64::from(config.min_silence_windows.max(1)) + 1) * W;
                    prop_assert!(decided_at.since(at).0 <= bound);
                    prop_assert_eq!(segment_duration, at.since(start));
                    prop_assert!(speech_duration <= segment_duration);
                }
                Change::Ready { .. } => {}
            }
        }
        prop_assert_eq!(open, None);
    }

    #[test]
    fn parts_are_ordered_tile_their_segment_and_add_up_to_it(
        config in any_config(), p in any_probabilities(),
    ) {
        let stream_end = p.len() as u64 * W;
        let mut covered = 0; // everything before is a part or a gap that has been accounted for
        let mut previous: Option<(u64, u32, u64)> = None; // segment, part, end
        let mut total = 0;
        let (mut ended_at, mut ended_speech) = (0, 0);
        for change in run_at(SamplePos(0), config, &p) {
            match change {
                Change::End { at, speech_duration, .. } => {
                    (ended_at, ended_speech) = (at.0, speech_duration.0);
                }
                Change::Ready {
                    segment, part, start, end, speech_start, speech_end, decided_at,
                    speech_duration, continues, reason,
                } => {
                    if let Some((before, before_part, before_end)) = previous {
                        prop_assert_eq!((segment, part, start.0), (before, before_part + 1, before_end));
                    } else {
                        prop_assert_eq!(part, 0);
                        prop_assert!(config.prefix_may_overlap || start.0 >= covered);
                    }
                    prop_assert!(start <= speech_start && speech_start < speech_end && speech_end <= end);
                    prop_assert!(end <= decided_at && end.0 <= stream_end);
                    prop_assert!(start < end);
                    prop_assert!(end.since(start) <= config.max_segment, "{} > {}", end.since(start), config.max_segment);
                    prop_assert_eq!(continues, reason == EndReason::Split);
                    prop_assert!(speech_duration.0 > 0 && speech_duration <= speech_end.since(speech_start));
                    total += speech_duration.0;
                    covered = end.0;
                    previous = continues.then_some((segment, part, end.0));
                    if !continues {
                        prop_assert_eq!(speech_end.0, ended_at);
                        prop_assert_eq!(total, ended_speech);
                        total = 0;
                    }
                }
                Change::Start { .. } => prop_assert_eq!(previous, None),
            }
        }
        prop_assert_eq!(previous, None);
    }

    #[test]
    fn every_voiced_window_of_a_segment_is_delivered(
        config in any_config(), p in any_probabilities(),
    ) {
        let delivered = ranges(&run_at(SamplePos(0), config, &p));
        for [start, opened, end, _] in segments_by_definition(&config, &p) {
            for (n, &p) in p.iter().enumerate().take(end + 1).skip(start) {
                let voiced = p >= config.activation_threshold
                    || (n > opened && p > config.deactivation_threshold);
                let (from, to) = (n as u64 * W, (n as u64 + 1) * W);
                prop_assert!(
                    !voiced || delivered.iter().any(|&(start, end)| start <= from && to <= end),
                    "window {} is in no segment", n
                );
            }
        }
    }

    #[test]
    fn a_split_is_the_best_pause_of_all_that_were_heard(
        config in any_config(), p in any_probabilities(),
    ) {
        const BOX: usize = 7;
        const CUT: usize = 2;
        let (mut opened_at, mut decided_before) = (0, 0);
        for change in run_at(SamplePos(0), config, &p) {
            if let Change::Start { decided_at, .. } = change {
                opened_at = ((decided_at.0 - DELAY) / W - 1) as usize;
            }
            let Change::Ready {
                start, end, speech_end, decided_at, reason: EndReason::Split, ..
            } = change else { continue };
            let heard = ((decided_at.0 - DELAY) / W) as usize;
            let limit = start + config.max_segment;
            prop_assert!(heard as u64 * W > limit.0, "split before it was full");
            let mean = |cut: usize| -> f64 {
                p[cut - CUT..cut + BOX - CUT].iter().map(|&p| if p.is_nan() { 0.0 } else { f64::from(p) }).sum::<f64>() / BOX as f64
            };
            // Boxes end behind the decision for the part before.
            let best = (opened_at + CUT..(heard + CUT + 1).saturating_sub(BOX))
                .filter(|&n| n + BOX - CUT > decided_before)
                .filter(|&n| pos(n as u64) >= limit - config.split_search && pos(n as u64) <= limit)
                .filter(|&n| pos(n as u64) > start)
                .map(mean)
                .fold(f64::INFINITY, f64::min);
            decided_before = heard;
            let cut = (end.0 / W) as usize;
            prop_assert_eq!(end.0 % W, 0);
            prop_assert!(speech_end <= end);
            if best.is_finite() {
                // 2^-24 is the unit in which scores are compared.
                prop_assert!(mean(cut) <= best + 6e-8, "cut at {}: {} > {}", cut, mean(cut), best);
            } else {
                prop_assert!(limit.since(end).0 < W, "not the last border that fits");
            }
        }
    }

    #[test]
    fn what_may_be_forgotten_is_never_asked_for(
        config in any_config(), p in any_probabilities(),
    ) {
        let mut segmenter = Segmenter::new(config, SamplePos(0));
        let mut needed = SamplePos(0);
        for (n, &p) in (0..).zip(&p) {
            let window = window_at(SamplePos(0), n, p);
            for change in segmenter.window(window) {
                if let Change::Ready { start, .. } = change {
                    prop_assert!(start >= needed);
                }
            }
            prop_assert!(segmenter.earliest_needed() >= needed);
            needed = segmenter.earliest_needed();
            prop_assert!(needed <= window.end);
            prop_assert!(window.end.since(needed) <= config.longest_reach(windows(1)));
        }
        for change in segmenter.close(pos(p.len() as u64), EndReason::Flush) {
            if let Change::Ready { start, .. } = change {
                prop_assert!(start >= needed);
            }
        }
    }

    #[test]
    fn nonsense_settings_and_positions_break_no_promise_but_the_length(
        config in any_config(),
        max_segment in 0u64..5 * W,
        split_search in 0u64..u64::MAX,
        inputs in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<f32>()), 0..60),
    ) {
        let config = SegmenterConfig {
            max_segment: SampleCount(max_segment),
            split_search: SampleCount(split_search),
            ..config
        };
        let mut segmenter = Segmenter::new(config, SamplePos(0));
        let mut open = false;
        let mut covered = SamplePos(0);
        let mut check = |change: Change| {
            match change {
                Change::Start { .. } => assert!(!std::mem::replace(&mut open, true)),
                Change::End { at, decided_at, .. } => {
                    assert!(std::mem::replace(&mut open, false));
                    assert!(at <= decided_at);
                }
                Change::Ready { start, end, .. } => {
                    assert!(config.prefix_may_overlap || start >= covered);
                    assert!(start <= end);
                    covered = end;
                }
            }
        };
        for (start, end, decided_at, probability) in inputs {
            let window = Window {
                start: SamplePos(start),
                end: SamplePos(end),
                decided_at: SamplePos(decided_at),
                probability,
            };
            for change in segmenter.window(window) {
                if let Change::Ready { start, end, .. } = change {
                    assert!(start < end);
                }
                check(change);
            }
        }
        segmenter.close(SamplePos(0), EndReason::Reset).into_iter().for_each(&mut check);
        prop_assert!(!open);
    }
}
