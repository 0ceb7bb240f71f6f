//! Any bytes as a weight file: an error or a model, never a panic.

use listenkit::{KernelLevel, Precision, SileroVad, SmartTurn, VadRate};

pub(crate) fn run(data: &[u8]) {
    for rate in [VadRate::Hz8000, VadRate::Hz16000] {
        if let Err(error) = SileroVad::from_bytes(data, rate, KernelLevel::Portable) {
            assert!(!error.to_string().is_empty());
        }
    }
    for precision in [Precision::Fast, Precision::Exact] {
        if let Err(error) = SmartTurn::from_bytes_at(data, precision, KernelLevel::Portable) {
            assert!(!error.to_string().is_empty());
        }
    }
}
