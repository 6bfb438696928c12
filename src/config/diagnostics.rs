//! Where configuration errors are, in which words they are told, and what was meant.

mod layers;
mod nearest;
#[cfg(test)]
mod tests;
mod words;

pub(super) use layers::Layers;
pub(super) use words::in_plain_words;

use babelmesh_settings::{ConfigError, Place};

/// Finishes errors: adds their places and the nearest known keys, and sorts them by place. Errors about the configuration as a whole come
/// first.
pub(super) fn finish(errors: &mut [ConfigError], layers: &Layers) {
    for error in &mut *errors {
        if error.place.is_none() {
            error.place = layers.place_of(error);
        }
        if let Some(old) = layers.old_name(&error.path) {
            error.message.push_str(&format!(" (given as {old})"));
        }
        if error.is_unknown_key() {
            let as_variable = matches!(error.place, Some(Place::Variable(_)));
            if layers.is_section(&error.path) {
                error.message = "unknown section".to_owned();
            }
            if let Some(hint) = nearest::hint(&error.path, as_variable) {
                error.message.push_str(&hint);
            }
        }
    }
    errors.sort_by(|a, b| a.place.cmp(&b.place));
}
