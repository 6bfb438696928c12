//! Messages between gateways. It changes only together with [`PROTOCOL`](super::handshake::PROTOCOL).

use babelmesh_actors::{
    domain::{Leg, SpanRef},
    engine::{Segment, Translation},
    offload::PeerError,
};
use babelmesh_telemetry::status::NodeReport;
use ractor::{
    Message, RpcReplyPort,
    message::{BoxedDowncastErr, SerializedMessage},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    command::{Command, CommandDone},
    handshake::SessionKey,
    transport::PeerConnection,
};

/// Longest message that is taken from another node, in bytes.
pub(super) const LONGEST: usize = 4 << 20;

/// Room that the library needs around a message.
const ENVELOPE: usize = 4_096;

/// Longest frame that is taken from another node, in bytes.
pub(super) const LONGEST_FRAME: u64 = (LONGEST + ENVELOPE) as u64;

/// Most nodes that one names to another.
pub(super) const MOST_MEMBERS: usize = 1_024;

/// A message that cannot be.
#[derive(Debug, Error)]
pub(super) enum MessageError {
    /// It is too long.
    #[error("a message between nodes would be {0} bytes long, more than {LONGEST}")]
    TooLong(usize),
    /// It cannot be read.
    #[error("a message of another node cannot be read: {0}")]
    Unreadable(postcard::Error),
}

/// The sender: the node at the other end of the connection with this key, regardless of what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SenderId {
    pub(super) session: SessionKey,
    pub(super) incarnation: u64,
}

/// A node as another one knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeerInfo {
    pub(super) node: String,
    pub(super) address: String,
    pub(super) incarnation: u64,
}

/// Messages without an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Tell {
    /// A heartbeat, with the sender's time in microseconds.
    Beat(u64),
    /// The answer to one, with its time.
    Echo(u64),
    /// The node's report, and the alive peers that it knows.
    Report(Box<NodeReport>, Vec<PeerInfo>),
    /// It leaves.
    Farewell,
    /// Cancels the batch with this number.
    Recall(u64),
}

/// A [`Tell`] and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TellEnvelope {
    pub(super) from: SenderId,
    pub(super) what: Tell,
}

/// Requests that need an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Translate this request; the answer is an [`Answer::Translated`].
    Translate {
        /// The request, as JSON.
        request: Vec<u8>,
        /// Which part of a route it is.
        leg: Leg,
        /// The parent span, if sampled.
        span: Option<SpanRef>,
    },
    /// Do this; the answer is an [`Answer::Done`].
    Command(Command),
    /// Translate a batch of a pool there; the answer is an [`Answer::Lent`].
    Lend {
        /// Names it to its node.
        number: u64,
        /// The pool's model.
        model: String,
        /// What its translations depend on, as reports name it.
        space: String,
        /// Segments to translate.
        segments: Vec<Segment>,
        /// The batch as a span of its node, if sampled.
        span: Option<SpanRef>,
    },
}

/// An [`Ask`] and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AskEnvelope {
    pub(super) from: SenderId,
    pub(super) what: Ask,
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The result, as JSON.
    Translated(Vec<u8>),
    /// The command was carried out.
    Done(CommandDone),
    /// The translations of a batch, or why there are none.
    Lent(Result<Vec<Translation>, PeerError>),
    /// It could not be done.
    Failed(String),
    /// The node has too much to do.
    Busy,
}

/// Writes a message.
pub(super) fn write(message: &impl Serialize) -> Result<Vec<u8>, MessageError> {
    let bytes = postcard::to_stdvec(message).map_err(MessageError::Unreadable)?;
    match bytes.len() {
        length if length > LONGEST => Err(MessageError::TooLong(length)),
        _ => Ok(bytes),
    }
}

/// A [`Tell`] as it stands in messages, written once for all who are told it.
pub(super) struct EncodedTell(Vec<u8>);

impl EncodedTell {
    pub(super) fn new(what: &Tell) -> Result<Self, MessageError> {
        write(what).map(Self)
    }

