//! What clients need to know of a secure cluster.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// Addresses, certificates and users of a secure cluster.
pub struct Security {
    /// Listeners with TLS that ask for a client's certificate but do not insist, separated by commas.
    pub ssl: String,
    /// Listeners with TLS that insist on a client's certificate.
    pub mutual_tls: String,
    /// Listeners with TLS and SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.
    pub sasl_ssl: String,
    /// The authority's certificate, PEM.
    pub ca: PathBuf,
    /// A client's certificate, PEM.
    pub client_certificate: PathBuf,
    /// Its key, PEM.
    pub client_key: PathBuf,
    /// The certificate of an authority that has signed nothing here, PEM.
    pub other_ca: PathBuf,
    /// The user of PLAIN.
    pub plain: User,
    /// The user of SCRAM, of both strengths.
    pub scram: User,
}

/// A user of a secure cluster, made for one test.
pub struct User {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
}

impl Security {
    /// From what the script says.
    pub(super) fn read(status: &Value) -> Option<Self> {
        let about = status.get("secure")?;
        let text = |key: &str| about[key].as_str().expect("the script names it").to_owned();
        let path = |key: &str| PathBuf::from(text(key));
        let users = fs::read_to_string(path("users")).expect("the script wrote the users");
        let users: Value = serde_json::from_str(&users).expect("the users are JSON");
        let user = |name: &str| User {
            name: users[name]["user"].as_str().expect("a name").to_owned(),
            password: users[name]["password"]
                .as_str()
                .expect("a password")
                .to_owned(),
        };
        Some(Self {
            ssl: text("ssl"),
            mutual_tls: text("mutual_tls"),
            sasl_ssl: text("sasl_ssl"),
            ca: path("ca"),
            client_certificate: path("client_certificate"),
            client_key: path("client_key"),
            other_ca: path("other_ca"),
            plain: user("plain"),
            scram: user("scram"),
        })
    }
}
