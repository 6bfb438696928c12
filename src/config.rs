//! Configuration: TOML, the environment and flags over it, checked as a whole.

pub(crate) mod cache;
mod deprecated;
mod diagnostics;
mod http;
mod kafka;
mod load;
mod model;
mod secret;
mod telemetry;
#[cfg(test)]
mod tests;
pub(crate) mod validate;

pub use cache::{CacheConfig, RedisConfig};
pub use deprecated::DeprecatedKey;
pub use diagnostics::Place;
pub use http::HttpConfig;
pub use kafka::{Delivery, KafkaConfig};
pub use load::{ConfigError, ConfigErrors, load, load_with_deprecations};
pub use model::{
    BatchConfig, Config, EngineConfig, EngineKind, IntakeConfig, LimitsConfig, LogConfig,
    LogFormat, ModelsConfig, NodeConfig, PolicyKind, PoolConfig, RetryConfig, ScalingConfig,
    StatusConfig,
};
pub use secret::Secret;
pub use telemetry::{OtlpProtocol, TelemetryConfig, TracesConfig};
