//! `flightdeck serve`: from settings to a server that runs until it is told to stop.

use std::{io::IsTerminal as _, net::TcpListener, sync::Arc, time::Duration};

use anyhow::Context as _;
use flightdeck_data::people::NewPerson;
use flightdeck_protocol::{Timestamp, model::Person, operations::NewUser};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    drain::{self, Drain},
    edge::{self, Edge},
    services::{self, Layout, Services},
    settings::{LogFormat, Settings, Signup},
};

/// The size of a REST request's body, in bytes.
const BODY_BYTES: usize = 128 * 1024;
/// How often ended sign-ins, people who call no more, and answers that are a day old are swept out.
const SWEEP: Duration = Duration::from_secs(3_600);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(settings: Settings) -> anyhow::Result<()> {
    start_log(&settings)?;
    actix_rt::System::new().block_on(async move {
        let layout = Layout::open(&settings.data_dir)?;
        let server = Server::start(&settings, &layout).await?;
        println!("flightdeck listening on {}", server.url());
        if settings.signup == Signup::Open && !settings.listen.ip().is_loopback() {
            tracing::warn!("anybody who reaches this address may sign up; close it with --signup closed");
        }
        server.until_stopped().await
    })
}

/// Starts the log, on standard error.
pub(crate) fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)
        .with_context(|| format!("log = {:?} is no filter", settings.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) services: Services,
    listening: std::net::SocketAddr,
    handle: actix_web::dev::ServerHandle,
    running: actix_rt::task::JoinHandle<std::io::Result<()>>,
    /// Brings missions back.
    resuming: actix_rt::task::JoinHandle<()>,
    terminate: Signal,
    interrupt: Signal,
    drain: Drain,
}

impl Server {
    /// Opens everything, listens, and begins to bring back the missions whose agents were at work.
    pub(crate) async fn start(settings: &Settings, layout: &Layout) -> anyhow::Result<Self> {
        // Before anyone can know of the server: whoever does may tell it to stop at once.
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener = TcpListener::bind(settings.listen)
            .with_context(|| format!("cannot listen on {}; is another server there?", settings.listen))?;
        listener.set_nonblocking(true)?;
        let listening = listener.local_addr()?;
        let services = services::start(settings, layout)?;
        let edge = Edge {
            desk: services.desk.clone(),
            rules: services.rules.clone(),
            body_bytes: BODY_BYTES,
            readiness: Arc::default(),
        };
        let server = edge::server(edge, listener, services::threads(settings.workers))?;
        let handle = server.handle();
        let running = actix_rt::spawn(server);
        let resume = services.desk.registry.resume_agents()?;
        // Nobody waits for them: who wants one of them gets it at once, and who tells the server to stop is heeded.
        let resuming = actix_rt::spawn(async move {
            let resumed = resume.await;
            if resumed > 0 {
                tracing::info!(resumed, "missions whose agents were at work go on");
            }
        });
        let desk = services.desk.clone();
        actix_rt::spawn(async move {
            loop {
                desk.door.forget_the_quiet();
                if let Err(error) = desk.sign_ins.purge_expired(Timestamp::now()).await {
                    tracing::warn!(%error, "ended sign-ins could not be swept out");
                }
                if let Err(fault) = desk.once.sweep(Timestamp::now()).await {
                    tracing::warn!(%fault, "answers that are a day old could not be swept out");
                }
                tokio::time::sleep(SWEEP).await;
            }
        });
        let drain = Drain::new(settings);
        Ok(Self { services, listening, handle, running, resuming, terminate, interrupt, drain })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listening)
    }

    /// Runs until SIGTERM or SIGINT, and stops in good order; a second signal makes it hurry.
    pub(crate) async fn until_stopped(mut self) -> anyhow::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            ended = self.running => {
                return ended.context("the server's task died")?.context("the server stopped by itself");
            }
        }
        // Those that are not back yet stay where they are: the next run brings them.
        self.resuming.abort();
        let desk = &self.services.desk;
        let in_order = tokio::select! {
            () = self.drain.run(desk) => true,
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
        };
        if !in_order {
            tracing::warn!("told to stop again: what is not done yet is cut short");
        }
        drain::end(desk).await;
        self.handle.stop(in_order).await;
        let journal = self.services.journal.clone();
        tokio::task::spawn_blocking(move || journal.shutdown()).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Makes an account in the folder of a server that does not run; its
/// organization is made if it is not there.
pub(crate) fn create_user_offline(
    data_dir: &std::path::Path,
    new: NewUser,
    organization: Option<String>,
) -> anyhow::Result<Person> {
    actix_rt::System::new().block_on(async move {
        let layout = Layout::open(data_dir)?;
        let kept = services::open_store(&layout, Settings::default().cache_bytes)?;
        let name = organization.unwrap_or_else(|| "Main".to_owned());
        let organization = match kept.directory.organization_by_name(&name)? {
            Some(known) => known,
            None => kept.directory.create_organization(&name).await?,
        };
        let NewUser { username, password, role, name, email } = new;
        let name = name.unwrap_or_else(|| username.clone());
        let person = NewPerson { organization: organization.id, username, name, email, password, role };
        let made = kept.directory.create_person(person).await?;
        tokio::task::spawn_blocking(move || kept.journal.shutdown()).await?;
        Ok(made)
    })
}
