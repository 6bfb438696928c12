//! Containing panics: one record or text can fail only itself.
//!
//! A bug that a hostile input triggers must not take down a node, nor the next node that reads the same input. Each
//! record is processed under [`contain`]; the caller decides how to handle a panic.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    sync::Once,
    task::Poll,
};

/// Longest description of a panic that is kept, in characters.
const LONGEST: usize = 300;

thread_local! {
    /// Calls of [`contain`] that this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last contained panic happened, and its message.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was contained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Contained(
    /// Message and place in the source.
    pub String,
);

/// Runs `task`. A panic in it ends here and is not printed: it comes back as an error, with its message and place.
///
/// State that `task` changes must stay usable when it ends half-way: hand results out through its return value.
///
/// # Errors
/// [`Contained`] when `task` panics.
///
/// # Examples
/// ```
/// use babelmesh_actors::containment::contain;
///
/// assert_eq!(contain(|| 2 + 2), Ok(4));
/// let refused = contain(|| -> u8 { panic!("out of cheese") }).unwrap_err();
/// assert!(refused.0.contains("out of cheese"));
/// ```
pub fn contain<T>(task: impl FnOnce() -> T) -> Result<T, Contained> {
    silence_contained_panics();
    DEPTH.set(DEPTH.get() + 1);
    let done = panic::catch_unwind(AssertUnwindSafe(task));
    DEPTH.set(DEPTH.get() - 1);
    done.map_err(|_| {
        let said = LAST.take();
        Contained(said.unwrap_or_else(|| "a panic without a message".to_owned()))
    })
}

/// The same for a future: a panic in any of its steps ends it.
///
/// # Errors
/// [`Contained`] when a step panics.
pub async fn contain_future<F: Future>(future: F) -> Result<F::Output, Contained> {
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        contain(|| future.as_mut().poll(context))
            .map_or_else(|panic| Poll::Ready(Err(panic)), |step| step.map(Ok))
    })
    .await
}

/// Installs a panic hook that captures contained panics instead of printing them. Other panics go to the previous hook.
fn silence_contained_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                return before(info);
            }
            let message = info
                .payload_as_str()
                .unwrap_or("a value that is not a string");
            let message: String = message.chars().take(LONGEST).collect();
            let place = info.location().map(ToString::to_string);
            let said = format!("{message} at {}", place.as_deref().unwrap_or("?"));
            LAST.set(Some(said));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_as_an_error_that_says_where() {
        let contained = contain(|| {
            let empty: [u8; 0] = [];
            empty[std::hint::black_box(1)]
        });
        let said = contained.unwrap_err().0;
        assert!(
            said.contains("index out of bounds") && said.contains("containment.rs"),
            "{said}"
        );
        assert_eq!(contain(|| 7), Ok(7));
    }

    #[test]
    fn containment_nests() {
        let outer = contain(|| contain(|| panic!("inner")).unwrap_err().0.len());
        assert!(outer.is_ok());
    }
}
