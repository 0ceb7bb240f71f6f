//! Takes out of a text what should not be read aloud.

mod stream;

pub(crate) use stream::FilterStream;
use unicode_segmentation::UnicodeSegmentation;

/// What is taken out before a text is spoken. The history keeps the text as it was, but of a voice that streams only where the whole was heard: a speech that
/// was cut off, by the user or by a failure of the voice or the language model, is in it as it was spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextFilter {
    /// Markdown: headings, list and quote marks, rules, emphasis, code marks; of links and images the address; struck text.
    pub markdown: bool,
    /// Emoji and pictographs.
    pub emoji: bool,
}

/// Both, as LiveKit Agents 1.8.9 does by default.
impl Default for TextFilter {
    fn default() -> Self {
        Self {
            markdown: true,
            emoji: true,
        }
    }
}

impl TextFilter {
    /// Nothing is taken out.
    pub const NONE: Self = Self {
        markdown: false,
        emoji: false,
    };

    /// What is spoken of `text`. `line_start` says whether it begins a line: only there a `#` is a heading.
    ///
    /// A text may be cut anywhere: a mark whose partner is missing is taken out alone.
    pub fn apply(self, text: &str, line_start: bool) -> String {
        let text = match self.markdown {
            true => text
                .split_inclusive('\n')
                .enumerate()
                .map(|(number, line)| without_markdown(line, line_start || number > 0))
                .collect(),
            false => text.to_owned(),
        };
        match self.emoji {
            true => text.graphemes(true).filter_map(without_emoji).collect(),
            false => text,
        }
    }
}

fn without_markdown(line: &str, line_start: bool) -> String {
    let mut rest = line;
    if line_start {
        let bare = line.trim();
        let marks: Vec<char> = bare.chars().filter(|c| !c.is_whitespace()).collect();
        let is_rule = marks.len() >= 3
            && ['-', '*', '_'].contains(&marks[0])
            && marks.iter().all(|&mark| mark == marks[0]);
        if is_rule || bare.starts_with("```") {
            return if line.ends_with('\n') { "\n" } else { "" }.to_owned();
        }
        rest = without_line_mark(line);
    }
    let rest = without_struck(rest);
    let rest = without_addresses(&rest);
    without_emphasis(&rest)
}

fn without_line_mark(line: &str) -> &str {
    let mut rest = line.trim_start();
    loop {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let marks = match rest.chars().next() {
            Some('#') if hashes <= 6 => hashes,
            Some('-' | '+' | '*' | '>') => 1,
            _ => return rest,
        };
        match rest[marks..].strip_prefix(' ') {
            Some(after) => rest = after.trim_start(),
            None => return rest,
        }
    }
}

/// Struck text was taken back by its author.
fn without_struck(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("~~") {
        out.push_str(before);
        match after.split_once("~~") {
            Some((struck, behind)) if !struck.contains('\n') => rest = behind,
            _ => rest = after,
        }
    }
    out + rest
}

/// `[text](address)` and `![text](address)` to their text.
fn without_addresses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        match link(&rest[open..]) {
            Link::Whole { text, len } => {
                let before = &rest[..open];
                out.push_str(before.strip_suffix('!').unwrap_or(before));
                out.push_str(text);
                rest = &rest[open + len..];
            }
            Link::None | Link::Open(_) => {
                out.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
    }
    out + rest
}

/// What is missing of a link.
enum OpenLink {
    /// The end of its text.
    Text,
    /// The end of its address.
    Address,
}

/// Whether what follows may make a link of a bracket in this.
fn open_link(text: &str) -> Option<OpenLink> {
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        rest = match link(&rest[open..]) {
            Link::Whole { len, .. } => &rest[open + len..],
            Link::None => &rest[open + 1..],
            Link::Open(what) => return Some(what),
        };
    }
    None
}

/// What a bracket begins.
enum Link<'a> {
    None,
    /// With more text it may be one.
    Open(OpenLink),
    Whole {
        text: &'a str,
        len: usize,
    },
}

fn link(text: &str) -> Link<'_> {
    let inner = &text[1..];
    let Some(end) = inner.find(['[', ']']) else {
        return Link::Open(OpenLink::Text);
    };
    let Some(address) = inner[end..].strip_prefix("](") else {
        return Link::None;
    };
    match address.find(')') {
        None => Link::Open(OpenLink::Address),
        Some(close) => Link::Whole {
            text: &inner[..end],
            len: 1 + end + 2 + close + 1,
        },
    }
}

