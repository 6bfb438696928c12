//! Documents: over DeepL's and LibreTranslate's APIs, and with the command line. The fake engine puts `fr:` before every sentence.

mod command_line;

use std::{
    io::{Cursor, Read, Write},
    time::Duration,
};

use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, free_address,
    http::{HttpClient, start},
    wait_for,
};
use serde_json::{Value, json};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// An answer with any bytes.
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {} {text}", self.status))
    }
}

fn exchange(http: HttpClient, request: &[u8]) -> Response {
    let mut stream = http.connect();
    // A node that refuses a request need not have read all of it.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Response {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// Posts a form with a file.
fn post_file(
    http: HttpClient,
    path: &str,
    (name, file): (&str, &[u8]),
    fields: &[(&str, &str)],
) -> Response {
    let mut body = Vec::new();
    for (field, value) in fields {
        let head =
            format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
        body.extend(head.into_bytes());
    }
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    body.extend(head.into_bytes());
    body.extend(file);
    body.extend(b"\r\n--b--\r\n");
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    );
    exchange(http, &[head.into_bytes(), body].concat())
}

fn post_json(http: HttpClient, path: &str, body: &Value) -> Response {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    exchange(http, request.as_bytes())
}

fn get(http: HttpClient, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(http, request.as_bytes())
}

