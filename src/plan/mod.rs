//! `plan`: what to do next for every user whose keys need it, as commands for a person to run.
//!
//! Everything is read once, and what a plan would take away is read again, live, right before it is
//! printed. Nothing is ever changed in AWS.

pub mod advice;
mod advisor;
pub mod command;
mod json;
mod md;
mod planner;
mod sh;
mod text;
pub(crate) mod words;

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use self::{advice::Advice, command::Cli, planner::Planner};
use crate::visible::visible;
use crate::{
    cli::{Exit, MetricsArgs, PolicyArgs, one_of},
    config,
    counts::RequestCounts,
    key::AccountId,
    logging,
    reason::Reason,
    refresh,
    source::{self, Choice, Source, UsageError},
};

/// How to plan. What it is for stands with the subcommand.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Exit status: 0 when the plan was printed, 2 if something could not be read, 64 usage or \
        configuration, 70 internal error."
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
    /// How key ids are shown.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// What is printed.
    #[command(flatten)]
    pub print: PrintArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: logging::Args,
}

/// What is printed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Plan")]
#[group(skip)]
pub struct PrintArgs {
    /// User to plan for; can be repeated [default: all]
    #[arg(long = "user", env = "IAM_KEY_EXPORTER_PLAN_USER", value_name = "NAME")]
    pub users: Vec<String>,

    /// Format: text, json, md, or sh (a script that asks before each change)
    #[arg(long, env = "IAM_KEY_EXPORTER_PLAN_OUTPUT", value_name = "FORMAT", default_value = "text",
        value_parser = one_of(&Format::ALL))]
    pub output: Format,

    /// Region to name in the commands [default: that of the environment, with --source=aws]
    #[arg(long, env = "IAM_KEY_EXPORTER_PLAN_REGION", value_name = "NAME")]
    pub region: Option<String>,

    /// Time after which the plan is made of what was read, e.g. 15m; at least 1s
    #[arg(long = "refresh.timeout", env = "IAM_KEY_EXPORTER_REFRESH_TIMEOUT", value_name = "DURATION",
        default_value = "15m", value_parser = refresh::timeout)]
    pub timeout: Duration,
}

/// The formats of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, in a terminal.
    Text,
    /// For programs.
    Json,
    /// Markdown, for a ticket.
    Md,
    /// A POSIX shell script.
    Sh,
}

impl Format {
    /// Every format, with its name as a setting.
    pub const ALL: [(&'static str, Self); 4] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("md", Self::Md),
        ("sh", Self::Sh),
    ];
}

/// What to do, and what isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The instant that everything is judged at.
    pub now: DateTime<Utc>,
    /// What the commands are given.
    pub cli: Cli,
    /// What to do, the worst first.
    pub advices: Vec<Advice>,
    /// The users who could not be read, for whom nothing is advised.
    pub unread: Vec<Unread>,
    /// What could not be read beside single users.
    pub failures: Vec<Failure>,
    /// Up to when last uses are known, where they weren't read live.
    pub known_until: Option<DateTime<Utc>>,
    /// The users asked for who have no keys here.
    pub not_found: Vec<String>,
    /// Whether everything was read, whatever was asked for.
    pub is_complete: bool,
}

/// A user who could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The user's account.
    pub account: AccountId,
    /// The user.
    pub user: Arc<str>,
    /// Why.
    pub reason: Reason,
}

/// An account that could not be read, or not to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The account, if its id is known.
    pub account: Option<AccountId>,
    /// Why.
    pub reason: Reason,
    /// What failed, on one line.
    pub message: String,
}

/// Why no plan could be printed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A setting can't be used.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// Standard output can't be written to.
    #[error("the plan could not be printed")]
    Print(#[source] io::Error),
}

