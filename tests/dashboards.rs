//! What is wrong with a Grafana dashboard shows only when somebody looks at it: a query that is misspelt, a column that
//! isn't there, a transformation that doesn't exist are all accepted and leave a blank. Here they fail a test.
//!
//! Among the rules are those of grafana/dashboard-linter, save for its `instance` variable: every figure here is one
//! of the accounts, whichever exporter read them.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

#[path = "support/dashboards.rs"]
mod dashboards;
mod grafana_rules;
#[path = "support/promql.rs"]
#[allow(dead_code, reason = "shared with the tests of the rules")]
mod promql;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use dashboards::{FILES, Target, list, read};
use grafana_rules::faults;
use promql::Known;
use promql_parser::parser::{Expr, VectorSelector, parse};

#[test]
fn nothing_is_wrong_with_any_dashboard() {
    let known = Known::exposed();
    for file in FILES {
        let faults = faults(&read(file), &known);
        assert!(faults.is_empty(), "{file}: {faults:#?}");
    }
}

#[test]
fn every_file_of_the_directory_is_checked() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
    let there: BTreeSet<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, FILES.map(String::from).into());
}

#[test]
fn the_uids_are_those_that_links_rely_on() {
    let uids = FILES.map(|file| read(file)["uid"].clone());
    assert_eq!(
        uids,
        ["iam-key-exporter", "iam-key-overview", "iam-key-worklist"]
    );
}

/// For each query that `change` has something to do in: its place, and the dashboard with nothing but the changed query in
/// nothing but its panel.
fn each_query_changed(
    dashboard: &Value,
    change: impl Fn(&str) -> Option<String>,
) -> Vec<(String, Value)> {
    let mut changed = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in Target::all(panel) {
            if let Some(expr) = change(target.expr()) {
                let mut query = target.json().clone();
                query["expr"] = expr.into();
                let mut copy = panel.clone();
                copy["targets"] = json!([query]);
                let mut with_one_panel = dashboard.clone();
                with_one_panel["panels"] = json!([copy]);
                changed.push((
                    format!("{} {}", panel["title"], target.id()),
                    with_one_panel,
                ));
            }
        }
    }
    changed
}

