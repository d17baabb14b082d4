//! Gathers the pieces of text that an agent prints for those who watch now, without its secrets.

use std::time::{Duration, Instant};

use flightdeck_protocol::lines::AgentLine;

use super::Line;
use crate::secrets::Blotter;

/// The shortest time between two hand-overs to the mission, however fast the agent prints: a model
/// that prints a word at a time stays below, and what is faster is joined.
pub(super) const GATHER: Duration = Duration::from_millis(10);
/// Streams at once; what is said in further ones is dropped.
const STREAMS: usize = 16;
/// How much may wait of one stream, in bytes; what is said beyond that is dropped.
const WAITING_BYTES: usize = 64 * 1024;
/// Characters of a stream's name.
const NAME_CHARS: usize = 64;

/// What waits to be handed over, and what may be the beginning of a secret.
pub(super) struct Deltas {
    blotter: Blotter,
    streams: Vec<Stream>,
    went: Option<Instant>,
}

struct Stream {
    name: String,
    /// What may be the beginning of a secret: shown once it turns out to be none.
    tail: String,
    ready: String,
    /// Something was dropped, so nothing that follows makes sense.
    full: bool,
}

/// A `delta` line: the name of its stream and its text, or why it cannot be taken.
pub(super) fn read(line: &Line) -> Option<Result<(String, String), String>> {
    let Line::Text(line) = line else { return None };
    // Most lines are something else: they are not read twice.
    // An array is no line of the dialect, though a line could be read from one by position.
    if !line.contains("\"delta\"") || line.trim_start().starts_with('[') {
        return None;
    }
    match serde_json::from_str::<AgentLine>(line) {
        Ok(AgentLine::Delta { stream, text }) => Some(check_name(&stream).map(|()| (stream, text))),
        _ => None,
    }
}

fn check_name(stream: &str) -> Result<(), String> {
    if stream.trim().is_empty() || stream.chars().count() > NAME_CHARS || stream.chars().any(is_odd) {
        return Err(format!("stream is your name for what you say: 1 to {NAME_CHARS} characters on one line"));
    }
    Ok(())
}

