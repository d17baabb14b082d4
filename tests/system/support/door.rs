//! A door that stays where it is: a server gets another port each time it is started, and a client that comes back by itself knows one address.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::Server;

/// Hands every connection on to the server that is behind it; there may be none.
pub(crate) struct Door {
    /// Where it is.
    pub(crate) url: String,
    behind: Arc<Mutex<SocketAddr>>,
    guests: Arc<AtomicUsize>,
    porter: AbortHandle,
}

impl Door {
    /// A door to `server`.
    pub(crate) async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let behind = Arc::new(Mutex::new(server.address()));
        let guests = Arc::new(AtomicUsize::new(0));
        let (address, count) = (Arc::clone(&behind), Arc::clone(&guests));
        let porter = tokio::spawn(async move {
            while let Ok((mut guest, _)) = listener.accept().await {
                let address = *address.lock().expect("the address");
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    // A guest for whom nobody is there is sent away.
                    let Ok(mut host) = TcpStream::connect(address).await else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    let _ = copy_bidirectional(&mut guest, &mut host).await;
                });
            }
        });
        Self { url, behind, guests, porter: porter.abort_handle() }
    }

    /// How many found somebody behind it so far.
    pub(crate) fn guests(&self) -> usize {
        self.guests.load(Ordering::SeqCst)
    }

    /// The server was started again.
    pub(crate) fn now_to(&self, server: &Server) {
        *self.behind.lock().expect("the address") = server.address();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.porter.abort();
    }
}
