//! `listenkit replay`: labelled recordings under many policies, and what each of them costs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use listenkit::{
    DetectorConfig, Endpointing, Format, KernelLevel, Language, Precision, TurnModel, TurnPolicy,
};

use super::timeline::counted;
use super::{load_turn_model, load_vad, try_writing};
use crate::config::{Config, ConfigArgs};
use crate::failure::Failure;
use crate::json::Line;
use crate::plot::{Curve, Mark, Picture, TradeOff};
use crate::replay::grid::{self, Candidate};
use crate::replay::run::{self, Recording, Setup};
use crate::replay::score::{self, Outcome, Score};

/// Find the end-of-turn policy that suits your recordings
///
/// Runs labelled turns through the same code as live audio and counts, for the settings in force and for the presets, how many
/// turns the agent would have cut off and how long it would have kept the user waiting. --sweep tries some hundred
/// thresholds and delays, prints the best trade-offs beside silence alone, and recommends one as settings for --config.
///
/// The manifest has one JSON object a line: {"audio": "a.wav", "language": "en", "turn_end": 3.2, "pauses": [[1.1, 1.9]]}; times in
/// seconds, audio beside the manifest, pauses are the silences inside the turn.
///
/// Example: listenkit replay turns/manifest.jsonl --sweep --plot trade-off.svg --out mine.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Labelled turns
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Try many thresholds and delays
    #[arg(long)]
    sweep: bool,
    /// Draw cut-offs against waiting; with --sweep
    #[arg(long, value_name = "OUT.svg|OUT.png", requires = "sweep")]
    plot: Option<PathBuf>,
    /// Write the recommended settings; with --sweep
    #[arg(long, value_name = "OUT.toml", requires = "sweep")]
    out: Option<PathBuf>,
    /// Share of turns that may be cut off, for the recommendation
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    cut_offs: f64,
    /// Only turns in this language
    #[arg(long, value_name = "L")]
    language: Option<String>,
    /// Compute the turn model in floating point throughout
    #[arg(long)]
    exact: bool,
    /// Print one JSON object for every policy
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("use a share between 0 and 1, such as 0.05".into()),
    }
}

/// Mean waits that the frontier is read at, as eot-bench does, and the middle of what users call slow.
const WAITS: [f64; 3] = [0.3, 0.6, 1.0];
/// Shares of turns cut off that it is read at.
const CUT_OFFS: [f64; 2] = [0.05, 0.10];

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    let mut config = args.config.read()?;
    let Some(precision) = config.turn_model(Some(Precision::Fast)) else {
        return Err(Failure::usage(
            "replay compares silence with a turn model; leave turn_model = \"none\" out",
        ));
    };
    let precision = if args.exact {
        config.keep("precision", "exact");
        Precision::Exact
    } else {
        precision
    };
    let picture = args.plot.as_deref().map(Picture::of).transpose()?;
    // Before a sweep of some minutes has been for nothing.
    for (path, option) in [(&args.plot, "--plot"), (&args.out, "--out")] {
        let Some(path) = path else { continue };
        if same_file(path, &args.manifest) {
            return Err(Failure::usage(format!(
                "{option} {}: is the manifest; choose another name",
                path.display()
            )));
        }
        try_writing(path).map_err(|error| Failure::writing(path, &error))?;
    }
    if args.plot.is_some() && args.plot == args.out {
        return Err(Failure::usage(
            "--plot and --out name the same file; choose two",
        ));
    }
    let language = match &args.language {
        None => None,
        Some(tag) => Some(Language::parse(tag).ok_or_else(|| {
            Failure::usage(format!(
                "--language {tag}: names no language; use a tag such as en"
            ))
        })?),
    };
    let recordings = run::load(&args.manifest, language.as_ref().map(Language::base))?;
    let mut names = vec!["settings in force".to_string()];
    let mut candidates = vec![Candidate::Model(config.policy())];
    for (name, policy) in TurnPolicy::ALL {
        names.push(name.into());
        candidates.push(Candidate::Model(policy));
    }
    let named = candidates.len();
    let silent = grid::silence();
    candidates.extend(&silent);
    if args.sweep {
        candidates.extend(grid::model(config.policy()));
    }

    let setups: Vec<Setup<'_>> = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| setup(&config, *candidate, at == IN_FORCE))
        .collect();
    let model = load_turn_model(precision, kernel, config.turn_model_file())?;
    let make = || -> Result<Box<dyn TurnModel>, Failure> { Ok(Box::new(model.session())) };
    let vad = |format| load_vad(config.model_rate(format), kernel);
    let outcomes = run::outcomes(&recordings, &setups, &vad, &make, config.answers_after())?;
    let scores: Vec<Score> = outcomes.iter().map(Score::of).collect();
    let all = Results {
        recordings: &recordings,
        names: &names,
        candidates: &candidates,
        outcomes: &outcomes,
        scores: &scores,
        named,
        silent: named..named + silent.len(),
        others: config.others(),
    };
    let best = args.sweep.then(|| all.recommended(args.cut_offs));

    let recommended = best.map(|best| all.recommendation(best, args.cut_offs));
    // Files first: a reader of standard output may go away.
    if let (Some(path), Some(text)) = (&args.out, &recommended) {
        std::fs::write(path, text).map_err(|error| Failure::writing(path, &error))?;
    }
    if let (Some(path), Some(picture)) = (&args.plot, picture) {
        std::fs::write(path, all.plot().render(picture))
            .map_err(|error| Failure::writing(path, &error))?;
    }
    if args.json {
        return super::print(&all.json(best));
    }
    super::print(&all.header(config.answers_after()))?;
    super::print(&all.presets())?;
    if let (Some(best), Some(text)) = (best, &recommended) {
        super::print(&all.frontiers())?;
        super::print(&all.languages(best))?;
        super::print(&format!("\n{text}"))?;
    }
    Ok(())
}

