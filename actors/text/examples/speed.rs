//! Measures the cost of parsing and of plans on chat text.
//!
//! `cargo run --release -p babelmesh-text --example speed`
#![allow(clippy::print_stdout)]

use std::{hint::black_box, sync::Arc, time::Instant};

use babelmesh_text::{
    estimate_tokens,
    format::{Format, Options, parse},
    plan::{Answer, Asked, Profile, SentencePlan, Step},
};

const PLAIN: &[&str] = &[
    "Hello, how are you today?",
    "I think that we should meet at the station, because the train leaves soon.",
    "Yes.",
    "No problem! See you tomorrow then, and say hello to your sister from me.",
    "The weather is really nice here; it has been raining for the whole week before.",
];

const TOKENS: &[&str] = &[
    "Hello @ana, see https://example.com/page?id=1 for the details 🎉",
    "The meeting is at 10:30 in room 12, and costs $5.50 per person.",
    "Run `make all` in <b>src/main.rs</b> and tell {name} about it.",
];

fn main() {
    for (name, texts) in [("plain", PLAIN), ("tokens", TOKENS)] {
        let chars: usize = texts.iter().map(|text| text.chars().count()).sum();
        let profile = Arc::new(Profile {
            alignments: true,
            ..Profile::default()
        });
        let options = Options::default();
        let measure = |what: &str, work: &dyn Fn(&str)| {
            let mut best = f64::MAX;
            for _ in 0..20 {
                let start = Instant::now();
                for _ in 0..500 {
                    texts.iter().for_each(|text| work(text));
                }
                best = best.min(start.elapsed().as_nanos() as f64 / (500 * chars) as f64);
            }
            println!("{name:7} {what:28} {best:6.1} ns per character");
        };
        measure("estimate_tokens", &|text| {
            black_box(estimate_tokens(text));
        });
        measure("parse", &|text| {
            drop(black_box(parse(text, Format::Text, &options)))
        });
        measure("parse, plan, check, join", &|text| {
            let document = parse(text, Format::Text, &options);
            let translations: Vec<_> = (0..document.units().len())
                .map(|unit| {
                    let mut plan = SentencePlan::new(&document, unit, &profile);
                    loop {
                        // Another text, so that all of the checks run.
                        let answer =
                            |asked: &Asked| Answer::from(asked.text.replace('e', "i").as_str());
                        match plan.next(plan.asked().iter().map(answer).collect()) {
                            Step::Done { translation, .. } => return translation,
                            Step::Retry => {}
                        }
                    }
                })
                .collect();
            drop(black_box(document.join(&translations)));
        });
    }
}
