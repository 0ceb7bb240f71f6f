//! Smart Turn over raw features: blocks of 80 x 800 little-endian `f32` on standard input, one probability a line.
//!
//! `smart_turn_raw [fast|exact] [portable|neon|avx2|avx512] [runs]`: with a number of runs every block is run that often,
//! and the shortest time is printed behind its probability, in milliseconds.

use listenkit::dsp::boxed_features;
use listenkit::{KernelLevel, Precision, SmartTurn};
use std::io::Read;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let precision = match arguments.next() {
        Some(name) => Precision::from_name(&name).ok_or("the precision is fast or exact")?,
        None => Precision::default(),
    };
    let smart_turn = match arguments.next() {
        Some(name) => {
            let level = KernelLevel::from_name(&name).ok_or("no kernel level of that name")?;
            SmartTurn::embedded_at(precision, level)?
        }
        None => SmartTurn::embedded(precision)?,
    };
    let runs: usize = arguments.next().map_or(Ok(0), |runs| runs.parse())?;
    let mut session = smart_turn.session();
    let mut features = boxed_features();
    let mut bytes = vec![0; 4 * features.len()];
    while std::io::stdin().read_exact(&mut bytes).is_ok() {
        let (values, _) = bytes.as_chunks::<4>();
        for (feature, bytes) in features.iter_mut().zip(values) {
            *feature = f32::from_le_bytes(*bytes);
        }
        let probability = session.probability(&features).value();
        let mut best = f64::INFINITY;
        for _ in 0..runs {
            let begun = Instant::now();
            std::hint::black_box(session.probability(&features));
            best = best.min(begun.elapsed().as_secs_f64());
        }
        if runs == 0 {
            println!("{probability}");
        } else {
            println!("{probability} {:.3}", best * 1e3);
        }
    }
    Ok(())
}
