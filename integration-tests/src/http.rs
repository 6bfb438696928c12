//! A minimal HTTP client that can send malformed requests.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use crate::{LocalNode, Sandbox, Settings};

/// A node of the sandbox that serves HTTP, with these changes to its settings, and a client of it.
#[must_use]
pub fn start(
    sandbox: &Sandbox,
    change: impl FnOnce(Settings) -> Settings,
) -> (LocalNode, HttpClient) {
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let node = LocalNode::start(&change(settings));
    let http = node.http();
    (node, http)
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// A client of one node. Every request has a connection of its own.
#[derive(Debug, Clone, Copy)]
pub struct HttpClient(pub SocketAddr);

impl HttpClient {
    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.0).expect("the node listens");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("it is a socket");
        stream
    }

    /// Sends what is given, as it is, and reads until the node ends the connection.
    #[must_use]
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A node that refuses a request need not have read all of it.
        let _ = stream.write_all(request);
        read_answer(&mut stream)
    }

    /// Sends a request with headers (each with its line end) and a body.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.raw(&request(method, path, headers, body))
    }

    /// `GET`
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// `POST` of JSON.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = "Content-Type: application/json\r\n";
        self.send("POST", path, headers, &body.to_string())
    }

    /// A request with JSON, by another method.
    #[must_use]
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = "Content-Type: application/json\r\n";
        self.send(method, path, headers, &body.to_string())
    }

    /// `POST` of a form.
    #[must_use]
    pub fn form(&self, path: &str, body: &str) -> Answer {
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.send("POST", path, headers, body)
    }
}

/// The bytes of a request.
#[must_use]
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// Reads an answer until the connection ends.
#[must_use]
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A connection that is reset after the answer still brought it.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}
