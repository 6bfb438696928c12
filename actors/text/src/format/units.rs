//! Divides a run into units: finds its tokens and its sentences.

use std::{borrow::Cow, ops::Range, sync::Arc};

use super::{
    Options, Splitting,
    bits::{Bit, BitKind, bits},
    builder::{AtomKind, Run},
};
use crate::escape::Escape;
use crate::{
    document::{Part, PartKind, Partner, Unit},
    edges, estimate_tokens,
    glossary::Dictionary,
    oversize,
    recognise::{self, Token, TokenKind},
    sentences,
};

/// Adds the units of a run.
pub(super) fn divide(
    text: &str,
    run: &Run,
    escape: Escape,
    options: &Options<'_>,
    units: &mut Vec<Arc<Unit>>,
) {
    let tokens = tokens(text, run, options);
    let masked = masked(&run.plain, &tokens);
    let bits = bits(&run.atoms, &tokens);
    let assembly = Assembly {
        text,
        plain: &run.plain,
        bits: &bits,
        escape,
        glossary: options.glossary,
    };
    let mut next_bit = 0;
    let ends = match options.splitting {
        Splitting::Off => vec![masked.len()],
        _ => sentences::ends(&masked),
    };
    let mut start = 0;
    for end in ends {
        let sentence = std::mem::replace(&mut start, end)..end;
        for core in cores(&masked, sentence, &tokens, options.max_tokens.max(1)) {
            if let Some(unit) = assembly.unit(core, &mut next_bit) {
                units.push(Arc::new(unit));
            }
        }
    }
}

/// The tokens of a run, with the content that its format leaves as it is.
fn tokens(text: &str, run: &Run, options: &Options<'_>) -> Vec<Token> {
    let found = beside_marks(
        run,
        &recognise::Options {
            patterns: options.patterns,
            known: options.known,
            glossary: options.glossary,
        },
    );
    let found = match options.glossary {
        Some(_) => without_divided_terms(text, run, found),
        None => found,
    };
    let mut opaque = run
        .atoms
        .iter()
        .filter_map(|atom| match atom.kind {
            AtomKind::Opaque(kind) => Some(Token {
                range: atom.plain.clone(),
                kind,
            }),
            _ => None,
        })
        .peekable();
    if opaque.peek().is_none() {
        return found;
    }
    let mut all: Vec<Token> = Vec::with_capacity(found.len());
    for token in found {
        while let Some(own) = opaque.next_if(|own| own.range.start < token.range.end) {
            all.push(own);
        }
        // An opaque stretch that begins inside of the token or before it wins.
        if all
            .last()
            .is_none_or(|last| last.range.end <= token.range.start)
        {
            all.push(token);
        }
    }
    all.extend(opaque);
    all
}

/// The tokens of the plain text of a run. Those count too that are recognised only because a mark stands between them and a word, as in
/// `%s<b>items</b>`.
fn beside_marks(run: &Run, options: &recognise::Options<'_>) -> Vec<Token> {
    let found = recognise::tokens(&run.plain, options);
    let marks = run.atoms.iter().filter(|atom| atom.kind.is_mark());
    let mut ends: Vec<usize> = marks.map(|atom| atom.plain.start).collect();
    if ends.is_empty() {
        return found;
    }
    ends.push(run.plain.len());
    let mut all: Vec<Token> = Vec::with_capacity(found.len());
    let mut found = found.into_iter().peekable();
    let mut start = 0;
    for end in ends {
        let stretch = std::mem::replace(&mut start, end)..end;
        for token in recognise::tokens(&run.plain[stretch.clone()], options) {
            let range = stretch.start + token.range.start..stretch.start + token.range.end;
            while let Some(before) = found.next_if(|before| before.range.end <= range.start) {
                all.push(before);
            }
            let is_free = found
                .peek()
                .is_none_or(|next| next.range.start >= range.end);
            if is_free {
                all.push(Token { range, ..token });
            }
        }
    }
    all.extend(found);
    all
}

/// Leaves out the terms with markup inside, which would be lost with their words. A wrapped line divides no term.
fn without_divided_terms(text: &str, run: &Run, mut tokens: Vec<Token>) -> Vec<Token> {
    let mut from = 0;
    tokens.retain(|token| {
        if token.kind != TokenKind::Term {
            return true;
        }
        let Range { start, end } = token.range;
        from += run.atoms[from..]
            .iter()
            .take_while(|atom| atom.plain.end <= start)
            .count();
        let mut inside = run.atoms[from..]
            .iter()
            .take_while(|atom| atom.plain.start < end);
        !inside.any(|atom| match atom.kind {
            AtomKind::Text | AtomKind::Decoded => false,
            AtomKind::Break => !text[atom.source.clone()].trim().is_empty(),
            AtomKind::Opaque(_) => true,
            AtomKind::Open(_) | AtomKind::Close(_) | AtomKind::Empty => atom.plain.start > start,
        })
    });
    tokens
}

