//! The daemon as a process: signals, readiness, addresses and logs.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may what prepares it"
)]

mod exporter;
mod support;
mod web_support;

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use exporter::{
    Exporter, PATIENCE, command, fields, get, read_answer,
    slow::{long_report, scrape_in_flight, with_report},
};
use iam_key_exporter::clock::Clock;
use rustix::process::Signal;
use support::fake_aws::{Action, ErrorCode, FakeAws, Fault, Operation};
use tempfile::NamedTempFile;
use web_support::{
    client::Client,
    pki::{Ca, loopback, replace},
};

/// What the exporter promises from the first signal to its end.
const PROMISED: Duration = Duration::from_secs(5);

fn demo() -> Command {
    let mut command = command();
    command.arg("--source=demo");
    command
}

fn against(aws: &FakeAws) -> Command {
    let mut command = command();
    command.envs(aws.environment());
    command
}

/// Adds users with a key each, as of now: a double whose clock is behind has an outdated report.
fn add_users(aws: &FakeAws, names: &[&str]) {
    let now = Clock::System.now();
    let mut account = aws.account();
    account.set_now(now);
    for name in names {
        account.add_user(name, now);
        account.add_key(name, now);
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_status_0() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut exporter = Exporter::start(&mut demo());
        exporter.signal(signal);
        let start = Instant::now();
        let status = exporter.wait();
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(start.elapsed() < PROMISED, "{name}: {:?}", start.elapsed());
        let log = exporter.log.join("\n");
        assert!(
            log.contains(&format!("message=stopping signal={name}")),
            "{log}"
        );
        assert!(log.contains("message=stopped"), "{log}");
    }
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    let mut exporter = Exporter::start(&mut demo());
    let _idle = TcpStream::connect(exporter.addresses[0]).unwrap();
    // Answered after the idle connection was accepted, for connections are taken in their order.
    exporter.get("/-/healthy");
    exporter.signal(Signal::TERM);
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(
        !exporter.log.join("\n").contains("cut off"),
        "{:#?}",
        exporter.log
    );
}

