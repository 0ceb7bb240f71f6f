//! What the recogniser says, and in which turn it was said.

use listenkit::{Event, Input, SamplePos, TextCues};
use unicode_segmentation::UnicodeSegmentation;

use super::turn::{Ended, append, same_words, turn_of};
use super::{Ear, Heard, Owner};
use crate::stt::{SttEvent, Transcript};
use crate::voice::options::TurnDetection;

impl Ear {
    /// Something from the recogniser.
    pub(in crate::voice) fn on_stt(&mut self, event: SttEvent) {
        match event {
            SttEvent::Final(transcript) if self.stt.is_stream() => self.streamed(transcript),
            SttEvent::Final(transcript) => self.answered(Some(transcript)),
            SttEvent::Interim(transcript) => self.interim(transcript, false),
            SttEvent::Preflight(transcript) => self.interim(transcript, true),
            SttEvent::SegmentFailed(failed) => {
                if !self.stt.is_stream() {
                    self.answered(None);
                }
                self.heard.push_back(Heard::Failed(failed));
            }
            SttEvent::EndOfSpeech { .. } => {
                if matches!(self.options.turn_detection, TurnDetection::Stt) {
                    self.recogniser_ended();
                }
            }
            SttEvent::Metrics(metrics) => self.heard.push_back(Heard::Metrics(metrics)),
            SttEvent::Error { error, recoverable } => {
                self.heard.push_back(Heard::Error(error, recoverable));
            }
            SttEvent::StartOfSpeech { .. } => {}
        }
    }

    /// The answer to the oldest utterance; `None` if there is none.
    pub(super) fn answered(&mut self, transcript: Option<Transcript>) {
        let Some(submitted) = self.submitted.pop_front() else {
            return;
        };
        let number = match submitted.owner {
            Owner::Cleared => return,
            Owner::Turn(number) => {
                turn_of(&mut self.turns, number).pending -= 1;
                if let Some(transcript) = transcript {
                    self.add(number, transcript, Some(submitted.speech_end));
                }
                number
            }
            Owner::Late => {
                self.late -= 1;
                let transcript = transcript.filter(|t| !t.text.trim().is_empty());
                let Some(transcript) = transcript else {
                    return;
                };
                let known = self.tell_transcript(Some(submitted.speech_end));
                let Some(number) = known.or(self.taken) else {
                    return;
                };
                self.add_text(number, transcript);
                number
            }
        };
        self.heard.push_back(Heard::Answered { turn: number });
    }

    /// Tells the core of a final transcript; gives the turn that it belongs to, if that was not cleared.
    pub(super) fn tell_transcript(&mut self, speech_end: Option<SamplePos>) -> Option<u64> {
        let before = self.heard.len();
        self.tell(Input::Transcript { speech_end });
        let amended = self
            .heard
            .iter()
            .skip(before)
            .find_map(|heard| match heard {
                Heard::Core(Event::TurnAmended(amended)) => Some(amended.turn),
                _ => None,
            });
        amended.or_else(|| self.detector.open_turn())
    }

    /// A transcript that may still change.
    pub(super) fn interim(&mut self, transcript: Transcript, is_preflight: bool) {
        let turn = self.detector.open_turn();
        if let Some(number) = turn {
            self.set_language(&transcript);
            turn_of(&mut self.turns, number)
                .interim
                .clone_from(&transcript.text);
            self.weigh(number);
        }
        self.heard.push_back(Heard::Transcribed {
            turn,
            transcript,
            is_final: false,
        });
        if is_preflight && let Some(turn) = turn {
            self.heard.push_back(Heard::Preflight { turn });
        }
    }

