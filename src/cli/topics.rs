//! `babelmesh topics`

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Globals, runtime,
    table::{lines, table},
};
use crate::{
    config::Config,
    kafka::{
        admin::Admin,
        client::Clients,
        topic_settings::{
            CleanupPolicy, PlannedTopic, TooFewPartitions, TopicSettings, plan, too_few_partitions,
        },
        topic_state::{Difference, PartitionState, Remedy, TopicState, configuration, differences},
    },
    logging,
    node::{EMBEDDED, served_languages},
};

#[derive(Debug, Args)]
pub(super) struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Create missing topics and report topics that differ from the configuration
    ///
    /// The languages are those of kafka.languages, or those that the models write. Existing topics are changed only
    /// with --alter. Exits with status 0 if every topic exists afterwards, otherwise with 1.
    Create {
        /// Dry run: validate on the brokers and print the changes
        #[arg(long)]
        dry_run: bool,
        /// Change topics that differ from the configuration: add partitions, set their configuration
        ///
        /// Added partitions move keys: order within a conversation is not kept until earlier records are finished.
        #[arg(long)]
        alter: bool,
    },
    /// Show topics and how they differ from the configuration
    ///
    /// Exits with status 1 if a topic is missing or not as configured, otherwise with 0. Partitions with lagging replicas are shown and do
    /// not count.
    Describe {
        /// Print JSON, with every partition
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &TopicsArgs, globals: &Globals) -> Result<ExitCode> {
    // Errors carry librdkafka's reasons already.
    let config = globals.config.load(&[("log.filter", "error")])?;
    logging::start(&config.log);
    let kafka = &config.kafka;
    ensure!(
        kafka.bootstrap_servers != EMBEDDED,
        "kafka.bootstrap_servers: the embedded broker creates its topics when its node starts and cannot be administered; give the address of an Apache Kafka broker"
    );
    let topics = plan(kafka, &served_languages(&config)?);
    let clients = Clients::new(kafka, &kafka.bootstrap_servers, "topics", false);
    let admin = Admin::new(&clients, Duration::from_millis(kafka.startup_timeout_ms));
    runtime()?.block_on(async {
        match args.command {
            TopicsCommand::Create { dry_run, alter } => {
                create(&config, &admin, &topics, dry_run, alter).await
            }
            TopicsCommand::Describe { json } => describe(&config, &admin, &topics, json).await,
        }
    })
}

