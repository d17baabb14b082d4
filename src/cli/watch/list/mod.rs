//! `flightdeck mission list --watch`: a live list of missions, in a terminal or as lines.

mod plain;
mod render;
mod screen;

use flightdeck_protocol::{
    client::{Client, ClientState},
    model::MissionSummary,
    operations::MissionsWatch,
};

use super::{asked_to_leave, has_screen, sign_out};
use crate::cli::{connection::Connection, sign_in::SignIn};

/// A list as it changes.
type Live = flightdeck_protocol::client::LiveList<MissionSummary>;

/// Watches the list until somebody leaves.
pub(crate) async fn watch(connection: &Connection, query: MissionsWatch, json: bool) -> anyhow::Result<()> {
    let sign_in = SignIn::find(connection)?;
    let client = Client::start(&connection.server, sign_in.clone());
    let list = client.watch_missions(query);
    let watched = tokio::select! {
        biased;
        () = asked_to_leave() => Ok(()),
        watched = async {
            if json || !has_screen() { plain::run(&client, list, json).await } else { screen::run(&client, list).await }
        } => watched,
    };
    client.close();
    sign_out(connection, &sign_in).await;
    watched
}

/// Why there is no connection, and what becomes of that.
fn lost(client: &Client) -> Option<String> {
    match client.state() {
        ClientState::Waiting { why, .. } => Some(format!("no connection, it comes back by itself: {why}")),
        _ => None,
    }
}
