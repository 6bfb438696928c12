//! The HTTP edge: the translation APIs that clients know already, health, metrics, and the dashboard.
//!
//! actix-web runs on threads of its own beside the node's runtime. A request becomes an [`Order`](babelmesh_actors::domain::Order) in the
//! interactive lane of the same pools that work for Kafka, and waits for its outcome. When its client disconnects, the
//! order is abandoned and its text reaches no engine.
//!
//! This is on the floor of Kafka and the cluster and knows neither: the node is read through a
//! [`StatusSource`](babelmesh_telemetry::status::StatusSource), other nodes are asked through [`Peers`].
//!
//! ```
//! use babelmesh_http::HttpConfig;
//!
//! let http = HttpConfig {
//!     threads: 0,
//!     ..HttpConfig::default()
//! };
//! let mut refused = Vec::new();
//! http.check(&mut |is_wrong, key, _| {
//!     if is_wrong {
//!         refused.push(key.to_owned());
//!     }
//! });
//! assert_eq!(refused, ["http.threads"]);
//! ```

mod address;
mod body;
mod catalogue;
mod config;
mod dashboard;
mod deepl;
mod docs;
mod documents;
mod edge;
mod error;
mod feed;
mod health;
mod hosts;
pub mod keys;
mod libretranslate;
mod meeshy;
mod observe;
mod operate;
mod peers;
mod rate;
mod refusal;
mod starting;
mod state;
mod tracing;
mod translation;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix::{Actor, Addr};
use actix_cors::Cors;
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    http::header,
    middleware::{Condition, DefaultHeaders, from_fn},
    web::{self, Data},
};
use anyhow::{Result, anyhow};
use babelmesh_telemetry::failure::Failures;
pub use config::HttpConfig;
pub use feed::Feed;
pub use health::{Health, Readiness};
pub use peers::Peers;
pub use starting::StartingServer;
pub use state::Parts;

use self::{
    edge::{get, get_or_post, post},
    state::Api,
};
use dashboard::{LiveFeed, Shutdown};

/// The HTTP edge of a node.
pub struct ApiServer {
    address: SocketAddr,
    handle: ServerHandle,
    api: Data<Api>,
    live: Addr<LiveFeed>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
    asking: tokio::task::JoinHandle<()>,
}

impl ApiServer {
    /// Serves the clients that connect to this listener.
    ///
    /// # Errors
    /// When the file of keys cannot be read.
    pub fn start(
        http: &HttpConfig,
        listener: TcpListener,
        parts: Parts,
        failures: Failures,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        let health = Arc::clone(&parts.health);
        let asking = tokio::spawn(health::ask_models(
            Arc::clone(&health),
            parts.intake.clone(),
            Arc::clone(&parts.status),
        ));
        let live = LiveFeed::new(&parts);
        let api = Data::new(Api::new(http, address, parts)?);
        let served = Data::clone(&api);
        let http = http.clone();
        let (sender, started) = mpsc::sync_channel(1);
        let run = move || {
            let guard = failures.guard("the HTTP server");
            let served = actix_web::rt::System::new().block_on(async {
                let read_timeout = Duration::from_millis(http.read_timeout_ms);
                let threads = usize::from(http.threads);
                let live = live.start();
                let watched = Data::new(live.clone());
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(Data::clone(&api))
                        .app_data(Data::clone(&watched))
                        .wrap(Condition::new(
                            !http.cors_origins.is_empty(),
                            cors(&http.cors_origins),
                        ))
                        .wrap(DefaultHeaders::new().add(("X-Content-Type-Options", "nosniff")))
                        .wrap(from_fn(docs::guarded))
                        .wrap(from_fn(edge::prepared))
                        .configure(routes)
                })
                .workers(threads)
                .max_connections((http.max_connections / threads).max(1))
                .client_request_timeout(read_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                // Disconnects of clients must be noticed while their text waits.
                .h1_allow_half_closed(false)
                .shutdown_timeout(5)
                .disable_signals()
                .listen(listener)?
                .run();
                let _ = sender.send((server.handle(), live));
                server.await
            });
            drop(guard);
            if let Err(error) = served {
                failures.tell(format!("the HTTP server has ended: {error}"));
            }
        };
        let thread = thread::Builder::new().name("http".to_owned()).spawn(run)?;
        let (handle, live) = started
            .recv()
            .map_err(|_| anyhow!("the HTTP server does not start"))?;
        Ok(Self {
            address,
            handle,
            api: served,
            live,
            thread: Some(thread),
            health,
            asking,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, answers what was accepted, ends.
    pub async fn stop(mut self) {
        self.health.drain();
        self.asking.abort();
        // Requests that wait for a document are answered.
        self.api.documents.stop();
        // A browser that watches would keep its connection open.
        self.live.do_send(Shutdown);
        self.handle.stop(true).await;
        let thread = self.thread.take();
        let _ = tokio::task::spawn_blocking(|| thread.map(JoinHandle::join)).await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.asking.abort();
        self.api.documents.stop();
        // Sends the command without waiting for completion.
        drop(self.handle.stop(false));
    }
}

/// Tells browsers whose pages may use the API. A request of another page is answered like any other; its browser keeps the answer from it.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allow_any_header()
        .expose_headers([header::RETRY_AFTER])
        .max_age(3600);
    match origins.iter().any(|origin| origin == "*") {
        true => cors.allow_any_origin().send_wildcard(),
        false => origins
            .iter()
            .fold(cors, |cors, origin| cors.allowed_origin(origin)),
    }
}

fn routes(to: &mut web::ServiceConfig) {
    to.service(post("/translate", libretranslate::translate))
        .service(post("/detect", libretranslate::detect))
        .service(get("/languages", libretranslate::languages))
        .service(get("/frontend/settings", libretranslate::settings))
        .service(post("/translate_file", libretranslate::translate_file))
        .service(get(
            "/download_file/{name:.*}",
            libretranslate::download_file,
        ))
        .service(post("/suggest", libretranslate::no_suggestions))
        .service(get("/spec", docs::document))
        .service(post("/v2/translate", deepl::translate))
        .service(get_or_post("/v2/usage", deepl::usage))
        .service(get_or_post("/v2/languages", deepl::languages))
        .service(post("/v2/document", deepl::upload))
        .service(post("/v2/document/{id}", deepl::document_status))
        .service(post("/v2/document/{id}/result", deepl::document_result))
        .configure(deepl::glossaries::routes)
        .configure(deepl::empty_lists)
        .service(post("/translate/batch", meeshy::batch))
        .service(get("/models", meeshy::models))
        .service(get("/live", observe::live))
        .service(get("/ready", observe::ready))
        .service(get("/health", observe::health))
        .service(get("/status", observe::status))
        .service(get("/metrics", observe::metrics))
        .service(get("/operate/settings", operate::settings))
        .service(post("/operate", operate::operate))
        .configure(dashboard::routes)
        .service(docs::pages())
        .default_service(web::to(edge::not_found));
}
