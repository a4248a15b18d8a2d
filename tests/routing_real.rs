//! What a real Alertmanager makes of the alerts, with the configuration that is shipped: who is told, how often, and of
//! what nobody is told twice.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets Alertmanager up and runs them all.

#[expect(dead_code, reason = "only its requests are needed here")]
#[path = "support_real/http.rs"]
mod http;
#[path = "support_real/process.rs"]
mod process;
#[expect(dead_code, reason = "only the tools of Prometheus are needed here")]
#[path = "support_real/tools.rs"]
mod tools;
#[expect(dead_code, reason = "only its patience is needed here")]
#[path = "support_real/wait.rs"]
mod wait;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
};

use process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A notification: who was told, and the labels of what is firing, sorted.
type Told = (String, Vec<String>);

/// An Alertmanager with the shipped routes and inhibitions, whose receivers are webhooks of this test.
struct Alertmanager {
    address: SocketAddr,
    told: Receiver<(String, Value)>,
    _process: Process,
    // After the process, so that its files outlive it.
    _directory: TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let webhook = listener
            .local_addr()
            .expect("a bound socket has an address");
        let directory = TempDir::new().expect("a temporary directory can be made");
        let config = directory.path().join("alertmanager.yml");
        fs::write(&config, with_webhooks(webhook)).expect("the temporary directory is writable");
        let process = Process::start(
            "alertmanager",
            Command::new(tools::tool("alertmanager"))
                .arg(format!("--config.file={}", config.display()))
                .arg(format!(
                    "--storage.path={}",
                    directory.path().join("data").display()
                ))
                .arg("--web.listen-address=127.0.0.1:0")
                .arg("--cluster.listen-address="),
        );
        let address = process.wait_for_listening_on();
        Self {
            address,
            told: receive(listener),
            _process: process,
            _directory: directory,
        }
    }

    /// Tells Alertmanager of the alerts at once, as Prometheus does after an evaluation, and returns all notifications
    /// until that of an alert that came after them.
    async fn notifications(&self, alerts: &[Value]) -> Vec<Told> {
        self.post(alerts).await;
        self.post(&[alert(&[("alertname", "Sentinel")])]).await;
        let mut notifications = Vec::new();
        loop {
            let (receiver, group) = self
                .told
                .recv_timeout(wait::PATIENCE)
                .expect("a notification comes");
            if receiver == "default" {
                notifications.sort();
                return notifications;
            }
            let alerts = group["alerts"].as_array().expect("a group has alerts");
            let mut firing: Vec<String> = alerts
                .iter()
                .map(|alert| {
                    let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default();
                    ["alertname", "account_id", "user_name"]
                        .map(label)
                        .join(" ")
                })
                .collect();
            firing.sort();
            notifications.push((receiver, firing));
        }
    }

    async fn post(&self, alerts: &[Value]) {
        http::post(
            self.address,
            "/api/v2/alerts",
            "application/json",
            json!(alerts).to_string(),
        )
        .await
        .and_then(http::Answer::ok)
        .expect("Alertmanager takes the alerts");
    }
}

/// The shipped configuration, changed in two places: each receiver is a webhook whose path is the receiver's name, and a
/// group waits for a second only. The sentinel waits longer, so that it comes last.
fn with_webhooks(webhook: SocketAddr) -> String {
    let shipped = tools::repository("deploy/alertmanager/alertmanager.yml");
    let shipped = fs::read_to_string(shipped).expect("the shipped configuration is readable");
    let mut config: Value = yaml_serde::from_str(&shipped).expect("it is YAML");
    for receiver in config["receivers"]
        .as_array_mut()
        .expect("it has receivers")
    {
        let name = receiver["name"].as_str().expect("a receiver has a name");
        *receiver = json!({
            "name": name,
            "webhook_configs": [{"url": format!("http://{webhook}/{name}")}],
        });
    }
    shorten(&mut config["route"]);
    config["route"]["group_wait"] = "5s".into();
    config["templates"] = json!([]);
    config.to_string()
}

fn shorten(route: &mut Value) {
    if route.get("group_wait").is_some() {
        route["group_wait"] = "1s".into();
    }
    for route in route["routes"].as_array_mut().into_iter().flatten() {
        shorten(route);
    }
}

