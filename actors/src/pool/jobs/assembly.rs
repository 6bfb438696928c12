//! One job in a pool: which of its pieces are translated, and how they are put together at the end.

use std::sync::Arc;

use babelmesh_engine_protocol::Segment;
use tokio::time::Instant;

use crate::{
    cache::CacheSpace,
    containment::{Contained, contain},
    domain::{
        ConfidenceCurve, ErrorCode, Job, JobOutcome, ModelType, RequestError, Trace, Translated,
    },
    events::SentenceCounts,
    pool::item::Verified,
    text::{
        Document,
        glossary::Dictionary,
        plan::{Answer, SentencePlan, Use},
    },
};

use super::{
    Shortfall, alternatives,
    sentence::{Piece, PieceAnswer, PieceMaker, PieceState, Sentence, SentenceStep},
    splitting,
    submission::{ParsedText, Submission},
    totals::{self, JobChecks},
};

/// Which model and actor did the work, for results.
#[derive(Debug, Clone)]
pub(in crate::pool) struct Worker {
    pub(in crate::pool) model_id: Arc<str>,
    pub(in crate::pool) model_type: ModelType,
    /// How its confidence is calibrated, if it is.
    pub(in crate::pool) confidence: Option<Arc<ConfidenceCurve>>,
    pub(in crate::pool) actor: Arc<str>,
}

/// How pieces got their translation.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) enum Origin {
    /// In a batch of this many segments.
    Batch(u32),
    /// From the cache, or from the batch of another piece with the same text.
    Cached,
}

/// A job that waits for pieces.
pub(super) struct Assembly {
    job: Job,
    document: Document,
    sentences: Vec<Sentence>,
    pieces: Vec<Piece>,
    space: Option<CacheSpace>,
    glossary: Option<Arc<Dictionary>>,
    /// Version of the knowledge about the model that its text was read with.
    version: u64,
    /// When it was queued.
    pub(super) queued: Instant,
    /// Sentences that are not translated yet.
    missing: usize,
    checks: JobChecks,
    statistics: Statistics,
    started: Option<Instant>,
    /// Round of its last abandonment check: see [`is_wanted`](Self::is_wanted).
    asked: u64,
}

/// Totals of the translations that make up the text.
#[derive(Default)]
struct Statistics {
    translations: u32,
    /// Sum of log-probabilities, and of the tokens they are of.
    log_probability: f64,
    tokens: u64,
    /// Size of the largest batch, including translations that did not pass the checks.
    batch_size: u32,
}

/// What came of some translations.
#[derive(Default)]
pub(super) struct Progress {
    /// New pieces that need an engine.
    pub(super) asked: Vec<u32>,
    /// Translations that have passed the checks.
    pub(super) verified: Vec<Verified>,
    /// Sentences that are translated.
    pub(super) sentences: SentenceCounts,
}

/// Result of splitting a piece that is too long for the engine, or whose translation is unfinished.
pub(super) enum Split {
    /// These pieces are in its place.
    Parts(Vec<u32>),
    /// Its sentence has to be tried another way.
    OtherWay,
    /// A part of it that cannot be divided is too long for the model.
    Impossible,
}

impl Assembly {
    /// A job of which nothing is translated.
    pub(super) fn new(submission: Submission, queued: Instant) -> Self {
        let Submission { job, text } = submission;
        let ParsedText {
            document,
            sentences,
            pieces,
            space,
            glossary,
            version,
        } = text;
        let missing = sentences
            .iter()
            .filter(|sentence| !sentence.is_translated());
        Self {
            missing: missing.count(),
            job,
            document,
            sentences,
            pieces,
            space,
            glossary,
            version,
            queued,
            checks: JobChecks::default(),
            statistics: Statistics::default(),
            started: None,
            asked: 0,
        }
    }

    pub(super) const fn job(&self) -> &Job {
        &self.job
    }

    /// Whether every sentence is translated.
    pub(super) const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Whether the sender still wants the job. Its sink is asked once per `round`, however many pieces the job has in it.
    pub(super) fn is_wanted(&mut self, round: u64) -> bool {
        let order = &self.job.order;
        std::mem::replace(&mut self.asked, round) == round || order.sink.wants(order.ticket)
    }

    /// Whether no engine has had a piece of it.
    pub(super) const fn is_waiting(&self) -> bool {
        self.started.is_none()
    }

    /// The job as it was submitted, to be parsed again. Its statistics are dropped.
    pub(super) fn into_submission(self) -> Submission {
        let text = ParsedText {
            document: self.document,
            sentences: self.sentences,
            pieces: self.pieces,
            space: self.space,
            glossary: self.glossary,
            version: self.version,
        };
        Submission::new(self.job, text)
    }

    /// A piece.
    pub(super) fn piece(&self, number: u32) -> Option<&Piece> {
        self.pieces.get(number as usize)
    }

