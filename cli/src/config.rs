//! The configuration file: the settings of `DetectorConfig` by the same names, in TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use listenkit::vad::VadRate;
use listenkit::{
    AnswerRule, DetectorConfig, Downmix, Endpointing, Format, Language, ModelHash, Precision,
    Probability, ThresholdTable, TurnPolicy, WaitRule,
};
use serde::{Deserialize, Deserializer, de};

use crate::failure::Failure;

/// Where settings come from: `--config` and `--set`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// Settings from a TOML file; `listenkit config` lists them
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, over the file's: --set min_silence_duration=500ms (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Everything that can be set: a file that, as it is, changes nothing. What has no default, or one that depends on
/// other settings or the recording, is commented out.
pub(crate) const HELP: &str = r#"# Settings of `--config FILE.toml` and `--set KEY=VALUE`. Durations are text with a unit: "250ms", "2.5s".
# Lines that begin with # are examples; what holds without them is in brackets.

# Who speaks.
activation_threshold      = 0.5       # probability at which speech begins
# deactivation_threshold  = 0.35      # probability at which it ends (activation_threshold - 0.15)
min_speech_duration       = "50ms"    # speech needed before a segment starts
# min_silence_duration    = "250ms"   # silence that ends a segment (250ms, or the policy's min_delay if that is shorter)
prefix_padding_duration   = "500ms"   # audio kept before a segment
# tail_padding_duration   = "250ms"   # audio kept after it (as long as min_silence_duration, which is also the most)
max_segment_duration      = "30s"     # longer speech is split at a pause
# smoothing               = 0.35      # weight of the probability before (none)
state_guard               = true      # keep the model from going deaf in long noise or music
# model_rate              = 16000     # or 8000: which branch of the VAD model (8000 for 8 kHz audio and below)
# channel                 = 0         # listen to one channel, from 0 (the mean of all)

# When a turn is over.
# turn_model              = "smart-turn" # or "none", or the path of a weight file (.lkw) (analyze, replay: smart-turn; others: none)
precision                 = "fast"    # or "exact": the turn model in 8-bit or in floating-point arithmetic
policy                    = "balanced" # or "fast", "patient": what holds with a turn model for the lines below, if left out
# min_delay               = "500ms"   # silence after the last voiced sample that ends a finished turn (policy; 500ms without a turn model)
# max_delay               = "3s"      # silence that ends any turn, whatever is waited for (policy; 3s without a turn model)
# unlikely_threshold      = 0.2       # below this probability a turn is unfinished (policy)
# unlikely_thresholds     = {de=0.3}  # the same for single languages
# language                = "en"      # what is spoken, as a BCP 47 tag (not known)
# wait_rule               = "threshold" # or "graded": between the delays, the longer the less finished it seems (policy)
# unfinished_at           = 0.2       # graded: up to this fused probability max_delay is waited (policy)
# finished_at             = 0.8       # graded: from this one on min_delay (policy)
# query_after             = "96ms"    # silence after which the turn model is asked (policy)
# query_again             = ["200ms"] # and asked again, up to three times (policy)
# answers                 = "latest"  # or "mean", "min": how its answers about one pause become one (policy)
# model_timeout           = "1s"      # how long after the last voiced sample its answer is waited for (policy)
answers_after             = "30ms"    # time of audio that passes while the turn model thinks
endpointing               = "fixed"   # or "dynamic": min_delay is learned from the pauses heard
alpha                     = 0.9       # weight of history in dynamic endpointing
# max_turn_duration       = "60s"     # ends any turn after this long (never)
preset                    = "default" # or "livekit-core", "livekit-plugin": what those do, for all lines left out
"#;

/// The file as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    preset: Option<Preset>,
    activation_threshold: Option<f32>,
    deactivation_threshold: Option<f32>,
    min_speech_duration: Option<Time>,
    min_silence_duration: Option<Time>,
    prefix_padding_duration: Option<Time>,
    tail_padding_duration: Option<Time>,
    max_segment_duration: Option<Time>,
    endpointing: Option<Policy>,
    min_delay: Option<Time>,
    max_delay: Option<Time>,
    alpha: Option<f64>,
    max_turn_duration: Option<Time>,
    smoothing: Option<f32>,
    state_guard: Option<bool>,
    model_rate: Option<u32>,
    channel: Option<u8>,
    turn_model: Option<Model>,
    precision: Option<Arithmetic>,
    policy: Option<Taste>,
    unlikely_threshold: Option<Share>,
    #[serde(default)]
    unlikely_thresholds: BTreeMap<Tag, Share>,
    language: Option<Tag>,
    wait_rule: Option<Rule>,
    unfinished_at: Option<Share>,
    finished_at: Option<Share>,
    query_after: Option<Time>,
    query_again: Option<Repeats>,
    answers: Option<Combination>,
    model_timeout: Option<Time>,
    answers_after: Option<Time>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
