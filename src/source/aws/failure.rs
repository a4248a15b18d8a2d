//! Why a call to AWS failed, in the closed list of reasons and in one line for a person.

mod cause;
mod message;

use std::{error::Error, time::Duration};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{
    counts::{Operation, Service},
    reason::Reason,
    source::SourceError,
};

pub(super) use self::cause::attempt_reason;
use self::{
    cause::{chain_reason, service_reason},
    message::{discreet, innermost, one_line, service_message},
};
use super::role::NotAssumed;

/// A call that failed after its retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", operation.as_str())]
pub(super) struct CallError {
    /// What was called.
    pub(super) operation: Operation,
    /// The cause, as it is counted.
    pub(super) reason: Reason,
    /// AWS's error code, where it gave one.
    pub(super) code: Option<String>,
    /// What AWS or the network said, on one line.
    pub(super) message: String,
}

impl CallError {
    /// The failure of a call, from the SDK's account of it.
    pub(super) fn new<E>(operation: Operation, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        if let Some(NotAssumed(error)) = found_in(error) {
            return error.clone();
        }
        let (reason, code) = match error {
            SdkError::ServiceError(service) => (
                service_reason(service.err().meta(), service.raw().status()),
                service.err().code().map(str::to_owned),
            ),
            SdkError::TimeoutError(_) => (Reason::Timeout, None),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => (Reason::Timeout, None),
            SdkError::ResponseError(_) => (
                chain_reason(error).unwrap_or(Reason::MalformedResponse),
                None,
            ),
            _ => (chain_reason(error).unwrap_or(Reason::Other), None),
        };
        let message = match error {
            SdkError::ServiceError(service) => service_message(service.err().meta(), service.raw()),
            _ => discreet(&innermost(error)),
        };
        Self {
            operation,
            reason,
            code,
            message: one_line(&message),
        }
    }

    /// An answer that came but makes no sense.
    pub(super) fn malformed(operation: Operation, message: impl Into<String>) -> Self {
        Self {
            operation,
            reason: Reason::MalformedResponse,
            code: None,
            message: message.into(),
        }
    }

    /// The call's own limit passed.
    pub(super) fn too_long(operation: Operation, limit: Duration) -> Self {
        Self {
            operation,
            reason: Reason::Timeout,
            code: None,
            message: format!("not answered within {}", humantime::format_duration(limit)),
        }
    }

    /// The refresh ran out of time before the call was answered.
    pub(super) fn out_of_time(operation: Operation) -> Self {
        Self {
            operation,
            reason: Reason::Timeout,
            code: None,
            message: "not answered before the refresh ran out of time (--refresh.timeout)".into(),
        }
    }

    /// Whether the user or key is gone.
    pub(super) fn is_no_such_entity(&self) -> bool {
        self.code.as_deref() == Some("NoSuchEntity")
    }
}

/// The error of that type among an error and its sources.
fn found_in<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<T>())
}

/// An answer of 200 whose XML isn't one whole document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a whole XML document")]
pub(super) struct NotWhole;

impl From<CallError> for SourceError {
    fn from(error: CallError) -> Self {
        let advice = advice(&error);
        Self {
            reason: error.reason,
            message: format!("{error}{advice}"),
        }
    }
}

/// What a person can do about a failure.
fn advice(error: &CallError) -> String {
    let operation = error.operation;
    match error.reason {
        Reason::AccessDenied if operation == Operation::AssumeRole => {
            "; check that the role exists, that its trust policy allows this caller, that the \
                external id is the one it asks for, and that the caller is allowed sts:AssumeRole on \
                it (see docs/accounts.md)"
                .into()
        }
        Reason::AccessDenied => format!(
            "; allow {}:{} (see deploy/aws/{})",
            operation.service().prefix(),
            operation.as_str(),
            match (operation, operation.service()) {
                (_, Service::Organizations) => "iam-policy-hub.json",
                (Operation::ListUserTags, _) => "iam-policy-tags.json",
                (_, Service::Iam | Service::Sts) => "iam-policy.json",
            }
        ),
        Reason::Credentials if error.message.contains("SSO") => {
            "; log in to the session (aws sso login)".into()
        }
        Reason::Credentials => "; set AWS_PROFILE or --aws.profile, AWS_ACCESS_KEY_ID and \
            AWS_SECRET_ACCESS_KEY, or run where a role is attached; outside the default partition \
            set AWS_REGION too"
            .into(),
        Reason::ExpiredToken => {
            "; renew the session (aws sso login, or new session credentials)".into()
        }
        Reason::Tls => "; if a proxy re-signs TLS, point AWS_CA_BUNDLE at its CA".into(),
        Reason::Network => "; check the network, HTTPS_PROXY and AWS_ENDPOINT_URL".into(),
        _ => String::new(),
    }
}
