//! The client under test: a process that watches a mission with its library, and says what the library hands it.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

use crate::{
    desk::Desk,
    lines::{Order, Word},
    server::signal_to,
    witness::{Kind, Witness},
};

/// How much of a line that cannot be read is shown.
const SHOWN: usize = 200;
/// Orders that wait to be written.
const ORDERS: usize = 64;
/// How long the client has to end by itself.
const GOODBYE: Duration = Duration::from_secs(5);

/// A client under test.
pub(crate) struct Client {
    child: Child,
    orders: mpsc::Sender<Order>,
    witness: watch::Sender<Witness>,
    asked: u64,
}

impl Client {
    /// Starts the client by `command`; it gets its tokens from `tokens`.
    pub(crate) fn start(command: &[String], tokens: Desk) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command starts the client")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the client {program:?} cannot be started"))?;
        let (orders, to_write) = mpsc::channel(ORDERS);
        let (witness, _) = watch::channel(Witness::default());
        tokio::spawn(write(child.stdin.take().context("the client has no input")?, to_write));
        let stdout = child.stdout.take().context("the client has no output")?;
        tokio::spawn(listen(stdout, witness.clone(), orders.downgrade(), Arc::new(Mutex::new(tokens))));
        Ok(Self { child, orders, witness, asked: 0 })
    }

    /// Tells it something.
    pub(crate) async fn tell(&self, order: Order) {
        // One that has ended is found by whoever waits for it.
        let _ = self.orders.send(order).await;
    }

    /// What is known of it.
    pub(crate) fn witness(&self) -> Witness {
        self.witness.borrow().clone()
    }

    /// Notes something that it did wrong.
    pub(crate) fn find(&self, kind: Kind, what: impl Into<String>) {
        self.witness.send_modify(|witness| witness.find(kind, what));
    }

    /// Waits until `wanted` holds of it, or it is gone, or `patience` has run out; says whether it holds.
    pub(crate) async fn until(&self, patience: Duration, wanted: impl Fn(&Witness) -> bool) -> bool {
        let mut seen = self.witness.subscribe();
        let waited = timeout(patience, seen.wait_for(|witness| wanted(witness) || witness.is_gone)).await;
        matches!(waited, Ok(Ok(witness)) if wanted(&witness))
    }

    /// Asks for its state; `None` where no answer comes.
    pub(crate) async fn state(&mut self, patience: Duration) -> Option<Option<serde_json::Value>> {
        self.asked += 1;
        let id = self.asked;
        self.tell(Order::State { id }).await;
        let answered = |witness: &Witness| witness.state.as_ref().is_some_and(|(answer, _)| *answer == id);
        if !self.until(patience, answered).await {
            return None;
        }
        self.witness().state.map(|(_, mission)| mission)
    }

    /// Freezes it: it takes nothing, and is none the wiser.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        signal_to(&self.child, Signal::SIGSTOP).context("the client under test")
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        signal_to(&self.child, Signal::SIGCONT).context("the client under test")
    }

    /// Ends it, and gives what is known of it.
    pub(crate) async fn stop(self) -> Witness {
        let witness = self.witness();
        self.tell(Order::Stop).await;
        let Self { mut child, orders, .. } = self;
        // Ends its standard input.
        drop(orders);
        // One that does not end by itself goes when this is dropped.
        let _ = timeout(GOODBYE, child.wait()).await;
        witness
    }
}

async fn write(mut stdin: ChildStdin, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        let Ok(line) = serde_json::to_string(&order) else { continue };
        if stdin.write_all((line + "\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn listen(
    stdout: ChildStdout,
    witness: watch::Sender<Witness>,
    orders: mpsc::WeakSender<Order>,
    tokens: Arc<Mutex<Desk>>,
) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Word>(&line) {
            Ok(Word::NeedsToken) => {
                let (tokens, orders) = (tokens.clone(), orders.clone());
                tokio::spawn(async move {
                    // The server may be down.
                    let token = tokens.lock().await.refreshed().await.ok();
                    if let Some(orders) = orders.upgrade() {
                        // The client may have ended.
                        let _ = orders.send(Order::Token { token }).await;
                    }
                });
            }
            Ok(word) => witness.send_modify(|witness| witness.hear(word)),
            Err(error) => {
                let shown: String = line.chars().take(SHOWN).collect();
                witness.send_modify(|witness| witness.find(Kind::Broken, format!("{error} in the line {shown}")));
            }
        }
    }
    witness.send_modify(|witness| witness.is_gone = true);
}
