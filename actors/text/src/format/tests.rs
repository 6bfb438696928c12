//! What holds for every format: nothing is lost, and the cost is linear.

use crate::recognise::TokenKind;
use proptest::prelude::*;

use super::*;
use crate::{
    cpu_time::CpuTime,
    document::{PartKind, Partner},
};

/// Stretches that mean something to some format.
const FRAGMENTS: &[&str] = &[
    "\n",
    "\r\n",
    "\n\n",
    " ",
    "  ",
    "   ",
    "\t",
    "<",
    ">",
    "&",
    "&amp;",
    "&nbsp;",
    "&#39;",
    "&bogus;",
    "<b>",
    "</b>",
    "<i class=\"x\">",
    "</i>",
    "<p>",
    "</p>",
    "<br/>",
    "<br>",
    "<img alt=\"a dog\">",
    "<code>",
    "</code>",
    "<span translate=\"no\">",
    "</span>",
    "<b translate=yes>",
    "<!-- a -->",
    "<script>",
    "</script>",
    "<![CDATA[",
    "]]>",
    "<?pi?>",
    "<0>",
    "</0>",
    "<1/>",
    "<wbr>",
    "\u{ad}",
    "**",
    "*",
    "_",
    "~~",
    "`",
    "```",
    "[",
    "](",
    ")",
    "](x \"T\")",
    "![",
    "> ",
    "- ",
    "1. ",
    "# ",
    "|",
    "\\",
    "\\*",
    "$",
    "$x$",
    "[^1]",
    "---",
    "    ",
    "[b]",
    "[/b]",
    "[code]",
    "[/code]",
    "1\n00:00:01,000 --> 00:00:04,000\n",
    "00:01.000 --> 00:02.000 align:start\n",
    "WEBVTT\n\n",
    "NOTE x\n",
    "{\\an8}",
    "\\N",
    "<c.x>",
    "</c>",
    "<00:01.000>",
    "<v Rose>",
    "♪ ",
    "Hello there",
    "my friend.",
    "Yes! ",
    "Mr. ",
    "https://a.io/b",
    "@ana",
    "#tag",
    "{name}",
    "%s",
    "👍",
    "42 km",
    "日本語。",
    "été",
    "مرحبا",
    ":wave:",
    "a_b",
    "e\u{301}",
    "MAIN",
];

pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        6 => proptest::sample::select(FRAGMENTS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-zA-Z ]{1,12}",
    ];
    proptest::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// Well-formed markup.
fn markup() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{1,8}( [a-z]{1,8}){0,4}[.!?]? ",
        Just("<br/>".to_owned()),
        Just("&amp; ".to_owned()),
        Just("https://a.io/b ".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        (
            proptest::sample::select(&["b", "i", "p", "div", "span", "code"][..]),
            proptest::collection::vec(inner, 1..5),
        )
            .prop_map(|(name, content)| format!("<{name} id=\"1\">{}</{name}>", content.concat()))
    })
}

fn every_option() -> impl Strategy<Value = (bool, Splitting, u32)> {
    let splitting = prop_oneof![
        Just(Splitting::Sentences),
        Just(Splitting::IgnoreLineBreaks),
        Just(Splitting::Off)
    ];
    (
        any::<bool>(),
        splitting,
        prop_oneof![Just(4_u32), Just(30), Just(500)],
    )
}

