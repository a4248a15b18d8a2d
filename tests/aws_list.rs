//! Strategy `list` against the double of AWS.

mod support;

use std::{collections::BTreeSet, time::Duration};

use iam_key_exporter::{
    counts::Operation as Counted,
    inventory::{Listing, Reading, RootKeys},
    key::{KeyStatus, LastUse, UsedAt},
    policy::Policy,
    reason::Reason,
    source::aws::{Pace, Settings, Strategy},
};
use support::{
    aws_source::{
        Reader, Refreshing, at, days, find, ids, inventory, names, only_account, only_key,
        settings, user,
    },
    fake_aws::{Action, ErrorCode, FakeAws, Fault, LastUsed, Operation, PageStyle, Population},
};

/// Users of these names with one active key each, born on 2026-01-01.
fn with_users(aws: &FakeAws, names: &[&str]) {
    let mut account = aws.account();
    for name in names {
        account.add_user(name, at("2020-01-01T00:00:00Z"));
        account.add_key(name, at("2026-01-01T00:00:00Z"));
    }
}

#[tokio::test]
async fn keys_come_out_with_their_exact_birth_and_last_use() {
    let aws = FakeAws::start().await;
    let (used, never, inactive) = {
        let mut account = aws.account();
        account.alias = Some("acme-prod".to_owned());
        account.set_root_keys_active(1);
        account.add_user("alice", at("2020-01-01T00:00:00Z"));
        account.add_user("nobody", at("2020-01-01T00:00:00Z"));
        let used = account.add_key("alice", at("2024-02-29T23:59:59Z"));
        account.set_last_used(
            &used,
            LastUsed::At {
                time: at("2026-05-31T23:00:01Z"),
                service: "ec2".to_owned(),
                region: "eu-west-1".to_owned(),
            },
        );
        let never = account.add_key("alice", at("2023-01-01T00:00:00Z"));
        let inactive = account.add_key("alice", at("2026-05-01T00:00:00Z"));
        account.set_key_status(&inactive, "Inactive");
        (used, never, inactive)
    };

    let found = Reader::new(&aws, Strategy::List).read(&aws).await;

    assert_eq!(found.account.id.as_str(), "123456789012");
    assert_eq!(&*found.account.partition, "aws");
    assert_eq!(found.account.alias.as_deref(), Some("acme-prod"));
    assert_eq!(found.account.name, None);
    assert_eq!(found.user_count, Some(2));
    assert_eq!(found.data_time, aws.account().now);
    assert_eq!(
        found.root,
        RootKeys {
            active: None,
            present: Some(true)
        }
    );
    assert!(found.is_complete());
    assert!(user(&found, "nobody").keys.is_empty());

    let alice = user(&found, "alice");
    assert_eq!(ids(alice), [&*never, &*used, &*inactive]);
    let [oldest, middle, youngest] = &*alice.keys else {
        panic!("three keys were added");
    };
    assert_eq!(oldest.created, at("2023-01-01T00:00:00Z"));
    assert_eq!(oldest.last_use, LastUse::Never);
    assert_eq!(middle.created, at("2024-02-29T23:59:59Z"));
    assert_eq!(
        middle.last_use,
        LastUse::At(UsedAt::new(at("2026-05-31T23:00:01Z"), "ec2", "eu-west-1"))
    );
    assert_eq!(youngest.status, KeyStatus::Inactive);
}

#[tokio::test]
async fn every_page_of_users_is_read_whatever_the_pages_are_like() {
    for (style, users, pages) in [
        (PageStyle::Full, 1_001, 2),
        (PageStyle::AtMost(7), 50, 8),
        (PageStyle::EmptyBetween, 50, 2),
    ] {
        let aws = FakeAws::start().await;
        let population = Population {
            users,
            keys_per_user: 0,
            overdue_percent: 0,
            now: at("2026-06-01T00:00:00Z"),
        };
        population.settle(&mut aws.account());
        aws.account().page_style = style;

        let found = Reader::new(&aws, Strategy::List).read(&aws).await;

        let all: Vec<_> = (0..users).map(Population::user_name).collect();
        assert_eq!(names(&found), all, "{style:?}");
        assert_eq!(found.user_count, Some(users));
        assert_eq!(aws.calls().of(Operation::ListUsers), pages, "{style:?}");
    }
}

