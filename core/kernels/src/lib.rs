//! Vector kernels of listenkit: the only crate that contains `unsafe`, but for the optional `listenkit-ort-probe`.
//!
//! Every kernel is written once, generic over a vector of sixteen `f32` (`simd::F32x16`), and compiled
//! for each instruction set behind a `#[target_feature]` entry point. The order in which each output
//! is summed does not depend on the width of the machine's registers, so the levels with a fused
//! multiply-add (AVX-512, AVX2, NEON) return the same bits; the portable level rounds twice where they
//! round once, and differs in the last places.
//!
//! The level is a value ([`Level`]) that the caller picks once and hands to each call. It can only be
//! made for instructions that this machine has, which is what makes the calls safe.

// Loops over the registers of a tile count through several arrays at once; an index says so plainest.
#![allow(clippy::needless_range_loop)]

mod align;
mod conv;
pub mod fir;
mod int8;
mod level;
mod lstm;
mod math;
mod matrix;
mod rows;
mod simd;
mod sparse;
mod stft;

pub use align::{AlignedVec, Lanes, as_signed};
pub use conv::{FRAMES, conv1, conv1_recurrent, conv2};
pub use int8::{Epilogue, Int8Attention, Int8Matrix, QuantisedRows, matmul_int8, quantise_rows};
pub use level::{KernelLevel, Level};
pub use lstm::{
    Gates, HIDDEN, LstmState, LstmWeights, lstm_cells, lstm_finish, lstm_recurrent, relu_dot,
};
pub use math::{copy_bounded, exp, sigmoid, sigmoid_one, tanh};
pub use matrix::{Matrix, PANEL, Source, affine, affine_rows};
pub use rows::{gelu, layer_norm, softmax};
pub use sparse::add_sparse_rows;
pub use stft::{Stft, StftSize};
