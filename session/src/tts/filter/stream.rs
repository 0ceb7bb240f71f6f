//! The filter for text that comes in pieces.

use unicode_segmentation::UnicodeSegmentation;

use super::{Emphasis, OpenLink, TextFilter};
use crate::tts::chunker::is_without_spaces;

/// Longer than addresses, lines of code and rules that are left out, in characters: what is open for longer is taken for no mark.
const LONGEST_HELD: usize = 1_024;

/// The same for the text of a link, and struck text: some twenty words, of which nothing is heard before they are there.
const LONGEST_TEXT: usize = 128;

/// Gives what is spoken of a text as soon as nothing that follows can change it: word by word, but for what a mark may still close, and at the latest at
/// the end of the line. Put together, that is what [`TextFilter::apply`] gives of the whole, but for what was open for too long.
#[derive(Debug)]
pub(crate) struct FilterStream {
    filter: TextFilter,
    held: String,
    line_start: bool,
    emphasis: Emphasis,
    /// The beginning of struck text was taken for no mark: its end is none, either.
    is_unstruck: bool,
}

impl FilterStream {
    pub(crate) const fn new(filter: TextFilter) -> Self {
        Self {
            filter,
            held: String::new(),
            line_start: true,
            emphasis: Emphasis::NONE,
            is_unstruck: false,
        }
    }

    /// More text; gives what can be spoken now.
    pub(crate) fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        self.emphasis.push(text);
        self.take_unstruck();
        let cut = match self.filter == TextFilter::NONE {
            true => self.held.len(),
            false => self.settled(),
        };
        self.take(cut)
    }

    /// The writer has paused: gives the last word, too, if it is whole and no mark may be open.
    pub(crate) fn pause(&mut self) -> String {
        let line = self.held.rfind('\n').map_or(0, |at| at + 1);
        let ends_word = |c: char| !c.is_alphanumeric() && !"[]#-+>".contains(c);
        let is_whole = self.held.trim_end().ends_with(ends_word);
        let is_open = self.filter.markdown
            && (self.emphasis.is_open()
                || open(&self.held[line..], self.line_start || line > 0).is_some());
        match is_whole && !is_open {
            true => self.take(self.held.len()),
            false => String::new(),
        }
    }

    /// The rest: a mark that is open stands alone.
    pub(crate) fn finish(&mut self) -> String {
        self.emphasis = Emphasis::NONE;
        self.is_unstruck = false;
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

    fn take_unstruck(&mut self) {
        if !self.is_unstruck {
            return;
        }
        let line = self.held.find('\n');
        let mark = self.held.find("~~");
        self.is_unstruck = line.is_none() && mark.is_none();
        if let Some(mark) = mark.filter(|&mark| line.is_none_or(|line| mark < line)) {
            self.held.replace_range(mark..mark + 2, "");
        }
    }

    /// How much of the text is settled.
    fn settled(&mut self) -> usize {
        let line = self.held.rfind('\n').map_or(0, |at| at + 1);
        let line_start = self.line_start || line > 0;
        let text = &self.held[line..];
        let cuts = cuts(text);
        let open = |text| match self.filter.markdown {
            true => open(text, line_start),
            false => None,
        };
        if let Some(cut) = cuts.iter().rev().find(|&&cut| open(&text[..cut]).is_none()) {
            return line + cut;
        }
        let longest = open(text).unwrap_or(LONGEST_HELD);
        if text.len() <= longest || text.chars().count() <= longest {
            return line;
        }
        // In the middle of a word, if it must be.
        let graphemes = || text.grapheme_indices(true).map(|(at, _)| at);
        let last = cuts.last().copied();
        let cut = last.or_else(|| graphemes().next_back()).unwrap_or(0);
        self.is_unstruck = self.filter.markdown && is_struck(&text[..cut]);
        line + cut
    }
}

/// Where a line may be cut, not far from its end: before a space, and where words have none between them.
fn cuts(line: &str) -> Vec<usize> {
    let graphemes = line.grapheme_indices(true);
    let pairs = graphemes.clone().zip(graphemes.skip(1));
    let cuts = pairs.filter(|&((_, before), (at, after))| {
        let (Some(last), Some(first)) = (before.chars().last(), after.chars().next()) else {
            return false;
        };
        let is_cut =
            first.is_whitespace() || is_without_spaces(last) && !"*_`~[](!".contains(first);
        // What is behind a mark may be as many characters, of up to 4 bytes.
        is_cut && line.len() - at <= 4 * LONGEST_HELD
    });
    cuts.map(|(_, (at, _))| at).collect()
}

/// Whether struck text begins and does not end.
fn is_struck(text: &str) -> bool {
    text.matches("~~").count() % 2 == 1
}

