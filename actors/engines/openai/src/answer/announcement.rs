//! Announcements such as "Sure, here is the translation:".

use super::Rejection;

/// An announcement is at most this long, in bytes.
const MAX_LENGTH: usize = 160;

const COLONS: [char; 2] = [':', '：'];

/// What a translation is called.
const NOUNS: [&str; 9] = [
    "translat",
    "traduction",
    "traducción",
    "traduccion",
    "tradução",
    "traduzione",
    "übersetzung",
    "翻译",
    "译文",
];

/// What announces it.
const VERBS: [&str; 14] = [
    "here is",
    "here's",
    "here are",
    "below is",
    "the following",
    "voici",
    "ci-dessous",
    "hier ist",
    "aquí está",
    "aquí tienes",
    "aqui está",
    "ecco",
    "以下是",
    "is as follows",
];

/// How an answer is opened.
const OPENERS: [&str; 10] = [
    "sure",
    "certainly",
    "of course",
    "okay",
    "ok",
    "absolutely",
    "bien sûr",
    "gerne",
    "natürlich",
    "claro",
];

/// Labels that are nothing else.
const LABELS: [&str; 13] = [
    "translation",
    "translated text",
    "the translation",
    "the translation is",
    "the translated text is",
    "traduction",
    "traducción",
    "tradução",
    "traduzione",
    "übersetzung",
    "翻译",
    "译文",
    "final translation",
];

/// How an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With words about a translation. No translation does, unless its source does.
    Announcement,
    /// With the name of the language, which may also be a translation.
    Language,
}

/// The answer below its announcement.
///
/// The colon of an announcement is one that the source does not have. Where colons do not tell, an announcement cannot be told from a
/// translated one.
pub(super) fn strip<'a>(
    source: &str,
    answer: &'a str,
    language: &str,
) -> Result<&'a str, Rejection> {
    let Some((kind, rest)) = split(answer, language) else {
        return Ok(answer);
    };
    if split(source, language).is_some() {
        return Ok(answer);
    }
    match (colons(answer) > colons(source), kind) {
        (true, _) => Ok(rest),
        (false, Kind::Announcement) => Err(Rejection::Chatter),
        (false, Kind::Language) => Ok(answer),
    }
}

fn colons(text: &str) -> usize {
    text.matches(COLONS).count()
}

/// An announcement, and what follows it.
fn split<'a>(text: &'a str, language: &str) -> Option<(Kind, &'a str)> {
    let end = text.find([COLONS[0], COLONS[1], '\n'])?;
    let (head, rest) = text.split_at(end);
    let rest = rest.strip_prefix(COLONS)?;
    if head.len() > MAX_LENGTH {
        return None;
    }
    let is_mark = |c: char| matches!(c, '*' | '_' | '#' | ' ');
    let has_marks = head.starts_with(['*', '_']);
    let lower = head.trim_matches(is_mark).to_lowercase().replace('’', "'");
    let kind = kind(&lower, &language.to_lowercase())?;
    let rest = match has_marks {
        true => rest.trim_start_matches(['*', '_']),
        false => rest,
    };
    Some((kind, rest.trim_start()))
}

fn kind(head: &str, language: &str) -> Option<Kind> {
    let has_any = |words: &[&str]| words.iter().any(|word| head.contains(word));
    if has_any(&NOUNS) && has_any(&VERBS) {
        return Some(Kind::Announcement);
    }
    let opener = OPENERS.iter().find_map(|opener| {
        let rest = head.strip_prefix(opener)?;
        (rest.is_empty() || rest.starts_with([',', '!', '.', ' '])).then_some(rest)
    });
    let label = opener.unwrap_or(head);
    let label = label.trim_start_matches([',', '!', '.', ' ']);
    let is_label = LABELS.contains(&label)
        || ["to", "into", "in"].iter().any(|word| {
            label == format!("translation {word} {language}")
                || label == format!("translated {word} {language}")
        })
        || label == format!("{language} translation")
        || label == format!("the {language} translation is");
    if is_label {
        return Some(Kind::Announcement);
    }
    (label == language).then_some(Kind::Language)
}
