//! Reports to write: the demo's, and made-up ones.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    check::{
        control::Control,
        format::{Format, Layout},
        report::Report,
        rows::Sort,
    },
    inventory::{Account, Inventory, Listing, RootKeys, User},
    key::{AccessKey, KeyName, LastUse},
    policy::Policy,
    reason::Reason,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
    source::demo::Demo,
};

pub(crate) const LAYOUT: Layout = Layout {
    width: 100,
    colour: false,
    header: true,
    separator: b',',
};

pub(crate) fn now() -> DateTime<Utc> {
    "2024-06-30T15:04:05Z".parse().unwrap()
}

/// The demo's results, in the order of `check`.
pub(crate) fn demo(details: bool) -> Report {
    let demo = Demo::new(now());
    let policy = Policy {
        exemptions: demo.exemptions(),
        ..Policy::default()
    };
    let accounts = demo
        .collect(now())
        .into_iter()
        .map(|outcome| {
            let mut inventory = outcome.result.unwrap();
            policy.apply_to_all(&mut inventory);
            state(inventory)
        })
        .collect();
    let mut report = report(accounts, None, details);
    Sort::Account.sort(&mut report.rows);
    report
}

/// The results of accounts of one's own.
pub(crate) fn report_of(accounts: Vec<AccountState>, unidentified: Option<Reason>) -> Report {
    report(accounts, unidentified, false)
}

fn report(accounts: Vec<AccountState>, unidentified: Option<Reason>, details: bool) -> Report {
    let policy = Arc::new(Policy::default());
    let interval = Duration::from_mins(5);
    let snapshot = Snapshot {
        accounts,
        unidentified,
        tried: true,
        ..Snapshot::before_first_refresh(policy, KeyIdDisplay::Full, interval)
    };
    let (_, control) = Control::ALL[4];
    assert_eq!(control.id, "cis_v200_1_14");
    Report::new(&snapshot, control, details, now())
}

pub(crate) fn account(id: &str, users: Vec<User>, listing: Listing) -> AccountState {
    state(Inventory {
        account: Account {
            id: id.parse().unwrap(),
            partition: "aws".into(),
            name: None,
            alias: None,
        },
        user_count: Some(users.len()),
        users,
        root: RootKeys::default(),
        data_time: now(),
        listing,
        troubles: Vec::new(),
    })
}

fn state(inventory: Inventory) -> AccountState {
    AccountState {
        id: inventory.account.id,
        failures: inventory.reasons(),
        inventory: Some(Arc::new(inventory)),
        reached: true,
        last_success: None,
        duration: Duration::ZERO,
    }
}

pub(crate) fn key(id: &str, status: &str, days: i64) -> AccessKey {
    AccessKey {
        name: KeyName::Id(id.into()),
        status: status.into(),
        created: now() - TimeDelta::days(days),
        last_use: LastUse::Unknown,
    }
}

pub(crate) fn written(report: &Report, format: Format, layout: Layout) -> String {
    let mut out = Vec::new();
    format.write(report, layout, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text without the sequences that set colours. Any other escape character stays.
pub(crate) fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence
            .find(|character: char| !character.is_ascii_digit() && character != ';')
            .unwrap();
        assert_eq!(&sequence[end..=end], "m", "only colours are set");
        rest = &sequence[end + 1..];
    }
    plain + rest
}
