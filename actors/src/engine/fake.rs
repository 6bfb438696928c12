//! A deterministic engine without a model, for tests of everything else.

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use babelmesh_engine_protocol::{
    Alignment, Capabilities, CharacterSet, Completeness, Coverage, Link, LoadReport, Segment, Span,
    Translation,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{Engine, EngineBatch, EngineError, Usage};

/// How a fake engine behaves. The default costs nothing and never fails.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FakeSpec {
    /// Time a load takes, in milliseconds.
    pub load_ms: u64,
    /// Time a batch takes whatever is in it, in microseconds.
    pub batch_us: u64,
    /// Time each segment of a batch adds, in microseconds.
    pub segment_us: u64,
    /// The numeric type that it reports; "none" when empty. Not configurable: only tests of caches need another one.
    #[serde(skip)]
    pub numeric: String,
    /// Whether it is asked which stand-ins it copies. Not configurable: it delays other work, and the fake copies all of them.
    #[serde(skip)]
    pub probed: bool,
    /// Characters that it drops, and reports as missing in its vocabulary. Not configurable: only tests of texts need them.
    #[serde(skip)]
    pub lacks: String,
    /// Whether loading fails.
    pub fail_load: bool,
    /// Whether loading fails permanently.
    pub unloadable: bool,
    /// A batch with a text that contains this ends the engine.
    pub crash_on: Option<String>,
    /// A batch with a text that contains this is refused.
    pub refuse_on: Option<String>,
    /// A batch with a text that contains this makes the actor itself panic.
    pub panic_on: Option<String>,
    /// Longest source in tokens of the fake, which are four bytes each and an end mark; none when absent.
    pub max_tokens: Option<u32>,
    /// Longest translation in the same tokens; a longer one is cut and reported as unfinished.
    pub max_output_tokens: Option<u32>,
}

/// The fake: `translate("Hello", fr)` is `fr:Hello`, with a score that depends on the text alone. It can align: each word with itself. Its alternatives
/// are `fr':Hello`, `fr'':Hello` and so on.
pub struct FakeEngine {
    spec: FakeSpec,
    loaded: bool,
}

