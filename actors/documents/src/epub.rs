//! EPUB: the pages in reading order, and the table of contents.

use std::collections::{HashMap, HashSet};

use crate::{DocumentError, package::Package, xml::Xml};

/// The media type in the entry `mimetype`.
pub(crate) const MEDIA_TYPE: &str = "application/epub+zip";

const CONTAINER: &str = "META-INF/container.xml";
const ENCRYPTION: &str = "META-INF/encryption.xml";
const PAGE: &str = "application/xhtml+xml";

/// Names of the entries with pages, in reading order.
pub(crate) fn pages(package: &mut Package, max_depth: usize) -> Result<Vec<String>, DocumentError> {
    let container = package.read(CONTAINER)?;
    let root = {
        let xml = read(package, &container, max_depth)?;
        let roots = (0..xml.tokens.len()).filter(|&token| local(&xml, token) == "rootfile");
        let mut paths = roots.filter_map(|token| xml.attribute(token, "full-path"));
        paths.next()
    };
    let root = root.ok_or_else(|| package.broken("its container names no package document"))?;
    let text = package.read(&root)?;
    let names = {
        let xml = read(package, &text, max_depth)?;
        names(&xml, &root)
    };
    if let Some(missing) = names.iter().find(|name| !package.has(name)) {
        let missing: String = missing.chars().take(100).collect();
        return Err(package.broken(format!("it has no entry {missing:?}")));
    }
    if package.has(ENCRYPTION) {
        let text = package.read(ENCRYPTION)?;
        let xml = read(package, &text, max_depth)?;
        let encrypted: HashSet<String> = (0..xml.tokens.len())
            .filter(|&token| local(&xml, token) == "CipherReference")
            .filter_map(|token| xml.attribute(token, "URI"))
            .map(|uri| decoded(&uri))
            .collect();
        // Fonts may be: that is no protection of the text.
        if names.iter().any(|name| encrypted.contains(name)) {
            return Err(DocumentError::Encrypted);
        }
    }
    Ok(names)
}

fn read<'a>(package: &Package, text: &'a str, max_depth: usize) -> Result<Xml<'a>, DocumentError> {
    Xml::read(text, max_depth)
        .map_err(|_| package.broken("the list of its pages is not well-formed XML"))
}

/// The name of an element without its prefix.
fn local<'a>(xml: &Xml<'a>, token: usize) -> &'a str {
    let name = xml.name(token);
    name.rsplit(':').next().unwrap_or(name)
}

/// The pages that a package document lists in its spine, and its table of contents.
fn names(package: &Xml<'_>, root: &str) -> Vec<String> {
    let mut items: HashMap<String, String> = HashMap::new();
    let mut order = Vec::new();
    let mut contents = None;
    for token in 0..package.tokens.len() {
        match local(package, token) {
            "item" => {
                let attribute = |name| package.attribute(token, name);
                let page = attribute("media-type").filter(|kind| kind == PAGE);
                let (Some(id), Some(href), Some(_)) = (attribute("id"), attribute("href"), page)
                else {
                    continue;
                };
                let properties = attribute("properties").unwrap_or_default();
                if properties.split_whitespace().any(|word| word == "nav") {
                    contents = Some(id.clone());
                }
                items.insert(id, resolved(root, &href));
            }
            "itemref" => order.extend(package.attribute(token, "idref")),
            _ => {}
        }
    }
    order.extend(contents);
    let mut seen = HashSet::new();
    order
        .iter()
        .filter_map(|id| items.get(id))
        .filter(|name| seen.insert((*name).clone()))
        .cloned()
        .collect()
}

/// The name of the entry that a reference in an entry means.
fn resolved(from: &str, reference: &str) -> String {
    let path = decoded(reference.split('#').next().unwrap_or_default());
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn decoded(uri: &str) -> String {
    percent_encoding::percent_decode_str(uri)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_of_the_spine_and_the_contents() {
        let package = "<package><manifest>\
            <item id=\"nav\" href=\"nav.xhtml\" media-type=\"application/xhtml+xml\" properties=\"nav\"/>\
            <item id=\"b\" href=\"../text/b%20c.xhtml\" media-type=\"application/xhtml+xml\"/>\
            <item id=\"a\" href=\"a.xhtml#x\" media-type=\"application/xhtml+xml\"/>\
            <item id=\"i\" href=\"i.png\" media-type=\"image/png\"/>\
            </manifest><spine><itemref idref=\"b\"/><itemref idref=\"a\"/><itemref idref=\"b\"/><itemref idref=\"none\"/></spine></package>";
        let xml = Xml::read(package, 10).unwrap();
        let expected = ["text/b c.xhtml", "OEBPS/a.xhtml", "OEBPS/nav.xhtml"];
        assert_eq!(names(&xml, "OEBPS/content.opf"), expected);
    }
}
