//! Mel frames that the detector computes while the user speaks: the same features as from the samples alone, whatever happens to the
//! stream, and ready when a model asks.
#![cfg(feature = "embedded-models")]

mod common;

use common::{Clip, clip, conversation, everything, ms};
use listenkit::dsp::{LogMel, MelFeatures, boxed_features};
use listenkit::resample::Resampler;
use listenkit::{
    Detector, DetectorConfig, Endpointing, Frame, Input, Output, Outputs, Probability, SampleCount,
    SampleRate, SileroVad, TurnModelOptions, TurnQuery, TurnSnapshot, VadRate,
};

/// What a model on another thread sees at a question.
struct Asked {
    query: TurnQuery,
    samples: Vec<f32>,
    ready: usize,
    features: Box<MelFeatures>,
}

/// Hears a stream and computes features at every question, from ready frames and from the samples alone.
struct Listener {
    log_mel: LogMel,
    snapshot: TurnSnapshot,
    asked: Vec<Asked>,
}

impl Listener {
    fn new() -> Self {
        Self {
            log_mel: LogMel::new(),
            snapshot: TurnSnapshot::new(),
            asked: Vec::new(),
        }
    }

    fn take(&mut self, mut outputs: Outputs<'_, '_>) {
        let mut scratch = self.log_mel.scratch();
        while let Some(output) = outputs.next() {
            let Output::TurnQuery(query) = output else {
                continue;
            };
            let audio = outputs.turn_audio(&query);
            assert_eq!(audio.rate, SampleRate::HZ_16000);
            let (mut features, mut plain) = (boxed_features(), boxed_features());
            audio.log_mel(&self.log_mel, &mut scratch, &mut features);
            self.log_mel
                .features(audio.head, audio.tail, &mut scratch, &mut plain);
            assert!(features == plain, "frames differ from samples at {query:?}");
            audio.copy_to(&mut self.snapshot);
            let copy = self.snapshot.audio();
            copy.log_mel(&self.log_mel, &mut scratch, &mut plain);
            assert!(features == plain, "the copy differs at {query:?}");
            self.asked.push(Asked {
                query,
                samples: audio.to_vec(),
                ready: audio.frames.map_or(0, |frames| frames.len()),
                features,
            });
        }
    }

    fn hear(&mut self, detector: &mut Detector, pcm: &[i16], blocks: &[usize]) {
        let mut rest = pcm;
        let mut sizes = blocks.iter().cycle();
        while !rest.is_empty() {
            let take = (*sizes.next().expect("endless")).min(rest.len());
            self.take(
                detector
                    .process(Frame::i16(&rest[..take]))
                    .expect("good frames"),
            );
            rest = &rest[take..];
        }
    }
}

fn config(rate: SampleRate) -> DetectorConfig {
    DetectorConfig::new(rate)
        .turn_model(Some(TurnModelOptions::new(Probability::clamped(0.5))))
        .endpointing(Endpointing::fixed(ms(300), ms(2500)))
}

fn detector(case: &Clip) -> Detector {
    Detector::new(config(case.rate), common::vad()).expect("valid")
}

#[test]
fn block_sizes_do_not_show_in_the_features() {
    let case = conversation();
    let mut expected = Listener::new();
    expected.hear(&mut detector(&case), &case.pcm, &[480]);
    assert!(expected.asked.len() >= 4);
    for blocks in [&[1_000_000][..], &[1, 7, 4_000], &[1_536], &[333]] {
        let mut listener = Listener::new();
        listener.hear(&mut detector(&case), &case.pcm, blocks);
        assert_eq!(listener.asked.len(), expected.asked.len());
        for (a, b) in listener.asked.iter().zip(&expected.asked) {
            assert_eq!((a.query, a.ready), (b.query, b.ready));
            assert!(a.samples == b.samples && a.features == b.features);
        }
    }
}

/// A detector that computes no frames passes every test of equality.
#[test]
fn frames_are_ready_when_the_model_asks() {
    let case = conversation();
    let mut listener = Listener::new();
    listener.hear(&mut detector(&case), &case.pcm, &[480]);
    for asked in &listener.asked {
        let whole = (asked.samples.len() / 160).min(800);
        // Two at each edge, and what is not caught up in a turn under 0.8 s.
        let needed = if whole < 80 { 20 } else { whole - 4 };
        assert!(asked.ready >= needed, "{} of {whole} ready", asked.ready);
    }
    let options = TurnModelOptions {
        mel_frames: false,
        ..TurnModelOptions::new(Probability::clamped(0.5))
    };
    let off = config(case.rate).turn_model(Some(options));
    let mut off = Detector::new(off, common::vad()).expect("valid");
    assert_eq!(
        detector(&case).retained_bytes() - off.retained_bytes(),
        800 * 336
    );
    let mut without = Listener::new();
    without.hear(&mut off, &case.pcm, &[480]);
    for (a, b) in listener.asked.iter().zip(&without.asked) {
        assert_eq!(b.ready, 0);
        assert!(a.features == b.features);
    }
}

