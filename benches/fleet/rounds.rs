//! What refreshes of each account took, as the accounts saw it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::support::fake_aws::Site;

/// Calls of one refresh follow each other faster than this, and refreshes more slowly.
const GAP: Duration = Duration::from_secs(4);

/// One refresh of one account: the arrivals of its first call and its last.
#[derive(Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
}

impl Burst {
    pub(crate) fn took(self) -> Duration {
        self.last - self.first
    }
}

/// The refreshes of an account since its counts were reset, by the pauses between its calls.
pub(crate) fn bursts(site: &Site) -> Vec<Burst> {
    let mut bursts: Vec<Burst> = Vec::new();
    for arrival in site.counts().arrivals {
        match bursts.last_mut() {
            Some(burst) if arrival - burst.last < GAP => burst.last = arrival,
            _ => bursts.push(Burst {
                first: arrival,
                last: arrival,
            }),
        }
    }
    bursts
}

/// When the last call of any account came.
pub(crate) fn last_call(sites: &[Arc<Site>]) -> Option<Instant> {
    sites
        .iter()
        .filter_map(|site| site.counts().arrivals.last().copied())
        .max()
}

/// Whether an account was refreshed to the end since the counts were reset.
pub(crate) fn is_refreshed(site: &Site) -> bool {
    bursts(site)
        .first()
        .is_some_and(|burst| burst.last.elapsed() >= GAP)
}

/// How late and how long the refreshes of a window were, of which each account had its share.
pub(crate) struct Delays {
    /// From the first call of a refresh to its last: half of them took no longer, and all but one in a hundred.
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    /// From the end of a refresh to the end of the next, less the interval: all but one in a hundred were no later.
    pub(crate) p99_late: Duration,
    /// The longest from the beginning of a refresh to the beginning of the next.
    pub(crate) longest_pause: Duration,
}

impl Delays {
    /// Of the refreshes that lie as a whole in the window that began then and ends now.
    pub(crate) fn of(sites: &[Arc<Site>], begin: Instant, interval: Duration) -> Option<Self> {
        let end = Instant::now();
        let (mut took, mut late, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
        for site in sites {
            let mut whole = bursts(site);
            whole.retain(|burst| burst.first > begin + GAP && burst.last + GAP < end);
            took.extend(whole.iter().map(|burst| burst.took()));
            for pair in whole.windows(2) {
                late.push((pair[1].last - pair[0].last).saturating_sub(interval));
                pauses.push(pair[1].first - pair[0].first);
            }
        }
        Some(Self {
            median: quantile(&mut took, 50)?,
            p99: quantile(&mut took, 99)?,
            p99_late: quantile(&mut late, 99)?,
            longest_pause: pauses.into_iter().max()?,
        })
    }
}

/// The value that so many of a hundred don't exceed.
pub(crate) fn quantile(values: &mut [Duration], percent: usize) -> Option<Duration> {
    values.sort_unstable();
    let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(index).copied()
}
