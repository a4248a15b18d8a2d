//! Where the truth comes from: AWS itself, a credential report in a file, or the demo.

pub mod accounts;
pub mod aws;
pub mod demo;
mod member;
mod once;
mod outcome;
mod progress;
mod reader;
mod remark;
pub mod report;
mod usage;

use std::{collections::BTreeSet, fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use self::{accounts::Accounts, demo::Demo, report::ReportFile};
pub use self::{
    member::{Access, Discovery, Member},
    once::Once,
    outcome::{Outcome, SourceError},
    progress::Progress,
    reader::Reader,
    remark::Remark,
    usage::UsageError,
};
use crate::{
    clock::Clock,
    config::Config,
    counts::RequestCounts,
    inventory,
    policy::{ExemptionRule, Policy},
    shard::Shard,
    snapshot::TagLabel,
    visible::visible,
};

/// Which source to read, and as of when.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Source")]
#[group(skip)]
pub struct Args {
    /// Where keys are read from: aws, report:PATH (a credential report, - for standard input), or
    /// demo
    #[arg(
        long,
        env = "IAM_KEY_EXPORTER_SOURCE",
        value_name = "SOURCE",
        default_value = "aws"
    )]
    pub source: Choice,

    /// Judge as if it were this instant (RFC 3339); for the report and demo sources only
    #[arg(long, env = "IAM_KEY_EXPORTER_AS_OF", value_name = "TIME", value_parser = instant)]
    pub as_of: Option<DateTime<Utc>>,

    #[command(flatten)]
    aws: aws::Args,
}

/// The sources that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// AWS, with the SDK's default credentials.
    Aws,
    /// A credential report in CSV; `-` is standard input.
    Report(PathBuf),
    /// A made-up organisation.
    Demo,
}

