//! Each rule by itself.

use super::drive::{Op, Stream};
use super::*;

const fn w(windows: u64) -> SamplePos {
    SamplePos(windows * WINDOW)
}

const fn speech(windows: u64) -> SampleCount {
    SampleCount(windows * WINDOW)
}

/// The agent speaks from the start.
fn over_agent(config: OverlapConfig) -> Stream {
    let mut stream = Stream::new(config);
    stream.host(Op::Agent(true));
    stream
}

fn claims(stream: &Stream) -> Vec<OverlapClaim> {
    let claim = |event: &Event| match event {
        Event::OverlapClaim(claim) => Some(*claim),
        _ => None,
    };
    stream.events.iter().filter_map(claim).collect()
}

fn briefs(stream: &Stream) -> Vec<OverlapBrief> {
    let brief = |event: &Event| match event {
        Event::OverlapBrief(brief) => Some(*brief),
        _ => None,
    };
    stream.events.iter().filter_map(brief).collect()
}

fn false_ones(stream: &Stream) -> Vec<FalseInterruption> {
    let found = |event: &Event| match event {
        Event::FalseInterruption(event) => Some(*event),
        _ => None,
    };
    stream.events.iter().filter_map(found).collect()
}

/// The only verdict, which is a brief one.
fn only_brief(stream: &Stream) -> OverlapBrief {
    assert_eq!(stream.events.len(), 1, "{:?}", stream.events);
    briefs(stream)[0]
}

#[test]
fn a_claim_comes_with_the_window_that_completes_the_duration() {
    let mut stream = over_agent(BASE);
    stream.silent(10).voiced(15);
    assert_eq!(stream.events, []);
    stream.voiced(1);
    let claim = claims(&stream)[0];
    assert_eq!((claim.at, claim.decided_at), (w(10), w(26)));
    assert_eq!(claim.facts.speech_duration, speech(16));
    assert_eq!(claim.facts.agent_start, w(0));
    assert_eq!((claim.segment, claim.turn), (0, 0));
    assert_eq!((claim.facts.words, claim.facts.probability), (None, None));
    stream.voiced(40).silent(8);
    assert_eq!(stream.events.len(), 1, "one verdict is enough");
}

/// LiveKit Agents 1.8.9 counts silence as speech: with its plugin's 0.55 s of `min_silence`, a burst of 150 ms interrupts
/// after 0.288 s of silence.
#[test]
fn silence_behind_a_burst_of_150_ms_is_not_speech() {
    let mut stream = over_agent(BASE);
    stream.min_silence = 18;
    stream.silent(10).voiced(5).silent(17);
    assert_eq!(stream.events, []);
    stream.silent(1);
    let brief = only_brief(&stream);
    assert_eq!(brief.reason, BriefReason::TooShort);
    assert_eq!(brief.facts.speech_duration, speech(5));
    assert_eq!((brief.at, brief.until), (w(10), w(15)));
    assert_eq!(brief.decided_at, w(33));
}

#[test]
fn pauses_inside_speech_are_not_speech() {
    let mut stream = over_agent(BASE);
    for _ in 0..3 {
        stream.voiced(5).silent(7);
    }
    assert_eq!(stream.events, []);
    stream.voiced(1);
    assert_eq!(claims(&stream)[0].facts.speech_duration, speech(16));
}

#[test]
fn speech_before_the_agent_does_not_count() {
    let mut stream = Stream::new(BASE);
    stream.voiced(20).wait(100).host(Op::Agent(true)).voiced(15);
    assert_eq!(stream.events, []);
    stream.voiced(1);
    let claim = claims(&stream)[0];
    assert_eq!(claim.at, SamplePos(20 * WINDOW + 100));
    assert_eq!(claim.facts.agent_start, claim.at);
    assert_eq!(claim.facts.speech_duration, speech(16));
}

/// Of a window in which the agent begins only its end is overlap.
#[test]
fn an_agent_that_begins_inside_a_window_overlaps_with_its_rest() {
    let mut stream = Stream::new(BASE);
    stream.voiced(10);
    stream.host_at(10 * WINDOW + 412, Op::Agent(true));
    stream.voiced(3).silent(8);
    let brief = only_brief(&stream);
    assert_eq!(brief.at, SamplePos(10 * WINDOW + 412));
    assert_eq!(brief.facts.speech_duration, SampleCount(100 + 2 * WINDOW));
}

