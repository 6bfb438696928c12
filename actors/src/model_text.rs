//! How texts are read for a model: what is configured, and what its engines have reported of it.

use std::sync::{Arc, PoisonError, RwLock};

use babelmesh_engine_protocol::{CharacterSet, Coverage, LoadReport};

use crate::{
    domain::TranslationRequest,
    text::{
        Document,
        format::{Options, parse},
        glossary::Dictionary,
        plan::Profile,
        recognise::Patterns,
    },
};

/// Longest sentence that a model takes at once unless told otherwise, in estimated tokens.
const DEFAULT_MAX_TOKENS: u32 = 128;

/// Most times that engines are asked for the stand-ins of a model.
const MOST_PROBES: u8 = 3;

/// Settings of all models of a node.
#[derive(Debug, Clone, Default)]
pub struct TextOptions {
    /// Patterns that are not translated, in addition to the built-in tokens.
    pub patterns: Option<Patterns>,
    /// Whether the attributes `alt`, `title`, `placeholder` and `aria-label` of HTML are translated.
    pub attributes: bool,
}

/// How texts are read for a model. Shared by its pool, which learns what its engines report, and by the intake, which reads texts.
#[derive(Debug)]
pub struct ModelText {
    options: Arc<TextOptions>,
    max_tokens: u32,
    learned: RwLock<Learned>,
}

/// What is known of a model.
#[derive(Debug, Clone)]
struct Learned {
    profile: Arc<Profile>,
    /// Characters of its vocabulary; `None` when nothing is known to be missing.
    characters: Option<Arc<Characters>>,
    /// How many engines may still be asked for its stand-ins.
    probes_left: u8,
    /// Grows when texts are read in another way from now on.
    version: u64,
}

/// A text that was read for a model.
pub(crate) struct Parsed {
    pub(crate) document: Document,
    /// Profile of the model.
    pub(crate) profile: Arc<Profile>,
    /// Version of the knowledge about the model that it was read with.
    pub(crate) version: u64,
}

/// Characters that a model can read and write.
#[derive(Debug)]
struct Characters {
    coverage: Coverage,
    /// One bit for each character of the basic plane: nearly every character is one of those, and each character of a text is looked up.
    basic: Vec<u64>,
}

impl Default for ModelText {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_TOKENS, Arc::default())
    }
}

impl ModelText {
    /// A model that takes sentences of at most so many estimated tokens at once. Nothing else is known of it.
    #[must_use]
    pub fn new(max_tokens: u32, options: Arc<TextOptions>) -> Self {
        Self {
            options,
            max_tokens: max_tokens.max(1),
            learned: RwLock::new(Learned {
                profile: Arc::default(),
                characters: None,
                probes_left: MOST_PROBES,
                version: 0,
            }),
        }
    }

    /// Assumes that its engines can tell alignments, until one reports its capabilities.
    pub(crate) fn assume_alignments(&self) {
        self.change_profile(|profile| profile.alignments = true);
    }

    /// Takes the report of an engine of the model. Returns whether texts that were read before should be read again: their sentences
    /// may hold characters that the model would drop.
    pub(crate) fn learn(&self, report: &LoadReport) -> bool {
        let Learned {
            profile,
            characters,
            ..
        } = self.learned();
        let alignments = report.capabilities.alignments;
        let is_same = profile.alignments == alignments;
        if !is_same {
            self.change_profile(|profile| profile.alignments = alignments);
        }
        let is_known = match &characters {
            Some(characters) => characters.coverage == report.coverage,
            None => report.coverage == Coverage::default(),
        };
        if !is_known {
            let has_all = report.coverage == Coverage::default();
            let characters = (!has_all).then(|| Arc::new(Characters::new(report.coverage.clone())));
            self.write(|learned| learned.characters = characters);
        }
        let is_changed = !is_same || !is_known;
        if is_changed {
            self.write(|learned| learned.version += 1);
        }
        is_changed
    }

    /// Changes whenever [`learn`](Self::learn) returns true.
    pub(crate) fn version(&self) -> u64 {
        let learned = self.learned.read();
        learned.unwrap_or_else(PoisonError::into_inner).version
    }

    /// Whether it is to be found out which stand-ins for tokens the model copies.
    pub(crate) fn lacks_stand_ins(&self) -> bool {
        let learned = self.learned.read();
        learned.unwrap_or_else(PoisonError::into_inner).probes_left > 0
    }

    /// An engine is asked which stand-ins it copies. Engines that fail meanwhile do so a few times at most.
    pub(crate) fn begin_probe(&self) {
        self.write(|learned| learned.probes_left = learned.probes_left.saturating_sub(1));
    }

