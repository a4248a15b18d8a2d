//! What a row of the control holds, and the order of rows.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    key::{AccountId, KeyStatus},
    policy::Verdict,
};

/// What the control says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In order.
    Ok,
    /// Doesn't apply.
    Skip,
    /// For information. This control has no such rows; readers of its results know the status.
    Info,
    /// Against the rule.
    Alarm,
    /// Can't be told.
    Error,
}

impl Status {
    /// Every status, with its name, in the order of a summary.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ok", Self::Ok),
        ("skip", Self::Skip),
        ("info", Self::Info),
        ("alarm", Self::Alarm),
        ("error", Self::Error),
    ];

    /// The status as it stands in results.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::Alarm => Self::Alarm,
            Verdict::Skip => Self::Skip,
            Verdict::Error => Self::Error,
        }
    }
}

/// One result of the control.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The ARN of the key, the user or the account; the account's id where its partition isn't
    /// known.
    pub resource: String,
    /// What the control says of it.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// Further facts, the same keys in each row.
    pub dimensions: Vec<(&'static str, String)>,
    /// Whose row it is, for formats that tell more than the control does.
    pub subject: Subject,
}

impl Row {
    /// The account's id; empty if it isn't known.
    pub fn account(&self) -> &str {
        self.subject.account.as_ref().map_or("", AccountId::as_str)
    }
}

/// What a row is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// The account; `None` if its id isn't known.
    pub account: Option<AccountId>,
    /// The name it has in its organisation, where known.
    pub account_name: Option<Arc<str>>,
    /// The account's partition; `None` if it was never read.
    pub partition: Option<Arc<str>>,
    /// The user; `None` for a row about an account.
    pub user: Option<Arc<str>>,
    /// The key; `None` for a row about a user or an account.
    pub key: Option<Key>,
}

/// The key that a row is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The name under which it is shown.
    pub name: String,
    /// Whether `name` is the whole access key id.
    pub is_id: bool,
    /// Its status when it was read.
    pub status: KeyStatus,
    /// Its `CreateDate`.
    pub created: DateTime<Utc>,
    /// The instant at which it turns overdue, if it is active.
    pub due: Option<DateTime<Utc>>,
}

/// The order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// By account, then by user.
    Account,
    /// By user, then by account.
    User,
    /// The oldest key first; what has no age comes last.
    Age,
}

impl Sort {
    /// Every order, with its name as a setting.
    pub const ALL: [(&'static str, Self); 3] = [
        ("age", Self::Age),
        ("user", Self::User),
        ("account", Self::Account),
    ];

    /// Puts rows in order.
    pub fn sort(self, rows: &mut [Row]) {
        let created = |row: &Row| row.subject.key.as_ref().map(|key| key.created);
        rows.sort_by(|a, b| {
            let by_account = || a.subject.account.cmp(&b.subject.account);
            let by_user = || a.subject.user.cmp(&b.subject.user);
            match self {
                Self::Account => by_account().then_with(by_user),
                Self::User => by_user().then_with(by_account),
                Self::Age => {
                    let (a, b) = (created(a), created(b));
                    (a.is_none(), a)
                        .cmp(&(b.is_none(), b))
                        .then_with(by_account)
                        .then_with(by_user)
                }
            }
        });
    }
}
