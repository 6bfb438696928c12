//! Real models, English to Portuguese and back.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use babelmesh_models::{
    Model,
    import::{ImportOptions, import},
};

use crate::{executables, report, repository};

/// In the environment: a machine that cannot have them is a failure.
const REQUIRED: &str = "MODELS_REQUIRED";
/// Id of the model from English to Portuguese.
pub const EN_PT: &str = "firefox-en-pt";
/// Id of the model from Portuguese to English.
pub const PT_EN: &str = "firefox-pt-en";

/// The folder with both models as they are published, fetched if need be. `None` on a machine that cannot have them; that the test is skipped
/// is then said on standard error. With `MODELS_REQUIRED=1` in the environment it panics instead.
#[must_use]
pub fn published() -> Option<PathBuf> {
    let output = Command::new("python3")
        .arg(repository().join("actors/models/fetch"))
        .stdin(Stdio::null())
        .output();
    let why = match output {
        Ok(output) if output.status.success() => {
            return Some(repository().join(".models/source"));
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    report::skip(REQUIRED, "real models cannot be fetched", &why);
    None
}

/// A folder with both models imported, which tests share and do not write to; otherwise like [`published`].
#[must_use]
pub fn imported() -> Option<PathBuf> {
    let from = published()?;
    let folder = executables::folder().join("real-models");
    fs::create_dir_all(&folder).expect("the target folder is writable");
    // Tests run in processes of their own.
    let guard = File::create(folder.join(".lock")).expect("the target folder is writable");
    guard.lock().expect("a file can be locked");
    for (pair, id) in [("en-pt", EN_PT), ("pt-en", PT_EN)] {
        let into = folder.join(id);
        let is_whole = Model::open(&into).is_ok_and(|model| model.verify().is_ok());
        if !is_whole {
            import_pair(&from.join(pair), &into);
        }
    }
    Some(folder)
}

fn import_pair(from: &Path, into: &Path) {
    let options = ImportOptions {
        force: true,
        ..ImportOptions::default()
    };
    if let Err(error) = import(from, into, &options) {
        panic!("importing {}: {error}", from.display());
    }
}
