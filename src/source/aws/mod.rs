//! AWS itself: IAM and STS through the SDK, with read permissions only.

mod args;
mod attempts;
mod auto;
mod client;
mod connector;
mod credential_report;
mod directory;
mod failure;
mod fleet;
mod list;
mod organization;
mod pace;
mod paced;
mod partition;
mod role;
mod setup;
mod tags;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

pub(crate) use self::auto::{Known, LastListing, Unreported};
pub use self::{
    args::{Args, Strategy},
    auto::Remembered,
    credential_report::Patience,
    fleet::Fleet,
    pace::Pace,
    setup::{Limits, Origin, Settings},
};
use self::{
    auto::{Dated, Memory, Watch},
    client::Api,
    connector::Line,
    failure::CallError,
    tags::TagBook,
};
use super::{Outcome, Progress, SourceError, report};
use crate::{
    counts::Operation,
    inventory::{Account, Inventory, Listing, Reading, User},
    key::{AccountId, ArnOwner},
    policy::Policy,
    reason::Reason,
    source::report::Row,
};

/// How long an alias is believed. Aliases hardly ever change, and a warm refresh should cost little.
const ALIAS_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// The oldest credential report that `auto` believes. AWS makes a new one every four hours, so this
/// much is a sign that something is wrong.
const OLDEST_REPORT: TimeDelta = TimeDelta::hours(24);

/// One account of AWS, read again and again.
#[derive(Debug)]
pub struct Aws {
    line: Line,
    strategy: Strategy,
    /// Whose keys are read: that of the role, or whose credentials they were the last time.
    owner: Option<ArnOwner>,
    alias: Option<(DateTime<Utc>, Option<Arc<str>>)>,
    /// What the account is called by whoever lists it.
    name: Option<Arc<str>>,
    watch: Watch,
    memory: Memory,
    tags: TagBook,
    refresh_interval: TimeDelta,
    /// What was saved before a restart, until it is known whose credentials these are.
    saved: Option<(AccountId, Arc<Remembered>)>,
    /// Whether `auto` had to do as `list` does the last time.
    lists_instead: bool,
    progress: Progress,
}

impl Aws {
    /// An account that wasn't read yet.
    fn new(line: Line, strategy: Strategy, policy: &Policy, refresh_interval: Duration) -> Self {
        let interval = TimeDelta::from_std(refresh_interval).unwrap_or(TimeDelta::MAX / 4);
        let watch = Watch::new(policy, interval);
        Self {
            memory: Memory::new(watch.clone()),
            tags: TagBook::new(policy, interval),
            refresh_interval: interval,
            watch,
            saved: None,
            lists_instead: false,
            progress: Progress::default(),
            owner: line.role().map(|role| ArnOwner {
                account: role.arn.account(),
                partition: Arc::clone(role.arn.partition()),
            }),
            line,
            strategy,
            alias: None,
            name: None,
        }
    }

    /// Whose keys it reads, once that is known.
    pub fn account(&self) -> Option<AccountId> {
        self.owner.as_ref().map(|owner| owner.account)
    }

    /// Calls the account so from now on.
    pub fn rename(&mut self, name: Option<Arc<str>>) {
        self.name = name;
    }

    /// Goes by this policy from now on, and reads these tags of users who hold an old key.
    pub fn reconfigure(&mut self, policy: &Policy, wanted_tags: Arc<BTreeSet<Arc<str>>>) {
        self.watch = Watch::new(policy, self.refresh_interval);
        self.memory.watch(self.watch.clone());
        self.tags.want(wanted_tags, policy, self.refresh_interval);
    }

