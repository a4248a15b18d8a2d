//! Why a call to AWS failed, in the closed list of reasons and in one line for a person.

use std::error::Error;

use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::operation::{
    generate_credential_report::GenerateCredentialReportError,
    get_access_key_last_used::GetAccessKeyLastUsedError,
    get_account_summary::GetAccountSummaryError, get_credential_report::GetCredentialReportError,
    list_access_keys::ListAccessKeysError, list_account_aliases::ListAccountAliasesError,
    list_users::ListUsersError,
};
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError;
use aws_smithy_runtime_api::{
    client::{
        interceptors::context,
        orchestrator::{HttpResponse, OrchestratorError},
        result::SdkError,
    },
    http::StatusCode,
};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};

use crate::{counts::Operation, reason::Reason, source::SourceError};

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
        Reason::AccessDenied => format!(
            "; allow {}:{} (see deploy/aws/iam-policy.json)",
            if operation == Operation::GetCallerIdentity {
                "sts"
            } else {
                "iam"
            },
            operation.as_str()
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

/// The cause of one failed attempt.
pub(super) fn attempt_reason(
    error: &OrchestratorError<context::Error>,
    status: Option<StatusCode>,
) -> Reason {
    if error.is_timeout_error() {
        return Reason::Timeout;
    }
    if let Some(connector) = error.as_connector_error() {
        return if connector.is_timeout() {
            Reason::Timeout
        } else {
            chain_reason(connector).unwrap_or(Reason::Other)
        };
    }
    if let (Some(error), Some(status)) = (error.as_operation_error(), status) {
        return metadata(error).map_or(Reason::Other, |meta| service_reason(meta, status));
    }
    let fallback = if status.is_some() {
        Reason::MalformedResponse
    } else {
        Reason::Other
    };
    chain_reason(error).unwrap_or(fallback)
}

/// The error metadata of any operation that is called here; the SDK erases the type.
fn metadata(error: &context::Error) -> Option<&ErrorMetadata> {
    macro_rules! first_of {
        ($($kind:ty),+ $(,)?) => {
            None$(.or_else(|| error.downcast_ref::<$kind>().map(ProvideErrorMetadata::meta)))+
        };
    }
    first_of!(
        ListAccessKeysError,
        GetAccessKeyLastUsedError,
        ListUsersError,
        GetCallerIdentityError,
        GenerateCredentialReportError,
        GetCredentialReportError,
        GetAccountSummaryError,
        ListAccountAliasesError,
    )
}

/// The cause that AWS's own error code and HTTP status name.
///
/// Source: IAM API Reference, "Common Errors", and STS API Reference, "Common Errors".
fn service_reason(meta: &ErrorMetadata, status: StatusCode) -> Reason {
    match meta.code() {
        Some(
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "NotAuthorized"
            | "OptInRequired",
        ) => Reason::AccessDenied,
        Some(
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired",
        ) => Reason::ExpiredToken,
        Some(
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "AuthFailure"
            | "MissingAuthenticationToken"
            | "InvalidToken",
        ) => Reason::Credentials,
        Some(
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "SlowDown"
            | "PriorRequestNotComplete",
        ) => Reason::Throttled,
        Some("ReportNotPresent" | "ReportInProgress" | "ReportExpired" | "LimitExceeded") => {
            Reason::ReportUnavailable
        }
        _ if status.as_u16() == 429 => Reason::Throttled,
        _ if status.is_server_error() => Reason::ServerError,
        Some(_) => Reason::Other,
        None => Reason::MalformedResponse,
    }
}

/// The cause that the chain of sources names: credentials, TLS, or the network.
fn chain_reason(error: &(dyn Error + 'static)) -> Option<Reason> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return Some(match credentials {
                CredentialsError::ProviderTimedOut(_) => Reason::Timeout,
                _ => Reason::Credentials,
            });
        }
        if error.is::<rustls::Error>() {
            return Some(Reason::Tls);
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            if holds_tls_error(io) {
                return Some(Reason::Tls);
            }
            found = Some(Reason::Network);
        }
        if found.is_none() && is_broken_off(error) {
            found = Some(Reason::Network);
        }
        next = error.source();
    }
    found
}

/// Whether the error was built from one of TLS, which it keeps inside and not as its source; the
/// HTTP client nests such errors in each other.
fn holds_tls_error(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| {
        inner.is::<rustls::Error>()
            || inner
                .downcast_ref::<std::io::Error>()
                .is_some_and(holds_tls_error)
    })
}

/// Whether the connection ended before the whole answer came. hyper's own error type can't be
/// named here without tying this module to the HTTP client's version.
fn is_broken_off(error: &dyn Error) -> bool {
    let text = error.to_string();
    text.contains("connection closed before message completed")
        || text.contains("error reading a body from connection")
}

/// AWS's code and message, or its HTTP status where it gave neither.
fn service_message(meta: &ErrorMetadata, response: &HttpResponse) -> String {
    match (meta.code(), meta.message()) {
        // This message quotes the signed request, session token included.
        (Some("SignatureDoesNotMatch"), _) => {
            "SignatureDoesNotMatch: the secret access key is wrong, or a proxy changed the request"
                .into()
        }
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => format!(
            "HTTP {} with an answer that is not IAM's XML",
            response.status().as_u16()
        ),
    }
}

/// The last two messages of a chain: the SDK's outer ones only say "dispatch failure".
fn innermost(error: &(dyn Error + 'static)) -> String {
    if let Some(text) = no_credentials(error) {
        return text;
    }
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if error.is::<NotWhole>() {
            return text;
        }
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.split_off(texts.len().saturating_sub(2)).join(": ")
}

/// Where the SDK looked for credentials in vain, and what it met there; its own account of that takes
/// a line for each place.
fn no_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let chain = std::iter::successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<ProviderChainError<CredentialsError>>())?;
    let places: Vec<String> = chain
        .attempts()
        .iter()
        .map(|attempt| match attempt.error().source() {
            Some(why) => format!("{}: {}", attempt.name(), discreet(&why.to_string())),
            None => format!("{}: nothing", attempt.name()),
        })
        .collect();
    Some(format!("no credentials found ({})", places.join("; ")))
}

/// The SDK's text without what may be secret: a credential process that traces its own commands
/// writes the credentials to its standard error.
fn discreet(text: &str) -> String {
    let text = match text.split_once(" Stderr: ") {
        Some((before, _)) => format!("{before} Run it by hand to see why"),
        None => text.to_owned(),
    };
    // The SDK's account of an endpoint it can't use holds the whole request, and the endpoint as it
    // was given, which may have a password in it.
    if text.contains("failed to apply endpoint") || text.contains("to request `Request") {
        return "the endpoint is no URL; AWS_ENDPOINT_URL needs http:// or https:// and a host"
            .into();
    }
    text
}

/// The text on one line and not longer than a log line should be.
fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
