//! The script that runs brokers, `integration-tests/kafka`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::{report, repository};

/// In the environment: a machine that cannot have Kafka is a failure.
const REQUIRED: &str = "KAFKA_REQUIRED";
/// What the script ends with when the machine cannot have Kafka, and the system when it cannot have Python.
const UNAVAILABLE: [Option<i32>; 2] = [Some(3), Some(127)];

/// The brokers of a folder. They are killed, and the folder deleted, when this is dropped or the process of the test ends.
pub(super) struct Script {
    folder: PathBuf,
}

impl Script {
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Starts the brokers of a new cluster; `false` when this machine cannot have any.
    pub(super) fn create(&self, options: &[String]) -> bool {
        let owner = ["--until-pid".to_owned(), std::process::id().to_string()];
        let output = self.output("start", &[options, &owner].concat());
        if UNAVAILABLE.contains(&output.status.code()) {
            let why = String::from_utf8_lossy(&output.stderr);
            report::skip(REQUIRED, "there is no Apache Kafka", &why);
            return false;
        }
        check(&output);
        true
    }

    /// Runs a command that must succeed.
    pub(super) fn run(&self, command: &str, options: &[&str]) -> String {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let output = self.output(command, &options);
        check(&output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What it says of the brokers.
    pub(super) fn status(&self) -> Value {
        let status = self.run("status", &[]);
        serde_json::from_str(&status).expect("the script's status is JSON")
    }

    fn output(&self, command: &str, options: &[String]) -> Output {
        Command::new(repository().join("integration-tests/kafka"))
            .arg(command)
            .arg("--folder")
            .arg(&self.folder)
            .args(options)
            .output()
            .expect("the script can be started")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Nothing more can be done about it; the script's own watch tries again when this process is gone.
        let _ = self.output("stop", &["--kill".to_owned()]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn check(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