enum Model {
    SmartTurn,
    File(PathBuf),
    None,
}

impl TryFrom<String> for Model {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "smart-turn" => Ok(Self::SmartTurn),
            "none" => Ok(Self::None),
            path if path.ends_with(".lkw") => Ok(Self::File(path.into())),
            other => Err(format!(
                "turn_model is \"{other}\"; use smart-turn, none, or the path of a weight file (.lkw)"
            )),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Arithmetic {
    Fast,
    Exact,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Taste {
    Fast,
    Balanced,
    Patient,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Threshold,
    Graded,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Combination {
    Latest,
    Mean,
    Min,
}

/// A probability, 0.0..=1.0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f32")]
struct Share(Probability);

impl TryFrom<f32> for Share {
    type Error = String;

    fn try_from(value: f32) -> Result<Self, String> {
        let probability = Probability::new(value);
        probability.map(Self).map_err(|error| error.to_string())
    }
}

/// A language.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
struct Tag(Language);

impl TryFrom<String> for Tag {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let language = Language::parse(&text);
        language
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" names no language; use a tag such as en or pt-BR"))
    }
}

/// Up to three durations.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Vec<Time>")]
struct Repeats([Option<Duration>; 3]);

impl TryFrom<Vec<Time>> for Repeats {
    type Error = String;

    fn try_from(times: Vec<Time>) -> Result<Self, String> {
        let mut repeats = [None; 3];
        if times.len() > repeats.len() {
            return Err(format!(
                "{} durations; give at most {}",
                times.len(),
                repeats.len()
            ));
        }
        for (repeat, Time(duration)) in repeats.iter_mut().zip(times) {
            *repeat = Some(duration);
        }
        Ok(Self(repeats))
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Preset {
    Default,
    LivekitCore,
    LivekitPlugin,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Fixed,
    Dynamic,
}

/// A duration with its unit.
#[derive(Clone, Copy, Debug)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Time;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration with its unit, such as \"250ms\" or \"2.5s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_duration(text)
                    .map(Time)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `250ms`, `2.5s`, `1min`; exact in decimal, so that 0.3 s is 300 ms and not a float near it.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = [
        ("ms", 1_000_000_u64),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
    ]
    .iter()
    .find_map(|(suffix, nanos)| Some((text.strip_suffix(suffix)?.trim_end(), *nanos)))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
    let part = if part.is_empty() {
        0
    } else {
        part.parse::<u64>().ok()?
    };
    let part = u128::from(part) * u128::from(unit) / u128::from(scale);
    Some(Duration::from_nanos(
        whole.checked_add(u64::try_from(part).ok()?)?,
    ))
}

/// Settings, ready for any format.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    settings: Settings,
    /// The same as they were written.
    written: toml::Table,
    /// What the settings were read from, for errors.
    from: String,
    model_rate: Option<VadRate>,
}

