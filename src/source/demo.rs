//! A made-up organisation, so that everything can be tried without an AWS account.
//!
//! Keys are created relative to the start and grow older from there; keys in use stay in use. The
//! accounts are those of AWS's own examples, and no key id is one that IAM could give.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::{
    inventory::{Account, Exemption, Inventory, Listing, RootKeys, Tag, Tags, User},
    key::{AccessKey, AccountId, KeyName, LastUse, SECONDS_PER_DAY, UsedAt},
    policy::{ExemptionRule, Matcher},
    reason::Reason,
    snapshot::TagLabel,
    source::Outcome,
};

/// The demo organisation as it stands since `epoch`.
#[derive(Debug, Clone, Copy)]
pub struct Demo {
    epoch: DateTime<Utc>,
}

impl Demo {
    /// The organisation in which all ages of the table hold at `epoch`.
    pub fn new(epoch: DateTime<Utc>) -> Self {
        // CreateDate has whole seconds.
        Self {
            epoch: epoch.trunc_subsecs(0),
        }
    }

    /// Both accounts at `now`, as fresh as can be.
    pub fn collect(&self, now: DateTime<Utc>) -> Vec<Outcome> {
        ORGANISATION
            .iter()
            .enumerate()
            .map(|(number, account)| {
                let inventory = self.inventory(number, account, now);
                Outcome {
                    account: Some(inventory.account.id),
                    result: Ok(inventory),
                    duration: Duration::ZERO,
                    remarks: Vec::new(),
                }
            })
            .collect()
    }

    /// The exemptions that the organisation's own configuration would hold.
    pub fn exemptions(&self) -> Vec<ExemptionRule> {
        let exemption = |account: &DemoAccount, row: &Row| {
            let (reason, until) = row.exempt?;
            Some(ExemptionRule {
                matcher: Matcher {
                    account_ids: vec![account.id()],
                    user_names: vec![row.name.parse().expect("no name of the table is empty")],
                    ..Matcher::default()
                },
                exemption: Exemption {
                    reason: reason.into(),
                    until: until.map(|days| self.epoch + span(days)),
                }
                .into(),
            })
        };
        ORGANISATION
            .iter()
            .flat_map(|account| {
                let rows = account.users.iter();
                rows.filter_map(move |row| exemption(account, row))
            })
            .collect()
    }

    /// The labels that the organisation's own configuration would name.
    pub fn tags() -> Arc<[TagLabel]> {
        TAGS.map(|tag| TagLabel::of(tag.into())).into()
    }

    fn inventory(&self, number: usize, account: &DemoAccount, now: DateTime<Utc>) -> Inventory {
        let users: Vec<_> = account
            .users
            .iter()
            .enumerate()
            .map(|(place, row)| self.user(row, (number + 1) * 10_000 + (place + 1) * 100, now))
            .collect();
        Inventory {
            account: Account {
                id: account.id(),
                partition: "aws".into(),
                name: Some(account.name.into()),
                alias: Some(account.alias.into()),
            },
            user_count: Some(users.len()),
            users,
            root: RootKeys {
                active: Some(account.root_keys),
                present: Some(account.root_keys > 0),
            },
            data_time: now,
            listing: Listing::Complete,
            troubles: Vec::new(),
        }
    }

    fn user(&self, row: &Row, number: usize, now: DateTime<Utc>) -> User {
        let keys = row
            .keys
            .iter()
            .zip(number + 1..)
            .map(|(key, number)| self.key(key, number, now))
            .collect();
        let user = match row.unread {
            None => User::read(row.name, keys),
            Some(reason) => User::unread(row.name, keys, reason),
        };
        let tags = TAGS
            .into_iter()
            .zip([row.owner, row.team])
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| Tag {
                key: key.into(),
                value: value.into(),
            })
            .collect();
        User {
            tags: Tags::all(now, tags),
            ..user
        }
    }

    fn key(&self, key: &Key, number: usize, now: DateTime<Utc>) -> AccessKey {
        let created = self.epoch - span(key.age);
        AccessKey {
            name: KeyName::Id(format!("AKIAEXAMPLEDEMO{number:05}").into()),
            status: key.status.into(),
            created,
            last_use: match key.last_use {
                InUse(service, region) => used(now - TimeDelta::hours(1), created, service, region),
                Idle(days, service, region) => {
                    used(self.epoch - span(days), created, service, region)
                }
                Never => LastUse::Never,
                Unknown => LastUse::Unknown,
            },
        }
    }
}

