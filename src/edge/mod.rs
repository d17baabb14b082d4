//! The edge: HTTP and WebSocket in front of the desk.
//!
//! Nothing is decided here. Routes, names, rights and shapes come from the
//! operations table; a request is turned into a call and the answer into HTTP.

mod document;
mod health;
mod reply;
mod rest;
mod rpc;
mod socket;

use std::{net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, dev::Server, middleware::NormalizePath, web};
use flightdeck_actors::{dispatch::Desk, session::SessionRules};

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) desk: Arc<Desk>,
    pub(crate) rules: Arc<SessionRules>,
    /// The size of a request's body, in bytes.
    pub(crate) body_bytes: usize,
}

/// The server on `listener`, with `workers` socket threads. It runs when it is awaited.
///
/// # Errors
/// When the listener cannot be used.
pub(crate) fn server(edge: Edge, listener: TcpListener, workers: usize) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .wrap(NormalizePath::trim())
            .app_data(web::Data::new(edge.clone()))
            .app_data(web::PayloadConfig::new(edge.body_bytes))
            .configure(health::routes)
            .service(web::resource("/ws").route(web::get().to(socket::open)))
            .service(web::resource("/ws/missions/{mission}").route(web::get().to(socket::open_mission)))
            .service(web::resource("/api/rpc").route(web::post().to(rpc::call)))
            .configure(rest::routes)
            .default_service(web::to(rest::no_route))
    })
    .workers(workers)
    .tcp_nodelay(true)
    .disable_signals()
    .shutdown_timeout(5)
    .listen(listener)?;
    Ok(server.run())
}
