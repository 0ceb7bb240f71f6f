//! Whatever comes, nothing panics, nothing grows, and time goes on.
//!
//! `LISTENKIT_FUZZ` multiplies the work: 50 gives a million packets. `LISTENKIT_SEED` gives others.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Heard, ms, packets, play, sent};
use listenkit_rtp_audio::{Kind, Receiver, ReceiverOptions};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

fn scale() -> u64 {
    let told = std::env::var("LISTENKIT_FUZZ").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(1)
}

/// A packet that is real, mutated or nonsense.
fn payload(random: &mut Random, real: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = real[random.below(real.len() as u64) as usize].clone();
    match random.below(10) {
        0..3 => {}
        // Bits flipped.
        3..5 => {
            for _ in 0..=random.below(20) {
                let at = random.below(payload.len().max(1) as u64) as usize;
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        // Another mode, bandwidth, length or number of frames.
        5 => {
            if let Some(toc) = payload.first_mut() {
                *toc = random.next() as u8;
            }
        }
        // Cut short, or with a tail.
        6 => payload.truncate(random.below(payload.len() as u64 + 1) as usize),
        7 => payload.extend((0..random.below(1_600)).map(|_| random.next() as u8)),
        // Nonsense of any length.
        _ => {
            let size = match random.below(4) {
                0 => random.below(4),
                1 => random.below(40),
                2 => random.below(400),
                _ => random.below(1_700),
            };
            let constant = random.one_in(4).then(|| random.next() as u8);
            payload = (0..size)
                .map(|_| constant.unwrap_or(random.next() as u8))
                .collect();
        }
    }
    payload
}

#[test]
fn no_bytes_panic_the_decoder() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    // The receiver catches what the codec does; here it counts.
    let own = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        if std::thread::current().id() == own {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let real: Vec<Vec<u8>> = ["silk", "silk-10ms", "hybrid", "celt", "stereo", "pause"]
        .iter()
        .flat_map(|name| packets(name))
        .filter(|packet| !packet.is_empty())
        .collect();
    let formats = [
        (8_000, 1),
        (16_000, 1),
        (16_000, 2),
        (24_000, 1),
        (24_000, 2),
        (44_100, 2),
        (48_000, 1),
        (48_000, 2),
    ];
    let seed: u64 = std::env::var("LISTENKIT_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    for round in 0..40 * scale() {
        let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(round));
        let (rate, channels) = formats[random.below(formats.len() as u64) as usize];
        let mut receiver = Receiver::new(&ReceiverOptions::new(rate, channels)).expect("a decoder");
        let begun = Instant::now();
        let (mut now, mut sequence, mut time) = (begun, random.next() >> 20, random.next() as u32);
        // Half of the rounds are played as real streams are, so that the decoder is deep in its states.
        let tame = round % 2 == 0;
        for _ in 0..500 {
            let bytes = payload(&mut random, &real);
            receiver.push(sequence, time, now, &bytes);
            while receiver.poll(now).is_some() {}
            sequence += match random.below(30) {
                0 if !tame => random.below(1 << 40),
                0..4 => 1 + random.below(3),
                4 => 0,
                _ => 1,
            };
            if !tame && random.one_in(50) {
                sequence = sequence.saturating_sub(random.below(100));
            }
            time = match random.below(40) {
                0 if !tame => random.next() as u32,
                0..3 => time.wrapping_add(random.below(5_000) as u32),
                _ => time.wrapping_add(960),
            };
            now += match random.below(40) {
                0 => ms(random.below(1_000)),
                1 => ms(0),
                _ => ms(20),
            };
        }
        assert_eq!(
            PANICS.load(Ordering::Relaxed),
            0,
            "round {round} of seed {seed}"
        );
    }
}

#[test]
fn any_packets_at_any_time_give_no_more_than_time_and_five_seconds() {
    let real = packets("silk");
    let longest = [vec![0xfb, 6], vec![0x55; 600]].concat();
    for kind in 0..6_u64 {
        let mut random = Random(kind);
        let mut receiver = Receiver::new(&ReceiverOptions::default()).expect("a decoder");
        let begun = Instant::now();
        let mut heard = Heard::default();
        let (mut sequence, mut time) = (0_u64, 0_u32);
        for nth in 0..5_000_u32 {
            let now = begun + Duration::from_micros(500) * nth;
            receiver.push(
                sequence,
                time,
                now,
                if kind == 0 { &longest } else { &real[30] },
            );
            match kind {
                // 120 ms of audio every half a millisecond.
                0 => (sequence, time) = (sequence + 1, time.wrapping_add(5_760)),
                // Time jumps ahead by half a second with each packet.
                1 => (sequence, time) = (sequence + 1, time.wrapping_add(24_000)),
                // And by half a day.
                2 => (sequence, time) = (sequence + 1, time.wrapping_add(0x7fff_0000)),
                // Holes of a thousand packets.
                3 => (sequence, time) = (sequence + 1_000, time.wrapping_add(960_000)),
                // Sequence numbers at the end of all numbers.
                4 => (sequence, time) = (u64::MAX - u64::from(nth % 7), time.wrapping_sub(960)),
                _ => (sequence, time) = (random.next(), random.next() as u32),
            }
            heard.read(&mut receiver, begun, now);
        }
        let most = (2_500 + 5_000 + 1_000) / 10;
        assert!(
            heard.blocks.len() <= most,
            "kind {kind}: {}",
            heard.blocks.len()
        );
    }
}

#[test]
fn after_an_attack_a_good_stream_is_heard_again() {
    let mut receiver = Receiver::new(&ReceiverOptions::default()).expect("a decoder");
    let mut random = Random(3);
    let begun = Instant::now();
    for nth in 0..2_000_u32 {
        let bytes: Vec<u8> = (0..random.below(300))
            .map(|_| random.next() as u8)
            .collect();
        let now = begun + ms(5) * nth;
        receiver.push(random.below(1 << 20), random.next() as u32, now, &bytes);
        while receiver.poll(now).is_some() {}
    }
    // As a transport does when the stream has another source.
    receiver.restart();
    let heard = play_from(&mut receiver, begun + ms(20_000));
    assert!(
        heard.count(Kind::Heard) == 200,
        "{}",
        heard.count(Kind::Heard)
    );
}

fn play_from(receiver: &mut Receiver, begun: Instant) -> Heard {
    let mut heard = Heard::default();
    for datagram in sent(&packets("silk"), 960) {
        let now = begun + datagram.arrives;
        receiver.push(datagram.sequence, datagram.time, now, &datagram.payload);
        heard.read(receiver, begun, now);
    }
    heard
}

#[test]
fn a_clock_that_goes_backwards_does_no_harm() {
    let mut receiver = Receiver::new(&ReceiverOptions::default()).expect("a decoder");
    let all = packets("silk");
    let begun = Instant::now() + Duration::from_secs(100);
    let mut blocks = 0;
    for (nth, packet) in all.iter().enumerate() {
        let now = begun + ms(20) * nth as u32 - ms(if nth % 10 == 0 { 5_000 } else { 0 });
        receiver.push(nth as u64, nth as u32 * 960, now, packet);
        while receiver.poll(now).is_some() {
            blocks += 1;
        }
    }
    assert!((200..=230).contains(&blocks), "{blocks}");
    // An empty stream, played: nothing to do.
    assert!(play(&mut receiver, Vec::new(), ms(0)).blocks.is_empty());
}