impl FakeEngine {
    /// A fake that is not loaded yet.
    #[must_use]
    pub const fn new(spec: FakeSpec) -> Self {
        Self {
            spec,
            loaded: false,
        }
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn load(&mut self) -> Result<LoadReport, EngineError> {
        pause(Duration::from_millis(self.spec.load_ms)).await;
        if self.spec.fail_load {
            return Err(EngineError::Load("the fake was told to fail".to_owned()));
        }
        if self.spec.unloadable {
            let reason = "the fake was told that it cannot";
            return Err(EngineError::Unloadable(reason.to_owned()));
        }
        self.loaded = true;
        Ok(LoadReport {
            numeric: match self.spec.numeric.as_str() {
                "" => "none".to_owned(),
                numeric => numeric.to_owned(),
            },
            load_ms: self.spec.load_ms,
            capabilities: Capabilities {
                alignments: true,
                alternatives: true,
            },
            coverage: self.spec.coverage(),
        })
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError> {
        if !self.loaded {
            return Err(EngineError::Ended("it is not running".to_owned()));
        }
        let count = batch.segments.len() as u64;
        pause(Duration::from_micros(
            self.spec.batch_us + self.spec.segment_us * count,
        ))
        .await;
        let has = |mark: &Option<String>| {
            mark.as_deref()
                .is_some_and(|m| batch.segments.iter().any(|s| s.text.contains(m)))
        };
        assert!(!has(&self.spec.panic_on), "the fake was told to panic");
        if has(&self.spec.crash_on) {
            self.loaded = false;
            return Err(EngineError::Ended("the fake was told to crash".to_owned()));
        }
        if has(&self.spec.refuse_on) {
            return Err(EngineError::Refused(
                "the fake was told to refuse".to_owned(),
            ));
        }
        Ok(batch
            .segments
            .iter()
            .map(|segment| self.spec.translation(segment))
            .collect())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    async fn shutdown(&mut self) {
        self.loaded = false;
    }
}

impl FakeSpec {
    /// The characters that it copies.
    fn coverage(&self) -> Coverage {
        if self.lacks.is_empty() {
            return Coverage::default();
        }
        let copied = (char::MIN..=char::MAX).filter(|c| !self.lacks.contains(*c));
        let copied: CharacterSet = copied.collect();
        Coverage {
            source: copied.clone(),
            target: copied,
        }
    }

    fn translation(&self, segment: &Segment) -> Translation {
        let Segment { text, target, .. } = segment;
        let tokens = u32::try_from(text.len() / 4 + 1).unwrap_or(u32::MAX);
        let mut translation = Translation {
            text: match self.lacks.as_str() {
                "" => format!("{target}:{text}"),
                lacks => format!("{target}:{}", text.replace(|c| lacks.contains(c), "")),
            },
            score: -f32::from(text.bytes().fold(0u8, u8::wrapping_add)) / 256.0,
            input_tokens: tokens,
            output_tokens: tokens,
            completeness: Completeness::Whole,
            alignment: None,
            alternatives: Vec::new(),
        };
        if let Some(limit) = self.max_tokens.filter(|limit| tokens > *limit) {
            translation.text.clear();
            translation.output_tokens = 0;
            translation.completeness = Completeness::TooLong { limit };
        } else if let Some(limit) = self.max_output_tokens.filter(|limit| tokens > *limit) {
            translation.text = text.chars().take(limit as usize * 4).collect();
            translation.output_tokens = limit;
            translation.completeness = Completeness::Unfinished;
        }
        if translation.is_whole() {
            let marks = (1..=segment.alternatives).map(|rank| "'".repeat(rank.into()));
            let others = marks.map(|mark| translation.text.replacen(':', &format!("{mark}:"), 1));
            translation.alternatives = others.collect();
        }
        if segment.align {
            let links = match translation.completeness {
                Completeness::Whole => links(text, target.len() + 1),
                _ => Vec::new(),
            };
            translation.alignment = Some(Alignment::new(links));
        }
        translation
    }
}

/// Links each word of a text with itself in a translation that has it this many bytes later. A word is a run of letters and digits,
/// or a run of other characters without spaces.
fn links(text: &str, shift: usize) -> Vec<Link> {
    let kind = |c: char| match c {
        c if c.is_whitespace() => None,
        c => Some(c.is_alphanumeric()),
    };
    let mut words: Vec<(bool, Range<usize>)> = Vec::new();
    for (start, character) in text.char_indices() {
        let Some(is_word) = kind(character) else {
            continue;
        };
        let end = start + character.len_utf8();
        match words.last_mut() {
            Some((same, word)) if *same == is_word && word.end == start => word.end = end,
            _ => words.push((is_word, start..end)),
        }
    }
    let link = |word: Range<usize>| Link {
        source: Span::from(word.clone()),
        target: Span::from(word.start + shift..word.end + shift),
        weight: u8::MAX,
    };
    words.into_iter().map(|(_, word)| link(word)).collect()
}

/// Sleeps, unless there is nothing to sleep: even an empty sleep costs a turn of the timer.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn translation(text: &str, align: bool) -> (Segment, Translation) {
        let segment = Segment {
            text: text.to_owned(),
            source: "en".to_owned(),
            target: "fr".to_owned(),
            align,
            alternatives: 0,
        };
        let translation = FakeSpec::default().translation(&segment);
        (segment, translation)
    }

    #[test]
    fn each_word_is_aligned_with_itself() {
        let (segment, translation) = translation("The red, red house!", true);
        let links = translation.alignment.unwrap();
        let pairs = links.links().iter().map(|link| {
            let source = &segment.text[link.source.range()];
            (source, &translation.text[link.target.range()])
        });
        let words = ["The", "red", ",", "red", "house", "!"];
        assert_eq!(pairs.collect::<Vec<_>>(), words.map(|word| (word, word)));
    }

    proptest! {
        #[test]
        fn an_alignment_fits_and_changes_nothing_else(text: String) {
            let (_, plain) = translation(&text, false);
            let (segment, aligned) = translation(&text, true);
            prop_assert!(aligned.is_aligned_with(&segment) && aligned.alignment.is_some());
            prop_assert_eq!(Translation { alignment: None, ..aligned }, plain);
        }
    }
}