#[track_caller]
fn assert_sound(document: &Document) {
    assert_eq!(document.join(&document.untranslated()), document.text());
    for unit in document.units() {
        let mut end = unit.range.start;
        for (at, part) in unit.parts.iter().enumerate() {
            assert_eq!(part.range.start, end, "{unit:?} of {:?}", document.text());
            end = part.range.end;
            if let PartKind::Open(Partner::At(close)) = part.kind {
                assert_eq!(
                    unit.parts[close].kind,
                    PartKind::Close(Partner::At(at)),
                    "{unit:?}"
                );
            }
            if let PartKind::Close(Partner::At(open)) = part.kind {
                assert_eq!(
                    unit.parts[open].kind,
                    PartKind::Open(Partner::At(at)),
                    "{unit:?}"
                );
            }
        }
        assert_eq!(end, unit.range.end);
    }
    let mut ranges: Vec<_> = document.units().iter().map(|unit| unit.range()).collect();
    ranges.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    for two in ranges.windows(2) {
        assert!(
            two[0].end <= two[1].start || two[0].end >= two[1].end,
            "{:?}",
            document.text()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_text_survives_every_format(
        text in any_text(), format in proptest::sample::select(&Format::ALL[..]),
        (attributes, splitting, max_tokens) in every_option()
    ) {
        let options = Options { attributes, splitting, max_tokens, known: Some(&|c| c != 'é'), ..Options::default() };
        assert_sound(&parse(text, format, &options));
    }

    #[test]
    fn arbitrary_text_survives(text: String, format in proptest::sample::select(&Format::ALL[..])) {
        assert_sound(&parse(text, format, &Options::default()));
    }

    #[test]
    fn well_formed_markup_survives(text in markup(), format in proptest::sample::select(&[Format::Html, Format::Xml, Format::Text][..])) {
        assert_sound(&parse(text, format, &Options::default()));
    }

    #[test]
    fn tags_are_where_quick_xml_finds_them(text in markup()) {
        let tags = tags::Tags::new(&text);
        let mut at = 0;
        let mut found = Vec::new();
        while let Some(tag) = tags.next(at, text.len()) {
            at = tag.range.end;
            found.push(tag.range);
        }
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut expected = Vec::new();
        let position = |reader: &quick_xml::Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap();
        loop {
            let start = position(&reader);
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(_) | quick_xml::events::Event::End(_) | quick_xml::events::Event::Empty(_) => {
                    expected.push(start..position(&reader));
                }
                _ => {}
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn any_message_is_parsed_in_linear_time() {
    let deep = "<b>".repeat(1_000) + "word" + &"</b>".repeat(1_000);
    let mut messages: Vec<String> = [
        "<",
        "&",
        "&amp;",
        "<b>",
        "<b",
        "</b>",
        "<a href=\"",
        "<!--",
        "<![CDATA[",
        "<p>a",
        "<b>a ",
        "<b>a</i>",
        "<code>",
        "<code>a</code> ",
        "<script>",
        "</",
        "[",
        "](",
        "[a](",
        "[code]",
        "*a ",
        "**",
        "`",
        "``a",
        "> ",
        "- a\n",
        "|a",
        "\\",
        "$",
        "$a ",
        "```\n",
        "{\\",
        "{",
        "<1:",
        "a\n",
        "a. ",
        "https://<b>a</b>.io ",
        "a.<i>",
        "&a",
        "&#",
        "\u{ad}",
        "<span translate=no>a",
        "</b><b>",
        "<i></i>",
        "👩‍👩‍👧",
        "a 👍 ",
        "[^",
        "a@",
        "00:00 --> 00:01\n",
        "♪ a\n",
        "<p>\n\n",
        "<div>\n\nw\n",
    ]
    .iter()
    .map(|part| part.repeat((1 << 18) / part.len()))
    .collect();
    messages.push("<".repeat(1 << 20));
    messages.push("&".repeat(1 << 20));
    messages.push(deep.clone());
    messages.push(deep.repeat(100));
    messages.push("<b>".repeat(200_000) + "word");
    messages.push("word".to_owned() + &"<b>".repeat(200_000));
    messages.push("a<b>".repeat(100_000) + &"</b>".repeat(100_000));
    for message in &messages {
        for format in Format::ALL {
            let start = CpuTime::start();
            let document = parse(message.as_str(), format, &Options::default());
            let took = start.elapsed();
            assert!(
                took.as_secs() < 5,
                "{format:?} {:?}: {took:?}",
                &message[..16.min(message.len())]
            );
            assert_eq!(document.join(&document.untranslated()), *message);
        }
    }
}

/// The units of a message, as they stand in it.
#[track_caller]
fn units(text: &str, format: Format, options: &Options<'_>) -> Vec<String> {
    let document = parse(text, format, options);
    document
        .units()
        .iter()
        .map(|unit| document.source(unit).to_owned())
        .collect()
}

#[test]
fn xml_is_divided_as_deepl_divides_it() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let xml = XmlOptions {
        ignore_tags: names(&["x", "keep"]),
        ..XmlOptions::default()
    };
    let text = "Hello <x>my dear friend</x>, <keep>open door</keep> now!";
    let document = parse(
        text,
        Format::Xml,
        &Options {
            xml: Some(&xml),
            ..Options::default()
        },
    );
    assert_eq!(document.units().len(), 1);
    assert_eq!(document.units()[0].tokens().count(), 2);

    let text = "One<split/>two <par>three</par> four";
    assert_eq!(units(text, Format::Xml, &Options::default()), [text]);
    let xml = XmlOptions {
        splitting_tags: names(&["split", "par"]),
        ..XmlOptions::default()
    };
    let options = Options {
        xml: Some(&xml),
        ..Options::default()
    };
    assert_eq!(
        units(text, Format::Xml, &options),
        ["One", "two", "three", "four"]
    );

    let text = "<doc><p>One <b>two</b></p><p>three</p></doc>";
    assert_eq!(
        units(text, Format::Xml, &Options::default()),
        ["One <b>two</b>", "three"]
    );
    let xml = XmlOptions {
        no_outline_detection: true,
        ..XmlOptions::default()
    };
    let options = Options {
        xml: Some(&xml),
        ..Options::default()
    };
    assert_eq!(units(text, Format::Xml, &options).len(), 1);
    let xml = XmlOptions {
        non_splitting_tags: names(&["p"]),
        ..XmlOptions::default()
    };
    let options = Options {
        xml: Some(&xml),
        ..Options::default()
    };
    assert_eq!(units(text, Format::Xml, &options).len(), 1);
}

#[test]
fn attributes_are_units_where_asked_for() {
    let html = "<p>See <img alt=\"a &quot;red&quot; dog\" src=\"dog.png\"> here</p><input placeholder='your name'>";
    assert_eq!(units(html, Format::Html, &Options::default()).len(), 1);
    let options = Options {
        attributes: true,
        ..Options::default()
    };
    let document = parse(html, Format::Html, &options);
    let sources: Vec<_> = document
        .units()
        .iter()
        .map(|unit| document.source(unit))
        .collect();
    assert_eq!(
        sources,
        [
            "a &quot;red&quot; dog",
            "See <img alt=\"a &quot;red&quot; dog\" src=\"dog.png\"> here",
            "your name"
        ]
    );
    let mut translations = document.untranslated();
    translations[0] = crate::Translation::default();
    translations[0].push_str("UN CHIEN");
    assert_eq!(
        document.join(&translations),
        html.replace("a &quot;red&quot; dog", "UN CHIEN")
    );
}

#[test]
fn sentences_are_split_as_asked() {
    let text = "One line\nis wrapped. Two.\n\nThree";
    let split = |splitting| {
        units(
            text,
            Format::Text,
            &Options {
                splitting,
                ..Options::default()
            },
        )
    };
    assert_eq!(
        split(Splitting::Sentences),
        ["One line", "is wrapped.", "Two.", "Three"]
    );
    assert_eq!(
        split(Splitting::IgnoreLineBreaks),
        ["One line\nis wrapped.", "Two.", "Three"]
    );
    assert_eq!(
        split(Splitting::Off),
        ["One line", "is wrapped. Two.", "Three"]
    );
}

#[test]
fn only_prose_is_left_for_detection() {
    let html = "<div class=\"main content\">Bonjour <b>à tous</b> <code>let the</code> https://a.io/what-is</div>";
    let document = parse(html, Format::Html, &Options::default());
    assert_eq!(
        document
            .prose(&document.units()[0])
            .collect::<Vec<_>>()
            .concat()
            .trim(),
        "Bonjour à tous"
    );
}

#[test]
fn numbered_placeholders_are_no_formula() {
    let text = "Ask %1$d about $x + y$ and %2$s today.";
    let document = parse(text, Format::Markdown, &Options::default());
    let kinds: Vec<_> = document.units()[0].tokens().collect();
    let expected = [
        TokenKind::Placeholder,
        TokenKind::Math,
        TokenKind::Placeholder,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_cdata_section_is_text_in_xml_and_a_comment_in_html() {
    let text = "<p>Good morning. <![CDATA[ My <friend> ]]><![CDATA[ See you.]]></p>";
    let of = |format| {
        let document = parse(text, format, &Options::default());
        let prose = document.units().iter().map(|unit| document.source(unit));
        prose.filter(|source| source.contains("See")).count()
    };
    assert_eq!(of(Format::Xml), 1);
    let html = parse(text, Format::Html, &Options::default());
    let is_words = |kind: &PartKind| matches!(kind, PartKind::Text { .. });
    let words = html.units().iter().flat_map(|unit| &unit.parts);
    let words = words.filter(|part| is_words(&part.kind));
    let words: Vec<_> = words.map(|part| &text[part.range.clone()]).collect();
    assert!(words.concat().trim() == "Good morning.", "{words:?}");
}
