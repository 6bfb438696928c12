//! The table of recognisers.

use std::ops::Range;

use super::{Scan, TokenKind, chat, numbers, paths, placeholders};
use crate::protect::emoji;

/// A row of the table.
pub struct Recogniser {
    /// What the row recognises.
    pub kind: TokenKind,
    /// Bytes at which the scanner is asked.
    pub starts: &'static [u8],
    /// The token that the byte at the offset starts or reveals.
    pub(super) scan: fn(&mut Scan<'_>, usize) -> Option<Range<usize>>,
    /// Tokens; each is recognised whole, alone and inside a sentence.
    pub examples: &'static [&'static str],
    /// Texts in which the row's kind is not recognised.
    pub counter_examples: &'static [&'static str],
}

impl std::fmt::Debug for Recogniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recogniser")
            .field("kind", &self.kind)
            .field("examples", &self.examples)
            .finish_non_exhaustive()
    }
}

macro_rules! row {
    ($kind:ident, $starts:expr, $scan:expr, [$($example:literal),* $(,)?], [$($counter:literal),* $(,)?]) => {
        Recogniser {
            kind: TokenKind::$kind,
            starts: $starts,
            scan: $scan,
            examples: &[$($example),*],
            counter_examples: &[$($counter),*],
        }
    };
}

const DIGITS: &[u8] = b"0123456789";
const CAPITALS_AND_UNDERSCORE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_";

/// All recognisers; at the same place, an earlier row wins.
pub const TABLE: &[Recogniser] = &[
    row!(
        Code,
        b"`",
        placeholders::code,
        ["`let x = 1;`", "``a`b``"],
        ["a ` b", "``"]
    ),
    row!(
        Placeholder,
        b"{$%#",
        placeholders::braces,
        [
            "{name}",
            "{{ name }}",
            "${x}",
            "%{x}",
            "#{x}",
            "{0}",
            "{n, plural, one {# a} other {# b}}"
        ],
        ["} a {", "$ {", "{ open"]
    ),
    row!(
        Placeholder,
        b"<",
        placeholders::template,
        ["<%= user.name %>", "<% end %>"],
        ["a <% b", "5 <%"]
    ),
    row!(
        Chat,
        b"<",
        chat::entity,
        [
            "<@U024BE7LH>",
            "<@&55>",
            "<#987654321>",
            "<!here>",
            "<:blob_cat:1234>",
            "<a:dance:99>",
            "<t:1700000000:R>",
            "<https://example.com/a|our page>"
        ],
        ["<3 you", "a < b > c", "<b>"]
    ),
    row!(
        Placeholder,
        b"%",
        placeholders::percent,
        [
            "%s",
            "%1$d",
            "%d",
            "%(door)s",
            "%5.2f",
            "%@",
            "%%",
            "%minutes%",
            "%-10s",
            "%lu",
            "%1$@"
        ],
        ["100% sure", "50% of 20%", "5 % discount", "20%s", "%"]
    ),
    row!(
        Placeholder,
        b"@",
        placeholders::linked_key,
        ["@:common.ok", "@.lower:a.b"],
        ["a@:b", "@ :b"]
    ),
    row!(
        Email,
        b"@",
        chat::email,
        ["ana@example.com", "a.b+c@mail.example.org"],
        ["a@b", "x @ y.com"]
    ),
    row!(
        Mention,
        b"@#",
        chat::mention,
        [
            "@ana",
            "@ana.b",
            "@ana@server.example",
            "@alice:chat.example.de",
            "#room:example.org"
        ],
        ["x @ y", "home@", "#tag"]
    ),
    row!(
        Placeholder,
        b"#",
        placeholders::hashes,
        ["###A01###"],
        ["### Title ###", "######"]
    ),
    row!(
        Hashtag,
        b"#",
        chat::hashtag,
        ["#rust", "#2024", "#été"],
        ["C# is", "# a", "a#b"]
    ),
    row!(
        Url,
        b":wW.",
        chat::url,
        [
            "https://a.io/b?c=1#d",
            "http://localhost:80/x",
            "www.example.com",
            "example.com/path",
            "bahn.de/fahrplan",
            "mailto:a@b.org",
            "data:image/png;base64,iVBORw0KGgo="
        ],
        [
            "see it.is that",
            "say:hello",
            "http:// x",
            "data: a, b",
            "Wait...what",
            "No.de"
        ]
    ),
    row!(
        Url,
        b":",
        chat::host_port,
        ["localhost:3000", "db.example:5432/a"],
        ["at 10:30", "note:30", "see:3000"]
    ),
    row!(
        Shortcode,
        b":",
        chat::shortcode,
        [":sun_with_face:", ":+1:", ":blobcat:"],
        ["12:30:45", "Note: see: this", "a:b:c", ":100"]
    ),
    row!(
        Placeholder,
        b":",
        placeholders::colon,
        [":number", ":user_name", ":Name"],
        [":D", ":p", ":DD", "note:see", "10:30", ": a", ":ooo"]
    ),
    row!(
        Placeholder,
        b"$",
        placeholders::dollar,
        ["$HouseName", "$user_1", "$t(button.save)"],
        ["$5", "US$ab", "$ a", "$"]
    ),
    row!(
        Placeholder,
        b"_",
        placeholders::underscores,
        ["__total__", "__first_name__"],
        ["____", "a__b__", "__ a __"]
    ),
    row!(
        Placeholder,
        b"[",
        placeholders::double_brackets,
        ["[[first name]]"],
        ["[a]", "[[a]", "[[]]"]
    ),
    row!(
        Placeholder,
        b"[",
        placeholders::times,
        ["[00:01:05.250 --> 00:01:09.000]"],
        ["[1 --> 2", "[a]"]
    ),
    row!(
        Path,
        b"/\\",
        paths::path,
        [
            "/etc/hosts",
            "src/main.rs",
            "~/notes",
            "./a/b",
            "C:\\Users\\ana",
            "/help"
        ],
        ["and/or", "his/her", "km/h", "1/2", "a / b", "</b"]
    ),
    row!(
        Placeholder,
        b"\\",
        placeholders::escape,
        ["\\n", "\\t", "\\N"],
        ["a \\ b", "\\"]
    ),
    row!(
        Path,
        b".",
        paths::file_name,
        ["main.rs", "report-2.pdf", "archive.tar.gz"],
        ["end.But", "a. c", ".rs"]
    ),
    row!(
        Identifier,
        CAPITALS_AND_UNDERSCORE,
        paths::name,
        ["getValue", "max_retries", "MAX_SIZE", "doThing()"],
        [
            "iPhone",
            "McDonald",
            "Hello World",
            "a _ b",
            "_open_",
            "NASA"
        ]
    ),
    row!(
        Identifier,
        DIGITS,
        numbers::hash,
        [
            "a1b2c3d4e5f6",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "0x1f",
            "ABC-123",
            "ORD-2026-00417",
            "EU-12-B7"
        ],
        ["1234567", "mp3", "covid-19", "42", "AB-12-"]
    ),
    row!(
        Version,
        DIGITS,
        numbers::version,
        ["v1.2.3-rc.1", "1.2.3", "v2.0", "10.0.0.1:8080"],
        ["1.5", "31.12.2024", "1,000.50", "3.."]
    ),
    row!(
        Phone,
        DIGITS,
        numbers::phone,
        [
            "+49 30 1234567",
            "555-123-4567",
            "030 1234567",
            "(030) 1234-567"
        ],
        ["2024-05-01", "1 000 000", "10:30", "1234567"]
    ),
    row!(
        Number,
        DIGITS,
        numbers::number,
        [
            "42",
            "$1,000.50",
            "3.5 %",
            "10:30",
            "2024-05-01",
            "31.12.2024",
            "20km",
            "-5",
            "5 €",
            "100 km/h"
        ],
        ["mp3", "H2O", "one"]
    ),
    row!(
        Emoji,
        &[0xc2, 0xe2, 0xe3, 0xef, 0xf0],
        |scan, at| emoji::span(scan.text, scan.floor, at),
        ["👍🏽", "👩🏿‍🚀", "🇫🇷", "❤️", "⭐"],
        ["™", "字", "…", "→"]
    ),
];

