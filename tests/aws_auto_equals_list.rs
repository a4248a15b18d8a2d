//! The promise of `auto`: whatever happens in the account, the overdue keys are those that `list`
//! finds at the same instant.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    inventory::Inventory,
    policy::{Boundary, Policy, Thresholds},
    source::aws::{Origin, Settings, Strategy as Reading},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use support::{
    aws_source::{INTERVAL, Reader, config, settings},
    fake_aws::{Account, FakeAws, LastUsed, Operation},
};

/// Names to use; the last one is nobody's to begin with.
const USERS: usize = 4;

/// How many minutes late a report can be.
const LATE: std::ops::Range<i64> = 0..241;

/// Something that happens in the account, or to it.
#[derive(Debug, Clone)]
enum Event {
    Minutes(i64),
    /// Time in hundredths of the max age, the last report made so many minutes before its end.
    Percent(i64, i64),
    /// To so many seconds after a key's due instant, or before it, with a report as late.
    UntilDue(Key, i64, i64),
    CreateUser(usize),
    DeleteUser(usize),
    /// Deleted and created again under the same name, with a new key.
    RecreateUser(usize),
    /// If nobody else has that name.
    RenameUser(usize, usize),
    CreateKey(usize),
    DeleteKey(Key),
    Deactivate(Key),
    Reactivate(Key),
    Use(Key),
    /// Somebody else lets AWS make a report.
    Report,
    Refresh,
}

/// A user and which of the keys, counted round and round.
type Key = (usize, usize);

fn key() -> impl Strategy<Value = Key> {
    (0..USERS, 0..3_usize)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..300_i64).prop_map(Event::Minutes),
        3 => (1..120_i64, LATE).prop_map(|(percent, late)| Event::Percent(percent, late)),
        4 => (key(), prop_oneof![-700..700_i64, -2..3_i64], LATE)
            .prop_map(|(key, seconds, late)| Event::UntilDue(key, seconds, late)),
        1 => (0..USERS).prop_map(Event::CreateUser),
        1 => (0..USERS).prop_map(Event::DeleteUser),
        2 => (0..USERS).prop_map(Event::RecreateUser),
        3 => (0..USERS, 0..USERS).prop_map(|(user, new)| Event::RenameUser(user, new)),
        5 => (0..USERS).prop_map(Event::CreateKey),
        2 => key().prop_map(Event::DeleteKey),
        3 => key().prop_map(Event::Deactivate),
        3 => key().prop_map(Event::Reactivate),
        1 => key().prop_map(Event::Use),
        2 => Just(Event::Report),
        8 => Just(Event::Refresh),
    ]
}

/// An account's history, and how late its reports are.
#[derive(Debug, Clone)]
struct History {
    boundary: Boundary,
    /// For how many minutes AWS gives the last report instead of a new one.
    reports_reused: i64,
    /// The keys to begin with: whose, and how old in hundredths of the max age.
    first_keys: Vec<(usize, i64)>,
    events: Vec<Event>,
}

