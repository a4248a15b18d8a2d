//! How things stand, in numbers.

use chrono::{DateTime, TimeDelta, Utc};

use super::step_of;
use crate::{
    inventory::{Inventory, User},
    key::{AccessKey, AccountId, days},
    policy::Verdict,
    rotation::Step,
    snapshot::Snapshot,
};

/// Everything counted, of all accounts that are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance<'a> {
    /// The users.
    pub users: Users,
    /// The keys.
    pub keys: Keys,
    /// Active keys by age, the youngest first.
    pub ages: Vec<AgeGroup>,
    /// Users by their next step, in the order of [`Step::NAMES`].
    pub steps: [usize; Step::NAMES.len()],
    /// The users who are exempt, those whose exemption ends first at the front.
    pub exempt: Vec<Exempt<'a>>,
    /// The accounts whose root user has access keys.
    pub root_keys: Vec<AccountId>,
}

/// Users, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Users {
    /// IAM users in the accounts, as far as that is known.
    pub total: usize,
    /// Those who obey the rule, exempt or not.
    pub compliant: usize,
    /// Those who don't, exempt or not.
    pub non_compliant: usize,
    /// Those of whom it can't be told, because they could not be read.
    pub unknown: usize,
    /// Those whom an exemption in force covers.
    pub exempt: usize,
}

/// Keys, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keys {
    /// All that are known.
    pub total: usize,
    /// The active ones.
    pub active: usize,
    /// The overdue ones of users who aren't exempt.
    pub overdue: usize,
    /// The overdue ones of exempt users.
    pub overdue_exempt: usize,
    /// Those that turn overdue within the warn time, of users who aren't exempt.
    pub due_soon: usize,
}

/// Active keys of an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeGroup {
    /// The least age, in days.
    pub from: i64,
    /// The age from which on keys belong to the next group, in days; `None` for the last.
    pub to: Option<i64>,
    /// The overdue keys.
    pub overdue: usize,
    /// The other ones.
    pub in_order: usize,
}

/// A user whom an exemption in force covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exempt<'a> {
    /// The user's account.
    pub account: AccountId,
    /// The user.
    pub user: &'a User,
    /// Why.
    pub reason: &'a str,
    /// Until when; `None` is for ever.
    pub until: Option<DateTime<Utc>>,
}

impl Exempt<'_> {
    /// Whether the exemption ends within the warn time.
    pub fn ends_soon(&self, warn: TimeDelta, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| until - now <= warn)
    }
}

impl<'a> Glance<'a> {
    /// How things stand at `now`.
    pub fn of(snapshot: &'a Snapshot, now: DateTime<Utc>) -> Self {
        let mut glance = Self {
            users: Users::default(),
            keys: Keys::default(),
            ages: age_groups(snapshot.policy.thresholds.max_age),
            steps: [0; Step::NAMES.len()],
            exempt: Vec::new(),
            root_keys: Vec::new(),
        };
        for account in &snapshot.accounts {
            let Some(inventory) = account.inventory.as_deref() else {
                continue;
            };
            if inventory.root.present == Some(true) || inventory.root.active > Some(0) {
                glance.root_keys.push(account.id);
            }
            glance.users.total += inventory.user_count.unwrap_or(inventory.users.len());
            for user in &inventory.users {
                glance.add(snapshot, inventory, user, now);
            }
        }
        glance.exempt.sort_by(|a, b| {
            (a.until.is_none(), a.until, a.account, &a.user.name).cmp(&(
                b.until.is_none(),
                b.until,
                b.account,
                &b.user.name,
            ))
        });
        glance
    }

    fn add(
        &mut self,
        snapshot: &Snapshot,
        inventory: &Inventory,
        user: &'a User,
        now: DateTime<Utc>,
    ) {
        let policy = &snapshot.policy;
        match policy.is_compliant(user, now) {
            Some(true) => self.users.compliant += 1,
            Some(false) => self.users.non_compliant += 1,
            None if !user.is_read() => self.users.unknown += 1,
            None => {}
        }
        let is_exempt = user.is_exempt(now);
        if is_exempt {
            self.users.exempt += 1;
            if let Some(exemption) = &user.exemption {
                self.exempt.push(Exempt {
                    account: inventory.account.id,
                    user,
                    reason: &exemption.reason,
                    until: exemption.until,
                });
            }
        }
        let step = step_of(snapshot, inventory, user, now).name();
        if let Some(place) = Step::NAMES.iter().position(|name| *name == step) {
            self.steps[place] += 1;
        }
        let thresholds = policy.of(user);
        for key in &user.keys {
            self.keys.total += 1;
            if !key.is_active() {
                continue;
            }
            self.keys.active += 1;
            let is_overdue = thresholds.is_overdue(key, now);
            if is_overdue && is_exempt {
                self.keys.overdue_exempt += 1;
            } else if is_overdue {
                debug_assert_eq!(policy.verdict(user, key, now), Verdict::Alarm);
                self.keys.overdue += 1;
            } else if !is_exempt && thresholds.is_due(key, now) {
                self.keys.due_soon += 1;
            }
            self.add_age(key, is_overdue, now);
        }
    }

    fn add_age(&mut self, key: &AccessKey, is_overdue: bool, now: DateTime<Utc>) {
        let age = key.age(now).num_days();
        let group = self
            .ages
            .iter_mut()
            .find(|group| group.to.is_none_or(|to| age < to))
            .expect("the last group has no end");
        if is_overdue {
            group.overdue += 1;
        } else {
            group.in_order += 1;
        }
    }

    /// The share of users who obey the rule, of all of whom that can be told.
    pub fn compliant_share(&self) -> Option<f64> {
        let known = self.users.compliant + self.users.non_compliant;
        #[expect(clippy::cast_precision_loss, reason = "users are far fewer than 2^53")]
        (known > 0).then(|| self.users.compliant as f64 / known as f64)
    }
}

/// Thirds of the maximum age, then twice and four times it.
fn age_groups(max_age: TimeDelta) -> Vec<AgeGroup> {
    let max = days(max_age);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a maximum age is a hundred years at most"
    )]
    let mut edges: Vec<i64> = [1.0 / 3.0, 2.0 / 3.0, 1.0, 2.0, 4.0]
        .map(|part| (max * part).round() as i64)
        .into();
    edges.retain(|edge| *edge > 0);
    edges.dedup();
    let from = std::iter::once(0).chain(edges.iter().copied());
    let to = edges.iter().copied().map(Some).chain([None]);
    from.zip(to)
        .map(|(from, to)| AgeGroup {
            from,
            to,
            overdue: 0,
            in_order: 0,
        })
        .collect()
}
