//! What `plan` advises: every row of the table of steps, and that following it is safe and ends.

use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    inventory::User,
    key::{AccessKey, AccountId, KeyName, KeyStatus, LastUse, Slot, UsedAt},
    plan::{
        advice::{Action, Advice, Grounds, advise, worst_first},
        command::Cli,
    },
    policy::{Policy, Thresholds},
    reason::Reason,
    snapshot::KeyIdDisplay,
};
use proptest::prelude::*;

fn now() -> DateTime<Utc> {
    "2024-06-30T12:00:00Z".parse().expect("a constant")
}

fn account() -> AccountId {
    "111122223333".parse().expect("a constant")
}

fn used(days: f64) -> LastUse {
    used_at(days_ago(days))
}

fn used_at(time: DateTime<Utc>) -> LastUse {
    LastUse::At(UsedAt::new(time, "s3", "us-east-1"))
}

fn days_ago(days: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "small test values")]
    let seconds = (days * 86_400.0) as i64;
    now() - TimeDelta::seconds(seconds)
}

fn key(name: &str, status: &str, age: f64, last_use: LastUse) -> AccessKey {
    AccessKey {
        name: KeyName::Id(name.into()),
        status: KeyStatus::from(status),
        created: days_ago(age),
        last_use,
    }
}

fn active(name: &str, age: f64, last_use: LastUse) -> AccessKey {
    key(name, "Active", age, last_use)
}

fn inactive(name: &str, age: f64, last_use: LastUse) -> AccessKey {
    key(name, "Inactive", age, last_use)
}

fn advice_on(user: &User, policy: &Policy, key_ids: KeyIdDisplay) -> Option<Advice> {
    let grounds = Grounds {
        policy,
        key_ids,
        now: now(),
        known_until: now(),
    };
    advise(account(), user, &grounds)
}

fn advice(keys: Vec<AccessKey>) -> Option<Advice> {
    advice_on(
        &User::read("u", keys),
        &Policy::default(),
        KeyIdDisplay::Full,
    )
}

/// The step and its commands, without what they all have in common.
fn said(advice: Option<&Advice>) -> String {
    let Some(advice) = advice else {
        return "none".to_owned();
    };
    let commands: Vec<_> = advice
        .actions
        .iter()
        .map(|action| {
            let command = action.command(&advice.user, &Cli::default());
            let line = command.expect("the names are plain").line();
            line.replace("aws iam ", "")
                .replace(" --user-name u", "")
                .replace(" --access-key-id", "")
        })
        .collect();
    [&[advice.step.to_owned()], &commands[..]]
        .concat()
        .join("; ")
}

// One case a line, so that it reads as the table it tests.
#[rustfmt::skip]
#[test]
fn each_row_of_the_table_gives_its_commands() {
    const NEVER: LastUse = LastUse::Never;
    const UNKNOWN: LastUse = LastUse::Unknown;
    for (keys, expected) in [
        // No due key.
        (vec![], "none"),
        (vec![active("N", 10.0, used(0.1))], "none"),
        (vec![inactive("I", 200.0, used(45.0))], "delete; delete-access-key I"),
        (vec![inactive("I", 200.0, NEVER), active("N", 1.0, NEVER)], "delete; delete-access-key I"),
        (vec![key("E", "Expired", 200.0, used(50.0))], "delete; delete-access-key E"),
        (vec![inactive("I", 200.0, used(60.0)), inactive("J", 200.0, used(70.0))], "delete; delete-access-key J"),
        (vec![inactive("I", 200.0, used(44.9))], "confirm; update-access-key I --status Active"),
        (vec![key("E", "Expired", 20.0, used(10.0))], "confirm"),
        (vec![inactive("I", 900.0, UNKNOWN)], "confirm; get-access-key-last-used I; update-access-key I --status Active"),
        // T is dormant.
        (vec![active("T", 200.0, used(45.0)), active("S", 10.0, NEVER)], "deactivate; update-access-key T --status Inactive"),
        (vec![active("T", 200.0, used(45.0))], "deactivate; update-access-key T --status Inactive"),
        (vec![active("T", 91.0, NEVER)], "deactivate; update-access-key T --status Inactive"),
        // A due key and an S.
        (vec![active("T", 95.0, used(7.0)), active("S", 10.0, used(6.9))], "deactivate; update-access-key T --status Inactive"),
        (vec![active("T", 95.0, used(6.9)), active("S", 10.0, used(0.1))], "update; get-access-key-last-used T; get-access-key-last-used S"),
        (vec![active("T", 95.0, used(8.0)), active("S", 10.0, used(9.0))], "update; get-access-key-last-used T; get-access-key-last-used S"),
        (vec![active("T", 95.0, used(8.0)), active("S", 10.0, UNKNOWN)], "update; get-access-key-last-used T; get-access-key-last-used S"),
        (vec![active("T", 95.0, UNKNOWN), active("S", 10.0, used(0.1))], "update; get-access-key-last-used T; get-access-key-last-used S"),
        // A due key and no S.
        (vec![active("T", 91.0, used(0.1))], "create; create-access-key"),
        (vec![active("T", 91.0, UNKNOWN)], "create; create-access-key"),
        (vec![active("T", 91.0, used(0.1)), inactive("I", 200.0, used(45.0))], "free; delete-access-key I; create-access-key"),
        (vec![active("T", 91.0, used(0.1)), inactive("I", 200.0, used(44.0))], "confirm; update-access-key I --status Active"),
        (vec![active("T", 91.0, used(0.1)), inactive("I", 200.0, UNKNOWN)], "confirm; get-access-key-last-used I; update-access-key I --status Active"),
        // Three keys.
        (vec![active("T", 200.0, used(20.0)), active("N", 5.0, used(0.1)), inactive("I", 300.0, used(90.0))], "deactivate; update-access-key T --status Inactive"),
    ] {
        assert_eq!(said(advice(keys.clone()).as_ref()), expected, "{keys:#?}");
    }
}

