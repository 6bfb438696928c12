//! Where an order is done: by which model of this node, on another node, or nowhere.

use tokio::time::Instant;

use crate::{
    domain::{
        ErrorCode, Job, JobOutcome, Language, ModelType, Order, Reach, RequestError, parse_language,
    },
    elsewhere::{Beyond, Place, place},
    routing::{self, Candidate, Chosen},
};

use super::{
    IntakeState,
    resolution::{Resolved, Unresolved},
};

impl IntakeState {
    pub(super) fn place(&self, order: Order, now: Instant, tries: u32) -> Placed {
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
                    None => Placed::Ended(Box::new(job.untouched())),
                    Some(Place::Here(route)) => Placed::In(route, Box::new(job)),
                    Some(Place::Elsewhere) => Placed::Away(Box::new(job), None),
                    Some(Place::Better(route)) => {
                        let own = self.start.routes[route].ability.tier;
                        Placed::Away(Box::new(job), Some(own))
                    }
                    Some(Place::Nowhere(error)) => Placed::Ended(Box::new(job.order.failed(error))),
                }
            }
            Err(Unresolved::Early(error)) => Placed::Early(Box::new(order.failed(error))),
            Err(Unresolved::Wrong(error)) => Placed::Ended(Box::new(order.failed(error))),
        }
    }

    pub(super) fn resolve(
        &self,
        order: &Order,
        now: Instant,
        tries: u32,
    ) -> Result<Resolved, Unresolved> {
        let request = &order.request;
        request.validate(self.start.max_text_chars)?;
        let target = parse_language("targetLanguage", order.target_tag())?;
        let deadline = order.deadline();
        if deadline.is_some_and(|at| at <= now) {
            let message = match tries {
                0 => "the deadline passed before the message was read",
                _ => "the deadline passed before the model was available",
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
        let place = match source == target {
            true => None,
            false => {
                let wanted = Wanted {
                    source,
                    target,
                    tier: request.model_type,
                };
                Some(self.find(&order.reach, wanted, tries == 0)?)
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
    fn find(&self, reach: &Reach, wanted: Wanted, is_first: bool) -> Result<Place, Unresolved> {
        if let Reach::Model(model) = reach {
            let mut routes = self.start.routes.iter();
            let found = routes.position(|route| route.model == *model);
            return found.map(Place::Here).ok_or_else(|| {
                let message = format!("there is no model {model}");
                RequestError::new(ErrorCode::ModelUnavailable, message).into()
            });
        }
        let here = self.choose(wanted);
        let may_leave = *reach == Reach::Cluster;
        if let Ok(Chosen { index, works: true }) = here {
            let own = self.start.routes[index].ability.tier;
            let may_improve = may_leave && is_first && own != wanted.tier && !self.is_stopping();
            if !may_improve || !self.has_nearer(wanted, own) {
                return Ok(Place::Here(index));
            }
            return Ok(place(here, Beyond::Better, may_leave));
        }
        let abroad = self.start.elsewhere.abroad();
        let beyond = abroad.serves(wanted.source, wanted.target);
        if abroad.is_incomplete() && beyond != Beyond::Now {
            return Err(Unresolved::early());
        }
        Ok(place(here, beyond, may_leave))
    }

    /// Whether another node has a model whose tier is nearer to the one wanted than `own`.
    fn has_nearer(&self, wanted: Wanted, own: ModelType) -> bool {
        let pair = (wanted.source, wanted.target);
        let abroad = self.start.elsewhere.abroad();
        abroad.has_nearer(pair, wanted.tier, own)
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
        chosen.map_err(|error| self.commanded.excuse(source, target).unwrap_or(error))
    }
}

/// What a model has to be able to do.
#[derive(Clone, Copy)]
struct Wanted {
    source: Language,
    target: Language,
    /// The tier that is wanted; another one may be used.
    tier: ModelType,
}

pub(super) enum Placed {
    In(usize, Box<Job>),
    /// With another node; by a model whose tier is nearer to the one wanted than this one, if there is one.
    Away(Box<Job>, Option<ModelType>),
    /// Nowhere before more is known of the cluster; with the error that it ends with if it cannot wait for that.
    Early(Box<JobOutcome>),
    Ended(Box<JobOutcome>),
}
