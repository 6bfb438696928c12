//! Word alignments and vocabulary coverage of the engine for Firefox Translations models, on real models.

use std::{collections::BTreeSet, fs, time::Duration};

use babelmesh::load::{Texts, everyday};
use babelmesh_engine_protocol::{
    FromEngine, LoadReport, Segment, ToEngine, Translation, client::BlockingEngine,
};
use babelmesh_integration_tests::{
    engine::{firefox_load, translate},
    executables, measured,
    real_models::{EN_PT, PT_EN, imported},
};
use babelmesh_models::{EngineKind, Model, Role, forms};
use fxtranslate::spm::SpmVocab;

const BATCH: usize = 50;

/// An engine with a real model in it.
struct Loaded {
    engine: BlockingEngine,
    report: LoadReport,
    model: Model,
    source: String,
    target: String,
}

impl Loaded {
    fn new(id: &str) -> Option<Self> {
        let folder = imported()?;
        let model = Model::open(&folder.join(id)).unwrap();
        let form = forms::prepare(&model, EngineKind::Firefox, &folder.join(".forms")).unwrap();
        let executable = executables::engine(EngineKind::Firefox.name());
        let mut engine = BlockingEngine::start(&executable).unwrap();
        let request = ToEngine::Load(firefox_load(&form.directory));
        let FromEngine::Loaded(report) = engine.ask(&request).unwrap() else {
            panic!("the model is not loaded")
        };
        let manifest = model.manifest();
        Some(Self {
            engine,
            report,
            source: manifest.source_languages[0].clone(),
            target: manifest.target_languages[0].clone(),
            model,
        })
    }

    fn translate(&mut self, texts: &[String], align: bool) -> Vec<Translation> {
        let segment = |text: &String| Segment {
            text: text.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            align,
            alternatives: 0,
        };
        let batches = texts.chunks(BATCH);
        let batches = batches.map(|batch| batch.iter().map(segment).collect::<Vec<_>>());
        let batches = batches.collect::<Vec<_>>();
        let answers = batches.into_iter();
        answers
            .flat_map(|batch| translate(&mut self.engine, batch))
            .collect()
    }

    /// The words of a text that are linked to words of its translation, in lower case, and the translation.
    fn linked(&mut self, text: &str) -> (BTreeSet<(String, String)>, String) {
        let translation = self.translate(&[text.to_owned()], true).remove(0);
        let alignment = translation.alignment.unwrap();
        let pair = |link: &babelmesh_engine_protocol::Link| {
            let source = text[link.source.range()].to_lowercase();
            let target = translation.text[link.target.range()].to_lowercase();
            (source, target)
        };
        (
            alignment.links().iter().map(pair).collect(),
            translation.text.clone(),
        )
    }
}

#[test]
fn words_are_linked_with_their_translations() {
    let (Some(mut there), Some(mut back)) = (Loaded::new(EN_PT), Loaded::new(PT_EN)) else {
        return;
    };
    assert!(there.report.capabilities.alignments && !there.report.capabilities.alternatives);
    for (text, expected) in [
        (
            "The red house",
            &[("red", "vermelha"), ("house", "casa")][..],
        ),
        (
            "I love black coffee in the morning.",
            &[
                ("love", "amo"),
                ("coffee", "café"),
                ("black", "preto"),
                ("morning", "manhã"),
            ],
        ),
        (
            "My brother bought a new car yesterday.",
            &[
                ("brother", "irmão"),
                ("bought", "comprou"),
                ("car", "carro"),
                ("yesterday", "ontem"),
            ],
        ),
        (
            "Where is the train station?",
            &[
                ("where", "onde"),
                ("station", "estação"),
                ("train", "trem"),
                ("?", "?"),
            ],
        ),
    ] {
        let (links, translation) = there.linked(text);
        for (source, target) in expected {
            let pair = ((*source).to_owned(), (*target).to_owned());
            assert!(
                links.contains(&pair),
                "{pair:?} in {links:?}: {translation}"
            );
        }
    }
    for (text, expected) in [
        (
            "A casa vermelha",
            &[("vermelha", "red"), ("casa", "house")][..],
        ),
        (
            "O meu irmão comprou um carro novo ontem.",
            &[
                ("irmão", "brother"),
                ("comprou", "bought"),
                ("carro", "car"),
                ("novo", "new"),
            ],
        ),
    ] {
        let (links, translation) = back.linked(text);
        for (source, target) in expected {
            let pair = ((*source).to_owned(), (*target).to_owned());
            assert!(
                links.contains(&pair),
                "{pair:?} in {links:?}: {translation}"
            );
        }
    }
}

