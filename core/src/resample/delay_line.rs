//! The moving part of a resampler: recent inputs, and where the next output stands among them.

use listenkit_kernels::fir;

use super::Progress;
use super::design::{ResamplerDesign, Table};

/// Outputs of one phase computed in one go: ten blocks, 10 ms at 16 kHz.
const BLOCK: usize = 10 * fir::LANES;

/// The delay line of one stream. Its start slides along the stream; positions count from there, so they stay
/// small however long the stream. Every method is given the design the line was made for.
#[derive(Clone, Debug)]
pub(super) struct DelayLine {
    /// The layout's rows: history, then inputs.
    buffer: Vec<f32>,
    /// Inputs in the buffer, the history apart.
    filled: usize,
    /// The newest input that the next output waits for: whole inputs, and the rest in 1 / phases.
    need: usize,
    need_part: usize,
    /// Outputs still to be left out.
    pub(super) skip: usize,
}

impl DelayLine {
    /// Bytes of its samples.
    pub(super) const fn bytes(&self) -> usize {
        size_of::<f32>() * self.buffer.len()
    }

    pub(super) fn new(design: &ResamplerDesign) -> Self {
        let layout = design.layout;
        Self {
            buffer: vec![0.0; layout.rows * layout.stride],
            filled: 0,
            need: 0,
            need_part: 0,
            skip: 0,
        }
    }

    /// As if `position` zeros had been taken and what they gave been written, but for `skip` outputs.
    pub(super) fn restart(&mut self, design: &ResamplerDesign, position: u64, skip: usize) {
        // The pattern repeats after `step` inputs and `phases` outputs, so only the place in it matters.
        let place = (position % design.step as u64) as usize;
        let next = (place * design.phases).div_ceil(design.step) * design.step;
        let need = next / design.phases;
        // As `slide` would leave it, were there a buffer for a whole pattern.
        let by = match design.table {
            Table::Lattice { .. } => 0,
            _ => need.saturating_sub(1).min(place),
        };
        self.buffer.fill(0.0);
        self.filled = place - by;
        self.need = need - by;
        self.need_part = next % design.phases;
        self.skip = skip;
    }

    /// Takes inputs and writes the outputs that fall due, as far as there is room for them.
    pub(super) fn process(
        &mut self,
        design: &ResamplerDesign,
        input: &[f32],
        output: &mut [f32],
    ) -> Progress {
        let capacity = design.layout.capacity_in_inputs();
        let mut done = Progress::default();
        // Sliding first lets an ordinary push go through in one piece.
        if self.filled.saturating_add(input.len()) > capacity {
            self.slide(design);
        }
        while done.consumed < input.len() {
            if self.filled == capacity {
                self.slide(design);
            }
            let left = &input[done.consumed..];
            let output = &mut output[done.written..];
            let free = self
                .inputs_until(design, output.len())
                .min(capacity - self.filled);
            if free == 0 {
                break;
            }
            let taken = &left[..left.len().min(free)];
            self.push(design, taken);
            done.consumed += taken.len();
            done.written += self.pull(design, output);
        }
        done
    }

    /// Fills `output` with what zeros after the last input give.
    pub(super) fn drain(&mut self, design: &ResamplerDesign, output: &mut [f32]) {
        const ZEROS: [f32; 64] = [0.0; 64];
        if design.is_copy() {
            return;
        }
        let capacity = design.layout.capacity_in_inputs();
        let mut written = self.pull(design, output);
        while written < output.len() {
            if self.filled == capacity {
                self.slide(design);
            }
            let output = &mut output[written..];
            let wanted = self
                .inputs_until(design, output.len())
                .clamp(1, ZEROS.len());
            self.push(design, &ZEROS[..wanted.min(capacity - self.filled)]);
            written += self.pull(design, output);
        }
    }

