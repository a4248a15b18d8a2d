//! The exporter between real parts: moto as AWS on one side, Prometheus and its tools on the other.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the parts up and runs them all.

mod planned_rotation;
mod support_real;
mod terminal;

use std::collections::{BTreeMap, BTreeSet};

use support_real::{
    ACCOUNT, Exporter, ListedKey, Metrics, Moto, Prometheus, SEEDS, Strategy, actions,
    check_metrics, now, operation, seeded, serve_static, shipped_policy, wait_for, without,
};

const DAY: f64 = 86_400.0;
const MAX_AGE_DAYS: f64 = 90.0;

/// Clocks are read at two ends of a connection, and a Prometheus may hold a scrape for a second.
const TOLERANCE_DAYS: f64 = 5.0 / DAY;

/// The Accept header of Prometheus 2.42.
const ACCEPT_OF_PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                                    version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

async fn metrics_of(moto: &Moto, strategy: Strategy) -> Metrics {
    let exporter = Exporter::start(moto, strategy, &Moto::anyone());
    exporter.ready().await;
    exporter.metrics().await
}

/// Compares what a strategy exports with what IAM says, key by key.
async fn assert_true_to_iam(moto: &Moto, strategy: Strategy) {
    let keys = moto.keys().await;
    let users = moto.users().await;
    let before = now();
    let metrics = metrics_of(moto, strategy).await;

    let by_key = |name: &str| -> BTreeMap<(String, String, String), f64> {
        metrics
            .all(name)
            .map(|sample| {
                assert_eq!(sample.label("account_id"), ACCOUNT);
                let label = |name| sample.label(name).to_owned();
                let key = (label("user_name"), label("access_key_id"), label("status"));
                (key, sample.value)
            })
            .collect()
    };
    let ids = ids_as_labelled(&keys, strategy);
    let expected = |of: &dyn Fn(&ListedKey) -> Option<f64>| -> BTreeMap<_, _> {
        keys.iter()
            .zip(&ids)
            .filter_map(|(key, id)| {
                let key_labels = (key.user.clone(), id.clone(), key.status.clone());
                Some((key_labels, of(key)?))
            })
            .collect()
    };

    let created = by_key("aws_iam_access_key_created_timestamp_seconds");
    assert_eq!(created, expected(&|key| Some(key.created)));

    let ages = by_key("aws_iam_access_key_age_days");
    assert_eq!(ages.len(), keys.len());
    for (key, age) in &ages {
        let (least, most) = ((before - created[key]) / DAY, (now() - created[key]) / DAY);
        assert!(
            (least - TOLERANCE_DAYS..=most + TOLERANCE_DAYS).contains(age),
            "{key:?} is between {least} and {most} days old, not {age}"
        );
    }

    let due = by_key("aws_iam_access_key_rotation_due_timestamp_seconds");
    assert_eq!(
        due,
        expected(&|key| (key.status == "Active").then_some(key.created + MAX_AGE_DAYS * DAY))
    );
    let last_used = by_key("aws_iam_access_key_last_used_timestamp_seconds");
    assert_eq!(last_used, expected(&|key| key.last_used));
    let never_used = by_key("aws_iam_access_key_never_used");
    assert_eq!(
        never_used,
        expected(&|key| key.last_used.is_none().then_some(1.0))
    );

    let compliant: BTreeMap<_, _> = metrics
        .all("aws_iam_user_access_keys_compliant")
        .map(|sample| (sample.label("user_name"), sample.value))
        .collect();
    let overdue = overdue_users(&keys);
    let with_keys: BTreeSet<_> = keys.iter().map(|key| key.user.as_str()).collect();
    let implied: BTreeMap<_, _> = with_keys
        .iter()
        .map(|user| (*user, if overdue.contains(user) { 0.0 } else { 1.0 }))
        .collect();
    assert_eq!(compliant, implied);

    let of_account = |name| metrics.sum(name, &[("account_id", ACCOUNT)]);
    #[expect(clippy::cast_precision_loss, reason = "a handful of users")]
    let count = users.len() as f64;
    assert_eq!(of_account("aws_iam_users"), Some(count));
    assert_eq!(of_account("iam_key_exporter_account_up"), Some(1.0));
    assert_eq!(of_account("iam_key_exporter_unread_users"), Some(0.0));
}

