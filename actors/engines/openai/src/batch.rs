//! The segments of a batch, several at once, until all are answered or the batch has no time left.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{client::CallError, retry::Backoff};

/// Why a piece of work was given up.
#[derive(Debug)]
pub(crate) enum GaveUp {
    /// The batch has no time left.
    Late,
    /// The last attempt failed so, or no attempt can succeed.
    Failed(CallError),
}

impl GaveUp {
    /// Whether other work fails as well, so that it is not begun.
    fn concerns_all(&self) -> bool {
        !matches!(self, Self::Failed(CallError::Rejected(_)))
    }
}

/// Bounds of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most attempts at once.
    pub(crate) concurrency: usize,
    /// End of the batch.
    pub(crate) deadline: Instant,
    /// Longest time for one attempt.
    pub(crate) request_timeout: Duration,
    /// When a failed attempt is repeated.
    pub(crate) backoff: Backoff,
}

/// Does `attempt` for each of `count` pieces of work, by their number and the time that they may take. What was not begun, because other work was
/// given up for a reason that concerns all, is `None`.
pub(crate) fn run<T: Send>(
    count: usize,
    bounds: &Bounds,
    attempt: impl Fn(usize, Duration) -> Result<T, CallError> + Sync,
) -> Vec<Option<Result<T, GaveUp>>> {
    let (next, stop) = (AtomicUsize::new(0), Stop::default());
    let results = Mutex::new((0..count).map(|_| None).collect::<Vec<_>>());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || stop.is_set() {
                return;
            }
            let result = persist(bounds, &stop, |timeout| attempt(number, timeout));
            if result.as_ref().is_err_and(GaveUp::concerns_all) {
                stop.set();
            }
            results.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..bounds.concurrency.min(count) {
            scope.spawn(work);
        }
        work();
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One piece of work with its retries.
pub(crate) fn persist<T>(
    bounds: &Bounds,
    stop: &Stop,
    attempt: impl Fn(Duration) -> Result<T, CallError>,
) -> Result<T, GaveUp> {
    for retries in 0.. {
        let left = bounds.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GaveUp::Late);
        }
        let error = match attempt(left.min(bounds.request_timeout)) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let CallError::Transient { after, .. } = &error else {
            return Err(GaveUp::Failed(error));
        };
        let left = bounds.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GaveUp::Late);
        }
        match bounds.backoff.delay(retries, *after, left, rand::random()) {
            Some(delay) if !stop.wait(delay) => {}
            _ => return Err(GaveUp::Failed(error)),
        }
    }
    Err(GaveUp::Late)
}

/// Tells all workers to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until it is set; tells whether it is.
    fn wait(&self, delay: Duration) -> bool {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(is_set, delay, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn bounds(concurrency: usize, retries: u16) -> Bounds {
        Bounds {
            concurrency,
            deadline: Instant::now() + Duration::from_secs(3_600),
            request_timeout: Duration::from_secs(7),
            backoff: Backoff {
                initial: Duration::from_millis(1),
                max: Duration::from_millis(2),
                retries,
            },
        }
    }

    fn transient() -> CallError {
        CallError::Transient {
            reason: "later".to_owned(),
            after: None,
        }
    }

    #[test]
    fn results_are_in_order_and_attempts_are_bounded() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = run(50, &bounds(4, 0), |number, timeout| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
            running.fetch_sub(1, Ordering::SeqCst);
            assert_eq!(timeout, Duration::from_secs(7));
            Ok(number)
        });
        let results = results.into_iter().map(|result| result.unwrap().unwrap());
        assert_eq!(results.collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        assert!(most.into_inner() <= 4);
    }

    #[test]
    fn transient_failures_are_retried_as_often_as_allowed() {
        let attempts = AtomicU32::new(0);
        let results = run(1, &bounds(1, 2), |_, _| {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(transient()),
                _ => Ok(()),
            }
        });
        assert!(matches!(results[..], [Some(Ok(()))]));
        let attempts = AtomicU32::new(0);
        let results = run(1, &bounds(1, 2), |_, _| {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(transient())
        });
        assert!(matches!(
            results[..],
            [Some(Err(GaveUp::Failed(CallError::Transient { .. })))]
        ));
        assert_eq!(attempts.into_inner(), 3);
    }

    #[test]
    fn what_concerns_all_stops_all_and_what_concerns_one_does_not() {
        let results = run(10, &bounds(1, 5), |number, _| match number {
            3 => Err(CallError::Rejected("too long".to_owned())),
            6 => Err(CallError::Denied("no".to_owned())),
            _ => Ok(()),
        });
        let kinds: String = results
            .iter()
            .map(|result| match result {
                Some(Ok(())) => 'o',
                Some(Err(_)) => 'e',
                None => '-',
            })
            .collect();
        assert_eq!(kinds, "oooeooe---");
    }

    #[test]
    fn nothing_is_attempted_after_the_deadline_nor_waited_for_beyond_it() {
        let late = Bounds {
            deadline: Instant::now(),
            ..bounds(2, 5)
        };
        let results = run(3, &late, |_, _| -> Result<(), CallError> {
            panic!("attempted")
        });
        assert!(matches!(results[0], Some(Err(GaveUp::Late))));
        // A server that asks for more than what is left is not waited for.
        let results = run(1, &bounds(1, 5), |_, _| {
            Err::<(), _>(CallError::Transient {
                reason: "busy".to_owned(),
                after: Some(Duration::from_secs(7_200)),
            })
        });
        assert!(matches!(results[0], Some(Err(GaveUp::Failed(_)))));
    }
}
