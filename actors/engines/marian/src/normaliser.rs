//! SentencePiece's normalisation: the model's own table of replacements, and its treatment of spaces.

use std::ops::Range;

use babelmesh_models::spm::{SpmError, SpmFile};

/// Stands for a space inside pieces.
pub(crate) const SPACE: char = '▁';

/// Brings a text into the form whose parts are pieces.
#[derive(Debug)]
pub struct Normaliser {
    replacements: Replacements,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

impl Normaliser {
    /// The normalisation of a model.
    ///
    /// # Errors
    /// [`SpmError::Malformed`] when its table is damaged.
    pub fn new(file: &SpmFile) -> Result<Self, SpmError> {
        Ok(Self {
            replacements: Replacements::parse(&file.normalisation_table)?,
            add_dummy_prefix: file.add_dummy_prefix,
            remove_extra_whitespaces: file.remove_extra_whitespaces,
        })
    }

    /// The normal form; empty where nothing but spaces is left.
    pub(crate) fn normalise(&self, text: &str) -> String {
        self.run(text, |_, _| {})
    }

    /// The normal form, with the place in the text that each part of it comes from.
    #[must_use]
    pub fn trace(&self, text: &str) -> Traced {
        let mut parts = Vec::with_capacity(text.len());
        let normal = self.run(text, |start, source| parts.push((start, source)));
        Traced { normal, parts }
    }

    /// The normal form of a character that stands alone. A space is a space in it.
    pub(crate) fn of(&self, character: char) -> String {
        let mut buffer = [0; 4];
        let text: &str = character.encode_utf8(&mut buffer);
        self.replacements.first(text).0.to_owned()
    }

    /// Characters that the model's table has a replacement for.
    pub(crate) fn replaced(&self) -> Vec<char> {
        self.replacements.characters()
    }

    /// Normalises. `note` is told, for each part of the normal form, where it starts there and what of the text it comes from.
    fn run(&self, text: &str, mut note: impl FnMut(usize, Range<usize>)) -> String {
        let mut normal = String::with_capacity(text.len() + 8);
        let mut rest = text;
        // As if a space had gone before: leading ones are dropped.
        let mut after_space = self.remove_extra_whitespaces;
        while !rest.is_empty() {
            let (replaced, consumed) = self.replacements.first(rest);
            let start = text.len() - rest.len();
            rest = &rest[consumed..];
            let replaced = if after_space {
                replaced.trim_start_matches(' ')
            } else {
                replaced
            };
            if normal.is_empty() && self.add_dummy_prefix && !replaced.is_empty() {
                note(0, start..start);
                normal.push(SPACE);
            }
            if !replaced.is_empty() {
                note(normal.len(), start..start + consumed);
            }
            normal.extend(replaced.chars().map(|c| if c == ' ' { SPACE } else { c }));
            if !replaced.is_empty() {
                after_space = self.remove_extra_whitespaces && replaced.ends_with(' ');
            }
        }
        if self.remove_extra_whitespaces {
            normal.truncate(normal.trim_end_matches(SPACE).len());
        }
        normal
    }
}

/// A normal form and where it comes from.
#[derive(Debug)]
pub struct Traced {
    normal: String,
    /// Starts in the normal form, in order, each with the range of the text that was replaced.
    parts: Vec<(usize, Range<usize>)>,
}

impl Traced {
    /// The normal form.
    #[must_use]
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The part of the text that a range of the normal form comes from. It begins and ends between characters of the text. Where several
    /// characters were replaced together it has all of them; it is empty for a space that the text does not have.
    #[must_use]
    pub fn source(&self, range: &Range<usize>) -> Range<usize> {
        let first = self
            .parts
            .partition_point(|(start, _)| *start <= range.start);
        let first = first.saturating_sub(1);
        let end = self.parts.partition_point(|(start, _)| *start < range.end);
        match self.parts.get(first..end.max(first)) {
            Some([one]) => one.1.clone(),
            Some([one, .., last]) => one.1.start..last.1.end,
            _ => 0..0,
        }
    }
}

/// A table of replacements: a double-array trie over bytes (Darts) whose values are offsets into a block of
/// texts that each end with a zero.
#[derive(Debug, Default)]
struct Replacements {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl Replacements {
    fn parse(table: &[u8]) -> Result<Self, SpmError> {
        const MALFORMED: SpmError = SpmError::Malformed("its normalisation table is damaged");
        if table.is_empty() {
            return Ok(Self::default());
        }
        let (head, rest) = table.split_first_chunk::<4>().ok_or(MALFORMED)?;
        let trie_bytes = usize::try_from(u32::from_le_bytes(*head)).map_err(|_| MALFORMED)?;
        let (trie, texts) = rest.split_at_checked(trie_bytes).ok_or(MALFORMED)?;
        let (units, []) = trie.as_chunks::<4>() else {
            return Err(MALFORMED);
        };
        let units = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        Ok(Self {
            units,
            texts: texts.to_vec(),
        })
    }