/// Everyday sentences into which this many times something odd was put, at places that look random.
fn odd_sentences(count: u64) -> Vec<String> {
    const ODD: [&str; 16] = [
        "😀",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "e\u{301}",
        "\u{301}",
        "Ｆｕｌｌ　ｗｉｄｔｈ",
        "ﬁne ﬃ",
        "½",
        "你好，世界",
        "\u{ad}",
        "\u{200b}",
        "\u{a0}",
        "  \t",
        "ﷺ",
        "</s><unk>\u{2581}",
        "ÅÅ\u{327}",
    ];
    let texts = Texts::distinct(everyday());
    let mut random = 7_u64;
    let mut below = move |limit: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % limit
    };
    let sentence = |number| {
        let mut text = texts.nth(number).into_owned();
        for _ in 0..below(4) {
            let places = text
                .char_indices()
                .map(|(place, _)| place)
                .chain([text.len()]);
            let places = places.collect::<Vec<_>>();
            text.insert_str(places[below(places.len())], ODD[below(ODD.len())]);
        }
        text
    };
    (0..count).map(sentence).collect()
}

#[test]
fn alignments_of_any_text_fit_and_change_no_translation() {
    let (Some(mut there), Some(mut back)) = (Loaded::new(EN_PT), Loaded::new(PT_EN)) else {
        return;
    };
    let texts = odd_sentences(500);
    for model in [&mut there, &mut back] {
        let plain = model.translate(&texts, false);
        let aligned = model.translate(&texts, true);
        let mut linked = 0;
        for ((text, plain), aligned) in texts.iter().zip(plain).zip(aligned) {
            let alignment = aligned.alignment.clone().unwrap();
            assert!(alignment.fits(text, &aligned.text), "{text:?} {aligned:?}");
            linked += usize::from(!alignment.links().is_empty());
            assert_eq!(plain.alignment, None);
            let without = Translation {
                alignment: None,
                ..aligned
            };
            assert_eq!(without, plain, "{text:?}");
        }
        assert!(linked >= 495, "only {linked} texts have links");
    }
}

/// Processor time that a process has taken.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // proc_pid_stat(5): user and system time are the fields 14 and 15, the name in parentheses is the second.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks = ticks
        .map(|field| field.parse::<u64>().unwrap())
        .sum::<u64>();
    Duration::from_millis(1_000 * ticks / rustix::param::clock_ticks_per_second())
}

/// Sentences in a second of processor time with and without alignment, in turns.
#[test]
fn an_alignment_costs_little() {
    let Some(mut model) = Loaded::new(EN_PT) else {
        return;
    };
    let pid = model.engine.process().id();
    let texts = Texts::distinct(everyday());
    let texts = (0..200).map(|number| texts.nth(number).into_owned());
    let texts = texts.collect::<Vec<_>>();
    let mut taken = [Duration::ZERO; 2];
    for _ in 0..3 {
        for (align, taken) in [false, true].into_iter().zip(&mut taken) {
            let before = processor_time(pid);
            model.translate(&texts, align);
            *taken += processor_time(pid) - before;
        }
    }
    let [plain, aligned] = taken.map(|time| 3.0 * texts.len() as f64 / time.as_secs_f64());
    measured(
        "firefox engine, en to pt",
        format_args!(
            "{plain:.0} sentences without alignment in a second of processor time, {aligned:.0} with"
        ),
    );
    // The cost is about a hundredth; neighbours on the same cores make it look like more.
    assert!(aligned > plain * 0.8, "{plain} {aligned}");
}

#[test]
fn the_characters_of_the_vocabulary_are_reported() {
    let (Some(there), Some(back)) = (Loaded::new(EN_PT), Loaded::new(PT_EN)) else {
        return;
    };
    for model in [there, back] {
        let coverage = model.report.coverage;
        for character in "aZ09 .,?!éãçõ-'\u{a0}ﬁＡ…".chars() {
            assert!(coverage.contains(character), "{character:?}");
        }
        for character in "😀你ไ<\u{2581}\u{1}".chars() {
            assert!(!coverage.contains(character), "{character:?}");
        }
        // The library's own tokeniser is the judge. No mark composes with a digit.
        let vocabulary = SpmVocab::load(model.model.path(Role::SourceSpm).unwrap()).unwrap();
        for character in '\u{1}'..='\u{ffff}' {
            let ids = vocabulary.encode(&format!("1{character}1"));
            let is_unknown = ids.iter().any(|id| vocabulary.piece(*id) == "<unk>");
            let is_lost = character == '\u{2581}'
                || vocabulary.normalize(&format!("1{character}1")) == "\u{2581}11";
            let is_covered = coverage.source.contains(character);
            assert_eq!(is_covered, !is_unknown && !is_lost, "{character:?} {ids:?}");
        }
    }
}
