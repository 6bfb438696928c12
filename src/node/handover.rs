//! A slot that passes a resource from one component to another.

use std::sync::{Arc, Mutex, PoisonError};

/// A place for it.
pub(crate) struct Handover<T>(Arc<Mutex<Option<T>>>);

impl<T> Handover<T> {
    pub(crate) fn new(held: Option<T>) -> Self {
        Self(Arc::new(Mutex::new(held)))
    }

    /// Takes it, if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts it there.
    pub(crate) fn put(&self, held: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

impl<T> Clone for Handover<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
