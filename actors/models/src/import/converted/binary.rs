//! The names and shapes in CTranslate2's `model.bin`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

/// The latest version of the format that is known.
const LATEST: u32 = 6;
/// Networks of one stack, for other purposes than translation.
const OTHER_SPECIFICATIONS: [&str; 2] = ["TransformerDecoderSpec", "TransformerEncoderSpec"];

/// The description of a network.
#[derive(Debug)]
pub(super) struct Binary {
    shapes: BTreeMap<String, Vec<u32>>,
}

impl Binary {
    /// Reads a file, the numbers of its arrays aside; the error is a sentence.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let mut reader = Reader(BufReader::new(file));
        let damaged = |error: io::Error| format!("not the weights of a CTranslate2 model: {error}");
        let version = reader.long().map_err(damaged)?;
        if !(2..=LATEST).contains(&version) {
            return Err(format!(
                "not the weights of a CTranslate2 model, or of an unknown version ({version})"
            ));
        }
        let specification = reader.text().map_err(damaged)?;
        if !specification.starts_with("Transformer")
            || OTHER_SPECIFICATIONS.contains(&specification.as_str())
        {
            return Err(format!(
                "a CTranslate2 model of the type {}, which does not translate",
                specification.escape_debug()
            ));
        }
        reader.long().map_err(damaged)?;
        let shapes = reader.shapes(version, length).map_err(damaged)?;
        Ok(Self { shapes })
    }

    /// Number of tokens that translations are made of.
    pub(super) fn target_tokens(&self) -> Option<usize> {
        ["decoder/projection/weight", "decoder/embeddings/weight"]
            .iter()
            .find_map(|name| self.rows(name))
    }

    /// Number of positions, if there is a table of them.
    pub(super) fn positions(&self) -> Option<usize> {
        [
            "decoder/position_encodings/encodings",
            "encoder/position_encodings/encodings",
        ]
        .iter()
        .filter_map(|name| self.rows(name))
        .min()
    }

    fn rows(&self, name: &str) -> Option<usize> {
        let rows = *self.shapes.get(name)?.first()?;
        usize::try_from(rows).ok()
    }
}

struct Reader(BufReader<File>);

impl Reader {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn long(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn byte(&mut self) -> io::Result<u8> {
        let [byte] = self.bytes()?;
        Ok(byte)
    }

    /// A text is its length with a closing zero, its bytes and the zero.
    fn text(&mut self) -> io::Result<String> {
        let length = u16::from_le_bytes(self.bytes()?);
        let mut bytes = vec![0; usize::from(length)];
        self.0.read_exact(&mut bytes)?;
        bytes.pop();
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    fn shapes(&mut self, version: u32, length: u64) -> io::Result<BTreeMap<String, Vec<u32>>> {
        let mut shapes = BTreeMap::new();
        for _ in 0..self.long()? {
            let name = self.text()?;
            let rank = self.byte()?;
            let shape = (0..rank)
                .map(|_| self.long())
                .collect::<io::Result<Vec<_>>>()?;
            // Later versions tell type and bytes, earlier ones the size of a number and their count.
            let kind = u64::from(self.byte()?);
            let count = u64::from(self.long()?);
            let bytes = if version >= 4 { count } else { count * kind };
            if self.0.stream_position()? + bytes > length {
                return Err(io::Error::other(format!("{} is cut", name.escape_debug())));
            }
            self.0
                .seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)?;
            shapes.insert(name, shape);
        }
        Ok(shapes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Binary, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        std::fs::write(&path, bytes).unwrap();
        Binary::read(&path)
    }

    fn text(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len() + 1).unwrap();
        [&length.to_le_bytes(), text.as_bytes(), &[0]].concat()
    }

    fn binary(specification: &str, name: &str, shape: [u32; 2]) -> Vec<u8> {
        let numbers = |numbers: &[u32]| {
            numbers
                .iter()
                .flat_map(|n| n.to_le_bytes())
                .collect::<Vec<_>>()
        };
        let bytes = shape[0] * shape[1];
        [
            numbers(&[6]),
            text(specification),
            numbers(&[7, 1]),
            text(name),
            vec![2],
            numbers(&shape),
            vec![1],
            numbers(&[bytes]),
            vec![0; bytes as usize],
        ]
        .concat()
    }

    #[test]
    fn sizes_are_read_without_the_numbers() {
        let found = read(&binary(
            "TransformerSpec",
            "decoder/embeddings/weight",
            [5, 2],
        ))
        .unwrap();
        assert_eq!((found.target_tokens(), found.positions()), (Some(5), None));
        let found = read(&binary(
            "TransformerSpec",
            "encoder/position_encodings/encodings",
            [9, 2],
        ));
        assert_eq!(found.unwrap().positions(), Some(9));
    }

    #[test]
    fn other_networks_and_damaged_files_are_refused() {
        let error = read(&binary("WhisperSpec", "a", [1, 1])).unwrap_err();
        assert!(error.contains("WhisperSpec"), "{error}");
        let mut cut = binary("TransformerSpec", "a", [5, 2]);
        cut.pop();
        assert!(read(&cut).unwrap_err().contains("a is cut"));
        assert!(read(b"PK\x03\x04").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[&6_u32.to_le_bytes(), &text("TransformerSpec")[..], &bytes].concat());
            let _ = read(&bytes);
        }
    }
}
