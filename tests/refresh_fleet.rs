//! The refresher over many accounts: turns, neighbours that hang or fail, what is published, and
//! another configuration.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

#[path = "refresh/cloud.rs"]
mod cloud;
mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use cloud::{Cloud, id, listed, organization};
use iam_key_exporter::{
    clock::Clock,
    config::Config,
    counts::{RefreshCounts, StorageCounts},
    inventory::Exemption,
    policy::{ExemptionRule, Matcher, Override, Policy, TagMatcher, Thresholds, Verdict},
    reason::Reason,
    snapshot::{AccountState, Snapshot, TagLabel},
    source::accounts::{AccountFilter, Accounts, DISCOVERY_INTERVAL, Organization},
    storage::Storage,
};
use support::aws_source::{INTERVAL, Logs, Refreshing};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

/// A refresher that runs.
struct Running {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    configure: watch::Sender<Arc<Config>>,
    counts: Arc<RefreshCounts>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    fn start(cloud: &Cloud, accounts: Accounts) -> Self {
        Self::configured(cloud.refreshing(accounts))
    }

    fn configured(refreshing: Refreshing) -> Self {
        let (stop, stopped) = oneshot::channel();
        let run = refreshing.refresher.run(async {
            let _ = stopped.await;
        });
        Self {
            snapshot: refreshing.snapshot,
            configure: refreshing.configure,
            counts: refreshing.counts,
            stop,
            ended: tokio::spawn(run),
        }
    }

    /// Waits until the snapshot is as wanted, for a day at most.
    async fn until(&mut self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let wait = self.snapshot.wait_for(wanted);
        let snapshot = tokio::time::timeout(Duration::from_hours(24), wait).await;
        Arc::clone(
            &snapshot
                .expect("it comes in time")
                .expect("the refresher runs"),
        )
    }

