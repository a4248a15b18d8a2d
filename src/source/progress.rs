//! How far a source is, for whoever watches.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Counts the users found and read, over all accounts, and tells of each change. By default nobody
/// is told.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Counts>>);

struct Counts {
    found: AtomicUsize,
    read: AtomicUsize,
    told: Box<dyn Fn(usize, usize) + Send + Sync>,
}

impl Progress {
    /// A progress that calls `told` with the users read and those found so far, often and from any
    /// task: it must not block.
    pub fn told_to(told: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Counts {
            found: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            told: Box::new(told),
        })))
    }

    /// More users were found that have to be read.
    pub(super) fn found(&self, users: usize) {
        self.count(|counts| &counts.found, users);
    }

    /// One more user was read, or given up.
    pub(super) fn read(&self) {
        self.count(|counts| &counts.read, 1);
    }

    fn count(&self, which: impl Fn(&Counts) -> &AtomicUsize, more: usize) {
        if let Some(counts) = &self.0 {
            which(counts).fetch_add(more, Ordering::Relaxed);
            let (read, found) = (&counts.read, &counts.found);
            (counts.told)(read.load(Ordering::Relaxed), found.load(Ordering::Relaxed));
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Progress(watched)"
        } else {
            "Progress"
        })
    }
}
