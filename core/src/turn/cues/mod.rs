//! What the words themselves say about the end of a turn, without a model.
//!
//! A transcript that stops at "and the" is not over, and one that stops at "that's all, thank you" is. Such cues are few but
//! sure, cost microseconds, and know two things that sound does not tell: how many digits a number has, and that an
//! e-mail address without an ending is half of one.
//!
//! The result is a vote with its reasons. It moves the wait between its bounds and is never a veto: the endpointer's
//! `max_delay` ends the turn whatever the words say.
//!
//! Texts of recognisers differ, so cues hold for words without case or punctuation. Where a recogniser does punctuate, the marks
//! are cues too, but weaker than words: many recognisers put a full stop behind whatever they got.

mod address;
mod fold;
mod list;
mod marks;
mod numbers;
mod script;
mod spelling;
mod words;

use super::Language;
use crate::event::{Cue, CueSet, CueVote, Expectation};
use fold::Tail;
use words::Words;

/// Judges transcripts by their words; see [`judge`](Self::judge).
#[derive(Clone, Copy, Debug, Default)]
pub struct TextCues;

impl TextCues {
    /// Judges the user's words of the turn so far.
    ///
    /// `language` is a BCP 47 tag, read like [`Language::parse`]. Without one, or with `multi`, a script that belongs to one of
    /// the known languages decides; otherwise only marks, digits, addresses and sounds of hesitation count. The known
    /// languages are en es fr de it pt nl ru zh ja ko ar hi tr id.
    ///
    /// Nothing is allocated. Only the last 500 characters are read, which bounds the time: the median is 14 us, 500 characters of
    /// dictated digits take 0.6 ms (`examples/text_cues.rs`).
    ///
    /// ```
    /// use listenkit::{Cue, Expectation, TextCues};
    ///
    /// let vote = TextCues::judge("I would like to book a table for", Some("en-GB"), Expectation::Free);
    /// assert!(vote.lean < 0.0 && vote.reasons.contains(Cue::MayGoOn));
    ///
    /// let seven = TextCues::judge("five five five one two double three", Some("en"), Expectation::Digits { count: 10 });
    /// assert!(seven.lean < -0.8 && seven.reasons.contains(Cue::ShortNumber));
    /// ```
    pub fn judge(text: &str, language: Option<&str>, expectation: Expectation) -> CueVote {
        let text = fold::last_characters(text, MAX_CHARACTERS);
        let words = match language.and_then(Language::parse) {
            Some(language) => words::of(language.base()),
            None => script::language(text).and_then(words::of),
        };
        let words = words.unwrap_or(&words::UNIVERSAL);

        let mut reasons = CueSet::EMPTY;
        if let Some(mark) = marks::last(text) {
            reasons.insert(mark);
        }
        find_words(text, words, &mut reasons);
        if numbers::is_open(text, words) {
            reasons.insert(Cue::OpenNumber);
        }
        find_expected(text, words, expectation, &mut reasons);
        settle(expectation, &mut reasons);
        CueVote {
            lean: lean(reasons, expectation),
            reasons,
        }
    }
}

/// Longer turns are judged by their end. A spelt address with pauses has some 200 characters.
const MAX_CHARACTERS: usize = 500;

/// The cues that hold whatever is expected.
fn find_words(text: &str, words: &Words, reasons: &mut CueSet) {
    let tail = Tail::new(text, words.spaced);
    for (list, cue) in [
        (words.open, Cue::OpenWord),
        (words.soft, Cue::MayGoOn),
        (words.phrases, Cue::OpenPhrase),
        (words.closing, Cue::Closing),
        (words.finals, Cue::FinalForm),
        (words.questions, Cue::Question),
    ] {
        if list::ends(&tail, list).is_some() {
            reasons.insert(cue);
        }
    }
    // "Hmm?" asks.
    let hesitates = |list| list::ends(&tail, list).is_some();
    if (hesitates(words.fillers) || hesitates(words::HESITATION))
        && !reasons.contains(Cue::Question)
    {
        reasons.insert(Cue::Filler);
    }
}

