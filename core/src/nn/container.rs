//! The weight container: named tensors of `f32` or `i8` under a checksum. `models/container.py` writes it and
//! describes it byte by byte.

use crate::error::ModelError;

const MAGIC: [u8; 8] = *b"LKWEIGHT";
/// Version 1 holds `f32` only, version 2 says the type of each tensor.
const VERSION: u32 = 2;
/// The checksum covers everything from here on.
const BODY: usize = 16;
const MAX_DIMENSIONS: usize = 4;

/// A parsed weight file: borrows the bytes, holds where each tensor is.
///
/// Nothing in the bytes is trusted: every length and offset is checked before it is used.
#[derive(Debug)]
pub struct Container<'a> {
    tensors: Vec<Tensor<'a>>,
}

#[derive(Debug)]
struct Tensor<'a> {
    name: &'a str,
    values: Type,
    shape: Vec<usize>,
    data: &'a [u8],
}

/// What a tensor's values are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    F32,
    I8,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I8 => "i8",
        }
    }

    /// Bytes of one value.
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I8 => 1,
        }
    }
}

impl<'a> Container<'a> {
    /// Reads the table of a weight file and checks it whole.
    ///
    /// # Errors
    /// [`ModelError`] when the bytes are not a weight file of a known version or are damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut reader = Reader { bytes, at: 0 };
        let mut found = [0; 8];
        let start = &bytes[..bytes.len().min(8)];
        found[..start.len()].copy_from_slice(start);
        if found != MAGIC {
            return Err(ModelError::Magic {
                expected: MAGIC,
                found,
            });
        }
        reader.take(8)?;
        let version = reader.u32()?;
        if !(1..=VERSION).contains(&version) {
            return Err(ModelError::Version {
                expected: VERSION,
                found: version,
            });
        }
        let expected = reader.u32()?;
        let len = reader.u32()? as usize;
        if len > bytes.len() {
            return Err(ModelError::Truncated {
                at: bytes.len(),
                needed: len - bytes.len(),
                available: 0,
            });
        }
        if len < bytes.len() {
            return Err(ModelError::Malformed {
                at: len,
                what: "bytes follow the end of the file",
            });
        }
        let found = crc32(&bytes[BODY..]);
        if found != expected {
            return Err(ModelError::Checksum { expected, found });
        }
        let count = reader.u32()?;
        // Grows with what is really there: a wild count must not reserve memory.
        let mut tensors: Vec<Tensor<'a>> = Vec::new();
        for _ in 0..count {
            let at = reader.at;
            let tensor = reader.tensor(version)?;
            if tensors.iter().any(|other| other.name == tensor.name) {
                return Err(ModelError::Malformed {
                    at,
                    what: "two tensors have the same name",
                });
            }
            tensors.push(tensor);
        }
        Ok(Self { tensors })
    }

    /// Names of the tensors, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.tensors.iter().map(|tensor| tensor.name)
    }

    /// The values of an `f32` tensor, row-major, all of them finite.
    ///
    /// # Errors
    /// [`ModelError`] when there is no tensor of that name, type and shape, or a value is not finite.
    pub fn tensor(&self, name: &'static str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.find(name, Type::F32, shape)?;
        let (values, _) = tensor.data.as_chunks::<4>();
        let values: Vec<f32> = values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(ModelError::NotFinite { name })
        }
    }

    /// The values of an `i8` tensor, row-major: the file's own bytes, not a copy.
    ///
    /// # Errors
    /// [`ModelError`] when there is no tensor of that name, type and shape.
    pub fn tensor_i8(&self, name: &'static str, shape: &[usize]) -> Result<&'a [i8], ModelError> {
        let tensor = self.find(name, Type::I8, shape)?;
        Ok(listenkit_kernels::as_signed(tensor.data))
    }

    fn find(
        &self,
        name: &'static str,
        values: Type,
        shape: &[usize],
    ) -> Result<&Tensor<'a>, ModelError> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.ok_or(ModelError::MissingTensor { name })?;
        if tensor.values != values {
            return Err(ModelError::TensorType {
                name,
                expected: values.name(),
                found: tensor.values.name(),
            });
        }
        if tensor.shape != shape {
            return Err(ModelError::Shape {
                name,
                expected: shape.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        Ok(tensor)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ModelError> {
        let taken = slice(self.bytes, self.at, len)?;
        self.at += len;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, ModelError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, ModelError> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn tensor(&mut self, version: u32) -> Result<Tensor<'a>, ModelError> {
        let name_at = self.at;
        let name_len = self.u16()?.into();
        let name =
            core::str::from_utf8(self.take(name_len)?).map_err(|_| ModelError::Malformed {
                at: name_at,
                what: "a tensor's name is not UTF-8",
            })?;
        let type_at = self.at;
        let values = match version {
            1 => Type::F32,
            _ => match self.u8()? {
                0 => Type::F32,
                1 => Type::I8,
                _ => {
                    return Err(ModelError::Malformed {
                        at: type_at,
                        what: "a tensor's values are of an unknown type",
                    });
                }
            },
        };
        let shape_at = self.at;
        let dimensions = usize::from(self.u8()?);
        if dimensions > MAX_DIMENSIONS {
            return Err(ModelError::Malformed {
                at: shape_at,
                what: "a tensor has more than 4 dimensions",
            });
        }
        let shape = (0..dimensions)
            .map(|_| Ok(self.u32()? as usize))
            .collect::<Result<Vec<usize>, ModelError>>()?;
        let len = shape
            .iter()
            .try_fold(values.size(), |len, dimension| len.checked_mul(*dimension));
        let len = len.ok_or(ModelError::Malformed {
            at: shape_at,
            what: "a tensor's shape is too large",
        })?;
        let offset = self.u32()? as usize;
        if offset < self.at {
            return Err(ModelError::Malformed {
                at: self.at - 4,
                what: "a tensor lies inside the table",
            });
        }
        Ok(Tensor {
            name,
            values,
            shape,
            data: slice(self.bytes, offset, len)?,
        })
    }
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], ModelError> {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.get(..len).ok_or(ModelError::Truncated {
        at,
        needed: len,
        available: rest.len(),
    })
}

/// Bytes that the checksum takes at a step: the more, the less each waits for the one before.
const STEP: usize = 16;

/// CRC-32 of zlib (IEEE 802.3, reflected), sixteen bytes per step: the file is checked at each load, and a byte per
/// step would take longer than all the rest of it.
fn crc32(bytes: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; STEP] = tables();
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let mut crc = !0u32;
    for step in steps {
        let mut step = *step;
        for (byte, carried) in step.iter_mut().zip(crc.to_le_bytes()) {
            *byte ^= carried;
        }
        crc = 0;
        for (i, byte) in step.into_iter().enumerate() {
            crc ^= TABLES[STEP - 1 - i][usize::from(byte)];
        }
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    !crc
}

/// `TABLES[n][b]`: the CRC of byte `b` followed by `n` zero bytes.
const fn tables() -> [[u32; 256]; STEP] {
    let mut tables = [[0u32; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < STEP {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[n - 1][byte];
            tables[n][byte] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container as the converter writes it, with one tensor.
    fn build(name: &[u8], shape: &[u32], offset: u32, data: &[f32]) -> Vec<u8> {
        let data: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        build_version(1, &[], name, shape, offset, &data)
    }

    /// The same in version 2, which says the type: 0 for `f32`, 1 for `i8`.
    fn build_typed(values: u8, name: &[u8], shape: &[u32], data: &[u8]) -> Vec<u8> {
        build_version(2, &[values], name, shape, 64, data)
    }

    fn build_version(
        version: u32,
        values: &[u8],
        name: &[u8],
        shape: &[u32],
        offset: u32,
        data: &[u8],
    ) -> Vec<u8> {
        let mut table = Vec::new();
        table.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
        table.extend(name);
        table.extend(values);
        table.push(u8::try_from(shape.len()).expect("short"));
        shape.iter().for_each(|d| table.extend(d.to_le_bytes()));
        table.extend(offset.to_le_bytes());
        assert!(24 + table.len() <= 64);
        let mut body = 0u32.to_le_bytes().to_vec();
        body.extend(1u32.to_le_bytes());
        body.extend(table);
        body.resize(64 - BODY, 0);
        body.extend(data);
        let len = u32::try_from(body.len() + BODY).expect("short");
        body[..4].copy_from_slice(&len.to_le_bytes());
        let mut file = MAGIC.to_vec();
        file.extend(version.to_le_bytes());
        file.extend(crc32(&body).to_le_bytes());
        file.extend(body);
        file
    }

    fn reseal(file: &mut [u8]) {
        let crc = crc32(&file[BODY..]);
        file[12..16].copy_from_slice(&crc.to_le_bytes());
    }

    #[test]
    fn crc_matches_the_published_check_value_at_every_alignment() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        let bytes: Vec<u8> = (0..100u8).collect();
        for len in 0..bytes.len() {
            // The definition, bit by bit.
            let mut crc = !0u32;
            for byte in &bytes[..len] {
                crc ^= u32::from(*byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 {
                        (crc >> 1) ^ 0xedb8_8320
                    } else {
                        crc >> 1
                    };
                }
            }
            assert_eq!(crc32(&bytes[..len]), !crc, "{len} bytes");
        }
    }

    #[test]
    fn a_tensor_comes_back_with_its_shape() {
        let file = build(b"w", &[2, 3], 64, &[1.0, -2.0, 3.5, 4.0, 5.0, 6.0]);
        let container = Container::parse(&file).expect("a sound file");
        assert_eq!(container.names().collect::<Vec<_>>(), ["w"]);
        assert_eq!(
            container.tensor("w", &[2, 3]).expect("is there"),
            [1.0, -2.0, 3.5, 4.0, 5.0, 6.0]
        );
        let shape = ModelError::Shape {
            name: "w",
            expected: vec![3, 2],
            found: vec![2, 3],
        };
        assert_eq!(container.tensor("w", &[3, 2]), Err(shape));
        assert_eq!(
            container.tensor("v", &[2, 3]),
            Err(ModelError::MissingTensor { name: "v" })
        );
    }

    #[test]
    fn bytes_come_back_signed_and_uncopied() {
        let file = build_typed(1, b"w", &[2, 3], &[0, 1, 127, 128, 129, 255]);
        let container = Container::parse(&file).expect("a sound file");
        let values = container.tensor_i8("w", &[2, 3]).expect("is there");
        assert_eq!(values, [0, 1, 127, -128, -127, -1]);
        assert!(core::ptr::eq(values.as_ptr().cast(), &raw const file[64]));
        assert!(matches!(
            container.tensor_i8("w", &[6]),
            Err(ModelError::Shape { .. })
        ));
        assert_eq!(
            container.tensor_i8("v", &[2, 3]),
            Err(ModelError::MissingTensor { name: "v" })
        );
    }

    #[test]
    fn a_tensor_of_another_type_is_named() {
        let bytes = build_typed(1, b"w", &[4], &[0; 4]);
        let bytes = Container::parse(&bytes).expect("sound");
        let error = ModelError::TensorType {
            name: "w",
            expected: "f32",
            found: "i8",
        };
        assert_eq!(bytes.tensor("w", &[4]), Err(error.clone()));
        assert_eq!(
            error.to_string(),
            "tensor `w` holds i8, expected f32: it belongs to another model"
        );
        // Version 1 has no types and version 2 may say f32: both are floats.
        for floats in [
            build(b"w", &[1], 64, &[1.5]),
            build_typed(0, b"w", &[1], &1.5f32.to_le_bytes()),
        ] {
            let floats = Container::parse(&floats).expect("sound");
            assert_eq!(floats.tensor("w", &[1]), Ok(vec![1.5]));
            assert!(matches!(
                floats.tensor_i8("w", &[1]),
                Err(ModelError::TensorType { found: "f32", .. })
            ));
        }
        assert!(matches!(
            Container::parse(&build_typed(2, b"w", &[1], &[0; 4])),
            Err(ModelError::Malformed { at: 27, .. })
        ));
    }

    #[test]
    fn every_kind_of_damage_is_named() {
        let parse = |file: &[u8]| Container::parse(file).map(|_| ()).expect_err("damaged");
        let sound = build(b"w", &[1], 64, &[1.0]);
        assert!(matches!(
            parse(b""),
            ModelError::Magic { found: [0, ..], .. }
        ));
        assert!(matches!(parse(b"RIFF....WAVE"), ModelError::Magic { .. }));
        for version in [0, 3] {
            let mut file = sound.clone();
            file[8] = version;
            let found = u32::from(version);
            assert_eq!(parse(&file), ModelError::Version { expected: 2, found });
        }
        assert!(matches!(
            parse(&sound[..67]),
            ModelError::Truncated { needed: 1, .. }
        ));
        let mut file = sound.clone();
        file.push(0);
        assert!(matches!(parse(&file), ModelError::Malformed { at: 68, .. }));
        for at in BODY + 4..sound.len() {
            let mut file = sound.clone();
            file[at] ^= 0x10;
            assert!(
                matches!(parse(&file), ModelError::Checksum { .. }),
                "byte {at}"
            );
        }
        // Sealed lies.
        assert!(matches!(
            parse(&build(b"w", &[2], 64, &[1.0])),
            ModelError::Truncated {
                needed: 8,
                available: 4,
                ..
            }
        ));
        assert!(matches!(
            parse(&build(b"w", &[1], 24, &[1.0])),
            ModelError::Malformed { .. }
        ));
        assert!(matches!(
            parse(&build(b"w", &[1], 1 << 31, &[1.0])),
            ModelError::Truncated { available: 0, .. }
        ));
        assert!(matches!(
            parse(&build(b"w", &[u32::MAX; 4], 64, &[])),
            ModelError::Malformed { .. }
        ));
        assert!(matches!(
            parse(&build(b"w", &[1; 5], 64, &[1.0])),
            ModelError::Malformed { .. }
        ));
        assert!(matches!(
            parse(&build(b"\xff", &[1], 64, &[1.0])),
            ModelError::Malformed { .. }
        ));
        let mut file = sound.clone();
        file[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        reseal(&mut file);
        assert!(Container::parse(&file).is_err());
        let nan = build(b"w", &[1], 64, &[f32::NAN]);
        let container = Container::parse(&nan).expect("well formed");
        assert_eq!(
            container.tensor("w", &[1]),
            Err(ModelError::NotFinite { name: "w" })
        );
    }

    #[test]
    fn resealed_random_damage_never_panics() {
        let sound = [
            build(b"8k/output.bias", &[1], 64, &[1.0]),
            build_typed(1, b"x", &[1], &[7]),
        ];
        let mut state = 0x2545_f491_4f6c_dd1du64;
        for round in 0..20_000 {
            let mut file = sound[round % 2].clone();
            for _ in 0..1 + state % 4 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = BODY + 4 + (state >> 8) as usize % (file.len() - BODY - 4);
                file[at] = (state >> 40) as u8;
            }
            reseal(&mut file);
            super::super::fuzzing::container(&file);
            super::super::fuzzing::container(&file[..(state >> 20) as usize % file.len()]);
        }
    }
}
