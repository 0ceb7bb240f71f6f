//! What a reader hears, beside libopus, and when.

mod common;

use std::time::{Duration, Instant};

use common::{Heard, fnv, ms, packets, pcm, play, sent, snr};
use listenkit_rtp_audio::{Error, Kind, Receiver, ReceiverOptions};

fn receiver(sample_rate: u32, channels: u32) -> Receiver {
    Receiver::new(&ReceiverOptions::new(sample_rate, channels)).expect("a format that is offered")
}

/// Plays a file in order and in time.
fn straight(name: &str, size: u32, sample_rate: u32, channels: u32) -> Heard {
    let datagrams = sent(&packets(name), size);
    let until = datagrams.last().expect("packets").arrives;
    play(&mut receiver(sample_rate, channels), datagrams, until)
}

#[test]
fn speech_is_decoded_bit_for_bit_as_libopus_does() {
    // Printed by `reference/libopus.py packets`.
    for (rate, hash) in [
        (16_000, 0x2719_cd97_a95b_fc8f),
        (24_000, 0xdbb7_b8b9_05be_3358),
        (48_000, 0xe769_eaa2_fa65_3a42),
    ] {
        let heard = straight("silk", 960, rate, 1);
        assert_eq!(
            fnv(&heard.samples[..rate as usize * 3 / 2]),
            hash,
            "{rate} Hz"
        );
    }
    let heard = straight("silk-10ms", 480, 16_000, 1);
    assert_eq!(fnv(&heard.samples), 0x16e2_7328_b830_d63a);
}

#[test]
fn music_and_wide_speech_are_decoded_as_libopus_does() {
    // Floating point: 16 bits allow 98 dB at full scale, and a last bit that falls otherwise now and then leaves more than 90.
    for (name, file, rate, channels) in [
        ("celt", "celt-16000.pcm", 16_000, 1),
        ("hybrid", "hybrid-24000.pcm", 24_000, 1),
        ("stereo", "stereo-16000.pcm", 16_000, 2),
    ] {
        let heard = straight(name, 960, rate, channels);
        let found = snr(&pcm(file), &heard.samples);
        assert!(found > 85.0, "{name}: {found} dB");
    }
}

#[test]
fn packets_in_order_are_given_when_they_come() {
    let heard = straight("silk", 960, 16_000, 1);
    assert_eq!(heard.blocks.len(), 200);
    for (nth, &(kind, at, age)) in heard.blocks.iter().enumerate() {
        assert_eq!(kind, Kind::Heard);
        assert_eq!(at, ms(20) * (nth as u32 / 2 + 1));
        // Half of the packet and the codec's look-ahead.
        assert_eq!(age, Duration::from_micros(16_500));
    }
}

#[test]
fn other_order_and_doubles_change_nothing_but_the_age() {
    let straight = straight("celt", 960, 16_000, 1);
    let mut datagrams = sent(&packets("celt"), 960);
    for nth in (10..datagrams.len() - 4).step_by(9) {
        // After the two packets that follow.
        datagrams[nth].arrives += ms(45);
        let mut double = datagrams[nth + 4].clone();
        double.arrives += ms(33);
        datagrams.push(double);
    }
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, datagrams, ms(1_000));
    assert!(heard.samples == straight.samples);
    assert_eq!(heard.count(Kind::Heard), 100);
    assert_eq!(receiver.counts().lost, 0);
    assert_eq!(receiver.counts().late, 4);
    // The first that waited: it came 45 ms late itself, the two behind it waited 25 and 5 ms.
    let ages: Vec<_> = heard.blocks[20..26].iter().map(|block| block.2).collect();
    let own = Duration::from_micros(16_500);
    assert_eq!(ages[0], own);
    assert_eq!(ages[2], own + ms(25));
    assert_eq!(ages[4], own + ms(5));
    let mean = receiver.take_age().expect("something was heard");
    assert!(mean > own && mean < own + ms(4), "{mean:?}");
    assert_eq!(receiver.take_age(), None);
}

