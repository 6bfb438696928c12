//! Commands over HTTP: only with an operator key, and only those that the dashboard offers.

use babelmesh::api::keys;
use babelmesh_integration_tests::{
    LocalNode, Sandbox, free_address,
    http::{Answer, HttpClient},
};
use serde_json::{Value, json};

fn operate(http: &HttpClient, key: Option<&str>, body: &str) -> Answer {
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n"));
    let head = format!(
        "Content-Type: application/json\r\n{}",
        key.unwrap_or_default()
    );
    http.send("POST", "/operate", &head, body)
}

fn command(node: &str, action: &Value) -> String {
    json!({"node": node, "action": action}).to_string()
}

#[test]
fn a_node_without_operator_keys_takes_no_commands_over_http() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "translator").unwrap();
    let seed = free_address();
    let settings = sandbox
        .node()
        .clustered(seed, seed)
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("http.keys_file", file.display());
    let node = LocalNode::start(&settings);
    let http = node.http();
    assert_eq!(
        http.get("/operate/settings").json(),
        json!({"enabled": false})
    );
    let body = command("node-1", &json!({"pause": {"language": "fr"}}));
    for key in [None, Some(key.as_str())] {
        let answer = operate(&http, key, &body);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(
            answer.body.contains("http.operator_keys_file"),
            "{answer:?}"
        );
    }
}

#[test]
fn operators_have_keys_of_their_own_and_guesses_are_limited() {
    let sandbox = Sandbox::new();
    let (translators, operators) = (
        sandbox.folder().join("keys.toml"),
        sandbox.folder().join("operators.toml"),
    );
    let translator = keys::create(&translators, "translator").unwrap();
    let operator = keys::create(&operators, "anna").unwrap();
    let seed = free_address();
    let settings = sandbox
        .node()
        .clustered(seed, seed)
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("http.requests_per_minute", 3)
        .set("http.keys_file", translators.display())
        .set("http.operator_keys_file", operators.display());
    let node = LocalNode::start(&settings);
    let http = node.http();
    assert_eq!(
        http.get("/operate/settings").json(),
        json!({"enabled": true})
    );
    let view = http.get("/status").json();
    let name = view["node"].as_str().unwrap();
    let pause = command(name, &json!({"pause": {"language": "fr"}}));
    assert_eq!(operate(&http, None, &pause).status, 401);
    // Neither the key of a translator nor a guess; after three of them, none is looked at.
    let guesses = [translator.as_str(), "bm_guess", "bm_other", "bm_third"];
    let refused = guesses.map(|key| operate(&http, Some(key), &pause).status);
    assert_eq!(refused, [403, 403, 403, 429]);

    let paused = operate(&http, Some(&operator), &pause);
    assert_eq!(paused.status, 200, "{paused:?}");
    assert_eq!(paused.json(), json!({"node": name, "outcome": "fr paused"}));
    let wrong = [
        (409, command(name, &json!({"pause": {"language": "xx"}}))),
        (409, command("nobody", &json!("drain"))),
        (
            409,
            command(
                name,
                &json!({"set-bounds": {"model": "demo-en-fr-de", "min": 3, "max": 2}}),
            ),
        ),
        (
            403,
            command(name, &json!({"load": {"model": "demo-en-fr-de"}})),
        ),
        (
            403,
            command(name, &json!({"log-filter": {"filter": "trace"}})),
        ),
        (400, command(name, &json!("explode"))),
        (400, "{".to_owned()),
        (400, String::new()),
        (400, format!("\"{}\"", "x".repeat(20_000))),
    ];
    for (status, body) in wrong {
        let answer = operate(&http, Some(&operator), &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    let resume = command(name, &json!({"resume": {"language": "fr"}}));
    assert_eq!(operate(&http, Some(&operator), &resume).status, 200);
}
