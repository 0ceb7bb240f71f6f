//! What text cues say about transcripts, in fifteen languages, and that no text can break them.

use listenkit::{Cue, CueVote, Expectation, TextCues};
use proptest::prelude::*;

/// One labelled utterance of `data/cues.tsv`.
struct Case {
    line: usize,
    text: String,
    language: Option<String>,
    expectation: Expectation,
    verdict: String,
    reasons: String,
}

fn cases() -> Vec<Case> {
    let table = include_str!("data/cues.tsv");
    let rows = table
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'));
    rows.map(|(number, line)| {
        let [text, language, expectation, verdict, reasons] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("line {}: five columns", number + 1);
        };
        Case {
            line: number + 1,
            text: text.into(),
            language: (language != "-").then(|| language.into()),
            expectation: expectation_named(expectation),
            verdict: verdict.into(),
            reasons: reasons.into(),
        }
    })
    .collect()
}

fn expectation_named(name: &str) -> Expectation {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("free", _) => Expectation::Free,
        ("yes_no", _) => Expectation::YesNo,
        ("digits", count) => Expectation::Digits {
            count: count.parse().expect("a count"),
        },
        ("spelling", _) => Expectation::Spelling,
        ("email", _) => Expectation::Email,
        ("floor_granted", _) => Expectation::FloorGranted,
        _ => panic!("no expectation {name}"),
    }
}

fn verdict(vote: &CueVote) -> &'static str {
    match vote.lean {
        lean if lean < -0.01 => "unfinished",
        lean if lean > 0.01 => "finished",
        _ => "neutral",
    }
}

fn names(vote: &CueVote) -> String {
    let names: Vec<_> = vote.reasons.iter().map(Cue::as_str).collect();
    if names.is_empty() {
        "-".into()
    } else {
        names.join(",")
    }
}

fn sorted(names: &str) -> Vec<&str> {
    let mut names: Vec<_> = names.split(',').collect();
    names.sort_unstable();
    names
}

