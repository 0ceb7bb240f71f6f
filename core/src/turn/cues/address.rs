//! E-mail addresses, written (`anna@example.com`) or spoken ("anna at example dot com").

use super::fold::{fold, folded, is_word};
use super::list;
use super::words::Words;
use crate::event::Cue;

/// What an address in the text says. Spoken signs count only where an address is expected: "at" is a common word.
pub(super) fn judge(text: &str, language: &Words, expected: bool) -> Option<Cue> {
    let mut at = false;
    let mut dots = 0; // behind the last "at"
    let mut last = Part::Other;
    let mut complete = false;
    let mut is_word_of_it = |part: Part| {
        match part {
            Part::At => (at, complete, dots) = (true, false, 0),
            Part::Dot => {
                dots += 1;
                complete = false;
            }
            Part::Ending if at && last == Part::Dot => complete = true,
            Part::WholeEnding if at => complete = true,
            _ => {}
        }
        last = part;
    };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (part, len) = part(rest, c, language, expected);
        if let Some(part) = part {
            is_word_of_it(part);
        }
        rest = &rest[len..];
    }
    if complete {
        Some(Cue::FullAddress)
    } else if last == Part::At
        || (at && (dots == 0 || last == Part::Dot))
        || (expected && dots > 0 && !at)
    {
        Some(Cue::OpenAddress)
    } else {
        None
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    At,
    Dot,
    /// A word that can end a domain.
    Ending,
    /// "Dotcom" in one word.
    WholeEnding,
    Other,
}

/// The part that `rest` begins with, and its length in bytes.
fn part(rest: &str, first: char, language: &Words, expected: bool) -> (Option<Part>, usize) {
    let single = first.len_utf8();
    if matches!(first, '@' | '＠') {
        return (Some(Part::At), single);
    }
    if matches!(first, '.' | '．') {
        // Followed by a space it is a full stop.
        let joins = rest[single..]
            .chars()
            .next()
            .is_some_and(char::is_alphanumeric);
        return (joins.then_some(Part::Dot), single);
    }
    if !fold(first).is_some_and(is_word) {
        return (None, single);
    }
    if !language.spaced && expected {
        for (list, part) in [
            (language.dot_com, Part::WholeEnding),
            (language.at, Part::At),
            (language.dot, Part::Dot),
        ] {
            if let Some(len) = list::prefix(rest, list) {
                return (Some(part), len);
            }
        }
        if let Some(len) = list::prefix(rest, language.endings) {
            return (Some(Part::Ending), len);
        }
    }
    let latin = |c: char| c.is_ascii_alphanumeric();
    let end = if language.spaced || latin(first) {
        let inside = |c: char| fold(c).is_none_or(is_word) && (language.spaced || latin(c));
        rest.find(|c| !inside(c)).unwrap_or(rest.len())
    } else {
        single
    };
    let word = &rest[..end];
    let part = if expected && list::has(word, language.at) {
        Part::At
    } else if expected && list::has(word, language.dot) {
        Part::Dot
    } else if expected && list::has(word, language.dot_com) {
        Part::WholeEnding
    } else if is_ending(word) || list::has(word, language.endings) {
        Part::Ending
    } else {
        Part::Other
    };
    (Some(part), end)
}

/// Whether an address can end with this label: a country's two letters, or one of the common endings. `co` is left out:
/// a country follows it as often as not.
fn is_ending(word: &str) -> bool {
    let country = folded(word).count() == 2 && folded(word).all(|c| c.is_ascii_alphabetic());
    (country && !list::has(word, "co")) || list::has(word, ENDINGS)
}

/// Top-level domains of three and more letters that addresses commonly end with.
const ENDINGS: &str = "com, net, org, edu, gov, info, app, dev, cloud, online, biz, mil, int";
