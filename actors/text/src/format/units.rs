//! Divides a run into units: finds its tokens and its sentences.

use std::{ops::Range, sync::Arc};

use super::{
    Options, Splitting,
    builder::{Atom, AtomKind, Run},
    escape::Escape,
};
use crate::{
    document::{Part, PartKind, Partner, Unit},
    edges, estimate_tokens, oversize,
    recognise::{self, Token, TokenKind},
    sentences,
};

/// An atom, or a part of one, after the tokens are known.
#[derive(Debug, Clone)]
struct Bit {
    source: Range<usize>,
    plain: Range<usize>,
    kind: BitKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BitKind {
    Text,
    Decoded,
    Token(TokenKind),
    Open(Option<usize>),
    Close(Option<usize>),
    Empty,
    Break,
}

/// Adds the units of a run.
pub(super) fn divide(
    text: &str,
    run: &Run,
    escape: Escape,
    options: &Options<'_>,
    units: &mut Vec<Arc<Unit>>,
) {
    let tokens = tokens(run, options);
    let masked = masked(&run.plain, &tokens);
    let bits = bits(&run.atoms, &tokens);
    let assembly = Assembly {
        text,
        plain: &run.plain,
        bits: &bits,
        escape,
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
fn tokens(run: &Run, options: &Options<'_>) -> Vec<Token> {
    let found = recognise::tokens(
        &run.plain,
        &recognise::Options {
            patterns: options.patterns,
            known: options.known,
        },
    );
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

/// The plain text with its tokens made words or spaces, so that none of them ends a sentence. All
/// offsets stay as they are.
fn masked(plain: &str, tokens: &[Token]) -> String {
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
    masked
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

/// Cuts the atoms at the tokens. A token takes up the marks inside of it.
fn bits(atoms: &[Atom], tokens: &[Token]) -> Vec<Bit> {
    let mut bits: Vec<Bit> = Vec::with_capacity(atoms.len() + 2 * tokens.len());
    // Where the marks are among the bits.
    let mut places = vec![usize::MAX; atoms.len()];
    let mut tokens = tokens.iter().peekable();
    let mut at = 0;
    // How much of the plain text is in the bits.
    let mut done = 0;
    // Whether the marks inside of the token keep it from being whole.
    let mut is_broken = false;
    while at < atoms.len() {
        let atom = &atoms[at];
        let Some(token) = tokens
            .peek()
            .filter(|token| !atom.kind.is_mark() && token.range.start < atom.plain.end)
        else {
            places[at] = bits.len();
            push_atom(&mut bits, atom, done.max(atom.plain.start), atom.plain.end);
            done = done.max(atom.plain.end);
            at += 1;
            continue;
        };
        let start = token.range.start.max(done);
        push_atom(&mut bits, atom, done.max(atom.plain.start), start);
        let covered = match is_broken {
            true => Covered {
                first: at,
                last: at,
            },
            false => Covered::of(atoms, at, start, token.range.end),
        };
        let opened = bits.len() - (at - covered.first);
        // Marks before the token that belong to it were pushed last.
        bits.truncate(opened);
        let last = &atoms[covered.last];
        let end = last.plain.end.min(token.range.end).max(start);
        bits.push(Bit {
            source: source_at(&atoms[covered.first], start)..source_end(last, end),
            plain: start..end,
            kind: BitKind::Token(token.kind),
        });
        done = end;
        at = covered.last;
        is_broken = done < token.range.end;
        if !is_broken {
            tokens.next();
        }
        if done >= last.plain.end {
            at += 1;
        }
    }
    for bit in &mut bits {
        if let BitKind::Open(partner) | BitKind::Close(partner) = &mut bit.kind {
            *partner = partner
                .map(|atom| places[atom])
                .filter(|&at| at < usize::MAX);
        }
    }
    bits
}

fn push_atom(bits: &mut Vec<Bit>, atom: &Atom, from: usize, to: usize) {
    let kind = match atom.kind {
        AtomKind::Text => BitKind::Text,
        AtomKind::Decoded => BitKind::Decoded,
        AtomKind::Opaque(kind) => BitKind::Token(kind),
        AtomKind::Open(close) => BitKind::Open(close),
        AtomKind::Close(open) => BitKind::Close(open),
        AtomKind::Empty => BitKind::Empty,
        AtomKind::Break => BitKind::Break,
    };
    if atom.kind.is_mark() || from < to {
        bits.push(Bit {
            source: source_at(atom, from)..source_end(atom, to),
            plain: from..to.max(from),
            kind,
        });
    }
}

/// The place in the message of an offset of the plain text, in an atom.
fn source_at(atom: &Atom, plain: usize) -> usize {
    match atom.kind {
        AtomKind::Text => {
            atom.source.start + plain.clamp(atom.plain.start, atom.plain.end) - atom.plain.start
        }
        _ => atom.source.start,
    }
}

fn source_end(atom: &Atom, plain: usize) -> usize {
    match atom.kind {
        AtomKind::Text => source_at(atom, plain),
        _ => atom.source.end,
    }
}

/// The atoms that a token covers.
struct Covered {
    first: usize,
    last: usize,
}

impl Covered {
    /// From the atom `at`, in which the token starts. Every element that begins or ends in it must
    /// be in it as a whole; the token may reach out to the marks around it. Where that is not
    /// enough, it ends before the first mark.
    fn of(atoms: &[Atom], at: usize, start: usize, end: usize) -> Self {
        let mut last = at;
        while atoms[last].plain.end < end && last + 1 < atoms.len() {
            last += 1;
        }
        let whole = atoms[at].plain.start == start;
        let mut covered = Self { first: at, last };
        let mut checked = at..at;
        while covered.first < checked.start || covered.last >= checked.end {
            let mark = if covered.last >= checked.end {
                checked.end += 1;
                checked.end - 1
            } else {
                checked.start -= 1;
                checked.start
            };
            let fits = match atoms[mark].kind {
                AtomKind::Open(Some(close)) if close > covered.last => {
                    let ends_here =
                        atoms[covered.last].kind.is_mark() || atoms[covered.last].plain.end == end;
                    let fits = ends_here && are_marks(&atoms[covered.last + 1..=close]);
                    covered.last = if fits { close } else { covered.last };
                    fits
                }
                AtomKind::Close(Some(open)) if open < covered.first => {
                    let fits = whole && are_marks(&atoms[open..covered.first]);
                    covered.first = if fits { open } else { covered.first };
                    fits
                }
                _ => true,
            };
            if !fits {
                return Self {
                    first: at,
                    last: at,
                };
            }
        }
        covered
    }
}

fn are_marks(atoms: &[Atom]) -> bool {
    atoms.iter().all(|atom| atom.kind.is_mark())
}

struct Assembly<'a> {
    text: &'a str,
    plain: &'a str,
    bits: &'a [Bit],
    escape: Escape,
}

impl Assembly<'_> {
    /// The unit whose words are `core`; `None` if only tokens are left in it.
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
            matches!(bit.kind, BitKind::Text | BitKind::Decoded)
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
        let is_inner_open = |bit: &Bit| matches!(bit.kind, BitKind::Open(Some(close)) if bits[close].plain.start < core.end);
        first -= bits[first - before..first]
            .iter()
            .position(is_inner_open)
            .map_or(0, |position| before - position);
        if !shares_last {
            let is_inner_close = |bit: &Bit| matches!(bit.kind, BitKind::Close(Some(open)) if open >= first && bits[open].plain.start < core.end);
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
                    let plain = &self.plain[bit.plain.clone()];
                    let visible = (plain != &self.text[bit.source.clone()]).then(|| plain.into());
                    parts.push(bit.source.clone(), PartKind::Token { kind, visible });
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
