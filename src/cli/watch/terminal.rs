//! The terminal while it is watched on: taken over, drawn on, and given back whatever happens.

use std::io::{self, Write};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    queue,
    style::{Attribute, Color, Print, SetAttribute, SetForegroundColor},
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode, size,
    },
};

use super::style::{Line, Style};

/// A terminal that is given back when this is dropped, also by a panic.
pub(super) struct Terminal {
    out: io::Stdout,
    shown: Vec<Line>,
    colours: bool,
}

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut terminal = Self { out: io::stdout(), shown: Vec::new(), colours };
        queue!(terminal.out, EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        terminal.out.flush()?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (columns, rows) = size().unwrap_or((80, 24));
        (usize::from(columns), usize::from(rows))
    }

    /// Forgets what is on the screen: the next drawing draws it all.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.shown.clear();
        queue!(self.out, Clear(ClearType::All))
    }

    /// Draws those lines that differ from what is on the screen.
    pub(super) fn draw(&mut self, lines: Vec<Line>) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            if self.shown.get(row) == Some(line) {
                continue;
            }
            queue!(self.out, MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
            for (style, text) in line.pieces() {
                dress(&mut self.out, *style, self.colours)?;
                queue!(self.out, Print(text), SetAttribute(Attribute::Reset))?;
            }
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()?;
        self.shown = lines;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody left to tell if the terminal has gone.
        let _ = queue!(self.out, SetAttribute(Attribute::Reset), Show, LeaveAlternateScreen);
        let _ = self.out.flush();
        let _ = disable_raw_mode();
    }
}

fn dress(out: &mut impl Write, style: Style, colours: bool) -> io::Result<()> {
    let colour = match style {
        Style::Plain => return Ok(()),
        Style::Bold => return queue!(out, SetAttribute(Attribute::Bold)),
        Style::Dim => return queue!(out, SetAttribute(Attribute::Dim)),
        Style::Good => Color::DarkGreen,
        Style::Bad => Color::DarkRed,
        Style::Odd => Color::DarkYellow,
        Style::Busy => Color::DarkCyan,
        Style::Said => Color::DarkMagenta,
    };
    if colours { queue!(out, SetForegroundColor(colour)) } else { Ok(()) }
}
