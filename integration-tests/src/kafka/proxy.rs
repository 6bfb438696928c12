//! A network between a node and a broker that can be cut.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Forwards connections to one address. While it is cut nothing passes, in either direction, not even the end of a connection:
/// to both sides it looks as if the other one were silent. What was on its way arrives when it is healed, as TCP would send it again.
pub(super) struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Opens a port. Connections wait until it is known where they go.
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be opened");
        let address = listener.local_addr().expect("a listener has an address");
        let line = Arc::new(Line::default());
        let ours = Arc::clone(&line);
        let acceptor = thread::spawn(move || accept(&listener, &ours));
        Self {
            address,
            line,
            acceptor: Some(acceptor),
        }
    }

    /// Its own address.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go.
    pub(super) fn forward_to(&self, target: SocketAddr) {
        self.line.change(|state| state.target = Some(target));
    }

    /// Lets nothing pass.
    pub(super) fn cut(&self) {
        self.line.change(|state| state.cut = true);
    }

    /// Lets everything pass again.
    pub(super) fn heal(&self) {
        self.line.change(|state| state.cut = false);
    }

    /// Requests of one kind of Kafka's protocol that clients sent so far.
    pub(super) fn requests(&self, api_key: i16) -> u64 {
        let requests = self.line.requests.lock().expect("no holder panics");
        requests.get(&api_key).copied().unwrap_or(0)
    }

    /// Bytes that passed so far, in both directions.
    pub(super) fn forwarded(&self) -> u64 {
        self.line.forwarded.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.change(|state| state.closed = true);
        for socket in self.line.state().sockets.values() {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the acceptor, so that the port is free when this returns.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// What the proxy's threads share.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
    forwarded: AtomicU64,
    numbers: AtomicU64,
    /// By API key.
    requests: Mutex<HashMap<i16, u64>>,
}

#[derive(Default)]
struct State {
    target: Option<SocketAddr>,
    cut: bool,
    closed: bool,
    /// Both ends of every connection, so that threads that read from them can be ended.
    sockets: HashMap<u64, TcpStream>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until bytes may pass; where to. `None` when the proxy is closed.
    fn wait_until_open(&self) -> Option<SocketAddr> {
        let mut state = self.state();
        loop {
            match state.target {
                _ if state.closed => return None,
                Some(target) if !state.cut => return Some(target),
                _ => {
                    state = self
                        .changed
                        .wait(state)
                        .expect("no holder of this lock panics");
                }
            }
        }
    }

    /// Remembers a socket until the guard is dropped. `None` when the proxy is closed.
    fn keep(&self, socket: &TcpStream) -> Option<Kept<'_>> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let ours = socket.try_clone().ok()?;
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.sockets.insert(number, ours);
        Some(Kept { line: self, number })
    }
}

struct Kept<'a> {
    line: &'a Line,
    number: u64,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.line.state().sockets.remove(&self.number);
    }
}

fn accept(listener: &TcpListener, line: &Arc<Line>) {
    for client in listener.incoming() {
        // While the line is cut, further connections stay in the system's queue: nobody answers them.
        let Some(target) = line.wait_until_open() else {
            return;
        };
        if let Ok(client) = client {
            let line = Arc::clone(line);
            thread::spawn(move || serve(&client, target, &line));
        }
    }
}

fn serve(client: &TcpStream, target: SocketAddr, line: &Line) {
    // Where nobody listens the client sees its connection end.
    let Ok(broker) = TcpStream::connect(target) else {
        return;
    };
    for socket in [client, &broker] {
        // Only slower without.
        let _ = socket.set_nodelay(true);
    }
    let kept = line.keep(client).zip(line.keep(&broker));
    if kept.is_some() {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut requests = Requests::default();
                pump(client, &broker, line, |bytes| {
                    requests.take(bytes, |api_key| {
                        let mut counts = line.requests.lock().expect("no holder panics");
                        *counts.entry(api_key).or_default() += 1;
                    });
                });
            });
            pump(&broker, client, line, |_| {});
        });
    }
}

