//! The tokeniser on the demo model's own files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::path::Path;

use babelmesh_marian::{Frame, Tokeniser};
use proptest::prelude::*;

const END: u32 = 0;
const UNKNOWN: u32 = 1;
const ROOM: usize = 512;
const FRAME: Frame = Frame {
    first: None,
    end: true,
};

fn tokeniser() -> Tokeniser {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/demo-en-fr-de");
    Tokeniser::open(&model).unwrap()
}

/// The numbers are those of the original SentencePiece library and the model's vocabulary. On the 3,000 held-out
/// sentences and 2,026 odd ones (random characters of many scripts, marks, spaces) both agreed without exception.
#[test]
fn encoding_is_sentencepieces() {
    let tokeniser = tokeniser();
    let cases: [(&str, &[u32]); 7] = [
        (
            "Where is the train station?",
            &[275, 20, 19, 318, 2525, 8, 0],
        ),
        ("  two   spaces ", &[622, 5467, 4, 0]),
        (
            "ﬁne ﬃ Ⅷ ½",
            &[1379, 444, 131, 244, 612, 894, 894, 894, 1878, 7950, 1159, 0],
        ),
        ("a</s>b", &[9, 1, 2196, 4, 1, 194, 0]),
        ("😀 emoji", &[27, 1, 777, 23, 161, 2441, 244, 0]),
        ("日本語", &[27, 1, 0]),
        ("x\0y\u{a0}z", &[27, 547, 1, 88, 27, 136, 0]),
    ];
    for (text, ids) in cases {
        assert_eq!(tokeniser.encode(text, FRAME, ROOM).ids, ids, "{text:?}");
    }
}

#[test]
fn a_character_is_covered_if_its_normal_form_is_known() {
    let tokeniser = tokeniser();
    let coverage = tokeniser.coverage();
    for character in '\u{1}'..='\u{ffff}' {
        // No mark composes with a digit.
        let text = format!("1{character}1");
        let ids = tokeniser.encode(&text, FRAME, ROOM).ids;
        // A space mark is read as a space, and what is replaced by nothing is not read at all.
        let is_lost = character == '\u{2581}' || ids == tokeniser.encode("11", FRAME, ROOM).ids;
        let is_known = !ids.contains(&UNKNOWN) && !is_lost;
        assert_eq!(
            coverage.source.contains(character),
            is_known,
            "{character:?} {ids:?}"
        );
    }
    for character in "aé ﬁ½\u{a0}".chars() {
        assert!(coverage.contains(character), "{character:?}");
    }
    for character in "😀日\u{2581}\u{1}".chars() {
        assert!(!coverage.contains(character), "{character:?}");
    }
}

#[test]
fn the_language_token_comes_first_and_the_end_mark_survives_the_cut() {
    let tokeniser = tokeniser();
    let french = tokeniser.id(">>fr<<");
    assert!(french.is_some());
    let framed = Frame {
        first: french,
        ..FRAME
    };
    let whole = tokeniser.encode("Where is the train station?", framed, ROOM);
    assert!(!whole.is_cut());
    let cut = tokeniser.encode("Where is the train station?", framed, 4);
    assert!(cut.is_cut());
    assert_eq!(cut.tokens, whole.ids.len());
    assert_eq!(cut.ids[..3], whole.ids[..3]);
    assert_eq!(cut.ids[3..], [END]);
}

#[test]
fn the_space_before_a_french_question_mark_stays() {
    let tokeniser = tokeniser();
    let pieces = ["▁Où", "▁est", "▁la", "▁gare", "▁?", "</s>"];
    let ids = pieces.map(|piece| tokeniser.id(piece).unwrap());
    assert_eq!(tokeniser.decode(&ids), "Où est la gare ?");
}

#[test]
fn nothing_but_spaces_is_empty() {
    let tokeniser = tokeniser();
    for text in ["", "   ", "\u{a0}\n\t"] {
        let encoded = tokeniser.encode(text, FRAME, ROOM);
        assert!(encoded.empty, "{text:?}");
        assert_eq!(encoded.ids, [END]);
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Tokeniser::open(Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("reading /nowhere/source.spm: "),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_it(texts in prop::collection::vec(".*", 20), limit in 0_usize..20) {
        let tokeniser = tokeniser();
        for text in &texts {
            let encoded = tokeniser.encode(text, FRAME, limit);
            prop_assert!(encoded.ids.len() <= limit.max(1));
            prop_assert_eq!(encoded.ids.last(), Some(&END));
            let _ = tokeniser.decode(&encoded.ids);
        }
    }

    #[test]
    fn known_words_come_back_as_they_were(words in prop::collection::vec("[a-z]{1,8}", 1..12)) {
        let tokeniser = tokeniser();
        let text = words.join(" ");
        let encoded = tokeniser.encode(&text, FRAME, ROOM);
        prop_assume!(!encoded.ids.contains(&UNKNOWN));
        prop_assert_eq!(tokeniser.decode(&encoded.ids), text);
    }
}

/// A SentencePiece model of these pieces (text, kind), in its protobuf form.
fn spm(pieces: &[(&str, u8)], with_byte_fallback: bool) -> Vec<u8> {
    let mut file = Vec::new();
    for (text, kind) in pieces {
        let length = u8::try_from(text.len()).unwrap();
        let mut piece = [&[0x0a, length][..], text.as_bytes(), &[0x15]].concat();
        piece.extend((-1_f32).to_le_bytes());
        piece.extend([0x18, *kind]);
        file.extend([0x0a, u8::try_from(piece.len()).unwrap()]);
        file.extend(piece);
    }
    // Field 35 of the trainer's settings, whose key takes two bytes.
    let settings = [0x18, 1, 0x98, 0x02, u8::from(with_byte_fallback)];
    file.extend([0x12, u8::try_from(settings.len()).unwrap()]);
    file.extend(settings);
    file
}

#[test]
fn a_character_without_a_piece_is_spelt_in_bytes_where_the_model_does_so() {
    const NORMAL: u8 = 1;
    const CONTROL: u8 = 3;
    const BYTE: u8 = 6;
    let bytes = (0..=255)
        .map(|byte| format!("<0x{byte:02X}>"))
        .collect::<Vec<_>>();
    let mut pieces = vec![
        ("</s>", CONTROL),
        ("<unk>", CONTROL),
        ("▁", NORMAL),
        ("a", NORMAL),
    ];
    pieces.extend(bytes.iter().map(|piece| (piece.as_str(), BYTE)));
    let numbers = pieces
        .iter()
        .zip(0_u32..)
        .map(|((text, _), id)| format!("\"{text}\": {id}"));
    let vocabulary = format!("{{{}}}", numbers.collect::<Vec<_>>().join(", "));
    for with_byte_fallback in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
        write("source.spm", &spm(&pieces, with_byte_fallback)).unwrap();
        write("vocab.json", vocabulary.as_bytes()).unwrap();
        let tokeniser = Tokeniser::open(folder.path()).unwrap();
        let encoded = tokeniser.encode("aé", FRAME, ROOM);
        assert_eq!(
            tokeniser.coverage().source.contains('é'),
            with_byte_fallback
        );
        if with_byte_fallback {
            assert_eq!(encoded.ids, [2, 3, 4 + 0xc3, 4 + 0xa9, END]);
            assert_eq!(tokeniser.decode(&encoded.ids), "aé");
            let cut = tokeniser.encode("aé", FRAME, 4);
            assert_eq!((cut.tokens, cut.is_cut()), (5, true));
        } else {
            assert_eq!(encoded.ids, [2, 3, UNKNOWN, END]);
        }
    }
}
