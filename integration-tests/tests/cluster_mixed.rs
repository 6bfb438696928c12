//! Nodes with models for different sources: whichever of them owns a partition or is asked, the text is translated by a model that reads it.

use std::{fs, time::Duration};

use babelmesh_integration_tests::{
    Backend, Kafka, MachineLock, PATIENCE, ProcessNode, Sandbox, Settings, free_address,
    free_addresses, http::HttpClient, meet, request, wait_until,
};
use serde_json::json;

/// How long it may take until everything is answered.
const SETTLE: Duration = Duration::from_secs(120);

const ENGLISH: &str = "Where is the train station, please? I have to catch the train at eight.";
const GERMAN: &str = "Wo ist bitte der nächste Bahnhof? Ich muss den Zug um acht Uhr nehmen.";

/// A node that translates into French from one language only.
fn from(sandbox: &Sandbox, settings: Settings, source: &str) -> Settings {
    let settings = sandbox.with_pair(settings, (source, "fr"));
    settings.set("kafka.languages", r#"["fr"]"#)
}

/// What is asked in turns: the language as the request spells it, that of the text, and the text.
const KINDS: [(&str, &str, &str); 4] = [
    ("en", "en", ENGLISH),
    ("de", "de", GERMAN),
    ("auto", "en", ENGLISH),
    ("auto", "de", GERMAN),
];

fn ask(backend: &mut Backend, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let (source, _, text) = KINDS[number % KINDS.len()];
        let text = format!("{text} {number}");
        let mut request = request(
            &format!("m{number}"),
            &text,
            &["fr"],
            &format!("c{}", number % 17),
        );
        request["sourceLanguage"] = json!(source);
        // In both lanes, so that each node has partitions.
        if (number / KINDS.len()).is_multiple_of(2) {
            request["priority"] = json!("low");
        }
        backend.ask(&request);
    }
    backend.flush();
}

/// Every answer is a translation by the model that reads its text, and there is exactly one of each.
fn assert_right(backend: &Backend) {
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        let result = &answer.result;
        assert_eq!(answer.error(), "", "{result:?}");
        let number: usize = result.message_id[1..].parse().unwrap();
        let (source, language, _) = KINDS[number % KINDS.len()];
        assert_eq!(result.model_id, format!("{language}-fr"), "{result:?}");
        assert_eq!(result.source_language, source);
        let detected = (source == "auto").then_some(language);
        assert_eq!(result.detected_language.as_deref(), detected, "{result:?}");
        assert!(answer.text().starts_with("fr:"), "{result:?}");
    }
}

#[test]
fn jobs_of_any_source_are_translated_exactly_once_whichever_node_owns_their_partition_also_while_one_restarts()
 {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let listen = free_addresses::<2>();
    let node = |number: usize, source| {
        let settings = kafka
            .node(sandbox.node())
            .clustered(listen[number], listen[0]);
        from(&sandbox, settings, source)
    };
    let mut nodes = [
        ProcessNode::start(&sandbox, &node(0, "de")),
        ProcessNode::start(&sandbox, &node(1, "en")),
    ];
    meet(&nodes);
    let mut backend = kafka.backend();
    ask(&mut backend, 0..100);
    backend.read_all(SETTLE);
    assert_right(&backend);
    for (node, other) in [(0, "en-fr"), (1, "de-fr")] {
        let name = nodes[node].name();
        let of = |a: &&babelmesh_integration_tests::Answer| {
            a.result.node == name && a.result.model_id == other
        };
        assert!(
            backend.ids.all().filter(of).count() > 0,
            "{name} gave nothing away"
        );
    }
    // One is killed with jobs in hand, its own and those of the other one.
    ask(&mut backend, 100..125);
    nodes[1].kill();
    ask(&mut backend, 125..150);
    // What only the other one can do waits for it, and holds nothing else up for ever.
    assert!(!backend.read_until(Duration::from_secs(2), |ids| ids.is_complete()));
    nodes[1].start_again();
    ask(&mut backend, 150..200);
    backend.read_all(SETTLE);
    assert_right(&backend);
    assert_eq!(backend.ids.all().count(), 200);
    assert!(backend.letters(0, Duration::from_secs(2)).is_empty());
}