/// The users whom the rule catches, worked out from IAM's answers alone.
fn overdue_users(keys: &[ListedKey]) -> BTreeSet<&str> {
    let overdue: BTreeSet<_> = keys
        .iter()
        .filter(|key| key.status == "Active" && now() - key.created > MAX_AGE_DAYS * DAY)
        .map(|key| key.user.as_str())
        .collect();
    // Else the comparison would show nothing.
    assert!(overdue.len() > 3 && overdue.len() < keys.len() / 2);
    overdue
}

/// The keys' `access_key_id` labels: a report holds no ids, so there it is the slot, and moto fills the slots in the
/// order in which the keys were made, which in [`SEEDS`] is not the order of their ids.
fn ids_as_labelled(keys: &[ListedKey], strategy: Strategy) -> Vec<String> {
    keys.iter()
        .map(|key| {
            if strategy != Strategy::Report {
                return key.id.clone();
            }
            let seed = SEEDS
                .iter()
                .find(|seed| seed.user == key.user)
                .expect("every user was seeded");
            let age = (now() - key.created) / DAY;
            let slot = seed
                .keys
                .iter()
                .position(|seeded| (seeded.age_days - age).abs() < 0.1)
                .expect("every key was seeded");
            format!("slot-{}", slot + 1)
        })
        .collect()
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn list_shows_the_ages_that_iam_implies() {
    assert_true_to_iam(&seeded().await, Strategy::List).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn report_shows_the_ages_that_iam_implies() {
    assert_true_to_iam(&seeded().await, Strategy::Report).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn auto_shows_the_ages_that_iam_implies() {
    assert_true_to_iam(&seeded().await, Strategy::Auto).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn auto_does_not_believe_a_report_of_years_ago() {
    let moto = seeded().await;
    moto.make_report_stale().await;
    assert_true_to_iam(&moto, Strategy::Auto).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn all_strategies_name_the_same_next_step_for_every_user() {
    let moto = seeded().await;
    let steps = async |strategy| -> BTreeSet<(String, String)> {
        metrics_of(&moto, strategy)
            .await
            .all("aws_iam_user_rotation_step")
            .map(|sample| {
                (
                    sample.label("user_name").to_owned(),
                    sample.label("step").to_owned(),
                )
            })
            .collect()
    };
    let (list, report, auto) = tokio::join!(
        steps(Strategy::List),
        steps(Strategy::Report),
        steps(Strategy::Auto)
    );
    assert_eq!(report, list);
    assert_eq!(auto, list);

    let step_of = |user: &str| list.iter().find(|(name, _)| name == user).map(|s| &*s.1);
    assert_eq!(step_of("over-the-limit"), Some("create"));
    assert_eq!(step_of("forgotten"), Some("deactivate"));
    assert_eq!(step_of("moved-on"), Some("deactivate"));
    assert_eq!(step_of("both-overdue"), Some("update"));
    assert_eq!(step_of("blocked-by-an-idle-key"), Some("free"));
    assert_eq!(step_of("rotated"), Some("delete"));
    assert_eq!(step_of("newborn"), None);
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn a_real_prometheus_scrapes_the_true_ages() {
    let moto = seeded().await;
    let keys = moto.keys().await;
    let exporter = Exporter::start(&moto, Strategy::List, &Moto::anyone());
    exporter.ready().await;
    let prometheus = Prometheus::scraping(exporter.address());

    prometheus
        .query_until("up{job=\"iam-key-exporter\"} == 1", |elements| {
            (elements.len() == 1).then_some(())
        })
        .await;
    assert_eq!(prometheus.last_error().await, "");

    let ages = prometheus
        .query_until("aws_iam_access_key_age_days", |elements| {
            (elements.len() == keys.len()).then(|| {
                elements
                    .iter()
                    .map(|element| {
                        let key = ["user_name", "access_key_id", "status"]
                            .map(|name| element.label(name).to_owned());
                        (key, (element.value, element.at))
                    })
                    .collect::<BTreeMap<_, _>>()
            })
        })
        .await;
    for key in &keys {
        let labels = [key.user.clone(), key.id.clone(), key.status.clone()];
        let (age, at) = ages[&labels];
        let implied = (at - key.created) / DAY;
        assert!(
            (age - implied).abs() <= TOLERANCE_DAYS,
            "{key:?} is {implied} days old, and Prometheus has {age}"
        );
    }

    // The rule itself, as a reader of the dashboards would put it.
    let overdue = prometheus
        .query_until(
            "count by (user_name) (aws_iam_access_key_age_days{status=\"Active\"} \
             > on() group_left() aws_iam_access_key_max_age_days)",
            |elements| {
                (!elements.is_empty()).then(|| {
                    elements
                        .iter()
                        .map(|element| element.label("user_name").to_owned())
                        .collect::<BTreeSet<_>>()
                })
            },
        )
        .await;
    let implied: BTreeSet<_> = overdue_users(&keys)
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(overdue, implied);
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn the_shipped_scrape_job_is_called_as_the_alerts_expect() {
    let target = serve_static("# HELP sheep In the field.\n# TYPE sheep gauge\nsheep 7\n").await;
    let prometheus = Prometheus::scraping(target);
    prometheus
        .query_until("sheep{job=\"iam-key-exporter\"} == 7", |elements| {
            (elements.len() == 1).then_some(())
        })
        .await;
    assert_eq!(prometheus.last_error().await, "");
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn prometheus_is_given_openmetrics_and_both_formats_hold_the_same_series() {
    let moto = seeded().await;
    let exporter = Exporter::start(&moto, Strategy::List, &Moto::anyone());
    exporter.ready().await;
    let openmetrics = exporter.scrape(ACCEPT_OF_PROMETHEUS).await;
    let text = exporter.scrape("text/plain;version=0.0.4").await;
    assert_eq!(
        openmetrics.content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(
        text.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );

    let series = |metrics: &Metrics| -> BTreeSet<(String, BTreeMap<String, String>)> {
        metrics
            .iter()
            .map(|sample| (sample.name.clone(), sample.labels.clone()))
            .collect()
    };
    let text = series(&Metrics::parse(&text));
    assert!(text.len() > SEEDS.len());
    assert_eq!(series(&Metrics::parse(&openmetrics)), text);
}

/// User names that IAM would refuse and a file may hold, each with something that a format escapes or that looks like
/// something else.
const HOSTILE_NAMES: [&str; 12] = [
    "quo\"te",
    "back\\slash",
    "ends in a backslash\\",
    "new\nline",
    "back\\\\nslash n",
    "carriage\rreturn and tab\t",
    "# HELP aws_iam_users fake",
    "# EOF",
    "\",x=\"y\"} 1",
    "com,ma and {braces}",
    "bücher 鍵 🔑 \u{2028}\u{85}",
    "\u{1}control\u{7f}",
];

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn hostile_names_survive_prometheus_own_parsers_in_every_format() {
    let report = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let mut csv = csv::Writer::from_writer(report.as_file());
    csv.write_record([
        "user",
        "arn",
        "access_key_1_active",
        "access_key_1_last_rotated",
        "access_key_2_active",
        "access_key_2_last_rotated",
    ])
    .expect("the file is writable");
    for name in HOSTILE_NAMES {
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{name}");
        csv.write_record([name, &arn, "true", "2026-01-02T03:04:05Z", "false", "N/A"])
            .expect("the file is writable");
    }
    csv.flush().expect("the file is writable");
    let exporter = Exporter::reading(report.path());
    exporter.ready().await;
    let expected: BTreeSet<String> = HOSTILE_NAMES.map(str::to_owned).into();

    let family = "aws_iam_access_key_created_timestamp_seconds";
    for accept in [ACCEPT_OF_PROMETHEUS, "text/plain;version=0.0.4"] {
        let metrics = Metrics::parse(&exporter.scrape(accept).await);
        let names: BTreeSet<String> = metrics
            .all(family)
            .map(|sample| sample.label("user_name").to_owned())
            .collect();
        assert_eq!(names, expected, "Accept: {accept}");
    }

    // Prometheus asks for OpenMetrics, so the text format reaches it as a page of somebody else.
    let text = exporter.scrape("text/plain;version=0.0.4").await.body;
    let text_server = serve_static(text.leak()).await;
    for target in [exporter.address(), text_server] {
        let prometheus = Prometheus::scraping(target);
        let names = prometheus
            .query_until(family, |elements| {
                (elements.len() == expected.len()).then(|| {
                    elements
                        .iter()
                        .map(|element| element.label("user_name").to_owned())
                        .collect::<BTreeSet<_>>()
                })
            })
            .await;
        assert_eq!(names, expected);
    }
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn promtool_has_nothing_against_the_metrics_but_the_days() {
    let moto = seeded().await;
    let exporter = Exporter::start(&moto, Strategy::List, &Moto::anyone());
    exporter.ready().await;
    let page = exporter.scrape("text/plain").await.body;
    // The field's rules are written in days, so these two are too; everything else is in seconds.
    let in_days = [
        "aws_iam_access_key_age_days",
        "aws_iam_access_key_max_age_days",
    ];
    let complaints: Vec<_> = check_metrics(&page)
        .into_iter()
        .filter(|complaint| {
            !in_days
                .iter()
                .any(|name| complaint.starts_with(&format!("{name} use base unit \"seconds\"")))
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}\n{page}");
}

#[test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
fn promtool_would_complain_of_other_faults() {
    let page =
        "# HELP sheep_minutes In the field.\n# TYPE sheep_minutes counter\nsheep_minutes 7\n";
    let complaints = check_metrics(page).join("\n");
    assert!(complaints.contains("sheep_minutes use base unit \"seconds\""));
    assert!(complaints.contains("\"_total\" suffix"));
    assert!(!check_metrics("not a metric {").is_empty());
}

/// Runs the exporter as a user who holds the strategy's policy and nothing else, and then once for each of its
/// actions as a user who lacks that one: the policy must be enough, and no larger than it has to be.
async fn assert_policy_is_enough_and_no_more(strategy: Strategy, report_is_fresh: bool) {
    const DENIED: &str = "iam_key_exporter_aws_request_failures_total";
    let policy = shipped_policy(&format!("iam-policy-{}", strategy.name()));
    let actions = actions(&policy);

    let moto = seeded().await;
    if !report_is_fresh {
        moto.make_report_stale().await;
    }
    let granted = moto
        .add_user_with_policy("granted", &policy.to_string())
        .await;
    let mut lacking = Vec::new();
    for action in &actions {
        let policy = without(&policy, action).to_string();
        let user = format!("lacking-{}", operation(action));
        lacking.push((action, moto.add_user_with_policy(&user, &policy).await));
    }
    moto.check_permissions().await;

    let exporter = Exporter::start(&moto, strategy, &granted);
    exporter.ready().await;
    let metrics = exporter.metrics().await;
    assert_eq!(
        metrics.sum(DENIED, &[("reason", "access_denied")]),
        Some(0.0),
        "{metrics:#?}"
    );
    assert_eq!(
        metrics.sum("iam_key_exporter_account_up", &[("account_id", ACCOUNT)]),
        Some(1.0)
    );

    // With a fresh report, `auto` has no need of what its policy allows for the day it must list.
    if strategy == Strategy::Auto && report_is_fresh {
        return;
    }
    for (action, credentials) in lacking {
        let exporter = Exporter::start(&moto, strategy, &credentials);
        wait_for(
            &format!("{action} to be denied when it is not granted"),
            async || {
                let metrics = exporter.metrics().await;
                let labels = [
                    ("operation", operation(action)),
                    ("reason", "access_denied"),
                ];
                match metrics.sum(DENIED, &labels) {
                    Some(count) if count > 0.0 => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await;
    }
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn the_policy_for_list_is_enough_and_no_more() {
    assert_policy_is_enough_and_no_more(Strategy::List, true).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn the_policy_for_report_is_enough_and_no_more() {
    assert_policy_is_enough_and_no_more(Strategy::Report, true).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn the_policy_for_auto_is_enough_while_the_report_is_fresh() {
    assert_policy_is_enough_and_no_more(Strategy::Auto, true).await;
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn the_policy_for_auto_is_enough_and_no_more_when_it_has_to_list() {
    assert_policy_is_enough_and_no_more(Strategy::Auto, false).await;
}

#[test]
fn the_default_policy_is_the_one_for_the_default_strategy() {
    assert_eq!(
        shipped_policy("iam-policy"),
        shipped_policy("iam-policy-auto")
    );
}

#[tokio::test]
#[ignore = "needs moto and Prometheus: make test sets them up"]
async fn moto_denies_what_a_policy_does_not_grant() {
    let moto = Moto::start();
    let policy = shipped_policy("iam-policy-report").to_string();
    let credentials = moto.add_user_with_policy("watcher", &policy).await;
    moto.check_permissions().await;

    let client = moto.client(credentials);
    client
        .generate_credential_report()
        .send()
        .await
        .expect("the policy grants it");
    let denied = client
        .list_users()
        .send()
        .await
        .expect_err("the policy does not grant it");
    let code = denied
        .as_service_error()
        .and_then(|error| error.meta().code());
    assert_eq!(code, Some("AccessDenied"), "{denied:?}");

    let forged = moto.client(Moto::anyone());
    assert!(forged.list_users().send().await.is_err());
}
