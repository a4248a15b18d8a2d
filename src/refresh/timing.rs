//! When each account is refreshed.
//!
//! An account that is known by its id has a phase of its own in the interval, so that a thousand
//! accounts are read spread over it and not all at once. The phase is a hash of the id, reckoned from
//! the epoch: after a restart, and on another replica, it is the same.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::SHORTEST_INTERVAL;
use crate::key::AccountId;

/// The first pause after a failed refresh; later ones double, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// How much later a refresh may start, as a part of the interval or pause, so that many exporters
/// started, or failed, together drift apart.
const JITTER: f64 = 0.1;

/// Tells when the next refresh of an account starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    interval: Duration,
    /// An instant whose time of day is known. The wall clock is read this once, so that nothing is
    /// refreshed early or late because somebody sets it.
    anchor: Instant,
    /// Nanoseconds from the epoch to the anchor.
    since_epoch: i128,
}

impl Timing {
    pub(super) fn new(interval: Duration, anchor: Instant, now: DateTime<Utc>) -> Self {
        Self {
            interval,
            anchor,
            since_epoch: nanos(now),
        }
    }

    /// When to read again after a read that found everything.
    ///
    /// With a phase the time between two starts is the interval; only the second start of all comes
    /// half an interval to one and a half after the first. Without one, for an account that only
    /// reading tells of, it is the interval and some jitter.
    pub(super) fn after_success(
        &self,
        account: Option<AccountId>,
        start: Instant,
        end: Instant,
    ) -> Instant {
        let next = match account {
            None => start + self.interval.mul_f64(1.0 + JITTER * fastrand::f64()),
            Some(account) => self.instant(self.slot(account, self.wall(start))),
        };
        // Refreshes that take longer than the interval leave AWS some rest all the same.
        next.max(end + SHORTEST_INTERVAL)
    }

    /// When to read an account first of which there is data of `last` in storage: when it would be
    /// its turn. At once if that has passed, and if `last` is yet to come, for then a clock was wrong.
    pub(super) fn after_restart(&self, account: AccountId, last: DateTime<Utc>) -> Instant {
        let last = nanos(last);
        if last > self.since_epoch {
            return self.anchor;
        }
        self.instant(self.slot(account, last))
    }

    /// The pauses after failures, capped by the interval.
    pub(super) fn retries(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(FIRST_RETRY)
            .with_max_delay(self.interval)
            .without_max_times()
            .build()
    }

    /// When to try again after a failure that ended at `end`.
    pub(super) fn after_failure(&self, retries: &mut ExponentialBackoff, end: Instant) -> Instant {
        let pause = retries.next().unwrap_or(self.interval);
        end + pause.mul_f64(1.0 + JITTER * fastrand::f64())
    }

    /// The account's first turn that is at least half an interval after `start`, from the epoch.
    fn slot(&self, account: AccountId, start: i128) -> i128 {
        let interval = signed(self.interval);
        let phase = signed(self.interval.mul_f64(fraction(account)));
        let earliest = start + interval / 2;
        earliest + (phase - earliest).rem_euclid(interval)
    }

    fn wall(&self, instant: Instant) -> i128 {
        self.since_epoch + signed(instant.saturating_duration_since(self.anchor))
    }

    fn instant(&self, wall: i128) -> Instant {
        let after = u64::try_from(wall - self.since_epoch).unwrap_or(0);
        self.anchor + Duration::from_nanos(after)
    }
}

fn nanos(time: DateTime<Utc>) -> i128 {
    i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos())
}

