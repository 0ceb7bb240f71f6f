//! Words that are being spelt: single letters, spelling alphabets, "B as in bravo".

use super::fold::{folded, words};
use super::list;
use super::words::{SPELLING_ALPHABET, Words};
use crate::event::Expectation;

/// Whether the text ends in the middle of spelling, or rather: nothing says that the last letter was the last.
pub(super) fn is_open(text: &str, language: &Words, expectation: Expectation) -> bool {
    let mut back = words(text).rev();
    let letters = back.clone().take_while(|word| is_letter(word)).count();
    let codes = back
        .clone()
        .take_while(|word| list::has(word, SPELLING_ALPHABET))
        .count();
    // One letter is often a word, two are often a short form ("at the U N"), and half of the alphabet's code words are
    // names.
    let (enough_letters, enough_codes) = match expectation {
        Expectation::Spelling => (1, 1),
        Expectation::Email => (2, 2),
        _ => (3, 2),
    };
    if letters >= enough_letters || codes >= enough_codes {
        return true;
    }
    // "b as in bravo", "b wie berta"
    expectation == Expectation::Spelling
        && back.next().is_some()
        && back
            .next()
            .is_some_and(|link| list::has(link, language.links))
        && back.by_ref().take(2).any(is_letter)
}

/// A single letter of an alphabet.
fn is_letter(word: &str) -> bool {
    let mut letters = folded(word);
    letters
        .next()
        .is_some_and(|c| c.is_alphabetic() && c < '\u{900}')
        && letters.next().is_none()
}
