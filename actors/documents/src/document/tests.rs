use std::io::{Cursor, Read, Write};

use proptest::prelude::*;
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::DocumentsConfig;

fn limits() -> Limits {
    DocumentsConfig::default().limits(100_000)
}

fn parse(name: &str, bytes: Vec<u8>) -> Result<Document, DocumentError> {
    Document::parse(name, bytes, &limits())
}

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        let method = match *name {
            MIMETYPE => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn entries(bytes: &[u8]) -> Vec<(String, String)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|at| {
            let mut entry = archive.by_index(at).unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.name().unwrap().into_owned(), text)
        })
        .collect()
}

const TYPES: &str = "<Types><Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>";

fn docx(body: &str) -> Vec<u8> {
    let document = format!(
        "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">{body}</w:document>"
    );
    archive(&[
        (docx::CONTENT_TYPES, TYPES),
        ("word/document.xml", &document),
        ("word/media/image1.png", "not really one"),
    ])
}

fn paragraph(text: &str) -> String {
    format!("<w:p><w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r></w:p>")
}

fn odt(body: &str, manifest: &str) -> Vec<u8> {
    let content =
        format!("<o xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\">{body}</o>");
    archive(&[
        (MIMETYPE, odt::MEDIA_TYPES[0]),
        ("content.xml", &content),
        ("META-INF/manifest.xml", manifest),
    ])
}

fn epub(pages: &[&str]) -> Vec<u8> {
    let container =
        "<container><rootfiles><rootfile full-path=\"OEBPS/c.opf\"/></rootfiles></container>";
    let names: Vec<_> = (0..pages.len())
        .map(|at| format!("OEBPS/{at}.xhtml"))
        .collect();
    let item = |at: usize| {
        format!("<item id=\"i{at}\" href=\"{at}.xhtml\" media-type=\"application/xhtml+xml\"/>")
    };
    let reference = |at: usize| format!("<itemref idref=\"i{at}\"/>");
    let items: String = (0..pages.len()).map(item).collect();
    let order: String = (0..pages.len()).map(reference).collect();
    let package = format!("<package><manifest>{items}</manifest><spine>{order}</spine></package>");
    let mut entries = vec![
        (MIMETYPE, epub::MEDIA_TYPE),
        ("META-INF/container.xml", container),
        ("OEBPS/c.opf", &package),
    ];
    entries.extend(names.iter().map(String::as_str).zip(pages.iter().copied()));
    archive(&entries)
}

const PAGE: &str = "<?xml version=\"1.0\"?><!DOCTYPE html><html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>A title</title></head><body><p id=\"x\">Some <i>words</i>&#160;here.</p><br/></body></html>";

fn one_of_each() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.txt", "\u{feff}One.\r\n\r\nTwo.\r\n".into()),
        ("a.md", "# One\n\nTwo *three*.\n".into()),
        ("a.html", "<p>One <b>two</b>.</p>".into()),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nOne.\n".into()),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nOne.\n".into()),
        ("a.json", "{\"a\": \"One\", \"b\": [2, \"two\"]}\n".into()),
        ("a.po", "msgid \"One\"\nmsgstr \"\"\n".into()),
        ("a.docx", docx(&paragraph("One"))),
        (
            "a.odt",
            odt(
                "<text:p>One <text:span>two</text:span> three</text:p>",
                "<m/>",
            ),
        ),
        ("a.epub", epub(&[PAGE, PAGE])),
    ]
}

#[test]
fn every_kind_is_read_and_written_with_its_segments_unchanged() {
    for (name, bytes) in one_of_each() {
        let document = parse(name, bytes.clone()).unwrap();
        assert!(
            !document.segments().is_empty() && document.chars() > 0,
            "{name}"
        );
        let same: Vec<_> = document.segments().iter().map(|s| s.text.clone()).collect();
        let is_package = matches!(document.body, Body::Package { .. });
        let written = document.write(&same).unwrap();
        match is_package {
            true => assert_eq!(entries(&written), entries(&bytes), "{name}"),
            false if name == "a.po" => assert!(written.ends_with(b"msgstr \"One\"\n")),
            false => assert_eq!(written, bytes, "{name}"),
        }
    }
}

#[test]
fn translations_take_the_places_of_their_segments() {
    for (name, bytes) in one_of_each() {
        let document = parse(name, bytes).unwrap();
        let translate = |segment: &Segment| {
            let changed = segment.text.replace("One", "Un").replace("words", "mots");
            changed.replace("A title", "A titre")
        };
        let translations: Vec<_> = document.segments().iter().map(translate).collect();
        let written = document.write(&translations).unwrap();
        let text = match name.ends_with("x") || name.ends_with("odt") || name.ends_with("epub") {
            true => entries(&written)
                .into_iter()
                .map(|(_, text)| text)
                .collect(),
            false => String::from_utf8(written).unwrap(),
        };
        let has = match name {
            "a.epub" => {
                text.matches("<i>mots</i>").count() == 2 && text.contains("<title>A titre<")
            }
            _ => text.contains("Un"),
        };
        assert!(has, "{name}: {text}");
    }
}

