//! An account as it is reached: its state, who may speak for it, and what is let through to it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::fault::{Action, Fault, Plan};
use super::operation::{Operation, Service};
use super::session::Session;
use super::traffic::{Call, Counts};
use super::wire::ErrorCode;

/// One account of a [`FakeAws`](super::FakeAws). The two locks are never held across an await, nor both at once.
pub struct Site {
    account: Mutex<Account>,
    road: Mutex<Road>,
}

/// What lies between callers and the account.
#[derive(Default)]
struct Road {
    faults: Plan,
    latency: Option<Duration>,
    buckets: HashMap<Service, Bucket>,
    counts: Counts,
    in_flight: usize,
    sessions: HashMap<String, Session>,
    sessions_given: u32,
}

/// What an account's own road makes of a call.
pub(super) struct Passage {
    pub(super) delay: Duration,
    /// In place of that of all accounts.
    pub(super) latency: Option<Duration>,
    pub(super) action: Option<Action>,
}

impl Site {
    pub(super) fn new(account: Account) -> Self {
        Self {
            account: Mutex::new(account),
            road: Mutex::default(),
        }
    }

    /// The account, to be read and changed. Don't hold it across an await: no request is answered meanwhile.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault for this account alone. Faults of all accounts decide before it.
    pub fn inject(&self, fault: Fault) {
        self.road().faults.push(fault);
    }

    /// Denies every call of an operation from now on, as a missing permission does.
    pub fn deny(&self, operation: Operation) {
        self.inject(Fault::on(operation, Action::Error(ErrorCode::AccessDenied)));
    }

    /// Answers nothing from now on: requests are taken and hang.
    pub fn hang(&self) {
        self.inject(Fault::everywhere(Action::Hang));
    }

    /// Forgets this account's own faults.
    pub fn clear_faults(&self) {
        self.road().faults.clear();
    }

    /// How long each answer takes, whatever it is for the other accounts.
    pub fn set_latency(&self, latency: Duration) {
        self.road().latency = Some(latency);
    }

    /// Lets through `per_second` calls of a service on average and `burst` at once, and throttles the rest.
    pub fn set_rate_limit(&self, service: Service, per_second: f64, burst: u32) {
        self.road()
            .buckets
            .insert(service, Bucket::full(per_second, burst));
    }

    /// Lets every call through.
    pub fn clear_rate_limits(&self) {
        self.road().buckets.clear();
    }

    /// How often each operation was called since the start or the last reset.
    pub fn counts(&self) -> Counts {
        self.road().counts.clone()
    }

    /// Starts counting anew. Calls in flight stay in flight.
    pub fn reset_counts(&self) {
        let mut road = self.road();
        road.counts = Counts::with_in_flight(road.in_flight);
    }

    /// Lets every session run out that was given for this account so far.
    pub fn expire_sessions(&self) {
        for session in self.road().sessions.values_mut() {
            session.expire();
        }
    }

    /// Forgets every session that was given for this account so far, as if AWS had never heard of it.
    pub fn forget_sessions(&self) {
        self.road().sessions.clear();
    }

    /// Notes a session and gives its access key id. The first is 1.
    pub(super) fn begin_session(&self, begin: impl FnOnce(u32) -> (String, Session)) -> Session {
        let mut road = self.road();
        road.sessions_given += 1;
        let (id, session) = begin(road.sessions_given);
        road.sessions.insert(id, session.clone());
        session
    }

    pub(super) fn session(&self, access_key_id: &str) -> Option<Session> {
        self.road().sessions.get(access_key_id).cloned()
    }

    pub(super) fn enter(&self) {
        let mut road = self.road();
        road.in_flight += 1;
        road.counts.max_in_flight = road.counts.max_in_flight.max(road.in_flight);
    }

    pub(super) fn leave(&self) {
        self.road().in_flight -= 1;
    }

    /// Counts a call and decides it, where `decided` hasn't: faults first, so that they hit when a test says, then the
    /// rate limit.
    pub(super) fn pass(&self, call: &mut Call, decided: Option<Action>) -> Passage {
        let mut road = self.road();
        let (delay, own) = road.faults.decide(call);
        let mut action = decided.or(own);
        if action.is_none()
            && let Some(bucket) = road.buckets.get_mut(&call.operation.service())
            && !bucket.take()
        {
            action = Some(Action::Error(ErrorCode::Throttling));
        }
        call.throttled = action.as_ref().is_some_and(Action::is_throttle);
        road.counts.add(call);
        Passage {
            delay,
            latency: road.latency,
            action,
        }
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.road.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn full(per_second: f64, burst: u32) -> Self {
        Self {
            per_second,
            burst: f64::from(burst),
            tokens: f64::from(burst),
            filled: Instant::now(),
        }
    }

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
