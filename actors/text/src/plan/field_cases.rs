//! What backends and people send, as reported in the field: for each, what must stay and what must
//! be translated, whatever the model does.

mod cases;

use super::{Profile, fake::*};
use crate::format::Format::{Html, Markdown, Text};
use cases::CASES;

/// Words that no fake model changes.
fn profile(alignments: bool, stand_ins: bool) -> Profile {
    Profile {
        alignments,
        stand_ins: if stand_ins {
            vec!["XQ7".into(), "XQ8".into(), "XQ9".into()]
        } else {
            Vec::new()
        },
        ..Profile::default()
    }
}

#[test]
fn what_must_stay_stays_with_every_model() {
    let mut failed = Vec::new();
    for (format, message, kept, _) in CASES {
        for fake in Fake::ALL {
            for (alignments, stand_ins) in [(true, true), (true, false), (false, false)] {
                let profile = profile(alignments, stand_ins);
                let (output, _) = translate(message, *format, &profile, |text| {
                    fake.answer(text, alignments)
                });
                for kept in *kept {
                    // Models may order tokens and marks in another way, but not change them.
                    let is_same = output.matches(kept).count() == message.matches(kept).count()
                        || fake == Fake::Reversing && !kept.contains(' ') && output.contains(kept);
                    // An entity is a character, which a model may drop.
                    let is_character = kept.starts_with('&');
                    if !is_same
                        && fake != Fake::Reversing
                        && !(is_character && matches!(fake, Fake::Dropping | Fake::Doubling))
                    {
                        failed.push(format!("{fake:?} {alignments} {stand_ins}: {kept:?} of {message:?} in {output:?}"));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn what_is_prose_is_translated() {
    let mut failed = Vec::new();
    for (format, message, _, translated) in CASES {
        for alignments in [true, false] {
            let profile = profile(alignments, true);
            let (output, _) = translate(message, *format, &profile, |text| {
                Fake::Upper.answer(text, alignments)
            });
            for word in *translated {
                if !output.contains(&word.to_uppercase()) {
                    failed.push(format!(
                        "{alignments} {word:?} of {message:?} in {output:?}"
                    ));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn sentences_with_tokens_are_translated_whole() {
    for (message, seen) in [
        (
            "Run v1.2.3 on @ana's box (see https://a.io/b?c.d) today.",
            "Run v1.2.3 on @ana's box (see https://a.io/b?c.d) today.",
        ),
        (
            "I met Mr. Smith at 5 p.m. today",
            "I met Mr. Smith at 5 p.m. today",
        ),
    ] {
        let mut texts = Vec::new();
        let _ = translate(message, Text, &profile(true, true), |text| {
            texts.push(text.to_owned());
            Fake::Upper.answer(text, true)
        });
        assert_eq!(texts, [seen]);
    }
    let mut texts = Vec::new();
    let html = "<p>A line\n   that is <b>wrapped</b>, and a soft&shy;ly bro<wbr>ken word.</p>";
    let (output, _) = translate(html, Html, &profile(true, true), |text| {
        texts.push(text.to_owned());
        Fake::Upper.answer(text, true)
    });
    assert_eq!(texts, ["A line that is wrapped, and a softly broken word."]);
    assert!(
        output.contains("<b>WRAPPED</b>") && output.contains("<wbr>"),
        "{output}"
    );
}

#[test]
fn long_things_cost_little() {
    let uri = format!(
        "Look: ![dot](data:image/png;base64,{}) Nice dog.",
        "iVBORw0KGgo".repeat(2_000)
    );
    for format in [Markdown, Text] {
        let mut sent = 0;
        let (output, _) = translate(&uri, format, &profile(true, true), |text| {
            sent += text.len();
            Fake::Upper.answer(text, true)
        });
        assert!(output.contains(&"iVBORw0KGgo".repeat(2_000)) && output.contains("NICE DOG"));
        assert!(sent < 100, "{sent}");
    }
    for message in [
        "word ".repeat(20_000),
        "a".repeat(50_000),
        "Hi. ".repeat(10_000),
        "\n".repeat(5_000),
        "👩‍👩‍👧".repeat(20_000),
    ] {
        let (output, _) = translate(&message, Text, &profile(true, true), |text| {
            Fake::PigLatin.answer(text, true)
        });
        assert!(output.len() >= message.trim_end().len());
    }
}
