//! The command line.
//!
//! The flags of a part live beside that part; here they are put together. Every flag has an
//! environment twin `IAM_KEY_EXPORTER_…`.

mod environment;
mod exit;
mod shared;
mod values;

use std::{env, ffi::OsString};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use self::environment::{name_variable, variable_of};
pub use self::{
    environment::unknown_variables,
    exit::{Exit, StopSignal},
    shared::{MOST_DAYS, MetricsArgs, PolicyArgs},
    values::{one_of, whole_number},
};
use crate::{check, config, dashboards, logging, plan, rules, serve, source, web};

/// Prometheus exporter for the age and rotation of AWS IAM access keys
///
/// Refreshes the metadata of every access key on an interval and serves, at /metrics, each key's
/// age in days and whether each user obeys the rule of CIS AWS Foundations that access keys are
/// rotated every 90 days or less. It holds read permissions only and never changes anything in AWS.
#[derive(Debug, Parser)]
#[command(
    name = "iam-key-exporter",
    version = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("BUILD_REVISION"), ")"),
    after_help = "Every flag can be set in the environment: IAM_KEY_EXPORTER_ and the flag's name in \
        capitals, dots and dashes as underscores. A flag on the command line wins.\n\n\
        SIGTERM and SIGINT let the scrapes in flight finish and end the process within 5 seconds; a \
        second one ends it at once.\n\n\
        Exit status: 0 stopped by a signal, 64 usage or configuration, 70 internal error, 130 or 143 \
        aborted by a second SIGINT or SIGTERM.",
    // A flag before the subcommand would be one of serving, and pass in silence.
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: serve::Args,
}

/// What can be done besides serving, which needs no name.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every access key once, print the results and exit
    ///
    /// Judges the keys as the control "Ensure access keys are rotated every 90 days or less" does.
    /// Nothing is served and nothing is changed in AWS.
    Check(Box<check::Args>),
    /// Say what to do next for every user whose keys need it
    ///
    /// Reads the keys once, and every key that the plan would deactivate or delete again right before
    /// it is printed. Nothing is changed in AWS: the commands are for you to run.
    Plan(Box<plan::Args>),
    /// Check a configuration file
    #[command(subcommand)]
    Config(config::Command),
    /// Check a web configuration file
    #[command(subcommand)]
    WebConfig(web::config::Command),
    /// Print the recording rules and alerts for Prometheus
    Rules(rules::Args),
    /// Write the Grafana dashboards into a directory
    ///
    /// Files of the same names are replaced, others are left alone.
    Dashboards(dashboards::Args),
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
        let of_command = matches
            .subcommand()
            .map_or(&matches, |(_, matches)| matches);
        let Some(source) = cli.source() else {
            return Ok(cli);
        };
        let unfit = [
            ("as_of", source.clock().err()),
            ("shard", source.part().err()),
        ];
        for (flag, error) in unfit {
            let Some(error) = error else { continue };
            let error = match variable_of(of_command, flag) {
                Some(variable) => format!("in the environment variable {variable}: {error}"),
                None => error.to_string(),
            };
            return Err(command.error(ErrorKind::ArgumentConflict, error));
        }
        Ok(cli)
    }

    /// What is logged, whatever is done.
    pub fn log(&self) -> logging::Args {
        match &self.command {
            Some(Command::Check(check)) => check.log,
            Some(Command::Plan(plan)) => plan.log,
            Some(
                Command::Config(_)
                | Command::WebConfig(_)
                | Command::Rules(_)
                | Command::Dashboards(_),
            ) => logging::Args::default(),
            None => self.serve.log,
        }
    }

    /// The source that is read, if one is.
    fn source(&self) -> Option<&source::Args> {
        match &self.command {
            Some(Command::Check(check)) => Some(&check.source),
            Some(Command::Plan(plan)) => Some(&plan.source),
            Some(
                Command::Config(_)
                | Command::WebConfig(_)
                | Command::Rules(_)
                | Command::Dashboards(_),
            ) => None,
            None => Some(&self.serve.source),
        }
    }
}
