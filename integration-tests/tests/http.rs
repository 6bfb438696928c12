//! The HTTP edge of a whole node: answers, rejections and robustness.

use std::{
    convert::identity,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use babelmesh::api::keys;
use babelmesh_actors::events::Event;
use babelmesh_integration_tests::{
    LocalNode, PATIENCE, ProcessNode, Sandbox, free_address,
    http::{Answer, HttpClient, read_answer, request, start},
    processes, wait_for, wait_until,
};
use serde_json::{Value, json};

/// What the fake engine makes of a sentence.
fn fake(text: &str, target: &str) -> String {
    format!("{target}:{text}")
}

fn error(answer: &Value) -> &str {
    answer["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn libretranslate_is_answered_as_its_clients_expect() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    let text = "Where is the train station?";
    let french = fake(text, "fr");
    let json = http.post(
        "/translate",
        &json!({"q": text, "source": "en", "target": "fr"}),
    );
    assert_eq!(json.status, 200, "{json:?}");
    assert_eq!(json.json(), json!({"translatedText": french}));
    let form = http.form(
        "/translate",
        "q=Where+is+the+train+station%3F&source=en&target=fr&format=text&api_key=",
    );
    assert_eq!(form.json(), json!({"translatedText": french}));
    let query = http.send(
        "POST",
        "/translate?q=Where+is+the+train+station%3F&source=en&target=fr",
        "",
        "",
    );
    assert_eq!(query.json(), json!({"translatedText": french}));
    let many = http.post(
        "/translate",
        &json!({"q": [text, "", "Good night!"], "source": "en", "target": "de", "alternatives": 3}),
    );
    let expected = [fake(text, "de"), String::new(), fake("Good night!", "de")];
    let answer = json!({"translatedText": expected, "alternatives": [[], [], []]});
    assert_eq!(many.json(), answer);
    for source in ["auto", "AUTO"] {
        let auto = http.post(
            "/translate",
            &json!({"q": text, "source": source, "target": "fr"}),
        );
        let auto = auto.json();
        assert_eq!(auto["detectedLanguage"]["language"], "en", "{source}");
        assert!(auto["detectedLanguage"]["confidence"].as_f64().unwrap() > 1.0);
    }
    let html = json!({"q": "<p class=\"a\">Good night!</p>", "source": "en", "target": "fr", "format": "html"});
    let html = http.post("/translate", &html).json();
    let html = html["translatedText"].as_str().unwrap();
    assert!(
        html.starts_with("<p class=\"a\">") && html.ends_with("</p>"),
        "{html}"
    );
    let detected = http
        .form("/detect", "q=Wo+ist+bitte+der+n%C3%A4chste+Bahnhof%3F")
        .json();
    assert_eq!(detected[0]["language"], "de");
    let languages = http.get("/languages").json();
    let english = languages
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["code"] == "en")
        .unwrap();
    assert_eq!(english["name"], "English");
    assert_eq!(english["targets"], json!(["de", "fr"]));
    let settings = http.get("/frontend/settings").json();
    assert_eq!(
        (&settings["keyRequired"], &settings["charLimit"]),
        (&json!(false), &json!(100_000))
    );
}

#[test]
fn deepl_and_meeshy_are_answered_as_their_clients_expect() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    let texts = ["Good night!", "Hello, how are you today?"];
    let deepl = http.post(
        "/v2/translate",
        &json!({"text": texts, "target_lang": "FR", "source_lang": "EN"}),
    );
    let expected = texts.map(|text| {
        json!({"detected_source_language": "EN", "text": fake(text, "fr"), "billed_characters": text.len()})
    });
    assert_eq!(deepl.json(), json!({"translations": expected}));
    let form = http.form(
        "/v2/translate",
        "text=Good+night!&text=Hello&target_lang=de",
    );
    assert_eq!(form.json()["translations"].as_array().unwrap().len(), 2);
    let usage = http.get("/v2/usage").json();
    assert_eq!(usage["character_count"], 36 + 16);
    let targets = http.get("/v2/languages?type=target").json();
    assert!(
        targets
            .as_array()
            .unwrap()
            .iter()
            .any(|l| l["language"] == "FR" && l["name"] == "French")
    );
    let refused = http.post(
        "/v2/translate",
        &json!({"text": ["a"], "target_lang": "XX"}),
    );
    assert_eq!(
        (refused.status, &refused.json()["message"]),
        (400, &json!("Value for 'target_lang' not supported."))
    );
    let items = json!([
        {"text": "Good night!", "source_language": "en", "target_language": "fr"},
        {"text": "Good night!", "source_language": "en", "target_language": "xx"},
    ]);
    let batch = http.post("/translate/batch", &items).json();
    assert_eq!(batch[0]["translated_text"], fake("Good night!", "fr"));
    assert_eq!(batch[1]["error"]["code"], "unsupported_language");
    let one = json!({"text": "Good night!", "source_language": "auto", "target_language": "fr", "model_type": "premium"});
    let one = http.post("/translate", &one).json();
    assert_eq!(
        (&one["translated_text"], &one["detected_language"]),
        (&json!(fake("Good night!", "fr")), &json!("en"))
    );
    let models = http.get("/models").json();
    assert_eq!(
        (&models[0]["id"], &models[0]["loaded"]),
        (&json!("demo-en-fr-de"), &json!(true))
    );
}

