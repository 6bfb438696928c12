//! The gateway: the only remotely visible actor of a node.
//!
//! It owns the connections: for each node at most one, which passed the handshake, and which ractor_cluster then speaks over. A new
//! connection to the same node replaces the old one, but is given to the library only after that has let the old one go, because
//! of two connections the library keeps whichever has the smaller random number.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use babelmesh_telemetry::events::NodeEvent;
use babelmesh_telemetry::status::NodeReport;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::{
    NodeEventSubscription, NodeServerMessage, node::NodeServerSessionInformation,
};
use tokio::{sync::Semaphore, task::AbortHandle};

use super::{
    Host,
    handshake::{self, Peer},
    link::CancellationToken,
    membership::MemberEvent,
    membership_table::Change,
    message::{
        self, Answer, Ask, AskEnvelope, EncodedTell, GatewayMessage, MessageError, SenderId, Tell,
        TellEnvelope,
    },
    shared::{LinkState, Shared},
    transport::PeerConnection,
};

/// Requests of other nodes that are worked on at once.
const MOST_REQUESTS: usize = 256;
/// How long a request of a caller that names no limit may take.
const LONGEST: Duration = Duration::from_secs(120);

/// The actor.
pub(super) struct Gateway;

/// Start arguments.
pub(super) struct GatewayStart {
    pub(super) shared: Arc<Shared>,
    /// The library's part, which speaks over the connections.
    pub(super) server: ActorRef<NodeServerMessage>,
    /// Does what other nodes ask for.
    pub(super) host: Arc<dyn Host>,
    /// How long the library may take to make a connection usable.
    pub(super) settle: Duration,
}

/// Its state.
pub(super) struct GatewayState {
    start: GatewayStart,
    links: HashMap<String, OpenLink>,
    /// New connections that wait for the library to let the old one of the same node go.
    waiting: HashMap<String, Box<PeerConnection>>,
    requests: Arc<Semaphore>,
    /// Batches of other nodes that are being done here, by node and number.
    loans: HashMap<(String, u64), AbortHandle>,
}

struct OpenLink {
    label: String,
    cut: CancellationToken,
    peer: Peer,
    usable: bool,
}

impl Actor for Gateway {
    type Msg = GatewayMessage;
    type State = GatewayState;
    type Arguments = GatewayStart;

