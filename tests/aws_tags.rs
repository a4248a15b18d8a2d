//! The tags of users who hold an old key.

mod support {
    pub mod aws_source;
    pub mod fake_aws;
}

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    counts::Operation as Counted,
    inventory::{Inventory, Tags},
    policy::Policy,
    reason::Reason,
    source::aws::Strategy,
};
use support::{
    aws_source::{Logs, Reader, days, user},
    fake_aws::{Action, ErrorCode, FakeAws, Fault, Operation, PageStyle},
};

/// A reader who wants these tags.
fn reader(aws: &FakeAws, strategy: Strategy, wanted: &[&str]) -> Reader {
    let mut reader = Reader::new(aws, strategy);
    want(&mut reader, wanted);
    reader
}

fn want(reader: &mut Reader, wanted: &[&str]) {
    let wanted: BTreeSet<Arc<str>> = wanted.iter().map(|key| Arc::from(*key)).collect();
    reader.aws.reconfigure(&Policy::default(), Arc::new(wanted));
}

/// A user with one key of that age, and some tags.
fn add(aws: &FakeAws, name: &str, age: i64, tags: &[(&str, &str)]) {
    let mut account = aws.account();
    let created = account.now - days(age);
    let tags = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    account.add_user(name, created).tags = tags.collect();
    account.add_key(name, created);
}

/// A user's tags, as `key=value`; `None` if they aren't known.
fn tags(inventory: &Inventory, name: &str) -> Option<Vec<String>> {
    match &user(inventory, name).tags {
        Tags::Known(read) => {
            let mut tags: Vec<_> = read
                .tags
                .iter()
                .map(|tag| format!("{}={}", tag.key, tag.value))
                .collect();
            tags.sort();
            Some(tags)
        }
        Tags::NotAsked | Tags::Unread(_) => None,
    }
}

async fn read_at(reader: &mut Reader, now: DateTime<Utc>) -> Inventory {
    let read = reader.collect_at(now).await.result;
    read.expect("the account can be read")
}

const STRATEGIES: [Strategy; 3] = [Strategy::List, Strategy::Auto, Strategy::Report];

#[tokio::test]
async fn wanted_tags_of_users_with_an_old_key_are_read_whatever_the_strategy() {
    for strategy in STRATEGIES {
        let aws = FakeAws::start().await;
        add(&aws, "old", 100, &[("owner", "alice"), ("cost", "12")]);
        add(&aws, "soon", 77, &[("Owner", "bob"), ("team", "x")]);
        add(&aws, "young", 10, &[("owner", "carol")]);
        add(&aws, "bare", 200, &[]);
        let mut reader = reader(&aws, strategy, &["owner", "team"]);
        let inventory = reader.read(&aws).await;
        assert!(inventory.is_complete(), "{strategy:?}");
        assert_eq!(tags(&inventory, "old"), Some(vec!["owner=alice".into()]));
        // Letter case counts, as in IAM's conditions on tag values; nobody else's tags are kept.
        assert_eq!(tags(&inventory, "soon"), Some(vec!["team=x".into()]));
        assert_eq!(tags(&inventory, "bare"), Some(vec![]));
        assert_eq!(user(&inventory, "young").tags, Tags::NotAsked);
        assert_eq!(reader.attempts(Counted::ListUserTags), 3, "{strategy:?}");
    }
}

#[tokio::test]
async fn no_tag_is_read_if_none_is_wanted() {
    for strategy in STRATEGIES {
        let aws = FakeAws::start().await;
        add(&aws, "old", 100, &[("owner", "alice")]);
        let mut reader = reader(&aws, strategy, &[]);
        let inventory = reader.read(&aws).await;
        assert_eq!(user(&inventory, "old").tags, Tags::NotAsked);
        assert_eq!(reader.attempts(Counted::ListUserTags), 0);
    }
}

