//! The elements of HTML, as far as they matter to a translation.

/// Elements that end a sentence.
pub(super) const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "audio",
    "blockquote",
    "body",
    "br",
    "canvas",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "iframe",
    "legend",
    "li",
    "link",
    "main",
    "menu",
    "meta",
    "nav",
    "noscript",
    "object",
    "ol",
    "optgroup",
    "option",
    "p",
    "param",
    "pre",
    "script",
    "search",
    "section",
    "select",
    "source",
    "style",
    "summary",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "track",
    "ul",
    "video",
];

/// Elements without content.
pub(super) const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Elements whose content is no prose.
pub(super) const UNTOUCHED: &[&str] = &[
    "code", "kbd", "math", "pre", "samp", "script", "style", "svg", "textarea", "var",
];

/// Elements whose content holds no tags.
pub(super) const RAW: &[&str] = &[
    "iframe", "noembed", "noframes", "script", "style", "textarea", "xmp",
];

/// Attributes that people read.
pub(super) const READ_ATTRIBUTES: &[&str] = &["alt", "title", "placeholder", "aria-label"];

/// Whether an element has no content, and no closing tag.
pub(super) fn is_void(name: &str) -> bool {
    VOID.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_blocks_is_sorted() {
        assert!(BLOCKS.is_sorted());
    }
}
