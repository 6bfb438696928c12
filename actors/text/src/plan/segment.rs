//! Divides a unit into the texts that are sent, and what stays between them.

use std::ops::Range;

use super::{Profile, slots, writer::Writer};
use crate::{Unit, document::PartKind, edges, oversize};

/// How a token is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    InPlace,
    StandIn,
    Cut,
}

/// A stretch of a unit.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// In the message.
    pub(super) range: Range<usize>,
    /// Parts of the unit in it, as a whole or a share of them.
    pub(super) parts: Range<usize>,
    /// What is sent of it; `None`: it stays as it is.
    pub(super) sent: Option<Sent>,
}

/// A text for the model.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) text: String,
    /// Words before and after it, which stay.
    pub(super) lead: String,
    pub(super) trail: String,
    /// The tokens in it, in order.
    pub(super) slots: Vec<Slot>,
    /// The marks in it, in order.
    pub(super) marks: Vec<MarkAt>,
    /// Its numbers, by their parts.
    pub(super) numbers: Vec<usize>,
    /// Whether it was written in capitals.
    pub(super) is_upper: bool,
    /// Number of the text among those of the plan.
    pub(super) asked: usize,
}

/// A token in a text that is sent.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) part: usize,
    /// In the text that is sent.
    pub(super) at: Range<usize>,
}

/// Where a mark was.
#[derive(Debug, Clone)]
pub(super) struct MarkAt {
    pub(super) part: usize,
    /// In the text that is sent.
    pub(super) at: usize,
    /// Whether there were spaces on both sides, of which one is left.
    pub(super) is_spaced: bool,
}

/// What a model may see of a token.
fn visible<'a>(text: &'a str, unit: &'a Unit, part: usize) -> &'a str {
    let part = &unit.parts[part];
    match &part.kind {
        PartKind::Token {
            visible: Some(visible),
            ..
        } => visible,
        _ => &text[part.range.clone()],
    }
}

/// How the tokens are treated at first.
pub(super) fn first_modes(text: &str, unit: &Unit, profile: &Profile) -> Vec<Mode> {
    let words: Vec<&str> = unit
        .parts
        .iter()
        .filter_map(|part| match &part.kind {
            PartKind::Text { decoded } => {
                Some(decoded.as_deref().unwrap_or(&text[part.range.clone()]))
            }
            _ => None,
        })
        .collect();
    let mode = |(at, part): (usize, &crate::document::Part)| {
        let PartKind::Token {
            kind,
            visible: hidden,
            ..
        } = &part.kind
        else {
            return Mode::InPlace;
        };
        let token = visible(text, unit, at);
        // It must be clear which words of the answer to restore it for.
        let is_clear = hidden.is_none() || words.iter().all(|words| !words.contains(token));
        let is_copied = profile.copies.contains(*kind)
            && token.len() <= profile.max_visible
            && !token.contains(char::is_control)
            && is_clear;
        match () {
            () if is_copied || !kind.is_exact() => Mode::InPlace,
            () if !profile.stand_ins.is_empty() => Mode::StandIn,
            () => Mode::Cut,
        }
    };
    unit.parts.iter().enumerate().map(mode).collect()
}

pub(super) struct Segments<'a> {
    pub(super) text: &'a str,
    pub(super) unit: &'a Unit,
    pub(super) profile: &'a Profile,
    pub(super) cut_marks: bool,
    pub(super) split: bool,
}

