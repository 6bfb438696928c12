//! When a request is tried again.

use std::time::{Duration, SystemTime};

/// Delays between the attempts of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// Longest delay before the first retry; it doubles from one to the next.
    pub(crate) initial: Duration,
    /// Longest delay.
    pub(crate) max: Duration,
    /// Most retries.
    pub(crate) retries: u16,
}

impl Backoff {
    /// Delay before the next attempt after `retries` retries; `None` when there is none, or none that begins in the time that is `left`.
    ///
    /// The server may ask for a longer delay than the usual one, which `jitter`, between 0 and 1, shortens by up to half.
    pub(crate) fn delay(
        &self,
        retries: u16,
        asked: Option<Duration>,
        left: Duration,
        jitter: f64,
    ) -> Option<Duration> {
        if retries >= self.retries {
            return None;
        }
        let factor = 1_u32.checked_shl(retries.into()).unwrap_or(u32::MAX);
        let longest = self.initial.saturating_mul(factor).min(self.max);
        let usual = longest.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
        let delay = usual.max(asked.unwrap_or_default());
        (delay < left).then_some(delay)
    }
}

/// The delay that a header `Retry-After` asks for: seconds, or a date.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    // A date that has passed asks for nothing.
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |header| retry_after(header, now).map(|delay| delay.as_secs());
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:40 GMT"), Some(3));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for header in ["", "soon", "-1", "1.5"] {
            assert_eq!(seconds(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn delays_are_bounded_and_the_servers_wish_counts(
            initial in 1_u64..5_000, max in 1_u64..60_000, retries in 0_u16..40, most in 0_u16..40,
            asked in proptest::option::of(0_u64..100_000), jitter in 0.0_f64..1.0,
        ) {
            let backoff = Backoff {
                initial: Duration::from_millis(initial),
                max: Duration::from_millis(max),
                retries: most,
            };
            let asked = asked.map(Duration::from_millis);
            match backoff.delay(retries, asked, LONG, jitter) {
                None => prop_assert!(retries >= most),
                Some(delay) => {
                    prop_assert!(retries < most);
                    prop_assert!(delay >= asked.unwrap_or_default());
                    prop_assert!(delay <= backoff.max.max(asked.unwrap_or_default()));
                    prop_assert!(delay >= backoff.initial.min(backoff.max) / 2);
                    // Nothing is waited for that would begin too late.
                    prop_assert_eq!(backoff.delay(retries, asked, delay, jitter), None);
                }
            }
        }
    }
}