/// Finds the requests in what a client of Kafka sends.
#[derive(Default)]
struct Requests {
    /// The beginning of a request: its length and its API key.
    head: Vec<u8>,
    /// Bytes of the last request that are still to come.
    rest: usize,
}

impl Requests {
    fn take(&mut self, mut bytes: &[u8], mut found: impl FnMut(i16)) {
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            let wanted = (6 - self.head.len()).min(bytes.len() - skipped);
            let (head, after) = bytes[skipped..].split_at(wanted);
            self.head.extend_from_slice(head);
            bytes = after;
            let [a, b, c, d, high, low] = self.head[..] else {
                return;
            };
            found(i16::from_be_bytes([high, low]));
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            self.rest = length.saturating_sub(2);
            self.head.clear();
        }
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, line: &Line, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer);
        // What was read just before the cut is on its way, and waits like all that follows.
        if line.wait_until_open().is_none() {
            return;
        }
        let passed = match read {
            Ok(0) => {
                // The other side may already have gone.
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(count) => {
                // Counted first: whoever has read the bytes finds them counted.
                line.forwarded.fetch_add(count as u64, Ordering::Relaxed);
                see(&buffer[..count]);
                to.write_all(&buffer[..count])
            }
            Err(error) => Err(error),
        };
        if passed.is_err() {
            for socket in [from, to] {
                let _ = socket.shutdown(Shutdown::Both);
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{io::ErrorKind, time::Duration};

    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut client));
            }
        });
        address
    }

    fn say(mut client: &TcpStream, text: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        client.write_all(text).unwrap();
        hear(client, text.len())
    }

    fn hear(mut client: &TcpStream, count: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut heard = vec![0; count];
        client
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        client
            .read_exact(&mut heard)
            .map(|()| heard)
            .map_err(|e| e.kind())
    }

    #[test]
    fn requests_are_found_however_a_stream_is_cut_in_pieces() {
        let request = |key: i16, length: usize| {
            let mut bytes = u32::try_from(length + 2).unwrap().to_be_bytes().to_vec();
            bytes.extend(key.to_be_bytes());
            bytes.resize(bytes.len() + length, 7);
            bytes
        };
        let stream = [request(8, 10), request(28, 0), request(3, 100)].concat();
        for size in 1..=stream.len() {
            let (mut requests, mut keys) = (Requests::default(), Vec::new());
            for piece in stream.chunks(size) {
                requests.take(piece, |key| keys.push(key));
            }
            assert_eq!(keys, [8, 28, 3], "{size}");
        }
    }

    #[test]
    fn a_cut_is_silence_and_what_was_sent_meanwhile_arrives_after_it() {
        let proxy = Proxy::open();
        proxy.forward_to(echo());
        let old = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(say(&old, b"one"), Ok(b"one".to_vec()));
        proxy.cut();
        let passed = proxy.forwarded();
        assert_eq!(say(&old, b"two"), Err(ErrorKind::WouldBlock));
        let new = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(say(&new, b"three"), Err(ErrorKind::WouldBlock));
        assert_eq!(proxy.forwarded(), passed);
        proxy.heal();
        assert_eq!(hear(&old, 3), Ok(b"two".to_vec()));
        assert_eq!(hear(&new, 5), Ok(b"three".to_vec()));
        assert!(proxy.forwarded() > passed);
    }

    #[test]
    fn the_end_of_a_connection_does_not_pass_a_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::open();
        proxy.forward_to(listener.local_addr().unwrap());
        let client = TcpStream::connect(proxy.address()).unwrap();
        let (broker, _) = listener.accept().unwrap();
        proxy.cut();
        drop(broker);
        assert_eq!(hear(&client, 1), Err(ErrorKind::WouldBlock));
        proxy.heal();
        assert_eq!(hear(&client, 1), Err(ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_proxy_that_is_dropped_ends_its_connections_even_when_it_is_cut() {
        let proxy = Proxy::open();
        proxy.forward_to(echo());
        let client = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(say(&client, b"one"), Ok(b"one".to_vec()));
        let address = proxy.address();
        proxy.cut();
        drop(proxy);
        assert!(matches!(
            hear(&client, 1),
            Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        ));
        TcpStream::connect(address).unwrap_err();
    }
}
