//! `iam-key-exporter check`: the control once, in a terminal or in CI.
//!
//! Reads the source once, judges every key, writes the results and ends with a status that tells
//! whether there are alarms or errors. [`rows`] knows what the control says, [`format`] how it is
//! written.

mod asff;
pub mod control;
mod csv;
mod export;
pub mod format;
mod html;
mod json;
mod junit;
mod md;
mod nunit3;
mod ocsf;
mod progress;
pub mod report;
pub mod rows;
mod text;
mod visible;
mod xml;

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::ArgAction;
use tokio::time::Instant;

use self::{
    control::Control,
    export::{Export, ExportError},
    format::{Format, Layout},
    progress::Bar,
    report::{Report, Summary},
    rows::{Sort, Status},
};
use crate::{
    cli::{Exit, MetricsArgs, PolicyArgs, one_of},
    counts::RequestCounts,
    logging,
    policy::Policy,
    refresh,
    snapshot::Snapshot,
    source::{self, Outcome, Source, UsageError},
};

/// Check every access key once, print the results and exit
///
/// Judges the keys as the control "Ensure access keys are rotated every 90 days or less" does.
/// Nothing is served and nothing is changed in AWS.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 fine, 1 alarms, 2 errors or something that could not be read (this wins over \
    1), 64 usage or configuration, 70 internal error. --status never changes it."
)]
pub struct Args {
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
        value_name = "[FORMAT:]FILE",
        value_delimiter = ','
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

/// Why a check came to no result.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A setting can't be used.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The results could not be printed.
    #[error("the results could not be printed")]
    Print(#[source] io::Error),
    /// The results could not be written to a file.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// Checks once. The status tells what was found, whatever is shown of it.
pub async fn run(args: Args) -> Result<Exit, CheckError> {
    let Args {
        source,
        policy,
        metrics: MetricsArgs { access_key_id },
        output,
        log: _,
    } = args;
    let exports = output
        .export
        .iter()
        .cloned()
        .map(Export::prepared)
        .collect::<Result<Vec<_>, _>>()?;
    let policy = Arc::new(Policy::from(policy));
    let clock = source.clock()?;
    let counts = Arc::new(RequestCounts::default());
    // Nothing is kept for a next time, so any interval will do.
    let interval = refresh::SHORTEST_INTERVAL;
    let mut source = Source::new(source, clock, &policy, interval, counts)?;

    let bar = Bar::new(output.progress);
    source.watch(bar.progress());
    let now = clock.now();
    let outcomes = source.collect(now, Instant::now() + output.timeout).await;
    bar.finish();
    outcomes.iter().for_each(say);

    let before = Snapshot::before_first_refresh(policy, access_key_id, interval);
    let snapshot = refresh::next_snapshot(&before, outcomes, clock);
    // Keys grew older while they were read.
    let report = report(&snapshot, &output, clock.now());
    let exit = exit(&report);
    print(&report, &output)?;
    for export in &exports {
        export.write(&report, layout(&output))?;
    }
    Ok(exit)
}

/// Says on standard error what could not be read, and why.
fn say(outcome: &Outcome) {
    let account = outcome
        .account
        .map_or("unknown".into(), |id| id.to_string());
    match &outcome.result {
        Err(error) => tracing::error!(
            account, reason = %error.reason, "the account could not be read: {error}"
        ),
        Ok(inventory) if !inventory.is_complete() => {
            let reasons = inventory.reasons();
            let reasons: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
            tracing::warn!(
                account,
                unread = inventory.unread_users(),
                reasons = reasons.join(","),
                "the account could not be read completely"
            );
        }
        Ok(_) => {}
    }
}

fn report(snapshot: &Snapshot, output: &OutputArgs, now: DateTime<Utc>) -> Report {
    let mut rows = rows::rows(snapshot, now, output.details);
    let summary = Summary::of(&rows);
    if !output.status.is_empty() {
        rows.retain(|row| output.status.contains(&row.status));
    }
    output.sort.sort(&mut rows);
    Report {
        control: output.control,
        rows,
        dimension_keys: rows::dimension_keys(output.details),
        summary,
        policy: Arc::clone(&snapshot.policy),
        as_of: now,
        region: region(),
        is_complete: report::is_complete(snapshot),
    }
}

/// The region that the environment names, for the findings of Security Hub.
fn region() -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|region| {
            !region.is_empty()
                && region
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

fn exit(report: &Report) -> Exit {
    if report.summary.count(Status::Error) > 0 || !report.is_complete {
        Exit::Incomplete
    } else if report.summary.count(Status::Alarm) > 0 {
        Exit::Alarms
    } else {
        Exit::Fine
    }
}

fn layout(output: &OutputArgs) -> Layout {
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let width = terminal_size::terminal_size_of(&stdout)
        .filter(|_| is_terminal)
        .map_or(Layout::WIDTH_OF_FILES, |(width, _)| width.0.into());
    Layout {
        width,
        colour: !anstyle_query::no_color()
            && (anstyle_query::clicolor_force()
                || (is_terminal && anstyle_query::term_supports_color())),
        header: output.header && !output.no_header,
        separator: output.separator,
    }
}

fn print(report: &Report, output: &OutputArgs) -> Result<(), CheckError> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let printed = output
        .output
        .write(report, layout(output), &mut out)
        .and_then(|()| out.flush());
    match printed {
        // Whoever read has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CheckError::Print),
    }
}
