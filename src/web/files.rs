//! How many files the process may have open, of which each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to `wanted`, if it is lower and may be raised, and tells what it is then.
pub(super) fn allow(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let (now, most) = (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    );
    let raised = wanted.min(most);
    if now >= raised {
        return now;
    }
    let limit = Rlimit {
        current: Some(raised),
        ..limit
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => raised,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files could not be raised");
            now
        }
    }
}
