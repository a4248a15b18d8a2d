//! Every query of the dashboards, asked of a Prometheus that scrapes the demo.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets Prometheus up and runs them.

#[path = "support/dashboards.rs"]
#[allow(dead_code, reason = "shared with the hermetic tests")]
mod dashboards;
mod support_real;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use chrono::TimeDelta;
use dashboards::{FILES, Target, label_values, list, read};
use iam_key_exporter::{
    clock::Clock,
    inventory::{Inventory, User},
    key::{AccessKey, LastUse},
    policy::Policy,
    source::demo::Demo,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use support_real::{Exporter, Prometheus, now, serve_static, wait_for};

/// A range query reaches back this far: some scrapes.
const RANGE_SECONDS: f64 = 10.0;

/// The expression as Grafana sends it, with all jobs and accounts chosen. The ranges are those that suit a scrape a
/// second.
fn as_sent(expr: &str) -> String {
    expr.replace("$__rate_interval", "10s")
        .replace("$__range", "10s")
        .replace("$job", ".+")
        .replace("$account_id", ".+")
}

/// The answer to a query, which must have rows.
async fn ask(prometheus: &Prometheus, target: Target<'_>) -> Result<Vec<Value>, String> {
    let rows = rows(prometheus, target).await?;
    if rows.is_empty() {
        return Err(format!("no rows of {}", target.expr()));
    }
    Ok(rows)
}

async fn rows(prometheus: &Prometheus, target: Target<'_>) -> Result<Vec<Value>, String> {
    let expr = as_sent(target.expr());
    let query = utf8_percent_encode(&expr, NON_ALPHANUMERIC);
    let now = now();
    let path = if target.is_instant() {
        format!("/api/v1/query?query={query}&time={now}")
    } else {
        let start = now - RANGE_SECONDS;
        format!("/api/v1/query_range?query={query}&start={start}&end={now}&step=1")
    };
    let answer = prometheus.ask(&path).await?;
    let rows = answer["data"]["result"].as_array();
    rows.cloned()
        .ok_or_else(|| format!("no result of {expr}: {answer}"))
}

/// Every value of a row, be it of one instant or of many.
fn values(row: &Value) -> Vec<f64> {
    let number = |pair: &Value| {
        let text = pair[1].as_str().expect("a value is a text");
        text.parse().expect("a value is a number")
    };
    match row.get("value") {
        Some(pair) => vec![number(pair)],
        None => list(&row["values"]).map(number).collect(),
    }
}

/// Two exporters of one job, as where one stands in for the other, and a Prometheus that has scraped both often enough
/// for a rate.
async fn scraped_twice() -> (Prometheus, [Exporter; 2]) {
    let exporters = [Exporter::demo(), Exporter::demo()];
    for exporter in &exporters {
        exporter.ready().await;
    }
    let addresses = exporters.each_ref().map(Exporter::address);
    let prometheus = Prometheus::scraping_each(&addresses);
    let rates = "count(rate(process_cpu_seconds_total{job=\"iam-key-exporter\"}[10s])) == 2";
    prometheus
        .query_until(rates, |elements| elements.first().map(drop))
        .await;
    (prometheus, exporters)
}

#[tokio::test]
#[ignore = "needs Prometheus: make test sets it up"]
async fn no_query_of_any_dashboard_is_empty_on_the_demo() {
    let (prometheus, _exporters) = scraped_twice().await;
    let mut asked = 0;
    for file in FILES {
        for panel in list(&read(file)["panels"]) {
            for target in Target::all(panel) {
                let what = format!("{file}: {} {}", panel["title"], target.id());
                let rows = wait_for(&what, async || ask(&prometheus, target).await).await;
                for row in &rows {
                    let values = values(row);
                    assert!(!values.is_empty(), "{what}: {row}");
                    assert!(
                        values.iter().all(|value| value.is_finite()),
                        "{what}: {row}"
                    );
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "only {asked} queries");
}

#[tokio::test]
#[ignore = "needs Prometheus: make test sets it up"]
async fn every_variable_has_something_to_choose_from() {
    let (prometheus, _exporters) = scraped_twice().await;
    for file in FILES {
        let dashboard = read(file);
        for (name, expected) in [
            ("job", vec!["iam-key-exporter"]),
            ("account_id", vec!["111122223333", "444455556666"]),
        ] {
            let variable = list(&dashboard["templating"]["list"])
                .find(|variable| variable["name"] == name)
                .expect("the dashboard has the variable");
            let (series, label) = label_values(variable).expect("the variable has a query");
            let series = as_sent(series);
            let choice = utf8_percent_encode(&series, NON_ALPHANUMERIC);
            let path = format!("/api/v1/label/{label}/values?match[]={choice}");
            let answer = prometheus.ask(&path).await.expect("Prometheus answers");
            let values: Vec<&str> = list(&answer["data"]).filter_map(Value::as_str).collect();
            assert_eq!(values, expected, "{file}: {name}");
        }
    }
}

/// What the figures of the overview should be, counted from the demo by the exporter's own rules.
fn expected_figures() -> BTreeMap<&'static str, usize> {
    let now = Clock::System.now();
    let demo = Demo::new(now);
    let policy = Policy {
        exemptions: demo.exemptions(),
        ..Policy::default()
    };
    let accounts: Vec<_> = demo
        .collect(now)
        .into_iter()
        .map(|outcome| {
            let mut account = outcome.result.expect("the demo can always be read");
            policy.apply_to_all(&mut account);
            account
        })
        .collect();
    let thresholds = policy.thresholds;
    let users: Vec<_> = accounts.iter().flat_map(|account| &account.users).collect();
    let count = |is: &dyn Fn(&AccessKey) -> bool| {
        let keys = users.iter().flat_map(|user| &user.keys);
        keys.filter(|key| is(key)).count()
    };
    let overdue = |key: &AccessKey| thresholds.is_overdue(key, now);
    let due_within = |days: i64| {
        let then = now + TimeDelta::days(days);
        count(&|key| thresholds.is_overdue(key, then) && !overdue(key))
    };
    let users_with = |is: &dyn Fn(&User) -> bool| users.iter().filter(|user| is(user)).count();
    let exempt = users.iter().filter(|user| user.is_exempt(now));
    let with_root_keys = |account: &&Inventory| account.root.present == Some(true);
    BTreeMap::from([
        ("Active keys", count(&AccessKey::is_active)),
        ("Overdue keys", count(&overdue)),
        ("Due within 7 days", due_within(7)),
        ("Due within 14 days", due_within(14)),
        ("Due within 30 days", due_within(30)),
        (
            "Users in breach",
            users_with(&|user| user.keys.iter().any(overdue)),
        ),
        (
            "Overdue, exempt",
            exempt
                .flat_map(|user| &user.keys)
                .filter(|key| overdue(key))
                .count(),
        ),
        (
            "Unused ≥ 45 days",
            count(&|key| key.is_active() && thresholds.is_dormant(key, now)),
        ),
        (
            "Never used",
            count(&|key| key.is_active() && matches!(key.last_use, LastUse::Never)),
        ),
        ("Retired, not deleted", count(&|key| !key.is_active())),
        (
            "Two active keys",
            users_with(&|user| user.keys.iter().filter(|key| key.is_active()).count() > 1),
        ),
        ("Root keys", accounts.iter().filter(with_root_keys).count()),
        ("Accounts not read", 1),
    ])
}

#[tokio::test]
#[ignore = "needs Prometheus: make test sets it up"]
async fn the_figures_of_the_overview_are_those_of_the_demo_and_two_exporters_do_not_double_them() {
    let (prometheus, _exporters) = scraped_twice().await;
    let expected = expected_figures();
    let overview = read("overview.json");
    let mut figures = BTreeMap::new();
    for panel in list(&overview["panels"]) {
        let title = panel["title"].as_str().expect("a panel has a title");
        let Some((&title, _)) = expected.get_key_value(title) else {
            continue;
        };
        let target = Target::all(panel).next().expect("a panel has a query");
        let rows = wait_for(title, async || ask(&prometheus, target).await).await;
        assert_eq!(rows.len(), 1, "{title}: {rows:?}");
        figures.insert(title, values(&rows[0]));
    }
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(title, count)| {
            let count = u32::try_from(count).expect("the demo is small");
            (title, vec![f64::from(count)])
        })
        .collect();
    assert_eq!(figures, expected);
}

/// A credential report on one user, whose only key is as young as can be and in use.
fn report_on_one_young_key(created: &str) -> String {
    format!(
        "user,arn,user_creation_time,\
         access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
         access_key_1_last_used_region,access_key_1_last_used_service,\
         access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,\
         access_key_2_last_used_region,access_key_2_last_used_service\n\
         <root_account>,arn:aws:iam::111122223333:root,{created},\
         false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A\n\
         ci,arn:aws:iam::111122223333:user/ci,{created},\
         true,{created},{created},eu-central-1,s3,false,N/A,N/A,N/A,N/A\n"
    )
}

#[tokio::test]
#[ignore = "needs Prometheus: make test sets it up"]
async fn a_figure_is_0_and_not_missing_where_nothing_is_wrong() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let report = directory.path().join("report.csv");
    let created = Clock::System.now().format("%Y-%m-%dT%H:%M:%SZ");
    fs::write(&report, report_on_one_young_key(&created.to_string()))
        .expect("the temporary directory is writable");
    let exporter = Exporter::reading(&report);
    exporter.ready().await;
    let prometheus = Prometheus::scraping_each(&[exporter.address()]);

    for file in FILES {
        for panel in list(&read(file)["panels"]) {
            let kind = panel["type"].as_str().expect("a panel has a type");
            // The tables and the steps are rightly empty: there is nothing to do.
            if file == "worklist.json" || kind == "table" {
                continue;
            }
            for target in Target::all(panel) {
                let what = format!("{file}: {} {}", panel["title"], target.id());
                let rows = wait_for(&what, async || ask(&prometheus, target).await).await;
                if file == "overview.json" && kind == "stat" {
                    let expected = match panel["title"].as_str() {
                        Some("Compliance" | "Active keys") => 1.0,
                        _ => 0.0,
                    };
                    assert_eq!(values(&rows[0]), [expected], "{what}");
                }
            }
        }
    }
}

/// What two exporters may say of one key between their refreshes: nothing is the same but the key itself.
const EARLIER: &str = "\
iam_key_exporter_build_info{version=\"1\",revision=\"a\",rustc=\"1\"} 1
iam_key_exporter_account_up{account_id=\"111122223333\"} 1
aws_iam_users{account_id=\"111122223333\"} 1
aws_iam_account_info{account_id=\"111122223333\",account_name=\"Before\",account_alias=\"before\",partition=\"aws\"} 1
aws_iam_user_access_keys_compliant{account_id=\"111122223333\",user_name=\"ci\"} 0
aws_iam_user_rotation_step{account_id=\"111122223333\",user_name=\"ci\",step=\"deactivate\"} 1
aws_iam_user_tags_info{account_id=\"111122223333\",user_name=\"ci\",tag_owner=\"alice\",tag_team=\"one\"} 1
aws_iam_access_key_age_days{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA1\",status=\"Active\"} 200
aws_iam_access_key_age_days{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA2\",status=\"Active\"} 20
aws_iam_access_key_rotation_due_timestamp_seconds{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA1\",status=\"Active\"} 1700000000
aws_iam_access_key_never_used{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA1\",status=\"Active\"} 1
aws_iam_access_key_last_used_info{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA2\",aws_service=\"s3\",aws_region=\"eu-west-1\"} 1
";
const LATER: &str = "\
iam_key_exporter_build_info{version=\"2\",revision=\"b\",rustc=\"2\"} 1
iam_key_exporter_account_up{account_id=\"111122223333\"} 0
aws_iam_users{account_id=\"111122223333\"} 2
aws_iam_account_info{account_id=\"111122223333\",account_name=\"After\",account_alias=\"\",partition=\"aws\"} 1
aws_iam_user_access_keys_compliant{account_id=\"111122223333\",user_name=\"ci\"} 1
aws_iam_user_rotation_step{account_id=\"111122223333\",user_name=\"ci\",step=\"confirm\"} 1
aws_iam_user_exempt{account_id=\"111122223333\",user_name=\"ci\"} 1
aws_iam_user_tags_info{account_id=\"111122223333\",user_name=\"ci\",tag_Owner=\"bob\",tag_team=\"two\"} 1
aws_iam_access_key_age_days{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA1\",status=\"Inactive\"} 200.1
aws_iam_access_key_age_days{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA2\",status=\"Active\"} 20.1
aws_iam_access_key_last_used_timestamp_seconds{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA1\",status=\"Inactive\"} 1700000000
aws_iam_access_key_last_used_info{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA1\",aws_service=\"ec2\",aws_region=\"N/A\"} 1
aws_iam_access_key_last_used_info{account_id=\"111122223333\",user_name=\"ci\",access_key_id=\"AKIA2\",aws_service=\"iam\",aws_region=\"us-east-1\"} 1
";

#[tokio::test]
#[ignore = "needs Prometheus: make test sets it up"]
async fn two_exporters_that_differ_neither_break_a_query_nor_give_a_key_two_rows() {
    let exporters = [serve_static(EARLIER).await, serve_static(LATER).await];
    let prometheus = Prometheus::scraping_each(&exporters);
    prometheus
        .query_until("count(aws_iam_users) == 2", |elements| {
            elements.first().map(drop)
        })
        .await;

    for file in FILES {
        for panel in list(&read(file)["panels"]) {
            for target in Target::all(panel) {
                let what = format!("{file}: {} {}", panel["title"], target.id());
                let rows = rows(&prometheus, target).await;
                let rows = rows.unwrap_or_else(|error| panic!("{what}: {error}"));
                // In a table, a row is a key, a user, an account or an exporter.
                let subjects: BTreeSet<_> = rows
                    .iter()
                    .map(|row| {
                        ["instance", "account_id", "user_name", "access_key_id"]
                            .map(|label| row["metric"][label].to_string())
                    })
                    .collect();
                if panel["type"] == "table" {
                    assert_eq!(subjects.len(), rows.len(), "{what}: {rows:?}");
                }
            }
        }
    }
}
