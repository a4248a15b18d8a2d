//! `iam-key-exporter check`: the control once, in a terminal or in CI.
//!
//! Reads the source once, judges every key, writes the results and ends with a status that tells
//! whether there are alarms or errors. `judge` knows what the control says, [`mod@format`] how it is
//! written.

mod args;
mod asff;
pub mod control;
mod csv;
mod details;
mod export;
pub mod format;
mod html;
mod json;
mod judge;
mod junit;
mod md;
mod nunit3;
mod ocsf;
mod progress;
pub mod report;
pub mod rows;
mod text;
mod xml;

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    sync::Arc,
};

use tokio::time::Instant;

pub use self::{
    args::{Args, OutputArgs},
    export::ExportError,
};
use self::{export::Export, format::Layout, progress::Bar, report::Report, rows::Status};
use crate::{
    cli::{Exit, MetricsArgs},
    config,
    counts::RequestCounts,
    refresh,
    snapshot::Snapshot,
    source::{Once, Outcome, Source, UsageError},
};

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
        config,
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
    let config = config::load(config.file.as_deref(), policy).map_err(UsageError::from)?;
    let clock = source.clock()?;
    let counts = Arc::new(RequestCounts::default());
    // Nothing is kept for a next time, so any interval will do.
    let interval = refresh::SHORTEST_INTERVAL;
    let mut source = Source::new(source, clock, &config, interval, counts)?;
    let config = config.with_those_of(&source);

    let bar = Bar::new(output.progress);
    source.watch(bar.progress());
    let now = clock.now();
    let (_, outcomes) = Once::read(source, now, Instant::now() + output.timeout).await;
    bar.finish();
    outcomes.iter().for_each(say);

    let before = Snapshot::before_first_refresh(config.policy, access_key_id, interval);
    let snapshot = refresh::next_snapshot(&before, outcomes, clock);
    // Keys grew older while they were read.
    let mut report = Report::new(&snapshot, output.control, output.details, clock.now());
    report.region = region();
    report.keep(&output.status);
    output.sort.sort(&mut report.rows);
    let exit = exit(&report);
    print(&report, &output)?;
    for export in &exports {
        export.write(&report, layout(&output))?;
    }
    Ok(exit)
}

/// Says on standard error what could not be read, and why.
fn say(outcome: &Outcome) {
    let account = outcome.name();
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
                first = inventory.first_trouble(),
                "the account could not be read completely"
            );
        }
        Ok(_) => {}
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
