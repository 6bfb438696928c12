//! Which top-level modules of a crate use which others, from the text of its code. Code of tests is not looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What each top-level module uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// One file.
struct File {
    /// Its module, from the top: `["reader", "assignment"]`. Empty for `lib.rs` and `main.rs`.
    module: Vec<String>,
    text: String,
}

/// Groups of top-level modules that use each other, directly or by way of others.
pub(super) fn circles(folder: &Path) -> Vec<Vec<String>> {
    let mut files = Vec::new();
    collect(folder, &[], &mut files);
    circles_of(&uses(&files))
}

fn collect(folder: &Path, above: &[String], files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut module = above.to_vec();
        if path.is_dir() {
            module.push(name);
            collect(&path, &module, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            if !matches!(name.as_str(), "lib" | "main") {
                module.push(name);
            }
            let text = fs::read_to_string(&path).unwrap();
            files.push(File { module, text });
        }
    }
}

fn uses(files: &[File]) -> Uses {
    let tops: BTreeSet<&String> = files
        .iter()
        .filter_map(|file| file.module.first())
        .collect();
    let parsed: Vec<_> = files.iter().map(|file| (file, code(&file.text))).collect();
    // Files that only tests have.
    let tests: Vec<Vec<String>> = parsed
        .iter()
        .flat_map(|(file, code)| code.tests.iter().map(|name| joined(&file.module, name)))
        .collect();
    let mut uses = Uses::new();
    for (file, code) in &parsed {
        let Some(top) = file.module.first() else {
            continue;
        };
        if tests.iter().any(|module| file.module.starts_with(module)) {
            continue;
        }
        for path in paths(&code.text) {
            let used = resolved(&file.module, &path);
            if let Some(used) = used.first()
                && used != top
                && tops.contains(used)
            {
                uses.entry(top.clone()).or_default().insert(used.clone());
            }
        }
    }
    uses
}

fn joined(module: &[String], name: &str) -> Vec<String> {
    let mut module = module.to_vec();
    module.push(name.to_owned());
    module
}

/// A path as it is seen from the top of the crate.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let mut at = module.to_vec();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => {
            at.clear();
            rest = &path[1..];
        }
        Some("self") => rest = &path[1..],
        _ => {}
    }
    while rest.first().is_some_and(|word| word == "super") {
        at.pop();
        rest = &rest[1..];
    }
    at.extend_from_slice(rest);
    at
}

/// What of a file is not for tests, and the names of the modules in other files that are.
struct Code {
    text: String,
    tests: Vec<String>,
}

/// Leaves out comments and modules of tests. It relies on the form that rustfmt gives: a module ends with a brace in the column in which it began.
fn code(text: &str) -> Code {
    let (mut kept, mut tests) = (String::new(), Vec::new());
    let (mut is_for_tests, mut skipped) = (false, None);
    for line in text.lines() {
        let word = line.trim();
        let column = line.len() - line.trim_start().len();
        if let Some(began) = skipped {
            if word == "}" && column == began {
                skipped = None;
            }
            continue;
        }
        if word == "#[cfg(test)]" {
            is_for_tests = true;
            continue;
        }
        let module = word.split_once("mod ").map(|(_, rest)| rest);
        match module.filter(|_| is_for_tests) {
            Some(rest) if rest.ends_with('{') => skipped = Some(column),
            Some(rest) => tests.push(rest.trim_end_matches(';').to_owned()),
            None if word.starts_with("//") => {}
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        is_for_tests = false;
    }
    Code { text: kept, tests }
}

/// Every path that begins with `crate`, `super` or `self`, as its words; trees of `use` are taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    let mut before = ' ';
    while let Some(letter) = rest.chars().next() {
        if is_word(letter) {
            let (word, after) = word(rest);
            let begins = before != ':' && matches!(word, "crate" | "super" | "self");
            rest = match begins {
                true => tree(rest, &[], &mut paths),
                false => after,
            };
            before = 'a';
        } else {
            rest = &rest[letter.len_utf8()..];
            before = letter;
        }
    }
    paths
}

/// Takes a path, or a tree of them, below `above`; what is behind it is returned.
fn tree<'c>(code: &'c str, above: &[String], paths: &mut Vec<Vec<String>>) -> &'c str {
    let mut path = above.to_vec();
    let mut rest = code;
    loop {
        let (name, after) = word(rest);
        path.push(name.to_owned());
        rest = after;
        let Some(after) = rest.strip_prefix("::") else {
            break;
        };
        if let Some(group) = after.strip_prefix('{') {
            return branches(group, &path, paths);
        }
        if !after.starts_with(is_word) {
            break;
        }
        rest = after;
    }
    paths.push(path);
    rest
}

/// The paths in braces.
fn branches<'c>(code: &'c str, above: &[String], paths: &mut Vec<Vec<String>>) -> &'c str {
    let mut rest = code;
    while let Some(letter) = rest.chars().next() {
        rest = match letter {
            '}' => return &rest[1..],
            letter if is_word(letter) => {
                let after = tree(rest, above, paths).trim_start();
                // A new name is no path.
                match after.strip_prefix("as ") {
                    Some(renamed) => word(renamed).1,
                    None => after,
                }
            }
            letter => &rest[letter.len_utf8()..],
        };
    }
    rest
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn word(code: &str) -> (&str, &str) {
    code.split_at(code.find(|letter| !is_word(letter)).unwrap_or(code.len()))
}

/// Modules that reach themselves, in groups that reach each other.
fn circles_of(uses: &Uses) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = uses
        .keys()
        .map(|from| (from, reached(uses, from)))
        .collect();
    let mut circles = BTreeSet::new();
    for (from, to) in &reached {
        if to.contains(from) {
            let back = |other: &&&String| reached.get(**other).is_some_and(|to| to.contains(from));
            let circle = to.iter().filter(back).map(|module| (*module).clone());
            circles.insert(circle.collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

fn reached<'u>(uses: &'u Uses, from: &String) -> BTreeSet<&'u String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if reached.insert(used) {
                next.push(used);
            }
        }
    }
    reached
}

fn file(module: &[&str], text: &str) -> File {
    File {
        module: module.iter().map(|name| (*name).to_owned()).collect(),
        text: text.to_owned(),
    }
}

#[test]
fn a_circle_is_found_through_trees_of_use_paths_in_code_and_other_modules() {
    let files = [
        file(
            &["a"],
            "use crate::{b::{self, C as D}, z::Z};\nuse std::fmt;\n",
        ),
        file(&["b"], "mod c;\nfn f() { super::d::run() }\n"),
        file(&["d", "e"], "use super::super::a::Nothing;\n"),
        file(&["z"], "pub(crate) struct Z;\n"),
    ];
    assert_eq!(circles_of(&uses(&files)), [["a", "b", "d"]]);
    assert_eq!(circles_of(&uses(&files[..2])), Vec::<Vec<String>>::new());
}

#[test]
fn comments_tests_and_their_files_make_no_circle() {
    let files = [
        file(&["a"], "use crate::b::B;\n"),
        file(
            &["b"],
            "//! [`a`](crate::a)\n#[cfg(test)]\nmod sample;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\nfn f() {}\n",
        ),
        file(&["b", "sample"], "use crate::a::A;\n"),
    ];
    assert_eq!(circles_of(&uses(&files)), Vec::<Vec<String>>::new());
}