    /// The [`TellEnvelope`] of this speaker.
    pub(super) fn by(&self, from: SenderId) -> Result<Vec<u8>, MessageError> {
        // The form writes the fields of a struct one after the other, and nothing else.
        let mut bytes = write(&from)?;
        bytes.extend_from_slice(&self.0);
        match bytes.len() {
            length if length > LONGEST => Err(MessageError::TooLong(length)),
            _ => Ok(bytes),
        }
    }
}

/// Reads a message.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    if bytes.len() > LONGEST {
        return Err(MessageError::TooLong(bytes.len()));
    }
    postcard::from_bytes(bytes).map_err(MessageError::Unreadable)
}

/// Messages of a gateway, from other gateways or its own node.
pub(super) enum GatewayMessage {
    /// A [`TellEnvelope`] of another node.
    Tell(Vec<u8>),
    /// An [`AskEnvelope`] of another node, and where its [`Answer`] goes.
    Ask(Vec<u8>, RpcReplyPort<Vec<u8>>),
    /// A node is at the other end of a new connection.
    Met(Box<PeerConnection>),
    /// The library is ready to send over the connection of this label.
    Ready {
        /// Of the connection.
        label: String,
        /// The library's number of it.
        node_id: u64,
    },
    /// The library has let the connection of this label go.
    Gone {
        /// Of the connection.
        label: String,
    },
    /// The connection of this label should be ready by now.
    Overdue {
        /// Of the connection.
        label: String,
    },
    /// How this node does.
    Report(Box<NodeReport>),
    /// Time has passed.
    Tick,
    /// Leave the cluster.
    Leave(RpcReplyPort<()>),
}

/// The library sends only the first two kinds to other nodes.
impl Message for GatewayMessage {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        let variant = String::new();
        match self {
            Self::Tell(args) => Ok(SerializedMessage::Cast {
                variant,
                args,
                metadata: None,
            }),
            Self::Ask(args, reply) => Ok(SerializedMessage::Call {
                variant,
                args,
                reply,
                metadata: None,
            }),
            _ => Err(BoxedDowncastErr),
        }
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Cast { args, .. } => Ok(Self::Tell(args)),
            SerializedMessage::Call { args, reply, .. } => Ok(Self::Ask(args, reply)),
            SerializedMessage::CallReply(..) => Err(BoxedDowncastErr),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_of_another_node_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read::<TellEnvelope>(&bytes);
            let _ = read::<AskEnvelope>(&bytes);
            let _ = read::<Answer>(&bytes);
        }

        #[test]
        fn messages_survive_a_round_trip(session: [u8; 32], incarnation: u64, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let session = postcard::from_bytes(&postcard::to_stdvec(&session).unwrap()).unwrap();
            let from = SenderId { session, incarnation };
            let told = TellEnvelope { from, what: Tell::Beat(incarnation) };
            prop_assert_eq!(&read::<TellEnvelope>(&write(&told).unwrap()).unwrap(), &told);
            let others = vec![PeerInfo { node: "a".to_owned(), address: "a:1".to_owned(), incarnation }];
            let report = Box::new(crate::sample::report(&["fr"]));
            for what in [Tell::Farewell, Tell::Beat(incarnation), Tell::Report(report, others)] {
                let written = EncodedTell::new(&what).unwrap().by(from).unwrap();
                prop_assert_eq!(written, write(&TellEnvelope { from, what }).unwrap());
            }
            let asked = AskEnvelope { from, what: Ask::Translate { request: bytes, leg: Leg::Whole, span: None } };
            prop_assert_eq!(&read::<AskEnvelope>(&write(&asked).unwrap()).unwrap(), &asked);
        }
    }

    #[test]
    fn oversized_messages_are_neither_written_nor_read() {
        let long = Answer::Translated(vec![0; LONGEST + 1]);
        assert!(matches!(write(&long), Err(MessageError::TooLong(_))));
        assert!(matches!(
            read::<Answer>(&vec![0; LONGEST + 1]),
            Err(MessageError::TooLong(_))
        ));
    }
}
