//! Every key, its default and its unit. `config/reference.toml` says the same to operators, and a test compares the two.

use std::{path::PathBuf, time::Duration};

use babelmesh_actors::{
    domain::{DEFAULT_MAX_TEXT_CHARS, Lanes, TermLimits},
    engine::{FakeSpec, Precision},
    glossaries::GlossaryLimits,
    offload::OffloadConfig,
    pool::{BatchBudget, DEFAULT_MIN_PIECE_TOKENS, DEFAULT_WEIGHTS, SharingConfig},
    scaling::{DelayTargetConfig, ThresholdConfig},
    splitting::Limits,
};
use babelmesh_documents::DocumentsConfig;
use serde::{Deserialize, Serialize};

use super::models::ModelsConfig;
use crate::{
    api::HttpConfig, cache::CacheConfig, cluster::ClusterConfig, kafka::KafkaConfig,
    telemetry::config::TelemetryConfig,
};

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The node itself.
    pub node: NodeConfig,
    /// Where log lines go and which.
    pub log: LogConfig,
    /// Kafka.
    pub kafka: KafkaConfig,
    /// Intake limits and back-pressure.
    pub intake: IntakeConfig,
    /// Which models.
    pub models: ModelsConfig,
    /// How models are run.
    pub engine: EngineConfig,
    /// How texts are read.
    pub text: TextConfig,
    /// Glossaries.
    pub glossaries: GlossariesConfig,
    /// Pools of model actors.
    pub pool: PoolConfig,
    /// Retries.
    pub retry: RetryConfig,
    /// How many model actors.
    pub scaling: ScalingConfig,
    /// Resource limits.
    pub limits: LimitsConfig,
    /// Help between the pools of nodes.
    pub offload: OffloadConfig,
    /// Where `babelmesh status` asks.
    pub status: StatusConfig,
    /// The other nodes.
    pub cluster: ClusterConfig,
    /// Translations that are made once.
    pub cache: CacheConfig,
    /// HTTP.
    pub http: HttpConfig,
    /// Documents.
    pub documents: DocumentsConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
}

/// The node itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// Name in results, logs and Kafka client ids.
    pub name: String,
    /// Drain timeout, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Longest time from the signal to the end of the process, in milliseconds; 0 is the drain timeout and ten seconds.
    pub shutdown_timeout_ms: u64,
}

/// Time beyond the drain timeout for the rest of the shutdown.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(10);

impl NodeConfig {
    /// Longest time from the signal to the end of the process.
    #[must_use]
    pub fn shutdown_timeout(&self) -> Duration {
        match self.shutdown_timeout_ms {
            0 => Duration::from_millis(self.drain_timeout_ms) + SHUTDOWN_RESERVE,
            timeout => Duration::from_millis(timeout),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "node-1".to_owned(),
            drain_timeout_ms: 30_000,
            shutdown_timeout_ms: 0,
        }
    }
}

/// Log lines, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
    /// Form of the lines.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How texts are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Regular expressions for text that must not be translated.
    pub patterns: Vec<String>,
    /// Whether the attributes `alt`, `title`, `placeholder` and `aria-label` of HTML are translated.
    pub attributes: bool,
}

/// Limits of glossaries, and of the terms that a request has of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GlossariesConfig {
    /// Most glossaries.
    pub max_glossaries: usize,
    /// Most bytes of all glossaries together.
    pub max_total_bytes: usize,
    /// Most entries of a glossary.
    pub max_entries: usize,
    /// Most bytes of the entries of a glossary.
    pub max_bytes: usize,
    /// Longest term, and longest translation of one, in bytes.
    pub max_term_bytes: usize,
    /// How long a change may take, and how long a job waits for a glossary that may have been created just before it, in milliseconds.
    pub wait_ms: u64,
}

impl Default for GlossariesConfig {
    fn default() -> Self {
        let limits = GlossaryLimits::default();
        Self {
            max_glossaries: limits.glossaries,
            max_total_bytes: limits.bytes,
            max_entries: limits.terms.entries,
            max_bytes: limits.terms.bytes,
            max_term_bytes: limits.terms.term_bytes,
            wait_ms: u64::try_from(limits.wait.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl GlossariesConfig {
    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> GlossaryLimits {
        GlossaryLimits {
            glossaries: self.max_glossaries,
            bytes: self.max_total_bytes,
            terms: TermLimits {
                entries: self.max_entries,
                bytes: self.max_bytes,
                term_bytes: self.max_term_bytes,
            },
            wait: Duration::from_millis(self.wait_ms),
        }
    }
}

/// Intake limits and back-pressure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntakeConfig {
    /// Accepted work above which nothing more is read, in tokens (a message counts 16 and one for four bytes).
    pub high_water_tokens: u64,
    /// Accepted work below which reading goes on, in tokens.
    pub low_water_tokens: u64,
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// Most target languages of one request.
    pub max_targets: usize,
    /// Longest `messageId`, `taskId`, `conversationId`, `glossaryId` and `sourceLanguage` of a request, in bytes.
    pub max_id_bytes: usize,
}

impl IntakeConfig {
    /// Limits that requests must keep.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            text_chars: self.max_text_chars,
            targets: self.max_targets,
            id_bytes: self.max_id_bytes,
        }
    }

    /// Most bytes that the jobs of one request have together: each repeats the text and five ids, and JSON writes a control character as six
    /// bytes.
    pub(super) const fn most_bytes_of_a_request(&self) -> usize {
        let ids = self.max_id_bytes.saturating_mul(5);
        let each = self.max_text_chars.saturating_add(ids).saturating_mul(6);
        each.saturating_mul(self.max_targets)
    }
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            high_water_tokens: 400_000,
            low_water_tokens: 200_000,
            max_text_chars: DEFAULT_MAX_TEXT_CHARS,
            max_targets: 64,
            max_id_bytes: 1_024,
        }
    }
}

