//! What to do next for a user, and why. Pure: everything is worked out from what was read.

use std::{cmp::Reverse, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    advisor::Advisor,
    command::{Cli, Command, is_usable},
};
use crate::{
    inventory::User,
    key::{AccountId, KeyStatus, LastUse},
    policy::Policy,
    rotation::{Step, step},
    snapshot::KeyIdDisplay,
};

/// What the advice goes by, the same for every user of an account.
#[derive(Debug, Clone)]
pub struct Grounds<'a> {
    /// The thresholds.
    pub policy: &'a Policy,
    /// How key ids are shown.
    pub key_ids: KeyIdDisplay,
    /// The instant that everything is judged at.
    pub now: DateTime<Utc>,
    /// Up to when last uses are known: a key may have been used at any time after that. At `now` or
    /// later where they were read live.
    pub known_until: DateTime<Utc>,
}

/// The next step for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The user's account.
    pub account: AccountId,
    /// The user.
    pub user: Arc<str>,
    /// The step's name, see [`Step::NAMES`].
    pub step: &'static str,
    /// Why, in words. Nothing in it needs escaping for a terminal.
    pub why: String,
    /// How long the user's longest overdue active key has been so, negative until it is; `None`
    /// for a user without active keys.
    pub overdue: Option<TimeDelta>,
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// What to know before doing it.
    pub notes: Vec<String>,
}

/// Something to do, or to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look up the ids of the user's keys.
    ListKeys,
    /// Create a key; the user has `keys` of them now.
    Create {
        /// How many keys the user has right before.
        keys: usize,
    },
    /// Look at the last use of a key.
    ShowLastUse {
        /// The key.
        id: Box<str>,
    },
    /// Deactivate a key.
    Deactivate {
        /// The key.
        id: Box<str>,
        /// Its last use, which must not have moved; never unknown.
        last_use: LastUse,
        /// The active key that took over, if any.
        successor: Option<Box<str>>,
    },
    /// Activate a key again, if something misses it.
    Reactivate {
        /// The key.
        id: Box<str>,
    },
    /// Delete a key.
    Delete {
        /// The key.
        id: Box<str>,
        /// Its status, which must not have changed.
        status: KeyStatus,
        /// Its last use, which must not have moved; never unknown.
        last_use: LastUse,
    },
}

impl Action {
    /// What it is for, as a heading of its command.
    pub fn purpose(&self) -> &'static str {
        match self {
            Self::ListKeys => "look up the key ids:",
            Self::Create { .. } => "create the new key (this prints its secret, once):",
            Self::ShowLastUse { .. } => "look at the last use:",
            Self::Deactivate { .. } => "deactivate the key, which can be undone:",
            Self::Reactivate { .. } => "only if it is needed, activate the key again:",
            Self::Delete { .. } => "delete the key, which can't be undone:",
        }
    }

    /// The command of the AWS CLI that does it for `user`.
    ///
    /// `None` if the name can't be given to the AWS CLI as it is.
    pub fn command(&self, user: &str, cli: &Cli) -> Option<Command> {
        let user = ("user-name", user);
        match self {
            Self::ListKeys => cli.iam("list-access-keys", &[user]),
            Self::Create { .. } => cli.iam("create-access-key", &[user]),
            Self::ShowLastUse { id } => {
                cli.iam("get-access-key-last-used", &[("access-key-id", id)])
            }
            Self::Deactivate { id, .. } => cli.iam(
                "update-access-key",
                &[user, ("access-key-id", id), ("status", "Inactive")],
            ),
            Self::Reactivate { id } => cli.iam(
                "update-access-key",
                &[user, ("access-key-id", id), ("status", "Active")],
            ),
            Self::Delete { id, .. } => cli.iam("delete-access-key", &[user, ("access-key-id", id)]),
        }
    }
}

/// The advice for `user`; `None` where there is nothing to do. A user who wasn't read completely
/// gets none: what isn't known of could be the key in use.
pub fn advise(account: AccountId, user: &User, grounds: &Grounds<'_>) -> Option<Advice> {
    if !user.is_read() {
        return None;
    }
    let seen = grounds.known_until.min(grounds.now);
    let step = step(user, grounds.policy, grounds.now, seen);
    let mut advisor = Advisor::new(user, grounds);
    let why = match step {
        Step::None => return None,
        Step::Create { old } => advisor.create(old),
        Step::Update { old, new } => advisor.update(old, new),
        Step::Deactivate { old, new } => advisor.deactivate(old, new),
        Step::Confirm { retired } => advisor.confirm(retired),
        Step::Delete { retired } => advisor.delete(retired),
        Step::Free { retired, old } => advisor.free(retired, old),
    };
    let Advisor { actions, notes, .. } = advisor;
    let thresholds = grounds.policy.of(user);
    let active = user.keys.iter().filter(|key| key.is_active());
    let mut advice = Advice {
        account,
        user: Arc::clone(&user.name),
        step: step.name(),
        why,
        overdue: active
            .map(|key| grounds.now - thresholds.due_instant(key.created))
            .max(),
        actions,
        notes,
    };
    if !is_usable(&user.name) {
        advice.actions.clear();
        advice.notes.push(
            "no command is given: this can't be the name of an IAM user, so the report isn't one of AWS"
                .into(),
        );
    }
    Some(advice)
}

/// Puts the worst first: the longest overdue, then those without an active key.
pub fn worst_first(advices: &mut [Advice]) {
    advices.sort_by(|a, b| {
        let rank = |advice: &Advice| Reverse(advice.overdue);
        rank(a)
            .cmp(&rank(b))
            .then_with(|| (a.account, &a.user).cmp(&(b.account, &b.user)))
    });
}
