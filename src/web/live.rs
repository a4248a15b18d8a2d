//! The web configuration in force, which follows its files while the daemon runs.

use std::error::Error as _;
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::config::{self, RateLimit, Reading, WebConfig};
use crate::yaml::FileError;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the content is compared after a change, whatever the times of the files say. Two writes within
/// one tick of the file system's clock, of the same length, look alike from outside.
const UNSETTLED: Duration = Duration::from_secs(3);

/// The configuration in force.
#[derive(Clone)]
pub struct Current {
    /// What is in force, or was last.
    pub config: Arc<WebConfig>,
    /// Whether the files are broken now, so that no request may be answered.
    pub is_broken: bool,
    /// Changes with every change of the configuration.
    pub generation: u64,
    limiter: Option<Arc<DefaultDirectRateLimiter>>,
}

impl Current {
    fn new(config: WebConfig, before: Option<&Self>) -> Self {
        let same_limit = before.filter(|before| before.config.rate_limit == config.rate_limit);
        Self {
            limiter: same_limit.map_or_else(
                || config.rate_limit.map(limiter),
                |before| before.limiter.clone(),
            ),
            generation: before.map_or(0, |before| before.generation + 1),
            is_broken: false,
            config: Arc::new(config),
        }
    }

    /// Counts a request against the rate limit, and tells whether it may be answered.
    pub(super) fn is_within_rate(&self) -> bool {
        self.limiter
            .as_ref()
            .is_none_or(|limiter| limiter.check().is_ok())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("generation", &self.generation)
            .field("is_broken", &self.is_broken)
            .finish_non_exhaustive()
    }
}

fn limiter(limit: RateLimit) -> Arc<DefaultDirectRateLimiter> {
    let quota = Quota::with_period(limit.interval)
        .expect("an interval of zero is no limit")
        .allow_burst(limit.burst);
    Arc::new(RateLimiter::direct(quota))
}

/// Follows the files. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    current: RwLock<Arc<Current>>,
    /// Without a file there is nothing to follow.
    followed: Option<Followed>,
}

struct Followed {
    path: PathBuf,
    next_look: Mutex<Instant>,
    seen: Mutex<Seen>,
}

/// What the files looked like when they were last read.
struct Seen {
    files: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
    digest: [u8; 32],
    changed: Instant,
    /// What was last logged of what is wrong.
    trouble: Option<String>,
}

/// What changes about a file when it is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(metadata: Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Live {
    /// What holds without a file, for good.
    pub fn without_file() -> Self {
        Self(Arc::new(Inner {
            current: RwLock::new(Arc::new(Current::new(WebConfig::default(), None))),
            followed: None,
        }))
    }

    /// Reads the file, and follows it from here on. It blocks.
    ///
    /// # Errors
    /// A file that is broken from the start is refused.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let (reading, seen) = look_and_read(&path, vec![path.clone()]);
        let config = reading.result?;
        Ok(Self(Arc::new(Inner {
            current: RwLock::new(Arc::new(Current::new(config, None))),
            followed: Some(Followed {
                path,
                next_look: Mutex::new(Instant::now() + LOOK_EVERY),
                seen: Mutex::new(seen),
            }),
        })))
    }

    /// Whether TLS is spoken. It is for the life of the daemon, for its clients know it as `http` or as
    /// `https`; a file that says something else later is as good as broken.
    pub fn is_tls(&self) -> bool {
        self.last().config.tls.is_some()
    }

    /// What is in force, as of the last look.
    pub(super) fn last(&self) -> Arc<Current> {
        let current = self.0.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// What is in force. If the last look at the files was long enough ago, there is another one first;
    /// whoever asks meanwhile doesn't wait for it.
    pub(super) async fn current(&self) -> Arc<Current> {
        if self.is_look_due() {
            let inner = Arc::clone(&self.0);
            // Once begun, the look goes on, even if whoever asked is gone.
            if let Err(error) = spawn_blocking(move || inner.look()).await {
                tracing::error!(%error, "looking at the web configuration failed");
            }
        }
        self.last()
    }

    fn is_look_due(&self) -> bool {
        let Some(followed) = &self.0.followed else {
            return false;
        };
        let now = Instant::now();
        let next = followed.next_look.lock();
        let mut next = next.unwrap_or_else(PoisonError::into_inner);
        let is_due = now >= *next;
        if is_due {
            *next = now + LOOK_EVERY;
        }
        is_due
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Inner {
    fn look(&self) {
        let Some(followed) = &self.followed else {
            return;
        };
        let seen = followed.seen.lock();
        let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
        let is_settled = seen.changed.elapsed() >= UNSETTLED && seen.trouble.is_none();
        if is_settled && stamps(&seen.files) == seen.stamps {
            return;
        }
        let now_stamps = stamps(&seen.files);
        if config::digest(&seen.files) == seen.digest {
            seen.stamps = now_stamps;
            return;
        }
        let trouble = seen.trouble.take();
        let (reading, now_seen) = look_and_read(&followed.path, std::mem::take(&mut seen.files));
        *seen = now_seen;
        let current = self.current.write();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        match usable(reading.result, current.config.tls.is_some()) {
            Ok(config) => {
                *current = Arc::new(Current::new(config, Some(&current)));
                if trouble.is_some() {
                    tracing::info!("the web configuration is in order again");
                } else {
                    tracing::info!("the web configuration has changed");
                }
            }
            Err(error) => {
                if trouble.as_ref() != Some(&error) {
                    tracing::error!(
                        error,
                        "the web configuration is broken; requests are refused until it is in order"
                    );
                }
                *current = Arc::new(Current {
                    is_broken: true,
                    generation: current.generation + 1,
                    ..Current::clone(&current)
                });
                seen.trouble = Some(error);
            }
        }
    }
}

/// The new configuration, if the daemon can go over to it.
fn usable(result: Result<WebConfig, FileError>, was_tls: bool) -> Result<WebConfig, String> {
    let config = result.map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })?;
    match (was_tls, config.tls.is_some()) {
        (true, false) => Err("TLS is gone from the file; to speak plain HTTP, restart".into()),
        (false, true) => Err("TLS is new in the file; to speak it, restart".into()),
        _ => Ok(config),
    }
}

/// Reads the file. `known` are the files that were there last time.
fn look_and_read(path: &Path, mut known: Vec<PathBuf>) -> (Reading, Seen) {
    loop {
        // What changes after they are taken shows at the next look.
        let stamps = stamps(&known);
        let reading = config::read(path);
        if reading.files == known {
            let seen = Seen {
                files: known,
                stamps,
                digest: reading.digest,
                changed: Instant::now(),
                trouble: None,
            };
            return (reading, seen);
        }
        known = reading.files;
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| fs::metadata(file).ok().map(Stamp::from);
    files.iter().map(stamp).collect()
}
