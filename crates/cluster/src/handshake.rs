//! Mutual authentication of nodes on a new connection.
//!
//! ```text
//! dialer                                acceptor
//!   │ ── Hello: name, incarnation, nonce ──► │  protocol, name and certificate fit?
//!   │ ◄─ Hello: name, incarnation, nonce ─── │
//!   │ ── Proof: that it has the cookie ────► │
//!   │ ◄─ Welcome: that it has it too ─────── │
//!   │ ── Ready ────────────────────────────► │
//! ```
//!
//! Either side may send `Kind::Refused` with a reason, so that both logs state it. Every frame begins with a mark and
//! the version of the protocol, and a refusal reads the same in all versions. A proof is an HMAC with the cookie as its
//! key over both hellos and a value of the TLS session: it cannot be replayed, passed on, or, inside TLS, collected to
//! guess the cookie.
//!
//! Of two nodes the one whose name sorts first is the *caller*: it alone opens the connection that is kept. A node that dials a
//! caller merely introduces itself, and is called back. So two nodes never disagree on which connection to keep, and a
//! caller that dials again has lost the previous connection.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use babelmesh_settings::Secret;

/// Version of everything that nodes say to each other. It changes with any of it.
pub const PROTOCOL: u16 = 5;

/// Magic bytes of every frame.
const MARK: [u8; 4] = *b"bmsh";
/// Longest body of a frame, in bytes.
const MOST: usize = 1_024;
/// Longest name and address, in bytes.
const LONGEST_NAME: usize = 255;

/// Errors of a handshake.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The connection broke.
    #[error("the connection ended during the handshake: {0}")]
    Io(#[from] io::Error),
    /// Not a valid frame.
    #[error("the peer is not a babelmesh node: {0}")]
    Foreign(&'static str),
    /// The other side speaks another version.
    #[error(
        "cluster protocol mismatch: the peer speaks version {theirs}, this node version {ours}; run the same release on all nodes"
    )]
    Protocol {
        /// Its version.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// The other side does not have our cookie.
    #[error("cluster.cookie mismatch")]
    Cookie,
    /// Its name does not fit.
    #[error("{0}")]
    Unfit(String),
    /// The other side refused us.
    #[error("the peer refuses this node: {0}")]
    Refused(String),
    /// It took too long.
    #[error("handshake timeout")]
    Slow,
    /// The connection leads back to this node.
    #[error("this is the node itself")]
    Itself,
}

/// A number that is only incremented by its own node. It begins as the time of the start, so that it grows over
/// restarts.
#[derive(Debug, Clone)]
pub struct Incarnation(Arc<AtomicU64>);

impl Default for Incarnation {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(clock())))
    }
}

/// How far beyond a node's clock an incarnation may be, in microseconds: a year of 366 days. Clocks may be wrong, and incarnations are raised one by one;
/// a value above that is an error or an attack, and adopting it would exhaust the range.
const MOST_AHEAD: u64 = 366 * 24 * 3_600 * 1_000_000;

/// This node's clock as incarnations have it, in microseconds since 1970.
pub(super) fn clock() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX / 2)
}

/// Whether there can be a node of this incarnation when a clock is at `clock`.
#[must_use]
pub(super) const fn is_plausible(incarnation: u64, clock: u64) -> bool {
    incarnation <= clock.saturating_add(MOST_AHEAD)
}

impl Incarnation {
    /// The present one.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Refutes a death: continues above the incarnation that others declared dead.
    pub(super) fn raise_above(&self, dead_incarnation: u64) {
        self.0
            .fetch_max(dead_incarnation.saturating_add(1), Ordering::SeqCst);
    }
}

/// Identity of a node.
#[derive(Clone)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Where others reach it, host:port.
    pub address: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The shared secret.
    pub cookie: Secret,
    /// The version that it speaks.
    pub protocol: u16,
}

/// A secret shared by both ends of a connection. Each message carries it, so that no member can impersonate another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionKey([u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// The node at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Where it can be reached, host:port.
    pub address: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// Whether this connection is to be kept; if not, it was an introduction.
    pub kept: bool,
    /// Names the connection.
    pub session: SessionKey,
}

/// Verification of peers during the handshake.
pub trait PeerVerifier: Send + Sync {
    /// Verifies that the name matches the peer's certificate.
    ///
    /// # Errors
    /// Why not.
    fn fits(&self, name: &str) -> Result<(), String>;