#[tokio::test]
async fn tags_are_believed_for_an_hour_and_read_anew_when_others_are_wanted() {
    let aws = FakeAws::start().await;
    add(&aws, "old", 100, &[("owner", "alice"), ("team", "x")]);
    let start = aws.account().now;
    let mut reader = reader(&aws, Strategy::List, &["owner"]);
    read_at(&mut reader, start).await;
    let changed = |value: &str| {
        let mut account = aws.account();
        let user = account.user_mut("old");
        user.tags.insert("owner".into(), value.into());
    };
    changed("bob");
    let inventory = read_at(&mut reader, start + TimeDelta::minutes(59)).await;
    assert_eq!(tags(&inventory, "old"), Some(vec!["owner=alice".into()]));
    let inventory = read_at(&mut reader, start + TimeDelta::minutes(60)).await;
    assert_eq!(tags(&inventory, "old"), Some(vec!["owner=bob".into()]));
    assert_eq!(reader.attempts(Counted::ListUserTags), 2);

    want(&mut reader, &["owner", "team"]);
    let inventory = read_at(&mut reader, start + TimeDelta::minutes(65)).await;
    let both = vec!["owner=bob".to_owned(), "team=x".to_owned()];
    assert_eq!(tags(&inventory, "old"), Some(both));
}

#[tokio::test]
async fn many_tags_come_on_several_pages() {
    let aws = FakeAws::start().await;
    let many: Vec<(String, String)> = (0..40)
        .map(|n| (format!("tag-{n:02}"), n.to_string()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (&**k, &**v)).collect();
    add(&aws, "old", 100, &many);
    aws.account().page_style = PageStyle::AtMost(7);
    let mut reader = reader(&aws, Strategy::List, &["tag-00", "tag-39"]);
    let inventory = reader.read(&aws).await;
    let ends = vec!["tag-00=0".to_owned(), "tag-39=39".to_owned()];
    assert_eq!(tags(&inventory, "old"), Some(ends));
    assert!(reader.attempts(Counted::ListUserTags) > 1);
}

#[tokio::test]
async fn tags_that_cannot_be_read_are_unread_and_leave_the_account_complete() {
    for strategy in STRATEGIES {
        let aws = FakeAws::start().await;
        add(&aws, "denied", 100, &[("owner", "alice")]);
        add(&aws, "fine", 100, &[("owner", "bob")]);
        aws.inject(
            Fault::on(
                Operation::ListUserTags,
                Action::Error(ErrorCode::AccessDenied),
            )
            .user("denied"),
        );
        let logs = Logs::capture();
        let mut reader = reader(&aws, strategy, &["owner"]);
        for _ in 0..2 {
            let inventory = reader.read(&aws).await;
            assert!(inventory.is_complete());
            assert_eq!(
                user(&inventory, "denied").tags,
                Tags::Unread(Reason::AccessDenied)
            );
            assert_eq!(tags(&inventory, "fine"), Some(vec!["owner=bob".into()]));
        }
        // The one that failed is tried again, the other isn't.
        assert_eq!(reader.attempts(Counted::ListUserTags), 3);
        let said = logs.of("WARN");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("iam:ListUserTags"), "{said:?}");

        aws.clear_faults();
        let inventory = reader.read(&aws).await;
        assert_eq!(tags(&inventory, "denied"), Some(vec!["owner=alice".into()]));
    }
}

#[tokio::test]
async fn where_every_users_tags_are_denied_one_is_tried_until_that_changes() {
    let aws = FakeAws::start().await;
    for n in 0..20 {
        add(&aws, &format!("user-{n}"), 100, &[("owner", "x")]);
    }
    aws.deny(Operation::ListUserTags);
    let mut reader = reader(&aws, Strategy::List, &["owner"]);
    let inventory = reader.read(&aws).await;
    assert_eq!(inventory.users_with_unread_tags(&BTreeSet::new()), 20);
    assert_eq!(reader.attempts(Counted::ListUserTags), 20);
    let inventory = reader.read(&aws).await;
    assert_eq!(inventory.users_with_unread_tags(&BTreeSet::new()), 20);
    assert_eq!(reader.attempts(Counted::ListUserTags), 21);
    aws.clear_faults();
    let inventory = reader.read(&aws).await;
    assert_eq!(inventory.users_with_unread_tags(&BTreeSet::new()), 0);
    assert_eq!(reader.attempts(Counted::ListUserTags), 41);
}

