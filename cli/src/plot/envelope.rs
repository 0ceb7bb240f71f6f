//! The outline of a waveform of any length in bounded memory.

/// Smallest and largest value of each stretch of equal length.
///
/// When the bins are full, neighbours are merged and every bin covers twice the time: hours of audio
/// take as much memory as a minute.
#[derive(Clone, Debug)]
pub struct Envelope {
    bins: Vec<(f32, f32)>,
    samples_per_bin: u64,
    in_last: u64,
    peak: f32,
}

/// Two to four bins for each pixel of a plot 1400 wide.
const MAX_BINS: usize = 6000;

impl Default for Envelope {
    fn default() -> Self {
        Self {
            bins: Vec::with_capacity(MAX_BINS),
            samples_per_bin: 1,
            in_last: 0,
            peak: 0.0,
        }
    }
}

impl Envelope {
    /// Appends one sample.
    pub fn push(&mut self, value: f32) {
        let value = if value.is_finite() { value } else { 0.0 };
        self.peak = self.peak.max(value.abs());
        if self.in_last == 0 || self.in_last == self.samples_per_bin {
            if self.bins.len() == MAX_BINS {
                self.halve();
            }
            self.bins.push((value, value));
            self.in_last = 1;
            return;
        }
        let last = self.bins.last_mut().expect("a bin is open");
        last.0 = last.0.min(value);
        last.1 = last.1.max(value);
        self.in_last += 1;
    }

    fn halve(&mut self) {
        self.bins = self
            .bins
            .chunks(2)
            .map(|pair| {
                let last = pair[pair.len() - 1];
                (pair[0].0.min(last.0), pair[0].1.max(last.1))
            })
            .collect();
        self.bins.reserve(MAX_BINS - self.bins.len());
        self.samples_per_bin *= 2;
    }

    /// Largest magnitude.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// Range of the samples from `start` to `end`, as precisely as the bins allow; `None` where there are none.
    pub fn range(&self, start: f64, end: f64) -> Option<(f32, f32)> {
        let per_bin = self.samples_per_bin as f64;
        let first = (start / per_bin).floor().max(0.0) as usize;
        let last =
            ((end / per_bin).ceil() as usize).clamp(first + 1, self.bins.len().max(first + 1));
        self.bins
            .get(first..last)?
            .iter()
            .copied()
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peak_survives_any_length() {
        for len in [10_u64, 5_999, 6_000, 6_001, 100_003] {
            let mut envelope = Envelope::default();
            let spike = len * 2 / 3;
            for n in 0..len {
                envelope.push(if n == spike { -0.75 } else { 0.01 });
            }
            assert_eq!(envelope.peak(), 0.75);
            let around = envelope
                .range(spike as f64, spike as f64 + 1.0)
                .expect("inside");
            assert_eq!(around.0, -0.75, "length {len}");
            let whole = envelope.range(0.0, len as f64).expect("inside");
            assert_eq!(whole, (-0.75, 0.01));
            // Far from the spike there is none.
            assert_eq!(envelope.range(0.0, 1.0).expect("inside").0, 0.01);
            assert!(
                envelope
                    .range(len as f64 * 2.0, len as f64 * 2.0 + 1.0)
                    .is_none()
            );
        }
    }
}
