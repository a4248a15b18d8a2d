//! When what is known is saved, for a restart.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::{
    task::{JoinError, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::refresher::{Done, Refresher};
use crate::{
    key::AccountId,
    source::aws::Remembered,
    storage::{Aim, Saved, SavedAccount, Storage},
};

/// From the end of one save to the start of the next at least.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);

/// The same after a save that failed: the disk is full, maybe.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The pause after a save is also this many times as long as the save took, so that a large file on
/// a slow disk doesn't keep it busy.
const PAUSE_FOR_DURATION: u32 = 50;

/// How long the process waits for the last save when it stops.
const LAST_SAVE: Duration = Duration::from_secs(4);

/// What is kept over a restart, and when it is saved next.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// `None` while it saves, and where nothing is kept.
    storage: Option<Storage>,
    is_wanted: bool,
    /// When there is something to save.
    due: Option<Instant>,
    /// No save starts before this instant.
    earliest: Option<Instant>,
    /// What readers remembered that weren't made yet.
    restored: BTreeMap<AccountId, Arc<Remembered>>,
    /// What each account was last read whole for, be it before a restart.
    aims: BTreeMap<AccountId, Arc<Aim>>,
}

impl Saving {
    /// Whether anything is kept.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// When the next save starts.
    pub(super) fn due(&self) -> Option<Instant> {
        self.storage.as_ref().and(self.due)
    }

    /// There is something new to save.
    pub(super) fn soon(&mut self, now: Instant) {
        if self.is_wanted {
            let earliest = self.earliest.map_or(now, |earliest| earliest.max(now));
            self.due.get_or_insert(earliest);
        }
    }

    /// An account was read whole.
    pub(super) fn read(&mut self, account: AccountId, aim: &Arc<Aim>) {
        if self.is_wanted {
            self.aims.insert(account, Arc::clone(aim));
        }
    }

    /// Whether what is known of an account was read for this, so that it lacks nothing.
    pub(super) fn was_read_for(&self, account: AccountId, aim: &Aim) -> bool {
        self.aims.get(&account).is_some_and(|of| **of == *aim)
    }

    pub(super) fn forget(&mut self, account: AccountId) {
        self.aims.remove(&account);
    }

    /// What was remembered of an account before the restart; if it isn't said of which, that of the
    /// only account there is.
    pub(super) fn take_remembered(
        &mut self,
        account: Option<AccountId>,
    ) -> Option<(AccountId, Arc<Remembered>)> {
        let account = match account {
            Some(account) => account,
            None if self.restored.len() == 1 => *self.restored.keys().next()?,
            None => return None,
        };
        self.restored.remove_entry(&account)
    }
}

impl Refresher {
    /// Keeps what is known in `storage`, and goes on from what was `saved` there. That is published at
    /// once: it is true, with the time that it was read at, so there is something to serve.
    #[must_use]
    pub fn with_storage(mut self, storage: Storage, saved: Option<Saved>) -> Self {
        self.saving.storage = Some(storage);
        self.saving.is_wanted = true;
        for saved in saved.unwrap_or_default().accounts {
            let SavedAccount {
                state,
                read_for,
                memory,
            } = saved;
            if let Some(read_for) = read_for {
                self.saving.aims.insert(state.id, read_for);
            }
            if let Some(memory) = memory {
                self.saving.restored.insert(state.id, memory);
            }
            self.known.restore(state);
        }
        if self.known.has_data() {
            self.known.apply(&self.config.policy);
            self.publish(Instant::now());
        }
        self
    }

    /// Starts a save if it is time.
    pub(super) fn save_if_due(&mut self, now: Instant) {
        if self.saving.due().is_some_and(|due| due <= now) {
            self.save();
        }
    }

    fn save(&mut self) {
        let Some(mut storage) = self.saving.storage.take() else {
            return;
        };
        self.saving.due = None;
        let (saved, now, start) = (self.to_be_saved(), self.clock.now(), Instant::now());
        // Writing and syncing block.
        let save = spawn_blocking(move || {
            let is_saved = storage.save(&saved, now);
            (storage, is_saved)
        });
        self.start(async move {
            let (storage, is_saved) = save.await.unwrap_or_else(|error| resume(error));
            let took = start.elapsed();
            Done::Saved {
                storage,
                took,
                is_saved,
            }
        });
    }

    pub(super) fn saved(&mut self, storage: Storage, took: Duration, is_saved: bool) {
        self.saving.storage = Some(storage);
        let pause = if is_saved {
            SHORTEST_PAUSE
        } else {
            PAUSE_AFTER_FAILURE
        };
        let earliest = Instant::now() + pause.max(took * PAUSE_FOR_DURATION);
        self.saving.earliest = Some(earliest);
        if let Some(due) = &mut self.saving.due {
            *due = earliest.max(*due);
        }
        if !is_saved {
            self.saving.soon(earliest);
        }
    }

    /// Saves what isn't saved yet, at the end. Reads under way are given up.
    pub(super) async fn save_at_the_end(&mut self) {
        if !self.saving.is_wanted {
            return;
        }
        let limit = Instant::now() + LAST_SAVE;
        let saved = timeout_at(limit, async {
            self.finish_save().await;
            if self.saving.due.is_some() {
                self.save();
                self.finish_save().await;
            }
        });
        if saved.await.is_err() {
            tracing::warn!(
                "what was read last could not be saved in time; what was saved before stays"
            );
        }
    }

    /// Waits for the save under way, if there is one. Nothing else is started meanwhile.
    async fn finish_save(&mut self) {
        while self.saving.storage.is_none() {
            match self.running.next().await {
                Some(done) => self.finish(done),
                None => return,
            }
        }
    }

    fn to_be_saved(&self) -> Saved {
        let mut memories = self.saving.restored.clone();
        memories.extend(self.turns.iter().filter_map(|turn| turn.remembered.clone()));
        let states = self.known.states().into_iter();
        let accounts = states.map(|state| SavedAccount {
            read_for: self.saving.aims.get(&state.id).cloned(),
            memory: memories.remove(&state.id),
            state,
        });
        Saved {
            accounts: accounts.collect(),
        }
    }
}

/// A save that panicked ends the process, as any task that dies.
fn resume(error: JoinError) -> ! {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => panic!("the save was not run: {error}"),
    }
}
