//! The one published state that every surface reads.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    inventory::{Inventory, User},
    key::{AccountId, KeyName},
    policy::Policy,
    reason::Reason,
    shard::Shard,
};

/// How access key ids are shown, the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyIdDisplay {
    /// The whole id.
    #[default]
    Full,
    /// Its last four characters, with a suffix where two keys of a user share them.
    Last4,
    /// `key-1`, `key-2`, … by creation.
    None,
}

impl KeyIdDisplay {
    /// Every way, with its name as a setting.
    pub const ALL: [(&'static str, Self); 3] = [
        ("full", Self::Full),
        ("last4", Self::Last4),
        ("none", Self::None),
    ];

    /// The names of a user's keys, in the order of `user.keys`, no two the same.
    pub fn names(self, user: &User) -> Vec<String> {
        match self {
            Self::Full => user.keys.iter().map(|key| key.name.to_string()).collect(),
            Self::None => (1..=user.keys.len()).map(|n| format!("key-{n}")).collect(),
            Self::Last4 => {
                let mut names: Vec<String> = Vec::with_capacity(user.keys.len());
                for key in &user.keys {
                    let name = unlike_any(last_four(&key.name), &names);
                    names.push(name);
                }
                names
            }
        }
    }
}

/// The last four characters of an id; a slot has nothing to hide.
fn last_four(name: &KeyName) -> &str {
    match name {
        KeyName::Slot(_) => name.as_str(),
        KeyName::Id(id) => id
            .char_indices()
            .rev()
            .nth(3)
            .map_or(id, |(start, _)| &id[start..]),
    }
}

/// `name`, or `name-2`, `name-3`, … if it is taken.
fn unlike_any(name: &str, taken: &[String]) -> String {
    let mut candidate = name.to_owned();
    let mut n = 2;
    while taken.contains(&candidate) {
        candidate = format!("{name}-{n}");
        n += 1;
    }
    candidate
}

/// A user tag that becomes a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLabel {
    /// The tag's key.
    pub tag: Arc<str>,
    /// The label's name, which begins with `tag_`.
    pub label: Arc<str>,
}

impl TagLabel {
    /// The label is called as the tag, with `_` for whatever a label name can't hold.
    pub fn of(tag: Arc<str>) -> Self {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = tag.chars().map(legal).collect();
        Self::named(tag, &name)
    }

    /// The label is called otherwise: `tag_` and `name`, which has letters, digits and `_` only.
    pub fn named(tag: Arc<str>, name: &str) -> Self {
        Self {
            tag,
            label: format!("tag_{name}").into(),
        }
    }
}

/// What is known of one account, from its last good read and its last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// Whose.
    pub id: AccountId,
    /// The last data read, whole or in part; `None` if there never was any.
    pub inventory: Option<Arc<Inventory>>,
    /// Whether the last refresh read the account at all, be it in part.
    pub reached: bool,
    /// Why the last refresh didn't read everything; empty if it did.
    pub failures: Vec<Reason>,
    /// When a refresh last read everything.
    pub last_success: Option<DateTime<Utc>>,
    /// How long the last refresh took.
    pub duration: Duration,
}

impl AccountState {
    /// Whether the last refresh read the account completely.
    pub fn is_up(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Which accounts this exporter reads, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// How many; `None` before the first look for them.
    pub accounts: Option<usize>,
    /// Whether a look under the configuration in force succeeded, so that there are no others.
    pub is_certain: bool,
    /// When a look for the accounts last succeeded; `None` where they don't have to be looked for.
    pub last_discovery: Option<DateTime<Utc>>,
    /// Of which part of all accounts they are.
    pub shard: Shard,
}

impl Scope {
    /// Nothing was looked for yet.
    pub const UNKNOWN: Self = Self {
        accounts: None,
        is_certain: false,
        last_discovery: None,
        shard: Shard::WHOLE,
    };

    /// Whether it is certain that there is nothing to read.
    pub fn is_empty(self) -> bool {
        self.is_certain && self.accounts == Some(0)
    }
}

/// Everything the surfaces need, immutable. Ages and verdicts are computed from it with the `now`
/// of the reader.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The accounts tried so far, by id, each once.
    pub accounts: Vec<AccountState>,
    /// Why an account whose id isn't known yet could not be read, if so.
    pub unidentified: Option<Reason>,
    /// Whether every account was tried at least once.
    pub tried: bool,
    /// Which accounts are read.
    pub scope: Scope,
    /// The thresholds in force.
    pub policy: Arc<Policy>,
    /// The user tags that become labels, no two of one name.
    pub tags: Arc<[TagLabel]>,
    /// How key ids are shown.
    pub key_ids: KeyIdDisplay,
    /// The time between two refreshes.
    pub refresh_interval: Duration,
}

impl Snapshot {
    /// The state before the first refresh.
    pub fn before_first_refresh(
        policy: Arc<Policy>,
        key_ids: KeyIdDisplay,
        refresh_interval: Duration,
    ) -> Self {
        Self {
            accounts: Vec::new(),
            unidentified: None,
            tried: false,
            scope: Scope::UNKNOWN,
            policy,
            tags: Arc::default(),
            key_ids,
            refresh_interval,
        }
    }

