//! The command line.

use std::{collections::BTreeSet, process::Command};

use babelmesh_integration_tests::executables;

use super::{first_cells, pages, read};

/// Commands with commands below them.
const GROUPS: [&str; 5] = ["cluster", "dead-letters", "keys", "models", "topics"];

/// What `--help` says of a command.
fn help(command: &[&str]) -> String {
    let mut babelmesh = Command::new(executables::babelmesh());
    let output = babelmesh.args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "babelmesh {}", command.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// The words of a command that stands somewhere in a line.
fn words(line: &str) -> Option<Vec<&str>> {
    let (before, command) = line.split_once("babelmesh ")?;
    // Behind -n it is a namespace of Kubernetes.
    let is_program = before.is_empty() || before.ends_with([' ', '/']) && !before.ends_with("-n ");
    let is_end = |word: &str| word == ";" || word.starts_with(['#', '|', '&', '$', '\\']);
    let words = command.split_whitespace();
    let words: Vec<_> = words.take_while(|word| !is_end(word)).collect();
    let begins = words.first()?.starts_with(|c: char| c.is_ascii_lowercase());
    (is_program && begins).then_some(words)
}

/// The command at the beginning of these words, and the options behind it.
fn parsed<'a>(words: &[&'a str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let mut command = vec![words[0]];
    if GROUPS.contains(&words[0])
        && let Some(second) = words.get(1).filter(|word| !word.starts_with('-'))
    {
        command.push(second);
    }
    let options = words.iter().filter(|word| word.starts_with("--"));
    let options = options.map(|word| word.split('=').next().unwrap());
    (command, options.collect())
}

#[test]
fn every_command_is_in_the_table() {
    let page = read("docs/src/getting-started.md");
    let listed: BTreeSet<String> = first_cells(&page, "## Commands")
        .into_iter()
        .map(|cell| cell.trim_matches('`').to_owned())
        .collect();
    let help = help(&[]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| format!("babelmesh {name}"))
    });
    assert_eq!(listed, names.collect());
}

#[test]
fn commands_in_the_documentation_exist_with_their_options() {
    let mut checked = 0;
    for page in pages() {
        let blocks: Vec<String> = page.blocks("sh").collect();
        let lines = blocks.iter().flat_map(|block| block.lines());
        for line in lines.chain(page.code()) {
            let Some(words) = words(line) else {
                continue;
            };
            let (command, options) = parsed(&words);
            // A name such as `babelmesh clusters` is an error already.
            let help = help(&command);
            for option in options.iter().filter(|option| option.len() > 2) {
                assert!(help.contains(*option), "{}: {line}: {option}", page.path);
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} commands");
}
