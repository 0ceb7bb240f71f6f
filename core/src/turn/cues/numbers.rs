//! Numbers read out: how many digits were heard, and whether one more is announced.

use super::fold::{Tail, fold, folded, is_digit, words};
use super::list;
use super::words::Words;
use crate::event::Cue;

/// Whether the text ends with a number and a joint: "three point", "five five dash".
pub(super) fn is_open(text: &str, language: &Words) -> bool {
    list::ends(&Tail::new(text, language.spaced), language.joints).is_some_and(|mut before| {
        // Where number words run together with others only numerals are certain: the "san" of a name is also a three.
        let certain = language.spaced && !language.digits_join;
        let number = |list| certain && list::ends(&before, list).is_some();
        number(language.digits) || number(language.tens) || before.letter().is_some_and(is_digit)
    })
}

/// Compares the digits of the longest number in the text with how many are expected; `None` if there is no number or
/// its length is not certain.
pub(super) fn count(text: &str, language: &Words, expected: u8) -> Option<Cue> {
    let mut longest = Run::default();
    let mut run = Run::default();
    let mut take = |token: Token| {
        run = run.then(token);
        // Of two equally long ones the later: people correct themselves.
        if run.max >= longest.max {
            longest = run;
        }
    };
    if language.spaced && !language.digits_join {
        words(text).for_each(|word| take(in_words(word, language)));
    } else {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (token, len) = in_characters(rest, c, language);
            take(token);
            rest = &rest[len..];
        }
    }
    if longest.max == 0 {
        None
    } else if longest.max < u32::from(expected) {
        Some(Cue::ShortNumber)
    } else if longest.min >= u32::from(expected) {
        Some(Cue::FullNumber)
    } else {
        None
    }
}

/// A part of a number, or what ends it.
#[derive(Clone, Copy)]
enum Token {
    /// So many digits.
    Digits(u32),
    /// A zero that may be an "oh".
    Oh,
    /// "Twenty", "hundred": from none to three more digits, depending on its neighbours.
    Tens,
    /// The next digit comes so many times.
    Times(u32),
    /// Nothing that counts or ends: a pause, "and", "dash".
    Joint,
    /// Any other word.
    Other,
}

/// Bounds of how many digits a number has.
#[derive(Clone, Copy, Default)]
struct Run {
    min: u32,
    max: u32,
    /// What a "double" before the next digit makes of it; 0 without one.
    times: u32,
}

impl Run {
    fn then(self, token: Token) -> Self {
        let times = self.times.max(1);
        let add = |min: u32, max: u32| Self {
            min: self.min.saturating_add(min),
            max: self.max.saturating_add(max),
            times: 0,
        };
        match token {
            Token::Digits(1) => add(times, times),
            Token::Digits(count) => add(count, count),
            Token::Oh if self.max == 0 => add(0, times),
            Token::Oh => add(times, times),
            Token::Tens => add(0, 3),
            Token::Times(times) => Self { times, ..self },
            Token::Joint => self,
            Token::Other => Self::default(),
        }
    }
}

fn in_words(word: &str, language: &Words) -> Token {
    if folded(word).all(is_digit) {
        Token::Digits(u32::try_from(folded(word).count()).unwrap_or(u32::MAX))
    } else if list::has(word, language.oh) {
        Token::Oh
    } else if list::has(word, language.digits) {
        Token::Digits(1)
    } else if list::has(word, language.tens) {
        Token::Tens
    } else if list::has(word, language.twice) {
        Token::Times(2)
    } else if list::has(word, language.thrice) {
        Token::Times(3)
    } else if list::has(word, language.joints)
        || list::has(word, language.number_fill)
        || list::has(word, language.fillers)
        || list::has(word, super::words::HESITATION)
    {
        Token::Joint
    } else {
        Token::Other
    }
}

/// The token that `rest` begins with, and its length in bytes.
fn in_characters(rest: &str, first: char, language: &Words) -> (Token, usize) {
    let single = first.len_utf8();
    if is_digit(first) {
        return (Token::Digits(1), single);
    }
    let find = |list: &str| list::prefix(rest, list);
    // The fill first: it holds endings that begin like a digit.
    if let Some(len) = find(language.number_fill) {
        (Token::Joint, len)
    } else if let Some(len) = find(language.digits) {
        (Token::Digits(1), len)
    } else if let Some(len) = find(language.tens) {
        (Token::Tens, len)
    } else if let Some(len) = find(language.joints).or_else(|| find(language.fillers)) {
        (Token::Joint, len)
    } else if fold(first).is_some_and(char::is_alphanumeric) {
        (Token::Other, single)
    } else {
        (Token::Joint, single)
    }
}
