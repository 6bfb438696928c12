//! What a folder or file is, if it is a model of a kind that cannot be imported.

use std::{
    fmt,
    fs::{self, File},
    io::Read,
    path::Path,
};

use crate::transformer::Layout;

/// The command that makes `model.safetensors` of a PyTorch checkpoint.
pub const CONVERT: &str = "python3 -c \"import sys; from transformers import AutoModelForSeq2SeqLM as M; \
    M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1], safe_serialization=True)\" FOLDER";
/// The command that makes one file of weights in several.
pub(super) const SINGLE: &str = "python3 -c \"import sys; from transformers import AutoModelForSeq2SeqLM as M; \
    M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1], safe_serialization=True, max_shard_size='99GB')\" FOLDER";

/// Largest configuration that is read.
const MAX_CONFIG: u64 = 1 << 20;
/// How a zip file begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// A kind of model that is known and not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    name: String,
    advice: String,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is {}: {}", self.name, self.advice)
    }
}

pub(super) fn kind(name: impl Into<String>, advice: impl Into<String>) -> Kind {
    Kind {
        name: name.into(),
        advice: advice.into(),
    }
}

/// Tells what cannot be imported, by its files and configuration. `None` for everything else, which may still not be a model.
#[must_use]
pub fn recognise(from: &Path) -> Option<Kind> {
    if from.is_file() {
        return file(from);
    }
    let has = |name: &str| from.join(name).is_file();
    if let Some(name) = model_type(from).filter(|name| Layout::of(name).is_none()) {
        let advice = "only the types marian (such as OPUS-MT), m2m_100 (M2M100 and NLLB) and mbart (mBART-50) are supported; for other languages fetch a Firefox model";
        return Some(kind(name, advice));
    }
    if has_old_mbart_tokenizer(from) {
        let advice = "it places language tokens differently from mBART-50, which is supported; import a model whose tokenizer_class is MBart50Tokenizer";
        return Some(kind("mBART-25", advice));
    }
    if has("model.safetensors") {
        return None;
    }
    if has("metadata.json") && from.join("model").is_dir() {
        let advice = "it has no model/model.bin; download it again";
        return Some(kind("an incomplete Argos package", advice));
    }
    if has("decoder.yml") || ends(from, &[".npz"]) {
        return Some(kind(
            "a Marian model as its trainer writes it",
            "convert it to Hugging Face form with transformers' convert_marian_to_pytorch.py, or fetch the converted one (hf:Helsinki-NLP/…)",
        ));
    }
    for (end, name) in [
        (".gguf", "a GGUF model for llama.cpp"),
        (".onnx", "an ONNX model"),
        ("tf_model.h5", "a TensorFlow checkpoint"),
        ("flax_model.msgpack", "a Flax checkpoint"),
    ] {
        if !has("pytorch_model.bin") && ends(from, &[end]) {
            let advice = "it is not supported; import model.safetensors of the same model";
            return Some(kind(name, advice));
        }
    }
    None
}

/// Whether the tokeniser is that of mBART-25, which puts the language after the text.
fn has_old_mbart_tokenizer(from: &Path) -> bool {
    let class = json(&from.join("tokenizer_config.json")).and_then(|config| {
        config
            .get("tokenizer_class")?
            .as_str()
            .map(ToOwned::to_owned)
    });
    class.is_some_and(|class| matches!(class.as_str(), "MBartTokenizer" | "MBartTokenizerFast"))
}

fn file(path: &Path) -> Option<Kind> {
    let mut start = Vec::new();
    let head = File::open(path)
        .ok()?
        .take(ZIP.len() as u64)
        .read_to_end(&mut start);
    let is_zip = head.is_ok() && start == ZIP;
    let end = path
        .extension()
        .and_then(|end| end.to_str())
        .unwrap_or_default();
    Some(match end {
        _ if is_zip => kind(
            "a zip file",
            "unpack it and import the folder; an Argos package must have the ending .argosmodel",
        ),
        "gz" | "tgz" | "zst" | "tar" | "xz" => {
            kind("a packed file", "unpack it and import the folder")
        }
        "bin" | "pt" | "pth" => kind(
            "a PyTorch .bin checkpoint or the weights of a Firefox model",
            format!("import its folder; a checkpoint must be converted first: {CONVERT}"),
        ),
        _ => kind("a file", "name the folder of the model"),
    })
}

/// `model_type` of a folder's `config.json`, if it can be shown.
#[must_use]
pub fn model_type(from: &Path) -> Option<String> {
    let config = json(&from.join("config.json"))?;
    let name = config.get("model_type")?.as_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (name.len() <= 64 && name.chars().all(is_plain)).then(|| name.to_owned())
}

fn json(path: &Path) -> Option<serde_json::Value> {
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_CONFIG).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn ends(from: &Path, ends: &[&str]) -> bool {
    let entries = fs::read_dir(from).into_iter().flatten().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| ends.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a folder with these files.
    fn said(files: &[(&str, &str)]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        recognise(folder.path()).map(|kind| kind.to_string())
    }

    #[test]
    fn kinds_of_folders_are_named() {
        let weights = ("model.safetensors", "");
        for (files, part) in [
            (
                &[("config.json", r#"{"model_type": "t5"}"#), weights][..],
                "this is t5",
            ),
            (
                &[
                    ("config.json", r#"{"model_type": "mbart"}"#),
                    (
                        "tokenizer_config.json",
                        r#"{"tokenizer_class": "MBartTokenizer"}"#,
                    ),
                ],
                "this is mBART-25",
            ),
            (
                &[("metadata.json", "{}"), ("model/config.json", "")],
                "an incomplete Argos package",
            ),
            (&[("decoder.yml", "")], "as its trainer writes it"),
            (&[("x.gguf", "")], "llama.cpp"),
            (&[("tf_model.h5", "")], "TensorFlow"),
        ] {
            let said = said(files);
            assert!(
                said.as_ref().is_some_and(|said| said.contains(part)),
                "{part}: {said:?}"
            );
        }
    }

    #[test]
    fn folders_of_supported_types_and_unknown_ones_are_left_to_the_importer() {
        assert_eq!(said(&[]), None);
        for kind in ["marian", "m2m_100", "mbart"] {
            let config = format!(r#"{{"model_type": "{kind}"}}"#);
            let files = [
                ("config.json", config.as_str()),
                ("model.safetensors", ""),
                ("pytorch_model.bin", ""),
            ];
            assert_eq!(said(&files), None);
        }
        assert_eq!(said(&[("config.json", "not JSON")]), None);
        assert_eq!(
            said(&[("config.json", r#"{"model_type": "\u001b[2J"}"#)]),
            None
        );
    }

    #[test]
    fn files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, part) in [
            ("x", ZIP, "a zip file"),
            ("pytorch_model.bin", b"PK", "PyTorch .bin checkpoint"),
            ("model.bin.zst", b"", "a packed file"),
            ("model.toml", b"", "a file"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let said = recognise(&path).map(|kind| kind.to_string());
            assert!(
                said.as_ref().is_some_and(|said| said.contains(part)),
                "{said:?}"
            );
        }
    }
}
