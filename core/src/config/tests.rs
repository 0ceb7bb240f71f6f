//! What settings become, and which are refused.

use super::*;

const RATE: SampleRate = SampleRate::HZ_48000;
const CONFIG: DetectorConfig = DetectorConfig::new(RATE);
const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn other_delays_leave_the_learning_as_it_is() {
    let (min, max) = (ms(100), ms(900));
    let learning = Endpointing::LEGACY.with_alpha(0.25);
    assert_eq!(
        learning.with_delays(min, max),
        Endpointing::dynamic(min, max).with_alpha(0.25)
    );
    assert_eq!(
        Endpointing::LEGACY.with_delays(min, max),
        Endpointing::fixed(min, max)
    );
}

#[test]
fn durations_become_the_windows_the_peer_uses() {
    // livekit-turn-semantics 1.7: seconds -> windows
    for (duration, count) in [
        (50, 2),
        (96, 3),
        (160, 5),
        (200, 7),
        (250, 8),
        (320, 10),
        (500, 16),
        (550, 18),
        (640, 20),
        (750, 24),
    ] {
        assert_eq!(windows(ms(duration)), count, "{duration} ms");
    }
    assert_eq!(windows(Duration::ZERO), 1);
}

#[test]
fn deactivation_follows_activation() {
    let parsed = CONFIG.activation_threshold(0.8).parse(RATE);
    assert!((parsed.segmenter.deactivation_threshold - 0.65).abs() < 1e-6);
    let parsed = CONFIG.activation_threshold(0.1).parse(RATE);
    assert_eq!(parsed.segmenter.deactivation_threshold, 0.01);
    let parsed = CONFIG.activation_threshold(0.0).parse(RATE);
    assert_eq!(parsed.segmenter.deactivation_threshold, 0.0);
}

#[test]
fn delays_default_by_the_presence_of_a_turn_model() {
    let min = |config: DetectorConfig| match config.parse(RATE).endpointer.delays {
        Delays::Fixed { min, max } => (min.0, max.0),
        Delays::Dynamic { .. } => panic!("fixed by default"),
    };
    assert_eq!(min(CONFIG), (24_000, 144_000));
    let options = TurnModelOptions::new(Probability::clamped(0.5));
    assert_eq!(min(CONFIG.turn_model(Some(options))), (14_400, 120_000));
}

#[test]
fn contradictions_are_refused_with_both_values() {
    let cases = [
        (CONFIG.deactivation_threshold(0.6), "0.6"),
        (
            CONFIG.activation_threshold(f32::NAN),
            "activation_threshold is NaN",
        ),
        (
            CONFIG.deactivation_threshold(-0.1),
            "deactivation_threshold is -0.1",
        ),
        (CONFIG.activation_threshold(1.5), "1.5"),
        (CONFIG.min_silence_duration(ms(4000)), "max_delay"),
        (
            CONFIG.min_silence_duration(ms(11_000)),
            "min_silence_duration",
        ),
        (
            CONFIG.endpointing(Endpointing::fixed(ms(900), ms(800))),
            "900ms",
        ),
        (
            CONFIG.endpointing(Endpointing::LEGACY.with_alpha(1.0)),
            "alpha",
        ),
        (CONFIG.smoothing(Some(1.0)), "smoothing"),
        (CONFIG.max_segment_duration(ms(10)), "max_segment_duration"),
        (
            CONFIG.max_segment_duration(Duration::MAX),
            "max_segment_duration",
        ),
        (
            CONFIG
                .max_segment_duration(ms(2000))
                .prefix_padding_duration(ms(1990)),
            "prefix",
        ),
        (
            CONFIG.transcript_wait(Some(Duration::MAX)),
            "transcript_wait",
        ),
    ];
    for (config, word) in cases {
        let message = config.check().expect_err(word).to_string();
        assert!(message.contains(word), "{message:?} does not name {word:?}");
    }
}

#[test]
fn a_channel_that_does_not_exist_is_refused() {
    assert!(
        CONFIG
            .channels(2)
            .downmix(Downmix::Channel(1))
            .format()
            .is_ok()
    );
    let error = CONFIG.channels(2).downmix(Downmix::Channel(2)).format();
    assert_eq!(
        error,
        Err(ConfigError::Downmix {
            channel: 2,
            channels: 2
        })
    );
    assert_eq!(
        CONFIG.channels(9).format(),
        Err(ConfigError::Channels { channels: 9 })
    );
}
