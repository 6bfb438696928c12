//! Configuration: TOML, the environment and flags over it, checked as a whole.

mod load;
mod model;
#[cfg(test)]
mod tests;
pub(crate) mod validate;

pub use load::{ConfigError, ConfigErrors, load};
pub use model::{
    BatchConfig, Config, Delivery, EngineConfig, EngineKind, IntakeConfig, KafkaConfig,
    LimitsConfig, LogConfig, LogFormat, ModelsConfig, NodeConfig, PolicyKind, PoolConfig,
    RetryConfig, ScalingConfig, StatusConfig,
};
