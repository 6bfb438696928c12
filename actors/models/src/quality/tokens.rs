//! The tokeniser 13a of BLEU.

/// Words and marks of a text, as the tokeniser `13a` of sacrebleu has them.
#[must_use]
pub fn tokens(text: &str) -> Vec<String> {
    let text = text.trim_end_matches(is_space);
    let mut text = text
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    // In this order: `&amp;lt;` becomes `<`.
    for (entity, mark) in [
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        text = text.replace(entity, mark);
    }
    let text = format!(" {text} ").chars().collect::<Vec<_>>();
    let text = alone(&text);
    let text = pairs(
        &text,
        |a, b| !a.is_ascii_digit() && is_point(b),
        "\0 \u{1} ",
    );
    let text = pairs(
        &text,
        |a, b| is_point(a) && !b.is_ascii_digit(),
        " \0 \u{1}",
    );
    let text = pairs(&text, |a, b| a.is_ascii_digit() && b == '-', "\0 \u{1} ");
    let text: String = text.into_iter().collect();
    let words = text.split(is_space).filter(|word| !word.is_empty());
    words.map(ToOwned::to_owned).collect()
}

/// White space as Python has it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

const fn is_point(c: char) -> bool {
    matches!(c, '.' | ',')
}

/// Puts spaces around marks, except for points, commas, apostrophes and hyphens.
fn alone(text: &[char]) -> Vec<char> {
    let is_mark =
        |c: char| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
    let spaced = |c: &char| match is_mark(*c) {
        true => vec![' ', *c, ' '],
        false => vec![*c],
    };
    text.iter().flat_map(spaced).collect()
}

/// Replaces pairs of characters from left to right, without overlap. In the form, `\0` and `\1` stand for the two.
fn pairs(text: &[char], is_pair: impl Fn(char, char) -> bool, form: &str) -> Vec<char> {
    let mut replaced = Vec::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(first) = rest.first() {
        match rest.get(1).filter(|second| is_pair(*first, **second)) {
            Some(second) => {
                replaced.extend(form.chars().map(|c| match c {
                    '\0' => *first,
                    '\u{1}' => *second,
                    other => other,
                }));
                rest = &rest[2..];
            }
            None => {
                replaced.push(*first);
                rest = &rest[1..];
            }
        }
    }
    replaced
}
