//! Many streams in one call: each load of the weights serves them all.

use super::model::{CHANNELS, MAX_BINS};
use super::{SileroVad, VadState};
use core::borrow::BorrowMut;
use listenkit_kernels::{
    AlignedVec, FRAMES, HIDDEN, Source, add_sparse_rows, affine_rows, lstm_cells,
};

const GATES: usize = 4 * HIDDEN;

/// Runs one window of many streams at once. Each stream gets the bits that [`SileroVad::probability`] would give it.
///
/// Holds scratch for a block of streams; larger calls are cut into blocks.
#[derive(Clone, Debug)]
pub struct VadBatch {
    vad: SileroVad,
    block: usize,
    samples: AlignedVec,
    magnitudes: AlignedVec,
    y1: AlignedVec,
    y2: AlignedVec,
    y3: AlignedVec,
    features: AlignedVec,
    hidden: AlignedVec,
    gates: AlignedVec,
}

impl VadBatch {
    /// Scratch for up to `block` streams at a time (at least 1), about 8 kB each. 32 is enough to keep the arithmetic units busy.
    pub fn new(vad: SileroVad, block: usize) -> Self {
        let block = block.max(1);
        let [c1, c2, c3, c4] = CHANNELS;
        Self {
            block,
            samples: AlignedVec::zeros(vad.model().stft.size().samples()),
            magnitudes: AlignedVec::zeros(block * FRAMES * MAX_BINS),
            y1: AlignedVec::zeros(block * FRAMES * c1),
            y2: AlignedVec::zeros(block * FRAMES / 2 * c2),
            y3: AlignedVec::zeros(block * c3),
            features: AlignedVec::zeros(block * c4),
            hidden: AlignedVec::zeros(block * HIDDEN),
            gates: AlignedVec::zeros(block * GATES),
            vad,
        }
    }

    /// The model.
    pub fn vad(&self) -> &SileroVad {
        &self.vad
    }

    /// Moves stream `i` on by `windows[i]` and writes its probability, for as many streams as the shortest of the three slices
    /// has. Returns how many. Windows are as for [`SileroVad::probability`]. Allocates nothing.
    pub fn probabilities<S, W>(
        &mut self,
        states: &mut [S],
        windows: &[W],
        probabilities: &mut [f32],
    ) -> usize
    where
        S: BorrowMut<VadState>,
        W: AsRef<[f32]>,
    {
        let count = states.len().min(windows.len()).min(probabilities.len());
        let blocks = states[..count]
            .chunks_mut(self.block)
            .zip(windows[..count].chunks(self.block));
        for ((states, windows), probabilities) in blocks.zip(probabilities.chunks_mut(self.block)) {
            self.block(states, windows, probabilities);
        }
        count
    }

    fn block<S, W>(&mut self, states: &mut [S], windows: &[W], probabilities: &mut [f32])
    where
        S: BorrowMut<VadState>,
        W: AsRef<[f32]>,
    {
        let model = self.vad.model();
        let (n, level) = (states.len(), model.level);
        let [c1, ..] = CHANNELS;
        // Activations are [frame, stream, channel]: all streams of a frame are rows at one stride.
        for (i, (state, window)) in states.iter_mut().zip(windows).enumerate() {
            let state: &mut VadState = state.borrow_mut();
            model.pad(&mut state.context, window.as_ref(), &mut self.samples);
            model.stft.magnitudes(
                level,
                &self.samples,
                &mut self.magnitudes[i * MAX_BINS..],
                n * MAX_BINS,
            );
            self.hidden[i * HIDDEN..][..HIDDEN].copy_from_slice(&state.lstm.h);
        }
        model
            .conv1
            .windows(level, n, FRAMES, &self.magnitudes, MAX_BINS, &mut self.y1);
        model
            .conv2
            .windows(level, n, FRAMES, &self.y1, c1, &mut self.y2);
        model
            .conv3
            .rows(level, n, FRAMES / 2, &self.y2, &mut self.y3);
        model.conv4.rows(level, n, 1, &self.y3, &mut self.features);
        let source = |x, first| Source {
            x,
            stride: HIDDEN,
            len: HIDDEN,
            first,
        };
        let w = &model.lstm;
        let hidden = [source(&self.hidden[..], HIDDEN)];
        affine_rows(
            level,
            n,
            &hidden,
            w.matrix(),
            w.bias(),
            &mut self.gates,
            GATES,
            false,
        );
        let features = source(&self.features[..], 0);
        add_sparse_rows(level, n, features, w.matrix(), &mut self.gates, GATES);
        let (gates, _) = self.gates.as_chunks::<GATES>();
        for ((state, gates), probability) in states.iter_mut().zip(gates).zip(probabilities) {
            let state: &mut VadState = state.borrow_mut();
            lstm_cells(level, gates, &mut state.lstm);
            *probability = model.output(&state.lstm);
        }
    }
}
