//! Random networks translate as the library does.

use std::{fs, path::PathBuf};

use fxtranslate::{engine::Engine, shortlist::Shortlist};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Generated, Network};
use crate::linear::Kernel;

const WIDTH: usize = 32;
const INNER: usize = 64;
const TOKENS: usize = 48;
/// Largest weight: the sums of the vector kernel overflow only above.
const LARGEST: u64 = 60;

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Between −1 and 1.
    fn unit(&mut self) -> f32 {
        self.below(2_001) as f32 / 1_000.0 - 1.0
    }
}

const FLOAT32: u64 = 0x404;
const INTGEMM8: u64 = 0x4101;
const BYTES: u64 = 0x101;

/// A file of weights in the making.
struct Weights {
    random: Random,
    arrays: Vec<(String, u64, Vec<i32>, Vec<u8>)>,
}

impl Weights {
    fn floats(&mut self, name: &str, values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        let shape = vec![1, i32::try_from(values.len()).unwrap()];
        self.arrays
            .push((name.to_owned(), FLOAT32, shape, bytes.collect()));
    }

    fn random_floats(&mut self, name: &str, count: usize, around: f32) {
        let values = (0..count).map(|_| around + 0.2 * self.random.unit());
        let values = values.collect::<Vec<_>>();
        self.floats(name, &values);
    }

    fn matrix(&mut self, name: &str, first: usize, second: usize) {
        let weight = |random: &mut Random| random.below(2 * LARGEST + 1) as i64 - LARGEST as i64;
        let bytes = (0..first * second).map(|_| weight(&mut self.random) as u8);
        let mut bytes = bytes.collect::<Vec<_>>();
        bytes.extend((300.0_f32 + 50.0 * self.random.unit()).to_le_bytes());
        let shape = [first, second].map(|size| i32::try_from(size).unwrap());
        self.arrays
            .push((name.to_owned(), INTGEMM8, shape.to_vec(), bytes));
    }

    fn linear(&mut self, name: &str, bias: Option<&str>, inputs: usize, outputs: usize) {
        self.matrix(name, inputs, outputs);
        self.floats(&format!("{name}_QuantMultA"), &[40.0]);
        if let Some(bias) = bias {
            self.random_floats(bias, outputs, 0.0);
        }
    }

    fn norm(&mut self, name: &str) {
        self.random_floats(&format!("{name}_ln_scale"), WIDTH, 1.0);
        self.random_floats(&format!("{name}_ln_bias"), WIDTH, 0.0);
    }

    fn attention(&mut self, name: &str) {
        for part in ["q", "k", "v", "o"] {
            let bias = format!("{name}_b{part}");
            self.linear(&format!("{name}_W{part}"), Some(&bias), WIDTH, WIDTH);
        }
        self.norm(&format!("{name}_Wo"));
    }

    fn feed_forward(&mut self, name: &str) {
        let bias = |number| format!("{name}_b{number}");
        self.linear(&format!("{name}_W1"), Some(&bias(1)), WIDTH, INNER);
        self.linear(&format!("{name}_W2"), Some(&bias(2)), INNER, WIDTH);
        self.norm(&format!("{name}_ffn"));
    }

    fn all(seed: u64, shared: bool) -> Vec<u8> {
        let mut weights = Self {
            random: Random(seed),
            arrays: Vec::new(),
        };
        if shared {
            weights.matrix("Wemb", TOKENS, WIDTH);
            weights.floats("none_QuantMultA", &[40.0]);
        } else {
            weights.matrix("encoder_Wemb", TOKENS, WIDTH);
            weights.matrix("decoder_Wemb", TOKENS, WIDTH);
            let scalar = [&[127_u8][..], &3.2_f32.to_le_bytes()].concat();
            let name = "decoder_Wemb_QuantMultA".to_owned();
            weights.arrays.push((name, INTGEMM8, vec![1, 1], scalar));
        }
        weights.random_floats("decoder_ff_logit_out_b", TOKENS, 0.0);
        for layer in 1..=2 {
            weights.attention(&format!("encoder_l{layer}_self"));
            weights.feed_forward(&format!("encoder_l{layer}_ffn"));
            let memory = format!("decoder_l{layer}_rnn");
            weights.linear(&format!("{memory}_W"), None, WIDTH, WIDTH);
            let bias = format!("{memory}_bf");
            weights.linear(&format!("{memory}_Wf"), Some(&bias), WIDTH, WIDTH);
            weights.norm(&format!("{memory}_ffn"));
            weights.attention(&format!("decoder_l{layer}_context"));
            weights.feed_forward(&format!("decoder_l{layer}_ffn"));
        }
        let text = format!(
            "dec-depth: 2\ndim-emb: {WIDTH}\nenc-depth: 2\ntransformer-dim-ffn: {INNER}\ntransformer-heads: 4\n"
        );
        let shape = vec![i32::try_from(text.len()).unwrap()];
        let array = ("special:model.yml".to_owned(), BYTES, shape, text.into());
        weights.arrays.push(array);
        weights.file()
    }

    fn file(self) -> Vec<u8> {
        let mut file = Vec::new();
        let number = |number: usize| (number as u64).to_le_bytes();
        file.extend(number(1));
        file.extend(number(self.arrays.len()));
        for (name, kind, shape, data) in &self.arrays {
            file.extend(number(name.len() + 1));
            file.extend(kind.to_le_bytes());
            file.extend(number(shape.len()));
            file.extend(number(data.len()));
        }
        for (name, ..) in &self.arrays {
            file.extend(name.bytes().chain([0]));
        }
        for (_, _, shape, _) in &self.arrays {
            file.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
        }
        file.extend(number(0));
        for (.., data) in self.arrays {
            file.extend(data);
        }
        file
    }
}

