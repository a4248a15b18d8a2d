//! `check` beside others' words for the same: the control's own query in SQL, the AWS SDK's model of Security Hub, and
//! models of OCSF.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the parts up and runs them all.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;
#[path = "support_real/tools.rs"]
#[allow(dead_code, reason = "Prometheus is not needed here")]
mod tools;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use exporter::{command, run};
use fastrand::Rng;
use tools::{python, repository};

const USERS: usize = 5_000;

/// A report of two keys a user, most of them created around the limit of 90 days before `now`, to the second and at
/// midnight.
fn report(now: DateTime<Utc>, random: &mut Rng) -> String {
    let mut text = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
        access_key_2_active,access_key_2_last_rotated\n"
        .to_owned();
    for user in 0..USERS {
        let keys = [(); 2].map(|()| {
            let active = random.u8(..10) > 1;
            format!("{active},{}", created(now, random).to_rfc3339())
        });
        writeln!(
            text,
            "user-{user},arn:aws-us-gov:iam::000011112222:user/user-{user},2000-01-01T00:00:00+00:00,{}",
            keys.join(",")
        )
        .unwrap();
    }
    text
}

fn created(now: DateTime<Utc>, random: &mut Rng) -> DateTime<Utc> {
    const DAY: i64 = 86_400;
    let midnight = now.timestamp() - now.timestamp().rem_euclid(DAY);
    let seconds = match random.u8(..4) {
        0 => now.timestamp() - random.i64(0..2_000 * DAY),
        1 => midnight - 90 * DAY + random.i64(-2..=2),
        2 => now.timestamp() - 90 * DAY + random.i64(-2..=2),
        _ => midnight - random.i64(86..=94) * DAY + random.i64(0..DAY),
    };
    DateTime::from_timestamp(seconds.min(now.timestamp()), 0).unwrap()
}

/// Status and reason by resource.
type Verdicts = BTreeMap<String, (String, String)>;

fn of_check(report: &Path, as_of: &str) -> Verdicts {
    let finished = run(command()
        .args(["check", "--output=csv", "--policy.boundary=utc-midnight"])
        .arg(format!("--source=report:{}", report.display()))
        .arg(format!("--as-of={as_of}")));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let mut table = csv::Reader::from_reader(finished.stdout.as_bytes());
    table
        .records()
        .map(|row| {
            let row = row.unwrap();
            (row[7].to_owned(), (row[8].to_owned(), row[6].to_owned()))
        })
        .collect()
}

fn of_query(report: &Path, as_of: &str) -> Verdicts {
    let output = Command::new(python())
        .arg(repository("tests/real/check_oracle.py"))
        .arg(report)
        .arg(as_of)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut table = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(&output.stdout[..]);
    table
        .records()
        .map(|row| {
            let row = row.unwrap();
            (row[0].to_owned(), (row[1].to_owned(), row[2].to_owned()))
        })
        .collect()
}

#[test]
#[ignore = "needs Python: make test sets it up"]
fn ten_thousand_keys_have_the_status_and_reason_of_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.csv");
    let mut random = Rng::with_seed(90);
    let midday: DateTime<Utc> = "2024-02-29T12:34:56Z".parse().unwrap();
    let midnight: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
    for now in [
        midday,
        midnight,
        midnight - TimeDelta::seconds(1),
        midnight + TimeDelta::seconds(1),
    ] {
        fs::write(&path, report(now, &mut random)).unwrap();
        let as_of = now.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (ours, theirs) = (of_check(&path, &as_of), of_query(&path, &as_of));
        assert_eq!(ours.len(), 2 * USERS);
        for status in ["ok", "alarm", "skip"] {
            let count = theirs.values().filter(|(other, _)| other == status).count();
            assert!(count > 1_000, "{count} of {status}");
        }
        for (resource, verdict) in &theirs {
            assert_eq!(
                ours.get(resource),
                Some(verdict),
                "{resource} as of {as_of}"
            );
        }
        assert_eq!(ours.len(), theirs.len());
    }
}

#[test]
#[ignore = "needs botocore and py-ocsf-models: make test sets them up"]
fn findings_pass_the_models_that_others_publish() {
    let folder = tempfile::tempdir().unwrap();
    let [asff, ocsf] = ["out.asff.json", "out.ocsf.json"].map(|name| folder.path().join(name));
    for details in ["true", "false"] {
        let finished = run(command()
            .args(["check", "--source=demo", "--output=none", "--export"])
            .arg(&asff)
            .arg("--export")
            .arg(&ocsf)
            .env("IAM_KEY_EXPORTER_CHECK_DETAILS", details));
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        let output = Command::new(python())
            .arg(repository("tests/real/check_findings.py"))
            .args([&asff, &ocsf])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "51 51\n");
    }
}
