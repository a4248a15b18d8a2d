//! The AWS source and the refresher, pointed at the double.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole module and uses a part of it"
)]

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{Arc, Once},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::SdkConfig;
use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    clock::Clock,
    config::Config,
    counts::{Operation, RefreshCounts, RequestCounts},
    inventory::{Inventory, User},
    key::{AccessKey, AccountId},
    policy::Policy,
    reason::Reason,
    refresh::{self, Refresher},
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
    source::{
        Access, Member, Outcome, Source, SourceError,
        aws::{Aws, Fleet, Limits, Origin, Pace, Patience, Settings, Strategy},
    },
};
use tokio::{sync::watch, time::Instant};
use tracing_subscriber::{Layer as _, filter::Targets, fmt, layer::SubscriberExt as _};

use super::fake_aws::FakeAws;

/// What must be in no message and no log line.
pub const SECRET: &str = "wJalrXUtnFEMIsecretMARKER";
/// The same, of the session.
pub const SESSION_TOKEN: &str = "FwoGZXIvYXdzEsessionMARKER";

/// The time between two refreshes that tests go by.
pub const INTERVAL: Duration = Duration::from_mins(5);

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}

pub fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

/// The SDK set up for an endpoint, by other means than the environment.
pub fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new(
        "AKIAFAKE",
        SECRET,
        Some(SESSION_TOKEN.to_owned()),
        None,
        "test",
    );
    SdkConfig::builder()
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// Settings for an endpoint: quick to give up, quick to look again.
pub fn settings(endpoint: &str) -> Settings {
    Settings {
        origin: Origin::Config(Box::new(config(endpoint))),
        pace: Pace {
            at_once: 16,
            per_second: None,
        },
        max_total_concurrency: 64,
        ca_bundle: None,
        limits: Limits {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            attempt: Duration::from_secs(10),
            operation: Duration::from_secs(20),
            max_attempts: 3,
            first_backoff: Duration::from_millis(10),
            longest_backoff: Duration::from_millis(50),
        },
        patience: Patience {
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(5),
            total: Duration::from_secs(10),
        },
    }
}

/// A source and what it counted.
pub struct Reader {
    pub fleet: Fleet,
    pub aws: Aws,
    pub counts: Arc<RequestCounts>,
}

impl Reader {
    pub fn new(aws: &FakeAws, strategy: Strategy) -> Self {
        Self::with(settings(&aws.endpoint()), strategy, Policy::default())
    }

    pub fn with(settings: Settings, strategy: Strategy, policy: Policy) -> Self {
        let counts = Arc::new(RequestCounts::default());
        let mut fleet = Fleet::with_settings(
            settings,
            strategy,
            Arc::new(policy),
            INTERVAL,
            Arc::clone(&counts),
        );
        let aws = fleet.reader(&own_account());
        Self { fleet, aws, counts }
    }

    /// Reads once, as of the double's clock.
    pub async fn collect(&mut self, aws: &FakeAws) -> Outcome {
        let now = aws.account().now;
        self.collect_at(now).await
    }

    /// Reads once, as of `now`, and logs what there is to say.
    pub async fn collect_at(&mut self, now: DateTime<Utc>) -> Outcome {
        let outcome = self.aws.collect(now, in_a_minute()).await;
        outcome.say_remarks();
        outcome
    }

    /// What one read finds.
    pub async fn read(&mut self, aws: &FakeAws) -> Inventory {
        self.collect(aws)
            .await
            .result
            .expect("the account can be read")
    }

    /// Why one read fails.
    pub async fn fail(&mut self, aws: &FakeAws) -> SourceError {
        self.collect(aws)
            .await
            .result
            .expect_err("the account can't be read")
    }

    pub fn attempts(&self, operation: Operation) -> u64 {
        self.counts.attempts(operation)
    }

    pub fn failures(&self, operation: Operation, reason: Reason) -> u64 {
        self.counts.failures(operation, reason)
    }
}

/// The account of one's own credentials.
fn own_account() -> Member {
    Member {
        account: None,
        name: None,
        access: Access::Own,
    }
}

pub fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// The user of that name.
pub fn user<'a>(inventory: &'a Inventory, name: &str) -> &'a User {
    find(inventory, name).unwrap_or_else(|| panic!("{name} isn't in {:?}", names(inventory)))
}

pub fn find<'a>(inventory: &'a Inventory, name: &str) -> Option<&'a User> {
    inventory.users.iter().find(|user| &*user.name == name)
}

