//! Messages as backends send them: everyday sentences with tokens that must survive and markup that must stay balanced. A seed makes them.

use std::collections::BTreeSet;

use crate::SeededRng;

/// Sentences, with a place for each token. Some places are at the start or the end.
const SENTENCES: [&str; 24] = [
    "Please look at {} before you leave.",
    "I sent {} to my sister yesterday.",
    "Open {} and tell me what you see.",
    "We talked about {} this morning.",
    "{} is the one that I like best.",
    "Can you help me with {}?",
    "My friend found {} near the station.",
    "Thank you for {}!",
    "The old man asked about {} and {}.",
    "Take {} with you, not {}.",
    "{} works, but {} does not.",
    "You will find {} below {}.",
    "Everything you need is in {}",
    "Hello {}, how are you today?",
    "We are waiting for {} since Monday.",
    "She wrote {} in a letter to {}.",
    "If {} is late, call {}.",
    "Do not forget {} when you come home.",
    "The children were happy about {}.",
    "There was {} on the table.",
    "I would rather have {} than {}.",
    "Nobody knows why {} was closed.",
    "Read {} first, then {}, and last of all {}.",
    "It is about {}, {} and {}.",
];

/// Kinds of tokens that a translation may write in the way of its language.
const AMOUNTS: [&str; 6] = ["money", "percent", "time", "date", "number", "unit"];

/// Words that stand inside inline markup.
const PHRASES: [&str; 10] = [
    "the door",
    "our house",
    "the new book",
    "this letter",
    "your brother",
    "the last train",
    "a cup of tea",
    "the old bridge",
    "my mother",
    "the garden",
];

/// What may fill a place: its kind and its text. `§` is replaced by a number, so that most tokens are different ones.
const TOKENS: [(&str, &str); 34] = [
    ("url", "https://example.com/page/§?view=full"),
    ("url", "www.example.org/news§"),
    ("email", "anna§@example.org"),
    ("mention", "@user_§"),
    ("hashtag", "#topic§"),
    ("code", "`run_§()`"),
    ("placeholder", "{name§}"),
    ("placeholder", "{{value§}}"),
    ("placeholder", "${total§}"),
    ("placeholder", "%{count§}"),
    ("placeholder", "%§$s"),
    ("placeholder", ":item§:"),
    ("placeholder", "<%= name§ %>"),
    ("placeholder", "[[link§]]"),
    ("chat", "<@U0§>"),
    ("chat", "<#C0§|general>"),
    ("chat", "<:smile:§>"),
    ("path", "/var/log/app§.log"),
    ("path", "C:\\data\\file§.txt"),
    ("version", "v2.§.1"),
    ("identifier", "ORD-2026-§"),
    ("identifier", "user_account_§"),
    ("uuid", "123e4567-e89b-42d3-a456-4266§"),
    ("colour", "#a1b2§"),
    ("phone", "+351 912 3§ 678"),
    ("ip", "192.168.1.§"),
    ("money", "$§.50"),
    ("money", "§,00 €"),
    ("percent", "§%"),
    ("time", "10:15"),
    ("date", "2026-03-17"),
    ("number", "§"),
    ("unit", "§ km"),
    ("emoji", "🎉"),
];

/// Tags around a phrase, and tags without content, for each format with markup.
const HTML_PAIRS: [(&str, &str); 5] = [
    ("<b>", "</b>"),
    ("<em class=\"c§\">", "</em>"),
    ("<a href=\"https://example.com/§\">", "</a>"),
    ("<span data-id=\"§\">", "</span>"),
    ("<b><i>", "</i></b>"),
];
const HTML_ALONE: [&str; 3] = [
    "<img src=\"image§.png\" alt=\"\">",
    "<code>run_§()</code>",
    "<span translate=\"no\">Blue Door §</span>",
];
const XML_PAIRS: [(&str, &str); 2] = [("<x id=\"§\">", "</x>"), ("<g id=\"§\"><b>", "</b></g>")];
const XML_ALONE: [&str; 1] = ["<ph id=\"§\"/>"];
const MARKDOWN_PAIRS: [(&str, &str); 3] =
    [("**", "**"), ("[", "](https://example.com/§)"), ("*", "*")];
const MARKDOWN_ALONE: [&str; 1] = ["`run_§()`"];

