//! Events as plain data.

use engine::{
    BriefReason, EndOfTurn, Event, Expectation, Format, ModelVote, Output, OverlapFacts,
    OverlapVerdict, Probability, SampleFormat, Segment, TurnQuery, TurnVotes,
};

use crate::pointer::Versioned;

/// Probability of one window; only with `report_windows`. Uses: start, end (window), probability.
pub const LISTENKIT_EVENT_WINDOW: u32 = 1;
/// The user began to speak. Uses: at (first sample of speech), segment, turn, probability.
pub const LISTENKIT_EVENT_START_OF_SPEECH: u32 = 2;
/// The user stopped, for now; exactly one for every start. Uses: at (end of the last window of speech), segment, turn,
/// speech_duration, segment_duration, reason (`LISTENKIT_END_*`).
pub const LISTENKIT_EVENT_END_OF_SPEECH: u32 = 3;
/// The audio of a segment is complete; only with `segment_audio`. Uses: at and start (first sample), end, speech_start, speech_end,
/// speech_duration, segment, part, continues, turn, audio_at, audio_len, reason (`LISTENKIT_END_*`).
pub const LISTENKIT_EVENT_SEGMENT_READY: u32 = 4;
/// A vote on the pause has come. Uses: at (end of the last voiced window), turn, votes, expectation, delays, ends_at.
pub const LISTENKIT_EVENT_TURN_PREDICTION: u32 = 5;
/// The user is finished. Uses: at and last_voiced, start, turn, wait, votes, expectation, delays, overlap, overlap_reason, reason
/// (`LISTENKIT_TURN_END_*`).
pub const LISTENKIT_EVENT_END_OF_TURN: u32 = 6;
/// A transcript came for a turn that is over. Uses: at (end of its speech), turn.
pub const LISTENKIT_EVENT_TURN_AMENDED: u32 = 7;
/// The stream goes on in another format. Uses: at (in samples of the old rate), decided_at (the same instant in samples of the new
/// rate), from, to.
pub const LISTENKIT_EVENT_FORMAT_CHANGED: u32 = 8;
/// Audio is missing. Uses: at, duration, concealed.
pub const LISTENKIT_EVENT_GAP: u32 = 9;
/// The user interrupts the agent; only with `overlap`. Uses: at (start of the overlap), segment, turn, overlap facts.
pub const LISTENKIT_EVENT_OVERLAP_CLAIM: u32 = 10;
/// The user spoke over the agent and it was no interruption; only with `overlap`. Uses: at, end (of its last voiced window), segment,
/// turn, overlap facts, reason (`LISTENKIT_BRIEF_*`).
pub const LISTENKIT_EVENT_OVERLAP_BRIEF: u32 = 11;
/// An interruption was followed by no words; only with `overlap`. Uses: at (end of the last voiced window since), segment, turn, claim_at.
pub const LISTENKIT_EVENT_FALSE_INTERRUPTION: u32 = 12;
/// A turn model is asked: answer with `listenkit_detector_answer_turn`, late or never. Uses: query, turn, start, at and last_voiced.
pub const LISTENKIT_EVENT_TURN_QUERY: u32 = 13;
/// No question up to `query` needs an answer any more. Uses: query, turn.
pub const LISTENKIT_EVENT_TURN_QUERY_CANCELLED: u32 = 14;

/// `reason` of a segment: silence lasted `min_silence`.
pub const LISTENKIT_END_SILENCE: u32 = 0;
/// It grew to `max_segment` and was split; only of SEGMENT_READY.
pub const LISTENKIT_END_SPLIT: u32 = 1;
/// End of input.
pub const LISTENKIT_END_FLUSH: u32 = 2;
/// Audio was missing.
pub const LISTENKIT_END_GAP: u32 = 3;
/// The stream changed its format.
pub const LISTENKIT_END_FORMAT_CHANGE: u32 = 4;
/// The detector was reset.
pub const LISTENKIT_END_RESET: u32 = 5;

