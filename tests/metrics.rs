//! The metrics as Prometheus reads them.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod scrape;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    config::Reloads,
    counts::{Operation, RefreshCounts, RequestCounts, StorageCounts},
    inventory::{Account, Exemption, Inventory, Listing, Reading, RootKeys, Tag, Tags, User},
    key::{AccessKey, AccountId, KeyName, KeyStatus, LastUse, Slot, UsedAt},
    metrics::{
        exporter::{ExporterMetrics, REVISION, RUSTC, VERSION},
        exposition::{self, Encoding, Format},
        keys,
        process::ProcessMetrics,
    },
    policy::{Boundary, Policy, Thresholds},
    reason::Reason,
    shard::Shard,
    snapshot::{AccountState, KeyIdDisplay, Scope, Snapshot, TagLabel},
};
use prometheus_client::registry::Registry;
use proptest::prelude::*;

use scrape::{Sample, Scrape};

const PROD: &str = "111111111111";
const GOV: &str = "222222222222";
const NEVER_READ: &str = "333333333333";

/// 2026-01-01 00:00:00 UTC.
fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn ago(days: i64) -> DateTime<Utc> {
    clock() - TimeDelta::days(days)
}

fn used(days: i64) -> LastUse {
    LastUse::At(UsedAt::new(ago(days), "s3", "eu-central-1"))
}

fn key(id: &str, status: &str, age_days: i64, last_use: LastUse) -> AccessKey {
    AccessKey {
        name: KeyName::Id(id.into()),
        status: status.into(),
        created: ago(age_days),
        last_use,
    }
}

fn tagged(mut user: User, tags: &[(&str, &str)]) -> User {
    let tag = |(key, value): &(&str, &str)| Tag {
        key: (*key).into(),
        value: (*value).into(),
    };
    user.tags = Tags::all(ago(0), tags.iter().map(tag).collect());
    user
}

fn exempt(mut user: User, until: Option<DateTime<Utc>>) -> User {
    user.exemption = Some(
        Exemption {
            reason: "break-glass".into(),
            until,
        }
        .into(),
    );
    user
}

fn inventory(id: &str, users: Vec<User>) -> Inventory {
    Inventory {
        account: Account {
            id: id.parse().unwrap(),
            partition: "aws".into(),
            name: None,
            alias: None,
        },
        user_count: Some(users.len()),
        users,
        root: RootKeys::default(),
        data_time: clock() - TimeDelta::seconds(90),
        listing: Listing::Complete,
        troubles: Vec::new(),
    }
}

fn state(id: &str, inventory: Option<Inventory>, failures: &[Reason]) -> AccountState {
    AccountState {
        id: id.parse().unwrap(),
        reached: inventory.is_some(),
        inventory: inventory.map(Arc::new),
        failures: failures.to_vec(),
        last_success: None,
        duration: Duration::from_millis(1500),
    }
}

/// A label for every tag, but none of a name that another has.
fn labels_of(accounts: &[AccountState]) -> Arc<[TagLabel]> {
    let users = accounts
        .iter()
        .filter_map(|account| account.inventory.as_deref())
        .flat_map(|inventory| &inventory.users);
    let labels = users
        .flat_map(|user| user.tags.iter())
        .map(|tag| TagLabel::of(Arc::clone(&tag.key)));
    let by_name: BTreeMap<_, _> = labels
        .map(|label| (Arc::clone(&label.label), label))
        .collect();
    by_name.into_values().collect()
}

fn snapshot(accounts: Vec<AccountState>, key_ids: KeyIdDisplay) -> Snapshot {
    Snapshot {
        tags: labels_of(&accounts),
        accounts,
        tried: true,
        ..Snapshot::before_first_refresh(
            Arc::new(Policy::default()),
            key_ids,
            Duration::from_mins(5),
        )
    }
}

/// One account with these users, read completely.
fn snapshot_of(users: Vec<User>) -> Snapshot {
    let account = state(PROD, Some(inventory(PROD, users)), &[]);
    snapshot(vec![account], KeyIdDisplay::Full)
}

