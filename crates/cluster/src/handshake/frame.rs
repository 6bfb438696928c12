//! Frames of a handshake: a mark, the version of the protocol, the kind, the length of the body, and the body.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::HandshakeError;

/// Magic bytes of every frame.
pub(super) const MARK: [u8; 4] = *b"bmsh";
/// Longest body of a frame, in bytes.
pub(super) const MOST: usize = 1_024;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Refused = 0,
    Hello = 1,
    Proof = 2,
    Welcome = 3,
    Ready = 4,
}

pub(super) async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    protocol: u16,
    kind: Kind,
    body: &impl Serialize,
) -> Result<(), HandshakeError> {
    let body = postcard::to_stdvec(body).expect("handshake messages are serialisable");
    write_frame(stream, protocol, kind, &body).await
}

pub(super) async fn write_frame<S: AsyncWrite + Unpin>(
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

pub(super) async fn read<T: DeserializeOwned, S: AsyncRead + Unpin>(
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
