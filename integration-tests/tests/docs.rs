//! Consistency of documentation and code: keys, metrics, commands, error codes, alerts, schemas.
//!
//! Relative links and paths are checked by `docs/check-links`, programs by `readme.rs`. Files that are generated are written again with
//! `REGENERATE_DOCS=1`.

mod commands;
mod configuration;
mod messages;
mod observability;

use std::{fs, path::PathBuf};

use babelmesh_integration_tests::repository;

/// A page of the documentation.
struct Page {
    /// Its path in the repository.
    path: String,
    text: String,
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every page that describes the product.
fn pages() -> Vec<Page> {
    let fixed = ["README.md", "SECURITY.md", "docker/README.md"];
    let mut files: Vec<PathBuf> = fixed.map(|page| repository().join(page)).into();
    let mut folders = vec![repository().join("docs/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("md") => files.push(path),
                _ => {}
            }
        }
    }
    let pages = files.into_iter().map(|file| Page {
        path: file
            .strip_prefix(repository())
            .unwrap()
            .display()
            .to_string(),
        text: fs::read_to_string(&file).unwrap(),
    });
    pages.collect()
}

impl Page {
    /// Its blocks of code in a language.
    fn blocks(&self, language: &str) -> impl Iterator<Item = String> {
        let begin = format!("```{language}");
        let mut block: Option<Vec<&str>> = None;
        let mut blocks = Vec::new();
        for line in self.text.lines() {
            match &mut block {
                Some(lines) if line.trim() == "```" => {
                    blocks.push(lines.join("\n"));
                    block = None;
                }
                Some(lines) => lines.push(line),
                None if line.trim() == begin => block = Some(Vec::new()),
                None => {}
            }
        }
        blocks.into_iter()
    }

    /// What stands in `code` within its text.
    fn code(&self) -> Vec<&str> {
        let mut is_block = false;
        let mut spans = Vec::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_block = !is_block;
            } else if !is_block {
                spans.extend(line.split('`').skip(1).step_by(2));
            }
        }
        spans
    }
}

/// The first cells of the rows of the table behind a heading, without the head of the table.
fn first_cells<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let (_, section) = page
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("there is no {heading}"));
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('|').nth(1).unwrap().trim())
        .collect()
}

#[test]
fn pages_are_read() {
    let pages = pages();
    assert!(pages.len() > 40, "only {} pages", pages.len());
    let blocks: usize = pages.iter().map(|page| page.blocks("toml").count()).sum();
    assert!(blocks > 5, "only {blocks} blocks of TOML");
}
