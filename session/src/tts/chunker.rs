//! Cuts text that comes in pieces into sentences, as early as they are certain.
//!
//! The rules of Unicode (UAX 29) find the ends of sentences in any script; on top are abbreviations, initials and ordinals, which those rules
//! take for ends. A doubt joins: that costs a moment, where a wrong cut would be heard.

use unicode_segmentation::UnicodeSegmentation;

/// Lengths of pieces, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkOptions {
    /// A shorter sentence is spoken with the next. Default 20, as in LiveKit Agents 1.8.9.
    pub min_chars: usize,
    /// The same for the first piece, whose end decides when the agent begins to speak. Default 5: "Sure!" may go ahead, "Hm." may not.
    pub first_min_chars: usize,
    /// The first piece may end at a comma behind so many. Default 40: 3 s of speech, time enough to make the rest.
    pub first_clause_chars: usize,
    /// A longer text without an end is cut at a comma, a space, or anywhere. Default 240: 16 s of speech.
    pub max_chars: usize,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self {
            min_chars: 20,
            first_min_chars: 5,
            first_clause_chars: 40,
            max_chars: 240,
        }
    }
}

crate::setters::setters!(ChunkOptions {
    min_chars: usize,
    first_min_chars: usize,
    first_clause_chars: usize,
    max_chars: usize
});

/// Cuts text into sentences. The pieces, put together, are the text; the cuts do not depend on how it came.
#[derive(Clone, Debug)]
pub struct SentenceChunker {
    options: ChunkOptions,
    buffer: String,
    chars: usize,
    /// Whether nothing was cut off yet.
    first: bool,
    /// Whether a sentence may have ended in the buffer.
    suspect: bool,
    /// Behind the last comma or the like, and its space: bytes and characters.
    clause: Option<(usize, usize)>,
    /// Behind the last space.
    space: Option<usize>,
}

impl SentenceChunker {
    /// An empty one.
    pub const fn new(options: ChunkOptions) -> Self {
        Self {
            options,
            buffer: String::new(),
            chars: 0,
            first: true,
            suspect: false,
            clause: None,
            space: None,
        }
    }

