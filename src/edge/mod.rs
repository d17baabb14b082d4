//! The edge: HTTP and WebSocket in front of the desk.
//!
//! Nothing is decided here. Routes, names, rights and shapes come from the
//! operations table; a request is turned into a call and the answer into HTTP.

mod announced;
mod document;
mod health;
mod line;
mod openings;
mod openrpc;
mod readiness;
mod reply;
mod rest;
mod roused;
mod rpc;
mod socket;

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, Resource, Route, dev::Server, middleware::NormalizePath, web};
use flightdeck_actors::{dispatch::Desk, session::SessionRules};

pub(crate) use readiness::Readiness;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) desk: Arc<Desk>,
    pub(crate) rules: Arc<SessionRules>,
    /// The size of a request's body, in bytes.
    pub(crate) body_bytes: usize,
    /// Whether the journal takes writes, as was found a moment ago.
    pub(crate) readiness: Arc<Readiness>,
}

/// How long a connection without a request is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What a connection gathers before it writes: its buffer stays as large as it ever was.
const WRITE_BYTES: usize = 16 * 1024;

/// The server on `listener`, with `workers` socket threads. It runs when it is awaited.
///
/// # Errors
/// When the listener cannot be used.
pub(crate) fn server(edge: Edge, listener: TcpListener, workers: usize) -> std::io::Result<Server> {
    let silence = Duration::from_millis(edge.rules.heartbeat.timeout_ms);
    let opening = edge.rules.open_timeout;
    let server = HttpServer::new(move || {
        App::new()
            .wrap(NormalizePath::trim())
            .wrap_fn(openings::note_work)
            .app_data(web::Data::new(edge.clone()))
            .app_data(web::PayloadConfig::new(edge.body_bytes))
            .configure(health::routes)
            .service(only(web::get(), "GET", "/ws", |route| route.to(socket::open)))
            .service(only(web::get(), "GET", "/ws/missions/{mission}", |route| route.to(socket::open_mission)))
            .service(only(web::post(), "POST", "/api/rpc", |route| route.to(rpc::call)))
            .service(only(web::get(), "GET", "/api/openrpc.json", |route| route.to(openrpc::document)))
            .configure(rest::routes)
            .default_service(web::to(rest::no_route))
    })
    .on_connect(move |connection, data| {
        socket::bound_silence(connection, silence);
        openings::watch(connection, data, KEEP_ALIVE + opening);
    })
    .client_request_timeout(opening)
    .keep_alive(KEEP_ALIVE)
    .h1_write_buffer_size(WRITE_BYTES)
    .workers(workers)
    .tcp_nodelay(true)
    .disable_signals()
    .shutdown_timeout(5)
    .listen(listener)?;
    Ok(server.run())
}

/// A path that takes one method alone.
fn only(route: Route, method: &'static str, path: &str, to: impl FnOnce(Route) -> Route) -> Resource {
    let refuse = move || async move { rest::not_allowed(method) };
    web::resource(path).route(to(route)).default_service(web::to(refuse))
}
