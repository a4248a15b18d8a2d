//! Keys by the thousand, the same at each start.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use iam_key_exporter::{
    inventory::{Account, Inventory, Listing, RootKeys, User},
    key::{AccessKey, KeyName, KeyStatus, LastUse, UsedAt},
    policy::Policy,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
};

const KEYS_PER_USER: usize = 2;
const GIVEN: [&str; 12] = [
    "amelia", "björn", "chen", "diego", "elif", "fatima", "george", "hana", "ivan", "joão", "kofi",
    "li",
];
const FAMILY: [&str; 10] = [
    "andersson",
    "brown",
    "costa",
    "dubois",
    "evans",
    "fischer",
    "garcia",
    "haddad",
    "ito",
    "jones",
];
const DUTIES: [&str; 8] = [
    "backup",
    "billing-export",
    "ci-deploy",
    "data-pipeline",
    "log-shipper",
    "mailer",
    "monitoring",
    "terraform",
];
const SERVICES: [&str; 8] = [
    "s3",
    "ses",
    "ec2",
    "dynamodb",
    "sts",
    "sqs",
    "iam",
    "cloudwatch",
];
const REGIONS: [&str; 6] = [
    "us-east-1",
    "eu-central-1",
    "eu-west-1",
    "us-west-2",
    "ap-southeast-2",
    "N/A",
];

/// The instant of every scrape: 2026-06-01 12:00:00.25 UTC.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_315_200, 250_000_000).expect("the instant is representable")
}

/// One account with so many keys, read a minute ago.
pub(crate) fn snapshot(keys: usize) -> Snapshot {
    let id = "123456789012".parse().expect("an account id is 12 digits");
    let mut rng = Rng::with_seed(10_114);
    let users: Vec<User> = (0..keys / KEYS_PER_USER)
        .map(|n| user(n, &mut rng))
        .collect();
    let read = now() - TimeDelta::minutes(1);
    let inventory = Inventory {
        account: Account {
            id,
            partition: "aws".into(),
            name: Some("Production".into()),
            alias: Some("example-production".into()),
        },
        user_count: Some(users.len()),
        users,
        root: RootKeys {
            active: Some(0),
            present: Some(false),
        },
        data_time: read,
        listing: Listing::Complete,
        troubles: Vec::new(),
    };
    let mut snapshot = Snapshot::before_first_refresh(
        Arc::new(Policy::default()),
        KeyIdDisplay::Full,
        Duration::from_mins(5),
    );
    snapshot.tried = true;
    snapshot.accounts.push(AccountState {
        id,
        inventory: Some(Arc::new(inventory)),
        reached: true,
        failures: Vec::new(),
        last_success: Some(read),
        duration: Duration::from_millis(2_345),
    });
    snapshot
}

/// People, who are called by their address, and services.
fn user(n: usize, rng: &mut Rng) -> User {
    let name = if rng.u8(..100) < 60 {
        format!(
            "{}.{}{n}@example.com",
            pick(&GIVEN, rng),
            pick(&FAMILY, rng)
        )
    } else {
        format!("svc-{}-{n}", pick(&DUTIES, rng))
    };
    let keys = (0..KEYS_PER_USER).map(|_| key(rng)).collect();
    User::read(name, keys)
}

fn key(rng: &mut Rng) -> AccessKey {
    let age = TimeDelta::seconds(rng.i64(3_600..400 * 86_400));
    let created = now() - TimeDelta::milliseconds(250) - age;
    let status = if rng.u8(..100) < 85 {
        KeyStatus::Active
    } else {
        KeyStatus::Inactive
    };
    let last_use = match rng.u8(..100) {
        0..80 => LastUse::At(UsedAt::new(
            // AWS gives whole minutes.
            now()
                - TimeDelta::milliseconds(250)
                - TimeDelta::minutes(rng.i64(0..=age.num_minutes())),
            pick(&SERVICES, rng),
            pick(&REGIONS, rng),
        )),
        80..95 => LastUse::Never,
        _ => LastUse::Unknown,
    };
    AccessKey {
        name: KeyName::Id(key_id(rng).into()),
        status,
        created,
        last_use,
    }
}

/// `AKIA` and 16 characters of base 32, as AWS makes them.
fn key_id(rng: &mut Rng) -> String {
    const BASE_32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random = (0..16).map(|_| char::from(BASE_32[rng.usize(..32)]));
    "AKIA".chars().chain(random).collect()
}

fn pick<'a>(words: &[&'a str], rng: &mut Rng) -> &'a str {
    words[rng.usize(..words.len())]
}