/// A Word document with one paragraph, a part of which is bold.
fn docx() -> Vec<u8> {
    let run = |properties: &str, text: &str| {
        format!("<w:r>{properties}<w:t xml:space=\"preserve\">{text}</w:t></w:r>")
    };
    let bold = run("<w:rPr><w:b/></w:rPr>", "happy dog");
    let document = format!(
        "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body><w:p>{}{bold}{}</w:p></w:body></w:document>",
        run("", "Look at the "),
        run("", " over there.")
    );
    let types = "<Types><Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>";
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [
        ("[Content_Types].xml", types),
        ("word/document.xml", &document),
        ("word/media/image1.png", "a picture"),
    ] {
        archive
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn entry(bytes: &[u8], name: &str) -> String {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut text = String::new();
    archive
        .by_name(name)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Whether this is the Word document with its text translated and its format kept.
fn check_docx(bytes: &[u8]) {
    assert_eq!(entry(bytes, "word/media/image1.png"), "a picture");
    let document = entry(bytes, "word/document.xml");
    assert!(document.contains("fr:Look at the "), "{document}");
    let bold = "<w:rPr><w:b/></w:rPr><w:t xml:space=\"preserve\">happy dog</w:t>";
    assert!(document.contains(bold), "{document}");
}

const FRENCH: [(&str, &str); 2] = [("source_lang", "EN"), ("target_lang", "FR")];

/// Uploads a document to DeepL's API. Returns its path, and the body with its key.
fn upload(http: HttpClient, file: (&str, &[u8])) -> (String, Value) {
    let answer = post_file(http, "/v2/document", file, &FRENCH);
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    let id = body["document_id"].as_str().unwrap();
    let key = body["document_key"].as_str().unwrap();
    assert!(id.len() == 32 && key.len() == 64, "{body}");
    (format!("/v2/document/{id}"), json!({ "document_key": key }))
}

/// The status of a document when its translation has ended.
fn ended(http: HttpClient, path: &str, key: &Value) -> Value {
    wait_for("the document is translated", PATIENCE, || {
        let answer = post_json(http, path, key);
        assert_eq!(answer.status, 200, "{}", answer.json());
        let status = answer.json();
        let state = status["status"].as_str().unwrap().to_owned();
        assert!(["queued", "translating", "done", "error"].contains(&state.as_str()));
        matches!(state.as_str(), "done" | "error").then_some(status)
    })
}

#[test]
fn a_document_is_uploaded_translated_and_downloaded_once() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let (path, key) = upload(http, ("letter.docx", &docx()));
    let status = ended(http, &path, &key);
    assert_eq!(status["status"], "done", "{status}");
    assert!(
        status["billed_characters"].as_u64().unwrap() > 30,
        "{status}"
    );
    let wrong = post_json(http, &path, &json!({"document_key": "0".repeat(64)}));
    assert_eq!(wrong.status, 404);
    assert!(wrong.json()["message"].is_string());
    let missing = post_json(http, &path, &json!({}));
    assert_eq!(missing.status, 400);
    let result = post_json(http, &format!("{path}/result"), &key);
    assert_eq!(result.status, 200);
    assert!(
        result
            .head
            .contains("content-disposition: attachment; filename=\"letter.docx\"")
    );
    check_docx(&result.body);
    assert_eq!(post_json(http, &format!("{path}/result"), &key).status, 404);
    assert_eq!(post_json(http, &path, &key).status, 404);
    let usage = post_json(http, "/v2/usage", &json!({})).json();
    assert_eq!(usage["character_count"], status["billed_characters"]);
}

#[test]
fn every_kind_of_text_is_translated_and_its_language_detected() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    for (name, file, expected) in [
        (
            "a.txt",
            "Where is the train station?\n",
            "fr:Where is the train station?\n",
        ),
        (
            "a.md",
            "# Where is the station?\n",
            "# fr:Where is the station?\n",
        ),
        (
            "a.html",
            "<p>Where is <b>the</b> dog?</p>",
            "<p>fr:Where is <b>the</b> dog?</p>",
        ),
        (
            "a.srt",
            "1\n00:00:01,000 --> 00:00:02,000\nWhere is the dog?\n",
            "1\n00:00:01,000 --> 00:00:02,000\nfr:Where is the dog?\n",
        ),
        (
            "a.json",
            "{\"Where\": \"Where is the dog?\", \"n\": 1}",
            "{\"Where\": \"fr:Where is the dog?\", \"n\": 1}",
        ),
        (
            "a.po",
            "msgid \"Where is the dog?\"\nmsgstr \"\"\n",
            "msgid \"Where is the dog?\"\nmsgstr \"fr:Where is the dog?\"\n",
        ),
    ] {
        let answer = post_file(
            http,
            "/v2/document",
            (name, file.as_bytes()),
            &[("target_lang", "fr")],
        );
        let body = answer.json();
        let path = format!("/v2/document/{}", body["document_id"].as_str().unwrap());
        let key = json!({"document_key": body["document_key"]});
        let status = ended(http, &path, &key);
        assert_eq!(status["status"], "done", "{name}: {status}");
        let result = post_json(http, &format!("{path}/result"), &key);
        assert_eq!(String::from_utf8_lossy(&result.body), expected, "{name}");
    }
}

#[test]
fn documents_that_cannot_be_translated_are_errors_with_the_reason() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("engine.fake.refuse_on", "\"poison\"")
            .set("documents.max_bytes", 50_000)
    });
    let compound = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".repeat(9);
    let cut = &docx()[..200];
    let partly = format!("{}This is poison.\n", "A good line.\n".repeat(50));
    for (name, file, reason) in [
        ("a.docx", compound.as_slice(), "encrypted"),
        ("a.docx", cut, "damaged or incomplete"),
        ("a.docx", b"Hello", "not a ZIP archive"),
        ("a.json", b"{\"a\":", "invalid JSON"),
        ("a.txt", b"\xff\xfe", "UTF-8"),
        ("a.txt", partly.as_bytes(), "segment 1"),
    ] {
        let (path, key) = upload(http, (name, file));
        let status = ended(http, &path, &key);
        assert_eq!(status["status"], "error", "{name}: {status}");
        let message = status["error_message"].as_str().unwrap();
        assert!(message.contains(reason), "{name}: {message}");
        let result = post_json(http, &format!("{path}/result"), &key);
        assert_eq!(result.status, 400, "a failed document is not sent");
    }
    let upload = |name, file: &[u8], more: &[(&str, &str)]| {
        let answer = post_file(
            http,
            "/v2/document",
            (name, file),
            &[FRENCH.as_slice(), more].concat(),
        );
        (
            answer.status,
            answer.json()["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let (status, message) = upload("a.pdf", b"x", &[]);
    assert!(
        status == 400 && message.contains("supported: txt"),
        "{message}"
    );
    let (status, message) = upload("a.txt", b"x", &[("output_format", "docx")]);
    assert!(
        status == 400 && message.contains("output_format"),
        "{message}"
    );
    assert_eq!(upload("a.txt", b"x", &[("output_format", "txt")]).0, 200);
    assert_eq!(upload("a", b"x", &[("filename", "a.txt")]).0, 200);
    let (status, message) = upload("a.txt", b"x", &[("formality", "more")]);
    assert!(status == 400 && message.contains("formality"), "{message}");
    assert_eq!(upload("a.txt", b"x", &[("glossary_id", "x")]).0, 404);
    assert_eq!(upload("a.txt", b"x", &[("target_lang", "FR")]).0, 200);
    assert_eq!(upload("a.txt", &[b'x'; 200_000], &[]).0, 413);
    let (status, message) = upload(&"x".repeat(2_000), b"x", &[]);
    assert!(status == 400 && message.contains("name"), "{message}");
}

#[test]
fn documents_that_are_held_are_bounded_and_expire() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("documents.max_per_client", 2)
            .set("documents.keep_ms", 1_500)
    });
    let held: Vec<_> = (0..2).map(|_| upload(http, ("a.txt", b"Hello"))).collect();
    let refused = post_file(http, "/v2/document", ("a.txt", b"Hello"), &FRENCH);
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after"), "{}", refused.head);
    for (path, key) in &held {
        assert_eq!(ended(http, path, key)["status"], "done");
    }
    for (path, key) in &held {
        wait_for("the document expires", PATIENCE, || {
            (post_json(http, path, key).status == 404).then_some(())
        });
    }
    upload(http, ("a.txt", b"Hello"));
}

