//! Engine forms that are damaged in the cache are derived again; whole ones are left alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::{
    fs::{self, FileTimes},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use babelmesh_models::{
    EngineKind, Model, Role,
    forms::{self, Form},
};
use tempfile::tempdir;

fn demo() -> Model {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    Model::open(&models.join("demo-en-fr-de")).unwrap()
}

const ENGINE: EngineKind = EngineKind::Ctranslate2;

fn prepare(model: &Model, cache: &Path) -> Form {
    forms::prepare(model, ENGINE, cache).unwrap()
}

/// Every file of a folder with its content.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    let mut all: Vec<_> = entries.map(|entry| read(entry.unwrap().path())).collect();
    all.sort();
    all
}

#[test]
fn every_kind_of_damage_is_repaired_and_named() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm, &str); 7] = [
        (
            "a truncated file",
            |form| {
                let file = fs::File::options().write(true).open(form.join("model.bin"));
                file.unwrap().set_len(100_000).unwrap();
            },
            "model.bin does not match its digest",
        ),
        (
            "zeros in the middle",
            |form| {
                let file = fs::File::options().write(true).open(form.join("model.bin"));
                file.unwrap().write_all_at(&[0; 200_000], 300_000).unwrap();
            },
            "model.bin does not match its digest",
        ),
        (
            "zeros in the middle under the old time",
            |form| {
                let path = form.join("model.bin");
                let modified = fs::metadata(&path).unwrap().modified().unwrap();
                let file = fs::File::options().write(true).open(path).unwrap();
                file.write_all_at(&[0; 200_000], 300_000).unwrap();
                file.set_modified(modified).unwrap();
            },
            "model.bin does not match its digest",
        ),
        (
            "a missing file",
            |form| fs::remove_file(form.join("source.spm")).unwrap(),
            "source.spm",
        ),
        (
            "a folder that was written half",
            |form| {
                fs::remove_file(form.join("SHA256SUMS")).unwrap();
                fs::remove_file(form.join("engine.toml")).unwrap();
            },
            "SHA256SUMS",
        ),
        (
            "a list that was written half",
            |form| fs::write(form.join("SHA256SUMS"), "").unwrap(),
            "not a complete list",
        ),
        (
            "a file in the form's place",
            |form| {
                fs::remove_dir_all(form).unwrap();
                fs::write(form, "").unwrap();
            },
            "SHA256SUMS",
        ),
    ];
    let (model, cache) = (demo(), tempdir().unwrap());
    let first = prepare(&model, cache.path());
    assert!(first.repaired.is_none());
    let whole = content(&first.directory);
    for (harm, inflict, name) in harms {
        inflict(&first.directory);
        let form = prepare(&model, cache.path());
        let damage = form.repaired.expect(harm).to_string();
        assert!(damage.contains(name), "{harm}: {damage}");
        assert!(content(&form.directory) == whole, "{harm} is still there");
        assert!(prepare(&model, cache.path()).repaired.is_none(), "{harm}");
    }
    let left = fs::read_dir(cache.path().join(model.id())).unwrap().count();
    assert_eq!(left, 2, "only the form and the memo");
}

#[test]
fn damage_that_no_time_or_size_tells_is_found_when_every_file_is_read() {
    let (model, cache) = (demo(), tempdir().unwrap());
    let form = prepare(&model, cache.path());
    fs::write(form.directory.join("config.json"), "{}").unwrap();
    // The memo of a file system whose times are coarse.
    let memo = cache.path().join(model.id()).join(".verified.json");
    let mut known: serde_json::Value = serde_json::from_slice(&fs::read(&memo).unwrap()).unwrap();
    let path = form.directory.join("config.json");
    let found = fs::metadata(&path).unwrap();
    known[path.to_str().unwrap()]["stamp"] = serde_json::json!({
        "device": found.dev(), "inode": found.ino(), "bytes": found.len(),
        "modified": [found.mtime(), found.mtime_nsec()], "status_changed": [found.ctime(), found.ctime_nsec()],
    });
    fs::write(&memo, known.to_string()).unwrap();
    assert!(prepare(&model, cache.path()).repaired.is_none());
    let form = forms::prepare_without_memo(&model, ENGINE, cache.path()).unwrap();
    assert!(form.repaired.is_some());
}

#[test]
fn a_whole_form_and_its_model_are_not_read_again() {
    let (model, cache) = (demo(), tempdir().unwrap());
    let form = prepare(&model, cache.path());
    prepare(&model, cache.path());
    let memo = cache.path().join(model.id()).join(".verified.json");
    let before = fs::metadata(&memo).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&fs::read(&memo).unwrap()).unwrap();
    for path in [
        model.path(Role::Weights).unwrap(),
        form.directory.join("model.bin"),
        form.directory.join("engine.toml"),
    ] {
        assert!(known.get(path.to_str().unwrap()).is_some(), "{path:?}");
    }
    prepare(&model, cache.path());
    let after = fs::metadata(&memo).unwrap();
    assert_eq!(before.ino(), after.ino(), "something was read again");
}

#[test]
fn scratch_folders_of_killed_processes_are_removed_in_time() {
    let (model, cache) = (demo(), tempdir().unwrap());
    let parent = cache.path().join(model.id());
    let (old, new) = (parent.join(".deriving-old"), parent.join(".deriving-new"));
    for folder in [&old, &new] {
        fs::create_dir_all(folder.join("form")).unwrap();
    }
    let long_ago = SystemTime::now() - Duration::from_secs(7_200);
    let times = FileTimes::new().set_modified(long_ago);
    fs::File::open(&old).unwrap().set_times(times).unwrap();
    prepare(&model, cache.path());
    assert!(!old.exists());
    assert!(new.exists());
}
