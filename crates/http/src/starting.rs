//! The HTTP server during startup: brokers may be slow, and model forms may have to be built. Liveness probes must
//! succeed meanwhile, or the node would be restarted repeatedly.

use std::{
    net::TcpListener,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::{ConnectionType, header},
    web,
};
use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::error::{ApiError, Dialect};
use crate::config::HttpConfig;

/// Most connections while the node starts.
const MAX_CONNECTIONS: usize = 256;
/// Seconds that its answers may take after the node has started.
const SHUTDOWN_SECONDS: u64 = 1;

/// Time for the server to stop accepting, and to begin to serve the connections that it has accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// A server that tells that the node starts. It ends when it is dropped.
pub struct StartingServer {
    listener: TcpListener,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl StartingServer {
    /// Listens where the configuration says; `None` where it says nothing.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(http: &HttpConfig) -> Result<Option<Self>> {
        let listen = &http.listen;
        if listen.is_empty() {
            return Ok(None);
        }
        let listener =
            TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
        let own = listener.try_clone()?;
        let read_timeout = Duration::from_millis(http.read_timeout_ms);
        let (sender, started) = mpsc::sync_channel(1);
        let run = move || {
            let served = actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(|| App::new().default_service(web::to(answer)))
                    .workers(1)
                    .max_connections(MAX_CONNECTIONS)
                    .client_request_timeout(read_timeout)
                    .shutdown_timeout(SHUTDOWN_SECONDS)
                    .disable_signals()
                    .listen(own)?
                    .run();
                let _ = sender.send(server.handle());
                server.await
            });
            // Without it, probes are answered later.
            drop(served);
        };
        let thread = thread::Builder::new()
            .name("http-starting".to_owned())
            .spawn(run)?;
        let handle = started.recv();
        let handle = handle.map_err(|_| anyhow!("the HTTP server does not start"))?;
        Ok(Some(Self {
            listener,
            handle,
            thread: Some(thread),
        }))
    }

    /// Answers those who are connected, ends, and leaves its listener to the server that comes after it: who connects between the two waits for that.
    ///
    /// # Errors
    /// When the system has no file descriptor for it.
    pub async fn hand_over(mut self) -> Result<TcpListener> {
        let listener = self.listener.try_clone()?;
        // A server that stops drops the connections that it has accepted and not begun to serve. Paused, it leaves new ones to the listener. The
        // pause takes effect on another thread, and nothing tells when.
        self.handle.pause().await;
        tokio::time::sleep(PAUSE).await;
        self.handle.stop(true).await;
        let thread = self.thread.take();
        let _ = tokio::task::spawn_blocking(|| thread.map(JoinHandle::join)).await;
        Ok(listener)
    }
}

impl Drop for StartingServer {
    fn drop(&mut self) {
        // Sends the command without waiting for completion.
        drop(self.handle.stop(false));
    }
}

/// Answers as the node will, as far as that is known. The connection ends, so that the next request is for the node itself.
async fn answer(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    let mut response = match path.trim_end_matches('/') {
        "/live" => HttpResponse::Ok().json(json!({"status": "alive"})),
        "/health" => HttpResponse::Ok().json(json!({"status": "ok"})),
        "/ready" => HttpResponse::ServiceUnavailable()
            .json(json!({"ready": false, "missing": ["the node is starting"]})),
        _ => ApiError::unavailable("The node is starting").response(Dialect::of(path)),
    };
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    let kind = header::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
