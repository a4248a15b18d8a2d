//! The command line.
//!
//! The flags of a part live beside that part; here they are put together. Every flag has an
//! environment twin `IAM_KEY_EXPORTER_…`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Display,
    ops::RangeInclusive,
    process,
    str::FromStr,
};

use chrono::TimeDelta;
use clap::{
    Arg, Command, CommandFactory, FromArgMatches, Parser,
    builder::{PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
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
    /// 64: the command line, the environment or the configuration can't be used (`EX_USAGE`).
    Usage,
    /// 70: a fault of the program itself (`EX_SOFTWARE`).
    Internal,
    /// 128 and the signal's number, as a shell reports it: a second signal cut the shutdown short.
    Aborted(StopSignal),
}

/// The signals that stop the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT, 2.
    Interrupt,
    /// SIGTERM, 15.
    Terminate,
}

impl StopSignal {
    /// The signal's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl Exit {
    /// The exit status.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Usage => 64,
            Self::Internal => 70,
            Self::Aborted(StopSignal::Interrupt) => 130,
            Self::Aborted(StopSignal::Terminate) => 143,
        }
    }
}

impl From<&clap::Error> for Exit {
    /// Help and version were asked for; all else is a mistake.
    fn from(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Fine
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
        capitals, dots and dashes as underscores. A flag on the command line wins.\n\n\
        SIGTERM and SIGINT let the scrapes in flight finish and end the process within 5 seconds; a \
        second one ends it at once.\n\n\
        Exit status: 0 stopped by a signal, 64 usage or configuration, 70 internal error, 130 or 143 \
        aborted by a second SIGINT or SIGTERM."
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

impl Cli {
    /// The command line and the environment of this process.
    ///
    /// # Errors
    /// A request for help or the version, or a mistake, ready to be printed; [`Exit`] can be made of
    /// it. A mistake in an environment variable names the variable.
    pub fn read() -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = env::args_os().collect();
        let mut command = Self::command();
        command.build();
        let matches = command
            .clone()
            .try_get_matches_from(&arguments)
            .map_err(|error| name_variable(error, &command, &arguments))?;
        let cli = Self::from_arg_matches(&matches)?;
        match cli.source.clock() {
            Ok(_) => Ok(cli),
            Err(error) if matches.value_source("as_of") == Some(ValueSource::EnvVariable) => {
                let error = format!("in the environment variable IAM_KEY_EXPORTER_AS_OF: {error}");
                Err(command.error(ErrorKind::ArgumentConflict, error))
            }
            Err(error) => Err(command.error(ErrorKind::ArgumentConflict, error)),
        }
    }
}

/// The environment variables that look like a flag's twin and are none's: slips of the pen, which would
/// otherwise pass in silence.
pub fn unknown_variables() -> Vec<String> {
    let command = Cli::command();
    let is_twin = |name: &str| {
        command
            .get_arguments()
            .any(|flag| flag.get_env() == Some(OsStr::new(name)))
    };
    env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(TWIN_PREFIX) && !is_service_link(name) && !is_twin(name))
        .collect()
}

/// What the name of every environment twin begins with.
const TWIN_PREFIX: &str = "IAM_KEY_EXPORTER_";

/// Whether Kubernetes sets it for a Service that is called like this program.
/// Source: Kubernetes documentation, "Service", "Environment variables".
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST") || name.contains("_PORT")
}

/// Says which environment variable a mistake is in, if it is in one: clap names the flag alone.
fn name_variable(mut error: clap::Error, command: &Command, arguments: &[OsString]) -> clap::Error {
    if error.kind() == ErrorKind::InvalidUtf8 {
        let culprit = not_utf8(command, arguments);
        return command
            .clone()
            .error(ErrorKind::InvalidUtf8, format!("{culprit} is not UTF-8"));
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let variable = command
        .get_arguments()
        .find(|argument| argument.to_string() == *flag)
        .filter(|argument| !is_given(argument, arguments))
        .and_then(Arg::get_env)
        .filter(|variable| env::var_os(variable).is_some());
    if let Some(variable) = variable {
        let named = format!(
            "{} (environment variable of {flag})",
            variable.to_string_lossy()
        );
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

/// Whether the flag stands on the command line, where it wins over its environment twin.
fn is_given(argument: &Arg, arguments: &[OsString]) -> bool {
    argument.get_long().is_some_and(|long| {
        arguments.iter().any(|given| {
            let given = given.to_string_lossy();
            given
                .strip_prefix("--")
                .and_then(|given| given.strip_prefix(long))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    })
}

/// Which argument or variable isn't UTF-8: clap doesn't say.
fn not_utf8(command: &Command, arguments: &[OsString]) -> String {
    let bad_variable =
        |variable: &&OsStr| env::var_os(variable).is_some_and(|value| value.to_str().is_none());
    match arguments.iter().find(|given| given.to_str().is_none()) {
        Some(given) => format!("the argument '{}'", given.to_string_lossy()),
        None => command
            .get_arguments()
            .filter_map(Arg::get_env)
            .find(bad_variable)
            .map_or_else(
                || "an argument".into(),
                |variable| format!("the environment variable {}", variable.to_string_lossy()),
            ),
    }
}

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

    /// Days a key must have been idle to count as unused (CIS 1.12)
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

/// A parser for whole numbers within bounds, whose errors tell the bounds.
pub fn whole_number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "give a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}
