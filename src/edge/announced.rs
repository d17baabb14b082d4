//! Holds a socket to its limit by what its frames announce, and to the pace of who hears them.
//!
//! The codec behind it looks at a frame's size only once the whole of it has
//! come, and keeps what came until then: a peer that announces a giant could
//! fill the memory. Here the connection is cut off at the announcement.
//!
//! What is behind it also takes all that has come before it looks at some of
//! it: a peer that sends faster than it is heard could fill the memory as well.
//! Here nothing more is handed on while whole frames wait to be heard.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// Bytes of the longest header: two, a length of eight, and a mask of four (RFC 6455, section 5.2).
const HEADER_BYTES: usize = 14;

/// The bytes of a socket, up to the first frame that announces too much.
pub(super) struct Announced<S> {
    bytes: S,
    headers: Headers,
    exceeded: Rc<Cell<bool>>,
    unheard: Rc<Cell<u64>>,
}

impl<S> Announced<S> {
    /// Takes frames of up to `max` bytes from `bytes`; `exceeded` is set when a longer one is announced.
    /// `unheard` counts the whole frames that were handed on; whoever hears one takes it off.
    pub(super) fn new(bytes: S, max: usize, exceeded: Rc<Cell<bool>>, unheard: Rc<Cell<u64>>) -> Self {
        let headers = Headers { max: max as u64, header: [0; HEADER_BYTES], have: 0, left: 0 };
        Self { bytes, headers, exceeded, unheard }
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Announced<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.exceeded.get() {
            // Nothing more is read; the goodbye that follows ends the connection.
            return Poll::Pending;
        }
        if self.unheard.get() > 0 {
            // Whoever hears the last of them asks again.
            return Poll::Pending;
        }
        let polled = self.bytes.poll_next_unpin(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            match self.headers.follow(chunk) {
                Some(whole) => self.unheard.set(whole),
                None => {
                    self.exceeded.set(true);
                    return Poll::Ready(Some(Err(PayloadError::Overflow)));
                }
            }
        }
        polled
    }
}

/// Where in the stream of frames the bytes are.
struct Headers {
    max: u64,
    /// The header that is being read, as far as it has come.
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Bytes of the current frame's payload that are yet to come.
    left: u64,
}

impl Headers {
    /// Follows the frames through `chunk`, and counts those that end in it; `None` if one announces too much.
    fn follow(&mut self, mut chunk: &[u8]) -> Option<u64> {
        let mut whole = 0;
        loop {
            let skip = self.left.min(chunk.len() as u64);
            self.left -= skip;
            whole += u64::from(skip > 0 && self.left == 0);
            chunk = &chunk[skip as usize..];
            let Some((next, rest)) = chunk.split_first() else { return Some(whole) };
            self.header[self.have] = *next;
            self.have += 1;
            chunk = rest;
            if let Some(length) = announced(&self.header[..self.have]) {
                if length > self.max {
                    return None;
                }
                (self.have, self.left) = (0, length);
                whole += u64::from(length == 0);
            }
        }
    }
}

/// The length of the payload that a header announces, once all of the header is there.
fn announced(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if header.len() < 2 + extended + mask {
        return None;
    }
    Some(match extended {
        0 => u64::from(second & 0x7f),
        extended => header[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame that announces `length`.
    fn header(length: u64) -> Vec<u8> {
        let mut header = vec![0x81];
        match length {
            0..=125 => header.push(0x80 | length as u8),
            126..=0xffff => {
                header.push(0x80 | 126);
                header.extend((length as u16).to_be_bytes());
            }
            _ => {
                header.push(0x80 | 127);
                header.extend(length.to_be_bytes());
            }
        }
        header.extend([1, 2, 3, 4]);
        header
    }

    fn frames(lengths: &[u64]) -> Vec<u8> {
        let frame = |length: &u64| [header(*length), vec![0xff; *length as usize]].concat();
        lengths.iter().flat_map(frame).collect()
    }

    fn headers(max: u64) -> Headers {
        Headers { max, header: [0; HEADER_BYTES], have: 0, left: 0 }
    }

    #[test]
    fn frames_within_the_limit_pass_however_they_are_cut() {
        let stream = frames(&[0, 5, 125, 126, 0, 300, 70_000, 1, 0]);
        for size in [1, 2, 3, 7, 64, stream.len()] {
            let mut headers = headers(70_000);
            let whole: Option<u64> = stream.chunks(size).map(|chunk| headers.follow(chunk)).sum();
            assert_eq!(whole, Some(9), "in chunks of {size}");
            assert_eq!((headers.have, headers.left), (0, 0));
        }
    }

    #[test]
    fn a_giant_is_noticed_at_its_announcement() {
        for (max, length) in [(125, 126), (300, 301), (70_000, 70_001), (70_000, u64::MAX)] {
            let stream = [frames(&[5, max]), header(length)].concat();
            for size in [1, 5, stream.len()] {
                let mut headers = headers(max);
                assert!(
                    stream.chunks(size).any(|chunk| headers.follow(chunk).is_none()),
                    "{length} in chunks of {size}"
                );
            }
        }
    }
}
