//! Events of a node outside its actors, and the log lines of all events.
//!
//! Business code emits typed events; only this module and its submodules define log lines.

mod log;
mod repeats;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::SocketAddr,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use babelmesh_actors::{domain::Language, routing::list};
use tracing::{debug, error, info, warn};

pub use log::{EventLog, stop_reason};
pub use repeats::LibraryLines;

/// What a rebalance did to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionChange<'a> {
    /// Partitions came.
    Assigned {
        /// How many.
        count: usize,
        /// By topic: `translation.jobs.fr[0,1,2]`.
        partitions: &'a str,
    },
    /// Partitions went.
    Revoked {
        /// How many.
        count: usize,
        /// By topic.
        partitions: &'a str,
    },
    /// Rebalancing failed.
    Failed {
        /// Why.
        error: &'a str,
    },
}

/// Something that happened around the actors.
pub enum NodeEvent<'a> {
    /// The node accepts work.
    Started {
        /// Its name.
        node: &'a str,
        /// Brokers it talks to.
        bootstrap: &'a str,
        /// Models it has.
        models: &'a str,
        /// Socket that answers `babelmesh status`.
        socket: &'a Path,
        /// Where it answers HTTP, if it does.
        http: Option<SocketAddr>,
    },
    /// The node is draining.
    Draining {
        /// The origin of the request.
        signal: &'a str,
    },
    /// The node has ended in an orderly way.
    Stopped,
    /// librdkafka logged something.
    KafkaLog {
        /// Whether it is a warning or worse.
        is_warning: bool,
        /// Part of librdkafka.
        facility: &'a str,
        /// Its line.
        message: &'a str,
    },
    /// A recoverable error of a Kafka client.
    KafkaError {
        /// What it says.
        error: &'a str,
        /// The operation.
        doing: &'a str,
    },
    /// Partitions came or went.
    Rebalanced {
        /// Which.
        change: PartitionChange<'a>,
    },
    /// A model cannot be served; the others are.
    ModelBroken {
        /// Its id, or the name of its folder.
        model: &'a str,
        /// The error.
        error: &'a str,
    },
    /// Jobs into these languages are left to other nodes: no model that writes them can be loaded here.
    LanguagesGivenUp {
        /// Which.
        languages: &'a [Language],
    },
    /// They are read again.
    LanguagesRegained {
        /// Which.
        languages: &'a [Language],
    },
    /// A configuration key was given under its old name.
    DeprecatedKey {
        /// The old name.
        old: &'a str,
        /// The new name.
        new: &'a str,
        /// Where it was given; empty if that is not known.
        place: &'a str,
    },
    /// A part of the node did not stop in time and was abandoned.
    PartOverdue {
        /// Which.
        part: &'a str,
    },
    /// An engine's form of a model was damaged in the cache and has been derived again.
    FormRepaired {
        /// The model.
        model: &'a str,
        /// The engine.
        engine: &'a str,
        /// The damage of the form.
        damage: &'a str,
    },
    /// A topic was missing.
    TopicCreated {
        /// Its name.
        topic: &'a str,
        /// Its partitions.
        partitions: i32,
    },
    /// A topic was deleted and created again; it is read from its beginning.
    TopicRecreated {
        /// Its name.
        topic: &'a str,
        /// Its partitions that this node reads.
        partitions: usize,
    },
    /// Retention deleted records before they were read: they are lost.
    RecordsSkipped {
        /// Their topic.
        topic: &'a str,
        /// Their partition.
        partition: i32,
        /// The offset that was to be read next.
        from: i64,
        /// The first offset that is left.
        to: i64,
    },
    /// Retention may have deleted records before they were read; the brokers did not tell how many.
    RecordsSkippedUncounted {
        /// Their topic.
        topic: &'a str,
        /// Their partition.
        partition: i32,
        /// The offset that was to be read next.
        from: i64,
    },
    /// No member of the group owns these partitions: they are not read.
    PartitionsUnassigned {
        /// Which.
        partitions: &'a str,
        /// Whether this node leaves its group and joins it again to change that.
        rejoins: bool,
    },
    /// Fewer nodes can work on a language than should be able to.
    TooFewPartitions {
        /// Its topic.
        topic: &'a str,
        /// Partitions that it has.
        partitions: i32,
        /// Nodes that should be able to work on the language.
        parallelism: i32,
    },
    /// Answers could not be written; they are written again.
    PublishFailed {
        /// Why.
        error: &'a str,
    },
    /// A transaction was aborted; its records are written again.
    TransactionAborted {
        /// Why.
        error: &'a str,
    },
    /// A producer failed and is replaced.
    ProducerBroken {
        /// Why.
        error: &'a str,
    },
    /// The group has another member under this node's name, or a request of its own that came late.
    Fenced {
        /// When it joins again.
        pause: Duration,
    },
    /// A consumer was disconnected from all brokers and is replaced.
    ReaderDeaf,
    /// The outcome of an interrupted commit is known.
    DoubtSettled {
        /// Whether it had succeeded.
        committed: bool,
    },
    /// A topic became unusable.
    TopicUnusable {
        /// The topic.
        topic: &'a str,
        /// The problem, phrased to follow its name.
        problem: &'a str,
    },
    /// A topic can be used again.
    TopicUsable {
        /// The topic.
        topic: &'a str,
    },
    /// The brokers never take a record of this size. Something smaller takes its place, or a dead letter beside it holds the request.
    RecordRefused {
        /// Where to.
        topic: &'a str,
        /// Its size, in bytes.
        bytes: usize,
    },
    /// The brokers take nothing that could stand for a record, not even a dead letter.
    RecordGivenUp {
        /// Where to.
        topic: &'a str,
        /// Its size, in bytes.
        bytes: usize,
    },
    /// An offset could not be stored; what is behind it is delivered again.
    OffsetNotStored {
        /// Of which topic.
        topic: &'a str,
        /// Why.
        error: &'a str,
    },
    /// A partition went before everything read from it was finished; its next owner reads that again.
    PartitionDropped {
        /// Of which topic.
        topic: &'a str,
        /// Which.
        partition: i32,
        /// Records read and not finished.
        unfinished: usize,
    },
    /// A status request failed.
    StatusFailed {
        /// Why.
        error: &'a str,
    },
    /// The file of API keys had changed and counts from now on.
    KeysRead {
        /// Keys in it.
        keys: usize,
    },
    /// The file of API keys has changed and cannot be read; the keys from before still count.
    KeysUnreadable {
        /// Why.
        error: &'a str,
    },
    /// Others than its owner may read the file of API keys, or write it.
    KeysOpen {
        /// The file.
        file: &'a Path,
        /// Its permissions.
        mode: u32,
    },
    /// The process may have fewer open files than the configuration allows connections.
    FewDescriptors {
        /// How many it may have.
        limit: u64,
        /// How many it may need.
        needed: u64,
        /// HTTP connections that are allowed instead of the configured ones.
        connections: usize,
    },
    /// The node looks for others.
    ClusterStarted {
        /// Where it listens.
        listen: &'a str,
        /// The advertised address.
        address: &'a str,
        /// Whether connections are encrypted.
        encrypted: bool,
    },
    /// The files of the node's certificate had changed, and count from now on.
    CertificateReloaded {
        /// When it expires.
        expires: &'a str,
    },
    /// The files of the node's certificate have changed and cannot be used; the certificate from before still counts.
    CertificateUnusable {
        /// Why.
        error: &'a str,
    },
    /// The node's certificate expires soon, or has expired.
    CertificateExpires {
        /// Which and when.
        warning: &'a str,
    },
    /// Another node came, went, or is suspected.
    MemberChanged {
        /// Its name.
        node: &'a str,
        /// Its incarnation.
        incarnation: u64,
        /// Its previous state.
        from: &'a str,
        /// Its new state.
        to: &'a str,
    },
    /// Connecting to an address failed.
    PeerRefused {
        /// The address.
        address: SocketAddr,
        /// Whether this node dialled; if not, it was dialled.
        dialled: bool,
        /// Kind of the reason, without what differs from time to time.
        kind: &'a str,
        /// Why.
        error: &'a str,
    },
    /// Too many concurrent handshakes: the oldest was dropped.
    HandshakesCrowded {
        /// How many may be.
        most: usize,
    },
    /// The Redis that nodes share translations in answers.
    CacheReachable {
        /// Its address.
        address: &'a str,
    },
    /// It does not answer; local misses are translated until it does.
    CacheUnreachable {
        /// Its address.
        address: &'a str,
        /// Why.
        error: &'a str,
    },
    /// Another node did not translate what it was given.
    ForwardFailed {
        /// Which.
        node: &'a str,
        /// Why.
        error: &'a str,
    },
    /// An operator command was executed or failed.
    CommandDone {
        /// Names the command.
        id: &'a str,
        /// The node that passed it on.
        by: &'a str,
        /// The action.
        action: &'a dyn Debug,
        /// The outcome or the error.
        outcome: Result<&'a str, &'a str>,
    },
    /// Spans were dropped since the last report.
    SpansDropped {
        /// How many.
        spans: u64,
        /// Why the last of them were.
        error: &'a str,
    },
    /// A recoverable cluster error.
    ClusterTrouble {
        /// The error.
        error: &'a str,
    },
    /// An actor without which the node cannot go on has failed; the node ends, and its work is delivered again.
    Failed {
        /// Which and why.
        error: &'a str,
    },
}