/// Users in every step, and every way to be exempt, tagged and without keys.
fn users_in_order() -> Vec<User> {
    let user = User::read;
    vec![
        user("none", vec![key("AKIANONE", "Active", 10, used(0))]),
        tagged(
            user("create", vec![key("AKIACREATE", "Active", 100, used(1))]),
            &[("owner", "team-a"), ("cost-center", "4711")],
        ),
        user(
            "update",
            vec![
                key("AKIAUPDATEOLD", "Active", 100, used(1)),
                key("AKIAUPDATENEW", "Active", 1, used(0)),
            ],
        ),
        user(
            "deactivate",
            vec![
                key("AKIADEACTIVATEOLD", "Active", 100, used(10)),
                key("AKIADEACTIVATENEW", "Active", 20, used(1)),
            ],
        ),
        user(
            "confirm",
            vec![
                key("AKIACONFIRMOLD", "Inactive", 100, used(10)),
                key("AKIACONFIRMNEW", "Active", 20, used(1)),
            ],
        ),
        user("delete", vec![key("AKIADELETE", "Inactive", 200, used(60))]),
        user(
            "free",
            vec![
                key("AKIAFREEOLD", "Inactive", 300, LastUse::Never),
                key("AKIAFREE", "Active", 95, used(0)),
            ],
        ),
        exempt(
            user(
                "exempt",
                vec![key("AKIAEXEMPT", "Active", 400, LastUse::Unknown)],
            ),
            None,
        ),
        exempt(
            user(
                "exempt-for-now",
                vec![key("AKIAEXEMPTFORNOW", "Active", 95, LastUse::Unknown)],
            ),
            Some(clock() + TimeDelta::days(30)),
        ),
        exempt(
            user(
                "exempt-no-more",
                vec![key("AKIAEXEMPTNOMORE", "Active", 80, LastUse::Unknown)],
            ),
            Some(clock()),
        ),
        tagged(user("no-keys", vec![]), &[("owner", "team-b")]),
        user("expired", vec![key("ASIAEXPIRED", "Expired", 30, used(20))]),
        user(
            "quote\" back\\slash new\nline ünï",
            vec![key("AKIAHOSTILE", "Active", 5, LastUse::Never)],
        ),
    ]
}

/// Users who could not be read or judged, and keys that only a slot or four characters tell apart.
fn users_in_trouble() -> Vec<User> {
    let slot = |slot, age| AccessKey {
        name: KeyName::Slot(slot),
        ..key("", "Active", age, LastUse::Unknown)
    };
    vec![
        User::unread(
            "unread-overdue",
            vec![key("AKIAUNREADOVERDUE", "Active", 91, used(0))],
            Reason::AccessDenied,
        ),
        User::unread(
            "unread-young",
            vec![key("AKIAUNREADYOUNG", "Active", 3, used(0))],
            Reason::AccessDenied,
        ),
        User::unread("unread-unknown", vec![], Reason::Timeout),
        User::read(
            "new-status",
            vec![key("AKIANEWSTATUS", "Suspended", 3, used(0))],
        ),
        User::read("slots", vec![slot(Slot::One, 4), slot(Slot::Two, 5)]),
        User::read(
            "same-last-four",
            vec![
                key("AKIAONESAME", "Active", 8, used(0)),
                key("AKIATWOSAME", "Active", 7, used(0)),
            ],
        ),
    ]
}

/// Everything that a scrape can show.
fn example(key_ids: KeyIdDisplay) -> Snapshot {
    let mut prod = inventory(PROD, users_in_order());
    prod.account.name = Some("Production".into());
    prod.account.alias = Some("acme-prod".into());
    prod.root = RootKeys {
        active: Some(0),
        present: Some(false),
    };
    let mut gov = inventory(GOV, users_in_trouble());
    gov.account.partition = "aws-us-gov".into();
    gov.root.present = Some(true);
    gov.data_time = clock() - TimeDelta::hours(4);
    let mut accounts = vec![
        state(PROD, Some(prod), &[]),
        state(GOV, Some(gov), &[Reason::AccessDenied, Reason::Timeout]),
        state(NEVER_READ, None, &[Reason::Credentials]),
    ];
    accounts[0].last_success = Some(clock() - TimeDelta::milliseconds(60_250));
    accounts[1].last_success = Some(ago(1));
    Snapshot {
        unidentified: Some(Reason::ExpiredToken),
        scope: Scope {
            accounts: Some(accounts.len()),
            is_certain: true,
            last_discovery: Some(clock() - TimeDelta::hours(1)),
            shard: Shard::new(1, NonZeroU16::new(3).unwrap()).unwrap(),
        },
        ..snapshot(accounts, key_ids)
    }
}

fn exposed(registry: &Registry, format: Format) -> String {
    let exposition = exposition::render([registry], format, Encoding::Identity).unwrap();
    String::from_utf8(exposition.chunks().concat()).unwrap()
}

fn render_as(format: Format, snapshot: Snapshot, now: DateTime<Utc>) -> String {
    exposed(&keys::registry(Arc::new(snapshot), now), format)
}

fn render(snapshot: Snapshot, now: DateTime<Utc>) -> String {
    render_as(Format::OpenMetrics, snapshot, now)
}

fn scrape(snapshot: Snapshot) -> Scrape {
    Scrape::parse(&render(snapshot, clock()))
}

