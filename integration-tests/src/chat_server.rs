//! A stand-in for OpenAI-compatible servers, with their faults.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::{Value, json};

/// Path of the list of models.
pub const MODELS: &str = "/v1/models";
/// Path of completions.
pub const COMPLETIONS: &str = "/v1/chat/completions";

/// What a request for a completion gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This text, and the reason why it ends.
    Text(String, &'static str),
    /// A status code, and headers, each with its line end.
    Status(u16, String),
    /// A success with this body.
    Body(String),
    /// The connection is cut in the middle of the body.
    Cut,
    /// A body of so many mebibytes.
    Huge(usize),
    /// Nothing at all.
    Hang,
}

impl Reply {
    /// This text, as a whole.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned(), "stop")
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// Its body.
    pub body: Value,
}

impl Asked {
    /// The last message of its conversation.
    #[must_use]
    pub fn prompt(&self) -> &str {
        let messages = self.body["messages"].as_array();
        let last = messages.and_then(|messages| messages.last());
        last.and_then(|message| message["content"].as_str())
            .unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    models: Option<Vec<String>>,
    list_status: Option<u16>,
    /// What completions whose prompt contains a text get next.
    replies: Vec<(String, VecDeque<Reply>)>,
    is_down: bool,
    asked: Vec<Asked>,
    at_once: usize,
    most_at_once: usize,
}

/// The server. It translates a prompt that ends with `: TEXT` to `Voici TEXT`. It ends with the test's process.
#[derive(Clone)]
pub struct ChatServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl ChatServer {
    /// Starts one that lists these models, or has no list.
    #[must_use]
    pub fn start(models: Option<&[&str]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = State {
            models: models.map(|models| models.iter().map(ToString::to_string).collect()),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let server = Self { address, state };
        let this = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let this = this.clone();
                // A client that goes away is of no interest.
                thread::spawn(move || this.serve(&stream).ok());
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Address of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next completions whose prompt contains a text get these.
    pub fn reply(&self, part: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.state().replies.push((part.to_owned(), replies));
    }

    /// The list of models gets this status.
    pub fn refuse_list(&self, status: u16) {
        self.state().list_status = Some(status);
    }

    /// While it is down, all that it answers is 503.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Prompts so far that contain a text.
    #[must_use]
    pub fn prompts_with(&self, part: &str) -> usize {
        let asked = self.state().asked.clone();
        asked
            .iter()
            .filter(|asked| asked.prompt().contains(part))
            .count()
    }

    /// Most completions at once so far.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut input = BufReader::new(stream);
        let mut output = stream;
        while let Some(asked) = read_request(&mut input)? {
            let is_completion = asked.path == COMPLETIONS;
            let reply = {
                let mut state = self.state();
                state.asked.push(asked.clone());
                if is_completion {
                    state.at_once += 1;
                    state.most_at_once = state.most_at_once.max(state.at_once);
                }
                state.next(&asked)
            };
            let is_open = answer(&mut output, &mut input, &asked, reply);
            if is_completion {
                self.state().at_once -= 1;
            }
            if !is_open? {
                return stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }
}

impl State {
    fn next(&mut self, asked: &Asked) -> Reply {
        let status = |code| Reply::Status(code, String::new());
        if self.is_down {
            return status(503);
        }
        match asked.path.as_str() {
            MODELS => match (self.list_status, &self.models) {
                (Some(code), _) => status(code),
                (None, None) => status(404),
                (None, Some(models)) => {
                    let models: Vec<_> = models.iter().map(|id| json!({"id": id})).collect();
                    Reply::Body(json!({"object": "list", "data": models}).to_string())
                }
            },
            COMPLETIONS => {
                let prompt = asked.prompt();
                let mut planned = self.replies.iter_mut();
                let planned = planned.find_map(|(part, replies)| {
                    let next = prompt.contains(&*part).then(|| replies.pop_front());
                    next.flatten()
                });
                planned.unwrap_or_else(|| {
                    let text = prompt.rsplit_once(": ").map_or(prompt, |(_, text)| text);
                    Reply::text(&format!("Voici {text}"))
                })
            }
            _ => status(404),
        }
    }
}

/// Answers a request. Returns whether the connection goes on.
fn answer(
    output: &mut impl Write,
    input: &mut impl Read,
    asked: &Asked,
    reply: Reply,
) -> std::io::Result<bool> {
    match reply {
        Reply::Text(text, finish) => {
            let body = completion(asked, &text, finish);
            respond(output, 200, "", body.as_bytes())?;
        }
        Reply::Body(body) => respond(output, 200, "", body.as_bytes())?,
        Reply::Status(code, headers) => {
            let body = json!({"error": {"message": format!("no: {asked:?}"), "code": "some_code"}});
            respond(output, code, &headers, body.to_string().as_bytes())?;
        }
        Reply::Cut => {
            let body = completion(asked, "Voici", "stop");
            let length = body.len();
            write!(
                output,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
                &body[..length / 2]
            )?;
            return Ok(false);
        }
        Reply::Huge(mebibytes) => {
            let length = mebibytes << 20;
            write!(
                output,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            )?;
            for _ in 0..mebibytes {
                output.write_all(&vec![b' '; 1 << 20])?;
            }
        }
        Reply::Hang => {
            // Until the client goes away.
            let _ = input.read(&mut [0]);
            return Ok(false);
        }
    }
    output.flush().map(|()| true)
}

fn completion(asked: &Asked, text: &str, finish: &str) -> String {
    let words = text.split_whitespace().count();
    let logprobs = (asked.body["logprobs"] == true).then(|| {
        let tokens: Vec<_> = (0..words).map(|_| json!({"logprob": -0.25})).collect();
        json!({ "content": tokens })
    });
    json!({
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish, "logprobs": logprobs}],
        "usage": {"prompt_tokens": asked.prompt().len(), "completion_tokens": words},
    })
    .to_string()
}

fn respond(output: &mut impl Write, code: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        output,
        "HTTP/1.1 {code} Status\r\nContent-Length: {length}\r\n{headers}\r\n"
    )?;
    output.write_all(body)
}

fn read_request(input: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        line.clear();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some(Asked {
        path,
        authorization,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }))
}
