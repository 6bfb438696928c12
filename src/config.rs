//! Configuration: TOML, the environment and flags over it, checked as a whole. The crates below own the types of their sections.

mod deprecated;
mod diagnostics;
mod fetch;
mod load;
mod model;
mod models;
#[cfg(test)]
mod tests;
pub(crate) mod validate;

pub use babelmesh_settings::{ConfigError, ConfigErrors, Place, Secret};
pub use deprecated::DeprecatedKey;
pub use fetch::FetchConfig;
pub use load::{load, load_with_deprecations};
pub use model::{
    BatchConfig, Config, EngineConfig, EngineKind, IntakeConfig, LimitsConfig, LogConfig,
    LogFormat, NodeConfig, PolicyKind, PoolConfig, RetryConfig, ScalingConfig, StatusConfig,
    TextConfig,
};
pub use models::{EscalationConfig, ModelsConfig};

pub use crate::{
    api::HttpConfig,
    cache::{CacheConfig, RedisConfig},
    kafka::KafkaConfig,
    telemetry::{
        config::{OtlpProtocol, TelemetryConfig, TracesConfig},
        status::Delivery,
    },
};
