//! Tests that need the whole machine, and tests that need it quiet.

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
        let file = Self::file();
        file.lock().expect("a file can be locked");
        Self { _lock: file }
    }

    /// Waits until no test has it, and keeps it from those that [wait](Self::wait) for it. Any number of tests share it.
    #[must_use]
    pub fn share() -> Self {
        let file = Self::file();
        file.lock_shared().expect("a file can be locked");
        Self { _lock: file }
    }

    fn file() -> File {
        let path = env::temp_dir().join("babelmesh-it-turn.lock");
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("the temporary folder is writable")
    }
}
