//! The loop that keeps the snapshot fresh.
//!
//! A refresh that fails keeps the last good data and is tried again with growing pauses. What went
//! wrong is said once at WARN, when it begins or changes, and its end once at INFO.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::future::join_all;
use tokio::{sync::watch, time::Instant};

use crate::{
    clock::Clock,
    counts::RefreshCounts,
    inventory::Inventory,
    key::AccountId,
    reason::Reason,
    snapshot::{AccountState, Snapshot},
    source::{Member, Outcome, Reader, Source, SourceError},
};

/// The shortest interval allowed: IAM's throttling is per account and shared with everybody in it.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

/// The first pause after a failed refresh; later ones double, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// How much later a refresh may start, as a part of the interval or pause, so that many exporters
/// started, or failed, together drift apart.
const JITTER: f64 = 0.1;

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

/// Keeps the snapshot fresh, as the only writer.
#[derive(Debug)]
pub struct Refresher {
    source: Source,
    readers: Vec<(Member, Reader)>,
    clock: Clock,
    args: Args,
    counts: Arc<RefreshCounts>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// What was last said of each account: an account is said to fail once, not at each attempt.
    said: BTreeMap<Option<AccountId>, Vec<Reason>>,
}

impl Refresher {
    /// A refresher that hasn't refreshed yet.
    pub fn new(
        source: Source,
        clock: Clock,
        args: Args,
        counts: Arc<RefreshCounts>,
        snapshot: watch::Sender<Arc<Snapshot>>,
    ) -> Self {
        Self {
            source,
            readers: Vec::new(),
            clock,
            args,
            counts,
            snapshot,
            said: BTreeMap::new(),
        }
    }

    /// Refreshes at once and then for ever. Dropping the future ends it, at any point.
    pub async fn run(mut self) {
        let mut retries = self.retries();
        loop {
            let start = Instant::now();
            let complete = self.refresh().await;
            let end = Instant::now();
            let next = if complete {
                retries = self.retries();
                let interval = self.args.interval.mul_f64(1.0 + JITTER * fastrand::f64());
                // Refreshes that take longer than the interval leave AWS some rest all the same.
                (start + interval).max(end + SHORTEST_INTERVAL)
            } else {
                let pause = retries.next().unwrap_or(self.args.interval);
                end + pause.mul_f64(1.0 + JITTER * fastrand::f64())
            };
            tokio::time::sleep_until(next).await;
        }
    }

    /// The pauses after failures, capped by the interval.
    fn retries(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(FIRST_RETRY)
            .with_max_delay(self.args.interval)
            .without_max_times()
            .build()
    }

    /// Refreshes once and publishes what is known then. Returns whether everything was read.
    pub async fn refresh(&mut self) -> bool {
        let now = self.clock.now();
        let deadline = Instant::now() + self.args.timeout;
        let discovery = self.source.discover(now, deadline).await;
        let known = std::mem::take(&mut self.readers);
        let (mut known, members) = (known, discovery.members);
        self.readers.extend(members.into_iter().map(|member| {
            let place = known.iter().position(|(old, _)| *old == member);
            let reader = place.map_or_else(
                || self.source.reader(&member),
                |place| known.swap_remove(place).1,
            );
            (member, reader)
        }));
        let read = self
            .readers
            .iter_mut()
            .map(|(_, reader)| reader.collect(now, deadline));
        let outcomes: Vec<_> = join_all(read).await.into_iter().flatten().collect();
        for outcome in &outcomes {
            self.counts
                .count(outcome.account, &reasons(&outcome.result));
            self.say(outcome);
        }
        let next = next_snapshot(&self.snapshot.borrow(), outcomes, self.clock);
        let complete = next.unidentified.is_none() && next.accounts.iter().all(AccountState::is_up);
        self.snapshot.send_replace(Arc::new(next));
        complete
    }

    /// Logs the outcome: a failure that begins or changes at WARN, the first success and a recovery
    /// at INFO, all else at DEBUG.
    fn say(&mut self, outcome: &Outcome) {
        let failures = reasons(&outcome.result);
        let account = outcome
            .account
            .map_or("unknown".into(), |id| id.to_string());
        let seconds = outcome.duration.as_secs_f64();
        let news = self.said.insert(outcome.account, failures.clone()).as_ref() != Some(&failures);
        if outcome.account.is_some() {
            self.said.remove(&None);
        }
        match &outcome.result {
            Err(error) if news => tracing::warn!(
                account, reason = %error.reason, "refresh failed: {error}"
            ),
            Err(error) => {
                tracing::debug!(account, reason = %error.reason, "refresh failed again: {error}"
                );
            }
            Ok(found) => {
                let (users, unread) = (found.users.len(), found.unread_users());
                let keys = found
                    .users
                    .iter()
                    .map(|user| user.keys.len())
                    .sum::<usize>();
                let reasons = failures
                    .iter()
                    .map(|reason| reason.as_str())
                    .collect::<Vec<_>>()
                    .join(",");
                let first = found.first_trouble();
                if !failures.is_empty() && news {
                    tracing::warn!(
                        account,
                        users,
                        keys,
                        unread,
                        reasons,
                        seconds,
                        first,
                        "refresh was incomplete; what was known before of the rest is kept"
                    );
                } else if !failures.is_empty() {
                    tracing::debug!(
                        account,
                        users,
                        keys,
                        unread,
                        reasons,
                        seconds,
                        "refresh was incomplete again"
                    );
                } else if news {
                    tracing::info!(account, users, keys, seconds, "account read completely");
                } else {
                    tracing::debug!(account, users, keys, seconds, "account read completely");
                }
            }
        }
    }
}

/// Why a refresh of an account did not read everything; empty if it did.
fn reasons(result: &Result<Inventory, SourceError>) -> Vec<Reason> {
    match result {
        Ok(inventory) => inventory.reasons(),
        Err(error) => vec![error.reason],
    }
}

/// The snapshot after a refresh: what was read takes the place of what was known, what could not be
/// read stays as it was. An account that the source no longer speaks of is gone.
pub(crate) fn next_snapshot(previous: &Snapshot, outcomes: Vec<Outcome>, clock: Clock) -> Snapshot {
    let mut unidentified = None;
    let mut accounts: BTreeMap<AccountId, AccountState> = BTreeMap::new();
    for outcome in outcomes {
        let failures = reasons(&outcome.result);
        let Some(id) = outcome.account else {
            unidentified = failures.first().copied();
            continue;
        };
        let known = previous.accounts.iter().find(|account| account.id == id);
        let known_inventory = known.and_then(|account| account.inventory.clone());
        let reached = outcome.result.is_ok();
        let inventory = match outcome.result {
            Err(_) => known_inventory,
            Ok(found) => {
                let mut found = match known_inventory {
                    Some(known) => found.filled_from(&known),
                    None => found,
                };
                previous.policy.apply_to_all(&mut found);
                Some(Arc::new(found))
            }
        };
        let last_success = if failures.is_empty() {
            Some(clock.now())
        } else {
            known.and_then(|account| account.last_success)
        };
        let state = AccountState {
            id,
            inventory,
            reached,
            failures,
            last_success,
            duration: outcome.duration,
        };
        accounts.insert(id, state);
    }
    Snapshot {
        accounts: accounts.into_values().collect(),
        unidentified,
        tried: true,
        ..previous.clone()
    }
}
