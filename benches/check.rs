//! What one check of a credential report costs, beside a Python script that does the same.

#![expect(clippy::print_stdout, reason = "the tables are the product")]

mod measure;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};

use measure::{
    child::Process,
    machine, median,
    table::{Table, mebibytes, target},
    timed,
};

const KEYS: usize = 10_000;
const ROUNDS: usize = 15;
const LONGEST: Duration = Duration::from_millis(150);
const MOST_MEBIBYTES: u64 = 60;
const AS_OF: &str = "2026-06-01T12:00:00Z";

fn main() -> anyhow::Result<()> {
    let report = report()?;
    println!("## Check\n\n{}", machine::describe());
    println!(
        "A credential report of {KEYS} keys, two a user, {:.1} MiB; the median of {ROUNDS} runs, each a process from its \
         start to its end. Memory is the peak while the results are written.",
        measure::table::as_f64(fs::metadata(&report)?.len()) / f64::from(1 << 20)
    );
    let mut table = Table::new(
        "One check",
        2,
        &["program", "output", "ms", "target", "peak MiB", "target"],
    );
    for format in ["pretty", "csv", "json", "html", "junit", "asff", "ocsf"] {
        let costs = measure(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"));
            // Cargo gives benches variables that look like flags of the exporter.
            command
                .env_clear()
                .args(["check", "--output", format, "--as-of", AS_OF])
                .arg(format!("--source=report:{}", report.display()));
            command
        })?;
        table.row(costs.cells("iam-key-exporter check", format, true));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/check.py");
    let python = measure(|| {
        let mut command = Command::new("python3");
        command.arg(&script).arg(&report).arg(AS_OF);
        command
    })
    .context("python3 is needed for the comparison")?;
    table.row(python.cells("Python, csv and datetime", "csv", false));
    println!("{table}");
    Ok(())
}

/// What one run takes.
struct Costs {
    wall: Duration,
    peak: u64,
}

impl Costs {
    fn cells(&self, program: &str, format: &str, has_targets: bool) -> [String; 6] {
        let within = |met, wanted: String| {
            if has_targets {
                target(met, wanted)
            } else {
                "–".into()
            }
        };
        [
            program.into(),
            format.into(),
            format!("{:.1}", self.wall.as_secs_f64() * 1e3),
            within(self.wall < LONGEST, format!("< {}", LONGEST.as_millis())),
            mebibytes(self.peak),
            within(
                self.peak < MOST_MEBIBYTES << 20,
                format!("< {MOST_MEBIBYTES}"),
            ),
        ]
    }
}

fn measure(command: impl Fn() -> Command) -> anyhow::Result<Costs> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut command = command();
        let (time, status) = timed(|| Ok(command.stdout(Stdio::null()).status()?))?;
        ensure!(status.code() == Some(1), "there are alarms: {status}");
        times.push(time);
    }
    // The results don't fit into the pipe, so after the first line the process waits with everything
    // in memory until somebody reads on.
    let mut process = Process::start(&mut command())?;
    process.line()?;
    Ok(Costs {
        wall: median(times),
        peak: process.peak()?,
    })
}

/// A report in a file, the same at each run: every tenth key is overdue, every seventh inactive.
fn report() -> anyhow::Result<PathBuf> {
    let now: DateTime<Utc> = AS_OF.parse()?;
    let mut text = "user,arn,user_creation_time,password_enabled,password_last_used,\
        password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
        access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
        access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
        access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
        cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated\n"
        .to_owned();
    for user in 0..KEYS / 2 {
        write!(
            text,
            "user-{user:06},arn:aws:iam::111122223333:user/team/user-{user:06},\
             2020-01-01T00:00:00+00:00,false,N/A,N/A,N/A,false"
        )?;
        for slot in 0..2 {
            let number = user * 2 + slot;
            let days = if number % 10 == 0 {
                91 + number % 400
            } else {
                number % 89
            };
            let created = now - TimeDelta::days(i64::try_from(days)?);
            let used = now - TimeDelta::hours(i64::try_from(number % 24)?);
            write!(
                text,
                ",{},{},{},eu-central-1,s3",
                number % 7 != 0,
                created.to_rfc3339(),
                used.to_rfc3339()
            )?;
        }
        text += ",false,N/A,false,N/A\n";
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-report.csv");
    fs::write(&path, text)?;
    Ok(path)
}
