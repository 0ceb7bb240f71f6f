//! Rule 8: no input can panic; errors say what to do, and nothing is lost by them.
#![cfg(feature = "embedded-models")]

mod common;

use common::{conversation, everything, quick, run};
use listenkit::{
    Detector, DetectorConfig, Frame, Input, InputError, Output, SampleCount, SampleFormat,
    SampleRate,
};

#[test]
fn values_that_are_not_numbers_do_not_poison_the_stream() {
    let case = conversation();
    let speech: Vec<f32> = case.pcm.iter().map(|&v| f32::from(v) / 32768.0).collect();
    let config = quick(case.rate)
        .sample_format(SampleFormat::F32)
        .report_windows(true);
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let hostile = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        -0.0,
        1e-45,
    ];
    let bad: Vec<f32> = hostile.iter().copied().cycle().take(48_000).collect();
    for _ in detector.process(Frame::f32(&bad)).expect("taken") {}
    assert!(detector.stats().non_finite_values > 20_000);
    assert!(detector.stats().limited_values > 13_000);
    let heard: Vec<_> = detector
        .process(Frame::f32(&speech))
        .expect("taken")
        .collect();
    let starts = common::events(&heard)
        .iter()
        .filter(|event| matches!(event, listenkit::Event::StartOfSpeech(_)))
        .count();
    assert!(
        starts >= 3,
        "speech is heard after the damage: {starts} starts"
    );
}

#[test]
fn a_refused_block_changes_nothing() {
    let case = conversation();
    let mut plain = Detector::new(everything(case.rate), common::vad()).expect("valid");
    let expected = run(&mut plain, &case.pcm[..96_000], 1, &[480]);
    let mut bothered = Detector::new(everything(case.rate), common::vad()).expect("valid");
    let mut outputs = Vec::new();
    for block in case.pcm[..96_000].chunks(480) {
        outputs.extend(bothered.process(Frame::i16(block)).expect("good frames"));
        for bad in [
            Frame::i16(block).at_rate(0),
            Frame::i16(block).at_rate(u32::MAX),
            Frame::i16(block).with_channels(0),
            Frame::i16(block).with_channels(usize::MAX),
            Frame::i16(&block[..479]).with_channels(2),
        ] {
            let error = bothered.process(bad).expect_err("refused");
            assert!(error.to_string().len() > 30, "says what to do: {error}");
        }
    }
    outputs.extend(bothered.flush());
    assert_eq!(outputs, expected);
}

#[test]
fn a_split_sample_is_named() {
    let config = DetectorConfig::new(SampleRate::HZ_16000).channels(2);
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let error = detector
        .process(Frame::i16(&[0; 321]))
        .expect_err("half a sample");
    assert_eq!(
        error,
        InputError::PartialSample {
            len: 321,
            channels: 2
        }
    );
    assert_eq!(
        error.to_string(),
        "321 values do not divide into 2 interleaved channels: push whole samples"
    );
}

#[test]
fn every_rate_and_channel_count_is_heard_or_refused() {
    let pcm: Vec<i16> = (0..24_000)
        .map(|k| ((k * 7919) % 20_000) as i16 - 10_000)
        .collect();
    for hz in [
        0,
        1,
        3_999,
        4_000,
        4_001,
        7_919,
        8_000,
        11_025,
        12_000,
        16_000,
        16_001,
        22_050,
        24_000,
        32_000,
        44_056,
        44_100,
        48_000,
        88_200,
        96_000,
        191_999,
        192_000,
        192_001,
        u32::MAX,
    ] {
        let Ok(rate) = SampleRate::new(hz) else {
            assert!(!(4_000..=192_000).contains(&hz));
            continue;
        };
        for channels in [1, 2, 5, 8] {
            let mut detector =
                Detector::new(quick(rate).channels(channels), common::vad()).expect("valid");
            let pcm = &pcm[..pcm.len() / channels * channels];
            for _ in detector.process(Frame::i16(pcm)).expect("good frames") {}
            for _ in detector.flush() {}
            // 32 ms windows over the whole clip, the last one filled up.
            let expected = (pcm.len() as u64 / channels as u64 * 1000).div_ceil(u64::from(hz) * 32);
            let windows = detector.stats().windows;
            assert!(
                windows.abs_diff(expected) <= 1,
                "{hz} Hz, {channels} channels: {windows} of {expected} windows"
            );
        }
    }
}