fn exporter_metrics() -> ExporterMetrics {
    let requests = RequestCounts::default();
    requests.count(Operation::ListUsers, None);
    requests.count(Operation::ListUsers, Some(Reason::Throttled));
    requests.count(Operation::GetCredentialReport, Some(Reason::AccessDenied));
    let refreshes = RefreshCounts::default();
    refreshes.count(PROD.parse().ok(), &[]);
    refreshes.count(PROD.parse().ok(), &[Reason::Timeout, Reason::AccessDenied]);
    refreshes.count(None, &[Reason::ExpiredToken]);
    let storage = StorageCounts::default();
    storage.count(Some(clock()));
    storage.count(None);
    ExporterMetrics {
        requests: Arc::new(requests),
        refreshes: Arc::new(refreshes),
        storage: Some(Arc::new(storage)),
        reloads: Reloads::started(clock()),
    }
}

fn exporter_registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(exporter_metrics()));
    registry
}

fn exporter_text(format: Format) -> String {
    exposed(&exporter_registry(), format)
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_scrape_shows_all_that_is_known() {
    assert_golden(
        "metrics",
        &render(example(KeyIdDisplay::default()), clock()),
    );
}

#[test]
fn the_text_format_shows_the_same_with_its_own_metadata() {
    let snapshot = example(KeyIdDisplay::default());
    assert_golden("metrics_text", &render_as(Format::Text, snapshot, clock()));
}

#[test]
fn a_scrape_before_the_first_refresh_shows_the_families_and_the_settings() {
    assert_golden(
        "metrics_before_first_refresh",
        &render(
            Snapshot::before_first_refresh(
                Arc::new(Policy::default()),
                KeyIdDisplay::Full,
                Duration::from_mins(5),
            ),
            clock(),
        ),
    );
}

#[test]
fn the_exporters_own_counters_start_at_zero_for_every_reason() {
    for (name, format) in [
        ("metrics_of_the_exporter", Format::OpenMetrics),
        ("metrics_of_the_exporter_text", Format::Text),
    ] {
        let text: String = exporter_text(format)
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("iam_key_exporter_build_info{"))
            .collect();
        assert_golden(name, &text);
    }
}

#[test]
fn key_ids_can_be_shortened_or_left_out() {
    for (name, display) in KeyIdDisplay::ALL {
        let lines: String = render(example(display), clock())
            .split_inclusive('\n')
            .filter(|line| {
                line.starts_with("aws_iam_access_key_age_days{")
                    || line.starts_with("aws_iam_access_key_last_used_info{")
            })
            .collect();
        assert_golden(&format!("key_ids_{name}"), &lines);
    }
    for display in [KeyIdDisplay::Last4, KeyIdDisplay::None] {
        assert!(!render(example(display), clock()).contains("AKIA"));
    }
}

#[test]
fn the_build_info_names_version_revision_and_compiler() {
    let scrape = Scrape::parse(&exporter_text(Format::OpenMetrics));
    let labels = [
        ("version", VERSION),
        ("revision", REVISION),
        ("rustc", RUSTC),
    ];
    assert_eq!(
        scrape.value("iam_key_exporter_build_info", &labels),
        Some("1")
    );
    assert!(
        REVISION == "unknown" || !REVISION.is_empty() && !REVISION.contains(char::is_whitespace)
    );
    assert!(RUSTC.starts_with(|c: char| c.is_ascii_digit()), "{RUSTC}");
}

#[test]
fn only_an_active_key_has_a_due_instant() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let due = |id| {
        scrape
            .find(
                "aws_iam_access_key_rotation_due_timestamp_seconds",
                &[("access_key_id", id)],
            )
            .map(Sample::number)
    };
    let created_and_90_days = 1_767_225_600.0 + f64::from((90 - 10) * 86_400);
    assert_eq!(due("AKIANONE"), Some(created_and_90_days));
    for id in ["AKIADELETE", "ASIAEXPIRED", "AKIANEWSTATUS"] {
        assert_eq!(due(id), None, "{id}");
    }
}

#[test]
fn an_unknown_last_use_is_neither_a_time_nor_never() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let has = |family, id| scrape.find(family, &[("access_key_id", id)]).is_some();
    for (id, time, never) in [
        ("AKIANONE", true, false),
        ("AKIAHOSTILE", false, true),
        ("AKIAEXEMPT", false, false),
    ] {
        assert_eq!(
            has("aws_iam_access_key_last_used_timestamp_seconds", id),
            time,
            "{id}"
        );
        assert_eq!(has("aws_iam_access_key_last_used_info", id), time, "{id}");
        assert_eq!(has("aws_iam_access_key_never_used", id), never, "{id}");
    }
}