#[test]
fn the_reason_is_given_in_words() {
    for (keys, why) in [
        (
            vec![active("T", 131.0, used(0.09))],
            "key T is 131 days old (due 41 days ago), last used 2 hours ago in s3/us-east-1; no successor",
        ),
        (
            vec![
                active("T", 131.0, used(2.0)),
                active("S", 3.0, LastUse::Never),
            ],
            "key T is 131 days old (due 41 days ago), last used 2 days ago in s3/us-east-1; successor: key S is \
             3 days old (due in 87 days), never used",
        ),
        (
            vec![
                active("T", 99.0, used(1.0)),
                inactive("I", 130.0, used(5.0)),
            ],
            "key I is Inactive and 130 days old, last used 5 days ago in s3/us-east-1; it takes the place that a \
             successor needs: key T is 99 days old (due 9 days ago), last used 1 day ago in s3/us-east-1",
        ),
        (
            vec![inactive("I", 130.0, LastUse::Never)],
            "key I is Inactive and 130 days old, never used: idle for 45 days or more",
        ),
    ] {
        assert_eq!(advice(keys).expect("a step").why, why);
    }
}

#[test]
fn a_sole_dormant_key_comes_with_a_warning() {
    let advice = advice(vec![active("T", 380.0, used(300.0))]).expect("a step");
    assert_eq!(
        advice.notes,
        ["no successor; an annual or break-glass key? exempt it"]
    );
}

#[test]
fn a_retired_key_is_waited_for_until_it_is_dormant() {
    let advice = advice(vec![inactive("I", 130.0, used(5.0))]).expect("a step");
    assert!(
        advice.notes[0].starts_with("wait until 2024-08-09T12:00:00Z "),
        "{:?}",
        advice.notes
    );
}

#[test]
fn a_slot_is_never_named_in_a_command() {
    let slot = |slot, status: &str, age, last_use| AccessKey {
        name: KeyName::Slot(slot),
        ..key("", status, age, last_use)
    };
    for (keys, expected) in [
        (
            vec![slot(Slot::One, "Active", 200.0, used(60.0))],
            "deactivate; list-access-keys",
        ),
        (
            vec![slot(Slot::Two, "Inactive", 200.0, used(60.0))],
            "delete; list-access-keys",
        ),
        (
            vec![
                slot(Slot::One, "Active", 100.0, used(0.1)),
                slot(Slot::Two, "Inactive", 200.0, used(60.0)),
            ],
            "free; list-access-keys",
        ),
        (
            vec![
                slot(Slot::One, "Active", 100.0, used(0.1)),
                slot(Slot::Two, "Active", 20.0, used(0.1)),
            ],
            "update; list-access-keys",
        ),
        (
            vec![slot(Slot::One, "Active", 100.0, used(0.1))],
            "create; create-access-key",
        ),
    ] {
        let advice = advice(keys);
        assert_eq!(said(advice.as_ref()), expected);
        let notes = advice.expect("a step").notes.join("\n");
        if expected.contains("list") {
            assert!(notes.contains("is the one created at 20"), "{notes}");
        }
    }
}

