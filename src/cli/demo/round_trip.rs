//! Round trips: sentences translated to another language and back.

use std::io::{self, Write};

use anyhow::Result;
use babelmesh_actors::domain::{Priority, TranslationRequest, TranslationResult};

use crate::node::Node;

/// The language of the sentences.
const LANGUAGE: &str = "en";
const SENTENCES: [&str; 8] = [
    "The moon is bright tonight, and nobody wants to go home.",
    "My grandmother says that a good soup cures everything except a broken heart.",
    "If you arrive before me, order two coffees and keep the table by the window.",
    "The cat looked at the rain, looked at me, and went back to bed.",
    "We missed the last train, so we walked along the river and talked until sunrise.",
    "He promised to fix the roof in spring, but he did not say which spring.",
    "Would you rather be able to fly or to speak every language in the world?",
    "Please write to me as soon as you get there. I will be thinking of you.",
];

/// A round trip from the sentences' language through another one.
pub(super) struct RoundTrip {
    target: String,
}

impl RoundTrip {
    /// `None` if the sentences are not in the source language.
    pub(super) fn new(source: &str, target: &str) -> Option<Self> {
        (source == LANGUAGE).then(|| Self {
            target: target.to_owned(),
        })
    }

    /// Translates the sentences and back, and shows both.
    ///
    /// # Errors
    /// When standard error cannot be written to.
    pub(super) async fn show(&self, node: &Node) -> Result<()> {
        let target = &self.target;
        writeln!(io::stderr(), "\nround trips:")?;
        for (number, sentence) in SENTENCES.iter().enumerate() {
            let there = translate(node, number, sentence, (LANGUAGE, target)).await;
            let back = match &there {
                Ok(text) => translate(node, number, text, (target, LANGUAGE)).await,
                Err(_) => Ok(String::new()),
            };
            let (Ok(there) | Err(there), Ok(back) | Err(back)) = (there, back);
            writeln!(
                io::stderr(),
                "  {LANGUAGE}: {sentence}\n  {target}: {there}\n  {LANGUAGE}: {back}\n"
            )?;
        }
        Ok(())
    }
}

/// The translation, or the error as text.
async fn translate(
    node: &Node,
    number: usize,
    text: &str,
    (source, target): (&str, &str),
) -> Result<String, String> {
    let request = TranslationRequest {
        source_language: source.to_owned(),
        priority: Some(Priority::High),
        ..TranslationRequest::new(format!("there-and-back-{number}"), text, target)
    };
    let TranslationResult {
        translated_text,
        error,
        ..
    } = node.translate(request).await;
    match (translated_text, error) {
        (Some(text), _) => Ok(text),
        (None, Some(error)) => Err(format!("({}: {})", error.code.name(), error.message)),
        (None, None) => Err("(no answer)".to_owned()),
    }
}