#[test]
fn http_requests_in_any_language_are_translated_by_a_node_that_reads_it_or_refused() {
    let sandbox = Sandbox::new();
    let listen = free_addresses::<2>();
    let edges = [free_address(), free_address()];
    let node = |number: usize, source| {
        let settings = sandbox.node().clustered(listen[number], listen[0]);
        let settings = settings.set("http.listen", format_args!("\"{}\"", edges[number]));
        ProcessNode::start(&sandbox, &from(&sandbox, settings, source))
    };
    let mut nodes = [node(0, "de"), node(1, "en")];
    meet(&nodes);
    for edge in edges {
        let client = HttpClient(edge);
        wait_until("both sources are listed", PATIENCE, || {
            let listed = client.get("/languages").body;
            listed.contains("\"de\"") && listed.contains("\"en\"")
        });
        for (source, language, text) in KINDS {
            let body = json!({"text": text, "source_language": source, "target_language": "fr"});
            let answer = client.post("/translate", &body);
            assert_eq!(answer.status, 200, "{source} {language}: {}", answer.body);
            assert!(
                answer.body.contains(&format!("{language}-fr")),
                "{}",
                answer.body
            );
        }
        let body = json!({"text": "¿Dónde está la estación?", "source_language": "es", "target_language": "fr"});
        assert_eq!(client.post("/translate", &body).status, 400);
    }
    // Nobody guesses that English is German because the node that reads English is away.
    nodes[1].stop(PATIENCE);
    let client = HttpClient(edges[0]);
    for source in ["en", "auto"] {
        let body = json!({"text": ENGLISH, "source_language": source, "target_language": "fr"});
        let answer = client.post("/translate", &body);
        assert!(
            [400, 503].contains(&answer.status),
            "{source}: {}",
            answer.body
        );
    }
    let body = json!({"text": GERMAN, "source_language": "auto", "target_language": "fr"});
    assert_eq!(client.post("/translate", &body).status, 200);
}

/// A node that translates from English into French by a model of one tier only.
fn of_tier(sandbox: &Sandbox, settings: Settings, tier: &str) -> Settings {
    let (folder, id) = (format!("models-{tier}"), format!("{tier}-fr"));
    let models = sandbox.model(&folder, &id, &["en"], &["fr"]);
    let manifest = sandbox.folder().join(folder).join(&id).join("model.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replace("tier = \"basic\"", &format!("tier = {tier:?}"));
    fs::write(manifest, changed).unwrap();
    settings
        .set("models.directories", models)
        .set("models.load", format_args!("[{id:?}]"))
        .set("kafka.languages", r#"["fr"]"#)
}

#[test]
fn a_job_goes_to_the_node_with_the_tier_that_it_asks_for_and_is_done_by_its_own_node_while_that_is_away()
 {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let listen = free_addresses::<2>();
    let node = |number: usize, tier| {
        let settings = kafka
            .node(sandbox.node())
            .clustered(listen[number], listen[0]);
        ProcessNode::start(&sandbox, &of_tier(&sandbox, settings, tier))
    };
    let mut nodes = [node(0, "basic"), node(1, "premium")];
    meet(&nodes);
    let mut backend = kafka.backend();
    let ask = |backend: &mut Backend, numbers: std::ops::Range<usize>| {
        for number in numbers {
            let (id, conversation) = (format!("m{number}"), format!("c{}", number % 17));
            let mut request = request(&id, &format!("{ENGLISH} {number}"), &["fr"], &conversation);
            request["modelType"] = json!(["basic", "premium"][number % 2]);
            backend.ask(&request);
        }
        backend.flush();
    };
    ask(&mut backend, 0..100);
    backend.read_all(SETTLE);
    let mut given_away = 0;
    for answer in backend.ids.all() {
        let result = &answer.result;
        let number: usize = result.message_id[1..].parse().unwrap();
        let tier = ["basic", "premium"][number % 2];
        assert_eq!(result.model_id, format!("{tier}-fr"), "{result:?}");
        let at_home = result.node == nodes[number % 2].name();
        given_away += usize::from(!at_home);
    }
    assert!(
        given_away > 0,
        "every job was read by the node that has its tier"
    );
    nodes[1].stop(PATIENCE);
    ask(&mut backend, 100..150);
    backend.read_all(SETTLE);
    backend.ids.assert_exactly_once();
    let late: Vec<_> = backend
        .ids
        .all()
        .filter(|answer| answer.result.message_id.len() == 4)
        .collect();
    assert_eq!(late.len(), 50);
    for answer in late {
        assert_eq!(answer.result.model_id, "basic-fr", "{:?}", answer.result);
    }
}
