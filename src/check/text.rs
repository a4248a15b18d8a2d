//! Text for a terminal: the control with its rows, each as wide as the terminal, and a summary.
//!
//! Only the terminal's own colours are used, so that its theme, light or dark, keeps them readable.

use crate::visible::visible;
use std::{
    borrow::Cow,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSplitter};
use unicode_width::UnicodeWidthStr;

use super::{
    format::Layout,
    report::Report,
    rows::{Row, Status},
};

/// Which rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All of them.
    All,
    /// Alarms and errors.
    Failed,
}

/// Below this, lines are allowed to be wider than the terminal: it wraps them itself.
const NARROWEST: usize = 40;

/// From this width on, the account stands beside each row, as Powerpipe has it. On a narrower
/// terminal it would take a line of its own each time, so it stands above its rows instead.
const ACCOUNT_BESIDE: usize = 100;

/// How wide the summary gets on a wide terminal, so that the eye keeps the line.
const WIDEST_SUMMARY: usize = 60;

/// How many columns the inside of a bar has.
const BAR: usize = 10;

/// The details that the reason doesn't tell already.
const DETAILS: [&str; 6] = [
    "age_days",
    "due",
    "last_used",
    "last_used_service",
    "last_used_region",
    "rotation_step",
];

/// What stands before a row's reason, e.g. `| ALARM: `.
const PREFIX: usize = 9;

pub(super) fn write(
    report: &Report,
    layout: Layout,
    shown: Rows,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page {
        width: layout.width.max(NARROWEST),
        colour: layout.colour,
        out,
    };
    page.heading(report)?;
    let rows: Vec<&Row> = report
        .rows
        .iter()
        .filter(|row| shown == Rows::All || matches!(row.status, Status::Alarm | Status::Error))
        .collect();
    if !rows.is_empty() {
        page.line(&[(Style::new(), "|")])?;
    }
    let mut account = None;
    for row in rows {
        if page.width >= ACCOUNT_BESIDE {
            page.row(row, &visible(row.account()))?;
            continue;
        }
        if account != Some(row.account()) {
            account = Some(row.account());
            page.account(row)?;
        }
        page.row(row, "")?;
    }
    page.summary(report)
}

fn style(status: Status) -> Style {
    match status {
        Status::Ok => AnsiColor::Green.on_default(),
        Status::Skip => Style::new().dimmed(),
        Status::Info => AnsiColor::Cyan.on_default(),
        Status::Alarm => AnsiColor::Red.on_default().bold(),
        Status::Error => AnsiColor::Magenta.on_default().bold(),
    }
}

