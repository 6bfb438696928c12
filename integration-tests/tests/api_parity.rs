//! The tables of `docs/src/api-parity.md`, sent to a node: every value of a parameter, as JSON and as a form, or as a form with a file; and every
//! endpoint.

use std::{collections::BTreeSet, fs};

use babelmesh_integration_tests::{
    PATIENCE, Sandbox,
    http::{Answer, HttpClient, start},
    repository, wait_until,
};
use serde_json::{Map, Value, json};

/// The parameters that DeepL's reference of `POST /v2/translate` lists.
const DEEPL: [&str; 23] = [
    "auth_key",
    "context",
    "custom_instructions",
    "enable_beta_languages",
    "formality",
    "glossary_id",
    "glossary_ids",
    "ignore_tags",
    "model_type",
    "non_splitting_tags",
    "outline_detection",
    "preserve_formatting",
    "show_billed_characters",
    "source_lang",
    "split_sentences",
    "splitting_tags",
    "style_id",
    "tag_handling",
    "tag_handling_version",
    "target_lang",
    "text",
    "translation_memory_id",
    "translation_memory_threshold",
];
/// And LibreTranslate's of `POST /translate`.
const LIBRETRANSLATE: [&str; 6] = ["alternatives", "api_key", "format", "q", "source", "target"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Supported,
    WithoutEffect,
    Refused(u16),
}

impl Behaviour {
    fn parse(cell: &str) -> Self {
        match cell {
            "supported" => Self::Supported,
            "accepted without effect" => Self::WithoutEffect,
            _ => {
                let status = cell.strip_prefix("refused (").unwrap();
                Self::Refused(status.strip_suffix(')').unwrap().parse().unwrap())
            }
        }
    }

    /// Whether an answer has a status of it.
    fn has(self, status: u16) -> bool {
        match self {
            Self::Refused(refused) => status == refused,
            Self::Supported | Self::WithoutEffect => matches!(status, 200 | 201 | 204),
        }
    }
}

/// The rows of the table behind a heading, each with this many cells.
fn rows<const N: usize>(heading: &str) -> Vec<[String; N]> {
    let page = fs::read_to_string(repository().join("docs/src/api-parity.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|').map(|cell| cell.trim());
        let cells: Vec<String> = cells.map(str::to_owned).collect();
        cells.try_into().unwrap_or_else(|_| panic!("{row}"))
    })
    .collect()
}

/// What stands in `code` in a cell.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A value as a client sends it: JSON if it is a list, a number or a boolean, else text.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Array(_) | Value::Number(_) | Value::Bool(_))) => value,
        _ => json!(text),
    }
}

/// A row of a table of parameters.
struct Row {
    name: String,
    values: Vec<Value>,
    with: Map<String, Value>,
    behaviour: Behaviour,
}

fn parameters(heading: &str) -> Vec<Row> {
    let rows = rows::<5>(heading).into_iter();
    let read = |[name, values, with, behaviour, _]: [String; 5]| {
        let with = code(&with).into_iter().map(|pair| {
            let (name, text) = pair.split_once('=').unwrap();
            (name.to_owned(), value(text))
        });
        Row {
            name: code(&name)[0].to_owned(),
            values: code(&values).into_iter().map(value).collect(),
            with: with.collect(),
            behaviour: Behaviour::parse(&behaviour),
        }
    };
    rows.map(read).collect()
}

/// A body as a form: lists are repeated names. `None` where a form cannot say it.
fn form(body: &Map<String, Value>) -> Option<String> {
    let mut pairs = Vec::new();
    for (name, value) in body {
        let values = match value {
            Value::Array(list) => list.clone(),
            value => vec![value.clone()],
        };
        for value in values {
            let text = match value {
                Value::String(text) => text,
                // A form has no types: it would be a text.
                Value::Number(_) if name == "text" || name == "q" => return None,
                value => value.to_string(),
            };
            pairs.push(format!("{name}={}", encoded(&text)));
        }
    }
    Some(pairs.join("&"))
}

/// A text in a form.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// An API's translation of texts.
struct Translation {
    path: &'static str,
    body: Value,
    /// The translated texts of an answer.
    texts: fn(&Value) -> Value,
    /// The field of an error's text.
    error: &'static str,
}

fn deepl() -> Translation {
    Translation {
        path: "/v2/translate",
        body: json!({"text": ["Hello"], "source_lang": "EN", "target_lang": "FR"}),
        texts: |answer| {
            let translations = answer["translations"].as_array().unwrap();
            translations.iter().map(|one| one["text"].clone()).collect()
        },
        error: "message",
    }
}

