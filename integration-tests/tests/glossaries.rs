//! Glossaries: made over HTTP, kept in a topic that every node reads, used by HTTP and Kafka.

use std::fs;

use babelmesh_integration_tests::{
    Broker, LocalNode, PATIENCE, ProcessNode, Record, Sandbox, Settings, TopicWriter, free_address,
    free_addresses,
    http::{Answer, HttpClient, start},
    meet, request, wait_until,
};
use serde_json::{Value, json};

/// Where glossaries are kept.
const TOPIC: &str = "translation.glossaries";

fn body(name: &str, entries: &str) -> Value {
    json!({"name": name, "source_lang": "EN", "target_lang": "fr", "entries": entries, "entries_format": "tsv"})
}

/// Makes a glossary for English to French, and returns its id.
fn create(http: HttpClient, entries: &str) -> String {
    let made = http.post("/v2/glossaries", &body("Shop", entries));
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["glossary_id"].as_str().unwrap().to_owned()
}

fn translate(http: HttpClient, id: &str, text: &str) -> Answer {
    let body = json!({"text": [text], "source_lang": "EN", "target_lang": "FR", "glossary_id": id});
    http.post("/v2/translate", &body)
}

/// The translation of a text with a glossary.
fn translated(http: HttpClient, id: &str, text: &str) -> String {
    let answer = translate(http, id, text);
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = &answer.json()["translations"][0]["text"];
    text.as_str().unwrap().to_owned()
}

fn wait_until_known(http: HttpClient, id: &str) {
    let path = format!("/v2/glossaries/{id}");
    wait_until("the node knows the glossary", PATIENCE, || {
        http.get(&path).status == 200
    });
}

#[test]
fn a_glossary_is_made_shown_used_and_deleted_as_with_deepl() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let made = http.post(
        "/v2/glossaries",
        &body("Shop", "board\tconseil\nAcme\tAcme"),
    );
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let id = made["glossary_id"].as_str().unwrap();
    assert_eq!(made["ready"], true);
    assert_eq!(
        (&made["source_lang"], &made["target_lang"]),
        (&json!("en"), &json!("fr"))
    );
    assert_eq!(made["entry_count"], 2);
    assert!(made["creation_time"].as_str().unwrap().ends_with('Z'));
    let path = format!("/v2/glossaries/{id}");
    assert_eq!(http.get(&path).json(), made);
    assert_eq!(
        http.get("/v2/glossaries").json(),
        json!({"glossaries": [made]})
    );
    let entries = http.get(&format!("{path}/entries"));
    assert_eq!(entries.body, "board\tconseil\nAcme\tAcme");
    assert_eq!(
        entries.header("content-type"),
        Some("text/tab-separated-values; charset=utf-8")
    );
    let json = http.send(
        "GET",
        &format!("{path}/entries"),
        "Accept: application/json\r\n",
        "",
    );
    assert_eq!(json.status, 406);
    let text = "The Board meets. A boarding house of Acme.";
    assert_eq!(
        translated(http, id, text),
        "fr:The Conseil meets. fr:A boarding house of Acme."
    );
    let form = format!("text=board&source_lang=en&target_lang=fr&glossary_id={id}");
    let form = http.form("/v2/translate", &form).json();
    assert_eq!(form["translations"][0]["text"], "conseil");
    let pairs = http.get("/v2/glossary-language-pairs").json();
    let pair = json!({"source_lang": "en", "target_lang": "fr"});
    assert!(
        pairs["supported_languages"]
            .as_array()
            .unwrap()
            .contains(&pair),
        "{pairs}"
    );
    assert!(http.get("/metrics").body.contains("babelmesh_glossaries 1"));
    assert_eq!(http.send("DELETE", &path, "", "").status, 204);
    assert_eq!(http.send("DELETE", &path, "", "").status, 404);
    let gone = translate(http, id, text);
    assert_eq!(
        (gone.status, gone.json()),
        (404, json!({"message": "Glossary not found"}))
    );
}

