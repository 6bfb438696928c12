//! Who gave which key.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::{super::deprecated, Place};
use babelmesh_settings::ConfigError;

/// The layers of a configuration that people write, as far as errors need them.
#[derive(Debug, Default)]
pub(in crate::config) struct Layers {
    file: String,
    /// Lines of keys and tables, by path.
    lines: BTreeMap<String, usize>,
    /// Paths of tables in the file.
    sections: Vec<String>,
    /// Path and name of each variable.
    variables: Vec<(String, String)>,
    /// Paths that `--set` gives.
    flags: Vec<String>,
}

impl Layers {
    /// A file was read.
    pub(in crate::config) fn add_file(&mut self, file: &Path, text: &str) {
        self.file = file.display().to_string();
        // A file with other mistakes was reported already.
        if let Ok(table) = DeTable::parse(text) {
            self.add_table("", table.get_ref(), &Lines::of(text));
        }
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>, lines: &Lines) {
        for (key, value) in table {
            let path = match path {
                "" => key.get_ref().to_string(),
                _ => format!("{path}.{}", key.get_ref()),
            };
            self.lines.insert(path.clone(), lines.at(key.span().start));
            if let DeValue::Table(table) = value.get_ref() {
                self.sections.push(path.clone());
                self.add_table(&path, table, lines);
            }
        }
    }

    /// A variable gives this path.
    pub(in crate::config) fn add_variable(&mut self, path: &str, name: &str) {
        self.variables.push((path.to_owned(), name.to_owned()));
    }

    /// `--set` gives this path.
    pub(in crate::config) fn add_flag(&mut self, path: &str) {
        self.flags.push(path.to_owned());
    }

    /// Where the key of this path was given; later layers win.
    pub(in crate::config) fn place(&self, path: &str) -> Option<Place> {
        let path = path.split('[').next().unwrap_or_default();
        let named = |given: &str| {
            given == path
                || deprecated::old_of(path) == Some(given)
                || is_below(path, given)
                || is_below(given, path)
        };
        if path.is_empty() {
            return None;
        }
        if self.flags.iter().any(|given| named(given)) {
            return Some(Place::Flag);
        }
        let variable = self.variables.iter().rev().find(|(given, _)| named(given));
        if let Some((_, name)) = variable {
            return Some(Place::Variable(name.clone()));
        }
        let line = |path: &str| {
            self.lines.get(path).map(|line| Place::Line {
                file: self.file.clone(),
                line: *line,
            })
        };
        line(path).or_else(|| deprecated::old_of(path).and_then(line))
    }

    /// Where the key of an error was given; else where one was that its message names, since two keys may contradict each other of which
    /// one has its default.
    pub(super) fn place_of(&self, error: &ConfigError) -> Option<Place> {
        let named = || {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            let words = error.message.split(|c| !is_part(c));
            let mut keys = words.filter(|word| word.contains('.'));
            keys.find_map(|key| self.place(key.trim_end_matches('.')))
        };
        let section = || {
            let (section, _) = error.path.rsplit_once('.')?;
            let line = *self.lines.get(section)?;
            let file = self.file.clone();
            Some(Place::Line { file, line })
        };
        self.place(&error.path).or_else(named).or_else(section)
    }

    /// The old name under which a key was given.
    pub(super) fn old_name(&self, path: &str) -> Option<&'static str> {
        let old = deprecated::old_of(path)?;
        let is_given = self.lines.contains_key(old)
            || self.flags.iter().any(|given| given == old)
            || self.variables.iter().any(|(given, _)| given == old);
        is_given.then_some(old)
    }

    /// Whether the file has a table at this path.
    pub(super) fn is_section(&self, path: &str) -> bool {
        self.sections.iter().any(|section| section == path)
    }
}

fn is_below(path: &str, table: &str) -> bool {
    path.strip_prefix(table)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Beginnings of the lines of a text.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at).collect())
    }

    /// The line of a byte, from 1.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|end| *end < byte) + 1
    }
}
