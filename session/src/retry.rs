//! What can go wrong at a provider, and how often it is tried again.

use std::future::Future;
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
    /// Each wait is drawn between `1 - jitter` and `1` of its length. 0.0..=1.0; what is outside, or no number, counts as the nearest, or as 0.
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

crate::setters::setters!(RetryPolicy {
    max_retries: u32,
    first_delay: Duration,
    max_delay: Duration,
    jitter: f64,
    timeout: Duration
});

/// Instants have an end, so this is as good as for ever: a longer wait would overflow them.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How many times the longest wait of its own a policy lets a provider ask for.
const RETRY_AFTER_LIMIT: u32 = 10;

impl RetryPolicy {
    /// One attempt, with the default deadline.
    pub fn once() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }

    /// Makes attempts until one succeeds, fails for good, or was the last; gives the outcome and how many were made.
    ///
    /// `attempt` is called with the number of the attempt, from 0. Each has [`timeout`](Self::timeout) and is dropped when that has passed, so it should
    /// cancel what it does when it is dropped. Dropping the future of `run` ends it all.
    ///
    /// # Errors
    /// The error of the last attempt; of kind [`ErrorKind::Timeout`] if it gave none in time.
    pub async fn run<T, F, Fut>(&self, attempt: F) -> (Result<T, ProviderError>, u32)
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, ProviderError>>,
    {
        self.run_for("provider", attempt).await
    }

    /// [`run`](Self::run), with the provider's name for the error of an attempt that gave none in time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_for<T, F, Fut>(
        &self,
        provider: &str,
        mut attempt: F,
    ) -> (Result<T, ProviderError>, u32)
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, ProviderError>>,
    {
        let mut attempts = 0;
        loop {
            let result = self.attempt(provider, attempt(attempts)).await;
            attempts = attempts.saturating_add(1);
            let error = match result {
                Ok(value) => return (Ok(value), attempts),
                Err(error) => error,
            };
            match self.wait_after(attempts, &error) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return (Err(error), attempts),
            }
        }
    }

    /// One attempt, given up when its time has passed.
    ///
    /// # Errors
    /// The attempt's own, or one of kind [`ErrorKind::Timeout`].
    pub async fn attempt<T>(
        &self,
        provider: &str,
        attempt: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        tokio::time::timeout(self.timeout, attempt)
            .await
            .unwrap_or_else(|_| {
                let message = format!("no answer within {:?}", self.timeout);
                Err(ProviderError::new(provider, ErrorKind::Timeout, message))
            })
    }

    /// How long to wait before the next attempt when `attempts` have been made and the last gave `error`; `None`: give up.
    ///
    /// The wait is drawn anew each time, so clients that failed together do not come back together.
    pub fn wait_after(&self, attempts: u32, error: &ProviderError) -> Option<Duration> {
        if attempts > self.max_retries || !error.is_retryable() {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(31);
        let longest = self.first_delay.saturating_mul(1 << doublings);
        let jitter = match self.jitter.is_nan() {
            true => 0.0,
            false => self.jitter.clamp(0.0, 1.0),
        };
        let own = longest
            .min(self.max_delay)
            .min(LONGEST)
            .mul_f64(1.0 - jitter * fastrand::f64());
        let asked = error.retry_after.unwrap_or_default();
        let most = self.max_delay.saturating_mul(RETRY_AFTER_LIMIT);
        Some(own.max(asked.min(most)).min(LONGEST))
    }
}
