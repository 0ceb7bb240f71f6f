//! One test per rule.

use super::*;
use TurnEndReason::*;

// The anchor and the delays.

#[test]
fn silence_alone_ends_a_turn_min_delay_after_the_last_voiced_sample() {
    let mut rig = Rig::new(BASE);
    rig.silence(3).speech(10).silence(20);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Silence, 300));
    assert_eq!((end.turn, end.start), (0, windows(3)));
    assert_eq!(end.last_voiced, windows(13));
    assert_eq!((end.min_delay, end.max_delay), (ms(300), ms(2500)));
    assert_eq!((end.probability(), end.threshold()), (None, None));
}

#[test]
fn a_turn_never_ends_before_its_speech_does() {
    let config = EndpointerConfig {
        delays: Delays::Fixed {
            min: ms(100),
            max: ms(200),
        },
        ..BASE
    };
    let mut rig = Rig::new(config);
    rig.speech(10).silence(20);
    // The segmenter needs 8 windows of 32 ms, more than either delay.
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 256));
}

#[test]
fn a_dip_inside_speech_moves_the_anchor_but_ends_nothing() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(7).speech(1).silence(20);
    let end = rig.end();
    assert_eq!(end.last_voiced, windows(18));
    assert_eq!(verdict(&end), (Wait::Min, Silence, 300));
}

#[test]
fn speech_before_the_deadline_goes_on_with_the_turn() {
    let config = EndpointerConfig {
        delays: Delays::Fixed {
            min: ms(1000),
            max: ms(2500),
        },
        ..BASE
    };
    let mut rig = Rig::new(config);
    // The second speech is confirmed at 0.96 s after the first.
    rig.speech(10).silence(28).speech(10).silence(40);
    assert_eq!(rig.starts, [0, 0]);
    let end = rig.end();
    assert_eq!((end.start, end.last_voiced), (windows(0), windows(48)));
    assert_eq!(verdict(&end), (Wait::Min, Silence, 1000));
    rig.speech(3);
    assert_eq!(rig.starts, [0, 0, 1]);
}

#[test]
fn speech_confirmed_at_the_very_deadline_wins() {
    let mut endpointer = Endpointer::new(BASE, SamplePos(0));
    endpointer.speech_started(windows(0), windows(2));
    endpointer.speech_ended(windows(2), windows(10));
    let deadline = SamplePos(2 * WINDOW + 4800);
    assert_eq!(endpointer.deadline(), Some(deadline));
    assert_eq!(endpointer.speech_started(windows(11), deadline), 0);
    assert_eq!((endpointer.deadline(), endpointer.poll()), (None, None));
    // One sample later is too late.
    endpointer.speech_ended(windows(12), windows(20));
    let deadline = SamplePos(12 * WINDOW + 4800);
    let late = deadline + SampleCount(1);
    assert_eq!(endpointer.speech_started(deadline, late), 1);
}

// The model.

#[test]
fn the_model_is_asked_once_per_pause_and_before_the_speech_has_ended() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(4).speech(1).silence(20);
    let asked: Vec<_> = rig
        .queries
        .iter()
        .map(|q| (q.id, q.turn, q.start, q.last_voiced, q.decided_at))
        .collect();
    assert_eq!(
        asked,
        [
            (0, 0, windows(0), windows(10), windows(12)),
            (1, 0, windows(0), windows(15), windows(17)),
        ]
    );
}

#[test]
fn a_model_that_has_not_been_asked_is_asked_when_speech_ends() {
    let mut config = with_model(ms(1000));
    if let Some(model) = &mut config.model {
        model.query_after_windows = 100;
    }
    let mut rig = Rig::new(config);
    rig.speech(10).silence(20);
    assert_eq!(rig.queries.len(), 1);
    assert_eq!(rig.queries[0].decided_at, windows(18));
}

#[test]
fn a_complete_turn_ends_after_min_delay() {
    let mut rig = Rig::new(with_model(ms(1000)));
    // At the threshold counts as complete.
    rig.speech(10).silence(3).answer(0, 0.5).silence(20);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Complete, 300));
    assert_eq!(
        (end.probability(), end.threshold()),
        (Some(p(0.5)), Some(p(0.5)))
    );
}

#[test]
fn an_unfinished_turn_waits_for_max_delay() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(3).answer(0, 0.49).silence(100);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Max, Unfinished, 2500));
    assert_eq!(end.probability(), Some(p(0.49)));
}

#[test]
fn a_late_answer_ends_a_complete_turn_at_its_arrival() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(20);
    assert_eq!(rig.ends, []);
    rig.answer(0, 0.9);
    assert_eq!(verdict(&rig.end()), (Wait::Model, Complete, 640));
}

