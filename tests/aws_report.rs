//! Strategy `report` against the double of AWS: the life of a credential report.

mod support;

use std::time::Duration;

use iam_key_exporter::{
    counts::Operation as Counted,
    inventory::{Inventory, RootKeys},
    key::LastUse,
    policy::Policy,
    reason::Reason,
    source::aws::{Patience, Settings, Strategy},
};
use support::{
    aws_source::{Reader, at, days, ids, names, settings, user},
    fake_aws::{Action, ErrorCode, FakeAws, Fault, LastUsed, Operation, TimeStyle},
};

/// Alice with an old and a young key.
async fn alice() -> FakeAws {
    let aws = FakeAws::start().await;
    {
        let mut account = aws.account();
        account.add_user("alice", at("2020-01-01T00:00:00Z"));
        let old = account.add_key("alice", at("2024-02-29T23:59:59Z"));
        account.set_last_used(&old, LastUsed::at(at("2026-05-30T00:00:00Z")));
        let young = account.add_key("alice", at("2026-05-01T00:00:00Z"));
        account.set_key_status(&young, "Inactive");
    }
    aws
}

fn is_alice(found: &Inventory) -> bool {
    names(found) == ["alice"] && ids(user(found, "alice")) == ["slot-1", "slot-2"]
}

#[tokio::test]
async fn an_account_without_a_report_is_waited_for_until_there_is_one() {
    let aws = alice().await;
    aws.account().report.polls = 2;
    let mut reader = Reader::new(&aws, Strategy::Report);

    let found = reader.read(&aws).await;

    assert!(is_alice(&found));
    assert!(found.is_complete());
    // STARTED, INPROGRESS twice, COMPLETE.
    assert_eq!(aws.calls().of(Operation::GenerateCredentialReport), 4);
    assert_eq!(aws.calls().of(Operation::GetCredentialReport), 1);
    assert_eq!(reader.attempts(Counted::GenerateCredentialReport), 4);
    // Nothing else is needed of AWS.
    assert_eq!(aws.calls().of(Operation::ListUsers), 0);
    assert_eq!(aws.calls().of(Operation::ListAccessKeys), 0);

    aws.reset_calls();
    assert!(is_alice(&reader.read(&aws).await));
    assert_eq!(aws.calls().of(Operation::GenerateCredentialReport), 1);
    assert_eq!(aws.calls().of(Operation::GetCredentialReport), 1);
}

#[tokio::test]
async fn what_the_report_says_comes_out_exactly() {
    for style in [TimeStyle::Offset, TimeStyle::Zulu] {
        let aws = alice().await;
        {
            let mut account = aws.account();
            account.report.time_style = style;
            account.set_root_keys_active(2);
            account.complete_report();
            let later = account.now + chrono::TimeDelta::hours(3);
            account.set_now(later);
        }
        let found = Reader::new(&aws, Strategy::Report).read(&aws).await;
        assert_eq!(
            found.root,
            RootKeys {
                active: Some(2),
                present: Some(true)
            }
        );
        assert_eq!(found.data_time, at("2026-06-01T12:00:00Z"));
        let [old, young] = &*user(&found, "alice").keys else {
            panic!("two keys were added");
        };
        assert!(old.is_active() && !young.is_active());
        assert_eq!(old.created, at("2024-02-29T23:59:59Z"));
        assert!(matches!(&old.last_use, LastUse::At(used)
            if used.time == at("2026-05-30T00:00:00Z") && used.service() == "s3"));
        assert_eq!(young.last_use, LastUse::Never);
        let now = aws.account().now;
        assert_eq!(
            Policy::default().is_compliant(user(&found, "alice"), now),
            Some(false)
        );
    }
}

#[tokio::test]
async fn a_user_deleted_since_stays_until_the_next_report() {
    let aws = alice().await;
    aws.account().complete_report();
    aws.account().delete_user("alice");
    let mut reader = Reader::new(&aws, Strategy::Report);
    assert!(is_alice(&reader.read(&aws).await));
    let later = aws.account().now + chrono::TimeDelta::hours(4);
    aws.account().set_now(later);
    assert!(names(&reader.read(&aws).await).is_empty());
}

#[tokio::test]
async fn a_report_that_expires_or_is_made_anew_between_two_calls_is_waited_for() {
    for code in [
        ErrorCode::ReportExpired,
        ErrorCode::ReportInProgress,
        ErrorCode::ReportNotPresent,
    ] {
        let aws = alice().await;
        aws.account().complete_report();
        aws.inject(Fault::on(Operation::GetCredentialReport, Action::Error(code)).first(2));
        let mut reader = Reader::new(&aws, Strategy::Report);
        assert!(is_alice(&reader.read(&aws).await), "{code:?}");
        assert_eq!(aws.calls().of(Operation::GetCredentialReport), 3);
        assert_eq!(
            reader.failures(Counted::GetCredentialReport, Reason::ReportUnavailable),
            2
        );
    }
}

