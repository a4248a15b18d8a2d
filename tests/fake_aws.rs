//! The double of AWS, judged by the SDK's own clients.

#[path = "fake_aws/accounts.rs"]
mod accounts;
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_iam::config::retry::RetryConfig;
use aws_sdk_iam::config::timeout::TimeoutConfig;
use aws_sdk_iam::config::{BehaviorVersion, Region};
use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::generate_credential_report::GenerateCredentialReportError;
use aws_sdk_iam::operation::get_credential_report::GetCredentialReportError;
use aws_sdk_iam::operation::list_access_keys::ListAccessKeysError;
use aws_sdk_iam::operation::list_users::ListUsersError;
use aws_sdk_iam::types::{ReportFormatType, ReportStateType, StatusType, SummaryKeyType};
use aws_smithy_http_client::Builder;
use chrono::{DateTime, TimeDelta, Utc};
use quick_xml::events::Event;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::fake_aws::{
    Action, ErrorCode, FakeAws, Fault, Key, LastUsed, Operation, PageStyle, Password, Population,
    Service, TimeStyle,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}

fn iam(aws: &FakeAws) -> aws_sdk_iam::Client {
    iam_with(aws, RetryConfig::disabled())
}

fn iam_with(aws: &FakeAws, retries: RetryConfig) -> aws_sdk_iam::Client {
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .endpoint_url(aws.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .retry_config(retries)
        .timeout_config(
            TimeoutConfig::builder()
                .operation_timeout(Duration::from_secs(20))
                .build(),
        )
        .build();
    aws_sdk_iam::Client::from_conf(config)
}

fn sts(aws: &FakeAws) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .endpoint_url(aws.endpoint())
        .region(aws_sdk_sts::config::Region::new("us-east-1"))
        .credentials_provider(credentials())
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_sts::Client::from_conf(config)
}

fn credentials() -> Credentials {
    Credentials::new("AKIAFAKE", "fake-secret", None, None, "test")
}

/// The names of all users by pages of `size`, and the sizes of the pages.
async fn list_users(client: &aws_sdk_iam::Client, size: i32) -> (Vec<String>, Vec<usize>) {
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    let mut marker = None;
    loop {
        let page = client
            .list_users()
            .max_items(size)
            .set_marker(marker)
            .send()
            .await
            .expect("a listing without faults");
        sizes.push(page.users().len());
        names.extend(page.users().iter().map(|user| user.user_name().to_owned()));
        assert_eq!(page.is_truncated(), page.marker().is_some());
        if !page.is_truncated() {
            return (names, sizes);
        }
        marker = page.marker().map(str::to_owned);
    }
}

#[tokio::test]
async fn the_caller_is_of_the_account_and_the_partition() {
    let aws = FakeAws::start().await;
    let caller = sts(&aws).get_caller_identity().send().await.unwrap();
    assert_eq!(caller.account(), Some("123456789012"));
    assert_eq!(
        caller.arn(),
        Some("arn:aws:sts::123456789012:assumed-role/iam-key-exporter/fake")
    );
    {
        let mut account = aws.account();
        account.id = "210987654321".to_owned();
        account.partition = "aws-us-gov".to_owned();
    }
    let caller = sts(&aws).get_caller_identity().send().await.unwrap();
    assert_eq!(caller.account(), Some("210987654321"));
    assert!(caller.arn().unwrap().starts_with("arn:aws-us-gov:sts::"));
}

