//! The configuration file: what it gives, what is wrong with it, and what it does.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use exporter::{Exporter, Finished, command, run};
use iam_key_exporter::{
    cli::PolicyArgs,
    config::{self, CheckArgs, Config},
    policy::Boundary,
    source::accounts::{AccountFilter, Accounts},
};
use tempfile::TempDir;

/// Where the files are, as a path that begins at the package.
const FIXTURES: &str = "tests/fixtures/config";

fn now() -> DateTime<Utc> {
    "2024-06-30T12:00:00Z".parse().unwrap()
}

/// The files in a directory of fixtures, by name.
fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(FIXTURES).join(directory)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn good(name: &str) -> Config {
    let path = Path::new(FIXTURES).join("good").join(name);
    config::load(Some(&path), PolicyArgs::default()).unwrap()
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn each_bad_file_gives_one_line_with_its_place_its_field_and_what_is_allowed() {
    let files = files("bad");
    assert!(files.len() >= 40, "{}", files.len());
    let mut errors = String::new();
    for path in files {
        let error = config::load(Some(&path), PolicyArgs::default())
            .expect_err(&path.display().to_string())
            .to_string();
        assert!(!error.contains('\n'), "{error}");
        errors.push_str(
            error
                .strip_prefix(FIXTURES)
                .unwrap()
                .trim_start_matches("/bad/"),
        );
        errors.push('\n');
    }
    assert_golden("config_errors", &errors);
}

#[test]
fn each_good_file_is_told_in_short() {
    let mut told = Vec::new();
    for file in files("good") {
        config::check(&CheckArgs { file }, now(), &mut told)
            .unwrap()
            .unwrap();
    }
    assert_golden("config_summaries", &String::from_utf8(told).unwrap());
}

#[test]
fn without_a_file_and_with_an_empty_one_everything_has_its_default() {
    let none = config::load(None, PolicyArgs::default()).unwrap();
    assert_eq!(none, Config::default());
    assert_eq!(good("empty.yml"), none);
    assert_eq!(good("comments_only.yml"), none);
}

#[test]
fn a_role_is_taken_as_written_and_its_account_keeps_its_zeros() {
    let Accounts::Listed(roles) = good("one_account.yml").accounts else {
        panic!("there is a list");
    };
    let [role] = &roles[..] else {
        panic!("one role, not {roles:?}");
    };
    assert_eq!(role.arn.account().as_str(), "012345678901");
    assert_eq!(&**role.arn.partition(), "aws-cn");
    assert_eq!(role.name.as_deref(), Some("B\u{fc}ro Peking"));
    assert_eq!(
        role.external_id.as_ref().unwrap().as_str(),
        "example-external-id"
    );
    assert_eq!(
        role.session_name.as_ref().unwrap().as_str(),
        "iam-key-exporter"
    );
    assert_eq!(role.region.as_ref().unwrap().as_str(), "cn-north-1");
}

#[test]
fn an_organization_is_all_its_members_every_hour_unless_the_file_says_otherwise() {
    let organization = |name| match good(name).accounts {
        Accounts::Organization(organization) => organization,
        other => panic!("an organization, not {other:?}"),
    };
    let plain = organization("organization.yml");
    assert_eq!(plain.role_name.as_str(), "audit/reader");
    assert_eq!(plain.discovery_interval, Duration::from_hours(1));
    assert!(plain.include.is_empty() && plain.exclude.is_empty());

    let filtered = organization("organization_filtered.yml");
    assert_eq!(filtered.discovery_interval, Duration::from_mins(90));
    let id = |text: &str| AccountFilter::Id(text.parse().unwrap());
    let unit = |text: &str| AccountFilter::Ou(text.parse().unwrap());
    let stage = |value: &str| AccountFilter::Tag {
        key: "stage".into(),
        value: Some(value.parse().unwrap()),
    };
    assert_eq!(
        filtered.include,
        [
            id("012345678901"),
            id("111122223333"),
            unit("r-ab12"),
            unit("ou-ab12-12345678")
        ]
    );
    assert_eq!(filtered.exclude, [stage("dev"), stage("test-*")]);
}

#[test]
fn the_thresholds_come_from_the_file() {
    let thresholds = good("policy.yml").policy.thresholds;
    let days = TimeDelta::days;
    assert_eq!(thresholds.max_age, days(60));
    assert_eq!(thresholds.warn, days(0));
    assert_eq!(thresholds.settle, days(10));
    assert_eq!(
        thresholds.unused,
        days(10),
        "no key is unused before it has settled"
    );
    assert_eq!(thresholds.boundary, Boundary::WholeDays);
}

#[test]
fn a_date_counts_to_its_end_in_utc_and_a_time_is_the_very_instant() {
    let policy = good("rules.yml").policy;
    let until: Vec<_> = policy
        .exemptions
        .iter()
        .map(|rule| rule.exemption.until.map(|until| until.to_rfc3339()))
        .collect();
    let at = |text: &str| Some(text.to_owned());
    assert_eq!(
        until,
        [
            None,
            at("2024-06-30T00:00:00+00:00"),
            at("2024-07-01T00:00:00+00:00"),
            at("2024-06-30T12:00:00+00:00"),
        ]
    );
    assert_eq!(
        &*policy.exemptions[0].exemption.reason,
        "a long reason that goes on over two lines of the file"
    );
}

#[test]
fn the_tags_of_rules_and_labels_are_wanted() {
    let wanted = |name| {
        let tags = good(name).wanted_tags();
        tags.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(wanted("rules.yml"), ["Kind", "aws:team"]);
    assert_eq!(
        wanted("tags.yml"),
        [
            "Cost Center",
            "Cost-Center",
            "cost-center",
            "gr\u{f6}\u{df}e",
            "owner"
        ]
    );
    assert!(wanted("policy.yml").is_empty());
}

/// A directory that holds a configuration file.
struct Configured {
    directory: TempDir,
}

impl Configured {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.yml"), text).unwrap();
        Self { directory }
    }

    fn path(&self) -> String {
        self.directory
            .path()
            .join("config.yml")
            .display()
            .to_string()
    }

    fn flag(&self) -> String {
        format!("--config.file={}", self.path())
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        run(command().args(arguments).arg(self.flag()))
    }
}

#[test]
fn config_check_prints_what_the_file_says_and_ends_with_0() {
    let file = Configured::new("policy: {max_age_days: 30}\n");
    let finished = run(command().args(["config", "check", &file.path()]));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished
            .stdout
            .starts_with(&format!("{} is valid\n", file.path()))
    );
    assert!(
        finished.stdout.contains("max age 30 days (exact)"),
        "{}",
        finished.stdout
    );
    assert_eq!(finished.stderr, "");
}

