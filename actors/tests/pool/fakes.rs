//! Fake engines that record the texts they are given, and that tests can kill or make translate badly.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use babelmesh_actors::{
    engine::{
        Engine, EngineBatch, EngineEnd, EngineError, EngineFactory, FakeEngine, FakeSpec,
        LoadReport, Translation, Usage,
    },
    text::plan::stand_ins,
};
use tokio::{sync::Semaphore, time::Instant};

/// The text that engines are warmed up with.
pub(crate) const WARM_UP: &str = "1";

pub(crate) struct Fakes {
    pub(crate) spec: Mutex<FakeSpec>,
    /// Every text that an engine was given and when, the warm-up excepted.
    pub(crate) seen: Arc<Mutex<Vec<(Instant, String)>>>,
    /// Ends one engine for each unit, whatever it does.
    pub(crate) kills: Arc<Semaphore>,
    /// What becomes of each translation.
    pub(crate) flaw: Arc<Mutex<Option<Flaw>>>,
    /// Whether an engine was asked for its stand-ins.
    pub(crate) is_probed: Arc<AtomicBool>,
}

impl EngineFactory for Fakes {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn aligns(&self) -> bool {
        true
    }

    fn is_probed(&self) -> bool {
        self.spec.lock().unwrap().probed
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(Recorder {
            fake: FakeEngine::new(self.spec.lock().unwrap().clone()),
            flaw: Arc::clone(&self.flaw),
            is_probed: Arc::clone(&self.is_probed),
            seen: Arc::clone(&self.seen),
            kills: Arc::clone(&self.kills),
        })
    }
}

/// Changes the translation of a text.
pub(crate) type Flaw = Box<dyn FnMut(&str, &mut Translation) + Send>;

/// A fake that remembers what it was given.
struct Recorder {
    fake: FakeEngine,
    flaw: Arc<Mutex<Option<Flaw>>>,
    is_probed: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
    kills: Arc<Semaphore>,
}

#[async_trait]
impl Engine for Recorder {
    async fn load(&mut self) -> Result<LoadReport, EngineError> {
        self.fake.load().await
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError> {
        let now = Instant::now();
        let texts = batch.segments.iter().map(|segment| &segment.text);
        self.seen.lock().unwrap().extend(
            texts
                .filter(|text| *text != WARM_UP && **text != stand_ins::probe())
                .map(|text| (now, text.clone())),
        );
        let texts: Vec<_> = batch.segments.iter().map(|s| s.text.clone()).collect();
        if texts.contains(&stand_ins::probe()) {
            self.is_probed.store(true, Ordering::SeqCst);
        }
        let mut translations = self.fake.translate(batch).await?;
        if let Some(flaw) = self.flaw.lock().unwrap().as_mut() {
            for (text, translation) in texts.iter().zip(&mut translations) {
                flaw(text, translation);
            }
        }
        Ok(translations)
    }

    fn usage(&self) -> Usage {
        self.fake.usage()
    }

    fn end(&self) -> Option<EngineEnd> {
        let kills = Arc::clone(&self.kills);
        Some(Box::pin(async move {
            kills.acquire().await.unwrap().forget();
            EngineError::Ended("it was killed".to_owned())
        }))
    }

    async fn shutdown(&mut self) {
        self.fake.shutdown().await;
    }
}