impl Choice {
    /// Whether this source can be read as the configuration says.
    pub fn accepts(&self, config: &Config) -> Result<(), UsageError> {
        if *self != Self::Aws && config.accounts != Accounts::Own {
            return Err(UsageError(
                "the configuration file has accounts or organization, which are for --source=aws only"
                    .into(),
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws => f.write_str("aws"),
            Self::Report(path) => write!(f, "report:{}", visible(&path.to_string_lossy())),
            Self::Demo => f.write_str("demo"),
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "aws" => Ok(Self::Aws),
            None if text == "demo" => Ok(Self::Demo),
            Some(("report", path)) if !path.is_empty() => Ok(Self::Report(path.into())),
            _ => Err("allowed are aws, report:PATH and demo".into()),
        }
    }
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .map_err(|error| format!("{error}; give RFC 3339, e.g. 2026-01-31T00:00:00Z"))
}

impl Args {
    /// The profile of the shared AWS config files, if one was given.
    pub fn profile(&self) -> Option<&str> {
        self.aws.profile.as_deref()
    }

    /// Whether the part of the accounts that is chosen can be read of this source.
    ///
    /// # Errors
    /// A shard of a source that has no accounts to share out.
    pub fn part(&self) -> Result<(), UsageError> {
        match self.source {
            Choice::Report(_) | Choice::Demo if !self.aws.shard.shard.is_whole() => {
                Err(UsageError(format!(
                    "--shard={} is for --source=aws only, not for --source={}: a report or the demo \
                     is read whole",
                    self.aws.shard.shard, self.source
                )))
            }
            Choice::Aws | Choice::Report(_) | Choice::Demo => Ok(()),
        }
    }

    /// The clock that the source is judged by.
    pub fn clock(&self) -> Result<Clock, UsageError> {
        match (&self.source, self.as_of) {
            (_, None) => Ok(Clock::System),
            (Choice::Aws, Some(_)) => Err(UsageError(
                "--as-of is for --source=report:PATH and --source=demo: AWS tells the present only"
                    .into(),
            )),
            (_, Some(instant)) => Ok(Clock::Fixed(instant)),
        }
    }
}

/// A source: it knows which parts there are to read, and makes the reader of each.
#[derive(Debug)]
pub enum Source {
    /// AWS.
    Aws(Box<aws::Fleet>),
    /// A credential report; `-` is standard input.
    Report(PathBuf),
    /// A made-up organisation.
    Demo(Demo),
}

impl Source {
    /// The source that the arguments choose. Nothing is read yet.
    pub fn new(
        args: Args,
        clock: Clock,
        config: &Config,
        refresh_interval: Duration,
        counts: Arc<RequestCounts>,
    ) -> Result<Self, UsageError> {
        let Args {
            source,
            as_of: _,
            aws,
        } = args;
        source.accepts(config)?;
        let mut source = match source {
            Choice::Aws => Self::Aws(Box::new(aws::Fleet::new(
                aws,
                Arc::clone(&config.policy),
                refresh_interval,
                counts,
            )?)),
            Choice::Report(path) => Self::Report(path),
            Choice::Demo => Self::Demo(Demo::new(clock.now())),
        };
        source.reconfigure(&config.accounts, &config.policy, &config.wanted_tags());
        Ok(source)
    }

    /// Tells `progress` of the users found and read by the readers made from now on. Only AWS takes
    /// long enough for that.
    pub fn watch(&mut self, progress: Progress) {
        if let Self::Aws(fleet) = self {
            fleet.watch(progress);
        }
    }

    /// The exemptions that belong to the source itself: those of the demo. The policy takes them in.
    pub fn exemptions(&self) -> Vec<ExemptionRule> {
        match self {
            Self::Aws(_) | Self::Report(_) => Vec::new(),
            Self::Demo(demo) => demo.exemptions(),
        }
    }

    /// The user tags that become labels unless the configuration names any: those of the demo.
    pub fn tags(&self) -> Arc<[TagLabel]> {
        match self {
            Self::Aws(_) | Self::Report(_) => Arc::default(),
            Self::Demo(_) => Demo::tags(),
        }
    }

    /// Which members there are now. Cheap unless the time for a new look has come. It never fails
    /// whole: what was found last stays, and what went wrong is told beside it. The future may be
    /// dropped at any point.
    pub async fn discover(&mut self, now: DateTime<Utc>, deadline: Instant) -> Discovery {
        match self {
            Self::Aws(fleet) => fleet.discover(now, deadline).await,
            Self::Report(_) | Self::Demo(_) => Discovery::only(Member {
                account: None,
                name: None,
                access: Access::Whole,
            }),
        }
    }

    /// The member that an account known from before is, if the configuration alone tells how it is
    /// read.
    pub fn presumed(&self, account: &inventory::Account) -> Option<Member> {
        match self {
            Self::Aws(fleet) => fleet.presumed(account),
            Self::Report(_) | Self::Demo(_) => None,
        }
    }

    /// Which part of all accounts is read.
    pub fn shard(&self) -> Shard {
        match self {
            Self::Aws(fleet) => fleet.shard(),
            Self::Report(_) | Self::Demo(_) => Shard::WHOLE,
        }
    }

    /// Reads these accounts from now on, and gives new readers this policy and these tags to read of
    /// users who hold an old key. Readers that exist have a method of the same name.
    pub fn reconfigure(
        &mut self,
        accounts: &Accounts,
        policy: &Arc<Policy>,
        wanted_tags: &Arc<BTreeSet<Arc<str>>>,
    ) {
        match self {
            Self::Aws(fleet) => fleet.reconfigure(accounts, policy, wanted_tags),
            Self::Report(_) | Self::Demo(_) => {}
        }
    }

    /// A new reader of a member that was discovered. It remembers nothing yet.
    pub fn reader(&mut self, member: &Member) -> Reader {
        match self {
            Self::Aws(fleet) => Reader::Aws(Box::new(fleet.reader(member))),
            Self::Report(path) => Reader::Report(ReportFile::new(&*path)),
            Self::Demo(demo) => Reader::Demo(*demo),
        }
    }
}
