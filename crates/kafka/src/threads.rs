//! The end of threads.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often it is looked whether a thread has ended.
const JOIN_POLL: Duration = Duration::from_millis(5);

/// Waits for a thread within a time. One that hangs ends with the process.
pub(super) fn join_within(thread: JoinHandle<()>, within: Duration) {
    let deadline = Instant::now() + within;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(JOIN_POLL);
    }
    if thread.is_finished() {
        // A panic was told by the thread's own guard.
        let _ = thread.join();
    }
}
