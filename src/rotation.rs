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
    policy::{Policy, Thresholds},
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

/// The one step `user` is in, if their keys' last uses are known up to `seen`: what may have happened
/// since counts as use, so that old data never makes a key look idle.
pub fn step<'a>(
    user: &'a User,
    policy: &Policy,
    now: DateTime<Utc>,
    seen: DateTime<Utc>,
) -> Step<'a> {
    if user.is_exempt(now) {
        return Step::None;
    }
    let thresholds = &policy.of(user);
    let retired = most_idle(user.keys.iter().filter(|key| !key.is_active()), seen);
    let Some(old) = key_to_retire(user, thresholds, now, seen) else {
        return match retired {
            None => Step::None,
            Some(retired) if thresholds.is_dormant(retired, seen) => Step::Delete { retired },
            Some(retired) => Step::Confirm { retired },
        };
    };
    let new = successor(user, old, thresholds, now);
    if thresholds.is_dormant(old, seen) {
        return Step::Deactivate { old, new };
    }
    match (new, retired) {
        (Some(new), _) if thresholds.is_settled(old, seen) && used_after(new, old) => {
            Step::Deactivate {
                old,
                new: Some(new),
            }
        }
        (Some(new), _) => Step::Update { old, new },
        (None, None) => Step::Create { old },
        (None, Some(retired)) if thresholds.is_dormant(retired, seen) => {
            Step::Free { retired, old }
        }
        (None, Some(retired)) => Step::Confirm { retired },
    }
}

/// The due key to retire first: the most idle dormant one, else the most idle one that has settled,
/// else the oldest.
fn key_to_retire<'a>(
    user: &'a User,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    seen: DateTime<Utc>,
) -> Option<&'a AccessKey> {
    let due = || user.keys.iter().filter(|key| thresholds.is_due(key, now));
    most_idle(due().filter(|key| thresholds.is_dormant(key, seen)), seen)
        .or_else(|| most_idle(due().filter(|key| thresholds.is_settled(key, seen)), seen))
        .or_else(|| due().min_by_key(|key| (key.created, &key.name)))
}

/// Another active key, one that isn't due before one that is, the newest first.
fn successor<'a>(
    user: &'a User,
    old: &AccessKey,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
) -> Option<&'a AccessKey> {
    user.keys
        .iter()
        .filter(|key| key.is_active() && key.name != old.name)
        .min_by_key(|key| (thresholds.is_due(key, now), Reverse(key.created), &key.name))
}

