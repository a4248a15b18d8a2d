//! The XML of `JUnit`, which every CI server reads: the control is a suite and each row a test case.
//!
//! The elements and attributes are those of the schema of Jenkins' xUnit plug-in (`junit-10.xsd`).
//! An alarm is a failure, an error an error; a skip is skipped, with its reason.

use std::io::{self, Write};

use super::{
    report::{Report, Summary},
    rows::Status,
    xml::Xml,
};

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let control = report.control;
    // The counts are those of the test cases that follow.
    let shown = Summary::of(&report.rows);
    let tests = shown.total().to_string();
    let failures = shown.count(Status::Alarm).to_string();
    let errors = shown.count(Status::Error).to_string();
    let skipped = shown.count(Status::Skip).to_string();
    // The schema has no time zone.
    let timestamp = report.as_of.format("%Y-%m-%dT%H:%M:%S").to_string();
    let counts = [
        ("tests", tests.as_str()),
        ("failures", &failures),
        ("errors", &errors),
    ];
    let mut xml = Xml::new(out)?;
    let mut attributes = vec![("name", control.benchmark)];
    attributes.extend(counts);
    xml.open("testsuites", &attributes)?;
    let mut attributes = vec![("name", control.title)];
    attributes.extend(counts);
    attributes.extend([
        ("skipped", skipped.as_str()),
        ("time", "0"),
        ("timestamp", &timestamp),
    ]);
    xml.open("testsuite", &attributes)?;
    xml.open("properties", &[])?;
    for (key, value) in control.tags {
        xml.empty("property", &[("name", key), ("value", value)])?;
    }
    xml.close("properties")?;
    for row in &report.rows {
        let case = [
            ("name", row.resource.as_str()),
            ("classname", control.id),
            ("time", "0"),
        ];
        let message = ("message", row.reason.as_str());
        let problem = [message, ("type", row.status.as_str())];
        xml.open("testcase", &case)?;
        match row.status {
            Status::Ok | Status::Info => xml.text("system-out", &[], &row.reason)?,
            Status::Skip => xml.empty("skipped", &[message])?,
            Status::Alarm => xml.text("failure", &problem, &row.reason)?,
            Status::Error => xml.text("error", &problem, &row.reason)?,
        }
        xml.close("testcase")?;
    }
    xml.close("testsuite")?;
    xml.close("testsuites")?;
    xml.finish()
}
