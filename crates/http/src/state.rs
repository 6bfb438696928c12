//! State shared by handlers: access, capabilities and pools.

mod documents;
mod translating;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Bytes, Payload},
};
use anyhow::Result;
use babelmesh_actors::{
    detect::{Detected, identify},
    domain::ClientId,
    glossaries::Glossaries,
    intake::IntakeMessage,
    routing::PivotPolicy,
};
use babelmesh_documents::DocumentsConfig;
use babelmesh_telemetry::{
    Format, Telemetry, Traces,
    status::{NodeStatus, StatusSource},
    traces::HttpSpan,
};
use ractor::ActorRef;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{
    address,
    body::{self, Form, Parameters},
    catalogue::Catalogue,
    error::{ApiError, Dialect},
    health::Health,
    hosts::AllowedHosts,
    keys::{Client, Keys, Refused},
    rate::Rate,
    refusal, tracing as watched,
};
use crate::{config::HttpConfig, documents::Documents, feed::Feed, peers::Peers};

/// How long it is believed what this node and others can do.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the node's status is shown before it is read again, however many ask for it.
const STATUS_FRESH: Duration = Duration::from_millis(250);
/// How old a status may be that is shown while pools are slow to answer.
const STATUS_STALE: Duration = Duration::from_secs(10);

/// What a form may have besides its file, in bytes.
const FORM_BYTES: usize = 64 << 10;

/// The largest file that there is room for among the bodies in memory.
fn room_for_a_file(http: &HttpConfig) -> usize {
    let room = http.max_buffered_bytes.min(http.max_unauthenticated_bytes);
    room.saturating_sub(FORM_BYTES)
}

/// Dependencies of the HTTP edge.
pub struct Parts {
    /// Where orders go.
    pub intake: ActorRef<IntakeMessage>,
    /// The node's part of the cluster, if it is in one.
    pub cluster: Option<Arc<dyn Peers>>,
    /// The node's metrics.
    pub telemetry: Arc<Telemetry>,
    /// Where traces go.
    pub traces: Traces,
    /// The node's status.
    pub status: Arc<dyn StatusSource>,
    /// Whether the node is ready.
    pub health: Arc<Health>,
    /// Recent events.
    pub feed: Arc<Feed>,
    /// The glossaries of the cluster.
    pub glossaries: Arc<Glossaries>,
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// Which pairs are translated over a pivot language.
    pub pivot: PivotPolicy,
    /// Limits of documents.
    pub documents: DocumentsConfig,
}

/// Whose request is answered.
pub(super) struct Requester {
    /// The client for accounting.
    pub(super) client: Arc<Client>,
    /// By which clients take turns.
    pub(super) id: ClientId,
}

/// State shared by handlers.
pub(super) struct Api {
    pub(super) parts: Parts,
    /// What this node and its cluster can do, when that was looked up, and the version of the node's models then.
    known: Mutex<Option<(Instant, u64, Arc<Catalogue>)>>,
    pub(super) keys: Keys,
    /// Keys of operators; without them, no command is taken.
    operator_keys: Option<Keys>,
    pub(super) max_texts: usize,
    pub(super) timeout: Duration,
    read_timeout: Duration,
    max_body_bytes: usize,
    room: Arc<Semaphore>,
    /// The same for bodies that must be read to find their key, on top of `room`.
    unknown_room: Arc<Semaphore>,
    pub(super) hosts: AllowedHosts,
    trusted_proxies: Vec<ipnet::IpNet>,
    status: Mutex<Option<(Instant, Arc<NodeStatus>)>>,
    /// Held by the request that reads the status for all.
    reading_status: tokio::sync::Mutex<()>,
    /// The page of metrics in each format, and the status that it was made of.
    pages: Mutex<HashMap<Format, (Arc<NodeStatus>, Bytes)>>,
    slots: Arc<Semaphore>,
    rate: Rate,
    pub(super) documents: Documents,
    /// Numbers the orders.
    orders: AtomicU64,
}

impl Api {
    pub(super) fn new(http: &HttpConfig, listen: SocketAddr, parts: Parts) -> Result<Self> {
        Ok(Self {
            known: Mutex::default(),
            documents: Documents::new(&DocumentsConfig {
                max_bytes: parts.documents.max_bytes.min(room_for_a_file(http)),
                ..parts.documents.clone()
            }),
            parts,
            keys: Keys::load(http.keys_file.as_deref())?,
            operator_keys: match &http.operator_keys_file {
                Some(file) => Some(Keys::load(Some(file))?),
                None => None,
            },
            max_texts: http.max_texts,
            timeout: Duration::from_millis(http.timeout_ms),
            read_timeout: Duration::from_millis(http.read_timeout_ms),
            max_body_bytes: http.max_body_bytes,
            room: Arc::new(Semaphore::new(http.max_buffered_bytes)),
            unknown_room: Arc::new(Semaphore::new(http.max_unauthenticated_bytes)),
            hosts: AllowedHosts::new(&http.allowed_hosts, listen),
            trusted_proxies: http.proxies().unwrap_or_default(),
            status: Mutex::default(),
            reading_status: tokio::sync::Mutex::default(),
            pages: Mutex::default(),
            slots: Arc::new(Semaphore::new(http.max_concurrent)),
            rate: Rate::new(http.requests_per_minute),
            orders: AtomicU64::new(0),
        })
    }

