//! Smart Turn v3.2: has the user finished, by the sound of the last eight seconds.
//!
//! The encoder of Whisper tiny over a log-mel spectrogram, attention pooling, a classifier. The weights are 8 bits wide, as
//! shipped; activations are not rounded as the shipped file rounds them, see `docs/decisions/0006-smart-turn-precision.md`.

mod attention;
mod encoder;
mod linear;
#[cfg(all(test, feature = "embedded-smart-turn"))]
mod tests;
mod weights;

use super::{ModelHash, ThresholdTable, TurnContext, TurnModel};
use crate::dsp::{LogMel, MelFeatures, MelScratch, boxed_features};
use crate::error::ModelError;
use crate::nn::Container;
use crate::units::{Probability, SampleRate};
use encoder::Workspace;
use listenkit_kernels::{KernelLevel, Level};
use std::sync::Arc;
use weights::Weights;

/// Where the makers of the model draw the line, for every language.
const MAKERS_THRESHOLD: f32 = 0.5;

/// What the matrix products are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 8-bit weights times rows rounded to 8 bits as they come, each row with a scale of its own: several times as fast.
    #[default]
    Fast,
    /// `f32` throughout: what the fast precision is measured by, and for replays.
    Exact,
}

impl Precision {
    /// Lower-case name, as printed and as accepted by [`Precision::from_name`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Exact => "exact",
        }
    }

    /// The precision of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Fast, Self::Exact]
            .into_iter()
            .find(|precision| precision.name() == name)
    }
}

/// The weights of Smart Turn v3.2. Cloning shares them; each thread that asks needs a [`SmartTurnSession`].
#[derive(Clone, Debug)]
pub struct SmartTurn {
    model: Arc<Model>,
}

#[derive(Debug)]
struct Model {
    level: Level,
    precision: Precision,
    weights: Weights,
}

impl SmartTurn {
    /// The model built into the library, at the fastest kernel level of this machine.
    ///
    /// # Errors
    /// [`ModelError`] when the embedded weights are damaged.
    #[cfg(feature = "embedded-smart-turn")]
    pub fn embedded(precision: Precision) -> Result<Self, ModelError> {
        Self::load(listenkit_models::SMART_TURN, precision, Level::detect())
    }

    /// The model built into the library, at the kernel level given, as a replay needs it.
    ///
    /// # Errors
    /// [`ModelError`] when this machine lacks the level, or the embedded weights are damaged.
    #[cfg(feature = "embedded-smart-turn")]
    pub fn embedded_at(precision: Precision, level: KernelLevel) -> Result<Self, ModelError> {
        Self::from_bytes_at(listenkit_models::SMART_TURN, precision, level)
    }

    /// The model in a weight file made by `models/smart_turn/convert.py`, at the fastest kernel level of this machine. The bytes are
    /// copied and may be dropped. The core opens no files: `SmartTurn::from_bytes(&std::fs::read(path)?, Precision::Fast)?`.
    ///
    /// # Errors
    /// [`ModelError`] when the bytes are not this model's.
    pub fn from_bytes(bytes: &[u8], precision: Precision) -> Result<Self, ModelError> {
        Self::load(bytes, precision, Level::detect())
    }

    /// The same at the kernel level given.
    ///
    /// Their checksum, names, shapes and types are checked, but no answer is computed: that would take longer than all the rest.
    ///
    /// # Errors
    /// [`ModelError`] when this machine lacks the level, or the bytes are not this model's.
    pub fn from_bytes_at(
        bytes: &[u8],
        precision: Precision,
        level: KernelLevel,
    ) -> Result<Self, ModelError> {
        let level = Level::new(level).ok_or(ModelError::KernelLevel {
            level: level.name(),
        })?;
        Self::load(bytes, precision, level)
    }