#[tokio::test]
async fn every_page_of_a_users_keys_is_read_however_many_there_are() {
    for style in [PageStyle::AtMost(3), PageStyle::EmptyBetween] {
        let aws = FakeAws::start().await;
        let all: BTreeSet<_> = {
            let mut account = aws.account();
            account.page_style = style;
            account.add_user("hoarder", at("2020-01-01T00:00:00Z"));
            (0..8)
                .map(|n| account.add_key("hoarder", at("2026-01-01T00:00:00Z") + days(n)))
                .collect()
        };
        let found = Reader::new(&aws, Strategy::List).read(&aws).await;
        let listed: BTreeSet<_> = ids(user(&found, "hoarder"))
            .into_iter()
            .map(str::to_owned)
            .collect();
        assert_eq!(listed, all, "{style:?}");
        assert!(found.is_complete());
    }
}

#[tokio::test]
async fn a_user_deleted_during_the_listing_is_no_failure() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob", "carol"]);
    aws.inject(
        Fault::on(
            Operation::ListAccessKeys,
            Action::Error(ErrorCode::NoSuchEntity),
        )
        .user("bob"),
    );
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(names(&found), ["alice", "carol"]);
    assert_eq!(found.user_count, Some(2));
    assert!(found.is_complete());
}

#[tokio::test]
async fn one_denied_user_costs_that_user_and_nobody_else() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob", "carol"]);
    aws.inject(
        Fault::on(
            Operation::ListAccessKeys,
            Action::Error(ErrorCode::AccessDenied),
        )
        .user("bob"),
    );
    let mut reader = Reader::new(&aws, Strategy::List);
    let found = reader.read(&aws).await;

    assert_eq!(names(&found), ["alice", "bob", "carol"]);
    assert_eq!(
        user(&found, "bob").reading,
        Reading::Unread(Reason::AccessDenied)
    );
    assert_eq!(found.unread_users(), 1);
    assert!(!found.is_complete());
    assert_eq!(found.reasons(), [Reason::AccessDenied]);
    let now = aws.account().now;
    assert_eq!(
        Policy::default().is_compliant(user(&found, "bob"), now),
        None
    );
    assert_eq!(
        Policy::default().is_compliant(user(&found, "alice"), now),
        Some(false)
    );
    assert_eq!(
        reader.failures(Counted::ListAccessKeys, Reason::AccessDenied),
        1
    );
    assert_eq!(reader.attempts(Counted::ListAccessKeys), 3);
}

#[tokio::test]
async fn a_denied_last_use_is_unknown_and_the_account_still_complete() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice"]);
    aws.deny(Operation::GetAccessKeyLastUsed);
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(only_key(&found, "alice").last_use, LastUse::Unknown);
    assert!(found.is_complete());
}

#[tokio::test]
async fn a_last_use_that_fails_to_read_leaves_the_account_incomplete_and_says_which_call() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice"]);
    let broken = |operation| Fault::on(operation, Action::Error(ErrorCode::ValidationError));
    aws.inject(broken(Operation::GetAccessKeyLastUsed));
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(only_key(&found, "alice").last_use, LastUse::Unknown);
    assert!(!found.is_complete());
    assert_eq!(found.reasons(), [Reason::Other]);
    assert_eq!(found.unread_users(), 0, "the keys themselves were read");
    let message = &found.troubles[0].message;
    assert!(message.starts_with("GetAccessKeyLastUsed: "), "{message}");
}

#[tokio::test]
async fn the_root_users_keys_stay_known_while_the_summary_fails_to_read() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice"]);
    aws.account().set_root_keys_active(1);
    let mut refreshing = Refreshing::listing(&aws);
    refreshing.refresh().await;
    let broken = Action::Error(ErrorCode::ValidationError);
    aws.inject(Fault::on(Operation::GetAccountSummary, broken));
    let after = refreshing.refresh().await;
    assert_eq!(inventory(&after).root.present, Some(true));
    assert!(!only_account(&after).is_up());
}

