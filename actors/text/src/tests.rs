//! The whole of segmentation: what it keeps for every text, its rules together, and its cost.

use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Piece, estimate_tokens, join, protect, segment};

/// Larger than any sentence here.
const WHOLE: usize = 10_000;

/// Stretches that mean something to some rule, to be mixed with arbitrary characters.
const FRAGMENTS: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\u{2028}",
    "\t",
    "\0",
    "   ",
    " ",
    "\u{a0}",
    "\u{feff}",
    "- ",
    "> ",
    "1. ",
    "```",
    "```\n",
    "\n~~~~\n",
    "`",
    "``",
    "{",
    "}",
    "{{name}}",
    "${x}",
    "<",
    ">",
    "<b>",
    "</a >",
    "<a href=\"",
    "<!--",
    "-->",
    "@",
    "@ana",
    "#",
    "#tag",
    "ana@example.com",
    "https://a.io/b_(c)",
    "://",
    "www.",
    "mailto:",
    "example.com",
    ".",
    ". ",
    "...",
    "! ",
    "?\" ",
    "Mr. ",
    "J. ",
    ", ",
    "; ",
    ")",
    "(",
    "“",
    "\"",
    "'",
    "👩‍👩‍👧",
    "👍🏽",
    "❤️",
    "1️⃣",
    "🇫🇷",
    "\u{200d}",
    "\u{fe0f}",
    "\u{301}",
    "\u{102b}",
    "....................",
    ".))))))))))))))))))))",
    "Hello there",
    "ok",
    "été",
    "مرحبا بك",
    "שלום",
    "\u{202e}",
    "\u{200f}",
    "日本語です。",
    "नमस्ते",
    "สวัสดี",
    "42",
];

fn any_text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        3 => proptest::sample::select(FRAGMENTS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "(?s).{0,8}",
        1 => "[a-zA-Z ]{1,12}",
    ];
    proptest::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

fn translatable<'a>(pieces: &[Piece<'a>]) -> Vec<&'a str> {
    pieces
        .iter()
        .filter(|piece| piece.is_translatable())
        .map(Piece::as_str)
        .collect()
}

/// What a model would get to see.
fn seen(text: &str) -> Vec<&str> {
    translatable(&segment(text, WHOLE))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_pieces_of_any_text_put_together_are_the_text(
        text in any_text(), max_tokens in prop_oneof![0_usize..12, Just(WHOLE), Just(usize::MAX)]
    ) {
        let pieces = segment(&text, max_tokens);
        let whole: String = pieces.iter().map(Piece::as_str).collect();
        prop_assert_eq!(&whole, &text);
        prop_assert_eq!(join(&pieces, translatable(&pieces)), text);
    }

    #[test]
    fn every_translatable_piece_is_a_short_line_with_a_letter_and_without_outer_white_space(
        text in any_text(), max_tokens in 1_u32..30
    ) {
        for piece in translatable(&segment(&text, max_tokens as usize)) {
            prop_assert!(piece.contains(char::is_alphabetic), "{:?}", piece);
            prop_assert_eq!(piece.trim(), piece);
            prop_assert!(!piece.contains(|c: char| c.is_ascii_control()), "{:?}", piece);
            prop_assert!(
                estimate_tokens(piece) <= max_tokens || piece.graphemes(true).count() == 1,
                "{:?} has {} tokens", piece, estimate_tokens(piece)
            );
        }
    }

    #[test]
    fn verbatim_pieces_are_never_empty_nor_neighbours(text in any_text()) {
        let pieces = segment(&text, WHOLE);
        prop_assert!(pieces.iter().all(|piece| !piece.as_str().is_empty()));
        prop_assert!(
            pieces.windows(2).all(|two| two[0].is_translatable() || two[1].is_translatable())
        );
    }

    #[test]
    fn no_translatable_piece_touches_a_protected_span(
        text in any_text().prop_map(|text| text.replace(|c: char| c.is_control(), "")),
        max_tokens in 1_usize..30
    ) {
        // A letter first, so that the line has neither a marker nor a fence.
        let line = format!("A{text}");
        prop_assume!(!line.contains(['\u{2028}', '\u{2029}']));
        let spans: Vec<_> = protect::spans(line.trim_end()).collect();
        let mut start = 0;
        for piece in segment(&line, max_tokens) {
            let end = start + piece.as_str().len();
            if piece.is_translatable() {
                prop_assert!(
                    spans.iter().all(|span| span.end <= start || end <= span.start),
                    "{:?} at {}..{} touches one of {:?}", piece, start, end, spans
                );
            }
            start = end;
        }
    }
}