/// A use at `time`, but not before the key was there.
fn used(time: DateTime<Utc>, created: DateTime<Utc>, service: &str, region: &str) -> LastUse {
    LastUse::At(UsedAt::new(time.max(created), service, region))
}

/// Days as the table writes them, to the second.
fn span(days: f64) -> TimeDelta {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the table's days are a few thousand at most"
    )]
    let seconds = (days * f64::from(SECONDS_PER_DAY)).round() as i64;
    TimeDelta::seconds(seconds)
}

/// The keys of the users' tags.
const TAGS: [&str; 2] = ["owner", "team"];

struct DemoAccount {
    id: &'static str,
    name: &'static str,
    alias: &'static str,
    root_keys: u32,
    users: &'static [Row],
}

impl DemoAccount {
    fn id(&self) -> AccountId {
        self.id
            .parse()
            .expect("the table's account ids have 12 digits")
    }
}

/// A user: the name, the tags (empty: not tagged) and the keys.
struct Row {
    name: &'static str,
    owner: &'static str,
    team: &'static str,
    keys: &'static [Key],
    /// Why, and for how many days from the start.
    exempt: Option<(&'static str, Option<f64>)>,
    unread: Option<Reason>,
}

/// A key: its age in days at the start, its status and its last use.
struct Key {
    age: f64,
    status: &'static str,
    last_use: Usage,
}

/// The last use of a key, with service and region.
enum Usage {
    /// An hour ago, whenever one asks.
    InUse(&'static str, &'static str),
    /// That many days before the start.
    Idle(f64, &'static str, &'static str),
    Never,
    Unknown,
}
use Usage::{Idle, InUse, Never, Unknown};

const fn user(
    name: &'static str,
    owner: &'static str,
    team: &'static str,
    keys: &'static [Key],
) -> Row {
    Row {
        name,
        owner,
        team,
        keys,
        exempt: None,
        unread: None,
    }
}

impl Row {
    const fn exempt(mut self, why: &'static str, days: Option<f64>) -> Self {
        self.exempt = Some((why, days));
        self
    }

