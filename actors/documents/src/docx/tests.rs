use proptest::prelude::*;

use super::*;

fn part(body: &str) -> String {
    let namespace = NAMESPACES[0];
    format!(
        "<?xml version=\"1.0\"?>\r\n<w:document xmlns:w=\"{namespace}\"><w:body>{body}</w:body></w:document>"
    )
}

fn run(text: &str) -> String {
    format!("<w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r>")
}

fn bold(text: &str) -> String {
    format!("<w:r><w:rPr><w:b/></w:rPr><w:t xml:space=\"preserve\">{text}</w:t></w:r>")
}

fn texts(body: &str) -> Vec<String> {
    let (_, segments) = read(part(body), 100).unwrap();
    segments.into_iter().map(|segment| segment.text).collect()
}

fn written(body: &str, translations: &[&str]) -> String {
    let (document, segments) = read(part(body), 100).unwrap();
    let translations: Vec<_> = translations.iter().map(|&text| text.to_owned()).collect();
    let text = document.write(&segments, &translations).unwrap();
    assert!(Xml::read(&text, 100).is_ok(), "{text}");
    let (head, tail) = ("<w:body>", "</w:body>");
    let (_, body) = text.split_once(head).unwrap();
    body.rsplit_once(tail).unwrap().0.to_owned()
}

#[test]
fn one_run_per_letter_is_one_text() {
    let letters: String = "Hello you".chars().map(|c| run(&c.to_string())).collect();
    let body = format!("<w:p><w:pPr><w:jc/></w:pPr>{letters}</w:p>");
    assert_eq!(texts(&body), ["Hello you"]);
    let expected = format!(
        "<w:p><w:pPr><w:jc/></w:pPr>{}</w:p>",
        run("Salut &amp; toi")
    );
    assert_eq!(written(&body, &["Salut &amp; toi"]), expected);
}

#[test]
fn runs_that_differ_in_language_and_spelling_marks_are_one_text() {
    let body = "<w:p><w:r><w:rPr><w:lang w:val=\"en\"/></w:rPr><w:t>Hel</w:t></w:r><w:proofErr/><w:r w:rsidR=\"1\"><w:t>lo</w:t></w:r></w:p>";
    assert_eq!(texts(body), ["Hello"]);
    assert_eq!(
        written(body, &["Salut"]),
        format!("<w:p>{}</w:p>", run("Salut"))
    );
}

#[test]
fn formats_links_and_notes_move_with_their_words() {
    let link = format!("<w:hyperlink r:id=\"rId1\">{}</w:hyperlink>", bold("guide"));
    let note = "<w:r><w:footnoteReference w:id=\"1\"/></w:r>";
    let body = format!(
        "<w:p>{}{}{}{link}{note}{}</w:p>",
        run("A "),
        bold("long"),
        run(" "),
        run(".")
    );
    assert_eq!(texts(&body), ["A <g1>long</g1> <g2>guide</g2><e3/>."]);
    let expected = format!(
        "<w:p>{}{}{link}{}{note}{}</w:p>",
        run("Un "),
        "",
        run(" "),
        bold("x")
    );
    let expected = expected.replace("guide", "manuel");
    assert_eq!(
        written(&body, &["Un <g2>manuel</g2> <e3/><g1>x</g1>"]),
        expected
    );
}

#[test]
fn tabs_and_breaks_divide_a_paragraph_and_stay() {
    let body = "<w:p><w:r><w:rPr><w:i/></w:rPr><w:t>One</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>3</w:t></w:r></w:p>";
    assert_eq!(texts(body), ["One", "two"]);
    let text = written(body, &["Un", "deux"]);
    let run = |inside: &str| format!("<w:r><w:rPr><w:i/></w:rPr>{inside}</w:r>");
    let words = |text: &str| run(&format!("<w:t xml:space=\"preserve\">{text}</w:t>"));
    let expected = [
        words("Un"),
        run("<w:tab/>"),
        words("deux"),
        run("<w:br/>"),
        words("3"),
    ];
    assert_eq!(text, format!("<w:p>{}</w:p>", expected.concat()));
}