async fn create(
    config: &Config,
    admin: &Admin,
    topics: &[PlannedTopic],
    dry_run: bool,
    alter: bool,
) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    let would = if dry_run { "would be " } else { "" };
    let states = states(admin, topics).await?;
    let missing: Vec<_> = topics
        .iter()
        .filter(|topic| !states.contains_key(&topic.name))
        .collect();
    admin.create(&missing, dry_run).await?;
    for topic in topics {
        let name = &topic.name;
        let Some(state) = states.get(name) else {
            let settings = in_words(&topic.settings);
            writeln!(output, "{name}: {would}created: {settings}")?;
            continue;
        };
        let found = differences(&topic.settings, state);
        if found.is_empty() {
            writeln!(output, "{name}: ok")?;
        }
        for difference in &found {
            let changes = alter && difference.remedy != Remedy::ByHand;
            let said = match (changes, difference.remedy) {
                (true, _) => format!("; {would}set to {}", difference.configured),
                (false, Remedy::ByHand) => by_hand(difference).to_owned(),
                (false, _) => "; use --alter to change it".to_owned(),
            };
            let difference = sentence(difference);
            writeln!(output, "{name}: {difference}{said}")?;
        }
        if alter {
            if found.iter().any(|d| d.remedy == Remedy::AddPartitions) {
                let warning = "added partitions move keys: order within a conversation is not kept until earlier records are finished";
                writeln!(io::stderr(), "warning: {name}: {warning}")?;
            }
            if !dry_run {
                change(admin, topic, state, &found).await?;
            }
        }
    }
    // As many as there are now, or would be.
    let partitions = |name: &str| {
        let planned = topics.iter().find(|topic| topic.name == name)?;
        let wanted = planned.settings.partitions;
        Some(match states.get(name).map(TopicState::partition_count) {
            Some(has) if alter => has.max(wanted),
            Some(has) => has,
            None => wanted,
        })
    };
    for few in too_few_partitions(topics, partitions, config.kafka.parallelism) {
        writeln!(io::stderr(), "warning: {}", few_sentence(&few))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a topic as configured, as far as that is possible.
async fn change(
    admin: &Admin,
    topic: &PlannedTopic,
    state: &TopicState,
    found: &[Difference],
) -> Result<()> {
    let (name, settings) = (&topic.name, &topic.settings);
    if found.iter().any(|d| d.remedy == Remedy::AddPartitions) {
        admin.add_partitions(name, settings.partitions).await?;
    }
    if found.iter().any(|d| d.remedy == Remedy::Configure) {
        let all = configuration(settings, state);
        admin.configure(name, &all).await?;
    }
    Ok(())
}

async fn describe(
    config: &Config,
    admin: &Admin,
    topics: &[PlannedTopic],
    json: bool,
) -> Result<ExitCode> {
    let states = states(admin, topics).await?;
    let described = topics.iter().map(|topic| {
        let state = states.get(&topic.name);
        Description::new(topic, state)
    });
    let partitions = |name: &str| states.get(name).map(TopicState::partition_count);
    let report = Report {
        topics: described.collect(),
        too_few_partitions: too_few_partitions(topics, partitions, config.kafka.parallelism),
    };
    let mut output = io::stdout().lock();
    if json {
        writeln!(output, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(output, "{}", text(&report))?;
    }
    let as_configured = |t: &Description| t.exists && t.differences.is_empty();
    Ok(match report.topics.iter().all(as_configured) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn states(admin: &Admin, topics: &[PlannedTopic]) -> Result<BTreeMap<String, TopicState>> {
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    admin.describe(&names).await
}

/// What is shown of all topics.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    topics: Vec<Description>,
    too_few_partitions: Vec<TooFewPartitions>,
}

/// What is shown of a topic.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    topic: String,
    exists: bool,
    partitions: Vec<PartitionState>,
    replication: i32,
    under_replicated_partitions: i32,
    retention_ms: Option<String>,
    cleanup_policy: Option<String>,
    min_insync_replicas: Option<String>,
    max_message_bytes: Option<String>,
    /// Offsets in use; at least as many as there are messages.
    offsets: Option<i64>,
    differences: Vec<Difference>,
}

impl Description {
    fn new(planned: &PlannedTopic, state: Option<&TopicState>) -> Self {
        let exists = state.is_some();
        let none = TopicState::default();
        let state = state.unwrap_or(&none);
        let value = |name| state.value(name).map(str::to_owned);
        Self {
            topic: planned.name.clone(),
            exists,
            partitions: state.partitions.clone(),
            replication: state.replication(),
            under_replicated_partitions: state.under_replicated(),
            retention_ms: value("retention.ms"),
            cleanup_policy: value("cleanup.policy"),
            min_insync_replicas: value("min.insync.replicas"),
            max_message_bytes: value("max.message.bytes"),
            offsets: state.offsets().filter(|_| exists),
            differences: match exists {
                true => differences(&planned.settings, state),
                false => Vec::new(),
            },
        }
    }
}

fn text(report: &Report) -> String {
    let mut table = table(&[
        "topic",
        ">parts",
        ">replicas",
        ">lagging",
        ">kept",
        "cleanup",
        ">min isr",
        ">offsets",
        "state",
    ]);
    let mut notes = String::new();
    for topic in &report.topics {
        let dash = || "-".to_owned();
        let known = |value: &Option<String>| value.clone().unwrap_or_else(dash);
        let number = |value: i64| {
            if topic.exists {
                value.to_string()
            } else {
                dash()
            }
        };
        let kept = topic.retention_ms.as_ref();
        let is = match (topic.exists, topic.differences.as_slice()) {
            (false, _) => "missing",
            (true, []) => "as configured",
            (true, _) => "different",
        };
        table.add_row([
            topic.topic.clone(),
            number(topic.partitions.len() as i64),
            number(topic.replication.into()),
            number(topic.under_replicated_partitions.into()),
            kept.map_or_else(dash, |ms| duration(ms)),
            known(&topic.cleanup_policy),
            known(&topic.min_insync_replicas),
            topic
                .offsets
                .map_or_else(dash, |offsets| offsets.to_string()),
            is.to_owned(),
        ]);
        for difference in &topic.differences {
            let _ = writeln!(notes, "{}: {}", topic.topic, sentence(difference));
        }
    }
    for few in &report.too_few_partitions {
        let _ = writeln!(notes, "warning: {}", few_sentence(few));
    }
    format!("{}{notes}", lines(&table))
}

fn sentence(difference: &Difference) -> String {
    let Difference {
        setting,
        actual,
        configured,
        ..
    } = difference;
    let actual = match actual.as_str() {
        "" => "unknown",
        actual => actual,
    };
    format!("{setting} is {actual}, configured: {configured}")
}

fn by_hand(difference: &Difference) -> &'static str {
    match difference.setting {
        "partitions" => "; Kafka cannot remove partitions",
        _ => "; use kafka-reassign-partitions to change it",
    }
}

fn few_sentence(few: &TooFewPartitions) -> String {
    let TooFewPartitions {
        topic,
        partitions,
        parallelism,
    } = few;
    format!("{topic} has {partitions} partitions, fewer than kafka.parallelism ({parallelism})")
}

fn in_words(settings: &TopicSettings) -> String {
    let what = match settings.cleanup_policy {
        CleanupPolicy::Compact => "compacted".to_owned(),
        CleanupPolicy::Delete => format!("kept {}", duration(&settings.retention_ms.to_string())),
        CleanupPolicy::CompactDelete => {
            let kept = duration(&settings.retention_ms.to_string());
            format!("compacted, kept {kept}")
        }
    };
    format!(
        "{} partitions, {} replicas ({} in sync required), {what}",
        settings.partitions, settings.replication, settings.min_insync_replicas
    )
}

/// Milliseconds in the largest unit that needs no fraction.
fn duration(ms: &str) -> String {
    const UNITS: [(i64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1_000, "s"),
    ];
    let Ok(number) = ms.parse::<i64>() else {
        return ms.to_owned();
    };
    match number {
        ..=-1 => "forever".to_owned(),
        0 => "0 s".to_owned(),
        _ => UNITS
            .iter()
            .find(|(unit, _)| number % unit == 0)
            .map_or_else(
                || format!("{number} ms"),
                |(unit, name)| format!("{} {name}", number / unit),
            ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_largest_unit_that_fits() {
        for (ms, told) in [
            ("604800000", "7 d"),
            ("90000000", "25 h"),
            ("5400000", "90 min"),
            ("1000", "1 s"),
            ("1001", "1001 ms"),
            ("0", "0 s"),
            ("-1", "forever"),
            ("?", "?"),
        ] {
            assert_eq!(duration(ms), told);
        }
    }

    #[test]
    fn a_topic_that_is_missing_is_said_to_be_and_has_no_numbers() {
        let kafka = crate::config::KafkaConfig::default();
        let planned = plan(&kafka, &[]);
        let missing = Description::new(&planned[0], None);
        assert!(!missing.exists && missing.offsets.is_none() && missing.differences.is_empty());
        let table = text(&Report {
            topics: vec![missing],
            too_few_partitions: Vec::new(),
        });
        assert!(table.contains("missing") && !table.contains('0'), "{table}");
    }
}
