//! The door between the client under test and the server: it can swallow what the server says, and be slammed.

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::AbortHandle,
};

/// How much is handed on at once, in bytes.
const PART: usize = 16 * 1024;

/// What the door does.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// What the server says goes nowhere.
    swallows: bool,
    /// How often it was slammed.
    slammed: u64,
}

/// A door, shut when this is dropped.
pub(crate) struct Door {
    port: u16,
    state: watch::Sender<State>,
    keeper: AbortHandle,
}

impl Door {
    /// A door before the server on `port`.
    pub(crate) async fn before(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let own = listener.local_addr().context("a port")?.port();
        let state = watch::Sender::new(State::default());
        let keeper = tokio::spawn(keep(listener, port, state.clone())).abort_handle();
        Ok(Self { port: own, state, keeper })
    }

    /// Where the client finds the server.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the server says from now on is lost; what the client says is not.
    pub(crate) fn swallow(&self) {
        self.state.send_modify(|state| state.swallows = true);
    }

    /// Cuts every connection; the next ones are whole.
    pub(crate) fn slam(&self) {
        self.state.send_modify(|state| *state = State { swallows: false, slammed: state.slammed + 1 });
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.keeper.abort();
        self.slam();
    }
}

async fn keep(listener: TcpListener, port: u16, state: watch::Sender<State>) {
    while let Ok((near, _)) = listener.accept().await {
        let state = state.subscribe();
        tokio::spawn(async move {
            // The server may be down: then there is no connection here either.
            if let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await {
                join(near, far, state).await;
            }
        });
    }
}

/// Hands on between the two until one of them ends or the door is slammed.
async fn join(near: TcpStream, far: TcpStream, mut state: watch::Receiver<State>) {
    let slammed = state.borrow().slammed;
    let (seen, (mut from_near, to_near)) = (state.clone(), near.into_split());
    let (from_far, mut to_far) = far.into_split();
    tokio::select! {
        _ = copy(&mut from_near, &mut to_far) => {}
        () = say(from_far, to_near, seen) => {}
        // An error means that the door is gone.
        _ = state.wait_for(|state| state.slammed != slammed) => {}
    }
}

/// Hands on what the server says, unless it is swallowed.
async fn say(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: watch::Receiver<State>) {
    let mut part = vec![0; PART];
    while let Ok(read @ 1..) = from.read(&mut part).await {
        if !state.borrow().swallows && to.write_all(&part[..read]).await.is_err() {
            return;
        }
    }
}
