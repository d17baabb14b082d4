//! Lines of styled text, safe for a terminal by construction.

use flightdeck_protocol::model::MissionStatus;

use crate::cli::text::{clean, cut, width};

/// What a piece of text looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Odd,
    Busy,
    Said,
}

/// What a mission's status looks like.
pub(super) fn of(status: MissionStatus) -> Style {
    match status {
        MissionStatus::Running => Style::Busy,
        MissionStatus::Completed => Style::Good,
        MissionStatus::Failed => Style::Bad,
        MissionStatus::Waiting | MissionStatus::Paused => Style::Odd,
        MissionStatus::Pending | MissionStatus::Queued | MissionStatus::Cancelled => Style::Plain,
    }
}

/// A line: pieces of text, each in a style. No piece holds anything that a terminal would obey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    /// A line of one piece.
    pub(super) fn new(style: Style, text: &str) -> Self {
        Self::default().and(style, text)
    }

    /// The line with a piece more.
    pub(super) fn and(mut self, style: Style, text: &str) -> Self {
        if !text.is_empty() {
            self.0.push((style, clean(text)));
        }
        self
    }

    /// The pieces.
    pub(super) fn pieces(&self) -> &[(Style, String)] {
        &self.0
    }

    /// The text alone.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// As much of it as fits into `columns`.
    pub(super) fn fit(mut self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut room = columns;
        for (_, text) in &mut self.0 {
            let wide = width(text);
            if wide <= room {
                // Without room for an ellipsis after it, this piece has to make place for one.
                room -= wide;
                continue;
            }
            *text = cut(text, room);
            room = 0;
        }
        self.0.retain(|(_, text)| !text.is_empty());
        if !self.text().ends_with('…') {
            // The cut fell between two pieces.
            if let Some((_, last)) = self.0.last_mut() {
                *last = cut(&format!("{last}  "), width(last));
            }
        }
        self
    }

    /// The line with `text` at its right end, where there is room for it.
    pub(super) fn with_right(self, style: Style, text: &str, columns: usize) -> Self {
        let (left, right) = (self.width(), width(text));
        if left + right + 2 > columns {
            return self;
        }
        self.and(Style::Plain, &" ".repeat(columns - left - right)).and(style, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_takes_more_columns_than_there_are() {
        let line = Line::new(Style::Bold, "報告 report").and(Style::Dim, " of the \u{1b}[2J day");
        for columns in 0..40 {
            let fitted = line.clone().fit(columns);
            assert!(fitted.width() <= columns, "{columns}: {:?}", fitted.text());
            assert!(fitted.width() >= line.width() || columns == 0 || fitted.text().ends_with('…'), "{columns}");
            assert!(!fitted.text().chars().any(char::is_control));
        }
    }

    #[test]
    fn what_stands_at_the_right_gives_way() {
        let line = Line::new(Style::Plain, "left");
        assert_eq!(line.clone().with_right(Style::Dim, "right", 12).text(), "left   right");
        assert_eq!(line.with_right(Style::Dim, "right", 10).text(), "left");
    }
}