#[test]
fn an_id_that_is_not_shown_is_in_no_command_and_in_no_word() {
    let user = User::read("u", vec![active("AKIAIOSFODNN7EXAMPLE", 200.0, used(60.0))]);
    for display in [KeyIdDisplay::Last4, KeyIdDisplay::None] {
        let advice = advice_on(&user, &Policy::default(), display).expect("a step");
        assert_eq!(said(Some(&advice)), "deactivate; list-access-keys");
        assert!(advice.notes.join("\n").contains("--metrics.access-key-id"));
        assert!(!format!("{:?}", (&advice.why, &advice.notes)).contains("AKIA"));
    }
}

#[test]
fn nothing_is_advised_on_a_user_who_was_not_read() {
    let keys = || vec![active("T", 200.0, used(60.0))];
    let user = User::unread("u", keys(), Reason::AccessDenied);
    assert_eq!(
        advice_on(&user, &Policy::default(), KeyIdDisplay::Full),
        None
    );
    let mut keys = keys();
    keys.push(key("X", "Suspended", 300.0, used(90.0)));
    assert_eq!(advice(keys), None, "a status that is not known");
}

#[test]
fn what_a_report_does_not_tell_counts_as_use() {
    let policy = Policy::default();
    let known_days_ago = |days, keys: Vec<AccessKey>| {
        let grounds = Grounds {
            policy: &policy,
            key_ids: KeyIdDisplay::Full,
            now: now(),
            known_until: days_ago(days),
        };
        said(advise(account(), &User::read("u", keys), &grounds).as_ref())
    };
    let keys = || vec![active("T", 200.0, used(50.0))];
    assert!(known_days_ago(5.0, keys()).starts_with("deactivate"));
    assert!(known_days_ago(5.1, keys()).starts_with("create"));
    let never = || vec![inactive("I", 50.0, LastUse::Never)];
    assert!(known_days_ago(4.9, never()).starts_with("delete"));
    assert!(known_days_ago(5.1, never()).starts_with("confirm"));
    let pair = || vec![active("T", 200.0, used(10.0)), active("S", 20.0, used(3.5))];
    assert!(known_days_ago(3.0, pair()).starts_with("deactivate"));
    assert!(known_days_ago(3.1, pair()).starts_with("update"));
}

#[test]
fn the_longest_overdue_comes_first_and_who_has_no_active_key_last() {
    let mut advices: Vec<_> = [
        ("gone", vec![inactive("I", 900.0, used(50.0))]),
        ("soon", vec![active("A", 80.0, used(0.1))]),
        ("worst", vec![active("A", 300.0, used(0.1))]),
        (
            "bad",
            vec![active("A", 100.0, used(0.1)), active("B", 10.0, used(0.1))],
        ),
        ("also-bad", vec![active("A", 100.0, used(0.1))]),
    ]
    .into_iter()
    .map(|(name, keys)| {
        let user = User::read(name, keys);
        advice_on(&user, &Policy::default(), KeyIdDisplay::Full).expect("a step")
    })
    .collect();
    worst_first(&mut advices);
    let names: Vec<_> = advices.iter().map(|advice| &*advice.user).collect();
    assert_eq!(names, ["worst", "also-bad", "bad", "soon", "gone"]);
}

/// A key of the simulation, with what is true of it and what is known.
#[derive(Debug, Clone)]
struct SimKey {
    id: String,
    status: KeyStatus,
    created: DateTime<Utc>,
    last_use: Option<DateTime<Utc>>,
    /// Whether the last use may be read.
    is_known: bool,
    /// Whether an application signs with it, many times a day.
    in_use: bool,
}

/// A user whose keys are used, and a person who follows the plan.
#[derive(Debug, Clone)]
struct World {
    policy: Policy,
    now: DateTime<Utc>,
    keys: Vec<SimKey>,
    made: usize,
}

const TICK: TimeDelta = TimeDelta::hours(12);

impl World {
    fn user(&self) -> User {
        let key = |key: &SimKey| AccessKey {
            name: KeyName::Id(key.id.as_str().into()),
            status: key.status.clone(),
            created: key.created,
            last_use: match key.last_use {
                _ if !key.is_known => LastUse::Unknown,
                None => LastUse::Never,
                Some(time) => used_at(time),
            },
        };
        User::read("u", self.keys.iter().map(key).collect())
    }

