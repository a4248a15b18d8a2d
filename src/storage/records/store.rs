//! From what is known to the records.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::record::{
    Account, Aim, Inventory, Key, KeyName, Known, LastListing, LastUse, Lost, Memory, ReadTags,
    Row, Slot, Status, Tag, Tags, Time, Trouble, Unreported, User,
};
use crate::{
    intern::Word,
    inventory::{self, Listing, Reading},
    key::{self, AccessKey, KeyStatus},
    snapshot::AccountState,
    source::{
        aws::{self, Remembered},
        report::Fingerprint,
    },
    storage::{self, SavedAccount},
};

impl From<DateTime<Utc>> for Time {
    fn from(instant: DateTime<Utc>) -> Self {
        Self {
            seconds: instant.timestamp(),
            nanoseconds: instant.timestamp_subsec_nanos(),
        }
    }
}

impl<'a> From<&'a SavedAccount> for Account<'a> {
    fn from(saved: &'a SavedAccount) -> Self {
        let SavedAccount {
            state,
            read_for,
            memory,
        } = saved;
        let AccountState {
            id,
            inventory,
            reached,
            failures,
            last_success,
            duration,
        } = state;
        Self {
            id: id.as_str(),
            reached: *reached,
            failures: failures.iter().map(|reason| reason.as_str()).collect(),
            last_success: last_success.map(Time::from),
            duration_seconds: duration.as_secs(),
            duration_nanoseconds: duration.subsec_nanos(),
            read_for: read_for.as_deref().map(Aim::from),
            memory: memory
                .as_deref()
                .map(|memory| Memory::of(memory, inventory.as_deref())),
            inventory: inventory.as_deref().map(Inventory::from),
        }
    }
}

impl<'a> From<&'a storage::Aim> for Aim<'a> {
    fn from(aim: &'a storage::Aim) -> Self {
        let storage::Aim {
            max_age,
            smallest_max_age,
            tags,
        } = aim;
        Self {
            max_age: max_age.num_seconds(),
            smallest_max_age: smallest_max_age.num_seconds(),
            tags: tags.iter().map(|tag| &**tag).collect(),
        }
    }
}

impl<'a> From<&'a inventory::Inventory> for Inventory<'a> {
    fn from(inventory: &'a inventory::Inventory) -> Self {
        let inventory::Inventory {
            account,
            users,
            user_count,
            root,
            data_time,
            listing,
            troubles,
        } = inventory;
        let inventory::Account {
            id,
            partition,
            name,
            alias,
        } = account;
        Self {
            account: id.as_str(),
            partition,
            name: name.as_deref(),
            alias: alias.as_deref(),
            users: users.iter().map(User::from).collect(),
            user_count: user_count.map(|count| count as u64),
            root_active: root.active,
            root_present: root.present,
            data_time: (*data_time).into(),
            truncated: match listing {
                Listing::Complete => None,
                Listing::Truncated(reason) => Some(reason.as_str()),
            },
            troubles: troubles.iter().map(Trouble::from).collect(),
        }
    }
}

impl<'a> From<&'a inventory::Trouble> for Trouble<'a> {
    fn from(inventory::Trouble { reason, message }: &'a inventory::Trouble) -> Self {
        Self {
            reason: reason.as_str(),
            message,
        }
    }
}

impl<'a> From<&'a inventory::User> for User<'a> {
    fn from(user: &'a inventory::User) -> Self {
        let inventory::User {
            name,
            path,
            keys,
            reading,
            // What the configuration gives is given anew.
            max_age: _,
            exemption: _,
            tags,
        } = user;
        Self {
            name,
            path,
            keys: keys.iter().map(Key::from).collect(),
            unread: match reading {
                Reading::Complete => None,
                Reading::Unread(reason) => Some(reason.as_str()),
            },
            tags: match tags {
                inventory::Tags::NotAsked => Tags::NotAsked,
                inventory::Tags::Known(read) => Tags::Known(ReadTags::from(&**read)),
                inventory::Tags::Unread(reason) => Tags::Unread(reason.as_str()),
            },
        }
    }
}

