//! Reads the keys, reads again what a plan would take away, and asks for advice on each user.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    Failure, Plan, Unread,
    advice::{Grounds, advise, worst_first},
    command::Cli,
};
use crate::visible::visible;
use crate::{
    clock::Clock,
    inventory::{Inventory, Listing, Reading, Trouble, User},
    key::{AccountId, KeyName, LastUse},
    policy::Policy,
    rotation::{Step, step},
    snapshot::KeyIdDisplay,
    source::{Once, Outcome, Source},
};

/// Makes one plan.
pub(super) struct Planner {
    pub(super) clock: Clock,
    pub(super) policy: Arc<Policy>,
    pub(super) key_ids: KeyIdDisplay,
    /// The users to plan for; all if empty.
    pub(super) users: BTreeSet<String>,
    pub(super) deadline: Instant,
}

impl Planner {
    pub(super) async fn plan(self, source: Source, cli: Cli) -> Plan {
        let (mut readers, outcomes) = Once::read(source, self.clock.now(), self.deadline).await;
        let mut plan = Plan {
            now: self.clock.now(),
            cli,
            advices: Vec::new(),
            unread: Vec::new(),
            failures: Vec::new(),
            known_until: None,
            not_found: self.users.iter().cloned().collect(),
            is_complete: true,
        };
        for Outcome {
            account, result, ..
        } in outcomes
        {
            match result {
                Ok(inventory) => self.add(inventory, &mut readers, &mut plan).await,
                Err(error) => {
                    plan.is_complete = false;
                    plan.failures.push(Failure {
                        account,
                        reason: error.reason,
                        message: visible(&error.message).into_owned(),
                    });
                }
            }
        }
        worst_first(&mut plan.advices);
        plan.unread
            .sort_by(|a, b| (a.account, &a.user).cmp(&(b.account, &b.user)));
        plan
    }

    async fn add(&self, mut inventory: Inventory, readers: &mut Once, plan: &mut Plan) {
        self.policy.apply_to_all(&mut inventory);
        let account = inventory.account.id;
        for Trouble { reason, message } in &inventory.troubles {
            plan.failures.push(Failure {
                account: Some(account),
                reason: *reason,
                message: visible(message).into_owned(),
            });
        }
        if let Listing::Truncated(reason) = inventory.listing {
            plan.failures.push(Failure {
                account: Some(account),
                reason,
                message: "the list of users broke off, so users may be missing".into(),
            });
        }
        let (chosen, others): (Vec<User>, Vec<User>) = std::mem::take(&mut inventory.users)
            .into_iter()
            .partition(|user| self.users.is_empty() || self.users.contains(&*user.name));
        let data_time = inventory.data_time;
        let live = self.read_again(account, chosen, readers, plan.now).await;
        let known_until = if live.is_live {
            // What is still as collected takes nothing away: see `read_again`.
            DateTime::<Utc>::MAX_UTC
        } else {
            plan.known_until = Some(plan.known_until.map_or(data_time, |t| t.min(data_time)));
            data_time
        };
        let grounds = Grounds {
            policy: &self.policy,
            key_ids: self.key_ids,
            now: plan.now,
            known_until,
        };
        plan.is_complete &= inventory.listing == Listing::Complete
            && inventory.troubles.is_empty()
            && live.users.iter().chain(&others).all(User::is_read);
        for user in &live.users {
            plan.not_found.retain(|name| **name != *user.name);
            if let Some(reason) = user.unread_reason() {
                plan.unread.push(Unread {
                    account,
                    user: Arc::clone(&user.name),
                    reason,
                });
            }
            plan.advices.extend(advise(account, user, &grounds));
        }
    }

    /// Reads every user again of whom a key would be taken away, or whose keys have no ids yet, so
    /// that nothing is taken away on the word of a report of some hours ago.
    async fn read_again(
        &self,
        account: AccountId,
        users: Vec<User>,
        readers: &mut Once,
        now: DateTime<Utc>,
    ) -> ReadAgain {
        let takes_away = |user: &User| {
            let step = step(user, &self.policy, now, now);
            matches!(
                step,
                Step::Deactivate { .. } | Step::Delete { .. } | Step::Free { .. }
            )
        };
        let needs = |user: &User| {
            let has_step = || step(user, &self.policy, now, now) != Step::None;
            user.is_read() && (takes_away(user) || has_slots(user) && has_step())
        };
        let names = users
            .iter()
            .filter(|user| needs(user))
            .map(|user| Arc::clone(&user.name))
            .collect();
        let Some(answers) = readers.read_again(account, names, self.deadline).await else {
            return ReadAgain {
                users,
                is_live: false,
            };
        };
        let mut answers: HashMap<_, _> = answers.into_iter().collect();
        let users = users
            .into_iter()
            .filter_map(|before| match answers.remove(&before.name) {
                None => Some(before),
                Some(None) => None,
                // Only the ids are missed.
                Some(Some(user)) if !user.is_read() && !takes_away(&before) => Some(before),
                Some(Some(user)) => Some(renewed(before, user)),
            })
            .collect();
        ReadAgain {
            users,
            is_live: true,
        }
    }
}

/// Users after what mattered was read again.
struct ReadAgain {
    users: Vec<User>,
    /// Whether it could be.
    is_live: bool,
}

fn has_slots(user: &User) -> bool {
    user.keys
        .iter()
        .any(|key| matches!(key.name, KeyName::Slot(_)))
}

/// The user as now read. Where that failed, the keys known before, with nothing known of their use.
fn renewed(before: User, now: User) -> User {
    let keys = match now.reading {
        Reading::Complete => now.keys,
        Reading::Unread(_) => {
            let mut keys = before.keys;
            for key in keys.change() {
                key.last_use = LastUse::Unknown;
            }
            keys
        }
    };
    User {
        keys,
        reading: now.reading,
        ..before
    }
}
