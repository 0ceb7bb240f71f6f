//! The bodies of the fuzz targets, on inputs made from seeds: they keep compiling, and they find the shallow bugs
//! without a fuzzer.
#![cfg(feature = "embedded-models")]

mod common;

use common::Seeded;

#[path = "../fuzz/bodies/process.rs"]
mod process;
#[path = "../fuzz/bodies/weights.rs"]
mod weights;

fn bytes(seeded: &mut Seeded, len: usize) -> Vec<u8> {
    (0..len).map(|_| seeded.next() as u8).collect()
}

#[test]
fn scripts_of_random_bytes_break_no_promise() {
    let (mut ran, mut starts, mut starved) = (0, 0, 0);
    for seed in 0..60 {
        let mut seeded = Seeded(seed);
        let script = bytes(&mut seeded, 200);
        let outcome = std::panic::catch_unwind(|| process::run(&script));
        let heard = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        let heard = heard.expect("200 bytes are enough for the settings");
        ran += usize::from(heard.outputs > 0);
        starts += heard.starts;
        starved += heard.starved;
    }
    // Scripts that are refused, or that nobody speaks in, prove nothing.
    assert!(ran >= 50, "only {ran} of 60 scripts had anything to say");
    assert!(starts > 50, "only {starts} starts of speech");
    assert!(starved > 5, "only {starved} ends of speech for late frames");
}

#[test]
fn damaged_weights_are_refused_without_a_panic() {
    let good = listenkit_models::SILERO_VAD;
    let mut seeded = Seeded(1);
    weights::run(&[]);
    weights::run(&bytes(&mut seeded, 4096));
    for _ in 0..200 {
        let mut damaged = good[..1 + seeded.below(good.len())].to_vec();
        if seeded.next().is_multiple_of(2) {
            damaged = good.to_vec();
        }
        // Most damage near the front, where the structure is.
        let reach = if seeded.next().is_multiple_of(4) {
            damaged.len()
        } else {
            2048
        };
        let at = seeded.below(reach);
        if let Some(byte) = damaged.get_mut(at) {
            *byte ^= 1 << seeded.below(8);
        }
        weights::run(&damaged);
    }
}