#[test]
fn an_agent_that_begins_in_a_pause_overlaps_from_the_next_voiced_window() {
    let mut stream = Stream::new(BASE);
    stream.voiced(10).silent(2).host(Op::Agent(true));
    stream.silent(3).voiced(2).silent(8);
    let brief = only_brief(&stream);
    assert_eq!((brief.at, brief.facts.speech_duration), (w(15), speech(2)));
}

#[test]
fn an_agent_that_begins_in_trailing_silence_overlaps_with_nothing() {
    let mut stream = Stream::new(BASE);
    stream.voiced(10).silent(2).host(Op::Agent(true)).silent(20);
    assert_eq!(stream.finish(), []);
}

#[test]
fn the_end_of_the_agents_speech_ends_the_overlap_and_the_rest_is_none() {
    let mut stream = over_agent(BASE);
    stream.voiced(10).host(Op::Agent(false));
    let brief = only_brief(&stream);
    assert_eq!((brief.until, brief.decided_at), (w(10), w(10)));
    assert_eq!(brief.reason, BriefReason::TooShort);
    stream.voiced(40).silent(20);
    assert_eq!(stream.finish().len(), 1);
}

#[test]
fn speech_that_is_never_confirmed_has_no_verdict() {
    let mut stream = over_agent(BASE);
    for _ in 0..20 {
        stream.voiced(1).silent(1);
    }
    assert_eq!(stream.finish(), []);
}

#[test]
fn speech_that_is_confirmed_after_the_agent_has_no_verdict() {
    let mut stream = over_agent(BASE);
    stream.voiced(1).host(Op::Agent(false)).voiced(20).silent(8);
    assert_eq!(stream.finish(), []);
}

#[test]
fn every_speech_over_the_agent_has_its_own_verdict() {
    let mut stream = over_agent(BASE);
    for _ in 0..3 {
        stream.voiced(10).silent(8);
    }
    let segments: Vec<u64> = briefs(&stream).iter().map(|brief| brief.segment).collect();
    assert_eq!(segments, [0, 1, 2]);
    assert_eq!(briefs(&stream)[2].turn, 1);
}

#[test]
fn the_guard_holds_a_claim_back_and_names_itself() {
    let guard = OverlapConfig {
        playback_guard: SampleCount(20 * WINDOW),
        ..BASE
    };
    let mut stream = over_agent(guard);
    stream.voiced(19).silent(8);
    assert_eq!(only_brief(&stream).reason, BriefReason::Guard);
    // Speech that goes on is a claim with the first window behind the guard.
    let mut stream = over_agent(guard);
    stream.voiced(25);
    assert_eq!(claims(&stream)[0].decided_at, w(20));
}

#[test]
fn the_guard_does_not_concern_a_user_who_spoke_first() {
    let guard = OverlapConfig {
        playback_guard: SampleCount(100 * WINDOW),
        ..BASE
    };
    let mut stream = Stream::new(guard);
    stream.voiced(3).host(Op::Agent(true)).voiced(16);
    assert_eq!(claims(&stream)[0].decided_at, w(19));
}

#[test]
fn protected_speech_cannot_be_claimed() {
    let mut stream = over_agent(BASE);
    stream.host(Op::Interruptible(false)).voiced(60).silent(8);
    let brief = only_brief(&stream);
    assert_eq!(brief.reason, BriefReason::Protected);
    assert_eq!(stream.tracker.is_interruption(0), None, "nothing to learn");
    stream
        .host(Op::Agent(false))
        .host(Op::Agent(true))
        .voiced(16);
    assert_eq!(claims(&stream).len(), 1, "protection ends with the speech");
}

#[test]
fn protection_may_be_said_before_the_agent_begins_and_lifted_in_speech() {
    let mut stream = Stream::new(BASE);
    stream.host(Op::Interruptible(false)).host(Op::Agent(true));
    stream.voiced(30).host(Op::Interruptible(true));
    assert_eq!(stream.events, [], "the next voiced window decides");
    stream.voiced(1);
    assert_eq!(claims(&stream)[0].decided_at, w(31));
}

