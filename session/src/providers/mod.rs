//! Providers.

pub mod espeak;
pub mod instant;
pub mod openai;
mod pcm;
pub mod pocketsphinx;
