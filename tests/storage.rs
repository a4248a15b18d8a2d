//! The storage file among processes: two at once, one killed at any moment, one on a disk that is full.
//!
//! The processes are this very test binary, started again to play a part.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]
#![expect(
    clippy::print_stdout,
    reason = "parts talk to tests, and tests tell figures"
)]

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use iam_key_exporter::{
    counts::StorageCounts,
    inventory::{Account, Inventory, Listing, RootKeys, User},
    key::{AccessKey, KeyName, KeyStatus, LastUse, UsedAt},
    logging,
    snapshot::AccountState,
    storage::{Saved, SavedAccount, Storage},
};
use tempfile::tempdir;

/// What the environment tells a process that plays a part.
const PART: &str = "STORAGE_TEST_PART";
const PATH: &str = "STORAGE_TEST_PATH";

/// How often a process is killed; more often by hand.
const KILLS: &str = "STORAGE_TEST_KILLS";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_315_200, 0).unwrap()
}

/// An account with so many users, all of whose keys tell the generation.
fn saved(generation: u64, users: usize) -> Saved {
    let time = DateTime::from_timestamp(i64::try_from(generation).unwrap(), 0).unwrap();
    let used = LastUse::At(UsedAt::new(time, "s3", "eu-central-1"));
    let key = |user: usize| AccessKey {
        name: KeyName::Id(format!("AKIA{generation:08}{user:08}").as_str().into()),
        status: KeyStatus::Active,
        created: time,
        last_use: used.clone(),
    };
    let id = "111122223333".parse().unwrap();
    let inventory = Inventory {
        account: Account {
            id,
            partition: "aws".into(),
            name: None,
            alias: None,
        },
        users: (0..users)
            .map(|user| User::read(format!("user-{user}"), vec![key(user)]))
            .collect(),
        user_count: Some(users),
        root: RootKeys::default(),
        data_time: time,
        listing: Listing::Complete,
        troubles: Vec::new(),
    };
    let state = AccountState {
        id,
        inventory: Some(Arc::new(inventory)),
        reached: true,
        failures: Vec::new(),
        last_success: Some(time),
        duration: Duration::from_secs(1),
    };
    Saved {
        accounts: vec![SavedAccount {
            state,
            read_for: None,
            memory: None,
        }],
    }
}

/// Enough for a write to take most of a process's time.
const USERS: usize = 3_000;

fn open(path: &Path) -> (Storage, Option<Saved>) {
    Storage::open(path, now(), Arc::new(StorageCounts::default())).unwrap()
}

#[test]
#[ignore = "a part that the other tests give to a process of its own"]
fn play() {
    let (Ok(part), Some(path)) = (env::var(PART), env::var_os(PATH)) else {
        // All tests are run, those that need more than this repository too.
        return;
    };
    logging::start(logging::Args::default());
    let (mut storage, found) = open(Path::new(&path));
    match &*part {
        "hold" => {
            println!("held");
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        "write for ever" => {
            let begin = found.map_or(0, |found| generation(&found));
            for generation in begin + 1.. {
                storage.save(&saved(generation, USERS), now());
                println!("saved {generation}");
            }
        }
        "outgrow the disk" => {
            for (minute, users) in [(0, 10), (1, USERS), (2, USERS), (3, 10), (4, USERS)] {
                storage.save(&saved(1, users), now() + TimeDelta::minutes(minute));
            }
        }
        part => panic!("{part} is no part"),
    }
}

/// A process that plays a part, through whatever command comes before it.
fn start(part: &str, path: &Path, before: &[&str]) -> Child {
    let this = env::current_exe().unwrap();
    let play = ["--exact", "play", "--ignored", "--nocapture"];
    let mut command = match before {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command
        .args(play)
        .env(PART, part)
        .env(PATH, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The first line that says this, and what it says then.
fn told(lines: impl Iterator<Item = io::Result<String>>, begin: &str) -> Option<String> {
    lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(begin).map(str::to_owned))
}

/// The generation that all of it is of.
fn generation(saved: &Saved) -> u64 {
    let [account] = &saved.accounts[..] else {
        panic!("{} accounts", saved.accounts.len())
    };
    let time = account.state.last_success.unwrap();
    let generation = u64::try_from(time.timestamp()).unwrap();
    assert_eq!(*saved, self::saved(generation, USERS));
    generation
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_second_process_is_refused_until_the_first_one_ends() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("state");
    let mut first = start("hold", &path, &[]);
    let lines = BufReader::new(first.stdout.take().unwrap()).lines();
    told(lines, "held").expect("it holds the path");

    let error = Storage::open(&path, now(), Arc::default()).unwrap_err();
    let expected = format!(
        "--storage.path={} is in use by another process: stop that one, or give each exporter a path of its own",
        path.display()
    );
    assert_eq!(error.to_string(), expected);

    // However it ends: nothing has to be cleared away by hand.
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(open(&path).1, None);
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("state");
    let kills = env::var(KILLS).map_or(20, |kills| kills.parse().unwrap());
    let mut mid_write = 0;
    let mut last = 0;
    for _ in 0..kills {
        let mut writer = start("write for ever", &path, &[]);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut done: u64 = told(&mut lines, "saved ").unwrap().parse().unwrap();
        // The moment is what is tried here: nothing waits for anything.
        thread::sleep(Duration::from_micros(fastrand::u64(0..60_000)));
        writer.kill().unwrap();
        writer.wait().unwrap();
        while let Some(generation) = told(&mut lines, "saved ") {
            done = generation.parse().unwrap();
        }
        mid_write += u32::from(directory.path().join("state.tmp").exists());

        let (storage, found) = open(&path);

        // What was said to be saved is; one more may have been, just before the end.
        let found = generation(&found.expect("a file was saved"));
        assert!(found == done || found == done + 1, "{found} after {done}");
        assert!(found > last);
        last = found;
        assert_eq!(names(directory.path()), ["state", "state.lock"]);
        drop(storage);
    }
    println!("{kills} kills, {mid_write} of them with a file half written, {last} files saved");
    assert!(mid_write > 0, "none of {kills} kills came during a write");
}

#[test]
fn a_disk_that_is_full_is_told_of_once_and_again_when_there_is_room() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("state");
    // A limit to the size of files, whose signal is ignored, fails the same call as a full disk.
    let limited = [
        "sh",
        "-c",
        "trap '' XFSZ && ulimit -f 8 && exec \"$@\"",
        "sh",
    ];
    let output = start("outgrow the disk", &path, &limited)
        .wait_with_output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");

    let levels: Vec<_> = log
        .lines()
        .filter_map(|line| {
            line.split(' ')
                .find_map(|field| field.strip_prefix("level="))
        })
        .collect();
    assert_eq!(levels, ["warn", "info", "warn"], "{log}");
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].contains("could not be saved"), "{log}");
    assert!(lines[0].contains("File too large (os error 27)"), "{log}");
    assert!(lines[1].contains("can be saved again"), "{log}");
    // Half a file is not left to fill the disk, and the last whole one is there.
    assert_eq!(names(directory.path()), ["state", "state.lock"]);
    assert_eq!(open(&path).1, Some(saved(1, 10)));
}