/// The plain text with its tokens made words or spaces, so that none of them ends a sentence. All
/// offsets stay as they are.
fn masked<'a>(plain: &'a str, tokens: &[Token]) -> Cow<'a, str> {
    let is_plain = |b: u8| !b.is_ascii_control() && b != 0xc2 && b != 0xe2;
    if tokens.is_empty() && plain.bytes().all(is_plain) {
        return plain.into();
    }
    let mut masked = String::with_capacity(plain.len());
    // A line that is wrapped is no paragraph.
    let push = |masked: &mut String, words: &str| {
        for c in words.chars() {
            match c {
                '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' => masked.push(' '),
                '\u{85}' => masked.push_str("  "),
                '\u{2028}' | '\u{2029}' => masked.push_str("   "),
                _ => masked.push(c),
            }
        }
    };
    let mut from = 0;
    for token in tokens {
        push(&mut masked, &plain[from..token.range.start]);
        let len = token.range.len();
        from = token.range.end;
        if token.kind.is_detachable() {
            masked.extend(std::iter::repeat_n(' ', len));
        } else if token.kind == TokenKind::Number {
            masked.push_str(&plain[token.range.clone()]);
        } else {
            masked.push('X');
            masked.extend(std::iter::repeat_n('x', len - 1));
        }
    }
    push(&mut masked, &plain[from..]);
    masked.into()
}

/// What a model should see of a sentence, in parts that are not too long.
fn cores(
    masked: &str,
    sentence: Range<usize>,
    tokens: &[Token],
    max_tokens: u32,
) -> Vec<Range<usize>> {
    let core_of = |range: Range<usize>| {
        let core = edges::core(&masked[range.clone()])?;
        Some(range.start + core.start..range.start + core.end)
    };
    let Some(core) = core_of(sentence) else {
        return Vec::new();
    };
    let words = &masked[core.clone()];
    if estimate_tokens(words) <= max_tokens {
        return vec![core];
    }
    let mut start = core.start;
    let mut cores = Vec::new();
    for part in oversize::parts(words, max_tokens) {
        let mut end = (core.start + part.end).max(start);
        // A token is never cut.
        let next = tokens.partition_point(|token| token.range.end <= end);
        if let Some(token) = tokens.get(next).filter(|token| token.range.start < end) {
            end = token.range.end.min(core.end);
        }
        cores.extend(core_of(start..end));
        start = end;
    }
    cores
}

struct Assembly<'a> {
    text: &'a str,
    plain: &'a str,
    bits: &'a [Bit],
    escape: Escape,
    glossary: Option<&'a Dictionary>,
}