#[test]
fn a_lost_packet_is_rebuilt_from_the_next_one_at_once() {
    let mut datagrams = sent(&packets("silk"), 960);
    let all = datagrams.clone();
    let mut nth = 0;
    datagrams.retain(|_| {
        nth += 1;
        (nth - 1) % 7 != 3
    });
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, datagrams, ms(2_000));
    // Every seventh lost, printed by `reference/libopus.py packets`: rebuilt where the encoder left a copy, and concealed where not.
    assert_eq!(fnv(&heard.samples), 0x950e_d9de_82c8_7c16);
    assert_eq!(heard.count(Kind::Concealed), 2 * 14);
    assert_eq!(receiver.counts().lost, 14);
    for (nth, block) in heard.blocks.iter().enumerate() {
        let lost = nth / 2 % 7 == 3;
        assert_eq!(block.0 == Kind::Concealed, lost, "block {nth}");
        let following = all.get(nth / 2 + 1).map(|datagram| &datagram.payload);
        let has_copy = following.is_some_and(|payload| payload[1] >> 6 & 1 == 1);
        if lost && has_copy {
            assert_eq!(
                block.1,
                ms(20) * (nth as u32 / 2 + 2),
                "with the next packet"
            );
        }
    }
}

#[test]
fn a_lost_packet_without_a_copy_is_waited_for_and_no_longer() {
    let mut datagrams = sent(&packets("celt"), 960);
    datagrams.remove(20);
    let heard = play(&mut receiver(16_000, 1), datagrams, ms(1_000));
    assert_eq!(heard.blocks.len(), 100);
    // The next one came at 440 ms and waited 60.
    for (nth, block) in heard.blocks.iter().enumerate() {
        let due = ms(20) * (nth as u32 / 2 + 1);
        let at = match nth {
            40..48 => ms(500),
            _ => due,
        };
        assert_eq!(block.1, at, "block {nth}");
        assert_eq!(block.0 == Kind::Concealed, (40..42).contains(&nth));
    }
    // What is not touched by the loss is as libopus has it. CELT recovers within a few packets.
    let found = snr(
        &pcm("celt-16000.pcm")[16_000 - 6_400..],
        &heard.samples[16_000 - 6_400..],
    );
    assert!(found > 40.0, "{found}");
}

#[test]
fn many_lost_packets_leave_the_time_as_it_was() {
    let mut datagrams = sent(&packets("silk"), 960);
    datagrams.drain(30..60);
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, datagrams, ms(2_000));
    assert_eq!(heard.blocks.len(), 200);
    assert_eq!(receiver.counts().lost, 30);
    assert_eq!(heard.count(Kind::Heard), 140);
    // Nothing came for 600 ms: after 200 the reader's time goes on without it.
    let behind = heard
        .blocks
        .iter()
        .enumerate()
        .map(|(nth, block)| block.1.saturating_sub(ms(10) * (nth as u32 + 1)));
    assert!(behind.max().expect("blocks") <= ms(210));
    let dying = &heard.samples[60 * 160..][..60 * 160];
    assert!(dying[20 * 160..].iter().all(|&sample| sample.abs() < 50));
}

#[test]
fn padding_is_no_hole() {
    let straight = straight("silk", 960, 16_000, 1);
    let mut datagrams = sent(&packets("silk"), 960);
    // Every tenth packet is followed by one of padding, with the time of the one before.
    let mut padded = Vec::new();
    for (nth, mut datagram) in datagrams.drain(..).enumerate() {
        datagram.sequence += padded.len() as u64 - nth as u64;
        let mut padding = datagram.clone();
        padded.push(datagram);
        if nth % 10 == 0 {
            padding.sequence += 1;
            padding.payload.clear();
            padded.push(padding);
        }
    }
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, padded, ms(2_000));
    assert!(heard.samples == straight.samples);
    assert!(
        heard
            .blocks
            .iter()
            .enumerate()
            .all(|(nth, block)| block.1 == ms(20) * (nth as u32 / 2 + 1))
    );
    assert_eq!(receiver.counts().broken, 0);
}