const WORDS: OverlapConfig = OverlapConfig {
    min_words: 2,
    words_wait: SampleCount(20 * WINDOW),
    ..BASE
};

#[test]
fn words_and_duration_are_both_needed() {
    let mut stream = over_agent(WORDS);
    stream.voiced(10).host(Op::Words(2)).voiced(5);
    assert_eq!(stream.events, []);
    stream.voiced(1);
    assert_eq!(claims(&stream)[0].facts.words, Some(2));

    let mut stream = over_agent(WORDS);
    stream.voiced(30).host(Op::Words(1));
    assert_eq!(stream.events, []);
    stream.silent(3).wait(5).host(Op::Words(2));
    let claim = claims(&stream)[0];
    assert_eq!(claim.decided_at, SamplePos(33 * WINDOW + 5));
    assert_eq!(claim.facts.speech_duration, speech(30));
}

#[test]
fn fewer_words_than_before_are_not_believed() {
    let mut stream = over_agent(WORDS);
    stream
        .voiced(5)
        .host(Op::Words(2))
        .host(Op::Words(0))
        .voiced(11);
    assert_eq!(claims(&stream)[0].facts.words, Some(2));
}

#[test]
fn words_are_waited_for_behind_the_speech() {
    let mut stream = over_agent(WORDS);
    stream.voiced(20).silent(15).wait(7).host(Op::Words(3));
    let claim = claims(&stream)[0];
    assert_eq!(claim.decided_at, SamplePos(35 * WINDOW + 7));

    let mut stream = over_agent(WORDS);
    stream.voiced(20).silent(19);
    assert_eq!(stream.events, []);
    stream.silent(1);
    let brief = only_brief(&stream);
    assert_eq!(brief.reason, BriefReason::TooFewWords);
    assert_eq!((brief.until, brief.decided_at), (w(20), w(40)));
    stream.host(Op::Words(9));
    assert_eq!(stream.events.len(), 1, "too late");
}

#[test]
fn the_next_speech_and_the_end_of_the_agents_end_the_wait_for_words() {
    let mut stream = over_agent(WORDS);
    stream.voiced(20).silent(8).voiced(1);
    assert_eq!(stream.events, [], "not confirmed yet");
    stream.voiced(1);
    assert_eq!(only_brief(&stream).decided_at, w(30));
    stream.voiced(14).host(Op::Words(2));
    assert_eq!(claims(&stream)[0].segment, 1);

    let mut stream = over_agent(WORDS);
    stream.voiced(20).silent(9).host(Op::Agent(false));
    assert_eq!(only_brief(&stream).decided_at, w(29));
}

#[test]
fn short_speech_does_not_wait_for_words() {
    let mut stream = over_agent(WORDS);
    stream.voiced(5).silent(8);
    let brief = only_brief(&stream);
    assert_eq!(
        (brief.reason, brief.decided_at),
        (BriefReason::TooShort, w(13))
    );
}

#[test]
fn a_transcript_is_a_word_of_the_speech_it_covers() {
    let one = OverlapConfig {
        min_words: 1,
        ..WORDS
    };
    let mut stream = over_agent(one);
    stream.silent(20).voiced(20).silent(2);
    stream.host(Op::Transcript(Some(25 * WINDOW)));
    assert_eq!(stream.events, [], "of speech before the overlap");
    stream.host(Op::Transcript(Some(2 * WINDOW)));
    assert_eq!(claims(&stream)[0].facts.words, Some(1));
}

#[test]
fn an_agent_is_interrupted_once() {
    let mut stream = over_agent(BASE);
    stream.voiced(16).host(Op::Words(1)).silent(8);
    stream.voiced(30).silent(8).voiced(4).silent(100);
    assert_eq!(stream.finish().len(), 1, "{:?}", stream.events);
    stream
        .host(Op::Agent(false))
        .host(Op::Agent(true))
        .voiced(16);
    assert_eq!(claims(&stream).len(), 2);
}

