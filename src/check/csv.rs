//! A CSV table with Powerpipe's columns in its order: the group, the control, the result, then the
//! dimensions and the tags, each by its key.
//!
//! Fields are data and are written as they are, quoted where the format needs it: a value that a
//! spreadsheet would take for a formula isn't changed behind its reader's back.

use std::io::{self, Write};

use csv::{Terminator, WriterBuilder};

use super::{format::Layout, json::ROOT_GROUP, report::Report};

const COLUMNS: [&str; 10] = [
    "group_id",
    "title",
    "description",
    "control_id",
    "control_title",
    "control_description",
    "reason",
    "resource",
    "status",
    "severity",
];

pub(super) fn write(report: &Report, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let control = report.control;
    let mut table = WriterBuilder::new()
        .delimiter(layout.separator)
        .terminator(Terminator::Any(b'\n'))
        .from_writer(out);
    let tags = || control.tags.iter().map(|(_, value)| *value);
    if layout.header {
        let dimensions = report.dimension_keys.iter().copied();
        let tag_keys = control.tags.iter().map(|(key, _)| *key);
        table.write_record(COLUMNS.into_iter().chain(dimensions).chain(tag_keys))?;
    }
    for row in &report.rows {
        let fields = [
            ROOT_GROUP,
            control.benchmark,
            "",
            control.id,
            control.title,
            control.description,
            &row.reason,
            &row.resource,
            row.status.as_str(),
            control.severity,
        ];
        let dimensions = row.dimensions.iter().map(|(_, value)| value.as_str());
        table.write_record(fields.into_iter().chain(dimensions).chain(tags()))?;
    }
    table.flush()
}