#[tokio::test]
async fn a_user_and_their_keys_come_out_as_they_went_in() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    let (busy, idle) = {
        let mut account = aws.account();
        let user = account.add_user("a<&>\"'=,.@-b", at("2020-02-29T01:02:03Z"));
        user.path = "/team/sub/".to_owned();
        user.tags
            .insert("owner".to_owned(), "<ops> & \"co\"".to_owned());
        user.password = Some(Password {
            changed: at("2024-01-01T00:00:00Z"),
            last_used: Some(at("2024-05-06T07:08:09Z")),
        });
        let busy = account.add_key("a<&>\"'=,.@-b", at("2021-01-01T00:00:00Z"));
        let idle = account.add_key("a<&>\"'=,.@-b", at("2022-01-01T00:00:00Z"));
        account.set_last_used(
            &busy,
            LastUsed::At {
                time: at("2026-05-31T23:00:00Z"),
                service: "ec2".to_owned(),
                region: "eu-west-1".to_owned(),
            },
        );
        account.set_key_status(&idle, "Suspended");
        (busy, idle)
    };

    let listed = client.list_users().send().await.unwrap();
    let user = &listed.users()[0];
    assert_eq!(user.user_name(), "a<&>\"'=,.@-b");
    assert_eq!(user.path(), "/team/sub/");
    assert_eq!(
        user.arn(),
        "arn:aws:iam::123456789012:user/team/sub/a<&>\"'=,.@-b"
    );
    assert!(user.user_id().starts_with("AIDA") && user.user_id().len() == 21);
    assert_eq!(
        user.create_date().secs(),
        at("2020-02-29T01:02:03Z").timestamp()
    );
    assert_eq!(
        user.password_last_used().unwrap().secs(),
        at("2024-05-06T07:08:09Z").timestamp()
    );

    let keys = client
        .list_access_keys()
        .user_name(user.user_name())
        .send()
        .await
        .unwrap();
    assert!(!keys.is_truncated());
    let [first, second] = keys.access_key_metadata() else {
        panic!("two keys were added, not {:?}", keys.access_key_metadata());
    };
    assert_eq!(first.access_key_id(), Some(busy.as_str()));
    assert_eq!(busy.len(), 20);
    assert_eq!(first.status(), Some(&StatusType::Active));
    assert_eq!(first.user_name(), Some("a<&>\"'=,.@-b"));
    assert_eq!(
        first.create_date().unwrap().secs(),
        at("2021-01-01T00:00:00Z").timestamp()
    );
    assert_eq!(second.status().unwrap().as_str(), "Suspended");

    let answer = client
        .get_access_key_last_used()
        .access_key_id(&busy)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.user_name(), Some("a<&>\"'=,.@-b"));
    let last_used = answer.access_key_last_used().unwrap();
    assert_eq!(
        last_used.last_used_date().unwrap().secs(),
        at("2026-05-31T23:00:00Z").timestamp()
    );
    assert_eq!(last_used.service_name(), "ec2");
    assert_eq!(last_used.region(), "eu-west-1");
    let answer = client
        .get_access_key_last_used()
        .access_key_id(&idle)
        .send()
        .await
        .unwrap();
    let last_used = answer.access_key_last_used().unwrap();
    assert_eq!(last_used.last_used_date(), None);
    assert_eq!(last_used.service_name(), "N/A");

    let tags = client
        .list_user_tags()
        .user_name(user.user_name())
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tags()[0].key(), "owner");
    assert_eq!(tags.tags()[0].value(), "<ops> & \"co\"");
}

#[tokio::test]
async fn the_account_has_a_summary_and_an_alias() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    let aliases = client.list_account_aliases().send().await.unwrap();
    assert!(aliases.account_aliases().is_empty());
    {
        let mut account = aws.account();
        account.alias = Some("acme-prod".to_owned());
        account.set_root_keys_active(2);
        account.add_user("alice", at("2020-01-01T00:00:00Z"));
    }
    let aliases = client.list_account_aliases().send().await.unwrap();
    assert_eq!(aliases.account_aliases(), ["acme-prod"]);
    let answer = client.get_account_summary().send().await.unwrap();
    let summary = answer.summary_map().unwrap();
    assert_eq!(summary[&SummaryKeyType::Users], 1);
    assert_eq!(summary[&SummaryKeyType::AccountAccessKeysPresent], 1);
}

