//! The known key that an unknown one resembles most.

use std::{cmp::Ordering, sync::LazyLock};

use strsim::{jaro_winkler, normalized_damerau_levenshtein};

/// Every key is in the reference, which a test compares with the types.
const REFERENCE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/config/reference.toml"
));

/// Below this, a resemblance is chance.
const THRESHOLD: f64 = 0.82;

/// Longest unknown key that is compared.
const LONGEST: usize = 200;

#[derive(Debug, PartialEq, Eq)]
struct Known {
    path: String,
    is_section: bool,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| known(REFERENCE));

/// Sections and keys of the reference, those without a default, which are comments, among them.
fn known(reference: &str) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    let mut section = String::new();
    for line in reference.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
            let mut path = String::new();
            for part in name.split('.') {
                path = join(&path, part);
                if !known.iter().any(|known| known.path == path) {
                    let path = path.clone();
                    let is_section = true;
                    known.push(Known { path, is_section });
                }
            }
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && !key.is_empty()
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let path = join(&section, key);
            let is_section = false;
            known.push(Known { path, is_section });
        }
    }
    known
}

fn join(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        _ => format!("{section}.{key}"),
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// The words of a key, in any order.
fn words(key: &str) -> Vec<&str> {
    let mut words: Vec<_> = key.split('_').collect();
    words.sort_unstable();
    words
}

/// How much two paths resemble each other, from 0 to 1.
fn resemblance(path: &str, known: &str) -> f64 {
    let ((section, key), (known_section, known_key)) = (split(path), split(known));
    let whole = 0.97 * normalized_damerau_levenshtein(path, known);
    if section == known_section {
        let same_words = if words(key) == words(known_key) {
            0.9
        } else {
            0.0
        };
        whole.max(jaro_winkler(key, known_key)).max(same_words)
    } else if key == known_key {
        // The right key in the wrong section.
        whole.max(0.86 + 0.1 * jaro_winkler(section, known_section))
    } else {
        whole
    }
}

/// The end of a message about an unknown key: which key was probably meant, or nothing.
pub(super) fn hint(path: &str, as_variable: bool) -> Option<String> {
    if path.len() > LONGEST {
        return None;
    }
    // A variable sets a key, and one underscore is easily taken for two.
    let score = |known: &Known| match as_variable
        && path.replace('.', "_") == known.path.replace('.', "_")
    {
        true => 1.0,
        false => resemblance(path, &known.path),
    };
    let candidates = KNOWN
        .iter()
        .filter(|known| !(as_variable && known.is_section));
    let scored = candidates.map(|known| (score(known), known));
    let order = |a: &(f64, &Known), b: &(f64, &Known)| match a.0.total_cmp(&b.0) {
        // The first one of the reference.
        Ordering::Equal => Ordering::Greater,
        order => order,
    };
    let (score, nearest) = scored.max_by(order)?;
    if score < THRESHOLD {
        return None;
    }
    let path = &nearest.path;
    Some(match (as_variable, nearest.is_section) {
        (true, _) => {
            let name = path.to_uppercase().replace('.', "__");
            format!("; did you mean BABELMESH_{name}?")
        }
        (false, true) => format!("; did you mean [{path}]?"),
        (false, false) => format!("; did you mean `{path}`?"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn misspelled_keys_are_recognised() {
        for (path, meant) in [
            ("pool.max_actor", "`pool.max_actors`"),
            ("pool.actors_max", "`pool.max_actors`"),
            ("engine.max_actors", "`pool.max_actors`"),
            ("kafka.bootstrap", "`kafka.bootstrap_servers`"),
            ("engine.beam", "`engine.beam_size`"),
            ("kafak", "[kafka]"),
            ("nod", "[node]"),
            ("pool.batches", "[pool.batch]"),
            ("kafka.security.sasl.user", "`kafka.security.sasl.username`"),
            ("http.listn", "`http.listen`"),
        ] {
            let hint = hint(path, false);
            assert_eq!(hint, Some(format!("; did you mean {meant}?")), "{path}");
        }
        let variable = hint("engine_threads", true).unwrap();
        assert_eq!(variable, "; did you mean BABELMESH_ENGINE__THREADS?");
        let variable = hint("node_name", true).unwrap();
        assert_eq!(variable, "; did you mean BABELMESH_NODE__NAME?");
    }

    #[test]
    fn nothing_is_suggested_for_what_resembles_nothing() {
        for path in ["nonsense", "surprise", "engine.zzz", "x", ""] {
            assert_eq!(hint(path, false), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_key_resembles_itself_most(index in 0_usize..KNOWN.len()) {
            let known = &KNOWN[index];
            let hint = hint(&known.path, false).unwrap();
            prop_assert!(hint.contains(&known.path), "{}", hint);
        }

        #[test]
        fn any_key_is_compared(path in ".{0,300}") {
            hint(&path, false);
        }
    }
}