fn signed(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// Where in the interval an account's turn is, from 0 to 1, spread evenly however alike the ids are.
fn fraction(account: AccountId) -> f64 {
    // The finaliser of SplitMix64. The constant keeps it apart from any other hash of an id, for
    // instance one that chooses a shard: a shard's accounts must be spread as well.
    let mut hash = account
        .as_str()
        .bytes()
        .fold(0x9E37_79B9_7F4A_7C15_u64, |hash, digit| {
            hash.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^= hash >> 31;
    let high = u32::try_from(hash >> 32).expect("32 bits are left");
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_mins(5);

    fn timing(now: &str) -> Timing {
        Timing::new(INTERVAL, Instant::now(), now.parse().unwrap())
    }

    fn account(number: u64) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    /// Ids that follow each other, and ids as AWS gives them.
    fn fleets() -> [(&'static str, Vec<AccountId>); 3] {
        let mut random = fastrand::Rng::with_seed(7);
        [
            ("in a row", (0..1_000).map(account).collect()),
            (
                "in steps",
                (0..1_000).map(|n| account(n * 1_000_003)).collect(),
            ),
            (
                "random",
                (0..1_000)
                    .map(|_| account(random.u64(0..1_000_000_000_000)))
                    .collect(),
            ),
        ]
    }

    #[test]
    fn the_refreshes_of_a_thousand_accounts_are_spread_over_the_interval() {
        for (ids, fleet) in fleets() {
            let mut windows = [0_u32; 100];
            for account in fleet {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a fraction of 100"
                )]
                let window = (fraction(account) * 100.0) as usize;
                windows[window] += 1;
            }
            // 10 are expected in each; of Poisson's distribution, 30 come in one of 10^7.
            let most = windows.iter().max().unwrap();
            assert!(*most < 30, "{ids}: {windows:?}");
            let empty = windows.iter().filter(|count| **count == 0).count();
            assert!(empty <= 1, "{ids}: {windows:?}");
        }
    }

    proptest! {
        #[test]
        fn the_second_refresh_comes_at_the_phase_and_each_later_one_an_interval_on(
            number in 0_u64..1_000_000_000_000,
            started in 0_u32..1_000_000,
            took in 0_u32..200_000,
        ) {
            let timing = timing("2026-01-31T12:34:56Z");
            let account = Some(account(number));
            let first = timing.anchor + Duration::from_millis(started.into());
            let took = Duration::from_millis(took.into());
            let mut last = timing.after_success(account, first, first);
            prop_assert!(last >= first + INTERVAL / 2 && last < first + INTERVAL / 2 * 3);
            for _ in 0..5 {
                let next = timing.after_success(account, last, last + took);
                prop_assert_eq!(next - last, INTERVAL);
                last = next;
            }
        }

        #[test]
        fn a_restart_keeps_the_phase(number in 0_u64..1_000_000_000_000, later in 0_i64..100_000) {
            let account = account(number);
            let into_interval = |timing: Timing| {
                let next = timing.after_success(Some(account), timing.anchor, timing.anchor);
                timing.wall(next) % signed(INTERVAL)
            };
            let first = timing("2026-01-31T12:34:56Z");
            let now = "2026-01-31T12:34:56Z".parse::<DateTime<Utc>>().unwrap()
                + chrono::TimeDelta::seconds(later);
            let second = Timing::new(INTERVAL, first.anchor, now);
            prop_assert_eq!(into_interval(first), into_interval(second));
        }
    }

    #[test]
    fn data_of_before_a_restart_is_renewed_when_it_would_have_been() {
        let timing = timing("2026-01-31T12:00:00Z");
        let account = account(123);
        let now: DateTime<Utc> = "2026-01-31T12:00:00Z".parse().unwrap();
        let ago = |seconds| now - chrono::TimeDelta::seconds(seconds);
        let due = timing.after_restart(account, ago(1));
        assert!(due > timing.anchor && due < timing.anchor + INTERVAL / 2 * 3);
        assert_eq!(timing.after_restart(account, ago(451)), timing.anchor);
        // A clock that was ahead must not put the refresh off.
        assert_eq!(timing.after_restart(account, ago(-1)), timing.anchor);
    }

    #[test]
    fn a_refresh_longer_than_the_interval_leaves_some_rest_and_then_the_phase_holds_again() {
        let timing = timing("2026-01-31T12:00:00Z");
        let account = Some(account(123));
        let phase = |instant| timing.wall(instant) % signed(INTERVAL);
        let start = timing.after_success(account, timing.anchor, timing.anchor);
        let end = start + INTERVAL + Duration::from_secs(1);
        let late = timing.after_success(account, start, end);
        assert_eq!(late, end + SHORTEST_INTERVAL);
        assert_eq!(
            phase(timing.after_success(account, late, late)),
            phase(start)
        );
    }

    #[test]
    fn without_a_phase_the_interval_is_kept_with_some_jitter() {
        let timing = timing("2026-01-31T12:00:00Z");
        for _ in 0..100 {
            let pause = timing.after_success(None, timing.anchor, timing.anchor) - timing.anchor;
            assert!(
                pause >= INTERVAL && pause <= INTERVAL.mul_f64(1.1),
                "{pause:?}"
            );
        }
    }
}
