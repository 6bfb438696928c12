//! The engine implementation.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use babelmesh_engine_protocol::{
    Completeness, Device, Failure, FailureKind, LoadReport, LoadRequest, Precision, Segment,
    Translation, serve::Engine,
};
use babelmesh_models::forms::openai::OpenaiFile;

use crate::{
    answer::{self, Target},
    batch::{self, Bounds, GaveUp, Stop},
    client::{CallError, Client, Listing},
    prompt,
    retry::Backoff,
    say,
    wire::{ChatRequest, Completion, Finish, Message},
};

/// Confidence of a translation whose probability the server does not tell: neither good nor bad.
const UNKNOWN_SCORE: f32 = -std::f32::consts::LN_2;
/// Estimated bytes of a token.
const BYTES_PER_TOKEN: usize = 4;
/// Most translations that are kept of batches that failed.
const MAX_KEPT: usize = 1_024;

/// A model behind an endpoint.
pub(crate) struct Openai {
    file: OpenaiFile,
    client: Client,
    max_input: u32,
    max_output: u32,
    /// Translations of batches that failed as a whole. The node tries their segments again, and what was answered is not asked for twice.
    kept: HashMap<Key, Translation>,
}

/// A text and its languages.
type Key = (String, String, String);

fn key(segment: &Segment) -> Key {
    let Segment {
        text,
        source,
        target,
        ..
    } = segment;
    (text.clone(), source.clone(), target.clone())
}

impl Engine for Openai {
    const NAME: &'static str = "openai";

    fn load(request: &LoadRequest) -> Result<(Self, LoadReport), Failure> {
        warn(request);
        let file = OpenaiFile::read(Path::new(&request.directory))
            .map_err(|error| failure(FailureKind::Unloadable, error))?;
        let client = Client::new(&file.endpoint)
            .map_err(|reason| failure(FailureKind::Unloadable, reason))?;
        let engine = Self {
            file,
            client,
            max_input: request.max_input_tokens,
            max_output: request.max_output_tokens,
            kept: HashMap::new(),
        };
        engine.check()?;
        let report = LoadReport {
            numeric: "remote".to_owned(),
            ..LoadReport::default()
        };
        Ok((engine, report))
    }

    fn translate(&mut self, segments: &[Segment]) -> Result<Vec<Translation>, Failure> {
        for segment in segments {
            self.check_languages(segment)?;
        }
        let mut translations: Vec<_> = segments.iter().map(|s| self.known(s)).collect();
        let unknown = translations.iter().enumerate();
        let unknown: Vec<usize> = unknown
            .filter(|(_, known)| known.is_none())
            .map(|(number, _)| number)
            .collect();
        let results = batch::run(unknown.len(), &self.bounds(), |number, timeout| {
            self.ask(&segments[unknown[number]], timeout)
        });
        let mut problems = Problems::default();
        for (number, result) in unknown.into_iter().zip(results) {
            match result {
                Some(Ok(Ok(translation))) => {
                    problems.done += 1;
                    translations[number] = Some(translation);
                }
                Some(Ok(Err(rejection))) => problems.reject(number, &rejection),
                Some(Err(gave_up)) => problems.give_up(number, gave_up),
                None => problems.skipped += 1,
            }
        }
        match problems.failure(&self.file.endpoint.url) {
            Some(failure) => {
                self.keep(segments, translations);
                Err(failure)
            }
            None => {
                if !self.kept.is_empty() {
                    for segment in segments {
                        self.kept.remove(&key(segment));
                    }
                }
                Ok(translations.into_iter().flatten().collect())
            }
        }
    }
}

impl Openai {
    fn bounds(&self) -> Bounds {
        let endpoint = &self.file.endpoint;
        Bounds {
            concurrency: endpoint.concurrency.into(),
            deadline: Instant::now() + endpoint.batch_timeout(),
            request_timeout: endpoint.request_timeout(),
            backoff: Backoff {
                initial: Duration::from_millis(endpoint.initial_backoff_ms),
                max: Duration::from_millis(endpoint.max_backoff_ms),
                retries: endpoint.retries,
            },
        }
    }