#[tokio::test]
async fn every_user_is_listed_once_whatever_the_pages_are_like() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    let population = Population {
        users: 2_345,
        keys_per_user: 0,
        overdue_percent: 0,
        now: at("2026-06-01T00:00:00Z"),
    };
    population.settle(&mut aws.account());
    let all: Vec<_> = (0..2_345).map(Population::user_name).collect();

    let (names, sizes) = list_users(&client, 1_000).await;
    assert_eq!(names, all);
    assert_eq!(sizes, [1_000, 1_000, 345]);

    aws.account().page_style = PageStyle::AtMost(600);
    let (names, sizes) = list_users(&client, 1_000).await;
    assert_eq!(names, all);
    assert_eq!(sizes, [600, 600, 600, 545]);

    aws.account().page_style = PageStyle::EmptyBetween;
    let (names, sizes) = list_users(&client, 1_000).await;
    assert_eq!(names, all);
    assert_eq!(sizes, [0, 1_000, 0, 1_000, 0, 345]);

    aws.account().page_style = PageStyle::Full;
    let page = client.list_users().send().await.unwrap();
    assert_eq!(page.users().len(), 100);
    let error = client
        .list_users()
        .max_items(1_001)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("ValidationError"));
    let error = client.list_users().marker("?").send().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationError"));
}

#[tokio::test]
async fn the_sdks_own_paginator_gets_to_the_end_of_a_users_keys() {
    let aws = FakeAws::start().await;
    let ids: BTreeSet<_> = {
        let mut account = aws.account();
        account.page_style = PageStyle::AtMost(3);
        account.add_user("hoarder", at("2020-01-01T00:00:00Z"));
        (0..8)
            .map(|_| account.add_key("hoarder", at("2020-01-01T00:00:00Z")))
            .collect()
    };
    let listed: BTreeSet<_> = iam(&aws)
        .list_access_keys()
        .user_name("hoarder")
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .unwrap()
        .into_iter()
        .map(|key| key.access_key_id().unwrap().to_owned())
        .collect();
    assert_eq!(listed, ids);
    assert_eq!(aws.calls().of(Operation::ListAccessKeys), 3);
}

#[tokio::test]
async fn what_was_deleted_is_no_such_entity() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    let (gone_with_user, deleted) = {
        let mut account = aws.account();
        account.add_user("alice", at("2020-01-01T00:00:00Z"));
        account.add_user("bob", at("2020-01-01T00:00:00Z"));
        let gone_with_user = account.add_key("alice", at("2020-01-01T00:00:00Z"));
        let deleted = account.add_key("bob", at("2020-01-01T00:00:00Z"));
        account.delete_user("alice");
        account.delete_key(&deleted);
        (gone_with_user, deleted)
    };
    let error = client
        .list_access_keys()
        .user_name("alice")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 404);
    assert!(matches!(
        error.into_service_error(),
        ListAccessKeysError::NoSuchEntityException(_)
    ));
    let keys = client
        .list_access_keys()
        .user_name("bob")
        .send()
        .await
        .unwrap();
    assert!(keys.access_key_metadata().is_empty());
    for id in [gone_with_user, deleted] {
        let error = client
            .get_access_key_last_used()
            .access_key_id(id)
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some("NoSuchEntity"));
    }
}

#[tokio::test]
async fn a_report_is_started_awaited_kept_for_four_hours_and_made_again() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    aws.account().report.polls = 2;
    aws.account().add_user("early", at("2020-01-01T00:00:00Z"));
    let generate = || async { client.generate_credential_report().send().await.unwrap() };
    let get = || async { client.get_credential_report().send().await };
    let error = |result: Result<_, SdkError<GetCredentialReportError>>| {
        let error = result
            .map(|_: aws_sdk_iam::operation::get_credential_report::GetCredentialReportOutput| ())
            .unwrap_err();
        let status = error.raw_response().unwrap().status().as_u16();
        (error.into_service_error(), status)
    };

    assert!(matches!(
        error(get().await),
        (
            GetCredentialReportError::CredentialReportNotPresentException(_),
            410
        )
    ));
    let started = generate().await;
    assert_eq!(started.state(), Some(&ReportStateType::Started));
    assert!(started.description().unwrap().contains("Starting"));
    assert!(matches!(
        error(get().await),
        (
            GetCredentialReportError::CredentialReportNotReadyException(_),
            404
        )
    ));
    assert_eq!(generate().await.state(), Some(&ReportStateType::Inprogress));
    assert_eq!(generate().await.state(), Some(&ReportStateType::Complete));

    // The report is late: neither a new user nor a deletion is in it.
    aws.account().delete_user("early");
    aws.account().add_user("late", at("2026-06-01T12:00:00Z"));
    let first = at("2026-06-01T12:00:00Z");
    aws.account().set_now(first + TimeDelta::minutes(239));
    assert_eq!(generate().await.state(), Some(&ReportStateType::Complete));
    let report = get().await.unwrap();
    assert_eq!(report.generated_time().unwrap().secs(), first.timestamp());
    assert_eq!(report.report_format(), Some(&ReportFormatType::TextCsv));
    let text = String::from_utf8(report.content().unwrap().as_ref().to_vec()).unwrap();
    assert!(text.contains("\nearly,") && !text.contains("\nlate,"));

    aws.account().set_now(first + TimeDelta::hours(4));
    assert!(matches!(
        error(get().await),
        (
            GetCredentialReportError::CredentialReportExpiredException(_),
            410
        )
    ));
    aws.account().report.polls = 0;
    assert_eq!(generate().await.state(), Some(&ReportStateType::Started));
    let report = get().await.unwrap();
    assert_eq!(
        report.generated_time().unwrap().secs(),
        (first + TimeDelta::hours(4)).timestamp()
    );
    let text = String::from_utf8(report.content().unwrap().as_ref().to_vec()).unwrap();
    assert!(text.contains("\nlate,") && !text.contains("\nearly,"));
}

