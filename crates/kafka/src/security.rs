//! Security to the brokers: TLS and SASL settings, and their librdkafka options.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use babelmesh_settings::Secret;

/// How brokers are reached. Brokers must always show a certificate that names their host when there is TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityConfig {
    /// Which protocol.
    pub protocol: Protocol,
    /// Certificates (PEM) of the authorities that the brokers' certificates come from; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// This client's certificate (PEM), where brokers ask for one.
    pub certificate_file: Option<PathBuf>,
    /// The key (PEM) of that certificate.
    pub key_file: Option<PathBuf>,
    /// The password of that key.
    #[serde(skip_serializing_if = "Secret::is_elsewhere")]
    pub key_password: Option<Secret>,
    /// A file that holds that password.
    pub key_password_file: Option<PathBuf>,
    /// Client identity.
    pub sasl: SaslConfig,
}

/// A user of the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SaslConfig {
    /// How the user proves to be it.
    pub mechanism: Mechanism,
    /// Name.
    pub username: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Secret::is_elsewhere")]
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
}

/// Protocol of the brokers' listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encryption nor users.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// Users without encryption.
    SaslPlaintext,
    /// Users over TLS.
    SaslSsl,
}

impl Protocol {
    /// Whether it is TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients say who they are with SASL.
    #[must_use]
    pub const fn has_users(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mechanism {
    /// The password itself is sent: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response with SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl SecurityConfig {
    /// librdkafka options, including secrets.
    pub(super) fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![("security.protocol", self.protocol.name().to_owned())];
        if self.protocol.is_encrypted() {
            // These are the defaults of librdkafka; said here, they stay.
            options.push(("enable.ssl.certificate.verification", "true".to_owned()));
            options.push(("ssl.endpoint.identification.algorithm", "https".to_owned()));
            let files = [
                ("ssl.ca.location", &self.ca_file),
                ("ssl.certificate.location", &self.certificate_file),
                ("ssl.key.location", &self.key_file),
            ];
            for (option, file) in files {
                options.extend(file.iter().map(|f| (option, f.display().to_string())));
            }
            let password = self.key_password.iter();
            options.extend(password.map(|p| ("ssl.key.password", p.expose().to_owned())));
        }
        if self.protocol.has_users() {
            let sasl = &self.sasl;
            options.push(("sasl.mechanism", sasl.mechanism.name().to_owned()));
            let (name, password) = (sasl.username.iter(), sasl.password.iter());
            options.extend(name.map(|name| ("sasl.username", name.clone())));
            options.extend(password.map(|p| ("sasl.password", p.expose().to_owned())));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything(protocol: Protocol) -> SecurityConfig {
        SecurityConfig {
            protocol,
            ca_file: Some("ca.pem".into()),
            certificate_file: Some("node.pem".into()),
            key_file: Some("node.key".into()),
            key_password: Some("key-secret".into()),
            key_password_file: None,
            sasl: SaslConfig {
                mechanism: Mechanism::ScramSha256,
                username: Some("babelmesh".to_owned()),
                password: Some("sasl-secret".into()),
                password_file: None,
            },
        }
    }

    fn names(protocol: Protocol) -> Vec<&'static str> {
        let options = everything(protocol).options();
        options.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn each_protocol_brings_the_options_that_it_has_a_use_for() {
        const TLS: [&str; 6] = [
            "enable.ssl.certificate.verification",
            "ssl.endpoint.identification.algorithm",
            "ssl.ca.location",
            "ssl.certificate.location",
            "ssl.key.location",
            "ssl.key.password",
        ];
        const USER: [&str; 3] = ["sasl.mechanism", "sasl.username", "sasl.password"];
        for protocol in [
            Protocol::Plaintext,
            Protocol::Ssl,
            Protocol::SaslPlaintext,
            Protocol::SaslSsl,
        ] {
            let names = names(protocol);
            assert_eq!(names[0], "security.protocol");
            for option in TLS {
                assert_eq!(names.contains(&option), protocol.is_encrypted(), "{option}");
            }
            for option in USER {
                assert_eq!(names.contains(&option), protocol.has_users(), "{option}");
            }
        }
    }

    #[test]
    fn librdkafka_takes_every_option_with_every_mechanism() {
        for mechanism in [
            Mechanism::Plain,
            Mechanism::ScramSha256,
            Mechanism::ScramSha512,
        ] {
            let mut security = everything(Protocol::SaslSsl);
            security.sasl.mechanism = mechanism;
            let mut config = rdkafka::ClientConfig::new();
            for (name, value) in security.options() {
                config.set(name, value);
            }
            config.create_native_config().unwrap();
        }
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for (name, protocol) in [
            ("plaintext", Protocol::Plaintext),
            ("ssl", Protocol::Ssl),
            ("sasl_plaintext", Protocol::SaslPlaintext),
            ("sasl_ssl", Protocol::SaslSsl),
        ] {
            assert_eq!(
                serde_json::from_value::<Protocol>(name.into()).unwrap(),
                protocol
            );
            assert_eq!(protocol.name(), name.to_uppercase());
        }
        for mechanism in [
            Mechanism::Plain,
            Mechanism::ScramSha256,
            Mechanism::ScramSha512,
        ] {
            let name = mechanism.name();
            assert_eq!(
                serde_json::from_value::<Mechanism>(name.into()).unwrap(),
                mechanism
            );
        }
    }

    #[test]
    fn secrets_are_in_no_form_that_is_shown() {
        let security = everything(Protocol::SaslSsl);
        let shown = format!("{security:?} {}", toml::to_string(&security).unwrap());
        assert!(
            shown.contains("node.key") && shown.contains("***"),
            "{shown}"
        );
        assert!(!shown.contains("secret"), "{shown}");
    }
}
