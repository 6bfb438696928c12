//! Texts in other formats than plain text, from every edge to the answer. The fake engine puts `fr:` before everything that a model sees, so
//! that without these marks each translation is its source again.

use std::net::TcpStream;

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, ProcessNode, Record, Sandbox, free_address,
    http::{HttpClient, start},
    piped, wait_until,
};
use serde_json::{Value, json};

/// A source, and parts of it that no model may see.
struct Case {
    source: &'static str,
    kept: &'static [&'static str],
}

const HTML: [Case; 6] = [
    Case {
        source: "<p>Look at <span translate=\"no\">:happy dog:</span> now</p>",
        kept: &["<span translate=\"no\">:happy dog:</span>"],
    },
    Case {
        source: "<div class=\"x notranslate y\">Open <b>door</b></div><p>Hello</p>",
        kept: &["<div class=\"x notranslate y\">Open <b>door</b></div>"],
    },
    Case {
        source: "<style>p { color: red } .big em</style><p>Run <code>make the build</code> first</p>",
        kept: &[
            "<style>p { color: red } .big em</style>",
            "<code>make the build</code>",
        ],
    },
    Case {
        source: "<!-- first line\nsecond line of a comment -->\n<p>Hello</p>",
        kept: &["<!-- first line\nsecond line of a comment -->"],
    },
    Case {
        source: "<a\n  href=\"https://example.com/\"\n  title=\"Read more about the dog\">the dog</a>",
        kept: &["<a\n  href=\"https://example.com/\"\n  title=\"Read more about the dog\">"],
    },
    Case {
        source: "<p>Tom &amp; Jerry don&#39;t know.</p>",
        kept: &["<p>"],
    },
];

const XML: [Case; 2] = [
    Case {
        source: "Hello <x>my dear friend</x>, <keep>open door</keep>!",
        kept: &["<x>my dear friend</x>", "<keep>open door</keep>"],
    },
    Case {
        source: "<par>Enter at most <placeholder value=\"max\"/> letters.</par><keep>a &lt; b</keep>",
        kept: &["<placeholder value=\"max\"/>", "<keep>a &lt; b</keep>"],
    },
];

const MARKDOWN: [Case; 3] = [
    Case {
        source: "| Name | Age |\n|------|-----|\n| Old dog | ten |\n\nThat is all.",
        kept: &["|------|-----|"],
    },
    Case {
        source: "Read [our guide](docs/set-up.md \"The guide\") first.",
        kept: &["](docs/set-up.md"],
    },
    Case {
        source: "# The door\n\n```\nopen the door --now\n```\n\n> Then *wait*.\n",
        kept: &["# ", "```\nopen the door --now\n```", "> "],
    },
];

const SRT: &str = "1\r\n00:01:05,250 --> 00:01:09,000\r\nThe old man who lives\r\nnear the station is here.\r\n\r\n\
                   2\r\n00:01:10,000 --> 00:01:12,000\r\n{\\an8}Good morning!\r\n";

/// Whether a translation into French by the fake engine is whole.
fn assert_whole(case: &Case, translated: &str) {
    assert_whole_in("fr", case, translated);
}

fn assert_whole_in(language: &str, case: &Case, translated: &str) {
    let (source, kept) = (case.source, case.kept);
    let mark = format!("{language}:");
    assert!(translated.contains(&mark), "{source} → {translated}");
    assert_eq!(translated.replace(&mark, ""), source, "{translated}");
    for part in kept {
        assert!(translated.contains(part), "{part}: {translated}");
    }
}

fn answered(http: HttpClient, path: &str, body: &Value) -> Value {
    let answer = http.post(path, body);
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    answer.json()
}

#[test]
fn html_by_the_api_of_libretranslate_keeps_its_markup() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let sources: Vec<_> = HTML.iter().map(|case| case.source).collect();
    let body = json!({"q": sources, "source": "en", "target": "fr", "format": "HTML"});
    let answer = answered(http, "/translate", &body);
    let texts = answer["translatedText"].as_array().unwrap();
    assert_eq!(texts.len(), HTML.len());
    for (case, text) in HTML.iter().zip(texts) {
        assert_whole(case, text.as_str().unwrap());
    }
    let body = json!({"q": sources[0], "source": "en", "target": "fr", "format": "html"});
    let answer = answered(http, "/translate", &body);
    assert_whole(&HTML[0], answer["translatedText"].as_str().unwrap());
}