#[test]
fn each_sentence_is_a_piece_and_the_space_between_is_kept() {
    assert_eq!(
        segment("Hi!  How are you? Fine.\n", WHOLE),
        [
            Piece::Translatable("Hi!"),
            Piece::Verbatim("  "),
            Piece::Translatable("How are you?"),
            Piece::Verbatim(" "),
            Piece::Translatable("Fine."),
            Piece::Verbatim("\n"),
        ]
    );
}

#[test]
fn a_text_without_letters_is_verbatim_and_the_empty_one_has_no_pieces() {
    assert_eq!(segment("", WHOLE), []);
    for text in ["\r\n", " ", "12:30", "🎉🎉", "---\n***", "?!"] {
        assert_eq!(segment(text, WHOLE), [Piece::Verbatim(text)]);
    }
}

#[test]
fn protected_spans_cut_a_sentence_and_leave_no_stray_punctuation_to_the_model() {
    for (text, expected) in [
        ("Hello 😀!", vec!["Hello"]),
        ("👍 Thanks", vec!["Thanks"]),
        ("@ana, are you there?", vec!["are you there?"]),
        (
            "See https://example.com. Then call me.",
            vec!["See", "Then call me."],
        ),
        (
            "Run `make test` or ({command}) now.",
            vec!["Run", "or", "now."],
        ),
        ("<p>One <b>big</b> dog.</p>", vec!["One", "big", "dog."]),
        ("Name:\tAna   Age: ten", vec!["Name:", "Ana", "Age: ten"]),
    ] {
        assert_eq!(seen(text), expected, "{text}");
    }
}

#[test]
fn markdown_keeps_its_structure() {
    let text =
        "# Title\r\n\r\n> 1. First item.\r\n- [ ] Second\r\n\r\n```sh\nls me\n```\r\n| a | b |\r\n";
    assert_eq!(seen(text), ["Title", "First item.", "Second", "| a | b |"]);
    assert_eq!(
        join(&segment(text, WHOLE), ["Titre", "Un.", "Deux", "| x | y |"]),
        "# Titre\r\n\r\n> 1. Un.\r\n- [ ] Deux\r\n\r\n```sh\nls me\n```\r\n| x | y |\r\n"
    );
}

#[test]
fn sentences_of_scripts_without_spaces_or_from_right_to_left_are_found() {
    assert_eq!(seen("今日は暑い。明日は？"), ["今日は暑い。", "明日は？"]);
    assert_eq!(seen("كيف حالك؟ أنا بخير."), ["كيف حالك؟", "أنا بخير."]);
}

#[test]
fn a_translation_may_have_any_length_and_content() {
    let pieces = segment("One. Two.", WHOLE);
    assert_eq!(join(&pieces, ["", "{}\n<b>"]), " {}\n<b>");
    assert_eq!(
        join(&pieces, [String::from("1."), String::from("2.")]),
        "1. 2."
    );
}

#[test]
#[should_panic(expected = "no translation")]
fn joining_with_too_few_translations_panics() {
    let _ = join(&segment("One. Two.", WHOLE), ["Un."]);
}

#[test]
#[should_panic(expected = "more translations")]
fn joining_with_too_many_translations_panics() {
    let _ = join(&segment("One.", WHOLE), ["Un.", "Deux."]);
}

/// Texts at which some rule would be quadratic if it started over at every place where it failed.
/// Each would then take minutes, where all of them together take seconds.
#[test]
fn hostile_texts_take_time_in_proportion_to_their_length() {
    const LEN: usize = 1 << 18;
    for (head, unit) in [
        // Lines, markers and fences.
        ("", "\n"),
        ("", "> "),
        ("", "```\n"),
        ("", "~~~x\n"),
        // Delimiters without their other half.
        ("", "{"),
        ("", "```"),
        ("", "` `` "),
        ("", "<"),
        ("", "<a "),
        ("", "<a '\" "),
        ("", "<!--"),
        // Addresses that fail, or end in what is not theirs.
        ("", "a@"),
        ("", "a."),
        ("", "://"),
        ("http://", ")"),
        ("https://a", ")"),
        // Emoji.
        ("", "👩\u{200d}"),
        ("", "🇫"),
        // Sentence ends that stay open, edges, and one endless sentence, clause, word or cluster.
        ("a", "."),
        ("a.", ")"),
        ("a.", "\u{102b}"),
        ("a", "\" "),
        ("", "Mr. "),
        ("a", ", "),
        ("", "a "),
        ("", "a"),
        ("a", "\u{301}"),
    ] {
        check_lossless(&format!("{head}{}z", unit.repeat(LEN / unit.len())), 16);
    }
}

fn check_lossless(text: &str, max_tokens: usize) {
    let pieces = segment(text, max_tokens);
    let whole: String = pieces.iter().map(Piece::as_str).collect();
    assert!(whole == text, "pieces of a hostile text do not add up");
}
