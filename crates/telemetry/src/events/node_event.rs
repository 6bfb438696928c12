//! The events of a node outside its actors.

use std::{fmt::Debug, net::SocketAddr, path::Path, time::Duration};

use babelmesh_actors::domain::Language;

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
    /// The topic of glossaries cannot be read; it is tried again.
    GlossariesUnreadable {
        /// Its name.
        topic: &'a str,
        /// Why.
        error: &'a str,
    },
    /// A record of the topic of glossaries cannot be used and was skipped.
    GlossarySkipped {
        /// The topic.
        topic: &'a str,
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Why.
        error: &'a str,
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
    /// Another node did not translate a forwarded text.
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
