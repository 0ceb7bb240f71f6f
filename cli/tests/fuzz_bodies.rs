//! The body of the fuzz target `wav`, on damaged files made from seeds: it keeps compiling, and it finds the shallow
//! bugs without a fuzzer.

#[path = "../../core/fuzz/bodies/wav.rs"]
mod wav;

use std::path::Path;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn damaged_wav_files_are_read_or_refused_without_a_panic() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let files = [
        "formats/u8.wav",
        "formats/i24-extensible.wav",
        "formats/f32.wav",
        "formats/odd-list-chunk.wav",
        "broken/data-length-unknown.wav",
    ];
    for file in files {
        let good = std::fs::read(fixtures.join(file)).expect("the fixture is there");
        // The header, and a little audio: damage further on is only other audio.
        let good = &good[..good.len().min(1500)];
        for seed in 0..400 {
            let mut seeded = Seeded(seed);
            let mut damaged = good.to_vec();
            for _ in 0..=seeded.below(6) {
                let at = seeded.below(100);
                // Lengths and counts break most at their ends.
                damaged[at] = [0, 1, 0x7F, 0x80, 0xFF, seeded.next() as u8][seeded.below(6)];
            }
            if seeded.below(3) == 0 {
                damaged.truncate(seeded.below(damaged.len()));
            }
            let outcome = std::panic::catch_unwind(|| wav::run(&damaged));
            assert!(outcome.is_ok(), "{file}, seed {seed}");
        }
    }
}