    async fn pre_start(
        &self,
        myself: ActorRef<GatewayMessage>,
        start: GatewayStart,
    ) -> Result<GatewayState, ActorProcessingErr> {
        start.server.cast(NodeServerMessage::SubscribeToEvents {
            id: "gateway".to_owned(),
            subscription: Box::new(SessionObserver(myself.clone())),
        })?;
        start.shared.publish(&myself);
        Ok(GatewayState {
            start,
            links: HashMap::new(),
            waiting: HashMap::new(),
            requests: Arc::new(Semaphore::new(MOST_REQUESTS)),
            loans: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<GatewayMessage>,
        message: GatewayMessage,
        state: &mut GatewayState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            GatewayMessage::Tell(bytes) => state.told(&bytes),
            GatewayMessage::Ask(bytes, reply) => state.asked(&bytes, reply),
            GatewayMessage::Met(contact) => state.met(contact, &myself),
            GatewayMessage::Ready { label, node_id } => state.ready(&label, node_id),
            GatewayMessage::Gone { label } => state.gone(&label, &myself),
            GatewayMessage::Overdue { label } => state.overdue(&label),
            GatewayMessage::Report(report) => state.report(*report),
            GatewayMessage::Tick => state.tick(),
            GatewayMessage::Leave(reply) => {
                state.tell_all(&Tell::Farewell);
                // The requester may have disconnected.
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

impl GatewayState {
    /// A peer has connected.
    fn met(&mut self, contact: Box<PeerConnection>, myself: &ActorRef<GatewayMessage>) {
        let (name, incarnation) = (&contact.peer.name, contact.peer.incarnation);
        let admitted = self
            .start
            .shared
            .membership_table()
            .admit(name, incarnation);
        let older = self
            .links
            .get(name)
            .is_some_and(|link| link.peer.incarnation > incarnation);
        if admitted.is_err() || older {
            if !self.links.contains_key(name) {
                self.start.shared.links().remove(name);
            }
            return;
        }
        match self.links.get(name) {
            Some(old) => {
                old.cut.now();
                self.waiting.insert(name.clone(), contact);
            }
            None => self.open(*contact, myself),
        }
    }

    fn open(&mut self, contact: PeerConnection, myself: &ActorRef<GatewayMessage>) {
        let PeerConnection {
            peer,
            link,
            dialled,
        } = contact;
        let label = link.label().to_owned();
        let name = peer.name.clone();
        let open = OpenLink {
            label: label.clone(),
            cut: link.cut(),
            peer,
            usable: false,
        };
        let given = self
            .start
            .server
            .cast(NodeServerMessage::ConnectionOpenedExternal {
                stream: Box::new(link),
                is_server: !dialled,
            });
        if given.is_err() {
            // The library's part has ended, and the node with it.
            return;
        }
        let state = LinkState {
            number: None,
            session: Some(open.peer.session),
        };
        self.start.shared.links().insert(name.clone(), state);
        self.links.insert(name, open);
        let overdue = move || GatewayMessage::Overdue { label };
        myself.send_after(self.start.settle, overdue);
    }

    fn ready(&mut self, label: &str, node_id: u64) {
        let Some(link) = self.links.values_mut().find(|link| link.label == label) else {
            return;
        };
        link.usable = true;
        let peer = link.peer.clone();
        let shared = &self.start.shared;
        let state = LinkState {
            number: Some(node_id),
            session: Some(peer.session),
        };
        shared.links().insert(peer.name.clone(), state);
        shared.note_change();
        let change = shared.membership_table().linked(
            &peer.name,
            &peer.address,
            peer.incarnation,
            Instant::now(),
        );
        self.changed(change);
        let report = shared.report().clone();
        if let Some(report) = report {
            let tell = self.tell_of(report);
            self.tell(&peer.name, &tell);
        }
    }

    fn gone(&mut self, label: &str, myself: &ActorRef<GatewayMessage>) {
        let found = self.links.iter().find(|(_, link)| link.label == label);
        let Some(name) = found.map(|(name, _)| name.clone()) else {
            return;
        };
        self.links.remove(&name);
        let shared = &self.start.shared;
        shared.links().remove(&name);
        shared.round_trips().remove(&name);
        shared.note_change();
        // Its offloaded batches are cancelled.
        self.loans.retain(|(node, _), loan| {
            let keep = *node != name && !loan.is_finished();
            if !keep {
                loan.abort();
            }
            keep
        });
        let change = shared
            .membership_table()
            .apply(&name, MemberEvent::Unlinked, Instant::now());
        self.changed(change);
        if let Some(contact) = self.waiting.remove(&name) {
            self.open(*contact, myself);
        }
    }

    fn overdue(&mut self, label: &str) {
        let late = |link: &&OpenLink| link.label == label && !link.usable;
        if let Some(link) = self.links.values().find(late) {
            link.cut.now();
        }
    }

    fn told(&mut self, bytes: &[u8]) {
        let TellEnvelope { from, what } = match message::read(bytes) {
            Ok(told) => told,
            Err(error) => return trouble(&error),
        };
        let Some(node) = self.name_of(from) else {
            return;
        };
        let (now, incarnation) = (Instant::now(), from.incarnation);
        let event = match what {
            Tell::Farewell => MemberEvent::Farewell { incarnation },
            _ => MemberEvent::Heard { incarnation },
        };
        let mut membership_table = self.start.shared.membership_table();
        let change = membership_table.apply(&node, event, now);
        if let Tell::Report(report, others) = what {
            membership_table.reported(&node, incarnation, *report);
            membership_table.merge_gossip(others, now, handshake::clock());
            drop(membership_table);
        } else {
            drop(membership_table);
            self.handle_tell(&node, &what);
        }
        self.changed(change);
    }

    /// The sender of a message, by its connection. None if there is no such connection.
    fn name_of(&self, from: SenderId) -> Option<String> {
        let mut links = self.links.iter();
        let found = links.find(|(_, link)| link.peer.session == from.session);
        if found.is_none() {
            self.start.shared.note_forged();
            let error = "message dropped: its sender is not connected";
            NodeEvent::ClusterTrouble { error }.emit();
        }
        found.map(|(name, _)| name.clone())
    }

    fn handle_tell(&mut self, from: &str, what: &Tell) {
        let shared = &self.start.shared;
        match what {
            Tell::Beat(at) => self.tell(from, &Tell::Echo(*at)),
            Tell::Echo(at) => {
                let trip = Duration::from_micros(shared.clock().saturating_sub(*at));
                let mut trips = shared.round_trips();
                let mean = trips.entry(from.to_owned()).or_insert(trip);
                *mean = (*mean * 7 + trip) / 8;
            }
            Tell::Recall(number) => {
                if let Some(loan) = self.loans.remove(&(from.to_owned(), *number)) {
                    loan.abort();
                }
            }
            Tell::Report(..) | Tell::Farewell => {}
        }
    }

    fn asked(&mut self, bytes: &[u8], reply: RpcReplyPort<Vec<u8>>) {
        let asked: AskEnvelope = match message::read(bytes) {
            Ok(asked) => asked,
            Err(error) => return answer(reply, Answer::Failed(error.to_string())),
        };
        let Some(node) = self.name_of(asked.from) else {
            let error = "the sender is not connected".to_owned();
            return answer(reply, Answer::Failed(error));
        };
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            return answer(reply, Answer::Busy);
        };
        let host = Arc::clone(&self.start.host);
        let loan = match &asked.what {
            Ask::Lend { number, .. } => Some((node.clone(), *number)),
            _ => None,
        };
        let within = reply.get_timeout().unwrap_or(LONGEST);
        let task = tokio::spawn(async move {
            let done = match asked.what {
                Ask::Lend {
                    model,
                    space,
                    segments,
                    span,
                    ..
                } => {
                    let pool = (model.as_str(), space);
                    let lent = host.lend(&node, pool, segments, span);
                    Ok(Answer::Lent(lent.await))
                }
                // The requester waits no longer than that. A command is not cut off half way.
                Ask::Translate { request, leg, span } => {
                    tokio::time::timeout(within, host.translate(request, leg, span))
                        .await
                        .unwrap_or_else(|_| Err("translation timed out".to_owned()))
                        .map(Answer::Translated)
                }
                Ask::Command(command) => host.command(command, &node).await.map(Answer::Done),
            };
            answer(reply, done.unwrap_or_else(Answer::Failed));
            drop(permit);
        });
        if let Some(loan) = loan {
            self.loans.retain(|_, loan| !loan.is_finished());
            self.loans.insert(loan, task.abort_handle());
        }
    }

    fn tick(&mut self) {
        let changes = self.start.shared.membership_table().tick(Instant::now());
        for change in changes {
            if change.to.is_over() {
                // Later messages of it are ignored; a new connection announces its new incarnation.
                if let Some(link) = self.links.get(&change.node) {
                    link.cut.now();
                }
            }
            self.changed(Some(change));
        }
        self.tell_all(&Tell::Beat(self.start.shared.clock()));
    }

    fn report(&mut self, report: NodeReport) {
        *self.start.shared.report() = Some(report.clone());
        self.tell_all(&self.tell_of(report));
    }

    fn tell_of(&self, report: NodeReport) -> Tell {
        Tell::Report(
            Box::new(report),
            self.start.shared.membership_table().known_peers(),
        )
    }

    fn tell_all(&self, what: &Tell) {
        let Some(written) = written(what) else { return };
        for (node, link) in &self.links {
            if link.usable {
                self.tell_written(node, &written);
            }
        }
    }

    fn tell(&self, node: &str, what: &Tell) {
        if let Some(written) = written(what) {
            self.tell_written(node, &written);
        }
    }

    fn tell_written(&self, node: &str, what: &EncodedTell) {
        let Some(from) = self.start.shared.speaker_to(node) else {
            return;
        };
        match what.by(from) {
            // A disconnected node is skipped.
            Ok(bytes) => {
                if let Some(gateway) = self.start.shared.gateway_of(node) {
                    let _ = gateway.cast(GatewayMessage::Tell(bytes));
                }
            }
            Err(error) => trouble(&error),
        }
    }

    fn changed(&self, change: Option<Change>) {
        let Some(change) = change else { return };
        self.start.shared.note_change();
        NodeEvent::MemberChanged {
            node: &change.node,
            incarnation: change.incarnation,
            from: change.from.map_or("unknown", |state| state.name()),
            to: change.to.name(),
        }
        .emit();
    }
}

fn written(what: &Tell) -> Option<EncodedTell> {
    let written = EncodedTell::new(what);
    written.inspect_err(trouble).ok()
}

fn trouble(error: &MessageError) {
    let error = &error.to_string();
    NodeEvent::ClusterTrouble { error }.emit();
}

fn answer(reply: RpcReplyPort<Vec<u8>>, answer: Answer) {
    let bytes =
        message::write(&answer).or_else(|error| message::write(&Answer::Failed(error.to_string())));
    if let Ok(bytes) = bytes {
        // The requester may have given up.
        let _ = reply.send(bytes);
    }
}

/// Notifies the gateway about its connections in the library.
struct SessionObserver(ActorRef<GatewayMessage>);

impl NodeEventSubscription for SessionObserver {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        let _ = self.0.cast(GatewayMessage::Ready {
            label: session.peer_addr,
            node_id: session.node_id,
        });
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        let _ = self.0.cast(GatewayMessage::Gone {
            label: session.peer_addr,
        });
    }
}

#[cfg(test)]
mod tests;