    /// Makes sure that the server has the model.
    fn check(&self) -> Result<(), Failure> {
        let (bounds, stop) = (self.bounds(), Stop::default());
        let endpoint = &self.file.endpoint;
        let listing = batch::persist(&bounds, &stop, |timeout| {
            self.client.listing(&endpoint.model, timeout)
        });
        match listing.map_err(|gave_up| self.load_failure(gave_up))? {
            Listing::Listed => Ok(()),
            Listing::Others(others) => Err(failure(
                FailureKind::Unloadable,
                format!(
                    "{} does not serve model {}; available: {}",
                    endpoint.url,
                    endpoint.model,
                    others.join(", ")
                ),
            )),
            Listing::None => {
                let request = self.request("1", 1);
                let answer = batch::persist(&bounds, &stop, |timeout| {
                    self.client.complete(&request, timeout)
                });
                answer
                    .map(drop)
                    .map_err(|gave_up| self.load_failure(gave_up))
            }
        }
    }

    fn load_failure(&self, gave_up: GaveUp) -> Failure {
        let url = &self.file.endpoint.url;
        match gave_up {
            GaveUp::Late => failure(FailureKind::Load, format!("{url}: no answer in time")),
            GaveUp::Failed(error @ CallError::Transient { .. }) => {
                failure(FailureKind::Load, format!("{url}: {error}"))
            }
            GaveUp::Failed(error) => failure(FailureKind::Unloadable, format!("{url}: {error}")),
        }
    }

    fn check_languages(&self, segment: &Segment) -> Result<(), Failure> {
        let (Segment { source, target, .. }, file) = (segment, &self.file);
        if file.source_languages.contains(source) && file.target_languages.contains(target) {
            return Ok(());
        }
        let message = format!(
            "model {} does not translate from {source} to {target}",
            file.model
        );
        Err(failure(FailureKind::Unsupported, message))
    }

    /// The translation of a segment for which the server need not be asked.
    fn known(&self, segment: &Segment) -> Option<Translation> {
        let tokens = u32::try_from(segment.text.len().div_ceil(BYTES_PER_TOKEN));
        let tokens = tokens.unwrap_or(u32::MAX);
        let limit = self.max_input;
        let nothing = |completeness| Translation {
            text: String::new(),
            score: 0.0,
            input_tokens: tokens,
            output_tokens: 0,
            completeness,
            alignment: None,
            alternatives: Vec::new(),
        };
        if tokens > limit {
            return Some(nothing(Completeness::TooLong { limit }));
        }
        match segment.text.trim().is_empty() {
            true => Some(nothing(Completeness::Whole)),
            false => self.kept.get(&key(segment)).cloned(),
        }
    }

    /// Keeps what was translated of a batch that failed.
    fn keep(&mut self, segments: &[Segment], translations: Vec<Option<Translation>>) {
        if self.kept.len() + segments.len() > MAX_KEPT {
            self.kept.clear();
        }
        let made = segments.iter().zip(translations).take(MAX_KEPT);
        let made = made.filter_map(|(segment, made)| Some((key(segment), made?)));
        self.kept.extend(made);
    }

    fn request<'r>(&'r self, prompt: &'r str, max_tokens: u32) -> ChatRequest<'r> {
        let endpoint = &self.file.endpoint;
        ChatRequest {
            model: &endpoint.model,
            messages: vec![Message {
                role: "user",
                content: prompt,
            }],
            temperature: endpoint.temperature,
            max_tokens,
            stream: false,
            logprobs: endpoint.logprobs,
        }
    }

