//! Findings of the checks of a translation.

use crate::recognise::KindSet;

/// How a sentence was translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Way {
    /// Whole, with its tokens in place.
    #[default]
    Whole,
    /// Whole, with stand-ins for tokens.
    StandIn,
    /// Cut at tokens or marks.
    Cut,
    /// Not at all: no way passed the checks.
    Source,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 4] = [Self::Whole, Self::StandIn, Self::Cut, Self::Source];

    /// Name for metrics and results.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::StandIn => "stand_in",
            Self::Cut => "cut",
            Self::Source => "source",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// A token was lost, changed or repeated.
    Token,
    /// A mark could not be restored.
    Tag,
    /// The model added markup.
    AddedMarkup,
    /// A number changed.
    Number,
    /// The answer hit a limit of length.
    Truncated,
    /// The answer repeats itself.
    Repetition,
    /// The answer is far too long or too short.
    Length,
    /// There was no answer.
    Empty,
    /// The answer is the text that was sent.
    Untranslated,
    /// A part of the sentence was left untranslated, since no answer passed the checks.
    SourceKept,
}

impl Flag {
    /// All flags.
    pub const ALL: [Self; 10] = [
        Self::Token,
        Self::Tag,
        Self::AddedMarkup,
        Self::Number,
        Self::Truncated,
        Self::Repetition,
        Self::Length,
        Self::Empty,
        Self::Untranslated,
        Self::SourceKept,
    ];

    /// Name for metrics and results.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Tag => "tag",
            Self::AddedMarkup => "added_markup",
            Self::Number => "number",
            Self::Truncated => "truncated",
            Self::Repetition => "repetition",
            Self::Length => "length",
            Self::Empty => "empty",
            Self::Untranslated => "untranslated",
            Self::SourceKept => "source_kept",
        }
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Use {
    /// It is not part of the translation.
    #[default]
    None,
    /// It is part of the translation, and its text may well be untranslated.
    Doubtful,
    /// It passed all checks, and is part of the translation.
    Passed,
}

/// How a translation came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    /// The way that was used.
    pub way: Way,
    /// How many attempts it took.
    pub attempts: u8,
    /// Kinds of the tokens that the model did not copy.
    pub kinds: KindSet,
    flags: u16,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            way: Way::Whole,
            attempts: 0,
            kinds: KindSet::NONE,
            flags: 0,
        }
    }
}

impl Checks {
    /// Takes over what another sentence's checks found; the way and the attempts stay.
    pub fn add(&mut self, other: &Self) {
        self.flags |= other.flags;
        self.kinds = self.kinds.union(other.kinds);
    }

    pub(super) fn note(&mut self, flag: Flag) {
        self.flags |= 1 << flag as u8;
    }

    /// What the checks found, in any attempt.
    pub fn flags(&self) -> impl Iterator<Item = Flag> + '_ {
        Flag::ALL.into_iter().filter(|flag| self.has(*flag))
    }

    /// Whether a check found this.
    #[must_use]
    pub fn has(&self, flag: Flag) -> bool {
        self.flags & (1 << flag as u8) != 0
    }
}