/// A vocabulary of as many tokens as the network has.
fn vocabulary() -> Vec<u8> {
    let pieces = (0..TOKENS).map(|token| match token {
        0 => ("</s>".to_owned(), 3),
        1 => ("<unk>".to_owned(), 2),
        token => (format!("\u{2581}w{token}"), 1),
    });
    let pieces = pieces.flat_map(|(piece, kind)| {
        let length = u8::try_from(piece.len()).unwrap();
        let message = [&[0x0A, length], piece.as_bytes(), &[0x18, kind]].concat();
        [vec![0x0A, u8::try_from(message.len()).unwrap()], message].concat()
    });
    pieces.collect()
}

/// For each source token, the five after it.
fn shortlist() -> Vec<u8> {
    let after = |token: usize| (1..=5).map(move |step| ((token + step) % TOKENS) as u32);
    let header = [0xF11A_48D5_0134_17F5, 0, 4, 5, TOKENS + 1, 5 * TOKENS];
    let offsets = (0..=TOKENS).map(|token| 5 * token);
    let numbers = header.into_iter().chain(offsets);
    let entries = (0..TOKENS).flat_map(after);
    let bytes = numbers.flat_map(|number| (number as u64).to_le_bytes());
    bytes.chain(entries.flat_map(u32::to_le_bytes)).collect()
}

/// A random model in files.
struct Files {
    _folder: TempDir,
    weights: PathBuf,
    source: PathBuf,
    target: PathBuf,
}

impl Files {
    fn new(seed: u64, shared: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: Vec<u8>| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let source = write("source.spm", vocabulary());
        Self {
            weights: write("model.bin", Weights::all(seed, shared)),
            target: match shared {
                true => source.clone(),
                false => write("target.spm", vocabulary()),
            },
            source,
            _folder: folder,
        }
    }

    fn library(&self, restricted: bool) -> Engine {
        let engine = Engine::load(&self.weights, &self.source, &self.target).unwrap();
        match restricted {
            true => engine.with_shortlist_bytes(&shortlist()),
            false => engine,
        }
    }

    fn network(&self, restricted: bool, kernel: Kernel) -> Network {
        let shortlist = restricted.then(|| Shortlist::from_bytes(&shortlist()));
        Network::open(&self.weights, shortlist, kernel, 64).unwrap()
    }
}

fn translate(network: &Network, source: &[u32]) -> Generated {
    network.translate(source, 0, 2 * source.len() + 4, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_network_writes_what_the_library_writes(
        seed: u64,
        shared: bool,
        restricted: bool,
        mut source in prop::collection::vec(1_u32..TOKENS as u32, 1..25),
    ) {
        source.push(0);
        let files = Files::new(seed, shared);
        let expected = files.library(restricted).greedy(&source);
        let [vector, scalar] = [Kernel::Vector, Kernel::Scalar]
            .map(|kernel| translate(&files.network(restricted, kernel), &source));
        prop_assert_eq!(&vector.tokens, &expected);
        prop_assert_eq!(&vector, &scalar);
        prop_assert!(vector.log_probability < 0.0);
    }

    #[test]
    fn attention_is_the_librarys_and_changes_nothing(
        seed: u64,
        restricted: bool,
        words in prop::collection::vec(2_usize..TOKENS, 1..12),
    ) {
        let files = Files::new(seed, true);
        let text = words.iter().map(|word| format!("w{word} ")).collect::<String>();
        let library = files.library(restricted);
        let source = library.src_ids(&text);
        let aligned = library.translate_aligned(&text);
        let network = files.network(restricted, Kernel::Vector);
        let mut attention = Vec::new();
        let most = 2 * source.len() + 4;
        let generated = network.translate(&source, 0, most, Some(&mut attention));
        prop_assert_eq!(&generated, &translate(&network, &source));
        let expected = aligned.alignments.concat();
        prop_assert_eq!(attention.len(), expected.len());
        for (ours, theirs) in attention.iter().zip(expected) {
            prop_assert!((ours - theirs).abs() < 1e-4, "{} {}", ours, theirs);
        }
    }

    #[test]
    fn the_score_is_that_of_the_librarys_own_output_layer(seed: u64, token in 2_u32..TOKENS as u32) {
        let files = Files::new(seed, true);
        let library = files.library(false);
        let source = [token, 0];
        let context = library.encode(&source);
        let mut cells = vec![vec![0.0; WIDTH]; 3];
        let top = library.decode_step(0, 0, &context, source.len(), &mut cells);
        let logits = library.project(&top);
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
        let network = files.network(false, Kernel::Vector);
        let generated = network.translate(&source, u32::MAX, 1, None);
        prop_assert!((generated.log_probability + f64::from(sum.ln())).abs() < 1e-4);
    }
}

#[test]
fn missing_parameters_are_named() {
    let files = Files::new(1, true);
    let whole = fs::read(&files.weights).unwrap();
    for (name, other) in [
        ("encoder_l1_self_Wq", "encoder_l1_self_Xq"),
        ("decoder_l2_rnn_bf", "decoder_l2_rnn_xf"),
        ("none_QuantMultA", "nine_QuantMultA"),
        ("special:model.yml", "special:model.yaX"),
    ] {
        let mut changed = whole.clone();
        let mut places = whole.windows(name.len()).enumerate();
        let (place, _) = places.find(|(_, bytes)| *bytes == name.as_bytes()).unwrap();
        changed[place..place + name.len()].copy_from_slice(&other.as_bytes()[..name.len()]);
        fs::write(&files.weights, changed).unwrap();
        let error = Network::open(&files.weights, None, Kernel::Scalar, 64)
            .err()
            .unwrap();
        assert!(error.contains("it has no "), "{name}: {error}");
    }
}
