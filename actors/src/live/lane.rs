//! The lossy lane of a mission: what is being said, who is typing, who points where. Never stored.
//!
//! What comes in is gathered, and put out as one piece at most once an interval. A watcher that has
//! missed no more than the ring holds is given pieces; any other is given the whole, which is put
//! together once a version. So nobody's slowness costs more than that.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flightdeck_protocol::UserId;

use super::{
    alarm::Alarm,
    words::{TAIL, Words, end},
};

/// How many streams are shown at once; what is said in further ones is dropped.
const STREAMS: usize = 16;
/// How much of a stream is shown, in bytes of JSON; what is said beyond that is dropped.
const STREAM_BYTES: usize = 64 * 1024;
/// How much may wait behind the ends of streams that are on their way to disk, in bytes of JSON.
const BEHIND_BYTES: usize = 64 * 1024;
/// How many people are shown typing or pointing at once; further ones are not.
const SIGNS: usize = 200;
/// Pieces that are kept for watchers that are a little behind, in number and in bytes.
const RING_PIECES: usize = 64;
const RING_BYTES: usize = 64 * 1024;

/// What goes on in a mission.
pub(super) struct Lane {
    interval: Duration,
    streams: Vec<Stream>,
    signs: Vec<Sign>,
    /// Ends of streams that were decided on and are not published yet, in order.
    ends: VecDeque<Ending>,
    /// The version of what was put out last; 0 is a watcher's that was told nothing yet.
    version: u64,
    /// The pieces that led to the last versions.
    ring: VecDeque<Bytes>,
    ring_bytes: usize,
    /// All of it at this version, once somebody has asked for it.
    whole: Option<Bytes>,
    went_out: Option<Instant>,
    alarm: Alarm,
}

struct Stream {
    name: String,
    head: String,
    /// What was put out.
    text: String,
    /// What was said since.
    fresh: String,
    /// Something was dropped, so nothing that follows makes sense.
    full: bool,
}

struct Ending {
    stream: String,
    /// What was said since in a stream of the same name.
    behind: Option<Words>,
}

/// Somebody's typing or pointing.
struct Sign {
    whose: (UserId, Gesture),
    /// The item that was put out.
    shown: Option<String>,
    /// What is to be put out next; `None` in it takes the sign away.
    fresh: Option<Option<String>>,
    /// The item that takes it away.
    off: String,
}

/// What a person can be seen doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gesture {
    Typing,
    Cursor,
}

/// What there is for a watcher.
pub struct LiveNews {
    /// Whether it is all that goes on.
    pub whole: bool,
    /// The items as JSON, to be joined with commas.
    pub items: Vec<Bytes>,
}

/// When what was gathered is to be put out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// At once.
    Now,
    /// In so long; that was not arranged yet.
    In(Duration),
    /// It is seen to.
    Arranged,
}

