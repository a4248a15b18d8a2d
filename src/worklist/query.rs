//! What is asked for: which rows, in which order, and which of them.

use chrono::{DateTime, Utc};

use super::cursor::Cursor;
use crate::{
    inventory::User,
    key::{AccessKey, AccountId, KeyStatus},
    policy::Verdict,
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Which rows.
    pub filter: Filter,
    /// What they are ordered by.
    pub sort: Sort,
    /// In which direction.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
    /// From where on.
    pub start: Start,
}

impl Query {
    /// The direction of the values that the rows are ordered by.
    pub(super) fn direction(&self) -> Order {
        // The older a key, the earlier it was created.
        if self.sort == Sort::Age {
            self.order.reversed()
        } else {
            self.order
        }
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// After so many rows.
    Offset(usize),
    /// After the row that a cursor tells of, be it there still or not.
    After(Cursor),
}

/// Which rows are wanted; those that pass all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this account.
    pub account: Option<AccountId>,
    /// Of users whose name holds this, in whatever case.
    pub user: Option<String>,
    /// Of keys in this status.
    pub status: Option<StatusFilter>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
    /// Of users whose next step this is.
    pub step: Option<&'static str>,
    /// Of users who are exempt, or who aren't.
    pub exempt: Option<bool>,
}

impl Filter {
    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn has_account(&self, id: AccountId) -> bool {
        self.account.is_none_or(|account| account == id)
    }

    pub(super) fn has_user(&self, user: &User, now: DateTime<Utc>) -> bool {
        self.user
            .as_ref()
            .is_none_or(|part| user.name.to_lowercase().contains(&part.to_lowercase()))
            && self
                .exempt
                .is_none_or(|exempt| user.is_exempt(now) == exempt)
    }

    pub(super) fn has_step(&self, step: &str) -> bool {
        self.step.is_none_or(|wanted| wanted == step)
    }

    pub(super) fn has_key(&self, key: Option<&AccessKey>, verdict: Verdict) -> bool {
        self.verdict.is_none_or(|wanted| wanted == verdict)
            && self
                .status
                .is_none_or(|status| key.is_some_and(|key| status.has(&key.status)))
    }
}

/// The status of a key, as far as it can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// Active.
    Active,
    /// Inactive.
    Inactive,
    /// Expired.
    Expired,
    /// One that this version knows nothing of.
    Other,
}

impl StatusFilter {
    /// Every status, with its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("active", Self::Active),
        ("inactive", Self::Inactive),
        ("expired", Self::Expired),
        ("other", Self::Other),
    ];

    fn has(self, status: &KeyStatus) -> bool {
        let of = match status {
            KeyStatus::Active => Self::Active,
            KeyStatus::Inactive => Self::Inactive,
            KeyStatus::Expired => Self::Expired,
            KeyStatus::Other(_) => Self::Other,
        };
        of == self
    }
}

/// Every verdict, with its name, the worst first.
pub const VERDICTS: [(&str, Verdict); 4] = [
    ("alarm", Verdict::Alarm),
    ("error", Verdict::Error),
    ("ok", Verdict::Ok),
    ("skip", Verdict::Skip),
];

/// The name of a verdict.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    name_of(&VERDICTS, verdict)
}

/// The name of a value in a table that holds all of them.
pub(crate) fn name_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table
        .iter()
        .find(|(_, each)| *each == value)
        .map_or("", |(name, _)| name)
}

/// What rows are ordered by. What has no such value comes last, in either direction; equals stand by
/// account, user and creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// By verdict, the worst first, and within each by the time left: what to look at first.
    #[default]
    Urgency,
    /// The account's id.
    Account,
    /// The user's name.
    User,
    /// The name that the key is shown by.
    Key,
    /// The key's status, in the order of the alphabet.
    Status,
    /// The key's age.
    Age,
    /// The time left until the key turns overdue; less than none if it is.
    Left,
    /// The key's last use; one never used was never before any other, one whose use is unknown last.
    LastUsed,
    /// The user's next step, in the order in which they follow each other; none comes last.
    Step,
}

impl Sort {
    /// Every order, with its name.
    pub const ALL: [(&'static str, Self); 9] = [
        ("urgency", Self::Urgency),
        ("account", Self::Account),
        ("user", Self::User),
        ("key", Self::Key),
        ("status", Self::Status),
        ("age", Self::Age),
        ("left", Self::Left),
        ("last_used", Self::LastUsed),
        ("step", Self::Step),
    ];

    /// The order's name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }

    /// The direction that a reader is likely to want first.
    pub fn natural(self) -> Order {
        match self {
            Self::Age => Order::Descending,
            _ => Order::Ascending,
        }
    }
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl Order {
    /// Both, with their names.
    pub const ALL: [(&'static str, Self); 2] =
        [("asc", Self::Ascending), ("desc", Self::Descending)];

    /// The direction's name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }

    /// The other one.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}
