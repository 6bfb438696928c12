//! Messages of gettext.

use std::ops::Range;

use babelmesh_domain::Format;

use crate::{
    Segment,
    gettext::unquoted,
    layout::{Encoding, Layout},
    segment::has_words,
};

/// Finds the messages without a translation, or all of them with `retranslate`. The error says what is wrong, and never quotes the text.
pub(crate) fn read(text: String, retranslate: bool) -> Result<(Layout, Vec<Segment>), String> {
    let entries = entries(&text)?;
    let mut places = Vec::new();
    let mut segments = Vec::new();
    for entry in &entries {
        if entry.id.value.is_empty() {
            check_charset(entry)?;
            continue;
        }
        for (number, translation) in entry.translations.iter().enumerate() {
            let source = entry.source(number);
            if has_words(source) && (translation.value.is_empty() || retranslate) {
                places.push(translation.range.clone());
                segments.push(Segment {
                    text: source.to_owned(),
                    format: Format::Text,
                });
            }
        }
    }
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let layout = Layout {
        text,
        places,
        encoding: Encoding::Po { line_end },
    };
    Ok((layout, segments))
}

/// A string over one or several lines.
#[derive(Debug, Default)]
struct Literal {
    value: String,
    /// From its first quote to its last.
    range: Range<usize>,
}

/// A message.
#[derive(Debug, Default)]
struct Entry {
    id: Literal,
    plural: Option<Literal>,
    /// One, or one for each plural form.
    translations: Vec<Literal>,
}

impl Entry {
    /// The text for a plural form. A language with a single form uses the plural.
    fn source(&self, form: usize) -> &str {
        let is_singular = form == 0 && self.translations.len() > 1;
        match &self.plural {
            Some(plural) if !is_singular => &plural.value,
            _ => &self.id.value,
        }
    }
}

/// The header names the character set of the file.
fn check_charset(header: &Entry) -> Result<(), String> {
    let fields = header.translations.iter().map(|literal| &literal.value);
    for field in fields {
        let field = field.to_ascii_lowercase();
        let Some((_, charset)) = field.split_once("charset=") else {
            continue;
        };
        let is_end = |c: char| c.is_whitespace() || c == ';';
        let charset = charset.split(is_end).next().unwrap_or_default();
        // Templates have the placeholder "CHARSET".
        if !matches!(
            charset,
            "" | "utf-8" | "utf8" | "ascii" | "us-ascii" | "charset"
        ) {
            return Err("its header names another charset than UTF-8".to_owned());
        }
    }
    Ok(())
}

/// Which string the lines that begin with a quote go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Context,
    Id,
    Plural,
    Translation,
}

/// Reads entries line by line.
#[derive(Debug, Default)]
struct Reader {
    entries: Vec<Entry>,
    entry: Entry,
    field: Option<Field>,
}

fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let mut reader = Reader::default();
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        reader
            .line(line, start)
            .map_err(|error| format!("line {}: {error}", number + 1))?;
        start += line.len();
    }
    reader
        .end_entry()
        .map_err(|error| format!("at its end: {error}"))?;
    Ok(reader.entries)
}

