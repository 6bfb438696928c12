//! Forwarding of jobs that no model of this node supports: capabilities of other nodes, and the port to them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};

use crate::{
    domain::{ErrorCode, Language, ModelType, RequestError, Trace, Translated, TranslationRequest},
    routing::{Capability, Chosen, tier_distance},
};

/// Capabilities of models on other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteCapabilities {
    now: Vec<Capability>,
    later: Vec<Capability>,
    sources: Vec<Language>,
    is_incomplete: bool,
}

/// Whether other nodes can do a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteAvailability {
    /// One can now, by a model whose tier is nearer to the one wanted than that of this node.
    Better,
    /// One can now.
    Now,
    /// One may be able to later.
    Later,
    /// None can.
    Never,
}

impl RemoteCapabilities {
    /// Capabilities of nodes that accept work now, and of known nodes that are unreachable or failing. `is_incomplete`
    /// is whether this node has just started and may not know all others yet.
    #[must_use]
    pub fn new(now: Vec<Capability>, later: Vec<Capability>, is_incomplete: bool) -> Self {
        let all = now.iter().chain(&later);
        let mut sources: Vec<_> = all.flat_map(|ability| &ability.sources).copied().collect();
        sources.sort_unstable();
        sources.dedup();
        Self {
            now,
            later,
            sources,
            is_incomplete,
        }
    }

    /// Capabilities of nodes that accept work now.
    #[must_use]
    pub fn now(&self) -> &[Capability] {
        &self.now
    }

    /// Capabilities of known nodes that are unreachable or failing.
    #[must_use]
    pub fn later(&self) -> &[Capability] {
        &self.later
    }

    /// Whether this node has just started and may not know all others yet.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Whether another node translates this pair, as far as is known.
    #[must_use]
    pub fn serves(&self, source: Language, target: Language) -> RemoteAvailability {
        let serves = |all: &[Capability]| all.iter().any(|ability| ability.serves(source, target));
        if serves(&self.now) {
            RemoteAvailability::Now
        } else if serves(&self.later) {
            RemoteAvailability::Later
        } else {
            RemoteAvailability::Never
        }
    }

    /// Whether another node translates this pair now by a model whose tier is nearer to the one wanted than `own`.
    #[must_use]
    pub fn has_nearer(
        &self,
        (source, target): (Language, Language),
        wanted: ModelType,
        own: ModelType,
    ) -> bool {
        let limit = tier_distance(own, wanted);
        // None is nearer than the one that is wanted.
        own != wanted
            && self.now.iter().any(|ability| {
                tier_distance(ability.tier, wanted) < limit && ability.serves(source, target)
            })
    }

    /// Tiers of the models that translate this pair on other nodes now.
    pub fn tiers(&self, source: Language, target: Language) -> impl Iterator<Item = ModelType> {
        let able = self.now.iter();
        let able = able.filter(move |ability| ability.serves(source, target));
        able.map(|ability| ability.tier)
    }

    /// Languages that are read on other nodes, now or later, in order.
    #[must_use]
    pub fn sources(&self) -> &[Language] {
        &self.sources
    }
}

/// Where a job is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By the model of this index, on this node.
    Here(usize),
    /// By another node, or by none until one is there.
    Remote,
    /// By another node, whose model is of a tier nearer to the one wanted; by the model of this index, on this node, if none does it at once.
    Better(usize),
    /// In two steps, over this language.
    Over(Language),
    /// Nowhere.
    Nowhere(RequestError),
}