#[test]
fn a_late_answer_keeps_an_unfinished_turn_open() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(20).answer(0, 0.1).silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn a_missing_answer_is_awaited_until_its_timeout() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(50);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Model, NoAnswer, 1000));
    assert_eq!((end.probability(), end.threshold()), (None, None));
    // Then it is stale.
    rig.answer(0, 0.9);
    assert_eq!(rig.endpointer.stats().stale_answers, 1);
    assert_eq!(rig.ends.len(), 1);
}

#[test]
fn the_model_timeout_never_exceeds_max_delay_and_never_cuts_min_delay() {
    let mut long = Rig::new(with_model(ms(60_000)));
    long.speech(10).silence(100);
    assert_eq!(verdict(&long.end()), (Wait::Model, NoAnswer, 2500));
    let mut short = Rig::new(with_model(ms(10)));
    short.speech(10).silence(100);
    assert_eq!(verdict(&short.end()), (Wait::Min, NoAnswer, 300));
}

#[test]
fn answers_about_an_older_pause_are_stale() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(4).speech(1).silence(4);
    rig.answer(0, 0.9).answer(7, 0.9);
    assert_eq!(rig.endpointer.stats().stale_answers, 2);
    rig.answer(1, 0.1).answer(1, 0.9); // the first answer to a question counts
    assert_eq!(rig.endpointer.stats().stale_answers, 3);
    rig.silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn the_threshold_can_change_with_the_language() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.host(|e, _| e.set_model_threshold(p(0.01)));
    rig.speech(10).silence(3).answer(0, 0.02).silence(20);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Complete, 300));
    assert_eq!(end.threshold(), Some(p(0.01)));
}

#[test]
fn an_answer_dies_with_its_pause() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10)
        .silence(3)
        .answer(0, 0.9)
        .speech(1)
        .silence(50);
    assert_eq!(verdict(&rig.end()), (Wait::Model, NoAnswer, 1000));
}

#[test]
fn confirmed_speech_is_a_new_pause_even_if_it_moves_no_anchor() {
    // A transcript opens the turn at sample 1010. Speech that ended at 990 is decided at 1024, as behind a
    // resampler with a delay.
    let mut endpointer = Endpointer::new(with_model(ms(1000)), SamplePos(0));
    endpointer.transcript(None, SamplePos(1010));
    endpointer.answer(0, p(0.9), SamplePos(1010));
    endpointer.speech_started(SamplePos(0), windows(2));
    endpointer.speech_ended(SamplePos(990), windows(10));
    let mut asked = Vec::new();
    while let Some(output) = endpointer.poll() {
        if let TurnOutput::Query(query) = output {
            asked.push((query.id, query.last_voiced));
        }
    }
    assert_eq!(asked, [(0, SamplePos(1010)), (1, SamplePos(1010))]);
}

#[test]
fn a_segmenter_slower_than_every_delay_is_what_was_waited_for() {
    let mut config = with_model(ms(200));
    config.transcript_wait = Some(ms(220));
    config.delays = Delays::Fixed {
        min: ms(100),
        max: ms(2500),
    };
    let mut rig = Rig::new(config);
    rig.speech(10).silence(20);
    assert_eq!(verdict(&rig.end()), (Wait::Min, NoAnswer, 256));
}

// Onsets.

#[test]
fn a_decision_waits_one_window_for_speech_that_seems_to_begin() {
    // 300 ms lies inside the tenth window of silence.
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(8).speech(1);
    assert_eq!(rig.ends, []);
    rig.speech(1);
    assert_eq!(rig.starts, [0, 0]);
    rig.silence(30);
    assert_eq!(rig.end().last_voiced, windows(20));

    // A click is no speech: the turn ends with the window that says so.
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(8).speech(1).silence(1);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 320));
}

#[test]
fn a_decision_is_held_back_for_one_window_only() {
    let mut endpointer = Endpointer::new(BASE, SamplePos(0));
    endpointer.speech_started(windows(0), windows(2));
    endpointer.window(Some(windows(2)), 0, false, windows(2));
    endpointer.speech_ended(windows(2), windows(10));
    endpointer.window(None, 1, true, windows(11));
    assert_eq!(endpointer.deadline(), Some(SamplePos(2 * WINDOW + 4800)));
    // The stream breaks off: no window comes.
    endpointer.advance(windows(100));
    let Some(TurnOutput::EndOfTurn(end)) = endpointer.poll() else {
        panic!("the turn did not end");
    };
    assert_eq!(end.delay(), ms(300) + SampleCount(WINDOW));
    assert_eq!(end.wait, Wait::Min);
}

