//! Choices that brokers, users and time make, in turn.

/// A script of choices. Behind its end everything goes well, which is the first option of every choice.
#[derive(Debug, Default)]
pub(super) struct Choices {
    script: Vec<u8>,
    /// Number of options of each choice so far.
    options: Vec<usize>,
}

impl Choices {
    pub(super) const fn of(script: Vec<u8>) -> Self {
        Self {
            script,
            options: Vec::new(),
        }
    }

    pub(super) fn pick(&mut self, options: usize) -> usize {
        let chosen = self.script.get(self.options.len());
        self.options.push(options);
        chosen.map_or(0, |chosen| *chosen as usize % options)
    }

    /// Number of choices so far.
    pub(super) const fn count(&self) -> usize {
        self.options.len()
    }

    /// The script after this one in an enumeration of all that differ in `depth` choices, the first of which has the number `first`.
    pub(super) fn following(&self, first: usize, depth: usize) -> Option<Vec<u8>> {
        let mut script = self.script.clone();
        script.resize((first + depth).min(self.options.len()), 0);
        while script.len() > first
            && let Some(last) = script.pop()
        {
            if usize::from(last) + 1 < self.options[script.len()] {
                script.push(last + 1);
                return Some(script);
            }
        }
        None
    }
}

#[test]
fn an_enumeration_has_every_sequence_of_choices_once() {
    let enumerate = |first, depth| {
        let (mut found, mut script) = (Vec::new(), Some(Vec::new()));
        while let Some(now) = script {
            let mut choices = Choices::of(now);
            let one = choices.pick(3);
            // The number of options depends on what was chosen before.
            let two = choices.pick(one + 1);
            found.push((one, two, choices.pick(2)));
            script = choices.following(first, depth);
        }
        found
    };
    let all = [
        (0, 0, 0),
        (1, 0, 0),
        (1, 1, 0),
        (2, 0, 0),
        (2, 1, 0),
        (2, 2, 0),
    ];
    assert_eq!(enumerate(0, 2), all);
    assert_eq!(enumerate(2, 5), [(0, 0, 0), (0, 0, 1)]);
}