#[test]
fn while_the_sender_pauses_the_time_goes_on() {
    let datagrams = sent(&packets("pause"), 960);
    assert!(datagrams.len() < 120, "the sender pauses");
    let heard = play(&mut receiver(16_000, 1), datagrams, ms(3_500));
    // All of it, in time: never more than a step of 20 ms late, never early.
    assert_eq!(heard.blocks.len(), 350);
    for (nth, block) in heard.blocks.iter().enumerate() {
        let due = ms(10) * (nth as u32 + 1);
        assert!(
            block.1 >= due && block.1 <= due + ms(10),
            "block {nth} at {:?}",
            block.1
        );
    }
    assert!(
        heard.count(Kind::Silence) > 100,
        "{}",
        heard.count(Kind::Silence)
    );
    assert_eq!(heard.count(Kind::Concealed), 0);
    // Between the sender's packets the background goes on: neither nothing nor speech.
    for quiet in heard.samples[2 * 16_000..][..12_800].chunks(320) {
        let power: f64 = quiet.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / 320.0;
        assert!((1.0..200.0).contains(&power.sqrt()), "{}", power.sqrt());
    }
}

#[test]
fn silence_after_late_speech_is_in_time_for_two_seconds() {
    // 600 ms late in one go; then the sender pauses. The end of a turn is not to wait until the silence that was given meanwhile is taken back.
    let mut datagrams = sent(&packets("silk"), 960);
    for datagram in &mut datagrams[40..70] {
        datagram.arrives = ms(1_400);
    }
    let mut pause = datagrams.last().expect("packets").clone();
    pause.sequence += 1;
    pause.time = pause.time.wrapping_add(960);
    pause.arrives += ms(20);
    pause.payload.truncate(1);
    datagrams.push(pause);
    let heard = play(&mut receiver(16_000, 1), datagrams, ms(30_000));
    let after = heard.blocks.iter().filter(|block| block.1 > ms(2_020));
    let times: Vec<Duration> = after.map(|block| block.1).collect();
    for (nth, at) in times[..190].iter().enumerate() {
        assert_eq!(
            *at,
            ms(2_040) + ms(20) * (nth as u32 / 2),
            "block {nth} of the pause"
        );
    }
    assert!(
        (2_990..=3_000).contains(&heard.blocks.len()),
        "{}",
        heard.blocks.len()
    );
}

#[test]
fn losses_are_concealed_after_a_long_stall_too() {
    let mut datagrams = sent(&packets("silk"), 960);
    for datagram in &mut datagrams[10..80] {
        datagram.arrives = ms(1_610);
    }
    datagrams.remove(90);
    let heard = play(&mut receiver(16_000, 1), datagrams, ms(2_000));
    assert_eq!(heard.count(Kind::Heard), 198);
    let late = heard.blocks.iter().filter(|block| block.1 > ms(1_700));
    assert_eq!(late.filter(|block| block.0 == Kind::Concealed).count(), 2);
}

#[test]
fn a_late_packet_after_silence_is_not_lost_and_the_silence_is_taken_back() {
    let mut datagrams = sent(&packets("silk"), 960);
    let straight = straight("silk", 960, 16_000, 1);
    // The network holds everything for 500 ms, then delivers it at once; after the last packet nothing comes.
    for datagram in &mut datagrams[40..65] {
        datagram.arrives = ms(1_300);
    }
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, datagrams.clone(), ms(2_000));
    assert_eq!(heard.count(Kind::Heard), 200, "nothing is lost");
    let speech: Vec<i16> = heard
        .samples
        .chunks(160)
        .zip(&heard.blocks)
        .filter(|(_, block)| block.0 == Kind::Heard)
        .flat_map(|(samples, _)| samples.to_vec())
        .collect();
    assert_eq!(speech.len(), straight.samples.len());
    let extra = heard.blocks.len() - 200;
    assert!((40..=50).contains(&extra), "{extra}");
    // Half a minute later the reader's time is the sender's again.
    let mut receiver = self::receiver(16_000, 1);
    let heard = play(&mut receiver, datagrams, ms(30_000));
    assert!(
        (2_990..=3_000).contains(&heard.blocks.len()),
        "{}",
        heard.blocks.len()
    );
}