impl<'a> From<&'a inventory::ReadTags> for ReadTags<'a> {
    fn from(inventory::ReadTags { time, asked, tags }: &'a inventory::ReadTags) -> Self {
        let keys = |asked: &'a Arc<BTreeSet<Arc<str>>>| asked.iter().map(|key| &**key).collect();
        Self {
            time: (*time).into(),
            asked: asked.as_ref().map(keys),
            tags: tags.iter().map(Tag::from).collect(),
        }
    }
}

impl<'a> From<&'a inventory::Tag> for Tag<'a> {
    fn from(inventory::Tag { key, value }: &'a inventory::Tag) -> Self {
        Self { key, value }
    }
}

impl<'a> From<&'a AccessKey> for Key<'a> {
    fn from(key: &'a AccessKey) -> Self {
        let AccessKey {
            name,
            status,
            created,
            last_use,
        } = key;
        Self {
            name: name.into(),
            status: match status {
                KeyStatus::Active => Status::Active,
                KeyStatus::Inactive => Status::Inactive,
                KeyStatus::Expired => Status::Expired,
                KeyStatus::Other(text) => Status::Other(text.as_str()),
            },
            created: (*created).into(),
            last_use: match last_use {
                key::LastUse::Unknown => LastUse::Unknown,
                key::LastUse::Never => LastUse::Never,
                key::LastUse::At(used) => LastUse::At {
                    time: used.time.into(),
                    service: used.service(),
                    region: used.region(),
                },
            },
        }
    }
}

impl<'a> From<&'a key::KeyName> for KeyName<'a> {
    fn from(name: &'a key::KeyName) -> Self {
        match name {
            key::KeyName::Id(id) => Self::Id(id),
            key::KeyName::Slot(key::Slot::One) => Self::Slot1,
            key::KeyName::Slot(key::Slot::Two) => Self::Slot2,
        }
    }
}

impl<'a> Memory<'a> {
    /// The memory, without the keys that are in the inventory beside it.
    fn of(memory: &'a Remembered, inventory: Option<&'a inventory::Inventory>) -> Self {
        let Remembered {
            users,
            unreported,
            asked,
            asked_since,
        } = memory;
        let inventory = inventory.map(|inventory| &inventory.users[..]);
        let inventory: HashMap<&str, &[AccessKey]> = inventory
            .unwrap_or_default()
            .iter()
            .map(|user| (&*user.name, &user.keys[..]))
            .collect();
        let known = |(name, known): (&'a Arc<str>, &'a aws::Known)| {
            let aws::Known {
                keys,
                last,
                lost,
                row,
                generated,
                agrees,
            } = known;
            let is_shared = inventory.get(&**name) == Some(&&keys[..]);
            Known {
                name,
                keys: (!is_shared).then(|| keys.iter().map(Key::from).collect()),
                listing: match last {
                    aws::LastListing::Read => LastListing::Read,
                    aws::LastListing::Gone => LastListing::Gone,
                    aws::LastListing::Failed(reason) => LastListing::Failed(reason.as_str()),
                },
                lost: lost.iter().copied().map(Time::from).collect(),
                row: row.into(),
                generated: (*generated).into(),
                agrees: *agrees,
            }
        };
        let lost = |(user, created): &'a (Arc<str>, DateTime<Utc>)| Lost {
            user,
            created: (*created).into(),
        };
        let user = |(name, path): (&'a Arc<str>, &'a Word)| Unreported { name, path };
        let mut memory = Self {
            users: users
                .iter()
                .map(|(name, user)| known((name, user)))
                .collect(),
            unreported: unreported.users.iter().map(user).collect(),
            unreported_of: unreported.generated.map(Time::from),
            lost: unreported.lost.iter().map(lost).collect(),
            asked: asked.iter().map(KeyName::from).collect(),
            asked_since: asked_since.map(Time::from),
        };
        memory.users.sort_unstable_by_key(|known| known.name);
        memory.lost.sort_unstable();
        memory.asked.sort_unstable();
        memory
    }
}

impl From<&Fingerprint> for Row {
    fn from(Fingerprint { created, slots }: &Fingerprint) -> Self {
        let slot = |slot: Option<(bool, DateTime<Utc>)>| {
            slot.map(|(active, last_rotated)| Slot {
                active,
                last_rotated: last_rotated.into(),
            })
        };
        Self {
            created: created.map(Time::from),
            slots: slots.map(slot),
        }
    }
}
