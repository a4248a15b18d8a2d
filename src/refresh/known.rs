//! What is known of the accounts, as refreshes come in one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{
    inventory::Inventory,
    key::AccountId,
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
    pub(super) fn learn(&mut self, id: AccountId, outcome: Outcome, now: DateTime<Utc>) {
        let next = after(self.0.get(&id), id, outcome, now);
        self.0.insert(id, next);
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

    /// Whether every account of these was read completely the last time.
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
    now: DateTime<Utc>,
) -> AccountState {
    let failures = reasons(&outcome.result);
    let known_inventory = known.and_then(|account| account.inventory.clone());
    let reached = outcome.result.is_ok();
    let inventory = match (outcome.result, known_inventory) {
        (Err(_), known) => known,
        (Ok(found), None) => Some(Arc::new(found)),
        (Ok(found), Some(known)) => Some(Arc::new(found.filled_from(&known))),
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
