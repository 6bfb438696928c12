//! Events of a node outside of its actors.

use std::{fmt::Debug, net::SocketAddr, path::Path, time::Duration};

use babelmesh_actors::domain::Language;

/// Result of a rebalance for a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionChange<'a> {
    /// Partitions were assigned.
    Assigned {
        /// Number of partitions.
        count: usize,
        /// By topic: `translation.jobs.fr[0,1,2]`.
        partitions: &'a str,
    },
    /// Partitions were revoked.
    Revoked {
        /// Number of partitions.
        count: usize,
        /// By topic, in the same form.
        partitions: &'a str,
    },
    /// The rebalance failed.
    Failed {
        /// The error.
        error: &'a str,
    },
}

/// Something that happened outside of the actors.
pub enum NodeEvent<'a> {
    /// The node accepts work.
    Started {
        /// Name of the node.
        node: &'a str,
        /// Bootstrap servers.
        bootstrap: &'a str,
        /// Number of loaded models.
        models: &'a str,
        /// Socket for `babelmesh status`.
        socket: &'a Path,
        /// HTTP address, if the node listens.
        http: Option<SocketAddr>,
    },
    /// The node is draining.
    Draining {
        /// Source of the request to drain.
        signal: &'a str,
    },
    /// The node has shut down in an orderly way.
    Stopped,
    /// librdkafka wrote a log line.
    KafkaLog {
        /// Whether its level is warning or higher.
        is_warning: bool,
        /// Facility of librdkafka.
        facility: &'a str,
        /// The line.
        message: &'a str,
    },
    /// A recoverable error of a Kafka client.
    KafkaError {
        /// The error.
        error: &'a str,
        /// The operation that failed.
        doing: &'a str,
    },
    /// Partitions were assigned or revoked.
    Rebalanced {
        /// The change.
        change: PartitionChange<'a>,
    },
    /// A model cannot be served; the others are served.
    ModelBroken {
        /// Id of the model, or the name of its folder.
        model: &'a str,
        /// The error.
        error: &'a str,
    },
    /// The node leaves the jobs into these languages to other nodes: it cannot load any model that writes them.
    LanguagesGivenUp {
        /// The languages.
        languages: &'a [Language],
    },
    /// The node reads the jobs into these languages again.
    LanguagesRegained {
        /// The languages.
        languages: &'a [Language],
    },
    /// A configuration key was given under a deprecated name.
    DeprecatedKey {
        /// The old name.
        old: &'a str,
        /// The new name.
        new: &'a str,
        /// Where it was given; empty if unknown.
        place: &'a str,
    },
    /// A part of the node did not stop in time and was abandoned.
    PartOverdue {
        /// Name of the part.
        part: &'a str,
    },
    /// An engine's form of a model was damaged in the cache and has been derived again.
    FormRepaired {
        /// The model.
        model: &'a str,
        /// The engine.
        engine: &'a str,
        /// The damage.
        damage: &'a str,
    },
    /// A topic was missing and has been created.
    TopicCreated {
        /// Name of the topic.
        topic: &'a str,
        /// Number of partitions.
        partitions: i32,
    },
    /// A topic was deleted and created again; it is read from its beginning.
    TopicRecreated {
        /// Name of the topic.
        topic: &'a str,
        /// Its partitions that this node reads.
        partitions: usize,
    },
    /// Retention deleted records before they were read: they are lost.
    RecordsSkipped {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: i32,
        /// Next offset to read.
        from: i64,
        /// First available offset.
        to: i64,
    },
    /// Retention may have deleted records before they were read; the brokers did not report how many.
    RecordsSkippedUncounted {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: i32,
        /// Next offset to read.
        from: i64,
    },
    /// No member of the group owns these partitions, so nobody reads them.
    PartitionsUnassigned {
        /// The partitions.
        partitions: &'a str,
        /// Whether this node rejoins the group to change that.
        rejoins: bool,
    },
    /// The topic of a language has fewer partitions than the cluster has nodes for it: some nodes get no work.
    TooFewPartitions {
        /// Topic of the language.
        topic: &'a str,
        /// Number of its partitions.
        partitions: i32,
        /// Number of nodes that should be able to read the language.
        parallelism: i32,
    },
    /// Results could not be written; they are written again.
    PublishFailed {
        /// The error.
        error: &'a str,
    },
    /// A transaction was aborted; its records are written again.
    TransactionAborted {
        /// The reason.
        error: &'a str,
    },
    /// A producer failed and is replaced.
    ProducerBroken {
        /// The error.
        error: &'a str,
    },
    /// Another member of the group has the name of this node, or a late request of this node fenced it.
    Fenced {
        /// When the consumer rejoins the group.
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
        /// The problem, worded to follow the name of the topic.
        problem: &'a str,
    },
    /// A topic is usable again.
    TopicUsable {
        /// The topic.
        topic: &'a str,
    },
    /// The brokers reject a record because of its size. A smaller record replaces it, or a dead letter holds the request.
    RecordRefused {
        /// Topic of the record.
        topic: &'a str,
        /// Size of the record, in bytes.
        bytes: usize,
    },
    /// The brokers reject every replacement of a record, including a dead letter.
    RecordGivenUp {
        /// Topic of the record.
        topic: &'a str,
        /// Size of the record, in bytes.
        bytes: usize,
    },
    /// An offset could not be stored; the records after it are delivered again.
    OffsetNotStored {
        /// Topic.
        topic: &'a str,
        /// The error.
        error: &'a str,
    },
    /// A partition was revoked before all records read from it were finished; its next owner reads these again.
    PartitionDropped {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: i32,
        /// Number of records that were read and not finished.
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
        /// The error.
        error: &'a str,
    },
    /// The file of API keys changed and was reloaded.
    KeysRead {
        /// Number of keys.
        keys: usize,
    },
    /// The file of API keys changed and cannot be read; the previous keys stay valid.
    KeysUnreadable {
        /// The error.
        error: &'a str,
    },
    /// Other users than the owner may read or write the file of API keys.
    KeysOpen {
        /// The file.
        file: &'a Path,
        /// Its permissions.
        mode: u32,
    },
    /// The limit of open files is too low for the configured number of connections.
    FewDescriptors {
        /// The limit of open files.
        limit: u64,
        /// Open files that the configuration may need.
        needed: u64,
        /// Number of HTTP connections allowed instead of the configured number.
        connections: usize,
    },
    /// The node starts to look for other nodes.
    ClusterStarted {
        /// Listen address.
        listen: &'a str,
        /// Advertised address.
        address: &'a str,
        /// Whether connections are encrypted.
        encrypted: bool,
    },
    /// The files of the node's certificate changed and were reloaded.
    CertificateReloaded {
        /// Expiry of the certificate.
        expires: &'a str,
    },
    /// The files of the node's certificate changed and cannot be used; the previous certificate stays in use.
    CertificateUnusable {
        /// The error.
        error: &'a str,
    },
    /// The node's certificate expires soon, or has expired.
    CertificateExpires {
        /// Which certificate expires, and when.
        warning: &'a str,
    },
    /// The state of another node changed.
    MemberChanged {
        /// Name of the node.
        node: &'a str,
        /// Incarnation of the node.
        incarnation: u64,
        /// Previous state.
        from: &'a str,
        /// New state.
        to: &'a str,
    },
    /// Connecting to an address failed.
    PeerRefused {
        /// The address.
        address: SocketAddr,
        /// Whether this node opened the connection.
        dialled: bool,
        /// Kind of the reason, without variable parts.
        kind: &'a str,
        /// The reason.
        error: &'a str,
    },
    /// Too many handshakes at the same time: the oldest was dropped.
    HandshakesCrowded {
        /// Maximum number of handshakes.
        most: usize,
    },
    /// The shared cache (Redis) is reachable again.
    CacheReachable {
        /// Address of the server.
        address: &'a str,
    },
    /// The shared cache (Redis) does not answer; the node translates local misses meanwhile.
    CacheUnreachable {
        /// Address of the server.
        address: &'a str,
        /// The error.
        error: &'a str,
    },
    /// Another node did not translate a forwarded text.
    ForwardFailed {
        /// Name of the node.
        node: &'a str,
        /// The reason.
        error: &'a str,
    },
    /// An operator command was executed or failed.
    CommandDone {
        /// Id of the command.
        id: &'a str,
        /// The node that forwarded it.
        by: &'a str,
        /// The action.
        action: &'a dyn Debug,
        /// The outcome or the error.
        outcome: Result<&'a str, &'a str>,
    },
    /// Spans were dropped since the last report.
    SpansDropped {
        /// Number of spans.
        spans: u64,
        /// The last reason.
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
