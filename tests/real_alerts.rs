//! The alerts from end to end: the exporter, Prometheus with the shipped rules, Alertmanager with the shipped routes
//! and texts, and at the end those who are told.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the parts up and runs them all.
//! Alerts take their time so that nobody is paged for a blip, so these tests take a minute.

mod support_real;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support_real::{
    Exporter, Group, ListedKey, Moto, Place, Prometheus, Used, Watch, now, text, text_map, wait_for,
};

/// What differs from run to run, and what to write instead.
struct Masks(Vec<(String, String)>);

impl Masks {
    /// moto makes up the keys' ids.
    fn ids_of(keys: &[ListedKey]) -> Self {
        let mut by_age: Vec<_> = keys.iter().collect();
        by_age.sort_by(|a, b| {
            (&a.user, a.created)
                .partial_cmp(&(&b.user, b.created))
                .expect("instants are ordered")
        });
        let mut number = 0;
        let mut of = "";
        Self(
            by_age
                .into_iter()
                .map(|key| {
                    number = if key.user == of { number + 1 } else { 1 };
                    of = &key.user;
                    (key.id.clone(), format!("<key {number} of {of}>"))
                })
                .collect(),
        )
    }

    fn over(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// The text without how old stale data is, to the second: 2d 0h 0m 5s in Prometheus' way to write a duration.
fn without_duration(text: &str) -> String {
    const BEFORE: &str = "The data on account 210987654321 is 2d ";
    const AFTER: &str = " old: ";
    let mut parts = text.split(BEFORE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (duration, rest) = part.split_once(AFTER).expect("a duration ends");
        assert!(duration.ends_with('s'), "{duration}");
        let _ = write!(out, "{BEFORE}<hours, minutes and seconds>{AFTER}{rest}");
    }
    out
}

/// Everything that the webhooks of the receivers were told, with all labels and annotations.
fn in_full(groups: &BTreeMap<Group, BTreeMap<String, Value>>, masks: &Masks) -> String {
    let mut out = String::new();
    for ((receiver, labels), alerts) in groups {
        let _ = writeln!(out, "{receiver} {labels:?}");
        let alerts: BTreeSet<_> = alerts
            .values()
            .map(|alert| one_in_full(alert, masks))
            .collect();
        out.extend(alerts);
        out.push('\n');
    }
    out
}

fn one_in_full(alert: &Value, masks: &Masks) -> String {
    let mut out = format!(
        "  {} {}\n",
        text(&alert["labels"]["alertname"]),
        text(&alert["status"])
    );
    for (name, value) in text_map(&alert["labels"])
        .into_iter()
        .chain(text_map(&alert["annotations"]))
    {
        if name != "alertname" {
            let _ = writeln!(
                out,
                "    {name}: {}",
                masks.over(&value).replace('\n', "\n      ")
            );
        }
    }
    out
}

/// The same in one line an alert.
fn summary(groups: &BTreeMap<Group, BTreeMap<String, Value>>, masks: &Masks) -> String {
    let lines: BTreeSet<_> = groups
        .iter()
        .flat_map(|((receiver, _), alerts)| alerts.values().map(move |alert| (receiver, alert)))
        .map(|(receiver, alert)| {
            let label = |name: &str| text(&alert["labels"][name]);
            let of = ["account_id", "user_name", "access_key_id"]
                .map(label)
                .join(" ");
            let of = masks.over(of.trim_end());
            format!(
                "{} {} {receiver}: {of}\n",
                label("alertname"),
                text(&alert["status"])
            )
        })
        .collect();
    lines.into_iter().collect()
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// What a user does about a key that an alert is about.
#[derive(Clone, Copy)]
enum Cure {
    /// Makes a new key and deactivates the old one.
    Rotate,
    /// Makes a new key and deletes the old one.
    Replace,
    Delete,
}

/// The age in days, whether it is active, and its last use.
type Key = (f64, bool, Used);

/// Users with keys that break a rule each, and what is done about the oldest of them.
const WRONG: [(&str, &[Key], Option<Cure>); 9] = [
    (
        "overdue",
        &[(100.5, true, Used::DaysAgo(1.0))],
        Some(Cure::Rotate),
    ),
    (
        "long-overdue",
        &[(200.5, true, Used::DaysAgo(2.0))],
        Some(Cure::Rotate),
    ),
    (
        "due-soon",
        &[(80.25, true, Used::DaysAgo(0.5))],
        Some(Cure::Replace),
    ),
    (
        "unused",
        &[(60.0, true, Used::DaysAgo(50.0))],
        Some(Cure::Delete),
    ),
    (
        "never-used",
        &[(50.0, true, Used::Never)],
        Some(Cure::Delete),
    ),
    (
        "two-active",
        &[
            (60.0, true, Used::DaysAgo(1.0)),
            (20.0, true, Used::DaysAgo(0.5)),
        ],
        Some(Cure::Delete),
    ),
    (
        "retired",
        &[
            (80.0, false, Used::DaysAgo(60.0)),
            (10.0, true, Used::DaysAgo(0.5)),
        ],
        Some(Cure::Delete),
    ),
    // Everything at once.
    (
        "forgotten",
        &[(400.5, true, Used::Never)],
        Some(Cure::Replace),
    ),
    ("left-alone", &[(91.5, true, Used::DaysAgo(1.0))], None),
];

/// Users with nothing wrong.
const RIGHT: [(&str, &[Key]); 5] = [
    ("compliant", &[(30.0, true, Used::DaysAgo(0.2))]),
    ("newborn", &[(0.01, true, Used::Never)]),
    (
        "rotating",
        &[
            (70.0, true, Used::DaysAgo(3.0)),
            (5.0, true, Used::DaysAgo(0.2)),
        ],
    ),
    (
        "just-retired",
        &[
            (100.0, false, Used::DaysAgo(9.0)),
            (12.0, true, Used::DaysAgo(0.2)),
        ],
    ),
    ("no-keys", &[]),
];

async fn account() -> Moto {
    let moto = Moto::start();
    for (user, keys) in WRONG
        .map(|(user, keys, _)| (user, keys))
        .into_iter()
        .chain(RIGHT)
    {
        moto.add_user(user, 1000.0).await;
        for (age_days, active, used) in keys {
            moto.add_key(user, *age_days, *active, *used).await;
        }
    }
    moto.keep_report_fresh().await;
    moto
}

async fn cure(moto: &Moto, keys: &[ListedKey]) {
    for (user, _, cure) in WRONG {
        let oldest = keys
            .iter()
            .filter(|key| key.user == user)
            .min_by(|a, b| a.created.total_cmp(&b.created))
            .expect("every user that is wrong has a key");
        match cure {
            Some(Cure::Rotate) => {
                moto.add_new_key(user).await;
                moto.deactivate_key(oldest).await;
            }
            Some(Cure::Replace) => {
                moto.add_new_key(user).await;
                moto.delete_key(oldest).await;
            }
            Some(Cure::Delete) => moto.delete_key(oldest).await,
            None => {}
        }
    }
}

/// Returns when Prometheus has the keys that IAM has.
async fn seen(moto: &Moto, prometheus: &Prometheus) {
    let truth: BTreeSet<_> = moto
        .keys()
        .await
        .into_iter()
        .map(|key| (key.id, key.status))
        .collect();
    prometheus
        .query_until("aws_iam_access_key_age_days", |elements| {
            let seen = elements
                .iter()
                .map(|element| {
                    (
                        element.label("access_key_id").to_owned(),
                        element.label("status").to_owned(),
                    )
                })
                .collect::<BTreeSet<_>>();
            (seen == truth).then_some(())
        })
        .await;
}

#[tokio::test]
#[ignore = "needs moto, Prometheus and Alertmanager: make test sets them up"]
async fn keys_that_break_a_rule_are_told_of_until_they_are_rotated() {
    let moto = account().await;
    let place = Place::reserve();
    let exporter = Exporter::start_at(&place, &moto);
    exporter.ready().await;
    let watch = Watch::over(&[place.address()]).await;

    watch.settled().await;
    let keys = moto.keys().await;
    let masks = Masks::ids_of(&keys);
    assert_golden("alerts_on_keys", &in_full(&watch.inbox.groups(), &masks));
    let told = watch.told("firing");
    let at_first = watch.rotation_alerts().await;

    cure(&moto, &keys).await;
    seen(&moto, &watch.prometheus).await;
    // From here on nothing of AWS is known but what was.
    drop(moto);

    watch.tells_of("AwsIamAccessKeyAccountDown", "firing").await;
    watch.settled().await;
    // When the two alerts on a key that is long overdue end, Alertmanager may tell of the end of the one that was
    // muted, or not, as it happens. So what counts is what was told before, and what fires now.
    let mut groups = watch.inbox.groups();
    for ((receiver, _), alerts) in &mut groups {
        alerts.retain(|fingerprint, alert| {
            alert["status"] == "firing" || told.contains(&(receiver.clone(), fingerprint.clone()))
        });
    }
    assert_golden("alerts_on_keys_after_rotation", &summary(&groups, &masks));
    let left = watch.rotation_alerts().await;
    assert_eq!(left.len(), 1);
    assert!(
        left.iter()
            .all(|(fingerprint, since)| at_first.get(fingerprint) == Some(since))
    );
}

/// A report of two days ago: the account's root user has a key, and one user has two.
fn old_report() -> tempfile::NamedTempFile {
    let report = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let rotated = |days: f64| humantime::format_rfc3339_seconds(days_ago(days)).to_string();
    let text = format!(
        "user,arn,access_key_1_active,access_key_1_last_rotated,access_key_2_active,access_key_2_last_rotated\n\
         <root_account>,arn:aws:iam::210987654321:root,true,{root},false,N/A\n\
         batch,arn:aws:iam::210987654321:user/batch,true,{old},true,{young}\n",
        root = rotated(30.0),
        old = rotated(95.5),
        young = rotated(12.0),
    );
    fs::write(report.path(), text).expect("the file is writable");
    report
        .as_file()
        .set_modified(days_ago(2.0))
        .expect("the file's time can be set");
    report
}

fn days_ago(days: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(now() - days * 86_400.0)
}

/// What people read: the last mail of each group, and Slack's headlines.
async fn mails_and_slack(watch: &Watch) -> String {
    let groups = watch.inbox.groups().len();
    let mails = wait_for("a mail of each group", async || {
        let mails: BTreeMap<_, _> = watch
            .inbox
            .mails()
            .into_iter()
            .map(|mail| ((mail.to.clone(), without_counts(&mail.subject)), mail))
            .collect();
        if mails.len() == groups {
            Ok(mails)
        } else {
            Err(format!("{} of {groups}", mails.len()))
        }
    })
    .await;
    let mut out = String::new();
    for mail in mails.values() {
        assert!(mail.html.contains("<li>"), "{mail:?}");
        let _ = writeln!(
            out,
            "To: {}\nSubject: {}\n\n{}\n--------",
            mail.to,
            mail.subject,
            mail.text.trim_end()
        );
    }
    // Digests go by mail only.
    let groups = groups
        - mails
            .values()
            .filter(|mail| mail.subject.starts_with("[DIGEST]"))
            .count();
    let messages = wait_for("a Slack message of each group", async || {
        let messages: BTreeMap<_, _> = watch
            .inbox
            .slack()
            .into_iter()
            .map(|message| {
                let (channel, title) = (
                    text(&message["channel"]),
                    text(&message["attachments"][0]["title"]),
                );
                ((channel, without_counts(&title)), message)
            })
            .collect();
        if messages.len() == groups {
            Ok(messages)
        } else {
            Err(format!("{} of {groups}", messages.len()))
        }
    })
    .await;
    for ((channel, _), message) in messages {
        let message = &message["attachments"][0];
        let _ = writeln!(
            out,
            "Slack {channel} {}: {} {}\n{}\n--------",
            text(&message["color"]),
            text(&message["title"]),
            text(&message["title_link"]),
            text(&message["text"]).trim_end()
        );
    }
    without_duration(&out)
}

/// A headline without how many alerts the group has, which may grow from one mail to the next.
fn without_counts(headline: &str) -> String {
    headline
        .split_whitespace()
        .filter(|word| !word.starts_with("[FIRING:") && word.parse::<u16>().is_err())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
#[ignore = "needs moto, Prometheus and Alertmanager: make test sets them up"]
async fn a_restart_of_the_exporter_is_told_of_and_neither_ends_nor_repeats_the_alerts_on_keys() {
    const DOWN: &str = "AwsIamAccessKeyExporterDown";
    const STALE: &str = "AwsIamAccessKeyDataStale";
    let place = Place::reserve();
    let demo = Exporter::demo_at(&place);
    demo.ready().await;
    let report = old_report();
    let other = Exporter::reading(report.path());
    other.ready().await;
    let watch = Watch::over(&[place.address(), other.address()]).await;

    watch.settled().await;
    assert_golden("alert_texts", &mails_and_slack(&watch).await);
    let before = watch.rotation_alerts().await;
    assert!(watch.told("resolved").is_empty());

    drop(demo);
    let fires = format!("ALERTS{{alertname=\"{DOWN}\", alertstate=\"firing\"}}");
    watch
        .prometheus
        .query_until(&fires, |alerts| (!alerts.is_empty()).then_some(()))
        .await;
    let demo = Exporter::demo_at(&place);

    // The other exporter's data is as old as before, and an exporter that is down is the greater trouble.
    let alert_of = async |name: &str| {
        let alerts = watch.alertmanager.alerts().await?;
        let alert = alerts
            .into_iter()
            .find(|alert| alert["labels"]["alertname"] == name);
        alert.ok_or_else(|| format!("{name} does not fire"))
    };
    wait_for("stale data to be muted", async || {
        let cause = alert_of(DOWN).await?["fingerprint"].clone();
        let status = alert_of(STALE).await?["status"].clone();
        if status["inhibitedBy"] == Value::Array(vec![cause]) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    demo.ready().await;
    watch.tells_of(DOWN, "firing").await;
    watch.tells_of(DOWN, "resolved").await;
    watch.settled().await;
    let status = alert_of(STALE).await.expect("the data is no younger")["status"].clone();
    assert_eq!(status["state"], "active", "{status}");

    assert_eq!(watch.resolved_rotation_alerts(), BTreeSet::new());
    assert_eq!(watch.rotation_alerts().await, before);
}