    async fn ready(&mut self) -> Arc<Snapshot> {
        self.until(|snapshot| snapshot.is_ready()).await
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    fn reload(&self, config: Config) {
        self.configure.send_replace(Arc::new(config));
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    let ids = snapshot.accounts.iter();
    ids.map(|account| account.id.to_string()).collect()
}

/// The verdict on the only key of each account that was ever read.
fn verdicts(snapshot: &Snapshot) -> Vec<Verdict> {
    let now = Clock::System.now();
    let accounts = snapshot.accounts.iter();
    accounts
        .filter_map(|account| account.inventory.as_ref())
        .map(|inventory| {
            let user = &inventory.users[0];
            snapshot.policy.verdict(user, &user.keys[0], now)
        })
        .collect()
}

/// The timer's own resolution, and some.
const TICK: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn every_account_is_read_at_once_and_then_at_its_turn_spread_over_the_interval() {
    const ACCOUNTS: usize = 200;
    let cloud = Cloud::default();
    let start = Instant::now();
    let mut running = Running::start(&cloud, listed(0..ACCOUNTS));
    running.ready().await;
    assert!(start.elapsed() < Duration::from_secs(1));
    sleep(INTERVAL.mul_f64(3.6)).await;

    let mut windows = [0_u32; 20];
    for (account, reads) in cloud.reads() {
        let gaps: Vec<_> = reads.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 3, "{account}: {gaps:?}");
        let half = INTERVAL / 2;
        assert!(
            gaps[0] >= half && gaps[0] < 3 * half + TICK,
            "{account}: {gaps:?}"
        );
        for gap in &gaps[1..] {
            let off = gap.abs_diff(INTERVAL);
            assert!(off < TICK, "{account}: {gaps:?}");
        }
        let into = (reads[2] - start).as_secs_f64() % INTERVAL.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of the interval"
        )]
        let window = (into / INTERVAL.as_secs_f64() * 20.0) as usize;
        windows[window] += 1;
    }
    // 10 are expected in each.
    assert!(
        windows.iter().all(|count| (1..30).contains(count)),
        "{windows:?}"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_hangs_delays_no_other() {
    let cloud = Cloud::default();
    cloud.state().hang.insert(id(7));
    let start = Instant::now();
    let mut running = Running::start(&cloud, listed(0..20));
    let others = running
        .until(|snapshot| snapshot.accounts.len() == 19)
        .await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert!(!others.is_ready(), "one account wasn't tried yet");

    let all = running.ready().await;
    assert!(
        start.elapsed() <= Duration::from_secs(66),
        "{:?}",
        start.elapsed()
    );
    let hanging = &all.accounts[7];
    assert_eq!(hanging.failures, [Reason::Timeout]);
    assert!(hanging.inventory.is_none());

    sleep(INTERVAL * 3).await;
    let reads = cloud.reads();
    for number in (0..20).filter(|number| *number != 7) {
        let reads = &reads[&id(number)];
        assert!(
            reads[1] - reads[0] < INTERVAL / 2 * 3 + TICK,
            "{number}: {reads:?}"
        );
        assert!(
            (reads[2] - reads[1]).abs_diff(INTERVAL) < TICK,
            "{number}: {reads:?}"
        );
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_account_that_fails_is_tried_again_with_pauses_that_double() {
    let cloud = Cloud::default();
    cloud.state().denied.insert(id(1));
    let mut running = Running::start(&cloud, listed(0..3));
    running.ready().await;
    // The pauses are up to a tenth longer, 77 s together; the next would be of 80 s at least.
    sleep(Duration::from_secs(80)).await;
    let reads = cloud.reads();
    let failed = &reads[&id(1)];
    let gaps: Vec<_> = failed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), 3, "{gaps:?}");
    for (gap, seconds) in gaps.iter().zip([10, 20, 40]) {
        let expected = Duration::from_secs(seconds);
        assert!(
            *gap >= expected && *gap < expected.mul_f64(1.1) + TICK,
            "{gaps:?}"
        );
    }
    assert_eq!((reads[&id(0)].len(), reads[&id(2)].len()), (1, 1));

    cloud.state().denied.clear();
    let up = running.until(|snapshot| snapshot.accounts[1].is_up()).await;
    assert_eq!(verdicts(&up), [Verdict::Alarm; 3]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_finishes_at_once_is_published_together_and_what_finishes_alone_at_once() {
    const ACCOUNTS: usize = 100;
    let cloud = Cloud::default();
    for number in 0..ACCOUNTS {
        let latency = Duration::from_millis(10 * number as u64);
        cloud.state().latency.insert(id(number), latency);
    }
    let late = Duration::from_secs(10);
    cloud.state().latency.insert(id(3), late);
    let start = Instant::now();
    let mut running = Running::start(&cloud, listed(0..ACCOUNTS));
    let mut publications = Vec::new();
    while publications.len() < 200 {
        running.snapshot.changed().await.unwrap();
        publications.push(start.elapsed());
        if running.now().accounts.len() == ACCOUNTS {
            break;
        }
    }
    let gaps = publications
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    assert!(
        gaps.min().unwrap() >= Duration::from_millis(99),
        "{publications:?}"
    );
    // One second of answers, ten publications each.
    assert!(publications.len() <= 14, "{publications:?}");
    let last = *publications.last().unwrap();
    assert!(last >= late && last < late + TICK, "{last:?}");
    running.stop().await;
}

/// A policy with that max age for everybody, save those that the rules are for.
fn policy(days: i64) -> Policy {
    Policy::from(Thresholds {
        max_age: TimeDelta::days(days),
        ..Thresholds::default()
    })
}

#[tokio::test(start_paused = true)]
async fn another_policy_judges_what_is_known_at_once() {
    let cloud = Cloud::default();
    let accounts = listed(0..3);
    let mut running = Running::start(&cloud, accounts.clone());
    let before = running.ready().await;
    assert_eq!(verdicts(&before), [Verdict::Alarm; 3]);
    let reads = cloud.total();

    let reload = |running: &Running, policy: Policy| {
        let config = Config {
            policy: Arc::new(policy),
            accounts: accounts.clone(),
            ..Config::default()
        };
        running.configure.send_replace(Arc::new(config));
    };
    let here = |number: usize| Matcher {
        account_ids: vec![id(number).parse().unwrap()],
        ..Matcher::default()
    };
    let mut exempting = policy(90);
    exempting.exemptions.push(ExemptionRule {
        matcher: here(1),
        exemption: Exemption {
            reason: "a break-glass key".into(),
            until: None,
        }
        .into(),
    });
    let start = Instant::now();
    reload(&running, exempting);
    let exempt = running
        .until(|snapshot| !Arc::ptr_eq(&snapshot.policy, &before.policy))
        .await;
    assert_eq!(
        verdicts(&exempt),
        [Verdict::Alarm, Verdict::Skip, Verdict::Alarm]
    );
    assert!(start.elapsed() < TICK);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cloud.total(), reads, "nobody else has to be read for that");

    let mut lenient = policy(90);
    lenient.overrides.push(Override {
        matcher: here(2),
        max_age: TimeDelta::days(36_500),
    });
    reload(&running, lenient);
    let shown = running
        .until(|snapshot| !Arc::ptr_eq(&snapshot.policy, &exempt.policy))
        .await;
    assert_eq!(
        verdicts(&shown),
        [Verdict::Alarm, Verdict::Alarm, Verdict::Ok]
    );
    assert!(shown.is_ready());

    // Users who were of no interest may be now.
    reload(&running, policy(30));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cloud.total(), reads + 3, "everybody is read again at once");
    running.stop().await;
}

/// A configuration for one account with a lax rule for machines, after others by tag and max age.
fn by_tags(rules: &[(&str, i64)], labels: &[&str]) -> Config {
    let rule = |(key, days): &(&str, i64)| Override {
        matcher: Matcher {
            tags: vec![TagMatcher {
                key: (*key).into(),
                values: vec!["*".parse().unwrap()],
            }],
            ..Matcher::default()
        },
        max_age: TimeDelta::days(*days),
    };
    let rules = rules.iter().chain(&[("kind", 36_500)]).map(rule);
    Config {
        policy: Arc::new(Policy {
            overrides: rules.collect(),
            ..policy(90)
        }),
        tags: labels
            .iter()
            .map(|tag| TagLabel::of((*tag).into()))
            .collect(),
        accounts: listed(0..1),
    }
}

/// How many users' tags that rules go by aren't known.
fn unread_tags(snapshot: &Snapshot) -> usize {
    let inventory = snapshot.accounts[0].inventory.as_ref().unwrap();
    inventory.users_with_unread_tags(&snapshot.policy.tag_keys())
}

#[tokio::test(start_paused = true)]
async fn a_rule_by_a_tag_that_was_not_asked_for_makes_nobody_compliant() {
    let cloud = Cloud::default();
    let mut running = Running::configured(cloud.configured(by_tags(&[], &[])));
    let before = running.ready().await;
    assert_eq!(verdicts(&before), [Verdict::Ok]);

    cloud.state().denied.insert(id(0));
    let next = by_tags(&[("team", 30)], &[]);
    running.configure.send_replace(Arc::new(next));
    let after = running
        .until(|snapshot| !Arc::ptr_eq(&snapshot.policy, &before.policy))
        .await;
    assert_eq!(verdicts(&after), [Verdict::Alarm]);
    assert_eq!(unread_tags(&after), 1);
    sleep(INTERVAL * 2).await;
    assert_eq!(verdicts(&running.now()), [Verdict::Alarm]);

    cloud.state().denied.clear();
    let read = running.until(|snapshot| snapshot.accounts[0].is_up()).await;
    assert_eq!(verdicts(&read), [Verdict::Ok], "there is no such tag");
    assert_eq!(unread_tags(&read), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn known_tags_hold_over_another_label_and_a_restart_while_none_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    let mut first = keep(cloud.configured(by_tags(&[], &[])), &path);
    let before = first.ready().await;
    assert_eq!(verdicts(&before), [Verdict::Ok]);

    cloud.state().tags_denied = true;
    let reads = cloud.total();
    first
        .configure
        .send_replace(Arc::new(by_tags(&[], &["owner"])));
    sleep(INTERVAL * 2).await;
    assert!(cloud.total() > reads);
    assert_eq!(verdicts(&first.now()), [Verdict::Ok]);
    first.stop().await;

    let reads = cloud.total();
    let second = keep(cloud.configured(by_tags(&[], &["owner"])), &path);
    assert_eq!(verdicts(&second.now()), [Verdict::Ok]);
    sleep(INTERVAL * 2).await;
    assert!(cloud.total() > reads);
    assert_eq!(verdicts(&second.now()), [Verdict::Ok]);
    assert_eq!(unread_tags(&second.now()), 0);
    second.stop().await;

    let third = keep(cloud.configured(by_tags(&[("team", 30)], &[])), &path);
    assert_eq!(verdicts(&third.now()), [Verdict::Alarm]);
    assert_eq!(unread_tags(&third.now()), 1);
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_accounts_are_read_at_once_and_those_that_stay_keep_their_turn() {
    let cloud = Cloud::default();
    let mut running = Running::start(&cloud, listed(0..3));
    running.ready().await;
    cloud.state().hang.insert(id(9));
    let config = Config {
        accounts: listed([1, 2, 5, 9]),
        ..Config::default()
    };
    running.configure.send_replace(Arc::new(config));
    let new = running
        .until(|snapshot| ids(snapshot).contains(&id(5)))
        .await;
    assert_eq!(ids(&new), [1, 2, 5].map(id));
    assert!(
        new.is_ready(),
        "a new account that hangs makes nothing unready"
    );
    let counted = running.counts.all().into_iter();
    let counted: Vec<_> = counted
        .map(|(account, _)| account.unwrap().to_string())
        .collect();
    assert_eq!(
        counted,
        [1, 2, 5].map(id),
        "the counts of who is gone are gone"
    );
    let reads = cloud.reads();
    for number in [0, 1, 2, 5] {
        assert_eq!(reads[&id(number)].len(), 1, "{number}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_look_for_accounts_that_hangs_is_called_off_by_a_reload() {
    let cloud = Cloud::default();
    cloud.state().hub_hangs = true;
    let mut running = Running::start(&cloud, Accounts::Organization(organization()));
    sleep(Duration::from_secs(1)).await;
    let config = Config {
        accounts: listed(0..2),
        ..Config::default()
    };
    running.configure.send_replace(Arc::new(config));
    let start = Instant::now();
    let snapshot = running.ready().await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(ids(&snapshot), [0, 1].map(id));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_to_an_organization_that_cannot_be_listed_keeps_every_account() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    let mut running = keeping(&cloud, listed(0..3), &path);
    running.ready().await;
    cloud.state().denied.insert(id(1));
    running.reload(Config {
        accounts: Accounts::Organization(organization()),
        ..Config::default()
    });
    let failed = running
        .until(|snapshot| {
            snapshot.unidentified.is_some() && snapshot.accounts.iter().any(|state| !state.is_up())
        })
        .await;
    assert_eq!(failed.unidentified, Some(Reason::AccessDenied));
    sleep(INTERVAL * 3).await;
    let kept = running.now();
    assert_eq!(ids(&kept), [0, 1, 2].map(id));
    assert_eq!(verdicts(&kept), [Verdict::Alarm; 3]);
    let up: Vec<_> = kept.accounts.iter().map(AccountState::is_up).collect();
    assert_eq!(up, [true, false, true]);
    assert!(
        cloud.reads()[&id(0)].len() >= 3,
        "those known are read on as they were"
    );

    // It can be listed now, and one is no member.
    cloud.state().members = Some([1, 2, 4].map(id).into());
    cloud.state().denied.clear();
    let cleaned = running
        .until(|snapshot| {
            ids(snapshot) == [1, 2, 4].map(id) && snapshot.accounts.iter().all(AccountState::is_up)
        })
        .await;
    assert_eq!(cleaned.unidentified, None);
    running.stop().await;
    assert_eq!(saved(&path).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_saved_is_not_replaced_by_nothing_when_a_reload_finds_no_organization() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    let mut running = keeping(&cloud, listed(0..3), &path);
    running.ready().await;
    running.reload(Config {
        accounts: Accounts::Organization(organization()),
        ..Config::default()
    });
    running
        .until(|snapshot| snapshot.unidentified.is_some())
        .await;
    running.stop().await;
    assert_eq!(saved(&path), [0, 1, 2].map(id));
}

/// Every account of the organisation, but for the filters.
fn of_organization(change: impl FnOnce(&mut Organization)) -> Accounts {
    let mut organization = organization();
    change(&mut organization);
    Accounts::Organization(organization)
}

#[tokio::test(start_paused = true)]
async fn an_organization_whose_filters_leave_nobody_is_ready_and_says_so() {
    let cloud = Cloud::default();
    cloud.state().members = Some([0, 1].map(id).into());
    let logs = Logs::capture();
    let stranger = AccountFilter::Id(id(7).parse().unwrap());
    let accounts = of_organization(|organization| organization.include = vec![stranger]);
    let mut running = Running::start(&cloud, accounts);
    assert_eq!(running.now().scope.accounts, None);
    let nobody = running.ready().await;
    assert!(nobody.accounts.is_empty());
    assert!(nobody.scope.is_empty(), "{:?}", nobody.scope);
    let found = nobody.scope.last_discovery.expect("it looked");
    sleep(DISCOVERY_INTERVAL * 3).await;
    assert!(running.now().scope.last_discovery.expect("it looked again") > found);
    let warnings = logs.of("WARN");
    let [stranger, none] = &warnings[..] else {
        panic!("each is said once: {warnings:#?}");
    };
    assert!(stranger.contains(&id(7)), "{stranger}");
    assert!(none.contains("no account to read"), "{none}");

    // With others it is filled, and emptied again.
    let start = logs.of("INFO").len();
    running.reload(Config {
        accounts: of_organization(|_| ()),
        ..Config::default()
    });
    let two = running.until(|snapshot| snapshot.accounts.len() == 2).await;
    assert_eq!(two.scope.accounts, Some(2));
    cloud.state().members = Some(Vec::new());
    let nobody = running.until(|snapshot| snapshot.scope.is_empty()).await;
    assert!(nobody.accounts.is_empty());
    let told = logs.of("INFO")[start..].to_vec();
    let told: Vec<_> = told
        .iter()
        .filter_map(|line| line.strip_prefix("accounts discovered "))
        .collect();
    assert_eq!(told, ["accounts=2 new=2 gone=0", "accounts=0 new=0 gone=2"]);
    assert_eq!(logs.of("WARN").len(), 3);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_is_no_discovery() {
    let cloud = Cloud::default();
    let mut running = Running::start(&cloud, listed(0..3));
    let ready = running.ready().await;
    assert_eq!(ready.scope.accounts, Some(3));
    assert_eq!(ready.scope.last_discovery, None);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_that_finds_no_organization_what_was_known_is_read_on_or_down() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    cloud.state().members = Some([0, 1, 2].map(id).into());
    let mut first = keeping(&cloud, of_organization(|_| ()), &path);
    first.ready().await;
    first.stop().await;
    let reads = cloud.total();

    cloud.state().members = None;
    let excluded = AccountFilter::Id(id(2).parse().unwrap());
    let without = of_organization(|organization| organization.exclude = vec![excluded]);
    let mut second = keeping(&cloud, without, &path);
    let failed = second
        .until(|snapshot| snapshot.unidentified.is_some())
        .await;
    let up: Vec<_> = failed.accounts.iter().map(AccountState::is_up).collect();
    assert_eq!(up, [true, true, false], "nobody reads the last one");
    assert_eq!(failed.accounts[2].failures, [Reason::AccessDenied]);
    assert!(failed.accounts[2].inventory.is_some());
    assert_eq!(failed.scope.accounts, Some(2));
    sleep(INTERVAL * 3).await;
    let read = cloud.reads();
    assert!(
        read[&id(0)].len() >= 3 && read[&id(1)].len() >= 3,
        "{read:?}"
    );
    assert!(cloud.total() > reads);
    cloud.state().denied.insert(id(1));
    second
        .until(|snapshot| snapshot.accounts[1].failures == [Reason::AccessDenied])
        .await;

    cloud.state().denied.clear();
    cloud.state().members = Some([0, 1, 2].map(id).into());
    let found = second
        .until(|snapshot| {
            ids(snapshot) == [0, 1].map(id) && snapshot.accounts.iter().all(AccountState::is_up)
        })
        .await;
    assert_eq!(found.unidentified, None);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_save_that_failed_is_tried_again_though_nothing_new_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let path = place.join("snapshot");
    let cloud = Cloud::default();
    let saves = Arc::new(StorageCounts::default());
    let refreshing = cloud.refreshing(listed(0..1));
    let mut running = counting(refreshing, &path, Arc::clone(&saves));
    let away = directory.path().join("away");
    std::fs::rename(&place, &away).unwrap();
    running.ready().await;
    sleep(Duration::from_secs(1)).await;
    let failed = saves.now();
    assert_eq!((failed.writes, failed.failures), (1, 1), "{failed:?}");
    std::fs::rename(&away, &place).unwrap();
    sleep(Duration::from_mins(1)).await;
    let tried = saves.now();
    assert_eq!((tried.writes, tried.failures), (2, 1), "{tried:?}");
    assert_eq!(cloud.total(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_with_another_aim_everybody_is_read_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    let mut running = keeping(&cloud, listed(0..4), &path);
    running.ready().await;
    running.stop().await;
    let restarted = async |config: Config| {
        let before = cloud.total();
        let counts = Arc::new(StorageCounts::default());
        let running = counting(cloud.configured(config), &path, counts);
        assert!(running.now().is_ready());
        sleep(Duration::from_secs(1)).await;
        running.stop().await;
        cloud.total() - before
    };
    let config = || Config {
        accounts: listed(0..4),
        ..Config::default()
    };
    let younger = Config {
        policy: Arc::new(policy(30)),
        ..config()
    };
    assert_eq!(
        restarted(younger.clone()).await,
        4,
        "others are of interest"
    );
    // Then each waits for its turn, which is hardly within this second.
    assert!(restarted(younger).await < 4);
    let mut one = policy(30);
    one.overrides.push(Override {
        matcher: Matcher::default(),
        max_age: TimeDelta::days(7),
    });
    let one = Config {
        policy: Arc::new(one),
        ..config()
    };
    assert_eq!(restarted(one.clone()).await, 4, "so they are by a rule");
    let tagged = Config {
        tags: [TagLabel::of("owner".into())].into(),
        ..one
    };
    assert_eq!(
        restarted(tagged.clone()).await,
        4,
        "their tags were not asked for"
    );
    assert!(restarted(tagged).await < 4);

    // A restart before all were read must not make them pass for read.
    cloud.state().hang = (0..4).map(id).collect();
    restarted(config()).await;
    cloud.state().hang.clear();
    assert_eq!(restarted(config()).await, 4);
}

/// The accounts in the file.
fn saved(path: &std::path::Path) -> Vec<String> {
    let counts = Arc::new(StorageCounts::default());
    let (_, saved) = Storage::open(path, Clock::System.now(), counts).unwrap();
    let accounts = saved.unwrap().accounts.into_iter();
    accounts
        .map(|account| account.state.id.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn many_accounts_that_fail_at_once_make_few_lines() {
    let cloud = Cloud::default();
    cloud.state().denied.extend((0..40).map(id));
    let logs = Logs::capture();
    let mut running = Running::start(&cloud, listed(0..50));
    running.ready().await;
    sleep(Duration::from_mins(1)).await;
    let warnings = logs.of("WARN");
    assert_eq!(warnings.len(), 11, "{warnings:#?}");
    let sum = warnings.last().unwrap();
    assert!(
        sum.contains("accounts=30") && sum.contains("access_denied=30"),
        "{sum}"
    );
    let debug = logs.of("DEBUG");
    let named = |number| debug.iter().any(|line| line.contains(&id(number)));
    assert!((0..40).filter(|number| named(*number)).count() >= 30);

    // That they recover is told in sum as well.
    cloud.state().denied.clear();
    running
        .until(|snapshot| snapshot.accounts.iter().all(AccountState::is_up))
        .await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(logs.of("WARN").len(), 11);
    let read: usize = logs
        .of("INFO")
        .iter()
        .map(
            |line| match line.split_once("more accounts were read completely accounts=") {
                Some((_, number)) => number.trim().parse().unwrap(),
                None => usize::from(line.contains("account read completely")),
            },
        )
        .sum();
    assert_eq!(read, 50, "{:#?}", logs.of("INFO"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_said_of_every_account_names_a_few_and_counts_the_rest() {
    let cloud = Cloud::default();
    cloud.state().tags_denied = true;
    let logs = Logs::capture();
    let mut running = Running::configured(cloud.configured(Config {
        accounts: listed(0..40),
        tags: [TagLabel::of("owner".into())].into(),
        ..Config::default()
    }));
    running.ready().await;
    sleep(Duration::from_mins(1)).await;
    let warnings = logs.of("WARN");
    assert_eq!(warnings.len(), 11, "{warnings:#?}");
    let (sum, full) = warnings.split_last().unwrap();
    let named: BTreeSet<_> = (0..40)
        .filter(|number| full.iter().any(|line| line.contains(&id(*number))))
        .collect();
    assert_eq!(named.len(), full.len(), "each names its account: {full:#?}");
    assert!(full.iter().all(|line| line.contains("iam:ListUserTags")));
    assert!(
        sum.contains("remarks=30") && sum.contains("tags_unread=30"),
        "{sum}"
    );
    let debug = logs.of("DEBUG");
    let whispered = |number| {
        let is_of = |line: &&String| line.contains("TagsUnread") && line.contains(&id(number));
        debug.iter().any(|line| is_of(&line))
    };
    assert_eq!((0..40).filter(|number| whispered(*number)).count(), 30);

    // It is said once, and that it is over likewise.
    cloud.state().tags_denied = false;
    sleep(INTERVAL * 3).await;
    assert_eq!(logs.of("WARN").len(), 11);
    let over = logs.of("INFO");
    let is_over = |line: &&String| line.contains("the tags of users can be read again");
    assert_eq!(over.iter().filter(is_over).count(), 40, "{over:#?}");
    running.stop().await;
}

/// Runs a refresher over `accounts` that keeps what it knows in `path`.
fn keeping(cloud: &Cloud, accounts: Accounts, path: &std::path::Path) -> Running {
    keep(cloud.refreshing(accounts), path)
}

/// Runs a refresher that keeps what it knows in `path`.
fn keep(refreshing: Refreshing, path: &std::path::Path) -> Running {
    let counts = Arc::new(StorageCounts::default());
    counting(refreshing, path, counts)
}

/// The same, with the saves counted.
fn counting(refreshing: Refreshing, path: &std::path::Path, counts: Arc<StorageCounts>) -> Running {
    let (storage, saved) = Storage::open(path, Clock::System.now(), counts).unwrap();
    let refresher = refreshing.refresher.with_storage(storage, saved);
    let (stop, stopped) = oneshot::channel();
    let run = refresher.run(async {
        let _ = stopped.await;
    });
    Running {
        snapshot: refreshing.snapshot,
        configure: refreshing.configure,
        counts: refreshing.counts,
        stop,
        ended: tokio::spawn(run),
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_was_known_is_there_at_once_and_turns_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    cloud.state().denied.insert(id(3));
    let mut first = keeping(&cloud, listed(0..10), &path);
    let before = first.ready().await;
    first.stop().await;
    let reads = cloud.reads();

    cloud.state().denied.clear();
    let start = Instant::now();
    let mut second = keeping(&cloud, listed((1..10).chain([12])), &path);
    let restored = second.now();
    assert!(restored.is_ready());
    assert_eq!(ids(&restored), ids(&before));
    assert_eq!(restored.accounts[3].failures, [Reason::AccessDenied]);
    let times = |snapshot: &Snapshot| -> Vec<_> {
        let seconds = |time: chrono::DateTime<chrono::Utc>| time.timestamp();
        let accounts = snapshot.accounts.iter();
        accounts
            .map(|account| account.last_success.map(seconds))
            .collect()
    };
    assert_eq!(times(&restored), times(&before));
    assert_eq!(verdicts(&restored), [Verdict::Alarm; 9]);

    // The one that is no member any more goes, the new and the failed one are read at once.
    let next = second
        .until(|snapshot| ids(snapshot).contains(&id(12)) && snapshot.accounts[2].is_up())
        .await;
    assert!(start.elapsed() < Duration::from_secs(1));
    let expected: Vec<_> = (1..10).chain([12]).map(id).collect();
    assert_eq!(ids(&next), expected);
    let read_again: BTreeSet<_> = cloud
        .reads()
        .into_iter()
        .filter(|(account, times)| reads.get(account).is_none_or(|old| old.len() < times.len()))
        .map(|(account, _)| account)
        .collect();
    assert_eq!(read_again, [3, 12].map(id).into());
    sleep(INTERVAL / 2 * 3 + TICK).await;
    for (account, times) in cloud.reads() {
        assert!(account == id(0) || times.len() >= 2, "{account}: {times:?}");
    }
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_reads_under_way_but_saves_what_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let cloud = Cloud::default();
    cloud.state().hang.insert(id(1));
    let mut running = keeping(&cloud, listed(0..2), &path);
    running.until(|snapshot| snapshot.accounts.len() == 1).await;
    let start = Instant::now();
    running.stop().await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    let counts = Arc::new(StorageCounts::default());
    let (_, saved) = Storage::open(&path, Clock::System.now(), counts).unwrap();
    assert_eq!(saved.unwrap().accounts.len(), 1);
}
