//! What the listings so far have told, and who has to be listed again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::unreported::Unreported;
use crate::{
    inventory::{Reading, User},
    key::{AccessKey, KeyName, LastUse},
    policy::{Policy, Thresholds},
    reason::Reason,
    source::report::{Fingerprint, Row, SlotRow},
};

/// Which keys are watched more closely than the report does.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// Says which keys are due: under the smallest max age, for whose they are isn't known here.
    thresholds: Thresholds,
    /// From this age on a key's user is read at every refresh.
    age: TimeDelta,
}

impl Watch {
    /// Watches from the smallest max age that can apply, less a margin so that no key turns overdue
    /// between two refreshes without having been read.
    pub(crate) fn new(policy: &Policy, refresh_interval: TimeDelta) -> Self {
        let margin = TimeDelta::days(1).max(refresh_interval * 2);
        let thresholds = policy.strictest();
        let age = thresholds.max_age - margin;
        Self { thresholds, age }
    }

    fn is_old(&self, created: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now - created > self.age
    }
}

/// What the listings so far have told, by user.
#[derive(Debug)]
pub(crate) struct Memory {
    watch: Watch,
    users: HashMap<Arc<str>, Known>,
    /// The users that the report doesn't tell of.
    pub(crate) unreported: Unreported,
    /// Whether it was said that the report's dates aren't the keys' creation dates.
    dates_differ_said: bool,
}

/// What a user's listings told.
#[derive(Debug)]
struct Known {
    /// The keys of the last listing that succeeded, their last use as far as known.
    keys: Vec<AccessKey>,
    /// What became of the last listing.
    last: LastListing,
    /// When the keys were made that were under this name, as a listing or the report has it, and
    /// aren't any more.
    lost: BTreeSet<DateTime<Utc>>,
    /// The user's row at the last listing that succeeded.
    row: Fingerprint,
    /// When the report of that row was made.
    generated: DateTime<Utc>,
    /// Whether row and listing told the same. If not, a newer report is reason to list again.
    agrees: bool,
    /// The keys whose last use was asked for since the report of `asked_since`. Once for each
    /// report is enough: AWS updates its record of last uses no more often.
    asked: HashSet<KeyName>,
    asked_since: DateTime<Utc>,
}

/// What became of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastListing {
    Read,
    /// The user was gone: a deleted user stays in reports for hours.
    Gone,
    Failed(Reason),
}

impl Memory {
    /// Nothing is known yet.
    pub(crate) fn new(watch: Watch) -> Self {
        Self {
            watch,
            users: HashMap::new(),
            unreported: Unreported::default(),
            dates_differ_said: false,
        }
    }

    /// Forgets the users who are in the report no more.
    pub(crate) fn keep_only(&mut self, rows: &[Row]) {
        let present: HashSet<&str> = rows.iter().map(|row| &*row.user).collect();
        self.users.retain(|user, _| present.contains(&**user));
    }

