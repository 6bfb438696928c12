//! What a run sends.

use std::borrow::Cow;

use babelmesh_actors::domain::Format;

/// Syllables of the names that make texts distinct. A number is written in base 64 with them.
const CONSONANTS: [&str; 16] = [
    "b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z",
];
const VOWELS: [&str; 4] = ["a", "e", "i", "o"];

/// Texts, taken in turn.
#[derive(Debug, Clone)]
pub struct Texts {
    lines: Vec<String>,
    distinct: bool,
    format: Format,
}

impl Texts {
    /// Lines that are sent again and again, as they are.
    #[must_use]
    pub const fn repeated(lines: Vec<String>) -> Self {
        Self {
            lines,
            distinct: false,
            format: Format::Text,
        }
    }

    /// Lines that are sent as they are once. After that each addresses a name of its own ("Beba, where is the train station?"), so that no
    /// sentence is the same as an earlier one and no cache answers it.
    #[must_use]
    pub const fn distinct(lines: Vec<String>) -> Self {
        Self {
            lines,
            distinct: true,
            format: Format::Text,
        }
    }

    /// The same texts in this format. Names stand where the words begin, so that they are in the first sentence.
    #[must_use]
    pub fn in_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// The format of the texts.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The text of message `number`, from 0. Empty if there are no lines.
    #[must_use]
    pub fn nth(&self, number: u64) -> Cow<'_, str> {
        let count = self.lines.len().max(1) as u64;
        let index = usize::try_from(number % count).unwrap_or_default();
        let line = self.lines.get(index).map_or("", String::as_str);
        match number / count {
            round if self.distinct && round > 0 => {
                let (markup, words) = line.split_at(self.beginning(line));
                Cow::Owned(format!("{markup}{}, {words}", name(round)))
            }
            _ => Cow::Borrowed(line),
        }
    }
}

impl Texts {
    /// Where the words of a line begin: behind the tags and marks at its start, unless it is plain text.
    fn beginning(&self, line: &str) -> usize {
        if self.format == Format::Text {
            return 0;
        }
        let mut rest = line;
        loop {
            rest = rest.trim_start_matches(|c: char| c != '<' && !c.is_alphanumeric());
            match rest.strip_prefix('<').and_then(|tag| tag.split_once('>')) {
                Some((_, after)) => rest = after,
                None => return line.len() - rest.len(),
            }
        }
    }
}

/// A pronounceable name for a number; no two numbers share one.
fn name(mut number: u64) -> String {
    let mut name = String::new();
    loop {
        let digit = (number % 64) as usize;
        name.push_str(CONSONANTS[digit / 4]);
        name.push_str(VOWELS[digit % 4]);
        number /= 64;
        // Two syllables at least, so that it reads as a name.
        if number == 0 && name.len() > 2 {
            break;
        }
    }
    let first = name.remove(0).to_ascii_uppercase();
    format!("{first}{name}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn lines() -> Vec<String> {
        vec!["Good morning!".to_owned(), "Thank you.".to_owned()]
    }

    #[test]
    fn distinct_texts_never_repeat_a_text() {
        let texts = Texts::distinct(lines());
        let sent: HashSet<_> = (0..20_000).map(|n| texts.nth(n).into_owned()).collect();
        assert_eq!(sent.len(), 20_000);
        assert_eq!(texts.nth(1), "Thank you.");
        assert_eq!(texts.nth(2), "Beba, Good morning!");
    }

    #[test]
    fn names_stand_behind_the_markup_at_the_beginning() {
        let second = |line: &str, format| {
            let texts = Texts::distinct(vec![line.to_owned()]).in_format(format);
            texts.nth(1).into_owned()
        };
        for (line, format, expected) in [
            (
                "<p>Good <b>morning</b></p>",
                Format::Html,
                "<p>Beba, Good <b>morning</b></p>",
            ),
            ("## Good morning", Format::Markdown, "## Beba, Good morning"),
            (
                "**Good** morning",
                Format::Markdown,
                "**Beba, Good** morning",
            ),
            ("<a> <b>", Format::Xml, "<a> <b>Beba, "),
            ("<unclosed", Format::Html, "Beba, <unclosed"),
            ("<p>Good</p>", Format::Text, "Beba, <p>Good</p>"),
        ] {
            assert_eq!(second(line, format), expected);
        }
    }

    #[test]
    fn repeated_texts_are_sent_as_they_are() {
        let texts = Texts::repeated(lines());
        assert_eq!(texts.nth(0), texts.nth(2));
    }
}
