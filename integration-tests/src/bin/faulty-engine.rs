//! An engine that speaks the protocol and misbehaves on demand; see `babelmesh_integration_tests::faults`.

#![forbid(unsafe_code)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use babelmesh_engine_protocol::{
    Completeness, Failure, FailureKind, LoadReport, LoadRequest, Segment, Translation, executable,
    serve::Engine,
};
use babelmesh_integration_tests::faults::{
    BLOAT, CRASH, FAIL_LOAD, GROW, HANG, SLOW, STEP, UNLOADABLE,
};

/// Memory at which even a growth without end ends: the machine is not to suffer.
const MOST: usize = 2 << 30;

struct FaultyEngine {
    kept: Vec<Vec<u8>>,
}

impl Engine for FaultyEngine {
    const NAME: &'static str = "faulty";

    fn load(request: &LoadRequest) -> Result<(Self, LoadReport), Failure> {
        let marks = [
            (FAIL_LOAD, FailureKind::Load),
            (UNLOADABLE, FailureKind::Unloadable),
        ];
        // A mark holds the id of the model that is meant, or nothing for all; a model's form lies in a folder with the model's id.
        let concerned = |id: &str| id.is_empty() || request.directory.contains(&format!("/{id}/"));
        let is_told = |mark: &str| {
            let told = own_folder().and_then(|folder| fs::read_to_string(folder.join(mark)).ok());
            told.is_some_and(|id| concerned(id.trim()))
        };
        if let Some((_, kind)) = marks.into_iter().find(|(mark, _)| is_told(mark)) {
            let message = "the faulty engine was told to fail".to_owned();
            return Err(Failure { kind, message });
        }
        let report = LoadReport {
            numeric: "none".to_owned(),
            ..LoadReport::default()
        };
        Ok((Self { kept: Vec::new() }, report))
    }

    fn translate(&mut self, segments: &[Segment]) -> Result<Vec<Translation>, Failure> {
        for segment in segments {
            self.suffer(&segment.text);
        }
        Ok(segments.iter().map(translation).collect())
    }
}

impl FaultyEngine {
    fn suffer(&mut self, text: &str) {
        if text.contains(CRASH) {
            std::process::abort();
        }
        if text.contains(SLOW) {
            thread::sleep(Duration::from_millis(200));
        }
        if text.contains(GROW) {
            self.grow();
        }
        while text.contains(BLOAT) && self.kept.len() * STEP < MOST {
            self.grow();
            thread::sleep(Duration::from_millis(50));
        }
        while text.contains(HANG) || text.contains(BLOAT) {
            thread::sleep(Duration::from_secs(60));
        }
    }

    fn grow(&mut self) {
        // A value other than zero: memory that was never written to is not resident.
        self.kept.push(vec![1; STEP]);
    }
}

fn translation(segment: &Segment) -> Translation {
    let tokens = u32::try_from(segment.text.len() / 4 + 1).unwrap_or(u32::MAX);
    Translation {
        text: format!("{}:{}", segment.target, segment.text),
        score: -0.1,
        input_tokens: tokens,
        output_tokens: tokens,
        completeness: Completeness::Whole,
        alignment: None,
        alternatives: Vec::new(),
    }
}

/// The folder of the link by which this was started, not of the file that it leads to.
fn own_folder() -> Option<PathBuf> {
    let link = env::args_os().next()?;
    Path::new(&link).parent().map(Path::to_owned)
}

fn main() -> ExitCode {
    executable::run::<FaultyEngine>()
}
