//! Which models a node has, and the engines that run them.

mod form;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use babelmesh_actors::{
    domain::ModelType,
    engine::{
        Device, Engine, EngineFactory, FakeEngine, FakeSpec, LoadRequest, ProcessSpec, Spellings,
    },
    events::{Event, Observer},
};
use babelmesh_models::{
    EngineKind as FormKind, FormError, Model, ModelRegistry, RegistryError, Tier,
};

use self::form::{CachedForm, ProcessFactory};
use super::{BrokenModel, cache_directory};
use crate::{
    config::{Config, EngineConfig, EngineKind, validate},
    failure::error_chain as chain,
};

/// How much longer than its own batch timeout a node waits for an engine with an endpoint.
const ENDPOINT_GRACE: Duration = Duration::from_secs(5);

/// The models that a node starts with.
pub(crate) struct Selection {
    /// Those that the configuration asks for, as far as they can be used.
    pub(crate) models: Vec<Model>,
    /// Those that it asks for and that cannot.
    pub(crate) broken: Vec<BrokenModel>,
}

/// The models that the configuration asks for. One that is broken does not hinder the others.
///
/// # Errors
/// When a model that is named is nowhere, or no model is left.
pub(crate) fn select(config: &Config) -> Result<Selection> {
    let (registry, errors) = usable(config);
    let broken = errors.iter().map(|error| BrokenModel {
        model: error.subject(),
        error: chain(error),
    });
    let mut broken: Vec<_> = broken.collect();
    let wanted = &config.models.load;
    let mut models: Vec<Model> = Vec::new();
    if wanted.is_empty() {
        models.extend(registry.iter().cloned());
    } else {
        broken.retain(|broken| wanted.contains(&broken.model));
        for id in wanted {
            match registry.get(id) {
                Some(model) => models.push(model.clone()),
                None if errors.is_empty() => {
                    let known: Vec<_> = registry.iter().map(Model::id).collect();
                    bail!(
                        "models.load: unknown model {id}; available: {}",
                        known.join(", ")
                    );
                }
                None if broken.iter().any(|broken| broken.model == *id) => {}
                None => broken.push(BrokenModel {
                    model: id.clone(),
                    error: format!("model not found or unreadable{}", lines(&errors)),
                }),
            }
        }
    }
    if models.is_empty() {
        let folders = folders(config);
        let folders: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
        bail!(
            "models.directories: no usable model in {}{}",
            folders.join(", "),
            lines(&errors)
        );
    }
    Ok(Selection { models, broken })
}

/// Every model in the configured folders.
///
/// # Errors
/// Every manifest that cannot be read, all at once.
pub fn registry(config: &Config) -> Result<ModelRegistry> {
    match usable(config) {
        (registry, errors) if errors.is_empty() => Ok(registry),
        (_, errors) => Err(anyhow!("reading the model directories{}", lines(&errors))),
    }
}

/// Every model in the configured folders that can be used, and what is wrong with the others.
pub(crate) fn usable(config: &Config) -> (ModelRegistry, Vec<RegistryError>) {
    let folders = folders(config);
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    ModelRegistry::scan_usable(&folders)
}

/// Errors, each in a line of its own.
pub(crate) fn lines(errors: &[RegistryError]) -> String {
    let lines = errors.iter().map(|error| format!("\n  {}", chain(error)));
    lines.collect()
}

fn folders(config: &Config) -> Vec<PathBuf> {
    let resolve = |folder: &PathBuf| find_folder(folder).unwrap_or_else(|| folder.clone());
    config.models.directories.iter().map(resolve).collect()
}

/// A folder of models. A relative one that is not below the working directory is looked for beside the executable, where a build or a
/// package has it.
pub(crate) fn find_folder(folder: &Path) -> Option<PathBuf> {
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    let executable = std::env::current_exe().ok()?;
    let package = executable.parent()?.parent()?;
    let places = [
        package.join("share/babelmesh"),
        package.to_owned(),
        package.parent()?.to_owned(),
    ];
    places
        .into_iter()
        .map(|place| place.join(folder))
        .find(|path| path.is_dir())
}