    /// The engine's segment for a piece. Marks the job as started.
    pub(super) fn segment(&mut self, number: u32, now: Instant) -> Option<Segment> {
        self.started.get_or_insert(now);
        let piece = self.pieces.get(number as usize)?;
        Some(Segment {
            text: text_of(piece, &self.sentences)?.to_owned(),
            source: self.job.source.as_str().to_owned(),
            target: self.job.target.as_str().to_owned(),
            align: piece.align,
            alternatives: piece.alternatives,
        })
    }

    /// The job's trace, if sampled.
    pub(super) fn watched(&self) -> Option<&Arc<Trace>> {
        let trace = self.job.order.trace.as_ref();
        trace.filter(|trace| trace.watched.is_some())
    }

    /// Splits a piece that is missing.
    pub(super) fn split(
        &mut self,
        number: u32,
        shortfall: Shortfall,
        smallest: u32,
    ) -> Result<Split, Contained> {
        let found = self.pieces.get(number as usize);
        let missing = found.filter(|piece| matches!(piece.state, PieceState::Missing));
        let Some(piece) = missing else {
            return Ok(Split::Parts(Vec::new()));
        };
        let asked = self.sentences[piece.sentence].asked(piece.asked);
        if !asked.is_some_and(|asked| asked.is_plain) {
            return Ok(Split::OtherWay);
        }
        let text = text_of(piece, &self.sentences).unwrap_or_default();
        let Some(parts) = splitting::split(text, piece.tokens, shortfall, smallest)? else {
            return Ok(match shortfall.is_of_the_input() {
                true => Split::Impossible,
                false => Split::OtherWay,
            });
        };
        let maker = PieceMaker {
            space: self.space.as_ref(),
            source: self.job.source,
            target: self.job.target,
            alternatives: self.job.order.request.alternatives,
        };
        let terms = self.sentences[piece.sentence].terms();
        let (whole, start) = (piece.whole.unwrap_or(number), piece.range.start);
        let parts: Vec<Piece> = parts
            .into_iter()
            .map(|part| Piece {
                sentence: piece.sentence,
                asked: piece.asked,
                range: start + part.range.start..start + part.range.end,
                whole: Some(whole),
                tokens: part.tokens,
                key: maker.key(&text[part.range], false, terms),
                align: false,
                // Those of parts would be joined to more than were asked for.
                alternatives: 0,
                state: PieceState::Missing,
            })
            .collect();
        let first = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        let numbers: Vec<u32> = (first..).take(parts.len()).collect();
        self.pieces.extend(parts);
        self.pieces[number as usize].state = match whole == number {
            true => PieceState::Split {
                parts: Vec::new(),
                missing: 1,
            },
            false => PieceState::Replaced,
        };
        if let PieceState::Split { parts, missing } = &mut self.pieces[whole as usize].state {
            *missing = *missing - 1 + numbers.len();
            parts.extend(&numbers);
        }
        Ok(Split::Parts(numbers))
    }

    /// Takes the translation of a piece, unless it is not missing. A sentence all of whose pieces are translated is checked, which
    /// completes it or asks for more.
    pub(super) fn add(
        &mut self,
        number: u32,
        answer: PieceAnswer,
        progress: &mut Progress,
    ) -> Result<(), Contained> {
        let piece = self.pieces.get_mut(number as usize);
        let Some(piece) = piece.filter(|piece| matches!(piece.state, PieceState::Missing)) else {
            return Ok(());
        };
        if let Origin::Batch(size) = answer.origin {
            self.statistics.batch_size = self.statistics.batch_size.max(size);
        }
        piece.state = PieceState::Answered(answer);
        let (sentence, whole) = (piece.sentence, piece.whole);
        if let Some(whole) = whole.and_then(|whole| self.pieces.get_mut(whole as usize))
            && let PieceState::Split { missing, .. } = &mut whole.state
        {
            *missing -= 1;
            if *missing > 0 {
                return Ok(());
            }
        }
        match self.sentences[sentence].note_answer() {
            true => self.advance(sentence, progress),
            false => Ok(()),
        }
    }

    /// Checks the translations of a sentence.
    fn advance(&mut self, number: usize, progress: &mut Progress) -> Result<(), Contained> {
        let unanswered = self.sentences[number].unanswered().to_vec();
        let step = contain(|| {
            let answers = unanswered.iter().map(|piece| self.answer(*piece));
            let answers = answers.collect();
            let maker = PieceMaker {
                space: self.space.as_ref(),
                source: self.job.source,
                target: self.job.target,
                alternatives: self.job.order.request.alternatives,
            };
            let before = self.pieces.len();
            let step = self.sentences[number].advance(number, answers, &maker, &mut self.pieces);
            (before..self.pieces.len(), step)
        })?;
        let (new, step) = step;
        let new = new.map(|piece| u32::try_from(piece).unwrap_or(u32::MAX));
        progress.asked.extend(new);
        if let Some(SentenceStep::Translated(checks, plan)) = step {
            self.missing -= 1;
            self.checks.add(&checks);
            totals::count(&mut progress.sentences, &checks);
            self.settle(number, &plan, progress);
        }
        Ok(())
    }

