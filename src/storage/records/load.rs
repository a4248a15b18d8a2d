//! From the records to what is known.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::record::{
    Account, Aim, Inventory, Key, KeyName, Known, LastListing, LastUse, Memory, ReadTags, Row,
    Slot, Status, Tag, Tags, Time, Trouble, User,
};
use crate::{
    intern::Interner,
    inventory::{self, Listing, RootKeys},
    key::{self, AccessKey, AccountId, KeyStatus, UsedAt},
    reason::Reason,
    snapshot::AccountState,
    source::{
        aws::{self, Remembered, Unreported},
        report::Fingerprint,
    },
    storage::{self, SavedAccount, envelope::Flaw},
};

/// Reads records that may hold anything.
pub(super) struct Loader {
    now: DateTime<Utc>,
    /// Equal texts of all accounts become one.
    texts: Interner,
    /// The keys of tags asked for last: mostly the same of every user.
    asked: Arc<BTreeSet<Arc<str>>>,
}

impl Loader {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            texts: Interner::default(),
            asked: Arc::default(),
        }
    }

    /// An instant that can't be in the future.
    pub(super) fn past(&self, time: Time) -> Result<DateTime<Utc>, Flaw> {
        Ok(instant(time)?.min(self.now))
    }

    pub(super) fn account(&mut self, account: Account<'_>) -> Result<SavedAccount, Flaw> {
        let id = account_id(account.id)?;
        let inventory = match account.inventory {
            Some(inventory) => Some(self.inventory(id, inventory)?),
            None => None,
        };
        let memory = match account.memory {
            Some(memory) => self.memory(memory, inventory.as_ref())?.map(Arc::new),
            None => None,
        };
        if account.duration_nanoseconds >= 1_000_000_000 {
            return Err(senseless(
                id,
                "a duration with more than a second of nanoseconds",
            ));
        }
        // A time that has not come yet tells that a clock was wrong, and not when this was read.
        let last_success = account.last_success.map(instant).transpose()?;
        let last_success = last_success.filter(|time| *time <= self.now);
        let state = AccountState {
            id,
            reached: account.reached,
            failures: account.failures.into_iter().map(reason).collect(),
            last_success,
            duration: Duration::new(account.duration_seconds, account.duration_nanoseconds),
            inventory: inventory.map(Arc::new),
        };
        let read_for = account.read_for.map(|aim| self.aim(id, aim).map(Arc::new));
        Ok(SavedAccount {
            state,
            read_for: read_for.transpose()?,
            memory,
        })
    }

    fn aim(&mut self, id: AccountId, aim: Aim<'_>) -> Result<storage::Aim, Flaw> {
        let age = |seconds| {
            TimeDelta::try_seconds(seconds)
                .ok_or_else(|| senseless(id, "a maximum age beyond all time"))
        };
        let tags = aim.tags.into_iter().map(|tag| self.texts.get(tag));
        Ok(storage::Aim {
            tags: Arc::new(tags.collect()),
            max_age: age(aim.max_age)?,
            smallest_max_age: age(aim.smallest_max_age)?,
        })
    }

    fn inventory(
        &mut self,
        id: AccountId,
        inventory: Inventory<'_>,
    ) -> Result<inventory::Inventory, Flaw> {
        if account_id(inventory.account)? != id {
            return Err(senseless(id, "the inventory of another account"));
        }
        let account = inventory::Account {
            id,
            partition: self.texts.get(inventory.partition),
            name: inventory.name.map(|name| self.texts.get(name)),
            alias: inventory.alias.map(|alias| self.texts.get(alias)),
        };
        let mut names = HashSet::new();
        let mut users = Vec::with_capacity(inventory.users.len());
        for user in inventory.users {
            if !names.insert(user.name) {
                return Err(senseless(id, "a user twice"));
            }
            users.push(self.user(user)?);
        }
        let user_count = inventory.user_count.map(usize::try_from).transpose();
        Ok(inventory::Inventory {
            account,
            users,
            user_count: user_count.map_err(|_| senseless(id, "more users than can be counted"))?,
            root: RootKeys {
                active: inventory.root_active,
                present: inventory.root_present,
            },
            data_time: self.past(inventory.data_time)?,
            listing: inventory
                .truncated
                .map_or(Listing::Complete, |text| Listing::Truncated(reason(text))),
            troubles: inventory.troubles.iter().map(trouble).collect(),
        })
    }

    fn user(&mut self, user: User<'_>) -> Result<inventory::User, Flaw> {
        let name = self.texts.get(user.name);
        let keys = keys(&user.keys)?;
        let read = match user.unread {
            None => inventory::User::read(name, keys),
            Some(text) => inventory::User::unread(name, keys, reason(text)),
        };
        Ok(inventory::User {
            path: user.path.into(),
            tags: match user.tags {
                Tags::NotAsked => inventory::Tags::NotAsked,
                Tags::Known(read) => inventory::Tags::Known(Arc::new(self.read_tags(read)?)),
                Tags::Unread(text) => inventory::Tags::Unread(reason(text)),
            },
            ..read
        })
    }

    fn read_tags(
        &mut self,
        ReadTags { time, asked, tags }: ReadTags<'_>,
    ) -> Result<inventory::ReadTags, Flaw> {
        Ok(inventory::ReadTags {
            time: self.past(time)?,
            asked: asked.map(|keys| self.asked(&keys)),
            tags: tags.into_iter().map(|tag| self.tag(tag)).collect(),
        })
    }

    fn asked(&mut self, keys: &[&str]) -> Arc<BTreeSet<Arc<str>>> {
        if !keys.iter().copied().eq(self.asked.iter().map(|key| &**key)) {
            self.asked = Arc::new(keys.iter().map(|key| self.texts.get(key)).collect());
        }
        Arc::clone(&self.asked)
    }

    fn tag(&mut self, Tag { key, value }: Tag<'_>) -> inventory::Tag {
        inventory::Tag {
            key: self.texts.get(key),
            value: self.texts.get(value),
        }
    }

    /// What is remembered, unless it is of a report that doesn't exist yet: then no later report would
    /// be believed, and everybody is better listed again.
    fn memory(
        &mut self,
        memory: Memory<'_>,
        inventory: Option<&inventory::Inventory>,
    ) -> Result<Option<Remembered>, Flaw> {
        let inventory = inventory.map(|inventory| &inventory.users[..]);
        let inventory: HashMap<&str, &inventory::User> = inventory
            .unwrap_or_default()
            .iter()
            .map(|user| (&*user.name, user))
            .collect();
        let mut users = HashMap::with_capacity(memory.users.len());
        for known in memory.users {
            let name = self.texts.get(known.name);
            let known = known_user(known, inventory.get(&*name).copied())?;
            if users.insert(name, Box::new(known)).is_some() {
                return Err(Flaw::Records("a user is remembered twice".into()));
            }
        }
        let mut lost = HashSet::with_capacity(memory.lost.len());
        for key in memory.lost {
            lost.insert((self.texts.get(key.user), instant(key.created)?));
        }
        let unreported = memory
            .unreported
            .into_iter()
            .map(|user| (self.texts.get(user.name), user.path.into()))
            .collect();
        let remembered = Remembered {
            users,
            unreported: Unreported {
                generated: memory.unreported_of.map(instant).transpose()?,
                lost,
                users: unreported,
            },
            asked: memory.asked.into_iter().map(key_name).collect(),
            asked_since: memory.asked_since.map(instant).transpose()?,
        };
        let reports = remembered.users.values().map(|known| known.generated);
        let newest = reports.chain(remembered.asked_since).max();
        Ok((newest <= Some(self.now)).then_some(remembered))
    }
}

