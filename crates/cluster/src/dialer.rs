//! Dials seeds, and nodes that others know, for as long as there is no connection to them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use babelmesh_telemetry::events::NodeEvent;
use tokio::sync::mpsc;

use super::{
    handshake::HandshakeError,
    redial::{Redial, RedialBackoff},
    shared::Shared,
    transport::{PeerConnection, Transport},
};

/// Interval between dial rounds.
const LOOK: Duration = Duration::from_millis(50);
/// How often seeds are looked up again whose nodes are all there: others may have come.
const LOOK_UP: Duration = Duration::from_secs(2);
/// Most addresses of one seed.
const MOST_ADDRESSES: usize = 256;

/// A dial target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Target {
    /// A seed address.
    Seed(String),
    /// A node.
    Node(String),
}

/// Result of dialling a target.
struct Outcome {
    target: Target,
    /// Whose the addresses are.
    owners: Vec<(SocketAddr, String)>,
    /// Whether a connection to each of them was made or existed already.
    settled: bool,
}

/// Dials.
pub(super) struct Dialer<G> {
    pub(super) seeds: Vec<String>,
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Arc<Transport>,
    pub(super) backoff: RedialBackoff,
    /// Takes connections that are kept.
    pub(super) on_connected: G,
}

/// Addresses that are being dialled: a seed and a node may share one.
type InProgress = Arc<Mutex<HashSet<SocketAddr>>>;

impl<G: Fn(PeerConnection) + Clone + Send + Sync + 'static> Dialer<G> {
    /// Dials until it is dropped.
    pub(super) async fn run(self) {
        let (done, mut outcomes) = mpsc::channel::<Outcome>(64);
        let mut targets: BTreeMap<Target, Redial> = BTreeMap::new();
        let mut owners: HashMap<SocketAddr, String> = HashMap::new();
        let under_way = InProgress::default();
        loop {
            tokio::select! {
                Some(outcome) = outcomes.recv() => {
                    let now = Instant::now();
                    owners.extend(outcome.owners);
                    if owners.len() > 4_096 {
                        owners.clear();
                    }
                    if let Some(redial) = targets.get_mut(&outcome.target) {
                        *redial = self.after(*redial, outcome.settled, now);
                    }
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = Instant::now();
            let wanted = self.wanted();
            targets.retain(|target, _| wanted.contains_key(target));
            for node in self.shared.take_hints() {
                if let Some(redial) = targets.get_mut(&Target::Node(node)) {
                    *redial = redial.expedite(now);
                }
            }
            for (target, hosts) in wanted {
                let redial = targets.entry(target.clone()).or_insert(Redial::new(now));
                if redial.is_due(now) {
                    *redial = redial.tried();
                    let under_way = Arc::clone(&under_way);
                    self.dial(target, hosts, (owners.clone(), under_way), done.clone());
                }
            }
        }
    }

    fn after(&self, redial: Redial, settled: bool, now: Instant) -> Redial {
        if settled {
            return redial.postponed(now, LOOK_UP);
        }
        redial.failed(now, self.backoff, rand::random())
    }

    /// Everybody who should be dialled, with the hosts and ports where it may be: seeds always, nodes as long as there is no connection to them.
    fn wanted(&self) -> BTreeMap<Target, Vec<String>> {
        let seeds = self.seeds.iter();
        let seeds = seeds.map(|seed| (Target::Seed(seed.clone()), vec![seed.clone()]));
        let nodes = self.shared.membership_table().wanted().into_iter();
        let nodes = nodes.filter(|(node, _)| !self.shared.has_link(node));
        let nodes = nodes.map(|(node, hosts)| (Target::Node(node), hosts));
        seeds.chain(nodes).collect()
    }

    fn dial(
        &self,
        target: Target,
        hosts: Vec<String>,
        (owners, under_way): (HashMap<SocketAddr, String>, InProgress),
        done: mpsc::Sender<Outcome>,
    ) {
        let (transport, shared) = (Arc::clone(&self.transport), Arc::clone(&self.shared));
        let on_connected = self.on_connected.clone();
        tokio::spawn(async move {
            let mut outcome = Outcome {
                target,
                owners: Vec::new(),
                settled: true,
            };
            // A name that cannot be resolved does not delay the others.
            let dialled = hosts.iter().map(async |host| {
                let addresses = match look_up(host).await {
                    Ok(addresses) => addresses,
                    Err(error) => {
                        let error = &format!("{error:#}");
                        NodeEvent::ClusterTrouble { error }.emit();
                        return vec![Attempt::open()];
                    }
                };
                let attempts = addresses.into_iter().map(async |address| {
                    let Some(_turn) = DialGuard::take(&under_way, address) else {
                        return Attempt::open();
                    };
                    let owner = owners.get(&address);
                    attempt(&transport, &shared, &on_connected, address, owner).await
                });
                futures_util::future::join_all(attempts).await
            });
            for attempt in futures_util::future::join_all(dialled).await.concat() {
                outcome.settled &= attempt.settled;
                outcome.owners.extend(attempt.owner);
            }
            // The dialler may have ended.
            let _ = done.send(outcome).await;
        });
    }
}

/// The right to dial an address.
struct DialGuard<'a>(&'a InProgress, SocketAddr);