/// The key that has gone unused for longest; the oldest, then the first by name, of equals.
/// One whose last use is unknown comes last.
fn most_idle<'a>(
    keys: impl Iterator<Item = &'a AccessKey>,
    seen: DateTime<Utc>,
) -> Option<&'a AccessKey> {
    keys.min_by_key(|key| {
        (
            key.last_use == LastUse::Unknown,
            Reverse(key.idle(seen)),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        inventory::Exemption,
        key::{KeyName, KeyStatus, UsedAt},
    };

    /// The step where last uses are known up to now.
    fn step<'a>(user: &'a User, policy: &Policy, now: DateTime<Utc>) -> Step<'a> {
        super::step(user, policy, now, now)
    }

    fn now() -> DateTime<Utc> {
        "2024-06-30T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn old_data_makes_no_key_look_idle() {
        let policy = Policy::default();
        let read = now() - TimeDelta::days(60);
        let key = |name: &str, age: i64, last_use| AccessKey {
            name: KeyName::Id(name.into()),
            status: KeyStatus::Active,
            created: now() - TimeDelta::days(age),
            last_use,
        };
        let used = |days| LastUse::At(UsedAt::new(read - TimeDelta::days(days), "s3", "us-east-1"));
        let holder = User::read("a", vec![key("T", 200, used(1)), key("S", 100, used(0))]);
        let at = |seen| super::step(&holder, &policy, now(), seen).name();
        assert_eq!(at(now()), "deactivate", "if nothing happened since");
        assert_eq!(at(read), "update", "a day idle when it was read");
        assert_eq!(at(DateTime::<Utc>::MIN_UTC), "update", "never read");
    }

    fn days_ago(days: f64) -> DateTime<Utc> {
        #[expect(clippy::cast_possible_truncation, reason = "small test values")]
        let seconds = (days * 86_400.0) as i64;
        now() - TimeDelta::seconds(seconds)
    }

    fn used(days: f64) -> LastUse {
        LastUse::At(UsedAt::new(days_ago(days), "s3", "us-east-1"))
    }

    fn key(name: &str, status: KeyStatus, age: f64, last_use: LastUse) -> AccessKey {
        AccessKey {
            name: KeyName::Id(name.into()),
            status,
            created: days_ago(age),
            last_use,
        }
    }

    fn active(name: &str, age: f64, last_use: LastUse) -> AccessKey {
        key(name, KeyStatus::Active, age, last_use)
    }

    fn inactive(name: &str, age: f64, last_use: LastUse) -> AccessKey {
        key(name, KeyStatus::Inactive, age, last_use)
    }

    /// The step, with the keys it names, as one would say it.
    fn said(step: Step<'_>) -> String {
        let name = step.name();
        match step {
            Step::None => name.to_owned(),
            Step::Create { old } => format!("{name} for {}", old.name),
            Step::Update { old, new } => format!("{name} {} to {}", old.name, new.name),
            Step::Deactivate { old, new: None } => format!("{name} {}", old.name),
            Step::Deactivate {
                old,
                new: Some(new),
            } => format!("{name} {} after {}", old.name, new.name),
            Step::Confirm { retired } | Step::Delete { retired } => {
                format!("{name} {}", retired.name)
            }
            Step::Free { retired, old } => format!("{name} {} for {}", retired.name, old.name),
        }
    }

    fn step_of(keys: &[AccessKey]) -> String {
        said(step(
            &User::read("a", keys.to_vec()),
            &Policy::default(),
            now(),
        ))
    }

    // One case a line, so that it reads as the table it tests.
    #[rustfmt::skip]
    #[test]
    fn each_row_of_the_table_gives_its_step() {
        const NEVER: LastUse = LastUse::Never;
        const UNKNOWN: LastUse = LastUse::Unknown;
        for (keys, expected) in [
            // No due key, nothing retired.
            (vec![], "none"),
            (vec![active("N", 10.0, used(0.1))], "none"),
            (vec![active("N", 75.9, NEVER)], "none"),
            (vec![active("M", 20.0, used(0.1)), active("N", 10.0, used(0.1))], "none"),
            // No due key, something retired.
            (vec![inactive("I", 200.0, used(45.0))], "delete I"),
            (vec![inactive("I", 200.0, used(44.9))], "confirm I"),
            (vec![inactive("I", 45.0, NEVER)], "delete I"),
            (vec![inactive("I", 44.0, NEVER)], "confirm I"),
            (vec![inactive("I", 900.0, UNKNOWN)], "confirm I"),
            (vec![key("E", KeyStatus::Expired, 200.0, used(50.0))], "delete E"),
            (vec![inactive("I", 200.0, used(60.0)), active("N", 10.0, used(0.1))], "delete I"),
            (vec![inactive("I", 200.0, used(8.0)), active("N", 10.0, used(0.1))], "confirm I"),
            (vec![inactive("I", 200.0, used(50.0)), inactive("J", 100.0, used(60.0))], "delete J"),
            (vec![inactive("I", 200.0, UNKNOWN), inactive("J", 100.0, used(60.0))], "delete J"),
            (vec![inactive("I", 200.0, UNKNOWN), inactive("J", 100.0, used(6.0))], "confirm J"),
            // A dormant key to retire, with a successor, without, and beside a retired one.
            (vec![active("T", 200.0, used(45.0)), active("S", 10.0, NEVER)], "deactivate T after S"),
            (vec![active("T", 200.0, used(45.0))], "deactivate T"),
            (vec![active("T", 91.0, NEVER)], "deactivate T"),
            (vec![active("T", 200.0, used(46.0)), inactive("I", 300.0, used(80.0))], "deactivate T"),
            // A due key and a successor.
            (vec![active("T", 95.0, used(7.0)), active("S", 10.0, used(6.9))], "deactivate T after S"),
            (vec![active("T", 95.0, used(6.9)), active("S", 10.0, used(0.1))], "update T to S"),
            (vec![active("T", 95.0, used(8.0)), active("S", 10.0, used(9.0))], "update T to S"),
            (vec![active("T", 95.0, used(8.0)), active("S", 10.0, used(8.0))], "update T to S"),
            (vec![active("T", 95.0, used(8.0)), active("S", 10.0, NEVER)], "update T to S"),
            (vec![active("T", 95.0, used(8.0)), active("S", 10.0, UNKNOWN)], "update T to S"),
            (vec![active("T", 95.0, UNKNOWN), active("S", 10.0, used(0.1))], "update T to S"),
            // A due key alone.
            (vec![active("T", 91.0, used(0.1))], "create for T"),
            (vec![active("T", 76.0, used(0.1))], "create for T"),
            (vec![active("T", 91.0, UNKNOWN)], "create for T"),
            (vec![active("T", 91.0, used(30.0))], "create for T"),
            // A due key and no room.
            (vec![active("T", 91.0, used(0.1)), inactive("I", 200.0, used(45.0))], "free I for T"),
            (vec![active("T", 91.0, used(0.1)), inactive("I", 200.0, used(44.0))], "confirm I"),
            (vec![active("T", 91.0, used(0.1)), inactive("I", 200.0, UNKNOWN)], "confirm I"),
        ] {
            assert_eq!(step_of(&keys), expected, "{keys:#?}");
        }
    }

    #[test]
    fn of_two_overdue_keys_the_dormant_then_the_settled_then_the_oldest_goes_first() {
        for (older, newer, expected) in [
            (used(0.1), used(0.2), "update A to B"),
            (used(0.2), used(0.1), "update A to B"),
            (used(0.1), used(50.0), "deactivate B after A"),
            (used(48.0), used(50.0), "deactivate B after A"),
            (used(0.1), used(10.0), "deactivate B after A"),
            (used(12.0), used(10.0), "deactivate A after B"),
            (LastUse::Unknown, used(10.0), "update B to A"),
            (LastUse::Unknown, LastUse::Unknown, "update A to B"),
            (LastUse::Never, LastUse::Never, "deactivate A after B"),
        ] {
            let keys = [active("A", 150.0, older), active("B", 100.0, newer)];
            assert_eq!(step_of(&keys), expected, "{keys:#?}");
        }
    }

    #[test]
    fn more_than_two_keys_are_no_trouble() {
        for (keys, expected) in [
            (
                // The successor is a key that isn't due before one that is, then the newest.
                vec![
                    active("T", 200.0, used(0.1)),
                    active("D", 80.0, used(0.1)),
                    active("M", 30.0, used(0.1)),
                    active("N", 5.0, used(0.1)),
                ],
                "update T to N",
            ),
            (
                vec![
                    active("T", 200.0, used(0.1)),
                    active("U", 120.0, used(0.1)),
                    active("D", 80.0, used(0.1)),
                ],
                "update T to D",
            ),
            (
                vec![
                    active("T", 200.0, used(20.0)),
                    active("N", 5.0, used(0.1)),
                    inactive("I", 300.0, used(90.0)),
                ],
                "deactivate T after N",
            ),
            (
                vec![
                    active("T", 200.0, used(0.1)),
                    inactive("I", 300.0, used(50.0)),
                    inactive("J", 250.0, used(90.0)),
                ],
                "free J for T",
            ),
            (
                (0..8)
                    .map(|n| active(&format!("K{n}"), 100.0 + f64::from(n), used(0.1)))
                    .collect(),
                "update K7 to K0",
            ),
        ] {
            assert_eq!(step_of(&keys), expected, "{keys:#?}");
        }
    }

    #[test]
    fn an_exempt_user_has_nothing_to_do_until_the_exemption_ends() {
        let mut user = User::read("a", vec![active("T", 200.0, used(0.1))]);
        user.exemption = Some(
            Exemption {
                reason: Arc::from("migration"),
                until: Some(now()),
            }
            .into(),
        );
        let policy = Policy::default();
        assert_eq!(
            said(step(&user, &policy, now() - TimeDelta::seconds(1))),
            "none"
        );
        assert_eq!(said(step(&user, &policy, now())), "create for T");
    }

    #[test]
    fn the_warn_time_of_the_policy_decides_when_a_rotation_begins() {
        let user = User::read("a", vec![active("T", 80.0, used(0.1))]);
        let policy = |warn| {
            Policy::from(Thresholds {
                warn: TimeDelta::days(warn),
                ..Thresholds::default()
            })
        };
        assert_eq!(said(step(&user, &policy(9), now())), "none");
        assert_eq!(said(step(&user, &policy(10), now())), "create for T");
    }

    #[test]
    fn a_whole_rotation_goes_through_its_steps_in_order() {
        let old = |last_use| active("OLD", 85.0, last_use);
        let new = |last_use| active("NEW", 12.0, last_use);
        let retired = |days| inactive("OLD", 140.0, used(days));
        let walk = [
            step_of(&[old(used(0.1))]),
            step_of(&[old(used(0.1)), new(LastUse::Never)]),
            step_of(&[old(used(3.0)), new(used(0.1))]),
            step_of(&[old(used(8.0)), new(used(0.1))]),
            step_of(&[retired(9.0), new(used(0.1))]),
            step_of(&[retired(46.0), new(used(0.1))]),
            step_of(&[new(used(0.1))]),
        ];
        let names = walk.map(|said| said.split(' ').next().unwrap().to_owned());
        assert_eq!(
            names,
            [
                "create",
                "update",
                "update",
                "deactivate",
                "confirm",
                "delete",
                "none"
            ]
        );
    }

    fn any_key() -> impl Strategy<Value = AccessKey> {
        let status = prop_oneof![
            4 => Just(KeyStatus::Active),
            2 => Just(KeyStatus::Inactive),
            1 => Just(KeyStatus::Expired),
            1 => Just(KeyStatus::Other("Suspended".into())),
        ];
        // From a day ahead of this clock to years behind it, often in whole days.
        let ago = || prop_oneof![-1.0..200.0, (0_u8..=120).prop_map(f64::from)];
        let last_use = prop_oneof![
            3 => ago().prop_map(used),
            1 => Just(LastUse::Never),
            1 => Just(LastUse::Unknown),
        ];
        ("[A-C]", status, ago(), last_use)
            .prop_map(|(name, status, age, last_use)| key(&name, status, age, last_use))
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        (0_i64..100, 0_i64..60, 0_i64..90, 0_i64..30).prop_map(|(max_age, settle, unused, warn)| {
            Policy::from(Thresholds {
                max_age: TimeDelta::days(max_age),
                settle: TimeDelta::days(settle),
                unused: TimeDelta::days(unused),
                warn: TimeDelta::days(warn),
                ..Thresholds::default()
            })
        })
    }

    fn keys_of(step: Step<'_>) -> Vec<&AccessKey> {
        match step {
            Step::None => vec![],
            Step::Create { old } | Step::Deactivate { old, new: None } => vec![old],
            Step::Update { old, new }
            | Step::Deactivate {
                old,
                new: Some(new),
            } => vec![old, new],
            Step::Confirm { retired } | Step::Delete { retired } => vec![retired],
            Step::Free { retired, old } => vec![retired, old],
        }
    }

    proptest! {
        #[test]
        fn a_step_never_takes_away_what_is_or_may_be_in_use(
            keys in proptest::collection::vec(any_key(), 0..5),
            policy in any_policy(),
            own_max_age in proptest::option::of(0_i64..100),
        ) {
            let mut user = User::read("a", keys);
            user.max_age = own_max_age.map(|days| TimeDelta::days(days).into());
            let step = step(&user, &policy, now());
            let policy = policy.of(&user);
            let idle_for = |key: &AccessKey, time| {
                key.last_use != LastUse::Unknown && key.idle(now()) >= time
            };
            prop_assert!(Step::NAMES.contains(&step.name()));
            let named = keys_of(step);
            for key in &named {
                prop_assert!(user.keys.iter().any(|own| std::ptr::eq(own, *key)));
            }
            if let [first, second] = named[..] {
                prop_assert_ne!(&first.name, &second.name);
            }
            let is_due = user.keys.iter().any(|key| policy.is_due(key, now()));
            match step {
                Step::None => prop_assert!(!is_due && user.keys.iter().all(AccessKey::is_active)),
                Step::Create { old } => {
                    prop_assert!(policy.is_due(old, now()));
                    prop_assert_eq!(user.keys.len(), 1);
                }
                Step::Update { old, new } => {
                    prop_assert!(policy.is_due(old, now()) && new.is_active());
                }
                Step::Deactivate { old, new } => {
                    prop_assert!(policy.is_due(old, now()));
                    let is_replaced = new.is_some_and(|new| new.is_active() && used_after(new, old));
                    prop_assert!(
                        idle_for(old, policy.unused)
                            || is_replaced && idle_for(old, policy.settle)
                    );
                }
                Step::Confirm { retired } => {
                    prop_assert!(!retired.is_active() && !idle_for(retired, policy.unused));
                }
                Step::Delete { retired } => {
                    prop_assert!(!is_due && !retired.is_active() && idle_for(retired, policy.unused));
                }
                Step::Free { retired, old } => {
                    prop_assert!(policy.is_due(old, now()));
                    prop_assert!(!retired.is_active() && idle_for(retired, policy.unused));
                }
            }
        }

        #[test]
        fn the_order_in_which_keys_are_read_does_not_matter(
            keys in proptest::collection::vec(any_key(), 0..5).prop_map(|mut keys| {
                keys.sort_by(|a, b| a.name.cmp(&b.name));
                keys.dedup_by(|a, b| a.name == b.name);
                keys
            }).prop_shuffle(),
        ) {
            let mut sorted = keys.clone();
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            prop_assert_eq!(step_of(&keys), step_of(&sorted));
        }

        #[test]
        fn an_exempt_user_is_in_no_step(keys in proptest::collection::vec(any_key(), 0..5)) {
            let mut user = User::read("a", keys);
            user.exemption = Some(Exemption { reason: Arc::from("break-glass"), until: None }.into());
            prop_assert_eq!(step(&user, &Policy::default(), now()), Step::None);
        }
    }
}
