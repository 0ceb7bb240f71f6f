//! Filter tables for one pair of rates.
//!
//! With the rates reduced to a fraction, `phases / step` = to / from, output k of the stream sits at
//! input position k · step / phases. Everything here is integer arithmetic on that fraction; only the
//! coefficients are real numbers.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use listenkit_kernels::{AlignedVec, KernelLevel, Level, fir};

use super::kernel::{HALF_WIDTH, impulse_response};
use crate::units::SampleRate;

/// Largest exact table, in coefficients (512 KiB). It holds every pair of usual rates: the largest of
/// them, 192 to 11.025 kHz, needs 124,656.
const MAX_TABLE: usize = 1 << 17;

/// Rows per period of the lower rate in an interpolated table.
///
/// Linear interpolation errs by at most spacing² / 8 · |h''|. Summed over a window that is
/// spacing² / 8 · ∫|h''| = 1024⁻² / 8 · 12.5 = 1.5e-6 for the worst input there is: 116 dB down, below
/// the stop band's 103.
const INTERPOLATED_ROWS: usize = 1024;

/// Longest period, in inputs or outputs, for which outputs of one phase are computed side by side.
const MAX_LATTICE_PERIOD: usize = 64;
/// Fewest taps per row for which that pays: below, fixed costs per row outweigh the vector width.
const MIN_LATTICE_TAPS: usize = 8;

/// The filter for one pair of rates: immutable, made once and shared by all streams of that pair.
///
/// Between 0.5 and 500 KiB, depending on the rates; see [`ResamplerDesign::table_bytes`].
#[derive(Debug)]
pub struct ResamplerDesign {
    pub(super) from: SampleRate,
    pub(super) to: SampleRate,
    pub(super) level: Level,
    /// Outputs per period of the pattern; to / from = phases / step in lowest terms.
    pub(super) phases: usize,
    /// Inputs per period.
    pub(super) step: usize,
    /// Outputs by which the stream lags behind its input.
    pub(super) delay: usize,
    /// Part of the delay that only rounds it up to whole outputs, in 1 / phases of an input.
    pub(super) slack: usize,
    pub(super) table: Table,
    pub(super) layout: Layout,
}

/// How the coefficients are laid out.
#[derive(Debug)]
pub(super) enum Table {
    /// Equal rates: a copy.
    Copy,
    /// Short periods: per output phase one row of coefficients for every input phase, for
    /// [`fir::lattice`]. `offsets` places each row's window, phase by phase.
    Lattice {
        coefs: Vec<f32>,
        taps: usize,
        offsets: Vec<usize>,
    },
    /// One row per output phase, for [`fir::dots`].
    Dots { coefs: AlignedVec, taps: usize },
    /// `rows + 1` rows, between which [`fir::blends`] interpolates.
    Blends {
        coefs: AlignedVec,
        rows: usize,
        taps: usize,
    },
}

/// The delay line of a stream: `rows` rows of `stride` samples, each with `history` samples that came
/// before the first of `capacity`, counted in periods for a lattice and in samples otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) history: usize,
    pub(super) capacity: usize,
}

impl Layout {
    /// Inputs that fit into the delay line beside its history.
    pub(super) fn capacity_in_inputs(&self) -> usize {
        self.rows * self.capacity
    }
}

