//! Malformed and oversized frames, and connections that send nothing, do not disturb a node.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use babelmesh::{
    cluster::{
        MemberState,
        handshake::{self, Identity, Incarnation, PROTOCOL, PeerVerifier},
    },
    config::Secret,
};
use babelmesh_integration_tests::{
    COOKIE, PATIENCE, ProcessNode, Sandbox, free_address, wait_until,
};

use super::{is_full, start, state_of};

#[test]
fn unauthenticated_connections_neither_crash_nor_block_a_node() {
    let sandbox = Sandbox::new();
    let seed = free_address();
    let first = ProcessNode::start_cold(&sandbox, &sandbox.node().clustered(seed, seed));
    wait_until("it answers", PATIENCE, || first.view().is_some());
    // Malformed and oversized frames.
    let mark = |length: u16| {
        [
            b"bmsh".as_slice(),
            &PROTOCOL.to_be_bytes(),
            &[1],
            &length.to_be_bytes(),
        ]
        .concat()
    };
    let frames: [Vec<u8>; 5] = [
        vec![0xff; 64 << 10],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [mark(u16::MAX), vec![0; 70_000]].concat(),
        [mark(40), vec![0xff; 40]].concat(),
        u64::MAX.to_be_bytes().to_vec(),
    ];
    for frame in frames {
        let mut stream = TcpStream::connect(seed).unwrap();
        // The node may hang up in the middle.
        let _ = stream.write_all(&frame);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset,
                "it hangs up"
            );
        }
    }
    // A thousand that say nothing, or half a word, and stay.
    let silent: Vec<TcpStream> = (0..1_000)
        .map(|number| {
            let mut stream = TcpStream::connect(seed).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"bms").unwrap();
            }
            stream
        })
        .collect();
    let second = ProcessNode::start_cold(&sandbox, &sandbox.node().clustered(free_address(), seed));
    wait_until("the second answers", PATIENCE, || second.view().is_some());
    let nodes = [first, second];
    wait_until("they meet all the same", Duration::from_secs(3), || {
        is_full(&nodes)
    });
    assert_eq!(silent.len(), 1_000);
    assert!(!nodes[0].log().contains("panicked"), "{}", nodes[0].log());
}

struct Open;

impl PeerVerifier for Open {
    fn fits(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn admit(&self, _: &str, _: u64) -> Result<Option<u64>, String> {
        Ok(None)
    }
}

#[test]
fn only_a_member_that_sends_malformed_or_oversized_frames_is_disconnected() {
    let sandbox = Sandbox::new();
    let nodes = start(&sandbox, 2);
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let seed: SocketAddr = nodes[0].settings().config().cluster.listen.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for frame in [
        u64::MAX.to_be_bytes().to_vec(),
        (64_u64 << 20).to_be_bytes().to_vec(),
        [8_u64.to_be_bytes(), [0xff; 8]].concat(),
    ] {
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(seed).await.unwrap();
            let me = Identity {
                // It sorts before all: its connection is kept.
                name: "aaa".to_owned(),
                address: "127.0.0.1:1".to_owned(),
                incarnation: Incarnation::default(),
                cookie: Secret::from(COOKIE),
                protocol: PROTOCOL,
            };
            let peer = handshake::dial(&mut stream, &me, &Open, b"").await.unwrap();
            assert!(peer.kept);
            stream.write_all(&frame).await.unwrap();
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            // The library may have begun to talk; then it hangs up.
            let _ = tokio::time::timeout(Duration::from_secs(5), end)
                .await
                .expect("it hangs up");
        });
    }
    thread::sleep(Duration::from_secs(1));
    assert!(
        is_full(&nodes)
            || nodes
                .iter()
                .all(|n| state_of(n, &nodes[1].name()).is_some_and(MemberState::is_up))
    );
    assert!(!nodes[0].log().contains("panicked"), "{}", nodes[0].log());
}
