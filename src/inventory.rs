//! What one account holds: its users and their keys, as last read.

mod keys;
mod tags;

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
    sync::{Arc, LazyLock},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    intern::Word,
    key::{AccessKey, AccountId, KeyName, KeyStatus},
    reason::Reason,
};

pub use self::{
    keys::Keys,
    tags::{ReadTags, Tag, Tags},
};

/// An account and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its 12 digits.
    pub id: AccountId,
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: Arc<str>,
    /// The name it has in its organisation, where known.
    pub name: Option<Arc<str>>,
    /// Its IAM alias, where there is one and it may be read.
    pub alias: Option<Arc<str>>,
}

/// Whether a user's keys could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All of them were, the last time.
    Complete,
    /// They weren't, the last time; the keys held are the last ones known.
    Unread(Reason),
}

/// A dispensation from the rule. It mutes alerts; it never makes a user compliant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// Why, in words for an auditor.
    pub reason: Arc<str>,
    /// The instant from which it no longer counts; `None` means no end.
    pub until: Option<DateTime<Utc>>,
}

/// A max age that differs from the default: of whole seconds, and up to 136 years, for there is one in
/// every user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnMaxAge(NonZeroU32);

impl From<TimeDelta> for OwnMaxAge {
    fn from(max_age: TimeDelta) -> Self {
        let longest = i64::from(u32::MAX);
        let seconds = u32::try_from(max_age.num_seconds().clamp(1, longest));
        let seconds = seconds.ok().and_then(NonZeroU32::new);
        Self(seconds.expect("it is within the bounds"))
    }
}

impl From<OwnMaxAge> for TimeDelta {
    fn from(OwnMaxAge(seconds): OwnMaxAge) -> Self {
        Self::seconds(seconds.get().into())
    }
}

/// The path of most users.
static ROOT_PATH: LazyLock<Word> = LazyLock::new(|| "/".into());

/// An IAM user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The IAM user name, unique in the account.
    pub name: Arc<str>,
    /// The path in IAM, which begins and ends with a slash; `/` is the default there and where the
    /// source doesn't tell.
    pub path: Word,
    /// The keys.
    pub keys: Keys,
    /// Whether `keys` is the whole truth of the last refresh.
    pub reading: Reading,
    /// The max age that a rule gives the user, if it isn't the default. Kept up by
    /// [`Policy::apply`](crate::policy::Policy::apply).
    pub max_age: Option<OwnMaxAge>,
    /// The exemption that covers the user, in force or not. Kept up likewise.
    pub exemption: Option<Arc<Exemption>>,
    /// The tags asked for.
    pub tags: Tags,
}

impl User {
    /// A user whose keys were all read.
    pub fn read(name: impl Into<Arc<str>>, keys: Vec<AccessKey>) -> Self {
        Self::new(name.into(), keys.into(), Reading::Complete)
    }

    /// A user who could not be read, or only in part: `keys` are those that could.
    pub fn unread(name: impl Into<Arc<str>>, keys: Vec<AccessKey>, reason: Reason) -> Self {
        Self::new(name.into(), keys.into(), Reading::Unread(reason))
    }

    /// A user of whom nothing else is known.
    pub fn new(name: Arc<str>, keys: Keys, reading: Reading) -> Self {
        Self {
            name,
            path: ROOT_PATH.clone(),
            keys,
            reading,
            max_age: None,
            exemption: None,
            tags: Tags::NotAsked,
        }
    }

    /// Why the user doesn't count as read, if so: the read failed, or a key has a status this
    /// version can't judge.
    pub fn unread_reason(&self) -> Option<Reason> {
        match self.reading {
            Reading::Unread(reason) => Some(reason),
            Reading::Complete => self
                .keys
                .iter()
                .any(|key| matches!(key.status, KeyStatus::Other(_)))
                .then_some(Reason::MalformedResponse),
        }
    }

    /// Whether every key of the user was read and can be judged.
    pub fn is_read(&self) -> bool {
        self.unread_reason().is_none()
    }