struct Page<'a> {
    width: usize,
    colour: bool,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn line(&mut self, parts: &[(Style, &str)]) -> io::Result<()> {
        for (style, text) in parts {
            if self.colour && *style != Style::new() && !text.is_empty() {
                write!(self.out, "{style}{text}{style:#}")?;
            } else {
                write!(self.out, "{text}")?;
            }
        }
        writeln!(self.out)
    }

    /// The control's title, how many rows failed of how many, and a bar of that.
    fn heading(&mut self, report: &Report) -> io::Result<()> {
        let (failed, total) = (report.summary.failed(), report.summary.total());
        let counts = format!("{failed} / {total} ");
        let bar = bar(failed, total);
        let colour = failed_style(report);
        let tail = [
            (colour, counts.as_str()),
            (Style::new(), "["),
            (colour, &bar),
            (Style::new(), "]"),
        ];
        self.leader(
            ["+ ", "  "].map(|lead| (Style::new(), lead)),
            (Style::new().bold(), report.control.title),
            &tail,
        )
    }

    /// The account of the rows that follow.
    fn account(&mut self, row: &Row) -> io::Result<()> {
        let account = match row.account() {
            "" => "unknown account",
            known => known,
        };
        self.line(&[(Style::new(), "| "), (Style::new().bold(), account)])
    }

    fn row(&mut self, row: &Row, account: &str) -> io::Result<()> {
        let status = format!("{:<5}", row.status.as_str().to_uppercase());
        let label = format!("| {status}: ");
        let indent = format!("|{}", " ".repeat(PREFIX - 1));
        self.leader(
            [(style(row.status), &label), (Style::new(), &indent)],
            (Style::new(), &visible(&row.reason)),
            &[(Style::new(), account)],
        )?;
        let details = row
            .dimensions
            .iter()
            .filter(|(key, value)| DETAILS.contains(key) && !value.is_empty())
            .map(|(key, value)| format!("{key}={}", visible(value)))
            .collect::<Vec<_>>();
        if details.is_empty() {
            return Ok(());
        }
        let words = details.join(" ");
        for line in wrapped(&words, self.width - PREFIX) {
            self.line(&[(Style::new(), &indent), (Style::new().dimmed(), &line)])?;
        }
        Ok(())
    }

    /// `text`, wrapped, and `tail` at the right of its last line or, where that is too long, of
    /// another one, with dots between.
    fn leader(
        &mut self,
        leads: [(Style, &str); 2],
        text: (Style, &str),
        tail: &[(Style, &str)],
    ) -> io::Result<()> {
        let room = self.width - leads[0].1.width();
        let tail_width: usize = tail.iter().map(|(_, part)| part.width()).sum();
        let lines = wrapped(text.1, room);
        for (number, line) in lines.iter().enumerate() {
            let lead = leads[number.min(1)];
            let is_last = number + 1 == lines.len();
            let free = room.saturating_sub(line.width() + tail_width);
            if !is_last || tail_width == 0 {
                self.line(&[lead, (text.0, line)])?;
            } else if free >= 3 {
                let dots = dots(free);
                let mut parts = vec![lead, (text.0, &**line), (dim(), &dots)];
                parts.extend(tail);
                self.line(&parts)?;
            } else {
                self.line(&[lead, (text.0, line)])?;
                let dots = dots(room.saturating_sub(tail_width));
                let mut parts = vec![leads[1], (dim(), dots.as_str())];
                parts.extend(tail);
                self.line(&parts)?;
            }
        }
        Ok(())
    }

    fn summary(&mut self, report: &Report) -> io::Result<()> {
        let summary = report.summary;
        let total = summary.total();
        self.line(&[])?;
        self.line(&[(Style::new().bold(), "Summary")])?;
        self.line(&[])?;
        for (name, status) in Status::ALL {
            let count = summary.count(status);
            let style = if count == 0 { dim() } else { style(status) };
            let counts = count.to_string();
            self.total(&name.to_uppercase(), style, &counts, &bar(count, total))?;
        }
        self.line(&[])?;
        let counts = format!("{} / {total}", summary.failed());
        let bar = bar(summary.failed(), total);
        self.total("TOTAL", failed_style(report), &counts, &bar)?;
        self.line(&[])?;
        for note in notes(report) {
            for line in wrapped(&note, self.width) {
                self.line(&[(dim(), &line)])?;
            }
        }
        Ok(())
    }

    fn total(&mut self, name: &str, style: Style, counts: &str, bar: &str) -> io::Result<()> {
        let width = self.width.min(WIDEST_SUMMARY);
        let taken = name.len() + counts.len() + bar.len() + " []".len();
        let dots = dots(width.saturating_sub(taken));
        self.line(&[
            (style, name),
            (dim(), &dots),
            (style, counts),
            (Style::new(), " ["),
            (style, bar),
            (Style::new(), "]"),
        ])
    }
}

/// What a reader should know besides.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = vec![report.basis()];
    if report.hidden() > 0 {
        notes.push(format!(
            "{} rows are not shown (--status).",
            report.hidden()
        ));
    }
    if report.summary.total() == 0 {
        notes.push("No access keys.".into());
    }
    if !report.is_complete {
        notes.push("Not everything could be read: see the errors.".into());
    }
    notes
}

fn failed_style(report: &Report) -> Style {
    if report.summary.failed() == 0 {
        style(Status::Ok)
    } else {
        style(Status::Alarm)
    }
}

fn dim() -> Style {
    Style::new().dimmed()
}

/// Dots over `width` columns, with a space at either end.
fn dots(width: usize) -> String {
    match width {
        0..3 => " ".repeat(width),
        _ => format!(" {} ", ".".repeat(width - 2)),
    }
}

/// The part as a bar; one that isn't nothing shows.
fn bar(part: usize, whole: usize) -> String {
    let filled = if part == 0 {
        0
    } else {
        (part * BAR / whole.max(1)).clamp(1, BAR)
    };
    format!("{:<BAR$}", "=".repeat(filled))
}

fn wrapped(text: &str, width: usize) -> Vec<Cow<'_, str>> {
    // Nearly every row fits, and finding out where a line may break takes most of the time.
    if text.width() <= width {
        return vec![text.into()];
    }
    let options = Options::new(width).word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_whatever_is_not_nothing_and_is_full_only_where_all_is() {
        for (part, whole, filled) in [
            (0, 0, 0),
            (0, 9, 0),
            (1, 1000, 1),
            (999, 1000, 9),
            (5, 10, 5),
            (10, 10, 10),
        ] {
            let bar = bar(part, whole);
            assert_eq!(bar.len(), BAR);
            assert_eq!(bar.trim_end().len(), filled, "{part} of {whole}");
        }
    }
}
