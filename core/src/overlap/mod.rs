//! Speech over the agent's: a backchannel, or an interruption. A state machine over positions, without audio, allocation or clock.
//!
//! The peer counts the silence behind a burst as speech, so that 150 ms of "mhm" interrupt after 0.29 s of silence
//! (LiveKit Agents 1.8.9). Here only voiced windows count, and only while both speak.

mod config;
#[cfg(test)]
mod tests;

use crate::event::{
    BriefReason, Event, FalseInterruption, OverlapBrief, OverlapClaim, OverlapFacts, OverlapVerdict,
};
use crate::units::{Probability, SampleCount, SamplePos};
pub(crate) use config::OverlapConfig;

/// One window, as the floors below judged it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) start: SamplePos,
    pub(crate) end: SamplePos,
    pub(crate) decided_at: SamplePos,
    /// The speech that is open or seems to begin; `None` in silence.
    pub(crate) speech: Option<Speech>,
    /// The open turn.
    pub(crate) turn: Option<u64>,
    /// How well the agent's playback explains it, if somebody compares them.
    pub(crate) coherence: Option<f32>,
}

/// Speech that is open or seems to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Speech {
    /// Start of its first voiced window.
    pub(crate) start: SamplePos,
    /// Voiced samples since.
    pub(crate) voiced: SampleCount,
    /// Its number, once it is confirmed.
    pub(crate) segment: Option<u64>,
}

/// Tells backchannels from interruptions.
///
/// # Protocol
/// As the [endpointer](crate::endpointer)'s: for every window [`window`](Self::window), then
/// [`speech_ended`](Self::speech_ended) if the window decided that; [`advance`](Self::advance) to every
/// [`deadline`](Self::deadline), where the segmenter goes first; the host's inputs at the current position; and
/// [`poll`](Self::poll) until `None` after each.
///
/// # Rules
/// * **Overlap.** It begins with the first voiced window of confirmed speech that lies, at least in part, in the agent's
///   speech, and ends with that speech or the agent's. It gets exactly one verdict.
/// * **Claim.** At the first voiced window (or input of words) at which the overlap has its duration and its words, is
///   past the playback guard, is not the agent's own voice, and the agent's speech can be interrupted.
/// * **Brief.** Any other overlap, when it ends. One that lacks nothing but words waits for them behind its end, until
///   `words_wait`, the next speech, or the end of the agent's speech.
/// * **One claim.** After a claim the rest of the agent's speech has no more overlaps, unless the claim proves false.
/// * **False interruption.** A claim is open until words come, the host commits the turn, or the agent speaks
///   again. If the user stays silent for the timeout before that, it was false. Speech meanwhile starts the time over at its end.
/// * **Protection** ends with the agent's speech.
#[derive(Clone, Debug)]
pub(crate) struct OverlapTracker {
    config: OverlapConfig,
    now: SamplePos,
    agent: Option<Agent>,
    interruptible: bool,
    /// The speech that is open or seems to begin.
    speech: Option<Speech>,
    /// Some of it was voiced while the agent was silent; not yet told to the turn.
    alone: bool,
    overlap: Option<Overlap>,
    /// An overlap that has ended and lacks only words, and until where they are waited for.
    waiting: Option<(Overlap, SamplePos)>,
    claim: Option<Claim>,
    turn: Turn,
    /// The last verdict, and the segment it is about.
    verdict: Option<(u64, OverlapVerdict)>,
    outbox: [Option<Event>; OUTBOX],
}

/// Weight of the newest voiced window in an overlap's coherence: about 130 ms of voice, so that one lucky window decides nothing.
const COHERENCE_WEIGHT: f32 = 0.25;

/// Most events between two polls: a window may end the wait of one overlap and claim another, and end one; two timers.
const OUTBOX: usize = 4;

/// The agent is speaking.
#[derive(Clone, Copy, Debug)]
struct Agent {
    since: SamplePos,
    claimed: bool,
}

