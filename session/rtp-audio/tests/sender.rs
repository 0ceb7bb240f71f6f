//! What is sent, heard by a decoder that was checked against libopus.

mod common;

use std::time::Duration;

use common::{ms, packets, play, sent, snr};
use listenkit_rtp_audio::{Error, Receiver, ReceiverOptions, Sender, SenderOptions};

/// Half a second of a voice at 24 kHz, from libopus's own packets.
fn voice() -> Vec<i16> {
    let mut receiver = Receiver::new(&ReceiverOptions::new(24_000, 1)).expect("a decoder");
    play(&mut receiver, sent(&packets("hybrid"), 960), ms(1_000)).samples
}

fn coded(sender: &mut Sender, pcm: &[i16], channels: usize) -> Vec<Vec<u8>> {
    let size = sender.packet_samples() * channels;
    let packets = pcm.chunks_exact(size);
    packets
        .map(|packet| sender.encode(packet).expect("coded").to_vec())
        .collect()
}

#[test]
fn a_voice_comes_back() {
    let voice = voice();
    for (packet, low_delay, least) in [(20, true, 15.0), (10, true, 12.0), (20, false, 6.0)] {
        let mut options = SenderOptions::default();
        options.packet = ms(packet);
        options.low_delay = low_delay;
        let mut sender = Sender::new(&options).expect("an encoder");
        let ticks = sender.packet_ticks();
        assert_eq!(u64::from(ticks), packet * 48);
        let payloads = coded(&mut sender, &voice, 1);
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        let rate = bytes as f64 * 8.0 / (voice.len() as f64 / 24_000.0);
        assert!((40_000.0..56_000.0).contains(&rate), "{rate} bit/s");
        let mut receiver = Receiver::new(&ReceiverOptions::new(24_000, 1)).expect("a decoder");
        let heard = play(&mut receiver, sent(&payloads, ticks), ms(1_000)).samples;
        // 2.5 ms (CELT) or 6.5 ms (SILK) later, as libopus has it. A model of a voice keeps the wave less well than its sound.
        let delay = if low_delay { 60 } else { 154 };
        let found = snr(&voice[..20_000], &heard[delay..][..20_000]);
        assert!(
            found > least,
            "{found} dB with {packet} ms, low delay: {low_delay}"
        );
    }
}

#[test]
fn any_rate_and_two_channels_are_sent() {
    for rate in [
        8_000, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
    ] {
        for channels in [1, 2] {
            let mut sender = Sender::new(&SenderOptions::new(rate, channels)).expect("an encoder");
            assert_eq!(sender.packet_samples(), rate as usize / 50);
            let tone: Vec<i16> = (0..rate)
                .flat_map(|at| {
                    let angle = f64::from(at) * std::f64::consts::TAU * 440.0 / f64::from(rate);
                    let sample = (8_000.0 * angle.sin()) as i16;
                    [sample, sample / 2].into_iter().take(channels as usize)
                })
                .collect();
            let payloads = coded(&mut sender, &tone, channels as usize);
            let mut receiver =
                Receiver::new(&ReceiverOptions::new(16_000, channels)).expect("a decoder");
            let heard = play(&mut receiver, sent(&payloads, 960), ms(1_000)).samples;
            for channel in 0..channels as usize {
                let steady = heard
                    .chunks(channels as usize)
                    .skip(8_000)
                    .map(|frame| f64::from(frame[channel]));
                let power = steady.map(|sample| sample * sample).sum::<f64>() / 8_000.0;
                let expected = 8_000.0 / (1.0 + channel as f64) / std::f64::consts::SQRT_2;
                let found = power.sqrt() / expected;
                assert!(
                    (0.95..1.05).contains(&found),
                    "{found} at {rate} Hz, channel {channel} of {channels}"
                );
            }
        }
    }
}

