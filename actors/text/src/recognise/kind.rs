//! Kinds of tokens.

/// Kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TokenKind {
    /// Pattern of the operator.
    Custom,
    /// Inline code.
    Code,
    /// URL, domain, address of a host.
    Url,
    /// E-mail address.
    Email,
    /// `@name`.
    Mention,
    /// `#word`.
    Hashtag,
    /// Entity of a chat system: `<@U123>`, `<:name:1>`.
    Chat,
    /// `:name:` for an emoji.
    Shortcode,
    /// Placeholder of a message format: printf, ICU, i18next, Laravel, ERB.
    Placeholder,
    /// Emoji sequence.
    Emoji,
    /// Telephone number.
    Phone,
    /// Version number.
    Version,
    /// Path or file name.
    Path,
    /// Name of a program, hash, UUID.
    Identifier,
    /// Number with its unit, price, date, time. Its digits must survive, not its form.
    Number,
    /// Mathematics.
    Math,
    /// Content that its author marked as not to be translated.
    Keep,
    /// Characters that the model's vocabulary lacks.
    Unknown,
    /// Term of a glossary. Its target stands in its place.
    Term,
}

impl TokenKind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::Custom,
        Self::Code,
        Self::Url,
        Self::Email,
        Self::Mention,
        Self::Hashtag,
        Self::Chat,
        Self::Shortcode,
        Self::Placeholder,
        Self::Emoji,
        Self::Phone,
        Self::Version,
        Self::Path,
        Self::Identifier,
        Self::Number,
        Self::Math,
        Self::Keep,
        Self::Unknown,
        Self::Term,
    ];

    /// Name for metrics and results.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Code => "code",
            Self::Url => "url",
            Self::Email => "email",
            Self::Mention => "mention",
            Self::Hashtag => "hashtag",
            Self::Chat => "chat",
            Self::Shortcode => "shortcode",
            Self::Placeholder => "placeholder",
            Self::Emoji => "emoji",
            Self::Phone => "phone",
            Self::Version => "version",
            Self::Path => "path",
            Self::Identifier => "identifier",
            Self::Number => "number",
            Self::Math => "math",
            Self::Keep => "keep",
            Self::Unknown => "unknown",
            Self::Term => "term",
        }
    }

    /// Whether the token must be copied character by character. Of the others the digits must
    /// survive.
    #[must_use]
    pub fn is_exact(self) -> bool {
        self != Self::Number
    }

    /// Whether such a token at the edge of a sentence is no part of its grammar, so that it can
    /// stay outside.
    #[must_use]
    pub fn is_detachable(self) -> bool {
        matches!(self, Self::Emoji | Self::Shortcode | Self::Unknown)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindSet(u32);

impl KindSet {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self(u32::MAX);

    /// The set with this kind.
    #[must_use]
    pub const fn with(self, kind: TokenKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// The set without this kind.
    #[must_use]
    pub const fn without(self, kind: TokenKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    /// The kinds that are in this set or in another one.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds in the set.
    pub fn kinds(self) -> impl Iterator<Item = TokenKind> {
        TokenKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }

    /// Whether the kind is in the set.
    #[must_use]
    pub const fn contains(self, kind: TokenKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}
