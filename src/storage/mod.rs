//! What outlives the process: the last good snapshot, and what is remembered of each account.
//!
//! After a restart the last known keys are served at once, with the true time of their refresh, so that
//! alerts neither vanish nor flap, and nobody has to be listed again. It is a cache: whatever is wrong
//! with the file costs a warning and a fresh start, never more.

mod envelope;
mod place;
mod records;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use self::{
    envelope::Flaw,
    place::{Place, SetAside},
};
use crate::{counts::StorageCounts, snapshot::AccountState, source::aws::Remembered};

/// Where to keep what should outlive the process.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Storage")]
#[group(skip)]
pub struct Args {
    /// File that keeps what was read over a restart; its directory must exist. Nothing is kept
    /// without it
    #[arg(
        long = "storage.path",
        env = "IAM_KEY_EXPORTER_STORAGE_PATH",
        value_name = "PATH"
    )]
    pub path: Option<PathBuf>,
}

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The accounts, by id, each once.
    pub accounts: Vec<SavedAccount>,
}

/// What is kept of an account.
///
/// What the configuration says of users – their max age and exemption – is not: it is another one
/// after the restart, maybe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedAccount {
    /// Its data, and what became of its last refresh.
    pub state: AccountState,
    /// What its data were last read for; `None` if they never were read whole.
    pub read_for: Option<Arc<Aim>>,
    /// What saves listing its users again.
    pub memory: Option<Arc<Remembered>>,
}

/// What of the configuration decides which users are read live, and what of them. Data read for
/// another aim may lack what this one wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// The maximum age of those that no rule is for.
    pub max_age: TimeDelta,
    /// The smallest that any user may have.
    pub smallest_max_age: TimeDelta,
    /// The keys of the user tags.
    pub tags: Arc<BTreeSet<Arc<str>>>,
}

/// A path that can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It is a directory, a device or the like.
    #[error("--storage.path={} is no file: give the path of a file, which need not exist yet", .0.display())]
    NoFile(PathBuf),
    /// There is no such directory.
    #[error("--storage.path={}: the directory {} cannot be used; create it first", .path.display(), .directory.display())]
    NoDirectory {
        /// As it was given.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error(
        "--storage.path={} is in use by another process: stop that one, or give each exporter a path of its own", .0.display()
    )]
    InUse(PathBuf),
    /// It can't be read, written or locked.
    #[error("--storage.path={} cannot be used: files must be made, locked and replaced in its directory", .path.display())]
    Unusable {
        /// As it was given.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// The file, for this process alone.
#[derive(Debug)]
pub struct Storage {
    place: Place,
    counts: Arc<StorageCounts>,
    /// Whether the last save failed: that is said when it begins and when it ends.
    is_failing: bool,
}

impl Storage {
    /// Takes the path and reads what is kept there, if anything is that can be used. A file that is
    /// damaged, or of a newer release, is set aside, which is said at WARN.
    ///
    /// # Errors
    /// The path can't work, whatever is done later; or another process has it.
    pub fn open(
        path: &Path,
        now: DateTime<Utc>,
        counts: Arc<StorageCounts>,
    ) -> Result<(Self, Option<Saved>), StorageError> {
        let place = Place::take(path)?;
        let saved = match place.read().and_then(|file| match file {
            Some(file) => records::decode(envelope::open(&file)?, now).map(Some),
            None => Ok(None),
        }) {
            Ok(Some((written, saved))) => {
                counts.restored(written);
                tracing::info!(
                    path = %place.given(),
                    accounts = saved.accounts.len(),
                    written = written.to_rfc3339_opts(SecondsFormat::Secs, true),
                    "what was saved is taken up again"
                );
                Some(saved)
            }
            Ok(None) => None,
            Err(flaw) => {
                set_aside(&place, &flaw, now);
                None
            }
        };
        let storage = Self {
            place,
            counts,
            is_failing: false,
        };
        Ok((storage, saved))
    }

    /// Writes everything anew. Blocks until it is on the disk. A failure is counted, and said when it
    /// begins; what was saved before stays as it is. Returns whether it was written.
    pub fn save(&mut self, saved: &Saved, now: DateTime<Utc>) -> bool {
        let written = self.place.replace(|file| records::encode(file, saved, now));
        let is_written = written.is_ok();
        self.counts.count(is_written.then_some(now));
        let path = self.place.given();
        match written {
            Ok(()) if self.is_failing => tracing::info!(%path, "what was read can be saved again"),
            Ok(()) => tracing::debug!(%path, accounts = saved.accounts.len(), "saved"),
            Err(error) if self.is_failing => {
                tracing::debug!(%path, "what was read could not be saved again: {error}");
            }
            Err(error) => tracing::warn!(
                %path,
                "what was read could not be saved, and will be tried again: {error}"
            ),
        }
        self.is_failing = !is_written;
        is_written
    }
}

/// Moves a file out of the way that can't be used, and says so.
fn set_aside(place: &Place, flaw: &Flaw, now: DateTime<Utc>) {
    let kind = match flaw {
        Flaw::Newer(_) => "newer",
        _ => "damaged",
    };
    let what = match place.set_aside(kind, now) {
        SetAside::As(path) => format!("it is kept as {}", path.display()),
        SetAside::TooMany => {
            "it will be replaced, for enough files of that kind are kept already".to_owned()
        }
        SetAside::Failed(error) => format!("it could not be set aside: {error}"),
    };
    tracing::warn!(path = %place.given(),
        "what was saved cannot be used, so everything is read anew: {flaw}; {what}");
}
