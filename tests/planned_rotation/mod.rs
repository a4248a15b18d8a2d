//! A rotation from its first step to its last, as `plan` writes it and the AWS CLI does it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support_real::{ListedKey, Moto, Used, aws_cli};
use crate::terminal::{self, Ran};

const USER: &str = "it's-not-a-user=name,but@could.be";

/// The account, and somebody with the exporter and the AWS CLI.
struct Stage {
    moto: Moto,
    directory: TempDir,
}

impl Stage {
    fn environment(&self) -> Vec<(String, String)> {
        let path = format!("{}:/usr/bin:/bin", aws_cli().display());
        [
            ("PATH", path.as_str()),
            ("HOME", "/nonexistent"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL", &self.moto.endpoint()),
            ("AWS_ACCESS_KEY_ID", Moto::anyone().access_key_id()),
            ("AWS_SECRET_ACCESS_KEY", Moto::anyone().secret_access_key()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn plan(&self, output: &str) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"))
            .args(["plan", "--region=us-east-1", "--output", output])
            .env_clear()
            .envs(self.environment())
            .env("AWS_REGION", "us-east-1")
            .output()
            .expect("the binary was built");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output
    }

    /// The user's step; `none` if there is nothing to do.
    fn step(&self) -> String {
        let plan: Value = serde_json::from_slice(&self.plan("json").stdout).expect("it is JSON");
        let step = plan["users"][0]["step"].as_str();
        step.unwrap_or("none").to_owned()
    }

    /// Runs the script and says yes to everything.
    fn follow(&self, before: impl FnOnce()) -> Ran {
        let script = self.directory.path().join("plan.sh");
        fs::write(&script, self.plan("sh").stdout).expect("the directory is ours");
        before();
        terminal::run(
            "sh",
            &script,
            self.directory.path(),
            &self.environment(),
            &["y", "y"],
            |_| {},
        )
    }

    async fn keys(&self) -> Vec<ListedKey> {
        let mut keys = self.moto.keys().await;
        keys.sort_by(|a, b| a.created.total_cmp(&b.created));
        keys
    }

    async fn use_key(&self, id: &str, days_ago: f64) {
        self.moto
            .set_last_used(USER, id, Used::DaysAgo(days_ago))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and the AWS CLI: make test sets them up"]
async fn a_rotation_goes_from_create_to_none() {
    let stage = Stage {
        moto: Moto::start(),
        directory: TempDir::new().expect("there is room for a directory"),
    };
    stage.moto.add_user(USER, 500.0).await;
    stage
        .moto
        .add_key(USER, 100.0, true, Used::DaysAgo(0.1))
        .await;
    stage.moto.keep_report_fresh().await;
    let old = stage.keys().await.remove(0).id;

    assert_eq!(stage.step(), "create");
    let ran = stage.follow(|| {});
    assert!(ran.status.success(), "{}", ran.shown);
    let keys = stage.keys().await;
    let [_, new] = &keys[..] else {
        panic!("two keys, not {keys:?}");
    };
    let new = new.id.clone();
    let secrets: Vec<_> = fs::read_dir(stage.directory.path())
        .expect("the directory is ours")
        .map(|entry| entry.expect("the directory is ours").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    let [file] = &secrets[..] else {
        panic!("one file, not {secrets:?}");
    };
    let text = fs::read_to_string(file).expect("the file is ours");
    let created: Value = serde_json::from_str(&text).expect("the AWS CLI wrote JSON");
    assert_eq!(created["AccessKey"]["AccessKeyId"], *new);
    let secret = created["AccessKey"]["SecretAccessKey"].as_str();
    assert!(!ran.shown.contains(secret.expect("the secret is there")));
    let mode = fs::metadata(file).expect("the file is ours").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    assert_eq!(stage.step(), "update");
    let ran = stage.follow(|| {});
    assert!(ran.status.success(), "{}", ran.shown);
    assert!(
        ran.shown.contains(&format!("last use of {new}: None")),
        "{}",
        ran.shown
    );

    stage.use_key(&new, 0.1).await;
    stage.use_key(&old, 8.0).await;
    assert_eq!(stage.step(), "deactivate");
    // An application that was forgotten.
    let handle = tokio::runtime::Handle::current();
    let ran = stage.follow(|| {
        tokio::task::block_in_place(|| handle.block_on(stage.use_key(&old, 0.01)));
    });
    assert_eq!(ran.status.code(), Some(1), "{}", ran.shown);
    assert!(
        ran.shown.contains("was used since the plan was made"),
        "{}",
        ran.shown
    );
    assert_eq!(stage.keys().await[0].status, "Active");
    assert_eq!(stage.step(), "update");

    stage.use_key(&old, 8.0).await;
    let ran = stage.follow(|| {});
    assert!(ran.status.success(), "{}", ran.shown);
    assert_eq!(stage.keys().await[0].status, "Inactive");

    assert_eq!(stage.step(), "confirm");
    let ran = stage.follow(|| {});
    assert!(ran.status.success(), "{}", ran.shown);
    assert_eq!(stage.keys().await.len(), 2);

    stage.use_key(&old, 46.0).await;
    assert_eq!(stage.step(), "delete");
    let ran = stage.follow(|| {});
    assert!(ran.status.success(), "{}", ran.shown);
    let left: Vec<_> = stage.keys().await.into_iter().map(|key| key.id).collect();
    assert_eq!(left, [new]);
    assert_eq!(stage.step(), "none");
}