/// How often events happened in this process. There is one log in a process, and librdkafka's threads know no node.
static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

fn counts() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Name of [`NodeEvent::RecordGivenUp`] in metrics.
const GIVEN_UP: &str = "record_given_up";

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

    /// The event's name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Draining { .. } => "draining",
            Self::DeprecatedKey { .. } => "deprecated_key",
            Self::Stopped => "stopped",
            Self::KafkaLog { .. } => "kafka_log",
            Self::KafkaError { .. } => "kafka_error",
            Self::Rebalanced { change } => match change {
                PartitionChange::Assigned { .. } => "partitions_assigned",
                PartitionChange::Revoked { .. } => "partitions_revoked",
                PartitionChange::Failed { .. } => "rebalance_failed",
            },
            Self::ModelBroken { .. } => "model_broken",
            Self::LanguagesGivenUp { .. } => "languages_given_up",
            Self::LanguagesRegained { .. } => "languages_regained",
            Self::PartOverdue { .. } => "part_overdue",
            Self::FormRepaired { .. } => "form_repaired",
            Self::TopicCreated { .. } => "topic_created",
            Self::TopicRecreated { .. } => "topic_recreated",
            Self::RecordsSkipped { .. } | Self::RecordsSkippedUncounted { .. } => "records_skipped",
            Self::PartitionsUnassigned { .. } => "partitions_unassigned",
            Self::TooFewPartitions { .. } => "too_few_partitions",
            Self::PublishFailed { .. } => "publish_failed",
            Self::TransactionAborted { .. } => "transaction_aborted",
            Self::ProducerBroken { .. } => "producer_broken",
            Self::Fenced { .. } => "fenced",
            Self::ReaderDeaf => "reader_deaf",
            Self::DoubtSettled { .. } => "doubt_settled",
            Self::TopicUnusable { .. } => "topic_unusable",
            Self::TopicUsable { .. } => "topic_usable",
            Self::RecordRefused { .. } => "record_refused",
            Self::RecordGivenUp { .. } => GIVEN_UP,
            Self::OffsetNotStored { .. } => "offset_not_stored",
            Self::PartitionDropped { .. } => "partition_dropped",
            Self::StatusFailed { .. } => "status_failed",
            Self::KeysRead { .. } => "keys_read",
            Self::KeysUnreadable { .. } => "keys_unreadable",
            Self::KeysOpen { .. } => "keys_open",
            Self::FewDescriptors { .. } => "few_descriptors",
            Self::ClusterStarted { .. } => "cluster_started",
            Self::CertificateReloaded { .. } => "certificate_reloaded",
            Self::CertificateUnusable { .. } => "certificate_unusable",
            Self::CertificateExpires { .. } => "certificate_expires",
            Self::MemberChanged { .. } => "member_changed",
            Self::PeerRefused { .. } => "peer_refused",
            Self::HandshakesCrowded { .. } => "handshakes_crowded",
            Self::CacheReachable { .. } => "cache_reachable",
            Self::CacheUnreachable { .. } => "cache_unreachable",
            Self::ForwardFailed { .. } => "forward_failed",
            Self::CommandDone { .. } => "command_done",
            Self::SpansDropped { .. } => "spans_dropped",
            Self::ClusterTrouble { .. } => "cluster_trouble",
            Self::Failed { .. } => "failed",
        }
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
                "retention deleted records before they were read: at most so many are lost"
            ),
            Self::RecordsSkippedUncounted {
                topic,
                partition,
                from,
            } => error!(
                topic,
                partition,
                from,
                "retention may have deleted records before they were read: the brokers did not tell how many"
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
