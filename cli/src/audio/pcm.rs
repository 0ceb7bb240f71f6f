//! Little-endian PCM as values.

use listenkit::SampleFormat;

use super::Buffer;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Silence is 128.
    U8,
    I16,
    I24,
    /// The lower three of four bytes.
    I24In32,
    I32,
    F32,
}

impl Coding {
    /// Bytes of one value.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I24In32 | Self::I32 | Self::F32 => 4,
        }
    }

    /// 16-bit integers stay; all else is read as floats.
    pub(super) const fn sample_format(self) -> SampleFormat {
        match self {
            Self::I16 => SampleFormat::I16,
            _ => SampleFormat::F32,
        }
    }

    /// Replaces what is in `to`, which is of this coding's kind; bytes that make no whole value are left out.
    pub(super) fn decode(self, bytes: &[u8], to: &mut Buffer) {
        match (self, to) {
            (Self::U8, Buffer::F32(to)) => {
                replace(to, bytes, |[b]| (f32::from(b) - 128.0) / 128.0);
            }
            (Self::I16, Buffer::I16(to)) => replace(to, bytes, i16::from_le_bytes),
            (Self::I24, Buffer::F32(to)) => replace(to, bytes, |[a, b, c]| from_i24(a, b, c)),
            (Self::I24In32, Buffer::F32(to)) => {
                replace(to, bytes, |[a, b, c, _]| from_i24(a, b, c));
            }
            (Self::I32, Buffer::F32(to)) => replace(to, bytes, |b| from_i32(i32::from_le_bytes(b))),
            (Self::F32, Buffer::F32(to)) => replace(to, bytes, f32::from_le_bytes),
            (_, to) => {
                debug_assert!(false, "{self:?} into another kind of buffer");
                to.drop_front(to.len());
            }
        }
    }
}

/// Full scale is 2^31. Rounded once, as 32 bits do not fit into an `f32`.
fn from_i32(value: i32) -> f32 {
    value as f32 * (1.0 / 2_147_483_648.0)
}

fn from_i24(low: u8, middle: u8, high: u8) -> f32 {
    // As the upper three bytes of 32 bits, full scale is the same, and the sign is in its place.
    from_i32(i32::from_le_bytes([0, low, middle, high]))
}

fn replace<const N: usize, V>(to: &mut Vec<V>, bytes: &[u8], value: impl Fn([u8; N]) -> V) {
    to.clear();
    to.extend(bytes.as_chunks::<N>().0.iter().map(|&b| value(b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(coding: Coding, bytes: &[u8]) -> Vec<f32> {
        let mut to = Buffer::F32(vec![9.0]);
        coding.decode(bytes, &mut to);
        match to {
            Buffer::F32(values) => values,
            Buffer::I16(_) => panic!("floats"),
        }
    }

    #[test]
    fn full_scale_is_one_whatever_the_coding() {
        assert_eq!(
            floats(Coding::U8, &[0, 64, 128, 192]),
            [-1.0, -0.5, 0.0, 0.5]
        );
        assert_eq!(
            floats(Coding::I24, &[0, 0, 0x80, 0, 0, 0x40, 0xFF, 0xFF, 0xFF, 1]),
            [-1.0, 0.5, -1.0 / 8_388_608.0]
        );
        // The fourth byte is nobody's.
        assert_eq!(
            floats(Coding::I24In32, &[0, 0, 0x80, 0x55, 1, 0, 0, 0xFF]),
            [-1.0, 1.0 / 8_388_608.0]
        );
        assert_eq!(
            floats(Coding::I32, &[0, 0, 0, 0x80, 0, 0, 0, 0x20, 1, 0, 0, 0]),
            [-1.0, 0.25, 1.0 / 2_147_483_648.0]
        );
        assert_eq!(floats(Coding::F32, &(-1.5_f32).to_le_bytes()), [-1.5]);
        let mut to = Buffer::I16(vec![9]);
        Coding::I16.decode(&[0, 0x80, 0xFF, 0x7F, 3], &mut to);
        assert_eq!(to, Buffer::I16(vec![i16::MIN, i16::MAX]));
    }
}
