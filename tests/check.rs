//! `check` as the real binary: what it prints, what it writes, and the status it ends with.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;
mod support;

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use exporter::{Finished, command, run};
use serde_json::Value;
use support::fake_aws::{Action, ErrorCode, FakeAws, Fault, Operation};

const FINE: Option<i32> = Some(0);
const ALARMS: Option<i32> = Some(1);
const INCOMPLETE: Option<i32> = Some(2);
const USAGE: Option<i32> = Some(64);
const INTERNAL: Option<i32> = Some(70);

const FORMATS: [&str; 12] = [
    "pretty", "plain", "brief", "csv", "html", "json", "md", "nunit3", "junit", "asff", "ocsf",
    "none",
];

fn check(arguments: &[&str]) -> Command {
    let mut command = command();
    command.arg("check").args(arguments);
    command
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = check(&["--source=demo", "--as-of=2024-06-30T15:04:05Z"]);
    command.args(arguments);
    command
}

/// A report with one key of each user, `days` old on 30 June 2024.
fn report(users: &[(&str, i64)]) -> String {
    let now: DateTime<Utc> = "2024-06-30T15:04:05Z".parse().unwrap();
    let mut text = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
        access_key_2_active,access_key_2_last_rotated\n"
        .to_owned();
    for (name, days) in users {
        let rotated = (now - TimeDelta::days(*days)).to_rfc3339();
        writeln!(
            text,
            "{name},arn:aws:iam::111122223333:user/{name},2020-01-01T00:00:00+00:00,\
             true,{rotated},false,N/A"
        )
        .unwrap();
    }
    text
}

