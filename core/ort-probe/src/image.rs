//! What a library's file says about itself, read before any of its code runs.
//!
//! The system's loader trusts the file: one that was cut off in a download is mapped all the same and kills the process with a bus
//! error at the first missing page. And opening any library runs its initialisers, so one that cannot be ONNX Runtime is better
//! refused unopened. Only ELF is read; the loaders of Windows and macOS check lengths and signatures themselves.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Why a file is not worth opening.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is no shared library, or its headers make no sense.
    NotALibrary,
    /// It is for another kind of processor.
    OtherMachine,
    /// It ends before `needed` bytes.
    Truncated { needed: u64 },
    /// The name is not among its symbols.
    NoSymbol,
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Headers point past the end: the ranges of the segments have been checked, so the headers are nonsense.
            io::ErrorKind::UnexpectedEof => Self::NotALibrary,
            _ => Self::Unreadable(error),
        }
    }
}

/// The longest table of names that is read: ONNX Runtime's has 50 KB.
const MAX_NAMES: u64 = 64 << 20;
/// Machine numbers of the ELF specification for the processors that can be told apart; 0 stands for any.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else {
    0
};

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn read(file: &mut File, at: u64, len: usize) -> Result<Vec<u8>, Flaw> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A part of the file that is mapped, or describes what is.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    len: u64,
}

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const STRING_TABLE: u64 = 5;
const STRING_TABLE_LEN: u64 = 10;

/// Whether a 64-bit little-endian ELF file is whole, for this processor, and knows the name `symbol`.
pub(crate) fn inspect(file: &mut File, symbol: &str) -> Result<(), Flaw> {
    let len = file.metadata()?.len();
    let header = read(file, 0, 64)?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return Err(Flaw::NotALibrary);
    }
    if MACHINE != 0 && u16_at(&header, 18) != MACHINE {
        return Err(Flaw::OtherMachine);
    }
    let (entry, count) = (usize::from(u16_at(&header, 54)), u16_at(&header, 56));
    if entry < 56 {
        return Err(Flaw::NotALibrary);
    }
    let table = read(file, u64_at(&header, 32), entry * usize::from(count))?;
    let segments: Vec<Segment> = table
        .chunks_exact(entry)
        .map(|segment| Segment {
            kind: u32::from(u16_at(segment, 0)) | u32::from(u16_at(segment, 2)) << 16,
            offset: u64_at(segment, 8),
            address: u64_at(segment, 16),
            len: u64_at(segment, 32),
        })
        .collect();
    let loaded = || segments.iter().filter(|segment| segment.kind == LOAD);
    let needed = loaded().map(|segment| segment.offset.saturating_add(segment.len));
    match needed.max() {
        None => return Err(Flaw::NotALibrary),
        Some(needed) if needed > len => return Err(Flaw::Truncated { needed }),
        Some(_) => {}
    }

    let dynamic = segments.iter().find(|segment| segment.kind == DYNAMIC);
    let dynamic = dynamic.ok_or(Flaw::NotALibrary)?;
    if dynamic.len > len {
        return Err(Flaw::NotALibrary);
    }
    let entries = read(file, dynamic.offset, dynamic.len as usize)?;
    let value = |tag| {
        let mut entries = entries.chunks_exact(16);
        entries
            .find(|entry| u64_at(entry, 0) == tag)
            .map(|entry| u64_at(entry, 8))
    };
    let (Some(names), Some(names_len)) = (value(STRING_TABLE), value(STRING_TABLE_LEN)) else {
        return Err(Flaw::NotALibrary);
    };
    let offset = loaded()
        .filter(|segment| names >= segment.address && names - segment.address < segment.len)
        .map(|segment| segment.offset + (names - segment.address))
        .next()
        .ok_or(Flaw::NotALibrary)?;
    if names_len > MAX_NAMES {
        return Err(Flaw::NotALibrary);
    }
    let names = read(file, offset, names_len as usize)?;
    if names
        .split(|byte| *byte == 0)
        .any(|name| name == symbol.as_bytes())
    {
        Ok(())
    } else {
        Err(Flaw::NoSymbol)
    }
}