/// What Mastodon sends: a post with a mention, a hashtag, an emoji and a link, a content warning, and nothing.
#[test]
fn a_post_of_mastodon_comes_back_with_its_links() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let kept = [
        "<span class=\"h-card\" translate=\"no\"><a href=\"https://a.example/@rose\" class=\"u-url mention\">@<span>rose</span></a></span>",
        "<span translate=\"no\">:blobcat:</span>",
        "<span class=\"invisible\">https://</span><span class=\"ellipsis\">example.com/some/lo</span><span class=\"invisible\">ng/path</span></a>",
        "#<span>Winter</span></a>",
    ];
    let post = format!(
        "<p>{} I love <a href=\"https://a.example/tags/Winter\" class=\"mention hashtag\" rel=\"tag\">{} {} <a href=\"https://example.com/some/long/path\">{}</p>",
        kept[0], kept[3], kept[1], kept[2]
    );
    let body = json!({
        "q": [post, "It&#39;s cold", ""], "source": "en", "target": "fr", "format": "html", "api_key": "",
    });
    let answer = answered(http, "/translate", &body);
    let texts: Vec<&str> = answer["translatedText"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(texts.len(), 3);
    for part in kept {
        assert!(texts[0].contains(part), "{part}: {}", texts[0]);
    }
    assert_eq!(texts[0].replace("fr:", ""), post);
    assert_eq!(texts[1..], ["fr:It&#39;s cold", ""]);
}

#[test]
fn html_by_the_api_of_meeshy_keeps_its_markup() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let item = |case: &Case, format: &str| json!({"text": case.source, "source_language": "en", "target_language": "fr", "format": format});
    let mut items: Vec<_> = HTML.iter().map(|case| item(case, "html")).collect();
    items.push(item(&HTML[0], "docx"));
    let answer = answered(http, "/translate/batch", &json!(items));
    for (case, answer) in HTML.iter().zip(answer.as_array().unwrap()) {
        assert_whole(case, answer["translated_text"].as_str().unwrap());
    }
    let refused = answer[HTML.len()]["error"]["message"].as_str().unwrap();
    assert!(refused.contains("supported: text, html"), "{refused}");
    let answer = answered(http, "/translate", &item(&HTML[0], "html"));
    assert_whole(&HTML[0], answer["translated_text"].as_str().unwrap());
}

#[test]
fn xml_by_the_api_of_deepl_keeps_elements_that_are_ignored() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    for ignored in [json!(["x", "keep"]), json!("x,keep")] {
        for case in &XML {
            let body = json!({
                "text": [case.source], "source_lang": "EN", "target_lang": "FR", "tag_handling": "xml", "ignore_tags": ignored,
            });
            let answer = answered(http, "/v2/translate", &body);
            let text = answer["translations"][0]["text"].as_str().unwrap();
            assert_whole(case, text);
        }
    }
}

#[test]
fn sentences_are_told_apart_as_a_client_of_deepl_asks() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let text = "The old man who lives\nnear the station is here. Good night.";
    let sentences = |handling: Option<&str>, splitting: Option<&str>| {
        let body = json!({
            "text": [text], "source_lang": "EN", "target_lang": "FR", "tag_handling": handling, "split_sentences": splitting,
        });
        let answer = answered(http, "/v2/translate", &body);
        let translated = answer["translations"][0]["text"].as_str().unwrap();
        translated.matches("fr:").count()
    };
    assert_eq!(sentences(None, None), 3);
    assert_eq!(sentences(None, Some("1")), 3);
    assert_eq!(sentences(None, Some("nonewlines")), 2);
    assert_eq!(sentences(Some("html"), None), 2);
}

#[test]
fn markdown_by_kafka_keeps_its_structure() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    for (number, case) in MARKDOWN.iter().enumerate() {
        backend.ask(&json!({
            "messageId": format!("m{number}"), "text": case.source, "format": "markdown", "sourceLanguage": "en",
            "targetLanguages": ["fr"], "conversationId": "c",
        }));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for (number, case) in MARKDOWN.iter().enumerate() {
        assert_whole(case, backend.ids.of(&format!("m{number}"), "fr").text());
    }
}

