//! The end of threads.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Interval at which a thread is polled for its end.
const JOIN_POLL: Duration = Duration::from_millis(5);

/// Waits for a thread within a time. One that hangs ends with the process.
pub(super) fn join_within(thread: JoinHandle<()>, within: Duration) {
    let deadline = Instant::now() + within;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(JOIN_POLL);
    }
    if thread.is_finished() {
        // The thread's own guard has reported a panic.
        let _ = thread.join();
    }
}
