//! What passes through, to all accounts and to each: calls, counts and latency.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::fault::Plan;
use super::operation::Operation;
use super::wire::Form;

/// One attempt of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The account of the credentials.
    pub account: String,
    pub operation: Operation,
    pub user_name: Option<String>,
    pub access_key_id: Option<String>,
    /// The role to be assumed.
    pub role_arn: Option<String>,
    /// It was answered with `Throttling`, by the rate limit or by a fault.
    pub throttled: bool,
}

impl Call {
    pub(super) fn new(account: String, operation: Operation, form: &Form) -> Self {
        Self {
            account,
            operation,
            user_name: form.get("UserName").map(str::to_owned),
            access_key_id: form.get("AccessKeyId").map(str::to_owned),
            role_arn: form.get("RoleArn").map(str::to_owned),
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

    /// Those of one account.
    #[must_use]
    pub fn of_account(&self, id: &str) -> Vec<&Call> {
        self.log.iter().filter(|call| call.account == id).collect()
    }

    fn calls_of(&self, operation: Operation) -> impl Iterator<Item = &Call> {
        self.log
            .iter()
            .filter(move |call| call.operation == operation)
    }
}

/// How often operations were called. Each attempt of a client that retries is a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    calls: BTreeMap<Operation, usize>,
    throttled: BTreeMap<Operation, usize>,
    /// When each call arrived.
    pub arrivals: Vec<Instant>,
    /// The most requests that were under way at one moment.
    pub max_in_flight: usize,
}

impl Counts {
    pub(super) fn with_in_flight(now: usize) -> Self {
        Self {
            max_in_flight: now,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, call: &Call) {
        self.arrivals.push(Instant::now());
        *self.calls.entry(call.operation).or_default() += 1;
        if call.throttled {
            *self.throttled.entry(call.operation).or_default() += 1;
        }
    }

    /// All attempts.
    pub fn total(&self) -> usize {
        self.calls.values().sum()
    }

    /// The attempts of one operation.
    pub fn of(&self, operation: Operation) -> usize {
        self.calls.get(&operation).copied().unwrap_or_default()
    }

    /// The attempts that were throttled.
    pub fn throttled(&self) -> usize {
        self.throttled.values().sum()
    }
}

/// What the accounts share of the road to them.
pub(super) struct Traffic {
    pub(super) faults: Plan,
    pub(super) latency: Duration,
    pub(super) keeps_log: bool,
    calls: Calls,
    in_flight: usize,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            faults: Plan::default(),
            latency: Duration::ZERO,
            keeps_log: true,
            calls: Calls::default(),
            in_flight: 0,
        }
    }
}

impl Traffic {
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

    pub(super) fn log(&mut self, call: Call) {
        if self.keeps_log {
            self.calls.log.push(call);
        }
    }
}
