//! The exporter reading an organization of twenty accounts in moto, through a role in each.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the parts up and runs them all.

mod support_real;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;

use support_real::{
    ACCOUNT, Exporter, Metrics, Moto, Organization, ROLE, Strategy, Used, now, role_arn, wait_for,
};
use tempfile::NamedTempFile;

const DAY: f64 = 86_400.0;
const MAX_AGE_DAYS: f64 = 90.0;

/// A configuration file, there until it is dropped.
fn config(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".yaml").expect("a temporary file can be made");
    file.write_all(text.as_bytes())
        .expect("a temporary file can be written");
    file
}

/// Gives an account of that number users and keys of ages and states that no other account has.
async fn settle(account: &Moto, number: u8) {
    let n = f64::from(number);
    // Overdue in every other account.
    let deployed = n * 0.1 + if number.is_multiple_of(2) { 91.0 } else { 80.0 };
    let users: [(&str, &[f64]); 4] = [
        ("deployer", &[deployed, 3.0]),
        ("build", &[10.0 + n]),
        ("legacy", &[200.0 + n]),
        ("nobody", &[]),
    ];
    for (user, ages) in users {
        account.add_user(user, 400.0).await;
        for (index, age) in ages.iter().enumerate() {
            let used = if index == 0 {
                Used::DaysAgo(n + 1.0)
            } else {
                Used::Never
            };
            let active = user != "legacy" || !number.is_multiple_of(3);
            account.add_key(user, *age, active, used).await;
        }
    }
    // A number of users of its own.
    for extra in 0..number % 5 {
        account.add_user(&format!("extra-{extra}"), 1.0).await;
    }
    // Half of the accounts have a report that `auto` can go by, the others have one of years ago.
    if number.is_multiple_of(2) {
        account.keep_report_fresh().await;
    }
}

/// The labels that make a key's series.
type KeyLabels = (String, String, String, String);

/// What an exposition must say of keys and accounts.
#[derive(Debug, Default, PartialEq)]
struct Picture {
    created: BTreeMap<KeyLabels, f64>,
    last_used: BTreeMap<KeyLabels, f64>,
    compliant: BTreeMap<(String, String), f64>,
    users: BTreeMap<String, f64>,
    up: BTreeMap<String, f64>,
    names: BTreeMap<String, String>,
}

