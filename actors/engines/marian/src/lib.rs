//! Shared code of engines for encoder-decoder models: tokenisation, and batch processing around the network.
//!
//! The tokeniser is SentencePiece's unigram model or byte-pair encoding, read from the model's own `.spm` file with its own
//! normalisation table. It is written out here because the crates at hand differ from the original where it
//! matters to a service: they let a text that contains `</s>` end the sentence, keep repeated spaces that the network
//! never saw in training, and lose the best path at an unknown character.

mod batch;
mod bpe;
mod coverage;
mod normaliser;
mod tokeniser;
mod unigram;
mod vocabulary;

pub use batch::{Generated, MarianSession, Source};
pub use coverage::coverage;
pub use normaliser::{Normaliser, Traced};
pub use tokeniser::{Encoded, Frame, Tokeniser, TokeniserError};
