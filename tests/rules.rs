//! The rules, their tests, their routing and their runbooks, held together and to what the exporter exposes.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

#[path = "support/promql.rs"]
mod promql;

use std::collections::{BTreeMap, BTreeSet};

use iam_key_exporter::rules::{Format, document};
use promql::{Known, Rule, check_expr, rules};
use yaml_serde::Value;

const RUNBOOKS: &str = include_str!("../docs/alerts.md");
const UNIT_TESTS: &str = include_str!("../deploy/prometheus/rules_test.yml");
const ALERTMANAGER: &str = include_str!("../deploy/alertmanager/alertmanager.yml");

const RUNBOOK_URL: &str =
    "https://github.com/iam-key-exporter/iam-key-exporter/blob/main/docs/alerts.md#";
const DASHBOARDS: [&str; 3] = ["iam-key-exporter", "iam-key-overview", "iam-key-worklist"];

fn all_rules() -> Vec<Rule> {
    rules(&document(Format::Prometheus))
}

fn alerts() -> Vec<Rule> {
    all_rules()
        .into_iter()
        .filter(|rule| rule.is_alert)
        .collect()
}

fn alert_names() -> BTreeSet<String> {
    alerts().into_iter().map(|alert| alert.name).collect()
}

fn known() -> Known {
    Known::exposed()
        .with_rules(&document(Format::Prometheus))
        .expect("every rule speaks of what there is")
}

/// The labels that an alert can have, those that its rule sets included.
fn labels(alert: &Rule, known: &Known) -> BTreeSet<String> {
    let of_expr = known.labels_of(&alert.expr).unwrap();
    of_expr.into_iter().chain(alert.labels.clone()).collect()
}

fn annotations(alert: &Rule) -> BTreeMap<&str, &str> {
    let mapping = alert.yaml["annotations"].as_mapping().unwrap();
    mapping
        .iter()
        .map(|(name, text)| (name.as_str().unwrap(), text.as_str().unwrap()))
        .collect()
}

/// The words in `text`, a word being what a name in `PromQL` may be made of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
}

fn is_metric(word: &str) -> bool {
    word.contains("aws_iam_") || word.contains("iam_key_exporter_")
}

#[test]
fn every_metric_and_label_in_a_rule_exists() {
    let known = known();
    for rule in all_rules() {
        check_expr(&rule.expr, &known).unwrap_or_else(|error| panic!("{}: {error}", rule.name));
    }
}

#[test]
fn a_name_broken_anywhere_in_the_rules_is_found() {
    let known = known();
    let mut broken = 0;
    for rule in all_rules() {
        let names: BTreeSet<&str> = words(&rule.expr)
            .filter(|&word| {
                is_metric(word)
                    || word == "up"
                    || ["account_id", "user_name", "job"].contains(&word)
            })
            .collect();
        for name in names {
            for (at, _) in rule.expr.match_indices(name) {
                let (before, rest) = rule.expr.split_at(at);
                let after = &rest[name.len()..];
                let in_a_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                if before.ends_with(in_a_word) || after.starts_with(in_a_word) {
                    continue;
                }
                let expr = format!("{before}{name}z{after}");
                assert!(
                    check_expr(&expr, &known).is_err(),
                    "{}: {name}z passes in {expr}",
                    rule.name
                );
                broken += 1;
            }
        }
    }
    assert!(broken > 150, "only {broken} names were broken");
}

#[test]
fn the_checker_finds_each_kind_of_mistake() {
    let known = known();
    for (expr, error) in [
        (
            "aws_iam_access_key_age_day",
            "no metric aws_iam_access_key_age_day",
        ),
        ("sum by (account_id (up)", "unclosed left parenthesis"),
        (
            "aws_iam_access_key_age_days{acount_id=\"1\"}",
            "no label acount_id",
        ),
        (
            "aws_iam_access_key_age_days{status=\"active\"}",
            "is never \"active\"",
        ),
        (
            "aws_iam_access_key_age_days{status=~\"Active|Retired\"}",
            "is never \"Retired\"",
        ),
        (
            "aws_iam_user_rotation_step{step!=\"remove\"}",
            "is never \"remove\"",
        ),
        (
            "sum by (step) (aws_iam_access_key_age_days)",
            "no label step",
        ),
        (
            "sum(rate(iam_key_exporter_refreshes_total{reason=\"tls\"}[5m]))",
            "no label reason",
        ),
        (
            "max by (job) (sum by (account_id) (aws_iam_users))",
            "no label job",
        ),
        (
            "aws_iam_users * on (account_id) group_left (name) aws_iam_account_info",
            "no label name",
        ),
        (
            "aws_iam_users * on (user_name) aws_iam_user_exempt",
            "the left side has no label user_name",
        ),
        (
            "sum by (account_id) (aws_iam_users) > iam_key_exporter_refresh_interval_seconds",
            "never match",
        ),
        (
            "aws_iam_access_key_age_days unless aws_iam_user_exempt",
            "never match",
        ),
        (
            "label_replace(aws_iam_users, \"a\", \"$1\", \"name\", \"(.*)\")",
            "no label name",
        ),
        ("max without (pod) (aws_iam_users)", "no label pod"),
        ("{job=\"iam-key-exporter\"}", "without the name"),
        ("ALERTS{alertname=\"X\",pod=\"a\"}", "no label pod"),
    ] {
        let found = check_expr(expr, &known).expect_err(expr);
        assert!(found.contains(error), "{expr}: {found}");
    }
}