impl ConfigArgs {
    /// Reads the file and the overrides.
    ///
    /// # Errors
    /// [`Failure::Input`] if the file cannot be read, [`Failure::Usage`] if a key or value is wrong.
    pub(crate) fn read(&self) -> Result<Config, Failure> {
        let mut table = match &self.config {
            Some(path) => read_table(path)?,
            None => toml::Table::new(),
        };
        let from = match &self.config {
            Some(path) if self.set.is_empty() => path.display().to_string(),
            Some(path) => format!("{} with --set", path.display()),
            None => "--set".into(),
        };
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::usage(format!(
                    "--set {pair}: write KEY=VALUE, such as min_silence_duration=500ms"
                ))
            })?;
            let value = value.trim();
            // Numbers and booleans as in TOML; anything else is text, which then needs no quotes in the shell.
            let value = format!("v = {value}")
                .parse::<toml::Table>()
                .ok()
                .and_then(|mut table| table.remove("v"))
                .unwrap_or_else(|| toml::Value::String(value.into()));
            let key = key.trim();
            // Alone first, so that the error names the pair it is about.
            let alone = toml::Table::from_iter([(key.to_string(), value.clone())]);
            Settings::deserialize(alone).map_err(|error| {
                Failure::usage(format!("--set {pair}: {}", one_line(error.message())))
            })?;
            table.insert(key.into(), value);
        }
        let written = table.clone();
        let settings = Settings::deserialize(table)
            .map_err(|error| Failure::usage(format!("{from}: {}", one_line(error.message()))))?;
        let model_rate = match settings.model_rate {
            None => None,
            Some(16_000) => Some(VadRate::Hz16000),
            Some(8_000) => Some(VadRate::Hz8000),
            Some(other) => {
                return Err(Failure::usage(format!(
                    "{from}: model_rate is {other}; use 16000 or 8000"
                )));
            }
        };
        Ok(Config {
            settings,
            written,
            from,
            model_rate,
        })
    }
}

fn read_table(path: &Path) -> Result<toml::Table, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::opening(path, &error))?;
    let table = text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].lines().count().max(1)
        });
        Failure::usage(format!(
            "{}:{line}: {}",
            path.display(),
            one_line(error.message())
        ))
    })?;
    // Checked here too, so that the line of a wrong value can be named.
    toml::from_str::<Settings>(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].matches('\n').count() + 1
        });
        Failure::usage(format!(
            "{}:{line}: {}",
            path.display(),
            one_line(error.message())
        ))
    })?;
    Ok(table)
}

