//! What a pool tells about its condition, and how it hands its jobs over when another model can do them.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, deliver_all},
    events::Event,
    routing::Ability,
};

use super::{
    core::Pool,
    failure::{Condition, is_broken},
};

/// Is told whether a pool is broken, whenever that changes.
pub type ConditionWatch = Box<dyn Fn(bool) + Send + Sync>;

/// What was told last, and to whom.
#[derive(Default)]
pub(super) struct Watched {
    watch: Option<ConditionWatch>,
    is_broken: bool,
}

impl Pool {
    /// Tells of its condition from now on.
    pub(super) fn watch(&mut self, watch: ConditionWatch) {
        if self.watched.is_broken {
            watch(true);
        }
        self.watched.watch = Some(watch);
    }

    /// Whether others were told that it is broken.
    pub(super) const fn is_broken(&self) -> bool {
        self.watched.is_broken
    }

    /// Tells of its condition if that has changed.
    pub(super) fn tell_condition(&mut self, now: Instant) {
        let waited = match self.has_jobs() {
            true => now.saturating_duration_since(self.last_warm),
            false => Duration::ZERO,
        };
        let broken = is_broken(&Condition {
            is_warm: self.members.counts().warm() > 0 || self.help.is_at_work(),
            failed_starts: self.restart.failed_starts,
            is_permanent: self.restart.is_permanent,
            waited,
            patience: self.spec.unavailable_after,
        });
        let before = std::mem::replace(&mut self.watched.is_broken, broken);
        if before == broken {
            return;
        }
        let pool = self.pool();
        self.observe(match broken {
            true => Event::PoolBroken {
                pool,
                error: self.last_error().to_owned(),
            },
            false => Event::PoolRestored { pool },
        });
        if let Some(watch) = &self.watched.watch {
            watch(broken);
        }
    }

    /// What keeps its engines from being warm.
    pub(super) fn last_error(&self) -> &str {
        let error = self.restart.last_error.as_deref();
        error.unwrap_or("no model actor is warm")
    }

    /// The same in the words for clients.
    pub(super) fn reason(&self) -> &str {
        let reason = self.restart.reason.as_deref();
        reason.unwrap_or("no model actor is warm")
    }

    /// Hands back the jobs that one of these models can do, as failed for now.
    pub(super) fn hand_to_others(&mut self, others: &[Ability]) {
        let message = format!(
            "model {} is not available: {}",
            self.spec.model_id,
            self.reason()
        );
        let can = |source, target| others.iter().any(|other| other.serves(source, target));
        let outcomes = self
            .jobs
            .fail_those(can, ErrorCode::ModelUnavailable, &message);
        if outcomes.is_empty() {
            return;
        }
        self.has_stale = true;
        let (pool, jobs) = (self.pool(), outcomes.len());
        self.observe(Event::JobsHandedOver { pool, jobs });
        // They are not answered yet.
        deliver_all(outcomes);
    }
}