/// For each byte, the rows that start there, as a bit set.
pub(super) const STARTS: [u64; 256] = {
    let mut starts = [0; 256];
    let mut row = 0;
    while row < TABLE.len() {
        let mut at = 0;
        while at < TABLE[row].starts.len() {
            starts[TABLE[row].starts[at] as usize] |= 1 << row;
            at += 1;
        }
        row += 1;
    }
    starts
};

#[cfg(test)]
mod tests {
    use super::super::{Options, tokens};
    use super::*;

    fn found(text: &str) -> Vec<(TokenKind, &str)> {
        tokens(text, &Options::default())
            .into_iter()
            .map(|token| (token.kind, &text[token.range]))
            .collect()
    }

    #[test]
    fn every_example_is_recognised_alone_and_in_a_sentence() {
        let mut failed = Vec::new();
        for row in TABLE {
            for example in row.examples {
                for (before, after) in [
                    ("", ""),
                    ("see ", " now"),
                    ("(", ")"),
                    ("see ", "."),
                    ("", ", yes"),
                ] {
                    let text = format!("{before}{example}{after}");
                    if found(&text) != [(row.kind, *example)] {
                        failed.push(format!("{text} -> {:?}", found(&text)));
                    }
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn no_counter_example_is_recognised() {
        let mut failed = Vec::new();
        for row in TABLE {
            for text in row.counter_examples {
                if found(text).iter().any(|(kind, _)| *kind == row.kind) {
                    failed.push(format!("{:?} in {text} -> {:?}", row.kind, found(text)));
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn plain_prose_has_no_tokens() {
        for text in [
            "Hello, how are you? I am fine; thanks!",
            "He said: \"and/or\" is (not) nice... don't you think so?",
            "C++ is not easy, C# too. AT&T and R&D.",
            "Note: see: this: is fine :) :D",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