#[tokio::test]
async fn what_could_not_be_read_comes_with_the_call_and_the_remedy() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob"]);
    aws.deny(Operation::ListAccessKeys);
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(found.troubles.len(), 1, "each reason once");
    let message = &found.troubles[0].message;
    assert!(
        message.starts_with("ListAccessKeys: AccessDenied"),
        "{message}"
    );
    assert!(message.contains("allow iam:ListAccessKeys"), "{message}");
}

#[tokio::test]
async fn a_status_never_heard_of_makes_nobody_compliant() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob"]);
    aws.account().set_now(at("2026-01-02T00:00:00Z"));
    let id = aws.account().users()["bob"]
        .keys()
        .keys()
        .next()
        .unwrap()
        .clone();
    aws.account().set_key_status(&id, "Suspended");

    let found = Reader::new(&aws, Strategy::List).read(&aws).await;

    let now = aws.account().now;
    let bob = user(&found, "bob");
    assert_eq!(bob.keys[0].status, KeyStatus::Other("Suspended".into()));
    assert_eq!(Policy::default().is_compliant(bob, now), None);
    assert_eq!(
        Policy::default().is_compliant(user(&found, "alice"), now),
        Some(true)
    );
    assert_eq!(found.unread_users(), 1);
    assert_eq!(found.reasons(), [Reason::MalformedResponse]);
}

#[tokio::test]
async fn a_first_listing_that_breaks_off_tells_no_number_of_users() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob", "carol", "dave"]);
    aws.account().page_style = PageStyle::AtMost(2);
    aws.inject(Fault::on(Operation::ListUsers, Action::Error(ErrorCode::AccessDenied)).nth(2));
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(names(&found), ["alice", "bob"]);
    assert_eq!(found.user_count, None);
}

#[tokio::test]
async fn a_listing_that_breaks_off_keeps_the_users_it_did_not_reach() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob", "carol", "dave"]);
    aws.account().page_style = PageStyle::AtMost(2);
    let mut refreshing = Refreshing::listing(&aws);
    let before = refreshing.refresh().await;
    assert!(only_account(&before).is_up());

    aws.inject(Fault::on(Operation::ListUsers, Action::Error(ErrorCode::AccessDenied)).nth(2));
    let after = refreshing.refresh().await;

    let found = inventory(&after);
    assert_eq!(names(found), ["alice", "bob", "carol", "dave"]);
    assert_eq!(found.user_count, Some(4));
    assert_eq!(found.listing, Listing::Truncated(Reason::AccessDenied));
    assert_eq!(user(found, "alice").reading, Reading::Complete);
    let carol = user(found, "carol");
    assert_eq!(carol.reading, Reading::Unread(Reason::AccessDenied));
    assert_eq!(carol.keys, user(inventory(&before), "carol").keys);
    assert_eq!(only_account(&after).failures, [Reason::AccessDenied]);
    assert_eq!(found.data_time, inventory(&before).data_time);
    assert_eq!(
        only_account(&after).last_success,
        only_account(&before).last_success
    );
}

#[tokio::test]
async fn a_cut_or_broken_answer_never_passes_for_fewer_users_or_keys() {
    for action in [
        Action::TruncatedXml,
        Action::BadXml,
        Action::Html,
        Action::Answer {
            status: 200,
            content_type: "text/xml",
            body: Vec::new(),
        },
    ] {
        let aws = FakeAws::start().await;
        with_users(&aws, &["alice", "bob"]);
        aws.inject(Fault::on(Operation::ListUsers, action.clone()));
        let error = Reader::new(&aws, Strategy::List).fail(&aws).await;
        assert_eq!(
            error.reason,
            Reason::MalformedResponse,
            "{action:?}: {error}"
        );
        let said = [
            "ListUsers: the answer is not a whole XML document",
            "ListUsers: HTTP 200 with an answer that is not AWS's",
        ];
        assert!(said.contains(&&*error.message), "{action:?}: {error}");

        aws.clear_faults();
        aws.inject(Fault::on(Operation::ListAccessKeys, action.clone()).user("bob"));
        let found = Reader::new(&aws, Strategy::List).read(&aws).await;
        assert_eq!(
            user(&found, "bob").reading,
            Reading::Unread(Reason::MalformedResponse),
            "{action:?}"
        );
        assert_eq!(user(&found, "alice").reading, Reading::Complete);
    }
}

