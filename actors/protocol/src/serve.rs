//! The engine's side: a loop that an engine executable calls from its `main`.

use std::{
    fs::File,
    io::BufReader,
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use rustix::{
    process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal},
    stdio,
};

use crate::{
    Failure, FailureKind, FromEngine, Hello, LoadReport, LoadRequest, PROTOCOL_VERSION, Segment,
    ToEngine, TranslateReport, Translation,
    frame::{self, FrameError},
};

/// Environment variable in which a node tells its engine processes its own process id, so that one that
/// starts just as its node dies notices.
pub const NODE_PID_VARIABLE: &str = "BABELMESH_NODE_PID";

/// An engine library behind the protocol. Calls block; one at a time.
pub trait Engine: Sized {
    /// Name of the engine, as configuration spells it.
    const NAME: &'static str;

    /// Loads a model. Also returns what is to be reported of it; the time of the load is measured by the caller.
    ///
    /// # Errors
    /// A [`Failure`] of kind [`FailureKind::Load`] or [`FailureKind::Unloadable`].
    fn load(request: &LoadRequest) -> Result<(Self, LoadReport), Failure>;

    /// Translates a batch: one translation per segment, in order.
    ///
    /// # Errors
    /// A [`Failure`] of kind [`FailureKind::Unsupported`], [`FailureKind::Inference`] or [`FailureKind::Unavailable`].
    fn translate(&mut self, segments: &[Segment]) -> Result<Vec<Translation>, Failure>;
}

/// Serves one engine over standard input and output until the node closes the pipe.
///
/// The pipe is read by a thread of its own that ends the process at once when the pipe closes, so that
/// a node that dies takes its engines along even in the middle of a batch; the parent-death signal does the same
/// for an engine that is stopped or stuck in the kernel.
///
/// # Errors
/// When the pipes fail or the node breaks the protocol.
pub fn serve<E: Engine>() -> Result<(), FrameError> {
    die_with_the_node();
    // Native libraries may print to standard output; the protocol keeps the real one to itself.
    let mut output = File::from(rustix::io::dup(stdio::stdout()).map_err(std::io::Error::from)?);
    stdio::dup2_stdout(stdio::stderr()).map_err(std::io::Error::from)?;

    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        engine: E::NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    frame::write(&mut output, &FromEngine::Hello(hello))?;
    let requests = read_in_background();
    let mut engine: Option<E> = None;
    while let Ok(request) = requests.recv() {
        let answer = answer(&mut engine, request);
        let end = matches!(&answer, FromEngine::Failed(f) if f.kind.ends_engine());
        frame::write(&mut output, &answer)?;
        if end {
            break;
        }
    }
    Ok(())
}

fn answer<E: Engine>(engine: &mut Option<E>, request: ToEngine) -> FromEngine {
    let started = Instant::now();
    match (request, engine) {
        (ToEngine::Load(request), slot @ None) => match E::load(&request) {
            Ok((engine, report)) => {
                *slot = Some(engine);
                let load_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                FromEngine::Loaded(LoadReport { load_ms, ..report })
            }
            Err(failure) => FromEngine::Failed(failure),
        },
        (ToEngine::Translate(request), Some(engine)) => match engine.translate(&request.segments) {
            Ok(translations) => FromEngine::Translated(TranslateReport {
                id: request.id,
                translations,
                elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            }),
            Err(failure) => FromEngine::Failed(failure),
        },
        (ToEngine::Load(_), Some(_)) => out_of_order("a model is already loaded"),
        (ToEngine::Translate(_), None) => out_of_order("no model is loaded yet"),
    }
}

fn out_of_order(message: &str) -> FromEngine {
    FromEngine::Failed(Failure {
        kind: FailureKind::Protocol,
        message: message.to_owned(),
    })
}

fn read_in_background() -> Receiver<ToEngine> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut input = BufReader::new(std::io::stdin().lock());
        while let Ok(Some(request)) = frame::read(&mut input) {
            if sender.send(request).is_err() {
                return;
            }
        }
        end_now();
    });
    receiver
}

fn die_with_the_node() {
    // Failure leaves the closed pipe as the only sign of the node's death, which is enough but for a stopped process.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let node = std::env::var(NODE_PID_VARIABLE)
        .ok()
        .and_then(|pid| pid.parse().ok());
    let parent = getppid()
        .map(Pid::as_raw_nonzero)
        .map(std::num::NonZeroI32::get);
    if node.is_some() && node != parent {
        end_now();
    }
}

/// Exits without running exit handlers, which native libraries may block during a batch.
fn end_now() {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}