/// Whether two paths lead to one file that is there.
fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// The candidate that the settings describe: the first.
const IN_FORCE: usize = 0;

/// The detector under a candidate. With the settings `in_force` each language has its own threshold; a sweep tries one for all.
fn setup(config: &Config, candidate: Candidate, in_force: bool) -> Setup<'_> {
    Box::new(move |format: Format, language| -> DetectorConfig {
        match candidate {
            Candidate::Model(_) if in_force => {
                let language = language.or(config.language());
                config.detector_under(format, Some(config.policy_for(language)))
            }
            Candidate::Model(policy) => config.detector_under(format, Some(policy)),
            Candidate::Silence(delay) => {
                let silence = Duration::from_millis((delay.as_millis() as u64 / 32 * 32).min(250));
                config
                    .detector(format, false)
                    .min_silence_duration(silence)
                    .endpointing(Endpointing::fixed(delay, delay))
            }
        }
    })
}

struct Results<'a> {
    recordings: &'a [Recording],
    names: &'a [String],
    candidates: &'a [Candidate],
    outcomes: &'a [Vec<Outcome>],
    scores: &'a [Score],
    /// Candidates with a name come first,
    named: usize,
    /// then silence alone, then the sweep.
    silent: std::ops::Range<usize>,
    /// Settings in force that no policy holds: the recommendation keeps them.
    others: String,
}