/// `reason` of a turn: silence alone, no model is in use.
pub const LISTENKIT_TURN_END_SILENCE: u32 = 0;
/// The votes found it complete.
pub const LISTENKIT_TURN_END_COMPLETE: u32 = 1;
/// The votes found it unfinished, and the user did not go on in time.
pub const LISTENKIT_TURN_END_UNFINISHED: u32 = 2;
/// No model answered in time.
pub const LISTENKIT_TURN_END_NO_ANSWER: u32 = 3;
/// The transcript did not come in time.
pub const LISTENKIT_TURN_END_NO_TRANSCRIPT: u32 = 4;
/// It reached `max_turn`.
pub const LISTENKIT_TURN_END_TOO_LONG: u32 = 5;
/// The caller committed it.
pub const LISTENKIT_TURN_END_COMMITTED: u32 = 6;
/// End of input.
pub const LISTENKIT_TURN_END_END_OF_INPUT: u32 = 7;
/// The detector was reset.
pub const LISTENKIT_TURN_END_RESET: u32 = 8;

/// `wait`: for `min_delay`.
pub const LISTENKIT_WAIT_MIN: u32 = 0;
/// For `max_delay`.
pub const LISTENKIT_WAIT_MAX: u32 = 1;
/// For the audio model.
pub const LISTENKIT_WAIT_MODEL: u32 = 2;
/// For the transcript.
pub const LISTENKIT_WAIT_TRANSCRIPT: u32 = 3;
/// For `max_turn`.
pub const LISTENKIT_WAIT_CEILING: u32 = 4;
/// For nothing: the caller or the stream ended it.
pub const LISTENKIT_WAIT_FLUSH: u32 = 5;
/// For the text model.
pub const LISTENKIT_WAIT_TEXT: u32 = 6;
/// For a delay between the two, chosen by the votes.
pub const LISTENKIT_WAIT_GRADED: u32 = 7;

/// `reason` of OVERLAP_BRIEF: the agent's own playback.
pub const LISTENKIT_BRIEF_OWN_VOICE: u32 = 0;
/// Too little speech.
pub const LISTENKIT_BRIEF_TOO_SHORT: u32 = 1;
/// The agent could not be interrupted.
pub const LISTENKIT_BRIEF_PROTECTED: u32 = 2;
/// Too soon after the agent began.
pub const LISTENKIT_BRIEF_GUARD: u32 = 3;
/// Too few words.
pub const LISTENKIT_BRIEF_TOO_FEW_WORDS: u32 = 4;

/// `overlap` of END_OF_TURN: nothing is known of an overlap.
pub const LISTENKIT_OVERLAP_NONE: u32 = 0;
/// All of the turn was spoken over the agent and was no interruption; `overlap_reason` is `LISTENKIT_BRIEF_*`.
pub const LISTENKIT_OVERLAP_BRIEF: u32 = 1;
/// The turn interrupted the agent.
pub const LISTENKIT_OVERLAP_CLAIM: u32 = 2;

/// The dialogue expects anything.
pub const LISTENKIT_EXPECT_FREE: u32 = 0;
/// A yes or a no.
pub const LISTENKIT_EXPECT_YES_NO: u32 = 1;
/// A number that is read out; `digits` says how many, 0 if that is not known.
pub const LISTENKIT_EXPECT_DIGITS: u32 = 2;
/// A word, letter by letter.
pub const LISTENKIT_EXPECT_SPELLING: u32 = 3;
/// An e-mail address.
pub const LISTENKIT_EXPECT_EMAIL: u32 = 4;
/// The user was told to take their time.
pub const LISTENKIT_EXPECT_FLOOR_GRANTED: u32 = 5;

/// 16-bit integers.
pub const LISTENKIT_I16: u32 = 0;
/// 32-bit floats, full scale 1.0.
pub const LISTENKIT_F32: u32 = 1;

