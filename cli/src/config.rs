//! The configuration file: the settings of `DetectorConfig` by the same names, in TOML.

use std::path::{Path, PathBuf};
use std::time::Duration;

use listenkit::vad::VadRate;
use listenkit::{DetectorConfig, Downmix, Endpointing, Format};
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

activation_threshold      = 0.5       # probability at which speech begins
# deactivation_threshold  = 0.35      # probability at which it ends (activation_threshold - 0.15)
min_speech_duration       = "50ms"    # speech needed before a segment starts
min_silence_duration      = "250ms"   # silence that ends a segment
prefix_padding_duration   = "500ms"   # audio kept before a segment
# tail_padding_duration   = "250ms"   # audio kept after it (as long as min_silence_duration, which is also the most)
max_segment_duration      = "30s"     # longer speech is split at a pause
endpointing               = "fixed"   # or "dynamic": min_delay is learned from the pauses heard
min_delay                 = "500ms"   # silence after the last voiced sample that ends a turn
max_delay                 = "3s"      # the longest such silence, whatever is waited for
alpha                     = 0.9       # weight of history in dynamic endpointing
# max_turn_duration       = "60s"     # ends any turn after this long (never)
# smoothing               = 0.35      # weight of the probability before (none)
state_guard               = true      # keep the model from going deaf in long noise or music
# model_rate              = 16000     # or 8000: which branch of the VAD model (8000 for 8 kHz audio and below)
# channel                 = 0         # listen to one channel, from 0 (the mean of all)
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
    /// The detector's settings for a stream of this format.
    pub(crate) fn detector(&self, format: Format) -> DetectorConfig {
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
        if let Some(Time(duration)) = s.min_silence_duration {
            config = config.min_silence_duration(duration);
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
        let endpointing = s.endpointing.is_some()
            || s.min_delay.is_some()
            || s.max_delay.is_some()
            || s.alpha.is_some();
        if endpointing {
            config = config.endpointing(self.endpointing());
        }
        config
    }

    fn endpointing(&self) -> Endpointing {
        let s = &self.settings;
        let min = s.min_delay.map_or(Endpointing::LEGACY.min_delay(), |t| t.0);
        let max = s.max_delay.map_or(Endpointing::LEGACY.max_delay(), |t| t.0);
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
        assert_eq!(lines.len(), 17, "one for each field of `Settings`");
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
            settings,
            from: "help".into(),
            model_rate: None,
        };
        let plain = read(&[]).expect("empty");
        for hz in [8_000, 48_000] {
            let format = Format::new(hz, 2, listenkit::SampleFormat::I16).expect("valid");
            // What holds where none is set and there is no turn model.
            let plain = plain.detector(format).endpointing(Endpointing::LEGACY);
            assert_eq!(plain, spelt.detector(format));
        }
        // A changed line brings no contradiction with those that stay.
        let format = Format::new(16_000, 1, listenkit::SampleFormat::I16).expect("valid");
        for (line, changed) in [("= 0.5 ", "= 0.3 "), ("= \"250ms\"", "= \"100ms\"")] {
            let text = HELP.replacen(line, changed, 1);
            assert_ne!(text, HELP);
            let settings = toml::from_str::<Settings>(&text).expect("TOML");
            let config = Config {
                settings,
                ..spelt.clone()
            };
            let vad = listenkit::vad::SileroVad::embedded(VadRate::Hz16000).expect("embedded");
            assert!(
                listenkit::Detector::new(config.detector(format), &vad).is_ok(),
                "{changed}"
            );
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
