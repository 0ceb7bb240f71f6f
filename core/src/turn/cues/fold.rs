//! Text as cues compare it: without case, width, punctuation and marks that recognisers leave out.

use std::iter::Peekable;
use std::str::Chars;

/// The last `count` characters.
pub(super) fn last_characters(text: &str, count: usize) -> &str {
    let start = text.char_indices().rev().nth(count.saturating_sub(1));
    start.map_or(text, |(start, _)| &text[start..])
}

/// One character as it is compared; `None` for those that writers and recognisers leave out at will.
///
/// Folded are case, full width, katakana to hiragana, typographic apostrophes, the Turkish dotless i, Russian ё, the Arabic
/// carriers of hamza and ta marbuta; left out are Arabic vowel signs, the Devanagari nukta and invisible controls.
pub(super) fn fold(c: char) -> Option<char> {
    let c = match c {
        'a'..='z' | ' ' => return Some(c),
        '\u{ff01}'..='\u{ff5d}' => shifted(c, -0xfee0),
        '\u{30a1}'..='\u{30f6}' => shifted(c, -0x60),
        '〜' | '～' => 'ー',
        '’' | '‘' | 'ʼ' | '`' | '´' => '\'',
        '\u{3000}' => ' ',
        'ı' => 'i',
        'ё' | 'Ё' => 'е',
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ة' => 'ه',
        // Letters with a nukta as one character.
        '\u{0958}' => 'क',
        '\u{0959}' => 'ख',
        '\u{095a}' => 'ग',
        '\u{095b}' => 'ज',
        '\u{095c}' => 'ड',
        '\u{095d}' => 'ढ',
        '\u{095e}' => 'फ',
        '\u{095f}' => 'य',
        '\u{ad}'
        | '\u{307}'
        | '\u{640}'
        | '\u{64b}'..='\u{652}'
        | '\u{61c}'
        | '\u{670}'
        | '\u{93c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{fe0f}'
        | '\u{feff}' => {
            return None;
        }
        c => c,
    };
    // Only İ becomes two characters, of which the second is left out above.
    c.to_lowercase().next()
}

fn shifted(c: char, by: i32) -> char {
    char::from_u32(c as u32).map_or(c, |c| {
        char::from_u32((c as u32).wrapping_add_signed(by)).unwrap_or(c)
    })
}

/// Whether a folded character is part of a word. Marks above and below letters are, and the Devanagari virama.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}' | '\u{94d}' | '\'')
}

/// A decimal digit of the scripts of the known languages.
pub(super) fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '０'..='９' | '٠'..='٩' | '۰'..='۹' | '०'..='९')
}

/// The words of a text as they are written, apostrophes inside included.
pub(super) fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    text.split(|c| fold(c).is_some_and(|c| !is_word(c)))
        .map(|word| word.trim_matches(|c| fold(c) == Some('\'')))
        .filter(|word| folded(word).next().is_some())
}

/// Folded characters, forwards.
pub(super) fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter_map(fold)
}

/// What stands between two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// The text begins here.
    Start,
    /// Nothing: the middle of a word.
    None,
    /// White space.
    Space,
    /// A hyphen without a space.
    Hyphen,
    /// Any other mark.
    Mark,
}

/// A text read backwards from its last word, one folded character at a time.
#[derive(Clone)]
pub(super) struct Tail<'a> {
    chars: Peekable<std::iter::Rev<Chars<'a>>>,
    /// Whether words have spaces between them; if not, gaps inside a phrase are overlooked.
    pub(super) spaced: bool,
}

impl<'a> Tail<'a> {
    /// Begins at the end of the last word.
    pub(super) fn new(text: &'a str, spaced: bool) -> Self {
        let text = text.trim_end_matches(|c| fold(c).is_none_or(|c| !is_word(c) || c == '\''));
        Self {
            chars: text.chars().rev().peekable(),
            spaced,
        }
    }

    /// Whether no word is left.
    pub(super) fn is_empty(&self) -> bool {
        let mut rest = self.clone();
        rest.skip_gap();
        rest.chars.peek().is_none()
    }

    /// The next character of the word; `None` at its beginning.
    pub(super) fn letter(&mut self) -> Option<char> {
        loop {
            let c = *self.chars.peek()?;
            match fold(c) {
                None => {
                    self.chars.next();
                }
                Some(c) if is_word(c) => {
                    self.chars.next();
                    return Some(c);
                }
                Some(_) => return None,
            }
        }
    }

    /// Passes everything up to the end of the word before, and says what it was.
    pub(super) fn skip_gap(&mut self) -> Gap {
        let mut gap = Gap::None;
        while let Some(&c) = self.chars.peek() {
            let mark = match fold(c) {
                None => Gap::None,
                Some('\'') if gap > Gap::None => Gap::Space,
                Some('\'') if !self.in_word() => Gap::Mark,
                Some(c) if is_word(c) => return gap,
                Some(c) if c.is_whitespace() => Gap::Space,
                Some('-' | '\u{2010}' | '\u{2011}') if gap <= Gap::None => Gap::Hyphen,
                Some(_) => Gap::Mark,
            };
            gap = match (gap, mark) {
                // A hyphen with a space beside it is a dash.
                (Gap::Hyphen, Gap::Space) => Gap::Mark,
                _ => gap.max(mark),
            };
            self.chars.next();
        }
        Gap::Start
    }

    /// Whether the apostrophe that comes next follows a letter.
    fn in_word(&self) -> bool {
        let mut rest = self.chars.clone();
        rest.next();
        rest.next().is_some_and(char::is_alphanumeric)
    }
}
