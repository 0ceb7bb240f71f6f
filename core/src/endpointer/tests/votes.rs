//! One test per rule about votes, repeated questions and expectations.

use super::*;
use TurnEndReason::*;

/// An audio model and a text model, both awaited; delays 300 ms and 2500 ms.
fn with_both() -> EndpointerConfig {
    EndpointerConfig {
        text_timeout: Some(ms(800)),
        ..with_model(ms(1000))
    }
}

fn repeating(answers: AnswerRule) -> EndpointerConfig {
    let mut config = with_model(ms(1000));
    if let Some(model) = &mut config.model {
        model.query_again = [Some(ms(200)), Some(ms(400)), Some(ms(700))];
        model.answers = answers;
    }
    config
}

fn graded() -> EndpointerConfig {
    EndpointerConfig {
        wait_rule: WaitRule::Graded {
            unfinished_at: p(0.2),
            finished_at: p(0.8),
        },
        ..with_model(ms(1000))
    }
}

// Several votes.

#[test]
fn both_models_are_awaited_side_by_side() {
    let mut rig = Rig::new(with_both());
    rig.speech(10).silence(5).answer(0, 0.9).silence(15);
    assert_eq!(rig.ends, [], "the text is missing");
    rig.text(0.5);
    assert_eq!(verdict(&rig.end()), (Wait::Text, Complete, 640));
    let mut rig = Rig::new(with_both());
    rig.speech(10)
        .silence(5)
        .text(0.5)
        .silence(15)
        .answer(0, 0.9);
    assert_eq!(verdict(&rig.end()), (Wait::Model, Complete, 640));
}

#[test]
fn a_source_that_stays_silent_costs_its_own_timeout_and_no_more() {
    let mut rig = Rig::new(with_both());
    rig.speech(10).silence(5).answer(0, 0.9).silence(40);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Text, Complete, 800));
    assert_eq!((end.silence_delay, end.chosen_delay), (ms(1000), ms(300)));
    let mut rig = Rig::new(with_both());
    rig.speech(10).silence(5).text(0.5).silence(40);
    assert_eq!(verdict(&rig.end()), (Wait::Model, Complete, 1000));
    let mut rig = Rig::new(with_both());
    rig.speech(10).silence(40);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Model, NoAnswer, 1000));
    assert_eq!((end.votes.fused, end.chosen_delay), (None, ms(1000)));
}

/// A model may run only for the record.
#[test]
fn a_source_without_weight_is_heard_but_not_waited_for() {
    let without = |audio: f32, text: f32| EndpointerConfig {
        fusion: Fusion {
            audio,
            text,
            ..Fusion::DEFAULT
        },
        ..with_both()
    };
    let mut rig = Rig::new(without(0.0, 0.0));
    rig.speech(10).silence(5).answer(0, 0.1).silence(40);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Silence, 300));
    assert_eq!(
        (end.votes.probability(), end.votes.fused),
        (Some(p(0.1)), None)
    );
    assert_eq!(end.silence_delay, ms(300));
    let mut rig = Rig::new(without(1.0, 0.0));
    rig.speech(10).silence(5).answer(0, 0.9).silence(40);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 300));
    let mut rig = Rig::new(without(0.0, 1.0));
    rig.speech(10).silence(5).text(0.5).silence(40);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 300));
}

#[test]
fn a_text_model_can_overrule_the_audio_model_and_the_other_way_round() {
    // 0.6 against 0.5 is little; 0.01 against 0.1 is much.
    let mut rig = Rig::new(with_both());
    rig.speech(10)
        .silence(5)
        .answer(0, 0.6)
        .text(0.01)
        .silence(90);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
    let mut rig = Rig::new(with_both());
    rig.speech(10)
        .silence(5)
        .answer(0, 0.99)
        .text(0.08)
        .silence(90);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Complete, 300));
    let (audio, text) = (
        end.votes.audio.expect("asked"),
        end.votes.text.expect("sent"),
    );
    assert_eq!(
        (audio.asked_at, audio.answered_at),
        (windows(12), windows(15))
    );
    assert_eq!(
        (text.probability, text.threshold, text.answered_at),
        (p(0.08), p(0.1), windows(15))
    );
}

#[test]
fn votes_that_nobody_configured_count_but_are_not_awaited() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(5).text(0.01).silence(90);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(5).cues(-0.5).silence(90);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(20);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 300));
}

#[test]
fn wording_that_leans_nowhere_is_no_vote() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(5).cues(0.0).silence(20);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Silence, 300));
    assert_eq!(end.votes.fused, None);
    assert!(end.votes.cues.is_some(), "it is in the record all the same");
}