    /// Whether there is something true to serve: every account was tried once and at least one has
    /// been read, or there is none to read: a shard without an account is as ready as it can be.
    pub fn is_ready(&self) -> bool {
        let is_read = |account: &AccountState| account.inventory.is_some();
        self.tried && (self.scope.is_empty() || self.accounts.iter().any(is_read))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        inventory::{Account, Listing, RootKeys},
        key::{AccessKey, KeyStatus, LastUse, Slot},
    };

    fn user(names: Vec<KeyName>) -> User {
        let keys = names
            .into_iter()
            .map(|name| AccessKey {
                name,
                status: KeyStatus::Active,
                created: DateTime::UNIX_EPOCH,
                last_use: LastUse::Never,
            })
            .collect();
        User::read("a", keys)
    }

    fn ids(ids: &[&str]) -> User {
        user(ids.iter().map(|id| KeyName::Id((*id).into())).collect())
    }

    #[test]
    fn a_key_is_shown_whole_by_its_end_or_by_its_number() {
        let user = ids(&[
            "AKIAIOSFODNN7EXAMPLE",
            "AKIAI44QH8DHBEXAMPLE",
            "AKIAI44QH8DHBEXAMXYZ",
        ]);
        assert_eq!(KeyIdDisplay::Full.names(&user)[0], "AKIAI44QH8DHBEXAMPLE");
        assert_eq!(KeyIdDisplay::Last4.names(&user), ["MPLE", "MXYZ", "MPLE-2"]);
        assert_eq!(KeyIdDisplay::None.names(&user), ["key-1", "key-2", "key-3"]);
    }

    #[test]
    fn a_slot_has_nothing_to_hide_and_a_short_id_is_shown_as_far_as_it_goes() {
        let slots = user(vec![KeyName::Slot(Slot::Two), KeyName::Slot(Slot::One)]);
        assert_eq!(KeyIdDisplay::Last4.names(&slots), ["slot-1", "slot-2"]);
        assert_eq!(KeyIdDisplay::Full.names(&slots), ["slot-1", "slot-2"]);
        let odd = ids(&["", "ab", "\u{1F511}\u{e9}\u{e8}\u{ea}\u{eb}"]);
        let shown = ["", "ab", "\u{e9}\u{e8}\u{ea}\u{eb}"];
        assert_eq!(KeyIdDisplay::Last4.names(&odd), shown);
    }

    fn account(inventory: Option<Inventory>) -> AccountState {
        AccountState {
            id: "111122223333".parse().unwrap(),
            reached: inventory.is_some(),
            inventory: inventory.map(Arc::new),
            failures: Vec::new(),
            last_success: None,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn it_is_ready_once_every_account_was_tried_and_one_was_read() {
        let inventory = Inventory {
            account: Account {
                id: "111122223333".parse().unwrap(),
                partition: "aws".into(),
                name: None,
                alias: None,
            },
            users: Vec::new(),
            user_count: Some(0),
            root: RootKeys::default(),
            data_time: DateTime::UNIX_EPOCH,
            listing: Listing::Complete,
            troubles: Vec::new(),
        };
        let mut snapshot = Snapshot::before_first_refresh(
            Arc::new(Policy::default()),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        );
        assert!(!snapshot.is_ready());
        snapshot.tried = true;
        assert!(!snapshot.is_ready(), "there is no account");
        snapshot.scope.accounts = Some(0);
        assert!(
            !snapshot.is_ready(),
            "none was found, by a look that failed"
        );
        snapshot.scope.is_certain = true;
        assert!(snapshot.is_ready(), "there is nothing to read");
        snapshot.scope.accounts = Some(2);
        snapshot.accounts = vec![account(None)];
        assert!(!snapshot.is_ready(), "none was read");
        snapshot.accounts.push(account(Some(inventory)));
        assert!(snapshot.is_ready());
        snapshot.tried = false;
        assert!(!snapshot.is_ready(), "not all were tried");
    }

    #[test]
    fn a_tag_key_becomes_a_legal_label_name() {
        for (key, label) in [
            ("owner", "tag_owner"),
            ("Cost-Center", "tag_Cost_Center"),
            ("aws:createdBy", "tag_aws_createdBy"),
            ("gr\u{f6}\u{df}e 1/2", "tag_gr__e_1_2"),
            ("1st", "tag_1st"),
        ] {
            assert_eq!(&*TagLabel::of(key.into()).label, label);
        }
    }

    #[test]
    fn an_account_is_up_while_nothing_failed() {
        let mut state = account(None);
        assert!(state.is_up());
        state.failures.push(Reason::Network);
        assert!(!state.is_up());
    }

    fn any_name() -> impl Strategy<Value = KeyName> {
        prop_oneof![
            // IAM's own rule for ids is \w{16,128}; these collide often.
            6 => "AKIA[A-B]{12}(AAAA|slot|-2-2|B{4,6})".prop_map(|id| KeyName::Id(id.into())),
            1 => Just(KeyName::Slot(Slot::One)),
            1 => Just(KeyName::Slot(Slot::Two)),
        ]
    }

    proptest! {
        #[test]
        fn no_two_keys_of_a_user_have_the_same_name(
            names in proptest::collection::vec(any_name(), 0..9),
        ) {
            let user = user(names);
            for (_, display) in KeyIdDisplay::ALL {
                let names = display.names(&user);
                prop_assert_eq!(names.len(), user.keys.len());
                let unique: HashSet<_> = names.iter().collect();
                prop_assert_eq!(unique.len(), names.len(), "{:?}", names);
            }
        }
    }
}
