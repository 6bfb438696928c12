use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::certs;

/// A folder with certificates of one authority.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(nodes: &[&str], days: u32) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        certs::make(this.0.path(), &nodes, days).unwrap();
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self, node: &str) -> TlsConfig {
        TlsConfig {
            ca_file: Some(self.file(certs::CA)),
            certificate_file: Some(self.file(&format!("{node}.pem"))),
            key_file: Some(self.file(&format!("{node}.key"))),
            ..TlsConfig::default()
        }
    }

    /// Puts the certificate of another folder into the place of this one's.
    fn replace(&self, files: &[(&str, PathBuf)]) {
        for (name, from) in files {
            fs::copy(from, self.file(name)).unwrap();
        }
    }

    fn all_of<'a>(&self, node: &str, names: [&'a str; 3]) -> [(&'a str, PathBuf); 3] {
        let [ca, certificate, key] = names;
        [
            (ca, self.file(certs::CA)),
            (certificate, self.file(&format!("{node}.pem"))),
            (key, self.file(&format!("{node}.key"))),
        ]
    }
}

const ONE: [&str; 3] = [certs::CA, "one.pem", "one.key"];

#[test]
fn the_expiry_of_a_certificate_is_read() {
    let folder = Folder::new(&["one"], 7);
    let loaded = Certificate::load(&folder.config("one"), "one").unwrap();
    let left = loaded.not_after() - now();
    assert!((7 * DAY - 60..=7 * DAY).contains(&left), "{left}");
    assert!(loaded.warning().unwrap().contains("expires in "));
    let folder = Folder::new(&["one"], 90);
    let loaded = Certificate::load(&folder.config("one"), "one").unwrap();
    assert_eq!(loaded.warning(), None);
}

#[test]
fn an_expired_certificate_is_refused_and_the_error_names_it_and_the_date() {
    let folder = Folder::new(&["one"], 0);
    std::thread::sleep(Duration::from_secs(2));
    let refused = Certificate::load(&folder.config("one"), "one")
        .err()
        .unwrap();
    let error = format!("{refused:#}");
    assert!(error.contains("one.pem expired at 2"), "{error}");
}

#[test]
fn files_that_change_are_read_again_and_those_that_do_not_are_not() {
    let (old, new) = (Folder::new(&["one"], 7), Folder::new(&["one"], 90));
    let loaded = Certificate::load(&old.config("one"), "one").unwrap();
    assert!(!loaded.reload().unwrap());
    let before = loaded.not_after();
    old.replace(&new.all_of("one", ONE));
    assert!(loaded.reload().unwrap());
    assert!(loaded.not_after() > before + 80 * DAY);
    assert!(!loaded.reload().unwrap());
}

#[test]
fn unusable_certificates_change_nothing() {
    let folder = Folder::new(&["one"], 7);
    let loaded = Certificate::load(&folder.config("one"), "one").unwrap();
    let before = loaded.not_after();
    let (other, expired) = (Folder::new(&["one", "two"], 90), Folder::new(&["one"], 0));
    let saved = Folder::new(&["x"], 1);
    saved.replace(&folder.all_of("one", ONE));
    std::thread::sleep(Duration::from_secs(2));
    // What the error names, and what is done to the files.
    type Harm<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let broken: [Harm<'_>; 6] = [
        // One of two files has been written so far.
        (
            "key",
            Box::new(|| folder.replace(&other.all_of("one", ONE)[1..2])),
        ),
        (
            "does not name one",
            Box::new(|| folder.replace(&other.all_of("two", ONE))),
        ),
        (
            "expired",
            Box::new(|| folder.replace(&expired.all_of("one", ONE))),
        ),
        (
            "no certificate",
            Box::new(|| fs::write(folder.file("one.pem"), "").unwrap()),
        ),
        (
            "one.key",
            Box::new(|| fs::write(folder.file("one.key"), b"\xff\x00").unwrap()),
        ),
        (
            "one.pem",
            Box::new(|| fs::remove_file(folder.file("one.pem")).unwrap()),
        ),
    ];
    for (part, harm) in broken {
        harm();
        let error = format!("{:#}", loaded.reload().unwrap_err());
        assert!(error.contains(part), "{part}: {error}");
        assert_eq!(loaded.not_after(), before);
        folder.replace(&saved.all_of("one", ONE));
        assert!(!loaded.reload().unwrap(), "{part}");
    }
    folder.replace(&other.all_of("one", ONE));
    assert!(loaded.reload().unwrap());
}

proptest! {
    #[test]
    fn validity_only_ever_gets_worse(not_after in 0_u64..4_000_000_000, now in 0_u64..4_000_000_000, later in 0_u64..DAY * 400, days in 0_u32..400) {
        let rank = |validity| match validity {
            Validity::Good => u64::MAX,
            Validity::Ends(days) => days + 1,
            Validity::Over => 0,
        };
        let (first, then) = (Validity::of(not_after, now, days), Validity::of(not_after, now + later, days));
        prop_assert!(rank(then) <= rank(first));
        prop_assert_eq!(first == Validity::Over, not_after < now);
        if let Validity::Ends(left) = first {
            prop_assert!(left < u64::from(days) && now + left * DAY <= not_after);
        }
    }
}