#[test]
fn a_late_vote_lengthens_or_shortens_the_wait() {
    let mut rig = Rig::new(with_both());
    rig.speech(10)
        .silence(5)
        .answer(0, 0.2)
        .text(0.1)
        .silence(30)
        .text(0.9);
    assert_eq!(
        verdict(&rig.end()),
        (Wait::Text, Complete, 35 * 32),
        "now, not before"
    );
    let mut rig = Rig::new(with_both());
    rig.speech(10)
        .silence(20)
        .text(0.9)
        .silence(10)
        .answer(0, 0.001)
        .silence(90);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn all_votes_die_with_their_pause() {
    let mut rig = Rig::new(with_both());
    rig.speech(10).silence(3).answer(0, 0.9).text(0.9).cues(1.0);
    rig.speech(1).silence(50);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Model, NoAnswer, 1000));
    assert_eq!(end.votes, crate::event::TurnVotes::default());
    assert_eq!(rig.predictions.len(), 3, "and have left a record");
    assert!(rig.predictions.iter().all(|told| told.at == windows(10)));
}

#[test]
fn votes_about_another_turn_an_older_pause_or_nothing_are_counted() {
    let mut rig = Rig::new(with_both());
    let vote = (p(0.9), p(0.1));
    rig.host(|e, now| e.text_answer(0, vote, None, now)); // no turn is open
    rig.speech(10).silence(4);
    rig.host(|e, now| e.text_answer(1, vote, None, now));
    rig.host(|e, now| e.text_cues(7, CueVote::default(), now));
    rig.host(|e, now| e.text_answer(0, vote, Some(windows(9)), now)); // read before the last window of speech
    rig.cues(f32::NAN);
    assert_eq!(rig.endpointer.stats().stale_votes, 5);
    assert_eq!(rig.predictions, []);
    // Read at its very end, or in the future of a host that counts wrongly: taken.
    rig.host(|e, now| e.text_answer(0, vote, Some(windows(10)), now));
    rig.host(|e, now| e.text_answer(0, vote, Some(windows(900)), now));
    assert_eq!(rig.predictions.len(), 2);
    assert_eq!(
        rig.predictions[1].votes.text.expect("taken").asked_at,
        windows(14)
    );
}

#[test]
fn a_text_vote_on_older_words_does_not_replace_one_on_newer_ones() {
    let mut rig = Rig::new(with_both());
    rig.speech(10).silence(4);
    rig.host(|e, now| e.text_answer(0, (p(0.9), p(0.1)), Some(windows(13)), now));
    rig.host(|e, now| e.text_answer(0, (p(0.01), p(0.1)), Some(windows(12)), now));
    assert_eq!(rig.endpointer.stats().stale_votes, 1);
    assert_eq!(
        rig.predictions[0].votes.text.expect("taken").probability,
        p(0.9)
    );
}

#[test]
fn a_lean_out_of_range_counts_as_its_end() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(4).cues(f32::INFINITY);
    assert_eq!(rig.predictions[0].votes.cues.expect("taken").lean, 1.0);
}

// The graded wait.

#[test]
fn a_graded_wait_lies_between_the_delays() {
    // Undecided is half way between 300 and 2500 ms.
    let mut rig = Rig::new(graded());
    rig.speech(10).silence(3).answer(0, 0.5).silence(100);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Graded, Complete, 1400));
    assert_eq!((end.chosen_delay, end.silence_delay), (ms(1400), ms(1000)));
    for (answer, expected) in [
        (0.1, (Wait::Max, Unfinished, 2500)),
        (0.2, (Wait::Max, Unfinished, 2500)),
        (0.8, (Wait::Min, Complete, 300)),
        (1.0, (Wait::Min, Complete, 300)),
    ] {
        let mut rig = Rig::new(graded());
        rig.speech(10).silence(3).answer(0, answer).silence(100);
        assert_eq!(verdict(&rig.end()), expected, "{answer}");
    }
    let mut rig = Rig::new(graded());
    rig.speech(10).silence(3).answer(0, 0.4).silence(100);
    let end = rig.end();
    assert_eq!((end.wait, end.reason), (Wait::Graded, Unfinished));
    assert!(end.delay() > ms(1400) && end.delay() < ms(2500));
}

#[test]
fn a_prediction_says_where_the_turn_will_end() {
    let mut rig = Rig::new(graded());
    rig.speech(10).silence(3).answer(0, 0.6);
    let told = rig.predictions[0];
    assert_eq!(
        (told.turn, told.at, told.decided_at),
        (0, windows(10), windows(13))
    );
    assert_eq!(told.ends_at, windows(10) + told.chosen_delay);
    rig.silence(100);
    assert_eq!(rig.end().decided_at, told.ends_at);
}

