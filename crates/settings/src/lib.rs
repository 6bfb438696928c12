//! What every section of the configuration needs: secrets that are never shown, and the errors that are found in it.
//!
//! Each crate owns the type of its section and checks it; the node reads the file, the environment and the flags, and puts the sections
//! together. This is on the lowest floor: it uses no other crate of the workspace.
//!
//! ```
//! use babelmesh_settings::{ConfigErrors, Secret, mistake};
//!
//! let cookie = Secret::from("correct horse battery staple");
//! assert_eq!(format!("{cookie:?}"), "***");
//!
//! let errors = ConfigErrors(vec![mistake("http.threads", "must be above zero")]);
//! assert!(errors.to_string().ends_with("http.threads: must be above zero"));
//! ```

mod error;
mod secret;

pub use error::{ConfigError, ConfigErrors, Place, mistake};
pub use secret::{Secret, read_secret};

/// More threads than any machine has a use for.
pub const MAX_THREADS: u16 = 1_024;