    /// Adds text; gives the pieces that are complete.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        for c in text.chars() {
            self.push_char(c, &mut pieces);
        }
        pieces
    }

    /// The writer has paused: gives what there is, however short, if it ends a sentence.
    pub fn pause(&mut self) -> Option<String> {
        let words = self.buffer.trim_end();
        let core = words.trim_end_matches(is_closing);
        if core.ends_with(['.', '．', '․']) && is_abbreviated(core) {
            return None;
        }
        // The rules need something that follows.
        let next = format!("{words} A");
        let ends_line = self.buffer[words.len()..].contains(['\n', '\u{2028}', '\u{2029}']);
        let begun = next.split_sentence_bound_indices().last();
        let ends = ends_line || begun.is_some_and(|(at, _)| at == words.len() + 1);
        if words.is_empty() || !ends {
            return None;
        }
        let mut pieces = Vec::new();
        self.cut(self.buffer.len(), &mut pieces);
        pieces.pop()
    }

    /// The text ends here: gives the rest, if there is any. What comes next is a new text.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        *self = Self::new(self.options);
        (!rest.is_empty()).then_some(rest)
    }

    fn push_char(&mut self, c: char, pieces: &mut Vec<String>) {
        // Clusters stay whole: a combining mark never begins a piece.
        if !c.is_whitespace() {
            if self.chars >= self.options.max_chars.max(1)
                && let Some(at) = self.forced_cut(c)
            {
                self.cut(at, pieces);
            }
            self.note_gap();
        }
        self.buffer.push(c);
        self.chars += 1;
        self.suspect |= may_end(c);
        if c.is_whitespace() {
            return;
        }
        if self.suspect {
            while let Some(at) = self.sentence_end() {
                self.cut(at, pieces);
            }
        }
        if self.first
            && let Some((at, chars)) = self.clause
            && chars >= self.options.first_clause_chars
        {
            self.cut(at, pieces);
        }
    }

    /// Before a character that is no space: what lies between it and the one before.
    fn note_gap(&mut self) {
        let words = self.buffer.trim_end();
        let Some(last) = words.chars().next_back() else {
            return;
        };
        let gap = words.len() < self.buffer.len();
        if gap {
            self.space = Some(self.buffer.len());
        }
        let ends_clause = match last {
            '、' | '，' | '；' | '：' => true,
            ',' | ';' | ':' | '،' | '؛' | '—' | '–' | '…' => gap,
            // Where words are not set apart, a space sets phrases apart.
            last => gap && is_without_spaces(last),
        };
        if ends_clause {
            self.clause = Some((self.buffer.len(), self.chars));
        }
    }

    /// Where the first sentence of the buffer ends that is long enough, if that is certain.
    fn sentence_end(&mut self) -> Option<usize> {
        let min = match self.first {
            true => self.options.first_min_chars,
            false => self.options.min_chars,
        };
        let mut start = 0;
        let mut chars = 0;
        let mut open = false;
        for (at, _) in self.buffer.split_sentence_bound_indices().skip(1) {
            let before = &self.buffer[..at];
            chars += self.buffer[start..at].chars().count();
            start = at;
            let core = before.trim_end();
            let dot = core
                .trim_end_matches(is_closing)
                .ends_with(['.', '．', '․']);
            let line = before[core.len()..].contains(['\n', '\u{2028}', '\u{2029}']);
            // Inside an address or a name: `search?q=1`, `Yahoo!mail`.
            if core.len() == before.len() && core.ends_with(['?', '!']) {
                let next = self.buffer[at..].chars().next();
                let goes_on = |c: char| c.is_alphanumeric() || "/&=#%".contains(c);
                if next.is_some_and(|next| goes_on(next) && !is_without_spaces(next)) {
                    continue;
                }
            }
            if dot && !line {
                // What follows a full stop decides about it, and that needs a letter.
                if !self.buffer[at..].contains(char::is_alphabetic) {
                    open = true;
                    continue;
                }
                if is_abbreviated(core) {
                    continue;
                }
            }
            if chars >= min {
                // The rules count an opening bracket, where no space is before it, to the sentence that ended.
                let open = before.trim_end_matches(['「', '『', '（', '【', '《', '〈']);
                if open.len() < at && !open.is_empty() {
                    return Some(open.len());
                }
                // Empty lines belong to what is before them.
                let rest = &self.buffer[at..];
                return Some(at + rest.len() - rest.trim_start().len());
            }
        }
        // Looked at again only when something new may have ended.
        self.suspect = open || self.buffer.chars().next_back().is_some_and(may_end);
        None
    }

    /// Where a text that is too long is cut before `next`.
    fn forced_cut(&self, next: char) -> Option<usize> {
        let half = self.buffer.len() / 2;
        let clause = self.clause.map(|(at, _)| at).filter(|&at| at >= half);
        let end_is_gap = self
            .buffer
            .ends_with(char::is_whitespace)
            .then_some(self.buffer.len());
        if let Some(at) = clause.or(end_is_gap).or(self.space) {
            return Some(at);
        }
        // With the next character, so that it is known whether it belongs to the last cluster.
        let mut text = self.buffer.clone();
        text.push(next);
        let last_of = |mut starts: Box<dyn DoubleEndedIterator<Item = usize> + '_>| {
            starts.next_back().filter(|&at| at > 0)
        };
        let words = text.split_word_bound_indices().map(|(at, _)| at);
        let clusters = text.grapheme_indices(true).map(|(at, _)| at);
        last_of(Box::new(words))
            .filter(|&at| at >= half)
            .or_else(|| last_of(Box::new(clusters)))
    }

    fn cut(&mut self, at: usize, pieces: &mut Vec<String>) {
        if at == 0 {
            return;
        }
        let rest = self.buffer.split_off(at);
        pieces.push(std::mem::replace(&mut self.buffer, rest));
        self.first = false;
        // The rest is short: it is looked at as if it came anew.
        let rest = std::mem::take(&mut self.buffer);
        (self.chars, self.clause, self.space, self.suspect) = (0, None, None, false);
        for c in rest.chars() {
            if !c.is_whitespace() {
                self.note_gap();
            }
            self.buffer.push(c);
            self.chars += 1;
            self.suspect |= may_end(c);
        }
    }
}

/// Whether a sentence may end with this. Wide on purpose: the rules decide.
fn may_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '\n' | '\r') || (!c.is_ascii() && !c.is_alphanumeric())
}

/// Quotes and brackets behind the mark.
fn is_closing(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | ')' | ']' | '}' | '»' | '”' | '’' | '*' | '_'
    )
}

