//! Case of terms: which spellings of a term are meant, and how its target is written for them.

use babelmesh_domain::Term;

/// Whether a text that is a term but for its case is meant by it: a capital letter of the term must be one in the text. So a term in
/// small letters means every spelling, and "Apple" means "APPLE" but no "apple".
pub(super) fn allows(source: &str, written: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count();
    if !source.contains(char::is_uppercase) {
        return true;
    }
    // A capital may have more letters than the small letter; then only all capitals can be compared.
    if letters(source) != letters(written) {
        return is_all_caps(written);
    }
    let cased = |c: &char| c.is_alphabetic();
    let pairs = source
        .chars()
        .filter(cased)
        .zip(written.chars().filter(cased));
    let mut pairs = pairs;
    pairs.all(|(source, written)| !source.is_uppercase() || written.is_uppercase())
}

/// The target of a term, as it is to be written in the place of a text that means the term.
pub(super) fn target(term: &Term, written: &str) -> String {
    let Term { source, target } = term;
    if source == target {
        return written.to_owned();
    }
    let starts_upper = |text: &str| first_cased(text).is_some_and(char::is_uppercase);
    match () {
        () if source == written || is_mixed(target) => target.clone(),
        () if is_all_caps(written) && !is_all_caps(source) => target.to_uppercase(),
        () if starts_upper(written) && !starts_upper(source) => capitalised(target),
        () => target.clone(),
    }
}

fn is_cased(c: char) -> bool {
    c.is_uppercase() || c.is_lowercase()
}

fn first_cased(text: &str) -> Option<char> {
    text.chars().find(|c| is_cased(*c))
}

/// Whether all of several letters are capitals.
fn is_all_caps(text: &str) -> bool {
    let mut cased = text.chars().filter(|c| is_cased(*c));
    cased.clone().nth(1).is_some() && cased.all(char::is_uppercase)
}

/// Whether a capital follows a small letter within a word, as in "iPhone": such a spelling is a name's own.
fn is_mixed(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let mut letters = word.chars().skip_while(|c| !c.is_lowercase());
        letters.any(char::is_uppercase)
    })
}

/// The text with its first letter as a capital.
fn capitalised(text: &str) -> String {
    match text.char_indices().find(|(_, c)| is_cased(*c)) {
        Some((at, first)) => {
            let rest = &text[at + first.len_utf8()..];
            // "ß" at the start of a word is "Ss".
            let mut capital = first.to_uppercase();
            let head = capital.next();
            let tail = capital.flat_map(char::to_lowercase);
            let capital: String = head.into_iter().chain(tail).collect();
            format!("{}{capital}{rest}", &text[..at])
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_of_a_term_must_be_there() {
        for (source, written, expected) in [
            ("board", "BOARD", true),
            ("board", "Board", true),
            ("Apple", "APPLE", true),
            ("Apple", "apple", false),
            ("iOS", "ios", false),
            ("iOS", "IOS", true),
            ("Straße", "STRASSE", true),
            ("Straße", "strasse", false),
        ] {
            assert_eq!(allows(source, written), expected, "{source} {written}");
        }
    }

    #[test]
    fn the_target_has_the_case_of_the_text_unless_it_has_its_own() {
        for (source, to, written, expected) in [
            ("board", "conseil", "board", "conseil"),
            ("board", "conseil", "Board", "Conseil"),
            ("board", "conseil", "BOARD", "CONSEIL"),
            ("phone", "iPhone", "Phone", "iPhone"),
            ("phone", "iPhone", "PHONE", "iPhone"),
            ("Board", "Conseil", "BOARD", "CONSEIL"),
            ("board", "Vorstand", "board", "Vorstand"),
            ("NATO", "OTAN", "NATO", "OTAN"),
            ("i", "je", "I", "Je"),
            ("the street", "l'été", "The street", "L'été"),
            ("babelmesh", "babelmesh", "BabelMesh", "BabelMesh"),
            ("cat", "猫", "CAT", "猫"),
        ] {
            let term = Term::new(source, to);
            assert_eq!(target(&term, written), expected, "{source} {written}");
        }
    }
}
