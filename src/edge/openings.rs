//! Cuts off connections that never come to ask anything.
//!
//! The HTTP library times the head of a connection's first request alone. One
//! whose first request was answered could take for ever over its second, a
//! byte at a time. Here every connection is either at work on a request,
//! upgraded, or has a bounded time to ask the next.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    net::Shutdown,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    Error, HttpRequest,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Extensions, Service, ServiceRequest, ServiceResponse},
};
use bytes::Bytes;
use socket2::{SockRef, Socket};
use tokio::{net::TcpStream, task::JoinHandle, time::Instant};

use super::line;

/// How often it is looked whether somebody may stay.
const LOOK: Duration = Duration::from_millis(500);

/// A connection that is not upgraded.
pub(super) struct Opening {
    /// The way to end it; gone once it is upgraded.
    socket: RefCell<Option<Socket>>,
    /// Requests whose responses are not sent yet.
    at_work: Cell<u32>,
    /// When it last was at work, or began.
    idle_since: Cell<Instant>,
}

/// Gives a new connection `patience` to ask something, each time that it is asking nothing.
pub(super) fn watch(connection: &dyn Any, data: &mut Extensions, patience: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let socket = match SockRef::from(stream).try_clone() {
        Ok(socket) => socket,
        Err(error) => return tracing::warn!(%error, "a connection is not timed"),
    };
    let opening = Rc::new(Opening {
        socket: RefCell::new(Some(socket)),
        at_work: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
    });
    actix_rt::spawn(cut_off(Rc::downgrade(&opening), patience));
    data.insert(opening);
}

/// What can end the connection of a request that is an upgrade. It is not timed here any more.
pub(super) fn upgraded(request: &HttpRequest) -> Option<Socket> {
    request.conn_data::<Rc<Opening>>()?.socket.take()
}

/// Ends the connection once it has been idle for `patience`.
async fn cut_off(opening: Weak<Opening>, patience: Duration) {
    let mut look_at = Instant::now() + patience;
    loop {
        tokio::time::sleep_until(look_at).await;
        // It may have ended, or have been upgraded.
        let Some(opening) = opening.upgrade() else { return };
        let Some(socket) = &*opening.socket.borrow() else { return };
        let now = Instant::now();
        look_at = if opening.at_work.get() > 0 { now } else { opening.idle_since.get() } + patience;
        if look_at <= now {
            tracing::debug!("a connection asked nothing for too long");
            // An error means that it has ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Ends the connection of `request` once `may_stay` says no, for as long as what is given back is kept.
///
/// It is asked by the clock: who reads slowly asks for nothing more of what was begun, and has some of it before them.
pub(super) fn only_while(request: &HttpRequest, may_stay: impl Fn() -> bool + 'static) -> Option<Tether> {
    let opening = Rc::downgrade(request.conn_data::<Rc<Opening>>()?);
    Some(Tether(actix_rt::spawn(async move {
        while may_stay() {
            tokio::time::sleep(LOOK).await;
        }
        if let Some(opening) = opening.upgrade()
            && let Some(socket) = &*opening.socket.borrow()
        {
            line::reset(socket);
        }
    })))
}

/// What a connection hangs on: see [`only_while`].
pub(super) struct Tether(JoinHandle<()>);

impl Drop for Tether {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets a request be answered, and notes that its connection is at work until all of the response is sent.
pub(super) fn note_work<S>(
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<AtWork>, Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let work = request.conn_data::<Rc<Opening>>().cloned().map(Work::begin);
    let answering = service.call(request);
    async move {
        let response = answering.await?;
        Ok(response.map_body(|_, body| AtWork { body, _work: work }))
    }
}

/// A request that is being answered.
struct Work(Rc<Opening>);

impl Work {
    fn begin(opening: Rc<Opening>) -> Self {
        opening.at_work.set(opening.at_work.get() + 1);
        Self(opening)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.at_work.set(self.0.at_work.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}

/// A response's body, and the work that ends with it.
pub(super) struct AtWork {
    body: BoxBody,
    _work: Option<Work>,
}

impl MessageBody for AtWork {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