#[tokio::test]
async fn the_partition_is_that_of_the_caller() {
    for partition in ["aws", "aws-cn", "aws-us-gov"] {
        let aws = FakeAws::start().await;
        partition.clone_into(&mut aws.account().partition);
        let found = Reader::new(&aws, Strategy::List).read(&aws).await;
        assert_eq!(&*found.account.partition, partition);
    }
}

#[tokio::test]
async fn a_denied_alias_and_summary_are_absent_and_no_failure() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice"]);
    aws.account().alias = Some("acme".to_owned());
    aws.account().set_root_keys_active(1);
    aws.deny(Operation::ListAccountAliases);
    aws.deny(Operation::GetAccountSummary);
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(found.account.alias, None);
    assert_eq!(found.root, RootKeys::default());
    assert!(found.is_complete());
}

#[tokio::test]
async fn the_alias_is_asked_for_once_an_hour() {
    let aws = FakeAws::start().await;
    aws.account().alias = Some("acme".to_owned());
    let mut reader = Reader::new(&aws, Strategy::List);
    let start = aws.account().now;
    for minutes in [0, 5, 59] {
        aws.account()
            .set_now(start + chrono::TimeDelta::minutes(minutes));
        assert_eq!(
            reader.read(&aws).await.account.alias.as_deref(),
            Some("acme")
        );
    }
    assert_eq!(aws.calls().of(Operation::ListAccountAliases), 1);

    // A failure is no reason to believe that it is gone.
    aws.deny(Operation::ListAccountAliases);
    aws.account().set_now(start + chrono::TimeDelta::hours(1));
    assert_eq!(
        reader.read(&aws).await.account.alias.as_deref(),
        Some("acme")
    );
    assert_eq!(aws.calls().of(Operation::ListAccountAliases), 2);

    aws.clear_faults();
    aws.account().alias = None;
    aws.account().set_now(start + chrono::TimeDelta::hours(2));
    assert_eq!(reader.read(&aws).await.account.alias, None);
}

#[tokio::test]
async fn as_many_calls_are_under_way_as_allowed_and_no_more() {
    let aws = FakeAws::start().await;
    let names: Vec<_> = (0..40).map(|n| format!("user-{n}")).collect();
    with_users(&aws, &names.iter().map(String::as_str).collect::<Vec<_>>());
    aws.set_latency(Duration::from_millis(30));
    let few = Settings {
        pace: Pace {
            at_once: 5,
            per_second: None,
        },
        ..settings(&aws.endpoint())
    };
    let found = Reader::with(few, Strategy::List, Policy::default())
        .read(&aws)
        .await;
    assert_eq!(found.user_count, Some(40));
    assert_eq!(aws.calls().max_in_flight, 5);
    assert_eq!(aws.calls().of(Operation::GetAccessKeyLastUsed), 40);
}

#[tokio::test]
async fn a_user_that_comes_twice_is_read_once() {
    let aws = FakeAws::start().await;
    with_users(&aws, &["alice", "bob"]);
    let member = |name: &str| {
        format!(
            "<member><Path>/</Path><UserName>{name}</UserName><UserId>AIDA{name}</UserId>\
             <Arn>arn:aws:iam::123456789012:user/{name}</Arn>\
             <CreateDate>2020-01-01T00:00:00Z</CreateDate></member>"
        )
    };
    let body = format!(
        "<ListUsersResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ListUsersResult>\
         <IsTruncated>false</IsTruncated><Users>{}{}{}</Users></ListUsersResult></ListUsersResponse>",
        member("alice"),
        member("bob"),
        member("alice"),
    );
    aws.inject(Fault::on(
        Operation::ListUsers,
        Action::Answer {
            status: 200,
            content_type: "text/xml",
            body: body.into_bytes(),
        },
    ));
    let found = Reader::new(&aws, Strategy::List).read(&aws).await;
    assert_eq!(names(&found), ["alice", "bob"]);
    assert_eq!(aws.calls().of(Operation::ListAccessKeys), 2);
    assert!(find(&found, "carol").is_none());
}