/// On a constant, so that silence is a step.
#[test]
fn a_gap_in_a_turn_is_silence_in_its_features() {
    let case = conversation();
    let mut detector = Detector::new(
        config(case.rate).endpointing(Endpointing::fixed(ms(2000), ms(5000))),
        common::vad(),
    )
    .expect("valid");
    let mut listener = Listener::new();
    let shifted: Vec<i16> = case.pcm.iter().map(|v| v.saturating_add(9_000)).collect();
    for (range, gap) in [
        (0..150_001, 7_777),
        (150_001..190_000, 48_000),
        (200_000..320_000, 1_000_000),
        (320_000..400_000, 1),
        (400_000..600_000, 0),
    ] {
        listener.hear(&mut detector, &shifted[range], &[480]);
        listener.take(detector.handle(Input::Gap(SampleCount(gap))).expect("room"));
    }
    assert!(listener.asked.len() >= 4, "{}", listener.asked.len());
    let most = listener.asked.iter().map(|asked| asked.ready).max();
    assert!(most > Some(300), "a long turn with frames: {most:?}");
}

#[test]
fn frames_of_another_rate_or_another_stream_are_never_mixed_in() {
    let case = conversation();
    let mut fresh = Listener::new();
    fresh.hear(&mut detector(&case), &case.pcm[..400_000], &[480]);
    let mut detector = detector(&case);
    let mut listener = Listener::new();
    // In the middle of a sentence, and at odd places of the grid.
    for (len, hz) in [
        (100_003, 48_000),
        (60_001, 44_100),
        (30_011, 8_000),
        (90_000, 48_000),
    ] {
        let pcm = case.recorded_at(40_000, len, hz, 1);
        for block in pcm.chunks(hz as usize / 100) {
            let frame = Frame::i16(block).at_rate(hz);
            listener.take(detector.process(frame).expect("good frames"));
        }
    }
    assert!(!listener.asked.is_empty());
    listener.take(detector.reset());
    // As new: on the same grid.
    let mut again = Listener::new();
    again.hear(&mut detector, &case.pcm[..400_000], &[480]);
    assert_eq!(again.asked.len(), fresh.asked.len());
    for (a, b) in again.asked.iter().zip(&fresh.asked) {
        assert_eq!((a.query, a.ready), (b.query, b.ready));
        assert!(a.samples == b.samples && a.features == b.features);
    }
}

/// With the VAD at 8 kHz the turn has its own way from the input's rate to 16 kHz.
#[test]
fn telephone_audio_reaches_the_model_at_16_khz() {
    let vad = SileroVad::embedded(VadRate::Hz8000).expect("the embedded weights load");
    for name in ["speech-fr-8k", "conversation-en"] {
        let case = clip(name);
        let mut expected = vec![0.0; case.pcm.len() * 2];
        let mono: Vec<f32> = case.pcm.iter().map(|v| f32::from(*v) / 32768.0).collect();
        let mut resampler = Resampler::new(case.rate, SampleRate::HZ_16000).aligned();
        resampler.process(&mono, &mut expected);
        let options = everything(case.rate).endpointing(Endpointing::fixed(ms(300), ms(2500)));
        let mut detector = Detector::new(options, &vad).expect("valid");
        let mut listener = Listener::new();
        listener.hear(&mut detector, &case.pcm, &[case.rate.hz() as usize / 100]);
        assert!(!listener.asked.is_empty(), "{name}");
        for asked in &listener.asked {
            let heard = asked.query.decided_at.0 * 16_000 / u64::from(case.rate.hz());
            let delay = resampler.delay() as u64;
            let end = (heard - delay) / 160 * 160;
            let start = end as usize - asked.samples.len();
            assert!(asked.samples == expected[start..end as usize], "{name}");
            let turn = asked.query.decided_at.since(asked.query.start) + case.rate.samples(ms(500));
            let turn = (turn.0 * 16_000 / u64::from(case.rate.hz())).min(128_000) as usize;
            // Less is there only at the stream's beginning.
            assert!(start == 0 || (turn - 160..=turn + 1).contains(&asked.samples.len()));
            assert!(asked.ready + 40 >= asked.samples.len() / 160);
        }
    }
}

/// Silence costs nothing and gives nothing: no frame is computed outside a turn.
#[test]
fn nothing_is_computed_while_nobody_speaks() {
    let case = conversation();
    let mut detector = detector(&case);
    let mut listener = Listener::new();
    listener.hear(&mut detector, &vec![0; 480_000], &[480]);
    listener.hear(&mut detector, &case.pcm[..200_000], &[480]);
    let first = &listener.asked[0];
    // Ten seconds of silence came before: were they computed, the ring would be full.
    assert!(
        first.ready <= first.samples.len() / 160 + 10,
        "{}",
        first.ready
    );
}
