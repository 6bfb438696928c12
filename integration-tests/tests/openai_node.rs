//! A node with a model behind an OpenAI-compatible server, over Kafka.

use std::fs;

use babelmesh_integration_tests::{
    Broker, LocalNode, PATIENCE, Sandbox, Settings,
    chat_server::{ChatServer, MODELS},
    executables, request, wait_until,
};
use serde_json::json;

const MODEL: &str = "gemma";

/// A node with a model of a server and no other.
fn settings(sandbox: &Sandbox, server: &ChatServer) -> Settings {
    let models = sandbox.folder().join("models");
    let folder = models.join(MODEL);
    fs::create_dir_all(&folder).unwrap();
    let manifest = format!(
        r#"
        id = "{MODEL}"
        name = "Gemma"
        description = "A model of a stand-in"
        architecture = "openai"
        source_languages = ["en"]
        target_languages = ["fr"]
        licence = "none"
        attribution = "none"
        [limits]
        max_input_tokens = 512
        max_output_tokens = 512
        [endpoint]
        url = {:?}
        model = "{MODEL}"
        prompt = "From {{source}} to {{target}}: {{text}}"
        retries = 1
        initial_backoff_ms = 1
        "#,
        server.url()
    );
    fs::write(folder.join("model.toml"), manifest).unwrap();
    assert!(executables::engine("openai").is_file());
    sandbox
        .node()
        .set(
            "models.directories",
            format_args!("[{:?}]", models.display().to_string()),
        )
        .set("models.load", "[]")
        .set("engine.kind", "auto")
        .set("engine.directory", executables::folder().display())
        .set("pool.max_actors", 1)
}

#[test]
fn a_premium_request_over_kafka_is_answered_by_the_server_and_outlives_its_outage() {
    let (sandbox, broker) = (Sandbox::new(), Broker::start());
    let server = ChatServer::start(Some(&[MODEL]));
    let _node = LocalNode::start(&broker.node(settings(&sandbox, &server)));
    let mut backend = broker.backend();
    let premium = |id: &str, text: &str| {
        let mut request = request(id, text, &["fr"], "c");
        request["modelType"] = json!("premium");
        request
    };
    backend.ask(&premium("m1", "Good morning to you all."));
    backend.read_all(PATIENCE);
    let result = &backend.ids.of("m1", "fr").result;
    assert_eq!(backend.ids.of("m1", "fr").error(), "", "{result:?}");
    assert_eq!(
        backend.ids.of("m1", "fr").text(),
        "Voici Good morning to you all."
    );
    assert_eq!(result.model_id, MODEL);
    let prompt = "From English to French: Good morning to you all.";
    assert_eq!(server.prompts_with(prompt), 1);

    server.set_down(true);
    let lists = || {
        let asked = server.asked();
        asked.iter().filter(|asked| asked.path == MODELS).count()
    };
    let before = lists();
    backend.ask(&premium("m2", "Where is the station?"));
    // The engine ends, and another one looks for the server.
    wait_until("the engine is started again", PATIENCE, || lists() > before);
    server.set_down(false);
    backend.read_all(PATIENCE);
    assert_eq!(
        backend.ids.of("m2", "fr").text(),
        "Voici Where is the station?"
    );
    backend.ids.assert_exactly_once();
}