    const fn unread(mut self, reason: Reason) -> Self {
        self.unread = Some(reason);
        self
    }
}

const fn active(age: f64, last_use: Usage) -> Key {
    Key {
        age,
        status: "Active",
        last_use,
    }
}

const fn inactive(age: f64, last_use: Usage) -> Key {
    Key {
        age,
        status: "Inactive",
        last_use,
    }
}

const fn expired(age: f64, last_use: Usage) -> Key {
    Key {
        age,
        status: "Expired",
        last_use,
    }
}

const ORGANISATION: [DemoAccount; 2] = [
    DemoAccount {
        id: "111122223333",
        name: "Example Production",
        alias: "example-production",
        root_keys: 1,
        users: PRODUCTION,
    },
    DemoAccount {
        id: "444455556666",
        name: "Example Sandbox",
        alias: "example-sandbox",
        root_keys: 0,
        users: SANDBOX,
    },
];

// One user a line, and the remark says what the line is there to show.
#[rustfmt::skip]
const PRODUCTION: &[Row] = &[
    // In order, and due in a while.
    user("ci-deploy",        "alice", "platform", &[active(12.0, InUse("sts", "eu-central-1"))]),
    user("billing-export",   "bob",   "finance",  &[active(40.0, InUse("ce", "us-east-1"))]),
    user("metrics-reader",   "carol", "platform", &[active(62.0, InUse("monitoring", "eu-central-1"))]),
    user("log-shipper",      "carol", "platform", &[active(71.0, InUse("logs", "eu-central-1"))]),
    // create: due within 14 days, within 7, and around the boundary in each of its readings.
    user("image-builder",    "dave",  "platform", &[active(77.5, InUse("ecr", "eu-west-1"))]),
    user("dns-updater",      "dave",  "network",  &[active(84.5, InUse("route53", "N/A"))]),
    user("mail-relay",       "erin",  "network",  &[active(89.5, InUse("ses", "eu-west-1"))]),
    user("queue-worker",     "erin",  "orders",   &[active(90.02, InUse("sqs", "eu-central-1"))]),
    user("report-runner",    "bob",   "finance",  &[active(90.5, InUse("athena", "eu-central-1"))]),
    user("cert-renewer",     "alice", "network",  &[active(90.98, InUse("acm", "us-east-1"))]),
    user("search-indexer",   "erin",  "orders",   &[active(91.5, InUse("es", "eu-central-1"))]),
    user("legacy-ftp",       "",      "orders",   &[active(412.0, InUse("s3", "eu-west-1"))]),
    user("stock-import",     "erin",  "orders",   &[active(110.0, Unknown)]),
    // update: the successor isn't in use yet, the old key still is, both are overdue, it isn't known.
    user("erp-connector",    "bob",   "finance",  &[active(120.0, InUse("s3", "eu-central-1")), active(10.0, Never)]),
    user("artifact-push",    "alice", "platform", &[active(104.0, Idle(2.0, "ecr", "eu-west-1")), active(20.0, InUse("ecr", "eu-west-1"))]),
    user("chat-bot",         "carol", "support",  &[active(150.0, InUse("lambda", "eu-west-1")), active(100.0, InUse("lambda", "eu-west-1"))]),
    user("snapshot-keeper",  "dave",  "platform", &[active(125.0, Unknown), active(9.0, InUse("ec2", "eu-central-1"))]),
    // deactivate: settled, dormant with a successor and without, never used; one with three keys.
    user("data-lake-sync",   "frank", "data",     &[active(131.0, Idle(12.0, "glue", "eu-central-1")), active(30.0, InUse("glue", "eu-central-1"))]),
    user("partner-feed",     "frank", "data",     &[active(200.0, Idle(60.0, "s3", "us-east-1")), active(25.0, InUse("s3", "us-east-1"))]),
    user("annual-audit",     "bob",   "finance",  &[active(380.0, Idle(300.0, "iam", "us-east-1"))]),
    user("old-crawler",      "",      "",         &[active(300.0, Never)]),
    user("build-farm",       "alice", "platform", &[inactive(240.0, Idle(100.0, "s3", "eu-west-1")), active(180.0, Idle(20.0, "s3", "eu-west-1")), active(60.0, InUse("s3", "eu-west-1"))]),
    // confirm: beside a young key, beside one that is due, and where the last use isn't known.
    user("iot-gateway",      "grace", "devices",  &[inactive(140.0, Idle(9.0, "iot", "eu-west-1")), active(15.0, InUse("iot", "eu-west-1"))]),
    user("vpn-provisioner",  "grace", "network",  &[inactive(130.0, Idle(5.0, "ec2", "eu-west-1")), active(99.0, InUse("ec2", "eu-west-1"))]),
    user("device-registry",  "grace", "devices",  &[inactive(310.0, Unknown)]),
    // delete: beside a key in use, and as the last trace of something.
    user("cdn-purge",        "carol", "support",  &[inactive(210.0, Idle(70.0, "cloudfront", "N/A")), active(22.0, InUse("cloudfront", "N/A"))]),
    user("retired-app",      "",      "orders",   &[inactive(500.0, Idle(400.0, "dynamodb", "eu-central-1"))]),
    // free: no room for a successor.
    user("payroll-sync",     "bob",   "finance",  &[inactive(250.0, Idle(80.0, "transfer", "eu-central-1")), active(95.0, InUse("transfer", "eu-central-1"))]),
    // Exempt for good, for a month more, and not any more.
    user("break-glass",      "alice", "security", &[active(700.0, Never)]).exempt("sealed emergency access, tested every quarter", None),
    user("vendor-scanner",   "heidi", "security", &[active(160.0, InUse("securityhub", "eu-central-1"))]).exempt("the vendor rotates with the next release", Some(30.0)),
    user("grid-import",      "frank", "data",     &[active(118.0, InUse("kinesis", "eu-central-1"))]).exempt("migration to a role", Some(-10.0)),
    // A user of the console only.
    user("heidi",            "heidi", "security", &[]),
];

#[rustfmt::skip]
const SANDBOX: &[Row] = &[
    user("alice",            "alice", "platform", &[]),
    user("bob",              "bob",   "finance",  &[active(3.0, Never)]),
    user("carol",            "carol", "platform", &[active(33.0, InUse("s3", "us-east-1"))]),
    user("dave",             "dave",  "platform", &[active(88.0, InUse("ec2", "us-east-1"))]),
    // Dormant, yet in order as far as its age goes.
    user("notebook-runner",  "frank", "data",     &[active(60.0, Idle(55.0, "sagemaker", "us-east-1"))]),
    user("load-test",        "erin",  "orders",   &[active(135.0, InUse("ec2", "us-west-2"))]),
    // Expired keys.
    user("contractor-lab",   "grace", "devices",  &[expired(100.0, Never)]),
    user("workshop-2",       "grace", "devices",  &[expired(20.0, Idle(10.0, "s3", "us-east-1"))]),
    // Could not be read: the key is the one last known.
    user("legacy-sync",      "",      "data",     &[active(47.0, InUse("s3", "us-east-1"))]).unread(Reason::AccessDenied),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        inventory::Reading,
        key::{KeyStatus, days},
        policy::{Boundary, Policy, Thresholds, Verdict},
        rotation::{Step, step},
    };

