//! A Redis that nodes share.
//!
//! One task keeps the connection and writes; everybody asks over the same connection. A timeout disables lookups until
//! the task has seen Redis answer again (circuit breaker), so that an unreachable Redis costs one timeout, not one per
//! message.

use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use babelmesh_actors::{cache::CacheKey, engine::Translation};
use babelmesh_telemetry::events::NodeEvent;
use babelmesh_telemetry::status::SharedStatus;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
};

use crate::config::RedisConfig;

/// Interval of health checks, and reconnect delay.
const LOOK: Duration = Duration::from_secs(1);
/// Connect timeout, in the background.
const CONNECT: Duration = Duration::from_secs(5);
/// Most translations that are asked for or written at once.
const AT_ONCE: usize = 500;
/// Batches that wait to be written; further ones are dropped.
const WAITING: usize = 1_024;
/// First byte of a value: its form. A value with another one is not ours to read; those of form 1 may lack their end, and those of form 2 have no
/// place for an alignment.
const FORM: u8 = 3;

type Made = Vec<(CacheKey, Translation)>;

/// The client of a shared Redis.
pub(super) struct Shared {
    way: Arc<SharedConnection>,
    to_write: mpsc::Sender<Made>,
    keeper: JoinHandle<()>,
}

/// State shared by lookups and writes.
struct SharedConnection {
    /// Present while Redis answers.
    connection: Mutex<Option<MultiplexedConnection>>,
    prefix: String,
    timeout: Duration,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    missed: AtomicU64,
    found: AtomicU64,
    failed: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Shared {
    /// Connects in the background; `None` when no Redis is configured.
    pub(super) fn start(config: &RedisConfig, ttl: Duration) -> Result<Option<Self>> {
        let Some(address) = &config.address else {
            return Ok(None);
        };
        let way = Arc::new(SharedConnection {
            connection: Mutex::new(None),
            prefix: config.prefix.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            counts: Counts::default(),
        });
        let (to_write, waiting) = mpsc::channel(WAITING);
        let keeper = CacheWorker {
            client: client(address, config)?,
            address: address.clone(),
            way: Arc::clone(&way),
            waiting,
            ttl,
            said: None,
        };
        Ok(Some(Self {
            way,
            to_write,
            keeper: tokio::spawn(keeper.run()),
        }))
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.way.connection().is_some()
    }

    /// Asks for translations; an answer for each key.
    pub(super) async fn ask(&self, keys: &[CacheKey]) -> Vec<Option<Translation>> {
        let way = &*self.way;
        let mut answers = Vec::with_capacity(keys.len());
        for some in keys.chunks(AT_ONCE) {
            let connection = way.connection().clone();
            let found = match connection {
                Some(connection) => way.ask(connection, some).await,
                None => None,
            };
            match &found {
                Some(found) => {
                    let had = found.iter().flatten().count();
                    add(&way.counts.found, had);
                    add(&way.counts.missed, some.len() - had);
                }
                None => {
                    *way.connection() = None;
                    add(&way.counts.failed, some.len());
                }
            }
            answers.extend(found.unwrap_or_else(|| vec![None; some.len()]));
        }
        answers
    }

    /// Has translations written.
    pub(super) fn write(&self, made: Made) {
        let refused = if self.is_reachable() {
            match self.to_write.try_send(made) {
                Ok(()) => 0,
                Err(TrySendError::Full(made) | TrySendError::Closed(made)) => made.len(),
            }
        } else {
            made.len()
        };
        add(&self.way.counts.dropped, refused);
    }

    pub(super) fn status(&self) -> SharedStatus {
        let counts = &self.way.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SharedStatus {
            reachable: self.is_reachable(),
            missed: read(&counts.missed),
            found: read(&counts.found),
            failed: read(&counts.failed),
            written: read(&counts.written),
            dropped: read(&counts.dropped),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl SharedConnection {
    fn connection(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, key: &CacheKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Lookup in Redis; `None` if it does not answer.
    async fn ask(
        &self,
        mut connection: MultiplexedConnection,
        keys: &[CacheKey],
    ) -> Option<Vec<Option<Translation>>> {
        let mut command = redis::cmd("MGET");
        for key in keys {
            command.arg(self.name(key));
        }
        let answer = command.query_async::<Vec<Option<Vec<u8>>>>(&mut connection);
        let values = tokio::time::timeout(self.timeout, answer)
            .await
            .ok()?
            .ok()?;
        let values = values.into_iter();
        let mut found: Vec<_> = values.map(|value| decode(&value?)).collect();
        found.resize(keys.len(), None);
        Some(found)
    }
}

/// Keeps the connection and writes.
struct CacheWorker {
    client: Client,
    address: String,
    way: Arc<SharedConnection>,
    waiting: mpsc::Receiver<Made>,
    ttl: Duration,
    /// Last reported reachability.
    said: Option<bool>,
}

impl CacheWorker {
    async fn run(mut self) {
        loop {
            if let Err(error) = self.keep().await {
                *self.way.connection() = None;
                self.say(false, &error.to_string());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Connects, and goes on for as long as Redis answers.
    async fn keep(&mut self) -> Result<(), RedisError> {
        let timeout = self.way.timeout.max(LOOK);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(timeout));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut look = tokio::time::interval(LOOK);
        let mut batches = Vec::new();
        loop {
            tokio::select! {
                _ = look.tick() => {
                    redis::cmd("PING").exec_async(&mut connection).await?;
                    *self.way.connection() = Some(connection.clone());
                    self.say(true, "");
                }
                _ = self.waiting.recv_many(&mut batches, AT_ONCE / 10) => {
                    self.write(&mut connection, batches.drain(..).flatten().collect()).await?;
                }
            }
        }
    }

    async fn write(
        &self,
        connection: &mut MultiplexedConnection,
        made: Made,
    ) -> Result<(), RedisError> {
        let counts = &self.way.counts;
        let mut left = made.len();
        for some in made.chunks(AT_ONCE) {
            let mut pipe = redis::pipe();
            for (key, translation) in some {
                // Redis takes milliseconds; validation keeps them in its range.
                let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
                pipe.cmd("SET")
                    .arg(self.way.name(key))
                    .arg(encode(translation))
                    .arg("PX")
                    .arg(ttl)
                    .ignore();
            }
            if let Err(error) = pipe.exec_async(connection).await {
                add(&counts.dropped, left);
                return Err(error);
            }
            add(&counts.written, some.len());
            left -= some.len();
        }
        Ok(())
    }

    fn say(&mut self, reachable: bool, error: &str) {
        if self.said.replace(reachable) == Some(reachable) {
            return;
        }
        let address = &self.address;
        match reachable {
            true => NodeEvent::CacheReachable { address }.emit(),
            false => NodeEvent::CacheUnreachable { address, error }.emit(),
        }
    }
}

fn client(address: &str, config: &RedisConfig) -> Result<Client> {
    let RedisConfig {
        username,
        password,
        ca_file,
        ..
    } = config;
    let info: ConnectionInfo = address
        .into_connection_info()
        .context("cache.redis.address")?;
    let mut settings = info.redis_settings().clone();
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose());
    }
    let info = info.set_redis_settings(settings);
    let Some(file) = ca_file else {
        return Client::open(info).context("cache.redis.address");
    };
    let root_cert = fs::read(file)
        .with_context(|| format!("cache.redis.ca_file: reading {}", file.display()))?;
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(root_cert),
    };
    Client::build_with_tls(info, certificates).context("cache.redis.ca_file")
}

fn encode(translation: &Translation) -> Vec<u8> {
    // A vector takes whatever is written to it, and a translation is nothing but numbers and text.
    postcard::to_extend(translation, vec![FORM]).unwrap_or_default()
}

fn decode(value: &[u8]) -> Option<Translation> {
    match value.split_first()? {
        (&FORM, translation) => {
            let translation = postcard::from_bytes::<Translation>(translation).ok();
            translation.filter(Translation::is_whole)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::engine::Completeness;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_read_as_they_were_written(text: String, score in -50.0..=0f32, tokens: (u32, u32)) {
            let translation = Translation {
                text,
                score,
                input_tokens: tokens.0,
                output_tokens: tokens.1,
                completeness: Completeness::Whole,
                alignment: None,
                alternatives: Vec::new(),
            };
            prop_assert_eq!(decode(&encode(&translation)), Some(translation.clone()));
            for completeness in [Completeness::Unfinished, Completeness::TooLong { limit: 9 }] {
                let part = Translation { completeness, ..translation.clone() };
                prop_assert_eq!(decode(&encode(&part)), None);
            }
        }

        #[test]
        fn foreign_cache_values_cause_no_errors(value: Vec<u8>) {
            let _ = decode(&value);
            let mut other = value;
            other.insert(0, FORM + 1);
            prop_assert_eq!(decode(&other), None);
        }
    }
}