// Repeated questions.

#[test]
fn the_model_is_asked_again_as_silence_grows_until_the_turn_is_over() {
    let mut rig = Rig::new(repeating(AnswerRule::Latest));
    rig.speech(10).silence(3).answer(0, 0.1).silence(100);
    let asked: Vec<_> = rig.queries.iter().map(|q| (q.id, q.decided_at)).collect();
    let after = |delay| windows(10) + ms(delay);
    assert_eq!(
        asked,
        [
            (0, windows(12)),
            (1, after(200)),
            (2, after(400)),
            (3, after(700))
        ]
    );
    // Three were never answered.
    let end = rig.end();
    let cancelled: Vec<_> = rig
        .cancelled
        .iter()
        .map(|c| (c.id, c.turn, c.decided_at))
        .collect();
    assert_eq!(cancelled, [(3, 0, end.decided_at)]);
}

#[test]
fn repeats_that_lie_before_the_first_question_are_left_out() {
    let mut config = repeating(AnswerRule::Latest);
    if let Some(model) = &mut config.model {
        model.query_after_windows = 7; // 224 ms
    }
    let mut rig = Rig::new(config);
    rig.speech(10).silence(100);
    let asked: Vec<_> = rig.queries.iter().map(|q| q.decided_at).collect();
    assert_eq!(
        asked,
        [windows(17), windows(10) + ms(400), windows(10) + ms(700)]
    );
}

#[test]
fn speech_cancels_what_has_not_been_answered() {
    let mut rig = Rig::new(repeating(AnswerRule::Latest));
    rig.speech(10).silence(7).answer(0, 0.9).speech(1);
    let cancelled: Vec<_> = rig.cancelled.iter().map(|c| (c.id, c.decided_at)).collect();
    assert_eq!(cancelled, [(1, windows(18))]);
    rig.answer(1, 0.9);
    assert_eq!(rig.endpointer.stats().stale_answers, 1);
    rig.silence(4);
    assert_eq!(
        rig.queries[2].decided_at,
        windows(20),
        "the new pause begins afresh"
    );
    // All answered: nothing to cancel.
    let mut rig = Rig::new(repeating(AnswerRule::Latest));
    rig.speech(10).silence(4).answer(0, 0.9).speech(1);
    assert_eq!(rig.cancelled, []);
}

#[test]
fn answers_to_several_questions_are_combined_by_the_rule_whatever_their_order() {
    for (rule, expected) in [
        (AnswerRule::Latest, 0.6),
        (AnswerRule::Min, 0.1),
        (AnswerRule::Mean, 0.289_9), // sqrt(1/9 * 3/2) = 0.40825 as odds
    ] {
        for order in [[(0, 0.1), (1, 0.6)], [(1, 0.6), (0, 0.1)]] {
            let mut rig = Rig::new(repeating(rule));
            rig.speech(10).silence(8);
            for (id, probability) in order {
                rig.answer(id, probability);
            }
            let vote = rig.predictions[1].votes.audio.expect("answered");
            let got = vote.probability.value();
            assert!((got - expected).abs() < 1e-4, "{rule:?} {order:?}: {got}");
            assert_eq!((vote.answers, vote.asked_at), (2, windows(10) + ms(200)));
        }
    }
}

