//! What the file promises, short of what takes processes.

use std::{
    fs,
    io::{self, Cursor, Seek, SeekFrom, Write},
    os::unix::fs::{PermissionsExt as _, symlink},
};

use chrono::TimeDelta;
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::{
    samples::{anything, at, now, one_of_each},
    *,
};
use crate::{counts::StorageCount, inventory::Inventory};

fn encoded(saved: &Saved) -> Vec<u8> {
    let file = records::encode(Cursor::new(Vec::new()), saved, now());
    file.unwrap().into_inner()
}

fn decoded(file: &[u8]) -> Result<Saved, Flaw> {
    let (written, saved) = records::decode(envelope::open(file)?, now())?;
    assert_eq!(written, now());
    Ok(saved)
}

proptest! {
    #[test]
    fn anything_comes_back_as_it_was_saved(saved in anything()) {
        prop_assert_eq!(decoded(&encoded(&saved)).unwrap(), saved);
    }

    /// The checksum stands before this; behind it, nothing may panic or be half-believed.
    #[test]
    fn senseless_records_are_refused(
        saved in anything(), place: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let file = encoded(&saved);
        let mut records = envelope::open(&file).unwrap().to_vec();
        let cut = cut.index(records.len());
        prop_assert!(records::decode(&records[..cut], now()).is_err());
        let place = place.index(records.len());
        records[place] = byte;
        if let Ok((_, saved)) = records::decode(&records, now()) {
            // What is left makes sense: it can be saved and loaded like anything else.
            prop_assert_eq!(decoded(&encoded(&saved)).unwrap(), saved);
        }
    }
}

#[test]
fn something_of_every_kind_comes_back_as_it_was_saved() {
    let saved = one_of_each();
    assert_eq!(decoded(&encoded(&saved)).unwrap(), saved);
}

/// If this fails, the format has changed: then [`envelope::VERSION`] must change with it, and older
/// files be set aside or still be read.
#[test]
fn a_file_of_version_1_is_read_and_written_the_same() {
    const FILE: &[u8] = include_bytes!("../../tests/fixtures/storage-v1.bin");
    assert_eq!(decoded(FILE).unwrap(), one_of_each());
    assert!(encoded(&one_of_each()) == FILE, "other bytes are written");
}

#[test]
fn equal_texts_and_shared_keys_are_held_once() {
    let mut saved = one_of_each();
    let mut other = saved.accounts[0].clone();
    other.state.id = "333344445555".parse().unwrap();
    let mut inventory = Inventory::clone(other.state.inventory.as_ref().unwrap());
    inventory.account.id = other.state.id;
    other.state.inventory = Some(Arc::new(inventory));
    saved.accounts.push(other);

    let saved = decoded(&encoded(&saved)).unwrap();

    let [one, _, other] = &saved.accounts[..] else {
        panic!("{saved:?}")
    };
    let [one, other] = [one, other].map(|saved| saved.state.inventory.as_ref().unwrap());
    assert!(Arc::ptr_eq(
        &one.account.partition,
        &other.account.partition
    ));
    let [one, other] = [one, other].map(|inventory| &inventory.users[0]);
    assert!(Arc::ptr_eq(&one.name, &other.name));
    let known = |name: &str| {
        let memory = saved.accounts[0].memory.as_ref().unwrap();
        memory.users[name].keys.as_ptr()
    };
    assert_eq!(known("alice"), one.keys.as_ptr());
}

#[test]
fn what_makes_no_sense_is_refused_whole() {
    let account = || one_of_each().accounts[0].clone();
    let inventory = |change: &dyn Fn(&mut Inventory)| {
        let mut account = account();
        change(Arc::make_mut(account.state.inventory.as_mut().unwrap()));
        vec![account]
    };
    for (accounts, told) in [
        (
            vec![account(), account()],
            "account 111122223333 is there twice",
        ),
        (
            inventory(&|inventory| inventory.users[1] = inventory.users[0].clone()),
            "account 111122223333 has a user twice",
        ),
        (
            inventory(&|inventory| inventory.account.id = "000000000000".parse().unwrap()),
            "account 111122223333 has the inventory of another account",
        ),
    ] {
        let flaw = decoded(&encoded(&Saved { accounts })).unwrap_err();
        assert_eq!(flaw, Flaw::Records(told.to_owned()));
    }
}

#[test]
fn nothing_is_of_the_future_after_a_clock_was_wrong() {
    let before = at("2026-06-01T07:00:00Z");
    let file = encoded(&one_of_each());
    let (written, saved) = records::decode(envelope::open(&file).unwrap(), before).unwrap();
    assert_eq!(written, before);
    let account = &saved.accounts[0];
    assert_eq!(
        account.state.last_success, None,
        "a time that is yet to come is no success of now"
    );
    assert_eq!(account.state.inventory.as_ref().unwrap().data_time, before);
    assert_eq!(
        account.memory, None,
        "it is of a report that is not made yet"
    );
}

