//! One self-contained page: no script, no font, no picture, nothing fetched. It follows the light or
//! dark theme of the reader, and on a narrow screen each row of the table becomes a card.

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    report::Report,
    rows::{Row, Status},
};
use crate::html::shown;

const STYLE: &str = include_str!("html/page.css");

/// Writes the page, its rows each as it is come to: a list of them all would double the memory.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let title = shown(report.control.title);
    let start = html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">\n"))
        (head(report))
    };
    write!(out, "{}\n<body>\n<main>\n", start.into_string())?;
    let opening = html! {
        h1 { (title) } "\n"
        p {
            (shown(report.control.benchmark)) ", control " code { (shown(report.control.id)) } ". "
            (shown(report.control.description))
        } "\n"
        p.basis { (shown(&report.basis())) } "\n"
        (summary(report))
    };
    out.write_all(opening.into_string().as_bytes())?;
    if !report.rows.is_empty() {
        table(report, out)?;
    }
    writeln!(out, "</main>\n</body>\n</html>")
}

fn head(report: &Report) -> Markup {
    html! {
        head { "\n"
            meta charset="utf-8"; "\n"
            meta name="viewport" content="width=device-width, initial-scale=1"; "\n"
            meta name="color-scheme" content="light dark"; "\n"
            meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"; "\n"
            title { (shown(report.control.title)) } "\n"
            style { "\n" (PreEscaped(STYLE)) } "\n"
        }
    }
}

fn summary(report: &Report) -> Markup {
    html! {
        ul.summary aria-label="Summary" { "\n"
            @for (name, status) in Status::ALL {
                @let count = report.summary.count(status);
                li.(name).empty[count == 0] { b { (count) } " " (name) } "\n"
            }
            li { b { (report.summary.total()) } " total" } "\n"
        } "\n"
        @if report.hidden() > 0 { p { (report.hidden()) " rows are not shown." } "\n" }
        @if !report.is_complete { p { "Not everything could be read: see the errors." } "\n" }
    }
}

fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let head = html! {
        thead {
            tr {
                th scope="col" { "status" }
                th scope="col" { "reason" }
                th scope="col" { "resource" }
                @for key in &report.dimension_keys { th scope="col" { (shown(key)) } }
            }
        }
    };
    write!(out, "<table>\n{}\n<tbody>\n", head.into_string())?;
    for each in &report.rows {
        writeln!(out, "{}", row(each).into_string())?;
    }
    writeln!(out, "</tbody>\n</table>")
}

fn row(row: &Row) -> Markup {
    let status = row.status.as_str();
    html! {
        tr.(status) {
            td data-label="status" { span { (status) } }
            td data-label="reason" { (shown(&row.reason)) }
            td data-label="resource" { (shown(&row.resource)) }
            @for (key, value) in &row.dimensions { td data-label=(key) { (shown(value)) } }
        }
    }
}
