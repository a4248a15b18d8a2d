//! The one published state that every surface reads.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    inventory::{Inventory, User},
    key::{AccountId, KeyName},
    policy::Policy,
    reason::Reason,
};

/// How access key ids are shown, the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyIdDisplay {
    /// The whole id.
    #[default]
    Full,
    /// Its last four characters, with a suffix where two keys of a user share them.
    Last4,
    /// `key-1`, `key-2`, … by creation.
    None,
}

impl KeyIdDisplay {
    /// Every way, with its name as a setting.
    pub const ALL: [(&'static str, Self); 3] = [
        ("full", Self::Full),
        ("last4", Self::Last4),
        ("none", Self::None),
    ];

    /// The names of a user's keys, in the order of `user.keys`, no two the same.
    pub fn names(self, user: &User) -> Vec<String> {
        match self {
            Self::Full => user.keys.iter().map(|key| key.name.to_string()).collect(),
            Self::None => (1..=user.keys.len()).map(|n| format!("key-{n}")).collect(),
            Self::Last4 => {
                let mut names: Vec<String> = Vec::with_capacity(user.keys.len());
                for key in &user.keys {
                    let name = unlike_any(last_four(&key.name), &names);
                    names.push(name);
                }
                names
            }
        }
    }
}

/// The last four characters of an id; a slot has nothing to hide.
fn last_four(name: &KeyName) -> &str {
    match name {
        KeyName::Slot(_) => name.as_str(),
        KeyName::Id(id) => id
            .char_indices()
            .rev()
            .nth(3)
            .map_or(id, |(start, _)| &id[start..]),
    }
}

/// `name`, or `name-2`, `name-3`, … if it is taken.
fn unlike_any(name: &str, taken: &[String]) -> String {
    let mut candidate = name.to_owned();
    let mut n = 2;
    while taken.contains(&candidate) {
        candidate = format!("{name}-{n}");
        n += 1;
    }
    candidate
}

/// What is known of one account, from its last good read and its last attempt.
#[derive(Debug, Clone)]
pub struct AccountState {
    /// Whose.
    pub id: AccountId,
    /// The last data read, whole or in part; `None` if there never was any.
    pub inventory: Option<Arc<Inventory>>,
    /// Why the last refresh didn't read everything; empty if it did.
    pub failures: Vec<Reason>,
    /// When a refresh last read everything.
    pub last_success: Option<DateTime<Utc>>,
    /// How long the last refresh took.
    pub duration: Duration,
}

impl AccountState {
    /// Whether the last refresh read the account completely.
    pub fn is_up(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Everything the surfaces need, immutable. Ages and verdicts are computed from it with the `now`
/// of the reader.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The accounts tried so far, by id, each once.
    pub accounts: Vec<AccountState>,
    /// Why an account whose id isn't known yet could not be read, if so.
    pub unidentified: Option<Reason>,
    /// Whether every account was tried at least once.
    pub tried: bool,
    /// The thresholds in force.
    pub policy: Arc<Policy>,
    /// How key ids are shown.
    pub key_ids: KeyIdDisplay,
    /// The time between two refreshes.
    pub refresh_interval: Duration,
}

impl Snapshot {
    /// The state before the first refresh.
    pub fn before_first_refresh(
        policy: Arc<Policy>,
        key_ids: KeyIdDisplay,
        refresh_interval: Duration,
    ) -> Self {
        Self {
            accounts: Vec::new(),
            unidentified: None,
            tried: false,
            policy,
            key_ids,
            refresh_interval,
        }
    }

    /// Whether there is something true to serve: every account was tried once and at least one has
    /// been read.
    pub fn is_ready(&self) -> bool {
        self.tried
            && self
                .accounts
                .iter()
                .any(|account| account.inventory.is_some())
    }
}
