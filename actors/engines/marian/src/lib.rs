//! Shared code of engines for Marian models: tokenisation, and batch processing around the network.
//!
//! The tokeniser is SentencePiece's unigram model, read from the model's own `.spm` file with its own
//! normalisation table. It is written out here because the crates at hand differ from the original where it
//! matters to a service: they let a text that contains `</s>` end the sentence, keep repeated spaces that the network
//! never saw in training, and lose the best path at an unknown character.

mod batch;
mod coverage;
mod normaliser;
mod spm;
mod tokeniser;
mod unigram;

pub use batch::{Generated, MarianSession};
pub use coverage::coverage;
pub use normaliser::{Normaliser, Traced};
pub use spm::{SpmError, SpmFile};
pub use tokeniser::{Encoded, Tokeniser, TokeniserError};