    /// Takes the stand-ins for tokens that the model was found to copy.
    pub(crate) fn learn_stand_ins(&self, stand_ins: Vec<String>) {
        self.write(|learned| learned.probes_left = 0);
        self.change_profile(|profile| profile.stand_ins = stand_ins);
    }

    /// Finds the sentences of a request's text, and the terms of a glossary in it.
    pub(crate) fn parse(
        &self,
        request: &TranslationRequest,
        glossary: Option<&Dictionary>,
    ) -> Parsed {
        let Learned {
            profile,
            characters,
            version,
            ..
        } = self.learned();
        let known = characters.map(|characters| move |c: char| characters.contains(c));
        let options = Options {
            max_tokens: self.max_tokens,
            attributes: self.options.attributes,
            splitting: request.splitting,
            xml: request.xml.as_deref(),
            patterns: self.options.patterns.as_ref(),
            known: known.as_ref().map(|known| known as _),
            glossary,
        };
        Parsed {
            document: parse(request.text.as_str(), request.format, &options),
            profile,
            version,
        }
    }

    fn learned(&self) -> Learned {
        let learned = self.learned.read();
        learned.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_profile(&self, change: impl FnOnce(&mut Profile)) {
        self.write(|learned| change(Arc::make_mut(&mut learned.profile)));
    }

    fn write(&self, change: impl FnOnce(&mut Learned)) {
        let learned = self.learned.write();
        change(&mut learned.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Characters {
    fn new(coverage: Coverage) -> Self {
        let sets = [&coverage.source, &coverage.target].map(basic);
        let [source, target] = &sets;
        Self {
            basic: source.iter().zip(target).map(|(a, b)| a & b).collect(),
            coverage,
        }
    }

    fn contains(&self, character: char) -> bool {
        let at = character as usize;
        let word = self.basic.get(at / u64::BITS as usize);
        word.map_or_else(
            || self.coverage.contains(character),
            |word| word >> (at % u64::BITS as usize) & 1 == 1,
        )
    }
}

/// The bits of the characters of the basic plane that are in a set.
fn basic(set: &CharacterSet) -> Vec<u64> {
    let last = u32::from(u16::MAX);
    let mut words = vec![0; (last + 1).div_ceil(u64::BITS) as usize];
    for &(start, end) in set.ranges() {
        for character in start..=end.min(last) {
            words[(character / u64::BITS) as usize] |= 1 << (character % u64::BITS);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use babelmesh_engine_protocol::Capabilities;
    use proptest::prelude::*;

    use super::*;

    fn report(alignments: bool, coverage: Coverage) -> LoadReport {
        LoadReport {
            capabilities: Capabilities {
                alignments,
                ..Capabilities::default()
            },
            coverage,
            ..LoadReport::default()
        }
    }

    fn letters() -> Coverage {
        Coverage {
            source: ('a'..='z').chain(['.', ' ', '😀']).collect(),
            target: ('a'..='z').chain(['.', ' ', '😀', 'é']).collect(),
        }
    }

    #[test]
    fn what_an_engine_reports_holds_for_texts_that_are_read_later() {
        let model = ModelText::default();
        let request = TranslationRequest::new("1", "the café is here.", "fr");
        let tokens = |model: &ModelText| {
            let Parsed {
                document, profile, ..
            } = model.parse(&request, None);
            let count: usize = document
                .units()
                .iter()
                .map(|unit| unit.tokens().count())
                .sum();
            (count, profile.alignments)
        };
        assert_eq!(tokens(&model), (0, false));
        model.assume_alignments();
        assert_eq!(tokens(&model), (0, true));
        assert!(model.learn(&report(false, letters())));
        assert_eq!((tokens(&model), model.version()), ((1, false), 1));
        assert!(!model.learn(&report(false, letters())));
        assert_eq!(model.version(), 1);
        model.learn(&report(true, Coverage::default()));
        assert_eq!(tokens(&model), (0, true));
    }

    proptest! {
        #[test]
        fn each_character_is_known_as_the_model_reported_it(covered: Vec<char>, others: Vec<char>) {
            let set: Vec<char> = covered.iter().copied().chain("\u{ffff}\u{10000}a".chars()).collect();
            let coverage = Coverage { source: set.iter().copied().collect(), target: set.iter().copied().collect() };
            let characters = Characters::new(coverage.clone());
            for character in set.into_iter().chain(others).chain(['\0', 'b', '\u{fffe}', '\u{10001}']) {
                prop_assert_eq!(characters.contains(character), coverage.contains(character));
            }
        }
    }
}