#[test]
fn the_checker_knows_what_each_construct_does_to_labels() {
    let known = known();
    for (expr, labels) in [
        (
            "aws_iam_access_key_age_days",
            "access_key_id account_id instance job status user_name",
        ),
        ("sum without (instance, job) (aws_iam_users)", "account_id"),
        (
            "topk(20, max by (account_id, user_name) (aws_iam_access_key_age_days))",
            "account_id user_name",
        ),
        (
            "count_values by (account_id) (\"days\", aws_iam_access_key_age_days)",
            "account_id days",
        ),
        (
            "max by (user_name) (aws_iam_user_exempt) * on (user_name) group_left (tag_owner) aws_iam_user_tags_info",
            "tag_owner user_name",
        ),
        ("time() - max by (job) (process_start_time_seconds)", "job"),
        (
            "label_replace(sum(up), \"scope\", \"all\", \"\", \"\")",
            "scope",
        ),
        ("max_over_time(sum(up)[1h:1m])", ""),
        (
            "account:aws_iam_access_keys_active_by_age:count",
            "account_id age_days",
        ),
        (
            "count by (alertname, severity, team) (ALERTS{alertstate=\"firing\"})",
            "alertname severity team",
        ),
        ("{__name__=\"up\"}", "instance job"),
        ("absent(up{job=\"iam-key-exporter\"})", "job"),
        ("absent(up{job=\"iam-key-exporter\"} == 1)", ""),
    ] {
        let found = known.labels_of(expr).expect(expr);
        let found: Vec<_> = found.iter().map(|label| &**label).collect();
        assert_eq!(found.join(" "), labels, "{expr}");
    }
}

#[test]
fn alerts_are_named_and_annotated_by_the_conventions() {
    let known = known();
    let mut summaries = BTreeSet::new();
    for alert in alerts() {
        let name = &alert.name;
        assert!(name.starts_with("AwsIamAccessKey"), "{name}");
        let label = |label: &str| alert.yaml["labels"][label].as_str().unwrap_or_default();
        assert!(
            ["critical", "warning", "info"].contains(&label("severity")),
            "{name}"
        );
        assert!(
            ["rotation", "health"].contains(&label("category")),
            "{name}"
        );
        for key in ["for", "keep_firing_for"] {
            assert!(alert.yaml[key].is_string(), "{name} lacks {key}");
        }
        let annotations = annotations(&alert);
        let text = |key: &str| *annotations.get(key).unwrap_or(&"");
        // One for a whole group of alerts, so nothing of one alert is in it.
        assert!(
            text("summary").ends_with('.') && !text("summary").contains("{{"),
            "{name}"
        );
        assert!(summaries.insert(text("summary").to_owned()), "{name}");
        assert!(text("description").ends_with('.'), "{name}");
        assert_eq!(
            text("next_step").is_empty(),
            label("category") == "health",
            "{name}: the rotation's alerts, and only they, name the next step"
        );
        let uid = text("dashboard_url").split(['/', '?']).nth(2);
        assert!(uid.is_some_and(|uid| DASHBOARDS.contains(&uid)), "{name}");
        let labels = labels(&alert, &known);
        for aggregated in ["instance", "pod"] {
            assert!(!labels.contains(aggregated), "{name} keeps {aggregated}");
        }
        for text in annotations.values() {
            for label in text
                .split("$labels.")
                .skip(1)
                .filter_map(|rest| words(rest).next())
            {
                assert!(labels.contains(label), "{name} has no label {label}");
            }
        }
    }
}

#[test]
fn what_the_templates_ask_for_exists() {
    let known = known();
    let mut asked = BTreeSet::new();
    for alert in alerts() {
        for text in annotations(&alert)
            .values()
            .filter(|text| text.contains("query"))
        {
            for metric in words(text).filter(|word| is_metric(word)) {
                assert!(known.has(metric), "{}: {metric}", alert.name);
                asked.insert(metric.to_owned());
            }
        }
    }
    assert!(asked.contains("aws_iam_user_rotation_step"), "{asked:?}");
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let headings: Vec<&str> = RUNBOOKS
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("AwsIam"))
        .collect();
    let entries: BTreeSet<String> = headings.iter().map(|&heading| heading.into()).collect();
    assert_eq!(entries.len(), headings.len(), "a heading stands twice");
    assert_eq!(entries, alert_names());
    for alert in alerts() {
        // GitHub's anchor of a heading that is one word.
        let anchor = alert.name.to_lowercase();
        assert_eq!(
            annotations(&alert)["runbook_url"],
            format!("{RUNBOOK_URL}{anchor}")
        );
    }
}