    fn load(bytes: &[u8], precision: Precision, level: Level) -> Result<Self, ModelError> {
        let container = Container::parse(bytes)?;
        let model = Model {
            level,
            precision,
            weights: Weights::load(&container, precision)?,
        };
        Ok(Self {
            model: Arc::new(model),
        })
    }

    /// The precision chosen at construction.
    pub fn precision(&self) -> Precision {
        self.model.precision
    }

    /// The kernel level chosen at construction.
    pub fn kernel_level(&self) -> KernelLevel {
        self.model.level.kind()
    }

    /// Memory to run the model with, 5 MB, on one thread at a time.
    pub fn session(&self) -> SmartTurnSession {
        let log_mel = LogMel::shared();
        SmartTurnSession {
            smart_turn: self.clone(),
            mel: log_mel.scratch(),
            log_mel,
            features: boxed_features(),
            work: Workspace::new(self.precision()),
            thresholds: ThresholdTable::new(
                ModelHash::SMART_TURN_V3_2,
                Probability::clamped(MAKERS_THRESHOLD),
            ),
        }
    }
}

/// Smart Turn with the memory for one answer at a time. The model remembers nothing from one answer to the next.
///
/// Only speech at 16 kHz will do; shorter turns than 8 s are taken to follow silence.
#[derive(Debug)]
pub struct SmartTurnSession {
    smart_turn: SmartTurn,
    log_mel: LogMel,
    mel: MelScratch,
    features: Box<MelFeatures>,
    work: Workspace,
    thresholds: ThresholdTable,
}

impl SmartTurnSession {
    /// The model that it runs.
    pub fn model(&self) -> &SmartTurn {
        &self.smart_turn
    }

    /// Replaces the thresholds, which are 0.5 for every language unless somebody says otherwise.
    ///
    /// # Errors
    /// [`ModelError`] when the table was measured with another model.
    pub fn set_thresholds(&mut self, thresholds: ThresholdTable) -> Result<(), ModelError> {
        thresholds.check(ModelHash::SMART_TURN_V3_2)?;
        self.thresholds = thresholds;
        Ok(())
    }

    /// The probability that the turn is complete, for log-mel features `[80, 800]`, band after band, as
    /// [`LogMel::features`](crate::dsp::LogMel::features) gives them.
    ///
    /// Features beyond +-64 are cut and NaN counts as 0, so that any input has an answer. Allocates nothing.
    pub fn probability(&mut self, features: &MelFeatures) -> Probability {
        self.smart_turn.model.probability(features, &mut self.work)
    }

    /// The probability that the turn is complete which the 16 kHz samples of `head` and `tail`, full scale 1.0, end with.
    ///
    /// Only the last 8 s count. Allocates nothing.
    pub fn probability_of_audio(&mut self, head: &[f32], tail: &[f32]) -> Probability {
        self.log_mel
            .features(head, tail, &mut self.mel, &mut self.features);
        self.smart_turn
            .model
            .probability(&self.features, &mut self.work)
    }
}

impl Model {
    fn probability(&self, features: &MelFeatures, work: &mut Workspace) -> Probability {
        Probability::clamped(encoder::probability(
            self.level,
            &self.weights,
            features,
            work,
        ))
    }
}

impl TurnModel for SmartTurnSession {
    fn unlikely_threshold(&self, language: Option<&str>) -> Probability {
        self.thresholds.for_tag(language)
    }

    fn end_of_turn(
        &mut self,
        context: &TurnContext<'_>,
    ) -> Result<Option<Probability>, ModelError> {
        let audio = &context.audio;
        if audio.rate != SampleRate::HZ_16000 {
            return Err(ModelError::SampleRate {
                expected: SampleRate::HZ_16000.hz(),
                found: audio.rate.hz(),
            });
        }
        if audio.is_empty() {
            return Ok(None);
        }
        audio.log_mel(&self.log_mel, &mut self.mel, &mut self.features);
        let model = &self.smart_turn.model;
        Ok(Some(model.probability(&self.features, &mut self.work)))
    }
}
