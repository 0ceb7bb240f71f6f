//! The identifiers a server hands out: a prefix that tells the kind, then twelve random letters and digits.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn new(prefix: &str) -> String {
    let tail = std::iter::repeat_with(fastrand::alphanumeric).take(12);
    prefix.chars().chain(tail).collect()
}

/// The wall clock, in milliseconds since 1970, as messages carry it.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
