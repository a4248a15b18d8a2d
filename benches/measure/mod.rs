//! How the benches measure and what they print: child processes, the machine, Markdown tables.

#![allow(
    dead_code,
    reason = "each bench includes the whole module and uses a part of it"
)]

pub(crate) mod child;
pub(crate) mod machine;
pub(crate) mod table;

use std::time::{Duration, Instant};

/// How long `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let start = Instant::now();
    let result = work()?;
    Ok((start.elapsed(), result))
}

/// The median of some durations: one slow round on a busy machine doesn't move it.
///
/// # Panics
/// If there are none.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
