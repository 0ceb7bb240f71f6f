//! One test per rule about transcripts.

use super::*;
use TurnEndReason::*;

#[test]
fn a_turn_without_a_transcript_waits_for_it() {
    let mut rig = Rig::new(with_text(ms(1500)));
    rig.speech(10).silence(20).transcript(None);
    assert_eq!(verdict(&rig.end()), (Wait::Transcript, Silence, 640));
}

#[test]
fn a_transcript_that_never_comes_is_given_up() {
    let mut rig = Rig::new(with_text(ms(1500)));
    rig.speech(10).silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Transcript, NoTranscript, 1500));
    let mut patient = Rig::new(with_text(ms(60_000)));
    patient.speech(10).silence(100);
    assert_eq!(
        verdict(&patient.end()),
        (Wait::Transcript, NoTranscript, 2500)
    );
}

#[test]
fn an_early_transcript_changes_nothing() {
    let mut rig = Rig::new(with_text(ms(1500)));
    rig.speech(10).transcript(None).silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 300));
}

#[test]
fn a_transcript_wait_of_zero_never_waits() {
    let mut rig = Rig::new(with_text(SampleCount::ZERO));
    rig.speech(10).silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 300));
}

#[test]
fn waits_for_model_and_transcript_run_side_by_side() {
    let mut config = with_model(ms(1000));
    config.transcript_wait = Some(ms(1500));
    let mut rig = Rig::new(config);
    rig.speech(10).silence(20).answer(0, 0.9);
    assert_eq!(rig.ends, []);
    rig.silence(10).transcript(None);
    assert_eq!(verdict(&rig.end()), (Wait::Transcript, Complete, 960));

    // The transcript first, then the model.
    let mut rig = Rig::new(config);
    rig.speech(10).silence(20).transcript(None);
    assert_eq!(rig.ends, []);
    rig.silence(5).answer(0, 0.9);
    assert_eq!(verdict(&rig.end()), (Wait::Model, Complete, 800));

    // The model gives up first, its answer comes while the transcript is awaited, and still counts.
    let mut rig = Rig::new(config);
    rig.speech(10).silence(40).answer(0, 0.1).silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn a_late_transcript_amends_the_closed_turn() {
    let mut rig = Rig::new(with_text(SampleCount::ZERO));
    rig.speech(10).silence(20).transcript(None);
    assert_eq!(
        rig.amended,
        [TurnAmended {
            turn: 0,
            at: windows(10),
            decided_at: windows(30)
        }]
    );
    assert_eq!(rig.ends.len(), 1);
}

#[test]
fn a_transcript_of_the_closed_turn_amends_it_even_while_the_next_one_is_open() {
    let mut rig = Rig::new(with_text(ms(1500)));
    rig.speech(10).silence(60).speech(10);
    rig.transcript(Some(windows(10)));
    assert_eq!(rig.amended.len(), 1);
    // The open turn has still no transcript of its own.
    rig.silence(100);
    assert_eq!(
        verdict(&rig.ends[1]),
        (Wait::Transcript, NoTranscript, 1500)
    );
    // The same without a position goes to the open turn.
    let mut rig = Rig::new(with_text(ms(1500)));
    rig.speech(10).silence(60).speech(10).transcript(None);
    assert_eq!(rig.amended, []);
    rig.silence(100);
    assert_eq!(verdict(&rig.ends[1]), (Wait::Min, Silence, 300));
}

#[test]
fn a_transcript_of_unheard_speech_opens_a_turn_of_its_own() {
    let mut config = with_model(ms(1000));
    config.transcript_wait = Some(ms(1500));
    let mut rig = Rig::new(config);
    rig.silence(50).transcript(None);
    assert_eq!(rig.queries.len(), 1);
    rig.silence(3).answer(0, 0.9).silence(50);
    let end = rig.end();
    assert_eq!(verdict(&end), (Wait::Min, Complete, 300));
    assert_eq!((end.start, end.last_voiced), (windows(50), windows(50)));

    // Also after a closed turn: by its position, or after the amend window of 2 s.
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(30).transcript(Some(windows(35)));
    rig.silence(20);
    assert_eq!((rig.ends.len(), rig.amended.len()), (2, 0));
    let mut rig = Rig::new(BASE);
    rig.speech(10).silence(80).transcript(None).silence(20);
    assert_eq!((rig.ends.len(), rig.amended.len()), (2, 0));
}

#[test]
fn a_transcript_of_speech_after_a_commit_is_of_the_open_turn() {
    let mut rig = Rig::new(BASE);
    rig.speech(10).host(|e, now| e.commit(now)).speech(2);
    rig.transcript(Some(windows(10) + SampleCount(1)));
    assert_eq!(rig.amended, []);
    rig.transcript(Some(windows(10)));
    assert_eq!(rig.amended.len(), 1);
}