    /// What the beginning of a text (not empty) is replaced by, and the bytes that were replaced.
    fn first<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        let unchanged = text.chars().next().map_or(0, char::len_utf8);
        self.longest_match(text.as_bytes())
            .filter(|(_, length)| text.is_char_boundary(*length))
            .and_then(|(offset, length)| Some((self.text(offset)?, length)))
            .unwrap_or((&text[..unchanged], unchanged))
    }

    fn longest_match(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let mut found = None;
        let mut position = Unit(*self.units.first()?).offset();
        for (index, byte) in bytes.iter().enumerate() {
            position ^= usize::from(*byte);
            let Some(unit) = self.units.get(position).copied().map(Unit) else {
                break;
            };
            if unit.label() != u32::from(*byte) {
                break;
            }
            position ^= unit.offset();
            if unit.has_leaf() {
                let Some(leaf) = self.units.get(position).copied().map(Unit) else {
                    break;
                };
                found = Some((leaf.value(), index + 1));
            }
        }
        found
    }

    /// All single characters that are replaced.
    fn characters(&self) -> Vec<char> {
        let mut found = Vec::new();
        if let Some(root) = self.units.first() {
            self.collect(Unit(*root).offset(), &mut Vec::new(), &mut found);
        }
        found
    }

    /// Adds the characters whose bytes begin with these, which lead to this position.
    fn collect(&self, position: usize, bytes: &mut Vec<u8>, found: &mut Vec<char>) {
        let next = match bytes.is_empty() {
            true => 0..=0xF4,
            false => 0x80..=0xBF,
        };
        for byte in next {
            let position = position ^ usize::from(byte);
            let unit = self.units.get(position).copied().map(Unit);
            let Some(unit) = unit.filter(|unit| unit.label() == u32::from(byte)) else {
                continue;
            };
            bytes.push(byte);
            match str::from_utf8(bytes) {
                Ok(character) if unit.has_leaf() => found.extend(character.chars()),
                Err(error) if error.error_len().is_none() => {
                    self.collect(position ^ unit.offset(), bytes, found);
                }
                _ => {}
            }
            bytes.pop();
        }
    }

    fn text(&self, offset: usize) -> Option<&str> {
        let text = self.texts.get(offset..)?;
        let length = text.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&text[..length]).ok()
    }
}

/// One cell of a Darts double array.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_leaf(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    /// The byte that leads here; a leaf's is none.
    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    fn offset(self) -> usize {
        ((self.0 >> 10) << ((self.0 & 0x200) >> 6)) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain() -> Normaliser {
        Normaliser {
            replacements: Replacements::default(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        }
    }

    #[test]
    fn spaces_are_collapsed_and_marked() {
        assert_eq!(plain().normalise("  a   b "), "▁a▁b");
        assert_eq!(plain().normalise("   "), "");
        assert_eq!(plain().normalise(""), "");
    }

    proptest! {
        #[test]
        fn a_damaged_table_never_panics(
            table in prop::collection::vec(any::<u8>(), 0..200),
            text in ".*",
        ) {
            if let Ok(replacements) = Replacements::parse(&table) {
                let damaged = Normaliser { replacements, ..plain() };
                let traced = damaged.trace(&text);
                prop_assert_eq!(damaged.normalise(&text), traced.normal());
                let _ = damaged.replaced();
            }
        }

        #[test]
        fn text_without_spaces_is_kept(text in "[^ ▁]+") {
            prop_assert_eq!(plain().normalise(&text), format!("▁{text}"));
        }

        #[test]
        fn each_part_is_traced_to_its_source(text in "[ aé😀]{0,12}") {
            let traced = plain().trace(&text);
            for (start, character) in traced.normal().char_indices() {
                let source = traced.source(&(start..start + character.len_utf8()));
                let source = &text[source];
                let is_space = character == SPACE && source.trim().is_empty();
                prop_assert!(is_space || source == character.to_string());
            }
            let whole = traced.source(&(0..traced.normal().len()));
            prop_assert_eq!(text[whole].trim(), text.trim());
        }
    }
}
