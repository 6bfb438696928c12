//! What users of a secure cluster may do. Spoken in Kafka's protocol, since librdkafka's bindings have no words for it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// API keys and the version that is spoken of both.
const CREATE_ACLS: i16 = 30;
const DELETE_ACLS: i16 = 31;
const VERSION: i16 = 1;
/// How long the broker may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Something that an operation needs a permission for.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// A topic.
    Topic(&'a str),
    /// A consumer group.
    Group(&'a str),
    /// The transactions of a producer.
    TransactionalId(&'a str),
    /// The cluster.
    Cluster,
}

impl Resource<'_> {
    const fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Group(_) => 3,
            Self::Cluster => 4,
            Self::TransactionalId(_) => 5,
        }
    }

    const fn name(&self) -> &str {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => name,
            Self::Cluster => "kafka-cluster",
        }
    }
}

/// An operation on a [`Resource`].
#[derive(Debug, Clone, Copy)]
#[repr(i8)]
pub enum Operation {
    /// All of them.
    All = 2,
    /// Read records, or commit offsets.
    Read = 3,
    /// Write records.
    Write = 4,
    /// See that it is there.
    Describe = 8,
}

/// Whether a rule allows or denies; one that denies is stronger.
#[derive(Debug, Clone, Copy)]
#[repr(i8)]
pub(super) enum Permission {
    Deny = 2,
    Allow = 3,
}

/// A rule about one user.
pub(super) struct Rule<'a> {
    pub(super) user: &'a str,
    pub(super) resource: Resource<'a>,
    pub(super) operation: Operation,
    pub(super) permission: Permission,
}

impl Rule<'_> {
    pub(super) fn create(&self, broker: &str) {
        let answer = call(broker, CREATE_ACLS, &self.encode());
        // Behind the throttle time and the number of results.
        assert_eq!(answer[8..10], [0, 0], "the rule is taken: {answer:?}");
    }

    pub(super) fn delete(&self, broker: &str) {
        let answer = call(broker, DELETE_ACLS, &self.encode());
        assert_eq!(answer[8..10], [0, 0], "the filter is taken: {answer:?}");
        // Behind an error message that is null.
        assert_eq!(answer[12..16], [0, 0, 0, 1], "one rule is deleted");
    }

    /// A list of this rule alone: as a rule and as a filter it has the same fields.
    fn encode(&self) -> Vec<u8> {
        const LITERAL: i8 = 3;
        let mut bytes = 1_i32.to_be_bytes().to_vec();
        bytes.extend(self.resource.code().to_be_bytes());
        put(&mut bytes, self.resource.name());
        bytes.extend(LITERAL.to_be_bytes());
        put(&mut bytes, &format!("User:{}", self.user));
        put(&mut bytes, "*");
        bytes.extend((self.operation as i8).to_be_bytes());
        bytes.extend((self.permission as i8).to_be_bytes());
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("names are short");
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// Sends a request to a broker; returns the body of the answer.
fn call(broker: &str, api_key: i16, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(api_key.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    put(&mut request, "harness");
    request.extend(body);
    let length = u32::try_from(request.len()).expect("requests are small");
    let mut stream = TcpStream::connect(broker).expect("the broker listens");
    stream
        .set_read_timeout(Some(ANSWER))
        .expect("a stream can wait");
    let sent = stream.write_all(&[&length.to_be_bytes(), &*request].concat());
    sent.expect("the broker takes requests");
    let mut length = [0; 4];
    stream
        .read_exact(&mut length)
        .expect("the broker answers in time");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("the answer is whole");
    // Behind the number of the request.
    answer.split_off(4)
}
