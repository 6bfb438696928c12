//! Finds the places of marks in a translation.

use std::ops::Range;

use super::{
    restore::Word,
    segment::{Segment, Sent},
};
use crate::{
    Unit,
    document::{PartKind, Partner},
};

/// An element of a sentence.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) open: Option<usize>,
    pub(super) close: Option<usize>,
    /// What it holds of the text that was sent.
    source: Range<usize>,
    pub(super) children: Vec<usize>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) order: usize,
    /// What it holds of the words of the answer.
    pub(super) place: Range<usize>,
}

/// A mark that holds nothing.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) part: usize,
    source: usize,
    pub(super) is_spaced: bool,
    pub(super) order: usize,
    pub(super) side: Side,
    /// It goes before the word with this index.
    pub(super) place: usize,
}

/// The side of the space between two words on which a mark goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
    /// In place of the space.
    Space,
}

/// The marks of a sentence; the first node is the sentence itself.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    /// `None` if an element begins before the segment and ends within another one.
    pub(super) fn of(unit: &Unit, segment: &Segment, sent: &Sent) -> Option<Self> {
        let len = sent.text.len();
        let root = Node {
            source: 0..len,
            ..Node::default()
        };
        let mut tree = Self { nodes: vec![root] };
        let mut stack = vec![0];
        let is_inside = |partner| matches!(partner, Partner::At(at) if segment.parts.contains(&at));
        for (order, mark) in sent.marks.iter().enumerate() {
            let parent = *stack.last()?;
            match unit.parts[mark.part].kind {
                PartKind::Open(_) => {
                    tree.nodes.push(Node {
                        open: Some(mark.part),
                        source: mark.at..len,
                        order,
                        ..Node::default()
                    });
                    let node = tree.nodes.len() - 1;
                    tree.nodes[parent].children.push(node);
                    stack.push(node);
                }
                PartKind::Close(partner) if is_inside(partner) => {
                    let node = stack.pop().filter(|&node| node > 0)?;
                    tree.nodes[node].close = Some(mark.part);
                    tree.nodes[node].source.end = mark.at;
                }
                PartKind::Close(_) => {
                    // All that came so far is in it.
                    if parent > 0 {
                        return None;
                    }
                    let children = std::mem::take(&mut tree.nodes[0].children);
                    let leaves = std::mem::take(&mut tree.nodes[0].leaves);
                    tree.nodes.push(Node {
                        close: Some(mark.part),
                        source: 0..mark.at,
                        children,
                        leaves,
                        order,
                        ..Node::default()
                    });
                    let node = tree.nodes.len() - 1;
                    tree.nodes[0].children.push(node);
                }
                ref kind => {
                    let is_break = *kind == PartKind::Break;
                    let side = if is_break {
                        Side::Space
                    } else {
                        side_of(&sent.text, mark.at, mark.is_spaced)
                    };
                    tree.nodes[parent].leaves.push(Leaf {
                        part: mark.part,
                        source: mark.at,
                        is_spaced: mark.is_spaced,
                        order,
                        side,
                        place: 0,
                    });
                }
            }
        }
        Some(tree)
    }
}

/// To which of its neighbours a mark belongs.
fn side_of(text: &str, at: usize, is_spaced: bool) -> Side {
    let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
    let before = is_space(text[..at].chars().next_back());
    let after = is_space(text[at..].chars().next());
    if before && (!after || is_spaced) {
        Side::Right
    } else {
        Side::Left
    }
}

/// Finds the places of all marks; `None` if an element has no words left.
pub(super) fn place(tree: &mut Tree, words: &[Word], sent: &Sent) -> Option<()> {
    tree.nodes[0].place = 0..words.len();
    // Parents come before their children in this order.
    let mut order = vec![0];
    let mut at = 0;
    let mut is_taken = vec![false; words.len()];
    while let Some(&parent) = order.get(at) {
        at += 1;
        let children = tree.nodes[parent].children.clone();
        let within = tree.nodes[parent].place.clone();
        is_taken[within.clone()].fill(false);
        let mut ranked: Vec<_> = children
            .iter()
            .map(|&child| {
                let node = &tree.nodes[child];
                let anchored = node.open.is_none() || node.close.is_none();
                let values = values(&node.source, &words[within.clone()], sent);
                let score =
                    best(&values, &is_taken[within.clone()]).map_or(0.0, |(_, score)| score);
                (anchored, score, child)
            })
            .collect();
        ranked.sort_by(|one, other| other.0.cmp(&one.0).then(other.1.total_cmp(&one.1)));
        for (_, _, child) in ranked {
            let node = &tree.nodes[child];
            let values = values(&node.source, &words[within.clone()], sent);
            let taken = &is_taken[within.clone()];
            let place = match (node.open, node.close) {
                (None, _) => prefix(&values, taken),
                (_, None) => suffix(&values, taken),
                _ => best(&values, taken)
                    .map(|(place, _)| place)
                    .or_else(|| likeliest(&node.source, &words[within.clone()], taken)),
            }?;
            let place = within.start + place.start..within.start + place.end;
            is_taken[place.clone()].fill(true);
            tree.nodes[child].place = place;
        }
        leaves(tree, parent, words, sent);
        order.extend(children);
    }
    Some(())
}

/// For each word, how much speaks for it being inside of an element. Punctuation is inside only if
/// the element has its like in the source.
fn values(source: &Range<usize>, words: &[Word], sent: &Sent) -> Vec<f32> {
    let inside = &sent.text[source.clone()];
    let is_foreign = |c: char| !inside.contains(|own| folded(own) == folded(c));
    words
        .iter()
        .map(|word| match share(source, word) {
            _ if word.punctuation.is_some_and(is_foreign) => -0.5 * word.worth,
            Some(share) => (share - 0.5) * word.worth,
            None => -0.05,
        })
        .collect()
}