#[test]
fn saying_again_that_the_agent_speaks_changes_nothing() {
    let mut stream = over_agent(BASE);
    stream.voiced(8).host(Op::Agent(true)).voiced(8);
    assert_eq!(claims(&stream)[0].facts.agent_start, w(0));
}

#[test]
fn a_claim_without_words_is_false_after_the_timeout() {
    let mut stream = over_agent(BASE);
    stream
        .voiced(16)
        .host(Op::Agent(false))
        .voiced(4)
        .silent(62);
    assert_eq!(false_ones(&stream), []);
    stream.silent(1);
    let event = false_ones(&stream)[0];
    assert_eq!((event.claim_at, event.at), (w(16), w(20)));
    assert_eq!(event.decided_at, w(20) + SampleCount(32_000));
    assert_eq!((event.segment, event.turn), (0, 0));
    stream.silent(200);
    assert_eq!(false_ones(&stream).len(), 1);
}

#[test]
fn words_a_transcript_or_a_commit_make_a_claim_true() {
    for op in [
        Op::Words(1),
        Op::Transcript(None),
        Op::Transcript(Some(0)),
        Op::Commit,
    ] {
        let mut stream = over_agent(BASE);
        stream.voiced(20).silent(50).host(op).silent(100);
        assert_eq!(false_ones(&stream), [], "{op:?}");
    }
    for op in [Op::Words(0), Op::Transcript(Some(80 * WINDOW))] {
        let mut stream = Stream::new(BASE);
        stream.silent(40).host(Op::Agent(true));
        stream.voiced(20).silent(50).host(op).silent(100);
        assert_eq!(false_ones(&stream).len(), 1, "{op:?}");
    }
}

#[test]
fn words_before_the_claim_make_it_true_at_once() {
    let mut stream = over_agent(BASE);
    stream.voiced(10).host(Op::Words(1)).voiced(6).silent(200);
    assert_eq!(claims(&stream).len(), 1);
    assert_eq!(false_ones(&stream), []);
}

#[test]
fn speech_starts_the_time_of_a_false_interruption_over() {
    let mut stream = over_agent(BASE);
    stream.voiced(20).silent(60).voiced(3).silent(62);
    assert_eq!(false_ones(&stream), []);
    stream.silent(1);
    let event = false_ones(&stream)[0];
    assert_eq!(event.at, w(83));
    assert_eq!(event.decided_at, w(83) + SampleCount(32_000));
}

#[test]
fn an_agent_that_speaks_again_has_settled_the_claim() {
    let mut stream = over_agent(BASE);
    stream.voiced(20).host(Op::Agent(false)).silent(20);
    stream.host(Op::Agent(true)).silent(100);
    assert_eq!(false_ones(&stream), []);
}

#[test]
fn after_a_false_interruption_the_same_speech_of_the_agent_can_be_interrupted() {
    let mut stream = over_agent(BASE);
    stream.voiced(16).silent(100);
    assert_eq!(false_ones(&stream).len(), 1);
    stream.voiced(16);
    assert_eq!(claims(&stream).len(), 2);
}

#[test]
fn without_a_timeout_nothing_is_called_false() {
    let mut stream = over_agent(OverlapConfig {
        false_interruption_timeout: None,
        ..BASE
    });
    stream.voiced(16).silent(1000);
    assert_eq!(false_ones(&stream), []);
}

#[test]
fn the_end_of_the_stream_ends_what_is_open() {
    let mut stream = over_agent(BASE);
    assert_eq!(stream.voiced(5).finish().len(), 1);
    let mut stream = over_agent(WORDS);
    assert_eq!(stream.voiced(20).silent(9).finish().len(), 1);
    let mut stream = over_agent(BASE);
    stream.voiced(16).finish();
    assert_eq!(
        stream.silent(200).finish().len(),
        1,
        "the claim is forgotten"
    );
    stream.voiced(5).silent(8);
    assert_eq!(briefs(&stream).len(), 1, "the agent still speaks");
}

#[test]
fn a_gap_ends_the_overlap_and_timers_run_through_it() {
    let mut stream = over_agent(BASE);
    stream.voiced(5).host(Op::Gap(9_000));
    assert_eq!(only_brief(&stream).decided_at, w(5));
    let mut stream = over_agent(BASE);
    stream.voiced(16).host(Op::Gap(90_000));
    assert_eq!(
        false_ones(&stream)[0].decided_at,
        w(16) + SampleCount(32_000)
    );
}

