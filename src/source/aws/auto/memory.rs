//! What the listings so far have told, and who has to be listed again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::unreported::Unreported;
use crate::{
    inventory::{Keys, Reading, User},
    key::{AccessKey, KeyName, LastUse},
    policy::{Policy, Thresholds},
    reason::Reason,
    source::{
        Remark,
        report::{Fingerprint, Row, SlotRow},
    },
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

/// What the listings so far have told, and what is to be made of it.
#[derive(Debug)]
pub(crate) struct Memory {
    watch: Watch,
    /// Shared with whoever saves it, so that it is copied only where it changes after that.
    remembered: Arc<Remembered>,
    /// Whether the report's dates aren't the keys' creation dates.
    dates_differ: bool,
    /// Whether that was said.
    dates_differ_said: bool,
}

/// What the listings of one account have told: kept over a restart, it saves listing everybody again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Boxed, for up to half of the places of a map are empty.
    pub(crate) users: HashMap<Arc<str>, Box<Known>>,
    /// The users that the report doesn't tell of.
    pub(crate) unreported: Unreported,
    /// The keys whose last use was asked for since the report of `asked_since`. Once for each
    /// report is enough: AWS updates its record of last uses no more often.
    pub(crate) asked: HashSet<KeyName>,
    pub(crate) asked_since: Option<DateTime<Utc>>,
}

/// What a user's listings told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The keys of the last listing that succeeded, their last use as far as known.
    pub(crate) keys: Keys,
    /// What became of the last listing.
    pub(crate) last: LastListing,
    /// When the keys were made that were under this name, as a listing or the report has it, and
    /// aren't any more. Each once; hardly ever is there one at all.
    pub(crate) lost: Box<[DateTime<Utc>]>,
    /// The user's row at the last listing that succeeded.
    pub(crate) row: Fingerprint,
    /// When the report of that row was made.
    pub(crate) generated: DateTime<Utc>,
    /// Whether row and listing told the same. If not, a newer report is reason to list again.
    pub(crate) agrees: bool,
}

