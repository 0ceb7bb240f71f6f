//! After construction a session of the turn model allocates nothing, in either precision.
#![cfg(feature = "embedded-smart-turn")]

use listenkit::{Precision, SmartTurn};

#[test]
fn an_answer_costs_no_allocation() {
    let audio: Vec<f32> = (0..60_000)
        .map(|i| (i % 1009 * i % 97) as f32 / 1e3)
        .collect();
    for precision in [Precision::Fast, Precision::Exact] {
        let mut session = SmartTurn::embedded(precision).expect("embedded").session();
        let counted = allocation_counter::measure(|| {
            session.probability_of_audio(&audio, &[]);
        });
        assert_eq!(counted.count_total, 0, "{precision:?}");
    }
}
