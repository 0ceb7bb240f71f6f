//! Labelled recordings through the live code path, under many policies.

pub(crate) mod grid;
pub(crate) mod manifest;
pub(crate) mod run;
pub(crate) mod score;
