//! The words of each language that are cues, one file a language.
//!
//! Few sure entries serve better than many doubtful ones: a word belongs in [`Words::open`] only if a sentence hardly ever ends
//! with it. How entries are written is told in [`super::list`].

mod ar;
mod de;
mod en;
mod es;
mod fr;
mod hi;
mod id;
mod it;
mod ja;
mod ko;
mod nl;
mod pt;
mod ru;
mod tr;
mod zh;

/// The cue words of one language. Empty lists have no entries.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// Whether words are written with spaces between them; if not, every entry matches inside a word.
    pub(super) spaced: bool,
    /// Sounds and words of hesitation.
    pub(super) fillers: &'static str,
    /// Words that a sentence cannot end with: conjunctions, articles, bound prepositions and particles.
    pub(super) open: &'static str,
    /// Words and forms that seldom end a sentence, but may.
    pub(super) soft: &'static str,
    /// Beginnings that ask for a continuation, and requests for a moment's patience.
    pub(super) phrases: &'static str,
    /// Ends of a turn: thanks, goodbyes, "that's all".
    pub(super) closing: &'static str,
    /// Forms and words that close a sentence as a full stop does.
    pub(super) finals: &'static str,
    /// Forms and words that close a question.
    pub(super) questions: &'static str,
    /// Yes, no and their kin, and the courtesies that go with them; whole answers are made of these.
    pub(super) answers: &'static str,
    /// The words for 0 to 9 as numbers are read out.
    pub(super) digits: &'static str,
    /// Of these, a zero that may be an exclamation.
    pub(super) oh: &'static str,
    /// The next digit comes twice.
    pub(super) twice: &'static str,
    /// The next digit comes three times.
    pub(super) thrice: &'static str,
    /// Other number words: they make the count of digits uncertain.
    pub(super) tens: &'static str,
    /// What may stand inside or around a number that is read out.
    pub(super) number_fill: &'static str,
    /// Number words run together with what is around them.
    pub(super) digits_join: bool,
    /// What announces more digits after a number: "point", "dash".
    pub(super) joints: &'static str,
    /// Between a letter and the word that explains it: "as in".
    pub(super) links: &'static str,
    /// The sign @ as it is spoken.
    pub(super) at: &'static str,
    /// The dot in an address as it is spoken.
    pub(super) dot: &'static str,
    /// A dot and the end of an address in one word.
    pub(super) dot_com: &'static str,
    /// Ends of addresses in a script of their own.
    pub(super) endings: &'static str,
}

/// The table of a language by its base code.
pub(super) fn of(base: &str) -> Option<&'static Words> {
    ALL.iter()
        .find(|(code, _)| *code == base)
        .map(|(_, words)| words)
}

static ALL: [(&str, Words); 15] = [
    ("en", en::WORDS),
    ("es", es::WORDS),
    ("fr", fr::WORDS),
    ("de", de::WORDS),
    ("it", it::WORDS),
    ("pt", pt::WORDS),
    ("nl", nl::WORDS),
    ("ru", ru::WORDS),
    ("zh", zh::WORDS),
    ("ja", ja::WORDS),
    ("ko", ko::WORDS),
    ("ar", ar::WORDS),
    ("hi", hi::WORDS),
    ("tr", tr::WORDS),
    ("id", id::WORDS),
];

/// Languages without a table: only what is the same everywhere.
pub(super) const UNIVERSAL: Words = Words {
    spaced: true,
    fillers: "",
    open: "",
    soft: "",
    phrases: "",
    closing: "",
    finals: "",
    questions: "",
    answers: "",
    digits: "",
    oh: "",
    twice: "",
    thrice: "",
    tens: "",
    number_fill: "",
    digits_join: false,
    joints: "",
    links: "",
    at: "",
    dot: "",
    dot_com: "",
    endings: "",
};

/// Hesitation as recognisers write it in any language; no word in any of the known ones. ("Um" is not here: in German it
/// ends sentences.)
pub(super) const HESITATION: &str =
    "uh, uhh, uhm, umm, erm, hmm!mm/mhm/m, hm!mm/mhm/m, mmm, äh, ähm, öh, öhm, euh, ehm";