/// Takes what is posted to `listener`, for as long as anybody asks for it.
fn receive(listener: TcpListener) -> Receiver<(String, Value)> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(posted) = read_post(stream) else {
                continue;
            };
            if sender.send(posted).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The path, without its slash, and the body of one request, which is answered.
fn read_post(stream: TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    reader
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .ok()?;
    Some((path, serde_json::from_slice(&body).ok()?))
}

fn alert(labels: &[(&str, &str)]) -> Value {
    json!({"labels": labels.iter().copied().collect::<BTreeMap<_, _>>()})
}

/// An alert on a key of `user` in account 1, with more labels if need be.
fn on_key(name: &str, severity: &str, user: &str, more: &[(&str, &str)]) -> Value {
    let mut labels = vec![
        ("alertname", name),
        ("severity", severity),
        ("category", "rotation"),
        ("account_id", "1"),
        ("user_name", user),
        ("access_key_id", "AKIAIOSFODNN7EXAMPLE"),
    ];
    labels.extend(more);
    alert(&labels)
}

/// An alert on the exporter or one of its accounts.
fn on_health(name: &str, account: &str) -> Value {
    let mut labels = vec![
        ("alertname", name),
        ("severity", "warning"),
        ("category", "health"),
        ("job", "iam-key-exporter"),
    ];
    if !account.is_empty() {
        labels.push(("account_id", account));
    }
    alert(&labels)
}

#[tokio::test]
#[ignore = "needs alertmanager"]
async fn five_hundred_overdue_keys_of_an_account_are_one_notification() {
    let alertmanager = Alertmanager::start();
    let alerts: Vec<Value> = (0..500)
        .map(|number| {
            let user = format!("user-{number}");
            on_key("AwsIamAccessKeyRotationOverdue", "warning", &user, &[])
        })
        .collect();
    let told = alertmanager.notifications(&alerts).await;
    let sizes: Vec<_> = told
        .iter()
        .map(|(who, what)| (&**who, what.len()))
        .collect();
    assert_eq!(sizes, [("iam-keys", 500)]);
}

#[tokio::test]
#[ignore = "needs alertmanager"]
async fn a_thousand_accounts_that_are_down_are_one_notification() {
    let alertmanager = Alertmanager::start();
    let alerts: Vec<Value> = (0..1_000)
        .flat_map(|number| {
            let account = format!("{number:012}");
            [
                on_health("AwsIamAccessKeyAccountDown", &account),
                on_health("AwsIamAccessKeyDataStale", &account),
            ]
        })
        .collect();
    let told = alertmanager.notifications(&alerts).await;
    let sizes: Vec<_> = told
        .iter()
        .map(|(who, what)| (&**who, what.len()))
        .collect();
    // The data of an account that is down is stale, which nobody needs to be told.
    assert_eq!(sizes, [("iam-keys-exporter", 1_000)]);
}

#[tokio::test]
#[ignore = "needs alertmanager"]
async fn only_the_worst_is_said_of_a_key_and_only_the_cause_of_the_exporter() {
    let alertmanager = Alertmanager::start();
    let told = alertmanager
        .notifications(&[
            on_key("AwsIamAccessKeyLongOverdue", "critical", "old", &[]),
            on_key("AwsIamAccessKeyRotationOverdue", "warning", "old", &[]),
            on_key("AwsIamAccessKeyRotationDueSoon", "info", "old", &[]),
            // Another key of the same user, another user, and another account: none is muted.
            on_key(
                "AwsIamAccessKeyRotationOverdue",
                "warning",
                "old",
                &[("access_key_id", "AKIAI44QH8DHBEXAMPLE")],
            ),
            on_key("AwsIamAccessKeyRotationDueSoon", "info", "soon", &[]),
            on_key(
                "AwsIamAccessKeyRotationOverdue",
                "warning",
                "old",
                &[("account_id", "2")],
            ),
            on_health("AwsIamAccessKeyExporterDown", ""),
            on_health("AwsIamAccessKeyDataStale", "1"),
            on_health("AwsIamAccessKeyAccountDown", "2"),
            on_health("AwsIamAccessKeyPartialRead", "2"),
            on_health("AwsIamAccessKeyPartialRead", "3"),
        ])
        .await;
    let expected = [
        ("iam-keys", "AwsIamAccessKeyRotationOverdue 1 old"),
        ("iam-keys", "AwsIamAccessKeyRotationOverdue 2 old"),
        ("iam-keys-critical", "AwsIamAccessKeyLongOverdue 1 old"),
        ("iam-keys-digest", "AwsIamAccessKeyRotationDueSoon 1 soon"),
        ("iam-keys-exporter", "AwsIamAccessKeyAccountDown 2 "),
        ("iam-keys-exporter", "AwsIamAccessKeyExporterDown  "),
        ("iam-keys-exporter", "AwsIamAccessKeyPartialRead 3 "),
    ];
    let expected = expected.map(|(who, what)| (who.to_owned(), vec![what.to_owned()]));
    assert_eq!(told, expected);
}