fn libretranslate() -> Translation {
    Translation {
        path: "/translate",
        body: json!({"q": "Hello", "source": "en", "target": "fr"}),
        texts: |answer| answer["translatedText"].clone(),
        error: "error",
    }
}

impl Translation {
    /// A value of a row, with a glossary in place of `GLOSSARY`.
    fn made(&self, http: HttpClient, value: &Value) -> Value {
        match value.as_str() {
            Some("GLOSSARY") => Value::String(glossary(http)),
            _ => value.clone(),
        }
    }

    /// Sends every value of every row.
    fn check(&self, http: HttpClient, rows: &[Row]) {
        for row in rows {
            for value in &row.values {
                let value = &self.made(http, value);
                let mut body = self.body.as_object().unwrap().clone();
                body.extend(row.with.clone());
                let without = http.post(self.path, &Value::Object(body.clone()));
                body.insert(row.name.clone(), value.clone());
                let sent = format!("{}={value} {:?}", row.name, row.with);
                let answer = http.post(self.path, &Value::Object(body.clone()));
                self.check_answer(row, &sent, &without, &answer);
                if let Some(form) = form(&body) {
                    let answer = http.form(self.path, &form);
                    self.check_answer(row, &format!("{form} (form)"), &without, &answer);
                }
            }
        }
    }

    fn check_answer(&self, row: &Row, sent: &str, without: &Answer, answer: &Answer) {
        assert!(row.behaviour.has(answer.status), "{sent}: {answer:?}");
        let body = answer.json();
        match row.behaviour {
            Behaviour::Supported => assert!(!(self.texts)(&body).is_null(), "{sent}: {answer:?}"),
            Behaviour::WithoutEffect => {
                assert_eq!((self.texts)(&body), (self.texts)(&without.json()), "{sent}");
            }
            Behaviour::Refused(404) => assert!(body[self.error].is_string(), "{sent}"),
            Behaviour::Refused(_) => {
                let error = body[self.error].as_str().unwrap();
                let value = row.values[0].as_str().unwrap_or_default();
                let is_named = error.contains(&row.name) || error.starts_with(value);
                assert!(is_named, "{sent}: {error}");
            }
        }
    }
}

