//! Retry decision: whether and when a failed job is retried.
//!
//! An error is returned only if a retry is pointless. Which errors this node tries again by itself is
//! [`ErrorCode::is_retried`]; the [`intake`](crate::intake) carries the decision out.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ErrorCode;

/// How often and how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries of a job without a deadline; zero disables retries. A job with a deadline is retried as long as the
    /// deadline allows.
    pub attempts: u32,
    /// Longest delay before the first of them; it doubles from one to the next.
    pub first: Duration,
    /// Longest delay of all.
    pub most: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            first: Duration::from_millis(500),
            most: Duration::from_secs(10),
        }
    }
}

/// Handling of a failed job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterError {
    /// Try it again after this delay.
    Retry {
        /// The delay.
        after: Duration,
    },
    /// Answer it with the error.
    GiveUp,
}

/// Decides how to handle a job that failed with `error` after `attempt` retries.
///
/// `jitter`, between 0 and 1, reduces the delay by up to half, so that nodes that failed together do not retry
/// together.
#[must_use]
pub fn decide(
    attempt: u32,
    error: ErrorCode,
    now: Instant,
    deadline: Option<Instant>,
    policy: &RetryPolicy,
    jitter: f64,
) -> AfterError {
    let after = delay(attempt, policy, jitter);
    let in_time = match deadline {
        Some(deadline) => policy.attempts > 0 && deadline.saturating_duration_since(now) > after,
        None => attempt < policy.attempts,
    };
    if error.is_retried() && in_time {
        AfterError::Retry { after }
    } else {
        AfterError::GiveUp
    }
}

fn delay(attempt: u32, policy: &RetryPolicy, jitter: f64) -> Duration {
    let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
    let longest = policy.first.saturating_mul(factor).min(policy.most);
    longest.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [ErrorCode; 5] = [
        ErrorCode::ModelUnavailable,
        ErrorCode::DeadlineExceeded,
        ErrorCode::ShuttingDown,
        ErrorCode::PoisonText,
        ErrorCode::InvalidRequest,
    ];

    fn policy() -> impl Strategy<Value = RetryPolicy> {
        (0u32..10, 1u64..5_000, 0u64..60_000).prop_map(|(attempts, first, more)| RetryPolicy {
            attempts,
            first: Duration::from_millis(first),
            most: Duration::from_millis(first + more),
        })
    }

    fn after(decision: AfterError) -> Option<Duration> {
        match decision {
            AfterError::Retry { after } => Some(after),
            AfterError::GiveUp => None,
        }
    }

    proptest! {
        #[test]
        fn delays_grow_and_stay_within_the_policy(
            policy in policy(), attempt in 0u32..80, jitter in 0.0f64..1.0,
        ) {
            let now = Instant::now();
            let policy = RetryPolicy { attempts: 100, ..policy };
            let after = |attempt, jitter| {
                after(decide(attempt, ErrorCode::ModelUnavailable, now, None, &policy, jitter)).unwrap()
            };
            prop_assert!(after(attempt, jitter) <= after(attempt + 1, jitter));
            prop_assert!(after(attempt, jitter) <= policy.most);
            prop_assert!(after(attempt, jitter) >= policy.first / 2);
            prop_assert_eq!(after(0, 0.0), policy.first);
        }

        #[test]
        fn without_a_deadline_the_attempts_are_counted(
            policy in policy(), attempt in 0u32..20, jitter in 0.0f64..1.0,
        ) {
            let now = Instant::now();
            let decision = decide(attempt, ErrorCode::ModelUnavailable, now, None, &policy, jitter);
            prop_assert_eq!(after(decision).is_some(), attempt < policy.attempts);
        }

        #[test]
        fn nothing_is_tried_at_or_after_its_deadline(
            policy in policy(), attempt in 0u32..20, jitter in 0.0f64..1.0,
            passed in 0u64..60_000, deadline in 0u64..60_000,
        ) {
            let start = Instant::now();
            let now = start + Duration::from_millis(passed);
            let deadline = start + Duration::from_millis(deadline);
            let decision = decide(attempt, ErrorCode::ModelUnavailable, now, Some(deadline), &policy, jitter);
            let would_be = now + delay(attempt, &policy, jitter);
            match after(decision) {
                Some(after) => prop_assert!(now + after < deadline && policy.attempts > 0),
                None => prop_assert!(would_be >= deadline || policy.attempts == 0),
            }
        }

        #[test]
        fn permanent_errors_are_never_retried(
            policy in policy(), attempt in 0u32..20, jitter in 0.0f64..1.0, code in 0usize..ALL.len(),
            deadline in prop::option::of(0u64..60_000),
        ) {
            let now = Instant::now();
            let deadline = deadline.map(|ms| now + Duration::from_millis(ms));
            let decision = decide(attempt, ALL[code], now, deadline, &policy, jitter);
            prop_assert!(ALL[code].is_retried() || decision == AfterError::GiveUp);
        }
    }

    #[test]
    fn only_an_unavailable_model_is_tried_again() {
        let retried: Vec<_> = ALL.into_iter().filter(|code| code.is_retried()).collect();
        assert_eq!(retried, [ErrorCode::ModelUnavailable]);
    }
}
