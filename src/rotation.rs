//! Where a user stands in the rotation of a key, and what comes next.
//!
//! The control's own remediation (create the second key, move the applications, look at its last
//! use, deactivate, watch, delete) is a state machine that can be read from the keys alone. IAM
//! allows two keys a user, but more have been seen, so nothing here counts on two.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::{
    inventory::User,
    key::{AccessKey, LastUse},
    policy::Policy,
};

/// The next action for a user, with the keys it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing to do.
    None,
    /// Create a second key: `old` is due and has no successor.
    Create {
        /// The key that is due.
        old: &'a AccessKey,
    },
    /// Move the applications from `old` to `new`.
    Update {
        /// The key to retire.
        old: &'a AccessKey,
        /// Its successor.
        new: &'a AccessKey,
    },
    /// Deactivate `old`: it is dormant, or idle while its successor is in use.
    Deactivate {
        /// The key to retire.
        old: &'a AccessKey,
        /// Its successor; none for a sole dormant key.
        new: Option<&'a AccessKey>,
    },
    /// Wait and see whether anything misses the deactivated key `retired`.
    Confirm {
        /// The key that isn't active any more.
        retired: &'a AccessKey,
    },
    /// Delete `retired`: nobody has used it for the unused time.
    Delete {
        /// The key that isn't active any more.
        retired: &'a AccessKey,
    },
    /// Delete `retired` to make room for a successor to `old`.
    Free {
        /// The key that isn't active any more.
        retired: &'a AccessKey,
        /// The key that is due.
        old: &'a AccessKey,
    },
}

impl Step<'_> {
    /// Every step's name, [`Step::None`] included.
    pub const NAMES: [&'static str; 7] = [
        "none",
        "create",
        "update",
        "deactivate",
        "confirm",
        "delete",
        "free",
    ];

    /// The step's name, as in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Deactivate { .. } => "deactivate",
            Self::Confirm { .. } => "confirm",
            Self::Delete { .. } => "delete",
            Self::Free { .. } => "free",
        }
    }
}

/// The one step `user` is in.
pub fn step<'a>(user: &'a User, policy: &Policy, now: DateTime<Utc>) -> Step<'a> {
    if user.is_exempt(now) {
        return Step::None;
    }
    let retired = most_idle(user.keys.iter().filter(|key| !key.is_active()), now);
    let Some(old) = key_to_retire(user, policy, now) else {
        return match retired {
            None => Step::None,
            Some(retired) if policy.is_dormant(retired, now) => Step::Delete { retired },
            Some(retired) => Step::Confirm { retired },
        };
    };
    let new = successor(user, old, policy, now);
    if policy.is_dormant(old, now) {
        return Step::Deactivate { old, new };
    }
    match (new, retired) {
        (Some(new), _) if policy.is_settled(old, now) && used_after(new, old) => Step::Deactivate {
            old,
            new: Some(new),
        },
        (Some(new), _) => Step::Update { old, new },
        (None, None) => Step::Create { old },
        (None, Some(retired)) if policy.is_dormant(retired, now) => Step::Free { retired, old },
        (None, Some(retired)) => Step::Confirm { retired },
    }
}

/// The due key to retire first: the most idle dormant one, else the most idle one that has settled,
/// else the oldest.
fn key_to_retire<'a>(user: &'a User, policy: &Policy, now: DateTime<Utc>) -> Option<&'a AccessKey> {
    let due = || user.keys.iter().filter(|key| policy.is_due(key, now));
    most_idle(due().filter(|key| policy.is_dormant(key, now)), now)
        .or_else(|| most_idle(due().filter(|key| policy.is_settled(key, now)), now))
        .or_else(|| due().min_by_key(|key| (key.created, &key.name)))
}

/// Another active key, one that isn't due before one that is, the newest first.
fn successor<'a>(
    user: &'a User,
    old: &AccessKey,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<&'a AccessKey> {
    user.keys
        .iter()
        .filter(|key| key.is_active() && key.name != old.name)
        .min_by_key(|key| (policy.is_due(key, now), Reverse(key.created), &key.name))
}

/// The key that has gone unused for longest; the oldest, then the first by name, of equals.
/// One whose last use is unknown comes last.
fn most_idle<'a>(
    keys: impl Iterator<Item = &'a AccessKey>,
    now: DateTime<Utc>,
) -> Option<&'a AccessKey> {
    keys.min_by_key(|key| {
        (
            key.last_use == LastUse::Unknown,
            Reverse(key.idle(now)),
            key.created,
            &key.name,
        )
    })
}

/// Whether `new` was seen in use after the last use of `old`.
fn used_after(new: &AccessKey, old: &AccessKey) -> bool {
    match (&new.last_use, &old.last_use) {
        (LastUse::At(new), LastUse::At(old)) => new.time > old.time,
        (LastUse::At(_), LastUse::Never) => true,
        (LastUse::At(_), LastUse::Unknown) | (LastUse::Never | LastUse::Unknown, _) => false,
    }
}
