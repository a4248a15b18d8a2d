//! The configuration loaded anew while the daemon serves, by SIGHUP and over HTTP.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use exporter::{Answer, Exporter, PATIENCE, command, get, read_answer};
use rustix::process::Signal;
use tempfile::TempDir;

/// A daemon over the demo, with a configuration file.
struct Daemon {
    exporter: Exporter,
    file: PathBuf,
    _directory: TempDir,
}

impl Daemon {
    fn start(content: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.yml");
        put(&file, content);
        let exporter = Exporter::start(
            command()
                .args(["--source=demo", "--web.enable-lifecycle", "--config.file"])
                .arg(&file),
        );
        exporter.poll("/-/ready", |answer| answer.status == 200);
        Self {
            exporter,
            file,
            _directory: directory,
        }
    }

    fn reload(&self, content: &str) -> Answer {
        put(&self.file, content);
        post(self.exporter.addresses[0], "/-/reload")
    }

    fn value(&self, metric: &str) -> String {
        value(&self.exporter.get("/metrics").body, metric)
    }

    /// Whether reloads succeeded, and the max age in force.
    fn state(&self) -> (String, String) {
        let metrics = self.exporter.get("/metrics").body;
        (value(&metrics, SUCCESSFUL), value(&metrics, MAX_AGE))
    }

    /// Waits until scrapes show a max age: one that is under way is shared with who comes later.
    fn wait_for_max_age(&self, days: u32) {
        let line = format!("\n{MAX_AGE} {days}.0\n");
        self.exporter
            .poll("/metrics", |answer| answer.body.contains(&line));
    }
}

/// Writes the file as an editor or Kubernetes does: whole, or not at all.
fn put(file: &Path, content: &str) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

fn max_age(days: u32) -> String {
    format!("policy:\n  max_age_days: {days}\n")
}

fn post(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: exporter\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    read_answer(&mut stream)
}

/// The value of a metric without labels.
fn value(metrics: &str, metric: &str) -> String {
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {metric} in {metrics}"))
        .to_owned()
}

const MAX_AGE: &str = "aws_iam_access_key_max_age_days";
const SUCCESSFUL: &str = "iam_key_exporter_config_last_reload_successful";

/// How many users are compliant, and how many aren't.
fn compliance(metrics: &str) -> (usize, usize) {
    let of = |value: &str| {
        let lines = metrics.lines();
        let lines = lines.filter(|line| line.starts_with("aws_iam_user_access_keys_compliant{"));
        lines.filter(|line| line.ends_with(value)).count()
    };
    (of(" 1"), of(" 0"))
}

#[test]
fn no_scrape_fails_or_misses_anything_during_200_reloads() {
    let daemon = Daemon::start(&max_age(90));
    let address = daemon.exporter.addresses[0];
    let done = Arc::new(AtomicBool::new(false));
    let scrapers: Vec<_> = (0..2)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let mut scrapes = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    let answer = get(address, "/metrics");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    let up = "\niam_key_exporter_account_up{";
                    assert_eq!(answer.body.matches(up).count(), 2, "{answer:?}");
                    // Every scrape is judged by one policy as a whole.
                    let (fine, bad) = compliance(&answer.body);
                    match &*value(&answer.body, MAX_AGE) {
                        "36500.0" => assert_eq!(bad, 0, "{answer:?}"),
                        "90.0" => assert!(fine > 0 && bad > 0, "{answer:?}"),
                        other => panic!("a max age of {other}"),
                    }
                    scrapes += 1;
                }
                scrapes
            })
        })
        .collect();
    for number in 0..200_u32 {
        let days = if number % 2 == 0 { 36_500 } else { 90 };
        let answer = daemon.reload(&max_age(days));
        assert_eq!(answer.status, 200, "{answer:?}");
        if number % 20 < 2 {
            daemon.wait_for_max_age(days);
        }
    }
    done.store(true, Ordering::Relaxed);
    for scraper in scrapers {
        assert!(scraper.join().unwrap() >= 50);
    }
    daemon.exporter.stop();
}

#[test]
fn a_bad_file_leaves_the_running_configuration_and_is_told_of() {
    let mut daemon = Daemon::start(&max_age(30));
    assert_eq!(daemon.value(SUCCESSFUL), "1");

    let answer = daemon.reload("policy:\n  max_age_days: soon\n");
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.body.contains("config.yml:2:"), "{answer:?}");
    assert!(answer.body.contains("max_age_days"), "{answer:?}");
    assert_eq!(daemon.state(), ("0".into(), "30.0".into()));
    let line = daemon.exporter.wait_for_line("level=error");
    assert!(line.contains("max_age_days"), "{line}");

    // Accounts are for AWS only.
    let role = "accounts:\n  - role_arn: arn:aws:iam::111122223333:role/reader\n";
    assert_eq!(daemon.reload(role).status, 500);
    assert_eq!(daemon.value(MAX_AGE), "30.0");

    assert_eq!(daemon.reload(&max_age(60)).status, 200);
    assert_eq!(daemon.state(), ("1".into(), "60.0".into()));
    daemon.exporter.stop();
}

#[test]
fn sighup_reloads() {
    let mut daemon = Daemon::start(&max_age(30));
    put(&daemon.file, &max_age(45));
    daemon.exporter.signal(Signal::HUP);
    daemon
        .exporter
        .wait_for_line("the configuration was reloaded");
    assert_eq!(daemon.value(MAX_AGE), "45.0");
    fs::remove_file(&daemon.file).unwrap();
    daemon.exporter.signal(Signal::HUP);
    daemon.exporter.wait_for_line("the one in force stays");
    assert_eq!(daemon.state(), ("0".into(), "45.0".into()));
    daemon.exporter.stop();
}

#[test]
fn without_a_file_there_is_nothing_to_reload_and_that_is_no_failure() {
    let mut exporter = Exporter::start(command().args(["--source=demo", "--web.enable-lifecycle"]));
    exporter.signal(Signal::HUP);
    exporter.wait_for_line("nothing to reload");
    assert_eq!(post(exporter.addresses[0], "/-/reload").status, 200);
    assert_eq!(value(&exporter.get("/metrics").body, SUCCESSFUL), "1");
    exporter.stop();
}