#[test]
fn answers_tell_which_tier_was_used_and_whether_the_cache_had_it() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("cache.memory_mb", 16));
    let meeshy = |text: &str| {
        let body = json!({"text": text, "source_language": "en", "target_language": "fr", "model_type": "premium"});
        http.post("/translate", &body).json()
    };
    let first = meeshy("Good night!");
    assert_eq!(
        first["model_type_used"], "basic",
        "the node has no other: {first}"
    );
    assert_eq!(first["from_cache"], false);
    assert_eq!(meeshy("Good night!")["from_cache"], true);
    let untouched = meeshy("12:30");
    assert!(untouched.get("model_type_used").is_none(), "{untouched}");
    assert_eq!(untouched["from_cache"], false);
    let deepl = |kind: Option<&str>| {
        let body = json!({"text": ["Hello"], "target_lang": "FR", "model_type": kind});
        http.post("/v2/translate", &body)
    };
    let used = |kind| deepl(kind).json()["translations"][0]["model_type_used"].clone();
    assert_eq!(used(Some("prefer_quality_optimized")), "latency_optimized");
    assert_eq!(used(None), Value::Null);
    assert_eq!(deepl(Some("best")).status, 400);
}

#[test]
fn errors_use_the_format_of_the_api_that_was_called() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("intake.max_text_chars", 50).set("http.max_texts", 3)
    });
    let long = "a".repeat(51);
    for (body, status, message) in [
        (
            json!({"source": "en", "target": "fr"}),
            400,
            "Invalid request: missing q parameter",
        ),
        (
            json!({"q": "", "source": "en", "target": "fr"}),
            400,
            "Invalid request: missing q parameter",
        ),
        (
            json!({"q": "a", "target": "fr"}),
            400,
            "Invalid request: missing source parameter",
        ),
        (
            json!({"q": "a", "source": "en"}),
            400,
            "Invalid request: missing target parameter",
        ),
        (
            json!({"q": "a", "source": "xx", "target": "fr"}),
            400,
            "xx is not supported",
        ),
        (
            json!({"q": "a", "source": "en", "target": "klingon"}),
            400,
            "klingon is not supported",
        ),
        (
            json!({"q": "a", "source": "en", "target": "fr", "format": "pdf"}),
            400,
            "pdf format is not supported; supported: text, html, xml, markdown, srt, vtt",
        ),
        (
            json!({"q": "a", "source": "en", "target": "fr", "alternatives": "x"}),
            400,
            "Invalid request: alternatives parameter is not a number",
        ),
        (
            json!({"q": long, "source": "en", "target": "fr"}),
            400,
            "Invalid request: request (51) exceeds text limit (50)",
        ),
        (
            json!({"q": ["a", "b", "c", "d"], "source": "en", "target": "fr"}),
            400,
            "Invalid request: request (4) exceeds text limit (3)",
        ),
        (
            json!({"q": {"a": 1}, "source": "en", "target": "fr"}),
            400,
            "Invalid request: q parameter is not a text",
        ),
        (
            json!({"q": ["a", 1], "source": "en", "target": "fr"}),
            400,
            "Invalid request: q parameter is not a list of texts",
        ),
        (
            json!({"q": "Bonjour", "source": "fr", "target": "de"}),
            400,
            "German (de) is not available as a target language from French (fr)",
        ),
    ] {
        let answer = http.post("/translate", &body);
        assert_eq!(
            (answer.status, error(&answer.json())),
            (status, message),
            "{body}"
        );
    }
    let json = "Content-Type: application/json\r\n";
    for body in [
        "{\"q\": ",
        "\u{0}",
        "[1,2",
        "\"text\"",
        &"[".repeat(100_000),
    ] {
        let answer = http.send("POST", "/translate", json, body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(error(&answer.json()).starts_with("Invalid "));
    }
    assert_eq!(http.get("/nowhere").status, 404);
    assert_eq!(error(&http.get("/nowhere").json()), "Not found");
    assert_eq!(http.get("/translate").status, 405);
}

