//! The live dashboard: a static page, and a feed that tells it once a second how the node is.

mod live;

use actix_web::{HttpResponse, http::header, web::ServiceConfig};

use crate::edge;
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
    let icon = ("image/svg+xml", include_str!("dashboard/icon.svg"));
    let script = |text| ("text/javascript; charset=utf-8", text);
    for (path, (kind, text)) in [
        ("/", html),
        ("/dashboard.css", style),
        ("/icon.svg", icon),
        (
            "/dashboard.js",
            script(include_str!("dashboard/dashboard.js")),
        ),
        (
            "/elements.js",
            script(include_str!("dashboard/elements.js")),
        ),
        ("/details.js", script(include_str!("dashboard/details.js"))),
        ("/metrics.js", script(include_str!("dashboard/metrics.js"))),
        ("/operate.js", script(include_str!("dashboard/operate.js"))),
        ("/panels.js", script(include_str!("dashboard/panels.js"))),
        ("/plots.js", script(include_str!("dashboard/plots.js"))),
        (
            "/translate.js",
            script(include_str!("dashboard/translate.js")),
        ),
    ] {
        let page = move || async move {
            HttpResponse::Ok()
                .content_type(kind)
                .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((header::CACHE_CONTROL, "no-cache"))
                .body(text)
        };
        to.service(edge::get(path, page));
    }
    to.service(edge::get("/live/feed", live::socket));
}
