//! Executables that tests need, beside their own in the target folder.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The `babelmesh` executable.
#[must_use]
pub fn babelmesh() -> PathBuf {
    find("babelmesh", "babelmesh")
}

/// The executable of a real engine: `firefox`, `ctranslate2`, `rust-bert` or `openai`.
#[must_use]
pub fn engine(name: &str) -> PathBuf {
    let executable = format!("babelmesh-engine-{name}");
    find(&executable, &executable)
}

/// The engine that misbehaves.
#[must_use]
pub fn faulty_engine() -> PathBuf {
    find("faulty-engine", "babelmesh-integration-tests")
}

/// The folder with all of them: tests lie in its `deps`.
#[must_use]
pub fn folder() -> PathBuf {
    let own = env::current_exe().expect("a test knows its own executable");
    let folder = own
        .ancestors()
        .find(|path| path.is_dir() && !path.ends_with("deps"));
    folder
        .map(Path::to_owned)
        .expect("an executable lies in a folder")
}

fn find(name: &str, package: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(
        path.is_file(),
        "{} is not there: run `make build`, or `cargo build -p {package}` in the profile of this test",
        path.display()
    );
    path
}
