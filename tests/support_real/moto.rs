//! moto, seeded and read back as any client of AWS would do it.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use aws_sdk_iam::Client;
use aws_sdk_iam::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_iam::types::StatusType;
use chrono::DateTime;
use serde_json::{Value, json};

use super::http;
use super::process::Process;
use super::tools;
use super::wait::now;

/// The account that moto takes all credentials to belong to but those of assumed roles.
pub(crate) const ACCOUNT: &str = "123456789012";

const DAY: f64 = 86_400.0;

/// A running moto, seen from one of its accounts.
pub(crate) struct Moto {
    address: SocketAddr,
    account: String,
    iam: Client,
    process: Arc<Process>,
}

/// When a key was last used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Used {
    Never,
    DaysAgo(f64),
}

impl Used {
    /// As the launcher is told.
    fn told(self) -> Value {
        match self {
            Self::Never => Value::Null,
            Self::DaysAgo(days) => {
                json!({ "date": days_ago(days), "service": "s3", "region": "eu-west-1" })
            }
        }
    }
}

/// A key as `ListAccessKeys` and `GetAccessKeyLastUsed` tell of it. Instants are in seconds since the epoch.
#[derive(Clone, Debug)]
pub(crate) struct ListedKey {
    pub(crate) user: String,
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) created: f64,
    pub(crate) last_used: Option<f64>,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let process = Process::start(
            "moto",
            Command::new(tools::python())
                .arg("-u")
                .arg(tools::repository("tests/real/moto_launcher.py")),
        );
        let address = process.wait_for_line("address", |line| {
            line.strip_prefix("listening on ")?.trim().parse().ok()
        });
        Self {
            address,
            account: ACCOUNT.to_owned(),
            iam: client(address, Self::anyone()),
            process: Arc::new(process),
        }
    }

    /// The same moto, seen from another account with credentials for it.
    pub(crate) fn seen_from(&self, account: &str, credentials: Credentials) -> Self {
        Self {
            address: self.address,
            account: account.to_owned(),
            iam: client(self.address, credentials),
            process: Arc::clone(&self.process),
        }
    }

    /// The id of the account that it is seen from.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// What `AWS_ENDPOINT_URL` must say.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Credentials that moto takes until [`Moto::check_permissions`], as it would any others.
    pub(crate) fn anyone() -> Credentials {
        Credentials::new("AKIAIOSFODNN7EXAMPLE", "not-a-secret", None, None, "test")
    }

    /// Makes a user that is so many days old.
    pub(crate) async fn add_user(&self, user: &str, age_days: f64) {
        self.iam
            .create_user()
            .user_name(user)
            .send()
            .await
            .expect("moto makes a user");
        self.control(
            "user",
            json!({ "user": user, "create_date": days_ago(age_days) }),
        )
        .await;
    }

    /// Gives the user a key of that age.
    pub(crate) async fn add_key(&self, user: &str, age_days: f64, active: bool, last_used: Used) {
        let (id, _) = self.create_key(user).await;
        let status = if active { "Active" } else { "Inactive" };
        self.control(
            "key",
            json!({
                "user": user,
                "key_id": id,
                "create_date": days_ago(age_days),
                "status": status,
                "last_used": last_used.told(),
            }),
        )
        .await;
    }

    /// Gives the user a key, made now, as a person does who rotates one.
    pub(crate) async fn add_new_key(&self, user: &str) {
        self.create_key(user).await;
    }

    /// Deactivates a key, as a person does who rotates it.
    pub(crate) async fn deactivate_key(&self, key: &ListedKey) {
        self.iam
            .update_access_key()
            .user_name(&key.user)
            .access_key_id(&key.id)
            .status(StatusType::Inactive)
            .send()
            .await
            .expect("moto deactivates a key");
    }

    /// Deletes a key, as a person does who has rotated it.
    pub(crate) async fn delete_key(&self, key: &ListedKey) {
        self.iam
            .delete_access_key()
            .user_name(&key.user)
            .access_key_id(&key.id)
            .send()
            .await
            .expect("moto deletes a key");
    }

    /// From now on the key was last used then.
    pub(crate) async fn set_last_used(&self, user: &str, id: &str, last_used: Used) {
        let key = json!({ "user": user, "key_id": id, "last_used": last_used.told() });
        self.control("key", key).await;
    }

    /// From now on each credential report is as fresh as the call that fetches it.
    pub(crate) async fn keep_report_fresh(&self) {
        self.control("report", json!({ "generated": "now" })).await;
    }

    /// From now on the credential report is years old, which is how moto starts.
    pub(crate) async fn make_report_stale(&self) {
        self.control("report", json!({ "generated": null })).await;
    }

    /// A user with this inline policy and no other; the credentials are the user's.
    pub(crate) async fn add_user_with_policy(&self, user: &str, policy: &str) -> Credentials {
        self.add_user(user, 1.0).await;
        self.iam
            .put_user_policy()
            .user_name(user)
            .policy_name("only")
            .policy_document(policy)
            .send()
            .await
            .expect("moto takes the policy");
        let (id, secret) = self.create_key(user).await;
        Credentials::new(id, secret, None, None, "test")
    }

    /// From now on signatures and policies count, as they do in AWS.
    pub(crate) async fn check_permissions(&self) {
        // The body is the number of calls that are still free.
        http::post(
            self.address,
            "/moto-api/reset-auth",
            "text/plain",
            "0".to_owned(),
        )
        .await
        .and_then(http::Answer::ok)
        .expect("moto turns its checks on");
    }

    /// A client of this moto with the credentials.
    pub(crate) fn client(&self, credentials: Credentials) -> Client {
        client(self.address, credentials)
    }

    /// Every key of every user, by user and then by id.
    pub(crate) async fn keys(&self) -> Vec<ListedKey> {
        let mut keys = Vec::new();
        for user in self.users().await {
            let listed = self
                .iam
                .list_access_keys()
                .user_name(&user)
                .send()
                .await
                .expect("moto lists keys");
            for key in listed.access_key_metadata() {
                let id = key.access_key_id().expect("a key has an id").to_owned();
                keys.push(ListedKey {
                    user: user.clone(),
                    status: key.status().expect("a key has a status").to_string(),
                    created: key.create_date().expect("a key has a date").as_secs_f64(),
                    last_used: self.last_used(&id).await,
                    id,
                });
            }
        }
        keys.sort_by(|a, b| (&a.user, &a.id).cmp(&(&b.user, &b.id)));
        keys
    }

    /// The names of all users.
    pub(crate) async fn users(&self) -> Vec<String> {
        let listed = self
            .iam
            .list_users()
            .send()
            .await
            .expect("moto lists users");
        // moto gives one page, however long.
        assert!(!listed.is_truncated());
        listed
            .users()
            .iter()
            .map(|user| user.user_name().to_owned())
            .collect()
    }

    async fn last_used(&self, id: &str) -> Option<f64> {
        self.iam
            .get_access_key_last_used()
            .access_key_id(id)
            .send()
            .await
            .expect("moto knows the key")
            .access_key_last_used()?
            .last_used_date()
            .map(aws_sdk_iam::primitives::DateTime::as_secs_f64)
    }

    async fn create_key(&self, user: &str) -> (String, String) {
        let key = self
            .iam
            .create_access_key()
            .user_name(user)
            .send()
            .await
            .expect("moto makes a key")
            .access_key
            .expect("moto tells of the key");
        (key.access_key_id, key.secret_access_key)
    }

    async fn control(&self, what: &str, mut body: Value) {
        body["account"] = self.account.as_str().into();
        http::post(
            self.address,
            &format!("/_test/{what}"),
            "application/json",
            body.to_string(),
        )
        .await
        .and_then(http::Answer::ok)
        .expect("the launcher does as it is told");
    }
}

fn client(address: SocketAddr, credentials: Credentials) -> Client {
    Client::from_conf(
        aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(format!("http://{address}"))
            .region(Region::from_static("us-east-1"))
            .credentials_provider(credentials)
            .build(),
    )
}

fn days_ago(days: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "IAM keeps whole seconds, and this century's fit"
    )]
    let seconds = (now() - days * DAY) as i64;
    DateTime::from_timestamp(seconds, 0)
        .expect("an instant of this century")
        .to_rfc3339()
}
