//! AWS itself: IAM and STS through the SDK, with read permissions only.

mod alias;
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
mod reading;
mod role;
mod setup;
mod tags;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

pub(crate) use self::auto::{Known, LastListing, Unreported};
use self::{
    alias::Alias,
    auto::{Memory, Watch},
    connector::Line,
    tags::TagBook,
};
pub use self::{
    args::{Args, Strategy},
    auto::Remembered,
    credential_report::Patience,
    fleet::Fleet,
    pace::Pace,
    setup::{Limits, Origin, Settings},
};
use super::{Outcome, Progress, Remark, SourceError};
use crate::{
    inventory::{Reading, User},
    key::{AccountId, ArnOwner},
    policy::Policy,
    reason::Reason,
};

/// One account of AWS, read again and again.
#[derive(Debug)]
pub struct Aws {
    line: Line,
    strategy: Strategy,
    /// Whose keys are read: that of the role, or whose credentials they were the last time.
    owner: Option<ArnOwner>,
    alias: Alias,
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
    /// What is to be said with the next outcome.
    remarks: Vec<Remark>,
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
            remarks: Vec::new(),
            progress: Progress::default(),
            owner: line.role().map(|role| ArnOwner {
                account: role.arn.account(),
                partition: Arc::clone(role.arn.partition()),
            }),
            line,
            strategy,
            alias: Alias::default(),
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
            let remark = Box::pin(self.tags.fill(inventory, &api, now, deadline)).await;
            self.remarks.extend(remark);
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
            remarks: std::mem::take(&mut self.remarks),
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

    /// Forgets what was known of another account if the credentials now belong to a new one.
    fn meet(&mut self, owner: ArnOwner) {
        if let Some(before) = &self.owner
            && before.account != owner.account
        {
            self.remarks.push(Remark::OtherAccount {
                before: before.account,
            });
            self.alias = Alias::default();
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
}
