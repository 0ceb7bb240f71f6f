//! What can be known of an Opus packet without decoding it (RFC 6716, section 3).

/// Longest packet that is looked at, in bytes: what an Ethernet frame carries.
pub(crate) const LONGEST: usize = 1_500;

/// Most that one packet may last: 120 ms, in ticks of 1/48000 s.
pub(crate) const LONGEST_TICKS: u32 = 5_760;

/// Longest frame in a packet, in bytes (RFC 6716, section 3.4, R2).
const LONGEST_FRAME: usize = 1_275;

/// A packet that keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How long it lasts, in ticks of 1/48000 s.
    pub(crate) ticks: u32,
    /// How long one of its frames lasts.
    pub(crate) frame_ticks: u32,
    /// It says only that there is silence: the sender pauses (discontinuous transmission).
    pub(crate) pause: bool,
    /// It has a coarse copy of what came before it (in-band FEC).
    pub(crate) spare: bool,
}

/// Of one frame, in ticks of 1/48000 s (RFC 6716, table 2).
fn frame_ticks(toc: u8) -> u32 {
    let config = toc >> 3;
    match config {
        0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    }
}

/// The length at the front of `bytes` and the bytes it takes (RFC 6716, section 3.2.1).
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [first, ..] if first < 252 => Some((usize::from(first), 1)),
        [first, second, ..] => Some((usize::from(first) + 4 * usize::from(second), 2)),
        _ => None,
    }
}

/// The shape of a packet, or `None` if it breaks a rule of RFC 6716, section 3.4.
pub(crate) fn shape(payload: &[u8]) -> Option<Shape> {
    let (&toc, rest) = payload.split_first()?;
    if payload.len() > LONGEST {
        return None;
    }
    let (frames, first) = match toc & 3 {
        0 => (1, rest),
        1 => (
            2,
            rest.split_at_checked(rest.len() / 2)
                .filter(|_| rest.len() % 2 == 0)?
                .0,
        ),
        2 if rest.is_empty() => (2, rest),
        2 => {
            let (len, used) = length(rest)?;
            let (first, second) = rest[used..].split_at_checked(len)?;
            if second.len() > LONGEST_FRAME {
                return None;
            }
            (2, first)
        }
        _ => many(rest)?,
    };
    let frame_ticks = frame_ticks(toc);
    let ticks = frames * frame_ticks;
    if first.len() > LONGEST_FRAME || ticks > LONGEST_TICKS {
        return None;
    }
    Some(Shape {
        ticks,
        frame_ticks,
        pause: payload.len() <= 2,
        spare: has_spare(toc, first),
    })
}

/// How many frames a packet of code 3 has, and the first of them.
fn many(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (&count, mut rest) = rest.split_first()?;
    let (variable, padded, frames) = (
        count & 0x80 != 0,
        count & 0x40 != 0,
        usize::from(count & 0x3f),
    );
    // Not more than 48: the longest packet has so many of the shortest frames.
    if !(1..=48).contains(&frames) {
        return None;
    }
    if padded {
        let mut padding = 0;
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            match byte {
                255 => padding += 254,
                byte => {
                    padding += usize::from(byte);
                    break;
                }
            }
        }
        rest = rest.get(..rest.len().checked_sub(padding)?)?;
    }
    if !variable {
        let each = rest.len() / frames;
        return (rest.len() % frames == 0).then(|| (frames as u32, &rest[..each]));
    }
    let (mut lengths, mut at) = ([0; 48], 0);
    for slot in &mut lengths[..frames - 1] {
        let (len, used) = length(&rest[at..])?;
        (*slot, at) = (len, at + used);
        if len > LONGEST_FRAME {
            return None;
        }
    }
    let told: usize = lengths[..frames - 1].iter().sum();
    let last = (rest.len() - at).checked_sub(told)?;
    if last > LONGEST_FRAME {
        return None;
    }
    let first = if frames == 1 { last } else { lengths[0] };
    Some((frames as u32, &rest[at..at + first]))
}

/// Whether the low band of the first frame carries the one before it: the bit after the voice flags of the frame's 20 ms parts (RFC 6716, sections 4.2.3 and 4.2.4).
/// Of stereo the first channel is asked.
fn has_spare(toc: u8, frame: &[u8]) -> bool {
    let parts = match toc >> 3 {
        config @ 0..12 => [1, 1, 2, 3][usize::from(config & 3)],
        12..16 => 1,
        _ => return false,
    };
    frame.len() > 1 && frame[0] >> (7 - parts) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(payload: &[u8]) -> Option<u32> {
        shape(payload).map(|shape| shape.ticks)
    }

    #[test]
    fn durations_are_those_of_the_standard() {
        // Configurations and codes by hand from RFC 6716, section 3.1.
        assert_eq!(ticks(&[0x00, 1, 2]), Some(480)); // SILK, 10 ms
        assert_eq!(ticks(&[0x18, 1, 2]), Some(2_880)); // SILK, 60 ms
        assert_eq!(ticks(&[0x60, 1, 2]), Some(480)); // hybrid, 10 ms
        assert_eq!(ticks(&[0x78, 1, 2]), Some(960)); // hybrid, 20 ms
        assert_eq!(ticks(&[0x80, 1, 2]), Some(120)); // CELT, 2.5 ms
        assert_eq!(ticks(&[0xf9, 1, 2]), Some(1_920)); // two of 20 ms
        assert_eq!(ticks(&[0xfb, 6, 1, 2, 3, 4, 5, 6]), Some(5_760)); // six of 20 ms
        assert_eq!(ticks(&[0xf8]), Some(960)); // nothing but the first byte
    }

    #[test]
    fn broken_packets_have_no_shape() {
        assert_eq!(ticks(&[]), None);
        assert_eq!(ticks(&[0xf9, 1]), None, "two equal frames of half a byte");
        assert_eq!(ticks(&[0xfa, 5, 1]), None, "a first frame beyond the end");
        assert_eq!(ticks(&[0xfb]), None, "no count");
        assert_eq!(ticks(&[0xfb, 0]), None, "no frames");
        assert_eq!(ticks(&[0xfb, 7, 0, 0, 0, 0, 0, 0, 0]), None, "140 ms");
        assert_eq!(
            ticks(&[0xfb, 2, 0, 0, 0]),
            None,
            "two equal frames of 3 bytes"
        );
        assert_eq!(ticks(&[0xfb, 0x41, 255]), None, "padding without end");
        assert_eq!(ticks(&[0xfb, 0x41, 9, 0]), None, "padding beyond the end");
        assert_eq!(ticks(&vec![0xf8; 1_277]), None, "a frame of 1276 bytes");
    }

    #[test]
    fn pauses_are_told_from_audio() {
        assert!(shape(&[0x78]).is_some_and(|shape| shape.pause));
        assert!(shape(&[0x78, 0]).is_some_and(|shape| shape.pause));
        assert!(shape(&[0x78, 0, 0]).is_some_and(|shape| !shape.pause));
    }
}