/// Whether a mark is not closed in the beginning of a line, and for how many characters its end is waited for.
fn open(text: &str, line_start: bool) -> Option<usize> {
    if line_start {
        let bare = text.trim_start();
        let is_mark = |c: char| c.is_whitespace() || "#-+*>_`".contains(c);
        if bare.starts_with("```") || bare.chars().all(is_mark) {
            return Some(LONGEST_HELD);
        }
    }
    match super::open_link(&super::without_struck(text)) {
        Some(OpenLink::Address) => Some(LONGEST_HELD),
        Some(OpenLink::Text) => Some(LONGEST_TEXT),
        None if is_struck(text) => Some(LONGEST_TEXT),
        None => None,
    }
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
    fn the_last_word_before_a_pause_comes_unless_a_mark_may_be_open() {
        for (text, said) in [
            ("One moment.", " moment."),
            ("One **moment**.", " moment."),
            ("One moment", ""),
            ("**One moment.", ""),
            ("See [this]", ""),
            ("One `moment.", ""),
            ("One [moment.", ""),
            ("One ~~moment.", ""),
            ("**One**\n- two.", "two."),
            ("- ", ""),
        ] {
            let mut stream = FilterStream::new(TextFilter::default());
            let mut whole = stream.push(text);
            let rest = stream.pause();
            assert_eq!(rest, said, "{text}");
            whole += &(rest + &stream.push(" And on.") + &stream.finish());
            let expected = TextFilter::default().apply(&format!("{text} And on."), true);
            assert_eq!(whole, expected);
        }
    }

    #[test]
    fn half_a_word_is_not_pushed_on_whatever_the_filter() {
        let filter = TextFilter {
            markdown: false,
            ..TextFilter::default()
        };
        let mut stream = FilterStream::new(filter);
        assert_eq!(stream.push("One mom"), "One");
        assert_eq!(stream.pause(), "");
        assert_eq!(stream.push("ent, **please."), " moment,");
        assert_eq!(stream.pause(), " **please.");
    }

    #[test]
    fn a_mark_that_is_open_does_not_outlive_its_text() {
        for mark in ["**", "`", "_"] {
            let mut stream = FilterStream::new(TextFilter::default());
            stream.push(&format!("This is {mark}so"));
            stream.finish();
            assert_eq!(stream.push("One moment."), "One");
            assert_eq!(stream.pause(), " moment.", "{mark}");
        }
        let mut stream = FilterStream::new(TextFilter::default());
        stream.push(&format!("~~{}", "word ".repeat(LONGEST_TEXT)));
        stream.finish();
        let said = stream.push("This is ~~not~~ so");
        assert_eq!(said + &stream.finish(), "This is  so");
        // A pause is no end.
        stream.push(&format!("~~{}.", "word ".repeat(LONGEST_TEXT)));
        stream.pause();
        let said = stream.push(" so~~ not ~~not~~.");
        assert_eq!(said + &stream.finish(), " so not .");
    }

    #[test]
    fn what_is_never_closed_is_not_waited_for_for_ever() {
        for (mark, longest) in [
            ("[", LONGEST_TEXT),
            ("~~", LONGEST_TEXT),
            ("see [a](", LONGEST_HELD),
            ("``` ", LONGEST_HELD),
        ] {
            let mut stream = FilterStream::new(TextFilter::default());
            stream.push(&format!("{mark}so on"));
            let mut held = mark.len();
            while stream.push(" and on").is_empty() {
                held += " and on".len();
                assert!(held < longest + 10, "{mark}");
            }
            assert!(held + 10 > longest, "{mark}: {held}");
        }
        let long = "ten of these are more than that, ".repeat(5);
        let mut stream = FilterStream::new(TextFilter::default());
        let mut said = String::new();
        let text = format!("It is ~~{long}~~ so, not ~~nine~~ ten.\nAnd ~~one~~ two.");
        for word in text.split_inclusive(' ') {
            said += &stream.push(word);
        }
        said += &stream.finish();
        assert_eq!(said, format!("It is {long} so, not  ten.\nAnd  two."));
        let mut stream = FilterStream::new(TextFilter::default());
        let words = "The interval [0, 1) is half open, so that it holds its lower end and not its upper one, which is of use where one interval follows another and nothing is to be counted twice.";
        let mut said = String::new();
        for word in words.split_inclusive(' ') {
            said += &stream.push(word);
        }
        assert!(
            said.starts_with("The interval [0, 1) is half open"),
            "{said}"
        );
        assert_eq!(said + &stream.finish(), words);
    }

    #[test]
    fn a_long_line_is_not_looked_at_for_each_of_its_words() {
        for word in ["word ", "字", "~~a~~ ", "[a](b) ", "[a ", "~~ "] {
            let text = word.repeat(50_000 / word.len());
            let mut stream = FilterStream::new(TextFilter::default());
            let said = stream.push(&text) + &stream.finish();
            assert_eq!(said, TextFilter::default().apply(&text, true), "{word}");
            let looks = cuts(&text).len();
            assert!((1..=4 * LONGEST_HELD).contains(&looks), "{word}: {looks}");
        }
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
                // A pause within a mark or a character parts it.
                let is_mark = ['*', '_', '`', '~', '['];
                let ends = text.grapheme_indices(true).map(|(at, _)| at);
                let is_between = ends.chain([text.len()]).any(|at| text[at..] == *behind)
                    && !piece.ends_with(is_mark)
                    && !behind.starts_with(is_mark);
                if is_between && random.u8(..4) == 0 {
                    out += &stream.pause();
                }
                rest = behind;
            }
            out += &stream.finish();
            let whole = TextFilter::default().apply(&text, true);
            assert_eq!(out, whole, "{seed}: {text:?}");
        }
    }
}