/// Decides where a job is done, from what this node has for it and whether others have something. `may_leave` is whether this node may have
/// another one do it; if not, its sender may know another node.
#[must_use]
pub fn place(
    here: Result<Chosen, RequestError>,
    remote: RemoteAvailability,
    may_leave: bool,
) -> Place {
    match (here, remote) {
        (Ok(chosen), RemoteAvailability::Better) if chosen.works && may_leave => {
            Place::Better(chosen.index)
        }
        (Ok(chosen), _) if chosen.works => Place::Here(chosen.index),
        (Ok(_) | Err(_), RemoteAvailability::Now | RemoteAvailability::Better) if may_leave => {
            Place::Remote
        }
        (Ok(_), RemoteAvailability::Now | RemoteAvailability::Better) => {
            let message = "the model is unavailable on this node; another node has one";
            Place::Nowhere(RequestError::new(ErrorCode::ModelUnavailable, message))
        }
        // It waits for the broken model, as for a missing node.
        (Ok(chosen), _) => Place::Here(chosen.index),
        (Err(_), RemoteAvailability::Later) if may_leave => Place::Remote,
        (Err(error), _) => Place::Nowhere(error),
    }
}

/// A job for another node.
#[derive(Debug)]
pub struct ForwardedJob {
    /// The request, with exactly one target.
    pub request: TranslationRequest,
    /// Language the text is in.
    pub source: Language,
    /// Language wanted.
    pub target: Language,
    /// How sure it is that the text is in that language, from 0 to 1, where that was detected and not told.
    pub detected: Option<f64>,
    /// Deadline of the job.
    pub deadline: Option<Instant>,
    /// When it was submitted.
    pub submitted: Instant,
    /// Its trace.
    pub trace: Option<Arc<Trace>>,
    /// How long it may wait for a missing node.
    pub max_wait: Duration,
    /// Only models with a tier nearer to the requested one than this tier, that of the local model, are eligible.
    pub nearer_than: Option<ModelType>,
    /// True once the node stops waiting.
    pub stopping: watch::Receiver<bool>,
}

/// The port of the intake to other nodes.
#[async_trait]
pub trait RemoteNodes: Send + Sync {
    /// Their capabilities. Called for every job; must be cheap and not block.
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities>;

    /// Forwards a job to another node, waiting for a missing one up to its timeout. Dropping the future cancels the
    /// job; a later answer is discarded.
    ///
    /// # Errors
    /// [`ErrorCode::ModelUnavailable`] when no node could do it in time, or what the node says that tried.
    async fn translate(&self, forwarded: ForwardedJob) -> Result<Translated, RequestError>;
}

/// A node without a cluster.
#[async_trait]
impl RemoteNodes for () {
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities> {
        Arc::default()
    }

    async fn translate(&self, _: ForwardedJob) -> Result<Translated, RequestError> {
        let message = "clustering is disabled on this node";
        Err(RequestError::new(ErrorCode::ModelUnavailable, message))
    }
}

/// The nodes that can translate a request, the best one first. They are found once for a request: its language may have to be detected for that.
#[derive(Debug, Clone)]
pub struct CandidateNodes {
    nodes: Vec<String>,
    working: usize,
    me: String,
}

impl CandidateNodes {
    /// These nodes, as seen from `me`. The models of the first `working` of them work.
    #[must_use]
    pub const fn new(nodes: Vec<String>, working: usize, me: String) -> Self {
        Self { nodes, working, me }
    }

    /// Their names.
    #[must_use]
    pub fn into_names(self) -> Vec<String> {
        self.nodes
    }

    /// Whether another node has a model for it that works, and would do it sooner or better than this one.
    #[must_use]
    pub fn is_better_elsewhere(&self) -> bool {
        let best = self.nodes.first().filter(|_| self.working > 0);
        best.is_some_and(|node| *node != self.me)
    }

