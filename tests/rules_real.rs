//! The rules, the routing and the texts, judged by Prometheus' and Alertmanager's own tools.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the tools up and runs them all.

#[expect(dead_code, reason = "only the tools of Prometheus are needed here")]
#[path = "support_real/tools.rs"]
mod tools;

use std::{fs, path::Path, process::Command};

use iam_key_exporter::rules::{Format, document};
use serde_json::{Value, json};

const ALERTMANAGER: &str = "deploy/alertmanager/alertmanager.yml";

/// Runs a tool in the repository and returns what it printed; fails if the tool does.
fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tools::tool(tool))
        .args(arguments)
        .current_dir(tools::repository(""))
        .output()
        .expect("the tool is there and starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{tool} {arguments:?}:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
#[ignore = "needs promtool"]
fn promtool_accepts_the_rules_and_the_configuration_that_loads_them() {
    run(
        "promtool",
        &["check", "rules", "deploy/prometheus/rules.yml"],
    );
    run(
        "promtool",
        &["check", "config", "deploy/prometheus/prometheus.yml"],
    );
}

#[test]
#[ignore = "needs promtool"]
fn promtool_accepts_the_groups_of_the_manifest() {
    let manifest = document(Format::Operator);
    let (_, groups) = manifest
        .split_once("spec:\n")
        .expect("a manifest has a spec");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("rules.yml");
    fs::write(&file, groups).expect("the temporary directory is writable");
    run("promtool", &["check", "rules", path(&file)]);
}

#[test]
#[ignore = "needs promtool"]
fn the_unit_tests_of_the_rules_pass() {
    run(
        "promtool",
        &["test", "rules", "deploy/prometheus/rules_test.yml"],
    );
}

#[test]
#[ignore = "needs amtool"]
fn amtool_accepts_the_routing_and_its_templates() {
    let said = run("amtool", &["check-config", ALERTMANAGER]);
    assert!(said.contains("1 templates"), "{said}");
}

#[test]
#[ignore = "needs amtool"]
fn each_alert_goes_to_those_who_can_act_on_it() {
    for (labels, receivers) in [
        // By severity, where nobody owns the user.
        (
            "alertname=AwsIamAccessKeyRotationOverdue|category=rotation|severity=warning|account_id=1|user_name=u",
            "iam-keys",
        ),
        (
            "alertname=AwsIamAccessKeyUnused|category=rotation|severity=warning|account_id=1",
            "iam-keys",
        ),
        (
            "alertname=AwsIamAccessKeyLongOverdue|category=rotation|severity=critical|account_id=1",
            "iam-keys-critical",
        ),
        (
            "alertname=AwsIamAccessKeyRootAccessKeyPresent|category=rotation|severity=critical|account_id=1",
            "iam-keys-critical",
        ),
        (
            "alertname=AwsIamAccessKeyRotationDueSoon|category=rotation|severity=info|account_id=1",
            "iam-keys-digest",
        ),
        (
            "alertname=AwsIamAccessKeyRetiredKeyNotDeleted|category=rotation|severity=info",
            "iam-keys-digest",
        ),
        // By team; what is critical to both.
        (
            "alertname=AwsIamAccessKeyRotationOverdue|category=rotation|severity=warning|team=platform",
            "iam-keys-team",
        ),
        (
            "alertname=AwsIamAccessKeyRotationOverdue|category=rotation|severity=warning|owner=alice",
            "iam-keys",
        ),
        (
            "alertname=AwsIamAccessKeyLongOverdue|category=rotation|severity=critical|team=platform",
            "iam-keys-critical,iam-keys-team",
        ),
        (
            "alertname=AwsIamAccessKeyRotationDueSoon|category=rotation|severity=info|team=platform",
            "iam-keys-digest",
        ),
        // By severity where the team's name makes no address, like nobody's.
        (
            "alertname=AwsIamAccessKeyRotationOverdue|category=rotation|severity=warning|team=Data Platform",
            "iam-keys",
        ),
        (
            "alertname=AwsIamAccessKeyRotationOverdue|category=rotation|severity=warning|team=a@b.c",
            "iam-keys",
        ),
        (
            "alertname=AwsIamAccessKeyRotationOverdue|category=rotation|severity=warning|team=data..platform",
            "iam-keys",
        ),
        (
            "alertname=AwsIamAccessKeyLongOverdue|category=rotation|severity=critical|team=Data Platform",
            "iam-keys-critical",
        ),
        (
            "alertname=AwsIamAccessKeyRotationDueSoon|category=rotation|severity=info|team=a@b.c",
            "iam-keys-digest",
        ),
        (
            "alertname=AwsIamAccessKeyUnused|category=rotation|severity=warning|team=Data-Platform_2.eu",
            "iam-keys-team",
        ),
        // The exporter's own, whatever the severity.
        (
            "alertname=AwsIamAccessKeyExporterAbsent|category=health|severity=critical|job=iam-key-exporter",
            "iam-keys-exporter",
        ),
        (
            "alertname=AwsIamAccessKeyAccountDown|category=health|severity=warning|job=iam-key-exporter|account_id=1",
            "iam-keys-exporter",
        ),
        // Everything else is none of ours.
        (
            "alertname=NodeDown|severity=critical|team=platform",
            "default",
        ),
    ] {
        let verify = format!("--verify.receivers={receivers}");
        let mut arguments = vec![
            "config",
            "routes",
            "test",
            "--config.file",
            ALERTMANAGER,
            &verify,
        ];
        arguments.extend(labels.split('|'));
        run("amtool", &arguments);
    }
}

/// A group of `firing` overdue keys and `resolved` ones that no longer are, as Alertmanager gives it to a template.
fn group(firing: usize, resolved: usize) -> Value {
    let alert = |number: usize, status: &str| {
        json!({
            "status": status,
            "labels": {
                "alertname": "AwsIamAccessKeyRotationOverdue", "severity": "warning", "account_id": "111122223333",
                "user_name": format!("user-{number}"),
            },
            "annotations": {
                "summary": "Access keys are overdue for rotation.",
                "description": format!("Key {number} of user-{number} has been overdue for 3.0 days."),
                "next_step": format!("create a second key: aws iam create-access-key --user-name=user-{number}"),
            },
            "startsAt": "2026-01-01T00:00:00Z",
        })
    };
    let alerts: Vec<Value> = (1..=firing)
        .map(|number| alert(number, "firing"))
        .chain((1..=resolved).map(|number| alert(number + firing, "resolved")))
        .collect();
    json!({
        "status": if firing > 0 { "firing" } else { "resolved" },
        "alerts": alerts,
        "groupLabels": {"alertname": "AwsIamAccessKeyRotationOverdue", "account_id": "111122223333"},
        "commonLabels": {"severity": "warning"},
        "commonAnnotations": {
            "summary": "Access keys are overdue for rotation.", "runbook_url": "https://example.com/runbook",
        },
        "externalURL": "http://alertmanager.example.com",
    })
}

/// A template's text for that group.
fn rendered(template: &str, group: &Value) -> String {
    let text = format!("{{{{ template \"iam_keys.{template}\" . }}}}");
    rendered_text(&text, template == "html", group)
}

/// A text for that group which may make use of the templates.
fn rendered_text(text: &str, html: bool, group: &Value) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let data = directory.path().join("group.json");
    fs::write(&data, group.to_string()).expect("the temporary directory is writable");
    let kind = if html { "html" } else { "text" };
    run(
        "amtool",
        &[
            "template",
            "render",
            "--template.glob=deploy/alertmanager/templates/*.tmpl",
            &format!("--template.text={text}"),
            &format!("--template.data={}", path(&data)),
            &format!("--template.type={kind}"),
        ],
    )
}

