//! What was asked and said about the current pause.

use super::{MAX_REPEATS, config::AudioModel};
use crate::event::{CueVote, ModelVote, TurnVotes};
use crate::turn::{AnswerRule, Fusion};
use crate::units::{Probability, SamplePos};

/// Questions about one pause, at most: the first and its repeats.
const MAX_QUESTIONS: usize = MAX_REPEATS + 1;

/// Everything about a pause that the next voiced window makes void.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    /// In the order of asking; their numbers follow each other.
    questions: [Option<Question>; MAX_QUESTIONS],
    /// Of the newest answer by arrival.
    answered: Option<Answered>,
    text: Option<ModelVote>,
    cues: Option<(CueVote, SamplePos)>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    id: u64,
    at: SamplePos,
    answer: Option<Probability>,
}

#[derive(Clone, Copy, Debug)]
struct Answered {
    at: SamplePos,
    /// The threshold at that time.
    threshold: Probability,
}

impl Pause {
    pub(super) const fn was_asked(&self) -> bool {
        self.questions[0].is_some()
    }

    /// Notes a question; says whether there was room for it.
    pub(super) fn ask(&mut self, id: u64, at: SamplePos) -> bool {
        let free = self.questions.iter_mut().find(|slot| slot.is_none());
        let has_room = free.is_some();
        if let Some(slot) = free {
            *slot = Some(Question {
                id,
                at,
                answer: None,
            });
        }
        has_room
    }

    /// Takes the answer to question `id`; says whether it was open.
    pub(super) fn answer(
        &mut self,
        id: u64,
        probability: Probability,
        threshold: Probability,
        at: SamplePos,
    ) -> bool {
        let open = self
            .questions
            .iter_mut()
            .flatten()
            .find(|question| question.id == id && question.answer.is_none());
        let Some(question) = open else { return false };
        question.answer = Some(probability);
        self.answered = Some(Answered { at, threshold });
        true
    }

    /// Takes a text model's vote; says whether it is about text that is as new as that of the vote before.
    pub(super) fn text(&mut self, vote: ModelVote) -> bool {
        let is_news = self.text.is_none_or(|old| old.asked_at <= vote.asked_at);
        if is_news {
            let answers = self.text.map_or(0, |old| old.answers).saturating_add(1);
            self.text = Some(ModelVote { answers, ..vote });
        }
        is_news
    }

    pub(super) const fn cues(&mut self, vote: CueVote, at: SamplePos) {
        self.cues = Some((vote, at));
    }

    /// The newest question that nobody has answered.
    pub(super) fn open_question(&self) -> Option<u64> {
        let open = |question: &&Question| question.answer.is_none();
        self.questions.iter().flatten().rfind(open).map(|q| q.id)
    }

    /// When the audio model's last answer came.
    pub(super) fn audio_at(&self) -> Option<SamplePos> {
        self.answered.map(|answered| answered.at)
    }

    /// When the text model's last vote came.
    pub(super) fn text_at(&self) -> Option<SamplePos> {
        self.text.map(|vote| vote.answered_at)
    }

    /// When the last vote of the wording came.
    pub(super) fn cues_at(&self) -> Option<SamplePos> {
        self.cues.map(|(_, at)| at)
    }

    /// How far the wording leans.
    pub(super) fn lean(&self) -> Option<f32> {
        self.cues.map(|(vote, _)| vote.lean)
    }

    /// All that has been said. Depends on which answers are there, not on the order in which they came.
    pub(super) fn votes(&self, rule: AnswerRule, fusion: &Fusion) -> TurnVotes {
        let answered = || {
            let questions = self.questions.iter().flatten();
            questions.filter_map(|question| Some((question.at, question.answer?)))
        };
        let combined = rule.combine(answered().map(|(_, answer)| answer));
        let audio = combined
            .zip(self.answered)
            .map(|(probability, last)| ModelVote {
                probability,
                threshold: last.threshold,
                asked_at: answered().next_back().map_or(last.at, |(at, _)| at),
                answered_at: last.at,
                answers: answered().count() as u32,
            });
        let pair = |vote: ModelVote| (vote.probability, vote.threshold);
        let cues = self.cues.map(|(vote, _)| vote);
        TurnVotes {
            audio,
            text: self.text,
            cues,
            fused: fusion.fuse(audio.map(pair), self.text.map(pair), cues),
        }
    }

    /// Where the audio model is to be asked again: the next of its times behind `now`.
    pub(super) fn next_question(
        &self,
        model: &AudioModel,
        last_voiced: SamplePos,
        now: SamplePos,
    ) -> Option<SamplePos> {
        if self.questions.iter().all(Option::is_some) {
            return None;
        }
        let times = model.query_again.iter().flatten();
        times.map(|&after| last_voiced + after).find(|&at| at > now)
    }

    /// Moves every position to another time base.
    pub(super) fn map(&mut self, map: impl Fn(SamplePos) -> SamplePos) {
        for question in self.questions.iter_mut().flatten() {
            question.at = map(question.at);
        }
        if let Some(answered) = &mut self.answered {
            answered.at = map(answered.at);
        }
        if let Some(vote) = &mut self.text {
            vote.asked_at = map(vote.asked_at);
            vote.answered_at = map(vote.answered_at);
        }
        if let Some((_, at)) = &mut self.cues {
            *at = map(*at);
        }
    }
}
