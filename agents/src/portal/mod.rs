//! The sample portal: a small web site with a login, a search form, lists and downloads.
//!
//! It is there to show the *retrieve* agent on and to test it. Its documents are
//! made up and the same in every run, to the byte.

mod account;
mod catalogue;
mod pages;
mod pdf;
mod routes;
mod sessions;

use std::{future::Future, io};

use tokio::net::TcpListener;

pub use account::Account;
pub use catalogue::{Entry, manifest};

/// Serves the portal on `listener` until `stopped` ends. Requests under way then are cut off.
pub async fn run(listener: TcpListener, account: Account, stopped: impl Future<Output = ()>) -> io::Result<()> {
    let serving = axum::serve(listener, routes::router(account));
    tokio::select! {
        ended = async { serving.await } => ended,
        () = stopped => Ok(()),
    }
}
