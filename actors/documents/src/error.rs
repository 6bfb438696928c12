//! Why a document is not translated.

use crate::Kind;

/// Why a document is not translated. The messages are for its sender, and never quote its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The file's name has no ending of a supported kind.
    #[error("file format not supported; supported: {}", Kind::extensions().join(", "))]
    UnsupportedKind,
    /// A password is needed to read it.
    #[error("the document is encrypted: save it without a password or DRM and try again")]
    Encrypted,
    /// An Office document of the format before 2007, or an encrypted one: both are OLE compound files.
    #[error(
        "the document is an encrypted Office document, or one in the format before 2007: save it as .docx without a password and try again"
    )]
    Compound,
    /// It is not text in UTF-8.
    #[error("{part} is not UTF-8 text: save it in UTF-8 and try again")]
    NotUtf8 {
        /// The file or entry.
        part: String,
    },
    /// It is not what its name says.
    #[error("not a valid {kind} document: {reason}")]
    Broken {
        /// The kind that it should be.
        kind: Kind,
        /// What is wrong.
        reason: String,
    },
    /// It exceeds a limit.
    #[error("the document has more than {limit} {what} ({key})")]
    TooLarge {
        /// What it has too many of.
        what: &'static str,
        /// How many it may have.
        limit: usize,
        /// The key of the limit.
        key: &'static str,
    },
    /// A translation has not the same inline markup as its segment.
    #[error("the translation of segment {segment} lost its formatting")]
    LostMarkup {
        /// Number of the segment, from 1.
        segment: usize,
    },
    /// A part is not well-formed any more with its translations.
    #[error("{part} is not well-formed with its translations")]
    Malformed {
        /// The entry.
        part: String,
    },
}
