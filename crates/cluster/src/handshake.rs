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

mod frame;
mod incarnation;
mod transcript;

use std::io;

use babelmesh_settings::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use self::{
    frame::{Kind, MOST, read, write, write_frame},
    transcript::Transcript,
};
pub use self::{incarnation::Incarnation, transcript::SessionKey};
pub(super) use self::{
    incarnation::{clock, is_plausible},
    transcript::inner_cookie,
};

/// Version of everything that nodes say to each other. It changes with any of it.
pub const PROTOCOL: u16 = 7;

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

    /// Admits a node, and returns its incarnation that this node has declared dead, if any.
    ///
    /// # Errors
    /// Why this name and incarnation are rejected.
    fn admit(&self, name: &str, incarnation: u64) -> Result<Option<u64>, String>;
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
    /// The incarnation of the peer that the sender has declared dead, if any.
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

    /// Validates the peer's hello. Returns the incarnation of the peer that this node has declared dead, if any.
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

    /// Raises this node's incarnation above one that `name` has declared dead.
    fn refute(&self, name: &str, dead_incarnation: Option<u64>) -> Result<(), HandshakeError> {
        match dead_incarnation {
            Some(dead_incarnation) if !is_plausible(dead_incarnation, clock()) => {
                Err(HandshakeError::Unfit(format!(
                    "{name} has declared an incarnation of this node dead that is more than a year ahead of this node's clock"
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

#[cfg(test)]
mod tests;