    /// A time of day at which neither midnight is near, as for nearly every start.
    fn epoch() -> DateTime<Utc> {
        "2024-06-30T15:04:05.678Z".parse().unwrap()
    }

    fn accounts(now: DateTime<Utc>) -> Vec<Inventory> {
        let demo = Demo::new(epoch());
        let policy = Policy {
            exemptions: demo.exemptions(),
            ..Policy::default()
        };
        let outcomes = demo.collect(now).into_iter();
        let mut accounts: Vec<_> = outcomes.map(|outcome| outcome.result.unwrap()).collect();
        for account in &mut accounts {
            policy.apply_to_all(account);
        }
        accounts
    }

    fn users() -> Vec<User> {
        accounts(epoch())
            .into_iter()
            .flat_map(|account| account.users)
            .collect()
    }

    #[test]
    fn two_accounts_hold_about_forty_users_and_no_name_or_id_twice() {
        let accounts = accounts(epoch());
        assert_eq!(accounts.len(), 2);
        let mut ids = HashSet::new();
        for account in &accounts {
            let names: HashSet<_> = account.users.iter().map(|user| &user.name).collect();
            assert_eq!(names.len(), account.users.len());
            assert_eq!(account.user_count, Some(account.users.len()));
            for key in account.users.iter().flat_map(|user| &user.keys) {
                assert_eq!(key.name.as_str().len(), 20);
                assert!(key.name.as_str().starts_with("AKIAEXAMPLEDEMO"));
                assert!(ids.insert(key.name.clone()), "{}", key.name);
            }
        }
        assert!((38..=45).contains(&users().len()));
    }

    #[test]
    fn every_verdict_is_shown() {
        let shown: HashSet<_> = users()
            .iter()
            .flat_map(|user| {
                user.keys
                    .iter()
                    .map(|key| Policy::default().verdict(user, key, epoch()))
            })
            .collect();
        for verdict in [Verdict::Ok, Verdict::Alarm, Verdict::Skip, Verdict::Error] {
            assert!(shown.contains(&verdict), "{verdict:?}");
        }
    }

    #[test]
    fn every_step_is_shown_and_each_way_into_it() {
        let policy = Policy::default();
        let thresholds = Thresholds::default();
        let users = users();
        let ways: HashSet<_> = users
            .iter()
            .map(|user| {
                let dormant = |key| thresholds.is_dormant(key, epoch());
                match step(user, &policy, epoch(), epoch()) {
                    Step::None if user.is_exempt(epoch()) => "none: exempt",
                    Step::None if user.keys.is_empty() => "none: no key",
                    Step::None => "none: young",
                    Step::Create { .. } => "create",
                    Step::Update { old, .. } if old.last_use == LastUse::Unknown => {
                        "update: unknown"
                    }
                    Step::Update { new, .. } if new.last_use == LastUse::Never => "update: not yet",
                    Step::Update { new, .. } if thresholds.is_overdue(new, epoch()) => {
                        "update: both"
                    }
                    Step::Update { .. } => "update: not settled",
                    Step::Deactivate { new: None, .. } => "deactivate: sole",
                    Step::Deactivate { old, .. } if dormant(old) => "deactivate: dormant",
                    Step::Deactivate { .. } => "deactivate: settled",
                    Step::Confirm { .. }
                        if user.keys.iter().any(|key| thresholds.is_due(key, epoch())) =>
                    {
                        "confirm: due"
                    }
                    Step::Confirm { retired } if retired.last_use == LastUse::Unknown => {
                        "confirm: unknown"
                    }
                    Step::Confirm { .. } => "confirm: young",
                    Step::Delete { .. } => "delete",
                    Step::Free { .. } => "free",
                }
            })
            .collect();
        assert_eq!(ways.len(), 16, "{ways:?}");
        for name in Step::NAMES {
            assert!(ways.iter().any(|way| way.starts_with(name)), "{name}");
        }
    }