#[test]
fn results_report_what_their_checks_found() {
    let sandbox = Sandbox::new();
    // The answer to the whole sentence is too long for the engine; those to its parts are not.
    let (node, http) = start(&sandbox, |s| s.set("engine.fake.max_output_tokens", 9));
    let long = "<p>Good morning dear <b>friend</b>, please open the door.</p>";
    let mut backend = node.backend();
    for (id, text) in [("long", long), ("short", "<p>Good <b>morning</b>!</p>")] {
        backend.ask(&json!({
            "messageId": id, "text": text, "format": "html", "sourceLanguage": "en", "targetLanguages": ["fr"],
        }));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let checks = |id| backend.ids.of(id, "fr").result.checks.clone();
    assert_eq!(checks("short"), None);
    let found = checks("long").unwrap();
    assert_eq!((found.cut, found.source), (1, 0), "{found:?}");
    assert_eq!(found.flags, ["truncated"], "{found:?}");
    let item =
        json!({"text": long, "source_language": "en", "target_language": "fr", "format": "html"});
    let answer = answered(http, "/translate", &item);
    assert_eq!(answer["checks"]["cut"], 1, "{answer}");
    assert_eq!(answer["checks"]["flags"], json!(["truncated"]), "{answer}");
}

#[test]
fn an_unknown_format_is_answered_and_dead_lettered_with_those_that_exist() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let request =
        json!({"messageId": "m", "text": "Hi", "format": "docx", "targetLanguages": ["fr"]});
    backend.ids.ask("m", "fr");
    let topic = backend.topics.requests.clone();
    backend.write(&Record::to(&topic, "m", request.to_string()));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let result = &backend.ids.of("m", "fr").result;
    let error = result.error.as_ref().unwrap();
    assert_eq!(error.code.name(), "invalid_request");
    let letters = backend.letters(1, PATIENCE);
    let reason = letters[0].header("babelmesh-error-message");
    for said in [error.message.as_str(), reason] {
        let formats = "supported: text, html, xml, markdown, srt, vtt";
        assert!(said.contains(formats), "{said}");
    }
}

/// The node that is asked has no model for Spanish; the other one has no other.
#[test]
fn formats_travel_to_the_node_that_has_the_model() {
    let sandbox = Sandbox::new();
    let (seed, edge) = (free_address(), free_address());
    let asked = sandbox
        .node()
        .clustered(seed, seed)
        .set("http.listen", format_args!("\"{edge}\""));
    let spanish = sandbox.model("models", "only-es", &["en"], &["es"]);
    let translating = sandbox
        .node()
        .clustered(free_address(), seed)
        .set("models.directories", spanish)
        .set("models.load", "[\"only-es\"]");
    let nodes = [asked, translating].map(|s| ProcessNode::start_cold(&sandbox, &s));
    let http = HttpClient(edge);
    let body = |case: &Case| {
        json!({
            "text": [case.source], "source_lang": "EN", "target_lang": "ES", "tag_handling": "xml", "ignore_tags": ["x", "keep"],
        })
    };
    wait_until("the other node translates", PATIENCE, || {
        // Its port is open before it is ready.
        TcpStream::connect(edge).is_ok() && http.post("/v2/translate", &body(&XML[0])).status == 200
    });
    for case in &XML {
        let answer = answered(http, "/v2/translate", &body(case));
        assert_whole_in(
            "es",
            case,
            answer["translations"][0]["text"].as_str().unwrap(),
        );
    }
    let mut command = sandbox.command();
    command.args([
        "translate",
        "--from",
        "en",
        "--to",
        "es",
        "--format",
        "srt",
        "--socket",
    ]);
    command.arg(nodes[0].socket());
    let output = piped(command, SRT.to_owned());
    assert!(output.status.success(), "{output:?}");
    let translated = String::from_utf8(output.stdout).unwrap();
    assert_eq!(translated.replace("es:", ""), SRT);
    assert_eq!(translated.matches("es:").count(), 2, "{translated}");
}

#[test]
fn subtitles_on_standard_input_are_one_document() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.env("BABELMESH_ENGINE__KIND", "fake").args([
        "translate",
        "--from",
        "en",
        "--to",
        "fr",
        "--format",
        "SRT",
    ]);
    let output = piped(command, SRT.to_owned());
    assert!(output.status.success(), "{output:?}");
    let translated = String::from_utf8(output.stdout).unwrap();
    assert_eq!(translated.replace("fr:", ""), SRT);
    assert_eq!(
        translated.matches("fr:").count(),
        2,
        "each cue is a sentence: {translated}"
    );
}

#[test]
fn a_command_with_an_unknown_format_lists_those_that_exist() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["translate", "--to", "fr", "--format", "docx", "Hello"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("text, html, xml, markdown, srt, vtt"),
        "{complaint}"
    );
}
