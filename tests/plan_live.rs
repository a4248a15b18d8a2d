//! `plan` on AWS: what it would take away is read again, live.

mod support;

use std::process::{Command, Output, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use support::fake_aws::{Action, ErrorCode, FakeAws, Fault, LastUsed, Operation};
use tempfile::TempDir;

/// The exporter goes by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the edge of the test")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn days_ago(days: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(days)
}

/// An account at the present time.
fn aws() -> FakeAws {
    let aws = FakeAws::start_on_thread();
    aws.account().set_now(now());
    aws
}

/// Adds a key, to a new user if need be. Gives its id.
fn add_key(aws: &FakeAws, user: &str, status: &str, age: i64, idle: Option<i64>) -> String {
    let mut account = aws.account();
    if !account.users().contains_key(user) {
        account.add_user(user, days_ago(1000));
    }
    let id = account.add_key(user, days_ago(age));
    account.set_key_status(&id, status);
    if let Some(idle) = idle {
        account.set_last_used(&id, LastUsed::at(days_ago(idle)));
    }
    id
}

fn command(aws: &FakeAws, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"));
    command
        .arg("plan")
        .args(args)
        .env_clear()
        .envs(aws.environment())
        .stdin(Stdio::null());
    command
}

fn run(aws: &FakeAws, args: &[&str]) -> Output {
    command(aws, args).output().expect("the binary was built")
}

/// The plan as JSON, and the exit status.
fn plan(aws: &FakeAws, args: &[&str]) -> (Value, Option<i32>) {
    let output = run(aws, &[args, &["--output=json"]].concat());
    let plan = serde_json::from_slice(&output.stdout);
    (
        plan.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
        output.status.code(),
    )
}

/// Each user's step, as `name: step`.
fn steps(plan: &Value) -> Vec<String> {
    let users = plan["users"].as_array().expect("a list");
    users
        .iter()
        .map(|user| {
            let text = |name: &str| user[name].as_str().expect("a text").to_owned();
            format!("{}: {}", text("user_name"), text("step"))
        })
        .collect()
}

