//! Tests of reading manifests.

use proptest::prelude::*;

use super::*;

fn example() -> String {
    let mut text = String::from(
        r#"
        id = "demo"
        name = "Demo"
        description = "Short sentences"
        architecture = "marian"
        source_languages = ["en"]
        target_languages = ["fr", "de"]
        tier = "basic"
        licence = "CC-BY-2.0-FR"
        attribution = "the contributors"
        language_token = ">>{target}<<"

        [limits]
        max_input_tokens = 512
        max_output_tokens = 512
        "#,
    );
    for role in Architecture::Marian.required_roles() {
        text += &entry(*role);
    }
    text
}

fn entry(role: Role) -> String {
    format!(
        "[files.{role}]\nname = \"{role}\"\nbytes = 1\nsha256 = \"{}\"\n",
        "0".repeat(64)
    )
}

fn firefox() -> String {
    let roles = Architecture::Firefox.required_roles().iter();
    let files = roles.map(|role| entry(*role)).collect::<String>();
    let (head, _) = example().split_once("[files.").map_or_else(
        || (example(), String::new()),
        |(head, rest)| (head.to_owned(), rest.to_owned()),
    );
    let head = head.replace("architecture = \"marian\"", "architecture = \"firefox\"");
    let head = head.replace("language_token = \">>{target}<<\"", "");
    head.replace(", \"de\"", "") + &files
}

fn problems(text: &str) -> Vec<String> {
    match parse(text).unwrap_err() {
        ManifestError::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
        ManifestError::Syntax(error) => vec![error],
    }
}

#[test]
fn written_values_are_read_back() {
    let manifest = parse(&example()).unwrap();
    assert_eq!(parse(&manifest.to_toml()).unwrap(), manifest);
    assert!(manifest.translates("en", "de"));
    assert!(!manifest.translates("de", "en"));
}

#[test]
fn every_problem_is_reported_at_once_with_its_path() {
    let text = example()
        .replace("tier = \"basic\"", "tier = \"gold\"\nflavour = 1")
        .replace("max_input_tokens = 512", "max_input_tokens = \"many\"")
        .replace("name = \"vocab\"", "name = \"../vocab\"")
        .replace("id = \"demo\"\n", "");
    assert_eq!(
        problems(&text),
        [
            "id: is missing",
            "tier: must be one of `basic`, `medium`, `premium`",
            "limits.max_input_tokens: must be a whole number, zero or more",
            "files.vocab.name: must be the name of a file in the model's own folder",
            "flavour: is not a known key",
        ]
    );
}

#[test]
fn several_targets_need_a_language_token() {
    let text = example().replace("language_token = \">>{target}<<\"", "");
    assert_eq!(
        problems(&text),
        [
            "language_token: or target_token must contain `{target}` where there is more than one target language"
        ]
    );
    let text = example().replace(
        "language_token = \">>{target}<<\"",
        "target_token = \"{target}\"",
    );
    parse(&text).unwrap();
}

#[test]
fn the_tokens_of_a_many_to_many_model_are_read_and_written() {
    let text = example()
        .replace("architecture = \"marian\"", "architecture = \"nllb\"")
        .replace(
            "language_token = \">>{target}<<\"",
            "language_token = \"{source}\"\ntarget_token = \"{target}\"\nsource_end = false",
        )
        + "\n[language_codes]\nfr = \"fra_Latn\"\n";
    let manifest = parse(&text).unwrap();
    assert_eq!(manifest.architecture, Architecture::Nllb);
    assert_eq!(manifest.language_codes["fr"], "fra_Latn");
    assert!(!manifest.source_end);
    assert_eq!(parse(&manifest.to_toml()).unwrap(), manifest);
    assert_eq!(
        problems(&text.replace("= false", "= 1").replace("\"fra_Latn\"", "1")),
        [
            "source_end: must be true or false",
            "language_codes: must be a table of texts",
        ]
    );
}

#[test]
fn a_converted_model_has_one_vocabulary_or_two() {
    let model = |roles: &[Role]| {
        let files = roles.iter().map(|role| entry(*role)).collect::<String>();
        firefox().replace("\"firefox\"", "\"ctranslate2\"") + &files
    };
    for roles in [
        &[Role::Vocab][..],
        &[Role::SourceVocab, Role::TargetVocab, Role::Config],
    ] {
        parse(&model(roles)).unwrap();
    }
    for roles in [&[][..], &[Role::SourceVocab]] {
        assert_eq!(
            problems(&model(roles)),
            ["files.vocab: is missing, and so is source_vocab or target_vocab"]
        );
    }
}

#[test]
fn each_architecture_has_files_of_its_own() {
    let manifest = parse(&firefox()).unwrap();
    assert_eq!(manifest.files.len(), 3);
    assert_eq!(parse(&manifest.to_toml()).unwrap(), manifest);
    let manifest = parse(&(firefox() + &entry(Role::Shortlist))).unwrap();
    assert!(manifest.file(Role::Shortlist).is_some());
    assert_eq!(
        problems(&(firefox() + &entry(Role::Config))),
        ["files.config: is not a known key"]
    );
    assert_eq!(
        problems(&(example() + &entry(Role::Shortlist))),
        ["files.shortlist: is not a known key"]
    );
}

#[test]
fn a_firefox_model_has_one_target() {
    let text = firefox().replace("[\"fr\"]", "[\"fr\", \"de\"]");
    let text = text.replace("tier =", "language_token = \">>{target}<<\"\ntier =");
    assert_eq!(
        problems(&text),
        [
            "target_languages: must name one language: a firefox model has one target",
            "language_token: does not apply: a firefox model has one target language",
        ]
    );
}

#[test]
fn invalid_toml_is_a_syntax_error() {
    assert!(matches!(parse("id = "), Err(ManifestError::Syntax(_))));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".*") {
        let _ = parse(&text);
    }

    #[test]
    fn a_key_that_is_removed_is_reported(index in 0_usize..12) {
        let text = example();
        let mut lines = text.lines().filter(|l| l.contains('=')).collect::<Vec<_>>();
        let line = lines.remove(index.min(lines.len() - 1));
        let key = line.split('=').next().unwrap().trim();
        let shorter = text.replacen(line, "", 1);
        prop_assert!(problems(&shorter).iter().any(|problem| problem.contains(key)));
    }
}
