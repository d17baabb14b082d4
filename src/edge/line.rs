//! A connection's line: the way to end it whatever its peer reads.
//!
//! What was handed to the connection leaves at the pace of the peer, and the
//! library asks for nothing while there is no room. So whoever reads slowly
//! would be sent for minutes what was begun before they lost their rights.

use std::{
    net::Shutdown,
    rc::{Rc, Weak},
    time::Duration,
};

use flightdeck_actors::live::Outbox;
use socket2::Socket;

/// How long a session that is cut off has for its goodbye, and for the end of a frame that was begun.
const GRACE: Duration = Duration::from_millis(750);

/// A connection, for as long as it is held.
pub(super) struct Line(Rc<Socket>);

impl Line {
    /// The line of the session whose outbox this is, ended for good soon after the session is cut off.
    pub(super) fn of(socket: Socket, outbox: &Outbox) -> Self {
        let socket = Rc::new(socket);
        let line = Rc::downgrade(&socket);
        outbox.when_cut_off(move || end_soon(&line));
        Self(socket)
    }
}

fn end_soon(line: &Weak<Socket>) {
    // Who has gone needs no end.
    let Some(line) = line.upgrade().map(Line) else { return };
    actix_rt::spawn(async move {
        tokio::time::sleep(GRACE).await;
        reset(&line.0);
    });
}

/// Ends the connection. What the kernel has yet to send is forgotten.
pub(super) fn reset(socket: &Socket) {
    let ended = socket.set_linger(Some(Duration::ZERO)).and_then(|()| socket.shutdown(Shutdown::Both));
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection that was cut off had ended");
    }
}
