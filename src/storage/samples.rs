//! Things to save, made up.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    collection::{btree_map, btree_set, hash_map, hash_set, vec},
    option,
    prelude::*,
};

use super::{Aim, Saved, SavedAccount};
use crate::{
    intern::Word,
    inventory::{Account, Inventory, Keys, Listing, ReadTags, RootKeys, Tag, Tags, Trouble, User},
    key::{AccessKey, KeyName, KeyStatus, LastUse, Slot, UsedAt},
    reason::Reason,
    snapshot::AccountState,
    source::{
        aws::{Known, LastListing, Remembered, Unreported},
        report::Fingerprint,
    },
};

/// Later than everything that is saved here.
pub(super) fn now() -> DateTime<Utc> {
    at("2026-06-01T12:00:00Z")
}

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Something of every kind, the same each time.
#[expect(clippy::too_many_lines, reason = "there are that many kinds")]
pub(super) fn one_of_each() -> Saved {
    let created = at("2025-01-02T03:04:05Z");
    let key = |name: &str, status: &str, last_use| AccessKey {
        name: KeyName::Id(name.into()),
        status: KeyStatus::from(status),
        created: created + TimeDelta::seconds(i64::try_from(name.len()).unwrap()),
        last_use,
    };
    let used = LastUse::At(UsedAt::new(
        at("2026-05-31T23:00:00Z"),
        "s3",
        "eu-central-1",
    ));
    let alice = User {
        path: "/people/".into(),
        tags: Tags::Known(Arc::new(ReadTags {
            time: at("2026-05-31T23:30:00Z"),
            asked: Some(Arc::new(["kind".into(), "owner".into()].into())),
            tags: vec![Tag {
                key: "owner".into(),
                value: "plant \u{1F33F} team".into(),
            }],
        })),
        ..User::read(
            "alice",
            vec![
                key("AKIAALICE1", "Active", used),
                key("AKIAALICE22", "Inactive", LastUse::Never),
                key("AKIAALICE333", "Expired", LastUse::Unknown),
                key("AKIAALICE4444", "Suspended", LastUse::Unknown),
            ],
        )
    };
    let bob = User {
        tags: Tags::Unread(Reason::AccessDenied),
        ..User::unread(
            "bob",
            vec![AccessKey {
                name: KeyName::Slot(Slot::Two),
                ..key("", "Active", LastUse::Never)
            }],
            Reason::Timeout,
        )
    };
    let generated = at("2026-06-01T08:00:00Z");
    let known = Known {
        keys: alice.keys.clone(),
        last: LastListing::Read,
        lost: [created].into(),
        row: Fingerprint {
            created: Some(created),
            slots: [Some((true, created)), None],
        },
        generated,
        agrees: false,
    };
    let gone = Known {
        keys: Keys::default(),
        last: LastListing::Gone,
        lost: Box::default(),
        row: Fingerprint {
            created: None,
            slots: [None, Some((false, created))],
        },
        generated,
        agrees: true,
    };
    let failed = Known {
        last: LastListing::Failed(Reason::Throttled),
        ..gone.clone()
    };
    let memory = Remembered {
        users: [
            ("alice".into(), Box::new(known)),
            ("carol".into(), Box::new(gone)),
            ("dave".into(), Box::new(failed)),
        ]
        .into(),
        unreported: Unreported {
            generated: Some(generated),
            lost: HashSet::from([("alice".into(), created)]),
            users: BTreeMap::from([("erin".into(), "/people/".into())]),
        },
        asked: HashSet::from([KeyName::Id("AKIAALICE1".into())]),
        asked_since: Some(generated),
    };
    let inventory = Inventory {
        account: Account {
            id: "111122223333".parse().unwrap(),
            partition: "aws".into(),
            name: Some("Production".into()),
            alias: Some("example-production".into()),
        },
        users: vec![alice, bob],
        user_count: Some(7),
        root: RootKeys {
            active: Some(1),
            present: Some(true),
        },
        data_time: generated,
        listing: Listing::Truncated(Reason::ServerError),
        troubles: vec![Trouble {
            reason: Reason::ServerError,
            message: "ListUsers: it failed".into(),
        }],
    };
    let read = SavedAccount {
        state: AccountState {
            id: inventory.account.id,
            inventory: Some(Arc::new(inventory)),
            reached: true,
            failures: vec![Reason::Timeout, Reason::ServerError],
            last_success: Some(at("2026-06-01T11:30:00.25Z")),
            duration: Duration::from_millis(2_345),
        },
        read_for: Some(Arc::new(Aim {
            max_age: TimeDelta::days(90),
            smallest_max_age: TimeDelta::days(30),
            tags: Arc::new(["owner".into(), "team".into()].into()),
        })),
        memory: Some(Arc::new(memory)),
    };
    let never_read = SavedAccount {
        state: AccountState {
            id: "222233334444".parse().unwrap(),
            inventory: None,
            reached: false,
            failures: vec![Reason::AccessDenied],
            last_success: None,
            duration: Duration::ZERO,
        },
        read_for: None,
        memory: None,
    };
    Saved {
        accounts: vec![read, never_read],
    }
}

