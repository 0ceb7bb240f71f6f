//! Model weights that listenkit may ship in any product, as bytes, with their origin.
//!
//! Each folder beside this crate's sources holds one model: weights, `MODEL.md`, licence, SHA256 and the converter that made them.

#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static SILERO_VAD_ALIGNED: &Aligned<[u8]> =
    &Aligned(*include_bytes!("../silero_vad/silero_vad.lkw"));

/// Silero VAD v6 for 16 kHz and 8 kHz, in listenkit's weight container.
pub static SILERO_VAD: &[u8] = &SILERO_VAD_ALIGNED.0;

#[cfg(feature = "smart-turn")]
static SMART_TURN_ALIGNED: &Aligned<[u8]> =
    &Aligned(*include_bytes!("../smart_turn/smart_turn.lkw"));

/// Smart Turn v3.2 for 16 kHz, in listenkit's weight container.
#[cfg(feature = "smart-turn")]
pub static SMART_TURN: &[u8] = &SMART_TURN_ALIGNED.0;

/// What a shipped model is and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Name, as printed.
    pub name: &'static str,
    /// Version of the release that the weights come from.
    pub version: &'static str,
    /// SPDX identifier of the weights' licence.
    pub licence: &'static str,
    /// Copyright line of the licence.
    pub copyright: &'static str,
    /// Where the weights come from.
    pub origin: &'static str,
    /// SHA-256 of the bytes in this crate, in hex.
    pub sha256: &'static str,
    /// SHA-256 of the file that they were converted from, in hex.
    pub source_sha256: &'static str,
}

/// Of [`SILERO_VAD`].
pub const SILERO_VAD_INFO: ModelInfo = ModelInfo {
    name: "silero_vad",
    version: "6.2.3",
    licence: "MIT",
    copyright: "Copyright (c) 2020-present Silero Team",
    origin: "silero_vad/data/silero_vad.onnx in the silero-vad 6.2.3 wheel on PyPI",
    sha256: "a1289ce00800126ffb52fa9f02b1b9824d34c47998adc9b1a784ae3329c02acf",
    source_sha256: "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
};

/// Of `SMART_TURN`.
pub const SMART_TURN_INFO: ModelInfo = ModelInfo {
    name: "smart_turn",
    version: "3.2",
    licence: "BSD-2-Clause",
    copyright: "Copyright (c) 2024-2026, Daily",
    origin: "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx in the pipecat-ai 1.14.0 wheel on PyPI",
    sha256: "eaaea4d416b89c7031632236da32e0cccddf6817e37ce8aa83089f208248ac6f",
    source_sha256: "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
};

/// Every model of this crate, as built.
pub const MODELS: &[ModelInfo] = &[
    SILERO_VAD_INFO,
    #[cfg(feature = "smart-turn")]
    SMART_TURN_INFO,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_in_the_code_is_the_hash_on_file() {
        for (model, file) in [
            (SILERO_VAD_INFO, include_str!("../silero_vad/SHA256")),
            (SMART_TURN_INFO, include_str!("../smart_turn/SHA256")),
        ] {
            assert_eq!(file.split_whitespace().next(), Some(model.sha256));
        }
    }
}
