//! Text for a terminal: harmless whatever a server sent, as wide as it looks, and tables of it.

use flightdeck_protocol::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthChar;

/// `text` on one line, with nothing in it that a terminal would obey.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() || turns_text_around(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Marks that change the direction of the text after them.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// As much of `text` as fits into `columns`, with an ellipsis where something is left out.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut room = match columns {
        0 => return String::new(),
        columns => columns - 1,
    };
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            let wide = c.width().unwrap_or(0);
            let fits = wide <= room;
            room -= if fits { wide } else { 0 };
            fits
        })
        .collect();
    kept.push('…');
    kept
}

/// A size in bytes, to three digits.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB"] {
        if amount >= 1000.0 {
            amount /= 1024.0;
            unit = larger;
        }
    }
    if amount < 10.0 { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

/// A length of time, by its two largest units.
pub(crate) fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// A moment as clocks in `zone` show it.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone, format: &str) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

/// Rows in columns as wide as they need to be; the last column gets what is left of `columns`.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], columns: usize) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(&head).chain(rows).map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|c| width(c)).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', wide.saturating_sub(width(cell)) + 2));
        }
        text.push_str(cut(line.trim_end(), columns).trim_end());
        text.push('\n');
    }
    text
}

/// The columns of the terminal that output goes to; plenty where it goes elsewhere.
pub(crate) fn columns() -> usize {
    use std::io::IsTerminal;
    let terminal = std::io::stdout().is_terminal().then(crossterm::terminal::size).and_then(Result::ok);
    terminal.map_or(usize::MAX, |(columns, _)| usize::from(columns).max(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let evil = "a\u{1b}[2Jb\u{9b}c\u{7}\nd\te\u{202e}f\u{0}";
        let tame = clean(evil);
        assert_eq!(tame, "a\u{fffd}[2Jb\u{fffd}c\u{fffd} d e\u{fffd}f\u{fffd}");
        assert!(!tame.chars().any(char::is_control));
    }

    #[test]
    fn text_is_cut_by_the_columns_that_it_takes() {
        assert_eq!(cut("plan", 4), "plan");
        assert_eq!(cut("plans", 4), "pla…");
        assert_eq!(cut("報告書を送る", 7), "報告書…");
        assert_eq!(cut("報告書を送る", 6), "報告…");
        assert_eq!(cut("anything", 0), "");
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([size(0), size(1023), size(1536), size(20 << 20)], ["0 B", "1023 B", "1.5 KiB", "20 MiB"]);
        assert_eq!([span(-1), span(59_999), span(61_000), span(7_260_000)], ["0s", "59s", "1m 01s", "2h 01m"]);
        assert_eq!(span(90_000_000), "1d 01h");
    }

    #[test]
    fn a_table_is_as_wide_as_it_has_to_be() {
        let rows = [vec!["1".to_owned(), "a long title".to_owned()], vec!["22".to_owned(), "b\u{1b}".to_owned()]];
        assert_eq!(table(&["ID", "TITLE"], &rows, 12), "ID  TITLE\n1   a long …\n22  b\u{fffd}\n");
    }
}