/// How models are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineConfig {
    /// Which engine.
    pub kind: EngineKind,
    /// Folder of the engine executables; beside `babelmesh` itself when absent.
    pub directory: Option<PathBuf>,
    /// Numeric type: `auto`, `int8`, `float16`, `float32`.
    pub precision: Precision,
    /// `cpu`, or `cuda:0` and so on.
    pub device: String,
    /// Threads of each engine process.
    pub threads: u16,
    /// Beam size; 1 is greedy.
    pub beam_size: u16,
    /// Longest time for an engine to start and load, in milliseconds.
    pub load_timeout_ms: u64,
    /// Longest time for a batch before what its text adds, in milliseconds.
    pub batch_timeout_ms: u64,
    /// What each estimated token of a batch adds to that, in milliseconds.
    pub timeout_per_token_ms: u64,
    /// Resident memory above which an engine is replaced between batches, in MiB; above twice that it is killed.
    pub memory_limit_mb: u64,
    /// The `fake` engine's behaviour.
    pub fake: FakeSpec,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            kind: EngineKind::Auto,
            directory: None,
            precision: Precision::Auto,
            device: "cpu".to_owned(),
            threads: 1,
            beam_size: 1,
            load_timeout_ms: 120_000,
            batch_timeout_ms: 10_000,
            timeout_per_token_ms: 20,
            memory_limit_mb: 4_096,
            fake: FakeSpec::default(),
        }
    }
}

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// The fastest engine that runs the model: `firefox` for firefox models, `openai` for openai models; for all others `ctranslate2` where it supports them, else
    /// `rust-bert`.
    Auto,
    /// The engine of Firefox Translations, in Rust.
    Firefox,
    /// CTranslate2.
    Ctranslate2,
    /// rust-bert on libtorch.
    RustBert,
    /// A client of OpenAI-compatible endpoints.
    Openai,
    /// No model: marks the text. For tests and trials of everything else.
    Fake,
}

/// Pools of model actors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolConfig {
    /// Fewest model actors of each pool; with zero, an idle pool gives its last one up. When absent, it is one on a node that has a
    /// core for each model, else zero.
    pub min_actors: Option<u32>,
    /// Most model actors of each pool; zero means as many as the node has room for.
    pub max_actors: u32,
    /// Bounds of a batch.
    pub batch: BatchConfig,
    /// Shares of the lanes when all of them have work.
    pub weights: Lanes<u32>,
    /// How clients share a pool.
    pub sharing: SharingSection,
    /// First delay before a failed actor is replaced again, in milliseconds; doubles with each failure.
    pub restart_initial_backoff_ms: u64,
    /// Longest such delay, in milliseconds.
    pub restart_max_backoff_ms: u64,
    /// How long jobs wait for a pool without any warm actor before they are answered with an error, in milliseconds.
    pub unavailable_after_ms: u64,
    /// A piece of text whose translation comes without its end is cut in two, unless it has no more estimated tokens than this.
    pub min_piece_tokens: u32,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            min_actors: None,
            max_actors: 0,
            batch: BatchConfig::default(),
            weights: DEFAULT_WEIGHTS,
            sharing: SharingSection::default(),
            restart_initial_backoff_ms: 250,
            restart_max_backoff_ms: 30_000,
            unavailable_after_ms: 30_000,
            min_piece_tokens: DEFAULT_MIN_PIECE_TOKENS,
        }
    }
}

/// How clients share a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SharingSection {
    /// Longest work of one client in a batch of the interactive lane while several clients use it, in milliseconds.
    pub turn_ms: u64,
    /// A request is refused when its estimated time is so many times as long as its deadline leaves; zero refuses none.
    pub refuse_above: f64,
}

impl Default for SharingSection {
    fn default() -> Self {
        let SharingConfig { turn, refuse_above } = SharingConfig::default();
        Self {
            turn_ms: u64::try_from(turn.as_millis()).unwrap_or(u64::MAX),
            refuse_above,
        }
    }
}

/// Bounds of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchConfig {
    /// Most segments.
    pub segments: usize,
    /// Most tokens, padding included.
    pub padded_tokens: u32,
}

impl Default for BatchConfig {
    fn default() -> Self {
        let BatchBudget {
            items,
            padded_tokens,
        } = BatchBudget::default();
        Self {
            segments: items,
            padded_tokens,
        }
    }
}

/// Retry policy for transient failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryConfig {
    /// Retries of a job without a deadline; zero disables retries.
    pub attempts: u32,
    /// Longest delay before the first of them, in milliseconds; doubles with each.
    pub initial_backoff_ms: u64,
    /// Longest delay of all, in milliseconds.
    pub max_backoff_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 3,
            initial_backoff_ms: 500,
            max_backoff_ms: 10_000,
        }
    }
}

/// How many model actors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingConfig {
    /// Which policy.
    pub policy: PolicyKind,
    /// Parameters of `delay-target`.
    pub delay_target: DelayTargetConfig,
    /// Parameters of `threshold`.
    pub threshold: ThresholdConfig,
}

/// Which scaling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Keeps the queue delay at its target.
    #[default]
    DelayTarget,
    /// The rule of Meeshy's translator 0.4.9.
    Threshold,
}

/// Resource limits of engines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsConfig {
    /// Cores; zero means all that this process may use.
    pub cores: usize,
    /// Memory in MiB; zero means three quarters of the machine's.
    pub memory_mb: u64,
}

/// Where `babelmesh status` asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusConfig {
    /// Path of the node's Unix socket; a name made of the node's in the user's runtime folder when absent.
    pub socket: Option<PathBuf>,
}
