//! Tests that need the whole machine, and tests that need it quiet.

use std::{env, fs::File, thread, time::Duration};

/// Tests that may share a turn. Each has brokers of its own: with more of them than this, two cores keep brokers from answering for so long
/// that sessions end which nobody meant to end.
const SHARING: usize = 3;

/// The turn of a test that keeps every core busy: no other one has it at the same time, in this process or another one of this machine.
/// It ends when this is dropped.
pub struct MachineLock {
    _lock: File,
    _place: Option<File>,
}

impl MachineLock {
    /// Waits for it.
    #[must_use]
    pub fn wait() -> Self {
        let file = file("");
        file.lock().expect("a file can be locked");
        Self {
            _lock: file,
            _place: None,
        }
    }

    /// Waits until no test has it, and keeps it from those that [wait](Self::wait) for it. Some tests share it.
    #[must_use]
    pub fn share() -> Self {
        let place = place();
        let file = file("");
        file.lock_shared().expect("a file can be locked");
        Self {
            _lock: file,
            _place: Some(place),
        }
    }
}

/// Waits for a place among those that share.
fn place() -> File {
    loop {
        for number in 0..SHARING {
            let file = file(&format!("-{number}"));
            if file.try_lock().is_ok() {
                return file;
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn file(which: &str) -> File {
    let path = env::temp_dir().join(format!("babelmesh-it-turn{which}.lock"));
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .expect("the temporary folder is writable")
}