    /// All of them but this one.
    #[must_use]
    pub fn others(mut self) -> Self {
        self.nodes.retain(|node| *node != self.me);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::routing::{Candidate, choose};

    fn ability(source: &str, target: &str) -> Capability {
        Capability {
            sources: vec![source.parse().unwrap()],
            targets: vec![target.parse().unwrap()],
            tier: ModelType::Basic,
        }
    }

    fn wrong() -> RequestError {
        RequestError::new(ErrorCode::UnsupportedPair, "no model")
    }

    #[test]
    fn a_node_that_is_away_may_come_back() {
        let language = |tag: &str| tag.parse::<Language>().unwrap();
        let remote_capabilities =
            RemoteCapabilities::new(vec![ability("en", "fr")], vec![ability("de", "fr")], false);
        let serves = |remote_capabilities: &RemoteCapabilities, source| {
            remote_capabilities.serves(language(source), language("fr"))
        };
        assert_eq!(serves(&remote_capabilities, "en"), RemoteAvailability::Now);
        assert_eq!(
            serves(&remote_capabilities, "de"),
            RemoteAvailability::Later
        );
        assert_eq!(
            serves(&remote_capabilities, "es"),
            RemoteAvailability::Never
        );
        assert_eq!(
            remote_capabilities.sources(),
            [language("de"), language("en")]
        );
    }

    proptest! {
        #[test]
        fn a_job_leaves_only_when_it_may_and_no_model_here_works_or_another_node_has_a_better_one(
            here in prop::option::of((0usize..9, any::<bool>())), remote in 0usize..4, may_leave: bool,
        ) {
            let remote = [RemoteAvailability::Better, RemoteAvailability::Now, RemoteAvailability::Later, RemoteAvailability::Never][remote];
            let chosen = here.map(|(index, works)| Chosen { index, works }).ok_or_else(wrong);
            match place(chosen, remote, may_leave) {
                Place::Here(index) => prop_assert_eq!(Some(index), here.map(|(index, _)| index)),
                Place::Better(index) => {
                    prop_assert!(may_leave && remote == RemoteAvailability::Better);
                    prop_assert_eq!(Some((index, true)), here);
                }
                Place::Remote => {
                    prop_assert!(may_leave && remote != RemoteAvailability::Never);
                    prop_assert!(here.is_none_or(|(_, works)| !works));
                }
                Place::Over(_) => prop_assert!(false, "a pivot is chosen elsewhere"),
                Place::Nowhere(error) if error.code == ErrorCode::UnsupportedPair => {
                    prop_assert!(here.is_none() && (remote == RemoteAvailability::Never || !may_leave));
                }
                Place::Nowhere(error) => {
                    prop_assert!(error.code.retriable() && !may_leave && matches!(remote, RemoteAvailability::Now | RemoteAvailability::Better));
                }
            }
            if let Some((index, true)) = here {
                let chosen = Ok(Chosen { index, works: true });
                let expected = match may_leave && remote == RemoteAvailability::Better {
                    true => Place::Better(index),
                    false => Place::Here(index),
                };
                prop_assert_eq!(place(chosen, remote, may_leave), expected);
            }
        }

        #[test]
        fn another_node_is_nearer_exactly_when_one_node_with_all_models_would_take_its_own(
            own in 0usize..3, others in prop::collection::vec(0usize..3, 0..5), wanted in 0usize..3,
        ) {
            const TIERS: [ModelType; 3] = [ModelType::Basic, ModelType::Medium, ModelType::Premium];
            let of = |tier: usize| Capability { tier: TIERS[tier], ..ability("en", "fr") };
            let pair = ("en".parse().unwrap(), "fr".parse().unwrap());
            let others: Vec<_> = others.into_iter().map(of).collect();
            let own = of(own);
            // Local models come first: they win ties.
            let all: Vec<_> = std::iter::once(&own).chain(&others).collect();
            let all = all.iter().map(|ability| Candidate { ability, works: true });
            let best = choose(all, pair.0, pair.1, TIERS[wanted]).unwrap();
            let remote_capabilities = RemoteCapabilities::new(others.clone(), Vec::new(), false);
            prop_assert_eq!(remote_capabilities.has_nearer(pair, TIERS[wanted], own.tier), best.index > 0);
            let german = ("de".parse().unwrap(), pair.1);
            prop_assert!(!remote_capabilities.has_nearer(german, TIERS[wanted], own.tier));
            let away = RemoteCapabilities::new(Vec::new(), others, false);
            prop_assert!(!away.has_nearer(pair, TIERS[wanted], own.tier));
        }
    }
}