/// The code words of the international alphabet for radio. Half of them are common words, so one alone is no cue where
/// no spelling is expected.
pub(super) const SPELLING_ALPHABET: &str = "alpha, alfa, bravo, charlie, delta, echo, foxtrot, golf, hotel, india, juliet, \
    juliett, kilo, lima, mike, november, oscar, papa, quebec, romeo, sierra, tango, uniform, victor, whiskey, whisky, \
    xray, yankee, zulu";

#[cfg(test)]
mod tests {
    use super::super::fold::Tail;
    use super::super::list;
    use super::*;

    fn lists(words: &Words) -> [&'static str; 20] {
        [
            words.fillers,
            words.open,
            words.soft,
            words.phrases,
            words.closing,
            words.finals,
            words.questions,
            words.answers,
            words.digits,
            words.oh,
            words.twice,
            words.thrice,
            words.tens,
            words.number_fill,
            words.joints,
            words.links,
            words.at,
            words.dot,
            words.dot_com,
            words.endings,
        ]
    }

    #[test]
    fn the_tables_are_small() {
        let bytes: usize = ALL
            .iter()
            .flat_map(|(_, words)| lists(words))
            .map(str::len)
            .sum();
        assert!(bytes < 40_000, "{bytes} bytes");
    }

    #[test]
    fn no_list_has_an_entry_twice_and_none_is_empty() {
        for (code, words) in &ALL {
            for list in lists(words).into_iter().filter(|list| !list.is_empty()) {
                let mut entries: Vec<_> = list.split(',').map(str::trim).collect();
                let count = entries.len();
                assert!(
                    entries.iter().all(|entry| !entry.is_empty()),
                    "{code}: {list}"
                );
                entries.sort_unstable();
                entries.dedup();
                assert_eq!(entries.len(), count, "{code}: {list}");
            }
        }
    }

    #[test]
    fn no_entry_stands_for_an_end_and_against_it() {
        let bare = |list: &'static str| {
            list.split(',').map(|entry| {
                entry
                    .split('!')
                    .next()
                    .unwrap_or(entry)
                    .trim()
                    .trim_start_matches(['^', '+', '~'])
            })
        };
        for (code, words) in &ALL {
            let against = [words.fillers, words.open, words.phrases]
                .into_iter()
                .flat_map(bare);
            let ends: Vec<_> = [words.closing, words.finals, words.questions]
                .into_iter()
                .flat_map(bare)
                .collect();
            for entry in against.filter(|entry| !entry.is_empty()) {
                assert!(!ends.contains(&entry), "{code}: {entry}");
            }
        }
    }

    /// An entry that ends with another one of its list adds nothing.
    #[test]
    fn every_entry_is_needed() {
        let mut needless = Vec::new();
        for (code, words) in &ALL {
            let suffixes = [
                ("fillers", words.fillers),
                ("open", words.open),
                ("soft", words.soft),
                ("phrases", words.phrases),
                ("closing", words.closing),
                ("finals", words.finals),
                ("questions", words.questions),
                ("answers", words.answers),
            ];
            for (name, list) in suffixes.into_iter().filter(|(_, list)| !list.is_empty()) {
                for entry in list.split(',') {
                    let others: Vec<_> = list.split(',').filter(|other| *other != entry).collect();
                    let others = others.join(",");
                    let bare = entry.split('!').next().unwrap_or(entry);
                    let bare = bare.trim_matches([' ', '^', '+', '~']);
                    // Something before it, so that what holds only at the beginning does not count.
                    let text = if entry.contains('^') {
                        bare.into()
                    } else {
                        format!("x {bare}")
                    };
                    let mut rest = Tail::new(&text, words.spaced);
                    let mut covered = false;
                    while let Some(before) = list::longest(&rest, &others) {
                        (rest, covered) = (before, true);
                        if name != "answers" {
                            break;
                        }
                    }
                    let mut x = rest.clone();
                    let all = x.letter() == Some('x') && x.is_empty() || rest.is_empty();
                    if covered && (name != "answers" || all) {
                        needless.push(format!("{code} {name}: {}", entry.trim()));
                    }
                }
            }
        }
        assert!(
            needless.is_empty(),
            "{}\n{}",
            needless.len(),
            needless.join("\n")
        );
    }
}
