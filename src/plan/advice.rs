//! What to do next for a user, and why. Pure: everything is worked out from what was read.

use std::{cmp::Reverse, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    command::{Cli, Command, is_key_id, is_usable, visible},
    words::{Named, instant},
};
use crate::{
    inventory::User,
    key::{AccessKey, AccountId, KeyName, KeyStatus, LastUse, UsedAt},
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
    let judged = as_if_used_since(user, grounds);
    let step = step(&judged, grounds.policy, grounds.now);
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
    let active = user.keys.iter().filter(|key| key.is_active());
    let mut advice = Advice {
        account,
        user: Arc::clone(&user.name),
        step: step.name(),
        why,
        overdue: active
            .map(|key| grounds.now - grounds.policy.due_instant(key.created))
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

/// The user as if every key had gone on being used for as long as one can't tell.
fn as_if_used_since(user: &User, grounds: &Grounds<'_>) -> User {
    let untold = grounds.now - grounds.known_until;
    let mut user = user.clone();
    if untold <= TimeDelta::zero() {
        return user;
    }
    for key in &mut user.keys {
        let last = match &key.last_use {
            LastUse::At(last) => last.clone(),
            LastUse::Never => UsedAt {
                time: key.created,
                service: Arc::from("N/A"),
                region: Arc::from("N/A"),
            },
            LastUse::Unknown => continue,
        };
        let time = last.time.checked_add_signed(untold);
        key.last_use = LastUse::At(UsedAt {
            time: time.unwrap_or(DateTime::<Utc>::MAX_UTC),
            ..last
        });
    }
    user
}

/// Gathers what to do and to know for one user.
struct Advisor<'a> {
    user: &'a User,
    names: Vec<String>,
    grounds: &'a Grounds<'a>,
    actions: Vec<Action>,
    notes: Vec<String>,
}

impl<'a> Advisor<'a> {
    fn new(user: &'a User, grounds: &'a Grounds<'a>) -> Self {
        Self {
            names: grounds.key_ids.names(user),
            user,
            grounds,
            actions: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn create(&mut self, old: &AccessKey) -> String {
        self.actions.push(Action::Create {
            keys: self.user.keys.len(),
        });
        self.notes
            .push("then move the applications to the new key; the old one stays for now".into());
        format!("{}; no successor", self.described(old))
    }

    fn update(&mut self, old: &AccessKey, new: &AccessKey) -> String {
        let (from, to) = (self.shown(old), self.shown(new));
        self.notes.push(format!(
            "move the applications from {from} to {to}; {from} can be deactivated once it was idle for \
             {} days and {to} was used after it",
            self.grounds.policy.settle.num_days()
        ));
        if let Some([old, new]) = self.ids([old, new]) {
            self.actions.extend([
                Action::ShowLastUse { id: old },
                Action::ShowLastUse { id: new },
            ]);
        }
        if self.own(old).last_use == LastUse::Unknown {
            self.note_unknown(&from);
        }
        format!(
            "{}; successor: {}",
            self.described(old),
            self.described(new)
        )
    }

    fn deactivate(&mut self, old: &AccessKey, new: Option<&AccessKey>) -> String {
        let why = if let Some(new) = new {
            format!(
                "{}; successor: {}",
                self.described(old),
                self.described(new)
            )
        } else {
            self.notes
                .push("no successor; an annual or break-glass key? exempt it".into());
            format!("{}; no successor", self.described(old))
        };
        let ids = match new {
            Some(new) => self.ids([old, new]).map(|[old, new]| (old, Some(new))),
            None => self.ids([old]).map(|[old]| (old, None)),
        };
        if let Some((id, successor)) = ids {
            self.actions.push(Action::Deactivate {
                id,
                last_use: self.own(old).last_use.clone(),
                successor,
            });
        }
        why
    }

    fn confirm(&mut self, retired: &AccessKey) -> String {
        let retired = self.own(retired);
        let name = self.shown(retired);
        let ids = self.ids([retired]);
        let idle_since = match &retired.last_use {
            LastUse::At(used) => Some(used.time),
            LastUse::Never => Some(retired.created),
            LastUse::Unknown => None,
        };
        if let Some(since) = idle_since {
            let end = since
                .checked_add_signed(self.grounds.policy.unused)
                .unwrap_or(DateTime::<Utc>::MAX_UTC);
            self.notes.push(format!(
                "wait until {} and see whether anything misses {name}; from then on it can be deleted",
                instant(end)
            ));
        } else {
            self.note_unknown(&name);
            if let Some([id]) = &ids {
                self.actions.push(Action::ShowLastUse { id: id.clone() });
            }
        }
        // An expired key can't come back.
        if let Some([id]) = ids
            && retired.status == KeyStatus::Inactive
        {
            self.actions.push(Action::Reactivate { id });
        }
        let mut why = self.described(retired);
        if let Some(due) = self.first_due() {
            if retired.status == KeyStatus::Inactive {
                let due = self.shown(due);
                self.notes.push(format!(
                    "or activate {name} again and move the applications from {due} to it"
                ));
            }
            why = format!(
                "{why}; it takes the place that a successor needs: {}",
                self.described(due)
            );
        }
        why
    }

    fn delete(&mut self, retired: &AccessKey) -> String {
        self.push_delete(retired);
        format!(
            "{}: idle for {} days or more",
            self.described(retired),
            self.grounds.policy.unused.num_days()
        )
    }

    fn free(&mut self, retired: &AccessKey, old: &AccessKey) -> String {
        if self.push_delete(retired) {
            self.actions.push(Action::Create {
                keys: self.user.keys.len().saturating_sub(1),
            });
            self.notes.push(
                "then move the applications to the new key; the old one stays for now".into(),
            );
        }
        format!(
            "{}; no successor, and no room for one: {}",
            self.described(old),
            self.described(retired)
        )
    }

    /// Whether the key could be named.
    fn push_delete(&mut self, retired: &AccessKey) -> bool {
        let Some([id]) = self.ids([retired]) else {
            return false;
        };
        let retired = self.own(retired);
        self.actions.push(Action::Delete {
            id,
            status: retired.status.clone(),
            last_use: retired.last_use.clone(),
        });
        true
    }

    /// The keys' ids for a command. Where one of them can't be given, says why and how to look it
    /// up.
    fn ids<const N: usize>(&mut self, keys: [&AccessKey; N]) -> Option<[Box<str>; N]> {
        let mut slots = Vec::new();
        let mut ids = Vec::with_capacity(N);
        for key in keys {
            match &key.name {
                KeyName::Slot(_) => slots.push(format!(
                    "{} is the one created at {}",
                    self.shown(key),
                    instant(self.own(key).created)
                )),
                KeyName::Id(id) => ids.push(id.clone()),
            }
        }
        let why = if !slots.is_empty() {
            format!(
                "a credential report has no key ids, so look them up: {}",
                slots.join(", ")
            )
        } else if self.grounds.key_ids != KeyIdDisplay::Full {
            "key ids are not shown in full (--metrics.access-key-id), so no command can name one: look \
             them up, or plan with --metrics.access-key-id=full"
                .into()
        } else if ids.iter().any(|id| !is_key_id(id)) {
            "this can't be the id of an access key, so look it up".into()
        } else {
            return ids.try_into().ok();
        };
        self.actions.push(Action::ListKeys);
        self.notes.push(why);
        None
    }

    fn note_unknown(&mut self, name: &str) {
        self.notes.push(format!(
            "the last use of {name} is unknown, which counts as in use: iam:GetAccessKeyLastUsed is needed to \
             read it"
        ));
    }

    /// The active key that is due first, if any is due.
    fn first_due(&self) -> Option<&'a AccessKey> {
        let Grounds { policy, now, .. } = self.grounds;
        let due = self.user.keys.iter().filter(|key| policy.is_due(key, *now));
        due.min_by_key(|key| key.created)
    }

    /// The key as it was read.
    fn own(&self, key: &AccessKey) -> &'a AccessKey {
        &self.user.keys[self.index(key)]
    }

    fn index(&self, key: &AccessKey) -> usize {
        let same = |own: &AccessKey| own.name == key.name;
        self.user
            .keys
            .iter()
            .position(same)
            .expect("a step names the user's own keys")
    }

    fn shown(&self, key: &AccessKey) -> String {
        visible(&self.names[self.index(key)])
    }

    fn described(&self, key: &AccessKey) -> String {
        let index = self.index(key);
        let named = Named {
            name: &self.names[index],
            key: &self.user.keys[index],
        };
        named.described(self.grounds.policy, self.grounds.now)
    }
}