/// Prints the plan to standard output.
pub async fn run(args: Args) -> Result<Exit, PlanError> {
    let format = args.print.output;
    let plan = Box::pin(plan(args)).await?;
    plan.say_what_is_missing();
    let text = match (format, terminal_width()) {
        (Format::Text, Some(width)) => text::render(&plan, Some(width)),
        _ => plan.render(format),
    };
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        // Whoever read has seen enough, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PlanError::Print(error)),
        _ if plan.is_complete => Ok(Exit::Fine),
        _ => Ok(Exit::Incomplete),
    }
}

/// How wide standard output is, if it is a terminal.
fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    let size = terminal_size::terminal_size_of(&stdout).filter(|_| stdout.is_terminal());
    size.map(|(width, _)| width.0.into())
}

/// Reads the keys and makes the plan.
pub async fn plan(args: Args) -> Result<Plan, UsageError> {
    let Args {
        config,
        source,
        policy,
        metrics: MetricsArgs { access_key_id },
        print:
            PrintArgs {
                users,
                output: _,
                region,
                timeout,
            },
        log: _,
    } = args;
    let config = config::load(config.file.as_deref(), policy)?;
    let clock = source.clock()?;
    let cli = cli(&source, region)?;
    let counts = Arc::new(RequestCounts::default());
    // Nothing is kept for a next time, so any interval will do.
    let interval = refresh::SHORTEST_INTERVAL;
    let source = Source::new(source, clock, &config, interval, counts)?;
    let planner = Planner {
        clock,
        policy: config.with_those_of(&source).policy,
        key_ids: access_key_id,
        users: users.into_iter().collect(),
        deadline: Instant::now() + timeout,
    };
    Ok(planner.plan(source, cli).await)
}

/// What the commands are given: the profile and the region that this program was given.
fn cli(source: &source::Args, region: Option<String>) -> Result<Cli, UsageError> {
    let inherited = |name| match source.source {
        Choice::Aws => std::env::var(name).ok().filter(|value| !value.is_empty()),
        Choice::Report(_) | Choice::Demo => None,
    };
    let cli = Cli {
        profile: source
            .profile()
            .map(str::to_owned)
            .or_else(|| inherited("AWS_PROFILE")),
        region: region.or_else(|| inherited("AWS_REGION")),
    };
    match cli.aws() {
        Some(_) => Ok(cli),
        None => Err(UsageError(
            "--aws.profile or --region can not be given to the AWS CLI: it holds control characters or begins \
             like a URL"
                .into(),
        )),
    }
}

impl Plan {
    /// The plan in a format, as it goes to a file or a pipe.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => text::render(self, None),
            Format::Json => json::render(self),
            Format::Md => md::render(self),
            Format::Sh => sh::render(self),
        }
    }

    /// Says on standard error what the plan is silent about: its text may go to a file unread.
    fn say_what_is_missing(&self) {
        for failure in &self.failures {
            let account = failure
                .account
                .map_or("unknown".into(), |id| id.to_string());
            let (reason, message) = (failure.reason, &failure.message);
            tracing::error!(account, %reason, "the account could not be read completely: {message}");
        }
        if !self.unread.is_empty() {
            tracing::warn!(
                users = self.unread.len(),
                "users could not be read, so that nothing is advised for them"
            );
        }
    }

    /// What to say of the whole plan, beside the advice.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(known_until) = self.known_until {
            remarks.push(format!(
                "this source has nothing live: last uses are known up to {} and were not read again; \
                 a key may have been used since",
                words::instant(known_until)
            ));
        }
        for name in &self.not_found {
            remarks.push(format!(
                "no user {} with access keys was found",
                visible(name)
            ));
        }
        remarks
    }

    /// How much there is to do, in a sentence.
    fn summary(&self) -> String {
        let count = |count: usize, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        let todo = count(self.advices.len(), "user has", "users have");
        let unread = count(self.unread.len(), "user", "users");
        let nothing = "Nothing was changed in AWS.";
        if self.unread.is_empty() {
            format!("{todo} something to do. {nothing}")
        } else {
            format!("{todo} something to do, {unread} could not be read. {nothing}")
        }
    }
}
