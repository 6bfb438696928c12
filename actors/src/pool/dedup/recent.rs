//! Which translations may have been cached since a piece was looked up, to avoid repeated lookups.

use crate::cache::CacheKey;

use crate::pool::item::LookedUp;

/// Number of slots for keys; a collision costs an unneeded lookup.
const SLOTS: usize = 4_096;

/// Time of the last cache write, by a part of the key.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Counts cache writes.
    made: u64,
    /// Earlier lookups are invalid.
    valid_from: u64,
    /// Empty until the first cache write.
    slots: Vec<u64>,
}

impl Recent {
    /// The time of a look-up.
    pub(super) const fn now(&self) -> LookedUp {
        // Zero is for pieces that were not looked up.
        LookedUp(self.made + 1)
    }

    /// A translation was cached.
    pub(super) fn note(&mut self, key: &CacheKey) {
        self.made += 1;
        self.slots.resize(SLOTS, 0);
        self.slots[slot(key)] = self.made;
    }

    /// Invalidates earlier lookups.
    pub(super) const fn invalidate(&mut self) {
        self.made += 1;
        self.valid_from = self.made;
    }

    /// Whether a piece that missed at its last lookup may be cached by now.
    pub(super) fn may_be_newer(&self, key: &CacheKey, LookedUp(at): LookedUp) -> bool {
        let newest = self.slots.get(slot(key)).copied().unwrap_or(0);
        at <= self.valid_from || newest >= at
    }
}

/// Keys are parts of a hash: any part of them is spread evenly.
const fn slot(key: &CacheKey) -> usize {
    key.prefix() as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::CacheSpace;

    fn key(text: u32) -> CacheKey {
        let [en, fr] = ["en", "fr"].map(|tag| tag.parse().unwrap());
        CacheSpace::new(["model"]).key(en, fr, &text.to_string())
    }

    proptest! {
        /// Steps: look a text up, remember it, or change what look-ups are for.
        #[test]
        fn no_translation_that_was_remembered_since_a_look_up_is_missed(
            steps in prop::collection::vec((0u8..10, 0u32..20), 0..200),
        ) {
            let mut recent = Recent::default();
            let mut looked_up = HashMap::new();
            let mut newer = HashMap::new();
            for (step, text) in steps {
                match step {
                    0..5 => {
                        looked_up.insert(text, recent.now());
                        newer.insert(text, false);
                    }
                    5..9 => {
                        recent.note(&key(text));
                        newer.insert(text, true);
                    }
                    _ => {
                        recent.invalidate();
                        looked_up.keys().for_each(|text| { newer.insert(*text, true); });
                    }
                }
                for (text, at) in &looked_up {
                    prop_assert!(recent.may_be_newer(&key(*text), *at) || !newer[text]);
                }
                prop_assert!(recent.may_be_newer(&key(text), LookedUp::default()));
            }
        }
    }

    #[test]
    fn a_look_up_is_not_repeated_while_nothing_with_its_key_is_remembered() {
        let mut recent = Recent::default();
        recent.invalidate();
        let at = recent.now();
        assert!(!recent.may_be_newer(&key(1), at));
        recent.note(&key(2));
        assert!(!recent.may_be_newer(&key(1), at));
        recent.note(&key(1));
        assert!(recent.may_be_newer(&key(1), at));
        assert!(!recent.may_be_newer(&key(1), recent.now()));
    }
}
