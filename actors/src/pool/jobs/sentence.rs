//! The sentences of a job, and the pieces of them that a model translates.

use std::{ops::Range, sync::Arc};

use crate::{
    cache::{CacheKey, CacheSpace, TermsDigest},
    domain::Language,
    pool::item::StoreKey,
    text::{
        self, Document,
        plan::{self, Asked, Checks, Profile, SentencePlan, Step},
    },
};
use babelmesh_engine_protocol::Translation;

use super::Origin;

/// A sentence, and how far its translation has come.
pub(super) struct Sentence {
    state: SentenceState,
    /// Numbers of its pieces, in the order of the texts of its plan.
    pieces: Vec<u32>,
    /// How many of these have an answer that was passed to the plan.
    answered: usize,
    /// How many of the others still wait for an answer.
    missing: usize,
    /// The terms of a glossary in it.
    terms: Option<TermsDigest>,
}

enum SentenceState {
    Planned(Box<SentencePlan>),
    Translated(Translations),
}

/// Translations of a sentence.
pub(super) struct Translations {
    pub(super) best: text::Translation,
    /// Others, the likeliest first.
    pub(super) alternatives: Vec<text::Translation>,
}

/// What comes next for a sentence.
pub(super) enum SentenceStep {
    /// Its plan asks for more texts.
    Asks,
    /// It is translated. The plan says what became of its texts.
    Translated(Checks, Box<SentencePlan>),
}

/// A piece of a text that a model translates: a text of a sentence's plan, or a part of one.
pub(super) struct Piece {
    /// Index of its sentence.
    pub(super) sentence: usize,
    /// Number of its text in the plan of the sentence.
    pub(super) asked: usize,
    /// Its bytes in that text.
    pub(super) range: Range<usize>,
    /// The piece that it is a part of.
    pub(super) whole: Option<u32>,
    /// Estimated tokens, at least 1.
    pub(super) tokens: u32,
    /// Cache key, if caching is enabled.
    pub(super) key: Option<CacheKey>,
    /// Whether its translation needs an alignment.
    pub(super) align: bool,
    /// How many other translations are wanted.
    pub(super) alternatives: u8,
    pub(super) state: PieceState,
}

/// State of a piece.
pub(super) enum PieceState {
    Missing,
    Answered(PieceAnswer),
    /// Split into the pieces with the numbers `parts`, of which `missing` are not translated yet.
    Split {
        parts: Vec<u32>,
        missing: usize,
    },
    /// No longer needed: it was split further, or its sentence is translated.
    Replaced,
}

/// The translation of a piece.
pub(super) struct PieceAnswer {
    pub(super) translation: Translation,
    pub(super) origin: Origin,
    /// Where it is stored once it has passed the checks, if at all.
    pub(super) store: Option<StoreKey>,
}

/// What the pieces of a job have in common.
pub(super) struct PieceMaker<'a> {
    /// Cache space, if caching is enabled.
    pub(super) space: Option<&'a CacheSpace>,
    pub(super) source: Language,
    pub(super) target: Language,
    /// Number of alternatives requested for each piece. If it is not zero, pieces are not cached, because a cache entry holds a single translation.
    pub(super) alternatives: u8,
}

impl PieceMaker<'_> {
    fn piece(
        &self,
        sentence: usize,
        (number, asked): (usize, &Asked),
        align: bool,
        terms: Option<&TermsDigest>,
    ) -> Piece {
        Piece {
            sentence,
            asked: number,
            range: 0..asked.text.len(),
            whole: None,
            tokens: text::estimate_tokens(&asked.text).max(1),
            key: self.key(&asked.text, align, terms),
            align,
            alternatives: self.alternatives,
            state: PieceState::Missing,
        }
    }

    /// Cache key of a text of a sentence with these terms, if caching is enabled.
    pub(super) fn key(
        &self,
        text: &str,
        align: bool,
        terms: Option<&TermsDigest>,
    ) -> Option<CacheKey> {
        let space = self.space.filter(|_| self.alternatives == 0);
        let key = space?.key(self.source, self.target, text);
        let key = terms.map_or(key, |terms| key.with_terms(terms));
        Some(if align { key.with_alignment() } else { key })
    }
}