/// An overlap without a verdict.
#[derive(Clone, Copy, Debug)]
struct Overlap {
    /// Number of its speech and of the turn; `None` until the speech is confirmed.
    place: Option<(u64, u64)>,
    start: SamplePos,
    until: SamplePos,
    facts: OverlapFacts,
    /// The user spoke before the agent.
    user_first: bool,
    /// What it lacked at its last voiced window.
    lacks: BriefReason,
}

/// A claim that neither words nor silence have settled.
#[derive(Clone, Copy, Debug)]
struct Claim {
    segment: u64,
    turn: u64,
    start: SamplePos,
    decided_at: SamplePos,
    /// End of the user's speech, and when the claim will be false; `None` while the user speaks.
    timer: Option<(SamplePos, SamplePos)>,
}

/// What the newest turn has to do with the agent.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    number: u64,
    alone: bool,
    verdict: Option<OverlapVerdict>,
}

impl OverlapTracker {
    /// A tracker for a stream that starts at `origin`, with the agent silent.
    pub(crate) fn new(config: OverlapConfig, origin: SamplePos) -> Self {
        Self {
            config,
            now: origin,
            agent: None,
            interruptible: true,
            speech: None,
            alone: false,
            overlap: None,
            waiting: None,
            claim: None,
            turn: Turn::default(),
            verdict: None,
            outbox: [None; OUTBOX],
        }
    }

    // From the segmenter, in order of `decided_at`.

    /// A window was judged.
    pub(crate) fn window(&mut self, window: Heard) {
        self.enter(window.decided_at);
        let before = self.speech;
        let Some(speech) = window.speech else {
            // Open speech ends by `speech_ended`; an onset only goes away.
            if !self.is_speaking() {
                self.forget_onset();
            }
            return;
        };
        let new_run = before.is_none_or(|before| before.start != speech.start);
        if new_run {
            self.forget_onset();
        }
        let seen = before
            .filter(|_| !new_run)
            .map_or(SampleCount::ZERO, |before| before.voiced);
        self.speech = Some(speech);
        let voiced = SampleCount(speech.voiced.0.saturating_sub(seen.0));
        if voiced > SampleCount::ZERO {
            self.voiced(&window, speech, voiced);
        }
        let Some(segment) = speech.segment else {
            return;
        };
        if new_run || before.is_some_and(|before| before.segment.is_none()) {
            self.confirmed();
        }
        if let Some(turn) = window.turn {
            if turn != self.turn.number {
                self.turn = Turn {
                    number: turn,
                    ..Turn::default()
                };
            }
            self.turn.alone |= self.alone;
        }
        self.alone = false;
        if let Some(overlap) = &mut self.overlap {
            overlap.place = Some((segment, self.turn.number));
        }
        if voiced > SampleCount::ZERO {
            self.judge();
        }
    }

    /// The open speech is over since `last_voiced`.
    pub(crate) fn speech_ended(&mut self, last_voiced: SamplePos, decided_at: SamplePos) {
        self.enter(decided_at);
        self.speech = None;
        if let Some(claim) = &mut self.claim
            && let Some(timeout) = self.config.false_interruption_timeout
        {
            let due = (last_voiced + timeout).max(self.now);
            claim.timer = Some((last_voiced, due));
        }
        let Some(overlap) = self.overlap.take() else {
            return;
        };
        let until = last_voiced + self.config.words_wait;
        if overlap.lacks == BriefReason::TooFewWords && until > self.now {
            self.waiting = Some((overlap, until));
        } else {
            self.brief(&overlap, self.now);
        }
    }

    /// The stream broke off: speech that was not confirmed is forgotten.
    pub(crate) fn forget_onset(&mut self) {
        self.speech = None;
        self.alone = false;
        self.overlap = self.overlap.filter(|overlap| overlap.place.is_some());
    }

    // From the host, at the current position.

