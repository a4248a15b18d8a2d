//! The tags of one user, as far as they are known.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::Reading;
use crate::reason::Reason;

/// A user tag that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The tag's key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Arc<str>,
}

/// A user's tags, as far as they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tags {
    /// Nobody asked for them yet.
    #[default]
    NotAsked,
    /// Those that there are of the ones asked for. Shared by whoever remembers them.
    Known(Arc<ReadTags>),
    /// They could not be read.
    Unread(Reason),
}

/// What was read of a user's tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTags {
    /// When.
    pub time: DateTime<Utc>,
    /// The keys asked for: whether the user has a tag of another key isn't known. `None` if these are
    /// all tags that the user has.
    pub asked: Option<Arc<BTreeSet<Arc<str>>>>,
    /// The tags, of the keys asked for.
    pub tags: Vec<Tag>,
}

impl ReadTags {
    /// How long tags count if they can't be read again.
    const BELIEVED: TimeDelta = TimeDelta::hours(2);

    /// Whether they still count where they can't be read again.
    pub fn are_believed(&self, now: DateTime<Utc>) -> bool {
        now - self.time < Self::BELIEVED
    }

    fn tell_of(&self, key: &str) -> bool {
        self.asked.as_ref().is_none_or(|asked| asked.contains(key))
    }
}

impl Tags {
    /// All tags that the user has.
    pub fn all(time: DateTime<Utc>, tags: Vec<Tag>) -> Self {
        Self::Known(Arc::new(ReadTags {
            time,
            asked: None,
            tags,
        }))
    }

    /// The tags known.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        let known: &[Tag] = match self {
            Self::Known(read) => &read.tags,
            Self::NotAsked | Self::Unread(_) => &[],
        };
        known.iter()
    }

    /// The value of the tag of that key, the first one if there are several. `None` means that there
    /// is no such tag only if the tags [tell of](Self::tell_of) it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|tag| *tag.key == *key)
            .map(|tag| &*tag.value)
    }

    /// Whether it is known if the user has a tag of that key.
    pub fn tell_of(&self, key: &str) -> bool {
        match self {
            Self::Known(read) => read.tell_of(key),
            Self::NotAsked | Self::Unread(_) => false,
        }
    }

    /// Whether they were asked for and one of these keys is not known for all that.
    pub(super) fn lack(&self, keys: &BTreeSet<Arc<str>>) -> bool {
        match self {
            Self::NotAsked => false,
            Self::Known(read) => !keys.iter().all(|key| read.tell_of(key)),
            Self::Unread(_) => true,
        }
    }

    /// Where the tags of a user could not be read this time, or nobody could ask for them because the
    /// user could not be read: takes the earlier ones, unless they have lapsed. Their account is read
    /// otherwise, so that nothing else would ever tell that they are old.
    pub(super) fn or_earlier(&mut self, earlier: &Self, reading: Reading, now: DateTime<Utc>) {
        let reason = match (self.clone(), reading) {
            (Self::Known(_), _) | (Self::NotAsked, Reading::Complete) => return,
            (Self::Unread(reason), _) | (Self::NotAsked, Reading::Unread(reason)) => reason,
        };
        match earlier {
            Self::Known(read) if read.are_believed(now) => self.clone_from(earlier),
            Self::Known(_) | Self::Unread(_) => *self = Self::Unread(reason),
            Self::NotAsked => {}
        }
    }
}