#[tokio::test]
async fn one_user_whose_tags_are_denied_costs_nobody_else_theirs() {
    let aws = FakeAws::start().await;
    add(&aws, "a-denied", 100, &[("owner", "x")]);
    for name in ["b", "c"] {
        add(&aws, name, 100, &[("owner", name)]);
    }
    let start = aws.account().now;
    let denied = || {
        let denied = Action::Error(ErrorCode::AccessDenied);
        Fault::on(Operation::ListUserTags, denied).user("a-denied")
    };
    aws.inject(denied());
    let mut reader = reader(&aws, Strategy::List, &["owner"]);
    let mut now = start;
    while now < start + TimeDelta::hours(5) {
        let inventory = read_at(&mut reader, now).await;
        assert_eq!(tags(&inventory, "a-denied"), None);
        for name in ["b", "c"] {
            assert_eq!(tags(&inventory, name), Some(vec![format!("owner={name}")]));
        }
        now += TimeDelta::minutes(5);
    }

    // Everybody's are denied for a while, and then only that user's again.
    aws.deny(Operation::ListUserTags);
    now += TimeDelta::hours(3);
    let inventory = read_at(&mut reader, now).await;
    assert_eq!(inventory.users_with_unread_tags(&BTreeSet::new()), 3);
    aws.clear_faults();
    aws.inject(denied());
    let mut unread = Vec::new();
    for _ in 0..3 {
        now += TimeDelta::minutes(5);
        let inventory = read_at(&mut reader, now).await;
        unread.push(inventory.users_with_unread_tags(&BTreeSet::new()));
    }
    assert_eq!(unread.last(), Some(&1), "{unread:?}");
}

#[tokio::test]
async fn a_user_whose_keys_cannot_be_read_is_asked_for_the_tags_all_the_same() {
    for strategy in [Strategy::List, Strategy::Auto] {
        let aws = FakeAws::start().await;
        add(&aws, "old", 100, &[("owner", "alice")]);
        add(&aws, "dark", 100, &[("owner", "bob")]);
        aws.inject(
            Fault::on(
                Operation::ListAccessKeys,
                Action::Error(ErrorCode::AccessDenied),
            )
            .user("dark"),
        );
        let start = aws.account().now;
        let mut reader = reader(&aws, strategy, &["owner"]);
        let inventory = read_at(&mut reader, start).await;
        assert!(!user(&inventory, "dark").is_read());
        assert_eq!(tags(&inventory, "dark"), Some(vec!["owner=bob".into()]));

        aws.account().user_mut("dark").tags.clear();
        let inventory = read_at(&mut reader, start + TimeDelta::hours(1)).await;
        assert_eq!(tags(&inventory, "dark"), Some(vec![]), "{strategy:?}");
    }
}

#[tokio::test]
async fn known_tags_are_kept_for_another_hour_if_they_cannot_be_read_again() {
    let aws = FakeAws::start().await;
    add(&aws, "old", 100, &[("owner", "alice")]);
    let start = aws.account().now;
    let mut reader = reader(&aws, Strategy::List, &["owner"]);
    read_at(&mut reader, start).await;
    aws.inject(Fault::on(
        Operation::ListUserTags,
        Action::Error(ErrorCode::ServiceFailure),
    ));
    let inventory = read_at(&mut reader, start + TimeDelta::minutes(119)).await;
    assert_eq!(tags(&inventory, "old"), Some(vec!["owner=alice".into()]));
    let inventory = read_at(&mut reader, start + TimeDelta::minutes(120)).await;
    assert_eq!(
        user(&inventory, "old").tags,
        Tags::Unread(Reason::ServerError)
    );
}

#[tokio::test]
async fn a_user_deleted_before_the_tags_are_read_is_no_failure() {
    let aws = FakeAws::start().await;
    add(&aws, "gone", 100, &[("owner", "alice")]);
    aws.inject(Fault::on(
        Operation::ListUserTags,
        Action::Error(ErrorCode::NoSuchEntity),
    ));
    let inventory = reader(&aws, Strategy::List, &["owner"]).read(&aws).await;
    assert_eq!(tags(&inventory, "gone"), Some(vec![]));
    assert_eq!(inventory.users_with_unread_tags(&BTreeSet::new()), 0);
}
