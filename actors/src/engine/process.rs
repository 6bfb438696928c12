//! An engine in a process of its own.

use std::{
    io::ErrorKind,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_engine_protocol::{
    FailureKind, FromEngine, LoadReport, LoadRequest, PROTOCOL_VERSION, ToEngine, TranslateRequest,
    Translation, frame, serve::NODE_PID_VARIABLE,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Engine, EngineBatch, EngineEnd, EngineError, Spellings, Usage, child::SupervisedChild,
    process_table::resident_bytes,
};

/// How often a working engine's memory is looked at.
const MEMORY_CHECK: Duration = Duration::from_millis(100);
/// A batch may take this many times the memory at which an idle engine is recycled before it is killed.
const HARD_LIMIT_FACTOR: u64 = 2;
/// How long an engine may take to end by itself.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Exit code of a program whose shared libraries the system does not find.
const NOT_LINKED: i32 = 127;

/// How to run an engine process.
#[derive(Clone)]
pub struct ProcessSpec {
    /// The executable.
    pub program: PathBuf,
    /// The model to load.
    pub load: LoadRequest,
    /// How the model spells its languages.
    pub spellings: Spellings,
    /// Longest time for start and load together.
    pub load_timeout: Duration,
    /// Longest time for a batch, before what its text adds.
    pub batch_timeout: Duration,
    /// What each estimated token adds to the longest time.
    pub timeout_per_token: Duration,
    /// Resident bytes above which an engine is replaced between batches, and above twice which it is killed.
    pub memory_limit: u64,
    /// Gets the lines that the engine writes to standard error.
    pub on_line: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A handle on an engine process. The process is killed when the handle is dropped.
pub struct ProcessEngine {
    spec: ProcessSpec,
    running: Option<Running>,
    next_id: AtomicU64,
}

struct Running {
    child: SupervisedChild,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl ProcessEngine {
    /// An engine that is not started yet.
    #[must_use]
    pub const fn new(spec: ProcessSpec) -> Self {
        Self {
            spec,
            running: None,
            next_id: AtomicU64::new(1),
        }
    }

    fn start(&self) -> Result<Running, EngineError> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => EngineError::Unloadable(format!(
                "starting {}: {error}",
                self.spec.program.display()
            )),
            _ => EngineError::Start {
                program: self.spec.program.clone(),
                reason: error.to_string(),
            },
        };
        let mut child = Command::new(&self.spec.program)
            .env(NODE_PID_VARIABLE, std::process::id().to_string())
            // One OpenMP runtime an engine: its pool must not be larger than what the engine was told.
            .env("OMP_NUM_THREADS", self.spec.load.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the whole group; the node decides when its engines end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let missing = || failed(std::io::Error::other("a pipe is missing"));
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward_lines(stderr, Arc::clone(&self.spec.on_line)));
        }
        Ok(Running {
            child: SupervisedChild::new(child),
            input,
            output: BufReader::new(output),
        })
    }

    /// Terminates the process and maps a broken pipe to its exit reason.
    async fn lose(&mut self, error: EngineError) -> EngineError {
        let Some(running) = self.running.take() else {
            return error;
        };
        // A process that closed its pipe is about to exit; a hung one never exits.
        let grace = if matches!(error, EngineError::Ended(_)) {
            SHUTDOWN
        } else {
            Duration::ZERO
        };
        let status = timeout(grace, running.child.end()).await.ok().flatten();
        running.child.kill().await;
        match (error, status) {
            (EngineError::Ended(_), Some(status)) if status.code() == Some(NOT_LINKED) => {
                EngineError::Unloadable(format!(
                    "{} is missing a shared library ({status})",
                    self.spec.program.display()
                ))
            }
            (EngineError::Ended(_), Some(status)) => ended_with(Some(status)),
            (error, _) => error,
        }
    }

    async fn try_load(running: &mut Running, load: LoadRequest) -> Result<LoadReport, EngineError> {
        match running.receive().await? {
            FromEngine::Hello(hello) if hello.protocol == PROTOCOL_VERSION => {}
            FromEngine::Hello(hello) => {
                return Err(EngineError::Unloadable(format!(
                    "{} {} speaks version {}, this node speaks {PROTOCOL_VERSION}",
                    hello.engine, hello.version, hello.protocol
                )));
            }
            other => return Err(unexpected(&other)),
        }
        running.send(&ToEngine::Load(load)).await?;
        match running.receive().await? {
            FromEngine::Loaded(report) => Ok(report),
            FromEngine::Failed(failure) if failure.kind == FailureKind::Unloadable => {
                Err(EngineError::Unloadable(failure.message))
            }
            FromEngine::Failed(failure) => Err(EngineError::Load(failure.message)),
            other => Err(unexpected(&other)),
        }
    }

    async fn try_translate(
        running: &mut Running,
        request: TranslateRequest,
        hard_limit: u64,
    ) -> Result<Vec<Translation>, EngineError> {
        let (id, wanted) = (request.id, request.segments.len());
        let message = ToEngine::Translate(request);
        running.send(&message).await?;
        match running.receive_within_memory(hard_limit).await? {
            FromEngine::Translated(report)
                if report.id == id && report.translations.len() == wanted =>
            {
                match is_answered(&message, &report.translations) {
                    true => Ok(report.translations),
                    false => Err(EngineError::Protocol(
                        "an alignment that does not fit its texts, or alternatives that were not asked for".to_owned(),
                    )),
                }
            }
            FromEngine::Translated(report) => Err(EngineError::Protocol(format!(
                "{} translations for batch {}, {wanted} for batch {id} were due",
                report.translations.len(),
                report.id
            ))),
            FromEngine::Failed(failure) if failure.kind == FailureKind::Protocol => {
                Err(EngineError::Protocol(failure.message))
            }
            FromEngine::Failed(failure) if failure.kind == FailureKind::Unavailable => {
                Err(EngineError::Unavailable(failure.message))
            }
            FromEngine::Failed(failure) => Err(EngineError::Refused(failure.message)),
            other => Err(unexpected(&other)),
        }
    }
}

