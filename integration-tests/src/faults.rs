//! How to make the `faulty-engine` executable misbehave: by markers in the texts that it gets, or by files in the folder in which it is linked.

/// In a text: the engine aborts.
pub const CRASH: &str = "crashtext";
/// In a text: the engine never answers.
pub const HANG: &str = "hangtext";
/// In a text: the engine takes [`STEP`] bytes more memory and keeps them.
pub const GROW: &str = "growtext";
/// In a text: the engine takes more and more memory and never answers.
pub const BLOAT: &str = "bloattext";
/// In a text: it takes the engine 200 ms.
pub const SLOW: &str = "slowtext";
/// A file of this name beside the engine's link: loading fails, of all models if the file is empty, else of the one whose id it holds.
pub const FAIL_LOAD: &str = "fail-load";
/// A file of this name beside the engine's link: loading fails, and says that it always will.
pub const UNLOADABLE: &str = "unloadable";
/// Bytes that [`GROW`] takes.
pub const STEP: usize = 64 << 20;
