//! The options of a filter, from the JSON text that the SDK passes on.
//!
//! Names and units are those of `listenkit_detector_options`, so that what a text may say, and what it is told when it is wrong, is
//! the same as in C.

use serde_json::{Map, Value};

use crate::options::{
    LISTENKIT_DOWNMIX_AVERAGE, LISTENKIT_ENDPOINTING_DYNAMIC, LISTENKIT_ENDPOINTING_FIXED,
    LISTENKIT_NONE_MS, LISTENKIT_POLICY_BALANCED, LISTENKIT_POLICY_FAST, LISTENKIT_POLICY_PATIENT,
    LISTENKIT_PRESET_LIVEKIT_CORE, LISTENKIT_PRESET_LIVEKIT_PLUGIN, listenkit_detector_options,
};
use crate::pointer::Versioned;
use crate::status::{Failure, LISTENKIT_CONFIG};

/// Events that wait for a reader. At two a second of talk, more than a minute.
const EVENT_QUEUE: u32 = 256;
/// Less would lose the events of one flush, more is a mistake: 2 MB.
const EVENT_QUEUE_RANGE: std::ops::RangeInclusive<u32> = 16..=4096;
/// Longest label, in bytes.
const LABEL_LEN: usize = 256;

/// What a filter was asked for.
#[derive(Clone)]
pub(super) struct FilterOptions {
    pub(super) detector: listenkit_detector_options,
    /// Channels, if the text says: the SDK does not.
    pub(super) channels: Option<u32>,
    pub(super) event_queue: u32,
    /// Panics at the first block, for the test of what happens then.
    #[cfg(feature = "test-hooks")]
    pub(super) test_panic: bool,
}

impl FilterOptions {
    /// Reads a text; an empty one asks for the defaults.
    pub(super) fn parse(text: &str, sample_rate: u32) -> Result<Self, Failure> {
        let mut options = Self {
            detector: listenkit_detector_options {
                sample_rate,
                ..Versioned::defaults()
            },
            channels: None,
            event_queue: EVENT_QUEUE,
            #[cfg(feature = "test-hooks")]
            test_panic: false,
        };
        if text.trim().is_empty() {
            return Ok(options);
        }
        let value = serde_json::from_str(text)
            .map_err(|error| wrong(format_args!("the options are not JSON: {error}")))?;
        let Value::Object(settings) = value else {
            return Err(wrong(format_args!(
                "the options are {value}: use a JSON object, such as {{\"min_silence_ms\": 250}}"
            )));
        };
        options.start_from(&settings)?;
        for (name, value) in &settings {
            options.set(name, value)?;
        }
        Ok(options)
    }