/// Thai, Lao, Khmer, Burmese, and what is written in Chinese characters and kana.
pub(crate) fn is_without_spaces(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3fffd}')
}

/// Words that are written with a full stop and seldom end a sentence, in lower case.
const ABBREVIATIONS: &[&str] = &[
    // English
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "vs", "gen", "col", "sgt", "capt",
    "lt", "rev", "hon", "gov", "sen", "rep", "fig", "vol", "approx", "dept", "est", "tel", "ext",
    "no", "nos", "pp", "ca", "cf", // German
    "bzw", "evtl", "ggf", "nr", "str", "hr", "fr", "bspw", "vgl", "abs", "inkl", "zzgl", "bsp",
    // French, Spanish, Italian, Portuguese
    "mme", "mlle", "sra", "srta", "dra", "ud", "uds", "pág", "núm", "av", "sig", "dott", "ing",
    "avv", // Russian
    "г", "ул", "им", "стр", "рис", "руб", "тыс", "см", "др",
];

/// Whether the full stop at the end of `text` is that of an abbreviation, an initial, an ordinal, or the number of a list.
fn is_abbreviated(text: &str) -> bool {
    let Some(text) = text.strip_suffix(['.', '．', '․']) else {
        return false;
    };
    let word = text
        .rsplit(|c: char| c.is_whitespace() || "([{\"'“«„".contains(c))
        .next();
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return false;
    };
    let mut chars = word.chars();
    // An initial, or the "z." of "z. B."; "I" is none.
    if let (Some(one), None) = (chars.next(), chars.next())
        && one.is_alphabetic()
    {
        return one != 'I';
    }
    // "3. Mai", "1. Open it": up to two digits.
    if word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    // "e.g", "z.B", "U.S", "т.е", "p.m": single letters between full stops.
    if word.contains('.') && word.split('.').all(|part| part.chars().count() == 1) {
        return true;
    }
    ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str) -> Vec<String> {
        let mut chunker = SentenceChunker::new(ChunkOptions {
            min_chars: 1,
            first_min_chars: 1,
            first_clause_chars: usize::MAX,
            max_chars: 240,
        });
        let mut pieces = chunker.push(text);
        pieces.extend(chunker.finish());
        pieces
    }

    /// `|` marks the cuts.
    #[test]
    fn sentences_of_many_scripts_end_where_a_reader_ends_them() {
        for marked in [
            "Hello there! |How are you? |Fine.",
            "Dr. Smith paid $3.50 at 5 p.m. to J. R. Jones. |He left.",
            "It is 3.14, or so. |\"Really?\" |she asked. |Yes... |Maybe.",
            "See e.g. the U.S. Army (est. 1775). |Next.",
            "He said \"Stop.\" |Then he left. |(Twice.) |So.",
            "Wir treffen uns am 3. Mai um 10 Uhr. |Dr. Meier kommt, z. B. mit dem Zug.",
            "1. Open the door.\n|2. Close it.\n|Done.",
            "First line\n|Second line\n\n|Third",
            "你好。|今天天气很好！|是吗？|「好。」|走吧",
            "これはペンです。|わかりますか？|はい",
            "यह एक वाक्य है। |दूसरा वाक्य॥ |तीसरा",
            "هل أنت بخير؟ |نعم. |شكرا",
            "Это дом № 5 на ул. Ленина. |Да!",
            "¿Qué tal? |¡Bien! |Sra. Pérez llegó.",
            "ኢትዮጵያ። |ሁለት",
            "Visit example.com today. |Version 2.0.1 is out.",
            "Open https://shop.example.com/search?q=red+shoes to see them. |Then pay.",
            "what?!now is Yahoo!mail. |Is it?! |Yes!",
            "「本当ですか?」|はい!|そう",
        ] {
            let expected: Vec<&str> = marked.split('|').collect();
            assert_eq!(chunks(&marked.replace('|', "")), expected);
        }
    }

    #[test]
    fn short_sentences_join_but_the_first_goes_ahead() {
        let mut chunker = SentenceChunker::new(ChunkOptions::default());
        let mut pieces = chunker.push("Sure! Yes. No. I can help you with that. And then");
        assert_eq!(pieces, ["Sure! ", "Yes. No. I can help you with that. "]);
        pieces.clear();
        assert_eq!(chunker.finish().unwrap(), "And then");
        assert_eq!(chunker.finish(), None);
    }

    #[test]
    fn a_sentence_that_ends_before_a_pause_is_given_out() {
        for (text, is_whole) in [
            ("One moment.", true),
            ("Hm. ", true),
            ("Let me see (for you).", true),
            ("He said \"wait.\"", true),
            ("好的。", true),
            ("क्या?", true),
            ("A title\n", true),
            ("One moment", false),
            ("One moment,", false),
            ("I saw Dr.", false),
            ("It costs 3.", false),
            ("e.g.", false),
            ("", false),
            ("  \n", false),
        ] {
            let mut chunker = SentenceChunker::new(ChunkOptions::default());
            assert!(chunker.push(text).is_empty());
            assert_eq!(
                chunker.pause().as_deref(),
                is_whole.then_some(text),
                "{text}"
            );
            assert_eq!(chunker.pause(), None);
            let rest = chunker.push(" And then there is this. So").concat();
            let rest = rest + &chunker.finish().unwrap_or_default();
            let before = if is_whole { "" } else { text };
            assert_eq!(rest, format!("{before} And then there is this. So"));
        }
    }

    #[test]
    fn a_long_first_sentence_ends_at_a_comma() {
        let mut chunker = SentenceChunker::new(ChunkOptions::default());
        let text =
            "Well, the train to the coast that you asked about, which is slow, leaves at nine. It";
        assert_eq!(
            chunker.push(text),
            [
                "Well, the train to the coast that you asked about, ",
                "which is slow, leaves at nine. "
            ]
        );
    }

    #[test]
    fn a_sentence_is_given_out_with_the_first_letter_of_the_next() {
        let mut chunker = SentenceChunker::new(ChunkOptions::default());
        for piece in ["This is ", "certain", ".", " "] {
            assert!(chunker.push(piece).is_empty());
        }
        assert_eq!(chunker.push("N"), ["This is certain. "]);
    }

    #[test]
    fn text_without_an_end_is_cut_between_words_or_else_between_clusters() {
        for text in [
            "word ".repeat(100),
            "x".repeat(1_000),
            "ภาษาไทยไม่มีวรรค".repeat(50),
            "e\u{301}\u{302}".repeat(400),
            "👩‍👩‍👧".repeat(300),
        ] {
            let pieces = chunks(&text);
            assert_eq!(pieces.concat(), text);
            for piece in &pieces {
                assert!(piece.chars().count() <= 250, "{piece}");
            }
            // No cut inside a cluster.
            let clusters: usize = pieces.iter().map(|p| p.graphemes(true).count()).sum();
            assert_eq!(clusters, text.graphemes(true).count());
        }
        assert!(
            chunks(&"word ".repeat(100))
                .iter()
                .all(|p| p.ends_with("word "))
        );
    }

    /// Random texts in random pieces: no character is lost, and the cuts are the same however the text came.
    #[test]
    fn cuts_do_not_depend_on_how_the_text_came() {
        const PARTS: &[&str] = &[
            "a",
            "Be",
            "word",
            " ",
            " ",
            ". ",
            ".",
            "! ",
            "?",
            "\n",
            "\r\n",
            ", ",
            "。",
            "，",
            "你好",
            "ไทย ",
            "है। ",
            "3",
            "Dr. ",
            "e\u{301}",
            "👩‍👩‍👧",
            "\u{200d}",
            "\u{301}",
            "\"",
            "(",
            ")",
            "...",
            "— ",
            "\u{2029}",
            "I. ",
            "longerword",
        ];
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let options = ChunkOptions {
                min_chars: random.usize(0..30),
                first_min_chars: random.usize(0..10),
                first_clause_chars: random.usize(0..50),
                max_chars: random.usize(0..100),
            };
            let text: String = (0..random.usize(0..200))
                .map(|_| PARTS[random.usize(..PARTS.len())])
                .collect();
            let mut whole = SentenceChunker::new(options);
            let mut expected = whole.push(&text);
            expected.extend(whole.finish());
            assert_eq!(expected.concat(), text, "seed {seed}");
            assert!(expected.iter().all(|piece| !piece.is_empty()));
            let mut split = SentenceChunker::new(options);
            let mut pieces = Vec::new();
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let mut at = random.usize(1..=rest.len().min(9));
                while !rest.is_char_boundary(at) {
                    at += 1;
                }
                pieces.extend(split.push(&rest[..at]));
                rest = &rest[at..];
            }
            pieces.extend(split.finish());
            assert_eq!(pieces, expected, "seed {seed}");
        }
    }
}
