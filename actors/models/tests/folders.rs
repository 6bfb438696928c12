//! Model folders from import to an engine's form, with the demo model, whose own form is Hugging Face's too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use babelmesh_models::{
    Architecture, EngineFile, EngineKind, Model, ModelError, ModelRegistry, RegistryError, Role,
    Tier, forms,
    import::{ImportError, ImportOptions, import},
};
use tempfile::{TempDir, tempdir};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// The demo model as a Hugging Face folder.
fn hugging_face() -> TempDir {
    let folder = tempdir().unwrap();
    for name in [
        "config.json",
        "vocab.json",
        "source.spm",
        "model.safetensors",
    ] {
        fs::copy(
            models().join("demo-en-fr-de").join(name),
            folder.path().join(name),
        )
        .unwrap();
    }
    fs::copy(
        folder.path().join("source.spm"),
        folder.path().join("target.spm"),
    )
    .unwrap();
    folder
}

fn options() -> ImportOptions {
    ImportOptions {
        source_languages: vec!["en".into()],
        ..ImportOptions::default()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn the_shipped_model_is_whole_and_found() {
    let registry = ModelRegistry::scan(&[&models()]).unwrap();
    let demo = registry.find("en", "fr", Tier::Basic).unwrap();
    assert_eq!(demo.id(), "demo-en-fr-de");
    demo.verify().unwrap();
    assert!(registry.find("en", "fr", Tier::Premium).is_none());
    assert!(registry.candidates("fr", "en").is_empty());
}

#[test]
fn importing_the_shipped_model_again_changes_nothing() {
    let (from, parent) = (hugging_face(), tempdir().unwrap());
    let into = parent.path().join("again");
    let model = import(from.path(), &into, &options()).unwrap();
    model.verify().unwrap();
    assert_eq!(Model::open(&into).unwrap(), model);
    let shipped = Model::open(&models().join("demo-en-fr-de")).unwrap();
    assert_eq!(model.manifest().files, shipped.manifest().files);
    // The vocabulary has a token for English as well, which only other models of the family can write.
    assert_eq!(model.manifest().target_languages, ["fr", "de"]);
    assert_eq!(names(parent.path()), ["again"]);
}

#[test]
fn an_import_never_replaces_without_force_and_leaves_nothing_behind() {
    let (from, parent) = (hugging_face(), tempdir().unwrap());
    let into = parent.path().join("demo");
    fs::create_dir(&into).unwrap();
    let refused = import(from.path(), &into, &options()).unwrap_err();
    assert!(matches!(refused, ImportError::Exists(_)), "{refused}");
    fs::write(from.path().join("model.safetensors"), "damaged").unwrap();
    let forced = ImportOptions {
        force: true,
        ..options()
    };
    let refused = import(from.path(), &into, &forced).unwrap_err();
    assert!(matches!(refused, ImportError::Content { .. }), "{refused}");
    assert_eq!(names(parent.path()), ["demo"]);
    assert_eq!(names(&into), [""; 0]);

    let model = import(hugging_face().path(), &into, &forced).unwrap();
    model.verify().unwrap();
    assert_eq!(names(parent.path()), ["demo"]);
}

#[test]
fn every_missing_file_is_named_and_pickled_weights_are_not_read() {
    let from = hugging_face();
    fs::remove_file(from.path().join("model.safetensors")).unwrap();
    fs::write(from.path().join("pytorch_model.bin"), "").unwrap();
    let into = from.path().join("new");
    let error = import(from.path(), &into, &options()).unwrap_err();
    assert!(matches!(error, ImportError::Pickled { .. }), "{error}");
    fs::remove_file(from.path().join("vocab.json")).unwrap();
    let error = import(from.path(), &into, &options())
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("there is no vocab.json, no model.safetensors"),
        "{error}"
    );
}

#[test]
fn every_damaged_file_is_reported_at_once() {
    let (from, parent) = (hugging_face(), tempdir().unwrap());
    let model = import(from.path(), &parent.path().join("demo"), &options()).unwrap();
    fs::remove_file(model.path(Role::Vocab).unwrap()).unwrap();
    let mut config = fs::read(model.path(Role::Config).unwrap()).unwrap();
    config[0] = b' ';
    fs::write(model.path(Role::Config).unwrap(), config).unwrap();
    let Err(ModelError::Files { problems, .. }) = model.verify() else {
        panic!("not refused")
    };
    assert_eq!(problems.len(), 2);
    let error = forms::prepare(&model, EngineKind::RustBert, parent.path()).unwrap_err();
    assert!(error.to_string().contains("vocab.json"), "{error}");
}

#[test]
fn two_models_of_one_id_are_an_error() {
    let (from, parent) = (hugging_face(), tempdir().unwrap());
    for folder in ["one", "two"] {
        let options = ImportOptions {
            id: Some("same".into()),
            ..options()
        };
        import(from.path(), &parent.path().join(folder), &options).unwrap();
    }
    let errors = ModelRegistry::scan(&[parent.path(), Path::new("/nowhere")]).unwrap_err();
    assert!(
        matches!(errors[0], RegistryError::DuplicateId { .. }),
        "{errors:?}"
    );
    assert!(
        matches!(errors[1], RegistryError::Unreadable { .. }),
        "{errors:?}"
    );
    assert!(ModelRegistry::scan(&[&parent.path().join("one"), &parent.path().join("one")]).is_ok());
}

#[test]
fn unusable_models_do_not_hinder_the_others() {
    let (from, parent) = (hugging_face(), tempdir().unwrap());
    for (folder, id) in [("one", "same"), ("two", "same"), ("good", "good")] {
        let options = ImportOptions {
            id: Some(id.into()),
            ..options()
        };
        import(from.path(), &parent.path().join(folder), &options).unwrap();
    }
    let broken = parent.path().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("model.toml"), "id = ").unwrap();
    let folders = [Path::new("/nowhere"), parent.path()];
    let (registry, errors) = ModelRegistry::scan_usable(&folders);
    let ids: Vec<_> = registry.iter().map(Model::id).collect();
    assert_eq!(ids, ["good", "same"]);
    let first = registry.get("same").unwrap().directory();
    assert_eq!(first, parent.path().join("one"));
    let subjects: Vec<_> = errors.iter().map(RegistryError::subject).collect();
    assert_eq!(subjects, ["nowhere", "broken", "same"]);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert!(
        texts[2].contains("/one") && texts[2].contains("/two"),
        "{texts:?}"
    );
    assert_eq!(ModelRegistry::scan(&folders).unwrap_err().len(), 3);
}

#[test]
fn a_form_is_derived_once_however_many_ask_for_it() {
    let model = Model::open(&models().join("demo-en-fr-de")).unwrap();
    for engine in EngineKind::for_architecture(Architecture::Marian) {
        let cache = tempdir().unwrap();
        let folders = thread::scope(|scope| {
            let prepare = || {
                forms::prepare(&model, *engine, cache.path())
                    .unwrap()
                    .directory
            };
            let workers = (0..3).map(|_| scope.spawn(prepare)).collect::<Vec<_>>();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert!(folders.iter().all(|folder| *folder == folders[0]));
        let made = names(&cache.path().join(model.id()));
        assert_eq!(made.len(), 2, "a form and the memo: {made:?}");
        let file = EngineFile::read(&folders[0]).unwrap();
        assert_eq!(file.language_token("en", "de").as_deref(), Some(">>de<<"));
    }
}
