//! Writes the texts that are sent.

use super::segment::{MarkAt, Sent, Slot};
use crate::edges;

/// Writes a text for the model.
pub(super) struct Writer {
    pub(super) sent: Sent,
}

impl Writer {
    pub(super) fn words(&mut self, words: &str) {
        let sent = &mut self.sent;
        let mut was_space = sent.text.ends_with(char::is_whitespace);
        if was_space && words.starts_with(char::is_whitespace) {
            let end = sent.text.len();
            for mark in sent
                .marks
                .iter_mut()
                .rev()
                .take_while(|mark| mark.at == end)
            {
                mark.is_spaced = true;
            }
        }
        let mut is_first = sent.text.is_empty();
        for c in words.chars() {
            match c {
                _ if c.is_whitespace() && was_space => continue,
                ' ' | '\u{a0}' | '\u{3000}' | '\u{202f}' => sent.text.push(c),
                _ if c.is_whitespace() => sent.text.push(' '),
                _ if sent.is_upper && !is_first => sent.text.extend(c.to_lowercase()),
                _ => {
                    is_first &= !c.is_alphabetic();
                    sent.text.push(c);
                }
            }
            was_space = c.is_whitespace();
        }
    }

    pub(super) fn token(&mut self, part: usize, token: &str, is_slot: bool) {
        let start = self.sent.text.len();
        self.sent.text.push_str(token);
        if is_slot {
            let at = start..self.sent.text.len();
            self.sent.slots.push(Slot { part, at });
        } else {
            self.sent.numbers.push(part);
        }
    }

    pub(super) fn mark(&mut self, part: usize) {
        self.sent.marks.push(MarkAt {
            part,
            at: self.sent.text.len(),
            is_spaced: false,
        });
    }

    /// Takes what no model needs off the edges, unless there are tokens or marks in it.
    pub(super) fn finish(self) -> Option<Sent> {
        let mut sent = self.sent;
        let text = std::mem::take(&mut sent.text);
        let mut core = edges::core(&text)?;
        if let (Some(first), Some(last)) = (sent.slots.first(), sent.slots.last()) {
            core = core.start.min(first.at.start)..core.end.max(last.at.end);
        }
        sent.lead = text[..core.start].to_owned();
        sent.trail = text[core.end..].to_owned();
        sent.text = text[core.clone()].to_owned();
        for slot in &mut sent.slots {
            slot.at = slot.at.start - core.start..slot.at.end - core.start;
        }
        for mark in &mut sent.marks {
            mark.at = mark.at.clamp(core.start, core.end) - core.start;
        }
        Some(sent)
    }
}