/// Punctuation without the differences between scripts.
fn folded(c: char) -> char {
    match c {
        '。' | '।' | '．' => '.',
        '、' | '，' | '،' => ',',
        '！' => '!',
        '？' | '؟' => '?',
        '：' => ':',
        '；' | '؛' => ';',
        '（' => '(',
        '）' => ')',
        '“' | '”' | '„' | '«' | '»' | '「' | '」' | '‘' | '’' | '\'' => '"',
        _ => c,
    }
}

/// Which share of a word comes from a stretch of the source.
fn share(source: &Range<usize>, word: &Word) -> Option<f32> {
    let (mut inside, mut total) = (0.0, 0.0);
    for (range, weight) in &word.sources {
        let start = range.start.max(source.start);
        let shared = range.end.min(source.end).saturating_sub(start);
        inside += weight * shared as f32 / range.len().max(1) as f32;
        total += weight;
    }
    (total > 0.0).then(|| inside / total)
}

/// The free word most of which comes from an element, where none comes mostly from it.
fn likeliest(source: &Range<usize>, words: &[Word], is_taken: &[bool]) -> Option<Range<usize>> {
    let shares = words.iter().enumerate().filter(|(at, _)| !is_taken[*at]);
    let shares = shares.filter_map(|(at, word)| Some((at, share(source, word)?)));
    let (at, share) = shares.max_by(|one, other| one.1.total_cmp(&other.1))?;
    (share > 0.1).then_some(at..at + 1)
}

/// The stretch of free words with the largest sum, if that is positive.
fn best(values: &[f32], is_taken: &[bool]) -> Option<(Range<usize>, f32)> {
    let mut best: Option<(Range<usize>, f32)> = None;
    let (mut start, mut sum) = (0, 0.0);
    for (at, &value) in values.iter().enumerate() {
        if is_taken[at] {
            (start, sum) = (at + 1, 0.0);
            continue;
        }
        if sum <= 0.0 {
            (start, sum) = (at, 0.0);
        }
        sum += value;
        if best.as_ref().is_none_or(|(_, most)| sum > *most) {
            best = Some((start..at + 1, sum));
        }
    }
    best.filter(|(_, sum)| *sum > 0.0)
}

/// The best stretch that begins with the first word.
fn prefix(values: &[f32], is_taken: &[bool]) -> Option<Range<usize>> {
    let (mut best, mut sum): (Option<(usize, f32)>, f32) = (None, 0.0);
    for (at, value) in values.iter().enumerate() {
        if is_taken[at] {
            break;
        }
        sum += value;
        if best.is_none_or(|(_, most)| sum > most) {
            best = Some((at + 1, sum));
        }
    }
    best.map(|(end, _)| 0..end)
}

/// The best stretch that ends with the last word.
fn suffix(values: &[f32], is_taken: &[bool]) -> Option<Range<usize>> {
    let (mut best, mut sum): (Option<(usize, f32)>, f32) = (None, 0.0);
    for at in (0..values.len()).rev() {
        if is_taken[at] {
            break;
        }
        sum += values[at];
        if best.is_none_or(|(_, most)| sum > most) {
            best = Some((at, sum));
        }
    }
    best.map(|(start, _)| start..values.len())
}

/// Places the marks of an element that hold nothing.
fn leaves(tree: &mut Tree, parent: usize, words: &[Word], sent: &Sent) {
    let within = tree.nodes[parent].place.clone();
    // Where the elements inside are: for each boundary strictly inside of one, its ends.
    let mut inside = vec![None; within.len() + 1];
    for &child in &tree.nodes[parent].children {
        let place = tree.nodes[child].place.clone();
        for boundary in place.start + 1..place.end {
            inside[boundary - within.start] = Some(place.clone());
        }
    }
    let mut last_break = within.start;
    for leaf in &mut tree.nodes[parent].leaves {
        let wish = match leaf.side {
            Side::Space => {
                let wish = neighbour(leaf.source, words, sent, true);
                wish.unwrap_or_else(|| proportional(leaf.source, words, sent))
                    .max(last_break + 1)
            }
            side => neighbour(leaf.source, words, sent, side == Side::Left)
                .or_else(|| neighbour(leaf.source, words, sent, side != Side::Left))
                .unwrap_or_else(|| proportional(leaf.source, words, sent)),
        };
        let mut boundary = wish.clamp(within.start, within.end);
        if let Some(element) = &inside[boundary - within.start] {
            let to_end = element.end - boundary <= boundary - element.start;
            boundary = if to_end { element.end } else { element.start };
        }
        if leaf.side == Side::Space {
            last_break = boundary;
        }
        leaf.place = boundary;
    }
}

/// The boundary next to the word that comes from the word before, or after, an offset.
fn neighbour(at: usize, words: &[Word], sent: &Sent, before: bool) -> Option<usize> {
    let source = if before {
        let text = sent.text[..at].trim_end();
        text.rfind(char::is_whitespace).map_or(0, |space| space + 1)..text.len()
    } else {
        let text = sent.text[at..].trim_start();
        let start = sent.text.len() - text.len();
        start..start + text.find(char::is_whitespace).unwrap_or(text.len())
    };
    let mut shares = words.iter().enumerate().filter_map(|(index, word)| {
        let share = share(&source, word).filter(|&share| share > 0.3)?;
        Some((index, share))
    });
    // Of several words, that which is next to the mark.
    let (index, _) = match before {
        true => shares.next_back()?,
        false => shares.next()?,
    };
    Some(index + usize::from(before))
}

fn proportional(at: usize, words: &[Word], sent: &Sent) -> usize {
    (at * words.len() + sent.text.len() / 2) / sent.text.len().max(1)
}
