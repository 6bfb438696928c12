//! Both policies on the same traces: what must hold of them.

use std::time::Duration;

use super::*;
use crate::{DelayTarget, DelayTargetConfig, QueueRule, Threshold, ThresholdConfig};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const STEP: Load = Load::Step {
    low: 1.0,
    high: 200.0,
    from: 60.0,
    to: 360.0,
};
const BURST: Load = Load::Burst {
    base: 5.0,
    size: 1_500,
    every: 180.0,
};
const DIURNAL: Load = Load::Diurnal {
    low: 5.0,
    high: 400.0,
    period: 1_800.0,
};
const FLOOD: Load = Load::LaneFlood {
    prompt: 20.0,
    flood: 300.0,
    from: 120.0,
    to: 420.0,
};

fn trace(load: &Load) -> Trace {
    let duration = match load {
        Load::Diurnal { period, .. } => Duration::from_secs_f64(*period),
        _ => s(600),
    };
    Trace::generate(load, duration, 2_024)
}

fn delay_target(load: &Load) -> Report {
    let config = DelayTargetConfig {
        prior_tokens_per_second: 500.0,
        ..Default::default()
    };
    let mut policy = DelayTarget::new(config);
    checked(
        simulate(&SimulationConfig::default(), &trace(load), &mut policy),
        load,
    )
}

/// 0.4.9's rule with its thresholds, steps and interval, sized for this pool: it starts with one
/// worker a queue instead of thirty, which the simulated node could not hold.
fn threshold(load: &Load) -> Report {
    let config = ThresholdConfig {
        normal: QueueRule {
            initial: 1,
            min: 1,
            max: 12,
            ..QueueRule::NORMAL
        },
        any: QueueRule {
            initial: 1,
            min: 1,
            max: 4,
            ..QueueRule::ANY
        },
        ..Default::default()
    };
    let mut policy = Threshold::new(config);
    checked(
        simulate(&SimulationConfig::default(), &trace(load), &mut policy),
        load,
    )
}

/// What must hold of every simulation.
fn checked(report: Report, load: &Load) -> Report {
    let config = SimulationConfig::default();
    assert_eq!(
        (report.lost, report.duplicates, report.unfinished),
        (0, 0, 0)
    );
    let answered: u64 = report.lanes.values().map(|lane| lane.messages).sum();
    assert_eq!(
        answered,
        trace(load).arrivals.len() as u64,
        "as many answers as messages"
    );
    assert!(report.peak_actors <= config.bounds.max);
    report
}

fn prompt_p99(report: &Report) -> Duration {
    let lanes = [SimulatedLane::Interactive, SimulatedLane::Normal];
    lanes
        .iter()
        .map(|lane| report.lanes[lane].p99)
        .max()
        .unwrap_or_default()
}

#[test]
fn full_batches_make_sixty_messages_a_second() {
    let rate = SimulationConfig::default().actor_capacity() / 16.0;
    assert!((59.5..60.5).contains(&rate), "{rate}");
}

#[test]
fn a_step_from_one_to_two_hundred_a_second_is_answered_within_two_seconds() {
    let report = delay_target(&STEP);
    let first = report
        .first_scaling_after(s(60))
        .expect("one actor is too few");
    assert!(first.to > first.from);
    assert!(first.at <= s(62), "asked at {:?}", first.at);
}

#[test]
fn delay_target_is_faster_than_the_threshold_rule_on_a_step_and_on_bursts() {
    for load in [STEP, BURST] {
        let (ours, theirs) = (delay_target(&load), threshold(&load));
        assert!(
            ours.all.p99 < theirs.all.p99,
            "{load:?}: {:?} against {:?}",
            ours.all.p99,
            theirs.all.p99
        );
    }
}

#[test]
fn a_step_is_mastered_for_good_within_its_first_seconds() {
    let report = delay_target(&STEP);
    assert!(report.all.p95 < s(1), "{:?}", report.all);
    assert!(report.all.max < s(10), "{:?}", report.all);
}

#[test]
fn the_pool_returns_to_its_minimum_after_the_load() {
    for load in [STEP, BURST, DIURNAL, FLOOD] {
        assert_eq!(delay_target(&load).final_actors, 1, "{load:?}");
    }
}

#[test]
fn a_day_is_followed_with_few_actors_and_little_delay() {
    let ours = delay_target(&DIURNAL);
    assert!(ours.all.p99 < s(2), "{:?}", ours.all);
    // The pool of the noon's size, kept all day.
    let always = f64::from(ours.peak_actors) * ours.simulated.as_secs_f64();
    assert!(
        ours.actor_seconds < 0.7 * always,
        "{} of {always}",
        ours.actor_seconds
    );
}

#[test]
fn a_flood_of_the_any_lane_hardly_touches_the_prompt_lanes() {
    let report = delay_target(&FLOOD);
    let quiet = delay_target(&Load::LaneFlood {
        prompt: 20.0,
        flood: 0.0,
        from: 0.0,
        to: 0.0,
    });
    // A full batch of the flood is in the way of whoever comes behind it: a quarter of a second.
    let batch = Duration::from_millis(267);
    assert!(
        prompt_p99(&report) < prompt_p99(&quiet) + 2 * batch,
        "{report:?}"
    );
    assert!(report.lanes[&SimulatedLane::Any].p99 < s(15), "{report:?}");
}

#[test]
fn a_node_with_fewer_cores_than_it_claims_does_not_fill_up_with_useless_actors() {
    let config = SimulationConfig {
        cores: 2,
        tail: s(0),
        patience: s(0),
        ..SimulationConfig::default()
    };
    let overload = Load::Constant { rate: 400.0 };
    let trace = Trace::generate(&overload, s(300), 1);
    let mut policy = DelayTarget::new(DelayTargetConfig::default());
    let report = simulate(&config, &trace, &mut policy);
    let undone = report
        .scalings
        .iter()
        .filter(|scaling| scaling.reason.label() == "addition_undone");
    assert!(undone.count() >= 1, "{:?}", report.scalings);
    assert!(report.final_actors < 16, "{:?}", report.scalings);
    assert_eq!((report.lost, report.duplicates), (0, 0));
    assert!(report.unfinished > 0, "the overload was meant to be one");
}

#[test]
fn simulations_are_deterministic() {
    assert_eq!(delay_target(&BURST), delay_target(&BURST));
}

/// Prints the table of the four traces: `cargo test -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table and asserts nothing"]
fn comparison_table() {
    println!(
        "{:<8} {:<13} p50 p95 p99 max prompt-p99 actor-s peak scalings",
        "trace", "policy"
    );
    for (name, load) in [
        ("step", STEP),
        ("burst", BURST),
        ("diurnal", DIURNAL),
        ("flood", FLOOD),
    ] {
        for report in [delay_target(&load), threshold(&load)] {
            let [p50, p95, p99, max, prompt] = [
                report.all.p50,
                report.all.p95,
                report.all.p99,
                report.all.max,
                prompt_p99(&report),
            ]
            .map(|delay| delay.as_secs_f64());
            println!(
                "{name:<8} {:<13} {p50:.2} {p95:.2} {p99:.2} {max:.2} {prompt:.2} {:.0} {} {}",
                report.policy,
                report.actor_seconds,
                report.peak_actors,
                report.scalings.len()
            );
        }
    }
}