/// Errors are one line, whatever their source says.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Config {
    /// The detector's settings for a stream of this format; `model` says whether a turn model answers it.
    pub(crate) fn detector(&self, format: Format, model: bool) -> DetectorConfig {
        self.detector_under(format, model.then(|| self.policy()))
    }

    /// The same under another policy than the settings'; `None` is without a turn model.
    pub(crate) fn detector_under(
        &self,
        format: Format,
        policy: Option<TurnPolicy>,
    ) -> DetectorConfig {
        let s = &self.settings;
        let mut config = match s.preset.unwrap_or(Preset::Default) {
            Preset::Default => DetectorConfig::new(format.rate),
            Preset::LivekitCore => DetectorConfig::livekit_core(format.rate),
            Preset::LivekitPlugin => DetectorConfig::livekit_plugin(format.rate),
        }
        .channels(usize::from(format.channels))
        .sample_format(format.samples);
        if let Some(threshold) = s.activation_threshold {
            config = config.activation_threshold(threshold);
        }
        if let Some(threshold) = s.deactivation_threshold {
            config = config.deactivation_threshold(threshold);
        }
        if let Some(Time(duration)) = s.min_speech_duration {
            config = config.min_speech_duration(duration);
        }
        if let Some(Time(duration)) = s.prefix_padding_duration {
            config = config.prefix_padding_duration(duration);
        }
        if let Some(Time(duration)) = s.tail_padding_duration {
            config = config.tail_padding_duration(duration);
        }
        if let Some(Time(duration)) = s.max_segment_duration {
            config = config.max_segment_duration(duration);
        }
        if let Some(Time(duration)) = s.max_turn_duration {
            config = config.max_turn_duration(Some(duration));
        }
        if let Some(weight) = s.smoothing {
            config = config.smoothing(Some(weight));
        }
        if let Some(on) = s.state_guard {
            config = config.state_guard(on);
        }
        if let Some(channel) = s.channel {
            config = config.downmix(Downmix::Channel(channel));
        }
        if let Some(policy) = policy {
            config = policed(config, policy, s.preset.is_none());
        } else if s.min_delay.is_some() || s.max_delay.is_some() || self.endpointing_is_set() {
            config = config.endpointing(self.endpointing(Endpointing::LEGACY));
        }
        if let Some(Time(duration)) = s.min_silence_duration {
            config = config.min_silence_duration(duration);
        }
        config
    }

    /// Adds a setting that an option stands for to [`others`](Self::others).
    pub(crate) fn keep(&mut self, key: &str, value: &str) {
        self.written.insert(key.into(), value.into());
    }

    /// Those of the settings that say nothing about when a turn is over, as TOML: a recommended policy is to be used with them.
    pub(crate) fn others(&self) -> String {
        const OF_POLICY: [&str; 14] = [
            "turn_model",
            "min_delay",
            "max_delay",
            "unlikely_threshold",
            "unlikely_thresholds",
            "wait_rule",
            "unfinished_at",
            "finished_at",
            "query_after",
            "query_again",
            "answers",
            "model_timeout",
            "endpointing",
            "alpha",
        ];
        self.written
            .iter()
            .filter(|(key, _)| !OF_POLICY.contains(&key.as_str()))
            .fold(String::new(), |out, (key, value)| {
                format!("{out}{key:<20} = {value}\n")
            })
    }

    /// The turn model to load, or `default` if the settings do not say.
    pub(crate) fn turn_model(&self, default: Option<Precision>) -> Option<Precision> {
        let precision = match self.settings.precision {
            Some(Arithmetic::Exact) => Precision::Exact,
            Some(Arithmetic::Fast) => Precision::Fast,
            None => default.unwrap_or_default(),
        };
        match self.settings.turn_model {
            Some(Model::None) => None,
            Some(Model::SmartTurn | Model::File(_)) => Some(precision),
            None => default.map(|_| precision),
        }
    }

    /// The weight file of the turn model, if it is not the built-in one.
    pub(crate) fn turn_model_file(&self) -> Option<&Path> {
        match &self.settings.turn_model {
            Some(Model::File(path)) => Some(path),
            _ => None,
        }
    }

    /// The policy in force with a turn model.
    pub(crate) fn policy(&self) -> TurnPolicy {
        self.policy_for(self.language())
    }

    /// The same where this language is spoken.
    pub(crate) fn policy_for(&self, language: Option<Language>) -> TurnPolicy {
        let s = &self.settings;
        let mut policy = match s.policy {
            Some(Taste::Fast) => TurnPolicy::FAST,
            None | Some(Taste::Balanced) => TurnPolicy::BALANCED,
            Some(Taste::Patient) => TurnPolicy::PATIENT,
        };
        policy.endpointing = self.endpointing(policy.endpointing);
        policy.audio_threshold = self.threshold(language, policy.audio_threshold);
        policy.wait_rule = self.wait_rule(policy.wait_rule);
        if let Some(Time(duration)) = s.query_after {
            policy.query_after = duration;
        }
        if let Some(Repeats(repeats)) = s.query_again {
            policy.query_again = repeats;
        }
        if let Some(answers) = s.answers {
            policy.answers = match answers {
                Combination::Latest => AnswerRule::Latest,
                Combination::Mean => AnswerRule::Mean,
                Combination::Min => AnswerRule::Min,
            };
        }
        if let Some(Time(duration)) = s.model_timeout {
            policy.timeout = duration;
        }
        policy
    }

    /// The turn model's threshold for a language: that of its region, else that of the language, else the one for all.
    pub(crate) fn threshold(
        &self,
        language: Option<Language>,
        default: Probability,
    ) -> Probability {
        let s = &self.settings;
        let all = s.unlikely_threshold.map_or(default, |Share(p)| p);
        let mut table = ThresholdTable::new(ModelHash::SMART_TURN_V3_2, all);
        for (Tag(language), Share(threshold)) in &s.unlikely_thresholds {
            table = table.with(*language, *threshold);
        }
        table.get(language)
    }

    fn wait_rule(&self, default: WaitRule) -> WaitRule {
        let s = &self.settings;
        let graded = match (s.wait_rule, default) {
            (Some(Rule::Threshold), _) => return WaitRule::Threshold,
            (None, WaitRule::Threshold) if s.unfinished_at.is_none() && s.finished_at.is_none() => {
                return default;
            }
            (
                _,
                WaitRule::Graded {
                    unfinished_at,
                    finished_at,
                },
            ) => (unfinished_at, finished_at),
            _ => (Probability::clamped(0.2), Probability::clamped(0.8)),
        };
        WaitRule::Graded {
            unfinished_at: s.unfinished_at.map_or(graded.0, |Share(p)| p),
            finished_at: s.finished_at.map_or(graded.1, |Share(p)| p),
        }
    }

    /// The language, if the settings name one.
    pub(crate) fn language(&self) -> Option<Language> {
        self.settings.language.map(|Tag(language)| language)
    }

    /// How much audio passes while the turn model thinks. The default is what Smart Turn takes on one core, rounded up.
    pub(crate) fn answers_after(&self) -> Duration {
        let default = Duration::from_millis(30);
        self.settings.answers_after.map_or(default, |t| t.0)
    }

    const fn endpointing_is_set(&self) -> bool {
        self.settings.endpointing.is_some() || self.settings.alpha.is_some()
    }

    fn endpointing(&self, default: Endpointing) -> Endpointing {
        let s = &self.settings;
        // Of the two, what is set moves what is not out of its way.
        let (min, max) = match (s.min_delay, s.max_delay) {
            (Some(Time(min)), Some(Time(max))) => (min, max),
            (Some(Time(min)), None) => (min, default.max_delay().max(min)),
            (None, Some(Time(max))) => (default.min_delay().min(max), max),
            (None, None) => (default.min_delay(), default.max_delay()),
        };
        match (s.endpointing, s.alpha) {
            (Some(Policy::Dynamic), None) => Endpointing::dynamic(min, max),
            (Some(Policy::Dynamic), Some(alpha)) => {
                Endpointing::dynamic(min, max).with_alpha(alpha)
            }
            _ => Endpointing::fixed(min, max),
        }
    }

    /// Which branch of the model hears a stream of this format.
    pub(crate) fn model_rate(&self, format: Format) -> VadRate {
        self.model_rate.unwrap_or(VadRate::for_input(format.rate))
    }

    /// The thresholds in force: activation, deactivation.
    pub(crate) fn thresholds(&self) -> (f32, f32) {
        let activation = self.settings.activation_threshold.unwrap_or(0.5);
        let deactivation = self
            .settings
            .deactivation_threshold
            .unwrap_or((activation - 0.15).max(0.01).min(activation));
        (activation, deactivation)
    }

    /// An error of the detector about these settings.
    pub(crate) fn failure(&self, error: &listenkit::ConfigError) -> Failure {
        Failure::usage(format!("{}: {error}", self.from))
    }
}

