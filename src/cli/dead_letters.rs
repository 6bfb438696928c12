//! `babelmesh dead-letters`

mod show;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail, ensure};
use babelmesh_actors::domain::ErrorCode;
use clap::{ArgGroup, Args, Subcommand};

use super::Globals;
use crate::{
    config::{Config, Delivery},
    kafka::{
        client::Clients,
        dead_letters::{self, DeadLetter, Filter, Handled, Plan, Position, Scan, Verdict},
    },
    node::EMBEDDED,
};

#[derive(Debug, Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List dead letters, one line each
    List(ListArgs),
    /// Show one dead letter with all its fields and its payload
    Show(ShowArgs),
    /// Publish dead letters again to their original topics
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only letters with this error code; may be repeated
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Vec<String>,
    /// Only letters newer than this, such as 30m, 2h or 7days
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only letters from this original topic
    #[arg(long, value_name = "TOPIC")]
    origin: Option<String>,
    /// Only the last N letters
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Position of the letter, as `list` shows it
    #[arg(value_name = "PARTITION:OFFSET")]
    at: Position,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["all", "code", "at"]))]
struct ReplayArgs {
    /// All letters that were not replayed before
    #[arg(long)]
    all: bool,
    /// Letters with this error code; may be repeated
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Vec<String>,
    /// The letter at this position, as `list` shows it; may be repeated
    #[arg(long, value_name = "PARTITION:OFFSET")]
    at: Vec<Position>,
    /// Dry run: print what would be replayed
    #[arg(long)]
    dry_run: bool,
    /// Include letters that were replayed before
    #[arg(long)]
    from_beginning: bool,
}

/// An error code, so that a misspelled one does not look like an empty topic.
fn code(text: &str) -> Result<String, String> {
    let value = serde_json::Value::String(text.to_owned());
    match serde_json::from_value::<ErrorCode>(value) {
        Ok(code) => Ok(code.name().to_owned()),
        Err(_) => Err("unknown error code".to_owned()),
    }
}

pub(super) fn run(args: &DeadLettersArgs, globals: &Globals) -> Result<ExitCode> {
    match &args.command {
        DeadLettersCommand::List(args) => list(&load(globals)?, args),
        DeadLettersCommand::Show(args) => show_one(&load(globals)?, args),
        DeadLettersCommand::Replay(args) => replay(&load(globals)?, args),
    }
}

fn load(globals: &Globals) -> Result<Config> {
    let mut config = globals.config.load(&[])?;
    globals.find_broker(&mut config)?;
    ensure!(
        config.kafka.bootstrap_servers != EMBEDDED,
        "kafka.bootstrap_servers is \"embedded\", and an embedded broker exists only while its node runs: start the node, or give the address \
         of a broker"
    );
    Ok(config)
}

fn clients(config: &Config) -> Clients {
    let bootstrap = &config.kafka.bootstrap_servers;
    Clients::new(&config.kafka, bootstrap, "dead-letters", false)
}

fn within(config: &Config) -> Duration {
    Duration::from_millis(config.kafka.startup_timeout_ms)
}

/// The group that remembers which letters were dealt with.
fn replay_group(config: &Config) -> String {
    format!("{}-replay", config.kafka.group_id)
}

fn list(config: &Config, args: &ListArgs) -> Result<ExitCode> {
    let millis = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
    };
    let since = |ago| SystemTime::now().checked_sub(ago).map_or(0, millis);
    let filter = Filter {
        codes: args.code.clone(),
        since_ms: args.since.map(since),
        origin: args.origin.clone(),
        ..Filter::default()
    };
    let kafka = &config.kafka;
    let topic = &kafka.topics.dead_letters;
    let group = replay_group(config);
    let mut scan = Scan::connect(&clients(config), &group, topic, within(config))?;
    let handled = Handled::read(&scan)?;
    scan.all()?;
    // The last ones, in order of time; never more of them than are shown.
    let mut last = BTreeMap::new();
    let mut found = 0u64;
    while let Some(letter) = scan.read()? {
        if filter.takes(&letter) {
            found += 1;
            let line = show::Line::of(&letter, handled.contains(letter.at));
            last.insert((letter.time_ms, letter.at), line);
            if last.len() > args.limit {
                last.pop_first();
            }
        }
    }
    let mut output = io::stdout().lock();
    if args.json {
        for line in last.values() {
            writeln!(output, "{}", show::json(line)?)?;
        }
    } else if found == 0 {
        let bootstrap = &config.kafka.bootstrap_servers;
        writeln!(io::stderr(), "no matching dead letters at {bootstrap}")?;
    } else {
        let width = terminal_width();
        write!(output, "{}", show::list(last.values(), width))?;
        if found > last.len() as u64 {
            let shown = last.len();
            writeln!(
                io::stderr(),
                "the last {shown} of {found}; use --limit to show more"
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Columns of the terminal; `None` when output goes elsewhere.
fn terminal_width() -> Option<usize> {
    let is_terminal = io::stdout().is_terminal();
    let size = ratatui::crossterm::terminal::size();
    size.ok()
        .filter(|_| is_terminal)
        .map(|(columns, _)| usize::from(columns))
}

fn show_one(config: &Config, args: &ShowArgs) -> Result<ExitCode> {
    let topic = &config.kafka.topics.dead_letters;
    let group = replay_group(config);
    let mut scan = Scan::connect(&clients(config), &group, topic, within(config))?;
    let handled = Handled::read(&scan)?;
    scan.only(args.at)?;
    let letter = scan.read()?.filter(|letter| letter.at == args.at);
    let Some(letter) = letter else {
        bail!(
            "no dead letter at {} in {topic}; see `babelmesh dead-letters list`",
            args.at
        );
    };
    let mut output = io::stdout().lock();
    let whole = show::Line::whole(&letter, handled.contains(letter.at));
    match args.json {
        true => writeln!(output, "{}", show::json(&whole)?)?,
        false => write!(output, "{}", show::fields(&whole))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(config: &Config, args: &ReplayArgs) -> Result<ExitCode> {
    let kafka = &config.kafka;
    let plan = Plan {
        filter: Filter {
            codes: args.code.clone(),
            at: args.at.iter().copied().collect(),
            ..Filter::default()
        },
        from_beginning: args.from_beginning,
        dry_run: args.dry_run,
        group: replay_group(config),
        topics: kafka.topics.clone(),
        transactions: kafka.delivery != Delivery::AtLeastOnce,
        within: within(config),
    };
    let mut output = io::stdout().lock();
    let mut told = |letter: &DeadLetter, verdict: &Verdict| {
        let what = show::printable(&letter.code, usize::MAX);
        match verdict {
            Verdict::Replay(topic) => {
                let topic = show::printable(topic, usize::MAX);
                writeln!(output, "{} ({what}): replay to {topic}", letter.at)?;
            }
            Verdict::Skip(why) => {
                let why = show::printable(&why.to_string(), usize::MAX);
                writeln!(output, "{} ({what}): left out: {why}", letter.at)?;
            }
        }
        Ok(())
    };
    let summary = dead_letters::replay(&clients(config), &plan, &mut told)?;
    for at in &summary.missing {
        writeln!(
            output,
            "{at}: left out: already replayed, or no such letter"
        )?;
    }
    let left_out = summary.skipped + summary.missing.len() as u64;
    let would = if args.dry_run { "would be " } else { "" };
    writeln!(
        output,
        "{} {would}replayed, {left_out} skipped",
        summary.replayed
    )?;
    Ok(match left_out {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