impl Running {
    async fn send(&mut self, message: &ToEngine) -> Result<(), EngineError> {
        let frame = frame::encode(message).map_err(|e| EngineError::Refused(e.to_string()))?;
        self.input.write_all(&frame).await.map_err(ended)?;
        self.input.flush().await.map_err(ended)
    }

    async fn receive(&mut self) -> Result<FromEngine, EngineError> {
        let mut head = [0; 4];
        self.output.read_exact(&mut head).await.map_err(ended)?;
        let length = frame::length(head).map_err(|e| EngineError::Protocol(e.to_string()))?;
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).await.map_err(ended)?;
        frame::decode(&body).map_err(|e| EngineError::Protocol(e.to_string()))
    }

    async fn receive_within_memory(&mut self, limit: u64) -> Result<FromEngine, EngineError> {
        let pid = self.child.pid();
        let too_much = async {
            let mut ticks = interval(MEMORY_CHECK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Some(used) = pid.and_then(resident_bytes).filter(|used| *used > limit) {
                    return EngineError::Memory { used, limit };
                }
            }
        };
        tokio::select! {
            answer = self.receive() => answer,
            error = too_much => Err(error),
        }
    }
}

#[async_trait]
impl Engine for ProcessEngine {
    async fn load(&mut self) -> Result<LoadReport, EngineError> {
        let mut running = self.start()?;
        let limit = self.spec.load_timeout;
        let answer = timeout(limit, Self::try_load(&mut running, self.spec.load.clone())).await;
        self.running = Some(running);
        match answer {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(error)) => Err(self.lose(error).await),
            Err(_) => Err(self.lose(EngineError::Hung(limit)).await),
        }
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError> {
        let Some(running) = self.running.as_mut() else {
            return Err(EngineError::Ended("it is not running".to_owned()));
        };
        let limit = self.spec.batch_timeout + self.spec.timeout_per_token * batch.tokens;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut segments = batch.segments;
        for segment in &mut segments {
            self.spec.spellings.apply(segment);
        }
        let request = TranslateRequest { id, segments };
        let hard_limit = self.spec.memory_limit.saturating_mul(HARD_LIMIT_FACTOR);
        match timeout(limit, Self::try_translate(running, request, hard_limit)).await {
            Ok(Err(error)) if !error.leaves_engine_usable() => Err(self.lose(error).await),
            Ok(answer) => answer,
            Err(_) => Err(self.lose(EngineError::Hung(limit)).await),
        }
    }

    fn usage(&self) -> Usage {
        let running = self.running.as_ref();
        let pid = running.and_then(|running| running.child.pid());
        Usage {
            pid,
            resident_bytes: pid.and_then(resident_bytes).unwrap_or(0),
        }
    }

    fn end(&self) -> Option<EngineEnd> {
        let end = self.running.as_ref()?.child.end();
        Some(Box::pin(async move { ended_with(end.await) }))
    }

    async fn shutdown(&mut self) {
        if let Some(Running { child, input, .. }) = self.running.take() {
            drop(input);
            if timeout(SHUTDOWN, child.end()).await.is_err() {
                child.kill().await;
            }
        }
    }
}

/// Whether every translation answers its segment.
fn is_answered(asked: &ToEngine, translations: &[Translation]) -> bool {
    let ToEngine::Translate(request) = asked else {
        return false;
    };
    let mut pairs = request.segments.iter().zip(translations);
    pairs.all(|(segment, translation)| translation.answers(segment))
}

fn ended_with(status: Option<ExitStatus>) -> EngineError {
    let status = status.map(|status| status.to_string());
    EngineError::Ended(status.unwrap_or_else(|| "its status is not known".to_owned()))
}

fn ended(error: std::io::Error) -> EngineError {
    EngineError::Ended(error.to_string())
}

fn unexpected(message: &FromEngine) -> EngineError {
    let name = match message {
        FromEngine::Hello(_) => "hello",
        FromEngine::Loaded(_) => "loaded",
        FromEngine::Translated(_) => "translated",
        FromEngine::Failed(failure) => return EngineError::Protocol(failure.message.clone()),
    };
    EngineError::Protocol(format!("an unexpected \"{name}\""))
}

async fn forward_lines(stderr: ChildStderr, on_line: Arc<dyn Fn(&str) + Send + Sync>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        on_line(&line);
    }
}