#[test]
fn wrong_keys_count_for_their_address_and_keep_nobody_out_who_has_one() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "first").unwrap();
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.keys_file", file.display())
            .set("http.requests_per_minute", 3)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
    let ask = |number: usize, key: &str| {
        if number.is_multiple_of(2) {
            let mut body: Value = serde_json::from_str(&body).unwrap();
            body["api_key"] = json!(key);
            return http.post("/translate", &body).status;
        }
        let head = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
        http.send("POST", "/translate", &head, &body).status
    };
    let guesses: Vec<_> = (0..6).map(|n| ask(n, &format!("bm_wrong{n}"))).collect();
    assert_eq!(guesses, [403, 403, 403, 429, 429, 429]);
    assert_eq!((ask(0, &key), ask(1, &key)), (200, 200));
}

#[test]
fn a_traceparent_decides_only_for_clients_that_are_let_in() {
    let spans = |http: HttpClient| {
        let page = http.get("/metrics").body;
        let lines = page.lines().filter(|l| {
            l.starts_with("babelmesh_spans_dropped_total")
                || l.starts_with("babelmesh_spans_exported_total")
        });
        lines
            .map(|l| l.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum::<f64>()
    };
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "first").unwrap();
    // Spans are made for a collector that is not there, and counted as dropped.
    let edge = free_address();
    let settings = sandbox
        .node()
        .set("http.listen", format_args!("\"{edge}\""))
        .set("http.keys_file", file.display())
        .set("telemetry.traces.endpoint", "http://127.0.0.1:9")
        .set("telemetry.traces.sampling_ratio", 0)
        .set("telemetry.traces.export_timeout_ms", 200)
        .set("telemetry.traces.queue_spans", 16)
        .set("telemetry.traces.batch_spans", 8);
    // Only a whole process has spans of requests.
    let _node = ProcessNode::start(&sandbox, &settings);
    let http = HttpClient(edge);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ask = |key: &str| {
        let head = format!(
            "Authorization: Bearer {key}\r\ntraceparent: {parent}\r\nContent-Type: application/json\r\n"
        );
        let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
        http.send("POST", "/translate", &head, &body).status
    };
    let before = spans(http);
    assert!((0..200).all(|_| ask("bm_wrong") == 403));
    thread::sleep(Duration::from_secs(2));
    assert!(spans(http) - before < 50.0, "wrong keys make no spans");
    assert!((0..200).all(|_| ask(&key) == 200));
    wait_until("spans are counted", PATIENCE, || {
        spans(http) - before >= 200.0
    });
}

