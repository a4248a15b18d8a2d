//! The records. Texts are borrowed, from what is saved or from the file.

use serde::{Deserialize, Serialize};

/// What stands before the accounts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Preamble {
    pub(super) written: Time,
    pub(super) accounts: u64,
}

/// An instant: seconds since 1970, and nanoseconds below a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

/// A reason, by the name that it is counted by: new ones come without another format.
pub(super) type Reason<'a> = &'a str;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account<'a> {
    pub(super) id: &'a str,
    pub(super) reached: bool,
    #[serde(borrow)]
    pub(super) failures: Vec<Reason<'a>>,
    pub(super) last_success: Option<Time>,
    pub(super) duration_seconds: u64,
    pub(super) duration_nanoseconds: u32,
    pub(super) read_for: Option<Aim<'a>>,
    pub(super) inventory: Option<Inventory<'a>>,
    pub(super) memory: Option<Memory<'a>>,
}

/// What of the configuration an account was read for: ages in whole seconds, and the keys of tags.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Aim<'a> {
    pub(super) max_age: i64,
    pub(super) smallest_max_age: i64,
    #[serde(borrow)]
    pub(super) tags: Vec<&'a str>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inventory<'a> {
    pub(super) account: &'a str,
    pub(super) partition: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) alias: Option<&'a str>,
    #[serde(borrow)]
    pub(super) users: Vec<User<'a>>,
    pub(super) user_count: Option<u64>,
    pub(super) root_active: Option<u32>,
    pub(super) root_present: Option<bool>,
    pub(super) data_time: Time,
    /// Why the listing broke off, if it did.
    pub(super) truncated: Option<Reason<'a>>,
    pub(super) troubles: Vec<Trouble<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trouble<'a> {
    pub(super) reason: Reason<'a>,
    pub(super) message: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct User<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    #[serde(borrow)]
    pub(super) keys: Vec<Key<'a>>,
    /// Why the keys couldn't be read, if so.
    pub(super) unread: Option<Reason<'a>>,
    pub(super) tags: Tags<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Tags<'a> {
    NotAsked,
    #[serde(borrow)]
    Known(ReadTags<'a>),
    Unread(Reason<'a>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReadTags<'a> {
    pub(super) time: Time,
    /// `None` if these are all tags of the user.
    #[serde(borrow)]
    pub(super) asked: Option<Vec<&'a str>>,
    pub(super) tags: Vec<Tag<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tag<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Key<'a> {
    #[serde(borrow)]
    pub(super) name: KeyName<'a>,
    pub(super) status: Status<'a>,
    pub(super) created: Time,
    pub(super) last_use: LastUse<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum KeyName<'a> {
    Id(&'a str),
    Slot1,
    Slot2,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Status<'a> {
    Active,
    Inactive,
    Expired,
    Other(&'a str),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LastUse<'a> {
    Unknown,
    Never,
    At {
        time: Time,
        service: &'a str,
        region: &'a str,
    },
}

/// What `auto` remembers. Everything is in order, so that equal memories give equal bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory<'a> {
    #[serde(borrow)]
    pub(super) users: Vec<Known<'a>>,
    pub(super) unreported: Vec<Unreported<'a>>,
    pub(super) unreported_of: Option<Time>,
    pub(super) lost: Vec<Lost<'a>>,
    pub(super) asked: Vec<KeyName<'a>>,
    pub(super) asked_since: Option<Time>,
}

/// A user who is not in the report.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unreported<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    /// `None` if they are those of the user of this name in the inventory, as they mostly are.
    #[serde(borrow)]
    pub(super) keys: Option<Vec<Key<'a>>>,
    pub(super) listing: LastListing<'a>,
    pub(super) lost: Vec<Time>,
    pub(super) row: Row,
    pub(super) generated: Time,
    pub(super) agrees: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LastListing<'a> {
    Read,
    Gone,
    #[serde(borrow)]
    Failed(Reason<'a>),
}

/// A row of a credential report, as far as it tells whether something changed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) created: Option<Time>,
    pub(super) slots: [Option<Slot>; 2],
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) active: bool,
    pub(super) last_rotated: Time,
}

/// A key that is gone from a user, by its creation.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Lost<'a> {
    pub(super) user: &'a str,
    pub(super) created: Time,
}
