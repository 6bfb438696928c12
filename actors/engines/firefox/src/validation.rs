//! Validation of files before the library reads them.
//!
//! The library trusts lengths in files. A wrong one makes it panic or exhaust memory, and neither names the file.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

/// More arrays than any model has.
const MOST_ARRAYS: u64 = 100_000;
/// Of a shortlist file.
const SHORTLIST_MAGIC: u64 = 0xF11A_48D5_0134_17F5;
/// Numbers of 64 bits before the content of a shortlist file.
const SHORTLIST_HEADER: usize = 6;

/// Checks the table of contents of a model's weights. The error is a sentence.
pub(crate) fn check_weights(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut reader = BufReader::new(file);
    let mut next = || -> io::Result<u64> {
        let mut bytes = [0; 8];
        reader.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let mut read = || next().map_err(|_| "it is cut off".to_owned());
    let (version, arrays) = (read()?, read()?);
    if version != 1 {
        return Err("it is not a binary model of Marian".into());
    }
    if arrays > MOST_ARRAYS {
        return Err(format!("it has {arrays} arrays"));
    }
    let mut wanted = 0_u64;
    for _ in 0..arrays {
        let (name, _, sizes, data) = (read()?, read()?, read()?, read()?);
        let bytes = name.saturating_add(sizes.saturating_mul(4));
        wanted = wanted.saturating_add(bytes).saturating_add(data);
    }
    match wanted <= length {
        true => Ok(()),
        false => Err(format!("it has {length} bytes, its arrays need {wanted}")),
    }
}

/// Checks the content of a shortlist for a model with this many target tokens. The error is a sentence.
pub(crate) fn check_shortlist(bytes: &[u8], tokens: usize) -> Result<(), String> {
    let (numbers, _) = bytes.as_chunks::<8>();
    let Some((header, rest)) = numbers.split_at_checked(SHORTLIST_HEADER) else {
        return Err("it is cut off".into());
    };
    let header = header.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let header = header.collect::<Vec<_>>();
    let [magic, _, frequent, _, offsets, entries] = header[..] else {
        return Err("it is cut off".into());
    };
    if magic != SHORTLIST_MAGIC {
        return Err("it is not a binary shortlist of Marian".into());
    }
    let size = |number: u64| usize::try_from(number).ok();
    let lengths = size(offsets)
        .zip(size(entries))
        .and_then(|(offsets, entries)| {
            let content = offsets
                .checked_mul(8)?
                .checked_add(entries.checked_mul(4)?)?;
            let length = content.checked_add(SHORTLIST_HEADER * 8)?;
            (length == bytes.len()).then_some((offsets, entries))
        });
    let Some((offsets, entries)) = lengths else {
        return Err("its length is not what its header says".into());
    };
    // The list is filled up to a multiple of eight.
    if frequent.saturating_add(8) > tokens as u64 {
        return Err(format!(
            "{frequent} frequent tokens exceed the vocabulary of {tokens}"
        ));
    }
    let offsets = rest[..offsets]
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes));
    if !offsets.clone().is_sorted() || offsets.max().is_some_and(|last| last > entries as u64) {
        return Err("its offsets are not in order".into());
    }
    let (entries, _) = bytes[bytes.len() - entries * 4..].as_chunks::<4>();
    let largest = entries.iter().map(|bytes| u32::from_le_bytes(*bytes)).max();
    match largest.filter(|largest| *largest as usize >= tokens) {
        Some(token) => Err(format!("it has token {token}, the model has {tokens}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn numbers(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// Two source tokens, of which the second has two translations.
    fn shortlist(frequent: u64, offsets: [u64; 3], entries: [u32; 2]) -> Vec<u8> {
        let mut bytes = numbers(&[SHORTLIST_MAGIC, 0, frequent, 1, 3, 2]);
        bytes.extend(numbers(&offsets));
        bytes.extend(entries.iter().flat_map(|n| n.to_le_bytes()));
        bytes
    }

    #[test]
    fn shortlists_stay_within_file_and_vocabulary() {
        let good = shortlist(2, [0, 0, 2], [7, 15]);
        assert_eq!(check_shortlist(&good, 16), Ok(()));
        let error = |bytes: &[u8]| check_shortlist(bytes, 16).unwrap_err();
        assert!(error(&good[..good.len() - 1]).contains("length"));
        assert!(error(b"").contains("cut off"));
        assert!(error(&[0; 80]).contains("not a binary shortlist"));
        assert!(error(&shortlist(9, [0, 0, 2], [7, 15])).contains("9 frequent"));
        assert!(error(&shortlist(2, [0, 2, 1], [7, 15])).contains("order"));
        assert!(error(&shortlist(2, [0, 0, 3], [7, 15])).contains("order"));
        assert!(error(&shortlist(2, [0, 0, 2], [7, 16])).contains("token 16"));
        let giant = numbers(&[SHORTLIST_MAGIC, 0, 2, 1, u64::MAX, u64::MAX]);
        assert!(error(&giant).contains("length"));
    }

    #[test]
    fn weights_need_no_more_than_the_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        let check = |bytes: Vec<u8>| {
            fs::write(&path, bytes).unwrap();
            check_weights(&path)
        };
        assert_eq!(check(numbers(&[1, 1, 8, 0, 1, 8, 0, 0])), Ok(()));
        for (bytes, reason) in [
            (numbers(&[2, 1]), "not a binary model"),
            (numbers(&[1, u64::MAX]), "arrays"),
            (numbers(&[1, 2, 8, 0, 1, 8]), "cut off"),
            (numbers(&[1, 1, 8, 0, 1, u64::MAX]), "its arrays need"),
        ] {
            let error = check(bytes).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = check_shortlist(&bytes, 100);
            let header = [numbers(&[SHORTLIST_MAGIC]), bytes].concat();
            let _ = check_shortlist(&header, 100);
        }
    }
}