#[test]
fn a_user_is_compliant_only_if_read_and_in_order() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    for (account, user, compliant) in [
        (PROD, "none", Some("1")),
        (PROD, "create", Some("0")),
        (PROD, "delete", Some("1")),
        (PROD, "exempt", Some("0")),
        (PROD, "no-keys", None),
        (GOV, "unread-overdue", Some("0")),
        (GOV, "unread-young", None),
        (GOV, "unread-unknown", None),
        (GOV, "new-status", None),
    ] {
        assert_eq!(
            scrape.value(
                "aws_iam_user_access_keys_compliant",
                &[("account_id", account), ("user_name", user)]
            ),
            compliant,
            "{user}"
        );
    }
}

#[test]
fn a_user_is_in_one_step_and_none_has_no_series() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let steps = |user| {
        let labels = [("account_id", PROD), ("user_name", user)];
        scrape
            .all("aws_iam_user_rotation_step", &labels)
            .map(|sample| {
                assert_eq!(sample.value, "1");
                sample.label("step").unwrap()
            })
            .collect::<Vec<_>>()
    };
    for step in [
        "create",
        "update",
        "deactivate",
        "confirm",
        "delete",
        "free",
    ] {
        assert_eq!(steps(step), [step]);
    }
    assert!(steps("none").is_empty());
    assert!(steps("exempt").is_empty());
    assert_eq!(steps("exempt-no-more"), ["create"]);
}

#[test]
fn an_exemption_ends_at_its_instant() {
    let user = || User::read("a", vec![key("AKIA", "Active", 100, used(0))]);
    let end = clock() + TimeDelta::seconds(1);
    for (user, shown) in [
        (user(), false),
        (exempt(user(), None), true),
        (exempt(user(), Some(end)), true),
        (exempt(user(), Some(clock())), false),
    ] {
        let scrape = scrape(snapshot_of(vec![user]));
        let series = scrape.value(
            "aws_iam_user_exempt",
            &[("account_id", PROD), ("user_name", "a")],
        );
        assert_eq!(series, shown.then_some("1"));
    }
}

/// A sample's Unix time.
fn seconds(sample: &Sample) -> i64 {
    let whole = sample.value.split('.').next();
    whole.unwrap().parse().unwrap()
}

#[test]
fn the_end_of_an_exemption_is_told_until_it_has_come() {
    let until = clock() + TimeDelta::days(3);
    let ends_at = |now: DateTime<Utc>| {
        let users = vec![
            exempt(User::read("ends", Vec::new()), Some(until)),
            exempt(User::read("endless", Vec::new()), None),
            User::read("plain", Vec::new()),
        ];
        Scrape::parse(&render(snapshot_of(users), now))
            .all("aws_iam_user_exemption_until_timestamp_seconds", &[])
            .map(|sample| {
                (
                    sample.label("user_name").unwrap().to_owned(),
                    seconds(sample),
                )
            })
            .collect::<Vec<_>>()
    };
    let second = TimeDelta::seconds(1);
    let told = [("ends".to_owned(), until.timestamp())];
    assert_eq!(ends_at(clock()), told);
    assert_eq!(ends_at(until - second), told);
    assert_eq!(ends_at(until), []);
}

#[test]
fn a_key_is_due_and_a_user_compliant_by_the_users_own_max_age() {
    let aged = |name: &str, max_age: Option<i64>| User {
        max_age: max_age.map(|days| TimeDelta::days(days).into()),
        ..User::read(
            name,
            vec![key(&format!("AKIA{name}"), "Active", 100, used(1))],
        )
    };
    let users = vec![
        aged("machine", Some(365)),
        aged("plain", None),
        aged("visitor", Some(30)),
    ];
    let scrape = scrape(snapshot_of(users));
    let of = |metric: &str, user: &str| {
        let sample = scrape.all(metric, &[("user_name", user)]).next();
        sample.map(seconds)
    };
    let due = |days: i64| (ago(100) + TimeDelta::days(days)).timestamp();
    for (user, days, compliant) in [("machine", 365, 1), ("plain", 90, 0), ("visitor", 30, 0)] {
        let metric = "aws_iam_access_key_rotation_due_timestamp_seconds";
        assert_eq!(of(metric, user), Some(due(days)), "{user}");
        assert_eq!(
            of("aws_iam_user_access_keys_compliant", user),
            Some(compliant),
            "{user}"
        );
    }
    let step = "aws_iam_user_rotation_step";
    let steps: Vec<_> = scrape
        .all(step, &[])
        .filter_map(|sample| sample.label("step"))
        .collect();
    assert_eq!(steps, ["create"; 2], "not the machine, not yet");
}