#[test]
fn speech_that_is_only_late_gets_no_silence_inside() {
    let mut datagrams = sent(&packets("silk"), 960);
    for datagram in &mut datagrams[40..48] {
        datagram.arrives = ms(980);
    }
    let heard = play(&mut receiver(16_000, 1), datagrams, ms(2_000));
    assert!(heard.samples == straight("silk", 960, 16_000, 1).samples);
}

#[test]
fn nothing_is_given_before_the_first_packet_and_silence_for_ever_after_the_last() {
    let mut receiver = receiver(16_000, 1);
    let begun = Instant::now();
    assert_eq!(receiver.deadline(), None);
    assert!(receiver.poll(begun + ms(10_000)).is_none());
    receiver.push(1, 0, begun, &[]);
    assert!(receiver.poll(begun + ms(10_000)).is_none());
    let mut receiver = self::receiver(16_000, 1);
    let datagrams = sent(&packets("silk"), 960);
    let hour = Duration::from_secs(3_600);
    let heard = play(&mut receiver, datagrams, hour);
    assert!(
        (359_980..=360_000).contains(&heard.blocks.len()),
        "{}",
        heard.blocks.len()
    );
    assert!(
        heard.samples[2 * 16_000 + 8_000..]
            .iter()
            .all(|&sample| sample == 0)
    );
    // It does not wake its caller for each block of that.
    let wakes = heard
        .blocks
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .count();
    assert!(wakes < 36_500, "{wakes}");
}

#[test]
fn a_sender_with_a_fast_clock_is_followed() {
    // One part in two hundred too fast, speech and pauses in turn, ten minutes.
    let speech = packets("silk");
    let mut datagrams = Vec::new();
    let mut time = 0_u32;
    for nth in 0..(10 * 60 * 50_u32) {
        let pausing = nth % 250 >= 100;
        if !pausing || nth % 250 == 100 {
            let payload = if pausing {
                vec![speech[0][0]]
            } else {
                speech[(nth % 250) as usize].clone()
            };
            datagrams.push(common::Datagram {
                sequence: datagrams.len() as u64,
                time,
                arrives: Duration::from_micros(u64::from(nth + 1) * 19_900),
                payload,
            });
        }
        time = time.wrapping_add(960);
    }
    let until = datagrams.last().expect("packets").arrives;
    let total = datagrams.last().expect("packets").time / 480 + 2;
    let heard = play(&mut receiver(16_000, 1), datagrams, until);
    assert_eq!(heard.blocks.len(), total as usize);
    assert_eq!(heard.count(Kind::Heard), 2 * 100 * 120);
}

#[test]
fn jitter_in_a_long_pause_adds_up_to_nothing() {
    // A minute of a pause as encoders send it: a packet of background and one without frames every 400 ms, up to 60 ms late.
    let background = packets("pause")[60].clone();
    let mut datagrams = sent(&packets("silk"), 960);
    let end = datagrams.last().expect("packets").clone();
    for nth in 0..300_u32 {
        let late = ms(u64::from(nth * 7_919 % 61));
        let time = 1 + 20 * (nth / 2) + nth % 2;
        datagrams.push(common::Datagram {
            sequence: end.sequence + 1 + u64::from(nth),
            time: end.time.wrapping_add(960 * time),
            arrives: end.arrives + ms(20) * time + late,
            payload: if nth % 2 == 0 {
                background.clone()
            } else {
                vec![background[0]]
            },
        });
    }
    let heard = play(&mut receiver(16_000, 1), datagrams, ms(62_000));
    let now = heard.blocks.len();
    assert!((6_190..=6_206).contains(&now), "{now}");
}

#[test]
fn a_sender_that_begins_anew_is_heard_after_a_second() {
    let first = sent(&packets("silk"), 960);
    let mut second = sent(&packets("silk"), 960);
    for datagram in &mut second {
        datagram.sequence -= 900;
        datagram.time = datagram.time.wrapping_sub(1_000_000_000);
        datagram.arrives += ms(2_000);
    }
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, [first, second].concat(), ms(4_000));
    assert_eq!(heard.count(Kind::Heard), 200 + 2 * 51);
}