#[test]
fn keys_open_the_translation_and_their_rate_is_limited_each_for_itself() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let (first, second) = (
        keys::create(&file, "first").unwrap(),
        keys::create(&file, "second").unwrap(),
    );
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.keys_file", file.display())
            .set("http.requests_per_minute", 5)
    });
    let ask = |key: &str| {
        http.post(
            "/translate",
            &json!({"q": "Hello", "source": "en", "target": "fr", "api_key": key}),
        )
    };
    let refused = ask("");
    assert_eq!(
        (refused.status, error(&refused.json())),
        (400, "Please contact the server operator to get an API key")
    );
    let refused = ask("bm_wrong");
    assert_eq!(
        (refused.status, error(&refused.json())),
        (403, "Invalid API key")
    );
    for number in 0..5 {
        assert_eq!(ask(&first).status, 200, "request {number}");
    }
    let slow = ask(&first);
    assert_eq!(slow.status, 429);
    assert!(error(&slow.json()).starts_with("Slowdown: "));
    let wait: u64 = slow.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let header =
        format!("Authorization: DeepL-Auth-Key {second}\r\nContent-Type: application/json\r\n");
    let body = json!({"text": ["Hello"], "target_lang": "FR"}).to_string();
    assert_eq!(
        http.send("POST", "/v2/translate", &header, &body).status,
        200
    );
    let refused = http.post(
        "/v2/translate",
        &json!({"text": ["Hello"], "target_lang": "FR"}),
    );
    assert_eq!(refused.status, 403);
    assert!(refused.json()["message"].is_string());
    let page = http.get("/metrics").body;
    assert!(
        !page.contains(&first[3..])
            && page.contains("babelmesh_http_requests_total{route=\"translate\",status=\"429\"} 1"),
        "{page}"
    );
}

#[test]
fn more_requests_than_there_is_room_for_are_told_to_come_back() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.actors(1)
            .set("http.max_concurrent", 4)
            .set("engine.fake.batch_us", 1_500_000)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    let ask = || http.post("/translate", &body);
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|a| a.join().unwrap()).collect()
    });
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(count(200) + count(429), 12, "{answers:?}");
    assert!(
        count(200) >= 4 && count(429) >= 1,
        "{} and {}",
        count(200),
        count(429)
    );
    let refused = answers.iter().find(|a| a.status == 429).unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(ask().status, 200, "there is room again");
}

