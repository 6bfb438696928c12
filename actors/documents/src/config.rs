//! Keys of documents.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Translation of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DocumentsConfig {
    /// Largest document, in bytes.
    pub max_bytes: usize,
    /// Most bytes that are unpacked of a docx, odt or epub document.
    pub max_uncompressed_bytes: usize,
    /// Most entries of a docx, odt or epub document.
    pub max_entries: usize,
    /// Most segments (paragraphs, messages, values) of a document.
    pub max_segments: usize,
    /// Deepest nesting of the elements of a docx, odt or epub document.
    pub max_depth: usize,
    /// Most documents that a node holds: queued, in translation, and translated but not downloaded or expired.
    pub max_held: usize,
    /// Most bytes of them, as they were uploaded and as they are downloaded.
    pub max_held_bytes: usize,
    /// Most documents that a node holds of one API key, or of one address where there are no keys.
    pub max_per_client: usize,
    /// How long a translated document is kept, in milliseconds.
    pub keep_ms: u64,
    /// Longest time from the upload of a document to its translation, in milliseconds.
    pub timeout_ms: u64,
    /// Documents that are translated at the same time.
    pub max_concurrent: usize,
    /// Segments of a document that are translated at the same time.
    pub max_segments_in_flight: usize,
}

/// Most bytes that can be configured: places in a document are 32-bit numbers.
const MOST_BYTES: usize = 1 << 30;
/// Deepest nesting that can be configured.
const MOST_DEPTH: usize = 1_000;

impl Default for DocumentsConfig {
    fn default() -> Self {
        Self {
            max_bytes: 20 << 20,
            max_uncompressed_bytes: 64 << 20,
            max_entries: 10_000,
            max_segments: 100_000,
            max_depth: 256,
            max_held: 64,
            max_held_bytes: 256 << 20,
            max_per_client: 16,
            keep_ms: 3_600_000,
            timeout_ms: 3_600_000,
            max_concurrent: 2,
            max_segments_in_flight: 32,
        }
    }
}

impl DocumentsConfig {
    /// Limits of one document whose segments may have so many characters.
    #[must_use]
    pub const fn limits(&self, max_segment_chars: usize) -> Limits {
        Limits {
            max_uncompressed_bytes: self.max_uncompressed_bytes,
            max_entries: self.max_entries,
            max_segments: self.max_segments,
            max_depth: self.max_depth,
            max_segment_chars,
            retranslate: false,
        }
    }

    /// How long a translated document is kept.
    #[must_use]
    pub const fn keep(&self) -> Duration {
        Duration::from_millis(self.keep_ms)
    }

    /// Longest time from the upload of a document to its translation.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Reports each key that is out of range: whether it is, the key, and what it must be.
    pub fn check(&self, refuse_if: &mut impl FnMut(bool, &str, &str)) {
        for (value, path) in [
            (self.max_entries, "documents.max_entries"),
            (self.max_segments, "documents.max_segments"),
            (self.max_held, "documents.max_held"),
            (self.max_per_client, "documents.max_per_client"),
            (self.max_concurrent, "documents.max_concurrent"),
            (
                self.max_segments_in_flight,
                "documents.max_segments_in_flight",
            ),
        ] {
            refuse_if(
                !(1..=1_000_000).contains(&value),
                path,
                "must be between 1 and 1000000",
            );
        }
        for (value, path) in [
            (self.max_bytes, "documents.max_bytes"),
            (
                self.max_uncompressed_bytes,
                "documents.max_uncompressed_bytes",
            ),
        ] {
            refuse_if(
                !(1..=MOST_BYTES).contains(&value),
                path,
                "must be between 1 and 1 GiB",
            );
        }
        refuse_if(
            self.max_held_bytes < self.max_bytes.saturating_mul(2),
            "documents.max_held_bytes",
            "must be at least twice documents.max_bytes: a document is held as it was uploaded and as it is downloaded",
        );
        refuse_if(
            !(16..=MOST_DEPTH).contains(&self.max_depth),
            "documents.max_depth",
            "must be between 16 and 1000",
        );
        for (value, path) in [
            (self.keep_ms, "documents.keep_ms"),
            (self.timeout_ms, "documents.timeout_ms"),
        ] {
            refuse_if(value == 0, path, "must be above zero");
        }
    }
}

/// Limits of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that are unpacked.
    pub max_uncompressed_bytes: usize,
    /// Most entries of a package.
    pub max_entries: usize,
    /// Most segments.
    pub max_segments: usize,
    /// Deepest nesting of elements.
    pub max_depth: usize,
    /// Longest segment, in characters: `intake.max_text_chars`.
    pub max_segment_chars: usize,
    /// Whether messages of a po document that have a translation are translated again.
    pub retranslate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_out_of_range_are_named() {
        let config = DocumentsConfig {
            max_held: 0,
            max_bytes: 2 << 30,
            keep_ms: 0,
            max_depth: 3,
            ..DocumentsConfig::default()
        };
        let mut refused = Vec::new();
        config.check(&mut |is_wrong, key, _| {
            if is_wrong {
                refused.push(key.to_owned());
            }
        });
        let expected = [
            "documents.max_held",
            "documents.max_bytes",
            "documents.max_held_bytes",
            "documents.max_depth",
            "documents.keep_ms",
        ];
        assert_eq!(refused, expected);
    }

    #[test]
    fn the_defaults_are_in_range() {
        DocumentsConfig::default().check(&mut |is_wrong, key, _| assert!(!is_wrong, "{key}"));
    }
}
