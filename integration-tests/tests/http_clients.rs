//! Public clients of the APIs that a node speaks, as their users install them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use babelmesh::api::keys;
use babelmesh_integration_tests::{LocalNode, Sandbox, executables};

/// Versions are pinned: what a registry has tomorrow is not what was tested.
const PYTHON: [&str; 3] = [
    "libretranslatepy==2.1.4",
    "deep-translator==1.11.4",
    "deepl==1.32.0",
];
const NODE: &str = "translate@3.1.0";

/// A folder beside the executables, kept from run to run.
fn folder(name: &str) -> PathBuf {
    let folder = executables::babelmesh()
        .parent()
        .unwrap()
        .join("http-clients")
        .join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn skipped(what: &str) {
    // Past the test harness, which would keep it to itself.
    let _ = writeln!(io::stderr(), "SKIPPED: {what}");
}

fn works(command: &mut Command) -> bool {
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Runs a client's script; it ends with an error when it does not get what it expects.
fn run(program: &Path, script: &str, node: &LocalNode, key: &str) {
    let output = Command::new(program)
        .arg(if program.ends_with("node") {
            "-e"
        } else {
            "-c"
        })
        .arg(script)
        .env("URL", format!("http://{}", node.http().0))
        .env("KEY", key)
        .env("NODE_PATH", folder("node").join("node_modules"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("all is well"),
        "{told}"
    );
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
const load = async () => (await import(require.resolve("translate"))).default;
load().then(async (translate) => {
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
}).catch((error) => { console.error(error); process.exit(1); });
"#;

#[test]
fn clients_from_pypi_translate_detect_list_languages_and_get_their_errors() {
    let environment = folder("python");
    let python = environment.join("bin/python");
    let ready = || {
        works(Command::new(&python).args(["-c", "import libretranslatepy, deep_translator, deepl"]))
    };
    if !ready() {
        let made = works(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        );
        let installed = made
            && works(
                Command::new(&python)
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(PYTHON),
            );
        if !installed || !ready() {
            return skipped("the clients cannot be installed from PyPI");
        }
    }
    let sandbox = Sandbox::new();
    let (node, key) = start(&sandbox);
    run(&python, PYTHON_SCRIPT, &node, &key);
}

#[test]
fn the_client_from_npm_translates_and_is_refused() {
    let environment = folder("node");
    let ready = || environment.join("node_modules/translate").is_dir();
    if !ready() {
        works(
            Command::new("npm")
                .args(["install", "--silent", "--no-save", "--prefix"])
                .arg(&environment)
                .arg(NODE),
        );
        if !ready() {
            return skipped("the client cannot be installed from npm");
        }
    }
    let sandbox = Sandbox::new();
    let (node, key) = start(&sandbox);
    run(Path::new("node"), NODE_SCRIPT, &node, &key);
}
