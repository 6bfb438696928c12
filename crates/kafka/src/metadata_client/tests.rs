use proptest::prelude::*;
use rdkafka::mocking::MockCluster;

use super::*;
use crate::config::KafkaConfig;

fn complaint(code: RDKafkaErrorCode, reason: &str) -> BrokerError {
    BrokerError {
        code,
        reason: reason.to_owned(),
    }
}

fn wrong_password(broker: &str) -> BrokerError {
    complaint(
        RDKafkaErrorCode::Authentication,
        &format!(
            "sasl_ssl://{broker}/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid \
             credentials with SASL mechanism SCRAM-SHA-512 (after 308ms in state AUTH_REQ)"
        ),
    )
}

fn unknown_authority(broker: &str) -> BrokerError {
    complaint(
        RDKafkaErrorCode::SSL,
        &format!(
            "ssl://{broker}/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
             certificate could not be verified, verify that ssl.ca.location is correctly configured (after 12ms in state SSL_HANDSHAKE)"
        ),
    )
}

fn away(broker: &str) -> BrokerError {
    complaint(
        RDKafkaErrorCode::BrokerTransportFailure,
        &format!(
            "{broker}/bootstrap: Connect to ipv4#{broker} failed: Connection refused (after 0ms in state CONNECT)"
        ),
    )
}

fn ask(bootstrap: &str, options: &[(&str, &str)], within_ms: u64) -> (Result<()>, Duration) {
    let mut config = KafkaConfig::default();
    for (key, value) in options {
        config
            .options
            .insert((*key).to_owned(), (*value).to_owned());
    }
    let clients = Clients::new(&config, bootstrap, "test", false);
    let started = Instant::now();
    let within = Duration::from_millis(within_ms);
    let answer = MetadataClient::open(&clients).and_then(|contact| contact.metadata(None, within));
    (answer.map(drop), started.elapsed())
}

#[test]
fn a_client_is_refused_when_every_broker_that_it_knows_refuses_it() {
    let refusals = [wrong_password("a:1"), unknown_authority("b:2")];
    assert!(is_refused(&refusals[..1], "a:1"));
    assert!(!is_refused(&refusals[..1], "a:1, b:2"));
    assert!(is_refused(&refusals, "a:1, b:2"));
    // The same broker again is no other one, and one that is away may come back.
    let again = [wrong_password("a:1"), wrong_password("a:1"), away("b:2")];
    assert!(!is_refused(&again, "a:1,b:2"));
    assert!(!is_refused(&[away("a:1")], "a:1"));
    assert!(!is_refused(&[], "a:1"));
    let without_certificate = complaint(
        RDKafkaErrorCode::BrokerTransportFailure,
        "ssl://a:1/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42 (after 4ms \
         in state APIVERSION_QUERY)",
    );
    assert!(is_refused(
        std::slice::from_ref(&without_certificate),
        "a:1"
    ));
    assert!(reasons(&[without_certificate]).ends_with("check kafka.security.certificate_file"));
}

#[test]
fn the_message_names_each_reason_once_and_the_key_to_look_at() {
    let said = reasons(&[away("b:2"), wrong_password("a:1"), wrong_password("a:1")]);
    assert_eq!(
        said,
        ": sasl_ssl://a:1/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid \
         credentials with SASL mechanism SCRAM-SHA-512; check kafka.security.sasl"
    );
    let said = reasons(&[unknown_authority("a:1")]);
    assert!(
        said.contains("certificate verify failed") && said.contains("check kafka.security.ca_file")
    );
    let said = reasons(&[away("a:1"), away("b:2")]);
    assert!(said.contains("a:1 failed") && said.contains("b:2 failed") && !said.contains("check"));
    let plaintext = complaint(
        RDKafkaErrorCode::BrokerTransportFailure,
        "a:1/bootstrap: Disconnected: requesting ApiVersion: might be caused by incorrect security.protocol configuration \
         (connecting to a SSL listener?) or broker version is < 0.10 (see api.version.request) (after 4ms in state APIVERSION_QUERY)",
    );
    assert!(reasons(&[plaintext]).ends_with("; check kafka.security.protocol"));
    assert_eq!(reasons(&[]), "");
}

#[test]
fn a_broker_that_is_there_answers_and_one_that_is_not_is_named_with_the_reason() {
    let cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext> =
        MockCluster::new(1).unwrap();
    let (answer, _) = ask(&cluster.bootstrap_servers(), &[], 20_000);
    answer.unwrap();
    let (answer, took) = ask("127.0.0.1:1", &[], 700);
    let error = format!("{:#}", answer.unwrap_err());
    assert!(
        error.starts_with("no Kafka broker answers at 127.0.0.1:1 within 700 ms: ")
            && error.contains("Connection refused"),
        "{error}"
    );
    assert!(took >= Duration::from_millis(690), "{took:?}");
}

#[test]
fn tls_on_a_port_without_it_points_at_the_protocol() {
    let cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext> =
        MockCluster::new(1).unwrap();
    let tls = [("security.protocol", "ssl")];
    let (answer, _) = ask(&cluster.bootstrap_servers(), &tls, 2_000);
    let error = format!("{:#}", answer.unwrap_err());
    assert!(error.contains("within 2000 ms: ssl://"), "{error}");
}

#[test]
fn an_option_that_is_refused_is_named_without_its_value() {
    for (key, value) in [
        ("security.protocol", "hunter2"),
        ("sasl.pasword", "hunter2"),
        ("linger.ms", "hunter2"),
    ] {
        let (answer, _) = ask("127.0.0.1:1", &[(key, value)], 100);
        let error = format!("{0:#} {0:?}", answer.unwrap_err());
        assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
    }
}

proptest! {
    #[test]
    fn rejection_of_a_client_is_independent_of_order_and_repetition(
        which in proptest::collection::vec((0..4_usize, any::<bool>()), 0..12),
        seed in any::<prop::sample::Index>(),
    ) {
        let heard: Vec<_> = which
            .iter()
            .map(|(broker, refuses)| {
                let broker = format!("b:{broker}");
                if *refuses { wrong_password(&broker) } else { away(&broker) }
            })
            .collect();
        let refusing: BTreeSet<_> = which.iter().filter(|(_, refuses)| *refuses).map(|(b, _)| b).collect();
        let brokers = "b:0,b:1,b:2,b:3";
        prop_assert_eq!(is_refused(&heard, brokers), refusing.len() == 4);
        let mut turned = heard.clone();
        if !turned.is_empty() {
            let by = seed.index(turned.len());
            turned.rotate_left(by);
            turned.extend(heard.iter().cloned());
        }
        prop_assert_eq!(is_refused(&turned, brokers), refusing.len() == 4);
    }
}