impl Sentence {
    /// Creates a sentence of a document, and appends its first pieces to `pieces`.
    pub(super) fn new(
        document: &Document,
        number: usize,
        profile: &Arc<Profile>,
        maker: &PieceMaker<'_>,
        pieces: &mut Vec<Piece>,
    ) -> Self {
        let mut plan = SentencePlan::new(document, number, profile);
        let needs_no_model = plan.asked().is_empty();
        let state = match needs_no_model.then(|| plan.next(Vec::new())) {
            Some(Step::Done {
                translation,
                alternatives,
                ..
            }) => SentenceState::Translated(Translations {
                best: translation,
                alternatives,
            }),
            _ => SentenceState::Planned(Box::new(plan)),
        };
        let mut sentence = Self {
            state,
            pieces: Vec::new(),
            answered: 0,
            missing: 0,
            terms: TermsDigest::of(document.units()[number].terms()),
        };
        sentence.ask(number, maker, pieces);
        sentence
    }

    /// The terms of a glossary in it.
    pub(super) const fn terms(&self) -> Option<&TermsDigest> {
        self.terms.as_ref()
    }

    /// Whether no more is to be translated.
    pub(super) const fn is_translated(&self) -> bool {
        matches!(self.state, SentenceState::Translated(_))
    }

    /// The translations, once there are some.
    pub(super) fn translations(self) -> Option<Translations> {
        match self.state {
            SentenceState::Translated(translations) => Some(translations),
            SentenceState::Planned(_) => None,
        }
    }

    /// A text of its plan.
    pub(super) fn asked(&self, number: usize) -> Option<&Asked> {
        match &self.state {
            SentenceState::Planned(plan) => plan.text(number),
            SentenceState::Translated(_) => None,
        }
    }

    /// Its pieces by the numbers of its plan's texts.
    pub(super) fn pieces(&self) -> &[u32] {
        &self.pieces
    }

    /// The pieces whose answers the plan does not know yet.
    pub(super) fn unanswered(&self) -> &[u32] {
        &self.pieces[self.answered..]
    }

    /// Records the answer to one of its pieces. Returns whether all pieces have an answer now.
    pub(super) const fn note_answer(&mut self) -> bool {
        self.missing = self.missing.saturating_sub(1);
        self.missing == 0
    }

    /// Adds a piece for each text that the plan asks for.
    fn ask(&mut self, number: usize, maker: &PieceMaker<'_>, pieces: &mut Vec<Piece>) {
        let SentenceState::Planned(plan) = &self.state else {
            return;
        };
        let aligns = plan.profile().alignments;
        for (text, asked) in (self.pieces.len()..).zip(plan.asked()) {
            // A job has far fewer pieces than its text has bytes.
            self.pieces
                .push(u32::try_from(pieces.len()).unwrap_or(u32::MAX));
            let align = aligns && asked.is_marked;
            pieces.push(maker.piece(number, (text, asked), align, self.terms.as_ref()));
        }
        self.missing = self.pieces.len() - self.answered;
    }

    /// Passes the answers of the unanswered pieces to the plan. May panic if there is a bug in the plan.
    pub(super) fn advance(
        &mut self,
        number: usize,
        answers: Vec<plan::Answer>,
        maker: &PieceMaker<'_>,
        pieces: &mut Vec<Piece>,
    ) -> Option<SentenceStep> {
        let SentenceState::Planned(plan) = &mut self.state else {
            return None;
        };
        self.answered = self.pieces.len();
        match plan.next(answers) {
            Step::Retry => {
                self.ask(number, maker, pieces);
                Some(SentenceStep::Asks)
            }
            Step::Done {
                translation,
                alternatives,
                checks,
            } => {
                let done = SentenceState::Translated(Translations {
                    best: translation,
                    alternatives,
                });
                match std::mem::replace(&mut self.state, done) {
                    SentenceState::Planned(plan) => Some(SentenceStep::Translated(checks, plan)),
                    SentenceState::Translated(_) => None,
                }
            }
        }
    }
}

impl Piece {
    /// The answer for the plan. Moves the text out of the translation unless the translation may be stored later.
    pub(super) fn answer(&mut self) -> plan::Answer {
        let PieceState::Answered(PieceAnswer {
            translation, store, ..
        }) = &mut self.state
        else {
            return plan::Answer::default();
        };
        let links = translation.alignment.as_ref().map(|alignment| {
            let links = alignment.links().iter().map(|link| plan::Link {
                source: link.source.range(),
                target: link.target.range(),
                weight: f32::from(link.weight),
            });
            plan::Alignment {
                links: links.collect(),
            }
        });
        plan::Answer {
            alternatives: std::mem::take(&mut translation.alternatives),
            truncated: !translation.is_whole(),
            in_parts: false,
            alignment: links,
            text: match store {
                Some(_) => translation.text.clone(),
                None => std::mem::take(&mut translation.text),
            },
        }
    }
}