/// Takes out backticks, and runs of `*` and `_` that stand at the edge of a word: `2 * 3`, `2*3` and `snake_case` keep theirs.
fn without_emphasis(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c == '`' {
            at += 1;
            continue;
        }
        if c != '*' && c != '_' {
            out.push(c);
            at += 1;
            continue;
        }
        let len = chars[at..].iter().take_while(|&&next| next == c).count();
        let before = at.checked_sub(1).map(|before| chars[before]);
        let after = chars.get(at + len).copied();
        let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
        // Scripts without spaces put the mark between two letters.
        let is_word = |c: Option<char>| {
            c.is_some_and(|c| c.is_alphanumeric() && !super::chunker::is_without_spaces(c))
        };
        let keep =
            len > 3 || is_space(before) && is_space(after) || is_word(before) && is_word(after);
        if keep {
            out.extend(std::iter::repeat_n(c, len));
        }
        at += len;
    }
    out
}

/// Follows a text, and tells whether a run of `*` or `_` or a backtick may be open in its line.
#[derive(Debug)]
pub(crate) struct Emphasis {
    /// Of each mark, whether there was an odd number of runs.
    odd: [bool; 3],
    last: char,
}

impl Emphasis {
    pub(crate) const NONE: Self = Self {
        odd: [false; 3],
        last: '\n',
    };

    pub(crate) fn push(&mut self, text: &str) {
        for c in text.chars() {
            match "*_`".find(c) {
                Some(mark) if c != self.last => self.odd[mark] ^= true,
                None if c == '\n' => self.odd = [false; 3],
                _ => {}
            }
            self.last = c;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.odd.contains(&true)
    }
}

/// `None` for an emoji; the digit of a keycap.
fn without_emoji(grapheme: &str) -> Option<&str> {
    let first = grapheme.chars().next()?;
    if grapheme.ends_with('\u{20e3}') {
        return grapheme.get(..first.len_utf8());
    }
    let is_emoji =
        is_pictograph(first) || grapheme.contains('\u{fe0f}') && !first.is_alphanumeric();
    (!is_emoji).then_some(grapheme)
}

/// The blocks of Unicode 16 whose characters are drawn as emoji: dingbats, miscellaneous symbols, flags, pictographs.
fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{2600}'..='\u{27bf}'
        | '\u{2b1b}' | '\u{2b1c}' | '\u{2b50}' | '\u{2b55}'
        | '\u{231a}' | '\u{231b}' | '\u{23e9}'..='\u{23fa}'
        | '\u{fe0f}'
        | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(text: &str) -> String {
        TextFilter::default().apply(text, true)
    }

    #[test]
    fn markdown_leaves_its_text() {
        for (text, expected) in [
            ("# A heading", "A heading"),
            ("#tag stays", "#tag stays"),
            ("- one\n* two\n+ three", "one\ntwo\nthree"),
            ("> - quoted list", "quoted list"),
            ("1. first", "1. first"),
            ("before\n---\nafter", "before\n\nafter"),
            (
                "**bold**, *slanted* and ***both***.",
                "bold, slanted and both.",
            ),
            ("__bold__ and _slanted_", "bold and slanted"),
            ("_**nested**_ (*so*)", "nested (so)"),
            (
                "2 * 3 = 6, 2*3 = 6, snake_case",
                "2 * 3 = 6, 2*3 = 6, snake_case",
            ),
            ("**cut in the", "cut in the"),
            ("middle**, you see", "middle, you see"),
            ("see [the page](https://x.y/z_(a) now", "see the page now"),
            ("![a cat](cat.png) sat", "a cat sat"),
            ("an [aside] (here)", "an [aside] (here)"),
            ("run `cargo test`", "run cargo test"),
            ("```rust\nlet a = 1;\n```\ndone", "\nlet a = 1;\n\ndone"),
            ("it costs ~~ten~~ eight", "it costs  eight"),
            ("about ~~ ten", "about  ten"),
            ("这是**粗体**字", "这是粗体字"),
        ] {
            assert_eq!(spoken(text), expected, "{text}");
        }
    }

    #[test]
    fn line_marks_count_only_where_a_line_begins() {
        assert_eq!(TextFilter::default().apply("- five", false), "- five");
        assert_eq!(TextFilter::default().apply("is\n- five", false), "is\nfive");
    }

    #[test]
    fn emoji_go_and_letters_of_every_script_stay() {
        for (text, expected) in [
            ("Hi 👋🏽!", "Hi !"),
            ("Flag 🇧🇷, family 👩‍👩‍👧, heart ❤️.", "Flag , family , heart ."),
            ("press 1️⃣", "press 1"),
            (
                "क्या है? 価格は5円。 ไทย می‌خواهم",
                "क्या है? 価格は5円。 ไทย می‌خواهم",
            ),
            ("5 € © 10 °C → a", "5 € © 10 °C → a"),
        ] {
            assert_eq!(spoken(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_taken_out_unless_asked() {
        let text = "# **a** 👋\n- [b](c)";
        assert_eq!(TextFilter::NONE.apply(text, true), text);
    }
}