#[test]
fn users_whose_tags_could_not_be_read_are_counted() {
    let unread = |name: &str| User {
        tags: Tags::Unread(Reason::AccessDenied),
        ..User::read(name, Vec::new())
    };
    let users = vec![
        unread("a"),
        unread("b"),
        tagged(User::read("c", Vec::new()), &[]),
        User::read("d", Vec::new()),
    ];
    let mut snapshot = snapshot_of(users);
    let count = |snapshot: &Snapshot| {
        let labels = [("account_id", PROD)];
        scrape(snapshot.clone())
            .value("iam_key_exporter_unread_user_tags", &labels)
            .map(str::to_owned)
    };
    assert_eq!(count(&snapshot).as_deref(), Some("2"));
    snapshot.accounts[0].reached = false;
    assert_eq!(count(&snapshot), None, "nobody knows");
}

#[test]
fn only_the_tags_asked_for_become_labels_under_the_names_they_are_given() {
    let tags = [
        ("owner", "team-a"),
        ("cost-center", "4711"),
        ("secret", "x"),
    ];
    let users = vec![
        tagged(User::read("a", Vec::new()), &tags),
        tagged(User::read("b", Vec::new()), &tags[2..]),
    ];
    let snapshot = Snapshot {
        tags: [
            TagLabel::of("owner".into()),
            TagLabel::named("cost-center".into(), "cc"),
        ]
        .into(),
        ..snapshot_of(users)
    };
    let scrape = scrape(snapshot);
    let series: Vec<_> = scrape.all("aws_iam_user_tags_info", &[]).collect();
    let labels: Vec<_> = series[0]
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(series.len(), 1, "b has none of them");
    let account = format!("account_id={PROD}");
    assert_eq!(
        labels,
        [&*account, "tag_cc=4711", "tag_owner=team-a", "user_name=a"]
    );
}

#[test]
fn tags_are_labels_of_the_users_who_have_them() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let labels: Vec<_> = scrape
        .all("aws_iam_user_tags_info", &[])
        .map(|sample| sample.labels.clone())
        .collect();
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(
        labels,
        [
            pairs(&[
                ("account_id", PROD),
                ("user_name", "create"),
                ("tag_cost_center", "4711"),
                ("tag_owner", "team-a"),
            ]),
            pairs(&[
                ("account_id", PROD),
                ("user_name", "no-keys"),
                ("tag_owner", "team-b"),
            ]),
        ]
    );
}

#[test]
fn an_account_never_read_is_down_and_has_nothing_else_to_show() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let families: BTreeSet<_> = scrape
        .samples
        .iter()
        .filter(|sample| sample.label("account_id") == Some(NEVER_READ))
        .map(|sample| sample.name.as_str())
        .collect();
    assert_eq!(
        families.into_iter().collect::<Vec<_>>(),
        [
            "iam_key_exporter_account_up",
            "iam_key_exporter_refresh_duration_seconds"
        ]
    );
    let up = |id| scrape.value("iam_key_exporter_account_up", &[("account_id", id)]);
    assert_eq!(up(PROD), Some("1"));
    assert_eq!(up(GOV), Some("0"));
    assert_eq!(up(NEVER_READ), Some("0"));
}

#[test]
fn an_account_without_failures_but_without_data_is_not_up() {
    let scrape = scrape(snapshot(vec![state(PROD, None, &[])], KeyIdDisplay::Full));
    assert_eq!(
        scrape.value("iam_key_exporter_account_up", &[("account_id", PROD)]),
        Some("0")
    );
}

#[test]
fn an_account_not_read_at_all_the_last_time_has_no_count_of_unread_users() {
    let unread = User::unread("locked", Vec::new(), Reason::AccessDenied);
    let partial = state(
        PROD,
        Some(inventory(PROD, vec![unread])),
        &[Reason::AccessDenied],
    );
    let failed = AccountState {
        reached: false,
        ..partial.clone()
    };
    let count = |state| {
        let scrape = scrape(snapshot(vec![state], KeyIdDisplay::Full));
        scrape
            .all("iam_key_exporter_unread_users", &[])
            .map(Sample::number)
            .collect::<Vec<_>>()
    };
    assert_eq!(count(partial), [1.0]);
    assert_eq!(count(failed), [0.0; 0]);
}

#[test]
fn an_account_without_an_id_is_down_as_unknown_and_never_empty() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let unknown: Vec<_> = scrape
        .samples
        .iter()
        .filter(|sample| sample.label("account_id") == Some("unknown"))
        .map(|sample| (sample.name.as_str(), sample.value.as_str()))
        .collect();
    assert_eq!(unknown, [("iam_key_exporter_account_up", "0")]);
    assert!(
        scrape
            .samples
            .iter()
            .all(|sample| sample.label("account_id") != Some(""))
    );
    let known = scrape_without_unidentified();
    assert_eq!(
        known.value("iam_key_exporter_account_up", &[("account_id", "unknown")]),
        None
    );
}