/// Makes the engines of a model: the engine that is configured, or the first that supports the model.
///
/// # Errors
/// When the engine does not support the model, its executable is missing, or its form of the model cannot be made.
pub(super) fn factory(
    config: &Config,
    model: &Model,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn EngineFactory>> {
    let kinds: &[FormKind] = match config.engine.kind {
        EngineKind::Fake => {
            return Ok(Arc::new(FakeFactory {
                spec: config.engine.fake.clone(),
            }));
        }
        EngineKind::Auto => FormKind::for_architecture(model.manifest().architecture),
        EngineKind::Firefox => &[FormKind::Firefox],
        EngineKind::Ctranslate2 => &[FormKind::Ctranslate2],
        EngineKind::RustBert => &[FormKind::RustBert],
        EngineKind::Openai => &[FormKind::Openai],
    };
    let mut refused = None;
    for kind in kinds {
        let form = CachedForm::new(model, *kind, &cache_directory(config));
        match form.prepare() {
            Ok(directory) => {
                let spec = process_spec(config, model, *kind, &directory, observer)?;
                return Ok(Arc::new(ProcessFactory::new(spec, form)));
            }
            Err(error @ FormError::Unsupported { .. }) => refused = Some(error),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("preparing model {} for {kind}", model.id()));
            }
        }
    }
    Err(refused.map_or_else(|| anyhow!("no engine is configured"), Into::into))
}

fn process_spec(
    config: &Config,
    model: &Model,
    kind: FormKind,
    form: &Path,
    observer: Arc<dyn Observer>,
) -> Result<ProcessSpec> {
    let engine = &config.engine;
    let program = executable(engine, kind)?;
    let pool: Arc<str> = Arc::from(model.id());
    let limits = &model.manifest().limits;
    Ok(ProcessSpec {
        program,
        load: LoadRequest {
            directory: form
                .to_str()
                .context("the model's path is not UTF-8")?
                .to_owned(),
            precision: engine.precision,
            device: validate::device(&engine.device).unwrap_or(Device::Cpu),
            threads: engine.threads,
            beam_size: engine.beam_size,
            max_input_tokens: limits.max_input_tokens,
            max_output_tokens: limits.max_output_tokens,
        },
        spellings: Spellings::new(
            &model.manifest().source_languages,
            &model.manifest().target_languages,
        ),
        load_timeout: Duration::from_millis(engine.load_timeout_ms),
        batch_timeout: batch_timeout(engine, model),
        timeout_per_token: Duration::from_millis(engine.timeout_per_token_ms),
        memory_limit: engine.memory_limit_mb << 20,
        on_line: Arc::new(move |line| {
            observer.observe(&Event::EngineSaid {
                pool: Arc::clone(&pool),
                line: line.to_owned(),
            });
        }),
    })
}

/// Longest time for a batch. An engine with an endpoint keeps the time of its manifest by itself, and is killed only if it does not.
fn batch_timeout(engine: &EngineConfig, model: &Model) -> Duration {
    let configured = Duration::from_millis(engine.batch_timeout_ms);
    match &model.manifest().endpoint {
        Some(endpoint) => configured.max(endpoint.batch_timeout() + ENDPOINT_GRACE),
        None => configured,
    }
}

fn executable(engine: &EngineConfig, kind: FormKind) -> Result<PathBuf> {
    let folder = match &engine.directory {
        Some(directory) => directory.clone(),
        None => {
            let own = std::env::current_exe().context("finding the engine executables")?;
            let mut folder = own.parent().map(Path::to_owned).unwrap_or_default();
            // Test executables lie one folder below the others.
            if folder.ends_with("deps") {
                folder.pop();
            }
            folder
        }
    };
    let program = folder.join(kind.executable());
    if program.is_file() {
        return Ok(program);
    }
    bail!(
        "engine {kind} not found: {} does not exist (build it with `make build`, or set engine.directory)",
        program.display()
    )
}

struct FakeFactory {
    spec: FakeSpec,
}

impl EngineFactory for FakeFactory {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn aligns(&self) -> bool {
        true
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(FakeEngine::new(self.spec.clone()))
    }
}

/// A model's tier in the words of requests.
pub(super) const fn model_type(tier: Tier) -> ModelType {
    match tier {
        Tier::Basic => ModelType::Basic,
        Tier::Medium => ModelType::Medium,
        Tier::Premium => ModelType::Premium,
    }
}
