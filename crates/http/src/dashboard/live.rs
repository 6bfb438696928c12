//! The live feed: an actor that looks at the node once a second, and the WebSockets of those who watch.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture,
};
use actix_web::{
    HttpRequest, HttpResponse,
    error::{ErrorForbidden, ErrorServiceUnavailable},
    http::header,
    web::{Data, Payload},
};
use actix_ws::Message as Frame;
use babelmesh_actors::domain::Lane;
use babelmesh_telemetry::status::{ClusterView, MemberState, NodeStatus, StatusSource};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use crate::{
    Health, Parts, Readiness,
    feed::{Feed, now_ms},
    peers::Peers,
};

/// How often the node is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Looks that are kept: ten minutes.
const KEPT: usize = 600;
/// Maximum dashboard sessions.
const MOST: usize = 64;
/// Send timeout of a dashboard session.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The node at one look.
#[derive(Debug, Clone, Copy, Serialize)]
struct Sample {
    at_ms: u64,
    /// Translations a second since the last look.
    rate: f64,
    /// Longest queue delay of the interactive and the normal lane, in milliseconds.
    delay_ms: u64,
    /// Records that are not read yet.
    lag: u64,
    /// Model actors, and those of them that are warm.
    actors: usize,
    warm: usize,
}

/// Looks at the node and tells who watches.
pub(crate) struct LiveFeed {
    status: Arc<dyn StatusSource>,
    health: Arc<Health>,
    cluster: Option<Arc<dyn Peers>>,
    feed: Arc<Feed>,
    samples: VecDeque<Sample>,
    /// Translated so far, and when that was read.
    before: Option<(u64, u64)>,
    newest: Option<NodeSample>,
    told: u64,
    /// The newest frame. Slow clients skip frames; nothing is buffered.
    frames: Option<watch::Sender<Arc<str>>>,
}

/// The node, and the cluster around it.
#[derive(Debug, Clone, Serialize)]
struct NodeSample {
    status: NodeStatus,
    readiness: Readiness,
    cluster: Option<ClusterView>,
}

impl LiveFeed {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            status: Arc::clone(&parts.status),
            health: Arc::clone(&parts.health),
            cluster: parts.cluster.clone(),
            feed: Arc::clone(&parts.feed),
            samples: VecDeque::with_capacity(KEPT),
            before: None,
            newest: None,
            told: 0,
            frames: Some(watch::Sender::new(Arc::from(""))),
        }
    }

    fn look(&mut self, status: NodeStatus) {
        let sample = self.sample(&status);
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let look = NodeSample {
            readiness: self.health.readiness(&status),
            cluster: self.cluster.as_ref().map(|cluster| cluster.view()),
            status,
        };
        self.compare_members(&look);
        let (events, told) = self.feed.since(self.told);
        self.told = told;
        // New sessions get the history; without sessions no frame is built.
        if let Some(frames) = &self.frames
            && frames.receiver_count() > 0
        {
            let frame = json!({"look": look, "samples": [sample], "events": events});
            frames.send_replace(Arc::from(frame.to_string()));
        }
        self.newest = Some(look);
    }

    /// Notes who came and who went since the last look.
    fn compare_members(&self, look: &NodeSample) {
        let before = self.newest.as_ref().and_then(|look| look.cluster.as_ref());
        for member in look.cluster.iter().flat_map(|view| &view.members) {
            let known = before.and_then(|view| view.member(&member.node));
            if member.state != MemberState::Own && known.map(|m| m.state) != Some(member.state) {
                self.feed.member_changed(&member.node, member.state);
            }
        }
    }

    fn sample(&mut self, status: &NodeStatus) -> Sample {
        let now = now_ms();
        let translated = status.pools.iter().map(|pool| pool.translated).sum();
        let rate = self.before.map_or(0.0, |(before, at)| {
            let seconds = (now.saturating_sub(at)).max(1) as f64 / 1e3;
            (translated as f64 - before as f64).max(0.0) / seconds
        });
        self.before = Some((translated, now));
        let lanes = [Lane::Interactive, Lane::Normal];
        let delays = status
            .pools
            .iter()
            .flat_map(|pool| lanes.map(|lane| pool.lanes[lane].oldest_ms));
        let actors = status.pools.iter().flat_map(|pool| &pool.actors);
        Sample {
            at_ms: now,
            rate: (rate * 10.0).round() / 10.0,
            delay_ms: delays.max().unwrap_or(0),
            lag: status.requests.lag_records + status.jobs.lag_records,
            actors: actors.clone().count(),
            warm: actors.filter(|actor| actor.phase.is_warm()).count(),
        }
    }
}

impl Actor for LiveFeed {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(EVERY, |this, context| {
            let status = Arc::clone(&this.status);
            let look = async move { status.read().await };
            let look = look
                .into_actor(this)
                .map(|status, this, _| this.look(status));
            // The next look waits for this one: a node that answers late is not asked twice at a time.
            context.wait(look);
        });
    }
}

/// A new session. The answer contains the history and a receiver of frames; none if there are too many sessions.
#[derive(Message)]
#[rtype(result = "Option<Subscription>")]
struct Subscribe;

struct Subscription {
    so_far: String,
    frames: watch::Receiver<Arc<str>>,
}

impl Handler<Subscribe> for LiveFeed {
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Self>) -> Self::Result {
        let frames = self
            .frames
            .as_ref()
            .filter(|frames| frames.receiver_count() < MOST);
        MessageResult(frames.map(|frames| {
            let (events, _) = self.feed.since(0);
            let so_far = json!({"look": self.newest, "samples": self.samples, "events": events});
            let mut frames = frames.subscribe();
            frames.borrow_and_update();
            Subscription {
                so_far: so_far.to_string(),
                frames,
            }
        }))
    }
}

/// The node stops: all sessions are closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

impl Handler<Shutdown> for LiveFeed {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) {
        self.frames = None;
    }
}

/// A browser that watches. Pages of other sites may not: a browser would let them connect to this machine.
pub(super) async fn socket(
    request: HttpRequest,
    body: Payload,
    live: Data<Addr<LiveFeed>>,
) -> actix_web::Result<HttpResponse> {
    if !is_same_site(&request) {
        return Err(ErrorForbidden("cross-origin request rejected"));
    }
    let subscription = live.send(Subscribe).await.ok().flatten();
    let Subscription { so_far, mut frames } =
        subscription.ok_or_else(|| ErrorServiceUnavailable("too many dashboard sessions"))?;
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        let mut frame: Arc<str> = Arc::from(so_far);
        'watching: loop {
            let sent = tokio::time::timeout(TIMEOUT, session.text(&*frame)).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
            loop {
                tokio::select! {
                    changed = frames.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => break 'watching,
                    },
                    message = messages.recv() => match message {
                        Some(Ok(Frame::Ping(bytes))) => {
                            if session.pong(&bytes).await.is_err() {
                                break 'watching;
                            }
                        }
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => break 'watching,
                        Some(Ok(_)) => {}
                    },
                }
            }
            frame = Arc::clone(&frames.borrow_and_update());
        }
        let _ = session.close(None).await;
    });
    Ok(response)
}

fn is_same_site(request: &HttpRequest) -> bool {
    let value = |name| request.headers().get(name)?.to_str().ok();
    let Some(origin) = value(header::ORIGIN) else {
        // No browser: it sends one with every WebSocket.
        return true;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == value(header::HOST)
}