    /// Inputs that may be taken so that no more than `space` outputs are due.
    fn inputs_until(&self, design: &ResamplerDesign, space: usize) -> usize {
        let due = (space as u64).saturating_add(self.skip as u64);
        let reach = due
            .saturating_mul(design.step as u64)
            .saturating_add(self.need_part as u64);
        let until = (reach / design.phases as u64).saturating_add(self.need as u64);
        usize::try_from(until)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.filled)
    }

    /// Appends inputs to the delay line, which has room for them.
    fn push(&mut self, design: &ResamplerDesign, input: &[f32]) {
        let layout = design.layout;
        if let Table::Lattice { .. } = design.table {
            let (rows, stride) = (layout.rows, layout.stride);
            // The rest of a period that has begun, then whole periods at once, then a new beginning.
            let begun = (rows - self.filled % rows) % rows;
            let (head, input) = input.split_at(begun.min(input.len()));
            self.push_singly(design, head);
            let (whole, rest) = input.split_at(input.len() - input.len() % rows);
            let at = layout.history + self.filled / rows;
            fir::deinterleave(design.level, whole, rows, &mut self.buffer, stride, at);
            self.filled += whole.len();
            self.push_singly(design, rest);
        } else {
            let at = layout.history + self.filled;
            self.buffer[at..at + input.len()].copy_from_slice(input);
            self.filled += input.len();
        }
    }

    /// Appends inputs to the rows of a lattice one by one.
    fn push_singly(&mut self, design: &ResamplerDesign, input: &[f32]) {
        let layout = design.layout;
        for &sample in input {
            let (period, row) = (self.filled / layout.rows, self.filled % layout.rows);
            self.buffer[row * layout.stride + layout.history + period] = sample;
            self.filled += 1;
        }
    }

    /// Writes the outputs that are due, as far as there is room; returns how many.
    fn pull(&mut self, design: &ResamplerDesign, output: &mut [f32]) -> usize {
        let mut due = match self.filled.checked_sub(self.need) {
            Some(ahead) if ahead > 0 => {
                (ahead * design.phases - self.need_part).div_ceil(design.step)
            }
            _ => return 0,
        };
        let skipped = due.min(self.skip);
        self.skip -= skipped;
        self.advance(design, skipped);
        due = (due - skipped).min(output.len());
        let output = &mut output[..due];
        match &design.table {
            Table::Copy => {}
            Table::Lattice {
                coefs,
                taps,
                offsets,
            } => {
                self.pull_lattice(design, output, coefs, *taps, offsets);
            }
            Table::Dots { coefs, taps } => {
                let walk = self.walk(design, *taps);
                fir::dots(design.level, output, coefs, *taps, &self.buffer, walk);
            }
            Table::Blends { coefs, rows, taps } => {
                let walk = self.walk(design, *taps);
                fir::blends(
                    design.level,
                    output,
                    coefs,
                    *rows,
                    *taps,
                    &self.buffer,
                    walk,
                );
            }
        }
        self.advance(design, due);
        due
    }

    /// Every phase of the pattern by itself: its outputs are `phases` apart and share coefficients.
    fn pull_lattice(
        &self,
        design: &ResamplerDesign,
        output: &mut [f32],
        coefs: &[f32],
        taps: usize,
        offsets: &[usize],
    ) {
        let layout = design.layout;
        let phases = design.phases;
        let first = (self.need * phases + self.need_part) / design.step;
        let mut block = [0.0; BLOCK];
        let tables = coefs
            .chunks_exact(layout.rows * taps)
            .zip(offsets.chunks_exact(layout.rows));
        for (phase, (coefs, offsets)) in tables.enumerate() {
            let filter = fir::Lattice {
                coefs,
                taps,
                offsets,
                stride: layout.stride,
            };
            let mut period = first.saturating_sub(phase).div_ceil(phases);
            let Some(outputs) = output.get_mut(period * phases + phase - first..) else {
                continue;
            };
            for outputs in outputs.chunks_mut(BLOCK * phases) {
                let len = outputs.len().div_ceil(phases);
                // With one phase, whole blocks need no detour.
                let direct = phases == 1 && len.is_multiple_of(fir::LANES);
                let filled = match direct {
                    true => &mut *outputs,
                    false => &mut block[..len.next_multiple_of(fir::LANES)],
                };
                fir::lattice(design.level, filled, filter, &self.buffer, period);
                if !direct {
                    spread(&block[..len], outputs, phases);
                }
                period += len;
            }
        }
    }

    /// The way of the next outputs through a table of rows.
    fn walk(&self, design: &ResamplerDesign, taps: usize) -> fir::Walk {
        // The newest input under the kernel; `need` counts to where the output falls due, which is one
        // step of 1 / phases and the rounding of the delay later.
        let place = self.need_part as isize - design.slack as isize - 1;
        let phases = design.phases as isize;
        let newest = self.need as isize + place.div_euclid(phases);
        fir::Walk {
            at: (newest + 1 + (design.layout.history - taps) as isize) as usize,
            row: place.rem_euclid(phases) as usize,
            at_step: design.step / design.phases,
            row_step: design.step % design.phases,
            row_count: design.phases,
        }
    }

    fn advance(&mut self, design: &ResamplerDesign, outputs: usize) {
        let part = self.need_part + outputs * design.step;
        self.need += part / design.phases;
        self.need_part = part % design.phases;
    }

    /// Moves the delay line so that its history ends where the next output needs it.
    fn slide(&mut self, design: &ResamplerDesign) {
        let layout = design.layout;
        if let Table::Lattice { .. } = design.table {
            // Whole periods, so that the pattern stays in place; one more may have begun.
            let periods = self.filled / layout.rows;
            for row in self.buffer.chunks_exact_mut(layout.stride) {
                row.copy_within(periods..periods + layout.history + 1, 0);
            }
            self.filled -= periods * layout.rows;
            self.need -= periods * layout.rows;
        } else {
            let by = self.need.saturating_sub(1).min(self.filled);
            let kept = layout.history + self.filled;
            self.buffer.copy_within(by..kept, 0);
            self.filled -= by;
            self.need -= by;
        }
    }
}

/// Writes `from` to every `stride`-th place of `to`, beginning with the first.
fn spread(from: &[f32], to: &mut [f32], stride: usize) {
    // A constant stride spares the hot loop its arithmetic; the others serve unusual pairs.
    match stride {
        1 => to.copy_from_slice(from),
        2 => spread_by::<2>(from, to),
        3 => spread_by::<3>(from, to),
        4 => spread_by::<4>(from, to),
        6 => spread_by::<6>(from, to),
        _ => to
            .iter_mut()
            .step_by(stride)
            .zip(from)
            .for_each(|(to, &from)| *to = from),
    }
}

fn spread_by<const N: usize>(from: &[f32], to: &mut [f32]) {
    let (groups, rest) = to.as_chunks_mut::<N>();
    for (group, &from) in groups.iter_mut().zip(from) {
        group[0] = from;
    }
    // A last group may be short, but it has its first place.
    if let (Some(to), Some(&from)) = (rest.first_mut(), from.last()) {
        *to = from;
    }
}