/// Anything that can be saved.
pub(super) fn anything() -> impl Strategy<Value = Saved> {
    btree_map(0_u64..1_000_000_000_000, account(), 0..4).prop_map(|accounts| {
        let accounts = accounts.into_iter().map(|(id, mut account)| {
            account.state.id = format!("{id:012}").parse().unwrap();
            if let Some(inventory) = &mut account.state.inventory {
                Arc::make_mut(inventory).account.id = account.state.id;
            }
            account
        });
        Saved {
            accounts: accounts.collect(),
        }
    })
}

fn account() -> impl Strategy<Value = SavedAccount> {
    let state = (
        option::of(inventory()),
        any::<bool>(),
        vec(reason(), 0..3),
        option::of(instant()),
        any::<Duration>(),
    );
    (state, option::of(aim()), option::of(memory())).prop_map(
        |((inventory, reached, failures, last_success, duration), read_for, mut memory)| {
            // What is remembered mostly is in the inventory as well.
            for user in inventory.iter().flat_map(|inventory| &inventory.users) {
                if let Some(known) = memory
                    .as_mut()
                    .and_then(|memory: &mut Remembered| memory.users.get_mut(&user.name))
                {
                    known.keys.clone_from(&user.keys);
                }
            }
            SavedAccount {
                state: AccountState {
                    id: "000000000000".parse().unwrap(),
                    inventory: inventory.map(Arc::new),
                    reached,
                    failures,
                    last_success,
                    duration,
                },
                read_for: read_for.map(Arc::new),
                memory: memory.map(Arc::new),
            }
        },
    )
}

fn aim() -> impl Strategy<Value = Aim> {
    let days = 1..40_000_i64;
    (days.clone(), days, vec(text(), 0..3)).prop_map(|(max_age, smallest_max_age, tags)| Aim {
        max_age: TimeDelta::days(max_age),
        smallest_max_age: TimeDelta::days(smallest_max_age),
        tags: Arc::new(tags.into_iter().collect()),
    })
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let account =
        (text(), option::of(text()), option::of(text())).prop_map(|(partition, name, alias)| {
            Account {
                id: "000000000000".parse().unwrap(),
                partition,
                name,
                alias,
            }
        });
    let root = (any::<Option<u32>>(), any::<Option<bool>>())
        .prop_map(|(active, present)| RootKeys { active, present });
    let listing = prop_oneof![
        Just(Listing::Complete),
        reason().prop_map(Listing::Truncated)
    ];
    let trouble = (reason(), ".*").prop_map(|(reason, message)| Trouble { reason, message });
    (
        account,
        btree_map(name(), user(), 0..5),
        any::<Option<usize>>(),
        root,
        instant(),
        listing,
        vec(trouble, 0..3),
    )
        .prop_map(
            |(account, users, user_count, root, data_time, listing, troubles)| Inventory {
                account,
                users: users
                    .into_iter()
                    .map(|(name, user)| User { name, ..user })
                    .collect(),
                user_count,
                root,
                data_time,
                listing,
                troubles,
            },
        )
}