#[test]
fn the_media_type_is_first_and_not_compressed_whatever_it_was() {
    let original = epub(&[PAGE]);
    let mut parts = entries(&original);
    parts.rotate_left(1);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in &parts {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let document = parse("a.epub", bytes).unwrap();
    let same: Vec<_> = document.segments().iter().map(|s| s.text.clone()).collect();
    let written = document.write(&same).unwrap();
    assert!(written[30..].starts_with(b"mimetypeapplication/epub+zip"));
}

#[test]
fn encrypted_and_old_documents_are_named_as_such() {
    let compound = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and so on".to_vec();
    assert_eq!(
        parse("a.docx", compound).unwrap_err(),
        DocumentError::Compound
    );
    let manifest = "<m:manifest><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>";
    let encrypted = odt("<text:p>x</text:p>", manifest);
    assert_eq!(
        parse("a.odt", encrypted).unwrap_err(),
        DocumentError::Encrypted
    );
    // The flag of encryption in the local header and in the directory.
    let mut flagged = docx(&paragraph("One"));
    flagged[6] |= 1;
    let directory = flagged
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    flagged[directory + 8] |= 1;
    assert_eq!(
        parse("a.docx", flagged).unwrap_err(),
        DocumentError::Encrypted
    );
    let mut parts = entries(&epub(&[PAGE]));
    parts.push((
        "META-INF/encryption.xml".to_owned(),
        "<e><CipherReference URI=\"OEBPS/0.xhtml\"/></e>".to_owned(),
    ));
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        parse("a.epub", archive(&parts)).unwrap_err(),
        DocumentError::Encrypted
    );
}

#[test]
fn a_bomb_is_not_unpacked() {
    let limits = Limits {
        max_uncompressed_bytes: 10_000,
        ..limits()
    };
    let bomb = docx(&paragraph(&"x".repeat(10_000_000)));
    assert!(bomb.len() < 20_000);
    let error = Document::parse("a.docx", bomb, &limits).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("documents.max_uncompressed_bytes"),
        "{error}"
    );
    let many = Limits {
        max_entries: 2,
        ..limits
    };
    let error = Document::parse("a.docx", docx(""), &many).unwrap_err();
    assert!(
        error.to_string().contains("documents.max_entries"),
        "{error}"
    );
}

#[test]
fn segments_and_nesting_are_bounded() {
    let few = Limits {
        max_segments: 2,
        ..limits()
    };
    let body = paragraph("One").repeat(3);
    let error = Document::parse("a.docx", docx(&body), &few).unwrap_err();
    assert!(
        error.to_string().contains("documents.max_segments"),
        "{error}"
    );
    let error = Document::parse("a.json", b"[\"a\",\"b\",\"c\"]".to_vec(), &few).unwrap_err();
    assert!(
        error.to_string().contains("documents.max_segments"),
        "{error}"
    );
    let deep = format!("{}{}", "<w:sdt>".repeat(1_000), "</w:sdt>".repeat(1_000));
    let error = parse("a.docx", docx(&deep)).unwrap_err();
    assert!(error.to_string().contains("documents.max_depth"), "{error}");
    let short = Limits {
        max_segment_chars: 3,
        ..limits()
    };
    let error = Document::parse("a.docx", docx(&paragraph("Four")), &short).unwrap_err();
    assert!(
        error.to_string().contains("intake.max_text_chars"),
        "{error}"
    );
}

#[test]
fn documents_that_are_something_else_are_refused_with_the_reason() {
    for (name, bytes, reason) in [
        ("a.docx", b"Hello".to_vec(), "not a ZIP archive"),
        ("a.docx", epub(&[PAGE]), "no entry \"[Content_Types].xml\""),
        ("a.odt", docx(""), "no entry \"mimetype\""),
        ("a.odt", epub(&[PAGE]), "media type"),
        ("a.docx", docx("<w:p>"), "not well-formed"),
        ("a.epub", epub(&["<p>a<br></p>"]), "not well-formed"),
        ("a.txt", vec![0xff, 0xfe, 0x41, 0], "UTF-8"),
        ("a.txt", b"PK\x03\x04\0\0".to_vec(), "UTF-8"),
        ("a.html", b"<meta charset=latin1><p>x".to_vec(), "UTF-8"),
        ("a.json", b"{".to_vec(), "invalid JSON"),
        ("a.pdf", Vec::new(), "supported: txt"),
        ("README", Vec::new(), "supported: txt"),
    ] {
        let error = parse(name, bytes).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[test]
fn long_texts_are_divided() {
    let text = "One two three.\n".repeat(2_000);
    let document = parse("a.txt", text.clone().into_bytes()).unwrap();
    assert!(document.segments().len() > 5);
    let same: Vec<_> = document.segments().iter().map(|s| s.text.clone()).collect();
    assert_eq!(document.sample(100).len(), 1);
    assert_eq!(document.write(&same).unwrap(), text.into_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_documents_are_refused_or_read_and_never_panic(
        which in 0usize..10,
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        is_cut: bool,
    ) {
        let (name, mut bytes) = one_of_each().swap_remove(which);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(document) = parse(name, bytes) {
            let same: Vec<_> = document.segments().iter().map(|s| s.text.clone()).collect();
            let _ = document.sample(1_000);
            let _ = document.write(&same);
        }
    }

    #[test]
    fn any_words_survive_in_a_docx(words in "[^\0]{1,40}") {
        let mut escaped = String::new();
        crate::xml::escape(&words, &mut escaped);
        let bytes = docx(&paragraph(&escaped));
        let document = parse("a.docx", bytes).unwrap();
        let marked: Vec<_> = document.segments().iter().map(|s| format!("{}!", s.text)).collect();
        let written = document.write(&marked).unwrap();
        prop_assert!(parse("a.docx", written).is_ok());
    }
}
