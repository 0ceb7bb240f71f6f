//! How often text cues speak and how often they are right, on texts with known ends, and what a judgement costs.
//!
//! `cargo run --release -p listenkit --example text_cues -- CORPUS/public`
//!
//! Texts: the scripts of the English prompts in `manifest.csv` ("..." = to be continued) as they are and without their marks, and
//! the phrases of `vap_words.json` after every word: unfinished but for the last.

use std::path::Path;
use std::time::Instant;
use std::{env, error::Error, fs};

use listenkit::{Expectation, TextCues};

/// How a set of texts was judged.
#[derive(Default)]
struct Score {
    texts: usize,
    spoke: usize,
    right: usize,
}

impl Score {
    fn add(&mut self, text: &str, finished: bool) {
        let vote = TextCues::judge(text, Some("en"), Expectation::Free);
        self.texts += 1;
        if vote.lean != 0.0 {
            self.spoke += 1;
            self.right += usize::from((vote.lean > 0.0) == finished);
            if (vote.lean > 0.0) != finished {
                println!("wrong: {text:?} {vote:?}");
            }
        }
    }

    fn print(&self, name: &str) {
        let Self {
            texts,
            spoke,
            right,
        } = self;
        println!("{name}: {texts} texts, a lean for {spoke}, right {right}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args()
        .nth(1)
        .ok_or("say where the corpus is: CORPUS/public")?;
    let folder = Path::new(&folder);
    let (mut marked, mut bare, mut cut) = (Score::default(), Score::default(), Score::default());

    let manifest = fs::read_to_string(folder.join("manifest.csv"))?;
    for line in manifest.lines() {
        let fields = fields(line);
        if fields.get(2).is_some_and(|kind| kind == "eot") && fields[3] == "en" {
            let finished = fields[8].starts_with("eot:complete");
            marked.add(&fields[14], finished);
            bare.add(fields[14].trim_end_matches(['.', ' ', ',', '?']), finished);
        }
    }
    let phrases: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("vap_words.json"))?)?;
    let mut seen = Vec::new();
    for phrase in phrases
        .as_object()
        .into_iter()
        .flat_map(|phrases| phrases.values())
    {
        let words: Vec<_> = phrase
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|word| word[2].as_str())
            .collect();
        if words.is_empty() || seen.contains(&words) {
            continue;
        }
        for end in 1..=words.len() {
            cut.add(&words[..end].join(" "), end == words.len());
        }
        seen.push(words);
    }
    marked.print("prompts with marks");
    bare.print("prompts without marks");
    cut.print("phrases after every word");

    let table = include_str!("../tests/data/cues.tsv");
    let rows: Vec<_> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut nanoseconds = Vec::new();
    for _ in 0..200 {
        for (text, rest) in &rows {
            let language = rest.split('\t').next();
            let start = Instant::now();
            std::hint::black_box(TextCues::judge(text, language, Expectation::Free));
            nanoseconds.push(start.elapsed().as_nanos());
        }
    }
    nanoseconds.sort_unstable();
    let at =
        |share: f64| nanoseconds[(share * (nanoseconds.len() - 1) as f64) as usize] as f64 / 1e3;
    println!(
        "one judgement: median {:.1} us, p99 {:.1} us",
        at(0.5),
        at(0.99)
    );
    let long = "one two three four five dash ".repeat(30);
    let start = Instant::now();
    for _ in 0..1_000 {
        std::hint::black_box(TextCues::judge(
            &long,
            Some("hi"),
            Expectation::Digits { count: 10 },
        ));
    }
    println!(
        "500 characters of digits: {:.0} us",
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// The fields of a CSV line; quotes inside quotes are doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("one at least").push(c),
        }
    }
    fields
}