fn user() -> impl Strategy<Value = User> {
    let tag = (text(), text()).prop_map(|(key, value)| Tag { key, value });
    let asked = btree_set(text(), 0..3).prop_map(Arc::new);
    let known = (instant(), option::of(asked), vec(tag, 0..3));
    let tags = prop_oneof![
        Just(Tags::NotAsked),
        known.prop_map(|(time, asked, tags)| Tags::Known(Arc::new(ReadTags { time, asked, tags }))),
        reason().prop_map(Tags::Unread),
    ];
    (vec(key(), 0..4), option::of(reason()), text(), tags).prop_map(|(keys, unread, path, tags)| {
        let user = match unread {
            None => User::read("", keys),
            Some(reason) => User::unread("", keys, reason),
        };
        User {
            path: Word::from(&*path),
            tags,
            ..user
        }
    })
}

fn key() -> impl Strategy<Value = AccessKey> {
    let status = prop_oneof![
        Just("Active".to_owned()),
        Just("Inactive".to_owned()),
        Just("Expired".to_owned()),
        // There can't be many in a process.
        Just("Suspended".to_owned()),
        Just("\u{0}ünknown\n".to_owned()),
        Just(String::new()),
    ];
    let last_use = prop_oneof![
        Just(LastUse::Unknown),
        Just(LastUse::Never),
        (any_instant(), text(), text()).prop_map(|(time, service, region)| {
            LastUse::At(UsedAt::new(time, &service, &region))
        }),
    ];
    (key_name(), status, any_instant(), last_use).prop_map(|(name, status, created, last_use)| {
        AccessKey {
            name,
            status: KeyStatus::from(&*status),
            created,
            last_use,
        }
    })
}

fn key_name() -> impl Strategy<Value = KeyName> {
    prop_oneof![
        6 => "AKIA[A-B]{1,30}".prop_map(|id| KeyName::Id(id.as_str().into())),
        1 => Just(KeyName::Slot(Slot::One)),
        1 => Just(KeyName::Slot(Slot::Two)),
    ]
}

fn memory() -> impl Strategy<Value = Remembered> {
    let unreported = (
        option::of(any_instant()),
        hash_set((name(), any_instant()), 0..3),
        btree_map(name(), text().prop_map(|text| Word::from(&*text)), 0..3),
    )
        .prop_map(|(generated, lost, users)| Unreported {
            generated,
            lost,
            users,
        });
    (
        hash_map(name(), known().prop_map(Box::new), 0..6),
        unreported,
        hash_set(key_name(), 0..3),
        option::of(instant()),
    )
        .prop_map(|(users, unreported, asked, asked_since)| Remembered {
            users,
            unreported,
            asked,
            asked_since,
        })
}

fn known() -> impl Strategy<Value = Known> {
    let last = prop_oneof![
        Just(LastListing::Read),
        Just(LastListing::Gone),
        reason().prop_map(LastListing::Failed)
    ];
    let slot = || option::of((any::<bool>(), any_instant()));
    (
        vec(key(), 0..3),
        last,
        vec(any_instant(), 0..3).prop_map(Vec::into_boxed_slice),
        (option::of(any_instant()), slot(), slot()),
        instant(),
        any::<bool>(),
    )
        .prop_map(
            |(keys, last, lost, (created, one, two), generated, agrees)| Known {
                keys: keys.into(),
                last,
                lost,
                row: Fingerprint {
                    created,
                    slots: [one, two],
                },
                generated,
                agrees,
            },
        )
}

fn reason() -> impl Strategy<Value = Reason> {
    proptest::sample::select(&Reason::ALL)
}

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,12}".prop_map(Arc::from)
}

/// Few, so that what is remembered is of users who are in the inventory, too.
fn name() -> impl Strategy<Value = Arc<str>> {
    "[a-f]{1,2}".prop_map(Arc::from)
}

/// An instant before [`now`].
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0..now().timestamp(), 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

/// An instant that the calendar has.
fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    let all = DateTime::<Utc>::MIN_UTC.timestamp()..=DateTime::<Utc>::MAX_UTC.timestamp();
    prop_oneof![
        instant(),
        all.prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
    ]
}
