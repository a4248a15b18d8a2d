//! Strategy `auto` against the double of AWS: who is read live, when, and what is believed.

mod support;

use std::time::Duration;

use chrono::TimeDelta;
use iam_key_exporter::{
    clock::Clock,
    inventory::{Inventory, Reading},
    key::{KeyStatus, LastUse},
    policy::Policy,
    reason::Reason,
    source::aws::Strategy,
};
use support::{
    aws_source::{
        Logs, Reader, Refreshing, at, days, find, ids, inventory, names, only_account, only_key,
        user,
    },
    fake_aws::{Action, ErrorCode, FakeAws, Fault, LastUsed, Operation, Population},
};

/// Users with one active key each, so many days old, and a report of them.
async fn with_keys(users: &[(&str, i64)]) -> FakeAws {
    let aws = FakeAws::start().await;
    {
        let mut account = aws.account();
        let now = account.now;
        for (name, age) in users {
            account.add_user(name, at("2020-01-01T00:00:00Z"));
            account.add_key(name, now - days(*age));
        }
        account.complete_report();
    }
    aws
}

/// Lets the double's clock go on.
fn pass(aws: &FakeAws, time: TimeDelta) {
    let now = aws.account().now;
    aws.account().set_now(now + time);
}

/// Lets the report go out of date and makes a new one.
fn next_report(aws: &FakeAws) {
    pass(aws, TimeDelta::hours(4));
    aws.account().complete_report();
}

/// The id of a user's first key.
fn first_key(aws: &FakeAws, name: &str) -> String {
    let account = aws.account();
    let (id, _) = account.users()[name]
        .keys()
        .first_key_value()
        .expect("a user with a key");
    id.clone()
}

/// Who was listed since the last time this was asked.
fn listed(aws: &FakeAws) -> Vec<String> {
    let users = aws
        .calls()
        .users_of(Operation::ListAccessKeys)
        .into_iter()
        .map(str::to_owned)
        .collect();
    aws.reset_calls();
    users
}

/// The same, whatever the order of the users.
async fn as_users_of_list(aws: &FakeAws, found: &Inventory) {
    let listed = Reader::new(aws, Strategy::List).read(aws).await;
    let mut users = found.users.clone();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(users, listed.users);
}

/// What auto has to give: the same as a list would.
async fn as_list(aws: &FakeAws, found: &Inventory) {
    let listed = Reader::new(aws, Strategy::List).read(aws).await;
    assert_eq!(found.users, listed.users);
}

#[tokio::test]
async fn a_warm_refresh_costs_two_calls_and_one_for_each_user_with_an_old_key() {
    let aws = FakeAws::start().await;
    let population = Population {
        users: 60,
        keys_per_user: 2,
        overdue_percent: 10,
        now: aws.account().now,
    };
    population.settle(&mut aws.account());
    let old = population.overdue_users();
    assert_eq!(old, 6);
    aws.account().complete_report();
    let mut reader = Reader::new(&aws, Strategy::Auto);

    let cold = reader.read(&aws).await;
    assert!(cold.is_complete());
    assert_eq!(aws.calls().of(Operation::ListAccessKeys), 60);
    assert_eq!(aws.calls().of(Operation::GetAccessKeyLastUsed), old);
    assert!(aws.calls().total() <= 60 + old + 8);
    as_list(&aws, &cold).await;

    for _ in 0..3 {
        aws.reset_calls();
        pass(&aws, TimeDelta::minutes(5));
        let warm = reader.read(&aws).await;
        assert_eq!(warm.users, cold.users);
        let calls = aws.calls();
        assert_eq!(calls.of(Operation::GetCallerIdentity), 1);
        assert_eq!(calls.of(Operation::GenerateCredentialReport), 1);
        assert_eq!(calls.of(Operation::GetCredentialReport), 1);
        assert_eq!(calls.of(Operation::ListAccessKeys), old);
        assert_eq!(calls.total(), 3 + old);
    }
}

#[tokio::test]
async fn users_without_keys_cost_nothing() {
    let aws = with_keys(&[("alice", 10)]).await;
    aws.account().add_user("nobody", at("2020-01-01T00:00:00Z"));
    aws.account().complete_report();
    let found = Reader::new(&aws, Strategy::Auto).read(&aws).await;
    assert_eq!(names(&found), ["alice", "nobody"]);
    assert_eq!(found.user_count, Some(2));
    assert_eq!(listed(&aws), ["alice"]);
}

