//! Faults on demand: which calls go wrong, and how.

use std::time::Duration;

use super::operation::Operation;
use super::traffic::Call;
use super::wire::ErrorCode;

/// What happens to a call instead of, or before, its proper answer.
#[derive(Clone, Debug)]
pub enum Action {
    /// A well-formed error of the service.
    Error(ErrorCode),
    /// A bare HTTP status with a body that isn't the service's, as from a load balancer.
    Status(u16),
    /// The proper answer, later. Delays of several faults add up.
    Delay(Duration),
    /// No answer, ever.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// The head of the proper answer, with its full length, then half of the body, then the end of the connection.
    HalfBody,
    /// 200 with a whole body that is half of the proper answer's XML. The SDK takes it for a shorter answer.
    TruncatedXml,
    /// 200 with the right root, but a tag inside that isn't closed. The SDK takes it for an empty answer.
    BadXml,
    /// 200 with a web page, as from a captive portal or a proxy.
    Html,
    /// Any status, content type and body.
    Answer {
        status: u16,
        content_type: &'static str,
        body: Vec<u8>,
    },
}

impl Action {
    pub(super) fn is_throttle(&self) -> bool {
        matches!(self, Self::Error(ErrorCode::Throttling))
    }
}

/// An action and the calls it applies to. It counts the calls that match its filters by itself, from the moment it is
/// injected; each attempt of a client that retries is a call.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: Option<Operation>,
    account: Option<String>,
    user_name: Option<String>,
    access_key_id: Option<String>,
    role_arn: Option<String>,
    /// The first call that it applies to; the first of all is 1.
    from: u64,
    /// How many calls it applies to; no end where `None`.
    count: Option<u64>,
    seen: u64,
    action: Action,
}

impl Fault {
    /// Applies to every call of an operation, until it is narrowed down.
    pub fn on(operation: Operation, action: Action) -> Self {
        Self {
            operation: Some(operation),
            ..Self::everywhere(action)
        }
    }

    /// Applies to every call of any operation, until it is narrowed down.
    pub fn everywhere(action: Action) -> Self {
        Self {
            operation: None,
            account: None,
            user_name: None,
            access_key_id: None,
            role_arn: None,
            from: 1,
            count: None,
            seen: 0,
            action,
        }
    }

    /// Only calls with credentials of this account.
    #[must_use]
    pub fn account(mut self, id: &str) -> Self {
        self.account = Some(id.to_owned());
        self
    }

    /// Only calls with this `RoleArn`.
    #[must_use]
    pub fn role(mut self, arn: &str) -> Self {
        self.role_arn = Some(arn.to_owned());
        self
    }

    /// Only calls with this `UserName`.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.user_name = Some(name.to_owned());
        self
    }

    /// Only calls with this `AccessKeyId`.
    #[must_use]
    pub fn key(mut self, id: &str) -> Self {
        self.access_key_id = Some(id.to_owned());
        self
    }

    /// Only the first `count` matching calls.
    #[must_use]
    pub fn first(self, count: u64) -> Self {
        self.between(1, count)
    }

    /// Only the `nth` matching call, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        self.between(nth, 1)
    }

    /// Only `count` matching calls from the `nth` on, counted from 1.
    #[must_use]
    pub fn between(mut self, nth: u64, count: u64) -> Self {
        self.from = nth;
        self.count = Some(count);
        self
    }

    /// The `nth` matching call, counted from 1, and all that follow.
    #[must_use]
    pub fn from(mut self, nth: u64) -> Self {
        self.from = nth;
        self.count = None;
        self
    }

    /// Counts the call if it matches, and tells whether the fault applies to it.
    fn applies(&mut self, call: &Call) -> bool {
        let matches = self.operation.is_none_or(|wanted| wanted == call.operation)
            && self.account.as_ref().is_none_or(|id| *id == call.account)
            && wanted(self.role_arn.as_ref(), call.role_arn.as_ref())
            && wanted(self.user_name.as_ref(), call.user_name.as_ref())
            && wanted(self.access_key_id.as_ref(), call.access_key_id.as_ref());
        if !matches {
            return false;
        }
        self.seen += 1;
        self.seen >= self.from && self.count.is_none_or(|count| self.seen < self.from + count)
    }
}

fn wanted(filter: Option<&String>, value: Option<&String>) -> bool {
    filter.is_none() || filter == value
}

/// The faults in force, in the order they were injected.
#[derive(Default)]
pub(super) struct Plan(Vec<Fault>);

impl Plan {
    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The delay of a call, and what happens then if not the proper answer. Every fault that matches counts the call,
    /// whether or not it decides it.
    pub(super) fn decide(&mut self, call: &Call) -> (Duration, Option<Action>) {
        let mut delay = Duration::ZERO;
        let mut decision = None;
        for fault in &mut self.0 {
            if !fault.applies(call) {
                continue;
            }
            match &fault.action {
                Action::Delay(more) => delay += *more,
                action if decision.is_none() => decision = Some(action.clone()),
                _ => {}
            }
        }
        (delay, decision)
    }
}