/// A path in a directory of its own.
struct Disk {
    directory: TempDir,
    path: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let directory = tempdir().unwrap();
        let path = directory.path().join("state");
        Self { directory, path }
    }

    /// Opens the path, with the counts of the process.
    fn open(&self) -> (Storage, Option<Saved>, Arc<StorageCounts>) {
        let counts = Arc::new(StorageCounts::default());
        let (storage, saved) = Storage::open(&self.path, now(), Arc::clone(&counts)).unwrap();
        (storage, saved, counts)
    }

    /// What the next process finds.
    fn saved(&self) -> Option<Saved> {
        self.open().1
    }

    /// The names in the directory but that of the lock, in order.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "state.lock")
            .collect();
        names.sort();
        names
    }
}

fn error(path: &Path) -> String {
    let error = Storage::open(path, now(), Arc::default()).unwrap_err();
    format!("{:#}", anyhow::Error::from(error))
}

#[test]
fn what_was_saved_is_there_at_the_next_start() {
    let disk = Disk::new();
    let (mut storage, saved, counts) = disk.open();
    assert_eq!(saved, None);
    assert_eq!(counts.now(), StorageCount::default());
    storage.save(&Saved::default(), now() - TimeDelta::hours(1));
    storage.save(&one_of_each(), now() - TimeDelta::minutes(1));
    assert_eq!(counts.now().writes, 2);
    drop(storage);

    let (_storage, saved, counts) = disk.open();

    assert_eq!(saved, Some(one_of_each()));
    let last_success = Some(now() - TimeDelta::minutes(1));
    let expected = StorageCount {
        last_success,
        ..StorageCount::default()
    };
    assert_eq!(counts.now(), expected);
    assert_eq!(disk.names(), ["state"]);
}