#[tokio::test]
async fn limit_exceeded_means_to_take_what_there_is_or_wait() {
    let limited = || {
        Fault::on(
            Operation::GenerateCredentialReport,
            Action::Error(ErrorCode::LimitExceeded),
        )
    };
    let aws = alice().await;
    aws.account().complete_report();
    aws.inject(limited());
    assert!(is_alice(
        &Reader::new(&aws, Strategy::Report).read(&aws).await
    ));

    let aws = alice().await;
    aws.inject(limited().first(2));
    assert!(is_alice(
        &Reader::new(&aws, Strategy::Report).read(&aws).await
    ));
    // Twice limited, STARTED, COMPLETE.
    assert_eq!(aws.calls().of(Operation::GenerateCredentialReport), 4);
}

#[tokio::test]
async fn a_report_that_may_be_fetched_but_not_asked_for_is_fetched() {
    let aws = alice().await;
    aws.account().complete_report();
    aws.deny(Operation::GenerateCredentialReport);
    assert!(is_alice(
        &Reader::new(&aws, Strategy::Report).read(&aws).await
    ));
}

#[tokio::test]
async fn a_denied_report_fails_and_names_the_permission() {
    let aws = alice().await;
    aws.account().complete_report();
    aws.deny(Operation::GetCredentialReport);
    let error = Reader::new(&aws, Strategy::Report).fail(&aws).await;
    assert_eq!(error.reason, Reason::AccessDenied);
    assert!(
        error.message.contains("allow iam:GetCredentialReport"),
        "{error}"
    );

    aws.deny(Operation::GenerateCredentialReport);
    let error = Reader::new(&aws, Strategy::Report).fail(&aws).await;
    assert_eq!(error.reason, Reason::AccessDenied);
    assert!(
        error.message.contains("allow iam:GenerateCredentialReport"),
        "{error}"
    );
}

#[tokio::test]
async fn a_report_that_never_comes_is_given_up_in_time() {
    for fault in [
        None,
        Some(Fault::on(
            Operation::GetCredentialReport,
            Action::Error(ErrorCode::ReportExpired),
        )),
        Some(Fault::on(
            Operation::GenerateCredentialReport,
            Action::Error(ErrorCode::LimitExceeded),
        )),
    ] {
        let aws = alice().await;
        aws.account().report.polls = u32::MAX;
        let what = format!("{fault:?}");
        if let Some(fault) = fault {
            aws.inject(fault);
        }
        let impatient = Settings {
            patience: Patience {
                total: Duration::from_millis(200),
                ..settings("").patience
            },
            ..settings(&aws.endpoint())
        };
        let mut reader = Reader::with(impatient, Strategy::Report, Policy::default());
        let outcome = reader.collect(&aws).await;
        assert!(outcome.duration < Duration::from_secs(5), "{what}");
        assert_eq!(outcome.account.unwrap().as_str(), "123456789012");
        let error = outcome.result.unwrap_err();
        assert_eq!(error.reason, Reason::ReportUnavailable, "{what}: {error}");
        assert!(
            error
                .message
                .starts_with("GetCredentialReport: no credential report after "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_refresh_that_runs_out_of_time_while_a_report_is_made_says_so() {
    let aws = alice().await;
    aws.account().report.polls = u32::MAX;
    let mut reader = Reader::new(&aws, Strategy::Report);
    let now = aws.account().now;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300);
    let outcome = reader.aws.collect(now, deadline).await;
    assert!(outcome.duration < Duration::from_secs(5));
    let reason = outcome.result.unwrap_err().reason;
    assert!(
        matches!(reason, Reason::ReportUnavailable | Reason::Timeout),
        "{reason}"
    );
}

#[tokio::test]
async fn a_report_that_is_no_report_is_malformed() {
    for content in [
        "",
        "<!DOCTYPE html><html></html>",
        "user,arn\nalice,arn:aws:iam::123456789012:user/alice\n",
    ] {
        let aws = alice().await;
        let now = aws.account().now;
        aws.account().report.replace(now, content);
        let error = Reader::new(&aws, Strategy::Report).fail(&aws).await;
        assert_eq!(error.reason, Reason::MalformedResponse, "{error}");
        assert!(
            error.message.starts_with("GetCredentialReport: "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_third_key_is_in_no_report() {
    let aws = alice().await;
    {
        let mut account = aws.account();
        let now = account.now;
        account.add_key("alice", now - days(400));
        account.complete_report();
    }
    assert!(is_alice(
        &Reader::new(&aws, Strategy::Report).read(&aws).await
    ));
}

#[tokio::test]
async fn a_report_without_rows_or_of_another_account_is_not_this_accounts() {
    let aws = alice().await;
    let (now, whole) = {
        let account = aws.account();
        (
            account.now,
            String::from_utf8(account.report_csv()).unwrap(),
        )
    };
    let header = whole.lines().next().unwrap().to_owned();
    let others = whole.replace("123456789012", "999988887777");
    assert_ne!(others, whole);
    for (content, told) in [
        (header, "it has no rows"),
        (others, "it is of account 999988887777"),
    ] {
        aws.account().report.replace(now, content);
        let error = Reader::new(&aws, Strategy::Report).fail(&aws).await;
        assert_eq!(error.reason, Reason::MalformedResponse, "{error}");
        assert!(error.message.contains(told), "{error}");
        // What can't be believed is made good by listing.
        assert!(is_live(&Reader::new(&aws, Strategy::Auto).read(&aws).await));
    }
}

fn is_live(found: &Inventory) -> bool {
    names(found) == ["alice"] && user(found, "alice").keys.len() == 2 && found.is_complete()
}
