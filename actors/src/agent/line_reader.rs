//! Lines from a stream that is not trusted, in bounded memory.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// How much of a line that is too long is kept to show, in bytes.
const START_OF_LONG_LINE: usize = 200;

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line within the bound. What is not UTF-8 is replaced by U+FFFD.
    Text(String),
    /// A line over the bound, which was read over.
    TooLong {
        /// How long it was, in bytes, without its newline.
        bytes: u64,
        /// How it begins: 200 bytes at most.
        start: String,
    },
}

/// Splits a stream into lines and holds no more than one line of the longest allowed length.
#[derive(Debug)]
pub struct LineReader<R> {
    input: BufReader<R>,
    max_bytes: usize,
    /// The line so far, or its start alone once it is too long.
    line: Vec<u8>,
    /// How long the line is so far, in bytes.
    length: u64,
    ended: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `max_bytes` bytes, without their end, from `input`.
    pub fn new(input: R, max_bytes: usize) -> Self {
        Self { input: BufReader::new(input), max_bytes, line: Vec::new(), length: 0, ended: false }
    }

    /// The next line; nothing after the last one. A last line without a newline counts, and a stream that
    /// fails has ended.
    ///
    /// The future may be dropped and asked again: no byte is lost.
    pub async fn next(&mut self) -> Option<Line> {
        while !self.ended {
            let available = match self.input.fill_buf().await {
                Ok(available) if !available.is_empty() => available,
                Ok(_) => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let newline = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..newline.unwrap_or(available.len())];
            let consumed = part.len() + usize::from(newline.is_some());
            // One byte over the bound is kept: it may be the carriage return of a line that is just long enough.
            let room = (self.max_bytes + 1).saturating_sub(self.line.len());
            if self.length == self.line.len() as u64 {
                self.line.extend_from_slice(&part[..part.len().min(room)]);
            }
            self.length += part.len() as u64;
            if self.length > self.max_bytes as u64 + 1 {
                self.line.truncate(START_OF_LONG_LINE);
            }
            self.input.consume(consumed);
            if newline.is_some() {
                return Some(self.take_line());
            }
        }
        self.ended = true;
        (self.length > 0).then(|| self.take_line())
    }

    fn take_line(&mut self) -> Line {
        let mut line = std::mem::take(&mut self.line);
        let mut length = std::mem::take(&mut self.length);
        if length == line.len() as u64 && line.last() == Some(&b'\r') {
            line.pop();
            length -= 1;
        }
        if length > self.max_bytes as u64 {
            line.truncate(START_OF_LONG_LINE);
            return Line::TooLong { bytes: length, start: String::from_utf8_lossy(&line).into_owned() };
        }
        Line::Text(
            String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn lines(input: &[u8], max_bytes: usize) -> Vec<Line> {
        let mut reader = LineReader::new(input, max_bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push(line);
        }
        assert_eq!(reader.next().await, None, "the end stays the end");
        lines
    }

    fn text(line: &str) -> Line {
        Line::Text(line.to_owned())
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_the_last_needs_no_newline() {
        assert_eq!(lines(b"one\n\ntwo\r\nthree", 10).await, [text("one"), text(""), text("two"), text("three")]);
        assert_eq!(lines(b"", 10).await, []);
        assert_eq!(lines(b"one\n", 10).await, [text("one")]);
    }

    #[tokio::test]
    async fn the_bound_is_on_the_line_without_its_end() {
        assert_eq!(lines(b"12345\n12345\r\n12345", 5).await, [text("12345"), text("12345"), text("12345")]);
        let long = |bytes| Line::TooLong { bytes, start: "123456".into() };
        assert_eq!(lines(b"123456\n123456\r\n123456", 5).await, [long(6), long(7), long(6)]);
        assert_eq!(lines(b"\n", 0).await, [text("")]);
    }

    #[tokio::test]
    async fn a_flood_without_a_newline_is_counted_and_not_kept() {
        let flood = tokio::io::repeat(b'x').take(50_000_000).chain(&b"\nafter"[..]);
        let mut reader = LineReader::new(flood, 1000);
        let Some(Line::TooLong { bytes, start }) = reader.next().await else { panic!("too long") };
        assert_eq!((bytes, start.as_str()), (50_000_000, "x".repeat(200).as_str()));
        assert!(reader.line.capacity() < 20_000);
        assert_eq!(reader.next().await, Some(text("after")));
    }

    #[tokio::test]
    async fn what_is_not_utf8_is_replaced() {
        assert_eq!(lines(b"a\xffb\n", 10).await, [text("a\u{fffd}b")]);
    }

    #[tokio::test]
    async fn a_dropped_read_loses_nothing() {
        let (mut agent, server) = tokio::io::duplex(64);
        let mut reader = LineReader::new(server, 100);
        agent.write_all(b"half ").await.expect("room");
        tokio::select! {
            biased;
            line = reader.next() => panic!("no line yet: {line:?}"),
            () = std::future::ready(()) => {}
        }
        agent.write_all(b"and half\n").await.expect("room");
        assert_eq!(reader.next().await, Some(text("half and half")));
    }
}
