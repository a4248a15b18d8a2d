//! The loop that keeps the snapshot fresh.
//!
//! Each account is refreshed by itself, at its own time: one that hangs or fails delays no other. A
//! refresh that fails keeps the last good data and is tried again with growing pauses. What went
//! wrong is said once at WARN, when it begins or changes, and its end once at INFO.

mod known;
mod members;
mod publication;
mod reading;
mod reconfigure;
mod refresher;
mod said;
mod saving;
mod timing;
mod turns;

use std::time::Duration;

use self::known::{Known, reasons};
pub use self::refresher::Refresher;
use crate::{clock::Clock, snapshot::Snapshot, source::Outcome};

/// The shortest interval allowed: IAM's throttling is per account and shared with everybody in it.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

/// When to refresh.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Refresh")]
#[group(skip)]
pub struct Args {
    /// Time from the start of one refresh to the next, e.g. 5m; at least 10s
    #[arg(long = "refresh.interval", env = "IAM_KEY_EXPORTER_REFRESH_INTERVAL", value_name = "DURATION",
        default_value = "5m", value_parser = interval)]
    pub interval: Duration,

    /// Time after which a refresh ends with what it has, e.g. 15m; at least 1s
    #[arg(long = "refresh.timeout", env = "IAM_KEY_EXPORTER_REFRESH_TIMEOUT", value_name = "DURATION",
        default_value = "15m", value_parser = timeout)]
    pub timeout: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    at_least(text, SHORTEST_INTERVAL)
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_secs(1))
}

/// A duration with its unit, from `least` to a year.
fn at_least(text: &str, least: Duration) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_hours(365 * 24);
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; give a number with a unit, e.g. 30s, 5m or 1h30m"))?;
    if duration < least {
        return Err(format!(
            "at least {} is needed",
            humantime::format_duration(least)
        ));
    }
    if duration > MOST {
        return Err("at most a year is allowed".into());
    }
    Ok(duration)
}

/// The snapshot after everything was read once, with the settings of `previous`.
pub(crate) fn next_snapshot(previous: &Snapshot, outcomes: Vec<Outcome>, clock: Clock) -> Snapshot {
    let mut unidentified = None;
    let mut known = Known::default();
    for outcome in outcomes {
        match outcome.account {
            None => unidentified = reasons(&outcome.result).first().copied(),
            Some(id) => known.learn(id, outcome, &previous.policy, clock.now()),
        }
    }
    Snapshot {
        accounts: known.states(),
        unidentified,
        tried: true,
        ..previous.clone()
    }
}
