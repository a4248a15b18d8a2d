//! A Markdown report: a summary and a table of the rows.

use std::io::{self, Write};

use super::{report::Report, rows::Status};
use crate::visible::visible;

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let control = report.control;
    writeln!(out, "# {}\n", escaped(control.title))?;
    writeln!(
        out,
        "{}, control `{}`. {}\n",
        escaped(control.benchmark),
        control.id,
        escaped(control.description)
    )?;
    writeln!(out, "{}\n", escaped(&report.basis()))?;
    let names = Status::ALL.map(|(name, _)| name);
    writeln!(out, "| {} | total |", names.join(" | "))?;
    writeln!(out, "|{}", " ---: |".repeat(names.len() + 1))?;
    let counts = Status::ALL.map(|(_, status)| report.summary.count(status).to_string());
    writeln!(
        out,
        "| {} | {} |",
        counts.join(" | "),
        report.summary.total()
    )?;
    if report.hidden() > 0 {
        writeln!(out, "\n{} rows are not shown.", report.hidden())?;
    }
    if report.rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = report
        .dimension_keys
        .iter()
        .map(|key| escaped(key))
        .collect();
    writeln!(
        out,
        "\n| status | reason | resource | {} |",
        keys.join(" | ")
    )?;
    writeln!(out, "|{}", " --- |".repeat(3 + keys.len()))?;
    for row in &report.rows {
        let status = match row.status {
            Status::Alarm | Status::Error => format!("**{}**", row.status.as_str()),
            other => other.as_str().to_owned(),
        };
        write!(
            out,
            "| {status} | {} | {} |",
            escaped(&row.reason),
            escaped(&row.resource)
        )?;
        for (_, value) in &row.dimensions {
            write!(out, " {} |", escaped(value))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The text as Markdown shows it: no character of it marks anything up, ends a cell or a line, or
/// becomes HTML or a link.
fn escaped(text: &str) -> String {
    let text = visible(text);
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // GitHub notifies whom a name with an at sign means, and links what looks like a URL or
            // an issue.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
        .replace("://", ":&#47;/")
        .replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_in_a_name_marks_up() {
        for (text, shown) in [
            ("alice", "alice"),
            ("a|b", "a\\|b"),
            ("a\\|b", "a\\\\\\|b"),
            ("a\nb", "a\\\\u{a}b"),
            ("<b onclick=x>", "&lt;b onclick=x&gt;"),
            ("[x](javascript:y)", "\\[x\\](javascript:y)"),
            ("`_*~", "\\`\\_\\*\\~"),
            ("https://x", "https:&#47;/x"),
            ("&lt;", "&amp;lt;"),
            ("@all", "&#64;all"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