fn known_user(known: Known<'_>, user: Option<&inventory::User>) -> Result<aws::Known, Flaw> {
    Ok(aws::Known {
        keys: match (known.keys, user) {
            (Some(known), _) => keys(&known)?.into(),
            (None, Some(user)) => user.keys.clone(),
            (None, None) => {
                return Err(Flaw::Records("the keys of a user who is not there".into()));
            }
        },
        last: match known.listing {
            LastListing::Read => aws::LastListing::Read,
            LastListing::Gone => aws::LastListing::Gone,
            LastListing::Failed(text) => aws::LastListing::Failed(reason(text)),
        },
        lost: known
            .lost
            .into_iter()
            .map(instant)
            .collect::<Result<_, _>>()?,
        row: fingerprint(known.row)?,
        generated: instant(known.generated)?,
        agrees: known.agrees,
    })
}

fn senseless(account: AccountId, what: &str) -> Flaw {
    Flaw::Records(format!("account {account} has {what}"))
}

fn account_id(text: &str) -> Result<AccountId, Flaw> {
    text.parse()
        .map_err(|error: key::BadAccountId| Flaw::Records(error.to_string()))
}

/// An instant that the calendar has.
fn instant(
    Time {
        seconds,
        nanoseconds,
    }: Time,
) -> Result<DateTime<Utc>, Flaw> {
    DateTime::from_timestamp(seconds, nanoseconds)
        .ok_or_else(|| Flaw::Records(format!("{seconds} s and {nanoseconds} ns is no time")))
}

/// The reason of that name; another release may have more of them.
fn reason(name: &str) -> Reason {
    let named = |reason: &Reason| reason.as_str() == name;
    Reason::ALL.into_iter().find(named).unwrap_or(Reason::Other)
}

fn trouble(trouble: &Trouble<'_>) -> inventory::Trouble {
    inventory::Trouble {
        reason: reason(trouble.reason),
        message: trouble.message.to_owned(),
    }
}

fn keys(keys: &[Key<'_>]) -> Result<Vec<AccessKey>, Flaw> {
    keys.iter().map(key).collect()
}

fn key(key: &Key<'_>) -> Result<AccessKey, Flaw> {
    Ok(AccessKey {
        name: key_name(key.name),
        status: match key.status {
            Status::Active => KeyStatus::Active,
            Status::Inactive => KeyStatus::Inactive,
            Status::Expired => KeyStatus::Expired,
            Status::Other(text) => KeyStatus::from(text),
        },
        created: instant(key.created)?,
        last_use: match key.last_use {
            LastUse::Unknown => key::LastUse::Unknown,
            LastUse::Never => key::LastUse::Never,
            LastUse::At {
                time,
                service,
                region,
            } => key::LastUse::At(UsedAt::new(instant(time)?, service, region)),
        },
    })
}

fn key_name(name: KeyName<'_>) -> key::KeyName {
    match name {
        KeyName::Id(id) => key::KeyName::Id(id.into()),
        KeyName::Slot1 => key::KeyName::Slot(key::Slot::One),
        KeyName::Slot2 => key::KeyName::Slot(key::Slot::Two),
    }
}

fn fingerprint(
    Row {
        created,
        slots: [one, two],
    }: Row,
) -> Result<Fingerprint, Flaw> {
    let slot = |slot: Option<Slot>| {
        slot.map(|slot| Ok((slot.active, instant(slot.last_rotated)?)))
            .transpose()
    };
    Ok(Fingerprint {
        created: created.map(instant).transpose()?,
        slots: [slot(one)?, slot(two)?],
    })
}