impl Lane {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            streams: Vec::new(),
            signs: Vec::new(),
            ends: VecDeque::new(),
            version: 1,
            ring: VecDeque::new(),
            ring_bytes: 0,
            whole: None,
            went_out: None,
            alarm: Alarm::default(),
        }
    }

    /// The agent said something.
    pub(super) fn say(&mut self, words: Words) {
        let behind: usize = self.ends.iter().filter_map(|end| Some(end.behind.as_ref()?.text.len())).sum();
        let Some(end) = self.ends.iter_mut().rev().find(|end| end.stream == words.stream) else {
            return self.take(words);
        };
        if behind + words.text.len() <= BEHIND_BYTES {
            match &mut end.behind {
                Some(said) => said.text.push_str(&words.text),
                None => end.behind = Some(words),
            }
        }
    }

    fn take(&mut self, words: Words) {
        let Words { stream: name, head, text } = words;
        let known = self.streams.iter().position(|stream| stream.name == name);
        let index = match known {
            Some(index) => index,
            None if self.streams.len() < STREAMS => {
                self.streams.push(Stream { name, head, text: String::new(), fresh: String::new(), full: false });
                self.streams.len() - 1
            }
            None => return,
        };
        let stream = &mut self.streams[index];
        stream.full |= stream.text.len() + stream.fresh.len() + text.len() > STREAM_BYTES;
        if !stream.full {
            stream.fresh.push_str(&text);
        }
    }

    /// The end of `stream` was decided on: what is said in it from now on belongs behind that end.
    pub(super) fn expect_end(&mut self, stream: &str) {
        self.ends.push_back(Ending { stream: stream.to_owned(), behind: None });
    }

    /// The end of `stream` is published.
    pub(super) fn end(&mut self, stream: &str) {
        if let Some(index) = self.streams.iter().position(|known| known.name == stream) {
            let ended = self.streams.remove(index);
            self.put_out_ends(&[ended]);
        }
        let Some(index) = self.ends.iter().position(|end| end.stream == stream) else { return };
        let behind = self.ends.remove(index).and_then(|end| end.behind);
        // Where another end of the same stream is on its way, that too is over already.
        if let Some(words) = behind.filter(|_| !self.ends.iter().any(|end| end.stream == stream)) {
            self.take(words);
        }
    }

    /// All streams are over.
    pub(super) fn end_all(&mut self) {
        self.ends.clear();
        let ended = std::mem::take(&mut self.streams);
        self.put_out_ends(&ended);
    }

    /// Who is up to date is told of the ends. Pieces from before must not be seen any more, since
    /// the event that ended the stream comes before them: who has yet to see them gets the whole.
    fn put_out_ends(&mut self, ended: &[Stream]) {
        let shown = ended.iter().filter(|stream| !stream.text.is_empty());
        let items: Vec<String> = shown.map(|stream| end(&stream.name)).collect();
        if !items.is_empty() {
            self.ring.clear();
            self.ring_bytes = 0;
            self.put(items.join(","));
        }
    }

    /// Somebody types or points: `item` says so; `off` takes it back. `None` takes it back now.
    pub(super) fn sign(&mut self, whose: (UserId, Gesture), item: Option<String>, off: impl FnOnce() -> String) {
        if let Some(sign) = self.signs.iter_mut().find(|sign| sign.whose == whose) {
            sign.fresh = Some(item);
        } else if item.is_some() && self.signs.len() < SIGNS {
            self.signs.push(Sign { whose, shown: None, fresh: Some(item), off: off() });
        }
    }

    /// When what was gathered is to be put out.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let quiet = self.went_out.is_none_or(|then| now.duration_since(then) >= self.interval);
        let wait = self.went_out.map_or(Duration::ZERO, |then| (then + self.interval).saturating_duration_since(now));
        match () {
            () if !self.has_fresh() => Due::Arranged,
            () if quiet => Due::Now,
            () if self.alarm.set(now, wait) => Due::In(wait),
            () => Due::Arranged,
        }
    }

    fn has_fresh(&self) -> bool {
        self.streams.iter().any(|stream| !stream.fresh.is_empty()) || self.signs.iter().any(|sign| sign.fresh.is_some())
    }

    /// The time that [`Lane::due`] named has come.
    pub(super) fn rang(&mut self) {
        self.alarm.rang();
    }

    /// Puts out what was gathered; says whether that was anything.
    pub(super) fn put_out(&mut self, now: Instant) -> bool {
        let mut items: Vec<String> = Vec::new();
        for stream in self.streams.iter_mut().filter(|stream| !stream.fresh.is_empty()) {
            items.push(format!("{}{}{TAIL}", stream.head, stream.fresh));
            stream.text.push_str(&stream.fresh);
            stream.fresh = String::new();
        }
        for sign in &mut self.signs {
            let Some(fresh) = sign.fresh.take().filter(|fresh| *fresh != sign.shown) else { continue };
            items.push(fresh.clone().unwrap_or_else(|| sign.off.clone()));
            sign.shown = fresh;
        }
        self.signs.retain(|sign| sign.shown.is_some());
        if items.is_empty() {
            return false;
        }
        self.went_out = Some(now);
        self.put(items.join(","));
        true
    }

    fn put(&mut self, piece: String) {
        self.version += 1;
        self.whole = None;
        self.ring_bytes += piece.len();
        self.ring.push_back(piece.into());
        while self.ring_bytes > RING_BYTES || self.ring.len() > RING_PIECES {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_bytes -= oldest.len();
        }
    }

    /// What there is for a watcher that has `seen` this version, which becomes the newest.
    pub(super) fn after(&mut self, seen: &mut u64) -> Option<LiveNews> {
        let missed = self.version.saturating_sub(*seen);
        if missed == 0 {
            return None;
        }
        let is_new = std::mem::replace(seen, self.version) == 0;
        if !is_new && missed <= self.ring.len() as u64 {
            let items = self.ring.iter().skip(self.ring.len() - missed as usize).cloned().collect();
            return Some(LiveNews { whole: false, items });
        }
        let whole = self.whole();
        // Whoever comes when nothing goes on need not be told so.
        (!is_new || !whole.is_empty()).then(|| LiveNews { whole: true, items: vec![whole] })
    }

    fn whole(&mut self) -> Bytes {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let shown = self.streams.iter().filter(|stream| !stream.text.is_empty());
        let streams = shown.map(|stream| [stream.head.as_str(), &stream.text, TAIL].concat());
        let signs = self.signs.iter().filter_map(|sign| sign.shown.clone());
        let whole = Bytes::from(streams.chain(signs).collect::<Vec<_>>().join(","));
        self.whole = Some(whole.clone());
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::model::Author;
    use serde_json::{Value, json};

    const INTERVAL: Duration = Duration::from_millis(40);

    fn words(stream: &str, text: &str) -> Words {
        Words::new(&Author::System, stream, text)
    }

    /// What a watcher is given, as pairs of stream and text; `null` for an end.
    fn heard(lane: &mut Lane, seen: &mut u64) -> Option<(bool, Value)> {
        let news = lane.after(seen)?;
        let items: Vec<&str> = news.items.iter().map(|item| std::str::from_utf8(item).unwrap()).collect();
        let items: Vec<Value> = serde_json::from_str(&format!("[{}]", items.join(","))).unwrap();
        Some((news.whole, items.iter().map(|item| json!([item["stream"], item["text"]])).collect()))
    }

    fn say(lane: &mut Lane, stream: &str, text: &str) {
        lane.say(words(stream, text));
        lane.put_out(Instant::now());
    }

    #[test]
    fn the_first_piece_goes_at_once_and_the_next_are_gathered() {
        let (mut lane, now, mut seen) = (Lane::new(INTERVAL), Instant::now(), 0);
        assert_eq!(heard(&mut lane, &mut seen), None, "nothing goes on");
        assert_eq!(lane.due(now), Due::Arranged);
        lane.say(words("a", "one "));
        assert_eq!(lane.due(now), Due::Now);
        assert!(lane.put_out(now));
        lane.say(words("a", "two "));
        assert_eq!(lane.due(now + INTERVAL / 4), Due::In(INTERVAL * 3 / 4));
        lane.say(words("a", "three"));
        lane.say(words("b", "else"));
        assert_eq!(lane.due(now + INTERVAL / 2), Due::Arranged, "one wake-up for all of them");
        assert_eq!(heard(&mut lane, &mut seen), Some((false, json!([["a", "one "]]))));
        assert!(lane.put_out(now + INTERVAL));
        assert_eq!(heard(&mut lane, &mut seen), Some((false, json!([["a", "two three"], ["b", "else"]]))));
        assert_eq!(heard(&mut lane, &mut seen), None);
        assert!(!lane.put_out(now + INTERVAL), "there is nothing more");
        lane.say(words("a", "!"));
        assert_eq!(lane.due(now + INTERVAL * 2), Due::Now, "after a quiet time at once again");
    }

    #[test]
    fn who_comes_late_or_misses_pieces_gets_the_whole() {
        let (mut lane, mut slow) = (Lane::new(INTERVAL), 0);
        say(&mut lane, "a", "0");
        assert_eq!(heard(&mut lane, &mut slow), Some((true, json!([["a", "0"]]))), "a newcomer gets the whole");
        for _ in 0..RING_PIECES {
            say(&mut lane, "a", "x");
        }
        let all = format!("0{}", "x".repeat(RING_PIECES));
        let pieces = (0..RING_PIECES).map(|_| json!(["a", "x"])).collect();
        let mut just = slow;
        assert_eq!(heard(&mut lane, &mut just), Some((false, pieces)), "the ring has all that was missed");
        say(&mut lane, "a", "x");
        assert_eq!(heard(&mut lane, &mut slow), Some((true, json!([["a", all + "x"]]))));
        lane.say(words("a", "not out yet"));
        let (_, whole) = heard(&mut lane, &mut 0).unwrap();
        assert!(!whole.to_string().contains("not out"), "else a newcomer would get it twice");
    }

    #[test]
    fn nothing_of_a_stream_is_seen_after_its_end() {
        let (mut lane, mut quick, mut slow) = (Lane::new(INTERVAL), 0, 0);
        say(&mut lane, "a", "0");
        say(&mut lane, "b", "1");
        heard(&mut lane, &mut quick);
        heard(&mut lane, &mut slow);
        say(&mut lane, "a", "2");
        heard(&mut lane, &mut quick);
        lane.say(words("a", "gathered"));
        lane.end("a");
        assert_eq!(heard(&mut lane, &mut quick), Some((false, json!([["a", null]]))));
        assert_eq!(heard(&mut lane, &mut slow), Some((true, json!([["b", "1"]]))), "the slow one never sees the 2");
        assert!(!lane.put_out(Instant::now()), "what was gathered went with it");
        lane.end_all();
        assert_eq!(heard(&mut lane, &mut quick), Some((false, json!([["b", null]]))));
        assert_eq!(heard(&mut lane, &mut 0), None);
        lane.end("b");
        assert_eq!(heard(&mut lane, &mut quick), None, "it was over");
    }

    #[test]
    fn what_is_said_behind_an_end_that_is_not_on_disk_yet_waits_for_it() {
        let (mut lane, mut seen) = (Lane::new(INTERVAL), 0);
        say(&mut lane, "a", "first");
        lane.expect_end("a");
        say(&mut lane, "a", "second");
        say(&mut lane, "b", "other");
        let both = json!([["a", "first"], ["b", "other"]]);
        assert_eq!(heard(&mut lane, &mut seen), Some((true, both)), "another stream does not wait");
        lane.expect_end("a");
        say(&mut lane, "a", "third");
        lane.end("a");
        lane.put_out(Instant::now());
        assert_eq!(heard(&mut lane, &mut seen), Some((false, json!([["a", null]]))), "the second is over as well");
        lane.end("a");
        lane.put_out(Instant::now());
        assert_eq!(heard(&mut lane, &mut seen), Some((false, json!([["a", "third"]]))));
    }

    #[test]
    fn all_of_it_is_bounded() {
        let mut lane = Lane::new(INTERVAL);
        let much = "x".repeat(STREAM_BYTES);
        for nth in 0..STREAMS + 3 {
            say(&mut lane, &nth.to_string(), &much);
            say(&mut lane, &nth.to_string(), "too much");
        }
        let (whole, streams) = heard(&mut lane, &mut 0).unwrap();
        assert!(whole);
        let streams = streams.as_array().unwrap().clone();
        assert_eq!(streams.len(), STREAMS);
        assert!(streams.iter().all(|stream| stream[1] == much));
        assert!(lane.ring_bytes <= RING_BYTES);
        lane.expect_end("0");
        lane.say(words("0", &much));
        lane.say(words("0", "!"));
        lane.end("0");
        lane.put_out(Instant::now());
        assert_eq!(heard(&mut lane, &mut 0).unwrap().1.as_array().unwrap().last().unwrap()[1], much);
    }

    #[test]
    fn signs_replace_each_other_and_are_taken_back() {
        let (mut lane, mut seen) = (Lane::new(INTERVAL), 0);
        let user = UserId(uuid::Uuid::from_u128(1));
        let whose = (user, Gesture::Typing);
        let item = |text: &str| Some(json!({"stream": "s", "text": text}).to_string());
        let off = || json!({"stream": "s", "text": "off"}).to_string();
        lane.sign(whose, item("on"), off);
        lane.sign(whose, None, off);
        assert!(!lane.put_out(Instant::now()), "taken back before anyone saw it");
        lane.sign(whose, item("1"), off);
        lane.sign(whose, item("2"), off);
        lane.put_out(Instant::now());
        assert_eq!(heard(&mut lane, &mut seen), Some((true, json!([["s", "2"]]))));
        lane.sign(whose, item("2"), off);
        assert!(!lane.put_out(Instant::now()), "no news");
        lane.sign(whose, None, off);
        lane.put_out(Instant::now());
        assert_eq!(heard(&mut lane, &mut seen), Some((false, json!([["s", "off"]]))));
        assert_eq!(heard(&mut lane, &mut 0), None);
    }
}
