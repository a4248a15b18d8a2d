//! What reads one member of a source, again and again.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    Outcome,
    aws::{self, Remembered},
    demo::Demo,
    report::ReportFile,
};
use crate::{inventory::User, key::AccountId, policy::Policy};

/// Reads one member of a source. Owns what it remembers from one time to the next.
#[derive(Debug)]
pub enum Reader {
    /// One account of AWS.
    Aws(Box<aws::Aws>),
    /// A credential report.
    Report(ReportFile),
    /// A made-up organisation.
    Demo(Demo),
}

impl Reader {
    /// Whose keys it reads, once that is known; `None` where it may be several accounts.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Aws(aws) => aws.account(),
            Self::Report(_) | Self::Demo(_) => None,
        }
    }

    /// What it remembers of which account, to be saved; cheap, for it is shared.
    pub fn remembered(&self) -> Option<(AccountId, Arc<Remembered>)> {
        match self {
            Self::Aws(aws) => aws.remembered(),
            Self::Report(_) | Self::Demo(_) => None,
        }
    }

    /// Takes in what was saved of an account before a restart. It counts only if that is the account
    /// which is read.
    pub fn restore(&mut self, account: AccountId, remembered: Arc<Remembered>) {
        match self {
            Self::Aws(aws) => aws.restore(account, remembered),
            Self::Report(_) | Self::Demo(_) => {}
        }
    }

    /// Takes over a name that changed.
    pub fn rename(&mut self, name: Option<Arc<str>>) {
        match self {
            Self::Aws(aws) => aws.rename(name),
            Self::Report(_) | Self::Demo(_) => {}
        }
    }

    /// Goes by this policy from now on, and reads these tags of users who hold an old key. What it
    /// remembers stays.
    pub fn reconfigure(&mut self, policy: &Policy, wanted_tags: &Arc<BTreeSet<Arc<str>>>) {
        match self {
            Self::Aws(aws) => aws.reconfigure(policy, Arc::clone(wanted_tags)),
            Self::Report(_) | Self::Demo(_) => {}
        }
    }

    /// Reads the member once, as of `now`; what isn't read by `deadline` counts as unread.
    pub async fn collect(&mut self, now: DateTime<Utc>, deadline: Instant) -> Vec<Outcome> {
        match self {
            Self::Aws(aws) => vec![aws.collect(now, deadline).await],
            Self::Report(file) => file.collect(now, deadline).await,
            Self::Demo(demo) => demo.collect(now),
        }
    }

    /// Reads these users, who were collected before, once more, every key and every key's last use
    /// live, for what a plan would take away: what was collected may rest on a credential report of
    /// some hours ago. A user who is gone by now is `None`; one who could not be read is
    /// [`crate::inventory::Reading::Unread`].
    ///
    /// `None` in place of it all where there is nothing live to read: a report is what it is.
    pub async fn read_again(
        &mut self,
        account: AccountId,
        users: Vec<Arc<str>>,
        deadline: Instant,
    ) -> Option<Vec<(Arc<str>, Option<User>)>> {
        match self {
            Self::Aws(aws) => Some(aws.read_again(account, users, deadline).await),
            Self::Report(_) | Self::Demo(_) => None,
        }
    }
}
