//! Engine processes whose form of the model is checked before each load, and derived again when it is damaged.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use babelmesh_actors::engine::{
    Engine, EngineBatch, EngineEnd, EngineError, EngineFactory, LoadReport, ProcessEngine,
    ProcessSpec, Translation, Usage,
};
use babelmesh_models::{
    EngineKind, FormError, Model,
    forms::{self, Form},
};

use crate::events::NodeEvent;
use crate::failure::error_chain as chain;

/// The form of a model in the cache folder.
pub(super) struct CachedForm {
    model: Model,
    kind: EngineKind,
    cache: PathBuf,
    /// Held while the form is checked, so that actors of one pool do not derive it at once.
    checking: Mutex<()>,
}

impl CachedForm {
    pub(super) fn new(model: &Model, kind: EngineKind, cache: &Path) -> Self {
        Self {
            model: model.clone(),
            kind,
            cache: cache.to_owned(),
            checking: Mutex::default(),
        }
    }

    /// Makes sure that the form is whole; what has not changed since the last time is not read. Blocks.
    pub(super) fn prepare(&self) -> Result<PathBuf, FormError> {
        self.check(forms::prepare).map(|form| form.directory)
    }

    /// Reads the whole form, and tells whether it had to be derived again. Blocks.
    fn repair(&self) -> Result<bool, FormError> {
        self.check(forms::prepare_without_memo)
            .map(|form| form.repaired.is_some())
    }

    fn check(
        &self,
        prepare: fn(&Model, EngineKind, &Path) -> Result<Form, FormError>,
    ) -> Result<Form, FormError> {
        let _checking = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        let form = prepare(&self.model, self.kind, &self.cache)?;
        if let Some(damage) = &form.repaired {
            NodeEvent::FormRepaired {
                model: self.model.id(),
                engine: self.kind.name(),
                damage: &damage.to_string(),
            }
            .emit();
        }
        Ok(form)
    }
}

/// Makes engine processes for one model.
pub(super) struct ProcessFactory {
    spec: ProcessSpec,
    form: Arc<CachedForm>,
}

impl ProcessFactory {
    pub(super) fn new(spec: ProcessSpec, form: CachedForm) -> Self {
        let form = Arc::new(form);
        Self { spec, form }
    }
}

impl EngineFactory for ProcessFactory {
    fn name(&self) -> &str {
        self.form.kind.name()
    }

    fn is_probed(&self) -> bool {
        true
    }

    fn aligns(&self) -> bool {
        self.form.kind == EngineKind::Firefox
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(FormEngine {
            form: Arc::clone(&self.form),
            process: ProcessEngine::new(self.spec.clone()),
        })
    }
}

/// An engine process with the form that it loads.
struct FormEngine {
    form: Arc<CachedForm>,
    process: ProcessEngine,
}

impl FormEngine {
    async fn checked<T: Send + 'static>(
        &self,
        check: fn(&CachedForm) -> Result<T, FormError>,
    ) -> Result<T, EngineError> {
        let form = Arc::clone(&self.form);
        match tokio::task::spawn_blocking(move || check(&form)).await {
            Ok(checked) => checked.map_err(|error| match error {
                FormError::Cache { .. } => EngineError::Load(chain(&error)),
                _ => EngineError::Unloadable(chain(&error)),
            }),
            Err(error) => Err(EngineError::Load(error.to_string())),
        }
    }
}

#[async_trait]
impl Engine for FormEngine {
    async fn load(&mut self) -> Result<LoadReport, EngineError> {
        self.checked(CachedForm::prepare).await?;
        let error = match self.process.load().await {
            Err(
                error @ (EngineError::Load(_) | EngineError::Unloadable(_) | EngineError::Ended(_)),
            ) => error,
            loaded => return loaded,
        };
        match self.checked(CachedForm::repair).await? {
            true => self.process.load().await,
            false => Err(error),
        }
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError> {
        self.process.translate(batch).await
    }

    fn usage(&self) -> Usage {
        self.process.usage()
    }

    fn end(&self) -> Option<EngineEnd> {
        self.process.end()
    }

    async fn shutdown(&mut self) {
        self.process.shutdown().await;
    }
}