#[tokio::test]
async fn a_report_has_the_rows_that_iam_gives() {
    let aws = FakeAws::start().await;
    {
        let mut account = aws.account();
        account.set_root_keys_active(1);
        let user = account.add_user("Zoe,quoted", at("2024-01-02T03:04:05Z"));
        user.mfa = true;
        user.password = Some(Password {
            changed: at("2024-02-03T04:05:06Z"),
            last_used: None,
        });
        account.add_user("adam", at("2024-01-02T03:04:05Z"));
        let inactive = account.add_key("adam", at("2025-01-01T00:00:00Z"));
        account.set_key_status(&inactive, "Inactive");
        // Created first, but its id sorts last.
        let mut older = Key::active(at("2023-01-01T00:00:00Z"));
        older.last_used = LastUsed::at(at("2026-05-01T00:00:00Z"));
        account.add_key_as("adam", "AKIAZZZZZZZZZZZZZZZZ", older);
    }
    aws.account().complete_report();
    let report = iam(&aws).get_credential_report().send().await.unwrap();
    let content = report.content().unwrap().as_ref().to_vec();
    assert!(!content.ends_with(b"\n"));
    let text = String::from_utf8(content).unwrap();
    let rows: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "<root_account>,arn:aws:iam::123456789012:root,2019-01-01T00:00:00+00:00,not_supported,\
             no_information,not_supported,not_supported,true,true,2019-01-01T00:00:00+00:00,N/A,N/A,N/A,\
             false,N/A,N/A,N/A,N/A,false,N/A,false,N/A",
            "adam,arn:aws:iam::123456789012:user/adam,2024-01-02T03:04:05+00:00,false,N/A,N/A,N/A,false,\
             false,2025-01-01T00:00:00+00:00,N/A,N/A,N/A,true,2023-01-01T00:00:00+00:00,\
             2026-05-01T00:00:00+00:00,us-east-1,s3,false,N/A,false,N/A",
            "\"Zoe,quoted\",\"arn:aws:iam::123456789012:user/Zoe,quoted\",2024-01-02T03:04:05+00:00,true,\
             no_information,2024-02-03T04:05:06+00:00,N/A,true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,\
             false,N/A,false,N/A",
        ]
    );

    let mut account = aws.account();
    account.report.time_style = TimeStyle::Zulu;
    account.add_key("adam", at("2025-01-01T00:00:00Z"));
    let csv = account.report_csv();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let extra = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == "additional_credentials_info")
        .unwrap();
    let adam = reader.records().nth(1).unwrap().unwrap();
    assert_eq!(&adam[2], "2024-01-02T03:04:05Z");
    assert!(adam[extra].starts_with('1'));
}

