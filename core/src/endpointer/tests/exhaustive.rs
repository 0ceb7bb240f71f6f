//! Every short session: nothing is left to luck.

use super::drive::{Op, Run, Stepped, drive};
use super::oracle::Oracle;
use super::*;

/// What may happen in one window of a session.
const ALPHABET: [(bool, u64, Option<Op>); 12] = [
    (true, 1, None),
    (false, 1, None),
    (false, 4, None),
    (false, 1, Some(Op::Answer(0, LOW))),
    (false, 1, Some(Op::Answer(0, HIGH))),
    (false, 1, Some(Op::Answer(1, HIGH))),
    (false, 1, Some(Op::Text(0, (LOW, HALF), None))),
    (false, 1, Some(Op::Text(0, (HIGH, HALF), None))),
    (true, 1, Some(Op::Cues(0, -1.0))),
    (false, 1, Some(Op::Cues(0, 1.0))),
    (false, 1, Some(Op::Expect(Expectation::Spelling))),
    (false, 1, Some(Op::Commit)),
];
const LOW: Probability = Probability::constant(0.1);
const HALF: Probability = Probability::constant(0.5);
const HIGH: Probability = Probability::constant(0.9);

/// All sessions of up to four steps after a first word: 20,736, and under three more settings those of three steps. The delays are a few windows long, so that
/// each of them is crossed.
#[test]
fn every_short_session_is_decided_as_the_oracle_decides_it() {
    let few = |n: u64| SampleCount(n * WINDOW / 2);
    let base = EndpointerConfig {
        delays: Delays::Fixed {
            min: few(18),
            max: few(24),
        },
        model: Some(AudioModel {
            threshold: HALF,
            timeout: few(21),
            query_after_windows: 1,
            query_again: [Some(few(5)), Some(few(11)), None],
            answers: AnswerRule::Mean,
        }),
        text_timeout: Some(few(20)),
        expectations: ExpectationRules {
            short_answer: few(4),
            short_min: few(17),
            dictation: (few(20), few(30)),
            floor: (few(30), few(40)),
            satisfied_lean: 0.5,
        },
        ..BASE
    };
    let graded = WaitRule::Graded {
        unfinished_at: LOW,
        finished_at: HIGH,
    };
    let settings = [
        base,
        EndpointerConfig {
            wait_rule: graded,
            text_timeout: None,
            ..base
        },
        EndpointerConfig {
            model: None,
            transcript_wait: Some(few(19)),
            ..base
        },
        EndpointerConfig {
            wait_rule: graded,
            max_turn: Some(few(26)),
            ..base
        },
    ];
    let steps = ALPHABET.len();
    let (mut ends, mut sooner, mut later) = (0, 0, 0);
    for (config, len) in settings.into_iter().zip([4, 3, 3, 3]) {
        for session in 0..steps.pow(len) {
            let mut script = vec![run((true, 2, None)), run((false, 2, None))];
            let step = |place: u32| ALPHABET[session / steps.pow(place) % steps];
            script.extend((0..len).map(|place| run(step(place))));
            script.push(run((false, 12, None)));
            let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
            let expected = drive(&mut Oracle::new(config, 0), &script, 0);
            assert_eq!(heard, expected, "{script:?}");
            for output in &heard.outputs {
                if let TurnOutput::EndOfTurn(end) = output {
                    ends += 1;
                    sooner += u32::from(end.chosen_delay < end.silence_delay);
                    later += u32::from(end.chosen_delay > end.silence_delay);
                }
            }
        }
    }
    // The sessions are not all the same one.
    assert!(
        ends > 25_000 && sooner > 1000 && later > 1000,
        "{ends} {sooner} {later}"
    );
}

fn run((voiced, windows, op): (bool, u64, Option<Op>)) -> Run {
    Run {
        voiced,
        windows,
        gap: 0,
        host: op.map(|op| (0, 4, op)).into_iter().collect(),
    }
}
