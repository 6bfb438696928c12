//! Proofs that both ends have the cookie, over the messages that they exchanged.

use std::fmt;

use babelmesh_settings::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{HandshakeError, Hello, Identity};

/// A secret shared by both ends of a connection. Each message carries it, so that no member can impersonate another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionKey([u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Transcript of the handshake.
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    pub(super) fn new(dialer: &Hello, acceptor: &Hello, binding: &[u8]) -> Self {
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

    pub(super) fn code(&self, me: &Identity, role: &str) -> [u8; 32] {
        self.mac(me, role).finalize().into_bytes().into()
    }

    /// The nonces, and the TLS session where there is one, make it a secret of both ends.
    pub(super) fn session(&self, me: &Identity) -> SessionKey {
        SessionKey(self.code(me, "session"))
    }

    pub(super) fn check(
        &self,
        me: &Identity,
        role: &str,
        code: &[u8; 32],
    ) -> Result<(), HandshakeError> {
        let verified = self.mac(me, role).verify_slice(code);
        verified.map_err(|_| HandshakeError::Cookie)
    }
}

/// The secret that ractor_cluster asks for on connections that passed the handshake.
pub(crate) fn inner_cookie(cookie: &Secret) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(cookie.expose().as_bytes())
        .expect("an HMAC takes keys of every length");
    mac.update(b"babelmesh inner cookie");
    let code = mac.finalize().into_bytes();
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}