fn scrape_without_unidentified() -> Scrape {
    scrape(Snapshot {
        unidentified: None,
        ..example(KeyIdDisplay::Full)
    })
}

#[test]
fn what_is_not_known_of_an_account_is_absent_or_empty() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    let value = |family, id| scrape.value(family, &[("account_id", id)]);
    assert_eq!(value("aws_iam_root_access_keys_active", PROD), Some("0"));
    assert_eq!(value("aws_iam_root_access_keys_active", GOV), None);
    assert_eq!(value("aws_iam_root_access_keys_present", PROD), Some("0"));
    assert_eq!(value("aws_iam_root_access_keys_present", GOV), Some("1"));
    assert_eq!(value("aws_iam_users", GOV), Some("6"));
    assert_eq!(value("iam_key_exporter_unread_users", PROD), Some("0"));
    assert_eq!(value("iam_key_exporter_unread_users", GOV), Some("4"));
    let info = scrape.find("aws_iam_account_info", &[("account_id", GOV)]);
    let info = info.unwrap();
    assert_eq!(info.label("account_name"), Some(""));
    assert_eq!(info.label("account_alias"), Some(""));
    assert_eq!(info.label("partition"), Some("aws-us-gov"));
}

#[test]
fn a_key_born_in_the_future_of_this_clock_is_zero_days_old() {
    let scrape = scrape(snapshot_of(vec![User::read(
        "a",
        vec![key("AKIA", "Active", -1, LastUse::Never)],
    )]));
    let age = scrape.find("aws_iam_access_key_age_days", &[]).unwrap();
    assert_eq!(age.value, "0.0");
}

#[test]
fn a_default_threshold_is_given_in_days() {
    let scrape = scrape(example(KeyIdDisplay::Full));
    assert_eq!(
        scrape.value("aws_iam_access_key_max_age_days", &[]),
        Some("90.0")
    );
    assert_eq!(
        scrape.value("iam_key_exporter_refresh_interval_seconds", &[]),
        Some("300.0")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_tells_of_itself() {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessMetrics::new()));
    let scrape = Scrape::parse(&exposed(&registry, Format::OpenMetrics));
    let number = |name| scrape.find(name, &[]).unwrap().number();
    assert!(number("process_cpu_seconds_total") >= 0.0);
    assert!(number("process_open_fds") >= 3.0);
    assert!(number("process_resident_memory_bytes") > 100_000.0);
    assert!(number("process_virtual_memory_bytes") >= number("process_resident_memory_bytes"));
    assert!(number("process_threads") >= 1.0);
    // After 2020, so that it is Unix time and not time since the boot.
    assert!(number("process_start_time_seconds") > 1_577_836_800.0);
}

/// What a family must be called, its type and its label names.
type Contract = BTreeMap<String, (String, BTreeSet<String>)>;

/// The rows of the documentation's tables: metric, type, labels, and more.
fn documented() -> Contract {
    include_str!("../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` | "))
        .filter_map(|(name, rest)| {
            let mut cells = rest.split(" | ");
            let kind = cells.next()?.trim();
            let labels = cells.next()?.trim();
            ["gauge", "counter"].contains(&kind).then(|| {
                let labels = labels
                    .split(", ")
                    .filter(|label| *label != "–")
                    .map(|label| label.trim_matches('`').to_owned())
                    .collect();
                (name.to_owned(), (kind.to_owned(), labels))
            })
        })
        .collect()
}

#[test]
fn the_documentation_lists_exactly_the_families_that_come_out() {
    let mut registry = keys::registry(Arc::new(example(KeyIdDisplay::Full)), clock());
    registry.register_collector(Box::new(exporter_metrics()));
    registry.register_collector(Box::new(ProcessMetrics::new()));
    let scrape = Scrape::parse(&exposed(&registry, Format::OpenMetrics));
    let actual: Contract = scrape
        .families
        .iter()
        .map(|family| {
            let name = match family.kind.as_str() {
                "counter" => format!("{}_total", family.name),
                _ => family.name.clone(),
            };
            let labels = scrape
                .all(&name, &[])
                .flat_map(|sample| sample.labels.keys())
                .map(|label| match label.strip_prefix("tag_") {
                    Some(_) => "tag_<name>".to_owned(),
                    None => label.clone(),
                })
                .collect();
            (name, (family.kind.clone(), labels))
        })
        .collect();
    let mut documented = documented();
    // Only Linux has the process's metrics, and they are absent where there is no limit to show.
    documented.retain(|name, _| {
        actual.contains_key(name)
            || !(name.starts_with("process_")
                && (cfg!(not(target_os = "linux")) || name.contains("_max_")))
    });
    assert_eq!(documented, actual);
}

