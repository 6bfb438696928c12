use std::time::Duration;

use proptest::prelude::*;
use tokio::io::DuplexStream;

use super::{frame::MARK, incarnation::MOST_AHEAD, *};

/// Lets everybody in; one incarnation may count as over.
struct Open(Option<u64>);

impl PeerVerifier for Open {
    fn fits(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn admit(&self, _: &str, _: u64) -> Result<Option<u64>, String> {
        Ok(self.0)
    }
}

/// Has seen a certificate of this name.
struct Named(&'static str);

impl PeerVerifier for Named {
    fn fits(&self, name: &str) -> Result<(), String> {
        match name == self.0 {
            true => Ok(()),
            false => Err(format!("its certificate is not one of {name}")),
        }
    }

    fn admit(&self, _: &str, _: u64) -> Result<Option<u64>, String> {
        Ok(None)
    }
}

fn node(name: &str, cookie: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        address: format!("{name}:7700"),
        incarnation: Incarnation::default(),
        cookie: Secret::from(cookie),
        protocol: PROTOCOL,
    }
}

type Outcome = Result<Peer, HandshakeError>;

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async {
            let limit = Duration::from_secs(5);
            tokio::time::timeout(limit, future)
                .await
                .expect("it ends by itself")
        })
}

fn perform_handshake_with(
    (dialer, knows): (&Identity, &dyn PeerVerifier),
    (acceptor, guards): (&Identity, &dyn PeerVerifier),
    bindings: [&[u8]; 2],
) -> (Outcome, Outcome) {
    run(async {
        let (mut a, mut b): (DuplexStream, DuplexStream) = tokio::io::duplex(8_192);
        tokio::join!(
            dial(&mut a, dialer, knows, bindings[0]),
            accept(&mut b, acceptor, guards, bindings[1]),
        )
    })
}

fn perform_handshake(dialer: &Identity, acceptor: &Identity) -> (Outcome, Outcome) {
    perform_handshake_with((dialer, &Open(None)), (acceptor, &Open(None)), [b"x"; 2])
}

#[test]
fn nodes_with_one_cookie_learn_each_others_names() {
    let (a, b) = (node("a", "secret"), node("b", "secret"));
    let (at_a, at_b) = perform_handshake(&a, &b);
    let (at_a, at_b) = (at_a.unwrap(), at_b.unwrap());
    assert_eq!((at_a.name.as_str(), at_a.address.as_str()), ("b", "b:7700"));
    assert_eq!(
        (at_b.name.as_str(), at_b.incarnation),
        ("a", a.incarnation.get())
    );
    assert!(at_a.kept && at_b.kept, "a calls b");
    assert_eq!(at_a.session, at_b.session, "both know the connection");
    let (again_at_b, again_at_a) = perform_handshake(&b, &a);
    let (again_at_a, again_at_b) = (again_at_a.unwrap(), again_at_b.unwrap());
    assert!(
        !again_at_a.kept && !again_at_b.kept,
        "b only introduces itself"
    );
    assert_ne!(
        again_at_a.session, at_a.session,
        "every connection has its own"
    );
}

#[test]
fn a_wrong_cookie_is_refused_and_both_sides_know_why() {
    let (at_a, at_b) = perform_handshake(&node("a", "secret"), &node("b", "other"));
    assert!(matches!(at_b, Err(HandshakeError::Cookie)), "{at_b:?}");
    let told = at_a.unwrap_err().to_string();
    assert!(
        told.contains("refuses") && told.contains("cookie"),
        "{told}"
    );
}

#[test]
fn a_wrong_version_is_refused_and_both_sides_know_why() {
    let mut old = node("a", "secret");
    old.protocol = PROTOCOL + 7;
    let (at_a, at_b) = perform_handshake(&old, &node("b", "secret"));
    assert!(
        matches!(at_b, Err(HandshakeError::Protocol { .. })),
        "{at_b:?}"
    );
    let told = at_a.unwrap_err().to_string();
    assert!(
        told.contains("refuses") && told.contains(&format!("version {}", PROTOCOL + 7)),
        "{told}"
    );
}