    /// The agent became audible. While it speaks, nothing changes by saying so again.
    pub(crate) fn agent_started(&mut self, now: SamplePos) {
        self.advance(now);
        if self.agent.is_none() {
            self.agent = Some(Agent {
                since: self.now,
                claimed: false,
            });
            // Whatever the host made of the claim, it has been settled.
            self.claim = None;
        }
    }

    /// The agent fell silent, or was silenced. A claim stays open.
    pub(crate) fn agent_stopped(&mut self, now: SamplePos) {
        self.advance(now);
        self.end_overlaps();
        self.agent = None;
        self.interruptible = true;
    }

    /// Whether the agent's speech may be interrupted, until it ends.
    pub(crate) fn agent_interruptible(&mut self, interruptible: bool) {
        self.interruptible = interruptible;
    }

    /// The overlapping speech has at least so many words.
    pub(crate) fn words(&mut self, words: u32, now: SamplePos) {
        self.advance(now);
        if words > 0 {
            self.claim = None;
        }
        let waiting = self.waiting.as_mut().map(|(overlap, _)| overlap);
        if let Some(overlap) = waiting.or(self.overlap.as_mut()) {
            overlap.facts.words = overlap.facts.words.max(Some(words));
            if overlap.lacks == BriefReason::TooFewWords {
                self.judge();
            }
        }
    }

    /// A transcript of speech that ended at `speech_end`: a word at least, if that is speech over the agent.
    pub(crate) fn transcript(&mut self, speech_end: Option<SamplePos>, now: SamplePos) {
        let waiting = self.waiting.map(|(overlap, _)| overlap);
        let start = waiting.or(self.overlap).map(|overlap| overlap.start);
        let start = start.or(self.claim.map(|claim| claim.start));
        if speech_end.is_none_or(|end| start.is_some_and(|start| end > start)) {
            self.words(1, now);
        }
    }

    /// The turn model's answer to the pause that is open.
    pub(crate) fn answered(&mut self, probability: Probability) {
        let waiting = self.waiting.as_mut().map(|(overlap, _)| overlap);
        if let Some(overlap) = waiting.or(self.overlap.as_mut()) {
            overlap.facts.probability = Some(probability);
        }
    }

    /// The host took the turn for one.
    pub(crate) fn committed(&mut self, now: SamplePos) {
        self.advance(now);
        self.claim = None;
    }

    /// The stream is over, or starts afresh. What the agent says is as if nobody had spoken over it.
    pub(crate) fn finish(&mut self, now: SamplePos) {
        self.advance(now);
        self.end_overlaps();
        self.forget_onset();
        self.claim = None;
        if let Some(agent) = &mut self.agent {
            agent.claimed = false;
        }
    }

    // Time.

