//! Every key with its verdict and the next step of its user, as the page and the API show them:
//! filtered, in order and a page at a time.
//!
//! Pure: everything is worked out from one [`Snapshot`] with the `now` of the reader. Only the rows of
//! the page asked for are put in order and into words, so that 100 000 keys take some milliseconds.

pub mod cursor;
pub mod glance;
pub mod health;
pub mod item;
mod order;
pub mod parameters;
pub mod query;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use self::{
    order::Place,
    query::{Filter, Query, Start},
};
use crate::{
    inventory::{Inventory, User},
    key::AccessKey,
    policy::Verdict,
    rotation::{Step, step},
    snapshot::{AccountState, Snapshot},
};

/// One key, or a user who could not be read and of whom no key is known.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The account.
    pub account: &'a AccountState,
    /// What is known of it.
    pub inventory: &'a Inventory,
    /// The user.
    pub user: &'a User,
    /// The key; `None` if none is known.
    pub key: Option<&'a AccessKey>,
    /// Its place among the user's keys.
    pub ordinal: usize,
    /// What the control says of it.
    pub verdict: Verdict,
    /// The user's next step.
    pub step: &'static str,
    /// The instant at which the key turns overdue, if it is active.
    pub due: Option<DateTime<Utc>>,
}

/// The rows asked for.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// How many rows match in all.
    pub total: usize,
    /// Those of the page, in order.
    pub rows: Vec<Row<'a>>,
    /// Whether more follow.
    pub has_more: bool,
}

/// The rows of `snapshot` that `query` asks for, as they stand at `now`.
pub fn select<'a>(snapshot: &'a Snapshot, query: &Query, now: DateTime<Utc>) -> Selection<'a> {
    let mut places = Vec::new();
    each_row(snapshot, &query.filter, now, |row| {
        places.push(Place::of(row, query.sort, snapshot.key_ids));
    });
    let total = places.len();
    let compare = |a: &Place<'a>, b: &Place<'a>| a.compare(b, query.direction());
    let start = match &query.start {
        Start::Offset(offset) => *offset,
        Start::After(last) => {
            places.retain(|place| last.precedes(place, query.direction()));
            0
        }
    };
    let left = places.len();
    let page = order::slice(&mut places, start, query.limit, compare);
    Selection {
        total,
        has_more: start.saturating_add(page.len()) < left,
        rows: page.iter().map(|place| place.row).collect(),
    }
}

/// Visits each row that the filter lets through, by account and in the order of the inventory.
fn each_row<'a>(
    snapshot: &'a Snapshot,
    filter: &Filter,
    now: DateTime<Utc>,
    mut visit: impl FnMut(Row<'a>),
) {
    for account in &snapshot.accounts {
        let Some(inventory) = account.inventory.as_deref() else {
            continue;
        };
        if !filter.has_account(account.id) {
            continue;
        }
        for user in &inventory.users {
            if filter.has_user(user, now) {
                each_row_of(snapshot, account, inventory, user, filter, now, &mut visit);
            }
        }
    }
}

fn each_row_of<'a>(
    snapshot: &Snapshot,
    account: &'a AccountState,
    inventory: &'a Inventory,
    user: &'a User,
    filter: &Filter,
    now: DateTime<Utc>,
    visit: &mut impl FnMut(Row<'a>),
) {
    let step = step_of(snapshot, inventory, user, now).name();
    if !filter.has_step(step) {
        return;
    }
    let row = Row {
        account,
        inventory,
        user,
        key: None,
        ordinal: 0,
        verdict: Verdict::Error,
        step,
        due: None,
    };
    if user.keys.is_empty() && !user.is_read() && filter.has_key(None, Verdict::Error) {
        visit(row);
    }
    let policy = &snapshot.policy;
    let thresholds = policy.of(user);
    for (ordinal, key) in user.keys.iter().enumerate() {
        let verdict = policy.verdict(user, key, now);
        if filter.has_key(Some(key), verdict) {
            visit(Row {
                key: Some(key),
                ordinal,
                verdict,
                due: key.is_active().then(|| thresholds.due_instant(key.created)),
                ..row
            });
        }
    }
}

/// The user's next step, the same as in the metrics.
fn step_of<'a>(
    snapshot: &Snapshot,
    inventory: &Inventory,
    user: &'a User,
    now: DateTime<Utc>,
) -> Step<'a> {
    step(user, &snapshot.policy, now, inventory.seen(user, now))
}