fn commands(plan: &Value) -> Vec<String> {
    let users = plan["users"].as_array().expect("a list");
    users
        .iter()
        .flat_map(|user| user["commands"].as_array().expect("a list"))
        .map(|command| command["command"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn the_next_command_is_ready_to_copy() {
    let aws = aws();
    let id = add_key(&aws, "alice", "Active", 200, Some(60));
    add_key(&aws, "bob", "Active", 10, Some(0));
    let directory = TempDir::new().expect("there is room for a directory");
    let credentials = directory.path().join("credentials");
    let profile = "[audit]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake\n";
    std::fs::write(&credentials, profile).expect("the directory is ours");
    let args = ["--aws.profile=audit", "--region=eu-west-1", "--output=json"];
    let output = command(&aws, &args)
        .env("AWS_SHARED_CREDENTIALS_FILE", credentials)
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let plan: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(steps(&plan), ["alice: deactivate"]);
    assert_eq!(
        commands(&plan),
        [format!(
            "aws --profile audit --region eu-west-1 iam update-access-key --user-name alice --access-key-id {id} \
             --status Inactive"
        )]
    );
    assert_eq!(plan["last_use_known_until"], Value::Null);
}

#[test]
fn a_use_since_the_report_is_seen() {
    let aws = aws();
    // Not due, so that its last use is the report's until it is looked at again.
    let id = add_key(&aws, "alice", "Inactive", 70, Some(60));
    add_key(&aws, "bob", "Inactive", 70, Some(60));
    aws.account().complete_report();
    aws.account().set_last_used(&id, LastUsed::at(days_ago(1)));
    let (plan, status) = plan(&aws, &[]);
    assert_eq!(status, Some(0));
    assert_eq!(steps(&plan), ["alice: confirm", "bob: delete"]);
}

#[test]
fn a_change_since_the_report_is_seen() {
    let aws = aws();
    let reactivated = add_key(&aws, "alice", "Inactive", 70, Some(60));
    let deleted = add_key(&aws, "bob", "Inactive", 70, Some(60));
    add_key(&aws, "carol", "Inactive", 70, Some(60));
    aws.account().complete_report();
    let mut account = aws.account();
    account.set_key_status(&reactivated, "Active");
    account.delete_key(&deleted);
    account.delete_user("carol");
    drop(account);
    for strategy in ["auto", "report", "list"] {
        let (plan, status) = plan(&aws, &["--aws.strategy", strategy]);
        assert_eq!(status, Some(0), "{strategy}");
        assert_eq!(steps(&plan), Vec::<String>::new(), "{strategy}");
    }
}

#[test]
fn what_may_not_be_read_again_counts_as_used() {
    let aws = aws();
    add_key(&aws, "alice", "Active", 200, Some(60));
    add_key(&aws, "bob", "Inactive", 70, Some(60));
    aws.account().complete_report();
    aws.deny(Operation::GetAccessKeyLastUsed);
    for strategy in ["auto", "report", "list"] {
        let (plan, status) = plan(&aws, &["--aws.strategy", strategy]);
        assert_eq!(status, Some(0));
        assert_eq!(
            steps(&plan),
            ["alice: create", "bob: confirm"],
            "{strategy}"
        );
    }
}

#[test]
fn a_user_who_can_not_be_read_again_gets_no_advice_and_is_told_of() {
    let aws = aws();
    add_key(&aws, "alice", "Inactive", 70, Some(60));
    add_key(&aws, "bob", "Inactive", 70, Some(60));
    aws.account().complete_report();
    // Under strategy report the only listing is the second look.
    let denied = Action::Error(ErrorCode::AccessDenied);
    aws.inject(Fault::on(Operation::ListAccessKeys, denied).user("alice"));
    for strategy in ["auto", "report", "list"] {
        let (plan, status) = plan(&aws, &["--aws.strategy", strategy]);
        assert_eq!(status, Some(2), "{strategy}");
        assert_eq!(steps(&plan), ["bob: delete"], "{strategy}");
        assert_eq!(plan["complete"], false);
        assert_eq!(plan["unread"][0]["user_name"], "alice");
        assert_eq!(plan["unread"][0]["reason"], "access_denied");
    }
}

#[test]
fn ids_are_looked_up_for_a_report_that_has_none() {
    let aws = aws();
    let retired = add_key(&aws, "alice", "Inactive", 70, Some(60));
    let old = add_key(&aws, "bob", "Active", 100, Some(0));
    let new = add_key(&aws, "bob", "Active", 10, None);
    let (plan, _) = plan(&aws, &["--aws.strategy=report"]);
    assert_eq!(steps(&plan), ["bob: update", "alice: delete"]);
    let commands = commands(&plan).join("\n");
    for id in [retired, old, new] {
        assert!(commands.contains(&id), "{commands}");
    }
}

#[test]
fn ids_that_may_not_be_looked_up_cost_nothing_else() {
    let aws = aws();
    add_key(&aws, "alice", "Inactive", 70, Some(60));
    add_key(&aws, "bob", "Active", 100, Some(0));
    add_key(&aws, "bob", "Active", 10, None);
    // As under the policy for this strategy.
    aws.deny(Operation::ListAccessKeys);
    aws.deny(Operation::GetAccessKeyLastUsed);
    let (plan, status) = plan(&aws, &["--aws.strategy=report"]);
    assert_eq!(status, Some(2));
    assert_eq!(steps(&plan), ["bob: update"]);
    assert_eq!(
        commands(&plan),
        ["aws --region us-east-1 iam list-access-keys --user-name bob"]
    );
    assert_eq!(plan["unread"][0]["user_name"], "alice");
}

#[test]
fn only_the_users_asked_for_are_read_again() {
    let aws = aws();
    for user in ["alice", "bob", "team,platform"] {
        add_key(&aws, user, "Inactive", 70, Some(60));
    }
    add_key(&aws, "unread", "Inactive", 70, Some(60));
    let denied = Action::Error(ErrorCode::AccessDenied);
    aws.inject(Fault::on(Operation::ListAccessKeys, denied).user("unread"));
    aws.account().complete_report();
    let users = ["--user=team,platform", "--user=alice", "--user=nobody"];
    let strategy = ["--aws.strategy=report"];
    let (chosen, status) = plan(&aws, &[&users[..], &strategy].concat());
    assert_eq!(
        status,
        Some(0),
        "the report was read, and who was asked for"
    );
    assert_eq!(steps(&chosen), ["alice: delete", "team,platform: delete"]);
    assert_eq!(aws.calls().of(Operation::ListAccessKeys), 2);
    assert!(chosen["remarks"].to_string().contains("no user nobody"));
    // What is printed never changes the exit status.
    let (_, status) = plan(&aws, &[&users[..], &["--aws.strategy=list"]].concat());
    assert_eq!(status, Some(2));
}

#[test]
fn a_last_use_that_fails_to_be_read_again_gives_no_advice_and_is_told_of() {
    let aws = aws();
    add_key(&aws, "alice", "Inactive", 70, Some(60));
    aws.account().complete_report();
    let broken = Action::Error(ErrorCode::ValidationError);
    aws.inject(Fault::on(Operation::GetAccessKeyLastUsed, broken));
    let (plan, status) = plan(&aws, &[]);
    assert_eq!(status, Some(2));
    assert_eq!(steps(&plan), [""; 0]);
    assert_eq!(plan["unread"][0]["user_name"], "alice");
}

#[test]
fn a_call_that_fails_beside_the_users_makes_the_plan_incomplete() {
    let aws = aws();
    add_key(&aws, "alice", "Active", 10, Some(1));
    let broken = Action::Error(ErrorCode::ValidationError);
    aws.inject(Fault::on(Operation::GetAccountSummary, broken));
    let (plan, status) = plan(&aws, &["--aws.strategy=list"]);
    assert_eq!(status, Some(2));
    let message = plan["failures"][0]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("GetAccountSummary: "), "{plan}");
}

#[test]
fn an_account_that_can_not_be_read_is_told_of() {
    let aws = aws();
    aws.deny(Operation::GetCallerIdentity);
    for format in ["text", "md", "sh"] {
        let output = run(&aws, &["--output", format]);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stdout).replace('\\', "");
        assert!(
            text.contains("could not be read completely (access_denied)"),
            "{text}"
        );
    }
    let (plan, _) = plan(&aws, &[]);
    assert_eq!(plan["failures"][0]["reason"], "access_denied");
    assert_eq!(plan["failures"][0]["account_id"], Value::Null);
}

#[test]
fn nothing_is_ever_changed() {
    let aws = aws();
    add_key(&aws, "alice", "Active", 200, Some(60));
    add_key(&aws, "bob", "Inactive", 70, Some(60));
    add_key(&aws, "carol", "Active", 100, Some(0));
    let before = aws.account().users().clone();
    for format in ["text", "json", "md", "sh"] {
        assert_eq!(run(&aws, &["--output", format]).status.code(), Some(0));
    }
    assert_eq!(*aws.account().users(), before);
}

#[test]
fn a_mistake_on_the_command_line_is_told_with_status_64() {
    let aws = aws();
    for args in [
        &["--output=yaml"][..],
        &["--source=aws", "--as-of=2024-06-30T12:00:00Z"],
        &["--region=a\u{7}b"],
        &["--region=https://example.com"],
        &["--refresh.timeout=0s"],
        &["--no-such-flag"],
    ] {
        let output = run(&aws, args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn profile_and_region_of_the_environment_are_named_too() {
    let aws = aws();
    add_key(&aws, "carol", "Active", 100, Some(0));
    let (plan, _) = plan(&aws, &[]);
    // The double's environment has AWS_REGION.
    assert_eq!(
        commands(&plan),
        ["aws --region us-east-1 iam create-access-key --user-name carol"]
    );
}

#[test]
fn a_key_is_not_retired_within_the_settle_time_however_the_flags_are_set() {
    let aws = aws();
    add_key(&aws, "alice", "Active", 200, Some(6));
    add_key(&aws, "bob", "Active", 200, Some(8));
    let (plan, _) = plan(&aws, &["--policy.unused-days=5", "--policy.settle-days=7"]);
    assert_eq!(steps(&plan), ["alice: create", "bob: deactivate"]);
}