#[tokio::test]
async fn every_error_is_what_the_sdk_makes_of_it() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    for (code, status) in [
        (ErrorCode::AccessDenied, 403),
        (ErrorCode::ExpiredToken, 403),
        (ErrorCode::InvalidClientTokenId, 403),
        (ErrorCode::SignatureDoesNotMatch, 403),
        (ErrorCode::NoSuchEntity, 404),
        (ErrorCode::LimitExceeded, 409),
        (ErrorCode::Throttling, 400),
        (ErrorCode::ServiceFailure, 500),
        (ErrorCode::ServiceUnavailable, 503),
    ] {
        aws.inject(Fault::on(Operation::ListUsers, Action::Error(code)));
        let error = client.list_users().send().await.unwrap_err();
        assert_eq!(error.code(), Some(code.code()));
        assert!(error.message().is_some_and(|message| !message.is_empty()));
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status);
        let modelled = matches!(
            error.into_service_error(),
            ListUsersError::ServiceFailureException(_)
        );
        assert_eq!(modelled, code == ErrorCode::ServiceFailure);
        aws.clear_faults();
    }

    aws.inject(Fault::on(
        Operation::GenerateCredentialReport,
        Action::Error(ErrorCode::LimitExceeded),
    ));
    let error = client
        .generate_credential_report()
        .send()
        .await
        .unwrap_err();
    assert!(matches!(
        error.into_service_error(),
        GenerateCredentialReportError::LimitExceededException(_)
    ));

    aws.deny(Operation::GetCallerIdentity);
    let error = sts(&aws).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));
    assert!(error.message().unwrap().contains("sts:GetCallerIdentity"));
}

#[tokio::test]
async fn broken_answers_are_errors_and_not_empty_lists() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    aws.account().add_user("alice", at("2020-01-01T00:00:00Z"));
    let broken = [
        Action::Close,
        Action::HalfBody,
        Action::Html,
        Action::Status(500),
        Action::Status(503),
        Action::Answer {
            status: 200,
            content_type: "text/plain",
            body: Vec::new(),
        },
    ];
    for action in broken {
        aws.inject(Fault::on(Operation::ListUsers, action.clone()));
        let error = client.list_users().send().await.unwrap_err();
        let as_expected = match action {
            Action::Close => matches!(error, SdkError::DispatchFailure(_)),
            // The head came through and said how long the body would be.
            Action::HalfBody => {
                matches!(error, SdkError::ResponseError(_))
                    && DisplayErrorContext(&error)
                        .to_string()
                        .contains("end of file")
            }
            _ => matches!(error, SdkError::ServiceError(_)) && error.code().is_none(),
        };
        assert!(as_expected, "{action:?}: {}", DisplayErrorContext(&error));
        aws.clear_faults();
    }
    let answer = client.list_users().send().await.unwrap();
    assert_eq!(answer.users().len(), 1);
}

/// Posts a form as it is, and returns the status and the body.
async fn post(aws: &FakeAws, headers: &str, form: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(aws.address())
        .await
        .expect("the double listens");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{form}",
        form.len()
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the double reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("the double answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head[9..12].parse().expect("a status line");
    (status, body.to_owned())
}

#[tokio::test]
async fn every_document_is_well_formed_and_in_the_name_space_of_its_service() {
    let aws = FakeAws::start().await;
    let (key, role) = {
        let mut account = aws.account();
        account.alias = Some("acme".to_owned());
        account.add_user("a&b", at("2020-01-01T00:00:00Z"));
        account.complete_report();
        let key = account.add_key("a&b", at("2020-01-01T00:00:00Z"));
        (key, account.add_role("reader"))
    };
    let signed = "Authorization: AWS4-HMAC-SHA256 any\r\n";
    for operation in Operation::ALL {
        let name = operation.name();
        let (version, space) = match operation.service() {
            Service::Sts => ("2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/"),
            Service::Iam => ("2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/"),
            Service::Organizations => continue,
        };
        let form = format!(
            "Action={name}&Version={version}&UserName=a%26b&AccessKeyId={key}&RoleArn={role}&RoleSessionName=test"
        );
        let (status, body) = post(&aws, signed, &form).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.starts_with(&format!("<{name}Response xmlns=\"{space}\"><{name}Result>")));
        assert_well_formed(&body);

        let (status, body) = post(&aws, "", &form).await;
        assert_eq!(status, 403);
        assert!(body.starts_with(&format!(
            "<ErrorResponse xmlns=\"{space}\"><Error><Type>Sender</Type>"
        )));
        assert!(body.contains("<Code>MissingAuthenticationToken</Code>"));
        assert_well_formed(&body);
    }
    for form in [
        "",
        "Action=ListUsers&Version=2011-06-15",
        "Action=CreateUser&Version=2010-05-08",
    ] {
        let (status, body) = post(&aws, signed, form).await;
        assert_eq!(status, 400);
        assert!(body.contains("Action</Code>"), "{body}");
    }
}