#[test]
fn a_translation_that_takes_too_long_is_given_up() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.actors(1)
            .set("http.timeout_ms", 300)
            .set("engine.fake.batch_us", 2_000_000)
    });
    let started = Instant::now();
    let answer = http.post(
        "/translate",
        &json!({"q": "Hello", "source": "en", "target": "fr"}),
    );
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(
        started.elapsed() < Duration::from_millis(1_900),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn no_engine_is_given_the_text_of_a_client_that_has_gone() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |s| {
        s.actors(1).set("engine.fake.batch_us", 1_500_000)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
    let post = request(
        "POST",
        "/translate",
        "Content-Type: application/json\r\n",
        &body,
    );
    // One keeps the only actor busy.
    let mut patient = http.connect();
    patient.write_all(&post).unwrap();
    wait_until("the actor is busy", PATIENCE, || {
        node.pool()
            .actors
            .iter()
            .any(|a| a.phase == babelmesh_actors::pool::ActorPhase::Busy)
    });
    let mut hasty: Vec<_> = (0..5).map(|_| http.connect()).collect();
    for stream in &mut hasty {
        stream.write_all(&post).unwrap();
    }
    wait_until("they wait behind it", PATIENCE, || node.pool().jobs == 6);
    for stream in &hasty {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    drop(hasty);
    assert_eq!(read_answer(&mut patient).status, 200);
    let abandoned = || {
        let jobs = |event: &Event| match event {
            Event::JobsAbandoned { jobs, .. } => Some(*jobs),
            _ => None,
        };
        node.events()
            .all(jobs)
            .into_iter()
            .map(|(_, jobs)| jobs)
            .sum::<usize>()
    };
    wait_until("they are passed over", PATIENCE, || abandoned() == 5);
    let pool = node.pool();
    assert_eq!((pool.jobs, pool.translated), (0, 1));
}

#[test]
fn a_key_opens_and_is_revoked_while_the_node_runs() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    keys::create(&file, "first").unwrap();
    let (_node, http) = start(&sandbox, |s| s.set("http.keys_file", file.display()));
    let ask = |key: &str| {
        let body = json!({"q": "Hello", "source": "en", "target": "fr", "api_key": key});
        http.post("/translate", &body).status
    };
    let key = keys::create(&file, "second").unwrap();
    wait_until("the new key opens", PATIENCE, || ask(&key) == 200);
    keys::revoke(&file, "second").unwrap();
    let started = Instant::now();
    wait_until("it opens no more", PATIENCE, || ask(&key) == 403);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn pages_of_other_origins_may_use_the_api_where_the_configuration_says_so() {
    let allowed = |origins: &str, origin: &str| {
        let sandbox = Sandbox::new();
        let (_node, http) = start(&sandbox, |s| s.set("http.cors_origins", origins));
        let preflight = format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
        );
        let asked = http.send("OPTIONS", "/translate", &preflight, "");
        let headers = format!("Origin: {origin}\r\nContent-Type: application/json\r\n");
        let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
        let answer = http.send("POST", "/translate", &headers, &body);
        assert_eq!(answer.status, 200, "browsers keep answers, nodes do not");
        let told = |answer: &Answer| {
            let origin = answer.header("access-control-allow-origin");
            origin.map(str::to_owned)
        };
        let (asked, answered) = (told(&asked), told(&answer));
        assert_eq!(asked, answered);
        answered
    };
    let chat = "https://chat.example.org";
    assert_eq!(allowed("[]", chat), None);
    let two = "[\"https://chat.example.org\", \"http://127.0.0.1:3000\"]";
    assert_eq!(allowed(two, chat).as_deref(), Some(chat));
    assert_eq!(allowed(two, "https://elsewhere.example.org"), None);
    assert_eq!(allowed("[\"*\"]", chat).as_deref(), Some("*"));
}

#[test]
fn readiness_health_and_metrics_tell_how_the_node_is() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, identity);
    wait_for("the node is ready", PATIENCE, || {
        (http.get("/ready").status == 200).then_some(())
    });
    assert_eq!(http.get("/live").status, 200);
    assert_eq!(http.get("/health").json(), json!({"status": "ok"}));
    let mut backend = node.backend();
    for number in 0..20 {
        let request =
            babelmesh_integration_tests::request(&format!("m{number}"), "hello", &["fr"], "c1");
        backend.ask(&request);
    }
    backend.ask(&babelmesh_integration_tests::request(
        "bad",
        "hello",
        &["klingon"],
        "c1",
    ));
    backend.read_all(PATIENCE);
    let _ = http.post(
        "/translate",
        &json!({"q": "Hello", "source": "en", "target": "fr"}),
    );
    for sample in [
        "babelmesh_jobs_total{model=\"demo-en-fr-de\",lane=\"normal\",language=\"fr\",outcome=\"translated\"} 20",
        "babelmesh_jobs_total{model=\"demo-en-fr-de\",lane=\"interactive\",language=\"fr\",outcome=\"translated\"}",
        "babelmesh_published_records_total{source=\"jobs\"} 20",
        "babelmesh_dead_letters_total{source=\"requests\",code=\"invalid_language\"} 1",
        "babelmesh_source_paused{source=\"jobs\"} 0.0",
        "babelmesh_node_ready 1.0",
    ] {
        wait_until(sample, PATIENCE, || {
            http.get("/metrics").body.contains(sample)
        });
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let open = http.send("GET", "/metrics", accept, "");
    assert!(
        open.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(open.body.ends_with("# EOF\n"));
    let document = http.get("/openapi.json").json();
    for path in [
        "/translate",
        "/detect",
        "/v2/translate",
        "/translate/batch",
        "/ready",
        "/metrics",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let page = http.get("/docs/");
    assert!(
        page.status == 200 && page.body.contains("swagger"),
        "{page:?}"
    );
    // Every script is in a file of its own, so that the policy stops none of them.
    assert!(!page.body.contains("<script>"), "{page:?}");
    for path in ["/docs/", "/docs/swagger-ui.css", "/docs/nothing"] {
        let answer = http.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("script-src"), "{path}: {policy}");
    }
    assert_eq!(
        http.get("/languages").header("content-security-policy"),
        None
    );
}

#[test]
fn a_node_without_a_warm_model_is_not_ready_and_says_why() {
    let sandbox = Sandbox::new();
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("engine.fake.fail_load", true);
    let node = LocalNode::start_cold(&settings);
    let http = node.http();
    wait_until("the brokers answer", PATIENCE, || {
        let missing = http.get("/ready").json()["missing"].to_string();
        !missing.contains("Kafka")
    });
    let answer = http.get("/ready");
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("model demo-en-fr-de is not warm"),
        "{}",
        answer.body
    );
    assert_eq!(http.get("/live").status, 200, "it lives all the same");
    assert_eq!(http.get("/status").json()["status"], "degraded");
}

