//! Checks whether only markers of transactions lie between the last record of a partition that was read and its end.
//!
//! External monitors count such markers as lag, so the group's offset is moved past them. librdkafka gives us no
//! markers, and its statistics do not prove that it has given us every record. A consumer of its own reads the offsets
//! in question instead. What it finds stays true, because the committed part of a log does not change. An offset that
//! is out of range, because retention deleted it or because the topic was recreated, proves nothing.

use std::{sync::Arc, time::Duration};

use rdkafka::{ClientConfig, Offset, error::RDKafkaErrorCode};

use crate::{
    client,
    lag::{LagGauge, Span},
    probe::{self, First},
};

/// How long all checks of one round may take.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Span {
    /// Whether the span holds no record, given the first content at or after its beginning; `None` if that is not conclusive.
    const fn is_empty(self, first: First) -> Option<bool> {
        match first {
            First::Record(offset) => Some(offset >= self.to),
            First::End => Some(true),
            First::Error(RDKafkaErrorCode::AutoOffsetReset) => Some(false),
            First::Error(_) => None,
        }
    }
}

/// Checks these offsets of partitions and tells the gauge what was found. `config` is that of a consumer.
pub(super) fn check(config: &ClientConfig, gauge: &LagGauge, spans: &[(Arc<str>, i32, Span)]) {
    let place = |(topic, partition, span): &(Arc<str>, i32, Span)| {
        (Arc::clone(topic), *partition, Offset::Offset(span.from))
    };
    let places: Vec<_> = spans.iter().map(place).collect();
    let found = match probe::look(config, &places, TIMEOUT) {
        Ok(found) => found,
        Err(error) => {
            client::error(&error, "looking for records before the ends of partitions");
            return;
        }
    };
    for ((topic, partition, _), first) in found {
        let mut spans = spans.iter();
        let span = spans.find(|(t, p, _)| (t, *p) == (&topic, partition));
        if let Some((_, _, span)) = span
            && let Some(is_empty) = span.is_empty(first)
        {
            gauge.checked(&topic, partition, *span, is_empty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_empty_when_the_first_record_lies_behind_it() {
        let span = Span { from: 7, to: 9 };
        assert_eq!(span.is_empty(First::Record(8)), Some(false));
        assert_eq!(span.is_empty(First::Record(9)), Some(true));
        assert_eq!(span.is_empty(First::End), Some(true));
        let reset = First::Error(RDKafkaErrorCode::AutoOffsetReset);
        assert_eq!(span.is_empty(reset), Some(false), "its offset is gone");
        let away = First::Error(RDKafkaErrorCode::BrokerTransportFailure);
        assert_eq!(span.is_empty(away), None);
    }
}