    fn advice(&self) -> Option<Advice> {
        let grounds = Grounds {
            policy: &self.policy,
            key_ids: KeyIdDisplay::Full,
            now: self.now,
            known_until: self.now,
        };
        advise(account(), &self.user(), &grounds)
    }

    fn key(&mut self, id: &str) -> &mut SimKey {
        self.keys
            .iter_mut()
            .find(|key| key.id == id)
            .expect("advice names the user's own keys")
    }

    fn is_served(&self) -> bool {
        self.keys
            .iter()
            .any(|key| key.in_use && key.status == KeyStatus::Active)
    }

    /// Does as advised, and checks that it does no harm.
    fn follow(&mut self, advice: &Advice) -> Result<(), TestCaseError> {
        if let (
            "update",
            [
                Action::ShowLastUse { id: old },
                Action::ShowLastUse { id: new },
            ],
        ) = (advice.step, &advice.actions[..])
        {
            let moves = std::mem::take(&mut self.key(old).in_use);
            prop_assert_eq!(&self.key(new).status, &KeyStatus::Active);
            self.key(new).in_use |= moves;
        }
        for action in &advice.actions {
            match action {
                Action::ListKeys => prop_assert!(false, "every id is known"),
                Action::ShowLastUse { id } => self.key(id).is_known = true,
                // Nothing broke.
                Action::Reactivate { id } => {
                    prop_assert_eq!(&self.key(id).status, &KeyStatus::Inactive);
                }
                Action::Create { keys } => {
                    prop_assert_eq!(*keys, self.keys.len());
                    self.made += 1;
                    self.keys.push(SimKey {
                        id: format!("NEW{}", self.made),
                        status: KeyStatus::Active,
                        created: self.now,
                        last_use: None,
                        is_known: true,
                        in_use: false,
                    });
                }
                Action::Deactivate {
                    id,
                    last_use,
                    successor,
                } => {
                    let idle = self.checked_idle(id, last_use)?;
                    prop_assert!(idle >= self.policy.thresholds.settle);
                    prop_assert!(idle >= self.policy.thresholds.unused || successor.is_some());
                    if let Some(successor) = successor {
                        prop_assert_eq!(&self.key(successor).status, &KeyStatus::Active);
                    }
                    prop_assert_eq!(&self.key(id).status, &KeyStatus::Active);
                    self.key(id).status = KeyStatus::Inactive;
                }
                Action::Delete {
                    id,
                    status,
                    last_use,
                } => {
                    let idle = self.checked_idle(id, last_use)?;
                    prop_assert!(idle >= self.policy.thresholds.unused);
                    prop_assert_eq!(&self.key(id).status, status);
                    prop_assert_ne!(status, &KeyStatus::Active);
                    self.keys.retain(|key| key.id != **id);
                }
            }
        }
        Ok(())
    }

    /// How long a key has been idle that is about to be taken away.
    fn checked_idle(&mut self, id: &str, planned: &LastUse) -> Result<TimeDelta, TestCaseError> {
        let now = self.now;
        let key = self.key(id);
        prop_assert!(key.is_known, "its last use is unknown");
        prop_assert!(!key.in_use, "it is in use");
        let planned = match planned {
            LastUse::At(used) => Some(used.time),
            LastUse::Never => None,
            LastUse::Unknown => return Err(TestCaseError::fail("planned on an unknown last use")),
        };
        prop_assert_eq!(planned, key.last_use);
        Ok(now - key.last_use.unwrap_or(key.created))
    }

    fn tick(&mut self) {
        self.now += TICK;
        for key in &mut self.keys {
            if key.in_use && key.status == KeyStatus::Active {
                key.last_use = Some(self.now);
            }
        }
    }

    /// Follows the plan until there is nothing to do or `end` is over. Gives the steps, each once
    /// in a row, and whether the last is `none`.
    fn run(&mut self, end: DateTime<Utc>) -> Result<(Vec<&'static str>, bool), TestCaseError> {
        let was_served = self.is_served();
        let mut steps = Vec::new();
        let mut since = (String::new(), self.now);
        while self.now < end {
            let Some(advice) = self.advice() else {
                return Ok((steps, true));
            };
            if steps.last() != Some(&advice.step) {
                steps.push(advice.step);
            }
            // No step is one in which a user is stuck: a wait lasts until a key is dormant.
            let place = said(Some(&advice));
            if place != since.0 {
                since = (place, self.now);
            }
            prop_assert!(
                self.now - since.1 <= self.policy.thresholds.unused + TICK * 2,
                "stuck in {since:?}: {self:#?}"
            );
            self.follow(&advice)?;
            prop_assert!(
                !was_served || self.is_served(),
                "nothing works any more: {self:#?}"
            );
            self.tick();
        }
        Ok((steps, false))
    }
}

