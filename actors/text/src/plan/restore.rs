//! Restores the marks of a sentence in its translation, by word alignment.
//!
//! Each element gets one stretch of the translation: the one whose words come most from inside of
//! the element in the source, not counting those that come from outside. Elements inside of it get
//! theirs within it, and elements next to each other do not overlap, so that the result is balanced
//! and nested as the source was, and each mark is there once. Elements next to each other may
//! change places, as their words do. What has no words goes where its neighbours went.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    Answer,
    places::{self, Leaf, Node, Side, Tree},
    segment::{Segment, Sent},
};
use crate::{Unit, document::PartKind};

/// A stretch of a restored translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// Of the answer.
    Words(Range<usize>),
    /// A mark, by its part.
    Mark(usize),
    /// A space that had been dropped with a mark.
    Space,
}

/// A word of an answer, and which stretches of the source it comes from.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub(super) range: Range<usize>,
    pub(super) sources: Vec<(Range<usize>, f32)>,
    /// How much the word says about where an element ends.
    pub(super) worth: f32,
    /// The mark of punctuation that it is.
    pub(super) punctuation: Option<char>,
}

/// Most stretches of the source that a word is traced to.
const MAX_SOURCES: usize = 4;

/// The answer with the marks of the segment; `None` if they cannot be restored.
pub(super) fn restore(
    unit: &Unit,
    segment: &Segment,
    sent: &Sent,
    answer: &Answer,
) -> Option<Vec<Out>> {
    let whole = trimmed(&answer.text);
    if sent.marks.is_empty() {
        return Some(vec![Out::Words(whole)]);
    }
    let needs_alignment = sent
        .marks
        .iter()
        .any(|mark| unit.parts[mark.part].kind != PartKind::Break);
    if needs_alignment && answer.alignment.is_none() {
        return None;
    }
    let words = words(sent, answer);
    let mut tree = Tree::of(unit, segment, sent)?;
    places::place(&mut tree, &words, sent)?;
    let out = Writer::write(&tree, &words, whole);
    let marks = out.iter().filter(|out| matches!(out, Out::Mark(_))).count();
    (marks == sent.marks.len()).then_some(out)
}

fn trimmed(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

/// The words of an answer. A token is one word.
fn words(sent: &Sent, answer: &Answer) -> Vec<Word> {
    let text = answer.text.as_str();
    let mut words: Vec<Word> = Vec::new();
    let mut push = |range: Range<usize>| {
        for (start, word) in text[range.clone()].split_word_bound_indices() {
            if !word.trim().is_empty() {
                let start = range.start + start;
                let is_word = word.contains(char::is_alphanumeric);
                words.push(Word {
                    range: start..start + word.len(),
                    sources: Vec::new(),
                    worth: if is_word { 1.0 } else { 0.25 },
                    punctuation: word.chars().next().filter(|_| !is_word),
                });
            }
        }
    };
    let tokens = sent.located(text);
    let mut from = 0;
    let mut sources = Vec::new();
    for (range, part) in &tokens {
        push(from..range.start);
        from = range.end;
        let slot = sent.slots.iter().find(|slot| Some(slot.part) == *part);
        sources.push((range.start, slot.map(|slot| slot.at.clone())));
    }
    push(from..text.len());
    // The tokens go between the words that were found.
    for ((range, _), (_, source)) in tokens.iter().zip(sources) {
        words.push(Word {
            range: range.clone(),
            sources: source.map(|source| (source, 1.0)).into_iter().collect(),
            worth: 1.0,
            punctuation: None,
        });
    }
    words.sort_by_key(|word| word.range.start);
    link(&mut words, sent, answer);
    words
}

/// Traces the words to the source.
fn link(words: &mut [Word], sent: &Sent, answer: &Answer) {
    let links = answer
        .alignment
        .iter()
        .flat_map(|alignment| &alignment.links);
    for link in links {
        let source = link.source.start.min(sent.text.len())..link.source.end.min(sent.text.len());
        let len = link.target.end.saturating_sub(link.target.start);
        if source.is_empty() || len == 0 || !link.weight.is_finite() || link.weight <= 0.0 {
            continue;
        }
        let first = words.partition_point(|word| word.range.end <= link.target.start);
        for word in words[first..]
            .iter_mut()
            .take_while(|word| word.range.start < link.target.end)
        {
            let shared =
                word.range.end.min(link.target.end) - word.range.start.max(link.target.start);
            let weight = link.weight * (shared as f32 / len as f32);
            word.sources.push((source.clone(), weight));
        }
    }
    for word in words {
        word.sources.sort_by(|one, other| other.1.total_cmp(&one.1));
        word.sources.truncate(MAX_SOURCES);
    }
}

/// Writes words and marks in order.
struct Writer<'a> {
    words: &'a [Word],
    whole: Range<usize>,
    /// How much of the answer is written.
    at: usize,
    out: Vec<Out>,
}

