//! JSON in the shape of Powerpipe, so that what reads its results reads these: a root group that
//! holds the one control.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::{Serialize, Serializer};

use super::{
    report::{Report, Summary},
    rows::Row,
};

/// How Powerpipe calls the group around a control that is run by itself.
pub(super) const ROOT_GROUP: &str = "root_result_group";

/// Powerpipe's number for a control that ran to its end.
const RUN_COMPLETE: u8 = 4;

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are Powerpipe's")]
struct Group<'a> {
    group_id: &'a str,
    title: &'a str,
    description: &'a str,
    tags: BTreeMap<&'a str, &'a str>,
    summary: GroupSummary,
    groups: [(); 0],
    controls: [ControlRun<'a>; 1],
}

#[derive(Serialize)]
struct GroupSummary {
    status: Summary,
}

#[derive(Serialize)]
struct ControlRun<'a> {
    summary: Summary,
    results: Results<'a>,
    control_id: &'a str,
    description: &'a str,
    severity: &'a str,
    tags: BTreeMap<&'a str, &'a str>,
    title: &'a str,
    run_status: u8,
    run_error: &'a str,
}

/// The rows, each written as it is come to: a list of them all would double the memory.
struct Results<'a>(&'a [Row]);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|row| Outcome {
            reason: &row.reason,
            resource: &row.resource,
            status: row.status.as_str(),
            dimensions: Dimensions(&row.dimensions),
        }))
    }
}

#[derive(Serialize)]
struct Outcome<'a> {
    reason: &'a str,
    resource: &'a str,
    status: &'a str,
    dimensions: Dimensions<'a>,
}

struct Dimensions<'a>(&'a [(&'static str, String)]);

impl Serialize for Dimensions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, value)| Dimension { key, value }))
    }
}

#[derive(Serialize)]
struct Dimension<'a> {
    key: &'a str,
    value: &'a str,
}

/// Writes a list of values, each made only when it is come to: all of them at once would be large.
pub(super) fn write_list(
    values: impl Iterator<Item = serde_json::Value>,
    out: &mut dyn Write,
) -> io::Result<()> {
    serde_json::Serializer::pretty(&mut *out).collect_seq(values)?;
    writeln!(out)
}

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let control = report.control;
    let group = Group {
        group_id: ROOT_GROUP,
        title: control.benchmark,
        description: "",
        tags: BTreeMap::new(),
        summary: GroupSummary {
            status: report.summary,
        },
        groups: [],
        controls: [ControlRun {
            summary: report.summary,
            results: Results(&report.rows),
            control_id: control.id,
            description: control.description,
            severity: control.severity,
            tags: control.tags.iter().copied().collect(),
            title: control.title,
            run_status: RUN_COMPLETE,
            run_error: "",
        }],
    };
    serde_json::to_writer_pretty(&mut *out, &group)?;
    writeln!(out)
}
