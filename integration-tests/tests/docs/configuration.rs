//! Keys of the configuration.

use std::{collections::BTreeSet, fs};

use babelmesh::config;

use super::{pages, read};

const REFERENCE: &str = "config/reference.toml";

/// Every section of the reference, and every key with its section before it, keys without a default among them.
fn reference() -> (BTreeSet<String>, BTreeSet<String>) {
    let text = read(REFERENCE);
    let (mut sections, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
            sections.insert(section.clone());
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.insert(format!("{section}.{key}"));
        }
    }
    (sections, keys)
}

/// The key that a word of code names, if it looks like one.
fn named<'a>(code: &'a str, sections: &BTreeSet<String>) -> Option<&'a str> {
    let key = code.split([' ', '=']).next()?;
    let (first, rest) = key.split_once('.')?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    let is_file = rest == "yaml" || rest == "toml";
    let is_key = sections.contains(first) && !rest.is_empty() && key.chars().all(is_plain);
    (is_key && !is_file).then_some(key)
}

#[test]
fn keys_in_the_documentation_exist() {
    let (mut sections, keys) = reference();
    let tables: BTreeSet<String> = sections.clone();
    sections.extend(
        tables
            .iter()
            .map(|table| table.split('.').next().unwrap().to_owned()),
    );
    let is_letter = |c: char| c.is_ascii_lowercase();
    let mut checked = 0;
    for page in pages() {
        for code in page.code() {
            if let Some(key) = named(code, &sections) {
                let is_known = keys.contains(key) || tables.contains(key);
                assert!(is_known, "{}: there is no key {key}", page.path);
                checked += 1;
            }
            let section = code.strip_prefix('[').and_then(|c| c.strip_suffix(']'));
            // Lists of values are in brackets too.
            if let Some(section) = section.filter(|section| section.starts_with(is_letter)) {
                assert!(sections.contains(section), "{}: [{section}]", page.path);
            }
        }
    }
    assert!(checked > 100, "only {checked} keys");
}

#[test]
fn every_section_is_on_the_page_and_the_reference_is_included() {
    let page = read("docs/src/configuration.md");
    for section in reference().0 {
        let first = section.split('.').next().unwrap();
        assert!(page.contains(&format!("`[{first}]`")), "[{first}]");
    }
    let included = format!("```toml\n{{{{#include ../../{REFERENCE}}}}}\n```");
    assert!(read("docs/src/configuration-reference.md").contains(&included));
}

#[test]
fn configurations_in_the_documentation_have_known_keys_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for page in pages() {
        for block in page.blocks("toml").filter(|block| block.starts_with('[')) {
            let file = folder.path().join("node.toml");
            fs::write(&file, &block).unwrap();
            let errors = config::load(Some(&file), &[], [], &[]);
            // Files that are named are not there.
            for error in errors.err().map(|errors| errors.0).unwrap_or_default() {
                let is_file = error.message.starts_with("reading /")
                    || error.message.starts_with("reading certs/");
                assert!(is_file, "{}: {error:?}\n{block}", page.path);
            }
            checked += 1;
        }
    }
    assert!(checked >= 4, "only {checked} configurations");
}