    /// The users who have to be read live, with the index of their row.
    pub(crate) fn stale(
        &self,
        rows: &[Row],
        generated: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Vec<(usize, Arc<str>)> {
        let is_stale = |row: &Row| match self.users.get(&row.user) {
            None => !row.is_read || row.keys().next().is_some(),
            Some(known) => {
                matches!(known.last, LastListing::Failed(_))
                    || known.row != row.fingerprint()
                    || (!known.agrees && generated > known.generated)
                    || known
                        .keys
                        .iter()
                        .any(|key| self.watch.is_old(key.created, now))
                    || row
                        .keys()
                        .any(|slot| self.watch.is_old(slot.last_rotated, now))
            }
        };
        rows.iter()
            .enumerate()
            .filter(|(_, row)| is_stale(row))
            .map(|(index, row)| (index, Arc::clone(&row.user)))
            .collect()
    }

    /// Takes in a listing made beside the report of `generated`; `None` is a user who is gone.
    pub(crate) fn learn(&mut self, row: &Row, listing: Option<User>, generated: DateTime<Utc>) {
        let known = self
            .users
            .entry(Arc::clone(&row.user))
            .or_insert_with(|| Known::nothing(row, generated));
        let (keys, last) = match listing {
            Some(User {
                reading: Reading::Unread(reason),
                ..
            }) => {
                known.last = LastListing::Failed(reason);
                return;
            }
            Some(user) => (user.keys, LastListing::Read),
            None => (Vec::new(), LastListing::Gone),
        };
        if generated > known.generated {
            known.lost.clear();
        }
        let shown = row.keys().map(|slot| slot.last_rotated);
        known.lost.extend(shown);
        known.take_keys(keys);
        known.last = last;
        known.row = row.fingerprint();
        known.generated = generated;
        known.agrees = agrees(row, &known.keys);
        if !self.dates_differ_said && dates_differ(row, &known.keys, generated) {
            self.dates_differ_said = true;
            tracing::warn!(
                "the credential report's access_key_last_rotated is not CreateDate in this account; \
                 only ListAccessKeys is believed"
            );
        }
    }

    /// The old keys that are gone, by the user who held them: deleted, or still held by a user who
    /// was renamed.
    pub(crate) fn lost(&self, now: DateTime<Utc>) -> HashSet<(Arc<str>, DateTime<Utc>)> {
        let of_user = |(user, known): (&Arc<str>, &Known)| {
            let old = known
                .lost
                .iter()
                .filter(|key| self.watch.is_old(**key, now));
            old.map(|key| (Arc::clone(user), *key)).collect::<Vec<_>>()
        };
        self.users.iter().flat_map(of_user).collect()
    }

    /// The keys whose last use has to be asked for: the report can't tell it of those that match no
    /// slot, and tells it too late to act on of those that are due. What it can tell is taken over.
    pub(crate) fn ask(
        &mut self,
        rows: &[Row],
        generated: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Vec<(Arc<str>, KeyName)> {
        let mut asks = Vec::new();
        for row in rows {
            let Some(known) = self.users.get_mut(&row.user) else {
                continue;
            };
            if generated > known.asked_since {
                known.asked.clear();
                known.asked_since = generated;
            }
            for index in 0..known.keys.len() {
                let slot = matching_slot(row, &known.keys, index);
                let key = &mut known.keys[index];
                if let Some(slot) = slot {
                    take_later(&mut key.last_use, slot.last_use.clone());
                }
                let needed = slot.is_none() || self.watch.thresholds.is_due(key, now);
                if needed && known.asked.insert(key.name.clone()) {
                    asks.push((Arc::clone(&row.user), key.name.clone()));
                }
            }
        }
        asks
    }

    /// Takes in the answer to such a question.
    pub(crate) fn learn_last_use(&mut self, user: &str, key: &KeyName, last_use: LastUse) {
        let known = self.users.get_mut(user);
        if let Some(key) =
            known.and_then(|known| known.keys.iter_mut().find(|known| known.name == *key))
        {
            take_later(&mut key.last_use, last_use);
        }
    }

    /// Takes note that such a question was not answered.
    pub(crate) fn ask_again(&mut self, user: &str, key: &KeyName) {
        if let Some(known) = self.users.get_mut(user) {
            known.asked.remove(key);
        }
    }

    /// The user of `row` as now known; `None` if gone.
    pub(crate) fn user(&self, row: &Row) -> Option<User> {
        let name = Arc::clone(&row.user);
        let Some(known) = self.users.get(&row.user) else {
            return Some(row.to_user());
        };
        let user = match known.last {
            LastListing::Gone => return None,
            LastListing::Read => User::read(name, known.keys.clone()),
            LastListing::Failed(reason) if known.keys.is_empty() => {
                User::unread(name, row.to_user().keys, reason)
            }
            LastListing::Failed(reason) => User::unread(name, known.keys.clone(), reason),
        };
        Some(User {
            path: Arc::clone(&row.path),
            ..user
        })
    }
}

impl Known {
    /// A user who wasn't listed yet.
    fn nothing(row: &Row, generated: DateTime<Utc>) -> Self {
        Self {
            keys: Vec::new(),
            last: LastListing::Gone,
            lost: BTreeSet::new(),
            row: row.fingerprint(),
            generated,
            agrees: true,
            asked: HashSet::new(),
            asked_since: generated,
        }
    }

    /// Takes the keys of a new listing, keeps what is known of their last use, and notes which are
    /// gone.
    fn take_keys(&mut self, keys: Vec<AccessKey>) {
        let before = std::mem::replace(&mut self.keys, keys);
        for key in &mut self.keys {
            if let Some(old) = before.iter().find(|old| old.name == key.name) {
                key.last_use = old.last_use.clone();
            }
        }
        self.lost.extend(before.iter().map(|key| key.created));
        for key in &self.keys {
            self.lost.remove(&key.created);
        }
    }
}

/// The slot of the key at `index`: the one of its creation time, if neither two slots nor two keys
/// have that time.
fn matching_slot<'a>(row: &'a Row, keys: &[AccessKey], index: usize) -> Option<&'a SlotRow> {
    let created = keys[index].created;
    let alone = keys.iter().filter(|key| key.created == created).count() == 1;
    let mut slots = row.keys().filter(|slot| slot.last_rotated == created);
    match (slots.next(), slots.next()) {
        (Some(slot), None) if alone => Some(slot),
        _ => None,
    }
}

/// A last use only ever moves forward, so of two accounts of it the later one holds.
fn take_later(known: &mut LastUse, other: LastUse) {
    let rank = |last_use: &LastUse| match last_use {
        LastUse::Unknown => None,
        LastUse::Never => Some(DateTime::<Utc>::MIN_UTC),
        LastUse::At(used) => Some(used.time),
    };
    if rank(&other) > rank(known) {
        *known = other;
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}

/// Whether the row shows the keys of the listing, all of them: a third one is in no report. A row
/// that can't be read shows nothing: it may stay the same whatever becomes of the keys.
fn agrees(row: &Row, keys: &[AccessKey]) -> bool {
    let shown = sorted(row.keys().map(|slot| (slot.last_rotated, slot.active)));
    let listed = sorted(keys.iter().map(|key| (key.created, key.is_active())));
    row.is_read && shown == listed
}

/// Whether the row gives other dates than the listing to the same keys. They are the same if there
/// are as many and all of them are older than the report: what was listed must then be in it.
fn dates_differ(row: &Row, keys: &[AccessKey], generated: DateTime<Utc>) -> bool {
    let shown = sorted(row.keys().map(|slot| slot.last_rotated));
    let listed = sorted(keys.iter().map(|key| key.created));
    row.is_read
        && shown.len() == listed.len()
        && listed.iter().all(|created| *created < generated)
        && shown != listed
}
