//! Validation of traces.

use babelmesh_settings::Secret;

use crate::config::TracesConfig;

/// Adds what is wrong with the way to the collector.
pub(super) fn check(traces: &TracesConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    let mut refuse_if = |wrong: bool, key: &str, message: &str| {
        refuse_if(wrong, &format!("telemetry.traces.{key}"), message);
    };
    refuse_if(
        traces.endpoint.as_deref().is_some_and(|at| !is_address(at)),
        "endpoint",
        "must be an address such as \"http://127.0.0.1:4317\"; for TLS and authentication, run a local collector",
    );
    refuse_if(
        !(0.0..=1.0).contains(&traces.sampling_ratio),
        "sampling_ratio",
        "must be from 0 to 1",
    );
    refuse_if(
        traces.export_timeout_ms == 0,
        "export_timeout_ms",
        "must be above zero",
    );
    refuse_if(
        !(1..=1_000_000).contains(&traces.queue_spans),
        "queue_spans",
        "must be 1 to 1000000",
    );
    refuse_if(
        traces.batch_spans == 0 || traces.batch_spans > traces.queue_spans,
        "batch_spans",
        "must be above zero and not above telemetry.traces.queue_spans",
    );
    for (name, value) in &traces.headers {
        // Errors do not show the value.
        refuse_if(
            !is_header(name, value),
            &format!("headers.{name}"),
            "is not a valid header: use lower-case letters, digits and dashes in its name, and printable ASCII in its value",
        );
    }
}

/// Whether this is `http://host:port`, and for OTLP/HTTP perhaps a path.
fn is_address(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = authority.rsplit_once(':');
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    port.is_some_and(|(host, port)| {
        plain(host) && !host.contains('@') && port.parse::<u16>().is_ok_and(|port| port > 0)
    }) && (path.is_empty() || plain(path))
}

fn is_header(name: &str, value: &Secret) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    !name.is_empty()
        && name.chars().all(plain)
        // That suffix stands for bytes in gRPC.
        && !name.ends_with("-bin")
        && value.expose().chars().all(|c| c == ' ' || c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_and_a_port_and_no_login() {
        for good in [
            "http://127.0.0.1:4317",
            "http://otel-collector:4318",
            "http://[::1]:4317",
            "http://collector.example:4318/v1/traces",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:4317",
            "https://collector:4317",
            "http://collector",
            "http://:4317",
            "http://user:password@collector:4317",
            "http://collector:0",
            "http://collector:99999",
            "http://a b:4317",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn headers_are_what_both_protocols_can_carry() {
        let value = Secret::from("Bearer abc");
        assert!(is_header("authorization", &value));
        for name in ["", "Authorization", "a b", "key-bin", "ä"] {
            assert!(!is_header(name, &value), "{name}");
        }
        for value in ["line\nbreak", "ü"] {
            assert!(!is_header("x-key", &Secret::from(value)), "{value}");
        }
    }
}
