//! Documents: each is translated in the background, in the bulk lane, and held until it is downloaded or expires.
//!
//! A document belongs to the node that took it. Its id and key are random: whoever has them may ask for it.

mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use actix_web::web::Bytes;
use babelmesh_actors::domain::{ClientId, Language, ModelType};
use babelmesh_documents::{DocumentError, DocumentsConfig, Kind};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, watch},
};

use crate::{error::ApiError, keys::Client};
use store::Store;
pub(super) use store::{DocumentId, Findings, Status, Taken, Translation};

/// Longest name of a file, in bytes.
const MAX_NAME_BYTES: usize = 1 << 10;

/// The documents of this node.
pub(super) struct Documents {
    pub(super) config: DocumentsConfig,
    store: Mutex<Store>,
    /// A permit for each document that may be translated now.
    running: Semaphore,
    /// Changes when the node stops.
    stopping: watch::Sender<bool>,
    /// Where documents are translated.
    pub(super) runtime: Handle,
}

/// How a document is translated.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// Its language; detected if absent.
    pub(super) source: Option<Language>,
    /// The language wanted.
    pub(super) target: Language,
    /// Quality tier wanted.
    pub(super) tier: ModelType,
    /// Glossary whose terms are used.
    pub(super) glossary_id: Option<String>,
}

/// A document to translate.
pub(super) struct NewDocument {
    /// Name of its file.
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) work: Work,
    /// Whom it counts for.
    pub(super) client: Arc<Client>,
    pub(super) client_id: ClientId,
}

impl Documents {
    /// None yet. Translations run on the current runtime.
    pub(super) fn new(config: &DocumentsConfig) -> Self {
        Self {
            config: config.clone(),
            store: Mutex::new(Store::new(config)),
            running: Semaphore::new(config.max_concurrent),
            stopping: watch::Sender::new(false),
            runtime: Handle::current(),
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a document.
    ///
    /// # Errors
    /// 400 for a kind that is not supported, 429 when too many documents are held, 503 while the node stops.
    pub(super) fn admit(&self, document: &NewDocument) -> Result<DocumentId, ApiError> {
        if document.name.len() > MAX_NAME_BYTES {
            let message =
                format!("Invalid request: the name of the file exceeds {MAX_NAME_BYTES} bytes");
            return Err(ApiError::bad(message));
        }
        let Some(kind) = Kind::of_name(&document.name) else {
            let message = DocumentError::UnsupportedKind;
            return Err(ApiError::bad(format!("Invalid request: {message}")));
        };
        self.store().admit(
            document.client_id,
            (document.name.clone(), kind),
            document.bytes.len(),
            Instant::now(),
        )
    }

    /// Waits until a document may be translated.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.running.acquire().await.ok()
    }

    /// Notes how many characters of a document are translated.
    pub(super) fn progress(&self, id: &str, done: u64, total: u64, since: Instant) {
        self.store().progress(id, done, total, since);
    }

    /// Carries the translation of a document out, unless it takes too long, the node stops, or nobody wants the document any more; and forgets the
    /// document when its time is over.
    pub(super) async fn carry_out(
        &self,
        id: &str,
        translation: impl Future<Output = Result<Translation, String>>,
    ) {
        let mut stopping = self.stopping.subscribe();
        let late = tokio::time::sleep(self.config.timeout());
        let ended = tokio::select! {
            ended = translation => ended,
            () = late => Err(format!(
                "the document was not translated within {} ms (documents.timeout_ms)",
                self.config.timeout_ms
            )),
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {
                Err("the node is shutting down: send the document again".to_owned())
            }
            () = self.abandoned(id) => return,
        };
        self.store().end(id, ended, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(self.config.keep()) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
            () = self.abandoned(id) => {}
        }
        self.store().expire(Instant::now());
    }

    /// Returns when nobody wants the document any more.
    async fn abandoned(&self, id: &str) {
        let changes = self.store().changes(id);
        if let Some(mut changes) = changes {
            while changes.changed().await.is_ok() {}
        }
    }

    /// Returns when the translation of a document has ended, however.
    pub(super) async fn ended(&self, id: &str) {
        let changes = self.store().changes(id);
        if let Some(mut changes) = changes {
            // An error: it is not held any more.
            let _ = changes.wait_for(|has_ended| *has_ended).await;
        }
    }

    /// The status of a document; `None` if there is none with this id and key.
    pub(super) fn status(&self, id: &str, key: &str) -> Option<Status> {
        self.store().status(id, key, Instant::now())
    }

    /// A translated document.
    pub(super) fn take(&self, id: &str, key: &str, keep: bool) -> Taken {
        self.store().take(id, key, keep, Instant::now())
    }

    /// Forgets a document, and stops its translation.
    pub(super) fn forget(&self, id: &str) {
        self.store().forget(id);
    }

    /// Whether the node stops.
    pub(super) fn are_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Stops all translations, and takes no more documents.
    pub(super) fn stop(&self) {
        self.store().close();
        self.stopping.send_replace(true);
    }
}
