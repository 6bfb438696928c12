//! Events of a node outside its actors, and the log lines of all events.
//!
//! Business code emits typed events; only this module and its submodules define log lines.

mod log;
mod names;
mod node_event;
mod repeats;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use babelmesh_actors::routing::list;
use tracing::{debug, error, info, warn};

pub use log::{EventLog, stop_reason};
pub use node_event::{NodeEvent, PartitionChange};
pub use repeats::LibraryLines;

use self::names::GIVEN_UP;

/// How often events happened in this process. There is one log in a process, and librdkafka's threads know no node.
static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

fn counts() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(name: &'static str) {
    *counts().entry(name).or_default() += 1;
}

impl NodeEvent<'_> {
    /// How often each kind of event happened in this process.
    pub fn counts() -> impl Iterator<Item = (&'static str, u64)> {
        let mut counts = counts().clone();
        // An alert can see the first one only where there was a zero before it.
        counts.entry(GIVEN_UP).or_default();
        counts.into_iter()
    }

    /// Counts it, and writes its log line unless one like it was written a moment ago.
    pub fn emit(self) {
        count(self.name());
        if repeats::may_be_written(&self) {
            self.write();
        }
    }

    fn write(self) {
        match self {
            Self::Started {
                node,
                bootstrap,
                models,
                socket,
                http,
            } => {
                let http = http.map_or_else(String::new, |http| format!("http://{http}/"));
                info!(node, bootstrap, models, socket = %socket.display(), http, "node started");
            }
            Self::Draining { signal } => info!(
                signal,
                "draining: consumption stopped, finishing in-flight work"
            ),
            Self::DeprecatedKey { old, new, place } => {
                warn!(
                    key = old,
                    use_instead = new,
                    place,
                    "deprecated configuration key"
                );
            }
            Self::Stopped => info!("node stopped"),
            Self::KafkaLog {
                is_warning,
                facility,
                message,
            } => match is_warning {
                true => warn!(facility, "kafka: {message}"),
                false => debug!(facility, "kafka: {message}"),
            },
            Self::KafkaError { error, doing } => warn!(error, doing, "Kafka client error"),
            Self::LanguagesGivenUp { languages } => error!(
                languages = list(languages),
                "no model for these languages can be loaded: leaving their jobs to other nodes"
            ),
            Self::LanguagesRegained { languages } => {
                info!(languages = list(languages), "languages available again");
            }
            Self::PartOverdue { part } => {
                warn!(part, "did not stop in time and was abandoned");
            }
            Self::Rebalanced { change } => match change {
                PartitionChange::Assigned { count, partitions } => {
                    info!(count, partitions, "partitions assigned");
                }
                PartitionChange::Revoked { count, partitions } => {
                    info!(count, partitions, "partitions revoked");
                }
                PartitionChange::Failed { error } => warn!(error, "rebalancing failed"),
            },
            Self::ModelBroken { model, error } => {
                error!(model, error, "model unusable, not served");
            }
            Self::FormRepaired {
                model,
                engine,
                damage,
            } => warn!(
                model,
                engine, damage, "cached model form was corrupt and has been rebuilt"
            ),
            Self::TopicCreated { topic, partitions } => info!(topic, partitions, "topic created"),
            Self::TopicRecreated { topic, partitions } => warn!(
                topic,
                partitions,
                "topic was deleted and recreated: unread records of the old topic are lost, reading the new one from its beginning"
            ),
            Self::RecordsSkipped {
                topic,
                partition,
                from,
                to,
            } => error!(
                topic,
                partition,
                from,
                to,
                records = to.saturating_sub(from),
                "retention deleted records before they were read: at most this many are lost"
            ),
            Self::RecordsSkippedUncounted {
                topic,
                partition,
                from,
            } => error!(
                topic,
                partition,
                from,
                "retention may have deleted records before they were read: the brokers did not report how many"
            ),
            Self::PartitionsUnassigned {
                partitions,
                rejoins,
            } => warn!(
                partitions,
                rejoins, "no member of the group is assigned these partitions: they are not read"
            ),
            Self::TooFewPartitions {
                topic,
                partitions,
                parallelism,
            } => warn!(
                topic,
                partitions,
                parallelism,
                "fewer partitions than kafka.parallelism for this language"
            ),
            Self::PublishFailed { error } => {
                error!(error, "publishing failed, retrying");
            }
            Self::TransactionAborted { error } => {
                warn!(error, "transaction aborted, retrying");
            }
            Self::ProducerBroken { error } => warn!(error, "replacing the producer"),
            Self::Fenced { pause } => warn!(
                ?pause,
                "fenced by another member with this node's name, or by a delayed join request of this node; rejoining"
            ),
            Self::ReaderDeaf => {
                warn!("consumer disconnected from all brokers; replacing it")
            }
            Self::DoubtSettled { committed } => {
                info!(committed, "outcome of an interrupted commit is known");
            }
            Self::TopicUnusable { topic, problem } => {
                error!(topic, problem, "topic unusable")
            }
            Self::TopicUsable { topic } => info!(topic, "topic usable again"),
            Self::RecordRefused { topic, bytes } => warn!(
                topic,
                bytes, "record rejected as too large: replaced by an error or a dead letter"
            ),
            Self::RecordGivenUp { topic, bytes } => error!(
                topic,
                bytes, "record and its dead letter rejected as too large: record lost"
            ),
            Self::OffsetNotStored { topic, error } => {
                debug!(topic, error, "offset not stored: partition moved");
            }
            Self::PartitionDropped {
                topic,
                partition,
                unfinished,
            } => {
                warn!(
                    topic,
                    partition, unfinished, "partition revoked with unfinished records"
                );
            }
            Self::CacheReachable { address } => info!(address, "the shared cache answers"),
            Self::CacheUnreachable { address, error } => warn!(
                address,
                error, "shared cache unreachable, translating without it"
            ),
            Self::GlossariesUnreadable { topic, error } => {
                warn!(topic, error, "glossaries cannot be read, retrying");
            }
            Self::GlossarySkipped {
                topic,
                partition,
                offset,
                error,
            } => warn!(
                topic,
                partition, offset, error, "record of a glossary cannot be used and was skipped"
            ),
            Self::StatusFailed { error } => warn!(error, "status request failed"),
            Self::KeysRead { keys } => info!(keys, "API keys reloaded"),
            Self::KeysUnreadable { error } => {
                warn!(
                    error,
                    "API keys changed but cannot be read, keeping the previous ones"
                );
            }
            Self::KeysOpen { file, mode } => {
                let (file, mode) = (file.display(), format!("{mode:04o}"));
                warn!(%file, mode, "API key file is accessible by other users: chmod 600");
            }
            Self::FewDescriptors {
                limit,
                needed,
                connections,
            } => warn!(
                limit,
                needed,
                connections,
                "the limit of open files is too low for the configured connections, so http.max_connections is lowered to what fits: raise the limit (ulimit -Hn)"
            ),
            Self::ClusterStarted {
                listen,
                address,
                encrypted,
            } => info!(listen, address, encrypted, "joining the cluster"),
            Self::CertificateReloaded { expires } => {
                info!(expires, "certificate reloaded for new connections");
            }
            Self::CertificateUnusable { error } => warn!(
                error,
                "certificate files changed but cannot be used, keeping the previous certificate"
            ),
            Self::CertificateExpires { warning } => {
                warn!("{warning}; replace its files, the node reloads them");
            }
            Self::MemberChanged {
                node,
                incarnation,
                from,
                to,
            } => info!(node, incarnation, from, to, "cluster member changed state"),
            Self::PeerRefused {
                address,
                dialled: true,
                error,
                ..
            } => warn!(%address, error, "no connection to another node"),
            Self::PeerRefused { address, error, .. } => {
                warn!(%address, error, "a connection of another node was refused");
            }
            Self::HandshakesCrowded { most } => {
                warn!(most, "too many concurrent handshakes, dropping the oldest");
            }
            Self::ForwardFailed { node, error } => {
                warn!(node, error, "remote node failed to translate")
            }
            Self::CommandDone {
                id,
                by,
                action,
                outcome: Ok(outcome),
            } => info!(id, by, ?action, outcome, "command executed"),
            Self::CommandDone {
                id,
                by,
                action,
                outcome: Err(error),
            } => warn!(id, by, ?action, error, "command failed"),
            Self::SpansDropped { spans, error } => {
                warn!(spans, error, "exporting traces failed, dropping spans");
            }
            Self::ClusterTrouble { error } => warn!(error, "cluster error"),
            Self::Failed { error } => error!(error, "fatal error, node exits"),
        }
    }
}
