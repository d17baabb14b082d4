//! A client's side of the line protocol: orders on standard input, words on standard output.

use std::{io::Write as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use flightdeck_protocol::client::{TokenError, Tokens};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, stdin},
    sync::{Mutex, mpsc},
    time::timeout,
};

use crate::lines::{Order, Word};

/// How long the harness has to give a token.
const PATIENCE: Duration = Duration::from_secs(10);
/// Orders and tokens that wait to be taken.
const QUEUE: usize = 64;

/// Says `word` to the harness.
pub(crate) fn say(word: &Word) -> anyhow::Result<()> {
    let line = serde_json::to_string(word)? + "\n";
    std::io::stdout().lock().write_all(line.as_bytes()).context("the harness has gone")
}

/// The orders of the harness, and the tokens that it gives.
pub(crate) fn orders() -> (mpsc::Receiver<Order>, AskedTokens) {
    let (orders_in, orders) = mpsc::channel(QUEUE);
    let (tokens_in, tokens) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let sent = match serde_json::from_str::<Order>(&line) {
                Ok(Order::Token { token }) => tokens_in.send(token).await.is_ok(),
                Ok(order) => orders_in.send(order).await.is_ok(),
                Err(error) => {
                    eprintln!("an order cannot be read: {error}");
                    false
                }
            };
            if !sent {
                return;
            }
        }
    });
    (orders, AskedTokens { current: Arc::default(), given: Arc::new(Mutex::new(tokens)) })
}

/// Tokens that the harness is asked for.
#[derive(Clone)]
pub(crate) struct AskedTokens {
    current: Arc<Mutex<String>>,
    given: Arc<Mutex<mpsc::Receiver<Option<String>>>>,
}

impl AskedTokens {
    /// The token to begin with.
    pub(crate) async fn set(&self, token: String) {
        *self.current.lock().await = token;
    }
}

impl Tokens for AskedTokens {
    async fn token(&self, rejected: Option<String>) -> Result<String, TokenError> {
        // Held until the answer is here: one question at a time.
        let mut current = self.current.lock().await;
        if rejected.is_none_or(|rejected| rejected != *current) {
            return Ok(current.clone());
        }
        say(&Word::NeedsToken).map_err(|error| TokenError::Final(error.to_string()))?;
        let given = timeout(PATIENCE, async { self.given.lock().await.recv().await }).await;
        let token = given.ok().flatten().flatten();
        *current = token.ok_or_else(|| TokenError::Temporary("the harness has no token now".to_owned()))?;
        Ok(current.clone())
    }
}
