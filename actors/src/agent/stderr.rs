//! The end of what an agent wrote to its standard error, for people who ask why it failed.

use std::collections::VecDeque;

use tokio::io::AsyncRead;

use super::line_reader::{Line, LineReader};

/// How many lines are kept.
const MAX_LINES: usize = 40;
/// How many bytes are kept, over all lines.
const MAX_BYTES: usize = 8 * 1024;
/// The longest line that is kept whole, in bytes.
const MAX_LINE_BYTES: usize = 1024;

/// The last lines of a stream, made fit to be shown.
#[derive(Clone, Debug)]
pub struct StderrTail {
    lines: VecDeque<String>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl Default for StderrTail {
    /// Keeps 40 lines and 8 KiB.
    fn default() -> Self {
        Self::new(MAX_LINES, MAX_BYTES)
    }
}

impl StderrTail {
    /// Keeps the last `max_lines` lines, of `max_bytes` bytes together.
    pub fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, max_lines, max_bytes }
    }

    /// Reads `stream` to its end and gives what is left of it, within the default bounds.
    pub async fn collect(stream: impl AsyncRead + Unpin) -> Self {
        let mut tail = Self::default();
        let mut lines = LineReader::new(stream, MAX_LINE_BYTES);
        while let Some(line) = lines.next().await {
            tail.push(line);
        }
        tail
    }

    /// Adds a line, and forgets the oldest ones that are too many. Empty lines are left out.
    pub fn push(&mut self, line: Line) {
        let mut line = match line {
            Line::Text(text) => clean(&text),
            Line::TooLong { bytes, start } => format!("{} … ({bytes} bytes)", clean(&start)),
        };
        if line.is_empty() {
            return;
        }
        line.truncate(line.floor_char_boundary(self.max_bytes));
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines || self.bytes > self.max_bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The lines as one text; empty if nothing was written.
    pub fn text(&self) -> String {
        self.lines().collect::<Vec<_>>().join("\n")
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Takes out what would move a terminal's cursor, colour it, or turn the direction of the text.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\t' => cleaned.push(' '),
            // An escape sequence: ESC [ parameters, up to its final letter.
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                chars.by_ref().find(|char| matches!(char, '\u{40}'..='\u{7e}'));
            }
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            char if char.is_control() => {}
            char => cleaned.push(char),
        }
    }
    cleaned.truncate(cleaned.trim_end().len());
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept() {
        let input: String = (1..=100).map(|number| format!("line {number}\n")).collect();
        let tail = StderrTail::collect(input.as_bytes()).await;
        assert_eq!(tail.lines().count(), 40);
        assert_eq!(tail.lines().next(), Some("line 61"));
        assert!(tail.text().ends_with("line 99\nline 100"));
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_push_out_the_old_ones() {
        let input = format!("{}\n{}", format!("{}\n", "é".repeat(500)).repeat(10), "y".repeat(3_000_000));
        let tail = StderrTail::collect(input.as_bytes()).await;
        assert_eq!(tail.lines().count(), 8);
        assert!(tail.lines().map(str::len).sum::<usize>() <= 8 * 1024);
        assert!(tail.text().ends_with("yyy … (3000000 bytes)"));
    }

    #[tokio::test]
    async fn a_line_is_never_more_than_all_that_is_kept() {
        let mut tail = StderrTail::new(3, 4);
        tail.push(Line::Text("éééé".into()));
        assert_eq!(tail.text(), "éé");
    }

    #[tokio::test]
    async fn control_characters_are_taken_out() {
        let tail = StderrTail::collect(&b"\x1b[31mred\x1b[0m\tand \x07bell\n\n\x00\xff\r\n"[..]).await;
        assert_eq!(tail.lines().collect::<Vec<_>>(), ["red and bell", "\u{fffd}"]);
        assert_eq!(clean("user\u{202e}txt.exe"), "usertxt.exe");
        assert!(StderrTail::collect(&b""[..]).await.is_empty());
    }
}
