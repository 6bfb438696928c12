//! A stand-in for servers of models, with their faults.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Path of the list of models.
pub const RECORDS: &str = "/v1/buckets/main/collections/translations-models-v2/records";

/// What a request gets in place of its answer.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// A status code.
    Status(u16),
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// Nothing at all.
    Hang,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its path, with the query.
    pub path: String,
    /// The header `Range`.
    pub range: Option<String>,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    faults: HashMap<String, VecDeque<Fault>>,
    asked: Vec<Asked>,
    records: Vec<Value>,
    /// Where the next page of a list is, by the path of one.
    next_pages: HashMap<String, String>,
}

/// The server. It ends with the test's process.
#[derive(Clone)]
pub struct ModelServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Default for ModelServer {
    fn default() -> Self {
        Self::start()
    }
}

impl ModelServer {
    /// Starts one without files.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::default();
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

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a file.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.state().files.insert(path.to_owned(), bytes.into());
    }

    /// The next request for a path goes wrong.
    pub fn fail(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state();
        state
            .faults
            .entry(path.to_owned())
            .or_default()
            .extend(faults);
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Adds a model of three files to the registry and returns the paths of its downloads: weights, vocabulary, shortlist.
    pub fn add_model(&self, source: &str, target: &str, version: &str, size: &str) -> [String; 3] {
        ["model", "vocab", "lex"].map(|kind| {
            let text = format!("{kind} {source} {target} {version} {size} ").repeat(2_000);
            // Enough that a download of it can be cut.
            let noise = noise(40_000);
            let bytes: Vec<u8> = [text.into_bytes(), noise].concat();
            let pair = format!("{source}{target}");
            let name = match kind {
                "model" => format!("model.{pair}.intgemm.alphas.bin"),
                "lex" => format!("lex.50.50.{pair}.s2t.bin"),
                _ => format!("vocab.{pair}.spm"),
            };
            self.add_file((kind, source, target, version, size), &name, &bytes)
        })
    }

    /// Adds one file, packed, to the registry: kind, languages, version and size.
    pub fn add_file(
        &self,
        what: (&str, &str, &str, &str, &str),
        name: &str,
        bytes: &[u8],
    ) -> String {
        let (kind, source, target, version, size) = what;
        let packed = compress_to_vec(bytes, CompressionLevel::Fastest);
        let location = format!("w/models/{source}-{target}-{version}-{size}-{kind}.zst");
        self.add_record(json!({
            "name": name, "fileType": kind, "sourceLanguage": source, "targetLanguage": target, "version": version,
            "architecture": size, "decompressedHash": sha256(bytes), "decompressedSize": bytes.len(), "filter_expression": "",
            "attachment": {"location": location, "hash": sha256(&packed), "size": packed.len(), "filename": name,
                           "mimetype": "application/zstd"},
        }));
        let path = format!("/files/{location}");
        self.put(&path, packed);
        path
    }

    /// Adds a record; the list and the description of the server follow.
    pub fn add_record(&self, record: Value) {
        let mut state = self.state();
        state.records.push(record);
        let list = json!({"data": state.records}).to_string();
        state.files.insert(RECORDS.to_owned(), list.into());
        let files = format!("{}/files/", self.url());
        let server = json!({"capabilities": {"attachments": {"base_url": files}}}).to_string();
        state.files.insert("/v1/".to_owned(), server.into());
    }

    /// Gives out the list of models in pages of so many records.
    pub fn divide_list(&self, records: usize) {
        let mut state = self.state();
        let pages: Vec<_> = state
            .records
            .chunks(records)
            .map(<[Value]>::to_vec)
            .collect();
        let path = |number| match number {
            0 => RECORDS.to_owned(),
            _ => format!("{RECORDS}?_token={number}"),
        };
        for (number, page) in pages.iter().enumerate() {
            let list = json!({ "data": page }).to_string();
            state.files.insert(path(number), list.into());
            if number + 1 < pages.len() {
                let next = format!("{}{}", self.url(), path(number + 1));
                state.next_pages.insert(path(number), next);
            }
        }
    }

    /// Has a list go on at an address.
    pub fn set_next_page(&self, path: &str, next: &str) {
        self.state()
            .next_pages
            .insert(path.to_owned(), next.to_owned());
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut input = BufReader::new(stream);
        let mut output = stream;
        loop {
            let Some(asked) = read_request(&mut input)? else {
                return Ok(());
            };
            let (file, fault, next) = {
                let mut state = self.state();
                state.asked.push(asked.clone());
                let fault = state
                    .faults
                    .get_mut(&asked.path)
                    .and_then(VecDeque::pop_front);
                let next = state.next_pages.get(&asked.path);
                let next = next.map(|next| format!("Next-Page: {next}\r\n"));
                (
                    state.files.get(&asked.path).cloned(),
                    fault,
                    next.unwrap_or_default(),
                )
            };
            match fault {
                Some(Fault::Hang) => thread::sleep(Duration::from_secs(600)),
                Some(Fault::Status(code)) => answer(&mut output, code, "", b"")?,
                None if file.is_none() => answer(&mut output, 404, "", b"")?,
                _ => {}
            }
            let Some(file) = file.filter(|_| !matches!(fault, Some(Fault::Status(_)))) else {
                continue;
            };
            let from = asked.range.as_deref().and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            });
            match (from, fault) {
                (None, None) => answer(&mut output, 200, &next, &file)?,
                (Some(from), None) if from >= file.len() => answer(&mut output, 416, "", b"")?,
                (Some(from), None) => {
                    let range = format!(
                        "Content-Range: bytes {from}-{}/{}\r\n",
                        file.len() - 1,
                        file.len()
                    );
                    answer(&mut output, 206, &range, &file[from..])?;
                }
                (_, fault) => {
                    let Some(Fault::Cut(bytes)) = fault else {
                        continue;
                    };
                    write!(
                        output,
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                        file.len()
                    )?;
                    output.write_all(&file[..bytes.min(file.len())])?;
                    return stream.shutdown(Shutdown::Both);
                }
            }
        }
    }
}

fn answer(output: &mut impl Write, code: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        output,
        "HTTP/1.1 {code} X\r\nContent-Length: {length}\r\n{headers}\r\n"
    )?;
    output.write_all(body)?;
    output.flush()
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that cannot be packed.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Reads the head of a request; `None` at the end of the connection.
fn read_request(input: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut asked = Asked {
        path: line.split(' ').nth(1).unwrap_or_default().to_owned(),
        range: None,
        authorization: None,
    };
    loop {
        line.clear();
        input.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                asked.range = Some(value.to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                asked.authorization = Some(value.to_owned());
            }
            Some(_) => {}
            None => return Ok(Some(asked)),
        }
    }
}