/// A position that is not known.
pub const LISTENKIT_UNKNOWN: u64 = u64::MAX;
/// `words` of an overlap of which no words are known.
pub const LISTENKIT_UNKNOWN_WORDS: u32 = u32::MAX;

/// What a model said about a pause.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_vote {
    /// Position when the newest answered question was asked.
    pub asked_at: u64,
    /// Position when the last answer came.
    pub answered_at: u64,
    /// That the user is finished, 0..1; NaN without a vote.
    pub probability: f32,
    /// Below it, the model means "not finished"; NaN without a vote.
    pub threshold: f32,
    /// Answers in it; 0: the model has not voted.
    pub answers: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a stream's samples are.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_format {
    /// Hz.
    pub sample_rate: u32,
    /// Interleaved channels.
    pub channels: u32,
    /// `LISTENKIT_I16` or `LISTENKIT_F32`.
    pub sample_format: u32,
}

/// One thing that is said. A flat record: each kind uses the fields its constant names, the others are 0 (probabilities NaN).
///
/// Positions and durations are samples per channel at `sample_rate`. `decided_at - at` is how much audio the decision took.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_event {
    /// `sizeof` this struct, set before the first poll; it stays.
    pub struct_size: u32,
    /// `LISTENKIT_EVENT_*`.
    pub kind: u32,
    /// Why, in the numbers that the kind names.
    pub reason: u32,
    /// Rate of all positions and durations here, Hz; of FORMAT_CHANGED the new one, though `at` counts in `from.sample_rate`.
    pub sample_rate: u32,
    /// Where in the audio it happened.
    pub at: u64,
    /// The last sample that was needed to know it, exclusive.
    pub decided_at: u64,
    /// First sample of a window, segment, or turn.
    pub start: u64,
    /// End of a window, segment or overlap, exclusive.
    pub end: u64,
    /// Number of the segment, from 0.
    pub segment: u64,
    /// Number of the turn, from 0.
    pub turn: u64,
    /// Identifier of the question.
    pub query: u64,
    /// First sample of a segment's speech.
    pub speech_start: u64,
    /// End of a segment's speech.
    pub speech_end: u64,
    /// End of the last voiced window of a turn.
    pub last_voiced: u64,
    /// Voiced windows alone.
    pub speech_duration: u64,
    /// From start to end of speech, pauses included.
    pub segment_duration: u64,
    /// Missing samples of a gap.
    pub duration: u64,
    /// Where a segment's audio lies, for `listenkit_detector_audio_*`.
    pub audio_at: u64,
    /// Values in it, over all channels.
    pub audio_len: u64,
    /// Smallest delay in force.
    pub min_delay: u64,
    /// Largest delay in force.
    pub max_delay: u64,
    /// The wait that the votes chose.
    pub chosen_delay: u64,
    /// The wait if there had been no votes.
    pub silence_delay: u64,
    /// Where the turn ends if nothing more happens.
    pub ends_at: u64,
    /// When the agent had begun to speak.
    pub agent_start: u64,
    /// `decided_at` of the claim that was false.
    pub claim_at: u64,
    /// The audio model's vote.
    pub audio_vote: listenkit_vote,
    /// The text model's vote.
    pub text_vote: listenkit_vote,
    /// Part of the segment, from 0; above 0 only if it was split.
    pub part: u32,
    /// 1: the next part follows without a gap.
    pub continues: u32,
    /// 1: the gap was heard as silence and interrupted nothing.
    pub concealed: u32,
    /// Of the window, the window that decided, or the model; NaN if there is none.
    pub probability: f32,
    /// What the model's probability was compared with; NaN if there is none.
    pub threshold: f32,
    /// From -1 (unfinished) to 1 (finished): the vote of the wording; NaN without one.
    pub cue_lean: f32,
    /// Bits `LISTENKIT_CUE_*`: what was found in the wording.
    pub cues: u32,
    /// All votes in one number, 0.5 where they are undecided; NaN without any.
    pub fused: f32,
    /// How well the agent's playback explains the overlap, 0..1; NaN without a reference.
    pub coherence: f32,
    /// `LISTENKIT_EXPECT_*`.
    pub expectation: u32,
    /// Digits that are expected.
    pub expected_digits: u32,
    /// `LISTENKIT_WAIT_*`: what the decision had been waiting for.
    pub wait: u32,
    /// `LISTENKIT_OVERLAP_*`.
    pub overlap: u32,
    /// `LISTENKIT_BRIEF_*` of a brief one.
    pub overlap_reason: u32,
    /// Words in the overlap, or `LISTENKIT_UNKNOWN_WORDS`.
    pub words: u32,
    /// Zero.
    pub reserved: u32,
    /// FORMAT_CHANGED: the format so far.
    pub from: listenkit_format,
    /// FORMAT_CHANGED: the format from here on.
    pub to: listenkit_format,
}

