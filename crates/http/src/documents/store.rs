//! The documents that are held: how many, how long, and for whom.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    http::header::{Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue},
    web::Bytes,
};
use babelmesh_actors::domain::ClientId;
use babelmesh_documents::{DocumentsConfig, Kind};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::error::ApiError;

/// Bytes of randomness in an id, and in a key.
const ID_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// When a client that is refused may try again, in seconds.
const RETRY_AFTER: u64 = 10;

/// The id of a document, and the key without which it cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentId {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// Where the translation of a document stands.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    /// Other documents are before it.
    Queued,
    /// It is being translated.
    Translating {
        /// Characters that are translated.
        done: u64,
        /// Characters of the document.
        total: u64,
        /// When its translation began.
        since: Instant,
    },
    /// It is translated.
    Done(Arc<Finished>),
    /// It is not translated, and why.
    Failed(String),
}

/// A translated document.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
    /// Characters of the document.
    pub(crate) characters: u64,
    /// What the checks of its translation found.
    pub(crate) findings: Findings,
}

/// What the checks of a document's translation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Findings {
    /// Segments with a sentence that was not translated whole.
    pub(crate) flagged_segments: u64,
    /// Sentences of which a part was left untranslated.
    pub(crate) untranslated_sentences: u64,
}

impl Finished {
    /// Tells browsers to save the document under a name.
    pub(crate) fn disposition(&self, name: &str) -> ContentDisposition {
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        // What does not fit in a header as it is follows in the form that does.
        let plain = |c: char| match c {
            ' '..='~' if !matches!(c, '"' | '\\') => c,
            _ => '_',
        };
        ContentDisposition {
            disposition: DispositionType::Attachment,
            parameters: vec![
                DispositionParam::Filename(name.chars().map(plain).collect()),
                DispositionParam::FilenameExt(ExtendedValue {
                    charset: Charset::Ext("UTF-8".to_owned()),
                    language_tag: None,
                    value: name.into_bytes(),
                }),
            ],
        }
    }
}

/// The answer to who wants a translated document.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Here it is.
    Document(Arc<Finished>),
    /// It is not translated yet.
    NotReady,
    /// It is not translated, and why.
    Failed(String),
    /// There is none with this id and key.
    Unknown,
}

