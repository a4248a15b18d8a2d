//! What the AWS source makes of an AWS that is slow, broken, unwilling or not there.

mod support;

use std::time::Duration;

use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use iam_key_exporter::{
    clock::Clock,
    counts::Operation as Counted,
    inventory::Reading,
    policy::Policy,
    reason::Reason,
    source::{
        SourceError,
        aws::{Limits, Origin, Settings, Strategy},
    },
};
use support::{
    aws_source::{
        Logs, Reader, Refreshing, SECRET, SESSION_TOKEN, at, config, days, in_a_minute, inventory,
        names, only_account, settings, user,
    },
    fake_aws::{Action, ErrorCode, FakeAws, Fault, Operation},
    tls_front::TlsFront,
};
use tokio::{net::TcpListener, time::Instant};

/// So many users with one old key each.
async fn with_users(count: usize) -> FakeAws {
    let aws = FakeAws::start().await;
    {
        let mut account = aws.account();
        let now = account.now;
        for n in 0..count {
            let name = format!("user-{n:03}");
            account.add_user(&name, at("2020-01-01T00:00:00Z"));
            account.add_key(&name, now - days(100));
        }
    }
    aws
}

/// A failure as a person can use it: one line that names the operation, and no secret.
fn assert_is_useful(error: &SourceError, operation: &str, advice: &str) {
    let message = &error.message;
    assert!(message.starts_with(&format!("{operation}: ")), "{message}");
    assert!(message.contains(advice), "{message}");
    assert!(!message.contains('\n'), "{message}");
    assert!(
        !message.contains(SECRET) && !message.contains(SESSION_TOKEN),
        "{message}"
    );
    assert!(message.len() < 700, "{message}");
}

fn reader(settings: Settings) -> Reader {
    Reader::with(settings, Strategy::List, Policy::default())
}

#[tokio::test]
async fn throttling_slows_a_refresh_down_and_loses_nobody() {
    let aws = with_users(60).await;
    // A slow machine too comes to the end of the burst, and is then faster than this.
    aws.set_rate_limit(12.0, 95);
    let limits = Limits {
        max_attempts: 10,
        first_backoff: Duration::from_millis(200),
        longest_backoff: Duration::from_secs(2),
        ..settings("").limits
    };
    let mut reader = reader(Settings {
        limits,
        ..settings(&aws.endpoint())
    });
    let found = reader.read(&aws).await;
    assert_eq!(found.user_count, Some(60));
    assert!(found.is_complete());
    let throttled: u64 = Counted::ALL
        .into_iter()
        .map(|operation| reader.failures(operation, Reason::Throttled))
        .sum();
    assert!(throttled > 0);
    assert_eq!(throttled, aws.calls().throttled() as u64);
}

#[tokio::test]
async fn faults_of_aws_pass_after_some_attempts_and_each_attempt_counts() {
    for action in [
        Action::Error(ErrorCode::ServiceFailure),
        Action::Error(ErrorCode::ServiceUnavailable),
        Action::Status(502),
    ] {
        let aws = with_users(3).await;
        aws.inject(Fault::on(Operation::ListAccessKeys, action.clone()).first(2));
        let mut reader = Reader::new(&aws, Strategy::List);
        let found = reader.read(&aws).await;
        assert!(found.is_complete(), "{action:?}");
        assert_eq!(reader.attempts(Counted::ListAccessKeys), 5, "{action:?}");
        assert_eq!(
            reader.failures(Counted::ListAccessKeys, Reason::ServerError),
            2,
            "{action:?}"
        );
        assert_eq!(reader.attempts(Counted::ListUsers), 1);
    }
}

#[tokio::test]
async fn faults_of_aws_that_stay_are_given_up() {
    for action in [
        Action::Error(ErrorCode::ServiceFailure),
        Action::Status(503),
    ] {
        let aws = with_users(1).await;
        aws.inject(Fault::everywhere(action.clone()));
        let mut reader = Reader::new(&aws, Strategy::List);
        let error = reader.fail(&aws).await;
        assert_eq!(error.reason, Reason::ServerError, "{action:?}: {error}");
        assert_is_useful(&error, "GetCallerIdentity", "");
        assert_eq!(reader.attempts(Counted::GetCallerIdentity), 3);
        assert_eq!(
            reader.failures(Counted::GetCallerIdentity, Reason::ServerError),
            3
        );
    }
}