#[test]
fn each_runbook_tells_what_it_means_where_to_look_what_to_do_and_how_to_silence_it() {
    let alerts: BTreeMap<_, _> = alerts()
        .into_iter()
        .map(|alert| (alert.name.clone(), alert))
        .collect();
    for entry in RUNBOOKS.split("\n### ").skip(1) {
        let (name, text) = entry.split_once('\n').unwrap();
        let Some(alert) = alerts.get(name) else {
            continue;
        };
        let text = text.split("\n## ").next().unwrap();
        for part in ["**Meaning.**", "**Look.**", "**Do.**", "**Silence.**"] {
            assert!(text.contains(part), "{name} lacks {part}");
        }
        let severity = alert.yaml["labels"]["severity"].as_str().unwrap();
        assert!(
            text.trim_start().starts_with(&format!("*{severity}*")),
            "{name} isn't said to be {severity}"
        );
    }
}

#[test]
fn the_table_of_recorded_series_is_complete_and_names_their_labels() {
    let known = known();
    let recorded: BTreeSet<String> = all_rules()
        .into_iter()
        .filter(|rule| !rule.is_alert)
        .map(|rule| rule.name)
        .collect();
    let mut documented: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut above = BTreeSet::new();
    for row in RUNBOOKS.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        if !name.contains(':') {
            continue;
        }
        above = match cells[2] {
            "same" => above,
            "–" => BTreeSet::new(),
            labels => labels
                .split(", ")
                .map(|label| label.trim_matches('`'))
                .collect(),
        };
        documented.insert(name, above.clone());
    }
    let names: BTreeSet<String> = documented.keys().map(|&name| name.into()).collect();
    assert_eq!(names, recorded);
    for (name, labels) in documented {
        let found = known.labels_of(name).unwrap();
        let found: BTreeSet<&str> = found.iter().map(|label| &**label).collect();
        assert_eq!(found, labels, "{name}");
    }
}

#[test]
fn every_query_in_the_runbooks_speaks_of_what_exists() {
    let known = known();
    let queries: Vec<&str> = RUNBOOKS
        .split("```promql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(queries.len() >= 5, "{}", queries.len());
    for query in queries {
        check_expr(query, &known).unwrap();
    }
}

#[test]
fn each_alert_is_seen_to_fire_and_not_to_fire_in_the_unit_tests() {
    let unit_tests: Value = yaml_serde::from_str(UNIT_TESTS).unwrap();
    let mut fires = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for test in unit_tests["tests"].as_sequence().unwrap() {
        for case in test["alert_rule_test"].as_sequence().into_iter().flatten() {
            let name = case["alertname"].as_str().unwrap().to_owned();
            if case["exp_alerts"].is_null() {
                silent.insert(name);
            } else {
                fires.insert(name);
            }
        }
    }
    assert_eq!(fires, alert_names());
    assert_eq!(silent, alert_names());
    let order = unit_tests["group_eval_order"].as_sequence().unwrap();
    let rules: Value = yaml_serde::from_str(&document(Format::Prometheus)).unwrap();
    let groups = rules["groups"].as_sequence().unwrap().iter();
    assert_eq!(
        order,
        &groups
            .map(|group| group["name"].clone())
            .collect::<Vec<_>>()
    );
}

#[test]
fn routes_and_inhibitions_speak_of_alerts_and_labels_that_exist() {
    let known = known();
    let names = alert_names();
    let mut all: BTreeSet<String> = alerts()
        .iter()
        .flat_map(|alert| labels(alert, &known))
        .collect();
    all.insert("alertname".into());
    let config: Value = yaml_serde::from_str(ALERTMANAGER).unwrap();
    let mut labels_used = BTreeSet::new();
    let mut alerts_used = BTreeSet::new();
    collect(&config, &mut labels_used, &mut alerts_used);
    assert!(labels_used.is_subset(&all), "{labels_used:?}");
    assert!(labels_used.len() > 5, "{labels_used:?}");
    assert!(alerts_used.is_subset(&names), "{alerts_used:?}");
    assert!(alerts_used.len() > 5, "{alerts_used:?}");
}

/// Collects the labels and the names of alerts that the configuration speaks of.
fn collect(value: &Value, labels: &mut BTreeSet<String>, alerts: &mut BTreeSet<String>) {
    if let Some(mapping) = value.as_mapping() {
        for (key, value) in mapping {
            let texts = || {
                value
                    .as_sequence()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
            };
            match key.as_str() {
                Some("group_by" | "equal") => labels.extend(texts().map(str::to_owned)),
                Some("matchers" | "source_matchers" | "target_matchers") => {
                    for matcher in texts() {
                        let label = words(matcher).next().unwrap_or_default();
                        labels.insert(label.to_owned());
                        alerts.extend(
                            words(matcher)
                                .filter(|word| word.starts_with("AwsIamAccessKey"))
                                .filter(|&word| word != "AwsIamAccessKey")
                                .map(str::to_owned),
                        );
                    }
                }
                _ => collect(value, labels, alerts),
            }
        }
    }
    for value in value.as_sequence().into_iter().flatten() {
        collect(value, labels, alerts);
    }
}
