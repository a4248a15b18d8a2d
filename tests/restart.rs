//! A restart with `--storage.path`: what was known is served at once, and then kept up to date.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;
mod support;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use exporter::{Exporter, command};
use iam_key_exporter::clock::Clock;
use rustix::process::Signal;
use support::fake_aws::{Action, FakeAws, Fault};

const ACCOUNTS: u32 = 12;

fn id(number: u32) -> String {
    format!("1111222233{number:02}")
}

/// An organisation with a user in each account.
fn organization() -> FakeAws {
    let aws = FakeAws::start_on_thread();
    let now = Clock::System.now();
    aws.account().set_now(now);
    for number in 0..ACCOUNTS {
        let id = id(number);
        let site = aws.add_account(&id);
        let mut account = site.account();
        account.set_now(now);
        account.add_role("reader");
        account.add_user("app", now);
        account.add_key("app", now);
        aws.organization().add(&id, "team");
    }
    aws
}

/// A daemon over the organisation that keeps what it knows in the directory.
fn keeping(aws: &FakeAws, directory: &Path) -> Command {
    let file = directory.join("config.yml");
    fs::write(&file, "organization:\n  role_name: reader\n").unwrap();
    let mut command = command();
    command
        .envs(aws.environment())
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.path={}",
            directory.join("kept").display()
        ))
        .args(["--aws.strategy=list", "--log.level=debug"]);
    command
}

/// The series of a metric, without their values or with them.
fn series(exporter: &Exporter, metric: &str, with_values: bool) -> BTreeSet<String> {
    let metrics = exporter.get("/metrics").body;
    let begin = format!("{metric}{{");
    let lines = metrics.lines().filter(|line| line.starts_with(&begin));
    lines
        .map(|line| {
            let end = if with_values {
                line.len()
            } else {
                line.rfind(' ').unwrap()
            };
            line[..end].to_owned()
        })
        .collect()
}

const AGE: &str = "aws_iam_access_key_age_days";
const SUCCESS: &str = "iam_key_exporter_last_refresh_success_timestamp_seconds";
const UP: &str = "iam_key_exporter_account_up";

#[test]
fn what_was_known_is_served_at_once_after_a_stop_and_after_a_kill() {
    let aws = organization();
    let directory = tempfile::tempdir().unwrap();
    let mut first = Exporter::start(&mut keeping(&aws, directory.path()));
    first.poll("/-/ready", |answer| answer.status == 200);
    let (keys, times) = (series(&first, AGE, false), series(&first, SUCCESS, true));
    assert_eq!(keys.len(), 12);
    assert_eq!(times.len(), 13, "the management account is read as well");
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));

    // AWS is down, and whoever starts now could not learn anything.
    aws.inject(Fault::everywhere(Action::Hang));
    for _ in 0..2 {
        let mut again = Exporter::start(&mut keeping(&aws, directory.path()));
        assert_eq!(again.get("/-/ready").status, 200);
        assert_eq!(series(&again, AGE, false), keys);
        assert_eq!(
            series(&again, SUCCESS, true),
            times,
            "the time is that of the refresh"
        );
        again.signal(Signal::KILL);
        again.wait();
    }

    // A member that left meanwhile goes at the first look.
    aws.clear_faults();
    aws.organization().members.remove(&id(5));
    let last = Exporter::start(&mut keeping(&aws, directory.path()));
    last.poll("/metrics", |answer| !answer.body.contains(&id(5)));
    let up = series(&last, UP, true);
    assert_eq!(up.len(), 12);
    assert!(up.iter().all(|line| line.ends_with(" 1")), "{up:?}");
    last.stop();
}
