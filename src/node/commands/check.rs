//! Validation of command targets.

use std::{collections::BTreeSet, fmt::Display};

use babelmesh_actors::domain::Language;

use crate::cluster::command::Action;

/// Possible targets of commands.
pub(super) struct CommandTargets {
    /// Models that have a pool.
    pub(super) models: Vec<String>,
    /// Languages that they write.
    pub(super) languages: BTreeSet<Language>,
    /// Paused languages. Their models may be gone.
    pub(super) paused: BTreeSet<Language>,
    /// Actors of one pool that the node has cores for.
    pub(super) room: u32,
}

/// Checks a command against what exists. Models that could be loaded are known to nobody before they are looked for.
///
/// # Errors
/// What is wrong with it, and what exists instead.
pub(super) fn check(action: &Action, existing: &CommandTargets) -> Result<(), String> {
    match action {
        Action::SetBounds { model, min, max } => {
            known_model(model, existing)?;
            bounds((*min, *max), existing.room)
        }
        Action::Unload { model } | Action::Reload { model } => known_model(model, existing),
        Action::Pause { language } => known_language(tag(language)?, existing),
        Action::Resume { language } => {
            let target = tag(language)?;
            match existing.paused.contains(&target) {
                true => Ok(()),
                false => known_language(target, existing),
            }
        }
        Action::LogFilter { filter } if filter.trim().is_empty() => {
            Err("the filter is empty: give a level, such as info".to_owned())
        }
        Action::Drain | Action::Load { .. } | Action::LogFilter { .. } => Ok(()),
    }
}

/// The language of a tag.
pub(super) fn tag(language: &str) -> Result<Language, String> {
    let parsed = language.parse::<Language>();
    parsed.map_err(|error| error.to_string())
}

fn known_model(model: &str, existing: &CommandTargets) -> Result<(), String> {
    match existing.models.iter().any(|known| known == model) {
        true => Ok(()),
        false => Err(format!(
            "unknown model {model}: the node has {}",
            list(&existing.models)
        )),
    }
}

fn known_language(target: Language, existing: &CommandTargets) -> Result<(), String> {
    match existing.languages.contains(&target) {
        true => Ok(()),
        false => Err(format!(
            "the node does not serve {target}: it serves {}",
            list(&existing.languages)
        )),
    }
}

fn bounds((min, max): (u32, u32), room: u32) -> Result<(), String> {
    if min > max {
        return Err(format!("min ({min}) must not exceed max ({max})"));
    }
    if max == 0 {
        return Err("max must not be 0: unload the model instead".to_owned());
    }
    if min > room {
        return Err(format!(
            "min ({min}) must not exceed the {room} actors that this node has cores for (limits.cores, engine.threads)"
        ));
    }
    Ok(())
}

/// Things for a message to people.
fn list<T: Display>(things: impl IntoIterator<Item = T>) -> String {
    let things: Vec<_> = things.into_iter().map(|thing| thing.to_string()).collect();
    match things.is_empty() {
        true => "none".to_owned(),
        false => things.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn existing() -> CommandTargets {
        let languages = |tags: &[&str]| tags.iter().map(|tag| tag.parse().unwrap()).collect();
        CommandTargets {
            models: vec!["one".to_owned(), "two".to_owned()],
            languages: languages(&["fr", "de"]),
            paused: languages(&["es"]),
            room: 4,
        }
    }

    fn refused(action: Action) -> String {
        check(&action, &existing()).unwrap_err()
    }

    fn bounds(model: &str, min: u32, max: u32) -> Action {
        Action::SetBounds {
            model: model.to_owned(),
            min,
            max,
        }
    }

    #[test]
    fn a_command_about_what_does_not_exist_names_what_does() {
        let unknown = || "xx".to_owned();
        let only_models = "unknown model xx: the node has one, two";
        assert_eq!(refused(bounds("xx", 1, 2)), only_models);
        assert_eq!(refused(Action::Unload { model: unknown() }), only_models);
        let language = unknown();
        let only_languages = "the node does not serve xx: it serves de, fr";
        assert_eq!(refused(Action::Pause { language }), only_languages);
        let language = unknown();
        assert_eq!(refused(Action::Resume { language }), only_languages);
        let language = "no tag".to_owned();
        assert!(refused(Action::Pause { language }).contains("no tag"));
        let filter = "  ".to_owned();
        assert!(refused(Action::LogFilter { filter }).contains("empty"));
    }

    #[test]
    fn bounds_that_cannot_be_are_refused() {
        assert_eq!(
            refused(bounds("one", 4, 1)),
            "min (4) must not exceed max (1)"
        );
        assert!(refused(bounds("one", 0, 0)).contains("must not be 0"));
        let error = refused(bounds("one", 5, 6));
        assert!(error.contains("the 4 actors"), "{error}");
        assert!(check(&bounds("one", 0, 1), &existing()).is_ok());
        assert!(check(&bounds("one", 4, 100), &existing()).is_ok());
    }

    #[test]
    fn existing_targets_can_be_commanded_and_paused_ones_resumed() {
        let language = |tag: &str| tag.to_owned();
        for action in [
            Action::Drain,
            Action::Unload {
                model: "two".to_owned(),
            },
            Action::Pause {
                language: language("fr-CA"),
            },
            Action::Resume {
                language: language("es"),
            },
        ] {
            assert_eq!(check(&action, &existing()), Ok(()), "{action:?}");
        }
        let spanish = language("es");
        assert!(refused(Action::Pause { language: spanish }).contains("es"));
    }
}