fn any_world(policy: impl Strategy<Value = Policy>) -> impl Strategy<Value = World> {
    let key = (
        prop_oneof![3 => Just("Active"), 2 => Just("Inactive"), 1 => Just("Expired")],
        0_i64..400 * 24,
        // The hours since the last use, as far as the age allows; none is never used.
        prop::option::weighted(0.8, 0_i64..200 * 24),
        prop::bool::weighted(0.8),
        any::<bool>(),
    );
    (policy, prop::collection::vec(key, 1..=5)).prop_map(|(policy, keys)| {
        let keys =
            keys.into_iter()
                .enumerate()
                .map(|(number, (status, age, idle, is_known, in_use))| {
                    let created = now() - TimeDelta::hours(age);
                    let in_use = in_use && status == "Active";
                    let last_use = if in_use {
                        Some(now())
                    } else {
                        idle.map(|idle| created.max(now() - TimeDelta::hours(idle)))
                    };
                    SimKey {
                        id: format!("OLD{number}"),
                        status: KeyStatus::from(status),
                        created,
                        last_use,
                        is_known,
                        in_use,
                    }
                });
        World {
            policy,
            now: now(),
            keys: keys.collect(),
            made: 0,
        }
    })
}

/// Thresholds under which a rotation can be over before the new key is due.
fn any_policy() -> impl Strategy<Value = Policy> {
    (1_i64..15, 0_i64..60, 0_i64..25, 5_i64..60).prop_map(|(settle, more, warn, slack)| {
        let unused = settle + more;
        let thresholds = Thresholds {
            max_age: TimeDelta::days(warn + settle + unused + slack),
            settle: TimeDelta::days(settle),
            unused: TimeDelta::days(unused),
            warn: TimeDelta::days(warn),
            ..Thresholds::default()
        };
        thresholds.into()
    })
}

/// Any thresholds, those too under which a user is never done.
fn hasty_policy() -> impl Strategy<Value = Policy> {
    (1_i64..60, 1_i64..15, 0_i64..60, 0_i64..80).prop_map(|(max_age, settle, more, warn)| {
        let thresholds = Thresholds {
            max_age: TimeDelta::days(max_age),
            settle: TimeDelta::days(settle),
            unused: TimeDelta::days(settle + more),
            warn: TimeDelta::days(warn),
            ..Thresholds::default()
        };
        thresholds.into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn following_the_plan_is_safe_and_comes_to_an_end(mut world in any_world(any_policy())) {
        // Each key may have to wait for its turn.
        let policy = world.policy.thresholds;
        let a_rotation = policy.settle + policy.unused * 2 + TimeDelta::days(5);
        let end = world.now + a_rotation * 12;
        let (steps, is_over) = world.run(end)?;
        prop_assert!(is_over, "after {steps:?}: {world:#?}");
    }

    #[test]
    fn following_the_plan_is_safe_under_any_thresholds(mut world in any_world(hasty_policy())) {
        let end = world.now + TimeDelta::days(400);
        while world.now < end {
            let (_, is_over) = world.run(end)?;
            if is_over {
                world.tick();
            }
        }
    }

    #[test]
    fn a_sole_key_in_use_goes_through_the_steps_in_order(policy in any_policy(), is_known: bool) {
        let mut world = World {
            now: now(),
            keys: vec![SimKey {
                id: "OLD".to_owned(),
                status: KeyStatus::Active,
                created: now() - policy.thresholds.max_age,
                last_use: Some(now()),
                is_known,
                in_use: true,
            }],
            made: 0,
            policy,
        };
        let end = world.now + world.policy.thresholds.settle + world.policy.thresholds.unused + TimeDelta::days(5);
        let (steps, is_over) = world.run(end)?;
        prop_assert!(is_over);
        let order = ["create", "update", "deactivate", "confirm", "delete"];
        // Where the unused time is hardly longer than the settle time, there is nothing to confirm.
        let expected: Vec<_> = order
            .into_iter()
            .filter(|step| *step != "confirm" || steps.contains(step))
            .collect();
        prop_assert_eq!(steps, expected);
        prop_assert_eq!(world.keys.len(), 1);
        prop_assert!(world.is_served());
    }
}
