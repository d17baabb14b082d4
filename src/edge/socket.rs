//! The WebSocket edge: the one place that knows `actix-web-actors`.
//!
//! A socket is an actor of that crate for what comes in. What goes out does not
//! go through its context, whose buffer has no bound: the response's body is
//! the context's own frames (pongs, closing handshake) joined with the frames
//! that the session's [`Outbox`] has, taken only when the socket has room.

use std::{
    any::Any,
    cell::Cell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix::{Actor, ActorContext as _, AsyncContext as _, StreamHandler};
use actix_http::ws::Item;
use actix_web::{HttpRequest, HttpResponse, error::ErrorInternalServerError, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, Message, ProtocolError, WebsocketContext};
use bytes::{BufMut as _, Bytes, BytesMut};
use flightdeck_actors::{
    live::{Outbox, Outgoing},
    session::Session,
};
use flightdeck_protocol::{Code, Fault, MissionId, notification::Close, operations::Position};
use futures_util::Stream;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::{Edge, announced::Announced, line::Line, openings, reply, rest, roused::Roused};

/// How much is handed on at once: the connection's buffer grows by no more, and stays as it has grown.
const PART_BYTES: usize = 16 * 1024;

/// `GET /ws`.
pub(super) async fn open(edge: web::Data<Edge>, request: HttpRequest, stream: web::Payload) -> HttpResponse {
    upgrade(&edge, &request, stream, None)
}

/// `GET /ws/missions/{mission}?since=EPOCH:SEQ`: the same session with that mission watched.
pub(super) async fn open_mission(edge: web::Data<Edge>, request: HttpRequest, stream: web::Payload) -> HttpResponse {
    match mission_of(&request) {
        Ok(mission) => upgrade(&edge, &request, stream, Some(mission)),
        Err(fault) => reply::fault(&fault),
    }
}

fn mission_of(request: &HttpRequest) -> Result<(MissionId, Option<Position>), Fault> {
    let mission = request.match_info().query("mission").parse();
    let mission =
        mission.map_err(|_| Fault::new(Code::InvalidParams, "the path needs a mission's id").on("mission"))?;
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    let query =
        query.map_err(|error| Fault::new(Code::InvalidRequest, format!("the query cannot be read: {error}")))?;
    let mut since = None;
    for (name, value) in query.into_inner() {
        if name != "since" {
            return Err(Fault::new(Code::InvalidParams, format!("{name} is no parameter of this; since is")).on(&name));
        }
        let position = value
            .split_once(':')
            .and_then(|(epoch, seq)| Some(Position { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? }));
        let wrong = || Fault::new(Code::InvalidParams, "since is an epoch, a colon, and a position").on("since");
        since = Some(position.ok_or_else(wrong)?);
    }
    Ok((mission, since))
}

fn upgrade(
    edge: &Edge,
    request: &HttpRequest,
    stream: web::Payload,
    path: Option<(MissionId, Option<Position>)>,
) -> HttpResponse {
    let door = &edge.desk.door;
    let caller = match door.knock().and_then(|()| rest::caller(edge, request)) {
        Ok(caller) => caller,
        Err(fault) => return reply::fault(&fault),
    };
    let mut response = match ws::handshake(request) {
        Ok(response) => response,
        Err(error) => {
            let message = format!("this path takes WebSocket connections: {error}");
            return reply::fault(&Fault::new(Code::InvalidRequest, message));
        }
    };
    let pass = match door.enter(caller.as_ref().map(|caller| caller.person.id)) {
        Ok(pass) => pass,
        Err(fault) => return reply::fault(&fault),
    };
    let session = Session::new(edge.desk.clone(), edge.rules.clone(), pass, caller, path);
    let outbox = session.outbox().clone();
    let line = openings::upgraded(request).map(|socket| Line::of(socket, &outbox));
    let max_size = edge.rules.limits.message_bytes as usize;
    let codec = actix_http_codec(max_size);
    let exceeded = Rc::new(Cell::new(false));
    let unheard = Rc::new(Cell::new(0));
    let stream = Announced::new(stream, max_size, exceeded.clone(), unheard.clone());
    let socket = Socket { session, partial: None, max_size, exceeded, unheard };
    let control = WebsocketContext::with_codec(socket, stream, codec);
    response.streaming(Frames::new(control, outbox, line))
}

/// A peer that takes nothing for `silence` is dropped by the kernel: while it takes nothing,
/// it is not heard either, and its session cannot tell that it is silent.
pub(super) fn bound_silence(connection: &dyn Any, silence: Duration) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(silence))
    {
        tracing::warn!(%error, "a silent peer will be noticed late");
    }
}

