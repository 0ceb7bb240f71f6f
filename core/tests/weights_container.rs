//! Weight files that are not this model's, or not whole.
#![cfg(feature = "embedded-models")]

use listenkit::ModelError;
use listenkit::nn::Container;
use listenkit::vad::{KernelLevel, SileroVad, VadRate};

fn load(bytes: &[u8]) -> Result<SileroVad, ModelError> {
    SileroVad::from_bytes(bytes, VadRate::Hz16000, KernelLevel::Portable)
}

/// zlib's CRC-32, bit by bit, to seal a file again after a change.
fn reseal(file: &mut [u8]) {
    let mut crc = !0u32;
    for byte in &file[16..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    file[12..16].copy_from_slice(&(!crc).to_le_bytes());
}

#[test]
fn the_embedded_file_holds_both_rates_and_nothing_else() {
    let container = Container::parse(listenkit_models::SILERO_VAD).expect("sound");
    let names: Vec<&str> = container.names().collect();
    assert_eq!(names.len(), 28);
    assert_eq!(
        names.iter().filter(|name| name.starts_with("16k/")).count(),
        14
    );
    assert_eq!(
        names.iter().filter(|name| name.starts_with("8k/")).count(),
        14
    );
}

#[cfg(feature = "embedded-smart-turn")]
#[test]
fn smart_turn_is_int8_with_a_scale_per_row_and_is_no_vad() {
    let bytes = listenkit_models::SMART_TURN;
    let container = Container::parse(bytes).expect("sound");
    assert_eq!(container.names().count(), 110);
    let scales: Vec<&str> = container.names().filter(|n| n.ends_with("scale")).collect();
    assert_eq!(scales.len(), 31);
    // Two values of the ONNX file, read with the onnx package: the first of `val_17_quantized`, which lies there as [in, out].
    let query = container.tensor_i8("layers.0.attention.query.weight", &[384, 384]);
    let query = query.expect("is there");
    assert_eq!((query[0], query[384]), (-6, 0));
    let error = load(bytes).map(drop).expect_err("not a VAD").to_string();
    assert!(error.contains("belongs to another model"), "{error}");
    let vad = Container::parse(listenkit_models::SILERO_VAD).expect("sound");
    let error = vad.tensor_i8("conv1.weight", &[384, 80, 3]).err();
    let missing = ModelError::MissingTensor {
        name: "conv1.weight",
    };
    assert_eq!(error, Some(missing));
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = listenkit_models::SILERO_VAD;
    for len in (0..2048).chain((2048..bytes.len()).step_by(65_537)) {
        assert!(load(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_flipped_bit_is_a_checksum_error() {
    for at in (16..listenkit_models::SILERO_VAD.len()).step_by(200_003) {
        let mut bytes = listenkit_models::SILERO_VAD.to_vec();
        bytes[at] ^= 4;
        // The file's own length comes first; elsewhere the checksum speaks.
        assert!(load(&bytes).is_err(), "byte {at}");
        if at >= 20 {
            assert!(
                matches!(load(&bytes), Err(ModelError::Checksum { .. })),
                "byte {at}"
            );
        }
    }
}

#[test]
fn another_models_tensors_are_named_in_the_error() {
    let mut bytes = listenkit_models::SILERO_VAD.to_vec();
    let at = bytes
        .windows(16)
        .position(|w| w == b"16k/encoder.0.bi")
        .expect("is there");
    bytes[at] = b'4';
    reseal(&mut bytes);
    assert_eq!(
        load(&bytes).err(),
        Some(ModelError::MissingTensor {
            name: "16k/encoder.0.bias"
        })
    );

    let mut bytes = listenkit_models::SILERO_VAD.to_vec();
    let shape = at + "16k/encoder.0.bias".len() + 1;
    bytes[shape..shape + 4].copy_from_slice(&127u32.to_le_bytes());
    reseal(&mut bytes);
    let expected = ModelError::Shape {
        name: "16k/encoder.0.bias",
        expected: vec![128],
        found: vec![127],
    };
    assert_eq!(load(&bytes).err(), Some(expected));
}

#[test]
fn a_weight_that_is_not_a_number_is_an_error() {
    let mut bytes = listenkit_models::SILERO_VAD.to_vec();
    let at = bytes
        .windows(18)
        .position(|w| w == b"16k/encoder.0.bias")
        .expect("is there")
        + 18;
    let offset = u32::from_le_bytes(bytes[at + 5..at + 9].try_into().expect("4 bytes")) as usize;
    bytes[offset + 8..offset + 12].copy_from_slice(&f32::INFINITY.to_le_bytes());
    reseal(&mut bytes);
    assert_eq!(
        load(&bytes).err(),
        Some(ModelError::NotFinite {
            name: "16k/encoder.0.bias"
        })
    );
}

#[test]
fn a_level_this_machine_lacks_is_an_error() {
    let missing = if cfg!(target_arch = "aarch64") {
        KernelLevel::Avx2
    } else {
        KernelLevel::Neon
    };
    let result = SileroVad::embedded_at(VadRate::Hz16000, missing);
    assert_eq!(
        result.err(),
        Some(ModelError::KernelLevel {
            level: missing.name()
        })
    );
}

#[test]
fn self_test_notices_other_weights() {
    let mut bytes = listenkit_models::SILERO_VAD.to_vec();
    let at = bytes
        .windows(15)
        .position(|w| w == b"16k/output.bias")
        .expect("is there")
        + 15;
    let offset = u32::from_le_bytes(bytes[at + 5..at + 9].try_into().expect("4 bytes")) as usize;
    let bias = f32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("4 bytes"));
    bytes[offset..offset + 4].copy_from_slice(&(bias + 0.01).to_le_bytes());
    reseal(&mut bytes);
    let vad = load(&bytes).expect("loads");
    assert!(matches!(
        vad.self_test(),
        Err(ModelError::SelfTest { window: 0, .. })
    ));
}

#[test]
fn fuzz_body_survives_damage_to_the_real_table() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let tables = [
        listenkit_models::SILERO_VAD,
        #[cfg(feature = "embedded-smart-turn")]
        listenkit_models::SMART_TURN,
    ];
    for round in 0..5_000 {
        let mut bytes = tables[round % tables.len()][..2048].to_vec();
        // A short file whose length field agrees, so that the table itself is read.
        bytes[16..20].copy_from_slice(&2048u32.to_le_bytes());
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = 20 + (state >> 16) as usize % 1200;
            bytes[at] = (state >> 48) as u8;
        }
        reseal(&mut bytes);
        listenkit::nn::fuzzing::container(&bytes);
    }
}

#[cfg(feature = "embedded-smart-turn")]
#[test]
fn smart_turn_with_damage_that_was_sealed_again_is_an_error_or_answers() {
    use listenkit::{Precision, SmartTurn};
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let good = listenkit_models::SMART_TURN;
    let (mut refused, mut answered) = (0, 0);
    for round in 0..12 {
        let mut bytes = good.to_vec();
        // The table, then the values: scales that become enormous, weights that are others.
        let (from, reach, times) = if round < 6 {
            (24, 4000, 1)
        } else {
            (8192, good.len() - 8192, 2000)
        };
        for _ in 0..times {
            bytes[from + random(reach)] = random(256) as u8;
        }
        reseal(&mut bytes);
        match SmartTurn::from_bytes_at(&bytes, Precision::Fast, KernelLevel::Portable) {
            Err(error) => refused += usize::from(!error.to_string().is_empty()),
            Ok(_) => {
                let level = SmartTurn::embedded(Precision::Fast).expect("embedded");
                let level = level.kernel_level();
                let damaged = SmartTurn::from_bytes_at(&bytes, Precision::Fast, level);
                let mut session = damaged.expect("it did load").session();
                session.probability_of_audio(&[0.25; 16_000], &[]);
                answered += 1;
            }
        }
    }
    assert!(refused > 0 && answered > 0, "{refused} and {answered}");
}
