//! Length-prefixed frames.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Largest frame either side accepts, in bytes. A batch is bounded by its tokens, so a longer
/// frame means that the stream is out of step.
pub const MAX_FRAME_BYTES: usize = 64 << 20;

/// Errors of frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The pipe failed or was closed inside a frame.
    #[error("reading or writing a frame: {0}")]
    Io(#[from] io::Error),
    /// The length says more than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is longer than the limit of {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// The bytes are not a message of the expected type.
    #[error("decoding a frame: {0}")]
    Decode(#[source] postcard::Error),
    /// The message could not be encoded.
    #[error("encoding a frame: {0}")]
    Encode(#[source] postcard::Error),
}

/// Encodes a message as one frame, its length included.
///
/// # Errors
/// [`FrameError::Encode`] and [`FrameError::TooLong`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(FrameError::Encode)?;
    let body = frame.len() - 4;
    let length = body_length(body)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Decodes the body of a frame, its length excluded.
///
/// # Errors
/// [`FrameError::Decode`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    postcard::from_bytes(body).map_err(FrameError::Decode)
}

/// Reads the length at the head of a frame.
///
/// # Errors
/// [`FrameError::TooLong`] above [`MAX_FRAME_BYTES`].
pub fn length(head: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(head) as usize;
    body_length(length).map(|_| length)
}

fn body_length(bytes: usize) -> Result<u32, FrameError> {
    match u32::try_from(bytes) {
        Ok(length) if bytes <= MAX_FRAME_BYTES => Ok(length),
        _ => Err(FrameError::TooLong(bytes)),
    }
}

/// Writes one message and flushes.
///
/// # Errors
/// Those of [`encode`], and [`FrameError::Io`].
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), FrameError> {
    to.write_all(&encode(message)?)?;
    to.flush()?;
    Ok(())
}

/// Reads one message; `None` when the stream ended between two frames.
///
/// # Errors
/// Any [`FrameError`] but [`FrameError::Encode`].
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut head = [0; 4];
    let mut filled = 0;
    while filled < head.len() {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Alignment, Capabilities, Completeness, Coverage, FromEngine, Link, LoadReport, Segment,
        Span, ToEngine, TranslateReport, TranslateRequest, Translation,
    };

    proptest! {
        #[test]
        fn written_values_are_read_back(texts in prop::collection::vec(".*", 0..20), id: u64) {
            let segment = |(index, text)| Segment {
                text,
                source: "en".into(),
                target: "fr".into(),
                align: index % 2 == 1,
                alternatives: (index % 4) as u8,
            };
            let segments = texts.into_iter().enumerate().map(segment).collect();
            let message = ToEngine::Translate(TranslateRequest { id, segments });
            let mut pipe = Vec::new();
            write(&mut pipe, &message).unwrap();
            write(&mut pipe, &message).unwrap();
            let mut reader = pipe.as_slice();
            prop_assert_eq!(read(&mut reader).unwrap(), Some(message.clone()));
            prop_assert_eq!(read(&mut reader).unwrap(), Some(message));
            prop_assert_eq!(read::<ToEngine>(&mut reader).unwrap(), None);
        }

        #[test]
        fn what_an_engine_writes_is_read(
            (id, elapsed_us, load_ms) in any::<(u64, u64, u64)>(),
            (numeric, text) in any::<(String, String)>(),
            (input_tokens, output_tokens, limit) in any::<(u32, u32, u32)>(),
            (alignments, alternatives, is_aligned) in any::<(bool, bool, bool)>(),
            score in -90.0..=0_f32,
            spans in prop::collection::vec((0_u32..90, 1_u32..9), 0..20),
            covered in any::<Vec<char>>(),
        ) {
            let link = |(start, length)| Link {
                source: Span { start, end: start + length },
                target: Span { start: 0, end: start + 1 },
                weight: length as u8,
            };
            let alignment = Alignment::new(spans.into_iter().map(link).collect());
            let completeness = [
                Completeness::Whole,
                Completeness::Unfinished,
                Completeness::TooLong { limit },
            ];
            let translation = |completeness| Translation {
                text: text.clone(),
                score,
                input_tokens,
                output_tokens,
                completeness,
                alignment: is_aligned.then(|| alignment.clone()),
                alternatives: vec![text.clone(); alternatives.into()],
            };
            let messages = [
                FromEngine::Translated(TranslateReport {
                    id,
                    translations: completeness.map(translation).into(),
                    elapsed_us,
                }),
                FromEngine::Loaded(LoadReport {
                    numeric,
                    load_ms,
                    capabilities: Capabilities { alignments, alternatives },
                    coverage: Coverage {
                        source: covered.into_iter().collect(),
                        ..Coverage::default()
                    },
                }),
            ];
            for message in messages {
                let frame = encode(&message).unwrap();
                prop_assert_eq!(read(&mut frame.as_slice()).unwrap(), Some(message));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<FromEngine>(&mut bytes.as_slice());
        }
    }

    #[test]
    fn a_giant_length_is_refused_before_memory_is_taken() {
        let error = read::<ToEngine>(&mut u32::MAX.to_le_bytes().as_slice()).unwrap_err();
        assert!(matches!(error, FrameError::TooLong(_)), "{error}");
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error() {
        let mut frame = encode(&ToEngine::Translate(TranslateRequest {
            id: 1,
            segments: vec![],
        }))
        .unwrap();
        frame.pop();
        assert!(matches!(
            read::<ToEngine>(&mut frame.as_slice()),
            Err(FrameError::Io(_))
        ));
    }
}
