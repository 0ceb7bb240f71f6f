//! Raw `f32` little-endian samples from standard input to standard output, at another rate.
//!
//! `resample_raw FROM_HZ TO_HZ`. Pushes 10 ms at a time, writes the aligned stream with its tail, and
//! says on standard error how far a reader lags (`lag_s`) and how many times real time it ran (`xrt`,
//! resampling alone, best of five runs).

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use listenkit::SampleRate;
use listenkit::resample::{Resampler, ResamplerDesign};

fn main() -> Result<(), Box<dyn Error>> {
    let rates: Vec<u32> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    let &[from, to] = rates.as_slice() else {
        return Err("usage: resample_raw FROM_HZ TO_HZ < in.f32 > out.f32".into());
    };
    let design = Arc::new(ResamplerDesign::new(
        SampleRate::new(from)?,
        SampleRate::new(to)?,
    ));
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let (words, _) = bytes.as_chunks::<4>();
    let input: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();

    let mut resampler = Resampler::with_design(Arc::clone(&design)).aligned();
    let mut output = vec![0.0; resampler.output_len_max(input.len())];
    let push = (from as usize / 100).max(1);
    let mut best = f64::INFINITY;
    let mut len = 0;
    let mut lag = 0.0f64;
    for _ in 0..5 {
        resampler.reset();
        len = 0;
        let start = Instant::now();
        for samples in input.chunks(push) {
            len += resampler.process(samples, &mut output[len..]).written;
        }
        best = best.min(start.elapsed().as_secs_f64());
        let taken = input.len() as f64 / f64::from(from);
        lag = lag.max(taken - len as f64 / f64::from(to));
        len += resampler.flush(&mut output[len..]);
    }
    let seconds = input.len() as f64 / f64::from(from);
    eprintln!("lag_s={lag:.6} xrt={:.0}", seconds / best);

    let bytes: Vec<u8> = output[..len]
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    std::io::stdout().lock().write_all(&bytes)?;
    Ok(())
}