const NO_VOTE: listenkit_vote = listenkit_vote {
    asked_at: 0,
    answered_at: 0,
    probability: f32::NAN,
    threshold: f32::NAN,
    answers: 0,
    reserved: 0,
};

const NO_FORMAT: listenkit_format = listenkit_format {
    sample_rate: 0,
    channels: 0,
    sample_format: 0,
};

const NOTHING: listenkit_event = listenkit_event {
    struct_size: size_of::<listenkit_event>() as u32,
    kind: 0,
    reason: 0,
    sample_rate: 0,
    at: 0,
    decided_at: 0,
    start: 0,
    end: 0,
    segment: 0,
    turn: 0,
    query: 0,
    speech_start: 0,
    speech_end: 0,
    last_voiced: 0,
    speech_duration: 0,
    segment_duration: 0,
    duration: 0,
    audio_at: 0,
    audio_len: 0,
    min_delay: 0,
    max_delay: 0,
    chosen_delay: 0,
    silence_delay: 0,
    ends_at: 0,
    agent_start: 0,
    claim_at: 0,
    audio_vote: NO_VOTE,
    text_vote: NO_VOTE,
    part: 0,
    continues: 0,
    concealed: 0,
    probability: f32::NAN,
    threshold: f32::NAN,
    cue_lean: f32::NAN,
    cues: 0,
    fused: f32::NAN,
    coherence: f32::NAN,
    expectation: 0,
    expected_digits: 0,
    wait: 0,
    overlap: 0,
    overlap_reason: 0,
    words: 0,
    reserved: 0,
    from: NO_FORMAT,
    to: NO_FORMAT,
};

// SAFETY: `repr(C)`, `struct_size` first, numbers only, and no padding: checked below.
unsafe impl Versioned for listenkit_event {
    const FIRST: usize = 344;

    fn defaults() -> Self {
        NOTHING
    }
}

const _: () = assert!(
    size_of::<listenkit_event>() == 4 * 4 + 8 * 22 + 2 * 32 + 4 * 15 + 2 * 12 + 4,
    "listenkit_event has padding, which would be written uninitialised"
);

/// The record of an output of a stream that is in `format`.
pub(crate) fn record(output: &Output, format: Format) -> listenkit_event {
    let mut event = listenkit_event {
        sample_rate: format.rate.hz(),
        ..NOTHING
    };
    match output {
        Output::Event(said) => {
            event.decided_at = said.decided_at().0;
            fill(&mut event, said, format);
        }
        Output::TurnQuery(query) => {
            event.kind = LISTENKIT_EVENT_TURN_QUERY;
            event.decided_at = query.decided_at.0;
            event.query = query.id;
            event.turn = query.turn;
            event.start = query.start.0;
            event.at = query.last_voiced.0;
            event.last_voiced = query.last_voiced.0;
        }
        Output::TurnQueryCancelled(cancelled) => {
            event.kind = LISTENKIT_EVENT_TURN_QUERY_CANCELLED;
            event.at = cancelled.decided_at.0;
            event.decided_at = cancelled.decided_at.0;
            event.query = cancelled.id;
            event.turn = cancelled.turn;
        }
        // A kind that this file does not know yet: kind 0, so that no caller takes it for another.
        _ => {}
    }
    event
}