#[tokio::test]
async fn a_user_is_read_again_when_the_row_changes_but_not_when_a_key_is_used() {
    let aws = with_keys(&[("alice", 10), ("bob", 10)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    assert_eq!(listed(&aws), ["alice", "bob"]);

    let (alices, bobs) = (first_key(&aws, "alice"), first_key(&aws, "bob"));
    let used = aws.account().now;
    aws.account().set_last_used(&alices, LastUsed::at(used));
    next_report(&aws);
    let found = reader.read(&aws).await;
    assert!(listed(&aws).is_empty());
    // The report tells the last use of a young key.
    assert!(matches!(&only_key(&found, "alice").last_use, LastUse::At(at) if at.time == used));
    assert_eq!(aws.calls().of(Operation::GetAccessKeyLastUsed), 0);

    aws.account().set_key_status(&bobs, "Inactive");
    next_report(&aws);
    let found = reader.read(&aws).await;
    assert_eq!(listed(&aws), ["bob"]);
    assert_eq!(only_key(&found, "bob").status, KeyStatus::Inactive);

    next_report(&aws);
    reader.read(&aws).await;
    assert!(listed(&aws).is_empty());
}

#[tokio::test]
async fn a_key_is_watched_live_before_it_is_overdue() {
    let aws = with_keys(&[("alice", 89)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    listed(&aws);
    reader.read(&aws).await;
    assert!(listed(&aws).is_empty());
    pass(&aws, TimeDelta::minutes(5));
    reader.read(&aws).await;
    assert_eq!(listed(&aws), ["alice"]);
}

#[tokio::test]
async fn a_failed_reading_is_tried_again_at_the_next_refresh() {
    let aws = with_keys(&[("alice", 10), ("bob", 10)]).await;
    aws.inject(
        Fault::on(
            Operation::ListAccessKeys,
            Action::Error(ErrorCode::AccessDenied),
        )
        .user("bob"),
    );
    let mut reader = Reader::new(&aws, Strategy::Auto);
    let found = reader.read(&aws).await;
    let bob = user(&found, "bob");
    assert_eq!(bob.reading, Reading::Unread(Reason::AccessDenied));
    assert_eq!(Policy::default().is_compliant(bob, aws.account().now), None);
    assert!(!found.is_complete());
    listed(&aws);

    aws.clear_faults();
    let found = reader.read(&aws).await;
    assert_eq!(listed(&aws), ["bob"]);
    assert!(found.is_complete());
    as_list(&aws, &found).await;
    listed(&aws);
    reader.read(&aws).await;
    assert!(listed(&aws).is_empty());
}

#[tokio::test]
async fn a_user_who_cannot_be_read_keeps_the_keys_that_were_listed() {
    let aws = with_keys(&[("alice", 100)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    let before = reader.read(&aws).await;
    aws.deny(Operation::ListAccessKeys);
    let found = reader.read(&aws).await;
    let alice = user(&found, "alice");
    assert_eq!(alice.keys, user(&before, "alice").keys);
    assert!(!alice.is_read());
    let now = aws.account().now;
    assert_eq!(Policy::default().is_compliant(alice, now), Some(false));
}

#[tokio::test]
async fn a_key_is_never_shown_twice_by_id_and_by_slot() {
    let aws = with_keys(&[("alice", 100)]).await;
    aws.deny(Operation::GetCredentialReport);
    let reader = Reader::new(&aws, Strategy::Auto);
    let mut refreshing = Refreshing::new(
        reader,
        Clock::Fixed(aws.account().now),
        Duration::from_mins(1),
    );
    let by_id = refreshing.refresh().await;
    assert!(only_account(&by_id).is_up());

    // Now the report comes, but the user can't be listed: the report knows the key by slot only.
    aws.clear_faults();
    aws.deny(Operation::ListAccessKeys);
    let snapshot = refreshing.refresh().await;
    assert_eq!(
        user(inventory(&snapshot), "alice").keys,
        user(inventory(&by_id), "alice").keys
    );
}

#[tokio::test]
async fn an_old_report_is_not_believed_and_that_is_said_once() {
    let aws = with_keys(&[("alice", 100)]).await;
    {
        let mut account = aws.account();
        account.report.expires_after = None;
        account.report.reused_for = days(100);
        let bob = account.now;
        account.add_user("bob", bob);
        account.add_key("bob", bob);
    }
    pass(&aws, TimeDelta::hours(24));
    let logs = Logs::capture();
    let mut reader = Reader::new(&aws, Strategy::Auto);
    for _ in 0..3 {
        let found = reader.read(&aws).await;
        assert_eq!(names(&found), ["alice", "bob"]);
        assert_eq!(found.data_time, aws.account().now);
    }
    assert_eq!(aws.calls().of(Operation::ListUsers), 3);
    let warnings = logs.of("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("2026-06-01T12:00:00Z"), "{warnings:?}");

    aws.account().complete_report();
    let found = reader.read(&aws).await;
    as_list(&aws, &found).await;
    assert_eq!(logs.of("WARN").len(), 1);
    let info = logs.of("INFO");
    assert_eq!(info.len(), 1, "{info:?}");
    assert!(info[0].starts_with("the credential report can be used again account="));
}

#[tokio::test]
async fn a_report_just_younger_than_a_day_is_believed() {
    let aws = with_keys(&[("alice", 100)]).await;
    aws.account().report.expires_after = None;
    aws.account().report.reused_for = days(100);
    pass(&aws, TimeDelta::hours(24) - TimeDelta::seconds(1));
    Reader::new(&aws, Strategy::Auto).read(&aws).await;
    assert_eq!(aws.calls().of(Operation::ListUsers), 0);
}

#[tokio::test]
async fn users_are_listed_where_the_report_is_denied_broken_or_never_comes() {
    let cases = [
        Fault::on(
            Operation::GetCredentialReport,
            Action::Error(ErrorCode::AccessDenied),
        ),
        Fault::on(Operation::GetCredentialReport, Action::Html),
        Fault::on(Operation::GetCredentialReport, Action::TruncatedXml),
        Fault::on(
            Operation::GenerateCredentialReport,
            Action::Error(ErrorCode::ServiceFailure),
        ),
    ];
    for fault in cases {
        let aws = with_keys(&[("alice", 100), ("bob", 10)]).await;
        let what = format!("{fault:?}");
        aws.inject(fault);
        let logs = Logs::capture();
        let mut reader = Reader::new(&aws, Strategy::Auto);
        for _ in 0..2 {
            let found = reader.read(&aws).await;
            assert!(found.is_complete(), "{what}");
            as_list(&aws, &found).await;
        }
        assert_eq!(aws.calls().of(Operation::ListUsers), 4, "{what}");
        assert_eq!(logs.of("WARN").len(), 1, "{what}: {:?}", logs.of("WARN"));
    }
}

#[tokio::test]
async fn the_last_use_of_keys_that_the_report_cannot_tell_apart_is_asked_for() {
    let aws = with_keys(&[("alice", 10), ("bob", 10)]).await;
    let (first, second, used) = {
        let mut account = aws.account();
        let born = account.now - days(10);
        let used = account.now - days(1);
        let second = account.add_key("alice", born);
        account.set_last_used(&second, LastUsed::at(used));
        account.complete_report();
        let ids: Vec<_> = account.users()["alice"].keys().keys().cloned().collect();
        assert_eq!(ids.len(), 2);
        let first = ids.into_iter().find(|id| *id != second).unwrap();
        (first, second, used)
    };
    let found = Reader::new(&aws, Strategy::Auto).read(&aws).await;
    let mut asked = vec![&*first, &*second];
    asked.sort_unstable();
    assert_eq!(aws.calls().keys_of(Operation::GetAccessKeyLastUsed), asked);
    let alice = user(&found, "alice");
    for key in &alice.keys {
        if key.name.as_str() == second {
            assert!(matches!(&key.last_use, LastUse::At(at) if at.time == used));
        } else {
            assert_eq!(key.last_use, LastUse::Never);
        }
    }
}

#[tokio::test]
async fn a_last_use_that_could_not_be_asked_for_is_asked_for_again_unless_it_is_denied() {
    for (code, asked) in [
        (ErrorCode::ServiceFailure, 3 + 1),
        (ErrorCode::AccessDenied, 1),
    ] {
        let aws = with_keys(&[("alice", 100)]).await;
        let key = first_key(&aws, "alice");
        let used = aws.account().now - days(1);
        aws.inject(Fault::on(Operation::GetAccessKeyLastUsed, Action::Error(code)).first(3));
        aws.account().set_last_used(&key, LastUsed::at(used));
        let mut reader = Reader::new(&aws, Strategy::Auto);
        for _ in 0..3 {
            reader.read(&aws).await;
        }
        assert_eq!(
            aws.calls().of(Operation::GetAccessKeyLastUsed),
            asked,
            "{code:?}"
        );
    }
}

#[tokio::test]
async fn a_user_deleted_since_the_report_is_gone_at_once() {
    let aws = with_keys(&[("alice", 100), ("bob", 100)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    aws.account().delete_user("alice");
    let found = reader.read(&aws).await;
    assert_eq!(names(&found), ["bob"]);
    assert_eq!(found.user_count, Some(1));
    assert!(found.is_complete());
}

#[tokio::test]
async fn a_renamed_user_keeps_an_old_key_in_sight() {
    let aws = with_keys(&[("alice", 100), ("bob", 10)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    for (name, new, lists) in [("alice", "carol", 1), ("carol", "dave", 1)] {
        aws.account().rename_user(name, new);
        aws.reset_calls();
        for _ in 0..3 {
            let found = reader.read(&aws).await;
            as_users_of_list(&aws, &found).await;
            assert!(find(&found, new).is_some() && found.is_complete());
        }
        // Besides those of the three listings to compare with.
        assert_eq!(aws.calls().of(Operation::ListUsers), 3 + lists);
    }
    next_report(&aws);
    let found = reader.read(&aws).await;
    as_users_of_list(&aws, &found).await;

    // The same for somebody who has just started.
    aws.account().rename_user("dave", "erin");
    let found = Reader::new(&aws, Strategy::Auto).read(&aws).await;
    as_users_of_list(&aws, &found).await;
}

#[tokio::test]
async fn users_who_swap_names_keep_their_old_keys_in_sight() {
    let aws = with_keys(&[("alice", 100)]).await;
    aws.account().add_user("bob", at("2021-01-01T00:00:00Z"));
    aws.account().complete_report();
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    for (name, new) in [("alice", "x"), ("bob", "alice"), ("x", "bob")] {
        aws.account().rename_user(name, new);
    }
    for _ in 0..2 {
        let found = reader.read(&aws).await;
        as_users_of_list(&aws, &found).await;
        assert_eq!(user(&found, "bob").keys.len(), 1);
        next_report(&aws);
    }
}

#[tokio::test]
async fn a_listing_is_not_complete_while_a_missing_user_may_be_a_renamed_one() {
    let aws = with_keys(&[("alice", 100)]).await;
    let reader = Reader::new(&aws, Strategy::Auto);
    let clock = Clock::Fixed(aws.account().now);
    let mut refreshing = Refreshing::new(reader, clock, Duration::from_mins(1));
    let before = refreshing.refresh().await;
    aws.account().rename_user("alice", "carol");
    aws.deny(Operation::ListUsers);
    let snapshot = refreshing.refresh().await;
    assert_eq!(only_account(&snapshot).failures, [Reason::AccessDenied]);
    assert_eq!(
        user(inventory(&snapshot), "alice").keys,
        user(inventory(&before), "alice").keys
    );
    aws.clear_faults();
    let snapshot = refreshing.refresh().await;
    assert!(only_account(&snapshot).is_up());
    assert_eq!(names(inventory(&snapshot)), ["carol"]);
}

#[tokio::test]
async fn a_user_created_again_has_the_keys_of_today() {
    let aws = with_keys(&[("alice", 100)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    let (born, young) = {
        let mut account = aws.account();
        let now = account.now;
        account.delete_user("alice");
        account.add_user("alice", now);
        (now, account.add_key("alice", now))
    };
    for _ in 0..2 {
        let found = reader.read(&aws).await;
        let alice = user(&found, "alice");
        assert_eq!(ids(alice), [&*young]);
        assert_eq!(alice.keys[0].created, born);
        assert!(found.is_complete());
        next_report(&aws);
    }
}

#[tokio::test]
async fn the_listing_is_believed_where_the_report_has_other_dates() {
    let aws = with_keys(&[("alice", 100)]).await;
    let (now, csv) = {
        let account = aws.account();
        let csv = String::from_utf8(account.report_csv()).unwrap();
        (account.now, csv)
    };
    // "Created or last changed": the key was deactivated and activated again five days ago.
    let born = (now - days(100)).format("%FT%T").to_string();
    let changed = (now - days(5)).format("%FT%T").to_string();
    assert!(csv.contains(&born));
    aws.account()
        .report
        .replace(now, csv.replace(&born, &changed));
    let logs = Logs::capture();
    let mut reader = Reader::new(&aws, Strategy::Auto);
    for _ in 0..3 {
        let found = reader.read(&aws).await;
        assert_eq!(only_key(&found, "alice").created, now - days(100));
        assert_eq!(
            Policy::default().is_compliant(user(&found, "alice"), now),
            Some(false)
        );
        assert_eq!(listed(&aws), ["alice"]);
    }
    let warnings = logs.of("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("access_key_last_rotated"));
}

#[tokio::test]
async fn a_key_deactivated_since_the_report_is_no_longer_overdue() {
    let aws = with_keys(&[("alice", 100)]).await;
    let key = first_key(&aws, "alice");
    let mut reader = Reader::new(&aws, Strategy::Auto);
    for status in ["Active", "Inactive", "Active", "Inactive"] {
        aws.account().set_key_status(&key, status);
        let found = reader.read(&aws).await;
        assert_eq!(only_key(&found, "alice").status.as_str(), status);
    }
}

#[tokio::test]
async fn an_old_third_key_that_no_report_shows_is_found_and_watched() {
    let aws = with_keys(&[("alice", 10)]).await;
    let third = {
        let mut account = aws.account();
        let now = account.now;
        account.add_key("alice", now - days(20));
        // Ids, not dates, decide which two are shown.
        let third = account.add_key("alice", now - days(100));
        account.complete_report();
        third
    };
    let mut reader = Reader::new(&aws, Strategy::Auto);
    let found = reader.read(&aws).await;
    assert_eq!(ids(user(&found, "alice"))[0], third);
    as_list(&aws, &found).await;
    aws.account().set_key_status(&third, "Inactive");
    let found = reader.read(&aws).await;
    assert!(!user(&found, "alice").keys[0].is_active());
}

#[tokio::test]
async fn a_young_third_key_is_known_before_it_is_overdue() {
    let aws = with_keys(&[("alice", 50)]).await;
    {
        let mut account = aws.account();
        let now = account.now;
        account.add_key("alice", now - days(50));
        account.complete_report();
    }
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    let born = aws.account().now;
    aws.account().add_key("alice", born);
    next_report(&aws);
    let found = reader.read(&aws).await;
    // The row is the same as before, so the key just born isn't known yet.
    assert_eq!(user(&found, "alice").keys.len(), 2);
    pass(&aws, days(40));
    aws.account().complete_report();
    let found = reader.read(&aws).await;
    as_list(&aws, &found).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_no_key() {
    let aws = with_keys(&[]).await;
    // A report that says something new of Alice's keys, in which no key can be seen.
    let garbled = |aws: &FakeAws| {
        let mut account = aws.account();
        let csv = String::from_utf8(account.report_csv()).unwrap();
        let lines: Vec<_> = csv
            .lines()
            .map(|line| {
                if line.starts_with("alice,") {
                    let mut fields: Vec<_> = line.split(',').collect();
                    fields[8] = "perhaps";
                    fields[9] = "N/A";
                    fields.join(",")
                } else {
                    line.to_owned()
                }
            })
            .collect();
        let now = account.now;
        account.report.replace(now, lines.join("\n"));
    };
    aws.account().add_user("alice", at("2020-01-01T00:00:00Z"));
    garbled(&aws);
    let mut reader = Reader::new(&aws, Strategy::Auto);
    let found = reader.read(&aws).await;
    assert!(user(&found, "alice").keys.is_empty());

    let born = aws.account().now;
    aws.account().add_key("alice", born);
    pass(&aws, days(100));
    garbled(&aws);
    let found = reader.read(&aws).await;
    as_list(&aws, &found).await;
    assert_eq!(only_key(&found, "alice").created, born);
}

#[tokio::test]
async fn a_key_just_born_is_known_from_the_next_report_on() {
    let aws = with_keys(&[("alice", 10)]).await;
    let mut reader = Reader::new(&aws, Strategy::Auto);
    reader.read(&aws).await;
    {
        let mut account = aws.account();
        let now = account.now;
        account.add_user("bob", now);
        account.add_key("bob", now);
    }
    assert!(find(&reader.read(&aws).await, "bob").is_none());
    next_report(&aws);
    let found = reader.read(&aws).await;
    as_list(&aws, &found).await;
}

#[tokio::test]
async fn nothing_is_kept_of_an_account_when_the_credentials_change_over() {
    let aws = with_keys(&[("alice", 10)]).await;
    aws.account().alias = Some("first".to_owned());
    let mut reader = Reader::new(&aws, Strategy::Auto);
    let first = reader.read(&aws).await;
    assert_eq!(first.account.alias.as_deref(), Some("first"));
    {
        let mut account = aws.account();
        account.id = "210987654321".to_owned();
        account.alias = Some("second".to_owned());
        account.complete_report();
    }
    listed(&aws);
    let second = reader.read(&aws).await;
    assert_eq!(second.account.id.as_str(), "210987654321");
    assert_eq!(second.account.alias.as_deref(), Some("second"));
    assert_eq!(listed(&aws), ["alice"]);
}