impl Picture {
    /// As IAM tells it of each account, asked one by one. The accounts are given with their names.
    async fn of_moto(accounts: &[(&str, &Moto)]) -> Self {
        let mut picture = Self::default();
        for (name, account) in accounts {
            let id = account.account().to_owned();
            for key in account.keys().await {
                let labels = (id.clone(), key.user.clone(), key.id, key.status.clone());
                picture.created.insert(labels.clone(), key.created);
                if let Some(last_used) = key.last_used {
                    picture.last_used.insert(labels, last_used);
                }
                let overdue = key.status == "Active" && now() - key.created > MAX_AGE_DAYS * DAY;
                let compliant = picture
                    .compliant
                    .entry((id.clone(), key.user))
                    .or_insert(1.0);
                if overdue {
                    *compliant = 0.0;
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a handful of users")]
            let users = account.users().await.len() as f64;
            picture.users.insert(id.clone(), users);
            picture.up.insert(id.clone(), 1.0);
            picture.names.insert(id, (*name).to_owned());
        }
        picture
    }

    /// As the exporter tells it.
    fn of_metrics(metrics: &Metrics) -> Self {
        let by_key = |name: &str| {
            let samples = metrics.all(name).map(|sample| {
                let label = |name| sample.label(name).to_owned();
                let labels = (
                    label("account_id"),
                    label("user_name"),
                    label("access_key_id"),
                    label("status"),
                );
                (labels, sample.value)
            });
            samples.collect()
        };
        let by_account = |name: &str| {
            let samples = metrics.all(name);
            samples
                .map(|sample| (sample.label("account_id").to_owned(), sample.value))
                .collect()
        };
        Self {
            created: by_key("aws_iam_access_key_created_timestamp_seconds"),
            last_used: by_key("aws_iam_access_key_last_used_timestamp_seconds"),
            compliant: metrics
                .all("aws_iam_user_access_keys_compliant")
                .map(|sample| {
                    let label = |name| sample.label(name).to_owned();
                    ((label("account_id"), label("user_name")), sample.value)
                })
                .collect(),
            users: by_account("aws_iam_users"),
            up: by_account("iam_key_exporter_account_up"),
            names: metrics
                .all("aws_iam_account_info")
                .map(|sample| {
                    let label = |name| sample.label(name).to_owned();
                    (label("account_id"), label("account_name"))
                })
                .collect(),
        }
    }
}

#[tokio::test]
#[ignore = "needs moto; `make test` runs it"]
async fn an_organization_of_twenty_accounts_is_read_account_by_account_and_followed_as_it_changes()
{
    let moto = Moto::start();
    let organization = Organization::found(&moto).await;
    settle(&moto, 0).await;
    let mut members = Vec::new();
    for number in 1..20 {
        let name = format!("team-{number:02}");
        let account = organization
            .enter(&organization.create_account(&name).await)
            .await;
        settle(&account, number).await;
        members.push((name, account));
    }
    // What moto calls the account that manages the organization.
    let everyone = |members: &[(String, Moto)]| -> Vec<(String, String)> {
        let ids = members
            .iter()
            .map(|(name, account)| (name.clone(), account.account().to_owned()));
        ids.chain([("master".to_owned(), ACCOUNT.to_owned())])
            .collect()
    };
    assert_eq!(
        everyone(&members)
            .iter()
            .map(|(_, id)| id)
            .collect::<BTreeSet<_>>()
            .len(),
        20
    );
    let picture = async |members: &[(String, Moto)]| {
        let mut accounts: Vec<_> = members
            .iter()
            .map(|(name, account)| (name.as_str(), account))
            .collect();
        accounts.push(("master", &moto));
        Picture::of_moto(&accounts).await
    };

    let organized = |interval: &str| {
        format!("organization:\n  role_name: {ROLE}\n  discovery_interval: {interval}\n")
    };
    let config = config(&organized("1h"));
    let exporter = Exporter::configured(&moto, Strategy::Auto, config.path());
    exporter.ready().await;
    let told = Picture::of_metrics(&exporter.metrics().await);
    let true_to_iam = picture(&members).await;
    assert!(
        true_to_iam
            .compliant
            .values()
            .any(|compliant| *compliant == 0.0)
    );
    assert_eq!(told, true_to_iam);

    // One account is closed, one is new, and in one that stays a key is new.
    let (_, closed) = members.remove(7);
    organization.close_account(closed.account()).await;
    let id = organization.create_account("newcomer").await;
    let newcomer = organization.enter(&id).await;
    settle(&newcomer, 21).await;
    members.push(("newcomer".to_owned(), newcomer));
    members[3]
        .1
        .add_key("build", 120.0, true, Used::Never)
        .await;
    let true_to_iam = picture(&members).await;
    // A change of what is read is reason enough to look again at once.
    fs::write(config.path(), organized("2h")).expect("the configuration can be written");
    exporter.reload().await;
    wait_for("the exporter to follow the organization", async || {
        let told = Picture::of_metrics(&exporter.metrics().await);
        if told == true_to_iam {
            return Ok(());
        }
        Err(format!("it says {:?} and {:?}", told.up, told.names))
    })
    .await;
}

#[tokio::test]
#[ignore = "needs moto; `make test` runs it"]
async fn accounts_are_picked_by_id_unit_and_tag_or_listed_by_role() {
    let moto = Moto::start();
    let organization = Organization::found(&moto).await;
    moto.add_user("someone", 1.0).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        let id = organization.create_account(&format!("team-{number}")).await;
        organization.enter(&id).await.add_user("someone", 1.0).await;
        ids.push(id);
    }
    let unit = organization.add_unit("production").await;
    for id in &ids[..3] {
        organization.move_account(id, &unit).await;
    }
    organization.tag_account(&ids[1], "stage", "blue").await;
    organization.tag_account(&ids[4], "stage", "green").await;

    let organized = |filters: &str| format!("organization:\n  role_name: {ROLE}\n{filters}");
    let listed = format!(
        "accounts:\n  - role_arn: {}\n    name: first\n    external_id: between-us\n  - role_arn: {}\n",
        role_arn(&ids[0]),
        role_arn(&ids[5]),
    );
    let cases = [
        (
            organized(&format!("  include:\n    organizational_units: [{unit}]\n")),
            vec![0, 1, 2],
        ),
        (
            organized(&format!(
                "  include:\n    organizational_units: [{unit}]\n    tags:\n      stage: ['*']\n  exclude:\n    account_ids: [\"{}\"]\n",
                ids[0]
            )),
            vec![1, 2, 4],
        ),
        (
            organized("  include:\n    tags:\n      stage: [gr*]\n"),
            vec![4],
        ),
        (listed, vec![0, 5]),
    ];
    for (text, picked) in cases {
        let config = config(&text);
        let exporter = Exporter::configured(&moto, Strategy::List, config.path());
        exporter.ready().await;
        let metrics = exporter.metrics().await;
        let told: BTreeMap<_, _> = metrics
            .all("iam_key_exporter_account_up")
            .map(|sample| (sample.label("account_id"), sample.value))
            .collect();
        let wanted = picked
            .iter()
            .map(|index| (ids[*index].as_str(), 1.0))
            .collect();
        assert_eq!(told, wanted, "{text}");
        assert_eq!(metrics.all("aws_iam_users").count(), picked.len());
    }
}
