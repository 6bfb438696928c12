//! The lengths of files and functions.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most lines of a file.
pub(super) const MOST_LINES: usize = 500;
/// Most lines of half of the files.
pub(super) const MOST_MEDIAN: usize = 200;
/// Most lines of a function.
const MOST_FUNCTION_LINES: usize = 80;

/// Folders that hold no source of the workspace.
const SKIPPED: [&str; 4] = ["target", "node_modules", "docs", "models"];

/// The Rust sources of the workspace.
pub(super) fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_root = folder == root;
            if path.is_dir() {
                let is_skipped = name.starts_with('.') || is_root && SKIPPED.contains(&&*name);
                if !is_skipped {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The functions that are too long, and their lengths. Formatted code closes a function at the indentation of its first line.
pub(super) fn long_functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = function_name(code) else {
            continue;
        };
        let indentation = &line[..line.len() - code.len()];
        let closing = format!("{indentation}}}");
        let end = lines[start..].iter().position(|line| *line == closing);
        let is_declaration = lines[start..]
            .iter()
            .find(|line| line.ends_with(['{', ';', '}']))
            .is_some_and(|line| !line.ends_with('{'));
        if let Some(end) = end.filter(|_| !is_declaration)
            && end + 1 > MOST_FUNCTION_LINES
        {
            long.push((name.to_owned(), end + 1));
        }
    }
    long
}

/// The name of the function that begins in a line.
fn function_name(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("fn ")?;
    let is_word = |word: &str| {
        matches!(
            word,
            "pub" | "const" | "async" | "unsafe" | "extern" | "default"
        ) || word.starts_with("pub(")
            || word.ends_with(')')
            || matches!(word, "super" | "crate")
    };
    if !before.split_whitespace().all(is_word) {
        return None;
    }
    after.split(['(', '<']).next()
}

#[test]
fn a_long_function_is_found_and_a_short_one_is_not() {
    let body = "        step();\n".repeat(MOST_FUNCTION_LINES - 2);
    let short = format!("impl A {{\n    pub(super) async fn short(a: u8) {{\n{body}    }}\n}}\n");
    assert_eq!(long_functions(&short), []);
    let long = short
        .replace("short(", "long(")
        .replace("step();\n    }", "step();\n        step();\n    }");
    let expected = [("long".to_owned(), MOST_FUNCTION_LINES + 1)];
    assert_eq!(long_functions(&long), expected);
    let declared = format!("trait A {{\n    fn declared(&self);\n{body}\n    }}\n");
    assert_eq!(long_functions(&declared), []);
}
