//! What the tests share: packets from files, and a stream that is played to a receiver.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use listenkit_rtp_audio::{Kind, Receiver};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The packets of a file; an empty one was not sent.
pub(crate) fn packets(name: &str) -> Vec<Vec<u8>> {
    let bytes = fs::read(path(&format!("{name}.opus-packets"))).expect("a committed file");
    let (mut rest, mut packets) = (bytes.as_slice(), Vec::new());
    while let [low, high, after @ ..] = rest {
        let (packet, after) = after.split_at(usize::from(u16::from_le_bytes([*low, *high])));
        packets.push(packet.to_vec());
        rest = after;
    }
    packets
}

/// Raw samples of a file.
pub(crate) fn pcm(name: &str) -> Vec<i16> {
    let bytes = fs::read(path(name)).expect("a committed file");
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

/// FNV-1a of the samples' bytes, as the script that made the files computes it.
pub(crate) fn fnv(samples: &[i16]) -> u64 {
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |value, byte| {
        (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Signal to noise ratio, in dB.
pub(crate) fn snr(reference: &[i16], other: &[i16]) -> f64 {
    assert_eq!(reference.len(), other.len());
    let square = |value: f64| value * value;
    let signal: f64 = reference.iter().map(|&a| square(f64::from(a))).sum();
    let noise = reference
        .iter()
        .zip(other)
        .map(|(&a, &b)| square(f64::from(a) - f64::from(b)));
    10.0 * (signal / noise.sum::<f64>().max(1e-9)).log10()
}

/// What a reader was given.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) samples: Vec<i16>,
    /// For each block of 10 ms: its kind, when it was given, and its age.
    pub(crate) blocks: Vec<(Kind, Duration, Duration)>,
}

impl Heard {
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.blocks.iter().filter(|block| block.0 == kind).count()
    }

    /// Reads all that is due.
    pub(crate) fn read(&mut self, receiver: &mut Receiver, begun: Instant, now: Instant) {
        while let Some(block) = receiver.poll(now) {
            self.samples.extend(block.samples);
            self.blocks.push((block.kind, now - begun, block.age));
        }
    }
}

/// A packet on its way.
#[derive(Clone)]
pub(crate) struct Datagram {
    pub(crate) sequence: u64,
    pub(crate) time: u32,
    pub(crate) arrives: Duration,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Packets of `size` ticks as a sender sends them: numbered if they are sent, and at hand when they are full.
pub(crate) fn sent(packets: &[Vec<u8>], size: u32) -> Vec<Datagram> {
    let all = packets.iter().enumerate();
    all.filter(|(_, payload)| !payload.is_empty())
        .enumerate()
        .map(|(sequence, (nth, payload))| Datagram {
            sequence: sequence as u64 + 1_000,
            time: (nth as u32 * size).wrapping_add(u32::MAX - 20_000), // wraps soon
            arrives: Duration::from_micros(u64::from(size) * 1_000 / 48) * (nth as u32 + 1),
            payload: payload.clone(),
        })
        .collect()
}

/// Plays datagrams, in the order of their arrival, and wakes the receiver when it asks, until `until`.
pub(crate) fn play(
    receiver: &mut Receiver,
    mut datagrams: Vec<Datagram>,
    until: Duration,
) -> Heard {
    datagrams.sort_by_key(|datagram| datagram.arrives);
    let begun = Instant::now();
    let mut heard = Heard::default();
    let mut next = datagrams.into_iter().peekable();
    loop {
        let woken = receiver
            .deadline()
            .map(|at| at.saturating_duration_since(begun));
        let arrival = next.peek().map(|datagram| datagram.arrives);
        let Some(now) = [woken, arrival]
            .into_iter()
            .flatten()
            .min()
            .filter(|&at| at <= until)
        else {
            return heard;
        };
        while let Some(datagram) = next.next_if(|datagram| datagram.arrives <= now) {
            let at = begun + datagram.arrives;
            receiver.push(datagram.sequence, datagram.time, at, &datagram.payload);
        }
        heard.read(receiver, begun, begun + now);
        let later = receiver
            .deadline()
            .map(|at| at.saturating_duration_since(begun));
        assert!(
            later.is_none_or(|at| at > now),
            "asks to be woken at once, again"
        );
    }
}
