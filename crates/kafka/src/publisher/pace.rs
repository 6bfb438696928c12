//! Pacing of transactions.
//!
//! A transaction is half a dozen requests, however little it holds. Under load, more answers in fewer of them leave brokers and node more
//! time for everything else; an answer that comes alone is not to wait for others.

use std::time::Duration;

/// Time between the beginnings of two transactions for each record of the first one.
const PER_RECORD: Duration = Duration::from_micros(200);
/// Longest such time.
const LONGEST: Duration = Duration::from_millis(20);

/// Shortest time from the beginning of a transaction with so many records to that of the next one: `min(200 µs · records, 20 ms)`.
pub(super) fn after(records: usize) -> Duration {
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    PER_RECORD.saturating_mul(records).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_records_hardly_wait_and_many_never_long(
            records in prop_oneof![0..400_usize, any::<usize>()],
            more in 0..400_usize,
        ) {
            let pace = after(records);
            prop_assert!(pace <= LONGEST);
            prop_assert!(pace <= after(records.saturating_add(more)));
            prop_assert!(records > 10 || pace <= Duration::from_millis(2));
            prop_assert!(records < 100 || pace == LONGEST);
        }
    }
}
