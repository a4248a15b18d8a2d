//! One self-contained page: no script, no font, no picture, nothing fetched. It follows the light or
//! dark theme of the reader, and on a narrow screen each row of the table becomes a card.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use html_escape::{encode_double_quoted_attribute, encode_text};

use super::{report::Report, rows::Status};
use crate::visible::visible;

const STYLE: &str = include_str!("html/page.css");

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let title = text(report.control.title);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
        <meta name=\"color-scheme\" content=\"light dark\">\n\
        <meta http-equiv=\"Content-Security-Policy\" \
        content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
        <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    )?;
    let control = report.control;
    writeln!(
        out,
        "<p>{}, control <code>{}</code>. {}</p>\n<p class=\"basis\">{}</p>",
        text(control.benchmark),
        text(control.id),
        text(control.description),
        text(&report.basis())
    )?;
    summary(report, out)?;
    if !report.rows.is_empty() {
        table(report, out)?;
    }
    writeln!(out, "</main>\n</body>\n</html>")
}

fn summary(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<ul class=\"summary\" aria-label=\"Summary\">")?;
    for (name, status) in Status::ALL {
        let count = report.summary.count(status);
        let empty = if count == 0 { " empty" } else { "" };
        writeln!(
            out,
            "<li class=\"{name}{empty}\"><b>{count}</b> {name}</li>"
        )?;
    }
    writeln!(
        out,
        "<li><b>{}</b> total</li>\n</ul>",
        report.summary.total()
    )?;
    if report.hidden() > 0 {
        writeln!(out, "<p>{} rows are not shown.</p>", report.hidden())?;
    }
    if !report.is_complete {
        writeln!(out, "<p>Not everything could be read: see the errors.</p>")?;
    }
    Ok(())
}

fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "<table>\n<thead><tr><th scope=\"col\">status</th><th scope=\"col\">reason</th>\
        <th scope=\"col\">resource</th>"
    )?;
    for key in &report.dimension_keys {
        write!(out, "<th scope=\"col\">{}</th>", text(key))?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for row in &report.rows {
        let status = row.status.as_str();
        write!(
            out,
            "<tr class=\"{status}\"><td data-label=\"status\"><span>{status}</span></td>\
            <td data-label=\"reason\">{}</td><td data-label=\"resource\">{}</td>",
            text(&row.reason),
            text(&row.resource)
        )?;
        for (key, value) in &row.dimensions {
            write!(
                out,
                "<td data-label=\"{}\">{}</td>",
                encode_double_quoted_attribute(key),
                text(value)
            )?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table>")
}

fn text(text: &str) -> String {
    match visible(text) {
        Cow::Borrowed(text) => encode_text(text).into_owned(),
        Cow::Owned(text) => encode_text(&text).into_owned(),
    }
}