#[test]
#[ignore = "needs amtool"]
fn a_mail_says_what_is_wrong_and_what_to_do_next() {
    let group = group(2, 1);
    assert_eq!(
        rendered("title", &group),
        "[FIRING:2] Access keys are overdue for rotation in account 111122223333"
    );
    assert_eq!(
        rendered("text", &group),
        "Access keys are overdue for rotation.\n\
         \n\
         - Key 1 of user-1 has been overdue for 3.0 days.\n\
         \x20 Next: create a second key: aws iam create-access-key --user-name=user-1\n\
         - Key 2 of user-2 has been overdue for 3.0 days.\n\
         \x20 Next: create a second key: aws iam create-access-key --user-name=user-2\n\
         \n\
         No longer firing: 1\n\
         \n\
         What to do: https://example.com/runbook\n\
         All alerts: http://alertmanager.example.com\n"
    );
    let html = rendered("html", &group);
    assert_eq!(html.matches("<li>").count(), 2, "{html}");
    assert!(
        html.contains("<a href=\"https://example.com/runbook\">"),
        "{html}"
    );
    assert_eq!(
        rendered("title", &self::group(0, 2)),
        "[RESOLVED] Access keys are overdue for rotation in account 111122223333"
    );
}

#[test]
#[ignore = "needs amtool"]
fn what_users_wrote_into_tags_is_no_markup_in_a_mail() {
    let mut group = group(1, 0);
    group["alerts"][0]["annotations"]["description"] = "<script>alert(1)</script>".into();
    let html = rendered("html", &group);
    assert!(html.contains("&lt;script&gt;"), "{html}");
    assert!(!html.contains("<script>"), "{html}");
}