/// The names of metrics and labels in an expression, outside the selectors' quotes.
fn names(expr: &str, known: &Known) -> BTreeSet<String> {
    const LABELS: [&str; 13] = [
        "access_key_id",
        "account_id",
        "account_name",
        "aws_region",
        "aws_service",
        "instance",
        "job",
        "operation",
        "owner",
        "reason",
        "status",
        "step",
        "user_name",
    ];
    expr.split(|c: char| !is_of_a_name(c))
        .filter(|word| known.has(word) || LABELS.contains(word))
        .map(Into::into)
        .collect()
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

#[test]
fn a_name_misspelt_in_any_query_of_any_file_is_found() {
    let known = Known::exposed();
    let mut tried = 0;
    for file in FILES {
        let dashboard = read(file);
        let all: BTreeSet<String> = list(&dashboard["panels"])
            .flat_map(Target::all)
            .flat_map(|target| names(target.expr(), &known))
            .collect();
        for name in all {
            // Only where it stands first, so that nothing else in the query can give it away.
            let misspelt = |expr: &str| {
                let at = expr.match_indices(&name).map(|(at, _)| at).find(|&at| {
                    !expr[..at].ends_with(is_of_a_name)
                        && !expr[at + name.len()..].starts_with(is_of_a_name)
                })?;
                let (before, after) = expr.split_at(at);
                Some(format!("{before}{name}x{}", &after[name.len()..]))
            };
            for (place, broken) in each_query_changed(&dashboard, misspelt) {
                tried += 1;
                let faults = faults(&broken, &known);
                assert!(
                    faults
                        .iter()
                        .any(|fault| fault.contains(&format!("{name}x"))),
                    "{file}: {place}: {name} misspelt is not found, only {faults:?}"
                );
            }
        }
    }
    assert!(tried > 400, "only {tried} names were tried");
}

#[test]
fn a_query_without_its_last_parenthesis_is_found() {
    let known = Known::exposed();
    for file in FILES {
        let cut = |expr: &str| expr.rfind(')').map(|at| expr[..at].to_owned());
        for (place, broken) in each_query_changed(&read(file), cut) {
            let faults = faults(&broken, &known);
            assert!(
                faults.iter().any(|fault| fault.contains("parenthesis")),
                "{file}: {place}: {faults:?}"
            );
        }
    }
}

/// A place in the dashboard (`TABLE` is its table), what somebody could put there, and a word of what should be said
/// of it.
type Mistake = (&'static str, Value, &'static str);

// One mistake a line.
#[rustfmt::skip]
fn mistakes() -> Vec<Mistake> {
    vec![
        ("/__inputs", json!([]), "__inputs"),
        ("/editable", json!(true), "editable"),
        ("/schemaVersion", json!(16), "schemaVersion"),
        ("/uid", json!("other"), "uid"),
        ("/links", json!([]), "link"),
        ("/templating/list/0/query", json!("loki"), "datasource"),
        ("/templating/list/1/allValue", json!(".*"), "job"),
        ("/templating/list/2/multi", json!(false), "account_id"),
        ("/templating/list/2/query/query", json!("label_values(iam_key_exporter_accountup, account_id)"), "no metric"),
        ("/panels/0/id", json!(2), "same id"),
        ("/panels/0/gridPos/w", json!(5), "overlap"),
        ("/panels/5/gridPos/w", json!(5), "beyond"),
        ("/panels/0/type", json!("stats"), "type"),
        ("/panels/0/title", json!(""), "title"),
        ("/panels/0/description", json!(""), "description"),
        ("/panels/0/datasource/uid", json!("prometheus"), "datasource"),
        ("/panels/0/targets", json!([]), "queries"),
        ("/panels/0/targets/0/datasource/uid", json!("prometheus"), "datasource"),
        ("/panels/0/targets/0/refId", json!(""), "refId"),
        ("/panels/0/targets/0/instant", json!(false), "instant"),
        ("/panels/0/targets/0/legendFormat", json!("{{user_name}}"), "legend"),
        ("/panels/0/targets/0/expr", json!("avg(aws_iam_user_access_keys_compliant)"), "job"),
        ("/panels/0/targets/0/expr", json!("aws_iam_users{job=~\"$job\", account_id=~\"$account_id\"}"), "instance"),
        ("/panels/0/targets/0/expr", json!("sum(iam_key_exporter_aws_requests_total{job=~\"$job\"})"), "without a rate"),
        ("/panels/0/targets/0/expr", json!("sum(rate(iam_key_exporter_aws_requests_total{job=~\"$job\"}[5m]))"), "$__rate_interval"),
        ("/panels/0/fieldConfig/defaults/unit", json!("percents"), "unit"),
        ("/panels/0/fieldConfig/defaults/unit", json!("d"), "unit"),
        ("/panels/0/fieldConfig/defaults/thresholds/steps/0/value", json!(0), "threshold"),
        ("/panels/0/fieldConfig/defaults/thresholds/steps/0/color", json!("rouge"), "colour"),
        ("/panels/0/options/reduceOptions/calcs", json!(["latest"]), "calculation"),
        ("TABLE/transformations/0/id", json!("merged"), "transformation"),
        ("TABLE/transformations/0/id", json!("organize"), "transformation"),
        ("TABLE/transformations/1/options/renameByName/user", json!("Somebody"), "no field user"),
        ("TABLE/transformations/1/options/renameByName/user_name", json!("Age"), "two columns"),
        ("TABLE/transformations/1/options/indexByName/Value #Z", json!(3), "no field Value #Z"),
        ("TABLE/transformations/1/options/excludeByName", json!({}), "nor hidden"),
        ("TABLE/options/sortBy/0/displayName", json!("Ages"), "no column Ages"),
        ("TABLE/fieldConfig/overrides/0/matcher/options", json!("Accounts"), "no column Accounts"),
        ("TABLE/fieldConfig/overrides/0/properties/0/id", json!("custom.breadth"), "property"),
        ("TABLE/targets/1/format", json!("time_series"), "format"),
        ("TABLE/targets/1/refId", json!("A"), "refId"),
        ("TABLE/targets/1/expr", json!("sum by (job) (aws_iam_users{job=~\"$job\", account_id=~\"$account_id\"})"), "no key"),
    ]
}

#[test]
fn every_other_mistake_is_found() {
    let known = Known::exposed();
    let dashboard = read("overview.json");
    let table = list(&dashboard["panels"])
        .position(|panel| panel["type"] == "table")
        .unwrap();
    for (place, value, said) in mistakes() {
        let pointer = place.replace("TABLE", &format!("/panels/{table}"));
        let mut broken = dashboard.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match broken.pointer_mut(parent).expect(parent) {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            Value::Object(map) => {
                map.insert(key.to_owned(), value);
            }
            other => panic!("{pointer} is below {other}"),
        }
        let faults = faults(&broken, &known);
        assert!(
            faults.iter().any(|fault| fault.contains(said)),
            "{pointer}: nothing of {said:?} in {faults:?}"
        );
    }
}

#[test]
fn the_dashboards_work_without_recording_rules() {
    // A recorded name has colons in it.
    for file in FILES {
        for target in list(&read(file)["panels"]).flat_map(Target::all) {
            let expr = grafana_rules::substituted(target.expr());
            for VectorSelector { name, .. } in grafana_rules::selectors(&parse(&expr).unwrap()) {
                assert!(!name.as_ref().unwrap().contains(':'), "{file}: {name:?}");
            }
            assert!(matches!(parse(&expr), Ok(expr) if !matches!(expr, Expr::StringLiteral(_))));
        }
    }
}

fn provisioning(file: &str) -> yaml_serde::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("grafana/provisioning")
        .join(file);
    yaml_serde::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_provisioned_datasource_is_a_prometheus_that_is_asked_as_often_as_it_scrapes() {
    let file = provisioning("datasources/prometheus.yaml");
    assert_eq!(file["apiVersion"], 1);
    let datasource = &file["datasources"][0];
    assert_eq!(datasource["type"], "prometheus");
    let prometheus: yaml_serde::Value = yaml_serde::from_str(
        &fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/prometheus.yml"),
        )
        .unwrap(),
    )
    .unwrap();
    assert_eq!(
        datasource["jsonData"]["timeInterval"],
        prometheus["global"]["scrape_interval"]
    );
}

#[test]
fn the_provisioned_dashboards_are_read_from_a_directory_and_stay_as_they_are() {
    let file = provisioning("dashboards/iam-key-exporter.yaml");
    assert_eq!(file["apiVersion"], 1);
    let provider = &file["providers"][0];
    assert_eq!(provider["type"], "file");
    assert_eq!(provider["allowUiUpdates"], false);
    assert_eq!(
        provider["options"]["path"],
        "/etc/grafana/dashboards/iam-key-exporter"
    );
}
