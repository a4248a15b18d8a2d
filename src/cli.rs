//! The command line.
//!
//! The flags of a part live beside that part; here they are put together. Every flag has an
//! environment twin `IAM_KEY_EXPORTER_…`.

use std::process;

use chrono::TimeDelta;
use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::{
    logging,
    policy::{Boundary, Policy},
    refresh,
    snapshot::KeyIdDisplay,
    source, web,
};

/// How the process ends, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all went well.
    Fine,
    /// 2: something could not be read.
    Errors,
    /// 64: the command line, the environment or the configuration can't be used (`EX_USAGE`).
    Usage,
    /// 70: a fault of the program itself (`EX_SOFTWARE`).
    Internal,
}

impl Exit {
    /// The exit status.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Errors => 2,
            Self::Usage => 64,
            Self::Internal => 70,
        }
    }
}

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Prometheus exporter for the age and rotation of AWS IAM access keys
///
/// Refreshes the metadata of every access key on an interval and serves, at /metrics, each key's
/// age in days and whether each user obeys the rule of CIS AWS Foundations that access keys are
/// rotated every 90 days or less. It holds read permissions only and never changes anything in AWS.
#[derive(Debug, Parser)]
#[command(
    name = "iam-key-exporter",
    version = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("IAM_KEY_EXPORTER_REVISION"), ")"),
    after_help = "Every flag can be set in the environment: IAM_KEY_EXPORTER_ and the flag's name in \
        capitals, dots and dashes as underscores.\n\n\
        Exit status: 0 after SIGTERM or SIGINT, 64 usage or configuration, 70 internal error."
)]
pub struct Cli {
    /// Which source to read.
    #[command(flatten)]
    pub source: source::Args,
    /// The thresholds.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// When to refresh.
    #[command(flatten)]
    pub refresh: refresh::Args,
    /// What the metrics show.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Where to serve.
    #[command(flatten)]
    pub web: web::Args,
    /// What is logged.
    #[command(flatten)]
    pub log: logging::Args,
}

/// The thresholds.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Policy")]
#[group(skip)]
pub struct PolicyArgs {
    /// Days an active key may be old; benchmarks say 90
    #[arg(long = "policy.max-age-days", env = "IAM_KEY_EXPORTER_POLICY_MAX_AGE_DAYS", value_name = "DAYS",
        default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=MOST_DAYS))]
    pub max_age_days: u32,

    /// How "older than N days" is read: exact (to the second), utc-midnight (as Powerpipe's query
    /// does) or whole-days (as Prowler does)
    #[arg(long = "policy.boundary", env = "IAM_KEY_EXPORTER_POLICY_BOUNDARY", value_name = "BOUNDARY",
        default_value = "exact", value_parser = one_of(&Boundary::ALL))]
    pub boundary: Boundary,

    /// Days an old key must have been idle before it is retired
    #[arg(long = "policy.settle-days", env = "IAM_KEY_EXPORTER_POLICY_SETTLE_DAYS", value_name = "DAYS",
        default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=MOST_DAYS))]
    pub settle_days: u32,

    /// Days a key must have been idle to count as unused (CIS 1.12)
    #[arg(long = "policy.unused-days", env = "IAM_KEY_EXPORTER_POLICY_UNUSED_DAYS", value_name = "DAYS",
        default_value_t = 45, value_parser = clap::value_parser!(u32).range(1..=MOST_DAYS))]
    pub unused_days: u32,

    /// Days before a key turns overdue at which its rotation should begin
    #[arg(long = "policy.warn-days", env = "IAM_KEY_EXPORTER_POLICY_WARN_DAYS", value_name = "DAYS",
        default_value_t = 14, value_parser = clap::value_parser!(u32).range(0..=MOST_DAYS))]
    pub warn_days: u32,
}

/// A hundred years: more is a slip of the pen.
const MOST_DAYS: i64 = 36_500;

impl From<PolicyArgs> for Policy {
    fn from(args: PolicyArgs) -> Self {
        let PolicyArgs {
            max_age_days,
            boundary,
            settle_days,
            unused_days,
            warn_days,
        } = args;
        let days = |days: u32| TimeDelta::days(days.into());
        Self {
            max_age: days(max_age_days),
            boundary,
            settle: days(settle_days),
            unused: days(unused_days),
            warn: days(warn_days),
        }
    }
}

/// What the metrics show.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Metrics")]
#[group(skip)]
pub struct MetricsArgs {
    /// How access key ids are shown: full, last4 (the last four characters) or none (key-1, … by
    /// creation)
    #[arg(long = "metrics.access-key-id", env = "IAM_KEY_EXPORTER_METRICS_ACCESS_KEY_ID", value_name = "DISPLAY",
        default_value = "full", value_parser = one_of(&KeyIdDisplay::ALL))]
    pub access_key_id: KeyIdDisplay,
}

/// A parser for a closed set of named values, which `--help` and errors list.
pub fn one_of<T, const N: usize>(
    values: &'static [(&'static str, T); N],
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.iter().map(|(name, _)| *name)).map(move |chosen| {
        values
            .iter()
            .find(|(name, _)| *name == chosen)
            .expect("clap lets only the names through")
            .1
    })
}