/// A codec that takes messages of up to `max_size` bytes.
fn actix_http_codec(max_size: usize) -> actix_http::ws::Codec {
    actix_http::ws::Codec::new().max_size(max_size)
}

/// What comes in from one socket.
struct Socket {
    session: Session,
    /// The parts of a fragmented text message so far.
    partial: Option<BytesMut>,
    max_size: usize,
    /// A frame was announced that is over `max_size`.
    exceeded: Rc<Cell<bool>>,
    /// Whole frames that have come, and are yet to be heard.
    unheard: Rc<Cell<u64>>,
}

impl Actor for Socket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let beat = Duration::from_millis(self.session.rules().heartbeat.interval_ms);
        ctx.run_interval(beat, |_, ctx| ctx.ping(b""));
    }
}

impl Socket {
    fn text(&self, text: &[u8]) {
        match std::str::from_utf8(text) {
            Ok(text) => self.session.on_text(text),
            Err(_) => self.session.close(Close::Malformed),
        }
    }

    fn fragment(&mut self, item: Item) {
        match item {
            Item::FirstText(part) => self.partial = Some(BytesMut::from(&part[..])),
            Item::FirstBinary(_) => {
                self.partial = None;
                self.session.on_binary();
            }
            Item::Continue(part) | Item::Last(part)
                if self.partial.as_ref().is_some_and(|partial| partial.len() + part.len() > self.max_size) =>
            {
                self.session.close(Close::MessageTooLarge);
                self.partial = None;
            }
            Item::Continue(part) => {
                if let Some(partial) = &mut self.partial {
                    partial.extend_from_slice(&part);
                }
            }
            Item::Last(part) => {
                if let Some(mut whole) = self.partial.take() {
                    whole.extend_from_slice(&part);
                    self.text(&whole);
                }
            }
        }
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Socket {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        self.session.heard();
        self.unheard.update(|unheard| unheard.saturating_sub(1));
        match message {
            Ok(Message::Text(text)) => self.session.on_text(&text),
            Ok(Message::Binary(_)) => self.session.on_binary(),
            Ok(Message::Continuation(item)) => self.fragment(item),
            Ok(Message::Ping(payload)) => ctx.pong(&payload),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(_)) => {
                ctx.close(Some(CloseReason::from(CloseCode::Normal)));
                ctx.stop();
            }
            Err(_) if self.exceeded.get() => self.session.close(Close::MessageTooLarge),
            Err(error) => {
                tracing::debug!(%error, "a socket does not speak the WebSocket protocol");
                self.session.close(Close::Malformed);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.session.left();
    }
}

/// The response's body: whatever the socket is to be sent, in order.
struct Frames<S> {
    control: Roused<S>,
    control_ended: bool,
    outbox: Rc<Outbox>,
    /// The rest of a large frame that is being sent.
    parts: VecDeque<Bytes>,
    /// The connection is cut off as soon as what came before has left.
    cut: Option<Cut>,
    /// Held for as long as anything may be sent.
    _line: Option<Line>,
}

/// How far a cut is.
#[derive(Clone, Copy)]
enum Cut {
    /// What came before has yet to be written.
    Due,
    /// It was written, as far as there was room.
    Now,
}

thread_local! {
    /// Where frames are put together. Whoever takes them copies them at once, so all sockets of a thread share it.
    static READY: Cell<BytesMut> = Cell::default();
}

impl<S: Stream> Frames<S> {
    fn new(control: S, outbox: Rc<Outbox>, line: Option<Line>) -> Self {
        let (control, parts) = (Roused::new(control), VecDeque::new());
        Self { control, control_ended: false, outbox, parts, cut: None, _line: line }
    }

    /// All frames that the outbox has and that are small, in one piece. What follows on them is noted.
    fn ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut ready = READY.take();
        let ended = loop {
            match self.outbox.poll_next(cx) {
                Poll::Pending => break false,
                Poll::Ready(None) => break true,
                Poll::Ready(Some(Outgoing::Text(parts))) => {
                    if ready.is_empty() {
                        ready.reserve(2 * PART_BYTES);
                    }
                    let length: usize = parts.iter().map(Bytes::len).sum();
                    put_header(&mut ready, TEXT, length);
                    if ready.len() + length > PART_BYTES {
                        self.parts = parts.into();
                        break false;
                    }
                    parts.iter().for_each(|part| ready.put_slice(part));
                }
                Poll::Ready(Some(Outgoing::Close(close))) => {
                    put_header(&mut ready, CLOSE, 2 + close.reason().len());
                    ready.put_u16(close.code());
                    ready.put_slice(close.reason().as_bytes());
                    break false;
                }
                Poll::Ready(Some(Outgoing::Abort)) => {
                    self.cut = Some(Cut::Due);
                    break false;
                }
            }
        };
        let frames = ready.split().freeze();
        READY.set(ready);
        match (frames.is_empty(), ended) {
            (false, _) => Poll::Ready(Some(frames)),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }
}

impl<S: Stream<Item = Result<Bytes, actix_web::Error>>> Stream for Frames<S> {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.next_piece(cx);
        // Whoever has something asks again as soon as it has left. Until then the actor is not asked for what came in.
        self.outbox.note_full(next.is_ready());
        next
    }
}

impl<S: Stream<Item = Result<Bytes, actix_web::Error>>> Frames<S> {
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, actix_web::Error>>> {
        if let Some(part) = self.parts.front_mut() {
            let next = part.split_to(part.len().min(PART_BYTES));
            if part.is_empty() {
                self.parts.pop_front();
            }
            return Poll::Ready(Some(Ok(next)));
        }
        if self.cut.is_none() {
            if self.control_ended {
                return Poll::Ready(None);
            }
            match self.control.poll_next(cx) {
                Poll::Ready(Some(frame)) => return Poll::Ready(Some(frame)),
                // The socket is closed, or its actor died: there is nobody to send to.
                Poll::Ready(None) => {
                    self.control_ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            if let Poll::Ready(ready) = self.ready(cx) {
                return Poll::Ready(ready.map(Ok));
            }
        }
        match self.cut {
            None => Poll::Pending,
            Some(Cut::Due) => {
                // The frames so far are written when there is nothing more for the moment.
                self.cut = Some(Cut::Now);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Cut::Now) => {
                Poll::Ready(Some(Err(ErrorInternalServerError("the connection is cut off, as it was planned"))))
            }
        }
    }
}

/// Opcodes of RFC 6455, section 5.2, each with the bit that says that the frame is whole.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Puts the header of a frame from a server, which is never masked (RFC 6455, section 5.2).
fn put_header(frame: &mut BytesMut, first: u8, length: usize) {
    frame.put_u8(first);
    match length {
        0..=125 => frame.put_u8(length as u8),
        126..=0xffff => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_actors::live::Hub;
    use futures_util::{StreamExt as _, stream};

    /// What a socket is sent until it has to wait: pieces, as they are handed on.
    fn sent(frames: &mut (impl Stream<Item = Result<Bytes, actix_web::Error>> + Unpin)) -> Vec<Vec<u8>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let next = || match frames.poll_next_unpin(&mut cx) {
            Poll::Ready(Some(piece)) => Some(piece.unwrap().to_vec()),
            Poll::Ready(None) | Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_is_small_leaves_together_and_what_is_large_in_pieces() {
        actix_rt::System::new().block_on(async {
            let outbox = Outbox::new(Hub::of_this_thread(|_| {}));
            let mut frames = Frames::new(stream::pending(), outbox.clone(), None);
            assert!(sent(&mut frames).is_empty());
            ["one", "two"].into_iter().for_each(|text| outbox.send(text));
            assert_eq!(frames.next().await.unwrap().unwrap(), b"\x81\x03one\x81\x03two"[..]);
            assert!(outbox.is_full(), "nobody has asked again");
            assert!(sent(&mut frames).is_empty());
            assert!(!outbox.is_full());
            let large = vec![b'x'; PART_BYTES + 1];
            outbox.send("one");
            outbox.send(large.clone());
            outbox.send("two");
            let pieces = sent(&mut frames);
            let expected = [b"\x81\x03one\x81\x7e\x40\x01", &large[..], b"\x81\x03two"].concat();
            assert_eq!(pieces.concat(), expected);
            assert!(pieces.iter().all(|piece| piece.len() <= PART_BYTES));
            outbox.send("last");
            outbox.close(Close::Restarting);
            let goodbye = sent(&mut frames).concat();
            assert!(goodbye.starts_with(b"\x81\x04last"));
            assert!(goodbye.windows(2).any(|bytes| bytes == Close::Restarting.code().to_be_bytes()));
            assert!(frames.next().await.is_none());
        });
    }

    #[test]
    fn lengths_are_written_in_the_shortest_form() {
        let header = |length| {
            let mut frame = BytesMut::new();
            put_header(&mut frame, TEXT, length);
            frame.to_vec()
        };
        assert_eq!(header(125), [0x81, 125]);
        assert_eq!(header(126), [0x81, 126, 0, 126]);
        assert_eq!(header(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
