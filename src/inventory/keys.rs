//! The keys of one user.

use std::{ops::Deref, slice, sync::Arc};

use crate::key::AccessKey;

/// The keys of a user, by creation, each name once: no two series of a scrape may be equal.
///
/// Shared: what a source remembers of a user, one snapshot and the next hold the same keys, as long as
/// nothing about them changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Arc<[AccessKey]>);

impl Keys {
    /// The keys, to change what may change of a key: its status and last use. Nobody else who holds
    /// them sees that.
    pub fn change(&mut self) -> &mut [AccessKey] {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<AccessKey>> for Keys {
    /// Puts the keys in order, and keeps one of each name.
    fn from(mut keys: Vec<AccessKey>) -> Self {
        if keys.is_empty() {
            return Self::default();
        }
        keys.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let mut seen = Vec::with_capacity(keys.len());
        keys.retain(|key| {
            let new = !seen.contains(&key.name);
            if new {
                seen.push(key.name.clone());
            }
            new
        });
        Self(keys.into())
    }
}

impl Deref for Keys {
    type Target = [AccessKey];

    fn deref(&self) -> &[AccessKey] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Keys {
    type Item = &'a AccessKey;
    type IntoIter = slice::Iter<'a, AccessKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::key::{KeyName, KeyStatus, LastUse};

    fn key(name: &str, second: i64) -> AccessKey {
        AccessKey {
            name: KeyName::Id(name.into()),
            status: KeyStatus::Active,
            created: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            last_use: LastUse::Unknown,
        }
    }

    #[test]
    fn they_stand_by_creation_and_each_name_once() {
        let keys = Keys::from(vec![key("c", 1), key("b", 2), key("a", 2), key("c", 3)]);
        let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert!(Keys::from(Vec::new()).is_empty());
    }

    #[test]
    fn who_shares_them_sees_no_change() {
        let shared = Keys::from(vec![key("a", 1)]);
        let mut own = shared.clone();
        assert!(Arc::ptr_eq(&own.0, &shared.0));
        own.change()[0].last_use = LastUse::Never;
        assert_eq!(shared[0].last_use, LastUse::Unknown);
        assert_eq!(own[0].last_use, LastUse::Never);
    }
}
