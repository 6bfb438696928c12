//! `model.toml`: the manifest of a model folder.

mod endpoint;
mod reading;

use std::{collections::BTreeMap, fmt};

use babelmesh_domain::ConfidenceCurve;
use serde::{Deserialize, Serialize, Serializer};

pub use endpoint::{Endpoint, PLACEHOLDERS, Piece, pieces};
pub(crate) use reading::{is_id, is_language};

/// Name of the manifest in a model folder.
pub const FILE_NAME: &str = "model.toml";

/// Place of the source language in [`Manifest::language_token`] and [`Manifest::target_token`].
pub const SOURCE_PLACEHOLDER: &str = "{source}";
/// Place of the target language in [`Manifest::language_token`] and [`Manifest::target_token`].
pub const TARGET_PLACEHOLDER: &str = "{target}";

/// A checked `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// Unique name: lower-case letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Description of the model.
    pub description: String,
    /// Network architecture.
    pub architecture: Architecture,
    /// Languages it reads.
    pub source_languages: Vec<String>,
    /// Languages it writes.
    pub target_languages: Vec<String>,
    /// Quality tier.
    pub tier: Tier,
    /// Licence of the weights.
    pub licence: String,
    /// Attribution required by the licence.
    pub attribution: String,
    /// The source's first token, `{source}` and `{target}` standing for the languages; none where the model has
    /// one pair only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_token: Option<String>,
    /// The token that a translation must begin with, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_token: Option<String>,
    /// Whether a source ends with an end mark.
    #[serde(skip_serializing_if = "is_true")]
    pub source_end: bool,
    /// How the model spells languages in its tokens, where that is not their tag.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub language_codes: BTreeMap<String, String>,
    /// Longest texts.
    pub limits: Limits,
    /// How the confidence of its translations is calibrated; `None` where it was not measured.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "calibration"
    )]
    pub confidence: Option<ConfidenceCurve>,
    /// The server that translates, of an `openai` model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Files of the folder by their role.
    pub files: BTreeMap<Role, FileEntry>,
}

/// The section of a curve.
#[expect(clippy::ref_option, reason = "serde asks for it")]
fn calibration<S: Serializer>(curve: &Option<ConfidenceCurve>, to: S) -> Result<S::Ok, S::Error> {
    let points = curve.as_ref().map(ConfidenceCurve::points);
    BTreeMap::from([("curve", points.unwrap_or_default())]).serialize(to)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_true(flag: &bool) -> bool {
    *flag
}

/// Network architecture of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Marian encoder and decoder, as the OPUS-MT models have it.
    Marian,
    /// M2M100: many languages to many.
    #[serde(rename = "m2m_100")]
    M2m100,
    /// NLLB-200: many languages to many.
    Nllb,
    /// mBART-50: many languages to many.
    Mbart,
    /// A model that was converted for CTranslate2, such as those in Argos packages. The network is known to that library only.
    Ctranslate2,
    /// Student model of Firefox Translations and Bergamot: 8-bit weights, a transformer as encoder and an SSRU as decoder.
    Firefox,
    /// A language model behind an OpenAI-compatible endpoint. The folder has no files but the manifest.
    Openai,
}

impl Architecture {
    const ALL: [Self; 7] = [
        Self::Marian,
        Self::M2m100,
        Self::Nllb,
        Self::Mbart,
        Self::Ctranslate2,
        Self::Firefox,
        Self::Openai,
    ];

    /// The files that every model of this architecture has.
    #[must_use]
    pub const fn required_roles(self) -> &'static [Role] {
        match self {
            Self::Marian | Self::M2m100 | Self::Nllb | Self::Mbart => &[
                Role::Weights,
                Role::Config,
                Role::SourceSpm,
                Role::TargetSpm,
                Role::Vocab,
            ],
            Self::Ctranslate2 | Self::Firefox => &[Role::Weights, Role::SourceSpm, Role::TargetSpm],
            Self::Openai => &[],
        }
    }

    /// Optional files of a model of this architecture.
    #[must_use]
    pub const fn optional_roles(self) -> &'static [Role] {
        match self {
            Self::Marian | Self::M2m100 | Self::Nllb | Self::Mbart | Self::Openai => &[],
            Self::Ctranslate2 => &[
                Role::Config,
                Role::Vocab,
                Role::SourceVocab,
                Role::TargetVocab,
            ],
            Self::Firefox => &[Role::Shortlist],
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Marian => "marian",
            Self::M2m100 => "m2m_100",
            Self::Nllb => "nllb",
            Self::Mbart => "mbart",
            Self::Ctranslate2 => "ctranslate2",
            Self::Firefox => "firefox",
            Self::Openai => "openai",
        })
    }
}

/// Quality tier, as requests name it in `modelType`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Small and fast.
    #[default]
    Basic,
    /// Between the two.
    Medium,
    /// Large and good.
    Premium,
}

impl Tier {
    /// Every tier, the smallest first.
    pub const ALL: [Self; 3] = [Self::Basic, Self::Medium, Self::Premium];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Medium => "medium",
            Self::Premium => "premium",
        })
    }
}

/// Longest texts a model takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Longest source in tokens, language token and end mark included.
    pub max_input_tokens: u32,
    /// Longest translation in tokens.
    pub max_output_tokens: u32,
}

/// Role of a file in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Weights: CTranslate2's binary for converted models, Marian's own 8-bit binary for Firefox, safetensors for the others.
    Weights,
    /// Hugging Face's or CTranslate2's `config.json`.
    Config,
    /// SentencePiece model of the source language.
    SourceSpm,
    /// SentencePiece model of the target language.
    TargetSpm,
    /// Pieces and their numbers.
    Vocab,
    /// Pieces of the source, where the translation has others.
    SourceVocab,
    /// Pieces of the translation, where the source has others.
    TargetVocab,
    /// Likely translations of each source token, to which the output is restricted.
    Shortlist,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Config => "config",
            Self::SourceSpm => "source_spm",
            Self::TargetSpm => "target_spm",
            Self::Vocab => "vocab",
            Self::SourceVocab => "source_vocab",
            Self::TargetVocab => "target_vocab",
            Self::Shortlist => "shortlist",
        })
    }
}

/// One file of a model folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// Name inside the folder.
    pub name: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Why a `model.toml` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// It is TOML, and these things are wrong with it.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as in `limits.max_input_tokens`.
    pub path: String,
    /// What.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl Manifest {
    /// Reads and checks the text of a `model.toml`.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        reading::parse(text)
    }

    /// The text of this manifest as a `model.toml`.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Only maps with keys that are not text cannot be written as TOML, and there is none here.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The file of a role. Every [required](Architecture::required_roles) role has one.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&FileEntry> {
        self.files.get(&role)
    }

    /// Whether the model translates from `source` to `target`.
    #[must_use]
    pub fn translates(&self, source: &str, target: &str) -> bool {
        source != target
            && self
                .source_languages
                .iter()
                .any(|language| language == source)
            && self
                .target_languages
                .iter()
                .any(|language| language == target)
    }
}