impl Segments<'_> {
    /// Tokens for which no stand-in is left are cut out, and `modes` says so.
    pub(super) fn build(&self, modes: &mut [Mode]) -> Vec<Segment> {
        let mut segments = Vec::new();
        let stand_ins = self.stand_ins(modes);
        let mut start = 0;
        for (at, part) in self.unit.parts.iter().enumerate() {
            let is_cut = match part.kind {
                PartKind::Text { .. } | PartKind::Break => false,
                PartKind::Token { .. } => modes[at] == Mode::Cut,
                _ => self.cut_marks,
            };
            if is_cut {
                self.segment(start..at, modes, &stand_ins, &mut segments);
                segments.push(Segment {
                    range: part.range.clone(),
                    parts: at..at + 1,
                    sent: None,
                });
                start = at + 1;
            }
        }
        self.segment(
            start..self.unit.parts.len(),
            modes,
            &stand_ins,
            &mut segments,
        );
        segments
    }

    /// For each part, the text that stands in for it.
    fn stand_ins(&self, modes: &mut [Mode]) -> Vec<Option<&str>> {
        let mut stand_ins = vec![None; modes.len()];
        if !modes.contains(&Mode::StandIn) {
            return stand_ins;
        }
        let mut free = self.profile.stand_ins.iter().filter(|stand_in| {
            let occurs = |at: usize| visible(self.text, self.unit, at).contains(stand_in.as_str());
            !stand_in.is_empty()
                && !self.text[self.unit.range.clone()].contains(stand_in.as_str())
                && !(0..self.unit.parts.len()).any(occurs)
        });
        for (at, mode) in modes
            .iter_mut()
            .enumerate()
            .filter(|(_, mode)| **mode == Mode::StandIn)
        {
            match free.next() {
                Some(stand_in) => stand_ins[at] = Some(stand_in.as_str()),
                None => *mode = Mode::Cut,
            }
        }
        stand_ins
    }

    fn segment(
        &self,
        mut parts: Range<usize>,
        modes: &[Mode],
        stand_ins: &[Option<&str>],
        segments: &mut Vec<Segment>,
    ) {
        let unit = self.unit;
        // Line breaks and empty elements at the edges have no words on one of their sides.
        let as_it_is = |at: usize| Segment {
            range: unit.parts[at].range.clone(),
            parts: at..at + 1,
            sent: None,
        };
        let is_edge = |at: usize| matches!(unit.parts[at].kind, PartKind::Break | PartKind::Empty);
        while !parts.is_empty() && is_edge(parts.start) {
            segments.push(as_it_is(parts.start));
            parts.start += 1;
        }
        let end = parts.end;
        while !parts.is_empty() && is_edge(parts.end - 1) {
            parts.end -= 1;
        }
        self.words_between(parts.clone(), modes, stand_ins, segments);
        segments.extend((parts.end..end).map(as_it_is));
    }

    fn words_between(
        &self,
        parts: Range<usize>,
        modes: &[Mode],
        stand_ins: &[Option<&str>],
        segments: &mut Vec<Segment>,
    ) {
        let unit = self.unit;
        let (Some(first), Some(last)) = (
            unit.parts[parts.clone()].first(),
            unit.parts[parts.clone()].last(),
        ) else {
            return;
        };
        let mut writer = Writer {
            sent: Sent {
                is_upper: self.is_upper(parts.clone()),
                ..Sent::default()
            },
        };
        let mut has_words = false;
        for at in parts.clone() {
            let part = &unit.parts[at];
            match &part.kind {
                PartKind::Text { decoded } => {
                    let words = decoded.as_deref().unwrap_or(&self.text[part.range.clone()]);
                    has_words |= words.contains(char::is_alphabetic);
                    writer.words(words);
                }
                PartKind::Token { kind, .. } => {
                    let token = stand_ins[at].unwrap_or(visible(self.text, unit, at));
                    writer.token(at, token, kind.is_exact() || modes[at] == Mode::StandIn);
                }
                PartKind::Break => {
                    writer.mark(at);
                    writer.words(" ");
                }
                _ => writer.mark(at),
            }
        }
        let range = first.range.start..last.range.end;
        let sent = has_words.then(|| writer.finish()).flatten();
        let segment = Segment { range, parts, sent };
        match self.split_in_two(&segment) {
            Some(halves) => segments.extend(halves),
            None => segments.push(segment),
        }
    }

    /// A segment without tokens and marks, cut in two.
    fn split_in_two(&self, segment: &Segment) -> Option<Vec<Segment>> {
        let sent = segment.sent.as_ref().filter(|sent| {
            self.split && sent.slots.is_empty() && sent.marks.is_empty() && sent.text.contains(' ')
        })?;
        let mut halves: Vec<Sent> = Vec::with_capacity(2);
        let mut lead = sent.lead.clone();
        for half in oversize::split(&sent.text, 2)? {
            let words = &sent.text[half];
            match (edges::core(words), halves.last_mut()) {
                (Some(core), _) => {
                    lead.push_str(&words[..core.start]);
                    halves.push(Sent {
                        text: words[core.clone()].to_owned(),
                        lead: std::mem::take(&mut lead),
                        trail: words[core.end..].to_owned(),
                        ..sent.clone()
                    });
                }
                // A model has nothing to do with what has no letters.
                (None, Some(before)) => before.trail.push_str(words),
                (None, None) => lead.push_str(words),
            }
        }
        halves.last_mut()?.trail.push_str(&sent.trail);
        if halves.len() < 2 {
            return None;
        }
        let half = |(at, half): (usize, Sent)| {
            // The halves share the place of the whole; the first one stands for it.
            let range = match at {
                0 => segment.range.clone(),
                _ => segment.range.end..segment.range.end,
            };
            Segment {
                range,
                parts: segment.parts.clone(),
                sent: Some(half),
            }
        };
        Some(halves.into_iter().enumerate().map(half).collect())
    }

    /// Whether the words are written in capitals, and more than an abbreviation.
    fn is_upper(&self, parts: Range<usize>) -> bool {
        let (mut letters, mut words) = (0, 0);
        for part in &self.unit.parts[parts] {
            let PartKind::Text { decoded } = &part.kind else {
                continue;
            };
            let text = decoded.as_deref().unwrap_or(&self.text[part.range.clone()]);
            for word in text.split_whitespace() {
                let cased = word
                    .chars()
                    .filter(|c| c.is_lowercase() || c.is_uppercase());
                let mut count = 0;
                for c in cased {
                    if c.is_lowercase() {
                        return false;
                    }
                    count += 1;
                }
                letters += count;
                words += usize::from(count > 0);
            }
        }
        letters >= 5 || words >= 3
    }
}

impl Sent {
    /// The texts of the slots, each once.
    pub(super) fn wanted(&self) -> Vec<&str> {
        let mut wanted: Vec<&str> = self
            .slots
            .iter()
            .map(|slot| &self.text[slot.at.clone()])
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// The occurrences of the slots in an answer, with their parts, if each is there as often as
    /// in the text that was sent.
    pub(super) fn located(&self, answer: &str) -> Vec<(Range<usize>, Option<usize>)> {
        let wanted = self.wanted();
        let mut waiting: Vec<std::collections::VecDeque<usize>> =
            vec![Default::default(); wanted.len()];
        for (range, index) in slots::find(&self.text, &wanted) {
            let slot = self.slots.iter().find(|slot| slot.at == range);
            waiting[index].extend(slot.map(|slot| slot.part));
        }
        slots::find(answer, &wanted)
            .into_iter()
            .map(|(range, index)| (range, waiting[index].pop_front()))
            .collect()
    }
}
