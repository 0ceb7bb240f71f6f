//! Which speech of a stream has no transcript yet.

use std::collections::VecDeque;
use std::time::Duration;

/// Audio before a start of speech that a successor gets: what its VAD wants there (0.5 s in the adapter of utterance recognisers), and what a start may be
/// told too late. Far more than either needs: silence costs a successor nothing.
const ONSET: Duration = Duration::from_secs(2);

/// By how much a transcript may end before the end of speech that it belongs to: some recognisers date it by its last word.
const SHORT_BY: Duration = Duration::from_millis(300);

/// The speech that one stream has told of and not answered, oldest first. Each event gives the position up to which nothing can be open any more.
#[derive(Default)]
pub(super) struct Open {
    /// Whether this stream tells starts at all.
    tells: bool,
    utterances: VecDeque<Utterance>,
}

struct Utterance {
    start: Duration,
    /// `None` while it goes on, which only the newest does.
    end: Option<Duration>,
    /// A transcript came while it went on: if it ends before this, it was answered by that.
    covered: Duration,
}

impl Open {
    pub(super) fn start(&mut self, at: Duration) -> Duration {
        self.tells = true;
        let newest = self.utterances.back();
        let alone = newest.is_none();
        if newest.is_none_or(|newest| newest.end.is_some()) {
            self.utterances.push_back(Utterance {
                start: at,
                end: None,
                covered: Duration::ZERO,
            });
        }
        // With nothing open, all before it was silence.
        match alone {
            true => at.saturating_sub(ONSET),
            false => Duration::ZERO,
        }
    }

    pub(super) fn end(&mut self, at: Duration) -> Duration {
        let newest = self.utterances.back_mut();
        let Some(newest) = newest.filter(|newest| newest.end.is_none()) else {
            return Duration::ZERO;
        };
        newest.end = Some(at);
        if at > newest.covered {
            return Duration::ZERO;
        }
        self.utterances.pop_back();
        at
    }

    /// A transcript, with the end of its span if it has one, when the stream had got the audio up to `position`.
    pub(super) fn answer(&mut self, span_end: Option<Duration>, position: Duration) -> Duration {
        match span_end {
            Some(end) => self.answer_until(end),
            // Nothing else is known of what it heard.
            None if !self.tells => position,
            None => self.answer_oldest(position),
        }
    }

    fn answer_until(&mut self, end: Duration) -> Duration {
        let covered = end.saturating_add(SHORT_BY);
        let mut until = end;
        while let Some(oldest) = self.utterances.front_mut().filter(|u| u.start < end) {
            match oldest.end {
                None => {
                    oldest.covered = covered;
                    break;
                }
                Some(own) if own > covered => break,
                Some(own) => {
                    until = until.max(own);
                    self.utterances.pop_front();
                }
            }
        }
        until
    }

    fn answer_oldest(&mut self, position: Duration) -> Duration {
        let Some(oldest) = self.utterances.front_mut() else {
            return Duration::ZERO;
        };
        let Some(end) = oldest.end else {
            oldest.covered = position;
            return Duration::ZERO;
        };
        self.utterances.pop_front();
        end
    }
}
