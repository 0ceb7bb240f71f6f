//! What can go wrong: small errors that carry what was expected and what came.
//!
//! Three kinds, by who can mend them: [`ConfigError`] (settings, at construction), [`InputError`]
//! (one call; nothing of it was consumed, the stream goes on) and [`ModelError`] (weights).

use std::time::Duration;

/// A setting that cannot work. Found when a detector is built, never later.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The sample rate is outside what the resampler covers.
    #[error("sample rate {hz} Hz is not supported: use an integer rate from 4000 to 192000 Hz")]
    SampleRate {
        /// The rate that was given, in Hz.
        hz: u32,
    },
    /// The channel count is outside 1..=8.
    #[error("{channels} channels are not supported: use 1 to 8 interleaved channels")]
    Channels {
        /// The count that was given.
        channels: usize,
    },
    /// The channel to listen to does not exist.
    #[error("channel {channel} does not exist: the stream has channels 0 to {}", channels - 1)]
    Downmix {
        /// The channel that was asked for, counted from 0.
        channel: u8,
        /// How many there are.
        channels: u8,
    },
    /// A probability or threshold is not within 0..=1.
    #[error("{name} is {value}: use a number from 0 to 1")]
    Probability {
        /// The setting.
        name: &'static str,
        /// The value that was given.
        value: f32,
    },
    /// The deactivation threshold is above the activation threshold, so there is no hysteresis.
    #[error(
        "deactivation_threshold {deactivation} is above activation_threshold {activation}: lower it, or leave it out to get activation - 0.15"
    )]
    Thresholds {
        /// Probability at which speech begins.
        activation: f32,
        /// Probability at or below which speech ends.
        deactivation: f32,
    },
    /// A duration is outside its range.
    #[error("{name} is {given:?}: use {min:?} to {max:?}")]
    Duration {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: Duration,
        /// Smallest value that works.
        min: Duration,
        /// Largest value that works.
        max: Duration,
    },
    /// Two durations contradict each other.
    #[error("{smaller} ({smaller_is:?}) must not be longer than {larger} ({larger_is:?})")]
    Order {
        /// The setting that has to be the smaller one.
        smaller: &'static str,
        /// Its value.
        smaller_is: Duration,
        /// The setting that has to be the larger one.
        larger: &'static str,
        /// Its value.
        larger_is: Duration,
    },
    /// A weight of the fusion of votes, or its limit, is out of range.
    #[error("{name} is {given}: use 0 to 10, for the limit 0.1 to 100")]
    Fusion {
        /// Which one.
        name: &'static str,
        /// What was given.
        given: f32,
    },
    /// The graded wait would grow with the probability.
    #[error("finished_at {finished_at} is below unfinished_at {unfinished_at}: exchange them")]
    WaitRule {
        /// Where the wait is still the longest.
        unfinished_at: f32,
        /// Where it is the shortest.
        finished_at: f32,
    },
    /// A smoothing weight is outside 0..1.
    #[error("{name} is {given}: use a weight from 0 (no history) to less than 1")]
    Weight {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: f64,
    },
}

/// A call that could not be taken. Nothing of it was consumed and the stream is as before.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The block does not hold a whole number of samples for all channels.
    #[error("{len} values do not divide into {channels} interleaved channels: push whole samples")]
    PartialSample {
        /// Values in the block.
        len: usize,
        /// Channels of the stream.
        channels: u8,
    },
    /// The block declares a format that cannot be listened to.
    #[error(transparent)]
    Format(#[from] ConfigError),
    /// Outputs of an earlier call have not been taken yet.
    #[error("{waiting} outputs are waiting: take them with `poll` before the next input")]
    OutputsWaiting {
        /// How many.
        waiting: usize,
    },
}

/// Weights that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes are not a weight file of listenkit.
    #[error(
        "not a listenkit weight file: it begins with \"{}\", expected \"{}\"",
        found.escape_ascii(),
        expected.escape_ascii()
    )]
    Magic {
        /// What a weight file starts with.
        expected: [u8; 8],
        /// What these bytes start with; zeros where there are none.
        found: [u8; 8],
    },
    /// The file was made by another version of the converter.
    #[error(
        "weight file version {found} is not supported: this library reads versions up to {expected}; convert the model again"
    )]
    Version {
        /// The newest version this library reads.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// The file ends early or a length points outside it.
    #[error("weight file is damaged at byte {at}: needs {needed} bytes, {available} are left")]
    Truncated {
        /// Offset in the file.
        at: usize,
        /// Bytes that should follow.
        needed: usize,
        /// Bytes that do follow.
        available: usize,
    },
    /// The contents do not match their checksum.
    #[error(
        "weight file is damaged: checksum {found:#010x}, expected {expected:#010x}; fetch or convert it again"
    )]
    Checksum {
        /// Checksum in the file.
        expected: u32,
        /// Checksum of the bytes.
        found: u32,
    },
    /// A field of the file cannot be read.
    #[error("weight file is damaged at byte {at}: {what}")]
    Malformed {
        /// Offset in the file.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A tensor that the model needs is not in the file.
    #[error("weight file has no tensor `{name}`: it belongs to another model")]
    MissingTensor {
        /// The tensor.
        name: &'static str,
    },
    /// A tensor holds another type of values than the model needs.
    #[error("tensor `{name}` holds {found}, expected {expected}: it belongs to another model")]
    TensorType {
        /// The tensor.
        name: &'static str,
        /// The type the model needs.
        expected: &'static str,
        /// The type in the file.
        found: &'static str,
    },
    /// A tensor has another shape than the model needs.
    #[error(
        "tensor `{name}` has shape {found:?}, expected {expected:?}: it belongs to another model"
    )]
    Shape {
        /// The tensor.
        name: &'static str,
        /// The shape the model needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// Thresholds belong to another model than the one in use.
    #[error(
        "these thresholds were measured with the model of sha256 {}, not {}: use the table of that model",
        hex(expected),
        hex(found)
    )]
    OtherModel {
        /// SHA-256 of the model they were measured with.
        expected: [u8; 32],
        /// SHA-256 of the model in use.
        found: [u8; 32],
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{name}` holds a value that is not a finite number")]
    NotFinite {
        /// The tensor.
        name: &'static str,
    },
    /// The kernel level that was asked for cannot run on this machine.
    #[error("kernel level {level} is not available on this machine")]
    KernelLevel {
        /// The level.
        level: &'static str,
    },
    /// The audio has another rate than the model listens at.
    #[error("the model listens at {expected} Hz, the audio has {found} Hz: resample it")]
    SampleRate {
        /// The model's rate in Hz.
        expected: u32,
        /// The audio's rate in Hz.
        found: u32,
    },
    /// The model does not reproduce its reference probabilities on this machine.
    #[error(
        "self-test failed at window {window}: probability {found}, expected {expected}; please report this machine"
    )]
    SelfTest {
        /// The window of the embedded signal.
        window: usize,
        /// Reference probability.
        expected: f32,
        /// What this machine computed.
        found: f32,
    },
    /// A model outside this library failed.
    #[error("{what}")]
    Run {
        /// What it says.
        what: String,
    },
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
