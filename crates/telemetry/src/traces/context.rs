//! Whether a message is watched. Pure: the header, the ratio and a number go in, the answer comes out.

use babelmesh_actors::domain::SpanRef;

/// Sampling decision of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not watched; its header goes on as it is.
    Pass,
    /// It is watched, below its sender's span.
    Follow(SpanRef),
    /// It is watched, and a trace begins with it.
    Begin,
}

/// Decides for a message with this `traceparent`. A header that is none counts as absent, as W3C has it. `chance` is asked only when a trace
/// may begin, and gives a number from 0 to 1, without 1.
pub(super) fn decide(
    parent: Option<&str>,
    is_decided: bool,
    ratio: f64,
    chance: impl FnOnce() -> f64,
) -> Verdict {
    match parent.and_then(parse) {
        Some((span, true)) => Verdict::Follow(span),
        Some((_, false)) => Verdict::Pass,
        None if !is_decided && ratio > 0.0 && chance() < ratio => Verdict::Begin,
        None => Verdict::Pass,
    }
}

/// Reads a W3C `traceparent`: the span that it names, and whether it is sampled.
pub(super) fn parse(header: &str) -> Option<(SpanRef, bool)> {
    let mut parts = header.split('-');
    let mut part = |length: usize| {
        let text = parts.next().filter(|text| text.len() == length)?;
        let plain = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        text.bytes().all(plain).then_some(text)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    // Later versions may have more behind these four; the first has not.
    if version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok()?;
    let span = u64::from_str_radix(span, 16).ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (trace != 0 && span != 0).then_some((SpanRef { trace, span }, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn never() -> f64 {
        panic!("nobody asked for chance");
    }

    proptest! {
        #[test]
        fn every_span_reads_its_own_header(trace in 1u128.., span in 1u64..) {
            let span = SpanRef { trace, span };
            prop_assert_eq!(parse(&span.to_string()), Some((span, true)));
        }

        #[test]
        fn arbitrary_headers_never_panic_and_never_begin_a_trace_against_the_ratio(header in "\\PC*") {
            prop_assert_ne!(decide(Some(&header), false, 0.0, never), Verdict::Begin);
        }

        #[test]
        fn a_sampled_sender_is_always_followed_and_another_one_never(
            trace in 1u128.., span in 1u64.., flags: u8, ratio in 0.0..=1.0, is_decided: bool,
        ) {
            let header = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            let verdict = decide(Some(&header), is_decided, ratio, never);
            let expected = if flags & 1 == 1 { Verdict::Follow(SpanRef { trace, span }) } else { Verdict::Pass };
            prop_assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn messages_without_a_trace_begin_one_by_the_ratio_unless_somebody_has_decided() {
        let begins = |ratio, chance| decide(None, false, ratio, || chance) == Verdict::Begin;
        assert!(begins(1.0, 0.999));
        assert!(begins(0.01, 0.009));
        assert!(!begins(0.01, 0.01));
        assert_eq!(decide(None, false, 0.0, never), Verdict::Pass);
        assert_eq!(decide(None, true, 1.0, never), Verdict::Pass);
    }

    #[test]
    fn an_invalid_header_counts_as_absent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-00f067aa0ba902b7"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
            assert_eq!(decide(Some(&bad), false, 1.0, || 0.0), Verdict::Begin);
        }
        let later = format!("01-{trace}-00f067aa0ba902b7-01-more");
        assert!(parse(&later).is_some());
    }
}
