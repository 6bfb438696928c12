//! Placement of orders: on a local model, on another node, or rejected.

use tokio::time::Instant;

use crate::{
    domain::{
        ErrorCode, Job, JobOutcome, Language, Leg, Locality, ModelType, Order, RequestError,
        parse_language,
    },
    remote_nodes::{Place, RemoteAvailability, place},
    routing::{self, Candidate, Chosen},
};

use super::{
    IntakeState,
    pivot::Models,
    resolution::{PlacementFailure, Resolved},
};

impl IntakeState {
    pub(super) fn place(&self, order: Order, now: Instant, tries: u32) -> Placement {
        let resolved = self.contained(|| self.resolve(&order, now, tries));
        match resolved.unwrap_or_else(|error| Err(error.into())) {
            Ok(Resolved {
                source,
                target,
                detected,
                deadline,
                place,
            }) => {
                let job = Job {
                    order,
                    source,
                    target,
                    detected,
                    deadline,
                };
                match place {
                    None => Placement::Ended(Box::new(job.untouched())),
                    Some(Place::Here(route)) => Placement::In(route, Box::new(job)),
                    Some(Place::Remote) => Placement::Away(Box::new(job), None),
                    Some(Place::Better(route)) => {
                        let own = self.start.routes[route].ability.tier;
                        Placement::Away(Box::new(job), Some(own))
                    }
                    Some(Place::Over(pivot)) => Placement::Over(Box::new(job), pivot),
                    Some(Place::Nowhere(error)) => {
                        Placement::Ended(Box::new(job.order.failed(error)))
                    }
                }
            }
            Err(PlacementFailure::Early(error)) => Placement::Early(Box::new(order.failed(error))),
            Err(PlacementFailure::Wrong(error)) => Placement::Ended(Box::new(order.failed(error))),
        }
    }

    pub(super) fn resolve(
        &self,
        order: &Order,
        now: Instant,
        tries: u32,
    ) -> Result<Resolved, PlacementFailure> {
        let request = &order.request;
        request.validate(match order.leg {
            Leg::Whole | Leg::ToPivot => self.start.max_text_chars,
            // The text was made by a model, or it was checked before.
            Leg::FromPivot | Leg::Forwarded | Leg::Escalated => usize::MAX,
        })?;
        let target = parse_language("targetLanguage", order.target_tag())?;
        let deadline = order.deadline();
        if deadline.is_some_and(|at| at <= now) {
            let message = match tries {
                0 => "deadline exceeded before the message was read",
                _ => "deadline exceeded before a model was available",
            };
            return Err(RequestError::new(ErrorCode::DeadlineExceeded, message).into());
        }
        let told = request.source()?;
        let (source, detected) = match told {
            Some(source) => (source, None),
            None => {
                let found = self.detect(order, target)?;
                (found.language, Some(found.confidence))
            }
        };
        self.check_glossary(order, (source, target))?;
        let place = match source == target {
            true => None,
            false => {
                let wanted = Wanted {
                    source,
                    target,
                    tier: request.model_type,
                };
                Some(self.find(order, wanted, tries == 0)?)
            }
        };
        Ok(Resolved {
            source,
            target,
            detected,
            deadline,
            place,
        })
    }

    /// Where a job is done. A better model of another node is tried once, the first time.
    fn find(
        &self,
        order: &Order,
        wanted: Wanted,
        is_first: bool,
    ) -> Result<Place, PlacementFailure> {
        let locality = &order.locality;
        if let Locality::Model(model) = locality {
            let mut routes = self.start.routes.iter();
            let found = routes.position(|route| route.model == *model);
            return found.map(Place::Here).ok_or_else(|| {
                let message = format!("unknown model {model}");
                RequestError::new(ErrorCode::ModelUnavailable, message).into()
            });
        }
        let here = self.choose(wanted);
        let may_leave = locality.may_leave();
        if let Ok(Chosen { index, works: true }) = here {
            let own = self.start.routes[index].ability.tier;
            let may_improve = may_leave && is_first && own != wanted.tier && !self.is_stopping();
            if !may_improve || !self.has_nearer(wanted, own) {
                return Ok(Place::Here(index));
            }
            return Ok(place(here, RemoteAvailability::Better, may_leave));
        }
        let remote_capabilities = self.start.remote_nodes.remote_capabilities();
        let remote = remote_capabilities.serves(wanted.source, wanted.target);
        if remote_capabilities.is_incomplete() && remote != RemoteAvailability::Now {
            return Err(PlacementFailure::early());
        }
        if matches!(remote, RemoteAvailability::Now | RemoteAvailability::Better) {
            return Ok(place(here, remote, may_leave));
        }
        // Preference: two steps that can start now, then one step that has to wait, then two steps that have to wait.
        if let Some(pivot) = self.pivot(wanted, order, Models::Working) {
            return Ok(Place::Over(pivot));
        }
        match place(here, remote, may_leave) {
            Place::Remote if !locality.waits() => {
                let (source, target) = (wanted.source, wanted.target);
                let message =
                    format!("no node that translates {source} to {target} can be reached");
                let error = RequestError::new(ErrorCode::ModelUnavailable, message);
                Ok(Place::Nowhere(error))
            }
            Place::Nowhere(error) if locality.waits() || !may_leave => {
                let pivot = self.pivot(wanted, order, Models::Known);
                Ok(pivot.map_or(Place::Nowhere(error), Place::Over))
            }
            placed => Ok(placed),
        }
    }

    /// Whether another node has a model whose tier is nearer to the one wanted than `own`.
    fn has_nearer(&self, wanted: Wanted, own: ModelType) -> bool {
        let pair = (wanted.source, wanted.target);
        let remote_capabilities = self.start.remote_nodes.remote_capabilities();
        remote_capabilities.has_nearer(pair, wanted.tier, own)
    }

    /// The model of this node that does it.
    fn choose(&self, wanted: Wanted) -> Result<Chosen, RequestError> {
        let Wanted {
            source,
            target,
            tier,
        } = wanted;
        let candidates = self.start.routes.iter().map(|route| Candidate {
            ability: &route.ability,
            works: self.works(route),
        });
        let chosen = routing::choose(candidates, source, target, tier);
        chosen.map_err(|error| {
            self.overrides
                .unloaded_error(source, target)
                .unwrap_or(error)
        })
    }
}

/// What a model has to be able to do.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) source: Language,
    pub(super) target: Language,
    /// The tier that is wanted; another one may be used.
    pub(super) tier: ModelType,
}

pub(super) enum Placement {
    In(usize, Box<Job>),
    /// On another node. With a tier: only by a model whose tier is nearer to the requested one than this tier.
    Away(Box<Job>, Option<ModelType>),
    /// In two steps, over this language.
    Over(Box<Job>, Language),
    /// Cannot be placed before more is known of the cluster or of the glossaries. Holds the error for the case that the order cannot wait.
    Early(Box<JobOutcome>),
    Ended(Box<JobOutcome>),
}
