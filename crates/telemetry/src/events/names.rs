//! Names of events in metrics.

use super::{NodeEvent, PartitionChange};

/// Name of [`NodeEvent::RecordGivenUp`] in metrics.
pub(super) const GIVEN_UP: &str = "record_given_up";

impl NodeEvent<'_> {
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
            Self::GlossariesUnreadable { .. } => "glossaries_unreadable",
            Self::GlossarySkipped { .. } => "glossary_skipped",
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
}