/// The question that an event tells of.
pub(crate) fn query(event: &listenkit_event) -> TurnQuery {
    TurnQuery {
        id: event.query,
        turn: event.turn,
        start: engine::SamplePos(event.start),
        last_voiced: engine::SamplePos(event.last_voiced),
        decided_at: engine::SamplePos(event.decided_at),
    }
}

fn fill(event: &mut listenkit_event, said: &Event, format: Format) {
    match said {
        Event::Window(e) => {
            event.kind = LISTENKIT_EVENT_WINDOW;
            event.at = e.start.0;
            event.start = e.start.0;
            event.end = e.end.0;
            event.probability = e.probability.value();
        }
        Event::StartOfSpeech(e) => {
            event.kind = LISTENKIT_EVENT_START_OF_SPEECH;
            event.at = e.at.0;
            event.segment = e.segment;
            event.turn = e.turn;
            event.probability = e.probability.value();
        }
        Event::EndOfSpeech(e) => {
            event.kind = LISTENKIT_EVENT_END_OF_SPEECH;
            event.reason = e.reason as u32;
            event.at = e.at.0;
            event.segment = e.segment;
            event.turn = e.turn;
            event.speech_duration = e.speech_duration.0;
            event.segment_duration = e.segment_duration.0;
        }
        Event::SegmentReady(e) => fill_segment(event, e, format),
        Event::TurnPrediction(e) => {
            event.kind = LISTENKIT_EVENT_TURN_PREDICTION;
            event.at = e.at.0;
            event.turn = e.turn;
            fill_votes(event, &e.votes);
            fill_expectation(event, e.expectation);
            event.min_delay = e.min_delay.0;
            event.max_delay = e.max_delay.0;
            event.chosen_delay = e.chosen_delay.0;
            event.silence_delay = e.silence_delay.0;
            event.ends_at = e.ends_at.0;
        }
        Event::EndOfTurn(e) => fill_end_of_turn(event, e),
        Event::TurnAmended(e) => {
            event.kind = LISTENKIT_EVENT_TURN_AMENDED;
            event.at = e.at.0;
            event.turn = e.turn;
        }
        Event::FormatChanged(e) => {
            event.kind = LISTENKIT_EVENT_FORMAT_CHANGED;
            event.at = e.at.0;
            event.from = format_record(e.from);
            event.to = format_record(e.to);
        }
        Event::Gap(e) => {
            event.kind = LISTENKIT_EVENT_GAP;
            event.at = e.at.0;
            event.duration = e.duration.0;
            event.concealed = u32::from(e.concealed);
        }
        Event::OverlapClaim(e) => {
            event.kind = LISTENKIT_EVENT_OVERLAP_CLAIM;
            event.at = e.at.0;
            event.segment = e.segment;
            event.turn = e.turn;
            fill_facts(event, &e.facts);
        }
        Event::OverlapBrief(e) => {
            event.kind = LISTENKIT_EVENT_OVERLAP_BRIEF;
            event.reason = e.reason as u32;
            event.at = e.at.0;
            event.end = e.until.0;
            event.segment = e.segment;
            event.turn = e.turn;
            fill_facts(event, &e.facts);
        }
        Event::FalseInterruption(e) => {
            event.kind = LISTENKIT_EVENT_FALSE_INTERRUPTION;
            event.at = e.at.0;
            event.segment = e.segment;
            event.turn = e.turn;
            event.claim_at = e.claim_at.0;
        }
        _ => {}
    }
}

