//! The command line of `check`.
//!
//! The environment twins of its own flags begin with `IAM_KEY_EXPORTER_CHECK_`: other commands have
//! an `--output` too.

use std::time::Duration;

use clap::ArgAction;

use super::{
    control::Control,
    export::Export,
    format::Format,
    rows::{Sort, Status},
};
use crate::{
    cli::{MetricsArgs, PolicyArgs, one_of},
    config, logging, refresh, source,
};

/// What to check and how to show it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 fine, 1 alarms, 2 errors or something that could not be read (this wins over \
    1), 64 usage or configuration, 70 internal error. --status never changes it."
)]
pub struct Args {
    /// Which configuration file to read.
    #[command(flatten)]
    pub config: config::Args,
    /// Which source to read.
    #[command(flatten)]
    pub source: source::Args,
    /// The thresholds.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// How keys are shown.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// What is shown, and where.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: logging::Args,
}

/// What a check shows, and where.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Check")]
#[group(skip)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct OutputArgs {
    /// Benchmark whose number, title and tags the control goes by
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_CONTROL", value_name = "ID",
        default_value = "cis_v200_1_14", value_parser = one_of(&Control::ALL))]
    pub control: &'static Control,

    /// Format of what is printed
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_OUTPUT", value_name = "FORMAT",
        default_value = "pretty", value_parser = one_of(&Format::ALL))]
    pub output: Format,

    /// File to write as well, in the format of its ending (.csv, .html, .json, .md, .txt, .asff.json,
    /// .ocsf.json, .nunit3.xml, .junit.xml) or of a prefix, e.g. junit:results.xml; can be repeated
    #[arg(
        long,
        env = "IAM_KEY_EXPORTER_CHECK_EXPORT",
        value_name = "[FORMAT:]FILE"
    )]
    pub export: Vec<Export>,

    /// Statuses to show, e.g. alarm,error; can be repeated [default: all]
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_STATUS", value_name = "STATUS",
        value_delimiter = ',', value_parser = one_of(&Status::ALL))]
    pub status: Vec<Status>,

    /// Order of the results: age (the oldest key first), user or account
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_SORT", value_name = "ORDER",
        default_value = "account", value_parser = one_of(&Sort::ALL))]
    pub sort: Sort,

    /// Show age, due time, last use and rotation step as well, as further dimensions
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_DETAILS")]
    pub details: bool,

    /// Begin CSV with the names of its columns
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_HEADER", value_name = "BOOL", action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub header: bool,

    /// The same as --header=false
    #[arg(long, overrides_with = "header")]
    pub no_header: bool,

    /// Character between two fields of CSV; \t is a tab
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_SEPARATOR", value_name = "CHAR",
        default_value = ",", value_parser = separator)]
    pub separator: u8,

    /// Show a progress bar on standard error while users are read, if that is a terminal
    #[arg(long, env = "IAM_KEY_EXPORTER_CHECK_PROGRESS", value_name = "BOOL", action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub progress: bool,

    /// Time after which the check ends with what it has, e.g. 15m; at least 1s
    #[arg(long = "refresh.timeout", env = "IAM_KEY_EXPORTER_REFRESH_TIMEOUT", value_name = "DURATION",
        default_value = "15m", value_parser = refresh::timeout)]
    pub timeout: Duration,
}

fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [b'"' | b'\r' | b'\n'] => Err("this character has a meaning of its own in CSV".into()),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("one ASCII character is needed".into()),
    }
}