/// Control characters, and those that turn the direction of what follows.
fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Deltas {
    pub(super) fn new(blotter: Blotter) -> Self {
        Self { blotter, streams: Vec::new(), went: None }
    }

    /// The agent printed a piece of `stream`.
    pub(super) fn add(&mut self, stream: &str, text: &str) {
        // Its name is the agent's own text as well.
        let stream = self.blotter.blot(stream.to_owned());
        let Some(index) = self.stream(stream) else { return };
        let stream = &mut self.streams[index];
        stream.full |= stream.ready.len() + text.len() > WAITING_BYTES;
        if stream.full {
            return;
        }
        let plain = |c| if is_odd(c) && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c };
        let text: String = text.chars().map(plain).collect();
        let Stream { tail, ready, .. } = stream;
        ready.push_str(&self.blotter.blot_part(tail, &text));
    }

    fn stream(&mut self, name: String) -> Option<usize> {
        let known = self.streams.iter().position(|known| known.name == name);
        if known.is_none() && self.streams.len() < STREAMS {
            let (tail, ready) = (String::new(), String::new());
            self.streams.push(Stream { name, tail, ready, full: false });
            return Some(self.streams.len() - 1);
        }
        known
    }

    /// What was taken could not be handed over: it goes with what follows.
    pub(super) fn put_back(&mut self, words: Vec<(String, String)>) {
        for (name, text) in words {
            if let Some(stream) = self.streams.iter_mut().find(|stream| stream.name == name) {
                stream.ready.insert_str(0, &text);
            }
        }
    }

    /// The agent has ended `stream`: its whole text comes by another way.
    pub(super) fn end(&mut self, stream: &str) {
        self.streams.retain(|known| known.name != stream);
    }

    /// When what waits may be handed over; `None` where nothing waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let waits = self.streams.iter().any(|stream| !stream.ready.is_empty());
        waits.then(|| self.went.map_or(now, |went| (went + GATHER).max(now)))
    }

    /// Takes what waits, with the names of the streams.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(String, String)> {
        self.went = Some(now);
        let waiting = self.streams.iter_mut().filter(|stream| !stream.ready.is_empty());
        waiting.map(|stream| (stream.name.clone(), std::mem::take(&mut stream.ready))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(secret: &str) -> Deltas {
        let secret = serde_json::json!({ "password": secret });
        Deltas::new(Blotter::new(secret.as_object()))
    }

    fn line(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn only_a_good_delta_is_one() {
        assert_eq!(
            read(&line(r#"{"type":"delta","stream":"a","text":"b"}"#)),
            Some(Ok(("a".to_owned(), "b".to_owned())))
        );
        assert_eq!(read(&line(r#"{"type":"text","text":"a \"delta\""}"#)), None);
        assert_eq!(read(&line(r#"{"type":"delta","stream":"a"}"#)), None, "refused where other lines are");
        for name in [String::new(), "a\nb".to_owned(), "x".repeat(65), "\u{202e}a".to_owned()] {
            let text = serde_json::json!({"type": "delta", "stream": name, "text": "b"}).to_string();
            assert!(read(&line(&text)).unwrap().unwrap_err().contains("1 to 64 characters"), "{text}");
        }
    }

    #[test]
    fn pieces_are_joined_until_they_may_go() {
        let (mut deltas, now) = (deltas("none"), Instant::now());
        assert_eq!(deltas.due(now), None);
        deltas.add("a", "one ");
        assert_eq!(deltas.due(now), Some(now), "the first at once");
        assert_eq!(deltas.take(now), [("a".to_owned(), "one ".to_owned())]);
        deltas.add("a", "two ");
        deltas.add("b", "else");
        deltas.add("a", "three\u{7}");
        assert_eq!(deltas.due(now), Some(now + GATHER));
        let both = [("a".to_owned(), "two three\u{fffd}".to_owned()), ("b".to_owned(), "else".to_owned())];
        let taken = deltas.take(now + GATHER);
        assert_eq!(taken, both);
        deltas.add("a", "!");
        deltas.put_back(taken);
        assert_eq!(deltas.take(now)[0].1, "two three\u{fffd}!", "what could not go goes first");
    }

    #[test]
    fn a_piece_is_an_object_of_its_type() {
        let said = |line: &str| read(&Line::Text(line.to_owned()));
        let piece = Some(Ok(("a".to_owned(), "hello".to_owned())));
        assert_eq!(said(r#"{"type":"delta","stream":"a","text":"hello"}"#), piece);
        assert_eq!(said(r#"["delta","a","hello"]"#), None);
        assert_eq!(said(r#"{"type":"text","text":"the \"delta\""}"#), None);
    }

    #[test]
    fn a_secret_that_is_split_does_not_leak() {
        let (mut deltas, now) = (deltas("hunter2"), Instant::now());
        let mut shown = String::new();
        for piece in ["I typed hun", "te", "r2 and then hunt", "ed on; hunter", "2", "hun"] {
            deltas.add("a", piece);
            shown.extend(deltas.take(now).into_iter().map(|(_, text)| text));
        }
        assert_eq!(shown, "I typed [secret] and then hunted on; [secret]");
        deltas.end("a");
        deltas.add("a", "anew");
        assert_eq!(deltas.take(now), [("a".to_owned(), "anew".to_owned())]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut deltas = deltas("none");
        for nth in 0..STREAMS + 5 {
            for _ in 0..3 {
                deltas.add(&nth.to_string(), &"x".repeat(WAITING_BYTES / 2));
            }
            deltas.add(&nth.to_string(), "a hole before this");
        }
        let waiting = deltas.take(Instant::now());
        assert_eq!(waiting.len(), STREAMS);
        assert!(waiting.iter().all(|(_, text)| text.len() == WAITING_BYTES && text.ends_with('x')));
    }
}
