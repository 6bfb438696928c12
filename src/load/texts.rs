//! What a run sends.

use std::borrow::Cow;

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
}

impl Texts {
    /// Lines that are sent again and again, as they are.
    #[must_use]
    pub const fn repeated(lines: Vec<String>) -> Self {
        Self {
            lines,
            distinct: false,
        }
    }

    /// Lines that are sent as they are once. After that each addresses a name of its own ("Beba, where is the train station?"), so that no
    /// sentence is the same as an earlier one and no cache answers it.
    #[must_use]
    pub const fn distinct(lines: Vec<String>) -> Self {
        Self {
            lines,
            distinct: true,
        }
    }

    /// The text of message `number`, from 0. Empty if there are no lines.
    #[must_use]
    pub fn nth(&self, number: u64) -> Cow<'_, str> {
        let count = self.lines.len().max(1) as u64;
        let index = usize::try_from(number % count).unwrap_or_default();
        let line = self.lines.get(index).map_or("", String::as_str);
        match number / count {
            round if self.distinct && round > 0 => Cow::Owned(format!("{}, {line}", name(round))),
            _ => Cow::Borrowed(line),
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
    fn repeated_texts_are_sent_as_they_are() {
        let texts = Texts::repeated(lines());
        assert_eq!(texts.nth(0), texts.nth(2));
    }
}
