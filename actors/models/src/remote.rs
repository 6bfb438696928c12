//! Models that are published elsewhere: the registry of Firefox Translations and the Hugging Face Hub.
//!
//! Nothing here uses the network: these are the layouts, the choice of a model, and the checks of what was downloaded. Names in a list are
//! data of a stranger: no path on this machine is made of them unless [`is_file_name`] or [`is_location`] accepts them.

pub mod hub;
pub mod records;
pub mod selection;
pub mod unpack;

/// Whether a text is the name of a file, and nothing that leaves a folder or is hidden in it.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(allowed)
}

/// Whether a text is a relative path of [file names](is_file_name), separated by slashes.
#[must_use]
pub fn is_location(location: &str) -> bool {
    location.len() <= 512 && location.split('/').all(is_file_name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_leave_their_folder_are_not_locations() {
        for bad in [
            "",
            "..",
            "../x",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a/",
            "a\\b",
            ".hidden",
            "a/.b",
            "a\0b",
            "ä",
            "a b",
            "a%2e",
        ] {
            assert!(!is_location(bad), "{bad}");
        }
        assert!(is_location(
            "main-workspace/translations-models-v2/0a-1.bin.zst"
        ));
    }

    proptest! {
        #[test]
        fn a_location_stays_below_its_folder(text in "[a./\\\\-]{0,12}") {
            if is_location(&text) {
                let path = std::path::Path::new(&text);
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