    /// The answer to a text of a plan.
    fn answer(&mut self, number: u32) -> Answer {
        let piece = &mut self.pieces[number as usize];
        let PieceState::Split { parts, .. } = &mut piece.state else {
            return piece.answer();
        };
        let mut parts = parts.clone();
        parts.retain(|part| {
            let state = &self.pieces[*part as usize].state;
            matches!(state, PieceState::Answered(_))
        });
        parts.sort_by_key(|part| self.pieces[*part as usize].range.start);
        let mut joined = Answer {
            in_parts: true,
            ..Answer::default()
        };
        let mut end = 0;
        for part in parts {
            let piece = &mut self.pieces[part as usize];
            let answer = piece.answer();
            let asked = self.sentences[piece.sentence].asked(piece.asked);
            let between = asked.and_then(|asked| asked.text.get(end..piece.range.start));
            joined.text.push_str(between.unwrap_or_default());
            joined.text.push_str(&answer.text);
            joined.truncated |= answer.truncated;
            end = piece.range.end;
        }
        let whole = &self.pieces[number as usize];
        let asked = self.sentences[whole.sentence].asked(whole.asked);
        let rest = asked.and_then(|asked| asked.text.get(end..));
        joined.text.push_str(rest.unwrap_or_default());
        joined
    }

    /// Counts the translations that a sentence is put together from, and takes out those that may be stored. The others are dropped.
    fn settle(&mut self, number: usize, plan: &SentencePlan, progress: &mut Progress) {
        for (text, piece) in self.sentences[number].pieces().iter().enumerate() {
            let usage = plan.usage(text);
            let parts = match &mut self.pieces[*piece as usize].state {
                PieceState::Split { parts, .. } => std::mem::take(parts),
                _ => vec![*piece],
            };
            for part in parts {
                let state = &mut self.pieces[part as usize].state;
                let PieceState::Answered(answer) = std::mem::replace(state, PieceState::Replaced)
                else {
                    continue;
                };
                if usage == Use::None {
                    continue;
                }
                self.statistics.count(&answer);
                if let (Use::Passed, Some(store)) = (usage, answer.store) {
                    let translation = answer.translation;
                    progress.verified.push(Verified { store, translation });
                }
            }
        }
    }

    /// Ends the job with an error.
    pub(super) fn failed(self, error: RequestError) -> JobOutcome {
        self.job.order.failed(error)
    }

    /// The outcome, and what a panic said that made it an error.
    pub(super) fn finish(self, worker: &Worker, now: Instant) -> (JobOutcome, Option<String>) {
        let (document, sentences) = (self.document, self.sentences);
        let most = self.job.order.request.alternatives;
        let joined = contain(|| {
            let translations = sentences.into_iter();
            let translations = translations.filter_map(Sentence::translations).collect();
            alternatives::joined(&document, translations, most.into())
        });
        let (joined, alternatives) = match joined {
            Ok(joined) => joined,
            Err(panic) => {
                let message = "internal error while joining the translations";
                let error = RequestError::new(ErrorCode::InternalError, message);
                return (self.job.order.failed(error), Some(panic.to_string()));
            }
        };
        let started = self.started.unwrap_or(now);
        let translated = Translated {
            text: joined,
            alternatives,
            confidence: match self.pieces.is_empty() {
                // All that there is to translate are terms of a glossary.
                true => 1.0,
                false => self.statistics.confidence(worker.confidence.as_deref()),
            },
            source: self.job.source,
            target: self.job.target,
            via: None,
            detected: self.job.detected,
            model_id: Arc::clone(&worker.model_id),
            model_type: worker.model_type,
            worker: Arc::clone(&worker.actor),
            batch_size: self.statistics.batch_size,
            segments: self.statistics.translations,
            from_cache: self.statistics.batch_size == 0,
            checks: self.checks.result(),
            queue_time: started.saturating_duration_since(self.job.order.submitted),
            processing_time: now.saturating_duration_since(started),
        };
        let outcome = JobOutcome {
            order: self.job.order,
            result: Ok(translated),
        };
        (outcome, None)
    }
}

impl Statistics {
    fn count(&mut self, answer: &PieceAnswer) {
        self.translations += 1;
        let tokens = answer.translation.output_tokens.max(1);
        self.log_probability += f64::from(answer.translation.score) * f64::from(tokens);
        self.tokens += u64::from(tokens);
    }

    /// Geometric mean of the token probabilities, by the curve of the model if it has one; 0 where no translation passed the checks.
    fn confidence(&self, curve: Option<&ConfidenceCurve>) -> f64 {
        if self.tokens == 0 {
            return 0.0;
        }
        let mean = (self.log_probability / self.tokens as f64).exp();
        let score = mean.clamp(0.0, 1.0);
        curve.map_or(score, |curve| curve.at(score))
    }
}

/// The text of a piece, while its sentence is not translated.
fn text_of<'a>(piece: &Piece, sentences: &'a [Sentence]) -> Option<&'a str> {
    let asked = sentences.get(piece.sentence)?.asked(piece.asked)?;
    asked.text.get(piece.range.clone())
}
