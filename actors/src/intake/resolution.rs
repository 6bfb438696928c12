//! The languages of an order and where it is done, or why that is not known.

use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, Language, RequestError},
    remote_nodes::Place,
};

/// An order whose languages and place are known.
pub(super) struct Resolved {
    pub(super) source: Language,
    pub(super) target: Language,
    pub(super) detected: Option<f64>,
    pub(super) deadline: Option<Instant>,
    /// Where it is done; none when the text is in the target language already.
    pub(super) place: Option<Place>,
}

/// Why an order has no place.
pub(super) enum PlacementFailure {
    /// Not enough is known of the cluster yet.
    Early(RequestError),
    /// It can be done nowhere.
    Wrong(RequestError),
}

impl PlacementFailure {
    /// An order that waits until more is known of the cluster, with the error that it ends with if it cannot wait.
    pub(super) fn early() -> Self {
        let message = "cluster discovery is still in progress";
        Self::Early(RequestError::new(ErrorCode::ModelUnavailable, message))
    }
}

impl From<RequestError> for PlacementFailure {
    fn from(error: RequestError) -> Self {
        Self::Wrong(error)
    }
}
