//! The flags that several commands have and that belong to no part with input or output of its own.

use chrono::TimeDelta;

use super::values::{one_of, whole_number};
use crate::{
    policy::{Boundary, Thresholds},
    snapshot::KeyIdDisplay,
};

/// The thresholds.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Policy")]
#[group(skip)]
pub struct PolicyArgs {
    /// Days an active key may be old; benchmarks say 90
    #[arg(long = "policy.max-age-days", env = "IAM_KEY_EXPORTER_POLICY_MAX_AGE_DAYS", value_name = "DAYS",
        default_value_t = 90, value_parser = whole_number(1..=MOST_DAYS), allow_negative_numbers = true)]
    pub max_age_days: u32,

    /// How "older than N days" is read: exact (to the second), utc-midnight (as Powerpipe's query
    /// does) or whole-days (as Prowler does)
    #[arg(long = "policy.boundary", env = "IAM_KEY_EXPORTER_POLICY_BOUNDARY", value_name = "BOUNDARY",
        default_value = "exact", value_parser = one_of(&Boundary::ALL))]
    pub boundary: Boundary,

    /// Days an old key must have been idle before it is retired
    #[arg(long = "policy.settle-days", env = "IAM_KEY_EXPORTER_POLICY_SETTLE_DAYS", value_name = "DAYS",
        default_value_t = 7, value_parser = whole_number(1..=MOST_DAYS), allow_negative_numbers = true)]
    pub settle_days: u32,

    /// Days a key must have been idle to count as unused (CIS 1.12); at least the settle days count
    #[arg(long = "policy.unused-days", env = "IAM_KEY_EXPORTER_POLICY_UNUSED_DAYS", value_name = "DAYS",
        default_value_t = 45, value_parser = whole_number(1..=MOST_DAYS), allow_negative_numbers = true)]
    pub unused_days: u32,

    /// Days before a key turns overdue at which its rotation should begin
    #[arg(long = "policy.warn-days", env = "IAM_KEY_EXPORTER_POLICY_WARN_DAYS", value_name = "DAYS",
        default_value_t = 14, value_parser = whole_number(0..=MOST_DAYS), allow_negative_numbers = true)]
    pub warn_days: u32,
}

/// A hundred years: more is a slip of the pen.
const MOST_DAYS: u32 = 36_500;

impl From<PolicyArgs> for Thresholds {
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
            // A key that hasn't settled yet must not count as dormant, or it would be taken away in use.
            unused: days(unused_days.max(settle_days)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_counts_as_unused_before_it_has_settled() {
        let args = |settle_days, unused_days| PolicyArgs {
            max_age_days: 90,
            boundary: Boundary::Exact,
            settle_days,
            unused_days,
            warn_days: 14,
        };
        for (settle, unused, counts) in [(7, 45, 45), (7, 3, 7), (7, 7, 7)] {
            let policy = Thresholds::from(args(settle, unused));
            assert_eq!(policy.unused, TimeDelta::days(counts));
        }
    }
}