impl Results<'_> {
    fn languages_spoken(&self) -> Vec<String> {
        let mut languages: Vec<String> = self
            .recordings
            .iter()
            .map(|r| r.label.language.clone().unwrap_or_else(|| "?".into()))
            .collect();
        languages.sort();
        languages.dedup();
        languages
    }

    fn header(&self, answers_after: Duration) -> String {
        let seconds: f64 = self.recordings.iter().map(Recording::seconds).sum();
        let pauses: usize = self.recordings.iter().map(|r| r.label.pauses.len()).sum();
        let missed = self.scores[self.silent.end - 1].missed;
        let mut out = format!(
            "{}, {}, {seconds:.0} s of audio, in {}; the turn model answers {} ms after it is asked\n",
            counted(self.recordings.len() as u64, "turn"),
            counted(pauses as u64, "pause"),
            self.languages_spoken().join(" "),
            answers_after.as_millis()
        );
        if missed > 0 {
            let _ = writeln!(
                out,
                "in {} nobody is heard before the label's end; no wait is counted there",
                counted(missed as u64, "turn")
            );
        }
        out
    }

    /// The scores of what has a name, beside silence alone at the same wait.
    fn presets(&self) -> String {
        let mut out =
            String::from("\npolicy               cut off   mean wait   silence alone, same wait\n");
        for (name, score) in self.names.iter().zip(self.scores) {
            let _ = writeln!(
                out,
                "{name:<20} {:>5.1} %   {:>6.0} ms   {:>5.1} % cut off",
                100.0 * score.cut_off,
                1000.0 * score.wait,
                100.0 * self.silence_at(score.wait, |_| true)
            );
        }
        out
    }

    /// Share of turns that silence alone cuts off at a mean wait, linear between the delays that were tried.
    fn silence_at(&self, wait: f64, of: impl Fn(&Recording) -> bool) -> f64 {
        let points: Vec<(f64, f64)> = self
            .silent
            .clone()
            .map(|policy| {
                let score = self.score_of(policy, &of);
                (score.wait, score.cut_off)
            })
            .collect();
        let after = points.iter().position(|point| point.0 >= wait);
        match after {
            None => points.last().map_or(0.0, |point| point.1),
            Some(0) => points[0].1,
            Some(at) => {
                let ((x0, y0), (x1, y1)) = (points[at - 1], points[at]);
                y0 + (y1 - y0) * (wait - x0) / (x1 - x0).max(1e-9)
            }
        }
    }

    fn score_of(&self, policy: usize, of: impl Fn(&Recording) -> bool) -> Score {
        let pairs = self.recordings.iter().zip(&self.outcomes[policy]);
        Score::of(pairs.filter(|(r, _)| of(r)).map(|(_, outcome)| outcome))
    }

    fn swept(&self) -> std::ops::Range<usize> {
        self.silent.end..self.candidates.len()
    }

    /// What can be had at each budget: silence alone, the best policy, and one chosen without seeing the turns it is judged by.
    fn frontiers(&self) -> String {
        let mut out = String::from(
            "\n                          cut off at a mean wait of          mean wait at cut-offs of\n                         ",
        );
        for wait in WAITS {
            let _ = write!(out, " {:>7.0} ms", 1000.0 * wait);
        }
        for cut in CUT_OFFS {
            let _ = write!(out, " {:>8.0} %", 100.0 * cut);
        }
        out.push('\n');
        let scores = |range: std::ops::Range<usize>| self.scores[range].to_vec();
        self.row(&mut out, "silence alone", &scores(self.silent.clone()));
        self.row(&mut out, "with the turn model", &scores(self.swept()));
        self.held_out(&mut out);
        out
    }

    fn row(&self, out: &mut String, name: &str, scores: &[Score]) {
        let _ = write!(out, "{name:<25}");
        for wait in WAITS {
            let best = score::fewest_cut_offs(scores, wait);
            let _ = match best {
                Some(i) => write!(out, " {:>8.1} %", 100.0 * scores[i].cut_off),
                None => write!(out, " {:>10}", "-"),
            };
        }
        for cut in CUT_OFFS {
            let best = score::shortest_wait(scores, cut);
            let _ = match best {
                Some(i) => write!(out, " {:>7.0} ms", 1000.0 * scores[i].wait),
                None => write!(out, " {:>10}", "-"),
            };
        }
        out.push('\n');
    }

    /// Each half of the turns under the policy that is best on the other half: what to expect of turns not yet seen.
    fn held_out(&self, out: &mut String) {
        // Neighbours in a manifest tend to be of one speaker: blocks of eight keep them together.
        let half = |i: usize| (i / 8) % 2;
        let score = |policy: usize, side: usize| {
            let outcomes = self.outcomes[policy].iter().enumerate();
            Score::of(outcomes.filter(|(i, _)| half(*i) == side).map(|(_, o)| o))
        };
        let sides: Vec<Vec<Score>> = (0..2)
            .map(|side| self.swept().map(|policy| score(policy, side)).collect())
            .collect();
        let mean = |pick: &dyn Fn(&[Score]) -> Option<usize>| -> Option<Score> {
            let [a, b] = [0, 1].map(|side| pick(&sides[1 - side]).map(|i| sides[side][i]));
            let (a, b) = (a?, b?);
            let n = (a.turns + b.turns).max(1) as f64;
            let weigh = |x: f64, y: f64| (x * a.turns as f64 + y * b.turns as f64) / n;
            Some(Score {
                turns: a.turns + b.turns,
                cut_off: weigh(a.cut_off, b.cut_off),
                wait: weigh(a.wait, b.wait),
                missed: a.missed + b.missed,
            })
        };
        if self.recordings.len() < 32 {
            return;
        }
        let _ = write!(out, "{:<25}", "  on turns not tuned on");
        for wait in WAITS {
            let _ = match mean(&|scores| score::fewest_cut_offs(scores, wait)) {
                Some(s) => write!(out, " {:>8.1} %", 100.0 * s.cut_off),
                None => write!(out, " {:>10}", "-"),
            };
        }
        for cut in CUT_OFFS {
            let _ = match mean(&|scores| score::shortest_wait(scores, cut)) {
                Some(s) => write!(out, " {:>7.0} ms", 1000.0 * s.wait),
                None => write!(out, " {:>10}", "-"),
            };
        }
        let found = CUT_OFFS.map(|cut| {
            mean(&|scores| score::shortest_wait(scores, cut))
                .map_or("-".into(), |s| format!("{:.1} %", 100.0 * s.cut_off))
        });
        let _ = writeln!(out, "   (really cut off: {})", found.join(", "));
    }

    /// The swept policy with the shortest wait within the budget; the one with the fewest cut-offs if none is.
    fn recommended(&self, cut_offs: f64) -> usize {
        let scores = &self.scores[self.swept()];
        let best = score::shortest_wait(scores, cut_offs)
            .or_else(|| score::fewest_cut_offs(scores, f64::INFINITY));
        self.swept().start + best.expect("a sweep tries policies")
    }

    fn languages(&self, best: usize) -> String {
        let mut out = String::from(
            "\nlanguage   turns   cut off   mean wait   silence alone, same wait    (recommended policy)\n",
        );
        for language in self.languages_spoken() {
            let of = |r: &Recording| r.label.language.as_deref().unwrap_or("?") == language;
            let score = self.score_of(best, of);
            let _ = writeln!(
                out,
                "{language:<10} {:>5}   {:>5.1} %   {:>6.0} ms   {:>5.1} % cut off",
                score.turns,
                100.0 * score.cut_off,
                1000.0 * score.wait,
                100.0 * self.silence_at(score.wait, of)
            );
        }
        out
    }

    /// The recommended settings, and what to expect of them.
    fn recommendation(&self, best: usize, cut_offs: f64) -> String {
        let Candidate::Model(policy) = self.candidates[best] else {
            return String::new();
        };
        let score = self.scores[best];
        let unmet = if score.cut_off > cut_offs {
            format!(
                "# No policy that was tried keeps cut-offs within {:.1} %; this one has the fewest.\n",
                100.0 * cut_offs
            )
        } else {
            String::new()
        };
        format!(
            "# Recommended by `listenkit replay` from {}: {:.1} % cut off, {:.0} ms mean wait.\n{unmet}{}",
            counted(score.turns as u64, "turn"),
            100.0 * score.cut_off,
            1000.0 * score.wait,
            self.toml(&policy)
        )
    }

    /// A policy as settings for `--config`, with all else that was in force.
    fn toml(&self, policy: &TurnPolicy) -> String {
        format!("{}{}", grid::toml(policy), self.others)
    }

    fn json(&self, best: Option<usize>) -> String {
        let mut out = String::new();
        for (i, (candidate, score)) in self.candidates.iter().zip(self.scores).enumerate() {
            let line = Line::default()
                .with("policy", self.names.get(i).cloned())
                .with("what", grid::words(candidate))
                .with("turns", score.turns as u64)
                .with("missed", score.missed as u64)
                .with("cut_off", crate::json::seconds(score.cut_off))
                .with("mean_wait_s", crate::json::seconds(score.wait));
            let line = match candidate {
                Candidate::Silence(delay) => line.with("silence_s", delay.as_secs_f64()),
                Candidate::Model(policy) => line.with("settings", self.toml(policy)),
            };
            let line = match best {
                Some(best) => line.with("recommended", i == best),
                None => line,
            };
            let _ = writeln!(out, "{line}");
        }
        out
    }

    fn plot(&self) -> TradeOff {
        let curve = |name: &str, range: std::ops::Range<usize>| {
            let scores = &self.scores[range];
            Curve {
                name: name.into(),
                points: score::frontier(scores)
                    .into_iter()
                    .map(|i| (scores[i].wait, scores[i].cut_off))
                    .collect(),
            }
        };
        let marks = self.names.iter().zip(self.scores).skip(1);
        TradeOff {
            title: "How often the agent cuts in, by how long it waits".into(),
            subtitle: format!(
                "{} in {} · Smart Turn v3.2 · best policies of {} tried",
                counted(self.recordings.len() as u64, "turn"),
                match self.languages_spoken() {
                    few if few.len() <= 8 => few.join(" "),
                    many => counted(many.len() as u64, "language"),
                },
                self.swept().len()
            ),
            curves: vec![
                curve("silence alone", self.silent.clone()),
                curve("with the turn model", self.swept()),
            ],
            marks: marks
                .take(self.named - 1)
                .map(|(name, score)| Mark {
                    name: name.clone(),
                    wait: score.wait,
                    cut_off: score.cut_off,
                })
                .collect(),
        }
    }
}