/// The documents that are held.
#[derive(Debug)]
pub(super) struct Store {
    config: DocumentsConfig,
    held: HashMap<String, Held>,
    /// Bytes of all documents that are held.
    bytes: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Held {
    key: [u8; 32],
    client: ClientId,
    name: String,
    kind: Kind,
    bytes: usize,
    status: Status,
    /// Whether it was sent to its client.
    is_downloaded: bool,
    /// When it is forgotten; `None` while it is not translated.
    expires: Option<Instant>,
    /// Whether its translation has ended. Closed when it is forgotten.
    ended: watch::Sender<bool>,
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn random<const N: usize>() -> String {
    let bytes: [u8; N] = std::array::from_fn(|_| rand::random());
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

impl Store {
    pub(super) fn new(config: &DocumentsConfig) -> Self {
        Self {
            config: config.clone(),
            held: HashMap::new(),
            bytes: 0,
            is_closed: false,
        }
    }

    /// Holds a document, if there is room for it.
    pub(super) fn admit(
        &mut self,
        client: ClientId,
        (name, kind): (String, Kind),
        bytes: usize,
        now: Instant,
    ) -> Result<DocumentId, ApiError> {
        self.expire(now);
        if self.is_closed {
            return Err(ApiError::ending());
        }
        while let Some((refusal, whose)) = self.refusal(client, bytes) {
            if !self.forget_spent(whose) {
                return Err(ApiError::too_many(refusal, RETRY_AFTER));
            }
        }
        Ok(self.hold(client, (name, kind), bytes))
    }

    /// Why there is no room for a document, and whose documents take it, if it is those of one client.
    fn refusal(&self, client: ClientId, bytes: usize) -> Option<(&'static str, Option<ClientId>)> {
        let own = self.held.values().filter(|held| held.client == client);
        if own.count() >= self.config.max_per_client {
            let refusal = "too many documents of this client are held: download them first (documents.max_per_client)";
            return Some((refusal, Some(client)));
        }
        if self.held.len() >= self.config.max_held {
            return Some(("too many documents are held (documents.max_held)", None));
        }
        let is_too_much = self.bytes.saturating_add(bytes) > self.config.max_held_bytes;
        let refusal =
            "the documents that are held are too large together (documents.max_held_bytes)";
        is_too_much.then_some((refusal, None))
    }

    /// Forgets the oldest document that was downloaded or not translated, of this client or of any. False if there is none.
    fn forget_spent(&mut self, whose: Option<ClientId>) -> bool {
        let is_spent = |held: &&Held| {
            let is_over = held.is_downloaded || matches!(held.status, Status::Failed(_));
            is_over && whose.is_none_or(|client| held.client == client)
        };
        let spent = self.held.iter().filter(|(_, held)| is_spent(held));
        let oldest = spent.min_by_key(|(_, held)| held.expires);
        let Some(id) = oldest.map(|(id, _)| id.clone()) else {
            return false;
        };
        self.forget(&id);
        true
    }

    fn hold(&mut self, client: ClientId, (name, kind): (String, Kind), bytes: usize) -> DocumentId {
        let id = DocumentId {
            id: random::<ID_BYTES>(),
            key: random::<KEY_BYTES>(),
        };
        self.bytes += bytes;
        let held = Held {
            key: hash(&id.key),
            client,
            name,
            kind,
            bytes,
            status: Status::Queued,
            is_downloaded: false,
            expires: None,
            ended: watch::Sender::new(false),
        };
        self.held.insert(id.id.clone(), held);
        id
    }

    /// Forgets documents whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_over = |held: &Held| held.expires.is_some_and(|expires| expires <= now);
        let over: Vec<String> = self
            .held
            .iter()
            .filter(|(_, held)| is_over(held))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.forget(&id);
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id) {
            self.bytes -= held.bytes;
        }
    }

    /// Tells whether a document's translation has ended; `None` if it is not held.
    pub(super) fn changes(&self, id: &str) -> Option<watch::Receiver<bool>> {
        self.held.get(id).map(|held| held.ended.subscribe())
    }

    /// Notes how far the translation of a document is.
    pub(super) fn progress(&mut self, id: &str, done: u64, total: u64, since: Instant) {
        if let Some(held) = self.held.get_mut(id)
            && held.expires.is_none()
        {
            held.status = Status::Translating { done, total, since };
        }
    }

    /// Notes how the translation of a document ended.
    pub(super) fn end(&mut self, id: &str, ended: Result<Translation, String>, now: Instant) {
        let Some(held) = self.held.get_mut(id) else {
            return;
        };
        self.bytes -= std::mem::take(&mut held.bytes);
        let is_too_much =
            |bytes: usize| self.bytes.saturating_add(bytes) > self.config.max_held_bytes;
        held.status = match ended {
            Ok(translation) if is_too_much(translation.bytes.len()) => {
                let message = "there is no room for the translated document; try again later";
                Status::Failed(format!("{message} (documents.max_held_bytes)"))
            }
            Ok(translation) => {
                held.bytes = translation.bytes.len();
                self.bytes += held.bytes;
                Status::Done(Arc::new(Finished {
                    name: held.name.clone(),
                    kind: held.kind,
                    bytes: translation.bytes,
                    characters: translation.characters,
                    findings: translation.findings,
                }))
            }
            Err(message) => Status::Failed(message),
        };
        let keep = self.config.keep();
        held.expires = Some(
            now.checked_add(keep)
                .unwrap_or(now + Duration::from_secs(3_600)),
        );
        held.ended.send_replace(true);
    }

    fn find(&mut self, id: &str, key: &str, now: Instant) -> Option<&Held> {
        self.expire(now);
        // Comparing hashes takes a time that tells nothing about the key.
        self.held.get(id).filter(|held| held.key == hash(key))
    }

    pub(super) fn status(&mut self, id: &str, key: &str, now: Instant) -> Option<Status> {
        self.find(id, key, now).map(|held| held.status.clone())
    }

    /// A translated document. Unless it is kept, it is forgotten.
    pub(super) fn take(&mut self, id: &str, key: &str, keep: bool, now: Instant) -> Taken {
        match self.status(id, key, now) {
            None => Taken::Unknown,
            Some(Status::Queued | Status::Translating { .. }) => Taken::NotReady,
            Some(Status::Failed(message)) => Taken::Failed(message),
            Some(Status::Done(finished)) => {
                match self.held.get_mut(id) {
                    Some(held) if keep => held.is_downloaded = true,
                    _ => self.forget(id),
                }
                Taken::Document(finished)
            }
        }
    }

    /// Takes no more documents.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }
}

/// What the translation of a document made.
#[derive(Debug)]
pub(crate) struct Translation {
    pub(crate) bytes: Bytes,
    pub(crate) characters: u64,
    pub(crate) findings: Findings,
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;

    use super::*;

    fn store() -> Store {
        Store::new(&DocumentsConfig {
            max_held: 3,
            max_per_client: 2,
            max_held_bytes: 100,
            keep_ms: 1_000,
            ..DocumentsConfig::default()
        })
    }

    fn admit(
        store: &mut Store,
        client: &str,
        bytes: usize,
        now: Instant,
    ) -> Result<DocumentId, ApiError> {
        let name = ("a.txt".to_owned(), Kind::Text);
        store.admit(ClientId::of(client), name, bytes, now)
    }

