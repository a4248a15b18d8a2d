//! How many requests are answered.

use std::num::NonZeroU32;
use std::time::Duration;

use super::file::RateLimitSection;
use crate::yaml::{Spanned, YamlError};

/// Longer would be no limit but a stop.
const MAX_INTERVAL: Duration = Duration::from_hours(1);

/// More would be no limit. The two together must fit into 64 bits of nanoseconds.
const MAX_BURST: NonZeroU32 = NonZeroU32::new(1_000_000).expect("a million is not zero");

/// One request each `interval`, and `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time between two requests in the long run; never zero.
    pub interval: Duration,
    /// How many may come at once after a time of quiet.
    pub burst: NonZeroU32,
}

/// An interval of zero is no limit, as with exporter-toolkit.
pub(super) fn check(section: &RateLimitSection) -> Result<Option<RateLimit>, YamlError> {
    let RateLimitSection { interval, burst } = section;
    let Some(interval) = interval else {
        return match burst {
            None => Ok(None),
            Some(burst) => Err(YamlError::at(
                burst,
                "rate_limit",
                "interval is missing; without it, burst limits nothing",
            )),
        };
    };
    let length = length(interval)?;
    if length.is_zero() {
        return Ok(None);
    }
    let Some(burst) = burst else {
        let message = "burst is missing; without it, no request would ever be answered";
        return Err(YamlError::at(interval, "rate_limit", message));
    };
    let burst = NonZeroU32::new(burst.value)
        .filter(|burst| *burst <= MAX_BURST)
        .ok_or_else(|| {
            let message =
                format!("must be from 1 to {MAX_BURST}; with 0, no request would ever be answered");
            YamlError::at(burst, "rate_limit.burst", message)
        })?;
    Ok(Some(RateLimit {
        interval: length,
        burst,
    }))
}

fn length(interval: &Spanned<String>) -> Result<Duration, YamlError> {
    let text = interval.value.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .ok()
        .filter(|length| *length <= MAX_INTERVAL)
        .ok_or_else(|| {
            YamlError::at(
                interval,
                "rate_limit.interval",
                "must be a time with its unit of an hour at most, such as 100ms, 1s or 1m30s; \
                 0 is no limit",
            )
        })
}