    /// Which incarnation of a node counts as over here.
    ///
    /// # Errors
    /// Why a node of this name and incarnation is not let in.
    fn admit(&self, name: &str, incarnation: u64) -> Result<Option<u64>, String>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Refused = 0,
    Hello = 1,
    Proof = 2,
    Welcome = 3,
    Ready = 4,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
    address: String,
    incarnation: u64,
    nonce: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Proof {
    code: [u8; 32],
    /// The incarnation of the other side that counts as over.
    dead_incarnation: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    proof: Proof,
    incarnation: u64,
    kept: bool,
}

#[derive(Serialize, Deserialize)]
struct Ready {
    incarnation: u64,
}

/// Whether a node of this name is the one that calls the other.
#[must_use]
pub fn is_caller(name: &str, other: &str) -> bool {
    name < other
}

/// Authenticates the dialled peer. `binding` is the value of the TLS session, empty without TLS.
///
/// # Errors
/// Why there is no connection. The reason is sent to the peer if possible.
pub async fn dial<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    me: &Identity,
    verifier: &dyn PeerVerifier,
    binding: &[u8],
) -> Result<Peer, HandshakeError> {
    let done = dial_inner(stream, me, verifier, binding).await;
    send_refusal(stream, me, &done).await;
    done
}

/// Authenticates the dialling peer. `binding` is the value of the TLS session, empty without TLS.
///
/// # Errors
/// Why there is no connection. The reason is sent to the peer if possible.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    me: &Identity,
    verifier: &dyn PeerVerifier,
    binding: &[u8],
) -> Result<Peer, HandshakeError> {
    let done = accept_inner(stream, me, verifier, binding).await;
    send_refusal(stream, me, &done).await;
    done
}

async fn dial_inner<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    me: &Identity,
    verifier: &dyn PeerVerifier,
    binding: &[u8],
) -> Result<Peer, HandshakeError> {
    let mine = me.hello();
    write(stream, me.protocol, Kind::Hello, &mine).await?;
    let theirs: Hello = read(stream, me.protocol, Kind::Hello).await?;
    let dead_incarnation = me.judge(&theirs, verifier)?;
    let transcript = Transcript::new(&mine, &theirs, binding);
    let proof = Proof {
        code: transcript.code(me, "dialer"),
        dead_incarnation,
    };
    write(stream, me.protocol, Kind::Proof, &proof).await?;
    let welcome: Welcome = read(stream, me.protocol, Kind::Welcome).await?;
    transcript.check(me, "acceptor", &welcome.proof.code)?;
    me.refute(&theirs.name, welcome.proof.dead_incarnation)?;
    let ready = Ready {
        incarnation: me.incarnation.get(),
    };
    write(stream, me.protocol, Kind::Ready, &ready).await?;
    Ok(Peer {
        name: theirs.name,
        address: theirs.address,
        incarnation: welcome.incarnation,
        kept: welcome.kept,
        session: transcript.session(me),
    })
}

async fn accept_inner<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    me: &Identity,
    verifier: &dyn PeerVerifier,
    binding: &[u8],
) -> Result<Peer, HandshakeError> {
    let theirs: Hello = read(stream, me.protocol, Kind::Hello).await?;
    let judged = me.judge(&theirs, verifier);
    let mine = me.hello();
    if matches!(judged, Ok(_) | Err(HandshakeError::Itself)) {
        // A node that dials itself finds that out like this.
        write(stream, me.protocol, Kind::Hello, &mine).await?;
    }
    let dead_incarnation = judged?;
    let proof: Proof = read(stream, me.protocol, Kind::Proof).await?;
    let transcript = Transcript::new(&theirs, &mine, binding);
    transcript.check(me, "dialer", &proof.code)?;
    me.refute(&theirs.name, proof.dead_incarnation)?;
    let kept = is_caller(&theirs.name, &me.name);
    let welcome = Welcome {
        proof: Proof {
            code: transcript.code(me, "acceptor"),
            dead_incarnation,
        },
        incarnation: me.incarnation.get(),
        kept,
    };
    write(stream, me.protocol, Kind::Welcome, &welcome).await?;
    let ready: Ready = read(stream, me.protocol, Kind::Ready).await?;
    Ok(Peer {
        name: theirs.name,
        address: theirs.address,
        incarnation: ready.incarnation,
        kept,
        session: transcript.session(me),
    })
}

impl Identity {
    fn hello(&self) -> Hello {
        Hello {
            name: self.name.clone(),
            address: self.address.clone(),
            incarnation: self.incarnation.get(),
            nonce: rand::random(),
        }
    }

    /// Whether the other side may be what it says it is; and which of its incarnations counts as over.
    fn judge(
        &self,
        theirs: &Hello,
        verifier: &dyn PeerVerifier,
    ) -> Result<Option<u64>, HandshakeError> {
        let name = &theirs.name;
        if name.is_empty() || name.len() > LONGEST_NAME || theirs.address.len() > LONGEST_NAME {
            return Err(HandshakeError::Foreign("its name is empty or too long"));
        }
        if *name == self.name {
            return Err(if theirs.incarnation == self.incarnation.get() {
                HandshakeError::Itself
            } else {
                HandshakeError::Unfit(format!(
                    "two nodes are named {name}: set a unique node.name"
                ))
            });
        }
        if !is_plausible(theirs.incarnation, clock()) {
            let message = format!("the clock of {name} is more than a year ahead of this node's");
            return Err(HandshakeError::Unfit(message));
        }
        verifier.fits(name).map_err(HandshakeError::Unfit)?;
        verifier
            .admit(name, theirs.incarnation)
            .map_err(HandshakeError::Unfit)
    }

