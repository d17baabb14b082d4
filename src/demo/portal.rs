//! The sample portal: a process of the agents' program, kept as an agent's would be, so that it never outlives the demo.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use flightdeck_actors::agent::{Child, ChildControl, Keeper, LaunchSpec, Launched};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::record::{PortalLogin, write_private};
use crate::services::Layout;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(5);

/// A running portal. It ends when this is dropped.
pub(super) struct Portal {
    /// Where it is.
    pub(super) url: String,
    control: ChildControl,
    child: Child,
}

/// A document that the portal has.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) year: u32,
}

impl Portal {
    /// Starts the portal of the program `agent`: where it was `before`, or else on `port`.
    pub(super) async fn start(
        agent: &str,
        layout: &Layout,
        login: &PortalLogin,
        before: Option<&str>,
        port: u16,
    ) -> anyhow::Result<Self> {
        let password_file = layout.file("portal-password");
        write_private(&password_file, login.password.as_bytes())?;
        let listen = match before.and_then(|url| url.strip_prefix("http://")) {
            Some(address) => address.trim_end_matches('/').to_owned(),
            None => format!("127.0.0.1:{port}"),
        };
        let words = ["portal", "--listen", &listen, "--username", &login.username, "--password-file"];
        let mut command = vec![agent.to_owned()];
        command.extend(words.iter().map(|word| (*word).to_owned()));
        command.push(password_file.display().to_string());
        let spec =
            LaunchSpec { command, workspace: layout.file("portal"), env: Vec::new(), keeper: Keeper::this_binary() };
        let Launched { stdout, stderr, control, child, .. } = Child::launch(spec).await?;
        let mut errors = BufReader::new(stderr).lines();
        actix_rt::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                tracing::warn!(line, "the sample portal says");
            }
        });
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START, lines.next_line()).await;
        let first = first.context("the sample portal did not start in time")??;
        let first = first.with_context(|| {
            format!("the sample portal ended at once; is something else on {listen}? its reason is in the log")
        })?;
        let url = first.rsplit(' ').next().context("the sample portal does not say where it is")?.to_owned();
        // What it prints later is read, so that it never waits for a reader.
        actix_rt::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { url, control, child })
    }

    /// What the portal has.
    pub(super) async fn manifest(agent: &str) -> anyhow::Result<Vec<Entry>> {
        let printed = tokio::process::Command::new(Path::new(agent))
            .args(["portal", "--print-manifest"])
            .output()
            .await
            .with_context(|| format!("cannot run {agent}"))?;
        serde_json::from_slice(&printed.stdout).context("the sample portal's manifest cannot be read")
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        self.control.terminate();
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            self.control.kill();
        }
    }
}