#[test]
fn the_documentation_lists_every_reason() {
    let documented: Vec<_> = include_str!("../docs/metrics.md")
        .lines()
        .skip_while(|line| !line.starts_with("## Reasons"))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(documented, Reason::ALL.map(Reason::as_str));
}

/// Text that a naive encoder breaks on.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}",
        "[\"\\\\\n\r\t,{}= #]{0,5}",
        any::<String>().prop_map(|text| text.chars().take(8).collect()),
    ]
}

/// Instants within some years of the clock, many of them near the limits of the policy.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    let seconds = prop_oneof![
        -400 * 86_400..86_400_i64,
        (-3..3_i64).prop_map(|n| -90 * 86_400 + n),
        (0..100_i64).prop_map(|n| -n * 86_400),
    ];
    seconds.prop_map(|seconds| clock() + TimeDelta::seconds(seconds))
}

fn any_key() -> impl Strategy<Value = AccessKey> {
    let name = prop_oneof![
        "[AB]{0,3}SAME(-2)?".prop_map(|id| KeyName::Id(id.into())),
        hostile().prop_map(|id| KeyName::Id(id.into())),
        Just(KeyName::Slot(Slot::One)),
        Just(KeyName::Slot(Slot::Two)),
    ];
    let status = prop_oneof![
        3 => Just(KeyStatus::Active),
        1 => Just(KeyStatus::Inactive),
        1 => Just(KeyStatus::Expired),
        // There can't be many in a process.
        1 => Just(KeyStatus::from("Suspended")),
        1 => Just(KeyStatus::from("\\\"} 1\n")),
    ];
    let last_use = prop_oneof![
        Just(LastUse::Never),
        Just(LastUse::Unknown),
        (instant(), hostile(), hostile()).prop_map(|(time, service, region)| {
            LastUse::At(UsedAt::new(time, &service, &region))
        }),
    ];
    (name, status, instant(), last_use).prop_map(|(name, status, created, last_use)| AccessKey {
        name,
        status,
        created,
        last_use,
    })
}

fn any_user(name: String) -> impl Strategy<Value = User> {
    let keys = prop::collection::vec(any_key(), 0..5);
    let tags = prop::collection::vec((hostile(), hostile()), 0..4);
    let until = prop::option::of(prop::option::of(instant()));
    (keys, tags, until, any::<bool>()).prop_map(move |(keys, tags, until, read)| {
        let mut user = User::read(&*name, keys);
        if !read {
            user.reading = Reading::Unread(Reason::Timeout);
        }
        let tags: Vec<_> = tags.iter().map(|(k, v)| (&**k, &**v)).collect();
        user = tagged(user, &tags);
        if tags.len() == 3 {
            user.tags = Tags::Unread(Reason::Throttled);
            user.max_age = Some(TimeDelta::days(30).into());
        }
        until.map_or(user.clone(), |until| exempt(user, until))
    })
}

fn any_account() -> impl Strategy<Value = Inventory> {
    let users = prop::collection::btree_set(hostile(), 0..5)
        .prop_flat_map(|names| names.into_iter().map(any_user).collect::<Vec<_>>());
    let optional = || prop::option::of(hostile());
    (users, optional(), optional(), hostile()).prop_map(|(users, name, alias, partition)| {
        let mut inventory = inventory(PROD, users);
        inventory.account.name = name.map(Into::into);
        inventory.account.alias = alias.map(Into::into);
        inventory.account.partition = partition.into();
        inventory
    })
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let accounts = prop::collection::vec(prop::option::weighted(0.9, any_account()), 0..3);
    let key_ids = prop::sample::select(KeyIdDisplay::ALL.map(|(_, display)| display).to_vec());
    let boundary = prop::sample::select(Boundary::ALL.map(|(_, boundary)| boundary).to_vec());
    (accounts, key_ids, boundary, any::<bool>()).prop_map(
        |(accounts, key_ids, boundary, unidentified)| {
            let accounts = accounts
                .into_iter()
                .enumerate()
                .map(|(n, inventory)| {
                    let id: AccountId = format!("{n:012}").parse().unwrap();
                    let inventory = inventory.map(|mut inventory| {
                        inventory.account.id = id;
                        inventory
                    });
                    state(id.as_str(), inventory, &[])
                })
                .collect();
            Snapshot {
                policy: Arc::new(Policy::from(Thresholds {
                    boundary,
                    ..Thresholds::default()
                })),
                unidentified: unidentified.then_some(Reason::Network),
                ..snapshot(accounts, key_ids)
            }
        },
    )
}