#[tokio::test]
#[ignore = "needs alertmanager"]
async fn teams_are_told_of_their_own_and_get_one_digest_each() {
    let alertmanager = Alertmanager::start();
    let of = |name, severity, user, team| on_key(name, severity, user, &[("team", team)]);
    let told = alertmanager
        .notifications(&[
            of("AwsIamAccessKeyRotationOverdue", "warning", "a", "platform"),
            of("AwsIamAccessKeyRotationOverdue", "warning", "b", "platform"),
            of("AwsIamAccessKeyRotationOverdue", "warning", "c", "finance"),
            of("AwsIamAccessKeyLongOverdue", "critical", "d", "finance"),
            of("AwsIamAccessKeyRotationDueSoon", "info", "e", "finance"),
            of(
                "AwsIamAccessKeyRetiredKeyNotDeleted",
                "info",
                "f",
                "finance",
            ),
            on_key("AwsIamAccessKeyRotationDueSoon", "info", "g", &[]),
        ])
        .await;
    let expected: [(&str, &[&str]); 6] = [
        ("iam-keys-critical", &["AwsIamAccessKeyLongOverdue 1 d"]),
        (
            "iam-keys-digest",
            &[
                "AwsIamAccessKeyRetiredKeyNotDeleted 1 f",
                "AwsIamAccessKeyRotationDueSoon 1 e",
            ],
        ),
        ("iam-keys-digest", &["AwsIamAccessKeyRotationDueSoon 1 g"]),
        ("iam-keys-team", &["AwsIamAccessKeyLongOverdue 1 d"]),
        (
            "iam-keys-team",
            &[
                "AwsIamAccessKeyRotationOverdue 1 a",
                "AwsIamAccessKeyRotationOverdue 1 b",
            ],
        ),
        ("iam-keys-team", &["AwsIamAccessKeyRotationOverdue 1 c"]),
    ];
    let expected = expected.map(|(who, what)| {
        (
            who.to_owned(),
            what.iter().map(|&what| what.into()).collect(),
        )
    });
    assert_eq!(told, expected);
}

#[tokio::test]
#[ignore = "needs alertmanager"]
async fn a_team_that_cannot_be_written_to_is_told_of_like_none() {
    let alertmanager = Alertmanager::start();
    let of = |name, severity, user, team| on_key(name, severity, user, &[("team", team)]);
    let told = alertmanager
        .notifications(&[
            of("AwsIamAccessKeyUnused", "warning", "a", "Data Platform"),
            of("AwsIamAccessKeyUnused", "warning", "b", "a@b.c"),
            of("AwsIamAccessKeyUnused", "warning", "c", "data.platform"),
            on_key("AwsIamAccessKeyUnused", "warning", "d", &[]),
            of(
                "AwsIamAccessKeyLongOverdue",
                "critical",
                "e",
                "Data Platform",
            ),
        ])
        .await;
    let expected: [(&str, &[&str]); 3] = [
        (
            "iam-keys",
            &[
                "AwsIamAccessKeyUnused 1 a",
                "AwsIamAccessKeyUnused 1 b",
                "AwsIamAccessKeyUnused 1 d",
            ],
        ),
        ("iam-keys-critical", &["AwsIamAccessKeyLongOverdue 1 e"]),
        ("iam-keys-team", &["AwsIamAccessKeyUnused 1 c"]),
    ];
    let expected = expected.map(|(who, what)| {
        (
            who.to_owned(),
            what.iter().map(|&what| what.into()).collect(),
        )
    });
    assert_eq!(told, expected);
}
