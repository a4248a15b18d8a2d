//! The flags that several commands have and that belong to no part with input or output of its own.

use super::values::{one_of, whole_number};
use crate::{policy::Boundary, snapshot::KeyIdDisplay};

/// The thresholds. What isn't given can stand in the configuration file, or has its default.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Policy")]
#[group(skip)]
pub struct PolicyArgs {
    /// Days an active key may be old; benchmarks say 90 [default: 90]
    #[arg(long = "policy.max-age-days", env = "IAM_KEY_EXPORTER_POLICY_MAX_AGE_DAYS", value_name = "DAYS",
        value_parser = whole_number(1..=MOST_DAYS), allow_negative_numbers = true)]
    pub max_age_days: Option<u32>,

    /// How "older than N days" is read: exact (to the second), utc-midnight (as Powerpipe's query
    /// does) or whole-days (as Prowler does) [default: exact]
    #[arg(long = "policy.boundary", env = "IAM_KEY_EXPORTER_POLICY_BOUNDARY", value_name = "BOUNDARY",
        value_parser = one_of(&Boundary::ALL))]
    pub boundary: Option<Boundary>,

    /// Days an old key must have been idle before it is retired [default: 7]
    #[arg(long = "policy.settle-days", env = "IAM_KEY_EXPORTER_POLICY_SETTLE_DAYS", value_name = "DAYS",
        value_parser = whole_number(1..=MOST_DAYS), allow_negative_numbers = true)]
    pub settle_days: Option<u32>,

    /// Days a key must have been idle to count as unused (CIS 1.12); at least the settle days count
    /// [default: 45]
    #[arg(long = "policy.unused-days", env = "IAM_KEY_EXPORTER_POLICY_UNUSED_DAYS", value_name = "DAYS",
        value_parser = whole_number(1..=MOST_DAYS), allow_negative_numbers = true)]
    pub unused_days: Option<u32>,

    /// Days before a key turns overdue at which its rotation should begin [default: 14]
    #[arg(long = "policy.warn-days", env = "IAM_KEY_EXPORTER_POLICY_WARN_DAYS", value_name = "DAYS",
        value_parser = whole_number(0..=MOST_DAYS), allow_negative_numbers = true)]
    pub warn_days: Option<u32>,
}

/// A hundred years: more is a slip of the pen.
pub const MOST_DAYS: u32 = 36_500;

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