impl<'a> DialGuard<'a> {
    fn take(under_way: &'a InProgress, address: SocketAddr) -> Option<Self> {
        let mut addresses = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = addresses.insert(address);
        drop(addresses);
        // Made only when it is ours: dropping it gives the address free.
        is_free.then(|| Self(under_way, address))
    }
}

impl Drop for DialGuard<'_> {
    fn drop(&mut self) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.remove(&self.1);
    }
}

#[derive(Clone)]
struct Attempt {
    owner: Option<(SocketAddr, String)>,
    settled: bool,
}

impl Attempt {
    /// Nothing is known yet.
    const fn open() -> Self {
        Self {
            owner: None,
            settled: false,
        }
    }
}

async fn attempt(
    transport: &Transport,
    shared: &Shared,
    on_connected: &impl Fn(PeerConnection),
    address: SocketAddr,
    owner: Option<&String>,
) -> Attempt {
    let is_here = |name: &String| *name == shared.me().name || shared.has_link(name);
    if owner.is_some_and(is_here) {
        return Attempt {
            owner: None,
            settled: true,
        };
    }
    match transport.dial(address).await {
        Ok(contact) => {
            let name = contact.peer.name.clone();
            // An introduction ends here; the other node calls back.
            let settled = contact.peer.kept;
            if settled {
                // From now on nobody dials it a second time; the gateway fills in the rest.
                shared.links().entry(name.clone()).or_default();
                on_connected(contact);
            }
            Attempt {
                owner: Some((address, name)),
                settled,
            }
        }
        Err(error) => {
            let itself = matches!(error.downcast_ref(), Some(HandshakeError::Itself));
            if !itself {
                transport.tell_of_refusal(&error, address, true);
            }
            Attempt {
                owner: itself.then(|| (address, shared.me().name.clone())),
                settled: itself,
            }
        }
    }
}

/// All addresses that host:port stands for.
async fn look_up(address: &str) -> Result<Vec<SocketAddr>> {
    let looking = || format!("looking {address} up");
    let found = tokio::time::timeout(Duration::from_secs(5), tokio::net::lookup_host(address))
        .await
        .with_context(looking)?
        .with_context(looking)?;
    let mut found: Vec<_> = found.take(MOST_ADDRESSES).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        bail!("looking {address} up: it has no address");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_dialled_by_one_at_a_time() {
        let (under_way, address) = (InProgress::default(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let first = DialGuard::take(&under_way, address);
        assert!(first.is_some() && DialGuard::take(&under_way, address).is_none());
        assert!(
            DialGuard::take(&under_way, address).is_none(),
            "whoever was too late frees nothing"
        );
        drop(first);
        assert!(DialGuard::take(&under_way, address).is_some());
    }
}
