//! The XML of `NUnit` 3: the control is a suite and each row a test case.
//!
//! Elements, attributes and their values are those of the `NUnit` documentation, "Test Result XML
//! Format". An alarm is a failed case; an error is a failed one labelled so; a skip is skipped, with
//! its reason.

use std::io::{self, Write};

use chrono::SecondsFormat;

use super::{
    report::{Report, Summary},
    rows::{Row, Status},
    xml::Xml,
};

/// No assertions are counted: a row is one verdict.
const ASSERTS: &str = "0";

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let control = report.control;
    // The counts are those of the test cases that follow.
    let shown = Summary::of(&report.rows);
    let total = shown.total().to_string();
    let passed = (shown.count(Status::Ok) + shown.count(Status::Info)).to_string();
    let failed = shown.failed().to_string();
    let skipped = shown.count(Status::Skip).to_string();
    let time = report.as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
    // "u" is how .NET writes universal time: with a space where RFC 3339 has a T.
    let time = time.replace('T', " ");
    let result = if shown.failed() > 0 {
        "Failed"
    } else if shown.total() > 0 && shown.total() == shown.count(Status::Skip) {
        "Skipped"
    } else {
        "Passed"
    };
    let outcome = [
        ("testcasecount", total.as_str()),
        ("result", result),
        ("total", &total),
        ("passed", &passed),
        ("failed", &failed),
        ("warnings", "0"),
        ("inconclusive", "0"),
        ("skipped", &skipped),
        ("asserts", ASSERTS),
        ("start-time", &time),
        ("end-time", &time),
        ("duration", "0"),
    ];
    let mut xml = Xml::new(out)?;
    let mut run = vec![
        ("id", "0"),
        ("name", control.benchmark),
        ("fullname", control.benchmark),
        ("runstate", "Runnable"),
        ("engine-version", env!("CARGO_PKG_VERSION")),
        ("clr-version", ""),
    ];
    run.extend(outcome);
    xml.open("test-run", &run)?;
    let mut suite = vec![
        ("type", "TestSuite"),
        ("id", "1"),
        ("name", control.title),
        ("fullname", control.id),
        ("runstate", "Runnable"),
    ];
    suite.extend(outcome);
    xml.open("test-suite", &suite)?;
    properties(&mut xml, control.tags.iter().copied())?;
    if shown.failed() > 0 {
        xml.open("failure", &[])?;
        xml.text(
            "message",
            &[],
            "One or more keys are overdue or could not be judged.",
        )?;
        xml.close("failure")?;
    }
    for (number, row) in report.rows.iter().enumerate() {
        // Ids are unique in a run; the run and the suite have the first two.
        test_case(&mut xml, control.id, row, number + 2, &time)?;
    }
    xml.close("test-suite")?;
    xml.close("test-run")?;
    xml.finish()
}

fn test_case<W: Write>(
    xml: &mut Xml<W>,
    control: &str,
    row: &Row,
    id: usize,
    time: &str,
) -> io::Result<()> {
    let id = id.to_string();
    let mut attributes = vec![
        ("id", id.as_str()),
        ("name", &row.resource),
        ("fullname", &row.resource),
        ("classname", control),
        ("runstate", "Runnable"),
        ("result", result_of(row.status)),
    ];
    if row.status == Status::Error {
        attributes.push(("label", "Error"));
    }
    attributes.extend([
        ("start-time", time),
        ("end-time", time),
        ("duration", "0"),
        ("asserts", ASSERTS),
    ]);
    xml.open("test-case", &attributes)?;
    let dimensions = row
        .dimensions
        .iter()
        .map(|(key, value)| (*key, value.as_str()));
    properties(xml, dimensions)?;
    let outcome = match row.status {
        Status::Alarm | Status::Error => "failure",
        Status::Skip | Status::Ok | Status::Info => "reason",
    };
    xml.open(outcome, &[])?;
    xml.text("message", &[], &row.reason)?;
    xml.close(outcome)?;
    xml.close("test-case")
}

fn properties<'a, W: Write>(
    xml: &mut Xml<W>,
    properties: impl Iterator<Item = (&'a str, &'a str)>,
) -> io::Result<()> {
    xml.open("properties", &[])?;
    for (key, value) in properties {
        xml.empty("property", &[("name", key), ("value", value)])?;
    }
    xml.close("properties")
}

fn result_of(status: Status) -> &'static str {
    match status {
        Status::Ok | Status::Info => "Passed",
        Status::Skip => "Skipped",
        Status::Alarm | Status::Error => "Failed",
    }
}