#[test]
fn empty_blocks_and_flushes_are_harmless() {
    let mut detector = Detector::new(quick(SampleRate::HZ_48000), common::vad()).expect("valid");
    for _ in 0..3 {
        assert_eq!(detector.process(Frame::i16(&[])).expect("taken").count(), 0);
        assert_eq!(detector.flush().count(), 0);
        assert_eq!(detector.reset().count(), 0);
    }
    assert_eq!(detector.stats().windows, 0);
}

/// Gaps that leave no position: the 16 kHz audio of turn models runs out of numbers before the stream at 8 kHz does.
#[test]
fn gaps_to_the_end_of_time_are_survived() {
    let case = conversation();
    for hz in [8_000, 16_000, 48_000] {
        let rate = SampleRate::new(hz).expect("a rate");
        for gap in [u64::MAX / 2, u64::MAX] {
            let mut detector = Detector::new(everything(rate), common::vad()).expect("valid");
            for _ in 0..3 {
                for block in case.pcm[..48_000].chunks(480) {
                    let mut outputs = detector.process(Frame::i16(block)).expect("taken");
                    while let Some(output) = outputs.next() {
                        if let Output::TurnQuery(query) = output {
                            assert!(outputs.turn_audio(&query).len() <= 8 * 16_000);
                        }
                    }
                }
                for _ in detector
                    .handle(Input::Gap(SampleCount(gap)))
                    .expect("taken")
                {}
            }
            assert!(detector.position().0 > u64::MAX / 2);
        }
    }
}

/// Bindings keep a segment's place as two numbers, which may come back changed: what is read is then nothing or other audio, of the
/// length asked for.
#[test]
fn a_forged_place_of_a_segment_reads_nothing_or_other_audio() {
    let case = common::clip("speech-ru-16k-stereo");
    let config = quick(case.rate).channels(2);
    let vad = common::vad();
    let mut silent = Detector::new(config, vad).expect("valid");
    let mut detector = Detector::new(config.segment_audio(true), vad).expect("valid");
    run(&mut silent, &case.pcm, 2, &[160]);
    let outputs = run(&mut detector, &case.pcm, 2, &[160]);
    let segments = common::segments(&outputs);
    let segment = segments.last().expect("there is speech");
    let key = segment.audio_key();
    let kept = detector.audio_at(key, segment.len());
    assert_eq!(kept, detector.audio(segment));
    let (from, to) = (segment.start.0 as usize * 2, segment.end.0 as usize * 2);
    assert!(kept.expect("still held").to_i16() == case.pcm[from..to]);

    let mut seeded = common::Seeded(3);
    let end = case.pcm.len() as u64 / 2;
    let near = [
        0,
        1,
        key - 1,
        key,
        key + 1,
        end - 1,
        end,
        end + 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    let mut read = [0, 0];
    for _ in 0..20_000 {
        let mut number = || match seeded.below(3) {
            0 => near[seeded.below(near.len())],
            1 => seeded.next() % (2 * end),
            _ => seeded.next(),
        };
        let (key, len) = (number(), SampleCount(number()));
        let audio = detector.audio_at(key, len);
        if let Some(audio) = audio {
            assert_eq!(audio.len() as u64, 2 * len.0);
            let (from, to) = (2 * key as usize, 2 * (key + len.0) as usize);
            assert!(audio.to_i16() == case.pcm[from..to], "this stream's own");
        }
        read[usize::from(audio.is_some())] += 1;
        assert!(
            silent
                .audio_at(key, len)
                .is_none_or(|audio| audio.is_empty())
        );
    }
    assert!(read[0] > 1_000 && read[1] > 1_000, "{read:?}");
}
