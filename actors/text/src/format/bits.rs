//! Cuts the atoms of a run at its tokens.

use std::ops::Range;

use super::builder::{Atom, AtomKind};
use crate::recognise::{Token, TokenKind};

/// In place of a bit: the other end of the element is in another run.
pub(super) const OUTSIDE: usize = usize::MAX;

/// An atom, or a part of one, after the tokens are known.
#[derive(Debug, Clone)]
pub(super) struct Bit {
    pub(super) source: Range<usize>,
    pub(super) plain: Range<usize>,
    pub(super) kind: BitKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BitKind {
    Text,
    Decoded,
    Token(TokenKind),
    Open(Option<usize>),
    Close(Option<usize>),
    Empty,
    Break,
}

/// Cuts the atoms at the tokens. A token takes up the marks inside of it.
pub(super) fn bits(atoms: &[Atom], tokens: &[Token]) -> Vec<Bit> {
    let mut bits: Vec<Bit> = Vec::with_capacity(atoms.len() + 2 * tokens.len());
    // Where the marks are among the bits.
    let mut places = vec![OUTSIDE; atoms.len()];
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
            *partner = partner.map(|atom| places[atom]).filter(|&at| at < OUTSIDE);
        }
    }
    reach_out(&mut bits);
    bits
}

/// An element that is not closed in the run reaches to its end, and one that was not opened in it to
/// its start, unless that would cross another element.
fn reach_out(bits: &mut [Bit]) {
    let (mut depth, mut is_open) = (0_usize, false);
    for bit in bits {
        match &mut bit.kind {
            BitKind::Open(Some(_)) => depth += 1,
            BitKind::Close(Some(_)) => depth = depth.saturating_sub(1),
            BitKind::Open(partner) if depth == 0 => {
                *partner = Some(OUTSIDE);
                is_open = true;
            }
            BitKind::Close(partner) if depth == 0 && !is_open => *partner = Some(OUTSIDE),
            _ => {}
        }
    }
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