#[test]
fn wrong_glossaries_and_wrong_uses_are_refused_with_the_reason() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("glossaries.max_glossaries", 1)
            .set("glossaries.max_entries", 2)
    });
    let without_source =
        |id: &str| json!({"text": ["Hello"], "target_lang": "FR", "glossary_id": id});
    for (entries, reason) in [
        ("a\tb\na\tc", "duplicates the one of entry 1"),
        ("a\t", "has an empty target"),
        ("a", "row 1 has 1 columns instead of 2"),
        ("", "there are no entries"),
        ("a\tb\nc\td\ne\tf", "more than 2 entries"),
    ] {
        let refused = http.post("/v2/glossaries", &body("Shop", entries));
        assert_eq!(refused.status, 400, "{refused:?}");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{message}");
    }
    let unnamed = http.post("/v2/glossaries", &body(" ", "a\tb"));
    assert!(
        unnamed.json()["message"]
            .as_str()
            .unwrap()
            .contains("'name'"),
        "{unnamed:?}"
    );
    let id = create(http, "a\tb");
    assert_eq!(
        http.post("/v2/glossaries", &body("Shop", "a\tb")).status,
        413
    );
    let refused = http.post("/v2/translate", &without_source(&id));
    assert_eq!(refused.status, 400, "{refused:?}");
    let german =
        json!({"text": ["Hello"], "source_lang": "EN", "target_lang": "DE", "glossary_id": id});
    let refused = http.post("/v2/translate", &german);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("target_lang DE"), "{refused:?}");
    for (method, path) in [("PUT", "/v2/glossaries"), ("POST", "/v2/glossaries/x")] {
        assert_eq!(
            http.send(method, path, "", "").status,
            405,
            "{method} {path}"
        );
    }
}

#[test]
fn a_glossary_for_several_pairs_is_changed() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let dictionary = |target: &str, entries: &str| json!({"source_lang": "en", "target_lang": target, "entries": entries, "entries_format": "csv"});
    let body = json!({"name": "Shop", "dictionaries": [dictionary("fr", "board,conseil"), dictionary("de", "board,Vorstand")]});
    let made = http.post("/v3/glossaries", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let id = made["glossary_id"].as_str().unwrap();
    let path = format!("/v3/glossaries/{id}");
    assert_eq!(made["dictionaries"][1]["entry_count"], 1);
    assert_eq!(http.get(&path).json(), made);
    // It has no short form.
    assert_eq!(http.get("/v2/glossaries").json(), json!({"glossaries": []}));
    assert_eq!(http.get(&format!("/v2/glossaries/{id}")).status, 400);
    let change =
        json!({"name": "Store", "dictionaries": [dictionary("fr", "board,comité\nstaff,équipe")]});
    let changed = http.json("PATCH", &path, &change);
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["name"], "Store");
    let entries = http.get(&format!("{path}/entries?source_lang=en&target_lang=fr"));
    let entries = entries.json()["dictionaries"][0]["entries"].clone();
    assert_eq!(entries, "board\tcomité\nstaff\téquipe");
    assert_eq!(translated(http, id, "The board."), "fr:The comité.");
    let replaced = http.json(
        "PUT",
        &format!("{path}/dictionaries"),
        &dictionary("fr", "board,bureau"),
    );
    assert_eq!(
        replaced.json(),
        json!({"source_lang": "en", "target_lang": "fr", "entry_count": 1})
    );
    assert_eq!(translated(http, id, "The board."), "fr:The bureau.");
    let german = format!("{path}/dictionaries?source_lang=en&target_lang=de");
    assert_eq!(http.send("DELETE", &german, "", "").status, 204);
    assert_eq!(http.send("DELETE", &german, "", "").status, 404);
    let last = format!("{path}/dictionaries?source_lang=en&target_lang=fr");
    assert_eq!(http.send("DELETE", &last, "", "").status, 400);
    assert_eq!(http.send("DELETE", &path, "", "").status, 204);
    assert_eq!(http.get(&path).status, 404);
}

#[test]
fn a_glossary_needs_a_key_where_keys_are_needed() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    fs::write(&file, "").unwrap();
    let (_node, http) = start(&sandbox, |s| {
        s.set(
            "http.keys_file",
            format_args!("{:?}", file.display().to_string()),
        )
    });
    assert_eq!(
        http.post("/v2/glossaries", &body("Shop", "a\tb")).status,
        403
    );
    for path in [
        "/v2/glossaries",
        "/v2/glossaries/x/entries",
        "/v3/glossaries",
    ] {
        assert_eq!(http.get(path).status, 403, "{path}");
    }
    assert_eq!(http.send("DELETE", "/v2/glossaries/x", "", "").status, 403);
}

/// A node at a broker that outlives it.
fn at(broker: &Broker, settings: Settings) -> LocalNode {
    LocalNode::start(&broker.node(settings).set("http.listen", "\"127.0.0.1:0\""))
}