impl Reader {
    fn line(&mut self, line: &str, start: usize) -> Result<(), &'static str> {
        let words = line.trim();
        let start = start + line.len() - line.trim_start().len();
        if words.is_empty() || words.starts_with('#') {
            // Comments are in front of a message; obsolete messages are comments.
            return match self.field {
                Some(Field::Translation) => self.end_entry(),
                _ => Ok(()),
            };
        }
        if words.starts_with('"') {
            let field = self.field.ok_or("a string without a keyword")?;
            return self.literal(field, words, start);
        }
        let end = words
            .find([' ', '\t', '"'])
            .ok_or("a keyword without a string")?;
        let (keyword, rest) = words.split_at(end);
        let string = rest.trim_start();
        let field = self.keyword(keyword)?;
        self.field = Some(field);
        self.literal(field, string, start + words.len() - string.len())
    }

    fn keyword(&mut self, keyword: &str) -> Result<Field, &'static str> {
        let after_translation = self.field == Some(Field::Translation);
        match keyword {
            "msgctxt" | "msgid" if after_translation => self.end_entry()?,
            _ => {}
        }
        match (keyword, self.field) {
            ("msgctxt", None) => Ok(Field::Context),
            ("msgid", None | Some(Field::Context)) => Ok(Field::Id),
            ("msgid_plural", Some(Field::Id)) => {
                self.entry.plural = Some(Literal::default());
                Ok(Field::Plural)
            }
            ("msgstr", Some(Field::Id)) => {
                self.entry.translations.push(Literal::default());
                Ok(Field::Translation)
            }
            (form, Some(Field::Plural | Field::Translation)) if self.entry.plural.is_some() => {
                let number = form
                    .strip_prefix("msgstr[")
                    .and_then(|form| form.strip_suffix(']'));
                let number: Option<usize> = number.and_then(|number| number.parse().ok());
                if number != Some(self.entry.translations.len()) {
                    return Err("not the next plural form");
                }
                self.entry.translations.push(Literal::default());
                Ok(Field::Translation)
            }
            _ => Err("an unexpected keyword"),
        }
    }

    /// Adds a quoted string to a field.
    fn literal(&mut self, field: Field, quoted: &str, start: usize) -> Result<(), &'static str> {
        let value = unquoted(quoted)?;
        let literal = match field {
            Field::Context => return Ok(()),
            Field::Id => &mut self.entry.id,
            Field::Plural => self.entry.plural.get_or_insert_default(),
            Field::Translation => match self.entry.translations.last_mut() {
                Some(literal) => literal,
                None => return Err("a string without a keyword"),
            },
        };
        if literal.range.is_empty() {
            literal.range = start..start;
        }
        literal.range.end = start + quoted.len();
        literal.value.push_str(&value);
        Ok(())
    }

    fn end_entry(&mut self) -> Result<(), &'static str> {
        match self.field.take() {
            None => Ok(()),
            Some(Field::Translation) => {
                self.entries.push(std::mem::take(&mut self.entry));
                Ok(())
            }
            Some(_) => Err("a message without msgstr"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r##"# A comment
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"

#: src/a.c:7
#, c-format
msgctxt "Menu"
msgid "Open \"%s\""
msgstr ""

msgid ""
"One.\n"
"Two.\n"
msgstr ""
msgid "%d file"
msgid_plural "%d files"
msgstr[0] ""
msgstr[1] ""

msgid "Done"
msgstr "Fini"

#~ msgid "Old"
#~ msgstr ""
"##;

    fn translated(text: &str, retranslate: bool) -> String {
        let (layout, segments) = read(text.to_owned(), retranslate).unwrap();
        let upper: Vec<_> = segments.iter().map(|s| s.text.to_uppercase()).collect();
        layout.write(&segments, &upper)
    }

    #[test]
    fn empty_translations_are_filled_and_all_else_stays() {
        let expected = FILE
            .replacen(
                "%s\\\"\"\nmsgstr \"\"",
                "%s\\\"\"\nmsgstr \"OPEN \\\"%S\\\"\"",
                1,
            )
            .replacen(
                "\"Two.\\n\"\nmsgstr \"\"",
                "\"Two.\\n\"\nmsgstr \"\"\n\"ONE.\\n\"\n\"TWO.\\n\"",
                1,
            )
            .replacen("msgstr[0] \"\"", "msgstr[0] \"%D FILE\"", 1)
            .replacen("msgstr[1] \"\"", "msgstr[1] \"%D FILES\"", 1);
        assert_eq!(translated(FILE, false), expected);
        let all = translated(FILE, true);
        assert_eq!(all, expected.replacen("\"Fini\"", "\"DONE\"", 1));
        assert_eq!(translated(&expected, false), expected, "nothing is left");
    }

    #[test]
    fn a_language_with_one_form_has_the_plural() {
        let text = "msgid \"a file\"\nmsgid_plural \"files\"\nmsgstr[0] \"\"\n";
        assert!(translated(text, false).ends_with("msgstr[0] \"FILES\"\n"));
    }

    #[test]
    fn line_ends_stay_those_of_the_file() {
        let text = "msgid \"a\\nb\"\r\nmsgstr \"\"\r\n";
        let expected = "msgid \"a\\nb\"\r\nmsgstr \"\"\r\n\"A\\n\"\r\n\"B\"\r\n";
        assert_eq!(translated(text, false), expected);
    }

    #[test]
    fn broken_files_are_refused_with_the_line_and_without_their_text() {
        for (text, line) in [
            ("secret\n", "line 1"),
            ("\n\"secret\"\n", "line 2"),
            ("msgid \"secret\n", "line 1"),
            ("msgid \"secret\" x\n", "line 1"),
            ("msgid \"a\"\nmsgid \"secret\"\n", "line 2"),
            ("msgid \"secret\"\n", "at its end"),
            (
                "msgid \"a\"\nmsgid_plural \"b\"\nmsgstr[1] \"\"\n",
                "line 3",
            ),
            ("msgid \"a\"\nmsgstr[0] \"\"\n", "line 2"),
            ("msgid \"\\q\"\n", "line 1"),
        ] {
            let error = read(text.to_owned(), false).unwrap_err();
            assert!(
                error.contains(line) && !error.contains("secret"),
                "{text}: {error}"
            );
        }
        let latin = "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=ISO-8859-1\\n\"\n";
        assert!(read(latin.to_owned(), false).unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s)(msgid |msgstr |msgstr\\[0\\] |msgid_plural |\"|x|\n|#|\\\\){0,30}") {
            if let Ok((layout, segments)) = read(text.clone(), true) {
                let same: Vec<_> = segments.iter().map(|s| s.text.clone()).collect();
                let written = layout.write(&segments, &same);
                prop_assert!(read(written, true).is_ok());
            }
        }
    }
}
