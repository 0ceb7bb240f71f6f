//! Reference recordings that are not part of the repository.

use std::path::{Path, PathBuf};

/// The corpus: `LISTENKIT_CORPUS`, or `../shared/corpus` beside the repository. Without it says that `what` is skipped.
pub fn find(what: &str) -> Option<PathBuf> {
    let path = std::env::var_os("LISTENKIT_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {what} needs the corpus (set LISTENKIT_CORPUS)");
    None
}

/// The bytes of an array in a numpy archive, little-endian as numpy wrote them, and its header.
pub fn npz(path: &Path, name: &str) -> (String, Vec<u8>) {
    let archive = std::fs::read(path).expect("a readable archive");
    let file = format!("{name}.npy");
    let header = archive
        .windows(30 + file.len())
        .find(|bytes| bytes.starts_with(b"PK\x03\x04") && bytes[30..] == *file.as_bytes())
        .unwrap_or_else(|| panic!("no {file} in {}", path.display()));
    let start = header.as_ptr().addr() - archive.as_ptr().addr();
    let extra = usize::from(u16::from_le_bytes([header[28], header[29]]));
    let data = &archive[start + 30 + file.len() + extra..];
    let array = miniz_oxide::inflate::decompress_to_vec(data).expect("deflated");
    let len = usize::from(u16::from_le_bytes([array[8], array[9]]));
    let header = String::from_utf8_lossy(&array[10..10 + len]).into_owned();
    (header, array[10 + len..].to_vec())
}

/// An array of `f32` in a numpy archive.
pub fn npz_f32(path: &Path, name: &str) -> Vec<f32> {
    let (header, bytes) = npz(path, name);
    assert!(
        header.contains("'<f4'") && header.contains("'fortran_order': False"),
        "{header}"
    );
    let (values, _) = bytes.as_chunks::<4>();
    values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// An array of `f64` in a numpy archive.
pub fn npz_f64(path: &Path, name: &str) -> Vec<f64> {
    let (header, bytes) = npz(path, name);
    assert!(
        header.contains("'<f8'") && header.contains("'fortran_order': False"),
        "{header}"
    );
    let (values, _) = bytes.as_chunks::<8>();
    values
        .iter()
        .map(|bytes| f64::from_le_bytes(*bytes))
        .collect()
}

/// An array of `i16` in a numpy archive.
pub fn npz_i16(path: &Path, name: &str) -> Vec<i16> {
    let (header, bytes) = npz(path, name);
    assert!(header.contains("'<i2'"), "{header}");
    let (values, _) = bytes.as_chunks::<2>();
    values
        .iter()
        .map(|bytes| i16::from_le_bytes(*bytes))
        .collect()
}
