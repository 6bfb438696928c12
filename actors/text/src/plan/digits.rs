//! The numbers of a text, compared by their digits and decimals: "1,000.50" and "1.000,50" are the same, "3.5" and "35" are not.

use std::{collections::HashMap, ops::Range};

/// The groups of digits of a text, without those in `except`, and how often each occurs.
pub(super) fn groups(text: &str, except: &[Range<usize>]) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    let mut group = Group::default();
    let mut except = except.iter().peekable();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        while except.next_if(|range| range.end <= at).is_some() {}
        if except.peek().is_some_and(|range| range.start <= at) {
            close(&mut group, &mut found);
            continue;
        }
        match value(c) {
            Some(digit) => group.push(digit),
            None => {
                let goes_on = !group.digits.is_empty()
                    && is_separator(c)
                    && chars.peek().is_some_and(|&(_, next)| value(next).is_some());
                match goes_on {
                    true => group.separate(c),
                    false => close(&mut group, &mut found),
                }
            }
        }
    }
    close(&mut group, &mut found);
    found
}

/// The digits of a number as it grows.
#[derive(Default)]
struct Group {
    digits: String,
    /// Digits behind the last separator, if that may be a decimal one.
    decimals: Option<usize>,
}

impl Group {
    fn push(&mut self, digit: char) {
        self.digits.push(digit);
        if let Some(decimals) = &mut self.decimals {
            *decimals += 1;
        }
    }

    fn separate(&mut self, separator: char) {
        self.decimals = matches!(separator, '.' | ',' | '٫').then_some(0);
    }

    /// The digits, with a point before the decimals. Three digits behind a separator may be thousands: there is no point then.
    fn key(mut self) -> String {
        if let Some(decimals) = self.decimals.filter(|&decimals| decimals != 3) {
            // All digits are ASCII.
            self.digits.insert(self.digits.len() - decimals, '.');
        }
        self.digits
    }
}

fn close(group: &mut Group, found: &mut HashMap<String, usize>) {
    if !group.digits.is_empty() {
        *found.entry(std::mem::take(group).key()).or_default() += 1;
    }
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | '\'' | '’' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '٫' | '٬'
    )
}

/// A digit of any common script, as an ASCII digit.
fn value(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => return Some(c),
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        _ => return None,
    };
    char::from_digit(c as u32 - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_in_every_notation() {
        for (one, other) in [
            ("$1,000.50 at 10:30", "10h30, 1.000,50 $"),
            ("2024-05-01", "01/05/2024"),
            ("٣ dogs", "3 cães"),
        ] {
            assert_eq!(groups(one, &[]), groups(other, &[]), "{one}");
        }
        for (one, other) in [
            ("3 dogs", "4 dogs"),
            ("3.5 dogs", "35 Hunde"),
            ("it costs 5.50", "es kostet 550"),
            ("1.25 and 7.5", "1,25 et 75"),
        ] {
            assert_ne!(groups(one, &[]), groups(other, &[]), "{one}");
        }
        let version = std::slice::from_ref(&(7..11));
        assert_eq!(groups("3 dogs v1.2", version), groups("3", &[]));
    }
}