/// What became of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastListing {
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
            remembered: Arc::default(),
            dates_differ: false,
            dates_differ_said: false,
        }
    }

    /// What is known, to be saved; `None` if nothing is.
    pub(crate) fn remembered(&self) -> Option<Arc<Remembered>> {
        let is_empty = *self.remembered == Remembered::default();
        (!is_empty).then(|| Arc::clone(&self.remembered))
    }

    /// Takes in what was known before a restart.
    pub(crate) fn restore(&mut self, remembered: Arc<Remembered>) {
        self.remembered = remembered;
    }

    /// The users that the report doesn't tell of.
    pub(crate) fn unreported(&mut self) -> &mut Unreported {
        &mut self.change().unreported
    }

    fn change(&mut self) -> &mut Remembered {
        Arc::make_mut(&mut self.remembered)
    }

    /// Watches otherwise from now on.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// Forgets the users who are in the report no more.
    pub(crate) fn keep_only(&mut self, rows: &[Row]) {
        let present: HashSet<&str> = rows.iter().map(|row| &*row.user).collect();
        let users = &mut self.change().users;
        users.retain(|user, _| present.contains(&**user));
    }

    /// The users who have to be read live, with the index of their row.
    pub(crate) fn stale(
        &self,
        rows: &[Row],
        generated: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Vec<(usize, Arc<str>)> {
        let is_stale = |row: &Row| match self.remembered.users.get(&row.user) {
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
        let Remembered { users, asked, .. } = Arc::make_mut(&mut self.remembered);
        let known = users
            .entry(Arc::clone(&row.user))
            .or_insert_with(|| Box::new(Known::nothing(row, generated)));
        let (keys, last) = match listing {
            Some(User {
                reading: Reading::Unread(reason),
                ..
            }) => {
                known.last = LastListing::Failed(reason);
                return;
            }
            Some(user) => (user.keys, LastListing::Read),
            None => (Keys::default(), LastListing::Gone),
        };
        if generated > known.generated {
            known.lost = Box::default();
        }
        for new in known.take_keys(keys, row) {
            // It may have been asked for while another name held it.
            asked.remove(new);
        }
        known.last = last;
        known.row = row.fingerprint();
        known.generated = generated;
        known.agrees = agrees(row, &known.keys);
        let differ = dates_differ(row, &known.keys, generated);
        self.dates_differ |= differ;
    }

    /// Says, once, that the report's dates can't be believed.
    pub(crate) fn remark(&mut self) -> Option<Remark> {
        let is_news = self.dates_differ && !std::mem::replace(&mut self.dates_differ_said, true);
        is_news.then_some(Remark::DatesDiffer)
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
        let users = self.remembered.users.iter();
        users
            .map(|(user, known)| (user, &**known))
            .flat_map(of_user)
            .collect()
    }

    /// The keys whose last use has to be asked for: the report can't tell it of those that match no
    /// slot, and tells it too late to act on of those that are due. What it can tell is taken over.
    pub(crate) fn ask(
        &mut self,
        rows: &[Row],
        generated: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Vec<(Arc<str>, KeyName)> {
        let Remembered {
            users,
            asked,
            asked_since,
            ..
        } = Arc::make_mut(&mut self.remembered);
        if *asked_since < Some(generated) {
            asked.clear();
            *asked_since = Some(generated);
        }
        let mut asks = Vec::new();
        for row in rows {
            let Some(known) = users.get_mut(&row.user) else {
                continue;
            };
            for index in 0..known.keys.len() {
                let slot = matching_slot(row, &known.keys, index);
                if let Some(slot) = slot {
                    known.take_later(index, &slot.last_use);
                }
                let key = &known.keys[index];
                let needed = slot.is_none() || self.watch.thresholds.is_due(key, now);
                if needed && asked.insert(key.name.clone()) {
                    asks.push((Arc::clone(&row.user), key.name.clone()));
                }
            }
        }
        asks
    }

    /// Takes in the answer to such a question.
    pub(crate) fn learn_last_use(&mut self, user: &str, key: &KeyName, last_use: &LastUse) {
        let Some(known) = self.change().users.get_mut(user) else {
            return;
        };
        if let Some(index) = known.keys.iter().position(|known| known.name == *key) {
            known.take_later(index, last_use);
        }
    }

    /// Takes note that such a question was not answered.
    pub(crate) fn ask_again(&mut self, key: &KeyName) {
        self.change().asked.remove(key);
    }

    /// The user of `row` as now known; `None` if gone.
    pub(crate) fn user(&self, row: &Row) -> Option<User> {
        let Some((name, known)) = self.remembered.users.get_key_value(&row.user) else {
            return Some(row.to_user());
        };
        let name = Arc::clone(name);
        let reading = match known.last {
            LastListing::Gone => return None,
            LastListing::Read => Reading::Complete,
            LastListing::Failed(reason) => Reading::Unread(reason),
        };
        // The report still tells something of a user who never could be listed.
        let keys = match reading {
            Reading::Unread(_) if known.keys.is_empty() => row.to_user().keys,
            _ => known.keys.clone(),
        };
        Some(User {
            path: row.path.clone(),
            ..User::new(name, keys, reading)
        })
    }
}

impl Known {
    /// A user who wasn't listed yet.
    fn nothing(row: &Row, generated: DateTime<Utc>) -> Self {
        Self {
            keys: Keys::default(),
            last: LastListing::Gone,
            lost: Box::default(),
            row: row.fingerprint(),
            generated,
            agrees: true,
        }
    }

    /// Takes the keys of a new listing, keeps what is known of their last use, and notes which are
    /// gone of those that there were or that the row shows. Gives the keys that are new.
    fn take_keys(&mut self, keys: Keys, row: &Row) -> impl Iterator<Item = &KeyName> {
        let before = std::mem::replace(&mut self.keys, keys);
        for key in self.keys.change() {
            if let Some(old) = before.iter().find(|old| old.name == key.name) {
                key.last_use = old.last_use.clone();
            }
        }
        let shown = row.keys().map(|slot| slot.last_rotated);
        let held = before.iter().map(|key| key.created);
        let mut lost: Vec<_> = self.lost.iter().copied().chain(shown).chain(held).collect();
        lost.sort_unstable();
        lost.dedup();
        lost.retain(|created| self.keys.iter().all(|key| key.created != *created));
        self.lost = lost.into();
        let is_new = move |key: &&AccessKey| before.iter().all(|old| old.name != key.name);
        self.keys.iter().filter(is_new).map(|key| &key.name)
    }

    /// Takes in a last use of the key at `index`. It only ever moves forward, so of two accounts of it
    /// the later one holds.
    fn take_later(&mut self, index: usize, last_use: &LastUse) {
        let rank = |last_use: &LastUse| match last_use {
            LastUse::Unknown => None,
            LastUse::Never => Some(DateTime::<Utc>::MIN_UTC),
            LastUse::At(used) => Some(used.time),
        };
        if rank(last_use) > rank(&self.keys[index].last_use) {
            self.keys.change()[index].last_use = last_use.clone();
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
