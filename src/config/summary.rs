//! `iam-key-exporter config check`: what a file says, if it says it rightly.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
};

use chrono::{DateTime, Utc};

use super::{Config, load};
use crate::{
    cli::PolicyArgs,
    policy::{Boundary, Thresholds},
    source::accounts::Accounts,
    yaml::FileError,
};

/// What to do with a configuration file.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Validate a configuration file as serving would, print what it says and exit
    ///
    /// Flags are not looked at: a setting that is both in the file and given by a flag shows when
    /// serving begins.
    ///
    /// Exit status: 0 valid, 64 not valid.
    Check(CheckArgs),
}

/// Which file to check.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Validates the file and writes what it says.
pub fn check(
    args: &CheckArgs,
    now: DateTime<Utc>,
    out: &mut impl Write,
) -> Result<io::Result<()>, FileError> {
    let config = load(Some(&args.file), PolicyArgs::default())?;
    let text = format!("{} is valid\n{}", args.file.display(), said(&config, now));
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What the configuration says, a line for each section.
fn said(config: &Config, now: DateTime<Utc>) -> String {
    let lines = [
        ("accounts", accounts(&config.accounts)),
        ("policy", thresholds(&config.policy.thresholds)),
        ("overrides", overrides(config)),
        ("exemptions", exemptions(config, now)),
        ("tags", tags(config)),
    ];
    let mut said = String::new();
    for (section, text) in lines {
        writeln!(said, "  {section}: {text}").expect("a String takes anything");
    }
    said
}

fn accounts(accounts: &Accounts) -> String {
    match accounts {
        Accounts::Own => "the one that the credentials belong to".into(),
        Accounts::Listed(roles) => format!("{} by a role in each", roles.len()),
        Accounts::Organization(organization) => {
            let filters = |filters: &[_], all: &str| match filters.len() {
                0 => all.to_owned(),
                1 => "1 filter".to_owned(),
                count => format!("{count} filters"),
            };
            format!(
                "the organization's, by the role {} in each, looked up every {} (include: {}, exclude: {})",
                organization.role_name,
                humantime::format_duration(organization.discovery_interval),
                filters(&organization.include, "all"),
                filters(&organization.exclude, "none"),
            )
        }
    }
}

fn thresholds(thresholds: &Thresholds) -> String {
    let Thresholds {
        max_age,
        boundary,
        settle,
        unused,
        warn,
    } = thresholds;
    let boundary = Boundary::ALL
        .iter()
        .find(|(_, of)| of == boundary)
        .map_or("", |(name, _)| *name);
    format!(
        "max age {} days ({boundary}), warning {} days before, settled after {}, unused after {}",
        max_age.num_days(),
        warn.num_days(),
        settle.num_days(),
        unused.num_days()
    )
}

fn overrides(config: &Config) -> String {
    let ages = || {
        config
            .policy
            .overrides
            .iter()
            .map(|rule| rule.max_age.num_days())
    };
    match (ages().min(), ages().max()) {
        (Some(least), Some(most)) if least != most => {
            format!("{}, max ages from {least} to {most} days", ages().count())
        }
        (Some(age), _) => format!("{}, max age {age} days", ages().count()),
        _ => "none".into(),
    }
}

fn exemptions(config: &Config, now: DateTime<Utc>) -> String {
    let exemptions = || config.policy.exemptions.iter().map(|rule| &rule.exemption);
    let count = exemptions().count();
    if count == 0 {
        return "none".into();
    }
    let endless = exemptions().filter(|exemption| exemption.until.is_none());
    let ended = exemptions().filter(|exemption| exemption.until.is_some_and(|until| until <= now));
    format!(
        "{count}, {} without an end, {} ended already",
        endless.count(),
        ended.count()
    )
}

fn tags(config: &Config) -> String {
    let labels = config
        .tags
        .iter()
        .map(|label| format!("{} as {}", label.tag, label.label));
    let labels: Vec<_> = labels.collect();
    if labels.is_empty() {
        "none".into()
    } else {
        labels.join(", ")
    }
}
