//! What the program asks for: turns that end by hand, or are forgotten; utterances that are tried again.

use listenkit::{Event, Input, SamplePos};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::turn::{Ended, append, turn_of};
use super::{COMMIT_WAIT, Ear, Heard, Owner, Submitted};
use crate::stt::{FailedSegment, SttCommand};
use crate::{ErrorKind, ProviderError};

impl Ear {
    /// Ends the turn now.
    pub(in crate::voice) fn commit(
        &mut self,
        skip_reply: bool,
        transcript: oneshot::Sender<String>,
    ) {
        self.settle_missing();
        let now = Instant::now();
        let before = self.heard.len();
        self.tell(Input::CommitTurn);
        let decision = self
            .heard
            .iter()
            .skip(before)
            .find_map(|heard| match heard {
                Heard::Core(Event::EndOfTurn(end)) => Some(*end),
                _ => None,
            });
        if self.stt.is_stream() {
            self.stt.send(SttCommand::Flush);
        } else if self.user_speaks {
            // The utterance that is open ends here, so that it can be recognised.
            self.flush();
        }
        // By hand, all that has been said since the last commit is one turn.
        let number = decision.map(|end| end.turn).or_else(|| {
            self.turns
                .iter()
                .rev()
                .find(|t| t.ended.is_none())
                .map(|t| t.number)
        });
        let Some(number) = number else {
            let _ = transcript.send(String::new());
            return;
        };
        turn_of(&mut self.turns, number);
        self.merge_into(number);
        let waits = self.stt.is_stream();
        let turn = turn_of(&mut self.turns, number);
        turn.skip_reply = skip_reply;
        turn.replies.push(transcript);
        let is_final = turn.is_final();
        turn.ended = Some(Ended {
            decision,
            waits_until: (waits && !is_final).then(|| now + COMMIT_WAIT),
            has_final: false,
        });
    }

    /// Puts everything that was said before `number` and has not been ended into it.
    pub(super) fn merge_into(&mut self, number: u64) {
        let mut merged = String::new();
        let mut pending = 0;
        let mut open = Vec::new();
        self.turns.retain(|turn| {
            let goes = turn.number < number && turn.ended.is_none();
            if goes {
                append(&mut merged, &turn.text());
                pending += turn.pending;
                open.push(turn.number);
            }
            !goes
        });
        for submitted in &mut self.submitted {
            if matches!(submitted.owner, Owner::Turn(turn) if open.contains(&turn)) {
                submitted.owner = Owner::Turn(number);
            }
        }
        let turn = turn_of(&mut self.turns, number);
        append(&mut merged, &turn.finals);
        turn.finals = merged;
        turn.pending += pending;
    }

    /// Forgets what the user has said in the turn that is open. The recogniser's connection stays.
    pub(in crate::voice) fn clear(&mut self) {
        self.settle_missing();
        self.tell(Input::ClearTurn);
        if self.user_speaks && !self.stt.is_stream() {
            // The utterance that is open ends here. What comes of it belongs to the turn that is forgotten.
            self.flush();
        }
        let mut gone = Vec::new();
        self.turns.retain_mut(|turn| {
            if turn.ended.is_none() {
                gone.push(turn.number);
            }
            turn.ended.is_some()
        });
        for submitted in &mut self.submitted {
            if matches!(submitted.owner, Owner::Turn(turn) if gone.contains(&turn)) {
                submitted.owner = Owner::Cleared;
            }
        }
    }

    /// Ends all that is open: the user's audio is over for now.
    pub(in crate::voice) fn flush(&mut self) {
        self.settle_missing();
        self.deaf = true;
        let outputs = self.detector.flush();
        Self::take(
            outputs,
            &mut self.heard,
            &mut self.judge,
            (&self.stt, &mut self.guess),
            &mut self.submitted,
            &mut self.turns,
        );
    }

    /// The user's audio is over for good; everything that was said is still recognised.
    pub(in crate::voice) fn end_input(&mut self) {
        self.flush();
        self.stt.end_input();
    }

    /// What is being recognised is given up, and what was said is a turn with the words there are, though nobody has ended it.
    pub(in crate::voice) async fn cancel(&mut self) {
        self.stt.cancel().await;
        while let Some(event) = self.stt.try_next() {
            self.on_stt(event);
        }
        let open = self.turns.iter().rev().find(|turn| !turn.is_over());
        if let Some(number) = open.map(|turn| turn.number) {
            self.merge_into(number);
        }
        self.turns
            .retain(|turn| turn.is_over() || !turn.is_silent());
        for turn in &mut self.turns {
            turn.pending = 0;
            let ended = turn.ended.get_or_insert(Ended {
                decision: None,
                waits_until: None,
                has_final: true,
            });
            ended.waits_until = None;
        }
        self.submitted.clear();
        self.late = 0;
    }

    /// An utterance that failed is recognised once more; its words are a turn of their own if its turn is over.
    pub(in crate::voice) fn resubmit(&mut self, failed: FailedSegment) {
        let speech_end = SamplePos(self.samples(failed.span.1).0);
        if self.stt.resubmit(failed) {
            self.late += 1;
            self.submitted.push_back(Submitted {
                owner: Owner::Late,
                speech_end,
            });
        } else {
            let message = "only a recogniser of utterances can be asked again: ask this one by `Stt::recognize`";
            let error = ProviderError::new("session", ErrorKind::Rejected, message);
            self.heard.push_back(Heard::Error(error, true));
        }
    }
}
