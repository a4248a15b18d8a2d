//! The command line's part about AWS.

use clap::builder::NonEmptyStringValueParser;

use crate::{
    cli::{one_of, whole_number},
    shard,
};

/// How AWS is read.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "AWS")]
#[group(skip)]
pub struct Args {
    /// How keys are read: auto (the credential report, and live reads of every user with an old
    /// key), list (live reads of every user), or report (the credential report only: up to 4 hours
    /// old, without key ids)
    #[arg(long = "aws.strategy", env = "IAM_KEY_EXPORTER_AWS_STRATEGY", value_name = "STRATEGY",
        default_value = "auto", value_parser = one_of(&Strategy::ALL))]
    pub strategy: Strategy,

    /// Profile of the shared AWS config files to use [default: the SDK's default chain]
    #[arg(
        long = "aws.profile",
        env = "IAM_KEY_EXPORTER_AWS_PROFILE",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub profile: Option<String>,

    /// Calls to AWS under way at once for each account
    #[arg(long = "aws.max-concurrency", env = "IAM_KEY_EXPORTER_AWS_MAX_CONCURRENCY", value_name = "N",
        default_value_t = 16, value_parser = whole_number(1..=256_u16), allow_negative_numbers = true)]
    pub max_concurrency: u16,

    /// Calls to AWS under way at once for all accounts together
    #[arg(long = "aws.max-total-concurrency", env = "IAM_KEY_EXPORTER_AWS_MAX_TOTAL_CONCURRENCY", value_name = "N",
        default_value_t = 64, value_parser = whole_number(1..=1024_u16), allow_negative_numbers = true)]
    pub max_total_concurrency: u16,

    /// Calls to AWS a second for each account; half of them may come at once. IAM throttles an
    /// account's callers together, at some 20 a second
    #[arg(long = "aws.requests-per-second", env = "IAM_KEY_EXPORTER_AWS_REQUESTS_PER_SECOND", value_name = "N",
        default_value_t = 15, value_parser = whole_number(1..=1000_u16), allow_negative_numbers = true)]
    pub requests_per_second: u16,

    #[command(flatten)]
    pub(in crate::source) shard: shard::Args,
}

/// How the keys of an account are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The credential report, and live reads of every user with an old or changed key.
    #[default]
    Auto,
    /// Live reads of every user.
    List,
    /// The credential report only.
    Report,
}

impl Strategy {
    /// Every strategy, with its name as a setting.
    pub const ALL: [(&'static str, Self); 3] = [
        ("auto", Self::Auto),
        ("list", Self::List),
        ("report", Self::Report),
    ];
}