/// The cues that depend on what is expected.
fn find_expected(text: &str, words: &Words, expectation: Expectation, reasons: &mut CueSet) {
    match expectation {
        Expectation::YesNo if is_answer(text, words) => {
            reasons.insert(Cue::ShortAnswer);
            // "Mm" is an answer here.
            reasons.remove(Cue::Filler);
        }
        Expectation::Digits { count } => {
            if count > 0 {
                reasons.extend(numbers::count(text, words, count));
            }
            // Where numbers are read out "une" is a digit, no article.
            if list::ends(&Tail::new(text, words.spaced), words.digits).is_some() {
                reasons.remove(Cue::OpenWord);
                reasons.remove(Cue::MayGoOn);
            }
        }
        _ => {}
    }
    reasons.extend(address::judge(
        text,
        words,
        expectation == Expectation::Email,
    ));
    if spelling::is_open(text, words, expectation) {
        reasons.insert(Cue::Spelling);
        // A letter that is also a word is a letter here.
        reasons.remove(Cue::OpenWord);
        reasons.remove(Cue::MayGoOn);
    }
}

/// Whether the whole text is made of short answers, after any hesitation: "uh yes please".
fn is_answer<'a>(text: &'a str, words: &Words) -> bool {
    let mut tail = Tail::new(text, words.spaced);
    let mut any = false;
    while let Some(rest) = list::longest(&tail, words.answers) {
        (tail, any) = (rest, true);
    }
    let hesitation = |tail: &Tail<'a>| {
        list::ends(tail, words.fillers).or_else(|| list::ends(tail, words::HESITATION))
    };
    while let Some(rest) = hesitation(&tail) {
        tail = rest;
    }
    any && tail.is_empty()
}

/// Takes back what another reason overrules.
fn settle(expectation: Expectation, reasons: &mut CueSet) {
    for (cues, milder) in [
        (&[Cue::OpenPhrase][..], Cue::OpenWord),
        (&[Cue::OpenPhrase, Cue::OpenWord, Cue::Filler], Cue::MayGoOn),
        (
            &[Cue::Closing, Cue::Question, Cue::ShortAnswer],
            Cue::FinalForm,
        ),
    ] {
        if cues.iter().any(|&cue| reasons.contains(cue)) {
            reasons.remove(milder);
        }
    }
    if reasons.contains(Cue::Closing) {
        // Who says that this was all does not mean to go on with the number.
        for cue in [Cue::ShortNumber, Cue::OpenAddress, Cue::Spelling] {
            reasons.remove(cue);
        }
    }
    if expectation == Expectation::FloorGranted {
        for cue in Cue::ALL {
            if !cue.is_open() && cue != Cue::Closing {
                reasons.remove(cue);
            }
        }
    }
}

/// How much a cue moves the lean. Three ranks suffice: the marks that recognisers also set by mistake, the words that
/// rarely mislead, and those that cannot. `tests/text_cues.rs` holds the order of mixed cases.
const HINT: f32 = 0.3;
const PLAIN: f32 = 0.6;
const SURE: f32 = 0.9;

fn strength(cue: Cue, expectation: Expectation) -> f32 {
    match cue {
        Cue::MayGoOn | Cue::Comma | Cue::FullStop | Cue::FinalForm => HINT,
        Cue::OpenPhrase | Cue::ShortNumber | Cue::ShortAnswer | Cue::FullNumber => SURE,
        // Letters and addresses are certain only where they were asked for.
        Cue::Spelling if expectation != Expectation::Spelling => HINT,
        Cue::FullAddress if expectation == Expectation::Email => SURE,
        Cue::OpenAddress if expectation == Expectation::Email => SURE,
        Cue::FullAddress => HINT,
        _ => PLAIN,
    }
}

/// The strongest cue for an end less the strongest against one. Cues of one side are rarely independent, so only the
/// strongest of each counts.
fn lean(reasons: CueSet, expectation: Expectation) -> f32 {
    let strongest = |open| {
        reasons
            .iter()
            .filter(|cue| cue.is_open() == open)
            .map(|cue| strength(cue, expectation))
            .fold(0.0, f32::max)
    };
    strongest(false) - strongest(true)
}