    /// Whether an exemption is in force.
    pub fn is_exempt(&self, now: DateTime<Utc>) -> bool {
        self.exemption
            .as_ref()
            .is_some_and(|exemption| exemption.until.is_none_or(|until| now < until))
    }

    /// The keys now known of a user who wasn't read this time: those of `previous`, overridden by
    /// what could be read. A slot may be one of the keys that are known by id, so slots are dropped
    /// beside ids.
    fn remember(&mut self, previous: &Self) {
        let missing = previous
            .keys
            .iter()
            .filter(|old| self.keys.iter().all(|key| key.name != old.name));
        let mut keys: Vec<_> = self.keys.iter().chain(missing).cloned().collect();
        let has_id = |key: &AccessKey| matches!(key.name, KeyName::Id(_));
        if keys.iter().any(has_id) {
            keys.retain(has_id);
        }
        self.keys = keys.into();
    }
}

/// The root user's keys, as far as the source tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RootKeys {
    /// How many are active; only a credential report tells.
    pub active: Option<u32>,
    /// Whether there are any.
    pub present: Option<bool>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The cause, as it is counted.
    pub reason: Reason,
    /// What failed and what to do about it, on one line and without secrets.
    pub message: String,
}

/// Whether the list of users is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Every user is there.
    Complete,
    /// It broke off, so users may be missing.
    Truncated(Reason),
}

/// One account, as one refresh found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Whose.
    pub account: Account,
    /// The users who have a key or could not be read, and others where the source tells, each name
    /// once.
    pub users: Vec<User>,
    /// IAM users in the account, root not counted; `None` if the listing never came to its end.
    pub user_count: Option<usize>,
    /// The root user's keys.
    pub root: RootKeys,
    /// How old the truth is: the oldest of the listing's time, the report's `GeneratedTime` and the
    /// file's modification time.
    pub data_time: DateTime<Utc>,
    /// Whether `users` is whole.
    pub listing: Listing,
    /// What could not be read, each reason once: for the log, and for what belongs to no user's keys.
    pub troubles: Vec<Trouble>,
}

impl Inventory {
    /// Whether everything was read.
    pub fn is_complete(&self) -> bool {
        self.listing == Listing::Complete
            && self.troubles.is_empty()
            && self.users.iter().all(User::is_read)
    }

    /// How many users could not be read.
    pub fn unread_users(&self) -> usize {
        self.users.iter().filter(|user| !user.is_read()).count()
    }

    /// How many users' tags were asked for and could not be read, or not those of the `wanted` keys.
    pub fn users_with_unread_tags(&self, wanted: &BTreeSet<Arc<str>>) -> usize {
        let unread = |user: &&User| user.tags.lack(wanted);
        self.users.iter().filter(unread).count()
    }

    /// Why the inventory isn't complete: each reason once, in the order of [`Reason::ALL`].
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<_> = self.users.iter().filter_map(User::unread_reason).collect();
        if let Listing::Truncated(reason) = self.listing {
            reasons.push(reason);
        }
        reasons.extend(self.troubles.iter().map(|trouble| trouble.reason));
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// The first of what could not be read, in words for a person, if the source had any.
    pub fn first_trouble(&self) -> Option<&str> {
        self.troubles.first().map(|trouble| &*trouble.message)
    }

    /// How far the last uses of a user's keys are known: as far as the data goes, and not at all of a
    /// user who wasn't read, whose keys are those of an earlier time. Whatever may have happened since
    /// counts as use.
    pub fn seen(&self, user: &User, now: DateTime<Utc>) -> DateTime<Utc> {
        if user.is_read() {
            self.data_time.min(now)
        } else {
            DateTime::<Utc>::MIN_UTC
        }
    }

