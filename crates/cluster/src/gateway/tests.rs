use babelmesh_telemetry::status::MemberState;
use ractor::MessagingErr;
use tokio::sync::mpsc;

use super::*;
use crate::sample::report;
use crate::{
    command::{Command, CommandDone},
    handshake::{Identity, Incarnation, PROTOCOL, PeerVerifier, accept, dial},
    link::Link,
    membership::FailureTimeouts,
    membership_table::MembershipTable,
};

struct Nobody;

#[async_trait::async_trait]
impl Host for Nobody {
    async fn translate(
        &self,
        _: Vec<u8>,
        _: babelmesh_actors::domain::Leg,
        _: Option<babelmesh_actors::domain::SpanRef>,
    ) -> Result<Vec<u8>, String> {
        Ok(b"translated".to_vec())
    }

    async fn command(&self, _: Command, by: &str) -> Result<CommandDone, String> {
        Err(by.to_owned())
    }

    async fn lend(
        &self,
        _: &str,
        _: (&str, String),
        _: Vec<babelmesh_actors::engine::Segment>,
        _: Option<babelmesh_actors::domain::SpanRef>,
    ) -> Result<Vec<babelmesh_actors::engine::Translation>, babelmesh_actors::offload::PeerError>
    {
        Ok(Vec::new())
    }
}

/// Takes connections and does nothing with them.
struct Library(mpsc::UnboundedSender<()>);

impl Actor for Library {
    type Msg = NodeServerMessage;
    type State = Vec<NodeServerMessage>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<NodeServerMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<NodeServerMessage>,
        message: NodeServerMessage,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        kept.push(message);
        let _ = self.0.send(());
        Ok(())
    }
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

fn identity(name: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        address: format!("{name}:7700"),
        incarnation: Incarnation::default(),
        cookie: "a secret of them all".into(),
        protocol: PROTOCOL,
    }
}

/// A node `me`, whose gateway is connected to some others. Returns what each of those says of itself over its connection.
async fn connected<const N: usize>(
    others: [&str; N],
) -> (Arc<Shared>, ActorRef<GatewayMessage>, [SenderId; N]) {
    let me = identity("me");
    let timeouts = FailureTimeouts {
        suspect: Duration::from_secs(60),
        down: Duration::from_secs(120),
    };
    let membership_table =
        MembershipTable::new(me.name.clone(), timeouts, Duration::from_secs(600));
    let shared = Arc::new(Shared::new(me.clone(), membership_table));
    let (told, mut heard) = mpsc::unbounded_channel();
    let (server, _) = Actor::spawn(None, Library(told), ()).await.unwrap();
    let start = GatewayStart {
        shared: Arc::clone(&shared),
        server,
        host: Arc::new(Nobody),
        settle: Duration::from_secs(60),
    };
    let (gateway, _) = Actor::spawn(None, Gateway, start).await.unwrap();
    heard.recv().await.unwrap();
    let mut speakers = Vec::new();
    for (number, name) in others.into_iter().enumerate() {
        let other = identity(name);
        let (mut here, mut there) = tokio::io::duplex(8_192);
        let (at_me, at_other) = tokio::join!(
            accept(&mut here, &me, &Open, b"tls"),
            dial(&mut there, &other, &Open, b"tls"),
        );
        let (peer, seen) = (at_me.unwrap(), at_other.unwrap());
        let label = format!("{name}#1");
        let contact = PeerConnection {
            peer,
            link: Link::new(Box::new(here), label.clone()),
            dialled: false,
        };
        gateway
            .cast(GatewayMessage::Met(Box::new(contact)))
            .unwrap();
        heard.recv().await.unwrap();
        let node_id = number as u64 + 1;
        gateway
            .cast(GatewayMessage::Ready { label, node_id })
            .unwrap();
        speakers.push(SenderId {
            session: seen.session,
            incarnation: other.incarnation.get(),
        });
    }
    (shared, gateway, speakers.try_into().ok().unwrap())
}

fn tell(
    gateway: &ActorRef<GatewayMessage>,
    from: SenderId,
    what: Tell,
) -> Result<(), MessagingErr<GatewayMessage>> {
    let bytes = message::write(&TellEnvelope { from, what }).unwrap();
    gateway.cast(GatewayMessage::Tell(bytes))
}

async fn ask(gateway: &ActorRef<GatewayMessage>, from: SenderId, what: Ask) -> Answer {
    let bytes = message::write(&AskEnvelope { from, what }).unwrap();
    let within = Some(Duration::from_secs(5));
    let answer = gateway
        .call(|reply| GatewayMessage::Ask(bytes, reply), within)
        .await;
    message::read(&answer.unwrap().unwrap()).unwrap()
}

fn command() -> Ask {
    Ask::Command(Command {
        id: "1".to_owned(),
        node: "me".to_owned(),
        action: crate::command::Action::Drain,
    })
}

#[tokio::test]
async fn a_member_cannot_impersonate_another_one() {
    let (shared, gateway, [anna, bert]) = connected(["anna", "bert"]).await;
    assert_ne!(anna.session, bert.session);
    // Bert knows Anna's incarnation, and not the key of her connection.
    let forged = SenderId {
        incarnation: anna.incarnation,
        ..bert
    };
    tell(
        &gateway,
        forged,
        Tell::Report(Box::new(report(&["es"])), Vec::new()),
    )
    .unwrap();
    tell(&gateway, forged, Tell::Farewell).unwrap();
    // Everything before this is handled when it is answered, by Bert's own name.
    let answer = ask(&gateway, forged, command()).await;
    assert_eq!(answer, Answer::Failed("bert".to_owned()));
    let view = shared.view();
    let anna_now = view.member("anna").unwrap();
    assert_eq!(
        (anna_now.state, &anna_now.report),
        (MemberState::Alive, &None)
    );
    tell(
        &gateway,
        anna,
        Tell::Report(Box::new(report(&["es"])), Vec::new()),
    )
    .unwrap();
    let answer = ask(&gateway, anna, command()).await;
    assert_eq!(answer, Answer::Failed("anna".to_owned()));
    let view = shared.view();
    assert!(view.member("anna").unwrap().report.is_some());
    assert_eq!(view.forged_messages, 0);
}

#[tokio::test]
async fn a_message_that_came_over_no_connection_is_dropped_and_counted() {
    let (shared, gateway, [anna]) = connected(["anna"]).await;
    let (_, _, [remote_nodes]) = connected(["anna"]).await;
    let stranger = SenderId {
        incarnation: anna.incarnation,
        ..remote_nodes
    };
    tell(&gateway, stranger, Tell::Farewell).unwrap();
    let answer = ask(&gateway, stranger, command()).await;
    assert!(matches!(answer, Answer::Failed(error) if error.contains("not connected")));
    let view = shared.view();
    assert_eq!(view.member("anna").unwrap().state, MemberState::Alive);
    assert_eq!(view.forged_messages, 2);
    tell(&gateway, anna, Tell::Farewell).unwrap();
    ask(&gateway, anna, command()).await;
    assert_eq!(
        shared.view().member("anna").unwrap().state,
        MemberState::Left
    );
}