    /// A final transcript from a stream: the core knows which turn it belongs to.
    pub(super) fn streamed(&mut self, transcript: Transcript) {
        let rate = self.detector.format().rate;
        let speech_end = transcript
            .span
            .map(|(_, end)| SamplePos(rate.samples(end).0));
        if transcript.text.trim().is_empty() {
            if let Some(number) = self.detector.open_turn() {
                turn_of(&mut self.turns, number).interim.clear();
            }
            return;
        }
        // What was said in a turn that waits for its words belongs there, whatever the core makes of a transcript without a time.
        let waiting = self
            .turns
            .iter()
            .find(|turn| {
                turn.ended
                    .as_ref()
                    .is_some_and(|e| e.waits_until.is_some() && !e.has_final)
            })
            .map(|turn| turn.number);
        let known = self.tell_transcript(speech_end);
        let Some(number) = waiting.or(known) else {
            return; // of a turn that was cleared
        };
        self.add_text(number, transcript);
        self.heard.push_back(Heard::Answered { turn: number });
        if matches!(self.options.turn_detection, TurnDetection::Stt)
            && self.recogniser_is_done(number)
        {
            self.tell(Input::CommitTurn);
        }
        if self.deaf && self.detector.open_turn() == Some(number) {
            // Its end is beyond the end of the audio.
            self.tell(Input::CommitTurn);
        }
    }

    pub(super) fn add(
        &mut self,
        number: u64,
        transcript: Transcript,
        speech_end: Option<SamplePos>,
    ) {
        if transcript.text.trim().is_empty() {
            return;
        }
        self.tell(Input::Transcript { speech_end });
        self.add_text(number, transcript);
    }

    pub(super) fn add_text(&mut self, number: u64, transcript: Transcript) {
        self.set_language(&transcript);
        let now = self.detector.position();
        if self.taken.is_some_and(|taken| number <= taken) {
            // Words that were taken for final before they were, or words that come late.
            let known = self.promoted.take_if(|(turn, _)| *turn == number);
            if known.is_none_or(|(_, text)| !same_words(&text, &transcript.text)) {
                let turn = turn_of(&mut self.turns, number);
                turn.is_amendment = true;
                turn.ended.get_or_insert(Ended {
                    decision: None,
                    waits_until: None,
                    has_final: true,
                });
                append(&mut turn.finals, &transcript.text);
            }
            self.heard.push_back(Heard::Transcribed {
                turn: Some(number),
                transcript,
                is_final: true,
            });
            return;
        }
        let turn = turn_of(&mut self.turns, number);
        turn.interim.clear();
        append(&mut turn.finals, transcript.text.trim());
        turn.transcribed_at = Some(now);
        if let Some(ended) = &mut turn.ended {
            ended.has_final = true;
        }
        self.weigh(number);
        self.heard.push_back(Heard::Transcribed {
            turn: Some(number),
            transcript,
            is_final: true,
        });
    }

    pub(super) fn set_language(&mut self, transcript: &Transcript) {
        if self.options.language.is_none() && transcript.language.is_some() {
            self.language.clone_from(&transcript.language);
        }
        if let Some(judge) = &mut self.judge {
            judge.set_language(self.language.as_deref());
        }
    }

    /// Tells the core what the words of the turn so far are worth.
    pub(super) fn weigh(&mut self, number: u64) {
        if self.detector.open_turn() != Some(number) {
            return;
        }
        let text = turn_of(&mut self.turns, number).text();
        let words = text.unicode_words().count();
        self.tell(Input::Words(u32::try_from(words).unwrap_or(u32::MAX)));
        if self.options.text_cues && !self.user_speaks {
            let vote = TextCues::judge(&text, self.language.as_deref(), self.expectation);
            if !vote.reasons.is_empty() {
                self.tell(Input::TextCues { turn: number, vote });
            }
        }
    }

    /// The recogniser says that the user is finished.
    pub(super) fn recogniser_ended(&mut self) {
        let Some(number) = self.detector.open_turn() else {
            return;
        };
        let turn = turn_of(&mut self.turns, number);
        if turn.is_final() {
            self.tell(Input::CommitTurn);
        } else {
            self.stt_ended = Some(number);
        }
    }

    pub(super) fn recogniser_is_done(&mut self, number: u64) -> bool {
        if self.stt_ended == Some(number) {
            self.stt_ended = None;
            return true;
        }
        false
    }
}