    /// Fills in what this refresh, at `now`, could not read from what was known before: the keys of the
    /// users that weren't read, tags that aren't too old, and, where the listing broke off, the users
    /// that it didn't reach.
    #[must_use]
    pub fn filled_from(mut self, previous: &Self, now: DateTime<Utc>) -> Self {
        let mut known: HashMap<&str, &User> = previous
            .users
            .iter()
            .map(|user| (&*user.name, user))
            .collect();
        for user in &mut self.users {
            if let Some(old) = known.remove(&*user.name) {
                if matches!(user.reading, Reading::Unread(_)) {
                    user.remember(old);
                }
                user.tags.or_earlier(&old.tags, user.reading, now);
            }
        }
        if let Listing::Truncated(reason) = self.listing {
            let mut unreached: Vec<User> = known.into_values().cloned().collect();
            unreached.sort_by(|a, b| a.name.cmp(&b.name));
            for user in &mut unreached {
                user.reading = Reading::Unread(reason);
                let earlier = std::mem::take(&mut user.tags);
                user.tags.or_earlier(&earlier, user.reading, now);
            }
            self.users.extend(unreached);
            // How many users there are beyond those reached is known only from before.
            self.user_count = previous.user_count.map(|known| known.max(self.users.len()));
            self.data_time = self.data_time.min(previous.data_time);
        }
        if !self.is_complete() {
            self.root = RootKeys {
                active: self.root.active.or(previous.root.active),
                present: self.root.present.or(previous.root.present),
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyName, LastUse};

    fn start() -> DateTime<Utc> {
        "2024-06-30T12:00:00Z".parse().unwrap()
    }

    fn key(name: &str, age: i64) -> AccessKey {
        AccessKey {
            name: KeyName::Id(name.into()),
            status: KeyStatus::Active,
            created: start() - TimeDelta::days(age),
            last_use: LastUse::Never,
        }
    }

    fn tags(value: &str, hours_ago: i64) -> Tags {
        let tag = Tag {
            key: "owner".into(),
            value: value.into(),
        };
        Tags::all(start() - TimeDelta::hours(hours_ago), vec![tag])
    }

    fn inventory(users: Vec<User>, listing: Listing) -> Inventory {
        Inventory {
            account: Account {
                id: "111122223333".parse().unwrap(),
                partition: "aws".into(),
                name: None,
                alias: None,
            },
            user_count: Some(users.len()),
            users,
            root: RootKeys::default(),
            data_time: start(),
            listing,
            troubles: Vec::new(),
        }
    }

    fn names(keys: &[AccessKey]) -> Vec<&str> {
        keys.iter().map(|key| key.name.as_str()).collect()
    }

    fn user_names(inventory: &Inventory) -> Vec<&str> {
        inventory.users.iter().map(|user| &*user.name).collect()
    }

    const TRUNCATED: Listing = Listing::Truncated(Reason::Throttled);

    #[test]
    fn keys_stand_in_order_of_creation_each_name_once() {
        let user = User::read(
            "a",
            vec![key("C", 1), key("B", 9), key("A", 9), key("C", 1)],
        );
        assert_eq!(names(&user.keys), ["A", "B", "C"]);
    }

    #[test]
    fn a_user_with_a_status_never_heard_of_does_not_count_as_read() {
        let mut odd = key("A", 1);
        odd.status = KeyStatus::from("Suspended");
        let user = User::read("a", vec![odd, key("B", 1)]);
        assert_eq!(user.unread_reason(), Some(Reason::MalformedResponse));
        let inventory = inventory(vec![user, User::read("b", Vec::new())], Listing::Complete);
        assert!(!inventory.is_complete());
        assert_eq!(inventory.unread_users(), 1);
    }

    #[test]
    fn the_reasons_of_an_incomplete_inventory_come_once_each_and_in_order() {
        let unread = |name: &str, reason| User::unread(name, Vec::new(), reason);
        let users = vec![
            unread("a", Reason::Timeout),
            unread("b", Reason::AccessDenied),
            unread("c", Reason::Timeout),
            User::read("d", Vec::new()),
        ];
        let found = inventory(users, TRUNCATED);
        assert_eq!(
            found.reasons(),
            [Reason::AccessDenied, Reason::Throttled, Reason::Timeout]
        );
        assert_eq!(found.unread_users(), 3);
        assert!(inventory(Vec::new(), Listing::Complete).is_complete());
        assert!(!inventory(Vec::new(), TRUNCATED).is_complete());
    }

    #[test]
    fn a_user_who_could_not_be_read_keeps_the_last_known_keys_under_what_could_be_read() {
        let mut known = User::read("a", vec![key("A", 50), key("B", 20)]);
        known.tags = tags("alice", 1);
        let previous = inventory(vec![known], Listing::Complete);
        let mut deactivated = key("B", 20);
        deactivated.status = KeyStatus::Inactive;
        let partial = User::unread("a", vec![key("C", 1), deactivated], Reason::Timeout);
        let filled = inventory(vec![partial], Listing::Complete).filled_from(&previous, start());
        let user = &filled.users[0];
        assert_eq!(names(&user.keys), ["A", "B", "C"]);
        assert_eq!(user.keys[1].status, KeyStatus::Inactive);
        assert_eq!(user.unread_reason(), Some(Reason::Timeout));
        assert_eq!(user.tags, tags("alice", 1));
    }

    #[test]
    fn earlier_tags_lapse_after_two_hours_where_they_cannot_be_read() {
        let timeout = Reason::Timeout;
        let unread_tags = User {
            tags: Tags::Unread(timeout),
            ..User::read("a", Vec::new())
        };
        let unread_keys = User::unread("a", Vec::new(), timeout);
        let broken = inventory(Vec::new(), Listing::Truncated(timeout));
        for now in [
            inventory(vec![unread_tags], Listing::Complete),
            inventory(vec![unread_keys], Listing::Complete),
            broken,
        ] {
            let filled = |hours_ago| {
                let user = User {
                    tags: tags("alice", hours_ago),
                    ..User::read("a", Vec::new())
                };
                let previous = inventory(vec![user], Listing::Complete);
                let mut filled = now.clone().filled_from(&previous, start());
                filled.users.remove(0).tags
            };
            assert_eq!(filled(1), tags("alice", 1));
            assert_eq!(filled(2), Tags::Unread(timeout));
        }
    }

    #[test]
    fn users_count_as_unread_whose_tags_leave_a_wanted_key_open() {
        let with = |tags| User {
            tags,
            ..User::read("a", Vec::new())
        };
        let asked = |keys: &[&str]| {
            let keys: BTreeSet<Arc<str>> = keys.iter().map(|key| Arc::from(*key)).collect();
            Tags::Known(Arc::new(ReadTags {
                time: start(),
                asked: Some(Arc::new(keys)),
                tags: Vec::new(),
            }))
        };
        let users = vec![
            with(Tags::NotAsked),
            with(Tags::Unread(Reason::Timeout)),
            with(asked(&["kind"])),
            with(asked(&["kind", "team"])),
            with(Tags::all(start(), Vec::new())),
        ];
        let found = inventory(users, Listing::Complete);
        let unread = |keys: &[&str]| {
            found.users_with_unread_tags(&keys.iter().map(|key| Arc::from(*key)).collect())
        };
        assert_eq!(
            [unread(&[]), unread(&["kind"]), unread(&["team"])],
            [1, 1, 2]
        );
    }

    #[test]
    fn a_user_who_was_read_keeps_nothing_of_before() {
        let mut known = User::read("a", vec![key("A", 50)]);
        known.tags = tags("alice", 1);
        let previous = inventory(vec![known], Listing::Complete);
        let now = inventory(vec![User::read("a", vec![key("B", 1)])], Listing::Complete);
        assert_eq!(now.clone().filled_from(&previous, start()), now);
    }

    #[test]
    fn a_whole_listing_drops_who_is_gone_and_a_broken_one_keeps_who_was_not_reached() {
        let previous = inventory(
            ["c", "a", "b"]
                .map(|name| User::read(name, vec![key(name, 5)]))
                .to_vec(),
            Listing::Complete,
        );
        let users = || vec![User::read("d", Vec::new()), User::read("b", Vec::new())];
        let whole = inventory(users(), Listing::Complete).filled_from(&previous, start());
        assert_eq!(user_names(&whole), ["d", "b"]);

        let broken = inventory(users(), TRUNCATED).filled_from(&previous, start());
        assert_eq!(user_names(&broken), ["d", "b", "a", "c"]);
        assert_eq!(broken.users[1].keys, Keys::default(), "b was read");
        for unreached in &broken.users[2..] {
            assert_eq!(unreached.unread_reason(), Some(Reason::Throttled));
            assert_eq!(unreached.keys.len(), 1);
        }
        assert_eq!(broken.user_count, Some(4));
    }

    #[test]
    fn a_broken_listing_is_as_old_as_what_it_was_filled_from() {
        let mut previous = inventory(Vec::new(), Listing::Complete);
        previous.data_time = start() - TimeDelta::hours(1);
        previous.user_count = Some(7);
        previous.root = RootKeys {
            active: Some(1),
            present: Some(true),
        };
        let mut now = inventory(Vec::new(), TRUNCATED);
        now.root.present = Some(false);
        let filled = now.filled_from(&previous, start());
        assert_eq!(filled.data_time, previous.data_time);
        assert_eq!(filled.user_count, Some(7));
        assert_eq!(filled.root.active, Some(1));
        assert_eq!(filled.root.present, Some(false), "what was read now counts");
        let whole = inventory(Vec::new(), Listing::Complete).filled_from(&previous, start());
        assert_eq!((whole.data_time, whole.user_count), (start(), Some(0)));
    }

    fn any_users() -> impl Strategy<Value = Vec<User>> {
        let keys = proptest::collection::vec(
            ("[A-D]", 0_i64..5).prop_map(|(name, age)| key(&name, age)),
            0..4,
        );
        let user = ("[a-e]", keys, any::<bool>()).prop_map(|(name, keys, is_read)| {
            if is_read {
                User::read(name, keys)
            } else {
                User::unread(name, keys, Reason::Timeout)
            }
        });
        proptest::collection::vec(user, 0..6).prop_map(|mut users| {
            users.sort_by(|a, b| a.name.cmp(&b.name));
            users.dedup_by(|a, b| a.name == b.name);
            users
        })
    }

    fn any_inventory() -> impl Strategy<Value = Inventory> {
        (any_users(), any::<bool>()).prop_map(|(users, is_whole)| {
            inventory(
                users,
                if is_whole {
                    Listing::Complete
                } else {
                    TRUNCATED
                },
            )
        })
    }

    proptest! {
        #[test]
        fn filling_in_loses_no_known_key_of_who_was_not_read_and_invents_nobody(
            previous in any_inventory(),
            now in any_inventory(),
        ) {
            let filled = now.clone().filled_from(&previous, start());
            let of = |inventory: &Inventory, name: &str| {
                inventory.users.iter().find(|user| &*user.name == name).cloned()
            };
            let mut unique = user_names(&filled);
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), filled.users.len());
            prop_assert!(filled.user_count.is_none_or(|count| count >= filled.users.len()));
            prop_assert_eq!(filled.is_complete(), now.is_complete());
            for user in &filled.users {
                let known = of(&previous, &user.name);
                match of(&now, &user.name) {
                    Some(read) if read.is_read() => prop_assert_eq!(user, &read),
                    read => {
                        prop_assert!(!user.is_read());
                        let sources = [read, known].map(|user| user.map_or(Keys::default(), |user| user.keys));
                        for key in &user.keys {
                            prop_assert!(sources.iter().flatten().any(|known| known == key));
                        }
                        for known in sources.iter().flatten() {
                            prop_assert!(user.keys.iter().any(|key| key.name == known.name));
                        }
                        prop_assert_eq!(&Keys::from(user.keys.to_vec()), &user.keys);
                    }
                }
            }
            for known in &previous.users {
                let is_there = of(&filled, &known.name).is_some();
                let is_listed = of(&now, &known.name).is_some();
                prop_assert_eq!(is_there, is_listed || now.listing != Listing::Complete);
            }
            prop_assert_eq!(filled.clone().filled_from(&previous, start()), filled, "filling twice is filling once");
        }
    }
}
