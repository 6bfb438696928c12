//! The currency signs, percent signs and units of a text's numbers.

use std::{collections::HashMap, ops::Range};

use crate::recognise::UNITS;

/// Whether a sign or unit of a number in `source` is missing in `answer`. Those in `except`, by their place in the source, do not count.
///
/// A sign may stand before or after its number. An answer in another script than the Latin one may write units in its own letters.
pub(super) fn is_one_lost(source: &str, except: &[Range<usize>], answer: &str) -> bool {
    let wanted = wanted(source, except);
    if wanted.is_empty() {
        return false;
    }
    let is_foreign = |c: char| c.is_alphabetic() && !is_latin(c);
    let has_own_units = answer.contains(is_foreign);
    wanted.into_iter().any(|(unit, count)| {
        let is_word = unit.contains(char::is_alphabetic);
        !(is_word && has_own_units) && occurrences(answer, unit, is_word) < count
    })
}

/// The signs and units beside numbers, and how often each occurs.
fn wanted<'a>(text: &'a str, except: &[Range<usize>]) -> HashMap<&'a str, usize> {
    let mut wanted = HashMap::new();
    let mut except = except.iter().peekable();
    let mut before: Option<char> = None;
    for (at, c) in text.char_indices() {
        while except.next_if(|range| range.end <= at).is_some() {}
        if except.peek().is_some_and(|range| range.start <= at) {
            before = None;
            continue;
        }
        let was_digit = before.is_some_and(|c| c.is_ascii_digit());
        if was_digit && !c.is_ascii_digit() {
            let unit = unit_after(&text[at..]);
            // A placeholder may follow a number.
            let end = at + 2 * c.len_utf8();
            let is_apart = except.peek().is_none_or(|range| range.start >= end);
            if let Some(unit) = unit.filter(|_| is_apart) {
                *wanted.entry(unit).or_default() += 1;
            }
        } else if c.is_ascii_digit()
            && !was_digit
            && let Some(sign) = sign_before(&text[..at])
        {
            *wanted.entry(sign).or_default() += 1;
        }
        before = Some(c);
    }
    wanted
}

/// The sign or unit at the start of a text, or behind one space.
fn unit_after(text: &str) -> Option<&str> {
    let text = text.strip_prefix(is_space).unwrap_or(text);
    if let Some(sign) = text.chars().next().filter(|c| is_sign(*c)) {
        return Some(&text[..sign.len_utf8()]);
    }
    let unit = UNITS.iter().find(|unit| {
        let rest = text.strip_prefix(**unit);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    })?;
    Some(&text[..unit.len()])
}

/// The sign at the end of a text, or before one space.
fn sign_before(text: &str) -> Option<&str> {
    let text = text.strip_suffix(is_space).unwrap_or(text);
    let sign = text.chars().next_back().filter(|c| is_sign(*c))?;
    // "5 € 3" has one sign, which is found behind its number.
    let number = &text[..text.len() - sign.len_utf8()];
    let number = number.strip_suffix(is_space).unwrap_or(number);
    let has_number = number.ends_with(|c: char| c.is_ascii_digit());
    (!has_number).then(|| &text[text.len() - sign.len_utf8()..])
}

fn occurrences(text: &str, unit: &str, is_word: bool) -> usize {
    let found = text.match_indices(unit);
    let is_apart = |at: usize| {
        !text[..at].ends_with(char::is_alphabetic)
            && !text[at + unit.len()..].starts_with(char::is_alphabetic)
    };
    found.filter(|(at, _)| !is_word || is_apart(*at)).count()
}

const fn is_sign(c: char) -> bool {
    matches!(
        c,
        '%' | '‰' | '°' | '$' | '¢' | '£' | '¥' | '\u{20a0}'..='\u{20cf}'
    )
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

const fn is_latin(c: char) -> bool {
    matches!(c, '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, answer: &str, is_lost: bool) {
        let found = is_one_lost(source, &[], answer);
        assert_eq!(found, is_lost, "{source} → {answer}");
    }

    #[test]
    fn a_sign_may_move_but_not_change() {
        check("It costs $4.", "Custa 4 $.", false);
        check("It costs $4.", "Custa US$ 4.", false);
        check("It costs £4.", "Custa 4 euros.", true);
        check("It costs 5 €.", "Custa 5.", true);
        check("Between 5 € and 6 €.", "Entre 5 e 6 €.", true);
        check("About 50% of 20%.", "Cerca de 50 % de 20 %.", false);
        check("About 50%.", "Cerca de 50.", true);
        check("It is 20 °C.", "Está 20 °C.", false);
    }

    #[test]
    fn a_unit_stays_a_word_of_its_own_where_the_answer_is_in_latin_letters() {
        check("We ran 136 km today.", "Nous avons couru 136 km.", false);
        check("We ran 136km today.", "Nous avons couru 136 km.", false);
        check("We ran 136 km today.", "Le 136 kommens.", true);
        check("We ran 136 km today.", "Мы пробежали 136 км.", false);
        check("Pay 5 EUR.", "Pague EUR 5.", false);
    }

    #[test]
    fn words_and_signs_without_a_number_do_not_count() {
        check("I have 3 kittens and a $ sign.", "J'ai 3 chatons.", false);
        check("5 mmm", "5", false);
        let token = std::slice::from_ref(&(4..6));
        assert!(!is_one_lost("Use 5%.", token, "Utilise."));
        let placeholder = std::slice::from_ref(&(8..10));
        assert!(!is_one_lost("Room 12 %s now.", placeholder, "Sala 12."));
    }
}