#[test]
fn fields_stay_whole() {
    let mark = |kind: &str| format!("<w:r><w:fldChar w:fldCharType=\"{kind}\"/></w:r>");
    let field = |code: &str, result: &str| {
        format!(
            "{}<w:r><w:instrText> {code} </w:instrText></w:r>{}{}{}",
            mark("begin"),
            mark("separate"),
            run(result),
            mark("end")
        )
    };
    let body = format!(
        "<w:p>{}{}{}</w:p>",
        run("Page "),
        field("PAGE", "Seven"),
        run(" of it")
    );
    assert_eq!(texts(&body), ["Page <e1/> of it"]);
    let expected = format!("<w:p>{}{}</w:p>", field("PAGE", "Seven"), run(" x"));
    assert_eq!(written(&body, &["<e1/> x"]), expected);
    let body = format!(
        "<w:p>{}{}</w:p>",
        run("See "),
        field("HYPERLINK \"u\"", "this")
    );
    assert_eq!(texts(&body), ["See <g1>this</g1>"]);
    let expected = format!(
        "<w:p>{}{}</w:p>",
        field("HYPERLINK \"u\"", "cela"),
        run("voir")
    );
    assert_eq!(written(&body, &["<g1>cela</g1>voir"]), expected);
    // The table of contents: a field over several paragraphs.
    let body = format!(
        "<w:p>{}{}{}</w:p><w:p>{}</w:p>",
        mark("begin"),
        mark("separate"),
        run("Intro"),
        mark("end")
    );
    assert_eq!(texts(&body), ["Intro"]);
    assert_eq!(written(&body, &["Début"]), body.replace("Intro", "Début"));
}

#[test]
fn controls_and_insertions_are_containers_and_deletions_stay() {
    let control = format!(
        "<w:sdt><w:sdtPr><w:id/></w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>",
        run("name")
    );
    let inserted = format!("<w:ins w:id=\"1\">{}</w:ins>", run("new"));
    let deleted = "<w:del><w:r><w:delText>old</w:delText></w:r></w:del>";
    let body = format!(
        "<w:p>{}{control}{}{inserted}{deleted}{}</w:p>",
        run("A "),
        run(" "),
        run(" b")
    );
    assert_eq!(texts(&body), ["A <g1>name</g1> <g2>new</g2><e3/> b"]);
    let text = written(&body, &["A <g1>nom</g1> <g2>neuf</g2><e3/> b"]);
    assert_eq!(text, body.replace("name", "nom").replace("new", "neuf"));
}

#[test]
fn text_boxes_are_segments_of_their_own() {
    let inner = format!("<w:p>{}</w:p>", run("In the box"));
    let shape = format!(
        "<w:r><w:drawing><wps:txbx><w:txbxContent>{inner}</w:txbxContent></wps:txbx></w:drawing></w:r>"
    );
    let body = format!("<w:p>{}{shape}{}</w:p>", run("Around"), run(" it"));
    assert_eq!(texts(&body), ["Around<e1/> it", "In the box"]);
    let expected = body
        .replace("In the box", "Dedans")
        .replace("Around", "Autour");
    assert_eq!(written(&body, &["Autour<e1/> it", "Dedans"]), expected);
    let expected = body.replace("In the box", "Dedans");
    assert_eq!(written(&body, &["Around<e1/> it", "Dedans"]), expected);
}

#[test]
fn a_translation_that_lost_an_element_is_an_error_with_its_number() {
    let body = format!(
        "<w:p>{}</w:p><w:p>{}{}</w:p>",
        run("One"),
        run("Two "),
        bold("three")
    );
    let (document, segments) = read(part(&body), 100).unwrap();
    let translations = ["Un".to_owned(), "Deux trois".to_owned()];
    assert_eq!(document.write(&segments, &translations), Err(1));
}

