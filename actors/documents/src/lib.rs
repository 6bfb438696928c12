//! Documents: files of several kinds, made of texts that can be translated.
//!
//! [`Document::parse`] reads a file and finds its [`Segment`]s: texts in a format of [`babelmesh_text`], each of which is translated on its
//! own. [`Document::write`] makes the file with the translations. Everything outside of segments stays as it is, and a file whose segments
//! come back unchanged keeps its text byte for byte. Nothing here reads or writes files: bytes come in, bytes go out.
//!
//! ```
//! use babelmesh_documents::{Document, DocumentsConfig};
//!
//! let limits = DocumentsConfig::default().limits(100_000);
//! let file = br#"{"title": "Hello", "id": 7}"#.to_vec();
//! let document = Document::parse("messages.json", file, &limits)?;
//! assert_eq!(document.segments()[0].text, "Hello");
//! let written = document.write(&["Bonjour".to_owned()])?;
//! assert_eq!(written, br#"{"title": "Bonjour", "id": 7}"#);
//! # Ok::<(), babelmesh_documents::DocumentError>(())
//! ```
//!
//! # Bounds
//! [`Limits`] bound the unpacked size, the entries of a package, the segments, and the nesting of elements. The cost is linear in the
//! unpacked size, and nothing recurses deeper than the nesting of paragraphs, which that of elements bounds.

mod block;
mod config;
mod document;
mod docx;
mod epub;
mod error;
mod gettext;
mod json;
mod kind;
mod layout;
mod marked;
mod odt;
mod package;
mod po;
mod segment;
mod texts;
mod xml;

pub use config::{DocumentsConfig, Limits};
pub use document::Document;
pub use error::DocumentError;
pub use kind::Kind;
pub use segment::Segment;
