//! Which log lines repeat, and how often they are written.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use babelmesh_actors::events as actors;
use tracing::{
    Event, Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest, warn,
};
use tracing_subscriber::layer::{Context, Filter};

use super::NodeEvent;
use crate::throttle::LogThrottle;

/// One line of a kind a minute: there is one log in a process.
static EVENTS: LazyLock<LogThrottle> =
    LazyLock::new(|| LogThrottle::new(Duration::from_secs(60), 1));

/// Several, where each line is about another text or job.
static WORK: LazyLock<LogThrottle> =
    LazyLock::new(|| LogThrottle::new(Duration::from_secs(60), 20));

/// Lines of one place in a library's code.
static LIBRARIES: LazyLock<LogThrottle> =
    LazyLock::new(|| LogThrottle::new(Duration::from_secs(60), 5));

/// Whether an event's line may be written now.
pub(super) fn may_be_written(event: &NodeEvent<'_>) -> bool {
    let Some(subject) = subject(event) else {
        return true;
    };
    let name = event.name();
    admit(&EVENTS, name, &subject)
}

/// Whether the line of an event of the actors may be written now.
pub(super) fn actors_line_may_be_written(event: &actors::Event) -> bool {
    let (name, subject) = match event {
        actors::Event::TextPoisoned { pool, .. } => ("text_poisoned", pool.to_string()),
        actors::Event::JobsExpired { pool, .. } => ("jobs_expired", pool.to_string()),
        actors::Event::JobsRetried { code, .. } => ("jobs_retried", code.name().to_owned()),
        actors::Event::PanicContained { stage, .. } => ("panic_contained", stage.name().to_owned()),
        actors::Event::EngineSaid { pool, .. } => ("engine_said", pool.to_string()),
        _ => return true,
    };
    admit(&WORK, name, &subject)
}

fn admit(throttle: &LogThrottle, name: &'static str, subject: &str) -> bool {
    match throttle.admit(&format!("{name} {subject}"), Instant::now()) {
        None => false,
        Some(0) => true,
        Some(suppressed) => {
            warn!(event = name, suppressed, "similar log lines suppressed");
            true
        }
    }
}

/// Deduplication key of a repeated event; none for events that do not repeat. It contains no times, client ports or
/// untrusted input.
fn subject(event: &NodeEvent<'_>) -> Option<String> {
    Some(match event {
        NodeEvent::PeerRefused {
            address,
            dialled,
            kind,
            ..
        } => match dialled {
            true => format!("{address} {kind}"),
            // Each connection of a peer comes from another port.
            false => format!("{} {kind}", address.ip()),
        },
        NodeEvent::HandshakesCrowded { .. } | NodeEvent::StatusFailed { .. } => String::new(),
        NodeEvent::ClusterTrouble { error }
        | NodeEvent::KeysUnreadable { error }
        | NodeEvent::CertificateUnusable { error }
        | NodeEvent::PublishFailed { error }
        | NodeEvent::TransactionAborted { error }
        | NodeEvent::ProducerBroken { error } => without_numbers(error),
        NodeEvent::KafkaError { error, doing } => format!("{doing} {}", without_numbers(error)),
        NodeEvent::ForwardFailed { node, .. } => (*node).to_owned(),
        NodeEvent::RecordRefused { topic, .. } | NodeEvent::RecordGivenUp { topic, .. } => {
            (*topic).to_owned()
        }
        _ => return None,
    })
}

/// A text with each number replaced: seconds and offsets differ from line to line.
fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            false => plain.push(c),
            true if plain.ends_with('#') => {}
            true => plain.push('#'),
        }
    }
    plain
}

/// Lets through a few warnings and errors a minute of each place in a library: malformed requests of scanners would fill the log.
#[derive(Debug, Clone, Copy)]
pub struct LibraryLines;

impl LibraryLines {
    fn is_limited(metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && !metadata.target().starts_with("babelmesh")
    }
}

impl<S: Subscriber> Filter<S> for LibraryLines {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::always()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Least of all filters.
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !Self::is_limited(metadata) {
            return true;
        }
        let line = metadata.line().unwrap_or_default();
        let place = format!("{}:{line}", metadata.target());
        let admitted = LIBRARIES.admit(&place, Instant::now()).is_some();
        if !admitted {
            // Another line here would be an event within an event.
            super::count("log_line_left_out");
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{Layer, layer::SubscriberExt};

    use super::*;

    #[test]
    fn numbers_do_not_make_a_line_another_one() {
        assert_eq!(
            without_numbers("late by 17 s, offset 3"),
            "late by # s, offset #"
        );
        let event = |port: u16, error: &'static str| {
            subject(&NodeEvent::PeerRefused {
                address: ([127, 0, 0, 1], port).into(),
                dialled: false,
                kind: "Slow",
                error,
            })
        };
        assert_eq!(event(1, "1 second ago"), event(2, "2 seconds ago"));
    }

    /// Counts the events that reach it.
    struct Counter(Arc<Mutex<u32>>);

    impl<S: Subscriber> Layer<S> for Counter {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn a_library_that_repeats_itself_does_not_fill_the_log_and_the_node_itself_is_heard() {
        let seen = Arc::new(Mutex::new(0));
        let layer = Counter(Arc::clone(&seen)).with_filter(LibraryLines);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..1_000 {
                tracing::error!(target: "some_http_library", number, "malformed request");
            }
            assert_eq!(*seen.lock().unwrap(), 5);
            for _ in 0..1_000 {
                tracing::error!("a line of the node");
                tracing::info!(target: "some_http_library", "not a warning");
            }
            assert_eq!(*seen.lock().unwrap(), 2_005);
        });
    }
}
