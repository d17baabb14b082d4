//! `/healthz` and `/readyz`: is the process alive, and can it take work.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use serde_json::json;

use super::Edge;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/healthz", web::get().to(healthz)).route("/readyz", web::get().to(readyz));
}

/// The process runs and its event loop turns.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// A write goes through the journal and down to the disk.
async fn readyz(edge: web::Data<Edge>) -> HttpResponse {
    let world = edge.desk.registry.world();
    match world.journal.write(Vec::new()).await {
        Ok(()) => HttpResponse::Ok().json(json!({
            "status": "ready",
            "missions_in_memory": edge.desk.registry.in_memory(),
        })),
        Err(error) => {
            tracing::error!(%error, "not ready: the journal takes no writes");
            HttpResponse::ServiceUnavailable()
                .json(json!({"status": "unavailable", "reason": "the store takes no writes"}))
        }
    }
}
