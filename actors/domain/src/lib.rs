//! Domain types: languages, lanes, requests, results and errors.

mod client;
mod confidence;
mod error;
mod format;
mod glossary;
mod job;
mod lane;
mod language;
mod request;
mod result;
mod trace;

pub use client::{ClientId, Origin};
pub use confidence::{ConfidenceCurve, InvalidCurve};
pub use error::{ErrorCode, RequestError};
pub use format::{Format, InvalidElements, Splitting, UnknownName, XmlOptions};
pub use glossary::{
    Glossary, GlossaryDictionary, GlossaryError, MAX_GLOSSARY_NAME_BYTES, Term, TermLimits,
    TermsError, check_terms,
};
pub use job::{
    Job, JobOutcome, Leg, Locality, Order, OutcomeSink, Ticket, Translated, deliver_all,
};
pub use lane::{Lane, Lanes};
pub use language::{Language, LanguageError};
pub use request::{
    DEFAULT_MAX_TEXT_CHARS, MAX_ALTERNATIVES, ModelType, Priority, TranslationRequest,
    decoded_leniently, parse_language,
};
pub use result::{ErrorBody, PoolType, TextChecks, TranslationResult};
pub use trace::{SampledTrace, SpanRef, Trace};
