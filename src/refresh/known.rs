//! What is known of the accounts, as refreshes come in one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{
    inventory::Inventory,
    key::AccountId,
    policy::Policy,
    reason::Reason,
    snapshot::AccountState,
    source::{Outcome, SourceError},
};

/// The accounts by id.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<AccountId, AccountState>);

impl Known {
    /// Takes in what a refresh found of an account: what was read takes the place of what was known,
    /// what could not be read stays as it was.
    pub(super) fn learn(
        &mut self,
        id: AccountId,
        outcome: Outcome,
        policy: &Policy,
        now: DateTime<Utc>,
    ) {
        let next = after(self.0.get(&id), id, outcome, policy, now);
        self.0.insert(id, next);
    }

    /// Takes in what was known before a restart.
    pub(super) fn restore(&mut self, state: AccountState) {
        self.0.insert(state.id, state);
    }

    pub(super) fn get(&self, id: AccountId) -> Option<&AccountState> {
        self.0.get(&id)
    }

    /// Whether any account was ever read.
    pub(super) fn has_data(&self) -> bool {
        self.0.values().any(|state| state.inventory.is_some())
    }

    /// Applies another policy to all that is known.
    pub(super) fn apply(&mut self, policy: &Policy) {
        for inventory in self
            .0
            .values_mut()
            .filter_map(|state| state.inventory.as_mut())
        {
            // The snapshot that is out holds the old one.
            policy.apply_to_all(Arc::make_mut(inventory));
        }
    }

    /// Forgets the accounts that are not to be kept, and tells which.
    pub(super) fn keep_only(&mut self, kept: &BTreeSet<AccountId>) -> Vec<AccountId> {
        let gone = |id: &&AccountId| !kept.contains(id);
        let gone: Vec<_> = self.0.keys().filter(gone).copied().collect();
        for id in &gone {
            self.0.remove(id);
        }
        gone
    }

    /// An account is not read any more, for that reason. Returns whether that is news.
    pub(super) fn give_up(&mut self, id: AccountId, reason: Reason) -> bool {
        let Some(state) = self.0.get_mut(&id) else {
            return false;
        };
        let is_news = state.reached || state.failures != [reason];
        state.reached = false;
        state.failures = vec![reason];
        is_news
    }

    /// Whether every account was read completely the last time.
    pub(super) fn are_up(&self) -> bool {
        self.0.values().all(AccountState::is_up)
    }

    /// The accounts, for a snapshot. Cheap: the inventories are shared.
    pub(super) fn states(&self) -> Vec<AccountState> {
        self.0.values().cloned().collect()
    }
}

/// Why a refresh of an account did not read everything; empty if it did.
pub(super) fn reasons(result: &Result<Inventory, SourceError>) -> Vec<Reason> {
    match result {
        Ok(inventory) => inventory.reasons(),
        Err(error) => vec![error.reason],
    }
}

/// The state of an account after a refresh.
fn after(
    known: Option<&AccountState>,
    id: AccountId,
    outcome: Outcome,
    policy: &Policy,
    now: DateTime<Utc>,
) -> AccountState {
    let failures = reasons(&outcome.result);
    let known_inventory = known.and_then(|account| account.inventory.clone());
    let reached = outcome.result.is_ok();
    let inventory = match outcome.result {
        Err(_) => known_inventory,
        Ok(found) => {
            let mut found = match known_inventory {
                Some(known) => found.filled_from(&known, now),
                None => found,
            };
            policy.apply_to_all(&mut found);
            Some(Arc::new(found))
        }
    };
    let last_success = if failures.is_empty() {
        Some(now)
    } else {
        known.and_then(|account| account.last_success)
    };
    AccountState {
        id,
        inventory,
        reached,
        failures,
        last_success,
        duration: outcome.duration,
    }
}
