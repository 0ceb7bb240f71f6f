//! The words of one turn.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::{EndOfTurn, SamplePos};
use tokio::sync::oneshot;
use tokio::time::Instant;
use unicode_segmentation::UnicodeSegmentation;

/// What the user has said in one turn.
#[derive(Default)]
pub(in crate::voice) struct Turn {
    pub(in crate::voice) number: u64,
    /// Final transcripts.
    pub(super) finals: String,
    /// The newest transcript that may still change.
    pub(super) interim: String,
    /// Utterances that are being recognised.
    pub(super) pending: u32,
    pub(super) ended: Option<Ended>,
    /// Where the stream was when the last final transcript came.
    pub(super) transcribed_at: Option<SamplePos>,
    /// Start of its first speech.
    pub(in crate::voice) start: Option<SamplePos>,
    /// Replies that have been begun before its end.
    pub(in crate::voice) tries: u32,
    /// Words that came when the turn had been taken already.
    pub(in crate::voice) is_amendment: bool,
    pub(in crate::voice) skip_reply: bool,
    /// Where the text goes, too.
    pub(in crate::voice) replies: Vec<oneshot::Sender<String>>,
}

pub(super) struct Ended {
    pub(super) decision: Option<EndOfTurn>,
    /// Of a committed turn: until when a final transcript is waited for.
    pub(super) waits_until: Option<Instant>,
    /// A final transcript has come since.
    pub(super) has_final: bool,
}

impl Turn {
    /// All that is known of its words.
    pub(in crate::voice) fn text(&self) -> String {
        let mut text = self.finals.clone();
        append(&mut text, &self.interim);
        text
    }

    pub(in crate::voice) fn is_silent(&self) -> bool {
        self.finals.is_empty() && self.interim.is_empty()
    }

    /// Whether all of its words so far are final.
    pub(in crate::voice) fn is_final(&self) -> bool {
        self.pending == 0 && self.interim.is_empty() && !self.finals.is_empty()
    }

    pub(in crate::voice) const fn is_pending(&self) -> bool {
        self.pending > 0
    }

    pub(in crate::voice) const fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    pub(super) fn is_complete(&self, now: Instant) -> bool {
        self.ended.as_ref().is_some_and(|ended| {
            let waits = ended
                .waits_until
                .is_some_and(|until| !ended.has_final && now < until);
            self.pending == 0 && !waits
        })
    }
}

/// A turn that is over, with all of its words.
pub(in crate::voice) struct CompleteTurn {
    pub(in crate::voice) turn: Turn,
    pub(in crate::voice) text: String,
    pub(in crate::voice) decision: Option<EndOfTurn>,
    /// From the last voiced sample to the last transcript.
    pub(in crate::voice) transcription_delay: Duration,
}

pub(super) fn turn_of(turns: &mut VecDeque<Turn>, number: u64) -> &mut Turn {
    let at = turns.partition_point(|turn| turn.number < number);
    if turns.get(at).is_none_or(|turn| turn.number != number) {
        turns.insert(
            at,
            Turn {
                number,
                ..Turn::default()
            },
        );
    }
    &mut turns[at]
}

/// Whether two texts have the same words, whatever their case and punctuation.
pub(in crate::voice) fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        text.unicode_words()
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
    };
    words(a) == words(b)
}

/// Words behind words.
pub(super) fn append(text: &mut String, more: &str) {
    let more = more.trim();
    if !text.is_empty() && !more.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
    text.push_str(more);
}