enum Task<'a> {
    Enter(&'a Node),
    Exit(&'a Node),
    Leaf(&'a Leaf),
}

impl<'a> Writer<'a> {
    fn write(tree: &'a Tree, words: &'a [Word], whole: Range<usize>) -> Vec<Out> {
        let mut writer = Self {
            words,
            at: whole.start,
            whole,
            out: Vec::new(),
        };
        let mut tasks = Vec::new();
        push_children(tree, &tree.nodes[0], &mut tasks);
        while let Some(task) = tasks.pop() {
            match task {
                Task::Enter(node) => {
                    if let Some(open) = node.open {
                        writer.until(writer.start_of(node.place.start));
                        writer.out.push(Out::Mark(open));
                    }
                    tasks.push(Task::Exit(node));
                    push_children(tree, node, &mut tasks);
                }
                Task::Exit(node) => {
                    if let Some(close) = node.close {
                        writer.until(writer.end_of(node.place.end));
                        writer.out.push(Out::Mark(close));
                    }
                }
                Task::Leaf(leaf) => writer.leaf(leaf),
            }
        }
        writer.until(writer.whole.end);
        writer.out
    }

    /// Where the word behind a boundary starts.
    fn start_of(&self, boundary: usize) -> usize {
        self.words
            .get(boundary)
            .map_or(self.whole.end, |word| word.range.start)
    }

    /// Where the word before a boundary ends.
    fn end_of(&self, boundary: usize) -> usize {
        let before = boundary.checked_sub(1).and_then(|at| self.words.get(at));
        before.map_or(self.whole.start, |word| word.range.end)
    }

    fn until(&mut self, end: usize) {
        if end > self.at {
            self.out.push(Out::Words(self.at..end));
            self.at = end;
        }
    }

    fn leaf(&mut self, leaf: &Leaf) {
        let (before, behind) = (self.end_of(leaf.place), self.start_of(leaf.place));
        match leaf.side {
            Side::Space => {
                self.until(before);
                self.out.push(Out::Mark(leaf.part));
                // It is the space itself.
                self.at = self.at.max(behind);
            }
            Side::Left => {
                self.until(before);
                self.out.push(Out::Mark(leaf.part));
            }
            Side::Right => {
                self.until(behind);
                self.out.push(Out::Mark(leaf.part));
                if leaf.is_spaced && self.at == behind && behind < self.whole.end {
                    self.out.push(Out::Space);
                }
            }
        }
    }
}

fn push_children<'a>(tree: &'a Tree, node: &'a Node, tasks: &mut Vec<Task<'a>>) {
    let nodes = node.children.iter().map(|&at| {
        let child = &tree.nodes[at];
        ((child.place.start, 1, child.order), Task::Enter(child))
    });
    let leaves = node
        .leaves
        .iter()
        .map(|leaf| ((leaf.place, 0, leaf.order), Task::Leaf(leaf)));
    let mut children: Vec<_> = nodes.chain(leaves).collect();
    children.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
    tasks.extend(children.into_iter().map(|(_, task)| task));
}
