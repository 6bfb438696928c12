//! Commands for one subject are executed in order; commands for different subjects run concurrently.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::cluster::command::Action;

/// Subject of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Model(String),
    Language(String),
    Log,
}

/// Subject of a command; none if it never has to wait.
pub(super) fn subject(action: &Action) -> Option<Subject> {
    match action {
        Action::Drain => None,
        Action::Load { model }
        | Action::Unload { model }
        | Action::Reload { model }
        | Action::SetBounds { model, .. } => Some(Subject::Model(model.clone())),
        Action::Pause { language } | Action::Resume { language } => {
            // Tags of one language differ.
            let tag = super::check::tag(language).map(|language| language.to_string());
            Some(Subject::Language(tag.unwrap_or_else(|_| language.clone())))
        }
        Action::LogFilter { .. } => Some(Subject::Log),
    }
}

/// Whose turn it is, by subject.
#[derive(Default)]
pub(super) struct SubjectLocks(Mutex<HashMap<Subject, Arc<tokio::sync::Mutex<()>>>>);

impl SubjectLocks {
    /// Waits until no other command is about this.
    pub(super) async fn of(&self, subject: Subject) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Locks referenced only by this map are unused.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(subject).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn commands_about_one_thing_wait_for_each_other_and_no_others_do() {
        let turns = SubjectLocks::default();
        let model = |id: &str| Subject::Model(id.to_owned());
        let first = turns.of(model("a")).await;
        let second = turns.of(model("a"));
        assert!(tokio::time::timeout(Duration::ZERO, second).await.is_err());
        let _other = turns.of(model("b")).await;
        let _language = turns.of(Subject::Language("a".to_owned())).await;
        drop(first);
        let _again = turns.of(model("a")).await;
        let known = turns.0.lock().unwrap().len();
        assert_eq!(known, 3, "turns that are over are forgotten");
    }

    #[test]
    fn loading_unloading_and_bounds_of_a_model_are_about_the_same_thing() {
        let model = || "m".to_owned();
        let subjects = [
            Action::Load { model: model() },
            Action::Unload { model: model() },
            Action::SetBounds {
                model: model(),
                min: 1,
                max: 2,
            },
        ]
        .map(|action| subject(&action));
        assert!(subjects.iter().all(|s| *s == Some(Subject::Model(model()))));
        let language = |tag: &str| tag.to_owned();
        assert_eq!(
            subject(&Action::Pause {
                language: language("fra")
            }),
            subject(&Action::Resume {
                language: language("fr")
            })
        );
        assert_eq!(subject(&Action::Drain), None);
    }
}
