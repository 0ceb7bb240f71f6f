//! How often and how soon a failed request is made again.

use std::cell::RefCell;
use std::time::Duration;

use listenkit_session::{ErrorKind, ProviderError, RetryPolicy};
use tokio::time::Instant;

fn error(kind: ErrorKind) -> ProviderError {
    ProviderError::new("test", kind, "as the test says")
}

/// Runs attempts that fail with these errors, one after the other, then succeed; gives the outcome, the count, and when each attempt began.
async fn run(
    policy: RetryPolicy,
    errors: Vec<ProviderError>,
) -> (Result<(), ProviderError>, u32, Vec<Duration>) {
    let began = Instant::now();
    let times = RefCell::new(Vec::new());
    let (result, attempts) = policy
        .run(|n| {
            times.borrow_mut().push(began.elapsed());
            let error = errors.get(n as usize).cloned();
            async move { error.map_or(Ok(()), Err) }
        })
        .await;
    (result, attempts, times.into_inner())
}

fn waits(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_the_longest_and_are_jittered_downwards() {
    let policy = RetryPolicy {
        max_retries: 7,
        ..RetryPolicy::default()
    };
    let errors = vec![error(ErrorKind::Connection); 7];
    let (result, attempts, times) = run(policy, errors).await;
    assert!(result.is_ok());
    assert_eq!(attempts, 8);
    for (wait, full_ms) in waits(&times)
        .iter()
        .zip([100, 200, 400, 800, 1600, 2000, 2000])
    {
        let full = Duration::from_millis(full_ms);
        // A timer of tokio is up to 1 ms late.
        assert!(*wait >= full / 2 && *wait <= full + Duration::from_millis(1));
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_clients_come_back_together() {
    let policy = RetryPolicy::default();
    let waits: std::collections::BTreeSet<_> = (0..50)
        .map(|_| policy.wait_after(1, &error(ErrorKind::Server)))
        .collect();
    assert!(waits.len() > 40, "{} different waits of 50", waits.len());
    let steady = RetryPolicy {
        jitter: 0.0,
        ..policy
    };
    assert_eq!(
        steady.wait_after(1, &error(ErrorKind::Server)),
        Some(steady.first_delay)
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_tried_again() {
    for (kind, again) in [
        (ErrorKind::Connection, true),
        (ErrorKind::Timeout, true),
        (ErrorKind::RateLimited, true),
        (ErrorKind::Server, true),
        (ErrorKind::Rejected, false),
        (ErrorKind::Malformed, false),
        (ErrorKind::Closed, false),
    ] {
        let (result, attempts, _) = run(RetryPolicy::default(), vec![error(kind)]).await;
        assert_eq!(result.is_ok(), again, "{kind:?}");
        assert_eq!(attempts, 1 + u32::from(again), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_error_comes_out_when_the_attempts_are_used_up() {
    let errors = (0..9)
        .map(|n| ProviderError::new("test", ErrorKind::Server, format!("failure {n}")))
        .collect();
    let (result, attempts, _) = run(RetryPolicy::default(), errors).await;
    assert_eq!(attempts, 4);
    assert_eq!(result.expect_err("all fail").message, "failure 3");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_time_gets_it_up_to_a_limit() {
    let asks = |seconds| {
        let mut error = error(ErrorKind::RateLimited);
        error.retry_after = Some(Duration::from_secs(seconds));
        error
    };
    let policy = RetryPolicy::default();
    let (_, _, times) = run(policy, vec![asks(7), asks(3600), asks(0)]).await;
    let waits = waits(&times);
    let close = |wait: Duration, full: u64| {
        let full = Duration::from_secs(full);
        wait >= full && wait <= full + Duration::from_millis(1)
    };
    assert!(close(waits[0], 7), "jitter must not shorten it: {waits:?}");
    assert!(close(waits[1], 20), "ten times the longest wait: {waits:?}");
    assert!(
        waits[2] >= Duration::from_millis(200),
        "its own wait is longer than what was asked: {waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_deadline() {
    let began = Instant::now();
    let policy = RetryPolicy {
        max_retries: 1,
        timeout: Duration::from_secs(3),
        ..RetryPolicy::default()
    };
    let (result, attempts) = policy
        .run_for("slow one", |n| async move {
            // The second would be in time only if the first's time were added to it.
            tokio::time::sleep(Duration::from_secs(4 + u64::from(n))).await;
            Ok(())
        })
        .await;
    let error = result.expect_err("both are late");
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.to_string(), "slow one: no answer within 3s");
    assert_eq!(attempts, 2);
    assert!(began.elapsed() < Duration::from_millis(6_200));
}

#[test]
fn a_policy_of_any_numbers_gives_waits() {
    for jitter in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1.0] {
        for longest in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            let policy = RetryPolicy {
                max_retries: u32::MAX,
                first_delay: longest,
                max_delay: longest,
                jitter,
                timeout: Duration::MAX,
            };
            let wait = policy.wait_after(7, &error(ErrorKind::Server));
            assert!(
                wait.is_some_and(|wait| wait <= longest),
                "{jitter} {longest:?}"
            );
        }
    }
}