    fn translation(bytes: usize) -> Result<Translation, String> {
        Ok(Translation {
            bytes: vec![b'x'; bytes].into(),
            characters: 7,
            findings: Findings::default(),
        })
    }

    #[test]
    fn a_document_is_private_to_its_key_and_is_downloaded_once() {
        let now = Instant::now();
        let mut store = store();
        let id = admit(&mut store, "a", 10, now).unwrap();
        let other = admit(&mut store, "a", 10, now).unwrap();
        assert!(id.id.len() == 32 && id.key.len() == 64 && id.key != other.key);
        assert!(store.status(&id.id, &other.key, now).is_none());
        assert!(matches!(
            store.status(&id.id, &id.key, now),
            Some(Status::Queued)
        ));
        assert!(matches!(
            store.take(&id.id, &id.key, false, now),
            Taken::NotReady
        ));
        store.end(&id.id, translation(20), now);
        assert!(matches!(
            store.take(&id.id, &other.key, false, now),
            Taken::Unknown
        ));
        assert!(matches!(
            store.take(&id.id, &id.key, true, now),
            Taken::Document(_)
        ));
        assert!(matches!(
            store.take(&id.id, &id.key, false, now),
            Taken::Document(_)
        ));
        assert!(matches!(
            store.take(&id.id, &id.key, false, now),
            Taken::Unknown
        ));
        assert_eq!(store.bytes, 10);
    }

    #[test]
    fn documents_are_bounded_in_number_in_bytes_and_for_each_client() {
        let now = Instant::now();
        let mut store = store();
        for bytes in [40, 30] {
            admit(&mut store, "a", bytes, now).unwrap();
        }
        let refused = admit(&mut store, "a", 1, now).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.message.contains("max_per_client"));
        let refused = admit(&mut store, "b", 31, now).unwrap_err();
        assert!(refused.message.contains("max_held_bytes"));
        admit(&mut store, "b", 30, now).unwrap();
        let refused = admit(&mut store, "c", 0, now).unwrap_err();
        assert!(refused.message.contains("documents.max_held)"));
    }

    #[test]
    fn documents_that_failed_or_were_downloaded_make_room_for_others() {
        let now = Instant::now();
        let mut store = store();
        let ids = ["a", "a", "b"].map(|client| admit(&mut store, client, 10, now).unwrap());
        store.end(&ids[0].id, translation(10), now);
        store.end(&ids[2].id, Err("no".to_owned()), now);
        // The failed document is another client's, and its own is not downloaded.
        assert!(admit(&mut store, "a", 1, now).is_err());
        assert!(admit(&mut store, "c", 1, now).is_ok());
        assert!(store.status(&ids[2].id, &ids[2].key, now).is_none());
        let taken = store.take(&ids[0].id, &ids[0].key, true, now);
        assert!(matches!(taken, Taken::Document(_)));
        assert!(admit(&mut store, "a", 1, now).is_ok());
        assert!(store.status(&ids[0].id, &ids[0].key, now).is_none());
        assert!(store.status(&ids[1].id, &ids[1].key, now).is_some());
        assert_eq!((store.held.len(), store.bytes), (3, 12));
    }

    #[test]
    fn a_translation_without_room_is_an_error() {
        let now = Instant::now();
        let mut store = store();
        let id = admit(&mut store, "a", 10, now).unwrap();
        store.end(&id.id, translation(101), now);
        assert!(matches!(
            store.take(&id.id, &id.key, false, now),
            Taken::Failed(_)
        ));
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn documents_expire_after_their_translation_ended() {
        let now = Instant::now();
        let mut store = store();
        let id = admit(&mut store, "a", 10, now).unwrap();
        let much_later = now + Duration::from_secs(10_000);
        assert!(store.status(&id.id, &id.key, much_later).is_some());
        store.end(&id.id, Err("no".to_owned()), now);
        let later = now + Duration::from_millis(999);
        assert!(matches!(
            store.status(&id.id, &id.key, later),
            Some(Status::Failed(_))
        ));
        let over = now + Duration::from_millis(1_000);
        assert!(store.status(&id.id, &id.key, over).is_none());
        assert!(store.held.is_empty() && store.bytes == 0);
    }

    #[test]
    fn progress_changes_nothing_after_the_end() {
        let now = Instant::now();
        let mut store = store();
        let id = admit(&mut store, "a", 10, now).unwrap();
        store.progress(&id.id, 1, 2, now);
        assert!(matches!(
            store.status(&id.id, &id.key, now),
            Some(Status::Translating { done: 1, .. })
        ));
        store.end(&id.id, translation(1), now);
        store.progress(&id.id, 2, 2, now);
        assert!(matches!(
            store.status(&id.id, &id.key, now),
            Some(Status::Done(_))
        ));
        store.close();
        assert_eq!(
            admit(&mut store, "a", 1, now).unwrap_err().status,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
