//! The punctuation mark a transcript ends with.

use super::fold::fold;
use crate::event::Cue;

/// What the last mark says; quotes and brackets behind it do not count.
pub(super) fn last(text: &str) -> Option<Cue> {
    let text = text.trim_end_matches(|c: char| {
        c.is_whitespace() || fold(c).is_none() || "\"'’”»)]}」』）】".contains(c)
    });
    let mut back = text.chars().rev();
    match back.next()? {
        '…' | '⋯' | '‥' => Some(Cue::Ellipsis),
        '.' | '。' | '・' | '．' if back.next().is_some_and(|c| ".。・．".contains(c)) => {
            Some(Cue::Ellipsis)
        }
        '.' | '!' | '。' | '！' | '．' | '｡' | '।' | '॥' | '۔' => Some(Cue::FullStop),
        '?' | '？' | '؟' => Some(Cue::Question),
        ',' | '،' | '、' | '，' | '､' | ';' | '؛' | '；' | ':' | '：' => Some(Cue::Comma),
        '-' | '－' | '‐' | '–' | '—' | '―' => Some(Cue::Dash),
        _ => None,
    }
}