fn assert_well_formed(document: &str) {
    let mut reader = quick_xml::Reader::from_str(document);
    let mut depth = 0_usize;
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
}

/// A client that stops at the SDK's word fails open here. This shows that the double tells such a client from a careful
/// one, and says so if the SDK learns better.
#[tokio::test]
async fn the_sdk_by_itself_takes_cut_and_ill_formed_documents_for_whole_ones() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    for index in 0..100 {
        aws.account()
            .add_user(&Population::user_name(index), at("2020-01-01T00:00:00Z"));
    }
    for (action, users) in [(Action::TruncatedXml, 1..100), (Action::BadXml, 0..1)] {
        aws.inject(Fault::on(Operation::ListUsers, action));
        let answer = client.list_users().send().await.unwrap();
        assert!(!answer.is_truncated());
        assert!(users.contains(&answer.users().len()));
        aws.clear_faults();
    }
}

#[tokio::test]
async fn a_hanging_call_is_left_to_the_clients_time_out() {
    let aws = FakeAws::start().await;
    aws.inject(Fault::on(Operation::ListUsers, Action::Hang));
    let error = iam(&aws)
        .list_users()
        .customize()
        .config_override(
            aws_sdk_iam::config::Builder::new().timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(Duration::from_millis(50))
                    .build(),
            ),
        )
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, SdkError::TimeoutError(_)));
}

#[tokio::test]
async fn faults_hit_the_calls_they_are_meant_for() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    let key = {
        let mut account = aws.account();
        account.add_user("alice", at("2020-01-01T00:00:00Z"));
        account.add_user("bob", at("2020-01-01T00:00:00Z"));
        account.add_key("bob", at("2020-01-01T00:00:00Z"))
    };
    let denied = Action::Error(ErrorCode::AccessDenied);
    aws.inject(
        Fault::on(Operation::ListAccessKeys, denied.clone())
            .user("alice")
            .between(2, 2),
    );
    aws.inject(Fault::on(Operation::GetAccessKeyLastUsed, denied.clone()).key("AKIAOTHER"));
    aws.inject(Fault::on(Operation::GetAccountSummary, denied).nth(2));
    let expired = Action::Error(ErrorCode::ExpiredToken);
    aws.inject(Fault::everywhere(expired).from(14));

    let list = async |name: &str| {
        let answer = client.list_access_keys().user_name(name).send().await;
        answer.is_ok()
    };
    assert!(list("alice").await);
    assert!(list("bob").await);
    assert!(!list("alice").await);
    assert!(list("bob").await);
    assert!(!list("alice").await);
    assert!(list("alice").await);
    let last_used = async |id: &str| {
        let answer = client
            .get_access_key_last_used()
            .access_key_id(id)
            .send()
            .await;
        answer.map_err(|error| error.code().unwrap().to_owned())
    };
    assert!(last_used(&key).await.is_ok());
    assert_eq!(last_used("AKIAOTHER").await.unwrap_err(), "AccessDenied");
    let summary = async || client.get_account_summary().send().await.is_ok();
    assert!(summary().await);
    assert!(!summary().await);
    assert!(summary().await);
    // 11 calls so far: the token lasts for two more.
    assert!(list("bob").await);
    assert!(last_used(&key).await.is_ok());
    assert_eq!(last_used(&key).await.unwrap_err(), "ExpiredToken");
    assert!(!summary().await);

    let calls = aws.calls();
    assert_eq!(calls.total(), 15);
    assert_eq!(calls.of(Operation::ListAccessKeys), 7);
    assert_eq!(calls.of(Operation::ListUsers), 0);
    assert_eq!(calls.users_of(Operation::ListAccessKeys), ["alice", "bob"]);
    assert_eq!(
        calls.keys_of(Operation::GetAccessKeyLastUsed),
        [key.as_str(), "AKIAOTHER"]
    );
    aws.reset_calls();
    assert_eq!(aws.calls().total(), 0);
}

