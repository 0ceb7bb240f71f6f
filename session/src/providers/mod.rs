//! Recognisers, language models and voices, and [`Engines`], which finds the best at hand.

mod engines;
pub mod espeak;
pub mod instant;
pub mod openai;
mod pcm;
pub mod pocketsphinx;

use std::path::Path;

pub use engines::Engines;

/// Whether a program can be found, as the shell looks for it.
fn is_on_path(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