impl ResamplerDesign {
    /// The filter from one rate to another, for the fastest kernels of this machine.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self::with_level(from, to, Level::detect())
    }

    /// The same filter for the kernels of one level, to replay what another machine computed.
    pub fn with_level(from: SampleRate, to: SampleRate, level: Level) -> Self {
        let (from_hz, to_hz) = (from.hz() as usize, to.hz() as usize);
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let (step, phases) = (from_hz / divisor, to_hz / divisor);
        let mut design = Self {
            from,
            to,
            level,
            phases,
            step,
            delay: 0,
            slack: 0,
            table: Table::Copy,
            layout: Layout::default(),
        };
        if step == phases {
            return design;
        }
        // Half the support in outputs: whole when the rate goes down, rounded up when it goes up.
        design.delay = match phases > step {
            true => (HALF_WIDTH * phases).div_ceil(step),
            false => HALF_WIDTH,
        };
        design.slack = (design.delay * step).saturating_sub(HALF_WIDTH * phases.max(step));
        let width = design.width();
        let taps = width.div_ceil(step).next_multiple_of(2);
        if phases.max(step) <= MAX_LATTICE_PERIOD
            && (MIN_LATTICE_TAPS..=fir::MAX_LATTICE_TAPS).contains(&taps)
        {
            design.lattice(taps);
        } else {
            design.rows(width);
        }
        design
    }

    /// The filter that all streams of this pair and level share, made when the first of them needs it and dropped with
    /// the last. The only lock of the crate is taken here, when a stream is built or changes its rate.
    pub fn shared(from: SampleRate, to: SampleRate, level: Level) -> Arc<Self> {
        type Key = (SampleRate, SampleRate, KernelLevel);
        static MADE: Mutex<Vec<(Key, Weak<ResamplerDesign>)>> = Mutex::new(Vec::new());
        let key = (from, to, level.kind());
        // A thread that panicked while holding it cannot have left it half changed.
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(_, design)| design.strong_count() > 0);
        let known = made.iter().find(|(other, _)| *other == key);
        if let Some(design) = known.and_then(|(_, design)| design.upgrade()) {
            return design;
        }
        let design = Arc::new(Self::with_level(from, to, level));
        made.push((key, Arc::downgrade(&design)));
        design
    }

    /// The rate that goes in.
    pub fn from(&self) -> SampleRate {
        self.from
    }

    /// The rate that comes out.
    pub fn to(&self) -> SampleRate {
        self.to
    }

    /// Outputs by which a stream lags behind its input: 1.5 ms at 16 kHz, 0 for equal rates.
    pub fn delay(&self) -> usize {
        self.delay
    }

    /// Size of the shared table, in bytes.
    pub fn table_bytes(&self) -> usize {
        let coefs = match &self.table {
            Table::Copy => 0,
            Table::Lattice { coefs, .. } => coefs.len(),
            Table::Dots { coefs, .. } | Table::Blends { coefs, .. } => coefs.len(),
        };
        coefs * size_of::<f32>()
    }

    /// Outputs due once `inputs` samples were taken: those at or before the last of them.
    pub(super) fn outputs_for(&self, inputs: u64) -> u64 {
        let outputs = (u128::from(inputs) * self.phases as u128).div_ceil(self.step as u128);
        u64::try_from(outputs).unwrap_or(u64::MAX)
    }

    /// Inputs that must be there before output `index`, not aligned, is due.
    pub(super) fn inputs_for(&self, index: u64) -> u64 {
        let whole = u128::from(index) * self.step as u128 / self.phases as u128;
        u64::try_from(whole + 1).unwrap_or(u64::MAX)
    }

    /// See [`Resampler::longest_lag`](super::Resampler::longest_lag).
    pub(super) fn longest_lag(&self, block: u64) -> u64 {
        if self.is_copy() {
            return 0;
        }
        // Block n ends `rest` / `phases` of an input after a whole one, where `rest` takes the multiples of what `block` and
        // `phases` have in common. Its last output needs the inputs up to `delay - 1` outputs after that end.
        let phases = self.phases as u64;
        let rest = phases - greatest_common_divisor(block as usize, self.phases) as u64;
        (rest + (self.delay as u64 - 1) * self.step as u64) / phases + 1
    }

    /// Whether the rates are equal, so that there is nothing to filter.
    pub(super) fn is_copy(&self) -> bool {
        matches!(self.table, Table::Copy)
    }

    /// Inputs under the kernel for one output, at most.
    fn width(&self) -> usize {
        (2 * HALF_WIDTH * self.phases.max(self.step) - 1).div_ceil(self.phases)
    }

    /// The newest input under the kernel of output `k`, and the output's place among `phases` equal
    /// steps after it. Both for small `k`; the pattern repeats after `phases` outputs.
    fn newest(&self, k: usize) -> (isize, usize) {
        let place = (k * self.step) as isize - self.slack as isize - 1;
        let phases = self.phases as isize;
        (place.div_euclid(phases), place.rem_euclid(phases) as usize)
    }

    /// The coefficient of the input `age` samples before the newest, for an output `place + 1` steps of
    /// 1 / phases after the point where the newest input leaves the kernel's support.
    fn coef(&self, place: f64, age: usize) -> f32 {
        let (phases, longer) = (self.phases as f64, self.phases.max(self.step) as f64);
        let t = (place + 1.0 + phases * age as f64) / longer - HALF_WIDTH as f64;
        // The kernel has unit area per period of the lower rate; inputs are `longer / phases` per period.
        (impulse_response(t) * phases / longer) as f32
    }

    fn lattice(&mut self, taps: usize) {
        let (phases, step) = (self.phases, self.step as isize);
        let mut starts = Vec::with_capacity(phases * self.step);
        let mut coefs = Vec::with_capacity(phases * self.step * taps);
        for phase in 0..phases {
            let (newest, place) = self.newest(phase);
            let oldest = newest - taps as isize * step + 1;
            for row in 0..step {
                // First period whose input of this row is under the window, which spans `taps` of them.
                let start = -(row - oldest).div_euclid(step);
                for tap in 0..taps as isize {
                    let input = (start + tap) * step + row;
                    coefs.push(self.coef(place as f64, (newest - input) as usize));
                }
                starts.push(start);
            }
        }
        let history = starts.iter().map(|start| -start).max().unwrap_or(0);
        let offsets = starts
            .iter()
            .map(|start| (start + history) as usize)
            .collect();
        let capacity = (480 / self.step)
            .next_multiple_of(fir::LANES)
            .clamp(fir::LANES, 160);
        self.layout = Layout {
            rows: self.step,
            // A last block may start at the last period and reads 15 lanes and the taps beyond.
            stride: history as usize + capacity + fir::LANES + 2,
            history: history as usize,
            capacity,
        };
        self.table = Table::Lattice {
            coefs,
            taps,
            offsets,
        };
    }

    fn rows(&mut self, width: usize) {
        let taps = width.next_multiple_of(fir::LANES);
        let longer = self.phases.max(self.step);
        let exact = self.phases * taps <= MAX_TABLE;
        let rows = if exact {
            self.phases
        } else {
            (INTERPOLATED_ROWS * self.phases).div_ceil(longer)
        };
        let count = if exact { rows } else { rows + 1 };
        // In units of 1 / phases, as `coef` counts; the first row of an interpolated table lies at place -1.
        let place = |row: usize| match exact {
            true => row as f64,
            false => row as f64 / rows as f64 * self.phases as f64 - 1.0,
        };
        // Padding stands before the oldest tap: those samples exist, those after the newest may not yet.
        // Aligned, so that only the loads of samples cross cache lines.
        let mut coefs = AlignedVec::zeros(count * taps);
        for (row, coefs) in coefs.chunks_exact_mut(taps).enumerate() {
            for (coef, age) in coefs.iter_mut().rev().zip(0..) {
                *coef = self.coef(place(row), age);
            }
        }
        // Windows start anywhere, and on Zen 4 a load of 16 floats across cache lines costs more than two
        // of 8: 38 cycles per output at 44.1 -> 16 kHz against 31. The bits are the same.
        if self.level.kind() == KernelLevel::Avx512 {
            self.level = Level::new(KernelLevel::Avx2).unwrap_or(self.level);
        }
        self.table = match exact {
            true => Table::Dots { coefs, taps },
            false => Table::Blends { coefs, rows, taps },
        };
        let capacity = 512;
        self.layout = Layout {
            rows: 1,
            stride: taps + capacity,
            history: taps,
            capacity,
        };
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}