#[test]
fn a_name_that_the_certificate_does_not_have_is_refused_by_either_side() {
    let (a, b) = (node("a", "secret"), node("b", "secret"));
    let (at_a, at_b) = perform_handshake_with((&a, &Open(None)), (&b, &Named("c")), [b""; 2]);
    assert!(matches!(at_b, Err(HandshakeError::Unfit(_))), "{at_b:?}");
    assert!(matches!(at_a, Err(HandshakeError::Refused(_))), "{at_a:?}");
    let (at_a, at_b) = perform_handshake_with((&a, &Named("c")), (&b, &Open(None)), [b""; 2]);
    assert!(matches!(at_a, Err(HandshakeError::Unfit(_))), "{at_a:?}");
    assert!(matches!(at_b, Err(HandshakeError::Refused(_))), "{at_b:?}");
}

#[test]
fn a_proof_of_another_session_is_of_no_use() {
    let (a, b) = (node("a", "secret"), node("b", "secret"));
    let ends = perform_handshake_with((&a, &Open(None)), (&b, &Open(None)), [b"one", b"two"]);
    assert!(matches!(ends.1, Err(HandshakeError::Cookie)), "{ends:?}");
}

#[test]
fn a_node_declared_dead_returns_with_a_new_incarnation() {
    let (a, b) = (node("a", "secret"), node("b", "secret"));
    let dead = (a.incarnation.get(), b.incarnation.get());
    let (at_a, at_b) = perform_handshake_with(
        (&a, &Open(Some(dead.1))),
        (&b, &Open(Some(dead.0))),
        [b""; 2],
    );
    assert_eq!(at_b.unwrap().incarnation, dead.0 + 1);
    assert_eq!(at_a.unwrap().incarnation, dead.1 + 1);
    assert_eq!(
        (a.incarnation.get(), b.incarnation.get()),
        (dead.0 + 1, dead.1 + 1)
    );
}

#[test]
fn a_node_connects_neither_to_itself_nor_to_a_namesake() {
    let a = node("a", "secret");
    let (dialled, accepted) = perform_handshake(&a, &a);
    assert!(
        matches!(dialled, Err(HandshakeError::Itself)),
        "{dialled:?}"
    );
    assert!(
        matches!(accepted, Err(HandshakeError::Itself)),
        "{accepted:?}"
    );
    let mut double = node("a", "secret");
    double.incarnation = Incarnation::at(1);
    let (at_double, at_a) = perform_handshake(&double, &a);
    assert!(matches!(at_a, Err(HandshakeError::Unfit(_))), "{at_a:?}");
    let told = at_double.unwrap_err().to_string();
    assert!(told.contains("two nodes are named a"), "{told}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_handshake_hang_or_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), begun in any::<bool>()) {
        let error = run(async {
            let (mut a, mut b) = tokio::io::duplex(8_192);
            let mut sent = if begun { [MARK.as_slice(), &PROTOCOL.to_be_bytes()].concat() } else { Vec::new() };
            sent.extend_from_slice(&bytes);
            a.write_all(&sent).await.unwrap();
            a.shutdown().await.unwrap();
            accept(&mut b, &node("b", "secret"), &Open(None), b"").await.unwrap_err()
        });
        prop_assert!(!matches!(error, HandshakeError::Cookie));
    }

    #[test]
    fn of_two_nodes_exactly_one_is_the_caller(a in "[a-z0-9.-]{1,8}", b in "[a-z0-9.-]{1,8}") {
        prop_assume!(a != b);
        prop_assert!(is_caller(&a, &b) != is_caller(&b, &a));
    }
}

#[test]
fn an_implausible_incarnation_is_rejected_and_never_adopted() {
    let (a, b) = (node("a", "secret"), node("b", "secret"));
    for (at_dialer, at_acceptor) in [(Some(u64::MAX), None), (None, Some(u64::MAX - 1))] {
        let before = (a.incarnation.get(), b.incarnation.get());
        let (at_a, at_b) =
            perform_handshake_with((&a, &Open(at_dialer)), (&b, &Open(at_acceptor)), [b"x"; 2]);
        assert!(at_a.is_err() && at_b.is_err());
        assert_eq!((a.incarnation.get(), b.incarnation.get()), before);
    }
    let mut ahead = node("c", "secret");
    ahead.incarnation = Incarnation::at(u64::MAX);
    let (_, at_b) = perform_handshake(&ahead, &b);
    let told = at_b.unwrap_err().to_string();
    assert!(told.contains("clock of c"), "{told}");
    // A clock that was wrong by months keeps no node out.
    let wrong = clock() + MOST_AHEAD / 2;
    let (at_a, at_b) =
        perform_handshake_with((&a, &Open(None)), (&b, &Open(Some(wrong))), [b"x"; 2]);
    assert!(at_a.is_ok() && at_b.is_ok());
    assert_eq!(a.incarnation.get(), wrong + 1);
}
