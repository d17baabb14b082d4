//! `/healthz` and `/readyz`: is the process alive, and can it take work.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use flightdeck_data::store::{Space, Write};
use flightdeck_protocol::Timestamp;
use serde_json::json;

use super::Edge;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/healthz", web::to(healthz)).route("/readyz", web::to(readyz));
}

/// The process runs and its event loop turns.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// A write goes through the journal and down to the disk, or did a moment ago, and the server does not stop.
async fn readyz(edge: web::Data<Edge>) -> HttpResponse {
    if edge.desk.door.is_open().is_err() {
        return HttpResponse::ServiceUnavailable()
            .json(json!({"status": "stopping", "reason": "the server stops and takes nothing new"}));
    }
    let world = edge.desk.registry.world().clone();
    let write = move || async move {
        let now = Timestamp::now().to_string();
        let written = world.journal.write(vec![Write::put(Space::Meta, b"ready".as_slice(), now)]).await;
        written.inspect_err(|error| tracing::error!(%error, "not ready: the journal takes no writes")).is_ok()
    };
    if edge.readiness.ask(write).await {
        HttpResponse::Ok().json(json!({"status": "ready", "missions_in_memory": edge.desk.registry.in_memory()}))
    } else {
        HttpResponse::ServiceUnavailable().json(json!({"status": "unavailable", "reason": "the store takes no writes"}))
    }
}
