//! Languages as a model spells them.

use std::collections::HashMap;

use babelmesh_engine_protocol::Segment;

use crate::domain::Language;

/// How a model spells its languages, where that is not their own tag: its engine knows no other spelling, and its tokens have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spellings {
    sources: HashMap<String, String>,
    targets: HashMap<String, String>,
}

impl Spellings {
    /// The spellings of these tags. Of several for one language the first counts, unless one is the language's own tag.
    #[must_use]
    pub fn new(sources: &[String], targets: &[String]) -> Self {
        Self {
            sources: of(sources),
            targets: of(targets),
        }
    }

    /// Names a segment's languages as the model does.
    pub fn apply(&self, segment: &mut Segment) {
        for (tag, spellings) in [
            (&mut segment.source, &self.sources),
            (&mut segment.target, &self.targets),
        ] {
            if let Some(spelling) = spellings.get(tag) {
                tag.clone_from(spelling);
            }
        }
    }
}

fn of(tags: &[String]) -> HashMap<String, String> {
    let mut spellings = HashMap::new();
    for tag in tags {
        if let Ok(language) = tag.parse::<Language>() {
            let own = language.to_string();
            if !tags.contains(&own) {
                spellings.entry(own).or_insert_with(|| tag.clone());
            }
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(source: &str, target: &str) -> (String, String) {
        let tags = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        let targets = tags(&["cmn_Hans", "cmn_Hant", "nob", "nb", "fr"]);
        let spellings = Spellings::new(&tags(&["eng"]), &targets);
        let mut segment = Segment {
            text: String::new(),
            source: source.to_owned(),
            target: target.to_owned(),
            align: false,
            alternatives: 0,
        };
        spellings.apply(&mut segment);
        (segment.source, segment.target)
    }

    #[test]
    fn an_engine_gets_languages_in_the_spelling_of_its_model() {
        for (target, spelling) in [
            ("zh", "cmn_Hans"),
            ("zh-Hant", "cmn_Hant"),
            ("nb", "nb"),
            ("fr", "fr"),
            ("xx", "xx"),
        ] {
            assert_eq!(
                applied("en", target),
                ("eng".to_owned(), spelling.to_owned())
            );
        }
    }
}