#[test]
fn a_scrape_in_flight_is_finished_and_no_other_begun() {
    let report = long_report();
    let mut exporter = with_report(&report, &[]);
    let address = exporter.addresses[0];
    let mut scrape = scrape_in_flight(address);

    exporter.signal(Signal::TERM);
    let start = Instant::now();
    exporter.wait_for_line("stopping");
    while TcpStream::connect(address).is_ok() {
        assert!(start.elapsed() < PROMISED, "it still accepts connections");
    }
    assert!(exporter.is_running(), "it waits for the scrape");

    let answer = read_answer(&mut scrape);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer
            .body
            .matches("\naws_iam_access_key_age_days{")
            .count(),
        20_000
    );
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(start.elapsed() < PROMISED, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_in_flight_over_tls_is_finished_too() {
    let report = long_report();
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("servers");
    ca.issue(&loopback()).write(folder.path(), "");
    let config = folder.path().join("web.yml");
    replace(
        &config,
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n",
    );
    for protocol in ["h2", "http/1.1"] {
        let client = Client::new(&ca, None, &[protocol]);
        let source = format!("--source=report:{}", report.path().display());
        let mut exporter =
            Exporter::start(command().arg(source).arg("--web.config.file").arg(&config));
        let address = exporter.addresses[0];
        let ready = Instant::now();
        while client.get(address, "/-/ready", &[]).await.unwrap().status != 200 {
            assert!(ready.elapsed() < PATIENCE, "it is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut connection = client.connect_slowly(address).await.unwrap();
        let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
        let scrape = connection.begin("/metrics", &accept).await.unwrap();

        exporter.signal(Signal::TERM);
        let start = Instant::now();
        exporter.wait_for_line("stopping");
        while TcpStream::connect(address).is_ok() {
            assert!(start.elapsed() < PROMISED, "it still accepts connections");
        }
        assert!(exporter.is_running(), "{protocol}: it waits for the scrape");

        let answer = web_support::client::Answer::read(scrape).await.unwrap();
        assert_eq!(answer.status, 200);
        let keys = answer
            .body
            .matches("\naws_iam_access_key_age_days{")
            .count();
        assert_eq!(keys, 20_000, "{protocol}");
        assert!(answer.body.ends_with("# EOF\n"), "{protocol}");
        drop(connection);
        assert_eq!(exporter.wait().code(), Some(0), "{protocol}");
        assert!(
            start.elapsed() < PROMISED,
            "{protocol}: {:?}",
            start.elapsed()
        );
        let log = exporter.log.join("\n");
        assert!(!log.contains("cut off"), "{log}");
    }
}

#[test]
fn a_client_that_never_reads_holds_up_the_end_for_less_than_5_seconds() {
    let report = long_report();
    let mut exporter = with_report(&report, &[]);
    let _stuck = scrape_in_flight(exporter.addresses[0]);
    exporter.signal(Signal::TERM);
    let start = Instant::now();
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(start.elapsed() < PROMISED, "{:?}", start.elapsed());
    let log = exporter.log.join("\n");
    assert!(log.contains("connections were cut off"), "{log}");
}

#[test]
fn a_second_signal_aborts_even_while_a_client_is_stuck() {
    let report = long_report();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut exporter = with_report(&report, &[]);
        let _stuck = scrape_in_flight(exporter.addresses[0]);
        exporter.signal(Signal::TERM);
        exporter.wait_for_line("stopping");
        exporter.insist(signal);
        assert_eq!(exporter.wait().code(), Some(code));
        let log = exporter.log.join("\n");
        assert!(log.contains("aborted by a second signal"), "{log}");
        assert!(
            !log.contains("cut off"),
            "the drain time was not waited for: {log}"
        );
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let report = long_report();
    let mut exporter = with_report(&report, &[]);
    let mut scrape = scrape_in_flight(exporter.addresses[0]);
    // Two of a kind would be merged by the kernel.
    exporter.signal(Signal::TERM);
    exporter.signal(Signal::INT);
    assert_eq!(read_answer(&mut scrape).status, 200);
    assert_eq!(exporter.wait().code(), Some(0), "{:#?}", exporter.log);
}

#[test]
fn the_profile_asked_for_goes_before_credentials_of_the_environment() {
    let aws = FakeAws::start_on_thread();
    add_users(&aws, &["alice"]);
    let mut config = NamedTempFile::new().unwrap();
    writeln!(
        config,
        "[profile audit]\naws_access_key_id = AKIAAUDIT\naws_secret_access_key = secret"
    )
    .unwrap();
    let with_profile = |profile: &str| {
        Exporter::start(
            against(&aws)
                .env("AWS_CONFIG_FILE", config.path())
                .arg(format!("--aws.profile={profile}")),
        )
    };

    let mut misspelt = with_profile("adit");
    let warning = fields(&misspelt.wait_for_line("level=warn"));
    assert_eq!(warning["reason"], "credentials");
    assert!(
        warning["message"].contains("profile `adit` was not defined"),
        "{warning:?}"
    );
    assert_eq!(aws.calls().total(), 0, "nobody else's credentials are used");
    misspelt.stop();

    let mut audit = with_profile("audit");
    audit.wait_for_line("account read completely");
    audit.stop();
}

#[test]
fn a_refresh_under_way_does_not_hold_up_the_end() {
    let aws = FakeAws::start_on_thread();
    aws.inject(Fault::everywhere(Action::Hang));
    let mut exporter = Exporter::start(&mut against(&aws));
    let start = Instant::now();
    while aws.calls().total() == 0 {
        assert!(start.elapsed() < PATIENCE, "AWS isn't asked");
        std::thread::yield_now();
    }
    exporter.signal(Signal::TERM);
    let start = Instant::now();
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(start.elapsed() < PROMISED, "{:?}", start.elapsed());
}

#[test]
fn a_standard_input_that_stays_open_does_not_hold_up_the_end() {
    let mut command = command();
    command.arg("--source=report:-").stdin(Stdio::piped());
    let mut exporter = Exporter::start(&mut command);
    exporter.signal(Signal::TERM);
    let start = Instant::now();
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(start.elapsed() < PROMISED, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_aws_was_read() {
    // Connections to it are taken by the kernel and never answered: AWS is down.
    let silence = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silence.local_addr().unwrap();
    let mut command = command();
    command
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .envs([
            ("AWS_ACCESS_KEY_ID", "AKIAFAKE"),
            ("AWS_SECRET_ACCESS_KEY", "fake"),
        ]);
    let exporter = Exporter::start(&mut command);

    for path in ["/-/ready", "/readyz"] {
        let answer = exporter.get(path);
        assert_eq!(answer.status, 503, "{path}");
        assert!(
            answer.body.contains("first refresh is under way"),
            "{answer:?}"
        );
    }
    for path in ["/-/healthy", "/healthz", "/livez"] {
        assert_eq!(exporter.get(path).status, 200, "{path}");
    }
    let before = exporter.get("/metrics");
    assert_eq!(before.status, 200);
    assert!(
        before
            .body
            .contains("# TYPE aws_iam_access_key_age_days gauge")
    );
    assert!(!before.body.contains("aws_iam_access_key_age_days{"));

    drop(silence);
    let aws = FakeAws::start_at(address).await;
    add_users(&aws, &["alice"]);
    exporter.poll("/-/ready", |answer| answer.status == 200);
    let metrics = exporter.get("/metrics").body;
    assert!(metrics.contains("iam_key_exporter_account_up{account_id=\"123456789012\"} 1"));
    assert!(metrics.contains("user_name=\"alice\""));
    exporter.stop();
}

#[test]
fn without_credentials_it_serves_on_and_says_why_once() {
    let mut exporter = Exporter::start(&mut command());
    let warning = fields(&exporter.wait_for_line("level=warn"));
    assert_eq!(warning["reason"], "credentials");
    assert_eq!(warning["account"], "unknown");
    assert!(warning["message"].contains("--aws.profile"), "{warning:?}");

    // The line comes just before the snapshot.
    let ready = exporter.poll("/-/ready", |answer| {
        answer.body.contains("no account could be read yet")
    });
    assert_eq!(ready.status, 503);
    let metrics = exporter.get("/metrics").body;
    for line in [
        "iam_key_exporter_account_up{account_id=\"unknown\"} 0",
        "iam_key_exporter_refresh_failures_total{account_id=\"unknown\",reason=\"credentials\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    assert!(!metrics.contains("\naws_iam_user_access_keys_compliant{"));

    let log = exporter.stop();
    let warnings = log
        .iter()
        .filter(|line| line.contains("level=warn"))
        .count();
    assert_eq!(warnings, 1, "{log:#?}");
}

#[test]
fn settings_of_the_environment_take_effect() {
    let mut command = command();
    command.envs([
        ("IAM_KEY_EXPORTER_SOURCE", "demo"),
        ("IAM_KEY_EXPORTER_AS_OF", "2026-01-31T00:00:00Z"),
        ("IAM_KEY_EXPORTER_AWS_STRATEGY", "list"),
        ("IAM_KEY_EXPORTER_AWS_PROFILE", "audit"),
        ("IAM_KEY_EXPORTER_AWS_MAX_CONCURRENCY", "2"),
        ("IAM_KEY_EXPORTER_POLICY_MAX_AGE_DAYS", "30"),
        ("IAM_KEY_EXPORTER_POLICY_BOUNDARY", "whole-days"),
        ("IAM_KEY_EXPORTER_POLICY_SETTLE_DAYS", "3"),
        ("IAM_KEY_EXPORTER_POLICY_UNUSED_DAYS", "30"),
        ("IAM_KEY_EXPORTER_POLICY_WARN_DAYS", "0"),
        ("IAM_KEY_EXPORTER_REFRESH_INTERVAL", "1h 30m"),
        ("IAM_KEY_EXPORTER_REFRESH_TIMEOUT", "1m"),
        ("IAM_KEY_EXPORTER_METRICS_ACCESS_KEY_ID", "last4"),
        ("IAM_KEY_EXPORTER_WEB_LISTEN_ADDRESS", "127.0.0.1:0,[::1]:0"),
        ("IAM_KEY_EXPORTER_WEB_TELEMETRY_PATH", "/keys"),
        ("IAM_KEY_EXPORTER_LOG_LEVEL", "debug"),
        ("IAM_KEY_EXPORTER_LOG_FORMAT", "json"),
    ]);
    let mut exporter = Exporter::start_on(&mut command, &[]);
    let mut address = || {
        let line: serde_json::Value =
            serde_json::from_str(&exporter.wait_for_line("listening")).unwrap();
        line["address"]
            .as_str()
            .unwrap()
            .parse::<SocketAddr>()
            .unwrap()
    };
    let (v4, v6) = (address(), address());
    assert!(v4.is_ipv4() && v6.is_ipv6());
    exporter.addresses.push(v4);
    exporter.poll("/-/ready", |answer| answer.status == 200);
    let metrics = exporter.get("/keys").body;
    for line in [
        "aws_iam_access_key_max_age_days 30",
        "iam_key_exporter_refresh_interval_seconds 5400",
        // 2026-01-31T00:00:00Z less 12 days, and 31 days later: 30 whole ones and a day.
        "access_key_id=\"0101\",status=\"Active\"} 1768780800",
        "access_key_id=\"0101\",status=\"Active\"} 1771459200",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    exporter.stop();
}

#[test]
fn an_environment_variable_of_no_flag_is_warned_about() {
    let log = Exporter::start(demo().envs([
        ("IAM_KEY_EXPORTER_POLICY_MAXAGE_DAYS", "MARKED-VALUE"),
        // What Kubernetes sets for a Service of that name.
        ("IAM_KEY_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("IAM_KEY_EXPORTER_SERVICE_PORT_METRICS", "10114"),
        ("IAM_KEY_EXPORTER_PORT", "tcp://10.0.0.1:10114"),
        ("IAM_KEY_EXPORTER_PORT_10114_TCP_ADDR", "10.0.0.1"),
    ]))
    .stop();
    let warnings: Vec<_> = log
        .iter()
        .filter(|line| line.contains("variable="))
        .collect();
    let [warning] = warnings[..] else {
        panic!("one warning, not {log:#?}")
    };
    let warning = fields(warning);
    assert_eq!(warning["level"], "warn");
    assert_eq!(warning["variable"], "IAM_KEY_EXPORTER_POLICY_MAXAGE_DAYS");
    assert!(!log.join("\n").contains("MARKED-VALUE"));
}

#[test]
fn it_listens_on_several_addresses() {
    let exporter = Exporter::start_on(&mut demo(), &["127.0.0.1:0", "[::1]:0"]);
    let [v4, v6] = exporter.addresses[..] else {
        panic!("two addresses, not {:?}", exporter.addresses)
    };
    assert!(v4.is_ipv4() && v6.is_ipv6());
    for address in [v4, v6] {
        assert_ne!(address.port(), 0);
        assert_eq!(get(address, "/-/healthy").status, 200, "{address}");
    }
    exporter.stop();
}

#[test]
fn the_telemetry_path_can_be_moved() {
    let exporter = Exporter::start(demo().arg("--web.telemetry-path=/keys"));
    assert_eq!(exporter.get("/keys").status, 200);
    assert_eq!(exporter.get("/metrics").status, 404);
    assert!(exporter.get("/").body.contains("/keys"));
    exporter.stop();
}

#[test]
fn logfmt_lines_tell_the_time_the_level_and_the_message() {
    let log = Exporter::start(&mut demo()).stop();
    assert!(!log.is_empty());
    for line in &log {
        let fields = fields(line);
        chrono::DateTime::parse_from_rfc3339(&fields["ts"]).expect("ts is a time");
        assert!(
            ["info", "warn"].contains(&fields["level"].as_str()),
            "{line}"
        );
        assert!(!fields["message"].is_empty(), "{line}");
    }
    let started = fields(&log[0]);
    assert_eq!(started["message"], "started");
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn json_lines_hold_the_same() {
    let log = Exporter::start(demo().arg("--log.format=json")).stop();
    let lines: Vec<serde_json::Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    for line in &lines {
        let time = line["timestamp"].as_str().expect("a time");
        chrono::DateTime::parse_from_rfc3339(time).expect("timestamp is a time");
        assert!(
            ["INFO", "WARN"].contains(&line["level"].as_str().unwrap()),
            "{line}"
        );
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
    assert_eq!(lines[0]["message"], "started");
    assert_eq!(lines[0]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_level_decides_what_is_logged() {
    let aws = FakeAws::start_on_thread();
    aws.deny(Operation::GetCallerIdentity);
    // Without INFO no line tells the address, so nothing may wait for one.
    let quiet = |level: &str| {
        Exporter::start_on(
            against(&aws).args([
                "--web.listen-address=127.0.0.1:0",
                &format!("--log.level={level}"),
            ]),
            &[],
        )
    };

    let mut exporter = quiet("warn");
    exporter.wait_for_line("reason=access_denied");
    let log = exporter.stop();
    assert!(
        log.iter().all(|line| line.contains("level=warn")),
        "{log:#?}"
    );

    aws.reset_calls();
    let exporter = quiet("error");
    let start = Instant::now();
    while aws.calls().of(Operation::GetCallerIdentity) == 0 {
        assert!(start.elapsed() < PATIENCE, "AWS isn't asked");
        std::thread::yield_now();
    }
    assert_eq!(exporter.stop(), [""; 0]);
}

/// A daemon that read an account completely, at a level, with marked credentials.
fn log_of_a_refresh(level: &str) -> String {
    let aws = FakeAws::start_on_thread();
    add_users(&aws, &["marked-user-1", "marked-user-2", "marked-user-3"]);
    let mut exporter = Exporter::start(
        against(&aws)
            .arg(format!("--log.level={level}"))
            .env("AWS_SECRET_ACCESS_KEY", "MARKED-SECRET")
            .env("AWS_SESSION_TOKEN", "MARKED-TOKEN"),
    );
    exporter.wait_for_line("account read completely");
    exporter.get("/metrics");
    exporter.stop().join("\n")
}

#[test]
fn no_secret_and_no_token_is_logged_at_debug() {
    let log = log_of_a_refresh("debug");
    assert!(!log.contains("MARKED"), "{log}");
    assert!(!log.contains("Signature="), "{log}");
}

#[test]
fn no_user_is_named_at_info() {
    let log = log_of_a_refresh("info");
    assert!(log.contains("users=3 keys=3"), "{log}");
    assert!(!log.contains("marked-user"), "{log}");
}

#[test]
fn no_secret_is_logged_when_aws_refuses_the_signature() {
    let aws = FakeAws::start_on_thread();
    aws.inject(Fault::everywhere(Action::Error(
        ErrorCode::SignatureDoesNotMatch,
    )));
    let mut exporter = Exporter::start(
        against(&aws)
            .arg("--log.level=debug")
            .env("AWS_SECRET_ACCESS_KEY", "MARKED-SECRET")
            .env("AWS_SESSION_TOKEN", "MARKED-TOKEN"),
    );
    exporter.wait_for_line("reason=credentials");
    let log = exporter.stop().join("\n");
    assert!(!log.contains("MARKED"), "{log}");
}