#[test]
fn config_check_prints_the_error_alone_and_ends_with_64() {
    let file = Configured::new("policy: {max_age_days: 0}\n");
    let finished = run(command().args(["config", "check", &file.path()]));
    assert_eq!(finished.code, Some(64));
    assert_eq!(finished.stdout, "");
    let place = format!(
        "{}:1:24: policy.max_age_days: must be a whole number of days",
        file.path()
    );
    assert!(finished.stderr.starts_with(&place), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1);

    let missing = run(command().args(["config", "check", "/nowhere/config.yml"]));
    assert_eq!(missing.code, Some(64));
    assert!(
        missing
            .stderr
            .starts_with("/nowhere/config.yml cannot be read: "),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_bad_file_ends_every_command_that_takes_one_with_64() {
    let file = Configured::new("exemptions:\n  - match: {user_names: [a]}\n");
    for arguments in [&["check"][..], &["plan"], &[]] {
        let mut arguments = arguments.to_vec();
        arguments.push("--source=demo");
        let finished = file.run(&arguments);
        assert_eq!(
            finished.code,
            Some(64),
            "{arguments:?}: {}",
            finished.stderr
        );
        let error = "config.yml:2:5: exemptions[0]: reason is missing";
        assert!(
            finished.stderr.contains(error),
            "{arguments:?}: {}",
            finished.stderr
        );
    }
    let mut by_variable = command();
    by_variable
        .args(["check", "--source=demo"])
        .env("IAM_KEY_EXPORTER_CONFIG_FILE", file.path());
    assert_eq!(run(&mut by_variable).code, Some(64));
}

#[test]
fn a_setting_given_in_two_places_is_an_error_that_names_both() {
    for (field, flag, value) in [
        ("max_age_days: 90", "max-age-days", "90"),
        ("warn_before_days: 9", "warn-days", "8"),
        ("settle_days: 9", "settle-days", "8"),
        ("unused_days: 90", "unused-days", "80"),
        ("boundary: exact", "boundary", "exact"),
    ] {
        let file = Configured::new(&format!("policy:\n  {field}\n"));
        let variable = format!(
            "IAM_KEY_EXPORTER_POLICY_{}",
            flag.to_uppercase().replace('-', "_")
        );
        let (name, _) = field.split_once(':').unwrap();
        let by_flag = format!("--policy.{flag}={value}");
        let mut by_variable = command();
        by_variable
            .args(["check", "--source=demo", &file.flag()])
            .env(&variable, value);
        for finished in [
            file.run(&["check", "--source=demo", &by_flag]),
            run(&mut by_variable),
        ] {
            assert_eq!(finished.code, Some(64), "{field}: {}", finished.stderr);
            for part in [
                format!("config.yml:2:{}: policy.{name}: ", name.len() + 5),
                format!("--policy.{flag}"),
                variable.clone(),
            ] {
                assert!(
                    finished.stderr.contains(&part),
                    "{part} in {}",
                    finished.stderr
                );
            }
        }
        let other = if flag == "boundary" {
            "--policy.max-age-days=30"
        } else {
            "--policy.boundary=exact"
        };
        let finished = file.run(&["check", "--source=demo", other]);
        assert_ne!(finished.code, Some(64), "{}", finished.stderr);
    }
}

#[test]
fn accounts_are_for_aws_alone() {
    for text in [
        "organization: {role_name: reader}\n",
        "accounts: [{role_arn: \"arn:aws:iam::111122223333:role/reader\"}]\n",
    ] {
        let finished = Configured::new(text).run(&["check", "--source=demo"]);
        assert_eq!(finished.code, Some(64));
        assert!(
            finished.stderr.contains("for --source=aws only"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn an_external_id_is_never_shown() {
    let secret = "hunter2-hunter2";
    for text in [
        format!("organization: {{role_name: reader, external_id: \"{secret} \"}}\n"),
        format!("organization: {{role_name: reader, external_id: [{secret}]}}\n"),
        format!("organization: {{role_name: reader, external_id: {{{secret}: x}}}}\n"),
        format!("organization: {{role_name: reader, external_id: \"{secret}\\q\"}}\n"),
        format!("organization: {{role_name: reader, external_id: '{secret}\n"),
        format!("organization: {{role_name: reader, session_name: \"{secret} \"}}\n"),
        format!("organization: {{role_name: \"{secret} \", region: x}}\n"),
        format!("accounts:\n  - role_arn: {secret}\n"),
        format!(
            "accounts:\n  - role_arn: arn:aws:iam::111122223333:role/r\n    external_id: {secret}\n  - role_arn: arn:aws:iam::111122223333:role/r\n"
        ),
    ] {
        let file = Configured::new(&text);
        let finished = file.run(&["check", "--source=demo", "--log.level=debug"]);
        assert_eq!(finished.code, Some(64), "{text}: {}", finished.stderr);
        assert!(
            !finished.stderr.contains("hunter2"),
            "{text}: {}",
            finished.stderr
        );
        let checked = run(command().args(["config", "check", &file.path()]));
        assert!(
            !checked.stderr.contains("hunter2"),
            "{text}: {}",
            checked.stderr
        );
    }
    let whole = format!("organization: {{role_name: reader, external_id: {secret}}}\n");
    let whole = Configured::new(&whole);
    let config = config::load(Some(Path::new(&whole.path())), PolicyArgs::default()).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let checked = run(command().args(["config", "check", &whole.path()]));
    assert_eq!(checked.code, Some(0));
    assert!(!checked.stdout.contains("hunter2"), "{}", checked.stdout);
}

/// A report of users with an active key each, that many days old on 30 June 2024.
fn report(users: &[(&str, &str, i64)]) -> String {
    let mut text = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
        access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
        access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,\
        access_key_2_last_used_region,access_key_2_last_used_service\n"
        .to_owned();
    for (name, path, days) in users {
        let created = (now() - TimeDelta::days(*days)).to_rfc3339();
        writeln!(
            text,
            "{name},arn:aws:iam::111122223333:user{path}{name},2020-01-01T00:00:00Z,true,{created},N/A,N/A,N/A,\
             false,N/A,N/A,N/A,N/A"
        )
        .unwrap();
    }
    text
}

#[test]
fn rules_decide_what_check_says() {
    let file = Configured::new(
        "policy:
  overrides:
    - match: {paths: [/machines/], user_names: [fast-*]}
      max_age_days: 30
    - match: {paths: [/machines/]}
      max_age_days: 365
exemptions:
  - match: {user_names: [break-glass]}
    reason: sealed
  - match: {user_names: [vendor]}
    reason: the vendor rotates.
    until: 2024-06-30
  - match: {user_names: [grid]}
    reason: migration
    until: 2024-06-30T12:00:00Z
  - match: {tags: {kind: [machine]}}
    reason: no tag is known of a report
",
    );
    let users = [
        ("slow-ci", "/machines/", 340),
        ("slower-ci", "/machines/eu/", 366),
        ("fast-ci", "/machines/", 31),
        ("alice", "/", 89),
        ("bob", "/machines-old/", 91),
        ("break-glass", "/", 700),
        ("vendor", "/", 91),
        ("grid", "/", 91),
    ];
    let path = file.directory.path().join("report.csv");
    fs::write(&path, report(&users)).unwrap();
    let source = format!("--source=report:{}", path.display());
    let arguments = [
        "check",
        &source,
        "--as-of=2024-06-30T12:00:00Z",
        "--output=csv",
    ];
    let finished = file.run(&arguments);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let mut rows = csv::Reader::from_reader(finished.stdout.as_bytes());
    let header = rows.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (reason, status) = (column("reason"), column("status"));
    let told: BTreeSet<String> = rows
        .records()
        .map(|row| {
            let row = row.unwrap();
            format!("{}: {}", &row[status], &row[reason])
        })
        .collect();
    let expected = [
        "ok: slow-ci slot-1 created 26-Jul-2023 (340 days).",
        "alarm: slower-ci slot-1 created 30-Jun-2023 (366 days).",
        "alarm: fast-ci slot-1 created 30-May-2024 (31 days).",
        "ok: alice slot-1 created 02-Apr-2024 (89 days).",
        "alarm: bob slot-1 created 31-Mar-2024 (91 days).",
        "skip: break-glass slot-1 is exempt: sealed.",
        "skip: vendor slot-1 is exempt through 30-Jun-2024: the vendor rotates.",
        "alarm: grid slot-1 created 31-Mar-2024 (91 days).",
    ];
    assert_eq!(told, expected.map(str::to_owned).into());

    let planned = file.run(&["plan", &source, "--as-of=2024-06-30T12:00:00Z"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    for (user, has_step) in [
        ("slow-ci", false),
        ("slower-ci", true),
        ("fast-ci", true),
        ("break-glass", false),
        ("vendor", false),
        ("grid", true),
    ] {
        let is_named = planned
            .stdout
            .contains(&format!(" {user} (111122223333): "));
        assert_eq!(is_named, has_step, "{user}: {}", planned.stdout);
    }
}

#[test]
fn the_file_shows_in_what_is_served() {
    let file = Configured::new(
        "policy:
  max_age_days: 60
  overrides:
    - match: {account_names: [\"*Sandbox\"], tags: {team: [orders]}}
      max_age_days: 365
exemptions:
  - match: {account_ids: [444455556666], user_names: [dave]}
    reason: on leave
    until: 2024-07-31
tags:
  - key: owner
    label: who
",
    );
    let mut serving = command();
    serving.args([
        "--source=demo",
        "--as-of=2024-06-30T15:04:05Z",
        &file.flag(),
    ]);
    let exporter = Exporter::start(&mut serving);
    let answer = exporter.poll("/metrics", |answer| {
        answer.body.contains("aws_iam_access_key_age_days{")
    });
    for line in [
        "aws_iam_access_key_max_age_days 60",
        "aws_iam_user_access_keys_compliant{account_id=\"444455556666\",user_name=\"load-test\"} 1",
        "aws_iam_user_access_keys_compliant{account_id=\"444455556666\",user_name=\"dave\"} 0",
        "aws_iam_user_exempt{account_id=\"444455556666\",user_name=\"dave\"} 1",
        "aws_iam_user_exempt{account_id=\"111122223333\",user_name=\"break-glass\"} 1",
        "aws_iam_user_exemption_until_timestamp_seconds{account_id=\"444455556666\",user_name=\"dave\"} 1722470400",
        "aws_iam_user_tags_info{account_id=\"444455556666\",user_name=\"dave\",tag_who=\"dave\"} 1",
        "iam_key_exporter_config_last_reload_successful 1",
        "iam_key_exporter_unread_user_tags{account_id=\"444455556666\"} 0",
    ] {
        assert!(
            answer.body.lines().any(|own| own.starts_with(line)),
            "{line} in {}",
            answer.body
        );
    }
    assert!(!answer.body.contains("tag_team"));
    exporter.stop();
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let page = include_str!("../docs/configuration.md");
    let examples: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 2, "{}", examples.len());
    for example in &examples {
        let file = Configured::new(example);
        if let Err(error) = config::load(Some(Path::new(&file.path())), PolicyArgs::default()) {
            panic!("{error}\n{example}");
        }
    }
    // The whole one: every section but the one that excludes another, and its summary stands below.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yml");
    fs::write(&path, examples[0]).unwrap();
    let mut told = Vec::new();
    config::check(&CheckArgs { file: path.clone() }, now(), &mut told)
        .unwrap()
        .unwrap();
    let told = String::from_utf8(told)
        .unwrap()
        .replace(&path.display().to_string(), "policy.yml");
    assert!(page.contains(&told), "{told}");
    let config = config::load(Some(&path), PolicyArgs::default()).unwrap();
    assert!(matches!(config.accounts, Accounts::Organization(_)));
    assert_eq!(config.policy.overrides.len(), 3);
    assert_eq!(config.policy.exemptions.len(), 2);
    assert_eq!(config.tags.len(), 3);
}
