//! Whose turn it is: every member with its reader, its next time and its pauses after failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use backon::ExponentialBackoff;
use futures_util::future::AbortHandle;
use tokio::time::Instant;

use crate::{
    key::AccountId,
    source::{Member, Reader, aws::Remembered},
};

/// A member goes by its account; the one that only reading tells of, by `None`.
pub(super) type Key = Option<AccountId>;

/// Every member, and when each is read next.
#[derive(Debug, Default)]
pub(super) struct Turns {
    members: BTreeMap<Key, Turn>,
    /// When the readers that aren't at work are due, the earliest first.
    queue: BTreeSet<(Instant, Key)>,
}

/// One member.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) member: Member,
    work: Work,
    pub(super) retries: ExponentialBackoff,
    /// Whether it was read once, or its data come from storage.
    pub(super) tried: bool,
    /// The accounts that it turned out to be, once it was read.
    pub(super) accounts: Option<BTreeSet<AccountId>>,
    /// What its reader remembered the last time, where that is to be saved.
    pub(super) remembered: Option<(AccountId, Arc<Remembered>)>,
}

/// What the reader of a member does.
#[derive(Debug)]
enum Work {
    /// It waits until it is due.
    Waits { reader: Reader, due: Instant },
    /// It reads; `again` if that has to be repeated at once.
    Reads { stop: AbortHandle, again: bool },
}

impl Turns {
    /// Adds a member, or replaces it and stops its reader.
    pub(super) fn add(
        &mut self,
        member: Member,
        reader: Reader,
        due: Instant,
        retries: ExponentialBackoff,
    ) {
        let key = member.account;
        let before = self.remove(key);
        let turn = Turn {
            member,
            work: Work::Waits { reader, due },
            retries,
            tried: before.as_ref().is_some_and(|turn| turn.tried),
            accounts: before.and_then(|turn| turn.accounts),
            remembered: None,
        };
        self.members.insert(key, turn);
        self.queue.insert((due, key));
    }

    /// Takes a member out and stops its reader.
    pub(super) fn remove(&mut self, key: Key) -> Option<Turn> {
        let turn = self.members.remove(&key)?;
        match &turn.work {
            Work::Waits { due, .. } => {
                self.queue.remove(&(*due, key));
            }
            Work::Reads { stop, .. } => stop.abort(),
        }
        Some(turn)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Turn> {
        self.members.get_mut(&key)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.members.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Turn> {
        self.members.values()
    }

    /// When the next reader is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// The next reader that is due by `now`. It is at work from here on, until [`Self::hand_back`] or
    /// until `stop` is used.
    pub(super) fn take_due(&mut self, now: Instant, stop: AbortHandle) -> Option<(Key, Reader)> {
        let &(due, key) = self.queue.first()?;
        if due > now {
            return None;
        }
        self.queue.pop_first();
        let turn = self.members.get_mut(&key)?;
        let again = false;
        match std::mem::replace(&mut turn.work, Work::Reads { stop, again }) {
            Work::Waits { mut reader, .. } => {
                reader.rename(turn.member.name.clone());
                Some((key, reader))
            }
            Work::Reads { .. } => None,
        }
    }

    /// Takes a reader back that is to work again at `due`.
    pub(super) fn hand_back(&mut self, key: Key, reader: Reader, due: Instant, now: Instant) {
        let Some(turn) = self.members.get_mut(&key) else {
            return;
        };
        let due = match turn.work {
            Work::Reads { again: true, .. } => now,
            _ => due,
        };
        turn.work = Work::Waits { reader, due };
        self.queue.insert((due, key));
    }

    /// Makes every member due now; those being read will be read once more.
    pub(super) fn all_due(&mut self, now: Instant) {
        for (key, turn) in &mut self.members {
            match &mut turn.work {
                Work::Waits { due, .. } => {
                    self.queue.remove(&(*due, *key));
                    *due = now;
                    self.queue.insert((now, *key));
                }
                Work::Reads { again, .. } => *again = true,
            }
        }
    }
}