#[test]
fn parts_are_found_by_their_content_types() {
    let types = "<Types><Default Extension=\"xml\" ContentType=\"application/xml\"/>\
        <Override PartName=\"/word/document2.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/>\
        <Override PartName=\"/word/styles.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml\"/>\
        <Override PartName=\"/word/header1.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.header+xml\"/></Types>";
    assert_eq!(
        parts(types, 10).unwrap(),
        ["word/document2.xml", "word/header1.xml"]
    );
    let sheet = types.replace("wordprocessingml.document", "spreadsheetml.sheet");
    assert!(parts(&sheet, 10).is_err());
}

/// Inline content of a paragraph, of any kind.
fn any_inline() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z &<>]{0,6}".prop_map(|text| {
            let mut written = String::new();
            crate::xml::escape(&text, &mut written);
            run(&written)
        }),
        "[a-z ]{0,6}".prop_map(|text| bold(&text)),
        Just("<w:r><w:tab/></w:r>".to_owned()),
        Just("<w:r><w:drawing/></w:r>".to_owned()),
        Just("<w:bookmarkStart w:id=\"0\"/>".to_owned()),
        Just("<w:proofErr/>".to_owned()),
        Just("<w:r/>".to_owned()),
        Just("\n  ".to_owned()),
        Just("<!-- c -->".to_owned()),
        Just("<w:r><w:fldChar w:fldCharType=\"begin\"/></w:r>".to_owned()),
        Just("<w:r><w:instrText>HYPERLINK</w:instrText></w:r>".to_owned()),
        Just("<w:r><w:fldChar w:fldCharType=\"separate\"/></w:r>".to_owned()),
        Just("<w:r><w:fldChar w:fldCharType=\"end\"/></w:r>".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let inside = prop::collection::vec(inner, 0..6).prop_map(|parts| parts.concat());
        prop_oneof![
            inside.clone(),
            inside
                .clone()
                .prop_map(|text| format!("<w:hyperlink>{text}</w:hyperlink>")),
            inside.clone().prop_map(|text| format!(
                "<w:sdt><w:sdtPr/><w:sdtContent>{text}</w:sdtContent></w:sdt>"
            )),
            inside.prop_map(|text| format!(
                "<w:r><w:txbxContent><w:p>{text}</w:p></w:txbxContent></w:r>"
            )),
        ]
    })
}

/// The words of a part, in order.
fn words(text: &str) -> String {
    let xml = Xml::read(text, 1_000).unwrap();
    let is_text = |token: &usize| {
        xml.name(*token) == "w:t" && matches!(xml.tokens[*token].kind, TokenKind::Start(_))
    };
    (0..xml.tokens.len())
        .filter(is_text)
        .map(|token| xml.characters(token..xml.after(token)))
        .collect()
}

proptest! {
    #[test]
    fn unchanged_segments_leave_every_byte_and_changed_ones_a_whole_part(
        paragraphs in prop::collection::vec(any_inline(), 0..4),
    ) {
        let body: String = paragraphs.iter().map(|inline| format!("<w:p>{inline}</w:p>")).collect();
        let (document, segments) = read(part(&body), 1_000).unwrap();
        let same: Vec<_> = segments.iter().map(|segment| segment.text.clone()).collect();
        prop_assert_eq!(document.write(&segments, &same).unwrap(), part(&body));
        // The same words with a mark behind them: every paragraph is written from its items.
        let marked: Vec<_> = same.iter().map(|text| format!("{text}\u{2713}")).collect();
        let written = document.write(&segments, &marked).unwrap();
        prop_assert!(Xml::read(&written, 1_000).is_ok(), "{}", written);
        prop_assert_eq!(words(&written).replace('\u{2713}', ""), words(&part(&body)));
        prop_assert_eq!(words(&written).matches('\u{2713}').count(), segments.len());
    }
}