impl Assembly<'_> {
    /// The unit whose words are `core`; `None` if only tokens are left in it that stay as they are.
    fn unit(&self, core: Range<usize>, next_bit: &mut usize) -> Option<Unit> {
        let bits = self.bits;
        let from = *next_bit;
        // The first bit with words of the core in it, and the first one behind it.
        let mut first = from
            + bits[from..]
                .iter()
                .take_while(|bit| bit.plain.end <= core.start)
                .count();
        let mut end = first
            + bits[first..]
                .iter()
                .take_while(|bit| bit.plain.start < core.end)
                .count();
        let has_words = bits[first..end].iter().any(|bit| {
            let words = bit.plain.start.max(core.start)..bit.plain.end.min(core.end);
            bit.kind == BitKind::Token(TokenKind::Term)
                || matches!(bit.kind, BitKind::Text | BitKind::Decoded)
                    && self.plain[words].contains(char::is_alphabetic)
        });
        if !has_words {
            *next_bit = first;
            return None;
        }
        let shares_last = bits[end - 1].plain.end > core.end;
        let before = bits[from..first]
            .iter()
            .rev()
            .take_while(|bit| {
                bit.plain.start == core.start && bits[first].plain.start == core.start
            })
            .count();
        let is_inner_open = |bit: &Bit| matches!(bit.kind, BitKind::Open(Some(close)) if bits.get(close).is_some_and(|close| close.plain.start < core.end));
        first -= bits[first - before..first]
            .iter()
            .position(is_inner_open)
            .map_or(0, |position| before - position);
        if !shares_last {
            let is_inner_close = |bit: &Bit| matches!(bit.kind, BitKind::Close(Some(open)) if open >= first && bits.get(open).is_some_and(|open| open.plain.start < core.end));
            end += bits[end..]
                .iter()
                .take_while(|bit| bit.plain.end == core.end)
                .collect::<Vec<_>>()
                .iter()
                .rposition(|bit| is_inner_close(bit))
                .map_or(0, |position| position + 1);
        }
        *next_bit = if shares_last { end - 1 } else { end };
        let parts = self.parts(first..end, core);
        let range = parts.first()?.range.start..parts.last()?.range.end;
        Some(Unit {
            range,
            parts,
            escape: self.escape,
        })
    }

    fn token(&self, bit: &Bit, kind: TokenKind) -> PartKind {
        let plain = &self.plain[bit.plain.clone()];
        let target = self.glossary.filter(|_| kind == TokenKind::Term);
        match target.and_then(|glossary| glossary.target(plain)) {
            Some(target) => PartKind::Token {
                kind,
                visible: Some(target.into()),
                written: Some(plain.into()),
            },
            None => PartKind::Token {
                kind,
                visible: (plain != &self.text[bit.source.clone()]).then(|| plain.into()),
                written: None,
            },
        }
    }

    fn parts(&self, range: Range<usize>, core: Range<usize>) -> Vec<Part> {
        let mut parts = Parts {
            text: self.text,
            parts: Vec::with_capacity(range.len()),
        };
        let mut places = vec![usize::MAX; range.len()];
        let mut solid = 0;
        let mut at = range.start;
        while at < range.end {
            let bit = &self.bits[at];
            parts.fill_gap(bit.source.start);
            places[at - range.start] = parts.next();
            at += 1;
            match bit.kind {
                BitKind::Open(Some(close)) if range.contains(&close) => {
                    let (from, to) = (bit.plain.start, self.bits[close].plain.start);
                    if solid < from {
                        let blank = self.plain[from..].find(|c: char| !c.is_whitespace());
                        solid = blank.map_or(self.plain.len(), |len| from + len);
                    }
                    if from == to || solid >= to {
                        let kind = if from == to {
                            PartKind::Empty
                        } else {
                            PartKind::Break
                        };
                        parts.push(bit.source.start..self.bits[close].source.end, kind);
                        at = close + 1;
                    } else {
                        parts.push(bit.source.clone(), PartKind::Open(Partner::At(close)));
                    }
                }
                BitKind::Open(Some(_)) => {
                    parts.push(bit.source.clone(), PartKind::Open(Partner::Outside));
                }
                BitKind::Close(Some(open)) if range.contains(&open) => {
                    parts.push(bit.source.clone(), PartKind::Close(Partner::At(open)));
                }
                BitKind::Close(Some(_)) => {
                    parts.push(bit.source.clone(), PartKind::Close(Partner::Outside));
                }
                BitKind::Open(None) | BitKind::Close(None) | BitKind::Empty => {
                    parts.push(bit.source.clone(), PartKind::Empty);
                }
                BitKind::Break => parts.push(bit.source.clone(), PartKind::Break),
                BitKind::Token(kind) => {
                    let token = self.token(bit, kind);
                    parts.push(bit.source.clone(), token);
                }
                BitKind::Text => {
                    let words = bit.plain.start.max(core.start)..bit.plain.end.min(core.end);
                    let start = bit.source.start + words.start - bit.plain.start;
                    parts.push_words(start..start + words.len(), None);
                }
                BitKind::Decoded => {
                    parts.push_words(bit.source.clone(), Some(&self.plain[bit.plain.clone()]));
                }
            }
        }
        let mut parts = parts.parts;
        for part in &mut parts {
            if let PartKind::Open(Partner::At(bit)) | PartKind::Close(Partner::At(bit)) =
                &mut part.kind
            {
                *bit = places[*bit - range.start];
            }
        }
        parts
    }
}

/// Collects parts that follow each other without a gap.
struct Parts<'a> {
    text: &'a str,
    parts: Vec<Part>,
}

impl Parts<'_> {
    /// Index of the part that comes next, if nothing lies between.
    fn next(&self) -> usize {
        self.parts.len()
    }

    /// Accounts for what lies between the last part and the next, such as the mark of a quote in
    /// front of a wrapped line.
    fn fill_gap(&mut self, start: usize) {
        let Some(last) = self.parts.last_mut().filter(|last| last.range.end < start) else {
            return;
        };
        if last.kind == PartKind::Break {
            last.range.end = start;
        } else {
            let range = last.range.end..start;
            self.push(range, PartKind::Empty);
        }
    }

    fn push(&mut self, range: Range<usize>, kind: PartKind) {
        self.parts.push(Part { range, kind });
    }

    fn push_words(&mut self, range: Range<usize>, decoded: Option<&str>) {
        if let Some(Part {
            range: last,
            kind: PartKind::Text { decoded: words },
        }) = self.parts.last_mut()
            && last.end == range.start
        {
            let text = self.text;
            let words = words.get_or_insert_with(|| text[last.clone()].into());
            let mut joined = String::from(std::mem::take(words));
            joined.push_str(decoded.unwrap_or(&text[range.clone()]));
            *words = joined.into();
            last.end = range.end;
            return;
        }
        let decoded = decoded.map(Into::into);
        self.push(range, PartKind::Text { decoded });
    }
}
