//! The expected numbers are those of sacrebleu 2.6.0.

use proptest::prelude::*;

use super::*;

fn scores<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> (f64, f64) {
    let mut counts = Counts::default();
    for (translation, reference) in pairs {
        counts.add(translation, reference);
    }
    (counts.bleu(), counts.chrf())
}

#[track_caller]
fn assert_scores(pairs: &[(&str, &str)], bleu: f64, chrf: f64) {
    let (found_bleu, found_chrf) = scores(pairs.iter().copied());
    assert!(
        (found_bleu - bleu).abs() < 1e-9,
        "BLEU {found_bleu}, not {bleu}"
    );
    assert!(
        (found_chrf - chrf).abs() < 1e-9,
        "chrF {found_chrf}, not {chrf}"
    );
}

#[test]
fn small_corpora_have_the_scores_of_sacrebleu() {
    let english = [
        ("The cat sat on the mat.", "The cat is sitting on the mat."),
        ("It's 3.5% -- isn't it?", "It is 3.5 %, isn't it?"),
        ("Hello, world!", "Hello world!"),
    ];
    assert_scores(&english, 30.992775343630107, 54.525665580469074);
    let entities = [
        (
            "Bonjour &quot;monde&quot; &amp; tous",
            "Bonjour \"monde\" & tous",
        ),
        ("Le prix est de 1,000.50 €", "Le prix est de 1,000.5 €"),
        ("2020-2021", "2020 - 2021"),
    ];
    assert_scores(&entities, 79.69020619104462, 71.50998886683043);
    let asian = [("你好 世界", "你好世界"), ("こんにちは", "こんばんは")];
    assert_scores(&asian, 0.0, 41.65079365079365);
    assert_scores(&[("a b", "a c")], 0.0, 25.0);
    assert_scores(&[("", "x y z"), ("", "w")], 0.0, 0.0);
    assert_scores(&[("completely different", "xyz")], 0.0, 5.376344086021505);
    let long = "much longer hypothesis than the reference has got";
    assert_scores(
        &[(long, "the reference")],
        11.044795567078939,
        61.104777628247064,
    );
    let reference = "a much longer reference sentence than the short hypothesis";
    assert_scores(&[("short", reference)], 0.0, 7.593522771097885);
}

/// A corpus of 300 sentences out of words that are hard to cut; sacrebleu's numbers are those of the same generator in Python.
#[test]
fn a_large_corpus_has_the_scores_of_sacrebleu() {
    let words: Vec<_> =
        "the of cat, dog. 3.14 1,000 house-boat it's (yes) no! 5-6 État naïve 漢字 & <b> /path x_y ~ \" end".split(' ').collect();
    let mut state = 42_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut corpus = Vec::new();
    for _ in 0..300 {
        let length = next() % 20;
        let reference: Vec<_> = (0..length).map(|_| words[next() % words.len()]).collect();
        let mut translation = Vec::new();
        for word in &reference {
            if next() % 10 == 0 {
                continue;
            }
            translation.push(if next() % 5 == 0 {
                words[next() % words.len()]
            } else {
                word
            });
        }
        corpus.push((translation.join(" "), reference.join(" ")));
    }
    let (bleu, chrf) = scores(corpus.iter().map(|(a, b)| (a.as_str(), b.as_str())));
    assert!((bleu - 58.2590479948237).abs() < 1e-9, "{bleu}");
    assert!((chrf - 64.11242099766513).abs() < 1e-9, "{chrf}");
}

#[test]
fn texts_are_cut_as_13a_cuts_them() {
    for (text, cut) in [
        (
            "a,b.c 1,000.5, 3-4 (x) &quot;q&quot; e-mail <skipped> end.",
            "a , b . c 1,000.5 , 3 - 4 ( x ) \" q \" e-mail end .",
        ),
        ("..,,", ". . , ,"),
        (".5.", ". 5 ."),
        ("1.,2", "1 . , 2"),
        ("-\nx", "x"),
    ] {
        assert_eq!(tokens(text).join(" "), cut);
    }
}

proptest! {
    #[test]
    fn scores_are_between_0_and_100_and_equal_texts_have_100(a in ".{0,60}", b in ".{0,60}") {
        let (bleu, chrf) = scores([(a.as_str(), b.as_str())]);
        prop_assert!((0.0..=100.0 + 1e-9).contains(&bleu) && (0.0..=100.0 + 1e-9).contains(&chrf));
        if tokens(&a).len() >= BLEU_ORDER {
            let (bleu, chrf) = scores([(a.as_str(), a.as_str())]);
            prop_assert!((bleu - 100.0).abs() < 1e-9 && (chrf - 100.0).abs() < 1e-9);
        }
    }
}
