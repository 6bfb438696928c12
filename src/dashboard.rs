//! The live dashboard: a static page, and a feed that tells it once a second how the node is.

mod feed;
mod live;

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, ServiceConfig},
};

pub(crate) use feed::Feed;
pub(crate) use live::{LiveFeed, Shutdown};

/// Nothing is loaded from elsewhere, and nothing runs that is not in our files.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'";

/// The page, what belongs to it, and its feed.
pub(crate) fn routes(to: &mut ServiceConfig) {
    let html = (
        "text/html; charset=utf-8",
        include_str!("dashboard/page.html"),
    );
    let style = (
        "text/css; charset=utf-8",
        include_str!("dashboard/dashboard.css"),
    );
    let script = (
        "text/javascript; charset=utf-8",
        include_str!("dashboard/dashboard.js"),
    );
    for (path, (kind, text)) in [
        ("/", html),
        ("/dashboard.css", style),
        ("/dashboard.js", script),
    ] {
        let page = move || async move {
            HttpResponse::Ok()
                .content_type(kind)
                .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((header::CACHE_CONTROL, "no-cache"))
                .body(text)
        };
        to.route(path, web::get().to(page));
    }
    to.route("/live/feed", web::get().to(live::socket));
}
