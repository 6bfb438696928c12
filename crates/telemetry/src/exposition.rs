//! The two text forms of metrics.

use std::borrow::Cow;

/// A text form of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format 0.0.4, which everything reads.
    Prometheus,
    /// OpenMetrics 1.0.0, for those who ask for it.
    OpenMetrics,
}

impl Format {
    /// The form that an `Accept` header asks for.
    #[must_use]
    pub fn wanted_by(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Makes a page of encoded registries.
pub(super) fn finish(mut text: String, format: Format) -> String {
    match format {
        Format::OpenMetrics => {
            text.push_str("# EOF\n");
            text
        }
        Format::Prometheus => older(&text),
    }
}

/// The older format knows no units, and names the families of counters as their samples.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len() + 1024);
    // HELP stands before TYPE, and only the latter tells what is a counter.
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        if line.starts_with("# UNIT ") {
            continue;
        }
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        else {
            older.push_str(line);
            older.push('\n');
            continue;
        };
        let name: Cow<'_, str> = match kind {
            "counter" => format!("{name}_total").into(),
            _ => name.into(),
        };
        if let Some((_, text)) = help.take() {
            older.extend(["# HELP ", &name, " ", text, "\n"]);
        }
        older.extend(["# TYPE ", &name, " ", kind, "\n"]);
    }
    older
}