#[test]
fn digital_silence_is_told_and_then_not_sent() {
    let mut sender = Sender::new(&SenderOptions::default()).expect("an encoder");
    let voice = voice();
    let silence = vec![0; 480];
    assert!(sender.encode(&voice[..480]).expect("coded").len() > 2);
    assert!(sender.begins());
    assert!(sender.encode(&voice[480..960]).expect("coded").len() > 2);
    assert!(!sender.begins());
    let lengths: Vec<usize> = (0..100)
        .map(|_| sender.encode(&silence).expect("coded").len())
        .collect();
    assert!(!sender.begins());
    assert_eq!(sender.level(), 127);
    // The tail, the word that there is a pause, nothing; the word again every 400 ms.
    assert!(lengths[0] > 2 && lengths[1] > 2);
    for (nth, &length) in lengths[2..].iter().enumerate() {
        assert_eq!(
            length,
            usize::from(nth % 20 == 0),
            "packet {nth} of the pause"
        );
    }
    assert!(sender.encode(&voice[960..1_440]).expect("coded").len() > 2);
    assert!(sender.begins());
    // The first packets are sent though they are silent.
    sender.reset();
    assert!(sender.encode(&silence).expect("coded").len() > 2);
    assert!(sender.begins());
    assert!(sender.encode(&silence).expect("coded").len() > 2);
    assert!(!sender.begins());
    assert_eq!(sender.reminder().len(), 1);
}

#[test]
fn a_pause_is_heard_as_one() {
    let mut sender = Sender::new(&SenderOptions::default()).expect("an encoder");
    let voice = voice();
    let pcm = [voice.as_slice(), &vec![0; 24_000 * 2], voice.as_slice()].concat();
    let payloads = coded(&mut sender, &pcm, 1);
    let quiet = payloads.iter().filter(|payload| payload.is_empty()).count();
    assert!(quiet >= 90, "{quiet}");
    let mut receiver = Receiver::new(&ReceiverOptions::new(24_000, 1)).expect("a decoder");
    let heard = play(&mut receiver, sent(&payloads, 960), ms(4_000));
    assert_eq!(heard.samples.len(), pcm.len());
    // 100 ms after its end nothing of the voice is left, and what follows is where it was.
    let pause = &heard.samples[26_400..71_900];
    assert!(pause.iter().all(|&sample| sample.abs() < 10));
    let found = snr(
        &voice[2_400..20_000],
        &heard.samples[72_060 + 2_400..][..17_600],
    );
    assert!(found > 15.0, "{found}");
}

#[test]
fn loudness_is_told_as_the_header_wants_it() {
    let mut sender = Sender::new(&SenderOptions::default()).expect("an encoder");
    let square: Vec<i16> = (0..480)
        .map(|at| if at / 24 % 2 == 0 { 3_277 } else { -3_277 })
        .collect();
    sender.encode(&square).expect("coded");
    assert_eq!(sender.level(), 20);
    sender.encode(&[i16::MIN; 480]).expect("coded");
    assert_eq!(sender.level(), 0);
}

#[test]
fn what_is_no_packet_is_refused() {
    let mut sender = Sender::new(&SenderOptions::default()).expect("an encoder");
    assert_eq!(
        sender.encode(&[0; 479]).err(),
        Some(Error::Length {
            given: 479,
            expected: 480
        })
    );
    for micros in [0, 5_000, 15_000, 40_000, u64::MAX / 2_000_000_000] {
        let mut options = SenderOptions::default();
        options.packet = Duration::from_micros(micros);
        assert!(
            matches!(Sender::new(&options), Err(Error::Packet { .. })),
            "{micros}"
        );
    }
    assert!(matches!(
        Sender::new(&SenderOptions::new(11_025, 1)),
        Err(Error::Packet { .. })
    ));
    assert!(matches!(
        Sender::new(&SenderOptions::new(24_000, 3)),
        Err(Error::Format { .. })
    ));
    assert!(matches!(
        Sender::new(&SenderOptions::new(1, 1)),
        Err(Error::Format { .. })
    ));
}

#[test]
fn the_loudest_and_strangest_audio_is_encoded() {
    let mut state = 7_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for low_delay in [true, false] {
        for (rate, channels) in [(8_000, 1), (16_000, 2), (24_000, 1), (48_000, 2)] {
            for bitrate in [0, 6_000, 48_000, u32::MAX] {
                let mut options = SenderOptions::new(rate, channels);
                (options.low_delay, options.bitrate) = (low_delay, bitrate);
                let mut sender = Sender::new(&options).expect("an encoder");
                for nth in 0..60 {
                    let size = sender.packet_samples() * channels as usize;
                    let pcm: Vec<i16> = (0..size)
                        .map(|at| match nth / 4 % 5 {
                            0 => random() as i16,
                            1 => [i16::MIN, i16::MAX][at / 7 % 2],
                            2 => i16::from(at == 3),
                            3 => 0,
                            _ => [i16::MAX, i16::MIN][usize::from(random() % 50 == 0)],
                        })
                        .collect();
                    let payload = sender.encode(&pcm).expect("coded");
                    assert!(payload.len() <= 1_276);
                }
            }
        }
    }
}
