//! The actions, notes and reasons of each step.

use chrono::{DateTime, Utc};

use super::{
    advice::{Action, Grounds},
    command::is_key_id,
    words::{Named, instant},
};
use crate::visible::visible;
use crate::{
    inventory::User,
    key::{AccessKey, KeyName, KeyStatus, LastUse},
    policy::Thresholds,
    snapshot::KeyIdDisplay,
};

/// Gathers what to do and to know for one user.
pub(super) struct Advisor<'a> {
    user: &'a User,
    names: Vec<String>,
    thresholds: Thresholds,
    grounds: &'a Grounds<'a>,
    pub(super) actions: Vec<Action>,
    pub(super) notes: Vec<String>,
}

impl<'a> Advisor<'a> {
    pub(super) fn new(user: &'a User, grounds: &'a Grounds<'a>) -> Self {
        Self {
            names: grounds.key_ids.names(user),
            thresholds: grounds.policy.of(user),
            user,
            grounds,
            actions: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn create(&mut self, old: &AccessKey) -> String {
        self.actions.push(Action::Create {
            keys: self.user.keys.len(),
        });
        self.notes
            .push("then move the applications to the new key; the old one stays for now".into());
        format!("{}; no successor", self.described(old))
    }

    pub(super) fn update(&mut self, old: &AccessKey, new: &AccessKey) -> String {
        let (from, to) = (self.shown(old), self.shown(new));
        self.notes.push(format!(
            "move the applications from {from} to {to}; {from} can be deactivated once it was idle for \
             {} days and {to} was used after it",
            self.thresholds.settle.num_days()
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

    pub(super) fn deactivate(&mut self, old: &AccessKey, new: Option<&AccessKey>) -> String {
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

    pub(super) fn confirm(&mut self, retired: &AccessKey) -> String {
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
                .checked_add_signed(self.thresholds.unused)
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

    pub(super) fn delete(&mut self, retired: &AccessKey) -> String {
        self.push_delete(retired);
        format!(
            "{}: idle for {} days or more",
            self.described(retired),
            self.thresholds.unused.num_days()
        )
    }

    pub(super) fn free(&mut self, retired: &AccessKey, old: &AccessKey) -> String {
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
                KeyName::Id(id) => ids.push(Box::from(&**id)),
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
        let now = self.grounds.now;
        let is_due = |key: &&AccessKey| self.thresholds.is_due(key, now);
        let due = self.user.keys.iter().filter(is_due);
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
        visible(&self.names[self.index(key)]).into_owned()
    }

    fn described(&self, key: &AccessKey) -> String {
        let index = self.index(key);
        let named = Named {
            name: &self.names[index],
            key: &self.user.keys[index],
        };
        named.described(&self.thresholds, self.grounds.now)
    }
}
