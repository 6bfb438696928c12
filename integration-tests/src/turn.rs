//! Tests that need the whole machine, one after another.

use std::{env, fs::File};

/// The turn of a test that keeps every core busy: no other one has it at the same time, in this process or another one of this machine.
/// It ends when this is dropped.
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for it.
    #[must_use]
    pub fn wait() -> Self {
        let path = env::temp_dir().join("babelmesh-it-turn.lock");
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("the temporary folder is writable");
        file.lock().expect("a file can be locked");
        Self { _lock: file }
    }
}