#[tokio::test]
async fn throttling_that_stays_is_given_up() {
    let aws = with_users(1).await;
    aws.inject(Fault::on(
        Operation::ListUsers,
        Action::Error(ErrorCode::Throttling),
    ));
    let mut reader = Reader::new(&aws, Strategy::List);
    let outcome = reader.collect(&aws).await;
    assert_eq!(outcome.account.unwrap().as_str(), "123456789012");
    let error = outcome.result.unwrap_err();
    assert_eq!(error.reason, Reason::Throttled, "{error}");
    assert_is_useful(&error, "ListUsers", "Rate exceeded");
    assert_eq!(reader.failures(Counted::ListUsers, Reason::Throttled), 3);
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout() {
    let aws = with_users(1).await;
    aws.inject(Fault::on(Operation::GetCallerIdentity, Action::Hang));
    let hasty = |limits: Limits| Settings {
        limits,
        ..settings(&aws.endpoint())
    };
    let usual = settings("").limits;
    let short = Duration::from_millis(100);
    for limits in [
        Limits {
            read: short,
            ..usual
        },
        Limits {
            attempt: short,
            ..usual
        },
        Limits {
            operation: short,
            ..usual
        },
    ] {
        let mut reader = reader(hasty(limits));
        let start = Instant::now();
        let error = reader.fail(&aws).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{limits:?}");
        assert_eq!(error.reason, Reason::Timeout, "{limits:?}: {error}");
        assert_is_useful(&error, "GetCallerIdentity", "");
    }
}

#[tokio::test]
async fn a_refresh_out_of_time_keeps_what_it_has() {
    let aws = with_users(10).await;
    aws.inject(Fault::on(Operation::ListAccessKeys, Action::Hang).user("user-004"));
    let mut reader = Reader::new(&aws, Strategy::List);
    let now = aws.account().now;
    let start = Instant::now();
    let outcome = reader
        .aws
        .collect(now, start + Duration::from_millis(1500))
        .await;
    assert!(start.elapsed() < Duration::from_secs(5));
    let found = outcome.result.unwrap();
    assert_eq!(found.user_count, Some(10));
    for user in &found.users {
        let expected = if &*user.name == "user-004" {
            Reading::Unread(Reason::Timeout)
        } else {
            Reading::Complete
        };
        assert_eq!(user.reading, expected, "{}", user.name);
    }
    assert_eq!(found.reasons(), [Reason::Timeout]);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_an_answer_is_a_network_fault() {
    for action in [Action::HalfBody, Action::Close] {
        let aws = with_users(1).await;
        aws.inject(Fault::on(Operation::ListUsers, action.clone()));
        let mut reader = Reader::new(&aws, Strategy::List);
        let error = reader.fail(&aws).await;
        assert_eq!(error.reason, Reason::Network, "{action:?}: {error}");
        assert_is_useful(&error, "ListUsers", "check the network");
        let attempts = reader.attempts(Counted::ListUsers);
        assert_eq!(
            reader.failures(Counted::ListUsers, Reason::Network),
            attempts,
            "{action:?}"
        );
    }
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again() {
    for action in [Action::HalfBody, Action::Close] {
        let aws = with_users(2).await;
        aws.inject(Fault::on(Operation::ListUsers, action.clone()).first(1));
        let found = Reader::new(&aws, Strategy::List).read(&aws).await;
        assert_eq!(names(&found), ["user-000", "user-001"], "{action:?}");
        assert!(found.is_complete(), "{action:?}");
    }
}

#[tokio::test]
async fn nothing_listening_is_a_network_fault() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let outcome = reader(settings(&format!("http://{closed}")))
        .collect_at(at("2026-06-01T00:00:00Z"))
        .await;
    assert_eq!(outcome.account, None);
    let error = outcome.result.unwrap_err();
    assert_eq!(error.reason, Reason::Network, "{error}");
    assert_is_useful(&error, "GetCallerIdentity", "AWS_ENDPOINT_URL");
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_network_fault() {
    let outcome = reader(settings("http://iam.invalid"))
        .collect_at(at("2026-06-01T00:00:00Z"))
        .await;
    let error = outcome.result.unwrap_err();
    assert_eq!(error.reason, Reason::Network, "{error}");
    assert_is_useful(&error, "GetCallerIdentity", "AWS_ENDPOINT_URL");
}

#[tokio::test]
async fn a_token_that_expires_half_way_keeps_the_last_good_keys_until_it_is_renewed() {
    let aws = with_users(5).await;
    let mut refreshing = Refreshing::listing(&aws);
    let before = refreshing.refresh().await;
    assert!(only_account(&before).is_up());

    // The identity, the alias and the users are told, then it is over.
    aws.inject(Fault::everywhere(Action::Error(ErrorCode::ExpiredToken)).from(3));
    for _ in 0..2 {
        let after = refreshing.refresh().await;
        let account = only_account(&after);
        assert!(!account.is_up());
        assert_eq!(account.failures, [Reason::ExpiredToken]);
        assert_eq!(account.last_success, only_account(&before).last_success);
        for user in &inventory(&before).users {
            let kept = support::aws_source::user(inventory(&after), &user.name);
            assert_eq!(kept.keys, user.keys);
        }
    }
    assert_eq!(
        refreshing.failures(Some("123456789012"), Reason::ExpiredToken),
        2
    );

    aws.clear_faults();
    let recovered = refreshing.refresh().await;
    assert!(only_account(&recovered).is_up());
    assert!(only_account(&recovered).last_success > only_account(&before).last_success);
    assert_eq!(inventory(&recovered).unread_users(), 0);
}

#[tokio::test]
async fn refusals_are_told_apart_and_say_what_to_do() {
    for (code, reason, advice) in [
        (
            ErrorCode::ExpiredToken,
            Reason::ExpiredToken,
            "renew the session",
        ),
        (
            ErrorCode::InvalidClientTokenId,
            Reason::Credentials,
            "set AWS_REGION",
        ),
        (
            ErrorCode::SignatureDoesNotMatch,
            Reason::Credentials,
            "the secret access key is wrong",
        ),
        (
            ErrorCode::MissingAuthenticationToken,
            Reason::Credentials,
            "AWS_PROFILE",
        ),
        (
            ErrorCode::AccessDenied,
            Reason::AccessDenied,
            "allow sts:GetCallerIdentity",
        ),
    ] {
        let aws = with_users(1).await;
        aws.inject(Fault::everywhere(Action::Error(code)));
        for strategy in [Strategy::List, Strategy::Report, Strategy::Auto] {
            let mut reader = Reader::new(&aws, strategy);
            let outcome = reader.collect(&aws).await;
            assert_eq!(outcome.account, None);
            let error = outcome.result.unwrap_err();
            assert_eq!(error.reason, reason, "{error}");
            assert_is_useful(&error, "GetCallerIdentity", advice);
            assert_eq!(reader.failures(Counted::GetCallerIdentity, reason), 1);
        }
    }
}

#[tokio::test]
async fn an_account_where_everything_is_denied_is_known_and_names_the_permission() {
    for (strategy, permission) in [
        (Strategy::List, "iam:ListUsers"),
        (Strategy::Auto, "iam:ListUsers"),
        (Strategy::Report, "iam:GenerateCredentialReport"),
    ] {
        let aws = with_users(1).await;
        for operation in Operation::ALL {
            if operation != Operation::GetCallerIdentity {
                aws.deny(operation);
            }
        }
        let outcome = Reader::new(&aws, strategy).collect(&aws).await;
        assert_eq!(outcome.account.unwrap().as_str(), "123456789012");
        let error = outcome.result.unwrap_err();
        assert_eq!(error.reason, Reason::AccessDenied);
        let (_, operation) = permission.split_once(':').unwrap();
        assert_is_useful(&error, operation, &format!("allow {permission} "));
    }
}

#[tokio::test]
async fn a_refusal_that_quotes_the_request_tells_no_secret() {
    let aws = with_users(1).await;
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>SignatureDoesNotMatch</Code><Message>The Canonical String for this request should \
         have been\n'POST\n/\n\nx-amz-security-token:{SESSION_TOKEN}\n'</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    aws.inject(Fault::everywhere(Action::Answer {
        status: 403,
        content_type: "text/xml",
        body: body.into_bytes(),
    }));
    let logs = Logs::capture();
    let mut refreshing = Refreshing::listing(&aws);
    refreshing.refresh().await;
    refreshing.refresh().await;
    let lines = [logs.of("WARN"), logs.of("DEBUG")].concat();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert!(line.contains("SignatureDoesNotMatch"), "{line}");
        assert!(
            !line.contains(SESSION_TOKEN) && !line.contains(SECRET),
            "{line}"
        );
    }
}

/// A provider that has nothing to give.
#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(
            "no providers in chain provided credentials",
        )))
    }
}

