//! Public clients of the APIs that a node speaks, as their users install them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use babelmesh::api::keys;
use babelmesh_integration_tests::{LocalNode, Sandbox, clients::Interpreter};

const PYTHON: [&str; 3] = [
    "libretranslatepy==2.1.4",
    "deep-translator==1.11.4",
    "deepl==1.32.0",
];
const NODE: [&str; 1] = ["translate@3.1.0"];

/// Runs a client's program; it ends with an error when it does not get what it expects.
fn run(interpreter: &Interpreter, program: &str) {
    let sandbox = Sandbox::new();
    let (node, key) = start(&sandbox);
    let url = format!("http://{}", node.http().0);
    let said = interpreter.run(program, &[("URL", &url), ("KEY", &key)]);
    assert!(said.contains("all is well"), "{said}");
}

fn start(sandbox: &Sandbox) -> (LocalNode, String) {
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "client").unwrap();
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("http.keys_file", file.display());
    (LocalNode::start(&settings), key)
}

const PYTHON_SCRIPT: &str = r#"
import os, sys
url, key = os.environ["URL"], os.environ["KEY"]

from libretranslatepy import LibreTranslateAPI
libre = LibreTranslateAPI(url, api_key=key)
assert libre.translate("Good night!", "en", "fr") == "fr:Good night!"
assert libre.detect("Wo ist bitte der nächste Bahnhof?")[0]["language"] == "de"
english = [l for l in libre.languages() if l["code"] == "en"][0]
assert english["name"] == "English" and "fr" in english["targets"], english
import urllib.error
try:
    libre.translate("Good night!", "en", "xx")
    sys.exit("an unknown language was accepted")
except urllib.error.HTTPError as error:
    assert error.code == 400 and b"xx is not supported" in error.read()
try:
    LibreTranslateAPI(url, api_key="bm_wrong").translate("Good night!", "en", "fr")
    sys.exit("a wrong key was accepted")
except urllib.error.HTTPError as error:
    assert error.code == 403

from deep_translator import LibreTranslator
deep = LibreTranslator(source="en", target="fr", custom_url=url + "/", api_key=key)
assert deep.translate("Good night!") == "fr:Good night!"
assert deep.translate_batch(["Hello", "Good night!"]) == ["fr:Hello", "fr:Good night!"]
from deep_translator.exceptions import AuthorizationException
try:
    LibreTranslator(source="en", target="fr", custom_url=url + "/", api_key="bm_wrong").translate("Good night!")
    sys.exit("a wrong key was accepted")
except AuthorizationException:
    pass

import deepl
client = deepl.Translator(key, server_url=url)
one = client.translate_text("Good night!", target_lang="FR", source_lang="EN")
assert (one.text, one.detected_source_lang, one.billed_characters) == ("fr:Good night!", "EN", 11), one
many = client.translate_text(["Hello, how are you today?", "Good night!"], target_lang="DE")
assert [answer.text for answer in many] == ["de:Hello, how are you today?", "de:Good night!"], many
assert "FR" in [language.code for language in client.get_target_languages()]
assert "EN" in [language.code for language in client.get_source_languages()]
assert client.get_usage().character.count > 0
try:
    client.translate_text("Good night!", target_lang="XX")
    sys.exit("an unknown language was accepted")
except deepl.DeepLException as error:
    assert "target_lang" in str(error), error
try:
    deepl.Translator("bm_wrong", server_url=url).translate_text("Good night!", target_lang="FR")
    sys.exit("a wrong key was accepted")
except deepl.AuthorizationException:
    pass
print("all is well")
"#;

const NODE_SCRIPT: &str = r#"
import translate from "translate";
translate.engine = "libre";
translate.url = process.env.URL + "/translate";
translate.key = process.env.KEY;
const answer = await translate("Good night!", { from: "en", to: "fr" });
if (answer !== "fr:Good night!") throw new Error(answer);
translate.cache = 0;
let refused = false;
translate.key = "bm_wrong";
await translate("Another text.", { from: "en", to: "fr" }).catch(() => { refused = true; });
if (!refused) throw new Error("a wrong key was accepted");
console.log("all is well");
"#;

#[test]
fn clients_from_pypi_translate_detect_list_languages_and_get_their_errors() {
    if let Some(python) = Interpreter::python("http-python", &PYTHON) {
        run(&python, PYTHON_SCRIPT);
    }
}

#[test]
fn the_client_from_npm_translates_and_is_refused() {
    if let Some(node) = Interpreter::node("http-node", &NODE) {
        run(&node, NODE_SCRIPT);
    }
}
