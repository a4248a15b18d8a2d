//! The command line of the real binary: help, version, and what becomes of mistakes.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;

use std::{collections::BTreeMap, ffi::OsStr, fs, net::TcpListener, os::unix::ffi::OsStrExt as _};

use clap::{Arg, Command, CommandFactory as _};
use exporter::{Finished, command, run};
use iam_key_exporter::cli::Cli;

const USAGE: Option<i32> = Some(64);

/// Every flag of the command line, `--help` and `--version` aside.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|flag| !["help", "version"].contains(&flag.get_id().as_str()))
}

fn cli() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// `IAM_KEY_EXPORTER_REFRESH_INTERVAL` of `refresh.interval`.
fn twin(flag: &str) -> String {
    format!(
        "IAM_KEY_EXPORTER_{}",
        flag.to_uppercase().replace(['.', '-'], "_")
    )
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The first line of a failed start. Panics unless it is one clear error.
fn only_error(finished: &Finished, context: &str) -> String {
    let Finished {
        code,
        stdout,
        stderr,
    } = finished;
    assert_eq!(*code, USAGE, "{context}: {stderr}");
    assert_eq!(stdout, "", "{context}");
    let errors: Vec<_> = stderr
        .lines()
        .filter(|line| line.starts_with("error: ") || line.contains("level=error"))
        .collect();
    let [error] = errors[..] else {
        panic!("{context}: one error, not {stderr:?}")
    };
    assert_eq!(
        stderr.lines().next(),
        Some(error),
        "{context}: it comes first"
    );
    for noise in ["panicked", "stack backtrace", "Error {", "Os {"] {
        assert!(!stderr.contains(noise), "{context}: {stderr}");
    }
    stderr.clone()
}

#[test]
fn help_is_complete() {
    for (flag, name) in [("--help", "help"), ("-h", "help_short")] {
        let finished = run(command().arg(flag));
        assert_eq!(finished.code, Some(0));
        assert_eq!(finished.stderr, "");
        assert_golden(name, &finished.stdout);
    }
}

#[test]
fn the_version_tells_the_revision() {
    for flag in ["--version", "-V"] {
        let finished = run(command().arg(flag));
        assert_eq!(finished.code, Some(0));
        let line = finished.stdout.strip_suffix('\n').unwrap();
        let revision = line
            .strip_prefix(concat!(
                "iam-key-exporter ",
                env!("CARGO_PKG_VERSION"),
                " (revision "
            ))
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or_else(|| panic!("{line:?}"));
        assert!(
            !revision.is_empty() && !revision.contains(char::is_whitespace),
            "{line}"
        );
    }
}

#[test]
fn every_flag_has_a_twin_in_the_environment_help_and_a_heading() {
    let command = cli();
    assert!(flags(&command).count() > 10);
    for flag in flags(&command) {
        let long = flag.get_long().expect("a flag has a long name");
        assert_eq!(
            flag.get_env().and_then(OsStr::to_str),
            Some(twin(long).as_str()),
            "--{long}"
        );
        assert!(
            flag.get_help()
                .is_some_and(|help| !help.to_string().is_empty()),
            "--{long} has no help"
        );
        assert!(flag.get_help_heading().is_some(), "--{long} has no heading");
        assert!(
            flag.get_value_names().is_some_and(|names| names.len() == 1),
            "--{long} has no name for its value"
        );
    }
}

/// Values that no flag takes, what else the message must hold, and where the twin is tried too.
const BAD_VALUES: [(&str, &str, &str); 51] = [
    ("config.file", "", "a value is required"),
    ("storage.path", "", "a value is required"),
    ("shard", "3/3", "give I/N with I from 0 to N-1"),
    ("shard", "auto", "give I/N with I from 0 to N-1"),
    (
        "aws.max-total-concurrency",
        "1025",
        "give a whole number from 1 to 1024",
    ),
    (
        "aws.requests-per-second",
        "0.5",
        "give a whole number from 1 to 1000",
    ),
    ("source", "gcp", "allowed are aws, report:PATH and demo"),
    ("source", "", "allowed are aws, report:PATH and demo"),
    ("source", "report:", "allowed are aws, report:PATH and demo"),
    ("source", "report", "allowed are aws, report:PATH and demo"),
    (
        "as-of",
        "yesterday",
        "give RFC 3339, e.g. 2026-01-31T00:00:00Z",
    ),
    (
        "as-of",
        "2026-01-31",
        "give RFC 3339, e.g. 2026-01-31T00:00:00Z",
    ),
    (
        "as-of",
        "2026-02-30T00:00:00Z",
        "give RFC 3339, e.g. 2026-01-31T00:00:00Z",
    ),
    ("as-of", "", "give RFC 3339, e.g. 2026-01-31T00:00:00Z"),
    (
        "aws.strategy",
        "fast",
        "possible values: auto, list, report",
    ),
    ("aws.strategy", "", "possible values: auto, list, report"),
    ("aws.profile", "", "a value is required"),
    (
        "aws.max-concurrency",
        "0",
        "give a whole number from 1 to 256",
    ),
    (
        "aws.max-concurrency",
        "257",
        "give a whole number from 1 to 256",
    ),
    (
        "aws.max-concurrency",
        "many",
        "give a whole number from 1 to 256",
    ),
    (
        "aws.max-total-concurrency",
        "0",
        "give a whole number from 1 to 1024",
    ),
    (
        "refresh.interval",
        "5",
        "give a number with a unit, e.g. 30s, 5m or 1h30m",
    ),
    (
        "refresh.interval",
        "5 parsecs",
        "unknown time unit \"parsecs\"",
    ),
    ("refresh.interval", "9s", "at least 10s"),
    (
        "refresh.interval",
        "-5m",
        "give a number with a unit, e.g. 30s, 5m or 1h30m",
    ),
    ("refresh.interval", "2y", "at most a year"),
    (
        "refresh.interval",
        "",
        "give a number with a unit, e.g. 30s, 5m or 1h30m",
    ),
    ("refresh.timeout", "0s", "at least 1s"),
    (
        "refresh.timeout",
        "soon",
        "give a number with a unit, e.g. 30s, 5m or 1h30m",
    ),
    (
        "policy.max-age-days",
        "0",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.max-age-days",
        "-1",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.max-age-days",
        "36501",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.max-age-days",
        "99999999999999999999",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.max-age-days",
        "1.5",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.max-age-days",
        "90d",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.boundary",
        "inclusive",
        "possible values: exact, utc-midnight, whole-days",
    ),
    (
        "policy.settle-days",
        "0",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.unused-days",
        "",
        "give a whole number from 1 to 36500",
    ),
    (
        "policy.warn-days",
        "-1",
        "give a whole number from 0 to 36500",
    ),
    (
        "metrics.access-key-id",
        "hidden",
        "possible values: full, last4, none",
    ),
    (
        "web.listen-address",
        "10114",
        "no port; use :PORT for all interfaces",
    ),
    (
        "web.listen-address",
        "127.0.0.1:65536",
        "a number from 0 to 65535",
    ),
    ("web.listen-address", "::1:80:x", "a number from 0 to 65535"),
    ("web.probe-listen-address", "10115", "no port; use :PORT"),
    ("web.config.file", "", "a value is required"),
    (
        "web.max-requests",
        "-1",
        "give a whole number from 0 to 1000000",
    ),
    (
        "web.max-requests",
        "many",
        "give a whole number from 0 to 1000000",
    ),
    (
        "web.telemetry-path",
        "metrics",
        "must start with a single /",
    ),
    ("web.telemetry-path", "/-/ready", "choose another"),
    (
        "log.level",
        "trace",
        "possible values: error, warn, info, debug",
    ),
    ("log.format", "xml", "possible values: logfmt, json"),
];

#[test]
fn a_bad_value_is_explained_with_its_flag() {
    for (flag, value, explanation) in BAD_VALUES {
        let given = format!("--{flag}={value}");
        let error = only_error(&run(command().arg(&given)), &given);
        assert!(error.contains(&format!("'--{flag} <")), "{given}: {error}");
        assert!(error.contains(explanation), "{given}: {error}");
        assert!(error.contains(value), "{given}: {error}");
        assert!(!error.contains("IAM_KEY_EXPORTER"), "{given}: {error}");
    }
}

#[test]
fn a_bad_value_in_the_environment_is_explained_with_its_variable_and_flag() {
    for (flag, value, explanation) in BAD_VALUES {
        let variable = twin(flag);
        let error = only_error(&run(command().env(&variable, value)), &variable);
        assert!(
            error.contains(&format!("'{variable} (environment variable of --{flag} <")),
            "{variable}={value}: {error}"
        );
        assert!(error.contains(explanation), "{variable}={value}: {error}");
    }
}

#[test]
fn every_flag_is_among_the_bad_values() {
    for flag in flags(&cli()).filter(|flag| flag.get_action().takes_values()) {
        let long = flag.get_long().unwrap();
        assert!(
            BAD_VALUES.iter().any(|(flag, ..)| *flag == long),
            "--{long} is never tried with a bad value"
        );
    }
}

#[test]
fn the_command_line_wins_over_the_environment() {
    // Only the flag's own mistake is told, for the variable isn't read.
    let finished = run(command()
        .env("IAM_KEY_EXPORTER_REFRESH_INTERVAL", "never")
        .arg("--refresh.interval=9s"));
    let error = only_error(&finished, "both");
    assert!(error.contains("'--refresh.interval <DURATION>'"), "{error}");
    assert!(!error.contains("IAM_KEY_EXPORTER"), "{error}");
    assert!(error.contains("at least 10s"), "{error}");
}

#[test]
fn mistakes_beyond_values_are_explained() {
    let cases: [(&[&str], &str); 8] = [
        (
            &["--refresh.intervall=5m"],
            "unexpected argument '--refresh.intervall'",
        ),
        (
            &["--refresh.intervall=5m"],
            "a similar argument exists: '--refresh.interval'",
        ),
        (&["serve"], "unrecognized subcommand 'serve'"),
        (
            &["--policy.max-age-days"],
            "a value is required for '--policy.max-age-days <DAYS>'",
        ),
        (
            &["--refresh.interval=5m", "--refresh.interval=6m"],
            "cannot be used multiple times",
        ),
        (
            &["--as-of=2026-01-31T00:00:00Z"],
            "--as-of is for --source=report:PATH and --source=demo",
        ),
        (
            &["--source=demo", "--shard=0/2"],
            "--shard=0/2 is for --source=aws only, not for --source=demo",
        ),
        (
            &["check", "--source=report:r.csv", "--shard=auto/3"],
            "--shard=auto/3 is for --source=aws only, not for --source=report:r.csv",
        ),
    ];
    for (arguments, explanation) in cases {
        let error = only_error(&run(command().args(arguments)), &arguments.join(" "));
        assert!(error.contains(explanation), "{arguments:?}: {error}");
    }
}

#[test]
fn a_conflict_from_the_environment_names_its_variable() {
    let finished = run(command().env("IAM_KEY_EXPORTER_AS_OF", "2026-01-31T00:00:00Z"));
    let error = only_error(&finished, "variable");
    assert!(
        error.contains("environment variable IAM_KEY_EXPORTER_AS_OF: --as-of is for"),
        "{error}"
    );
    let finished = run(command()
        .arg("--source=demo")
        .env("IAM_KEY_EXPORTER_SHARD", "1/2"));
    let error = only_error(&finished, "variable");
    assert!(
        error.contains("environment variable IAM_KEY_EXPORTER_SHARD: --shard=1/2 is for"),
        "{error}"
    );
}

#[test]
fn a_value_that_is_not_utf8_is_explained() {
    let broken = OsStr::from_bytes(b"demo\xff");
    let error = only_error(
        &run(command().env("IAM_KEY_EXPORTER_SOURCE", broken)),
        "variable",
    );
    assert!(
        error.contains("the environment variable IAM_KEY_EXPORTER_SOURCE is not UTF-8"),
        "{error}"
    );
    let error = only_error(&run(command().arg("--source").arg(broken)), "argument");
    assert!(
        error.contains("the argument 'demo\u{fffd}' is not UTF-8"),
        "{error}"
    );
}

#[test]
fn an_address_that_cannot_be_had_is_explained() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let cases = [
        (taken.as_str(), "address already in use"),
        // TEST-NET-1 of RFC 5737 is nobody's.
        (
            "192.0.2.1:0",
            "no interface of this machine has that address",
        ),
        ("nowhere.invalid:0", "the host name does not resolve"),
    ];
    for (address, explanation) in cases {
        let finished = run(command()
            .arg("--source=demo")
            .arg(format!("--web.listen-address={address}")));
        let error = only_error(&finished, address);
        assert!(
            error.contains(&format!("cannot listen on {address}: {explanation}")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_ca_bundle_that_cannot_be_used_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let page = folder.path().join("page.pem");
    fs::write(&page, "<!DOCTYPE html><title>Sign in</title>").unwrap();
    let cut = folder.path().join("cut.pem");
    fs::write(&cut, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let missing = folder.path().join("missing.pem");
    let cases = [
        (&missing, "No such file or directory"),
        (&folder.path().to_owned(), "Is a directory"),
        (&empty, "no PEM certificate in it"),
        (&page, "no PEM certificate in it"),
        (&cut, "no PEM certificate in it"),
    ];
    for (path, explanation) in cases {
        let context = path.display().to_string();
        let error = only_error(&run(command().env("AWS_CA_BUNDLE", path)), &context);
        assert!(
            error.contains(&format!("AWS_CA_BUNDLE {context}: {explanation}")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// Flag, environment twin and default of each row of the documentation's tables.
fn documented_flags(page: &str) -> BTreeMap<String, (String, Option<String>)> {
    let code = |cell: &str| {
        cell.trim()
            .strip_prefix('`')
            .and_then(|cell| cell.strip_suffix('`'))
            .map(str::to_owned)
    };
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').collect();
            let [flag, variable, default, allowed, meaning] = cells[..] else {
                panic!("five cells, not {line}")
            };
            assert!(
                !allowed.trim().is_empty() && !meaning.trim().is_empty(),
                "{line}"
            );
            let variable = code(variable).unwrap_or_else(|| panic!("no variable in {line}"));
            (code(flag).unwrap(), (variable, code(default)))
        })
        .collect();
    let count = rows.len();
    let flags = BTreeMap::from_iter(rows);
    assert_eq!(flags.len(), count, "each flag once");
    flags
}

/// The default of a flag that has none itself, because a file may give the setting: as its help tells.
fn told_default(flag: &Arg) -> Option<String> {
    let help = flag.get_help().unwrap().to_string();
    let (_, default) = help.strip_suffix(']')?.rsplit_once("[default: ")?;
    (!default.contains(' ')).then(|| default.to_owned())
}

#[test]
fn the_documentation_lists_every_flag_and_no_other() {
    let page = include_str!("../docs/configuration.md");
    let command = cli();
    let expected: BTreeMap<_, _> = flags(&command)
        .map(|flag| {
            let long = flag.get_long().unwrap();
            let defaults: Vec<_> = flag
                .get_default_values()
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect();
            let default = if defaults.is_empty() {
                told_default(flag)
            } else {
                Some(defaults.join(","))
            };
            (format!("--{long}"), (twin(long), default))
        })
        .collect();
    assert_eq!(documented_flags(page), expected);
    for flag in flags(&command) {
        let heading = format!("\n## {}\n", flag.get_help_heading().unwrap());
        assert!(page.contains(&heading), "no {heading:?}");
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `--{}` |", flag.get_long().unwrap())))
            .unwrap();
        for value in flag.get_possible_values() {
            let name = format!("`{}`", value.get_name());
            assert!(row.contains(&name), "no {name} in {row}");
        }
    }
}

#[test]
fn the_documentation_speaks_of_no_flag_that_is_not_there() {
    let pages = [
        ("README.md", include_str!("../README.md")),
        ("CHANGELOG.md", include_str!("../CHANGELOG.md")),
        (
            "docs/architecture.md",
            include_str!("../docs/architecture.md"),
        ),
        (
            "docs/configuration.md",
            include_str!("../docs/configuration.md"),
        ),
        ("docs/metrics.md", include_str!("../docs/metrics.md")),
        ("docs/check.md", include_str!("../docs/check.md")),
        ("docs/plan.md", include_str!("../docs/plan.md")),
        ("docs/alerts.md", include_str!("../docs/alerts.md")),
        ("docs/web.md", include_str!("../docs/web.md")),
    ];
    let command = cli();
    let all: Vec<_> = command
        .get_subcommands()
        .chain([&command])
        .flat_map(Command::get_arguments)
        .collect();
    let known: Vec<_> = all.iter().filter_map(|flag| flag.get_long()).collect();
    let variables: Vec<_> = all
        .iter()
        .filter_map(|flag| flag.get_env()?.to_str())
        .collect();
    for (name, page) in pages {
        for line in page.split(['`', '\n']) {
            let Some(after) = line
                .trim_start_matches("$ ")
                .strip_prefix("iam-key-exporter ")
            else {
                continue;
            };
            let first = after.split(' ').next().unwrap();
            let is_word = !first.is_empty() && first.bytes().all(|b| b.is_ascii_lowercase());
            assert!(
                !is_word || command.find_subcommand(first).is_some(),
                "{name} speaks of the command {line:?}"
            );
        }
        let words = page.split(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)));
        for word in words {
            // Flags with a dot are this program's; others may be Cargo's or curl's.
            let flag = word
                .strip_prefix("--")
                .map(|flag| flag.trim_end_matches('.'));
            if let Some(flag) = flag.filter(|flag| flag.contains('.')) {
                assert!(known.contains(&flag), "{name} speaks of --{flag}");
            }
            if word.starts_with("IAM_KEY_EXPORTER_") && word != "IAM_KEY_EXPORTER_" {
                assert!(variables.contains(&word), "{name}: {word}");
            }
        }
    }
}