#[test]
fn the_models_answer_is_in_the_record() {
    let mut stream = over_agent(BASE);
    stream.voiced(4).silent(3).host(Op::Answer(0.25)).silent(5);
    let probability = only_brief(&stream).facts.probability;
    assert_eq!(probability, Some(Probability::clamped(0.25)));
    stream.voiced(4).silent(8);
    assert_eq!(
        briefs(&stream)[1].facts.probability,
        None,
        "of another pause"
    );
}

#[test]
fn a_turn_wholly_over_the_agent_and_brief_says_so() {
    let verdict = |stream: &Stream| stream.tracker.turn_verdict(0);
    let brief = Some(OverlapVerdict::Brief(BriefReason::TooShort));
    let mut stream = over_agent(BASE);
    stream.voiced(5).silent(8).voiced(5);
    stream.silent(8);
    assert_eq!(verdict(&stream), brief);
    assert_eq!(stream.tracker.turn_verdict(1), None, "another turn");
    // The agent's end, or its start, inside the speech: some of it was said to a silent agent.
    let mut stream = over_agent(BASE);
    stream.voiced(5).host(Op::Agent(false)).voiced(1).silent(8);
    assert_eq!((briefs(&stream).len(), verdict(&stream)), (1, None));
    let mut stream = Stream::new(BASE);
    stream.voiced(1).host(Op::Agent(true)).voiced(5).silent(8);
    assert_eq!((briefs(&stream).len(), verdict(&stream)), (1, None));
    // A second segment of the turn in silence.
    let mut stream = over_agent(BASE);
    stream
        .voiced(5)
        .silent(8)
        .host(Op::Agent(false))
        .voiced(5)
        .silent(8);
    assert_eq!(verdict(&stream), None);
    // An onset that came to nothing is no speech of the turn.
    let mut stream = Stream::new(BASE);
    stream
        .voiced(1)
        .silent(1)
        .host(Op::Agent(true))
        .voiced(5)
        .silent(8);
    assert_eq!(verdict(&stream), brief);
}

#[test]
fn a_turn_that_interrupts_says_so_until_that_proves_false() {
    let mut stream = over_agent(BASE);
    stream
        .voiced(16)
        .host(Op::Agent(false))
        .voiced(20)
        .silent(8);
    assert_eq!(stream.tracker.turn_verdict(0), Some(OverlapVerdict::Claim));
    assert_eq!(stream.tracker.is_interruption(0), Some(true));
    let mut stream = over_agent(BASE);
    stream.voiced(16).silent(100);
    let withdrawn = Some(OverlapVerdict::Brief(BriefReason::TooFewWords));
    assert_eq!(stream.tracker.turn_verdict(0), withdrawn);
}

#[test]
fn a_verdict_is_about_its_own_segment() {
    let mut stream = over_agent(BASE);
    stream.voiced(5).silent(8);
    assert_eq!(stream.tracker.is_interruption(0), Some(false));
    assert_eq!(stream.tracker.is_interruption(1), None);
}

#[test]
fn the_agents_own_voice_is_no_claim_until_the_user_is_heard() {
    let mut stream = over_agent(BASE);
    stream.coherence = Some(0.95);
    stream.voiced(40).silent(8);
    let brief = only_brief(&stream);
    assert_eq!(brief.reason, BriefReason::OwnVoice);
    assert_eq!(brief.facts.coherence, Some(0.95));
    // The user joins in: some windows later the echo explains too little.
    stream.voiced(40);
    stream.coherence = Some(0.5);
    stream.voiced(1);
    assert_eq!(claims(&stream), [], "one window is not enough");
    stream.voiced(1);
    assert_eq!(claims(&stream).len(), 1);
}

#[test]
fn short_echo_is_called_echo() {
    let mut stream = over_agent(BASE);
    stream.coherence = Some(0.9);
    stream.voiced(3).silent(8);
    assert_eq!(only_brief(&stream).reason, BriefReason::OwnVoice);
}