/// Runs a check of the report on standard input.
fn checked(report: &str, arguments: &[&str]) -> Finished {
    let mut child = check(&["--source=report:-", "--as-of=2024-06-30T15:04:05Z"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(report.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap().into()
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error} in {finished:#?}"))
}

/// The statuses and reasons of the results.
fn results(json: &Value) -> Vec<(&str, &str)> {
    let results = json["controls"][0]["results"].as_array().unwrap();
    let text = |row: &'_ Value, field: &str| row[field].as_str().unwrap().to_owned();
    assert!(results.iter().all(|row| !text(row, "resource").is_empty()));
    results
        .iter()
        .map(|row| {
            (
                row["status"].as_str().unwrap(),
                row["reason"].as_str().unwrap(),
            )
        })
        .collect()
}

const YOUNG: &[(&str, i64)] = &[("alice", 10), ("bob", 90)];
const OLD: &[(&str, i64)] = &[("alice", 10), ("bob", 91)];

#[test]
fn the_status_tells_what_was_found_in_every_format() {
    let broken = report(OLD).replace("true,2024-03-31", "maybe,2024-03-31");
    assert_ne!(broken, report(OLD));
    for (report, code) in [
        (report(YOUNG), FINE),
        (report(OLD), ALARMS),
        (broken, INCOMPLETE),
        (String::new(), INCOMPLETE),
    ] {
        for format in FORMATS {
            let finished = checked(&report, &["--output", format]);
            assert_eq!(finished.code, code, "{format}: {}", finished.stderr);
            assert_eq!(finished.stdout.is_empty(), format == "none", "{format}");
        }
    }
}

#[test]
fn errors_win_over_alarms() {
    let finished = run(&mut demo(&["--output=json"]));
    assert_eq!(finished.code, INCOMPLETE);
    let json = json(&finished);
    let summary = &json["summary"]["status"];
    assert!(summary["alarm"].as_u64() > Some(0) && summary["error"] == 1);
    assert!(finished.stderr.contains("could not be read completely"));
}

#[test]
fn what_is_shown_never_changes_the_status() {
    for (report, code) in [(report(YOUNG), FINE), (report(OLD), ALARMS)] {
        for status in ["ok", "skip", "info", "alarm", "error", "alarm,error"] {
            for more in ["--output=json", "--output=brief", "--output=none"] {
                let finished = checked(&report, &["--status", status, more]);
                assert_eq!(finished.code, code, "{status} {more}");
            }
        }
    }
    let finished = run(&mut demo(&[
        "--status=ok",
        "--status=skip",
        "--output=json",
    ]));
    assert_eq!(finished.code, INCOMPLETE);
    let json = json(&finished);
    assert!(
        results(&json)
            .iter()
            .all(|(status, _)| ["ok", "skip"].contains(status))
    );
    assert_eq!(
        json["summary"]["status"]["alarm"], 20,
        "totals are of all rows"
    );
}

#[test]
fn the_boundary_and_the_limit_can_be_chosen() {
    let users = &[("alice", 90)];
    for (arguments, code) in [
        (&["--policy.boundary=exact"][..], FINE),
        (&["--policy.boundary=utc-midnight"], FINE),
        (&["--policy.boundary=whole-days"], FINE),
        (&["--policy.max-age-days=89"], ALARMS),
        (
            &["--policy.max-age-days=89", "--policy.boundary=utc-midnight"],
            ALARMS,
        ),
        (
            &["--policy.max-age-days=89", "--policy.boundary=whole-days"],
            ALARMS,
        ),
    ] {
        assert_eq!(
            checked(&report(users), arguments).code,
            code,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_user_without_keys_gives_no_row_and_root_is_no_user() {
    let with_root = include_str!("fixtures/credential-report.csv");
    let finished = checked(with_root, &["--output=json"]);
    let json = json(&finished);
    assert!(!finished.stdout.contains("root_account") && !results(&json).is_empty());
    let keyless = report(&[("alice", 10)]).replace(",true,", ",false,");
    let rotated = keyless
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .nth(4)
        .unwrap()
        .to_owned();
    let finished = checked(&keyless.replace(&rotated, "N/A"), &["--output=json"]);
    assert_eq!(finished.code, FINE, "{}", finished.stderr);
    assert_eq!(json_results(&finished), 0);
}

fn json_results(finished: &Finished) -> usize {
    results(&json(finished)).len()
}

#[test]
fn a_source_that_cannot_be_read_is_an_error_row_with_the_reason_on_standard_error() {
    let finished = run(&mut check(&[
        "--source=report:/nowhere/report.csv",
        "--output=json",
    ]));
    assert_eq!(finished.code, INCOMPLETE);
    let json = json(&finished);
    assert_eq!(
        results(&json),
        [("error", "The account could not be read (file).")]
    );
    assert!(
        finished.stderr.contains("/nowhere/report.csv"),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("no such file"),
        "{}",
        finished.stderr
    );
}

#[test]
fn no_key_id_is_shown_where_it_is_hidden() {
    for format in FORMATS {
        for (display, hidden) in [("last4", "AKIAEXAMPLEDEMO"), ("none", "AKIA")] {
            let display = format!("--metrics.access-key-id={display}");
            let finished = run(&mut demo(&["--details", "--output", format, &display]));
            assert!(!finished.stdout.contains(hidden), "{format} {display}");
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_changes_nothing() {
    let mut child = demo(&["--output=json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let finished: Finished = child.wait_with_output().unwrap().into();
    assert_eq!(finished.code, INCOMPLETE);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

#[test]
fn a_full_disk_is_told() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = demo(&["--output=json"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let finished: Finished = output.into();
    assert_eq!(finished.code, INTERNAL);
    assert!(finished.stderr.contains("the results could not be printed"));
}

#[test]
fn nothing_but_the_results_is_printed_and_no_bar_or_colour_into_a_pipe() {
    let plain = run(&mut demo(&["--output=plain"]));
    for more in ["--progress", "--progress=true", "--progress=false"] {
        let finished = run(&mut demo(&["--output=pretty", more]));
        assert_eq!(finished.stdout, plain.stdout);
        assert!(!finished.stderr.contains('\u{1b}') && !finished.stderr.contains("Reading"));
    }
    let forced = run(demo(&[]).env("CLICOLOR_FORCE", "1"));
    assert!(forced.stdout.contains("\u{1b}["));
    let no_color = run(demo(&[]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert_eq!(no_color.stdout, plain.stdout);
}

mod exports {
    use super::*;

    /// The file names that tell the formats.
    const FILES: [(&str, &str); 9] = [
        ("csv", "out.csv"),
        ("html", "out.html"),
        ("json", "out.json"),
        ("md", "out.md"),
        ("plain", "out.txt"),
        ("nunit3", "out.nunit3.xml"),
        ("junit", "out.junit.xml"),
        ("asff", "out.asff.json"),
        ("ocsf", "out.ocsf.json"),
    ];

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_holds_what_its_format_prints() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = demo(&["--output=none"]);
        for (_, file) in FILES {
            all.arg("--export").arg(folder.path().join(file));
        }
        let prefixed = folder.path().join("results.xml");
        all.arg(format!("--export=junit:{}", prefixed.display()));
        let finished = run(&mut all);
        assert_eq!(finished.code, INCOMPLETE, "{}", finished.stderr);
        assert_eq!(finished.stdout, "");
        for (format, file) in FILES {
            let printed = run(&mut demo(&["--output", format])).stdout;
            let written = fs::read_to_string(folder.path().join(file)).unwrap();
            assert_eq!(written, printed, "{format}");
        }
        let junit = fs::read_to_string(prefixed).unwrap();
        assert_eq!(
            junit,
            fs::read_to_string(folder.path().join("out.junit.xml")).unwrap()
        );
        assert_eq!(
            names(folder.path()).len(),
            FILES.len() + 1,
            "nothing is left behind"
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_ends_the_check_before_aws_is_asked() {
        let aws = FakeAws::start_on_thread();
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/out.json");
        for (path, told) in [
            (missing.as_path(), "there is no such directory"),
            (folder.path(), "it is a directory"),
            (Path::new("/dev/null"), "it is not a regular file"),
        ] {
            let finished = run(check(&["--source=aws"])
                .arg(format!("--export=json:{}", path.display()))
                .envs(aws.environment()));
            assert_eq!(finished.code, USAGE, "{}", finished.stderr);
            assert_eq!(finished.stdout, "");
            assert!(
                finished.stderr.contains("--export") && finished.stderr.contains(told),
                "{}",
                finished.stderr
            );
        }
        let finished = run(&mut demo(&["--export=out.xml"]));
        assert_eq!(finished.code, USAGE);
        assert!(
            finished.stderr.contains("junit:out.xml"),
            "{}",
            finished.stderr
        );
        assert_eq!(aws.calls().total(), 0);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_place_and_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("kept.json");
        let link = folder.path().join("link.json");
        fs::write(&target, "x".repeat(1_000_000)).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("kept.json", &link).unwrap();
        let new = folder.path().join("new.json");
        run(demo(&["--output=none", "--export"])
            .arg(&link)
            .arg("--export")
            .arg(&new));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&target), 0o640);
        // What the umask of the tests leaves of rw-rw-rw-.
        let probe = folder.path().join("probe");
        fs::write(&probe, "").unwrap();
        assert_eq!(mode(&new), mode(&probe));
        assert_eq!(fs::read(&target).unwrap(), fs::read(&new).unwrap());
        serde_json::from_slice::<Value>(&fs::read(&target).unwrap()).unwrap();
    }

    #[test]
    fn a_reader_never_sees_half_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.json");
        run(demo(&["--output=none", "--export"]).arg(&target));
        let whole = fs::read(&target).unwrap();
        let mut children: Vec<_> = (0..8)
            .map(|_| {
                demo(&["--output=none", "--log.level=error", "--export"])
                    .arg(&target)
                    .spawn()
                    .unwrap()
            })
            .collect();
        while children
            .iter_mut()
            .any(|child| child.try_wait().unwrap().is_none())
        {
            assert_eq!(fs::read(&target).unwrap(), whole);
        }
        assert_eq!(names(folder.path()), ["out.json"]);
    }
}

mod aws {
    use std::sync::{Arc, Mutex};

    use iam_key_exporter::source::{Progress, aws::Strategy};

    use super::*;
    use crate::support::{aws_source::Reader, fake_aws::Population};

    fn now() -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "AWS tells the present only")]
        Utc::now()
    }

    fn account() -> FakeAws {
        let aws = FakeAws::start_on_thread();
        for (name, days) in [("young", 1), ("old", 100), ("denied", 1)] {
            let created = now() - TimeDelta::days(days);
            aws.account().add_user(name, created);
            aws.account().add_key(name, created);
        }
        aws.account().add_user("keyless", now());
        aws
    }

    fn checked(aws: &FakeAws, strategy: &str) -> Finished {
        run(check(&["--output=json", "--aws.strategy", strategy]).envs(aws.environment()))
    }

    #[test]
    fn an_account_is_judged_with_either_strategy() {
        let aws = account();
        for strategy in ["list", "auto", "report"] {
            let finished = checked(&aws, strategy);
            assert_eq!(finished.code, ALARMS, "{}", finished.stderr);
            let json = json(&finished);
            let results = results(&json);
            let alarms = results.iter().filter(|(status, _)| *status == "alarm");
            assert_eq!((results.len(), alarms.count()), (3, 1), "{strategy}");
        }
    }

    #[test]
    fn a_call_that_fails_beside_the_users_is_an_error_of_the_account_and_named() {
        let aws = FakeAws::start_on_thread();
        aws.account().add_user("fine", now());
        aws.account().add_key("fine", now());
        let broken = Action::Error(ErrorCode::ValidationError);
        aws.inject(Fault::on(Operation::GetAccountSummary, broken));
        let finished = checked(&aws, "list");
        assert_eq!(finished.code, INCOMPLETE, "{}", finished.stderr);
        let json = json(&finished);
        let results = results(&json);
        let (ok, error) = (results[1], results[0]);
        let (ok, error) = if ok.0 == "ok" {
            (ok, error)
        } else {
            (error, ok)
        };
        assert_eq!(ok.0, "ok");
        assert_eq!(
            error,
            (
                "error",
                "123456789012 could not be read completely (other)."
            )
        );
        assert!(
            finished.stderr.contains("GetAccountSummary"),
            "{}",
            finished.stderr
        );
    }

    #[test]
    fn a_user_who_cannot_be_read_is_an_error_and_the_status_is_never_0() {
        let aws = account();
        aws.account().add_user("fine", now());
        let denied = Action::Error(ErrorCode::AccessDenied);
        aws.inject(Fault::on(Operation::ListAccessKeys, denied).user("denied"));
        for strategy in ["list", "auto"] {
            let finished = checked(&aws, strategy);
            assert_eq!(finished.code, INCOMPLETE, "{strategy}: {}", finished.stderr);
            let json = json(&finished);
            let results = results(&json);
            assert!(
                results.iter().any(|(status, reason)| *status == "error"
                    && reason.starts_with("denied ")
                    && reason.contains("access_denied")),
                "{strategy}: {results:?}"
            );
            assert!(results.iter().any(|(status, _)| *status == "alarm"));
            assert!(
                finished.stderr.contains("access_denied"),
                "{}",
                finished.stderr
            );
        }
    }

    #[test]
    fn nothing_readable_at_all_is_an_error_row_and_2() {
        let aws = account();
        aws.inject(Fault::everywhere(Action::Error(ErrorCode::AccessDenied)));
        let finished = checked(&aws, "auto");
        assert_eq!(finished.code, INCOMPLETE);
        let json = json(&finished);
        assert_eq!(
            results(&json),
            [("error", "The account could not be read (access_denied).")]
        );
        assert!(
            finished.stderr.contains("GetCallerIdentity"),
            "{}",
            finished.stderr
        );
    }

    #[test]
    fn an_account_whose_users_cannot_be_listed_is_an_error_row_and_2() {
        let aws = account();
        aws.deny(Operation::ListUsers);
        let finished = checked(&aws, "list");
        assert_eq!(finished.code, INCOMPLETE);
        let json = json(&finished);
        let [("error", reason)] = results(&json)[..] else {
            panic!("{json:#}")
        };
        assert!(
            reason.ends_with("could not be read (access_denied)."),
            "{reason}"
        );
        assert!(
            finished.stderr.contains("iam:ListUsers"),
            "{}",
            finished.stderr
        );
    }

    #[tokio::test]
    async fn a_watcher_is_told_of_each_user_found_and_read() {
        for strategy in [Strategy::List, Strategy::Auto] {
            let aws = FakeAws::start().await;
            let population = Population {
                users: 1_200,
                keys_per_user: 1,
                overdue_percent: 5,
                now: aws.account().now,
            };
            population.settle(&mut aws.account());
            let told = Arc::new(Mutex::new(Vec::new()));
            let mut reader = Reader::new(&aws, strategy);
            let listener = Arc::clone(&told);
            let progress =
                Progress::told_to(move |read, found| listener.lock().unwrap().push((read, found)));
            reader.aws.watch(progress);
            assert_eq!(reader.read(&aws).await.users.len(), 1_200);
            let told = told.lock().unwrap();
            assert_eq!(told.last(), Some(&(1_200, 1_200)), "{strategy:?}");
            assert!(told.is_sorted() && told.iter().all(|(read, found)| read <= found));
        }
    }

    #[test]
    fn what_is_not_answered_in_time_is_an_error() {
        let aws = account();
        aws.inject(Fault::on(Operation::ListAccessKeys, Action::Hang).user("denied"));
        let finished = run(check(&[
            "--output=json",
            "--aws.strategy=list",
            "--refresh.timeout=2s",
        ])
        .envs(aws.environment()));
        assert_eq!(finished.code, INCOMPLETE, "{}", finished.stderr);
        let json = json(&finished);
        assert!(results(&json).contains(&("error", "denied could not be read (timeout).")));
    }
}

mod flags {
    use std::{collections::BTreeMap, ffi::OsStr};

    use clap::{Arg, CommandFactory as _};
    use iam_key_exporter::cli::Cli;

    use super::*;

    /// The flags of `check`, its own and those that it shares with serving.
    fn flags() -> (Vec<Arg>, Vec<Arg>) {
        let mut cli = Cli::command();
        cli.build();
        let serving: Vec<_> = cli.get_arguments().filter_map(Arg::get_long).collect();
        cli.find_subcommand("check")
            .unwrap()
            .get_arguments()
            .filter(|flag| !["help", "version"].contains(&flag.get_id().as_str()))
            .cloned()
            .partition(|flag| !serving.contains(&flag.get_long().unwrap()))
    }

    fn twin(prefix: &str, flag: &Arg) -> String {
        let name = flag
            .get_long()
            .unwrap()
            .to_uppercase()
            .replace(['.', '-'], "_");
        format!("IAM_KEY_EXPORTER_{prefix}{name}")
    }

    #[test]
    fn every_flag_has_a_twin_in_the_environment_and_help() {
        let (own, shared) = flags();
        assert!(own.len() >= 8 && shared.len() >= 10);
        for (prefix, flags) in [("CHECK_", own), ("", shared)] {
            for flag in flags {
                let name = flag.get_long().unwrap().to_owned();
                assert!(flag.get_help().is_some(), "--{name}");
                // It is --header=false by another name.
                if name != "no-header" {
                    let twin = twin(prefix, &flag);
                    assert_eq!(flag.get_env().and_then(OsStr::to_str), Some(twin.as_str()));
                }
            }
        }
    }

    #[test]
    fn the_documentation_lists_each_flag_with_its_twin_its_default_and_its_values() {
        let page = include_str!("../docs/check.md");
        let documented: BTreeMap<_, _> = page
            .lines()
            .filter_map(|line| {
                let flag = line.strip_prefix("| `--")?.split('`').next()?;
                Some((flag.to_owned(), line))
            })
            .collect();
        let (own, _) = flags();
        assert_eq!(documented.len(), own.len());
        for flag in own {
            let name = flag.get_long().unwrap();
            let row = documented
                .get(name)
                .unwrap_or_else(|| panic!("no row of --{name}"));
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            if let Some(twin) = flag.get_env() {
                assert_eq!(cells[1], format!("`{}`", twin.to_str().unwrap()));
            }
            let defaults: Vec<_> = flag
                .get_default_values()
                .iter()
                .map(|value| format!("`{}`", value.to_str().unwrap()))
                .collect();
            let default = if defaults.is_empty() {
                "–".to_owned()
            } else {
                defaults.join(",")
            };
            assert_eq!(cells[2], default, "--{name}");
            for value in flag.get_possible_values() {
                let value = format!("`{}`", value.get_name());
                assert!(row.contains(&value), "no {value} in {row}");
            }
        }
    }

    #[test]
    fn the_environment_sets_a_flag_and_the_command_line_wins() {
        let from_environment = run(demo(&[]).env("IAM_KEY_EXPORTER_CHECK_OUTPUT", "csv"));
        assert_eq!(
            from_environment.stdout,
            run(&mut demo(&["--output=csv"])).stdout
        );
        assert!(!from_environment.stderr.contains("no flag has"));
        let overridden = run(demo(&["--output=md"]).env("IAM_KEY_EXPORTER_CHECK_OUTPUT", "csv"));
        assert_eq!(overridden.stdout, run(&mut demo(&["--output=md"])).stdout);
        let headless = run(&mut demo(&["--output=csv", "--no-header"]));
        assert_eq!(
            headless.stdout,
            run(&mut demo(&["--output=csv", "--header=false"])).stdout
        );
        let from_environment =
            run(demo(&["--output=csv"]).env("IAM_KEY_EXPORTER_CHECK_HEADER", "false"));
        assert_eq!(headless.stdout, from_environment.stdout);
        assert_eq!(from_environment.stdout.lines().count(), 51);
    }

    #[test]
    fn mistakes_are_explained_with_their_flag_or_variable() {
        for (arguments, told) in [
            (&["--output=xls"][..], "--output <FORMAT>"),
            (&["--control=cis_v900_1_1"], "cis_v200_1_14"),
            (&["--separator=ab"], "one ASCII character"),
            (&["--separator=\""], "a meaning of its own"),
            (&["--status=bad"], "--status <STATUS>"),
            (&["--sort=size"], "--sort <ORDER>"),
            (&["--web.listen-address=:0"], "unexpected argument"),
        ] {
            let finished = run(&mut demo(arguments));
            assert_eq!(finished.code, USAGE, "{arguments:?}");
            assert!(
                finished.stderr.contains(told),
                "{arguments:?}: {}",
                finished.stderr
            );
        }
        let finished = run(demo(&[]).env("IAM_KEY_EXPORTER_CHECK_SORT", "size"));
        assert_eq!(finished.code, USAGE);
        assert!(
            finished.stderr.contains("IAM_KEY_EXPORTER_CHECK_SORT"),
            "{}",
            finished.stderr
        );
        let finished = run(command().args(["--source=demo", "check"]));
        assert_eq!(
            finished.code, USAGE,
            "a flag before the subcommand would do nothing"
        );
        assert!(finished.stderr.contains("--source"), "{}", finished.stderr);
        let finished = run(check(&[]).env("IAM_KEY_EXPORTER_AS_OF", "2026-01-31T00:00:00Z"));
        assert_eq!(finished.code, USAGE);
        assert!(
            finished.stderr.contains("IAM_KEY_EXPORTER_AS_OF"),
            "{}",
            finished.stderr
        );
    }

    #[test]
    fn help_is_complete() {
        let finished = run(command().args(["check", "--help"]));
        assert_eq!((finished.code, finished.stderr.as_str()), (FINE, ""));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("golden/check");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("help", finished.stdout));
    }
}