/// The names of all users.
pub fn names(inventory: &Inventory) -> Vec<&str> {
    inventory.users.iter().map(|user| &*user.name).collect()
}

/// The ids of a user's keys, oldest first.
pub fn ids(user: &User) -> Vec<&str> {
    user.keys.iter().map(|key| key.name.as_str()).collect()
}

/// The only key of a user.
pub fn only_key<'a>(inventory: &'a Inventory, name: &str) -> &'a AccessKey {
    match &*user(inventory, name).keys {
        [key] => key,
        keys => panic!("{name} has {} keys", keys.len()),
    }
}

/// A refresher over a source, and what it publishes.
pub struct Refreshing {
    pub refresher: Refresher,
    pub configure: watch::Sender<Arc<Config>>,
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    pub counts: Arc<RefreshCounts>,
}

impl Refreshing {
    pub fn new(reader: Reader, clock: Clock, timeout: Duration) -> Self {
        Self::configured(reader, Config::default(), clock, timeout)
    }

    /// With another configuration than that of no file and no flags.
    pub fn configured(reader: Reader, config: Config, clock: Clock, timeout: Duration) -> Self {
        let before = Snapshot::before_first_refresh(
            Arc::clone(&config.policy),
            KeyIdDisplay::Full,
            INTERVAL,
        );
        let (publish, snapshot) = watch::channel(Arc::new(before));
        let counts = Arc::new(RefreshCounts::default());
        let args = refresh::Args {
            interval: INTERVAL,
            timeout,
        };
        let source = Source::Aws(Box::new(reader.fleet));
        let (configure, configs) = watch::channel(Arc::new(config));
        let counted = Arc::clone(&counts);
        let refresher = Refresher::new(source, configs, clock, args, counted, publish);
        Self {
            refresher,
            configure,
            snapshot,
            counts,
        }
    }

    /// Over a source that lists, by the machine's clock.
    pub fn listing(aws: &FakeAws) -> Self {
        Self::new(
            Reader::new(aws, Strategy::List),
            Clock::System,
            Duration::from_mins(1),
        )
    }

    /// Refreshes once and gives what is known then.
    pub async fn refresh(&mut self) -> Arc<Snapshot> {
        let complete = self.refresher.refresh().await;
        let snapshot = self.snapshot();
        let up =
            snapshot.unidentified.is_none() && snapshot.accounts.iter().all(AccountState::is_up);
        assert_eq!(complete, up);
        snapshot
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// The refreshes of an account that failed for a reason.
    pub fn failures(&self, account: Option<&str>, reason: Reason) -> u64 {
        let account = account.map(|id| id.parse::<AccountId>().expect("12 digits"));
        self.counts
            .all()
            .into_iter()
            .find(|(id, _)| *id == account)
            .map_or(0, |(_, count)| count.failures[reason as usize])
    }
}

/// The only account of a snapshot.
pub fn only_account(snapshot: &Snapshot) -> &AccountState {
    match &*snapshot.accounts {
        [account] => account,
        accounts => panic!("{} accounts", accounts.len()),
    }
}

/// The inventory of the only account of a snapshot.
pub fn inventory(snapshot: &Snapshot) -> &Inventory {
    only_account(snapshot)
        .inventory
        .as_deref()
        .expect("the account was read once")
}

thread_local! {
    /// What was logged on this thread; `None` if nobody wants it.
    static LOGGED: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// What was logged.
type Lines = Rc<RefCell<Vec<u8>>>;

/// The log lines of this project that are written on this thread, until this is dropped. All
/// threads share one subscriber: one for each thread would race for what is cached of call sites.
pub struct Logs(Lines);

impl Logs {
    /// Starts to capture.
    pub fn capture() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let lines = fmt::layer()
                .with_ansi(false)
                .without_time()
                .with_target(false)
                .with_writer(|| ThreadLog)
                .with_filter(Targets::new().with_target("iam_key_exporter", tracing::Level::DEBUG));
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines))
                .expect("nobody else sets a subscriber");
        });
        let lines = Lines::default();
        LOGGED.set(Some(Rc::clone(&lines)));
        Self(lines)
    }

    /// The lines of one level.
    pub fn of(&self, level: &str) -> Vec<String> {
        String::from_utf8_lossy(&self.0.borrow())
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(level))
            .map(|line| line.trim_start().to_owned())
            .collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        LOGGED.set(None);
    }
}

/// Writes for the thread that logs.
struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow(|logged| {
            if let Some(lines) = logged {
                lines.borrow_mut().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
