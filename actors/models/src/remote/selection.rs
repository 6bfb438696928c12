//! Which model of a registry is taken for a pair of languages.

use std::{collections::BTreeMap, fmt};

use super::records::{FileKind, Record, Size, Version};

/// Two languages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Source.
    pub source: String,
    /// Target.
    pub target: String,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.source, self.target)
    }
}

impl Pair {
    /// Id of the model, and name of its folder.
    #[must_use]
    pub fn id(&self) -> String {
        format!("firefox-{self}")
            .to_ascii_lowercase()
            .replace('_', "-")
    }
}

/// What is acceptable.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// This size only; the best one if absent.
    pub size: Option<Size>,
    /// Versions before their release too.
    pub pre_release: bool,
}

/// All files of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer<'r> {
    /// Its languages.
    pub pair: Pair,
    /// Size of the network.
    pub size: Size,
    /// Version.
    pub version: &'r Version,
    /// One record for each kind.
    pub files: BTreeMap<FileKind, &'r Record>,
}

impl Offer<'_> {
    /// Bytes to download.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes = self.files.values().map(|record| record.bytes);
        sizes.fold(0, u64::saturating_add)
    }

    fn is_complete(&self) -> bool {
        let has = |kind| self.files.contains_key(&kind);
        let both = has(FileKind::SrcVocab) && has(FileKind::TrgVocab);
        has(FileKind::Model) && has(FileKind::Vocab) != both
    }
}

/// Name of a file in the folder that is imported.
///
/// It does not depend on names in the registry, except for the kind of the weights.
#[must_use]
pub fn file_name(pair: &Pair, record: &Record) -> String {
    let pair = format!("{}{}", pair.source, pair.target).to_ascii_lowercase();
    let pair: String = pair.chars().filter(char::is_ascii_alphanumeric).collect();
    match record.kind {
        FileKind::Model if record.name.contains("alphas") => {
            format!("model.{pair}.intgemm.alphas.bin")
        }
        FileKind::Model => format!("model.{pair}.intgemm8.bin"),
        FileKind::Lex => format!("lex.50.50.{pair}.s2t.bin"),
        FileKind::Vocab => format!("vocab.{pair}.spm"),
        FileKind::SrcVocab => format!("srcvocab.{pair}.spm"),
        FileKind::TrgVocab => format!("trgvocab.{pair}.spm"),
    }
}

/// The best model of each pair: the largest size, then the latest version. Incomplete ones are not offered.
#[must_use]
pub fn best<'r>(records: &'r [Record], wanted: &Wanted) -> BTreeMap<Pair, Offer<'r>> {
    let mut offers: BTreeMap<(Pair, Size, &Version), Offer<'r>> = BTreeMap::new();
    for record in records.iter().filter(|record| is_wanted(record, wanted)) {
        let pair = Pair {
            source: record.source.clone(),
            target: record.target.clone(),
        };
        let key = (pair.clone(), record.size, &record.version);
        let offer = offers.entry(key).or_insert_with(|| Offer {
            pair,
            size: record.size,
            version: &record.version,
            files: BTreeMap::new(),
        });
        offer.files.entry(record.kind).or_insert(record);
    }
    // In ascending order: the last of a pair is the best.
    let complete = offers.into_values().filter(Offer::is_complete);
    complete.map(|offer| (offer.pair.clone(), offer)).collect()
}

fn is_wanted(record: &Record, wanted: &Wanted) -> bool {
    let is_released = record.version.is_released() && !record.is_restricted;
    record.version.is_supported()
        && (wanted.pre_release || is_released)
        && wanted.size.is_none_or(|size| size == record.size)
}

/// The pair that a user means by `en-fr`, `en_fr`, `en-zh-Hans` or `EN-FR`.
#[must_use]
pub fn find<'p>(pairs: impl IntoIterator<Item = &'p Pair>, text: &str) -> Option<&'p Pair> {
    let text = text.replace('_', "-");
    let is_meant = |pair: &&Pair| {
        pair.to_string()
            .replace('_', "-")
            .eq_ignore_ascii_case(&text)
    };
    pairs.into_iter().find(is_meant)
}