#[test]
fn a_document_takes_the_bulk_lane_and_waits_for_its_turn() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |s| {
        s.set("engine.fake.batch_us", 300_000)
            .set("documents.max_concurrent", 1)
            .set("documents.max_segments_in_flight", 1)
    });
    let long = "One two three four five six.\n".repeat(800);
    let (first, first_key) = upload(http, ("a.txt", long.as_bytes()));
    let (second, second_key) = upload(http, ("b.txt", b"Hello"));
    let status = post_json(http, &second, &second_key).json();
    assert_eq!(status["status"], "queued", "{status}");
    let early = post_json(http, &format!("{second}/result"), &second_key);
    assert_eq!(early.status, 503);
    wait_for("the first is being translated", PATIENCE, || {
        let status = post_json(http, &first, &first_key).json();
        let is_running = status["status"] == "translating";
        (is_running && status["seconds_remaining"].as_u64() >= Some(1)).then_some(())
    });
    drop(node);
}

#[test]
fn files_are_translated_as_by_libretranslate() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let settings = get(http, "/frontend/settings").json();
    assert_eq!(settings["filesTranslation"], true);
    let formats = settings["supportedFilesFormat"].as_array().unwrap();
    assert!(formats.contains(&json!(".docx")) && formats.contains(&json!(".epub")));
    let french = [("source", "auto"), ("target", "fr")];
    let answer = post_file(http, "/translate_file", ("letter.docx", &docx()), &french);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let url = answer.json()["translatedFileUrl"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = url.strip_prefix("http://localhost").unwrap();
    for _ in 0..2 {
        let file = get(http, path);
        assert_eq!(file.status, 200);
        assert!(
            file.head.contains("filename=\"letter_fr.docx\""),
            "{}",
            file.head
        );
        check_docx(&file.body);
    }
    let (head, tail) = path.split_at(path.len() / 2);
    let other = format!("{head}{}", tail.replace(['A', '1'], "2"));
    assert_eq!(get(http, &other).status, 404, "{other}");
    for (file, fields, reason) in [
        (("a.docx", b"x".as_slice()), french, "not a ZIP archive"),
        (("a.exe", b"x"), french, "file format not supported"),
        (
            ("a.txt", b"x"),
            [("source", "en"), ("target", "xx")],
            "xx is not supported",
        ),
    ] {
        let answer = post_file(http, "/translate_file", file, &fields);
        assert_eq!(answer.status, 400);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(reason), "{error}");
    }
    let none = http.form("/translate_file", "source=en&target=fr");
    assert_eq!(none.status, 415);
}

#[test]
fn a_stop_ends_the_translation_of_documents() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let settings = sandbox
        .node()
        .set("http.listen", format_args!("\"{address}\""))
        .set("engine.fake.batch_us", 500_000)
        .set("documents.max_segments_in_flight", 1);
    let mut node = ProcessNode::start(&sandbox, &settings);
    let http = HttpClient(address);
    let long = "One two three four five six.\n".repeat(8_000);
    let waiting = std::thread::spawn(move || {
        let french = [("source", "en"), ("target", "fr")];
        post_file(http, "/translate_file", ("a.txt", long.as_bytes()), &french)
    });
    std::thread::sleep(Duration::from_secs(1));
    node.stop(Duration::from_secs(20));
    let answer = waiting.join().unwrap();
    assert_eq!(answer.status, 503);
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("shutting down"), "{error}");
}
