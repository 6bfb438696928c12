//! Messages: error codes, headers, schemas and the AsyncAPI document.

use std::{collections::BTreeSet, env, fs, process::Command};

use babelmesh::kafka::{record, topics::TopicNames};
use babelmesh_actors::domain::{
    ErrorCode, Lane, TextChecks, TranslationRequest, TranslationResult,
};
use babelmesh_integration_tests::{executables, repository};
use serde_json::Value;

use super::{first_cells, read};

/// In the environment: generated files are written instead of compared.
const REGENERATE: &str = "REGENERATE_DOCS";
/// Every header of our own that a record may have.
const HEADERS: [&str; 11] = [
    record::IDEMPOTENCY_KEY,
    record::SUBMITTED_AT,
    record::ERROR_CODE,
    record::ERROR_MESSAGE,
    record::ORIGIN_TOPIC,
    record::ORIGIN_PARTITION,
    record::ORIGIN_OFFSET,
    record::ORIGINAL_BYTES,
    record::NODE,
    record::REPLAYED_FROM,
    record::REPLAYS,
];

fn page() -> String {
    read("docs/src/messages.md")
}

/// What stands in `code` in cells.
fn code<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let spans = cells
        .into_iter()
        .flat_map(|cell| cell.split('`').skip(1).step_by(2));
    spans.collect()
}

fn schema_file(message: &str) -> String {
    format!("docs/src/schema/{message}.schema.json")
}

fn schema(message: &str) -> Value {
    serde_json::from_str(&read(&schema_file(message))).unwrap()
}

fn properties(value: &Value) -> BTreeSet<&str> {
    let table = value.as_object().unwrap_or_else(|| panic!("{value}"));
    table.keys().map(String::as_str).collect()
}

fn asyncapi() -> Value {
    serde_saphyr::from_str(&read("docs/src/asyncapi.yaml")).unwrap()
}

#[test]
fn schemas_are_those_of_the_code() {
    for message in ["request", "result"] {
        let mut command = Command::new(executables::babelmesh());
        let output = command.args(["schema", message]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let current = String::from_utf8(output.stdout).unwrap();
        let file = schema_file(message);
        if env::var_os(REGENERATE).is_some_and(|value| value == "1") {
            fs::write(repository().join(&file), &current).unwrap();
        }
        let hint = format!("{file} is old: run this test with {REGENERATE}=1");
        assert!(read(&file) == current, "{hint}");
    }
}

#[test]
fn every_field_is_described() {
    let page = page();
    for (message, heading) in [("request", "## Requests"), ("result", "## Results")] {
        let described: BTreeSet<_> = code(first_cells(&page, heading)).into_iter().collect();
        let schema = schema(message);
        assert_eq!(described, properties(&schema["properties"]), "{message}");
    }
}

#[test]
fn every_error_code_is_described_with_whether_it_is_retriable() {
    let page = page();
    let (_, section) = page.split_once("\n## Errors\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut described = Vec::new();
    for row in rows.take_while(|row| row.ends_with(" no |") || row.ends_with(" yes |")) {
        let codes = code(row.split('|').nth(1));
        described.extend(
            codes
                .into_iter()
                .map(|code| (code, row.ends_with(" yes |"))),
        );
    }
    let described: BTreeSet<_> = described.into_iter().collect();
    let existing = ErrorCode::ALL.map(|code| (code.name(), code.retriable()));
    assert_eq!(described, existing.into());
}

#[test]
fn every_header_is_described() {
    let page = page();
    let mut described: BTreeSet<_> = code(first_cells(&page, "## Headers")).into_iter().collect();
    assert!(described.remove(record::TRACEPARENT) && described.remove(record::TRACESTATE));
    assert_eq!(described, HEADERS.into());
}

#[test]
fn every_field_of_an_object_in_a_message_is_described() {
    let page = page();
    for (message, heading, object) in [
        ("request", "### Formats", "XmlOptions"),
        ("request", "### Glossaries", "Term"),
        ("result", "### Checks", "TextChecks"),
    ] {
        let described: BTreeSet<_> = code(first_cells(&page, heading)).into_iter().collect();
        let schema = schema(message);
        let definition = &schema["$defs"][object]["properties"];
        assert_eq!(described, properties(definition), "{message}");
    }
}

#[test]
fn the_examples_on_the_page_are_messages() {
    let page = page();
    let mut blocks = page.split("\n```json\n").skip(1);
    let mut next = || blocks.next().unwrap().split("```").next().unwrap();
    for _ in 0..2 {
        let request = TranslationRequest::decode(next().as_bytes()).unwrap();
        request.validate(100).unwrap();
    }
    let _: TranslationResult = serde_json::from_str(next()).unwrap();
    let fragment: Value = serde_json::from_str(next()).unwrap();
    let checks: TextChecks = serde_json::from_value(fragment["checks"].clone()).unwrap();
    assert_eq!(serde_json::to_value(checks).unwrap(), fragment["checks"]);
}

#[test]
fn the_channels_are_the_topics() {
    let document = asyncapi();
    let channels = document["channels"].as_object().unwrap();
    let addresses: BTreeSet<String> = channels
        .values()
        .map(|channel| {
            channel["address"]
                .as_str()
                .unwrap()
                .replace("{language}", "fr")
        })
        .collect();
    let names = TopicNames::default();
    let all = names.all(&["fr".parse().unwrap()]);
    assert_eq!(addresses, all.into_iter().collect());
    let bulk = channels["bulkJobs"]["address"].as_str().unwrap();
    let bulk = bulk.replace("{language}", "fr");
    assert_eq!(bulk, names.jobs_of("fr".parse().unwrap(), Lane::Any));
}

#[test]
fn references_of_the_document_point_to_something() {
    let document = asyncapi();
    let mut values = vec![&document];
    let mut references = 0;
    while let Some(value) = values.pop() {
        match value {
            Value::Object(table) => values.extend(table.values()),
            Value::Array(list) => values.extend(list),
            _ => {}
        }
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            continue;
        };
        references += 1;
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => {
                let file = repository().join("docs/src").join(reference);
                assert!(file.is_file(), "{reference}");
            }
        }
    }
    assert!(references > 10, "only {references}");
}

#[test]
fn the_messages_of_the_document_have_the_headers_and_fields_of_the_code() {
    let document = asyncapi();
    let messages = document["components"]["messages"].as_object().unwrap();
    let mut headers = BTreeSet::new();
    for (name, message) in messages {
        headers.extend(properties(&message["headers"]["properties"]));
        let Some(payload) = message["payload"]["$ref"].as_str() else {
            assert_eq!(name, "deadLetter");
            continue;
        };
        let known = read(&format!("docs/src/{payload}"));
        let known: Value = serde_json::from_str(&known).unwrap();
        let known = properties(&known["properties"]);
        for example in message["examples"].as_array().unwrap() {
            let example = &example["payload"];
            assert!(properties(example).is_subset(&known), "{example}");
            let bytes = example.to_string();
            match payload.contains("request") {
                true => {
                    let request = TranslationRequest::decode(bytes.as_bytes()).unwrap();
                    request.validate(100).unwrap();
                }
                false => drop(serde_json::from_str::<TranslationResult>(&bytes).unwrap()),
            }
        }
    }
    let mut expected: BTreeSet<_> = HEADERS.into();
    expected.extend([record::TRACEPARENT, record::TRACESTATE]);
    assert_eq!(headers, expected);
}
