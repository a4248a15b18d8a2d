//! What one account holds: its users and their keys, as last read.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    key::{AccessKey, AccountId, KeyName, KeyStatus},
    reason::Reason,
};

/// An account and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its 12 digits.
    pub id: AccountId,
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: Arc<str>,
    /// The name it has in its organisation, where known.
    pub name: Option<Arc<str>>,
    /// Its IAM alias, where there is one and it may be read.
    pub alias: Option<Arc<str>>,
}

/// Whether a user's keys could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All of them were, the last time.
    Complete,
    /// They weren't, the last time; the keys held are the last ones known.
    Unread(Reason),
}

/// A dispensation from the rule. It mutes alerts; it never makes a user compliant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// Why, in words for an auditor.
    pub reason: Arc<str>,
    /// The instant from which it no longer counts; `None` means no end.
    pub until: Option<DateTime<Utc>>,
}

/// A user tag that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The tag's key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Arc<str>,
}

/// An IAM user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The IAM user name, unique in the account.
    pub name: Arc<str>,
    /// The keys, at most one for each name, by creation.
    pub keys: Vec<AccessKey>,
    /// Whether `keys` is the whole truth of the last refresh.
    pub reading: Reading,
    /// The exemption that covers the user, in force or not.
    pub exemption: Option<Exemption>,
    /// The tags asked for.
    pub tags: Vec<Tag>,
}

impl User {
    /// A user whose keys were all read. Keys are put in order of creation, and a name that comes
    /// twice is kept once: no two series of a scrape may be equal.
    pub fn read(name: impl Into<Arc<str>>, keys: Vec<AccessKey>) -> Self {
        Self {
            name: name.into(),
            keys: in_order(keys),
            reading: Reading::Complete,
            exemption: None,
            tags: Vec::new(),
        }
    }

    /// A user who could not be read, or only in part: `keys` are those that could.
    pub fn unread(name: impl Into<Arc<str>>, keys: Vec<AccessKey>, reason: Reason) -> Self {
        Self {
            reading: Reading::Unread(reason),
            ..Self::read(name, keys)
        }
    }

    /// Why the user doesn't count as read, if so: the read failed, or a key has a status this
    /// version can't judge.
    pub fn unread_reason(&self) -> Option<Reason> {
        match self.reading {
            Reading::Unread(reason) => Some(reason),
            Reading::Complete => self
                .keys
                .iter()
                .any(|key| matches!(key.status, KeyStatus::Other(_)))
                .then_some(Reason::MalformedResponse),
        }
    }

    /// Whether every key of the user was read and can be judged.
    pub fn is_read(&self) -> bool {
        self.unread_reason().is_none()
    }

    /// Whether an exemption is in force.
    pub fn is_exempt(&self, now: DateTime<Utc>) -> bool {
        self.exemption
            .as_ref()
            .is_some_and(|exemption| exemption.until.is_none_or(|until| now < until))
    }

    /// The keys now known of a user who wasn't read this time: those of `previous`, overridden by
    /// what could be read. A slot may be one of the keys that are known by id, so slots are dropped
    /// beside ids.
    fn remember(&mut self, previous: &Self) {
        let missing: Vec<_> = previous
            .keys
            .iter()
            .filter(|old| self.keys.iter().all(|key| key.name != old.name))
            .cloned()
            .collect();
        self.keys.extend(missing);
        let has_id = |key: &AccessKey| matches!(key.name, KeyName::Id(_));
        if self.keys.iter().any(has_id) {
            self.keys.retain(has_id);
        }
        self.keys = in_order(std::mem::take(&mut self.keys));
        if self.tags.is_empty() {
            self.tags.clone_from(&previous.tags);
        }
    }
}

/// The keys by creation, each name once.
fn in_order(mut keys: Vec<AccessKey>) -> Vec<AccessKey> {
    keys.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    let mut seen = Vec::with_capacity(keys.len());
    keys.retain(|key| {
        let new = !seen.contains(&key.name);
        if new {
            seen.push(key.name.clone());
        }
        new
    });
    keys.shrink_to_fit();
    keys
}

/// The root user's keys, as far as the source tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RootKeys {
    /// How many are active; only a credential report tells.
    pub active: Option<u32>,
    /// Whether there are any.
    pub present: Option<bool>,
}

/// Whether the list of users is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Every user is there.
    Complete,
    /// It broke off, so users may be missing.
    Truncated(Reason),
}

/// One account, as one refresh found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Whose.
    pub account: Account,
    /// The users who have a key or could not be read, and others where the source tells, each name
    /// once.
    pub users: Vec<User>,
    /// IAM users in the account, root not counted.
    pub user_count: usize,
    /// The root user's keys.
    pub root: RootKeys,
    /// How old the truth is: the oldest of the listing's time, the report's `GeneratedTime` and the
    /// file's modification time.
    pub data_time: DateTime<Utc>,
    /// Whether `users` is whole.
    pub listing: Listing,
}

impl Inventory {
    /// Whether everything was read.
    pub fn is_complete(&self) -> bool {
        self.listing == Listing::Complete && self.users.iter().all(User::is_read)
    }

    /// How many users could not be read.
    pub fn unread_users(&self) -> usize {
        self.users.iter().filter(|user| !user.is_read()).count()
    }

    /// Why the inventory isn't complete: each reason once, in the order of [`Reason::ALL`].
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<_> = self.users.iter().filter_map(User::unread_reason).collect();
        if let Listing::Truncated(reason) = self.listing {
            reasons.push(reason);
        }
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// Fills in what this refresh could not read from what was known before: the keys of the users
    /// that weren't read, and, where the listing broke off, the users that it didn't reach.
    #[must_use]
    pub fn filled_from(mut self, previous: &Self) -> Self {
        let mut known: HashMap<&str, &User> = previous
            .users
            .iter()
            .map(|user| (&*user.name, user))
            .collect();
        for user in &mut self.users {
            if let Some(old) = known.remove(&*user.name)
                && matches!(user.reading, Reading::Unread(_))
            {
                user.remember(old);
            }
        }
        if let Listing::Truncated(reason) = self.listing {
            let mut unreached: Vec<User> = known.into_values().cloned().collect();
            unreached.sort_by(|a, b| a.name.cmp(&b.name));
            for user in &mut unreached {
                user.reading = Reading::Unread(reason);
            }
            self.users.extend(unreached);
            self.user_count = self.user_count.max(previous.user_count);
            self.data_time = self.data_time.min(previous.data_time);
            self.root = RootKeys {
                active: self.root.active.or(previous.root.active),
                present: self.root.present.or(previous.root.present),
            };
        }
        self
    }
}