#[tokio::test]
async fn no_credentials_are_told_as_such_at_every_strategy() {
    let aws = with_users(1).await;
    for strategy in [Strategy::List, Strategy::Auto, Strategy::Report] {
        let config = config(&aws.endpoint())
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(NoCredentials))
            .build();
        let settings = Settings {
            origin: Origin::Config(Box::new(config)),
            ..settings("")
        };
        let mut reader = Reader::with(settings, strategy, Policy::default());
        let error = reader.fail(&aws).await;
        assert_eq!(error.reason, Reason::Credentials, "{error}");
        assert_is_useful(
            &error,
            "GetCallerIdentity",
            "set AWS_PROFILE or --aws.profile",
        );
    }
    assert_eq!(aws.calls().total(), 0);
}

#[tokio::test]
async fn an_untrusted_certificate_is_a_tls_fault_and_a_bundle_makes_it_trusted() {
    let aws = with_users(2).await;
    let tls = TlsFront::before(&aws, "localhost").await;
    let endpoint = format!("https://localhost:{}", tls.address.port());
    let mut distrusting = reader(settings(&endpoint));
    let error = distrusting.fail(&aws).await;
    assert_eq!(error.reason, Reason::Tls, "{error}");
    assert_is_useful(&error, "GetCallerIdentity", "AWS_CA_BUNDLE");
    let attempts = distrusting.attempts(Counted::GetCallerIdentity);
    assert_eq!(
        distrusting.failures(Counted::GetCallerIdentity, Reason::Tls),
        attempts
    );
    assert_eq!(aws.calls().total(), 0);

    let found = reader(Settings {
        ca_bundle: Some(tls.bundle),
        ..settings(&endpoint)
    })
    .read(&aws)
    .await;
    assert_eq!(found.user_count, Some(2));
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_told() {
    let aws = with_users(1).await;
    let endpoint = format!("https://localhost:{}", aws.address().port());
    let error = reader(settings(&endpoint)).fail(&aws).await;
    assert_eq!(error.reason, Reason::Tls, "{error}");
    assert_is_useful(&error, "GetCallerIdentity", "");
}

#[tokio::test]
async fn a_caller_that_makes_no_sense_is_malformed() {
    let aws = with_users(1).await;
    "12345".clone_into(&mut aws.account().id);
    let error = Reader::new(&aws, Strategy::List).fail(&aws).await;
    assert_eq!(error.reason, Reason::MalformedResponse, "{error}");
    assert_is_useful(&error, "GetCallerIdentity", "is not an ARN");
}

#[tokio::test]
async fn a_refresh_that_is_dropped_leaves_a_source_that_works() {
    let aws = with_users(3).await;
    aws.inject(Fault::on(Operation::ListAccessKeys, Action::Hang).first(3));
    let mut reader = Reader::new(&aws, Strategy::List);
    let now = aws.account().now;
    let dropped = tokio::time::timeout(
        Duration::from_millis(500),
        reader.aws.collect(now, in_a_minute()),
    )
    .await;
    assert!(dropped.is_err());
    let found = reader.read(&aws).await;
    assert!(found.is_complete());
    assert!(user(&found, "user-000").is_read());
}

#[tokio::test]
async fn a_slow_user_does_not_hold_up_the_refresh_beyond_its_time() {
    let aws = with_users(4).await;
    aws.inject(Fault::on(Operation::ListAccessKeys, Action::Hang).user("user-001"));
    let reader = Reader::new(&aws, Strategy::List);
    let mut refreshing = Refreshing::new(reader, Clock::System, Duration::from_millis(1500));
    let first = refreshing.refresh().await;
    let account = only_account(&first);
    assert_eq!(account.failures, [Reason::Timeout]);
    assert_eq!(account.last_success, None);
    assert_eq!(inventory(&first).unread_users(), 1);
    assert!(user(inventory(&first), "user-001").keys.is_empty());
    assert!(first.is_ready());

    aws.clear_faults();
    let second = refreshing.refresh().await;
    assert!(only_account(&second).is_up());
    assert_eq!(user(inventory(&second), "user-001").keys.len(), 1);
}