#[test]
fn a_restart_goes_on_with_other_numbers() {
    let mut receiver = receiver(16_000, 1);
    let heard = play(&mut receiver, sent(&packets("silk"), 960), ms(2_000));
    assert_eq!(heard.blocks.len(), 200);
    receiver.restart();
    assert_eq!(receiver.deadline(), None);
    let mut datagrams = sent(&packets("silk"), 960);
    for datagram in &mut datagrams {
        datagram.sequence = datagram.sequence * 7 / 7 - 1_000;
        datagram.time = datagram.time.wrapping_add(77);
    }
    let again = play(&mut receiver, datagrams, ms(2_000));
    assert!(again.samples == heard.samples);
}

#[test]
fn a_reader_that_does_not_read_keeps_two_seconds_of_the_newest() {
    let mut receiver = receiver(16_000, 1);
    let begun = Instant::now();
    let all = packets("silk");
    for nth in 0..1_000_u32 {
        let now = begun + ms(20) * nth;
        receiver.push(
            u64::from(nth),
            nth * 960,
            now,
            &all[nth as usize % all.len()],
        );
    }
    let mut heard = Heard::default();
    heard.read(&mut receiver, begun, begun + ms(20_000));
    assert!(heard.blocks.len() <= 400 + 20, "{}", heard.blocks.len());
    assert!(heard.count(Kind::Heard) >= 390);
    assert_eq!(receiver.counts().dropped, 800);
}

#[test]
fn any_rate_and_two_channels_have_the_tone() {
    use listenkit_rtp_audio::{Sender, SenderOptions};
    let mut options = SenderOptions::new(48_000, 1);
    options.bitrate = 96_000;
    let mut sender = Sender::new(&options).expect("an encoder");
    let tone: Vec<i16> = (0..48_000 * 2)
        .map(|at| {
            (8_000.0 * (f64::from(at) * std::f64::consts::TAU * 440.0 / 48_000.0).sin()) as i16
        })
        .collect();
    let coded: Vec<Vec<u8>> = tone
        .chunks(960)
        .map(|packet| sender.encode(packet).expect("coded").to_vec())
        .collect();
    for rate in [
        8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
    ] {
        for channels in [1, 2] {
            let mut receiver = receiver(rate, channels);
            let heard = play(&mut receiver, sent(&coded, 960), ms(2_000));
            let one: Vec<i16> = heard
                .samples
                .chunks(channels as usize)
                .map(|frame| {
                    assert!(frame.iter().all(|&sample| sample == frame[0]));
                    frame[0]
                })
                .collect();
            let expected = rate as usize * 2;
            assert!(
                one.len() <= expected && one.len() + rate as usize / 100 + 2 > expected,
                "{} at {rate}",
                one.len()
            );
            let steady = &one[rate as usize..][..rate as usize / 2];
            let (mut re, mut im) = (0.0, 0.0);
            for (at, &sample) in steady.iter().enumerate() {
                let angle = at as f64 * std::f64::consts::TAU * 440.0 / f64::from(rate);
                re += f64::from(sample) * angle.cos();
                im += f64::from(sample) * angle.sin();
            }
            let amplitude = 2.0 * f64::hypot(re, im) / steady.len() as f64;
            // Coding a sine costs some percent.
            assert!(
                (amplitude - 8_000.0).abs() < 400.0,
                "{amplitude} at {rate} Hz, {channels} channels"
            );
        }
    }
}

#[test]
fn formats_that_are_not_offered_are_refused() {
    for (sample_rate, channels) in [
        (0, 1),
        (3_999, 1),
        (200_000, 1),
        (16_000, 0),
        (16_000, 3),
        (u32::MAX, u32::MAX),
    ] {
        let error = Receiver::new(&ReceiverOptions::new(sample_rate, channels)).err();
        assert!(
            matches!(error, Some(Error::Format { .. })),
            "{sample_rate} {channels} {error:?}"
        );
    }
}
