//! Names and help texts of the counters and histograms. Units are part of the names.

use babelmesh_actors::events::Stage;
use prometheus_client::registry::Registry;

use super::{Metrics, labels::StageLabel};

impl Metrics {
    pub(super) fn register_jobs(&self, to: &mut Registry) {
        to.register(
            "accepted_jobs",
            "Jobs submitted to a pool",
            self.accepted.clone(),
        );
        to.register(
            "pivoted_jobs",
            "Jobs of a pair without a working model that were translated over a pivot language",
            self.pivoted.clone(),
        );
        to.register(
            "escalated_jobs",
            "Translations of low confidence that were made again, by the tiers of both models; none where the second one did not answer in time",
            self.escalated.clone(),
        );
        to.register(
            "jobs",
            "Completed jobs by outcome, without model and language if rejected by the intake; each retry counts",
            self.jobs.clone(),
        );
        to.register(
            "job_queue_seconds",
            "Queue time: from submission of a job to the start of its first batch",
            self.queue.clone(),
        );
        to.register(
            "job_processing_seconds",
            "Processing time: from the start of a job's first batch to the end of its last",
            self.processing.clone(),
        );
        to.register(
            "refused_jobs",
            "Jobs rejected because they would miss their deadline",
            self.refused.clone(),
        );
        to.register(
            "expired_jobs",
            "Jobs whose deadline expired in a pool",
            self.expired.clone(),
        );
        // Present from the start, so that an alert sees the first one.
        for stage in Stage::ALL {
            let stage = stage.name();
            let _ = self.contained_panics.get_or_create(&StageLabel { stage });
        }
        to.register(
            "contained_panics",
            "Contained panics while handling a record, by stage",
            self.contained_panics.clone(),
        );
        to.register(
            "abandoned_jobs",
            "Jobs abandoned by their senders before inference",
            self.abandoned.clone(),
        );
        to.register(
            "retried_jobs",
            "Retries after transient failures",
            self.retried.clone(),
        );
        to.register(
            "intake_pauses",
            "Times that the gate closed (back-pressure)",
            self.pauses.clone(),
        );
    }

    pub(super) fn register_texts(&self, to: &mut Registry) {
        to.register("poisoned_texts", "Poison texts", self.poisoned.clone());
        to.register(
            "pieces_truncated",
            "Pieces too long for the model or with an unfinished translation; they are split and translated again",
            self.truncated.clone(),
        );
        to.register(
            "pieces",
            "Translated pieces (mostly sentences), by source of the translation",
            self.pieces.clone(),
        );
        to.register(
            "text_sentences",
            "Translated sentences by way: whole, stand_in, cut, or source if a part stayed untranslated",
            self.sentences.clone(),
        );
        to.register(
            "text_checks_failed",
            "Sentences with an answer that failed a check",
            self.failed_checks.clone(),
        );
        to.register(
            "text_tokens_lost",
            "Sentences with a token of a kind that the model did not copy",
            self.lost_tokens.clone(),
        );
    }

    pub(super) fn register_http(&self, to: &mut Registry) {
        to.register(
            "http_requests",
            "HTTP requests, by status",
            self.http.clone(),
        );
        to.register(
            "http_request_duration_seconds",
            "Duration of HTTP requests",
            self.http_duration.clone(),
        );
    }

    pub(super) fn register_actors(&self, to: &mut Registry) {
        to.register(
            "batch_duration_seconds",
            "Duration of a batch",
            self.batches.clone(),
        );
        to.register(
            "batch_segments",
            "Segments per batch",
            self.batch_segments.clone(),
        );
        to.register(
            "batch_tokens",
            "Estimated source tokens per batch",
            self.batch_tokens.clone(),
        );
        to.register(
            "batch_wait_seconds",
            "Wait of the oldest segment of a batch",
            self.batch_wait.clone(),
        );
        to.register(
            "actor_busy_seconds",
            "Busy time of model actors",
            self.busy.clone(),
        );
        to.register(
            "actors_spawned",
            "Model actors started",
            self.spawned.clone(),
        );
        to.register(
            "actors_stopped",
            "Model actors stopped, by reason",
            self.stopped.clone(),
        );
        to.register(
            "actor_failures",
            "Failures of model actors and engines; each is replaced",
            self.failed.clone(),
        );
        to.register(
            "requeued_segments",
            "Segments requeued after a failed batch",
            self.requeued.clone(),
        );
        to.register(
            "actor_cold_start_seconds",
            "Cold start of a model actor",
            self.cold_start.clone(),
        );
        to.register(
            "engine_lines",
            "Log lines of engines",
            self.engine_lines.clone(),
        );
        to.register(
            "scaling_decisions",
            "Scaling decisions, by reason",
            self.scaled.clone(),
        );
    }
}