#[test]
fn every_node_knows_the_glossaries_also_after_a_restart_and_beside_records_that_cannot_be_read() {
    let (sandbox, broker) = (Sandbox::new(), Broker::start());
    let settings = || broker.node(sandbox.node());
    let (one, other) = (at(&broker, settings()), at(&broker, settings()));
    let id = create(one.http(), "board\tconseil");
    wait_until_known(other.http(), &id);
    assert_eq!(
        translated(other.http(), &id, "The board."),
        "fr:The conseil."
    );
    let writer = TopicWriter::new(&broker.clients());
    for (key, value) in [
        ("", "x"),
        ("bad", "no JSON"),
        ("bad", "{}"),
        ("wrong", r#"{"name":"","createdMs":1,"dictionaries":[]}"#),
    ] {
        writer.write(&Record::to(TOPIC, key, value));
    }
    writer.flush();
    // What comes behind them is read.
    let more = create(one.http(), "staff\téquipe");
    wait_until_known(other.http(), &more);
    assert_eq!(
        other.http().get("/v2/glossaries").json()["glossaries"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let metrics = other.http().get("/metrics").body;
    assert!(
        metrics.contains("babelmesh_node_events_total{event=\"glossary_skipped\"}"),
        "{metrics}"
    );
    drop(other);
    let deleted = one
        .http()
        .send("DELETE", &format!("/v2/glossaries/{more}"), "", "");
    assert_eq!(deleted.status, 204);
    let again = at(&broker, settings());
    wait_until_known(again.http(), &id);
    assert_eq!(
        translated(again.http(), &id, "The board."),
        "fr:The conseil."
    );
    assert_eq!(
        again.http().get(&format!("/v2/glossaries/{more}")).status,
        404
    );
}

#[test]
fn requests_from_kafka_use_glossaries_and_terms_of_their_own() {
    let (sandbox, broker) = (Sandbox::new(), Broker::start());
    let node = at(&broker, sandbox.node().set("glossaries.wait_ms", 3_000));
    let id = create(node.http(), "board\tconseil");
    let mut backend = broker.backend();
    let mut ask = |message: &str, targets: &[&str], fields: Value| {
        let mut request = request(message, "The board meets.", targets, message);
        let fields = fields.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(fields);
        backend.ask(&request);
    };
    ask("glossary", &["fr"], json!({"glossaryId": id}));
    ask("alias", &["fr"], json!({"glossary_id": id}));
    ask(
        "terms",
        &["fr"],
        json!({"terms": [{"source": "board", "target": "comité"}]}),
    );
    ask("plain", &["fr"], json!({}));
    ask("pair", &["fr", "de"], json!({"glossaryId": id}));
    ask(
        "unknown",
        &["fr"],
        json!({"glossaryId": "def3a26b-3e84-45b3-84ae-0c0aaf3525f7"}),
    );
    ask(
        "bad",
        &["fr"],
        json!({"terms": [{"source": "", "target": "x"}]}),
    );
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let result = |message: &str, target: &str| {
        let answer = backend.ids.of(message, target);
        match answer.error() {
            "" => answer.text().to_owned(),
            error => error.to_owned(),
        }
    };
    for (message, target, expected) in [
        ("glossary", "fr", "fr:The conseil meets."),
        ("alias", "fr", "fr:The conseil meets."),
        ("terms", "fr", "fr:The comité meets."),
        ("plain", "fr", "fr:The board meets."),
        ("pair", "fr", "fr:The conseil meets."),
        ("pair", "de", "unknown_glossary"),
        ("unknown", "fr", "unknown_glossary"),
        ("bad", "fr", "invalid_request"),
    ] {
        assert_eq!(result(message, target), expected, "{message} {target}");
    }
}

#[test]
fn a_node_without_the_topic_translates_and_says_that_it_has_no_glossaries() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("kafka.topics.glossaries", "\"\""));
    let refused = http.post("/v2/glossaries", &body("Shop", "a\tb"));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(
        refused.body.contains("kafka.topics.glossaries"),
        "{refused:?}"
    );
    assert_eq!(http.get("/v2/glossaries").json(), json!({"glossaries": []}));
    let plain = json!({"text": ["Hello"], "source_lang": "EN", "target_lang": "FR"});
    assert_eq!(http.post("/v2/translate", &plain).status, 200);
}

#[test]
fn a_text_that_another_node_translates_takes_its_terms_along() {
    let sandbox = Sandbox::new();
    let listen = free_addresses::<2>();
    let edge = free_address();
    let node = |number: usize, source| {
        let settings = sandbox.node().clustered(listen[number], listen[0]);
        let settings = sandbox.with_pair(settings, (source, "fr"));
        settings.set("kafka.languages", r#"["fr"]"#)
    };
    // Each has a broker of its own: the second one knows no glossary.
    let first = node(0, "de").set("http.listen", format_args!("\"{edge}\""));
    let nodes = [
        ProcessNode::start(&sandbox, &first),
        ProcessNode::start(&sandbox, &node(1, "en")),
    ];
    meet(&nodes);
    let http = HttpClient(edge);
    wait_until("both sources are listed", PATIENCE, || {
        let listed = http.get("/languages").body;
        listed.contains("\"de\"") && listed.contains("\"en\"")
    });
    let id = create(http, "board\tconseil\nunused\tinutile");
    assert_eq!(
        translated(http, &id, "The BOARD meets."),
        "fr:The CONSEIL meets."
    );
    assert_eq!(
        translated(http, &id, "The board meets."),
        "fr:The conseil meets."
    );
}