#[test]
fn every_labelled_utterance_gets_its_verdict_and_its_reasons() {
    let mut wrong = Vec::new();
    for case in cases() {
        let vote = TextCues::judge(&case.text, case.language.as_deref(), case.expectation);
        let found = names(&vote);
        if verdict(&vote) != case.verdict || sorted(&found) != sorted(&case.reasons) {
            wrong.push(format!(
                "line {}: {:?} {:?}: {} {} expected, {} {found} found",
                case.line,
                case.language,
                case.text,
                case.verdict,
                case.reasons,
                verdict(&vote)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The table has no gaps: a language that was forgotten would pass every other test.
#[test]
fn every_language_has_utterances_of_each_verdict() {
    let cases = cases();
    for language in "en es fr de it pt nl ru zh ja ko ar hi tr id".split(' ') {
        let of = |verdict: &str| {
            let same = |case: &&Case| {
                case.language.as_deref() == Some(language) && case.verdict == verdict
            };
            cases.iter().filter(same).count()
        };
        let (finished, unfinished, neutral) = (of("finished"), of("unfinished"), of("neutral"));
        assert!(
            finished >= 6 && unfinished >= 6 && neutral >= 1,
            "{language}: {finished} {unfinished} {neutral}"
        );
    }
    let reasons: Vec<_> = cases
        .iter()
        .flat_map(|case| case.reasons.split(','))
        .collect();
    for cue in Cue::ALL {
        assert!(
            reasons.contains(&cue.as_str()),
            "no utterance for {}",
            cue.as_str()
        );
    }
}

/// Case, quotes, white space and marks do not hide the words: the reasons found without them are found with them.
#[test]
fn case_and_what_stands_around_the_words_hide_no_cue() {
    for case in cases()
        .iter()
        .filter(|case| !case.text.contains(['@', '.']))
    {
        let judge = |text: &str| TextCues::judge(text, case.language.as_deref(), case.expectation);
        let plain = judge(&case.text);
        for text in [
            format!("{} \n", case.text),
            format!("  {}", case.text),
            format!("“{}”", case.text),
            format!("\u{200f}{}\u{200b}", case.text),
            case.text.to_uppercase(),
        ] {
            // "STRASSE" is not "Straße", and "İ" is no capital i outside Turkish.
            if !case.text.contains('ß') {
                assert_eq!(judge(&text), plain, "{text:?}");
            }
        }
        let stopped = judge(&format!("{}.", case.text));
        let marks = [
            Cue::Comma,
            Cue::Dash,
            Cue::Ellipsis,
            Cue::FullStop,
            Cue::Question,
        ];
        for cue in plain.reasons.iter().filter(|cue| !marks.contains(cue)) {
            assert!(
                stopped.reasons.contains(cue),
                "line {}: {cue:?} with a full stop",
                case.line
            );
        }
    }
}

/// A full stop never makes a turn less finished, and never outweighs a word that cannot end a sentence.
#[test]
fn a_full_stop_moves_the_lean_up_and_does_not_turn_an_open_word() {
    for case in cases() {
        let judge = |text: &str| TextCues::judge(text, case.language.as_deref(), case.expectation);
        let (plain, stopped) = (judge(&case.text), judge(&format!("{}.", case.text)));
        if case.text.ends_with(char::is_alphanumeric) {
            assert!(stopped.lean >= plain.lean, "line {}", case.line);
        }
        if plain.reasons.contains(Cue::OpenWord) {
            assert!(stopped.lean < 0.0, "line {}", case.line);
        }
    }
}

/// A language without a table gets the marks, hesitation, digits and addresses, and nothing of another language.
#[test]
fn an_unknown_language_is_judged_by_what_all_languages_share() {
    for case in cases() {
        let judge = |language| TextCues::judge(&case.text, Some(language), case.expectation);
        let shared = judge("xx");
        for cue in shared.reasons.iter() {
            let words = [
                Cue::OpenWord,
                Cue::MayGoOn,
                Cue::OpenPhrase,
                Cue::Closing,
                Cue::ShortAnswer,
                Cue::FinalForm,
            ];
            assert!(!words.contains(&cue), "line {}: {cue:?}", case.line);
        }
        assert_eq!(judge("pl"), shared, "line {}", case.line);
    }
    let latin = |language| TextCues::judge("because the", language, Expectation::Free);
    for language in [
        None,
        Some("multi"),
        Some("auto"),
        Some(""),
        Some("und"),
        Some("en,es"),
    ] {
        assert!(latin(language).reasons.is_empty(), "{language:?}");
    }
    // A script of one known language stands in for the tag, and every alias of a tag is that tag.
    for case in cases() {
        let judge = |language| TextCues::judge(&case.text, language, case.expectation);
        let of = |base, tags: [&'static str; 3]| {
            if case.language.as_deref() == Some(base) {
                for tag in tags {
                    assert_eq!(judge(Some(tag)), judge(Some(base)), "{tag}");
                }
            }
        };
        of("zh", ["cmn-Hans-CN", "zho", "zh_TW"]);
        of("ja", ["jpn", "ja-JP", "Japanese"]);
        of("en", ["en_GB.UTF-8", "eng", "EN"]);
        if matches!(case.language.as_deref(), Some("ko" | "zh")) && !case.text.is_ascii() {
            assert_eq!(
                judge(None),
                judge(case.language.as_deref()),
                "line {}",
                case.line
            );
        }
    }
}

/// Where the floor was granted, only a closing phrase speaks for an end.
#[test]
fn a_granted_floor_ends_by_a_closing_phrase_alone() {
    for case in cases() {
        let vote = TextCues::judge(
            &case.text,
            case.language.as_deref(),
            Expectation::FloorGranted,
        );
        assert_eq!(
            vote.lean > 0.0,
            vote.reasons.contains(Cue::Closing) && vote.lean > 0.0
        );
        assert!(
            vote.lean <= 0.0 || vote.reasons.contains(Cue::Closing),
            "line {}",
            case.line
        );
    }
}

/// One digit more never makes a number less complete, until it is.
#[test]
fn a_number_is_short_until_its_last_digit() {
    let words = "zero one two three four five six seven eight nine"
        .split(' ')
        .collect::<Vec<_>>();
    for count in 1..=16_u8 {
        let (mut numerals, mut spoken) = (String::new(), String::new());
        for heard in 1..=20_u8 {
            numerals.push(char::from(b'0' + heard % 10));
            if heard % 3 == 0 {
                numerals.push('-');
            }
            spoken += words[usize::from(heard % 10)];
            spoken += " ";
            for text in [&numerals, &spoken] {
                let vote = TextCues::judge(text, Some("en"), Expectation::Digits { count });
                let expected = if heard < count {
                    Cue::ShortNumber
                } else {
                    Cue::FullNumber
                };
                assert!(vote.reasons.contains(expected), "{text:?} of {count}");
                assert_eq!(vote.lean < 0.0, heard < count, "{text:?} of {count}");
            }
        }
    }
}

fn any_expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        Just(Expectation::Free),
        Just(Expectation::YesNo),
        any::<u8>().prop_map(|count| Expectation::Digits { count }),
        Just(Expectation::Spelling),
        Just(Expectation::Email),
        Just(Expectation::FloorGranted),
    ]
}

const TAGS: [&str; 17] = [
    "en", "es", "fr", "de", "it", "pt", "nl", "ru", "zh", "ja", "ko", "ar", "hi", "tr", "id", "xx",
    "",
];

proptest! {
    #[test]
    fn any_text_gets_a_lean_within_its_bounds(
        text in "\\PC{0,60}", tag in prop::sample::select(&TAGS[..]), expectation in any_expectation(),
    ) {
        let vote = TextCues::judge(&text, Some(tag), expectation);
        prop_assert!((-1.0..=1.0).contains(&vote.lean));
        prop_assert!(!vote.reasons.is_empty() || vote.lean == 0.0);
        // The lean is on the side of reasons that were given.
        prop_assert!(vote.lean >= 0.0 || vote.reasons.iter().any(Cue::is_open));
        prop_assert!(vote.lean <= 0.0 || vote.reasons.iter().any(|cue| !cue.is_open()));
        prop_assert_eq!(vote, TextCues::judge(&text, Some(tag), expectation));
        prop_assert!(TextCues::judge(&text, None, expectation).lean.abs() <= 1.0);
    }

    /// Pieces that mean something, in any order, so that rare paths are met.
    #[test]
    fn any_mix_of_cues_gets_a_lean_within_its_bounds(
        pieces in prop::collection::vec(prop::sample::select(&[
            "and", "uh", "five", "double", "twenty", "555", "@", "at", "dot", "com", ".", ",", "-", "'", "…", "?", " ",
            "えーと", "です", "ー", "五", "十", "ドット", "음", "공", "골뱅이", "и", "ё", "و", "ً", "क्", "़", "İ", "ı", "a", "b",
            "as in", "thank you", "\u{200d}", "\u{feff}", "\u{3000}", "＠", "１", "٣", "ß", "ﬁ", "e\u{301}", "\u{301}",
        ][..]), 0..30),
        joint in prop::sample::select(&["", " "][..]), tag in prop::sample::select(&TAGS[..]),
        expectation in any_expectation(),
    ) {
        let vote = TextCues::judge(&pieces.join(joint), Some(tag), expectation);
        prop_assert!((-1.0..=1.0).contains(&vote.lean));
        prop_assert!(vote.lean >= 0.0 || vote.reasons.iter().any(Cue::is_open));
        prop_assert!(vote.lean <= 0.0 || vote.reasons.iter().any(|cue| !cue.is_open()));
    }

    /// The beginning of a long turn neither counts nor costs.
    #[test]
    fn what_was_said_long_ago_changes_nothing(text in "\\PC{0,20}", tag in prop::sample::select(&TAGS[..])) {
        let long = "we went to the park and then ".repeat(1_000) + "x, it rained. ".repeat(40).as_str();
        let judge = |before: &str| TextCues::judge(&format!("{before}{text}"), Some(tag), Expectation::Free);
        prop_assert_eq!(judge(&long), judge("x, it rained. ".repeat(40).as_str()));
    }
}

#[test]
fn judging_allocates_nothing() {
    for case in cases() {
        let allocated = allocation_counter::measure(|| {
            TextCues::judge(&case.text, case.language.as_deref(), case.expectation);
            TextCues::judge(&case.text, None, case.expectation);
        });
        assert_eq!(allocated.count_total, 0, "line {}", case.line);
    }
}
