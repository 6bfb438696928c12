//! The port to the translation cache.
//!
//! The cache holds pieces of text as a model sees them, usually sentences, not messages: messages that share a sentence
//! share its translation. Errors are never cached.

use std::fmt;

use async_trait::async_trait;
use babelmesh_engine_protocol::Translation;
use sha2::{Digest, Sha256};

use crate::domain::{Language, Term};

/// Key of one piece of text, its language pair and the cache space. That includes the numeric type only once an engine
/// has told it: see [`CacheKey::made_in`].
///
/// The first half of a SHA-256: senders choose the texts, so collisions must be infeasible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 16]);

impl CacheKey {
    /// The key of what an engine makes of the piece that reported this numeric type. Only such keys are stored.
    #[must_use]
    pub fn made_in(&self, numeric: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        add(&mut hash, numeric);
        Self::first_half(hash)
    }

    /// The key of the same piece with an alignment: one without any cannot take its place.
    #[must_use]
    pub fn with_alignment(&self) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update("aligned");
        Self::first_half(hash)
    }

    /// The key of the same piece in a sentence with terms of a glossary.
    #[must_use]
    pub fn with_terms(&self, terms: &TermsDigest) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update("terms");
        hash.update(terms.0);
        Self::first_half(hash)
    }

    /// Some bits of it, spread evenly.
    pub(crate) const fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn first_half(hash: Sha256) -> Self {
        let whole: [u8; 32] = hash.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Self(half)
    }
}

/// Hexadecimal digits, for memories outside this process.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names the terms of a glossary that a sentence has, as they are written there, and their targets. So it changes whenever a glossary
/// changes in what concerns the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermsDigest([u8; 32]);

impl TermsDigest {
    /// The digest of some terms; none without any.
    pub fn of(terms: impl IntoIterator<Item = Term>) -> Option<Self> {
        let mut hash = Sha256::new();
        let mut terms = terms.into_iter().peekable();
        terms.peek()?;
        for Term { source, target } in terms {
            add(&mut hash, &source);
            add(&mut hash, &target);
        }
        Some(Self(hash.finalize().into()))
    }
}

/// Everything but text, languages and numeric type that a translation depends on. Whatever is made with another model, engine or beam is another
/// translation. The numeric type is the engine's choice and known only once it has loaded.
#[derive(Clone)]
pub struct CacheSpace(Sha256);

impl CacheSpace {
    /// The space of what these words name, in this order.
    #[must_use]
    pub fn new<'a>(made_by: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for word in made_by {
            add(&mut hash, word);
        }
        Self(hash)
    }

    /// Names the space with this numeric type, as an engine reported it: equal names, equal translations.
    #[must_use]
    pub fn digest(&self, numeric: &str) -> String {
        let mut hash = self.0.clone();
        add(&mut hash, numeric);
        let whole = hash.finalize();
        whole
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The key of a piece of text in this space.
    #[must_use]
    pub fn key(&self, source: Language, target: Language, text: &str) -> CacheKey {
        let mut hash = self.0.clone();
        add(&mut hash, source.as_str());
        add(&mut hash, target.as_str());
        hash.update(text);
        CacheKey::first_half(hash)
    }
}

impl fmt::Debug for CacheSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheSpace")
    }
}

/// Adds a word with its length, so that no two lists of words read the same.
fn add(hash: &mut Sha256, word: &str) {
    hash.update((word.len() as u64).to_le_bytes());
    hash.update(word);
}

/// A translation cache: local, and optionally shared between nodes.
#[async_trait]
pub trait TranslationCache: Send + Sync {
    /// Local lookup. Must not block.
    fn get(&self, key: &CacheKey) -> Option<Translation>;

    /// Whether a shared [lookup](Self::ask) is possible now.
    fn is_shared(&self) -> bool;

    /// Shared lookup; hits are stored locally. Answers in the order of the keys and in bounded time; a miss or error is
    /// `None`.
    async fn ask(&self, keys: &[CacheKey]) -> Vec<Option<Translation>>;

    /// Stores translations. Must not block.
    fn put(&self, made: Vec<(CacheKey, Translation)>);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    #[test]
    fn cache_keys_contain_the_numeric_type_that_the_engine_reported() {
        let [en, fr] = ["en", "fr"].map(language);
        let key = |text| CacheSpace::new(["model"]).key(en, fr, text);
        let made = key("Hello.").made_in("int8");
        assert_eq!(made, key("Hello.").made_in("int8"));
        let others = [
            key("Hello."),
            key("Hello.").made_in("float32"),
            key("Hello.").made_in(""),
            key("Hello").made_in("int8"),
        ];
        assert!(others.iter().all(|other| *other != made), "{others:?}");
    }

    #[test]
    fn a_key_depends_on_the_terms_of_the_sentence() {
        let [en, fr] = ["en", "fr"].map(language);
        let key = CacheSpace::new(["model"]).key(en, fr, "Hello.");
        let with = |pairs: &[(&str, &str)]| {
            let terms = pairs
                .iter()
                .map(|(source, target)| Term::new(*source, *target));
            TermsDigest::of(terms).map_or(key, |terms| key.with_terms(&terms))
        };
        let keys = [
            with(&[]),
            with(&[("a", "b")]),
            with(&[("a", "c")]),
            with(&[("ab", "")]),
            with(&[("a", "b"), ("a", "b")]),
        ];
        assert_eq!(keys[0], key);
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(one), "{at}");
        }
        assert_eq!(with(&[("a", "b")]), keys[1]);
    }

    #[test]
    fn a_key_depends_on_everything_and_on_nothing_else() {
        let [en, fr, de] = ["en", "fr", "de"].map(language);
        let space = CacheSpace::new(["model", "1", "int8"]);
        let key = space.key(en, fr, "Hello.");
        assert_eq!(
            key,
            CacheSpace::new(["model", "1", "int8"]).key(en, fr, "Hello.")
        );
        let others = [
            space.key(en, de, "Hello."),
            space.key(de, fr, "Hello."),
            space.key(fr, en, "Hello."),
            space.key(en, fr, "hello."),
            space.key(en, fr, "Hello. "),
            CacheSpace::new(["model", "1", "float32"]).key(en, fr, "Hello."),
            CacheSpace::new(["model", "1int8"]).key(en, fr, "Hello."),
            CacheSpace::new(["model1", "", "int8"]).key(en, fr, "Hello."),
        ];
        assert!(others.iter().all(|other| *other != key), "{others:?}");
    }
}
