//! Shared input and helpers of the benchmarks.

use std::path::Path;

/// The recording of the README: 17 s of real speech with pauses, 48 kHz mono.
///
/// # Panics
/// If the fixture is not there.
pub fn conversation() -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/conversation-en/audio.wav");
    let mut reader = hound::WavReader::open(&path)
        .unwrap_or_else(|error| panic!("fixture {} cannot be read: {error}", path.display()));
    let samples: Result<_, _> = reader.samples::<i16>().collect();
    samples.unwrap_or_else(|error| panic!("fixture {} is damaged: {error}", path.display()))
}

/// The value that `share` of the sorted `values` do not exceed.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_sorted_values() {
        let values: Vec<f64> = (0..=1000).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 500.0);
        assert_eq!(percentile(&values, 0.999), 999.0);
        assert_eq!(percentile(&values, 1.0), 1000.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