#[test]
fn a_second_answer_can_take_the_first_one_back() {
    let mut rig = Rig::new(repeating(AnswerRule::Latest));
    rig.speech(10)
        .silence(3)
        .answer(0, 0.1)
        .silence(12)
        .answer(2, 0.9);
    assert_eq!(verdict(&rig.end()), (Wait::Model, Complete, 15 * 32));
    let mut rig = Rig::new(repeating(AnswerRule::Latest));
    rig.speech(10)
        .silence(3)
        .answer(0, 0.9)
        .silence(5)
        .answer(1, 0.1)
        .silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn a_cleared_turn_cancels_its_questions_too() {
    let mut rig = Rig::new(repeating(AnswerRule::Latest));
    rig.speech(10)
        .silence(4)
        .host(|e, now| e.clear(now))
        .silence(100);
    assert_eq!(
        (rig.ends.len(), rig.cancelled.len(), rig.queries.len()),
        (0, 1, 1)
    );
}

// Expectations.

#[test]
fn a_short_answer_to_a_yes_or_no_ends_fast() {
    let mut rig = Rig::new(BASE);
    rig.min_silence = 4; // 128 ms
    rig.expect(Expectation::YesNo).speech(10).silence(20);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Silence, 200));
    assert_eq!(
        (end.expectation, end.min_delay),
        (Expectation::YesNo, ms(200))
    );
    // 31 windows are 992 ms, 32 are more than a second.
    for (speech, delay) in [(31, 200), (32, 300)] {
        let mut rig = Rig::new(BASE);
        rig.min_silence = 4;
        rig.expect(Expectation::YesNo).speech(speech).silence(20);
        assert_eq!(rig.end().delay(), ms(delay), "{speech} windows");
    }
    // Unfinished is unfinished.
    let mut rig = Rig::new(BASE);
    rig.expect(Expectation::YesNo)
        .speech(10)
        .silence(3)
        .cues(-1.0)
        .silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn dictation_is_given_time_until_the_wording_says_that_it_is_complete() {
    for expectation in [
        Expectation::Digits { count: 10 },
        Expectation::Spelling,
        Expectation::Email,
    ] {
        let mut rig = Rig::new(BASE);
        rig.expect(expectation).speech(10).silence(50);
        assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 1000));
        let mut rig = Rig::new(BASE);
        rig.expect(expectation)
            .speech(10)
            .silence(3)
            .cues(-0.2)
            .silence(150);
        assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 4000));
        let mut rig = Rig::new(BASE);
        rig.expect(expectation)
            .speech(10)
            .silence(3)
            .cues(0.5)
            .silence(50);
        assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 300));
        let mut rig = Rig::new(BASE);
        rig.expect(expectation)
            .speech(10)
            .silence(3)
            .cues(0.49)
            .silence(50);
        assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 1000));
    }
}

#[test]
fn a_user_who_has_the_floor_keeps_it() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.expect(Expectation::FloorGranted)
        .speech(10)
        .silence(3)
        .answer(0, 0.9)
        .silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 2000));
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.expect(Expectation::FloorGranted)
        .speech(10)
        .silence(3)
        .answer(0, 0.1)
        .silence(300);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 8000));
}

#[test]
fn an_expectation_never_shortens_max_nor_a_longer_min() {
    let slow = EndpointerConfig {
        delays: Delays::Fixed {
            min: ms(3000),
            max: ms(9000),
        },
        ..BASE
    };
    for expectation in [Expectation::Email, Expectation::FloorGranted] {
        let mut rig = Rig::new(slow);
        rig.expect(expectation).speech(10).silence(100);
        let end = rig.end();
        assert_eq!((end.min_delay, end.max_delay), (ms(3000), ms(9000)));
    }
    let fast = EndpointerConfig {
        delays: Delays::Fixed {
            min: ms(100),
            max: ms(150),
        },
        ..BASE
    };
    let mut rig = Rig::new(fast);
    rig.expect(Expectation::YesNo).speech(10).silence(100);
    assert_eq!(rig.end().min_delay, ms(100));
}

#[test]
fn an_expectation_holds_for_one_turn() {
    let mut rig = Rig::new(BASE);
    rig.expect(Expectation::Spelling)
        .speech(10)
        .silence(20)
        .speech(5)
        .silence(50);
    rig.speech(10).silence(50);
    let seen: Vec<_> = rig
        .ends
        .iter()
        .map(|e| (e.expectation, e.delay()))
        .collect();
    assert_eq!(
        seen,
        [
            (Expectation::Spelling, ms(1000)),
            (Expectation::Free, ms(300))
        ]
    );
    // A cleared turn takes it along, and so does one that the host ends.
    for ended in [Endpointer::clear, Endpointer::commit] {
        let mut rig = Rig::new(BASE);
        rig.expect(Expectation::Spelling)
            .speech(10)
            .host(ended)
            .silence(10);
        rig.speech(10).silence(20);
        assert_eq!(
            rig.ends.last().expect("a turn").expectation,
            Expectation::Free
        );
    }
}

#[test]
fn an_expectation_may_come_or_go_in_mid_pause() {
    let mut rig = Rig::new(BASE);
    rig.speech(10)
        .silence(9)
        .expect(Expectation::FloorGranted)
        .silence(100);
    assert_eq!(rig.end().delay(), ms(2000));
    let mut rig = Rig::new(BASE);
    rig.expect(Expectation::FloorGranted)
        .speech(10)
        .silence(30)
        .expect(Expectation::Free);
    assert_eq!(
        verdict(&rig.end()),
        (Wait::Min, Silence, 960),
        "now, not before"
    );
}

#[test]
fn model_timeouts_are_bound_by_the_largest_delay_in_force() {
    let mut rig = Rig::new(EndpointerConfig {
        delays: Delays::Fixed {
            min: ms(300),
            max: ms(500),
        },
        ..with_both()
    });
    rig.speech(10).silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Model, NoAnswer, 500));
}
