//! Paths, file names and the names of programs.

use std::ops::Range;

use super::{Scan, is_name_byte, run};

/// Longest path or name, in bytes.
const MAX_LEN: usize = 1024;

/// Endings by which a file name is recognised.
const EXTENSIONS: &[&str] = &[
    "rs", "py", "js", "ts", "tsx", "jsx", "go", "java", "kt", "c", "h", "cpp", "hpp", "cs", "rb",
    "php", "sh", "sql", "html", "htm", "css", "scss", "xml", "json", "yaml", "yml", "toml", "ini",
    "cfg", "conf", "md", "txt", "csv", "tsv", "log", "pdf", "doc", "docx", "xls", "xlsx", "ppt",
    "pptx", "odt", "epub", "png", "jpg", "jpeg", "gif", "svg", "webp", "mp3", "mp4", "wav", "mov",
    "zip", "gz", "tar", "exe", "dll", "so", "jar", "apk", "iso", "lock", "env",
];

fn is_path_byte(byte: u8) -> bool {
    is_name_byte(byte) || b".-~+@%".contains(&byte)
}

/// `/etc/hosts`, `~/notes`, `./a/b`, `src/main.rs`, `C:\Users\ana`.
pub(super) fn path(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let separator = scan.text.as_bytes()[at];
    if separator == b'\\' {
        return windows_path(scan, at);
    }
    // What a path may start with before its first separator.
    let before = &scan.text[scan.floor..at];
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(128))..];
    let head = before
        .bytes()
        .rev()
        .take_while(|&b| is_path_byte(b))
        .count();
    let start = at - head;
    if scan
        .before(start)
        .is_some_and(|c| c.is_alphanumeric() || "/:<>&".contains(c))
    {
        return None;
    }
    let ahead = scan.ahead(at, MAX_LEN);
    let len = run(ahead, |b| is_path_byte(b) || b == b'/');
    let tail = ahead[..len].trim_end_matches(['.', '-', '+', '@']);
    let end = at + tail.len();
    if scan.is_before_word(end) {
        return None;
    }
    let path = &scan.text[start..end];
    let segments = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .count();
    let is_rooted = head == 0
        && tail[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '.')
        || matches!(&scan.text[start..at], "~" | "." | "..");
    let is_path = if is_rooted {
        segments > 1 || path.len() > 3
    } else {
        segments > 1 && has_extension(path)
    };
    (is_path && !path.contains("//")).then_some(start..end)
}

fn windows_path(scan: &Scan<'_>, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(2).filter(|&start| start >= scan.floor)?;
    let drive = scan.text.get(start..at)?.as_bytes();
    if !drive[0].is_ascii_alphabetic() || drive[1] != b':' || scan.is_after_word(start) {
        return None;
    }
    let ahead = scan.ahead(at, MAX_LEN);
    let len = run(ahead, |b| is_path_byte(b) || b == b'\\');
    Some(start..at + ahead[..len].trim_end_matches('.').len())
}

fn has_extension(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty()
            && !stem.ends_with('/')
            && EXTENSIONS.contains(&ending.to_ascii_lowercase().as_str())
    })
}

/// `main.rs`, `report-2.pdf`; found at its dot.
pub(super) fn file_name(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let ending = run(scan.ahead(at + 1, 8), |b| b.is_ascii_alphanumeric());
    let before = &scan.text[scan.floor..at];
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(128))..];
    let stem = before
        .bytes()
        .rev()
        .take_while(|&b| is_name_byte(b) || b == b'-' || b == b'.')
        .count();
    let (start, mut end) = (at - stem, at + 1 + ending);
    let is_known = EXTENSIONS.contains(&&scan.text[at + 1..end]);
    // "archive.tar.gz" has two endings.
    let second = run(scan.ahead(end, 8).strip_prefix('.').unwrap_or(""), |b| {
        b.is_ascii_alphanumeric()
    });
    if second > 0 && EXTENSIONS.contains(&&scan.text[end + 1..end + 1 + second]) {
        end += 1 + second;
    }
    let is_name = stem > 0 && is_known && !scan.is_after_word(start) && !scan.is_before_word(end);
    is_name.then_some(start..end)
}

/// `snake_case`, found at its underscore; `camelCase`, found at its capital; `path::to`.
pub(super) fn name(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let bytes = scan.text.as_bytes();
    let is_inside = at > scan.floor && is_name_byte(bytes[at - 1]);
    if !is_inside || bytes[at].is_ascii_uppercase() && !bytes[at - 1].is_ascii_lowercase() {
        return None;
    }
    let before = &bytes[scan.floor..at];
    let before = &before[before.len().saturating_sub(64)..];
    let head = before
        .iter()
        .rev()
        .take_while(|&&b| is_name_byte(b))
        .count();
    let start = at - head;
    let len = run(scan.ahead(at, 96), is_name_byte);
    let mut end = at + len;
    if scan.is_after_word(start) || scan.is_before_word(end) || len < 2 {
        return None;
    }
    let name = &scan.text[start..end];
    let is_camel = name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().take_while(u8::is_ascii_lowercase).count() > 1
        && !name.contains('_');
    let is_snake = name.trim_matches('_').contains('_');
    if scan.text[end..].starts_with("()") {
        end += 2;
    }
    (is_camel && bytes[at].is_ascii_uppercase() || is_snake).then_some(start..end)
}
