//! Providers.

pub mod instant;
pub mod openai;
mod pcm;
pub mod pocketsphinx;