#[tokio::test]
async fn a_retry_outlasts_a_fault_of_one_call() {
    let aws = FakeAws::start().await;
    aws.inject(Fault::on(Operation::ListUsers, Action::Status(503)).first(1));
    let retries = RetryConfig::standard()
        .with_max_attempts(2)
        .with_initial_backoff(Duration::from_millis(1));
    iam_with(&aws, retries).list_users().send().await.unwrap();
    assert_eq!(aws.calls().of(Operation::ListUsers), 2);
}

#[tokio::test]
async fn calls_over_the_rate_are_throttled_and_counted() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    // One token an hour: what is refilled during the test doesn't count.
    aws.set_rate_limit(1.0 / 3600.0, 3);
    let mut codes = Vec::new();
    for _ in 0..5 {
        let answer = client.list_users().send().await;
        codes.push(
            answer
                .err()
                .and_then(|error| error.code().map(str::to_owned)),
        );
    }
    let throttled = Some("Throttling".to_owned());
    assert_eq!(codes, [None, None, None, throttled.clone(), throttled]);
    assert_eq!(aws.calls().throttled(), 2);
    assert_eq!(aws.calls().throttled_of(Operation::ListUsers), 2);
    // Tokens come back.
    aws.set_rate_limit(1_000_000.0, 1);
    client.list_users().send().await.unwrap();
    client.list_users().send().await.unwrap();
    aws.set_rate_limit(1.0, 0);
    client.list_users().send().await.unwrap_err();
    aws.clear_rate_limit();
    client.list_users().send().await.unwrap();
}

#[tokio::test]
async fn latency_delays_every_answer_and_calls_in_flight_are_counted() {
    let aws = FakeAws::start().await;
    let client = iam(&aws);
    aws.set_latency(Duration::from_millis(100));
    aws.inject(
        Fault::on(
            Operation::ListUsers,
            Action::Delay(Duration::from_millis(200)),
        )
        .first(1),
    );
    let start = Instant::now();
    client.list_users().send().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(aws.calls().max_in_flight, 1);

    // Nobody is answered until all are under way, however slow the machine is.
    aws.set_latency(Duration::from_secs(1));
    futures_util::future::join_all((0..8).map(|_| client.list_users().send())).await;
    assert_eq!(aws.calls().max_in_flight, 8);
    aws.reset_calls();
    assert_eq!(aws.calls().max_in_flight, 0);
}

#[test]
fn a_fake_on_a_thread_of_its_own_serves_other_runtimes_and_ends_when_dropped() {
    let aws = FakeAws::start_on_thread();
    let address = aws.address();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        iam(&aws).list_users().send().await.unwrap();
    });
    drop(aws);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn an_endpoint_that_went_down_can_come_back() {
    let aws = FakeAws::start().await;
    let address = aws.address();
    let client = iam(&aws);
    client.list_users().send().await.unwrap();
    drop(aws);
    // The task ends at its next turn on this runtime.
    tokio::time::timeout(Duration::from_secs(10), async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let error = client.list_users().send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)));
    let _aws = FakeAws::start_at(address).await;
    client.list_users().send().await.unwrap();
}

#[test]
fn a_population_is_as_large_and_as_overdue_as_was_asked_for() {
    let population = Population {
        users: 1_000,
        keys_per_user: 2,
        overdue_percent: 5,
        now: at("2026-06-01T00:00:00Z"),
    };
    let aws = FakeAws::start_on_thread();
    population.settle(&mut aws.account());
    assert_eq!(population.overdue_users(), 50);
    let account = aws.account();
    let ages = |name: &str| -> Vec<i64> {
        let keys = account.users()[name].keys().values();
        keys.map(|key| (population.now - key.created).num_days())
            .collect()
    };
    assert_eq!(account.users().len(), 1_000);
    for index in 0..1_000 {
        let ages = ages(&Population::user_name(index));
        assert_eq!(ages.len(), 2);
        let overdue = ages.iter().filter(|days| **days > 90).count();
        assert_eq!(overdue, usize::from(population.is_overdue(index)));
        assert!(ages.iter().all(|days| *days > 90 || *days <= 60));
    }
}