#[test]
fn an_answer_while_a_decision_is_held_back_does_not_let_it_go() {
    let mut config = with_model(ms(300));
    config.transcript_wait = Some(SampleCount::ZERO);
    let mut rig = Rig::new(config);
    rig.speech(10).silence(8).speech(1);
    // The decision fell at 300 ms, the onset ends at 288 ms: push it there by hand.
    rig.endpointer.advance(windows(19) + ms(12));
    assert_eq!(rig.endpointer.poll(), None);
    rig.endpointer.answer(0, p(0.9), windows(19) + ms(13));
    rig.endpointer.transcript(None, windows(19) + ms(14));
    rig.drain();
    assert_eq!(rig.ends, []);
    rig.silence(1);
    // Neither was waited for: the time for both was over.
    assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 320));
}

#[test]
fn an_input_while_a_decision_is_held_back_does_not_hold_it_longer() {
    let mut config = with_model(ms(300));
    config.transcript_wait = Some(ms(1500));
    let mut endpointer = Endpointer::new(config, SamplePos(0));
    endpointer.speech_started(windows(0), windows(2));
    endpointer.window(Some(windows(2)), 0, false, windows(2));
    endpointer.transcript(None, windows(3));
    endpointer.speech_ended(windows(2), windows(10));
    endpointer.window(None, 9, true, windows(11));
    let decision = windows(2) + ms(300);
    endpointer.answer(0, p(0.9), decision + ms(10));
    endpointer.transcript(None, decision + ms(20));
    assert_eq!(endpointer.deadline(), Some(decision + SampleCount(WINDOW)));
    endpointer.advance(windows(20));
    let mut rig = Rig::new(config);
    rig.endpointer = endpointer;
    rig.drain();
    // Not "transcript": the turn had one already.
    assert_eq!(verdict(&rig.end()), (Wait::Min, Complete, 332));
}

#[test]
fn the_ceiling_and_the_host_wait_for_no_onset() {
    let config = EndpointerConfig {
        max_turn: Some(SampleCount(19 * WINDOW)),
        ..BASE
    };
    let mut rig = Rig::new(config);
    rig.speech(10).silence(8).speech(1);
    assert_eq!(verdict(&rig.end()), (Wait::Ceiling, TooLong, 9 * 32));
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(8).speech(1);
    rig.host(|e, now| e.commit(now));
    assert_eq!(verdict(&rig.end()), (Wait::Flush, Committed, 9 * 32));
}

// Ceiling, commit, clear, finish.

#[test]
fn a_turn_that_reaches_the_ceiling_ends_in_mid_speech_and_the_next_one_begins_there() {
    let config = EndpointerConfig {
        max_turn: Some(ms(1000)),
        ..BASE
    };
    let mut rig = Rig::new(config);
    rig.silence(1).speech(70).silence(20);
    let ends: Vec<_> = rig
        .ends
        .iter()
        .map(|e| (e.turn, e.start.0, e.decided_at.0, e.wait))
        .collect();
    assert_eq!(
        ends,
        [
            (0, 512, 512 + 16_000, Wait::Ceiling),
            (1, 512 + 16_000, 512 + 32_000, Wait::Ceiling),
            (2, 512 + 32_000, 71 * 512 + 4800, Wait::Min),
        ]
    );
    assert_eq!(rig.starts, [0]);
}

#[test]
fn a_ceiling_just_before_the_end_of_speech_leaves_no_empty_turn() {
    let config = EndpointerConfig {
        max_turn: Some(SampleCount(12 * WINDOW)),
        ..BASE
    };
    let mut rig = Rig::new(config);
    rig.speech(10).silence(50);
    assert_eq!(rig.end().wait, Wait::Ceiling);
    assert_eq!(rig.endpointer.turn(), None);
}

#[test]
fn a_ceiling_shorter_than_the_onset_ends_the_turn_when_it_is_known() {
    let config = EndpointerConfig {
        max_turn: Some(SampleCount(WINDOW)),
        ..BASE
    };
    let mut rig = Rig::new(config);
    rig.silence(1).speech(2);
    assert_eq!(rig.end().decided_at, windows(3));
}