    #[test]
    fn the_three_boundaries_disagree_at_nearly_every_time_of_day() {
        for hour in [1, 8, 12, 18, 23] {
            let epoch = epoch()
                .date_naive()
                .and_hms_opt(hour, 0, 0)
                .unwrap()
                .and_utc();
            let users: Vec<User> = Demo::new(epoch)
                .collect(epoch)
                .into_iter()
                .flat_map(|outcome| outcome.result.unwrap().users)
                .collect();
            let overdue = Boundary::ALL.map(|(_, boundary)| {
                let policy = Thresholds {
                    boundary,
                    ..Thresholds::default()
                };
                users
                    .iter()
                    .flat_map(|user| &user.keys)
                    .filter(|key| policy.is_overdue(key, epoch))
                    .count()
            });
            assert!(
                overdue[0] > overdue[1] && overdue[1] > overdue[2],
                "{overdue:?}"
            );
        }
    }

    #[test]
    fn every_status_last_use_and_window_is_shown() {
        let users = users();
        let keys: Vec<_> = users.iter().flat_map(|user| &user.keys).collect();
        for status in [KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Expired] {
            assert!(keys.iter().any(|key| key.status == status), "{status:?}");
        }
        assert!(keys.iter().any(|key| key.last_use == LastUse::Never));
        assert!(keys.iter().any(|key| key.last_use == LastUse::Unknown));
        assert!(
            keys.iter()
                .any(|key| key.idle(epoch()) <= TimeDelta::hours(1))
        );
        for (low, high) in [(60.0, 75.9), (76.0, 82.9), (83.0, 90.0), (365.0, f64::MAX)] {
            assert!(
                keys.iter()
                    .any(|key| key.is_active() && (low..high).contains(&days(key.age(epoch())))),
                "{low} to {high}"
            );
        }
        for count in 0..=3 {
            assert!(users.iter().any(|user| user.keys.len() == count), "{count}");
        }
        assert!(
            users
                .iter()
                .any(|user| user.keys.iter().filter(|key| key.is_active()).count() == 2)
        );
    }

    #[test]
    fn exemptions_tags_root_keys_and_an_unread_user_are_shown() {
        let users = users();
        let exemptions: Vec<_> = users
            .iter()
            .filter_map(|user| user.exemption.as_ref())
            .collect();
        assert!(exemptions.iter().any(|exemption| exemption.until.is_none()));
        assert!(
            exemptions
                .iter()
                .any(|exemption| exemption.until > Some(epoch()))
        );
        assert!(
            users
                .iter()
                .any(|user| user.exemption.is_some() && !user.is_exempt(epoch()))
        );
        for count in 0..=2 {
            assert!(
                users.iter().any(|user| user.tags.iter().count() == count),
                "{count}"
            );
        }
        let accounts = accounts(epoch());
        assert!(accounts[0].is_complete());
        assert_eq!(accounts[0].root.active, Some(1));
        assert_eq!(accounts[0].root.present, Some(true));
        assert_eq!(accounts[1].reasons(), [Reason::AccessDenied]);
        assert_eq!(accounts[1].root.present, Some(false));
        assert!(
            accounts
                .iter()
                .all(|account| account.account.name.is_some())
        );
    }

    #[test]
    fn each_start_is_the_same_and_time_goes_on_from_there() {
        assert_eq!(accounts(epoch()), accounts(epoch()));
        let later = epoch() + TimeDelta::days(2);
        for (old, new) in accounts(epoch()).iter().zip(accounts(later)) {
            assert_eq!(new.data_time, later);
            for (old, new) in old.users.iter().zip(&new.users) {
                for (old, new) in old.keys.iter().zip(&new.keys) {
                    assert_eq!((&old.name, old.created), (&new.name, new.created));
                    if old.idle(epoch()) <= TimeDelta::hours(1) && old.last_use != LastUse::Unknown
                    {
                        assert_eq!(new.idle(later), TimeDelta::hours(1));
                    }
                }
            }
        }
    }

    #[test]
    fn the_key_that_was_not_read_is_not_called_in_order() {
        let users = users();
        let unread = users
            .iter()
            .find(|user| matches!(user.reading, Reading::Unread(_)))
            .unwrap();
        let policy = Policy::default();
        assert_eq!(
            policy.verdict(unread, &unread.keys[0], epoch()),
            Verdict::Error
        );
        assert_eq!(policy.is_compliant(unread, epoch()), None);
    }
}