    /// The position [`advance`](Self::advance) has to be called with next, at the latest.
    pub(crate) fn deadline(&self) -> Option<SamplePos> {
        let words = self.waiting.map(|(_, until)| until);
        let claim = self.claim.and_then(|claim| claim.timer);
        [words, claim.map(|(_, due)| due)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has come to `now`: fires all timers up to there, each at its own position.
    pub(crate) fn advance(&mut self, now: SamplePos) {
        while let Some(at) = self.deadline()
            && at <= now
        {
            self.fire(at);
        }
        self.now = self.now.max(now);
    }

    /// Whether it matters how well the agent's playback explains the next window.
    pub(crate) fn awaits_claim(&self) -> bool {
        self.agent.is_some_and(|agent| !agent.claimed)
    }

    /// The next thing it has to say.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        let event = self.outbox[0].take();
        self.outbox.rotate_left(1);
        event
    }

    /// Whether speech segment `number` interrupted; `None` if there is no verdict on it, or the user was not allowed to.
    pub(crate) fn is_interruption(&self, number: u64) -> Option<bool> {
        match self.verdict.filter(|&(segment, _)| segment == number)?.1 {
            OverlapVerdict::Claim => Some(true),
            OverlapVerdict::Brief(BriefReason::Protected) => None,
            OverlapVerdict::Brief(_) => Some(false),
        }
    }

    /// What turn `number` has to do with the agent's speech, for the record of its end.
    pub(crate) fn turn_verdict(&self, number: u64) -> Option<OverlapVerdict> {
        let turn = Some(self.turn).filter(|turn| turn.number == number)?;
        turn.verdict
            .filter(|&verdict| verdict == OverlapVerdict::Claim || !turn.alone)
    }

    /// The stream goes on at another rate: `map` moves a position, `config` says the same in new samples.
    pub(crate) fn rebase(&mut self, config: OverlapConfig, map: impl Fn(SamplePos) -> SamplePos) {
        debug_assert!(self.speech.is_none(), "open speech is ended first");
        self.config = config;
        self.now = map(self.now);
        if let Some(agent) = &mut self.agent {
            agent.since = map(agent.since);
        }
        if let Some((overlap, until)) = &mut self.waiting {
            *until = map(*until);
            overlap.start = map(overlap.start);
            overlap.until = map(overlap.until);
            let facts = &mut overlap.facts;
            facts.agent_start = map(facts.agent_start);
            facts.speech_duration = SampleCount(map(SamplePos(facts.speech_duration.0)).0);
        }
        if let Some(claim) = &mut self.claim {
            claim.start = map(claim.start);
            claim.decided_at = map(claim.decided_at);
            claim.timer = claim.timer.map(|(at, due)| (map(at), map(due)));
        }
    }

    // Inside.

    /// Fires the timers before `at`; those at `at` wait, because speech wins over a timer.
    fn enter(&mut self, at: SamplePos) {
        while let Some(due) = self.deadline()
            && due < at
        {
            self.fire(due);
        }
        self.now = self.now.max(at);
    }

    fn fire(&mut self, at: SamplePos) {
        if let Some((overlap, until)) = self.waiting
            && until <= at
        {
            self.waiting = None;
            self.brief(&overlap, at);
        } else if let Some(claim) = self.claim
            && let Some((last_voiced, due)) = claim.timer
            && due <= at
        {
            self.claim = None;
            if let Some(agent) = &mut self.agent {
                agent.claimed = false;
            }
            let verdict = OverlapVerdict::Brief(BriefReason::TooFewWords);
            self.settle(claim.segment, claim.turn, verdict);
            self.say(Event::FalseInterruption(FalseInterruption {
                segment: claim.segment,
                turn: claim.turn,
                claim_at: claim.decided_at,
                at: last_voiced,
                decided_at: at,
            }));
        }
    }

    fn is_speaking(&self) -> bool {
        self.speech.is_some_and(|speech| speech.segment.is_some())
    }

    /// Speech was confirmed.
    fn confirmed(&mut self) {
        // Words that are still waited for will not come: the next speech has begun.
        if let Some((overlap, _)) = self.waiting.take() {
            self.brief(&overlap, self.now);
        }
        if let Some(claim) = &mut self.claim {
            claim.timer = None;
        }
    }

    /// `voiced` samples of `window` are speech.
    fn voiced(&mut self, window: &Heard, speech: Speech, voiced: SampleCount) {
        let over = self.agent.map_or(SampleCount::ZERO, |agent| {
            let both = window.end.since(window.start.max(agent.since));
            both.min(voiced)
        });
        self.alone |= over < voiced;
        let Some(agent) = self.agent.filter(|agent| !agent.claimed) else {
            return;
        };
        if over == SampleCount::ZERO {
            return;
        }
        let overlap = self.overlap.get_or_insert(Overlap {
            place: None,
            start: window.start.max(agent.since),
            until: window.end,
            facts: OverlapFacts {
                agent_start: agent.since,
                speech_duration: SampleCount::ZERO,
                words: None,
                probability: None,
                coherence: None,
            },
            user_first: speech.start < agent.since,
            lacks: BriefReason::TooShort,
        });
        overlap.until = window.end;
        overlap.facts.speech_duration = overlap.facts.speech_duration + over;
        let before = overlap.facts.coherence;
        overlap.facts.coherence = window
            .coherence
            .map(|now| before.map_or(now, |before| before + COHERENCE_WEIGHT * (now - before)));
    }

    /// Makes the overlap a claim if it lacks nothing: the one that waits for words, or the one that is open.
    fn judge(&mut self) {
        let waiting = self.waiting.as_mut().map(|(overlap, _)| overlap);
        let overlap = waiting.or(self.overlap.as_mut()).copied();
        let (Some(agent), Some(mut overlap)) = (self.agent, overlap) else {
            return;
        };
        let Some((segment, turn)) = overlap.place else {
            return;
        };
        if let Some(reason) = self.lacks(&overlap, &agent) {
            overlap.lacks = reason;
            match &mut self.waiting {
                Some((waiting, _)) => *waiting = overlap,
                None => self.overlap = Some(overlap),
            }
            return;
        }
        self.waiting = None;
        self.overlap = None;
        self.agent = Some(Agent {
            claimed: true,
            ..agent
        });
        let heard_words = overlap.facts.words.is_some_and(|words| words > 0);
        self.claim = (!heard_words).then_some(Claim {
            segment,
            turn,
            start: overlap.start,
            decided_at: self.now,
            timer: None,
        });
        self.settle(segment, turn, OverlapVerdict::Claim);
        self.say(Event::OverlapClaim(OverlapClaim {
            segment,
            turn,
            at: overlap.start,
            decided_at: self.now,
            facts: overlap.facts,
        }));
    }

    /// The first thing that keeps the overlap from being a claim.
    fn lacks(&self, overlap: &Overlap, agent: &Agent) -> Option<BriefReason> {
        let config = &self.config;
        let guard_end = agent.since + config.playback_guard;
        let words = overlap.facts.words.unwrap_or(0);
        let coherence = overlap.facts.coherence.unwrap_or(0.0);
        let checks = [
            (
                BriefReason::OwnVoice,
                coherence >= config.own_voice_threshold,
            ),
            (
                BriefReason::TooShort,
                overlap.facts.speech_duration < config.min_duration,
            ),
            (BriefReason::Protected, !self.interruptible),
            (
                BriefReason::Guard,
                !overlap.user_first && overlap.until < guard_end,
            ),
            (BriefReason::TooFewWords, words < config.min_words),
        ];
        checks
            .into_iter()
            .find_map(|(reason, holds)| holds.then_some(reason))
    }

    /// The agent's speech or the stream is over.
    fn end_overlaps(&mut self) {
        let waiting = self.waiting.take().map(|(overlap, _)| overlap);
        for overlap in [waiting, self.overlap.take()].into_iter().flatten() {
            self.brief(&overlap, self.now);
        }
    }

    /// Says that the overlap was none, if its speech was confirmed.
    fn brief(&mut self, overlap: &Overlap, at: SamplePos) {
        let Some((segment, turn)) = overlap.place else {
            return;
        };
        let reason = overlap.lacks;
        self.settle(segment, turn, OverlapVerdict::Brief(reason));
        self.say(Event::OverlapBrief(OverlapBrief {
            segment,
            turn,
            at: overlap.start,
            until: overlap.until,
            decided_at: at,
            facts: overlap.facts,
            reason,
        }));
    }

    fn settle(&mut self, segment: u64, turn: u64, verdict: OverlapVerdict) {
        self.verdict = Some((segment, verdict));
        if self.turn.number == turn {
            self.turn.verdict = Some(verdict);
        }
    }

    fn say(&mut self, event: Event) {
        let slot = self
            .outbox
            .iter_mut()
            .find(|slot| slot.is_none())
            .expect("poll after every input, see OverlapTracker");
        *slot = Some(event);
    }
}