#[test]
fn a_thousand_slow_clients_and_giant_bodies_leave_the_node_serving() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.read_timeout_ms", 4_000)
            .set("http.max_body_bytes", 100_000)
    });
    let before = processes::own_memory();
    let mut slow: Vec<_> = (0..1_000).map(|_| http.connect()).collect();
    for (number, stream) in slow.iter_mut().enumerate() {
        let begin: &[u8] = match number % 3 {
            0 => b"POST /transl",
            1 => b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\nq=a",
            _ => b"",
        };
        stream.write_all(begin).unwrap();
    }
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    for _ in 0..20 {
        let started = Instant::now();
        assert_eq!(http.post("/translate", &body).status, 200);
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
    }
    let giant = format!("q={}&source=en&target=fr", "a".repeat(3_000_000));
    let answer = http.form("/translate", &giant);
    assert_eq!(answer.status, 413, "{answer:?}");
    // A body that does not tell its length is cut too.
    let chunk = format!("2710\r\n{}\r\n", "a".repeat(10_000));
    let chunked = "POST /translate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = http.raw(format!("{chunked}{}", chunk.repeat(20)).as_bytes());
    assert_eq!(answer.status, 413, "{answer:?}");
    let incomplete = slow.get_mut(1).unwrap();
    let answer = read_answer(incomplete);
    assert_eq!(answer.status, 408, "{answer:?}");
    for malformed in [
        "GET / HTTP/9.9\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        "POST /translate HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        let answer = http.raw(malformed.as_bytes());
        assert!(answer.status == 400 || answer.status == 0, "{answer:?}");
    }
    let headers = format!("X-Long: {}\r\n", "a".repeat(200_000));
    let answer = http.send("GET", "/live", &headers, "");
    assert_ne!(answer.status, 200, "{answer:?}");
    let grown = processes::own_memory().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB more", grown >> 20);
    assert_eq!(http.post("/translate", &body).status, 200);
}

/// Asks for the dashboard's feed as a page of this origin does, and reads until something is told or the connection ends.
fn watch(http: HttpClient, origin: &str, until: &str) -> (TcpStream, String) {
    let mut stream = http.connect();
    let upgrade = format!(
        "GET /live/feed HTTP/1.1\r\nHost: localhost:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).unwrap();
    let (mut told, mut buffer) = (String::new(), [0; 4_096]);
    while !told.contains(until) {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            bytes => told.push_str(&String::from_utf8_lossy(&buffer[..bytes])),
        }
    }
    (stream, told)
}

#[test]
fn the_dashboard_is_fed_live_and_pages_of_other_sites_are_not() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, identity);
    let page = http.get("/");
    assert!(page.status == 200 && page.body.contains("dashboard.js"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    for path in ["/dashboard.js", "/dashboard.css"] {
        assert_eq!(http.get(path).status, 200, "{path}");
    }
    let (mut stream, told) = watch(http, "http://localhost:80", "\"modelId\":\"demo-en-fr-de\"");
    assert!(told.starts_with("HTTP/1.1 101"), "{told}");
    assert!(told.contains("\"samples\":["), "{told}");
    let (_, refused) = watch(http, "http://elsewhere.example", "\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let started = Instant::now();
    node.drain();
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "a watcher holds no drain up: {:?}",
        started.elapsed()
    );
    // What is left comes, then the end.
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_drain_answers_pending_requests() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |s| {
        s.actors(1).set("engine.fake.batch_us", 1_000_000)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    let asking = thread::spawn(move || http.post("/translate", &body));
    wait_until("the request has arrived", PATIENCE, || {
        node.pool().jobs == 1
    });
    node.drain();
    assert_eq!(asking.join().unwrap().status, 200);
    assert!(
        TcpStream::connect(http.0).is_err(),
        "nobody listens any more"
    );
}
