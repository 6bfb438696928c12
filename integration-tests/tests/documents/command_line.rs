//! Documents with the command line.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use babelmesh_integration_tests::{ProcessNode, Sandbox, free_address};

use super::{check_docx, docx};

fn fake(sandbox: &Sandbox, input: &Path, output: &Path) -> Command {
    let mut command = sandbox.command();
    command
        .args([
            "translate",
            "--set",
            "engine.kind=fake",
            "--to",
            "fr",
            "--file",
        ])
        .arg(input)
        .arg("-o")
        .arg(output);
    command
}

fn errors(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_command_line_translates_a_document() {
    let sandbox = Sandbox::new();
    let (input, output) = (
        sandbox.folder().join("in.docx"),
        sandbox.folder().join("out.docx"),
    );
    fs::write(&input, docx()).unwrap();
    let done = fake(&sandbox, &input, &output).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(errors(&done).contains("1 segments"), "{done:?}");
    check_docx(&fs::read(&output).unwrap());
    // Nothing is replaced unless that is asked for.
    let again = fake(&sandbox, &input, &output).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(errors(&again).contains("--force"), "{again:?}");
    let same = fake(&sandbox, &input, &input).output().unwrap();
    assert_eq!(same.status.code(), Some(1));
    assert_eq!(fs::read(&input).unwrap(), docx());
    let forced = fake(&sandbox, &input, &output)
        .arg("--force")
        .output()
        .unwrap();
    assert!(forced.status.success(), "{forced:?}");
}

#[test]
fn the_command_line_writes_no_document_that_is_not_translated_as_a_whole() {
    let sandbox = Sandbox::new();
    let (input, output) = (
        sandbox.folder().join("in.txt"),
        sandbox.folder().join("out.txt"),
    );
    let text = format!("{}This is poison.\n", "A good line.\n".repeat(1_000));
    fs::write(&input, text).unwrap();
    let mut command = fake(&sandbox, &input, &output);
    command.args(["--from", "en", "--set", "engine.fake.refuse_on=poison"]);
    let failed = command.output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(errors(&failed).contains("segment"), "{failed:?}");
    assert!(!output.exists());
    fs::write(sandbox.folder().join("in.docx"), "x").unwrap();
    let docx = sandbox.folder().join("in.docx");
    let failed = fake(&sandbox, &docx, &sandbox.folder().join("out.docx"))
        .output()
        .unwrap();
    assert!(errors(&failed).contains("not a ZIP archive"), "{failed:?}");
    let failed = fake(&sandbox, &docx, &output).output().unwrap();
    assert!(errors(&failed).contains("keeps its format"), "{failed:?}");
    let mut alone = sandbox.command();
    alone.args(["translate", "--to", "fr", "--file", "in.docx"]);
    assert_eq!(alone.output().unwrap().status.code(), Some(2));
    let names: Vec<_> = fs::read_dir(sandbox.folder())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    let left = names
        .iter()
        .filter(|name| name.to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "{names:?}");
}

#[test]
fn a_running_node_translates_a_document_for_the_command_line() {
    let sandbox = Sandbox::new();
    // Other nodes could translate it too.
    let address = free_address();
    let node = ProcessNode::start(&sandbox, &sandbox.node().clustered(address, address));
    let (input, output) = (
        sandbox.folder().join("in.po"),
        sandbox.folder().join("out.po"),
    );
    let messages = |translation: &str| {
        format!(
            "msgid \"Where is the dog?\"\nmsgstr \"{translation}\"\n\nmsgid \"Done\"\nmsgstr \"Fini\"\n"
        )
    };
    fs::write(&input, messages("")).unwrap();
    let mut command = fake(&sandbox, &input, &output);
    command.arg("--socket").arg(node.socket());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let expected = messages("fr:Where is the dog?");
    assert_eq!(fs::read_to_string(&output).unwrap(), expected);
    command.args(["--force", "--retranslate"]);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let expected = expected.replace("Fini", "fr:Done");
    assert_eq!(fs::read_to_string(&output).unwrap(), expected);
}
