//! What can go wrong at a provider, and how often it is tried again.

use std::time::Duration;

/// Why a provider failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection, or it broke.
    Connection,
    /// No answer in time.
    Timeout,
    /// HTTP 429: too many requests.
    RateLimited,
    /// HTTP 5xx, or a process that failed.
    Server,
    /// The request is wrong and stays wrong: HTTP 4xx, missing key, unknown model, missing program.
    Rejected,
    /// The answer could not be read.
    Malformed,
    /// It was closed or cancelled by us.
    Closed,
}

/// A failure of a recogniser, language model or voice.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{provider}: {message}")]
pub struct ProviderError {
    /// Whose: `openai.stt`, `espeak-ng`.
    pub provider: String,
    /// What came, what was expected, what to do.
    pub message: String,
    /// The kind.
    pub kind: ErrorKind,
    /// How long the provider asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// A failure without a wish how long to wait.
    pub fn new(provider: impl Into<String>, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            message: message.into(),
            kind,
            retry_after: None,
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::RateLimited | ErrorKind::Server
        )
    }
}

/// How often and how soon a failed request is made again. The defaults are those of LiveKit Agents 1.8.9 (3 retries, the first after
/// 0.1 s, at most 2 s between, 10 s for an attempt), but the wait doubles and is jittered where theirs is constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Requests after the first.
    pub max_retries: u32,
    /// Wait before the first retry.
    pub first_delay: Duration,
    /// Longest wait; it doubles up to this. A provider's `Retry-After` is obeyed up to ten times this.
    pub max_delay: Duration,
    /// Each wait is drawn between `1 - jitter` and `1` of its length. 0.0..=1.0.
    pub jitter: f64,
    /// Time for one attempt.
    pub timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(2),
            jitter: 0.5,
            timeout: Duration::from_secs(10),
        }
    }
}