    /// Leaves an incarnation behind that counts as over to the other side, `name`.
    fn refute(&self, name: &str, dead_incarnation: Option<u64>) -> Result<(), HandshakeError> {
        match dead_incarnation {
            Some(dead_incarnation) if !is_plausible(dead_incarnation, clock()) => {
                Err(HandshakeError::Unfit(format!(
                    "{name} takes an incarnation of this node for over that is more than a year ahead of this node's clock"
                )))
            }
            Some(dead_incarnation) => {
                self.incarnation.raise_above(dead_incarnation);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Transcript of the handshake.
struct Transcript(Vec<u8>);

impl Transcript {
    fn new(dialer: &Hello, acceptor: &Hello, binding: &[u8]) -> Self {
        let mut said = binding.to_vec();
        for hello in [dialer, acceptor] {
            for field in [hello.name.as_bytes(), hello.address.as_bytes()] {
                said.extend_from_slice(&(field.len() as u64).to_be_bytes());
                said.extend_from_slice(field);
            }
            said.extend_from_slice(&hello.incarnation.to_be_bytes());
            said.extend_from_slice(&hello.nonce);
        }
        Self(said)
    }

    fn mac(&self, me: &Identity, role: &str) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(me.cookie.expose().as_bytes())
            .expect("an HMAC takes keys of every length");
        mac.update(b"babelmesh cluster ");
        mac.update(role.as_bytes());
        mac.update(&self.0);
        mac
    }

    fn code(&self, me: &Identity, role: &str) -> [u8; 32] {
        self.mac(me, role).finalize().into_bytes().into()
    }

    /// The nonces, and the TLS session where there is one, make it a secret of both ends.
    fn session(&self, me: &Identity) -> SessionKey {
        SessionKey(self.code(me, "session"))
    }

    fn check(&self, me: &Identity, role: &str, code: &[u8; 32]) -> Result<(), HandshakeError> {
        let verified = self.mac(me, role).verify_slice(code);
        verified.map_err(|_| HandshakeError::Cookie)
    }
}

/// The secret that ractor_cluster asks for on connections that passed the handshake.
pub(super) fn inner_cookie(cookie: &Secret) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(cookie.expose().as_bytes())
        .expect("an HMAC takes keys of every length");
    mac.update(b"babelmesh inner cookie");
    let code = mac.finalize().into_bytes();
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends the reason of a rejection to the peer.
async fn send_refusal<S: AsyncWrite + Unpin>(
    stream: &mut S,
    me: &Identity,
    done: &Result<Peer, HandshakeError>,
) {
    let reason = match done {
        Ok(_)
        | Err(
            HandshakeError::Io(_)
            | HandshakeError::Refused(_)
            | HandshakeError::Slow
            | HandshakeError::Itself,
        ) => return,
        Err(error) => error.to_string(),
    };
    // A peer with another protocol cannot understand the answer, and may have disconnected.
    let mut text = reason.into_bytes();
    text.truncate(MOST);
    let _ = write_frame(stream, me.protocol, Kind::Refused, &text).await;
    let _ = stream.shutdown().await;
}

async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    protocol: u16,
    kind: Kind,
    body: &impl Serialize,
) -> Result<(), HandshakeError> {
    let body = postcard::to_stdvec(body).expect("what is said in a handshake can be written");
    write_frame(stream, protocol, kind, &body).await
}

async fn write_frame<S: AsyncWrite + Unpin>(
    stream: &mut S,
    protocol: u16,
    kind: Kind,
    body: &[u8],
) -> Result<(), HandshakeError> {
    let length = u16::try_from(body.len()).expect("bodies are short");
    let mut frame = Vec::with_capacity(9 + body.len());
    frame.extend_from_slice(&MARK);
    frame.extend_from_slice(&protocol.to_be_bytes());
    frame.push(kind as u8);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

async fn read<T: DeserializeOwned, S: AsyncRead + Unpin>(
    stream: &mut S,
    ours: u16,
    expected: Kind,
) -> Result<T, HandshakeError> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [m0, m1, m2, m3, v0, v1, kind, l0, l1] = head;
    if [m0, m1, m2, m3] != MARK {
        return Err(HandshakeError::Foreign("bad magic bytes"));
    }
    let theirs = u16::from_be_bytes([v0, v1]);
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length > MOST {
        return Err(HandshakeError::Foreign("frame too long"));
    }
    let refused = kind == Kind::Refused as u8;
    if theirs != ours && !refused {
        return Err(HandshakeError::Protocol { theirs, ours });
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if refused {
        let reason: String = String::from_utf8_lossy(&body)
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        return Err(HandshakeError::Refused(reason));
    }
    if kind != expected as u8 {
        return Err(HandshakeError::Foreign("unexpected frame"));
    }
    postcard::from_bytes(&body).map_err(|_| HandshakeError::Foreign("malformed frame"))
}

#[cfg(test)]
mod tests;
