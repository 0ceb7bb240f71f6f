//! What the detector tells its judge of overlaps, and what that says.

use super::{Detector, Input};
use crate::event::{Event, OverlapVerdict, TurnVotes};
use crate::overlap::{Heard, OverlapTracker, Speech};
use crate::units::SamplePos;

impl Detector {
    /// Passes on what the host says, before the endpointer hears of it: a verdict comes before the end of its turn.
    pub(super) fn tell_overlap(&mut self, input: Input) {
        let now = self.position;
        let Some(overlap) = &mut self.overlap else {
            return;
        };
        match input {
            Input::AgentStarted => overlap.agent_started(now),
            Input::AgentStopped => {
                overlap.agent_stopped(now);
                if let Some(reference) = &mut self.reference {
                    reference.check.stop();
                }
            }
            Input::AgentInterruptible(interruptible) => overlap.agent_interruptible(interruptible),
            Input::Words(words) => overlap.words(words, now),
            Input::Transcript { speech_end } => overlap.transcript(speech_end, now),
            Input::CommitTurn => overlap.committed(now),
            _ => {}
        }
        self.take_overlap_outputs();
    }

    /// Passes on what the models say about a pause.
    pub(super) fn tell_overlap_of_votes(&mut self, votes: &TurnVotes) {
        if let Some(overlap) = &mut self.overlap
            && let Some(probability) = votes.probability()
        {
            overlap.answered(probability);
        }
    }

    /// A window was judged by segmenter and endpointer.
    pub(super) fn hear_overlap(&mut self, start: SamplePos, end: SamplePos) {
        let Some(overlap) = &mut self.overlap else {
            return;
        };
        let speech = self
            .segmenter
            .speech()
            .map(|(start, voiced, segment)| Speech {
                start,
                voiced,
                segment,
            });
        // A voiced window while the agent speaks is worth the comparison, and no other.
        let coherence = self
            .reference
            .as_ref()
            .filter(|_| speech.is_some() && overlap.awaits_claim())
            .map(|reference| reference.check.coherence());
        overlap.window(Heard {
            start,
            end,
            decided_at: self.position,
            speech,
            turn: self.endpointer.turn(),
            coherence,
        });
        self.take_overlap_outputs();
    }

    /// Speech is over; what it was is for the endpointer to learn from.
    pub(super) fn end_overlap(&mut self, segment: u64, at: SamplePos, decided_at: SamplePos) {
        let Some(overlap) = &mut self.overlap else {
            return;
        };
        overlap.speech_ended(at, decided_at);
        self.endpointer
            .suggest_verdict(overlap.is_interruption(segment));
        self.take_overlap_outputs();
    }

    pub(super) fn finish_overlap(&mut self) {
        let now = self.position;
        if let Some(overlap) = &mut self.overlap {
            overlap.finish(now);
        }
        self.take_overlap_outputs();
    }

    pub(super) fn advance_overlap(&mut self) {
        let now = self.position;
        if let Some(overlap) = &mut self.overlap {
            overlap.advance(now);
        }
        self.take_overlap_outputs();
    }

    /// The next position at which something is decided without a window or an input.
    pub(super) fn deadline(&self) -> Option<SamplePos> {
        let overlap = self.overlap.as_deref().and_then(OverlapTracker::deadline);
        match (self.endpointer.deadline(), overlap) {
            (Some(turn), Some(overlap)) => Some(turn.min(overlap)),
            (turn, overlap) => turn.or(overlap),
        }
    }

    pub(super) fn overlap_of_turn(&self, turn: u64) -> Option<OverlapVerdict> {
        self.overlap.as_ref()?.turn_verdict(turn)
    }

    fn take_overlap_outputs(&mut self) {
        while let Some(event) = self.overlap.as_deref_mut().and_then(OverlapTracker::poll) {
            match event {
                Event::OverlapClaim(_) => self.stats.overlap_claims += 1,
                Event::OverlapBrief(_) => self.stats.overlap_briefs += 1,
                _ => self.stats.false_interruptions += 1,
            }
            self.say(event);
        }
    }
}