#[test]
#[ignore = "needs amtool"]
fn slack_gets_the_command_as_code_and_never_hundreds_of_keys() {
    let text = rendered("slack", &group(1, 0));
    assert!(
        text.contains("Next: create a second key: `aws iam create-access-key --user-name=user-1`"),
        "{text}"
    );
    let text = rendered("slack", &group(500, 3));
    assert_eq!(text.matches('•').count(), 20, "{text}");
    assert!(text.contains("first 20 of 500"), "{text}");
    assert!(text.len() < 4_000, "{} characters", text.len());
    assert_eq!(rendered("text", &group(500, 0)).matches("\n- ").count(), 50);
    assert_eq!(rendered("html", &group(500, 0)).matches("<li>").count(), 50);
    assert_eq!(rendered("color", &group(1, 0)), "warning");
    assert_eq!(rendered("color", &group(0, 1)), "good");
}

#[test]
#[ignore = "needs amtool"]
fn a_digest_of_several_alerts_needs_no_common_summary() {
    let mut group = group(3, 0);
    group["commonAnnotations"] = json!({});
    group["groupLabels"] = json!({"team": "platform"});
    assert_eq!(
        rendered("digest_title", &group),
        "[DIGEST] Access keys to see to: 3 (platform)"
    );
    let text = rendered("text", &group);
    assert!(text.starts_with("Access keys need attention.\n"), "{text}");
    assert_eq!(rendered("link", &group), "http://alertmanager.example.com");
}

/// The addresses and channels of the receivers that write to a team, as they are configured.
fn addresses_of_teams() -> Vec<String> {
    let config = fs::read_to_string(tools::repository(ALERTMANAGER)).expect("it is readable");
    let config: Value = yaml_serde::from_str(&config).expect("it is YAML");
    let receivers = config["receivers"].as_array().expect("it has receivers");
    ["email_configs", "slack_configs"]
        .iter()
        .flat_map(|kind| {
            receivers
                .iter()
                .filter_map(move |receiver| receiver[kind].as_array())
        })
        .flatten()
        .filter_map(|config| config["to"].as_str().or(config["channel"].as_str()))
        .filter(|address| address.contains("{{"))
        .map(str::to_owned)
        .collect()
}

#[test]
#[ignore = "needs amtool"]
fn what_is_said_to_a_team_goes_to_an_address_whatever_the_team_is_called() {
    let addresses = addresses_of_teams();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for (team, name) in [
        ("platform", "platform"),
        ("Data-Platform_2.eu", "Data-Platform_2.eu"),
        ("Data Platform", "iam-keys"),
        ("a@b.c", "iam-keys"),
        ("a@b.c, everybody", "iam-keys"),
        ("data..platform", "iam-keys"),
        (".platform", "iam-keys"),
        ("platform\n", "iam-keys"),
        ("", "iam-keys"),
    ] {
        let mut group = group(1, 0);
        group["groupLabels"] = json!({"team": team});
        for address in &addresses {
            let expected = if address.starts_with('#') {
                format!("#{name}")
            } else {
                format!("{name}@example.com")
            };
            assert_eq!(rendered_text(address, false, &group), expected, "{team:?}");
        }
    }
    // Where nobody has a team the label is not there at all.
    assert_eq!(rendered("team", &group(1, 0)), "iam-keys");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}