/// A message.
#[derive(Debug, Clone)]
pub struct CorpusMessage {
    /// Format of the text, as requests name it.
    pub format: &'static str,
    /// The text: one or two sentences.
    pub text: String,
    /// Number of sentences. Each has tokens or markup.
    pub sentences: u32,
    /// Tokens and tags in it, with their kinds. Each must be in the translation as often as in the text.
    pub kept: Vec<(&'static str, String)>,
}

impl CorpusMessage {
    /// What is wrong with a translation: the tokens and tags that are not in it as often as in the source.
    #[must_use]
    pub fn damage(&self, translated: &str) -> Vec<String> {
        let mut damage = Vec::new();
        let mut seen = BTreeSet::new();
        for (kind, kept) in &self.kept {
            let is_amount = AMOUNTS.contains(kind);
            let is_whole = match is_amount {
                true => has_amount(translated, kept),
                false => count(translated, kept) == count(&self.text, kept),
            };
            if seen.insert(kept) && !is_whole {
                damage.push(format!("{kind} {kept}"));
            }
        }
        if matches!(self.format, "html" | "xml")
            && let Some(tag) = unbalanced(translated)
        {
            damage.push(format!("unbalanced {tag}"));
        }
        damage
    }
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// Whether the digits of an amount and its unit are in a text. A translation may write `1.5 %` for `1.5%`, `1,5` for `1.5` and `17/03` for `03-17`.
fn has_amount(text: &str, amount: &str) -> bool {
    let groups = |text: &str| -> Vec<String> {
        let groups = text.split(|c: char| !c.is_ascii_digit());
        let groups = groups.filter(|group| !group.is_empty());
        groups.map(str::to_owned).collect()
    };
    let found = groups(text);
    let unit = amount.trim_matches(|c: char| c.is_ascii_digit() || " .,:-".contains(c));
    groups(amount).iter().all(|group| found.contains(group)) && text.contains(unit)
}

/// The first tag that closes what is not open, or is never closed.
fn unbalanced(text: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>')?;
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split_whitespace().next()?;
        if tag.starts_with('/') {
            match open.pop() {
                Some(last) if last == name => {}
                _ => return Some(format!("</{name}>")),
            }
        } else if !tag.ends_with('/') && name != "img" {
            open.push(name);
        }
    }
    open.pop().map(str::to_owned)
}

/// So many messages, in turn as plain text, HTML, Markdown and XML.
#[must_use]
pub fn corpus(messages: usize, random: &mut SeededRng) -> Vec<CorpusMessage> {
    let formats = ["text", "html", "markdown", "xml"];
    (0..messages)
        .map(|number| message(formats[number % formats.len()], number, random))
        .collect()
}

fn message(format: &'static str, number: usize, random: &mut SeededRng) -> CorpusMessage {
    let mut message = CorpusMessage {
        format,
        text: String::new(),
        // In XML, every element may be inline.
        sentences: 1 + u32::from(format != "xml" && !random.one_in(3)),
        kept: Vec::new(),
    };
    // Three digits: they make each token of a message a different one.
    let mut next = 100 + number % 800;
    let (before, after) = match format {
        "html" => ("<p>", "</p>"),
        "xml" => ("", ""),
        _ => ("", "\n\n"),
    };
    for _ in 0..message.sentences {
        message.text.push_str(before);
        let sentence = *random.pick(&SENTENCES);
        for (at, part) in sentence.split("{}").enumerate() {
            if at > 0 {
                fill(&mut message, next, random);
                next += 1;
            }
            message.text.push_str(part);
        }
        message.text.push_str(after);
    }
    message
}

/// Puts a token, or a phrase with markup, at the end of a message.
fn fill(message: &mut CorpusMessage, number: usize, random: &mut SeededRng) {
    let number = number.to_string();
    let numbered = |text: &str| text.replace('§', &number);
    let (pairs, alone): (&[_], &[_]) = match message.format {
        "html" => (&HTML_PAIRS, &HTML_ALONE),
        "xml" => (&XML_PAIRS, &XML_ALONE),
        "markdown" => (&MARKDOWN_PAIRS, &MARKDOWN_ALONE),
        _ => (&[], &[]),
    };
    let has_markup = !pairs.is_empty();
    if has_markup && random.one_in(3) {
        let (open, close): (&str, &str) = *random.pick(pairs);
        let phrase = *random.pick(&PHRASES);
        let (open, close) = (numbered(open), numbered(close));
        message.text.push_str(&format!("{open}{phrase}{close}"));
        message.kept.push(("tag", open));
        message.kept.push(("tag", close));
    } else if has_markup && random.one_in(5) {
        let text = numbered(random.pick::<&str>(alone));
        message.text.push_str(&text);
        message.kept.push(("tag", text));
    } else {
        let (kind, token) = *random.pick(&TOKENS);
        let is_taken = |sign: &str| token.contains(sign);
        // What means something else in a format is not used there.
        let fits = match message.format {
            "html" | "xml" => !is_taken("<") && !is_taken("&"),
            "markdown" => !["<", "`", "[", "_", "\\", "#"].into_iter().any(is_taken),
            _ => true,
        };
        let token = match fits {
            true => numbered(token),
            false => numbered("{name#}"),
        };
        message.text.push_str(&token);
        message.kept.push((kind, token));
    }
}
