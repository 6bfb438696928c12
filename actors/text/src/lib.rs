//! Texts, as far as their translation needs them to be understood: pure functions that do not depend on actors or engines.
//!
//! [`format::parse`] finds the sentences of a message in its format. A [`plan::SentencePlan`] says what a model is to translate of a
//! sentence, and checks what comes back. [`Document::join`] puts the translations in the places of their sentences; all else leaves byte for
//! byte. [`detect`] finds out the language of a text.
//!
//! # Cost
//! Linear in the length of the text, for any text. Each scanner says in its own comment why an attempt that fails cannot be repeated from every
//! later position.

#[cfg(test)]
mod cpu_time;
pub mod detect;
mod document;
mod edges;
mod entities;
mod escape;
pub mod format;
pub mod glossary;
mod lines;
mod oversize;
pub mod plan;
mod protect;
pub mod recognise;
mod sentences;
mod tokens;

pub use document::{Document, Translation, Unit};
pub use edges::core;
pub use oversize::split;
pub use tokens::estimate_tokens;
