//! The script of `plan --output=sh`, run in a terminal with a stand-in for the AWS CLI.

mod terminal;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    inventory::User,
    key::{AccessKey, KeyName, KeyStatus, LastUse, UsedAt},
    plan::{
        Format, Plan,
        advice::{Grounds, advise},
        command::Cli,
    },
    policy::Policy,
    snapshot::KeyIdDisplay,
};
use tempfile::TempDir;
use terminal::Ran;

const ACCOUNT: &str = "111122223333";
const OLD: &str = "AKIAOLDOLDOLDOLD";
const NEW: &str = "AKIANEWNEWNEWNEW";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Notes down its arguments and answers from the files beside it. A file `fail-OPERATION` makes an
/// operation fail.
const STAND_IN: &str = r#"#!/bin/sh
here=$(dirname "$0")/state
printf '%s\0' "$@" . >>"$here/calls"
[ ! -e "$here/fail-$2" ] || { echo "no $2 today" >&2; exit 254; }
for argument; do
  case $argument in
    "AccessKeyMetadata[?AccessKeyId=='"*) id=${argument#*"'"}; id=${id%%"'"*}; cat "$here/status-$id"; exit ;;
    --access-key-id=*) id=${argument#*=} ;;
  esac
done
case $2 in
  get-caller-identity) cat "$here/account" ;;
  get-access-key-last-used) cat "$here/used-$id" ;;
  list-access-keys) cat "$here/count" ;;
  create-access-key) cat "$here/secret" ;;
esac
"#;

fn now() -> DateTime<Utc> {
    "2024-06-30T12:00:00Z".parse().expect("a constant")
}

fn key(id: &str, status: &str, age: i64, idle: Option<i64>) -> AccessKey {
    AccessKey {
        name: KeyName::Id(id.into()),
        status: KeyStatus::from(status),
        created: now() - TimeDelta::days(age),
        last_use: idle.map_or(LastUse::Never, |idle| {
            LastUse::At(UsedAt::new(
                now() - TimeDelta::days(idle),
                "s3",
                "us-east-1",
            ))
        }),
    }
}

/// A plan for users of these names who all have the same keys.
fn plan(users: &[&str], keys: &[AccessKey]) -> Plan {
    let policy = Policy::default();
    let grounds = Grounds {
        policy: &policy,
        key_ids: KeyIdDisplay::Full,
        now: now(),
        known_until: now(),
    };
    let account = ACCOUNT.parse().expect("a constant");
    Plan {
        now: now(),
        cli: Cli::default(),
        advices: users
            .iter()
            .map(|name| {
                let user = User::read(*name, keys.to_vec());
                advise(account, &user, &grounds).expect("there is something to do")
            })
            .collect(),
        unread: Vec::new(),
        failures: Vec::new(),
        known_until: None,
        not_found: Vec::new(),
        is_complete: true,
    }
}

/// A directory with the script, the stand-in and its state.
struct Stage {
    directory: TempDir,
}