/// A detector with a policy and the turn model's part of it. With `short_silence`, a segment ends no later than the
/// shortest turn: no turn ends before its speech does.
fn policed(config: DetectorConfig, policy: TurnPolicy, short_silence: bool) -> DetectorConfig {
    let config = config
        .turn_policy(policy)
        .turn_model(Some(policy.turn_model()));
    let min_delay = policy.endpointing.min_delay();
    if short_silence && min_delay < Duration::from_millis(250) {
        // Whole windows of 32 ms, the last one ending by then.
        let windows = (min_delay.as_millis() as u64 / 32).max(1);
        return config.min_silence_duration(Duration::from_millis(windows * 32));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[&str]) -> Result<Config, Failure> {
        ConfigArgs {
            config: None,
            set: set.iter().map(|s| (*s).into()).collect(),
        }
        .read()
    }

    #[test]
    fn durations_are_exact_decimals_with_a_unit() {
        let cases = [
            ("250ms", Some(250_000_000)),
            ("2.5s", Some(2_500_000_000)),
            ("0.3 s", Some(300_000_000)),
            ("1min", Some(60_000_000_000)),
            ("0.5ms", Some(500_000)),
            ("250", None),
            ("s", None),
            ("-1s", None),
            ("1e3s", None),
            ("99999999999999999999s", None),
            ("18446744073s", Some(18_446_744_073_000_000_000)),
        ];
        for (text, nanos) in cases {
            assert_eq!(
                parse_duration(text),
                nanos.map(Duration::from_nanos),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_keys_are_answered_with_the_known_ones() {
        let message = read(&["min_silence=1s"]).expect_err("unknown").to_string();
        assert!(
            message.contains("min_silence_duration") && message.contains("max_delay"),
            "{message}"
        );
        assert!(!message.contains('\n'));
    }

    #[test]
    fn numbers_without_a_unit_are_refused() {
        let message = read(&["min_delay=300"]).expect_err("no unit").to_string();
        assert!(message.contains("250ms"), "{message}");
    }

    #[test]
    fn every_documented_setting_is_accepted() {
        let lines: Vec<&str> = HELP.lines().filter(|line| line.contains(" = ")).collect();
        assert_eq!(lines.len(), 31, "one for each field of `Settings`");
        for line in lines {
            let mut words = line.trim_start_matches("# ").split_whitespace();
            let key = words.next().expect("key");
            let value = words.nth(1).expect("value");
            let result = read(&[&format!("{key}={value}")]);
            assert!(result.is_ok(), "{line}: {:?}", result.err());
        }
    }

    #[test]
    fn the_help_as_a_file_changes_nothing() {
        let settings = toml::from_str::<Settings>(HELP).expect("the help is TOML");
        let spelt = Config {
            written: toml::Table::new(),
            settings,
            from: "help".into(),
            model_rate: None,
        };
        let plain = read(&[]).expect("empty");
        for hz in [8_000, 48_000] {
            let format = Format::new(hz, 2, listenkit::SampleFormat::I16).expect("valid");
            for model in [false, true] {
                let spelt = spelt.detector(format, model);
                // Without a turn model `endpointing = "fixed"` spells out what holds anyway.
                let plain = plain.detector(format, model);
                let plain = if model {
                    plain
                } else {
                    plain.endpointing(Endpointing::LEGACY)
                };
                assert_eq!(plain, spelt);
            }
        }
        assert_eq!(plain.policy(), spelt.policy());
        assert_eq!(plain.answers_after(), spelt.answers_after());
        assert_eq!(spelt.turn_model(None), None);
        assert_eq!(
            spelt.turn_model(Some(Precision::Fast)),
            Some(Precision::Fast)
        );
        // A changed line brings no contradiction with those that stay.
        let format = Format::new(16_000, 1, listenkit::SampleFormat::I16).expect("valid");
        for (line, changed) in [("= 0.5 ", "= 0.3 "), ("= \"balanced\"", "= \"fast\"")] {
            let text = HELP.replacen(line, changed, 1);
            assert_ne!(text, HELP);
            let settings = toml::from_str::<Settings>(&text).expect("TOML");
            let config = Config {
                settings,
                ..spelt.clone()
            };
            let vad = listenkit::vad::SileroVad::embedded(VadRate::Hz16000).expect("embedded");
            for model in [false, true] {
                assert!(
                    listenkit::Detector::new(config.detector(format, model), &vad).is_ok(),
                    "{changed}"
                );
            }
        }
    }

    #[test]
    fn a_policy_is_what_its_lines_change_and_nothing_else() {
        let policy = read(&[
            "policy=patient",
            "max_delay=4s",
            "wait_rule=graded",
            "unfinished_at=0.2",
            "finished_at=0.7",
            "query_again=[\"150ms\", \"300ms\"]",
            "answers=mean",
        ])
        .expect("valid")
        .policy();
        let p = |value| Probability::new(value).expect("a probability");
        let expected = TurnPolicy {
            endpointing: Endpointing::fixed(
                TurnPolicy::PATIENT.endpointing.min_delay(),
                Duration::from_secs(4),
            ),
            wait_rule: WaitRule::Graded {
                unfinished_at: p(0.2),
                finished_at: p(0.7),
            },
            query_again: [
                Some(Duration::from_millis(150)),
                Some(Duration::from_millis(300)),
                None,
            ],
            answers: AnswerRule::Mean,
            ..TurnPolicy::PATIENT
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn a_language_has_its_own_threshold_and_its_region_another() {
        let set = [
            "unlikely_thresholds={pt=0.1, pt-BR=0.3}",
            "unlikely_threshold=0.4",
        ];
        for (language, threshold) in [("pt-BR", 0.3), ("pt-PT", 0.1), ("de", 0.4)] {
            let language = format!("language={language}");
            let config = read(&[set[0], set[1], &language]).expect("valid");
            assert_eq!(
                config.policy().audio_threshold.value(),
                threshold,
                "{language}"
            );
        }
        for wrong in [
            "language=multi",
            "unlikely_threshold=1.5",
            "query_again=[\"1s\",\"2s\",\"3s\",\"4s\"]",
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_blames_all_places_it_may_come_from() {
        let error = listenkit::ConfigError::Probability {
            name: "activation_threshold",
            value: 2.0,
        };
        let message = read(&["activation_threshold=2"])
            .expect("a number")
            .failure(&error)
            .to_string();
        assert!(
            message.starts_with("--set: activation_threshold is 2"),
            "{message}"
        );
    }
}
