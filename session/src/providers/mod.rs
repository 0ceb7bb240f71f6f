//! Providers.

pub mod pocketsphinx;