impl Stage {
    fn new(plan: &Plan) -> Self {
        let stage = Self {
            directory: TempDir::new().expect("there is room for a directory"),
        };
        let path = |name| stage.path(name);
        fs::create_dir_all(path("bin/state")).expect("a fresh directory");
        fs::create_dir(path("work")).expect("a fresh directory");
        fs::write(path("plan.sh"), plan.render(Format::Sh)).expect("a fresh directory");
        fs::write(path("bin/aws"), STAND_IN).expect("a fresh directory");
        fs::set_permissions(path("bin/aws"), fs::Permissions::from_mode(0o755))
            .expect("an own file");
        stage.set("account", ACCOUNT);
        stage.set("count", "1");
        stage.set(
            "secret",
            &format!(r#"{{"AccessKey": {{"SecretAccessKey": "{SECRET}"}}}}"#),
        );
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the stand-in says.
    fn set(&self, what: &str, says: &str) {
        fs::write(self.path("bin/state").join(what), format!("{says}\n")).expect("an own file");
    }

    /// The key as the plan knows it; the AWS CLI of version 2 writes times with an offset.
    fn knows(self, key: &AccessKey) -> Self {
        let id = key.name.as_str();
        self.set(&format!("status-{id}"), key.status.as_str());
        let used = match &key.last_use {
            LastUse::At(used) => used.time.format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
            _ => "None".to_owned(),
        };
        self.set(&format!("used-{id}"), &used);
        self
    }

    fn run(&self, answers: &[&str]) -> Ran {
        self.run_with("sh", answers, |_| {})
    }

    fn run_with(&self, shell: &str, answers: &[&str], before: impl FnMut(usize)) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        terminal::run(
            shell,
            &self.path("plan.sh"),
            &self.path("work"),
            &[("PATH".to_owned(), path)],
            answers,
            before,
        )
    }

    /// The calls so far, each as its arguments.
    fn calls(&self) -> Vec<Vec<String>> {
        let calls = fs::read_to_string(self.path("bin/state/calls")).unwrap_or_default();
        calls
            .split_terminator("\0.\0")
            .map(|call| call.split('\0').map(str::to_owned).collect())
            .collect()
    }

    /// The calls that change something.
    fn changes(&self) -> Vec<Vec<String>> {
        let is_change =
            |call: &Vec<String>| !call[1].starts_with("get-") && call[1] != "list-access-keys";
        self.calls().into_iter().filter(is_change).collect()
    }

    fn work(&self) -> PathBuf {
        self.path("work")
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("it is there")
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn dormant() -> AccessKey {
    key(OLD, "Active", 200, Some(60))
}

fn retired() -> AccessKey {
    key(OLD, "Inactive", 200, Some(60))
}

fn in_use() -> AccessKey {
    key(NEW, "Active", 100, Some(0))
}

#[test]
fn a_key_is_deactivated_after_a_yes_and_a_last_look() {
    let stage = Stage::new(&plan(&["alice"], &[dormant()])).knows(&dormant());
    let ran = stage.run(&["y"]);
    assert!(ran.status.success(), "{}", ran.shown);
    assert!(
        ran.shown
            .contains("no successor; an annual or break-glass key? exempt it")
    );
    let calls = stage.calls();
    let operations: Vec<_> = calls.iter().map(|call| call[1].as_str()).collect();
    assert_eq!(
        operations,
        [
            "get-caller-identity",
            "list-access-keys",
            "get-access-key-last-used",
            "update-access-key"
        ]
    );
    assert_eq!(
        calls[3],
        [
            "iam",
            "update-access-key",
            "--user-name=alice",
            "--access-key-id=AKIAOLDOLDOLDOLD",
            "--status=Inactive"
        ]
    );
}

#[test]
fn no_leaves_a_user_alone_and_goes_on_and_q_ends_it() {
    let stage = Stage::new(&plan(&["alice", "bob", "carol"], &[dormant()])).knows(&dormant());
    let ran = stage.run(&["n", "maybe", "y", "q"]);
    assert!(!ran.status.success());
    assert!(ran.shown.contains("left as it is"), "{}", ran.shown);
    let changes = stage.changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].contains(&"--user-name=bob".to_owned()));
}

#[test]
fn a_key_that_was_used_meanwhile_is_neither_deactivated_nor_deleted() {
    for key in [dormant(), retired()] {
        let stage = Stage::new(&plan(&["alice", "bob"], std::slice::from_ref(&key))).knows(&key);
        // While the question stood.
        let ran = stage.run_with("sh", &["y", "y"], |_| {
            stage.set(&format!("used-{OLD}"), "2024-06-30T11:00:00Z");
        });
        assert_eq!(ran.status.code(), Some(1), "{}", ran.shown);
        assert!(
            ran.shown.contains("was used since the plan was made"),
            "{}",
            ran.shown
        );
        assert_eq!(stage.changes(), Vec::<Vec<String>>::new());
        assert!(!ran.shown.contains("2 of 2"), "it went on: {}", ran.shown);
    }
}

#[test]
fn a_never_used_key_that_was_used_meanwhile_is_left_alone() {
    let never = key(OLD, "Active", 200, None);
    let stage = Stage::new(&plan(&["alice"], std::slice::from_ref(&never))).knows(&never);
    assert!(stage.run(&["y"]).status.success());
    assert_eq!(stage.changes().len(), 1);
    let stage = Stage::new(&plan(&["alice"], std::slice::from_ref(&never))).knows(&never);
    stage.set(&format!("used-{OLD}"), "2024-06-30T11:00:00+00:00");
    assert!(!stage.run(&["y"]).status.success());
    assert_eq!(stage.changes().len(), 0);
}

#[test]
fn a_key_that_is_not_as_planned_is_left_alone() {
    let successor = key(NEW, "Active", 10, Some(0));
    let settled = key(OLD, "Active", 100, Some(8));
    for (changed, says) in [
        (format!("status-{OLD}"), ""),
        (format!("status-{OLD}"), "Inactive"),
        (format!("status-{NEW}"), "Inactive"),
        (format!("used-{OLD}"), ""),
    ] {
        let stage = Stage::new(&plan(&["alice"], &[settled.clone(), successor.clone()]))
            .knows(&settled)
            .knows(&successor);
        stage.set(&changed, says);
        let ran = stage.run(&["y"]);
        assert_eq!(ran.status.code(), Some(1), "{changed}: {}", ran.shown);
        assert!(ran.shown.contains("make a new plan"), "{}", ran.shown);
        assert_eq!(stage.changes().len(), 0);
    }
    let stage = Stage::new(&plan(&["alice"], &[retired()])).knows(&retired());
    stage.set(&format!("status-{OLD}"), "Active");
    assert_eq!(stage.run(&["y"]).status.code(), Some(1));
    assert_eq!(stage.changes().len(), 0);
}

#[test]
fn it_stops_at_the_first_failure() {
    for operation in [
        "get-caller-identity",
        "list-access-keys",
        "get-access-key-last-used",
        "delete-access-key",
    ] {
        let stage = Stage::new(&plan(&["alice", "bob"], &[retired()])).knows(&retired());
        stage.set(&format!("fail-{operation}"), "");
        let ran = stage.run(&["y", "y"]);
        assert_eq!(ran.status.code(), Some(1), "{operation}: {}", ran.shown);
        let calls = stage.calls();
        assert_eq!(calls.last().expect("a call")[1], operation, "{calls:?}");
    }
}

#[test]
fn a_new_secret_goes_to_a_file_of_its_owner_and_never_to_the_terminal() {
    let due = key(OLD, "Active", 100, Some(0));
    let stage = Stage::new(&plan(&["alice"], &[due]));
    let ran = stage.run(&["y"]);
    assert!(ran.status.success(), "{}", ran.shown);
    assert!(!ran.shown.contains(SECRET), "{}", ran.shown);
    assert_eq!(names(&stage.work()), ["access-key-111122223333-alice.json"]);
    let file = stage.work().join("access-key-111122223333-alice.json");
    assert!(
        fs::read_to_string(&file)
            .expect("it is there")
            .contains(SECRET)
    );
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // A second run doesn't write over it, nor make another key.
    let ran = stage.run(&["y"]);
    assert_eq!(ran.status.code(), Some(1), "{}", ran.shown);
    assert_eq!(stage.changes().len(), 1);
}

#[test]
fn a_secret_is_not_written_where_something_is_already() {
    let due = key(OLD, "Active", 100, Some(0));
    let name = "access-key-111122223333-alice.json";
    let stage = Stage::new(&plan(&["alice"], std::slice::from_ref(&due)));
    symlink("/nowhere/at/all", stage.work().join(name)).expect("a fresh directory");
    assert_eq!(stage.run(&["y"]).status.code(), Some(1));
    assert_eq!(stage.changes().len(), 0);

    // It turns up while the question stands.
    let stage = Stage::new(&plan(&["alice"], &[due]));
    let ran = stage.run_with("sh", &["y"], |_| {
        fs::write(stage.work().join(name), "mine").expect("a fresh directory");
    });
    assert_eq!(ran.status.code(), Some(1), "{}", ran.shown);
    assert_eq!(stage.changes().len(), 0);
    assert_eq!(
        fs::read_to_string(stage.work().join(name)).expect("it is there"),
        "mine"
    );
}

#[test]
fn a_key_that_could_not_be_created_leaves_no_file() {
    let stage = Stage::new(&plan(&["alice"], &[key(OLD, "Active", 100, Some(0))]));
    stage.set("fail-create-access-key", "");
    assert_eq!(stage.run(&["y"]).status.code(), Some(1));
    assert_eq!(names(&stage.work()), Vec::<String>::new());
}

#[test]
fn no_key_is_created_for_a_user_who_has_another_by_now() {
    let stage = Stage::new(&plan(&["alice"], &[key(OLD, "Active", 100, Some(0))]));
    stage.set("count", "2");
    let ran = stage.run(&["y"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(
        ran.shown.contains("has 2 keys, not 1 as planned"),
        "{}",
        ran.shown
    );
    assert_eq!(stage.changes().len(), 0);
}

#[test]
fn room_is_made_before_the_successor_and_not_at_all_after_a_no() {
    let keys = [retired(), in_use()];
    let stage = Stage::new(&plan(&["alice"], &keys)).knows(&retired());
    let ran = stage.run(&["y", "y"]);
    assert!(ran.status.success(), "{}", ran.shown);
    let changes = stage.changes();
    let operations: Vec<_> = changes.iter().map(|call| call[1].as_str()).collect();
    assert_eq!(operations, ["delete-access-key", "create-access-key"]);

    let stage = Stage::new(&plan(&["alice"], &keys)).knows(&retired());
    let ran = stage.run(&["n", "y"]);
    assert!(ran.status.success(), "{}", ran.shown);
    assert_eq!(stage.changes().len(), 0);
}

#[test]
fn what_changes_nothing_asks_nothing() {
    let update = [
        key(OLD, "Active", 100, Some(0)),
        key(NEW, "Active", 10, None),
    ];
    let confirm = [key(OLD, "Inactive", 100, Some(9))];
    for keys in [&update[..], &confirm[..]] {
        let mut stage = Stage::new(&plan(&["alice"], keys));
        for key in keys {
            stage = stage.knows(key);
        }
        let ran = stage.run(&[]);
        assert!(ran.status.success(), "{}", ran.shown);
        assert_eq!(stage.changes().len(), 0);
    }
}

#[test]
fn another_account_is_left_alone() {
    let stage = Stage::new(&plan(&["alice"], &[dormant()])).knows(&dormant());
    stage.set("account", "444455556666");
    let ran = stage.run(&["y"]);
    assert_eq!(ran.status.code(), Some(1), "{}", ran.shown);
    assert!(ran.shown.contains("skipped"), "{}", ran.shown);
    assert_eq!(stage.changes().len(), 0);
}

#[test]
fn without_a_terminal_nothing_is_changed() {
    let stage = Stage::new(&plan(&["alice"], &[dormant()])).knows(&dormant());
    let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
    // Of util-linux: a session of its own has no terminal.
    let status = Command::new("setsid")
        .args(["--wait", "sh"])
        .arg(stage.path("plan.sh"))
        .current_dir(stage.work())
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) => assert_eq!(status.code(), Some(1)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
    assert_eq!(stage.changes().len(), 0);
}

/// Names that IAM doesn't allow for the most part, but a forged report can hold, and those
/// that it does.
const HOSTILE: [&str; 19] = [
    "a'b",
    "a\"b",
    "'; touch pwned; '",
    "$(touch pwned)",
    "`touch pwned`",
    "${IFS}",
    "a b",
    "a\nb",
    "\ntouch pwned\n",
    "a\n# b\ntouch pwned",
    "a\tb",
    "-rf",
    "--query",
    "名前é",
    "a\\",
    "*",
    "~",
    "!!",
    "+=,.@_-every.mark+of=IAM,in@one_name-",
];

#[test]
fn no_name_breaks_out_of_its_quotes() {
    let created = [key(OLD, "Active", 100, Some(0))];
    for (keys, operation) in [
        (&[dormant()][..], "update-access-key"),
        (&[retired()], "delete-access-key"),
        (&created, "create-access-key"),
    ] {
        let plan = plan(&HOSTILE, keys);
        let mut stage = Stage::new(&plan);
        for key in keys {
            stage = stage.knows(key);
        }
        for shell in ["sh", "bash"] {
            let parsed = Command::new(shell)
                .arg("-n")
                .arg(stage.path("plan.sh"))
                .status()
                .expect("there is a shell");
            assert!(parsed.success());
        }
        let ran = stage.run(&["y"; HOSTILE.len()]);
        assert!(ran.status.success(), "{}", ran.shown);
        let changes = stage.changes();
        assert_eq!(changes.len(), HOSTILE.len());
        for (name, call) in HOSTILE.iter().zip(changes) {
            assert_eq!(
                call[..3],
                ["iam", operation, &format!("--user-name={name}")]
            );
        }
        let files = names(&stage.work());
        assert!(
            files.iter().all(|name| name.starts_with("access-key-1111")),
            "{files:?}"
        );
    }
}

#[test]
fn the_commands_of_every_format_hold_the_name_as_it_is() {
    let plan = plan(&HOSTILE, &[dormant()]);
    let stage = Stage::new(&plan);
    for (name, advice) in HOSTILE.iter().zip(&plan.advices) {
        let command = advice.actions[0]
            .command(&advice.user, &plan.cli)
            .expect("it has one");
        let line = command.line();
        for format in [Format::Text, Format::Md] {
            assert!(plan.render(format).contains(&line), "{line}");
        }
        let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
        let status = Command::new("sh")
            .args(["-c", &line])
            .current_dir(stage.work())
            .env("PATH", path)
            .status()
            .expect("there is a shell");
        assert!(status.success());
        let calls = stage.calls();
        let called = calls.last().expect("a call").join(" ");
        assert!(
            called.contains(&format!("--user-name {name} "))
                || called.contains(&format!("--user-name={name} ")),
            "{called}"
        );
    }
    assert_eq!(names(&stage.work()), Vec::<String>::new());
}

#[test]
fn a_name_that_would_harm_the_terminal_gets_no_command_and_is_shown_escaped() {
    let plan = plan(&["a\u{1b}[2Jb", "file:///etc/passwd"], &[dormant()]);
    for (_, format) in Format::ALL {
        let text = plan.render(format);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(!text.contains("--access-key-id AKIA"), "{text}");
        assert!(text.contains("no command is given"), "{text}");
    }
    let stage = Stage::new(&plan);
    let ran = stage.run(&[]);
    assert!(ran.status.success(), "{}", ran.shown);
    assert_eq!(stage.changes().len(), 0);
}

/// The demo has every step.
#[test]
fn the_script_passes_shellcheck_where_there_is_one() {
    let scripts = [
        plan(&["alice"], &[dormant()]),
        plan(&HOSTILE, &[retired(), in_use()]),
        plan(&["alice"], &[key(OLD, "Inactive", 100, Some(9))]),
        plan(&[], &[]),
    ];
    for plan in scripts {
        let stage = Stage::new(&plan);
        match Command::new("shellcheck")
            .arg(stage.path("plan.sh"))
            .output()
        {
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stdout)
            ),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
}
