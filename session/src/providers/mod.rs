//! Providers.

pub mod instant;
pub mod pocketsphinx;
