//! Fields over several runs: a link, a page number, a reference.
//!
//! Their runs are in a row: the begin, the code, a separator, the result, the end. They must stay in this order.

use super::Marked;
use crate::block::{Content, Item, Role};

/// What an item is to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldMark {
    Begin,
    /// What the field does.
    Code(String),
    Separate,
    End,
}

/// Joins the items of each field that is whole: a link is a container of its words, another field is one item. Marks of a field that begins
/// or ends in another paragraph divide this one.
pub(super) fn join_fields(marked: Vec<Marked>) -> Vec<Item> {
    let mut joined: Vec<Marked> = Vec::with_capacity(marked.len());
    let mut begins = Vec::new();
    for (item, mark) in marked {
        let is_end = mark == Some(FieldMark::End);
        if mark == Some(FieldMark::Begin) {
            begins.push(joined.len());
        }
        joined.push((item, mark));
        if is_end && let Some(begin) = begins.pop() {
            let field = joined.split_off(begin);
            joined.extend(join(field).into_iter().map(|item| (item, None)));
        }
    }
    let item = |(mut item, mark): Marked| {
        if mark.is_some() {
            divide(&mut item);
        }
        item
    };
    joined.into_iter().map(item).collect()
}

fn divide(item: &mut Item) {
    if let Content::Raw(_, role) = &mut item.content {
        *role = Role::Split;
    }
}

fn group(items: Vec<Item>, role: Role) -> Item {
    Item {
        content: Content::Group(items, role),
        style: None,
    }
}

/// Joins a whole field.
fn join(field: Vec<Marked>) -> Vec<Item> {
    let separator = field
        .iter()
        .position(|(_, mark)| *mark == Some(FieldMark::Separate));
    let code: String = field
        .iter()
        .filter_map(|(_, mark)| match mark {
            Some(FieldMark::Code(code)) => Some(code.as_str()),
            _ => None,
        })
        .collect();
    let is_balanced = is_balanced(&field);
    let mut items: Vec<Item> = field.into_iter().map(|(item, _)| item).collect();
    let is_link = code.trim_start().starts_with("HYPERLINK");
    match separator {
        _ if !is_balanced => {
            // A container begins or ends inside of the field.
            for item in &mut items {
                divide(item);
            }
            items
        }
        Some(separator) if is_link => {
            let end = items.split_off(items.len() - 1);
            let result = items.split_off(separator + 1);
            let mut joined = vec![group(items, Role::Open)];
            joined.extend(result);
            joined.push(group(end, Role::Close));
            joined
        }
        _ => vec![group(items, Role::Keep)],
    }
}

/// Whether every container that begins in a field ends in it.
fn is_balanced(field: &[Marked]) -> bool {
    let mut depth = 0usize;
    for (item, _) in field {
        match &item.content {
            Content::Raw(_, Role::Open) | Content::Group(_, Role::Open) => depth += 1,
            Content::Raw(_, Role::Close) | Content::Group(_, Role::Close) => {
                let Some(less) = depth.checked_sub(1) else {
                    return false;
                };
                depth = less;
            }
            _ => {}
        }
    }
    depth == 0
}
