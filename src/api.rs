//! The HTTP edge: the translation APIs that clients know already, health, metrics, and the dashboard.
//!
//! actix-web runs on threads of its own beside the node's runtime. A request becomes an [`Order`](babelmesh_actors::domain::Order) in the
//! interactive lane of the same pools that work for Kafka, and waits for its outcome. When its client goes away, the order is not wanted any
//! more and no engine is given its text.

mod body;
mod deepl;
mod docs;
mod error;
mod health;
pub mod keys;
mod libretranslate;
mod meeshy;
mod observe;
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
use anyhow::{Context, Result, anyhow};
pub use health::{Health, Readiness};
pub use state::ModelInfo;
pub(crate) use state::Parts;

use self::{error::Dialect, health::BrokerWatch, state::Api};
use crate::{
    config::Config,
    dashboard::{self, LiveFeed, Shutdown},
    failure::Failures,
    kafka::client::Clients,
};

/// The HTTP edge of a node.
pub struct ApiServer {
    address: SocketAddr,
    handle: ServerHandle,
    live: Addr<LiveFeed>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
    asking: tokio::task::JoinHandle<()>,
    brokers: Option<BrokerWatch>,
}

impl ApiServer {
    /// Listens, if the configuration says where.
    ///
    /// # Errors
    /// When the address is taken, or the file of keys cannot be read.
    pub(crate) fn start(
        config: &Config,
        parts: Parts,
        clients: &Clients,
        failures: Failures,
    ) -> Result<Self> {
        let listen = &config.http.listen;
        let listener =
            TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let health = Arc::clone(&parts.health);
        let asking = tokio::spawn(health::ask_models(
            Arc::clone(&health),
            parts.models.clone(),
            parts.intake.clone(),
            parts.status.clone(),
        ));
        let topic = config.kafka.topics.requests.clone();
        let brokers = BrokerWatch::start(Arc::clone(&health), clients, topic)?;
        let live = LiveFeed::new(&parts);
        let api = Data::new(Api::new(config, parts)?);
        let http = config.http.clone();
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
                        .wrap(from_fn(tracing::traced))
                        .configure(routes)
                })
                .workers(threads)
                .max_connections((http.max_connections / threads).max(1))
                .client_request_timeout(read_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                // A client that has gone must be noticed while its text waits.
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
            live,
            thread: Some(thread),
            health,
            asking,
            brokers: Some(brokers),
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
        // A browser that watches would keep its connection open.
        self.live.do_send(Shutdown);
        self.handle.stop(true).await;
        let (thread, brokers) = (self.thread.take(), self.brokers.take());
        let join = move || {
            drop(brokers);
            thread.map(JoinHandle::join)
        };
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.asking.abort();
        // Sends its command at once; nobody waits for the end here.
        drop(self.handle.stop(false));
    }
}

/// Tells browsers whose pages may use the API. A request of another page is answered like any other; its browser keeps the answer from it.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST"])
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
    to.route("/translate", web::post().to(libretranslate::translate))
        .route("/detect", web::post().to(libretranslate::detect))
        .route("/languages", web::get().to(libretranslate::languages))
        .route(
            "/frontend/settings",
            web::get().to(libretranslate::settings),
        )
        .route("/v2/translate", web::post().to(deepl::translate))
        .route("/v2/usage", web::get().to(deepl::usage))
        .route("/v2/usage", web::post().to(deepl::usage))
        .route("/v2/languages", web::get().to(deepl::languages))
        .route("/v2/languages", web::post().to(deepl::languages))
        .route("/translate/batch", web::post().to(meeshy::batch))
        .route("/models", web::get().to(meeshy::models))
        .route("/live", web::get().to(observe::live))
        .route("/ready", web::get().to(observe::ready))
        .route("/health", web::get().to(observe::health))
        .route("/metrics", web::get().to(observe::metrics))
        .configure(dashboard::routes)
        .service(docs::pages())
        .default_service(web::to(not_found));
}

async fn not_found(api: Data<Api>) -> actix_web::HttpResponse {
    let missing = actix_web::http::StatusCode::NOT_FOUND;
    let error = error::ApiError::new(missing, "Not found");
    api.answer("none", Dialect::LibreTranslate, async { Err(error) })
        .await
}
