//! Blocks of text with their marks.

use super::*;

/// Writes words as `1[words]` and stretches as `{start-end}`.
struct Shown;

impl Writer for Shown {
    fn words(&self, words: &str, style: Option<usize>, written: &mut String) {
        match style {
            Some(style) => written.push_str(&format!("{style}[{words}]")),
            None => written.push_str(words),
        }
    }

    fn raw(&self, range: Range<usize>, _: Option<usize>, written: &mut String) {
        written.push_str(&format!("{{{}}}", range.start));
    }
}

fn words(text: &str, style: usize) -> Item {
    Item {
        content: Content::Words(text.to_owned()),
        style: Some(style),
    }
}

fn raw(at: usize, role: Role) -> Item {
    Item {
        content: Content::Raw(at..at + 1, role),
        style: None,
    }
}

fn texts(items: &[Item]) -> Vec<String> {
    let mut items = items.to_vec();
    blocks(&mut items)
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

fn rendered(items: &[Item], translation: &str) -> Option<String> {
    let mut items = items.to_vec();
    let (block, _) = blocks(&mut items).remove(0);
    let mut written = String::new();
    block.render(&items, translation, &Shown, &mut written)?;
    Some(written)
}

#[test]
fn runs_of_one_style_are_one_stretch_and_others_are_elements() {
    let letters: Vec<Item> = "A & B".chars().map(|c| words(&c.to_string(), 0)).collect();
    assert_eq!(texts(&letters), ["A &amp; B"]);
    assert_eq!(rendered(&letters, "x &amp; y").unwrap(), "0[x & y]");
    let mixed = [
        words("A long ", 0),
        words("bold", 1),
        words(" ", 2),
        words("word", 1),
        words(".", 0),
    ];
    assert_eq!(texts(&mixed), ["A long <g1>bold word</g1>."]);
    let expected = "1[x]0[ y.]";
    assert_eq!(rendered(&mixed, "<g1>x</g1> y.").unwrap(), expected);
}

#[test]
fn containers_and_other_items_go_where_their_elements_go() {
    let items = [
        raw(1, Role::Keep),
        words("See ", 0),
        raw(2, Role::Open),
        words("our guide", 1),
        raw(3, Role::Close),
        raw(4, Role::Keep),
        raw(5, Role::Keep),
        words(" now", 0),
        raw(6, Role::Drop),
    ];
    assert_eq!(texts(&items), ["See <g1>our guide</g1><e2/> now"]);
    let translation = "<e2/>X <g1>y</g1> z";
    assert_eq!(
        rendered(&items, translation).unwrap(),
        "{4}{5}0[X ]{2}1[y]{3}0[ z]"
    );
}

#[test]
fn a_container_around_everything_is_no_element() {
    let items = [raw(1, Role::Open), words("All", 0), raw(2, Role::Close)];
    assert_eq!(texts(&items), ["All"]);
}

#[test]
fn dividers_divide_and_so_do_containers_around_them() {
    let items = [
        words("One", 0),
        raw(1, Role::Open),
        words("two", 0),
        raw(2, Role::Split),
        words("three", 0),
        raw(3, Role::Close),
        words("7", 0),
        raw(4, Role::Close),
        words("four", 0),
        raw(5, Role::Open),
    ];
    assert_eq!(texts(&items), ["One", "two", "three", "four"]);
}

#[test]
fn byte_order_marks_are_characters() {
    let items = [words("\u{feff}A ", 0), words("b", 1), words("c d", 0)];
    let expected = "0[\u{feff}\u{feff}\u{e9} x]1[y]";
    let translation = "\u{feff}\u{feff}\u{e9} x<g1>y</g1>";
    assert_eq!(rendered(&items, translation).unwrap(), expected);
}

#[test]
fn a_translation_with_other_elements_is_refused() {
    let items = [
        words("A ", 0),
        words("b", 1),
        raw(1, Role::Keep),
        words(" c d", 0),
    ];
    assert_eq!(texts(&items), ["A <g1>b<e2/></g1> c d"]);
    assert!(rendered(&items, "x <g1>y</g1><e2/>").is_some());
    for wrong in [
        "x",
        "<g1>x</g1>",
        "<g1>x</g1><g1>y</g1><e2/>",
        "<g1>x<e2/>",
        "x</g1><e2/>",
        "<g1>x</g1><e2/><e3/>",
        "<e1/><g2>x</g2>",
        "<g1>x</g1><e2/><!-- -->",
        "<b>x</b><g1>x</g1><e2/>",
        "<g1>x</g1><e2/><",
    ] {
        assert_eq!(rendered(&items, wrong), None, "{wrong}");
    }
}
