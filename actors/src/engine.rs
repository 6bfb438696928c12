//! The port from model actors to engines. The actor code uses no ML library.

mod child;
mod fake;
mod process;
mod process_table;
mod spelling;

use std::{error::Error, path::PathBuf, pin::Pin, time::Duration};

use async_trait::async_trait;
pub use babelmesh_engine_protocol::{
    Completeness, Device, LoadReport, LoadRequest, Precision, Segment, Translation,
};

use crate::{domain::SpanRef, peer_error::PeerError};

pub use fake::{FakeEngine, FakeSpec};
pub use process::{ProcessEngine, ProcessSpec};
pub use spelling::Spellings;

/// A batch as an engine gets it.
#[derive(Debug)]
pub struct EngineBatch {
    /// What to translate; the answer keeps this order.
    pub segments: Vec<Segment>,
    /// Estimated source tokens of all segments, for the deadline.
    pub tokens: u32,
    /// The batch as a span, if sampled. Engines of this node need not care; a peer goes on with it.
    pub span: Option<SpanRef>,
}

/// One engine with at most one model in it. One call at a time.
#[async_trait]
pub trait Engine: Send {
    /// Starts the engine and loads its model.
    ///
    /// # Errors
    /// Any [`EngineError`]; the engine is unusable then.
    async fn load(&mut self) -> Result<LoadReport, EngineError>;

    /// Translates a batch: one translation per segment, in order.
    ///
    /// # Errors
    /// [`EngineError::Refused`] leaves the engine usable, every other error does not.
    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError>;

    /// Current resource usage of the engine.
    fn usage(&self) -> Usage;

    /// Waits until a loaded engine ends, by itself or because it was killed; its owner learns of that while it is idle. `None` for an engine
    /// that cannot end between two calls.
    fn end(&self) -> Option<EngineEnd> {
        None
    }

    /// Ends the engine in an orderly way. Dropping it ends it at once.
    async fn shutdown(&mut self);
}

/// How an engine ended, once it has.
pub type EngineEnd = Pin<Box<dyn Future<Output = EngineError> + Send>>;

/// Makes engines for the model actors of one pool.
pub trait EngineFactory: Send + Sync {
    /// The engine's name: `firefox`, `ctranslate2`, `rust-bert`, `openai` or `fake`.
    fn name(&self) -> &str;

    /// Whether its engines are expected to tell alignments: what holds until one has reported its capabilities.
    fn aligns(&self) -> bool {
        false
    }

    /// Whether an idle engine is asked once which stand-ins for tokens its model copies. Without that, none are used.
    fn is_probed(&self) -> bool {
        false
    }

    /// A new engine that is not loaded yet.
    fn create(&self) -> Box<dyn Engine>;
}

/// Resource usage of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Process id, when the engine is a process.
    pub pid: Option<u32>,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

/// Ways for an engine to fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The executable could not be started.
    #[error("starting the engine {program}: {reason}")]
    Start {
        /// Path of the executable.
        program: PathBuf,
        /// The system error.
        reason: String,
    },
    /// The model could not be loaded.
    #[error("loading the model: {0}")]
    Load(String),
    /// The model cannot be loaded on this machine, now or later.
    #[error("the model cannot be loaded here: {0}")]
    Unloadable(String),
    /// The engine reported an error on this batch and goes on.
    #[error("the engine refused the batch: {0}")]
    Refused(String),
    /// A server that the engine depends on does not answer. The engine has ended.
    #[error("the model's server is unavailable: {0}")]
    Unavailable(String),
    /// The process exited or was killed externally.
    #[error("the engine process ended: {0}")]
    Ended(String),
    /// No answer in time; the process was killed.
    #[error("no answer from the engine within {} ms", .0.as_millis())]
    Hung(Duration),
    /// The process took more memory than allowed in the middle of a batch; it was killed.
    #[error("the engine took {used} bytes of memory, the limit is {limit}")]
    Memory {
        /// Resident bytes.
        used: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// The engine violated the protocol.
    #[error("engine protocol error: {0}")]
    Protocol(String),
    /// The engine is a peer's, and the peer did not do the batch.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl EngineError {
    /// Whether the engine can be given another batch.
    #[must_use]
    pub const fn leaves_engine_usable(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Peer(_))
    }

    /// The message for clients. Messages of engines, peers and the system may contain paths, which belong in the log
    /// only.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Start { .. } => "engine start failed".to_owned(),
            Self::Load(_) | Self::Unloadable(_) => "model load failed".to_owned(),
            Self::Refused(_) => "engine rejected the text".to_owned(),
            Self::Unavailable(_) => "model server unavailable".to_owned(),
            Self::Protocol(_) => "engine protocol error".to_owned(),
            Self::Peer(_) => "remote batch failed".to_owned(),
            Self::Ended(_) | Self::Hung(_) | Self::Memory { .. } => self.to_string(),
        }
    }

    /// The [`reason`](Self::reason) of whatever made a model actor fail.
    #[must_use]
    pub fn reason_of(error: &(dyn Error + 'static)) -> String {
        let known = error.downcast_ref::<Self>();
        known.map_or_else(|| "model actor failed".to_owned(), Self::reason)
    }

    /// Whether another start would fail in the same way.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Unloadable(_))
    }
}
