//! LiveKit Agents 1.8.9, worked by hand: what happens after the user's last voiced sample, and when the turn
//! is over. Where the peer waits for a transcript without bound, `transcript_wait` is longer than the example.

use super::*;
use TurnEndReason::*;

/// The peer's defaults with a streaming turn model: 0.3 s and 2.5 s.
fn streaming() -> EndpointerConfig {
    EndpointerConfig {
        transcript_wait: Some(ms(2500)),
        ..with_model(ms(1000))
    }
}

/// Its defaults without one: 0.5 s and 3.0 s.
fn legacy() -> EndpointerConfig {
    EndpointerConfig {
        delays: Delays::Fixed {
            min: ms(500),
            max: ms(3000),
        },
        transcript_wait: Some(ms(2500)),
        ..BASE
    }
}

const SPEECH: u64 = 20;

/// `at` milliseconds after the last voiced sample.
fn after(at: u64) -> SamplePos {
    windows(SPEECH) + ms(at)
}

/// Goes on in silence to the last window boundary before that.
fn silence_until(rig: &mut Rig, at: u64) -> &mut Rig {
    while rig.now() + SampleCount(WINDOW) <= after(at) {
        rig.silence(1);
    }
    rig
}

#[test]
fn a_complete_turn_ends_with_its_final_transcript() {
    // Speech ends at 256 ms, the answer comes at 310 ms, the transcript at 350 ms.
    let mut rig = Rig::new(streaming());
    rig.speech(SPEECH);
    silence_until(&mut rig, 310).host_at(after(310), |e| e.answer(0, p(0.9), after(310)));
    silence_until(&mut rig, 350).host_at(after(350), |e| e.transcript(None, after(350)));
    assert_eq!(verdict(&rig.end()), (Wait::Transcript, Complete, 350));
}

#[test]
fn an_unfinished_turn_ends_after_max_delay() {
    let mut rig = Rig::new(streaming());
    rig.speech(SPEECH);
    silence_until(&mut rig, 310).host_at(after(310), |e| e.answer(0, p(0.1), after(310)));
    silence_until(&mut rig, 350).host_at(after(350), |e| e.transcript(None, after(350)));
    rig.silence(100);
    assert_eq!(verdict(&rig.end()), (Wait::Max, Unfinished, 2500));
}

#[test]
fn a_slow_vad_is_waited_for_and_not_added_to_the_delay() {
    // The plugin's 0.55 s are 18 windows, 576 ms: longer than the delay of 500 ms. The transcript comes at 300 ms.
    let mut rig = Rig::new(legacy());
    rig.min_silence = 18;
    rig.speech(SPEECH);
    silence_until(&mut rig, 300).host_at(after(300), |e| e.transcript(None, after(300)));
    rig.silence(20);
    assert_eq!(verdict(&rig.end()), (Wait::Min, Silence, 576));
}

#[test]
fn a_recogniser_that_does_not_stream_decides_when_it_is_done() {
    // Speech ends at 256 ms, and 400 ms later the transcript is there.
    let mut rig = Rig::new(legacy());
    rig.speech(SPEECH);
    silence_until(&mut rig, 656).host_at(after(656), |e| e.transcript(None, after(656)));
    assert_eq!(verdict(&rig.end()), (Wait::Transcript, Silence, 656));
}
