//! Accounts of any size, the same at each start.

use chrono::{DateTime, TimeDelta, Utc};

use super::account::Account;
use super::identity::{Key, LastUsed};

/// A made-up account for load: so many users with so many keys, a share of whom hold one key that is overdue under the
/// usual 90 days. All other keys are at most 60 days old, so not even near.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    pub users: usize,
    pub keys_per_user: usize,
    /// 0 to 100. Of every 100 users in a row, exactly so many.
    pub overdue_percent: usize,
    /// What ages are counted from.
    pub now: DateTime<Utc>,
}

impl Population {
    /// The name of a user, counted from 0: names sort as they are counted.
    pub fn user_name(index: usize) -> String {
        format!("user-{index:06}")
    }

    /// Whether this user, counted from 0, holds an overdue key.
    pub fn is_overdue(&self, index: usize) -> bool {
        self.keys_per_user > 0 && index * self.overdue_percent % 100 < self.overdue_percent
    }

    /// How many users hold an overdue key.
    pub fn overdue_users(&self) -> usize {
        (0..self.users)
            .filter(|index| self.is_overdue(*index))
            .count()
    }

    /// Adds the population to an account and sets its clock.
    pub fn settle(&self, account: &mut Account) {
        account.set_now(self.now);
        for index in 0..self.users {
            let name = Self::user_name(index);
            account.add_user(&name, self.days_ago(1_000));
            for slot in 0..self.keys_per_user {
                let id = account.add_key(&name, self.created(index, slot));
                *account.key_mut(&id) = Key {
                    last_used: self.last_used(index, slot),
                    ..Key::active(self.created(index, slot))
                };
            }
        }
    }

    fn created(&self, index: usize, slot: usize) -> DateTime<Utc> {
        let days = if slot == 0 && self.is_overdue(index) {
            91 + index % 400
        } else {
            1 + (index * 7 + slot * 13) % 60
        };
        // Seconds apart, so that no two keys of a user are of the same age.
        self.days_ago(days) - TimeDelta::seconds(i64::try_from(slot).unwrap_or(i64::MAX))
    }

    fn last_used(&self, index: usize, slot: usize) -> LastUsed {
        if (index + slot).is_multiple_of(5) {
            LastUsed::Never
        } else {
            // An hour ago: younger than every key.
            LastUsed::at(self.now - TimeDelta::hours(1))
        }
    }

    fn days_ago(&self, days: usize) -> DateTime<Utc> {
        self.now - TimeDelta::days(i64::try_from(days).expect("a number of days"))
    }
}