/// Pairs that share a language with a text that is none of them: the reverse first, then those with the same target or source.
#[must_use]
pub fn near<'p>(
    pairs: impl IntoIterator<Item = &'p Pair>,
    text: &str,
    most: usize,
) -> Vec<&'p Pair> {
    let primary = |tag: &str| {
        tag.split(['-', '_'])
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let words: Vec<_> = text
        .split(['-', '_'])
        .map(str::to_ascii_lowercase)
        .collect();
    let rank = |pair: &Pair| {
        let (source, target) = (primary(&pair.source), primary(&pair.target));
        let (from, to) = (words.first(), words.last());
        match (from == Some(&source), to == Some(&target)) {
            (true, true) => Some(0),
            _ if from == Some(&target) && to == Some(&source) => Some(1),
            _ if words
                .get(1)
                .is_some_and(|to| from == Some(&source) && *to == target) =>
            {
                Some(0)
            }
            (false, true) => Some(2),
            (true, false) => Some(3),
            _ => None,
        }
    };
    let ranked = pairs
        .into_iter()
        .filter_map(|pair| Some((rank(pair)?, pair)));
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort();
    ranked
        .into_iter()
        .map(|(_, pair)| pair)
        .take(most)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::records, *};

    fn offered(models: &[(&str, &str, &str, &str)]) -> Vec<Record> {
        let raw = |kind, model: &(&str, &str, &str, &str)| {
            records::tests::raw(kind, (model.0, model.1), model.2, model.3)
        };
        let data: Vec<_> = models
            .iter()
            .flat_map(|model| [raw("model", model), raw("vocab", model), raw("lex", model)])
            .collect();
        let bytes = json!({ "data": data }).to_string();
        records::parse(bytes.as_bytes()).unwrap().records
    }

    fn chosen(records: &[Record], wanted: Wanted) -> Vec<String> {
        best(records, &wanted)
            .values()
            .map(|offer| {
                format!(
                    "{} {} {}",
                    offer.pair,
                    offer.size.name(),
                    offer.version.text()
                )
            })
            .collect()
    }

    #[test]
    fn the_largest_released_model_is_taken_unless_told_otherwise() {
        let records = offered(&[
            ("en", "fr", "3.0", "base"),
            ("en", "fr", "3.1", "tiny"),
            ("en", "fr", "3.1a1", "base"),
            ("en", "fr", "4.0", "base"),
            ("de", "en", "2.0", "tiny"),
            ("de", "en", "2.1", "base-memory"),
        ]);
        let wanted = Wanted::default();
        assert_eq!(
            chosen(&records, wanted),
            ["de-en base-memory 2.1", "en-fr base 3.0"]
        );
        let tiny = Wanted {
            size: Some(Size::Tiny),
            ..wanted
        };
        assert_eq!(chosen(&records, tiny), ["de-en tiny 2.0", "en-fr tiny 3.1"]);
        let early = Wanted {
            pre_release: true,
            ..wanted
        };
        assert_eq!(chosen(&records, early)[1], "en-fr base 3.1a1");
    }

    #[test]
    fn a_model_without_its_vocabulary_is_not_offered() {
        let mut records = offered(&[("en", "fr", "3.0", "base"), ("en", "fr", "2.0", "tiny")]);
        records.retain(|record| (record.kind, record.size) != (FileKind::Vocab, Size::Base));
        assert_eq!(chosen(&records, Wanted::default()), ["en-fr tiny 2.0"]);
    }

    #[test]
    fn pairs_are_found_and_near_ones_are_named() {
        let records = offered(&[
            ("en", "fr", "3.0", "tiny"),
            ("fr", "en", "3.0", "tiny"),
            ("en", "zh-Hans", "3.0", "tiny"),
            ("de", "en", "3.0", "tiny"),
            ("en", "de", "3.0", "tiny"),
        ]);
        let offers = best(&records, &Wanted::default());
        let found = |text| find(offers.keys(), text).map(ToString::to_string);
        assert_eq!(found("EN_FR").as_deref(), Some("en-fr"));
        assert_eq!(found("en-zh-hans").as_deref(), Some("en-zh-Hans"));
        assert_eq!(found("en-zh"), None);
        let near = |text| {
            near(offers.keys(), text, 3)
                .into_iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(near("en-zh")[0], "en-zh-Hans");
        assert_eq!(near("fr-de"), ["en-de", "fr-en"]);
        assert!(near("xx-yy").is_empty());
        let pair = find(offers.keys(), "en-zh-hans").unwrap();
        assert_eq!(pair.id(), "firefox-en-zh-hans");
        let names: Vec<_> = offers[pair]
            .files
            .values()
            .map(|record| file_name(pair, record))
            .collect();
        assert_eq!(
            names,
            [
                "model.enzhhans.intgemm8.bin",
                "lex.50.50.enzhhans.s2t.bin",
                "vocab.enzhhans.spm"
            ]
        );
    }
}