    /// Has a request answered and counted.
    pub(super) async fn answer(
        &self,
        route: &'static str,
        dialect: Dialect,
        answer: impl Future<Output = Result<HttpResponse, ApiError>>,
    ) -> HttpResponse {
        let started = Instant::now();
        let response = answer.await.unwrap_or_else(|e| e.response(dialect));
        let status = response.status().as_u16();
        let metrics = self.parts.telemetry.metrics();
        metrics.http(route, status, started.elapsed());
        response
    }

    /// Reads a request's parameters, lets it in, and has it answered and counted.
    pub(super) async fn admitted(
        &self,
        (route, dialect): (&'static str, Dialect),
        (request, payload): (&HttpRequest, Payload),
        answer: impl AsyncFnOnce(Parameters, &Requester) -> Result<HttpResponse, ApiError>,
    ) -> HttpResponse {
        let answer =
            async |form: Form, requester: &Requester| answer(form.parameters, requester).await;
        self.admitted_form((route, dialect), (request, payload), None, answer)
            .await
    }

    /// The same for a form with a file of at most so many bytes.
    pub(super) async fn admitted_form(
        &self,
        (route, dialect): (&'static str, Dialect),
        (request, payload): (&HttpRequest, Payload),
        max_file_bytes: Option<usize>,
        answer: impl AsyncFnOnce(Form, &Requester) -> Result<HttpResponse, ApiError>,
    ) -> HttpResponse {
        let mut payload = payload;
        let mut is_read = false;
        let mut moment = None;
        let answered = async {
            let early = self.early_client(request, dialect)?;
            if early.is_some() {
                moment = watched::begin(&self.parts.traces, request);
            }
            let room = match early {
                Some(_) => &self.room,
                None => &self.unknown_room,
            };
            body::check_encoding(request)?;
            let limit = max_file_bytes.map_or(self.max_body_bytes, |file| file + FORM_BYTES);
            // A body that may be so many times as large may take so many times as long.
            let times = u32::try_from(limit.div_ceil(self.max_body_bytes)).unwrap_or(u32::MAX);
            let within = self.read_timeout.saturating_mul(times);
            let (body, share) =
                body::collect_within(request, &mut payload, (limit, room), within).await?;
            is_read = true;
            let form = match max_file_bytes {
                Some(_) => body::parse_form(request, body.freeze()).await?,
                None => Form {
                    parameters: body::parse(request, &body).await?,
                    file: None,
                },
            };
            // Documents that are held are counted on their own.
            let _share = share.filter(|_| max_file_bytes.is_none());
            let client = match early {
                Some(client) => client,
                None => {
                    let key = form.parameters.text(dialect.key())?;
                    let client = self.admitted_client(request, key.as_deref(), dialect)?;
                    moment = watched::begin(&self.parts.traces, request);
                    client
                }
            };
            let slot = Arc::clone(&self.slots).try_acquire_owned();
            let _slot = slot.map_err(|_| ApiError::too_many("too many concurrent requests", 1))?;
            let id = ClientId::of(&self.name(request, &client));
            let requester = Requester { client, id };
            let answering = answer(form, &requester);
            match moment.as_ref().map(HttpSpan::span) {
                Some(span) => answering.instrument(span).await,
                None => answering.await,
            }
        };
        let response = self.answer(route, dialect, answered).await;
        if let Some(moment) = moment {
            moment.answered(response.status().as_u16());
        }
        match is_read {
            true => response,
            false => refusal::unread(response, payload),
        }
    }

    /// Whose request this is, as far as its head tells, and whether that client may ask now: so most requests are refused before their bodies are
    /// read. `None` when the key can only be in the body.
    fn early_client(
        &self,
        request: &HttpRequest,
        dialect: Dialect,
    ) -> Result<Option<Arc<Client>>, ApiError> {
        let query = body::query_value(request, dialect.key());
        let key = query.as_deref().filter(|key| !key.is_empty());
        let key = key.or_else(|| bearer(request));
        if key.is_none() && self.keys.are_needed() {
            return Ok(None);
        }
        self.admitted_client(request, key, dialect).map(Some)
    }

    /// Whose key this is, if that client may ask now. A wrong key counts for the address that it came from: guessing is
    /// rate-limited, and clients with a key are not affected by guesses from the same address.
    fn admitted_client(
        &self,
        request: &HttpRequest,
        key: Option<&str>,
        dialect: Dialect,
    ) -> Result<Arc<Client>, ApiError> {
        match self.keys.client(key) {
            Ok(client) => {
                self.rate.count(|| self.name(request, &client))?;
                Ok(client)
            }
            Err(Refused::Missing) => {
                let message = "Please contact the server operator to get an API key";
                Err(ApiError::new(dialect.missing_key(), message))
            }
            Err(Refused::Unknown) => {
                self.rate.count(|| self.address(request))?;
                Err(ApiError::new(StatusCode::FORBIDDEN, "Invalid API key"))
            }
        }
    }

    /// Whether commands are taken at all.
    pub(super) const fn takes_commands(&self) -> bool {
        self.operator_keys.is_some()
    }

    /// The operator whose key a request has in its head. Wrong keys count for the address that they came from.
    pub(super) fn operator(&self, request: &HttpRequest) -> Result<Arc<Client>, ApiError> {
        let Some(keys) = &self.operator_keys else {
            let message = "this node takes no commands over HTTP; set http.operator_keys_file";
            return Err(ApiError::new(StatusCode::FORBIDDEN, message));
        };
        match keys.client(bearer(request)) {
            Ok(operator) => Ok(operator),
            Err(Refused::Missing) => {
                let message = "an operator key is needed in the header Authorization: Bearer";
                Err(ApiError::new(StatusCode::UNAUTHORIZED, message))
            }
            Err(Refused::Unknown) => {
                self.rate.count(|| self.address(request))?;
                Err(ApiError::new(StatusCode::FORBIDDEN, "invalid operator key"))
            }
        }
    }

    /// Client identity: the name of the key, or else the address.
    fn name(&self, request: &HttpRequest, client: &Client) -> String {
        match client.name.as_str() {
            "" => self.address(request),
            name => format!("key {name}"),
        }
    }

    fn address(&self, request: &HttpRequest) -> String {
        let address = address::client(request, &self.trusted_proxies);
        address.map_or_else(String::new, |address| {
            format!("address {}", address::bucket(address))
        })
    }

    /// The node's status, at most [`STATUS_FRESH`] old. Pools are asked once for all who ask meanwhile; where they are slow, all but the first get
    /// the last one that is known.
    pub(super) async fn status(&self) -> Arc<NodeStatus> {
        if let Some(status) = self.known_status(STATUS_FRESH) {
            return status;
        }
        let _reading = match (
            self.reading_status.try_lock(),
            self.known_status(STATUS_STALE),
        ) {
            (Ok(reading), _) => reading,
            (Err(_), Some(status)) => return status,
            (Err(_), None) => {
                let reading = self.reading_status.lock().await;
                if let Some(status) = self.known_status(STATUS_FRESH) {
                    return status;
                }
                reading
            }
        };
        let status = Arc::new(self.parts.status.read().await);
        *lock(&self.status) = Some((Instant::now(), Arc::clone(&status)));
        status
    }

    fn known_status(&self, within: Duration) -> Option<Arc<NodeStatus>> {
        let known = lock(&self.status);
        let (at, status) = known.as_ref()?;
        (at.elapsed() < within).then(|| Arc::clone(status))
    }

    /// The node's metrics, made once for each status.
    pub(super) async fn metrics(&self, format: Format) -> Bytes {
        let status = self.status().await;
        let mut pages = lock(&self.pages);
        if let Some((of, page)) = pages.get(&format)
            && Arc::ptr_eq(of, &status)
        {
            return page.clone();
        }
        let ready = self.parts.health.readiness(&status).ready;
        let cluster = self.parts.cluster.as_ref().map(|cluster| cluster.view());
        let telemetry = &self.parts.telemetry;
        let page = telemetry.render(&status, cluster.as_ref(), ready, format);
        let page = Bytes::from(page);
        pages.insert(format, (status, page.clone()));
        page
    }

    /// Capabilities of this node and its cluster. A model that this node has loaded counts at once.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        let version = self.parts.status.models_version();
        let mut known = lock(&self.known);
        let last = match &*known {
            Some((at, of, last)) if at.elapsed() < LOOK_AGAIN && *of == version => {
                return Arc::clone(last);
            }
            Some((_, _, last)) => Some(last),
            None => None,
        };
        let mut all = match &self.parts.cluster {
            Some(cluster) => cluster.capabilities(),
            None => Vec::new(),
        };
        // The cluster learns a little later what this node can do.
        for model in self.parts.status.models() {
            if !all.contains(&model.ability) {
                all.push(model.ability);
            }
        }
        let now = match last {
            Some(last) if last.capabilities == all => Arc::clone(last),
            _ => Arc::new(Catalogue::new(all, &self.parts.pivot)),
        };
        *known = Some((Instant::now(), version, Arc::clone(&now)));
        now
    }

    /// The language of texts among those that are read or written.
    pub(super) fn identify(&self, texts: &[String]) -> Option<Detected> {
        identify(texts.iter().map(String::as_str), &self.catalogue().all)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of an `Authorization` header, DeepL's or the usual one.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    ["DeepL-Auth-Key ", "Bearer "]
        .iter()
        .find_map(|scheme| value.strip_prefix(scheme))
        .map(str::trim)
}
