//! Checks a download and unpacks it, without trust in its size.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use ruzstd::decoding::StreamingDecoder;

use crate::digest;

/// How a frame of zstd begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BLOCK: usize = 64 << 10;

/// Why a download is not used.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// It is not the file of the record.
    #[error("wrong checksum: SHA-256 {found}, the record says {expected}")]
    Checksum {
        /// Of the file.
        found: String,
        /// Of the record.
        expected: String,
    },
    /// It is not a zstd file.
    #[error("damaged zstd file: {0}")]
    Damaged(String),
    /// It unpacks to more than it may.
    #[error("unpacks to more than {0} bytes (models.fetch.max_file_mb)")]
    TooLarge(u64),
}

/// Compares a file with its SHA-256.
///
/// # Errors
/// [`UnpackError::Checksum`] or [`UnpackError::Io`].
pub fn check(path: &Path, expected: &str) -> Result<(), UnpackError> {
    let found = digest::of_file(path).map_err(io_error(path))?;
    match found == expected {
        true => Ok(()),
        false => Err(UnpackError::Checksum {
            found,
            expected: expected.to_owned(),
        }),
    }
}

/// Copies a file; one that is compressed with zstd is unpacked. Not more than `limit` bytes are written.
///
/// # Errors
/// Any [`UnpackError`]; `to` may then be incomplete.
pub fn unpack(from: &Path, to: &Path, limit: u64) -> Result<u64, UnpackError> {
    let mut source = BufReader::new(File::open(from).map_err(io_error(from))?);
    let mut start = Vec::new();
    let head = source.by_ref().take(ZSTD.len() as u64);
    { head }.read_to_end(&mut start).map_err(io_error(from))?;
    let mut source = start.as_slice().chain(source);
    let output = File::create(to).map_err(io_error(to))?;
    if start != ZSTD {
        return copy(&mut source, output, to, limit, &io_error(from));
    }
    let damaged = |error: &dyn std::fmt::Display| UnpackError::Damaged(error.to_string());
    let mut decoder = StreamingDecoder::new(source).map_err(|error| damaged(&error))?;
    copy(&mut decoder, output, to, limit, &|error| damaged(&error))
}

fn copy(
    source: &mut dyn Read,
    output: File,
    to: &Path,
    limit: u64,
    unreadable: &dyn Fn(io::Error) -> UnpackError,
) -> Result<u64, UnpackError> {
    let mut output = BufWriter::new(output);
    let (mut block, mut written) = (vec![0; BLOCK], 0);
    loop {
        let read = source.read(&mut block).map_err(unreadable)?;
        if read == 0 {
            output.flush().map_err(io_error(to))?;
            return Ok(written);
        }
        written += read as u64;
        if written > limit {
            return Err(UnpackError::TooLarge(limit));
        }
        output.write_all(&block[..read]).map_err(io_error(to))?;
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> UnpackError + use<> {
    let path = path.to_owned();
    move |source| UnpackError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn unpacked(bytes: &[u8], limit: u64) -> Result<Vec<u8>, UnpackError> {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, bytes).unwrap();
        let written = unpack(&from, &to, limit)?;
        let bytes = fs::read(to).unwrap();
        assert_eq!(written, bytes.len() as u64);
        Ok(bytes)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn files_are_unpacked_or_copied() {
        let text = b"some weights ".repeat(20_000);
        assert_eq!(unpacked(&packed(&text), 1 << 20).unwrap(), text);
        assert_eq!(unpacked(&text, 1 << 20).unwrap(), text);
        assert_eq!(unpacked(b"", 0).unwrap(), b"");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = packed(&vec![0; 32 << 20]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert!(matches!(
            unpacked(&bomb, 1 << 20),
            Err(UnpackError::TooLarge(_))
        ));
        assert!(matches!(
            unpacked(&[7; 100], 99),
            Err(UnpackError::TooLarge(99))
        ));
    }

    #[test]
    fn a_file_that_is_cut_is_damaged() {
        let whole = packed(&b"some weights ".repeat(1_000));
        let cut = unpacked(&whole[..whole.len() / 2], 1 << 20);
        assert!(matches!(cut, Err(UnpackError::Damaged(_))), "{cut:?}");
    }

    #[test]
    fn a_checksum_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "abc").unwrap();
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(check(&file, of_abc).is_ok());
        assert!(matches!(
            check(&file, &"0".repeat(64)),
            Err(UnpackError::Checksum { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_pass_the_limit(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            bytes.splice(0..0, ZSTD);
            if let Ok(text) = unpacked(&bytes, 4_096) {
                prop_assert!(text.len() <= 4_096);
            }
        }
    }
}
