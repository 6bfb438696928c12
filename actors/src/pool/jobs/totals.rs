//! Counts of the findings of sentences' checks.

use crate::{
    domain::TextChecks,
    events::SentenceCounts,
    text::plan::{Checks, Flag, Way},
};

/// Findings of the checks of a job's sentences.
#[derive(Debug, Default)]
pub(super) struct JobChecks {
    stand_in: u32,
    cut: u32,
    source: u32,
    found: Checks,
}

impl JobChecks {
    /// Adds a sentence.
    pub(super) fn add(&mut self, checks: &Checks) {
        match way(checks) {
            Way::Whole => {}
            Way::StandIn => self.stand_in += 1,
            Way::Cut => self.cut += 1,
            Way::Source => self.source += 1,
        }
        self.found.add(checks);
    }

    /// The checks for the job's result; `None` if every sentence was translated whole and passed at once.
    pub(super) fn result(&self) -> Option<TextChecks> {
        let is_plain = self.stand_in + self.cut + self.source == 0;
        let sorted = |labels: Vec<&'static str>| {
            let mut labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
            labels.sort_unstable();
            labels
        };
        let flags = self.found.flags().map(Flag::label).collect::<Vec<_>>();
        (!is_plain || !flags.is_empty()).then(|| TextChecks {
            stand_in: self.stand_in,
            cut: self.cut,
            source: self.source,
            flags: sorted(flags),
            kinds: sorted(self.found.kinds.kinds().map(|kind| kind.label()).collect()),
        })
    }
}

/// How a sentence was translated. A sentence with an untranslated part counts as [`Way::Source`].
fn way(checks: &Checks) -> Way {
    match checks.has(Flag::SourceKept) {
        true => Way::Source,
        false => checks.way,
    }
}

/// Counts a sentence.
pub(super) fn count(counts: &mut SentenceCounts, checks: &Checks) {
    counts.ways[way(checks) as usize] += 1;
    for flag in checks.flags() {
        counts.flags[flag as usize] += 1;
    }
    for kind in checks.kinds.kinds() {
        counts.kinds[kind as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::text::{
        format::{Format, Options, parse},
        plan::{Answer, Profile, SentencePlan, Step},
        recognise::TokenKind,
    };

    fn checks(text: &str, answer: impl Fn(&str) -> String) -> Checks {
        let document = parse(text, Format::Text, &Options::default());
        let mut plan = SentencePlan::new(&document, 0, &Arc::new(Profile::default()));
        loop {
            let asked = plan.asked().iter();
            let answers = asked.map(|asked| Answer::from(answer(&asked.text).as_str()));
            if let Step::Done { checks, .. } = plan.next(answers.collect()) {
                return checks;
            }
        }
    }

    #[test]
    fn only_what_was_not_translated_whole_at_once_is_reported() {
        let mut job = JobChecks::default();
        let mut counts = SentenceCounts::default();
        let whole = checks("Ask @ana about it.", |text| format!("fr:{text}"));
        job.add(&whole);
        count(&mut counts, &whole);
        assert_eq!(job.result(), None);
        let cut = checks("Ask @ana about it.", |text| {
            format!("fr:{}", text.replace('@', ""))
        });
        let kept = checks("This is it.", |_| String::new());
        for checks in [&cut, &kept] {
            job.add(checks);
            count(&mut counts, checks);
        }
        let expected = TextChecks {
            cut: 1,
            source: 1,
            flags: ["empty", "source_kept", "token"]
                .map(str::to_owned)
                .to_vec(),
            kinds: vec!["mention".to_owned()],
            ..TextChecks::default()
        };
        assert_eq!(job.result(), Some(expected));
        assert_eq!(counts.ways, [1, 0, 1, 1]);
        assert_eq!(counts.flags[Flag::Token as usize], 1);
        assert_eq!(counts.kinds[TokenKind::Mention as usize], 1);
        assert_eq!(counts.kinds.iter().sum::<u32>(), 1);
    }
}
