//! Which of the closed list of reasons a failure is.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::operation::{
    generate_credential_report::GenerateCredentialReportError,
    get_access_key_last_used::GetAccessKeyLastUsedError,
    get_account_summary::GetAccountSummaryError, get_credential_report::GetCredentialReportError,
    list_access_keys::ListAccessKeysError, list_account_aliases::ListAccountAliasesError,
    list_user_tags::ListUserTagsError, list_users::ListUsersError,
};
use aws_sdk_organizations::operation::{
    list_accounts::ListAccountsError, list_accounts_for_parent::ListAccountsForParentError,
    list_organizational_units_for_parent::ListOrganizationalUnitsForParentError,
    list_tags_for_resource::ListTagsForResourceError,
};
use aws_sdk_sts::operation::{
    assume_role::AssumeRoleError, get_caller_identity::GetCallerIdentityError,
};
use aws_smithy_runtime_api::{
    client::{interceptors::context, orchestrator::OrchestratorError},
    http::StatusCode,
};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};

use crate::reason::Reason;

/// The cause of one failed attempt.
pub(in crate::source::aws) fn attempt_reason(
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
        ListUserTagsError,
        AssumeRoleError,
        ListAccountsError,
        ListAccountsForParentError,
        ListOrganizationalUnitsForParentError,
        ListTagsForResourceError,
    )
}

/// The cause that AWS's own error code and HTTP status name.
///
/// Source: the API References of IAM, STS and Organizations, "Common Errors".
pub(super) fn service_reason(meta: &ErrorMetadata, status: StatusCode) -> Reason {
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
pub(super) fn chain_reason(error: &(dyn Error + 'static)) -> Option<Reason> {
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
