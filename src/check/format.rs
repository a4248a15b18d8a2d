//! The formats that results are written in.

use std::io::{self, Write};

use super::{asff, csv, html, json, junit, md, nunit3, ocsf, report::Report, text};

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text with colour where the terminal has it.
    Pretty,
    /// Text without colour.
    Plain,
    /// Text with the alarms and errors only.
    Brief,
    /// A table, with the columns of Powerpipe.
    Csv,
    /// A page.
    Html,
    /// An object, in the shape of Powerpipe.
    Json,
    /// A Markdown table.
    Md,
    /// Test results as `NUnit` 3 writes them.
    Nunit3,
    /// Test results as CI servers read them.
    Junit,
    /// Findings for AWS Security Hub.
    Asff,
    /// Findings of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// Nothing: only the exit status tells.
    None,
}

impl Format {
    /// Every format, with its name as a setting.
    pub const ALL: [(&'static str, Self); 12] = [
        ("pretty", Self::Pretty),
        ("plain", Self::Plain),
        ("brief", Self::Brief),
        ("csv", Self::Csv),
        ("html", Self::Html),
        ("json", Self::Json),
        ("md", Self::Md),
        ("nunit3", Self::Nunit3),
        ("junit", Self::Junit),
        ("asff", Self::Asff),
        ("ocsf", Self::Ocsf),
        ("none", Self::None),
    ];

    /// Writes the report.
    pub fn write(self, report: &Report, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Pretty => text::write(report, layout, text::Rows::All, out),
            Self::Plain => text::write(report, layout.without_colour(), text::Rows::All, out),
            Self::Brief => text::write(report, layout, text::Rows::Failed, out),
            Self::Csv => csv::write(report, layout, out),
            Self::Html => html::write(report, out),
            Self::Json => json::write(report, out),
            Self::Md => md::write(report, out),
            Self::Nunit3 => nunit3::write(report, out),
            Self::Junit => junit::write(report, out),
            Self::Asff => asff::write(report, out),
            Self::Ocsf => ocsf::write(report, out),
            Self::None => Ok(()),
        }
    }
}

/// How a format is laid out, where it leaves that open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The width of text, in columns.
    pub width: usize,
    /// Whether text is coloured.
    pub colour: bool,
    /// Whether a CSV table begins with the names of its columns.
    pub header: bool,
    /// What stands between two fields of a CSV table.
    pub separator: u8,
}

impl Layout {
    /// The width of text that isn't written to a terminal.
    pub const WIDTH_OF_FILES: usize = 100;

    /// The same layout in black and white.
    #[must_use]
    pub const fn without_colour(self) -> Self {
        Self {
            colour: false,
            ..self
        }
    }
}
