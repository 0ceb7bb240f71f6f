//! Lists of words as they stand in the tables, and how a text is compared with them.
//!
//! Entries are separated by commas, words by spaces (which also match hyphens and commas of the text). Signs:
//! - `^word` only where a sentence or clause begins, hesitation before it aside;
//! - `+word` only after other words;
//! - `~ending` also inside a word;
//! - `stem*` the beginning of a word (lists of numbers only);
//! - `word!before/before` not right after one of these.

use super::fold::{Gap, Tail, fold, folded, is_word};
use super::words::HESITATION;

/// What is left of the text before an entry that it ends with.
pub(super) fn ends<'a>(tail: &Tail<'a>, list: &str) -> Option<Tail<'a>> {
    entries(list).find_map(|entry| entry.before(tail))
}

/// The same for the longest such entry.
pub(super) fn longest<'a>(tail: &Tail<'a>, list: &str) -> Option<Tail<'a>> {
    entries(list)
        .filter_map(|entry| Some((entry.body.len(), entry.before(tail)?)))
        .max_by_key(|(len, _)| *len)
        .map(|(_, before)| before)
}

/// Whether a single word is in the list.
pub(super) fn has(word: &str, list: &str) -> bool {
    entries(list).any(|entry| entry.is(word))
}

/// How many bytes of `text` an entry covers that it begins with; the longest one. For scripts without spaces.
pub(super) fn prefix(text: &str, list: &str) -> Option<usize> {
    entries(list)
        .filter_map(|entry| {
            let mut rest = text.chars();
            let fits = folded(entry.body).all(|c| rest.by_ref().find_map(fold) == Some(c));
            fits.then(|| text.len() - rest.as_str().len())
        })
        .max()
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    body: &'a str,
    first: bool,
    later: bool,
    inside: bool,
    stem: bool,
    not_after: &'a str,
}

fn entries(list: &str) -> impl Iterator<Item = Entry<'_>> {
    list.split(',').filter_map(|entry| {
        let (body, not_after) = entry.split_once('!').unwrap_or((entry, ""));
        let body = body.trim();
        let bare = body.trim_start_matches(['^', '+', '~']);
        let signs = &body[..body.len() - bare.len()];
        let stem = bare.ends_with('*');
        let bare = bare.trim_end_matches('*');
        (!bare.is_empty()).then_some(Entry {
            body: bare,
            first: signs.contains('^'),
            later: signs.contains('+'),
            inside: signs.contains('~'),
            stem,
            not_after: not_after.trim(),
        })
    })
}

impl Entry<'_> {
    fn before<'a>(&self, tail: &Tail<'a>) -> Option<Tail<'a>> {
        let mut rest = tail.clone();
        if !matches(&mut rest, self.body) {
            return None;
        }
        let mut ahead = rest.clone();
        let gap = ahead.skip_gap();
        // A hyphen makes it a part of another word: "donne-le", "check-in".
        let apart = !rest.spaced || self.inside || !matches!(gap, Gap::None | Gap::Hyphen);
        let first = || {
            matches!(gap, Gap::Start | Gap::Mark)
                || (gap == Gap::Space && ends(&ahead, HESITATION).is_some())
        };
        let fits = apart
            && (!self.first || first())
            && (!self.later || gap != Gap::Start)
            && !self.excluded(&ahead, gap);
        fits.then_some(ahead)
    }

    fn excluded(&self, ahead: &Tail<'_>, gap: Gap) -> bool {
        let inside = !ahead.spaced || gap == Gap::None;
        let mut befores = self
            .not_after
            .split('/')
            .filter(|before| !before.is_empty());
        befores.any(|before| {
            let mut rest = ahead.clone();
            matches(&mut rest, before) && (inside || rest.letter().is_none())
        })
    }

    fn is(&self, word: &str) -> bool {
        if self.inside {
            let mut word = word.chars().rev().filter_map(fold);
            let mut body = self.body.chars().rev().filter_map(fold);
            return body.all(|c| word.next() == Some(c));
        }
        let mut word = folded(word);
        let mut body = folded(self.body);
        loop {
            match (body.next(), word.next()) {
                (None, None) => return true,
                (None, Some(_)) => return self.stem,
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

/// Reads `body` backwards off the text.
fn matches(rest: &mut Tail<'_>, body: &str) -> bool {
    for c in body.chars().rev().filter_map(fold) {
        let fits = if is_word(c) {
            rest.letter().or_else(|| {
                // Recognisers put spaces between some words of scripts that have none.
                let apart = !rest.spaced && rest.skip_gap() != Gap::Start;
                apart.then(|| rest.letter()).flatten()
            }) == Some(c)
        } else {
            rest.letter().is_none() && !matches!(rest.skip_gap(), Gap::None | Gap::Start)
        };
        if !fits {
            return false;
        }
    }
    true
}