    /// One attempt to translate a segment.
    fn ask(
        &self,
        segment: &Segment,
        timeout: Duration,
    ) -> Result<Result<Translation, String>, CallError> {
        let endpoint = &self.file.endpoint;
        let fill = |template: &str| prompt::fill(template, segment, &endpoint.language_names);
        let (prompt, system) = (fill(&endpoint.prompt), endpoint.system.as_deref().map(fill));
        let mut request = self.request(&prompt, self.max_output);
        if let Some(system) = &system {
            let message = Message {
                role: "system",
                content: system,
            };
            request.messages.insert(0, message);
        }
        let completion = self.client.complete(&request, timeout)?;
        Ok(self.translation(segment, &completion))
    }

    /// What an answer is worth. The error is a sentence, without any text.
    fn translation(
        &self,
        segment: &Segment,
        completion: &Completion,
    ) -> Result<Translation, String> {
        let estimate = |text: &str| text.len().div_ceil(BYTES_PER_TOKEN) as u32;
        let answered = &completion.text;
        let made = |text: String, completeness| Translation {
            text,
            score: completion.score.unwrap_or(UNKNOWN_SCORE),
            input_tokens: completion
                .input_tokens
                .unwrap_or_else(|| estimate(&segment.text)),
            output_tokens: completion
                .output_tokens
                .unwrap_or_else(|| estimate(answered)),
            completeness,
            alignment: None,
            alternatives: Vec::new(),
        };
        match completion.finish {
            Finish::Length => return Ok(made(String::new(), Completeness::Unfinished)),
            Finish::Refused => return Err(answer::Rejection::Refusal.to_string()),
            Finish::Other => return Err("the model's answer has an unknown end".to_owned()),
            Finish::Stop => {}
        }
        let name = prompt::name(&segment.target, &self.file.endpoint.language_names);
        let target = Target {
            tag: &segment.target,
            name: &name,
        };
        let whole = answer::translation(&segment.text, answered, target);
        let whole = whole.map_err(|rejection| rejection.to_string())?;
        Ok(made(whole, Completeness::Whole))
    }
}

/// What went wrong with a batch.
#[derive(Default)]
struct Problems {
    /// Segments that the server translated.
    done: usize,
    /// Segments that were not begun.
    skipped: usize,
    /// The first segment that cannot be translated, and why.
    rejected: Option<String>,
    /// Whether there was no time left.
    late: bool,
    /// Why the server cannot be asked.
    unavailable: Option<String>,
}

impl Problems {
    fn reject(&mut self, number: usize, reason: &str) {
        let reason = || format!("segment {number}: {reason}");
        self.rejected.get_or_insert_with(reason);
    }

    fn give_up(&mut self, number: usize, gave_up: GaveUp) {
        match gave_up {
            GaveUp::Late => self.late = true,
            GaveUp::Failed(CallError::Rejected(reason)) => self.reject(number, &reason),
            GaveUp::Failed(error) => {
                self.unavailable.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// The failure of the batch, if it failed. A batch that was too slow, but of which something was done, goes on with its next attempt.
    fn failure(self, url: &str) -> Option<Failure> {
        if let Some(reason) = self.unavailable {
            let message = format!("{url}: {reason}");
            return Some(failure(FailureKind::Unavailable, message));
        }
        if self.late || self.skipped > 0 {
            let kind = match self.done {
                0 => FailureKind::Unavailable,
                _ => FailureKind::Inference,
            };
            let message = format!("{url}: only {} segments were translated in time", self.done);
            return Some(failure(kind, message));
        }
        let reason = self.rejected?;
        Some(failure(FailureKind::Inference, reason))
    }
}

/// Warns about settings that this engine ignores.
fn warn(request: &LoadRequest) {
    if request.device != Device::Cpu {
        say("warning: the openai engine asks a server; engine.device is ignored");
    }
    if request.precision != Precision::Auto {
        say("warning: the openai engine asks a server; engine.precision is ignored");
    }
    if request.beam_size > 1 {
        say("warning: the openai engine has no beam search; engine.beam_size is ignored");
    }
}

/// A failure is one line.
fn failure(kind: FailureKind, message: impl ToString) -> Failure {
    let message = message.to_string();
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    Failure { kind, message }
}