    /// Tells `progress` of the users found and read from now on.
    pub fn watch(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// What `auto` remembers of the account that was read last, to be saved; cheap, for it is shared.
    pub fn remembered(&self) -> Option<(AccountId, Arc<Remembered>)> {
        let owner = self.owner.as_ref()?;
        Some((owner.account, self.memory.remembered()?))
    }

    /// Takes in what was saved of an account before a restart. It counts if the credentials turn out
    /// to be that account's.
    pub fn restore(&mut self, account: AccountId, remembered: Arc<Remembered>) {
        self.saved = Some((account, remembered));
    }

    /// Reads the account once.
    pub async fn collect(&mut self, now: DateTime<Utc>, deadline: Instant) -> Outcome {
        let _place = self.line.enter(deadline).await;
        let start = Instant::now();
        let api = self.line.open().await;
        let mut result = self.read(&api, now, deadline).await;
        if let Ok(inventory) = &mut result {
            Box::pin(self.tags.fill(inventory, &api, now, deadline)).await;
        }
        let reasons = match &result {
            Ok(inventory) => inventory.reasons(),
            Err(error) => vec![error.reason],
        };
        if reasons
            .iter()
            .any(|reason| matches!(reason, Reason::Credentials | Reason::ExpiredToken))
        {
            self.line.renew(&api).await;
        }
        Outcome {
            account: self.account(),
            result: result.map_err(|error| self.named(error.into())),
            duration: start.elapsed(),
        }
    }

    /// Reads these users live, each with all keys and their last use; `None` is a user who is gone.
    pub async fn read_again(
        &mut self,
        account: AccountId,
        users: Vec<Arc<str>>,
        deadline: Instant,
    ) -> Vec<(Arc<str>, Option<User>)> {
        if self.account() != Some(account) {
            // The same name is another user in another account.
            let unread = |name: Arc<str>| {
                let user = User::unread(Arc::clone(&name), Vec::new(), Reason::Credentials);
                (name, Some(user))
            };
            return users.into_iter().map(unread).collect();
        }
        let _place = self.line.enter(deadline).await;
        let api = self.line.open().await;
        stream::iter(users)
            .map(|name| {
                let api = &api;
                async move {
                    let list::Read { mut user, trouble } =
                        list::read_user(api, &name, deadline).await;
                    // A last use that failed to read is what was to be read again.
                    if let (Some(user), Some(error)) = (&mut user, trouble) {
                        user.reading = Reading::Unread(error.reason);
                    }
                    (name, user)
                }
            })
            .buffer_unordered(api.max_concurrency())
            .collect()
            .boxed()
            .await
    }

    /// The error, with the profile if the credentials are to blame and one was chosen.
    fn named(&self, error: SourceError) -> SourceError {
        match &self.line.settings().origin {
            Origin::DefaultChain {
                profile: Some(profile),
            } if error.reason == Reason::Credentials => SourceError {
                message: format!("--aws.profile={profile}: {}", error.message),
                ..error
            },
            _ => error,
        }
    }

    async fn read(
        &mut self,
        api: &Api,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Result<Inventory, CallError> {
        let owner = match &self.owner {
            Some(owner) if self.line.role().is_some() => owner.clone(),
            _ => api.caller(deadline).await?,
        };
        self.meet(owner.clone());
        let account = Account {
            id: owner.account,
            partition: owner.partition,
            name: self.name.clone(),
            alias: self.alias(api, now, deadline).await?,
        };
        match self.strategy {
            Strategy::List => {
                Box::pin(list::collect(api, account, &self.progress, now, deadline)).await
            }
            Strategy::Report => {
                let report = self.report(api, deadline).await?;
                Ok(from_report(account, &report, now))
            }
            Strategy::Auto => match self.report(api, deadline).await {
                Ok(dated) if now - dated.generated < OLDEST_REPORT => {
                    if std::mem::take(&mut self.lists_instead) {
                        tracing::info!("the credential report can be used again");
                    }
                    Ok(auto::collect(
                        api,
                        account,
                        dated,
                        &mut self.memory,
                        &self.progress,
                        now,
                        deadline,
                    )
                    .await)
                }
                Ok(dated) => {
                    let generated = dated.generated.to_rfc3339_opts(SecondsFormat::Secs, true);
                    self.say_lists_instead(&format!("it is of {generated}, older than 24 h"));
                    Box::pin(list::collect(api, account, &self.progress, now, deadline)).await
                }
                // With these, listing would fail as well, and slowly.
                Err(error)
                    if matches!(
                        error.reason,
                        Reason::Credentials | Reason::ExpiredToken | Reason::Network | Reason::Tls
                    ) || error.operation == Operation::AssumeRole =>
                {
                    Err(error)
                }
                Err(error) => {
                    self.say_lists_instead(&SourceError::from(error).message);
                    Box::pin(list::collect(api, account, &self.progress, now, deadline)).await
                }
            },
        }
    }

    /// The newest credential report, parsed.
    async fn report(&self, api: &Api, deadline: Instant) -> Result<Dated, CallError> {
        let fetched =
            credential_report::fetch(api, self.line.settings().patience, deadline).await?;
        let malformed = |what: String| CallError::malformed(Operation::GetCredentialReport, what);
        let report = report::parse(&fetched.csv).map_err(|error| malformed(error.to_string()))?;
        // Every report has the root user's row, so one without rows isn't that of an empty account.
        let account = report.owner.as_ref().map(|owner| owner.account);
        if account.is_none() || account != self.owner.as_ref().map(|owner| owner.account) {
            return Err(malformed(match account {
                None => "it has no rows, not even the root user's".into(),
                Some(other) => format!("it is of account {other}, not of the caller's"),
            }));
        }
        Ok(Dated {
            report,
            generated: fetched.generated,
        })
    }

    /// Says, once, that users are listed one by one because the report can't be used.
    fn say_lists_instead(&mut self, why: &str) {
        if !std::mem::replace(&mut self.lists_instead, true) {
            tracing::warn!("every user is listed, for want of a usable credential report: {why}");
        }
    }

    /// Forgets what was known of another account if the credentials now belong to a new one.
    fn meet(&mut self, owner: ArnOwner) {
        if let Some(before) = &self.owner
            && before.account != owner.account
        {
            tracing::warn!(before = %before.account, now = %owner.account,
                "the credentials belong to another account now");
            self.alias = None;
            self.tags.clear();
            self.memory = Memory::new(self.watch.clone());
        }
        if let Some((account, remembered)) = self.saved.take()
            && account == owner.account
        {
            self.memory.restore(remembered);
        }
        self.owner = Some(owner);
    }

    /// The account's alias; the last one known if it can't be read. Fails if the role can't be
    /// assumed, for then nothing can be read.
    async fn alias(
        &mut self,
        api: &Api,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Result<Option<Arc<str>>, CallError> {
        let known = match self.alias.take() {
            Some((read, alias)) if now - read < ALIAS_LIFETIME => {
                self.alias = Some((read, alias.clone()));
                return Ok(alias);
            }
            Some((_, alias)) => alias,
            None => None,
        };
        match api.alias(deadline).await {
            Ok(alias) => {
                self.alias = Some((now, alias.clone()));
                Ok(alias)
            }
            Err(error) if error.operation == Operation::AssumeRole => {
                self.alias = known.map(|alias| (now - ALIAS_LIFETIME, Some(alias)));
                Err(error)
            }
            Err(error) => {
                tracing::debug!(%error, "the account's alias is unknown");
                // A denial stays for a while; after anything else the next refresh asks again.
                if error.reason == Reason::AccessDenied {
                    self.alias = Some((now, known.clone()));
                } else if known.is_some() {
                    self.alias = Some((now - ALIAS_LIFETIME, known.clone()));
                }
                Ok(known)
            }
        }
    }
}

/// The account as the report alone tells it.
fn from_report(account: Account, dated: &Dated, now: DateTime<Utc>) -> Inventory {
    let users: Vec<User> = dated.report.rows.iter().map(Row::to_user).collect();
    Inventory {
        account,
        user_count: (dated.report.listing == Listing::Complete).then_some(users.len()),
        users,
        root: dated.report.root,
        data_time: now.min(dated.generated),
        listing: dated.report.listing,
        troubles: Vec::new(),
    }
}
