//! The filter for text that comes in pieces.

use unicode_segmentation::UnicodeSegmentation;

use super::TextFilter;
use crate::tts::chunker::is_without_spaces;

/// Longer than links that are read out, in bytes: what is open for longer is taken for no mark.
const LONGEST_HELD: usize = 1_024;

/// Gives what is spoken of a text as soon as nothing that follows can change it: word by word, but for what a mark may still close, and at the latest at
/// the end of the line. Put together, that is what [`TextFilter::apply`] gives of the whole.
#[derive(Debug)]
pub(crate) struct FilterStream {
    filter: TextFilter,
    held: String,
    line_start: bool,
}

impl FilterStream {
    pub(crate) const fn new(filter: TextFilter) -> Self {
        Self {
            filter,
            held: String::new(),
            line_start: true,
        }
    }

    /// More text; gives what can be spoken now.
    pub(crate) fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let cut = match self.filter == TextFilter::NONE {
            true => self.held.len(),
            false => self.settled(),
        };
        self.take(cut)
    }

    /// The rest: a mark that is open stands alone.
    pub(crate) fn finish(&mut self) -> String {
        self.take(self.held.len())
    }

    fn take(&mut self, count: usize) -> String {
        let piece: String = self.held.drain(..count).collect();
        if piece.is_empty() {
            return piece;
        }
        let spoken = self.filter.apply(&piece, self.line_start);
        self.line_start = piece.ends_with('\n');
        spoken
    }

    /// How much of the text is settled.
    fn settled(&self) -> usize {
        let line = self.held.rfind('\n').map_or(0, |at| at + 1);
        let line_start = self.line_start || line > 0;
        let text = &self.held[line..];
        let mut before = None;
        let mut settled = 0;
        for (at, grapheme) in text.grapheme_indices(true) {
            let is_cut = before.is_some_and(|before| is_cut(before, grapheme));
            if is_cut && (!self.filter.markdown || is_settled(&text[..at], line_start)) {
                settled = at;
            }
            before = Some(grapheme);
        }
        if settled == 0 && text.len() > LONGEST_HELD {
            // In the middle of a word, if it must be.
            settled = text
                .grapheme_indices(true)
                .next_back()
                .map_or(0, |(at, _)| at);
        }
        line + settled
    }
}

/// Whether a text may be cut between these two: before a space, and where words have none between them.
fn is_cut(before: &str, after: &str) -> bool {
    let (Some(last), Some(first)) = (before.chars().last(), after.chars().next()) else {
        return false;
    };
    first.is_whitespace() || is_without_spaces(last) && !"*_`~[](!".contains(first)
}

/// Whether all marks in the beginning of a line are closed.
fn is_settled(text: &str, line_start: bool) -> bool {
    if line_start {
        let bare = text.trim_start();
        let is_mark = |c: char| c.is_whitespace() || "#-+*>_`".contains(c);
        if bare.starts_with("```") || bare.chars().all(is_mark) {
            return false;
        }
    }
    let struck = text.matches("~~").count() % 2 == 1;
    !struck && !super::has_open_link(&super::without_struck(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(pieces: &[&str]) -> Vec<String> {
        let mut stream = FilterStream::new(TextFilter::default());
        let mut out: Vec<_> = pieces.iter().map(|piece| stream.push(piece)).collect();
        out.push(stream.finish());
        out
    }

    #[test]
    fn words_come_as_soon_as_they_are_whole() {
        let said = spoken(&["It", " is", " **very", "** good", ".", " Is"]);
        assert_eq!(said, ["", "It", " is", " very", "", " good.", " Is"]);
        let said = spoken(&["See [the", " guide](http", "://x.y/", "z) now", ", or"]);
        assert_eq!(said, ["See", "", "", " the guide", " now,", " or"]);
        let said = spoken(&["这是", "**粗", "体**", "字。", "好"]);
        assert_eq!(said.concat(), "这是粗体字。好");
        assert_eq!(said[0], "这");
    }

    #[test]
    fn what_is_never_closed_is_not_waited_for_for_ever() {
        let mut stream = FilterStream::new(TextFilter::default());
        let said = stream.push(&format!("[{}", "so on and on ".repeat(100)));
        assert!(said.starts_with("[so on and on"), "{said}");
    }

    #[test]
    fn it_does_not_matter_how_a_text_comes() {
        let words = "a|word|2|*|**|_|`|```|~~|~|[|](|]|)|(|!|#|-|>|+|.|\n|\r\n| | | |  |字|です|。|ไทย|👋🏽|❤\u{fe0f}|\u{fe0f}|🇧|🇷|1\u{fe0f}\u{20e3}|e\u{301}|\u{301}|---";
        let words: Vec<_> = words.split('|').collect();
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.usize(..40);
            let text: String = (0..count)
                .map(|_| words[random.usize(..words.len())])
                .collect();
            let mut stream = FilterStream::new(TextFilter::default());
            let (mut out, mut rest) = (String::new(), text.as_str());
            while !rest.is_empty() {
                let most = random.usize(1..8);
                let mut ends = rest.char_indices().map(|(at, _)| at).skip(most);
                let (piece, behind) = rest.split_at(ends.next().unwrap_or(rest.len()));
                out += &stream.push(piece);
                rest = behind;
            }
            out += &stream.finish();
            let whole = TextFilter::default().apply(&text, true);
            assert_eq!(out, whole, "{seed}: {text:?}");
        }
    }
}
