//! Where the edges get the time from.

use chrono::{DateTime, Utc};

/// The clock that a process runs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's.
    System,
    /// One instant, for audits of old files (`--as-of`).
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// The time now.
    pub fn now(self) -> DateTime<Utc> {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place where the clock is read; edges hold a Clock"
            )]
            Self::System => Utc::now(),
            Self::Fixed(instant) => instant,
        }
    }
}