/// The families that time alone changes; all others stand still until the next refresh.
const MOVED_BY_TIME: [&str; 5] = [
    "aws_iam_access_key_age_days",
    "aws_iam_user_access_keys_compliant",
    "aws_iam_user_exempt",
    "aws_iam_user_exemption_until_timestamp_seconds",
    "aws_iam_user_rotation_step",
];

proptest! {
    #[test]
    fn no_two_series_of_a_scrape_are_equal(snapshot in any_snapshot()) {
        let scrape = scrape(snapshot);
        let mut seen = BTreeSet::new();
        for sample in &scrape.samples {
            // To Prometheus a label that is empty is one that isn't there.
            let labels: Vec<_> = sample.labels.iter().filter(|(_, value)| !value.is_empty()).collect();
            prop_assert!(seen.insert((&sample.name, labels)), "twice: {sample:?}");
        }
    }

    #[test]
    fn every_family_stands_once_and_whole(snapshot in any_snapshot()) {
        // The parser insists that a sample follows its family's HELP and TYPE.
        let scrape = scrape(snapshot);
        let names: BTreeSet<_> = scrape.families.iter().map(|family| &family.name).collect();
        prop_assert_eq!(names.len(), scrape.families.len());
        for family in &scrape.families {
            prop_assert!(family.help.ends_with('.'), "{:?}", family);
            prop_assert!(!family.help.contains(['\\', '"', '\r']), "{:?}", family);
        }
    }

    #[test]
    fn both_formats_have_the_same_samples(snapshot in any_snapshot()) {
        let samples = |format| {
            let text = render_as(format, snapshot.clone(), clock());
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        prop_assert_eq!(samples(Format::OpenMetrics), samples(Format::Text));
    }

    #[test]
    fn hostile_names_survive(snapshot in any_snapshot()) {
        let expected: BTreeSet<(String, String, usize)> = snapshot
            .accounts
            .iter()
            .filter_map(|account| Some((account.id, account.inventory.clone()?)))
            .flat_map(|(id, inventory)| {
                let users = inventory.users.clone();
                users.into_iter().filter(|user| !user.keys.is_empty()).map(move |user| {
                    (id.to_string(), user.name.to_string(), user.keys.len())
                })
            })
            .collect();
        let mut keys: BTreeMap<(String, String), usize> = BTreeMap::new();
        for sample in scrape(snapshot).all("aws_iam_access_key_created_timestamp_seconds", &[]) {
            let label = |name| sample.label(name).unwrap().to_owned();
            *keys.entry((label("account_id"), label("user_name"))).or_default() += 1;
        }
        let actual: BTreeSet<_> = keys.into_iter().map(|((id, user), n)| (id, user, n)).collect();
        prop_assert_eq!(expected, actual);
    }

    #[test]
    fn a_day_without_a_refresh_moves_ages_and_what_follows_from_them_only(snapshot in any_snapshot()) {
        let families = |now| {
            let text = render(snapshot.clone(), now);
            let blocks: BTreeMap<String, String> = text
                .split("# HELP ")
                .filter_map(|block| Some((block.split_once(' ')?.0.to_owned(), block.to_owned())))
                .collect();
            blocks
        };
        let (today, tomorrow) = (families(clock()), families(clock() + TimeDelta::days(1)));
        prop_assert_eq!(today.len(), tomorrow.len());
        for (family, block) in &today {
            if !MOVED_BY_TIME.contains(&family.as_str()) {
                prop_assert_eq!(Some(block), tomorrow.get(family));
            }
        }
    }

    #[test]
    fn a_compliant_user_was_read_and_has_no_overdue_key(snapshot in any_snapshot()) {
        let snapshot = Snapshot { policy: Arc::new(Policy::default()), ..snapshot };
        let scrape = scrape(snapshot.clone());
        for account in &snapshot.accounts {
            let users = account.inventory.iter().flat_map(|inventory| &inventory.users);
            for user in users {
                let overdue = user.keys.iter().any(|key| {
                    let max_age = user.max_age.map_or(TimeDelta::days(90), TimeDelta::from);
                    key.status.as_str() == "Active" && clock() - key.created > max_age
                });
                let judged = user.reading == Reading::Complete
                    && user.keys.iter().all(|key| {
                        ["Active", "Inactive", "Expired"].contains(&key.status.as_str())
                    });
                let compliant = match (overdue, judged && !user.keys.is_empty()) {
                    (true, _) => Some("0"),
                    (false, true) => Some("1"),
                    (false, false) => None,
                };
                let labels = [("account_id", account.id.as_str()), ("user_name", &*user.name)];
                prop_assert_eq!(scrape.value("aws_iam_user_access_keys_compliant", &labels), compliant);
            }
        }
    }
}
