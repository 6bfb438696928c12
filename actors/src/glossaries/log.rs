//! The port to the log of glossaries.

use async_trait::async_trait;

use crate::domain::Glossary;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// Why a record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It is larger than the log takes.
    #[error("{0}")]
    TooLarge(String),
    /// The log is not available.
    #[error("{0}")]
    Failed(String),
}

/// The log of glossaries: the last record of an id counts.
#[async_trait]
pub trait GlossaryLog: Send + Sync {
    /// Writes a glossary, or that there is none of this id any more. Returns where, once the record is safe.
    ///
    /// # Errors
    /// See [`LogError`].
    async fn write(&self, id: &str, glossary: Option<&Glossary>) -> Result<Position, LogError>;
}