#[test]
fn only_the_owner_may_read_it() {
    let disk = Disk::new();
    let (mut storage, ..) = disk.open();
    storage.save(&one_of_each(), now());
    for name in ["state", "state.lock"] {
        let mode = fs::metadata(disk.directory.path().join(name)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_file_that_is_damaged_is_set_aside_wherever_the_damage_is() {
    let disk = Disk::new();
    let whole = encoded(&one_of_each());
    let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
    let flipped = (0..whole.len()).flat_map(|place| {
        [0x01, 0x80].map(|bits| {
            let mut file = whole.clone();
            file[place] ^= bits;
            file
        })
    });
    let longer = [&whole[..], &[0]].concat();
    for file in cut.chain(flipped).chain([longer]) {
        fs::write(&disk.path, &file).unwrap();
        assert_eq!(disk.saved(), None);
        let names = disk.names();
        let [aside] = &names[..] else {
            panic!("{names:?}")
        };
        assert!(
            aside == "state.damaged-20260601T120000Z" || aside == "state.newer-20260601T120000Z"
        );
        let aside = disk.directory.path().join(aside);
        assert!(fs::read(&aside).unwrap() == file, "it is not as it was");
        fs::remove_file(aside).unwrap();
    }
}

#[test]
fn a_file_of_a_newer_release_or_of_something_else_is_set_aside() {
    let disk = Disk::new();
    let mut newer = encoded(&one_of_each());
    newer[8] = 2;
    fs::write(&disk.path, &newer).unwrap();
    assert_eq!(disk.saved(), None);
    assert_eq!(disk.names(), ["state.newer-20260601T120000Z"]);
    fs::write(&disk.path, "{}").unwrap();
    assert_eq!(disk.saved(), None);
    let names = [
        "state.damaged-20260601T120000Z",
        "state.newer-20260601T120000Z",
    ];
    assert_eq!(disk.names(), names);
}

#[test]
fn files_set_aside_replace_none_and_stay_few() {
    let disk = Disk::new();
    for n in 0..20 {
        fs::write(&disk.path, format!("{n}")).unwrap();
        assert_eq!(disk.saved(), None);
    }
    let stamp = "state.damaged-20260601T120000Z";
    let mut names = vec!["state".to_owned(), stamp.to_owned()];
    names.extend((2..=8).map(|n| format!("{stamp}-{n}")));
    assert_eq!(disk.names(), names);
    for (n, name) in names[1..].iter().enumerate() {
        let text = fs::read_to_string(disk.directory.path().join(name)).unwrap();
        assert_eq!(text, n.to_string());
    }
    // The last one was not kept; it is in nobody's way.
    let (mut storage, ..) = disk.open();
    storage.save(&one_of_each(), now());
    drop(storage);
    assert_eq!(disk.saved(), Some(one_of_each()));
}

#[test]
fn a_path_that_can_never_work_is_an_error_that_says_what_to_do() {
    let disk = Disk::new();
    let directory = disk.directory.path();
    let given = |path: &Path| format!("--storage.path={}", path.display());

    let missing = directory.join("missing/state");
    let told = error(&missing);
    assert!(told.starts_with(&given(&missing)), "{told}");
    assert!(
        told.contains("/missing cannot be used; create it first: No such file"),
        "{told}"
    );

    for path in [
        directory.to_owned(),
        directory.join("state/"),
        directory.join(".."),
        "/dev/null".into(),
    ] {
        let told = error(&path);
        assert_eq!(
            told,
            format!(
                "{} is no file: give the path of a file, which need not exist yet",
                given(&path)
            )
        );
    }

    // Not even root can make a file there.
    let told = error(Path::new("/proc/state"));
    let begin = "--storage.path=/proc/state cannot be used: files must be made, locked and replaced in its directory: ";
    assert!(told.starts_with(begin), "{told}");

    fs::write(directory.join("file"), "").unwrap();
    let told = error(&directory.join("file/state"));
    assert!(told.ends_with("Not a directory (os error 20)"), "{told}");
    assert!(disk.names() == ["file"], "nothing was left behind");
}

#[test]
fn a_directory_that_may_not_be_written_is_an_error_at_the_start() {
    let disk = Disk::new();
    let directory = disk.directory.path();
    disk.open();
    let set = |mode| fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
    set(0o500);
    // Root may write everywhere; only a file system can stop it, as the test before this shows.
    if fs::write(directory.join("probe"), "").is_err() {
        let told = error(&disk.path);
        assert!(told.ends_with("Permission denied (os error 13)"), "{told}");
    }
    set(0o700);
}

#[test]
fn a_path_is_for_one_at_a_time() {
    let disk = Disk::new();
    let first = disk.open();
    let link = disk.directory.path().join("link");
    symlink(disk.directory.path(), &link).unwrap();
    for path in [disk.path.clone(), link.join("state")] {
        let expected = format!(
            "--storage.path={} is in use by another process: stop that one, or give each exporter a path of its own",
            path.display()
        );
        assert_eq!(error(&path), expected);
    }
    drop(first);
    assert_eq!(disk.saved(), None);
}

#[test]
fn a_symbolic_link_stays_one() {
    let disk = Disk::new();
    let link = disk.directory.path().join("link");
    let (mut storage, ..) = disk.open();
    storage.save(&Saved::default(), now());
    drop(storage);
    symlink(&disk.path, &link).unwrap();
    let (mut storage, saved) = Storage::open(&link, now(), Arc::default()).unwrap();
    assert_eq!(saved, Some(Saved::default()));
    storage.save(&one_of_each(), now());
    drop(storage);
    assert_eq!(disk.saved(), Some(one_of_each()));
    assert!(link.is_symlink());
}

#[test]
fn what_a_killed_process_left_half_written_is_cleared_away() {
    let disk = Disk::new();
    fs::write(disk.directory.path().join("state.tmp"), "half").unwrap();
    let other = disk.directory.path().join("other");
    fs::write(&other, "somebody's").unwrap();
    let (mut storage, ..) = disk.open();
    assert_eq!(disk.names(), ["other"]);
    // A link that somebody puts there is not followed.
    symlink(&other, disk.directory.path().join("state.tmp")).unwrap();
    storage.save(&one_of_each(), now());
    assert_eq!(fs::read_to_string(other).unwrap(), "somebody's");
    assert_eq!(disk.names(), ["other", "state"]);
}

#[test]
fn a_save_that_fails_leaves_the_file_as_it_was_and_is_counted() {
    let disk = Disk::new();
    let (mut storage, _, counts) = disk.open();
    storage.save(&Saved::default(), now());
    // A directory of the name of the new file is in the way, for root too.
    let in_the_way = disk.directory.path().join("state.tmp");
    fs::create_dir(&in_the_way).unwrap();
    for failures in 1..=2 {
        storage.save(&one_of_each(), now());
        let expected = StorageCount {
            writes: failures + 1,
            failures,
            last_success: Some(now()),
        };
        assert_eq!(counts.now(), expected);
        assert!(storage.is_failing);
    }
    fs::remove_dir(in_the_way).unwrap();
    assert!(fs::read(&disk.path).unwrap() == encoded(&Saved::default()));
    storage.save(&one_of_each(), now());
    assert!(!storage.is_failing);
    assert!(fs::read(&disk.path).unwrap() == encoded(&one_of_each()));
}

/// A disk with so much room.
struct Full {
    file: Cursor<Vec<u8>>,
    room: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room.min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= room;
        self.file.write(&bytes[..room])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[test]
fn a_disk_that_is_full_at_any_byte_fails_the_save() {
    let saved = one_of_each();
    // The header is written twice: as a place holder and in the end.
    let needed = encoded(&saved).len() + 52;
    for room in 0..=needed {
        let disk = Full {
            file: Cursor::default(),
            room,
        };
        let written = records::encode(disk, &saved, now());
        match written {
            Ok(disk) => assert!(room == needed && disk.file.into_inner() == encoded(&saved)),
            Err(error) => {
                assert!(room < needed);
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            }
        }
    }
}