fn history() -> impl Strategy<Value = History> {
    let boundary = prop_oneof![
        Just(Boundary::Exact),
        Just(Boundary::UtcMidnight),
        Just(Boundary::WholeDays)
    ];
    let reused = prop_oneof![Just(240_i64), 0..241_i64, Just(23 * 60_i64)];
    let first_keys = proptest::collection::vec((0..USERS - 1, 0..150_i64), 0..6);
    let events = proptest::collection::vec(event(), 8..26);
    (boundary, reused, first_keys, events).prop_map(
        |(boundary, reports_reused, first_keys, events)| History {
            boundary,
            reports_reused,
            first_keys,
            events,
        },
    )
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

/// The id of a key, if the user is there and has any.
fn id(account: &Account, (user, index): Key) -> Option<String> {
    let keys = account.users().get(&name(user))?.keys();
    keys.keys().nth(index % keys.len().max(1)).cloned()
}

/// Adds a user. No two are created in the same second: that alone tells them apart when they swap
/// names.
fn add_user(account: &mut Account, user: usize) {
    let now = account.now;
    account.add_user(&name(user), now);
    account.set_now(now + TimeDelta::seconds(1));
}

/// Lets an event happen. A refresh is none of the account's business.
fn happen(account: &mut Account, event: &Event, policy: &Policy) {
    let now = account.now;
    match event {
        Event::Minutes(minutes) => account.set_now(now + TimeDelta::minutes(*minutes)),
        Event::Percent(percent, late) => {
            pass_to(
                account,
                now + hundredths(policy.thresholds.max_age, *percent),
                *late,
            );
        }
        Event::UntilDue(key, seconds, late) => {
            if let Some(id) = id(account, *key) {
                let created = account.key_mut(&id).created;
                let then = policy.thresholds.due_instant(created) + TimeDelta::seconds(*seconds);
                pass_to(account, then, *late);
            }
        }
        Event::CreateUser(user) => {
            if !account.users().contains_key(&name(*user)) {
                add_user(account, *user);
            }
        }
        Event::DeleteUser(user) => account.delete_user(&name(*user)),
        Event::RecreateUser(user) => {
            add_user(account, *user);
            account.add_key(&name(*user), now);
        }
        Event::RenameUser(user, new) => {
            let is_user = |user| account.users().contains_key(&name(user));
            if is_user(*user) && !is_user(*new) {
                account.rename_user(&name(*user), &name(*new));
            }
        }
        Event::CreateKey(user) => {
            if account.users().contains_key(&name(*user)) {
                account.add_key(&name(*user), now);
            }
        }
        Event::DeleteKey(key) => {
            if let Some(id) = id(account, *key) {
                account.delete_key(&id);
            }
        }
        Event::Deactivate(key) | Event::Reactivate(key) => {
            if let Some(id) = id(account, *key) {
                let active = matches!(event, Event::Reactivate(_));
                account.set_key_status(&id, if active { "Active" } else { "Inactive" });
            }
        }
        Event::Use(key) => {
            if let Some(id) = id(account, *key) {
                account.set_last_used(&id, LastUsed::at(now));
            }
        }
        Event::Report => account.complete_report(),
        Event::Refresh => {}
    }
}

/// Lets time pass during which reports were made as usual, the last one so many minutes ago.
fn pass_to(account: &mut Account, then: DateTime<Utc>, late: i64) {
    let now = account.now;
    let report = then - TimeDelta::minutes(late);
    if report > now {
        account.set_now(report);
        account.complete_report();
    }
    account.set_now(now.max(then));
}

/// A part of a time, in whole seconds as all times of IAM.
fn hundredths(time: TimeDelta, percent: i64) -> TimeDelta {
    TimeDelta::seconds(time.num_seconds() * percent / 100)
}

type Overdue = BTreeSet<(String, String)>;

fn overdue(found: &Inventory, policy: &Policy, now: DateTime<Utc>) -> Overdue {
    let mut overdue = Overdue::new();
    for user in &found.users {
        for key in user
            .keys
            .iter()
            .filter(|key| policy.thresholds.is_overdue(key, now))
        {
            overdue.insert((user.name.to_string(), key.name.to_string()));
        }
    }
    overdue
}

fn compliant(
    found: &Inventory,
    policy: &Policy,
    now: DateTime<Utc>,
) -> BTreeMap<String, Option<bool>> {
    found
        .users
        .iter()
        .map(|user| (user.name.to_string(), policy.is_compliant(user, now)))
        .collect()
}

/// What was compared, so that a test that compares nothing can't pass.
#[derive(Default)]
struct Seen {
    refreshes: AtomicUsize,
    overdue: AtomicUsize,
    late: AtomicUsize,
    spared: AtomicUsize,
}

/// Plays a history and compares both strategies at every refresh.
async fn play(
    history: &History,
    max_age_days: i64,
    client: &SharedHttpClient,
    seen: &Seen,
) -> Result<(), TestCaseError> {
    let policy = Policy::from(Thresholds {
        max_age: TimeDelta::days(max_age_days),
        boundary: history.boundary,
        ..Thresholds::default()
    });
    let aws = FakeAws::start_on_thread();
    let reader = |strategy| {
        let config = config(&aws.endpoint())
            .into_builder()
            .http_client(client.clone())
            .build();
        let settings = Settings {
            origin: Origin::Config(Box::new(config)),
            ..settings("")
        };
        Reader::with(settings, strategy, policy.clone())
    };
    let (mut auto, mut list) = (reader(Reading::Auto), reader(Reading::List));
    {
        let mut account = aws.account();
        account.report.reused_for = TimeDelta::minutes(history.reports_reused);
        account.report.expires_after = None;
        let now = account.now;
        for user in 0..USERS - 1 {
            let age =
                policy.thresholds.max_age * 2 + TimeDelta::seconds(user.try_into().expect("a few"));
            account.add_user(&name(user), now - age);
        }
        for (user, age) in &history.first_keys {
            account.add_key(
                &name(*user),
                now - hundredths(policy.thresholds.max_age, *age),
            );
        }
    }
    for event in history.events.iter().chain([&Event::Refresh]) {
        happen(&mut aws.account(), event, &policy);
        if matches!(event, Event::Refresh) {
            compare(&aws, &mut auto, &mut list, &policy, seen).await?;
        }
    }
    Ok(())
}

async fn compare(
    aws: &FakeAws,
    auto: &mut Reader,
    list: &mut Reader,
    policy: &Policy,
    seen: &Seen,
) -> Result<(), TestCaseError> {
    let now = aws.account().now;
    aws.reset_calls();
    let by_auto = auto.read(aws).await;
    let calls = aws.calls();
    let by_list = list.read(aws).await;
    let generated = aws.account().report.generated();
    prop_assert_eq!(
        Some(by_auto.data_time),
        generated,
        "auto fell back to a list"
    );
    prop_assert!(by_auto.is_complete() && by_list.is_complete());

    // Readers ask between two refreshes too, and the next one may be late. A key just born may be
    // unknown for as long as a report is old, so a day of max age leaves no more time than that.
    let mut instants = vec![now, now + INTERVAL, now + INTERVAL * 2];
    if policy.thresholds.max_age > TimeDelta::days(2) {
        instants.push(now + TimeDelta::days(1));
    }
    for instant in instants {
        let truth = overdue(&by_list, policy, instant);
        prop_assert_eq!(
            &overdue(&by_auto, policy, instant),
            &truth,
            "overdue at {}",
            instant
        );
        let (auto, list) = (
            compliant(&by_auto, policy, instant),
            compliant(&by_list, policy, instant),
        );
        for (user, compliant) in list {
            let told = auto.get(&user).copied().flatten();
            prop_assert_eq!(
                compliant == Some(false),
                told == Some(false),
                "{} at {}",
                user,
                instant
            );
        }
        seen.overdue.fetch_add(truth.len(), Ordering::Relaxed);
    }
    let users = by_list
        .users
        .iter()
        .filter(|user| !user.keys.is_empty())
        .count();
    let listed = calls.of(Operation::ListAccessKeys);
    seen.refreshes.fetch_add(1, Ordering::Relaxed);
    seen.late
        .fetch_add(usize::from(by_auto.data_time < now), Ordering::Relaxed);
    seen.spared
        .fetch_add(users.saturating_sub(listed), Ordering::Relaxed);
    Ok(())
}

fn keeps_the_promise(max_age_days: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let client = Builder::new().build_http();
    let seen = Seen::default();
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&history(), |history| {
        runtime.block_on(play(&history, max_age_days, &client, &seen))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // 24 histories that show none of this would be no test.
    for (what, count) in [
        ("refreshes", &seen.refreshes),
        ("overdue keys", &seen.overdue),
        ("late reports", &seen.late),
    ] {
        assert!(count.load(Ordering::Relaxed) > 20, "hardly any {what}");
    }
    if max_age_days > 1 {
        assert!(
            seen.spared.load(Ordering::Relaxed) > 0,
            "auto read as many as list"
        );
    }
}

#[test]
fn under_a_max_age_of_a_day() {
    keeps_the_promise(1);
}

#[test]
fn under_a_max_age_of_90_days() {
    keeps_the_promise(90);
}

#[test]
fn under_a_max_age_of_a_year() {
    keeps_the_promise(365);
}
