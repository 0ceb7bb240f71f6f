//! After construction the model allocates nothing, alone or in batches.
#![cfg(feature = "embedded-models")]

use listenkit::vad::{KernelLevel, SileroVad, VadBatch, VadRate, VadState, test_signal};

#[test]
fn windows_cost_no_allocation_at_any_level() {
    for rate in [VadRate::Hz8000, VadRate::Hz16000] {
        let signal = test_signal(rate, 40);
        let windows: Vec<&[f32]> = signal.chunks(rate.window_len()).collect();
        let levels = KernelLevel::ALL.into_iter();
        for vad in levels.filter_map(|level| SileroVad::embedded_at(rate, level).ok()) {
            let mut state = VadState::new();
            let mut batch = VadBatch::new(vad.clone(), 16);
            let (mut states, mut out) = (vec![VadState::new(); 40], vec![0.0; 40]);
            let counted = allocation_counter::measure(|| {
                for window in &windows {
                    vad.probability(&mut state, window);
                }
                batch.probabilities(&mut states, &windows, &mut out);
            });
            assert_eq!(counted.count_total, 0, "{rate:?} {}", vad.kernel_level());
        }
    }
}
