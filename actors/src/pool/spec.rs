//! Start arguments of a pool.

use std::{sync::Arc, time::Duration};

use crate::{
    cache::{CacheSpace, TranslationCache},
    domain::{ConfidenceCurve, Lanes, ModelType},
    engine::{EngineFactory, Segment},
    events::Observer,
    model_text::ModelText,
    offload::{OffloadConfig, Peers},
    routing::Capability,
    scaling::{Bounds, ScalingPolicy},
};

use super::{
    backlog::DEFAULT_WEIGHTS, batching::BatchBudget, budget::NodeBudget, lag::PoolLag,
    sharing::SharingConfig,
};

/// Default of [`PoolSpec::min_piece_tokens`].
pub const DEFAULT_MIN_PIECE_TOKENS: u32 = 8;

/// A pool's model and limits.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// Model id; also the pool's name.
    pub model_id: Arc<str>,
    /// Tier of the model.
    pub model_type: ModelType,
    /// Capabilities of the model.
    pub ability: Capability,
    /// Cache space: everything that translations depend on besides text and languages. A pool without one neither lends
    /// nor borrows.
    pub space: Option<CacheSpace>,
    /// Number of model actors.
    pub bounds: Bounds,
    /// Actors started with the pool, regardless of the bounds; an idle pool releases them.
    pub initial: u32,
    /// Bounds of a batch.
    pub batch: BatchBudget,
    /// Shares of the lanes.
    pub weights: Lanes<u32>,
    /// How clients share the pool.
    pub sharing: SharingConfig,
    /// Threads of each engine.
    pub threads: usize,
    /// Resident bytes an engine is expected to take until one was measured.
    pub expected_memory: u64,
    /// Resident bytes above which an engine is replaced.
    pub memory_limit: u64,
    /// First delay of the restart backoff, and its longest.
    pub restart: (Duration, Duration),
    /// How long jobs wait for a pool without a single warm actor before they are answered with an error.
    pub unavailable_after: Duration,
    /// A piece whose translation comes without its end is cut in two, unless it has no more estimated tokens than this.
    pub min_piece_tokens: u32,
    /// Offload settings.
    pub offload: OffloadConfig,
    /// How the confidence of the model's translations is calibrated, if it is.
    pub confidence: Option<Arc<ConfidenceCurve>>,
    /// How texts are read for the model; the pool learns it from its engines.
    pub text: Arc<ModelText>,
}

impl PoolSpec {
    /// A pool of at most `max` single-threaded actors with defaults for everything else.
    #[must_use]
    pub fn new(model_id: &str, max: u32) -> Self {
        Self {
            model_id: Arc::from(model_id),
            model_type: ModelType::Basic,
            ability: Capability {
                sources: Vec::new(),
                targets: Vec::new(),
                tier: ModelType::Basic,
            },
            space: None,
            bounds: Bounds { min: 1, max },
            initial: 0,
            batch: BatchBudget::default(),
            weights: DEFAULT_WEIGHTS,
            sharing: SharingConfig::default(),
            threads: 1,
            expected_memory: 256 << 20,
            memory_limit: 2 << 30,
            restart: (Duration::from_millis(250), Duration::from_secs(30)),
            unavailable_after: Duration::from_secs(30),
            min_piece_tokens: DEFAULT_MIN_PIECE_TOKENS,
            offload: OffloadConfig::default(),
            confidence: None,
            text: Arc::default(),
        }
    }
}

/// Start arguments of a pool supervisor.
pub struct PoolStart {
    /// Model and limits.
    pub spec: PoolSpec,
    /// Makes the engines.
    pub engines: Arc<dyn EngineFactory>,
    /// Decides the number of actors.
    pub policy: Box<dyn ScalingPolicy>,
    /// The node's cores and memory.
    pub budget: Arc<NodeBudget>,
    /// Gets the events.
    pub observer: Arc<dyn Observer>,
    /// A text that every engine can translate, to warm up with.
    pub warm_up: Segment,
    /// Work for this pool that is not read yet.
    pub lag: PoolLag,
    /// Port to other nodes; `()` for none.
    pub peers: Arc<dyn Peers>,
    /// Translations that were made before, if they are remembered.
    pub cache: Option<Arc<dyn TranslationCache>>,
}
