//! Pairs without a model of their own: two nodes have one model each, and together a route.

use std::{ops::Range, time::Duration};

use babelmesh_integration_tests::{
    Backend, Kafka, MachineLock, PATIENCE, ProcessNode, Sandbox, free_address, free_addresses,
    http::HttpClient, meet, request, wait_until,
};
use serde_json::{Value, json};

/// How long it may take until everything is answered.
const SETTLE: Duration = Duration::from_secs(120);

const PORTUGUESE: &str = "Onde fica a estação de comboios, por favor?";

fn ask(backend: &mut Backend, numbers: Range<usize>) {
    for number in numbers {
        let (id, conversation) = (format!("m{number}"), format!("c{}", number % 13));
        let text = format!("{PORTUGUESE} {number}");
        let mut request = request(&id, &text, &["fr"], &conversation);
        request["sourceLanguage"] = json!("pt");
        if number.is_multiple_of(2) {
            request["priority"] = json!("low");
        }
        backend.ask(&request);
    }
    backend.flush();
}

/// Every answer came over English, and there is exactly one of each.
fn assert_right(backend: &Backend) {
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        let result = &answer.result;
        assert_eq!(answer.error(), "", "{result:?}");
        assert_eq!(result.model_id, "pt-en+en-fr", "{result:?}");
        assert_eq!(result.route, ["pt", "en", "fr"], "{result:?}");
        let text = format!("{PORTUGUESE} {}", &result.message_id[1..]);
        assert_eq!(answer.text(), format!("fr:en:{text}"), "{result:?}");
    }
}

#[test]
fn a_route_over_two_nodes_answers_every_message_once_also_while_each_of_them_is_killed() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let listen = free_addresses::<2>();
    let node = |number: usize, pair| {
        let settings = kafka.node(sandbox.node());
        let settings = settings.clustered(listen[number], listen[0]);
        let settings = settings.set("kafka.languages", r#"["en", "fr"]"#);
        ProcessNode::start(&sandbox, &sandbox.with_pair(settings, pair))
    };
    let mut nodes = [node(0, ("pt", "en")), node(1, ("en", "fr"))];
    meet(&nodes);
    let mut backend = kafka.backend();
    ask(&mut backend, 0..60);
    backend.read_all(SETTLE);
    assert_right(&backend);
    // First the node with the first step is killed with work in hand, then the owner of the partitions.
    for (round, number) in [(1, 0), (2, 1)] {
        ask(&mut backend, round * 60..round * 60 + 30);
        nodes[number].kill();
        ask(&mut backend, round * 60 + 30..round * 60 + 60);
        let waits = !backend.read_until(Duration::from_secs(1), |ids| ids.is_complete());
        assert!(waits, "a step needs the node that was killed");
        nodes[number].start_again();
        backend.read_all(SETTLE);
        assert_right(&backend);
    }
    assert_eq!(backend.ids.all().count(), 180);
    assert!(backend.letters(0, Duration::from_secs(2)).is_empty());
}

#[test]
fn any_node_translates_a_pivoted_pair_over_http_and_lists_it() {
    let sandbox = Sandbox::new();
    let listen = free_addresses::<2>();
    let edges = [free_address(), free_address()];
    let node = |number: usize, pair| {
        let settings = sandbox.node().clustered(listen[number], listen[0]);
        let settings = settings.set("http.listen", format_args!("\"{}\"", edges[number]));
        ProcessNode::start(&sandbox, &sandbox.with_pair(settings, pair))
    };
    let nodes = [node(0, ("pt", "en")), node(1, ("en", "fr"))];
    meet(&nodes);
    for edge in edges {
        let client = HttpClient(edge);
        wait_until("the pivoted pair is listed", PATIENCE, || {
            let listed = client.get("/languages").body;
            let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
            let all = listed.as_array().cloned().unwrap_or_default();
            let portuguese = all.iter().find(|language| language["code"] == "pt");
            portuguese.is_some_and(|found| found["targets"] == json!(["en", "fr"]))
        });
        let body = json!({"q": PORTUGUESE, "source": "pt", "target": "fr"});
        let answer = client.post("/translate", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            answer.body.contains(&format!("fr:en:{PORTUGUESE}")),
            "{}",
            answer.body
        );
        let metrics = client.get("/metrics").body;
        assert!(
            metrics.contains("babelmesh_pivoted_jobs_total{pivot=\"en\"} 1"),
            "{metrics}"
        );
        let back = json!({"q": "Bonjour, où est la gare ?", "source": "fr", "target": "pt"});
        assert_eq!(client.post("/translate", &back).status, 400);
    }
}

#[test]
fn pivots_can_be_switched_off() {
    let sandbox = Sandbox::new();
    let edge = free_address();
    let models = ["pt-en", "en-fr"].map(|id| {
        let (source, target) = id.split_once('-').unwrap();
        sandbox.model("models-both", id, &[source], &[target])
    });
    let settings = sandbox
        .node()
        .set("http.listen", format_args!("\"{edge}\""));
    let settings = settings
        .set("models.directories", &models[0])
        .set("models.load", r#"["pt-en", "en-fr"]"#)
        .set("models.pivot", false);
    let _node = ProcessNode::start(&sandbox, &settings);
    let client = HttpClient(edge);
    let body = json!({"q": PORTUGUESE, "source": "pt", "target": "fr"});
    assert_eq!(client.post("/translate", &body).status, 400);
    let english = json!({"q": PORTUGUESE, "source": "pt", "target": "en"});
    assert_eq!(client.post("/translate", &english).status, 200);
}
