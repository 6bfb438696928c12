//! Translations of low confidence are made again by a model of a higher tier, over Kafka and HTTP.

use std::fs;

use babelmesh_integration_tests::{Broker, LocalNode, PATIENCE, Sandbox, Settings, request};
use serde_json::json;

const SMALL: &str = "small";
const LARGE: &str = "large";

/// A node with a model of the lowest and one of the highest tier.
fn settings(sandbox: &Sandbox, below: f64) -> Settings {
    let settings =
        sandbox.node_with_models(&[(SMALL, &["en"], &["fr"]), (LARGE, &["en"], &["fr"])]);
    let manifest = sandbox
        .folder()
        .join("models")
        .join(LARGE)
        .join("model.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let premium = text.replace("tier = \"basic\"", "tier = \"premium\"");
    assert_ne!(text, premium);
    fs::write(manifest, premium).unwrap();
    settings
        .set("models.escalation.below", below)
        .set("http.listen", "\"127.0.0.1:0\"")
}

#[test]
fn a_doubtful_text_is_answered_once_by_the_higher_tier() {
    let (sandbox, broker) = (Sandbox::new(), Broker::start());
    // The fake engine is not sure of anything.
    let node = LocalNode::start(&broker.node(settings(&sandbox, 1.0)));
    let mut backend = broker.backend();
    for number in 0..20 {
        let (id, conversation) = (format!("m{number}"), format!("c{}", number % 3));
        backend.ask(&request(
            &id,
            "Good morning to you.",
            &["fr"],
            &conversation,
        ));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        let result = &answer.result;
        assert_eq!(answer.error(), "", "{result:?}");
        assert_eq!(result.model_id, LARGE, "{result:?}");
        assert!(result.confidence_score < 1.0, "{result:?}");
    }
    let http = node.http();
    let body = json!({"q": "Where is the station?", "source": "en", "target": "fr"});
    let answer = http.post("/translate", &body);
    assert_eq!(
        answer.json(),
        json!({"translatedText": "fr:Where is the station?"})
    );
    let metrics = http.get("/metrics").body;
    let count = "babelmesh_escalated_jobs_total{from=\"basic\",to=\"premium\"} 21";
    assert!(metrics.contains(count), "{metrics}");
}

#[test]
fn nothing_is_made_again_by_default() {
    let (sandbox, broker) = (Sandbox::new(), Broker::start());
    let _node = LocalNode::start(&broker.node(settings(&sandbox, 0.0)));
    let mut backend = broker.backend();
    backend.ask(&request("m", "Good morning to you.", &["fr"], "c"));
    backend.read_all(PATIENCE);
    assert_eq!(backend.ids.of("m", "fr").result.model_id, SMALL);
}