    /// A preset or policy is where the other settings start from, wherever it stands in the text.
    fn start_from(&mut self, settings: &Map<String, Value>) -> Result<(), Failure> {
        let presets = [
            ("livekit_core", LISTENKIT_PRESET_LIVEKIT_CORE),
            ("livekit_plugin", LISTENKIT_PRESET_LIVEKIT_PLUGIN),
        ];
        let policies = [
            ("fast", LISTENKIT_POLICY_FAST),
            ("balanced", LISTENKIT_POLICY_BALANCED),
            ("patient", LISTENKIT_POLICY_PATIENT),
        ];
        if let Some(value) = settings.get("preset") {
            self.detector
                .use_preset(choice("preset", value, &presets)?)?;
        }
        if let Some(value) = settings.get("policy") {
            self.detector
                .use_policy(choice("policy", value, &policies)?)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), Failure> {
        let detector = &mut self.detector;
        match name {
            "preset" | "policy" => {}
            "label" => {
                if value.as_str().is_none_or(|label| label.len() > LABEL_LEN) {
                    return Err(wrong(format_args!(
                        "label must be a text of up to {LABEL_LEN} bytes"
                    )));
                }
            }
            "event_queue" => {
                let given = whole(name, value)?;
                if !EVENT_QUEUE_RANGE.contains(&given) {
                    let (least, most) = EVENT_QUEUE_RANGE.into_inner();
                    return Err(wrong(format_args!(
                        "event_queue is {given}: use {least} to {most} events"
                    )));
                }
                self.event_queue = given;
            }
            "channels" => self.channels = Some(whole(name, value)?),
            "downmix_channel" => {
                detector.downmix_channel = or_none(name, value, LISTENKIT_DOWNMIX_AVERAGE)?;
            }
            "smoothing" => detector.smoothing = number_or_nan(name, value)?,
            "activation_threshold" => detector.activation_threshold = number(name, value)?,
            "deactivation_threshold" => {
                detector.deactivation_threshold = number_or_nan(name, value)?;
            }
            "state_guard" => detector.state_guard = flag(name, value)?,
            "report_windows" => detector.report_windows = flag(name, value)?,
            "min_speech_ms" => detector.min_speech_ms = whole(name, value)?,
            "min_silence_ms" => detector.min_silence_ms = whole(name, value)?,
            "prefix_padding_ms" => detector.prefix_padding_ms = whole(name, value)?,
            "max_segment_ms" => detector.max_segment_ms = whole(name, value)?,
            "max_turn_ms" => detector.max_turn_ms = or_none(name, value, LISTENKIT_NONE_MS)?,
            "endpointing" => {
                let rules = [
                    ("fixed", LISTENKIT_ENDPOINTING_FIXED),
                    ("dynamic", LISTENKIT_ENDPOINTING_DYNAMIC),
                ];
                detector.endpointing = choice(name, value, &rules)?;
            }
            "min_delay_ms" => detector.min_delay_ms = whole(name, value)?,
            "max_delay_ms" => detector.max_delay_ms = whole(name, value)?,
            "turn_model" => detector.turn_model = flag(name, value)?,
            "turn_threshold" => detector.turn_threshold = number(name, value)?,
            "turn_timeout_ms" => detector.turn_timeout_ms = whole(name, value)?,
            "turn_query_after_ms" => detector.turn_query_after_ms = whole(name, value)?,
            #[cfg(feature = "test-hooks")]
            "test_panic" => self.test_panic = flag(name, value)? != 0,
            _ => {
                return Err(wrong(format_args!(
                    "there is no option \"{name}\": the names are in docs/audio-filter.md"
                )));
            }
        }
        Ok(())
    }
}

/// The name that a text gives a filter, whatever else it says: a refused one must be found too.
pub(super) fn label(text: &str) -> String {
    let value = serde_json::from_str(text).unwrap_or(Value::Null);
    value["label"].as_str().unwrap_or_default().to_owned()
}

fn wrong(text: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(LISTENKIT_CONFIG, text)
}

fn must(name: &str, value: &Value, what: &str) -> Failure {
    wrong(format_args!("{name} is {value}: it must be {what}"))
}

fn whole(name: &str, value: &Value) -> Result<u32, Failure> {
    let whole = value.as_u64().and_then(|whole| u32::try_from(whole).ok());
    // The largest one stands for "none" in C; here that is null.
    whole
        .filter(|&whole| whole < u32::MAX)
        .ok_or_else(|| must(name, value, "a whole number from 0"))
}

fn or_none(name: &str, value: &Value, none: u32) -> Result<u32, Failure> {
    if value.is_null() {
        return Ok(none);
    }
    whole(name, value)
}

fn number(name: &str, value: &Value) -> Result<f32, Failure> {
    let number = value.as_f64();
    number
        .map(|number| number as f32)
        .ok_or_else(|| must(name, value, "a number"))
}

fn number_or_nan(name: &str, value: &Value) -> Result<f32, Failure> {
    if value.is_null() {
        return Ok(f32::NAN);
    }
    number(name, value)
}

fn flag(name: &str, value: &Value) -> Result<u32, Failure> {
    let flag = value.as_bool().map(u32::from);
    flag.ok_or_else(|| must(name, value, "true or false"))
}

fn choice(name: &str, value: &Value, choices: &[(&str, u32)]) -> Result<u32, Failure> {
    let found = choices.iter().find(|(known, _)| value == known);
    found.map(|&(_, number)| number).ok_or_else(|| {
        let names: Vec<String> = choices
            .iter()
            .map(|(known, _)| format!("\"{known}\""))
            .collect();
        must(name, value, &names.join(" or "))
    })
}
