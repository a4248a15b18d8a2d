//! The file on the disk: locked, written whole or not at all, and set aside where it can't be read.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{
    StorageError,
    envelope::{Flaw, MAX_BYTES},
};

/// The names in the file are nobody else's business.
const MODE: u32 = 0o600;

/// How many files of a kind are set aside at most. Those that were there first tell how it began, so
/// they stay.
const MOST_SET_ASIDE: usize = 8;

/// A path that this process alone writes to, while it lives.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was given, for messages.
    given: PathBuf,
    /// Where it really is, whatever the working directory or a symbolic link become later.
    file: PathBuf,
    directory: PathBuf,
    /// Held for the lock on it, which ends with the process, however that ends. The file stays: if it
    /// were removed, two processes could hold locks on two files of this name.
    _lock: File,
}

/// What became of a file that could not be read.
pub(super) enum SetAside {
    As(PathBuf),
    /// There are enough of them already; the next save replaces it.
    TooMany,
    Failed(io::Error),
}

impl Place {
    /// Takes the path, if it can be used and nobody else does.
    pub(super) fn take(given: &Path) -> Result<Self, StorageError> {
        let path = || given.to_owned();
        let (directory, name) = locate(given)?;
        let file = directory.join(&name);
        match fs::metadata(&file) {
            Ok(found) if !found.is_file() => return Err(StorageError::NoFile(path())),
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(StorageError::Unusable {
                    path: path(),
                    source,
                });
            }
            Ok(_) | Err(_) => {}
        }
        let lock = lock(&beside(&file, ".lock")).map_err(|error| match error {
            TryLockError::WouldBlock => StorageError::InUse(path()),
            TryLockError::Error(source) => StorageError::Unusable {
                path: path(),
                source,
            },
        })?;
        let place = Self {
            given: path(),
            file,
            directory,
            _lock: lock,
        };
        place
            .try_writing()
            .map_err(|source| StorageError::Unusable {
                path: path(),
                source,
            })?;
        Ok(place)
    }

    pub(super) fn given(&self) -> std::path::Display<'_> {
        self.given.display()
    }

    /// Clears away what a process that was killed left half-written, and makes sure that a file can
    /// be made here at all. One that doesn't fit now may fit later.
    fn try_writing(&self) -> io::Result<()> {
        match self
            .create()
            .and_then(|_| fs::remove_file(self.unfinished()))
        {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                Ok(())
            }
            tried => tried,
        }
    }

    /// The whole file; `None` if there is none.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Flaw> {
        let unreadable = |error: io::Error| Flaw::Unreadable(error.to_string());
        let file = match File::open(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(unreadable)?,
        };
        let mut bytes = Vec::new();
        // What is said of a file's length need not be true when it is read.
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Flaw::TooLarge);
        }
        Ok(Some(bytes))
    }

    /// Replaces the file by what `write` writes. A crash at any point, of the process or the machine,
    /// leaves the old file or the new one.
    pub(super) fn replace(
        &self,
        write: impl FnOnce(BufWriter<File>) -> io::Result<BufWriter<File>>,
    ) -> io::Result<()> {
        let unfinished = self.unfinished();
        let replaced = self.create().and_then(|file| {
            let file = write(BufWriter::new(file))?.into_inner()?;
            // Otherwise the new name may reach the disk before the bytes do.
            file.sync_all()?;
            fs::rename(&unfinished, &self.file)
        });
        if replaced.is_err() {
            // A disk that is full should not stay so for half a file.
            let _ = fs::remove_file(&unfinished);
        }
        replaced?;
        File::open(&self.directory)?.sync_all()
    }

    /// An empty file to write to. Nobody else can have one of this name open: a link or an older file
    /// of it is removed, never followed.
    fn create(&self) -> io::Result<File> {
        let unfinished = self.unfinished();
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(unfinished)
    }

    fn unfinished(&self) -> PathBuf {
        beside(&self.file, ".tmp")
    }

    /// Moves the file out of the way, to a name that nothing has.
    pub(super) fn set_aside(&self, kind: &str, now: DateTime<Utc>) -> SetAside {
        let base = beside(&self.file, &format!(".{kind}-"));
        match self.count_of(&base) {
            Ok(count) if count >= MOST_SET_ASIDE => return SetAside::TooMany,
            Err(error) => return SetAside::Failed(error),
            Ok(_) => {}
        }
        let stamp = now.format("%Y%m%dT%H%M%SZ");
        // Fewer than there may be are there, so one of these names is free.
        let name = (1..=MOST_SET_ASIDE)
            .map(|n| match n {
                1 => beside(&base, &stamp.to_string()),
                n => beside(&base, &format!("{stamp}-{n}")),
            })
            .find(|name| fs::symlink_metadata(name).is_err());
        // A renaming would replace what is there, but the lock leaves nobody who could put it there.
        match name.map(|name| (fs::rename(&self.file, &name), name)) {
            Some((Ok(()), name)) => SetAside::As(name),
            Some((Err(error), _)) => SetAside::Failed(error),
            None => SetAside::TooMany,
        }
    }

    /// How many files there are whose names begin like `base`.
    fn count_of(&self, base: &Path) -> io::Result<usize> {
        let begin = base.file_name().unwrap_or_default().as_encoded_bytes();
        let mut count = 0;
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            count += usize::from(name.as_encoded_bytes().starts_with(begin));
        }
        Ok(count)
    }
}

/// The directory, as it really is, and the name of the file in it.
fn locate(given: &Path) -> Result<(PathBuf, OsString), StorageError> {
    let unusable = |source| StorageError::Unusable {
        path: given.to_owned(),
        source,
    };
    // Replacing a symbolic link would leave the file that it points to behind.
    let path = if given.is_symlink() {
        fs::canonicalize(given).map_err(unusable)?
    } else {
        given.to_owned()
    };
    // A slash at the end asks for a directory; the name before it would be taken for that of a file.
    let is_directory = given.as_os_str().as_encoded_bytes().ends_with(b"/");
    let name = path
        .file_name()
        .filter(|_| !is_directory)
        .map(OsStr::to_owned)
        .ok_or_else(|| StorageError::NoFile(given.to_owned()))?;
    let directory = match path.parent() {
        None => Path::new("."),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    let directory = fs::canonicalize(directory).map_err(|source| StorageError::NoDirectory {
        path: given.to_owned(),
        directory: directory.to_owned(),
        source,
    })?;
    Ok((directory, name))
}

/// A file whose lock this process holds.
fn lock(path: &Path) -> Result<File, TryLockError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(path)
        .map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// The path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
