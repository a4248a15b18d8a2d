//! What passes through: counts, latency and the rate limit.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Action, Plan};
use super::operation::Operation;
use super::wire::{ErrorCode, Form};

/// One attempt of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub operation: Operation,
    pub user_name: Option<String>,
    pub access_key_id: Option<String>,
    /// It was answered with `Throttling`, by the rate limit or by a fault.
    pub throttled: bool,
}

impl Call {
    pub(super) fn new(operation: Operation, form: &Form) -> Self {
        Self {
            operation,
            user_name: form.get("UserName").map(str::to_owned),
            access_key_id: form.get("AccessKeyId").map(str::to_owned),
            throttled: false,
        }
    }
}

/// What was called, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub log: Vec<Call>,
    /// The most requests that were under way at one moment.
    pub max_in_flight: usize,
}

impl Calls {
    /// All attempts.
    pub fn total(&self) -> usize {
        self.log.len()
    }

    /// The attempts of one operation.
    pub fn of(&self, operation: Operation) -> usize {
        self.calls_of(operation).count()
    }

    /// The attempts that were throttled.
    pub fn throttled(&self) -> usize {
        self.log.iter().filter(|call| call.throttled).count()
    }

    /// The attempts of one operation that were throttled.
    pub fn throttled_of(&self, operation: Operation) -> usize {
        self.calls_of(operation)
            .filter(|call| call.throttled)
            .count()
    }

    /// The users that an operation was called for: sorted, each once.
    pub fn users_of(&self, operation: Operation) -> Vec<&str> {
        let mut names: Vec<_> = self
            .calls_of(operation)
            .filter_map(|call| call.user_name.as_deref())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The keys that an operation was called for: sorted, each once.
    pub fn keys_of(&self, operation: Operation) -> Vec<&str> {
        let mut ids: Vec<_> = self
            .calls_of(operation)
            .filter_map(|call| call.access_key_id.as_deref())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn calls_of(&self, operation: Operation) -> impl Iterator<Item = &Call> {
        self.log
            .iter()
            .filter(move |call| call.operation == operation)
    }
}

/// Everything that is decided about a call before it is answered.
pub(super) struct Decision {
    pub(super) delay: Duration,
    pub(super) action: Option<Action>,
}

/// The state of the road to the account.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) faults: Plan,
    pub(super) latency: Duration,
    bucket: Option<Bucket>,
    calls: Calls,
    in_flight: usize,
}

impl Traffic {
    pub(super) fn limit(&mut self, per_second: f64, burst: u32) {
        self.bucket = Some(Bucket {
            per_second,
            burst: f64::from(burst),
            tokens: f64::from(burst),
            filled: Instant::now(),
        });
    }

    pub(super) fn unlimit(&mut self) {
        self.bucket = None;
    }

    pub(super) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    pub(super) fn reset_calls(&mut self) {
        self.calls = Calls {
            log: Vec::new(),
            max_in_flight: self.in_flight,
        };
    }

    pub(super) fn enter(&mut self) {
        self.in_flight += 1;
        self.calls.max_in_flight = self.calls.max_in_flight.max(self.in_flight);
    }

    pub(super) fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// Logs a call and decides it: faults first, so that they hit when a test says, then the rate limit.
    pub(super) fn admit(&mut self, mut call: Call) -> Decision {
        let (delay, mut action) = self.faults.decide(&call);
        if action.is_none() && self.bucket.as_mut().is_some_and(|bucket| !bucket.take()) {
            action = Some(Action::Error(ErrorCode::Throttling));
        }
        call.throttled = action.as_ref().is_some_and(Action::is_throttle);
        self.calls.log.push(call);
        Decision {
            delay: self.latency + delay,
            action,
        }
    }
}

/// A token bucket.
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// Takes a token if there is one, and tells whether there was.
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let gained = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.filled = now;
        self.tokens = (self.tokens + gained).min(self.burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
