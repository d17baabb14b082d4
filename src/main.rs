//! `flightdeck`: the server and its command line.

mod cli;
mod demo;
mod drain;
mod edge;
mod serve;
mod services;
mod settings;

use std::process::ExitCode;

/// The system's keeps hundreds of MiB after a few sign-ins (argon2), and gives little back after a
/// burst of missions; docs/adr/0008-allocator.md has the numbers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all, before any thread: this process may be an agent's keeper.
    flightdeck_actors::agent::run_if_asked();
    // Fails only if there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::run()
}