#[test]
fn commit_ends_the_turn_at_once_and_speech_after_it_is_a_new_turn() {
    let mut rig = Rig::new(BASE);
    rig.host(|e, now| e.commit(now)); // without a turn: nothing
    rig.speech(10).host(|e, now| e.commit(now));
    assert_eq!(verdict(&rig.end()), (Wait::Flush, Committed, 0));
    rig.host(|e, now| e.commit(now));
    assert_eq!(rig.ends.len(), 1);
    rig.speech(5).silence(20);
    let second = rig.ends[1];
    assert_eq!((second.turn, second.start), (1, windows(10)));
    assert_eq!(second.last_voiced, windows(15));
    assert_eq!(rig.starts, [0]);
}

#[test]
fn a_window_across_the_commit_belongs_to_the_turn_before() {
    let mut endpointer = Endpointer::new(BASE, SamplePos(0));
    endpointer.speech_started(windows(0), windows(2));
    endpointer.window(Some(windows(2)), 0, false, windows(2));
    endpointer.commit(SamplePos(2 * WINDOW + 1));
    endpointer.window(Some(windows(3)), 0, false, windows(3));
    assert_eq!(endpointer.turn(), None);
    endpointer.window(Some(windows(4)), 0, false, windows(4));
    assert_eq!(endpointer.turn(), Some(1));
}

#[test]
fn clear_forgets_the_turn_and_what_is_said_of_it_later() {
    let mut rig = Rig::new(with_text(ms(1500)));
    rig.speech(10).host(|e, now| e.clear(now)).silence(20);
    assert_eq!(rig.ends, []);
    rig.transcript(None).transcript(Some(windows(10)));
    assert_eq!((rig.ends.len(), rig.amended.len()), (0, 0));
    assert_eq!(
        rig.endpointer.stats(),
        TurnStats {
            cleared_turns: 1,
            dropped_transcripts: 2,
            ..TurnStats::default()
        }
    );
    rig.speech(10).silence(100);
    assert_eq!(rig.end().turn, 1);
}

#[test]
fn clear_after_a_commit_in_mid_speech_moves_the_cut() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).host(|e, now| e.commit(now)).silence(2);
    rig.host(|e, now| e.clear(now)).speech(2).silence(30);
    assert_eq!(rig.ends[1].start, windows(12));
}

#[test]
fn the_stream_can_go_on_after_the_end_of_input() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).host(|e, now| e.finish(now, EndOfInput));
    rig.voiced_until = None; // the segmenter ends its speech too
    rig.silence(80)
        .transcript(None)
        .silence(20)
        .speech(5)
        .silence(20);
    let ends: Vec<_> = rig.ends.iter().map(|e| (e.turn, e.wait)).collect();
    assert_eq!(ends, [(0, Wait::Flush), (1, Wait::Min), (2, Wait::Min)]);
}

#[test]
fn the_end_of_input_ends_the_turn_and_its_speech() {
    let mut rig = Rig::new(with_model(ms(1000)));
    rig.speech(10).silence(1);
    rig.host(|e, now| e.finish(now, EndOfInput));
    assert_eq!(verdict(&rig.end()), (Wait::Flush, EndOfInput, 32));
    assert_eq!(rig.queries, []);
    rig.host(|e, now| e.finish(now, EndOfInput));
    assert_eq!(rig.ends.len(), 1);
}

#[test]
fn the_clock_of_a_gap_fires_the_deadlines_inside_it_at_their_own_positions() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(8);
    rig.endpointer.advance(SamplePos(1 << 40));
    rig.drain();
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 300));
}

#[test]
fn a_change_of_rate_moves_the_turn_and_its_timers() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(9);
    let twice = |at: SamplePos| SamplePos(at.0 * 2);
    let config = EndpointerConfig {
        rate: SampleRate::new(32_000).expect("a rate"),
        window: SampleCount(1024),
        delays: Delays::Fixed {
            min: SampleCount(9600),
            max: SampleCount(80_000),
        },
        ..BASE
    };
    rig.endpointer.rebase(config, twice);
    assert_eq!(rig.endpointer.deadline(), Some(SamplePos(10 * 1024 + 9600)));
    rig.endpointer.advance(SamplePos(1 << 20));
    rig.drain();
    let end = rig.end();
    assert_eq!(end.last_voiced, SamplePos(10 * 1024));
    assert_eq!(end.delay(), SampleCount(9600));

    // A cut moves too.
    let mut rig = Rig::new(BASE);
    rig.speech(10).host(|e, now| e.commit(now));
    let endpointer = &mut rig.endpointer;
    endpointer.rebase(config, twice);
    let until = SamplePos(11 * 1024);
    endpointer.window(Some(until), 0, false, until);
    endpointer.commit(until);
    rig.drain();
    assert_eq!(rig.ends[1].start, SamplePos(10 * 1024));
}