/// Sends a form with a text file.
fn send_file(http: HttpClient, path: &str, fields: &Map<String, Value>) -> Answer {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let field = |(name, value): (&String, &Value)| {
        let value = text(value);
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields: String = fields.iter().map(field).collect();
    let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nHello\r\n--b--\r\n";
    let multipart = "Content-Type: multipart/form-data; boundary=b\r\n";
    http.send("POST", path, multipart, &format!("{fields}{file}"))
}

fn deepl_document() -> Map<String, Value> {
    let fields = json!({"source_lang": "EN", "target_lang": "FR"});
    fields.as_object().unwrap().clone()
}

fn libretranslate_file() -> Map<String, Value> {
    let fields = json!({"source": "en", "target": "fr"});
    fields.as_object().unwrap().clone()
}

/// Asks for a document that is translated.
fn ask_document(http: HttpClient, path: &str) -> Answer {
    if path.starts_with("/download_file/") {
        let answer = send_file(http, "/translate_file", &libretranslate_file());
        let url = answer.json()["translatedFileUrl"]
            .as_str()
            .unwrap()
            .to_owned();
        return http.get(&url[url.find("/download_file/").unwrap()..]);
    }
    let upload = send_file(http, "/v2/document", &deepl_document()).json();
    let key = json!({"document_key": upload["document_key"]});
    let id = upload["document_id"].as_str().unwrap();
    wait_until("the document is translated", PATIENCE, || {
        let status = http.post(&format!("/v2/document/{id}"), &key).json();
        status["status"] == "done"
    });
    http.post(&path.replace("DOCUMENT", id), &key)
}

/// A dictionary of a glossary.
fn dictionary(target: &str) -> Value {
    json!({"source_lang": "en", "target_lang": target, "entries": "board,x", "entries_format": "csv"})
}

/// Makes a glossary for English to French, and returns its id.
fn glossary(http: HttpClient) -> String {
    let mut body = dictionary("fr");
    body["name"] = json!("Shop");
    let made = http.post("/v2/glossaries", &body);
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["glossary_id"].as_str().unwrap().to_owned()
}

/// Sends a request to an endpoint as a table has it.
fn ask(http: HttpClient, endpoint: &str, glossary: &str) -> Answer {
    let (method, path) = endpoint.split_once(' ').unwrap();
    if path.contains("DOCUMENT") {
        return ask_document(http, path);
    }
    let path = path.replace("GLOSSARY", glossary);
    let path = path.replace("ID", "def3a26b-3e84-45b3-84ae-0c0aaf3525f7");
    let body = match (method, path.as_str()) {
        ("POST", "/v2/translate") => deepl().body,
        ("POST", "/translate") => libretranslate().body,
        ("POST", "/v2/document") => return send_file(http, &path, &deepl_document()),
        ("POST", "/translate_file") => return send_file(http, &path, &libretranslate_file()),
        ("POST", "/v2/document/def3a26b-3e84-45b3-84ae-0c0aaf3525f7") => {
            json!({"document_key": "0"})
        }
        ("POST", "/v2/document/def3a26b-3e84-45b3-84ae-0c0aaf3525f7/result") => {
            json!({"document_key": "0"})
        }
        ("POST", "/v2/glossaries") => {
            let mut body = dictionary("fr");
            body["name"] = json!("Shop");
            body
        }
        ("POST", "/v3/glossaries") => json!({"name": "Shop", "dictionaries": [dictionary("fr")]}),
        ("PATCH", _) => json!({"name": "Store", "dictionaries": [dictionary("fr")]}),
        ("PUT", _) => dictionary("de"),
        ("POST", "/detect") => json!({"q": "Where is the train station?"}),
        ("GET" | "DELETE", _) => return http.send(method, &path, "", ""),
        _ => json!({}),
    };
    let json = "Content-Type: application/json\r\n";
    http.send(method, &path, json, &body.to_string())
}

fn check_endpoints(heading: &str, error: &str) {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let mut asked = 0;
    let glossary = glossary(http);
    for [endpoints, behaviour, _] in rows::<3>(heading) {
        let behaviour = Behaviour::parse(&behaviour);
        for endpoint in code(&endpoints) {
            let answer = ask(http, endpoint, &glossary);
            assert!(behaviour.has(answer.status), "{endpoint}: {answer:?}");
            let refused = matches!(behaviour, Behaviour::Refused(_));
            assert!(!refused || answer.json()[error].is_string(), "{endpoint}");
            asked += 1;
        }
    }
    assert!(asked >= 10, "only {asked}");
}

/// Every parameter of the API has a row, and every one that has an effect or none is in the description of the node's API.
fn check_names(rows: &[Row], documented: &[&str], schema: &str) {
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, documented.iter().copied().collect());
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let document = http.get("/openapi.json").json();
    let body = &document["paths"][schema]["post"]["requestBody"]["content"]["application/json"];
    let reference = body["schema"]["$ref"].as_str().unwrap();
    let properties = &document.pointer(&reference[1..]).unwrap()["properties"];
    let described: BTreeSet<&str> = properties
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let accepted = rows.iter().filter(|row| row.behaviour.has(200));
    let accepted: BTreeSet<&str> = accepted.map(|row| row.name.as_str()).collect();
    assert_eq!(described, accepted);
}

#[test]
fn parameters_of_deepl_are_treated_as_documented() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    deepl().check(http, &parameters("DeepL: parameters"));
}

#[test]
fn parameters_of_libretranslate_are_treated_as_documented() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    libretranslate().check(http, &parameters("LibreTranslate: parameters"));
}

/// Sends every value of every row with a file.
fn check_files(heading: &str, path: &str, fields: &Map<String, Value>, error: &str) {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("documents.max_per_client", 64));
    for row in parameters(heading) {
        for value in &row.values {
            let mut fields = fields.clone();
            fields.extend(row.with.clone());
            fields.insert(row.name.clone(), value.clone());
            let answer = send_file(http, path, &fields);
            assert!(row.behaviour.has(answer.status), "{fields:?}: {answer:?}");
            let is_refused = matches!(row.behaviour, Behaviour::Refused(_));
            assert_eq!(
                answer.json()[error].is_string(),
                is_refused,
                "{fields:?}: {answer:?}"
            );
        }
    }
}

#[test]
fn parameters_of_documents_are_treated_as_documented() {
    let heading = "DeepL: parameters of documents";
    check_files(heading, "/v2/document", &deepl_document(), "message");
    let heading = "LibreTranslate: parameters of files";
    check_files(heading, "/translate_file", &libretranslate_file(), "error");
}

#[test]
fn endpoints_of_deepl_are_answered_as_documented() {
    check_endpoints("DeepL: endpoints", "message");
}

#[test]
fn endpoints_of_libretranslate_are_answered_as_documented() {
    check_endpoints("LibreTranslate: endpoints", "error");
}

#[test]
fn every_parameter_of_both_apis_is_documented() {
    check_names(&parameters("DeepL: parameters"), &DEEPL, "/v2/translate");
    let rows = parameters("LibreTranslate: parameters");
    check_names(&rows, &LIBRETRANSLATE, "/translate");
}