fn fill_segment(event: &mut listenkit_event, e: &Segment, format: Format) {
    event.kind = LISTENKIT_EVENT_SEGMENT_READY;
    event.reason = e.reason as u32;
    event.at = e.start.0;
    event.start = e.start.0;
    event.end = e.end.0;
    event.segment = e.segment;
    event.part = e.part;
    event.continues = u32::from(e.continues);
    event.turn = e.turn;
    event.speech_start = e.speech_start.0;
    event.speech_end = e.speech_end.0;
    event.speech_duration = e.speech_duration.0;
    event.audio_at = e.audio_key();
    event.audio_len = e.len().0.saturating_mul(u64::from(format.channels));
}

fn fill_end_of_turn(event: &mut listenkit_event, e: &EndOfTurn) {
    event.kind = LISTENKIT_EVENT_END_OF_TURN;
    event.reason = e.reason as u32;
    event.at = e.last_voiced.0;
    event.turn = e.turn;
    event.start = e.start.0;
    event.last_voiced = e.last_voiced.0;
    event.wait = e.wait as u32;
    fill_votes(event, &e.votes);
    fill_expectation(event, e.expectation);
    event.min_delay = e.min_delay.0;
    event.max_delay = e.max_delay.0;
    event.chosen_delay = e.chosen_delay.0;
    event.silence_delay = e.silence_delay.0;
    (event.overlap, event.overlap_reason) = match e.overlap {
        None => (LISTENKIT_OVERLAP_NONE, 0),
        Some(OverlapVerdict::Brief(reason)) => (LISTENKIT_OVERLAP_BRIEF, brief(reason)),
        Some(OverlapVerdict::Claim) => (LISTENKIT_OVERLAP_CLAIM, 0),
    };
}

fn fill_votes(event: &mut listenkit_event, votes: &TurnVotes) {
    event.audio_vote = votes.audio.map_or(NO_VOTE, vote);
    event.text_vote = votes.text.map_or(NO_VOTE, vote);
    if let Some(cues) = votes.cues {
        event.cue_lean = cues.lean;
        event.cues = cues.reasons.bits();
    }
    event.fused = number(votes.fused);
    event.probability = number(votes.probability());
    event.threshold = number(votes.threshold());
}

fn fill_facts(event: &mut listenkit_event, facts: &OverlapFacts) {
    event.agent_start = facts.agent_start.0;
    event.speech_duration = facts.speech_duration.0;
    event.words = facts.words.unwrap_or(LISTENKIT_UNKNOWN_WORDS);
    event.probability = number(facts.probability);
    event.coherence = facts.coherence.unwrap_or(f32::NAN);
}

fn fill_expectation(event: &mut listenkit_event, expectation: Expectation) {
    (event.expectation, event.expected_digits) = match expectation {
        Expectation::YesNo => (LISTENKIT_EXPECT_YES_NO, 0),
        Expectation::Digits { count } => (LISTENKIT_EXPECT_DIGITS, u32::from(count)),
        Expectation::Spelling => (LISTENKIT_EXPECT_SPELLING, 0),
        Expectation::Email => (LISTENKIT_EXPECT_EMAIL, 0),
        Expectation::FloorGranted => (LISTENKIT_EXPECT_FLOOR_GRANTED, 0),
        _ => (LISTENKIT_EXPECT_FREE, 0),
    };
}

fn vote(vote: ModelVote) -> listenkit_vote {
    listenkit_vote {
        asked_at: vote.asked_at.0,
        answered_at: vote.answered_at.0,
        probability: vote.probability.value(),
        threshold: vote.threshold.value(),
        answers: vote.answers,
        reserved: 0,
    }
}

fn brief(reason: BriefReason) -> u32 {
    reason as u32
}

fn number(probability: Option<Probability>) -> f32 {
    probability.map_or(f32::NAN, Probability::value)
}

fn format_record(format: Format) -> listenkit_format {
    listenkit_format {
        sample_rate: format.rate.hz(),
        channels: u32::from(format.channels),
        sample_format: match format.samples {
            SampleFormat::I16 => LISTENKIT_I16,
            SampleFormat::F32 => LISTENKIT_F32,
        },
    }
}
