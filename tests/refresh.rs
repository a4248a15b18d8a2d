//! The refresher: what it keeps, what it says, and when it tries again.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use iam_key_exporter::{
    clock::Clock,
    inventory::Reading,
    policy::Policy,
    reason::Reason,
    snapshot::{AccountState, Snapshot},
    source::aws::{Origin, Settings, Strategy},
};
use support::{
    aws_source::{
        INTERVAL, Logs, Reader, Refreshing, at, config, find, inventory, names, only_account,
        settings, user,
    },
    fake_aws::{Action, ErrorCode, FakeAws, Fault, Operation},
};
use tokio::time::Instant;

const ACCOUNT: &str = "123456789012";

async fn with_users(names: &[&str]) -> FakeAws {
    let aws = FakeAws::start().await;
    for name in names {
        aws.account().add_user(name, at("2020-01-01T00:00:00Z"));
        aws.account().add_key(name, at("2026-01-01T00:00:00Z"));
    }
    aws
}

fn denied(operation: Operation) -> Fault {
    Fault::on(operation, Action::Error(ErrorCode::AccessDenied))
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_last_good_data_and_its_time() {
    let aws = with_users(&["alice"]).await;
    let mut refreshing = Refreshing::listing(&aws);
    let good = refreshing.refresh().await;
    assert!(good.is_ready() && only_account(&good).is_up());

    for (operation, code, reason) in [
        (
            Operation::GetCallerIdentity,
            ErrorCode::ServiceFailure,
            Reason::ServerError,
        ),
        (
            Operation::ListUsers,
            ErrorCode::AccessDenied,
            Reason::AccessDenied,
        ),
    ] {
        aws.clear_faults();
        aws.inject(Fault::on(operation, Action::Error(code)));
        let bad = refreshing.refresh().await;
        let account = only_account(&bad);
        assert!(!account.is_up(), "{operation:?}");
        assert_eq!(account.failures, [reason]);
        assert_eq!(account.last_success, only_account(&good).last_success);
        assert_eq!(inventory(&bad), inventory(&good));
        assert!(bad.is_ready());
        assert_eq!(bad.unidentified, None);
    }

    aws.clear_faults();
    aws.account().delete_user("alice");
    aws.account().add_user("bob", at("2020-01-01T00:00:00Z"));
    let recovered = refreshing.refresh().await;
    assert!(only_account(&recovered).is_up());
    assert!(only_account(&recovered).last_success > only_account(&good).last_success);
    assert_eq!(names(inventory(&recovered)), ["bob"]);
    assert_eq!(refreshing.failures(Some(ACCOUNT), Reason::ServerError), 1);
    assert_eq!(refreshing.failures(Some(ACCOUNT), Reason::AccessDenied), 1);
    assert_eq!(refreshing.counts.all()[0].1.attempts, 4);
}

#[tokio::test]
async fn a_partial_read_keeps_the_last_keys_of_those_it_could_not_read() {
    let aws = with_users(&["alice", "bob"]).await;
    let mut refreshing = Refreshing::listing(&aws);
    let good = refreshing.refresh().await;
    aws.inject(denied(Operation::ListAccessKeys).user("bob"));
    let new = aws.account().add_key("alice", at("2026-05-01T00:00:00Z"));
    aws.account().add_user("carol", at("2020-01-01T00:00:00Z"));
    aws.inject(denied(Operation::ListAccessKeys).user("carol"));

    let partial = refreshing.refresh().await;

    let found = inventory(&partial);
    let keys = &user(found, "alice").keys;
    assert!(keys.iter().any(|key| key.name.as_str() == new));
    let bob = user(found, "bob");
    assert_eq!(bob.keys, user(inventory(&good), "bob").keys);
    assert_eq!(bob.reading, Reading::Unread(Reason::AccessDenied));
    // Nothing is known of her, and nothing is made up.
    assert!(user(found, "carol").keys.is_empty());
    assert!(!user(found, "carol").is_read());
    assert_eq!(found.unread_users(), 2);
    assert_eq!(only_account(&partial).failures, [Reason::AccessDenied]);
    assert_eq!(
        only_account(&partial).last_success,
        only_account(&good).last_success
    );
    assert_eq!(refreshing.failures(Some(ACCOUNT), Reason::AccessDenied), 1);

    // The keys stay for as long as he can't be read, and are gone when it shows that they are.
    refreshing.refresh().await;
    aws.clear_faults();
    let ids: Vec<_> = aws.account().users()["bob"]
        .keys()
        .keys()
        .cloned()
        .collect();
    aws.account().delete_key(&ids[0]);
    let read = refreshing.refresh().await;
    assert!(user(inventory(&read), "bob").keys.is_empty());
    assert!(only_account(&read).is_up());
}

#[tokio::test]
async fn an_account_that_was_never_read_has_no_keys_and_is_not_ready() {
    let aws = with_users(&["alice"]).await;
    aws.inject(denied(Operation::ListUsers));
    let mut refreshing = Refreshing::listing(&aws);
    assert!(!refreshing.snapshot().tried);
    let snapshot = refreshing.refresh().await;
    let account = only_account(&snapshot);
    assert_eq!(account.id.as_str(), ACCOUNT);
    assert!(account.inventory.is_none());
    assert_eq!(account.last_success, None);
    assert!(!account.is_up());
    assert!(snapshot.tried && !snapshot.is_ready());
}

#[tokio::test]
async fn an_account_that_is_unknown_at_first_gets_its_name_later() {
    let aws = with_users(&["alice"]).await;
    aws.inject(denied(Operation::GetCallerIdentity));
    let mut refreshing = Refreshing::listing(&aws);
    let snapshot = refreshing.refresh().await;
    assert!(snapshot.accounts.is_empty());
    assert_eq!(snapshot.unidentified, Some(Reason::AccessDenied));
    assert!(!snapshot.is_ready());
    assert_eq!(refreshing.failures(None, Reason::AccessDenied), 1);

    aws.clear_faults();
    let snapshot = refreshing.refresh().await;
    assert_eq!(snapshot.unidentified, None);
    assert!(only_account(&snapshot).is_up());
    assert!(snapshot.is_ready());

    // From now on its failures are its own.
    aws.inject(denied(Operation::GetCallerIdentity));
    let snapshot = refreshing.refresh().await;
    assert_eq!(snapshot.unidentified, None);
    assert!(!only_account(&snapshot).is_up());
    assert_eq!(refreshing.failures(None, Reason::AccessDenied), 1);
    assert_eq!(refreshing.failures(Some(ACCOUNT), Reason::AccessDenied), 1);
}

#[tokio::test]
async fn an_account_that_the_credentials_no_longer_belong_to_is_gone() {
    let aws = with_users(&["alice"]).await;
    let mut refreshing = Refreshing::listing(&aws);
    refreshing.refresh().await;
    {
        let mut account = aws.account();
        account.id = "210987654321".to_owned();
        account.delete_user("alice");
        account.add_user("bob", at("2020-01-01T00:00:00Z"));
    }
    let logs = Logs::capture();
    let snapshot = refreshing.refresh().await;
    assert_eq!(only_account(&snapshot).id.as_str(), "210987654321");
    assert_eq!(names(inventory(&snapshot)), ["bob"]);
    assert!(find(inventory(&snapshot), "alice").is_none());
    assert_eq!(logs.of("WARN").len(), 1, "{:?}", logs.of("WARN"));
}

#[tokio::test]
async fn a_failure_is_said_once_and_so_is_its_end() {
    let aws = with_users(&["alice", "bob"]).await;
    let mut refreshing = Refreshing::listing(&aws);
    let logs = Logs::capture();
    let said = || (logs.of("WARN").len(), logs.of("INFO").len());

    refreshing.refresh().await;
    refreshing.refresh().await;
    assert_eq!(said(), (0, 1), "the first success is news");

    aws.inject(denied(Operation::ListUsers));
    for _ in 0..3 {
        refreshing.refresh().await;
        assert_eq!(said(), (1, 1), "a failure is news once");
    }
    let warning = &logs.of("WARN")[0];
    assert!(
        warning.contains("refresh failed: ListUsers: AccessDenied"),
        "{warning}"
    );
    assert!(warning.contains("reason=access_denied"), "{warning}");
    assert!(
        warning.contains(&format!("account=\"{ACCOUNT}\"")),
        "{warning}"
    );

    aws.clear_faults();
    aws.inject(Fault::on(
        Operation::ListUsers,
        Action::Error(ErrorCode::Throttling),
    ));
    refreshing.refresh().await;
    assert_eq!(said(), (2, 1), "another reason is news");

    aws.clear_faults();
    aws.inject(denied(Operation::ListAccessKeys).user("bob"));
    for _ in 0..3 {
        refreshing.refresh().await;
        assert_eq!(said(), (3, 1), "an incomplete refresh is news once");
    }
    let warning = &logs.of("WARN")[2];
    assert!(warning.contains("unread=1"), "{warning}");
    assert!(!warning.contains("bob"), "{warning}");

    aws.clear_faults();
    for _ in 0..2 {
        refreshing.refresh().await;
        assert_eq!(said(), (3, 2), "the end is news once");
    }
    for line in logs.of("INFO") {
        assert!(!line.contains("alice") && !line.contains("AKIA"), "{line}");
    }
}

/// An AWS in memory, with an account without users: no answer takes time, so that a test can pause
/// the clock.
#[derive(Debug, Clone, Default)]
struct Instantaneous {
    denies: Arc<AtomicBool>,
}

impl HttpConnector for Instantaneous {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let form = request.body().bytes().unwrap_or_default();
        let asked = |name: &str| form.starts_with(format!("Action={name}&").as_bytes());
        let (status, body) = if self.denies.load(Ordering::Relaxed) {
            let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                <Message>no</Message></Error></ErrorResponse>";
            (403, error.to_owned())
        } else {
            let (name, result) = if asked("GetCallerIdentity") {
                (
                    "GetCallerIdentity",
                    "<Arn>arn:aws:iam::123456789012:user/x</Arn>",
                )
            } else if asked("ListUsers") {
                ("ListUsers", "<IsTruncated>false</IsTruncated><Users/>")
            } else if asked("GetAccountSummary") {
                ("GetAccountSummary", "<SummaryMap/>")
            } else {
                ("ListAccountAliases", "<AccountAliases/>")
            };
            let answer =
                format!("<{name}Response><{name}Result>{result}</{name}Result></{name}Response>");
            (200, answer)
        };
        let status = StatusCode::try_from(status).expect("a constant");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

/// A refresher over that AWS, running, and a way to make it fail.
struct Running {
    refreshing: tokio::sync::watch::Receiver<Arc<Snapshot>>,
    denies: Arc<AtomicBool>,
    last: Instant,
}

impl Running {
    fn start(denies: bool) -> Self {
        let aws = Instantaneous::default();
        aws.denies.store(denies, Ordering::Relaxed);
        let denies = Arc::clone(&aws.denies);
        let connector = SharedHttpConnector::new(aws);
        let config = config("http://localhost")
            .into_builder()
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let settings = Settings {
            origin: Origin::Config(Box::new(config)),
            ..settings("")
        };
        let reader = Reader::with(settings, Strategy::List, Policy::default());
        let refreshing = Refreshing::new(reader, Clock::System, Duration::from_mins(1));
        let snapshot = refreshing.snapshot.clone();
        let last = Instant::now();
        tokio::spawn(refreshing.refresher.run(std::future::pending()));
        Self {
            refreshing: snapshot,
            denies,
            last,
        }
    }

    /// Waits for the next refresh. Gives the time since the last one and whether it was complete.
    async fn next(&mut self) -> (Duration, bool) {
        self.refreshing.changed().await.expect("the refresher runs");
        let pause = self.last.elapsed();
        self.last = Instant::now();
        let snapshot = self.refreshing.borrow();
        let up =
            snapshot.unidentified.is_none() && snapshot.accounts.iter().all(AccountState::is_up);
        (pause, up)
    }

    fn set_denies(&self, denies: bool) {
        self.denies.store(denies, Ordering::Relaxed);
    }
}

/// The timer's own resolution.
const TICK: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn the_first_refresh_comes_at_once_and_the_next_after_the_interval_and_some_jitter() {
    let mut running = Running::start(false);
    let (pause, up) = running.next().await;
    assert!(up && pause < TICK, "{pause:?}");
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let (pause, up) = running.next().await;
        assert!(up);
        assert!(pause >= INTERVAL, "{pause:?}");
        assert!(pause <= INTERVAL.mul_f64(1.1) + TICK, "{pause:?}");
        pauses.push(pause);
    }
    let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    assert!(*most > *least + INTERVAL.mul_f64(0.02), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_with_pauses_that_double_up_to_the_interval() {
    let mut running = Running::start(true);
    running.next().await;
    for seconds in [10, 20, 40, 80, 160, 300, 300, 300] {
        let (pause, up) = running.next().await;
        let expected = Duration::from_secs(seconds);
        assert!(!up);
        assert!(
            pause >= expected && pause < expected.mul_f64(1.1) + TICK,
            "{pause:?} {expected:?}"
        );
    }

    running.set_denies(false);
    let (_, up) = running.next().await;
    assert!(up);
    let (pause, up) = running.next().await;
    assert!(up && pause >= INTERVAL, "{pause:?}");

    // After a success it begins with short pauses again.
    running.set_denies(true);
    let (pause, up) = running.next().await;
    assert!(!up && pause >= INTERVAL, "{pause:?}");
    let (pause, _) = running.next().await;
    assert!(pause < Duration::from_secs(12), "{pause:?}");
}
