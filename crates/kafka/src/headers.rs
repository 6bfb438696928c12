//! Record headers, which are untrusted.

use babelmesh_actors::containment::contain;
use rdkafka::{
    Message,
    message::{Header, Headers},
};

/// Headers of a record that cannot be read after which the rest of its headers are not looked at: each costs the unwinding of a panic.
const MAX_UNREADABLE: usize = 16;

/// A header's value, if it is text. The first header of that name counts.
pub fn header<'m>(message: &'m impl Message, name: &str) -> Option<&'m str> {
    let found = readable(message).find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

/// Bytes of a record's headers, names and values.
pub(super) fn bytes(message: &impl Message) -> usize {
    readable(message)
        .map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len))
        .sum()
}

/// The headers whose names are text. `rdkafka` panics on a name that is not UTF-8; such a header is skipped.
fn readable<'m>(message: &'m impl Message) -> impl Iterator<Item = Header<'m, &'m [u8]>> {
    let headers = message.headers();
    let count = headers.map_or(0, Headers::count);
    let mut unreadable = 0;
    (0..count)
        .map_while(move |index| {
            match contain(|| headers.and_then(|headers| headers.try_get(index))) {
                Ok(header) => Some(header),
                Err(_) => {
                    unreadable += 1;
                    (unreadable < MAX_UNREADABLE).then_some(None)
                }
            }
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        Timestamp,
        message::{OwnedHeaders, OwnedMessage},
    };

    use super::*;

    fn message(headers: &[(&str, Option<&[u8]>)]) -> OwnedMessage {
        let all = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: *value })
            });
        let topic = "translation.requests".to_owned();
        OwnedMessage::new(None, None, topic, Timestamp::NotAvailable, 0, 0, Some(all))
    }

    #[test]
    fn values_that_are_absent_or_not_text_count_as_absent() {
        let message = message(&[
            ("", None),
            ("a", Some(b"\xc3\x28")),
            ("b", None),
            ("c", Some(b"text")),
            ("c", Some(b"again")),
        ]);
        assert_eq!(header(&message, "a"), None);
        assert_eq!(header(&message, "b"), None);
        assert_eq!(header(&message, "c"), Some("text"));
        assert_eq!(header(&message, "d"), None);
        assert_eq!(bytes(&message), 4 + 2 + 4 + 5);
    }

    #[test]
    fn a_record_without_headers_has_none() {
        assert_eq!(bytes(&message(&[])), 0);
    }
}
